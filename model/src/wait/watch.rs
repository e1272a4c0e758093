//! Epolls, as far as wakes go: which of the files that they watch may have something to report.
//!
//! A *watch* stands in the wait queues of its file for as long as it is there. A wake that brings
//! what it waits for puts it on its epoll's *ready list* and wakes one call that waits at the
//! epoll: that is all there is to an edge (POLL 3). Whether a listed file has something to report,
//! whoever takes it from the list asks the file itself.

use std::collections::BTreeMap;

use afunix::{EpollFlags, Readiness};
use slotmap::SlotMap;

use super::{Ticket, Tickets, WaitQueue};

slotmap::new_key_type! {
    /// An epoll.
    pub struct EpollKey;
    /// One file that an epoll watches under one number.
    pub struct WatchKey;
}

/// The bits of a watch that are no events: all that one-shot leaves (EPOLL 6).
pub(crate) const PRIVATE: EpollFlags = EpollFlags::WAKEUP
    .union(EpollFlags::ONESHOT)
    .union(EpollFlags::ET)
    .union(EpollFlags::EXCLUSIVE);

/// All epolls and what they watch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epolls {
    table: SlotMap<EpollKey, Epoll>,
    watches: SlotMap<WatchKey, Watch>,
    /// Those that heard of a wake, until somebody drains it for a footprint.
    pub(crate) touched: Vec<EpollKey>,
}

#[derive(Clone, Debug, Default)]
struct Epoll {
    /// The ready list: places in it, in order.
    ready: BTreeMap<u64, WatchKey>,
    /// The place after the last.
    end: u64,
    /// Calls that wait for events. The last to come is the first to be woken (EPOLL 9).
    waiting: WaitQueue,
    /// Who polls the epoll itself, and the epolls that watch it.
    polls: WaitQueue,
}

#[derive(Clone, Debug)]
struct Watch {
    epoll: EpollKey,
    events: EpollFlags,
    /// Its place in the ready list.
    place: Option<u64>,
}

impl Epolls {
    pub(crate) fn open(&mut self) -> EpollKey {
        self.table.insert(Epoll::default())
    }

    pub(crate) fn has(&self, epoll: EpollKey) -> bool {
        self.table.contains_key(epoll)
    }

    /// Its watches are removed before.
    pub(crate) fn close(&mut self, epoll: EpollKey) {
        self.table.remove(epoll);
    }

    /// A watch in no wait queue yet.
    pub(crate) fn add(&mut self, epoll: EpollKey, events: EpollFlags) -> WatchKey {
        self.watches.insert(Watch { epoll, events, place: None })
    }

    /// The queues that it stands in drop it when they meet it.
    pub(crate) fn remove(&mut self, watch: WatchKey) {
        self.unlist(watch);
        self.watches.remove(watch);
    }

    pub(crate) fn events(&self, watch: WatchKey) -> EpollFlags {
        self.watches[watch].events
    }

    pub(crate) fn set_events(&mut self, watch: WatchKey, events: EpollFlags) {
        self.watches[watch].events = events;
    }

    pub(super) fn is_there(&self, watch: WatchKey) -> bool {
        self.watches.contains_key(watch)
    }

    pub(crate) fn is_listed(&self, watch: WatchKey) -> bool {
        self.watches[watch].place.is_some()
    }

    /// The place after the last of the ready list.
    pub(crate) fn end(&self, epoll: EpollKey) -> u64 {
        self.table[epoll].end
    }

    /// The first of the ready list, unless it stands at `end` or behind.
    pub(crate) fn first_before(&self, epoll: EpollKey, end: u64) -> Option<WatchKey> {
        let (place, watch) = self.table[epoll].ready.first_key_value()?;
        (*place < end).then_some(*watch)
    }

    /// Puts it at the end of the ready list, if it is not in it.
    pub(crate) fn list(&mut self, key: WatchKey) {
        let watch = &mut self.watches[key];
        if watch.place.is_none() {
            let epoll = &mut self.table[watch.epoll];
            watch.place = Some(epoll.end);
            epoll.ready.insert(epoll.end, key);
            epoll.end += 1;
        }
    }

    /// Takes it out of the ready list, if it is in it.
    pub(crate) fn unlist(&mut self, key: WatchKey) {
        let watch = &mut self.watches[key];
        if let Some(place) = watch.place.take() {
            self.table[watch.epoll].ready.remove(&place);
        }
    }

    /// All watches, each with its epoll and its place in the ready list: for the invariants.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (WatchKey, EpollKey, Option<u64>)> + '_ {
        self.watches.iter().map(|(key, watch)| (key, watch.epoll, watch.place))
    }

    /// The ready list with its places, and the place after the last: for the invariants.
    pub(crate) fn ready(&self, epoll: EpollKey) -> (&BTreeMap<u64, WatchKey>, u64) {
        let epoll = &self.table[epoll];
        (&epoll.ready, epoll.end)
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

impl Tickets {
    /// A file that is watched wakes who waits at it, with `brought` (nothing said: anything may
    /// have changed). Tells whether an exclusive wake ends here; `None` if the watch is gone.
    pub(super) fn fire(&mut self, key: WatchKey, brought: Readiness) -> Option<bool> {
        let watch = self.epolls.watches.get(key)?;
        let (epoll, wanted) = (watch.epoll, watch.events);
        self.epolls.touched.push(epoll);
        let is_exclusive = wanted.contains(EpollFlags::EXCLUSIVE);
        let events = (wanted - PRIVATE).readiness();
        if events.is_empty() || !(brought.is_empty() || brought.intersects(events)) {
            return Some(!is_exclusive);
        }
        self.epolls.list(key);
        let woke = self.wake_epoll(epoll);
        self.wake_polls(epoll);
        // POLL 6: an exclusive watch that found nobody to wake leaves the wake to the next.
        Some(!is_exclusive || woke && ends_exclusive(brought, events))
    }

    /// Something is there to be reported that no wake brought: the watch is new, or was changed.
    pub(crate) fn found_ready(&mut self, key: WatchKey) {
        if self.epolls.is_listed(key) {
            return;
        }
        let epoll = self.epolls.watches[key].epoll;
        self.epolls.list(key);
        self.wake_epoll(epoll);
        self.wake_polls(epoll);
    }

    /// Whoever took from the ready list and left something wakes the next (POLL 6).
    pub(crate) fn wake_next(&mut self, epoll: EpollKey) {
        if !self.epolls.table[epoll].ready.is_empty() {
            self.wake_epoll(epoll);
        }
    }

    /// Puts the ticket of a call that waits for events before all others.
    pub(crate) fn enrol_at_epoll(&mut self, epoll: EpollKey, ticket: Ticket) {
        let mut waiting = std::mem::take(&mut self.epolls.table[epoll].waiting);
        waiting.enrol_first(self, ticket);
        self.epolls.table[epoll].waiting = waiting;
    }

    /// Puts the ticket of a poll where it hears that the epoll has something to report.
    pub(crate) fn enrol_poll_at_epoll(&mut self, epoll: EpollKey, ticket: Ticket) {
        let mut polls = std::mem::take(&mut self.epolls.table[epoll].polls);
        polls.enrol(self, ticket, false);
        self.epolls.table[epoll].polls = polls;
    }

    /// Lets an epoll hear of another one.
    pub(crate) fn watch_epoll(&mut self, epoll: EpollKey, watch: WatchKey) {
        let mut polls = std::mem::take(&mut self.epolls.table[epoll].polls);
        polls.watch(self, watch, false);
        self.epolls.table[epoll].polls = polls;
    }

    /// Wakes one call that waits for events; `false` if there is none.
    fn wake_epoll(&mut self, epoll: EpollKey) -> bool {
        let mut waiting = std::mem::take(&mut self.epolls.table[epoll].waiting);
        let is_awaited = waiting.is_awaited(self);
        waiting.wake(self, Readiness::empty());
        self.epolls.table[epoll].waiting = waiting;
        is_awaited
    }

    /// EPOLL 7: an epoll with a ready list brings IN. No epoll watches itself, so this ends.
    fn wake_polls(&mut self, epoll: EpollKey) {
        let mut polls = std::mem::take(&mut self.epolls.table[epoll].polls);
        polls.wake(self, Readiness::IN);
        self.epolls.table[epoll].polls = polls;
    }
}

/// Of IN and OUT, a wake that brings one of them alone ends at a watch that waits for it.
fn ends_exclusive(brought: Readiness, events: Readiness) -> bool {
    match brought & (Readiness::IN | Readiness::OUT) {
        neither if neither.is_empty() => true,
        one if one == Readiness::IN || one == Readiness::OUT => events.contains(one),
        _ => false,
    }
}
