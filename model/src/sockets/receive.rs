//! The receive calls: DRECV here, SRECV in `receive_stream`; and how many bytes there are to be
//! read.

use afunix::{Errno, RecvFlags, SocketType};

use super::buffer::Sink;
use super::call::{Cause, Incoming, Receiving, Stop};
use super::socket::{Flags, Socket, State};
use super::{Flow, Part, SocketKey, Sockets, Touch, WaitReason};
use crate::profile::Planted;
use crate::wait::Tickets;

impl Socket {
    /// A peek moves SO_PEEK_OFF on (PEEKOFF 1).
    pub(super) fn peek_forward(&mut self, bytes: usize) {
        if self.peek_offset >= 0 {
            self.peek_offset = self.peek_offset.saturating_add(bytes as i32);
        }
    }

    /// A consuming receive moves it back (PEEKOFF 1).
    pub(super) fn peek_back(&mut self, bytes: usize) {
        if self.peek_offset > 0 {
            self.peek_offset = (self.peek_offset - bytes as i32).max(0);
        }
    }
}

impl Sockets {
    /// The receive calls, in the order of SRECV or DRECV: returns the bytes received, or with
    /// MSG_TRUNC a message's whole length. `receiving` goes with the call over all its attempts,
    /// and through [`Sockets::deliver`] or [`Sockets::discard`] when it ends.
    pub fn receive(
        &mut self,
        tickets: &mut Tickets,
        key: SocketKey,
        into: &mut Incoming<'_, '_>,
        receiving: &mut Receiving,
        cause: Cause,
    ) -> Result<usize, Stop> {
        self.watch.touch(Part::State(key), Touch::Read);
        self.reader_waits(key, false);
        let socket = self.own(key);
        match socket.kind {
            SocketType::Stream => self.receive_stream(tickets, key, into, receiving, cause),
            SocketType::Seqpacket if socket.state != State::Established => {
                Err(Errno::NOTCONN.into())
            }
            _ => self.receive_message(tickets, key, into, receiving, cause),
        }
    }

    /// DRECV, for datagrams and records.
    fn receive_message(
        &mut self,
        tickets: &mut Tickets,
        key: SocketKey,
        into: &mut Incoming<'_, '_>,
        receiving: &mut Receiving,
        cause: Cause,
    ) -> Result<usize, Stop> {
        if into.flags.contains(RecvFlags::OOB) {
            return Err(Errno::OPNOTSUPP.into());
        }
        self.watch.touch(Part::Receive(key), Touch::Read);
        let peek = into.flags.contains(RecvFlags::PEEK);
        // DRECV 2: the pending error comes before data.
        self.take_pending(key)?;
        let Some((index, skip)) = self.find_message(key, peek) else {
            let nonblocking = into.nonblocking || into.flags.contains(RecvFlags::DONTWAIT);
            let stop = self.await_message(key, nonblocking, cause, WaitReason::Readable);
            return self.no_message(key, receiving, stop);
        };
        self.watch.touch(Part::Receive(key), Touch::Write);
        self.wake_one_peer(tickets, key);
        let socket = &self.table[key];
        let Some(buffer) = socket.queue.get(index) else { panic!("a message that was found") };
        if into.want_name {
            self.watch.touch(Part::State(buffer.from), Touch::Read);
            receiving.source = self.path_of(buffer.from).map(Into::into);
        }
        let whole = buffer.len as usize - skip;
        let room = Sink::len(into.data);
        let count = whole.min(room);
        if count < whole {
            receiving.flags |= RecvFlags::TRUNC;
        }
        receiving.credentials = Some(buffer.credentials());
        (receiving.stamp, receiving.stamped) = (buffer.stamp(), true);
        let start = socket.queue.extent(0, index);
        let mut sink = Sink::new(into.data, 0);
        let copied = socket.queue.copy_out((index, start), skip, count, &mut sink);
        if peek {
            copied?;
            receiving.files.extend_from_slice(buffer.files());
            receiving.peeked = true;
            self.table[key].peek_forward(count);
        } else {
            // DRECV 4: a fault loses the message, and its files.
            self.consume_message(tickets, key, count, copied.is_ok(), receiving);
            copied?;
        }
        Ok(if into.flags.contains(RecvFlags::TRUNC) { whole } else { count })
    }

    /// DRECV 5: shut for reading, a blocking receiver sees the end, a nonblocking one only on
    /// seqpacket.
    fn no_message(
        &mut self,
        key: SocketKey,
        receiving: &mut Receiving,
        stop: Stop,
    ) -> Result<usize, Stop> {
        receiving.bare = true;
        let socket = self.own(key);
        let ended = socket.kind == SocketType::Seqpacket && socket.flags.contains(Flags::SHUT_READ);
        match stop {
            Stop::Error(Errno::NODATA) => Ok(0),
            Stop::Error(Errno::AGAIN) if ended => Ok(0),
            stop => {
                receiving.bare = false;
                Err(stop)
            }
        }
    }

    /// The message that a receive takes, and from which byte on (PEEKOFF 1, 2).
    fn find_message(&mut self, key: SocketKey, peek: bool) -> Option<(usize, usize)> {
        let socket = self.own(key);
        if !peek || socket.peek_offset < 0 {
            let first = socket.queue.get_mut(0)?;
            first.peeked |= peek && first.len == 0;
            return Some((0, 0));
        }
        let mut offset = socket.peek_offset as usize;
        let mut index = 0;
        while let Some(buffer) = socket.queue.get_mut(index) {
            let len = buffer.len as usize;
            if offset < len || (len == 0 && offset == 0 && !buffer.peeked) {
                buffer.peeked |= len == 0;
                return Some((index, offset));
            }
            offset -= len;
            index += 1;
        }
        None
    }

    fn consume_message(
        &mut self,
        tickets: &mut Tickets,
        key: SocketKey,
        count: usize,
        delivered: bool,
        receiving: &mut Receiving,
    ) {
        let planted = self.profile.planted.contains(Planted::SHORT_READ_KEEPS_REST);
        let Some(buffer) = self.table[key].queue.get(0) else { panic!("a message that was found") };
        let (len, files) = (buffer.len as usize, buffer.files().len());
        if delivered {
            if files > 0 {
                self.take_files(key, receiving);
            }
            self.table[key].peek_back(len);
        }
        self.watch.flow(Flow::Taken { socket: key, bytes: count, files });
        if planted && count > 0 && count < len {
            let queue = &mut self.table[key].queue;
            queue.consume(count);
            queue.input -= count as u32;
            return;
        }
        self.table[key].queue.input -= len as u32;
        self.free_first(tickets, key);
    }

    /// Clears the pending error and returns it; only that is a change.
    pub(super) fn take_pending(&mut self, key: SocketKey) -> Result<(), Errno> {
        let taken = self.own(key).take_error();
        if taken.is_err() {
            self.watch.touch(Part::State(key), Touch::Write);
        }
        taken
    }

    /// Clears the pending error and returns it.
    pub fn take_error(&mut self, key: SocketKey) -> Result<(), Errno> {
        self.watch.touch(Part::State(key), Touch::Write);
        self.own(key).take_error()
    }

    /// Makes an error pending (SRECV 21).
    pub fn put_error(&mut self, key: SocketKey, errno: Errno) {
        self.watch.touch(Part::State(key), Touch::Write);
        self.own(key).error = Some(errno);
    }

    /// Bytes that wait in a stream, for who looks from outside.
    pub(crate) fn unread(&self, key: SocketKey) -> u32 {
        self.table[key].queue.input
    }

    /// ioctl SIOCINQ: a stream's bytes, all of seqpacket's, of a datagram socket's the first
    /// message's; EINVAL on a listener (OPT 6).
    pub fn inq(&mut self, key: SocketKey) -> Result<i32, Errno> {
        self.watch.touch(Part::Receive(key), Touch::Read);
        let socket = self.own(key);
        if socket.state == State::Listening {
            return Err(Errno::INVAL);
        }
        let bytes = match socket.kind {
            SocketType::Datagram => socket.queue.get(0).map_or(0, |first| first.len),
            SocketType::Stream | SocketType::Seqpacket => socket.queue.input,
        };
        Ok(bytes as i32)
    }

    /// ioctl SIOCOUTQ: memory charged for what it sent and nobody has taken (MEM 1).
    pub fn outq(&mut self, key: SocketKey) -> i32 {
        self.watch.touch(Part::SendMemory(key), Touch::Read);
        self.own(key).send_memory as i32
    }

    /// ioctl SIOCATMARK: whether the first buffer is the out-of-band mark, or a consumed one with
    /// no mark behind it or with the mark next (OOB 8). Any connection in a backlog counts as one
    /// (LISTEN 8). EOPNOTSUPP for other types than stream.
    pub fn at_mark(&mut self, key: SocketKey) -> Result<bool, Errno> {
        self.watch.touch(Part::Receive(key), Touch::Read);
        let socket = self.own(key);
        if socket.kind != SocketType::Stream {
            return Err(Errno::OPNOTSUPP);
        }
        let Some(first) = socket.queue.get(0) else { return Ok(!socket.backlog.is_empty()) };
        let next_is_mark = socket.queue.get(1).is_some_and(|next| next.urgent);
        Ok(first.urgent || (first.len == 0 && (!socket.queue.is_marked() || next_is_mark)))
    }
}
