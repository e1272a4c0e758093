//! Mermaid, which code hosts draw where it stands in a page: the graph as a flowchart, a trace as a
//! sequence diagram.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use afunix::snapshot::{FileKind, Snapshot, Socket};
use afunix::trace::{Event, EventKind};

use crate::escape;
use crate::flow::{Flow, event_words, flows};
use crate::index::{Index, is_worrying, kind_word, state_word};
use crate::wait::file_words;

/// What Mermaid draws, unless it is configured to draw more.
const MOST_EDGES: usize = 500;
/// Lines of a sequence diagram that somebody still reads.
const MOST_LINES: usize = 400;

/// The connection graph as a Mermaid flowchart.
///
/// A subgraph is a process, a node a descriptor that stands for a socket. Edges as in
/// [`dot()`](crate::dot()): between peers, dotted from a connection that is not accepted to its
/// listener, dotted with the words `in flight` from a file to the socket in whose queue it is.
/// Mermaid draws 500 edges at most: what is beyond is left out, and a node says so.
pub fn mermaid(snapshot: &Snapshot) -> String {
    let index = Index::new(snapshot);
    let mut out = String::from("flowchart LR\n");
    let mut stuck = Vec::new();
    for process in &snapshot.processes {
        let sockets = process
            .descriptors
            .iter()
            .filter_map(|descriptor| Some((descriptor.fd, index.socket_of_file(descriptor.file)?)));
        let sockets: Vec<(i32, &Socket)> = sockets.collect();
        if sockets.is_empty() {
            continue;
        }
        let pid = process.pid;
        let title = text(&format!("{} ({pid})", process.name));
        let _ = writeln!(out, "  subgraph p{pid}[\"{title}\"]");
        for (fd, socket) in sockets {
            let _ = writeln!(out, "    p{pid}_fd{fd}[\"{}\"]", text(&words(Some(fd), socket)));
        }
        out.push_str("  end\n");
        if process.threads.iter().filter_map(|thread| thread.wait.as_ref()).any(is_worrying) {
            stuck.push(format!("p{pid}"));
        }
    }
    for socket in &snapshot.sockets {
        if index.holders(socket.id).is_empty() {
            let _ = writeln!(out, "  s{}([\"{}\"])", socket.id, text(&words(None, socket)));
        }
    }
    let (nodes, edges) = edges(&index);
    out.push_str(&nodes);
    edges.iter().take(MOST_EDGES).for_each(|edge| out.push_str(edge));
    if edges.len() > MOST_EDGES {
        let more = edges.len() - MOST_EDGES;
        let _ = writeln!(out, "  more[\"{more} more edges are left out: filter the graph\"]");
    }
    if !stuck.is_empty() {
        out.push_str("  classDef stuck stroke:#cf222e,stroke-width:3px\n");
        let _ = writeln!(out, "  class {} stuck", stuck.join(","));
    }
    out
}

/// Nodes of files in flight, and all edges, a line each.
fn edges(index: &Index<'_>) -> (String, Vec<String>) {
    let (mut nodes, mut edges) = (String::new(), Vec::new());
    for socket in &index.snapshot.sockets {
        let from = node(index, socket.id);
        if let Some(peer) = socket.peer.and_then(|peer| index.socket(peer)) {
            let both = peer.peer == Some(socket.id);
            if both && socket.id <= peer.id {
                edges.push(format!("  {from} <--> {}\n", node(index, peer.id)));
            } else if !both {
                edges.push(format!("  {from} --> {}\n", node(index, peer.id)));
            }
        }
        for waiting in socket.pending.iter().filter(|id| index.socket(**id).is_some()) {
            edges.push(format!("  {} -. waits .-> {from}\n", node(index, *waiting)));
        }
        for pair in index.holders(socket.id).windows(2) {
            let [a, b] = [0, 1].map(|at| (pair[at].process.pid, pair[at].fd));
            edges.push(format!("  p{}_fd{} -. same socket .- p{}_fd{}\n", a.0, a.1, b.0, b.1));
        }
    }
    for (&file, carriers) in index.carriers() {
        let from = match index.file(file).map(|file| &file.kind) {
            Some(FileKind::Socket(id)) if index.socket(*id).is_some() => node(index, *id),
            _ => {
                let words = entities(&file_words(index, file));
                let _ = writeln!(nodes, "  file{file}[/\"{words}\"/]");
                format!("file{file}")
            }
        };
        for &carrier in carriers {
            edges.push(format!("  {from} -. in flight .-> {}\n", node(index, carrier)));
        }
    }
    (nodes, edges)
}

fn words(fd: Option<i32>, socket: &Socket) -> String {
    let mut words = fd.map_or_else(|| format!("socket {}", socket.id), |fd| format!("fd {fd}"));
    let _ = write!(words, " {} {}", kind_word(socket.kind), state_word(socket.state));
    if let Some(name) = &socket.name {
        let _ = write!(words, " {name}");
    }
    match socket.backlog {
        Some(backlog) => {
            let _ = write!(words, ", {} of {backlog} wait", socket.pending.len());
        }
        None if socket.receive.bytes > 0 => {
            let _ = write!(words, ", {} bytes unread", socket.receive.bytes);
        }
        None => {}
    }
    words
}

fn node(index: &Index<'_>, socket: u64) -> String {
    match index.holders(socket).first() {
        Some(first) => format!("p{}_fd{}", first.process.pid, first.fd),
        None => format!("s{socket}"),
    }
}

/// A trace as a Mermaid sequence diagram: a note for each call and each wait, an arrow for what one
/// thread sent and another took, a dotted one for waking.
///
/// It holds the last 400 lines or so: more is not read as a diagram. A first note says how many
/// events are left out.
pub fn mermaid_sequence(events: &[Event]) -> String {
    let mut lanes: BTreeMap<u32, String> = BTreeMap::new();
    let mut order = Vec::new();
    for event in events {
        let name = match &event.kind {
            EventKind::Started { name } => Some(format!("{} ({})", escape(name), event.thread)),
            _ => None,
        };
        let known = lanes.entry(event.thread).or_insert_with(|| {
            order.push(event.thread);
            format!("thread {}", event.thread)
        });
        if let Some(name) = name {
            *known = name;
        }
    }
    let mut out = String::from("sequenceDiagram\n");
    for thread in &order {
        let _ = writeln!(out, "  participant T{thread} as {}", entities(&lanes[thread]));
    }
    let taken: BTreeMap<usize, Vec<Flow>> = {
        let mut by_taking: BTreeMap<usize, Vec<Flow>> = BTreeMap::new();
        for flow in flows(events) {
            if let Some(to) = flow.to {
                by_taking.entry(to).or_default().push(flow);
            }
        }
        by_taking
    };
    let start = events.len().saturating_sub(MOST_LINES);
    if let (Some(first), true) = (order.first(), start > 0) {
        let _ = writeln!(out, "  Note over T{first}: {start} events before are left out");
    }
    for (index, event) in events.iter().enumerate().skip(start) {
        let thread = event.thread;
        let words = entities(&event_words(&event.kind));
        let _ = match &event.kind {
            EventKind::Woken { by: Some(by) } if lanes.contains_key(by) => {
                writeln!(out, "  T{by}-->>T{thread}: wakes")
            }
            EventKind::Taken { .. } => {
                for flow in taken.get(&index).into_iter().flatten() {
                    let from = events[flow.from].thread;
                    let _ = writeln!(out, "  T{from}->>T{thread}: {} bytes", flow.bytes);
                }
                Ok(())
            }
            EventKind::Queued { .. } | EventKind::Freed { .. } => Ok(()),
            _ => writeln!(out, "  Note over T{thread}: {words}"),
        };
    }
    out
}

fn text(text: &str) -> String {
    entities(&escape(text))
}

/// Escaped text with everything as an entity that could be Mermaid's own syntax, or markup.
fn entities(escaped: &str) -> String {
    let mut out = String::with_capacity(escaped.len());
    for character in escaped.chars() {
        let plain = character.is_alphanumeric() || " ._/:,()@+=-→…".contains(character);
        if plain {
            out.push(character);
        } else {
            let _ = write!(out, "#{};", u32::from(character));
        }
    }
    out
}
