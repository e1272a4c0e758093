//! Who waits at a socket, and whom a change wakes.
//!
//! Four kinds of change are told apart, as the kernel does: something to read, room to write, an
//! error, a change of state. And a socket's *peers* wait at it, too: connectors for room in a
//! backlog, datagram senders for room in a receive queue.

use afunix::Readiness;

use super::{Part, SocketKey, Sockets, Touch, WaitReason, Waiting};
use crate::profile::Planted;
use crate::wait::{Ticket, Tickets, WaitQueue, WatchKey};

/// The wait queues of one socket; made when somebody first waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiters {
    /// Stream readers, and polls for something to read.
    readers: WaitQueue,
    /// Receivers of datagrams, records and connections: one wake, one of them (SRECV 19, LISTEN
    /// 10). And the epolls that watch the socket, which hear of every wake.
    receivers: WaitQueue,
    /// Polls for room to write.
    writers: WaitQueue,
    /// Polls for neither, which only errors and changes of state wake (POLLRDHUP is one).
    others: WaitQueue,
    /// Senders that wait for memory.
    memory: WaitQueue,
    /// Those who wait for room in this socket's receive queue or backlog.
    peers: WaitQueue,
    /// One-way connected datagram sockets that were found not writable for this one's full queue:
    /// told of the next room (POLL 2).
    relays: Vec<SocketKey>,
}

/// What the arrival of a message buffer brings.
const READING: Readiness =
    Readiness::IN.union(Readiness::PRI).union(Readiness::RDNORM).union(Readiness::RDBAND);
pub(super) const WRITING: Readiness =
    Readiness::OUT.union(Readiness::WRNORM).union(Readiness::WRBAND);

/// Nothing is said of what changed.
const ANYTHING: Readiness = Readiness::empty();

impl Sockets {
    /// Puts the ticket of a call that waits into its queue, so that the change it waits for wakes
    /// it.
    pub fn enrol(&mut self, tickets: &Tickets, ticket: Ticket, waiting: &Waiting) {
        let last_first = self.profile.planted.contains(Planted::WAKES_THE_LAST_FIRST);
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
        match exclusive && last_first {
            true => queue.enrol_first(tickets, ticket),
            false => queue.enrol(tickets, ticket, exclusive),
        }
        debug_assert!(is_connection || waiting.reason != WaitReason::Backlog);
        if waiting.reason == WaitReason::Readable {
            self.reader_waits(waiting.socket, true);
        }
        if exclusive {
            self.watch.touch(Part::Waiters(waiting.socket), Touch::Write);
        }
    }

    /// Lets an epoll hear of every wake of a socket, for as long as it is open.
    pub fn watch(&mut self, tickets: &Tickets, key: SocketKey, watch: WatchKey, exclusive: bool) {
        let waiters = self.own(key).waiters.get_or_insert_default();
        waiters.receivers.watch(tickets, watch, exclusive);
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
        if events.intersects(WRITING) {
            waiters.writers.enrol(tickets, ticket, false);
        }
        if !events.intersects(READING | WRITING) {
            waiters.others.enrol(tickets, ticket, false);
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
        if let Some(peer) = one_way_peer {
            self.watch.touch(Part::Receive(peer), Touch::Awaits);
        }
    }

    /// A socket is not writable for the full queue of `peer`: it is told when there is room.
    pub(super) fn await_relay(&mut self, key: SocketKey, peer: SocketKey) {
        let relays = &mut self.own(peer).waiters.get_or_insert_default().relays;
        if !relays.contains(&key) {
            relays.push(key);
        }
    }

    /// A socket no longer sends to `peer`, whose full queue may have kept it from polling writable.
    pub(super) fn leave_relay(&mut self, tickets: &mut Tickets, key: SocketKey, peer: SocketKey) {
        if let Some(waiters) = self.waiters_of(peer) {
            waiters.relays.retain(|relay| *relay != key);
        }
        self.wake_writable(tickets, key);
    }

    /// Something came to be read.
    pub(super) fn wake_readable(&mut self, tickets: &mut Tickets, key: SocketKey) {
        let memory = self.memory_waiter_goes_on(key);
        let Some(waiters) = self.waiters_of(key) else { return };
        waiters.readers.wake_all(tickets, READING);
        waiters.receivers.wake(tickets, READING);
        // MEM 11, more exactly: anything that wakes the socket's waiters lets a writer look again.
        if memory {
            waiters.memory.wake_all(tickets, ANYTHING);
        }
    }

    /// The socket polls writable again.
    pub(super) fn wake_writable(&mut self, tickets: &mut Tickets, key: SocketKey) {
        self.wake_for(tickets, key, WRITING);
    }

    /// Something came about that those who wait to write look at: room, or (nothing said) anything.
    fn wake_for(&mut self, tickets: &mut Tickets, key: SocketKey, brought: Readiness) {
        let memory = self.memory_waiter_goes_on(key);
        let Some(waiters) = self.waiters_of(key) else { return };
        waiters.writers.wake_all(tickets, brought);
        if brought.is_empty() {
            waiters.others.wake_all(tickets, ANYTHING);
        }
        waiters.receivers.wake_watches(tickets, brought);
        if memory {
            waiters.memory.wake_all(tickets, ANYTHING);
        }
    }

    /// An error is pending.
    pub(super) fn wake_error(&mut self, tickets: &mut Tickets, key: SocketKey) {
        let memory = self.memory_waiter_goes_on(key);
        let Some(waiters) = self.waiters_of(key) else { return };
        waiters.readers.wake_all(tickets, Readiness::ERR);
        waiters.receivers.wake(tickets, Readiness::ERR);
        waiters.writers.wake_all(tickets, Readiness::ERR);
        waiters.others.wake_all(tickets, Readiness::ERR);
        if memory {
            waiters.memory.wake_all(tickets, ANYTHING);
        }
    }

    /// Shutdown or the peer's close: everyone looks again.
    #[inline]
    pub(super) fn wake_state(&mut self, tickets: &mut Tickets, key: SocketKey) {
        if self.waiters_of(key).is_none() {
            return;
        }
        let memory = self.memory_waiter_goes_on(key);
        let Some(waiters) = self.waiters_of(key) else { return };
        waiters.readers.wake_all(tickets, ANYTHING);
        waiters.receivers.wake_all(tickets, ANYTHING);
        waiters.writers.wake_all(tickets, ANYTHING);
        waiters.others.wake_all(tickets, ANYTHING);
        if memory {
            waiters.memory.wake_all(tickets, ANYTHING);
        }
    }

    /// There is room for one: in the backlog (CONNECT 11), or in the receive queue (DSEND 6).
    #[inline]
    pub(super) fn wake_one_peer(&mut self, tickets: &mut Tickets, key: SocketKey) {
        if self.table.get(key).is_none_or(|socket| socket.waiters.is_none()) {
            return;
        }
        self.watch.touch(Part::Waiters(key), Touch::Write);
        self.tell_relays(tickets, key, WRITING);
        if let Some(waiters) = self.waiters_of(key) {
            waiters.peers.wake(tickets, ANYTHING);
        }
    }

    /// Close, or a larger backlog: all who wait for room look again.
    pub(super) fn wake_all_peers(&mut self, tickets: &mut Tickets, key: SocketKey) {
        self.watch.touch(Part::Waiters(key), Touch::Write);
        self.tell_relays(tickets, key, ANYTHING);
        if let Some(waiters) = self.waiters_of(key) {
            waiters.peers.wake_all(tickets, ANYTHING);
        }
    }

    /// Tells the sockets that wait to be told of room here, once. One that is closed is gone.
    fn tell_relays(&mut self, tickets: &mut Tickets, key: SocketKey, brought: Readiness) {
        let Some(waiters) = self.waiters_of(key) else { return };
        for relay in std::mem::take(&mut waiters.relays) {
            self.wake_for(tickets, relay, brought);
        }
    }

    #[inline]
    fn waiters_of(&mut self, key: SocketKey) -> Option<&mut Waiters> {
        self.table.get_mut(key)?.waiters.as_deref_mut()
    }
}
