//! The calls that move data, and those that ask how much there is.

use std::time::Duration;

use afunix::control::{ControlOut, RawControl};
use afunix::net::Fd;
use afunix::options::{
    FIOASYNC, FIOGETOWN, FIONBIO, FIOSETOWN, SIOCATMARK, SIOCGPGRP, SIOCINQ, SIOCOUTQ, SIOCSPGRP,
    SIOCUNIXFILE,
};
use afunix::{
    Errno, NameOut, PollFd, RawName, Readiness, RecvFlags, Segment, SegmentMut, SendFlags, SigSet,
};
use libc::{c_int, msghdr, pollfd, timespec};

use super::memory::{self, NamePlace};
use super::result;

pub(super) fn read(fd: Fd<'_>, data: &mut SegmentMut<'_>) -> Result<usize, Errno> {
    let data = memory::segment_mut(data);
    // SAFETY: the segment is borrowed for writing, or faults.
    result(unsafe { libc::read(fd.number(), data.iov_base, data.iov_len) } as i64)
}

pub(super) fn write(fd: Fd<'_>, data: &Segment<'_>) -> Result<usize, Errno> {
    let data = memory::segment(data);
    // SAFETY: the segment is borrowed, or faults.
    result(unsafe { libc::write(fd.number(), data.iov_base, data.iov_len) } as i64)
}

pub(super) fn readv(fd: Fd<'_>, data: &mut [SegmentMut<'_>]) -> Result<usize, Errno> {
    memory::with_iovecs(data.iter_mut().map(memory::segment_mut), |list| {
        // SAFETY: each segment of the list is borrowed for writing, or faults.
        result(unsafe { libc::readv(fd.number(), list.as_ptr(), list.len() as c_int) } as i64)
    })
}

pub(super) fn writev(fd: Fd<'_>, data: &[Segment<'_>]) -> Result<usize, Errno> {
    memory::with_iovecs(data.iter().map(memory::segment), |list| {
        // SAFETY: each segment of the list is borrowed, or faults.
        result(unsafe { libc::writev(fd.number(), list.as_ptr(), list.len() as c_int) } as i64)
    })
}

pub(super) fn recvfrom(
    fd: Fd<'_>,
    data: &mut SegmentMut<'_>,
    flags: RecvFlags,
    name: &mut NameOut,
) -> Result<usize, Errno> {
    let data = memory::segment_mut(data);
    let mut place = NamePlace::of(name);
    let (address, address_len) = (place.name, place.len_pointer());
    // SAFETY: the segment is borrowed for writing, or faults; the place takes a name of any length.
    let returned = result(unsafe {
        libc::recvfrom(fd.number(), data.iov_base, data.iov_len, flags.bits(), address, address_len)
            as i64
    });
    name.reported = place.reported(returned.is_ok());
    returned
}

pub(super) fn sendto(
    fd: Fd<'_>,
    data: &Segment<'_>,
    flags: SendFlags,
    name: RawName<'_>,
) -> Result<usize, Errno> {
    let data = memory::segment(data);
    let (name, name_len) = memory::name(name);
    // SAFETY: the segment is borrowed or faults; so is the name, unless it is null.
    result(unsafe {
        libc::sendto(fd.number(), data.iov_base, data.iov_len, flags.bits(), name, name_len) as i64
    })
}

/// A message header with nothing in it.
pub(super) fn header() -> msghdr {
    // SAFETY: a msghdr is pointers and numbers (and padding, on some systems), for all of which 0
    // is a value.
    unsafe { std::mem::zeroed() }
}

pub(super) fn sendmsg(
    fd: Fd<'_>,
    name: RawName<'_>,
    data: &[Segment<'_>],
    control: &RawControl<'_>,
    flags: SendFlags,
) -> Result<usize, Errno> {
    let mut message = header();
    let (name, name_len) = memory::name(name);
    message.msg_name = name.cast_mut().cast();
    message.msg_namelen = name_len;
    match control.bytes() {
        Ok([]) => {}
        Ok(bytes) => {
            message.msg_control = bytes.as_ptr().cast_mut().cast();
            message.msg_controllen = bytes.len() as _;
        }
        Err(len) => {
            message.msg_control = memory::faulting();
            message.msg_controllen = len as _;
        }
    }
    memory::with_iovecs(data.iter().map(memory::segment), |list| {
        message.msg_iov = list.as_mut_ptr();
        message.msg_iovlen = list.len() as _;
        // SAFETY: sendmsg only reads; the name, the list, its segments and the control data are
        // borrowed, or null, or fault. That the descriptors in the control data may be used,
        // whoever made it promised.
        result(unsafe { libc::sendmsg(fd.number(), &message, flags.bits()) } as i64)
    })
}

pub(super) fn recvmsg(
    fd: Fd<'_>,
    name: &mut NameOut,
    data: &mut [SegmentMut<'_>],
    control: &mut ControlOut<'_>,
    flags: RecvFlags,
    flags_out: &mut RecvFlags,
) -> Result<usize, Errno> {
    let mut message = header();
    let mut place = NamePlace::of(name);
    if !place.len_pointer().is_null() {
        message.msg_name = place.name.cast();
        message.msg_namelen = place.len;
    }
    match &mut control.buffer {
        Ok([]) => {}
        Ok(buffer) => {
            message.msg_control = buffer.as_mut_ptr().cast();
            message.msg_controllen = buffer.len() as _;
        }
        Err(len) => {
            message.msg_control = memory::faulting();
            message.msg_controllen = *len as _;
        }
    }
    let returned = memory::with_iovecs(data.iter_mut().map(memory::segment_mut), |list| {
        message.msg_iov = list.as_mut_ptr();
        message.msg_iovlen = list.len() as _;
        // SAFETY: the segments and the control buffer are borrowed for writing with their lengths,
        // or fault; the place takes a name of any length.
        result(unsafe { libc::recvmsg(fd.number(), &mut message, flags.bits()) } as i64)
    });
    place.len = message.msg_namelen;
    name.reported = place.reported(returned.is_ok());
    // SRECV 13: a call that fails leaves the header as it was.
    if returned.is_ok() {
        control.len = message.msg_controllen;
        *flags_out = RecvFlags::from_bits_retain(message.msg_flags);
    }
    returned
}

/// The time as the kernel takes it; what is too long for it is the longest that it can wait.
pub(super) fn timespec(time: Duration) -> timespec {
    timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos() as _,
    }
}

pub(super) fn poll(
    fds: &mut [PollFd<'_>],
    timeout: Option<Duration>,
    mask: Option<SigSet>,
) -> Result<usize, Errno> {
    const FEW: usize = 8;
    let raw = |entry: &PollFd<'_>| pollfd {
        fd: entry.fd.map_or(-1, Fd::number),
        events: entry.events.bits(),
        revents: 0,
    };
    let mut few = [pollfd { fd: -1, events: 0, revents: 0 }; FEW];
    let mut many = Vec::new();
    let list = if fds.len() <= FEW {
        few.iter_mut().zip(fds.iter()).for_each(|(place, entry)| *place = raw(entry));
        &mut few[..fds.len()]
    } else {
        many.extend(fds.iter().map(raw));
        &mut many[..]
    };
    let timeout = timeout.map(timespec);
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let mask = mask.map(super::signal::sigset);
    let mask = mask.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the list has as many entries as are told; timeout and mask are null or live on the
    // stack.
    let returned =
        result(unsafe { libc::ppoll(list.as_mut_ptr(), list.len() as _, timeout, mask) });
    if returned.is_ok() {
        for (entry, raw) in fds.iter_mut().zip(list) {
            entry.revents = Readiness::from_bits_retain(raw.revents);
        }
    }
    returned
}

pub(super) fn ioctl(fd: Fd<'_>, request: u32, value: &mut i32) -> Result<usize, Errno> {
    match request {
        SIOCINQ | SIOCOUTQ | SIOCATMARK | FIONBIO | FIOASYNC | FIOSETOWN | SIOCSPGRP
        | FIOGETOWN | SIOCGPGRP => {
            // SAFETY: these requests read or write one int.
            result(unsafe { libc::ioctl(fd.number(), request as _, value as *mut i32) })
        }
        // SAFETY: this one takes no argument.
        SIOCUNIXFILE => result(unsafe { libc::ioctl(fd.number(), request as _) }),
        _ => {
            // Any other request could write where `value` points, and beyond it.
            // SAFETY: takes numbers alone.
            result(unsafe { libc::fcntl(fd.number(), libc::F_GETFD) })?;
            Err(Errno::NOTTY)
        }
    }
}
