//! What decides that a run fails, where it is not the order of two calls.
//!
//! The run is followed for some turns, and left: others are chosen at random, and no more faults
//! strike. The turn up to which that still passes, and after which it never does, decides: what the
//! thread did in it, or the fault that struck there.

use std::sync::Arc;

use afunix::snapshot::Snapshot;
use afunix::trace::EventKind;

use crate::choice::Source;
use crate::critical::{Place, place};
use crate::options::RunOptions;
use crate::report::{Outcome, Report};
use crate::run::{App, Choices, Runner, replay, run};
use crate::script::{Depart, Script, script_of};

/// Ways that are tried from one point on.
const WAYS: u64 = 64;

/// What decides that a run fails.
#[derive(Clone, Debug)]
pub enum Decisive {
    /// A fault: as long as it has not struck, the run can pass.
    Fault {
        /// In words: `killed at listen`.
        what: String,
        /// Whom it struck.
        at: Place,
    },
    /// A turn: before it the run can pass, after it no way that was tried does.
    Turn {
        /// What was done in it.
        taken: Place,
        /// What can be done instead, by another thread, so that it passes.
        instead: Place,
        /// The machine before it.
        before: Snapshot,
    },
    /// Nothing that is chosen: none of so many other orders, without faults, passes.
    Nothing {
        /// Orders that were tried.
        tried: u64,
    },
}

/// What decides about a failing run that was recorded; `None` if the run cannot tell.
pub(crate) fn decisive(app: &App, options: &RunOptions, report: &Report) -> Option<Decisive> {
    report.failure()?;
    let mut limited = report.tape.options(options);
    limited.record = false;
    limited.most_steps = 10 * report.steps + 1000;
    let mut runner = Runner::new(Arc::new(limited.clone()));
    let script = script_of(app, &mut runner, &report.tape.choices);
    let mut passing = |turns: usize| passing(app, &mut runner, &script, turns);
    let Some(mut way) = passing(0) else { return Some(Decisive::Nothing { tried: WAYS }) };
    // After `low` turns it can pass, after `high` it cannot: each turn takes ways away.
    let (mut low, mut high) = (0, report.turns.len());
    while high - low > 1 {
        let middle = (low + high) / 2;
        match passing(middle) {
            Some(seed) => (low, way) = (middle, seed),
            None => high = middle,
        }
    }
    let turn = *report.turns.get(low)?;
    let end = report.turns.get(high).map_or(report.events.len(), |next| next.event);
    let fault =
        report.events[turn.event.min(end)..end].iter().find_map(|event| match &event.kind {
            EventKind::Fault { what } => Some(what.clone()),
            _ => None,
        });
    let taken = place(report, turn, true)?;
    if let Some(what) = fault {
        return Some(Decisive::Fault { what, at: taken });
    }
    limited.record = true;
    let depart = Depart::after(&script, low, way);
    let passes = run(app, &limited, Choices::Strategy(Box::new(depart)));
    let instead = place(&passes, *passes.turns.get(low)?, false)?;
    let before = replay(app, options, &report.tape, taken.step).snapshot;
    Some(Decisive::Turn { taken, instead, before })
}

/// The seed of a way that passes after so many turns of a script; `None` if none was found.
fn passing(app: &App, runner: &mut Runner, script: &Script, turns: usize) -> Option<u64> {
    (0..WAYS).find(|seed| {
        let depart = Depart::after(script, turns, *seed);
        runner.run(app, Source::Other(Box::new(depart)), None) == Outcome::Passed
    })
}
