//! What decides that a run fails, where it is not the order of two calls. (Where it is:
//! `reported.rs`.)

mod common;

use afunix_sim::{Decisive, ExploreOptions, Found, explain, explore};
use common::scenario;

fn found(name: &str) -> Found {
    let options = ExploreOptions { seed: 3, shrink_steps: 200_000, ..ExploreOptions::default() };
    *explore(&scenario(name), &options).failure.unwrap()
}

/// It always fails: no choice is to be blamed.
#[test]
fn nothing_that_is_chosen() {
    let found = found("flush-deadlock");
    assert!(found.critical.is_none());
    assert!(matches!(found.decisive, Some(Decisive::Nothing { tried: 64 })));
    let text = explain::decides(&found);
    assert!(text.starts_with("what decides: nothing that is chosen; none of 64"), "{text}");
}

/// Without the crash it passes, whatever comes before what.
#[test]
fn a_crash() {
    for name in ["stale-socket", "hot-restart"] {
        let found = found(name);
        assert!(found.critical.is_none(), "{name}");
        let Some(Decisive::Fault { what, at }) = &found.decisive else {
            panic!("{name}: {:?}", found.decisive)
        };
        assert!(what.starts_with("killed at "), "{name}: {what}");
        assert!(["daemon", "new"].contains(&&*at.thread), "{name}: {at:?}");
        let text = explain::decides(&found);
        assert!(text.starts_with("what decides: a fault (killed at "), "{text}");
    }
}
