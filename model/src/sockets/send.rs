//! The send calls: SSEND, DSEND, QSEND.

use afunix::{Capabilities, Errno, SendFlags, SocketType};

use super::buffer::{Buffer, NO_CREDENTIALS, Rider, Source};
use super::call::{Caller, Cause, Outgoing, Parked, SendTo, Sending, Stop, Waiting};
use super::memory::Size;
use super::socket::{Flags, State};
use super::{Attachment, Attachments, Flow, Part, SocketKey, Sockets, Touch, WaitReason};
use crate::profile::Planted;
use crate::wait::Tickets;

/// Bytes of SO_SNDBUF that a datagram may not use (MEM 4).
pub(super) const DATAGRAM_RESERVE: u32 = 32;

/// One message buffer about to be queued.
struct Push {
    from: SocketKey,
    to: SocketKey,
    size: Size,
    files: Attachments,
    urgent: bool,
    /// Its charge stands with the sender already.
    is_charged: bool,
}

impl Sockets {
    /// The send calls, in the order of SSEND, DSEND or QSEND: returns the bytes sent. `sending`
    /// goes with the call over all its attempts, and through [`Sockets::finish_send`] when it ends.
    pub fn send(
        &mut self,
        tickets: &mut Tickets,
        caller: &Caller<'_>,
        key: SocketKey,
        out: &Outgoing<'_, '_>,
        sending: &mut Sending,
        cause: Cause,
    ) -> Result<usize, Stop> {
        self.watch.touch(Part::State(key), Touch::Read);
        match self.own(key).kind {
            SocketType::Stream => self.send_stream(tickets, caller, key, out, sending, cause),
            SocketType::Datagram => {
                self.send_message(tickets, caller, key, &out.to, out, sending, cause)
            }
            SocketType::Seqpacket => {
                if sending.waited_at.is_none() {
                    self.before_control(key)?;
                }
                // QSEND 1: any address is ignored.
                self.send_message(tickets, caller, key, &SendTo::Peer, out, sending, cause)
            }
        }
    }

    /// What is looked at before the control data of sendmsg, and only on seqpacket: a pending
    /// error, which is cleared, and ENOTCONN (QSEND 1). Ask before [`super::parse_control`].
    pub fn before_control(&mut self, key: SocketKey) -> Result<(), Errno> {
        self.watch.touch(Part::State(key), Touch::Read);
        if self.own(key).kind != SocketType::Seqpacket {
            return Ok(());
        }
        self.take_pending(key)?;
        if self.own(key).state == State::Established { Ok(()) } else { Err(Errno::NOTCONN) }
    }

    /// Ends a send, whatever came of it: files that were not queued are dropped, and so is a
    /// message that waited for room.
    #[inline]
    pub fn finish_send(&mut self, tickets: &mut Tickets, sending: &mut Sending) {
        if let Some(parked) = sending.parked.take() {
            self.table[parked.sender].parked -= parked.charge;
            self.uncharge(tickets, parked.sender, parked.charge);
        }
        if !sending.files.is_empty() {
            self.dropped.extend(sending.files.drain(..).rev());
        }
    }

    fn send_stream(
        &mut self,
        tickets: &mut Tickets,
        caller: &Caller<'_>,
        key: SocketKey,
        out: &Outgoing<'_, '_>,
        sending: &mut Sending,
        cause: Cause,
    ) -> Result<usize, Stop> {
        let urgent = out.flags.contains(SendFlags::OOB);
        let len = Source::len(out.data);
        if sending.waited_at.is_none() {
            self.stream_may_send(key, out, len, sending)?;
        }
        let result = self.send_buffers(tickets, caller, key, out, len, urgent, sending, cause);
        match result {
            Ok(()) => Ok(sending.progress),
            // SSEND 12: what was queued counts more than the error.
            Err(Stop::Error(_)) if sending.progress > 0 => Ok(sending.progress),
            Err(stop) => Err(stop),
        }
    }

    /// SSEND 2 to 5.
    fn stream_may_send(
        &mut self,
        key: SocketKey,
        out: &Outgoing<'_, '_>,
        len: usize,
        sending: &mut Sending,
    ) -> Result<(), Errno> {
        if out.flags.contains(SendFlags::OOB) && len == 0 {
            return Err(Errno::OPNOTSUPP);
        }
        let socket = self.own(key);
        if !matches!(out.to, SendTo::Peer) {
            let connected = socket.state == State::Established;
            return Err(if connected { Errno::ISCONN } else { Errno::OPNOTSUPP });
        }
        if socket.peer.is_none() {
            return Err(Errno::NOTCONN);
        }
        if socket.flags.contains(Flags::SHUT_WRITE) {
            sending.sigpipe = !out.flags.contains(SendFlags::NOSIGNAL);
            return Err(Errno::PIPE);
        }
        Ok(())
    }

    /// SSEND 7 to 12: queues buffer after buffer, and an out-of-band byte as one of its own (OOB
    /// 1).
    #[expect(clippy::too_many_arguments, reason = "one call's arguments, handed on")]
    fn send_buffers(
        &mut self,
        tickets: &mut Tickets,
        caller: &Caller<'_>,
        key: SocketKey,
        out: &Outgoing<'_, '_>,
        len: usize,
        urgent: bool,
        sending: &mut Sending,
        mut cause: Cause,
    ) -> Result<(), Stop> {
        let nonblocking = out.nonblocking || out.flags.contains(SendFlags::DONTWAIT);
        let body = len - usize::from(urgent);
        let mut source = Source::new(out.data, sending.progress);
        while sending.progress < len {
            // MEM 5: how long a buffer is was fixed before the wait for its memory.
            if sending.waited_at != Some(sending.progress) {
                sending.sized_by = self.own(key).send_buffer;
            }
            if let Err(stop) = self.await_memory(key, nonblocking, cause) {
                return Err(at_memory(stop, sending));
            }
            if cause == Cause::TimedOut {
                // SSEND 14: each buffer has a time of its own.
                cause = Cause::Run;
            }
            let is_mark = sending.progress == body;
            let size = if is_mark {
                Size { bytes: 1, charge: self.profile.stream_size(1, u32::MAX).charge }
            } else {
                self.profile.stream_size(body - sending.progress, sending.sized_by)
            };
            let aimed = self.aim_buffer(caller, key, &source, size, &sending.files);
            let (size, to) = aimed.inspect_err(|error| {
                self.tell_freed(tickets, key);
                // SSEND 13: not for the out-of-band byte.
                if *error == Errno::PIPE && !is_mark && sending.progress == 0 {
                    sending.sigpipe = !out.flags.contains(SendFlags::NOSIGNAL);
                }
            })?;
            let files = std::mem::take(&mut sending.files);
            let push = Push { from: key, to, size, files, urgent: is_mark, is_charged: false };
            self.push(tickets, caller, push, sending, &mut source);
            sending.progress += size.bytes;
        }
        Ok(())
    }

    /// SSEND 9 to 11: what is looked at once there is memory for a buffer.
    fn aim_buffer(
        &mut self,
        caller: &Caller<'_>,
        key: SocketKey,
        source: &Source<'_, '_>,
        size: Size,
        files: &[Attachment],
    ) -> Result<(Size, SocketKey), Errno> {
        self.may_carry(caller, files)?;
        let size = self.readable(source, size)?;
        Ok((size, self.stream_peer(key, files)?))
    }

    /// SSEND 10, 11: the peer, if it still takes what is sent.
    fn stream_peer(&mut self, key: SocketKey, files: &[Attachment]) -> Result<SocketKey, Errno> {
        let Some(peer) = self.table[key].peer else {
            panic!("a stream socket that was connected has its peer for ever");
        };
        self.watch.touch(Part::State(peer), Touch::Read);
        let Some(other) = self.living(peer) else { return Err(Errno::PIPE) };
        if other.flags.contains(Flags::SHUT_READ) {
            return Err(Errno::PIPE);
        }
        if !files.is_empty() && !other.flags.contains(Flags::PASSRIGHTS) {
            return Err(Errno::PERM);
        }
        Ok(peer)
    }

    /// SSEND 9: EFAULT drops the whole buffer.
    fn readable(&self, source: &Source<'_, '_>, size: Size) -> Result<Size, Errno> {
        let readable = source.readable(size.bytes);
        if readable == size.bytes {
            return Ok(size);
        }
        if readable > 0 && self.profile.planted.contains(Planted::FAULT_SENDS_PARTIAL_BUFFER) {
            return Ok(Size { bytes: readable, charge: size.charge });
        }
        Err(Errno::FAULT)
    }

    /// CMSG 4: a user has too much in flight already.
    #[inline]
    pub(super) fn may_carry(
        &mut self,
        caller: &Caller<'_>,
        files: &[Attachment],
    ) -> Result<(), Errno> {
        let is_free = Capabilities::SYS_RESOURCE | Capabilities::SYS_ADMIN;
        if files.is_empty() || caller.has(is_free) {
            return Ok(());
        }
        self.watch.touch(Part::InFlight, Touch::Read);
        let in_flight = self.in_flight_of_user.get(&caller.uid.real).copied().unwrap_or(0);
        let allowed = caller.descriptor_limit as usize;
        if in_flight > allowed { Err(Errno::TOOMANYREFS) } else { Ok(()) }
    }

    /// DSEND 1, also for records (QSEND 1).
    #[expect(clippy::too_many_arguments, reason = "one call's arguments, handed on")]
    fn send_message(
        &mut self,
        tickets: &mut Tickets,
        caller: &Caller<'_>,
        key: SocketKey,
        to: &SendTo<'_>,
        out: &Outgoing<'_, '_>,
        sending: &mut Sending,
        cause: Cause,
    ) -> Result<usize, Stop> {
        let len = Source::len(out.data);
        let nonblocking = out.nonblocking || out.flags.contains(SendFlags::DONTWAIT);
        let is_new = sending.parked.is_none();
        let charge = match sending.parked {
            Some(_) if cause == Cause::Interrupted => return Err(Errno::INTR.into()),
            Some(parked) => parked.charge,
            None => {
                if sending.waited_at.is_none() {
                    self.message_may_be_sent(key, to, out, len)?;
                }
                self.await_memory(key, nonblocking, cause)
                    .map_err(|stop| at_memory(stop, sending))?;
                self.profile.datagram_charge(len)?
            }
        };
        let result = self.send_allocated(tickets, caller, key, to, out, sending, cause, charge);
        if is_new && matches!(result, Err(Stop::Error(_))) {
            self.tell_freed(tickets, key);
        }
        result
    }

    /// DSEND 1 from the memory on.
    #[expect(clippy::too_many_arguments, reason = "one call's arguments, handed on")]
    fn send_allocated(
        &mut self,
        tickets: &mut Tickets,
        caller: &Caller<'_>,
        key: SocketKey,
        to: &SendTo<'_>,
        out: &Outgoing<'_, '_>,
        sending: &mut Sending,
        cause: Cause,
        charge: u32,
    ) -> Result<usize, Stop> {
        let len = Source::len(out.data);
        let nonblocking = out.nonblocking || out.flags.contains(SendFlags::DONTWAIT);
        let (receiver, kept) = match sending.parked {
            Some(parked) => (parked.receiver, Some(parked.kept)),
            None => {
                self.may_carry(caller, &sending.files)?;
                if Source::new(out.data, 0).readable(len) < len {
                    return Err(Errno::FAULT.into());
                }
                let receiver = self.receiver(key, to)?;
                (receiver, self.filter(receiver, out, len))
            }
        };
        // To the sender a message that is dropped was sent.
        let Some(kept) = kept else {
            self.tell_freed(tickets, key);
            return Ok(len);
        };
        let carries = !sending.files.is_empty();
        let found = self.deliverable(tickets, key, receiver, to, carries)?;
        let kept = if found == receiver { Some(kept) } else { self.filter(found, out, len) };
        let (Some(kept), receiver) = (kept, found) else {
            self.tell_freed(tickets, key);
            return Ok(len);
        };
        if self.is_kept_out(key, receiver) {
            let parked = Parked { sender: key, receiver, charge, kept };
            return Err(self.await_room(parked, nonblocking, sending, cause));
        }
        let was_parked = sending.parked.take();
        if let Some(parked) = was_parked {
            self.table[key].parked -= parked.charge;
        }
        let push = Push {
            from: key,
            to: receiver,
            size: Size { bytes: kept, charge },
            files: std::mem::take(&mut sending.files),
            urgent: false,
            is_charged: was_parked.is_some(),
        };
        self.push(tickets, caller, push, sending, &mut Source::new(out.data, 0));
        Ok(len)
    }

    /// DSEND 1, what is looked at once and before memory.
    fn message_may_be_sent(
        &mut self,
        key: SocketKey,
        to: &SendTo<'_>,
        out: &Outgoing<'_, '_>,
        len: usize,
    ) -> Result<(), Errno> {
        if out.flags.contains(SendFlags::OOB) {
            return Err(Errno::OPNOTSUPP);
        }
        if matches!(to, SendTo::Malformed) {
            return Err(Errno::INVAL);
        }
        self.autobind_if_identifying(key)?;
        if len as u64 > u64::from(self.own(key).send_buffer - DATAGRAM_RESERVE) {
            return Err(Errno::MSGSIZE);
        }
        Ok(())
    }

    /// Whom a message is for: it may be gone.
    fn receiver(&mut self, key: SocketKey, to: &SendTo<'_>) -> Result<SocketKey, Errno> {
        match to {
            SendTo::Named(destination) => self.find(key, destination),
            SendTo::Peer | SendTo::Malformed => self.own(key).peer.ok_or(Errno::NOTCONN),
        }
    }

    /// DSEND 1 from DGCONN 2 on: whether the receiver takes messages of this sender. Returns it, or
    /// whoever has its name now.
    fn deliverable(
        &mut self,
        tickets: &mut Tickets,
        key: SocketKey,
        mut receiver: SocketKey,
        to: &SendTo<'_>,
        carries: bool,
    ) -> Result<SocketKey, Errno> {
        self.watch.touch(Part::State(receiver), Touch::Read);
        if self.living(receiver).is_none() {
            receiver = self.receiver_is_dead(tickets, key, receiver, to)?;
            self.watch.touch(Part::State(receiver), Touch::Read);
        }
        let other = &self.table[receiver];
        if other.peer.is_some_and(|peer| peer != key) {
            return Err(Errno::PERM);
        }
        if other.flags.contains(Flags::SHUT_READ) {
            return Err(Errno::PIPE);
        }
        if carries && !other.flags.contains(Flags::PASSRIGHTS) {
            return Err(Errno::PERM);
        }
        Ok(receiver)
    }

    /// DSEND 3: the connected peer was closed. A name is looked up anew.
    fn receiver_is_dead(
        &mut self,
        tickets: &mut Tickets,
        key: SocketKey,
        receiver: SocketKey,
        to: &SendTo<'_>,
    ) -> Result<SocketKey, Errno> {
        let socket = self.own(key);
        if socket.kind == SocketType::Seqpacket {
            return Err(Errno::PIPE);
        }
        if socket.peer == Some(receiver) {
            self.watch.touch(Part::State(key), Touch::Write);
            self.set_peer(key, None);
            self.leave_relay(tickets, key, receiver);
            self.purge_after_disconnect(tickets, key, receiver);
            return Err(Errno::CONNREFUSED);
        }
        match to {
            SendTo::Named(destination) => self.find(key, destination),
            SendTo::Peer | SendTo::Malformed => Err(Errno::CONNRESET),
        }
    }

    /// DSEND 1: what the receiver's filter leaves of a message, even if the receiver was closed.
    fn filter(&mut self, receiver: SocketKey, out: &Outgoing<'_, '_>, len: usize) -> Option<usize> {
        self.watch.touch(Part::State(receiver), Touch::Read);
        self.table[receiver].keeps(out.data, len)
    }

    /// DSEND 4: flow control, for all but the receiver itself and its own peer.
    fn is_kept_out(&mut self, key: SocketKey, receiver: SocketKey) -> bool {
        let other = &self.table[receiver];
        if receiver == key || other.peer == Some(key) || !other.queue_is_full() {
            return false;
        }
        self.watch.touch(Part::Receive(receiver), Touch::Read);
        true
    }

    /// DSEND 5, 6: waits for the receiver to take a message. This one has its memory meanwhile.
    fn await_room(
        &mut self,
        parked: Parked,
        nonblocking: bool,
        sending: &mut Sending,
        cause: Cause,
    ) -> Stop {
        let Parked { sender: key, receiver, charge, .. } = parked;
        let timeout = self.send_timeout(key);
        let is_over = cause == Cause::TimedOut && sending.parked.is_some();
        if nonblocking || timeout.is_some_and(|time| time.is_zero()) || is_over {
            // Whoever sends to a connected peer is told of room as a poll would be.
            if self.own(key).peer == Some(receiver) {
                self.await_relay(key, receiver);
            }
            return Errno::AGAIN.into();
        }
        let anew = sending.parked.is_none();
        if anew {
            self.charge(key, charge);
            self.table[key].parked += charge;
        }
        sending.parked = Some(parked);
        sending.waited_at = Some(0);
        self.watch.touch(Part::Receive(receiver), Touch::Awaits);
        self.watch.touch(Part::State(receiver), Touch::Awaits);
        let reason = WaitReason::PeerQueue;
        Stop::Wait(Waiting { reason, socket: receiver, timeout, anew })
    }

    /// Puts a message buffer into its receiver's queue.
    #[inline]
    fn push(
        &mut self,
        tickets: &mut Tickets,
        caller: &Caller<'_>,
        push: Push,
        sending: &Sending,
        source: &mut Source<'_, '_>,
    ) {
        let Push { from, to, size, files, urgent, is_charged } = push;
        let from_identifies = self.table[from].identifies();
        let receiver = &mut self.table[to];
        // RCMSG 2: explicit ones always; else if an end asks for them, or nobody can ask yet.
        let credentials = match sending.credentials {
            Some(explicit) => explicit,
            None if from_identifies
                || receiver.identifies()
                || receiver.flags.contains(Flags::PENDING) =>
            {
                caller.real_ucred()
            }
            None => NO_CREDENTIALS,
        };
        let stamp = receiver.stamp(caller.now);
        let rider = Rider { credentials, user: caller.uid.real, stamp, files };
        let mut buffer = Buffer::new(from, size.bytes as u32, size.charge).with(rider);
        buffer.urgent = urgent;
        if self.watch.flowing {
            let (bytes, files) = (size.bytes, buffer.files().len());
            self.watch.flow(Flow::Queued { from, to, bytes, files });
        }
        self.watch.touch(Part::Receive(to), Touch::Write);
        if !buffer.files().is_empty() {
            self.enter_flight(to, caller.uid.real, buffer.files());
        }
        let receiver = &mut self.table[to];
        receiver.queue.push(buffer, source);
        let is_awaited = receiver.waiters.is_some();
        if !is_charged {
            self.charge(from, size.charge);
        }
        if is_awaited {
            self.wake_readable(tickets, to);
        }
        if urgent {
            self.alert_urgent(to);
        }
        self.alert_arrival(to);
    }
}

/// A send that waits for memory notes where it stood: the wait for the next buffer has a time of
/// its own (SSEND 14).
fn at_memory(stop: Stop, sending: &mut Sending) -> Stop {
    match stop {
        Stop::Wait(waiting) => {
            let anew = sending.waited_at != Some(sending.progress);
            sending.waited_at = Some(sending.progress);
            Stop::Wait(Waiting { anew, ..waiting })
        }
        error => error,
    }
}
