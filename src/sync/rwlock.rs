//! [`RwLock`].

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{self, LockResult};

use super::{Access, Arbiter, Tried, map, tried, unwinding};
use crate::Host;

/// A lock that many may hold to read or one to write, as [`std::sync::RwLock`]. Whether a reader
/// that comes while a writer waits comes first is open, as std leaves it open.
pub struct RwLock<T: ?Sized, H: Host> {
    arbiter: Option<H::Arbiter>,
    data: sync::RwLock<T>,
}

/// Holds an [`RwLock`] to read.
#[must_use = "the lock is released when this is dropped"]
pub struct RwLockReadGuard<'a, T: ?Sized, H: Host> {
    lock: &'a RwLock<T, H>,
    /// Gone once it is dropped.
    data: Option<sync::RwLockReadGuard<'a, T>>,
}

/// Holds an [`RwLock`] to write.
#[must_use = "the lock is released when this is dropped"]
pub struct RwLockWriteGuard<'a, T: ?Sized, H: Host> {
    lock: &'a RwLock<T, H>,
    /// Gone once it is dropped.
    data: Option<sync::RwLockWriteGuard<'a, T>>,
}

impl<T, H: Host> RwLock<T, H> {
    /// A lock that nobody holds, for the threads of the calling process.
    pub fn new(host: &H, value: T) -> Self {
        RwLock { arbiter: host.arbiter(), data: sync::RwLock::new(value) }
    }

    /// What is in it. An error if a thread panicked while it held it to write.
    pub fn into_inner(self) -> LockResult<T> {
        self.data.into_inner()
    }
}

impl<T: ?Sized, H: Host> RwLock<T, H> {
    /// Waits until nobody holds it to write, and takes it to read.
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T, H>> {
        let data = match &self.arbiter {
            None => self.data.read(),
            Some(arbiter) => arbiter
                .step("read_lock", None, || tried(self.data.try_read(), Access::Read))
                .unwrap_or_else(|| unwinding()),
        };
        map(data, |data| self.reader(data))
    }

    /// Waits until nobody holds it, and takes it to write.
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T, H>> {
        let data = match &self.arbiter {
            None => self.data.write(),
            Some(arbiter) => arbiter
                .step("write_lock", None, || tried(self.data.try_write(), Access::Write))
                .unwrap_or_else(|| unwinding()),
        };
        map(data, |data| self.writer(data))
    }

    /// Takes it to read if nobody holds it to write; `None` otherwise, and if it is poisoned.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T, H>> {
        let data = match &self.arbiter {
            None => self.data.try_read(),
            Some(arbiter) => arbiter
                .step("try_read", None, || Tried::Done(Access::Read, self.data.try_read()))?,
        };
        Some(self.reader(data.ok()?))
    }

    /// Takes it to write if nobody holds it; `None` otherwise, and if it is poisoned.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T, H>> {
        let data = match &self.arbiter {
            None => self.data.try_write(),
            Some(arbiter) => arbiter
                .step("try_write", None, || Tried::Done(Access::Write, self.data.try_write()))?,
        };
        Some(self.writer(data.ok()?))
    }

    /// What is in it, for the only one who has it.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.data.get_mut()
    }

    fn reader<'a>(&'a self, data: sync::RwLockReadGuard<'a, T>) -> RwLockReadGuard<'a, T, H> {
        self.hold();
        RwLockReadGuard { lock: self, data: Some(data) }
    }

    fn writer<'a>(&'a self, data: sync::RwLockWriteGuard<'a, T>) -> RwLockWriteGuard<'a, T, H> {
        self.hold();
        RwLockWriteGuard { lock: self, data: Some(data) }
    }

    fn hold(&self) {
        if let Some(arbiter) = &self.arbiter {
            arbiter.hold(true);
        }
    }
}

impl<T: ?Sized, H: Host> Drop for RwLockReadGuard<'_, T, H> {
    fn drop(&mut self) {
        if let Some(arbiter) = &self.lock.arbiter {
            arbiter.release("read_unlock", || {
                arbiter.hold(false);
                self.data = None;
                // Readers do not see each other come and go; a writer waits for all of them.
                arbiter.wake();
                Access::Read
            });
        }
    }
}

impl<T: ?Sized, H: Host> Drop for RwLockWriteGuard<'_, T, H> {
    fn drop(&mut self) {
        if let Some(arbiter) = &self.lock.arbiter {
            arbiter.release("write_unlock", || {
                arbiter.hold(false);
                self.data = None;
                Access::Write
            });
        }
    }
}

impl<T: ?Sized, H: Host> Deref for RwLockReadGuard<'_, T, H> {
    type Target = T;

    fn deref(&self) -> &T {
        self.data.as_ref().expect("it holds the lock until it is dropped")
    }
}

impl<T: ?Sized, H: Host> Deref for RwLockWriteGuard<'_, T, H> {
    type Target = T;

    fn deref(&self) -> &T {
        self.data.as_ref().expect("it holds the lock until it is dropped")
    }
}

impl<T: ?Sized, H: Host> DerefMut for RwLockWriteGuard<'_, T, H> {
    fn deref_mut(&mut self) -> &mut T {
        self.data.as_mut().expect("it holds the lock until it is dropped")
    }
}

impl<T: ?Sized + fmt::Debug, H: Host> fmt::Debug for RwLock<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.data.fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug, H: Host> fmt::Debug for RwLockReadGuard<'_, T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.data.fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug, H: Host> fmt::Debug for RwLockWriteGuard<'_, T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.data.fmt(f)
    }
}
