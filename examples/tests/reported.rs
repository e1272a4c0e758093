//! The bugs that were reported: each is found from any seed, shrunk to a few steps, and shows
//! itself again; each repaired application holds, and the small ones are proved.

mod common;

use afunix_sim::{
    Check, Choices, Decisive, Ended, ExploreOptions, FailureKind, Faults, Plan, RunOptions,
    explore, replay, run,
};
use common::scenario;

/// The broken applications, with the kind of failure each is found by.
const BROKEN: [(&str, FailureKind); 9] = [
    ("short-frame", FailureKind::Exit),
    ("interrupted-server", FailureKind::Exit),
    ("inherited-copy", FailureKind::Deadlock),
    ("start-race", FailureKind::Exit),
    ("blocking-logger", FailureKind::Deadlock),
    ("wrong-credentials", FailureKind::Panic),
    ("full-backlog", FailureKind::Exit),
    ("lost-descriptor", FailureKind::Exit),
    ("lost-backlog", FailureKind::Exit),
];

/// Which calls decide by their order: one of these two, then one of those.
const DECIDE: [(&str, [&str; 2], [&str; 2]); 9] = [
    ("short-frame", ["read(", "read("], ["sendto(", "sendto("]),
    ("interrupted-server", ["read(", "read("], ["kill(", "kill("]),
    ("inherited-copy", ["sendto(", "sendto("], ["fcntl(", "sendto("]),
    ("start-race", ["bind(", "connect("], ["unlink(", "bind("]),
    ("blocking-logger", ["poll(", "poll("], ["sendto(", "sendto("]),
    ("wrong-credentials", ["sendto(", "sendto("], ["getsockopt(", "poll("]),
    ("full-backlog", ["connect(", "connect("], ["accept4(", "accept4("]),
    ("lost-descriptor", ["recvmsg(", "recvmsg("], ["close(", "close("]),
    ("lost-backlog", ["connect(", "connect("], ["listen(", "close("]),
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
            let calls = match (&found.critical, &found.decisive) {
                (Some(pair), _) => [&pair.first.call, &pair.second.call],
                (None, Some(Decisive::Turn { taken, instead, .. })) => [&taken.call, &instead.call],
                other => panic!("{name}, seed {seed}: {other:?}"),
            };
            let (_, first, second) = DECIDE.iter().find(|it| it.0 == name).unwrap();
            let named = first.iter().any(|call| calls[0].starts_with(call))
                && second.iter().any(|call| calls[1].starts_with(call));
            assert!(named, "{name}, seed {seed}: {calls:?}");
            let again = replay(&app, &options.run, &shrunk.tape, None);
            assert_eq!(again.outcome, shrunk.outcome, "{name}, seed {seed}");
        }
    }
}

/// The names of all scenarios that have a repaired variant, and of the repair that is none.
fn broken() -> Vec<&'static str> {
    let names = afunix_examples::names();
    let repaired = |name: &str| names.contains(&&*format!("{name}-fixed"));
    let broken = names.iter().copied();
    broken.filter(|name| repaired(name) || *name == "stale-socket-unlink").collect()
}

/// As `afunix explore` looks for them: with all checks.
#[test]
fn every_broken_scenario_is_shrunk_to_a_few_steps() {
    let names = broken();
    assert_eq!(names.len(), BROKEN.len() + 4, "{names:?}");
    for name in names {
        let app = scenario(name);
        for seed in [6, 9] {
            let run = RunOptions { checks: Check::ALL.into(), ..RunOptions::default() };
            let options = ExploreOptions { run, seed, ..ExploreOptions::default() };
            let found = explore(&app, &options).failure;
            let found = found.unwrap_or_else(|| panic!("{name}, seed {seed}: not found"));
            let shrunk = &found.shrunk.report;
            assert!(shrunk.steps <= MOST_STEPS, "{name}, seed {seed}: {} steps", shrunk.steps);
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
