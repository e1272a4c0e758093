//! Exhaustive search as a campaign: run after run, until there is none that differs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::tally::{Tally, Total};
use super::{ADVICE, ExploreOptions, Failed, Plan, Progress, Shared};
use crate::choice::Source;
use crate::report::{Failure, FailureKind, Outcome};
use crate::run::{App, Runner};
use crate::search::{Ending, Search};
use crate::strategy::Every;

/// What an exhaustive search tells beside what every campaign tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Searched {
    /// Whether every run that differs was made: if none failed, that is a proof.
    pub complete: bool,
    /// Why it is not complete, in a line.
    pub incomplete_because: Option<String>,
    /// Runs that came to their end.
    pub executions: u64,
    /// Runs that were given up since all that could go on had been tried before. 0 is optimal.
    pub asleep: u64,
    /// Runs that were given up since what was to be tried has to wait there.
    pub impossible: u64,
    /// How many runs there are in all, as far as could be told at the end.
    pub estimate: u64,
    /// Whether only one of the runs that do not differ was made.
    pub reduced: bool,
}

/// What every run that came to its end is shown to.
pub(super) type Look<'a> = &'a mut dyn FnMut(&Outcome);

/// Where the next run comes from.
enum Tree {
    Reduced(Option<Box<Search>>),
    Every(Every),
}

/// Makes every run; ends at the first failure unless `look` is there to take it.
pub(super) fn search(
    app: &App,
    options: &ExploreOptions,
    late: &AtomicBool,
    mut look: Option<Look<'_>>,
) -> (Total, Searched, Option<Failed>) {
    let mut tree = match options.plan {
        Plan::Bounded { preemptions } => Tree::Every(Every::new(preemptions)),
        Plan::Exhaustive { strict } => Tree::Reduced(Some(Box::new(Search::new(strict)))),
        Plan::Random | Plan::Pct { .. } => unreachable!("only these two are exhaustive"),
    };
    let mut runner = Runner::new(Arc::new(options.run.clone()));
    let mut total = Total::default();
    let mut searched =
        Searched { reduced: matches!(tree, Tree::Reduced(_)), ..Searched::default() };
    let mut failed = None;
    for number in 0.. {
        if let Some(because) = stopped(options, late, number) {
            searched.incomplete_because = Some(because);
            break;
        }
        let (outcome, ending) = tree.run(app, &mut runner);
        let world = runner.world();
        let mut tally = Tally::default();
        tally.add(&world.counts);
        tally.add_properties(world);
        if number % 1024 == 0 {
            tally.take_coverage(world);
        }
        total.deliver(number, tally);
        searched.estimate = estimate(number + 1, tree.done());
        match ending {
            Ending::Whole => searched.executions += 1,
            Ending::Asleep => searched.asleep += 1,
            Ending::Impossible => searched.impossible += 1,
            Ending::Lost => {
                failed = Some((number, lost(), world.chooser.made().to_vec()));
                break;
            }
        }
        match (outcome, &mut look) {
            (Outcome::Stopped, _) => {}
            (outcome, Some(look)) => look(&outcome),
            (Outcome::Failed(failure), None) => {
                failed = Some((number, failure, runner.world().chooser.made().to_vec()));
                break;
            }
            (Outcome::Passed, None) => {}
        }
        if number % 256 == 255
            && let Some(tell) = &options.progress
        {
            let schedules = total.schedules();
            tell(Progress { runs: number + 1, schedules, estimate: Some(searched.estimate) });
        }
        if !tree.next_run() {
            searched.complete = true;
            break;
        }
    }
    if failed.is_some() {
        searched.incomplete_because = Some("a run failed".to_owned());
    } else if let Some(because) = tree.left_out() {
        searched.complete = false;
        searched.incomplete_because = Some(because);
    }
    let mut last = Tally::default();
    last.take_coverage(runner.world());
    total.finish_with(last);
    (total, searched, failed)
}

/// Why the search is not to go on.
fn stopped(options: &ExploreOptions, late: &AtomicBool, runs: u64) -> Option<String> {
    match () {
        () if options.stop.load(Ordering::Relaxed) => Some("it was stopped".to_owned()),
        () if late.load(Ordering::Relaxed) => Some("the time was over".to_owned()),
        () if runs >= options.runs => Some(format!("only {runs} runs were asked for")),
        () => None,
    }
}

/// Knuth's way to tell the size of a tree from a part of it, over all runs so far.
fn estimate(runs: u64, done: f64) -> u64 {
    (runs as f64 / done.max(f64::MIN_POSITIVE)).ceil() as u64
}

fn lost() -> Failure {
    let mut failure = Failure::new(
        FailureKind::Nondeterministic,
        format!(
            "a thread that could go on in an earlier run could not in the same place of this one. \
             {ADVICE}"
        ),
    );
    failure.signature = "nondeterministic".to_owned();
    failure
}

impl Tree {
    fn run(&mut self, app: &App, runner: &mut Runner) -> (Outcome, Ending) {
        match self {
            Tree::Every(every) => {
                (runner.run(app, Source::Other(Box::new(every.clone())), None), Ending::Whole)
            }
            Tree::Reduced(search) => {
                let source = Source::Search(search.take().expect("it is here between runs"));
                let outcome = runner.run(app, source, None);
                let world = runner.world();
                let mut taken = world.chooser.take_search().expect("the run was a search's");
                let ending = taken.end_run();
                *search = Some(taken);
                (outcome, ending)
            }
        }
    }

    fn next_run(&mut self) -> bool {
        match self {
            Tree::Every(every) => every.next_run(),
            Tree::Reduced(search) => search.as_mut().is_some_and(|search| search.next_run()),
        }
    }

    fn done(&self) -> f64 {
        match self {
            Tree::Every(every) => every.done(),
            Tree::Reduced(search) => search.as_ref().map_or(1.0, |search| search.done()),
        }
    }

    /// What the search leaves out, if it leaves something out.
    fn left_out(&self) -> Option<String> {
        let Tree::Reduced(Some(search)) = self else { return None };
        search.left_out.map(str::to_owned)
    }
}

/// Makes every run that differs, whether it fails or not, and shows how each ended. With
/// [`Plan::Bounded`] every schedule, for comparison.
///
/// # Panics
/// If the plan is another.
pub fn exhaust(app: &App, options: &ExploreOptions, mut look: impl FnMut(&Outcome)) -> Searched {
    let mut options = options.clone();
    options.run.steps_take_time = false;
    let late = AtomicBool::new(false);
    crate::watchdog::within(options.time, &late, || search(app, &options, &late, Some(&mut look)).1)
}

/// The same as a campaign that ends with the first failure.
pub(super) fn campaign(shared: &Shared<'_>) -> (Total, Searched, Option<Failed>) {
    search(shared.app, shared.options, &shared.late, None)
}
