//! Programs side by side: threads take numbers of programs from a common batch. A batch is run
//! whole, so that what a run has covered hangs on its seed alone.

use std::sync::atomic::{AtomicU64, Ordering};

use super::here::Here;
use super::{Failure, Found, Options, Program, Runner, Summary};

/// Programs in a batch.
const PROGRAMS: u64 = 64;

/// A program whose answers differ.
pub(super) struct Diverged {
    pub(super) number: u64,
    pub(super) program: Program,
    pub(super) found: Found,
}

/// Runs the batch that begins with this number; tells of the first program that diverges.
pub(super) fn run(
    options: &Options<'_>,
    here: &Here,
    first: u64,
) -> Result<(Summary, Option<Diverged>), Failure> {
    let (next, end) = (AtomicU64::new(first), AtomicU64::new(first + PROGRAMS));
    let part = || part(options, here, &next, &end);
    let parts: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.jobs.max(1)).map(|_| scope.spawn(part)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic escapes")).collect()
    });
    let (mut summary, mut first) = (Summary::default(), None::<Diverged>);
    for part in parts {
        let (done, diverged) = part?;
        summary.merge(done);
        if let Some(diverged) = diverged
            && first.as_ref().is_none_or(|first| diverged.number < first.number)
        {
            first = Some(diverged);
        }
    }
    Ok((summary, first))
}

/// What one thread runs.
fn part(
    options: &Options<'_>,
    here: &Here,
    next: &AtomicU64,
    end: &AtomicU64,
) -> Result<(Summary, Option<Diverged>), Failure> {
    let mut runner = Runner::new(here.clone(), options.waiting_one_in)?;
    let mut summary = Summary::default();
    while !options.stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= end.load(Ordering::Relaxed) {
            break;
        }
        let (program, found) = runner.fresh(options.seed, number, &mut summary)?;
        if let Some(found) = found {
            // Others go on with what comes before it.
            end.fetch_min(number, Ordering::Relaxed);
            return Ok((summary, Some(Diverged { number, program, found })));
        }
    }
    Ok((summary, None))
}
