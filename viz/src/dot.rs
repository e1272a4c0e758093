//! DOT, for Graphviz: a cluster per process, a node per descriptor that stands for a socket.

use std::fmt::Write as _;

use afunix::snapshot::{FileKind, Snapshot, Socket, SocketKind, SocketState};

use crate::index::{Index, is_worrying, kind_word, state_word};
use crate::text::dot_string;
use crate::wait::file_words;

/// The connection graph as a DOT document.
///
/// Edges: solid between peers (an arrow on both ends if each is the other's peer), dotted from a
/// connection that is not accepted to its listener, dashed from a file in flight to the socket in
/// whose queue it is, grey without arrow between descriptors of one and the same socket.
pub fn dot(snapshot: &Snapshot) -> String {
    let index = Index::new(snapshot);
    let mut out = String::from(
        "digraph afunix {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", \
         fillcolor=white, fontname=\"monospace\", fontsize=10];\n  edge [fontsize=9];\n",
    );
    for process in &snapshot.processes {
        let title = dot_string(&format!("{} ({})", process.name, process.pid));
        let blocked = process.threads.iter().filter_map(|t| t.wait.as_ref()).any(is_worrying);
        let color = if blocked { "red" } else { "gray50" };
        let _ = writeln!(out, "  subgraph cluster_p{} {{", process.pid);
        let _ = writeln!(out, "    label={title}; color={color};");
        for descriptor in &process.descriptors {
            let Some(socket) = index.socket_at(process, descriptor.fd) else { continue };
            let label = format!("fd {} {}", descriptor.fd, words(socket));
            let node = format!("p{}_fd{}", process.pid, descriptor.fd);
            let _ = writeln!(out, "    {} {};", quoted(&node), attributes(socket, &label));
        }
        out.push_str("  }\n");
    }
    for socket in &snapshot.sockets {
        if index.holders(socket.id).is_empty() {
            let label = format!("socket {} {}", socket.id, words(socket));
            let _ = writeln!(out, "  {} {};", node(&index, socket.id), attributes(socket, &label));
        }
    }
    edges(&index, &mut out);
    out.push_str("}\n");
    out
}

fn edges(index: &Index<'_>, out: &mut String) {
    for socket in &index.snapshot.sockets {
        let from = node(index, socket.id);
        let color = color(socket.kind);
        if let Some(peer) = socket.peer.and_then(|peer| index.socket(peer)) {
            let mutual = peer.peer == Some(socket.id);
            let to = node(index, peer.id);
            if mutual && socket.id <= peer.id {
                let _ = writeln!(out, "  {from} -> {to} [dir=both, color={color}];");
            } else if !mutual {
                let _ = writeln!(out, "  {from} -> {to} [color={color}];");
            }
        }
        for &waiting in &socket.pending {
            if index.socket(waiting).is_some() {
                let waiting = node(index, waiting);
                let _ = writeln!(out, "  {waiting} -> {from} [style=dotted, label=\"waits\"];");
            }
        }
        if let [first, more @ ..] = index.holders(socket.id) {
            for other in more {
                let (a, b) = (first, other);
                let a = quoted(&format!("p{}_fd{}", a.process.pid, a.fd));
                let b = quoted(&format!("p{}_fd{}", b.process.pid, b.fd));
                let style = "dir=none, color=gray60, label=\"same socket\"";
                let _ = writeln!(out, "  {a} -> {b} [{style}];");
            }
        }
    }
    for (&file, carriers) in index.carriers() {
        let from = match index.file(file).map(|file| &file.kind) {
            Some(FileKind::Socket(id)) if index.socket(*id).is_some() => node(index, *id),
            _ => {
                let name = quoted(&format!("file{file}"));
                // Escaped already: only DOT's own quoting is left to do.
                let words = file_words(index, file).replace('\\', "\\\\").replace('"', "\\\"");
                let _ = writeln!(out, "  {name} [shape=note, label=\"{words}\"];");
                name
            }
        };
        for &carrier in carriers {
            let to = node(index, carrier);
            let _ = writeln!(out, "  {from} -> {to} [style=dashed, label=\"in flight\"];");
        }
    }
}

fn words(socket: &Socket) -> String {
    let mut words = format!("{} {}", kind_word(socket.kind), state_word(socket.state));
    if let Some(name) = &socket.name {
        let _ = write!(words, " {name}");
    }
    match socket.backlog {
        Some(backlog) => {
            let _ = write!(words, " {} of {backlog}", socket.pending.len());
        }
        None if socket.receive.bytes > 0 => {
            let _ = write!(words, " {} B unread", socket.receive.bytes);
        }
        None => {}
    }
    words
}

fn attributes(socket: &Socket, label: &str) -> String {
    let width = if socket.state == SocketState::Listening { 2 } else { 1 };
    let color = color(socket.kind);
    format!("[label={}, color={color}, penwidth={width}]", dot_string(label))
}

/// The node of a socket: its first descriptor, or the socket itself if nobody holds it.
fn node(index: &Index<'_>, socket: u64) -> String {
    match index.holders(socket).first() {
        Some(first) => quoted(&format!("p{}_fd{}", first.process.pid, first.fd)),
        None => quoted(&format!("s{socket}")),
    }
}

fn quoted(id: &str) -> String {
    format!("\"{id}\"")
}

fn color(kind: SocketKind) -> &'static str {
    match kind {
        SocketKind::Stream => "\"#1f6feb\"",
        SocketKind::Datagram => "\"#2da44e\"",
        SocketKind::Seqpacket => "\"#8250df\"",
    }
}
