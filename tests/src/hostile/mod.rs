//! Calls as no sane program makes them: any number, length, flag, option, name and control data
//! that the contract can express.
//!
//! [`Dice`] make the choices; [`with`] builds one call from it, with the memory that it needs,
//! and hands it over. The same dice build the same call, so that a call that waits can be built
//! again, with the [`progress`] that it had.

mod dice;
mod world;

use afunix::call::{Fcntl, OptionOut, RecvHeader, SendHeader, Stat};
use afunix::control::SOL_SOCKET;
use afunix::{
    Call, Capabilities, EpollEvent, EpollFlags, EventsOut, Limits, Pid, PollFd, Readiness, SaFlags,
    SigHandler, SigSet, Sigaction, SocketFlags,
};

pub use dice::Dice;
pub use world::World;

/// What a fuzzer's bytes say, [`Dice::BYTES`] to an act, on a new machine.
///
/// # Panics
/// If the model does, or an invariant is broken.
pub fn run(bytes: &[u8]) {
    let mut world = World::new();
    for act in bytes.chunks(Dice::BYTES) {
        if !world.act(Dice::of_bytes(act)) {
            break;
        }
    }
}

/// Builds one call and hands it over.
pub fn with<R>(dice: &mut Dice, then: impl FnOnce(&mut Call<'_, '_>) -> R) -> R {
    match dice.below(16) {
        0..5 => on_socket(dice, then),
        5..8 => send(dice, then),
        8..11 => receive(dice, then),
        11..13 => on_descriptor(dice, then),
        13 => poll(dice, then),
        14 => on_path(dice, then),
        _ => on_process(dice, then),
    }
}

fn on_socket<R>(dice: &mut Dice, then: impl FnOnce(&mut Call<'_, '_>) -> R) -> R {
    let fd = dice.fd();
    let bytes = dice.address();
    let name = dice.name(&bytes);
    let (mut name_out, mut fds) = (dice.name_out(), [0; 2]);
    let domain = if dice.one_in(12) { dice.int() } else { 1 };
    let kind = match dice.below(10) {
        0 => dice.int(),
        1 | 2 => dice.of(&[1, 2, 3, 5]) | dice.of(&[0o4000, 0o2000000, 0o2004000, 0x10]),
        _ => dice.of(&[1, 2, 5]),
    };
    let protocol = if dice.one_in(12) { dice.int() } else { 0 };
    let level = if dice.one_in(8) { dice.int() } else { SOL_SOCKET };
    let option = if dice.one_in(8) { dice.int() } else { dice.below(90) as i32 };
    let value = match dice.below(3) {
        0 => dice.bytes(40),
        1 => [i64::from(dice.int()), i64::from(dice.int())].map(i64::to_ne_bytes).concat(),
        _ => dice.int().to_ne_bytes().to_vec(),
    };
    let mut room = vec![0; dice.below(200) as usize];
    let mut out = OptionOut::new(&mut room);
    if dice.one_in(3) {
        out.len = dice.int();
    }
    let mut call = match dice.below(20) {
        0..2 => Call::Socket { domain, kind, protocol },
        2..6 => Call::Socketpair { domain, kind, protocol, fds: &mut fds },
        6 | 7 => Call::Bind { fd, name },
        8 => Call::Listen { fd, backlog: dice.int() },
        9 | 10 => {
            let bits = if dice.one_in(6) { dice.int() } else { 0o4000 };
            Call::Accept4 { fd, name: &mut name_out, flags: SocketFlags::from_bits_retain(bits) }
        }
        11..13 => Call::Connect { fd, name },
        13 => Call::Getsockname { fd, name: &mut name_out },
        14 => Call::Getpeername { fd, name: &mut name_out },
        15 => Call::Shutdown { fd, how: dice.int() },
        16 | 17 => Call::Getsockopt { fd, level, option, value: &mut out },
        _ => Call::Setsockopt { fd, level, option, value: &value },
    };
    then(&mut call)
}

fn send<R>(dice: &mut Dice, then: impl FnOnce(&mut Call<'_, '_>) -> R) -> R {
    let fd = dice.fd();
    let bytes = vec![7; if dice.one_in(10) { 300_000 } else { 300 }];
    let (address, control_bytes) = (dice.address(), dice.control());
    let name = dice.name(&address);
    let control = dice.raw_control(&control_bytes);
    let (flags, progress, data) = (dice.send_flags(), dice.claim(), dice.segment(&bytes));
    let segments = dice.segments(&bytes);
    let mut call = match dice.below(7) {
        0 => Call::Write { fd, data, progress },
        1 => Call::Writev { fd, data: &segments, progress },
        2 => Call::Sendto { fd, data, flags, name, progress },
        3..6 => Call::Sendmsg { fd, name, data: &segments, control, flags, progress },
        _ => {
            let count = if dice.one_in(20) { 1030 } else { dice.below(4) };
            let mut messages: Vec<SendHeader<'_>> = (0..count)
                .map(|_| {
                    let (data, len) = (vec![dice.segment(&bytes)], dice.size());
                    SendHeader { name: dice.name(&address), data, control, len }
                })
                .collect();
            let mut call = Call::Sendmmsg { fd, messages: &mut messages, flags, progress };
            return then(&mut call);
        }
    };
    then(&mut call)
}

fn receive<R>(dice: &mut Dice, then: impl FnOnce(&mut Call<'_, '_>) -> R) -> R {
    let fd = dice.fd();
    let (mut bytes, mut space) = (vec![0; if dice.one_in(10) { 300_000 } else { 300 }], [0; 400]);
    let (flags, progress, mut name) = (dice.recv_flags(), dice.claim(), dice.name_out());
    match dice.below(8) {
        0 => then(&mut Call::Read { fd, data: dice.segment_mut(&mut bytes), progress }),
        1 => {
            let data = &mut dice.segments_mut(&mut bytes);
            then(&mut Call::Readv { fd, data, progress })
        }
        2 | 3 => {
            let data = dice.segment_mut(&mut bytes);
            then(&mut Call::Recvfrom { fd, data, flags, name: &mut name, progress })
        }
        4..7 => {
            let (mut control, mut out) = (dice.control_out(&mut space), flags);
            let (data, name) = (&mut dice.segments_mut(&mut bytes), &mut name);
            let (control, flags_out) = (&mut control, &mut out);
            then(&mut Call::Recvmsg { fd, name, data, control, flags, flags_out, progress })
        }
        _ => {
            let timeout = dice.timeout();
            let mut messages: Vec<RecvHeader<'_>> = bytes
                .chunks_mut(100)
                .take(if dice.one_in(20) { 1030 } else { 3 })
                .zip(space.chunks_mut(if dice.one_in(20) { 1 } else { 100 }))
                .map(|(bytes, space)| RecvHeader {
                    name: dice.name_out(),
                    data: vec![dice.segment_mut(bytes)],
                    control: dice.control_out(space),
                    flags_out: flags,
                    len: dice.size(),
                })
                .collect();
            let messages = &mut messages;
            then(&mut Call::Recvmmsg { fd, messages, flags, timeout, progress })
        }
    }
}

fn on_descriptor<R>(dice: &mut Dice, then: impl FnOnce(&mut Call<'_, '_>) -> R) -> R {
    let (fd, new, mut value) = (dice.fd(), dice.fd(), dice.int());
    let (mut stat, mut entries, mut fds) = (Stat::default(), Vec::new(), [0; 2]);
    let count = if dice.one_in(30) { 2000 } else { dice.below(4) };
    let mut polled: Vec<PollFd<'_>> = (0..count)
        .map(|_| {
            let mut entry = PollFd::new(dice.fd(), Readiness::from_bits_retain(dice.roll() as _));
            if dice.one_in(9) {
                entry.fd = None;
            }
            entry
        })
        .collect();
    let any = dice.int();
    let command = match dice.below(10) {
        6 => Fcntl::Setown(any),
        7 => Fcntl::Getown,
        8 => Fcntl::Setsig(any),
        9 => Fcntl::Getsig,
        0 => Fcntl::Dupfd(dice.int()),
        1 => Fcntl::DupfdCloexec(dice.int()),
        2 => Fcntl::Getfd,
        3 => Fcntl::Setfd(dice.int()),
        4 => Fcntl::Getfl,
        _ => Fcntl::Setfl(dice.of(&[0o4000, 0, -1, any])),
    };
    let known = [0x541B, 0x5411, 0x5421, 0x8905, 0x8902, 0x89E0, 0x8906, 0x5452, 0x8913];
    let request = if dice.one_in(4) { dice.roll() as u32 } else { dice.of(&known) };
    let mut call = match dice.below(17) {
        0 | 1 => Call::Close { fd },
        2 => Call::Dup { fd },
        3 => Call::Dup2 { fd, new },
        4 => Call::Dup3 { fd, new, flags: dice.of(&[0, 0o2000000, any]) },
        5 | 6 => Call::Fcntl { fd, command },
        7 | 8 => Call::Ioctl { fd, request, value: &mut value },
        9..12 => Call::Poll { fds: &mut polled, timeout: dice.timeout(), mask: dice.mask() },
        12 => Call::Lseek { fd, offset: dice.of(&[0, 5, 1 << 62, u64::MAX, any as u64]) },
        13 => Call::Fstat { fd, stat: &mut stat },
        14 => Call::Fchmod { fd, mode: dice.int() as u32 },
        15 => Call::Getdents { fd, entries: &mut entries },
        _ if dice.one_in(2) => Call::Pipe2 { flags: dice.opening(), fds: &mut fds },
        _ => Call::Eventfd2 { count: dice.int() as u32, flags: dice.int() },
    };
    then(&mut call)
}

fn poll<R>(dice: &mut Dice, then: impl FnOnce(&mut Call<'_, '_>) -> R) -> R {
    let (fd, target, op) = (dice.fd(), dice.fd(), dice.int());
    let event = EpollEvent {
        events: EpollFlags::from_bits_retain(if dice.one_in(3) { dice.roll() as u32 } else { 5 }),
        data: dice.roll(),
    };
    let event = (!dice.one_in(6)).then_some(event);
    let mut room = vec![EpollEvent::default(); dice.below(9) as usize];
    let events = match dice.below(4) {
        0 => EventsOut::Fault(dice.int()),
        _ => EventsOut::Room(&mut room),
    };
    let mut sets = [0; 3].map(|_: u8| vec![dice.roll(); dice.below(20) as usize]);
    let (timeout, mut left, mask) = (dice.timeout(), dice.time(), dice.mask());
    let [readfds, writefds, exceptfds] = &mut sets;
    let mut call = match dice.below(6) {
        0 => Call::EpollCreate1 { flags: dice.opening() },
        1 | 2 => Call::EpollCtl { fd, op: if dice.one_in(4) { op } else { 1 }, target, event },
        3 | 4 => Call::EpollPwait2 { fd, events, timeout, mask },
        _ => Call::Pselect6 {
            nfds: dice.int(),
            readfds: (!dice.one_in(4)).then_some(readfds),
            writefds: (!dice.one_in(4)).then_some(writefds),
            exceptfds: (!dice.one_in(4)).then_some(exceptfds),
            timeout: timeout.is_some().then_some(&mut left),
            mask,
        },
    };
    then(&mut call)
}

fn on_path<R>(dice: &mut Dice, then: impl FnOnce(&mut Call<'_, '_>) -> R) -> R {
    let (path, other, mode) = (&dice.path()[..], &dice.path()[..], dice.int() as u32);
    let (mut stat, mut bytes, fd) = (Stat::default(), [0; 200], dice.fd());
    let data = dice.bytes(40);
    let texts: [&[u8]; 4] = [b"", b"size=4096", b"nr_inodes=3,mode=0777", &data];
    let data = dice.of(&texts);
    let mut call = match dice.below(19) {
        0..3 => Call::Open { path, flags: dice.opening(), mode },
        3 => Call::Mkdir { path, mode: mode | 0o700 },
        4 => Call::Rmdir { path },
        5 => Call::Unlink { path },
        6 => Call::Rename { old: path, new: other },
        7 => Call::Link { old: path, new: other },
        8 => Call::Symlink { target: path, path: other },
        9 => Call::Chmod { path, mode },
        10 => Call::Chown { path, uid: mode, gid: dice.int() as u32 },
        11 => Call::Stat { path, stat: &mut stat },
        12 => Call::Lstat { path, stat: &mut stat },
        13 => Call::Fchdir { fd },
        14 => Call::Readlink { path, data: dice.segment_mut(&mut bytes) },
        15 => Call::Chroot { path },
        16 => Call::Mount { target: path, flags: dice.of(&[0, 1, 32, 33, u64::MAX]), data },
        17 => Call::Umount2 { target: path, flags: dice.int() },
        _ => Call::Chdir { path },
    };
    then(&mut call)
}

fn on_process<R>(dice: &mut Dice, then: impl FnOnce(&mut Call<'_, '_>) -> R) -> R {
    let (mut status, mut old) = (None, Limits::default());
    let descriptors = if dice.one_in(3) { dice.int() as u32 } else { 16 + dice.below(2000) as u32 };
    let groups: Vec<u32> = match dice.one_in(8) {
        true => (0..70_000).collect(),
        false => vec![dice.int() as u32; dice.below(3) as usize],
    };
    let mut call = match dice.below(10) {
        0 => Call::Getpid,
        1 => Call::Umask { mask: dice.int() as u32 },
        2..4 => {
            let new = (!dice.one_in(3)).then_some(Limits { descriptors });
            Call::Prlimit { new, old: &mut old }
        }
        4 if dice.one_in(3) => {
            Call::Setids { uid: dice.int() as u32, gid: dice.int() as u32, groups: &groups }
        }
        4 => return on_identity(dice, &groups, then),
        5 => Call::Kill { pid: Pid(dice.int()), signal: dice.int() },
        6 | 7 => Call::Waitpid { pid: Pid(dice.int()), status: &mut status },
        _ => Call::Nanosleep { time: dice.time() },
    };
    then(&mut call)
}

fn on_identity<R>(dice: &mut Dice, groups: &[u32], then: impl FnOnce(&mut Call<'_, '_>) -> R) -> R {
    let [real, effective, saved] = [0; 3].map(|_: u8| dice.int() as u32);
    let [mut one, mut other] = [0; 2].map(|_: u8| Capabilities::from_bits_retain(dice.roll()));
    let handler = match dice.below(3) {
        0 => SigHandler::Default,
        1 => SigHandler::Ignore,
        _ => SigHandler::Handle,
    };
    let action = Sigaction { handler, flags: SaFlags::from_bits_retain(dice.roll() as _) };
    let new = (!dice.one_in(4)).then_some(action);
    let set = (!dice.one_in(4)).then_some(SigSet(dice.roll()));
    let (mut old_action, mut old) = (Sigaction::default(), SigSet::EMPTY);
    let mut call = match dice.below(13) {
        9 | 10 => Call::Sigaction { signal: dice.int(), new, old: &mut old_action },
        11 | 12 => Call::Sigprocmask { how: dice.int(), set, old: &mut old },
        0 => Call::Setresuid { real, effective, saved },
        1 => Call::Setresgid { real, effective, saved },
        2 => Call::Setfsuid { uid: real },
        3 => Call::Setfsgid { gid: real },
        4 => Call::Setgroups { groups },
        5 => Call::Capset { effective: one, permitted: other },
        6 => Call::Capget { effective: &mut one, permitted: &mut other },
        _ => Call::Unshare { flags: dice.of(&[0x20000, 0x4000_0000, -1, 0]) },
    };
    then(&mut call)
}

/// How far a call that waits has come, if it is one that counts.
pub fn progress<'c>(call: &'c mut Call<'_, '_>) -> Option<&'c mut usize> {
    match call {
        Call::Read { progress, .. }
        | Call::Readv { progress, .. }
        | Call::Recvfrom { progress, .. }
        | Call::Recvmsg { progress, .. }
        | Call::Write { progress, .. }
        | Call::Writev { progress, .. }
        | Call::Sendto { progress, .. }
        | Call::Sendmsg { progress, .. }
        | Call::Sendmmsg { progress, .. }
        | Call::Recvmmsg { progress, .. } => Some(progress),
        _ => None,
    }
}
