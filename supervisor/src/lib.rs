//! Unmodified programs with their Unix domain sockets on the model.
//!
//! [`run`] starts a program under a seccomp filter that hands the calls which may touch a socket
//! to a *supervisor* ([seccomp_unotify(2)]). For each AF_UNIX socket the program holds a
//! *placeholder*, a descriptor like any other; what is called on it the supervisor answers out of
//! [`afunix_model::sockets`]. All else goes to the kernel untouched.
//!
//! [seccomp_unotify(2)]: https://man7.org/linux/man-pages/man2/seccomp_unotify.2.html

mod caller;
mod calls;
mod faults;
mod filter;
mod flight;
mod observe;
mod outside;
mod placeholder;
mod report;
mod supervisor;
mod sys;

use std::ffi::{CString, OsString};
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use afunix::Errno;

pub use faults::Faults;
pub use observe::Sink;
pub use report::Report;
pub use sys::launch::Ended;

/// What a run is to do beside answering calls.
#[derive(Default)]
pub struct Options {
    /// Who is told of events.
    pub events: Option<Sink>,
    /// Whether [`Report::picture`] is wanted.
    pub picture: bool,
    /// Which faults may strike.
    pub faults: Faults,
    /// Where their chance comes from.
    pub seed: u64,
    /// Paths at which real sockets may be reached.
    pub allow: Vec<PathBuf>,
}

/// What came of a program.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How its first process ended.
    pub ended: Ended,
    /// What was seen of it.
    pub report: Report,
}

/// Why a program was not run, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The program cannot be executed: the error of execve(2).
    Program(Errno),
    /// A word of the command line holds a NUL.
    Nul,
    /// The kernel lacks something, or it is not permitted: what, and the error.
    System(&'static str, Errno),
    /// The guardian was killed before the program had ended.
    Guardian,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Program(errno) => f.write_str(errno.text()),
            Problem::Nul => f.write_str("a word of the command line holds a NUL"),
            Problem::System("seccomp", Errno::BUSY) => {
                f.write_str("the program runs under another supervisor already (seccomp: EBUSY)")
            }
            Problem::System("seccomp", errno) => {
                write!(f, "no filter that waits killable, as Linux 5.19 has it (seccomp: {errno})")
            }
            Problem::System(what, errno) => write!(f, "{what}: {errno}"),
            Problem::Guardian => f.write_str("the process that guards the program was killed"),
        }
    }
}

impl std::error::Error for Problem {}

/// Runs a program and all that it starts until the last of it has ended.
///
/// This process must have one thread and no children: it becomes the reaper of the program's
/// processes, and gives its standard input and output away.
///
/// # Errors
/// [`Problem`]; the program did not run, or was killed.
pub fn run(program: Vec<OsString>, options: Options) -> Result<Outcome, Problem> {
    let words: Result<Vec<CString>, _> =
        program.into_iter().map(|word| CString::new(word.into_vec())).collect();
    let words = words.map_err(|_| Problem::Nul)?;
    if words.is_empty() {
        return Err(Problem::Program(Errno::NOENT));
    }
    let started =
        sys::launch::start(&words, &filter::program()).map_err(|failure| match failure {
            sys::launch::Failure::Filter(errno) => Problem::System("seccomp", errno),
            sys::launch::Failure::System(what, errno) => Problem::System(what, errno),
        })?;
    let supervisor = match supervisor::Supervisor::new(started, options) {
        Ok(supervisor) => supervisor,
        Err(errno) => {
            sys::launch::kill_descendants();
            return Err(Problem::System("the supervisor's descriptors", errno));
        }
    };
    let (started, report) = supervisor.run();
    if let Some(errno) = started.exec_error() {
        return Err(Problem::Program(errno));
    }
    match started.ended() {
        Some(ended) => Ok(Outcome { ended, report }),
        None => Err(Problem::Guardian),
    }
}

/// Ends this process as the program ended: with its status, or by its signal.
pub fn end_as(ended: Ended) -> i32 {
    match ended {
        Ended::Exited(status) => status,
        Ended::Killed(signal) => {
            sys::process::die_of(signal);
            128 + signal
        }
    }
}
