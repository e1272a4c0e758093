//! Event counters: eventfd(2).

use afunix::snapshot::WaitReason;
use afunix::{Errno, OpenFlags, Readiness, Segment, SegmentMut};

use super::super::file::{FileId, Kind};
use super::super::process::InCallState;
use super::super::{Access, Cx, Flow, Machine, Object, Settled, Wait, Why};
use super::io::{check_vector, copy_out, total};
use crate::wait::{On, Ticket, WaitQueue, WatchKey};

slotmap::new_key_type! {
    /// An event counter.
    pub struct EventfdKey;
}

/// EFD_SEMAPHORE: a read takes one.
const SEMAPHORE: i32 = 1;
/// Bytes of a count.
const WORD: usize = 8;

#[derive(Clone, Debug)]
pub(in super::super) struct Eventfd {
    count: u64,
    is_semaphore: bool,
    /// All who wait, to read, to write and in polls.
    waiting: WaitQueue,
}

impl Machine {
    /// eventfd2(2).
    pub(super) fn eventfd2(&mut self, cx: Cx, count: u32, flags: i32) -> Result<usize, Errno> {
        let kept = OpenFlags::NONBLOCK;
        let cloexec = OpenFlags::CLOEXEC;
        if flags & !(SEMAPHORE | kept.bits() | cloexec.bits()) != 0 {
            return Err(Errno::INVAL);
        }
        self.room(cx, 1)?;
        let is_semaphore = flags & SEMAPHORE != 0;
        let count = u64::from(count);
        let eventfd = Eventfd { count, is_semaphore, waiting: WaitQueue::default() };
        let eventfd = self.eventfds.insert(eventfd);
        self.touch(Object::Eventfd(eventfd), Access::Write);
        let flags = OpenFlags::from_bits_retain(flags);
        let file = self.new_file(Kind::Eventfd(eventfd), OpenFlags::RDWR | (flags & kept));
        self.install(cx, file, flags.contains(cloexec)).map(|number| number as usize)
    }

    /// read(2): the count, which becomes 0; of a semaphore 1, which is taken.
    pub(super) fn read_eventfd(
        &mut self,
        cx: Cx,
        file: FileId,
        key: EventfdKey,
        (data, vector): (&mut [SegmentMut<'_>], bool),
    ) -> Flow {
        let lens = data.iter().map(SegmentMut::len);
        if let Err(errno) = check_vector(&self.files[file], data.len(), lens.clone()) {
            return Flow::Done(Err(errno));
        }
        if vector && total(lens.clone()) == Ok(0) {
            return Flow::Done(Ok(0));
        }
        if total(lens).is_ok_and(|len| len < WORD) {
            return Flow::Done(Err(Errno::INVAL));
        }
        self.touch(Object::Eventfd(key), Access::Write);
        let nonblocking = self.is_nonblocking(file);
        let eventfd = &mut self.eventfds[key];
        if eventfd.count == 0 {
            return match cx.why {
                Why::First if nonblocking => Flow::Done(Err(Errno::AGAIN)),
                Why::Interrupted => Flow::Done(Err(Errno::INTR)),
                _ => self.wait_at_eventfd(file, key, WaitReason::Readable),
            };
        }
        let taken = if eventfd.is_semaphore { 1 } else { eventfd.count };
        eventfd.count -= taken;
        eventfd.waiting.wake(&mut self.tickets, Readiness::OUT);
        // What cannot be copied out whole is lost all the same.
        match copy_out(&taken.to_ne_bytes(), data) {
            Ok(WORD) => Flow::Done(Ok(WORD)),
            _ => Flow::Done(Err(Errno::FAULT)),
        }
    }

    /// write(2): adds. writev(2) is one write of each segment.
    pub(super) fn write_eventfd(
        &mut self,
        cx: Cx,
        file: FileId,
        key: EventfdKey,
        (data, vector): (&[Segment<'_>], bool),
        progress: &mut usize,
    ) -> Flow {
        let lens = data.iter().map(Segment::len);
        if let Err(errno) = check_vector(&self.files[file], data.len(), lens.clone()) {
            return Flow::Done(Err(errno));
        }
        if vector && total(lens) == Ok(0) {
            return Flow::Done(Ok(0));
        }
        let mut done = if cx.why == Why::First { 0 } else { *progress };
        // A segment that is not a count ends the call: what is done is whole counts.
        let left = data.iter().enumerate().filter(|(index, part)| *index == 0 || !part.is_empty());
        for (_, segment) in left.skip(done / WORD) {
            match self.add(cx, file, key, segment) {
                Ok(true) => done += WORD,
                Ok(false) => {
                    *progress = done;
                    return self.wait_at_eventfd(file, key, WaitReason::Room);
                }
                Err(errno) if done == 0 => return Flow::Done(Err(errno)),
                Err(_) => break,
            }
        }
        Flow::Done(Ok(done))
    }

    /// Adds a count; `false` if it has to wait for room.
    fn add(
        &mut self,
        cx: Cx,
        file: FileId,
        key: EventfdKey,
        segment: &Segment<'_>,
    ) -> Result<bool, Errno> {
        if segment.len() != WORD {
            return Err(Errno::INVAL);
        }
        let Segment::Bytes(bytes) = segment else { return Err(Errno::FAULT) };
        let word = <[u8; WORD]>::try_from(*bytes).map_err(|_| Errno::INVAL)?;
        let added = u64::from_ne_bytes(word);
        if added == u64::MAX {
            return Err(Errno::INVAL);
        }
        self.touch(Object::Eventfd(key), Access::Write);
        let nonblocking = self.is_nonblocking(file);
        let eventfd = &mut self.eventfds[key];
        // The largest count of all is the kernel's own.
        if u64::MAX - eventfd.count <= added {
            return match cx.why {
                Why::Interrupted => Err(Errno::INTR),
                _ if nonblocking => Err(Errno::AGAIN),
                _ => Ok(false),
            };
        }
        eventfd.count += added;
        eventfd.waiting.wake(&mut self.tickets, Readiness::IN);
        Ok(true)
    }

    fn wait_at_eventfd(&mut self, file: FileId, key: EventfdKey, reason: WaitReason) -> Flow {
        let ticket = self.tickets.issue();
        self.enrol_at_eventfd(ticket, key);
        let on = On { reason, socket: None };
        let settled = Settled { file: Some(file), polled: Vec::new() };
        Flow::Wait(Wait { on, ticket, deadline: None, settled, state: InCallState::None })
    }

    /// Puts a ticket where the counter's changes wake it.
    pub(super) fn enrol_at_eventfd(&mut self, ticket: Ticket, key: EventfdKey) {
        self.touch(Object::Eventfd(key), Access::Awaits);
        self.eventfds[key].waiting.enrol(&self.tickets, ticket, false);
    }

    /// Lets an epoll hear of the counter's changes.
    pub(super) fn watch_eventfd(&mut self, key: EventfdKey, watch: WatchKey, exclusive: bool) {
        self.eventfds[key].waiting.watch(&self.tickets, watch, exclusive);
    }

    /// poll(2): there is no RDNORM and no WRNORM.
    pub(super) fn eventfd_readiness(&mut self, key: EventfdKey) -> Readiness {
        self.touch(Object::Eventfd(key), Access::Read);
        let count = self.eventfds[key].count;
        let mut ready = Readiness::empty();
        ready.set(Readiness::IN, count > 0);
        ready.set(Readiness::OUT, count < u64::MAX - 1);
        ready
    }
}
