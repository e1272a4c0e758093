//! Receiving from a stream: SRECV, and how a read goes over message buffers, the out-of-band mark
//! among them (OOB).

use afunix::{Errno, RecvFlags, SocketType};

use super::buffer::{NO_CREDENTIALS, Sink};
use super::call::{Cause, Incoming, Receiving, Stop, Waiting};
use super::socket::{Flags, State};
use super::{Flow, Part, SocketKey, Sockets, Touch, WaitReason};
use crate::profile::{Bugs, Planted};
use crate::wait::Tickets;

/// Where a read stands in the queue.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The number of the buffer.
    index: usize,
    /// Where that buffer begins among the queue's bytes.
    start: usize,
}

/// What a read needs to know at every buffer.
struct Read {
    key: SocketKey,
    peek: bool,
    want_name: bool,
    /// Bytes that may still be received.
    room: usize,
}

/// Whether a read goes on.
enum Next {
    Continue,
    Finished,
}

impl Sockets {
    pub(super) fn receive_stream(
        &mut self,
        tickets: &mut Tickets,
        key: SocketKey,
        into: &mut Incoming<'_, '_>,
        receiving: &mut Receiving,
        cause: Cause,
    ) -> Result<usize, Stop> {
        if self.own(key).state != State::Established {
            return Err(Errno::INVAL.into());
        }
        if into.flags.contains(RecvFlags::OOB) {
            return Ok(self.receive_urgent(tickets, key, into, receiving)?);
        }
        if cause == Cause::Interrupted {
            // A signal ends a wait before the queue is looked at again; what was read goes without
            // control messages.
            receiving.bare = true;
            return if receiving.progress > 0 {
                Ok(receiving.progress)
            } else {
                Err(Errno::INTR.into())
            };
        }
        let size = Sink::len(into.data);
        let socket = &self.table[key];
        // SRECV 3.
        let low = socket.receive_low as usize;
        let target = if into.flags.contains(RecvFlags::WAITALL) { size } else { low.min(size) };
        let peek = into.flags.contains(RecvFlags::PEEK);
        let mut read =
            Read { key, peek, want_name: into.want_name, room: size - receiving.progress };
        let mut sink = Sink::new(into.data, receiving.progress);
        let walked = self.walk(tickets, &mut read, &mut sink, receiving, target.max(1));
        match walked {
            Ok(()) => Ok(receiving.progress),
            Err(Errno::AGAIN) => {
                let nonblocking = into.nonblocking || into.flags.contains(RecvFlags::DONTWAIT);
                self.await_data(key, nonblocking, receiving, cause)
            }
            // SRECV 4, 12: what was copied counts more.
            Err(_) if receiving.progress > 0 => Ok(receiving.progress),
            Err(error) => Err(error.into()),
        }
    }

    /// SRECV 4, last: nothing is left, and the target not reached.
    fn await_data(
        &mut self,
        key: SocketKey,
        nonblocking: bool,
        receiving: &Receiving,
        cause: Cause,
    ) -> Result<usize, Stop> {
        let timeout = self.receive_timeout(key);
        if nonblocking || timeout.is_some_and(|time| time.is_zero()) || cause == Cause::TimedOut {
            return match receiving.progress {
                0 => Err(Errno::AGAIN.into()),
                copied => Ok(copied),
            };
        }
        self.watch.touch(Part::Receive(key), Touch::Awaits);
        self.watch.touch(Part::State(key), Touch::Awaits);
        let reason = WaitReason::Readable;
        Err(Stop::Wait(Waiting { reason, socket: key, timeout, anew: false }))
    }

    /// Goes over the buffers. EAGAIN: the queue is at its end and the target not reached.
    fn walk(
        &mut self,
        tickets: &mut Tickets,
        read: &mut Read,
        sink: &mut Sink<'_, '_>,
        receiving: &mut Receiving,
        target: usize,
    ) -> Result<(), Errno> {
        let key = read.key;
        // What is taken, and a peek that moves on, is a change; to find nothing is none.
        let found = !self.table[key].queue.is_empty();
        self.watch.touch(Part::Receive(key), if found { Touch::Write } else { Touch::Read });
        let mut skip = match self.table[key].peek_offset {
            offset if read.peek && offset > 0 => offset as usize,
            _ => 0,
        };
        let mut place = Place { index: 0, start: 0 };
        loop {
            let found = self.at_mark_or_data(tickets, read, &mut place, receiving.progress > 0);
            match found {
                Found::Stop => return Ok(()),
                Found::Buffer if skip == 0 && !read.peek => {}
                Found::Buffer if self.skip_peeked(key, &mut place, &mut skip) => {}
                Found::Buffer | Found::Nothing => return self.end_of_queue(key, receiving, target),
            }
            match self.read_buffer(tickets, read, place, skip, sink, receiving)? {
                Next::Finished => return Ok(()),
                Next::Continue if read.peek => {
                    // SRECV 17: a peek goes on when the room is used up; only a consuming read
                    // stops.
                    skip = 0;
                    place.start += self.table[key].queue.extent(place.index, place.index + 1);
                    place.index += 1;
                    if place.index == self.table[key].queue.len() {
                        return Ok(());
                    }
                }
                Next::Continue if read.room == 0 => return Ok(()),
                Next::Continue => place = Place { index: 0, start: 0 },
            }
        }
    }

    /// SRECV 4: no buffer is left.
    fn end_of_queue(
        &mut self,
        key: SocketKey,
        receiving: &Receiving,
        target: usize,
    ) -> Result<(), Errno> {
        if receiving.progress >= target {
            return Ok(());
        }
        self.watch.touch(Part::State(key), Touch::Read);
        self.take_pending(key)?;
        if self.own(key).flags.contains(Flags::SHUT_READ) { Ok(()) } else { Err(Errno::AGAIN) }
    }

    /// PEEKOFF 1: passes over what was peeked before. `false` if that is all there is.
    #[inline]
    fn skip_peeked(&mut self, key: SocketKey, place: &mut Place, skip: &mut usize) -> bool {
        let queue = &self.table[key].queue;
        while let Some(buffer) = queue.get(place.index) {
            if *skip < buffer.len as usize {
                return true;
            }
            *skip -= buffer.len as usize;
            place.start += queue.extent(place.index, place.index + 1);
            place.index += 1;
        }
        false
    }

    /// Reads from one buffer, as far as there is room.
    #[inline]
    fn read_buffer(
        &mut self,
        tickets: &mut Tickets,
        read: &mut Read,
        place: Place,
        skip: usize,
        sink: &mut Sink<'_, '_>,
        receiving: &mut Receiving,
    ) -> Result<Next, Errno> {
        let key = read.key;
        let socket = &self.table[key];
        let identifies = socket.identifies();
        let Some(buffer) = socket.queue.get(place.index) else {
            panic!("a read stands at a buffer");
        };
        match receiving.credentials {
            // SRECV 5: messages of different writers are not glued together.
            Some(first) if first != buffer.credentials() => return Ok(Next::Finished),
            None if identifies => receiving.credentials = Some(buffer.credentials()),
            _ => {}
        }
        if read.want_name {
            self.watch.touch(Part::State(buffer.from), Touch::Read);
            receiving.source = self.path_of(buffer.from).map(Into::into);
        }
        let chunk = (buffer.len as usize - skip).min(read.room);
        socket.queue.copy_out((place.index, place.start), skip, chunk, sink)?;
        receiving.progress += chunk;
        read.room -= chunk;
        if !read.peek {
            return Ok(self.consume(tickets, key, chunk, receiving));
        }
        let has_files = !buffer.files().is_empty();
        if has_files {
            // SRECV 16: duplicated, and they stay.
            receiving.files.extend_from_slice(buffer.files());
            receiving.peeked = true;
        }
        self.table[key].peek_forward(chunk);
        Ok(if has_files { Next::Finished } else { Next::Continue })
    }

    /// Bytes of the first buffer were read: its files go with them (SRECV 6), its memory when it is
    /// read whole (MEM 7).
    #[inline]
    fn consume(
        &mut self,
        tickets: &mut Tickets,
        key: SocketKey,
        chunk: usize,
        receiving: &mut Receiving,
    ) -> Next {
        let planted = self.profile.planted;
        let socket = &mut self.table[key];
        socket.peek_back(chunk);
        let queue = &mut socket.queue;
        queue.consume(chunk);
        queue.input -= chunk as u32;
        let Some(buffer) = queue.get(0) else { panic!("the buffer that is read is the first") };
        let (left, files) = (buffer.len, buffer.files().len());
        if files > 0 {
            self.take_files(key, receiving);
        }
        self.watch.flow(Flow::Taken { socket: key, bytes: chunk, files });
        if left > 0 {
            if planted.contains(Planted::PARTIAL_READ_FREES_MEMORY) {
                self.free_part(tickets, key, chunk as u32);
            }
            return Next::Finished;
        }
        self.free_first(tickets, key);
        if receiving.files.is_empty() || planted.contains(Planted::READ_MERGES_PAST_RIGHTS) {
            Next::Continue
        } else {
            Next::Finished
        }
    }

    /// Planted against MEM 7.
    fn free_part(&mut self, tickets: &mut Tickets, key: SocketKey, bytes: u32) {
        let Some(buffer) = self.table[key].queue.get_mut(0) else { return };
        let part = bytes.min(buffer.charge);
        buffer.charge -= part;
        let from = buffer.from;
        self.uncharge(tickets, from, part);
    }

    /// Takes the first buffer out and gives its memory back; files that nobody took are dropped.
    #[inline]
    pub(super) fn free_first(&mut self, tickets: &mut Tickets, key: SocketKey) {
        let Some(buffer) = self.table[key].queue.pop() else {
            panic!("a buffer that is freed is in its queue");
        };
        match self.table[key].kind {
            SocketType::Stream => self.lose_files(key, &buffer),
            SocketType::Datagram | SocketType::Seqpacket => self.drop_files(key, &buffer),
        }
        self.uncharge(tickets, buffer.from, buffer.charge);
    }

    /// The first buffer's files go to the reader.
    pub(super) fn take_files(&mut self, key: SocketKey, receiving: &mut Receiving) {
        let Some(buffer) = self.table[key].queue.get_mut(0) else { return };
        let (user, files) = (buffer.user(), buffer.take_files());
        self.leave_flight(key, user, &files);
        receiving.files.extend(files);
    }
}

/// What stands at a place of the queue.
enum Found {
    /// A buffer to read from.
    Buffer,
    /// Nothing more.
    Nothing,
    /// The mark, and something was read already: the read ends (OOB 5).
    Stop,
}

impl Sockets {
    /// Moves `place` past what the out-of-band mark makes unreadable (OOB 4 to 6).
    #[inline]
    fn at_mark_or_data(
        &mut self,
        tickets: &mut Tickets,
        read: &Read,
        place: &mut Place,
        copied: bool,
    ) -> Found {
        let Some(buffer) = self.table[read.key].queue.get(place.index) else {
            return Found::Nothing;
        };
        if buffer.len > 0 && !buffer.urgent {
            return Found::Buffer;
        }
        self.pass_mark(tickets, read, place, copied)
    }

    fn pass_mark(
        &mut self,
        tickets: &mut Tickets,
        read: &Read,
        place: &mut Place,
        copied: bool,
    ) -> Found {
        let key = read.key;
        let inline = self.table[key].flags.contains(Flags::OOBINLINE);
        let is_placeholder = |sockets: &Self, place: &Place| {
            sockets.table[key].queue.get(place.index).is_some_and(|buffer| buffer.len == 0)
        };
        if is_placeholder(self, place) {
            if copied && !self.table[key].queue.is_marked() {
                return Found::Stop;
            }
            if read.peek {
                self.step_over(key, place);
            } else {
                self.free_first(tickets, key);
            }
        }
        let ended = if copied { Found::Stop } else { Found::Nothing };
        let Some(buffer) = self.table[key].queue.get(place.index) else { return ended };
        if !buffer.urgent {
            return Found::Buffer;
        }
        if copied {
            return Found::Stop;
        }
        if read.peek {
            if !inline {
                self.step_over(key, place);
            }
        } else {
            self.table[key].queue.clear_mark();
            if !inline {
                self.discard_urgent(tickets, key);
            }
        }
        match self.table[key].queue.get(place.index) {
            Some(_) => Found::Buffer,
            None => Found::Nothing,
        }
    }

    fn step_over(&self, key: SocketKey, place: &mut Place) {
        place.start += self.table[key].queue.extent(place.index, place.index + 1);
        place.index += 1;
    }

    /// OOB 5: an unread out-of-band byte that a read comes to is lost.
    fn discard_urgent(&mut self, tickets: &mut Tickets, key: SocketKey) {
        // OOB 9: the kernel forgets to count it out.
        if !self.profile.bugs.contains(Bugs::DISCARDED_OOB_STAYS_COUNTED) {
            self.table[key].queue.input -= 1;
        }
        self.free_first(tickets, key);
    }

    /// OOB 3, 4, 10: recv with MSG_OOB.
    fn receive_urgent(
        &mut self,
        tickets: &mut Tickets,
        key: SocketKey,
        into: &mut Incoming<'_, '_>,
        receiving: &mut Receiving,
    ) -> Result<usize, Errno> {
        self.watch.touch(Part::Receive(key), Touch::Write);
        let socket = &mut self.table[key];
        let inline = socket.flags.contains(Flags::OOBINLINE);
        let Some(mark) = socket.queue.mark().filter(|_| !inline) else { return Err(Errno::INVAL) };
        let start = socket.queue.extent(0, mark);
        let room = Sink::len(into.data).min(1);
        let mut sink = Sink::new(into.data, 0);
        let copied = socket.queue.copy_out((mark, start), 0, room, &mut sink);
        if !into.flags.contains(RecvFlags::PEEK) {
            socket.queue.clear_mark();
            socket.queue.input -= 1;
            if let Some(buffer) = socket.queue.get_mut(mark) {
                // A placeholder stays: its byte stays with it until it goes.
                buffer.skip += buffer.len;
                buffer.len = 0;
            }
            self.watch.flow(Flow::Taken { socket: key, bytes: 1, files: 0 });
            if let Some(before) = self.table[key].queue.remove_placeholder_before(mark) {
                self.lose_files(key, &before);
                self.uncharge(tickets, before.from, before.charge);
            }
        }
        receiving.bare = true;
        copied?;
        receiving.flags |= RecvFlags::OOB;
        Ok(1)
    }

    /// SRECV 18: the end of a stream is said to come from nobody.
    pub(super) fn end_credentials(&self, receiving: &Receiving) -> afunix::Ucred {
        match receiving.credentials {
            Some(NO_CREDENTIALS) => afunix::Ucred { pid: 0, uid: NOBODY, gid: NOBODY },
            Some(credentials) => credentials,
            None => afunix::Ucred::default(),
        }
    }
}

/// How ids that are none are told (RCMSG 2).
const NOBODY: u32 = 65534;
