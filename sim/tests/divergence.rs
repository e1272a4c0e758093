//! Tapes of programs that were changed since, and programs whose runs differ by themselves.
#![allow(missing_docs, reason = "tests")]

mod common;

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use afunix::Host;
use afunix::net::UnixStream;
use afunix_sim::{
    App, Choices, ExploreOptions, Failure, FailureKind, Faults, RunOptions, Sim, app, explore,
    realign, replay, run,
};
use common::{two_writers, with};
use std::io::{Read, Write};

/// Two that write before they read; with so many other calls in between.
fn changed(extra: usize) -> App {
    app(move |host| {
        let (near, far) = UnixStream::pair(host).unwrap();
        let talk = |mut stream: UnixStream<Sim>, extra: usize| {
            let host = *host;
            move || {
                for _ in 0..extra {
                    host.pid();
                }
                stream.write_all(&vec![1; 1 << 20]).unwrap();
                stream.read_exact(&mut vec![0; 1 << 20]).unwrap();
            }
        };
        let left = host.spawn("left", talk(near, extra));
        let right = host.spawn("right", talk(far, 0));
        left.join().unwrap();
        right.join().unwrap();
        0
    })
}

#[test]
fn a_tape_aligns_again_after_a_small_change() {
    let options = RunOptions { record: true, ..with(Faults::Io) };
    let tapes = (0..20).map(|seed| run(&changed(0), &options, Choices::Seed(seed)).tape);
    for tape in tapes.filter(|tape| tape.failure.is_some()) {
        let strict = replay(&changed(2), &options, &tape, None);
        assert_eq!(strict.failure().unwrap().kind, FailureKind::Diverged);
        let (report, alignment) = realign(&changed(2), &options, &tape);
        assert_eq!(report.failure().map(|it| it.signature.clone()), tape.failure);
        assert_eq!(alignment.put_in, 2, "{alignment:?}");
        assert!(alignment.left_out <= 2, "{alignment:?} of {}", tape.marks.len());
        // The new tape is one of the program as it is now.
        let again = replay(&changed(2), &options, &report.tape, None);
        assert_eq!((again.trace, again.outcome), (report.trace, report.outcome));
        // And the other way round: what it lacks now is passed over.
        let (back, alignment) = realign(&changed(0), &options, &report.tape);
        assert_eq!(back.failure().map(|it| it.signature.clone()), tape.failure);
        assert_eq!((alignment.put_in, alignment.left_out), (0, 2), "{alignment:?}");
    }
}

#[test]
fn a_program_that_did_not_change_aligns_exactly() {
    let options = RunOptions { record: true, ..with(Faults::Io) };
    for seed in 0..20 {
        let first = run(&two_writers(), &options, Choices::Seed(seed));
        let (report, alignment) = realign(&two_writers(), &options, &first.tape);
        assert_eq!((alignment.put_in, alignment.left_out), (0, 0), "seed {seed}: {alignment:?}");
        assert_eq!(report.trace, first.trace, "seed {seed}");
    }
}

#[test]
fn a_state_that_differs_is_found_at_its_step() {
    let of = |bytes: usize| {
        app(move |host| {
            let (mut near, mut far) = UnixStream::pair(host).unwrap();
            // The same calls; only how much lies in the queue differs.
            near.write_all(&vec![1; bytes]).unwrap();
            host.pid();
            let mut rest = vec![0; 8];
            i32::from(far.read(&mut rest).unwrap() == 0)
        })
    };
    let options = RunOptions { record: true, ..with(Faults::None) };
    let first = run(&of(3), &options, Choices::Seed(1));
    let other = replay(&of(4), &options, &first.tape, None);
    let said = "first divergence at step 2: main getpid finds another state than on the tape: a \
                call before it did something else";
    assert_eq!(other.failure().unwrap().message, said);
}

/// What a campaign says of a program whose runs differ.
fn told(app: &App) -> Failure {
    let options = ExploreOptions { runs: 2_000, check_every: 4, ..ExploreOptions::default() };
    let found = explore(app, &options).failure.expect("its runs differ");
    assert_eq!(found.failure.kind, FailureKind::Nondeterministic, "{}", found.failure);
    for advice in ["Host::now", "BTreeMap", "thread-local"] {
        assert!(found.failure.message.contains(advice), "{}", found.failure);
    }
    found.failure
}

/// Makes one of two calls.
fn either(host: &Sim, first: bool) -> i32 {
    let (near, _far) = UnixStream::pair(host).unwrap();
    match first {
        true => drop(near.try_clone()),
        false => drop(host.pid()),
    }
    0
}

#[test]
fn the_order_of_a_hash_map_is_told() {
    let failure = told(&app(|host| {
        let set: HashSet<u64> = (0..64).collect();
        either(host, set.into_iter().next().unwrap().is_multiple_of(2))
    }));
    let place = "first divergence at step 1: expected main ";
    assert!(failure.message.contains(place), "{failure}");
}

#[test]
fn the_time_of_day_is_told() {
    told(&app(|host| {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        either(host, (time.as_nanos() / 100).is_multiple_of(2))
    }));
}

#[test]
fn a_static_is_told() {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    told(&app(|host| either(host, RUNS.fetch_add(1, Ordering::Relaxed).is_multiple_of(2))));
}

#[test]
fn a_thread_local_of_an_earlier_run_is_told() {
    thread_local! {
        static RUNS: Cell<u64> = const { Cell::new(0) };
    }
    told(&app(|host| {
        RUNS.set(RUNS.get() + 1);
        either(host, RUNS.get().is_multiple_of(2))
    }));
}
