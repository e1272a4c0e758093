//! Coverage: which call met which outcome on a socket in which state.
//!
//! An *outcome* is an error's name, or what kind of success it was: `ok`, `partial` (fewer bytes
//! sent than given), `end` (nothing received where something could have been), and for received
//! messages the flags that came with it. What the rules let one *expect* stands in `outcomes.txt`;
//! what a run never met of it is listed, so that a generator that goes blind shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use afunix::{Readiness, RecvFlags};

use super::answer::{Answer, Tag};
use super::program::{Piece, ReceiveBy, Request};

/// Expected outcomes: `call[:type] outcome rule`, or `- call[:type] outcome reason` for one that
/// programs cannot reach.
const EXPECTED: &str = include_str!("outcomes.txt");

/// What the descriptor that a call was made on stood for, before the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Before {
    pub(super) kind: i32,
    pub(super) role: Role,
    pub(super) readiness: i16,
}

/// What a socket is to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// No descriptor, one that is not open, or no socket.
    #[default]
    None,
    Fresh,
    Bound,
    Listening,
    Connected,
}

impl Before {
    fn type_name(self) -> &'static str {
        match self.kind {
            1 => "stream",
            2 => "datagram",
            5 => "seqpacket",
            _ => "other",
        }
    }
}

impl fmt::Display for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::None => return f.write_str("other"),
            Role::Fresh => "fresh",
            Role::Bound => "bound",
            Role::Listening => "listening",
            Role::Connected => "connected",
        };
        write!(f, "{} {role}", self.type_name())?;
        let mask = Readiness::from_bits_retain(self.readiness);
        let shown = [
            (Readiness::IN, "readable"),
            (Readiness::PRI, "urgent"),
            (Readiness::OUT, "writable"),
            (Readiness::RDHUP, "half-shut"),
            (Readiness::HUP, "hung-up"),
            (Readiness::ERR, "error"),
        ];
        for (bit, name) in shown {
            if mask.contains(bit) {
                write!(f, " {name}")?;
            }
        }
        Ok(())
    }
}

/// How often each (call, state, outcome) was met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    met: BTreeMap<(&'static str, Before, String), u64>,
}

/// An expected outcome that was never met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// The call, or `call:type`.
    pub call: &'static str,
    /// The outcome.
    pub outcome: &'static str,
    /// The rule that lets one expect it.
    pub rule: &'static str,
}

impl Coverage {
    pub(super) fn add(&mut self, request: &Request, before: Before, answer: &Answer) {
        let outcome = outcome(request, answer);
        *self.met.entry((request.name(), before, outcome)).or_default() += 1;
    }

    pub(super) fn merge(&mut self, other: Coverage) {
        for (key, count) in other.met {
            *self.met.entry(key).or_default() += count;
        }
    }

    /// How many different (call, state, outcome) were met.
    pub fn combinations(&self) -> usize {
        self.met.len()
    }

    /// Every (call, state, outcome) that was met, and how often.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, String, &str, u64)> {
        let met = self.met.iter();
        met.map(|((call, before, outcome), count)| {
            (*call, before.to_string(), &outcome[..], *count)
        })
    }

    /// Per call: how often, in how many states, and how often each outcome was met.
    pub fn calls(&self) -> BTreeMap<&'static str, (u64, usize, BTreeMap<&str, u64>)> {
        let mut calls: BTreeMap<&'static str, (u64, usize, BTreeMap<&str, u64>)> = BTreeMap::new();
        let mut last = None;
        for ((call, before, outcome), count) in &self.met {
            let (made, states, outcomes) = calls.entry(call).or_default();
            *made += count;
            *states += usize::from(last.replace((call, before)) != Some((call, before)));
            *outcomes.entry(outcome).or_default() += count;
        }
        calls
    }

    /// The expected outcomes that were never met, in the order of the list.
    pub fn missing(&self) -> Vec<Missing> {
        let keys = self.met.keys().flat_map(|(call, before, outcome)| {
            let typed = format!("{call}:{}", before.type_name());
            [((*call).to_owned(), &outcome[..]), (typed, &outcome[..])]
        });
        let met: BTreeSet<(String, &str)> = keys.collect();
        let is_missing = |one: &Missing| !met.contains(&(one.call.to_owned(), one.outcome));
        expected().filter(is_missing).collect()
    }
}

/// The expected outcomes that programs can reach.
fn expected() -> impl Iterator<Item = Missing> {
    let lines = EXPECTED.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '-']));
    lines.map(|line| {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().expect("a call, an outcome and a rule");
        Missing { call: word(), outcome: word(), rule: word() }
    })
}

/// How many outcomes are expected.
pub(super) fn expected_count() -> usize {
    expected().count()
}

/// What kind of outcome an answer is.
fn outcome(request: &Request, answer: &Answer) -> String {
    let result = match answer.result() {
        Ok(result) => result,
        Err(errno) => return format!("{errno:?}"),
    };
    match request {
        Request::Send { data, .. } if result < total(data) => "partial".into(),
        Request::SendMany { messages, .. } if result < messages.len() => "partial".into(),
        Request::ReceiveMany { messages, .. } if result < messages.len() => "partial".into(),
        Request::Receive { by, data, .. } => {
            let mut text = if result == 0 && total(data) > 0 { "end" } else { "ok" }.to_owned();
            if matches!(by, ReceiveBy::Recvmsg(..)) {
                let flags = answer.field(Tag::Flags).and_then(|bytes| bytes.first_chunk());
                let flags = flags.map_or(0, |bytes| i32::from_ne_bytes(*bytes));
                for (name, _) in RecvFlags::from_bits_retain(flags).iter_names() {
                    text = format!("{text}+{name}");
                }
            }
            text
        }
        _ => "ok".into(),
    }
}

fn total(data: &[Piece]) -> usize {
    data.iter().map(|piece| piece.len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expected_outcome_is_one_that_could_be_counted() {
        for Missing { call, outcome, rule } in expected() {
            let kind = call.split_once(':').map_or("stream", |(_, kind)| kind);
            assert!(["stream", "datagram", "seqpacket"].contains(&kind), "{call}");
            assert!(!rule.is_empty() && !outcome.is_empty(), "{call}");
        }
    }
}
