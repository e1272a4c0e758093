//! Adding up what runs tell.

use std::collections::{BTreeMap, BTreeSet};

use super::Failed;
use crate::faults::FaultCounts;
use crate::property::Modality;
use crate::world::{Counts, CrashPoint, World};

/// New hashes that are kept unsorted at least.
const FRESH_MIN: usize = 1 << 16;

/// What the runs of a chunk, or of all chunks so far, tell.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) runs: u64,
    pub(super) steps: u64,
    pub(super) calls: u64,
    pub(super) checked: u64,
    pub(super) faults: FaultCounts,
    pub(super) crash_points: BTreeSet<CrashPoint>,
    pub(super) coverage: BTreeMap<&'static str, u64>,
    /// In how many runs each property held.
    pub(super) properties: BTreeMap<(Modality, String), u64>,
    /// Hashes of the orders of threads.
    schedules: Vec<u64>,
    /// The run that failed.
    pub(super) failure: Option<Failed>,
    /// Most scheduling points of a run, where somebody asks.
    pub(super) most_points: u64,
}

impl Tally {
    /// Adds a run.
    pub(super) fn add(&mut self, counts: &Counts) {
        self.runs += 1;
        self.steps += counts.steps;
        self.calls += counts.calls;
        self.faults.add(&counts.faults);
        self.schedules.push(counts.schedule);
    }

    /// Adds which properties held in a run.
    pub(super) fn add_properties(&mut self, world: &World) {
        let Some(watch) = &world.watch else { return };
        for property in &watch.properties {
            let key = (property.modality, property.name.clone());
            *self.properties.entry(key).or_default() += u64::from(property.met);
        }
    }

    /// Takes over what the world counts across runs.
    pub(super) fn take_coverage(&mut self, world: &mut World) {
        for (name, times) in world.coverage.take() {
            *self.coverage.entry(name).or_default() += times;
        }
        self.crash_points.append(&mut world.crash_points);
    }

    fn merge(&mut self, mut other: Tally) {
        self.runs += other.runs;
        self.steps += other.steps;
        self.calls += other.calls;
        self.checked += other.checked;
        self.faults.add(&other.faults);
        self.crash_points.append(&mut other.crash_points);
        for (name, times) in other.coverage {
            *self.coverage.entry(name).or_default() += times;
        }
        for (property, runs) in other.properties {
            *self.properties.entry(property).or_default() += runs;
        }
        self.most_points = self.most_points.max(other.most_points);
        self.failure = self.failure.take().or(other.failure);
    }
}

/// All chunks, added up in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Total {
    tally: Tally,
    /// The next chunk to be added.
    next: u64,
    /// Chunks that came before their turn.
    early: BTreeMap<u64, Tally>,
    /// Hashes, each once.
    seen: Vec<u64>,
    /// Hashes that were not looked up yet.
    fresh: Vec<u64>,
}

impl Total {
    /// Adds a chunk, as soon as those before it are there. After a failure nothing is added.
    pub(super) fn deliver(&mut self, chunk: u64, tally: Tally) {
        self.early.insert(chunk, tally);
        while let Some(mut tally) = self.early.remove(&self.next) {
            self.next += 1;
            if self.tally.failure.is_some() {
                continue;
            }
            self.fresh.append(&mut tally.schedules);
            self.tally.merge(tally);
            if self.fresh.len() >= FRESH_MIN.max(self.seen.len()) {
                self.look_up();
            }
        }
    }

    /// Adds what was counted across runs.
    pub(super) fn finish_with(&mut self, tally: Tally) {
        self.tally.merge(tally);
    }

    fn look_up(&mut self) {
        self.seen.append(&mut self.fresh);
        self.seen.sort_unstable();
        self.seen.dedup();
    }

    pub(super) fn runs(&self) -> u64 {
        self.tally.runs
    }

    /// Different orders of threads, as far as they were looked up.
    pub(super) fn schedules(&self) -> u64 {
        self.seen.len() as u64
    }

    /// Everything, and the number of different orders of threads.
    pub(super) fn finish(mut self) -> (Tally, u64) {
        self.look_up();
        (self.tally, self.seen.len() as u64)
    }
}
