//! The calls on processes, and time.

use std::time::Duration;

use afunix::{Errno, Exit, Limits, Pid};

use super::{data, result};

pub(super) fn getpid() -> usize {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getpid() as usize }
}

pub(super) fn umask(mask: u32) -> usize {
    // SAFETY: takes a number and cannot fail.
    unsafe { libc::umask(mask as libc::mode_t) as usize }
}

pub(super) fn prlimit(new: Option<Limits>, old: &mut Limits) -> Result<usize, Errno> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is room for the two numbers that are written.
    let returned = result(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    *old = Limits { descriptors: u32::try_from(limit.rlim_cur).unwrap_or(u32::MAX) };
    let Some(new) = new else { return Ok(returned) };
    limit.rlim_cur = libc::rlim_t::from(new.descriptors);
    // SAFETY: reads two numbers.
    result(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })
}

pub(super) fn setids(uid: u32, gid: u32, groups: &[u32]) -> Result<usize, Errno> {
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Err(Errno::PERM);
    }
    // The user last: after it nothing else may be changed.
    // SAFETY: reads as many numbers as are told, which the slice has.
    result(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })?;
    // SAFETY: takes numbers alone.
    result(unsafe { libc::setresgid(gid, gid, gid) })?;
    // SAFETY: takes numbers alone.
    result(unsafe { libc::setresuid(uid, uid, uid) })
}

pub(super) fn kill(pid: Pid, signal: i32) -> Result<usize, Errno> {
    // 0 and below mean groups of processes, or all there are: no process has such a number.
    if pid.0 <= 0 {
        return Err(Errno::SRCH);
    }
    // SAFETY: takes numbers alone.
    result(unsafe { libc::kill(pid.0, signal) })
}

pub(super) fn waitpid(pid: Pid, status: &mut Option<Exit>) -> Result<usize, Errno> {
    // 0 and below mean any child, or any of a group.
    if pid.0 <= 0 {
        return Err(Errno::CHILD);
    }
    let mut raw = 0;
    // SAFETY: `raw` is room for the number that is written.
    let returned = result(unsafe { libc::waitpid(pid.0, &mut raw, 0) })?;
    *status = Some(if libc::WIFSIGNALED(raw) {
        Exit::Signal(libc::WTERMSIG(raw))
    } else {
        Exit::Status(libc::WEXITSTATUS(raw))
    });
    Ok(returned)
}

pub(super) fn nanosleep(time: Duration) -> Result<usize, Errno> {
    let time = data::timespec(time);
    // SAFETY: reads the time; the null pointer says that what is left need not be told.
    result(unsafe { libc::nanosleep(&time, std::ptr::null_mut()) })
}
