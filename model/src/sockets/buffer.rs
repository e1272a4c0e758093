//! Message buffers, and the queue of them that every socket receives from.
//!
//! The bytes of all buffers of a queue lie one behind the other in one ring; a *buffer* is the
//! record of some of them: who sent them, what they are charged, what rides on them.

use std::collections::VecDeque;
use std::num::NonZeroU64;

use afunix::call::transfer;
use afunix::{Errno, Segment, SegmentMut, Ucred};

use super::{Attachment, SocketKey};

/// Credentials of a buffer that carries none (RCMSG 2).
pub(super) const NO_CREDENTIALS: Ucred = Ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };

/// One message buffer, without its bytes.
#[derive(Clone, Debug)]
pub(super) struct Buffer {
    pub(super) from: SocketKey,
    /// Bytes that can still be read. 0: an empty message; on a stream a consumed out-of-band byte.
    pub(super) len: u32,
    /// Bytes in the ring before those, which nobody will read.
    pub(super) skip: u32,
    /// What the sender is charged until the whole buffer is consumed (MEM 7).
    pub(super) charge: u32,
    pub(super) credentials: Ucred,
    /// The user who is accountable for the files in flight.
    pub(super) user: u32,
    /// The out-of-band mark of its queue.
    pub(super) urgent: bool,
    /// An empty message that was peeked at once (PEEKOFF 2).
    pub(super) peeked: bool,
    /// When it was sent, in nanoseconds, if the receiver asked for it then (RCMSG 1).
    pub(super) stamp: Option<NonZeroU64>,
    pub(super) files: Vec<Attachment>,
}

impl Buffer {
    fn extent(&self) -> usize {
        (self.skip + self.len) as usize
    }
}

/// A receive queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    buffers: VecDeque<Buffer>,
    ring: VecDeque<u8>,
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
        self.buffers.is_empty()
    }

    pub(super) fn is_marked(&self) -> bool {
        self.marked
    }

    pub(super) fn get(&self, index: usize) -> Option<&Buffer> {
        self.buffers.get(index)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Buffer> {
        self.buffers.get_mut(index)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Buffer> {
        self.buffers.iter()
    }

    /// Puts a buffer at the end, with `buffer.len` bytes of `source`, which must be readable.
    #[inline]
    pub(super) fn push(&mut self, buffer: Buffer, source: &mut Source<'_, '_>) {
        debug_assert_eq!(buffer.skip, 0, "a new buffer is whole");
        source.read_into(&mut self.ring, buffer.len as usize);
        self.input += buffer.len;
        if buffer.urgent {
            self.clear_mark();
            self.marked = true;
        }
        self.buffers.push_back(buffer);
    }

    /// The mark becomes ordinary data.
    pub(super) fn clear_mark(&mut self) {
        if std::mem::take(&mut self.marked)
            && let Some(buffer) = self.buffers.iter_mut().find(|buffer| buffer.urgent)
        {
            buffer.urgent = false;
        }
    }

    /// The number of the buffer that is the mark.
    pub(super) fn mark(&self) -> Option<usize> {
        if !self.marked {
            return None;
        }
        self.buffers.iter().position(|buffer| buffer.urgent)
    }

    /// Takes the first buffer out, with what is left of its bytes.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Buffer> {
        let buffer = self.buffers.pop_front()?;
        self.drop_bytes(buffer.extent());
        if buffer.urgent {
            self.marked = false;
        }
        Some(buffer)
    }

    /// Takes the last buffer out, which nobody has begun to read.
    pub(super) fn pop_newest(&mut self) -> Option<Buffer> {
        let buffer = self.buffers.pop_back()?;
        self.ring.truncate(self.ring.len() - buffer.extent());
        self.input -= buffer.len;
        Some(buffer)
    }

    /// Puts the last buffer before so many others, as far as there are. None is a mark.
    pub(super) fn bring_forward(&mut self, others: usize) {
        let Some(last) = self.buffers.len().checked_sub(1) else { return };
        let to = last - others.min(last);
        let (start, extent) = (self.extent(0, to), self.extent(last, last + 1));
        self.ring.make_contiguous()[start..].rotate_right(extent);
        let buffer = self.buffers.pop_back().expect("there is a last one");
        self.buffers.insert(to, buffer);
    }

    /// Takes out a consumed out-of-band byte from before buffer `index`; its place in the ring goes
    /// to that buffer (OOB 10).
    pub(super) fn remove_placeholder_before(&mut self, index: usize) -> Option<Buffer> {
        let before = index.checked_sub(1)?;
        if self.buffers[before].len != 0 {
            return None;
        }
        let placeholder = self.buffers.remove(before)?;
        self.buffers[before].skip += placeholder.skip;
        Some(placeholder)
    }

    /// The first `count` bytes of the first buffer were read.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        let Some(buffer) = self.buffers.front_mut() else {
            panic!("bytes are read out of a buffer");
        };
        let skip = std::mem::take(&mut buffer.skip);
        buffer.len -= count as u32;
        self.drop_bytes(skip as usize + count);
    }

    #[inline]
    fn drop_bytes(&mut self, count: usize) {
        if count == self.ring.len() {
            // Starts again at the beginning of its memory, which is in the cache.
            self.ring.clear();
        } else if count > 0 {
            self.ring.drain(..count);
        }
    }

    /// How many bytes of the ring belong to the buffers `from..to`.
    pub(super) fn extent(&self, from: usize, to: usize) -> usize {
        self.buffers.range(from..to).map(Buffer::extent).sum()
    }

    /// Copies `len` bytes of the buffer `index`, from its byte `skip` on. `start` is where that
    /// buffer begins in the ring. EFAULT if not all could be written; those before the fault are.
    #[inline]
    pub(super) fn copy_out(
        &self,
        (index, start): (usize, usize),
        skip: usize,
        len: usize,
        sink: &mut Sink<'_, '_>,
    ) -> Result<(), Errno> {
        let start = start + self.buffers[index].skip as usize + skip;
        let (front, back) = self.ring.as_slices();
        let in_front = front.get(start..).unwrap_or(&[]);
        if len <= in_front.len() {
            return sink.write(&in_front[..len]);
        }
        let back_start = start.saturating_sub(front.len());
        let rest = len - in_front.len();
        sink.write(in_front)?;
        sink.write(&back[back_start..back_start + rest])
    }

    /// Whether buffers, ring and mark agree; in words if not.
    pub(super) fn check(&self) -> Result<(), String> {
        let extent = self.extent(0, self.len());
        if extent != self.ring.len() {
            return Err(format!("buffers hold {extent} bytes, the ring {}", self.ring.len()));
        }
        let marks = self.buffers.iter().filter(|buffer| buffer.urgent).count();
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
                Segment::Fault(_) if readable < len => return readable,
                Segment::Fault(_) => return len,
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
    fn read_into(&mut self, ring: &mut VecDeque<u8>, len: usize) {
        let mut left = len;
        while left > 0 {
            let Some(Segment::Bytes(bytes)) = self.segments.first() else {
                panic!("bytes are read only where they are readable");
            };
            let chunk = &bytes[self.offset..bytes.len().min(self.offset + left)];
            ring.extend(chunk);
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
