//! Making programs at random, weighted to reach deep states.
//!
//! A program is run on a model while it is made, so that most calls make sense: what is read from
//! has data, what is accepted from has a connection. Bursts fill and drain queues. Calls that would
//! wait are left out at once.

mod actions;
mod alerts;
mod arguments;
mod files;
mod messages;
mod situations;
mod waiting;
mod watching;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use afunix_model::machine::Resume;
use rand_core::RngCore;

use super::here::Here;
use super::model::{self, CHECKED_EVERY, Done, Fact, State};
use super::perform::LOOKED_AT;
use super::program::*;
pub(super) use waiting::waiting_program;

/// Steps of a program, about.
const LENGTH: usize = 160;
/// One round of calls in so many begins with a situation.
const SITUATION_EVERY: usize = 6;
/// The users that processes become: two for each program, so that what one program leaves in flight
/// is not counted against the next (CMSG 4).
const STRANGERS: std::ops::Range<u32> = 50_000..60_000;
/// A group that some processes have in common.
const COMMON: u32 = 777;
/// RLIMIT_NOFILE of a program, but where it is narrowed for a while.
const TABLE: u32 = LOOKED_AT as u32;
/// Where descriptors go that nothing uses.
const UNUSED: u16 = u16::MAX - 20;
const NONBLOCK: i32 = 0o4000;
const CLOEXEC: i32 = 0o2000000;
const DONTWAIT: i32 = 0x40;
const OOB: i32 = 1;
const PEEK: i32 = 2;
const KINDS: [i32; 3] = [1, 2, 5];

/// What a program is made for.
pub(super) struct Setting<'a> {
    pub(super) here: &'a Here,
    /// What stands before its abstract names.
    pub(super) prefix: &'a [u8],
    /// Who runs it.
    pub(super) user: u32,
    /// Its number in the run.
    pub(super) number: u64,
}

/// Makes a program, and tells what the model made of it.
pub(super) fn program<'r>(
    random: &'r mut dyn RngCore,
    setting: &'r Setting<'r>,
) -> (Program, model::Ran) {
    let mut maker = Maker::new(random, setting, 1);
    maker.begin();
    if maker.one_in(3) {
        maker.situation();
    }
    let processes = maker.pick(&[1, 1, 2, 2, 2, 3]);
    maker.program.before_fork = maker.program.steps.len();
    maker.program.processes = processes;
    maker.state.fork(processes);
    for process in 1..processes {
        maker.process = process;
        if maker.is_root && maker.one_in(2) {
            maker.become_a_stranger(process as u32 - 1);
        }
    }
    let length = LENGTH / 2 + maker.below(LENGTH);
    // A few calls are left out: this many rounds bring enough.
    for _ in 0..length {
        maker.process = maker.below(processes);
        if maker.one_in(SITUATION_EVERY) {
            maker.situation();
        }
        for _ in 0..1 + maker.below(9) {
            maker.anything();
        }
        if maker.program.steps.len() >= length {
            break;
        }
    }
    for process in 0..processes {
        maker.process = process;
        maker.conclude();
    }
    let pids = maker.state.pids();
    let Maker { program, done, broken, left_out, .. } = maker;
    (program, model::Ran { done, pids, broken, left_out })
}

/// What a call is to be made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pick {
    Any,
    /// Neither bound, connected nor listening.
    Fresh,
    /// Bound, and neither connected nor listening.
    Bound,
    Listening,
    /// A listener with a connection.
    Pending,
    Connected,
    /// A socket with something to read.
    Readable,
}

impl Pick {
    fn fits(self, fact: &Fact) -> bool {
        let is_socket = fact.kind != 0;
        let is_alone = is_socket && !fact.connected && !fact.listening;
        match self {
            Pick::Any => true,
            Pick::Fresh => is_alone && !fact.bound,
            Pick::Bound => is_alone && fact.bound,
            Pick::Listening => fact.listening,
            Pick::Pending => fact.listening && fact.readable,
            Pick::Connected => fact.connected,
            Pick::Readable => is_socket && !fact.listening && fact.readable,
        }
    }
}

struct Maker<'r> {
    random: &'r mut dyn RngCore,
    setting: &'r Setting<'r>,
    is_root: bool,
    /// The first of the users that processes become.
    stranger: u32,
    /// Slots that the present situation is about.
    focus: Vec<u16>,
    /// The slot of the last epoll that was made.
    epoll: Option<u16>,
    /// How far below the program's directory each process's working directory is.
    depths: Vec<usize>,
    state: State<'r>,
    /// What the model said when it panicked: no more steps are made.
    broken: Option<String>,
    /// What is made.
    program: Program,
    /// Steps that would have waited.
    left_out: u64,
    /// What came of each step but the one that broke the model.
    done: Vec<Option<Done>>,
    /// Names that were bound, with the type.
    names: Vec<(i32, Name)>,
    next_slot: u16,
    process: usize,
}

impl<'r> Maker<'r> {
    /// For a program with so many threads in each process.
    fn new(random: &'r mut dyn RngCore, setting: &'r Setting<'r>, threads: usize) -> Self {
        let Setting { here, prefix, user, number } = *setting;
        let span = u64::from(STRANGERS.end - STRANGERS.start) / 2;
        let cargo = KINDS[random.next_u32() as usize % KINDS.len()];
        let program = Program { processes: 1, threads, cargo, ..Program::default() };
        Maker {
            random,
            setting,
            is_root: user == 0,
            stranger: STRANGERS.start + 2 * (number % span) as u32,
            focus: Vec::new(),
            epoll: None,
            depths: vec![0; 8],
            state: State::new(here.profile.clone(), &program, prefix, user),
            program,
            left_out: 0,
            broken: None,
            done: Vec::new(),
            names: Vec::new(),
            next_slot: 0,
            process: 0,
        }
    }
}

impl Maker<'_> {
    /// The first steps, which all processes have in common.
    fn begin(&mut self) {
        self.add(Request::Limit { descriptors: TABLE });
        let into = self.slot();
        assert_eq!(into, CARGO_FILE, "the first slot is the file");
        self.add(Request::Open { path: "f1", flags: 0o102, mode: 0o644, into });
        for _ in 0..self.below(5) {
            self.anything();
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.random.next_u32() as usize) % limit
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// Makes the step on the model, and keeps it unless it would wait. Whether it succeeded.
    fn add(&mut self, request: Request) -> bool {
        let option = match request {
            Request::Getsockopt { option, .. } | Request::Setsockopt { option, .. } => Some(option),
            _ => None,
        };
        if self.broken.is_some()
            || option.is_some_and(|option| self.setting.here.lacks.contains(&option))
        {
            return false;
        }
        if self.state.waits.is_some() {
            return self.add_waiting(request);
        }
        let request = off_the_console(request);
        self.state.process = self.process;
        let index = self.program.steps.len();
        let made = catch_unwind(AssertUnwindSafe(|| {
            let made = self.state.step(&request, looks_around_after(index));
            if index % CHECKED_EVERY == CHECKED_EVERY - 1 {
                self.state.check();
            }
            made
        }));
        let (process, mut succeeded) = (self.process, false);
        match made {
            Ok(None) => {
                self.left_out += 1;
                self.replay();
                return false;
            }
            Ok(Some(done)) => {
                succeeded = done.answer.result().is_ok();
                self.done.push(Some(done));
            }
            Err(panic) => self.broken = Some(model::message(panic.as_ref())),
        }
        self.program.steps.push(Step { process, thread: 0, request });
        succeeded
    }

    /// Makes the steps again: one that is left out may have gone part of its way.
    fn replay(&mut self) {
        let Setting { here, prefix, user, .. } = *self.setting;
        let program = &self.program;
        let mut state = State::new(here.profile.clone(), program, prefix, user);
        for (index, step) in program.steps.iter().enumerate() {
            if index == program.before_fork {
                state.fork(program.processes);
            }
            state.process = step.process;
            state.step(&step.request, looks_around_after(index));
        }
        if program.before_fork == program.steps.len() {
            state.fork(program.processes);
        }
        self.state = state;
    }

    fn slot(&mut self) -> u16 {
        self.slots(1)
    }

    /// The first of so many fresh slots.
    fn slots(&mut self, count: u16) -> u16 {
        self.next_slot += count;
        self.next_slot - count
    }

    /// A slot of this kind if there is one, else any; and now and then something else altogether.
    fn find(&mut self, what: Pick) -> (Slot, i32) {
        match self.below(60) {
            0 => return (Slot::Console, 0),
            1 if self.one_in(3) => return (Slot::Negative, 0),
            2 => return (Slot::Made(self.random.next_u32() as u16 % (self.next_slot + 2)), 0),
            _ => {}
        }
        if !self.focus.is_empty() && self.one_in(2) {
            let focus = std::mem::take(&mut self.focus);
            let fact = self.search(|fact| focus.contains(&fact.slot) && what.fits(fact));
            self.focus = focus;
            if let Some(fact) = fact {
                return (Slot::Made(fact.slot), fact.kind);
            }
        }
        let what = if self.one_in(10) { Pick::Any } else { what };
        let fact = self.search(|fact| what.fits(fact));
        match fact.or_else(|| self.search(|fact| fact.kind != 0)) {
            None => (Slot::Console, 0),
            Some(fact) => (Slot::Made(fact.slot), fact.kind),
        }
    }

    /// Something that the acting process has open and that fits: any may be found.
    fn search(&mut self, fits: impl Fn(&Fact) -> bool) -> Option<Fact> {
        if self.broken.is_some() {
            return None;
        }
        self.state.process = self.process;
        let mut left = self.state.numbered();
        while !left.is_empty() {
            let at = self.below(left.len());
            let (number, slot) = left.swap_remove(at);
            if let Some(fact) = self.state.fact(number, slot).filter(|fact| fits(fact)) {
                return Some(fact);
            }
        }
        None
    }

    fn any(&mut self) -> Slot {
        self.find(Pick::Any).0
    }
}

impl Maker<'_> {
    /// The acting process stops being root, with groups that it may share with others.
    fn become_a_stranger(&mut self, index: u32) {
        let user = self.stranger + index % 2;
        let group = self.pick(&[user, user, COMMON]);
        let groups = self.pick(&[vec![], vec![COMMON], vec![COMMON, 5, user], (1..40).collect()]);
        self.add(Request::Become { user, group, groups });
    }
}

/// Only calls of sockets are made on the console: what it is on the kernel is none of our affair.
fn off_the_console(mut request: Request) -> Request {
    match &mut request {
        Request::Send { fd, by: SendBy::Write | SendBy::Writev, .. }
        | Request::Receive { fd, by: ReceiveBy::Read | ReceiveBy::Readv, .. }
        | Request::Close { fd }
        | Request::Dup { fd, .. }
        | Request::Dup2 { fd, .. }
        | Request::Dup3 { fd, .. }
        | Request::Fcntl { fd, .. }
        | Request::Ioctl { fd, .. }
        | Request::Lseek { fd, .. }
        | Request::Fstat { fd }
        | Request::Getdents { fd }
        | Request::Fchmod { fd, .. }
        | Request::Fchdir { fd }
        | Request::Unixfile { fd, .. }
        | Request::Signal(SignalCall::Own { fd, .. } | SignalCall::Owner { fd, .. })
        | Request::EpollWait { fd, .. }
            if *fd == Slot::Console =>
        {
            *fd = Slot::Negative;
        }
        _ => {}
    }
    request
}
