//! A pure model of Unix domain sockets and of the machine around them.
//!
//! [`Machine`] is the simulated computer: processes, descriptor tables, open files, a file system,
//! and the protocol family in [`sockets`]. It does no I/O and has no clock, no threads and no
//! chance of its own. One rule drives it: *one step, then drain the effects.*
#![forbid(unsafe_code)]

pub mod check;
pub mod machine;
pub mod park;
pub mod profile;
pub mod sockets;
pub mod wait;

pub use check::Violation;
pub use machine::{
    Access, Effect, Happened, LoadError, Loaded, Machine, Object, Resume, Spawn, Step, Time,
};
pub use park::{Emulated, Park};
pub use profile::Profile;
pub use wait::{On, Ticket};
