//! A machine on which threads of several processes make hostile calls.

use std::collections::BTreeMap;
use std::time::Duration;

use afunix::{Credentials, Exit, Limits, Pid, Tid};
use afunix_model::{Effect, Machine, Profile, Resume, Spawn, Step, Ticket, Time};

use super::{Dice, progress, with};

/// Invariants are recomputed after so many acts.
const CHECKED_EVERY: usize = 16;

/// A call that waits: the dice it is built from, how far it has come, and its ticket.
struct Waiting {
    dice: Dice,
    progress: usize,
    ticket: Ticket,
}

/// A machine, its threads and what they wait in.
pub struct World {
    machine: Machine,
    now: Time,
    threads: Vec<Tid>,
    waiting: BTreeMap<Tid, Waiting>,
    woken: Vec<Ticket>,
    acts: usize,
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}

impl World {
    /// A new machine with three processes, one of them a stranger's; the first has two threads.
    ///
    /// # Panics
    /// If the machine cannot make them.
    pub fn new() -> World {
        let mut machine = Machine::new(Profile::linux_6_18());
        machine.observe(true);
        let mut threads = vec![Tid(1)];
        for user in [0, 1000] {
            let user = Some(Credentials::user(user));
            let spec = Spawn { name: "child", user, ..Spawn::default() };
            threads.push(machine.spawn(Pid(1), &spec).expect("a child").1);
            while machine.next_effect().is_some() {}
        }
        threads.push(machine.start_thread(Pid(1), "second"));
        let (waiting, woken) = (BTreeMap::new(), Vec::new());
        World { machine, now: Time::ZERO, threads, waiting, woken, acts: 0 }
    }

    /// One act of a thread: a call, the end of one that waits, a process or thread that comes or
    /// goes. `false` when all are gone.
    ///
    /// # Panics
    /// If an invariant is broken, which is looked at after every sixteenth act.
    pub fn act(&mut self, mut dice: Dice) -> bool {
        if self.threads.is_empty() {
            return false;
        }
        let dice = &mut dice;
        self.now += Duration::from_micros(dice.below(3000));
        let tid = self.threads[dice.below(self.threads.len() as u64) as usize];
        match self.waiting.remove(&tid) {
            Some(waiting) => match dice.below(8) {
                0 => self.again(tid, waiting, Resume::Interrupted),
                1 | 2 => self.again(tid, waiting, Resume::TimedOut),
                // A host may look again for no reason.
                3 => self.again(tid, waiting, Resume::Woken),
                4 => {
                    self.machine.cancel(waiting.ticket);
                    self.drain();
                }
                _ => drop(self.waiting.insert(tid, waiting)),
            },
            None if dice.one_in(40) => self.live(tid, dice),
            None => self.step(tid, dice, None, Resume::First),
        }
        while let Some(ticket) = self.woken.pop() {
            let found = self.waiting.iter().find(|(_, waiting)| waiting.ticket == ticket);
            if let Some(tid) = found.map(|(tid, _)| *tid) {
                let waiting = self.waiting.remove(&tid).expect("it was found");
                self.again(tid, waiting, Resume::Woken);
            }
        }
        self.acts += 1;
        if self.acts.is_multiple_of(CHECKED_EVERY)
            && let Err(violation) = self.machine.check()
        {
            panic!("{violation}");
        }
        true
    }

    fn again(&mut self, tid: Tid, waiting: Waiting, resume: impl FnOnce(Ticket) -> Resume) {
        let Waiting { mut dice, progress, ticket } = waiting;
        self.step(tid, &mut dice, Some(progress), resume(ticket));
    }

    /// Builds the call anew, with the progress that it had.
    fn step(&mut self, tid: Tid, dice: &mut Dice, before: Option<usize>, resume: Resume) {
        let built_from = *dice;
        let (step, progress) = with(dice, |call| {
            if let (Some(progress), Some(before)) = (progress(call), before) {
                *progress = before;
            }
            if resume == Resume::First {
                // What handlers there are has run.
                while self.machine.next_signal(tid).is_some() {}
            }
            let step = self.machine.step(self.now, tid, call, resume);
            (step, progress(call).map_or(0, |progress| *progress))
        });
        if let Step::Blocked { ticket, .. } = step {
            self.waiting.insert(tid, Waiting { dice: built_from, progress, ticket });
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.machine.next_effect() {
            if let Effect::Woken(ticket) = effect {
                self.woken.push(ticket);
            }
        }
        while self.machine.next_event().is_some() {}
        let machine = &self.machine;
        self.threads.retain(|tid| machine.process_of(*tid).is_some());
        self.waiting.retain(|tid, _| machine.process_of(*tid).is_some());
    }

    /// Processes and threads come and go.
    fn live(&mut self, tid: Tid, dice: &mut Dice) {
        let Some(pid) = self.machine.process_of(tid) else { return };
        let machine = &mut self.machine;
        match dice.below(6) {
            0 => {
                let descriptors = dice.roll() as u32;
                let fds = [(dice.below(20) as i32 - 1, dice.below(40) as i32 - 2)];
                let limits = Some(Limits { descriptors });
                let spec = Spawn { name: "spawned", fds: &fds, limits, ..Spawn::default() };
                self.threads.extend(machine.spawn(pid, &spec).map(|(_, tid)| tid));
            }
            1 | 2 if self.threads.len() < 12 => {
                self.threads.extend(machine.fork(pid).map(|(_, tid)| tid));
            }
            3 if self.threads.len() < 12 => self.threads.push(machine.start_thread(pid, "more")),
            4 => machine.end_thread(tid),
            5 => machine.exit(pid, Exit::Status(3)),
            _ => {}
        }
        self.drain();
    }
}
