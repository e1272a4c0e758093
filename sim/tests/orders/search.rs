//! The search against brute force.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use afunix::{Backend, Host};
use afunix_sim::{
    App, ExploreOptions, FailureKind, Faults, Outcome, Plan, RunOptions, Searched, app, exhaust,
};

use crate::brute::{Seen, outcomes, set_up, tag};
use crate::programs::{Dice, Program, look, program};

/// The program in the simulator; its last run's replies and findings are left in `place`.
fn simulated(program: Program, place: Arc<Mutex<Seen>>) -> App {
    app(move |host| {
        let host = *host;
        set_up(|call| {
            host.call(call).unwrap();
        });
        *place.lock().unwrap() = (vec![Vec::new(); program.len()], None);
        let all: Vec<_> = program
            .iter()
            .cloned()
            .enumerate()
            .map(|(index, ops)| {
                let place = Arc::clone(&place);
                host.spawn("thread", move || {
                    for (call, op) in ops.into_iter().enumerate() {
                        let mut working = op.begin(tag(index, call));
                        let made = working.make(|call| host.call(call), |result| Some(*result));
                        place.lock().unwrap().0[index].push(made.1);
                    }
                })
            })
            .collect();
        all.into_iter().for_each(|thread| thread.join().unwrap());
        let found = look(|call| host.call(call));
        place.lock().unwrap().1 = Some(found);
        0
    })
}

fn searched(program: &Program, plan: Plan) -> (BTreeSet<Seen>, Searched) {
    let place = Arc::default();
    let app = simulated(program.clone(), Arc::clone(&place));
    let run = RunOptions { faults: Faults::None, ..RunOptions::default() };
    let options = ExploreOptions { plan, run, runs: 1_000_000, ..ExploreOptions::default() };
    let mut seen = BTreeSet::new();
    let searched = exhaust(&app, &options, |outcome| {
        match outcome {
            Outcome::Passed => {}
            Outcome::Failed(failure) => {
                assert_eq!(failure.kind, FailureKind::Deadlock, "{failure}")
            }
            Outcome::Stopped => unreachable!("such a run is not shown"),
        }
        seen.insert(place.lock().unwrap().clone());
    });
    assert!(searched.complete, "{searched:?}");
    (seen, searched)
}

/// What the programs of a test came to.
#[derive(Debug, Default)]
struct Sum {
    programs: u64,
    schedules: u64,
    classes: u64,
    executions: u64,
    asleep: u64,
    impossible: u64,
    /// Programs with exactly as many runs as there are classes.
    exact: u64,
}

fn compare(seed: u64, program: &Program, strict: bool, sum: &mut Sum) {
    let Some((all, schedules)) = outcomes(program, 2_000) else { return };
    let (seen, searched) = searched(program, Plan::Exhaustive { strict });
    let missing: Vec<_> = all.difference(&seen).collect();
    let invented: Vec<_> = seen.difference(&all).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "seed {seed}, {program:?}: {} of {} missing; {searched:?}\nmissing {}invented {}seen {}",
        missing.len(),
        all.len(),
        short(missing),
        short(invented),
        if seen.len() < 9 { short(seen.iter()) } else { String::new() },
    );
    sum.programs += 1;
    sum.schedules += schedules;
    sum.classes += all.len() as u64;
    sum.executions += searched.executions;
    sum.asleep += searched.asleep;
    sum.impossible += searched.impossible;
    sum.exact += u64::from(searched.executions == all.len() as u64);
}

/// Replies, and what is found at the end in a line each.
fn short<'a>(seen: impl IntoIterator<Item = &'a Seen>) -> String {
    let mut text = String::new();
    for (replies, found) in seen {
        let found = found.clone().unwrap_or_default();
        text += &format!("{replies:?} then {}\n", found.join(", "));
    }
    text
}

/// Compares random programs, this many times `AFUNIX_ORDERS` (1 if it is not set).
fn compare_many(first_seed: u64, programs: u64, (threads, calls): (usize, usize), strict: bool) {
    let times = std::env::var("AFUNIX_ORDERS").map_or(1, |times| times.parse().unwrap());
    let mut sum = Sum::default();
    for seed in first_seed..first_seed + programs * times {
        let mut dice = Dice::new(seed);
        let program = program(&mut dice, threads, calls, strict);
        compare(seed, &program, strict, &mut sum);
    }
    println!("{threads} x {calls} from seed {first_seed}, strict {strict}: {sum:?}");
    assert!(sum.programs > programs * times / 2, "{sum:?}");
}

/// For more: `AFUNIX_ORDERS=100 cargo test --release -p afunix-sim --test orders -- --nocapture`.
#[test]
fn two_threads_with_a_call_each() {
    compare_many(1_000_000, 200, (2, 1), true);
}

#[test]
fn two_threads() {
    compare_many(2_000_000, 150, (2, 3), false);
    compare_many(3_000_000, 150, (2, 3), true);
}

#[test]
fn three_threads() {
    compare_many(4_000_000, 50, (3, 2), false);
    compare_many(5_000_000, 20, (3, 3), true);
}
