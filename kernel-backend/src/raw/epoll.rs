//! epoll and select.

use std::ptr;
use std::time::Duration;

use afunix::net::Fd;
use afunix::{EpollEvent, EpollFlags, Errno, EventsOut, OpenFlags, SigSet};
use libc::{c_int, c_long, c_ulong, epoll_event};

use super::data::timespec;
use super::signal::sigset;
use super::{memory, result};

/// Events that come at once without a list of their own.
const FEW: usize = 32;
/// More descriptors than any table has.
const DESCRIPTORS_MAX: usize = 1 << 20;
/// Bits of a word of a set.
const WORD: usize = u64::BITS as usize;

pub(super) fn epoll_create1(flags: OpenFlags) -> Result<usize, Errno> {
    // SAFETY: takes a number alone.
    result(unsafe { libc::epoll_create1(flags.bits()) })
}

pub(super) fn epoll_ctl(
    fd: Fd<'_>,
    op: i32,
    target: Fd<'_>,
    event: Option<EpollEvent>,
) -> Result<usize, Errno> {
    let event = event.map(|event| epoll_event { events: event.events.bits(), u64: event.data });
    let event = event.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the event is only read, and lives on the stack or is null.
    result(unsafe { libc::epoll_ctl(fd.number(), op, target.number(), event.cast_mut()) })
}

pub(super) fn epoll_pwait2(
    fd: Fd<'_>,
    events: &mut EventsOut<'_>,
    timeout: Option<Duration>,
    mask: Option<SigSet>,
) -> Result<usize, Errno> {
    let events = match events {
        EventsOut::Fault(maxevents) => {
            // SAFETY: the memory faults.
            return unsafe { wait(fd, memory::faulting().cast(), *maxevents, timeout, mask) };
        }
        EventsOut::Room(events) => events,
    };
    let none = epoll_event { events: 0, u64: 0 };
    let mut few = [none; FEW];
    let mut many = Vec::new();
    let room = match few.get_mut(..events.len()) {
        Some(room) => room,
        None => {
            many.resize(events.len(), none);
            &mut many[..]
        }
    };
    let maxevents = c_int::try_from(room.len()).map_err(|_| Errno::INVAL)?;
    // SAFETY: there is room for as many events as are told.
    let count = unsafe { wait(fd, room.as_mut_ptr(), maxevents, timeout, mask) }?;
    for (event, raw) in events.iter_mut().zip(&room[..count]) {
        *event = EpollEvent { events: EpollFlags::from_bits_retain(raw.events), data: raw.u64 };
    }
    Ok(count)
}

/// # Safety
/// `events` has room for `maxevents` events, or faults.
unsafe fn wait(
    fd: Fd<'_>,
    events: *mut epoll_event,
    maxevents: c_int,
    timeout: Option<Duration>,
    mask: Option<SigSet>,
) -> Result<usize, Errno> {
    let timeout = timeout.map(timespec);
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    let mask = mask.map(sigset);
    let mask = mask.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: as the caller promised; timeout and mask are null or live on the stack. The kernel
    // reads the first eight bytes of a mask: 64 signals.
    result(unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            fd.number() as c_long,
            events,
            maxevents as c_long,
            timeout,
            mask,
            8 as c_ulong,
        )
    })
}

/// The system call, which tells the time that is left; libc's function does not.
pub(super) fn pselect6(
    nfds: i32,
    sets: [Option<&mut [u64]>; 3],
    timeout: Option<&mut Duration>,
    mask: Option<SigSet>,
) -> Result<usize, Errno> {
    // Bits that a set has no room for are clear.
    let words = usize::try_from(nfds).unwrap_or(0).min(DESCRIPTORS_MAX).div_ceil(WORD);
    let nfds = nfds.min(DESCRIPTORS_MAX as i32);
    let mut lists = [const { Vec::new() }; 3];
    let mut pointers = [ptr::null_mut(); 3];
    for ((set, list), pointer) in sets.iter().zip(&mut lists).zip(&mut pointers) {
        if let Some(set) = set {
            *list = set.to_vec();
            list.resize(set.len().max(words), 0);
            *pointer = list.as_mut_ptr();
        }
    }
    let mut left = timeout.as_deref().copied().map(timespec);
    let left_pointer = left.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    let raw = mask.map(sigset);
    // The mask and its length in bytes: 64 signals.
    let argument = (raw.as_ref().map_or(ptr::null(), ptr::from_ref), 8usize);
    // SAFETY: each set is null or has a bit for every number below `nfds`; the timeout is null or
    // lives on the stack, as the mask and its length do.
    let returned = result(unsafe {
        libc::syscall(
            libc::SYS_pselect6,
            nfds as c_long,
            pointers[0],
            pointers[1],
            pointers[2],
            left_pointer,
            mask.map_or(ptr::null(), |_| ptr::from_ref(&argument)),
        )
    });
    for (set, list) in sets.into_iter().zip(&lists) {
        if let Some(set) = set {
            set.copy_from_slice(&list[..set.len()]);
        }
    }
    if let (Some(timeout), Some(left)) = (timeout, left) {
        *timeout = Duration::new(left.tv_sec.max(0) as u64, left.tv_nsec as u32);
    }
    returned
}
