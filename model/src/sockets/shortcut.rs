//! The short way of the commonest calls: one buffer sent to a peer, with a file or without, one
//! received, on a connected socket to which nothing unusual has happened, and the close of such a
//! one.
//!
//! A shortcut does what the general way (`send`, `receive`) would do, or, where anything at all is
//! unusual, nothing: `None` leaves the call to the general way. It records no flows, and not all
//! touches; whoever wants those does not ask for it. A test drives two machines, one without
//! shortcuts, through the same calls and compares everything that they hold.

use afunix::SocketType;

use super::buffer::{Buffer, NO_CREDENTIALS, Rider};
use super::call::{Attachment, Caller, Receiving};
use super::send::DATAGRAM_RESERVE;
use super::socket::{Flags, Socket, State};
use super::{SocketKey, Sockets};
use crate::wait::Tickets;

impl Socket {
    /// Nothing is pending, shut or asked for that a send or a receive would have to look at.
    #[inline(always)]
    fn is_undisturbed(&self) -> bool {
        const UNUSUAL: Flags =
            Flags::IDENTIFY.union(Flags::SHUT).union(Flags::PENDING).union(Flags::DEAD);
        !self.flags.intersects(UNUSUAL) && self.error.is_none() && self.alerts().is_none()
    }

    /// Nobody ever waited at it, nor asked to be told by a signal.
    #[inline(always)]
    fn tells_nobody(&self) -> bool {
        self.waiters.is_none() && self.rare.is_none()
    }
}

impl Sockets {
    /// Sends `bytes` to the peer as one message buffer, or as several of a stream, the first of
    /// which carries a file of the caller's if there is one. Returns how many were sent; then the
    /// file has one more reference in flight.
    #[inline(always)]
    pub(crate) fn send_shortcut(
        &mut self,
        tickets: &mut Tickets,
        key: SocketKey,
        bytes: &[u8],
        carried: Option<(&Caller<'_>, Attachment)>,
    ) -> Option<usize> {
        match self.profile.small_charge(bytes.len()) {
            Some(charge) => self.send_buffer(tickets, key, bytes, charge, carried),
            None => self.send_large(tickets, key, bytes, carried),
        }
    }

    /// Sends one buffer with this charge.
    #[inline(always)]
    fn send_buffer(
        &mut self,
        tickets: &mut Tickets,
        key: SocketKey,
        bytes: &[u8],
        charge: u32,
        carried: Option<(&Caller<'_>, Attachment)>,
    ) -> Option<usize> {
        if let Some((caller, file)) = &carried {
            self.may_carry(caller, std::slice::from_ref(file)).ok()?;
        }
        let socket = self.table.get(key)?;
        if !socket.is_undisturbed() || socket.send_memory >= socket.send_buffer {
            return None;
        }
        let to = socket.peer?;
        let peer = self.table.get_mut(to)?;
        let has_room = match peer.peer {
            // DSEND 4: the peer's own peer is never kept out.
            Some(other) => other == key,
            None => !peer.queue_is_full(),
        };
        let takes = has_room && peer.is_undisturbed() && peer.rare.is_none();
        let takes_files = carried.is_none() || peer.flags.contains(Flags::PASSRIGHTS);
        if !takes || !takes_files || bytes.is_empty() {
            return None;
        }
        let is_awaited = peer.waiters.is_some();
        let buffer = Buffer::new(key, bytes.len() as u32, charge);
        match carried {
            None => peer.queue.push_one(buffer, bytes),
            Some((caller, file)) => {
                let (user, files) = (caller.uid.real, [file]);
                let (credentials, stamp) = (NO_CREDENTIALS, None);
                let rider = Rider { credentials, user, stamp, files: files.into() };
                peer.queue.push_one(buffer.with(rider), bytes);
                self.enter_flight(to, user, &files);
            }
        }
        self.table[key].send_memory += charge;
        if is_awaited {
            self.wake_readable(tickets, to);
        }
        Some(bytes.len())
    }

    /// Sends more than the least allocation holds, if there is memory for all of it.
    #[inline(never)]
    fn send_large(
        &mut self,
        tickets: &mut Tickets,
        key: SocketKey,
        bytes: &[u8],
        mut carried: Option<(&Caller<'_>, Attachment)>,
    ) -> Option<usize> {
        let socket = self.table.get(key)?;
        let (send_buffer, mut memory) = (socket.send_buffer, socket.send_memory);
        if socket.kind != SocketType::Stream {
            if bytes.len() as u64 > u64::from(send_buffer - DATAGRAM_RESERVE) {
                return None;
            }
            let charge = self.profile.datagram_charge(bytes.len()).ok()?;
            return self.send_buffer(tickets, key, bytes, charge, carried);
        }
        let mut left = bytes.len();
        while left > 0 {
            if memory >= send_buffer {
                return None;
            }
            let size = self.profile.stream_size(left, send_buffer);
            memory += size.charge;
            left -= size.bytes;
        }
        let mut left = bytes;
        while !left.is_empty() {
            let size = self.profile.stream_size(left.len(), send_buffer);
            let (buffer, rest) = left.split_at(size.bytes);
            let sent = self.send_buffer(tickets, key, buffer, size.charge, carried.take());
            if sent.is_none() {
                assert_eq!(left.len(), bytes.len(), "whoever takes one buffer takes the next");
                return None;
            }
            left = rest;
        }
        Some(bytes.len())
    }

    /// Receives several buffers of a stream, whole ones and all that there is to be received.
    #[inline(never)]
    fn receive_long(
        &mut self,
        tickets: &mut Tickets,
        key: SocketKey,
        room: &mut [u8],
    ) -> Option<usize> {
        let socket = self.table.get(key)?;
        let from = socket.queue.first()?.from;
        let (mut count, mut buffers) = (0, 0);
        for buffer in socket.queue.iter() {
            if count == room.len() {
                break;
            }
            count += buffer.len as usize;
            buffers += 1;
            if !buffer.is_plain() || buffer.from != from || count > room.len() {
                return None;
            }
        }
        if count < room.len() && count < socket.receive_low as usize {
            return None;
        }
        let mut start = 0;
        for _ in 0..buffers {
            let end = start + self.table[key].queue.first()?.len as usize;
            let received = self.receive_shortcut(tickets, key, &mut room[start..end], None);
            if received.is_none() {
                assert_eq!(start, 0, "of one sender one buffer is received as the other");
                return None;
            }
            start = end;
        }
        Some(count)
    }

    /// Receives the first message buffer, or of a stream a part of it, if that is all that there is
    /// to be received. Returns how many bytes. What `receiving` gets is to be delivered; without
    /// it, there is nothing but bytes.
    #[inline(always)]
    pub(crate) fn receive_shortcut(
        &mut self,
        tickets: &mut Tickets,
        key: SocketKey,
        room: &mut [u8],
        receiving: Option<&mut Receiving>,
    ) -> Option<usize> {
        let socket = self.table.get(key)?;
        let is_ready = socket.state == State::Established || !socket.is_connection();
        if !is_ready || !socket.is_undisturbed() || socket.peek_offset > 0 || room.is_empty() {
            return None;
        }
        let first = socket.queue.first()?;
        let (whole, from, charge) = (first.len as usize, first.from, first.charge);
        let count = whole.min(room.len());
        let carries = receiving.is_some() && first.carries();
        if !first.is_plain() && !carries {
            return None;
        }
        // Cut messages are told of, as is their time; files go with the first part of a buffer.
        if receiving.is_some() && (count < whole || socket.rare.is_some()) {
            return None;
        }
        if socket.kind == SocketType::Stream {
            // A read goes on to the next buffer, or waits for more, but never past files.
            let is_last = count >= socket.receive_low as usize && socket.queue.len() == 1;
            let is_satisfied = is_last || carries;
            if count < room.len() && !is_satisfied {
                let is_more = receiving.is_none() && socket.queue.len() > 1;
                return if is_more { self.receive_long(tickets, key, room) } else { None };
            }
            if count < whole {
                self.table[key].queue.read_one(&mut room[..count]);
                return Some(count);
            }
        }
        let has_waiters = socket.waiters.is_some();
        let sender = self.table.get_mut(from)?;
        if sender.alerts().is_some() {
            return None;
        }
        let tells = sender.is_dead() || sender.waiters.is_some();
        if !tells {
            sender.send_memory -= charge;
        }
        if has_waiters && self.table[key].kind != SocketType::Stream {
            self.wake_one_peer(tickets, key);
        }
        if let Some(receiving) = receiving
            && let Some(rider) = self.table[key].queue.take_rider()
        {
            receiving.files = rider.files;
            self.leave_flight(key, rider.user, &receiving.files);
        }
        self.table[key].queue.pop_one(&mut room[..count]);
        if tells {
            self.uncharge(tickets, from, charge);
        }
        Some(count)
    }

    /// The last close of a socket that has nothing to be received, no name of its own, and neither
    /// itself nor at its peer anybody to tell. No files in flight must be looked for afterwards.
    pub(crate) fn close_shortcut(&mut self, key: SocketKey) -> Option<()> {
        let socket = self.table.get(key)?;
        let has_nothing = socket.queue.is_empty() && socket.backlog.is_none();
        if !has_nothing || !socket.tells_nobody() || socket.holds_name || self.may_have_cycles() {
            return None;
        }
        if !socket.is_connection() {
            return None;
        }
        if let Some(to) = socket.peer {
            let peer = self.table.get_mut(to)?;
            if !peer.is_dead() {
                if !peer.tells_nobody() {
                    return None;
                }
                peer.flags.insert(Flags::SHUT);
            }
            self.let_go(to);
        }
        let socket = &mut self.table[key];
        if socket.pointed_at == 0 && socket.send_memory == 0 {
            self.table.remove(key);
            return Some(());
        }
        // A peer or a message refers to it.
        socket.flags.insert(Flags::DEAD);
        socket.flags.insert(Flags::SHUT);
        socket.state = State::Closed;
        socket.peer = None;
        socket.queue.input = 0;
        Some(())
    }
}
