//! Pipes and event counters.

use afunix::{Errno, OpenFlags};

use super::result;

pub(super) fn pipe2(flags: OpenFlags, fds: &mut [i32; 2]) -> Result<usize, Errno> {
    // SAFETY: `fds` is room for the two numbers that are written.
    result(unsafe { libc::pipe2(fds.as_mut_ptr(), flags.bits()) })
}

pub(super) fn eventfd2(count: u32, flags: i32) -> Result<usize, Errno> {
    // SAFETY: takes numbers alone.
    result(unsafe { libc::eventfd(count, flags) })
}
