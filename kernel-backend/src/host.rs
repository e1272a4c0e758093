//! [`Kernel`] as a [`Host`]: std's threads, fork(2), the clock.
#![expect(unsafe_code, reason = "fork, and taking over the descriptors that a process was given")]

use std::any::Any;
use std::convert::Infallible;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use afunix::net::{Fd, OwnedFd};
use afunix::{Backend, Call, Child, Errno, Host, Panicked, ProcessSpec, SaFlags, Segment, Thread};

use crate::{Kernel, handlers, raw};

/// Exit status of a process whose body panicked, as of any Rust program.
const PANICKED: i32 = 101;

/// Numbers that this process was started with and that nobody has taken over yet.
static INHERITED: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// When the first process of the program began to count. Its children go on with the same clock.
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

impl Host for Kernel {
    type Arbiter = Infallible;

    fn arbiter(&self) -> Option<Infallible> {
        None
    }

    fn spawn<T, F>(&self, name: &str, body: F) -> Thread<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let outcome = Arc::new(Mutex::new(None));
        let result = Arc::clone(&outcome);
        let run = move || {
            let ended = catch_unwind(AssertUnwindSafe(body)).map_err(|panic| message(&*panic));
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        };
        let handle = std::thread::Builder::new()
            .name(name.replace('\0', ""))
            .spawn(run)
            .unwrap_or_else(|error| panic!("no thread {name:?} could be started: {error}"));
        // The body's panics were caught, so that joining always succeeds.
        Thread::new(outcome, move || drop(handle.join()))
    }

    fn process<F>(&self, spec: ProcessSpec<Self>, body: F) -> Result<Child<Self>, Errno>
    where
        F: Fn(&Self) -> i32 + Send + Sync + 'static,
    {
        spec.check()?;
        if has_other_threads()? {
            return Err(Errno::DEADLK);
        }
        start();
        // What std still holds would be written by both.
        let _ = std::io::stdout().flush();
        let numbers: Vec<i32> = spec.fds.iter().map(|(_, number)| *number).collect();
        let setup = raw::Setup {
            name: &spec.name,
            user: spec.user.as_ref(),
            umask: spec.umask,
            limits: spec.limits,
            confined: spec.confined,
            fds: spec.fds.iter().map(|(fd, number)| (fd.as_fd().number(), *number)).collect(),
        };
        let run = || {
            *INHERITED.lock().unwrap_or_else(PoisonError::into_inner) = numbers;
            handlers::clear();
            let status = catch_unwind(AssertUnwindSafe(|| body(self))).unwrap_or(PANICKED);
            let _ = std::io::stdout().flush();
            status
        };
        // SAFETY: the caller has one thread. The child never returns from here, so that it drops
        // neither `spec` nor `body`, nor anything that its caller owns; that `body` uses no handle
        // of the parent, `process` asks of it.
        let pid = unsafe { raw::fork(setup, run) }?;
        // The parent's copies close here.
        drop(spec);
        Ok(Child::new(*self, pid))
    }

    fn inherited(&self, number: i32) -> Option<OwnedFd<Self>> {
        let mut numbers = INHERITED.lock().unwrap_or_else(PoisonError::into_inner);
        let at = numbers.iter().position(|given| *given == number)?;
        numbers.swap_remove(at);
        // SAFETY: the process was started with it, and each number is handed out once.
        Some(unsafe { OwnedFd::from_raw(*self, number) })
    }

    fn on_signal<F>(&self, signal: i32, flags: SaFlags, run: F) -> Result<(), Errno>
    where
        F: Fn(&Self) + Send + Sync + 'static,
    {
        handlers::set(self, signal, flags, Arc::new(run))
    }

    fn now(&self) -> Duration {
        start().elapsed()
    }

    fn random(&self, below: u64) -> u64 {
        assert!(below > 0, "there is no number below 0");
        // The numbers over the last whole multiple of `below` would make small results likelier.
        let fair = u64::MAX - u64::MAX % below;
        loop {
            let drawn = getrandom::u64().unwrap_or_else(|error| {
                panic!("the system gives no random numbers: {error}");
            });
            if drawn < fair {
                return drawn % below;
            }
        }
    }

    fn print(&self, line: &str) {
        let whole = format!("{line}\n");
        let mut rest = whole.as_bytes();
        // One write, unless standard output takes less. Where it takes nothing there is nobody to
        // tell.
        while !rest.is_empty() {
            let mut call = Call::Write { fd: Fd::STDOUT, data: Segment::Bytes(rest), progress: 0 };
            match self.call(&mut call) {
                Ok(written) => rest = &rest[written..],
                Err(Errno::INTR) => continue,
                Err(_) => return,
            }
        }
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> Panicked {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Panicked(text.unwrap_or("(no message)").to_owned())
}

/// Whether the caller's process has more than one thread.
fn has_other_threads() -> Result<bool, Errno> {
    // A thread that was joined can be listed for a moment longer: look again before believing it.
    for attempt in 0..20 {
        if attempt > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let tasks = std::fs::read_dir("/proc/self/task")
            .map_err(|error| Errno::from_io(&error).unwrap_or(Errno::NOENT))?;
        if tasks.count() <= 1 {
            return Ok(false);
        }
    }
    Ok(true)
}
