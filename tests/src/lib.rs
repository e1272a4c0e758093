//! Conformance, differential, property, tidy and command-line tests.
//!
//! - [`calls`]: short helpers that make one system call each, by number.
//! - [`conformance`]: one body per behaviour, named after its rule, run on every backend.
//! - [`hostile`]: calls as no sane program makes them.
//! - [`table`]: which cases show which rule.
//! - [`differential`]: generated programs of calls in lock-step on the model and on the kernel.

pub mod calls;
pub mod conformance;
#[cfg(feature = "model")]
pub mod differential;
#[cfg(feature = "model")]
pub mod hostile;
pub mod raw;
pub mod table;
