//! Probabilistic concurrency testing: few random decisions, at random places.

use crate::choice::{Label, Random, Strategy};

/// Priorities of threads, and where they change.
#[derive(Clone, Debug)]
pub(crate) struct Pct {
    random: Random,
    /// By slot: higher goes first. The lowest `depth - 1` are for changes.
    priorities: Vec<u64>,
    /// The scheduling points at which the thread that ran last falls back, with its priority then.
    changes: Vec<(u64, u64)>,
    point: u64,
}

impl Pct {
    /// With a seed, a depth of 1 or more, and about as many scheduling points as a run has.
    pub(crate) fn new(seed: u64, depth: u32, points: u64) -> Pct {
        let mut random = Random::new(seed);
        let points = u32::try_from(points.max(1)).unwrap_or(u32::MAX);
        let changes = (1..depth)
            .map(|priority| (u64::from(random.choose(points, Label::Thread)), u64::from(priority)))
            .collect();
        Pct { random, priorities: Vec::new(), changes, point: 0 }
    }

    /// A new thread gets a priority above all changes.
    fn priority(&mut self, slot: u32) -> u64 {
        while self.priorities.len() <= slot as usize {
            let drawn = self.random.choose(u32::MAX, Label::Thread);
            self.priorities.push((1 << 32) + u64::from(drawn));
        }
        self.priorities[slot as usize]
    }
}

impl Strategy for Pct {
    fn thread(&mut self, runnable: &[u32], first_ran_last: bool) -> u32 {
        let point = self.point;
        self.point += 1;
        let fallen = self.changes.iter().find(|change| change.0 == point).map(|change| change.1);
        let mut best = (0, 0);
        let _ = self.priority(runnable.iter().copied().max().unwrap_or(0));
        if let (Some(priority), true) = (fallen, first_ran_last) {
            self.priorities[runnable[0] as usize] = priority;
        }
        for (index, slot) in runnable.iter().enumerate() {
            let priority = self.priority(*slot) + 1;
            if priority > best.0 {
                best = (priority, index as u32);
            }
        }
        best.1
    }

    fn choose(&mut self, n: u32, label: Label) -> u32 {
        self.random.choose(n, label)
    }

    fn chance(&mut self, odds: u32, label: Label) -> bool {
        self.random.chance(odds, label)
    }
}
