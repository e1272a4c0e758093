//! What the fuzzer found worth keeping (`fuzz/corpus`), through the same code without libFuzzer.

use std::path::Path;

use afunix_tests::differential::Fuzzer;
use afunix_tests::hostile;

/// The inputs that are kept of a target, with their names.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("fuzz");
    let entries = std::fs::read_dir(fuzz.join("corpus").join(target)).expect("a corpus");
    let mut inputs: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.display().to_string(), std::fs::read(&path).expect("an input")))
        .collect();
    assert!(!inputs.is_empty(), "{target} has a corpus");
    inputs.sort();
    inputs
}

fn fuzzer() -> Fuzzer {
    Fuzzer::new(Default::default()).expect("the kernel's side starts")
}

#[test]
fn hostile_calls_break_nothing() {
    for (name, bytes) in inputs("calls") {
        println!("{name}");
        hostile::run(&bytes);
    }
}

#[test]
fn programs_break_nothing() {
    let mut fuzzer = fuzzer();
    for (name, bytes) in inputs("programs") {
        assert_eq!(fuzzer.on_model(&bytes), None, "{name}");
    }
}

#[test]
fn programs_do_the_same_on_the_kernel() {
    let mut fuzzer = fuzzer();
    for (name, bytes) in inputs("lockstep") {
        let mut difference = || fuzzer.on_both(&bytes).expect("the kernel's side runs");
        // The kernel counts files in flight per user: another program's may disturb it once.
        let found = difference().and_then(|_| difference());
        assert_eq!(found, None, "{name}");
    }
}
