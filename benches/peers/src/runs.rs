//! Whole runs: 2 threads (tasks, where there are no threads), 5 round trips of one byte.

use std::io::{Read, Write};
use std::net::SocketAddr;

use afunix::net::{UnixListener, UnixStream};
use afunix::{Address, Host};
use afunix_sim::{App, ExploreOptions, Faults, RunOptions, Sim, app, explore};
use shuttle::scheduler::RandomScheduler;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{Row, Side};

const ROUNDS: usize = 5;
/// Runs of a campaign.
const RUNS: u64 = 1000;

pub(crate) fn rows() -> impl Iterator<Item = Row> {
    let row = |ours, peer| Row { name: "a run: 5 round trips".to_owned(), ours, peer };
    let pair = || campaign("socket pair", app(pair));
    let connection = || campaign("listen, connect, accept", app(connection));
    [
        row(pair(), shuttle_channels()),
        row(pair(), madsim_tcp()),
        row(connection(), madsim_tcp()),
        row(pair(), turmoil_tcp()),
        row(connection(), turmoil_tcp()),
    ]
    .into_iter()
}

fn campaign(what: &'static str, app: App) -> Side {
    let mut seed = 0;
    let work = move || {
        seed += 1;
        let run = RunOptions { faults: Faults::None, ..RunOptions::default() };
        let options =
            ExploreOptions { run, seed, runs: RUNS, check_every: 0, ..Default::default() };
        assert!(explore(&app, &options).failure.is_none());
    };
    Side { what, work: Box::new(work), things: RUNS }
}

fn pair(host: &Sim) -> i32 {
    let (near, far) = UnixStream::pair(host).expect("a pair");
    let echo = host.spawn("echo", move || answer(far));
    ask(near);
    i32::from(echo.join().is_err())
}

fn connection(host: &Sim) -> i32 {
    let name = Address::abstract_name("echo").expect("a short name");
    let listener = UnixListener::bind(host, &name).expect("nobody else has the name");
    let echo = host.spawn("echo", move || answer(listener.accept().expect("somebody comes").0));
    ask(UnixStream::connect(host, &name).expect("somebody listens"));
    i32::from(echo.join().is_err())
}

fn ask(mut near: UnixStream<Sim>) {
    for _ in 0..ROUNDS {
        near.write_all(b"x").and_then(|()| near.read_exact(&mut [0])).expect("an echo");
    }
}

fn answer(mut far: UnixStream<Sim>) {
    let mut byte = [0];
    while far.read_exact(&mut byte).is_ok() {
        far.write_all(&byte).expect("the other side reads");
    }
}

fn shuttle_channels() -> Side {
    let mut seed = 0;
    let work = move || {
        seed += 1;
        let scheduler = RandomScheduler::new_from_seed(seed, RUNS as usize);
        shuttle::Runner::new(scheduler, shuttle::Config::new()).run(|| {
            let (near, there) = shuttle::sync::mpsc::channel();
            let (far, back) = shuttle::sync::mpsc::channel();
            let echo = shuttle::thread::spawn(move || {
                while let Ok(byte) = there.recv() {
                    far.send(byte).expect("the other side reads");
                }
            });
            for _ in 0..ROUNDS {
                near.send(b'x').expect("the other side reads");
                back.recv().expect("an echo");
            }
            drop(near);
            echo.join().expect("it does not panic");
        });
    };
    Side { what: "shuttle, two mpsc channels", work: Box::new(work), things: RUNS }
}

fn madsim_tcp() -> Side {
    use madsim::net::{TcpListener, TcpStream};
    let (server, client): (SocketAddr, SocketAddr) =
        (([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 1).into());
    let mut seed = 0;
    let work = move || {
        seed += 1;
        let runtime = madsim::runtime::Runtime::with_seed_and_config(seed, Default::default());
        let far = runtime.create_node().ip(server.ip()).build();
        let near = runtime.create_node().ip(client.ip()).build();
        runtime.block_on(async move {
            let (listens, is_listening) = tokio::sync::oneshot::channel();
            let echo = far.spawn(async move {
                let listener = TcpListener::bind(server).await.expect("an address");
                listens.send(()).expect("somebody waits");
                echo(listener.accept().await.expect("somebody comes").0).await;
            });
            let asking = near.spawn(async move {
                is_listening.await.expect("it listens");
                call(TcpStream::connect(server).await.expect("somebody listens")).await;
            });
            asking.await.expect("it does not panic");
            echo.await.expect("it does not panic");
        });
    };
    Side { what: "madsim, TCP", work: Box::new(work), things: 1 }
}

fn turmoil_tcp() -> Side {
    use turmoil_net::shim::tokio::net::{TcpListener, TcpStream};
    let work = || {
        turmoil_net::fixture::lo(async {
            let listener = TcpListener::bind("127.0.0.1:9000").await.expect("an address");
            let echo = tokio::task::spawn_local(async move {
                echo(listener.accept().await.expect("somebody comes").0).await;
            });
            call(TcpStream::connect("127.0.0.1:9000").await.expect("somebody listens")).await;
            echo.await.expect("it does not panic");
        });
    };
    Side { what: "turmoil-net, TCP", work: Box::new(work), things: 1 }
}

async fn call(mut near: impl AsyncRead + AsyncWrite + Unpin) {
    for _ in 0..ROUNDS {
        near.write_all(b"x").await.expect("the other side reads");
        near.flush().await.expect("the other side reads");
        near.read_exact(&mut [0]).await.expect("an echo");
    }
}

async fn echo(mut far: impl AsyncRead + AsyncWrite + Unpin) {
    let mut byte = [0];
    while far.read_exact(&mut byte).await.is_ok() {
        far.write_all(&byte).await.expect("the other side reads");
        far.flush().await.expect("the other side reads");
    }
}
