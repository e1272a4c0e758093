//! As many runs as there are inequivalent orders.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use afunix::Host;
use afunix::sync::{AtomicU64, Mutex, RwLock, mpsc};
use afunix_sim::{
    App, ExploreOptions, Faults, Outcome, Plan, RunOptions, Searched, Sim, app, exhaust,
};

fn search(app: &App) -> Searched {
    let run = RunOptions { faults: Faults::None, ..RunOptions::default() };
    let plan = Plan::Exhaustive { strict: false };
    let options = ExploreOptions { plan, run, runs: 1_000_000, ..ExploreOptions::default() };
    let searched = exhaust(app, &options, |outcome| assert_eq!(*outcome, Outcome::Passed));
    assert!(searched.complete, "{searched:?}");
    searched
}

/// Runs `body` of each on a thread of its own. (A call, since a run without one shows nothing.)
fn together<T: Send + Sync + 'static>(
    make: impl Fn(&Sim) -> T + Send + Sync + 'static,
    bodies: &[fn(&T)],
) -> App {
    let bodies = bodies.to_vec();
    app(move |host| {
        host.pid();
        let shared = Arc::new(make(host));
        let threads: Vec<_> = bodies
            .iter()
            .map(|body| {
                let (shared, body) = (Arc::clone(&shared), *body);
                host.spawn("thread", move || body(&shared))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        0
    })
}

#[track_caller]
fn has(app: &App, orders: u64) {
    let searched = search(app);
    let given_up = searched.asleep + searched.impossible;
    assert_eq!((searched.executions, given_up), (orders, 0), "{searched:?}");
}

fn lock(mutex: &Mutex<u32, Sim>) {
    *mutex.lock().unwrap() += 1;
}

fn lock_twice(mutex: &Mutex<u32, Sim>) {
    lock(mutex);
    lock(mutex);
}

#[test]
fn sections_of_one_lock_come_in_every_order_once() {
    let mutex = |host: &Sim| Mutex::new(host, 0);
    has(&together(mutex, &[lock, lock]), 2);
    has(&together(mutex, &[lock, lock, lock]), 6);
    has(&together(mutex, &[lock_twice, lock_twice]), 6);
}

#[test]
fn sections_of_different_locks_do_not_meet() {
    type Two = (Mutex<u32, Sim>, Mutex<u32, Sim>);
    let two = |host: &Sim| (Mutex::new(host, 0), Mutex::new(host, 0));
    has(&together(two, &[|it: &Two| lock_twice(&it.0), |it: &Two| lock_twice(&it.1)]), 1);
}

#[test]
fn readers_do_not_see_each_other() {
    type Lock = RwLock<u32, Sim>;
    let make = |host: &Sim| RwLock::new(host, 0);
    let read = |it: &Lock| assert!(*it.read().unwrap() < 2);
    let write = |it: &Lock| *it.write().unwrap() += 1;
    has(&together(make, &[read, read, read]), 1);
    has(&together(make, &[write, write]), 2);
    // The writer before, between and after; twice between.
    assert_eq!(search(&together(make, &[read, read, write])).executions, 4);
}

#[test]
fn atomics_meet_where_one_is_changed() {
    let make = |host: &Sim| AtomicU64::new(host, 0);
    let load = |it: &AtomicU64<Sim>| assert!(it.load(SeqCst) < 4);
    let add = |it: &AtomicU64<Sim>| assert!(it.fetch_add(1, SeqCst) < 3);
    has(&together(make, &[load, load, load]), 1);
    has(&together(make, &[add, add, add]), 6);
    has(&together(make, &[load, add]), 2);
}

#[test]
fn sender_and_receiver_meet_only_where_nothing_is_there() {
    let app = app(|host| {
        host.pid();
        let (sender, receiver) = mpsc::channel(host);
        sender.send(0).unwrap();
        sender.send(1).unwrap();
        let send = host.spawn("sender", move || {
            sender.send(2).unwrap();
            sender
        });
        let receive = host.spawn("receiver", move || {
            assert_eq!(receiver.recv(), Ok(0));
            receiver
        });
        let sender = send.join().unwrap();
        let receiver = receive.join().unwrap();
        drop(sender);
        i32::from(receiver.iter().collect::<Vec<i32>>() != [1, 2])
    });
    has(&app, 1);
}
