//! Numbers as descriptors: the one module here that is unsafe.
//!
//! The descriptors are those of the model's processes, which replay what a log says; they exist in
//! the model alone, and nothing else relies on their numbers.
#![expect(unsafe_code, reason = "the log names descriptors by number")]

use afunix::control::RawControl;
use afunix::net::Fd;

/// The descriptor of a number.
pub(crate) fn fd(number: i32) -> Fd<'static> {
    // SAFETY: the number is one of the model's (module comment).
    unsafe { Fd::borrow_raw(number) }
}

/// Control data of these bytes.
pub(crate) fn control(bytes: &[u8]) -> RawControl<'_> {
    // SAFETY: as in `fd`.
    unsafe { RawControl::from_bytes(bytes) }
}
