//! What leaves the program: problems with their exit codes, and files that are whole or not there.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

/// Exit code of a finding.
pub(crate) const FINDING: bool = true;
/// Nothing was found.
pub(crate) const FINE: bool = false;

/// Why a command could not be carried out.
#[derive(Debug)]
pub(crate) struct Problem {
    /// 2: wrong use. 3: the environment lacks something.
    pub(crate) code: u8,
    /// One line: what was wrong and what to do.
    pub(crate) text: String,
}

impl Problem {
    /// The user asked for something that cannot be.
    pub(crate) fn usage(text: impl Display) -> Self {
        Problem { code: 2, text: text.to_string() }
    }

    /// The machine refuses or lacks something.
    pub(crate) fn environment(text: impl Display) -> Self {
        Problem { code: 3, text: text.to_string() }
    }
}

/// Writes a file under a temporary name beside it and renames it: whole, or not there.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> Result<(), Problem> {
    let fail = |error: io::Error| Problem::environment(format!("cannot write {path:?}: {error}"));
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(fail)?;
    file.write_all(content).map_err(fail)?;
    // A temporary file is private; what a user asked for is as any file that they make.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666 & !umask());
    std::fs::set_permissions(file.path(), mode).map_err(fail)?;
    file.persist(path).map_err(|error| fail(error.error))?;
    Ok(())
}

/// The process's umask, which can only be read without changing it from /proc.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    mask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o022)
}

/// Prints to standard output; a reader that has gone away (`| head`) ends it quietly.
pub(crate) fn print(text: &str) -> Result<(), Problem> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Problem::environment(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes to a file if one is named, else prints.
pub(crate) fn deliver(path: Option<&Path>, text: &str) -> Result<(), Problem> {
    match path {
        Some(path) => write_file(path, text.as_bytes()),
        None => print(text),
    }
}

/// As [`escape`], line by line.
pub(crate) fn escape_lines(text: &str) -> String {
    text.lines().map(|line| escape(line) + "\n").collect()
}

/// Text from elsewhere, fit for a terminal: control characters are shown as escapes.
pub(crate) fn escape(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let plain = !c.is_control() || c == '\t';
            let escaped = (!plain).then(|| c.escape_default());
            escaped.into_iter().flatten().chain(plain.then_some(c))
        })
        .collect()
}
