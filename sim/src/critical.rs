//! The critical pair: two calls that fail in the one order and pass in the other.
//!
//! Of a failing run every call, with what its thread does next, is put off until other threads have
//! made one more step, two more, and so on. The shortest delay with which the run passes, and of
//! those the latest, lies between the two calls whose order decides.

use std::sync::Arc;

use afunix::snapshot::Snapshot;
use afunix::trace::EventKind;

use crate::choice::{Label, Loose, Source, Strategy};
use crate::options::RunOptions;
use crate::report::{Outcome, Report};
use crate::run::{App, Runner, replay};

/// How many turns a delay spans at most.
const LONGEST: usize = 40;

/// Steps that the search may take.
const STEPS_MAX: u64 = 3_000_000;

/// One thread's turn, as the scheduler gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) slot: u32,
    /// Steps marked before it.
    pub(crate) step: usize,
    /// Events recorded before it.
    pub(crate) event: usize,
}

/// A call of a run, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The thread's name.
    pub thread: String,
    /// The call, as strace would print it, or `spawn`, `process`, `join`, `exit`.
    pub call: String,
    /// Its step in the run, from 0: what `--until` takes.
    pub step: u64,
}

/// Two calls on whose order it hangs whether the run fails.
#[derive(Clone, Debug)]
pub struct CriticalPair {
    /// The one that came first.
    pub first: Place,
    /// The one that came later. Had it come before `first`, the run would have passed.
    pub second: Place,
    /// The machine before `second`.
    pub between: Snapshot,
}

/// Threads in a given order, as far as they can run; everything else as in a tape.
struct Order {
    slots: Vec<u32>,
    at: usize,
    rest: Loose,
}

impl Strategy for Order {
    fn thread(&mut self, runnable: &[u32], _: bool) -> u32 {
        let wanted = self.slots.get(self.at);
        self.at += 1;
        let index = wanted.and_then(|slot| runnable.iter().position(|other| other == slot));
        index.unwrap_or(0) as u32
    }

    fn forced(&mut self, _: u32) {
        self.at += 1;
    }

    fn choose(&mut self, n: u32, label: Label) -> u32 {
        self.rest.choose(n, label)
    }

    fn chance(&mut self, odds: u32, label: Label) -> bool {
        self.rest.chance(odds, label)
    }
}

/// The critical pair of a failing run that was recorded; `None` if there is none, or if it is not
/// found in some thousand runs.
pub(crate) fn critical_pair(
    app: &App,
    options: &RunOptions,
    report: &Report,
) -> Option<CriticalPair> {
    report.failure()?;
    let turns = &report.turns;
    let mut limited = report.tape.options(options);
    limited.record = false;
    limited.most_steps = 10 * report.steps + 1000;
    let mut runner = Runner::new(Arc::new(limited));
    let mut left = STEPS_MAX;
    for distance in 1..=LONGEST.min(turns.len().saturating_sub(1)) {
        for later in (distance..turns.len()).rev() {
            let earlier = later - distance;
            let delayed = turns[earlier].slot;
            if turns[later].slot == delayed {
                continue;
            }
            let mut slots: Vec<u32> = turns.iter().map(|turn| turn.slot).collect();
            // Stable: the others first, then the one that is put off.
            slots[earlier..=later].sort_by_key(|slot| *slot == delayed);
            let rest = Loose::new(&report.tape.choices);
            let source = Source::Other(Box::new(Order { slots, at: 0, rest }));
            let outcome = runner.run(app, source, None);
            if outcome == Outcome::Passed {
                return pair(app, options, report, earlier, later);
            }
            left = left.saturating_sub(runner.world().counts.steps.max(1));
            if left == 0 {
                return None;
            }
        }
    }
    None
}

fn pair(
    app: &App,
    options: &RunOptions,
    report: &Report,
    earlier: usize,
    later: usize,
) -> Option<CriticalPair> {
    let first = place(report, report.turns[earlier])?;
    let second = place(report, report.turns[later])?;
    let between = replay(app, options, &report.tape, Some(second.step)).snapshot;
    Some(CriticalPair { first, second, between })
}

/// What a thread does in its turn.
fn place(report: &Report, turn: Turn) -> Option<Place> {
    let name = report.names.get(turn.slot as usize)?.clone();
    let mark = report.tape.marks.get(turn.step);
    let begins = mark.is_some_and(|mark| mark.thread == name);
    // A call that is stepped again after a wait has no mark of its own: it is the last one of the
    // thread.
    let step = match begins {
        true => turn.step,
        false => report.tape.marks[..turn.step].iter().rposition(|mark| mark.thread == name)?,
    };
    let plain = report.tape.marks[step].call.clone();
    let (process, thread) = report.ids.get(turn.slot as usize).copied()?;
    let is_ours =
        |event: &&afunix::trace::Event| event.process == process && event.thread == thread;
    let enter = |event: &afunix::trace::Event| match &event.kind {
        EventKind::Enter { call, .. } => Some(call.clone()),
        _ => None,
    };
    let (before, after) = report.events.split_at(turn.event.min(report.events.len()));
    let call = match begins {
        true => after.iter().filter(is_ours).find_map(enter),
        false => before.iter().rev().filter(is_ours).find_map(enter),
    };
    let call = call.filter(|call| call.starts_with(&plain)).unwrap_or(plain);
    Some(Place { thread: name, call, step: step as u64 })
}
