//! The log of ShiViz: two lines for each event, with vector clocks.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use afunix::trace::{Event, EventKind};

use crate::flow::{event_words, flows};

/// How ShiViz is to read the log.
const EXPRESSION: &str = r"(?<event>.*)\n(?<host>\S*) (?<clock>{.*})";

/// A trace as a log for ShiViz, which draws what happened before what, and compares two runs.
///
/// First the expression that reads the rest and an empty line, as ShiViz wants a file; then two
/// lines for each event: its words; its thread and a vector clock. What happened before what
/// follows from bytes that were sent and taken, and from who woke whom; of the kernel's traces,
/// which have neither, only the order within each thread is known.
pub fn shiviz(events: &[Event]) -> String {
    let mut clocks: BTreeMap<u32, Clock> = BTreeMap::new();
    let mut names: BTreeMap<u32, String> = BTreeMap::new();
    // The clocks of sendings, for those who take.
    let mut sent: BTreeMap<usize, Clock> = BTreeMap::new();
    let mut senders: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for flow in flows(events) {
        if let Some(to) = flow.to {
            senders.entry(to).or_default().push(flow.from);
        }
    }
    let mut out = format!("{EXPRESSION}\n\n");
    for (index, event) in events.iter().enumerate() {
        let thread = event.thread;
        if let EventKind::Started { name } = &event.kind {
            names.entry(thread).or_insert_with(|| host(name, thread));
        }
        let mut clock = clocks.remove(&thread).unwrap_or_default();
        if let EventKind::Woken { by: Some(by) } = event.kind {
            clock.merge(clocks.get(&by));
        }
        for from in senders.remove(&index).unwrap_or_default() {
            clock.merge(sent.get(&from));
        }
        *clock.0.entry(thread).or_default() += 1;
        let own = names.entry(thread).or_insert_with(|| host("thread", thread)).clone();
        let _ = write!(out, "{}\n{own} {{", event_words(&event.kind));
        for (at, (thread, count)) in clock.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(out, "{comma}\"{}\":{count}", names[thread]);
        }
        out.push_str("}\n");
        if matches!(event.kind, EventKind::Queued { .. }) {
            sent.insert(index, clock.clone());
        }
        clocks.insert(thread, clock);
    }
    out
}

/// By thread, how many of its events came before.
#[derive(Clone, Default)]
struct Clock(BTreeMap<u32, u64>);

impl Clock {
    fn merge(&mut self, other: Option<&Clock>) {
        for (thread, count) in other.into_iter().flat_map(|other| &other.0) {
            let own = self.0.entry(*thread).or_default();
            *own = (*own).max(*count);
        }
    }
}

/// A name without blanks, unlike any other.
fn host(name: &str, thread: u32) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "_.-/".contains(c) { c } else { '_' };
    format!("{}.{thread}", name.chars().map(plain).collect::<String>())
}
