//! Events of epoll(7).

use bitflags::bitflags;

use crate::Readiness;

bitflags! {
    /// Events and flags of epoll_ctl(2). The events have the values that poll(2) has for them.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct EpollFlags: u32 {
        /// Readable.
        const IN = 0x1;
        /// Urgent data: an out-of-band byte.
        const PRI = 0x2;
        /// Writable.
        const OUT = 0x4;
        /// An error is pending; always waited for.
        const ERR = 0x8;
        /// Hung up; always waited for.
        const HUP = 0x10;
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
        /// One wake reaches one of the epolls that watch so.
        const EXCLUSIVE = 1 << 28;
        /// Without effect here.
        const WAKEUP = 1 << 29;
        /// The watch is disabled once it was reported.
        const ONESHOT = 1 << 30;
        /// Reported once for each wake, not for as long as it lasts.
        const ET = 1 << 31;
        const _ = !0;
    }
}

impl EpollFlags {
    /// The events among them, as poll(2) has them.
    pub const fn readiness(self) -> Readiness {
        Readiness::from_bits_retain(self.bits() as u16 as i16)
    }
}

impl From<Readiness> for EpollFlags {
    fn from(ready: Readiness) -> Self {
        EpollFlags::from_bits_retain(u32::from(ready.bits() as u16))
    }
}

/// `struct epoll_event`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpollEvent {
    /// What is waited for, or what there is.
    pub events: EpollFlags,
    /// The caller's own, given back with each event.
    pub data: u64,
}

/// Where epoll_wait(2) writes.
#[derive(Debug)]
pub enum EventsOut<'a> {
    /// As many events as there is room for: `maxevents` is the length.
    Room(&'a mut [EpollEvent]),
    /// `maxevents`, which may be negative, of memory that cannot be written: EFAULT at the first
    /// event.
    Fault(i32),
}

impl EventsOut<'_> {
    /// `maxevents`; 0 for what is below.
    pub fn maxevents(&self) -> usize {
        match self {
            EventsOut::Room(events) => events.len(),
            EventsOut::Fault(maxevents) => usize::try_from(*maxevents).unwrap_or(0),
        }
    }

    /// Writes event number `index`; `false` where memory cannot be written.
    pub fn put(&mut self, index: usize, event: EpollEvent) -> bool {
        match self {
            EventsOut::Room(events) => match events.get_mut(index) {
                Some(place) => {
                    *place = event;
                    true
                }
                None => false,
            },
            EventsOut::Fault(_) => false,
        }
    }
}
