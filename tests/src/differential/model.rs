//! The model's side: runs a program first, and so turns its slots into numbers.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use afunix::call::{Fcntl, OptionOut};
use afunix::options::{SO_ACCEPTCONN, SO_TYPE, SOL_SOCKET};
use afunix::{Call, Errno, NameOut, Pid, PollFd, Readiness, SaFlags, SigHandler, Sigaction, Tid};
use afunix_model::Machine;
use afunix_model::machine::{Resume, Step as Outcome};
use afunix_model::profile::Profile;

use super::answer::{Answer, Tag};
use super::coverage::{Before, Role};
use super::perform::{ENTRY, HEARD, Side, look, made, perform};
use super::program::{CARGO_FILE, Program, Request, Slot};
use super::waiting::Waits;
use crate::raw::fd;

/// A number that is never open: the programs' tables end below it.
const NEVER: i32 = 999;
/// Invariants are recomputed after so many steps.
pub(super) const CHECKED_EVERY: usize = 64;

/// What the model made of a program.
pub(super) struct Ran {
    /// Per step: `None` for one left out because its call would have waited.
    pub(super) done: Vec<Option<Done>>,
    /// The processes' ids.
    pub(super) pids: Vec<i32>,
    /// What a panic or a broken invariant said; the steps end there.
    pub(super) broken: Option<String>,
    /// Steps that the program's making left out because they would have waited.
    pub(super) left_out: u64,
}

/// What a process has open under a number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fact {
    /// A slot that stands for it.
    pub(super) slot: u16,
    /// The socket's type; 0 if it is none.
    pub(super) kind: i32,
    pub(super) bound: bool,
    pub(super) listening: bool,
    pub(super) connected: bool,
    pub(super) readable: bool,
}

impl Fact {
    /// The same, for what a run has covered.
    fn before(&self, readiness: i16) -> Before {
        let role = match self {
            Fact { kind: 0, .. } => Role::None,
            Fact { listening: true, .. } => Role::Listening,
            Fact { connected: true, .. } => Role::Connected,
            Fact { bound: true, .. } => Role::Bound,
            _ => Role::Fresh,
        };
        Before { kind: self.kind, role, readiness }
    }
}

/// A step that was made.
pub(super) struct Done {
    /// The numbers of its slots, in the order in which they were asked for.
    pub(super) numbers: Vec<i32>,
    /// What came of it.
    pub(super) answer: Answer,
    /// What it was made on.
    pub(super) before: Before,
}

/// Runs a program, as a user.
pub(super) fn run(profile: &Profile, program: &Program, prefix: &[u8], user: u32) -> Ran {
    let mut state = State::new(profile.clone(), program, prefix, user);
    let mut done = Vec::with_capacity(program.steps.len());
    let mut broken = None;
    for (index, step) in program.steps.iter().enumerate() {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            if index == program.before_fork {
                state.fork(program.processes);
            }
            state.process = step.process;
            let made = state.step(&step.request, program.looks_around_after(index));
            if index % CHECKED_EVERY == CHECKED_EVERY - 1 {
                state.check();
            }
            made
        }));
        match outcome {
            Ok(made) => done.push(made),
            Err(panic) => {
                broken = Some(message(panic.as_ref()));
                break;
            }
        }
    }
    Ran { done, pids: state.pids(), broken, left_out: 0 }
}

/// What a panic said.
pub(super) fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no message").to_owned()
}

/// A model with a program's processes and slots.
#[derive(Clone)]
pub(super) struct State<'a> {
    pub(super) machine: Machine,
    pub(super) processes: Vec<(Pid, Tid)>,
    /// What each slot stands for, per process.
    slots: Vec<BTreeMap<u16, i32>>,
    /// The last slot for each number, per process.
    by_number: Vec<BTreeMap<i32, u16>>,
    /// What each process had open after its last step: [`Tag::After`].
    pub(super) last: Vec<Vec<u8>>,
    /// Index of the process that acts.
    pub(super) process: usize,
    cargo: i32,
    prefix: &'a [u8],
    pub(super) numbers: Vec<i32>,
    /// Per process the signals that it has handled; empty where no signal is compared.
    heard: Vec<Vec<i32>>,
    /// Whether what is called is called on the kernel, too.
    performs: bool,
    /// The threads and the calls that wait in them, where any may.
    pub(super) waits: Option<Box<Waits>>,
}

impl<'a> State<'a> {
    pub(super) fn new(profile: Profile, program: &Program, prefix: &'a [u8], user: u32) -> Self {
        let mut state = State {
            machine: Machine::new(profile),
            processes: vec![(Pid(1), Tid(1))],
            slots: vec![BTreeMap::new()],
            by_number: vec![BTreeMap::new()],
            last: vec![Vec::new()],
            process: 0,
            cargo: program.cargo,
            prefix,
            numbers: Vec::new(),
            heard: Vec::new(),
            performs: false,
            waits: None,
        };
        // The kernel's directory is the program's own, and its table holds 0 to 2.
        state.call(&mut Call::Umask { mask: 0 });
        state.call(&mut Call::Mkdir { path: b"/up", mode: 0o755 });
        state.call(&mut Call::Mkdir { path: b"/up/program", mode: 0o777 });
        state.call(&mut Call::Chdir { path: b"/up/program" });
        state.call(&mut Call::Umask { mask: 0o022 });
        if program.threads == 1 {
            state.listen();
        }
        if user != 0 {
            let call = &mut Call::Setids { uid: user, gid: user, groups: &[] };
            assert_eq!(state.call(call), Some(Ok(0)), "a fresh machine's process is root");
        }
        state
    }

    /// Handles signals.
    fn listen(&mut self) {
        let new = Some(Sigaction { handler: SigHandler::Handle, flags: SaFlags::empty() });
        for signal in HEARD {
            self.call(&mut Call::Sigaction { signal, new, old: &mut Sigaction::default() });
        }
        self.heard = vec![Vec::new()];
    }

    /// Whether signals are handled, and compared.
    pub(super) fn listens(&self) -> bool {
        !self.heard.is_empty()
    }

    /// Handles the signals that the acting process was sent.
    fn hear(&mut self) {
        let Some(heard) = self.heard.get_mut(self.process) else { return };
        while let Some(signal) = self.machine.next_signal(self.processes[self.process].1) {
            heard.push(signal);
        }
    }

    /// The signals that the acting process has handled since this was asked for.
    fn take_heard(&mut self) -> Vec<i32> {
        self.heard.get_mut(self.process).map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn fork(&mut self, processes: usize) {
        for _ in 1..processes {
            let child = self.machine.fork(Pid(1)).expect("the model forks");
            self.drain();
            self.processes.push(child);
            self.slots.push(self.slots[0].clone());
            self.by_number.push(self.by_number[0].clone());
            self.last.push(self.last[0].clone());
            if self.listens() {
                self.heard.push(Vec::new());
            }
        }
    }

    /// The processes' ids.
    pub(super) fn pids(&self) -> Vec<i32> {
        self.processes.iter().map(|(pid, _)| pid.0).collect()
    }

    /// # Panics
    /// If an invariant of the machine is broken.
    pub(super) fn check(&self) {
        if let Err(violation) = self.machine.check() {
            panic!("broken invariant: {violation:?}");
        }
    }

    /// Makes a step; `None` if its call would wait.
    pub(super) fn step(&mut self, request: &Request, looks_around: bool) -> Option<Done> {
        let before = self.before(request);
        self.numbers.clear();
        self.performs = true;
        let answer = perform(self, request);
        self.performs = false;
        let mut answer = answer?;
        let mut touched = self.numbers.clone();
        touched.extend(self.enter(request, &answer));
        let numbers = self.numbers.clone();
        self.performs = true;
        look(self, &mut answer, (!looks_around).then_some(&touched));
        self.performs = false;
        answer.push_signals(self.take_heard());
        let after = answer.field(Tag::After).unwrap_or(&[]);
        after.clone_into(&mut self.last[self.process]);
        Some(Done { numbers, answer, before })
    }

    /// What a request of the acting process would be made on.
    pub(super) fn before(&mut self, request: &Request) -> Before {
        let mut first = None;
        request.clone().each_slot(&mut |slot| first = first.or(Some(*slot)));
        let number = first.map_or(-1, |slot| self.find(slot));
        let last = self.last[self.process].chunks_exact(ENTRY);
        let mut entry = last.filter(|entry| i32::from(entry[0]) == number);
        let readiness = entry.next().map_or(0, |entry| i16::from_ne_bytes([entry[1], entry[2]]));
        self.fact(number, 0).map_or(Before::default(), |fact| fact.before(readiness))
    }

    /// Enters the descriptors that a request of the acting process made; tells their numbers.
    pub(super) fn enter(&mut self, request: &Request, answer: &Answer) -> Vec<i32> {
        let all = made(request, answer);
        for (slot, number) in &all {
            self.slots[self.process].insert(*slot, *number);
            self.by_number[self.process].insert(*number, *slot);
        }
        all.into_iter().map(|(_, number)| number).collect()
    }

    /// How many descriptors the acting process had open after its last step.
    pub(super) fn open(&self) -> usize {
        self.last[self.process].len() / ENTRY
    }

    fn find(&self, slot: Slot) -> i32 {
        match slot {
            Slot::Made(slot) => self.slots[self.process].get(&slot).copied().unwrap_or(NEVER),
            Slot::Console => 0,
            Slot::Negative => -1,
        }
    }

    /// One more than the highest number that the acting process had open after its last step.
    pub(super) fn highest(&self) -> usize {
        let last = self.last[self.process].chunks_exact(ENTRY).next_back();
        last.map_or(3, |entry| usize::from(entry[0]) + 1)
    }

    /// The numbers that the acting process was given, in order, each with the last slot for it.
    pub(super) fn numbered(&self) -> Vec<(i32, u16)> {
        let numbered = self.by_number[self.process].iter();
        numbered.map(|(number, slot)| (*number, *slot)).collect()
    }

    /// What the acting process has open under a number.
    pub(super) fn fact(&mut self, number: i32, slot: u16) -> Option<Fact> {
        let fd = fd(number);
        self.call(&mut Call::Fcntl { fd, command: Fcntl::Getfd })?.ok()?;
        let mut fact = Fact { slot, ..Fact::default() };
        let Some(kind) = self.kind(number) else { return Some(fact) };
        fact.kind = kind;
        fact.listening = self.option(number, SO_ACCEPTCONN) == Some(1);
        let mut name = NameOut::new();
        let connected = self.call(&mut Call::Getpeername { fd, name: &mut name });
        fact.connected = connected == Some(Ok(0));
        self.call(&mut Call::Getsockname { fd, name: &mut name })?.ok()?;
        fact.bound = name.written().len() > 2;
        // Not OUT: asking for that has the socket told of room in its peer's queue (POLL 2).
        let mut fds = [PollFd::new(fd, Readiness::IN)];
        self.call(&mut Call::Poll { fds: &mut fds, timeout: Some(Duration::ZERO), mask: None })?
            .ok()?;
        fact.readable = fds[0].revents.contains(Readiness::IN);
        Some(fact)
    }

    fn cargo_number(&mut self, slot: Slot, carrier: i32) -> i32 {
        let number = self.find(slot);
        // Sockets of one type only are sent, over sockets of the others: no cycle can come to be.
        let carries = self.kind(carrier).is_some_and(|kind| kind != self.cargo);
        let fits = self.kind(number).is_none_or(|kind| kind == self.cargo && carries);
        if fits && slot != Slot::Console { number } else { self.cargo_file() }
    }

    /// The file that is sent in place of what must not be; -1 if its number is a socket's by now.
    fn cargo_file(&mut self) -> i32 {
        let number = self.find(Slot::Made(CARGO_FILE));
        if self.kind(number).is_none() { number } else { -1 }
    }

    /// The type of the socket with this number, if it is one.
    fn kind(&mut self, number: i32) -> Option<i32> {
        self.option(number, SO_TYPE)
    }

    fn option(&mut self, number: i32, option: i32) -> Option<i32> {
        let mut buffer = [0; 4];
        let mut value = OptionOut::new(&mut buffer);
        let level = SOL_SOCKET;
        let mut call = Call::Getsockopt { fd: fd(number), level, option, value: &mut value };
        let found = self.call(&mut call)?.is_ok();
        found.then(|| i32::from_ne_bytes(buffer))
    }
}

impl Side for State<'_> {
    fn number(&mut self, slot: Slot) -> i32 {
        let number = self.number_again().unwrap_or_else(|| self.find(slot));
        self.numbers.push(number);
        number
    }

    fn cargo(&mut self, slot: Slot, carrier: i32) -> i32 {
        let number = match self.number_again() {
            Some(number) => number,
            None => self.aside(|state| state.cargo_number(slot, carrier)),
        };
        self.numbers.push(number);
        number
    }

    fn pid(&self, process: usize) -> i32 {
        self.processes.get(process).map_or(0, |(pid, _)| pid.0)
    }

    fn prefix(&self) -> &[u8] {
        self.prefix
    }

    fn call(&mut self, call: &mut Call<'_, '_>) -> Option<Result<usize, Errno>> {
        if self.is_acting() {
            return self.act(call);
        }
        if self.performs {
            self.hear();
        }
        let outcome = self.machine.step(self.now(), self.observer(), call, Resume::First);
        self.drain();
        if self.performs {
            self.hear();
        }
        match outcome {
            Outcome::Done(result) => Some(result),
            // No call waits that a signal could interrupt.
            Outcome::Restart => None,
            Outcome::Blocked { ticket, .. } => {
                self.machine.cancel(ticket);
                self.drain();
                None
            }
        }
    }
}
