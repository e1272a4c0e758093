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
    if (level, option) == (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER) {
        return get_filter(fd, value);
    }
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
    if (level, option) == (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER)
        && value.len().is_multiple_of(size_of::<libc::sock_filter>())
    {
        return attach_filter(fd, value);
    }
    let (bytes, len) = (value.as_ptr().cast(), value.len() as socklen_t);
    // SAFETY: `len` bytes are read, and are borrowed. Options whose value holds a pointer (filters)
    // have the kernel read there, or fail with EFAULT; none has it write there.
    result(unsafe { libc::setsockopt(fd.number(), level, option, bytes, len) })
}

/// SO_ATTACH_FILTER, whose value is the program itself here, not where it lies.
fn attach_filter(fd: Fd<'_>, program: &[u8]) -> Result<usize, Errno> {
    let count = program.len() / size_of::<libc::sock_filter>();
    let value = libc::sock_fprog {
        // What does not fit is far over what the kernel takes: EINVAL all the same.
        len: u16::try_from(count).unwrap_or(u16::MAX),
        filter: program.as_ptr().cast_mut().cast(),
    };
    let (bytes, len) = ((&raw const value).cast(), size_of_val(&value) as socklen_t);
    let option = libc::SO_ATTACH_FILTER;
    // SAFETY: `value` is read, and the program that it points to, which may lie unaligned; a
    // program that is longer than the kernel takes is not read.
    result(unsafe { libc::setsockopt(fd.number(), libc::SOL_SOCKET, option, bytes, len) })
}

/// SO_GET_FILTER, whose lengths count instructions.
fn get_filter(fd: Fd<'_>, value: &mut OptionOut<'_>) -> Result<usize, Errno> {
    /// BPF_MAXINSNS: no program is longer.
    const INSTRUCTIONS_MAX: usize = 4096;
    const NOTHING: libc::sock_filter = libc::sock_filter { code: 0, jt: 0, jf: 0, k: 0 };
    let mut len = value.len.min(INSTRUCTIONS_MAX as i32) as socklen_t;
    let mut program = vec![NOTHING; INSTRUCTIONS_MAX];
    let (place, option) = (program.as_mut_ptr().cast(), libc::SO_ATTACH_FILTER);
    // SAFETY: at most `len` instructions are written, and `program` has them; a negative `len` is
    // refused.
    let returned = result(unsafe {
        libc::getsockopt(fd.number(), libc::SOL_SOCKET, option, place, &mut len)
    })?;
    let asked = std::mem::replace(&mut value.len, len as i32);
    if asked == 0 {
        return Ok(returned);
    }
    for (at, instruction) in program[..len as usize].iter().enumerate() {
        let place = value.buffer.get_mut(8 * at..8 * at + 8).ok_or(Errno::FAULT)?;
        place[..2].copy_from_slice(&instruction.code.to_ne_bytes());
        (place[2], place[3]) = (instruction.jt, instruction.jf);
        place[4..].copy_from_slice(&instruction.k.to_ne_bytes());
    }
    Ok(returned)
}
