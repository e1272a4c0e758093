//! What is looked for without being asked: the scenarios that are in order pass with all checks on.

mod common;

use std::collections::BTreeSet;

use afunix_sim::{Check, Choices, Faults, RunOptions, run};
use common::scenario;

/// Those that hold.
const ORDERLY: [&str; 15] = [
    "echo",
    "pipeline",
    "scan",
    "flush-deadlock-fixed",
    "stale-socket-fixed",
    "hot-restart-fixed",
    "short-frame-fixed",
    "interrupted-server-fixed",
    "inherited-copy-fixed",
    "start-race-fixed",
    "blocking-logger-fixed",
    "wrong-credentials-fixed",
    "full-backlog-fixed",
    "lost-descriptor-fixed",
    "lost-backlog-fixed",
];

#[test]
fn those_in_order_leave_nothing_behind() {
    let mut found = BTreeSet::new();
    for name in ORDERLY {
        let app = scenario(name);
        for faults in [Faults::None, Faults::Portfolio] {
            for seed in 0..100 {
                let checks = Check::ALL.into();
                let options = RunOptions { faults, checks, ..RunOptions::default() };
                if let Some(failure) = run(&app, &options, Choices::Seed(seed)).failure() {
                    found.insert(format!("{name}, {faults}: {failure}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.into_iter().collect::<Vec<_>>().join("\n"));
}
