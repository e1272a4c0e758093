//! Writes the markup.

use std::fmt::Write as _;

use afunix::snapshot::{Snapshot, SocketKind};

use super::graph::{
    Box, Edge, EdgeKind, Graph, LETTER, ROW_HEIGHT, Row, THREAD_HEIGHT, TITLE_HEIGHT,
};
use super::{MARGIN, Page, Placed, Route};
use crate::text::{cut, width, wrap, xml};
use crate::wait::{describe_cycle, wait_cycle};
use crate::warnings::{self, WarningKind, warnings};

/// As wide as the legend.
pub(super) const MIN_WIDTH: f64 = 900.0;
const LINE: f64 = 16.0;
/// Heading and legend.
const TOP: f64 = 66.0;

/// Colours as they are.
pub(super) const LIGHT: &str = "\
svg{background:#fff}
text{font:11px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace}
text{fill:#1f2328;white-space:pre}
.page{fill:#fff}
.h{font-size:16px;font-weight:bold}
.m,.dim text,.fd{fill:#656d76}
.box{fill:#f6f8fa;stroke:#afb8c1}
.box.unheld{fill:#fff;stroke-dasharray:4 3}
.t{font-size:12px;font-weight:bold}
.l.n{font-weight:bold}
.b{font-size:10px;fill:#656d76}
.b.out{fill:#9a3b00;font-weight:bold}
.r{font-weight:bold}
.r,.b.r{fill:#cf222e}
.row:hover rect.bg{fill-opacity:.18}
.bg{fill-opacity:.07}
.bg.red{fill:#cf222e;fill-opacity:.16;stroke:#cf222e}
.name{fill:none;stroke:#afb8c1}
.bar{fill:#d0d7de}
.full{fill:#bf8700}
.full.over{fill:#cf222e}
.e{fill:none;stroke-width:1.5;stroke-opacity:.8}
.e:hover{stroke-width:4;stroke-opacity:1}
.k0{stroke:#1f6feb}.k1{stroke:#1a7f37}.k2{stroke:#8250df}.kn{stroke:#656d76}
.f0{fill:#1f6feb}.f1{fill:#1a7f37}.f2{fill:#8250df}.fn{fill:#656d76}
.pending{stroke-dasharray:1.5 3}
.in-flight{stroke:#bf3989;stroke-dasharray:7 4}
.same{stroke:#9a3b00;stroke-width:1;stroke-dasharray:2 2}
.half{stroke-dasharray:12 2 2 2}
.e.red{stroke:#cf222e;stroke-width:3}
";

/// What is other for who prefers dark.
pub(super) const DARK: &str = "\
svg{background:#0d1117}.page{fill:#0d1117}text{fill:#e6edf3}
.m,.dim text,.fd,.b{fill:#8b949e}.box{fill:#161b22;stroke:#444c56}.box.unheld{fill:#0d1117}
.b.out{fill:#f0883e}.r,.b.r{fill:#ff7b72}.name{stroke:#444c56}.bar{fill:#30363d}
.k0{stroke:#58a6ff}.k1{stroke:#3fb950}.k2{stroke:#bc8cff}.kn{stroke:#8b949e}
.f0{fill:#58a6ff}.f1{fill:#3fb950}.f2{fill:#bc8cff}.fn{fill:#8b949e}
.bg{fill-opacity:.14}.e.red{stroke:#ff7b72}.bg.red{fill:#ff7b72;stroke:#ff7b72}
.in-flight{stroke:#f778ba}.same{stroke:#f0883e}
";

/// What stands above the boxes in red: the wait cycle, if there is one, and other warnings.
pub(super) fn banner(snapshot: &Snapshot) -> Vec<String> {
    let letters = (MIN_WIDTH / LETTER) as usize;
    let cycle = wait_cycle(snapshot).unwrap_or_default();
    let cycle = describe_cycle(snapshot, &cycle);
    let mut lines: Vec<String> = cycle.lines().flat_map(|line| wrap(line, letters)).collect();
    let mut others = warnings(snapshot);
    // The cycle is told already, at greater length.
    others.retain(|one| !matches!(one.kind, WarningKind::BothBlocked | WarningKind::WaitCycle));
    lines.extend(warnings::lines(&others, letters));
    lines
}

/// Where the boxes begin.
pub(super) fn head_height(banner: &[String]) -> f64 {
    TOP + 10.0 + LINE * banner.len() as f64
}

pub(super) fn draw(snapshot: &Snapshot, graph: &Graph, page: &Page, banner: &[String]) -> String {
    let notes = notes(snapshot, page);
    let (width, height) = (page.width, page.height + LINE * notes.len() as f64);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n\
         <style>{LIGHT}@media (prefers-color-scheme:dark){{\n{DARK}}}\n</style>\n\
         <rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    out.push_str(ARROW);
    heading(snapshot, graph, &mut out);
    legend(&mut out);
    for (at, line) in banner.iter().enumerate() {
        text(&mut out, "r", MARGIN, TOP + 6.0 + LINE * at as f64, line);
    }
    pieces(graph, page, &mut out);
    for (at, note) in notes.iter().enumerate() {
        text(&mut out, "m", MARGIN, page.height + LINE * at as f64, note);
    }
    out.push_str("</svg>\n");
    out
}

/// The graph alone, without style, heading and legend.
pub(super) fn bare(graph: &Graph, page: &Page) -> String {
    let (width, height) = (page.width, page.height);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n{ARROW}"
    );
    pieces(graph, page, &mut out);
    out.push_str("</svg>\n");
    out
}

fn pieces(graph: &Graph, page: &Page, out: &mut String) {
    if let Some(y) = page.lonely_heading {
        text(out, "m", MARGIN, y, "Not connected to any other socket");
    }
    for (id, route) in &page.routes {
        edge(&graph.edges[*id], route, out);
    }
    for (id, placed) in &page.boxes {
        draw_box(&graph.boxes[*id], placed, out);
    }
}

const ARROW: &str = "<defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" \
     markerWidth=\"8\" markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\">\
     <path d=\"M0 0L8 4L0 8z\" class=\"fn\"/></marker></defs>\n";

fn heading(snapshot: &Snapshot, graph: &Graph, out: &mut String) {
    let (processes, connections) = graph.counts();
    let words = format!(
        "{processes} processes, {} Unix sockets, {connections} connections",
        snapshot.sockets.len()
    );
    let words =
        if graph.folded.is_some() { format!("{words}; a box for each program") } else { words };
    text(out, "h", MARGIN, 28.0, &words);
}

fn legend(out: &mut String) {
    let mut x = MARGIN;
    let y = 48.0;
    for (class, words) in [("f0", "stream"), ("f1", "datagram"), ("f2", "seqpacket")] {
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"10\" height=\"10\"/>",
            y - 9.0
        );
        text(out, "m", x + 15.0, y, words);
        x += 31.0 + LETTER * width(words) as f64;
    }
    let lines = [
        ("k0", "connected"),
        ("k0 half", "half shut"),
        ("k0 pending", "not accepted"),
        ("in-flight", "in flight"),
        ("same", "same socket"),
        ("red", "stuck"),
    ];
    for (class, words) in lines {
        let middle = y - 4.0;
        let _ = writeln!(out, "<path class=\"e {class}\" d=\"M{x} {middle}h28\"/>");
        text(out, "m", x + 34.0, y, words);
        x += 50.0 + LETTER * width(words) as f64;
    }
}

fn notes(snapshot: &Snapshot, page: &Page) -> Vec<String> {
    let letters = ((page.width - 2.0 * MARGIN) / LETTER) as usize;
    let lines = snapshot.notes.iter();
    lines.map(|note| cut(&format!("note: {}", crate::escape(note)), letters)).collect()
}

/// Words that are escaped for a reader already; here for XML.
fn text(out: &mut String, class: &str, x: f64, y: f64, words: &str) {
    let words = xml(words);
    let _ = writeln!(out, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{words}</text>");
}

fn edge(edge: &Edge, route: &Route, out: &mut String) {
    let (name, class) = match edge.kind {
        EdgeKind::Peer => ("peer", kind_class('k', edge.socket_kind)),
        EdgeKind::Pending => ("pending", format!("{} pending", kind_class('k', edge.socket_kind))),
        EdgeKind::InFlight => ("in-flight", "in-flight".to_owned()),
        EdgeKind::Same => ("same", "same".to_owned()),
    };
    let half = if edge.half_shut { " half" } else { "" };
    let red = if edge.red { " red" } else { "" };
    let both = if edge.both { " data-both=\"true\"" } else { "" };
    let marker = if edge.both { "" } else { " marker-end=\"url(#a)\"" };
    let (from, to) = edge.ids;
    let _ = writeln!(
        out,
        "<path class=\"e {class}{half}{red}\" data-edge=\"{name}\" data-from=\"{from}\" \
         data-to=\"{to}\"{both}{marker} d=\"{}\"><title>{}</title></path>",
        path(route),
        xml(&edge.tooltip)
    );
}

fn path(route: &Route) -> String {
    let [first, rest @ ..] = route.points.as_slice() else { return String::new() };
    let mut path = format!("M{} {}", first.0, first.1);
    let mut from = *first;
    for (at, &(x, y)) in rest.iter().enumerate() {
        let _ = match route.swing {
            Some(swing) => {
                // A curve goes three quarters of the way to its control points.
                let out = from.0 + (swing * 4.0 / 3.0).round();
                write!(path, "C{out} {} {out} {y} {x} {y}", from.1)
            }
            None if at % 2 == 0 => {
                let middle = ((from.0 + x) / 2.0).round();
                write!(path, "C{middle} {} {middle} {y} {x} {y}", from.1)
            }
            None => write!(path, "L{x} {y}"),
        };
        from = (x, y);
    }
    path
}

fn draw_box(one: &Box, placed: &Placed, out: &mut String) {
    let (x, y, width) = (placed.x, placed.y, placed.width);
    let unheld = if one.unheld { " unheld" } else { "" };
    let pid = one.pid.map_or_else(String::new, |pid| format!(" data-pid=\"{pid}\""));
    let _ = writeln!(
        out,
        "<g class=\"pbox\"{pid}><rect class=\"box{unheld}\" x=\"{x}\" y=\"{y}\" \
         width=\"{width}\" height=\"{}\" rx=\"6\"><title>{}</title></rect>",
        one.height(),
        xml(&one.tooltip)
    );
    text(out, "t", x + 10.0, y + 15.0, &one.title);
    for (at, (words, red)) in one.threads.iter().enumerate() {
        let class = if *red { "b r" } else { "b" };
        let y = y + TITLE_HEIGHT + THREAD_HEIGHT * at as f64 + 9.0;
        text(out, class, x + 10.0, y, words);
    }
    for (at, row) in placed.rows.iter().enumerate() {
        let y = y + one.rows_top() + ROW_HEIGHT * at as f64;
        draw_row(&one.rows[*row], x, y, width, out);
    }
    out.push_str("</g>\n");
}

fn draw_row(row: &Row, x: f64, y: f64, width_of_box: f64, out: &mut String) {
    let fill = kind_class('f', row.kind);
    let dim = if row.dim { " dim" } else { "" };
    let red = if row.red { " red" } else { "" };
    let id = row.socket.map_or_else(String::new, |id| format!(" data-socket=\"{id}\""));
    let _ = writeln!(
        out,
        "<g class=\"row{dim}\"{id}><title>{}</title><rect class=\"bg {fill}{red}\" x=\"{}\" \
         y=\"{y}\" width=\"{}\" height=\"{}\"/><rect class=\"{fill}\" x=\"{}\" y=\"{}\" \
         width=\"4\" height=\"12\"/>",
        xml(&row.tooltip),
        x + 1.0,
        width_of_box - 2.0,
        ROW_HEIGHT - 1.0,
        x + 34.0,
        y + 2.5,
    );
    let baseline = y + 12.5;
    if let Some(fd) = row.fd {
        let fd = fd.to_string();
        text(out, "fd", x + 29.0 - LETTER * fd.len() as f64, baseline, &fd);
    }
    if let (Some(name), Some(socket)) = (&row.bound, row.socket) {
        // The frame around a name is the edge to it.
        let _ = writeln!(
            out,
            "<rect class=\"name\" data-edge=\"bound\" data-from=\"{socket}\" data-to=\"{}\" \
             x=\"{}\" y=\"{}\" width=\"{}\" height=\"14\" rx=\"7\"/>",
            xml(name),
            x + 41.0,
            y + 1.5,
            (LETTER * width(&row.label) as f64 + 8.0).round(),
        );
    }
    text(out, if row.listening { "l n" } else { "l" }, x + 45.0, baseline, &row.label);
    let mut right = x + width_of_box - 8.0;
    if let Some(ratio) = row.fill {
        bar(ratio, right - 32.0, y + 5.0, out);
        right -= 38.0;
    }
    if !row.badge.is_empty() {
        let class = if row.badge_stands_out { "b out" } else { "b" };
        let start = (right - 6.1 * width(&row.badge) as f64).round();
        text(out, class, start, baseline, &row.badge);
    }
    out.push_str("</g>\n");
}

fn bar(ratio: f64, x: f64, y: f64, out: &mut String) {
    let full = (32.0 * ratio).round();
    let over = if ratio > 0.9 { " over" } else { "" };
    let _ = writeln!(
        out,
        "<rect class=\"bar\" x=\"{x}\" y=\"{y}\" width=\"32\" height=\"7\" rx=\"2\"/>\
         <rect class=\"full{over}\" x=\"{x}\" y=\"{y}\" width=\"{full}\" height=\"7\" rx=\"2\"/>"
    );
}

fn kind_class(prefix: char, kind: Option<SocketKind>) -> String {
    let suffix = match kind {
        Some(SocketKind::Stream) => '0',
        Some(SocketKind::Datagram) => '1',
        Some(SocketKind::Seqpacket) => '2',
        None => 'n',
    };
    format!("{prefix}{suffix}")
}
