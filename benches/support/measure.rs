//! Measuring in pairs: both sides in turn, round by round, by the time that they spend on a CPU.

use std::time::Duration;

/// Rounds of a row; their median is quoted.
pub(crate) const ROUNDS: usize = 15;
/// How long one side of a round is measured.
const ROUND: Duration = Duration::from_millis(20);

/// Medians of nanoseconds a call of each side, and of the ratio second / first.
pub(crate) fn compare(first: &mut dyn FnMut(), second: &mut dyn FnMut()) -> (f64, f64, f64) {
    let (count_first, count_second) = (calibrate(first), calibrate(second));
    let mut rounds: Vec<(f64, f64)> = (0..ROUNDS)
        .map(|_| (nanoseconds(first, count_first), nanoseconds(second, count_second)))
        .collect();
    let mut median = |of: fn(&(f64, f64)) -> f64| {
        rounds.sort_by(|left, right| of(left).total_cmp(&of(right)));
        of(&rounds[ROUNDS / 2])
    };
    (median(|r| r.0), median(|r| r.1), median(|r| r.1 / r.0))
}

/// How many calls fill a round.
fn calibrate(work: &mut dyn FnMut()) -> u64 {
    let mut count = 1;
    loop {
        let time = nanoseconds(work, count) * count as f64;
        if time > ROUND.as_nanos() as f64 / 4.0 {
            return ((count as f64 * ROUND.as_nanos() as f64 / time) as u64).max(1);
        }
        count *= 4;
    }
}

fn nanoseconds(work: &mut dyn FnMut(), count: u64) -> f64 {
    let start = spent();
    for _ in 0..count {
        work();
    }
    (spent() - start).as_nanos() as f64 / count as f64
}

/// The time that this process has spent on a CPU, in the program and in the kernel. What is
/// measured by it has one thread that does something, and that never waits, so it is the time that
/// passes where nothing else runs.
#[expect(unsafe_code, reason = "clock_gettime takes a pointer")]
pub(crate) fn spent() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a whole timespec.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(done, 0, "every process has a clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
