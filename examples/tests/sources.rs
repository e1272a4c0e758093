//! What the sources promise: variants that differ little, and no signature spelled out.

use afunix::Application;
use afunix_examples::Visit;

/// The lines of `impl Variant for NAME`.
fn variant<'a>(source: &'a str, name: &str) -> Vec<&'a str> {
    let head = format!("impl Variant for {name} {{");
    let lines = source.lines().skip_while(|line| *line != head);
    let lines: Vec<&str> = lines.take_while(|line| *line != "}").collect();
    assert!(!lines.is_empty(), "no variant {name}");
    lines
}

/// Lines of `left` and `right` that are not in their longest common subsequence: what diff(1)
/// counts.
fn differing(left: &[&str], right: &[&str]) -> usize {
    let mut row = vec![0; right.len() + 1];
    for line in left {
        let mut before = 0;
        for (at, other) in right.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if line == other { before + 1 } else { above.max(row[at]) };
            before = above;
        }
    }
    left.len() + right.len() - 2 * row[right.len()]
}

#[test]
fn variants_differ_by_at_most_30_lines() {
    let flush = include_str!("../src/flush_deadlock.rs");
    let stale = include_str!("../src/stale_socket.rs");
    let restart = include_str!("../src/hot_restart.rs");
    let reported = [
        include_str!("../src/reported/blocking_logger.rs"),
        include_str!("../src/reported/full_backlog.rs"),
        include_str!("../src/reported/inherited_copy.rs"),
        include_str!("../src/reported/interrupted_server.rs"),
        include_str!("../src/reported/lost_backlog.rs"),
        include_str!("../src/reported/lost_descriptor.rs"),
        include_str!("../src/reported/short_frame.rs"),
        include_str!("../src/reported/start_race.rs"),
        include_str!("../src/reported/wrong_credentials.rs"),
    ];
    let ours = [(flush, "Broken"), (stale, "Broken"), (stale, "Unlink"), (restart, "Broken")];
    for (source, broken) in ours.into_iter().chain(reported.map(|source| (source, "Broken"))) {
        let count = differing(&variant(source, broken), &variant(source, "Fixed"));
        assert!((1..=30).contains(&count), "{broken} and Fixed differ by {count} lines");
    }
}

#[test]
fn diff_counts_as_diff_does() {
    assert_eq!(differing(&["a", "b", "c"], &["a", "c"]), 1);
    assert_eq!(differing(&["a", "b"], &["a", "x"]), 2);
    assert_eq!(differing(&["a"], &["a"]), 0);
}

#[test]
fn the_scanner_s_own_source_is_no_hit() {
    let source = include_str!("../src/scan.rs");
    let eicar = ["EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*", r"X5O!P%@AP[4\PZX54(P^)7CC)7}$"];
    assert!(eicar.iter().all(|half| source.contains(half)), "the halves are in the table");
    assert!(!source.contains(&[eicar[1], eicar[0]].concat()));
}

#[test]
fn every_scenario_has_its_own_name_and_a_line_about_it() {
    struct Names(Vec<&'static str>);
    impl Visit for Names {
        fn visit<A: Application + 'static>(&mut self) {
            assert!((1..=72).contains(&A::ABOUT.len()), "{}: {:?}", A::NAME, A::ABOUT);
            self.0.push(A::NAME);
        }
    }
    let mut names = Names(Vec::new());
    afunix_examples::each(&mut names);
    for (at, name) in names.0.iter().enumerate() {
        assert!(!names.0[..at].contains(name), "{name} is there twice");
    }
    for fixed in names.0.iter().filter_map(|name| name.strip_suffix("-fixed")) {
        assert!(names.0.contains(&fixed), "{fixed}-fixed has no broken variant");
    }
}
