//! How runs end: panics, livelocks, time, idle runs; and handles that are used where they must not
//! be.
#![allow(missing_docs, reason = "tests")]

mod common;

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use afunix::net::UnixStream;
use afunix::{Backend, Call, Exit, Host, ProcessSpec};
use afunix_sim::{Choices, FailureKind, Faults, Report, RunOptions, Sim, app, run};
use common::with;

fn once(main: impl Fn(&Sim) -> i32 + Send + Sync + 'static) -> Report {
    run(&app(main), &with(Faults::None), Choices::Seed(5))
}

fn kind(report: &Report) -> FailureKind {
    report.failure().expect("a failure").kind
}

fn message(report: &Report) -> &str {
    &report.failure().expect("a failure").message
}

#[test]
fn time_is_virtual() {
    let report = once(|host| {
        let host = *host;
        let other = host.spawn("other", move || {
            host.sleep(Duration::from_secs(86_400 * 365));
            host.now()
        });
        host.sleep(Duration::from_secs(1));
        let early = host.now();
        assert!(early >= Duration::from_secs(1) && early < Duration::from_secs(2));
        i32::from(other.join().unwrap() < Duration::from_secs(86_400 * 365))
    });
    assert!(report.passed(), "{:?}", report.outcome);
}

#[test]
fn a_loop_that_waits_for_a_moment_ends() {
    let report = once(|host| {
        let host: &Sim = host;
        while host.now() < Duration::from_millis(20) {}
        host.pid();
        0
    });
    assert!(report.passed(), "{:?}", report.outcome);
}

#[test]
fn a_panic_in_a_child_is_reported_with_its_place() {
    let child = |host: &Sim| {
        let child = host
            .process(ProcessSpec::new("child"), |host| {
                host.pid();
                panic!("the child is {}", "sad")
            })
            .unwrap();
        i32::from(child.wait().unwrap() != Exit::Status(101))
    };
    let report = once(child);
    assert_eq!(kind(&report), FailureKind::Panic);
    assert!(message(&report).starts_with("child: the child is sad, at sim/tests/ends.rs:"));
    assert!(report.failure().unwrap().signature.starts_with("panic at sim/tests/ends.rs:"));
    let options = RunOptions { panics_fail: false, ..with(Faults::None) };
    let report = run(&app(child), &options, Choices::Seed(1));
    assert!(report.passed(), "{:?}", report.outcome);
}

#[test]
fn a_panic_of_a_thread_is_its_joiners_business() {
    let joined = once(|host| {
        let thread = host.spawn("thread", || panic!("no"));
        i32::from(thread.join().unwrap_err().0.split(',').next() != Some("no"))
    });
    assert_eq!(joined.failure().map(|it| it.kind), Some(FailureKind::Idle), "spawn is no call");
    let left = once(|host| {
        host.pid();
        let _ = host.spawn("thread", || panic!("no"));
        host.sleep(Duration::from_secs(1));
        0
    });
    assert_eq!(kind(&left), FailureKind::Panic);
    assert!(message(&left).contains("main/thread: no"), "{}", message(&left));
}

#[test]
fn a_thread_that_panics_closes_what_it_has() {
    let report = once(|host| {
        let (mut near, mut far) = UnixStream::pair(host).unwrap();
        let thread = host.spawn("thread", move || {
            near.write_all(b"x").unwrap();
            panic!("after a byte")
        });
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).unwrap();
        thread.join().unwrap_err();
        i32::from(heard != b"x")
    });
    assert!(report.passed(), "{:?}", report.outcome);
}

#[test]
fn a_run_that_spins_is_stopped_and_named() {
    let options = RunOptions { most_steps: 10_000, ..with(Faults::None) };
    let spin = app(|host| {
        let host = *host;
        let _ = host.spawn("spinner", move || {
            loop {
                let _ = host.call(&mut Call::Getpid);
            }
        });
        let (_near, mut far) = UnixStream::pair(&host).unwrap();
        far.read(&mut [0]).unwrap() as i32
    });
    let report = run(&spin, &options, Choices::Seed(1));
    assert_eq!(kind(&report), FailureKind::Livelock);
    assert!(message(&report).contains("main/spinner alone"), "{}", message(&report));
    assert_eq!(report.failure().unwrap().waits.len(), 1);
}

#[test]
fn the_first_process_says_why_it_ends() {
    let said = app(|host| {
        let loud = |host: &Sim| {
            host.pid();
            host.print("a word of another");
            0
        };
        host.process(ProcessSpec::new("loud"), loud).unwrap();
        host.print("why it ends");
        host.pid();
        1
    });
    let mut other_was_last = false;
    for seed in 0..50 {
        let report = run(&said, &with(Faults::None), Choices::Seed(seed));
        other_was_last |= report.printed.last().unwrap() == "a word of another";
        assert!(message(&report).ends_with("it said last: why it ends"), "{}", message(&report));
    }
    assert!(other_was_last);
}

#[test]
fn an_idle_run_is_a_failure_and_so_is_a_status() {
    assert_eq!(kind(&once(|_| 0)), FailureKind::Idle);
    let report = once(|host| {
        host.print("about to fail at 100:9");
        host.pid();
        3
    });
    assert_eq!(kind(&report), FailureKind::Exit);
    let signature = "exit: the first process ended: exit status 3: about to fail at #:#";
    assert_eq!(report.failure().unwrap().signature, signature);
    assert!(message(&report).ends_with("it said last: about to fail at 100:9"));
}

#[test]
fn the_run_ends_with_the_first_process() {
    let report = once(|host| {
        let (near, far) = UnixStream::pair(host).unwrap();
        let spec = ProcessSpec::new("daemon").fd(far, 3);
        host.process(spec, |host| {
            let mut far = UnixStream::from(host.inherited(3).unwrap());
            far.read(&mut [0]).unwrap() as i32
        })
        .unwrap();
        std::mem::forget(near);
        0
    });
    assert!(report.passed(), "{:?}", report.outcome);
}

#[test]
fn nested_processes_and_threads_are_joined() {
    let report = once(|host| {
        let child = host.process(ProcessSpec::new("a"), |host| {
            let inner = *host;
            let thread = host.spawn("t", move || {
                let grandchild = inner.process(ProcessSpec::new("b"), |host| {
                    let host = *host;
                    host.spawn("u", move || host.random(5) as i32).join().unwrap().min(4)
                });
                grandchild.unwrap().wait().unwrap()
            });
            i32::from(!matches!(thread.join().unwrap(), Exit::Status(0..=4)))
        });
        i32::from(child.unwrap().wait().unwrap() != Exit::Status(0))
    });
    assert!(report.passed(), "{:?}", report.outcome);
}

#[test]
fn a_handle_of_another_process_is_refused_by_name() {
    let report = once(|host| {
        let (mut near, _far) = UnixStream::pair(host).unwrap();
        let near_again = near.try_clone().unwrap();
        let child = host.process(ProcessSpec::new("child"), move |_| {
            (&near_again).write_all(b"stolen").unwrap();
            0
        });
        child.unwrap().wait().unwrap();
        near.write_all(b"x").unwrap();
        0
    });
    assert_eq!(kind(&report), FailureKind::Panic);
    let said = message(&report);
    assert!(
        said.contains("a handle on process 1 (main) was used by a thread of process 2"),
        "{said}"
    );
}

#[test]
fn a_captured_descriptor_is_closed_for_its_owner() {
    let report = once(|host| {
        let (near, mut far) = UnixStream::pair(host).unwrap();
        let child = host.process(ProcessSpec::new("child"), move |host| {
            let _keeps = &near;
            i32::from(host.pid().0 == 1)
        });
        child.unwrap().wait().unwrap();
        // The end of file: the child's closure held the other end, and is gone.
        far.read(&mut [0]).unwrap() as i32
    });
    assert!(report.passed(), "{:?}", report.outcome);
}

#[test]
fn a_handle_outside_of_its_run_is_refused() {
    type Kept = Mutex<Option<(Sim, UnixStream<Sim>)>>;
    let kept: Arc<Kept> = Arc::default();
    let place = Arc::clone(&kept);
    let keeping = move |host: &Sim| {
        let (near, _) = UnixStream::pair(host).unwrap();
        *place.lock().unwrap() = Some((*host, near));
        0
    };
    assert!(once(keeping).passed());
    let (host, stream) = kept.lock().unwrap().take().unwrap();
    let said = std::panic::catch_unwind(|| host.pid()).unwrap_err();
    let said = said.downcast_ref::<String>().unwrap();
    assert!(said.contains("a handle on process 1 of simulated run"), "{said}");
    assert!(said.ends_with("was used outside of it"), "{said}");
    // Dropping what is left over is no mistake.
    drop(stream);
    let other = once(move |_| host.pid().0);
    assert!(message(&other).contains("was used in run"), "{}", message(&other));
}

#[test]
fn what_a_thread_has_that_never_began_is_dropped_quietly() {
    for seed in 0..50 {
        let app = app(|host| {
            let (near, far) = UnixStream::pair(host).unwrap();
            let _ = host.spawn("late", move || drop(near));
            drop(far);
            0
        });
        let report = run(&app, &with(Faults::None), Choices::Seed(seed));
        assert!(report.passed(), "{:?}", report.outcome);
    }
}

#[test]
fn a_simulation_inside_a_simulation_is_refused() {
    let report = once(|_| {
        let inner = once(|host| host.pid().0 - 1);
        i32::from(!inner.passed())
    });
    assert!(message(&report).contains("cannot be run inside"), "{}", message(&report));
}
