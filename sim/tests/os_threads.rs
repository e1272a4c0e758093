//! Simulated threads on OS threads of their own: the same runs, and thread-locals that work.
#![allow(missing_docs, reason = "tests")]

mod common;

use std::cell::Cell;

use afunix::{Host, ProcessSpec, Signal};
use afunix_sim::{App, Choices, Ended, ExploreOptions, Faults, RunOptions, app, explore, run};
use common::{ping_pong, ping_pong_processes, two_writers, with};

fn both(app: &App, options: &RunOptions, seed: u64) {
    let options = RunOptions { record: true, ..options.clone() };
    let coroutines = run(app, &options, Choices::Seed(seed));
    let threads = run(app, &RunOptions { os_threads: true, ..options }, Choices::Seed(seed));
    assert_eq!(threads.tape.to_text(), coroutines.tape.to_text());
    assert_eq!(threads.events, coroutines.events);
    assert_eq!(threads.outcome, coroutines.outcome);
    assert_eq!((threads.trace, threads.time), (coroutines.trace, coroutines.time));
}

#[test]
fn runs_are_the_same() {
    for seed in 0..10 {
        both(&ping_pong(3), &with(Faults::Io), seed);
        both(&app(ping_pong_processes), &with(Faults::All), seed);
        both(&two_writers(), &with(Faults::None), seed);
    }
}

/// Processes that are killed with threads in them, and panics.
#[test]
fn ends_are_the_same() {
    let app = app(|host| {
        let child = host.process(ProcessSpec::new("child"), |host| {
            let other = *host;
            let thread = host.spawn("other", move || {
                other.sleep(std::time::Duration::from_secs(1));
                panic!("not in time");
            });
            let _ = thread.join();
            0
        });
        let child = child.unwrap();
        host.sleep(std::time::Duration::from_micros(host.random(8)));
        child.kill(Signal::Kill).unwrap();
        child.wait().unwrap();
        assert!(host.spawn("failing", || panic!("on purpose")).join().is_err());
        0
    });
    for seed in 0..10 {
        both(&app, &with(Faults::None), seed);
    }
}

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Threads that count their calls in a thread-local; 0 if every thread finds its own count.
fn counting() -> App {
    app(|host| {
        let threads: Vec<_> = (1..=3)
            .map(|calls| {
                let host = *host;
                host.spawn("counting", move || {
                    CALLS.set(0);
                    for _ in 0..calls {
                        host.pid();
                        CALLS.set(CALLS.get() + 1);
                    }
                    host.pid();
                    CALLS.get() == calls
                })
            })
            .collect();
        let all = threads.into_iter().map(|thread| thread.join().unwrap());
        i32::from(!all.collect::<Vec<_>>().into_iter().all(|its_own| its_own))
    })
}

#[test]
fn a_thread_keeps_its_thread_locals() {
    let campaign = |os_threads| {
        let run = RunOptions { os_threads, ..with(Faults::None) };
        explore(&counting(), &ExploreOptions { run, runs: 50, ..ExploreOptions::default() })
    };
    assert_eq!(campaign(true).ended, Ended::Complete);
    // With coroutines they are one OS thread's: what this mode is for.
    assert_eq!(campaign(false).ended, Ended::Failed);
}
