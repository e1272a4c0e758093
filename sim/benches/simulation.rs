//! One simulated step, and small runs. `cargo bench -p afunix-sim`.
//!
//! The figures are per step (`step`: a scheduling point and a call that does next to nothing,
//! getpid) and per run (`run`). A run of `ping_pong` has 2 threads and 5 round trips.

use std::io::{Read, Write};
use std::sync::Arc;

use afunix::net::UnixStream;
use afunix::{Backend, Call, Host};
use afunix_sim::{App, ExploreOptions, Faults, RunOptions, app, explore};
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

/// Steps of each thread in a run of `step`.
const STEPS: u64 = 10_000;

fn stepping(threads: u64) -> App {
    app(move |host| {
        let host = *host;
        let walk = move || {
            for _ in 0..STEPS {
                let _ = host.call(&mut Call::Getpid);
            }
        };
        let others: Vec<_> = (1..threads).map(|_| host.spawn("other", walk)).collect();
        walk();
        others.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
        0
    })
}

fn ping_pong(rounds: u64) -> App {
    app(move |host| {
        let (mut near, mut far) = UnixStream::pair(host).expect("a pair");
        let echo = host.spawn("echo", move || {
            let mut byte = [0];
            while far.read_exact(&mut byte).is_ok() {
                far.write_all(&byte).expect("the near end is there");
            }
        });
        let mut byte = [0];
        for _ in 0..rounds {
            near.write_all(&byte).expect("the far end is there");
            near.read_exact(&mut byte).expect("an answer");
        }
        drop(near);
        echo.join().expect("it does not panic");
        0
    })
}

fn many(app: &App, runs: u64) {
    let run = RunOptions { faults: Faults::None, ..RunOptions::default() };
    let options = ExploreOptions { run, runs, shrink_steps: 0, ..ExploreOptions::default() };
    let campaign = explore(divan::black_box(app), &options);
    assert_eq!(campaign.runs, runs, "every run passes");
}

/// One step, with so many threads that can go on.
#[divan::bench(args = [1, 2, 64], sample_count = 20, sample_size = 1)]
fn step(bencher: Bencher<'_, '_>, threads: u64) {
    let app = stepping(threads);
    bencher.counter(ItemsCount::new(threads * STEPS)).bench(|| many(&app, 1));
}

/// Runs of two threads and so many round trips.
#[divan::bench(args = [5], sample_count = 10, sample_size = 1)]
fn runs(bencher: Bencher<'_, '_>, rounds: u64) {
    let app = ping_pong(rounds);
    bencher.counter(ItemsCount::new(20_000u64)).bench(|| many(&app, 20_000));
}

/// Runs that do one call: what a run costs by itself.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn empty_runs(bencher: Bencher<'_, '_>) {
    let app: App = Arc::new(|host| i32::from(host.pid().0 != 1));
    bencher.counter(ItemsCount::new(20_000u64)).bench(|| many(&app, 20_000));
}
