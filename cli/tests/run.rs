//! `afunix run`: what programs are told is what the kernel tells them.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

fn afunix() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afunix"));
    command.arg("run");
    command
}

/// The program of the cases, built once.
fn cases() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run/cases.c");
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("run-cases");
        let built = Command::new("cc")
            .args(["-w", "-pthread", "-o"])
            .args([&program, &source])
            .status()
            .expect("a C compiler");
        assert!(built.success(), "{source:?} is built");
        program
    })
}

/// Output and exit status of a case, in a directory of its own.
fn told(command: &mut Command) -> (String, String, Option<i32>) {
    let directory = tempfile::tempdir().expect("a directory");
    let Output { status, stdout, stderr } =
        command.current_dir(directory.path()).output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("it is text");
    (text(stdout), text(stderr), status.code())
}

/// Runs a case by itself and under the supervisor.
#[track_caller]
fn same_as_on_the_kernel(case: &str) {
    let program = cases();
    let (kernel, ..) = told(Command::new(program).arg(case));
    let (model, errors, status) = told(afunix().arg("--").arg(program).arg(case));
    assert_eq!(model, kernel, "{errors}");
    assert_eq!((errors.as_str(), status), ("", Some(4)));
    assert!(kernel.lines().count() > 3, "{kernel}");
}

#[test]
fn a_socketpair() {
    same_as_on_the_kernel("pair");
}

#[test]
fn a_path_between_two_processes() {
    same_as_on_the_kernel("two_processes");
}

#[test]
fn names_abstract_and_malformed() {
    same_as_on_the_kernel("names");
}

#[test]
fn descriptors_of_any_file_are_passed() {
    same_as_on_the_kernel("descriptors");
}

#[test]
fn credentials_are_the_sender_s() {
    same_as_on_the_kernel("credentials");
}

#[test]
fn polls_see_sockets_beside_pipes() {
    same_as_on_the_kernel("readiness");
}

#[test]
fn signals_interrupt_and_restart() {
    same_as_on_the_kernel("signals");
}

#[test]
fn no_signal_loses_or_repeats_what_a_call_has_done() {
    same_as_on_the_kernel("interruptions");
}

#[test]
fn a_call_in_progress_holds_the_file() {
    same_as_on_the_kernel("threads");
}

#[test]
fn sockets_survive_exec_unless_close_on_exec() {
    same_as_on_the_kernel("programs");
}

#[test]
fn bad_pointers_are_efault() {
    same_as_on_the_kernel("hostile");
}

#[test]
fn many_messages_and_sendfile() {
    same_as_on_the_kernel("messages");
}

#[test]
fn what_is_closed_is_closed_at_once() {
    same_as_on_the_kernel("closing");
}

#[test]
fn descriptors_and_memory_are_limited() {
    same_as_on_the_kernel("limits");
}

/// A socket of the kernel that answers each connection once.
fn outside(directory: &Path) -> PathBuf {
    let path = directory.join("real");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            let mut bytes = [0; 3];
            if connection.read_exact(&mut bytes).is_ok() {
                let _ = connection.write_all(b"in");
            }
        }
    });
    path
}

#[test]
fn a_real_socket_is_reached_only_if_it_is_allowed() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = outside(directory.path());
    let (refused, errors, _) =
        told(afunix().args(["--summary", "--"]).arg(cases()).arg("connect_outside").arg(&path));
    assert!(refused.starts_with("connect_to(fd, path) = -1 ECONNREFUSED\n"), "{refused}");
    assert!(errors.contains(&format!("refused, as it is outside: {} (1)", path.display())));
    let allowed = told(
        afunix().arg("--allow").arg(&path).arg("--").arg(cases()).arg("connect_outside").arg(&path),
    );
    let text = "connect_to(fd, path) = 0\nwrite(fd, \"out\", 3) = 3\nread(fd, bytes, 10) = 2\nin\n";
    assert_eq!(allowed, (text.to_owned(), String::new(), Some(4)));
}

#[test]
fn a_trace_is_drawn_as_any_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let (trace, graph) = (directory.path().join("trace"), directory.path().join("graph.dot"));
    let mut command = afunix();
    command.arg("--trace").arg(&trace).arg("--graph").arg(&graph).arg("--");
    told(command.arg(cases()).arg("two_processes"));
    let draw = |words: [&str; 2]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_afunix"));
        let (drawn, errors, status) = told(command.args(words).arg(&trace));
        assert_eq!((errors.as_str(), status), ("", Some(0)));
        drawn
    };
    let ladder = draw(["trace", "--width=120"]);
    for part in
        ["bind(3, \"server\") = -1 EADDRINUSE", "waits: a connection", "write(4, 4 bytes) = 4"]
    {
        assert!(ladder.contains(part), "{part} in {ladder}");
    }
    assert!(draw(["graph", "--trace"]).contains("run-cases"));
    let graph = std::fs::read_to_string(&graph).expect("a graph");
    assert!(graph.contains("server"), "{graph}");
}

#[test]
fn faults_are_the_seed_s() {
    let run = |seed: &str| {
        let mut command = afunix();
        command.args(["--faults", "io", "--seed", seed, "--summary", "--"]);
        told(command.arg(cases()).arg("short_counts"))
    };
    let (one, summary, status) = run("1");
    assert!(summary.contains("faults: "), "{summary}");
    assert!(one.lines().any(|line| line != "100 100"), "{one}");
    assert_eq!((one.lines().count(), status), (100, Some(4)));
    assert_eq!(run("1").0, one);
    assert_ne!(run("2").0, one);
}

/// Whether any process has this word on its command line.
fn is_running(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    processes
        .map(|process| std::fs::read(process.path().join("cmdline")).unwrap_or_default())
        .any(|line| line.split(|byte| *byte == 0).any(|of_line| of_line == word.as_bytes()))
}

/// Starts a program with children, one of them in a session of its own; kills what `victim` says,
/// given the supervisor, and sees that nothing is left.
fn nothing_is_left_when(victim: impl FnOnce(i32) -> i32, number: u32) {
    let word = format!("{}.{number}", 100_000 + std::process::id());
    let script = format!("sleep {word} & setsid sleep {word} & echo ready; wait");
    let mut run = afunix()
        .args(["--", "sh", "-c", &script])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it runs");
    let mut ready = [0; 6];
    run.stdout.take().expect("its output").read_exact(&mut ready).expect("it is ready");
    while !is_running(&word) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = victim(run.id() as i32);
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.expect("kill(1)").success());
    let began = Instant::now();
    while is_running(&word) {
        assert!(began.elapsed() < Duration::from_secs(20), "something is left");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!run.wait().expect("it ended").success());
}

/// The only child of a process.
fn child_of(pid: i32) -> i32 {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    list.expect("children").trim().parse().expect("one child")
}

#[test]
fn nothing_is_left_when_the_supervisor_is_killed() {
    nothing_is_left_when(|supervisor| supervisor, 1);
}

#[test]
fn nothing_is_left_when_the_guardian_is_killed() {
    nothing_is_left_when(child_of, 2);
}

#[test]
fn a_signal_to_the_supervisor_is_the_program_s() {
    let script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let mut run = afunix()
        .args(["--", "sh", "-c", script])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut ready = [0; 6];
    run.stdout.as_mut().expect("its output").read_exact(&mut ready).expect("it is ready");
    let sent = Command::new("kill").args(["-TERM", &run.id().to_string()]).status();
    assert!(sent.expect("kill(1)").success());
    assert_eq!(run.wait().expect("it ended").code(), Some(5));
}

#[test]
fn a_call_that_is_not_emulated_is_named() {
    let (told, errors, _) = told(afunix().arg("--").arg(cases()).arg("splicing"));
    assert!(told.ends_with("splice(pipes[0], NULL, fds[0], NULL, 1, 0) = -1 EINVAL\n"), "{told}");
    assert_eq!(errors, "afunix: splice on a socket is not emulated: EINVAL\n");
}

#[test]
fn a_supervisor_under_another_is_refused() {
    let inner = env!("CARGO_BIN_EXE_afunix");
    let (_, errors, status) = told(afunix().args(["--", inner, "run", "--", "true"]));
    assert!(errors.contains("under another supervisor already"), "{errors}");
    assert_eq!(status, Some(3));
}

#[test]
fn abstract_names_are_not_the_host_s() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    // The case binds this very name.
    let name = SocketAddr::from_abstract_name("afunix").expect("a name");
    let held = UnixListener::bind_addr(&name);
    let (model, ..) = told(afunix().arg("--").arg(cases()).arg("names"));
    assert!(model.starts_with("bind(one, (void *)&name, len) = 0\n"), "{model}");
    drop(held);
}

#[test]
fn exit_statuses_and_signals_are_the_program_s() {
    use std::os::unix::process::ExitStatusExt;
    let status =
        |script: &str| afunix().args(["--", "sh", "-c", script]).status().expect("it runs");
    assert_eq!(status("exit 77").code(), Some(77));
    assert_eq!(status("kill -USR1 $$").signal(), Some(10));
}

#[test]
fn a_program_that_is_not_there_is_wrong_use() {
    let (_, errors, status) = told(afunix().args(["--", "/no/such/program"]));
    assert_eq!(errors, "afunix: cannot run /no/such/program: No such file or directory\n");
    assert_eq!(status, Some(2));
}
