//! Tapes: the choices of a run, as a value and as a file.

mod parse;
mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::checks::Check;
use crate::choice::Choice;
use crate::faults::Faults;
use crate::options::RunOptions;

pub use parse::TapeError;

/// Most bytes of a tape's file.
const FILE_MAX: u64 = 64 << 20;

/// Who did what in a step, and what it found: by this a tape is aligned with a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The thread's name: `server/worker`.
    pub thread: String,
    /// The call's name, or spawn, process, join, exit; with a `+` if it goes on after a wait.
    pub call: String,
    /// Choices that were made before it.
    pub choices: u32,
    /// A hash of the machine's state before it.
    pub state: u32,
}

impl Mark {
    /// What another mark in its place differs in, in words.
    pub(crate) fn differs_from(&self, expected: &Mark) -> Option<String> {
        if (&self.thread, &self.call) != (&expected.thread, &expected.call) {
            return Some(format!("expected {expected}, got {self}"));
        }
        let found = "finds another state than on the tape: a call before it did something else";
        (self.state != expected.state).then(|| format!("{self} {found}"))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.thread, self.call)
    }
}

/// The choices of a run, with what is needed to make it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tape {
    /// The scenario's name; empty if it is not known.
    pub scenario: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// The seed that the choices were first drawn from.
    pub seed: Option<u64>,
    /// The faults that the run may have.
    pub faults: Faults,
    /// As in [`RunOptions::most_crashes`].
    pub most_crashes: u32,
    /// As in [`RunOptions::most_steps`].
    pub most_steps: u64,
    /// As in [`RunOptions::steps_take_time`].
    pub steps_take_time: bool,
    /// As in [`RunOptions::checks`].
    pub checks: BTreeSet<Check>,
    /// Signature of the failure that it shows.
    pub failure: Option<String>,
    /// Hash of the run: [`Report::trace`](crate::Report::trace).
    pub trace: u64,
    /// The choices.
    pub choices: Vec<Choice>,
    /// The steps, if the run was recorded.
    pub marks: Vec<Mark>,
}

impl Tape {
    /// The tape in a file.
    ///
    /// # Errors
    /// A line that says what is wrong with it. Nothing that it names is opened.
    pub fn load(path: &Path) -> Result<Tape, TapeError> {
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(|error| TapeError::unreadable(&error))?;
        let read = file.take(FILE_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|error| TapeError::unreadable(&error))?;
        if bytes.len() as u64 > FILE_MAX {
            return Err(TapeError::too_large(FILE_MAX));
        }
        Tape::parse(&bytes)
    }

    /// Writes the tape to a file: whole or not at all (to a temporary name beside it, then
    /// renamed).
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary: PathBuf = path.with_file_name(name);
        let written = File::create(&temporary)
            .and_then(|mut file| file.write_all(self.to_text().as_bytes()))
            .and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            // The first error is the one to tell.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// The tape of choices that were made with these options.
    pub(crate) fn of(options: &RunOptions, choices: Vec<Choice>) -> Tape {
        Tape {
            scenario: String::new(),
            args: Vec::new(),
            seed: None,
            faults: options.faults,
            most_crashes: options.most_crashes,
            most_steps: options.most_steps,
            steps_take_time: options.steps_take_time,
            checks: options.checks.clone(),
            failure: None,
            trace: 0,
            choices,
            marks: Vec::new(),
        }
    }

    /// Takes over what the run does not tell.
    pub(crate) fn keep_head(&mut self, of: &Tape) {
        self.scenario.clone_from(&of.scenario);
        self.args.clone_from(&of.args);
        self.seed = of.seed;
    }

    /// The options of a replay.
    pub(crate) fn options(&self, base: &RunOptions) -> RunOptions {
        RunOptions {
            faults: self.faults,
            most_crashes: self.most_crashes,
            most_steps: self.most_steps,
            steps_take_time: self.steps_take_time,
            checks: self.checks.clone(),
            ..base.clone()
        }
    }

    /// Context switches: choices of a thread other than the one that ran last.
    pub fn switches(&self) -> usize {
        use crate::choice::Label;
        let made = self.choices.iter();
        made.filter(|choice| choice.label == Label::Thread && choice.value != 0).count()
    }
}
