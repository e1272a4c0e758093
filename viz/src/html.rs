//! The HTML view: one file, no network, no server. Graph and ladder side by side, a slider over the
//! steps; or two runs, with their first difference.
//!
//! Everything is laid out here; `page.js` only shows and hides. The page's data is JSON in a script
//! element that is not run, and its strings become text of the page, never markup.

use std::collections::BTreeSet;

use afunix::snapshot::Snapshot;
use afunix::trace::file::{Header, Source, Trace};
use afunix::trace::{Event, EventKind};
use serde_json::{Value, json};

use crate::escape;
use crate::ladder::{Step, steps};
use crate::moments::moments;
use crate::svg::{Film, STYLES, film};
use crate::text::{escape_json, xml};
use crate::warnings::{Warning, warnings};

/// Events that a page holds of a run, unless a window is asked for.
const MOST_EVENTS: usize = 10_000;

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");
const BODY: &str = include_str!("html/body.html");

/// What of a trace a page holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HtmlOptions {
    /// The first event, and the one after the last; the last 10,000 events by default.
    pub window: Option<(usize, usize)>,
}

/// One run as a page, or two side by side, each with its name.
///
/// A page holds the last 10,000 events of a run, or the window asked for, and says so. Of a trace
/// without snapshots there is no graph.
pub fn html(runs: &[(&str, &Trace)], options: &HtmlOptions) -> String {
    let shown: Vec<Run> = runs.iter().map(|(name, trace)| run(name, trace, options)).collect();
    let difference = match &shown[..] {
        [one, other] => first_difference(one, other),
        _ => None,
    };
    let subject = runs.first().map_or("", |(_, trace)| trace.header.subject.as_str());
    page(&escape(subject), &shown, difference)
}

/// A snapshot as a page: its graph and its warnings.
pub fn html_graph(title: &str, snapshot: &Snapshot) -> String {
    let trace = Trace {
        header: Header::new(Source::Kernel, title),
        events: Vec::new(),
        snapshots: vec![(0, snapshot.clone())],
        end: None,
        cut: None,
    };
    html(&[("", &trace)], &HtmlOptions::default())
}

/// A run, ready for the page. All words are escaped for a reader.
struct Run {
    name: String,
    outcome: String,
    notes: Vec<String>,
    lanes: Vec<String>,
    steps: Vec<Step>,
    /// By step, the frame that shows it.
    frames: Vec<usize>,
    film: Film,
    /// Each with the frames from which to which it holds.
    warnings: Vec<(Warning, usize, usize)>,
}

fn run(name: &str, trace: &Trace, options: &HtmlOptions) -> Run {
    let count = trace.events.len();
    let (start, end) = options.window.unwrap_or((count.saturating_sub(MOST_EVENTS), count));
    let end = end.min(count);
    let start = start.min(end);
    let window = &trace.events[start..end];
    let mut events = names(&trace.events[..start], window);
    let intro = events.len();
    events.extend_from_slice(window);
    let mut notes: Vec<String> = trace.cut.iter().map(|cut| escape(cut)).collect();
    if window.len() < count {
        notes.push(format!(
            "This page holds events {start} to {} of {count}: --window shows others.",
            end.saturating_sub(1)
        ));
    }
    if let Some(snapshot) = trace.last_snapshot() {
        notes.extend(snapshot.notes.iter().map(|note| escape(note)));
    }
    let snapshots: Vec<(usize, Snapshot)> = within(&trace.snapshots, start, end)
        .map(|(before, snapshot)| (before.saturating_sub(start) + intro, snapshot.clone()))
        .collect();
    let moments = moments(&events, &snapshots);
    let (lanes, steps) = steps(&events);
    let shows = |step: &Step| {
        let later = moments.partition_point(|(before, _)| *before <= step.last + 1);
        later.saturating_sub(1)
    };
    Run {
        name: escape(name),
        outcome: trace.end.as_ref().map_or_else(String::new, |end| escape(&end.outcome)),
        notes,
        lanes,
        frames: steps.iter().map(shows).collect(),
        steps,
        film: film(moments.iter().map(|(_, snapshot)| snapshot)),
        warnings: lasting(&snapshots, &moments),
    }
}

/// The names of the threads of a window that started before it.
fn names(before: &[Event], window: &[Event]) -> Vec<Event> {
    let threads: BTreeSet<u32> = window.iter().map(|event| event.thread).collect();
    let is_name = |event: &&Event| {
        matches!(event.kind, EventKind::Started { .. }) && threads.contains(&event.thread)
    };
    before.iter().filter(is_name).cloned().collect()
}

/// The snapshots of a window, and the last one before it.
fn within(
    snapshots: &[(usize, Snapshot)],
    start: usize,
    end: usize,
) -> impl Iterator<Item = &(usize, Snapshot)> {
    let first = snapshots.partition_point(|(before, _)| *before <= start).saturating_sub(1);
    snapshots[first..].iter().take_while(move |(before, _)| *before <= end)
}

/// The warnings of all snapshots, each once, with the frames in which it first and last holds.
fn lasting(
    snapshots: &[(usize, Snapshot)],
    moments: &[(usize, Snapshot)],
) -> Vec<(Warning, usize, usize)> {
    let mut found: Vec<(Warning, usize, usize)> = Vec::new();
    for (before, snapshot) in snapshots {
        let frame = moments.partition_point(|(at, _)| at < before);
        for warning in warnings(snapshot) {
            let same = |(known, ..): &&mut (Warning, usize, usize)| {
                known.kind == warning.kind
                    && (&known.sockets, &known.processes) == (&warning.sockets, &warning.processes)
            };
            match found.iter_mut().find(same) {
                Some(known) => (known.0, known.2) = (warning, frame),
                None => found.push((warning, frame, frame)),
            }
        }
    }
    found
}

/// The first step at which two runs do something else.
fn first_difference(one: &Run, other: &Run) -> Option<usize> {
    let what = |run: &'_ Run, at: usize| {
        let step = run.steps.get(at)?;
        Some((run.lanes[step.lane].clone(), step.text.clone(), step.tail.clone()))
    };
    let longest = one.steps.len().max(other.steps.len());
    (0..longest).find(|at| what(one, *at) != what(other, *at))
}

fn page(subject: &str, runs: &[Run], difference: Option<usize>) -> String {
    let data = json!({
        "subject": subject,
        "difference": difference,
        "runs": runs.iter().map(data).collect::<Vec<Value>>(),
    });
    // What ends a script element is no part of it: `</script`, and `<!--`.
    let data = escape_json(&data.to_string()).replace('<', "\\u003c");
    let pictures: String = runs
        .iter()
        .map(|run| format!("<div class=\"picture\" hidden>\n{}</div>\n", run.film.svg))
        .collect();
    let (light, dark) = STYLES;
    let title = if subject.is_empty() { "afunix".to_owned() } else { xml(subject) };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n.picture{{\n{light}}}\n\
         [data-theme=dark] .picture{{\n{dark}}}\n{STYLE}</style>\n</head>\n<body>\n\
         {}<script type=\"application/json\" id=\"data\">{data}</script>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        BODY.replace("<!--title-->", &title).replace("<!--pictures-->", &pictures)
    )
}

fn data(run: &Run) -> Value {
    let step = |(step, frame): (&Step, &usize)| {
        json!([
            step.seq,
            step.at,
            step.lane,
            step.mark,
            step.text,
            step.tail,
            step.glyphs,
            step.sockets,
            frame
        ])
    };
    let warning = |(warning, from, to): &(Warning, usize, usize)| {
        json!({
            "title": warning.kind.title(),
            "text": warning.text,
            "sockets": warning.sockets,
            "processes": warning.processes,
            "from": from,
            "to": to,
        })
    };
    json!({
        "name": run.name,
        "outcome": run.outcome,
        "notes": run.notes,
        "lanes": run.lanes,
        "steps": run.steps.iter().zip(&run.frames).map(step).collect::<Vec<Value>>(),
        "frames": run.film.frames,
        "warnings": run.warnings.iter().map(warning).collect::<Vec<Value>>(),
    })
}
