//! Campaigns: the same for any number of jobs, honest about what they did, and failures that
//! shrink.
#![allow(missing_docs, reason = "tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use afunix::{Backend, Call, Host};
use afunix_sim::{
    App, Campaign, Choices, Ended, ExploreOptions, FailureKind, Faults, Plan, RunOptions, app,
    explore, replay, run, run_seed, shrink,
};
use common::{ping_pong, two_writers, with};

/// Two threads add to a number in a racy way, through calls in between; the odd schedule loses one.
fn racy(threads: u64) -> App {
    app(move |host| {
        let sum = Arc::new(AtomicU64::new(0));
        let host = *host;
        let add = move |sum: &AtomicU64| {
            let seen = sum.load(Ordering::Relaxed);
            let _ = host.call(&mut Call::Getpid);
            sum.store(seen + 1, Ordering::Relaxed);
        };
        let all: Vec<_> = (0..threads)
            .map(|_| {
                let sum = Arc::clone(&sum);
                host.spawn("adder", move || {
                    for _ in 0..20 {
                        let _ = host.call(&mut Call::Getpid);
                    }
                    add(&sum);
                })
            })
            .collect();
        all.into_iter().for_each(|thread| thread.join().unwrap());
        i32::from(sum.load(Ordering::Relaxed) != threads)
    })
}

fn made(app: &App, jobs: usize, run: RunOptions, runs: u64) -> Campaign {
    explore(app, &ExploreOptions { run, runs, jobs, ..ExploreOptions::default() })
}

/// All but what cannot be compared.
fn told(campaign: &Campaign) -> String {
    let mut campaign = campaign.clone();
    let found = campaign.failure.take().map(|it| (it.run, it.seed, it.failure));
    format!("{campaign:?} {found:?}")
}

#[test]
fn jobs_change_nothing() {
    let one = made(&ping_pong(3), 1, RunOptions::default(), 3000);
    let four = made(&ping_pong(3), 4, RunOptions::default(), 3000);
    assert_eq!(told(&one), told(&four));
    assert_eq!((one.ended, one.runs), (Ended::Complete, 3000));
    assert!(one.schedules > 100 && one.checked == 47, "{}", told(&one));
    assert_eq!(one.coverage["socketpair"], 3000);
    let one = made(&racy(2), 1, with(Faults::None), 100_000);
    let four = made(&racy(2), 4, with(Faults::None), 100_000);
    assert_eq!(one.ended, Ended::Failed);
    assert_eq!(told(&one), told(&four));
}

#[test]
fn a_failure_shrinks_and_replays() {
    let app = racy(5);
    let found = made(&app, 2, RunOptions::default(), 10_000).failure.expect("a lost addition");
    let (first, best) = (&found.first, &found.shrunk.report);
    assert_eq!(first.failure().map(|it| &it.signature), best.failure().map(|it| &it.signature));
    assert!(best.tape.switches() <= 8, "{} of {}", best.tape.switches(), first.tape.switches());
    assert_eq!(best.faults.total(), 0);
    let again = replay(&app, &RunOptions::default(), &best.tape, None);
    assert_eq!(again.events, best.events);
    assert!(!best.events.is_empty());
    let by_seed = run(&app, &RunOptions::default(), Choices::Seed(run_seed(0, found.run)));
    assert_eq!(by_seed.trace, first.trace);
}

#[test]
fn pct_keeps_its_promise_and_states_it() {
    let plan = Plan::Pct { depth: 2 };
    let options = ExploreOptions { plan, run: with(Faults::None), ..ExploreOptions::default() };
    let mut runs = Vec::new();
    for seed in 0..10 {
        let campaign = explore(&racy(2), &ExploreOptions { seed, ..options.clone() });
        let promise = campaign.pct.expect("a promise");
        assert_eq!(promise.threads, 3);
        let least = 1.0 / (3.0 * promise.points as f64);
        assert!((promise.probability - least).abs() < 1e-9, "{promise:?}");
        assert!(promise.most_points <= promise.points, "{promise:?}");
        let found = campaign.failure.expect("two steps in the wrong order are found");
        let again = replay(&racy(2), &options.run, &found.shrunk.report.tape, None);
        assert_eq!(again.failure().map(|it| it.kind), Some(FailureKind::Exit));
        // Ten times as many as it takes on average with the least probability.
        assert!((campaign.runs as f64) < 10.0 / least, "{} runs, {promise:?}", campaign.runs);
        runs.push(campaign.runs);
    }
    println!("found in {runs:?} runs");
}

#[test]
fn a_search_ends_with_the_failure_or_with_a_proof() {
    let plan = Plan::Exhaustive { strict: false };
    let options = ExploreOptions { plan, run: with(Faults::None), ..ExploreOptions::default() };
    let broken = explore(&two_writers(), &options);
    let found = broken.failure.expect("a deadlock");
    assert_eq!((broken.ended, found.failure.kind), (Ended::Failed, FailureKind::Deadlock));
    assert!(!broken.search.expect("a search").complete);
    let again = replay(&two_writers(), &RunOptions::default(), &found.first.tape, None);
    assert_eq!(again.failure().map(|it| it.kind), Some(FailureKind::Deadlock));
    let sound = explore(&ping_pong(2), &options);
    let search = sound.search.expect("a search");
    assert_eq!(
        (sound.ended, search.complete, search.incomplete_because),
        (Ended::Complete, true, None)
    );
    let bounded = Plan::Bounded { preemptions: 1 };
    let bounded = explore(&ping_pong(2), &ExploreOptions { plan: bounded, ..options });
    assert_eq!(bounded.ended, Ended::Complete);
    assert!(bounded.runs > sound.runs, "{} and {}", bounded.runs, sound.runs);
}

#[test]
fn a_deadlock_shrinks_to_few_switches() {
    let app = two_writers();
    let found = made(&app, 1, RunOptions::default(), 10_000).failure.expect("a deadlock");
    let best = &found.shrunk.report;
    assert_eq!(best.failure().unwrap().kind, FailureKind::Deadlock);
    assert_eq!(best.failure().unwrap().cycle.len(), 2);
    assert!(best.tape.switches() <= 2, "{}", best.tape.switches());
    let twice = shrink(&app, &RunOptions::default(), best, 1_000_000, &AtomicBool::new(false));
    assert!(twice.report.steps <= best.steps);
}

#[test]
fn a_program_that_is_not_deterministic_is_told_so() {
    let runs = Arc::new(AtomicU64::new(0));
    let app = app(move |host| {
        for _ in 0..runs.fetch_add(1, Ordering::Relaxed) % 3 {
            host.pid();
        }
        host.pid();
        0
    });
    let found = made(&app, 1, RunOptions::default(), 1000).failure.expect("a difference");
    assert_eq!(found.failure.kind, FailureKind::Nondeterministic);
}

#[test]
fn a_campaign_ends_by_time_and_by_hand() {
    let app = ping_pong(2);
    let base = ExploreOptions { runs: u64::MAX, jobs: 2, ..ExploreOptions::default() };
    let time = Some(Duration::from_millis(100));
    let told = Arc::new(AtomicU64::new(0));
    let place = Arc::clone(&told);
    let by_time = explore(
        &app,
        &ExploreOptions {
            time,
            progress: Some(Arc::new(move |progress| {
                place.fetch_max(progress.runs, Ordering::Relaxed);
            })),
            ..base.clone()
        },
    );
    assert_eq!(by_time.ended, Ended::Time);
    assert!(by_time.runs > 0 && told.load(Ordering::Relaxed) == by_time.runs);
    let stop = Arc::new(AtomicBool::new(true));
    let stopped = explore(&app, &ExploreOptions { stop, ..base });
    assert_eq!((stopped.ended, stopped.runs), (Ended::Stopped, 0));
}

#[test]
fn a_loaded_machine_is_there_in_every_run() {
    let mut machine = afunix_model::Machine::new(afunix_model::Profile::default());
    let mut call = Call::Mkdir { path: b"/tmp/loaded", mode: 0o700 };
    let resume = afunix_model::Resume::First;
    let _ = machine.step(Duration::ZERO, afunix::Tid(1), &mut call, resume);
    while machine.next_effect().is_some() {}
    let app = app(|host| {
        let mut stat = afunix::call::Stat::default();
        let there = host.call(&mut Call::Stat { path: b"/tmp/loaded", stat: &mut stat });
        host.call(&mut Call::Rmdir { path: b"/tmp/loaded" }).unwrap();
        i32::from(there.is_err())
    });
    let run = RunOptions { machine: Some(Arc::new(machine)), ..RunOptions::default() };
    assert_eq!(made(&app, 2, run, 500).ended, Ended::Complete);
}
