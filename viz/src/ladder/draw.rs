//! From rows to a page of text.

use super::build::{Chart, Mark, Row};
use crate::text::{clock, cut, pad, width, wrap};

/// Number of the event and time, on the left of each row.
const GUTTER: usize = 19;
/// Narrower than this, a column has no room for a call and its result.
const MIN_COLUMN: usize = 34;
/// More lanes than this are not drawn, only named.
const MAX_LANES: usize = 40;
/// The heading comes again after so many rows.
const ROWS_PER_HEADING: usize = 60;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneState {
    Absent,
    Runs,
    Waits,
}

impl LaneState {
    pub(super) fn glyph(self) -> char {
        match self {
            Self::Absent => ' ',
            Self::Runs => '│',
            Self::Waits => '┊',
        }
    }
}

pub(super) fn draw(chart: &Chart, page: usize) -> String {
    if chart.lanes.is_empty() {
        return "no events\n".to_owned();
    }
    let column = (page - GUTTER) / chart.lanes.len();
    let form: &dyn Form =
        if column >= MIN_COLUMN { &Columns { width: column } } else { &Lanes { page } };
    let mut out = String::new();
    let mut states = initial_states(chart);
    let mut at = None;
    for (number, row) in chart.rows.iter().enumerate() {
        if number % ROWS_PER_HEADING == 0 {
            if number > 0 {
                out.push('\n');
            }
            form.heading(chart, &mut out);
        }
        let seq = if row.seq == u64::MAX { String::new() } else { row.seq.to_string() };
        let time = if at == Some(row.at) { String::new() } else { clock(row.at) };
        at = Some(row.at);
        let mut line = format!("{seq:>6} {time:>10}  ");
        form.row(chart, row, &states, &mut line);
        out.push_str(line.trim_end());
        out.push('\n');
        advance(chart, row, &mut states);
    }
    if !chart.unfinished.is_empty() {
        out.push_str("\nStill in a call at the end:\n");
        for words in &chart.unfinished {
            for line in wrap(&format!("  {words}"), page) {
                out.push_str(&line);
                out.push('\n');
            }
        }
    }
    out
}

/// A thread that the trace does not see starting was there from the beginning.
pub(super) fn initial_states(chart: &Chart) -> Vec<LaneState> {
    let mut states = vec![LaneState::Runs; chart.lanes.len()];
    let mut seen = vec![false; chart.lanes.len()];
    for row in &chart.rows {
        if !seen[row.lane] && row.mark == Mark::Started {
            states[row.lane] = LaneState::Absent;
        }
        seen[row.lane] = true;
    }
    states
}

pub(super) fn advance(chart: &Chart, row: &Row, states: &mut [LaneState]) {
    match row.mark {
        Mark::Started | Mark::Woken | Mark::Returned => states[row.lane] = LaneState::Runs,
        Mark::Waits => states[row.lane] = LaneState::Waits,
        Mark::Died => {
            let process = chart.lanes[row.lane].process;
            for (state, lane) in states.iter_mut().zip(&chart.lanes) {
                if lane.process == process {
                    *state = LaneState::Absent;
                }
            }
        }
        _ => {}
    }
}

trait Form {
    fn heading(&self, chart: &Chart, out: &mut String);
    fn row(&self, chart: &Chart, row: &Row, states: &[LaneState], line: &mut String);
}

/// A column per thread, the words in it.
struct Columns {
    width: usize,
}

impl Form for Columns {
    fn heading(&self, chart: &Chart, out: &mut String) {
        let mut titles = format!("{:>6} {:>10}  ", "event", "time");
        let mut rule = "─".repeat(GUTTER);
        for lane in &chart.lanes {
            titles.push_str(&pad(&lane.title, self.width - 1));
            titles.push(' ');
            rule.push('┬');
            rule.push_str(&"─".repeat(self.width - 1));
        }
        out.push_str(titles.trim_end());
        out.push('\n');
        out.push_str(&rule);
        out.push('\n');
    }

    fn row(&self, _: &Chart, row: &Row, states: &[LaneState], line: &mut String) {
        let mut cells: Vec<String> =
            states.iter().map(|state| pad(&state.glyph().to_string(), self.width)).collect();
        // One column stays free between two threads.
        let room = self.width - 1;
        let words = words(row, room - 2);
        match row.woken_by {
            Some(waker) if waker < row.lane => {
                cells[waker] = fill("●", '─', self.width);
                for cell in &mut cells[waker + 1..row.lane] {
                    *cell = "─".repeat(self.width);
                }
                cells[row.lane] = pad(&format!("► {words}"), self.width);
            }
            Some(waker) => {
                cells[row.lane] = fill(&format!("◄ {words} "), '─', self.width);
                for cell in &mut cells[row.lane + 1..waker] {
                    *cell = "─".repeat(self.width);
                }
                cells[waker] = pad("●", self.width);
            }
            None => cells[row.lane] = pad(&format!("{} {words}", glyph(row)), self.width),
        }
        line.push_str(&cells.concat());
    }
}

/// A narrow lane per thread, the words on the right.
struct Lanes {
    page: usize,
}

impl Lanes {
    fn is_drawn(chart: &Chart) -> bool {
        chart.lanes.len() <= MAX_LANES
    }
}

impl Form for Lanes {
    fn heading(&self, chart: &Chart, out: &mut String) {
        let mut line = String::new();
        for (at, lane) in chart.lanes.iter().enumerate() {
            let entry = format!("{} {}", label(at), lane.title);
            let entry = cut(&entry, self.page);
            if !line.is_empty() && width(&line) + 3 + width(&entry) > self.page {
                out.push_str(&line);
                out.push('\n');
                line.clear();
            }
            if !line.is_empty() {
                line.push_str("   ");
            }
            line.push_str(&entry);
        }
        out.push_str(&line);
        out.push('\n');
        let mut titles = format!("{:>6} {:>10}  ", "event", "time");
        if Self::is_drawn(chart) {
            for at in 0..chart.lanes.len() {
                titles.push_str(&label(at));
                titles.push(' ');
            }
        }
        out.push_str(titles.trim_end());
        out.push('\n');
    }

    fn row(&self, chart: &Chart, row: &Row, states: &[LaneState], line: &mut String) {
        if Self::is_drawn(chart) {
            let ends = row.woken_by.map(|waker| (waker.min(row.lane), waker.max(row.lane)));
            for (at, state) in states.iter().enumerate() {
                let between = ends.is_some_and(|(low, high)| low < at && at < high);
                let right = ends.is_some_and(|(low, high)| low <= at && at < high);
                let shown = match (at == row.lane, row.woken_by) {
                    (true, Some(waker)) if waker < at => '►',
                    (true, Some(_)) => '◄',
                    (true, None) => glyph(row),
                    (false, Some(waker)) if waker == at => '●',
                    // An arrow passes over a lane, which goes on below it.
                    _ if between => '─',
                    _ => state.glyph(),
                };
                line.push(shown);
                line.push(if right { '─' } else { ' ' });
            }
            line.push(' ');
        }
        let who = format!("{} {}", label(row.lane), pad(&chart.lanes[row.lane].name, 12));
        line.push_str(&who);
        line.push_str("  ");
        let room = self.page.saturating_sub(width(line)).max(12);
        line.push_str(&words(row, room));
    }
}

fn label(at: usize) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    letters.get(at).map_or_else(|| at.to_string(), |&letter| char::from(letter).to_string())
}

pub(super) fn glyph(row: &Row) -> char {
    match row.mark {
        Mark::Started => '◆',
        Mark::Call | Mark::Begun => '├',
        Mark::Waits | Mark::StillWaits => '┊',
        Mark::Woken => '►',
        Mark::Returned => '└',
        Mark::Fault => '!',
        Mark::Printed => '»',
        Mark::Flow => '·',
        Mark::Died => '×',
    }
}

/// The words of a row in at most `room` columns; the text gives way to the tail.
fn words(row: &Row, room: usize) -> String {
    let mut tail = row.tail.clone();
    if row.times > 1 {
        tail.push_str(&format!(" ({} times)", row.times));
    }
    let tail_width = width(&tail);
    let least = room.min(12);
    let text = cut(&row.text, room.saturating_sub(tail_width).max(least));
    cut(&format!("{text}{tail}"), room)
}

fn fill(text: &str, with: char, columns: usize) -> String {
    let mut out = cut(text, columns);
    for _ in width(&out)..columns {
        out.push(with);
    }
    out
}
