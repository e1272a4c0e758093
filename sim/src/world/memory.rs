//! What threads share in memory: who waits there, who holds it.

use afunix::snapshot::WaitReason;
use afunix::sync::Access;
use afunix::trace::EventKind;
use afunix_model::{Access as Touched, Object, On, Resume, Time};

use super::{Target, Waiting, World};
use crate::counts::{mix, name_key};
use crate::search::Blocked;

/// Something that threads share in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Slots that wait here, in the order in which they came.
    waiting: Vec<u32>,
    /// Slots that hold it; one as often as it does.
    pub(crate) holders: Vec<u32>,
    /// Slots that have changed it, each once.
    pub(crate) users: Vec<u32>,
}

impl Memory {
    pub(super) fn is_held_by(&self, slot: u32) -> bool {
        self.holders.contains(&slot)
    }
}

/// Whether an operation may have to wait for another thread. (If it does and this says no, a search
/// only tries more than it had to.)
pub(crate) fn may_wait_in(operation: &str) -> bool {
    matches!(operation, "lock" | "read_lock" | "write_lock" | "wait" | "recv" | "recv_timeout")
}

impl World {
    /// A new thing of the running thread's process; its number.
    pub(crate) fn add_memory(&mut self) -> u32 {
        let number = self.memory.len() as u32;
        self.memory.push(Memory::default());
        // A search names it by this step.
        self.touched(number, Touched::Write);
        number
    }

    fn touched(&mut self, number: u32, access: Touched) {
        let World { chooser, machine, .. } = self;
        if let Some(search) = chooser.search() {
            search.touch(Object::Memory(number), access, machine);
        }
    }

    /// The running thread begins an operation.
    pub(crate) fn begin_operation(&mut self, number: u32, what: &'static str) {
        let slot = self.running;
        self.account(slot);
        if self.record.is_some() {
            let call = format!("{what}(#{number})");
            self.note(slot, || EventKind::Enter { call, socket: None });
            self.mark(slot, what);
        }
    }

    /// The running thread's operation is done.
    pub(crate) fn end_operation(&mut self, what: &'static str, access: Access) {
        let slot = self.running;
        let trace = mix(self.counts.trace, u64::from(slot) ^ (name_key(what) << 16));
        self.counts.trace = mix(trace, access as u64);
        self.note(slot, || EventKind::Exit { call: what.to_owned(), result: 0 });
    }

    /// The step under way touched it.
    pub(crate) fn touch_memory(&mut self, number: u32, access: Access) {
        if self.over {
            return;
        }
        match access {
            Access::Read => self.touched(number, Touched::Read),
            Access::Write => {
                self.touched(number, Touched::Write);
                let running = self.running;
                let users = &mut self.memory[number as usize].users;
                if !users.contains(&running) {
                    users.push(running);
                }
                self.wake_at(number);
            }
        }
    }

    /// Lets those go on that wait at it.
    pub(crate) fn wake_at(&mut self, number: u32) {
        if self.over {
            return;
        }
        for slot in std::mem::take(&mut self.memory[number as usize].waiting) {
            self.ready(slot, Resume::First);
        }
    }

    /// The running thread has to wait for what others do at it.
    pub(crate) fn found_in_the_way(&mut self, number: u32, access: Access) {
        self.touched(number, Touched::Awaits);
        if access == Access::Write {
            self.touched(number, Touched::Write);
        }
    }

    /// The running thread waits at it; `true` if another thread goes on first.
    pub(crate) fn wait_at(
        &mut self,
        number: u32,
        call: &'static str,
        reason: WaitReason,
        deadline: Option<Time>,
    ) -> bool {
        let slot = self.running;
        let World { chooser, machine, .. } = self;
        if let Some(search) = chooser.search() {
            search.blocks(Blocked::Freely { but_for_state: false });
            if deadline.is_some() {
                search.touch(Object::Clock, Touched::Read, machine);
            }
        }
        self.memory[number as usize].waiting.push(slot);
        let (on, since) = (On { reason, socket: None }, self.clock);
        let target = Target::Memory(number);
        self.park_outside(slot, Waiting { call, fd: None, on, since, deadline, target });
        self.note(slot, || EventKind::Blocked { on: crate::waits::words(reason), socket: None });
        !self.schedule()
    }

    /// The running thread goes on; `true` if its deadline has passed.
    pub(crate) fn waited_at(&mut self, number: u32) -> bool {
        let slot = self.running;
        if self.searching {
            self.search_continues(slot);
        }
        self.account(slot);
        if let Some(waiting) = self.threads[slot as usize].waiting.filter(|_| self.record.is_some())
        {
            self.mark(slot, &format!("{}+", waiting.call));
        }
        self.memory[number as usize].waiting.retain(|other| *other != slot);
        let thread = &mut self.threads[slot as usize];
        thread.waiting = None;
        matches!(thread.resume, Resume::TimedOut(_))
    }

    /// The running thread holds it, or no longer.
    pub(crate) fn hold(&mut self, number: u32, yes: bool) {
        let slot = self.running;
        let Some(memory) = self.memory.get_mut(number as usize).filter(|_| !self.over) else {
            return;
        };
        if yes {
            memory.holders.push(slot);
        } else if let Some(at) = memory.holders.iter().position(|other| *other == slot) {
            memory.holders.swap_remove(at);
        }
    }
}
