//! A run and a campaign in plain text: what went wrong, who waits for whom, the ladder of calls, on
//! which two calls it hangs, and what was tried.

use std::fmt::Write;

use afunix::trace::{Event, EventKind};
use afunix_viz::{LadderOptions, describe_cycle, escape, ladder, table, wait_cycle};

use crate::critical::{CriticalPair, Place};
use crate::decisive::Decisive;
use crate::explore::{Campaign, Found, Promise};
use crate::report::Report;
use crate::strategy::Plan;

/// A ladder with up to so many rows is shown whole on a terminal; the file has them all.
const WHOLE: usize = 70;
/// Rows shown at the beginning and at the end of a longer one.
const ENDS: usize = 16;
/// Rows shown on each side of a fault.
const AROUND: usize = 10;

/// A failed run: what went wrong, and the ladder of its calls.
pub fn run(report: &Report) -> String {
    let (_, ladder) = ladders(&report.events);
    format!("{}\n{ladder}", failure(report))
}

/// What a failed run shows, without its ladder.
pub fn failure(report: &Report) -> String {
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
            if let Some(cycle) = &failure.cycle_text {
                let _ = writeln!(text, "  cycle: {}", escape(cycle));
            }
        }
    }
    text.push_str(&printed(report));
    text
}

/// What the processes of a run printed, in lines.
pub fn printed(report: &Report) -> String {
    let mut text = String::new();
    if !report.printed.is_empty() {
        let _ = writeln!(text, "what it printed:");
        for line in &report.printed {
            let _ = writeln!(text, "  {}", escape(line));
        }
    }
    text
}

/// The ladder of a recorded run: whole, and cut for a terminal to its ends and its faults.
pub fn ladders(events: &[Event]) -> (String, String) {
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
pub fn faults(events: &[Event]) -> Vec<String> {
    let of = |event: &Event| match &event.kind {
        EventKind::Fault { what } => Some(escape(what)),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

/// Two calls on whose order it hangs, and the sockets between them.
pub fn critical(pair: &CriticalPair) -> String {
    let mut text = String::from(
        "critical pair: if the second of these calls comes before the first, the run passes (that \
         is when it fails; what is wrong may be what one of the two threads does then)\n",
    );
    for place in [&pair.first, &pair.second] {
        text.push_str(&line(place));
    }
    let _ = match pair.second.step {
        Some(step) => writeln!(text, "between them, before step {step}, the sockets are:"),
        None => writeln!(text, "the run failed before the second; there the sockets are:"),
    };
    text.push_str(&table(&pair.between));
    text
}

/// What decides about a run that fails: two calls by their order, or what else.
pub fn decides(found: &Found) -> String {
    match (&found.critical, &found.decisive) {
        (Some(pair), _) => critical(pair),
        (None, Some(decisive)) => otherwise(decisive),
        (None, None) => String::new(),
    }
}

/// Where a call stands: in the ladder, and for `--until`.
fn line(Place { thread, call, step, event }: &Place) -> String {
    let [event, step] = [event, step].map(|it| it.map_or("-".to_owned(), |it| it.to_string()));
    format!("  event {event:>4}  step {step:>3}  {}: {}\n", escape(thread), escape(call))
}

fn otherwise(decisive: &Decisive) -> String {
    match decisive {
        Decisive::Fault { what, at } => {
            let mut text = format!(
                "what decides: a fault ({}); until it strikes the run can pass\n",
                escape(what)
            );
            text.push_str(&line(at));
            text
        }
        Decisive::Turn { taken, instead, before } => {
            let mut text = String::from(
                "what decides: until the first of these calls the run can pass, after it no way \
                 that was tried does;\nif the other thread goes first, it can\n",
            );
            text.push_str(&line(taken));
            text.push_str(&line(instead));
            let _ = writeln!(text, "before the first, the sockets are:");
            text.push_str(&table(before));
            text
        }
        Decisive::Nothing { tried } => format!(
            "what decides: nothing that is chosen; none of {tried} other orders, all without \
             faults, passes\n"
        ),
    }
}

/// What a campaign tried, in lines.
pub fn campaign(campaign: &Campaign) -> String {
    let mut text = String::new();
    let Campaign { runs, schedules, steps, calls, checked, .. } = campaign;
    let _ = writeln!(
        text,
        "{runs} runs, {schedules} distinct schedules, {steps} steps, {calls} calls; \
         {checked} runs made twice and found the same"
    );
    text.push_str(&strategy(campaign));
    let faults: Vec<String> = fault_counts(campaign)
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    let faults = if faults.is_empty() { "none".to_owned() } else { faults.join(", ") };
    let _ = writeln!(text, "faults: {faults}; distinct crash points: {}", campaign.crash_points);
    if campaign.properties.is_empty() {
        return text;
    }
    for met in &campaign.properties {
        let (modality, name) = (met.modality.name(), escape(&met.name));
        let _ = writeln!(text, "{modality} {name:?}: met in {} runs", met.runs);
    }
    let covered: Vec<String> =
        campaign.coverage.iter().map(|(call, times)| format!("{call} {times}")).collect();
    let _ = writeln!(text, "calls covered: {}", covered.join(", "));
    text
}

/// What the strategy says of its result, in lines.
fn strategy(campaign: &Campaign) -> String {
    let mut text = String::new();
    if let (Some(promise), Plan::Pct { depth }) = (&campaign.pct, campaign.plan) {
        let Promise { threads, points, most_points, probability } = promise;
        let _ = writeln!(
            text,
            "pct: a bug of depth {depth} shows in each run with a probability of at least \
             1/({threads} x {points}^{}) = {probability:.2e}",
            depth - 1
        );
        if most_points > points {
            let _ = writeln!(
                text,
                "pct: a run had {most_points} scheduling points, more than {points}: of such runs \
                 this does not hold"
            );
        }
    }
    let Some(search) = &campaign.search else { return text };
    let within = match campaign.plan {
        Plan::Bounded { preemptions } => format!(" with at most {preemptions} preemptions"),
        _ => String::new(),
    };
    let _ = match &search.incomplete_because {
        None => writeln!(text, "complete: every schedule{within} that makes a difference was run"),
        Some(because) => {
            writeln!(text, "not complete: {because}; about {} runs{within} in all", search.estimate)
        }
    };
    let _ = writeln!(
        text,
        "{} executions; given up: {} that were tried before, {} that cannot be",
        search.executions, search.asleep, search.impossible
    );
    text.push_str(
        "steps are told apart by what their calls touch: memory that threads share is not seen\n",
    );
    text
}

fn fault_counts(campaign: &Campaign) -> [(&'static str, u64); 9] {
    let faults = &campaign.faults;
    [
        ("interrupted calls", faults.interrupted),
        ("short reads", faults.short_reads),
        ("short writes", faults.short_writes),
        ("late", faults.late),
        ("crashes", faults.crashes),
        ("datagrams lost", faults.lost),
        ("overtaken", faults.overtaken),
        ("without room", faults.no_buffers),
        ("by rules", faults.rules),
    ]
}
