//! What `graph --live --follow` says of two moments.

mod common;

use afunix::snapshot::*;
use afunix_viz::changes;
use common::*;

#[test]
fn nothing_is_said_of_what_stays() {
    assert_eq!(changes(&small_world(), &small_world()), [""; 0]);
    let later = Snapshot { at: 99, ..small_world() };
    assert_eq!(changes(&small_world(), &later), [""; 0]);
}

#[test]
fn what_comes_goes_and_becomes_other_is_told() {
    let mut before = Machine::default();
    before.process(1, "server");
    before.process(2, "client");
    before.pair(10, 11);
    before.hold(1, 3, 10);
    before.hold(2, 4, 11);
    let mut after = Machine(before.0.clone());
    after.at(10).receive.bytes = 5;
    after.hold(2, 3, 10);
    let lines = changes(&before.0, &after.0);
    let told = "~ stream connected 10 [1,server,3] [2,client,3] ↔ [2,client,4]: holders \
                [1,server,3] → [1,server,3] [2,client,3], bytes unread 0 → 5";
    assert_eq!(lines, [told]);
    let lines = changes(&Snapshot::default(), &before.0);
    assert_eq!(lines[0], "+ stream connected 10 [1,server,3] ↔ [2,client,4]");
    let lines = changes(&before.0, &Snapshot::default());
    assert_eq!(lines[1], "- stream connected 11 [2,client,4] ↔ [1,server,3]");
}

#[test]
fn warnings_come_and_are_over() {
    let mut calm = deadlock();
    calm.processes[0].threads[0].wait = None;
    let lines = changes(&calm, &deadlock());
    assert!(lines.len() == 1 && lines[0].starts_with("! both ends blocked on full buffers: left"));
    assert_eq!(changes(&deadlock(), &calm), [". both ends blocked on full buffers"]);
}

#[test]
fn names_of_strangers_are_escaped() {
    let lines = changes(&Snapshot::default(), &hostile_world());
    assert!(lines.len() > 5 && lines.iter().all(|line| !line.contains(char::is_control)));
}
