//! `afunix explore`: many runs of a scenario, and the first failure, shrunk, written and told.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use afunix_sim::{
    Campaign, Check, Choices, Ended, ExploreOptions, Found, Plan, Report, RunOptions, explain,
    explore,
};
use serde_json::{Value, json};

use crate::args::{ExploreArgs, Faults, SimThreads, Strategy};
use crate::output::{FINDING, FINE, Problem, print, write_file};
use crate::progress::{Progress, stop_flag};
use crate::replay::{application, is_wrong_use, machine};
use crate::scenarios::{Scenario, find};

/// Runs of a campaign, unless something else is said.
const RUNS: u64 = 10_000;
/// Seeds that are tried for a run that passes.
const PASSING_SEEDS: u64 = 64;

pub(crate) fn run(args: &ExploreArgs, scenarios: &[Scenario]) -> Result<bool, Problem> {
    let scenario = find(scenarios, &args.scenario)?;
    check(args)?;
    let started = Instant::now();
    let campaign = search(args, scenario)?;
    let took = started.elapsed().as_secs_f64();
    if let Some(found) = &campaign.failure {
        wrong_use(scenario, found)?;
    }
    let files = match &campaign.failure {
        Some(found) => write_all(&args.out, scenario, &args.args, found)?,
        None => Vec::new(),
    };
    let rate = campaign.runs as f64 / took;
    eprintln!("{} runs in {took:.1} s: {rate:.0} runs a second", campaign.runs);
    if args.json {
        print(&format!("{}\n", as_json(scenario, &campaign, &files)))?;
    } else {
        print(&as_text(args, scenario, &campaign, &files))?;
    }
    Ok(if campaign.failure.is_some() { FINDING } else { FINE })
}

/// What does not go together.
fn check(args: &ExploreArgs) -> Result<(), Problem> {
    let is_exhaustive = args.strategy == Strategy::Exhaustive;
    if args.preemptions.is_some() && !is_exhaustive {
        return Err(Problem::usage("--preemptions is of --strategy exhaustive only"));
    }
    if is_exhaustive && !matches!(args.faults, None | Some(Faults::None)) {
        return Err(Problem::usage(
            "an exhaustive search is of schedules: faults are drawn at random; use --faults none",
        ));
    }
    Ok(())
}

fn plan(args: &ExploreArgs) -> Plan {
    match (args.strategy, args.preemptions) {
        (Strategy::Random, _) => Plan::Random,
        (Strategy::Pct, _) => Plan::Pct { depth: args.depth },
        (Strategy::Exhaustive, None) => Plan::Exhaustive { strict: false },
        (Strategy::Exhaustive, Some(preemptions)) => Plan::Bounded { preemptions },
    }
}

fn search(args: &ExploreArgs, scenario: &Scenario) -> Result<Campaign, Problem> {
    let faults = match args.faults {
        None if args.strategy == Strategy::Exhaustive => afunix_sim::Faults::None,
        Some(Faults::None) => afunix_sim::Faults::None,
        Some(Faults::Io) => afunix_sim::Faults::Io,
        Some(Faults::Crash) => afunix_sim::Faults::Crash,
        Some(Faults::All) => afunix_sim::Faults::All,
        Some(Faults::Posix) => afunix_sim::Faults::Posix,
        None | Some(Faults::Portfolio) => afunix_sim::Faults::Portfolio,
    };
    let run = RunOptions {
        faults,
        os_threads: args.threads == SimThreads::Os,
        checks: Check::ALL.into_iter().filter(|check| !args.allow.contains(check)).collect(),
        machine: machine(&args.args, faults)?,
        ..RunOptions::default()
    };
    let whole = match (args.time, args.runs) {
        (Some(_), _) => None,
        (None, None) if args.strategy == Strategy::Exhaustive => None,
        (None, runs) => Some(runs.unwrap_or(RUNS)),
    };
    let bar = Arc::new(Mutex::new(Progress::new("runs", whole)));
    let shown = Arc::clone(&bar);
    let options = ExploreOptions {
        run,
        plan: plan(args),
        runs: whole.unwrap_or(u64::MAX),
        time: args.time,
        seed: args.seed,
        jobs: args.jobs as usize,
        stop: stop_flag()?,
        progress: Some(Arc::new(move |now| {
            let message = match now.estimate {
                Some(estimate) => format!("of about {estimate}"),
                None => format!("{} distinct schedules", now.schedules),
            };
            shown.lock().unwrap_or_else(PoisonError::into_inner).set(now.runs, &message);
        })),
        ..ExploreOptions::default()
    };
    Ok(explore(&application(scenario, &args.args), &options))
}

/// A scenario that says it was used wrongly (exit status 2) has not failed.
fn wrong_use(scenario: &Scenario, found: &Found) -> Result<(), Problem> {
    if !is_wrong_use(&found.failure) {
        return Ok(());
    }
    let said = found.first.printed.join("; ");
    let said = crate::output::escape(&said);
    Err(Problem::usage(if said.is_empty() {
        format!("{}: it was used wrongly", scenario.name)
    } else {
        said
    }))
}

/// Writes the tape, the page, the trace, the ladder and the graph of a failure.
fn write_all(
    directory: &Path,
    scenario: &Scenario,
    args: &[String],
    found: &Found,
) -> Result<Vec<PathBuf>, Problem> {
    let passing = passing(scenario, args)?;
    std::fs::create_dir_all(directory).map_err(|error| {
        Problem::environment(format!("cannot make the directory {directory:?}: {error}"))
    })?;
    let report = &found.shrunk.report;
    let mut tape = report.tape.clone();
    scenario.name.clone_into(&mut tape.scenario);
    tape.args = args.to_vec();
    let file = |ending: &str| directory.join(format!("{}-{}{ending}", scenario.name, found.run));
    let endings = [".tape", ".html", ".trace.jsonl", ".ladder.txt", ".svg"];
    let paths = endings.map(file);
    let (whole, _) = explain::ladders(&report.events);
    write_file(&paths[0], tape.to_text().as_bytes())?;
    let page = crate::trace::page_of_failure(scenario.name, report, passing.as_ref());
    write_file(&paths[1], page.as_bytes())?;
    write_file(&paths[2], &crate::trace::of_report(scenario.name, report))?;
    write_file(&paths[3], format!("{whole}\n{}", explain::failure(report)).as_bytes())?;
    write_file(&paths[4], afunix_viz::svg(&report.snapshot).as_bytes())?;
    Ok(paths.to_vec())
}

/// A run without faults that passes, to be looked at beside one that fails; if one is found soon.
pub(crate) fn passing(scenario: &Scenario, args: &[String]) -> Result<Option<Report>, Problem> {
    let options = RunOptions {
        faults: afunix_sim::Faults::None,
        machine: machine(args, afunix_sim::Faults::None)?,
        ..RunOptions::default()
    };
    let app = application(scenario, args);
    let passes = |seed: &u64| afunix_sim::run(&app, &options, Choices::Seed(*seed)).passed();
    let Some(seed) = (0..PASSING_SEEDS).find(passes) else { return Ok(None) };
    let recorded = RunOptions { record: true, ..options };
    Ok(Some(afunix_sim::run(&app, &recorded, Choices::Seed(seed))))
}

fn as_text(
    args: &ExploreArgs,
    scenario: &Scenario,
    campaign: &Campaign,
    files: &[PathBuf],
) -> String {
    let mut text = String::new();
    let name = scenario.name;
    let Some(found) = &campaign.failure else {
        let is_complete = campaign.search.as_ref().is_some_and(|search| search.complete);
        let how = match campaign.ended {
            Ended::Complete if is_complete => "proved: no failure",
            Ended::Stopped => "stopped; no failure so far",
            _ => "no failure",
        };
        let _ = match campaign.search {
            Some(_) => writeln!(text, "{name}: {how} in {} runs", campaign.runs),
            None => writeln!(text, "{name}: {how} in {} runs, seed {}", campaign.runs, args.seed),
        };
        text.push_str(&explain::campaign(campaign));
        return text;
    };
    let shrunk = &found.shrunk;
    let of = match campaign.search {
        Some(_) => "the search".to_owned(),
        None => format!("seed {}", args.seed),
    };
    let _ = writeln!(
        text,
        "{name}: run {} of {of} fails; shrunk from {} steps to {}\n",
        found.run, found.first.steps, shrunk.report.steps
    );
    let (_, ladder) = explain::ladders(&shrunk.report.events);
    text.push_str(&ladder);
    text.push('\n');
    text.push_str(&explain::failure(&shrunk.report));
    let faults = explain::faults(&shrunk.report.events);
    if !faults.is_empty() {
        let _ = writeln!(text, "faults that it takes: {}", faults.join("; "));
    }
    text.push_str(&explain::decides(found));
    text.push('\n');
    text.push_str(&explain::campaign(campaign));
    if let [tape, page, others @ ..] = files {
        let others: Vec<String> = others.iter().map(|path| path.display().to_string()).collect();
        let _ = writeln!(text, "replay it: afunix replay {}", tape.display());
        let _ = writeln!(text, "look at it: {}", page.display());
        let _ = writeln!(text, "see also: {}", others.join(", "));
    }
    text
}

fn as_json(scenario: &Scenario, campaign: &Campaign, files: &[PathBuf]) -> Value {
    let failure = campaign.failure.as_ref().map(|found| {
        let report = &found.shrunk.report;
        json!({
            "run": found.run,
            "run_seed": found.seed,
            "kind": found.failure.kind,
            "signature": found.failure.signature,
            "message": found.failure.message,
            "waits": report.failure().map(|failure| &failure.waits),
            "cycle": report.failure().and_then(|failure| failure.cycle_text.as_ref()),
            "steps": report.steps,
            "steps_before_shrinking": found.first.steps,
            "runs_to_shrink": found.shrunk.tried,
            "faults": explain::faults(&report.events),
            "printed": report.printed,
            "files": files,
        })
    });
    json!({
        "scenario": scenario.name,
        "seed": campaign.seed,
        "strategy": campaign.plan,
        "pct": campaign.pct,
        "search": campaign.search,
        "ended": campaign.ended,
        "runs": campaign.runs,
        "distinct_schedules": campaign.schedules,
        "steps": campaign.steps,
        "calls": campaign.calls,
        "runs_made_twice": campaign.checked,
        "faults": campaign.faults,
        "crash_points": campaign.crash_points,
        "coverage": campaign.coverage,
        "failure": failure,
    })
}
