//! Every schedule of a program, made on the machine itself, knowing nothing of footprints.

use std::collections::BTreeSet;
use std::time::Duration;

use afunix::{Call, RawName, Tid, options};
use afunix_model::{Effect, Machine, Profile, Resume, Step, Ticket};

use crate::programs::{CLIENTS, LISTENER, NAME, PAIRS, Program, Working, fd, look};

/// Replies of each thread, and what is found at the end; nothing of that after a deadlock.
pub(crate) type Seen = (Vec<Vec<String>>, Option<Vec<String>>);

/// The calls that make the sockets of every program, one after the other.
pub(crate) fn set_up(mut perform: impl FnMut(&mut Call<'_, '_>)) {
    let domain = afunix::AF_UNIX;
    for (kind, first) in PAIRS {
        let mut fds = [-1; 2];
        perform(&mut Call::Socketpair { domain, kind, protocol: 0, fds: &mut fds });
        assert_eq!(fds, [first, first + 1]);
    }
    for number in [3, 4] {
        perform(&mut Call::Setsockopt {
            fd: fd(number),
            level: options::SOL_SOCKET,
            option: options::SO_SNDBUF,
            value: &1_i32.to_ne_bytes(),
        });
    }
    for _ in 0..3 {
        perform(&mut Call::Socket { domain, kind: afunix::SOCK_STREAM, protocol: 0 });
    }
    perform(&mut Call::Bind { fd: fd(LISTENER), name: RawName::Bytes(NAME) });
    perform(&mut Call::Listen { fd: fd(LISTENER), backlog: 0 });
    assert_eq!(CLIENTS, [10, 11]);
}

/// A thread of a state.
#[derive(Clone, Debug)]
struct Thread {
    tid: Tid,
    /// Calls that it has begun.
    begun: usize,
    working: Option<Working>,
    /// What it is stepped again with; `None` while it waits.
    resume: Option<Resume>,
    ticket: Option<Ticket>,
    replies: Vec<String>,
}

#[derive(Clone, Debug)]
struct State {
    machine: Machine,
    threads: Vec<Thread>,
}

/// All that can come of a program, over all schedules, and how many there are; `None` if there are
/// more than `most`.
pub(crate) fn outcomes(program: &Program, most: u64) -> Option<(BTreeSet<Seen>, u64)> {
    let mut machine = Machine::new(Profile::default());
    machine.track(false);
    set_up(|call| {
        let step = machine.step(Duration::ZERO, Tid(1), call, Resume::First);
        assert!(matches!(step, Step::Done(Ok(_))), "{step:?}");
        while machine.next_effect().is_some() {}
    });
    let threads = program
        .iter()
        .map(|_| {
            let tid = machine.start_thread(afunix::Pid(1), "thread");
            Thread {
                tid,
                begun: 0,
                working: None,
                resume: Some(Resume::First),
                ticket: None,
                replies: Vec::new(),
            }
        })
        .collect();
    let (mut seen, mut schedules) = (BTreeSet::new(), 0);
    let mut todo = vec![State { machine, threads }];
    while let Some(state) = todo.pop() {
        let before = todo.len();
        for index in 0..program.len() {
            let thread = &state.threads[index];
            let is_over = thread.working.is_none() && thread.begun == program[index].len();
            if thread.resume.is_some() && !is_over {
                let mut next = state.clone();
                next.step(program, index);
                todo.push(next);
            }
        }
        if todo.len() == before {
            schedules += 1;
            seen.insert(state.seen());
        }
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
    fn step(&mut self, program: &Program, index: usize) {
        let State { machine, threads } = self;
        let thread = &mut threads[index];
        if thread.working.is_none() {
            let call = thread.begun;
            thread.working = Some(program[index][call].begin(tag(index, call)));
            thread.begun += 1;
        }
        let (tid, resume) = (thread.tid, thread.resume.take().unwrap());
        let working = thread.working.as_mut().unwrap();
        let perform = |call: &mut Call<'_, '_>| machine.step(Duration::ZERO, tid, call, resume);
        let (step, text) = working.make(perform, |step| match step {
            Step::Done(result) => Some(*result),
            Step::Blocked { .. } | Step::Restart => None,
        });
        match step {
            Step::Done(_) => {
                thread.replies.push(text);
                (thread.working, thread.resume) = (None, Some(Resume::First));
            }
            Step::Blocked { ticket, .. } => thread.ticket = Some(ticket),
            Step::Restart => unreachable!("nobody sends signals"),
        }
        while let Some(effect) = machine.next_effect() {
            let Effect::Woken(ticket) = effect else { continue };
            for thread in threads.iter_mut().filter(|it| it.ticket == Some(ticket)) {
                (thread.ticket, thread.resume) = (None, Some(Resume::Woken(ticket)));
            }
        }
    }

    fn seen(mut self) -> Seen {
        let all_over = self.threads.iter().all(|thread| thread.working.is_none());
        let replies = self.threads.iter().map(|thread| thread.replies.clone()).collect();
        if !all_over {
            return (replies, None);
        }
        let machine = &mut self.machine;
        let found = look(|call| {
            let step = machine.step(Duration::ZERO, Tid(1), call, Resume::First);
            while machine.next_effect().is_some() {}
            match step {
                Step::Done(result) => result,
                Step::Blocked { .. } | Step::Restart => unreachable!("a look does not wait"),
            }
        });
        (replies, Some(found))
    }
}
