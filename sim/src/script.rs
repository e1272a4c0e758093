//! Scripts: whose turn it was at each scheduling point, and what else each thread chose.
//!
//! In a tape a choice has its place among those of all threads: with a turn taken out, a fault
//! would strike another call. In a script it has its place among those of its thread.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::choice::{Choice, Label, Loose, Random, Source, Strategy};
use crate::run::{App, Runner};
use crate::world::NOBODY;

/// A run, thread by thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    /// Slots, in the order of their turns.
    pub(crate) turns: Vec<u32>,
    /// Choices by slot and label.
    choices: BTreeMap<(u32, Label), Vec<u32>>,
}

impl Script {
    /// One of the values that the threads chose, beside their turns, and whose it is.
    pub(crate) fn value(&mut self, index: usize) -> Option<(u32, &mut u32)> {
        let each = self.choices.iter_mut();
        let each = each.map(|((slot, _), values)| (*slot, values));
        each.flat_map(|(slot, values)| values.iter_mut().map(move |it| (slot, it))).nth(index)
    }

    /// The first turns of a thread, so many, are taken out.
    pub(crate) fn skip(&mut self, slot: u32, mut turns: usize) {
        self.turns.retain(|turn| {
            let goes = *turn == slot && turns > 0;
            turns -= usize::from(goes);
            !goes
        });
    }
}

/// The script of the run of these choices, which is made once more.
pub(crate) fn script_of(app: &App, runner: &mut Runner, choices: &[Choice]) -> Script {
    let (logged, log) = Logged::new(Loose::new(choices));
    runner.run(app, Source::Other(Box::new(logged)), None);
    log.take()
}

/// Where the script of a run is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Script>>);

impl Log {
    fn write(&self, write: impl FnOnce(&mut Script)) {
        write(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn take(&self) -> Script {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A strategy whose choices are written down as a script.
pub(crate) struct Logged<S> {
    strategy: S,
    slot: u32,
    log: Log,
}

impl<S: Strategy> Logged<S> {
    pub(crate) fn new(strategy: S) -> (Self, Log) {
        let log = Log::default();
        (Logged { strategy, slot: NOBODY, log: log.clone() }, log)
    }

    fn turn(&mut self, slot: u32) {
        self.slot = slot;
        self.log.write(|script| script.turns.push(slot));
    }

    fn chose(&mut self, label: Label, value: u32) {
        let key = (self.slot, label);
        self.log.write(|script| script.choices.entry(key).or_default().push(value));
    }
}

impl<S: Strategy> Strategy for Logged<S> {
    fn thread(&mut self, runnable: &[u32], first_ran_last: bool) -> u32 {
        let index = self.strategy.thread(runnable, first_ran_last).min(runnable.len() as u32 - 1);
        self.turn(runnable[index as usize]);
        index
    }

    fn forced(&mut self, thread: u32) {
        self.strategy.forced(thread);
        self.turn(thread);
    }

    fn choose(&mut self, n: u32, label: Label) -> u32 {
        let value = self.strategy.choose(n, label);
        self.chose(label, value);
        value
    }

    fn chance(&mut self, odds: u32, label: Label) -> bool {
        let strikes = self.strategy.chance(odds, label);
        self.chose(label, u32::from(strikes));
        strikes
    }
}

/// Follows a script as far as it can: who cannot go on is passed over, and when there are no more
/// turns, the thread that ran last goes on.
pub(crate) struct Follow {
    turns: VecDeque<u32>,
    choices: BTreeMap<(u32, Label), VecDeque<u32>>,
    slot: u32,
}

impl Follow {
    pub(crate) fn new(script: &Script) -> Follow {
        let choices = script.choices.iter().map(|(key, values)| (*key, values.clone().into()));
        Follow { turns: script.turns.clone().into(), choices: choices.collect(), slot: NOBODY }
    }
}

impl Strategy for Follow {
    fn thread(&mut self, runnable: &[u32], _: bool) -> u32 {
        let mut index = None;
        while index.is_none()
            && let Some(turn) = self.turns.pop_front()
        {
            index = runnable.iter().position(|slot| *slot == turn);
        }
        let index = index.unwrap_or(0);
        self.slot = runnable[index];
        index as u32
    }

    fn forced(&mut self, thread: u32) {
        if self.turns.front() == Some(&thread) {
            self.turns.pop_front();
        }
        self.slot = thread;
    }

    fn choose(&mut self, n: u32, label: Label) -> u32 {
        let values = self.choices.get_mut(&(self.slot, label));
        values.and_then(VecDeque::pop_front).unwrap_or(0).min(n - 1)
    }

    fn chance(&mut self, _: u32, label: Label) -> bool {
        self.choose(2, label) != 0
    }
}

impl Follow {
    /// It is this thread's turn, whatever the script says.
    pub(crate) fn turn_of(&mut self, slot: u32) {
        self.slot = slot;
    }
}

/// Follows a script for so many turns; then threads take turns at random, and no fault strikes.
pub(crate) struct Depart {
    follow: Follow,
    left: usize,
    /// The turn under way is still the script's.
    follows: bool,
    random: Random,
}

impl Depart {
    pub(crate) fn after(script: &Script, turns: usize, seed: u64) -> Depart {
        let (follow, random) = (Follow::new(script), Random::new(seed));
        Depart { follow, left: turns, follows: true, random }
    }

    fn next_turn(&mut self) {
        self.follows = self.left > 0;
        self.left = self.left.saturating_sub(1);
    }
}

impl Strategy for Depart {
    fn thread(&mut self, runnable: &[u32], first_ran_last: bool) -> u32 {
        self.next_turn();
        match self.follows {
            true => self.follow.thread(runnable, first_ran_last),
            false => self.random.thread(runnable, first_ran_last),
        }
    }

    fn forced(&mut self, thread: u32) {
        self.next_turn();
        self.follow.forced(thread);
    }

    fn choose(&mut self, n: u32, label: Label) -> u32 {
        match label {
            _ if self.follows => self.follow.choose(n, label),
            Label::Thread | Label::Task | Label::Random => self.random.choose(n, label),
            _ => 0,
        }
    }

    fn chance(&mut self, _: u32, label: Label) -> bool {
        self.follows && self.follow.choose(2, label) != 0
    }
}
