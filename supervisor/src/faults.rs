//! Faults: what the system may lawfully do to a call, drawn from a seed.
//!
//! Each process has draws of its own, by the order in which processes make their first call: so a
//! process that does the same is done the same, whatever the others do meanwhile.

use std::collections::HashMap;

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// Which faults a run may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Faults {
    /// None.
    #[default]
    None,
    /// Calls that may wait are interrupted (EINTR); reads and nonblocking writes on streams are
    /// short.
    Io,
}

/// One in so many chances.
const ODDS: u64 = 16;

/// What is done to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails with EINTR and is not made.
    Interrupt,
    /// It moves so many bytes at most.
    Limit(usize),
}

/// A call about to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chance {
    /// It may wait.
    pub(crate) may_wait: bool,
    /// Bytes that it could move, if it may be short.
    pub(crate) bytes: usize,
}

/// Draws faults.
#[derive(Debug)]
pub(crate) struct Dice {
    faults: Faults,
    seed: u64,
    processes: HashMap<i32, Pcg64Mcg>,
}

impl Dice {
    pub(crate) fn new(faults: Faults, seed: u64) -> Dice {
        Dice { faults, seed, processes: HashMap::new() }
    }

    pub(crate) fn are_off(&self) -> bool {
        self.faults == Faults::None
    }

    /// What is done to a call of a process.
    pub(crate) fn throw(&mut self, pid: i32, chance: Chance) -> Option<Fault> {
        if self.are_off() {
            return None;
        }
        let order = self.processes.len() as u64;
        let seed = self.seed;
        let random = self.processes.entry(pid).or_insert_with(|| {
            Pcg64Mcg::seed_from_u64(seed.wrapping_add(order.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        });
        // The same number of draws for every call.
        let (kind, amount) = (random.next_u64(), random.next_u64());
        match kind % (2 * ODDS) {
            0 | 1 if chance.may_wait => Some(Fault::Interrupt),
            2 | 3 if chance.bytes > 1 => {
                Some(Fault::Limit(1 + (amount % (chance.bytes as u64 - 1)) as usize))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thrown(seed: u64, pids: &[i32]) -> Vec<Option<Fault>> {
        let mut dice = Dice::new(Faults::Io, seed);
        let chance = Chance { may_wait: true, bytes: 10 };
        pids.iter().map(|pid| dice.throw(*pid, chance)).collect()
    }

    #[test]
    fn the_same_seed_does_the_same_to_each_process_whatever_others_do() {
        let alone = thrown(7, &[5; 100]);
        assert!(alone.iter().flatten().count() > 2);
        let pids: Vec<i32> = (0..200).map(|at| if at % 2 == 0 { 5 } else { 9 }).collect();
        let together: Vec<_> = thrown(7, &pids).into_iter().step_by(2).collect();
        assert_eq!(alone, together);
        assert_ne!(alone, thrown(8, &[5; 100]));
    }

    #[test]
    fn a_limit_lets_something_through_and_not_all() {
        for fault in thrown(1, &[1; 1000]).into_iter().flatten() {
            assert!(matches!(fault, Fault::Interrupt | Fault::Limit(1..=9)), "{fault:?}");
        }
    }
}
