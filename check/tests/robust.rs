//! Logs that are cut, changed or shuffled: never a panic, never an endless search.

use std::time::{Duration, Instant};

const LOGS: &[&str] = &[
    include_str!("logs/readiness.strace"),
    include_str!("logs/two_processes.strace"),
    include_str!("logs/closing.strace"),
    include_str!("logs/threads.strace"),
];

/// A random number; the same ones each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % most.max(1)
    }
}

fn checked(bytes: &[u8]) {
    let begun = Instant::now();
    if let Ok(report) = afunix_check::check(bytes) {
        assert!(!report.to_string().is_empty());
    }
    if let Ok((trace, report)) = afunix_check::trace(bytes, "a log") {
        assert_eq!(trace.cut.is_some(), report.divergence.is_some());
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?} for\n{}", String::from_utf8_lossy(bytes));
}

#[test]
fn the_logs_themselves_are_explained() {
    for log in LOGS {
        let report = afunix_check::check(log.as_bytes()).expect("a log");
        assert_eq!(report.divergence, None, "{report}");
        assert!(report.explained > 3, "{report}");
    }
}

#[test]
fn any_cut_is_read() {
    let mut dice = Dice(1);
    for log in LOGS {
        for _ in 0..15 {
            checked(&log.as_bytes()[..dice.below(log.len())]);
            checked(&log.as_bytes()[dice.below(log.len())..]);
        }
    }
}

#[test]
fn any_change_of_bytes_is_read() {
    let mut dice = Dice(2);
    for log in LOGS {
        for _ in 0..20 {
            let mut bytes = log.as_bytes().to_vec();
            for _ in 0..=dice.below(20) {
                let at = dice.below(bytes.len());
                // Mostly what the format is made of.
                let made_of = b"0123456789<>[]{}()\"\\,=-> \n_|";
                bytes[at] = match dice.below(3) {
                    0 => dice.below(256) as u8,
                    _ => made_of[dice.below(made_of.len())],
                };
            }
            checked(&bytes);
        }
    }
}

#[test]
fn any_order_of_lines_is_read() {
    let mut dice = Dice(3);
    let all: Vec<&str> = LOGS.iter().flat_map(|log| log.lines()).collect();
    for log in LOGS {
        for _ in 0..15 {
            let mut lines: Vec<&str> = log.lines().collect();
            for _ in 0..=dice.below(10) {
                let (at, other) = (dice.below(lines.len()), dice.below(lines.len()));
                match dice.below(4) {
                    0 => lines.swap(at, other),
                    1 => drop(lines.remove(at)),
                    2 => lines.insert(at, lines[other]),
                    _ => lines.insert(at, all[dice.below(all.len())]),
                }
            }
            checked((lines.join("\n") + "\n").as_bytes());
        }
    }
}
