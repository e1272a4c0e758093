//! All conformance cases in the simulator, in one process: what mutation testing runs, because it
//! takes a second. CONTRIBUTING names the command.

use afunix::{Backend, Call};
use afunix_sim::{Choices, Faults, RunOptions, Sim};
use afunix_tests::conformance::cases;

#[test]
fn every_case_holds_in_a_simulation() {
    let options = RunOptions { faults: Faults::None, ..RunOptions::default() };
    for (seed, case) in (0..).zip(cases::<Sim>()) {
        let body = case.body;
        let app = afunix_sim::app(move |host| {
            let _ = host.call(&mut Call::Umask { mask: 0o022 });
            host.call(&mut Call::Chdir { path: b"/tmp" }).expect("it is there");
            body(host);
            0
        });
        let report = afunix_sim::run(&app, &options, Choices::Seed(seed));
        assert!(report.passed(), "{}: {:?}", case.title(), report.failure());
    }
}
