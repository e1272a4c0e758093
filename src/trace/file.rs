//! Trace files: a run kept as lines of JSON, for pictures that are drawn later or elsewhere.
//!
//! A file is a [`Header`], then [`Record`]s, one a line: events in order, snapshots where the
//! machine was looked at, and an [`End`]. docs/trace-format.md describes the schema for other
//! programs. A [`Writer`] can be stopped at any moment: a file whose end is missing is read as far
//! as it goes, and [`Trace::cut`] says where that was.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};

use super::Event;
use crate::snapshot::Snapshot;

/// What [`Header::format`] says.
pub const FORMAT: &str = "afunix-trace";
/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 1;
/// Longest line that is read, in bytes: a snapshot of some hundred thousand sockets.
const MAX_LINE: u64 = 256 << 20;

/// The first line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`]. It grows when a reader of the version before would misunderstand a file; fields
    /// and records that an old reader may pass over are added without.
    pub version: u32,
    /// What was traced: the scenario, or the program.
    pub subject: String,
    /// Where the events come from, and so which kinds there are.
    pub source: Source,
}

impl Header {
    /// A header of this version.
    pub fn new(source: Source, subject: &str) -> Self {
        Header { format: FORMAT.into(), version: VERSION, subject: subject.into(), source }
    }
}

/// Where the events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A simulation: time is virtual.
    Simulation,
    /// The model in real time, under threads or an unmodified program.
    Emulation,
    /// The kernel: calls begin and end, no more is seen.
    Kernel,
}

/// A line after the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// One thing that happened.
    Event(Event),
    /// The machine after the events before this line.
    Snapshot(Snapshot),
    /// The last line.
    End(End),
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Events in the file: fewer were read if some are missing.
    pub events: u64,
    /// In words: `passed`, or what the failure is.
    pub outcome: String,
}

/// Writes a trace file, line by line.
///
/// # Examples
/// ```
/// use afunix::trace::file::{Header, Source, Trace, Writer};
/// use afunix::trace::{Event, EventKind};
/// let kind = EventKind::Started { name: "server".into() };
/// let event = Event { seq: 0, at: 0, process: 1, thread: 1, kind };
/// let mut writer = Writer::new(Vec::new(), &Header::new(Source::Simulation, "echo"))?;
/// writer.event(&event)?;
/// let bytes = writer.end("passed")?;
/// let trace = Trace::read(&bytes[..]).expect("what was written can be read");
/// assert_eq!((trace.events, trace.cut), (vec![event], None));
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    events: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header. Each line is one `write_all`: give it a buffer, or an unbuffered file if
    /// the file must be as complete as can be whenever the program dies.
    ///
    /// # Errors
    /// Those of `out`, as of every other method.
    pub fn new(out: W, header: &Header) -> io::Result<Self> {
        let mut writer = Writer { out, events: 0 };
        writer.line(header)?;
        Ok(writer)
    }

    /// Writes an event.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum Line<'a> {
            Event(&'a Event),
        }
        self.events += 1;
        self.line(&Line::Event(event))
    }

    /// Writes what the machine looks like after the events so far.
    pub fn snapshot(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum Line<'a> {
            Snapshot(&'a Snapshot),
        }
        self.line(&Line::Snapshot(snapshot))
    }

    /// Writes the last line, and hands back what it was written to, flushed.
    pub fn end(mut self, outcome: &str) -> io::Result<W> {
        let end = End { events: self.events, outcome: outcome.to_owned() };
        self.line(&Record::End(end))?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.out.write_all(&line)
    }
}

/// A trace as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The first line.
    pub header: Header,
    /// The events, in the order of the file.
    pub events: Vec<Event>,
    /// Snapshots, each with how many events stand before it.
    pub snapshots: Vec<(usize, Snapshot)>,
    /// The last line; `None` if it is missing.
    pub end: Option<End>,
    /// Why this is not the whole file, in a sentence.
    pub cut: Option<String>,
}

impl Trace {
    /// Reads a whole file. A last line that is incomplete or missing is told in [`Trace::cut`], and
    /// the rest is used; records of a kind that this version does not know are passed over.
    ///
    /// # Errors
    /// [`ReadError`] if the first line is no header of a version known here, if a line in the
    /// middle is no record, or if `input` fails.
    pub fn read(input: impl BufRead) -> Result<Self, ReadError> {
        let mut lines = Lines { input, number: 0, line: Vec::new() };
        let header = header(&mut lines)?;
        let (events, snapshots) = (Vec::new(), Vec::new());
        let mut trace = Trace { header, events, snapshots, end: None, cut: None };
        while lines.next()? {
            if trace.end.is_some() {
                return Err(lines.error("it comes after the last record, `end`"));
            }
            match lines.record() {
                Ok(Some(Record::Event(event))) => trace.events.push(event),
                Ok(Some(Record::Snapshot(snapshot))) => {
                    trace.snapshots.push((trace.events.len(), snapshot));
                }
                Ok(Some(Record::End(end))) => trace.end = Some(end),
                Ok(None) => {}
                Err(_) if !lines.is_whole() => {
                    trace.cut = Some(format!(
                        "the file ends in the middle of line {}; {} events before it were read",
                        lines.number,
                        trace.events.len()
                    ));
                }
                Err(message) => return Err(lines.error(&message)),
            }
        }
        trace.cut = trace.cut.take().or_else(|| trace.missing());
        Ok(trace)
    }

    /// The machine at the end: the last snapshot.
    pub fn last_snapshot(&self) -> Option<&Snapshot> {
        self.snapshots.last().map(|(_, snapshot)| snapshot)
    }

    fn missing(&self) -> Option<String> {
        let read = self.events.len();
        match &self.end {
            None => Some(format!("the file ends without its last line, `end`; {read} events read")),
            Some(end) if end.events != read as u64 => Some(format!(
                "the file had {} events when it was written, it has {read}",
                end.events
            )),
            Some(_) => None,
        }
    }
}

fn header<R: BufRead>(lines: &mut Lines<R>) -> Result<Header, ReadError> {
    /// What every version has.
    #[derive(Deserialize)]
    struct Any {
        format: String,
        version: u32,
    }
    if !lines.next()? {
        return Err(ReadError::Foreign("it is empty".into()));
    }
    let any: Any = serde_json::from_slice(&lines.line).map_err(|_| {
        ReadError::Foreign(format!("its first line is no header {{\"format\":\"{FORMAT}\",..}}"))
    })?;
    if any.format != FORMAT {
        return Err(ReadError::Foreign(format!("its format is {:?}", any.format)));
    }
    if any.version != VERSION {
        return Err(ReadError::Version(any.version));
    }
    serde_json::from_slice(&lines.line).map_err(|error| lines.error(&error.to_string()))
}

/// Lines with their numbers, each no longer than it may be.
struct Lines<R> {
    input: R,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Reads the next line that is not blank; false at the end.
    fn next(&mut self) -> Result<bool, ReadError> {
        loop {
            self.line.clear();
            self.number += 1;
            let mut limited = (&mut self.input).take(MAX_LINE);
            let length = limited.read_until(b'\n', &mut self.line).map_err(ReadError::Io)?;
            if length as u64 == MAX_LINE {
                return Err(self.error("it is too long"));
            }
            if length == 0 || !self.line.trim_ascii().is_empty() {
                return Ok(length > 0);
            }
        }
    }

    /// Whether the line has its end: else it is the last one, and something may be missing.
    fn is_whole(&self) -> bool {
        self.line.ends_with(b"\n")
    }

    /// The record of the line; `None` if it is of a kind that is not known.
    fn record(&self) -> Result<Option<Record>, String> {
        match serde_json::from_slice(&self.line) {
            Ok(record) => Ok(Some(record)),
            Err(_) if self.is_unknown() => Ok(None),
            // Its number is ours to say: for the parser every line is line 1.
            Err(error) => Err(error.to_string().replace(" at line 1 column ", ", column ")),
        }
    }

    /// An object with one key, which is no record of this version.
    fn is_unknown(&self) -> bool {
        type Object = std::collections::BTreeMap<String, serde::de::IgnoredAny>;
        let object: Result<Object, _> = serde_json::from_slice(&self.line);
        let known = ["event", "snapshot", "end"];
        object.is_ok_and(|object| {
            object.len() == 1 && !object.keys().any(|key| known.contains(&key.as_str()))
        })
    }

    fn error(&self, message: &str) -> ReadError {
        ReadError::Line { number: self.number, message: message.to_owned() }
    }
}

/// Why a trace file could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// It is something else, for the reason given.
    Foreign(String),
    /// It is of a version that is not known here.
    Version(u32),
    /// A line is no record.
    Line {
        /// Its number, from 1.
        number: u64,
        /// What is wrong with it.
        message: String,
    },
    /// The input failed.
    Io(io::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(why) => write!(out, "this is no trace of afunix: {why}"),
            Self::Version(version) => write!(
                out,
                "this trace is of version {version}; what is read here is version {VERSION}"
            ),
            Self::Line { number, message } => write!(out, "line {number}: {message}"),
            Self::Io(error) => write!(out, "cannot read it: {error}"),
        }
    }
}

impl std::error::Error for ReadError {}
