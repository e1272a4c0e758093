//! One scheduling step: threads that yield, or that lock one mutex in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use afunix::{Backend, Call, Host, sync};
use afunix_sim::{App, Choices, Faults, Label, RunOptions, Strategy, app, run};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};
use shuttle::scheduler::RandomScheduler;

use crate::{Row, Side};

/// What all threads of a run do together.
const TURNS: u64 = 20_000;

pub(crate) fn rows() -> impl Iterator<Item = Row> {
    let yields = [2, 64].map(|threads| Row {
        name: format!("a step: {threads} threads that yield"),
        ours: ours("getpid", getpid(threads)),
        peer: shuttle("shuttle, yield_now", move || {
            together(threads, move || {
                (0..TURNS / threads).for_each(|_| shuttle::thread::yield_now())
            });
        }),
    });
    let locks = [2, 64].map(|threads| Row {
        name: format!("a step: {threads} threads that lock a mutex"),
        ours: ours("sync::Mutex", lock(threads)),
        peer: shuttle("shuttle's Mutex", move || {
            let sum = shuttle::sync::Arc::new(shuttle::sync::Mutex::new(0));
            together(threads, move || {
                (0..TURNS / threads).for_each(|_| *sum.lock().expect("nobody panics") += 1)
            });
        }),
    });
    yields.into_iter().chain(locks)
}

/// An even choice at every step, as shuttle's. (What runs draw by themselves may stay with the
/// thread that ran last.)
struct Even(Pcg64Mcg);

impl Strategy for Even {
    fn choose(&mut self, n: u32, _: Label) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(n)) >> 32) as u32
    }
}

fn ours(what: &'static str, app: App) -> Side {
    let options =
        RunOptions { faults: Faults::None, most_steps: u64::MAX, ..RunOptions::default() };
    let mut seed = 0;
    let mut steps = move || {
        seed += 1;
        let even = Choices::Strategy(Box::new(Even(Pcg64Mcg::seed_from_u64(seed))));
        let report = run(&app, &options, even);
        assert!(report.passed(), "{:?}", report.outcome);
        report.steps
    };
    Side { what, things: steps(), work: Box::new(move || _ = steps()) }
}

fn getpid(threads: u64) -> App {
    app(move |host| {
        let host = *host;
        let turns = move || {
            (0..TURNS / threads).for_each(|_| _ = host.call(&mut Call::Getpid));
        };
        let others: Vec<_> = (1..threads).map(|_| host.spawn("other", turns)).collect();
        turns();
        i32::from(others.into_iter().any(|other| other.join().is_err()))
    })
}

fn lock(threads: u64) -> App {
    app(move |host| {
        let _ = host.pid();
        let sum = Arc::new(sync::Mutex::new(host, 0));
        let turns = move || {
            (0..TURNS / threads).for_each(|_| *sum.lock().expect("nobody panics") += 1);
        };
        let others: Vec<_> = (1..threads).map(|_| host.spawn("other", turns.clone())).collect();
        turns();
        i32::from(others.into_iter().any(|other| other.join().is_err()))
    })
}

fn shuttle(what: &'static str, turns: impl Fn() + Clone + Send + Sync + 'static) -> Side {
    let mut seed = 0;
    let mut steps = move || {
        seed += 1;
        let count = Arc::new(AtomicUsize::new(0));
        let (turns, told) = (turns.clone(), Arc::clone(&count));
        let scheduler = RandomScheduler::new_from_seed(seed, 1);
        shuttle::Runner::new(scheduler, shuttle::Config::new()).run(move || {
            turns();
            told.store(shuttle::current::context_switches(), Ordering::Relaxed);
        });
        count.load(Ordering::Relaxed) as u64
    };
    Side { what, things: steps(), work: Box::new(move || _ = steps()) }
}

/// Does `turns` on so many threads of shuttle's.
fn together(threads: u64, turns: impl Fn() + Clone + Send + 'static) {
    let others: Vec<_> = (1..threads).map(|_| shuttle::thread::spawn(turns.clone())).collect();
    turns();
    others.into_iter().for_each(|other| other.join().expect("nobody panics"));
}
