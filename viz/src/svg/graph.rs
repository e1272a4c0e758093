//! From a snapshot to boxes, rows and edges, with all their words. Nothing has a place yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use afunix::snapshot::{FileKind, Process, Snapshot, Socket, SocketKind, SocketState, Thread};

use crate::escape;
use crate::index::{Index, holder, is_worrying, kind_word, reason_words, state_word};
use crate::text::{cut, cut_middle, width};
use crate::wait::{file_words, wait_cycle};
use crate::warnings::lost_carriers;

pub(super) const ROW_HEIGHT: f64 = 18.0;
pub(super) const TITLE_HEIGHT: f64 = 22.0;
pub(super) const THREAD_HEIGHT: f64 = 15.0;
/// Width of a letter of the fixed-width font, at the size of a row's text.
pub(super) const LETTER: f64 = 6.7;
/// Longest label of a row, in letters; tooltips have the rest.
const LABEL_LETTERS: usize = 36;
/// Rows in a box for sockets that have nothing to do with each other.
const ROWS_PER_LONELY_BOX: usize = 24;

pub(super) struct Graph {
    pub(super) boxes: Vec<Box>,
    pub(super) edges: Vec<Edge>,
    /// Where boxes stand for several processes: how many of these and of connections there are.
    pub(super) folded: Option<(usize, usize)>,
}

/// A process, or sockets that no process holds.
pub(super) struct Box {
    /// The process; `None` for several, and for sockets and files that none holds.
    pub(super) pid: Option<u32>,
    /// Whether no process holds what is in it.
    pub(super) unheld: bool,
    /// The program, or what a box without one is.
    pub(super) program: String,
    pub(super) title: String,
    pub(super) tooltip: String,
    /// Threads that wait at a socket, and whether that is a reason to worry.
    pub(super) threads: Vec<(String, bool)>,
    pub(super) rows: Vec<Row>,
}

/// A descriptor that stands for a socket; or a file in flight.
pub(super) struct Row {
    pub(super) socket: Option<u64>,
    pub(super) fd: Option<i32>,
    pub(super) kind: Option<SocketKind>,
    pub(super) listening: bool,
    pub(super) dim: bool,
    pub(super) red: bool,
    pub(super) label: String,
    /// The name it is bound to, if `label` is that name.
    pub(super) bound: Option<String>,
    pub(super) badge: String,
    /// The badge marks something to look at.
    pub(super) badge_stands_out: bool,
    /// How full its queue is, from 0 to 1.
    pub(super) fill: Option<f64>,
    pub(super) tooltip: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EdgeKind {
    Peer,
    Pending,
    InFlight,
    /// Between descriptors of the same socket.
    Same,
}

pub(super) struct Edge {
    pub(super) kind: EdgeKind,
    /// Box and row.
    pub(super) from: (usize, usize),
    pub(super) to: (usize, usize),
    /// What the ids of the ends are, for `data-from` and `data-to`.
    pub(super) ids: (u64, u64),
    pub(super) both: bool,
    pub(super) socket_kind: Option<SocketKind>,
    /// One of the directions is shut.
    pub(super) half_shut: bool,
    pub(super) red: bool,
    pub(super) tooltip: String,
}

/// Boxes that are connected with each other, and the edges between them.
pub(super) struct Component {
    pub(super) boxes: Vec<usize>,
    pub(super) edges: Vec<usize>,
}

impl Box {
    pub(super) fn height(&self) -> f64 {
        self.rows_top() + ROW_HEIGHT * self.rows.len() as f64 + 4.0
    }

    /// Where the first row begins, from the top of the box.
    pub(super) fn rows_top(&self) -> f64 {
        TITLE_HEIGHT + THREAD_HEIGHT * self.threads.len() as f64
    }

    pub(super) fn width(&self) -> f64 {
        let rows = self.rows.iter().map(Row::width).fold(0.0, f64::max);
        let threads = self.threads.iter().map(|(words, _)| 16.0 + 6.1 * width(words) as f64);
        let title = 24.0 + 7.4 * width(&self.title) as f64;
        rows.max(threads.fold(title, f64::max)).max(120.0).ceil()
    }
}

impl Row {
    fn width(&self) -> f64 {
        let bar = if self.fill.is_some() { 40.0 } else { 0.0 };
        let badge =
            if self.badge.is_empty() { 0.0 } else { 10.0 + 6.1 * width(&self.badge) as f64 };
        44.0 + LETTER * width(&self.label) as f64 + badge + bar + 14.0
    }
}

impl Graph {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let index = Index::new(snapshot);
        let cycle = wait_cycle(snapshot).unwrap_or_default();
        let mut builder = Builder {
            index: &index,
            stuck: cycle.iter().map(|step| step.tid).collect(),
            listening_names: listening_names(snapshot),
            graph: Self { boxes: Vec::new(), edges: Vec::new(), folded: None },
            places: BTreeMap::new(),
        };
        builder.processes();
        builder.unheld_sockets();
        builder.peers();
        builder.backlogs();
        builder.in_flight();
        builder.same();
        let lost = lost_carriers(&index);
        for edge in &mut builder.graph.edges {
            let (a, b) = edge.ids;
            let on = |step: &crate::CycleStep| {
                (step.socket, step.other) == (a, b) || (step.socket, step.other) == (b, a)
            };
            let is_lost = edge.kind == EdgeKind::InFlight && lost.contains(&b);
            edge.red = edge.kind != EdgeKind::Same && cycle.iter().any(on) || is_lost;
        }
        builder.graph
    }

    /// How many processes and connections it shows.
    pub(super) fn counts(&self) -> (usize, usize) {
        self.folded.unwrap_or_else(|| {
            let processes = self.boxes.iter().filter(|one| one.pid.is_some()).count();
            let connections = self.edges.iter().filter(|edge| edge.kind == EdgeKind::Peer).count();
            (processes, connections)
        })
    }

    /// Connected components, by their first box.
    pub(super) fn components(&self) -> Vec<Component> {
        let mut leader: Vec<usize> = (0..self.boxes.len()).collect();
        fn find(leader: &mut [usize], mut at: usize) -> usize {
            while leader[at] != at {
                leader[at] = leader[leader[at]];
                at = leader[at];
            }
            at
        }
        for edge in &self.edges {
            let (a, b) = (find(&mut leader, edge.from.0), find(&mut leader, edge.to.0));
            leader[a.max(b)] = a.min(b);
        }
        let mut components: BTreeMap<usize, Component> = BTreeMap::new();
        for at in 0..self.boxes.len() {
            let empty = || Component { boxes: Vec::new(), edges: Vec::new() };
            components.entry(find(&mut leader, at)).or_insert_with(empty).boxes.push(at);
        }
        for (at, edge) in self.edges.iter().enumerate() {
            let first = find(&mut leader, edge.from.0);
            if let Some(component) = components.get_mut(&first) {
                component.edges.push(at);
            }
        }
        components.into_values().collect()
    }
}

fn listening_names(snapshot: &Snapshot) -> BTreeSet<&str> {
    let listening = snapshot.sockets.iter().filter(|s| s.state == SocketState::Listening);
    listening.filter_map(|socket| socket.name.as_deref()).collect()
}

struct Builder<'a> {
    index: &'a Index<'a>,
    /// Threads of a wait cycle.
    stuck: BTreeSet<u32>,
    listening_names: BTreeSet<&'a str>,
    graph: Graph,
    /// Where the edges of a socket end: box and row.
    places: BTreeMap<u64, (usize, usize)>,
}

impl<'a> Builder<'a> {
    fn processes(&mut self) {
        for process in &self.index.snapshot.processes {
            let mut rows = Vec::new();
            for descriptor in &process.descriptors {
                let Some(socket) = self.index.socket_of_file(descriptor.file) else { continue };
                let place = (self.graph.boxes.len(), rows.len());
                self.places.entry(socket.id).or_insert(place);
                let mut row = self.row(socket, Some(descriptor.fd));
                row.red = self.waits_in_red(process, socket);
                rows.push(row);
            }
            // Processes without sockets have nothing to do with the picture.
            if rows.is_empty() {
                continue;
            }
            let threads = process.threads.iter().filter_map(|t| self.thread(process, t)).collect();
            let name = cut(&escape(&process.name), 28);
            let tooltip =
                format!("{} (pid {}, uid {})", escape(&process.name), process.pid, process.uid);
            let title = format!("{name} {}", process.pid);
            let (pid, program) = (Some(process.pid), name);
            let unheld = false;
            self.graph.boxes.push(Box { pid, unheld, program, title, tooltip, threads, rows });
        }
    }

    fn is_red(&self, thread: &Thread) -> bool {
        thread.wait.as_ref().is_some_and(is_worrying) || self.stuck.contains(&thread.tid)
    }

    fn waits_in_red(&self, process: &Process, socket: &Socket) -> bool {
        process.threads.iter().any(|thread| {
            let wait = thread.wait.as_ref();
            let at = wait.and_then(|wait| self.index.socket_of_wait(process, wait));
            at.is_some_and(|at| at.id == socket.id) && self.is_red(thread)
        })
    }

    /// A line about a thread that waits at a socket.
    fn thread(&self, process: &Process, thread: &Thread) -> Option<(String, bool)> {
        let wait = thread.wait.as_ref()?;
        self.index.socket_of_wait(process, wait)?;
        let own_name = process.threads.len() > 1 && thread.name != process.name;
        let name = if own_name { format!("{}: ", escape(&thread.name)) } else { String::new() };
        let fd = wait.fd.map_or_else(String::new, |fd| format!(" on {fd}"));
        let call = escape(&wait.call);
        let words = format!("{name}{call}{fd} waits for {}", reason_words(wait.reason));
        Some((cut(&words, 48), self.is_red(thread)))
    }

    /// Sockets that no process holds: in flight, not accepted, or of a process that is not visible.
    fn unheld_sockets(&mut self) {
        let mut lonely = Vec::new();
        for socket in &self.index.snapshot.sockets {
            if self.places.contains_key(&socket.id) {
                continue;
            }
            let in_flight = !self.index.carriers_of_socket(socket.id).is_empty();
            let waits = self.index.listener_of(socket.id).is_some();
            let peer = socket.peer.is_some_and(|peer| self.index.socket(peer).is_some());
            let has_edges = in_flight || waits || peer || !socket.pending.is_empty();
            if !has_edges && socket.in_flight.is_empty() && !self.is_a_peer(socket.id) {
                lonely.push(socket);
                continue;
            }
            let title = match (in_flight, waits) {
                (true, _) => "in flight",
                (false, true) => "not accepted",
                _ => "no process seen",
            };
            self.unheld_box(title, &[socket]);
        }
        for chunk in lonely.chunks(ROWS_PER_LONELY_BOX) {
            self.unheld_box("no process seen", chunk);
        }
    }

    fn is_a_peer(&self, id: u64) -> bool {
        self.index.snapshot.sockets.iter().any(|socket| socket.peer == Some(id))
    }

    fn unheld_box(&mut self, title: &str, sockets: &[&Socket]) {
        for (row, socket) in sockets.iter().enumerate() {
            self.places.insert(socket.id, (self.graph.boxes.len(), row));
        }
        let rows = sockets.iter().map(|socket| self.row(socket, None)).collect();
        let tooltip = "no descriptor of a visible process stands for this".to_owned();
        let threads = Vec::new();
        let (program, title) = (title.to_owned(), title.to_owned());
        let (pid, unheld) = (None, true);
        self.graph.boxes.push(Box { pid, unheld, program, title, tooltip, threads, rows });
    }

    fn row(&self, socket: &Socket, fd: Option<i32>) -> Row {
        let (badge, stands_out) = self.badge(socket);
        let (label, bound) = self.label(socket);
        // Without a descriptor it needs something else to be called by.
        let label = match (fd, &bound) {
            (None, None) => format!("{} {label}", socket.id),
            _ => label,
        };
        Row {
            socket: Some(socket.id),
            fd,
            kind: Some(socket.kind),
            listening: socket.state == SocketState::Listening,
            dim: matches!(socket.state, SocketState::Disconnected | SocketState::Unconnected)
                && socket.name.is_none(),
            red: false,
            label,
            bound,
            badge,
            badge_stands_out: stands_out,
            fill: self.fill(socket),
            tooltip: self.tooltip(socket),
        }
    }

    /// The name if the socket is known by it, else whom it talks to.
    fn label(&self, socket: &Socket) -> (String, Option<String>) {
        let listening = socket.state == SocketState::Listening;
        if let Some(name) = &socket.name {
            // An accepted socket has the name of its listener: who is at the other end says more.
            let of_listener = !listening && self.listening_names.contains(name.as_str());
            if !of_listener {
                let name = escape(name);
                return (cut_middle(&name, LABEL_LETTERS), Some(name));
            }
        }
        let words = match socket.peer {
            Some(peer) => match self.index.socket(peer) {
                Some(other) => {
                    let own_name =
                        other.name.as_deref().filter(|n| !self.listening_names.contains(n));
                    match own_name {
                        Some(name) => format!("→ {}", cut_middle(&escape(name), LABEL_LETTERS - 2)),
                        None => format!("→ {}", self.index.holder_words(peer)),
                    }
                }
                None => format!("→ socket {peer}"),
            },
            None => match self.index.listener_of(socket.id).and_then(|id| self.index.socket(id)) {
                Some(listener) => {
                    let name = listener.name.as_deref().unwrap_or("a listener");
                    format!("→ {}", cut_middle(&escape(name), LABEL_LETTERS - 2))
                }
                None => state_word(socket.state).to_owned(),
            },
        };
        (cut(&words, LABEL_LETTERS), None)
    }

    fn badge(&self, socket: &Socket) -> (String, bool) {
        let mut parts = Vec::new();
        let holders = self.index.holders(socket.id).len();
        match socket.state {
            SocketState::Listening => {
                let backlog = socket.backlog.map_or_else(String::new, |backlog| {
                    format!(" {}/{backlog}", socket.pending.len())
                });
                parts.push(format!("listens{backlog}"));
            }
            SocketState::Pending => parts.push("not accepted".to_owned()),
            SocketState::Disconnected => parts.push("peer gone".to_owned()),
            SocketState::Connected | SocketState::Unconnected => {}
        }
        if socket.state != SocketState::Disconnected {
            match (socket.shut_read, socket.shut_write) {
                (true, true) => parts.push("shut".to_owned()),
                (true, false) => parts.push("shut rd".to_owned()),
                (false, true) => parts.push("shut wr".to_owned()),
                (false, false) => {}
            }
        }
        if socket.receive.bytes > 0 {
            parts.push(size_words(socket.receive.bytes));
        }
        if holders > 1 {
            parts.push(format!("held {holders}×"));
        }
        if socket.error != 0 {
            parts.push(crate::text::errno(socket.error.into()));
        }
        let stands_out = holders > 1 || socket.error != 0;
        (parts.join(" · "), stands_out)
    }

    /// The memory that counts is the sender's: what lies here is charged to the peer.
    fn fill(&self, socket: &Socket) -> Option<f64> {
        let ratio = match socket.backlog {
            Some(_) if socket.pending.is_empty() => return None,
            Some(backlog) => socket.pending.len() as f64 / (f64::from(backlog) + 1.0),
            None if socket.receive.bytes == 0 => return None,
            None => {
                let peer = socket.peer.and_then(|peer| self.index.socket(peer));
                let known = peer.filter(|peer| peer.send_buffer > 0 && peer.send_memory > 0);
                match known {
                    Some(peer) => peer.send_memory as f64 / peer.send_buffer as f64,
                    // The default of net.core.wmem_default.
                    None => socket.receive.bytes as f64 / 212_992.0,
                }
            }
        };
        Some(ratio.clamp(0.05, 1.0))
    }

    fn tooltip(&self, socket: &Socket) -> String {
        let mut words = format!(
            "socket {}: {}, {}",
            socket.id,
            kind_word(socket.kind),
            state_word(socket.state)
        );
        if let Some(name) = &socket.name {
            let _ = write!(words, "\nname: {}", escape(name));
        }
        if let Some(peer) = socket.peer {
            let _ = write!(words, "\npeer: {peer} {}", self.index.holder_words(peer));
        }
        let _ = write!(words, "\nunread: {} bytes", socket.receive.bytes);
        let _ = write!(words, "\nsent and charged: {}", socket.send_memory);
        if socket.send_buffer > 0 {
            let _ = write!(words, " of {}", socket.send_buffer);
        }
        if let Some(backlog) = socket.backlog {
            let _ = write!(words, "\nbacklog: {} wait, limit {backlog}", socket.pending.len());
        }
        for one in self.index.holders(socket.id).iter().take(20) {
            let _ = write!(words, "\nheld by {}", holder(one));
        }
        words
    }

    fn peers(&mut self) {
        for socket in &self.index.snapshot.sockets {
            let Some(peer) = socket.peer.and_then(|peer| self.index.socket(peer)) else { continue };
            let both = peer.peer == Some(socket.id);
            // One line stands for both directions.
            if both && peer.id < socket.id {
                continue;
            }
            let half_shut = socket.shut_read || socket.shut_write;
            let arrow = if both { "↔" } else { "→" };
            let tooltip = format!(
                "{} {} {arrow} {} {}",
                self.index.holder_words(socket.id),
                socket.id,
                self.index.holder_words(peer.id),
                peer.id
            );
            self.edge(EdgeKind::Peer, (socket.id, peer.id), |edge| {
                edge.both = both;
                edge.socket_kind = Some(socket.kind);
                edge.half_shut = half_shut;
                edge.tooltip = tooltip;
            });
        }
    }

    fn backlogs(&mut self) {
        for listener in &self.index.snapshot.sockets {
            for &waiting in &listener.pending {
                let who = self.index.holder_words(waiting);
                self.edge(EdgeKind::Pending, (waiting, listener.id), |edge| {
                    edge.socket_kind = Some(listener.kind);
                    edge.tooltip = format!("{waiting} {who} waits to be accepted");
                });
            }
        }
    }

    fn in_flight(&mut self) {
        for (&file, carriers) in self.index.carriers() {
            let words = file_words(self.index, file);
            let socket = match self.index.file(file).map(|file| &file.kind) {
                Some(FileKind::Socket(id)) => self.places.get(id).copied(),
                _ => None,
            };
            let from = socket.unwrap_or_else(|| self.file_box(&words));
            for carrier in carriers {
                let Some(&to) = self.places.get(carrier) else { continue };
                self.graph.edges.push(Edge {
                    kind: EdgeKind::InFlight,
                    from,
                    to,
                    ids: (file, *carrier),
                    both: false,
                    socket_kind: None,
                    half_shut: false,
                    red: false,
                    tooltip: format!("{words} is in flight, in the queue of socket {carrier}"),
                });
            }
        }
    }

    fn file_box(&mut self, words: &str) -> (usize, usize) {
        let row = Row {
            socket: None,
            fd: None,
            kind: None,
            listening: false,
            dim: false,
            red: false,
            label: cut_middle(words, LABEL_LETTERS),
            bound: None,
            badge: String::new(),
            badge_stands_out: false,
            fill: None,
            tooltip: words.to_owned(),
        };
        let (title, tooltip) = ("in flight".to_owned(), words.to_owned());
        self.graph.boxes.push(Box {
            pid: None,
            unheld: true,
            program: title.clone(),
            title,
            tooltip,
            threads: Vec::new(),
            rows: vec![row],
        });
        (self.graph.boxes.len() - 1, 0)
    }

    /// From the first descriptor of a socket to each of the others.
    fn same(&mut self) {
        let mut same = Vec::new();
        for (at, one) in self.graph.boxes.iter().enumerate() {
            for (row_at, row) in one.rows.iter().enumerate() {
                let Some(id) = row.socket else { continue };
                match self.places.get(&id) {
                    Some(&first) if first != (at, row_at) => same.push((id, first, (at, row_at))),
                    _ => {}
                }
            }
        }
        for (id, from, to) in same {
            self.graph.edges.push(Edge {
                kind: EdgeKind::Same,
                from,
                to,
                ids: (id, id),
                both: true,
                socket_kind: None,
                half_shut: false,
                red: false,
                tooltip: format!("both descriptors stand for socket {id}"),
            });
        }
    }

    fn edge(&mut self, kind: EdgeKind, ids: (u64, u64), finish: impl FnOnce(&mut Edge)) {
        let places = (self.places.get(&ids.0), self.places.get(&ids.1));
        let (Some(&from), Some(&to)) = places else { return };
        let mut edge = Edge {
            kind,
            from,
            to,
            ids,
            both: false,
            socket_kind: None,
            half_shut: false,
            red: false,
            tooltip: String::new(),
        };
        finish(&mut edge);
        self.graph.edges.push(edge);
    }
}

fn size_words(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}
