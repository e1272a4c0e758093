//! Readiness, computed from the state whenever it is asked for (POLL).

use afunix::options::SO_SELECT_ERR_QUEUE;
use afunix::{Readiness, SocketType};

use super::socket::{Flags, State};
use super::waiting::WRITING;
use super::{Part, SocketKey, Sockets, Touch, stored};

impl Sockets {
    /// poll(2) for `events`, of which the result is not a part alone. Where OUT is asked for and
    /// only the peer's queue is full, the socket is told of room in it (POLL 2).
    pub fn poll(&mut self, key: SocketKey, events: Readiness) -> Readiness {
        if events.intersects(WRITING)
            && self.table[key].is_writable(self.profile.planted)
            && self.peer_is_full(key)
            && let Some(peer) = self.table[key].peer
        {
            self.await_relay(key, peer);
        }
        let ready = self.readiness(key);
        let asks_for_room = events.intersects(WRITING) && !ready.contains(Readiness::OUT);
        if asks_for_room && self.table[key].kind != SocketType::Stream {
            self.found_no_room(key);
        }
        ready
    }

    /// What there is now, of all events.
    pub fn readiness(&mut self, key: SocketKey) -> Readiness {
        self.touch_readiness(key);
        let socket = &self.table[key];
        let mut ready = Readiness::empty();
        if socket.error.is_some() {
            ready |= Readiness::ERR;
            // The one stored option that shows: not on a stream.
            if socket.kind != SocketType::Stream
                && stored::is_on(socket.rare.as_deref(), SO_SELECT_ERR_QUEUE)
            {
                ready |= Readiness::PRI;
            }
        }
        if socket.flags.contains(Flags::SHUT) {
            ready |= Readiness::HUP;
        }
        if socket.flags.contains(Flags::SHUT_READ) {
            ready |= Readiness::RDHUP | Readiness::IN | Readiness::RDNORM;
        }
        if !socket.queue.is_empty() || !socket.backlog.is_empty() {
            ready |= Readiness::IN | Readiness::RDNORM;
        }
        if socket.queue.is_marked() {
            ready |= Readiness::PRI;
        }
        if socket.kind != SocketType::Datagram && socket.state == State::Closed {
            ready |= Readiness::HUP;
        }
        if socket.is_writable(self.profile.planted) && !self.peer_is_full(key) {
            ready |= Readiness::OUT | Readiness::WRNORM | Readiness::WRBAND;
        }
        ready
    }

    /// POLL 2: a datagram socket's peer that is not connected back has no room. A closed one has.
    fn peer_is_full(&self, key: SocketKey) -> bool {
        let socket = &self.table[key];
        if socket.is_connection() {
            return false;
        }
        let peer = socket.peer.and_then(|peer| self.living(peer));
        peer.is_some_and(|peer| peer.peer != Some(key) && peer.queue_is_full())
    }

    fn touch_readiness(&mut self, key: SocketKey) {
        if !self.watch.touching {
            return;
        }
        let socket = &self.table[key];
        let peer = socket.peer.filter(|_| !socket.is_connection());
        let listens = socket.state == State::Listening;
        self.watch.touch(Part::State(key), Touch::Read);
        self.watch
            .touch(if listens { Part::Backlog(key) } else { Part::Receive(key) }, Touch::Read);
        self.watch.touch(Part::SendMemory(key), Touch::Read);
        if let Some(peer) = peer {
            self.watch.touch(Part::Receive(peer), Touch::Read);
            self.watch.touch(Part::State(peer), Touch::Read);
        }
    }
}
