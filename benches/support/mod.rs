//! What the benchmarks share: sockets by number, the model as a backend, and measuring in pairs.

pub(crate) mod measure;

use std::cell::RefCell;
use std::time::Duration;

use afunix::net::Fd;
use afunix::{
    AF_UNIX, Backend, Call, Errno, NameOut, RawName, RecvFlags, Segment, SegmentMut, SendFlags, Tid,
};
use afunix_model::Machine;
use afunix_model::machine::{Resume, Step};
use afunix_model::profile::Profile;
pub(crate) use measure::{compare, spent};

/// A machine of which nobody wants to know more than the results.
pub(crate) fn machine() -> Machine {
    let mut machine = Machine::new(Profile::default());
    machine.track(false);
    machine
}

/// One call, with nothing between it and the machine.
#[inline]
pub(crate) fn step(
    machine: &mut Machine,
    tid: Tid,
    call: &mut Call<'_, '_>,
) -> Result<usize, Errno> {
    let step = machine.step(Duration::ZERO, tid, call, Resume::First);
    while machine.next_effect().is_some() {}
    match step {
        Step::Done(result) => result,
        Step::Blocked { .. } | Step::Restart => panic!("no call of these benchmarks waits"),
    }
}

/// The machine without anything that waits: `Machine::step` behind `Backend`.
pub(crate) struct Stepped(RefCell<Machine>);

impl Stepped {
    pub(crate) fn new() -> Self {
        Stepped(RefCell::new(machine()))
    }
}

impl Backend for Stepped {
    fn call(&self, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        step(&mut self.0.borrow_mut(), Tid(1), call)
    }
}

pub(crate) fn socket(backend: &dyn Backend) -> i32 {
    let mut call = Call::Socket { domain: AF_UNIX, kind: afunix::SOCK_STREAM, protocol: 0 };
    backend.call(&mut call).unwrap() as i32
}

pub(crate) fn pair(backend: &dyn Backend, kind: i32) -> [i32; 2] {
    let mut fds = [-1; 2];
    let mut call = Call::Socketpair { domain: AF_UNIX, kind, protocol: 0, fds: &mut fds };
    backend.call(&mut call).unwrap();
    fds
}

pub(crate) fn send(backend: &dyn Backend, number: i32, data: &[u8]) {
    assert_eq!(backend.call(&mut sending(number, data)), Ok(data.len()));
}

/// A send without a name.
#[inline]
pub(crate) fn sending(number: i32, data: &[u8]) -> Call<'_, '_> {
    let (data, flags, name) = (Segment::Bytes(data), SendFlags::empty(), RawName::NONE);
    Call::Sendto { fd: fd(number), data, flags, name, progress: 0 }
}

pub(crate) fn receive(backend: &dyn Backend, number: i32, buffer: &mut [u8]) {
    let mut name = NameOut::nothing();
    let len = buffer.len();
    assert_eq!(backend.call(&mut receiving(number, buffer, &mut name)), Ok(len));
}

/// A receive that asks for no name.
#[inline]
pub(crate) fn receiving<'a, 'b>(
    number: i32,
    buffer: &'b mut [u8],
    name: &'a mut NameOut,
) -> Call<'a, 'b> {
    let (data, flags) = (SegmentMut::Bytes(buffer), RecvFlags::empty());
    Call::Recvfrom { fd: fd(number), data, flags, name, progress: 0 }
}

pub(crate) fn close(backend: &dyn Backend, number: i32) {
    backend.call(&mut Call::Close { fd: fd(number) }).unwrap();
}

/// A number that a call of this program has returned, and that only its row uses.
#[expect(unsafe_code, reason = "the rows speak to the backends in numbers, as the kernel does")]
pub(crate) fn fd(number: i32) -> Fd<'static> {
    // SAFETY: the number came from socket, socketpair, accept4 or SCM_RIGHTS in the same row, which
    // closes it itself and uses it no more.
    unsafe { Fd::borrow_raw(number) }
}
