//! The world of one run: the machine, its threads and processes, the clock, and who goes on.
//!
//! A *thread* here is a coroutine with a *slot*, its index for the length of the run. A *step* is
//! one attempt of a call, or another visible act of a thread (starting and ending threads and
//! processes). Before each step there is a scheduling point. The world lies in a thread-local; it
//! is borrowed for a step and never across a suspension, and no code of the user runs while it is
//! borrowed (but for its rules).

mod attempt;
mod datagrams;
mod ends;
mod memory;
mod schedule;
mod search;
mod threads;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use afunix::{Errno, Exit, Pid, Tid, fault};
use afunix_model::{Machine, On, Resume, Ticket, Time};
use slotmap::SecondaryMap;

use crate::checks::Check;
use crate::choice::{Chooser, Source};
use crate::counts::{Coverage, mix};
use crate::faults::{FaultCounts, Odds};
use crate::options::RunOptions;
use crate::property::Watch;
use crate::record::Record;
use crate::report::Failure;
use schedule::Timer;

pub(crate) use attempt::Attempt;
pub(crate) use memory::{Memory, may_wait_in};
pub(crate) use threads::Ended;

/// No slot.
pub(crate) const NOBODY: u32 = u32::MAX;

/// Virtual time that a step takes.
const STEP: Duration = Duration::from_micros(1);

/// Pid and tid of the first process and its thread.
const ROOT: (Pid, Tid) = (Pid(1), Tid(1));

/// What a process does on a signal.
#[derive(Clone)]
pub(crate) struct Handler(pub(crate) Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}

/// A rule of one run.
pub(crate) type RunRule = Box<dyn Fn(&fault::Attempt<'_>) -> fault::Verdict + Send>;

/// What a thread runs.
pub(crate) type Body = Box<dyn FnOnce() + Send>;

/// Whether a thread can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Runnable,
    Waiting,
    Ended,
}

/// What a waiting thread waits for, beyond what the machine says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Call,
    Child(Pid),
    Thread(u32),
    /// Something in memory, an index into [`World::memory`].
    Memory(u32),
}

/// The wait of a thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) call: &'static str,
    pub(crate) fd: Option<i32>,
    pub(crate) on: On,
    pub(crate) since: Time,
    pub(crate) deadline: Option<Time>,
    pub(crate) target: Target,
}

/// A simulated thread.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) tid: Tid,
    pub(crate) pid: Pid,
    /// Its process, an index into [`World::processes`].
    pub(crate) process: u32,
    /// As pictures show it: `server`, `server/worker`.
    pub(crate) name: String,
    pub(crate) is_main: bool,
    pub(crate) state: State,
    /// Why its call is stepped again.
    resume: Resume,
    /// Of the call that it waits in.
    ticket: Option<Ticket>,
    pub(crate) waiting: Option<Waiting>,
    /// How often it has waited.
    waits: u64,
    /// The thread that joins it.
    joiner: u32,
    /// What a call came to that handlers of signals hold up.
    after: Option<Result<usize, Errno>>,
    /// What it said when it panicked, until somebody joined it.
    panicked: Option<String>,
    /// Steps it has made.
    steps: u64,
    /// Whether the call that it is about to make may have to wait.
    may_wait: bool,
}

impl Thread {
    /// Whether it has done nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.steps == 0
    }
}

/// A simulated process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) name: String,
    pub(crate) alive: bool,
    may_crash: bool,
    /// Attempts since it said that it may crash.
    exposed: u64,
    /// It is killed before this one of its visible calls, counted down.
    crash_before: Option<u64>,
    /// A thread of the test kills it: that is a crash.
    is_hunted: bool,
    /// Descriptors that it was started with and has not taken over.
    pub(crate) inherited: Vec<i32>,
    threads: Vec<u32>,
    /// What it does on signals, by number.
    pub(crate) handlers: BTreeMap<i32, Handler>,
}

/// Counted in every run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) steps: u64,
    pub(crate) calls: u64,
    /// Hash of the order of threads.
    pub(crate) schedule: u64,
    /// Hash of threads, calls and results.
    pub(crate) trace: u64,
    pub(crate) faults: FaultCounts,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// The first process ended with this status.
    Exited(Exit),
    Failed(Box<Failure>),
    /// At the step that was asked for.
    Stopped,
}

/// A process that is killed before its n-th call, or in it: (process, call, n).
pub(crate) type CrashPoint = (u64, u64, u64);

/// All of a run.
pub(crate) struct World {
    pub(crate) run: u64,
    pub(crate) machine: Machine,
    /// What `machine` is at the beginning of a run.
    first_machine: Arc<Machine>,
    pub(crate) clock: Time,
    pub(crate) chooser: Chooser,
    pub(crate) odds: Odds,
    /// Whether the run is part of an exhaustive search.
    pub(crate) searching: bool,
    pub(crate) threads: Vec<Thread>,
    pub(crate) processes: Vec<Process>,
    /// What threads share in memory.
    pub(crate) memory: Vec<Memory>,
    /// Index into `processes` by pid.
    process_of: Vec<u32>,
    slot_of: SecondaryMap<Ticket, u32>,
    /// The slots that can go on; the first is the one that ran last, if it can.
    runnable: Vec<u32>,
    /// The slot on whose stack we are.
    pub(crate) running: u32,
    /// The slot that was chosen to go on.
    pub(crate) current: u32,
    timers: BinaryHeap<Timer>,
    next_timer: Time,
    /// What threads will run that have not begun, by slot.
    bodies: Vec<Option<Body>>,
    /// Slots whose coroutines are to be unwound.
    pub(crate) doomed: Vec<u32>,
    /// The coroutine of a killed thread unwinds, while another was chosen to go on.
    pub(crate) reaping: bool,
    /// The run is over: calls do nothing.
    pub(crate) over: bool,
    /// The machine is in a step; seen from outside, a broken invariant unwound it.
    stepping: bool,
    pub(crate) end: Option<End>,
    pub(crate) counts: Counts,
    pub(crate) coverage: Coverage,
    pub(crate) crash_points: BTreeSet<CrashPoint>,
    pub(crate) printed: Vec<String>,
    pub(crate) printed_bytes: usize,
    /// The last line of the first process, an index into `printed`.
    pub(crate) said: Option<usize>,
    pub(crate) record: Option<Box<Record>>,
    /// What the run's properties need, if it has any.
    pub(crate) watch: Option<Box<Watch>>,
    /// Checks to be made, whether there are any, and the paths that sockets were bound to.
    pub(crate) checks: BTreeSet<Check>,
    pub(crate) bound: Vec<Vec<u8>>,
    /// Rules of the run, with their numbers.
    pub(crate) rules: Vec<(u64, RunRule)>,
    rules_made: u64,
    /// Threads take fair turns from here on.
    pub(crate) fair: bool,
    pub(crate) options: Arc<RunOptions>,
    /// Steps at which the limits are looked at next, and the steps of each thread then.
    check_at: u64,
    steps_then: Vec<u64>,
}

thread_local! {
    static WORLD: RefCell<Option<Box<World>>> = const { RefCell::new(None) };
}

/// Makes `world` the one of this OS thread, and hands back the one that was.
pub(crate) fn install(world: Option<Box<World>>) -> Option<Box<World>> {
    WORLD.with_borrow_mut(|place| std::mem::replace(place, world))
}

/// Works with this OS thread's world; `None` if there is none.
#[inline]
pub(crate) fn try_with<R>(work: impl FnOnce(&mut World) -> R) -> Option<R> {
    // Gone in the destructors of thread-locals, where an OS thread ends.
    let found = WORLD.try_with(|world| world.borrow_mut().as_deref_mut().map(work));
    found.ok().flatten()
}

/// Works with this OS thread's world.
///
/// # Panics
/// If there is none: only the run loop and threads of the run may call it.
#[inline]
pub(crate) fn with<R>(work: impl FnOnce(&mut World) -> R) -> R {
    try_with(work).expect("a run is under way on this OS thread")
}

impl World {
    pub(crate) fn new(options: Arc<RunOptions>) -> Box<World> {
        let first_machine = options.first_machine();
        Box::new(World {
            run: 0,
            machine: Machine::clone(&first_machine),
            first_machine,
            clock: Time::ZERO,
            chooser: Chooser::new(),
            odds: Odds::default(),
            searching: false,
            threads: Vec::new(),
            processes: Vec::new(),
            memory: Vec::new(),
            process_of: Vec::new(),
            slot_of: SecondaryMap::new(),
            runnable: Vec::new(),
            running: NOBODY,
            current: NOBODY,
            timers: BinaryHeap::new(),
            next_timer: Time::MAX,
            bodies: Vec::new(),
            doomed: Vec::new(),
            over: false,
            stepping: false,
            end: None,
            counts: Counts::default(),
            coverage: Coverage::default(),
            crash_points: BTreeSet::new(),
            printed: Vec::new(),
            printed_bytes: 0,
            said: None,
            reaping: false,
            record: None,
            watch: None,
            checks: BTreeSet::new(),
            bound: Vec::new(),
            rules: Vec::new(),
            rules_made: 0,
            fair: false,
            options,
            check_at: 0,
            steps_then: Vec::new(),
        })
    }

    /// Begins a run: everything as new, memory kept. `body` is what the first process runs.
    pub(crate) fn begin(&mut self, run: u64, source: Source, record: Option<Record>, body: Body) {
        self.run = run;
        self.machine = Machine::clone(&self.first_machine);
        self.clock = Time::ZERO;
        self.chooser.begin(source);
        let search = self.chooser.search();
        self.searching = search.is_some();
        if let Some(search) = search {
            search.begin_run(&self.first_machine);
        }
        self.threads.clear();
        self.processes.clear();
        self.memory.clear();
        self.process_of.clear();
        self.slot_of.clear();
        self.runnable.clear();
        self.running = NOBODY;
        self.current = NOBODY;
        self.timers.clear();
        self.next_timer = Time::MAX;
        self.bodies.clear();
        self.doomed.clear();
        self.over = false;
        self.stepping = false;
        self.end = None;
        self.counts = Counts::default();
        self.printed.clear();
        self.printed_bytes = 0;
        self.said = None;
        self.reaping = false;
        self.record = record.map(Box::new);
        self.watch = None;
        self.checks.clone_from(&self.options.checks);
        self.bound.clear();
        self.rules.clear();
        self.rules_made = 0;
        self.fair = false;
        self.steps_then.clear();
        self.check_at = self.options.most_steps - self.options.most_steps / 4;
        self.machine.observe(self.record.is_some());
        while self.machine.next_effect().is_some() {}
        self.odds = Odds::draw(self.options.faults, self.options.most_crashes, &mut self.chooser);
        // Random search does not ask which steps commute, but for where a datagram went.
        self.machine.track(self.searching || self.odds.troubles());
        self.add_process(ROOT, "main", Vec::new(), body);
        self.schedule();
    }

    /// The calling thread's slot, if it is one of `process` and may act.
    #[inline]
    pub(crate) fn caller(&self, process: Pid) -> Result<u32, NotACaller> {
        if self.running == NOBODY || self.over {
            return Err(NotACaller::Gone);
        }
        let thread = &self.threads[self.running as usize];
        if thread.pid != process {
            return Err(NotACaller::Foreign(thread.pid));
        }
        if thread.state == State::Ended || self.stepping {
            return Err(NotACaller::Gone);
        }
        Ok(self.running)
    }

    /// The process of a pid.
    pub(crate) fn process(&mut self, pid: Pid) -> Option<&mut Process> {
        let index = *self.process_of.get(usize::try_from(pid.0).ok()?)?;
        self.processes.get_mut(index as usize)
    }

    /// Notes a step of a thread.
    #[inline]
    fn account(&mut self, slot: u32) {
        self.counts.steps += 1;
        self.threads[slot as usize].steps += 1;
        if self.options.steps_take_time {
            self.clock = self.clock.saturating_add(STEP);
        }
        self.counts.schedule = mix(self.counts.schedule, u64::from(slot));
        if self.counts.steps >= self.check_at {
            self.check_limits();
        }
    }

    /// Adds a rule, and tells its number.
    pub(crate) fn add_rule(&mut self, rule: RunRule) -> u64 {
        self.rules_made += 1;
        self.rules.push((self.rules_made, rule));
        self.rules_made
    }

    /// Where a body for this slot lies, if it has not begun.
    pub(crate) fn take_body(&mut self, slot: u32) -> Option<Body> {
        self.bodies[slot as usize].take()
    }

    /// Any body that has not begun.
    pub(crate) fn take_any_body(&mut self) -> Option<Body> {
        self.bodies.iter_mut().find_map(Option::take)
    }
}

/// Why a call is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotACaller {
    /// The process was killed, or the run is over: only destructors run on.
    Gone,
    /// The handle is of another process than the thread, which is of this one.
    Foreign(Pid),
}
