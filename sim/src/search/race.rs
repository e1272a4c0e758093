//! What happened before what, and which events race.

use std::sync::Arc;

use afunix_model::sockets::Part;
use afunix_model::{Access, Object};

use super::footprint::{Footprint, Name, Trace};
use super::wakeup::{Item, begins_with, insert};
use super::{Blocked, Event, Search, Step, join};

impl Event {
    /// Whether another event has happened before this one.
    fn is_after(&self, other: &Event) -> bool {
        self.clock.get(other.thread as usize).is_some_and(|count| *count > other.step)
    }
}

/// Whether a clock has an event behind it.
fn covers(clock: &[u32], event: &Event) -> bool {
    clock.get(event.thread as usize).is_some_and(|count| *count > event.step)
}

impl Search {
    /// The event of a step that is over.
    pub(super) fn event(&mut self, step: Step) -> Event {
        let Step { thread, touched, after, blocked } = step;
        let number = self.threads.step_of(thread);
        let woken = self.threads.take_woken(thread);
        let of = |touched: &mut dyn Iterator<Item = &(Object, Name, Access)>| {
            Footprint::of(touched.map(|(_, name, access)| (*name, *access)))
        };
        let mut trace = Trace::new(of(&mut touched.iter()));
        if let Some(Blocked::Freely { but_for_state }) = blocked
            && changes_nothing(&touched)
        {
            let stays = |touched: &&_| !wakes(touched, but_for_state);
            trace.left = Arc::new(of(&mut touched.iter().filter(stays)));
        }
        let awaits = if blocked.is_some() { awaited(&touched) } else { Vec::new() };
        let start = self.clock_before(thread, &after);
        let (mut clock, races) = self.happened_before(thread, start, &trace.all);
        if clock.len() <= thread as usize {
            clock.resize(thread as usize + 1, 0);
        }
        clock[thread as usize] = number + 1;
        Event { thread, step: number, trace, clock, awaits, races, woken }
    }

    /// What has happened before an event, whatever it touches.
    fn clock_before(&self, thread: u32, after: &[usize]) -> Vec<u32> {
        let mut clock = self.passed.clone();
        let events = || self.nodes[..self.at].iter().filter_map(|node| node.event.as_ref());
        if let Some(own) = events().rev().find(|event| event.thread == thread) {
            join(&mut clock, &own.clock);
        }
        for index in after.iter().chain(&self.threads.born_by(thread)) {
            if let Some(event) = &self.nodes[*index].event {
                join(&mut clock, &event.clock);
            }
        }
        clock
    }

    /// The clock of an event that touches this, and the events that it follows directly because
    /// they conflict.
    fn happened_before(
        &self,
        thread: u32,
        mut clock: Vec<u32>,
        footprint: &Footprint,
    ) -> (Vec<u32>, Vec<usize>) {
        let mut races = Vec::new();
        for (index, node) in self.nodes[..self.at].iter().enumerate().rev() {
            let Some(event) = &node.event else { continue };
            if covers(&clock, event) || !event.trace.left.conflicts(footprint) {
                continue;
            }
            join(&mut clock, &event.clock);
            if event.thread != thread {
                races.push(index);
            }
        }
        (clock, races)
    }

    /// Notes, for each race of the run, that the later event is to be tried before the earlier one.
    pub(super) fn note_races(&mut self) {
        for later in 0..self.at {
            let Some(event) = &self.nodes[later].event else { continue };
            let (thread, races) = (event.thread, event.races.clone());
            for earlier in races {
                if !self.cannot_be_reversed(earlier, later) {
                    self.reverse(earlier, later, thread);
                }
            }
        }
        for (killer, thread) in std::mem::take(&mut self.killed) {
            self.reverse(killer, self.at, thread);
        }
    }

    /// Whether the later event waited for the earlier one, and nothing else would have let it go
    /// on.
    fn cannot_be_reversed(&self, earlier: usize, later: usize) -> bool {
        let nodes = &self.nodes;
        let Some(event) = &nodes[later].event else { return true };
        if event.woken != Some(earlier) {
            return false;
        }
        let before = nodes[..later].iter().rev().filter_map(|node| node.event.as_ref());
        let Some(own) = before.clone().find(|other| other.thread == event.thread) else {
            return false;
        };
        let Some(waker) = &nodes[earlier].event else { return true };
        let mut between = nodes[earlier + 1..later].iter().filter_map(|node| node.event.as_ref());
        !between.any(|other| !other.is_after(waker) && other.trace.all.writes_any(&own.awaits))
    }

    /// From before event `earlier`: what does not follow from it, then a step of `thread`.
    fn reverse(&mut self, earlier: usize, later: usize, thread: u32) {
        let Some(first) = &self.nodes[earlier].event else { return };
        if first.thread == thread {
            return;
        }
        let last = self.nodes.get(later).and_then(|node| node.event.as_ref());
        let mut sequence: Vec<Item> = self.nodes[earlier + 1..self.at]
            .iter()
            .enumerate()
            .filter(|(index, _)| earlier + 1 + index != later)
            .filter_map(|(_, node)| node.event.as_ref())
            .filter(|event| !event.is_after(first) && last.is_none_or(|it| !event.is_after(it)))
            .map(|event| Item { thread: event.thread, trace: event.trace.clone() })
            .collect();
        // What it touches here may differ: what it followed is missing.
        sequence.push(Item { thread, trace: Trace::new(Footprint::unknown()) });
        let node = &mut self.nodes[earlier];
        let is_tried = |sleeper: &super::Sleeper| {
            begins_with(&sequence, sleeper.thread, &sleeper.trace).is_some()
        };
        if !node.sleeping.iter().any(is_tried) {
            insert(&mut node.todo, sequence);
        }
    }
}

/// Whether a step that waits has changed nothing but its place in a queue, and waits for nothing
/// that has to change by more than it needs (MEM 8).
fn changes_nothing(touched: &[(Object, Name, Access)]) -> bool {
    touched.iter().all(|(object, _, access)| {
        let in_queue = matches!(
            object,
            Object::Socket(Part::Waiters(_))
                | Object::Numbers(_)
                | Object::Descriptor(..)
                | Object::Memory(_)
        );
        let memory = matches!(object, Object::Socket(Part::SendMemory(_)));
        match access {
            Access::Write => in_queue,
            Access::Awaits => !memory,
            Access::Read => true,
        }
    })
}

/// Whether a change of this wakes whoever waits for it; not always, if it is the state of a
/// listener: shutdown wakes no connector (CONNECT 11).
fn wakes((object, ..): &(Object, Name, Access), but_for_state: bool) -> bool {
    match object {
        Object::Process(_) | Object::Memory(_) => true,
        Object::Socket(Part::Receive(_) | Part::Backlog(_)) => true,
        Object::Socket(Part::State(_)) => !but_for_state,
        _ => false,
    }
}

fn awaited(touched: &[(Object, Name, Access)]) -> Vec<Name> {
    let awaits = touched.iter().filter(|(.., access)| *access == Access::Awaits);
    awaits.map(|(_, name, _)| *name).collect()
}
