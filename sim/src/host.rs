//! [`Sim`]: the handle by which a simulated process reaches its world.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use afunix::fault::limited;
use afunix::net::OwnedFd;
use afunix::{
    Backend, Call, Child, Errno, Host, Outcome, Panicked, Pid, ProcessSpec, SaFlags, SigHandler,
    Sigaction, Thread,
};
use afunix_model::{Resume, Spawn};

use crate::arbiter::SimArbiter;
use crate::checks::Check;
use crate::choice::{Label, wide};
use crate::coroutine::{self, Command, suspend};
use crate::counts::mix;
use crate::inherited::take_over;
use crate::panics::{self, Killed};
use crate::property::{Holds, Modality};
use crate::world::{self, Attempt, Ended, Handler, NotACaller, RunRule, World};

/// Bytes of printed lines that a run keeps.
const PRINTED_MAX: usize = 4 << 20;

/// A simulated process, for the code that runs in it.
///
/// It is a plain pair of numbers; the world behind it is that of the OS thread's run. It works for
/// threads of its own process, and panics with a clear message for any other, and outside of its
/// run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sim {
    pub(crate) run: u64,
    pub(crate) process: Pid,
}

impl Sim {
    pub(crate) const fn new(run: u64, process: Pid) -> Sim {
        Sim { run, process }
    }

    /// Works with the world, if it is this handle's.
    #[inline]
    fn with<R>(&self, work: impl FnOnce(&mut World) -> R) -> R {
        let answer =
            world::try_with(
                |world| {
                    if world.run == self.run { Ok(work(world)) } else { Err(world.run) }
                },
            );
        match answer {
            Some(Ok(answer)) => answer,
            Some(Err(other)) => self.outside(other),
            None => self.outside(0),
        }
    }

    #[cold]
    pub(crate) fn outside(&self, other: u64) -> ! {
        let Sim { run, process } = self;
        match other {
            0 => panic!(
                "a handle on process {process} of simulated run {run} was used outside of it"
            ),
            other => panic!(
                "a handle on process {process} of simulated run {run} was used in run {other}"
            ),
        }
    }

    /// Does something as a thread of this handle's process.
    ///
    /// # Panics
    /// If the thread is another process's. Unwinds if the thread is no more.
    pub(crate) fn act<R>(&self, work: impl FnOnce(&mut World) -> R) -> R {
        match self.with(|world| world.caller(self.process).map(|_| work(world))) {
            Ok(answer) => answer,
            Err(NotACaller::Foreign(owner)) => self.foreign(owner),
            Err(NotACaller::Gone) => unwind(),
        }
    }

    #[cold]
    fn foreign(&self, owner: Pid) -> ! {
        let name = |pid: Pid| {
            self.with(|world| world.process(pid).map(|it| it.name.clone())).unwrap_or_default()
        };
        panic!(
            "a handle on process {} ({}) was used by a thread of process {owner} ({}): pass \
             descriptors by ProcessSpec::fd, and use the handle that the body is given",
            self.process,
            name(self.process),
            name(owner)
        )
    }

    /// A scheduling point; then this thread goes on.
    pub(crate) fn scheduling_point(&self) {
        if !self.act(World::schedule) {
            self.wait_for_turn();
        }
    }

    /// Suspends the thread until it goes on; unwinds it if it is no more.
    #[inline]
    pub(crate) fn wait_for_turn(&self) {
        if suspend() == Command::Unwind {
            unwind();
        }
    }

    /// Runs the handlers of the signals that the thread has to handle.
    fn handle_signals(&self) {
        while let Some(handler) = self.act(World::next_signal) {
            if let Some(Handler(run)) = handler {
                run();
            }
        }
    }

    /// Follows a call to its end.
    fn follow(&self, call: &mut Call<'_, '_>, first: Attempt) -> Result<usize, Errno> {
        let mut attempt = first;
        loop {
            attempt = match attempt {
                Attempt::Done(value) => return Ok(value),
                Attempt::Failed(errno) => return Err(errno),
                Attempt::Switch => {
                    self.wait_for_turn();
                    self.with(|world| world.begin_call(call))
                }
                Attempt::Wait { suspend } => {
                    if suspend {
                        self.wait_for_turn();
                    }
                    self.with(|world| world.again(call))
                }
                Attempt::Cut(limit) => {
                    return limited(call, limit, &mut |call| {
                        let first = self.with(|world| world.step_call(call, Resume::First));
                        self.follow(call, first)
                    });
                }
                Attempt::Later(time) => {
                    let mut sleep = Call::Nanosleep { time };
                    let first = self.with(|world| world.step_call(&mut sleep, Resume::First));
                    // A signal may end the delay early.
                    let _ = self.follow(&mut sleep, first);
                    self.with(|world| world.step_call(call, Resume::First))
                }
                Attempt::Handle => {
                    let after = self.with(World::take_after);
                    self.handle_signals();
                    match after {
                        Some(result) => return result,
                        None => self.with(|world| world.step_call(call, Resume::First)),
                    }
                }
                Attempt::Gone => gone()?,
                Attempt::Foreign(owner) => self.foreign(owner),
                Attempt::Outside(other) => return self.call_outside(call, other),
            }
        }
    }
}

/// The calling thread is no more. If it unwinds already, or if the run loop drops what a thread
/// would have
/// begun with, the call does nothing.
#[cold]
fn gone() -> Result<Attempt, Errno> {
    if std::thread::panicking() || !coroutine::is_inside() { Err(Errno::SRCH) } else { unwind() }
}

/// Unwinds the calling thread: as if its process had been killed here. A thread that catches that,
/// again and again, is suspended for good.
#[cold]
pub(crate) fn unwind() -> ! {
    if panics::is_stubborn() {
        loop {
            suspend();
        }
    }
    resume_unwind(Box::new(Killed))
}

impl Backend for Sim {
    #[inline]
    fn call(&self, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        if std::thread::panicking() {
            return self.call_unwinding(call);
        }
        let attempt = world::try_with(|world| {
            if world.run == self.run {
                world.enter(self.process, call)
            } else {
                Attempt::Outside(world.run)
            }
        });
        match attempt.unwrap_or(Attempt::Outside(0)) {
            Attempt::Done(value) => Ok(value),
            Attempt::Failed(errno) => Err(errno),
            attempt => self.follow(call, attempt),
        }
    }
}

impl Sim {
    /// A call of a thread that unwinds, out of a destructor: it must neither panic nor wait.
    #[cold]
    fn call_unwinding(&self, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        let attempt = world::try_with(|world| {
            (world.run == self.run).then(|| world.call_unwinding(self.process, call))
        });
        match attempt.flatten() {
            Some(Attempt::Done(value)) => Ok(value),
            Some(Attempt::Failed(errno)) => Err(errno),
            _ => Err(Errno::SRCH),
        }
    }

    /// A descriptor that outlives its run is dropped quietly; anything else is a mistake.
    #[cold]
    fn call_outside(&self, call: &Call<'_, '_>, other: u64) -> Result<usize, Errno> {
        match call {
            Call::Close { .. } => Err(Errno::BADF),
            _ => self.outside(other),
        }
    }
}

impl Host for Sim {
    type Arbiter = SimArbiter;

    fn arbiter(&self) -> Option<SimArbiter> {
        Some(SimArbiter::new(*self))
    }

    fn spawn<T, F>(&self, name: &str, body: F) -> Thread<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.scheduling_point();
        let outcome = Arc::new(Mutex::new(None));
        let place = Arc::clone(&outcome);
        let make = |_| -> world::Body {
            Box::new(move || {
                let ended = match catch_unwind(AssertUnwindSafe(body)) {
                    Ok(value) => {
                        keep(&place, Ok(value));
                        Ended::Returned(0)
                    }
                    Err(payload) => match panics::message_of(&*payload) {
                        None => Ended::Unwound,
                        Some(message) => {
                            keep(&place, Err(Panicked(message.clone())));
                            Ended::Panicked(message)
                        }
                    },
                };
                world::with(|world| world.thread_ended(ended));
            })
        };
        let slot = self.act(|world| world.start_thread(name, make));
        let sim = *self;
        Thread::new(outcome, move || sim.join(slot))
    }

    fn process<F>(&self, spec: ProcessSpec<Self>, body: F) -> Result<Child<Self>, Errno>
    where
        F: Fn(&Self) -> i32 + Send + Sync + 'static,
    {
        self.scheduling_point();
        spec.check()?;
        if let Some((fd, _)) = spec.fds.iter().find(|(fd, _)| fd.backend() != self) {
            self.foreign_descriptor(fd.backend().process);
        }
        let numbers: Vec<(i32, i32)> =
            spec.fds.iter().map(|(fd, number)| (fd.as_fd().number(), *number)).collect();
        let model_spec = Spawn {
            name: &spec.name,
            user: spec.user.clone(),
            umask: spec.umask,
            limits: spec.limits,
            confined: spec.confined,
            fds: &numbers,
        };
        let run = self.run;
        let make = |pid, _| process_body(Sim::new(run, pid), body);
        let pid = self.act(|world| world.start_process(&model_spec, make))?;
        for (fd, _) in spec.fds {
            // It has moved into the child.
            let _ = fd.into_raw();
        }
        Ok(Child::new(*self, pid))
    }

    fn inherited(&self, number: i32) -> Option<OwnedFd<Self>> {
        let taken = self.act(|world| {
            let inherited = &mut world.process(self.process)?.inherited;
            let index = inherited.iter().position(|other| *other == number)?;
            Some(inherited.swap_remove(index))
        });
        taken.map(|number| take_over(*self, number))
    }

    fn on_signal<F>(&self, signal: i32, flags: SaFlags, run: F) -> Result<(), Errno>
    where
        F: Fn(&Self) + Send + Sync + 'static,
    {
        let sim = *self;
        let set = |handler: Option<Handler>| {
            self.act(|world| {
                let process = world.process(self.process)?;
                match handler {
                    Some(handler) => process.handlers.insert(signal, handler),
                    None => process.handlers.remove(&signal),
                }
            })
        };
        let old = set(Some(Handler(Arc::new(move || run(&sim)))));
        let new = Some(Sigaction { handler: SigHandler::Handle, flags });
        let call = &mut Call::Sigaction { signal, new, old: &mut Sigaction::default() };
        let result = self.call(call).map(drop);
        if result.is_err() {
            set(old);
        }
        result
    }

    fn now(&self) -> Duration {
        // Looking at the clock takes time, so that a loop that waits for a moment ends.
        self.with(|world| {
            world.clock = world.clock.saturating_add(Duration::from_nanos(100));
            world.search_moves_clock();
            world.clock
        })
    }

    fn random(&self, below: u64) -> u64 {
        assert!(below > 0, "there is no number below 0");
        self.act(|world| wide(below, |n| world.chooser.choose(n, Label::Random)))
    }

    fn pick(&self, n: usize) -> usize {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let pick = |world: &mut World| {
            let index = world.chooser.choose(n, Label::Task);
            // The order of tasks is part of the schedule, as that of threads is.
            world.counts.schedule = mix(world.counts.schedule, u64::from(index) << 32);
            index as usize
        };
        self.act(pick)
    }

    fn print(&self, line: &str) {
        self.act(|world| world.print(line));
    }

    fn may_crash(&self, yes: bool) {
        self.act(|world| world.may_crash(yes));
    }
}

/// What a [`Test`](crate::Test) asks of its run.
impl Sim {
    pub(crate) fn add_rule(&self, rule: RunRule) -> u64 {
        self.act(|world| world.add_rule(rule))
    }

    pub(crate) fn remove_rule(&self, id: u64) {
        self.act(|world| world.rules.retain(|(other, _)| *other != id));
    }

    pub(crate) fn add_property(&self, modality: Modality, name: &str, holds: Holds) {
        self.act(|world| world.add_property(modality, name, holds));
    }

    pub(crate) fn check_all(&self) {
        self.act(|world| world.checks.extend(Check::ALL));
    }

    pub(crate) fn leave_out(&self, check: Check) {
        self.act(|world| world.checks.remove(&check));
    }

    pub(crate) fn crash_before_visible_call(&self) {
        self.act(World::draw_crash);
    }

    pub(crate) fn hunts(&self, pid: Pid) {
        self.act(|world| world.hunts(pid));
    }
}

impl Sim {
    /// Waits for the end of a thread. A thread that unwinds does not wait.
    fn join(&self, slot: u32) {
        if std::thread::panicking() {
            return;
        }
        self.act(|world| world.may_wait(true));
        self.scheduling_point();
        if self.act(|world| world.join(slot)) {
            self.wait_for_turn();
        }
        self.act(|world| world.joined(slot));
    }

    #[cold]
    fn foreign_descriptor(&self, owner: Pid) -> ! {
        panic!("a descriptor of process {owner} was given away by process {}", self.process)
    }
}

fn keep<T>(place: &Outcome<T>, value: Result<T, Panicked>) {
    *place.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(value);
}

/// The first process's body, or a child's: its status is what it returns.
pub(crate) fn process_body(sim: Sim, body: impl Fn(&Sim) -> i32 + Send + 'static) -> world::Body {
    Box::new(move || {
        let run = move || {
            let status = body(&sim);
            // Its end is a step of its own: others may come between it and the last call.
            sim.act(|world| world.may_wait(false));
            sim.scheduling_point();
            status
        };
        let ended = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(status) => Ended::Returned(status),
            Err(payload) => match panics::message_of(&*payload) {
                None => Ended::Unwound,
                Some(message) => Ended::Panicked(message),
            },
        };
        world::with(|world| world.thread_ended(ended));
    })
}

impl World {
    fn print(&mut self, line: &str) {
        use afunix::trace::EventKind;
        let slot = self.running;
        self.note(slot, || EventKind::Printed { line: line.to_owned() });
        self.printed_bytes += line.len();
        if self.printed_bytes <= PRINTED_MAX {
            if self.threads[slot as usize].pid == self.threads[0].pid {
                self.said = Some(self.printed.len());
            }
            self.printed.push(line.to_owned());
        }
    }
}
