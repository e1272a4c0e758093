//! [`SimArbiter`]: operations on memory that threads share, as steps of the run.

use std::time::Duration;

use afunix::sync::{Access, Arbiter, Tried};

use crate::coroutine;
use crate::host::{Sim, unwind};
use crate::world::{self, NotACaller, World};

/// Decides who comes first at one thing in memory ([`afunix::sync`]).
#[derive(Debug)]
pub struct SimArbiter {
    sim: Sim,
    /// Its number in the run.
    number: u32,
}

/// How a thread stands to a thing.
enum Standing {
    /// It is one of the process.
    Owner,
    /// It unwinds, or is not of the process: it neither waits for its turn nor for anything else.
    Aside,
    /// It is no more.
    Gone,
    /// The run is over.
    Outside,
}

impl SimArbiter {
    pub(crate) fn new(sim: Sim) -> SimArbiter {
        let number = sim.act(World::add_memory);
        SimArbiter { sim, number }
    }

    /// Works with the world, if the run is not over.
    fn with<R>(&self, work: impl FnOnce(&mut World) -> R) -> Option<R> {
        world::try_with(|world| (world.run == self.sim.run).then(|| work(world))).flatten()
    }

    fn standing(&self) -> Standing {
        match self.with(|world| world.caller(self.sim.process).map(drop)) {
            None => Standing::Outside,
            Some(Ok(())) if !std::thread::panicking() => Standing::Owner,
            Some(Ok(()) | Err(NotACaller::Foreign(_))) => Standing::Aside,
            Some(Err(NotACaller::Gone)) => Standing::Gone,
        }
    }

    /// Waits for the thread's turn, and begins the step.
    fn begin(&self, what: &'static str, may_wait: bool) {
        self.sim.act(|world| world.may_wait(may_wait));
        self.sim.scheduling_point();
        self.sim.act(|world| world.begin_operation(self.number, what));
    }
}

impl Arbiter for SimArbiter {
    fn step<R>(
        &self,
        what: &'static str,
        timeout: Option<Duration>,
        mut attempt: impl FnMut() -> Tried<R>,
    ) -> Option<R> {
        if std::thread::panicking() {
            return match attempt() {
                Tried::Done(access, result) => {
                    self.touch(access);
                    Some(result)
                }
                Tried::Waits(..) => None,
            };
        }
        self.begin(what, world::may_wait_in(what));
        let deadline =
            timeout.map(|timeout| self.sim.act(|world| world.clock.saturating_add(timeout)));
        let mut late = false;
        loop {
            match attempt() {
                Tried::Done(access, result) => {
                    self.touch(access);
                    self.sim.act(|world| world.end_operation(what, access));
                    return Some(result);
                }
                Tried::Waits(..) if late => return None,
                Tried::Waits(access, reason) => {
                    self.sim.act(|world| world.found_in_the_way(self.number, access));
                    let wait =
                        |world: &mut World| world.wait_at(self.number, what, reason, deadline);
                    if self.sim.act(wait) {
                        self.sim.wait_for_turn();
                    }
                    late = self.sim.act(|world| world.waited_at(self.number));
                }
            }
        }
    }

    fn release(&self, what: &'static str, act: impl FnOnce() -> Access) {
        match self.standing() {
            Standing::Owner => {
                self.begin(what, false);
                let access = act();
                self.touch(access);
                self.sim.act(|world| world.end_operation(what, access));
            }
            Standing::Aside => {
                let access = act();
                self.touch(access);
            }
            Standing::Gone if coroutine::is_inside() && !std::thread::panicking() => unwind(),
            Standing::Gone | Standing::Outside => {
                act();
            }
        }
    }

    fn touch(&self, access: Access) {
        self.with(|world| world.touch_memory(self.number, access));
    }

    fn wake(&self) {
        self.with(|world| world.wake_at(self.number));
    }

    fn hold(&self, yes: bool) {
        self.with(|world| world.hold(self.number, yes));
    }
}
