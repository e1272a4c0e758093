//! Arguments: names, lengths, control data, options.

use afunix::control::SCM_RIGHTS;
use afunix::options::*;

use super::*;
use crate::differential::perform::WHOLE;

/// Where sockets are bound, and what else a path can be.
pub(super) const PATHS: [&str; 12] =
    ["s0", "s1", "s2", "d/s3", "./s0", "d/../s1", "f0", "d", "l0", "no/s", "s0/", "s0/x"];
/// Files, directories and links.
pub(super) const FILES: [&str; 9] = ["f0", "f1", "d", "d/f2", "s0", "l0", "l1", "d/s3", "no/f"];
/// Lengths around every edge of MEM, the likelier the more often they stand here.
pub(super) const LENGTHS: [usize; 32] = [
    0, 1, 1, 1, 2, 2, 3, 4, 5, 7, 8, 10, 16, 30, 64, 100, 192, 193, 500, 704, 705, 1000, 1728,
    1729, 2240, 3776, 3777, 4480, 4481, 5000, 7872, 7873,
];
pub(super) const LARGE: [usize; 14] = [
    16_064, 16_065, 20_161, 36_544, 36_545, 40_000, 65_536, 70_000, 85_696, 85_697, 106_432,
    212_960, 212_961, 300_000,
];
pub(super) const ROOMS: [usize; 14] = [0, 8, 15, 16, 19, 20, 24, 27, 28, 32, 40, 56, 64, 128];

const TIMEOUTS: [i32; 4] = [SO_RCVTIMEO, SO_SNDTIMEO, SO_RCVTIMEO_NEW, SO_SNDTIMEO_NEW];
/// Options whose values tell something of a socket's state.
const READ_OFTEN: [i32; 14] = [
    SO_ERROR,
    SO_ERROR,
    SO_ERROR,
    SO_SNDBUF,
    SO_PEERCRED,
    SO_PEERCRED,
    SO_PEERNAME,
    SO_MEMINFO,
    SO_PEEK_OFF,
    SO_ACCEPTCONN,
    SO_PASSRIGHTS,
    SO_PEERPIDFD,
    SO_PEERGROUPS,
    SO_TYPE,
];
/// Options that change what other calls do.
const SET_OFTEN: [i32; 16] = [
    SO_SNDBUF,
    SO_SNDBUF,
    SO_PASSCRED,
    SO_PASSCRED,
    SO_PASSRIGHTS,
    SO_PEEK_OFF,
    SO_PEEK_OFF,
    SO_OOBINLINE,
    SO_INQ,
    SO_PASSPIDFD,
    SO_PASSSEC,
    SO_RCVLOWAT,
    SO_SNDBUFFORCE,
    SO_TIMESTAMP,
    SO_RCVTIMEO,
    SO_SNDTIMEO,
];
/// All options, and numbers that stand for none.
const OPTIONS: [i32; 68] = [
    SO_DEBUG,
    SO_REUSEADDR,
    SO_TYPE,
    SO_ERROR,
    SO_DONTROUTE,
    SO_BROADCAST,
    SO_SNDBUF,
    SO_RCVBUF,
    SO_KEEPALIVE,
    SO_OOBINLINE,
    SO_NO_CHECK,
    SO_PRIORITY,
    SO_LINGER,
    SO_BSDCOMPAT,
    SO_REUSEPORT,
    SO_PASSCRED,
    SO_PEERCRED,
    SO_RCVLOWAT,
    SO_SNDLOWAT,
    SO_RCVTIMEO,
    SO_SNDTIMEO,
    SO_BINDTODEVICE,
    SO_DETACH_FILTER,
    SO_PEERNAME,
    SO_TIMESTAMP,
    SO_ACCEPTCONN,
    SO_SNDBUFFORCE,
    SO_RCVBUFFORCE,
    SO_PASSSEC,
    SO_TIMESTAMPNS,
    SO_MARK,
    SO_TIMESTAMPING,
    SO_PROTOCOL,
    SO_DOMAIN,
    SO_RXQ_OVFL,
    SO_WIFI_STATUS,
    SO_PEEK_OFF,
    SO_NOFCS,
    SO_LOCK_FILTER,
    SO_SELECT_ERR_QUEUE,
    SO_BUSY_POLL,
    SO_MAX_PACING_RATE,
    SO_BPF_EXTENSIONS,
    SO_INCOMING_CPU,
    SO_CNX_ADVICE,
    SO_MEMINFO,
    SO_INCOMING_NAPI_ID,
    SO_COOKIE,
    SO_PEERGROUPS,
    SO_ZEROCOPY,
    SO_BINDTOIFINDEX,
    SO_TIMESTAMP_NEW,
    SO_TIMESTAMPNS_NEW,
    SO_TIMESTAMPING_NEW,
    SO_RCVTIMEO_NEW,
    SO_SNDTIMEO_NEW,
    SO_PREFER_BUSY_POLL,
    SO_BUSY_POLL_BUDGET,
    SO_NETNS_COOKIE,
    SO_BUF_LOCK,
    SO_RESERVE_MEM,
    SO_TXREHASH,
    SO_RCVMARK,
    SO_PASSPIDFD,
    SO_PEERPIDFD,
    SO_RCVPRIORITY,
    SO_PASSRIGHTS,
    9999,
];

impl Maker<'_> {
    pub(super) fn socket_kind(&mut self) -> i32 {
        let kind = self.pick(&KINDS);
        let flags = self.pick(&[NONBLOCK, NONBLOCK, NONBLOCK, NONBLOCK | CLOEXEC, CLOEXEC, 0]);
        kind | flags
    }

    pub(super) fn name(&mut self) -> Name {
        match self.below(24) {
            0..=10 => Name::Abstract(self.below(4) as u8),
            11..=18 => Name::Path(self.pick(&PATHS[..8])),
            19 => Name::Path(self.pick(&PATHS)),
            20 => Name::Raw(vec![1, 0]),
            21 => {
                let mut bytes = vec![b's'; 2 + self.pick(&[1, 3, 107, 108, 109, 126, 127, 140])];
                bytes[0] = self.pick(&[1, 1, 1, 0, 2]);
                bytes[1] = 0;
                Name::Raw(bytes)
            }
            22 => Name::Raw(vec![0; self.pick(&[0, 1, 2, 16])]),
            _ => {
                let len = self.pick(&[-1, 0, 2, 20, 110, 200]);
                self.pick(&[Name::Null(len), Name::Fault(len), Name::None])
            }
        }
    }

    /// A name that a socket of this type was bound to, if there is one.
    pub(super) fn known_name(&mut self, kind: i32) -> Name {
        let of_type = self.names.iter().filter(|(of, _)| *of == kind);
        let mut known: Vec<Name> = of_type.map(|(_, name)| name.clone()).collect();
        let recent = known.len().saturating_sub(3);
        match known.is_empty() || self.one_in(4) {
            true => self.name(),
            false => {
                known.drain(..recent);
                self.pick(&known)
            }
        }
    }

    pub(super) fn want(&mut self) -> Want {
        match self.below(14) {
            0 => Want::Nothing,
            1 => Want::Buffer { len: self.pick(&[0, 1, 2, 3, 8, 110]) },
            2 => Want::Buffer { len: -1 },
            // No name has this length: else one that is written could not be told from one that is
            // left alone.
            3 => self.pick(&[Want::Fault { len: 127 }, Want::NullLength]),
            _ => WHOLE,
        }
    }

    pub(super) fn len(&mut self) -> usize {
        if self.one_in(9) { self.pick(&LARGE) } else { self.pick(&LENGTHS) }
    }

    pub(super) fn pieces(&mut self, most: usize) -> Vec<Piece> {
        let count = self.pick(&[1, 1, 1, 1, 2, 3, 0]).min(most);
        let mut pieces = Vec::new();
        for _ in 0..count {
            let faults = self.one_in(40);
            pieces.push(Piece { len: self.len(), faults });
        }
        pieces
    }

    pub(super) fn control(&mut self) -> Vec<Control> {
        let mut all = Vec::new();
        for _ in 0..self.pick(&[0, 0, 0, 1, 1, 1, 2]) {
            let message = match self.below(16) {
                0..=10 => self.rights(),
                11..=13 => {
                    let own = if self.is_root { 0 } else { 1000 };
                    let ids = [own, own, self.stranger, self.stranger + 1, 7, u32::MAX];
                    let (uid, gid) = (self.pick(&ids), self.pick(&ids));
                    Control::Credentials { process: self.below(3), uid, gid }
                }
                // Alone: what follows it would be taken for a process id of the system.
                _ => return vec![self.raw_control()],
            };
            all.push(message);
        }
        all
    }

    pub(super) fn rights(&mut self) -> Control {
        let count = self.pick(&[0, 1, 1, 1, 1, 2, 2, 3, 3, 10]);
        let mut slots: Vec<Slot> = (0..count).map(|_| self.any()).collect();
        if self.one_in(60) {
            // CMSG 2: the most that a message may have, and one more.
            slots.resize(self.pick(&[253, 254]), Slot::Made(CARGO_FILE));
        }
        Control::Rights(slots)
    }

    pub(super) fn raw_control(&mut self) -> Control {
        let len: u64 = self.pick(&[0, 15, 16, 17, 18, 20, 24, 28, 32, 1 << 40, u64::MAX]);
        let level: i32 = self.pick(&[1, 1, 1, 0, 41]);
        let kind: i32 = self.pick(&[1, 2, 2, 3, 4, 77]);
        let mut bytes =
            [&len.to_ne_bytes()[..], &level.to_ne_bytes(), &kind.to_ne_bytes()].concat();
        let more = self.pick(&[0, 0, 4, 8, 12, 16]);
        // Zeros are the ids of root. No descriptor: 0 is the console, which is not to be sent.
        bytes.resize(16 + more, if kind == SCM_RIGHTS { 0xff } else { 0 });
        bytes.truncate(self.pick(&[15, 16, 20, 24, 32]));
        Control::Raw(bytes)
    }

    pub(super) fn get_option(&mut self) {
        let fd = self.any();
        let option = match self.one_in(3) {
            true => self.pick(&OPTIONS),
            false => self.pick(&READ_OFTEN),
        };
        let level = if self.one_in(30) { self.pick(&[0, 6, 272]) } else { 1 };
        let len = match option {
            // No part of a name that autobind drew: only a whole one can be compared.
            SO_PEERNAME => self.pick(&[0, 1, 2, 3, 8, 8, 16, 64, -1]),
            _ => self.pick(&[4, 4, 4, 8, 12, 16, 64, 0, 1, 2, -1]),
        };
        let into = if option == SO_PEERPIDFD { self.slot() } else { UNUSED };
        self.add(Request::Getsockopt { fd, level, option, len, into });
    }

    pub(super) fn set_option(&mut self) {
        let what = self.pick(&[Pick::Connected, Pick::Connected, Pick::Listening, Pick::Any]);
        let (fd, _) = self.find(what);
        let option = match self.one_in(3) {
            true => self.pick(&OPTIONS),
            false => self.pick(&SET_OFTEN),
        };
        let value: i32 = match option {
            SO_SNDBUF | SO_RCVBUF | SO_SNDBUFFORCE | SO_RCVBUFFORCE => {
                self.pick(&[0, 0, 1, 2304, 2400, 5000, 20_000, 106_496, 500_000, -1, -5])
            }
            SO_PEEK_OFF => self.pick(&[0, 0, 1, 3, 1000, -1]),
            SO_RCVLOWAT => self.pick(&[0, 1, 5, -1]),
            SO_TIMESTAMPING | SO_TIMESTAMPING_NEW => self.pick(&[0, 0x10, 0x800, 1 << 19]),
            SO_PRIORITY => self.pick(&[0, 6, 7, -1]),
            // lo, and one that no machine has: what others it has is its own affair.
            SO_BINDTOIFINDEX => self.pick(&[0, 1, 1, 1 << 30, -1]),
            _ => self.pick(&[0, 1, 1, 2, -1]),
        };
        let mut value = value.to_ne_bytes().to_vec();
        match self.below(16) {
            0 => value.truncate(self.pick(&[0, 1, 3])),
            1 => value.resize(self.pick(&[8, 16]), 0),
            _ if option == SO_LINGER => value.resize(8, 0),
            2 if option == SO_RCVTIMEO => value.resize(15, 0),
            _ if TIMEOUTS.contains(&option) => {
                value.resize(8, 0);
                let micros: i64 = self.pick(&[0, 1, 4000, 999_999, 1_000_000, -1]);
                value.extend_from_slice(&micros.to_ne_bytes());
            }
            _ => {}
        }
        let level = if self.one_in(30) { self.pick(&[0, 6, 272]) } else { 1 };
        self.add(Request::Setsockopt { fd, level, option, value });
    }
}
