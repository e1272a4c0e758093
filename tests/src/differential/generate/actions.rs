//! What a program may do next.

use afunix::call::Fcntl;
use afunix::options::*;

use super::arguments::{FILES, PATHS, ROOMS};
use super::*;
use crate::differential::perform::WHOLE;

/// With more descriptors open, every other call is a close.
const CROWDED: usize = 16;

impl Maker<'_> {
    /// One of the things that programs do, by weight.
    pub(super) fn anything(&mut self) {
        self.state.process = self.process;
        if self.state.open() > CROWDED {
            let fd = self.any();
            self.add(Request::Close { fd });
        }
        match self.below(100) {
            0..=3 => {
                let kind = self.socket_kind();
                let into = self.slot();
                self.add(Request::Socket { domain: 1, kind, protocol: 0, into });
            }
            4..=8 => self.pair(),
            9 => self.odd_socket(),
            10..=13 => {
                let what = self.pick(&[Pick::Fresh, Pick::Fresh, Pick::Connected]);
                let (fd, kind) = self.find(what);
                let name = self.name();
                self.bind(fd, kind, name);
            }
            14..=16 => {
                let (fd, _) = self.find(Pick::Bound);
                let backlog = self.pick(&[0, 0, 1, 1, 2, 5, -1]);
                self.add(Request::Listen { fd, backlog });
            }
            17..=19 => self.server(),
            20..=24 => {
                let what = self.pick(&[Pick::Fresh, Pick::Fresh, Pick::Bound, Pick::Connected]);
                let (fd, kind) = self.find(what);
                let name = self.known_name(kind);
                self.add(Request::Connect { fd, name });
            }
            25..=28 => self.accept(),
            29..=45 => self.send(),
            46..=61 => self.receive(),
            62..=64 => self.burst(),
            65..=67 => self.drain(),
            68..=70 => {
                let all = [Pick::Connected, Pick::Connected, Pick::Listening, Pick::Any];
                let what = self.pick(&all);
                let (fd, _) = self.find(what);
                let how = self.pick(&[0, 1, 1, 2, 0, 1, 2, 3]);
                self.add(Request::Shutdown { fd, how });
            }
            71..=75 => {
                let fd = self.any();
                self.add(Request::Close { fd });
            }
            76..=77 => self.dup(),
            78..=79 => {
                let (fd, want) = (self.any(), self.want());
                let peer = self.one_in(2);
                self.add(match peer {
                    true => Request::Peername { fd, want },
                    false => Request::Sockname { fd, want },
                });
            }
            80..=82 => self.get_option(),
            83..=87 => self.set_option(),
            88 => {
                let ((fd, kind), value) = (self.find(Pick::Any), self.pick(&[0, 1, 1]));
                let request = self.pick(&[SIOCINQ, SIOCOUTQ, SIOCATMARK, FIONBIO, FIONBIO, 0x8906]);
                // FIONREAD of a file is the file system's.
                let request = if kind == 0 { FIONBIO } else { request };
                self.add(Request::Ioctl { fd, request, value });
            }
            89..=90 => self.poll(),
            _ => self.files(),
        }
    }

    fn bind(&mut self, fd: Slot, kind: i32, name: Name) {
        if self.add(Request::Bind { fd, name: name.clone() }) {
            self.names.push((kind, name));
        }
    }

    fn pair(&mut self) {
        let kind = self.socket_kind();
        let into = [(); 2].map(|()| self.slot());
        self.add(Request::Socketpair { domain: 1, kind, protocol: 0, into });
    }

    fn odd_socket(&mut self) {
        let domain = 1;
        let kind = self.pick(&[0, 3, 4, 6, 10, 11, 1 | 0x10, 2 | 0x4000_0000, 1, 5]);
        let protocol = self.pick(&[0, 1, 1, 2, -1]);
        let into = self.slot();
        if self.one_in(2) {
            self.add(Request::Socket { domain, kind, protocol, into });
        } else {
            let into = [into, self.slot()];
            self.add(Request::Socketpair { domain, kind, protocol, into });
        }
    }

    /// A listener and a client.
    fn server(&mut self) {
        let kind = self.pick(&[1, 5]) | NONBLOCK;
        let name = Name::Abstract(self.below(4) as u8);
        let path = Name::Path(self.pick(&PATHS[..6]));
        let name = if self.one_in(3) { path } else { name };
        let into = self.slot();
        self.add(Request::Socket { domain: 1, kind, protocol: 0, into });
        self.bind(Slot::Made(into), kind & 0xf, name.clone());
        let backlog = self.pick(&[0, 1, 2]);
        self.add(Request::Listen { fd: Slot::Made(into), backlog });
        for _ in 0..self.below(3) {
            let client = self.slot();
            self.add(Request::Socket { domain: 1, kind, protocol: 0, into: client });
            self.add(Request::Connect { fd: Slot::Made(client), name: name.clone() });
        }
        if self.one_in(2) {
            self.accept();
        }
    }

    fn accept(&mut self) {
        let what = self.pick(&[Pick::Pending, Pick::Pending, Pick::Pending, Pick::Listening]);
        let (fd, _) = self.find(what);
        let flags = self.pick(&[NONBLOCK, NONBLOCK, NONBLOCK | CLOEXEC, 0, 1]);
        let want = self.want();
        let into = self.slot();
        self.add(Request::Accept { fd, flags, want, into });
    }

    fn send(&mut self) {
        let (fd, kind) = self.find(Pick::Connected);
        let by = match self.below(10) {
            0 => SendBy::Write,
            1 => SendBy::Writev,
            2..=4 => {
                let name = self.destination(kind);
                SendBy::Sendto(name)
            }
            _ => {
                let name = self.destination(kind);
                let control = self.control();
                SendBy::Sendmsg(name, control)
            }
        };
        let data =
            self.pieces(if matches!(by, SendBy::Writev | SendBy::Sendmsg(..)) { 3 } else { 1 });
        let data = match (&by, data.is_empty()) {
            (SendBy::Write | SendBy::Sendto(_), true) => vec![Piece { len: 0, faults: false }],
            _ => data,
        };
        let odd = self.pick(&[1, 1, 1, 0x80, 0x8000, 0x100_0000]);
        let flags = if self.one_in(20) { DONTWAIT | odd } else { DONTWAIT };
        self.add(Request::Send { fd, by, data, flags });
    }

    fn destination(&mut self, kind: i32) -> Name {
        let named = if kind == 2 { self.one_in(2) } else { self.one_in(16) };
        if named { self.known_name(kind) } else { Name::None }
    }

    fn receive(&mut self) {
        let what = self.pick(&[Pick::Readable, Pick::Readable, Pick::Readable, Pick::Connected]);
        let (fd, _) = self.find(what);
        let by = match self.below(10) {
            0..=1 => ReceiveBy::Read,
            2 => ReceiveBy::Readv,
            3..=4 => ReceiveBy::Recvfrom(self.want()),
            _ => {
                let room = match self.below(16) {
                    0 => Room::Fault(64),
                    1..=5 => Room::Bytes(self.pick(&ROOMS)),
                    _ => Room::Bytes(64),
                };
                ReceiveBy::Recvmsg(self.want(), room)
            }
        };
        let many = matches!(by, ReceiveBy::Readv | ReceiveBy::Recvmsg(..));
        let data = self.pieces(if many { 3 } else { 1 });
        let data = match data.is_empty() && !many {
            true => vec![Piece { len: 0, faults: false }],
            false => data,
        };
        let odd = self.pick(&[2, 2, 2, 2, 0x100, 0x20, 0x22, 1, 3, 0x4000_0000, 0x2000, 8]);
        let flags = if self.one_in(4) { DONTWAIT | odd } else { DONTWAIT };
        // A message brings up to this many descriptors, one after the other.
        let into = self.slot();
        for _ in 1..4 {
            self.slot();
        }
        self.add(Request::Receive { fd, by, data, flags, into });
    }

    /// Sends the same thing again and again, until memory or the queue is full.
    fn burst(&mut self) {
        let (fd, kind) = self.find(Pick::Connected);
        let named = kind == 2 && self.one_in(2);
        let name = if named { self.known_name(kind) } else { Name::None };
        let len = self.pick(&[1, 1, 700, 4000, 16_000, 36_544, 60_000]);
        let piece = Piece { len, faults: false };
        for _ in 0..self.pick(&[4, 8, 13, 13]) {
            let by = SendBy::Sendto(name.clone());
            let sent = self.add(Request::Send { fd, by, data: vec![piece], flags: DONTWAIT });
            if !sent && self.one_in(2) {
                return;
            }
        }
    }

    fn drain(&mut self) {
        let (fd, _) = self.find(Pick::Readable);
        let piece = Piece { len: self.pick(&[1, 5000, 100_000]), faults: false };
        let into = UNUSED;
        for _ in 0..self.pick(&[2, 5, 12]) {
            let by = ReceiveBy::Recvfrom(WHOLE);
            let data = vec![piece];
            let got = self.add(Request::Receive { fd, by, data, flags: DONTWAIT, into });
            if !got && self.one_in(2) {
                return;
            }
        }
    }

    fn dup(&mut self) {
        let (fd, new) = (self.any(), self.any());
        let into = self.slot();
        let command = match self.below(8) {
            0 => Fcntl::Dupfd(self.pick(&[-1, 0, 5, 10, 24, 5000])),
            1 => Fcntl::DupfdCloexec(self.pick(&[0, 10, 24])),
            2 => Fcntl::Getfd,
            3 => Fcntl::Setfd(self.pick(&[0, 1, 3])),
            4 | 5 => Fcntl::Getfl,
            _ => Fcntl::Setfl(self.pick(&[NONBLOCK, NONBLOCK, NONBLOCK | 2, 0])),
        };
        let flags = self.pick(&[0, CLOEXEC, 1]);
        let request = match self.below(6) {
            0 | 1 => Request::Dup { fd, into },
            2 if new != Slot::Console => Request::Dup2 { fd, new, into },
            3 if new != Slot::Console => Request::Dup3 { fd, new, flags, into },
            _ => Request::Fcntl { fd, command, into },
        };
        self.add(request);
    }

    fn poll(&mut self) {
        let mut fds = Vec::new();
        for _ in 0..self.below(5) {
            let events = self.pick(&[1, 4, 5, 0, 0x2000, 0x40, 0x300, 2, -1]);
            fds.push((self.any(), events));
        }
        self.add(Request::Poll { fds });
    }

    fn files(&mut self) {
        let path = if self.one_in(4) { self.pick(&PATHS) } else { self.pick(&FILES) };
        let mode = self.pick(&[0o644, 0o600, 0o666, 0o777, 0o000, 0o755]);
        let call = match self.below(22) {
            0..=2 => PathCall::Mkdir(mode),
            3 => PathCall::Rmdir,
            4..=7 => PathCall::Unlink,
            8..=9 => PathCall::Rename(self.pick(&FILES)),
            10 => PathCall::Link(self.pick(&FILES)),
            11 => PathCall::Symlink(self.pick(&FILES)),
            12..=13 => PathCall::Chmod(mode),
            14 => PathCall::Chown(self.pick(&[0, STRANGER, u32::MAX]), self.pick(&[0, STRANGER])),
            15..=16 => PathCall::Stat,
            17 => PathCall::Lstat,
            18..=19 => return self.open(path, mode),
            20 => {
                let fd = self.any();
                let request = self.pick(&[
                    Request::Fstat { fd },
                    Request::Fchmod { fd, mode },
                    Request::Lseek { fd, offset: 0 },
                ]);
                self.add(request);
                return;
            }
            _ => {
                let mask = self.pick(&[0o022, 0o022, 0, 0o077, 0o777]);
                self.add(Request::Umask { mask });
                return;
            }
        };
        self.add(Request::Path { path, call });
    }

    fn open(&mut self, path: &'static str, mode: u32) {
        let access = self.pick(&[0, 1, 2, 2]);
        let how = self.pick(&[0o100, 0o100, 0o300, 0, 0o2100, 0o1000, 0o200000, 0o10000000]);
        let into = self.slot();
        self.add(Request::Open { path, flags: access | how, mode, into });
        let (fd, piece) =
            (Slot::Made(into), Piece { len: self.pick(&[1, 10, 5000]), faults: false });
        if self.one_in(2) {
            self.add(Request::Send { fd, by: SendBy::Write, data: vec![piece], flags: 0 });
        }
        if self.one_in(2) {
            self.add(Request::Lseek { fd, offset: 0 });
            let by = ReceiveBy::Read;
            self.add(Request::Receive { fd, by, data: vec![piece], flags: 0, into: UNUSED });
        }
    }
}
