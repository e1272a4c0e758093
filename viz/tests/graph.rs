//! What a reader sees of a snapshot: table, DOT, SVG, JSON, filters.

mod common;

use std::collections::BTreeSet;

use afunix::snapshot::*;
use afunix_viz::{dot, filter, json, svg, table};
use common::*;

/// `(kind, from, to)` of every edge in an SVG; a peer edge for both directions counts twice.
fn edges(svg: &str) -> BTreeSet<(String, String, String)> {
    let mut found = BTreeSet::new();
    let value = |line: &str, name: &str| {
        let start = line.split_once(&format!("{name}=\"")).unwrap().1;
        start.split_once('"').unwrap().0.to_owned()
    };
    for line in svg.lines().filter(|line| line.contains("data-edge=")) {
        let (kind, from, to) =
            (value(line, "data-edge"), value(line, "data-from"), value(line, "data-to"));
        if line.contains("data-both=\"true\"") {
            found.insert((kind.clone(), to.clone(), from.clone()));
        }
        found.insert((kind, from, to));
    }
    found
}

#[test]
fn the_table_joins_peers_and_processes() {
    expect("small.table.txt", &table(&small_world()));
}

#[test]
fn the_svg_of_a_small_world() {
    expect("small.svg", &svg(&small_world()));
    expect("deadlock.svg", &svg(&deadlock()));
}

#[test]
fn the_dot_of_a_small_world() {
    expect("small.dot", &dot(&small_world()));
}

#[test]
fn every_edge_is_in_the_svg() {
    let world = small_world();
    let mut expected = BTreeSet::new();
    let edge = |kind: &str, from: &dyn ToString, to: &dyn ToString| {
        (kind.to_owned(), from.to_string(), to.to_string())
    };
    for socket in &world.sockets {
        expected.extend(socket.peer.map(|peer| edge("peer", &socket.id, &peer)));
        expected.extend(socket.pending.iter().map(|one| edge("pending", one, &socket.id)));
        expected.extend(socket.in_flight.iter().map(|file| edge("in-flight", file, &socket.id)));
    }
    // Listener 10 is held twice; the names of 10 and 15 are their own, those of 12 and 14 are not.
    expected.insert(edge("same", &10, &10));
    expected.insert(edge("bound", &10, &"/run/server"));
    expected.insert(edge("bound", &15, &"@log"));
    let shown: BTreeSet<_> = edges(&svg(&world))
        .into_iter()
        .filter(|(kind, from, _)| kind != "bound" || from != "12")
        .collect();
    let bound_twice = edges(&svg(&world)).iter().filter(|edge| edge.0 == "bound").count();
    assert_eq!(shown, expected);
    assert_eq!(bound_twice, 2);
}

#[test]
fn json_reads_back_as_the_same_snapshot() {
    for world in [small_world(), hostile_world(), deadlock()] {
        let back: Snapshot = serde_json::from_str(&json(&world)).unwrap();
        assert_eq!(back, world);
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    for draw in [table, dot, svg, json] {
        assert_eq!(draw(&small_world()), draw(&small_world()));
    }
}

#[test]
fn no_text_of_strangers_acts_in_any_format() {
    let world = hostile_world();
    for text in [table(&world), dot(&world), svg(&world), json(&world)] {
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        assert!(!text.contains('\u{202e}'), "{text:?}");
    }
    let picture = svg(&world);
    assert!(!picture.contains("<script") && !picture.contains("]]>"), "{picture}");
    // One title opens and closes for each, so no name closed one.
    assert_eq!(picture.matches("<title>").count(), picture.matches("</title>").count());
    // A table keeps one line per socket, a heading and a note.
    assert_eq!(table(&world).lines().count(), world.sockets.len() + 2);
    let dot = dot(&world);
    for line in dot.lines() {
        let quotes = line.replace("\\\\", "").replace("\\\"", "").matches('"').count();
        assert_eq!(quotes % 2, 0, "{line}");
    }
}

#[test]
fn a_snapshot_that_contradicts_itself_is_still_drawn() {
    let mut world = small_world();
    for socket in &mut world.sockets {
        socket.peer = Some(999);
        socket.pending.push(998);
        socket.in_flight.push(997);
        socket.backlog = Some(0);
    }
    for process in &mut world.processes {
        process.descriptors.push(Descriptor { fd: 99, file: 996, cloexec: false });
    }
    for draw in [table, dot, svg, json] {
        assert!(!draw(&world).is_empty());
    }
    for draw in [table, dot, svg, json] {
        assert!(!draw(&Snapshot::default()).is_empty());
    }
}

fn ids(expression: &str) -> Vec<u64> {
    filter(&small_world(), expression).unwrap().sockets.iter().map(|socket| socket.id).collect()
}

#[test]
fn filters_keep_what_matches_and_its_peers() {
    assert_eq!(ids("type=datagram"), [15, 16]);
    assert_eq!(ids("type=dgram and fd=5"), [15, 16]);
    assert_eq!(ids("pid=2"), [10, 13, 14]);
    assert_eq!(ids("name~log"), [15]);
    assert_eq!(ids("state=disconnected"), [17]);
    assert_eq!(ids("not (type=stream or type=datagram)"), [17]);
    assert_eq!(ids("recv>100000"), [11, 12, 19]);
    assert_eq!(ids("program=nobody"), [0_u64; 0]);
    assert_eq!(ids("id=17 or id=15 and pid=7"), [17]);
    assert_eq!(ids("program!=client and type!=stream"), [15]);
    assert_eq!(ids("name=\"@log\""), [15]);
}

#[test]
fn filters_keep_the_processes_that_hold_what_is_kept() {
    let kept = filter(&small_world(), "type=datagram").unwrap();
    let holders: Vec<(u32, usize)> =
        kept.processes.iter().map(|p| (p.pid, p.descriptors.len())).collect();
    assert_eq!(holders, [(1, 1), (7, 1)]);
    assert_eq!(kept.files.iter().map(|file| file.id).collect::<Vec<_>>(), [15, 16]);
    // What is in flight to a kept socket is kept with it.
    let kept = filter(&small_world(), "id=12").unwrap();
    assert!(kept.files.iter().any(|file| file.id == 30));
}

#[test]
fn a_wrong_filter_is_explained_at_its_place() {
    for (expression, column, words) in [
        ("", 0, "expected a test"),
        ("pdi=12", 0, "unknown key `pdi`; the keys are pid, program"),
        ("pid", 3, "expected =, !="),
        ("pid=", 4, "expected a value"),
        ("pid=x", 4, "expected a number"),
        ("type=tcp", 5, "expected one of stream, datagram, seqpacket"),
        ("state=open", 6, "expected one of unconnected, listening"),
        ("name<3", 4, "compare numbers"),
        ("pid=1 pid=2", 6, "expected `and` or `or`"),
        ("(pid=1", 0, "not closed"),
        ("pid=1)", 5, "no `(` belongs"),
        ("name=\"x", 5, "quote is not closed"),
        ("pid!1", 3, "write `!="),
        ("not", 3, "expected a test"),
        ("\u{1b}[2J=1", 0, "unknown key `\\u{1b}[2J`"),
    ] {
        let shown = filter(&small_world(), expression).unwrap_err().to_string();
        assert!(shown.contains(words), "{expression}: {shown}");
        let mark = shown.lines().last().unwrap();
        assert_eq!(mark.len() - 5, column, "{expression}: {shown}");
        assert!(!shown.contains('\u{1b}'));
    }
    let deep = "(".repeat(100_000);
    assert!(filter(&small_world(), &deep).unwrap_err().to_string().contains("too deeply"));
}
