//! The simulator beside shuttle, loom, madsim and turmoil-net.
//!
//! `cargo run --release` in this directory prints the tables of docs/benchmarks.md. Each of the
//! others does what is nearest to it: shuttle and loom know threads, locks and channels, madsim and
//! turmoil-net tasks and TCP. Both sides of a row are measured in turn, as in `benches/ratios.rs`.
//! `cargo run --release NAME` measures only the rows whose name contains NAME.

#[path = "../../support/measure.rs"]
mod measure;
mod orders;
mod runs;
mod steps;

use measure::{compare, spent};

fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    println!("| what | by | ns | beside | ns | ratio |");
    println!("|---|---|---:|---|---:|---:|");
    for row in steps::rows().chain(runs::rows()).filter(|row| row.name.contains(&filter)) {
        row.measure();
    }
    orders::table(&filter);
}

/// What a row does: so many things at each call.
struct Side {
    what: &'static str,
    work: Box<dyn FnMut()>,
    things: u64,
}

/// The same by two simulators.
struct Row {
    name: String,
    ours: Side,
    peer: Side,
}

impl Row {
    fn measure(mut self) {
        let (ours, peer, ratio) = compare(&mut *self.ours.work, &mut *self.peer.work);
        let (our_things, peer_things) = (self.ours.things as f64, self.peer.things as f64);
        let (name, by, beside) = (self.name, self.ours.what, self.peer.what);
        let (ours, peer) = (ours / our_things, peer / peer_things);
        let ratio = ratio * our_things / peer_things;
        println!("| {name} | {by} | {ours:.0} | {beside} | {peer:.0} | {ratio:.1} x |");
    }
}
