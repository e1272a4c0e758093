//! Large graphs made legible: the processes of one program become one box, and in it the
//! descriptors that are used alike one row.
//!
//! What is red stays as it is: nobody shall look for the one process that is stuck among a
//! thousand that are not.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::{Box, Edge, EdgeKind, Graph, Row};
use crate::index::kind_word;

/// More rows than this are not read one by one.
const LEGIBLE_ROWS: usize = 400;

/// Box and row.
type Place = (usize, usize);

impl Graph {
    /// The graph as it is, if it can be read; else folded.
    pub(super) fn legible(self) -> Graph {
        let rows: usize = self.boxes.iter().map(|one| one.rows.len()).sum();
        if rows <= LEGIBLE_ROWS { self } else { fold(self) }
    }
}

fn fold(graph: Graph) -> Graph {
    let groups = groups(&graph);
    let uses = uses(&graph, &groups);
    let counts_of = Some(graph.counts());
    let mut folded = Graph { boxes: Vec::new(), edges: Vec::new(), folded: counts_of };
    // The new box of each group, and the new row of each use.
    let mut boxes: BTreeMap<usize, usize> = BTreeMap::new();
    let mut rows: BTreeMap<(usize, Use), usize> = BTreeMap::new();
    let mut counts: BTreeMap<Place, u64> = BTreeMap::new();
    let mut sizes: BTreeMap<usize, u64> = BTreeMap::new();
    let mut places: BTreeMap<Place, Place> = BTreeMap::new();
    for (box_at, one) in graph.boxes.into_iter().enumerate() {
        let Box { pid, unheld, program, title, tooltip, threads, rows: old } = one;
        let at = *boxes.entry(groups[box_at]).or_insert_with(|| {
            let rows = Vec::new();
            folded.boxes.push(Box { pid, unheld, program, title, tooltip, threads, rows });
            folded.boxes.len() - 1
        });
        *sizes.entry(at).or_default() += 1;
        for (row_at, row) in old.into_iter().enumerate() {
            let used = uses[&(box_at, row_at)].clone();
            let new = &mut folded.boxes[at].rows;
            let row_in = *rows.entry((at, used)).or_insert_with(|| {
                new.push(row);
                new.len() - 1
            });
            *counts.entry((at, row_in)).or_default() += 1;
            places.insert((box_at, row_at), (at, row_in));
        }
    }
    for ((at, row), count) in counts.into_iter().filter(|(_, count)| *count > 1) {
        merged_row(&mut folded.boxes[at].rows[row], count);
    }
    for (at, size) in sizes.into_iter().filter(|(_, size)| *size > 1) {
        let one = &mut folded.boxes[at];
        one.title = format!("{} × {size}", one.program);
        one.tooltip = format!("{size} processes of {}", one.program);
        one.pid = None;
        one.threads.clear();
    }
    folded.edges = merged_edges(graph.edges, &places);
    folded
}

/// The group of each box, by the number of its first box.
fn groups(graph: &Graph) -> Vec<usize> {
    let mut first: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    let mut groups = Vec::new();
    for (at, one) in graph.boxes.iter().enumerate() {
        let red = one.threads.iter().any(|(_, red)| *red) || one.rows.iter().any(|row| row.red);
        let group = if red { at } else { *first.entry((&one.program, one.unheld)).or_insert(at) };
        groups.push(group);
    }
    groups
}

/// What a row is used for: rows of a group that are used alike become one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    kind: Option<&'static str>,
    /// The name, of what is known by one: it is what others look for.
    bound: Option<String>,
    /// Kinds of edges, whether they begin here, and the groups that they lead to.
    edges: BTreeSet<(EdgeKind, bool, usize)>,
    dim: bool,
    /// Set for what stays alone.
    alone: Option<Place>,
}

fn uses(graph: &Graph, groups: &[usize]) -> BTreeMap<Place, Use> {
    let mut uses = BTreeMap::new();
    for (at, one) in graph.boxes.iter().enumerate() {
        for (row_at, row) in one.rows.iter().enumerate() {
            let place = (at, row_at);
            let used = Use {
                kind: row.kind.map(kind_word),
                bound: row.bound.clone(),
                edges: BTreeSet::new(),
                dim: row.dim,
                alone: row.red.then_some(place),
            };
            uses.insert(place, used);
        }
    }
    for edge in &graph.edges {
        for (own, other, begins) in [(edge.from, edge.to, true), (edge.to, edge.from, false)] {
            if let Some(used) = uses.get_mut(&own) {
                // A peer is a peer, whoever's line it is.
                let begins = begins && edge.kind != EdgeKind::Peer;
                used.edges.insert((edge.kind, begins, groups[other.0]));
            }
        }
    }
    uses
}

fn merged_row(row: &mut Row, count: u64) {
    // Of `→ [12,client,3]` the program says enough.
    let label = match row.label.split_once(',').map(|(_, rest)| rest) {
        Some(rest) if row.label.starts_with("→ [") => {
            format!("→ {}", rest.rsplit_once(',').map_or(rest, |(program, _)| program))
        }
        _ => row.label.clone(),
    };
    row.label = format!("{count} × {label}");
    row.tooltip = format!("{count} descriptors that are used alike, the first:\n{}", row.tooltip);
    row.fd = None;
    row.badge = String::new();
    row.badge_stands_out = false;
    row.fill = None;
}

fn merged_edges(edges: Vec<Edge>, places: &BTreeMap<Place, Place>) -> Vec<Edge> {
    let mut known: BTreeMap<(EdgeKind, Place, Place), (usize, u64)> = BTreeMap::new();
    let mut merged: Vec<Edge> = Vec::new();
    for edge in edges {
        let (from, to) = (places[&edge.from], places[&edge.to]);
        // Between rows that became one there is nothing left to draw.
        if edge.kind == EdgeKind::Same && from == to {
            continue;
        }
        let (from, to) = if edge.both && from > to { (to, from) } else { (from, to) };
        match known.get_mut(&(edge.kind, from, to)) {
            Some((at, count)) => {
                *count += 1;
                merged[*at].red |= edge.red;
                merged[*at].both |= edge.both;
            }
            None => {
                known.insert((edge.kind, from, to), (merged.len(), 1));
                merged.push(Edge { from, to, ..edge });
            }
        }
    }
    for (at, count) in known.into_values().filter(|(_, count)| *count > 1) {
        merged[at].tooltip = format!("{count} of them, the first: {}", merged[at].tooltip);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::super::tests::machine;
    use super::super::{arrange, svg};
    use super::*;

    /// A thousand clients of 10 programs with a connection each to one server.
    fn large() -> afunix::snapshot::Snapshot {
        let pairs: Vec<(u32, u32)> = (2..=1001).map(|client| (1, client)).collect();
        let mut snapshot = machine(1001, &pairs);
        for process in &mut snapshot.processes[1..] {
            process.name = format!("client-{}", process.pid % 10);
        }
        snapshot
    }

    #[test]
    fn two_thousand_sockets_are_legible() {
        let graph = Graph::new(&large()).legible();
        assert_eq!((graph.boxes.len(), graph.edges.len()), (11, 10));
        assert_eq!(graph.boxes[1].title, "client-2 × 100");
        assert_eq!(graph.boxes[1].rows[0].label, "100 × → program-1");
        let page = arrange(&graph, 0.0);
        assert!(page.width < 1500.0 && page.height < 1500.0, "{} by {}", page.width, page.height);
        assert!(svg(&large()).contains("; a box for each program"));
    }

    #[test]
    fn what_is_stuck_stays_alone() {
        use afunix::snapshot::{Wait, WaitReason};
        let mut snapshot = large();
        let thread = afunix::snapshot::Thread { tid: 500, ..Default::default() };
        let wait = Wait {
            call: "sendto".into(),
            fd: Some(3),
            reason: WaitReason::Memory,
            socket: None,
            since: 0,
            deadline: None,
        };
        snapshot.processes[499].threads =
            vec![afunix::snapshot::Thread { wait: Some(wait), ..thread }];
        let graph = Graph::new(&snapshot).legible();
        assert_eq!(graph.boxes.len(), 12);
        let alone = graph.boxes.iter().find(|one| one.pid == Some(500)).unwrap();
        assert!(alone.rows[0].red && alone.title == "client-0 500");
    }

    #[test]
    fn what_can_be_read_is_not_folded() {
        let graph = Graph::new(&machine(20, &[(1, 2), (3, 4)])).legible();
        assert!(graph.folded.is_none() && graph.boxes[0].title == "program-1 1");
    }
}
