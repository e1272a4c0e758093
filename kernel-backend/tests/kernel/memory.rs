//! Malformed calls reach the kernel as they are: memory that faults, null pointers, negative
//! lengths.

use afunix::call::OptionOut;
use afunix::control::{ControlBuilder, ControlOut, RawControl};
use afunix::net::{AsSocket, Fd};
use afunix::options::{SO_TYPE, SOL_SOCKET};
use afunix::{
    Address, Backend, Call, Errno, NameOut, NameWant, RawName, RecvFlags, Segment, SegmentMut,
    SendFlags, SocketFlags,
};
use afunix_kernel_backend::Kernel;
use afunix_kernel_backend::net::{UnixDatagram, UnixListener, UnixStream};

use crate::{Case, any};

pub(crate) const CASES: &[Case] = &[
    any("faulting_data", faulting_data),
    any("faulting_and_null_names", faulting_and_null_names),
    any("lengths_of_names", lengths_of_names),
    any("faulting_control_data", faulting_control_data),
    any("socketpair_that_fails_late_wrote_numbers", socketpair_that_fails_late_wrote_numbers),
    any("lengths_of_options", lengths_of_options),
    any("more_segments_than_fit_on_the_stack", more_segments_than_fit_on_the_stack),
];

fn call(mut call: Call<'_, '_>) -> Result<usize, Errno> {
    Kernel.call(&mut call)
}

fn faulting_data() {
    let (left, right) = UnixStream::pair(&Kernel).unwrap();
    let (fd, none) = (left.as_fd(), RawName::NONE);
    for len in [1, 4096, 1 << 30] {
        let data = Segment::Fault(len);
        assert_eq!(call(Call::Write { fd, data, progress: 0 }), Err(Errno::FAULT));
        let flags = SendFlags::empty();
        let sendto = Call::Sendto { fd, data, flags, name: none, progress: 0 };
        assert_eq!(call(sendto), Err(Errno::FAULT));
    }
    let data = &[Segment::Bytes(b"ab"), Segment::Fault(2)];
    assert_eq!(call(Call::Writev { fd, data, progress: 0 }), Err(Errno::FAULT));
    let data = Segment::Bytes(b"abcd");
    assert_eq!(call(Call::Write { fd, data, progress: 0 }), Ok(4));

    // SRECV 12: what could not be copied is not consumed.
    let fd = right.as_fd();
    let data = SegmentMut::Fault(4);
    assert_eq!(call(Call::Read { fd, data, progress: 0 }), Err(Errno::FAULT));
    let mut bytes = [0; 2];
    let data = &mut [SegmentMut::Bytes(&mut bytes), SegmentMut::Fault(2)];
    assert_eq!(call(Call::Readv { fd, data, progress: 0 }), Err(Errno::FAULT));
    let mut bytes = [0; 8];
    let data = SegmentMut::Bytes(&mut bytes);
    assert_eq!(call(Call::Read { fd, data, progress: 0 }), Ok(4));
    assert_eq!(&bytes[..4], b"abcd");
}

fn faulting_and_null_names() {
    let socket = UnixDatagram::unbound(&Kernel).unwrap();
    let fd = socket.as_fd();
    for name in [RawName::Fault { len: 10 }, RawName::Null { len: 10 }] {
        assert_eq!(call(Call::Bind { fd, name }), Err(Errno::FAULT));
        assert_eq!(call(Call::Connect { fd, name }), Err(Errno::FAULT));
    }
    let mut name = NameOut::with(NameWant::Fault { len: 10 });
    assert_eq!(call(Call::Getsockname { fd, name: &mut name }), Err(Errno::FAULT));
    let mut name = NameOut::with(NameWant::NullLength);
    assert_eq!(call(Call::Getsockname { fd, name: &mut name }), Err(Errno::FAULT));
    let mut name = NameOut::nothing();
    assert_eq!(call(Call::Getsockname { fd, name: &mut name }), Err(Errno::FAULT));
    assert_eq!(name.reported, None);
}

fn lengths_of_names() {
    let address = Address::abstract_name("afunix-kernel-lengths").unwrap();
    let listener = UnixListener::bind(&Kernel, &address).unwrap();
    let fd = listener.as_fd();
    // ADDR 9: as much as fits is written, the whole length is reported.
    let mut name = NameOut::with(NameWant::Buffer { len: 5 });
    assert_eq!(call(Call::Getsockname { fd, name: &mut name }), Ok(0));
    assert_eq!((name.written(), name.reported), (&b"\x01\0\0af"[..], Some(24)));
    let mut name = NameOut::with(NameWant::Buffer { len: -1 });
    assert_eq!(call(Call::Getsockname { fd, name: &mut name }), Err(Errno::INVAL));
    assert_eq!(name.reported, None);
    assert_eq!(call(Call::Connect { fd, name: RawName::Null { len: -1 } }), Err(Errno::INVAL));
    let long = [1u8; 200];
    assert_eq!(call(Call::Connect { fd, name: RawName::Bytes(&long) }), Err(Errno::INVAL));

    // ADDR 9: the connection is gone though its name could not be written.
    let _client = UnixStream::connect(&Kernel, &address).unwrap();
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    listener.set_nonblocking(true).unwrap();
    let mut name = NameOut::with(NameWant::Fault { len: 10 });
    assert_eq!(call(Call::Accept4 { fd, name: &mut name, flags }), Err(Errno::FAULT));
    let mut name = NameOut::nothing();
    assert_eq!(call(Call::Accept4 { fd, name: &mut name, flags }), Err(Errno::AGAIN));
}

fn recvmsg<'b>(
    fd: Fd<'_>,
    bytes: &'b mut [u8],
    control: &mut ControlOut<'b>,
) -> Result<(usize, RecvFlags), Errno> {
    let mut flags_out = RecvFlags::empty();
    let received = call(Call::Recvmsg {
        fd,
        name: &mut NameOut::nothing(),
        data: &mut [SegmentMut::Bytes(bytes)],
        control,
        flags: RecvFlags::empty(),
        flags_out: &mut flags_out,
        progress: 0,
    })?;
    Ok((received, flags_out))
}

fn faulting_control_data() {
    let (left, right) = UnixStream::pair(&Kernel).unwrap();
    let send = |control| {
        let (fd, data, flags) = (left.as_fd(), &[Segment::Bytes(b"x")], SendFlags::empty());
        call(Call::Sendmsg { fd, name: RawName::NONE, data, control, flags, progress: 0 })
    };
    // CMSG 7.
    assert_eq!(send(RawControl::fault(24)), Err(Errno::FAULT));
    assert_eq!(send(RawControl::NONE), Ok(1));
    // RCMSG 9: no error on the way out. Of lost descriptors CTRUNC tells, of lost credentials
    // nothing.
    right.set_pass_cred(true).unwrap();
    let mut bytes = [0; 8];
    let mut control = ControlOut::fault(64);
    assert_eq!(recvmsg(right.as_fd(), &mut bytes, &mut control), Ok((1, RecvFlags::empty())));
    assert_eq!(control.len, 0);
    assert_eq!(send(ControlBuilder::new().rights(&[Fd::STDIN]).as_raw()), Ok(1));
    right.set_pass_cred(false).unwrap();
    let mut bytes = [0; 8];
    let mut control = ControlOut::fault(64);
    assert_eq!(recvmsg(right.as_fd(), &mut bytes, &mut control), Ok((1, RecvFlags::CTRUNC)));
    assert_eq!(control.len, 0);
    // SRECV 13: an error leaves the header alone.
    right.set_nonblocking(true).unwrap();
    let (mut bytes, mut room) = ([0; 8], [0; 64]);
    let mut control = ControlOut::new(&mut room);
    assert_eq!(recvmsg(right.as_fd(), &mut bytes, &mut control), Err(Errno::AGAIN));
    assert_eq!(control.len, 0);
}

fn socketpair_that_fails_late_wrote_numbers() {
    // CREATE 5.
    let mut fds = [-1; 2];
    let kind = afunix::SOCK_STREAM;
    let result = call(Call::Socketpair { domain: 1, kind, protocol: 7, fds: &mut fds });
    assert_eq!(result, Err(Errno::PROTONOSUPPORT));
    assert!(fds[0] >= 3 && fds[1] == fds[0] + 1, "{fds:?}");
}

fn lengths_of_options() {
    let (left, _right) = UnixStream::pair(&Kernel).unwrap();
    let get = |len: i32| {
        let mut bytes = [9; 8];
        let mut value = OptionOut { buffer: &mut bytes, len };
        let (fd, level, option) = (left.as_fd(), SOL_SOCKET, SO_TYPE);
        let result = call(Call::Getsockopt { fd, level, option, value: &mut value });
        (result, value.len, bytes)
    };
    assert_eq!(get(8), (Ok(0), 4, [1, 0, 0, 0, 9, 9, 9, 9]));
    assert_eq!(get(1), (Ok(0), 1, [1, 9, 9, 9, 9, 9, 9, 9]));
    assert_eq!(get(-1), (Err(Errno::INVAL), -1, [9; 8]));
    assert_eq!(get(1000).1, 4, "never beyond the buffer");
}

fn more_segments_than_fit_on_the_stack() {
    let (left, right) = UnixDatagram::pair(&Kernel).unwrap();
    let data: Vec<Segment<'_>> = (0..1024).map(|_| Segment::Bytes(b"x")).collect();
    let send = |data: &[Segment<'_>]| {
        let (fd, control, flags) = (left.as_fd(), RawControl::NONE, SendFlags::empty());
        call(Call::Sendmsg { fd, name: RawName::NONE, data, control, flags, progress: 0 })
    };
    assert_eq!(send(&data), Ok(1024));
    assert_eq!(right.recv(&mut [0; 2000]).unwrap(), 1024);
    // CMSG 5.
    let more = [data, vec![Segment::Bytes(b"")]].concat();
    assert_eq!(send(&more), Err(Errno::MSGSIZE));
}
