//! The model against the running kernel, call by call.

use std::sync::atomic::AtomicBool;

use afunix_model::profile::{Planted, Profile};
use afunix_tests::differential::{Failure, Options, Summary, WAITING_ONE_IN, run};

/// Calls per run: a slice; `afunix diff --steps N` runs more.
const STEPS: u64 = 20_000;
/// Calls that a planted bug is looked for in.
const SEARCHED: u64 = 400_000;
/// Calls that a planted bug shrinks to, at most.
const FEW: usize = 8;
/// The same where calls wait: two that wait, what they wait for, and what lets them go on.
const FEW_WAITING: usize = 12;

fn diff(steps: u64, seed: u64, profile: Profile) -> Result<Summary, Box<Failure>> {
    diff_mixed(steps, seed, profile, WAITING_ONE_IN)
}

fn diff_mixed(
    steps: u64,
    seed: u64,
    profile: Profile,
    waiting_one_in: u32,
) -> Result<Summary, Box<Failure>> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    diff_by(jobs, steps, seed, profile, waiting_one_in)
}

fn diff_by(
    jobs: usize,
    steps: u64,
    seed: u64,
    profile: Profile,
    waiting_one_in: u32,
) -> Result<Summary, Box<Failure>> {
    let stop = &AtomicBool::new(false);
    run(&Options { steps, seed, profile, jobs, waiting_one_in, stop }, &mut |_| ())
}

#[test]
fn agrees_with_the_kernel_for_a_fixed_seed() {
    let seed = std::env::var("AFUNIX_DIFF_SEED").ok().and_then(|seed| seed.parse().ok());
    agrees(seed.unwrap_or(1), STEPS);
}

#[test]
fn agrees_with_the_kernel_for_a_fresh_seed() {
    agrees(fresh_seed(), STEPS);
}

fn fresh_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = since.expect("a clock after 1970").as_nanos() as u64;
    println!("seed {seed}");
    seed
}

fn agrees(seed: u64, least: u64) {
    let steps = std::env::var("AFUNIX_DIFF_STEPS").ok().and_then(|steps| steps.parse().ok());
    let begin = std::time::Instant::now();
    match diff(steps.unwrap_or(least), seed, Profile::linux_6_18()) {
        Ok(summary) => println!("{summary}\nin {:?}", begin.elapsed()),
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn agrees_with_the_kernel_where_calls_wait() {
    let steps = std::env::var("AFUNIX_DIFF_STEPS").ok().and_then(|steps| steps.parse().ok());
    let seed = std::env::var("AFUNIX_DIFF_SEED").ok().and_then(|seed| seed.parse().ok());
    let (steps, seed) = (steps.unwrap_or(4_000), seed.unwrap_or(3));
    match diff_mixed(steps, seed, Profile::linux_6_18(), 1) {
        Ok(summary) => println!("{summary}"),
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn the_result_hangs_on_the_seed_alone() {
    // Programs whose calls wait are left out: how often a timeout passes hangs on the system.
    let covered = |jobs| match diff_by(jobs, 10_000, 5, Profile::linux_6_18(), 0) {
        Ok(Summary { steps, programs, waiting, coverage, .. }) => {
            (steps, programs, waiting, coverage)
        }
        Err(failure) => panic!("{failure}"),
    };
    assert_eq!(covered(1), covered(3));
    let planted = Planted::SHUTDOWN_STAYS_LOCAL;
    let found = |jobs| {
        let profile = Profile { planted, ..Profile::linux_6_18() };
        match diff_by(jobs, 200_000, 5, profile, 0).map_err(|failure| *failure) {
            Err(Failure::Diverged(divergence)) => (divergence.number, divergence.program),
            other => panic!("{planted:?} was not found: {other:?}"),
        }
    };
    assert_eq!(found(1), found(3));
}

/// A fault planted in the model is found from a fresh seed, and shrunk.
fn finds(planted: Planted) {
    finds_in(planted, WAITING_ONE_IN, FEW);
}

/// The same where one in so many programs has calls that wait, shrunk to `most` calls.
fn finds_in(planted: Planted, waiting_one_in: u32, most: usize) {
    let profile = Profile { planted, ..Profile::linux_6_18() };
    let seed = fresh_seed();
    match diff_mixed(SEARCHED, seed, profile, waiting_one_in).map_err(|failure| *failure) {
        Err(Failure::Diverged(divergence)) => {
            println!("{planted:?}: {divergence}");
            assert!(divergence.program.calls() <= most, "{planted:?} shrunk badly: {divergence}");
        }
        Err(failure) => panic!("{failure}"),
        Ok(_) => panic!("{planted:?} was not found"),
    }
}

#[test]
fn finds_what_is_planted_in_streams() {
    finds(Planted::PARTIAL_READ_FREES_MEMORY);
    finds(Planted::READ_MERGES_PAST_RIGHTS);
    finds(Planted::FAULT_SENDS_PARTIAL_BUFFER);
    finds(Planted::CLOSE_NEVER_RESETS);
}

#[test]
fn finds_what_is_planted_in_connections() {
    finds(Planted::BACKLOG_OFF_BY_ONE);
    finds(Planted::SHUTDOWN_STAYS_LOCAL);
    finds(Planted::SO_ERROR_STAYS);
    finds(Planted::ONE_NAMESPACE_FOR_ALL_TYPES);
}

#[test]
fn finds_what_is_planted_in_messages() {
    finds(Planted::RECONNECT_KEEPS_QUEUE);
    finds(Planted::SHORT_READ_KEEPS_REST);
    finds(Planted::WRITABLE_UNTIL_FULL);
}

#[test]
fn finds_what_is_planted_in_waiting() {
    finds_in(Planted::LOSES_CLOSE_WAKES, 1, FEW_WAITING);
    finds_in(Planted::WAKES_THE_LAST_FIRST, 1, FEW_WAITING);
    // When a timeout is over hangs on how busy the system is: it shrinks as far as that lets it.
    finds_in(Planted::IGNORES_TIMEOUTS, 1, usize::MAX);
}
