//! Every scenario in the simulator: the sound ones hold under every fault profile, the broken ones
//! are found out.

mod common;

use afunix_sim::{
    App, Campaign, Choices, Ended, ExploreOptions, FailureKind, Faults, Plan, Report, RunOptions,
    explore, run,
};
use common::scenario;

fn run_with(app: &App, faults: Faults, seed: u64) -> Report {
    run(app, &RunOptions { faults, ..RunOptions::default() }, Choices::Seed(seed))
}

/// What goes before the assertion's message: all that is needed to make the run again.
fn describe(name: &str, faults: Faults, seed: u64, report: &Report) -> String {
    let printed = report.printed.join("\n");
    format!("{name}, faults {faults}, seed {seed}: {:?}\n{printed}", report.outcome)
}

/// Makes `runs` runs under each profile; each must pass. Returns how many processes were killed.
fn holds(name: &str, profiles: &[Faults], runs: u64) -> u64 {
    let app = scenario(name);
    let mut crashes = 0;
    for faults in profiles.iter().copied() {
        for seed in 0..runs {
            let report = run_with(&app, faults, seed);
            assert!(report.passed(), "{}", describe(name, faults, seed, &report));
            crashes += report.faults.crashes;
        }
    }
    crashes
}

/// The first failing run of the default profile.
fn is_found_out(name: &str, most_runs: u64) -> Report {
    let app = scenario(name);
    let mut reports = (0..most_runs).map(|seed| run_with(&app, Faults::default(), seed));
    let found = reports.find(|report| !report.passed());
    found.unwrap_or_else(|| panic!("{name}: no failure in {most_runs} runs"))
}

#[test]
fn echo_holds() {
    holds("echo", &Faults::ALL, 60);
}

#[test]
fn pipeline_holds() {
    holds("pipeline", &Faults::ALL, 60);
}

#[test]
fn scan_holds() {
    holds("scan", &Faults::ALL, 60);
}

#[test]
fn flush_deadlock_fixed_holds() {
    holds("flush-deadlock-fixed", &Faults::ALL, 200);
}

#[test]
fn stale_socket_fixed_holds_though_its_daemons_are_killed() {
    // Not under the profile posix: it holds its lock by an abstract name, which is Linux's own.
    let linux = [Faults::None, Faults::Io, Faults::Crash, Faults::All, Faults::Portfolio];
    assert!(holds("stale-socket-fixed", &linux, 200) > 100, "nobody was killed");
}

#[test]
fn hot_restart_fixed_holds_though_its_servers_are_killed() {
    assert!(holds("hot-restart-fixed", &Faults::ALL, 200) > 20, "nobody was killed");
}

#[test]
fn without_a_crash_nothing_is_wrong_with_the_broken_ones() {
    for name in ["stale-socket", "hot-restart"] {
        assert_eq!(holds(name, &[Faults::None, Faults::Io], 200), 0);
    }
}

#[test]
fn flush_deadlock_is_a_deadlock_of_two_writers() {
    let report = is_found_out("flush-deadlock", 1);
    let failure = report.failure().expect("it did not pass");
    assert_eq!(failure.kind, FailureKind::Deadlock, "{failure}");
    assert_eq!(failure.cycle.len(), 2, "{failure}");
}

#[test]
fn stale_socket_is_found_out_by_a_crash() {
    assert!(is_found_out("stale-socket", 500).faults.crashes > 0);
}

#[test]
fn stale_socket_unlink_is_found_out() {
    is_found_out("stale-socket-unlink", 2000);
}

#[test]
fn hot_restart_is_found_out_by_a_crash() {
    assert!(is_found_out("hot-restart", 2000).faults.crashes > 0);
}

/// Every run that differs, without faults.
fn search(name: &str) -> Campaign {
    let run = RunOptions { faults: Faults::None, ..RunOptions::default() };
    let plan = Plan::Exhaustive { strict: false };
    explore(&scenario(name), &ExploreOptions { run, plan, runs: 100_000, ..Default::default() })
}

#[test]
fn small_scenarios_are_proved() {
    for (name, executions) in
        [("flush-deadlock-fixed", 12), ("echo", 32), ("pipeline", 140), ("scan", 1)]
    {
        let campaign = search(name);
        let search = campaign.search.expect("a search");
        assert!(campaign.failure.is_none(), "{name}: {:?}", campaign.failure);
        assert!(campaign.ended == Ended::Complete && search.complete, "{name}: {search:?}");
        assert_eq!(search.executions, executions, "{name}");
    }
}

#[test]
fn a_search_finds_the_deadlock() {
    let campaign = search("flush-deadlock");
    let found = campaign.failure.expect("a deadlock");
    assert_eq!(found.failure.kind, FailureKind::Deadlock, "{:?}", found.failure);
}

#[test]
fn runs_on_os_threads_are_the_same() {
    for name in afunix_examples::names() {
        let app = scenario(name);
        for seed in 0..4 {
            let options = RunOptions { record: true, ..RunOptions::default() };
            let one = run(&app, &options, Choices::Seed(seed));
            let os_threads = RunOptions { os_threads: true, ..options };
            let other = run(&app, &os_threads, Choices::Seed(seed));
            assert_eq!(one.trace, other.trace, "{name}, seed {seed}");
            assert_eq!(one.tape.to_text(), other.tape.to_text(), "{name}, seed {seed}");
            assert_eq!(one.events, other.events, "{name}, seed {seed}");
        }
    }
}
