//! The command line: exit codes, one clear line for each mistake, and files that are whole or not
//! there.

use std::path::Path;
use std::process::{Command, Output};

fn afunix(arguments: &[&str], directory: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_afunix"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("the command starts")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// Fails with this exit code and one line on standard error that says `what`; prints nothing else.
fn fails(arguments: &[&str], directory: &Path, exit: i32, what: &str) {
    let output = afunix(arguments, directory);
    assert_eq!(code(&output), exit, "{arguments:?}: {}", err(&output));
    assert_eq!(out(&output), "", "{arguments:?}");
    let text = err(&output);
    assert!(text.starts_with("afunix: ") && text.contains(what), "{arguments:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
}

fn tape_of(directory: &Path) -> String {
    let output = afunix(&["explore", "flush-deadlock", "--out", "found"], directory);
    assert_eq!(code(&output), 1, "{}", err(&output));
    let mut tapes = std::fs::read_dir(directory.join("found"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "tape"));
    let tape = tapes.next().expect("a tape");
    assert_eq!(tapes.next(), None, "one tape");
    tape.to_str().unwrap().to_owned()
}

/// A tape of a program that made another call in one place: the replay says where, and follows the
/// rest.
#[test]
fn a_tape_of_a_changed_program_is_aligned() {
    let directory = tempfile::tempdir().unwrap();
    let tape = tape_of(directory.path());
    let text = std::fs::read_to_string(&tape).unwrap();
    let changed = text.replace("\nright setsockopt ", "\nright getsockopt ");
    assert_ne!(text, changed);
    std::fs::write(&tape, changed).unwrap();
    let output = afunix(&["replay", &tape], directory.path());
    assert_eq!(code(&output), 1, "{}", err(&output));
    let text = out(&output);
    let lines = [
        "first divergence at step 4: expected right getsockopt, got right setsockopt",
        "aligned with the program as it is now: 7 steps found again, 1 new, 1 gone",
        "the failure of the tape is still there:",
        "its tape: ",
    ];
    for line in lines {
        assert!(text.contains(line), "{line} in:\n{text}");
    }
    let aligned = tape.replace(".tape", ".aligned.tape");
    let again = afunix(&["replay", &aligned], directory.path());
    assert_eq!(code(&again), 1);
    assert!(!out(&again).contains("divergence"), "{}", out(&again));
}

/// What is looked for stands on the tape; `--allow` leaves one out.
#[test]
fn a_scenario_is_checked() {
    let directory = tempfile::tempdir().unwrap();
    let checks = |tape: String| {
        let text = std::fs::read_to_string(tape).unwrap();
        text.lines().filter(|line| line.starts_with("check ")).count()
    };
    assert_eq!(checks(tape_of(directory.path())), 6);
    let arguments = ["explore", "flush-deadlock", "--allow", "idle", "--out", "allowed"];
    assert_eq!(code(&afunix(&arguments, directory.path())), 1);
    let tape = directory.path().join("allowed/flush-deadlock-0.tape");
    assert_eq!(checks(tape.to_str().unwrap().to_owned()), 5);
    let wrong = afunix(&["explore", "echo", "--allow", "nothing"], directory.path());
    assert_eq!(code(&wrong), 2);
    assert!(err(&wrong).contains("a check is one of descriptor-leak"), "{}", err(&wrong));
}

#[test]
fn the_list_is_json_too() {
    let directory = tempfile::tempdir().unwrap();
    let output = afunix(&["list", "--json"], directory.path());
    assert_eq!(code(&output), 0);
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let scenarios = list["scenarios"].as_array().unwrap();
    let names: Vec<&str> = scenarios.iter().map(|one| one["name"].as_str().unwrap()).collect();
    for name in ["echo", "scan", "flush-deadlock", "flush-deadlock-fixed", "hot-restart"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert!(scenarios.iter().all(|one| !one["about"].as_str().unwrap().is_empty()));
}

#[test]
fn a_failure_is_found_replayed_and_told() {
    let directory = tempfile::tempdir().unwrap();
    let tape = tape_of(directory.path());
    let first = afunix(&["replay", &tape], directory.path());
    let second = afunix(&["replay", &tape], directory.path());
    assert_eq!(code(&first), 1);
    assert_eq!(first.stdout, second.stdout, "the same, step for step");
    let text = out(&first);
    for part in ["deadlock", "left", "right", "full"] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
    let until = afunix(&["replay", &tape, "--until", "3"], directory.path());
    assert_eq!(code(&until), 0, "{}", err(&until));
    assert!(out(&until).contains("stopped before step 3"), "{}", out(&until));
}

#[test]
fn the_trace_of_a_failure_is_drawn() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let tape = tape_of(here);
    let trace = tape.replace(".tape", ".trace.jsonl");
    let drawn = afunix(&["trace", &trace], here);
    assert_eq!((code(&drawn), err(&drawn).as_str()), (0, ""));
    let ladder = std::fs::read_to_string(tape.replace(".tape", ".ladder.txt")).unwrap();
    assert!(ladder.starts_with(&out(&drawn)) && out(&drawn).contains("still waits"));
    // `replay` writes the same file, and `--trace` says where.
    let output = afunix(&["replay", &tape, "--trace", "again.jsonl"], here);
    assert!(err(&output).contains("the trace: again.jsonl"), "{}", err(&output));
    let [first, again] = [Path::new(&trace), &here.join("again.jsonl")].map(std::fs::read);
    assert_eq!(first.unwrap(), again.unwrap());
    let graph = afunix(&["graph", "--trace", &trace, "--filter", "program=left"], here);
    assert!(out(&graph).contains("[3,right,3]"), "{}{}", out(&graph), err(&graph));
    for format in ["dot", "svg", "json"] {
        let graph = afunix(&["graph", "--trace", &trace, "--format", format], here);
        assert!(code(&graph) == 0 && !graph.stdout.is_empty(), "{format}: {}", err(&graph));
    }
    let events = out(&afunix(&["trace", &trace, "--format", "json"], here));
    let events: serde_json::Value = serde_json::from_str(&events).unwrap();
    assert_eq!(events[0]["kind"]["started"]["name"], "main");
}

#[test]
fn a_trace_that_is_cut_is_drawn_and_told_and_what_is_none_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let trace = tape_of(here).replace(".tape", ".trace.jsonl");
    let whole = std::fs::read(&trace).unwrap();
    std::fs::write(here.join("cut"), &whole[..whole.len() / 2]).unwrap();
    let shell = format!("{} trace - < cut", env!("CARGO_BIN_EXE_afunix"));
    let output = Command::new("sh").args(["-c", &shell]).current_dir(here).output().unwrap();
    assert_eq!(code(&output), 0);
    assert!(out(&output).contains("started"), "{}", out(&output));
    assert!(err(&output).starts_with("note: the file ends in the middle of line "));
    std::fs::write(here.join("foreign"), "\u{1b}[2J\n").unwrap();
    fails(&["trace", "foreign"], here, 2, "foreign: this is no trace of afunix");
    fails(&["trace", "missing"], here, 2, "missing: No such file");
    fails(&["trace", "."], here, 2, "Is a directory");
    fails(&["graph", "--trace", "foreign"], here, 2, "this is no trace of afunix");
    std::fs::write(here.join("header"), &whole[..=whole.iter().position(|b| *b == b'\n').unwrap()])
        .unwrap();
    fails(&["graph", "--trace", "header"], here, 2, "a graph is drawn of a snapshot");
    fails(&["trace", &trace, "-o", "no/such/place"], here, 3, "no/such/place");
}

#[test]
fn a_report_can_be_read_by_programs() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["explore", "flush-deadlock-fixed", "--runs", "200", "--json"];
    let output = afunix(&arguments, directory.path());
    assert_eq!(code(&output), 0, "{}", err(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["runs"], 200);
    assert!(report["distinct_schedules"].as_u64().unwrap() > 1);
    assert!(report["failure"].is_null());
}

#[test]
fn jobs_do_not_change_what_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let explore = |jobs| {
        let arguments = ["explore", "stale-socket", "--json", "--jobs", jobs, "--out", jobs];
        let output = afunix(&arguments, directory.path());
        assert_eq!(code(&output), 1, "{}", err(&output));
        let mut report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        report["failure"]["files"] = serde_json::Value::Null;
        report["failure"].clone()
    };
    assert_eq!(explore("1"), explore("2"));
}

/// The machine is one of POSIX, too: what Linux has beyond it is refused, and so in the replay.
#[test]
fn a_posix_system_refuses_what_linux_has() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = ["explore", "wrong-credentials-fixed", "--runs", "10", "--out", "found"];
    let output = afunix(&[&scenario[..], &["--faults", "none"]].concat(), directory.path());
    assert_eq!(code(&output), 0, "{}", err(&output));
    let output = afunix(&[&scenario[..], &["--faults", "posix"]].concat(), directory.path());
    assert_eq!(code(&output), 1, "{}", out(&output));
    assert!(out(&output).contains("ENOPROTOOPT"), "{}", out(&output));
    let tape = "found/wrong-credentials-fixed-0.tape";
    let replayed = afunix(&["replay", tape], directory.path());
    assert_eq!(code(&replayed), 1, "{}", out(&replayed));
    assert!(out(&replayed).contains("ENOPROTOOPT"), "{}", out(&replayed));
}

#[test]
fn a_small_program_is_proved() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let arguments = ["explore", "flush-deadlock-fixed", "--strategy", "exhaustive"];
    let text = afunix(&arguments, here);
    assert_eq!(code(&text), 0, "{}", err(&text));
    assert!(out(&text).starts_with("flush-deadlock-fixed: proved: no failure"), "{}", out(&text));
    assert!(out(&text).contains("\ncomplete: every schedule that makes a difference was run\n"));
    let output = afunix(&[&arguments[..], &["--json"]].concat(), here);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["search"]["complete"], true);
    assert_eq!(report["ended"], "complete");
    let output = afunix(&[&arguments[..], &["--runs", "3"]].concat(), here);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert!(!out(&output).contains("proved") && out(&output).contains("\nnot complete: "));
    let arguments = ["explore", "flush-deadlock", "--strategy", "exhaustive"];
    let output = afunix(&arguments, here);
    assert_eq!(code(&output), 1, "{}", err(&output));
    assert!(out(&output).contains("deadlock: left and right wait for each other"));
}

#[test]
fn a_bounded_search_says_its_bound_and_pct_its_promise() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let search = ["explore", "flush-deadlock-fixed", "--strategy"];
    let bounded = ["exhaustive", "--preemptions", "0"];
    let output = afunix(&[&search[..], &bounded].concat(), here);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert!(out(&output).contains("with at most 0 preemptions"), "{}", out(&output));
    let pct = ["pct", "--depth", "2", "--runs", "50", "--faults", "none"];
    let output = afunix(&[&search[..], &pct].concat(), here);
    assert_eq!(code(&output), 0, "{}", err(&output));
    let promise = "pct: a bug of depth 2 shows in each run with a probability of at least 1/(";
    assert!(out(&output).contains(promise), "{}", out(&output));
}

#[test]
fn strategies_used_wrongly_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let wrong = |arguments: &[&str], what: &str| {
        let arguments = [&["explore", "echo"], arguments].concat();
        let output = afunix(&arguments, directory.path());
        assert_eq!((code(&output), out(&output).as_str()), (2, ""), "{arguments:?}");
        assert!(err(&output).contains(what), "{arguments:?}: {}", err(&output));
    };
    let exhaustive = ["--strategy", "exhaustive"];
    wrong(&["--preemptions", "2"], "--preemptions is of --strategy exhaustive only");
    wrong(&["--strategy", "pct", "--preemptions", "2"], "--strategy exhaustive only");
    wrong(&[&exhaustive[..], &["--faults", "crash"]].concat(), "use --faults none");
    wrong(&[&exhaustive[..], &["--preemptions", "-1"]].concat(), "-1");
    wrong(&["--strategy", "pct", "--depth", "0"], "0 is not in 1..=16");
    wrong(&["--strategy", "pct", "--depth", "17"], "17 is not in 1..=16");
    wrong(&["--strategy", "luck"], "[possible values: random, pct, exhaustive]");
}

#[test]
fn wrong_names_are_told_with_the_nearest() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    fails(&["explore", "flush-dedlock"], here, 2, "did you mean \"flush-deadlock\"?");
    fails(&["play", "no-such-thing", "--backend", "sim"], here, 2, "`afunix list`");
    assert_eq!(std::fs::read_dir(here).unwrap().count(), 0, "nothing was written");
}

#[test]
fn what_is_no_tape_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let write = |name: &str, bytes: &[u8]| std::fs::write(here.join(name), bytes).unwrap();
    write("empty", b"");
    write("foreign", b"#!/bin/sh\necho hello\n");
    write("binary", &[0xff; 4096]);
    for name in ["empty", "foreign", "binary", "missing", "."] {
        fails(&["replay", name], here, 2, name);
    }
    let tape = std::fs::read_to_string(tape_of(here)).unwrap();
    let renamed = tape.replacen("flush-deadlock", "unknown-scenario", 1);
    write("unknown", renamed.as_bytes());
    fails(&["replay", "unknown"], here, 2, "unknown-scenario");
    for end in [10, tape.len() / 2, tape.len() - 2] {
        write("cut", &tape.as_bytes()[..end]);
        let output = afunix(&["replay", "cut"], here);
        assert!([1, 2].contains(&code(&output)), "{}", err(&output));
    }
}

#[test]
fn what_changes_is_followed() {
    use std::io::BufRead;
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let output = afunix(&["graph", "--follow", "--interval", "0s"], here);
    assert!(code(&output) == 2 && err(&output).contains("no run fits"), "{}", err(&output));
    let output = afunix(&["graph", "--follow", "--format", "svg"], here);
    assert_eq!(code(&output), 2, "{}", err(&output));
    let path = here.join("followed");
    let mut follower = Command::new(env!("CARGO_BIN_EXE_afunix"))
        .args(["graph", "--live", "--follow", "--interval", "100ms", "--filter", "name~followed"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = std::io::BufReader::new(follower.stderr.take().unwrap()).lines();
    assert!(told.next().unwrap().unwrap().starts_with("following "));
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut lines = std::io::BufReader::new(follower.stdout.take().unwrap()).lines();
    // A look may fall between bind and listen.
    let mut line_with = |what: &str| {
        let mut lines = lines.by_ref().map(Result::unwrap);
        lines.find(|line| line.contains(what)).unwrap()
    };
    let line = line_with("stream listening ");
    assert!(line.contains(&format!("[{},", std::process::id())), "{line}");
    drop(listener);
    line_with(" - stream listening ");
    // Ctrl-C is how one ends it.
    let interrupt = format!("kill -INT {}", follower.id());
    assert!(Command::new("sh").args(["-c", &interrupt]).status().unwrap().success());
    assert_eq!(follower.wait().unwrap().code(), Some(0));
}

#[test]
fn files_are_whole_or_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    fails(&["graph", "--live", "-o", "no/such/place.svg"], here, 3, "no/such/place.svg");
    fails(&["graph", "--filter", "type=nonsense"], here, 2, "nonsense");
    std::fs::write(here.join("file"), "x").unwrap();
    fails(&["explore", "flush-deadlock", "--out", "file/below"], here, 3, "file/below");
    let output = afunix(&["graph", "--format", "svg", "-o", "g.svg"], here);
    assert_eq!(code(&output), 0, "{}", err(&output));
    let picture = std::fs::read_to_string(here.join("g.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
    assert_eq!(std::fs::read_dir(here).unwrap().count(), 2, "no temporary file is left");
}

#[test]
fn a_scenario_says_that_it_was_used_wrongly() {
    let directory = tempfile::tempdir().unwrap();
    for backend in ["kernel", "threads", "sim"] {
        let arguments = ["play", "echo", "--backend", backend, "--", "superfluous"];
        let output = afunix(&arguments, directory.path());
        assert_eq!(code(&output), 2, "{}", err(&output));
        assert!(out(&output).contains("superfluous"), "{}", out(&output));
    }
    let output = afunix(&["explore", "echo", "--", "superfluous"], directory.path());
    assert_eq!(code(&output), 2, "{}", err(&output));
}

#[test]
fn a_planted_bug_is_found_and_shrunk() {
    let directory = tempfile::tempdir().unwrap();
    fails(&["diff", "--planted", "no-such-bug"], directory.path(), 2, "no-such-bug");
    let arguments = ["diff", "--steps", "20000", "--seed", "1", "--planted", "close-never-resets"];
    let output = afunix(&arguments, directory.path());
    assert_eq!(code(&output), 1, "{}{}", out(&output), err(&output));
    let text = out(&output);
    let calls = text.split("shrunk to ").nth(1).and_then(|rest| rest.split(' ').next());
    let calls: u32 = calls.and_then(|calls| calls.parse().ok()).expect("a number of calls");
    assert!(calls <= 6, "{text}");
}

#[test]
fn manual_pages_and_completions_name_every_command() {
    let directory = tempfile::tempdir().unwrap();
    let commands =
        ["list", "explore", "replay", "play", "graph", "trace", "diff", "man", "completions"];
    assert_eq!(code(&afunix(&["man", "pages"], directory.path())), 0);
    let page = |name: &str| std::fs::read_to_string(directory.path().join("pages").join(name));
    let whole = page("afunix.1").unwrap();
    assert!(whole.contains(".TH afunix 1") && whole.contains("2 wrong use"), "{whole}");
    for command in commands {
        assert!(whole.contains(&format!("afunix\\-{command}(1)")), "{command} in {whole}");
        let text = page(&format!("afunix-{command}.1")).unwrap();
        assert!(text.contains(&format!(".TH afunix-{command} 1")), "{text}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = afunix(&["completions", shell], directory.path());
        assert_eq!(code(&script), 0);
        let script = out(&script);
        assert!(commands.iter().all(|command| script.contains(command)), "{shell}: {script}");
    }
    let output = afunix(&["completions", "no-shell"], directory.path());
    assert_eq!(code(&output), 2);
    fails(&["man", "/dev/null/here"], directory.path(), 3, "cannot write into");
}
