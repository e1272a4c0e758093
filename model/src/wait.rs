//! Tickets and wait queues: how a call that cannot go on leaves word of what would let it.
//!
//! A *ticket* is one waiting call. It may stand in many wait queues (poll does) and is void once it
//! has been woken or cancelled; queues drop void tickets when they meet them.

use std::collections::VecDeque;

use slotmap::SlotMap;

pub use afunix::snapshot::WaitReason;

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
    pub fn any_woken(&self) -> bool {
        !self.woken.is_empty()
    }

    /// The next woken ticket, in the order of the wakes.
    pub fn next_woken(&mut self) -> Option<Ticket> {
        self.woken.pop_front()
    }
}

/// Tickets that wait for one thing, in the order of their coming.
#[derive(Clone, Debug, Default)]
pub struct WaitQueue {
    waiting: VecDeque<Waiter>,
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    ticket: Ticket,
    /// Of the exclusive ones a wake reaches only the first.
    exclusive: bool,
}

impl WaitQueue {
    /// Puts a ticket at the end.
    pub fn enrol(&mut self, tickets: &Tickets, ticket: Ticket, exclusive: bool) {
        while self.waiting.front().is_some_and(|waiter| !tickets.is_valid(waiter.ticket)) {
            self.waiting.pop_front();
        }
        // A queue that is never woken would grow with every poll that gave up: sweep when it would
        // grow.
        if self.waiting.len() == self.waiting.capacity() {
            self.waiting.retain(|waiter| tickets.is_valid(waiter.ticket));
        }
        self.waiting.push_back(Waiter { ticket, exclusive });
    }

    /// Wakes all that are not exclusive and the first that is.
    pub fn wake(&mut self, tickets: &mut Tickets) {
        let mut met_exclusive = false;
        self.waiting.retain(|waiter| {
            if waiter.exclusive && met_exclusive {
                return true;
            }
            met_exclusive |= tickets.wake(waiter.ticket) && waiter.exclusive;
            false
        });
    }

    /// Wakes all.
    pub fn wake_all(&mut self, tickets: &mut Tickets) {
        for waiter in self.waiting.drain(..) {
            tickets.wake(waiter.ticket);
        }
    }

    /// Whether a valid ticket waits here.
    pub fn is_awaited(&self, tickets: &Tickets) -> bool {
        self.waiting.iter().any(|waiter| tickets.is_valid(waiter.ticket))
    }
}
