//! Every scenario on the real kernel.
//!
//! A scenario's processes are forks, for which a program must have one thread: so each case starts this very
//! program again, which then runs one scenario and exits with its status. It leads a process group, that
//! is killed when the case is over: a deadlocked scenario leaves nothing behind.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use afunix::Application;
use afunix_examples::Visit;
use afunix_kernel_backend::Kernel;
use libtest_mimic::{Arguments, Failed, Trial};

/// The first argument that makes this program run a scenario.
const RUN: &str = "--run-scenario";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [run, name, rest @ ..] = &args[..]
        && run == RUN
    {
        let mut named = Named { name, args: rest, status: 127 };
        afunix_examples::each(&mut named);
        return ExitCode::from(named.status as u8);
    }
    libtest_mimic::run(&Arguments::from_args(), cases()).exit_code()
}

struct Named<'a> {
    name: &'a str,
    args: &'a [String],
    status: i32,
}

impl Visit for Named<'_> {
    fn visit<A: Application + 'static>(&mut self) {
        if A::NAME == self.name {
            self.status = A::main(&Kernel, self.args);
        }
    }
}

fn cases() -> Vec<Trial> {
    let mut cases = Vec::new();
    // Without a crash all but two end well: one always hangs, one may lose its race.
    for name in [
        "echo",
        "pipeline",
        "flush-deadlock-fixed",
        "stale-socket",
        "stale-socket-fixed",
        "hot-restart",
        "hot-restart-fixed",
        "scan",
    ] {
        cases
            .push(Trial::test(format!("{name}_ends_well"), move || ends_well(name, &[]).map(drop)));
    }
    cases.push(Trial::test("flush_deadlock_hangs", || {
        match run("flush-deadlock", &[], Duration::from_secs(2)) {
            (None, _) => Ok(()),
            (Some(status), output) => Err(format!("ended with {status}: {output}").into()),
        }
    }));
    cases.push(Trial::test("scan_reports_a_real_directory", scan_reports));
    cases.push(Trial::test("scan_without_root_says_what_confines_it", scan_without_root));
    cases.push(Trial::test("a_missing_directory_is_wrong_use", || {
        let (status, output) = run("scan", &["/nonexistent"], Duration::from_secs(10));
        let said = "scan: /nonexistent: ENOENT: No such file or directory\n";
        if (status, &output[..]) == (Some(2), said) { Ok(()) } else { Err(output.into()) }
    }));
    cases
}

/// 2,100 files, of which the client and an independent count know the number of bytes.
fn scan_reports() -> Result<(), Failed> {
    let directory = std::env::temp_dir().join(format!("afunix-scan-test-{}", std::process::id()));
    let mut bytes = 0;
    for number in 0..2100 {
        let below = directory.join(format!("{:02}", number % 21));
        std::fs::create_dir_all(&below)?;
        let mut content = "text ".repeat(number);
        if number % 700 == 7 {
            content.push_str(&["-----BEGIN RSA ", "PRIVATE KEY-----"].concat());
        }
        bytes += content.len();
        std::fs::write(below.join(format!("{number}.txt")), content)?;
    }
    let path = directory.display().to_string();
    let output = ends_well("scan", &[&path]);
    std::fs::remove_dir_all(&directory)?;
    let output = output?;
    let hit = |name: &str| format!("{path}/{name}.txt: private key\n");
    let hits = ["00/1407", "07/7", "14/707"].map(hit).concat();
    let wanted = format!("{hits}2100 files, {bytes} bytes, 3 hits, 0 unreadable\n");
    let report = output.find(&path).map_or("", |at| &output[at..]);
    if report != wanted {
        return Err(format!("reported:\n{output}wanted:\n{wanted}").into());
    }
    is_refused(output)
}

/// Whether the scanner was refused the private file; where nothing can refuse it, the report must say so.
fn is_refused(output: String) -> Result<(), Failed> {
    let first = output.lines().next().unwrap_or_default();
    let refused = first.ends_with("opens it by path: EACCES; by the descriptor passed: 21 bytes");
    let same_user = first.starts_with("the scanner runs as the same user");
    if refused || same_user { Ok(()) } else { Err(output.into()) }
}

/// As nobody, who cannot become another user. Only root can try it.
fn scan_without_root() -> Result<(), Failed> {
    if std::fs::metadata("/proc/self")?.uid() != 0 {
        return is_refused(ends_well("scan", &[])?);
    }
    // The build directory may be closed to nobody.
    let program = std::env::temp_dir().join(format!("afunix-as-nobody-{}", std::process::id()));
    std::fs::copy(std::env::current_exe()?, &program)?;
    let output = Command::new(&program).args([RUN, "scan"]).uid(65534).gid(65534).output();
    std::fs::remove_file(&program)?;
    let output = output?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(format!("{}; it said:\n{said}", output.status).into());
    }
    if said.starts_with("the scanner, as user") {
        return Err(format!("nobody became another user:\n{said}").into());
    }
    is_refused(said)
}

fn ends_well(name: &str, args: &[&str]) -> Result<String, Failed> {
    match run(name, args, Duration::from_secs(60)) {
        (Some(0), output) => Ok(output),
        (Some(status), output) => Err(format!("exit status {status}; it said:\n{output}").into()),
        (None, output) => Err(format!("still running after a minute; it said:\n{output}").into()),
    }
}

/// The exit status, `None` if it ran longer than `limit`; and what was printed.
fn run(name: &str, args: &[&str], limit: Duration) -> (Option<i32>, String) {
    let program = std::env::current_exe().expect("this program has a path");
    let mut child = Command::new(program)
        .arg(RUN)
        .arg(name)
        .args(args)
        .process_group(0)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start this program again");
    let group = format!("-{}", child.id());
    let mut printed = child.stdout.take().expect("it is piped");
    let reader = thread::spawn(move || {
        let mut output = String::new();
        printed.read_to_string(&mut output).map(|_| output)
    });
    let end = Instant::now() + limit;
    let status = loop {
        match child.try_wait().expect("wait for it") {
            Some(status) => break Some(status.code().unwrap_or(-1)),
            None if Instant::now() > end => break None,
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    // What is left of the group holds the pipe's other end, and would stay for ever.
    let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    let _ = child.wait();
    let output = reader.join().expect("the reader does not panic").expect("read what it printed");
    (status, output)
}
