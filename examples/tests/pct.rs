//! Probabilistic concurrency testing keeps its promise: a bug of depth d shows at least as often as
//! 1/(n k^(d-1)).

use afunix::Application;
use afunix_examples::reported::{blocking_logger, inherited_copy, start_race};
use afunix_examples::{flush_deadlock, hot_restart};
use afunix_sim::{ExploreOptions, Faults, Plan, RunOptions, app, explore};

/// In how many of so many runs the bug shows, and the least probability that is promised.
fn shows<A: Application + 'static>(depth: u32, faults: Faults, runs: u64) -> (u64, f64) {
    let app = app(|host| A::main(host, &[]));
    let (mut shown, mut promised) = (0, 0.0);
    for seed in 0..runs {
        let options = ExploreOptions {
            run: RunOptions { faults, ..RunOptions::default() },
            plan: Plan::Pct { depth },
            runs: 1,
            seed,
            shrink_steps: 0,
            check_every: 0,
            ..ExploreOptions::default()
        };
        let campaign = explore(&app, &options);
        shown += u64::from(campaign.failure.is_some());
        promised = campaign.pct.expect("the plan is PCT").probability.max(promised);
    }
    (shown, promised)
}

#[track_caller]
fn keeps_its_promise<A: Application + 'static>(depth: u32, faults: Faults, runs: u64) {
    let (shown, promised) = shows::<A>(depth, faults, runs);
    let name = A::NAME;
    assert!(
        shown as f64 >= promised * runs as f64,
        "{name}: {shown} of {runs}, {promised} promised"
    );
    println!("{name}, depth {depth}: {shown} of {runs} runs, promised {promised:.2e}");
}

#[test]
fn a_bug_shows_as_often_as_promised() {
    // Any order deadlocks.
    keeps_its_promise::<flush_deadlock::Scenario<flush_deadlock::Broken>>(1, Faults::None, 50);
    // The first worker has to be ready before the second.
    keeps_its_promise::<inherited_copy::Scenario<inherited_copy::Broken>>(1, Faults::None, 300);
    // The one asks, then the other asks and removes, while neither has bound.
    keeps_its_promise::<start_race::Scenario<start_race::Broken>>(2, Faults::None, 600);
    // The logger asks after the service looked and before it logs.
    keeps_its_promise::<blocking_logger::Scenario<blocking_logger::Broken>>(2, Faults::None, 600);
    // The successor is killed after its predecessor has gone.
    keeps_its_promise::<hot_restart::Scenario<hot_restart::Broken>>(2, Faults::Crash, 100);
}
