//! What is told at the end.

use std::collections::BTreeMap;
use std::fmt;

use afunix::Errno;
use afunix::snapshot::Snapshot;
use afunix_model::sockets::Flow;

use crate::calls::{Call, Reply};

/// What was seen of a program.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Calls that the supervisor was asked about, those on other files included.
    pub calls: u64,
    /// Calls on sockets of the model, by name.
    pub emulated: BTreeMap<&'static str, u64>,
    /// Errors that calls on such sockets ended with, by call and error.
    pub errors: BTreeMap<(&'static str, &'static str), u64>,
    /// Sockets made.
    pub sockets: u64,
    /// Message buffers queued.
    pub messages: u64,
    /// Bytes queued.
    pub bytes: u64,
    /// Descriptors sent.
    pub descriptors_passed: u64,
    /// Bytes that a call nobody trapped has written to a socket: the run does not count.
    pub strays: u64,
    /// Faults injected.
    pub faults: u64,
    /// Sockets that nobody had closed when the last process had ended: in flight to each other.
    pub sockets_left: usize,
    /// Paths at which there was a socket, but none of the program's own.
    pub outside: BTreeMap<String, u64>,
    /// What was not emulated, in sentences.
    pub notes: Vec<String>,
    /// The program when it had the most sockets, if it was asked for.
    pub picture: Option<Snapshot>,
}

impl Report {
    /// Tells once, at once, of something that is not emulated.
    pub(crate) fn note(&mut self, note: String) {
        const MOST: usize = 64;
        if self.notes.len() < MOST && !self.notes.contains(&note) {
            eprintln!("afunix: {note}");
            self.notes.push(note);
        }
    }

    pub(crate) fn refused(&mut self, path: String) {
        const MOST: usize = 1024;
        if self.outside.len() < MOST || self.outside.contains_key(&path) {
            *self.outside.entry(path).or_default() += 1;
        }
    }

    pub(crate) fn ended(&mut self, call: &Call, reply: &Reply) {
        if matches!(reply, Reply::GoOn) {
            return;
        }
        let name = crate::calls::name_of(call.request.number);
        *self.emulated.entry(name).or_default() += 1;
        if let Reply::Result(Err(errno)) = reply {
            let errno = if *errno == Errno::RESTARTSYS { Errno::INTR } else { *errno };
            *self.errors.entry((name, errno.name().unwrap_or("another error"))).or_default() += 1;
        }
    }

    pub(crate) fn flowed(&mut self, flow: &Flow) {
        if let Flow::Queued { bytes, .. } = flow {
            self.messages += 1;
            self.bytes += *bytes as u64;
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let emulated: u64 = self.emulated.values().sum();
        writeln!(
            f,
            "{} calls seen, {emulated} of them on Unix sockets: {} sockets, {} messages, {} bytes, \
             {} descriptors passed",
            self.calls, self.sockets, self.messages, self.bytes, self.descriptors_passed
        )?;
        let counts: Vec<String> =
            self.emulated.iter().map(|(name, count)| format!("{name} {count}")).collect();
        if !counts.is_empty() {
            writeln!(f, "calls: {}", counts.join(", "))?;
        }
        let errors = self.errors.iter();
        let errors: Vec<String> =
            errors.map(|((name, errno), count)| format!("{name} {errno} {count}")).collect();
        if !errors.is_empty() {
            writeln!(f, "errors: {}", errors.join(", "))?;
        }
        if self.faults > 0 {
            writeln!(f, "faults: {}", self.faults)?;
        }
        for (path, count) in &self.outside {
            writeln!(f, "refused, as it is outside: {path} ({count})")?;
        }
        if self.sockets_left > 0 {
            writeln!(f, "left in flight to each other: {} sockets", self.sockets_left)?;
        }
        Ok(())
    }
}
