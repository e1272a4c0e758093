//! Programs whose calls wait: fewer flags against it, timeouts, signals, and threads.
//!
//! While it is made a program is run on a model alone, in the order of the wakes: what waits there
//! need not wait when the program is led, if the kernel lets another thread win.

use afunix::options::{SO_RCVTIMEO, SO_SNDBUF, SO_SNDTIMEO};

use super::*;
use crate::differential::perform::WHOLE;

/// Steps of a program, about.
const LENGTH: usize = 100;
/// Most threads of a process that make steps.
const THREADS: usize = 3;
/// Milliseconds that a call may wait, at most: far more than a program takes, or little.
const TIMEOUTS: [u64; 5] = [20, 24, 32, 32, 40];
/// The clock goes on by so much with each step.
const STEP: Duration = Duration::from_micros(100);
/// Times that a program lets time pass, at most: each takes as long.
const PASSES: usize = 2;

/// Makes a program whose calls wait.
pub(in super::super) fn waiting_program(
    random: &mut dyn RngCore,
    setting: &Setting<'_>,
) -> Program {
    let mut maker = Maker::new(random, setting, 2);
    maker.begin();
    maker.set_the_stage();
    maker.program.before_fork = maker.program.steps.len();
    let processes = maker.pick(&[1, 1, 2, 2, 3]);
    let threads = 2 + maker.below(THREADS - 1);
    maker.state.fork(processes);
    maker.state.start_threads(threads);
    if maker.is_root && maker.one_in(4) {
        maker.process = processes - 1;
        maker.become_a_stranger(0);
    }
    let (length, mut passes) = (LENGTH / 2 + maker.below(LENGTH), 0);
    for _ in 0..length {
        maker.process = maker.below(processes);
        for _ in 0..1 + maker.below(5) {
            maker.something(&mut passes);
        }
        if maker.program.steps.len() >= length || maker.broken.is_some() {
            break;
        }
    }
    Program { processes, threads, looks_around: true, ..maker.program }
}

impl Maker<'_> {
    /// Sockets that all processes have, and on which calls wait.
    fn set_the_stage(&mut self) {
        for index in 0..2 + self.below(2) {
            let (kind, into) = (self.pick(&KINDS), [(); 2].map(|()| self.slot()));
            match self.below(4) {
                0 | 1 => {
                    self.add(Request::Socketpair { domain: 1, kind, protocol: 0, into });
                }
                2 => self.one_way(into, index as u8),
                _ => self.full_listener(if kind == 2 { 1 } else { kind }, into, index as u8),
            }
            let fd = Slot::Made(self.pick(&into));
            let option = self.pick(&[SO_SNDBUF, SO_SNDBUF, SO_RCVTIMEO, SO_SNDTIMEO]);
            if self.one_in(3) {
                let value = match option {
                    SO_SNDBUF => 4608i32.to_ne_bytes().to_vec(),
                    _ => [0, self.pick(&TIMEOUTS) * 1000].map(u64::to_ne_bytes).concat(),
                };
                self.add(Request::Setsockopt { fd, level: 1, option, value });
            }
        }
    }

    /// A datagram socket that is connected to another one way.
    fn one_way(&mut self, [from, to]: [u16; 2], index: u8) {
        for into in [from, to] {
            self.add(Request::Socket { domain: 1, kind: 2, protocol: 0, into });
        }
        self.bind(Slot::Made(to), 2, Name::Abstract(index));
        self.add(Request::Connect { fd: Slot::Made(from), name: Name::Abstract(index) });
    }

    /// A listener whose backlog is full or nearly so.
    fn full_listener(&mut self, kind: i32, [fd, spare]: [u16; 2], index: u8) {
        let (domain, protocol, name) = (1, 0, Name::Abstract(index));
        self.add(Request::Socket { domain, kind, protocol, into: fd });
        self.bind(Slot::Made(fd), kind, name.clone());
        let backlog = self.pick(&[0, 0, 1]);
        self.add(Request::Listen { fd: Slot::Made(fd), backlog });
        for _ in 0..self.below(3) {
            let into = self.slot();
            self.add(Request::Socket { domain, kind, protocol, into });
            self.add(Request::Connect { fd: Slot::Made(into), name: name.clone() });
        }
        // Two that may connect later.
        let more = self.slot();
        for into in [spare, more] {
            self.add(Request::Socket { domain, kind, protocol, into });
        }
    }

    fn something(&mut self, passes: &mut usize) {
        if self.broken.is_some() {
            return;
        }
        let waiting: Vec<(usize, usize)> = self.state.pending().keys().copied().collect();
        if waiting.is_empty() {
            return if self.one_in(3) { self.wait() } else { self.anything() };
        }
        match self.below(24) {
            0 | 1 => {
                let (process, thread) = self.pick(&waiting);
                self.process = process;
                let restart = self.one_in(2);
                self.add(Request::Interrupt { thread, restart });
            }
            2 | 3 if *passes < PASSES => *passes += usize::from(self.add(Request::Pass)),
            2..=9 => self.wait(),
            10..=17 => self.stir(&waiting),
            _ => self.anything(),
        }
    }

    /// A call that may well wait.
    fn wait(&mut self) {
        match self.below(12) {
            0..=4 => self.wait_to_receive(),
            5 | 6 => {
                let (fd, _) = self.find(Pick::Listening);
                let (want, into) = (self.want(), self.slot());
                self.add(Request::Accept { fd, flags: 0, want, into });
            }
            7 | 11 => {
                let (fd, kind) = self.find(Pick::Fresh);
                let name = self.known_name(kind);
                self.add(Request::Connect { fd, name });
            }
            8 | 9 => self.fill(),
            _ => self.wait_for_readiness(),
        }
    }

    fn wait_to_receive(&mut self) {
        let (fd, _) = self.find(Pick::Connected);
        let by = match self.below(3) {
            0 => ReceiveBy::Read,
            1 => ReceiveBy::Recvfrom(WHOLE),
            _ => ReceiveBy::Recvmsg(WHOLE, Room::Bytes(64)),
        };
        let data = vec![Piece { len: self.pick(&[1, 4, 10, 100, 5000, 100_000]), faults: false }];
        // MSG_WAITALL, MSG_PEEK.
        let flags = self.pick(&[0, 0, 0, 0x100, 0x100, 2]);
        let into = self.slot();
        for _ in 1..4 {
            self.slot();
        }
        self.add(Request::Receive { fd, by, data, flags, into });
    }

    /// Sends until it waits.
    fn fill(&mut self) {
        let (fd, kind) = self.find(Pick::Connected);
        let name = if kind == 2 && self.one_in(2) { self.known_name(kind) } else { Name::None };
        let len = self.pick(&[1, 4000, 40_000, 200_000, 400_000]);
        let len = if kind == 1 { len } else { len.min(40_000) };
        let piece = Piece { len, faults: false };
        for _ in 0..13 {
            let by = SendBy::Sendto(name.clone());
            if !self.add(Request::Send { fd, by, data: vec![piece], flags: 0 }) {
                return;
            }
        }
    }

    fn wait_for_readiness(&mut self) {
        let mut fds = Vec::new();
        for _ in 0..1 + self.below(2) {
            fds.push((self.any(), self.pick(&[1, 4, 5, 2, 0x2000, 0, 0x2001])));
        }
        let timeout = if self.one_in(2) { -1 } else { self.pick(&TIMEOUTS) as i32 };
        match self.below(4) {
            0 | 1 => drop(self.add(Request::Poll { fds, timeout })),
            2 => self.wait_at_an_epoll(timeout),
            _ => {
                let all = fds.iter().map(|(slot, _)| *slot);
                let all: Vec<Slot> = all.filter(|slot| *slot != Slot::Negative).collect();
                let mut sets = [const { None }; 3];
                sets[self.pick(&[0, 0, 0, 1, 1, 2])] = Some(all);
                self.add(Request::Select { nfds: 100, sets, timeout });
            }
        }
    }

    /// At an epoll of its own, so that who else waits takes no event away.
    fn wait_at_an_epoll(&mut self, timeout: i32) {
        let into = self.slot();
        let (fd, what) = (Slot::Made(into), self.pick(&[Pick::Connected, Pick::Listening]));
        self.add(Request::EpollCreate { flags: 0, into });
        let (target, _) = self.find(what);
        let target = if target == Slot::Console { Slot::Negative } else { target };
        let events = Some(self.pick(&[1, 1, 4, 0x2001, 0x8000_0001, 0x4000_0001]));
        self.add(Request::EpollCtl { fd, op: 1, target, events });
        self.add(Request::EpollWait { fd, room: 4, timeout });
    }

    /// Something that may let go on a call that waits: done to its own socket, or its peer.
    fn stir(&mut self, waiting: &[(usize, usize)]) {
        let at = self.pick(waiting);
        let mut own = None;
        let mut request = self.state.pending()[&at].request.clone();
        request.each_slot(&mut |slot| own = own.or(Some(*slot)));
        let Some(own) = own else { return };
        if self.one_in(2) {
            self.process = at.0;
        }
        let peer = self.peer_of(own);
        let other = if self.one_in(6) { own } else { peer };
        let either = self.pick(&[own, other]);
        let data = vec![Piece { len: self.pick(&[1, 1, 3, 100, 5000, 40_000]), faults: false }];
        let into = self.slot();
        match self.below(20) {
            0..=5 => {
                let by = SendBy::Sendto(Name::None);
                let flags = self.pick(&[0, DONTWAIT, DONTWAIT, 0x41]);
                self.add(Request::Send { fd: other, by, data, flags });
            }
            6..=8 => {
                let (data, by) = (vec![Piece { len: 100_000, faults: false }], ReceiveBy::Read);
                self.add(Request::Receive { fd: other, by, data, flags: 0, into });
            }
            9 | 10 => {
                let by = ReceiveBy::Recvfrom(WHOLE);
                let flags = self.pick(&[0, DONTWAIT, 0x42]);
                self.add(Request::Receive { fd: other, by, data, flags, into });
            }
            11 | 12 => {
                let how = self.below(3) as i32;
                self.add(Request::Shutdown { fd: either, how });
            }
            13 | 14 => drop(self.add(Request::Close { fd: either })),
            15 => {
                let name = self.known_name(0);
                self.add(Request::Connect { fd: either, name });
            }
            16 => {
                let (fd, new) = (self.any(), own);
                self.add(Request::Dup2 { fd, new, into });
            }
            17 => {
                let (option, value) = (SO_SNDBUF, 100_000i32.to_ne_bytes().to_vec());
                self.add(Request::Setsockopt { fd: own, level: 1, option, value });
            }
            18 => {
                let backlog = self.pick(&[0, 1, 3]);
                let (fd, _) = self.find(Pick::Listening);
                self.add(Request::Listen { fd, backlog });
            }
            _ => {
                let (fd, _) = self.find(Pick::Pending);
                self.add(Request::Accept { fd, flags: 0, want: WHOLE, into });
            }
        }
    }

    /// The other end of a pair, or something that is connected.
    fn peer_of(&mut self, slot: Slot) -> Slot {
        for step in &self.program.steps {
            if let Request::Socketpair { into: [a, b], .. } = step.request {
                match slot {
                    Slot::Made(of) if of == a => return Slot::Made(b),
                    Slot::Made(of) if of == b => return Slot::Made(a),
                    _ => {}
                }
            }
        }
        self.find(Pick::Connected).0
    }

    /// Makes the step in a thread that is free, and lets its call wait there unless no other thread
    /// would be left. Whether it succeeded at once.
    pub(super) fn add_waiting(&mut self, request: Request) -> bool {
        let request = self.loosen(off_the_console(request));
        let index = self.program.steps.len();
        let now = self.state.now() + STEP;
        self.state.set_now(now);
        let threads = self.state.free_threads();
        let own = threads.iter().filter(|(process, _)| *process == self.process);
        let own: Vec<(usize, usize)> = own.copied().collect();
        let at = match &request {
            Request::Interrupt { .. } | Request::Pass => (self.process, 0),
            _ if own.is_empty() => return false,
            _ => self.pick(&own),
        };
        let may_wait = threads.len() > 1;
        let made =
            catch_unwind(AssertUnwindSafe(|| self.state.guess(at, index, &request, may_wait)));
        let succeeded = match made {
            Ok(Guess::Done(succeeded)) => succeeded,
            Ok(Guess::Waits) => false,
            Ok(Guess::LeftOut) => return false,
            Err(panic) => {
                self.broken = Some(model::message(panic.as_ref()));
                false
            }
        };
        self.program.steps.push(Step { process: at.0, thread: at.1, request });
        succeeded
    }

    /// Takes away what keeps calls from waiting, and makes timeouts short.
    fn loosen(&mut self, mut request: Request) -> Request {
        let rarely = self.one_in(4);
        if is_urgent(&request) && self.state.pending().values().any(|one| is_peek(&one.request)) {
            request = Request::Umask { mask: 0o022 };
        }
        let is_marked = self.program.steps.iter().any(|step| is_urgent(&step.request));
        if is_peek(&request) && is_marked {
            return at_once(request);
        }
        match &mut request {
            Request::Send { flags, .. } if !rarely => *flags &= !DONTWAIT,
            Request::Receive { flags, .. } if !rarely => *flags &= !DONTWAIT,
            Request::Socket { kind, .. } | Request::Socketpair { kind, .. } if !rarely => {
                *kind &= !NONBLOCK;
            }
            Request::Accept { flags, .. } if !rarely => *flags &= !NONBLOCK,
            Request::Setsockopt { option, value, .. }
                if *option == SO_RCVTIMEO || *option == SO_SNDTIMEO || rarely =>
            {
                *option = self.pick(&[SO_RCVTIMEO, SO_SNDTIMEO]);
                let micros = self.pick(&TIMEOUTS) * 1000;
                *value = [0u64, micros].map(u64::to_ne_bytes).concat();
            }
            // All threads of a process would change their user one by one.
            Request::Become { .. } if !self.state.pending().is_empty() => {
                return Request::Umask { mask: 0o022 };
            }
            _ => {}
        }
        request
    }
}

/// Whether it sends out-of-band data. No peek waits in a program with any: the kernel (6.18.44)
/// spins in one that has but marks to skip, and may sleep on in one whose mark another has taken
/// when what is sent next is put in the same memory.
fn is_urgent(request: &Request) -> bool {
    match request {
        Request::Send { flags, .. } | Request::SendMany { flags, .. } => flags & OOB != 0,
        _ => false,
    }
}

fn is_peek(request: &Request) -> bool {
    match request {
        Request::Receive { flags, .. } | Request::ReceiveMany { flags, .. } => flags & PEEK != 0,
        _ => false,
    }
}

fn at_once(mut request: Request) -> Request {
    if let Request::Receive { flags, .. } | Request::ReceiveMany { flags, .. } = &mut request {
        *flags |= DONTWAIT;
    }
    request
}

/// What came of a step while its program is made.
pub(in super::super) enum Guess {
    /// It ended at once; whether it succeeded.
    Done(bool),
    Waits,
    /// It would have waited where it must not, or there was nothing to do.
    LeftOut,
}

impl State<'_> {
    /// Makes a step, and lets go on what it woke, in the order of the wakes.
    fn guess(
        &mut self,
        at: (usize, usize),
        index: usize,
        request: &Request,
        may_wait: bool,
    ) -> Guess {
        let guess = match request {
            Request::Pass => self.pass(),
            Request::Interrupt { thread, restart } => {
                self.signal((at.0, *thread), *restart);
                Guess::Done(true)
            }
            request => match self.begin(at, index, request) {
                Some(answer) => Guess::Done(answer.result().is_ok()),
                None if may_wait => Guess::Waits,
                None => {
                    self.give_up(at);
                    Guess::LeftOut
                }
            },
        };
        self.settle();
        guess
    }

    /// The next timeout passes, if it is a short one.
    fn pass(&mut self) -> Guess {
        let deadlines = self.pending().iter();
        let deadlines = deadlines.filter_map(|(at, pending)| Some((pending.deadline?, *at)));
        let Some((next, at)) = deadlines.min() else { return Guess::LeftOut };
        if next > self.now() + Duration::from_millis(100) {
            return Guess::LeftOut;
        }
        self.set_now(next);
        self.resume(at, Resume::TimedOut);
        Guess::Done(true)
    }
}
