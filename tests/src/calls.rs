//! One system call per function, on descriptors as numbers: what conformance cases are written
//! with.
//!
//! Every function makes exactly the call of its name and hands back what came of it, so that a case
//! reads as the C program it could be. Out-fields come back as values.

use std::time::Duration;

use afunix::call::{Fcntl, OptionOut, Stat};
use afunix::control::{self, ControlOut, RawControl};
use afunix::{
    Backend, Call, Errno, Limits, NameOut, OpenFlags, PollFd, RawName, Readiness, RecvFlags,
    Segment, SegmentMut, SendFlags, SocketFlags, Ucred,
};

use crate::raw::{control as raw_control, fd as number};

mod epoll;
mod identity;
mod many;
mod pipe;

pub use afunix::control::{SCM_CREDENTIALS, SCM_PIDFD, SCM_RIGHTS};
pub use afunix::options::*;
pub use afunix::{SOCK_DGRAM as DGRAM, SOCK_SEQPACKET as SEQPACKET, SOCK_STREAM as STREAM};

pub use epoll::{
    CTL_ADD, CTL_DEL, CTL_MOD, epoll, epoll_create1, epoll_ctl, epoll_wait, epoll_wait_fault,
    reported, reporting, rewatch, select, unwatch, watch,
};
pub use identity::*;
pub use many::{recvmmsg, sendmmsg};
pub use pipe::{add, count, eventfd, pipe, pipe2, readv_into, writev_of};

/// What a call comes back with.
pub type Answer<T = usize> = Result<T, Errno>;

/// SOCK_NONBLOCK, to be added to a socket's type.
pub const NONBLOCK: i32 = 0o4000;
/// SOCK_CLOEXEC.
pub const CLOEXEC: i32 = 0o2000000;
/// MSG_OOB.
pub const OOB: i32 = 1;
/// MSG_PEEK.
pub const PEEK: i32 = 2;
/// MSG_CTRUNC.
pub const CTRUNC: i32 = 8;
/// MSG_TRUNC.
pub const TRUNC: i32 = 0x20;
/// MSG_DONTWAIT.
pub const DONTWAIT: i32 = 0x40;
/// MSG_WAITALL.
pub const WAITALL: i32 = 0x100;
/// MSG_ERRQUEUE.
pub const ERRQUEUE: i32 = 0x2000;
/// MSG_WAITFORONE.
pub const WAITFORONE: i32 = 0x10000;
/// shutdown: SHUT_RD.
pub const RD: i32 = 0;
/// shutdown: SHUT_WR.
pub const WR: i32 = 1;
/// shutdown: SHUT_RDWR.
pub const RDWR: i32 = 2;

/// The three types.
pub const TYPES: [i32; 3] = [STREAM, DGRAM, SEQPACKET];
/// The two types that connect for good.
pub const CONNECTED: [i32; 2] = [STREAM, SEQPACKET];

/// The bytes of a path's address, with its NUL.
pub fn path(path: &str) -> Vec<u8> {
    let mut bytes = name(1, path.as_bytes());
    bytes.push(0);
    bytes
}

/// The bytes of an abstract address that no other process uses: the process's id stands before
/// `label`.
pub fn hidden(label: &str) -> Vec<u8> {
    name(1, format!("\0afunix-{}-{label}", std::process::id()).as_bytes())
}

/// The bytes of any address.
pub fn name(family: u16, rest: &[u8]) -> Vec<u8> {
    [&family.to_ne_bytes()[..], rest].concat()
}

/// socket(2) in AF_UNIX.
pub fn socket(b: &dyn Backend, kind: i32) -> Answer<i32> {
    socket_of(b, 1, kind, 0)
}

/// socket(2).
pub fn socket_of(b: &dyn Backend, domain: i32, kind: i32, protocol: i32) -> Answer<i32> {
    b.call(&mut Call::Socket { domain, kind, protocol }).map(|fd| fd as i32)
}

/// socketpair(2).
pub fn socketpair(b: &dyn Backend, kind: i32, protocol: i32, fds: &mut [i32; 2]) -> Answer {
    b.call(&mut Call::Socketpair { domain: 1, kind, protocol, fds })
}

/// A connected pair.
///
/// # Panics
/// If there is none to be had.
pub fn pair(b: &dyn Backend, kind: i32) -> (i32, i32) {
    let mut fds = [-1; 2];
    assert_eq!(socketpair(b, kind, 0, &mut fds), Ok(0), "a socket pair");
    (fds[0], fds[1])
}

/// bind(2).
pub fn bind(b: &dyn Backend, fd: i32, name: &[u8]) -> Answer {
    b.call(&mut Call::Bind { fd: number(fd), name: RawName::Bytes(name) })
}

/// A socket that is bound.
///
/// # Panics
/// If the name cannot be had.
pub fn bound(b: &dyn Backend, kind: i32, name: &[u8]) -> i32 {
    let fd = socket(b, kind).expect("a socket");
    assert_eq!(bind(b, fd, name), Ok(0), "bind");
    fd
}

/// A socket that is bound and listens.
///
/// # Panics
/// If it cannot be had.
pub fn listener(b: &dyn Backend, kind: i32, name: &[u8], backlog: i32) -> i32 {
    let fd = bound(b, kind, name);
    assert_eq!(listen(b, fd, backlog), Ok(0), "listen");
    fd
}

/// listen(2).
pub fn listen(b: &dyn Backend, fd: i32, backlog: i32) -> Answer {
    b.call(&mut Call::Listen { fd: number(fd), backlog })
}

/// accept4(2) without an address.
pub fn accept(b: &dyn Backend, fd: i32, flags: i32) -> Answer<i32> {
    accept_name(b, fd, flags, &mut NameOut::nothing())
}

/// accept4(2).
pub fn accept_name(b: &dyn Backend, fd: i32, flags: i32, name: &mut NameOut) -> Answer<i32> {
    let flags = SocketFlags::from_bits_retain(flags);
    b.call(&mut Call::Accept4 { fd: number(fd), name, flags }).map(|fd| fd as i32)
}

/// connect(2).
pub fn connect(b: &dyn Backend, fd: i32, name: &[u8]) -> Answer {
    b.call(&mut Call::Connect { fd: number(fd), name: RawName::Bytes(name) })
}

/// A new socket that is connected.
pub fn connected(b: &dyn Backend, kind: i32, name: &[u8]) -> Answer<i32> {
    let fd = socket(b, kind)?;
    match connect(b, fd, name) {
        Ok(_) => Ok(fd),
        Err(errno) => {
            close(b, fd)?;
            Err(errno)
        }
    }
}

/// getsockname(2): the bytes of the whole name.
pub fn getsockname(b: &dyn Backend, fd: i32) -> Answer<Vec<u8>> {
    let mut name = NameOut::new();
    b.call(&mut Call::Getsockname { fd: number(fd), name: &mut name })?;
    Ok(name.written().to_vec())
}

/// getpeername(2): the bytes of the whole name.
pub fn getpeername(b: &dyn Backend, fd: i32) -> Answer<Vec<u8>> {
    let mut name = NameOut::new();
    b.call(&mut Call::Getpeername { fd: number(fd), name: &mut name })?;
    Ok(name.written().to_vec())
}

/// shutdown(2).
pub fn shutdown(b: &dyn Backend, fd: i32, how: i32) -> Answer {
    b.call(&mut Call::Shutdown { fd: number(fd), how })
}

/// getsockopt(2) of SOL_SOCKET with room for `len` bytes.
pub fn getsockopt(b: &dyn Backend, fd: i32, option: i32, len: usize) -> Answer<Vec<u8>> {
    let mut buffer = vec![0; len];
    let mut value = OptionOut::new(&mut buffer);
    b.call(&mut Call::Getsockopt { fd: number(fd), level: SOL_SOCKET, option, value: &mut value })?;
    let len = value.len.max(0) as usize;
    buffer.truncate(len);
    Ok(buffer)
}

/// getsockopt(2) of an option that is an int.
pub fn get_int(b: &dyn Backend, fd: i32, option: i32) -> Answer<i32> {
    let bytes = getsockopt(b, fd, option, 4)?;
    Ok(i32::from_ne_bytes(bytes.try_into().expect("an option of four bytes")))
}

/// setsockopt(2) of SOL_SOCKET.
pub fn setsockopt(b: &dyn Backend, fd: i32, option: i32, value: &[u8]) -> Answer {
    b.call(&mut Call::Setsockopt { fd: number(fd), level: SOL_SOCKET, option, value })
}

/// setsockopt(2) of an option that is an int.
pub fn set_int(b: &dyn Backend, fd: i32, option: i32, value: i32) -> Answer {
    setsockopt(b, fd, option, &value.to_ne_bytes())
}

/// SO_RCVTIMEO or SO_SNDTIMEO.
pub fn set_timeout(b: &dyn Backend, fd: i32, option: i32, millis: i64) -> Answer {
    let value = [(millis / 1000).to_ne_bytes(), (millis % 1000 * 1000).to_ne_bytes()].concat();
    setsockopt(b, fd, option, &value)
}

/// SO_PEERCRED.
pub fn peercred(b: &dyn Backend, fd: i32) -> Ucred {
    let bytes = getsockopt(b, fd, SO_PEERCRED, 12).expect("OPT 2: SO_PEERCRED never fails");
    Ucred::from_bytes(&bytes).expect("12 bytes")
}

/// write(2).
pub fn write(b: &dyn Backend, fd: i32, data: &[u8]) -> Answer {
    b.call(&mut Call::Write { fd: number(fd), data: Segment::Bytes(data), progress: 0 })
}

/// writev(2).
pub fn writev(b: &dyn Backend, fd: i32, parts: &[&[u8]]) -> Answer {
    let data: Vec<_> = parts.iter().map(|part| Segment::Bytes(part)).collect();
    b.call(&mut Call::Writev { fd: number(fd), data: &data, progress: 0 })
}

/// send(2).
pub fn send(b: &dyn Backend, fd: i32, data: &[u8], flags: i32) -> Answer {
    sendto(b, fd, data, flags, RawName::NONE)
}

/// sendto(2).
pub fn sendto(b: &dyn Backend, fd: i32, data: &[u8], flags: i32, name: RawName<'_>) -> Answer {
    let flags = SendFlags::from_bits_retain(flags);
    let data = Segment::Bytes(data);
    b.call(&mut Call::Sendto { fd: number(fd), data, flags, name, progress: 0 })
}

/// sendto(2) to an address.
pub fn send_to(b: &dyn Backend, fd: i32, data: &[u8], name: &[u8]) -> Answer {
    sendto(b, fd, data, DONTWAIT, RawName::Bytes(name))
}

/// sendmsg(2) with control data, without an address or flags.
pub fn sendmsg(b: &dyn Backend, fd: i32, data: &[u8], control: &[u8]) -> Answer {
    sendmsg_of(b, fd, &[Segment::Bytes(data)], raw_control(control), 0, RawName::NONE)
}

/// sendmsg(2).
pub fn sendmsg_of(
    b: &dyn Backend,
    fd: i32,
    data: &[Segment<'_>],
    control: RawControl<'_>,
    flags: i32,
    name: RawName<'_>,
) -> Answer {
    let flags = SendFlags::from_bits_retain(flags);
    b.call(&mut Call::Sendmsg { fd: number(fd), name, data, control, flags, progress: 0 })
}

/// read(2) of up to `len` bytes.
pub fn read(b: &dyn Backend, fd: i32, len: usize) -> Answer<Vec<u8>> {
    let mut data = vec![0; len];
    let segment = SegmentMut::Bytes(&mut data);
    let count = b.call(&mut Call::Read { fd: number(fd), data: segment, progress: 0 })?;
    data.truncate(count);
    Ok(data)
}

/// recv(2) of up to `len` bytes.
///
/// # Panics
/// If more is reported than was asked for; [`recv_count`] is for MSG_TRUNC.
pub fn recv(b: &dyn Backend, fd: i32, len: usize, flags: i32) -> Answer<Vec<u8>> {
    let mut data = vec![0; len];
    let count = recv_into(b, fd, SegmentMut::Bytes(&mut data), flags, &mut NameOut::nothing())?;
    assert!(count <= len, "{count} of {len} bytes received");
    data.truncate(count);
    Ok(data)
}

/// recv(2): only the return value.
pub fn recv_count(b: &dyn Backend, fd: i32, len: usize, flags: i32) -> Answer {
    let mut data = vec![0; len];
    recv_into(b, fd, SegmentMut::Bytes(&mut data), flags, &mut NameOut::nothing())
}

/// recvfrom(2).
pub fn recv_into(
    b: &dyn Backend,
    fd: i32,
    data: SegmentMut<'_>,
    flags: i32,
    name: &mut NameOut,
) -> Answer {
    let flags = RecvFlags::from_bits_retain(flags);
    b.call(&mut Call::Recvfrom { fd: number(fd), data, flags, name, progress: 0 })
}

/// What recvmsg(2) brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The return value.
    pub count: usize,
    /// The bytes that were written.
    pub data: Vec<u8>,
    /// The sender's name.
    pub name: Vec<u8>,
    /// `msg_flags`.
    pub flags: i32,
    /// `msg_controllen`.
    pub control_len: usize,
    /// Types of the control messages, all of SOL_SOCKET, and their data.
    pub control: Vec<(i32, Vec<u8>)>,
}

impl Message {
    /// The descriptors of all SCM_RIGHTS.
    pub fn rights(&self) -> Vec<i32> {
        let rights = self.control.iter().filter(|(kind, _)| *kind == SCM_RIGHTS);
        let words = rights.flat_map(|(_, data)| data.chunks_exact(4));
        words.map(|word| i32::from_ne_bytes([word[0], word[1], word[2], word[3]])).collect()
    }

    /// The first SCM_CREDENTIALS.
    pub fn credentials(&self) -> Option<Ucred> {
        let (_, data) = self.control.iter().find(|(kind, _)| *kind == SCM_CREDENTIALS)?;
        Ucred::from_bytes(data)
    }
}

/// recvmsg(2) of up to `len` bytes, with `room` bytes for control data.
pub fn recvmsg(b: &dyn Backend, fd: i32, len: usize, room: usize, flags: i32) -> Answer<Message> {
    let (mut data, mut buffer) = (vec![0; len], vec![0; room]);
    let (mut name, mut control) = (NameOut::new(), ControlOut::new(&mut buffer));
    let mut flags_out = RecvFlags::empty();
    let count = b.call(&mut Call::Recvmsg {
        fd: number(fd),
        name: &mut name,
        data: &mut [SegmentMut::Bytes(&mut data)],
        control: &mut control,
        flags: RecvFlags::from_bits_retain(flags),
        flags_out: &mut flags_out,
        progress: 0,
    })?;
    let messages = control.messages().map(|message| (message.kind, message.data.to_vec()));
    let (control_len, control) = (control.len, messages.collect());
    let flags = flags_out.bits();
    data.truncate(count);
    Ok(Message { count, data, name: name.written().to_vec(), flags, control_len, control })
}

/// The bytes of one SCM_RIGHTS message.
pub fn rights(fds: &[i32]) -> Vec<u8> {
    let numbers: Vec<u8> = fds.iter().flat_map(|fd| fd.to_ne_bytes()).collect();
    scm(SCM_RIGHTS, &numbers)
}

/// The bytes of one SCM_CREDENTIALS message.
pub fn credentials(pid: i32, uid: u32, gid: u32) -> Vec<u8> {
    scm(SCM_CREDENTIALS, &Ucred { pid, uid, gid }.to_bytes())
}

/// The bytes of one control message of SOL_SOCKET.
pub fn scm(kind: i32, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    control::push_message(&mut bytes, control::SOL_SOCKET, kind, data);
    bytes
}

/// close(2).
pub fn close(b: &dyn Backend, fd: i32) -> Answer {
    b.call(&mut Call::Close { fd: number(fd) })
}

/// dup(2).
pub fn dup(b: &dyn Backend, fd: i32) -> Answer<i32> {
    b.call(&mut Call::Dup { fd: number(fd) }).map(|fd| fd as i32)
}

/// dup2(2).
pub fn dup2(b: &dyn Backend, fd: i32, new: i32) -> Answer {
    b.call(&mut Call::Dup2 { fd: number(fd), new: number(new) })
}

/// fcntl(2).
pub fn fcntl(b: &dyn Backend, fd: i32, command: Fcntl) -> Answer {
    b.call(&mut Call::Fcntl { fd: number(fd), command })
}

/// ioctl(2): the value that it fills.
pub fn ioctl(b: &dyn Backend, fd: i32, request: u32, value: i32) -> Answer<i32> {
    let mut value = value;
    b.call(&mut Call::Ioctl { fd: number(fd), request, value: &mut value })?;
    Ok(value)
}

/// SIOCINQ.
pub fn inq(b: &dyn Backend, fd: i32) -> Answer<i32> {
    ioctl(b, fd, SIOCINQ, 0)
}

/// SIOCOUTQ.
pub fn outq(b: &dyn Backend, fd: i32) -> Answer<i32> {
    ioctl(b, fd, SIOCOUTQ, 0)
}

/// Everything that poll(2) can be asked for.
pub fn everything() -> Readiness {
    use Readiness as R;
    R::IN | R::PRI | R::OUT | R::RDNORM | R::RDBAND | R::WRNORM | R::WRBAND | R::RDHUP
}

/// poll(2) of one descriptor, for everything, without waiting.
///
/// # Panics
/// If poll itself fails.
pub fn poll(b: &dyn Backend, fd: i32) -> Readiness {
    poll_for(b, fd, everything(), Some(Duration::ZERO)).expect("poll")
}

/// poll(2) of one descriptor.
pub fn poll_for(
    b: &dyn Backend,
    fd: i32,
    events: Readiness,
    timeout: Option<Duration>,
) -> Answer<Readiness> {
    let mut fds = [PollFd::new(number(fd), events)];
    b.call(&mut Call::Poll { fds: &mut fds, timeout, mask: None })?;
    Ok(fds[0].revents)
}

/// A mask by its letters, with what comes along (POLL 1): `i` IN and RDNORM, `o` OUT, WRNORM and
/// WRBAND,
/// `r` RDHUP, `h` HUP, `e` ERR, `p` PRI.
///
/// # Panics
/// At any other letter.
pub fn mask(letters: &str) -> Readiness {
    use Readiness as R;
    letters.chars().fold(R::empty(), |mask, letter| {
        mask | match letter {
            'i' => R::IN | R::RDNORM,
            'o' => R::OUT | R::WRNORM | R::WRBAND,
            'r' => R::RDHUP,
            'h' => R::HUP,
            'e' => R::ERR,
            'p' => R::PRI,
            other => panic!("no readiness has the letter {other}"),
        }
    })
}

/// open(2) with mode 0644.
pub fn open(b: &dyn Backend, path: &str, flags: OpenFlags) -> Answer<i32> {
    b.call(&mut Call::Open { path: path.as_bytes(), flags, mode: 0o644 }).map(|fd| fd as i32)
}

/// A file with these bytes.
///
/// # Panics
/// If it cannot be made.
pub fn make_file(b: &dyn Backend, path: &str, data: &[u8]) {
    let fd = open(b, path, OpenFlags::CREAT | OpenFlags::WRONLY).expect("a new file");
    assert_eq!(write(b, fd, data), Ok(data.len()));
    assert_eq!(close(b, fd), Ok(0));
}

/// lseek(2) with SEEK_SET.
pub fn lseek(b: &dyn Backend, fd: i32, offset: u64) -> Answer {
    b.call(&mut Call::Lseek { fd: number(fd), offset })
}

/// fstat(2).
pub fn fstat(b: &dyn Backend, fd: i32) -> Answer<Stat> {
    let mut stat = Stat::default();
    b.call(&mut Call::Fstat { fd: number(fd), stat: &mut stat })?;
    Ok(stat)
}

/// fchmod(2).
pub fn fchmod(b: &dyn Backend, fd: i32, mode: u32) -> Answer {
    b.call(&mut Call::Fchmod { fd: number(fd), mode })
}

/// stat(2).
pub fn stat(b: &dyn Backend, path: &str) -> Answer<Stat> {
    let mut stat = Stat::default();
    b.call(&mut Call::Stat { path: path.as_bytes(), stat: &mut stat })?;
    Ok(stat)
}

/// mkdir(2).
pub fn mkdir(b: &dyn Backend, path: &str, mode: u32) -> Answer {
    b.call(&mut Call::Mkdir { path: path.as_bytes(), mode })
}

/// rmdir(2).
pub fn rmdir(b: &dyn Backend, path: &str) -> Answer {
    b.call(&mut Call::Rmdir { path: path.as_bytes() })
}

/// unlink(2).
pub fn unlink(b: &dyn Backend, path: &str) -> Answer {
    b.call(&mut Call::Unlink { path: path.as_bytes() })
}

/// rename(2).
pub fn rename(b: &dyn Backend, old: &str, new: &str) -> Answer {
    b.call(&mut Call::Rename { old: old.as_bytes(), new: new.as_bytes() })
}

/// link(2).
pub fn link(b: &dyn Backend, old: &str, new: &str) -> Answer {
    b.call(&mut Call::Link { old: old.as_bytes(), new: new.as_bytes() })
}

/// symlink(2).
pub fn symlink(b: &dyn Backend, target: &str, path: &str) -> Answer {
    b.call(&mut Call::Symlink { target: target.as_bytes(), path: path.as_bytes() })
}

/// chmod(2).
pub fn chmod(b: &dyn Backend, path: &str, mode: u32) -> Answer {
    b.call(&mut Call::Chmod { path: path.as_bytes(), mode })
}

/// chdir(2).
pub fn chdir(b: &dyn Backend, path: &str) -> Answer {
    b.call(&mut Call::Chdir { path: path.as_bytes() })
}

/// umask(2): the old one.
pub fn umask(b: &dyn Backend, mask: u32) -> u32 {
    b.call(&mut Call::Umask { mask }).expect("umask cannot fail") as u32
}

/// Sets RLIMIT_NOFILE.
pub fn set_limit(b: &dyn Backend, descriptors: u32) -> Answer {
    let new = Some(Limits { descriptors });
    b.call(&mut Call::Prlimit { new, old: &mut Limits::default() })
}

/// getpid(2).
pub fn getpid(b: &dyn Backend) -> i32 {
    b.call(&mut Call::Getpid).expect("getpid cannot fail") as i32
}
