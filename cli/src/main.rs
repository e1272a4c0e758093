//! The command `afunix`, with the scenarios of the examples.

use std::process::ExitCode;

fn main() -> ExitCode {
    afunix_cli::main_with(afunix_cli::scenarios::built_in())
}
