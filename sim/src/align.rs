//! Following a tape whose program has changed a little since.
//!
//! A tape tells, step for step, which thread made which call, and which choices belong to the step.
//! A step of the run is *aligned* with one of the tape if it is the same call of the same thread,
//! in that thread's order. What was put in has no counterpart and gets the plainest choices; what
//! was taken out is passed over; all others get the turn, and the choices, that the tape has for
//! them.

use std::ops::Range;
use std::sync::Arc;

use crate::choice::{Choice, Label};
use crate::tape::{Mark, Tape};

/// Steps of a thread that may have been taken out in one place.
const REACH: usize = 8;

/// How well a run followed a tape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alignment {
    /// Steps of the run that the tape has, too.
    pub aligned: u64,
    /// Steps of the run that the tape has not.
    pub put_in: u64,
    /// Steps of the tape that the run has not.
    pub left_out: u64,
}

/// The choices of a tape, each given to its step.
#[derive(Clone, Debug)]
pub(crate) struct Aligned {
    marks: Arc<[Mark]>,
    choices: Vec<Choice>,
    /// Which steps of the tape have had their turn.
    done: Vec<bool>,
    /// All before it are done.
    first: usize,
    /// The choices of the step under way that were not drawn yet.
    mine: Range<usize>,
    put_in: u64,
    aligned: u64,
}

impl Aligned {
    pub(crate) fn new(tape: &Tape) -> Aligned {
        let marks: Arc<[Mark]> = tape.marks.clone().into();
        let before = marks.first().map_or(tape.choices.len(), |mark| mark.choices as usize);
        Aligned {
            done: vec![false; marks.len()],
            marks,
            choices: tape.choices.clone(),
            first: 0,
            mine: 0..before,
            put_in: 0,
            aligned: 0,
        }
    }

    pub(crate) fn result(&self) -> Alignment {
        let left_out = self.marks.len() as u64 - self.aligned;
        Alignment { aligned: self.aligned, put_in: self.put_in, left_out }
    }

    /// A thread makes a step.
    pub(crate) fn step(&mut self, thread: &str, call: &str) {
        let open = (self.first..self.marks.len())
            .filter(|at| !self.done[*at] && self.marks[*at].thread == thread);
        let found = open.clone().take(REACH).find(|at| self.marks[*at].call == call);
        let Some(found) = found else {
            self.put_in += 1;
            self.mine = 0..0;
            return;
        };
        for at in open.take_while(|at| *at <= found).collect::<Vec<_>>() {
            self.done[at] = true;
        }
        self.aligned += 1;
        while self.done.get(self.first) == Some(&true) {
            self.first += 1;
        }
        let end = self.marks.get(found + 1).map_or(self.choices.len(), |it| it.choices as usize);
        self.mine = self.marks[found].choices as usize..end;
    }

    /// Whose turn it is, as an index: of the next step of the tape whose thread can go on.
    pub(crate) fn thread<'a>(&self, runnable: &[u32], name: impl Fn(u32) -> &'a str) -> usize {
        let open = (self.first..self.marks.len()).filter(|at| !self.done[*at]);
        let mut turns = open
            .filter_map(|at| runnable.iter().position(|slot| name(*slot) == self.marks[at].thread));
        turns.next().unwrap_or(0)
    }

    /// A choice that is not of a thread.
    pub(crate) fn choose(&mut self, n: u32, label: Label) -> u32 {
        let mine = self.choices.get(self.mine.clone()).unwrap_or_default();
        let Some(at) = mine.iter().position(|choice| choice.label == label) else { return 0 };
        let value = mine[at].value;
        self.mine.start += at + 1;
        value.min(n - 1)
    }
}
