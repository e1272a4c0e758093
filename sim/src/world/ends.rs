//! How a run ends, and what is said about it.

use afunix::Exit;

use super::{End, NOBODY, World};
use crate::report::{Failure, FailureKind, Outcome};
use crate::waits;

impl World {
    fn fail(&mut self, failure: Failure) {
        if self.end.is_none() {
            self.end = Some(End::Failed(Box::new(failure)));
        }
    }

    /// No thread can go on, and no deadline will pass.
    #[cold]
    pub(super) fn deadlock(&mut self) {
        let failure = waits::deadlock(self);
        self.fail(failure);
    }

    /// The tape does not fit.
    #[cold]
    pub(super) fn diverged(&mut self) {
        let step = self.record.as_ref().map_or(self.counts.steps, |it| it.marks.len() as u64);
        let misfit = self.chooser.misfit().unwrap_or_default();
        let message = format!("first divergence at step {step}: {misfit}");
        self.fail(Failure::new(FailureKind::Diverged, message));
    }

    /// A panic that is a failure.
    #[cold]
    pub(super) fn panicked(&mut self, slot: u32, message: String) {
        if !self.options.panics_fail {
            return;
        }
        let title = self.title(slot);
        // The first process's exit is the lesser news.
        if matches!(self.end, Some(End::Exited(_))) {
            self.end = None;
        }
        let place = message.rsplit_once(", at ").map_or("?", |(_, place)| place).to_owned();
        let mut failure = Failure::new(FailureKind::Panic, format!("{title}: {message}"));
        failure.signature = format!("panic at {place}");
        self.fail(failure);
    }

    /// The limit of steps is near, or reached.
    #[cold]
    pub(super) fn check_limits(&mut self) {
        let most = self.options.most_steps;
        if self.counts.steps < most {
            self.steps_then = self.threads.iter().map(|thread| thread.steps).collect();
            self.check_at = most;
            return;
        }
        let since = |slot: usize| {
            let then = self.steps_then.get(slot).copied().unwrap_or(0);
            self.threads[slot].steps - then
        };
        let mut busy: Vec<usize> =
            (0..self.threads.len()).filter(|slot| since(*slot) > 0).collect();
        busy.sort_by_key(|slot| (std::cmp::Reverse(since(*slot)), *slot));
        let names: Vec<String> = busy.iter().take(4).map(|slot| self.title(*slot as u32)).collect();
        let who = match &names[..] {
            [one] => format!("{one} alone made the last ones: it spins"),
            names => format!("those at the end were made by {}", names.join(", ")),
        };
        let mut sorted = names.clone();
        sorted.sort_unstable();
        let mut failure =
            Failure::new(FailureKind::Livelock, format!("no end after {most} steps; {who}"));
        failure.signature = format!("livelock: {}", sorted.join(", "));
        failure.waits = waits::lines(self, &self.snapshot());
        self.fail(failure);
    }

    /// How the run ended. To be asked once, at its end.
    pub(crate) fn outcome(&mut self) -> Outcome {
        if matches!(self.end, Some(End::Exited(Exit::Status(0)))) {
            let mut threads = self.threads.iter_mut().enumerate();
            let unseen = threads.find_map(|(slot, it)| Some((slot as u32, it.panicked.take()?)));
            if let Some((slot, message)) = unseen {
                self.panicked(slot, message);
            }
        }
        match self.end.take() {
            Some(End::Exited(Exit::Status(0))) if self.counts.calls == 0 => Outcome::Failed(
                Failure::new(FailureKind::Idle, "the run made no call: it has shown nothing"),
            ),
            Some(End::Exited(Exit::Status(0))) => {
                self.look_back();
                match self.end.take() {
                    Some(End::Failed(failure)) => Outcome::Failed(*failure),
                    _ => Outcome::Passed,
                }
            }
            Some(End::Exited(how)) => {
                let mut failure =
                    Failure::new(FailureKind::Exit, format!("the first process ended: {how}"));
                failure.exit = Some(how);
                // Others may have said something since; the first process knows why it ends.
                let said = self.said.and_then(|at| self.printed.get(at));
                if let Some(line) = said.or(self.printed.last()) {
                    failure.message = format!("{}; it said last: {line}", failure.message);
                    failure.signature = format!("{}: {}", failure.signature, masked(line));
                }
                Outcome::Failed(failure)
            }
            Some(End::Failed(failure)) => Outcome::Failed(*failure),
            Some(End::Stopped) => Outcome::Stopped,
            None => unreachable!("a run goes on until it has an end"),
        }
    }

    /// The run is over: from here on calls do nothing, and every coroutine that is left unwinds.
    pub(crate) fn close(&mut self) {
        self.over = true;
        self.running = NOBODY;
        self.doomed.clear();
    }
}

/// A line with its numbers masked: runs that fail alike may say other ones.
fn masked(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for char in line.chars().map(|char| if char.is_ascii_digit() { '#' } else { char }) {
        if char != '#' || !text.ends_with('#') {
            text.push(char);
        }
    }
    text
}
