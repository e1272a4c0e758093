//! Chrome's trace event format (JSON), which ui.perfetto.dev and chrome://tracing open.
//!
//! A track per thread with a slice for each call and a slice in it for each wait; arrows (*flows*)
//! from sending to taking and from the thread that woke another; a counter for the bytes in each
//! receive queue; faults, printed lines and ends as instants.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use afunix::trace::{Event, EventKind};

use crate::escape;
use crate::flow::{event_words, flows, result_words};
use crate::text::escape_json;

/// The process that the counters of queues belong to; no real one has this id.
const QUEUES: u32 = 0;

/// A trace in Chrome's trace event format. Times are in microseconds, with nanoseconds as decimals.
///
/// Traces of the kernel have calls alone: flows and counters need the model's events.
pub fn perfetto(events: &[Event]) -> String {
    let mut writer =
        Writer { out: String::from("{\"displayTimeUnit\":\"ns\",\"traceEvents\":["), first: true };
    names(events, &mut writer);
    let mut open: BTreeMap<u32, Open> = BTreeMap::new();
    let mut queues: BTreeMap<u64, u64> = BTreeMap::new();
    for event in events {
        let call = open.entry(event.thread).or_default();
        match &event.kind {
            EventKind::Enter { call: words, .. } => {
                call.call = Some((event.at, escape(words)));
                call.wait = None;
            }
            EventKind::Blocked { on, .. } => {
                call.wait = Some((event.at, format!("waits: {}", escape(on))));
            }
            EventKind::Woken { .. } => call.end_wait(event, &mut writer),
            EventKind::Exit { result, .. } => {
                call.end_wait(event, &mut writer);
                call.end_call(event, &result_words(*result), &mut writer);
            }
            EventKind::Queued { to, bytes, .. } => {
                let queue = queues.entry(*to).or_default();
                *queue = queue.saturating_add(*bytes);
                writer.counter(event, *to, *queue);
            }
            EventKind::Taken { socket, bytes, .. } => {
                let queue = queues.entry(*socket).or_default();
                *queue = queue.saturating_sub(*bytes);
                writer.counter(event, *socket, *queue);
            }
            EventKind::Freed { socket } => {
                if queues.remove(socket).is_some() {
                    writer.counter(event, *socket, 0);
                }
            }
            EventKind::Exited { .. } => {
                call.end_call(event, "the process ended", &mut writer);
                writer.instant(event);
            }
            EventKind::Started { .. } | EventKind::Fault { .. } | EventKind::Printed { .. } => {
                writer.instant(event);
            }
        }
    }
    if let Some(last) = events.last() {
        for (thread, mut call) in open {
            let Some(of) = events.iter().find(|event| event.thread == thread) else { continue };
            let end = Event { at: last.at, ..of.clone() };
            call.end_wait(&end, &mut writer);
            call.end_call(&end, "has not returned", &mut writer);
        }
    }
    arrows(events, &mut writer);
    writer.out.push_str("\n]}\n");
    writer.out
}

fn names(events: &[Event], writer: &mut Writer) {
    let mut processes: BTreeMap<u32, String> = BTreeMap::new();
    let mut threads: BTreeMap<(u32, u32), String> = BTreeMap::new();
    for event in events {
        if let EventKind::Started { name } = &event.kind {
            processes.entry(event.process).or_insert_with(|| escape(name));
            threads.entry((event.process, event.thread)).or_insert_with(|| escape(name));
        }
    }
    if events.iter().any(|event| matches!(event.kind, EventKind::Queued { .. })) {
        writer.name("process_name", QUEUES, 0, "receive queues");
    }
    for (process, name) in processes {
        writer.name("process_name", process, process, &name);
    }
    for ((process, thread), name) in threads {
        writer.name("thread_name", process, thread, &name);
    }
}

/// Arrows: of bytes from sender to taker, and from who woke to who was woken.
fn arrows(events: &[Event], writer: &mut Writer) {
    let mut id = 0;
    for flow in flows(events) {
        let Some(to) = flow.to else { continue };
        writer.flow("bytes", id, &events[flow.from], &events[to]);
        id += 1;
    }
    let mut last: BTreeMap<u32, &Event> = BTreeMap::new();
    for event in events {
        if let EventKind::Woken { by: Some(by) } = event.kind
            && let Some(waker) = last.get(&by)
        {
            writer.flow("wakes", id, &Event { at: event.at, ..(*waker).clone() }, event);
            id += 1;
        }
        last.insert(event.thread, event);
    }
}

/// What a thread is in.
#[derive(Default)]
struct Open {
    call: Option<(u64, String)>,
    wait: Option<(u64, String)>,
}

impl Open {
    fn end_wait(&mut self, end: &Event, writer: &mut Writer) {
        if let Some((since, words)) = self.wait.take() {
            writer.slice(end, since, "wait", &words, "");
        }
    }

    fn end_call(&mut self, end: &Event, result: &str, writer: &mut Writer) {
        if let Some((since, words)) = self.call.take() {
            writer.slice(end, since, "call", &words, result);
        }
    }
}

struct Writer {
    out: String,
    first: bool,
}

impl Writer {
    /// Begins an event. All words are escaped for a reader; here for JSON.
    fn begin(&mut self, phase: &str, name: &str, process: u32, thread: u32) {
        self.out.push_str(if self.first { "\n" } else { ",\n" });
        self.first = false;
        let name = string(name);
        let _ = write!(
            self.out,
            "{{\"ph\":\"{phase}\",\"name\":{name},\"pid\":{process},\"tid\":{thread}"
        );
    }

    fn name(&mut self, what: &str, process: u32, thread: u32, name: &str) {
        self.begin("M", what, process, thread);
        let _ = write!(self.out, ",\"args\":{{\"name\":{}}}}}", string(name));
    }

    fn slice(&mut self, end: &Event, since: u64, category: &str, name: &str, result: &str) {
        self.begin("X", name, end.process, end.thread);
        let length = micros(end.at.saturating_sub(since));
        let since = micros(since);
        let _ = write!(self.out, ",\"cat\":\"{category}\",\"ts\":{since},\"dur\":{length}");
        if !result.is_empty() {
            let _ = write!(self.out, ",\"args\":{{\"result\":{}}}", string(result));
        }
        self.out.push('}');
    }

    fn instant(&mut self, event: &Event) {
        self.begin("i", &event_words(&event.kind), event.process, event.thread);
        let _ = write!(self.out, ",\"s\":\"t\",\"ts\":{}}}", micros(event.at));
    }

    fn counter(&mut self, event: &Event, socket: u64, bytes: u64) {
        self.begin("C", &format!("socket {socket}"), QUEUES, 0);
        let _ = write!(self.out, ",\"ts\":{},\"args\":{{\"bytes\":{bytes}}}}}", micros(event.at));
    }

    fn flow(&mut self, name: &str, id: u64, from: &Event, to: &Event) {
        for (phase, event, more) in [("s", from, ""), ("f", to, ",\"bp\":\"e\"")] {
            self.begin(phase, name, event.process, event.thread);
            let ts = micros(event.at);
            let _ = write!(self.out, ",\"cat\":\"{name}\",\"id\":{id},\"ts\":{ts}{more}}}");
        }
    }
}

/// Nanoseconds as microseconds, exactly.
fn micros(nanoseconds: u64) -> String {
    format!("{}.{:03}", nanoseconds / 1000, nanoseconds % 1000)
}

fn string(text: &str) -> String {
    escape_json(&serde_json::Value::from(text).to_string())
}
