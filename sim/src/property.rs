//! Properties: what shall hold at every step, at some step of some run, and at some step of each.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use afunix::snapshot::Snapshot;
use afunix::{Errno, Pid};
use serde::Serialize;

use crate::faults::Odds;
use crate::report::{Failure, FailureKind};
use crate::world::{End, World};

/// Steps after which a run with an `eventually` that has not held has no more faults, and threads
/// take fair turns.
const FAIR_AFTER: u64 = 20_000;

/// When a property has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    /// After every step of every run.
    Always,
    /// After some step of some run: else the campaign has not tried what it was made for.
    Sometimes,
    /// After some step of each run.
    Eventually,
}

impl Modality {
    /// In a word: `always`.
    pub const fn name(self) -> &'static str {
        match self {
            Modality::Always => "always",
            Modality::Sometimes => "sometimes",
            Modality::Eventually => "eventually",
        }
    }
}

/// What a property looks at.
pub(crate) type Holds = Box<dyn Fn(&Now<'_>) -> bool + Send>;

/// A property of the run under way.
pub(crate) struct Property {
    pub(crate) modality: Modality,
    pub(crate) name: String,
    holds: Holds,
    /// Whether it has held.
    pub(crate) met: bool,
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.modality.name(), self.name)
    }
}

/// What a run keeps for its properties and checks; empty, and of no cost, without any.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) properties: Vec<Property>,
    errnos: BTreeSet<Errno>,
    calls: BTreeSet<&'static str>,
}

/// The world between two steps, to be looked at and not changed.
pub struct Now<'a> {
    world: &'a World,
    watch: &'a Watch,
}

impl Now<'_> {
    fn pids<'b>(&'b self, process: &'b str) -> impl Iterator<Item = Pid> + 'b {
        let all = self.world.processes.iter();
        all.filter(move |it| it.alive && it.name == process).map(|it| it.pid)
    }

    /// How many descriptors the living processes of this name have open, the standard three aside.
    pub fn open_descriptors(&self, process: &str) -> usize {
        let machine = &self.world.machine;
        let numbers = self.pids(process).flat_map(|pid| machine.descriptor_numbers(pid));
        numbers.filter(|number| *number > 2).count()
    }

    /// How many processes of this name are alive.
    pub fn alive(&self, process: &str) -> usize {
        self.pids(process).count()
    }

    /// How many processes of this name have been started so far.
    pub fn started(&self, process: &str) -> usize {
        self.world.processes.iter().filter(|it| it.name == process).count()
    }

    /// Whether a call has failed with this error.
    pub fn saw(&self, errno: Errno) -> bool {
        self.watch.errnos.contains(&errno)
    }

    /// Whether a call of this name (`accept4`) has come to its end.
    pub fn called(&self, call: &str) -> bool {
        self.watch.calls.contains(call)
    }

    /// Whether a process has printed this line ([`Host::print`](afunix::Host::print)).
    pub fn printed(&self, line: &str) -> bool {
        self.world.printed.iter().any(|other| other == line)
    }

    /// Processes killed by faults so far.
    pub fn crashes(&self) -> u64 {
        self.world.counts.faults.crashes
    }

    /// Virtual time since the machine started.
    pub fn time(&self) -> Duration {
        self.world.clock
    }

    /// Everything: processes, descriptors, sockets and their queues. Slow: tens of microseconds.
    pub fn snapshot(&self) -> Snapshot {
        self.world.snapshot()
    }
}

impl World {
    /// Adds a property to the run under way; one of the same name takes its place.
    pub(crate) fn add_property(&mut self, modality: Modality, name: &str, holds: Holds) {
        let property = Property { modality, name: name.to_owned(), holds, met: false };
        let watch = self.watch.get_or_insert_default();
        watch
            .properties
            .retain(|other| (other.modality, &other.name) != (modality, &property.name));
        watch.properties.push(property);
    }

    /// Notes what a call came to, for [`Now`], and looks at the properties.
    #[cold]
    pub(crate) fn watch_call(&mut self, call: &'static str, result: Result<usize, Errno>) {
        if let Some(watch) = &mut self.watch {
            watch.calls.insert(call);
            if let Err(errno) = result {
                watch.errnos.insert(errno);
            }
        }
        self.look_at_properties(call);
    }

    /// Looks at the properties after a step.
    pub(crate) fn look_at_properties(&mut self, step: &str) {
        let Some(mut watch) = self.watch.take() else { return };
        let now = Now { world: self, watch: &watch };
        let hold: Vec<bool> = watch.properties.iter().map(|it| (it.holds)(&now)).collect();
        let mut broken = None;
        for (property, holds) in watch.properties.iter_mut().zip(hold) {
            property.met |= holds;
            if property.modality == Modality::Always && !holds && broken.is_none() {
                broken = Some(property.name.clone());
            }
        }
        let waits_for =
            watch.properties.iter().any(|it| it.modality == Modality::Eventually && !it.met);
        self.watch = Some(watch);
        if waits_for && !self.fair && self.counts.steps >= FAIR_AFTER {
            self.fair = true;
            self.odds = Odds::default();
        }
        if let Some(name) = broken {
            let slot = self.running;
            let message = format!("{name:?} does not hold after {step} of {}", self.title(slot));
            self.violated("always", &name, message);
        }
    }

    fn violated(&mut self, what: &str, name: &str, message: String) {
        let mut failure = Failure::new(FailureKind::Property, message);
        failure.signature = format!("{what} {name}");
        failure.waits = crate::waits::lines(self, &self.snapshot());
        // The first process's exit is the lesser news.
        if !matches!(self.end, Some(End::Failed(_))) {
            self.end = Some(End::Failed(Box::new(failure)));
        }
    }

    /// At the end of a run that went well: what should have held and never did.
    pub(crate) fn look_back(&mut self) {
        self.look_at_properties("the end");
        let Some(watch) = &self.watch else { return };
        let mut properties = watch.properties.iter();
        let unmet = properties.find(|it| it.modality == Modality::Eventually && !it.met);
        if let Some(name) = unmet.map(|it| it.name.clone()) {
            let message = format!("{name:?} never held, up to the end of the run");
            self.violated("eventually", &name, message);
        }
    }
}
