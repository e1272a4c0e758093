//! Who waits at a socket, and whom a change wakes.
//!
//! Four kinds of change are told apart, as the kernel does: something to read, room to write, an
//! error, a change of state. And a socket's *peers* wait at it, too: connectors for room in a
//! backlog, datagram senders for room in a receive queue.

use afunix::Readiness;

use super::{Part, SocketKey, Sockets, Touch, WaitReason, Waiting};
use crate::wait::{Ticket, Tickets, WaitQueue};

/// The wait queues of one socket; made when somebody first waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiters {
    /// Stream readers, and polls for something to read.
    readers: WaitQueue,
    /// Receivers of datagrams, records and connections: one wake, one of them (SRECV 19, LISTEN
    /// 10).
    receivers: WaitQueue,
    /// Polls for room to write.
    writers: WaitQueue,
    /// Senders that wait for memory.
    memory: WaitQueue,
    /// Those who wait for room in this socket's receive queue or backlog.
    peers: WaitQueue,
}

const READING: Readiness = Readiness::IN
    .union(Readiness::PRI)
    .union(Readiness::RDNORM)
    .union(Readiness::RDBAND)
    .union(Readiness::RDHUP);
const WRITING: Readiness = Readiness::OUT.union(Readiness::WRNORM).union(Readiness::WRBAND);

impl Sockets {
    /// Puts the ticket of a call that waits into its queue, so that the change it waits for wakes
    /// it.
    pub fn enrol(&mut self, tickets: &Tickets, ticket: Ticket, waiting: &Waiting) {
        let Some(socket) = self.living_mut(waiting.socket) else {
            panic!("a call waits at an open socket");
        };
        let is_connection = socket.is_connection();
        let is_stream = socket.kind == afunix::SocketType::Stream;
        let waiters = socket.waiters.get_or_insert_default();
        let (queue, exclusive) = match waiting.reason {
            WaitReason::Memory => (&mut waiters.memory, false),
            WaitReason::Connection => (&mut waiters.receivers, true),
            WaitReason::Backlog | WaitReason::PeerQueue => (&mut waiters.peers, true),
            // SRECV 19: in order on datagram and seqpacket, in none on a stream.
            _ if is_stream => (&mut waiters.readers, false),
            _ => (&mut waiters.receivers, true),
        };
        queue.enrol(tickets, ticket, exclusive);
        debug_assert!(is_connection || waiting.reason != WaitReason::Backlog);
        if exclusive {
            self.watch.touch(Part::Waiters(waiting.socket), Touch::Write);
        }
    }

    /// Puts the ticket of a poll for `events` into the queues whose wakes may bring them. Errors
    /// and hang-ups always wake.
    pub fn enrol_poll(
        &mut self,
        tickets: &Tickets,
        ticket: Ticket,
        key: SocketKey,
        events: Readiness,
    ) {
        self.watch.touch(Part::State(key), Touch::Awaits);
        let socket = self.own(key);
        let one_way_peer = socket.peer.filter(|_| !socket.is_connection());
        let listens = socket.state == super::socket::State::Listening;
        let waiters = socket.waiters.get_or_insert_default();
        if events.intersects(READING) {
            waiters.readers.enrol(tickets, ticket, false);
        }
        if events.intersects(WRITING) || !events.intersects(READING) {
            waiters.writers.enrol(tickets, ticket, false);
        }
        if events.intersects(READING) {
            let part = if listens { Part::Backlog(key) } else { Part::Receive(key) };
            self.watch.touch(part, Touch::Awaits);
        }
        if !events.intersects(WRITING) {
            return;
        }
        self.watch.touch(Part::SendMemory(key), Touch::Awaits);
        // POLL 2: a datagram's OUT also hangs on the queue of a peer that is not connected back.
        let Some(peer) = one_way_peer else { return };
        self.watch.touch(Part::Receive(peer), Touch::Awaits);
        if let Some(peer) = self.living_mut(peer).filter(|peer| peer.peer != Some(key)) {
            peer.waiters.get_or_insert_default().peers.enrol(tickets, ticket, false);
        }
    }

    /// Something came to be read.
    pub(super) fn wake_readable(&mut self, tickets: &mut Tickets, key: SocketKey) {
        let memory = self.memory_waiter_goes_on(key);
        let Some(waiters) = self.waiters_of(key) else { return };
        waiters.readers.wake_all(tickets);
        waiters.receivers.wake(tickets);
        // MEM 11, more exactly: anything that wakes the socket's waiters lets a writer look again.
        if memory {
            waiters.memory.wake_all(tickets);
        }
    }

    /// The socket polls writable again, or its peer has room.
    pub(super) fn wake_writable(&mut self, tickets: &mut Tickets, key: SocketKey) {
        let memory = self.memory_waiter_goes_on(key);
        let Some(waiters) = self.waiters_of(key) else { return };
        waiters.writers.wake_all(tickets);
        if memory {
            waiters.memory.wake_all(tickets);
        }
    }

    /// An error is pending.
    pub(super) fn wake_error(&mut self, tickets: &mut Tickets, key: SocketKey) {
        let memory = self.memory_waiter_goes_on(key);
        let Some(waiters) = self.waiters_of(key) else { return };
        waiters.readers.wake_all(tickets);
        waiters.receivers.wake(tickets);
        waiters.writers.wake_all(tickets);
        if memory {
            waiters.memory.wake_all(tickets);
        }
    }

    /// Shutdown or the peer's close: everyone looks again.
    pub(super) fn wake_state(&mut self, tickets: &mut Tickets, key: SocketKey) {
        let memory = self.memory_waiter_goes_on(key);
        let Some(waiters) = self.waiters_of(key) else { return };
        waiters.readers.wake_all(tickets);
        waiters.receivers.wake_all(tickets);
        waiters.writers.wake_all(tickets);
        if memory {
            waiters.memory.wake_all(tickets);
        }
    }

    /// There is room for one: in the backlog (CONNECT 11), or in the receive queue (DSEND 6).
    #[inline]
    pub(super) fn wake_one_peer(&mut self, tickets: &mut Tickets, key: SocketKey) {
        if self.table.get(key).is_none_or(|socket| socket.waiters.is_none()) {
            return;
        }
        self.watch.touch(Part::Waiters(key), Touch::Write);
        if let Some(waiters) = self.waiters_of(key) {
            waiters.peers.wake(tickets);
        }
    }

    /// Close, or a larger backlog: all who wait for room look again.
    pub(super) fn wake_all_peers(&mut self, tickets: &mut Tickets, key: SocketKey) {
        self.watch.touch(Part::Waiters(key), Touch::Write);
        if let Some(waiters) = self.waiters_of(key) {
            waiters.peers.wake_all(tickets);
        }
    }

    fn waiters_of(&mut self, key: SocketKey) -> Option<&mut Waiters> {
        self.table.get_mut(key)?.waiters.as_deref_mut()
    }
}
