//! The ladder: a sequence chart in text, time going down, a *lane* for each thread.
//!
//! `build` turns events into *rows*: a call and its result in one row if it did not wait, else a
//! row for the call, the wait, the waking and the result. `draw` puts rows on the page: in a column
//! per thread while there is room for the words, else as narrow lanes with the words on the right.

mod build;
mod draw;
mod steps;

use afunix::trace::Event;

pub(crate) use steps::{Step, steps};

/// How to draw a ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LadderOptions {
    /// Columns of the page, 60 at least; 110 by default.
    pub width: usize,
    /// Also show each message buffer queued and taken and each socket freed; not shown by default.
    pub flows: bool,
}

impl Default for LadderOptions {
    fn default() -> Self {
        Self { width: 110, flows: false }
    }
}

/// A sequence chart of `events` in text.
///
/// A row has the number of its event, the time (where it differs from the row above), and a column
/// per thread. `│` is a thread that could run, `┊` one that waits. A call that returned without
/// waiting is one row; equal rows one after the other are one row with a count. An arrow runs from
/// the thread that woke another to the one that was woken. What is still waiting at the end is
/// listed below.
///
/// No row is wider than the page. The text of a call is cut with `…`, its result is not.
///
/// # Examples
/// ```
/// use afunix::trace::{Event, EventKind};
/// let kinds = [
///     EventKind::Started { name: "server".into() },
///     EventKind::Enter { call: "close(3)".into(), socket: None },
///     EventKind::Exit { call: "close".into(), result: 0 },
/// ];
/// let event = |(seq, kind)| Event { seq, at: 10 * seq, process: 1, thread: 1, kind };
/// let events: Vec<Event> = (0..).zip(kinds).map(event).collect();
/// let text = afunix_viz::ladder(&events, &Default::default());
/// assert!(text.contains("close(3) = 0"));
/// ```
pub fn ladder(events: &[Event], options: &LadderOptions) -> String {
    let chart = build::build(events, options.flows);
    draw::draw(&chart, options.width.max(60))
}
