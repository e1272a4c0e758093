//! Reading tapes, from whatever hand: bounded, and with one clear line for each error.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::str::FromStr;

use super::text::{FIRST_WORD, VERSION, hash};
use super::{Mark, Tape};
use crate::choice::{Choice, Label};
use crate::faults::Faults;

/// Most choices, and most steps, of a tape.
const ITEMS_MAX: usize = 1 << 22;
/// Most bytes of a line.
const LINE_MAX: usize = 64 << 10;
/// Most arguments.
const ARGS_MAX: usize = 256;

/// Why a tape cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapeError {
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for TapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

impl std::error::Error for TapeError {}

impl TapeError {
    pub(super) fn unreadable(error: &io::Error) -> Self {
        TapeError { line: 0, what: format!("cannot be read: {error}") }
    }

    pub(super) fn too_large(most: u64) -> Self {
        TapeError { line: 0, what: format!("larger than a tape may be ({most} bytes)") }
    }
}

/// The lines of a tape.
struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

impl<'a> Lines<'a> {
    fn error<T>(&self, what: impl Into<String>) -> Result<T, TapeError> {
        Err(TapeError { line: self.number, what: what.into() })
    }

    /// The next line: its first word, and the rest.
    fn next(&mut self) -> Result<(&'a str, &'a str), TapeError> {
        self.number += 1;
        let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') else {
            return self.error("the tape ends here, before its last line");
        };
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        if line.len() > LINE_MAX {
            return self.error(format!("longer than {LINE_MAX} bytes"));
        }
        match std::str::from_utf8(line) {
            Ok(line) if line.is_ascii() => Ok(line.split_once(' ').unwrap_or((line, ""))),
            _ => self.error("not printable ASCII"),
        }
    }

    fn number<N: FromStr>(&self, word: &str, what: &str) -> Result<N, TapeError> {
        match word.parse() {
            Ok(number) if word.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
            _ => self.error(format!("{} is not {what}", shown(word))),
        }
    }

    fn hex(&self, word: &str) -> Result<u64, TapeError> {
        let is_hex = word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u64::from_str_radix(word, 16) {
            Ok(number) if is_hex => Ok(number),
            _ => self.error(format!("{} is not a hash of 16 digits", shown(word))),
        }
    }

    fn count(&self, word: &str, what: &str) -> Result<usize, TapeError> {
        let count: usize = self.number(word, what)?;
        if count > ITEMS_MAX {
            return self.error(format!("{count} is more than a tape may hold ({ITEMS_MAX})"));
        }
        Ok(count)
    }

    fn unescape(&self, word: &str) -> Result<String, TapeError> {
        let mut bytes = Vec::with_capacity(word.len());
        let mut rest = word.as_bytes();
        while let Some((first, tail)) = rest.split_first() {
            rest = tail;
            if *first != b'\\' {
                bytes.push(*first);
                continue;
            }
            let code = tail.strip_prefix(b"x").and_then(|tail| tail.first_chunk::<2>());
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let byte = code.and_then(|[high, low]| Some(digit(*high)? * 16 + digit(*low)?));
            let Some(byte) = byte else {
                return self.error("a backslash without xNN");
            };
            bytes.push(byte as u8);
            rest = &tail[3..];
        }
        match String::from_utf8(bytes) {
            Ok(word) => Ok(word),
            Err(_) => self.error("not UTF-8"),
        }
    }
}

/// A word of an untrusted hand, for a message.
fn shown(word: &str) -> String {
    let short: String = word.chars().take(40).collect();
    format!("{short:?}")
}

impl Tape {
    /// The tape of a text.
    ///
    /// # Errors
    /// The line, and what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Tape, TapeError> {
        let mut lines = Lines { rest: bytes, number: 0 };
        match lines.next() {
            Ok((FIRST_WORD, VERSION)) => {}
            Ok((FIRST_WORD, other)) => {
                return lines.error(format!(
                    "a tape of version {}; this program knows version {VERSION}",
                    shown(other)
                ));
            }
            _ => return lines.error("not a tape of afunix"),
        }
        let (mut tape, count, expected) = parse_head(&mut lines)?;
        tape.choices = parse_choices(&mut lines, count)?;
        if hash(&tape.choices) != expected {
            return lines.error("the choices are not those that the hash was made of");
        }
        let (key, value) = lines.next()?;
        if key != "steps" {
            return lines.error("expected: steps, and their number");
        }
        let count = lines.count(value, "a number of steps")?;
        tape.marks = parse_marks(&mut lines, count)?;
        match lines.next()? {
            ("end", "") if lines.rest.is_empty() => Ok(tape),
            ("end", "") => lines.error("something follows the end"),
            _ => lines.error("expected: end"),
        }
    }
}

/// Everything up to the line of choices; their number and hash.
fn parse_head(lines: &mut Lines<'_>) -> Result<(Tape, usize, u64), TapeError> {
    let mut tape = Tape {
        scenario: String::new(),
        args: Vec::new(),
        seed: None,
        faults: Faults::None,
        most_crashes: 0,
        most_steps: 0,
        steps_take_time: true,
        checks: BTreeSet::new(),
        failure: None,
        trace: 0,
        choices: Vec::new(),
        marks: Vec::new(),
    };
    loop {
        let (key, value) = lines.next()?;
        match key {
            "scenario" => tape.scenario = lines.unescape(value)?,
            "arg" if tape.args.len() < ARGS_MAX => tape.args.push(lines.unescape(value)?),
            "arg" => return lines.error(format!("more than {ARGS_MAX} arguments")),
            "seed" => tape.seed = Some(lines.number(value, "a seed")?),
            "faults" => match value.parse() {
                Ok(faults) => tape.faults = faults,
                Err(error) => return lines.error(format!("{error}, not {}", shown(value))),
            },
            "most-crashes" => tape.most_crashes = lines.number(value, "a number of crashes")?,
            "most-steps" => tape.most_steps = lines.number(value, "a number of steps")?,
            "time" if value == "passes-between-steps" => tape.steps_take_time = false,
            "check" => match value.parse() {
                Ok(check) => drop(tape.checks.insert(check)),
                Err(error) => return lines.error(format!("{error}, not {}", shown(value))),
            },
            "failure" => tape.failure = Some(lines.unescape(value)?),
            "trace" => tape.trace = lines.hex(value)?,
            "choices" => {
                let (count, expected) = value.split_once(' ').unwrap_or((value, ""));
                let count = lines.count(count, "a number of choices")?;
                return Ok((tape, count, lines.hex(expected)?));
            }
            _ => return lines.error(format!("{} is not known here", shown(key))),
        }
    }
}

fn parse_choices(lines: &mut Lines<'_>, count: usize) -> Result<Vec<Choice>, TapeError> {
    let mut choices = Vec::new();
    while choices.len() < count {
        let (first, rest) = lines.next()?;
        for word in std::iter::once(first).chain(rest.split(' ')).filter(|word| !word.is_empty()) {
            let Some((choice, times)) = parse_choice(word) else {
                return lines.error(format!("{} is not a choice", shown(word)));
            };
            if times == 0 || times > count - choices.len() {
                return lines.error(format!("more than the {count} choices that were announced"));
            }
            choices.extend(std::iter::repeat_n(choice, times));
        }
        if first.is_empty() {
            return lines.error("an empty line among the choices");
        }
    }
    Ok(choices)
}

/// `t3:1x7`: label, n, value, times.
fn parse_choice(word: &str) -> Option<(Choice, usize)> {
    let letter = word.chars().next()?;
    let label = Label::ALL.into_iter().find(|label| label.letter() == letter)?;
    let (n, value) = word[1..].split_once(':')?;
    let (value, times) = value.split_once('x').unwrap_or((value, "1"));
    let plain = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    if ![n, value, times].into_iter().all(plain) {
        return None;
    }
    let choice = Choice { label, n: n.parse().ok()?, value: value.parse().ok()? };
    (choice.n >= 2 && choice.value < choice.n).then_some((choice, times.parse().ok()?))
}

fn parse_marks(lines: &mut Lines<'_>, count: usize) -> Result<Vec<Mark>, TapeError> {
    let mut marks: Vec<Mark> = Vec::new();
    while marks.len() < count {
        let (thread, rest) = lines.next()?;
        let words: Vec<&str> = rest.split(' ').collect();
        let [call, choices, state] = words[..] else {
            return lines.error("expected: thread, call, choices before it, and a hash");
        };
        let mark = Mark {
            thread: lines.unescape(thread)?,
            call: lines.unescape(call)?,
            choices: lines.number(choices, "a number of choices")?,
            state: match u32::from_str_radix(state, 16) {
                Ok(state) if state_is_plain(words[2]) => state,
                _ => return lines.error(format!("{} is not a hash of 8 digits", shown(state))),
            },
        };
        // A long name many times over: the memory is bounded, too.
        if mark.thread.len() + mark.call.len() > 512 {
            return lines.error("a name of more than 512 bytes");
        }
        if marks.last().is_some_and(|last| last.choices > mark.choices) {
            return lines.error("fewer choices before it than before the step before it");
        }
        marks.push(mark);
    }
    Ok(marks)
}

/// Whether it is eight digits and nothing else.
fn state_is_plain(word: &str) -> bool {
    word.len() == 8 && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
