//! How the schedules of a campaign are chosen.

mod every;
mod pct;

use serde::Serialize;

pub(crate) use every::Every;
pub(crate) use pct::Pct;

/// How the schedules of a campaign are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Plan {
    /// At random.
    #[default]
    Random,
    /// Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte, 2010):
    /// threads have random priorities, and at `depth - 1` random points the one that runs gets the
    /// lowest. A bug that needs `depth` steps in a certain order shows in each run with a
    /// probability of at least 1/(n k^(depth-1)), with n threads and k scheduling points.
    Pct {
        /// How many steps have to come in a certain order: 1 or more.
        depth: u32,
    },
    /// Every run that differs, once: a proof, if it comes to its end. Runs differ if steps that
    /// touch the same come in another order. Only threads that meet in calls are told apart:
    /// memory that they share is not seen. Faults that are drawn are not searched: the search is
    /// then not complete.
    Exhaustive {
        /// Whether runs that differ only in the numbers of descriptors are told apart.
        strict: bool,
    },
    /// Every schedule with at most so many preemptions (a thread that could go on is made to wait
    /// for another), and every other choice; without reduction.
    Bounded {
        /// How many; `u32::MAX` for as many as there can be.
        preemptions: u32,
    },
}
