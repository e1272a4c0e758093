//! `afunix replay`, and one simulated run for `afunix play`.

use std::sync::Arc;

use afunix::Exit;
use afunix_model::{Machine, Profile};
use afunix_sim::{App, Choices, Failure, Faults, Outcome, RunOptions, Tape, app, explain};

use crate::args::{PlayArgs, ReplayArgs};
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
    let options = RunOptions { machine: Some(machine(&args.args)?), ..RunOptions::default() };
    let report = afunix_sim::replay(&application(scenario, given), &options, &tape, args.until);
    print(&report::replay(&report, args.until))?;
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

/// One simulated run without faults, its output on standard output.
pub(crate) fn play(scenario: &Scenario, args: &PlayArgs) -> Result<bool, Problem> {
    let options = RunOptions {
        faults: Faults::None,
        machine: Some(machine(&args.args)?),
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

/// The machine that a run begins with: the directories that the arguments name are loaded.
pub(crate) fn machine(args: &[String]) -> Result<Arc<Machine>, Problem> {
    let mut machine = Machine::new(Profile::default());
    load_arguments(&mut machine, args)?;
    Ok(Arc::new(machine))
}
