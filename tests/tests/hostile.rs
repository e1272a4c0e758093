//! No call can make the model panic, break an invariant of its, or take memory in proportion to a
//! number in it; alone, under threads and in the simulator.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use afunix::{Backend, Credentials, Exit, Host, Limits, Pid, ProcessSpec, Signal, Tid};
use afunix_emulator::Threads;
use afunix_model::{Effect, Machine, Profile, Resume, Spawn, Step, Ticket, Time};
use afunix_sim::{Choices, FailureKind, Faults, Outcome, RunOptions};
use afunix_tests::hostile::{Dice, progress, with};

/// Steps of a machine before the next one is used.
const STEPS: usize = 2000;
/// Memory that the whole test may take.
const MEMORY_MAX: u64 = 1 << 30;

/// A call that waits: the dice it is built from, how far it has come, and its ticket.
struct Waiting {
    dice: Dice,
    progress: usize,
    ticket: Ticket,
}

/// A machine, its threads and what they wait in.
struct World {
    machine: Machine,
    now: Time,
    threads: Vec<Tid>,
    waiting: BTreeMap<Tid, Waiting>,
    woken: Vec<Ticket>,
}

impl World {
    fn new() -> World {
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
        World { machine, now: Time::ZERO, threads, waiting, woken }
    }

    /// One act of a random thread; `false` when all are gone.
    fn act(&mut self, dice: &mut Dice) -> bool {
        if self.threads.is_empty() {
            return false;
        }
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
            None => {
                let mut dice = Dice::new(dice.roll());
                self.step(tid, &mut dice, None, Resume::First);
            }
        }
        while let Some(ticket) = self.woken.pop() {
            let found = self.waiting.iter().find(|(_, waiting)| waiting.ticket == ticket);
            if let Some(tid) = found.map(|(tid, _)| *tid) {
                let waiting = self.waiting.remove(&tid).expect("it was found");
                self.again(tid, waiting, Resume::Woken);
            }
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

/// A seed of this run, or the one that is to be seen again.
fn seed() -> u64 {
    let given = std::env::var("AFUNIX_SEED").ok();
    let seed = given.and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |now| now.as_micros() as u64)
    });
    println!("AFUNIX_SEED={seed}");
    seed
}

/// How many seeds to try: AFUNIX_ROUNDS, for longer runs.
fn rounds(usual: u64) -> u64 {
    let given = std::env::var("AFUNIX_ROUNDS").ok();
    given.and_then(|rounds| rounds.parse().ok()).unwrap_or(usual)
}

/// Says which machine of which seed it was that panicked, before the panic goes on.
fn told<R>(what: &str, seed: u64, body: impl FnOnce() -> R) -> R {
    match std::panic::catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(panic) => {
            println!("{what}: AFUNIX_SEED={seed} shows it at once");
            std::panic::resume_unwind(panic)
        }
    }
}

/// VmHWM of this process: the most memory that it ever had.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it can be read");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the field");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[test]
fn no_call_breaks_the_model() {
    let first = seed();
    // A machine has its seed, so that one alone can be made again.
    for seed in first..first + rounds(60) {
        told("the model", seed, || {
            let (mut world, mut dice) = (World::new(), Dice::new(seed));
            for step in 0..STEPS {
                if !world.act(&mut dice) {
                    break;
                }
                if step % 16 == 0
                    && let Err(violation) = world.machine.check()
                {
                    panic!("{violation}");
                }
            }
            world.machine.snapshot(world.now);
        });
    }
    let memory = memory();
    assert!(memory < MEMORY_MAX, "{memory} bytes were taken");
}

/// Any calls of a process, until it is ended.
fn any_calls(host: &impl Backend, seed: u64, calls: u32) {
    let mut dice = Dice::new(seed);
    for _ in 0..calls {
        // Whatever it says, it has said something.
        let _ = with(&mut dice, |call| host.call(call));
    }
}

#[test]
fn no_call_breaks_the_simulator() {
    let first = seed();
    for seed in first..first + rounds(150) {
        let app = afunix_sim::app(move |host| {
            let mut children = Vec::new();
            for number in 0..3 {
                let spec = ProcessSpec::new("child").user(Credentials::user(number % 2 * 1000));
                let child = host.process(spec, move |host| {
                    host.may_crash(true);
                    let of_thread = *host;
                    let seed = seed ^ u64::from(number) << 32;
                    host.spawn("other", move || any_calls(&of_thread, seed ^ 1 << 40, 100));
                    any_calls(host, seed, 100);
                    0
                });
                children.extend(child);
            }
            host.sleep(Duration::from_secs(5));
            for child in &children {
                let _ = child.kill(Signal::Kill);
            }
            0
        });
        let options = RunOptions { faults: Faults::All, ..RunOptions::default() };
        told("the simulator", seed, || {
            let report = afunix_sim::run(&app, &options, Choices::Seed(seed));
            if let Outcome::Failed(failure) = &report.outcome {
                let fine = matches!(failure.kind, FailureKind::Exit | FailureKind::Deadlock);
                assert!(fine, "{failure}");
            }
        });
    }
}

#[test]
fn no_call_breaks_the_threads() {
    let first = seed();
    for seed in first..first + 10 {
        told("the threads", seed, || {
            Threads::run(|host| {
                host.set_echo(false);
                let children = [1, 2, 3].map(|number| {
                    let spec = ProcessSpec::new("child");
                    host.process(spec, move |host| {
                        any_calls(host, seed ^ number << 32, 2000);
                        0
                    })
                });
                host.sleep(Duration::from_millis(100));
                for child in children.iter().flatten() {
                    let _ = child.kill(Signal::Kill);
                }
                host.with_machine(|machine| machine.check()).expect("the invariants hold");
                0
            });
        });
    }
}
