//! [`Call`]: the system calls as data.
//!
//! A `Call` is one system call as a program makes it: raw names, raw control bytes, flags with
//! unknown bits kept, so that every malformed call can be told to every backend. Fields have the
//! names of the man pages. What comes back beside the return value comes back in the out-fields.
//! The typed methods that people use ([`crate::net`], [`crate::fs`]) build these.

mod parts;

use std::time::Duration;

use crate::control::{ControlOut, RawControl};
use crate::net::Fd;
use crate::{
    Capabilities, EpollEvent, EventsOut, Exit, Limits, NameOut, OpenFlags, Pid, PollFd, RawName,
    RecvFlags, SendFlags, SigSet, Sigaction, SocketFlags,
};

pub use parts::{
    DirEntry, Fcntl, OptionOut, RecvHeader, Segment, SegmentMut, SendHeader, Stat, TRANSFER_MAX,
    transfer,
};

/// One system call.
///
/// `'a` is the call's own lifetime, `'b` that of the memory it fills. `progress` is how far a call
/// that waits has come; callers pass 0. Paths are bytes up to their end or the first NUL. What is
/// said in the man page of the same name holds; `(path)` means a path is resolved as the man page
/// says.
#[derive(Debug)]
#[allow(
    missing_docs,
    reason = "variants and fields are named as in the man pages, which document them"
)]
pub enum Call<'a, 'b> {
    Socket {
        domain: i32,
        kind: i32,
        protocol: i32,
    },
    Socketpair {
        domain: i32,
        kind: i32,
        protocol: i32,
        fds: &'a mut [i32; 2],
    },
    Pipe2 {
        flags: OpenFlags,
        fds: &'a mut [i32; 2],
    },
    Eventfd2 {
        count: u32,
        flags: i32,
    },
    EpollCreate1 {
        flags: OpenFlags,
    },
    /// `event`: `None` for a null pointer, which EPOLL_CTL_DEL takes.
    EpollCtl {
        fd: Fd<'a>,
        op: i32,
        target: Fd<'a>,
        event: Option<EpollEvent>,
    },
    /// `timeout`: `None` waits without end, zero does not wait. Returns how many events it wrote.
    EpollPwait2 {
        fd: Fd<'a>,
        events: EventsOut<'a>,
        timeout: Option<Duration>,
        mask: Option<SigSet>,
    },
    Bind {
        fd: Fd<'a>,
        name: RawName<'a>,
    },
    Listen {
        fd: Fd<'a>,
        backlog: i32,
    },
    Accept4 {
        fd: Fd<'a>,
        name: &'a mut NameOut,
        flags: SocketFlags,
    },
    Connect {
        fd: Fd<'a>,
        name: RawName<'a>,
    },
    Getsockname {
        fd: Fd<'a>,
        name: &'a mut NameOut,
    },
    Getpeername {
        fd: Fd<'a>,
        name: &'a mut NameOut,
    },
    Shutdown {
        fd: Fd<'a>,
        how: i32,
    },
    Getsockopt {
        fd: Fd<'a>,
        level: i32,
        option: i32,
        value: &'a mut OptionOut<'b>,
    },
    Setsockopt {
        fd: Fd<'a>,
        level: i32,
        option: i32,
        value: &'a [u8],
    },

    Read {
        fd: Fd<'a>,
        data: SegmentMut<'b>,
        progress: usize,
    },
    Readv {
        fd: Fd<'a>,
        data: &'a mut [SegmentMut<'b>],
        progress: usize,
    },
    Recvfrom {
        fd: Fd<'a>,
        data: SegmentMut<'b>,
        flags: RecvFlags,
        name: &'a mut NameOut,
        progress: usize,
    },
    Recvmsg {
        fd: Fd<'a>,
        name: &'a mut NameOut,
        data: &'a mut [SegmentMut<'b>],
        control: &'a mut ControlOut<'b>,
        flags: RecvFlags,
        flags_out: &'a mut RecvFlags,
        progress: usize,
    },
    Write {
        fd: Fd<'a>,
        data: Segment<'b>,
        progress: usize,
    },
    Writev {
        fd: Fd<'a>,
        data: &'a [Segment<'b>],
        progress: usize,
    },
    Sendto {
        fd: Fd<'a>,
        data: Segment<'b>,
        flags: SendFlags,
        name: RawName<'a>,
        progress: usize,
    },
    Sendmsg {
        fd: Fd<'a>,
        name: RawName<'a>,
        data: &'a [Segment<'b>],
        control: RawControl<'a>,
        flags: SendFlags,
        progress: usize,
    },
    /// At most 1024 messages. `progress` counts those that are sent.
    Sendmmsg {
        fd: Fd<'a>,
        messages: &'a mut [SendHeader<'b>],
        flags: SendFlags,
        progress: usize,
    },
    /// `timeout` is looked at after each message alone (SRECV 21). `progress` counts those that are
    /// received.
    Recvmmsg {
        fd: Fd<'a>,
        messages: &'a mut [RecvHeader<'b>],
        flags: RecvFlags,
        timeout: Option<Duration>,
        progress: usize,
    },

    Close {
        fd: Fd<'a>,
    },
    Dup {
        fd: Fd<'a>,
    },
    Dup2 {
        fd: Fd<'a>,
        new: Fd<'a>,
    },
    Dup3 {
        fd: Fd<'a>,
        new: Fd<'a>,
        flags: i32,
    },
    Fcntl {
        fd: Fd<'a>,
        command: Fcntl,
    },
    /// SIOCINQ, SIOCOUTQ, SIOCATMARK fill `value`, FIONBIO reads it, SIOCUNIXFILE returns a
    /// descriptor; any other request is ENOTTY.
    Ioctl {
        fd: Fd<'a>,
        request: u32,
        value: &'a mut i32,
    },
    /// `timeout`: `None` waits without end, zero does not wait. With a `mask`, which the thread has
    /// instead of its own while it waits, it is ppoll(2).
    Poll {
        fds: &'a mut [PollFd<'b>],
        timeout: Option<Duration>,
        mask: Option<SigSet>,
    },
    /// Number n is bit n % 64 of word n / 64; bits beyond a set's words are clear. `timeout` is
    /// told the time that is left, whatever the outcome.
    Pselect6 {
        nfds: i32,
        readfds: Option<&'a mut [u64]>,
        writefds: Option<&'a mut [u64]>,
        exceptfds: Option<&'a mut [u64]>,
        timeout: Option<&'a mut Duration>,
        mask: Option<SigSet>,
    },
    /// Moves to an absolute offset (SEEK_SET); returns it.
    Lseek {
        fd: Fd<'a>,
        offset: u64,
    },
    Fstat {
        fd: Fd<'a>,
        stat: &'a mut Stat,
    },
    Fchmod {
        fd: Fd<'a>,
        mode: u32,
    },
    /// Appends every entry but `.` and `..` to `entries`, in the file system's order, and returns
    /// how many those are.
    Getdents {
        fd: Fd<'a>,
        entries: &'a mut Vec<DirEntry>,
    },

    Open {
        path: &'a [u8],
        flags: OpenFlags,
        mode: u32,
    },
    Mkdir {
        path: &'a [u8],
        mode: u32,
    },
    Rmdir {
        path: &'a [u8],
    },
    Unlink {
        path: &'a [u8],
    },
    Rename {
        old: &'a [u8],
        new: &'a [u8],
    },
    Link {
        old: &'a [u8],
        new: &'a [u8],
    },
    Symlink {
        target: &'a [u8],
        path: &'a [u8],
    },
    Chmod {
        path: &'a [u8],
        mode: u32,
    },
    Chown {
        path: &'a [u8],
        uid: u32,
        gid: u32,
    },
    Stat {
        path: &'a [u8],
        stat: &'a mut Stat,
    },
    Lstat {
        path: &'a [u8],
        stat: &'a mut Stat,
    },
    Chdir {
        path: &'a [u8],
    },
    Fchdir {
        fd: Fd<'a>,
    },
    Chroot {
        path: &'a [u8],
    },
    /// Returns the bytes written: as many of the target as fit.
    Readlink {
        path: &'a [u8],
        data: SegmentMut<'b>,
    },
    /// A tmpfs. `flags`: MS_RDONLY and MS_REMOUNT. `data`: `size=`, `nr_inodes=`, `mode=`.
    Mount {
        target: &'a [u8],
        flags: u64,
        data: &'a [u8],
    },
    /// `flags`: MNT_DETACH.
    Umount2 {
        target: &'a [u8],
        flags: i32,
    },
    /// `flags`: CLONE_NEWNS (nothing that is mounted later shows outside), CLONE_NEWNET. To be
    /// called while the process has one thread: the kernel moves the caller alone. EINVAL for
    /// CLONE_NEWNS if the root directory is no mount's: it could show outside.
    Unshare {
        flags: i32,
    },

    Getpid,
    /// Returns the old mask.
    Umask {
        mask: u32,
    },
    /// RLIMIT_NOFILE alone, soft: sets it if `new` is given, and tells the old one.
    Prlimit {
        new: Option<Limits>,
        old: &'a mut Limits,
    },
    /// Sets the caller's ids for good: setgroups, setresgid, setresuid. EPERM unless uid is 0.
    Setids {
        uid: u32,
        gid: u32,
        groups: &'a [u32],
    },
    /// `u32::MAX` leaves an id as it is.
    Setresuid {
        real: u32,
        effective: u32,
        saved: u32,
    },
    Setresgid {
        real: u32,
        effective: u32,
        saved: u32,
    },
    /// Returns the old id.
    Setfsuid {
        uid: u32,
    },
    /// Returns the old id.
    Setfsgid {
        gid: u32,
    },
    Setgroups {
        groups: &'a [u32],
    },
    /// Of the caller; nothing is inheritable. On the kernel of its thread alone.
    Capset {
        effective: Capabilities,
        permitted: Capabilities,
    },
    /// Of the caller.
    Capget {
        effective: &'a mut Capabilities,
        permitted: &'a mut Capabilities,
    },
    /// `signal` 0 only asks whether the process is there.
    Kill {
        pid: Pid,
        signal: i32,
    },
    /// Signals 1 to 64, but for the two that libc keeps for itself (32, 33: EINVAL). A handler is
    /// the host's: see [`crate::Host::on_signal`].
    Sigaction {
        signal: i32,
        new: Option<Sigaction>,
        old: &'a mut Sigaction,
    },
    /// The calling thread's mask.
    Sigprocmask {
        how: i32,
        set: Option<SigSet>,
        old: &'a mut SigSet,
    },
    /// Waits for a child of the caller to end; ECHILD if it is none. Returns its pid.
    Waitpid {
        pid: Pid,
        status: &'a mut Option<Exit>,
    },
    Nanosleep {
        time: Duration,
    },
}

impl Call<'_, '_> {
    /// The system call's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Call::Socket { .. } => "socket",
            Call::Socketpair { .. } => "socketpair",
            Call::Pipe2 { .. } => "pipe2",
            Call::Eventfd2 { .. } => "eventfd2",
            Call::EpollCreate1 { .. } => "epoll_create1",
            Call::EpollCtl { .. } => "epoll_ctl",
            Call::EpollPwait2 { .. } => "epoll_pwait2",
            Call::Bind { .. } => "bind",
            Call::Listen { .. } => "listen",
            Call::Accept4 { .. } => "accept4",
            Call::Connect { .. } => "connect",
            Call::Getsockname { .. } => "getsockname",
            Call::Getpeername { .. } => "getpeername",
            Call::Shutdown { .. } => "shutdown",
            Call::Getsockopt { .. } => "getsockopt",
            Call::Setsockopt { .. } => "setsockopt",
            Call::Read { .. } => "read",
            Call::Readv { .. } => "readv",
            Call::Recvfrom { .. } => "recvfrom",
            Call::Recvmsg { .. } => "recvmsg",
            Call::Write { .. } => "write",
            Call::Writev { .. } => "writev",
            Call::Sendto { .. } => "sendto",
            Call::Sendmsg { .. } => "sendmsg",
            Call::Sendmmsg { .. } => "sendmmsg",
            Call::Recvmmsg { .. } => "recvmmsg",
            Call::Close { .. } => "close",
            Call::Dup { .. } => "dup",
            Call::Dup2 { .. } => "dup2",
            Call::Dup3 { .. } => "dup3",
            Call::Fcntl { .. } => "fcntl",
            Call::Ioctl { .. } => "ioctl",
            Call::Poll { .. } => "poll",
            Call::Pselect6 { .. } => "pselect6",
            Call::Lseek { .. } => "lseek",
            Call::Fstat { .. } => "fstat",
            Call::Fchmod { .. } => "fchmod",
            Call::Getdents { .. } => "getdents",
            Call::Open { .. } => "open",
            Call::Mkdir { .. } => "mkdir",
            Call::Rmdir { .. } => "rmdir",
            Call::Unlink { .. } => "unlink",
            Call::Rename { .. } => "rename",
            Call::Link { .. } => "link",
            Call::Symlink { .. } => "symlink",
            Call::Chmod { .. } => "chmod",
            Call::Chown { .. } => "chown",
            Call::Stat { .. } => "stat",
            Call::Lstat { .. } => "lstat",
            Call::Chdir { .. } => "chdir",
            Call::Fchdir { .. } => "fchdir",
            Call::Chroot { .. } => "chroot",
            Call::Readlink { .. } => "readlink",
            Call::Mount { .. } => "mount",
            Call::Umount2 { .. } => "umount2",
            Call::Unshare { .. } => "unshare",
            Call::Getpid => "getpid",
            Call::Umask { .. } => "umask",
            Call::Prlimit { .. } => "prlimit",
            Call::Setids { .. } => "setids",
            Call::Setresuid { .. } => "setresuid",
            Call::Setresgid { .. } => "setresgid",
            Call::Setfsuid { .. } => "setfsuid",
            Call::Setfsgid { .. } => "setfsgid",
            Call::Setgroups { .. } => "setgroups",
            Call::Capset { .. } => "capset",
            Call::Capget { .. } => "capget",
            Call::Kill { .. } => "kill",
            Call::Sigaction { .. } => "sigaction",
            Call::Sigprocmask { .. } => "sigprocmask",
            Call::Waitpid { .. } => "waitpid",
            Call::Nanosleep { .. } => "nanosleep",
        }
    }

    /// The descriptor that the call is about, if it names one.
    pub const fn fd(&self) -> Option<Fd<'_>> {
        match self {
            Call::EpollCtl { fd, .. }
            | Call::EpollPwait2 { fd, .. }
            | Call::Bind { fd, .. }
            | Call::Listen { fd, .. }
            | Call::Accept4 { fd, .. }
            | Call::Connect { fd, .. }
            | Call::Getsockname { fd, .. }
            | Call::Getpeername { fd, .. }
            | Call::Shutdown { fd, .. }
            | Call::Getsockopt { fd, .. }
            | Call::Setsockopt { fd, .. }
            | Call::Read { fd, .. }
            | Call::Readv { fd, .. }
            | Call::Recvfrom { fd, .. }
            | Call::Recvmsg { fd, .. }
            | Call::Write { fd, .. }
            | Call::Writev { fd, .. }
            | Call::Sendto { fd, .. }
            | Call::Sendmsg { fd, .. }
            | Call::Sendmmsg { fd, .. }
            | Call::Recvmmsg { fd, .. }
            | Call::Close { fd }
            | Call::Dup { fd }
            | Call::Dup2 { fd, .. }
            | Call::Dup3 { fd, .. }
            | Call::Fcntl { fd, .. }
            | Call::Ioctl { fd, .. }
            | Call::Lseek { fd, .. }
            | Call::Fstat { fd, .. }
            | Call::Fchmod { fd, .. }
            | Call::Fchdir { fd }
            | Call::Getdents { fd, .. } => Some(*fd),
            _ => None,
        }
    }

    /// Whether a signal or a deadline may end it early: whether it may wait at all.
    pub const fn may_wait(&self) -> bool {
        matches!(
            self,
            Call::Accept4 { .. }
                | Call::Connect { .. }
                | Call::Read { .. }
                | Call::Readv { .. }
                | Call::Recvfrom { .. }
                | Call::Recvmsg { .. }
                | Call::Write { .. }
                | Call::Writev { .. }
                | Call::Sendto { .. }
                | Call::Sendmsg { .. }
                | Call::Sendmmsg { .. }
                | Call::Recvmmsg { .. }
                | Call::Poll { .. }
                | Call::Pselect6 { .. }
                | Call::EpollPwait2 { .. }
                | Call::Waitpid { .. }
                | Call::Nanosleep { .. }
        )
    }
}
