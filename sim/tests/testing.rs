//! Test functions under `#[afunix_sim::test]`: what they can declare, and what fails them.

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use afunix::fault::Verdict;
use afunix::net::{AsSocket, UnixListener, UnixStream};
use afunix::{Address, Errno, Host, fs};
use afunix_sim::{Check, Crash, Faults, Plan, Settings, Sim, Test, run_test};

fn path() -> Address {
    Address::path("/tmp/echo").expect("a short path")
}

/// Answers so many connections, one byte each.
fn serve(sim: &Sim, connections: usize) -> std::io::Result<()> {
    let _ = fs::remove_file(sim, "/tmp/echo");
    let listener = UnixListener::bind(sim, &path())?;
    for _ in 0..connections {
        let (mut stream, _) = listener.accept()?;
        let mut byte = [0];
        if stream.read_exact(&mut byte).is_ok() {
            // A client that was killed wants no answer.
            let _ = stream.write_all(&byte);
        }
    }
    fs::remove_file(sim, "/tmp/echo")
}

/// Asks until it is answered.
fn ask(sim: &Sim) -> std::io::Result<()> {
    let attempt = || {
        let mut stream = UnixStream::connect(sim, &path())?;
        stream.write_all(b"?")?;
        stream.read_exact(&mut [0])
    };
    let mut tries = 0;
    while let Err(error) = attempt() {
        tries += 1;
        if tries == 20 {
            return Err(error);
        }
        sim.sleep(Duration::from_millis(1));
    }
    Ok(())
}

#[afunix_sim::test(runs = 200)]
fn an_echo_server_answers(sim: &Test) {
    sim.process("server", |sim| serve(sim, 2));
    sim.process("client", ask);
    sim.process("client", ask);
    sim.always("no descriptor leaks", |now| now.open_descriptors("server") <= 2);
    sim.sometimes("a client is early", |now| now.saw(Errno::NOENT));
    sim.eventually("both are served", |now| now.started("client") == 2 && now.alive("client") == 0);
}

#[afunix_sim::test(runs = 300, faults = Faults::All)]
fn a_killed_server_is_started_again(sim: &Test) {
    let server = sim.process("server", |sim| serve(sim, usize::MAX));
    server.crash(Crash::BeforeVisibleCall).restart_after(Duration::from_millis(5)).daemon();
    sim.process("client", ask);
    sim.sometimes("killed", |now| now.crashes() > 0);
    sim.sometimes("started again", |now| now.started("server") == 2);
    sim.sometimes("refused", |now| now.saw(Errno::CONNREFUSED));
    sim.allow(Check::StalePath);
}

/// A daemon that says that it is up: it makes its socket, is asked once and goes. What an earlier
/// one of it left there it removes, or does not.
fn come_up(sim: &Sim, removes: bool) -> std::io::Result<()> {
    if removes {
        let _ = fs::remove_file(sim, "/tmp/echo");
    }
    let listener = UnixListener::bind(sim, &path())?;
    drop(listener);
    fs::remove_file(sim, "/tmp/echo")
}

/// Every moment at which the daemon may be killed, and what comes after it.
#[afunix_sim::test(faults = Faults::None, plan = Plan::Exhaustive { strict: false })]
fn a_daemon_comes_up_again_wherever_it_was_killed(sim: &Test) {
    let daemon = sim.process("daemon", |sim| come_up(sim, true));
    daemon.crash(Crash::BeforeEachVisibleCall).restart_after(Duration::from_millis(5));
    for started in [1, 2] {
        sim.sometimes(&format!("started {started} times"), move |now| {
            now.started("daemon") == started && now.crashes() == started as u64 - 1
        });
    }
}

/// The same daemon, but what is left there stops it: one moment of them all shows it.
#[test]
fn the_one_moment_at_which_a_kill_harms_is_found() {
    let text = failure_with(exhaustive(), |sim| {
        let daemon = sim.process("daemon", |sim| come_up(sim, false));
        daemon.crash(Crash::BeforeEachVisibleCall).restart_after(Duration::from_millis(5));
    });
    says(
        &text,
        &[
            "bind(3, \"/tmp/echo\") = -1 EADDRINUSE",
            "kills daemon: kill(3, 9)",
            "daemon: listen(3, 128)",
        ],
    );
}

#[afunix_sim::test(runs = 20)]
fn a_rule_holds_until_it_is_lifted(sim: &Test) {
    sim.process("server", |sim| serve(sim, 1));
    sim.process("client", ask);
    let rule = sim.rule(|call| match call.call {
        "accept4" => Verdict::Fail(Errno::CONNABORTED),
        _ => Verdict::Pass,
    });
    rule.lift();
    sim.rule(|call| match call.call == "connect" && call.process_name == Some("client") {
        true => Verdict::Delay(Duration::from_millis(3)),
        false => Verdict::Pass,
    });
    sim.always("no accept fails", |now| !now.saw(Errno::CONNABORTED));
    sim.eventually("the delay passed", |now| now.time() >= Duration::from_millis(3));
}

/// The one spins until the other has done its work. Where the one has the higher priority, it is
/// only fair turns that end it.
/// A rule knows what a call is about: the name that it gives, or what its socket is bound to.
#[afunix_sim::test(runs = 20, faults = Faults::None)]
fn a_rule_knows_socket_and_name(sim: &Test) {
    sim.rule(|call| match (call.call, call.socket, call.name) {
        ("connect", Some(_), Some(b"/tmp/echo")) => Verdict::Fail(Errno::PERM),
        ("accept4", Some(_), Some(b"/tmp/echo")) => Verdict::Fail(Errno::MFILE),
        ("read", Some(_), None) => Verdict::Fail(Errno::IO),
        _ => Verdict::Pass,
    });
    sim.process("alone", |sim| {
        let listener = UnixListener::bind(sim, &path()).unwrap();
        let failed = |error: std::io::Error| error.raw_os_error().and_then(Errno::from_raw);
        let connected = UnixStream::connect(sim, &path()).map(drop);
        assert_eq!(failed(connected.unwrap_err()), Some(Errno::PERM));
        assert_eq!(failed(listener.accept().map(drop).unwrap_err()), Some(Errno::MFILE));
        let (mut near, _far) = UnixStream::pair(sim).unwrap();
        assert_eq!(failed(near.read(&mut [0]).unwrap_err()), Some(Errno::IO));
        fs::remove_file(sim, "/tmp/echo").unwrap();
    });
}

#[afunix_sim::test(runs = 6, faults = Faults::None, plan = Plan::Pct { depth: 1 })]
fn what_eventually_holds_is_given_a_fair_end(sim: &Test) {
    sim.process("spins", |sim| while fs::metadata(sim, "/tmp/made").is_err() {});
    sim.process("makes", |sim| fs::create_dir(sim, "/tmp/made"));
    sim.eventually("made", |now| now.started("makes") == 1 && now.alive("makes") == 0);
}

fn exhaustive() -> Settings {
    let plan = Plan::Exhaustive { strict: false };
    Settings { faults: Faults::None, plan, ..Settings::default() }
}

/// What a campaign of this function says when it fails.
#[track_caller]
fn failure(runs: u64, body: fn(&Test)) -> String {
    failure_with(Settings { runs, ..Settings::default() }, body)
}

/// The same, of a campaign of this kind.
#[track_caller]
fn failure_with(settings: Settings, body: fn(&Test)) -> String {
    let name = format!("testing::line-{}", std::panic::Location::caller().line());
    let panic = catch_unwind(AssertUnwindSafe(|| run_test(&name, settings, body)));
    let payload = panic.expect_err("the campaign passes");
    payload.downcast_ref::<String>().expect("a text").clone()
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn what_never_happens_fails_a_campaign() {
    let text = failure(10, |sim| {
        sim.process("server", |sim| serve(sim, 1));
        sim.process("client", ask);
        sim.sometimes("the moon is reached", |_| false);
    });
    says(&text, &["sometimes \"the moon is reached\" was never met in 10 runs"]);
    let text = failure(10, |sim| {
        sim.process("server", |sim| serve(sim, 1));
        sim.process("client", ask);
        sim.eventually("the moon is reached", |_| false);
    });
    says(&text, &["property: \"the moon is reached\" never held, up to the end of the run"]);
}

#[test]
fn a_campaign_without_runs_or_calls_is_no_pass() {
    says(&failure(0, |_| {}), &["0 runs"]);
    says(&failure(10, |_| {}), &["idle: the run made no call"]);
    let text = failure(10, |sim| {
        sim.process("server", |sim| serve(sim, 0));
        sim.process("client", |_| ());
    });
    says(&text, &["check: idle: client ended and had made no call"]);
}

#[test]
fn what_always_holds_is_looked_at_after_each_step() {
    let text = failure(10, |sim| {
        sim.process("server", |sim| serve(sim, 1));
        sim.process("client", ask);
        sim.always("one descriptor is enough", |now| now.open_descriptors("server") <= 1);
    });
    says(
        &text,
        &[
            "property: \"one descriptor is enough\" does not hold after accept4 of server",
            "replay it: AFUNIX_REPLAY=",
        ],
    );
}

#[test]
fn what_is_left_behind_is_found() {
    let leak = failure(10, |sim| {
        sim.process("server", |sim| {
            let (left, _) = UnixStream::pair(sim).expect("a socketpair");
            std::mem::forget(left);
        });
    });
    says(&leak, &["check: descriptor leak: server returned with descriptor 3 open"]);
    let stale = failure(10, |sim| {
        sim.process("server", |sim| drop(UnixListener::bind(sim, &path()).expect("a listener")));
    });
    says(&stale, &["check: stale path: \"/tmp/echo\" was left behind by a socket that is closed"]);
    let lost = failure(10, |sim| {
        sim.process("server", |sim| {
            let (mut left, right) = UnixStream::pair(sim).expect("a socketpair");
            left.write_all(b"unread").expect("room");
            drop(right);
        });
    });
    says(&lost, &["check: lost bytes: server closes descriptor 4 with 6 bytes unread"]);
    let flying = failure(10, |sim| {
        sim.process("server", |sim| {
            let (left, right) = UnixStream::pair(sim).expect("a socketpair");
            let fds = [left.as_fd(), right.as_fd()];
            left.send_message(&afunix::net::Message::new(b"x").fds(&fds)).expect("room");
            right.send_message(&afunix::net::Message::new(b"x").fds(&fds)).expect("room");
        });
        sim.allow(Check::LostBytes);
    });
    says(&flying, &["check: lost in flight: nobody can receive Socket("]);
}

#[test]
fn a_path_that_is_taken_from_another_server_is_found() {
    let replaced = failure(100, |sim| {
        for name in ["one", "other"] {
            sim.process(name, |sim| {
                let _ = fs::remove_file(sim, "/tmp/echo");
                let listener = UnixListener::bind(sim, &path());
                sim.sleep(Duration::from_secs(1));
                drop(listener);
            });
        }
        sim.allow(Check::StalePath);
    });
    says(&replaced, &["check: replaced path: ", " binds \"/tmp/echo\" again, ", " was removed"]);
}

#[afunix_sim::test(runs = 20)]
fn a_server_may_give_itself_another_socket(sim: &Test) {
    sim.process("server", |sim| -> std::io::Result<()> {
        let old = UnixListener::bind(sim, &path())?;
        fs::remove_file(sim, "/tmp/echo")?;
        let new = UnixListener::bind(sim, &path())?;
        drop(old);
        drop(new);
        fs::remove_file(sim, "/tmp/echo")
    });
}

#[test]
fn the_critical_pair_names_the_two_calls() {
    let text = failure(100, |sim| {
        // Asks whether there is a server, and is one if there is none: but so may the other be.
        let start = |sim: &Sim| match UnixStream::connect(sim, &path()) {
            Ok(_) => Ok(()),
            Err(_) => {
                let _ = fs::remove_file(sim, "/tmp/echo");
                let listener = UnixListener::bind(sim, &path()).map_err(|it| it.to_string())?;
                sim.sleep(Duration::from_secs(1));
                drop(listener);
                fs::remove_file(sim, "/tmp/echo").map_err(|it| format!("my path is gone: {it}"))
            }
        };
        sim.process("one", start);
        sim.process("two", start);
        sim.allow(Check::StalePath);
        sim.allow(Check::ReplacedPath);
    });
    says(
        &text,
        &[
            "my path is gone",
            "critical pair: if the second of these calls comes before the first, the run passes",
            "between them, before step",
        ],
    );
    // Each of the two is found in the ladder by the number of its event.
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("event"));
    let pair: Vec<&str> = lines.filter(|line| line.contains("step")).collect();
    assert_eq!(pair.len(), 2, "{text}");
    for line in pair {
        let event = line.split_whitespace().next().expect("a number");
        let call = line.rsplit_once(": ").expect("thread and call").1;
        let row = text.lines().find(|row| row.split_whitespace().next() == Some(event));
        assert!(row.expect("a row of the ladder").contains(call), "{line}:\n{text}");
    }
}
