//! [`Threads`]: a host of OS threads over one machine.
//!
//! A *handle* stands for a process of a *world*, which is a machine with its lock and its clock.
//! Which of the process's threads makes a call, `here` knows. When a process ends, its threads
//! unwind from their next call, or from the one that they wait in, up to the root that the host
//! gave them.

use std::any::Any;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::io::Write;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use afunix::net::OwnedFd;
use afunix::{
    Backend, Call, Child, Errno, Exit, Host, Panicked, Pid, ProcessSpec, SaFlags, SigHandler,
    Sigaction, Signal, Thread, Tid,
};
use afunix_model::{
    Emulated, LoadError, Loaded, Machine, Park, Profile, Resume, Spawn, Ticket, Time,
};

use crate::here::{self, Who};
use crate::room::{Held, Room};

/// Exit status of a process whose body panicked, as of any Rust program.
const PANICKED: i32 = 101;

/// What unwinds a thread whose process has ended. Nobody but the thread's root catches it.
struct Gone;

/// A process on the model, whose threads are the system's.
///
/// Clones stand for the same process. A thread that the host did not start (`std::thread::spawn`)
/// is taken in as one of the process at its first call.
///
/// # Panics
/// A call panics if a thread of another process makes it: a child has the handle that its body is
/// given, and the descriptors of its `ProcessSpec`.
#[derive(Clone)]
pub struct Threads(Emulated<Handle>);

/// What a run of [`Threads::run`] leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How the first process ended.
    pub exit: Exit,
    /// What was printed, and what was written to the console.
    pub output: Vec<u8>,
}

/// What a process does on a signal.
type Handler = Arc<dyn Fn(&Threads) + Send + Sync>;

#[derive(Clone)]
struct Handle {
    world: Arc<World>,
    pid: Pid,
}

/// A machine with its lock and its clock.
pub(crate) struct World {
    room: Room<State>,
    start: Instant,
}

struct State {
    machine: Machine,
    /// By process: the numbers that it was started with and has not yet taken over.
    inherited: BTreeMap<Pid, Vec<i32>>,
    /// By process: its name.
    names: BTreeMap<Pid, String>,
    /// By process: how it ended.
    ended: BTreeMap<Pid, Exit>,
    /// By process and signal: what it does on it.
    handlers: BTreeMap<(Pid, i32), Handler>,
    output: Vec<u8>,
    echo: bool,
}

impl Default for Threads {
    fn default() -> Self {
        Threads::new()
    }
}

impl Threads {
    /// Process 1 of a new machine; the calling thread is its first. What is printed goes to
    /// standard output.
    pub fn new() -> Self {
        Threads::with_profile(Profile::default())
    }

    /// As `new`, of a machine with this profile.
    pub fn with_profile(profile: Profile) -> Self {
        let pid = Pid(1);
        let mut machine = Machine::new(profile);
        // Nobody asks here which steps commute.
        machine.track(false);
        let state = State {
            machine,
            inherited: BTreeMap::new(),
            names: BTreeMap::from([(pid, "main".to_owned())]),
            ended: BTreeMap::new(),
            handlers: BTreeMap::new(),
            output: Vec::new(),
            echo: true,
        };
        let world = Arc::new(World { room: Room::new(state), start: Instant::now() });
        here::set(&world, Who { pid, tid: Tid(1), over: false }, false);
        Threads(Emulated(Handle { world, pid }))
    }

    /// Runs `main` as process 1 of a new machine, on the calling thread. When it returns, every
    /// process that still runs is killed.
    pub fn run(main: impl FnOnce(&Threads) -> i32) -> Report {
        Threads::new().run_here(main)
    }

    /// As `run`, for a machine that was prepared (by `load`). `self` must be a handle of process 1.
    pub fn run_here(self, main: impl FnOnce(&Threads) -> i32) -> Report {
        let exit = self.root(|| main(&self));
        self.0.with(|machine| machine.exit(self.0.0.pid, exit));
        for pid in self.other_processes() {
            self.0.with(|machine| machine.exit(pid, Exit::Signal(Signal::Kill as i32)));
        }
        Report { exit, output: self.take_output() }
    }

    /// Copies the directory `dir` of the real system, read through `from` (the kernel backend,
    /// say), into the machine's file system, to the same path.
    pub fn load<B: Backend>(&self, from: &B, dir: &[u8]) -> Result<Loaded, LoadError> {
        self.0.with(|machine| machine.load(from, dir))
    }

    /// Whether what is printed and written to the console goes to standard output too. It does,
    /// unless this says otherwise.
    pub fn set_echo(&self, echo: bool) {
        self.0.0.world.room.lock().echo = echo;
    }

    /// What was printed and written to the console since it was last taken.
    pub fn take_output(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.0.world.room.lock().output)
    }

    /// Looks at the machine, or changes it as no process could: sees to it that effects are told.
    pub fn with_machine<R>(&self, look: impl FnOnce(&mut Machine) -> R) -> R {
        self.0.with(look)
    }

    /// The processes that run, but this one.
    fn other_processes(&self) -> Vec<Pid> {
        let held = self.0.0.world.room.lock();
        let others = held.names.keys().copied().filter(|pid| *pid != self.0.0.pid);
        others.filter(|pid| held.machine.is_alive(*pid)).collect()
    }

    /// Runs a process's body at the root of its first thread, and tells how it ended. (A process
    /// that was killed has ended already; what is told of it changes nothing.)
    fn root(&self, body: impl FnOnce() -> i32) -> Exit {
        let ended = catch_unwind(AssertUnwindSafe(body));
        self.0.0.over();
        let pid = self.0.0.pid;
        let held = self.0.0.world.room.lock();
        match ended {
            _ if !held.machine.is_alive(pid) => {
                held.ended.get(&pid).copied().unwrap_or(Exit::Signal(Signal::Kill as i32))
            }
            Ok(status) => Exit::Status(status & 0xff),
            Err(_) => Exit::Status(PANICKED),
        }
    }

    /// Starts an OS thread that is `who`.
    fn start(&self, name: &str, who: Who, root: impl FnOnce() + Send + 'static) -> Started {
        let world = Arc::clone(&self.0.0.world);
        let run = move || {
            here::set(&world, who, false);
            root();
        };
        let builder = std::thread::Builder::new().name(name.replace('\0', ""));
        builder
            .spawn(run)
            .unwrap_or_else(|error| panic!("no thread {name:?} could be started: {error}"))
    }
}

type Started = std::thread::JoinHandle<()>;

impl Backend for Threads {
    fn call(&self, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        let handle = &self.0.0;
        // A second panic, out of a destructor, would abort the program.
        if std::thread::panicking() && handle.world.room.is_broken() {
            return Err(Errno::BADF);
        }
        match handle.who() {
            Some(who) if who.pid == handle.pid && !who.over => self.0.call_as(who.tid, call),
            // A parent's socket that a child's body had captured, dropped with it.
            Some(who) if who.pid != handle.pid && matches!(call, Call::Close { .. }) => {
                self.close_for_owner(call)
            }
            Some(who) if who.pid == handle.pid || std::thread::panicking() => Err(Errno::BADF),
            Some(who) => handle.refuse(who.pid),
            // The OS thread is ending.
            None => Err(Errno::BADF),
        }
    }
}

impl Threads {
    /// Closes a descriptor as a thread of the process that owns it.
    fn close_for_owner(&self, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        let pid = self.0.0.pid;
        let start = |machine: &mut Machine| {
            machine.is_alive(pid).then(|| machine.start_thread(pid, "destructor"))
        };
        let tid = self.0.with(start).ok_or(Errno::BADF)?;
        let result = self.0.call_as(tid, call);
        self.0.with(|machine| machine.end_thread(tid));
        result
    }
}

impl Host for Threads {
    type Arbiter = Infallible;

    fn arbiter(&self) -> Option<Infallible> {
        None
    }

    fn spawn<T, F>(&self, name: &str, body: F) -> Thread<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.0.0.check_user();
        let pid = self.0.0.pid;
        let tid =
            self.0.with(|machine| machine.is_alive(pid).then(|| machine.start_thread(pid, name)));
        let Some(tid) = tid else { resume_unwind(Box::new(Gone)) };
        if let Some(starter) = self.0.0.who() {
            self.0.with(|machine| machine.inherit_mask(starter.tid, tid));
        }
        let outcome = Arc::new(Mutex::new(None));
        let result = Arc::clone(&outcome);
        let host = self.clone();
        let handle = self.start(name, Who { pid, tid, over: false }, move || {
            let ended = match catch_unwind(AssertUnwindSafe(body)) {
                Ok(value) => Some(Ok(value)),
                Err(panic) if panic.is::<Gone>() => None,
                Err(panic) => Some(Err(message(&*panic))),
            };
            *result.lock().unwrap_or_else(PoisonError::into_inner) = ended;
            host.0.0.over();
            host.0.with(|machine| machine.end_thread(tid));
        });
        // The root catches every panic, so that joining always succeeds.
        Thread::new(outcome, move || drop(handle.join()))
    }

    fn process<F>(&self, spec: ProcessSpec<Self>, body: F) -> Result<Child<Self>, Errno>
    where
        F: Fn(&Self) -> i32 + Send + Sync + 'static,
    {
        spec.check()?;
        self.0.0.check_user();
        for (fd, _) in &spec.fds {
            fd.backend().0.0.check_same(&self.0.0);
        }
        let pairs: Vec<(i32, i32)> =
            spec.fds.iter().map(|(fd, number)| (fd.as_fd().number(), *number)).collect();
        let (pid, tid) = self.0.with(|machine| {
            machine.spawn(
                self.0.0.pid,
                &Spawn {
                    name: &spec.name,
                    user: spec.user.clone(),
                    umask: spec.umask,
                    limits: spec.limits,
                    confined: spec.confined,
                    fds: &pairs,
                },
            )
        })?;
        // The machine has moved them.
        let numbers = spec.fds.into_iter().map(|(fd, number)| (fd.into_raw(), number).1);
        let child = Threads(Emulated(Handle { world: Arc::clone(&self.0.0.world), pid }));
        {
            let mut held = self.0.0.world.room.lock();
            held.inherited.insert(pid, numbers.collect());
            held.names.insert(pid, spec.name.clone());
        }
        let host = child.clone();
        self.start(&spec.name, Who { pid, tid, over: false }, move || {
            let exit = host.root(|| body(&host));
            host.0.with(|machine| machine.exit(pid, exit));
        });
        Ok(Child::new(self.clone(), pid))
    }

    fn inherited(&self, number: i32) -> Option<OwnedFd<Self>> {
        self.0.0.check_user();
        let mut held = self.0.0.world.room.lock();
        let numbers = held.inherited.get_mut(&self.0.0.pid)?;
        let at = numbers.iter().position(|given| *given == number)?;
        numbers.swap_remove(at);
        drop(held);
        Some(crate::own::take_over(self, number))
    }

    fn on_signal<F>(&self, signal: i32, flags: SaFlags, run: F) -> Result<(), Errno>
    where
        F: Fn(&Self) + Send + Sync + 'static,
    {
        let place = (self.0.0.pid, signal);
        let room = &self.0.0.world.room;
        let old = room.lock().handlers.insert(place, Arc::new(run));
        let new = Some(Sigaction { handler: SigHandler::Handle, flags });
        let call = &mut Call::Sigaction { signal, new, old: &mut Sigaction::default() };
        let result = self.call(call).map(drop);
        if result.is_err() {
            let handlers = &mut room.lock().handlers;
            match old {
                Some(old) => handlers.insert(place, old),
                None => handlers.remove(&place),
            };
        }
        result
    }

    fn now(&self) -> Duration {
        self.0.0.now()
    }

    fn random(&self, below: u64) -> u64 {
        assert!(below > 0, "there is no number below 0");
        // The numbers over the last whole multiple of `below` would make small results likelier.
        let fair = u64::MAX - u64::MAX % below;
        loop {
            let drawn = getrandom::u64()
                .unwrap_or_else(|error| panic!("the system gives no random numbers: {error}"));
            if drawn < fair {
                return drawn % below;
            }
        }
    }

    fn print(&self, line: &str) {
        self.0.0.world.room.lock().say(format!("{line}\n").as_bytes());
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Threads(process {})", self.0.0.pid)
    }
}

impl Handle {
    /// Who the calling thread is; `None` when it has no locals any more.
    fn who(&self) -> Option<Who> {
        match here::get(&self.world) {
            Ok(Some(who)) => Some(who),
            Ok(None) => Some(self.take_in()),
            Err(_) => None,
        }
    }

    /// Takes an OS thread into the process.
    fn take_in(&self) -> Who {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("thread");
        let tid = Emulated(self.clone()).with(|machine| {
            machine.is_alive(self.pid).then(|| machine.start_thread(self.pid, name))
        });
        let over = tid.is_none();
        let who = Who { pid: self.pid, tid: tid.unwrap_or_default(), over };
        if !over {
            here::set(&self.world, who, true);
        }
        who
    }

    /// The calling thread's body is over.
    fn over(&self) {
        if let Ok(Some(who)) = here::get(&self.world) {
            here::set(&self.world, Who { over: true, ..who }, false);
        }
    }

    /// "process 3 (server)".
    fn describe(&self, pid: Pid) -> String {
        let held = self.world.room.lock();
        let name = held.names.get(&pid).map_or("?", String::as_str);
        format!("process {pid} ({name})")
    }

    fn refuse(&self, user: Pid) -> ! {
        panic!(
            "a handle of {} was used in a thread of {}: a child has the handle that its body is \
             given, and the descriptors of its ProcessSpec",
            self.describe(self.pid),
            self.describe(user),
        );
    }

    /// The calling thread is one of the handle's process.
    fn check_user(&self) {
        if let Some(who) = self.who()
            && who.pid != self.pid
        {
            self.refuse(who.pid);
        }
    }

    /// A descriptor that is handed to a child is one of the process that starts it.
    fn check_same(&self, starter: &Handle) {
        assert!(
            Arc::ptr_eq(&self.world, &starter.world),
            "a descriptor of one machine was handed to a process of another"
        );
        if self.pid != starter.pid {
            self.refuse(starter.pid);
        }
    }
}

impl World {
    /// An OS thread that was taken in has ended.
    pub(crate) fn end_thread(self: &Arc<Self>, tid: Tid) {
        // Thread locals must not panic as they are dropped.
        if self.room.is_broken() {
            return;
        }
        // The process does not matter: nothing is called.
        let handle = Handle { world: Arc::clone(self), pid: Pid(1) };
        Emulated(handle).with(|machine| machine.end_thread(tid));
    }
}

impl State {
    /// Keeps what a process said, and shows it.
    fn say(&mut self, text: &[u8]) {
        self.output.extend_from_slice(text);
        if self.echo {
            // Where standard output is gone there is nobody to tell.
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(text).and_then(|()| out.flush());
        }
    }
}

/// The machine of a world, locked.
struct Guard<'a>(Held<'a, State>);

impl Deref for Guard<'_> {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.0.machine
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut Machine {
        &mut self.0.machine
    }
}

impl Park for Handle {
    type Guard<'a> = Guard<'a>;

    fn lock(&self) -> Guard<'_> {
        Guard(self.world.room.lock())
    }

    fn wait(&self, held: Guard<'_>, ticket: Ticket, until: Option<Time>) -> Resume {
        let left = || until.map(|until| until.saturating_sub(self.now()));
        match held.0.wait(ticket, self.pid, left) {
            true => Resume::Woken(ticket),
            false => Resume::TimedOut(ticket),
        }
    }

    fn wake(&self, held: &mut Guard<'_>, ticket: Ticket) {
        held.0.wake(ticket);
    }

    fn ended(&self, held: &mut Guard<'_>, pid: Pid, exit: Exit) {
        held.0.inherited.remove(&pid);
        held.0.handlers.retain(|(of, _), _| *of != pid);
        held.0.ended.insert(pid, exit);
        held.0.wake_process(pid);
    }

    fn handle(&self, signal: i32) {
        let handler = self.world.room.lock().handlers.get(&(self.pid, signal)).cloned();
        if let Some(handler) = handler {
            handler(&Threads(Emulated(self.clone())));
        }
    }

    fn settled(&self, held: &mut Guard<'_>) {
        let said = held.take_console();
        if !said.is_empty() {
            held.0.say(&said);
        }
    }

    fn gone(&self, call: &Call<'_, '_>) -> Errno {
        // A destructor closes: it must neither unwind from within another's unwinding, nor is there
        // a reason to unwind before the next real call.
        if std::thread::panicking() || matches!(call, Call::Close { .. }) {
            return Errno::BADF;
        }
        resume_unwind(Box::new(Gone))
    }

    fn now(&self) -> Time {
        self.world.start.elapsed()
    }

    fn current(&self) -> Tid {
        self.who().map_or(Tid::default(), |who| who.tid)
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> Panicked {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Panicked(text.unwrap_or("(no message)").to_owned())
}
