//! What happened in a log, as far as it is explained, for pictures.

use std::time::Duration;

use afunix::snapshot::Snapshot;
use afunix::trace::Event;
use afunix::trace::file::{End, Header, Source, Trace};

use crate::log::{Line, What};
use crate::replay::{State, Told};
use crate::report::Report;

/// What was told at each line that is taken, and the picture of the busiest moment.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: Vec<Entry>,
    /// After how many entries, and the line's index.
    busiest: Option<(usize, usize, Snapshot)>,
}

#[derive(Debug)]
struct Entry {
    index: usize,
    at: Duration,
    told: Vec<Told>,
}

impl Journal {
    /// A line was taken.
    pub(crate) fn line(&mut self, state: &mut State, index: usize, line: &Line) {
        let told = state.take_told();
        if told.is_empty() {
            return;
        }
        self.entries.push(Entry { index, at: line.at, told });
        if !matches!(line.what, What::Whole(_) | What::End(_)) {
            return;
        }
        let (after, most) = match &self.busiest {
            Some((after, _, picture)) => (*after, picture.sockets.len()),
            None => (0, 0),
        };
        // Looking takes the longer the more there are.
        if self.entries.len() < after + most / 8 {
            return;
        }
        let picture = state.picture();
        if picture.sockets.len() >= most {
            self.busiest = Some((self.entries.len(), index, picture));
        }
    }

    /// The lines from this one on are taken anew.
    pub(crate) fn take_back(&mut self, index: usize) {
        while self.entries.last().is_some_and(|entry| entry.index >= index) {
            self.entries.pop();
        }
        self.busiest.take_if(|(_, line, _)| *line >= index);
    }

    /// The whole as a trace.
    pub(crate) fn into_trace(self, subject: &str, report: &Report) -> Trace {
        let mut events = Vec::new();
        let mut before = None;
        for (number, Entry { at, told, .. }) in self.entries.into_iter().enumerate() {
            let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
            for Told { process, thread, kind } in told {
                let seq = events.len() as u64;
                events.push(Event { seq, at, process, thread, kind });
            }
            if self.busiest.as_ref().is_some_and(|(after, _, _)| *after == number + 1) {
                before = Some(events.len());
            }
        }
        let unexplained = report.divergence.as_ref().map(|divergence| divergence.line);
        let outcome = match unexplained {
            None => "explained".to_owned(),
            Some(line) => format!("line {line} is not explained"),
        };
        let cut = unexplained.map(|line| {
            format!("the log is drawn up to line {line}, which the model does not explain")
        });
        let snapshots = before.zip(self.busiest).map(|(before, (_, _, mut picture))| {
            picture.notes.clone_from(&report.notes);
            (before, picture)
        });
        let end = Some(End { events: events.len() as u64, outcome });
        let header = Header::new(Source::Emulation, subject);
        Trace { header, events, snapshots: snapshots.into_iter().collect(), end, cut }
    }
}
