//! What a reader sees of a trace.

mod common;

use afunix::trace::EventKind;
use afunix_viz::{LadderOptions, ladder};
use common::*;

fn narrow(text: &str, width: usize) -> bool {
    text.lines().all(|line| line.chars().count() <= width)
}

#[test]
fn a_story_in_columns() {
    let text = ladder(&story(), &LadderOptions { width: 160, flows: false });
    assert!(narrow(&text, 160), "{text}");
    expect("story-columns.txt", &text);
}

#[test]
fn a_story_in_lanes() {
    let text = ladder(&story(), &LadderOptions { width: 100, flows: true });
    assert!(narrow(&text, 100), "{text}");
    expect("story-lanes.txt", &text);
}

#[test]
fn two_threads_fit_on_a_terminal() {
    let two: Vec<_> = story().into_iter().filter(|event| (2..=3).contains(&event.thread)).collect();
    let text = ladder(&two, &LadderOptions::default());
    assert!(narrow(&text, 110), "{text}");
    expect("story-two.txt", &text);
}

#[test]
fn a_call_that_did_not_wait_is_one_line_with_its_result() {
    let trace =
        events(vec![(0, 1, 1, enter("recvmsg(3, 4096 bytes)")), (5, 1, 1, exit("recvmsg", -11))]);
    let text = ladder(&trace, &LadderOptions::default());
    assert!(text.contains("recvmsg(3, 4096 bytes) = -1 EAGAIN\n"), "{text}");
    assert_eq!(text.matches("recvmsg").count(), 1, "{text}");
}

#[test]
fn equal_calls_are_counted_and_a_different_one_ends_the_count() {
    let mut list = Vec::new();
    for result in [5, 5, 5, 4, 5] {
        list.push((0, 1, 1, enter("write(3, 5 bytes)")));
        list.push((0, 1, 1, exit("write", result)));
    }
    let text = ladder(&events(list), &LadderOptions::default());
    assert_eq!(text.matches("(3 times)").count(), 1, "{text}");
    assert_eq!(text.matches("write(").count(), 3, "{text}");
}

#[test]
fn the_result_stays_when_a_call_is_too_long() {
    let long = format!("sendmsg(3, \"{}\")", "x".repeat(300));
    let trace = events(vec![(0, 1, 1, enter(&long)), (0, 1, 1, exit("sendmsg", -32))]);
    let text = ladder(&trace, &LadderOptions::default());
    assert!(narrow(&text, 110), "{text}");
    assert!(text.contains("… = -1 EPIPE"), "{text}");
}

#[test]
fn a_wait_is_told_with_its_length_and_who_ended_it() {
    let trace = events(vec![
        (0, 1, 1, started("server")),
        (0, 2, 2, started("client")),
        (1_000, 1, 1, enter("accept(3)")),
        (1_000, 1, 1, blocked("a connection", 9)),
        (3_500, 2, 2, enter("connect(3)")),
        (3_500, 1, 1, woken(Some(2))),
        (3_500, 2, 2, exit("connect", 0)),
        (4_000, 1, 1, exit("accept", 4)),
    ]);
    let text = ladder(&trace, &LadderOptions::default());
    assert!(text.contains("◄ woken by client after 2.5 µs ─"), "{text}");
    assert!(text.contains("accept = 4, waited 2.5 µs"), "{text}");
    // The cause stands above the effect.
    assert!(text.find("connect(3) = 0").unwrap() < text.find("woken by").unwrap(), "{text}");
    assert!(!text.contains("Still in a call"), "{text}");
}

#[test]
fn thousands_of_threads_still_fit() {
    let list = (1..=2000).map(|tid| (0, tid, tid, started(&format!("task-{tid}")))).collect();
    let text = ladder(&events(list), &LadderOptions::default());
    assert!(narrow(&text, 110));
    assert!(text.contains("task-2000"));
}

#[test]
fn events_out_of_any_order_do_not_panic() {
    let kinds = [
        started("a"),
        enter("read(3)"),
        exit("read", i64::MIN),
        blocked("data", 1),
        woken(Some(9)),
        woken(Some(1)),
        woken(None),
        EventKind::Freed { socket: 1 },
        exited("exit status 0"),
    ];
    let mut list = Vec::new();
    for (a, first) in kinds.iter().enumerate() {
        for (b, second) in kinds.iter().enumerate() {
            list.push((a as u64 * 100, 1, 1 + b as u32 % 3, first.clone()));
            list.push((b as u64, 1, 1, second.clone()));
        }
    }
    for width in [0, 60, 110, 400] {
        let text = ladder(&events(list.clone()), &LadderOptions { width, flows: true });
        assert!(narrow(&text, width.max(60)), "{text}");
    }
    assert_eq!(ladder(&[], &LadderOptions::default()), "no events\n");
}

#[test]
fn no_text_of_strangers_reaches_the_terminal() {
    let trace = events(vec![
        (0, 1, 1, started(HOSTILE)),
        (0, 1, 1, enter(HOSTILE)),
        (0, 1, 1, blocked(HOSTILE, 1)),
        (0, 1, 1, woken(None)),
        (0, 1, 1, exit(HOSTILE, 0)),
        (0, 1, 1, EventKind::Fault { what: HOSTILE.into() }),
        (0, 1, 1, EventKind::Printed { line: HOSTILE.into() }),
        (0, 1, 1, enter(HOSTILE)),
        (0, 1, 1, blocked(HOSTILE, 1)),
        (0, 2, 2, exited(HOSTILE)),
    ]);
    let text = ladder(&trace, &LadderOptions::default());
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    assert!(!text.contains('\u{202e}'), "{text:?}");
    assert!(text.contains("\\u{1b}[2J"), "{text}");
}
