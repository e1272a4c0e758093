//! Single runs: scheduling, virtual time, deadlocks, replay, processes.
#![allow(missing_docs, reason = "tests")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use afunix::Host;
use afunix_sim::{Choices, FailureKind, Faults, RunOptions, app, replay, run};
use common::{ping_pong, ping_pong_processes, two_writers, with};

#[test]
fn a_ping_pong_passes_whoever_goes_first() {
    let app = ping_pong(5);
    let mut schedules = BTreeSet::new();
    for seed in 0..2000 {
        let report = run(&app, &RunOptions::default(), Choices::Seed(seed));
        assert!(report.passed(), "seed {seed}: {:?}", report.outcome);
        schedules.insert(report.schedule);
    }
    assert!(schedules.len() > 1, "{} schedules", schedules.len());
}

#[test]
fn processes_talk_and_their_status_arrives() {
    let app = app(ping_pong_processes);
    for seed in 0..200 {
        let report = run(&app, &RunOptions::default(), Choices::Seed(seed));
        assert!(report.passed(), "seed {seed}: {:?} {:?}", report.outcome, report.printed);
    }
}

#[test]
fn a_deadlock_is_found_and_its_ring_named() {
    let report = run(&two_writers(), &with(Faults::None), Choices::Seed(1));
    let failure = report.failure().expect("a deadlock");
    assert_eq!(failure.kind, FailureKind::Deadlock);
    println!("{failure}");
    let ring = failure.cycle_text.clone().expect("a ring");
    assert!(ring == "main/left -> main/right -> main/left", "{ring}");
    assert_eq!(failure.cycle.len(), 2);
    assert_eq!(failure.waits.len(), 3);
    assert_eq!(failure.waits.iter().filter(|wait| wait.contains("send buffer is full")).count(), 2);
    assert!(failure.signature.contains("main/left sendto Memory"), "{}", failure.signature);
}

#[test]
fn a_tape_replays_the_same_run_byte_for_byte() {
    let options = RunOptions { record: true, faults: Faults::Io, ..RunOptions::default() };
    for seed in 0..50 {
        let app = ping_pong(3);
        let first = run(&app, &options, Choices::Seed(seed));
        let again = replay(&app, &options, &first.tape, None);
        assert_eq!(first.outcome, again.outcome);
        assert_eq!(first.events, again.events);
        assert_eq!(first.trace, again.trace);
        assert_eq!(first.tape.choices, again.tape.choices);
        assert_eq!(first.tape.marks, again.tape.marks);
    }
}

/// The last moment of all is no place to stop: calls go on there, and time does not.
#[test]
fn a_sleep_without_end_ends_when_nothing_else_happens() {
    let app = app(|sim| {
        sim.sleep(Duration::MAX);
        for _ in 0..3 {
            sim.sleep(Duration::from_secs(1));
        }
        i32::from(sim.now() != Duration::MAX)
    });
    let report = run(&app, &with(Faults::None), Choices::Seed(1));
    assert!(report.passed(), "{:?}", report.outcome);
}
