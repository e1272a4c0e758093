//! Threads under numbers that mean the same in every run: whose how-manieth child it is.

use std::collections::BTreeMap;

/// Nobody's child.
const NOBODY: u32 = u32::MAX;

/// What is known of a thread in this run.
#[derive(Clone, Debug, Default)]
struct Thread {
    /// Events that it has begun.
    steps: u32,
    children: u32,
    /// The event that started it.
    born: Option<usize>,
    /// The event that ended it.
    ended: Option<usize>,
    /// The thread that its last step waits for.
    joins: Option<u32>,
    /// The event that let it go on in its call.
    woken: Option<usize>,
}

/// The threads of a search.
#[derive(Clone, Debug, Default)]
pub(super) struct Threads {
    /// By (parent, how-manieth child).
    known: BTreeMap<(u32, u32), u32>,
    /// By slot.
    of_slot: Vec<u32>,
    /// By number; of this run.
    state: Vec<Thread>,
}

impl Threads {
    pub(super) fn begin_run(&mut self) {
        self.of_slot.clear();
        self.state.fill(Thread::default());
    }

    /// A thread begins, started by an event of another.
    pub(super) fn born(&mut self, slot: u32, parent: Option<(u32, usize)>) {
        let key = match parent {
            Some((parent, _)) => {
                let children = &mut self.state[parent as usize].children;
                *children += 1;
                (parent, *children)
            }
            None => (NOBODY, 0),
        };
        let next = self.known.len() as u32;
        let number = *self.known.entry(key).or_insert(next);
        if self.state.len() <= number as usize {
            self.state.resize_with(number as usize + 1, Thread::default);
        }
        self.state[number as usize].born = parent.map(|(_, event)| event);
        debug_assert_eq!(self.of_slot.len(), slot as usize, "slots are given out in order");
        self.of_slot.push(number);
    }

    /// The number of the thread in a slot.
    pub(super) fn of(&self, slot: u32) -> u32 {
        self.of_slot[slot as usize]
    }

    pub(super) fn has_begun(&self, slot: u32) -> bool {
        self.state[self.of(slot) as usize].steps > 0
    }

    /// Counts a step; returns how many came before.
    pub(super) fn begin_step(&mut self, thread: u32) -> u32 {
        let steps = &mut self.state[thread as usize].steps;
        *steps += 1;
        *steps - 1
    }

    /// How many steps came before the last one begun.
    pub(super) fn step_of(&self, thread: u32) -> u32 {
        self.state[thread as usize].steps - 1
    }

    pub(super) fn born_by(&self, thread: u32) -> Option<usize> {
        self.state[thread as usize].born
    }

    pub(super) fn ended(&mut self, slot: u32, event: usize) {
        let number = self.of(slot);
        self.state[number as usize].ended = Some(event);
    }

    pub(super) fn end_of(&self, slot: u32) -> Option<usize> {
        self.state[self.of(slot) as usize].ended
    }

    /// A thread waits for the end of another.
    pub(super) fn will_join(&mut self, thread: u32, slot: u32) {
        self.state[thread as usize].joins = Some(self.of(slot));
    }

    /// The end of the thread that this one waited for.
    pub(super) fn joined(&mut self, thread: u32) -> Option<usize> {
        let joins = self.state[thread as usize].joins.take()?;
        self.state[joins as usize].ended
    }

    pub(super) fn woken(&mut self, slot: u32, event: Option<usize>) {
        let number = self.of(slot);
        self.state[number as usize].woken = event;
    }

    pub(super) fn take_woken(&mut self, thread: u32) -> Option<usize> {
        self.state[thread as usize].woken.take()
    }
}
