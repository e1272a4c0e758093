//! The calls that make, name, connect and ask sockets.

use afunix::call::OptionOut;
use afunix::net::Fd;
use afunix::{Errno, NameOut, RawName, SocketFlags};
use libc::{c_int, sockaddr, socklen_t};

use super::memory::{self, NamePlace};
use super::result;

pub(super) fn socket(domain: i32, kind: i32, protocol: i32) -> Result<usize, Errno> {
    // SAFETY: takes numbers alone.
    result(unsafe { libc::socket(domain, kind, protocol) })
}

pub(super) fn socketpair(
    domain: i32,
    kind: i32,
    protocol: i32,
    fds: &mut [i32; 2],
) -> Result<usize, Errno> {
    // SAFETY: `fds` is room for the two numbers that are written.
    result(unsafe { libc::socketpair(domain, kind, protocol, fds.as_mut_ptr()) })
}

pub(super) fn bind(fd: Fd<'_>, name: RawName<'_>) -> Result<usize, Errno> {
    let (name, len) = memory::name(name);
    // SAFETY: `name` is null, faults, or is `len` bytes that are borrowed for the call.
    result(unsafe { libc::bind(fd.number(), name, len) })
}

pub(super) fn connect(fd: Fd<'_>, name: RawName<'_>) -> Result<usize, Errno> {
    let (name, len) = memory::name(name);
    // SAFETY: as in `bind`.
    result(unsafe { libc::connect(fd.number(), name, len) })
}

pub(super) fn listen(fd: Fd<'_>, backlog: i32) -> Result<usize, Errno> {
    // SAFETY: takes numbers alone.
    result(unsafe { libc::listen(fd.number(), backlog) })
}

pub(super) fn accept4(fd: Fd<'_>, name: &mut NameOut, flags: SocketFlags) -> Result<usize, Errno> {
    with_name(name, |name, len| {
        // SAFETY: `with_name` gives a place for a name of any length.
        unsafe { libc::accept4(fd.number(), name, len, flags.bits()) }
    })
}

pub(super) fn getsockname(fd: Fd<'_>, name: &mut NameOut) -> Result<usize, Errno> {
    with_name(name, |name, len| {
        // SAFETY: `with_name` gives a place for a name of any length.
        unsafe { libc::getsockname(fd.number(), name, len) }
    })
}

pub(super) fn getpeername(fd: Fd<'_>, name: &mut NameOut) -> Result<usize, Errno> {
    with_name(name, |name, len| {
        // SAFETY: `with_name` gives a place for a name of any length.
        unsafe { libc::getpeername(fd.number(), name, len) }
    })
}

/// Runs a call with a place for a name, and notes the length that it reported.
fn with_name(
    out: &mut NameOut,
    call: impl FnOnce(*mut sockaddr, *mut socklen_t) -> c_int,
) -> Result<usize, Errno> {
    let mut place = NamePlace::of(out);
    let returned = result(call(place.name, place.len_pointer()));
    out.reported = place.reported(returned.is_ok());
    returned
}

pub(super) fn shutdown(fd: Fd<'_>, how: i32) -> Result<usize, Errno> {
    // SAFETY: takes numbers alone.
    result(unsafe { libc::shutdown(fd.number(), how) })
}

pub(super) fn getsockopt(
    fd: Fd<'_>,
    level: i32,
    option: i32,
    value: &mut OptionOut<'_>,
) -> Result<usize, Errno> {
    let room = i32::try_from(value.buffer.len()).unwrap_or(i32::MAX);
    let mut len = value.len.min(room) as socklen_t;
    let buffer = value.buffer.as_mut_ptr().cast();
    // SAFETY: at most `len` bytes are written, and the buffer has them; a negative `len` is
    // refused.
    let returned =
        result(unsafe { libc::getsockopt(fd.number(), level, option, buffer, &mut len) });
    value.len = len as i32;
    returned
}

pub(super) fn setsockopt(
    fd: Fd<'_>,
    level: i32,
    option: i32,
    value: &[u8],
) -> Result<usize, Errno> {
    let (bytes, len) = (value.as_ptr().cast(), value.len() as socklen_t);
    // SAFETY: `len` bytes are read, and are borrowed. Options whose value holds a pointer (filters)
    // have the kernel read there, or fail with EFAULT; none has it write there.
    result(unsafe { libc::setsockopt(fd.number(), level, option, bytes, len) })
}
