//! Programs of the differential run, made from the fuzzer's bytes, in lock-step on the model and on
//! the kernel.
#![no_main]

use std::cell::RefCell;

use afunix_tests::differential::Fuzzer;
use libfuzzer_sys::fuzz_target;

thread_local! {
    static FUZZER: RefCell<Fuzzer> =
        RefCell::new(Fuzzer::new(Default::default()).expect("the kernel's side starts"));
}

fuzz_target!(|bytes: &[u8]| {
    let found = FUZZER.with_borrow_mut(|fuzzer| fuzzer.on_both(bytes));
    assert_eq!(found.expect("the kernel's side runs"), None);
});
