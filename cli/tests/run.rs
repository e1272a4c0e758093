//! `afunix run`: what programs are told is what the kernel tells them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

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
