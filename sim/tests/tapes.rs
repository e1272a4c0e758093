//! Tapes as files: they survive the way there and back, and hostile ones get one clear line.
#![allow(missing_docs, reason = "tests")]

mod common;

use afunix::net::UnixStream;
use afunix::{Backend, Call, Host};
use afunix_sim::{Check, Choices, FailureKind, Faults, RunOptions, Tape, app, replay, run};
use common::{ping_pong, two_writers, with};
use quickcheck::{QuickCheck, TestResult};

fn tape() -> Tape {
    let checks = [Check::StalePath, Check::LostBytes].into();
    let options = RunOptions { record: true, checks, ..with(Faults::Io) };
    let mut tape = run(&ping_pong(3), &options, Choices::Seed(4)).tape;
    tape.scenario = "ping pong".into();
    tape.args = vec!["--rounds=3".into(), "a b\\c\n\u{e4}".into(), String::new()];
    tape
}

fn error(text: &str) -> String {
    Tape::parse(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_tape_survives_its_text() {
    let tape = tape();
    assert!(tape.choices.len() > 10 && tape.marks.len() > 10);
    assert_eq!(Tape::parse(tape.to_text().as_bytes()).unwrap(), tape);
}

#[test]
fn a_tape_survives_its_file_and_leaves_nothing_beside_it() {
    let dir = std::env::temp_dir().join(format!("afunix-tapes-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("failure.tape");
    let tape = tape();
    tape.save(&path).unwrap();
    assert_eq!(Tape::load(&path).unwrap(), tape);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
    assert!(tape.save(&dir.join("no/such/place.tape")).is_err());
    assert!(Tape::load(&dir).unwrap_err().to_string().starts_with("cannot be read: "));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn what_is_no_tape_is_told_in_a_line() {
    assert_eq!(error(""), "line 1: not a tape of afunix");
    let cut = error("afunix-tape 2\nseed 1\n");
    assert_eq!(cut, "line 3: the tape ends here, before its last line");
    assert_eq!(error("#!/bin/sh\n"), "line 1: not a tape of afunix");
    let version = "line 1: a tape of version \"9\"; this program knows version 2";
    assert_eq!(error("afunix-tape 9\n"), version);
    assert_eq!(
        error("afunix-tape 2\nfaults lots\n"),
        "line 2: a fault profile is one of none, io, \
        crash, all, posix, portfolio, not \"lots\""
    );
    assert_eq!(error("afunix-tape 2\nseed -1\n"), "line 2: \"-1\" is not a seed");
    assert_eq!(error("afunix-tape 2\nfile /etc/shadow\n"), "line 2: \"file\" is not known here");
    let count = "line 2: 99999999999 is more than a tape may hold (4194304)";
    assert_eq!(error("afunix-tape 2\nchoices 99999999999 0000000000000000\n"), count);
    let bomb = "afunix-tape 2\nchoices 3 0000000000000000\nt2:1x4000000\n";
    assert_eq!(error(bomb), "line 3: more than the 3 choices that were announced");
    let value = "afunix-tape 2\nchoices 3 0000000000000000\nt2:2\n";
    assert_eq!(error(value), "line 3: \"t2:2\" is not a choice");
    let edited = tape().to_text().replacen("t2:0", "t2:1", 1);
    assert!(error(&edited).contains("not those that the hash was made of"), "{}", error(&edited));
    let more = tape().to_text() + "more\n";
    assert!(error(&more).ends_with("something follows the end"));
}

#[test]
fn any_bytes_are_read_without_a_panic() {
    fn bytes(bytes: Vec<u8>) -> bool {
        Tape::parse(&bytes).is_err()
    }
    QuickCheck::new().tests(2000).quickcheck(bytes as fn(Vec<u8>) -> bool);
}

#[test]
fn any_damage_is_read_without_a_panic() {
    fn damaged(at: usize, byte: u8, cut: bool) -> TestResult {
        let mut text = TEXT.with(Clone::clone).into_bytes();
        let at = at % text.len();
        if cut {
            text.truncate(at);
            return TestResult::from_bool(Tape::parse(&text).is_err());
        }
        text[at] = byte;
        if let Ok(tape) = Tape::parse(&text) {
            // Whatever it says now, its own text says the same.
            return TestResult::from_bool(Tape::parse(tape.to_text().as_bytes()) == Ok(tape));
        }
        TestResult::passed()
    }
    thread_local! {
        static TEXT: String = tape().to_text();
    }
    let check = damaged as fn(usize, u8, bool) -> TestResult;
    QuickCheck::new().tests(3000).quickcheck(check);
}

#[test]
fn a_replay_stops_where_it_is_told() {
    let app = two_writers();
    let first = run(&app, &RunOptions { record: true, ..with(Faults::None) }, Choices::Seed(1));
    let until = replay(&app, &RunOptions::default(), &first.tape, Some(4));
    assert_eq!(until.outcome, afunix_sim::Outcome::Stopped);
    assert_eq!(until.tape.marks.len(), 5);
    assert!(!until.snapshot.sockets.is_empty());
}

#[test]
fn another_program_diverges_at_the_first_step_that_differs() {
    let with_call = |extra: bool| {
        app(move |host| {
            let (near, far) = UnixStream::pair(host).unwrap();
            if extra {
                host.call(&mut Call::Getpid).unwrap();
            }
            let other = host.spawn("other", move || drop(near));
            drop(far);
            other.join().unwrap();
            0
        })
    };
    let options = RunOptions { record: true, ..with(Faults::None) };
    let first = run(&with_call(false), &options, Choices::Seed(1));
    let other = replay(&with_call(true), &options, &first.tape, None);
    let failure = other.failure().expect("a divergence");
    assert_eq!(failure.kind, FailureKind::Diverged);
    let said = "first divergence at step 1: expected main spawn, got main getpid";
    assert_eq!(failure.message, said);
}
