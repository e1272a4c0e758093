//! `afunix check`: does the model explain what strace saw?

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::args::CheckArgs;
use crate::output::{FINDING, FINE, Problem, escape, escape_lines, print};

pub(crate) fn run(args: &CheckArgs) -> Result<bool, Problem> {
    let bytes = read(&args.log)?;
    let report = afunix_check::check(&bytes).map_err(|error| {
        Problem::usage(format!("{}: {error}", escape(&args.log.display().to_string())))
    })?;
    print(&escape_lines(&report.to_string()))?;
    Ok(if report.divergence.is_some() { FINDING } else { FINE })
}

/// A whole file; `-` is standard input.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let read = match path == Path::new("-") {
        true => io::stdin().lock().read_to_end(&mut bytes),
        false => File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)),
    };
    let shown = escape(&path.display().to_string());
    read.map_err(|error| Problem::usage(format!("{shown}: {error}")))?;
    Ok(bytes)
}
