//! Making programs at random, weighted to reach deep states.
//!
//! A program is run on a model while it is made, so that most calls make sense: what is read from
//! has data, what is accepted from has a connection. Bursts fill and drain queues. Calls that would
//! wait are left out at once.

mod actions;
mod arguments;

use std::panic::{AssertUnwindSafe, catch_unwind};

use afunix_model::profile::Profile;
use rand_core::RngCore;

use super::model::{Fact, State};
use super::program::*;

/// Steps of a program, about.
const LENGTH: usize = 160;
/// The user that a process becomes.
const STRANGER: u32 = 54321;
/// Where descriptors go that nothing uses.
const UNUSED: u16 = u16::MAX - 20;
const NONBLOCK: i32 = 0o4000;
const CLOEXEC: i32 = 0o2000000;
const DONTWAIT: i32 = 0x40;
const KINDS: [i32; 3] = [1, 2, 5];

/// Makes a program.
pub(super) fn program(random: &mut dyn RngCore, profile: &Profile, user: u32) -> Program {
    let cargo = KINDS[random.next_u32() as usize % KINDS.len()];
    let empty = Program { processes: 1, before_fork: 0, cargo, steps: Vec::new() };
    let mut maker = Maker {
        random,
        is_root: user == 0,
        state: State::new(profile.clone(), &empty, b"generated-", user),
        is_broken: false,
        steps: Vec::new(),
        names: Vec::new(),
        next_slot: 0,
        process: 0,
    };
    maker.add(Request::Limit { descriptors: 26 });
    let into = maker.slot();
    assert_eq!(into, CARGO_FILE, "the first slot is the file");
    maker.add(Request::Open { path: "f1", flags: 0o102, mode: 0o644, into });
    for _ in 0..maker.below(5) {
        maker.anything();
    }
    let before_fork = maker.steps.len();
    let processes = maker.pick(&[1, 1, 2, 2, 2, 3]);
    maker.state.fork(processes);
    if maker.is_root && maker.one_in(3) {
        maker.process = processes - 1;
        maker.add(Request::Become { user: STRANGER });
    }
    let length = LENGTH / 2 + maker.below(LENGTH);
    // A few calls are left out: this many rounds bring enough.
    for _ in 0..length {
        maker.process = maker.below(processes);
        for _ in 0..1 + maker.below(9) {
            maker.anything();
        }
        if maker.steps.len() >= length {
            break;
        }
    }
    Program { processes, before_fork, cargo, steps: maker.steps }
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
    is_root: bool,
    state: State<'static>,
    /// The model panicked: no more steps are made, and the run will show it.
    is_broken: bool,
    steps: Vec<Step>,
    /// Names that were bound, with the type.
    names: Vec<(i32, Name)>,
    next_slot: u16,
    process: usize,
}

impl Maker<'_> {
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
        if self.is_broken {
            return false;
        }
        let request = off_the_console(request);
        self.state.process = self.process;
        let done = catch_unwind(AssertUnwindSafe(|| self.state.step(&request)));
        let done = match done {
            Ok(None) => return false,
            Ok(Some(done)) => Some(done),
            Err(_) => {
                self.is_broken = true;
                None
            }
        };
        self.steps.push(Step { process: self.process, request });
        done.is_some_and(|done| done.answer.result().is_ok())
    }

    fn slot(&mut self) -> u16 {
        self.next_slot += 1;
        self.next_slot - 1
    }

    fn facts(&mut self) -> Vec<Fact> {
        if self.is_broken {
            return Vec::new();
        }
        self.state.process = self.process;
        self.state.facts()
    }

    /// A slot of this kind if there is one, else any; and now and then something else altogether.
    fn find(&mut self, what: Pick) -> (Slot, i32) {
        match self.below(60) {
            0 => return (Slot::Console, 0),
            1 if self.one_in(3) => return (Slot::Negative, 0),
            2 => return (Slot::Made(self.random.next_u32() as u16 % (self.next_slot + 2)), 0),
            _ => {}
        }
        let all = self.facts();
        let strict = !self.one_in(10);
        let mut found: Vec<&Fact> = all.iter().filter(|fact| !strict || what.fits(fact)).collect();
        if found.is_empty() {
            found = all.iter().filter(|fact| fact.kind != 0).collect();
        }
        match found.is_empty() {
            true => (Slot::Console, 0),
            false => {
                let fact = self.pick(&found);
                (Slot::Made(fact.slot), fact.kind)
            }
        }
    }

    fn any(&mut self) -> Slot {
        self.find(Pick::Any).0
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
        | Request::Fchmod { fd, .. }
            if *fd == Slot::Console =>
        {
            *fd = Slot::Negative;
        }
        _ => {}
    }
    request
}
