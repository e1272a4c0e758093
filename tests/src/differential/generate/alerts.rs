//! Signals and who gets them, filters, capabilities, and what /proc tells.

use afunix::SigHandler;
use afunix::call::Fcntl;
use afunix::options::{FIOASYNC, SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_LOCK_FILTER};

use super::*;

/// O_ASYNC.
pub(super) const ASYNC: i32 = 0o20000;
const SIGPIPE: i32 = 13;
const SIGURG: i32 = 23;
const SIGIO: i32 = 29;
/// A real-time signal.
const MANY: i32 = 40;
/// SA_RESTART.
const RESTART: u32 = 0x1000_0000;
/// SA_RESETHAND.
const ONCE: u32 = 0x8000_0000;

/// `struct sock_filter`.
type Op = (u16, u8, u8, u32);
const PASS: Op = (6, 0, 0, 0x40000);
const DROP: Op = (6, 0, 0, 0);
/// Filters, those that are refused at the end.
const FILTERS: [&[Op]; 15] = [
    &[PASS],
    &[DROP],
    &[(6, 0, 0, 3)],
    &[(6, 0, 0, u32::MAX)],
    // All but the last byte: the length, less one.
    &[(0x80, 0, 0, 0), (0x14, 0, 0, 1), (0x16, 0, 0, 0)],
    // By the byte at 1, which a short message does not have.
    &[(0x30, 0, 0, 1), (0x35, 0, 1, 8), PASS, DROP],
    // Divided by X, which is 0.
    &[(0x80, 0, 0, 0), (0x3c, 0, 0, 0), PASS],
    &[(0x20, 0, 0, 0), (0x15, 1, 0, 0), DROP, (6, 0, 0, 5)],
    &[],
    &[(0x80, 0, 0, 0)],
    &[(0xffff, 0, 0, 0), PASS],
    &[(0x34, 0, 0, 0), PASS],
    &[(0x15, 9, 0, 0), PASS],
    &[(0x60, 0, 0, 3), PASS],
    &[(0x02, 0, 0, 16), PASS],
];

impl Maker<'_> {
    /// Who is told of what happens to a file, and what becomes of signals.
    pub(super) fn alert(&mut self) {
        if !self.state.listens() {
            return;
        }
        let ((fd, _), by) = (self.find(Pick::Connected), self.owner_by());
        let call = match self.below(12) {
            0..=2 => SignalCall::Own { fd, by, owner: self.owner() },
            3 => SignalCall::Owner { fd, by },
            4 => {
                let signal = self.pick(&[0, SIGURG, SIGIO, MANY, MANY, 99]);
                SignalCall::Kill { process: self.below(4), signal }
            }
            5..=6 => {
                let handlers = [SigHandler::Handle, SigHandler::Ignore, SigHandler::Handle];
                // What would end the process if it came once more is handled always.
                let signal = self.pick(&[SIGPIPE, SIGURG, SIGIO, MANY, 0, 99, 9]);
                let (handler, flags) = match signal {
                    SIGURG => {
                        let all = [SigHandler::Default, SigHandler::Handle];
                        (self.pick(&all), self.pick(&[0, RESTART, ONCE]))
                    }
                    _ => (self.pick(&handlers), self.pick(&[0, RESTART])),
                };
                let handler = if self.one_in(4) { None } else { Some(handler) };
                SignalCall::Action { signal, handler, flags }
            }
            7..=9 => {
                let signals = [SIGPIPE, SIGURG, SIGIO, MANY];
                let signals = signals.into_iter().filter(|_| self.one_in(3)).collect();
                SignalCall::Mask { how: self.pick(&[0, 1, 1, 2, 2, 3]), signals }
            }
            10 => {
                let signal = self.pick(&[0, 0, SIGURG, SIGIO, MANY, MANY, 99, -1]);
                let command = self.pick(&[Fcntl::Setsig(signal), Fcntl::Getsig]);
                self.add(Request::Fcntl { fd, command, into: UNUSED });
                return;
            }
            _ => {
                let value = self.pick(&[0, 1, 1]);
                self.add(Request::Ioctl { fd, request: FIOASYNC, value });
                return;
            }
        };
        self.add(Request::Signal(call));
    }

    fn owner_by(&mut self) -> OwnerBy {
        self.pick(&[OwnerBy::Fcntl, OwnerBy::Fcntl, OwnerBy::File, OwnerBy::Socket])
    }

    /// A process of the program, or nobody: never a group, to which others belong.
    fn owner(&mut self) -> Result<usize, i32> {
        let nobody = self.pick(&[0, i32::MAX, -i32::MAX, i32::MIN]);
        if self.one_in(8) { Err(nobody) } else { Ok(self.below(3)) }
    }

    /// Ends whose owners are told what happens to them.
    pub(super) fn told(&mut self) {
        if !self.state.listens() {
            return;
        }
        let kind = self.pick(&KINDS);
        for fd in self.fresh_pair(kind) {
            if self.one_in(3) {
                continue;
            }
            let command = Fcntl::Setfl(NONBLOCK | ASYNC);
            self.add(Request::Fcntl { fd, command, into: UNUSED });
            let (by, owner) = (self.owner_by(), self.owner());
            self.add(Request::Signal(SignalCall::Own { fd, by, owner }));
            if self.one_in(3) {
                let command = Fcntl::Setsig(self.pick(&[MANY, MANY, SIGURG]));
                self.add(Request::Fcntl { fd, command, into: UNUSED });
            }
        }
    }

    /// A filter, more often put on than taken off.
    pub(super) fn filter(&mut self) {
        let what = self.pick(&[Pick::Connected, Pick::Connected, Pick::Bound, Pick::Any]);
        let (fd, _) = self.find(what);
        let value = 1i32.to_ne_bytes().to_vec();
        let (level, into) = (1, UNUSED);
        match self.below(12) {
            0..=5 => self.attach(fd),
            6..=7 => {
                let option = SO_DETACH_FILTER;
                self.add(Request::Setsockopt { fd, level, option, value });
            }
            8 if self.one_in(2) => {
                let option = SO_LOCK_FILTER;
                self.add(Request::Setsockopt { fd, level, option, value });
            }
            _ => {
                let len = self.pick(&[0, 1, 2, 4, 8, -1]);
                let option = SO_ATTACH_FILTER;
                self.add(Request::Getsockopt { fd, level, option, len, into });
            }
        }
    }

    fn attach(&mut self, fd: Slot) {
        let sound = &FILTERS[..8];
        let ops = if self.one_in(4) { self.pick(&FILTERS) } else { self.pick(sound) };
        let bytes = |&(code, jt, jf, k): &Op| {
            [&code.to_ne_bytes()[..], &[jt, jf], &k.to_ne_bytes()].concat()
        };
        let value = ops.iter().flat_map(bytes).collect();
        let option = SO_ATTACH_FILTER;
        self.add(Request::Setsockopt { fd, level: 1, option, value });
    }

    /// Datagrams through a filter.
    pub(super) fn filtered(&mut self) {
        let kind = self.pick(&[2, 5, 2, 5, 1]);
        let [from, to] = self.fresh_pair(kind);
        for _ in 0..2 {
            self.attach(to);
            for _ in 0..1 + self.below(3) {
                let control = self.now_and_then_rights();
                let len = self.pick(&[0, 1, 2, 8, 5000]);
                self.put(from, len, control, 0);
            }
        }
    }

    /// What is rarely asked for or done.
    pub(super) fn rarely(&mut self) {
        match self.below(8) {
            0..=1 => {
                let (fd, _) = self.find(Pick::Bound);
                let into = self.slot();
                self.add(Request::Unixfile { fd, into });
            }
            2..=3 => self.enter(),
            4 => {
                self.tell();
            }
            5 if self.state.listens() => self.lay_down(),
            _ => {}
        }
    }

    /// What is told of the process's own sockets.
    fn tell(&mut self) {
        if self.state.listens() {
            self.add(Request::Listing);
        }
    }

    /// Into a directory that is open.
    fn enter(&mut self) {
        let into = self.slot();
        let path = self.pick(&["d", "d", ".", "f0"]);
        self.add(Request::Open { path, flags: 0, mode: 0, into });
        let other = self.any();
        let fd = self.pick(&[Slot::Made(into), Slot::Made(into), other]);
        if self.add(Request::Fchdir { fd }) {
            // How far down that is was not noted.
            self.depths[self.process] = 0;
        }
    }

    /// Some capabilities, for good: those of files, CAP_KILL, CAP_NET_ADMIN, CAP_SETUID and
    /// CAP_SETGID, or all but CAP_SYS_ADMIN and CAP_SYS_RESOURCE: what the user of the run has in
    /// flight elsewhere is not counted (CMSG 4).
    fn lay_down(&mut self) {
        let all = [0b1111, 1 << 1 | 1 << 2, 1 << 5, 1 << 12, 0b11 << 6, !(1 << 21 | 1 << 24)];
        let (effective, permitted) = (self.pick(&all), self.pick(&all));
        let permitted = self.pick(&[0, 0, permitted & effective, permitted]);
        self.add(Request::Capset { effective, permitted });
    }

    /// The last steps of the acting process.
    pub(super) fn conclude(&mut self) {
        let none = SignalCall::Mask { how: 2, signals: Vec::new() };
        self.add(Request::Signal(none));
        self.tell();
    }
}
