//! What a host adds to the calls, as one program on all three: kernel, threads and simulator.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use afunix::net::{UnixListener, UnixStream};
use afunix::sync::{AtomicUsize, Condvar, Mutex, RwLock, mpsc};
use afunix::task::{Async, Cancelled, Either, Executor, join};
use afunix::{Address, Application, Exit, Host};
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
    assert!(campaign.schedules > 50, "{campaign:?}");
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

/// Sockets, timers and cancellation of tasks.
struct Tasks;

impl Application for Tasks {
    const NAME: &'static str = "tasks";
    const ABOUT: &'static str = "a server and its clients as tasks of one thread";

    fn main<H: Host>(host: &H, _: &[String]) -> i32 {
        let executor = Executor::new(host).unwrap();
        executor.block_on(tasks(&executor)).unwrap();
        0
    }
}

async fn tasks<H: Host>(executor: &Executor<H>) -> std::io::Result<()> {
    let host = executor.host();
    let name = format!("/tmp/afunix-tasks-{}", host.pid());
    let address = Address::path(&name)?;
    let listener = Async::new(executor, UnixListener::bind_with_backlog(host, &address, 0)?)?;
    let echo = |stream: Async<UnixStream<H>, H>| async move {
        let mut buffer = [0; 3];
        loop {
            match stream.read(&mut buffer).await? {
                0 => return std::io::Result::Ok(()),
                bytes => stream.write_all(&buffer[..bytes]).await?,
            }
        }
    };
    let server = executor.spawn({
        let executor = executor.clone();
        async move {
            for _ in 0..3 {
                let (stream, _) = listener.accept().await?;
                executor.spawn(echo(stream));
            }
            std::io::Result::Ok(())
        }
    });
    let client = |text: &'static str| {
        let (executor, address) = (executor.clone(), address.clone());
        async move {
            let stream = Async::connect(&executor, &address).await?;
            stream.write_all(text.as_bytes()).await?;
            let mut heard = vec![0; text.len()];
            stream.read_exact(&mut heard).await?;
            assert_eq!(heard, text.as_bytes());
            std::io::Result::Ok(stream)
        }
    };
    // Two in tasks of their own, one beside this.
    let first = executor.spawn(client("a first text"));
    let (second, third) = join(executor.spawn(client("")), client("a third")).await;
    let (first, _, third) = (first.await.unwrap()?, second.unwrap()?, third?);
    server.await.unwrap()?;
    afunix::fs::remove_file(host, &name)?;

    // Nobody sends: the time is over, and nothing is lost.
    let mut byte = [0];
    let short = Duration::from_millis(2);
    assert_eq!(executor.timeout(short, first.read(&mut byte)).await.ok().map(drop), None);
    first.write_all(b"x").await?;
    first.read_exact(&mut byte).await?;
    assert_eq!(byte, *b"x");

    let stuck = executor.spawn({
        let executor = executor.clone();
        async move { executor.sleep(Duration::from_secs(3600)).await }
    });
    executor.yield_now().await;
    stuck.cancel();
    assert_eq!(stuck.await, Err(Cancelled));
    let late = executor.sleep(Duration::from_secs(3600));
    match executor.select(third.write_all(b"y"), late).await {
        Either::First(written) => written,
        Either::Second(()) => panic!("an hour passed"),
    }
}

#[test]
fn tasks_wait_for_sockets_and_time() {
    on_every_host::<Tasks>();
}
