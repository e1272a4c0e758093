//! The rows of a ladder as data, for a page that draws them itself.

use afunix::trace::Event;

use super::build::{Mark, Row, build};
use super::draw::{advance, glyph, initial_states};
use crate::text::clock;

/// A row of the ladder. All words are escaped.
pub(crate) struct Step {
    /// Number of its first event; `None` if it stands for none.
    pub(crate) seq: Option<u64>,
    pub(crate) at: String,
    pub(crate) lane: usize,
    /// What it is, in a word.
    pub(crate) mark: &'static str,
    pub(crate) text: String,
    pub(crate) tail: String,
    /// A character per lane.
    pub(crate) glyphs: String,
    /// The sockets that it is about.
    pub(crate) sockets: Vec<u64>,
    /// Index of the last event in it.
    pub(crate) last: usize,
}

/// More lanes than this get no glyphs: a row would be wider than any page.
const MOST_LANES: usize = 60;

/// The titles of the lanes, and all rows, with the bytes that move.
pub(crate) fn steps(events: &[Event]) -> (Vec<String>, Vec<Step>) {
    let chart = build(events, true);
    let mut states = initial_states(&chart);
    let mut steps = Vec::with_capacity(chart.rows.len());
    for row in &chart.rows {
        let mut glyphs: Vec<char> = states.iter().map(|state| state.glyph()).collect();
        glyphs[row.lane] = glyph(row);
        if let Some(waker) = row.woken_by {
            glyphs[waker] = '●';
        }
        let glyphs =
            if glyphs.len() > MOST_LANES { String::new() } else { glyphs.iter().collect() };
        let times = if row.times > 1 { format!(" ({} times)", row.times) } else { String::new() };
        steps.push(Step {
            seq: (row.seq != u64::MAX).then_some(row.seq),
            at: clock(row.at),
            lane: row.lane,
            mark: word(row),
            text: row.text.clone(),
            tail: format!("{}{times}", row.tail),
            glyphs,
            sockets: row.sockets.clone(),
            last: row.last,
        });
        advance(&chart, row, &mut states);
    }
    (chart.lanes.into_iter().map(|lane| lane.title).collect(), steps)
}

fn word(row: &Row) -> &'static str {
    match row.mark {
        Mark::Started => "started",
        Mark::Call => "call",
        Mark::Begun => "begun",
        Mark::Waits => "waits",
        Mark::Woken => "woken",
        Mark::Returned => "returned",
        Mark::Fault => "fault",
        Mark::Printed => "printed",
        Mark::Flow => "flow",
        Mark::Died => "died",
        Mark::StillWaits => "still",
    }
}
