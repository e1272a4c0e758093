//! Trace files: what is written is read, what is cut is told, what is foreign is refused; and
//! docs/trace-format.md says what the types say.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use afunix::snapshot::{
    Descriptor, FileKind, Process, Queue, Snapshot, SocketFile, SocketKind, SocketState, Thread,
    WaitReason,
};
use afunix::trace::file::{End, Header, Record, Source, Trace, Writer};
use afunix::trace::{Event, EventKind};
use common::*;
use serde_json::Value;

fn written() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &Header::new(Source::Simulation, "a story")).unwrap();
    for event in &story()[..20] {
        writer.event(event).unwrap();
    }
    writer.snapshot(&small_world()).unwrap();
    for event in &story()[20..] {
        writer.event(event).unwrap();
    }
    writer.snapshot(&deadlock()).unwrap();
    writer.end("deadlock").unwrap()
}

/// A small one, to be taken apart byte by byte.
fn small() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &Header::new(Source::Kernel, "x")).unwrap();
    story()[..6].iter().for_each(|event| writer.event(event).unwrap());
    writer.snapshot(&deadlock()).unwrap();
    writer.end("passed").unwrap()
}

fn read(bytes: &[u8]) -> Result<Trace, String> {
    Trace::read(bytes).map_err(|error| error.to_string())
}

#[test]
fn what_is_written_is_read() {
    let trace = read(&written()).unwrap();
    assert_eq!(trace.header, Header::new(Source::Simulation, "a story"));
    assert_eq!(trace.events, story());
    assert_eq!(trace.snapshots, [(20, small_world()), (story().len(), deadlock())]);
    assert_eq!(trace.end.unwrap().outcome, "deadlock");
    assert_eq!(trace.cut, None);
}

#[test]
fn a_file_that_is_cut_anywhere_is_used_as_far_as_it_goes() {
    let whole = small();
    let header = whole.iter().position(|byte| *byte == b'\n').unwrap();
    for length in 0..whole.len() - 1 {
        let trace = match read(&whole[..length]) {
            Ok(trace) => trace,
            Err(error) if length < header => {
                assert!(error.contains("this is no trace of afunix"), "{length}: {error}");
                continue;
            }
            Err(error) => panic!("{length}: {error}"),
        };
        let cut = trace.cut.unwrap_or_else(|| panic!("{length} of {} bytes", whole.len()));
        assert!(cut.starts_with("the file ends "), "{cut}");
        assert_eq!(trace.events, story()[..trace.events.len()]);
    }
    // Only the last line feed is missing: nothing is lost.
    assert_eq!(read(&whole[..whole.len() - 1]).unwrap().cut, None);
}

#[test]
fn a_cut_says_where_it_is_and_what_was_read() {
    let text = String::from_utf8(written()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let cut = format!("{}\n{}", lines[..10].join("\n"), &lines[10][..30]);
    let trace = read(cut.as_bytes()).unwrap();
    let told = "the file ends in the middle of line 11; 9 events before it were read";
    assert_eq!(trace.cut.as_deref(), Some(told));
    let gone = [&lines[..5], &lines[7..]].concat().join("\n");
    let count = story().len();
    let told = format!("the file had {count} events when it was written, it has {}", count - 2);
    assert_eq!(read(gone.as_bytes()).unwrap().cut, Some(told));
}

#[test]
fn what_is_foreign_or_broken_is_refused() {
    let header = r#"{"format":"afunix-trace","version":1,"subject":"x","source":"kernel"}"#;
    let deep = format!("{header}\n{{\"mood\":{}\n", "[".repeat(100_000));
    let cases = [
        ("", "it is empty"),
        ("\n\n\n", "it is empty"),
        ("hello\n", "its first line is no header"),
        ("[1,2]\n", "its first line is no header"),
        ("{\"format\":\"other\",\"version\":1}\n", "its format is \"other\""),
        ("{\"format\":\"afunix-trace\",\"version\":2}\n", "of version 2; what is read here is"),
        ("{\"format\":\"afunix-trace\",\"version\":-1}\n", "no header"),
        ("{\"format\":\"afunix-trace\",\"version\":1}\n", "line 1: missing field `subject`"),
        (&format!("{header}\nhello\n{{\"end\":{{}}}}\n"), "line 2: expected value, column 1"),
        (&format!("{header}\n{{\"event\":{{\"seq\":0}}}}\n"), "line 2: missing field `at`"),
        (&format!("{header}\n{{\"event\":1,\"end\":2}}\n"), "line 2: "),
        (
            &format!("{header}\n{{\"end\":{{\"events\":0,\"outcome\":\"\"}}}}\n{{}}\n"),
            "line 3: it comes after",
        ),
        (&deep, "line 2: unknown variant"),
    ];
    for (text, told) in cases {
        let error = read(text.as_bytes()).expect_err(told);
        assert!(error.contains(told), "{error}");
    }
    let mut bytes = format!("{header}\n").into_bytes();
    bytes.extend(b"{\"event\":\"\xff\xfe\"}\n");
    assert!(read(&bytes).unwrap_err().contains("line 2: invalid unicode"));
}

#[test]
fn what_is_new_is_passed_over() {
    let text = String::from_utf8(written()).unwrap();
    let text = text.replacen('\n', "\n{\"mood\":{\"of\":[\"the machine\"]}}\n\n", 1);
    let text = text.replace("\"seq\":", "\"color\":null,\"seq\":");
    let trace = read(text.as_bytes()).unwrap();
    assert_eq!((trace.events, trace.cut), (story(), None));
}

#[test]
fn no_change_of_a_byte_makes_the_reader_panic() {
    let whole = small();
    for at in (0..whole.len()).step_by(7) {
        for byte in [0, b'\n', b'"', b'{', b'}', b'9', b'-', 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            // Either answer is fine; that there is one is the test.
            let _ = read(&bytes);
        }
    }
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/trace-format.md");
    std::fs::read_to_string(path).unwrap()
}

/// The rows of the tables below a heading, without their headings, cells trimmed.
fn rows<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let section = page.split("\n## ").find(|part| part.starts_with(heading)).unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect());
    cells.filter(|row: &Vec<&str>| row.iter().any(|cell| cell.starts_with('`'))).collect()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

/// The fields that the page lists in the last but two columns, by what stands before them.
fn listed(rows: &[Vec<&str>], columns: usize) -> BTreeSet<(String, String)> {
    let mut object = String::new();
    let mut found = BTreeSet::new();
    for row in rows.iter().filter(|row| row.len() == columns) {
        let (owner, field) = (row[..columns - 3].concat(), row[columns - 3]);
        if !owner.is_empty() {
            object = owner.trim_matches('`').to_owned();
        }
        found.insert((object.clone(), field.trim_matches('`').to_owned()));
    }
    found
}

fn fields(object: &str, value: &Value) -> BTreeSet<(String, String)> {
    keys(value).into_iter().map(|key| (object.to_owned(), key)).collect()
}

/// One event of each kind. The match is here so that a new kind cannot be forgotten.
fn kinds() -> Vec<EventKind> {
    let name = || "x".to_owned();
    let mut all = vec![
        EventKind::Started { name: name() },
        EventKind::Enter { call: name(), socket: None },
        EventKind::Exit { call: name(), result: 0 },
        EventKind::Blocked { on: name(), socket: Some(1) },
        EventKind::Woken { by: None },
        EventKind::Queued { from: 1, to: 2, bytes: 3, files: 0 },
        EventKind::Taken { socket: 2, bytes: 3, files: 0 },
        EventKind::Freed { socket: 1 },
        EventKind::Fault { what: name() },
        EventKind::Exited { how: name() },
        EventKind::Printed { line: name() },
    ];
    all.retain(|kind| match kind {
        EventKind::Started { .. }
        | EventKind::Enter { .. }
        | EventKind::Exit { .. }
        | EventKind::Blocked { .. }
        | EventKind::Woken { .. }
        | EventKind::Queued { .. }
        | EventKind::Taken { .. }
        | EventKind::Freed { .. }
        | EventKind::Fault { .. }
        | EventKind::Exited { .. }
        | EventKind::Printed { .. } => true,
    });
    all
}

#[test]
fn the_page_lists_every_field_of_header_event_and_end() {
    let page = page();
    let value = |record: Record| serde_json::to_value(record).unwrap();
    let header = serde_json::to_value(Header::new(Source::Kernel, "x")).unwrap();
    assert_eq!(listed(&rows(&page, "header"), 3), fields("", &header));
    let events = events(kinds().into_iter().map(|kind| (0, 1, 1, kind)).collect());
    let event = value(Record::Event(events[0].clone()));
    assert_eq!(listed(&rows(&page, "event"), 3), fields("", &event["event"]));
    let mut all = BTreeSet::new();
    for Event { kind, .. } in &events {
        let kind = serde_json::to_value(kind).unwrap();
        let (name, inner) = kind.as_object().unwrap().iter().next().unwrap();
        all.extend(fields(name, inner));
    }
    assert_eq!(listed(&rows(&page, "event"), 4), all);
    let end = value(Record::End(End::default()));
    assert_eq!(listed(&rows(&page, "end"), 3), fields("", &end["end"]));
}

#[test]
fn the_page_lists_every_field_of_a_snapshot() {
    let world = serde_json::to_value(small_world()).unwrap();
    let first = |list: &str| world[list][0].clone();
    let wait = serde_json::to_value(&deadlock().processes[0].threads[0].wait).unwrap();
    let objects = [
        ("snapshot", serde_json::to_value(Snapshot::default()).unwrap()),
        ("process", serde_json::to_value(Process::default()).unwrap()),
        ("thread", serde_json::to_value(Thread::default()).unwrap()),
        ("wait", wait),
        ("descriptor", serde_json::to_value(Descriptor::default()).unwrap()),
        (
            "socket file",
            serde_json::to_value(SocketFile { path: "x".into(), inode: (0, 1) }).unwrap(),
        ),
        ("file", first("files")),
        ("socket", first("sockets")),
    ];
    let all: BTreeSet<_> = objects.iter().flat_map(|(name, value)| fields(name, value)).collect();
    let page = page();
    assert_eq!(listed(&rows(&page, "snapshot"), 4), all);
    let word = |value: Value| value.as_str().unwrap().to_owned();
    let mut words: Vec<String> =
        keys(&serde_json::to_value(Queue::default()).unwrap()).into_iter().collect();
    let path = || "x".to_owned();
    let kinds = [
        FileKind::Socket(1),
        FileKind::Regular(path()),
        FileKind::Directory(path()),
        FileKind::Other(path()),
    ];
    words.extend(kinds.iter().flat_map(|kind| keys(&serde_json::to_value(kind).unwrap())));
    let reasons = [
        WaitReason::Readable,
        WaitReason::Memory,
        WaitReason::PeerQueue,
        WaitReason::Connection,
        WaitReason::Backlog,
        WaitReason::Readiness,
        WaitReason::Child,
        WaitReason::Thread,
        WaitReason::Room,
        WaitReason::Time,
    ];
    for reason in reasons {
        words.push(word(serde_json::to_value(reason).unwrap()));
    }
    for kind in [SocketKind::Stream, SocketKind::Datagram, SocketKind::Seqpacket] {
        words.push(word(serde_json::to_value(kind).unwrap()));
    }
    use SocketState::*;
    for state in [Unconnected, Listening, Pending, Connected, Disconnected] {
        words.push(word(serde_json::to_value(state).unwrap()));
    }
    for word in words {
        assert!(page.contains(&format!("`{word}`")), "the page does not name {word}");
    }
}

#[test]
fn the_page_shows_a_whole_file_with_every_kind() {
    let page = page();
    let example = page.split("```jsonl\n").nth(1).unwrap().split("```").next().unwrap();
    let trace = read(example.as_bytes()).unwrap();
    assert_eq!(trace.cut, None);
    let name = |kind: &EventKind| keys(&serde_json::to_value(kind).unwrap()).pop_first().unwrap();
    let shown: BTreeSet<String> = trace.events.iter().map(|event| name(&event.kind)).collect();
    let known: BTreeSet<String> = kinds().iter().map(name).collect();
    assert_eq!(shown, known);
    // It is written as the writer writes.
    let mut writer = Writer::new(Vec::new(), &trace.header).unwrap();
    trace.events.iter().for_each(|event| writer.event(event).unwrap());
    writer.snapshot(trace.last_snapshot().unwrap()).unwrap();
    let bytes = writer.end(&trace.end.unwrap().outcome).unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), example);
}
