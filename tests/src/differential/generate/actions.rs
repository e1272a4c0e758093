//! What a program may do next.

use afunix::call::Fcntl;
use afunix::options::*;

use super::alerts::ASYNC;
use super::arguments::PATHS;
use super::*;

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
        match self.below(126) {
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
            29..=44 => self.send(),
            45..=59 => self.receive(),
            60..=62 => self.burst(),
            63..=65 => self.drain(),
            66..=68 => {
                let all = [Pick::Connected, Pick::Connected, Pick::Listening, Pick::Any];
                let what = self.pick(&all);
                let (fd, _) = self.find(what);
                let how = self.pick(&[0, 1, 1, 2, 0, 1, 2, 3]);
                self.add(Request::Shutdown { fd, how });
            }
            69..=73 => {
                let fd = self.any();
                self.add(Request::Close { fd });
            }
            74..=75 => self.copy(),
            76..=77 => {
                let (fd, want) = (self.any(), self.want());
                let peer = self.one_in(2);
                self.add(match peer {
                    true => Request::Peername { fd, want },
                    false => Request::Sockname { fd, want },
                });
            }
            78..=81 => self.get_option(),
            82..=86 => self.set_option(),
            87 => self.ioctl(),
            88..=89 => self.poll(),
            90..=92 => self.send_many(),
            93..=95 => self.receive_many(),
            96..=98 => self.urgent(),
            99 => self.other_files(),
            100 => self.handle(),
            101 if self.one_in(3) => {
                let descriptors = self.pick(&[TABLE, TABLE, 3, 8, 12, 16]);
                self.add(Request::Limit { descriptors });
            }
            102..=104 => self.watch(),
            105 => self.select(),
            106 if self.one_in(3) => self.identity(),
            107 => self.view(),
            121..=122 => self.alert(),
            123..=124 => self.filter(),
            125 => self.rarely(),
            _ => self.files(),
        }
    }

    fn ioctl(&mut self) {
        let ((fd, kind), value) = (self.find(Pick::Any), self.pick(&[0, 1, 1]));
        let request = self.pick(&[SIOCINQ, SIOCOUTQ, SIOCATMARK, FIONBIO, FIONBIO, 0x8906]);
        // FIONREAD of a file is the file system's.
        let request = if kind == 0 { FIONBIO } else { request };
        self.add(Request::Ioctl { fd, request, value });
    }

    /// Files that are no sockets, to be sent and polled together with them.
    fn other_files(&mut self) {
        let flags = self.pick(&[NONBLOCK, NONBLOCK, NONBLOCK | CLOEXEC, 0, 1]);
        let into = self.slots(2);
        let is_pipe = self.one_in(2);
        let (count, more) = (self.pick(&[0, 1, 5, u32::MAX]), self.pick(&[0, 1, 2]));
        self.add(match is_pipe {
            true => Request::Pipe { flags, into: [into, into + 1] },
            false => Request::Eventfd { count, flags: flags & !1 | more, into },
        });
        let len = self.pick(&[0, 1, 8, 8, 8, 4096, 70_000]);
        let data = vec![Piece { len, faults: false }];
        let fd = Slot::Made(self.pick(&[into, into + 1]));
        let writes = self.one_in(2);
        self.add(match writes {
            true => Request::Send { fd, by: SendBy::Write, data, flags: 0 },
            false => Request::Receive { fd, by: ReceiveBy::Read, data, flags: 0, into: UNUSED },
        });
    }

    pub(super) fn bind(&mut self, fd: Slot, kind: i32, name: Name) {
        if self.add(Request::Bind { fd, name: name.clone() }) {
            self.names.push((kind, name));
        }
    }

    fn pair(&mut self) {
        let kind = self.socket_kind();
        let into = [(); 2].map(|()| self.slot());
        self.add(Request::Socketpair { domain: 1, kind, protocol: 0, into });
    }

    pub(super) fn odd_socket(&mut self) {
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

    pub(super) fn accept(&mut self) {
        let what = self.pick(&[Pick::Pending, Pick::Pending, Pick::Pending, Pick::Listening]);
        let (fd, _) = self.find(what);
        let flags = self.pick(&[NONBLOCK, NONBLOCK, NONBLOCK | CLOEXEC, 0, 1]);
        let want = self.want();
        let into = self.slot();
        self.add(Request::Accept { fd, flags, want, into });
    }

    pub(super) fn copy(&mut self) {
        let (fd, new) = (self.any(), self.any());
        let into = self.slot();
        let command = match self.below(8) {
            0 => Fcntl::Dupfd(self.pick(&[-1, 0, 5, 10, 24, 5000])),
            1 => Fcntl::DupfdCloexec(self.pick(&[0, 10, 24])),
            2 => Fcntl::Getfd,
            3 => Fcntl::Setfd(self.pick(&[0, 1, 3])),
            4 | 5 => Fcntl::Getfl,
            _ => Fcntl::Setfl(self.pick(&[NONBLOCK, NONBLOCK, NONBLOCK | 2, NONBLOCK | ASYNC, 0])),
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
        self.add(Request::Poll { fds, timeout: 0 });
    }
}
