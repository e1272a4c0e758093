//! The graph of a whole run: one picture in which everything has its place, and for each moment the
//! differences to the one before.

use std::collections::BTreeMap;

use afunix::snapshot::Snapshot;
use serde_json::{Value, json};

use super::graph::Graph;
use super::union::{Moment, RowState, Union};
use super::{Page, arrange, draw};

/// A picture and its moments. The pieces of the picture are numbered as they stand in the markup.
pub(crate) struct Film {
    /// The markup, without any style of its own.
    pub(crate) svg: String,
    /// By moment: `b`oxes with their lines, `r`ows and `e`dges that changed.
    pub(crate) frames: Vec<Value>,
}

/// The film of these moments.
pub(crate) fn film<'a>(snapshots: impl IntoIterator<Item = &'a Snapshot>) -> Film {
    let mut union = Union::new();
    let mut graphs: Vec<Graph> = snapshots.into_iter().map(Graph::new).collect();
    // What is folded has other counts at every moment: of several, all stays as it is.
    if let [_] = &graphs[..] {
        graphs = graphs.into_iter().map(Graph::legible).collect();
    }
    let moments: Vec<Moment> = graphs.into_iter().map(|graph| union.add(graph)).collect();
    let page = arrange(&union.graph, 8.0);
    let svg = draw::bare(&union.graph, &page);
    let order = Order::new(&page);
    let mut before = Moment::default();
    let mut frames = Vec::new();
    for moment in moments {
        frames.push(order.frame(&before, &moment));
        before = moment;
    }
    Film { svg, frames }
}

/// The style of the picture, in light, and what dark changes.
pub(crate) const STYLES: (&str, &str) = (draw::LIGHT, draw::DARK);

/// Where in the markup the boxes, rows and edges stand.
struct Order {
    boxes: BTreeMap<usize, usize>,
    rows: BTreeMap<(usize, usize), usize>,
    edges: BTreeMap<usize, usize>,
}

impl Order {
    fn new(page: &Page) -> Self {
        let number = |(at, id): (usize, &usize)| (*id, at);
        let mut rows = BTreeMap::new();
        for (id, placed) in &page.boxes {
            for row in &placed.rows {
                rows.insert((*id, *row), rows.len());
            }
        }
        let boxes = page.boxes.keys().enumerate().map(number).collect();
        let edges = page.routes.keys().enumerate().map(number).collect();
        Order { boxes, rows, edges }
    }

    fn frame(&self, before: &Moment, now: &Moment) -> Value {
        let lines = |lines: &Vec<(String, bool)>| json!(lines);
        let row = |row: &RowState| {
            let pixels = row.fill.map(|fill| (32.0 * fill).round() as u32);
            json!([row.badge, pixels, row.red])
        };
        json!({
            "b": changes(&before.boxes, &now.boxes, &self.boxes, lines),
            "r": changes(&before.rows, &now.rows, &self.rows, row),
            "e": changes(&before.edges, &now.edges, &self.edges, |red| json!(red)),
        })
    }
}

/// What is new or other, as `[number, value]`, and what is gone, as `[number, null]`.
fn changes<K: Ord + Copy, V: PartialEq>(
    before: &BTreeMap<K, V>,
    now: &BTreeMap<K, V>,
    order: &BTreeMap<K, usize>,
    show: impl Fn(&V) -> Value,
) -> Vec<Value> {
    let gone = before.keys().filter(|key| !now.contains_key(key));
    let gone = gone.filter_map(|key| Some(json!([order.get(key)?, null])));
    let other = now.iter().filter(|(key, value)| before.get(key) != Some(value));
    let other = other.filter_map(|(key, value)| Some(json!([order.get(key)?, show(value)])));
    gone.chain(other).collect()
}
