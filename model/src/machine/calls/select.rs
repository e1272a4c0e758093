//! select(2), as the system call pselect6: three sets of numbers, and the time that is left.

use std::time::Duration;

use afunix::{Errno, Readiness};

use super::super::{Cx, Flow, Machine, Why};

/// Bits of a word of a set.
const WORD: usize = u64::BITS as usize;
/// A table of descriptors has at least as many places, used or not.
const PLACES_MIN: usize = 64;

/// What puts a number into the three sets (SELECT 2).
const OF_SET: [Readiness; 3] = [
    Readiness::IN
        .union(Readiness::RDNORM)
        .union(Readiness::RDBAND)
        .union(Readiness::HUP)
        .union(Readiness::ERR)
        .union(Readiness::NVAL),
    Readiness::OUT
        .union(Readiness::WRNORM)
        .union(Readiness::WRBAND)
        .union(Readiness::ERR)
        .union(Readiness::NVAL),
    Readiness::PRI.union(Readiness::NVAL),
];

/// readfds, writefds, exceptfds.
pub(super) type Sets<'s, 'a> = [&'s mut Option<&'a mut [u64]>; 3];

impl Machine {
    /// pselect6(2), without a signal mask.
    pub(super) fn pselect6(
        &mut self,
        cx: Cx,
        nfds: i32,
        mut sets: Sets<'_, '_>,
        timeout: Option<&mut Duration>,
    ) -> Flow {
        let deadline = match (self.in_call(cx), &timeout) {
            (Some(call), _) => call.deadline,
            (None, timeout) => timeout.as_ref().map(|timeout| cx.now.saturating_add(**timeout)),
        };
        let flow = match usize::try_from(nfds) {
            Ok(nfds) => self.select(cx, nfds, &mut sets, deadline),
            Err(_) => Flow::Done(Err(Errno::INVAL)),
        };
        // SELECT 4: the time that is left is told whatever the outcome.
        if let (Flow::Done(_), Some(timeout), Some(deadline)) = (&flow, timeout, deadline) {
            *timeout = deadline.saturating_sub(cx.now);
        }
        flow
    }

    fn select(
        &mut self,
        cx: Cx,
        nfds: usize,
        sets: &mut Sets<'_, '_>,
        deadline: Option<Duration>,
    ) -> Flow {
        // SELECT 1: numbers that the table has no place for are passed over.
        let end = self.process(cx).descriptors.end() as usize;
        let nfds = nfds.min(end.next_power_of_two().max(PLACES_MIN));
        let asked: Vec<(i32, [bool; 3])> = (0..nfds)
            .map(|number| (number as i32, asked(sets, number)))
            .filter(|(_, asked)| asked.contains(&true))
            .collect();
        let is_open = |number: i32| self.process(cx).descriptors.get(number).is_ok();
        if cx.why == Why::First && !asked.iter().all(|(number, _)| is_open(*number)) {
            return Flow::Done(Err(Errno::BADF));
        }
        let mut found = Vec::new();
        for (number, asked) in &asked {
            let ready = self.polled(cx, *number, events(asked));
            let of_sets = [0, 1, 2].map(|set| asked[set] && ready.intersects(OF_SET[set]));
            found.push((*number as usize, of_sets));
        }
        let count = found.iter().flat_map(|(_, of_sets)| of_sets).filter(|is_in| **is_in).count();
        let is_over = deadline.is_some_and(|deadline| deadline <= cx.now);
        match cx.why {
            _ if count > 0 => {}
            Why::Interrupted => return Flow::Done(Err(Errno::INTR)),
            Why::TimedOut => {}
            _ if is_over => {}
            _ => {
                let entries = asked.iter().map(|(number, asked)| (*number, events(asked)));
                return self.wait_for_readiness(cx, entries, deadline);
            }
        }
        tell(sets, nfds, &found);
        Flow::Done(Ok(count))
    }
}

/// In which sets a number is. A set has no bits beyond its words.
fn asked(sets: &Sets<'_, '_>, number: usize) -> [bool; 3] {
    [0, 1, 2].map(|set| {
        let word = sets[set].as_deref().and_then(|words| words.get(number / WORD));
        word.is_some_and(|word| word & (1 << (number % WORD)) != 0)
    })
}

/// What a number in these sets waits for. PRI is always among it.
fn events(asked: &[bool; 3]) -> Readiness {
    let sets = asked.iter().zip(OF_SET).filter(|(asked, _)| **asked);
    sets.fold(OF_SET[2], |events, (_, of_set)| events | of_set)
}

/// Writes the outcome, whole words at a time.
fn tell(sets: &mut Sets<'_, '_>, nfds: usize, found: &[(usize, [bool; 3])]) {
    for (set, words) in sets.iter_mut().enumerate() {
        let Some(words) = words.as_deref_mut() else { continue };
        let touched = nfds.div_ceil(WORD).min(words.len());
        words[..touched].fill(0);
        for (number, _) in found.iter().filter(|(_, of_sets)| of_sets[set]) {
            words[number / WORD] |= 1 << (number % WORD);
        }
    }
}
