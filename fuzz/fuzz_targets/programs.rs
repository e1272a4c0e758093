//! Programs of the differential run, made from the fuzzer's bytes, on the model alone.
#![no_main]

use std::cell::RefCell;

use afunix_tests::differential::Fuzzer;
use libfuzzer_sys::fuzz_target;

thread_local! {
    static FUZZER: RefCell<Fuzzer> =
        RefCell::new(Fuzzer::new(Default::default()).expect("the kernel's side starts"));
}

fuzz_target!(|bytes: &[u8]| {
    let broken = FUZZER.with_borrow_mut(|fuzzer| fuzzer.on_model(bytes));
    assert_eq!(broken, None);
});
