//! What a run tells: how it ended, and if it failed, why.

use std::fmt;
use std::time::Duration;

use afunix::Exit;
use afunix::snapshot::Snapshot;
use afunix::trace::Event;
use serde::Serialize;

use crate::critical::Turn;
use crate::faults::FaultCounts;
use crate::tape::Tape;

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The first process did not exit with status 0.
    Exit,
    /// A process panicked.
    Panic,
    /// A property does not hold.
    Property,
    /// One of the checks that need not be asked for.
    Check,
    /// No thread can ever go on.
    Deadlock,
    /// The limit of steps was reached.
    Livelock,
    /// The run made no call: it has shown nothing.
    Idle,
    /// The run does not follow its tape.
    Diverged,
    /// The same tape gave another run: the program uses something beside its host, such as the
    /// clock.
    Nondeterministic,
}

impl FailureKind {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            FailureKind::Exit => "exit",
            FailureKind::Panic => "panic",
            FailureKind::Property => "property",
            FailureKind::Check => "check",
            FailureKind::Deadlock => "deadlock",
            FailureKind::Livelock => "livelock",
            FailureKind::Idle => "idle",
            FailureKind::Diverged => "diverged",
            FailureKind::Nondeterministic => "nondeterministic",
        }
    }
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The kind.
    pub kind: FailureKind,
    /// One line: what went wrong.
    pub message: String,
    /// The same for failures that are taken for the same one, whatever the schedule.
    pub signature: String,
    /// For each thread that waits, in a line, what it does and what it waits for.
    pub waits: Vec<String>,
    /// The threads that wait for each other in a ring, by tid; empty if there is none.
    pub cycle: Vec<i32>,
    /// The same in a line: `client -> server -> client`.
    pub cycle_text: Option<String>,
    /// How the first process ended, if that is the failure.
    pub exit: Option<Exit>,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        let message = message.into();
        Failure {
            kind,
            signature: format!("{}: {message}", kind.name()),
            message,
            waits: Vec::new(),
            cycle: Vec::new(),
            cycle_text: None,
            exit: None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.message)?;
        for wait in &self.waits {
            write!(f, "\n  {wait}")?;
        }
        match &self.cycle_text {
            Some(cycle) => write!(f, "\n  cycle: {cycle}"),
            None => Ok(()),
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The first process exited with status 0.
    Passed,
    /// It failed.
    Failed(Failure),
    /// It was stopped at the step that was asked for.
    Stopped,
}

/// What a run tells.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Its choices: enough to make it again.
    pub tape: Tape,
    /// Steps made.
    pub steps: u64,
    /// Calls made.
    pub calls: u64,
    /// Virtual time that passed.
    pub time: Duration,
    /// Faults injected.
    pub faults: FaultCounts,
    /// Hash of the order of threads.
    pub schedule: u64,
    /// Hash of threads, calls and results: the same for the same run.
    pub trace: u64,
    /// Calls by name.
    pub coverage: Vec<(&'static str, u64)>,
    /// Lines that the scenario printed.
    pub printed: Vec<String>,
    /// What happened, if it was recorded.
    pub events: Vec<Event>,
    /// The machine on the way, at some 250 moments at most, each with how many events came before.
    pub snapshots: Vec<(usize, Snapshot)>,
    /// The machine at the end, or at the failure.
    pub snapshot: Snapshot,
    /// Whose turn it was, in order, if it was recorded.
    pub(crate) turns: Vec<Turn>,
    /// Process and thread of each slot.
    pub(crate) ids: Vec<(u32, u32)>,
    /// Names of the threads, by slot.
    pub(crate) names: Vec<String>,
}

impl Report {
    /// The failure, if it failed.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.outcome {
            Outcome::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// Whether it passed.
    pub fn passed(&self) -> bool {
        self.outcome == Outcome::Passed
    }
}
