//! Descriptors that a process was started with, from their numbers.
#![expect(unsafe_code, reason = "makes owned descriptors of numbers")]

use afunix::net::OwnedFd;

use crate::Sim;

/// The descriptor `number` of the process of `sim`, which has just been taken off the list of those
/// that were given to it and not yet taken over.
pub(crate) fn take_over(sim: Sim, number: i32) -> OwnedFd<Sim> {
    // SAFETY: the number was moved into the table when the process was started, nothing else owns
    // it, and the list gives it out once. In a simulation, moreover, a wrong number harms simulated
    // files alone.
    unsafe { OwnedFd::from_raw(sim, number) }
}
