//! The waiting: a [`Room`] is a lock around a value, with those who sleep in it.
//!
//! One lock guards the value and the list of sleepers. A sleeper is entered under the lock under
//! which it learned that it has to wait, and is taken out by whoever wakes it: *being on the list
//! is being asleep*. So a wake-up can neither come too early (the sleeper is on the list before
//! anyone else has the lock) nor be forgotten (the list remembers it, whatever the condition
//! variable does). Checked by loom in `tests/loom.rs`.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use afunix::Pid;
use afunix_model::Ticket;

use crate::sync::{Condvar, Mutex, MutexGuard};

/// A lock around a value, with those who sleep in it.
#[derive(Debug)]
pub struct Room<T> {
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    value: T,
    asleep: BTreeMap<Ticket, Sleeper>,
    /// Set when somebody panicked while he held the lock: the value may be half changed.
    broken: bool,
}

/// One waiting call.
#[derive(Debug)]
struct Sleeper {
    /// The process of the thread that makes it.
    of: Pid,
    condvar: Arc<Condvar>,
}

impl<T> Room<T> {
    /// A room with nobody asleep.
    pub fn new(value: T) -> Self {
        Room { inner: Mutex::new(Inner { value, asleep: BTreeMap::new(), broken: false }) }
    }

    /// Locks it.
    ///
    /// # Panics
    /// If somebody panicked while he held the lock, unless the caller is unwinding already.
    pub fn lock(&self) -> Held<'_, T> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let unwinding = std::thread::panicking();
        if inner.broken && !unwinding {
            drop(inner);
            panic!(
                "another thread panicked inside the model, whose state is no longer to be trusted"
            );
        }
        Held { inner: Some(inner), unwinding }
    }

    /// Whether somebody panicked while he held the lock.
    pub fn is_broken(&self) -> bool {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).broken
    }
}

/// The value of a [`Room`], locked.
#[derive(Debug)]
pub struct Held<'a, T> {
    /// Empty only while `wait` has it.
    inner: Option<MutexGuard<'a, Inner<T>>>,
    /// Whether the holder was unwinding when he took the lock.
    unwinding: bool,
}

impl<T> Held<'_, T> {
    /// Releases the lock and sleeps until `ticket` is woken (`true`), or nothing is left of the
    /// time (`false`). `left` tells how much is; `None` is for ever. `of` is the sleeper's process.
    pub fn wait(mut self, ticket: Ticket, of: Pid, left: impl Fn() -> Option<Duration>) -> bool {
        let mut inner = self.inner.take().expect("the lock is held until it is waited with");
        let condvar = Arc::new(Condvar::new());
        inner.asleep.insert(ticket, Sleeper { of, condvar: Arc::clone(&condvar) });
        while inner.asleep.contains_key(&ticket) {
            inner = match left() {
                None => condvar.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    inner.asleep.remove(&ticket);
                    return false;
                }
                Some(time) => {
                    condvar.wait_timeout(inner, time).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        true
    }

    /// Wakes the sleeper of `ticket`, if there is one.
    pub fn wake(&mut self, ticket: Ticket) {
        if let Some(sleeper) = self.inner_mut().asleep.remove(&ticket) {
            sleeper.condvar.notify_one();
        }
    }

    /// Wakes every sleeper of a process.
    pub fn wake_process(&mut self, pid: Pid) {
        self.wake_all(|sleeper| sleeper.of == pid);
    }

    fn wake_all(&mut self, which: impl Fn(&Sleeper) -> bool) {
        self.inner_mut().asleep.retain(|_, sleeper| {
            let wake = which(sleeper);
            if wake {
                sleeper.condvar.notify_one();
            }
            !wake
        });
    }

    fn inner_mut(&mut self) -> &mut Inner<T> {
        self.inner.as_mut().expect("the lock is held until it is waited with")
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner.as_ref().expect("the lock is held until it is waited with").value
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner_mut().value
    }
}

// Not under loom: it gives up a failed run by dropping its threads where they stand.
#[cfg(not(loom))]
impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        // Nobody will wake the sleepers of a model that broke in the middle of a step.
        if self.inner.is_some() && std::thread::panicking() && !self.unwinding {
            self.inner_mut().broken = true;
            self.wake_all(|_| true);
        }
    }
}
