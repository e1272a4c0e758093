//! A deadlock over locks, and over locks and sockets, is reported with its cycle.

use std::io::{Read, Write};
use std::sync::Arc;

use afunix::Host;
use afunix::net::UnixStream;
use afunix::sync::{Condvar, Mutex, mpsc};
use afunix_sim::{
    App, ExploreOptions, Failure, FailureKind, Faults, Plan, RunOptions, app, explore,
};

/// The first deadlock that an exhaustive search finds.
fn deadlock(app: &App) -> Failure {
    let run = RunOptions { faults: Faults::None, ..RunOptions::default() };
    let plan = Plan::Exhaustive { strict: false };
    let options = ExploreOptions { plan, run, ..ExploreOptions::default() };
    let found = explore(app, &options).failure.expect("a deadlock");
    assert_eq!(found.failure.kind, FailureKind::Deadlock, "{}", found.failure);
    found.failure
}

#[test]
fn two_locks_in_two_orders() {
    let app = app(|host| {
        host.pid();
        let locks = Arc::new([Mutex::new(host, ()), Mutex::new(host, ())]);
        let mut threads = Vec::new();
        for (name, first, second) in [("left", 0, 1), ("right", 1, 0)] {
            let locks = Arc::clone(&locks);
            threads.push(host.spawn(name, move || {
                let _first = locks[first].lock().unwrap();
                let _second = locks[second].lock().unwrap();
            }));
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        0
    });
    let failure = deadlock(&app);
    assert_eq!(failure.cycle_text.as_deref(), Some("main/left -> main/right -> main/left"));
    let held = |line: &&String| line.contains("waits for a lock, held by main/left");
    assert!(failure.waits.iter().any(|line| held(&line)), "{failure}");
}

#[test]
fn a_lock_and_a_socket() {
    let app = app(|host| {
        let (mut near, mut far) = UnixStream::pair(host).unwrap();
        let lock = Arc::new(Mutex::new(host, 0));
        let reader = host.spawn("reader", {
            let lock = Arc::clone(&lock);
            move || {
                // Waits for an answer with the lock held, and who answers needs the lock.
                let _held = lock.lock().unwrap();
                near.read_exact(&mut [0]).unwrap();
            }
        });
        let writer = host.spawn("writer", move || {
            *lock.lock().unwrap() += 1;
            far.write_all(b"x").unwrap();
        });
        reader.join().unwrap();
        writer.join().unwrap();
        0
    });
    let failure = deadlock(&app);
    assert_eq!(failure.cycle.len(), 2, "{failure}");
    let cycle = failure.cycle_text.as_ref().unwrap();
    assert!(cycle.contains("main/reader") && cycle.contains("main/writer"), "{failure}");
}

#[test]
fn a_lock_that_is_taken_twice() {
    let app = app(|host| {
        host.pid();
        let lock = Mutex::new(host, ());
        let _held = lock.lock().unwrap();
        let _again = lock.lock().unwrap();
        0
    });
    assert_eq!(deadlock(&app).message, "main waits for itself");
}

#[test]
fn a_notification_that_came_too_early() {
    let app = app(|host| {
        host.pid();
        let shared = Arc::new((Mutex::new(host, false), Condvar::new(host)));
        let waiter = host.spawn("waiter", {
            let shared = Arc::clone(&shared);
            move || {
                // Without a look at the flag.
                let held = shared.0.lock().unwrap();
                drop(shared.1.wait(held).unwrap());
            }
        });
        shared.1.notify_one();
        waiter.join().unwrap();
        0
    });
    let failure = deadlock(&app);
    let told = |line: &String| line.contains("wait(#1) waits for a notification");
    assert!(failure.waits.iter().any(told), "{failure}");
}

#[test]
fn a_channel_that_nobody_sends_to() {
    let app = app(|host| {
        host.pid();
        let (_sender, receiver) = mpsc::channel::<(), _>(host);
        i32::from(receiver.recv().is_ok())
    });
    let failure = deadlock(&app);
    assert!(failure.waits[0].contains("waits for a message of a channel"), "{failure}");
}
