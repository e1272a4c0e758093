//! A child process: fork(2), and what is arranged in the child before it runs.

use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

use afunix::{Credentials, Errno, Limits, Pid};

use super::confine::confine;
use super::{process, result, signal};

/// What the child arranges for itself. If any of it fails, the child ends and the parent is told.
pub(crate) struct Setup<'a> {
    /// The name that ps(1) shows, cut to 15 bytes.
    pub(crate) name: &'a str,
    /// The user to become.
    pub(crate) user: Option<&'a Credentials>,
    /// The umask.
    pub(crate) umask: Option<u32>,
    /// The limits.
    pub(crate) limits: Option<Limits>,
    /// Whether it is to open nothing by a path.
    pub(crate) confined: bool,
    /// Pairs (number now, number in the child). Each is 3 or more, and no target stands twice.
    pub(crate) fds: Vec<(i32, i32)>,
}

/// Starts a child that arranges what `setup` says, runs `body` and exits with the status that it
/// returns. Returns in the parent alone, and once all is arranged.
///
/// # Safety
/// The caller has one thread. `body` uses, and lets go of, no descriptor that the parent owned: in
/// the child those numbers are closed, or stand for what `setup` put there.
///
/// # Errors
/// Those of pipe2(2), of fork(2), and what failed in the child.
pub(crate) unsafe fn fork(mut setup: Setup<'_>, body: impl FnOnce() -> i32) -> Result<Pid, Errno> {
    let (failure, report) = pipe()?;
    // SAFETY: the caller has one thread, so that no lock is held by one that will not be there.
    let pid = result(unsafe { libc::fork() })?;
    if pid == 0 {
        drop(failure);
        signal::reset();
        let mut report = report.into_raw_fd();
        let status = match setup.run(&mut report) {
            Ok(()) => {
                close(report);
                body()
            }
            Err(errno) => tell(report, errno),
        };
        // SAFETY: takes a number; ends the process, and every thread that `body` left, at once.
        unsafe { libc::_exit(status) }
    }
    let pid = Pid(pid as i32);
    drop(report);
    match heard(failure) {
        None => Ok(pid),
        Some(errno) => {
            while process::waitpid(pid, &mut None) == Err(Errno::INTR) {}
            Err(errno)
        }
    }
}

/// A pipe: reading end, writing end; both close-on-exec.
fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut fds = [-1; 2];
    // SAFETY: `fds` is room for the two numbers that are written.
    result(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: the kernel has just made both, for us alone.
    unsafe { Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))) }
}

/// Exit status of a child that could not be set up.
const NOT_STARTED: i32 = 127;

/// Child: tells the parent what failed.
fn tell(report: i32, errno: Errno) -> i32 {
    let bytes = errno.raw().to_ne_bytes();
    // SAFETY: reads as many bytes as are told.
    let _ = unsafe { libc::write(report, bytes.as_ptr().cast(), bytes.len()) };
    NOT_STARTED
}

/// Parent: waits until the child has closed its end; what it told before, if anything failed.
fn heard(failure: OwnedFd) -> Option<Errno> {
    let mut bytes = [0; 4];
    File::from(failure).read_exact(&mut bytes).ok()?;
    Errno::from_raw(i32::from_ne_bytes(bytes))
}

/// Child: closes a number; there is nobody to tell.
fn close(number: i32) {
    // SAFETY: the child owns all of its table, and names here only what the caller promised not to
    // use.
    let _ = unsafe { libc::close(number) };
}

impl Setup<'_> {
    /// Child: arranges everything. The numbers and limits first, the user last: after it much is
    /// forbidden.
    fn run(&mut self, report: &mut i32) -> Result<(), Errno> {
        self.move_descriptors(report)?;
        self.close_others(*report)?;
        if let Some(mask) = self.umask {
            process::umask(mask);
        }
        if let Some(limits) = self.limits {
            process::prlimit(Some(limits), &mut Limits::default())?;
        }
        if let Some(user) = self.user {
            process::setids(user.uid, user.gid, &user.groups)?;
        }
        if self.confined {
            confine()?;
        }
        let mut name = [0u8; 16];
        let shown = self.name.bytes().filter(|byte| *byte != 0).take(name.len() - 1);
        name.iter_mut().zip(shown).for_each(|(place, byte)| *place = byte);
        // SAFETY: reads up to the NUL, which is there: the last byte was never written.
        result(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }).map(drop)
    }

    /// Puts each file under its number. What stands there and is still needed is moved out of the
    /// way first.
    fn move_descriptors(&mut self, report: &mut i32) -> Result<(), Errno> {
        let above = self.fds.iter().map(|(_, target)| target + 1).max().unwrap_or(0);
        if self.fds.iter().any(|(_, target)| target == report) {
            *report = duplicate(*report, above)?;
        }
        for at in 0..self.fds.len() {
            let (source, target) = self.fds[at];
            if source == target {
                // As posix_spawn does: what is given stays open over an exec.
                // SAFETY: takes numbers alone.
                result(unsafe { libc::fcntl(source, libc::F_SETFD, 0) })?;
                continue;
            }
            for later in &mut self.fds[at + 1..] {
                if later.0 == target {
                    later.0 = duplicate(target, above)?;
                }
            }
            // SAFETY: what stood at `target` is a copy that is moved away, or is to be closed.
            result(unsafe { libc::dup2(source, target) })?;
        }
        Ok(())
    }

    /// Closes every number but 0 to 2, those that the child is given, and `report`.
    fn close_others(&self, report: i32) -> Result<(), Errno> {
        let mut keep: Vec<i32> = self.fds.iter().map(|(_, target)| *target).collect();
        keep.push(report);
        keep.sort_unstable();
        let mut first = 3;
        for kept in keep {
            if first < kept {
                close_range(first as u32, kept as u32 - 1)?;
            }
            first = kept + 1;
        }
        close_range(first as u32, u32::MAX)
    }
}

fn duplicate(number: i32, least: i32) -> Result<i32, Errno> {
    // SAFETY: takes numbers alone.
    let new = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, least) };
    result(new).map(|new| new as i32)
}

fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: as in `close`.
    result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}
