//! What a run without divergence has to say.

use std::fmt;
use std::time::Duration;

use super::coverage::{Coverage, Missing, expected_count};
use super::program::Program;
use super::{Both, Counts, Found};

/// A run without divergence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Calls compared.
    pub steps: u64,
    /// Programs run.
    pub programs: u64,
    /// Steps left out because the call would have waited.
    pub waiting: u64,
    /// Time that the programs took in which no call waits, of all threads together.
    pub elapsed: Duration,
    /// What came of the programs whose calls wait.
    pub waits: Counts,
    /// What was met.
    pub coverage: Coverage,
    /// How this kernel differs from the profile, in words; none of it counts as a divergence.
    pub deviations: Vec<String>,
}

impl Summary {
    /// Counts a program that was run, up to the step at which the sides differ.
    pub(super) fn add(&mut self, program: &Program, both: &Both, found: Option<&Found>) {
        self.programs += 1;
        self.waiting += both.model.left_out;
        let end = found.map_or(program.steps.len(), |found| found.step);
        for (step, done) in program.steps[..end].iter().zip(&both.model.done) {
            let Some(done) = done else {
                self.waiting += 1;
                continue;
            };
            self.steps += 1;
            self.coverage.add(&step.request, done.before, &done.answer);
        }
    }

    /// Adds what another run has to say.
    pub(super) fn merge(&mut self, other: Summary) {
        self.steps += other.steps;
        self.programs += other.programs;
        self.waiting += other.waiting;
        self.elapsed += other.elapsed;
        self.waits.add(&other.waits);
        self.coverage.merge(other.coverage);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { steps, programs, waiting, elapsed, waits, coverage, deviations } = self;
        writeln!(f, "{steps} calls in {programs} programs ({waiting} would have waited)")?;
        let plain = steps - waits.steps;
        writeln!(f, "where none waits: {}", rate(plain, *elapsed))?;
        writeln!(f, "where calls wait: {}, {waits}", rate(waits.steps, waits.elapsed))?;
        for deviation in deviations {
            writeln!(f, "this kernel: {deviation}")?;
        }
        writeln!(f, "\ncall            made  states  outcomes")?;
        for (call, (made, states, outcomes)) in coverage.calls() {
            let outcomes: Vec<String> =
                outcomes.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
            writeln!(f, "{call:13} {made:>6}  {states:>6}  {}", outcomes.join(", "))?;
        }
        let (missing, expected) = (coverage.missing(), expected_count());
        let met = expected - missing.len();
        let combinations = coverage.combinations();
        writeln!(f, "\n{combinations} different (call, state, outcome)")?;
        writeln!(f, "expected outcomes met: {met} of {expected}")?;
        for Missing { call, outcome, rule } in missing {
            writeln!(f, "never met: {call} {outcome} ({rule})")?;
        }
        Ok(())
    }
}

/// Calls, and how many there were in a second of one thread.
fn rate(steps: u64, elapsed: Duration) -> String {
    let rate = steps as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
    format!("{steps} calls, {rate:.0} a second")
}
