//! [`Condvar`].

use std::fmt;
use std::sync::{self, LockResult, PoisonError};
use std::time::Duration;

use super::{Access, Arbiter, MutexGuard, Tried, map};
use crate::Host;
use crate::snapshot::WaitReason;

/// A condition variable, as [`std::sync::Condvar`]. Which of those who wait a notification wakes is
/// open, as POSIX leaves it open: in a simulation, whoever comes first.
pub struct Condvar<H: Host> {
    real: sync::Condvar,
    stepped: Option<(H::Arbiter, sync::Mutex<Waits>)>,
}

/// Who waits at a condition variable of a simulation.
#[derive(Debug, Default)]
struct Waits {
    /// The next one's number.
    next: u64,
    /// The numbers of those who wait and that [`Condvar::notify_all`] has not let go.
    waiting: Vec<u64>,
    /// For each notification that nobody has taken: it is for one with a number below this. In
    /// order, and never more than there are who wait.
    notified: Vec<u64>,
}

impl Waits {
    fn enter(&mut self) -> u64 {
        self.next += 1;
        self.waiting.push(self.next - 1);
        self.next - 1
    }

    fn notify_one(&mut self) {
        if self.notified.len() < self.waiting.len() {
            self.notified.push(self.next);
        }
    }

    fn notify_all(&mut self) {
        self.waiting.clear();
        self.notified.clear();
    }

    /// Lets one go who was notified.
    fn leave(&mut self, number: u64) -> Tried<()> {
        let Some(at) = self.waiting.iter().position(|other| *other == number) else {
            return Tried::Done(Access::Read, ());
        };
        // The first that is for this one: later ones are for more.
        let Some(taken) = self.notified.iter().position(|below| number < *below) else {
            return Tried::Waits(Access::Read, WaitReason::Notification);
        };
        // Where there is enough for all, who comes first makes no difference.
        let enough = self.notified.len() == self.waiting.len();
        self.waiting.swap_remove(at);
        self.notified.remove(taken);
        Tried::Done(if enough { Access::Read } else { Access::Write }, ())
    }

    /// Lets one go who waits no longer.
    fn give_up(&mut self, number: u64) {
        self.waiting.retain(|other| *other != number);
        self.notified.truncate(self.waiting.len());
    }
}

fn get(waits: &sync::Mutex<Waits>) -> sync::MutexGuard<'_, Waits> {
    waits.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<H: Host> Condvar<H> {
    /// One that nobody waits at, for the threads of the calling process.
    pub fn new(host: &H) -> Self {
        let stepped = host.arbiter().map(|arbiter| (arbiter, sync::Mutex::default()));
        Condvar { real: sync::Condvar::new(), stepped }
    }

    /// Releases the lock, waits to be notified, and takes the lock again. May return without
    /// having been notified.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T, H>) -> LockResult<MutexGuard<'a, T, H>> {
        map(self.wait_for(guard, None), |(guard, _)| guard)
    }

    /// Waits while `condition` holds.
    pub fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T, H>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T, H>> {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As [`wait`](Condvar::wait), but for `timeout` at most; `true` if that passed.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T, H>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T, H>, bool)> {
        self.wait_for(guard, Some(timeout))
    }

    fn wait_for<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T, H>,
        timeout: Option<Duration>,
    ) -> LockResult<(MutexGuard<'a, T, H>, bool)> {
        let mutex = guard.mutex;
        let Some((arbiter, waits)) = &self.stepped else {
            let data = guard.data.take().expect("it holds the lock until it is dropped");
            let waited = match timeout {
                None => map(self.real.wait(data), |data| (data, false)),
                Some(timeout) => map(self.real.wait_timeout(data, timeout), |(data, result)| {
                    (data, result.timed_out())
                }),
            };
            return map(waited, |(data, late)| (mutex.guard(data), late));
        };
        let lock = &mutex.arbiter;
        let number = arbiter.step("wait", None, || {
            guard.data = None;
            if let Some(lock) = lock {
                lock.hold(false);
                lock.touch(Access::Write);
            }
            // Those who come to wait do not see each other.
            Tried::Done(Access::Read, get(waits).enter())
        });
        let number = number.unwrap_or_default();
        let woken = arbiter.step("wait", timeout, || get(waits).leave(number));
        if woken.is_none() {
            get(waits).give_up(number);
            arbiter.touch(Access::Write);
        }
        map(mutex.lock(), |guard| (guard, woken.is_none()))
    }

    /// Lets one of those who wait go on, if there are any.
    pub fn notify_one(&self) {
        match &self.stepped {
            None => self.real.notify_one(),
            Some((arbiter, waits)) => {
                arbiter.step("notify_one", None, || {
                    get(waits).notify_one();
                    Tried::Done(Access::Write, ())
                });
            }
        }
    }

    /// Lets all go on who wait.
    pub fn notify_all(&self) {
        match &self.stepped {
            None => self.real.notify_all(),
            Some((arbiter, waits)) => {
                arbiter.step("notify_all", None, || {
                    get(waits).notify_all();
                    Tried::Done(Access::Write, ())
                });
            }
        }
    }
}

impl<H: Host> fmt::Debug for Condvar<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condvar")
    }
}
