//! Random calls of several threads in several processes, good and bad: no panic, the invariants
//! hold after every step, every file is accounted for at the end, and the same calls give the same
//! answers.

use std::collections::BTreeMap;
use std::time::Duration;

use afunix::call::{Fcntl, OptionOut, Stat};
use afunix::control::ControlOut;
use afunix::{
    Call, Capabilities, Credentials, Exit, Limits, NameOut, NameWant, OpenFlags, Pid, PollFd,
    RawName, Readiness, RecvFlags, Segment, SegmentMut, SendFlags, SocketFlags, Tid,
};
use afunix_model::{Effect, Resume, Spawn, Step, Ticket};
use quickcheck::quickcheck;

use crate::dice::Dice;
use crate::numbers::{control, fd};
use crate::support::{MAIN, Rig};

/// Who, what, and three arguments.
pub(crate) type Act = (u8, u8, (u8, u8, u8));

pub(crate) fn any(dice: &mut Dice) -> Act {
    (dice.byte(), dice.byte(), (dice.byte(), dice.byte(), dice.byte()))
}

pub(crate) const PATHS: [&[u8]; 20] = [
    b"/tmp/a",
    b"/tmp/b",
    b"/tmp/d",
    b"/tmp/d/e",
    b"/tmp/l",
    b"/tmp/d/../b",
    b"/tmp/a/",
    b"",
    b"/",
    b".",
    b"..",
    b"d",
    b"a\0b",
    b"/tmp/no/no",
    b"//tmp//d/./",
    b"/run/x",
    b"/tmp/l/e",
    b"/dev/null",
    b"/tmp/d/e/f",
    b"/dev/console",
];

fn path(which: u8) -> &'static [u8] {
    PATHS[usize::from(which) % PATHS.len()]
}

fn address(which: u8) -> Vec<u8> {
    let family = if which == 255 { 2u16 } else { 1 };
    let mut bytes = family.to_ne_bytes().to_vec();
    match which % 8 {
        0 => {}
        1 => bytes.extend_from_slice(b"\0name"),
        2 => bytes.extend_from_slice(b"\0other"),
        3 => bytes.extend_from_slice(&[b'x'; 120]),
        _ => bytes.extend_from_slice(path(which / 8)),
    }
    bytes
}

fn raw_name(bytes: &[u8], how: u8) -> RawName<'_> {
    match how % 16 {
        0 => RawName::NONE,
        1 => RawName::Fault { len: 20 },
        2 => RawName::Null { len: 110 },
        3 => RawName::Fault { len: -1 },
        _ => RawName::Bytes(bytes),
    }
}

fn rights(first: u8, count: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let numbers: Vec<u8> =
        (0..i32::from(count % 4)).flat_map(|n| number(first, n).to_ne_bytes()).collect();
    let (level, kind) = (i32::from(count != 77), 1 + i32::from(count % 32 == 5));
    afunix::control::push_message(&mut bytes, level, kind, &numbers);
    if count % 16 == 9 {
        bytes.truncate(17);
    }
    bytes
}

/// A number that is often open.
fn number(which: u8, more: i32) -> i32 {
    match which {
        255 => i32::MAX,
        254 => i32::MIN,
        _ => i32::from(which % 18) - 1 + more,
    }
}

pub(crate) struct World {
    pub(crate) rig: Rig,
    threads: Vec<Tid>,
    waiting: BTreeMap<Tid, (Act, Ticket)>,
    /// What every step said.
    log: Vec<String>,
}

impl World {
    pub(crate) fn new() -> World {
        let mut rig = Rig::new();
        rig.machine.observe(true);
        let user = Some(Credentials::user(1000));
        let spec = Spawn { name: "user", user, ..Spawn::default() };
        let (_, user) = rig.machine.spawn(Pid(1), &spec).expect("a child");
        rig.drain();
        let second = rig.machine.start_thread(Pid(1), "second");
        let threads = vec![MAIN, second, user];
        World { rig, threads, waiting: BTreeMap::new(), log: Vec::new() }
    }

    pub(crate) fn act(&mut self, act: Act) {
        let (who, what, args) = act;
        self.rig.now += Duration::from_millis(1);
        let tid = self.threads[usize::from(who) % self.threads.len()];
        match what {
            250.. => self.live(tid, args),
            _ => match self.waiting.get(&tid).copied() {
                None => self.step(tid, act, Resume::First),
                Some((_, ticket)) if what % 8 == 0 => {
                    self.rig.machine.cancel(ticket);
                    self.rig.drain();
                    self.waiting.remove(&tid);
                }
                Some((old, ticket)) if what % 8 == 1 => {
                    self.step(tid, old, Resume::Interrupted(ticket));
                }
                Some((old, ticket)) if what % 8 == 2 => {
                    self.step(tid, old, Resume::TimedOut(ticket))
                }
                Some(_) => {}
            },
        }
        self.hear();
    }

    /// The threads that wait in no call.
    pub(crate) fn free_threads(&self) -> Vec<Tid> {
        let free = |tid: &Tid| !self.waiting.contains_key(tid);
        self.threads.iter().copied().filter(free).collect()
    }

    fn step(&mut self, tid: Tid, act: Act, resume: Resume) {
        let step = perform(&mut self.rig, tid, act, resume);
        self.log.push(format!("{tid} {act:?} {step:?}"));
        self.waiting.remove(&tid);
        if let Step::Blocked { ticket, .. } = step {
            self.waiting.insert(tid, (act, ticket));
        }
    }

    /// Steps again whoever was woken, and forgets whoever is gone.
    fn hear(&mut self) {
        let mut rounds = 0;
        while !self.rig.effects.is_empty() && rounds < 100 {
            rounds += 1;
            for effect in std::mem::take(&mut self.rig.effects) {
                let Effect::Woken(ticket) = effect else { continue };
                let found = self.waiting.iter().find(|(_, (_, waits))| *waits == ticket);
                if let Some((tid, (act, _))) = found.map(|(tid, waits)| (*tid, *waits)) {
                    self.step(tid, act, Resume::Woken(ticket));
                }
            }
            let machine = &self.rig.machine;
            self.threads.retain(|tid| machine.process_of(*tid).is_some());
            self.waiting.retain(|tid, _| machine.process_of(*tid).is_some());
            if self.threads.is_empty() {
                return;
            }
        }
    }

    /// Processes and threads come and go. Main stays.
    fn live(&mut self, tid: Tid, (a, b, c): (u8, u8, u8)) {
        let pid = self.rig.pid(tid);
        let machine = &mut self.rig.machine;
        match a % 5 {
            0 => {
                let fds = [(number(b, 0), 3 + i32::from(c % 8))];
                let spec = Spawn { name: "spawned", fds: &fds, ..Spawn::default() };
                self.threads.extend(machine.spawn(pid, &spec).map(|(_, tid)| tid));
            }
            1 => self.threads.extend(machine.fork(pid).map(|(_, tid)| tid)),
            2 => self.threads.push(machine.start_thread(pid, "more")),
            3 if tid != MAIN => {
                machine.end_thread(tid);
                self.waiting.remove(&tid);
            }
            _ if pid != Pid(1) => machine.exit(pid, Exit::Status(i32::from(b))),
            _ => {}
        }
        self.rig.drain();
        let machine = &self.rig.machine;
        self.threads.retain(|tid| machine.process_of(*tid).is_some());
        self.waiting.retain(|tid, _| machine.process_of(*tid).is_some());
    }

    /// Ends every process; nothing may be left.
    fn end(mut self) -> Vec<String> {
        let limits = Some(Limits::default());
        let other = self.rig.machine.spawn(Pid(1), &Spawn { limits, ..Spawn::default() });
        for pid in 1..2000 {
            let is_other = other.is_ok_and(|(other, _)| other == Pid(pid));
            if is_other || !self.rig.machine.is_alive(Pid(pid)) {
                continue;
            }
            self.rig.machine.exit(Pid(pid), Exit::Status(0));
            self.rig.drain();
        }
        if let Ok((pid, tid)) = other {
            for number in 0..3 {
                // It has what main had there, if anything.
                let _ = self.rig.close(tid, number);
            }
            // GC 3: what only cycles hold goes with the next socket.
            let socket = self.rig.socket(tid, afunix::SOCK_DGRAM);
            self.rig.close(tid, socket).expect("it is open");
            self.rig.machine.exit(pid, Exit::Status(0));
            self.rig.drain();
        }
        let snapshot = self.rig.machine.snapshot(self.rig.now);
        assert!(snapshot.sockets.is_empty(), "sockets are left: {:?}", snapshot.sockets);
        assert!(snapshot.files.is_empty(), "files are left: {:?}", snapshot.files);
        self.log
    }
}

/// One call with its own memory.
pub(crate) fn perform(rig: &mut Rig, tid: Tid, act: Act, resume: Resume) -> Step {
    let (_, what, (a, b, c)) = act;
    match what % 4 {
        0 => perform_on_files(rig, tid, act, resume),
        1 => perform_on_process(rig, tid, act, resume),
        2 => perform_message(rig, tid, act, resume),
        _ => {
            let (name_bytes, mut name) = (address(b), NameOut::new());
            name.want = match c % 8 {
                0 => NameWant::Nothing,
                1 => NameWant::Fault { len: 9 },
                2 => NameWant::Buffer { len: -1 },
                3 => NameWant::NullLength,
                _ => NameWant::Buffer { len: i32::from(b) / 2 },
            };
            let (mut fds, value) = ([0; 2], [c, b, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
            let mut buffer = [0; 64];
            let mut out = OptionOut::new(&mut buffer);
            out.len = i32::from(c) - 4;
            out.len = out.len.min(64);
            let (fd, kind) = (fd(number(a, 0)), [1, 2, 5, 1, 2, 5, 0, 77][usize::from(a) % 8]);
            let flags = if c % 3 == 0 { 0o4000 } else { 0 };
            let name_in = raw_name(&name_bytes, c);
            let option = i32::from(b) % 90;
            let mut call = match what / 4 % 16 {
                0 => Call::Socket { domain: 1, kind: kind | flags, protocol: i32::from(b == 9) },
                1..4 => {
                    Call::Socketpair { domain: 1, kind: kind | flags, protocol: 0, fds: &mut fds }
                }
                4 | 5 => Call::Bind { fd, name: name_in },
                6 => Call::Listen { fd, backlog: i32::from(b) - 2 },
                7 => {
                    let flags = SocketFlags::from_bits_retain(flags | i32::from(b == 3));
                    Call::Accept4 { fd, name: &mut name, flags }
                }
                8 | 9 => Call::Connect { fd, name: name_in },
                10 => Call::Getsockname { fd, name: &mut name },
                11 => Call::Getpeername { fd, name: &mut name },
                12 => Call::Shutdown { fd, how: i32::from(b) % 5 - 1 },
                13 => Call::Getsockopt { fd, level: 1, option, value: &mut out },
                14 => {
                    let value = &value[..usize::from(c) % 17];
                    Call::Setsockopt { fd, level: 1, option, value }
                }
                _ => Call::Close { fd },
            };
            rig.step(tid, &mut call, resume)
        }
    }
}

fn perform_message(rig: &mut Rig, tid: Tid, act: Act, resume: Resume) -> Step {
    let (_, what, (a, b, c)) = act;
    let fd = fd(number(a, 0));
    let mut big = vec![c; usize::from(b) * usize::from(c) * 4];
    let (mut other, mut space) = ([0; 16], [0; 64]);
    let (name_bytes, control_bytes) = (address(b), rights(b, c));
    let mut name = NameOut::new();
    let mut flags_out = RecvFlags::empty();
    let mut control_out = ControlOut::new(&mut space[..usize::from(c) % 65]);
    let send_flags = SendFlags::from_bits_retain([0, 0x40, 0x40, 0x4041][usize::from(c) % 4]);
    let recv_flags = RecvFlags::from_bits_retain(
        [0, 0x40, 0x42, 0x41, 0x100, 0x20, 0x40, 2][usize::from(b) % 8],
    );
    let segments =
        [Segment::Bytes(&big), Segment::Fault(usize::from(c == 8)), Segment::Bytes(b"z")];
    let mut call = match what / 4 % 8 {
        0 => Call::Write { fd, data: Segment::Bytes(&big), progress: 0 },
        1 => Call::Writev { fd, data: &segments, progress: 0 },
        2 => {
            let (data, name) = (Segment::Bytes(&big), raw_name(&name_bytes, c));
            Call::Sendto { fd, data, flags: send_flags, name, progress: 0 }
        }
        3 | 4 => {
            let (name, control) = (raw_name(&name_bytes, c), control(&control_bytes));
            Call::Sendmsg { fd, name, data: &segments, control, flags: send_flags, progress: 0 }
        }
        5 => Call::Read { fd, data: SegmentMut::Bytes(&mut big), progress: 0 },
        6 => {
            let data = SegmentMut::Bytes(&mut big);
            Call::Recvfrom { fd, data, flags: recv_flags, name: &mut name, progress: 0 }
        }
        _ => {
            let data = &mut [
                SegmentMut::Bytes(&mut other),
                SegmentMut::Fault(usize::from(c == 9)),
                SegmentMut::Bytes(&mut big),
            ];
            let (control, flags_out) = (&mut control_out, &mut flags_out);
            let (name, flags) = (&mut name, recv_flags);
            let mut call = Call::Recvmsg { fd, name, data, control, flags, flags_out, progress: 0 };
            return rig.step(tid, &mut call, resume);
        }
    };
    rig.step(tid, &mut call, resume)
}

fn perform_on_files(rig: &mut Rig, tid: Tid, act: Act, resume: Resume) -> Step {
    let (_, what, (a, b, c)) = act;
    let (one, two) = (path(a), path(b));
    let mode = u32::from(c) << 1 | 0o100;
    let (mut stat, mut entries) = (Stat::default(), Vec::new());
    let flags = [0, 1, 2, 0o101, 0o102, 0o302, 0o1001, 0o2002, 0o200000, 0o400000, 0o10000000, 3];
    let flags = OpenFlags::from_bits_retain(flags[usize::from(b) % 12] | i32::from(c & 1) << 11);
    let fd = fd(number(a, 0));
    let mut call = match what / 4 % 16 {
        0..3 => Call::Open { path: one, flags, mode },
        3 => Call::Mkdir { path: one, mode },
        4 => Call::Rmdir { path: one },
        5 => Call::Unlink { path: one },
        6 => Call::Rename { old: one, new: two },
        7 => Call::Link { old: one, new: two },
        8 => Call::Symlink { target: one, path: two },
        9 => Call::Chmod { path: one, mode },
        10 => Call::Chown { path: one, uid: u32::from(b), gid: u32::MAX },
        11 => Call::Lstat { path: one, stat: &mut stat },
        12 => Call::Chdir { path: one },
        13 => Call::Getdents { fd, entries: &mut entries },
        14 => Call::Lseek { fd, offset: u64::from(b) << (c % 64) },
        _ => Call::Fchmod { fd, mode },
    };
    rig.step(tid, &mut call, resume)
}

fn perform_on_process(rig: &mut Rig, tid: Tid, act: Act, resume: Resume) -> Step {
    let (_, what, (a, b, c)) = act;
    let (one, two) = (fd(number(a, 0)), fd(number(b, 0)));
    let (mut status, mut value, mut old) = (None, i32::from(b), Limits::default());
    let mut stat = Stat::default();
    let mut polled = [PollFd::new(one, Readiness::IN), PollFd::new(two, Readiness::OUT)];
    let least = i32::from(b) - 3;
    let fcntl = [
        Fcntl::Dupfd(least),
        Fcntl::DupfdCloexec(least),
        Fcntl::Getfd,
        Fcntl::Setfd(least),
        Fcntl::Getfl,
        Fcntl::Setfl(if b % 2 == 0 { 0o4000 } else { i32::from(b) << 8 }),
    ];
    let requests = [0x541B, 0x5411, 0x5421, 0x8905, 7];
    // Process 1, which a thread's number means too, is left alive.
    let pid = Pid(i32::from(a % 8) + if c % 8 == 0 { -1 } else { 2 });
    let spared = pid.0 < 2 || rig.machine.process_of(Tid(pid.0)) == Some(Pid(1));
    let signal = if spared { 0 } else { i32::from(b) % 70 - 1 };
    let mut call = match what / 4 % 16 {
        0 => Call::Dup { fd: one },
        1 => Call::Dup2 { fd: one, new: two },
        2 => Call::Dup3 { fd: one, new: two, flags: i32::from(c % 4 == 0) },
        3 | 4 => Call::Fcntl { fd: one, command: fcntl[usize::from(c) % 6] },
        5 => {
            let request = requests[usize::from(c) % 5];
            Call::Ioctl { fd: one, request, value: &mut value }
        }
        6 | 7 => {
            let timeout = (c % 2 == 0).then_some(Duration::from_millis(u64::from(c % 8)));
            Call::Poll { fds: &mut polled, timeout, mask: None }
        }
        8 => Call::Fstat { fd: one, stat: &mut stat },
        9 => Call::Umask { mask: u32::from(b) },
        10 => {
            let new = (b < 32).then_some(Limits { descriptors: u32::from(b) });
            Call::Prlimit { new, old: &mut old }
        }
        11 => return perform_on_identity(rig, tid, act, resume),
        12 => Call::Kill { pid, signal },
        13 => Call::Waitpid { pid, status: &mut status },
        14 => Call::Nanosleep { time: Duration::from_millis(u64::from(b)) },
        _ => Call::Close { fd: one },
    };
    rig.step(tid, &mut call, resume)
}

fn perform_on_identity(rig: &mut Rig, tid: Tid, act: Act, resume: Resume) -> Step {
    let (_, what, (a, b, c)) = act;
    let id = |byte: u8| [0, 1, 2, u32::MAX][usize::from(byte) % 4];
    let (real, effective, saved) = (id(a), id(b), id(a / 4));
    let sets = |byte: u8| Capabilities::from_bits_retain(!(u64::from(byte) << (byte % 32)));
    let options: [&[u8]; 4] = [b"", b"nr_inodes=4,mode=777", b"size=4096", b"ro"];
    let mut call = match c % 12 {
        0 => Call::Setids { uid: u32::from(b), gid: u32::from(what), groups: &[5, 6] },
        1 | 2 => Call::Setresuid { real, effective, saved },
        3 => Call::Setresgid { real, effective, saved },
        4 => Call::Setfsuid { uid: id(b) },
        5 => Call::Setgroups { groups: &[1, 7] },
        6 => Call::Capset { effective: sets(a), permitted: sets(b) },
        7 => Call::Unshare { flags: [0x20000, 0x4000_0000, 0x4002_0000, 1][usize::from(b) % 4] },
        8 | 9 => {
            let flags = if b < 32 { 32 } else { 0 } | u64::from(b % 2);
            Call::Mount { target: path(a), flags, data: options[usize::from(b / 2) % 4] }
        }
        10 => Call::Umount2 { target: path(a), flags: 2 },
        _ if b % 8 == 0 => Call::Chroot { path: path(a) },
        _ => Call::Fchdir { fd: fd(number(a, 0)) },
    };
    rig.step(tid, &mut call, resume)
}

fn run(acts: &[Act]) -> Vec<String> {
    let mut world = World::new();
    for act in acts {
        world.act(*act);
    }
    world.end()
}

quickcheck! {
    fn invariants_hold_and_every_file_is_accounted_for(acts: Vec<Act>) -> bool {
        run(&acts);
        true
    }

    fn the_same_calls_give_the_same_answers(acts: Vec<Act>) -> bool {
        run(&acts) == run(&acts)
    }
}

/// Longer runs than quickcheck makes, from a fixed seed.
#[test]
fn invariants_hold_in_long_runs() {
    let mut dice = Dice::new(1);
    for _ in 0..20 {
        let acts: Vec<Act> = (0..600).map(|_| any(&mut dice)).collect();
        run(&acts);
    }
}
