//! Hostile calls of several processes and threads on the model: no panic, no broken invariant.
#![no_main]

use afunix_tests::hostile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hostile::run(bytes));
