//! Message buffers, and the queue of them that every socket receives from.
//!
//! The bytes of all buffers of a queue lie one behind the other in one piece of memory; a *buffer*
//! is the record of some of them: who sent them, what they are charged, what rides on them.

use std::fmt;
use std::num::NonZeroU64;

use afunix::call::transfer;
use afunix::{Errno, Segment, SegmentMut, Ucred};

use super::{Attachment, Attachments, SocketKey};

/// Credentials of a buffer that carries none (RCMSG 2).
pub(super) const NO_CREDENTIALS: Ucred = Ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };

/// One message buffer, without its bytes. Small, since every call moves one.
#[derive(Clone, Debug)]
pub(super) struct Buffer {
    pub(super) from: SocketKey,
    /// Bytes that can still be read. 0: an empty message; on a stream a consumed out-of-band byte.
    pub(super) len: u32,
    /// Bytes before those, which nobody will read.
    pub(super) skip: u32,
    /// What the sender is charged until the whole buffer is consumed (MEM 7).
    pub(super) charge: u32,
    /// The out-of-band mark of its queue.
    pub(super) urgent: bool,
    /// An empty message that was peeked at once (PEEKOFF 2).
    pub(super) peeked: bool,
    rider: Option<Box<Rider>>,
}

/// What rides on few buffers.
#[derive(Clone, Debug)]
pub(super) struct Rider {
    pub(super) credentials: Ucred,
    /// The user who is accountable for the files in flight.
    pub(super) user: u32,
    /// When it was sent, in nanoseconds, if the receiver asked for it then (RCMSG 1).
    pub(super) stamp: Option<NonZeroU64>,
    pub(super) files: Attachments,
}

impl Rider {
    /// Whether a buffer is as good without it.
    fn is_nothing(&self) -> bool {
        self.credentials == NO_CREDENTIALS && self.stamp.is_none() && self.files.is_empty()
    }
}

impl Buffer {
    /// A buffer that carries nothing but its bytes.
    #[inline]
    pub(super) fn new(from: SocketKey, len: u32, charge: u32) -> Self {
        Buffer { from, len, skip: 0, charge, urgent: false, peeked: false, rider: None }
    }

    /// The same buffer with what rides on it.
    pub(super) fn with(mut self, rider: Rider) -> Self {
        self.rider = if rider.is_nothing() { None } else { Some(Box::new(rider)) };
        self
    }

    /// Whether it is bytes, whatever rides on them.
    #[inline]
    fn is_bytes(&self) -> bool {
        !self.urgent && self.len > 0
    }

    /// Whether it is bytes and nothing else.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.rider.is_none() && self.is_bytes()
    }

    /// Whether it is bytes that carry files.
    #[inline]
    pub(super) fn carries(&self) -> bool {
        self.is_bytes() && !self.files().is_empty()
    }

    pub(super) fn credentials(&self) -> Ucred {
        self.rider.as_ref().map_or(NO_CREDENTIALS, |rider| rider.credentials)
    }

    /// The user who is accountable for its files.
    pub(super) fn user(&self) -> u32 {
        self.rider.as_ref().map_or(0, |rider| rider.user)
    }

    pub(super) fn stamp(&self) -> Option<NonZeroU64> {
        self.rider.as_ref().and_then(|rider| rider.stamp)
    }

    #[inline]
    pub(super) fn files(&self) -> &[Attachment] {
        self.rider.as_ref().map_or(&[], |rider| &rider.files)
    }

    pub(super) fn take_files(&mut self) -> Attachments {
        self.rider.as_mut().map_or(Attachments::new(), |rider| std::mem::take(&mut rider.files))
    }

    #[inline]
    fn extent(&self) -> usize {
        (self.skip + self.len) as usize
    }

    /// Moves it out of its place.
    #[inline]
    fn take(&mut self) -> Buffer {
        Buffer { rider: self.rider.take(), ..*self }
    }
}

/// The buffers of a queue, in their order: a piece of an array. It begins where the first was
/// taken out, and goes back to the front when there is none left, or no place behind the last.
#[derive(Clone, Default)]
struct Buffers {
    /// Outside `start..end` nothing rides on any, and none means anything.
    memory: Vec<Buffer>,
    start: u32,
    end: u32,
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all().fmt(f)
    }
}

impl Buffers {
    #[inline(always)]
    fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    #[inline]
    fn all(&self) -> &[Buffer] {
        &self.memory[self.start as usize..self.end as usize]
    }

    fn all_mut(&mut self) -> &mut [Buffer] {
        &mut self.memory[self.start as usize..self.end as usize]
    }

    #[inline(always)]
    fn first(&self) -> Option<&Buffer> {
        if self.start == self.end { None } else { self.memory.get(self.start as usize) }
    }

    #[inline(always)]
    fn push(&mut self, buffer: Buffer) {
        if self.end as usize >= self.memory.len() {
            self.make_room();
        }
        let place = &mut self.memory[self.end as usize];
        // Spares the look whether there is anything to drop: nothing rides on what was there.
        std::mem::forget(std::mem::replace(place, buffer));
        self.end += 1;
    }

    /// Moves the buffers to the front, or, if more than half of the places are in use, makes more.
    #[cold]
    fn make_room(&mut self) {
        let (start, len) = (self.start as usize, self.len());
        self.memory.rotate_left(start);
        (self.start, self.end) = (0, len as u32);
        if 2 * len >= self.memory.len() {
            let places = (2 * len).max(4);
            self.memory.resize_with(places, || Buffer::new(SocketKey::default(), 0, 0));
        }
    }

    fn pop_first(&mut self) -> Option<Buffer> {
        if self.start == self.end {
            return None;
        }
        let first = self.memory[self.start as usize].take();
        self.drop_first();
        Some(first)
    }

    /// Takes the first one out, on which nothing rides any more.
    #[inline(always)]
    fn drop_first(&mut self) {
        self.start += 1;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    fn remove(&mut self, index: usize) -> Buffer {
        self.all_mut()[index..].rotate_left(1);
        self.end -= 1;
        let removed = self.memory[self.end as usize].take();
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        removed
    }
}

/// The bytes of a queue, in the order in which they are read. They lie in one piece: what is read
/// stays in front until there is more of it than of the rest.
#[derive(Clone, Debug, Default)]
struct Bytes {
    memory: Vec<u8>,
    /// How many of them are read.
    read: usize,
}

impl Bytes {
    #[inline]
    fn len(&self) -> usize {
        self.memory.len() - self.read
    }

    /// The bytes from `start` on, counted from the first that is not read.
    #[inline]
    fn from(&self, start: usize) -> &[u8] {
        &self.memory[self.read + start..]
    }

    fn tail_mut(&mut self, start: usize) -> &mut [u8] {
        &mut self.memory[self.read + start..]
    }

    fn drop_last(&mut self, count: usize) {
        self.memory.truncate(self.memory.len() - count);
    }

    #[inline(always)]
    fn push(&mut self, bytes: &[u8]) {
        match bytes {
            // Spares a call for what many programs send: one byte that wakes somebody.
            [byte] if self.memory.len() < self.memory.capacity() => self.memory.push(*byte),
            _ => self.push_many(bytes),
        }
    }

    fn push_many(&mut self, bytes: &[u8]) {
        if bytes.len() > self.memory.capacity() - self.memory.len() {
            self.make_room();
        }
        self.memory.extend_from_slice(bytes);
    }

    /// Moves the bytes to the front, if less than half of the memory is in use.
    #[cold]
    fn make_room(&mut self) {
        if self.read > self.len() {
            self.memory.drain(..self.read);
            self.read = 0;
        }
    }

    /// Copies as many bytes as there is room for, which must be there, from `start` on.
    #[inline(always)]
    fn copy_out(&self, start: usize, room: &mut [u8]) {
        let from = &self.from(start)[..room.len()];
        match (from, &mut *room) {
            ([byte], [place]) => *place = *byte,
            _ => room.copy_from_slice(from),
        }
    }

    #[inline(always)]
    fn drop_first(&mut self, count: usize) {
        if count == self.len() {
            // Starts again at the beginning of its memory, which is in the cache.
            self.memory.clear();
            self.read = 0;
        } else {
            self.read += count;
        }
    }
}

/// A receive queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    buffers: Buffers,
    bytes: Bytes,
    /// SIOCINQ of a stream. Counted as the kernel does, not summed (OOB 9).
    pub(super) input: u32,
    /// Whether one of the buffers is the out-of-band mark.
    marked: bool,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.buffers.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buffers.len() == 0
    }

    pub(super) fn is_marked(&self) -> bool {
        self.marked
    }

    #[inline(always)]
    pub(super) fn first(&self) -> Option<&Buffer> {
        self.buffers.first()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Buffer> {
        self.buffers.all().get(index)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Buffer> {
        self.buffers.all_mut().get_mut(index)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Buffer> {
        self.buffers.all().iter()
    }

    /// Puts a buffer at the end, with `buffer.len` bytes of `source`, which must be readable.
    #[inline]
    pub(super) fn push(&mut self, buffer: Buffer, source: &mut Source<'_, '_>) {
        debug_assert_eq!(buffer.skip, 0, "a new buffer is whole");
        source.read_into(&mut self.bytes, buffer.len as usize);
        self.input += buffer.len;
        if buffer.urgent {
            self.clear_mark();
            self.marked = true;
        }
        self.buffers.push(buffer);
    }

    /// As [`Queue::push`], with bytes that lie in one piece.
    #[inline(always)]
    pub(super) fn push_one(&mut self, buffer: Buffer, bytes: &[u8]) {
        debug_assert!(buffer.is_bytes() && buffer.len as usize == bytes.len());
        self.bytes.push(bytes);
        self.input += buffer.len;
        self.buffers.push(buffer);
    }

    /// Takes the first buffer out, which is bytes, and copies the first of them.
    #[inline(always)]
    pub(super) fn pop_one(&mut self, room: &mut [u8]) {
        let Some(buffer) = self.buffers.first() else {
            panic!("a buffer that is received is in its queue");
        };
        let (skip, extent, len) = (buffer.skip as usize, buffer.extent(), buffer.len);
        self.bytes.copy_out(skip, room);
        self.bytes.drop_first(extent);
        self.input -= len;
        self.buffers.drop_first();
    }

    /// What rides on the first buffer.
    pub(super) fn take_rider(&mut self) -> Option<Box<Rider>> {
        self.buffers.all_mut().first_mut()?.rider.take()
    }

    /// Reads the first bytes of the first buffer, which has more.
    #[inline]
    pub(super) fn read_one(&mut self, room: &mut [u8]) {
        let skip = self.buffers.first().map_or(0, |first| first.skip);
        self.bytes.copy_out(skip as usize, room);
        self.consume(room.len());
        self.input -= room.len() as u32;
    }

    /// The mark becomes ordinary data.
    pub(super) fn clear_mark(&mut self) {
        if std::mem::take(&mut self.marked)
            && let Some(buffer) = self.buffers.all_mut().iter_mut().find(|buffer| buffer.urgent)
        {
            buffer.urgent = false;
        }
    }

    /// The number of the buffer that is the mark.
    pub(super) fn mark(&self) -> Option<usize> {
        if !self.marked {
            return None;
        }
        self.buffers.all().iter().position(|buffer| buffer.urgent)
    }

    /// Takes the first buffer out, with what is left of its bytes.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Buffer> {
        let buffer = self.buffers.pop_first()?;
        self.bytes.drop_first(buffer.extent());
        if buffer.urgent {
            self.marked = false;
        }
        Some(buffer)
    }

    /// Takes the last buffer out, which nobody has begun to read.
    pub(super) fn pop_newest(&mut self) -> Option<Buffer> {
        let last = self.len().checked_sub(1)?;
        let buffer = self.buffers.remove(last);
        self.bytes.drop_last(buffer.extent());
        self.input -= buffer.len;
        Some(buffer)
    }

    /// Puts the last buffer before so many others, as far as there are. None is a mark.
    pub(super) fn bring_forward(&mut self, others: usize) {
        let Some(last) = self.buffers.len().checked_sub(1) else { return };
        let to = last - others.min(last);
        let (start, extent) = (self.extent(0, to), self.extent(last, last + 1));
        self.bytes.tail_mut(start).rotate_right(extent);
        self.buffers.all_mut()[to..].rotate_right(1);
    }

    /// Takes out a consumed out-of-band byte from before buffer `index`; its place among the
    /// bytes goes to that buffer (OOB 10).
    pub(super) fn remove_placeholder_before(&mut self, index: usize) -> Option<Buffer> {
        let before = index.checked_sub(1)?;
        if self.buffers.all().get(before)?.len != 0 {
            return None;
        }
        let placeholder = self.buffers.remove(before);
        self.buffers.all_mut().get_mut(before)?.skip += placeholder.skip;
        Some(placeholder)
    }

    /// The first `count` bytes of the first buffer were read.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        let Some(buffer) = self.buffers.all_mut().first_mut() else {
            panic!("bytes are read out of a buffer");
        };
        let skip = std::mem::take(&mut buffer.skip);
        buffer.len -= count as u32;
        self.bytes.drop_first(skip as usize + count);
    }

    /// How many of the bytes belong to the buffers `from..to`.
    pub(super) fn extent(&self, from: usize, to: usize) -> usize {
        self.buffers.all()[from..to].iter().map(Buffer::extent).sum()
    }

    /// Copies `len` bytes of the buffer `index`, from its byte `skip` on. `start` is where that
    /// buffer begins among the bytes. EFAULT if not all could be written; those before the fault
    /// are.
    #[inline]
    pub(super) fn copy_out(
        &self,
        (index, start): (usize, usize),
        skip: usize,
        len: usize,
        sink: &mut Sink<'_, '_>,
    ) -> Result<(), Errno> {
        let start = start + self.buffers.all()[index].skip as usize + skip;
        sink.write(&self.bytes.from(start)[..len])
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.bytes.memory.capacity()
    }

    /// Whether buffers, bytes and mark agree; in words if not.
    pub(super) fn check(&self) -> Result<(), String> {
        let extent = self.extent(0, self.len());
        if extent != self.bytes.len() {
            return Err(format!("buffers hold {extent} bytes, there are {}", self.bytes.len()));
        }
        let marks = self.buffers.all().iter().filter(|buffer| buffer.urgent).count();
        if marks != usize::from(self.marked) {
            return Err(format!("{marks} buffers are the out-of-band mark"));
        }
        Ok(())
    }
}

/// The memory that a send reads, and how far it has.
#[derive(Debug)]
pub(super) struct Source<'a, 'b> {
    segments: &'a [Segment<'b>],
    /// Bytes of the first segment that are read already.
    offset: usize,
}

impl<'a, 'b> Source<'a, 'b> {
    /// From byte `progress` on.
    #[inline]
    pub(super) fn new(segments: &'a [Segment<'b>], progress: usize) -> Self {
        let mut source = Source { segments, offset: progress };
        source.settle();
        source
    }

    pub(super) fn len(segments: &[Segment<'_>]) -> usize {
        transfer(segments.iter().map(Segment::len))
    }

    /// Passes over segments that are read to their end.
    #[inline]
    fn settle(&mut self) {
        while let Some((first, rest)) = self.segments.split_first()
            && self.offset >= first.len()
        {
            self.offset -= first.len();
            self.segments = rest;
        }
    }

    /// How many of the next `len` bytes can be read before a fault.
    #[inline]
    pub(super) fn readable(&self, len: usize) -> usize {
        let mut readable = 0;
        let mut offset = self.offset;
        for segment in self.segments {
            match segment {
                Segment::Bytes(bytes) => readable += bytes.len() - offset,
                // Nothing of it is touched.
                Segment::Fault(0) => {}
                Segment::Fault(_) => return readable,
            }
            if readable >= len {
                return len;
            }
            offset = 0;
        }
        readable
    }

    /// Reads `len` bytes, which must be readable.
    #[inline]
    fn read_into(&mut self, to: &mut Bytes, len: usize) {
        let mut left = len;
        while left > 0 {
            let Some(Segment::Bytes(bytes)) = self.segments.first() else {
                panic!("bytes are read only where they are readable");
            };
            let chunk = &bytes[self.offset..bytes.len().min(self.offset + left)];
            to.push(chunk);
            left -= chunk.len();
            self.offset += chunk.len();
            self.settle();
        }
    }
}

/// The memory that a receive writes, and how far it has.
#[derive(Debug)]
pub(super) struct Sink<'a, 'b> {
    segments: &'a mut [SegmentMut<'b>],
    index: usize,
    offset: usize,
}

impl<'a, 'b> Sink<'a, 'b> {
    /// From byte `progress` on.
    #[inline]
    pub(super) fn new(segments: &'a mut [SegmentMut<'b>], progress: usize) -> Self {
        let mut sink = Sink { segments, index: 0, offset: progress };
        while let Some(segment) = sink.segments.get(sink.index)
            && sink.offset >= segment.len()
        {
            sink.offset -= segment.len();
            sink.index += 1;
        }
        sink
    }

    pub(super) fn len(segments: &[SegmentMut<'_>]) -> usize {
        transfer(segments.iter().map(SegmentMut::len))
    }

    /// Writes `bytes`, for which there must be room. EFAULT at memory that cannot be written.
    #[inline]
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            let Some(segment) = self.segments.get_mut(self.index) else {
                panic!("no more is received than there is room for");
            };
            let SegmentMut::Bytes(room) = segment else {
                if segment.is_empty() {
                    self.index += 1;
                    continue;
                }
                return Err(Errno::FAULT);
            };
            let room = &mut room[self.offset..];
            let chunk = bytes.len().min(room.len());
            room[..chunk].copy_from_slice(&bytes[..chunk]);
            bytes = &bytes[chunk..];
            self.offset += chunk;
            if chunk == room.len() {
                self.index += 1;
                self.offset = 0;
            }
        }
        Ok(())
    }
}
