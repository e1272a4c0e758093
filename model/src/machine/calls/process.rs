//! Calls on the process itself and on its children.

use afunix::{Errno, Exit, Limits, Pid, snapshot::WaitReason};
use std::time::Duration;

use super::super::process::{InCallState, NR_OPEN};
use super::super::{Access, Cx, Flow, Machine, Object, Settled, Wait, Why};
use crate::wait::On;

impl Machine {
    pub(super) fn touch_settings(&mut self, cx: Cx) {
        self.touch(Object::Settings(cx.pid), Access::Write);
    }

    /// umask(2).
    pub(super) fn umask(&mut self, cx: Cx, mask: u32) -> Result<usize, Errno> {
        self.touch_settings(cx);
        let old = std::mem::replace(&mut self.process_mut(cx).umask, mask & 0o777);
        Ok(old as usize)
    }

    /// prlimit(2) of the caller's RLIMIT_NOFILE, whose hard limit is `fs.nr_open`.
    pub(super) fn prlimit(
        &mut self,
        cx: Cx,
        new: Option<Limits>,
        old: &mut Limits,
    ) -> Result<usize, Errno> {
        if new.is_some_and(|new| new.descriptors > NR_OPEN) {
            return Err(Errno::INVAL);
        }
        self.touch_settings(cx);
        let process = self.process_mut(cx);
        *old = process.limits;
        process.limits = new.unwrap_or(process.limits);
        Ok(0)
    }

    /// waitpid(2): of one child, or with -1 or 0 of the first to have ended.
    pub(super) fn waitpid(&mut self, cx: Cx, pid: Pid, status: &mut Option<Exit>) -> Flow {
        let is_over = |child: &Pid| self.processes.get(child.0).is_some_and(|c| c.ended.is_some());
        let children = &self.process(cx).children;
        let mut mine = children.iter().copied().filter(|child| pid.0 <= 0 || *child == pid);
        let is_none = pid.0 < -1 || mine.clone().next().is_none();
        let over = mine.find(is_over);
        let access = if pid.0 > 0 { Access::Read } else { Access::Write };
        self.touch(Object::Children(cx.pid), access);
        if pid.0 > 0 {
            self.touch(Object::Process(pid), Access::Read);
        }
        if is_none {
            return Flow::Done(Err(Errno::CHILD));
        }
        if let Some(child) = over {
            self.touch(Object::Process(child), Access::Write);
            self.process_mut(cx).children.remove(&child);
            *status = self.reap(child).and_then(|process| process.ended);
            return Flow::Done(Ok(child.0 as usize));
        }
        match cx.why {
            Why::Interrupted => Flow::Done(Err(Errno::INTR)),
            _ => self.wait_for_child(cx, pid),
        }
    }

    fn wait_for_child(&mut self, cx: Cx, pid: Pid) -> Flow {
        let awaited: Vec<Pid> = match pid.0 {
            1.. => vec![pid],
            _ => self.process(cx).children.iter().copied().collect(),
        };
        for child in awaited {
            self.touch(Object::Process(child), Access::Awaits);
        }
        let ticket = self.tickets.issue();
        let process = self.processes.get_mut(cx.pid.0).expect("the caller is a process");
        process.child_waiters.enrol(&self.tickets, ticket, false);
        let on = On { reason: WaitReason::Child, socket: None };
        let state = InCallState::None;
        Flow::Wait(Wait { on, ticket, deadline: None, settled: Settled::default(), state })
    }

    /// nanosleep(2).
    pub(super) fn nanosleep(&mut self, cx: Cx, time: Duration) -> Flow {
        self.touch(Object::Clock, Access::Read);
        let deadline = match self.in_call(cx) {
            Some(call) => call.deadline,
            None => Some(cx.now.saturating_add(time)),
        };
        match cx.why {
            Why::Interrupted => return Flow::Done(Err(Errno::INTR)),
            Why::TimedOut => return Flow::Done(Ok(0)),
            _ if deadline.is_some_and(|deadline| deadline <= cx.now) => {
                return Flow::Done(Ok(0));
            }
            _ => {}
        }
        let ticket = self.tickets.issue();
        let on = On { reason: WaitReason::Time, socket: None };
        let state = InCallState::None;
        Flow::Wait(Wait { on, ticket, deadline, settled: Settled::default(), state })
    }
}
