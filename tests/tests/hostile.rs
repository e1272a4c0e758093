//! No call can make the model panic, break an invariant of its, or take memory in proportion to a
//! number in it; alone, under threads and in the simulator.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use afunix::{Backend, Credentials, Host, ProcessSpec, Signal};
use afunix_emulator::Threads;
use afunix_sim::{Choices, FailureKind, Faults, Outcome, RunOptions};
use afunix_tests::hostile::{Dice, World, with};

/// Steps of a machine before the next one is used.
const STEPS: usize = 2000;
/// Memory that the whole test may take.
const MEMORY_MAX: u64 = 1 << 30;

/// A seed of this run, or the one that is to be seen again.
fn seed() -> u64 {
    let given = std::env::var("AFUNIX_SEED").ok();
    let seed = given.and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |now| now.as_micros() as u64)
    });
    println!("AFUNIX_SEED={seed}");
    seed
}

/// How many seeds to try: AFUNIX_ROUNDS, for longer runs.
fn rounds(usual: u64) -> u64 {
    let given = std::env::var("AFUNIX_ROUNDS").ok();
    given.and_then(|rounds| rounds.parse().ok()).unwrap_or(usual)
}

/// Says which machine of which seed it was that panicked, before the panic goes on.
fn told<R>(what: &str, seed: u64, body: impl FnOnce() -> R) -> R {
    match std::panic::catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(panic) => {
            println!("{what}: AFUNIX_SEED={seed} shows it at once");
            std::panic::resume_unwind(panic)
        }
    }
}

/// VmHWM of this process: the most memory that it ever had.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it can be read");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the field");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[test]
fn no_call_breaks_the_model() {
    let first = seed();
    // A machine has its seed, so that one alone can be made again.
    for seed in first..first + rounds(60) {
        told("the model", seed, || {
            let (mut world, mut dice) = (World::new(), Dice::new(seed));
            let mut step = 0;
            while step < STEPS && world.act(Dice::new(dice.roll())) {
                step += 1;
            }
        });
    }
    let memory = memory();
    assert!(memory < MEMORY_MAX, "{memory} bytes were taken");
}

/// Any calls of a process, until it is ended.
fn any_calls(host: &impl Backend, seed: u64, calls: u32) {
    let mut dice = Dice::new(seed);
    for _ in 0..calls {
        // Whatever it says, it has said something.
        let _ = with(&mut dice, |call| host.call(call));
    }
}

#[test]
fn no_call_breaks_the_simulator() {
    let first = seed();
    for seed in first..first + rounds(150) {
        let app = afunix_sim::app(move |host| {
            let mut children = Vec::new();
            for number in 0..3 {
                let spec = ProcessSpec::new("child").user(Credentials::user(number % 2 * 1000));
                let child = host.process(spec, move |host| {
                    host.may_crash(true);
                    let of_thread = *host;
                    let seed = seed ^ u64::from(number) << 32;
                    host.spawn("other", move || any_calls(&of_thread, seed ^ 1 << 40, 100));
                    any_calls(host, seed, 100);
                    0
                });
                children.extend(child);
            }
            host.sleep(Duration::from_secs(5));
            for child in &children {
                let _ = child.kill(Signal::Kill);
            }
            0
        });
        let options = RunOptions { faults: Faults::All, ..RunOptions::default() };
        told("the simulator", seed, || {
            let report = afunix_sim::run(&app, &options, Choices::Seed(seed));
            if let Outcome::Failed(failure) = &report.outcome {
                let fine = matches!(failure.kind, FailureKind::Exit | FailureKind::Deadlock);
                assert!(fine, "{failure}");
            }
        });
    }
}

#[test]
fn no_call_breaks_the_threads() {
    let first = seed();
    for seed in first..first + 10 {
        told("the threads", seed, || {
            Threads::run(|host| {
                host.set_echo(false);
                let children = [1, 2, 3].map(|number| {
                    let spec = ProcessSpec::new("child");
                    host.process(spec, move |host| {
                        any_calls(host, seed ^ number << 32, 2000);
                        0
                    })
                });
                host.sleep(Duration::from_millis(100));
                for child in children.iter().flatten() {
                    let _ = child.kill(Signal::Kill);
                }
                host.with_machine(|machine| machine.check()).expect("the invariants hold");
                0
            });
        });
    }
}
