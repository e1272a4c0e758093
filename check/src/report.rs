//! What came of checking a log.

use std::fmt;

use crate::log::{Log, Record, What};
use crate::replay::State;

/// What had to be assumed, since the log does not show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Assumed {
    Inherited,
    Numbers,
    Names,
    Files,
    Clients,
    Shared,
    Children,
    Ring,
    Limits,
}

impl Assumed {
    fn in_words(self) -> &'static str {
        match self {
            Assumed::Inherited => "sockets that were open before the log begins",
            Assumed::Numbers => "descriptors that were open before the log begins",
            Assumed::Names => "calls to names of sockets outside the log",
            Assumed::Files => "files that were there, or not, before the log begins",
            Assumed::Clients => "clients outside the log",
            Assumed::Shared => "sockets that processes outside the log can reach",
            Assumed::Children => "processes that the log does not follow (strace -f does)",
            Assumed::Ring => "io_uring, whose calls no log shows",
            Assumed::Limits => "limits or capabilities of the machine",
        }
    }
}

/// Something that was assumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumption {
    /// What, in words.
    pub what: &'static str,
    /// How often.
    pub count: u64,
    /// The line of the first one.
    pub line: usize,
}

/// Where the model does otherwise than the log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The line where the call ends.
    pub line: usize,
    /// The call and its result, as the log has it.
    pub call: String,
    /// What the model does.
    pub model: String,
    /// The sockets that the call is about, as they are in the model.
    pub state: Vec<String>,
    /// Not all orders of overlapping calls were tried.
    pub bounded: bool,
}

impl Divergence {
    pub(crate) fn new(
        log: &Log,
        state: &State,
        record: &Record,
        line: usize,
        model: String,
    ) -> Self {
        let text = |number: usize| {
            let text = log.text.get(number.wrapping_sub(1)).map(Vec::as_slice).unwrap_or_default();
            String::from_utf8_lossy(text).trim().to_owned()
        };
        let call = match record.begin == line {
            true => text(line),
            false => format!("{} .. {}", text(record.begin), text(line)),
        };
        Divergence { line, call, model, state: state.describe(record), bounded: false }
    }
}

/// What came of checking a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Lines of the log.
    pub lines: usize,
    /// Calls in it.
    pub calls: usize,
    /// Calls on Unix sockets, epolls among them, that the model explained.
    pub explained: u64,
    /// What was assumed.
    pub assumptions: Vec<Assumption>,
    /// What is to be said of the log itself.
    pub notes: Vec<String>,
    /// The first thing that the model does not explain.
    pub divergence: Option<Divergence>,
}

impl Report {
    pub(crate) fn new(log: &Log, state: &State, divergence: Option<Divergence>) -> Report {
        let assumptions = state.assumed.iter();
        let assumption = |(what, (count, line)): (&Assumed, &(u64, usize))| Assumption {
            what: what.in_words(),
            count: *count,
            line: *line,
        };
        Report {
            lines: log.text.len(),
            calls: log.records.len(),
            explained: state.explained,
            assumptions: assumptions.map(assumption).collect(),
            notes: notes(log),
            divergence,
        }
    }
}

fn notes(log: &Log) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(line) = log.cut {
        notes.push(format!("the log is cut in the middle of line {line}"));
    }
    if let Some(first) = log.foreign.first() {
        let count = log.foreign.len();
        notes.push(format!(
            "{count} lines are not strace's or are damaged, the first is line {first}"
        ));
    }
    if let Some(first) = log.headless.first() {
        let count = log.headless.len();
        notes.push(format!(
            "{count} calls began before the log does, the first ends in line {first}"
        ));
    }
    for line in &log.lines {
        if let What::Unknown(why) = &line.what {
            notes.push(format!("line {}: {why}, which the model does not know", line.number));
        }
    }
    if !log.annotated {
        notes.push("the log does not say what descriptors stand for: strace -yy does".into());
    }
    notes
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Divergence { line, call, model, state, bounded }) = &self.divergence {
            writeln!(f, "line {line} is not explained")?;
            writeln!(f, "  log    {call}")?;
            writeln!(f, "  model  {model}")?;
            for socket in state {
                writeln!(f, "  state  {socket}")?;
            }
            if *bounded {
                writeln!(f, "  not all orders of overlapping calls were tried")?;
            }
            writeln!(f, "{} calls on Unix sockets before it are explained", self.explained)?;
        } else {
            let (explained, calls, lines) = (self.explained, self.calls, self.lines);
            writeln!(
                f,
                "explained: {explained} calls on Unix sockets, of {calls} calls in {lines} lines"
            )?;
        }
        for Assumption { what, count, line } in &self.assumptions {
            writeln!(f, "assumed: {count} {what}, first at line {line}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}
