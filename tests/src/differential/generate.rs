//! Making programs at random, weighted to reach deep states.
//!
//! The generator keeps a rough idea of what each process has (it does not know what succeeded), so that
//! most calls make sense, and bursts fill and drain queues.

use afunix::call::Fcntl;
use afunix::options::*;
use rand_core::RngCore;

use super::perform::WHOLE;
use super::program::*;

/// Steps of a program, about.
const LENGTH: usize = 140;
/// The user that a process becomes.
const STRANGER: u32 = 54321;
/// Where descriptors go that nothing uses.
const UNUSED: u16 = u16::MAX - 20;
const NONBLOCK: i32 = 0o4000;
const CLOEXEC: i32 = 0o2000000;
const DONTWAIT: i32 = 0x40;
const KINDS: [i32; 3] = [1, 2, 5];
/// Where sockets are bound, and what else a path can be.
const PATHS: [&str; 12] =
    ["s0", "s1", "s2", "d/s3", "./s0", "d/../s1", "f0", "d", "l0", "no/s", "s0/", "s0/x"];
/// Files, directories and links.
const FILES: [&str; 9] = ["f0", "f1", "d", "d/f2", "s0", "l0", "l1", "d/s3", "no/f"];
/// Lengths around every edge of MEM, the likelier the more often they stand here.
const LENGTHS: [usize; 32] = [
    0, 1, 1, 1, 2, 2, 3, 4, 5, 7, 8, 10, 16, 30, 64, 100, 192, 193, 500, 704, 705, 1000, 1728,
    1729, 2240, 3776, 3777, 4480, 4481, 5000, 7872, 7873,
];
const LARGE: [usize; 14] = [
    16_064, 16_065, 20_161, 36_544, 36_545, 40_000, 65_536, 70_000, 85_696, 85_697, 106_432,
    212_960, 212_961, 300_000,
];
const ROOMS: [usize; 14] = [0, 8, 15, 16, 19, 20, 24, 27, 28, 32, 40, 56, 64, 128];

/// Makes a program.
pub(super) fn program(random: &mut dyn RngCore, is_root: bool) -> Program {
    let mut maker = Maker {
        random,
        is_root,
        steps: Vec::new(),
        have: vec![Vec::new()],
        next_slot: 0,
        process: 0,
    };
    let cargo = maker.pick(&KINDS);
    maker.add(Request::Limit { descriptors: 26 });
    let into = maker.slot(0, Role::File);
    assert_eq!(into, CARGO_FILE, "the first slot is the file");
    maker.add(Request::Open { path: "f1", flags: 0o102, mode: 0o644, into });
    for _ in 0..maker.below(4) {
        maker.anything();
    }
    let before_fork = maker.steps.len();
    let processes = maker.pick(&[1, 1, 2, 2, 2, 3]);
    for _ in 1..processes {
        let copy = maker.have[0].clone();
        maker.have.push(copy);
    }
    if is_root && maker.one_in(3) {
        maker.process = processes - 1;
        maker.add(Request::Become { user: STRANGER });
    }
    let length = LENGTH / 2 + maker.below(LENGTH);
    while maker.steps.len() < length {
        maker.process = maker.below(processes);
        for _ in 0..1 + maker.below(9) {
            maker.anything();
        }
    }
    Program { processes, before_fork, cargo, steps: maker.steps }
}

/// What the generator believes a slot to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Fresh,
    Bound,
    Listening,
    Connected,
    File,
    Closed,
}

#[derive(Clone, Copy, Debug)]
struct Have {
    slot: u16,
    kind: i32,
    role: Role,
}

struct Maker<'r> {
    random: &'r mut dyn RngCore,
    is_root: bool,
    steps: Vec<Step>,
    /// What each process has.
    have: Vec<Vec<Have>>,
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

    fn add(&mut self, request: Request) {
        let mut request = request;
        // Only calls of sockets are made on the console: what it is on the kernel is none of our affair.
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
        self.steps.push(Step { process: self.process, request });
    }

    fn slot(&mut self, kind: i32, role: Role) -> u16 {
        let slot = self.next_slot;
        self.next_slot += 1;
        self.have[self.process].push(Have { slot, kind, role });
        slot
    }

    /// A slot of one of these roles if there is one; now and then something else altogether.
    fn find(&mut self, roles: &[Role]) -> (Slot, i32) {
        match self.below(40) {
            0 => return (Slot::Console, 0),
            1 if self.one_in(3) => return (Slot::Negative, 0),
            2 if self.one_in(3) => return (Slot::Made(u16::MAX), 0),
            _ => {}
        }
        let all = self.have[self.process].clone();
        let strict = !self.one_in(8);
        let fits = |have: &&Have| roles.contains(&have.role) || !strict;
        let mut found: Vec<&Have> = all.iter().filter(fits).collect();
        if found.is_empty() {
            found = all.iter().collect();
        }
        // What came last is the likelier.
        let recent = found.len().saturating_sub(6);
        if recent > 0 && !self.one_in(3) {
            found.drain(..recent);
        }
        match found.is_empty() {
            true => (Slot::Console, 0),
            false => {
                let have = *self.pick(&found);
                (Slot::Made(have.slot), have.kind)
            }
        }
    }

    fn set_role(&mut self, slot: Slot, role: Role) {
        let Slot::Made(slot) = slot else { return };
        if let Some(have) = self.have[self.process].iter_mut().find(|have| have.slot == slot) {
            have.role = role;
        }
    }

    fn any(&mut self) -> Slot {
        use Role::*;
        self.find(&[Fresh, Bound, Listening, Connected, File]).0
    }

    fn socket_kind(&mut self) -> i32 {
        let kind = self.pick(&KINDS);
        let flags = self.pick(&[NONBLOCK, NONBLOCK, NONBLOCK, NONBLOCK | CLOEXEC, CLOEXEC, 0]);
        kind | flags
    }

    fn name(&mut self) -> Name {
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

    fn want(&mut self) -> Want {
        match self.below(14) {
            0 => Want::Nothing,
            1 => Want::Buffer { len: self.pick(&[0, 1, 2, 3, 8, 110]) },
            2 => Want::Buffer { len: -1 },
            3 => self.pick(&[Want::Fault { len: 20 }, Want::NullLength]),
            _ => WHOLE,
        }
    }

    fn len(&mut self) -> usize {
        if self.one_in(9) { self.pick(&LARGE) } else { self.pick(&LENGTHS) }
    }

    fn pieces(&mut self, most: usize) -> Vec<Piece> {
        let count = self.pick(&[1, 1, 1, 1, 2, 3, 0]).min(most);
        let mut pieces = Vec::new();
        for _ in 0..count {
            let faults = self.one_in(40);
            pieces.push(Piece { len: self.len(), faults });
        }
        pieces
    }

    fn anything(&mut self) {
        use Role::*;
        match self.below(100) {
            0..=3 => {
                let kind = self.socket_kind();
                let into = self.slot(kind & 0xf, Fresh);
                self.add(Request::Socket { domain: 1, kind, protocol: 0, into });
            }
            4..=8 => self.pair(),
            9 => self.odd_socket(),
            10..=13 => {
                let (fd, _) = self.find(&[Fresh, Connected]);
                let name = self.name();
                self.set_role(fd, Bound);
                self.add(Request::Bind { fd, name });
            }
            14..=16 => {
                let (fd, _) = self.find(&[Bound]);
                self.set_role(fd, Listening);
                let backlog = self.pick(&[0, 0, 1, 1, 2, 5, -1]);
                self.add(Request::Listen { fd, backlog });
            }
            17..=19 => self.server(),
            20..=24 => {
                let (fd, _) = self.find(&[Fresh, Bound]);
                let name = self.name();
                self.set_role(fd, Connected);
                self.add(Request::Connect { fd, name });
            }
            25..=28 => self.accept(),
            29..=45 => self.send(),
            46..=61 => self.receive(),
            62..=64 => self.burst(),
            65..=67 => self.drain(),
            68..=70 => {
                let (fd, _) = self.find(&[Connected, Connected, Listening, Fresh]);
                let how = self.pick(&[0, 1, 1, 2, 0, 1, 2, 3]);
                self.add(Request::Shutdown { fd, how });
            }
            71..=75 => {
                let fd = self.any();
                self.set_role(fd, Closed);
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
                let (fd, value) = (self.any(), self.pick(&[0, 1, 1]));
                let request = self.pick(&[SIOCINQ, SIOCOUTQ, SIOCATMARK, FIONBIO, FIONBIO, 0x8906]);
                // FIONREAD of a file is the file system's.
                let is_file = self.role(fd) == Some(File);
                let request = if is_file { FIONBIO } else { request };
                let value = if request == FIONBIO { 1 } else { value };
                self.add(Request::Ioctl { fd, request, value });
            }
            89..=90 => self.poll(),
            _ => self.files(),
        }
    }

    fn role(&self, slot: Slot) -> Option<Role> {
        let Slot::Made(slot) = slot else { return None };
        self.have[self.process].iter().find(|have| have.slot == slot).map(|have| have.role)
    }

    fn pair(&mut self) {
        let kind = self.socket_kind();
        let into = [(); 2].map(|()| self.slot(kind & 0xf, Role::Connected));
        self.add(Request::Socketpair { domain: 1, kind, protocol: 0, into });
    }

    fn odd_socket(&mut self) {
        let domain = 1;
        let kind = self.pick(&[0, 3, 4, 6, 10, 11, 1 | 0x10, 2 | 0x4000_0000, 1, 5]);
        let protocol = self.pick(&[0, 1, 1, 2, -1]);
        let into = self.slot(2, Role::Fresh);
        if self.one_in(2) {
            self.add(Request::Socket { domain, kind, protocol, into });
        } else {
            let into = [into, self.slot(2, Role::Connected)];
            self.add(Request::Socketpair { domain, kind, protocol, into });
        }
    }

    /// A listener and a client.
    fn server(&mut self) {
        let kind = self.pick(&[1, 5]) | NONBLOCK;
        let name = Name::Abstract(self.below(4) as u8);
        let path = Name::Path(self.pick(&PATHS[..6]));
        let name = if self.one_in(3) { path } else { name };
        let into = self.slot(kind & 0xf, Role::Listening);
        self.add(Request::Socket { domain: 1, kind, protocol: 0, into });
        self.add(Request::Bind { fd: Slot::Made(into), name: name.clone() });
        let backlog = self.pick(&[0, 1, 2]);
        self.add(Request::Listen { fd: Slot::Made(into), backlog });
        for _ in 0..self.below(3) {
            let client = self.slot(kind & 0xf, Role::Connected);
            self.add(Request::Socket { domain: 1, kind, protocol: 0, into: client });
            self.add(Request::Connect { fd: Slot::Made(client), name: name.clone() });
        }
        if self.one_in(2) {
            self.accept();
        }
    }

    fn accept(&mut self) {
        let (fd, kind) = self.find(&[Role::Listening]);
        let flags = self.pick(&[NONBLOCK, NONBLOCK, NONBLOCK | CLOEXEC, 0, 1]);
        let want = self.want();
        let into = self.slot(kind, Role::Connected);
        self.add(Request::Accept { fd, flags, want, into });
    }

    fn send(&mut self) {
        let (fd, kind) = self.find(&[Role::Connected]);
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
        if named { self.name() } else { Name::None }
    }

    fn control(&mut self) -> Vec<Control> {
        let mut all = Vec::new();
        for _ in 0..self.pick(&[0, 0, 0, 1, 1, 1, 2]) {
            let message = match self.below(16) {
                0..=10 => {
                    let count = self.pick(&[0, 1, 1, 1, 2, 3, 3]);
                    let slots = (0..count).map(|_| self.any()).collect();
                    Control::Rights(slots)
                }
                11..=13 => {
                    let own = if self.is_root { 0 } else { 1000 };
                    let ids = [own, own, own, STRANGER, 7, u32::MAX];
                    let (uid, gid) = (self.pick(&ids), self.pick(&ids));
                    Control::Credentials { process: self.below(3), uid, gid }
                }
                _ => self.raw_control(),
            };
            all.push(message);
        }
        all
    }

    fn raw_control(&mut self) -> Control {
        let len: u64 = self.pick(&[0, 15, 16, 17, 18, 20, 24, 28, 32, 1 << 40, u64::MAX]);
        let level: i32 = self.pick(&[1, 1, 1, 0, 41]);
        let kind: i32 = self.pick(&[1, 2, 2, 3, 4, 77]);
        let mut bytes =
            [&len.to_ne_bytes()[..], &level.to_ne_bytes(), &kind.to_ne_bytes()].concat();
        let more = self.pick(&[0, 0, 4, 8, 12, 16]);
        // Zeros: descriptor 0, and the ids of root.
        bytes.resize(16 + more, 0);
        bytes.truncate(self.pick(&[15, 16, 20, 24, 32]));
        Control::Raw(bytes)
    }

    fn receive(&mut self) {
        let (fd, kind) = self.find(&[Role::Connected, Role::Bound]);
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
        let into = self.slot(kind, Role::Connected);
        for _ in 1..4 {
            self.slot(kind, Role::Connected);
        }
        self.add(Request::Receive { fd, by, data, flags, into });
    }

    /// Sends the same thing again and again, until memory or the queue is full.
    fn burst(&mut self) {
        let (fd, kind) = self.find(&[Role::Connected]);
        let named = kind == 2 && self.one_in(2);
        let name = if named { self.name() } else { Name::None };
        let len = self.pick(&[1, 1, 700, 4000, 16_000, 36_544, 60_000]);
        let piece = Piece { len, faults: false };
        for _ in 0..self.pick(&[4, 8, 13, 13]) {
            let by = SendBy::Sendto(name.clone());
            self.add(Request::Send { fd, by, data: vec![piece], flags: DONTWAIT });
        }
    }

    fn drain(&mut self) {
        let (fd, _) = self.find(&[Role::Connected, Role::Bound]);
        let piece = Piece { len: self.pick(&[1, 5000, 100_000]), faults: false };
        let into = UNUSED;
        for _ in 0..self.pick(&[2, 5, 12]) {
            let by = ReceiveBy::Recvfrom(WHOLE);
            self.add(Request::Receive { fd, by, data: vec![piece], flags: DONTWAIT, into });
        }
    }

    fn dup(&mut self) {
        use Role::*;
        let (fd, kind) = self.find(&[Fresh, Bound, Listening, Connected, File]);
        let new = self.any();
        let role = self.role(fd).unwrap_or(Closed);
        let into = self.slot(kind, role);
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

    fn get_option(&mut self) {
        let fd = self.any();
        let option = self.pick(&[
            SO_TYPE,
            SO_ERROR,
            SO_ERROR,
            SO_ERROR,
            SO_SNDBUF,
            SO_RCVBUF,
            SO_PASSCRED,
            SO_PEERCRED,
            SO_RCVLOWAT,
            SO_SNDLOWAT,
            SO_RCVTIMEO,
            SO_SNDTIMEO,
            SO_ACCEPTCONN,
            SO_PROTOCOL,
            SO_DOMAIN,
            SO_PEEK_OFF,
            SO_PASSRIGHTS,
            SO_LINGER,
            SO_KEEPALIVE,
            SO_REUSEADDR,
            SO_OOBINLINE,
            SO_REUSEPORT,
            9999,
        ]);
        let level = if self.one_in(30) { self.pick(&[0, 6, 272]) } else { 1 };
        let len = self.pick(&[4, 4, 4, 8, 12, 16, 64, 0, 1, 2, -1]);
        self.add(Request::Getsockopt { fd, level, option, len });
    }

    fn set_option(&mut self) {
        let (fd, _) = self.find(&[Role::Connected, Role::Fresh, Role::Listening]);
        let option = self.pick(&[
            SO_SNDBUF,
            SO_SNDBUF,
            SO_SNDBUF,
            SO_RCVBUF,
            SO_PASSCRED,
            SO_PASSCRED,
            SO_PASSCRED,
            SO_PASSRIGHTS,
            SO_RCVLOWAT,
            SO_PEEK_OFF,
            SO_OOBINLINE,
            SO_KEEPALIVE,
            SO_REUSEADDR,
            SO_LINGER,
            SO_SNDBUFFORCE,
            SO_RCVBUFFORCE,
            SO_SNDLOWAT,
            SO_REUSEPORT,
            SO_TYPE,
            SO_INQ,
            SO_RCVTIMEO,
            9999,
        ]);
        let value: i32 = match option {
            SO_SNDBUF | SO_RCVBUF | SO_SNDBUFFORCE | SO_RCVBUFFORCE => {
                self.pick(&[0, 0, 1, 2304, 2400, 5000, 20_000, 106_496, 500_000, -1, -5])
            }
            SO_PEEK_OFF => self.pick(&[0, 0, 1, 3, 1000, -1]),
            SO_RCVLOWAT => self.pick(&[0, 1, 5, -1]),
            _ => self.pick(&[0, 1, 1, 2, -1]),
        };
        let mut value = value.to_ne_bytes().to_vec();
        match self.below(16) {
            0 => value.truncate(self.pick(&[0, 1, 3])),
            1 => value.resize(self.pick(&[8, 16]), 0),
            _ if option == SO_LINGER => value.resize(8, 0),
            _ if option == SO_RCVTIMEO => value.resize(16, 0),
            _ => {}
        }
        let level = if self.one_in(30) { self.pick(&[0, 6, 272]) } else { 1 };
        self.add(Request::Setsockopt { fd, level, option, value });
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
        let mode = self.pick(&[0o644, 0o600, 0o666, 0o777, 0o000, 0o1777]);
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
                return self.add(request);
            }
            _ => {
                let mask = self.pick(&[0o022, 0o022, 0, 0o077, 0o777]);
                return self.add(Request::Umask { mask });
            }
        };
        self.add(Request::Path { path, call });
    }

    fn open(&mut self, path: &'static str, mode: u32) {
        let access = self.pick(&[0, 1, 2, 2]);
        let how = self.pick(&[0o100, 0o100, 0o300, 0, 0o2100, 0o1000, 0o200000, 0o10000000]);
        let into = self.slot(0, Role::File);
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
