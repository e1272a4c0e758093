//! Situations: what a program brings about before random calls go on from there.
//!
//! Each is a state that random calls alone seldom reach: a queue with descriptors and a mark in it,
//! a full queue, a full backlog, a pending error, files in flight. What it is about is *in focus*:
//! the calls that follow are made on it more often than on others.

use afunix::options::*;

use super::*;
use crate::differential::perform::WHOLE;

type Situation = for<'a, 'r> fn(&'a mut Maker<'r>);

const ALL: [Situation; 14] = [
    |maker| maker.queued_stream(),
    |maker| maker.full_pair(),
    |maker| maker.full_receiver(),
    |maker| maker.full_backlog(),
    |maker| maker.pending_reset(),
    |maker| maker.halves(),
    |maker| maker.files_in_flight(),
    |maker| maker.too_many_in_flight(),
    |maker| maker.full_table(),
    |maker| maker.records(),
    |maker| maker.peers(),
    |maker| maker.options_before_connect(),
    |maker| maker.told(),
    |maker| maker.filtered(),
];

impl Maker<'_> {
    /// Brings one about, at random.
    pub(super) fn situation(&mut self) {
        self.focus.clear();
        let situation = self.pick(&ALL);
        situation(self);
    }

    /// A fresh pair, in focus.
    pub(super) fn fresh_pair(&mut self, kind: i32) -> [Slot; 2] {
        let into = [(); 2].map(|()| self.slot());
        self.add(Request::Socketpair { domain: 1, kind: kind | NONBLOCK, protocol: 0, into });
        self.focus.extend(into);
        into.map(Slot::Made)
    }

    /// A fresh socket, in focus.
    fn fresh_socket(&mut self, kind: i32) -> Slot {
        let into = self.slot();
        self.add(Request::Socket { domain: 1, kind: kind | NONBLOCK, protocol: 0, into });
        self.focus.push(into);
        Slot::Made(into)
    }

    fn shut(&mut self, fd: Slot) {
        let how = self.pick(&[0, 1, 1, 2]);
        self.add(Request::Shutdown { fd, how });
    }

    fn close(&mut self, fd: Slot) {
        self.add(Request::Close { fd });
    }

    fn connect(&mut self, fd: Slot, name: Name) {
        self.add(Request::Connect { fd, name });
    }

    fn listen(&mut self, fd: Slot, backlog: i32) {
        self.add(Request::Listen { fd, backlog });
    }

    fn switch(&mut self, fd: Slot, option: i32, value: i32) {
        let value = value.to_ne_bytes().to_vec();
        self.add(Request::Setsockopt { fd, level: 1, option, value });
    }

    /// Sends `len` bytes; whether all is well.
    pub(super) fn put(&mut self, fd: Slot, len: usize, control: Vec<Control>, flags: i32) -> bool {
        let by = match control.is_empty() {
            true => SendBy::Sendto(Name::None),
            false => SendBy::Sendmsg(Name::None, control),
        };
        let data = vec![Piece { len, faults: false }];
        self.add(Request::Send { fd, by, data, flags: flags | DONTWAIT })
    }

    /// Control messages for a buffer in a queue: mostly none.
    pub(super) fn now_and_then_rights(&mut self) -> Vec<Control> {
        match self.below(5) {
            0 | 1 => vec![self.rights()],
            2 if self.one_in(2) => self.control(),
            _ => Vec::new(),
        }
    }

    /// Buffers of a few bytes, some with descriptors, perhaps an out-of-band mark among them.
    fn queued_stream(&mut self) {
        let [from, to] = self.fresh_pair(1);
        for option in [SO_PASSCRED, SO_OOBINLINE, SO_INQ, SO_PASSPIDFD] {
            if self.one_in(5) {
                self.switch(to, option, 1);
            }
        }
        if self.one_in(6) {
            self.switch(to, SO_PEEK_OFF, 0);
        }
        for _ in 0..2 + self.below(6) {
            let control = self.now_and_then_rights();
            let flags = if self.one_in(4) { OOB } else { 0 };
            let len = self.pick(&[1, 1, 2, 3, 4, 10, 4000]);
            self.put(from, len, control, flags);
        }
    }

    /// A sender whose memory is used up.
    fn full_pair(&mut self) {
        let kind = self.pick(&KINDS);
        let [from, _] = self.fresh_pair(kind);
        if !self.one_in(4) {
            let bytes = self.pick(&[0, 2400, 5000]);
            self.switch(from, SO_SNDBUF, bytes);
        }
        let len = self.pick(&[700, 2000, 4000, 36_544]);
        for _ in 0..14 {
            let control = if self.one_in(8) { self.now_and_then_rights() } else { Vec::new() };
            if !self.put(from, len, control, 0) {
                break;
            }
        }
        // The unconnected sender to a name can be full as well.
        if kind == 2 && self.one_in(2) {
            let to = self.known_name(2);
            let by = SendBy::Sendto(to);
            let data = vec![Piece { len, faults: false }];
            self.add(Request::Send { fd: from, by, data, flags: DONTWAIT });
        }
    }

    /// A datagram socket whose queue is full, and those that send to it.
    fn full_receiver(&mut self) {
        let to = self.fresh_socket(2);
        let name = Name::Abstract(self.below(4) as u8);
        self.bind(to, 2, name.clone());
        let senders = [self.fresh_socket(2), self.fresh_socket(2)];
        for fd in senders {
            if !self.one_in(4) {
                self.add(Request::Connect { fd, name: name.clone() });
            }
        }
        for _ in 0..12 {
            let fd = self.pick(&senders);
            let len = self.len();
            let by = SendBy::Sendto(if self.one_in(3) { name.clone() } else { Name::None });
            let data = vec![Piece { len, faults: false }];
            self.add(Request::Send { fd, by, data, flags: DONTWAIT });
        }
        match self.below(6) {
            0 => self.close(to),
            1 => self.connect(to, Name::Abstract(3)),
            2 => self.shut(to),
            _ => {}
        }
    }

    /// A listener with more connections than it takes, and data on them.
    fn full_backlog(&mut self) {
        let kind = self.pick(&[1, 5]);
        let listener = self.fresh_socket(kind);
        let name = match self.one_in(3) {
            true => Name::Path(self.pick(&["s0", "s1", "d/s3"])),
            false => Name::Abstract(self.below(4) as u8),
        };
        self.bind(listener, kind, name.clone());
        for option in [SO_PASSCRED, SO_PASSRIGHTS, SO_PASSPIDFD] {
            if self.one_in(8) {
                let on = i32::from(option != SO_PASSRIGHTS);
                self.switch(listener, option, on);
            }
        }
        let backlog = self.pick(&[0, 0, 1, 2]);
        self.add(Request::Listen { fd: listener, backlog });
        for _ in 0..4 {
            let fd = self.fresh_socket(kind);
            if !self.add(Request::Connect { fd, name: name.clone() }) {
                break;
            }
            for _ in 0..self.below(4) {
                let control = self.now_and_then_rights();
                let len = self.pick(&[1, 3, 700]);
                self.put(fd, len, control, 0);
            }
            match self.below(8) {
                0 => self.close(fd),
                1 => self.shut(fd),
                _ => {}
            }
        }
        match self.below(8) {
            0 => self.close(listener),
            1 => self.shut(listener),
            2 => self.listen(listener, 3),
            _ => {}
        }
    }

    /// A socket whose peer closed with unread data, or one that lost datagrams.
    fn pending_reset(&mut self) {
        let kind = self.pick(&KINDS);
        let [from, to] = self.fresh_pair(kind);
        let (there, back) = (self.below(3), self.below(3));
        for _ in 0..1 + there {
            let control = self.now_and_then_rights();
            self.put(from, 3, control, 0);
        }
        for _ in 0..back {
            self.put(to, 2, Vec::new(), 0);
        }
        match kind {
            // DGCONN 3: leaving a peer loses what it sent.
            2 => self.connect(to, Name::Raw(vec![0, 0])),
            _ => self.close(to),
        }
        // SHUT 7: an error is told once, by whatever call is the first to look.
        let (level, option, into) = (1, SO_ERROR, UNUSED);
        for _ in 0..self.below(3) {
            self.add(Request::Getsockopt { fd: from, level, option, len: 4, into });
        }
    }

    /// Ends that are shut one way or both, with data on the way.
    fn halves(&mut self) {
        let kind = self.pick(&KINDS);
        let ends = self.fresh_pair(kind);
        for _ in 0..2 + self.below(4) {
            let fd = self.pick(&ends);
            match self.one_in(2) {
                true => self.shut(fd),
                false => {
                    let control = self.now_and_then_rights();
                    self.put(fd, 4, control, 0);
                }
            }
        }
        // CONNECT 9: a shutdown before the connection stays.
        if self.one_in(3) {
            let fd = self.fresh_socket(kind);
            let how = self.pick(&[0, 1, 2]);
            self.add(Request::Shutdown { fd, how });
            let name = self.known_name(kind);
            self.add(Request::Connect { fd, name });
        }
    }

    /// Sockets that are sent and then closed: they live in the queues of others alone.
    fn files_in_flight(&mut self) {
        let cargo = if self.program.cargo == 0 { self.pick(&KINDS) } else { self.program.cargo };
        let carrier = match self.program.cargo {
            0 => self.pick(&KINDS),
            _ => self.pick(&KINDS.map(|kind| if kind == cargo { 1 + cargo % 2 } else { kind })),
        };
        let [sent, other] = self.fresh_pair(cargo);
        let [from, to] = self.fresh_pair(carrier);
        for _ in 0..1 + self.below(3) {
            let all = [sent, sent, other, from, to];
            let slots = (0..1 + self.below(2)).map(|_| self.pick(&all)).collect();
            let by = self.pick(&[from, from, to, other]);
            self.put(by, 1, vec![Control::Rights(slots)], 0);
        }
        for fd in [sent, from, to, other] {
            if self.one_in(2) {
                self.add(Request::Close { fd });
            }
        }
    }

    /// Descriptors in flight up to the limit, by a user that has one (CMSG 4).
    fn too_many_in_flight(&mut self) {
        let kind = self.pick(&KINDS);
        let [from, to] = self.fresh_pair(kind);
        let descriptors = self.state.highest() as u32 + self.pick(&[1, 2, 4]);
        self.add(Request::Limit { descriptors });
        for _ in 0..8 {
            let slots = vec![Slot::Made(CARGO_FILE); 1 + self.below(4)];
            if !self.put(from, 1, vec![Control::Rights(slots)], 0) {
                break;
            }
        }
        if self.one_in(2) {
            let (data, want) = (vec![Piece { len: 1, faults: false }], WHOLE);
            let (by, into) = (ReceiveBy::Recvmsg(want, Room::Bytes(64)), self.slots(4));
            self.add(Request::Receive { fd: to, by, data, flags: DONTWAIT, into });
        }
        if !self.one_in(3) {
            self.add(Request::Limit { descriptors: TABLE });
        }
    }

    /// Descriptors to be received, and hardly a number free for them (RCMSG 5).
    fn full_table(&mut self) {
        let kind = self.pick(&KINDS);
        let [from, to] = self.fresh_pair(kind);
        if self.one_in(4) {
            self.switch(to, SO_PASSPIDFD, 1);
        }
        for _ in 0..2 {
            let slots = vec![Slot::Made(CARGO_FILE); 1 + self.below(4)];
            self.put(from, 2, vec![Control::Rights(slots)], 0);
        }
        let descriptors = self.state.highest() as u32 + 1 + self.below(3) as u32;
        self.add(Request::Limit { descriptors });
        let by = ReceiveBy::Recvmsg(WHOLE, Room::Bytes(64));
        for _ in 0..2 {
            let (data, into) = (vec![Piece { len: 9, faults: false }], self.slots(4));
            self.add(Request::Receive { fd: to, by, data, flags: DONTWAIT, into });
        }
        self.odd_socket();
        self.accept();
        self.copy();
        if !self.one_in(4) {
            self.add(Request::Limit { descriptors: TABLE });
        }
    }

    /// Records of all lengths, empty ones among them.
    fn records(&mut self) {
        let kind = self.pick(&[2, 5, 5]);
        let [from, to] = self.fresh_pair(kind);
        for option in [SO_PASSCRED, SO_TIMESTAMP, SO_TIMESTAMPNS_NEW, SO_PASSPIDFD, SO_PASSSEC] {
            if self.one_in(8) {
                self.switch(to, option, 1);
            }
        }
        if self.one_in(3) {
            let offset = self.pick(&[0, 0, 1, 4]);
            self.switch(to, SO_PEEK_OFF, offset);
        }
        for _ in 0..2 + self.below(5) {
            let control = self.now_and_then_rights();
            let len = self.pick(&[0, 0, 1, 3, 8, 16_065]);
            self.put(from, len, control, 0);
        }
    }

    /// Datagram sockets connected in a chain or a circle, with datagrams queued.
    fn peers(&mut self) {
        let all = [(); 3].map(|()| self.fresh_socket(2));
        for (index, fd) in all.iter().enumerate() {
            self.bind(*fd, 2, Name::Abstract(index as u8));
        }
        for _ in 0..2 + self.below(8) {
            let fd = self.pick(&all);
            let name = Name::Abstract(self.below(3) as u8);
            match self.below(5) {
                0..=1 => self.connect(fd, name),
                2 if self.one_in(2) => {
                    let name = Name::Raw(vec![0, 0]);
                    self.add(Request::Connect { fd, name });
                }
                3 if self.one_in(3) => self.close(fd),
                _ => {
                    let by = SendBy::Sendto(self.pick(&[name, Name::None]));
                    let data = vec![Piece { len: 5, faults: false }];
                    self.add(Request::Send { fd, by, data, flags: DONTWAIT });
                }
            }
        }
    }

    /// A client that binds itself by connecting, and switches that an accepted socket inherits.
    fn options_before_connect(&mut self) {
        let kind = self.pick(&KINDS);
        let (server, client) = (self.fresh_socket(kind), self.fresh_socket(kind));
        let name = Name::Abstract(self.below(4) as u8);
        self.bind(server, kind, name.clone());
        for fd in [server, client] {
            let option = self.pick(&[SO_PASSCRED, SO_PASSPIDFD, SO_PASSRIGHTS, SO_PASSSEC]);
            let on = self.pick(&[0, 1, 1]);
            self.switch(fd, option, on);
        }
        self.add(Request::Listen { fd: server, backlog: 2 });
        self.add(Request::Connect { fd: client, name });
        let control = self.now_and_then_rights();
        self.put(client, 3, control, 0);
        if kind != 2 && self.one_in(2) {
            let (want, into) = (self.want(), self.slot());
            self.focus.push(into);
            self.add(Request::Accept { fd: server, flags: NONBLOCK, want, into });
        }
        let want = WHOLE;
        self.add(Request::Sockname { fd: client, want });
    }
}
