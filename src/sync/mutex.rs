//! [`Mutex`].

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{self, LockResult, PoisonError, TryLockError};

use super::{Access, Arbiter, Tried, map, tried, unwinding};
use crate::Host;

/// A lock, as [`std::sync::Mutex`].
pub struct Mutex<T: ?Sized, H: Host> {
    pub(super) arbiter: Option<H::Arbiter>,
    pub(super) data: sync::Mutex<T>,
}

/// Holds a [`Mutex`], as [`std::sync::MutexGuard`].
#[must_use = "the lock is released when this is dropped"]
pub struct MutexGuard<'a, T: ?Sized, H: Host> {
    pub(super) mutex: &'a Mutex<T, H>,
    /// Gone once it is dropped.
    pub(super) data: Option<sync::MutexGuard<'a, T>>,
}

impl<T, H: Host> Mutex<T, H> {
    /// A lock that nobody holds, for the threads of the calling process.
    pub fn new(host: &H, value: T) -> Self {
        Mutex { arbiter: host.arbiter(), data: sync::Mutex::new(value) }
    }

    /// What is in it. An error if a thread panicked while it held the lock.
    pub fn into_inner(self) -> LockResult<T> {
        self.data.into_inner()
    }
}

impl<T: ?Sized, H: Host> Mutex<T, H> {
    /// Waits until nobody holds it, and takes it. An error, with the lock taken all the same, if a
    /// thread panicked while it held it.
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T, H>> {
        let data = match &self.arbiter {
            None => self.data.lock(),
            Some(arbiter) => arbiter
                .step("lock", None, || tried(self.data.try_lock(), Access::Write))
                .unwrap_or_else(|| unwinding()),
        };
        map(data, |data| self.guard(data))
    }

    /// Takes it if nobody holds it.
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T, H>, TryLockError<MutexGuard<'_, T, H>>> {
        let data = match &self.arbiter {
            None => self.data.try_lock(),
            Some(arbiter) => arbiter
                .step("try_lock", None, || match self.data.try_lock() {
                    Err(TryLockError::WouldBlock) => {
                        Tried::Done(Access::Read, Err(TryLockError::WouldBlock))
                    }
                    taken => Tried::Done(Access::Write, taken),
                })
                .unwrap_or(Err(TryLockError::WouldBlock)),
        };
        match data {
            Ok(data) => Ok(self.guard(data)),
            Err(TryLockError::Poisoned(data)) => {
                Err(PoisonError::new(self.guard(data.into_inner())).into())
            }
            Err(TryLockError::WouldBlock) => Err(TryLockError::WouldBlock),
        }
    }

    /// What is in it, for the only one who has it.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.data.get_mut()
    }

    /// Whether a thread panicked while it held it.
    pub fn is_poisoned(&self) -> bool {
        self.data.is_poisoned()
    }

    pub(super) fn guard<'a>(&'a self, data: sync::MutexGuard<'a, T>) -> MutexGuard<'a, T, H> {
        if let Some(arbiter) = &self.arbiter {
            arbiter.hold(true);
        }
        MutexGuard { mutex: self, data: Some(data) }
    }
}

impl<T: ?Sized, H: Host> Drop for MutexGuard<'_, T, H> {
    fn drop(&mut self) {
        if let (Some(arbiter), Some(_)) = (&self.mutex.arbiter, &self.data) {
            arbiter.release("unlock", || {
                arbiter.hold(false);
                self.data = None;
                Access::Write
            });
        }
    }
}

impl<T: ?Sized, H: Host> Deref for MutexGuard<'_, T, H> {
    type Target = T;

    fn deref(&self) -> &T {
        self.data.as_ref().expect("it holds the lock until it is dropped")
    }
}

impl<T: ?Sized, H: Host> DerefMut for MutexGuard<'_, T, H> {
    fn deref_mut(&mut self) -> &mut T {
        self.data.as_mut().expect("it holds the lock until it is dropped")
    }
}

impl<T: ?Sized + fmt::Debug, H: Host> fmt::Debug for Mutex<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.data.fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug, H: Host> fmt::Debug for MutexGuard<'_, T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.data.fmt(f)
    }
}
