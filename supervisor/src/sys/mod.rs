//! The system calls that the supervisor itself makes. All that is unsafe in this crate is here.
#![expect(unsafe_code, reason = "system calls take pointers and raw numbers")]

pub(crate) mod act;
pub(crate) mod epoll;
pub(crate) mod file;
pub(crate) mod launch;
pub(crate) mod memory;
pub(crate) mod notify;
pub(crate) mod process;
pub(crate) mod socket;

use std::os::fd::{FromRawFd, OwnedFd};

use afunix::Errno;

/// The error of the last call that failed.
fn last() -> Errno {
    Errno::from_io(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// What a system call returned, by whatever width.
fn check(value: impl Into<i64>) -> Result<i64, Errno> {
    let value = value.into();
    if value < 0 { Err(last()) } else { Ok(value) }
}

/// Takes over a descriptor that a system call has just made.
fn owned(number: i64) -> OwnedFd {
    // SAFETY: the kernel has just made it, for the caller of this function alone.
    unsafe { OwnedFd::from_raw_fd(number as i32) }
}
