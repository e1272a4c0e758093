//! Tickets and wait queues: how a call that cannot go on leaves word of what would let it.
//!
//! A *ticket* is one waiting call. It may stand in many wait queues (poll does) and is void once it
//! has been woken or cancelled; queues drop void tickets when they meet them. Beside tickets, the
//! *watches* of epolls stand in wait queues.

mod watch;

use std::collections::VecDeque;

use afunix::Readiness;
use slotmap::SlotMap;

pub use afunix::snapshot::WaitReason;
pub use watch::{EpollKey, WatchKey};
pub(crate) use watch::{Epolls, PRIVATE};

slotmap::new_key_type! {
    /// One waiting call.
    pub struct Ticket;
}

/// What a call waits for, in terms of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct On {
    /// What would let it go on.
    pub reason: WaitReason,
    /// The socket whose state has to change, as the id that snapshots use.
    pub socket: Option<u64>,
}

/// The tickets that are known, and those woken since they were last drained.
///
/// A ticket is known from its issue until it is cancelled, which whoever issued it does when the
/// call is over, woken or not: until then no other ticket is taken for it.
#[derive(Clone, Debug, Default)]
pub struct Tickets {
    /// Whether each still waits.
    known: SlotMap<Ticket, bool>,
    woken: VecDeque<Ticket>,
    /// Who hears of wakes without waiting in a call.
    pub(crate) epolls: Epolls,
}

impl Tickets {
    /// A new ticket.
    pub fn issue(&mut self) -> Ticket {
        self.known.insert(true)
    }

    /// Makes a ticket void. Nothing happens if it is cancelled already.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.known.remove(ticket);
    }

    /// Whether the ticket still waits.
    #[inline]
    pub fn is_valid(&self, ticket: Ticket) -> bool {
        self.known.get(ticket) == Some(&true)
    }

    /// Wakes one ticket; `false` if it is void.
    #[inline]
    pub fn wake(&mut self, ticket: Ticket) -> bool {
        let was_valid = self.known.get_mut(ticket).is_some_and(std::mem::take);
        if was_valid {
            self.woken.push_back(ticket);
        }
        was_valid
    }

    /// Whether there are woken tickets that were not drained.
    #[inline]
    pub fn any_woken(&self) -> bool {
        !self.woken.is_empty()
    }

    /// The next woken ticket, in the order of the wakes.
    #[inline]
    pub fn next_woken(&mut self) -> Option<Ticket> {
        self.woken.pop_front()
    }
}

/// Tickets that wait for one thing, in the order of their coming, and watches.
#[derive(Clone, Debug, Default)]
pub struct WaitQueue {
    waiting: VecDeque<Waiter>,
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    who: Who,
    /// Of the exclusive ones a wake reaches only the first.
    exclusive: bool,
}

#[derive(Clone, Copy, Debug)]
enum Who {
    /// A call, which a wake takes out of the queue.
    Ticket(Ticket),
    /// A watch, which stays.
    Watch(WatchKey),
}

impl WaitQueue {
    /// Puts a ticket at the end.
    pub fn enrol(&mut self, tickets: &Tickets, ticket: Ticket, exclusive: bool) {
        while self.waiting.front().is_some_and(|waiter| !waiter.who.is_valid(tickets)) {
            self.waiting.pop_front();
        }
        self.make_room(tickets);
        self.waiting.push_back(Waiter { who: Who::Ticket(ticket), exclusive });
    }

    /// Puts a ticket at the beginning, of which one is woken.
    pub(crate) fn enrol_first(&mut self, tickets: &Tickets, ticket: Ticket) {
        self.make_room(tickets);
        self.waiting.push_front(Waiter { who: Who::Ticket(ticket), exclusive: true });
    }

    /// Lets a watch hear of every wake, the last to come before all others; an exclusive one in
    /// its turn among the exclusive.
    pub fn watch(&mut self, tickets: &Tickets, watch: WatchKey, exclusive: bool) {
        self.make_room(tickets);
        let waiter = Waiter { who: Who::Watch(watch), exclusive };
        match exclusive {
            true => self.waiting.push_back(waiter),
            false => self.waiting.push_front(waiter),
        }
    }

    /// A queue that is never woken would grow with every poll that gave up: sweep when it would
    /// grow.
    fn make_room(&mut self, tickets: &Tickets) {
        if self.waiting.len() == self.waiting.capacity() {
            self.waiting.retain(|waiter| waiter.who.is_valid(tickets));
        }
    }

    /// Wakes all that are not exclusive and the first that is. `brought` is what changed, for
    /// watches; if nothing is said, anything may have.
    #[inline]
    pub fn wake(&mut self, tickets: &mut Tickets, brought: Readiness) {
        if !self.waiting.is_empty() {
            self.wake_first(tickets, brought);
        }
    }

    fn wake_first(&mut self, tickets: &mut Tickets, brought: Readiness) {
        let mut met_exclusive = false;
        self.waiting.retain(|waiter| {
            if waiter.exclusive && met_exclusive {
                return true;
            }
            let (woke, stays) = waiter.who.wake(tickets, brought);
            met_exclusive |= woke && waiter.exclusive;
            stays
        });
    }

    /// Wakes all.
    #[inline]
    pub fn wake_all(&mut self, tickets: &mut Tickets, brought: Readiness) {
        if !self.waiting.is_empty() {
            self.waiting.retain(|waiter| waiter.who.wake(tickets, brought).1);
        }
    }

    /// As [`WaitQueue::wake`], for a change that the calls in this queue do not wait for.
    #[inline]
    pub fn wake_watches(&mut self, tickets: &mut Tickets, brought: Readiness) {
        if !self.waiting.is_empty() {
            self.wake_first_watch(tickets, brought);
        }
    }

    fn wake_first_watch(&mut self, tickets: &mut Tickets, brought: Readiness) {
        let mut met_exclusive = false;
        self.waiting.retain(|waiter| {
            if matches!(waiter.who, Who::Ticket(_)) || waiter.exclusive && met_exclusive {
                return true;
            }
            let (woke, stays) = waiter.who.wake(tickets, brought);
            met_exclusive |= woke && waiter.exclusive;
            stays
        });
    }

    /// Whether a valid ticket waits here.
    pub fn is_awaited(&self, tickets: &Tickets) -> bool {
        let is_awaited = |who| matches!(who, Who::Ticket(ticket) if tickets.is_valid(ticket));
        self.waiting.iter().any(|waiter| is_awaited(waiter.who))
    }
}

impl Who {
    fn is_valid(self, tickets: &Tickets) -> bool {
        match self {
            Who::Ticket(ticket) => tickets.is_valid(ticket),
            Who::Watch(watch) => tickets.epolls.is_there(watch),
        }
    }

    /// Whether it woke somebody, and whether it stays in the queue.
    fn wake(self, tickets: &mut Tickets, brought: Readiness) -> (bool, bool) {
        match self {
            Who::Ticket(ticket) => (tickets.wake(ticket), false),
            Who::Watch(watch) => match tickets.fire(watch, brought) {
                Some(ends_exclusive) => (ends_exclusive, true),
                None => (false, false),
            },
        }
    }
}
