//! A run in text: what went wrong, who waits for whom, what was printed, and the ladder.

use std::fmt::Write;

use afunix::trace::{Event, EventKind};
use afunix_sim::{Outcome, Report};
use afunix_viz::{LadderOptions, describe_cycle, ladder, table, wait_cycle};

use crate::output::escape;

/// A ladder with up to so many rows is shown whole on a terminal; the file has them all.
const WHOLE: usize = 70;
/// Rows shown at the beginning and at the end of a longer one.
const ENDS: usize = 16;
/// Rows shown on each side of a fault.
const AROUND: usize = 10;

/// What a failed run shows, without its ladder.
pub(crate) fn failure(report: &Report) -> String {
    let mut text = String::new();
    let Some(failure) = report.failure() else { return text };
    let _ = writeln!(text, "{}: {}", failure.kind.name(), escape(&failure.message));
    match wait_cycle(&report.snapshot) {
        Some(cycle) => {
            let _ = writeln!(text, "{}", describe_cycle(&report.snapshot, &cycle).trim_end());
        }
        None => {
            for wait in &failure.waits {
                let _ = writeln!(text, "  {}", escape(wait));
            }
        }
    }
    printed(&mut text, report);
    text
}

fn printed(text: &mut String, report: &Report) {
    if !report.printed.is_empty() {
        let _ = writeln!(text, "what it printed:");
        for line in &report.printed {
            let _ = writeln!(text, "  {}", escape(line));
        }
    }
}

/// The ladder of a recorded run: whole, and cut for a terminal to its ends and its faults.
pub(crate) fn ladders(events: &[Event]) -> (String, String) {
    let whole = ladder(events, &LadderOptions::default());
    let rows: Vec<&str> = whole.lines().collect();
    if rows.len() <= WHOLE {
        return (whole.clone(), whole);
    }
    let mut keep = vec![false; rows.len()];
    keep[..ENDS].fill(true);
    keep[rows.len() - ENDS..].fill(true);
    for (at, row) in rows.iter().enumerate() {
        if row.contains("  fault: ") {
            keep[at.saturating_sub(AROUND)..(at + AROUND + 1).min(rows.len())].fill(true);
        }
    }
    let mut short = String::new();
    let mut left_out = 0;
    for (row, keep) in rows.iter().zip(keep) {
        if !keep {
            left_out += 1;
            continue;
        }
        if left_out > 0 {
            let _ = writeln!(short, "  ... {left_out} rows left out ...");
            left_out = 0;
        }
        let _ = writeln!(short, "{row}");
    }
    (whole, short)
}

/// The faults of a run in words, in the order in which they struck.
pub(crate) fn faults(events: &[Event]) -> Vec<String> {
    let of = |event: &Event| match &event.kind {
        EventKind::Fault { what } => Some(escape(what)),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

/// What a replay shows.
pub(crate) fn replay(report: &Report, until: Option<u64>) -> String {
    let mut text = String::new();
    let (whole, _) = ladders(&report.events);
    text.push_str(&whole);
    text.push('\n');
    match &report.outcome {
        Outcome::Passed => {
            printed(&mut text, report);
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
