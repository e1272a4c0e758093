//! `afunix run`: an unmodified program with its sockets on the model.

use std::process::ExitCode;

use afunix_supervisor::Problem as Stopped;

use crate::args::RunArgs;
use crate::output::{Problem, escape};

/// Ends as the program ends.
pub(crate) fn run(args: &RunArgs) -> ExitCode {
    match supervise(args) {
        Ok(status) => ExitCode::from(status as u8),
        Err(Problem { code, text }) => {
            eprintln!("afunix: {text}");
            ExitCode::from(code)
        }
    }
}

fn supervise(args: &RunArgs) -> Result<i32, Problem> {
    let outcome = afunix_supervisor::run(args.program.clone()).map_err(|stopped| {
        let program = args.program.first().map(|word| word.to_string_lossy().into_owned());
        let program = escape(&program.unwrap_or_default());
        match stopped {
            Stopped::Program(_) | Stopped::Nul => {
                Problem::usage(format!("cannot run {program}: {stopped}"))
            }
            stopped => Problem::environment(stopped),
        }
    })?;
    if args.summary {
        eprint!("{}", outcome.report);
    }
    Ok(afunix_supervisor::end_as(outcome.ended))
}
