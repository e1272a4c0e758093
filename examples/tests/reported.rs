//! The bugs that were reported: each is found from any seed, shrunk to a few steps, and shows
//! itself again; each repaired application holds, and the small ones are proved.

mod common;

use afunix_sim::{
    Choices, Ended, ExploreOptions, FailureKind, Faults, Plan, RunOptions, explore, replay, run,
};
use common::scenario;

/// The broken applications, with the kind of failure each is found by.
const BROKEN: [(&str, FailureKind); 9] = [
    ("short-frame", FailureKind::Exit),
    ("interrupted-server", FailureKind::Exit),
    ("inherited-copy", FailureKind::Deadlock),
    ("start-race", FailureKind::Exit),
    ("blocking-logger", FailureKind::Deadlock),
    ("wrong-credentials", FailureKind::Exit),
    ("full-backlog", FailureKind::Exit),
    ("lost-descriptor", FailureKind::Exit),
    ("lost-backlog", FailureKind::Exit),
];

/// Where two calls decide by their order: which ones.
const PAIRS: [(&str, &str, &str); 7] = [
    ("short-frame", "read(", "sendto("),
    ("interrupted-server", "read(", "kill("),
    ("start-race", "bind(", "unlink("),
    ("blocking-logger", "poll(", "sendto("),
    ("full-backlog", "connect(", "accept4("),
    ("lost-descriptor", "recvmsg(", "close("),
    ("lost-backlog", "connect(", "listen("),
];

/// Steps that a shrunk failure has at most.
const MOST_STEPS: u64 = 20;

#[test]
fn each_is_found_and_shrunk_and_shows_itself_again() {
    for (name, kind) in BROKEN {
        let app = scenario(name);
        for seed in [3, 1000] {
            let options = ExploreOptions { seed, ..ExploreOptions::default() };
            let found = explore(&app, &options).failure;
            let found = found.unwrap_or_else(|| panic!("{name}, seed {seed}: not found"));
            let shrunk = &found.shrunk.report;
            assert_eq!(found.failure.kind, kind, "{name}, seed {seed}: {}", found.failure);
            assert!(shrunk.steps <= MOST_STEPS, "{name}, seed {seed}: {} steps", shrunk.steps);
            for (pair, first, second) in PAIRS {
                let Some(found) = found.critical.as_ref().filter(|_| pair == name) else {
                    assert_ne!(pair, name, "seed {seed}: it has no critical pair");
                    continue;
                };
                let calls = [&found.first.call, &found.second.call];
                let named = calls[0].starts_with(first) && calls[1].starts_with(second);
                assert!(named, "{name}, seed {seed}: {calls:?}");
            }
            let again = replay(&app, &options.run, &shrunk.tape, None);
            assert_eq!(again.outcome, shrunk.outcome, "{name}, seed {seed}");
        }
    }
}

#[test]
fn each_repaired_one_holds() {
    for (name, _) in BROKEN {
        let app = scenario(&format!("{name}-fixed"));
        for faults in [Faults::None, Faults::Io, Faults::Portfolio] {
            for seed in 0..100 {
                let options = RunOptions { faults, ..RunOptions::default() };
                let report = run(&app, &options, Choices::Seed(seed));
                let said = report.printed.join("\n");
                assert!(
                    report.passed(),
                    "{name}, {faults}, seed {seed}: {:?}\n{said}",
                    report.outcome
                );
            }
        }
    }
}

#[test]
fn the_repaired_ones_are_proved() {
    for (name, _) in BROKEN {
        let run = RunOptions { faults: Faults::None, ..RunOptions::default() };
        let plan = Plan::Exhaustive { strict: false };
        let options = ExploreOptions { run, plan, runs: 100_000, ..Default::default() };
        let campaign = explore(&scenario(&format!("{name}-fixed")), &options);
        let search = campaign.search.expect("a search");
        assert!(campaign.failure.is_none(), "{name}: {:?}", campaign.failure);
        assert!(campaign.ended == Ended::Complete && search.complete, "{name}: {search:?}");
    }
}
