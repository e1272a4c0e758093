//! Exhaustive search: how many runs each makes of the same programs, and in what time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use afunix::{Host, sync};
use afunix_sim::{App, ExploreOptions, Faults, Outcome, Plan, RunOptions, app, exhaust};
use shuttle::scheduler::DfsScheduler;

use crate::spent;

/// Runs after which a search is given up.
const MOST: u64 = 1_000_000;

pub(crate) fn table(filter: &str) {
    let name = "exhaustive search";
    if !name.contains(filter) {
        return;
    }
    println!("\n| program | afunix | loom | shuttle, DFS |");
    println!("|---|---:|---:|---:|");
    for (threads, calls) in [(2, 1), (2, 3), (3, 2)] {
        let ours = ours(lockers(threads, calls));
        let loom = loom(move || loom_programs::lockers(threads, calls));
        let shuttle = shuttle(move || shuttle_programs::lockers(threads, calls));
        println!("| {threads} threads that lock a mutex {calls} x | {ours} | {loom} | {shuttle} |");
    }
    let (ours, loom) = (ours(pairs(2)), loom(|| loom_programs::pairs(2)));
    let shuttle = shuttle(|| shuttle_programs::pairs(2));
    println!("| 2 independent pairs, a round trip each | {ours} | {loom} | {shuttle} |");
}

/// So many threads that lock one mutex so many times.
fn lockers(threads: usize, calls: usize) -> App {
    app(move |host| {
        let _ = host.pid();
        let sum = Arc::new(sync::Mutex::new(host, 0));
        let all: Vec<_> = (0..threads)
            .map(|_| {
                let sum = Arc::clone(&sum);
                host.spawn("locker", move || {
                    (0..calls).for_each(|_| *sum.lock().expect("nobody panics") += 1);
                })
            })
            .collect();
        i32::from(all.into_iter().any(|thread| thread.join().is_err()))
    })
}

/// So many pairs of threads with channels of their own, over which a number goes there and back.
fn pairs(pairs: usize) -> App {
    app(move |host| {
        let _ = host.pid();
        let mut all = Vec::new();
        for _ in 0..pairs {
            let (near, there) = sync::mpsc::channel(host);
            let (far, back) = sync::mpsc::channel(host);
            all.push(host.spawn("near", move || {
                near.send(1).expect("the other side is there");
                back.recv().expect("an answer");
                (near, back)
            }));
            all.push(host.spawn("far", move || {
                far.send(there.recv().expect("a call")).expect("the other side is there");
                (far, there)
            }));
        }
        // Closed when all have ended: an end that closes first would be another order.
        let ends: Vec<_> = all.into_iter().map(|thread| thread.join()).collect();
        i32::from(ends.iter().any(Result::is_err))
    })
}

/// The same with the things of another library that are named as std's.
macro_rules! programs {
    ($module:ident, $library:ident) => {
        mod $module {
            use $library::sync::{Arc, Mutex, mpsc};
            use $library::thread::spawn;

            pub(crate) fn lockers(threads: usize, calls: usize) {
                let sum = Arc::new(Mutex::new(0));
                let all: Vec<_> = (0..threads)
                    .map(|_| {
                        let sum = Arc::clone(&sum);
                        spawn(move || {
                            (0..calls).for_each(|_| *sum.lock().expect("nobody panics") += 1);
                        })
                    })
                    .collect();
                all.into_iter().for_each(|thread| thread.join().expect("nobody panics"));
            }

            pub(crate) fn pairs(pairs: usize) {
                let mut all = Vec::new();
                for _ in 0..pairs {
                    let (near, there) = mpsc::channel();
                    let (far, back) = mpsc::channel();
                    all.push(spawn(move || {
                        near.send(1).expect("the other side is there");
                        back.recv().expect("an answer");
                        (near, back)
                    }));
                    all.push(spawn(move || {
                        far.send(there.recv().expect("a call")).expect("the other side is there");
                        (far, there)
                    }));
                }
                let all: Vec<_> = all.into_iter().map(|thread| thread.join()).collect();
                assert!(all.iter().all(Result::is_ok), "nobody panics");
            }
        }
    };
}

programs!(loom_programs, loom);
programs!(shuttle_programs, shuttle);

/// Runs that a search makes, and its time, in words.
fn told(search: impl FnOnce() -> u64) -> String {
    let start = spent();
    let runs = search();
    let time = (spent() - start).as_secs_f64() * 1e3;
    let more = if runs >= MOST { "more than " } else { "" };
    format!("{more}{runs} in {time:.1} ms")
}

fn ours(app: App) -> String {
    told(|| {
        let run = RunOptions { faults: Faults::None, ..RunOptions::default() };
        let plan = Plan::Exhaustive { strict: false };
        let options = ExploreOptions { run, plan, runs: MOST, ..ExploreOptions::default() };
        let searched = exhaust(&app, &options, |outcome| assert_eq!(*outcome, Outcome::Passed));
        searched.executions + searched.asleep + searched.impossible
    })
}

fn loom(program: impl Fn() + Send + Sync + 'static) -> String {
    told(|| {
        let runs = Arc::new(AtomicU64::new(0));
        let mut search = loom::model::Builder::new();
        (search.max_permutations, search.checkpoint_interval) = (Some(MOST as usize), 1000);
        let count = Arc::clone(&runs);
        search.check(move || {
            count.fetch_add(1, Ordering::Relaxed);
            program();
        });
        runs.load(Ordering::Relaxed)
    })
}

fn shuttle(program: impl Fn() + Send + Sync + 'static) -> String {
    told(|| {
        let scheduler = DfsScheduler::new(Some(MOST as usize), false);
        let search = shuttle::Runner::new(scheduler, shuttle::Config::new());
        search.run(program) as u64
    })
}
