//! The run loop: resumes the thread that was chosen, until the run has an end.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use afunix::Pid;
use afunix::snapshot::Snapshot;

use crate::align::{Aligned, Alignment};
use crate::choice::{Random, Replay, Source, Strategy};
use crate::coroutine::{self, Command, Coroutine};
use crate::host::{Sim, process_body};
use crate::options::RunOptions;
use crate::panics;
use crate::record::Record;
use crate::report::{Outcome, Report};
use crate::tape::Tape;
use crate::world::{self, Body, State, World};

/// What the first process of a run does; returns its exit status.
pub type App = Arc<dyn Fn(&Sim) -> i32 + Send + Sync>;

/// Makes an [`App`] of a closure.
pub fn app(main: impl Fn(&Sim) -> i32 + Send + Sync + 'static) -> App {
    Arc::new(main)
}

/// Where a run takes its choices from.
pub enum Choices {
    /// Random ones.
    Seed(u64),
    /// A tape, exactly: where the run does not follow it, it fails.
    Tape(Tape),
    /// Anything else.
    Strategy(Box<dyn Strategy>),
}

/// Numbers runs, so that a handle knows its own: each runner takes so many numbers at once, since
/// what several OS threads count in costs each of them.
static RUNS: AtomicU64 = AtomicU64::new(1);
const RUNS_AT_ONCE: u64 = 1 << 16;

/// Makes runs, one after the other, and keeps their memory.
pub(crate) struct Runner {
    /// Here between runs.
    world: Option<Box<World>>,
    threads: Vec<Option<Coroutine>>,
    os_threads: bool,
    /// Numbers for its next runs.
    numbers: Range<u64>,
}

/// What is to be done next.
enum Next {
    /// A thread goes on, perhaps for the first time.
    Resume(u32, Option<Body>),
    /// The coroutine of a killed thread is to unwind.
    Reap(u32, Option<Body>),
    /// The run has an end.
    End,
}

impl Runner {
    pub(crate) fn new(options: Arc<RunOptions>) -> Runner {
        panics::install_hook();
        let os_threads = options.os_threads;
        let world = Some(World::new(options));
        Runner { world, threads: Vec::new(), os_threads, numbers: 0..0 }
    }

    /// Makes a run. What it counted can be read from [`Runner::world`] until the next one.
    ///
    /// # Panics
    /// Inside a simulation.
    pub(crate) fn run(&mut self, app: &App, source: Source, record: Option<Record>) -> Outcome {
        self.run_and_look(app, source, record, |_| ()).0
    }

    /// Makes a run, and looks at its world at the end, before it is cleared away.
    pub(crate) fn run_and_look<R>(
        &mut self,
        app: &App,
        source: Source,
        record: Option<Record>,
        look: impl FnOnce(&World) -> R,
    ) -> (Outcome, R) {
        assert!(!coroutine::is_inside(), "a simulation cannot be run inside a simulation");
        let mut world = self.world.take().expect("the last run came to its end");
        let run = self.number();
        let app = Arc::clone(app);
        let body = process_body(Sim::new(run, Pid(1)), move |sim| app(sim));
        world.begin(run, source, record, body);
        let before = world::install(Some(world));
        assert!(before.is_none(), "one run at a time on an OS thread");
        self.drive();
        let answer = world::with(|world| (world.outcome(), look(world)));
        self.clear_away();
        self.world = world::install(None);
        answer
    }

    /// The number of the next run.
    fn number(&mut self) -> u64 {
        self.numbers.next().unwrap_or_else(|| {
            let first = RUNS.fetch_add(RUNS_AT_ONCE, Ordering::Relaxed);
            self.numbers = first + 1..first + RUNS_AT_ONCE;
            first
        })
    }

    /// The world of the last run.
    pub(crate) fn world(&mut self) -> &mut World {
        self.world.as_mut().expect("no run is under way")
    }

    fn drive(&mut self) {
        loop {
            match world::with(World::next) {
                Next::Resume(slot, None) => {
                    let thread = self.threads[slot as usize].take();
                    let thread = thread.expect("a thread that can go on has a coroutine");
                    self.resume(slot, thread);
                }
                Next::Resume(slot, Some(body)) => {
                    self.resume(slot, Coroutine::new(body, self.os_threads));
                }
                Next::Reap(slot, body) => {
                    // What it has not begun with is dropped here: its descriptors are gone.
                    drop(body);
                    self.unwind(slot);
                    world::with(|world| world.reaping = false);
                }
                Next::End => return,
            }
        }
    }

    #[inline]
    fn resume(&mut self, slot: u32, thread: Coroutine) {
        let suspended = thread.resume(Command::Run);
        let index = slot as usize;
        if self.threads.len() <= index {
            self.threads.resize_with(index + 1, || None);
        }
        self.threads[index] = suspended;
        if self.threads[index].is_some() && world::with(|world| world.is_stuck(slot)) {
            // It was killed by its own call, and caught that for ever.
            if let Some(stubborn) = self.threads[index].take() {
                stubborn.leak();
            }
            world::with(World::schedule);
        }
    }

    /// Unwinds a thread's coroutine, if it has one.
    fn unwind(&mut self, slot: u32) {
        panics::begin_unwinding();
        if let Some(thread) = self.threads.get_mut(slot as usize).and_then(Option::take)
            && let Some(stubborn) = thread.resume(Command::Unwind)
        {
            stubborn.leak();
        }
    }

    /// Unwinds all that is left of a run.
    fn clear_away(&mut self) {
        world::with(World::close);
        for slot in 0..self.threads.len() as u32 {
            self.unwind(slot);
        }
        self.threads.clear();
        while let Some(body) = world::with(World::take_any_body) {
            drop(body);
        }
    }
}

impl World {
    #[inline]
    fn next(&mut self) -> Next {
        if let Some(slot) = self.doomed.pop() {
            self.running = slot;
            self.reaping = true;
            return Next::Reap(slot, self.take_body(slot));
        }
        if self.end.is_some() {
            return Next::End;
        }
        self.running = self.current;
        Next::Resume(self.current, self.take_body(self.current))
    }

    /// Whether a thread that suspended itself has ended.
    #[inline]
    fn is_stuck(&self, slot: u32) -> bool {
        self.end.is_none() && self.threads[slot as usize].state == State::Ended
    }
}

/// Makes one run, and reports.
pub fn run(app: &App, options: &RunOptions, choices: Choices) -> Report {
    let record = options.record.then(Record::default);
    match choices {
        Choices::Seed(seed) => {
            let mut report = report(app, options, Source::Random(Random::new(seed)), record);
            report.tape.seed = Some(seed);
            report
        }
        Choices::Strategy(strategy) => report(app, options, Source::Other(strategy), record),
        Choices::Tape(tape) => replay(app, options, &tape, None),
    }
}

/// Makes the run of a tape once more, recorded, and stops before step `until`, if that is given.
/// The tape decides about faults and limits; `options` about the rest. Where the run does not
/// follow the tape, it fails as [`Diverged`](crate::FailureKind::Diverged), at the first step that
/// differs.
pub fn replay(app: &App, options: &RunOptions, tape: &Tape, until: Option<u64>) -> Report {
    let record = Record::following(tape.marks.clone().into(), until);
    let source = Source::Replay(Replay::new(tape.choices.clone()));
    let mut report = report(app, &tape.options(options), source, Some(record));
    report.tape.keep_head(tape);
    report
}

/// Makes the run of a tape of a program that was changed since: each step that the tape knows gets
/// the turn, and the choices, that the tape has for it. The report's tape is one of the program as
/// it is now.
pub fn realign(app: &App, options: &RunOptions, tape: &Tape) -> (Report, Alignment) {
    let mut runner = Runner::new(Arc::new(tape.options(options)));
    let source = Source::Aligned(Box::new(Aligned::new(tape)));
    let record = Some(Record::default());
    let (outcome, snapshot) = runner.run_and_look(app, source, record, World::snapshot);
    let alignment = runner.world().chooser.alignment().unwrap_or_default();
    let mut report = make_report(outcome, snapshot, runner.world());
    report.tape.keep_head(tape);
    (report, alignment)
}

fn report(app: &App, options: &RunOptions, source: Source, record: Option<Record>) -> Report {
    let mut runner = Runner::new(Arc::new(options.clone()));
    let (outcome, snapshot) = runner.run_and_look(app, source, record, World::snapshot);
    make_report(outcome, snapshot, runner.world())
}

fn make_report(outcome: Outcome, snapshot: Snapshot, world: &mut World) -> Report {
    let record = world.record.take().map(|record| *record).unwrap_or_default();
    let failure = match &outcome {
        Outcome::Failed(failure) => Some(failure.signature.clone()),
        _ => None,
    };
    let id = |number: i32| number.unsigned_abs();
    let tape = Tape {
        scenario: String::new(),
        args: Vec::new(),
        seed: None,
        faults: world.options.faults,
        most_crashes: world.options.most_crashes,
        most_steps: world.options.most_steps,
        steps_take_time: world.options.steps_take_time,
        checks: world.options.checks.clone(),
        failure,
        trace: world.counts.trace,
        choices: world.chooser.made().to_vec(),
        marks: record.marks,
    };
    Report {
        outcome,
        tape,
        steps: world.counts.steps,
        calls: world.counts.calls,
        time: world.clock,
        faults: world.counts.faults,
        schedule: world.counts.schedule,
        trace: world.counts.trace,
        coverage: world.coverage.take(),
        printed: std::mem::take(&mut world.printed),
        events: record.events,
        snapshots: record.snapshots,
        snapshot,
        turns: record.turns,
        ids: world.threads.iter().map(|it| (id(it.pid.0), id(it.tid.0))).collect(),
        names: world.threads.iter().map(|it| it.name.clone()).collect(),
    }
}
