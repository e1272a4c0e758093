//! Every schedule of a program, made on the machine itself, knowing nothing of footprints.

use std::collections::BTreeSet;
use std::time::Duration;

use afunix::{Exit, Pid, Tid};
use afunix_model::{Effect, Machine, Profile, Resume, Spawn, Step, Ticket};

use crate::calls::{Working, look};
use crate::programs::Program;

/// Replies of each thread, and what is found at the end; nothing of that after a deadlock.
pub(crate) type Seen = (Vec<Vec<String>>, Option<Vec<String>>);

/// A thread of a state.
#[derive(Clone, Debug)]
struct Thread {
    tid: Tid,
    /// Its process, if that ends with it.
    process: Option<Pid>,
    /// Calls that it has begun.
    begun: usize,
    working: Option<Working>,
    /// What it is stepped again with; `None` while it waits.
    resume: Option<Resume>,
    ticket: Option<Ticket>,
    deadline: Option<Duration>,
    replies: Vec<String>,
}

#[derive(Clone, Debug)]
struct State {
    machine: Machine,
    now: Duration,
    threads: Vec<Thread>,
}

/// All that can come of a program, over all schedules, and how many there are; `None` if there are
/// more than `most`.
pub(crate) fn outcomes(program: &Program, most: u64) -> Option<(BTreeSet<Seen>, u64)> {
    let (mut seen, mut schedules) = (BTreeSet::new(), 0);
    let mut todo = vec![State::first(program)];
    while let Some(mut state) = todo.pop() {
        let before = todo.len();
        for index in 0..program.threads.len() {
            if state.threads[index].resume.is_some() && !state.is_over(program, index) {
                let mut next = state.clone();
                next.step(program, index);
                todo.push(next);
            }
        }
        if todo.len() > before {
            continue;
        }
        if state.let_time_pass() {
            todo.push(state);
            continue;
        }
        schedules += 1;
        seen.insert(state.seen(program));
        if schedules > most {
            return None;
        }
    }
    Some((seen, schedules))
}

/// What a call sends, by who makes it.
pub(crate) fn tag(thread: usize, call: usize) -> u8 {
    (16 * (thread + 1) + call) as u8
}

impl State {
    fn first(program: &Program) -> State {
        let mut machine = Machine::new(Profile::default());
        machine.track(false);
        let given = program.set_up(|call| {
            let step = machine.step(Duration::ZERO, Tid(1), call, Resume::First);
            while machine.next_effect().is_some() {}
            match step {
                Step::Done(result) => result.unwrap(),
                step => unreachable!("{step:?}"),
            }
        });
        let mut thread = |index: usize| {
            let (tid, process) = match given.get(index) {
                None => (machine.start_thread(Pid(1), "thread"), None),
                Some(fds) => {
                    let name = "process";
                    let (user, umask, limits, confined) = (None, None, None, false);
                    let spec = Spawn { name, user, umask, limits, confined, fds };
                    let (pid, tid) = machine.spawn(Pid(1), &spec).unwrap();
                    (tid, Some(pid))
                }
            };
            while machine.next_effect().is_some() {}
            Thread {
                tid,
                process,
                begun: 0,
                working: None,
                resume: Some(Resume::First),
                ticket: None,
                deadline: None,
                replies: Vec::new(),
            }
        };
        let threads = (0..program.threads.len()).map(&mut thread).collect();
        State { machine, now: Duration::ZERO, threads }
    }

    /// A thread that is a process makes one step more: it exits.
    fn is_over(&self, program: &Program, index: usize) -> bool {
        let Thread { working, process, begun, .. } = &self.threads[index];
        let steps = program.threads[index].len() + usize::from(process.is_some());
        working.is_none() && *begun == steps
    }

    fn step(&mut self, program: &Program, index: usize) {
        let thread = &mut self.threads[index];
        if thread.working.is_none() {
            let call = thread.begun;
            thread.begun += 1;
            match (program.threads[index].get(call), thread.process) {
                (Some(op), _) => thread.working = Some(op.begin(tag(index, call))),
                (None, Some(pid)) => {
                    self.machine.exit(pid, Exit::Status(0));
                    return self.drain();
                }
                (None, None) => unreachable!("it is over"),
            }
        }
        let (tid, resume, now) = (thread.tid, thread.resume.take().unwrap(), self.now);
        let machine = &mut self.machine;
        let working = thread.working.as_mut().unwrap();
        let (step, text) = working.make(
            |call| machine.step(now, tid, call, resume),
            |step| match step {
                Step::Done(result) => Some(*result),
                Step::Blocked { .. } | Step::Restart => None,
            },
        );
        match step {
            Step::Done(_) => {
                thread.replies.push(text);
                (thread.working, thread.resume) = (None, Some(Resume::First));
            }
            Step::Blocked { ticket, deadline, .. } => {
                (thread.ticket, thread.deadline) = (Some(ticket), deadline);
            }
            Step::Restart => unreachable!("nobody handles signals"),
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.machine.next_effect() {
            let Effect::Woken(ticket) = effect else { continue };
            self.ready(|thread| thread.ticket == Some(ticket), Resume::Woken);
        }
    }

    fn ready(&mut self, who: impl Fn(&Thread) -> bool, why: impl Fn(Ticket) -> Resume) {
        for thread in self.threads.iter_mut().filter(|thread| who(thread)) {
            thread.resume = thread.ticket.take().map(&why);
            thread.deadline = None;
        }
    }

    /// Nobody can go on: the next deadline passes, if there is one.
    fn let_time_pass(&mut self) -> bool {
        let next = self.threads.iter().filter_map(|thread| thread.deadline).min();
        let Some(now) = next else { return false };
        self.now = now;
        self.ready(|thread| thread.deadline.is_some_and(|at| at <= now), Resume::TimedOut);
        true
    }

    fn seen(mut self, program: &Program) -> Seen {
        let all_over = (0..self.threads.len()).all(|index| self.is_over(program, index));
        let replies = self.threads.iter().map(|thread| thread.replies.clone()).collect();
        if !all_over {
            return (replies, None);
        }
        let (machine, now) = (&mut self.machine, self.now);
        let found = look(program, |call| {
            let step = machine.step(now, Tid(1), call, Resume::First);
            while machine.next_effect().is_some() {}
            match step {
                Step::Done(result) => result,
                Step::Blocked { .. } | Step::Restart => unreachable!("a look does not wait"),
            }
        });
        (replies, Some(found))
    }
}
