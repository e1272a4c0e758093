//! The one unsafe call of this crate: taking over a number that a process was started with.
#![expect(unsafe_code, reason = "a number becomes an owned descriptor")]

use afunix::Backend;
use afunix::net::OwnedFd;

/// Takes over `number`, which the host hands out once.
pub(crate) fn take_over<B: Backend + Clone>(host: &B, number: i32) -> OwnedFd<B> {
    // SAFETY: the process was started with this number, and the host strikes it off its list before
    // it calls. On the model a wrong number could at worst be answered with EBADF.
    unsafe { OwnedFd::from_raw(host.clone(), number) }
}
