//! The model under a deterministic scheduler, virtual time and faults.
//!
//! An application that is generic over its [`Host`](afunix::Host) runs here on [`Sim`]: its threads
//! are coroutines, its processes groups of them, its clock is virtual, and every choice (who goes
//! on, which fault strikes) is drawn from one tape, by which the run can be made again, exactly.
//!
//! ```
//! use std::io::{Read, Write};
//! use afunix::{Host, net::UnixStream};
//! use afunix_sim::{Choices, RunOptions, app, run};
//!
//! let app = app(|host| {
//!     let (mut left, mut right) = UnixStream::pair(host).unwrap();
//!     let writer = host.spawn("writer", move || left.write_all(b"hello"));
//!     let mut heard = [0; 5];
//!     right.read_exact(&mut heard).unwrap();
//!     writer.join().unwrap().unwrap();
//!     i32::from(heard != *b"hello")
//! });
//! let report = run(&app, &RunOptions::default(), Choices::Seed(1));
//! assert!(report.passed());
//! ```
//!
//! [`explore`] makes many runs, [`replay`] makes one again, [`shrink`] makes a failing one simpler.
//!
//! # What cannot be seen
//! A thread that never makes a call keeps the OS thread for itself: the run hangs. A
//! `std::sync::Mutex` held across a call stalls the run when another thread of it takes the same
//! lock: use the locks of [`afunix::sync`]. Code that asks the clock, the environment or a hasher
//! with a random seed is not deterministic: [`explore`] finds that out by making runs twice.

mod align;
mod arbiter;
mod checks;
mod choice;
mod coroutine;
mod counts;
mod critical;
mod decisive;
pub mod explain;
mod explore;
mod faults;
mod host;
mod inherited;
mod options;
mod os_thread;
mod panics;
mod property;
mod record;
mod report;
mod run;
mod script;
mod search;
mod shrink;
mod strategy;
mod tape;
mod testing;
mod waits;
mod watchdog;
mod world;

pub use afunix_sim_macros::test;
pub use align::Alignment;
pub use arbiter::SimArbiter;
pub use checks::{Check, NotACheck};
pub use choice::{Choice, Label, Random, Strategy};
pub use critical::{CriticalPair, Place};
pub use decisive::Decisive;
pub use explore::{
    Campaign, Ended, ExploreOptions, Found, Met, Progress, Promise, Searched, exhaust, explore,
    run_seed,
};
pub use faults::{FaultCounts, Faults, NotAProfile};
pub use host::Sim;
pub use options::RunOptions;
pub use property::{Modality, Now};
pub use report::{Failure, FailureKind, Outcome, Report};
pub use run::{App, Choices, app, realign, replay, run};
pub use shrink::{Shrunk, shrink};
pub use strategy::Plan;
pub use tape::{Mark, Tape, TapeError};
pub use testing::{Crash, Ending, Process, RuleHandle, Settings, Test, run_test};

/// The sockets of [`afunix::net`] in a simulation.
pub mod net {
    use crate::Sim;

    /// A datagram socket.
    pub type UnixDatagram = afunix::net::UnixDatagram<Sim>;
    /// A listening stream socket.
    pub type UnixListener = afunix::net::UnixListener<Sim>;
    /// A seqpacket socket.
    pub type UnixSeqpacket = afunix::net::UnixSeqpacket<Sim>;
    /// A listening seqpacket socket.
    pub type UnixSeqpacketListener = afunix::net::UnixSeqpacketListener<Sim>;
    /// A stream socket.
    pub type UnixStream = afunix::net::UnixStream<Sim>;
}
