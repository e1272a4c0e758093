//! The contract.
pub mod snapshot;
pub mod trace;
