//! What a host adds to the calls, as one program on all three: kernel, threads and simulator.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use afunix::sync::{AtomicUsize, Condvar, Mutex, RwLock, mpsc};
use afunix::{Application, Exit, Host};
use afunix_emulator::Threads;
use afunix_kernel_backend::Kernel;
use afunix_sim::{ExploreOptions, app, explore};

/// Runs it on every host; in the simulator under many schedules and faults.
fn on_every_host<A: Application + 'static>() {
    assert_eq!(A::main(&Kernel, &[]), 0, "kernel");
    assert_eq!(Threads::run(|host| A::main(host, &[])).exit, Exit::Status(0), "threads");
    let campaign = explore(
        &app(|host| A::main(host, &[])),
        &ExploreOptions { runs: 300, ..ExploreOptions::default() },
    );
    assert!(campaign.failure.is_none(), "sim: {:?}", campaign.failure.map(|it| it.failure));
    assert!(campaign.schedules > 100, "{campaign:?}");
}

/// Locks, condition variables, channels and atomics.
struct Memory;

impl Application for Memory {
    const NAME: &'static str = "memory";
    const ABOUT: &'static str = "workers that share memory";

    fn main<H: Host>(host: &H, _: &[String]) -> i32 {
        host.pid();
        let jobs = Arc::new((Mutex::new(host, Vec::from_iter(0..6)), Condvar::new(host)));
        let (started, seen) =
            (Arc::new(AtomicUsize::new(host, 0)), Arc::new(RwLock::new(host, Vec::new())));
        let (results, received) = mpsc::channel(host);
        let (permits, taken) = mpsc::sync_channel(host, 1);
        let workers: Vec<_> = (0..3)
            .map(|worker| {
                let (jobs, started, seen) = (jobs.clone(), started.clone(), seen.clone());
                let (results, permits) = (results.clone(), permits.clone());
                host.spawn("worker", move || {
                    {
                        // Under the lock: else it may fall between main's look and its wait.
                        let _held = jobs.0.lock().unwrap();
                        started.fetch_add(1, SeqCst);
                    }
                    jobs.1.notify_all();
                    while let Some(job) = { jobs.0.lock().unwrap().pop() } {
                        permits.send(worker).unwrap();
                        seen.write().unwrap().push(job);
                        results.send(job * job).unwrap();
                    }
                })
            })
            .collect();
        drop((results, permits));
        let held = jobs.0.lock().unwrap();
        let (held, late) = jobs.1.wait_timeout(held, Duration::from_micros(1)).unwrap();
        assert!(late || started.load(SeqCst) > 0);
        drop(jobs.1.wait_while(held, |_| started.load(SeqCst) < 3).unwrap());
        let permitted = std::iter::from_fn(|| taken.recv().ok()).count();
        let sum: i32 = received.iter().sum();
        workers.into_iter().for_each(|thread| thread.join().unwrap());
        let mut seen = seen.read().unwrap().clone();
        seen.sort_unstable();
        i32::from((permitted, sum, seen) != (6, 55, Vec::from_iter(0..6)))
    }
}

#[test]
fn threads_share_memory() {
    on_every_host::<Memory>();
}
