//! Makes a failing run simpler: fewer faults, fewer context switches, fewer steps, smaller values.
//!
//! A candidate is the run with something changed, made to fit; it is taken if the failure has the
//! same signature and the run that came of it is simpler. What is kept is the tape of that run, not
//! the candidate, so it always replays exactly.
//!
//! What is changed is now the *script* (whose turn it was, and each thread's own choices: a thread
//! is left out, turns are taken out, turns of one thread are put together), now the plain sequence
//! of choices. Nothing that comes after the failure is in either.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::choice::{Choice, Label, Loose, Source, Strategy};
use crate::options::RunOptions;
use crate::report::{Outcome, Report};
use crate::run::{App, Runner, replay};
use crate::script::{Follow, Logged, Script, script_of};

/// What shrinking came to.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The simplest run that was found, recorded; the first one, if none was simpler.
    pub report: Report,
    /// Runs tried.
    pub tried: u64,
    /// Whether the steps ran out, or somebody stopped it, before nothing more could be taken away.
    pub cut_short: bool,
}

/// Turns that are taken from a thread, at most, when a number that it chose is lowered.
const LESS_TO_DO: usize = 8;

/// How complicated a run is: less is better.
type Cost = (u64, u64);

struct Shrinker<'a> {
    app: &'a App,
    runner: Runner,
    signature: &'a str,
    best: Vec<Choice>,
    script: Script,
    cost: Cost,
    tried: u64,
    /// Steps that may still be made.
    steps: u64,
    stop: &'a AtomicBool,
}

/// Shrinks a failing run in at most about `steps` steps, and until somebody sets `stop`. A run that
/// did not fail is only made again.
pub fn shrink(
    app: &App,
    options: &RunOptions,
    report: &Report,
    steps: u64,
    stop: &AtomicBool,
) -> Shrunk {
    let tape_options = report.tape.options(options);
    let mut shrinker = Shrinker {
        app,
        runner: Runner::new(Arc::new(tape_options)),
        signature: report.failure().map_or("", |failure| &failure.signature),
        best: report.tape.choices.clone(),
        script: Script::default(),
        cost: cost(&report.tape.choices, report.steps),
        tried: 0,
        steps,
        stop,
    };
    if report.failure().is_some() {
        shrinker.shrink();
    }
    let cut_short = shrinker.stopped();
    let mut tape = report.tape.clone();
    tape.choices = shrinker.best;
    // The steps are others now; the replay writes them anew.
    tape.marks.clear();
    let best = replay(app, options, &tape, None);
    let same = best.failure().map(|it| &it.signature) == report.failure().map(|it| &it.signature);
    Shrunk { report: if same { best } else { report.clone() }, tried: shrinker.tried, cut_short }
}

fn cost(choices: &[Choice], steps: u64) -> Cost {
    let mut score = steps;
    let mut values = 0;
    for choice in choices.iter().filter(|choice| choice.value != 0) {
        values += u64::from(choice.value);
        score += match choice.label {
            Label::Fault | Label::Rule => 20,
            _ => 1,
        };
    }
    (score, values)
}

/// Does something with blocks of all, of a half, of a quarter, down to one.
fn halves(len: usize, mut work: impl FnMut(usize)) {
    let mut size = len.next_power_of_two();
    while size > 0 {
        work(size);
        size /= 2;
    }
}

/// What is tried instead of a value.
fn lower_than(value: u32) -> impl Iterator<Item = u32> {
    let lower = [0, 1, value / 2, value.saturating_sub(1)];
    lower.into_iter().filter(move |lower| *lower < value)
}

impl Shrinker<'_> {
    fn shrink(&mut self) {
        self.script = script_of(self.app, &mut self.runner, &self.best);
        loop {
            let before = self.cost;
            self.without_kinds();
            self.without_threads();
            halves(self.script.turns.len(), |size| self.turns(size));
            self.together();
            self.own_values();
            halves(self.best.len(), |size| self.blocks(size));
            self.values();
            if self.cost == before || self.stopped() {
                return;
            }
        }
    }

    fn stopped(&self) -> bool {
        self.steps == 0 || self.stop.load(Ordering::Relaxed)
    }

    /// Tries a sequence of choices; `true` if it is the best one now.
    fn attempt(&mut self, candidate: &[Choice]) -> bool {
        self.follow(Loose::new(candidate))
    }

    /// Tries a script; `true` if it is the best one now.
    fn attempt_script(&mut self, candidate: &Script) -> bool {
        self.follow(Follow::new(candidate))
    }

    fn follow(&mut self, strategy: impl Strategy + 'static) -> bool {
        if self.stopped() {
            return false;
        }
        self.tried += 1;
        let (logged, log) = Logged::new(strategy);
        let outcome = self.runner.run(self.app, Source::Other(Box::new(logged)), None);
        self.steps = self.steps.saturating_sub(self.runner.world().counts.steps.max(1));
        let fails = matches!(&outcome, Outcome::Failed(it) if it.signature == self.signature);
        if !fails {
            return false;
        }
        let world = self.runner.world();
        let found = cost(world.chooser.made(), world.counts.steps);
        if found >= self.cost {
            return false;
        }
        self.cost = found;
        self.best.clear();
        self.best.extend_from_slice(world.chooser.made());
        self.script = log.take();
        true
    }

    /// Each thread gets no turn while another can go on.
    fn without_threads(&mut self) {
        let mut slot = 0;
        while slot <= self.script.turns.iter().copied().max().unwrap_or(0) && !self.stopped() {
            let mut candidate = self.script.clone();
            candidate.turns.retain(|turn| *turn != slot);
            self.attempt_script(&candidate);
            slot += 1;
        }
    }

    /// Each block of `size` turns: taken out, so that what follows comes earlier.
    fn turns(&mut self, size: usize) {
        let mut start = 0;
        while start < self.script.turns.len() && !self.stopped() {
            let end = (start + size).min(self.script.turns.len());
            let mut candidate = self.script.clone();
            candidate.turns.drain(start..end);
            if !self.attempt_script(&candidate) {
                start += size;
            }
        }
    }

    /// Turns of one thread that others part: the later ones come earlier, or the earlier later.
    fn together(&mut self) {
        let mut start = 0;
        while start < self.script.turns.len() && !self.stopped() {
            let turns = &self.script.turns;
            let run = |from: usize| turns[from..].iter().take_while(move |it| **it == turns[from]);
            let end = start + run(start).count();
            let next = turns[end..].iter().position(|slot| *slot == turns[start]);
            let Some(next) = next.map(|distance| end + distance) else {
                start = end;
                continue;
            };
            let next_end = next + run(next).count();
            let (mut earlier, mut later) = (self.script.clone(), self.script.clone());
            earlier.turns[end..next_end].rotate_left(next - end);
            later.turns[start..next].rotate_left(end - start);
            if !self.attempt_script(&earlier) && !self.attempt_script(&later) {
                start = end;
            }
        }
    }

    /// All faults at once, all context switches at once, and so on.
    fn without_kinds(&mut self) {
        for label in Label::ALL {
            let mut candidate = self.best.clone();
            let mut changed = false;
            for choice in candidate.iter_mut().filter(|it| it.label == label && it.value != 0) {
                choice.value = 0;
                changed = true;
            }
            if changed {
                self.attempt(&candidate);
            }
        }
    }

    /// Each block of `size` choices: taken out, or made 0.
    fn blocks(&mut self, size: usize) {
        let mut start = 0;
        while start < self.best.len() && !self.stopped() {
            let end = (start + size).min(self.best.len());
            let mut without = self.best.clone();
            without.drain(start..end);
            if self.attempt(&without) {
                continue;
            }
            if self.best[start..end].iter().any(|choice| choice.value != 0) {
                let mut zeroed = self.best.clone();
                zeroed[start..end].iter_mut().for_each(|choice| choice.value = 0);
                self.attempt(&zeroed);
            }
            start += size;
        }
    }

    /// Lowers single values of a thread: what the others choose, and which of its calls a fault
    /// strikes, stays as it is.
    fn own_values(&mut self) {
        let mut index = 0;
        while let Some((slot, value)) = self.script.value(index).map(|(slot, it)| (slot, *it))
            && !self.stopped()
        {
            for lower in lower_than(value) {
                let mut lowered = self.script.clone();
                lowered.value(index).into_iter().for_each(|(_, value)| *value = lower);
                let fewer = |turns| {
                    let mut candidate = lowered.clone();
                    candidate.skip(slot, turns);
                    candidate
                };
                // With a smaller number it may have less to do before the others come.
                if (0..=LESS_TO_DO).any(|turns| self.attempt_script(&fewer(turns))) {
                    break;
                }
            }
            index += 1;
        }
    }

    /// Lowers single values in the plain sequence.
    fn values(&mut self) {
        let mut index = 0;
        while index < self.best.len() && !self.stopped() {
            for value in lower_than(self.best[index].value) {
                let mut candidate = self.best.clone();
                candidate[index].value = value;
                if self.attempt(&candidate) {
                    break;
                }
            }
            index += 1;
        }
    }
}
