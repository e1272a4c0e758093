//! Every family of calls once on the real kernel, and what a process is given.
//!
//! A process is a fork, and a fork needs a caller with one thread. So each case runs in a process
//! of its own: this program, started with the name of the case, which it then runs in its main
//! thread.

mod calls;
mod memory;
mod processes;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// A case: its name, whether only the superuser can run it, its body.
type Case = (&'static str, bool, fn());

/// A case that anybody can run.
const fn any(name: &'static str, body: fn()) -> Case {
    (name, false, body)
}

/// A case for the superuser.
const fn root(name: &'static str, body: fn()) -> Case {
    (name, true, body)
}

/// Set to the name of the case that this process is to run.
const CASE: &str = "AFUNIX_KERNEL_CASE";

fn main() -> ExitCode {
    let cases: Vec<Case> = [calls::CASES, memory::CASES, processes::CASES].concat();
    if let Ok(name) = std::env::var(CASE) {
        let (_, _, body) = cases.iter().find(|case| case.0 == name).expect("a case of that name");
        body();
        return ExitCode::SUCCESS;
    }
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|meta| {
        use std::os::unix::fs::MetadataExt;
        meta.uid() == 0
    });
    let trials = cases.iter().map(|&(name, needs_root, _)| {
        let skipped = needs_root && !is_root;
        let shown = if skipped { format!("{name} (skipped: not root)") } else { name.to_owned() };
        Trial::test(shown, move || if skipped { Ok(()) } else { run(name) })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Runs one case in a process of its own.
fn run(name: &str) -> Result<(), Failed> {
    let program = std::env::current_exe()?;
    let output = Command::new(program).env(CASE, name).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}\n{said}", output.status).into())
}
