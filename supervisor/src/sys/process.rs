//! Threads and processes by their pidfds.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use afunix::Errno;

use super::{check, owned};

/// A handle on a thread, which becomes readable when it ends; ESRCH.
pub(crate) fn open_thread(tid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: takes two numbers.
    check(unsafe { libc::syscall(libc::SYS_pidfd_open, tid, libc::PIDFD_THREAD) }).map(owned)
}

/// A handle on a process; ESRCH.
pub(crate) fn open_process(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: takes two numbers.
    check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) }).map(owned)
}

/// The file that a number stands for in a thread's table; EBADF, EPERM, ESRCH.
pub(crate) fn file_of(thread: BorrowedFd<'_>, number: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: takes three numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, thread.as_raw_fd(), number, 0) };
    check(fd).map(owned)
}

/// Who a thread is, as far as its handle tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids {
    pub(crate) pid: i32,
    /// Real, effective, saved.
    pub(crate) uid: [u32; 3],
    /// Real, effective, saved.
    pub(crate) gid: [u32; 3],
}

/// Ids by PIDFD_GET_INFO, which a kernel before 6.13 does not have.
pub(crate) fn ids(thread: BorrowedFd<'_>) -> Result<Ids, Errno> {
    let wanted = libc::PIDFD_INFO_PID | libc::PIDFD_INFO_CREDS;
    // SAFETY: plain numbers, for which zero is a value.
    let mut info: libc::pidfd_info = unsafe { std::mem::zeroed() };
    info.mask = u64::from(wanted);
    let fd = thread.as_raw_fd();
    // SAFETY: `info` is room for what the kernel writes.
    check(unsafe { libc::ioctl(fd, libc::PIDFD_GET_INFO, &mut info) })?;
    Ok(Ids {
        pid: info.tgid as i32,
        uid: [info.ruid, info.euid, info.suid],
        gid: [info.rgid, info.egid, info.sgid],
    })
}

/// Sends a signal to a thread or a process, by its handle.
pub(crate) fn signal(target: BorrowedFd<'_>, signal: i32) {
    let null = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: takes numbers and a null pointer, which stands for no further information.
    unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, target.as_raw_fd(), signal, null, 0);
    }
}

/// RLIMIT_NOFILE, soft, of a process.
pub(crate) fn descriptor_limit(pid: i32) -> u32 {
    let mut limit = libc::rlimit { rlim_cur: 1024, rlim_max: 1024 };
    // SAFETY: the kernel writes the limit and reads nothing.
    unsafe {
        libc::prlimit(pid, libc::RLIMIT_NOFILE, std::ptr::null(), &mut limit);
    }
    u32::try_from(limit.rlim_cur).unwrap_or(u32::MAX)
}

/// Ends this process as a signal would have.
pub(crate) fn die_of(signal: i32) {
    let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: takes numbers, one structure and an empty set; signals itself.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &no_core);
        libc::signal(signal, libc::SIG_DFL);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
        libc::raise(signal);
    }
}

/// Time since some moment, for waits.
pub(crate) fn monotonic() -> std::time::Duration {
    clock(libc::CLOCK_MONOTONIC)
}

/// Time since 1970, for what programs are shown.
pub(crate) fn realtime() -> std::time::Duration {
    clock(libc::CLOCK_REALTIME)
}

fn clock(which: libc::clockid_t) -> std::time::Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes the time.
    unsafe {
        libc::clock_gettime(which, &mut time);
    }
    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
