//! What message buffers are charged, and who is woken when a charge is given back (MEM).

use afunix::Errno;

use super::call::{Cause, Stop, Waiting};
use super::socket::Flags;
use super::{Part, SocketKey, Sockets, Touch, WaitReason};
use crate::profile::{Planted, Profile};
use crate::wait::Tickets;

/// A message buffer to be: how many bytes it takes and what it is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) bytes: usize,
    pub(super) charge: u32,
}

/// Rounds up to a multiple of a power of two, without the division that any other number would
/// need.
#[inline]
fn round_up(bytes: u32, to: u32) -> u32 {
    debug_assert!(to.is_power_of_two(), "pages and cache lines are powers of two");
    (bytes + to - 1) & !(to - 1)
}

impl Profile {
    /// MEM 2: the charge of a buffer with `bytes` in one allocation.
    #[inline]
    fn head_charge(&self, bytes: u32) -> u32 {
        let memory = &self.memory;
        let allocation = round_up(bytes, memory.align) + memory.tail;
        if allocation <= memory.least {
            // Most messages are small. `least` is a power of two itself.
            return memory.buffer + memory.least;
        }
        memory.buffer + allocation.max(memory.least).next_power_of_two()
    }

    /// The charge of a buffer, of a stream or not, that fits the least allocation, as most do.
    #[inline(always)]
    pub(super) fn small_charge(&self, bytes: usize) -> Option<u32> {
        let memory = &self.memory;
        debug_assert!((memory.least - memory.tail).is_multiple_of(memory.align));
        let is_small = bytes <= (memory.least - memory.tail) as usize;
        is_small.then_some(memory.buffer + memory.least)
    }

    /// MEM 3: the charge of a datagram or record. ENOBUFS if no memory can be that large (MEM 4).
    #[inline]
    pub(super) fn datagram_charge(&self, bytes: usize) -> Result<u32, Errno> {
        let memory = &self.memory;
        const LARGEST_ALLOCATION: usize = 4 << 20;
        let most = LARGEST_ALLOCATION - memory.tail as usize + memory.datagram_pages as usize;
        if bytes > most {
            return Err(Errno::NOBUFS);
        }
        let bytes = bytes as u32;
        if bytes <= memory.datagram_head {
            return Ok(self.head_charge(bytes));
        }
        let pages = (bytes - memory.datagram_head).min(memory.datagram_pages);
        let pages = round_up(pages, self.page_size);
        Ok(self.head_charge(bytes - pages) + pages)
    }

    /// MEM 5: the next buffer of a stream with `left` bytes to go.
    #[inline]
    pub(super) fn stream_size(&self, left: usize, send_buffer: u32) -> Size {
        let memory = &self.memory;
        let most = (send_buffer / 2 - 64).min(memory.stream_most);
        let bytes = left.min(most as usize) as u32;
        if bytes <= memory.stream_head {
            return Size { bytes: bytes as usize, charge: self.head_charge(bytes) };
        }
        let pages = round_up(bytes - memory.stream_head, self.page_size).min(bytes);
        let charge = self.head_charge(bytes - pages) + round_up(pages, self.page_size);
        Size { bytes: bytes as usize, charge }
    }
}

impl Sockets {
    /// Whether a sender may start a new buffer; else why not, or that it waits (SSEND 7). In order:
    /// a pending error, which is cleared; own shutdown; memory; the time; a signal.
    #[inline]
    pub(super) fn await_memory(
        &mut self,
        key: SocketKey,
        nonblocking: bool,
        cause: Cause,
    ) -> Result<(), Stop> {
        self.watch.touch(Part::SendMemory(key), Touch::Read);
        self.take_pending(key)?;
        let socket = self.own(key);
        if socket.flags.contains(Flags::SHUT_WRITE) {
            return Err(Errno::PIPE.into());
        }
        // MEM 6: a buffer may start whenever anything is left, so overshoot is normal.
        if socket.send_memory < socket.send_buffer {
            return Ok(());
        }
        let timeout = self.send_timeout(key);
        self.found_no_room(key);
        if nonblocking || timeout.is_some_and(|time| time.is_zero()) || cause == Cause::TimedOut {
            return Err(Errno::AGAIN.into());
        }
        if cause == Cause::Interrupted {
            return Err(Errno::INTR.into());
        }
        self.watch.touch(Part::SendMemory(key), Touch::Awaits);
        self.watch.touch(Part::State(key), Touch::Awaits);
        Err(Stop::Wait(Waiting { reason: WaitReason::Memory, socket: key, timeout, anew: false }))
    }

    pub(super) fn charge(&mut self, key: SocketKey, charge: u32) {
        self.watch.touch(Part::SendMemory(key), Touch::Write);
        self.table[key].send_memory += charge;
    }

    /// Gives a charge back, and wakes who waits to write if the socket polls writable now.
    #[inline]
    pub(super) fn uncharge(&mut self, tickets: &mut Tickets, key: SocketKey, charge: u32) {
        self.watch.touch(Part::SendMemory(key), Touch::Write);
        let Some(socket) = self.table.get_mut(key) else {
            panic!("a sender is kept until its last message is gone");
        };
        socket.send_memory -= charge;
        if socket.is_dead() {
            self.free_if_unused(key);
        } else if socket.waiters.is_some() || socket.alerts().is_some() {
            self.tell_freed(tickets, key);
        }
    }

    /// A message buffer of a sender is freed: sent and taken, or never sent, for a send that fails
    /// has one already (POLL 9).
    pub(super) fn tell_freed(&mut self, tickets: &mut Tickets, key: SocketKey) {
        // The kernel gives back all but one byte, looks whether it is writable, then the rest; so
        // this asks for one byte more than MEM 8 does.
        let socket = &self.table[key];
        let held = u64::from(socket.send_memory) + 2;
        if 4 * held <= u64::from(socket.send_buffer) {
            self.wake_writable(tickets, key);
            self.alert_room(key);
        }
    }

    /// Whether a writer that waits for memory finds it when something wakes it. The kernel looks at
    /// one byte more than a fresh writer does.
    pub(super) fn memory_waiter_goes_on(&self, key: SocketKey) -> bool {
        if self.profile.planted.contains(Planted::LOSES_MEMORY_WAKES) {
            return false;
        }
        self.living(key).is_some_and(|socket| {
            socket.send_memory + 1 < socket.send_buffer
                || socket.flags.contains(Flags::SHUT_WRITE)
                || socket.error.is_some()
        })
    }
}
