//! Pipes: a ring of pages between two files.
//!
//! A pipe holds up to [`SLOTS`] *slots* of a page each. A write fills new slots, and before that
//! the rest of the last slot if all of its odd bytes fit there; so a pipe can be full with far
//! fewer bytes than its 64 KiB, and a write of up to a page (PIPE_BUF) is never parted.

use std::collections::VecDeque;

use afunix::call::Stat;
use afunix::snapshot::WaitReason;
use afunix::{Errno, OpenFlags, Readiness, Segment, SegmentMut};

use super::super::file::{FileId, Kind, OpenFile, SocketInode};
use super::super::fs::PIPE_DEVICE;
use super::super::process::InCallState;
use super::super::{Access, Cx, Flow, Machine, Object, Settled, Wait, Why};
use super::io::{check_vector, total};
use crate::wait::{On, Ticket, WaitQueue, WatchKey};

slotmap::new_key_type! {
    /// A pipe.
    pub struct PipeKey;
}

/// How many slots a pipe has (PIPE_DEF_BUFFERS).
const SLOTS: usize = 16;
/// Bytes of a slot, which is PIPE_BUF too.
const SLOT_BYTES: usize = 4096;
/// O_DIRECT: each write is a packet.
const DIRECT: i32 = 0o40000;
/// O_EXCL, which asks for a queue of the kernel's notifications.
const NOTIFICATIONS: i32 = 0o200;

/// What there is while it holds a byte, and what a write brings.
const CAN_READ: Readiness = Readiness::IN.union(Readiness::RDNORM);
/// What there is while a page is free, and what a read brings.
const CAN_WRITE: Readiness = Readiness::OUT.union(Readiness::WRNORM);

/// The bytes of one page.
#[derive(Clone, Debug)]
struct Slot {
    bytes: Vec<u8>,
    /// How many were read.
    read: usize,
    /// A read takes it whole, and later writes are not added to it.
    is_packet: bool,
}

/// What both ends share.
#[derive(Clone, Debug)]
pub(in super::super) struct Pipe {
    slots: VecDeque<Slot>,
    /// Files that read, 1 or 0, and files that write.
    readers: u32,
    writers: u32,
    /// Somebody polled it once: from then on every write wakes, whether or not it was empty.
    was_polled: bool,
    inode: SocketInode,
    ino: u64,
    /// Those who wait to read, in order; polls for something to read.
    reading: WaitQueue,
    /// Those who wait to write, in order; polls for room.
    writing: WaitQueue,
}

impl Pipe {
    fn new(ino: u64, uid: u32, gid: u32) -> Self {
        Pipe {
            slots: VecDeque::new(),
            readers: 1,
            writers: 1,
            was_polled: false,
            inode: SocketInode { mode: 0o600, uid, gid },
            ino,
            reading: WaitQueue::default(),
            writing: WaitQueue::default(),
        }
    }

    pub(in super::super) fn ino(&self) -> u64 {
        self.ino
    }

    /// Bytes in it.
    pub(in super::super) fn len(&self) -> usize {
        self.slots.iter().map(|slot| slot.bytes.len() - slot.read).sum()
    }

    pub(in super::super) fn stat(&self) -> Stat {
        let SocketInode { mode, uid, gid } = self.inode;
        Stat {
            dev: PIPE_DEVICE,
            ino: self.ino,
            mode: Stat::IFIFO | mode,
            nlink: 1,
            uid,
            gid,
            size: 0,
            blksize: 4096,
        }
    }

    pub(in super::super) fn set_mode(&mut self, mode: u32) {
        self.inode.mode = mode & 0o7777;
    }

    /// How many files of it are open: for the invariants.
    pub(in super::super) fn ends(&self) -> (u32, u32) {
        (self.readers, self.writers)
    }

    fn is_full(&self) -> bool {
        self.slots.len() >= SLOTS
    }

    /// Moves bytes out, and tells whether it was full when a slot came free.
    fn take(
        &mut self,
        data: &mut [SegmentMut<'_>],
        mut left: usize,
    ) -> (Result<usize, Errno>, bool) {
        let mut into = Into { data, at: 0 };
        let (mut done, mut made_room) = (0, false);
        while let Some(slot) = self.slots.front_mut() {
            let bytes = &slot.bytes[slot.read..];
            let count = bytes.len().min(left);
            if into.put(&bytes[..count]) < count {
                // A slot that cannot be copied whole stays.
                return (if done == 0 { Err(Errno::FAULT) } else { Ok(done) }, made_room);
            }
            slot.read += count;
            done += count;
            left -= count;
            if slot.is_packet {
                left = 0;
            }
            if slot.is_packet || slot.read == slot.bytes.len() {
                made_room |= self.slots.len() >= SLOTS;
                self.slots.pop_front();
            }
            if left == 0 {
                break;
            }
        }
        (Ok(done), made_room)
    }

    /// Adds the odd bytes of a write to the last slot if they fit: how many, if any.
    fn merge(&mut self, data: &[Segment<'_>], len: usize) -> Result<usize, Errno> {
        let odd = len % SLOT_BYTES;
        let Some(last) = self.slots.back_mut() else { return Ok(0) };
        if odd == 0 || last.is_packet || last.bytes.len() + odd > SLOT_BYTES {
            return Ok(0);
        }
        let bytes = gather(data, 0, odd).ok_or(Errno::FAULT)?;
        last.bytes.extend_from_slice(&bytes);
        Ok(odd)
    }
}

/// Where read bytes go.
struct Into<'d, 'b> {
    data: &'d mut [SegmentMut<'b>],
    /// How far it is filled, from the beginning of the first segment.
    at: usize,
}

impl Into<'_, '_> {
    /// How many of the bytes found room before memory that faults.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let (mut done, mut start) = (0, 0);
        for segment in self.data.iter_mut() {
            let end = start + segment.len();
            if self.at < end && done < bytes.len() {
                let SegmentMut::Bytes(buffer) = segment else { return done };
                let from = self.at - start;
                let count = (buffer.len() - from).min(bytes.len() - done);
                buffer[from..from + count].copy_from_slice(&bytes[done..done + count]);
                done += count;
                self.at += count;
            }
            start = end;
        }
        done
    }
}

/// `count` bytes from `skip` on; `None` if one of them cannot be read.
fn gather(data: &[Segment<'_>], mut skip: usize, count: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(count);
    for segment in data {
        let from = skip.min(segment.len());
        skip -= from;
        let wanted = (count - bytes.len()).min(segment.len() - from);
        match segment {
            _ if wanted == 0 => {}
            Segment::Bytes(all) => bytes.extend_from_slice(&all[from..from + wanted]),
            Segment::Fault(_) => return None,
        }
    }
    Some(bytes)
}

impl Machine {
    /// pipe2(2).
    pub(super) fn pipe2(
        &mut self,
        cx: Cx,
        flags: OpenFlags,
        fds: &mut [i32; 2],
    ) -> Result<usize, Errno> {
        let kept = OpenFlags::NONBLOCK | OpenFlags::from_bits_retain(DIRECT);
        let known = kept | OpenFlags::CLOEXEC | OpenFlags::from_bits_retain(NOTIFICATIONS);
        if !(flags - known).is_empty() {
            return Err(Errno::INVAL);
        }
        if flags.bits() & NOTIFICATIONS != 0 {
            return Err(Errno::NOPKG);
        }
        let numbers = self.room(cx, 2)?;
        let identity = &self.process(cx).identity;
        let pipe = Pipe::new(self.next_file, identity.fsuid, identity.fsgid);
        let pipe = self.pipes.insert(pipe);
        self.touch(Object::Pipe(pipe), Access::Write);
        // O_DIRECT is the writer's alone.
        let ends = [flags & OpenFlags::NONBLOCK, OpenFlags::WRONLY | (flags & kept)];
        for status in ends {
            let file = self.new_file(Kind::Pipe(pipe), status);
            let cloexec = flags.contains(OpenFlags::CLOEXEC);
            self.install(cx, file, cloexec).expect("there was room for the descriptors");
        }
        *fds = numbers;
        Ok(0)
    }

    /// read(2) of a pipe's end.
    pub(super) fn read_pipe(
        &mut self,
        cx: Cx,
        file: FileId,
        key: PipeKey,
        data: &mut [SegmentMut<'_>],
    ) -> Flow {
        let left = match self.pipe_bytes(file, false, data.iter().map(SegmentMut::len), data.len())
        {
            Ok(0) => return Flow::Done(Ok(0)),
            Ok(len) => len,
            Err(errno) => return Flow::Done(Err(errno)),
        };
        self.touch(Object::Pipe(key), Access::Write);
        let nonblocking = self.is_nonblocking(file);
        let pipe = &mut self.pipes[key];
        let (result, made_room) = pipe.take(data, left);
        if result == Ok(0) && pipe.writers > 0 {
            return match cx.why {
                _ if nonblocking => Flow::Done(Err(Errno::AGAIN)),
                Why::Interrupted => Flow::Done(Err(Errno::INTR)),
                _ => self.wait_at_pipe(file, key, WaitReason::Readable),
            };
        }
        if made_room {
            pipe.writing.wake(&mut self.tickets, CAN_WRITE);
        }
        // One wake reaches one reader: whoever was woken and leaves something passes it on.
        if cx.why != Why::First && !pipe.slots.is_empty() {
            pipe.reading.wake(&mut self.tickets, CAN_READ);
        }
        Flow::Done(result)
    }

    /// write(2) to a pipe's end.
    pub(super) fn write_pipe(
        &mut self,
        cx: Cx,
        file: FileId,
        key: PipeKey,
        data: &[Segment<'_>],
        progress: &mut usize,
    ) -> Flow {
        let len = match self.pipe_bytes(file, true, data.iter().map(Segment::len), data.len()) {
            Ok(0) => return Flow::Done(Ok(0)),
            Ok(len) => len,
            Err(errno) => return Flow::Done(Err(errno)),
        };
        self.touch(Object::Pipe(key), Access::Write);
        let first = cx.why == Why::First;
        let was_empty = self.pipes[key].slots.is_empty();
        let mut done = if first { 0 } else { *progress };
        let stop = self.fill_pipe(cx, file, key, (data, len), &mut done);
        let pipe = &mut self.pipes[key];
        if stop.is_none() {
            // It waits; what it wrote can be read meanwhile.
            if was_empty {
                pipe.reading.wake(&mut self.tickets, CAN_READ);
            }
            *progress = done;
            return self.wait_at_pipe(file, key, WaitReason::Room);
        }
        if was_empty || pipe.was_polled {
            pipe.reading.wake(&mut self.tickets, CAN_READ);
        }
        if !first && !pipe.is_full() {
            pipe.writing.wake(&mut self.tickets, CAN_WRITE);
        }
        let result = stop.unwrap_or(Ok(()));
        if result == Err(Errno::PIPE) {
            self.send_sigpipe(cx);
        }
        Flow::Done(if done > 0 { Ok(done) } else { result.map(|()| 0) })
    }

    /// Writes as much as there is room for, and says why it stopped: `None` to wait.
    fn fill_pipe(
        &mut self,
        cx: Cx,
        file: FileId,
        key: PipeKey,
        (data, len): (&[Segment<'_>], usize),
        done: &mut usize,
    ) -> Option<Result<(), Errno>> {
        let nonblocking = self.is_nonblocking(file);
        let is_packet = self.files[file].status.bits() & DIRECT != 0;
        let pipe = &mut self.pipes[key];
        if cx.why == Why::First && pipe.readers > 0 {
            match pipe.merge(data, len) {
                Ok(merged) => *done = merged,
                Err(errno) => return Some(Err(errno)),
            }
        }
        while *done < len {
            if pipe.readers == 0 {
                return Some(Err(Errno::PIPE));
            }
            if pipe.is_full() {
                return match cx.why {
                    _ if nonblocking => Some(Err(Errno::AGAIN)),
                    Why::Interrupted => Some(Err(Errno::INTR)),
                    _ => None,
                };
            }
            let Some(bytes) = gather(data, *done, (len - *done).min(SLOT_BYTES)) else {
                return Some(Err(Errno::FAULT));
            };
            *done += bytes.len();
            pipe.slots.push_back(Slot { bytes, read: 0, is_packet });
        }
        Some(Ok(()))
    }

    /// How many bytes a call moves at most: EBADF at the wrong end, EINVAL.
    fn pipe_bytes(
        &self,
        file: FileId,
        writes: bool,
        lens: impl Iterator<Item = usize> + Clone,
        buffers: usize,
    ) -> Result<usize, Errno> {
        let state = &self.files[file];
        let allowed = if writes { state.may_write() } else { state.may_read() };
        if !allowed {
            return Err(Errno::BADF);
        }
        check_vector(state, buffers, lens.clone())?;
        total(lens)
    }

    fn wait_at_pipe(&mut self, file: FileId, key: PipeKey, reason: WaitReason) -> Flow {
        self.touch(Object::Pipe(key), Access::Awaits);
        let ticket = self.tickets.issue();
        self.enrol_at_pipe(ticket, file, key, true);
        let on = On { reason, socket: None };
        let settled = Settled { file: Some(file), polled: Vec::new() };
        Flow::Wait(Wait { on, ticket, deadline: None, settled, state: InCallState::None })
    }

    /// Puts a ticket where the changes of this end wake it.
    pub(super) fn enrol_at_pipe(
        &mut self,
        ticket: Ticket,
        file: FileId,
        key: PipeKey,
        exclusive: bool,
    ) {
        self.touch(Object::Pipe(key), Access::Awaits);
        let reads = self.files[file].may_read();
        let pipe = &mut self.pipes[key];
        let queue = if reads { &mut pipe.reading } else { &mut pipe.writing };
        queue.enrol(&self.tickets, ticket, exclusive);
    }

    /// Lets an epoll hear of the changes of this end.
    pub(super) fn watch_pipe(
        &mut self,
        file: FileId,
        key: PipeKey,
        watch: WatchKey,
        exclusive: bool,
    ) {
        let reads = self.files[file].may_read();
        let pipe = &mut self.pipes[key];
        let queue = if reads { &mut pipe.reading } else { &mut pipe.writing };
        queue.watch(&self.tickets, watch, exclusive);
    }

    /// poll(2) of an end.
    pub(super) fn pipe_readiness(&mut self, file: FileId, key: PipeKey) -> Readiness {
        // The kernel notes that it was polled: later writes wake more often.
        self.touch(Object::Pipe(key), Access::Write);
        let reads = self.files[file].may_read();
        let pipe = &mut self.pipes[key];
        pipe.was_polled = true;
        let mut ready = Readiness::empty();
        if reads {
            ready.set(CAN_READ, !pipe.slots.is_empty());
            ready.set(Readiness::HUP, pipe.writers == 0);
        } else {
            ready.set(CAN_WRITE, !pipe.is_full());
            ready.set(Readiness::ERR, pipe.readers == 0);
        }
        ready
    }

    /// The last close of an end.
    pub(in super::super) fn release_pipe(&mut self, key: PipeKey, file: &OpenFile) {
        self.touch(Object::Pipe(key), Access::Write);
        let pipe = &mut self.pipes[key];
        let count = if file.may_read() { &mut pipe.readers } else { &mut pipe.writers };
        *count -= 1;
        if pipe.readers == 0 && pipe.writers == 0 {
            self.pipes.remove(key);
            return;
        }
        pipe.reading.wake_all(&mut self.tickets, Readiness::empty());
        pipe.writing.wake_all(&mut self.tickets, Readiness::empty());
    }
}
