//! Numbers as descriptors: the one module of the tests that is unsafe.
//!
//! Tests make calls on numbers that are closed, were never open, or belong to another process; I/O
//! safety cannot be had there. It is harmless because whoever uses these functions has a process
//! (or a model) to itself: the conformance cases and the differential workers own every number in
//! it.
#![expect(unsafe_code, reason = "tests name descriptors by number, as C programs do")]

use afunix::Backend;
use afunix::control::RawControl;
use afunix::net::{Fd, OwnedFd};

/// The descriptor of any number.
pub fn fd(number: i32) -> Fd<'static> {
    // SAFETY: the process is the test's own (module comment); nothing else relies on its numbers.
    unsafe { Fd::borrow_raw(number) }
}

/// Control data of any bytes.
pub fn control(bytes: &[u8]) -> RawControl<'_> {
    // SAFETY: as in `fd`.
    unsafe { RawControl::from_bytes(bytes) }
}

/// Takes over a number, to hand it to a child process.
pub fn owned<B: Backend>(backend: B, number: i32) -> OwnedFd<B> {
    // SAFETY: the case that calls this made the descriptor and does not use its number again.
    unsafe { OwnedFd::from_raw(backend, number) }
}
