//! Rectangles onto a page: each as high up as it fits, then as far left.

/// A page about as wide as a screen is, compared to its height.
pub(super) fn page_width(sizes: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut area, mut widest) = (0.0, 0.0_f64);
    for (width, height) in sizes {
        area += (width + GAP) * (height + GAP);
        widest = widest.max(width);
    }
    (area * 1.7_f64).sqrt().clamp(900.0, 2600.0).max(widest).ceil()
}

const GAP: f64 = 28.0;

/// The corners of the rectangles, in the order given.
pub(super) fn pack(sizes: &[(f64, f64)], page: f64) -> Vec<(f64, f64)> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    // High ones first; those of one height in their own order.
    order.sort_by(|&a, &b| sizes[b].1.total_cmp(&sizes[a].1).then(a.cmp(&b)));
    let mut corners = vec![(0.0, 0.0); sizes.len()];
    // The lower border of what is placed: pieces from left to right, each with its x and its y.
    let mut skyline = vec![(0.0_f64, 0.0_f64)];
    for at in order {
        let (width, height) = sizes[at];
        let (x, y) = best_corner(&skyline, width, page);
        corners[at] = (x, y);
        raise(&mut skyline, x, x + width + GAP, y + height + GAP);
    }
    corners
}

fn best_corner(skyline: &[(f64, f64)], width: f64, page: f64) -> (f64, f64) {
    let mut best: Option<(f64, f64)> = None;
    for (at, &(x, _)) in skyline.iter().enumerate() {
        // The first place is always allowed: a rectangle may be wider than the page.
        if at > 0 && x + width > page {
            break;
        }
        let under = skyline[at..].iter().take_while(|piece| piece.0 < x + width);
        let y = under.map(|piece| piece.1).fold(0.0, f64::max);
        if best.is_none_or(|(_, lowest)| y < lowest) {
            best = Some((x, y));
        }
    }
    best.unwrap_or((0.0, 0.0))
}

/// Sets the border between `from` and `to` to `y`.
fn raise(skyline: &mut Vec<(f64, f64)>, from: f64, to: f64, y: f64) {
    let after = skyline.iter().rfind(|piece| piece.0 <= to).map_or(0.0, |piece| piece.1);
    skyline.retain(|piece| piece.0 < from || piece.0 > to);
    let at = skyline.iter().position(|piece| piece.0 > from).unwrap_or(skyline.len());
    skyline.splice(at..at, [(from, y), (to, after)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overlaps_and_small_ones_fill_the_gaps() {
        let sizes = [(300.0, 400.0), (200.0, 100.0), (250.0, 90.0), (600.0, 50.0), (100.0, 100.0)];
        let corners = pack(&sizes, 620.0);
        for a in 0..sizes.len() {
            for b in a + 1..sizes.len() {
                let apart = corners[a].0 + sizes[a].0 <= corners[b].0
                    || corners[b].0 + sizes[b].0 <= corners[a].0
                    || corners[a].1 + sizes[a].1 <= corners[b].1
                    || corners[b].1 + sizes[b].1 <= corners[a].1;
                assert!(apart, "{a} lies on {b}: {corners:?}");
            }
        }
        assert_eq!(corners[0], (0.0, 0.0));
        assert_eq!(corners[1].1, 0.0);
        assert!(corners[4].1 < 400.0);
    }
}
