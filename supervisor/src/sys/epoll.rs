//! What the supervisor itself waits for.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use afunix::Errno;

use super::{check, owned};

/// A set of descriptors, each with a number of the caller's.
#[derive(Debug)]
pub(crate) struct Poller(OwnedFd);

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until there is input at either of two, for so long at most; tells at which.
///
/// The first should be the listener: who waits for it here, rather than in an epoll, is woken on
/// the processor of the caller that it serves.
pub(crate) fn wait_for(
    first: BorrowedFd<'_>,
    second: BorrowedFd<'_>,
    timeout: Option<Duration>,
) -> (bool, bool) {
    let of =
        |fd: BorrowedFd<'_>| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut both = [of(first), of(second)];
    // SAFETY: two structures, read and written.
    unsafe {
        libc::poll(both.as_mut_ptr(), 2, milliseconds(timeout));
    }
    (both[0].revents & libc::POLLIN != 0, both[1].revents & libc::POLLIN != 0)
}

/// Up to the next one: whoever wakes early would find nothing to do. For ever is -1.
fn milliseconds(timeout: Option<Duration>) -> i32 {
    timeout
        .map_or(-1, |time| i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX))
}

/// Events of one wait at most.
const EVENTS: usize = 64;

impl Poller {
    pub(crate) fn new() -> Result<Self, Errno> {
        // SAFETY: takes a flag word.
        check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).map(owned).map(Poller)
    }

    /// Tells of input.
    pub(crate) fn watch(&self, fd: BorrowedFd<'_>, token: u64) -> Result<(), Errno> {
        self.add(fd, token, libc::EPOLLIN)
    }

    /// Tells once of each thing that happens, hang-ups and errors alone.
    pub(crate) fn watch_hangup(&self, fd: BorrowedFd<'_>, token: u64) -> Result<(), Errno> {
        self.add(fd, token, libc::EPOLLET | libc::EPOLLRDHUP)
    }

    fn add(&self, fd: BorrowedFd<'_>, token: u64, events: i32) -> Result<(), Errno> {
        let mut event = libc::epoll_event { events: events as u32, u64: token };
        let (own, fd) = (self.0.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: the kernel reads the event.
        check(unsafe { libc::epoll_ctl(own, libc::EPOLL_CTL_ADD, fd, &mut event) }).map(drop)
    }

    /// Appends the numbers of what has happened. Waits for so long at most, for ever if `None`.
    pub(crate) fn wait(&self, timeout: Option<Duration>, happened: &mut Vec<u64>) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let timeout = milliseconds(timeout);
        let own = self.0.as_raw_fd();
        // SAFETY: `events` is room for as many events as are said.
        let count = unsafe { libc::epoll_wait(own, events.as_mut_ptr(), EVENTS as i32, timeout) };
        happened.extend(events[..count.max(0) as usize].iter().map(|event| event.u64));
    }
}
