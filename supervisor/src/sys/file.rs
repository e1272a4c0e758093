//! Files: who they are, and how they are opened.

use std::os::fd::{AsRawFd, BorrowedFd};

use afunix::Errno;

use super::{check, last};

/// What fstat(2) tells, as far as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) mode: u32,
    pub(crate) size: u64,
}

/// fstat(2).
pub(crate) fn stat(fd: BorrowedFd<'_>) -> Result<Stat, Errno> {
    // SAFETY: plain numbers, for which zero is a value; the kernel writes them.
    let stat = unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        check(libc::fstat(fd.as_raw_fd(), &mut stat))?;
        stat
    };
    Ok(Stat { dev: stat.st_dev, ino: stat.st_ino, mode: stat.st_mode, size: stat.st_size as u64 })
}

/// Whether O_NONBLOCK is set.
pub(crate) fn is_nonblocking(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: takes two numbers.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    flags & libc::O_NONBLOCK != 0
}

/// Reads from a file at an offset, or where it stands. Returns how many bytes.
pub(crate) fn read(
    fd: BorrowedFd<'_>,
    offset: Option<u64>,
    into: &mut [u8],
) -> Result<usize, Errno> {
    let (fd, room, len) = (fd.as_raw_fd(), into.as_mut_ptr().cast(), into.len());
    // SAFETY: `into` is room for as many bytes as are said.
    let count = unsafe {
        match offset {
            Some(offset) => libc::pread(fd, room, len, offset as i64),
            None => libc::read(fd, room, len),
        }
    };
    check(count as i64).map(|count| count as usize)
}

/// Moves where a file stands, relative to where it does. `false` if it cannot.
pub(crate) fn seek_by(fd: BorrowedFd<'_>, offset: i64) -> bool {
    // SAFETY: takes numbers.
    unsafe { libc::lseek(fd.as_raw_fd(), offset, libc::SEEK_CUR) >= 0 || last() == Errno::IO }
}
