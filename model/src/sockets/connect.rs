//! listen, accept and connect for connections (LISTEN, CONNECT), connect for datagrams (DGCONN).

use afunix::{Errno, SocketType};

use super::call::{Caller, Cause, Destination, Stop, Waiting};
use super::socket::{Backlog, Flags, Socket, State};
use super::{Part, SocketKey, Sockets, Touch, WaitReason};
use crate::profile::Planted;
use crate::wait::Tickets;

impl Sockets {
    /// listen(2): EOPNOTSUPP for a datagram socket, EINVAL if not bound or connected (LISTEN 1).
    /// Records the caller as the peer that clients will see (LISTEN 3).
    pub fn listen(
        &mut self,
        tickets: &mut Tickets,
        caller: &Caller<'_>,
        key: SocketKey,
        backlog: i32,
    ) -> Result<(), Errno> {
        self.watch.touch(Part::State(key), Touch::Write);
        let somaxconn = self.profile.somaxconn;
        let socket = self.own(key);
        if !socket.is_connection() {
            return Err(Errno::OPNOTSUPP);
        }
        if socket.bound.is_none() || socket.state == State::Established {
            return Err(Errno::INVAL);
        }
        // LISTEN 2: as unsigned, so -1 is the most there can be.
        let backlog = (backlog as u32).min(somaxconn);
        let grew = backlog > socket.queue_limit;
        socket.queue_limit = backlog;
        socket.state = State::Listening;
        socket.set_peer_credentials(caller.ucred(), caller.groups);
        if grew {
            self.wake_all_peers(tickets, key);
        }
        Ok(())
    }

    /// accept(2): takes the first connection of the backlog. In order: EOPNOTSUPP for datagram,
    /// EINVAL if not listening, then waits, or EAGAIN (LISTEN 4, 5). Look for a free descriptor
    /// number first.
    pub fn accept(
        &mut self,
        tickets: &mut Tickets,
        key: SocketKey,
        nonblocking: bool,
        cause: Cause,
    ) -> Result<SocketKey, Stop> {
        self.watch.touch(Part::State(key), Touch::Read);
        self.watch.touch(Part::Backlog(key), Touch::Write);
        let socket = self.own(key);
        if !socket.is_connection() {
            return Err(Errno::OPNOTSUPP.into());
        }
        if socket.state != State::Listening {
            return Err(Errno::INVAL.into());
        }
        let Some(accepted) = socket.backlog.pop_front() else {
            // LISTEN 5: only one that would wait learns of the shutdown.
            return Err(
                match self.await_message(key, nonblocking, cause, WaitReason::Connection) {
                    Stop::Error(Errno::NODATA) => Errno::INVAL.into(),
                    stop => stop,
                },
            );
        };
        let connection = &mut self.table[accepted];
        connection.flags.remove(Flags::PENDING);
        connection.listener = None;
        self.watch.touch(Part::State(accepted), Touch::Write);
        self.carry_accepted(key, accepted);
        self.wake_one_peer(tickets, key);
        Ok(accepted)
    }

    /// Whether [`Sockets::accept`] finds a connection.
    pub(crate) fn has_connection(&self, key: SocketKey) -> bool {
        !self.table[key].backlog.is_empty()
    }

    /// What a receiver of messages or connections does that found none: EAGAIN, EINTR, wait; or,
    /// where it would wait, ENODATA for the end of file.
    pub(super) fn await_message(
        &mut self,
        key: SocketKey,
        nonblocking: bool,
        cause: Cause,
        reason: WaitReason,
    ) -> Stop {
        let timeout = self.receive_timeout(key);
        if nonblocking || timeout.is_some_and(|time| time.is_zero()) || cause == Cause::TimedOut {
            return Errno::AGAIN.into();
        }
        if let Err(error) = self.take_pending(key) {
            return error.into();
        }
        if self.own(key).flags.contains(Flags::SHUT_READ) {
            return Errno::NODATA.into();
        }
        if cause == Cause::Interrupted {
            return Errno::INTR.into();
        }
        let part = match reason {
            WaitReason::Connection => Part::Backlog(key),
            _ => Part::Receive(key),
        };
        self.watch.touch(part, Touch::Awaits);
        self.watch.touch(Part::State(key), Touch::Awaits);
        Stop::Wait(Waiting { reason, socket: key, timeout, anew: false })
    }

    /// connect(2): for stream and seqpacket in the order of CONNECT, for datagram that of DGCONN.
    /// `to` is what a well-formed address names, looked up anew at every attempt.
    pub fn connect(
        &mut self,
        tickets: &mut Tickets,
        caller: &Caller<'_>,
        key: SocketKey,
        to: &Destination<'_>,
        nonblocking: bool,
        cause: Cause,
    ) -> Result<(), Stop> {
        self.autobind_if_identifying(key)?;
        if self.own(key).kind == SocketType::Datagram {
            return Ok(self.connect_datagram(tickets, key, to)?);
        }
        if cause == Cause::Interrupted {
            return Err(Errno::INTR.into());
        }
        // CONNECT 2: before the look-up.
        self.room_for(1)?;
        let listener = self.find(key, to)?;
        self.watch.touch(Part::State(listener), Touch::Read);
        let listening = &self.table[listener];
        if listening.state != State::Listening || listening.flags.contains(Flags::SHUT_READ) {
            return Err(Errno::CONNREFUSED.into());
        }
        if listening.backlog_is_full(self.profile.planted) {
            self.watch.touch(Part::Backlog(listener), Touch::Read);
            return Err(self.await_backlog(key, listener, nonblocking, cause));
        }
        self.watch.touch(Part::State(key), Touch::Write);
        // CONNECT 6: the caller's own state comes last.
        match self.own(key).state {
            State::Established => return Err(Errno::ISCONN.into()),
            State::Listening => return Err(Errno::INVAL.into()),
            State::Closed => {}
        }
        self.make_connection(caller, key, listener);
        self.wake_readable(tickets, listener);
        self.alert_arrival(listener);
        Ok(())
    }

    /// CONNECT 5.
    fn await_backlog(
        &mut self,
        key: SocketKey,
        listener: SocketKey,
        nonblocking: bool,
        cause: Cause,
    ) -> Stop {
        let timeout = self.send_timeout(key);
        if nonblocking || timeout.is_some_and(|time| time.is_zero()) || cause == Cause::TimedOut {
            return Errno::AGAIN.into();
        }
        self.watch.touch(Part::Backlog(listener), Touch::Awaits);
        self.watch.touch(Part::State(listener), Touch::Awaits);
        let reason = WaitReason::Backlog;
        Stop::Wait(Waiting { reason, socket: listener, timeout, anew: false })
    }

    /// Makes the end that will be accepted and puts it into the backlog.
    fn make_connection(&mut self, caller: &Caller<'_>, key: SocketKey, listener: SocketKey) {
        let kind = self.table[key].kind;
        // The new end belongs to the connecting caller until it is accepted; its wait queues fill
        // only then.
        let end = self.create(caller, kind);
        let [client, server, listening] = self
            .table
            .get_disjoint_mut([key, end, listener])
            .expect("a client, its new peer and the listener are three sockets");
        server.connect_to(key);
        server.set_peer_credentials(caller.ucred(), caller.groups);
        server.flags.insert(Flags::PENDING);
        server.listener = Some(listener);
        server.netns = client.netns;
        server.flags = (server.flags - Flags::INHERITED) | (listening.flags & Flags::INHERITED);
        server.bound = listening.bound.clone();
        client.connect_to(end);
        // CONNECT 8: what listen recorded.
        client.peer_credentials = listening.peer_credentials;
        copy_groups(listening, client);
        listening.backlog.push_back(end);
        self.watch.touch(Part::Backlog(listener), Touch::Write);
    }

    /// The datagram part of connect(2).
    fn connect_datagram(
        &mut self,
        tickets: &mut Tickets,
        key: SocketKey,
        to: &Destination<'_>,
    ) -> Result<(), Errno> {
        let other = self.find(key, to)?;
        self.watch.touch(Part::State(key), Touch::Write);
        self.watch.touch(Part::State(other), Touch::Read);
        // DGCONN 2: it is connected to somebody else.
        if self.table[other].peer.is_some_and(|peer| peer != key) {
            return Err(Errno::PERM);
        }
        let old = self.own(key).peer;
        self.set_peer(key, Some(other));
        self.table[other].established = true;
        if let Some(old) = old {
            self.left_peer(tickets, key, old, old != other);
        }
        Ok(())
    }

    /// connect(2) of a datagram socket with AF_UNSPEC: takes its peer away, if it has one (DGCONN
    /// 1, 3).
    pub fn disconnect(&mut self, tickets: &mut Tickets, key: SocketKey) {
        self.watch.touch(Part::State(key), Touch::Write);
        if let Some(old) = self.own(key).peer {
            self.set_peer(key, None);
            self.left_peer(tickets, key, old, true);
        }
    }

    /// Changes whom a datagram socket sends to.
    pub(super) fn set_peer(&mut self, key: SocketKey, peer: Option<SocketKey>) {
        if let Some(peer) = peer {
            self.table[peer].pointed_at += 1;
        }
        let socket = &mut self.table[key];
        socket.established &= peer.is_some() || socket.peer.is_none();
        socket.state = if peer.is_some() { State::Established } else { State::Closed };
        if let Some(old) = std::mem::replace(&mut socket.peer, peer) {
            self.let_go(old);
        }
    }

    /// One reference less to a socket that was somebody's peer.
    #[inline]
    pub(super) fn let_go(&mut self, peer: SocketKey) {
        let Some(socket) = self.table.get_mut(peer) else { return };
        socket.pointed_at -= 1;
        if socket.is_dead() && socket.pointed_at == 0 {
            self.free_if_unused(peer);
        }
    }

    /// What follows from no longer being connected to `old`.
    fn left_peer(&mut self, tickets: &mut Tickets, key: SocketKey, old: SocketKey, purge: bool) {
        self.leave_relay(tickets, key, old);
        if !purge {
            return;
        }
        self.purge_after_disconnect(tickets, key, old);
        if let Some(old) = self.living_mut(old).filter(|old| old.peer.is_none()) {
            old.established = false;
        }
    }

    /// DGCONN 3: messages of the old peer are lost, and it is told if it was connected back.
    pub(super) fn purge_after_disconnect(
        &mut self,
        tickets: &mut Tickets,
        key: SocketKey,
        old: SocketKey,
    ) {
        self.watch.touch(Part::Receive(key), Touch::Write);
        let planted = self.profile.planted.contains(Planted::RECONNECT_KEEPS_QUEUE);
        if self.own(key).queue.is_empty() || planted {
            return;
        }
        let files: usize = self.own(key).queue.iter().map(|buffer| buffer.files().len()).sum();
        if files > 0 {
            self.table[key].rare_mut().lost_files += files;
        }
        self.purge_queue(tickets, key);
        self.wake_all_peers(tickets, key);
        if let Some(old_peer) = self.living_mut(old).filter(|old| old.peer == Some(key)) {
            old_peer.error = Some(Errno::CONNRESET);
            self.watch.touch(Part::State(old), Touch::Write);
            self.wake_error(tickets, old);
            self.alert_error(old);
        }
    }

    /// Empties a receive queue: memory goes back to the senders, files are dropped.
    pub(super) fn purge_queue(&mut self, tickets: &mut Tickets, key: SocketKey) {
        if self.table[key].queue.is_empty() {
            self.table[key].queue.input = 0;
            return;
        }
        while let Some(buffer) = self.table[key].queue.pop() {
            self.drop_files(key, &buffer);
            self.uncharge(tickets, buffer.from, buffer.charge);
        }
        self.table[key].queue.input = 0;
    }

    /// Takes the connections out of a backlog.
    pub(super) fn take_backlog(&mut self, key: SocketKey) -> Backlog {
        std::mem::take(&mut self.table[key].backlog)
    }
}

fn copy_groups(from: &Socket, to: &mut Socket) {
    let groups = from.rare.as_ref().map(|rare| rare.peer_groups.clone());
    if groups.as_ref().is_some_and(|groups| !groups.is_empty()) || to.rare.is_some() {
        to.rare_mut().peer_groups = groups.unwrap_or_default();
    }
}
