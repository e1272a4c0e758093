//! The command line, as a library: a program with scenarios of its own gets the same commands.
//!
//! ```no_run
//! # struct Mine;
//! # impl afunix::Application for Mine {
//! #     const NAME: &'static str = "mine";
//! #     const ABOUT: &'static str = "a daemon of my own";
//! #     fn main<H: afunix::Host>(_: &H, _: &[String]) -> i32 { 0 }
//! # }
//! use afunix_cli::scenarios::Scenario;
//!
//! fn main() -> std::process::ExitCode {
//!     afunix_cli::main_with(vec![Scenario::of::<Mine>()])
//! }
//! ```
//!
//! Exit codes: 0 fine, 1 a finding, 2 wrong use, 3 the environment lacks something.

mod args;
mod check;
mod diff;
mod explore;
mod follow;
mod graph;
mod list;
mod manual;
mod output;
mod play;
mod progress;
mod replay;
mod report;
mod run;
pub mod scenarios;
mod trace;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::output::Problem;
use crate::scenarios::Scenario;

/// Runs the command line over these scenarios.
pub fn main_with(scenarios: Vec<Scenario>) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // --help and --version are no mistakes; they say so by their own exit code, 0.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    let result = match &cli.command {
        Command::List(args) => list::run(args, &scenarios),
        Command::Explore(args) => explore::run(args, &scenarios),
        Command::Replay(args) => replay::run(args, &scenarios),
        Command::Play(args) => play::run(args, &scenarios),
        Command::Run(args) => return run::run(args),
        Command::Graph(args) => graph::run(args),
        Command::Trace(args) => trace::run(args),
        Command::Check(args) => check::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Man(args) => manual::man(args),
        Command::Completions(args) => manual::completions(args),
    };
    match result {
        Ok(found) => ExitCode::from(if found { 1 } else { 0 }),
        Err(Problem { code, text }) => {
            eprintln!("afunix: {text}");
            ExitCode::from(code)
        }
    }
}
