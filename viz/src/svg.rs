//! The picture: an SVG document, laid out here, with no other program.
//!
//! [`graph`] turns a snapshot into *boxes* (a process, or a socket that no process holds) with
//! *rows* (a descriptor that stands for a socket) and *edges* between rows. [`component`] arranges
//! boxes that are connected with each other into *columns* (chosen by [`columns`]), so that edges
//! run in the gaps between columns and never through a box. [`pack`] puts the arranged components
//! onto the page. [`draw`] writes the markup.
//!
//! Lengths are in pixels of the picture.

mod columns;
mod component;
mod draw;
mod film;
mod fold;
mod graph;
mod pack;
mod union;

use std::collections::BTreeMap;

use afunix::snapshot::Snapshot;

use component::Arranged;
pub(crate) use film::{Film, STYLES, film};
use graph::Graph;

/// The connection graph as an SVG document, in a light and a dark form (`prefers-color-scheme`).
///
/// A box is a process; a row in it is a descriptor that stands for a socket, with its type as a
/// colour, its name or its peer as `[pid,program,fd]`, and a bar for how full its queue is. A
/// socket that several descriptors stand for has its edges at the first of them and is marked with
/// their number. Of a machine with more than some hundred descriptors, the processes of one program
/// are drawn as one box, apart from what is red. Red are calls that wait for room, and threads that
/// wait for each other in a circle. Everything has a tooltip.
///
/// Each edge is an element with `data-edge` (`peer`, `pending`, `in-flight`, `same`, `bound`),
/// `data-from` and `data-to` (ids of sockets; of a file for `in-flight`; a name for `bound`). A
/// `peer` edge that stands for both directions has `data-both="true"`.
pub fn svg(snapshot: &Snapshot) -> String {
    let graph = Graph::new(snapshot).legible();
    let banner = draw::banner(snapshot);
    let page = arrange(&graph, draw::head_height(&banner));
    draw::draw(snapshot, &graph, &page, &banner)
}

/// Where everything is.
struct Page {
    width: f64,
    height: f64,
    /// By box.
    boxes: BTreeMap<usize, Placed>,
    /// By edge.
    routes: BTreeMap<usize, Route>,
    /// Where the boxes without any edge begin.
    lonely_heading: Option<f64>,
}

/// A box on the page: its corner, and its rows from top to bottom.
#[derive(Clone, Debug)]
struct Placed {
    x: f64,
    y: f64,
    width: f64,
    rows: Vec<usize>,
}

/// The way of an edge.
#[derive(Clone, Debug)]
struct Route {
    /// From port to port. Between the first and the second point the edge crosses a gap, between
    /// the second and the third it passes between boxes, and so on in turns.
    points: Vec<(f64, f64)>,
    /// For an edge between rows of one column: how far out it swings, to the right if positive.
    swing: Option<f64>,
}

impl Route {
    fn shifted(mut self, x: f64, y: f64) -> Self {
        for point in &mut self.points {
            *point = (point.0 + x, point.1 + y);
        }
        self
    }
}

const MARGIN: f64 = 24.0;

fn arrange(graph: &Graph, top: f64) -> Page {
    let components = graph.components();
    let (connected, lonely): (Vec<_>, Vec<_>) =
        components.iter().partition(|component| !component.edges.is_empty());
    let mut page = Page {
        width: 0.0,
        height: 0.0,
        boxes: BTreeMap::new(),
        routes: BTreeMap::new(),
        lonely_heading: None,
    };
    let arranged: Vec<Arranged> =
        connected.iter().map(|component| component::arrange(graph, component)).collect();
    let alone: Vec<Arranged> =
        lonely.iter().map(|component| component::arrange(graph, component)).collect();
    let width = pack::page_width(arranged.iter().chain(&alone).map(|one| (one.width, one.height)));
    let bottom = place(&mut page, arranged, width, top);
    let bottom = if alone.is_empty() {
        bottom
    } else {
        page.lonely_heading = Some(bottom + 26.0);
        place(&mut page, alone, width, bottom + 36.0)
    };
    page.width = page.width.max(draw::MIN_WIDTH) + 2.0 * MARGIN;
    page.height = bottom + MARGIN;
    page
}

/// Puts components onto the page from `top` on; says where they end.
fn place(page: &mut Page, arranged: Vec<Arranged>, width: f64, top: f64) -> f64 {
    let sizes: Vec<(f64, f64)> = arranged.iter().map(|one| (one.width, one.height)).collect();
    let corners = pack::pack(&sizes, width);
    let mut bottom = top;
    for (one, (x, y)) in arranged.into_iter().zip(corners) {
        page.width = page.width.max(x + one.width);
        bottom = bottom.max(top + y + one.height);
        for (id, mut placed) in one.boxes {
            placed.x += x + MARGIN;
            placed.y += y + top;
            page.boxes.insert(id, placed);
        }
        for (id, route) in one.routes {
            page.routes.insert(id, route.shifted(x + MARGIN, y + top));
        }
    }
    bottom
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Boxes of a component must not lie on each other, nor may any edge run through one.
    pub(super) fn check(page: &Page, graph: &Graph) {
        let boxes: Vec<(f64, f64, f64, f64)> = page
            .boxes
            .iter()
            .map(|(&id, placed)| (placed.x, placed.y, placed.width, graph.boxes[id].height()))
            .collect();
        for (at, a) in boxes.iter().enumerate() {
            for b in &boxes[at + 1..] {
                let apart =
                    a.0 + a.2 <= b.0 || b.0 + b.2 <= a.0 || a.1 + a.3 <= b.1 || b.1 + b.3 <= a.1;
                assert!(apart, "{a:?} lies on {b:?}");
            }
            assert!(a.0 >= 0.0 && a.1 >= 0.0 && a.0 + a.2 <= page.width);
            assert!(a.1 + a.3 <= page.height);
        }
        for (edge, route) in &page.routes {
            for pair in route.points.chunks(2).skip(1) {
                let [(x1, y), ..] = pair else { continue };
                for b in &boxes {
                    let through = b.1 < *y && *y < b.1 + b.3 && b.0 < *x1 && *x1 < b.0 + b.2;
                    assert!(!through, "edge {edge} runs through {b:?}");
                }
            }
        }
    }

    use afunix::snapshot::{
        Descriptor, File, FileKind, Process, Queue, Socket, SocketKind, SocketState,
    };

    fn socket(id: u64, peer: Option<u64>) -> Socket {
        Socket {
            id,
            kind: SocketKind::Stream,
            state: SocketState::Connected,
            established: true,
            name: None,
            peer,
            shut_read: false,
            shut_write: false,
            error: 0,
            receive: Queue::default(),
            input: 0,
            send_memory: 0,
            send_buffer: 0,
            backlog: None,
            pending: Vec::new(),
            in_flight: Vec::new(),
            inode: None,
        }
    }

    /// A machine with `processes` processes, and connections between the pairs given.
    pub(super) fn machine(processes: u32, connections: &[(u32, u32)]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for pid in 1..=processes {
            let name = format!("program-{pid}");
            snapshot.processes.push(Process { pid, name, ..Process::default() });
        }
        let mut next = 1;
        for &(a, b) in connections {
            for (id, peer, pid) in [(next, next + 1, a), (next + 1, next, b)] {
                snapshot.sockets.push(socket(id, Some(peer)));
                snapshot.files.push(File { id, kind: FileKind::Socket(id), in_flight: 0 });
                let table = &mut snapshot.processes[pid as usize - 1].descriptors;
                let fd = 3 + table.len() as i32;
                table.push(Descriptor { fd, file: id, cloexec: false });
            }
            next += 2;
        }
        snapshot
    }

    /// A generator with a fixed start: the same graphs in every run.
    fn random(state: &mut u64) -> u32 {
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) as u32
    }

    #[test]
    fn no_box_lies_on_another_and_every_edge_is_routed() {
        let mut state = 7;
        for size in [1, 2, 3, 5, 9, 20, 60] {
            for edges in [0, size / 2, size, size * 3] {
                let pairs: Vec<(u32, u32)> = (0..edges)
                    .map(|_| (1 + random(&mut state) % size, 1 + random(&mut state) % size))
                    .collect();
                let snapshot = machine(size, &pairs);
                let graph = Graph::new(&snapshot);
                let page = arrange(&graph, 0.0);
                check(&page, &graph);
                assert_eq!(page.routes.len(), graph.edges.len());
                assert_eq!(page.boxes.len(), graph.boxes.len());
            }
        }
    }

    #[test]
    fn a_hub_with_many_clients_is_wrapped_into_columns() {
        let pairs: Vec<(u32, u32)> = (2..=150).map(|client| (1, client)).collect();
        let snapshot = machine(150, &pairs);
        let graph = Graph::new(&snapshot);
        let page = arrange(&graph, 0.0);
        check(&page, &graph);
        let ratio = page.height / page.width;
        assert!((0.3..3.5).contains(&ratio), "{} by {}", page.width, page.height);
    }

    #[test]
    fn a_chain_reads_from_left_to_right_or_back() {
        let snapshot = machine(5, &[(1, 2), (2, 3), (3, 4), (4, 5)]);
        let graph = Graph::new(&snapshot);
        let page = arrange(&graph, 0.0);
        let xs: Vec<f64> = page.boxes.values().map(|placed| placed.x).collect();
        let rising = xs.windows(2).all(|pair| pair[0] < pair[1]);
        let falling = xs.windows(2).all(|pair| pair[0] > pair[1]);
        assert!(rising || falling, "{xs:?}");
    }
}
