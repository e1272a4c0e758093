//! `afunix diff`: random programs of calls on the model and on this machine's kernel, in lock-step.

use std::sync::atomic::Ordering;
use std::time::Instant;

use afunix::Host;
use afunix_kernel_backend::Kernel;
use afunix_model::profile::{Planted, Profile};
use afunix_tests::differential::{self, Failure, Options, Summary};

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
    let mut progress = Progress::new("calls", Some(args.steps));
    let started = Instant::now();
    let options = Options { steps: args.steps, seed, profile, stop: &stop };
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
            print(&describe(&summary, seed))?;
            if stop.load(Ordering::Relaxed) {
                print("stopped by Ctrl-C\n")?;
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

fn describe(summary: &Summary, seed: u64) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    let Summary { steps, programs, waiting, calls, errors } = summary;
    let _ = writeln!(
        text,
        "no divergence: {steps} calls in {programs} programs, seed {seed} \
         ({waiting} would have waited)"
    );
    let _ = writeln!(text, "\ncall            made  succeeded");
    for (call, (made, succeeded)) in calls {
        let _ = writeln!(text, "{call:13} {made:>6}  {succeeded:>9}");
    }
    let errors: Vec<String> =
        errors.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let _ = writeln!(text, "\nerrors met: {}", errors.join(", "));
    text
}
