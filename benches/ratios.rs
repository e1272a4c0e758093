//! Model, kernel and simulator side by side, as ratios measured in one run.
//!
//! `cargo bench --bench ratios` prints the tables of docs/benchmarks.md. Absolute times are noise
//! on shared machines, so both sides of a row are measured in turn, round by round, in time on the
//! CPU, and what is quoted is the median of the rounds' ratios. (A benchmark library measures one
//! thing after the other; a ratio needs pairs.)
//! `cargo bench --bench ratios -- NAME` measures only the rows whose name contains NAME;
//! with `--repeat COUNT` before NAME the model's side of them is done so often, or so many runs are
//! made, and nothing is measured, for a profiler.

mod support;

use std::hint::black_box;
use std::io::{Read, Write};

use afunix::control::{ControlBuilder, ControlOut};
use afunix::net::{Fd, UnixStream};
use afunix::{
    Backend, Call, Host, NameOut, RawName, RecvFlags, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM,
    Segment, SegmentMut, SendFlags, SocketFlags, Tid,
};
use afunix_kernel_backend::Kernel;
use afunix_sim::{App, Choices, ExploreOptions, Faults, RunOptions, app, explore, run};
use support::measure::ROUNDS;
use support::{
    Stepped, close, compare, fd, machine, pair, receive, receiving, send, sending, socket, spent,
    step,
};

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let repeat = args.first().is_some_and(|arg| arg == "--repeat").then(|| args.remove(0));
    let repeat = repeat.map(|_| args.remove(0).parse().expect("a count after --repeat"));
    let filter = args.pop().unwrap_or_default();
    if let Some(count) = repeat {
        rows(&filter).for_each(|mut row| (0..count).for_each(|_| (row.model)()));
        if RUN.contains(&filter) {
            many(&round_trips(), count);
        }
        return;
    }
    println!("| what | model, ns | kernel, ns | kernel / model |");
    println!("|---|---:|---:|---:|");
    rows(&filter).for_each(Row::measure);
    simulator(&filter);
}

/// What a row measures, on a backend that its descriptors were made on.
type Work = Box<dyn FnMut(&dyn Backend)>;
/// Makes the descriptors of a row.
type Prepare = fn(&dyn Backend) -> Work;

/// One line of the table: the same calls on both sides.
struct Row {
    name: &'static str,
    model: Box<dyn FnMut()>,
    kernel: Box<dyn FnMut()>,
}

impl Row {
    fn new(name: &'static str, work: Prepare) -> Self {
        Row { name, model: bind(Stepped::new(), work), kernel: bind(Kernel, work) }
    }

    /// The model's side by `Machine::step`, without a backend around it.
    fn stepped(name: &'static str, model: Box<dyn FnMut()>, work: Prepare) -> Self {
        Row { name, model, kernel: bind(Kernel, work) }
    }

    fn measure(mut self) {
        let (model, kernel, ratio) = compare(&mut *self.model, &mut *self.kernel);
        println!("| {} | {model:.0} | {kernel:.0} | {ratio:.1} x |", self.name);
    }
}

fn bind<B: Backend + 'static>(backend: B, work: Prepare) -> Box<dyn FnMut()> {
    let mut body = work(&backend);
    Box::new(move || body(&backend))
}

/// The simulator by itself: nothing in the kernel is its like.
fn simulator(filter: &str) {
    println!("\n| what | median |");
    println!("|---|---:|");
    for threads in [2u64, 64] {
        let name = format!("one simulated step, {threads} threads");
        if name.contains(filter) {
            println!("| {name} | {:.0} ns |", step_nanoseconds(threads));
        }
    }
    if RUN.contains(filter) {
        println!("| {RUN} | {:.0} a second |", 1e9 / run_nanoseconds());
    }
}

/// The row of whole runs.
const RUN: &str = "a simulated run: 2 threads, 5 round trips";

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Nanoseconds a step, each with a choice of thread and a call that does nothing (getpid).
fn step_nanoseconds(threads: u64) -> f64 {
    const STEPS: u64 = 200_000;
    let app = app(move |host| {
        let spin = |host: &afunix_sim::Sim, steps| (0..steps).for_each(|_| _ = host.pid());
        let others: Vec<_> = (1..threads)
            .map(|_| {
                let host = *host;
                host.spawn("other", move || spin(&host, STEPS / threads))
            })
            .collect();
        spin(host, STEPS / threads);
        i32::from(others.into_iter().any(|other| other.join().is_err()))
    });
    median(
        (0..ROUNDS as u64)
            .map(|seed| {
                let start = spent();
                let report = run(&app, &quiet(), Choices::Seed(seed));
                let time = (spent() - start).as_nanos() as f64;
                assert!(report.passed());
                time / report.steps as f64
            })
            .collect(),
    )
}

fn run_nanoseconds() -> f64 {
    const RUNS: u64 = 20_000;
    let app = round_trips();
    let nanoseconds = |_| {
        let start = spent();
        many(&app, RUNS);
        (spent() - start).as_nanos() as f64 / RUNS as f64
    };
    median((0..5).map(nanoseconds).collect())
}

fn many(app: &App, runs: u64) {
    let options = ExploreOptions { run: quiet(), runs, check_every: 0, ..Default::default() };
    assert!(explore(app, &options).failure.is_none());
}

fn round_trips() -> App {
    app(|host| {
        let (mut left, mut right) = UnixStream::pair(host).expect("a pair");
        let echo = host.spawn("echo", move || {
            let mut byte = [0];
            while right.read_exact(&mut byte).is_ok() {
                right.write_all(&byte).expect("the other side reads");
            }
        });
        let mut byte = [0];
        for _ in 0..5 {
            left.write_all(b"x").and_then(|()| left.read_exact(&mut byte)).expect("an echo");
        }
        drop(left);
        i32::from(echo.join().is_err())
    })
}

fn quiet() -> RunOptions {
    RunOptions { faults: Faults::None, ..RunOptions::default() }
}

/// The rows whose name contains `filter`.
fn rows(filter: &str) -> impl Iterator<Item = Row> {
    let rows = vec![
        Row::stepped("stream, send + recv of 1 byte, Machine::step", stepped(), |backend| {
            transfer(backend, SOCK_STREAM, 1)
        }),
        Row::new("stream, send + recv of 1 byte", |backend| transfer(backend, SOCK_STREAM, 1)),
        Row::new("stream ping-pong: 1 byte there and back", ping_pong),
        Row::new("stream, send + recv of 64 KiB", |backend| {
            transfer(backend, SOCK_STREAM, 64 * 1024)
        }),
        Row::new("datagram, send + recv of 64 bytes", |backend| transfer(backend, SOCK_DGRAM, 64)),
        Row::new("seqpacket, send + recv of 64 bytes", |backend| {
            transfer(backend, SOCK_SEQPACKET, 64)
        }),
        Row::new("one descriptor by SCM_RIGHTS: send, receive, close", pass_descriptor),
        Row::new("socketpair + 2 close", |_| {
            Box::new(|backend| {
                let fds = pair(backend, SOCK_STREAM);
                fds.into_iter().for_each(|fd| close(backend, fd));
            })
        }),
        Row::new("socket, connect, accept, 2 close", connections),
    ];
    rows.into_iter().filter(move |row| row.name.contains(filter))
}

fn transfer(backend: &dyn Backend, kind: i32, len: usize) -> Work {
    let [left, right] = pair(backend, kind);
    let data = vec![7; len];
    let mut buffer = vec![0; len];
    Box::new(move |backend| {
        send(backend, left, &data);
        receive(backend, right, &mut buffer);
        black_box(&buffer);
    })
}

/// What `transfer` of 1 byte does, without a backend.
fn stepped() -> Box<dyn FnMut()> {
    let mut machine = machine();
    let mut fds = [-1; 2];
    let (domain, kind, protocol) = (afunix::AF_UNIX, SOCK_STREAM, 0);
    let mut call = Call::Socketpair { domain, kind, protocol, fds: &mut fds };
    step(&mut machine, Tid(1), &mut call).unwrap();
    let (data, mut buffer) = ([7], [0]);
    Box::new(move || {
        assert_eq!(step(&mut machine, Tid(1), &mut sending(fds[0], &data)), Ok(1));
        let mut name = NameOut::nothing();
        let mut call = receiving(fds[1], &mut buffer, &mut name);
        assert_eq!(step(&mut machine, Tid(1), &mut call), Ok(1));
        black_box(&buffer);
    })
}

fn ping_pong(backend: &dyn Backend) -> Work {
    let [left, right] = pair(backend, SOCK_STREAM);
    let mut byte = [7];
    Box::new(move |backend| {
        send(backend, left, &byte);
        receive(backend, right, &mut byte);
        send(backend, right, &byte);
        receive(backend, left, &mut byte);
    })
}

fn pass_descriptor(backend: &dyn Backend) -> Work {
    let [left, right] = pair(backend, SOCK_STREAM);
    Box::new(move |backend| {
        let control = ControlBuilder::new().rights(&[Fd::STDIN]);
        let sent = backend.call(&mut Call::Sendmsg {
            fd: fd(left),
            name: RawName::NONE,
            data: &[Segment::Bytes(b"x")],
            control: control.as_raw(),
            flags: SendFlags::empty(),
            progress: 0,
        });
        assert_eq!(sent, Ok(1));
        let (mut byte, mut room) = ([0], [0; 24]);
        let mut control = ControlOut::new(&mut room);
        let (mut name, mut flags) = (NameOut::nothing(), RecvFlags::empty());
        let received = backend.call(&mut Call::Recvmsg {
            fd: fd(right),
            name: &mut name,
            data: &mut [SegmentMut::Bytes(&mut byte)],
            control: &mut control,
            flags: RecvFlags::empty(),
            flags_out: &mut flags,
            progress: 0,
        });
        assert_eq!(received, Ok(1));
        let number = control.messages().flat_map(|message| message.numbers()).next();
        close(backend, number.expect("a descriptor came"));
    })
}

fn connections(backend: &dyn Backend) -> Work {
    let name = afunix::Address::abstract_name(format!("afunix-bench-{}", std::process::id()));
    let name = name.expect("a short name").to_bytes();
    let listener = socket(backend);
    backend.call(&mut Call::Bind { fd: fd(listener), name: RawName::Bytes(&name) }).unwrap();
    backend.call(&mut Call::Listen { fd: fd(listener), backlog: 8 }).unwrap();
    Box::new(move |backend| {
        let client = socket(backend);
        backend.call(&mut Call::Connect { fd: fd(client), name: RawName::Bytes(&name) }).unwrap();
        let mut from = NameOut::nothing();
        let flags = SocketFlags::empty();
        let accepted =
            backend.call(&mut Call::Accept4 { fd: fd(listener), name: &mut from, flags }).unwrap();
        close(backend, accepted as i32);
        close(backend, client);
    })
}
