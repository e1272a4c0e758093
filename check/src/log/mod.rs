//! An strace log, read: its calls as records, and its lines in order.
//!
//! A *record* is one call of the log. It has one line, or two where other threads' lines came
//! between its beginning (`<unfinished ...>`) and its end (`<... resumed>`).

mod line;
mod read;
pub(crate) mod value;

use std::time::Duration;

use afunix::{Errno, Exit};

use value::{Field, Value};

pub use read::NotStrace;
pub(crate) use read::{is_spawn, read};

/// A log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) records: Vec<Record>,
    pub(crate) lines: Vec<Line>,
    /// The text of each line of the file, without its end.
    pub(crate) text: Vec<Vec<u8>>,
    /// Set if the last line is not whole: its number.
    pub(crate) cut: Option<usize>,
    /// Numbers of lines that strace did not write, or that are damaged.
    pub(crate) foreign: Vec<usize>,
    /// Ends of calls whose beginnings are not in the log.
    pub(crate) headless: Vec<usize>,
    /// The log says what stands behind descriptors (`-y`, `-yy`).
    pub(crate) annotated: bool,
    /// The log says when things happened.
    pub(crate) timed: bool,
    /// Whether the bytes of each value stand in a string of the log.
    pub(crate) used: UsedBytes,
}

/// Which values the bytes have that the log shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsedBytes([bool; 256]);

impl Default for UsedBytes {
    fn default() -> Self {
        UsedBytes([false; 256])
    }
}

impl UsedBytes {
    fn add(&mut self, value: &Value) {
        match value {
            Value::Bytes { bytes, .. } => {
                bytes.iter().for_each(|byte| self.0[usize::from(*byte)] = true);
            }
            Value::Struct(fields) => fields.iter().for_each(|field| self.add(&field.value)),
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Change(before, after) => {
                self.add(before);
                self.add(after);
            }
            Value::Number(_) | Value::Fd { .. } | Value::Word(_) => {}
        }
    }

    /// A value that stands for bytes which the log does not show: one that it shows nowhere, if
    /// there is any.
    pub(crate) fn unused(&self) -> u8 {
        (0..=u8::MAX).rev().find(|byte| !self.0[usize::from(*byte)]).unwrap_or(0xfe)
    }
}

/// One thing that the log says, in its order.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// The line's number in the file, from 1.
    pub(crate) number: usize,
    pub(crate) thread: i32,
    /// Since the first line; without times in the log, a microsecond for each line.
    pub(crate) at: Duration,
    pub(crate) what: What,
}

/// What a line says; calls are indices of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Whole(usize),
    Begin(usize),
    End(usize),
    Signal(String),
    Gone(Exit),
    /// This thread goes on as another: by execve, which ends all others of its process.
    Superseded(i32),
    /// Why the process cannot be known from here on.
    Unknown(String),
}

/// One call of the log.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) thread: i32,
    pub(crate) name: String,
    /// Empty where they do not matter.
    pub(crate) args: Vec<Field>,
    pub(crate) outcome: Outcome,
    /// The line's number where it begins.
    pub(crate) begin: usize,
    /// The line's number where it ends, if it does.
    pub(crate) end: Option<usize>,
    /// Whether its arguments speak of close-on-exec.
    pub(crate) cloexec: bool,
    /// Whether the replay looks at it.
    pub(crate) followed: bool,
    /// Whether no socket is in it: it is made without a look at what else is under way.
    pub(crate) local: bool,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The return value; what stands behind it, if it is a descriptor; and what came back in
    /// brackets behind it.
    Value {
        value: i64,
        note: Option<String>,
        extra: Vec<Field>,
    },
    Error(Errno),
    /// A signal came, and it is to be made again (or ends with EINTR, which the log does not show).
    Interrupted,
    /// `?`: the thread ended in it.
    None,
    /// The log ends before it does.
    Unfinished,
}

impl Record {
    /// The nth argument.
    pub(crate) fn arg(&self, index: usize) -> Option<&Value> {
        self.args.get(index).map(|field| &field.value)
    }

    /// The nth argument as a number.
    pub(crate) fn number(&self, index: usize) -> Option<i64> {
        self.arg(index)?.number()
    }

    /// The nth argument as a descriptor.
    pub(crate) fn fd(&self, index: usize) -> Option<i32> {
        i32::try_from(self.number(index)?).ok()
    }

    /// What stands behind the nth argument.
    pub(crate) fn note(&self, index: usize) -> Option<&str> {
        self.arg(index)?.note()
    }

    /// The return value of a call that succeeded.
    pub(crate) fn value(&self) -> Option<i64> {
        match self.outcome {
            Outcome::Value { value, .. } => Some(value),
            _ => None,
        }
    }

    pub(crate) fn error(&self) -> Option<Errno> {
        match self.outcome {
            Outcome::Error(errno) => Some(errno),
            _ => None,
        }
    }

    /// A descriptor that it returned, which the log says by what stands behind it.
    pub(crate) fn made(&self) -> Option<(i32, &str)> {
        match &self.outcome {
            Outcome::Value { value, note: Some(note), .. } => {
                Some((i32::try_from(*value).ok()?, note))
            }
            _ => None,
        }
    }
}
