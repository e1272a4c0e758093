//! The formats that other programs read: byte for byte as they were looked at once, by the rules of
//! those who read them, and with nothing of a stranger's in them.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use afunix::trace::file::{End, Header, Source, Trace};
use afunix::trace::{Event, EventKind};
use afunix_viz::*;
use common::*;
use serde_json::Value;

/// A request and its answer, with bytes that move and a thread that waits for them.
fn exchange() -> Vec<Event> {
    let queued = |from, to, bytes| EventKind::Queued { from, to, bytes, files: 0 };
    let taken = |socket, bytes| EventKind::Taken { socket, bytes, files: 0 };
    events(vec![
        (0, 1, 1, started("server")),
        (100, 2, 2, started("client")),
        (1_000, 1, 1, enter("recvfrom(4, 64 bytes)")),
        (1_000, 1, 1, blocked("data, or the end of file", 11)),
        (2_500, 2, 2, enter("sendto(3, 5 bytes)")),
        (2_500, 2, 2, queued(12, 11, 5)),
        (2_500, 1, 1, woken(Some(2))),
        (2_500, 2, 2, exit("sendto", 5)),
        (3_000, 1, 1, taken(11, 5)),
        (3_000, 1, 1, exit("recvfrom", 5)),
        (4_000, 2, 2, enter("close(3)")),
        (4_000, 2, 2, EventKind::Freed { socket: 12 }),
        (4_000, 2, 2, exit("close", 0)),
        (5_000, 1, 1, EventKind::Printed { line: "5 bytes".into() }),
        (6_000, 2, 2, exited("exit status 0")),
    ])
}

fn trace(events: Vec<Event>) -> Trace {
    let count = events.len();
    Trace {
        header: Header::new(Source::Simulation, "exchange"),
        events,
        snapshots: vec![(0, small_world()), (count, deadlock())],
        end: Some(End { events: count as u64, outcome: "passed".into() }),
        cut: None,
    }
}

/// Text of strangers in every place that an event has for it.
fn hostile_events() -> Vec<Event> {
    events(vec![
        (0, 1, 1, started(HOSTILE)),
        (0, 1, 1, enter(HOSTILE)),
        (0, 1, 1, blocked(HOSTILE, 1)),
        (0, 1, 1, woken(None)),
        (0, 1, 1, exit(HOSTILE, 0)),
        (0, 1, 1, EventKind::Fault { what: HOSTILE.into() }),
        (0, 1, 1, EventKind::Printed { line: HOSTILE.into() }),
        (0, 2, 2, exited(HOSTILE)),
    ])
}

#[test]
fn mermaid_of_a_small_world() {
    expect("small.mmd", &mermaid(&small_world()));
    expect("exchange.mmd", &mermaid_sequence(&exchange()));
}

#[test]
fn perfetto_of_an_exchange() {
    expect("exchange.perfetto.json", &perfetto(&exchange()));
}

#[test]
fn shiviz_of_an_exchange() {
    expect("exchange.shiviz.log", &shiviz(&exchange()));
}

#[test]
fn a_page_of_an_exchange() {
    let page = html(&[("", &trace(exchange()))], &HtmlOptions::default());
    // Style and script are looked at where they are written.
    let (start, end) = (page.find("<body>").unwrap(), page.find("<script>\n").unwrap());
    expect("exchange.body.html", &page[start..end]);
}

/// What the documentation of the trace event format asks of each phase.
#[test]
fn perfetto_keeps_the_rules_of_the_format() {
    for events in [exchange(), story(), hostile_events(), Vec::new()] {
        let page: Value = serde_json::from_str(&perfetto(&events)).unwrap();
        let mut ends: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
        for event in page["traceEvents"].as_array().unwrap() {
            let phase = event["ph"].as_str().unwrap();
            let needs: &[&str] = match phase {
                "M" => &["args"],
                "X" => &["ts", "dur", "cat"],
                "i" => &["ts", "s"],
                "C" => &["ts", "args"],
                "s" | "f" => &["ts", "id", "cat"],
                _ => panic!("phase {phase}"),
            };
            let all = ["name", "pid", "tid"].iter().chain(needs);
            for key in all {
                assert!(!event[*key].is_null(), "{key} in {event}");
            }
            assert!(["ts", "dur"].iter().all(|key| event[*key].as_f64().unwrap_or(0.0) >= 0.0));
            if let Some(id) = event["id"].as_u64() {
                ends.entry(id).or_default().push(phase);
            }
            let counted = &event["args"]["bytes"];
            assert!(phase != "C" || counted.is_u64(), "{event}");
        }
        assert!(ends.values().all(|phases| phases == &["s", "f"]), "{ends:?}");
    }
}

#[test]
fn shiviz_clocks_count_each_thread_and_follow_what_came_before() {
    let text = shiviz(&story());
    let mut lines = text.lines().skip(2);
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    let mut count = 0;
    while let (Some(_), Some(clock)) = (lines.next(), lines.next()) {
        let (host, clock) = clock.split_once(' ').unwrap();
        let clock: BTreeMap<String, u64> = serde_json::from_str(clock).unwrap();
        let own = last.entry(host.to_owned()).or_default();
        *own += 1;
        assert_eq!(clock[host], *own, "{host}");
        let known = |(other, at): (&String, &u64)| last.get(other).is_some_and(|seen| at <= seen);
        assert!(clock.iter().all(known), "{clock:?}");
        count += 1;
    }
    assert_eq!(count, story().len());
    let woken = shiviz(&exchange());
    assert!(
        woken.contains("woken by thread 2\nserver.1 {\"server.1\":4,\"client.2\":3}"),
        "{woken}"
    );
}

#[test]
fn no_text_of_strangers_acts_in_any_format() {
    let world = hostile_world();
    let events = hostile_events();
    let page = html(&[(HOSTILE, &trace(events.clone()))], &HtmlOptions::default());
    let pages = [
        mermaid(&world),
        mermaid_sequence(&events),
        perfetto(&events),
        shiviz(&events),
        html_graph(HOSTILE, &world),
        page,
    ];
    for text in &pages {
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        assert!(!text.contains('\u{202e}'));
    }
    // Mermaid: no markup, no quote that ends a label, no line of a stranger's.
    for text in &pages[..2] {
        assert!(!text.contains('<') || !text.contains("script>"), "{text}");
        assert!(text.lines().all(|line| line.matches('"').count() % 2 == 0), "{text}");
    }
    for text in &pages[4..] {
        assert!(!text.contains("<script>alert") && !text.contains("</title><script"), "{text}");
        // One script that runs, one that holds data.
        assert_eq!(text.matches("<script").count(), 2);
        assert_eq!(text.matches("</script>").count(), 2);
    }
}

#[test]
fn hostile_diagrams_are_kept_for_mermaids_own_parser() {
    expect("hostile.mmd", &mermaid(&hostile_world()));
    expect("hostile-sequence.mmd", &mermaid_sequence(&hostile_events()));
}

#[test]
fn a_long_sequence_says_what_it_leaves_out() {
    let many: Vec<_> = (0..1000).map(|at| (at, 1, 1, enter("close(3)"))).collect();
    let text = mermaid_sequence(&events(many));
    assert!(text.contains("Note over T1: 600 events before are left out"), "{text}");
    let mut machine = Machine::default();
    machine.process(1, "hub");
    for at in 0..600 {
        machine.pair(2 * at, 2 * at + 1);
    }
    assert!(mermaid(&machine.0).contains("100 more edges are left out"));
}

#[test]
fn a_page_holds_a_window_and_says_so() {
    let many: Vec<_> = (0..30_000)
        .map(|at| {
            (at, 1, 1, if at == 0 { started("server") } else { enter(&format!("close({at})")) })
        })
        .collect();
    let trace = trace(events(many));
    let page = html(&[("", &trace)], &HtmlOptions::default());
    assert!(page.contains("This page holds events 20000 to 29999 of 30000"));
    assert!(page.contains("close(29999)") && !page.contains("close(19999)"));
    assert!(page.contains("server (1)"), "threads keep their names");
    let window = HtmlOptions { window: Some((100, 110)) };
    let page = html(&[("", &trace)], &window);
    assert!(page.contains("close(109)") && !page.contains("close(110)"));
    let window = HtmlOptions { window: Some((40_000, 50_000)) };
    assert!(html(&[("", &trace)], &window).contains("of 30000"));
}

#[test]
fn two_runs_have_a_first_difference() {
    let (one, mut other) = (exchange(), exchange());
    other[4].kind = enter("sendto(3, 6 bytes)");
    let page = html(&[("a", &trace(one.clone())), ("b", &trace(other))], &HtmlOptions::default());
    assert!(page.contains("\"difference\":4"), "the fifth step");
    let same = html(&[("a", &trace(one.clone())), ("b", &trace(one))], &HtmlOptions::default());
    assert!(same.contains("\"difference\":null"));
}

#[test]
fn everything_is_the_same_twice() {
    let page = || html(&[("", &trace(story()))], &HtmlOptions::default());
    assert_eq!(page(), page());
    let names: BTreeSet<String> = [perfetto(&story()), perfetto(&story())].into();
    assert_eq!(names.len(), 1);
}
