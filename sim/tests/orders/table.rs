//! The table of reference counts.

use afunix::Host;
use afunix::net::{UnixDatagram, UnixStream};
use afunix_sim::{App, ExploreOptions, Faults, Outcome, Plan, RunOptions, Searched, app, exhaust};
use std::io::{Read, Write};

const REDUCED: Plan = Plan::Exhaustive { strict: false };
fn none() -> RunOptions {
    RunOptions { faults: Faults::None, ..RunOptions::default() }
}

fn options(plan: Plan) -> ExploreOptions {
    ExploreOptions { plan, run: none(), runs: u64::MAX, ..ExploreOptions::default() }
}

/// Makes every run that differs; each must pass.
fn all_pass(app: &App, plan: Plan) -> Searched {
    let searched = exhaust(app, &options(plan), |outcome| assert_eq!(*outcome, Outcome::Passed));
    assert!(searched.complete, "{searched:?}");
    searched
}

/// So many threads that each send so many datagrams to one socket: all of them conflict.
fn senders(threads: u8, calls: u8) -> App {
    app(move |host| {
        let (near, far) = UnixDatagram::pair(host).unwrap();
        let near = std::sync::Arc::new(near);
        let all: Vec<_> = (0..threads)
            .map(|thread| {
                let near = near.clone();
                host.spawn("sender", move || {
                    for call in 0..calls {
                        near.send(&[thread, call]).unwrap();
                    }
                })
            })
            .collect();
        all.into_iter().for_each(|thread| thread.join().unwrap());
        drop(far);
        0
    })
}

/// So many pairs of threads, each of which has a connection of its own, and so many round trips.
fn pairs(pairs: u8, rounds: u8) -> App {
    app(move |host| {
        let mut all = Vec::new();
        for _ in 0..pairs {
            let (mut near, mut far) = UnixStream::pair(host).unwrap();
            all.push(host.spawn("client", move || {
                for round in 0..rounds {
                    near.write_all(&[round]).unwrap();
                    near.read_exact(&mut [0]).unwrap();
                }
                near
            }));
            all.push(host.spawn("server", move || {
                for round in 0..rounds {
                    far.read_exact(&mut [0]).unwrap();
                    far.write_all(&[round]).unwrap();
                }
                far
            }));
        }
        // Closed when both have ended: an end that closes first would be another order.
        let ends: Vec<_> = all.into_iter().map(|thread| thread.join().unwrap()).collect();
        drop(ends);
        0
    })
}

/// The table of reference counts: what other tools need is in docs/benchmarks.md.
#[test]
fn there_are_as_many_runs_as_inequivalent_orders() {
    let table = [
        ("2 threads x 1 conflicting call", senders(2, 1), 2),
        ("2 x 3", senders(2, 3), 20),
        ("3 x 2", senders(3, 2), 90),
        ("3 x 3", senders(3, 3), 1680),
        ("2 independent pairs, 1 round trip each", pairs(2, 1), 1),
    ];
    for (name, app, optimal) in table {
        let searched = all_pass(&app, REDUCED);
        println!("{name}: {searched:?}");
        assert_eq!(searched.executions, optimal, "{name}: {searched:?}");
        assert_eq!(searched.asleep + searched.impossible, 0, "{name}: {searched:?}");
    }
}
