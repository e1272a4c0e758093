//! The machine as a [`Backend`], with one thing left open: how to wait.
//!
//! [`Emulated`] performs a call by stepping the machine; what the step woke is told to whoever
//! [`Park`]s there, and a call that cannot go on parks itself. The machine is locked from the step
//! that says *blocked* until the caller is entered as one that waits, so that no wake-up can fall
//! between the two.

use std::ops::DerefMut;

use afunix::{Backend, Call, Errno, Exit, Pid, Tid};

use crate::{Effect, Machine, Resume, Step, Ticket, Time};

/// How threads share a machine and wait in it.
pub trait Park {
    /// The machine, locked.
    type Guard<'a>: DerefMut<Target = Machine>
    where
        Self: 'a;

    /// Locks the machine.
    fn lock(&self) -> Self::Guard<'_>;

    /// Releases the machine and waits in one: until `ticket` is woken ([`Resume::Woken`]), `until`
    /// has passed ([`Resume::TimedOut`]) or a signal came. Taking the guard is what makes a lost
    /// wake-up impossible. Also returns when the caller's process has ended; the machine then knows
    /// its thread no more.
    fn wait(&self, held: Self::Guard<'_>, ticket: Ticket, until: Option<Time>) -> Resume;

    /// The call that waits by `ticket` can go on.
    fn wake(&self, held: &mut Self::Guard<'_>, ticket: Ticket);

    /// A process has ended: its threads that wait must wait no longer.
    fn ended(&self, held: &mut Self::Guard<'_>, pid: Pid, exit: Exit);

    /// Runs what the calling thread's process does on `signal`. The machine is not locked.
    fn handle(&self, signal: i32) {
        let _ = signal;
    }

    /// Something was done and all its effects were told.
    fn settled(&self, held: &mut Self::Guard<'_>) {
        let _ = held;
    }

    /// The calling thread's process has ended: it must not run on. Unwinds, or returns what the
    /// call is to fail with. The machine is not locked.
    fn gone(&self, call: &Call<'_, '_>) -> Errno;

    /// The machine's clock.
    fn now(&self) -> Time;

    /// The thread that calls.
    fn current(&self) -> Tid;
}

/// A machine whose calls wait as `P` says.
#[derive(Clone, Copy, Debug)]
pub struct Emulated<P>(pub P);

impl<P: Park> Backend for Emulated<P> {
    fn call(&self, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        self.call_as(self.0.current(), call)
    }
}

impl<P: Park> Emulated<P> {
    /// Performs a call for `thread`, whichever thread runs this.
    pub fn call_as(&self, thread: Tid, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        let mut resume = Resume::First;
        loop {
            let mut held = self.0.lock();
            if resume == Resume::First {
                held = self.handle_signals(held, thread);
            }
            let step = held.step(self.0.now(), thread, call, resume);
            let woken = drain(&self.0, &mut held, &step);
            if held.process_of(thread).is_none() {
                // Killed: by this very call, while it waited, or before it began.
                drop(held);
                return Err(self.0.gone(call));
            }
            resume = match step {
                Step::Done(result) => {
                    drop(self.handle_signals(held, thread));
                    return result;
                }
                Step::Restart => Resume::First,
                Step::Blocked { ticket, .. } if woken => Resume::Woken(ticket),
                Step::Blocked { ticket, deadline, .. } => self.0.wait(held, ticket, deadline),
            };
        }
    }

    /// Runs the handlers of the signals that the thread has to handle, without the lock.
    fn handle_signals<'a>(&'a self, mut held: P::Guard<'a>, thread: Tid) -> P::Guard<'a> {
        while let Some(signal) = held.next_signal(thread) {
            drop(held);
            self.0.handle(signal);
            held = self.0.lock();
        }
        held
    }

    /// Does something else to the machine than a call, and tells its effects.
    pub fn with<R>(&self, mutate: impl FnOnce(&mut Machine) -> R) -> R {
        let mut held = self.0.lock();
        let result = mutate(&mut held);
        drain(&self.0, &mut held, &Step::Done(Ok(0)));
        result
    }
}

/// Tells all effects. Whether the very ticket that `step` left to wait by was woken: it waits
/// nowhere yet.
fn drain<P: Park>(park: &P, held: &mut P::Guard<'_>, step: &Step) -> bool {
    let own = match step {
        Step::Blocked { ticket, .. } => Some(*ticket),
        Step::Done(_) | Step::Restart => None,
    };
    let mut woken = false;
    while let Some(effect) = held.next_effect() {
        match effect {
            Effect::Woken(ticket) if Some(ticket) == own => woken = true,
            Effect::Woken(ticket) => park.wake(held, ticket),
            Effect::Exited { process, exit } => park.ended(held, process, exit),
        }
    }
    park.settled(held);
    woken
}
