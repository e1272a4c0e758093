//! Memory that threads share: locks, condition variables, channels and atomics, shaped as std's.
//!
//! On hosts whose threads are the system's they *are* std's, with nothing added. In a simulation
//! each operation is a step: the scheduler decides who comes first, and an exhaustive search tries
//! the orders of the operations that touch the same thing, and of no others. (`std::sync::Mutex`
//! held across a call would hang a simulation: all its threads take turns on one.)
//!
//! ```
//! use std::sync::Arc;
//! use afunix::{Host, sync::Mutex};
//!
//! /// Counts on several threads.
//! fn count<H: Host>(host: &H) -> u32 {
//!     let sum = Arc::new(Mutex::new(host, 0));
//!     let threads: Vec<_> = (0..3)
//!         .map(|_| {
//!             let sum = Arc::clone(&sum);
//!             host.spawn("counter", move || *sum.lock().unwrap() += 1)
//!         })
//!         .collect();
//!     threads.into_iter().for_each(|thread| thread.join().unwrap());
//!     *sum.lock().unwrap()
//! }
//! ```
//!
//! What is made by a process is used by that process's threads. A simulation is sequentially
//! consistent: weaker [orderings](std::sync::atomic::Ordering) of atomics are not explored. A
//! thread that unwinds does not wait there: a destructor that has to wait for a lock then panics.
//!
//! # The seam
//! A host that schedules its threads itself hands out an [`Arbiter`] for each of these things.

mod atomic;
mod condvar;
pub mod mpsc;
mod mutex;
mod rwlock;

use std::convert::Infallible;
use std::fmt;
use std::sync::{LockResult, PoisonError};
use std::time::Duration;

pub use atomic::{
    AtomicBool, AtomicI32, AtomicI64, AtomicIsize, AtomicU32, AtomicU64, AtomicUsize,
};
pub use condvar::Condvar;
pub use mutex::{Mutex, MutexGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use std::sync::TryLockError;

use crate::snapshot::WaitReason;

/// How an operation touched the thing that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It changed nothing that another could tell: two of these commute.
    Read,
    /// It changed it, which may let those go on that wait there.
    Write,
}

/// What came of an operation when it was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried<R> {
    /// It is done.
    Done(Access, R),
    /// It has to wait, and has changed nothing. [`Access::Write`] if that hangs on what others
    /// only read: a writer waits for readers.
    Waits(Access, WaitReason),
}

/// Decides, for one thing in memory, who comes first: part of a host that schedules its threads.
pub trait Arbiter: Send + Sync + fmt::Debug + 'static {
    /// Does an operation, called `what` in pictures, as one step of the calling thread: waits for
    /// its turn, tries, and if it has to wait, tries again whenever the thing was changed. `None`
    /// if it still has to wait after `timeout`, or if the thread unwinds and cannot wait.
    fn step<R>(
        &self,
        what: &'static str,
        timeout: Option<Duration>,
        attempt: impl FnMut() -> Tried<R>,
    ) -> Option<R>;

    /// Does an operation that never waits, out of a destructor, as one step; of a thread that
    /// unwinds, or that is not of the process: without waiting for its turn.
    fn release(&self, what: &'static str, act: impl FnOnce() -> Access);

    /// The step under way touched this thing, too.
    fn touch(&self, access: Access);

    /// Lets those who wait here try again.
    fn wake(&self);

    /// The calling thread holds this from now on, or no longer: for reports of deadlocks.
    fn hold(&self, yes: bool);
}

/// Of hosts that leave it to the system: there is none.
impl Arbiter for Infallible {
    fn step<R>(
        &self,
        _: &'static str,
        _: Option<Duration>,
        _: impl FnMut() -> Tried<R>,
    ) -> Option<R> {
        match *self {}
    }

    fn release(&self, _: &'static str, _: impl FnOnce() -> Access) {
        match *self {}
    }

    fn touch(&self, _: Access) {
        match *self {}
    }

    fn wake(&self) {
        match *self {}
    }

    fn hold(&self, _: bool) {
        match *self {}
    }
}

/// The same with another guard.
fn map<G, R>(result: LockResult<G>, make: impl FnOnce(G) -> R) -> LockResult<R> {
    match result {
        Ok(guard) => Ok(make(guard)),
        Err(poisoned) => Err(PoisonError::new(make(poisoned.into_inner()))),
    }
}

/// What came of trying to take a lock.
fn tried<G>(result: Result<G, TryLockError<G>>, access: Access) -> Tried<LockResult<G>> {
    match result {
        Ok(guard) => Tried::Done(access, Ok(guard)),
        Err(TryLockError::Poisoned(poisoned)) => Tried::Done(access, Err(poisoned)),
        Err(TryLockError::WouldBlock) => Tried::Waits(access, WaitReason::Lock),
    }
}

/// What a destructor is told that would have to wait while its thread unwinds.
#[cold]
fn unwinding() -> ! {
    panic!("a destructor has to wait for a lock while its thread unwinds, and here it cannot")
}
