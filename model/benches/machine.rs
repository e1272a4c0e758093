//! The machine alone: calls through `Machine::step`, with nothing around it. The comparison with
//! the kernel is made by the tests' own benchmark.

#![expect(unsafe_code, reason = "Fd::borrow_raw: the numbers are those of a simulated process")]

use std::time::Duration;

use afunix::control::{ControlBuilder, ControlOut};
use afunix::net::Fd;
use afunix::{
    AF_UNIX, Address, Call, NameOut, RawName, RecvFlags, SOCK_DGRAM, SOCK_STREAM, Segment,
    SegmentMut, SendFlags, SocketFlags, Tid,
};
use afunix_model::{Machine, Profile, Resume, Step};
use divan::Bencher;

fn main() {
    divan::main();
}

fn machine() -> Machine {
    let mut machine = Machine::new(Profile::linux_6_18());
    machine.track(false);
    machine
}

fn fd(number: i32) -> Fd<'static> {
    // SAFETY: no real descriptor is meant.
    unsafe { Fd::borrow_raw(number) }
}

#[inline]
fn step(machine: &mut Machine, call: &mut Call<'_, '_>) -> usize {
    let step = machine.step(Duration::ZERO, Tid(1), call, Resume::First);
    while machine.next_effect().is_some() {}
    match step {
        Step::Done(Ok(value)) => value,
        other => panic!("{}: {other:?}", call.name()),
    }
}

fn pair(machine: &mut Machine, kind: i32) -> [Fd<'static>; 2] {
    let mut fds = [0; 2];
    step(machine, &mut Call::Socketpair { domain: AF_UNIX, kind, protocol: 0, fds: &mut fds });
    fds.map(fd)
}

fn send_and_receive(bencher: Bencher<'_, '_>, kind: i32, size: usize, track: bool) {
    let mut machine = machine();
    machine.track(track);
    let [a, b] = pair(&mut machine, kind);
    let (bytes, mut buffer) = (vec![7; size], vec![0; size]);
    bencher.bench_local(|| {
        let (data, flags, name) = (Segment::Bytes(&bytes), SendFlags::empty(), RawName::NONE);
        step(&mut machine, &mut Call::Sendto { fd: a, data, flags, name, progress: 0 });
        let data = SegmentMut::Bytes(&mut buffer);
        let (flags, mut name) = (RecvFlags::empty(), NameOut::nothing());
        step(&mut machine, &mut Call::Recvfrom { fd: b, data, flags, name: &mut name, progress: 0 })
    });
}

#[divan::bench]
fn stream_1_byte(bencher: Bencher<'_, '_>) {
    send_and_receive(bencher, SOCK_STREAM, 1, false);
}

#[divan::bench]
fn stream_1_byte_with_footprint(bencher: Bencher<'_, '_>) {
    send_and_receive(bencher, SOCK_STREAM, 1, true);
}

#[divan::bench]
fn stream_1_byte_write_read(bencher: Bencher<'_, '_>) {
    let mut machine = machine();
    let [a, b] = pair(&mut machine, SOCK_STREAM);
    let mut buffer = [0; 1];
    bencher.bench_local(|| {
        step(&mut machine, &mut Call::Write { fd: a, data: Segment::Bytes(b"x"), progress: 0 });
        let data = SegmentMut::Bytes(&mut buffer);
        step(&mut machine, &mut Call::Read { fd: b, data, progress: 0 })
    });
}

#[divan::bench]
fn stream_64_kib(bencher: Bencher<'_, '_>) {
    send_and_receive(bencher, SOCK_STREAM, 1 << 16, false);
}

#[divan::bench]
fn two_copies_of_64_kib(bencher: Bencher<'_, '_>) {
    let (from, mut through, mut to) = (vec![7u8; 1 << 16], vec![0; 1 << 16], vec![0; 1 << 16]);
    bencher.bench_local(|| {
        divan::black_box(&mut through).copy_from_slice(&from);
        divan::black_box(&mut to).copy_from_slice(&through);
    });
}

#[divan::bench]
fn datagram_64_bytes(bencher: Bencher<'_, '_>) {
    send_and_receive(bencher, SOCK_DGRAM, 64, false);
}

#[divan::bench]
fn one_descriptor(bencher: Bencher<'_, '_>) {
    let mut machine = machine();
    let [a, b] = pair(&mut machine, SOCK_STREAM);
    let control = ControlBuilder::new().rights(&[fd(0)]);
    let (mut byte, mut space) = ([0; 1], [0; 64]);
    bencher.bench_local(|| {
        step(
            &mut machine,
            &mut Call::Sendmsg {
                fd: a,
                name: RawName::NONE,
                data: &[Segment::Bytes(b"x")],
                control: control.as_raw(),
                flags: SendFlags::empty(),
                progress: 0,
            },
        );
        let mut control_out = ControlOut::new(&mut space);
        step(
            &mut machine,
            &mut Call::Recvmsg {
                fd: b,
                name: &mut NameOut::nothing(),
                data: &mut [SegmentMut::Bytes(&mut byte)],
                control: &mut control_out,
                flags: RecvFlags::empty(),
                flags_out: &mut RecvFlags::empty(),
                progress: 0,
            },
        );
        let received = control_out.messages().flat_map(|message| message.numbers()).next();
        step(&mut machine, &mut Call::Close { fd: fd(received.expect("a descriptor")) })
    });
}

#[divan::bench]
fn socketpair_and_close(bencher: Bencher<'_, '_>) {
    let mut machine = machine();
    bencher.bench_local(|| {
        for end in pair(&mut machine, SOCK_STREAM) {
            step(&mut machine, &mut Call::Close { fd: end });
        }
    });
}

#[divan::bench]
fn connect_accept_close(bencher: Bencher<'_, '_>) {
    let mut machine = machine();
    let (domain, kind, protocol) = (AF_UNIX, SOCK_STREAM, 0);
    let listener = fd(step(&mut machine, &mut Call::Socket { domain, kind, protocol }) as i32);
    let address = Address::path("/tmp/s").expect("a path").to_bytes();
    let name = RawName::Bytes(&address);
    step(&mut machine, &mut Call::Bind { fd: listener, name });
    step(&mut machine, &mut Call::Listen { fd: listener, backlog: 10 });
    bencher.bench_local(|| {
        let client = fd(step(&mut machine, &mut Call::Socket { domain, kind, protocol }) as i32);
        step(&mut machine, &mut Call::Connect { fd: client, name });
        let (mut name, flags) = (NameOut::nothing(), SocketFlags::empty());
        let mut accept = Call::Accept4 { fd: listener, name: &mut name, flags };
        let accepted = fd(step(&mut machine, &mut accept) as i32);
        step(&mut machine, &mut Call::Close { fd: client });
        step(&mut machine, &mut Call::Close { fd: accepted })
    });
}
