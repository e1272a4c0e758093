//! Model, kernel and simulator side by side, as ratios measured in one run.
//!
//! `cargo bench --bench ratios` prints the table of docs/benchmarks.md. Absolute times are noise on
//! shared machines, so both sides of a row are measured in turn, round by round, and what is quoted
//! is the median of the rounds' ratios. (A benchmark library measures one thing after the other; a
//! ratio needs pairs.)
//! `cargo bench --bench ratios -- NAME` measures only the rows whose name contains NAME.

use std::hint::black_box;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use afunix::control::{ControlBuilder, ControlOut};
use afunix::net::{Fd, UnixStream};
use afunix::{
    AF_UNIX, Backend, Call, Host, NameOut, RawName, RecvFlags, SOCK_DGRAM, SOCK_SEQPACKET,
    SOCK_STREAM, Segment, SegmentMut, SendFlags, SocketFlags, Tid,
};
use afunix_kernel_backend::Kernel;
use afunix_model::Machine;
use afunix_model::machine::{Resume, Step};
use afunix_model::profile::Profile;
use afunix_sim::{Choices, ExploreOptions, Faults, RunOptions, app, explore, run};

/// Rounds of a row; their median is quoted.
const ROUNDS: usize = 15;
/// How long one side of a round is measured.
const ROUND: Duration = Duration::from_millis(20);

fn main() {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    println!("| what | model, ns | kernel, ns | kernel / model |");
    println!("|---|---:|---:|---:|");
    for row in rows() {
        if row.name.contains(&filter) {
            row.measure();
        }
    }
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

    fn measure(mut self) {
        let (model, kernel, ratio) = compare(&mut *self.model, &mut *self.kernel);
        println!("| {} | {model:.0} | {kernel:.0} | {ratio:.1} x |", self.name);
    }
}

fn bind<B: Backend + 'static>(backend: B, work: Prepare) -> Box<dyn FnMut()> {
    let mut body = work(&backend);
    Box::new(move || body(&backend))
}

/// Medians of nanoseconds a call of each side, and of the ratio second / first.
fn compare(first: &mut dyn FnMut(), second: &mut dyn FnMut()) -> (f64, f64, f64) {
    let (count_first, count_second) = (calibrate(first), calibrate(second));
    let mut rounds: Vec<(f64, f64)> = (0..ROUNDS)
        .map(|_| (nanoseconds(first, count_first), nanoseconds(second, count_second)))
        .collect();
    let mut median = |of: fn(&(f64, f64)) -> f64| {
        rounds.sort_by(|left, right| of(left).total_cmp(&of(right)));
        of(&rounds[ROUNDS / 2])
    };
    (median(|r| r.0), median(|r| r.1), median(|r| r.1 / r.0))
}

/// How many calls fill a round.
fn calibrate(work: &mut dyn FnMut()) -> u64 {
    let mut count = 1;
    loop {
        let time = nanoseconds(work, count) * count as f64;
        if time > ROUND.as_nanos() as f64 / 4.0 {
            return ((count as f64 * ROUND.as_nanos() as f64 / time) as u64).max(1);
        }
        count *= 4;
    }
}

fn nanoseconds(work: &mut dyn FnMut(), count: u64) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        work();
    }
    start.elapsed().as_nanos() as f64 / count as f64
}

/// The machine without anything that waits: `Machine::step` behind `Backend`.
struct Stepped(std::cell::RefCell<Machine>);

impl Stepped {
    fn new() -> Self {
        let mut machine = Machine::new(Profile::default());
        machine.track(false);
        Stepped(std::cell::RefCell::new(machine))
    }
}

impl Backend for Stepped {
    fn call(&self, call: &mut Call<'_, '_>) -> Result<usize, afunix::Errno> {
        let mut machine = self.0.borrow_mut();
        let step = machine.step(Duration::ZERO, Tid(1), call, Resume::First);
        while machine.next_effect().is_some() {}
        match step {
            Step::Done(result) => result,
            Step::Blocked { .. } | Step::Restart => panic!("no call of these benchmarks waits"),
        }
    }
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
    let name = "a simulated run: 2 threads, 5 round trips";
    if name.contains(filter) {
        println!("| {name} | {:.0} a second |", 1e9 / run_nanoseconds());
    }
}

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
                let start = Instant::now();
                let report = run(&app, &quiet(), Choices::Seed(seed));
                let time = start.elapsed().as_nanos() as f64;
                assert!(report.passed());
                time / report.steps as f64
            })
            .collect(),
    )
}

fn run_nanoseconds() -> f64 {
    const RUNS: u64 = 20_000;
    let app = app(|host| {
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
    });
    let options = ExploreOptions { run: quiet(), runs: RUNS, check_every: 0, ..Default::default() };
    median(
        (0..3)
            .map(|_| {
                let start = Instant::now();
                assert!(explore(&app, &options).failure.is_none());
                start.elapsed().as_nanos() as f64 / RUNS as f64
            })
            .collect(),
    )
}

fn quiet() -> RunOptions {
    RunOptions { faults: Faults::None, ..RunOptions::default() }
}

fn rows() -> Vec<Row> {
    vec![
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
    ]
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

fn socket(backend: &dyn Backend) -> i32 {
    let mut call = Call::Socket { domain: AF_UNIX, kind: SOCK_STREAM, protocol: 0 };
    backend.call(&mut call).unwrap() as i32
}

fn pair(backend: &dyn Backend, kind: i32) -> [i32; 2] {
    let mut fds = [-1; 2];
    let mut call = Call::Socketpair { domain: AF_UNIX, kind, protocol: 0, fds: &mut fds };
    backend.call(&mut call).unwrap();
    fds
}

fn send(backend: &dyn Backend, number: i32, data: &[u8]) {
    let sent = backend.call(&mut Call::Sendto {
        fd: fd(number),
        data: Segment::Bytes(data),
        flags: SendFlags::empty(),
        name: RawName::NONE,
        progress: 0,
    });
    assert_eq!(sent, Ok(data.len()));
}

fn receive(backend: &dyn Backend, number: i32, buffer: &mut [u8]) {
    let mut name = NameOut::nothing();
    let len = buffer.len();
    let received = backend.call(&mut Call::Recvfrom {
        fd: fd(number),
        data: SegmentMut::Bytes(buffer),
        flags: RecvFlags::empty(),
        name: &mut name,
        progress: 0,
    });
    assert_eq!(received, Ok(len));
}

fn close(backend: &dyn Backend, number: i32) {
    backend.call(&mut Call::Close { fd: fd(number) }).unwrap();
}

/// A number that a call of this program has returned, and that only its row uses.
#[expect(unsafe_code, reason = "the rows speak to the backends in numbers, as the kernel does")]
fn fd(number: i32) -> Fd<'static> {
    // SAFETY: the number came from socket, socketpair, accept4 or SCM_RIGHTS in the same row, which
    // closes it itself and uses it no more.
    unsafe { Fd::borrow_raw(number) }
}
