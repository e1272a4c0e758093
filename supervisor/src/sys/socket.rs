//! Placeholders: real socketpairs, one end of which stands in the program for a socket of the
//! model. What the program's end polls is what its other end, and the program's own end while a
//! call of the program is under way, can bring about.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use afunix::Errno;

use super::{check, owned};

/// Bytes that make the smallest send buffer unwritable (MEM 2, MEM 8): one message buffer of 1280.
pub(crate) const FILLING: usize = 256;

/// The program's end and the supervisor's. The supervisor's never waits.
pub(crate) fn pair(nonblocking: bool) -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut fds = [-1; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    let kind = if nonblocking { kind | libc::SOCK_NONBLOCK } else { kind };
    // SAFETY: `fds` is room for the two numbers that are written.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) })?;
    let (near, far) = (owned(i64::from(fds[0])), owned(i64::from(fds[1])));
    let least: i32 = 1;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_SNDBUF);
    // SAFETY: the kernel reads one number.
    unsafe {
        libc::setsockopt(near.as_raw_fd(), level, option, (&raw const least).cast(), 4);
    }
    Ok((near, far))
}

/// A real socket of the family.
pub(crate) fn real(kind: i32, nonblocking: bool) -> Result<OwnedFd, Errno> {
    let kind = kind | libc::SOCK_CLOEXEC | if nonblocking { libc::SOCK_NONBLOCK } else { 0 };
    // SAFETY: takes three numbers.
    check(unsafe { libc::socket(libc::AF_UNIX, kind, 0) }).map(owned)
}

/// Sends bytes that only count: a token of something to be read, or what fills a send buffer.
fn send(from: BorrowedFd<'_>, len: usize, flags: i32) -> bool {
    let bytes = [0u8; FILLING];
    let flags = flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: `bytes` are at least so many.
    unsafe { libc::send(from.as_raw_fd(), bytes.as_ptr().cast(), len.min(FILLING), flags) > 0 }
}

/// One byte.
pub(crate) fn send_token(from: BorrowedFd<'_>) -> bool {
    send(from, 1, 0)
}

/// One byte out of band.
pub(crate) fn send_urgent(from: BorrowedFd<'_>) -> bool {
    send(from, 1, libc::MSG_OOB)
}

/// As much as leaves the sender unwritable.
pub(crate) fn fill(from: BorrowedFd<'_>) -> bool {
    send(from, FILLING, 0)
}

/// Reads all that there is. Returns how many bytes.
pub(crate) fn drain(from: BorrowedFd<'_>) -> usize {
    let mut bytes = [0u8; 1024];
    let mut sum = 0;
    loop {
        let (room, len) = (bytes.as_mut_ptr().cast(), bytes.len());
        // SAFETY: `bytes` is room for as many as are said.
        let count = unsafe { libc::recv(from.as_raw_fd(), room, len, libc::MSG_DONTWAIT) };
        if count <= 0 {
            return sum;
        }
        sum += count as usize;
        if (count as usize) < len {
            return sum;
        }
    }
}

/// Reads the byte out of band, and what is left in its place.
pub(crate) fn drain_urgent(from: BorrowedFd<'_>) {
    let mut byte = 0u8;
    let flags = libc::MSG_OOB | libc::MSG_DONTWAIT;
    // SAFETY: there is room for one byte.
    unsafe {
        libc::recv(from.as_raw_fd(), (&raw mut byte).cast(), 1, flags);
        libc::recv(from.as_raw_fd(), (&raw mut byte).cast(), 1, libc::MSG_DONTWAIT);
    }
}

/// shutdown(2) for writing, or for both.
pub(crate) fn shut(fd: BorrowedFd<'_>, both: bool) {
    let how = if both { libc::SHUT_RDWR } else { libc::SHUT_WR };
    // SAFETY: takes two numbers.
    unsafe {
        libc::shutdown(fd.as_raw_fd(), how);
    }
}

/// Whether the other end is gone. `shut`: this end was shut down both ways, with a token left
/// unread at the other.
pub(crate) fn is_gone(fd: BorrowedFd<'_>, shut: bool) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one structure, read and written.
    unsafe {
        libc::poll(&mut poll, 1, 0);
    }
    // An end that is shut both ways polls a hang-up by itself; the unread token makes an error.
    poll.revents & (if shut { libc::POLLERR } else { libc::POLLHUP }) != 0
}

/// What poll(2) tells at once of `events`.
#[cfg(test)]
pub(crate) fn poll(fd: i32, events: &mut afunix::Readiness) {
    let mut poll = libc::pollfd { fd, events: events.bits(), revents: 0 };
    // SAFETY: one structure, read and written.
    unsafe {
        libc::poll(&mut poll, 1, 0);
    }
    *events = afunix::Readiness::from_bits_retain(poll.revents);
}
