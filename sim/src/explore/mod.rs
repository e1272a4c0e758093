//! Many runs, over several OS threads, with the same result as one after the other.
//!
//! Runs are numbered from 0, and a run's seed follows from the campaign's and its number. Workers
//! take them in
//! *chunks*; what chunks tell is added up in the order of their numbers, up to the first run that
//! fails, so nothing hangs on how many workers there are.

mod exhaustive;
mod tally;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use afunix::trace::EventKind;
use serde::Serialize;

use crate::choice::{Choice, Label, Random, Replay, Source};
use crate::critical::{CriticalPair, critical_pair};
use crate::decisive::{Decisive, decisive};
use crate::faults::FaultCounts;
use crate::options::RunOptions;
use crate::property::Modality;
use crate::report::{Failure, FailureKind, Outcome, Report};
use crate::run::{App, Runner, replay};
use crate::shrink::{Shrunk, shrink};
use crate::strategy::{Pct, Plan};
use crate::tape::Tape;
use crate::watchdog;
pub use exhaustive::{Searched, exhaust};
use tally::{Tally, Total};

/// Runs that a worker takes at once.
const CHUNK: u64 = 64;

/// What a campaign is made with.
#[derive(Clone)]
pub struct ExploreOptions {
    /// What each run is made with.
    pub run: RunOptions,
    /// How schedules are chosen.
    pub plan: Plan,
    /// How many runs at most.
    pub runs: u64,
    /// How long at most.
    pub time: Option<Duration>,
    /// From this the seeds of all runs follow.
    pub seed: u64,
    /// OS threads. (An exhaustive search has one.)
    pub jobs: usize,
    /// Every so many runs, one is made twice and compared; 0 for none.
    pub check_every: u64,
    /// Steps that are spent on making a failing run simpler; 0 for none. (Steps, not time: the
    /// same seed gives the same result on a slow machine.)
    pub shrink_steps: u64,
    /// Ends the campaign early when somebody sets it.
    pub stop: Arc<AtomicBool>,
    /// Told now and then how far it is, from any of the OS threads.
    pub progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}

impl Default for ExploreOptions {
    /// 10,000 runs from seed 0 on one OS thread, every 64th made twice, 20,000,000 steps to shrink.
    fn default() -> Self {
        ExploreOptions {
            run: RunOptions::default(),
            plan: Plan::default(),
            runs: 10_000,
            time: None,
            seed: 0,
            jobs: 1,
            check_every: 64,
            shrink_steps: 20_000_000,
            stop: Arc::default(),
            progress: None,
        }
    }
}

impl fmt::Debug for ExploreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExploreOptions")
            .field("run", &self.run)
            .field("plan", &self.plan)
            .field("runs", &self.runs)
            .field("time", &self.time)
            .field("seed", &self.seed)
            .field("jobs", &self.jobs)
            .field("check_every", &self.check_every)
            .field("shrink_steps", &self.shrink_steps)
            .finish_non_exhaustive()
    }
}

/// How far a campaign is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Runs made.
    pub runs: u64,
    /// Different orders of threads among them, at least.
    pub schedules: u64,
    /// Of an exhaustive search: how many runs there are in all, as far as can be told.
    pub estimate: Option<u64>,
}

/// Why a campaign ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// All runs were made; by an exhaustive search: all that differ.
    Complete,
    /// An exhaustive search made the runs that it was given, and there are more.
    Runs,
    /// A run failed.
    Failed,
    /// The time was over.
    Time,
    /// Somebody stopped it.
    Stopped,
}

/// What a campaign tells.
#[derive(Clone, Debug, Serialize)]
pub struct Campaign {
    /// Why it ended.
    pub ended: Ended,
    /// The seed that the seeds of all runs follow from.
    pub seed: u64,
    /// Runs made, up to and with the first that failed.
    pub runs: u64,
    /// Different orders of threads among them.
    pub schedules: u64,
    /// Steps made.
    pub steps: u64,
    /// Calls made.
    pub calls: u64,
    /// Runs that were made twice and compared.
    pub checked: u64,
    /// Faults injected.
    pub faults: FaultCounts,
    /// Different points at which a process was killed: (process, call, which of its calls).
    pub crash_points: u64,
    /// Calls by name.
    pub coverage: BTreeMap<String, u64>,
    /// The properties, and in how many runs each was met.
    pub properties: Vec<Met>,
    /// How schedules were chosen.
    pub plan: Plan,
    /// With [`Plan::Pct`]: what its promise is made of.
    pub pct: Option<Promise>,
    /// With an exhaustive plan: whether it was complete, and more.
    pub search: Option<Searched>,
    /// The first run that failed.
    #[serde(skip)]
    pub failure: Option<Box<Found>>,
}

/// In how many runs a property was met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Met {
    /// When it has to hold.
    pub modality: Modality,
    /// Its name.
    pub name: String,
    /// Runs in which it held at least once.
    pub runs: u64,
}

impl Campaign {
    /// Names of each `sometimes` that no run met: then the campaign has not tried what it was for.
    pub fn unmet(&self) -> Vec<&str> {
        let unmet = self.properties.iter().filter(|it| it.modality == Modality::Sometimes);
        unmet.filter(|it| it.runs == 0).map(|it| it.name.as_str()).collect()
    }
}

/// What probabilistic concurrency testing promises of every run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Promise {
    /// Threads of a run.
    pub threads: u64,
    /// Scheduling points of a run, as assumed: twice those of the first one.
    pub points: u64,
    /// Most scheduling points that a run had. For a run with more than assumed the promise does
    /// not hold.
    pub most_points: u64,
    /// The least probability with which a run shows a bug of the depth, if there is one.
    pub probability: f64,
}

/// A run that failed.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its number in the campaign.
    pub run: u64,
    /// Its own seed, if it had one.
    pub seed: Option<u64>,
    /// Why it failed.
    pub failure: Failure,
    /// The run as it was found, recorded.
    pub first: Report,
    /// The same failure, in a simpler run.
    pub shrunk: Shrunk,
    /// The two calls of that run on whose order it hangs, if there are such.
    pub critical: Option<CriticalPair>,
    /// If there are none: what else decides.
    pub decisive: Option<Decisive>,
}

/// The seed of a campaign's run (splitmix64).
pub fn run_seed(seed: u64, run: u64) -> u64 {
    let mut state = seed.wrapping_add(run.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// What the workers share.
struct Shared<'a> {
    app: &'a App,
    options: &'a ExploreOptions,
    /// With [`Plan::Pct`]: its depth, and the scheduling points that a run is taken to have.
    pct: Option<(u32, u64)>,
    /// The next chunk to be taken.
    next: AtomicU64,
    /// Least number of a run that failed.
    failed: AtomicU64,
    /// The time is over.
    late: AtomicBool,
    total: Mutex<Total>,
}

/// Makes many runs of `app`, until one fails, or until there are no more that differ.
///
/// The result is the same for any number of jobs, unless time or somebody ends it.
pub fn explore(app: &App, options: &ExploreOptions) -> Campaign {
    let is_search = matches!(options.plan, Plan::Exhaustive { .. } | Plan::Bounded { .. });
    let mut options = options.clone();
    options.run.record = false;
    options.run.steps_take_time &= !is_search;
    let options = &options;
    let (pct, threads) = match options.plan {
        Plan::Pct { depth } => probe(app, options, depth),
        _ => (None, 0),
    };
    let shared = Shared {
        app,
        options,
        pct,
        next: AtomicU64::new(0),
        failed: AtomicU64::new(u64::MAX),
        late: AtomicBool::new(false),
        total: Mutex::new(Total::default()),
    };
    let searched = watchdog::within(options.time, &shared.late, || {
        if is_search {
            return Some(exhaustive::campaign(&shared));
        }
        thread::scope(|scope| {
            for _ in 0..options.jobs.max(1) {
                scope.spawn(|| work(&shared));
            }
        });
        None
    });
    let late = shared.late.load(Ordering::Relaxed);
    let (total, search, failed) = match searched {
        Some((total, search, failed)) => (total, Some(search), failed),
        None => {
            let total = shared.total.into_inner();
            (total.unwrap_or_else(|poisoned| poisoned.into_inner()), None, None)
        }
    };
    let (mut tally, schedules) = total.finish();
    let failed = tally.failure.take().or(failed);
    let is_complete = search.as_ref().map_or(tally.runs == options.runs, |search| search.complete);
    let ended = match () {
        () if failed.is_some() => Ended::Failed,
        () if is_complete => Ended::Complete,
        () if late => Ended::Time,
        () if search.is_some() && tally.runs == options.runs => Ended::Runs,
        () => Ended::Stopped,
    };
    let pct = pct.map(|(depth, points)| Promise {
        threads,
        points,
        most_points: tally.most_points,
        probability: 1.0 / (threads as f64 * (points as f64).powi(depth as i32 - 1)),
    });
    let coverage = tally.coverage.into_iter().map(|(name, n)| (name.to_owned(), n)).collect();
    let properties = tally.properties.into_iter();
    let properties =
        properties.map(|((modality, name), runs)| Met { modality, name, runs }).collect();
    Campaign {
        ended,
        seed: options.seed,
        runs: tally.runs,
        schedules,
        steps: tally.steps,
        calls: tally.calls,
        checked: tally.checked,
        faults: tally.faults,
        crash_points: tally.crash_points.len() as u64,
        coverage,
        properties,
        plan: options.plan,
        pct,
        search,
        failure: failed.map(|failed| Box::new(found(app, options, failed))),
    }
}

/// Makes a run to learn how many threads and scheduling points runs have: (depth, points) and
/// threads.
fn probe(app: &App, options: &ExploreOptions, depth: u32) -> (Option<(u32, u64)>, u64) {
    let mut runner = Runner::new(Arc::new(options.run.clone()));
    let source = Source::Random(Random::new(run_seed(options.seed, u64::MAX)));
    runner.run(app, source, None);
    let world = runner.world();
    let points = 2 * scheduling_points(world.chooser.made()).max(1);
    (Some((depth.max(1), points)), world.threads.len() as u64)
}

fn scheduling_points(made: &[Choice]) -> u64 {
    made.iter().filter(|choice| choice.label == Label::Thread).count() as u64
}

/// Makes the run that failed again, recorded, and a simpler one of it.
fn found(app: &App, options: &ExploreOptions, failed: Failed) -> Found {
    let (number, failure, choices) = failed;
    let is_search = matches!(options.plan, Plan::Exhaustive { .. } | Plan::Bounded { .. });
    let seed = (!is_search).then(|| run_seed(options.seed, number));
    let tape = Tape { seed, ..Tape::of(&options.run, choices) };
    let first = replay(app, &options.run, &tape, None);
    let same = first.failure().is_some_and(|it| it.signature == failure.signature);
    let shrunk = if same && options.shrink_steps > 0 {
        shrink(app, &options.run, &first, options.shrink_steps, &options.stop)
    } else {
        Shrunk { report: first.clone(), tried: 0, cut_short: false }
    };
    let is_sought = same && options.shrink_steps > 0;
    let (mut critical, mut decides) = (None, None);
    if is_sought {
        let report = &shrunk.report;
        // Where a fault decides, the order of two calls does not.
        let may_be_fault =
            report.events.iter().any(|it| matches!(it.kind, EventKind::Fault { .. }));
        decides = may_be_fault.then(|| decisive(app, &options.run, report)).flatten();
        if !matches!(decides, Some(Decisive::Fault { .. })) {
            critical = critical_pair(app, &options.run, report);
            decides = match critical {
                Some(_) => None,
                None => decides.or_else(|| decisive(app, &options.run, report)),
            };
        }
    }
    let decisive = decides;
    Found { run: number, seed, failure, first, shrunk, critical, decisive }
}

/// A run that failed: its number, why, and its choices.
type Failed = (u64, Failure, Vec<Choice>);

/// Takes chunks and makes their runs, until there are no more.
fn work(shared: &Shared<'_>) {
    let options = shared.options;
    let mut runner = Runner::new(Arc::new(options.run.clone()));
    // A run counts who has the application: in a place that other workers do not write.
    let application = Arc::clone(shared.app);
    let application: App = Arc::new(move |host| application(host));
    while !shared.is_over() {
        let chunk = shared.next.fetch_add(1, Ordering::Relaxed);
        let start = chunk.saturating_mul(CHUNK);
        if start >= options.runs {
            return;
        }
        let end = start.saturating_add(CHUNK).min(options.runs);
        let mut tally = Tally::default();
        for number in start..end {
            if shared.is_over() || number > shared.failed.load(Ordering::Relaxed) {
                break;
            }
            if let Some(failure) = one(shared, &application, &mut runner, number, &mut tally) {
                shared.failed.fetch_min(number, Ordering::Relaxed);
                let choices = runner.world().chooser.made().to_vec();
                tally.failure = Some((number, failure, choices));
                break;
            }
        }
        tally.take_coverage(runner.world());
        let progress = {
            let mut total = shared.total.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            total.deliver(chunk, tally);
            Progress { runs: total.runs(), schedules: total.schedules(), estimate: None }
        };
        if let Some(tell) = &options.progress {
            tell(progress);
        }
        if start > shared.failed.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Makes one run, and perhaps a second time.
fn one(
    shared: &Shared<'_>,
    app: &App,
    runner: &mut Runner,
    number: u64,
    tally: &mut Tally,
) -> Option<Failure> {
    let options = shared.options;
    let seed = run_seed(options.seed, number);
    let source = match shared.pct {
        Some((depth, points)) => Source::Other(Box::new(Pct::new(seed, depth, points))),
        None => Source::Random(Random::new(seed)),
    };
    let outcome = runner.run(app, source, None);
    let world = runner.world();
    tally.add(&world.counts);
    tally.add_properties(world);
    if shared.pct.is_some() {
        tally.most_points = tally.most_points.max(scheduling_points(world.chooser.made()));
    }
    let (trace, schedule) = (world.counts.trace, world.counts.schedule);
    if let Outcome::Failed(failure) = outcome {
        return Some(failure);
    }
    if options.check_every == 0 || !number.is_multiple_of(options.check_every) {
        return None;
    }
    tally.take_coverage(world);
    tally.checked += 1;
    let choices = world.chooser.made().to_vec();
    let again = runner.run(app, Source::Replay(Replay::new(choices)), None);
    let world = runner.world();
    // What was made twice is counted once.
    let _ = world.coverage.take();
    let same = again == Outcome::Passed && world.counts.trace == trace;
    (!same || world.counts.schedule != schedule)
        .then(|| nondeterministic(shared.app, &options.run, world.chooser.made().to_vec()))
}

/// What a program may use instead of what makes its runs differ.
pub(crate) const ADVICE: &str = "\
    The program uses something that does not come from its host. Take the time from Host::now and \
    chance from Host::random; iterate over a BTreeMap, since a HashMap's order differs from run to \
    run; keep nothing in a static or a thread-local from one run to the next. (A thread-local that \
    a thread uses across calls: RunOptions::os_threads, --threads os)";

/// The failure of a program whose runs differ though their choices do not; with the first step at
/// which they do, if it differs once more.
fn nondeterministic(app: &App, options: &RunOptions, choices: Vec<Choice>) -> Failure {
    let mut tape = Tape::of(options, choices);
    let diverged = (0..32).find_map(|_| {
        let report = replay(app, options, &tape, None);
        let failure = report.failure().filter(|it| it.kind == FailureKind::Diverged);
        let message = failure.map(|failure| failure.message.clone());
        tape = report.tape;
        message
    });
    let place = diverged.unwrap_or_else(|| "it does not differ once more".to_owned());
    let message = format!("the same choices gave another run: {place}. {ADVICE}");
    let mut failure = Failure::new(FailureKind::Nondeterministic, message);
    failure.signature = "nondeterministic".to_owned();
    failure
}

impl Shared<'_> {
    fn is_over(&self) -> bool {
        self.late.load(Ordering::Relaxed) || self.options.stop.load(Ordering::Relaxed)
    }
}
