//! `afunix replay`, and one simulated run for `afunix play`.

use std::path::Path;
use std::sync::Arc;

use afunix::Exit;
use afunix_model::{Machine, Profile};
use afunix_sim::{
    Alignment, App, Choices, Failure, FailureKind, Faults, Outcome, RunOptions, Tape, app, explain,
};

use crate::args::{PlayArgs, ReplayArgs, SimThreads};
use crate::explore::passing;
use crate::output::{FINDING, FINE, Problem, print, write_file};
use crate::play::load_arguments;
use crate::report;
use crate::scenarios::{Scenario, find};

/// Whether a scenario's first process exited with status 2: it was used wrongly.
pub(crate) fn is_wrong_use(failure: &Failure) -> bool {
    failure.exit == Some(Exit::Status(2))
}

pub(crate) fn run(args: &ReplayArgs, scenarios: &[Scenario]) -> Result<bool, Problem> {
    let shown = args.tape.display();
    let tape =
        Tape::load(&args.tape).map_err(|error| Problem::usage(format!("{shown}: {error}")))?;
    let scenario = find(scenarios, &tape.scenario)
        .map_err(|problem| Problem::usage(format!("{shown}: {}", problem.text)))?;
    // A tape may come from anybody: what is loaded is what the command line names, not the tape.
    let given = if args.args.is_empty() { &tape.args } else { &args.args };
    let options = RunOptions {
        os_threads: args.threads == SimThreads::Os,
        machine: machine(&args.args, tape.faults)?,
        ..RunOptions::default()
    };
    let report = afunix_sim::replay(&application(scenario, given), &options, &tape, args.until);
    print(&report::replay(&report, args.until))?;
    if args.until.is_none() && report.failure().is_some_and(|it| it.kind == FailureKind::Diverged) {
        return aligned(&application(scenario, given), &options, &tape, args);
    }
    let failed = |ending| report.failure().map(|_| args.tape.with_extension(ending));
    if let Some(path) = args.trace.clone().or_else(|| failed("trace.jsonl")) {
        write_file(&path, &crate::trace::of_report(scenario.name, &report))?;
        eprintln!("the trace: {}", path.display());
    }
    if let Some(path) = failed("html") {
        let passing = passing(scenario, &args.args)?;
        let page = crate::trace::page_of_failure(scenario.name, &report, passing.as_ref());
        write_file(&path, page.as_bytes())?;
        eprintln!("look at it: {}", path.display());
    }
    Ok(if report.failure().is_some() { FINDING } else { FINE })
}

/// The program was changed since: how far the tape still fits, and what it shows now.
fn aligned(
    app: &App,
    options: &RunOptions,
    tape: &Tape,
    args: &ReplayArgs,
) -> Result<bool, Problem> {
    let (report, alignment) = afunix_sim::realign(app, options, tape);
    let Alignment { aligned, put_in, left_out } = alignment;
    print(&format!(
        "\naligned with the program as it is now: {aligned} steps found again, {put_in} new, \
         {left_out} gone\n"
    ))?;
    let same = report.failure().map(|it| &it.signature) == tape.failure.as_ref();
    print(match report.failure() {
        None => "it passes: the failure of the tape does not show any more\n",
        Some(_) if same => "the failure of the tape is still there:\n",
        Some(_) => "it fails in another way:\n",
    })?;
    if report.failure().is_none() {
        return Ok(FINE);
    }
    print(&explain::failure(&report))?;
    let path = args.tape.with_extension("aligned.tape");
    write_file(&path, report.tape.to_text().as_bytes())?;
    print(&format!("its tape: {}\n", path.display()))?;
    Ok(FINDING)
}

/// One simulated run without faults, its output on standard output.
pub(crate) fn play(scenario: &Scenario, args: &PlayArgs) -> Result<bool, Problem> {
    let options = RunOptions {
        faults: Faults::None,
        machine: machine(&args.args, Faults::None)?,
        most_steps: u64::MAX,
        ..RunOptions::default()
    };
    let report =
        afunix_sim::run(&application(scenario, &args.args), &options, Choices::Seed(args.seed));
    let lines: String = report.printed.iter().map(|line| format!("{line}\n")).collect();
    print(&lines)?;
    match &report.outcome {
        Outcome::Failed(failure) if is_wrong_use(failure) => {
            Err(Problem::usage(format!("{}: it was used wrongly", scenario.name)))
        }
        Outcome::Failed(_) => {
            print(&explain::failure(&report))?;
            Ok(FINDING)
        }
        _ => Ok(FINE),
    }
}

/// The scenario's `main` as the simulator starts it.
pub(crate) fn application(scenario: &Scenario, args: &[String]) -> App {
    let (main, args) = (scenario.sim, args.to_vec());
    app(move |host| main(host, &args))
}

/// The machine that a run begins with, if the arguments name directories: they are loaded.
pub(crate) fn machine(args: &[String], faults: Faults) -> Result<Option<Arc<Machine>>, Problem> {
    if !args.iter().any(|arg| Path::new(arg).is_dir()) {
        return Ok(None);
    }
    let profile = if faults == Faults::Posix { Profile::posix() } else { Profile::default() };
    let mut machine = Machine::new(profile);
    load_arguments(&mut machine, args)?;
    Ok(Some(Arc::new(machine)))
}
