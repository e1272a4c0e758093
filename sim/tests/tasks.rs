//! Async tasks in the simulator: their order is a choice on the tape like any other.
#![allow(missing_docs, reason = "tests")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use afunix::Host;
use afunix::net::UnixStream;
use afunix::task::{Async, Executor};
use afunix_sim::{
    App, Choices, ExploreOptions, FailureKind, Faults, Outcome, Plan, RunOptions, Searched, Sim,
    app, exhaust, replay, run,
};

/// What each run leaves.
type Seen = Arc<Mutex<Vec<u64>>>;

/// A run that leaves what `body` returns.
fn leaving(body: fn(&Sim) -> Vec<u64>) -> (App, Seen) {
    let seen = Seen::default();
    let place = Arc::clone(&seen);
    let app = app(move |host| {
        host.pid();
        place.lock().unwrap().clear();
        let left = body(host);
        place.lock().unwrap().extend(left);
        0
    });
    (app, seen)
}

/// All that can come of it.
fn all(body: fn(&Sim) -> Vec<u64>) -> (BTreeSet<Vec<u64>>, Searched) {
    let (app, seen) = leaving(body);
    let run = RunOptions { faults: Faults::None, ..RunOptions::default() };
    let plan = Plan::Exhaustive { strict: false };
    let options = ExploreOptions { plan, run, runs: 100_000, ..ExploreOptions::default() };
    let mut found = BTreeSet::new();
    let searched = exhaust(&app, &options, |outcome| {
        assert_eq!(*outcome, Outcome::Passed);
        found.insert(seen.lock().unwrap().clone());
    });
    assert!(searched.complete, "{searched:?}");
    (found, searched)
}

/// Three tasks, in the order in which they ran.
fn three(host: &Sim) -> Vec<u64> {
    let executor = Executor::new(host).unwrap();
    let order = Rc::new(RefCell::new(Vec::new()));
    let tasks: Vec<_> = (0..3)
        .map(|task| {
            let order = Rc::clone(&order);
            executor.spawn(async move { order.borrow_mut().push(task) })
        })
        .collect();
    executor.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    order.take()
}

#[test]
fn every_order_of_tasks_is_tried() {
    let (found, _) = all(three);
    assert_eq!(found.len(), 6, "{found:?}");
}

#[test]
fn seeds_take_different_orders_and_a_tape_takes_the_same() {
    let (app, seen) = leaving(three);
    let mut found = BTreeSet::new();
    for seed in 0..50 {
        let report = run(&app, &RunOptions::default(), Choices::Seed(seed));
        let order = seen.lock().unwrap().clone();
        let again = replay(&app, &RunOptions::default(), &report.tape, None);
        assert!(again.passed() && again.trace == report.trace, "{:?}", again.outcome);
        assert_eq!(*seen.lock().unwrap(), order);
        found.insert(order);
    }
    assert_eq!(found.len(), 6, "{found:?}");
}

#[test]
fn every_random_number_is_tried() {
    let (found, searched) = all(|host| vec![host.random(3), host.random(2)]);
    assert_eq!((found.len(), searched.executions), (6, 6));
}

/// Two threads that each draw a number and append it to what they share.
#[test]
fn numbers_and_orders_of_threads_are_tried_together() {
    let (found, searched) = all(|host| {
        let shared = Arc::new(afunix::sync::Mutex::new(host, Vec::new()));
        let threads: Vec<_> = (0..2)
            .map(|thread| {
                let (host, shared) = (*host, Arc::clone(&shared));
                host.spawn("thread", move || {
                    let number = 10 * thread + host.random(2);
                    shared.lock().unwrap().push(number);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        shared.lock().unwrap().clone()
    });
    assert_eq!(found.len(), 8, "{found:?}");
    assert_eq!(searched.executions, 8, "{searched:?}");
}

/// A task that another thread wakes: it may come before the executor waits, or after.
#[test]
fn another_thread_wakes_a_task_in_every_order() {
    let (_, searched) = all(|host| {
        let place = Arc::new(afunix::sync::Mutex::new(host, (false, None)));
        let waking = host.spawn("waking", {
            let place = Arc::clone(&place);
            move || {
                let waker: Option<std::task::Waker> = {
                    let mut held = place.lock().unwrap();
                    held.0 = true;
                    held.1.take()
                };
                waker.into_iter().for_each(std::task::Waker::wake);
            }
        });
        let executor = Executor::new(host).unwrap();
        executor.block_on(std::future::poll_fn(|context| {
            let mut held = place.lock().unwrap();
            if held.0 {
                return std::task::Poll::Ready(());
            }
            held.1 = Some(context.waker().clone());
            std::task::Poll::Pending
        }));
        waking.join().unwrap();
        Vec::new()
    });
    assert!(searched.executions >= 2, "{searched:?}");
}

#[test]
fn tasks_that_wait_for_each_other_are_a_deadlock() {
    let app = app(|host| {
        let (near, far) = UnixStream::pair(host).unwrap();
        let executor = Executor::new(host).unwrap();
        let near = Async::new(&executor, near).unwrap();
        let far = Async::new(&executor, far).unwrap();
        let waiting = executor.spawn(async move { near.read_exact(&mut [0]).await.is_ok() });
        let both = async {
            far.read_exact(&mut [0]).await.unwrap();
            waiting.await
        };
        i32::from(executor.block_on(both).is_err())
    });
    let run_options = RunOptions { faults: Faults::None, ..RunOptions::default() };
    let report = run(&app, &run_options, Choices::Seed(0));
    let failure = report.failure().expect("a deadlock");
    assert_eq!(failure.kind, FailureKind::Deadlock);
    assert!(failure.waits[0].contains("waits for readiness"), "{failure}");
}
