//! All conformance cases in the simulator, in one process, and what only the profile `posix` does:
//! what mutation testing runs, because it takes a second. CONTRIBUTING names the command.

use afunix::call::Fcntl;
use afunix::{Backend, Call, Errno};
use afunix_sim::{Choices, Faults, RunOptions, Sim};
use afunix_tests::calls::*;
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

/// What is lost or overtakes others changes no other message, and is no longer paid for.
#[test]
fn messages_stay_whole_whatever_is_lost_or_overtakes() {
    let app = afunix_sim::app(|host| {
        let (sender, receiver) = pair(host, DGRAM);
        fcntl(host, receiver, Fcntl::Setfl(NONBLOCK)).expect("it has flags");
        let message = |number: u8| vec![number; usize::from(number) * 7 % 300];
        // Were the lost not let go, the sender would come to wait for ever.
        for _ in 0..40 {
            let sent: Vec<u8> =
                (0..90).filter(|number| send(host, sender, &message(*number), 0).is_ok()).collect();
            let mut received = Vec::new();
            loop {
                match recv(host, receiver, 400, 0) {
                    Ok(message) => received.push(message),
                    Err(Errno::AGAIN) => break,
                    // A fault struck.
                    Err(_) => {}
                }
            }
            received.sort();
            assert!(received.is_sorted_by(|one, next| one < next), "none comes twice");
            for one in &received {
                let number = one.first().copied().unwrap_or(0);
                assert!(sent.contains(&number) && *one == message(number), "as it was sent");
            }
        }
        0
    });
    let options = RunOptions { faults: Faults::Posix, ..RunOptions::default() };
    let (mut lost, mut overtaken) = (0, 0);
    for seed in 0..5 {
        let report = afunix_sim::run(&app, &options, Choices::Seed(seed));
        assert!(report.passed(), "seed {seed}: {:?}", report.failure());
        lost += report.faults.lost;
        overtaken += report.faults.overtaken;
    }
    assert!(lost > 0 && overtaken > 0, "{lost} lost, {overtaken} overtaken");
}
