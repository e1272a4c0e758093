//! What a run is made with.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use afunix::fault::Rule;
use afunix_model::{Machine, Profile};

use crate::checks::Check;
use crate::faults::Faults;

/// What a run is made with, beside its choices.
#[derive(Clone)]
pub struct RunOptions {
    /// Which faults it may have.
    pub faults: Faults,
    /// Processes killed in a run at most, where the faults kill at all.
    pub most_crashes: u32,
    /// Steps after which a run is taken for one that never ends.
    pub most_steps: u64,
    /// Whether a step takes a microsecond of virtual time. Else time passes only when no thread can
    /// go on: what exhaustive search needs.
    pub steps_take_time: bool,
    /// Whether a process whose main thread panics, or a panic that nobody joins, is a failure. Else
    /// such a process only exits with status 101.
    pub panics_fail: bool,
    /// What is looked for beside deadlocks, panics and bad exits.
    pub checks: BTreeSet<Check>,
    /// Whether each simulated thread is an OS thread of its own, for code that keeps something in
    /// thread-locals across calls. The runs are the same, only slower.
    pub os_threads: bool,
    /// Keeps what happens, for pictures. Costs much: for one run.
    pub record: bool,
    /// Rules of the user; the first that does not let a call pass decides. They run inside a step
    /// and must not use the simulation.
    pub rules: Vec<Arc<dyn Rule>>,
    /// The machine that every run begins with, its files loaded, say; `None`: a new one.
    pub machine: Option<Arc<Machine>>,
}

impl RunOptions {
    /// The machine that runs begin with a copy of: copying costs less than making one.
    pub(crate) fn first_machine(&self) -> Arc<Machine> {
        match &self.machine {
            Some(machine) => Arc::clone(machine),
            None if self.faults == Faults::Posix => Arc::new(Machine::new(Profile::posix())),
            None => Arc::new(Machine::new(Profile::default())),
        }
    }
}

impl Default for RunOptions {
    /// Faults by portfolio, one or two crashes, 1,000,000 steps, panics fail, no checks, no record.
    fn default() -> Self {
        RunOptions {
            faults: Faults::default(),
            most_crashes: 2,
            most_steps: 1_000_000,
            steps_take_time: true,
            panics_fail: true,
            checks: BTreeSet::new(),
            os_threads: false,
            record: false,
            rules: Vec::new(),
            machine: None,
        }
    }
}

impl fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions")
            .field("faults", &self.faults)
            .field("most_crashes", &self.most_crashes)
            .field("most_steps", &self.most_steps)
            .field("steps_take_time", &self.steps_take_time)
            .field("panics_fail", &self.panics_fail)
            .field("checks", &self.checks)
            .field("os_threads", &self.os_threads)
            .field("record", &self.record)
            .field("rules", &self.rules.len())
            .field("machine", &self.machine.is_some())
            .finish()
    }
}
