//! `afunix man` and `afunix completions`: what is generated from the command line itself, so that
//! it cannot say anything else.

use clap::CommandFactory;

use crate::args::{Cli, CompletionsArgs, ManArgs};
use crate::output::{FINE, Problem, print};

/// `afunix.1`, and one page per command, `afunix-COMMAND.1`.
pub(crate) fn man(args: &ManArgs) -> Result<bool, Problem> {
    let directory = &args.directory;
    let fail = |error| Problem::environment(format!("cannot write into {directory:?}: {error}"));
    std::fs::create_dir_all(directory).map_err(fail)?;
    let cli = Cli::command().disable_help_subcommand(true);
    clap_mangen::generate_to(cli, directory).map_err(fail)?;
    Ok(FINE)
}

/// The shell's script, on standard output.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<bool, Problem> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "afunix", &mut text);
    print(&String::from_utf8_lossy(&text))?;
    Ok(FINE)
}
