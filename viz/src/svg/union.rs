//! Many graphs as one: the boxes, rows and edges of all moments of a run, so that nothing moves
//! while one steps through it; and for each moment what of them is there.

use std::collections::BTreeMap;

use super::graph::{Box, Edge, EdgeKind, Graph, Row};
use crate::text::width;

/// The graphs of all moments so far.
pub(super) struct Union {
    pub(super) graph: Graph,
    boxes: BTreeMap<BoxKey, usize>,
    /// By box and what the row stands for.
    rows: BTreeMap<(usize, RowKey), usize>,
    edges: BTreeMap<EdgeKey, usize>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum BoxKey {
    Process(u32),
    Socket(u64),
    Words(String),
}

type Place = (usize, usize);
type RowKey = (Option<i32>, Option<u64>, String);
type EdgeKey = (u8, (u64, u64), Place, Place);

/// What of the union is there at one moment. A line is its words, and whether it is red.
#[derive(Default)]
pub(crate) struct Moment {
    pub(super) boxes: BTreeMap<usize, Vec<(String, bool)>>,
    pub(super) rows: BTreeMap<Place, RowState>,
    /// Whether it is red.
    pub(super) edges: BTreeMap<usize, bool>,
}

/// How a row is at one moment.
#[derive(Clone, PartialEq)]
pub(crate) struct RowState {
    pub(crate) badge: String,
    pub(crate) fill: Option<f64>,
    pub(crate) red: bool,
}

impl Union {
    pub(super) fn new() -> Self {
        let graph = Graph { boxes: Vec::new(), edges: Vec::new(), folded: None };
        Union { graph, boxes: BTreeMap::new(), rows: BTreeMap::new(), edges: BTreeMap::new() }
    }

    /// Takes the graph of one more moment in.
    pub(super) fn add(&mut self, graph: Graph) -> Moment {
        let mut moment = Moment::default();
        let mut places: BTreeMap<Place, Place> = BTreeMap::new();
        for (box_at, one) in graph.boxes.into_iter().enumerate() {
            let Box { pid, unheld, program, title, tooltip, threads, rows } = one;
            let key = match (pid, rows.first()) {
                (Some(pid), _) => BoxKey::Process(pid),
                (None, Some(Row { socket: Some(socket), .. })) => BoxKey::Socket(*socket),
                (None, _) => BoxKey::Words(tooltip.clone()),
            };
            let boxes = &mut self.graph.boxes;
            let at = *self.boxes.entry(key).or_insert_with(|| {
                let (threads, rows) = (Vec::new(), Vec::new());
                boxes.push(Box {
                    pid,
                    unheld,
                    program,
                    title: String::new(),
                    tooltip,
                    threads,
                    rows,
                });
                boxes.len() - 1
            });
            boxes[at].title = title;
            widen(&mut boxes[at].threads, &threads);
            moment.boxes.insert(at, threads);
            for (row_at, row) in rows.into_iter().enumerate() {
                let place = (at, self.row(at, row, &mut moment));
                places.insert((box_at, row_at), place);
            }
        }
        for edge in graph.edges {
            let Edge { from, to, .. } = edge;
            let (Some(&from), Some(&to)) = (places.get(&from), places.get(&to)) else { continue };
            let key = (kind_number(edge.kind), edge.ids, from, to);
            let edges = &mut self.graph.edges;
            let red = edge.red;
            let at = *self.edges.entry(key).or_insert_with(|| {
                edges.push(Edge { from, to, red: false, ..edge });
                edges.len() - 1
            });
            moment.edges.insert(at, red);
        }
        moment
    }

    /// The place of a row in its box, as wide as it ever gets.
    fn row(&mut self, at: usize, row: Row, moment: &mut Moment) -> usize {
        let words = if row.socket.is_none() { row.label.clone() } else { String::new() };
        let key = (at, (row.fd, row.socket, words));
        let state = RowState { badge: row.badge.clone(), fill: row.fill, red: row.red };
        let rows = &mut self.graph.boxes[at].rows;
        let place = match self.rows.get(&key) {
            Some(&place) => {
                let known = &mut rows[place];
                let badge = std::mem::take(&mut known.badge);
                let badge =
                    if width(&badge) > width(&row.badge) { badge } else { row.badge.clone() };
                *known = Row { badge, fill: row.fill.or(known.fill), red: false, ..row };
                place
            }
            None => {
                rows.push(Row { red: false, ..row });
                self.rows.insert(key, rows.len() - 1);
                rows.len() - 1
            }
        };
        moment.rows.insert((at, place), state);
        place
    }
}

/// As many lines as there ever are, each as long as it ever gets.
fn widen(known: &mut Vec<(String, bool)>, threads: &[(String, bool)]) {
    for (at, (words, _)) in threads.iter().enumerate() {
        match known.get_mut(at) {
            Some((longest, _)) if width(longest) >= width(words) => {}
            Some((longest, _)) => longest.clone_from(words),
            None => known.push((words.clone(), false)),
        }
    }
}

fn kind_number(kind: EdgeKind) -> u8 {
    match kind {
        EdgeKind::Peer => 0,
        EdgeKind::Pending => 1,
        EdgeKind::InFlight => 2,
        EdgeKind::Same => 3,
    }
}
