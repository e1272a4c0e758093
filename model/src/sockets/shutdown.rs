//! shutdown and the last close (SHUT).

use afunix::Errno;

use super::buffer::Queue;
use super::socket::{Backlog, Flags, Rare, State};
use super::{Flow, Part, SocketKey, Sockets, Touch};
use crate::profile::Planted;
use crate::wait::Tickets;

impl Queue {
    /// Whether closing with this in the queue resets the peer: a leading consumed placeholder, or a
    /// leading empty record, does not count (SHUT 4).
    fn is_unread(&self) -> bool {
        self.get(0).is_some_and(|first| first.len > 0) || self.len() > 1
    }
}

impl Sockets {
    /// shutdown(2): EINVAL if `how` is outside 0..=2 (SHUT 1, 2).
    pub fn shutdown(
        &mut self,
        tickets: &mut Tickets,
        key: SocketKey,
        how: i32,
    ) -> Result<(), Errno> {
        let (own, mirrored) = match how {
            0 => (Flags::SHUT_READ, Flags::SHUT_WRITE),
            1 => (Flags::SHUT_WRITE, Flags::SHUT_READ),
            2 => (Flags::SHUT, Flags::SHUT),
            _ => return Err(Errno::INVAL),
        };
        self.watch.touch(Part::State(key), Touch::Write);
        let socket = self.own(key);
        socket.flags |= own;
        let peer = socket.peer.filter(|_| socket.is_connection());
        self.wake_state(tickets, key);
        if let Some(peer) = peer
            && !self.profile.planted.contains(Planted::SHUTDOWN_STAYS_LOCAL)
            && let Some(other) = self.living_mut(peer)
        {
            other.flags |= mirrored;
            self.watch.touch(Part::State(peer), Touch::Write);
            self.wake_state(tickets, peer);
            if own.contains(Flags::SHUT_WRITE) {
                // POLL 7: not that it reads no more.
                self.alert_arrival(peer);
            }
        }
        Ok(())
    }

    /// The last close. Afterwards drain the dropped files, then [`Sockets::collect`] once.
    pub fn release(&mut self, tickets: &mut Tickets, key: SocketKey) {
        let backlog = self.close(tickets, key, false);
        for connection in backlog.iter() {
            self.close(tickets, connection, true);
        }
    }

    /// Closes one socket; returns the connections that waited at it. `in_backlog`: it was such a
    /// one, and its peer is reset whatever was read (SHUT 4).
    fn close(&mut self, tickets: &mut Tickets, key: SocketKey, in_backlog: bool) -> Backlog {
        self.unbind(key);
        self.watch.touch(Part::State(key), Touch::Write);
        self.watch.touch(Part::Receive(key), Touch::Write);
        let socket = self.own(key);
        let unread = socket.queue.is_unread() || in_backlog;
        socket.flags.insert(Flags::DEAD);
        // It may be its own peer, or the sender of what it did not read: nothing may free it before
        // the end.
        socket.pointed_at += 1;
        socket.flags.insert(Flags::SHUT);
        socket.state = State::Closed;
        let peer = socket.peer.take();
        let is_connection = socket.is_connection();
        self.wake_all_peers(tickets, key);
        if let Some(peer) = peer {
            if is_connection {
                self.peer_closes(tickets, peer, unread);
            }
            self.let_go(peer);
        }
        self.purge_queue(tickets, key);
        let backlog = self.take_backlog(key);
        for connection in backlog.iter() {
            self.table[connection].listener = None;
            self.carry_accepted(key, connection);
        }
        let socket = &mut self.table[key];
        debug_assert_eq!(socket.carried, 0, "an empty queue carries no socket");
        let id = socket.id;
        socket.waiters = None;
        // A filter goes on keeping messages out (DSEND 1); all else is forgotten.
        let filter = socket.rare.take().and_then(|rare| rare.filter);
        socket.rare =
            filter.map(|filter| Box::new(Rare { filter: Some(filter), ..Rare::default() }));
        self.watch.flow(Flow::Freed { socket: id });
        self.let_go(key);
        backlog
    }

    /// SHUT 4: the other end of a connection is gone.
    fn peer_closes(&mut self, tickets: &mut Tickets, key: SocketKey, unread: bool) {
        let keep = self.profile.planted.contains(Planted::CLOSE_NEVER_RESETS);
        let Some(socket) = self.living_mut(key) else { return };
        socket.flags.insert(Flags::SHUT);
        if unread && !keep {
            socket.error = Some(Errno::CONNRESET);
        }
        self.watch.touch(Part::State(key), Touch::Write);
        if !self.profile.planted.contains(Planted::LOSES_CLOSE_WAKES) {
            self.wake_state(tickets, key);
        }
        self.alert_arrival(key);
    }
}
