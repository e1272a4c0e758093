//! A failed test function says how to replay it; `AFUNIX_REPLAY` does so, and leaves others out.
//! Each test runs in a process of its own, as cargo-nextest has it.

use std::io::Read;
use std::process::Command;

use afunix::Host;
use afunix::net::UnixStream;
use afunix_sim::Test;

/// Two ends that each wait for the other one's byte.
#[afunix_sim::test(runs = 10)]
#[should_panic(expected = "deadlock")]
fn both_wait(sim: &Test) {
    sim.process("both", |sim| {
        let (mut near, mut far) = UnixStream::pair(sim).unwrap();
        let reader = sim.spawn("reader", move || far.read(&mut [0]).unwrap());
        near.read_exact(&mut [0]).unwrap();
        reader.join().unwrap();
    });
}

#[afunix_sim::test(runs = 10)]
fn nobody_waits(sim: &Test) {
    sim.process("alone", |sim| drop(UnixStream::pair(sim)));
}

/// What a test of this file prints, alone in a process.
fn printed(test: &str, tape: Option<&str>) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env_remove("AFUNIX_REPLAY");
    if let Some(tape) = tape {
        command.env("AFUNIX_REPLAY", tape);
    }
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap()).concat();
    assert!(output.status.success(), "{test}: {text}");
    assert!(text.contains("1 passed"), "{test}: {text}");
    text
}

#[test]
fn a_failure_is_replayed_by_its_tape() {
    let found = printed("both_wait", None);
    let line = found.lines().find(|line| line.starts_with("replay it: ")).expect("the last line");
    let tape = line.split_once("AFUNIX_REPLAY=").unwrap().1.split_once(" cargo test").unwrap().0;
    assert!(line.ends_with(" cargo test both_wait -- --exact"), "{line}");
    assert!(found.contains("shrunk from"), "{found}");

    let replayed = printed("both_wait", Some(tape));
    assert!(replayed.contains("both/reader (2/3) in read("), "{replayed}");
    assert!(!replayed.contains("shrunk from"), "one run, and no search: {replayed}");

    let other = printed("nobody_waits", Some(tape));
    assert!(other.contains("left out"), "{other}");
}
