//! Wakeup trees: the orders of steps that are still to be tried from a point on (Abdulla, Aronsson,
//! Jonsson, Sagonas: Optimal dynamic partial order reduction).
//!
//! A path from the root is a sequence of threads. A sequence is left out if one that is there leads
//! to the same: its first step is one that the new sequence could as well begin with.

use super::footprint::Trace;

/// A step of a sequence that is to be tried.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) thread: u32,
    pub(super) trace: Trace,
}

/// A thread that is to go on, and what is to follow; nothing in particular, if there are no
/// children.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) thread: u32,
    trace: Trace,
    pub(super) children: Vec<Branch>,
}

/// Whether `sequence` could begin with a step of `thread` that leaves `trace`, and be the same: it
/// is the first of its thread and needs nothing of what stands before it, or it is independent of
/// all. Where it stands in the sequence, if it does.
pub(super) fn begins_with(sequence: &[Item], thread: u32, trace: &Trace) -> Option<Option<usize>> {
    let at = sequence.iter().position(|item| item.thread == thread);
    let before = &sequence[..at.unwrap_or(sequence.len())];
    let free = before.iter().all(|item| item.trace.commutes_with(trace));
    free.then_some(at)
}

/// Adds a sequence to what is to be tried, unless something there leads to the same; `true` if it
/// was added.
pub(super) fn insert(branches: &mut Vec<Branch>, mut sequence: Vec<Item>) -> bool {
    let mut level = branches;
    loop {
        let found = level.iter().enumerate().find_map(|(index, branch)| {
            Some((index, begins_with(&sequence, branch.thread, branch.known(&sequence))?))
        });
        let Some((index, at)) = found else {
            level.extend(chain(&sequence));
            return true;
        };
        if let Some(at) = at {
            sequence.remove(at);
        }
        level = &mut level[index].children;
        if sequence.is_empty() || level.is_empty() {
            return false;
        }
    }
}

fn chain(sequence: &[Item]) -> Option<Branch> {
    let (first, rest) = sequence.split_first()?;
    Some(Branch {
        thread: first.thread,
        trace: first.trace.clone(),
        children: chain(rest).into_iter().collect(),
    })
}

impl Branch {
    /// What its step touches, as far as this or the sequence knows.
    fn known<'a>(&'a self, sequence: &'a [Item]) -> &'a Trace {
        if !self.trace.all.is_unknown() {
            return &self.trace;
        }
        let same = sequence.iter().find(|item| item.thread == self.thread);
        same.map_or(&self.trace, |item| &item.trace)
    }
}

/// How many sequences there are.
pub(super) fn leaves(branches: &[Branch]) -> u64 {
    let below = |branch: &Branch| leaves(&branch.children).max(1);
    branches.iter().map(below).sum()
}
