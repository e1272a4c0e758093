//! Small random programs over shared memory: an exhaustive search comes to what every schedule
//! comes to, made without knowing what an operation touches.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use afunix::Host;
use afunix::sync::{AtomicU64, Condvar, Mutex, RwLock, mpsc};
use afunix_sim::{
    App, ExploreOptions, FailureKind, Faults, Label, Outcome, Plan, Random, RunOptions, Searched,
    Sim, Strategy, app, exhaust,
};

/// What a thread does, and what can be told of it is noted.
#[derive(Clone, Copy, Debug)]
enum Op {
    Lock(usize),
    TryLock(usize),
    /// Holds the first while it takes the second.
    Both(usize, usize),
    /// Waits until the number behind the lock is not 0.
    WaitFor,
    /// Waits once, whatever the number.
    WaitOnce,
    NotifyOne,
    NotifyAll,
    Read,
    Write,
    Load,
    Add,
    Exchange,
    Send,
    Recv,
    TryRecv,
}

const OPS: [Op; 17] = [
    Op::Lock(0),
    Op::Lock(1),
    Op::TryLock(0),
    Op::Both(0, 1),
    Op::Both(1, 0),
    Op::WaitFor,
    Op::WaitOnce,
    Op::NotifyOne,
    Op::NotifyAll,
    Op::Read,
    Op::Write,
    Op::Load,
    Op::Add,
    Op::Exchange,
    Op::Send,
    Op::Recv,
    Op::TryRecv,
];

type Program = Vec<Vec<Op>>;

/// What each thread saw, and what is there at the end; nothing of that after a deadlock.
type Seen = (Vec<Vec<String>>, Option<String>);

struct Shared {
    locks: [Mutex<Vec<usize>, Sim>; 2],
    condvar: Condvar<Sim>,
    lock: RwLock<usize, Sim>,
    number: AtomicU64<Sim>,
    sender: mpsc::SyncSender<usize, Sim>,
    receiver: Mutex<mpsc::Receiver<usize, Sim>, Sim>,
}

impl Shared {
    fn new(host: &Sim) -> Shared {
        let (sender, receiver) = mpsc::sync_channel(host, 1);
        Shared {
            locks: [Mutex::new(host, Vec::new()), Mutex::new(host, Vec::new())],
            condvar: Condvar::new(host),
            lock: RwLock::new(host, 0),
            number: AtomicU64::new(host, 0),
            sender,
            receiver: Mutex::new(host, receiver),
        }
    }

    fn make(&self, op: Op, thread: usize) -> String {
        let tag = thread + 1;
        match op {
            Op::Lock(which) => {
                let mut held = self.locks[which].lock().unwrap();
                held.push(tag);
                format!("{held:?}")
            }
            Op::TryLock(which) => match self.locks[which].try_lock() {
                Ok(mut held) => {
                    held.push(tag);
                    format!("{held:?}")
                }
                Err(_) => "busy".to_owned(),
            },
            Op::Both(first, second) => {
                let first = self.locks[first].lock().unwrap();
                let mut second = self.locks[second].lock().unwrap();
                second.push(tag);
                format!("{first:?} {second:?}")
            }
            Op::WaitFor => {
                let held = self.locks[0].lock().unwrap();
                let held = self.condvar.wait_while(held, |held| held.is_empty()).unwrap();
                format!("{held:?}")
            }
            Op::WaitOnce => {
                let held = self.locks[0].lock().unwrap();
                let mut held = self.condvar.wait(held).unwrap();
                held.push(tag);
                format!("{held:?}")
            }
            Op::NotifyOne => {
                self.condvar.notify_one();
                String::new()
            }
            Op::NotifyAll => {
                self.condvar.notify_all();
                String::new()
            }
            Op::Read => self.lock.read().unwrap().to_string(),
            Op::Write => {
                let mut held = self.lock.write().unwrap();
                *held = *held * 10 + tag;
                held.to_string()
            }
            Op::Load => self.number.load(SeqCst).to_string(),
            Op::Add => self.number.fetch_add(tag as u64, SeqCst).to_string(),
            Op::Exchange => format!("{:?}", self.number.compare_exchange(0, 10, SeqCst, SeqCst)),
            Op::Send => format!("{:?}", self.sender.send(tag)),
            Op::Recv => format!("{:?}", self.receiver.lock().unwrap().recv()),
            Op::TryRecv => format!("{:?}", self.receiver.lock().unwrap().try_recv()),
        }
    }

    fn look(&self) -> String {
        let [one, other] = self.locks.each_ref().map(|lock| lock.lock().unwrap().clone());
        let rest: Vec<_> =
            std::iter::from_fn(|| self.receiver.lock().unwrap().try_recv().ok()).collect();
        let (lock, number) = (*self.lock.read().unwrap(), self.number.load(SeqCst));
        format!("{one:?} {other:?} {lock} {number} {rest:?}")
    }
}

/// What the threads of the last run saw is left in `place`.
fn simulated(program: Program, place: Arc<std::sync::Mutex<Seen>>) -> App {
    app(move |host| {
        host.pid();
        let shared = Arc::new(Shared::new(host));
        *place.lock().unwrap() = (vec![Vec::new(); program.len()], None);
        let threads: Vec<_> = program
            .iter()
            .cloned()
            .enumerate()
            .map(|(thread, ops)| {
                let (place, shared) = (Arc::clone(&place), Arc::clone(&shared));
                host.spawn("thread", move || {
                    for op in ops {
                        let saw = shared.make(op, thread);
                        place.lock().unwrap().0[thread].push(saw);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        place.lock().unwrap().1 = Some(shared.look());
        // Nobody who could wait for anything is left: to take it apart makes no difference.
        0
    })
}

fn all(program: &Program, plan: Plan, runs: u64) -> (BTreeSet<Seen>, Searched) {
    let place = Arc::default();
    let app = simulated(program.clone(), Arc::clone(&place));
    let run = RunOptions { faults: Faults::None, ..RunOptions::default() };
    let options = ExploreOptions { plan, run, runs, ..ExploreOptions::default() };
    let mut seen = BTreeSet::new();
    let searched = exhaust(&app, &options, |outcome| {
        if let Outcome::Failed(failure) = outcome {
            assert_eq!(failure.kind, FailureKind::Deadlock, "{failure}");
        }
        seen.insert(place.lock().unwrap().clone());
    });
    (seen, searched)
}

/// Compares random programs. All their schedules with so many preemptions are made, but not of
/// programs with more than `most` such.
fn compare(first_seed: u64, programs: u64, (threads, ops): (usize, usize), preemptions: u32) {
    let times = std::env::var("AFUNIX_ORDERS").map_or(1, |times| times.parse().unwrap());
    let most = 1_000;
    let (mut compared, mut classes, mut executions, mut given_up) = (0, 0, 0, 0);
    for seed in first_seed..first_seed + programs * times {
        let mut random = Random::new(seed);
        let mut below = |n: usize| random.choose(n as u32, Label::Random) as usize;
        let program: Program = (0..threads)
            .map(|_| (0..1 + below(ops)).map(|_| OPS[below(OPS.len())]).collect())
            .collect();
        let (every, brute) = all(&program, Plan::Bounded { preemptions }, most);
        if !brute.complete {
            continue;
        }
        let (seen, searched) = all(&program, Plan::Exhaustive { strict: false }, u64::MAX);
        assert!(searched.complete, "{searched:?}");
        let missing: Vec<_> = every.difference(&seen).collect();
        let invented: Vec<_> = seen.difference(&every).collect();
        assert!(
            missing.is_empty() && (invented.is_empty() || preemptions < ALL),
            "seed {seed}, {program:?}: missing {missing:?}, invented {invented:?}; {searched:?}"
        );
        compared += 1;
        classes += seen.len() as u64;
        executions += searched.executions;
        given_up += searched.asleep + searched.impossible;
    }
    println!(
        "{threads} x {ops}: {compared} programs, {classes} outcomes, {executions} runs, \
         {given_up} given up"
    );
    assert!(compared * 4 > programs * times, "only {compared} of {programs} were small enough");
}

/// No schedule has as many preemptions.
const ALL: u32 = 1_000;

/// For more: `AFUNIX_ORDERS=100 cargo test --release -p afunix-sim --test memory -- --nocapture`.
#[test]
fn two_threads() {
    compare(0, 40, (2, 2), ALL);
}

#[test]
fn three_threads() {
    compare(1_000, 30, (3, 2), 1);
}
