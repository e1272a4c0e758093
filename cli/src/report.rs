//! A replayed run in text.

use std::fmt::Write;

use afunix_sim::explain::{failure, ladders, printed};
use afunix_sim::{Outcome, Report};
use afunix_viz::table;

/// What a replay shows.
pub(crate) fn replay(report: &Report, until: Option<u64>) -> String {
    let mut text = String::new();
    let (whole, _) = ladders(&report.events);
    text.push_str(&whole);
    text.push('\n');
    match &report.outcome {
        Outcome::Passed => {
            text.push_str(&printed(report));
            let _ = writeln!(text, "passed: the tape shows no failure");
        }
        Outcome::Failed(_) => text.push_str(&failure(report)),
        Outcome::Stopped => {
            let _ =
                writeln!(text, "stopped before step {}; the sockets are:\n", until.unwrap_or(0));
            text.push_str(&table(&report.snapshot));
        }
    }
    let _ = writeln!(
        text,
        "{} steps, {} calls, virtual time {:?}",
        report.steps, report.calls, report.time
    );
    text
}
