//! How tasks are woken, by whatever thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use crate::net::OwnedFd;
use crate::sync::{Access, Arbiter};
use crate::{Call, Errno, Host, OpenFlags, Segment, SegmentMut};

/// The tasks of an executor that can go on.
pub(super) struct Woken<H: Host> {
    /// What threads are ordered at that wake tasks of each other.
    arbiter: Option<H::Arbiter>,
    state: Mutex<State>,
    /// An event counter: ends the executor's wait.
    counter: OwnedFd<H>,
}

#[derive(Default)]
struct State {
    /// In the order in which they were woken, each once.
    ready: Vec<u64>,
    /// The executor waits, or is about to.
    waits: bool,
}

impl<H: Host> Woken<H> {
    pub(super) fn new(host: &H) -> Result<Woken<H>, Errno> {
        let flags = (OpenFlags::CLOEXEC | OpenFlags::NONBLOCK).bits();
        let number = host.call(&mut Call::Eventfd2 { count: 0, flags })?;
        let counter = OwnedFd::new(host.clone(), number as i32);
        Ok(Woken { arbiter: host.arbiter(), state: Mutex::default(), counter })
    }

    pub(super) fn counter(&self) -> &OwnedFd<H> {
        &self.counter
    }

    fn state(&self, access: Access) -> MutexGuard<'_, State> {
        if let Some(arbiter) = &self.arbiter {
            arbiter.touch(access);
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task can go on.
    pub(super) fn push(&self, task: u64) {
        let waits = {
            let mut state = self.state(Access::Write);
            if !state.ready.contains(&task) {
                state.ready.push(task);
            }
            std::mem::take(&mut state.waits)
        };
        if waits {
            let one = 1_u64.to_ne_bytes();
            let data = Segment::Bytes(&one);
            // It can only fail by being full: then the executor's wait ends all the same.
            let fd = self.counter.as_fd();
            let _ = self.counter.backend().call(&mut Call::Write { fd, data, progress: 0 });
        }
    }

    /// Takes one of those that can go on, by what `pick` says of how many.
    pub(super) fn take(&self, pick: impl FnOnce(usize) -> usize) -> Option<u64> {
        let count = self.state(Access::Read).ready.len();
        if count == 0 {
            return None;
        }
        let index = pick(count);
        Some(self.state(Access::Read).ready.remove(index))
    }

    /// Whether the executor may wait: from here on whoever wakes a task ends that wait.
    pub(super) fn may_wait(&self) -> bool {
        let mut state = self.state(Access::Read);
        state.waits = state.ready.is_empty();
        state.waits
    }

    /// The executor waits no longer.
    pub(super) fn waited(&self) {
        self.state(Access::Read).waits = false;
    }

    /// Takes what ended a wait out of the counter.
    pub(super) fn drain(&self) {
        let mut bytes = [0; 8];
        let data = SegmentMut::Bytes(&mut bytes);
        // Empty is as good.
        let fd = self.counter.as_fd();
        let _ = self.counter.backend().call(&mut Call::Read { fd, data, progress: 0 });
    }
}

/// Wakes one task.
pub(super) struct Waking<H: Host> {
    pub(super) woken: Arc<Woken<H>>,
    pub(super) task: u64,
}

impl<H: Host> Wake for Waking<H> {
    fn wake(self: Arc<Self>) {
        self.woken.push(self.task);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.push(self.task);
    }
}
