//! What std's types promise, under random schedules; and what becomes of locks when threads panic
//! and processes are killed.

use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use afunix::sync::{Condvar, Mutex, RwLock, mpsc};
use afunix::{Call, Exit, Host, ProcessSpec, Signal};
use afunix_sim::{App, Choices, Ended, ExploreOptions, RunOptions, app, explore, run};

#[track_caller]
fn holds(app: &App) {
    let campaign = explore(app, &ExploreOptions { runs: 500, ..ExploreOptions::default() });
    assert_eq!(campaign.ended, Ended::Complete, "{:?}", campaign.failure.map(|it| it.failure));
    assert!(campaign.schedules > 20, "{campaign:?}");
}

/// A bounded buffer of a lock and two condition variables.
#[test]
fn a_bounded_buffer() {
    holds(&app(|host| {
        host.pid();
        let buffer =
            Arc::new((Mutex::new(host, Vec::new()), Condvar::new(host), Condvar::new(host)));
        let producers: Vec<_> = (0..2)
            .map(|producer| {
                let buffer = Arc::clone(&buffer);
                host.spawn("producer", move || {
                    for item in 0..3 {
                        let held = buffer.0.lock().unwrap();
                        let mut held = buffer.1.wait_while(held, |items| items.len() >= 2).unwrap();
                        held.push(10 * producer + item);
                        assert!(held.len() <= 2);
                        drop(held);
                        buffer.2.notify_one();
                    }
                })
            })
            .collect();
        let mut taken = Vec::new();
        while taken.len() < 6 {
            let held = buffer.0.lock().unwrap();
            let mut held = buffer.2.wait_while(held, |items| items.is_empty()).unwrap();
            taken.push(held.remove(0));
            drop(held);
            buffer.1.notify_one();
        }
        producers.into_iter().for_each(|thread| thread.join().unwrap());
        taken.sort_unstable();
        i32::from(taken != [0, 1, 2, 10, 11, 12])
    }));
}

#[test]
fn a_rendezvous() {
    holds(&app(|host| {
        host.pid();
        let (sender, receiver) = mpsc::sync_channel(host, 0);
        let taken = Arc::new(Mutex::new(host, 0));
        let sending = host.spawn("sender", {
            let taken = Arc::clone(&taken);
            move || {
                for number in 1..=3 {
                    sender.send(number).unwrap();
                    // It was taken, though perhaps not noted yet.
                    assert!(*taken.lock().unwrap() >= number - 1);
                }
            }
        });
        for number in &mut receiver.iter() {
            *taken.lock().unwrap() = number;
        }
        sending.join().unwrap();
        let last = *taken.lock().unwrap();
        i32::from(last != 3)
    }));
}

#[test]
fn waits_end_in_virtual_time() {
    let app = app(|host| {
        host.pid();
        let day = Duration::from_secs(86_400);
        let (sender, receiver) = mpsc::channel::<u8, _>(host);
        assert_eq!(receiver.recv_timeout(day), Err(RecvTimeoutError::Timeout));
        drop(sender);
        assert_eq!(receiver.recv_timeout(day), Err(RecvTimeoutError::Disconnected));
        let (lock, condvar) = (Mutex::new(host, 0), Condvar::new(host));
        let (held, late) = condvar.wait_timeout(lock.lock().unwrap(), day).unwrap();
        assert!(late && *held == 0 && lock.try_lock().is_err());
        i32::from(host.now() < 2 * day)
    });
    let report = run(&app, &RunOptions::default(), Choices::Seed(0));
    assert!(report.passed(), "{:?}", report.outcome);
}

#[test]
fn a_thread_that_panics_poisons_what_it_holds() {
    holds(&app(|host| {
        host.pid();
        let shared = Arc::new((Mutex::new(host, 0), RwLock::new(host, 0)));
        let failing = host.spawn("failing", {
            let shared = Arc::clone(&shared);
            move || {
                let _lock = shared.0.lock().unwrap();
                let _write = shared.1.write().unwrap();
                panic!("with two locks held");
            }
        });
        let waiting = host.spawn("waiting", {
            let shared = Arc::clone(&shared);
            move || drop(shared.0.lock())
        });
        assert!(failing.join().is_err());
        waiting.join().unwrap();
        i32::from(!(shared.0.is_poisoned() && shared.1.try_read().is_none()))
    }));
}

/// Whose destructor takes the lock.
struct Locks<H: Host>(Arc<Mutex<u32, H>>);

impl<H: Host> Drop for Locks<H> {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) += 1;
    }
}

#[test]
fn a_killed_process_takes_its_locks_with_it() {
    holds(&app(|host| {
        let child = host.process(ProcessSpec::new("child"), |host| {
            let lock = Arc::new(Mutex::new(host, 0));
            let other = host.spawn("other", {
                let (host, lock) = (*host, Arc::clone(&lock));
                move || {
                    let _last = Locks(Arc::clone(&lock));
                    for _ in 0..3 {
                        let _held = lock.lock().unwrap();
                        host.pid();
                    }
                }
            });
            let _last = Locks(Arc::clone(&lock));
            let held = lock.lock().unwrap();
            host.sleep(Duration::from_micros(2));
            drop(held);
            other.join().unwrap();
            0
        });
        let child = child.unwrap();
        host.sleep(Duration::from_micros(host.random(20)));
        child.kill(Signal::Kill).unwrap();
        let exit = child.wait().unwrap();
        i32::from(exit != Exit::Signal(Signal::Kill as i32) && exit != Exit::Status(0))
    }));
}

#[test]
fn what_another_process_made_is_refused_by_name() {
    let app = app(|host| {
        let lock = Arc::new(Mutex::new(host, 0));
        let child = host.process(ProcessSpec::new("child"), move |_| *lock.lock().unwrap());
        let mut status = None;
        let pid = child.unwrap().pid();
        host.call_it(pid, &mut status);
        0
    });
    let report = run(&app, &RunOptions::default(), Choices::Seed(0));
    let failure = report.failure().expect("it is misused");
    assert!(failure.message.contains("a handle on process 1 (main)"), "{failure}");
}

trait Wait: Host {
    fn call_it(&self, pid: afunix::Pid, status: &mut Option<Exit>) {
        let _ = self.call(&mut Call::Waitpid { pid, status });
    }
}

impl<H: Host> Wait for H {}
