//! From events to rows.

use std::collections::BTreeMap;

use afunix::trace::{Event, EventKind};

use crate::escape;
use crate::flow::{event_words, result_words};
use crate::text::{clock, duration};

/// A chart, ready to be put on a page. All words in it are escaped.
#[derive(Default)]
pub(super) struct Chart {
    pub(super) lanes: Vec<Lane>,
    pub(super) rows: Vec<Row>,
    /// Calls that never returned, in words: a line each.
    pub(super) unfinished: Vec<String>,
}

/// A thread.
pub(super) struct Lane {
    pub(super) process: u32,
    pub(super) thread: u32,
    /// Name and ids.
    pub(super) title: String,
    pub(super) name: String,
    started: bool,
}

/// A line of the chart.
pub(super) struct Row {
    pub(super) seq: u64,
    pub(super) at: u64,
    pub(super) lane: usize,
    pub(super) mark: Mark,
    /// What is cut if there is no room,
    pub(super) text: String,
    /// and what is not.
    pub(super) tail: String,
    /// How many equal rows this one stands for.
    pub(super) times: u64,
    /// The lane that an arrow comes from.
    pub(super) woken_by: Option<usize>,
    /// The sockets that it is about.
    pub(super) sockets: Vec<u64>,
    /// Index of the last event in it.
    pub(super) last: usize,
}

/// What a row is, and so what happens to its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Started,
    /// A call with its result.
    Call,
    /// A call that has not returned yet.
    Begun,
    Waits,
    Woken,
    /// The end of a call that has waited.
    Returned,
    Fault,
    Printed,
    Flow,
    /// The whole process ended.
    Died,
    StillWaits,
}

/// A call that has begun.
struct OpenCall {
    row: usize,
    call: String,
    waited: u64,
    /// Since when, and for what, it waits now.
    wait: Option<(u64, String)>,
    has_waited: bool,
}

pub(super) fn build(events: &[Event], flows: bool) -> Chart {
    let mut builder = Builder { chart: Chart::default(), open: BTreeMap::new(), index: 0 };
    let mut lanes = BTreeMap::new();
    // What is not shown gives no thread a lane: a killed process's sockets are freed by nobody.
    for (index, event) in events.iter().enumerate() {
        if !flows && is_flow(&event.kind) {
            continue;
        }
        builder.index = index;
        let lane = *lanes.entry(event.thread).or_insert_with(|| builder.add_lane(event));
        builder.take(event, lane, &lanes);
    }
    builder.finish(events)
}

struct Builder {
    chart: Chart,
    /// By lane.
    open: BTreeMap<usize, OpenCall>,
    /// Of the event that is taken in.
    index: usize,
}

fn is_flow(kind: &EventKind) -> bool {
    use EventKind::{Freed, Queued, Taken};
    matches!(kind, Queued { .. } | Taken { .. } | Freed { .. })
}

impl Builder {
    fn add_lane(&mut self, event: &Event) -> usize {
        let name = match &event.kind {
            EventKind::Started { name } => escape(name),
            _ => "?".to_owned(),
        };
        let (process, thread) = (event.process, event.thread);
        let title = title(&name, process, thread);
        self.chart.lanes.push(Lane { process, thread, title, name, started: false });
        self.chart.lanes.len() - 1
    }

    fn take(&mut self, event: &Event, lane: usize, lanes: &BTreeMap<u32, usize>) {
        let text = |text: &str| (text.to_owned(), String::new());
        match &event.kind {
            EventKind::Started { name } => self.started(event, lane, name),
            EventKind::Enter { call, .. } => self.enter(event, lane, call),
            EventKind::Exit { call, result } => self.exit(event, lane, call, *result),
            EventKind::Blocked { on, socket } => self.blocked(event, lane, on, *socket),
            EventKind::Woken { by } => self.woken(event, lane, *by, lanes),
            EventKind::Queued { .. } | EventKind::Taken { .. } | EventKind::Freed { .. } => {
                self.row(event, lane, Mark::Flow, text(&event_words(&event.kind)));
            }
            EventKind::Fault { what } => {
                self.row(event, lane, Mark::Fault, text(&format!("fault: {}", escape(what))));
            }
            EventKind::Printed { line } => {
                self.row(event, lane, Mark::Printed, text(&escape(line)));
            }
            EventKind::Exited { how } => {
                self.row(event, lane, Mark::Died, text(&escape(how)));
                for (at, other) in self.chart.lanes.iter().enumerate() {
                    if other.process == event.process {
                        self.open.remove(&at);
                    }
                }
            }
        }
    }

    fn started(&mut self, event: &Event, lane: usize, name: &str) {
        let name = escape(name);
        let known = &mut self.chart.lanes[lane];
        let renamed = known.started && known.name != name;
        if !known.started {
            known.started = true;
            known.title = title(&name, known.process, known.thread);
            known.name.clone_from(&name);
        }
        let words = if renamed { format!("started as {name}") } else { "started".to_owned() };
        self.row(event, lane, Mark::Started, (words, String::new()));
    }

    fn enter(&mut self, event: &Event, lane: usize, call: &str) {
        let call = escape(call);
        let row = self.row(event, lane, Mark::Begun, (call.clone(), " …".to_owned()));
        let open = OpenCall { row, call, waited: 0, wait: None, has_waited: false };
        self.open.insert(lane, open);
    }

    fn exit(&mut self, event: &Event, lane: usize, call: &str, result: i64) {
        let tail = format!(" = {}", result_words(result));
        match self.open.remove(&lane) {
            Some(open) if !open.has_waited => {
                let row = &mut self.chart.rows[open.row];
                row.mark = Mark::Call;
                row.tail = tail;
                row.last = self.index;
                self.merge_last();
            }
            Some(open) => {
                // A signal may end a call without a waking of its own.
                let waited =
                    open.waited + open.wait.map_or(0, |(since, _)| event.at.saturating_sub(since));
                let tail = format!("{tail}, waited {}", duration(waited));
                self.row(event, lane, Mark::Returned, (escape(call), tail));
            }
            None => {
                self.row(event, lane, Mark::Returned, (escape(call), tail));
            }
        }
    }

    fn blocked(&mut self, event: &Event, lane: usize, on: &str, socket: Option<u64>) {
        let at = socket.map_or_else(String::new, |socket| format!(" (socket {socket})"));
        let on = escape(on);
        let mut again = "";
        if let Some(open) = self.open.get_mut(&lane) {
            if open.has_waited {
                again = " again";
            }
            open.has_waited = true;
            open.wait = Some((event.at, format!("{on}{at}")));
        }
        self.row(event, lane, Mark::Waits, (format!("waits{again}: {on}{at}"), String::new()));
    }

    fn woken(&mut self, event: &Event, lane: usize, by: Option<u32>, lanes: &BTreeMap<u32, usize>) {
        let mut after = String::new();
        if let Some(open) = self.open.get_mut(&lane)
            && let Some((since, _)) = open.wait.take()
        {
            let length = event.at.saturating_sub(since);
            open.waited += length;
            after = format!(" after {}", duration(length));
        }
        let waker = by.and_then(|by| lanes.get(&by).copied()).filter(|&waker| waker != lane);
        let words = match (by, waker) {
            (None, _) => "woken by time or a signal".to_owned(),
            (Some(_), Some(waker)) => format!("woken by {}", self.chart.lanes[waker].name),
            (Some(by), None) if by == event.thread => "woken by itself".to_owned(),
            (Some(by), None) => format!("woken by thread {by}"),
        };
        let row = self.row(event, lane, Mark::Woken, (words, after));
        self.chart.rows[row].woken_by = waker;
    }

    fn row(&mut self, event: &Event, lane: usize, mark: Mark, words: (String, String)) -> usize {
        let (text, tail) = words;
        let (seq, at) = (event.seq, event.at);
        self.chart.rows.push(Row {
            seq,
            at,
            lane,
            mark,
            text,
            tail,
            times: 1,
            woken_by: None,
            sockets: sockets(&event.kind),
            last: self.index,
        });
        self.chart.rows.len() - 1
    }

    /// A sender that fills a buffer makes the same call hundreds of times.
    fn merge_last(&mut self) {
        let rows = &mut self.chart.rows;
        let [.., before, last] = rows.as_mut_slice() else { return };
        let same = before.lane == last.lane
            && (before.mark, last.mark) == (Mark::Call, Mark::Call)
            && (&before.text, &before.tail) == (&last.text, &last.tail);
        if same {
            before.times += 1;
            before.last = last.last;
            rows.pop();
        }
    }

    fn finish(mut self, events: &[Event]) -> Chart {
        let Some(last) = events.last() else { return self.chart };
        for (lane, open) in std::mem::take(&mut self.open) {
            let title = &self.chart.lanes[lane].title;
            let Some((since, on)) = open.wait else {
                let words = format!("{title} in {}: has not returned", open.call);
                self.chart.unfinished.push(words);
                continue;
            };
            let length = duration(last.at.saturating_sub(since));
            let since = clock(since);
            let words = format!("{title} in {}, {length} since {since}: waits for {on}", open.call);
            self.chart.unfinished.push(words);
            let words = ("still waits".to_owned(), format!(", {length}"));
            let row = self.row(last, lane, Mark::StillWaits, words);
            // It is no event: it has no number.
            self.chart.rows[row].seq = u64::MAX;
        }
        self.chart
    }
}

fn title(name: &str, process: u32, thread: u32) -> String {
    if process == thread {
        format!("{name} ({process})")
    } else {
        format!("{name} ({process}/{thread})")
    }
}

/// The sockets that an event names.
fn sockets(kind: &EventKind) -> Vec<u64> {
    match kind {
        EventKind::Enter { socket, .. } | EventKind::Blocked { socket, .. } => {
            socket.iter().copied().collect()
        }
        EventKind::Queued { from, to, .. } => vec![*from, *to],
        EventKind::Taken { socket, .. } | EventKind::Freed { socket } => vec![*socket],
        _ => Vec::new(),
    }
}
