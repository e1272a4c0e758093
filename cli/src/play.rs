//! `afunix play`: one run of a scenario, with its own output.

use std::path::PathBuf;
use std::time::Duration;

use afunix::{Call, Errno, Exit, Tid};
use afunix_emulator::Threads;
use afunix_kernel_backend::Kernel;
use afunix_model::Machine;
use afunix_model::machine::{Resume, Step};

use crate::args::{BackendName, PlayArgs};
use crate::output::{FINDING, FINE, Problem, print};
use crate::scenarios::{Scenario, find};

pub(crate) fn run(args: &PlayArgs, scenarios: &[Scenario]) -> Result<bool, Problem> {
    let scenario = find(scenarios, &args.scenario)?;
    let exit = match args.backend {
        BackendName::Kernel => Exit::Status((scenario.kernel)(&Kernel, &args.args)),
        BackendName::Threads => on_threads(scenario, &args.args)?,
        BackendName::Sim => return crate::replay::play(scenario, args),
    };
    verdict(scenario, exit)
}

fn on_threads(scenario: &Scenario, args: &[String]) -> Result<Exit, Problem> {
    let threads = Threads::new();
    threads.with_machine(|machine| load_arguments(machine, args))?;
    Ok(threads.run_here(|host| (scenario.threads)(host, args)).exit)
}

/// What the exit of a scenario's first process means for the exit code.
pub(crate) fn verdict(scenario: &Scenario, exit: Exit) -> Result<bool, Problem> {
    match exit {
        Exit::Status(0) => Ok(FINE),
        Exit::Status(2) => Err(Problem::usage(format!("{}: it was used wrongly", scenario.name))),
        exit => {
            print(&format!("{} failed: {exit}\n", scenario.name))?;
            Ok(FINDING)
        }
    }
}

/// Copies every argument that names a directory of this system into the machine's file system,
/// under the same path, and makes this process's working directory the machine's.
pub(crate) fn load_arguments(machine: &mut Machine, args: &[String]) -> Result<(), Problem> {
    let mut relative = false;
    for arg in args {
        let path = PathBuf::from(arg);
        if !path.is_dir() {
            continue;
        }
        relative |= path.is_relative();
        let path = path
            .canonicalize()
            .map_err(|error| Problem::environment(format!("cannot resolve {arg:?}: {error}")))?;
        machine
            .load(&Kernel, path.as_os_str().as_encoded_bytes())
            .map_err(|error| Problem::environment(format!("cannot load {arg:?}: {error}")))?;
    }
    if relative {
        let cwd = std::env::current_dir()
            .map_err(|error| Problem::environment(format!("no working directory: {error}")))?;
        enter(machine, cwd.as_os_str().as_encoded_bytes())
            .map_err(|errno| Problem::environment(format!("cannot enter {cwd:?}: {errno}")))?;
    }
    Ok(())
}

/// Makes `directory`, which is absolute, where it is missing, and the first process's working
/// directory.
fn enter(machine: &mut Machine, directory: &[u8]) -> Result<(), Errno> {
    let ends = (1..directory.len()).filter(|end| directory[*end] == b'/').chain([directory.len()]);
    for end in ends {
        match perform(machine, &mut Call::Mkdir { path: &directory[..end], mode: 0o777 }) {
            Ok(_) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    perform(machine, &mut Call::Chdir { path: directory }).map(drop)
}

/// One call of the first process that does not wait.
fn perform(machine: &mut Machine, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
    let step = machine.step(Duration::ZERO, Tid(1), call, Resume::First);
    while machine.next_effect().is_some() {}
    match step {
        Step::Done(result) => result,
        // Nobody sends signals.
        Step::Restart => Err(Errno::INTR),
        Step::Blocked { ticket, .. } => {
            machine.cancel(ticket);
            Err(Errno::AGAIN)
        }
    }
}
