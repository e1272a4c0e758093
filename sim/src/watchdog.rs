//! Time limits, without looking at a clock: somebody else sleeps, and raises a flag.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// Does `work`, and raises `flag` when it has taken `time`, if that is given.
pub(crate) fn within<R>(time: Option<Duration>, flag: &AtomicBool, work: impl FnOnce() -> R) -> R {
    let Some(time) = time else { return work() };
    let done = Mutex::new(false);
    let changed = Condvar::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            let done = done.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let waited = changed.wait_timeout_while(done, time, |done| !*done);
            let is_done = *waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
            if !is_done {
                flag.store(true, Ordering::Relaxed);
            }
        });
        let answer = work();
        *done.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = true;
        changed.notify_one();
        answer
    })
}
