//! Every conformance case on every backend, each in a process of its own.
//!
//! Processes are forks on the kernel, which need a program with one thread; and a case that hangs
//! must be a failure with a name. So this program has its own `main`: it starts itself again for
//! each case, in a fresh directory and under a time limit.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use afunix_tests::table;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

mod backends;

use backends::{BACKENDS, Column};

/// A case takes milliseconds; this is for those that never end.
const LIMIT: Duration = Duration::from_secs(30);
/// Tells the program to be one case: `kernel: CONNECT 3 lookup`.
const CASE: &str = "AFUNIX_CONFORMANCE_CASE";

fn main() -> ExitCode {
    if let Ok(title) = std::env::var(CASE) {
        return backends::run(&title);
    }
    let arguments = Arguments::from_args();
    let mut trials = vec![Trial::test("rules with a case", rules_with_a_case)];
    for column in &BACKENDS {
        for (title, root) in (column.titles)() {
            let name = format!("{}: {title}", column.name);
            trials.push(Trial::ignorable_test(name.clone(), move || trial(column, &name, root)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(column: &Column, name: &str, root: bool) -> Result<Completion, Failed> {
    if column.is_real && root && !is_root() {
        let reason = "it runs a process as another user, which needs root";
        return match std::env::var_os("CI") {
            Some(_) => Err(Failed::from(format!("not skipped under CI: {reason}"))),
            None => Ok(Completion::ignored_with(reason)),
        };
    }
    let directory = Directory::new();
    let program = std::env::current_exe()?;
    let mut child = Command::new(program)
        .env(CASE, name)
        .current_dir(&directory.path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begin.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            return Err(Failed::from(format!("it hangs: not over after {LIMIT:?}")));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    if status.success() {
        return Ok(Completion::Completed);
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Failed::from(format!("{status}\n{said}")))
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// A fresh directory that goes away by itself, and that every user may pass through.
struct Directory {
    path: PathBuf,
}

impl Directory {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("afunix-conformance-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a fresh directory");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
        Directory { path }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left behind in the directory of temporary files does no harm.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Prints `rule -> cases`; a rule with neither case nor reason fails.
fn rules_with_a_case() -> Result<(), Failed> {
    let table = table::read()?;
    println!("{}", table.text());
    Ok(())
}
