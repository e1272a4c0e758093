//! The search against brute force.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use afunix::{Backend, Exit, Host, ProcessSpec};
use afunix_sim::{
    App, ExploreOptions, FailureKind, Faults, Outcome, Plan, RunOptions, Searched, Sim, app,
    exhaust,
};

use crate::brute::{Seen, outcomes, tag};
use crate::calls::look;
use crate::programs::{Dice, FAMILIES, Kinds, Program, catalogue, owned, program, watched};

/// The program in the simulator; its last run's replies and findings are left in `place`.
fn simulated(program: Program, place: Arc<Mutex<Seen>>) -> App {
    app(move |host| {
        let host = *host;
        let given = program.set_up(|call| host.call(call).unwrap());
        *place.lock().unwrap() = (vec![Vec::new(); program.threads.len()], None);
        let body = |index: usize| {
            let (ops, place) = (program.threads[index].clone(), Arc::clone(&place));
            move |host: &Sim| {
                for (call, op) in ops.iter().enumerate() {
                    let mut working = op.begin(tag(index, call));
                    let made = working.make(|call| host.call(call), |result| Some(*result));
                    place.lock().unwrap().0[index].push(made.1);
                }
                0
            }
        };
        if program.processes {
            let start = |(index, fds): (usize, &Vec<(i32, i32)>)| {
                let give = |spec: ProcessSpec<Sim>, (here, there): &(i32, i32)| {
                    spec.fd(owned(host, *here), *there)
                };
                let spec = fds.iter().fold(ProcessSpec::new("process"), give);
                host.process(spec, body(index)).unwrap()
            };
            let all: Vec<_> = given.iter().enumerate().map(start).collect();
            all.into_iter().for_each(|child| assert_eq!(child.wait(), Ok(Exit::Status(0))));
        } else {
            let start = |index| {
                let body = body(index);
                host.spawn("thread", move || body(&host))
            };
            let all: Vec<_> = (0..program.threads.len()).map(start).collect();
            all.into_iter().for_each(|thread| assert_eq!(thread.join(), Ok(0)));
        }
        let found = look(&program, |call| host.call(call));
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

/// Compares one program; the difference, if there is one.
fn compare(program: &Program, strict: bool, sum: &mut Sum) -> Option<String> {
    let (all, schedules) = outcomes(program, 2_000)?;
    let (seen, searched) = searched(program, Plan::Exhaustive { strict });
    let missing: Vec<_> = all.difference(&seen).collect();
    let invented: Vec<_> = seen.difference(&all).collect();
    if !(missing.is_empty() && invented.is_empty()) {
        return Some(format!(
            "{program:?}: {} of {} missing; {searched:?}\nmissing {}invented {}seen {}",
            missing.len(),
            all.len(),
            short(missing),
            short(invented),
            if seen.len() < 9 { short(seen.iter()) } else { String::new() },
        ));
    }
    sum.programs += 1;
    sum.schedules += schedules;
    sum.classes += all.len() as u64;
    sum.executions += searched.executions;
    sum.asleep += searched.asleep;
    sum.impossible += searched.impossible;
    sum.exact += u64::from(searched.executions == all.len() as u64);
    None
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

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |number| number.parse().unwrap())
}

/// How much more than usual is tried.
fn times() -> u64 {
    number("AFUNIX_ORDERS", 1)
}

fn none_differ(mut found: Vec<String>) {
    let count = found.len();
    found.truncate(5);
    assert!(found.is_empty(), "{count} differ:\n{}", found.join("\n"));
}

/// Compares random programs.
fn compare_many(first_seed: u64, programs: u64, (threads, calls): (usize, usize), numbers: bool) {
    let first_seed = first_seed + number("AFUNIX_SEED", 0);
    let (mut sum, mut found) = (Sum::default(), Vec::new());
    for seed in first_seed..first_seed + programs * times() {
        let mut dice = Dice::new(seed);
        let program = program(&mut dice, threads, calls, Kinds { numbers, ..Kinds::ALL });
        let difference = compare(&program, numbers, &mut sum);
        found.extend(difference.map(|it| format!("seed {seed}, {it}")));
    }
    println!("{threads} x {calls} from seed {first_seed}, numbers {numbers}: {sum:?}");
    none_differ(found);
    assert!(sum.programs > programs * times() / 2, "{sum:?}");
}

/// All pairs of calls on the same sockets, of two threads or of two processes: of some 16,000 every
/// 40th, or all, if more than usual is asked for.
#[test]
fn two_calls() {
    let (mut sum, mut found) = (Sum::default(), Vec::new());
    let every = 40_u64.div_ceil(times()) as usize;
    let mut at = 0;
    for fds in FAMILIES {
        let all = catalogue(fds, Kinds::ALL);
        let pairs = (0..all.len()).flat_map(|one| (0..=one).map(move |other| [one, other]));
        let pairs = pairs.flat_map(|pair| [(pair, false), (pair, true)]);
        for (pair, processes) in pairs {
            at += 1;
            if at % every != 0 {
                continue;
            }
            // What is watched, and who alone has what, differs from pair to pair.
            let mut dice = Dice::new(at as u64);
            let mut program = program(&mut dice, 2, 1, Kinds::ALL);
            program.threads = pair.map(|index| vec![all[index].1]).to_vec();
            program.alone.retain(|_| processes);
            program.processes = processes;
            program.watched = Some(watched(&mut dice, fds));
            found.extend(compare(&program, true, &mut sum));
        }
    }
    println!("every {every}th of {at} pairs: {sum:?}");
    none_differ(found);
    assert!(sum.programs as usize >= at / every, "{sum:?}");
}

/// For more: `AFUNIX_ORDERS=40 cargo test --release -p afunix-sim --test orders -- --nocapture`,
/// with `AFUNIX_SEED=N` for others.
#[test]
fn two_threads() {
    compare_many(2_000_000, 150, (2, 3), false);
    compare_many(3_000_000, 150, (2, 3), true);
    compare_many(6_000_000, 150, (2, 2), true);
}

#[test]
fn three_threads() {
    compare_many(4_000_000, 50, (3, 2), false);
    compare_many(5_000_000, 20, (3, 3), true);
}
