//! Who goes on, and when: the scheduling point, waits, and virtual time.

use std::cmp::{Ordering, Reverse};

use afunix::snapshot::WaitReason;
use afunix::trace::EventKind;
use afunix_model::{Effect, On, Resume, Ticket, Time};

use super::{NOBODY, State, Target, Waiting, World};
use crate::choice::Label;

/// A deadline of a waiting thread. The heap's greatest is the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timer {
    at: Time,
    slot: u32,
    /// Which of the thread's waits.
    wait: u64,
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> Ordering {
        Reverse((self.at, self.slot, self.wait)).cmp(&Reverse((other.at, other.slot, other.wait)))
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl World {
    /// Chooses the thread that goes on; `true` if it is the one on whose stack we are. If none ever
    /// can, the run ends.
    #[inline]
    pub(crate) fn schedule(&mut self) -> bool {
        if self.searching {
            return self.schedule_searching();
        }
        if self.end.is_some() {
            return false;
        }
        if self.clock >= self.next_timer {
            self.fire_timers();
        }
        while self.runnable.is_empty() {
            if !self.let_time_pass() {
                self.deadlock();
                return false;
            }
        }
        if self.odds.late != 0 && self.next_timer != Time::MAX {
            self.maybe_late();
        }
        let ran_last = self.runnable[0] == self.running;
        let index = if self.fair {
            self.least_served()
        } else {
            let World { chooser, runnable, threads, .. } = self;
            chooser.thread(runnable, ran_last, |slot| &threads[slot as usize].name)
        };
        if self.chooser.misfit().is_some() {
            self.diverged();
            return false;
        }
        self.runnable.swap(0, index);
        self.current = self.runnable[0];
        if self.record.is_some() {
            self.note_turn();
        }
        self.current == self.running
    }

    /// The thread that has made the fewest steps, as an index into `runnable`.
    #[cold]
    fn least_served(&self) -> usize {
        let steps = |index: &usize| {
            let slot = self.runnable[*index];
            (self.threads[slot as usize].steps, slot)
        };
        (0..self.runnable.len()).min_by_key(steps).unwrap_or(0)
    }

    /// A machine may be so busy that a deadline passes before a thread that can run does.
    fn maybe_late(&mut self) {
        if self.timer_is_live() && self.chooser.chance(self.odds.late, Label::Fault) {
            self.counts.faults.late += 1;
            let from = self.clock;
            self.let_time_pass();
            let passed = self.clock - from;
            self.note(NOBODY, || EventKind::Fault { what: format!("{passed:?} pass") });
        }
    }

    /// Lets go of timers that no thread waits for, and says whether one is left.
    fn timer_is_live(&mut self) -> bool {
        while let Some(timer) = self.timers.peek() {
            let thread = &self.threads[timer.slot as usize];
            if thread.state == State::Waiting && thread.waits == timer.wait {
                self.next_timer = timer.at;
                return true;
            }
            self.timers.pop();
        }
        self.next_timer = Time::MAX;
        false
    }

    /// Jumps to the next deadline; `false` if there is none.
    pub(super) fn let_time_pass(&mut self) -> bool {
        if !self.timer_is_live() {
            return false;
        }
        self.clock = self.clock.max(self.next_timer);
        self.fire_timers();
        true
    }

    /// Wakes those whose deadline has passed.
    pub(super) fn fire_timers(&mut self) {
        while self.timer_is_live() && self.next_timer <= self.clock {
            let Some(timer) = self.timers.pop() else { break };
            let ticket = self.threads[timer.slot as usize].ticket.unwrap_or_default();
            self.ready(timer.slot, Resume::TimedOut(ticket));
            self.note(timer.slot, || EventKind::Woken { by: None });
        }
        self.timer_is_live();
    }

    /// Lets a thread wait in a call.
    pub(super) fn park(&mut self, slot: u32, ticket: Ticket, waiting: Waiting) {
        self.threads[slot as usize].ticket = Some(ticket);
        self.slot_of.insert(ticket, slot);
        self.park_outside(slot, waiting);
    }

    /// Lets a thread wait for something that the machine knows nothing of.
    pub(super) fn park_outside(&mut self, slot: u32, waiting: Waiting) {
        let thread = &mut self.threads[slot as usize];
        thread.state = State::Waiting;
        thread.waiting = Some(waiting);
        thread.waits += 1;
        let wait = thread.waits;
        self.not_runnable(slot);
        if let Some(at) = waiting.deadline {
            self.timers.push(Timer { at, slot, wait });
            self.next_timer = self.next_timer.min(at);
        }
    }

    /// Lets a thread wait for the end of another.
    pub(super) fn park_joining(&mut self, slot: u32, joined: u32) {
        let since = self.clock;
        self.threads[joined as usize].joiner = slot;
        let waiting = Waiting {
            call: "join",
            fd: None,
            on: On { reason: WaitReason::Thread, socket: None },
            since,
            deadline: None,
            target: Target::Thread(joined),
        };
        self.park_outside(slot, waiting);
    }

    /// Takes a slot from those that can go on.
    pub(super) fn not_runnable(&mut self, slot: u32) {
        // Nearly always the first: the one that runs.
        if let Some(index) = self.runnable.iter().position(|other| *other == slot) {
            self.runnable.swap_remove(index);
        }
    }

    /// Lets a waiting thread go on.
    pub(super) fn ready(&mut self, slot: u32, resume: Resume) {
        let thread = &mut self.threads[slot as usize];
        if thread.state == State::Waiting {
            thread.state = State::Runnable;
            thread.resume = resume;
            self.runnable.push(slot);
            if self.searching {
                self.search_wakes(slot);
            }
        }
    }

    /// Does what the machine's last mutation asks for.
    #[inline]
    pub(super) fn drain(&mut self) {
        while let Some(effect) = self.machine.next_effect() {
            match effect {
                Effect::Woken(ticket) => {
                    if let Some(slot) = self.slot_of.get(ticket) {
                        self.ready(*slot, Resume::Woken(ticket));
                    }
                }
                Effect::Exited { process, exit } => self.bury(process, exit),
            }
        }
        if self.searching {
            self.search_touched();
        }
        if self.record.is_some() {
            self.note_happened();
        }
    }
}
