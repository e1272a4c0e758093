//! `afunix check`: the model explains what strace sees of real programs, and not what it never saw.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Whether the programs are installed; under CI they are.
fn installed(programs: &[&str], case: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |program: &&&str| std::env::split_paths(&path).any(|dir| dir.join(program).exists());
    match programs.iter().find(|program| !is_there(program)) {
        None => true,
        Some(missing) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "{case}: not to be skipped under CI: no {missing}"
            );
            println!("{case} skipped: no {missing}");
            false
        }
    }
}

fn check(log: &Path) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_afunix"))
        .arg("check")
        .arg(log)
        .output()
        .expect("afunix runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code(), text(stdout), text(stderr))
}

/// What strace sees of a command, in a directory of its own, with these options.
fn record(options: &[&str], command: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let inside = directory.path().join("inside");
    std::fs::create_dir(&inside).expect("a directory");
    let status = Command::new("timeout")
        .args(["-k", "5", "100", "strace", "-f", "-yy", "-o"])
        .arg(&log)
        .args(options)
        .args(command)
        .current_dir(inside)
        .output()
        .expect("strace runs");
    assert_ne!(status.status.code(), Some(124), "{command:?} ends in time");
    (directory, log)
}

/// Records a command, again if its log is undecided: where calls overlap for long the search may
/// end before it has tried all their orders (docs/check.md), which says nothing about the model.
fn record_and_explain(command: &[&str], least: u64) {
    for _ in 0..3 {
        let (_kept, log) = record(&[], command);
        let answer = check(&log);
        if !answer.1.contains("not all orders of overlapping calls were tried") {
            return assert_explained(&answer, least);
        }
        println!("undecided: {}", answer.1);
    }
    panic!("three logs of {command:?} are undecided");
}

#[track_caller]
fn assert_explained((status, told, errors): &(Option<i32>, String, String), least: u64) {
    let count =
        told.strip_prefix("explained: ").and_then(|rest| rest.split(' ').next()?.parse().ok());
    let enough = count.is_some_and(|count: u64| count >= least);
    assert!(*status == Some(0) && enough, "{status:?}\n{told}{errors}");
}

/// The cases of `afunix run`, which go into every corner.
#[test]
fn the_model_explains_the_cases_of_the_supervisor() {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    if !installed(&["strace"], "cases") {
        return;
    }
    let program = BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run/cases.c");
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check-cases");
        let mut compile = Command::new("cc");
        let built = compile.args(["-w", "-pthread", "-o"]).args([&program, &source]).status();
        assert!(built.expect("a C compiler").success(), "{source:?} is built");
        program
    });
    let program = program.to_str().expect("a path of text");
    for (case, least) in [
        ("pair", 8),
        ("two_processes", 12),
        ("names", 15),
        ("descriptors", 14),
        ("credentials", 5),
        ("readiness", 40),
        ("signals", 7),
        ("interruptions", 4000),
        ("messages", 1),
        ("closing", 39),
        ("limits", 10),
        ("short_counts", 200),
        ("threads", 4),
    ] {
        println!("{case}");
        record_and_explain(&[program, case], least);
    }
}

/// The scripts of `tests/programs`: name, the programs that they need, and what bash is to run.
fn scripts() -> Vec<(String, Vec<String>, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/programs");
    let text = std::fs::read_to_string(path).expect("tests/programs");
    let mut scripts = Vec::new();
    for part in text.split("\ncase_of ").skip(1) {
        let (head, rest) = part.split_once("<<'END'\n").expect("a case has a script");
        let (script, _) = rest.split_once("\nEND\n").expect("a script ends");
        let mut words = head.split_whitespace().map(str::to_owned);
        let name = words.next().expect("a case has a name");
        scripts.push((name, words.collect(), script.to_owned()));
    }
    scripts
}

#[test]
fn the_model_explains_other_people_s_programs() {
    let scripts = scripts();
    assert!(scripts.len() >= 12, "{} scripts", scripts.len());
    for (name, programs, script) in scripts {
        // The one is built beside its script; the other's log of 130,000 lines takes a minute.
        if ["go", "postgresql"].contains(&name.as_str()) {
            continue;
        }
        let programs: Vec<&str> = programs.iter().map(String::as_str).chain(["strace"]).collect();
        if installed(&programs, &name) {
            println!("{name}");
            let least = if ["pipes", "git"].contains(&name.as_str()) { 0 } else { 12 };
            record_and_explain(&["bash", "-c", &script], least);
        }
    }
}

/// A log of two processes with all that is compared: results, names, data, descriptors.
const LOG: &str = include_str!("check/passing.strace");

/// Checks a log that is given as text.
fn told(log: &str) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    std::fs::write(&path, log).expect("the log is written");
    check(&path)
}

#[test]
fn what_was_changed_in_a_log_is_found_at_its_line() {
    let (status, text, _) = told(LOG);
    assert_eq!(status, Some(0), "{text}");
    let changes = [
        (1, "= 0", "= -1 EPROTONOSUPPORT (Protocol not supported)"),
        (2, "= 5<UNIX:[12]>", "= -1 EACCES (Permission denied)"),
        (3, "= 0", "= -1 EINVAL (Invalid argument)"),
        (5, "= 5", "= 4"),
        (6, "\"hello\"", "\"jello\""),
        (6, "= 5", "= -1 EAGAIN (Resource temporarily unavailable)"),
        (6, "[6<UNIX:[12,@\"there\"]>]", "[6<UNIX-STREAM:[10->11]>]"),
        (6, "msg_flags=0", "msg_flags=MSG_CTRUNC"),
        (7, "[110 => 8]", "[110 => 9]"),
        (7, "sun_path=@\"there\"", "sun_path=@\"where\""),
        (8, "revents=POLLOUT", "revents=POLLIN"),
        (11, "\"abc\"", "\"abd\""),
        (11, "= 3", "= 2"),
        (15, "= 0", "= -1 EAGAIN (Resource temporarily unavailable)"),
    ];
    for (line, from, to) in changes {
        let lines: Vec<&str> = LOG.lines().collect();
        let changed = lines[line - 1].replacen(from, to, 1);
        assert_ne!(changed, lines[line - 1], "line {line} has {from}");
        let all: Vec<&str> = lines
            .iter()
            .enumerate()
            .map(|(index, old)| if index == line - 1 { &changed[..] } else { old })
            .collect();
        let (status, text, errors) = told(&(all.join("\n") + "\n"));
        let found = text.starts_with(&format!("line {line} is not explained"));
        assert!(status == Some(1) && found, "line {line}, {to}: {status:?}\n{text}{errors}");
    }
}

#[test]
fn what_is_no_log_is_wrong_use() {
    let (status, _, errors) = told("int main() { return 0; }\n");
    assert_eq!(status, Some(2), "{errors}");
    assert!(errors.contains("no log of strace"), "{errors}");
    let (status, _, errors) = check(Path::new("/nonexistent/log"));
    assert_eq!(status, Some(2), "{errors}");
}

#[test]
fn a_log_that_is_cut_is_explained_so_far() {
    let cut = &LOG[..LOG.len() - 9];
    let (status, text, _) = told(cut);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("the log is cut in the middle of line 15"), "{text}");
}

fn drawn(arguments: &[&str]) -> String {
    let passing = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/passing.strace");
    let mut command = Command::new(env!("CARGO_BIN_EXE_afunix"));
    let output = command.args(arguments).arg(passing).output().expect("afunix runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("pictures are text")
}

#[test]
fn a_log_is_drawn_as_a_trace_is() {
    let ladder = drawn(&["trace", "--flows"]);
    for part in [
        "sendmsg(4",
        "5 bytes and 1 file",
        "waits: data",
        "woken by",
        "exit status 0",
        "program (2)",
    ] {
        assert!(ladder.contains(part), "no {part:?} in\n{ladder}");
    }
    for format in ["html", "perfetto", "shiviz", "mermaid", "json"] {
        assert!(drawn(&["trace", "--format", format]).contains("sendmsg"), "{format}");
    }
    let graph = drawn(&["graph", "--trace"]);
    assert!(graph.contains("@there"), "{graph}");
    assert!(drawn(&["graph", "--format", "svg", "--trace"]).contains("</svg>"));
}
