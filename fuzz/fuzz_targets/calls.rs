//! Hostile calls of several processes and threads on the model: no panic, no broken invariant.
#![no_main]

use afunix_tests::hostile::{Dice, World};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut world = World::new();
    for act in bytes.chunks(Dice::BYTES) {
        if !world.act(Dice::of_bytes(act)) {
            break;
        }
    }
});
