//! Faults reach the application; crashes and restarts; handles in the wrong hands.
#![allow(missing_docs, reason = "tests")]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use afunix::fault::{Attempt, Choose, Verdict};
use afunix::net::{AsSocket, UnixListener, UnixStream};
use afunix::{Address, Backend, Call, Errno, Exit, Host, ProcessSpec, Signal};
use afunix_sim::{
    App, Choices, ExploreOptions, FailureKind, Faults, RunOptions, Sim, app, explore, run,
};
use common::with;

fn campaign(app: &App, faults: Faults, runs: u64) -> afunix_sim::Campaign {
    let shrink_steps = 1_000_000;
    explore(
        app,
        &ExploreOptions { run: with(faults), runs, shrink_steps, ..ExploreOptions::default() },
    )
}

/// Sends 100 bytes in one write; the reader reads as told.
fn reader(read: fn(&mut UnixStream<Sim>, &mut [u8; 100]) -> std::io::Result<()>) -> App {
    app(move |host| {
        let (mut near, mut far) = UnixStream::pair(host).unwrap();
        let writer = host.spawn("writer", move || near.write_all(&[7; 100]));
        let mut heard = [0; 100];
        let told = read(&mut far, &mut heard);
        writer.join().unwrap().unwrap();
        i32::from(told.is_err() || heard != [7; 100])
    })
}

#[test]
fn a_reader_without_a_loop_fails_under_io_faults_alone() {
    let careless = reader(|stream, heard| stream.read(heard).map(drop));
    assert!(campaign(&careless, Faults::None, 500).failure.is_none());
    let found = campaign(&careless, Faults::Io, 2000).failure.expect("a short read, or EINTR");
    assert_eq!(found.failure.kind, FailureKind::Exit);
    assert_eq!(found.shrunk.report.faults.total(), 1, "{:?}", found.shrunk.report.faults);
    let careful = reader(|stream, heard| stream.read_exact(heard));
    let passed = campaign(&careful, Faults::Io, 2000);
    assert!(passed.failure.is_none(), "{:?}", passed.failure);
    assert!(passed.faults.short_reads > 0 && passed.faults.interrupted > 0, "{:?}", passed.faults);
}

#[test]
fn a_short_write_happens_to_those_that_do_not_wait() {
    let app = app(|host| {
        let (near, _far) = UnixStream::pair(host).unwrap();
        near.set_nonblocking(true).unwrap();
        let sent = (&near).write(&[7; 100]).unwrap();
        i32::from(sent != 100)
    });
    let found = campaign(&app, Faults::Io, 2000);
    assert!(found.failure.is_some() && found.faults.short_writes > 0, "{:?}", found.faults);
}

/// A daemon that may crash, its supervisor in the first process, and a client.
fn supervised(host: &Sim) -> i32 {
    let path = "/tmp/daemon";
    let mut starts = 0;
    loop {
        let daemon = host
            .process(ProcessSpec::new("daemon"), move |host| {
                host.may_crash(true);
                let address = Address::path("/tmp/daemon").unwrap();
                match UnixListener::bind(host, &address) {
                    Ok(_listener) => 0,
                    Err(error) if error.kind() == ErrorKind::AddrInUse => 3,
                    Err(_) => 1,
                }
            })
            .unwrap();
        starts += 1;
        match daemon.wait().unwrap() {
            Exit::Signal(signal) => assert_eq!(signal, Signal::Kill as i32),
            // The killed one left its socket file behind.
            Exit::Status(3) if starts > 1 => {
                let mut stat = afunix::call::Stat::default();
                host.call(&mut Call::Stat { path: path.as_bytes(), stat: &mut stat }).unwrap();
                assert_eq!(stat.file_type(), afunix::call::Stat::IFSOCK);
                return 1;
            }
            Exit::Status(0) => return 0,
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_killed_daemon_is_started_again_and_meets_its_socket_file() {
    let app = app(supervised);
    let passed = campaign(&app, Faults::None, 200);
    assert!(passed.failure.is_none(), "{:?}", passed.failure);
    let found = campaign(&app, Faults::Crash, 5000);
    let failure = found.failure.expect("a crash between bind and the end");
    assert_eq!(failure.failure.kind, FailureKind::Exit, "{}", failure.failure);
    assert_eq!(failure.shrunk.report.faults.crashes, 1);
    assert!(found.crash_points > 0);
}

#[test]
fn a_process_killed_while_it_waits_lets_go_of_all() {
    let app = app(|host| {
        let (mut near, far) = UnixStream::pair(host).unwrap();
        let child = host
            .process(ProcessSpec::new("sleeper").fd(far, 3), |host| {
                let mut far = UnixStream::from(host.inherited(3).unwrap());
                let held = Arc::new(Mutex::new(0));
                let held_too = Arc::clone(&held);
                let host = *host;
                let other = host.spawn("other", move || {
                    host.sleep(Duration::from_secs(3600));
                    *held_too.lock().unwrap()
                });
                far.write_all(b"x").unwrap();
                let mut byte = [0];
                far.read_exact(&mut byte).unwrap();
                other.join().unwrap()
            })
            .unwrap();
        near.read_exact(&mut [0]).unwrap();
        child.kill(Signal::Kill).unwrap();
        let end = near.read(&mut [0]);
        assert_eq!(child.wait().unwrap(), Exit::Signal(9));
        i32::from(!matches!(end, Ok(0)))
    });
    for faults in Faults::ALL {
        let done = campaign(&app, faults, 500);
        let careless =
            done.failure.as_ref().is_some_and(|it| it.failure.message.contains("Interr"));
        assert!(done.failure.is_none() || careless, "{faults}: {:?}", done.failure);
    }
}

#[test]
fn a_process_that_kills_itself_stops_there() {
    let app = app(|host| {
        let child = host
            .process(ProcessSpec::new("child"), |host| {
                let pid = host.pid();
                let _ = host.call(&mut Call::Kill { pid, signal: Signal::Term as i32 });
                unreachable!("it is dead")
            })
            .unwrap();
        i32::from(child.wait().unwrap() != Exit::Signal(Signal::Term as i32))
    });
    let done = campaign(&app, Faults::None, 100);
    assert!(done.failure.is_none(), "{:?}", done.failure);
}

#[test]
fn one_that_catches_its_own_death_is_given_up() {
    let app = app(|host| {
        let child = host
            .process(ProcessSpec::new("child"), |host| {
                loop {
                    let _ = std::panic::catch_unwind(|| host.sleep(Duration::from_secs(1)));
                }
            })
            .unwrap();
        host.sleep(Duration::from_secs(5));
        child.kill(Signal::Kill).unwrap();
        i32::from(child.wait().unwrap() != Exit::Signal(9))
    });
    let report = run(&app, &with(Faults::None), Choices::Seed(3));
    assert!(report.passed(), "{:?}", report.outcome);
}

#[test]
fn rules_decide_about_calls() {
    let refuse = |attempt: &Attempt<'_>, _: &mut dyn Choose| match attempt.call {
        "socketpair" => Verdict::Fail(Errno::MFILE),
        "getpid" => Verdict::Delay(Duration::from_secs(9)),
        "umask" if attempt.process_name == Some("child") => Verdict::Kill,
        _ => Verdict::Pass,
    };
    let options = RunOptions { rules: vec![Arc::new(refuse)], ..with(Faults::None) };
    let app = app(|host| {
        let error = UnixStream::pair(host).map(drop).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::MFILE.raw()));
        host.pid();
        assert!(host.now() >= Duration::from_secs(9));
        let child = host.process(ProcessSpec::new("child"), |host| {
            let _ = host.call(&mut Call::Umask { mask: 0 });
            0
        });
        i32::from(child.unwrap().wait().unwrap() != Exit::Signal(9))
    });
    let report = run(&app, &options, Choices::Seed(1));
    assert!(report.passed(), "{:?}", report.outcome);
    assert_eq!(report.faults.rules, 2);
}
