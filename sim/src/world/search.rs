//! What an exhaustive search is told of a run, and how it chooses.

use afunix::Pid;
use afunix::snapshot::WaitReason;
use afunix_model::{Access, Object, On, Time};

use super::{End, State, World};
use crate::search::Blocked;

impl World {
    /// [`World::schedule`], in an exhaustive search.
    #[cold]
    pub(super) fn schedule_searching(&mut self) -> bool {
        if let Some(search) = self.chooser.search() {
            search.end_step();
        }
        if self.end.is_some() {
            return false;
        }
        if self.clock >= self.next_timer {
            self.fire_timers();
        }
        while self.runnable.is_empty() {
            if let Some(search) = self.chooser.search() {
                search.time_passes();
            }
            if !self.let_time_pass() {
                self.deadlock();
                return false;
            }
        }
        let threads = &self.threads;
        let may_wait = |slot: u32| {
            let thread = &threads[slot as usize];
            thread.may_wait || thread.ticket.is_some()
        };
        let Some(index) = self.chooser.search_thread(&self.runnable, may_wait) else {
            self.end = Some(End::Stopped);
            return false;
        };
        self.runnable.swap(0, index);
        self.current = self.runnable[0];
        let pid = self.threads[self.current as usize].pid;
        if let Some(search) = self.chooser.search() {
            search.touch_life(pid, Access::Read);
        }
        self.current == self.running
    }

    /// The machine was changed.
    pub(super) fn search_touched(&mut self) {
        let World { chooser, machine, .. } = self;
        if let Some(search) = chooser.search() {
            search.touched(machine);
        }
    }

    /// A call has to wait.
    pub(super) fn search_blocks(&mut self, on: On, deadline: Option<Time>) {
        let mut waiting = self.threads.iter().filter(|thread| thread.state == State::Waiting);
        let in_order = match on.reason {
            // MEM 8: who waits is woken later than one who asks anew would get on.
            WaitReason::Memory => true,
            _ => waiting.any(|other| other.waiting.is_some_and(|it| it.on == on)),
        };
        let World { chooser, machine, .. } = self;
        let Some(search) = chooser.search() else { return };
        let but_for_state = matches!(on.reason, WaitReason::Backlog | WaitReason::PeerQueue);
        search.blocks(match in_order {
            true => Blocked::InOrder,
            false => Blocked::Freely { but_for_state },
        });
        if deadline.is_some() {
            search.touch(Object::Clock, Access::Read, machine);
        }
    }

    /// A thread that waited goes on.
    pub(super) fn search_continues(&mut self, slot: u32) {
        let waiting = self.threads[slot as usize].waiting;
        let World { chooser, machine, .. } = self;
        let Some(search) = chooser.search() else { return };
        if waiting.is_some_and(|it| it.deadline.is_some()) {
            search.touch(Object::Clock, Access::Read, machine);
        }
    }

    #[cold]
    pub(super) fn search_lacks_numbers(&mut self) {
        if let Some(search) = self.chooser.search() {
            search.no_numbers();
        }
    }

    pub(super) fn search_wakes(&mut self, slot: u32) {
        if let Some(search) = self.chooser.search() {
            search.wakes(slot);
        }
    }

    /// The running thread looked at the clock, which moves it.
    pub(crate) fn search_moves_clock(&mut self) {
        let World { chooser, machine, .. } = self;
        if let Some(search) = chooser.search() {
            search.touch(Object::Clock, Access::Write, machine);
        }
    }

    /// Whether what the running thread is about to do may have to wait.
    pub(crate) fn may_wait(&mut self, yes: bool) {
        self.threads[self.running as usize].may_wait = yes;
    }

    pub(super) fn search_joins(&mut self, slot: u32) {
        if let Some(search) = self.chooser.search() {
            if self.threads[slot as usize].state != State::Ended {
                search.blocks(Blocked::Freely { but_for_state: false });
            }
            search.joins(slot);
        }
    }

    pub(super) fn search_ends(&mut self, slot: u32) {
        if let Some(search) = self.chooser.search() {
            search.ended(slot);
        }
    }

    /// A process ends: those of its threads that could have gone on could have done so before.
    pub(super) fn search_kills(&mut self, pid: Pid) {
        let running = self.running;
        let World { chooser, threads, .. } = self;
        let Some(search) = chooser.search() else { return };
        search.touch_life(pid, Access::Write);
        for (slot, thread) in threads.iter().enumerate() {
            if thread.pid == pid && thread.state == State::Runnable && slot as u32 != running {
                search.kills(slot as u32);
            }
        }
    }
}
