//! The machine as a [`Snapshot`].

use afunix::snapshot::Snapshot;

use super::{Machine, Time};

impl Machine {
    /// What the machine looks like now.
    pub fn snapshot(&self, now: Time) -> Snapshot {
        Snapshot { at: now.as_nanos() as u64, ..Snapshot::default() }
    }
}
