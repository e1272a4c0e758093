//! [`Host`]: a backend that can also start threads and processes, sleep and tell the time.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::net::{Fd, OwnedFd};
use crate::sync::Arbiter;
use crate::{
    Backend, Call, Credentials, Errno, Exit, Limits, Pid, SaFlags, SigHandler, Sigaction, Signal,
};

/// A machine to run an application on. A handle stands for a *process*, never for a thread: a
/// socket that moves into another thread waits as that thread.
///
/// | host | threads | processes | time |
/// |---|---|---|---|
/// | `afunix_kernel_backend::Kernel` | std's | fork(2) | the clock |
/// | `afunix_emulator::Threads` | std's | groups of threads over the model | the clock |
/// | `afunix_sim::Sim` | coroutines | groups of coroutines | virtual |
pub trait Host: Backend + Clone + Send + Sync + 'static {
    /// What orders threads at the memory that they share ([`sync`](crate::sync)); `Infallible` on a
    /// host that leaves this to the system.
    type Arbiter: Arbiter;

    /// An arbiter for a new thing in memory of the calling process; `None` leaves it to the system.
    fn arbiter(&self) -> Option<Self::Arbiter>;

    /// Starts a thread of the calling process; it shares the descriptor table. `name` is for
    /// pictures.
    ///
    /// # Panics
    /// If the system refuses a thread, as `std::thread::spawn` does.
    fn spawn<T, F>(&self, name: &str, body: F) -> Thread<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static;

    /// Starts a child process that runs `body` and exits with what it returns (the low 8 bits, as
    /// exit(3); 101 if it panics). Its descriptor table holds 0 to 2 and exactly the descriptors
    /// of `spec`, whose copies in the caller are closed. `body` gets a handle on the child: a
    /// handle of the parent, captured by the closure, must not be used in it.
    ///
    /// # Errors
    /// EPERM if `spec` names a user and the caller may not become it; ENOSYS if it is to be
    /// confined and the kernel has no Landlock; EINVAL if two descriptors are given the
    /// same number or one below 3. On the kernel EDEADLK when the caller has more than one thread:
    /// a forked body could hang on a lock that another thread held.
    fn process<F>(&self, spec: ProcessSpec<Self>, body: F) -> Result<Child<Self>, Errno>
    where
        F: Fn(&Self) -> i32 + Send + Sync + 'static;

    /// Takes over the descriptor that this process was started with under `number`
    /// ([`ProcessSpec::fd`]); `None` the second time, and for a number that was not given.
    fn inherited(&self, number: i32) -> Option<OwnedFd<Self>>;

    /// From now on `run` is what the calling process does on `signal`. It is run by the thread that
    /// takes the signal, as plain code between two of its calls (or before a call ends with EINTR):
    /// it may do whatever a program may, and no signal is blocked meanwhile. Signals below 32 that
    /// come again before it runs are one.
    ///
    /// A handler of the kernel's must not do more than note that the signal came. So there `run`
    /// runs when the interrupted call has come back; where [`SaFlags::RESTART`] has the kernel make
    /// the call again that is after its end, while the model's hosts run it before the call is made
    /// again. To have a call come back for a signal, leave the flag out.
    ///
    /// Children start with the default for every signal, but for SIGPIPE, which they ignore.
    ///
    /// # Errors
    /// EINVAL as for [`Call::Sigaction`].
    fn on_signal<F>(&self, signal: i32, flags: SaFlags, run: F) -> Result<(), Errno>
    where
        F: Fn(&Self) + Send + Sync + 'static;

    /// Has the calling process ignore `signal`, or do the default on it again. EINVAL as for
    /// [`Call::Sigaction`].
    fn ignore_signal(&self, signal: i32, ignored: bool) -> Result<(), Errno> {
        let handler = if ignored { SigHandler::Ignore } else { SigHandler::Default };
        let new = Some(Sigaction { handler, flags: SaFlags::empty() });
        let mut old = Sigaction::default();
        self.call(&mut Call::Sigaction { signal, new, old: &mut old }).map(drop)
    }

    /// Time since the machine started.
    fn now(&self) -> Duration;

    /// A number below `below` (which must not be 0), for the application's own chance: in a
    /// simulation drawn from the tape.
    fn random(&self, below: u64) -> u64;

    /// Which of `n` tasks that can go on is next, by its place among them: 0, the one that has
    /// waited longest; in a simulation drawn from the tape.
    fn pick(&self, n: usize) -> usize {
        let _ = n;
        0
    }

    /// Writes a line to the scenario's output: standard output, or the simulation's record.
    fn print(&self, line: &str);

    /// Declares that the application claims to survive it if this process is killed from here on,
    /// or (`false`) no longer. A simulation whose faults include crashes kills only processes that
    /// say so; elsewhere it does nothing.
    fn may_crash(&self, yes: bool) {
        let _ = yes;
    }

    /// Waits for `time`; longer if the machine is busy, and on through signals.
    fn sleep(&self, time: Duration) {
        let end = self.now().saturating_add(time);
        loop {
            let left = end.saturating_sub(self.now());
            if left.is_zero() || self.call(&mut Call::Nanosleep { time: left }).is_ok() {
                return;
            }
        }
    }

    /// The calling process's id.
    fn pid(&self) -> Pid {
        // getpid(2) cannot fail.
        Pid(self.call(&mut Call::Getpid).unwrap_or_default() as i32)
    }
}

/// What a child process gets, as with posix_spawn(3): what is not named here is not inherited, but
/// for the user, the umask, the working directory and the limits.
#[derive(Debug)]
pub struct ProcessSpec<B: Backend> {
    /// Its name, for pictures.
    pub name: String,
    /// The user to become; `None` stays the caller's.
    pub user: Option<Credentials>,
    /// The umask; `None` stays the caller's.
    pub umask: Option<u32>,
    /// Limits; `None` stay the caller's.
    pub limits: Option<Limits>,
    /// May open nothing by a path: EACCES (on the kernel by Landlock, which needs no privilege).
    pub confined: bool,
    /// Descriptors, each with its number in the child (3 or more).
    pub fds: Vec<(OwnedFd<B>, i32)>,
}

impl<B: Backend> ProcessSpec<B> {
    /// A child that gets no descriptors.
    pub fn new(name: impl Into<String>) -> Self {
        ProcessSpec {
            name: name.into(),
            user: None,
            umask: None,
            limits: None,
            confined: false,
            fds: Vec::new(),
        }
    }

    /// Gives the child `fd` under `number`.
    pub fn fd(mut self, fd: impl Into<OwnedFd<B>>, number: i32) -> Self {
        self.fds.push((fd.into(), number));
        self
    }

    /// Makes the child run as `user`.
    pub fn user(mut self, user: Credentials) -> Self {
        self.user = Some(user);
        self
    }

    /// Sets the child's umask.
    pub fn umask(mut self, mask: u32) -> Self {
        self.umask = Some(mask);
        self
    }

    /// Sets the child's limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Takes from the child the right to open anything by a path, for good (and from its children).
    pub fn confined(mut self) -> Self {
        self.confined = true;
        self
    }

    /// EINVAL unless every number is 3 or more and given once.
    pub fn check(&self) -> Result<(), Errno> {
        let mut numbers: Vec<i32> = self.fds.iter().map(|(_, number)| *number).collect();
        numbers.sort_unstable();
        let twice = numbers.windows(2).any(|pair| pair[0] == pair[1]);
        if twice || numbers.first().is_some_and(|least| *least <= Fd::STDERR.number()) {
            return Err(Errno::INVAL);
        }
        Ok(())
    }
}

/// A child process. Dropping it neither kills it nor waits for it.
#[derive(Debug)]
pub struct Child<B: Backend> {
    host: B,
    pid: Pid,
}

impl<B: Backend> Child<B> {
    /// The child `pid` of the calling process; for hosts.
    pub fn new(host: B, pid: Pid) -> Self {
        Child { host, pid }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// kill(2). A child that has ended and was not waited for takes it and does nothing.
    pub fn kill(&self, signal: Signal) -> Result<(), Errno> {
        self.host.call(&mut Call::Kill { pid: self.pid, signal: signal as i32 }).map(drop)
    }

    /// Waits until it ends.
    pub fn wait(self) -> Result<Exit, Errno> {
        let mut status = None;
        loop {
            match self.host.call(&mut Call::Waitpid { pid: self.pid, status: &mut status }) {
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
                Ok(_) => return status.ok_or(Errno::CHILD),
            }
        }
    }
}

/// The thread's body panicked; the message is what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked(pub String);

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread panicked: {}", self.0)
    }
}

impl std::error::Error for Panicked {}

/// What a thread of a [`Host`] leaves behind: a place for its result.
pub type Outcome<T> = Arc<Mutex<Option<Result<T, Panicked>>>>;

/// A thread. Dropping it lets it run on.
pub struct Thread<T> {
    outcome: Outcome<T>,
    finish: Box<dyn FnOnce() + Send>,
}

impl<T> Thread<T> {
    /// A thread whose result will be in `outcome` once `finish` has returned; for hosts.
    pub fn new(outcome: Outcome<T>, finish: impl FnOnce() + Send + 'static) -> Self {
        Thread { outcome, finish: Box::new(finish) }
    }

    /// Waits until it ends, and hands over what it returned.
    pub fn join(self) -> Result<T, Panicked> {
        (self.finish)();
        let mut outcome = self.outcome.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        outcome.take().unwrap_or_else(|| Err(Panicked("it was stopped before its end".into())))
    }
}

impl<T> fmt::Debug for Thread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Thread")
    }
}

/// A program that runs unchanged on every host: a scenario, an example, a daemon's `main`.
pub trait Application {
    /// The scenario's name on the command line.
    const NAME: &'static str;
    /// One line: what it shows.
    const ABOUT: &'static str;

    /// The first process: returns its exit status, 0 if all went as it should.
    fn main<H: Host>(host: &H, args: &[String]) -> i32;
}
