//! `afunix diff`: random programs of calls on the model and on this machine's kernel, in lock-step.

use std::sync::atomic::Ordering;
use std::time::Instant;

use afunix::Host;
use afunix_kernel_backend::Kernel;
use afunix_model::profile::{Planted, Profile};
use afunix_tests::differential::{self, Failure, Missing, Options, Summary, WAITING_ONE_IN};
use serde_json::{Value, json};

use crate::args::DiffArgs;
use crate::output::{FINDING, FINE, Problem, print};
use crate::progress::{Progress, stop_flag};

pub(crate) fn run(args: &DiffArgs) -> Result<bool, Problem> {
    let mut profile = Profile::default();
    if let Some(name) = &args.planted {
        profile.planted = planted(name)?;
    }
    let seed = args.seed.unwrap_or_else(|| Kernel.random(1 << 32));
    let stop = stop_flag()?;
    eprintln!("seed {seed}: {} calls on the model and on the kernel", args.steps);
    if differential::is_taken() {
        eprintln!("waits for another run on this system, whose descriptors in flight would count");
    }
    let mut progress = Progress::new("calls", Some(args.steps));
    let started = Instant::now();
    let jobs = args.jobs as usize;
    let options = Options {
        steps: args.steps,
        seed,
        profile,
        jobs,
        waiting_one_in: WAITING_ONE_IN,
        stop: &stop,
    };
    let result = differential::run(&options, &mut |now| {
        let message =
            if now.shrinking > 0 { format!("shrinking: {}", now.shrinking) } else { String::new() };
        progress.set(now.steps, &message);
    });
    drop(progress);
    match result {
        Ok(summary) => {
            let rate = summary.steps as f64 / started.elapsed().as_secs_f64();
            eprintln!("{rate:.0} calls a second");
            match args.json {
                true => print(&format!("{}\n", as_json(&summary, seed)))?,
                false => print(&format!("no divergence: seed {seed}, {summary}"))?,
            }
            if stop.load(Ordering::Relaxed) {
                eprintln!("stopped by Ctrl-C");
            }
            Ok(FINE)
        }
        Err(failure) => match *failure {
            Failure::Diverged(divergence) => {
                print(&divergence.to_string())?;
                Ok(FINDING)
            }
            unable => Err(Problem::environment(unable)),
        },
    }
}

/// The planted bug of a name.
fn planted(name: &str) -> Result<Planted, Problem> {
    Planted::from_name(&name.to_ascii_uppercase().replace('-', "_")).ok_or_else(|| {
        let all = Planted::all();
        let names: Vec<String> =
            all.iter_names().map(|(name, _)| name.to_lowercase().replace('_', "-")).collect();
        Problem::usage(format!("no bug {name:?} can be planted; there are: {}", names.join(", ")))
    })
}

/// `{"seed":..,"steps":..,"programs":..,"waiting":..,"deviations":[..],"met":[{"call","state",
/// "outcome","count"}],"missing":[{"call","outcome","rule"}]}`
fn as_json(summary: &Summary, seed: u64) -> Value {
    let met = summary.coverage.all().map(|(call, state, outcome, count)| {
        json!({ "call": call, "state": state, "outcome": outcome, "count": count })
    });
    let missing = summary.coverage.missing().into_iter();
    let missing = missing.map(
        |Missing { call, outcome, rule }| json!({ "call": call, "outcome": outcome, "rule": rule }),
    );
    json!({
        "seed": seed,
        "steps": summary.steps,
        "programs": summary.programs,
        "waiting": summary.waiting,
        "deviations": summary.deviations,
        "met": met.collect::<Vec<_>>(),
        "missing": missing.collect::<Vec<_>>(),
    })
}
