//! Which box stands in which column.
//!
//! Edges look best between neighbouring columns. Two ways to get there are tried, and the better
//! picture wins. *Hubs*: boxes are split in two halves with as many edges as possible between them;
//! the smaller half (a bus, a log daemon, a display server) stands in the middle, their clients
//! left and right. *Layers*: columns by distance from one end, which suits chains and trees.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Boxes of one component, numbered from 0, and how many edges run between each two of them.
pub(super) struct Links {
    pub(super) heights: Vec<f64>,
    /// By box: its neighbours with the number of edges to each.
    pub(super) neighbours: Vec<BTreeMap<usize, usize>>,
}

/// A column per inner list, from left to right, the boxes in no particular order.
pub(super) type Columns = Vec<Vec<usize>>;

/// Space between boxes of one column.
pub(super) const BOX_GAP: f64 = 14.0;
/// A column should not be higher than this without need.
const COLUMN_HEIGHT: f64 = 1000.0;
/// Nor a column of hubs than this.
const HUBS_HEIGHT: f64 = 8000.0;

/// The ways to try. Never empty, no column is empty, and every box is in each of them once.
pub(super) fn candidates(links: &Links) -> Vec<Columns> {
    if links.heights.len() < 2 {
        return vec![vec![(0..links.heights.len()).collect()]];
    }
    let limit = links.heights.iter().copied().fold(COLUMN_HEIGHT, f64::max);
    let all = [hubs(links, limit), layers(links, limit)];
    all.into_iter().map(|columns| columns.into_iter().filter(|c| !c.is_empty()).collect()).collect()
}

impl Links {
    fn degree(&self, at: usize) -> usize {
        self.neighbours[at].values().sum()
    }

    fn hub(&self) -> usize {
        let all = 0..self.heights.len();
        all.max_by_key(|&at| (self.degree(at), std::cmp::Reverse(at))).unwrap_or(0)
    }

    fn distances(&self, from: usize) -> Vec<usize> {
        let mut distances = vec![usize::MAX; self.heights.len()];
        distances[from] = 0;
        let mut queue = VecDeque::from([from]);
        while let Some(at) = queue.pop_front() {
            for &next in self.neighbours[at].keys() {
                if distances[next] == usize::MAX {
                    distances[next] = distances[at] + 1;
                    queue.push_back(next);
                }
            }
        }
        distances
    }

    fn total(&self, boxes: &[usize]) -> f64 {
        boxes.iter().map(|&at| self.heights[at] + BOX_GAP).sum()
    }
}

fn hubs(links: &Links, limit: f64) -> Columns {
    let in_middle = halves(links);
    let all = 0..links.heights.len();
    let (middle, others): (Vec<usize>, Vec<usize>) = all.partition(|&at| in_middle[at]);
    // Boxes of the outer half that have edges among themselves stay on one side.
    let mut groups = groups(links, &others);
    groups.sort_by(|a, b| links.total(b).total_cmp(&links.total(a)).then(a.cmp(b)));
    let one_side = links.total(&others) <= (links.total(&middle) * 1.2).max(limit * 0.5);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for group in groups {
        if one_side || links.total(&right) <= links.total(&left) {
            right.extend(group);
        } else {
            left.extend(group);
        }
    }
    // Hubs stand above each other as long as one can still scroll past them: beside each other,
    // most edges of the outer ones would have to pass by the inner ones.
    let middle_limit = limit.max(HUBS_HEIGHT);
    let limit = limit.max(1.3 * links.total(&middle).min(middle_limit));
    let mut columns = split(links, left, limit);
    columns.reverse();
    columns.extend(split(links, middle, middle_limit));
    columns.extend(split(links, right, limit));
    columns
}

/// For each box, whether it belongs to the half with fewer boxes.
fn halves(links: &Links) -> Vec<bool> {
    let distances = links.distances(links.hub());
    let mut odd: Vec<bool> = distances.iter().map(|distance| distance % 2 == 1).collect();
    // Moving a box to the half where it has fewer neighbours raises the number of edges between the
    // halves each time, so this ends.
    loop {
        let mut moved = false;
        for at in 0..odd.len() {
            let weight = |same: bool| -> usize {
                let neighbours = links.neighbours[at].iter();
                neighbours.filter(|(other, _)| (odd[**other] == odd[at]) == same).map(|n| n.1).sum()
            };
            if weight(true) > weight(false) {
                odd[at] = !odd[at];
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    let odds = odd.iter().filter(|&&is_odd| is_odd).count();
    let odd_is_middle = odds * 2 < odd.len();
    odd.into_iter().map(|is_odd| is_odd == odd_is_middle).collect()
}

/// Connected components among some boxes.
fn groups(links: &Links, boxes: &[usize]) -> Vec<Vec<usize>> {
    let mut left: BTreeSet<usize> = boxes.iter().copied().collect();
    let mut groups = Vec::new();
    while let Some(first) = left.pop_first() {
        let mut group = vec![first];
        let mut at = 0;
        while at < group.len() {
            for &next in links.neighbours[group[at]].keys() {
                if left.remove(&next) {
                    group.push(next);
                }
            }
            at += 1;
        }
        group.sort_unstable();
        groups.push(group);
    }
    groups
}

fn layers(links: &Links, limit: f64) -> Columns {
    // The box farthest from the hub, and then the one farthest from that: two ends.
    let from_hub = links.distances(links.hub());
    let farthest = |distances: &[usize]| {
        let all = 0..distances.len();
        all.max_by_key(|&at| (distances[at], std::cmp::Reverse(at))).unwrap_or(0)
    };
    let end = farthest(&from_hub);
    let other_end = farthest(&links.distances(end));
    let distances = links.distances(end.min(other_end));
    let mut by_distance: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, &distance) in distances.iter().enumerate() {
        by_distance.entry(distance).or_default().push(at);
    }
    by_distance.into_values().flat_map(|column| split(links, column, limit)).collect()
}

/// Deals the boxes of a column that is too high to several. In turns, not in pieces: so the edges
/// of each stay short, passing between the boxes of the column before it.
fn split(links: &Links, column: Vec<usize>, limit: f64) -> Columns {
    let count = (links.total(&column) / limit).ceil().max(1.0) as usize;
    let mut columns = vec![Vec::new(); count];
    for (at, one) in column.into_iter().enumerate() {
        columns[at % count].push(one);
    }
    columns
}
