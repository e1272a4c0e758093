//! Calls that send and receive.

use afunix::options::{FIONBIO, SIOCATMARK};

use super::arguments::ROOMS;
use super::*;
use crate::differential::perform::WHOLE;

impl Maker<'_> {
    pub(super) fn send(&mut self) {
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
        let flags = self.send_flags(kind);
        self.add(Request::Send { fd, by, data, flags });
    }

    fn destination(&mut self, kind: i32) -> Name {
        let named = if kind == 2 { self.one_in(2) } else { self.one_in(16) };
        if named { self.known_name(kind) } else { Name::None }
    }

    pub(super) fn receive(&mut self) {
        let what = self.pick(&[Pick::Readable, Pick::Readable, Pick::Readable, Pick::Connected]);
        let (fd, kind) = self.find(what);
        let by = self.receive_by();
        let many = matches!(by, ReceiveBy::Readv | ReceiveBy::Recvmsg(..));
        let data = self.pieces(if many { 3 } else { 1 });
        let data = match data.is_empty() && !many {
            true => vec![Piece { len: 0, faults: false }],
            false => data,
        };
        let flags = self.receive_flags(kind);
        // A message brings up to this many descriptors, one after the other.
        let into = self.slots(4);
        self.add(Request::Receive { fd, by, data, flags, into });
    }

    fn send_flags(&mut self, kind: i32) -> i32 {
        let odd = self.pick(&[OOB, OOB, OOB, 0x80, 0x8000, 0x100_0000, 0x4000]);
        let every = if kind == 1 { 10 } else { 20 };
        if self.one_in(every) { DONTWAIT | odd } else { DONTWAIT }
    }

    fn receive_flags(&mut self, kind: i32) -> i32 {
        let odd = self.pick(&[2, 2, 2, 2, 0x100, 0x20, 0x22, OOB, 3, 0x4000_0000, 0x2000, 8]);
        let every = if kind == 1 { 3 } else { 4 };
        if self.one_in(every) { DONTWAIT | odd } else { DONTWAIT }
    }

    fn receive_by(&mut self) -> ReceiveBy {
        match self.below(10) {
            0..=1 => ReceiveBy::Read,
            2 => ReceiveBy::Readv,
            3..=4 => ReceiveBy::Recvfrom(self.want()),
            _ => {
                let room = self.room();
                ReceiveBy::Recvmsg(self.want(), room)
            }
        }
    }

    fn room(&mut self) -> Room {
        match self.below(16) {
            0 => Room::Fault(64),
            1..=5 => Room::Bytes(self.pick(&ROOMS)),
            _ => Room::Bytes(64),
        }
    }

    /// Several messages in one call.
    pub(super) fn send_many(&mut self) {
        let (fd, kind) = self.find(Pick::Connected);
        let count = self.pick(&[0, 1, 2, 2, 3, 5]);
        let message = |maker: &mut Self| Message {
            name: maker.destination(kind),
            data: maker.pieces(3),
            control: maker.control(),
        };
        let messages = (0..count).map(|_| message(self)).collect();
        let flags = self.send_flags(kind);
        self.add(Request::SendMany { fd, messages, flags });
    }

    /// Room for several messages in one call.
    pub(super) fn receive_many(&mut self) {
        let (fd, kind) = self.find(Pick::Readable);
        let count = self.pick(&[0, 1, 2, 2, 3, 5]);
        let place = |maker: &mut Self| Place {
            want: maker.want(),
            data: maker.pieces(3),
            room: maker.room(),
        };
        let messages = (0..count).map(|_| place(self)).collect();
        let flags = self.receive_flags(kind) | self.pick(&[0, 0, 0, 0x10000]);
        let timeout = self.pick(&[None, None, None, Some(0), Some(1000)]);
        let into = self.slots(4);
        self.add(Request::ReceiveMany { fd, messages, flags, timeout, into });
    }

    /// Something about out-of-band data.
    pub(super) fn urgent(&mut self) {
        let (fd, kind) = self.find(Pick::Connected);
        match self.below(4) {
            0 | 1 => {
                let len = self.pick(&[1, 1, 2, 3, 5, 0, 5000]);
                let control = if self.one_in(3) { self.control() } else { Vec::new() };
                let by = SendBy::Sendmsg(Name::None, control);
                let data = vec![Piece { len, faults: self.one_in(30) }];
                self.add(Request::Send { fd, by, data, flags: OOB | DONTWAIT });
            }
            2 => {
                let (fd, _) = self.find(Pick::Readable);
                let (by, len) = (self.receive_by(), self.pick(&[1, 1, 0, 5]));
                let data = vec![Piece { len, faults: self.one_in(20) }];
                let (flags, into) = (self.pick(&[OOB, OOB, OOB | 2]) | DONTWAIT, self.slots(4));
                self.add(Request::Receive { fd, by, data, flags, into });
            }
            _ => {
                let request = if kind == 0 { FIONBIO } else { SIOCATMARK };
                self.add(Request::Ioctl { fd, request, value: 1 });
            }
        }
    }

    /// Sends the same thing again and again, until memory or the queue is full.
    pub(super) fn burst(&mut self) {
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

    pub(super) fn drain(&mut self) {
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
}
