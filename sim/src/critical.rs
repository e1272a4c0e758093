//! The critical pair: two calls that fail in the one order and pass in the other.
//!
//! Of a failing run every call, with what its thread does next, is put off until other threads have
//! made one more step, two more, and so on. The shortest delay with which the run passes, and of
//! those the latest, lies between the two calls whose order decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use afunix::snapshot::Snapshot;
use afunix::trace::EventKind;

use crate::choice::{Label, Source, Strategy};
use crate::options::RunOptions;
use crate::report::{Outcome, Report};
use crate::run::{App, Choices, Runner, replay, run};
use crate::script::{Follow, script_of};

/// How many turns a delay spans at most.
const LONGEST: usize = 40;

/// Turns of each thread that are tried after the last one of the run.
const NEXT: usize = 3;

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
    /// Its step in the run, from 0: what `--until` takes. `None`: the run failed before it.
    pub step: Option<u64>,
    /// The event in which the call begins, from 0: what ladders show at the left. `None` as for
    /// `step`, and of what is no call.
    pub event: Option<u64>,
}

/// Two calls on whose order it hangs whether the run fails.
#[derive(Clone, Debug)]
pub struct CriticalPair {
    /// The one that came first.
    pub first: Place,
    /// The one that came later. Had it come before `first`, the run would have passed.
    pub second: Place,
    /// The machine before `second`, or at the failure.
    pub between: Snapshot,
}

/// Threads in a given order, as far as they can run; the other choices are each thread's own, so a
/// fault strikes the same call of the same thread.
struct Order {
    slots: Vec<u32>,
    at: usize,
    /// The turns that were exchanged: the order must be kept up to their end.
    until: usize,
    /// It could not be kept.
    is_lost: Arc<AtomicBool>,
    rest: Follow,
}

impl Order {
    /// The order in which the thread of one turn is put off until another turn is over.
    fn delaying(
        slots: &[u32],
        earlier: usize,
        later: usize,
        is_lost: Arc<AtomicBool>,
        rest: Follow,
    ) -> Order {
        let mut slots = slots.to_vec();
        let delayed = slots[earlier];
        // Stable: the others first, then the one that is put off.
        slots[earlier..=later].sort_by_key(|slot| *slot == delayed);
        // After its first turn it may well do something else than in the failing run.
        let put_off = slots[earlier..=later].iter().filter(|slot| **slot == delayed).count();
        Order { slots, at: 0, until: later + 1 - put_off, is_lost, rest }
    }

    /// Whose turn it would be.
    fn next(&mut self, can: impl Fn(u32) -> bool) -> Option<u32> {
        let wanted = self.slots.get(self.at).copied().filter(|slot| can(*slot));
        if wanted.is_none() && self.at <= self.until {
            self.is_lost.store(true, Ordering::Relaxed);
        }
        self.at += 1;
        wanted
    }
}

impl Strategy for Order {
    fn thread(&mut self, runnable: &[u32], _: bool) -> u32 {
        let wanted = self.next(|slot| runnable.contains(&slot));
        let index = runnable.iter().position(|slot| Some(*slot) == wanted).unwrap_or(0);
        self.rest.turn_of(runnable[index]);
        index as u32
    }

    fn forced(&mut self, thread: u32) {
        self.next(|slot| slot == thread);
        self.rest.turn_of(thread);
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
    let made = report.turns.len();
    // What the run did not come to any more: each thread's next turns.
    let next = (0..report.names.len() as u32).cycle().take(NEXT * report.names.len());
    let slots: Vec<u32> = report.turns.iter().map(|turn| turn.slot).chain(next).collect();
    let mut limited = report.tape.options(options);
    limited.record = false;
    limited.most_steps = 10 * report.steps + 1000;
    let mut runner = Runner::new(Arc::new(limited.clone()));
    let script = script_of(app, &mut runner, &report.tape.choices);
    let mut left = STEPS_MAX;
    for distance in 1..=LONGEST.min(slots.len().saturating_sub(1)) {
        for later in (distance..slots.len()).rev() {
            let earlier = later - distance;
            if earlier >= made || slots[later] == slots[earlier] {
                continue;
            }
            let is_lost = Arc::new(AtomicBool::new(false));
            let order = || {
                let rest = Follow::new(&script);
                Order::delaying(&slots, earlier, later, Arc::clone(&is_lost), rest)
            };
            let outcome = runner.run(app, Source::Other(Box::new(order())), None);
            if outcome == Outcome::Passed && !is_lost.load(Ordering::Relaxed) {
                let between = match report.turns.get(later) {
                    Some(turn) => {
                        let second = place(report, *turn, true)?;
                        let until = second.step;
                        (second, replay(app, options, &report.tape, until).snapshot)
                    }
                    None => {
                        limited.record = true;
                        let passing = run(app, &limited, Choices::Strategy(Box::new(order())));
                        let delayed = slots[earlier..later].iter();
                        let delayed = delayed.filter(|slot| **slot == slots[earlier]).count();
                        let turn = *passing.turns.get(later - delayed)?;
                        (place(&passing, turn, false)?, report.snapshot.clone())
                    }
                };
                let first = place(report, report.turns[earlier], true)?;
                return Some(CriticalPair { first, second: between.0, between: between.1 });
            }
            left = left.saturating_sub(runner.world().counts.steps.max(1));
            if left == 0 {
                return None;
            }
        }
    }
    None
}

/// What a thread does in its turn; `counts` if the steps are those of the failing run.
pub(crate) fn place(report: &Report, turn: Turn, counts: bool) -> Option<Place> {
    let name = report.names.get(turn.slot as usize)?.clone();
    let mark = report.tape.marks.get(turn.step);
    let begins = mark.is_some_and(|mark| mark.thread == name);
    // A call that is stepped again after a wait has no mark of its own: it is the last one of the
    // thread.
    let step = match begins {
        true => turn.step,
        false => report.tape.marks[..turn.step].iter().rposition(|mark| mark.thread == name)?,
    };
    // One that is tried again has a plus; it was entered before.
    let mark = &report.tape.marks[step].call;
    let plain = mark.trim_end_matches('+').to_owned();
    let enters = begins && plain == *mark;
    let (process, thread) = report.ids.get(turn.slot as usize).copied()?;
    let is_ours =
        |event: &&afunix::trace::Event| event.process == process && event.thread == thread;
    let enter = |event: &afunix::trace::Event| match &event.kind {
        EventKind::Enter { call, .. } => Some((call.clone(), event.seq)),
        _ => None,
    };
    let (before, after) = report.events.split_at(turn.event.min(report.events.len()));
    let call = match enters {
        true => after.iter().filter(is_ours).find_map(enter),
        false => before.iter().rev().filter(is_ours).find_map(enter),
    };
    let call = call.filter(|(call, _)| call.starts_with(&plain));
    let event = call.as_ref().map(|(_, seq)| *seq).filter(|_| counts);
    let call = call.map_or(plain, |(call, _)| call);
    Some(Place { thread: name, call, step: counts.then_some(step as u64), event })
}
