//! Descriptors by number: the tests of a machine name any number, open or not.

#![expect(unsafe_code, reason = "borrow_raw promises something of real descriptors only")]

use afunix::control::RawControl;
use afunix::net::Fd;

/// The descriptor of a number in a simulated process.
pub(crate) fn fd(number: i32) -> Fd<'static> {
    // SAFETY: the number is used with a simulated machine alone, whose tables hold no real
    // descriptor.
    unsafe { Fd::borrow_raw(number) }
}

/// Any control data.
pub(crate) fn control(bytes: &[u8]) -> RawControl<'_> {
    // SAFETY: as in `fd`.
    unsafe { RawControl::from_bytes(bytes) }
}
