//! Pictures of what sockets do: who talks to whom, and what happened.
//!
//! Two kinds of data come in. A [`Snapshot`](afunix::snapshot::Snapshot) is a machine at one
//! moment: processes, sockets, queues; it is drawn by [`table()`], [`svg()`], [`dot()`],
//! [`mermaid()`] and [`json`], narrowed by [`filter()`], and searched for what is wrong by
//! [`warnings()`] and [`wait_cycle`]. A list of [`Event`](afunix::trace::Event)s is what happened
//! over time; it is drawn by [`ladder()`], [`perfetto()`], [`shiviz()`] and [`mermaid_sequence()`].
//! [`html()`] shows both together. Where they come from, a simulation or the running system, no
//! picture asks.
//!
//! Everything here is a function from data to text: no I/O, no clock, no other program. The same
//! input gives the same bytes. Names, paths and program titles come from strangers, so whatever
//! could act on a terminal or as markup is escaped, in every format; [`escape()`] is the one place
//! that does it.

#![forbid(unsafe_code)]

mod changes;
mod dot;
mod filter;
mod flow;
mod html;
mod index;
mod ladder;
mod mermaid;
mod moments;
mod perfetto;
mod shiviz;
mod svg;
mod table;
mod text;
mod wait;
mod warnings;

use serde::Serialize;

pub use changes::changes;
pub use dot::dot;
pub use filter::{FilterError, filter};
pub use html::{HtmlOptions, html, html_graph};
pub use ladder::{LadderOptions, ladder};
pub use mermaid::{mermaid, mermaid_sequence};
pub use perfetto::perfetto;
pub use shiviz::shiviz;
pub use svg::svg;
pub use table::table;
pub use text::escape;
pub use wait::{CycleStep, describe_cycle, wait_cycle};
pub use warnings::{Warning, WarningKind, warnings};

/// A snapshot or events as JSON, indented, with a newline at the end. Reads back with `serde_json`.
///
/// JSON escapes C0 control characters by itself. The others that could act on a terminal are
/// written as `\uXXXX`, which any reader of JSON turns back.
pub fn json(data: &(impl Serialize + ?Sized)) -> String {
    // The types are plain data with string keys only: there is no value that fails to serialise.
    let mut pretty =
        serde_json::to_string_pretty(data).expect("plain data always serialises to JSON");
    pretty.push('\n');
    text::escape_json(&pretty)
}
