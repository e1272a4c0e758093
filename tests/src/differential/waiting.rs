//! Programs whose calls wait: both sides are led step by step.
//!
//! The model makes a step first, which turns its slots into numbers; then a thread of a worker
//! process makes it on the kernel, until nothing moves any more there. What ended by then, and what
//! waits, the model has to explain (`search`): by waking its own waiting calls in some order, and
//! ending those whose time is over. Both sides then stand at the same point again, whatever the
//! race was.
//!
//! Time is the system's. A timeout is over in the model when it is over on the kernel, but never
//! before its time and not long after it.

mod kept;
mod lead;
mod search;
mod show;

use std::collections::BTreeMap;
use std::time::Duration;

use afunix::{Call, Errno, SaFlags, SigHandler, Sigaction, Signal, Tid};
use afunix_model::Ticket;
use afunix_model::machine::{Effect, Resume, Step as Outcome};

use super::answer::{Answer, Tag};
use super::model::State;
use super::perform::{look, perform};
use super::program::Request;

use kept::Kept;
pub use lead::Counts;
pub(super) use lead::run;
pub(super) use show::report;

/// Index of a process and index of a thread in it.
pub(super) type At = (usize, usize);

/// The threads of a program in the model, and the calls that wait in them.
#[derive(Clone, Debug, Default)]
pub(super) struct Waits {
    /// Per process; the last thread of each never waits: it looks.
    threads: Vec<Vec<Tid>>,
    pending: BTreeMap<At, Pending>,
    /// Calls that can go on, in the order of the wakes.
    woken: Vec<Ticket>,
    acting: Option<Acting>,
    now: Duration,
}

/// A call that waits.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// Index of its step.
    pub(super) step: usize,
    pub(super) request: Request,
    /// The numbers of its slots.
    numbers: Vec<i32>,
    ticket: Ticket,
    pub(super) deadline: Option<Duration>,
    kept: Kept,
}

/// The thread whose call is being made or goes on.
#[derive(Clone, Debug)]
struct Acting {
    at: At,
    resume: Resume,
    /// The numbers that it found when it began, if it goes on.
    numbers: Option<std::vec::IntoIter<i32>>,
    kept: Kept,
    blocked: Option<(Ticket, Option<Duration>)>,
}

impl Acting {
    fn first(at: At) -> Acting {
        let kept = Kept::default();
        Acting { at, resume: Resume::First, numbers: None, kept, blocked: None }
    }
}

impl State<'_> {
    /// Starts the program's threads: from now on calls wait in them.
    pub(super) fn start_threads(&mut self, threads: usize) {
        let mut waits = Waits::default();
        for (pid, main) in self.processes.clone() {
            let more = (1..=threads).map(|_| self.machine.start_thread(pid, "thread"));
            waits.threads.push([main].into_iter().chain(more).collect());
            self.drain();
            self.catch_signals(main);
        }
        self.waits = Some(Box::new(waits));
    }

    /// Both signals of programs are caught, as the kernel's workers do it.
    fn catch_signals(&mut self, main: Tid) {
        for (restart, flags) in [(false, SaFlags::empty()), (true, SaFlags::RESTART)] {
            let new = Some(Sigaction { handler: SigHandler::Handle, flags });
            let (signal, old) = (signal_number(restart), &mut Sigaction::default());
            let call = &mut Call::Sigaction { signal, new, old };
            let step = self.machine.step(Duration::ZERO, main, call, Resume::First);
            assert_eq!(step, Outcome::Done(Ok(0)), "a signal's handler is set");
            self.drain();
        }
    }

    /// Sends a thread one of the signals; it goes on as any that is woken.
    pub(super) fn signal(&mut self, at: At, restart: bool) {
        let tid = self.tid(at);
        self.machine.signal(tid, signal_number(restart));
        self.drain();
    }

    /// Whether a thread has a signal to handle.
    fn is_interrupted(&self, at: At) -> bool {
        self.machine.has_signal(self.tid(at))
    }

    fn tid(&self, at: At) -> Tid {
        self.waits().threads[at.0][at.1]
    }

    fn waits(&self) -> &Waits {
        self.waits.as_ref().expect("the threads were started")
    }

    fn waits_mut(&mut self) -> &mut Waits {
        self.waits.as_mut().expect("the threads were started")
    }

    /// The calls that wait.
    pub(super) fn pending(&self) -> &BTreeMap<At, Pending> {
        &self.waits().pending
    }

    /// The machine's clock.
    pub(super) fn now(&self) -> Duration {
        self.waits.as_ref().map_or(Duration::ZERO, |waits| waits.now)
    }

    /// Sets the clock; it never goes back.
    pub(super) fn set_now(&mut self, now: Duration) {
        let waits = self.waits_mut();
        waits.now = waits.now.max(now);
    }

    /// The thread of the acting process that makes the calls which are no steps.
    pub(super) fn observer(&self) -> Tid {
        match &self.waits {
            None => self.processes[self.process].1,
            Some(waits) => *waits.threads[self.process].last().expect("a process has threads"),
        }
    }

    /// Takes the effects of a mutation.
    pub(super) fn drain(&mut self) {
        while let Some(effect) = self.machine.next_effect() {
            if let (Effect::Woken(ticket), Some(waits)) = (effect, &mut self.waits) {
                waits.woken.push(ticket);
            }
        }
    }

    /// Whether the next call is that of a step in a thread which may wait.
    pub(super) fn is_acting(&self) -> bool {
        self.waits.as_ref().is_some_and(|waits| waits.acting.is_some())
    }

    /// The next number of a call that goes on: those of its beginning stay.
    pub(super) fn number_again(&mut self) -> Option<i32> {
        let acting = self.waits.as_mut()?.acting.as_mut()?;
        acting.numbers.as_mut()?.next()
    }

    /// Does something else in the middle of a step: makes calls that are not the step's.
    pub(super) fn aside<T>(&mut self, body: impl FnOnce(&mut Self) -> T) -> T {
        let acting = self.waits.as_mut().and_then(|waits| waits.acting.take());
        let value = body(self);
        if let Some(waits) = &mut self.waits {
            waits.acting = acting;
        }
        value
    }

    /// Makes the call of the acting thread; `None` if it waits now.
    pub(super) fn act(&mut self, call: &mut Call<'_, '_>) -> Option<Result<usize, Errno>> {
        let now = self.now();
        let waits = self.waits_mut();
        let mut acting = waits.acting.take().expect("a thread acts");
        let tid = waits.threads[acting.at.0][acting.at.1];
        if acting.resume != Resume::First {
            acting.kept.put_into(call);
        }
        let mut outcome = self.machine.step(now, tid, call, acting.resume);
        self.drain();
        if outcome == Outcome::Restart {
            self.handle_signals(tid);
            outcome = self.machine.step(now, tid, call, Resume::First);
            self.drain();
        }
        let result = match outcome {
            Outcome::Done(result) => {
                self.handle_signals(tid);
                Some(result)
            }
            Outcome::Restart => unreachable!("a call begins after all signals were handled"),
            Outcome::Blocked { ticket, deadline, .. } => {
                acting.kept = Kept::of(call);
                acting.blocked = Some((ticket, deadline));
                None
            }
        };
        self.waits_mut().acting = Some(acting);
        result
    }

    /// The handlers do nothing.
    fn handle_signals(&mut self, tid: Tid) {
        while self.machine.next_signal(tid).is_some() {}
    }

    /// Begins a step in a thread that is free; `None` if it waits now.
    pub(super) fn begin(&mut self, at: At, step: usize, request: &Request) -> Option<Answer> {
        self.attempt(Acting::first(at), step, request)
    }

    /// Goes on with a call that waits; `None` if it waits on.
    pub(super) fn resume(
        &mut self,
        at: At,
        resume: fn(Ticket) -> Resume,
    ) -> Option<(Pending, Answer)> {
        let waits = self.waits_mut();
        let pending = waits.pending.remove(&at).expect("a call waits there");
        waits.woken.retain(|ticket| *ticket != pending.ticket);
        let acting = Acting {
            at,
            resume: resume(pending.ticket),
            numbers: Some(pending.numbers.clone().into_iter()),
            kept: pending.kept.clone(),
            blocked: None,
        };
        let answer = self.attempt(acting, pending.step, &pending.request)?;
        Some((pending, answer))
    }

    fn attempt(&mut self, acting: Acting, step: usize, request: &Request) -> Option<Answer> {
        let at = acting.at;
        self.process = at.0;
        self.numbers.clear();
        self.waits_mut().acting = Some(acting);
        let answer = perform(self, request);
        let numbers = self.numbers.clone();
        let waits = self.waits_mut();
        let acting = waits.acting.take().expect("the thread acted");
        if let Some(answer) = answer {
            self.enter(request, &answer);
            return Some(answer);
        }
        let (ticket, deadline) = acting.blocked.expect("a call without an answer waits");
        let (request, kept) = (request.clone(), acting.kept);
        let pending = Pending { step, request, numbers, ticket, deadline, kept };
        waits.pending.insert(at, pending);
        None
    }

    /// Gives up a call that waits, as if it had never been made.
    pub(super) fn give_up(&mut self, at: At) {
        if let Some(pending) = self.waits_mut().pending.remove(&at) {
            self.machine.cancel(pending.ticket);
            self.drain();
        }
    }

    /// The threads that make steps and do not wait.
    pub(super) fn free_threads(&self) -> Vec<At> {
        let waits = self.waits();
        let of = |(process, all): (usize, &Vec<Tid>)| {
            (0..all.len() - 1).map(move |thread| (process, thread))
        };
        let all = waits.threads.iter().enumerate().flat_map(of);
        all.filter(|at| !waits.pending.contains_key(at)).collect()
    }

    /// The threads whose calls can go on, in the order of the wakes.
    pub(super) fn woken(&self) -> Vec<At> {
        let waits = self.waits();
        let whose = |ticket: &Ticket| {
            let mut all = waits.pending.iter();
            all.find(|(_, pending)| pending.ticket == *ticket).map(|(at, _)| *at)
        };
        waits.woken.iter().filter_map(whose).collect()
    }

    /// Goes on with what can, in the order of the wakes.
    pub(super) fn settle(&mut self) {
        while let Some(at) = self.woken().first().copied() {
            self.resume(at, Resume::Woken);
        }
    }

    /// The state of all that a process has open.
    pub(super) fn look_at(&mut self, process: usize) -> Answer {
        let mut answer = Answer::default();
        self.process = process;
        look(self, &mut answer, None);
        let after = answer.field(Tag::After).unwrap_or(&[]);
        after.clone_into(&mut self.last[process]);
        answer
    }
}

/// The number of the signal whose handler has SA_RESTART, or of the one whose has not.
fn signal_number(restart: bool) -> i32 {
    if restart { Signal::Usr2 as i32 } else { Signal::Usr1 as i32 }
}
