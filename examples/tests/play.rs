//! Every scenario on the real kernel, on threads over the model, and once in the simulator.
//!
//! On the kernel a scenario's processes are forks, for which a program must have one thread: so
//! each case starts this very program again, which then runs one scenario and exits with its
//! status. It leads a process group, that is killed when the case is over: a deadlocked scenario
//! leaves nothing behind.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use afunix::{Application, Exit};
use afunix_emulator::Threads;
use afunix_examples::Visit;
use afunix_kernel_backend::Kernel;
use afunix_model::{Machine, Profile};
use afunix_sim::{Choices, Faults, RunOptions, app, run as simulate};
use libtest_mimic::{Arguments, Failed, Trial};

/// The first argument that makes this program run a scenario; backend, name and arguments follow.
const RUN: &str = "--run-scenario";
const BACKENDS: [&str; 3] = ["kernel", "threads", "sim"];
/// Those that end well unless something crashes. Of the others one always hangs, and one may lose
/// its race.
const END_WELL: [&str; 17] = [
    "echo",
    "pipeline",
    "flush-deadlock-fixed",
    "stale-socket",
    "stale-socket-fixed",
    "hot-restart",
    "hot-restart-fixed",
    "scan",
    "short-frame-fixed",
    "interrupted-server-fixed",
    "inherited-copy-fixed",
    "start-race-fixed",
    "blocking-logger-fixed",
    "wrong-credentials-fixed",
    "full-backlog-fixed",
    "lost-descriptor-fixed",
    "lost-backlog-fixed",
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [run, backend, name, rest @ ..] = &args[..]
        && run == RUN
    {
        let mut named = Named { backend, name, args: rest, status: 127 };
        afunix_examples::each(&mut named);
        return ExitCode::from(named.status as u8);
    }
    libtest_mimic::run(&Arguments::from_args(), cases()).exit_code()
}

struct Named<'a> {
    backend: &'a str,
    name: &'a str,
    args: &'a [String],
    status: i32,
}

impl Visit for Named<'_> {
    fn visit<A: Application + 'static>(&mut self) {
        if A::NAME != self.name {
            return;
        }
        self.status = match self.backend {
            "kernel" => A::main(&Kernel, self.args),
            "threads" => on_threads::<A>(self.args),
            _ => in_simulation::<A>(self.args),
        };
    }
}

/// The directories among the arguments, which have to be loaded into a machine first.
fn directories(args: &[String]) -> impl Iterator<Item = &[u8]> {
    args.iter().filter(|path| Path::new(path).is_dir()).map(|path| path.as_bytes())
}

fn on_threads<A: Application>(args: &[String]) -> i32 {
    let threads = Threads::new();
    for directory in directories(args) {
        threads.load(&Kernel, directory).expect("load the directory");
    }
    match threads.run_here(|host| A::main(host, args)).exit {
        Exit::Status(status) => status,
        Exit::Signal(number) => 128 + number,
    }
}

fn in_simulation<A: Application>(args: &[String]) -> i32 {
    let mut machine = Machine::new(Profile::default());
    for directory in directories(args) {
        machine.load(&Kernel, directory).expect("load the directory");
    }
    let (status, owned) = (Arc::new(AtomicI32::new(-1)), args.to_vec());
    let exit = Arc::clone(&status);
    let main = app(move |host| {
        exit.store(A::main(host, &owned), Ordering::Relaxed);
        exit.load(Ordering::Relaxed)
    });
    let machine = Some(Arc::new(machine));
    let options = RunOptions { faults: Faults::None, machine, ..RunOptions::default() };
    for line in simulate(&main, &options, Choices::Seed(1)).printed {
        println!("{line}");
    }
    status.load(Ordering::Relaxed)
}

fn cases() -> Vec<Trial> {
    let mut cases = Vec::new();
    let mut case = |name: String, body: Box<dyn FnOnce() -> Result<(), Failed> + Send>| {
        cases.push(Trial::test(name, body));
    };
    for backend in BACKENDS {
        for name in END_WELL {
            let body = move || ends_well(backend, name, &[]).map(drop);
            case(format!("{name}_ends_well_on_{backend}"), Box::new(body));
        }
        let body = move || is_wrong_use(backend);
        case(format!("scan_of_a_missing_directory_is_wrong_use_on_{backend}"), Box::new(body));
        // The simulator does not wait for ever: it reports.
        if backend == "sim" {
            continue;
        }
        let body = move || match run(backend, "flush-deadlock", &[], Duration::from_secs(2)) {
            (None, _) => Ok(()),
            (Some(status), output) => Err(format!("ended with {status}: {output}").into()),
        };
        case(format!("flush-deadlock_hangs_on_{backend}"), Box::new(body));
    }
    case("scan_reports_the_same_of_a_real_directory".into(), Box::new(scan_reports));
    case("scan_without_root_says_what_confines_it".into(), Box::new(scan_without_root));
    cases
}

fn is_wrong_use(backend: &str) -> Result<(), Failed> {
    let (status, output) = run(backend, "scan", &["/nonexistent"], Duration::from_secs(10));
    let said = "scan: /nonexistent: ENOENT: No such file or directory\n";
    if (status, &output[..]) == (Some(2), said) { Ok(()) } else { Err(output.into()) }
}

/// A path that no other run of these tests uses.
fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("afunix-{name}-{}", std::process::id()))
}

/// 2,100 files: the report must be that of a count made while they were written.
fn scan_reports() -> Result<(), Failed> {
    let directory = temporary("scan-test");
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
    let outputs = BACKENDS.map(|backend| ends_well(backend, "scan", &[&path]));
    std::fs::remove_dir_all(&directory)?;
    let hit = |name: &str| format!("{path}/{name}.txt: private key\n");
    let hits = ["00/1407", "07/7", "14/707"].map(hit).concat();
    let wanted = format!("{hits}2100 files, {bytes} bytes, 3 hits, 0 unreadable\n");
    for (backend, output) in BACKENDS.into_iter().zip(outputs) {
        let output = output?;
        let report = output.find(&path).map_or("", |at| &output[at..]);
        if report != wanted {
            return Err(format!("on {backend}:\n{output}wanted:\n{wanted}").into());
        }
        is_refused(output)?;
    }
    Ok(())
}

/// Whether the scanner was refused the private file; where nothing can refuse it, the report must
/// say so.
fn is_refused(output: String) -> Result<(), Failed> {
    let first = output.lines().next().unwrap_or_default();
    let refused = first.ends_with("opens it by path: EACCES; by the descriptor passed: 21 bytes");
    let same_user = first.starts_with("the scanner runs as the same user");
    if refused || same_user { Ok(()) } else { Err(output.into()) }
}

/// As nobody, who cannot become another user. Only root can try it.
fn scan_without_root() -> Result<(), Failed> {
    if std::fs::metadata("/proc/self")?.uid() != 0 {
        return is_refused(ends_well("kernel", "scan", &[])?);
    }
    // The build directory may be closed to nobody.
    let program = temporary("as-nobody");
    std::fs::copy(std::env::current_exe()?, &program)?;
    let output =
        Command::new(&program).args([RUN, "kernel", "scan"]).uid(65534).gid(65534).output();
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

fn ends_well(backend: &str, name: &str, args: &[&str]) -> Result<String, Failed> {
    match run(backend, name, args, Duration::from_secs(60)) {
        (Some(0), output) => Ok(output),
        (Some(status), output) => Err(format!("exit status {status}; it said:\n{output}").into()),
        (None, output) => Err(format!("still running after a minute; it said:\n{output}").into()),
    }
}

/// The exit status, `None` if it ran longer than `limit`; and what was printed.
fn run(backend: &str, name: &str, args: &[&str], limit: Duration) -> (Option<i32>, String) {
    let program = std::env::current_exe().expect("this program has a path");
    let mut child = Command::new(program)
        .args([RUN, backend, name])
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
