//! Arranges the boxes of one component: who stands where in its column, and how the edges run.
//!
//! The way of Sugiyama: an edge that spans several columns gets a *passage* in each column between,
//! an item like a box though only some pixels high; then items are sorted by where their neighbours
//! are, over and over, to the left and to the right; what gave the shortest edges is taken.

use std::collections::BTreeMap;

use super::columns::{BOX_GAP, Columns, Links, candidates};
use super::graph::{Component, Graph, ROW_HEIGHT};
use super::{Placed, Route};

/// A component with places for all of it, from (0, 0).
pub(super) struct Arranged {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) boxes: BTreeMap<usize, Placed>,
    pub(super) routes: BTreeMap<usize, Route>,
}

const PASSAGE_HEIGHT: f64 = 6.0;
const SWEEPS: usize = 12;

pub(super) fn arrange(graph: &Graph, component: &Component) -> Arranged {
    let links = links(graph, component);
    let tried = candidates(&links).into_iter().map(|columns| {
        let mut work = Work::new(graph, component, columns);
        work.sort();
        let arranged = work.finish();
        (cost(graph, &arranged), arranged)
    });
    // The first of equals, so that the choice does not depend on anything but the input.
    tried
        .reduce(|best, next| if next.0 < best.0 { next } else { best })
        .map(|(_, arranged)| arranged)
        .expect("there is always a way to try")
}

/// What a reader pays: long and steep edges, edges within a column, a picture wider than a screen.
fn cost(graph: &Graph, arranged: &Arranged) -> f64 {
    let mut cost = (arranged.width - 1800.0).max(0.0) * 20.0;
    cost += arranged.width * arranged.height / 500.0;
    for (&edge, route) in &arranged.routes {
        let edge = &graph.edges[edge];
        cost += route
            .points
            .windows(2)
            .map(|p| (p[0].0 - p[1].0).abs() + 1.5 * (p[0].1 - p[1].1).abs())
            .sum::<f64>();
        if route.swing.is_some() && edge.from.0 != edge.to.0 {
            cost += 400.0;
        }
    }
    cost
}

fn links(graph: &Graph, component: &Component) -> Links {
    let number: BTreeMap<usize, usize> =
        component.boxes.iter().enumerate().map(|(number, &id)| (id, number)).collect();
    let heights = component.boxes.iter().map(|&id| graph.boxes[id].height()).collect();
    let mut neighbours = vec![BTreeMap::new(); component.boxes.len()];
    for &edge in &component.edges {
        let edge = &graph.edges[edge];
        let (a, b) = (number[&edge.from.0], number[&edge.to.0]);
        if a != b {
            *neighbours[a].entry(b).or_insert(0) += 1;
            *neighbours[b].entry(a).or_insert(0) += 1;
        }
    }
    Links { heights, neighbours }
}

/// What stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Box(usize),
    /// Of an edge, by its id; there is one per column.
    Passage(usize),
}

/// One end of a piece of an edge: an item and, in a box, a row.
type End = (Item, usize);

/// A piece of an edge between neighbouring columns, or within one.
struct Piece {
    left: (usize, End),
    right: (usize, End),
}

struct Work<'a> {
    graph: &'a Graph,
    component: &'a Component,
    /// Items by column, from top to bottom.
    columns: Vec<Vec<Item>>,
    column_of: BTreeMap<usize, usize>,
    /// Upper borders, by column and item.
    tops: BTreeMap<(usize, Item), f64>,
    /// By box: its rows from top to bottom.
    rows: BTreeMap<usize, Vec<usize>>,
    pieces: Vec<Piece>,
    /// By item: indices of its pieces.
    pieces_of: BTreeMap<(usize, Item), Vec<usize>>,
}

impl<'a> Work<'a> {
    fn new(graph: &'a Graph, component: &'a Component, boxes: Columns) -> Self {
        let mut column_of = BTreeMap::new();
        let mut columns: Vec<Vec<Item>> = Vec::new();
        for (at, column) in boxes.into_iter().enumerate() {
            let ids = column.into_iter().map(|number| component.boxes[number]);
            columns.push(ids.map(Item::Box).collect());
            for item in &columns[at] {
                if let Item::Box(id) = item {
                    column_of.insert(*id, at);
                }
            }
        }
        let rows =
            component.boxes.iter().map(|&id| (id, (0..graph.boxes[id].rows.len()).collect()));
        let rows = rows.collect();
        let mut work = Self {
            graph,
            component,
            columns,
            column_of,
            tops: BTreeMap::new(),
            rows,
            pieces: Vec::new(),
            pieces_of: BTreeMap::new(),
        };
        for &edge in &component.edges {
            work.cut_edge(edge);
        }
        for column in 0..work.columns.len() {
            work.settle(column, &BTreeMap::new());
        }
        work
    }

    fn cut_edge(&mut self, id: usize) {
        let edge = &self.graph.edges[id];
        if edge.from.0 == edge.to.0 {
            return;
        }
        let mut ends = [edge.from, edge.to]
            .map(|(in_box, row)| (self.column_of[&in_box], (Item::Box(in_box), row)));
        ends.sort_by_key(|end| end.0);
        let [first, last] = ends;
        let mut left = first;
        for column in first.0 + 1..last.0 {
            let passage = (column, (Item::Passage(id), 0));
            self.columns[column].push(Item::Passage(id));
            self.piece(left, passage);
            left = passage;
        }
        self.piece(left, last);
    }

    fn piece(&mut self, left: (usize, End), right: (usize, End)) {
        for (column, (item, _)) in [left, right] {
            self.pieces_of.entry((column, item)).or_default().push(self.pieces.len());
        }
        self.pieces.push(Piece { left, right });
    }

    fn height(&self, item: Item) -> f64 {
        match item {
            Item::Box(id) => self.graph.boxes[id].height(),
            Item::Passage(_) => PASSAGE_HEIGHT,
        }
    }

    /// The port of an end, from the top of its item.
    fn offset(&self, (item, row): End) -> f64 {
        match item {
            Item::Box(id) => {
                let at = self.rows[&id].iter().position(|&other| other == row).unwrap_or(0);
                self.graph.boxes[id].rows_top() + ROW_HEIGHT * (at as f64 + 0.5)
            }
            Item::Passage(_) => PASSAGE_HEIGHT / 2.0,
        }
    }

    fn y(&self, (column, end): (usize, End)) -> f64 {
        self.tops[&(column, end.0)] + self.offset(end)
    }

    /// The ends opposite of an item, each with its own end: `(own, other)`.
    fn opposites(&self, column: usize, item: Item) -> Vec<(End, (usize, End))> {
        let pieces = self.pieces_of.get(&(column, item)).map_or(&[][..], Vec::as_slice);
        let mut found = Vec::new();
        for piece in pieces.iter().map(|&at| &self.pieces[at]) {
            if piece.left.0 == column && piece.left.1.0 == item {
                found.push((piece.left.1, piece.right));
            } else {
                found.push((piece.right.1, piece.left));
            }
        }
        found
    }

    /// Sorts all columns and the rows of all boxes, and keeps the best of what it sees.
    fn sort(&mut self) {
        let mut best = (self.length(), self.columns.clone(), self.tops.clone(), self.rows.clone());
        for sweep in 0..SWEEPS {
            let count = self.columns.len();
            for step in 0..count {
                let column = if sweep % 2 == 0 { step } else { count - 1 - step };
                self.sort_column(column);
            }
            self.sort_rows();
            for step in 0..count {
                let column = if sweep % 2 == 0 { step } else { count - 1 - step };
                let wanted = self.wanted(column);
                self.settle(column, &wanted);
            }
            let length = self.length();
            if length < best.0 {
                best = (length, self.columns.clone(), self.tops.clone(), self.rows.clone());
            }
        }
        (_, self.columns, self.tops, self.rows) = best;
    }

    /// How far the edges go up and down, which is what makes them hard to follow.
    fn length(&self) -> f64 {
        self.pieces.iter().map(|piece| (self.y(piece.left) - self.y(piece.right)).abs()).sum()
    }

    /// Where each item of a column would best begin: at the mean of what its neighbours ask for.
    fn wanted(&self, column: usize) -> BTreeMap<Item, f64> {
        let mut wanted = BTreeMap::new();
        for &item in &self.columns[column] {
            let opposites = self.opposites(column, item);
            if opposites.is_empty() {
                continue;
            }
            let sum: f64 =
                opposites.iter().map(|(own, other)| self.y(*other) - self.offset(*own)).sum();
            wanted.insert(item, sum / opposites.len() as f64);
        }
        wanted
    }

    fn sort_column(&mut self, column: usize) {
        let wanted = self.wanted(column);
        let key = |item: &Item| {
            let top = wanted.get(item).or_else(|| self.tops.get(&(column, *item)));
            top.copied().unwrap_or(0.0) + self.height(*item) / 2.0
        };
        let mut items = self.columns[column].clone();
        items.sort_by(|a, b| key(a).total_cmp(&key(b)).then(a.cmp(b)));
        self.columns[column] = items;
        self.settle(column, &wanted);
    }

    /// Listeners on top, then what is connected in the order of the other ends, then the rest.
    fn sort_rows(&mut self) {
        for (&id, &column) in &self.column_of {
            let mut ends: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
            for (own, other) in self.opposites(column, Item::Box(id)) {
                let sum = ends.entry(own.1).or_default();
                *sum = (sum.0 + self.y(other), sum.1 + 1.0);
            }
            // Pairs within the box stay together, above the unconnected.
            let mut inner: BTreeMap<usize, usize> = BTreeMap::new();
            for &edge in &self.component.edges {
                let edge = &self.graph.edges[edge];
                if (edge.from.0, edge.to.0) == (id, id) {
                    let first = edge.from.1.min(edge.to.1);
                    inner.entry(edge.from.1).or_insert(first);
                    inner.entry(edge.to.1).or_insert(first);
                }
            }
            let key = |row: &usize| match (ends.get(row), inner.get(row)) {
                _ if self.graph.boxes[id].rows[*row].listening => (0, 0.0, *row),
                (Some((sum, count)), _) => (1, sum / count, *row),
                (None, Some(first)) => (2, *first as f64, *row),
                (None, None) => (3, 0.0, *row),
            };
            let mut rows: Vec<usize> = (0..self.graph.boxes[id].rows.len()).collect();
            rows.sort_by(|a, b| {
                let (a, b) = (key(a), key(b));
                a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2))
            });
            self.rows.insert(id, rows);
        }
    }

    /// Places the items of a column in their order, as near as possible to where they want to be.
    fn settle(&mut self, column: usize, wanted: &BTreeMap<Item, f64>) {
        let items = &self.columns[column];
        // Subtracting what must lie above leaves a sequence that only has to rise.
        let mut above = 0.0;
        let mut aboves = Vec::new();
        let mut targets = Vec::new();
        for item in items {
            let now = self.tops.get(&(column, *item)).copied();
            let want = wanted.get(item).copied().or(now).unwrap_or(above);
            aboves.push(above);
            targets.push(want - above);
            let gap = if matches!(item, Item::Box(_)) { BOX_GAP } else { 4.0 };
            above += self.height(*item) + gap;
        }
        let risen = rising(&targets);
        let tops: Vec<((usize, Item), f64)> = items
            .iter()
            .zip(risen.iter().zip(&aboves))
            .map(|(item, (target, above))| ((column, *item), (target + above).round()))
            .collect();
        self.tops.extend(tops);
    }

    fn finish(self) -> Arranged {
        let top = self.tops.values().copied().fold(f64::INFINITY, f64::min);
        let widths: Vec<f64> = self.columns.iter().map(|items| self.column_width(items)).collect();
        let (outer_left, gaps) = self.gaps();
        let mut xs = Vec::new();
        let mut x = outer_left;
        for (column, width) in widths.iter().enumerate() {
            xs.push(x);
            x += width + gaps[column];
        }
        let mut boxes = BTreeMap::new();
        let mut height = 0.0_f64;
        for (&id, &column) in &self.column_of {
            let y = self.tops[&(column, Item::Box(id))] - top;
            height = height.max(y + self.graph.boxes[id].height());
            let rows = self.rows[&id].clone();
            boxes.insert(id, Placed { x: xs[column], y, width: widths[column], rows });
        }
        let mut routes = BTreeMap::new();
        for &edge in &self.component.edges {
            routes.insert(edge, self.route(edge, &xs, &widths, top));
        }
        let passages = self.tops.iter().filter(|((_, item), _)| matches!(item, Item::Passage(_)));
        for (_, y) in passages {
            height = height.max(y - top + PASSAGE_HEIGHT);
        }
        Arranged { width: x, height, boxes, routes }
    }

    fn column_width(&self, items: &[Item]) -> f64 {
        let width = |item: &Item| match item {
            Item::Box(id) => self.graph.boxes[*id].width(),
            Item::Passage(_) => 0.0,
        };
        items.iter().map(width).fold(0.0, f64::max)
    }

    /// The space to the left of all columns, and to the right of each.
    fn gaps(&self) -> (f64, Vec<f64>) {
        let last = self.columns.len() - 1;
        let mut outer_left = 0.0_f64;
        let mut gaps: Vec<f64> = (0..=last).map(|at| if at < last { 60.0 } else { 0.0 }).collect();
        for piece in &self.pieces {
            if piece.left.0 != piece.right.0 {
                let rise = (self.y(piece.left) - self.y(piece.right)).abs();
                let gap = &mut gaps[piece.left.0];
                *gap = gap.max((60.0 + rise * 0.14).min(280.0)).round();
            }
        }
        for &edge in &self.component.edges {
            let edge = &self.graph.edges[edge];
            let column = self.column_of[&edge.from.0];
            if column != self.column_of[&edge.to.0] {
                continue;
            }
            let swing = self.swing(edge, column);
            if swing < 0.0 {
                outer_left = outer_left.max(-swing);
            } else {
                let room = if column == last { swing } else { swing + 40.0 };
                gaps[column] = gaps[column].max(room);
            }
        }
        (outer_left, gaps)
    }

    /// Outwards from the outermost columns, else to the right.
    fn swing(&self, edge: &super::graph::Edge, column: usize) -> f64 {
        let y = |(id, row): (usize, usize)| self.y((column, (Item::Box(id), row)));
        let rise = (y(edge.from) - y(edge.to)).abs();
        let size = (16.0 + rise * 0.12).min(90.0).round();
        let outwards_left = column == 0 && self.columns.len() > 1;
        if outwards_left { -size } else { size }
    }

    fn route(&self, id: usize, xs: &[f64], widths: &[f64], top: f64) -> Route {
        let edge = &self.graph.edges[id];
        let at = |(in_box, row): (usize, usize)| {
            let column = self.column_of[&in_box];
            (column, self.y((column, (Item::Box(in_box), row))) - top)
        };
        let (from, to) = (at(edge.from), at(edge.to));
        let left = |column: usize| xs[column];
        let right = |column: usize| xs[column] + widths[column];
        if from.0 == to.0 {
            let swing = self.swing(edge, from.0);
            let x = if swing < 0.0 { left(from.0) } else { right(from.0) };
            return Route { points: vec![(x, from.1), (x, to.1)], swing: Some(swing) };
        }
        let forward = from.0 < to.0;
        let (first, last) = if forward { (from, to) } else { (to, from) };
        let mut points = vec![(right(first.0), first.1)];
        for column in first.0 + 1..last.0 {
            let y = self.y((column, (Item::Passage(id), 0))) - top;
            points.extend([(left(column), y), (right(column), y)]);
        }
        points.push((left(last.0), last.1));
        if !forward {
            points.reverse();
        }
        Route { points, swing: None }
    }
}

/// The rising sequence that is nearest to `targets` (least squares): neighbours that are out of
/// order are merged into a block at their mean.
fn rising(targets: &[f64]) -> Vec<f64> {
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for &target in targets {
        let mut block = (target, 1);
        while let Some(&(mean, count)) = blocks.last() {
            if mean <= block.0 {
                break;
            }
            let total = mean * count as f64 + block.0 * block.1 as f64;
            block = (total / (count + block.1) as f64, count + block.1);
            blocks.pop();
        }
        blocks.push(block);
    }
    blocks.into_iter().flat_map(|(mean, count)| std::iter::repeat_n(mean, count)).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn rising_keeps_what_rises_and_merges_the_rest() {
        assert_eq!(super::rising(&[1.0, 2.0, 5.0]), [1.0, 2.0, 5.0]);
        assert_eq!(super::rising(&[4.0, 2.0, 9.0, 7.0]), [3.0, 3.0, 8.0, 8.0]);
        assert_eq!(super::rising(&[3.0, 2.0, 1.0]), [2.0, 2.0, 2.0]);
    }
}
