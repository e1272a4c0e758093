//! Readiness: the event masks of poll(2).

use bitflags::bitflags;

use crate::net::Fd;

bitflags! {
    /// An event mask of poll(2), on the way in and on the way out.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Readiness: i16 {
        /// Readable.
        const IN = 0x1;
        /// Urgent data: an out-of-band byte.
        const PRI = 0x2;
        /// Writable.
        const OUT = 0x4;
        /// Out: an error is pending.
        const ERR = 0x8;
        /// Out: hung up.
        const HUP = 0x10;
        /// Out: not an open descriptor.
        const NVAL = 0x20;
        /// Comes with `IN` (POLL 1).
        const RDNORM = 0x40;
        /// Unused here.
        const RDBAND = 0x80;
        /// Comes with `OUT` (POLL 1).
        const WRNORM = 0x100;
        /// Comes with `OUT` (POLL 1).
        const WRBAND = 0x200;
        /// The peer shut down its writing half.
        const RDHUP = 0x2000;
        const _ = !0;
    }
}

/// One entry of poll(2).
#[derive(Debug)]
pub struct PollFd<'a> {
    /// The descriptor; `None` stands for a negative number, which poll passes over.
    pub fd: Option<Fd<'a>>,
    /// What is waited for. `ERR`, `HUP` and `NVAL` always are.
    pub events: Readiness,
    /// Out: what there is.
    pub revents: Readiness,
}

impl<'a> PollFd<'a> {
    /// An entry that waits for `events` on `fd`.
    pub fn new(fd: Fd<'a>, events: Readiness) -> Self {
        PollFd { fd: Some(fd), events, revents: Readiness::empty() }
    }
}
