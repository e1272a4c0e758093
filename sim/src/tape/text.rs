//! The text of a tape.
//!
//! ```text
//! afunix-tape 2
//! scenario flush-deadlock
//! arg --size
//! seed 17
//! faults portfolio
//! most-crashes 2
//! most-steps 1000000
//! time passes-between-steps     from exhaustive search only
//! check stale-path              one line for each
//! failure deadlock: ...
//! trace 00f1...
//! choices 8 9a3b...      how many, and their hash
//! t2:1 t2:0x5 f2:1 p4:3  label, n, value, times
//! steps 3
//! client write 2 5f9a3c01         thread, call, choices before it, hash of the state before it
//! server read+ 4 77ab0192         + : it goes on after a wait
//! client exit 4 e01c3370
//! end
//! ```
//!
//! Bytes that are not printable ASCII, blanks in names and backslashes stand as `\xNN`.

use std::fmt::Write as _;

use super::{Mark, Tape};
use crate::choice::Choice;
use crate::counts::mix;

/// Columns after which a line of choices is ended.
const WIDTH: usize = 90;

/// The first line.
pub(super) const FIRST_WORD: &str = "afunix-tape";
/// The version that is written, and the only one that is read.
pub(super) const VERSION: &str = "2";

/// A hash of choices, against damage.
pub(super) fn hash(choices: &[Choice]) -> u64 {
    choices.iter().fold(choices.len() as u64, |hash, choice| {
        let word = u64::from(choice.n) << 32 | u64::from(choice.value);
        mix(mix(hash, word), choice.label as u64)
    })
}

/// A word without blanks, control characters or bytes beyond ASCII.
pub(super) fn escape(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    for byte in word.bytes() {
        match byte {
            b'\\' | 0..=b' ' | 0x7f.. => {
                let _ = write!(text, "\\x{byte:02x}");
            }
            byte => text.push(char::from(byte)),
        }
    }
    text
}

/// How often the first of `items` is repeated at their head.
fn times<T: PartialEq>(items: &[T]) -> usize {
    items.iter().take_while(|item| **item == items[0]).count()
}

impl Tape {
    /// The text of its file.
    pub fn to_text(&self) -> String {
        let mut text = format!("{FIRST_WORD} {VERSION}\n");
        let mut line = |key: &str, value: &str| {
            let _ = writeln!(text, "{key} {value}");
        };
        if !self.scenario.is_empty() {
            line("scenario", &escape(&self.scenario));
        }
        for arg in &self.args {
            line("arg", &escape(arg));
        }
        if let Some(seed) = self.seed {
            line("seed", &seed.to_string());
        }
        line("faults", self.faults.name());
        line("most-crashes", &self.most_crashes.to_string());
        line("most-steps", &self.most_steps.to_string());
        if !self.steps_take_time {
            line("time", "passes-between-steps");
        }
        for check in &self.checks {
            line("check", check.key());
        }
        if let Some(failure) = &self.failure {
            line("failure", &escape(failure));
        }
        line("trace", &format!("{:016x}", self.trace));
        line("choices", &format!("{} {:016x}", self.choices.len(), hash(&self.choices)));
        write_choices(&mut text, &self.choices);
        let _ = writeln!(text, "steps {}", self.marks.len());
        write_marks(&mut text, &self.marks);
        text.push_str("end\n");
        text
    }
}

fn write_choices(text: &mut String, choices: &[Choice]) {
    let mut rest = choices;
    let mut column = 0;
    while let Some(Choice { label, n, value }) = rest.first() {
        let count = times(rest);
        rest = &rest[count..];
        let mut word = format!("{}{n}:{value}", label.letter());
        if count > 1 {
            let _ = write!(word, "x{count}");
        }
        if column > 0 {
            text.push(if column + word.len() > WIDTH { '\n' } else { ' ' });
        }
        column = if column + word.len() > WIDTH { word.len() } else { column + 1 + word.len() };
        text.push_str(&word);
    }
    if column > 0 {
        text.push('\n');
    }
}

fn write_marks(text: &mut String, marks: &[Mark]) {
    for Mark { thread, call, choices, state } in marks {
        let _ = writeln!(text, "{} {} {choices} {state:08x}", escape(thread), escape(call));
    }
}
