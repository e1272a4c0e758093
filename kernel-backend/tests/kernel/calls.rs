//! Each family of calls once.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as StdStream;
use std::time::{Duration, Instant};

use afunix::call::Stat;
use afunix::net::{AsSocket, Message};
use afunix::{
    Address, Backend, Call, Errno, Host, Limits, OpenFlags, Pid, PollFd, Readiness, Signal, fs,
};
use afunix_kernel_backend::net::{
    UnixDatagram, UnixListener, UnixSeqpacket, UnixSeqpacketListener, UnixStream,
};
use afunix_kernel_backend::{Kernel, from_std, into_std};

use crate::{Case, any};

pub(crate) const CASES: &[Case] = &[
    any("a_socket_is_four_bytes", a_socket_is_four_bytes),
    any("stream_pair", stream_pair),
    any("listener_accepts_a_named_client", listener_accepts_a_named_client),
    any("seqpacket_keeps_records", seqpacket_keeps_records),
    any("datagrams_between_names", datagrams_between_names),
    any("a_file_passes_with_its_offset", a_file_passes_with_its_offset),
    any("poll_times_out_then_tells", poll_times_out_then_tells),
    any("options_and_queues", options_and_queues),
    any("files_and_directories", files_and_directories),
    any("owners_change_between_std_and_here", owners_change_between_std_and_here),
    any("limits_umask_and_sleep", limits_umask_and_sleep),
    any("threads_return_and_panic", threads_return_and_panic),
    any("groups_of_processes_are_out_of_reach", groups_of_processes_are_out_of_reach),
    any("random_numbers_stay_below", random_numbers_stay_below),
];

fn a_socket_is_four_bytes() {
    assert_eq!(size_of::<UnixStream>(), 4);
    assert_eq!(size_of::<Option<StdStream>>(), 4, "as std's");
}

fn stream_pair() {
    let (mut left, mut right) = UnixStream::pair(&Kernel).unwrap();
    left.write_all(b"hello").unwrap();
    left.shutdown(Shutdown::Write).unwrap();
    let mut heard = String::new();
    right.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "hello");
}

fn listener_accepts_a_named_client() {
    let dir = tempfile::tempdir().unwrap();
    let address = Address::path(dir.path().join("socket")).unwrap();
    let listener = UnixListener::bind(&Kernel, &address).unwrap();
    let client = UnixStream::connect(&Kernel, &address).unwrap();
    let (served, name) = listener.accept().unwrap();
    assert!(name.is_unnamed());
    assert_eq!(client.peer_addr().unwrap(), address);
    assert_eq!(served.local_addr().unwrap(), address);
    assert_eq!(served.peer_cred().unwrap().pid, Kernel.pid().0);

    let missing = Address::path(dir.path().join("missing")).unwrap();
    let error = UnixStream::connect(&Kernel, &missing).unwrap_err();
    assert_eq!(Errno::from_io(&error), Some(Errno::NOENT));
}

fn seqpacket_keeps_records() {
    let address = Address::abstract_name("afunix-kernel-seqpacket").unwrap();
    let listener = UnixSeqpacketListener::bind(&Kernel, &address).unwrap();
    let client = UnixSeqpacket::connect(&Kernel, &address).unwrap();
    let (served, _) = listener.accept().unwrap();
    client.send(b"one").unwrap();
    client.send(b"three").unwrap();
    let mut buffer = [0; 16];
    assert_eq!(served.recv(&mut buffer).unwrap(), 3);
    assert_eq!(served.recv(&mut buffer).unwrap(), 5);
}

fn datagrams_between_names() {
    let one = Address::abstract_name("afunix-kernel-one").unwrap();
    let two = Address::abstract_name("afunix-kernel-two").unwrap();
    let sender = UnixDatagram::bind(&Kernel, &one).unwrap();
    let receiver = UnixDatagram::bind(&Kernel, &two).unwrap();
    sender.send_to(b"hello", &two).unwrap();
    let mut buffer = [0; 3];
    let received = receiver.recv_message(&mut buffer, 0).unwrap();
    assert_eq!((received.bytes, received.from), (3, one));
    assert!(received.flags.contains(afunix::RecvFlags::TRUNC));
}

fn a_file_passes_with_its_offset() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "hello").unwrap();
    let (left, right) = UnixStream::pair(&Kernel).unwrap();
    {
        let mut file = fs::File::open(&Kernel, &path).unwrap();
        file.read_exact(&mut [0; 2]).unwrap();
        left.send_message(&Message::new(b"x").fds(&[file.as_fd()])).unwrap();
    }
    let received = right.recv_message(&mut [0; 8], 1).unwrap();
    // VFS 1: the same open file description, and with it the offset.
    let mut rest = String::new();
    let fd = received.fds.into_iter().next().unwrap();
    fs::File::from(fd).read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "llo");
}

fn poll_times_out_then_tells() {
    let (left, right) = UnixStream::pair(&Kernel).unwrap();
    let before = Instant::now();
    let time = Duration::from_millis(20);
    assert!(right.poll(Readiness::IN, Some(time)).unwrap().is_empty());
    assert!(before.elapsed() >= time);
    (&left).write_all(b"x").unwrap();
    assert_eq!(right.poll(Readiness::IN, None).unwrap(), Readiness::IN);

    let mut fds: Vec<PollFd<'_>> = Vec::new();
    for _ in 0..20 {
        fds.push(PollFd::new(right.as_fd(), Readiness::IN));
    }
    fds.push(PollFd { fd: None, events: Readiness::IN, revents: Readiness::empty() });
    fds.push(PollFd::new(afunix::net::Fd::INVALID, Readiness::IN));
    assert_eq!(Kernel.call(&mut Call::Poll { fds: &mut fds, timeout: None, mask: None }), Ok(20));
    assert!(fds[..20].iter().all(|entry| entry.revents == Readiness::IN));
    assert!(fds[20..].iter().all(|entry| entry.revents.is_empty()));
}

fn options_and_queues() {
    let (mut left, right) = UnixStream::pair(&Kernel).unwrap();
    left.set_send_buffer_size(0).unwrap();
    assert_eq!(left.send_buffer_size().unwrap(), 4608);
    left.write_all(b"hello").unwrap();
    assert_eq!((right.queued_bytes().unwrap(), left.unread_memory().unwrap()), (5, 768));
    // A request that may write more than an int is not passed on, but a bad descriptor is told.
    let mut value = 7;
    let mut call = Call::Ioctl { fd: left.as_fd(), request: 0x8912, value: &mut value };
    assert_eq!(Kernel.call(&mut call), Err(Errno::NOTTY));
    let fd = afunix::net::Fd::INVALID;
    let mut call = Call::Ioctl { fd, request: 0x8912, value: &mut value };
    assert_eq!(Kernel.call(&mut call), Err(Errno::BADF));
    right.set_nonblocking(true).unwrap();
    (&right).read_exact(&mut [0; 5]).unwrap();
    let error = (&right).read(&mut [0; 5]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

fn files_and_directories() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::File::create(&Kernel, at("a")).unwrap().write_all(b"hello").unwrap();
    fs::create_dir(&Kernel, at("d")).unwrap();
    fs::rename(&Kernel, at("a"), at("b")).unwrap();
    let entries = fs::read_dir(&Kernel, dir.path()).unwrap();
    let names: Vec<_> = entries.iter().map(|entry| (&entry.name[..], entry.file_type)).collect();
    assert_eq!(names, [(&b"b"[..], Stat::IFREG), (&b"d"[..], Stat::IFDIR)]);
    assert_eq!(fs::File::open(&Kernel, at("b")).unwrap().metadata().unwrap().size, 5);
    fs::remove_file(&Kernel, at("b")).unwrap();
    fs::remove_dir(&Kernel, at("d")).unwrap();
    let mut call = Call::Open { path: b"/\0ignored", flags: OpenFlags::DIRECTORY, mode: 0 };
    let number = Kernel.call(&mut call);
    assert!(number.is_ok(), "a path ends at its first NUL: {number:?}");
    for n in 0..1200 {
        std::fs::write(at(&format!("a file with a long name so that it takes {n}")), "").unwrap();
    }
    assert_eq!(fs::read_dir(&Kernel, dir.path()).unwrap().len(), 1200);
}

fn owners_change_between_std_and_here() {
    let (left, right) = StdStream::pair().unwrap();
    let mut left: UnixStream = from_std(left);
    left.write_all(b"x").unwrap();
    let left: StdStream = into_std(left);
    let right: afunix::net::OwnedFd<Kernel> = from_std(right);
    let mut right: StdStream = into_std(right);
    right.read_exact(&mut [0; 1]).unwrap();
    drop(left);
    assert_eq!(right.read(&mut [0; 1]).unwrap(), 0);
}

fn limits_umask_and_sleep() {
    let mut old = Limits::default();
    let new = Some(Limits { descriptors: 64 });
    Kernel.call(&mut Call::Prlimit { new, old: &mut old }).unwrap();
    Kernel.call(&mut Call::Prlimit { new: Some(old), old: &mut old }).unwrap();
    assert_eq!(old.descriptors, 64);
    Kernel.call(&mut Call::Umask { mask: 0o27 }).unwrap();
    assert_eq!(Kernel.call(&mut Call::Umask { mask: 0o22 }), Ok(0o27));
    let before = Kernel.now();
    Kernel.sleep(Duration::from_millis(10));
    assert!(Kernel.now() - before >= Duration::from_millis(10));
}

fn threads_return_and_panic() {
    let (mut left, mut right) = UnixStream::pair(&Kernel).unwrap();
    let reader = Kernel.spawn("reader", move || {
        let mut byte = [0];
        right.read_exact(&mut byte).unwrap();
        byte[0]
    });
    left.write_all(b"x").unwrap();
    assert_eq!(reader.join(), Ok(b'x'));
    let panicked = Kernel.spawn("a name \0 that is none", || panic!("on purpose")).join();
    assert_eq!(panicked.map_err(|panicked: afunix::Panicked| panicked.0), Err("on purpose".into()));
}

fn groups_of_processes_are_out_of_reach() {
    let signal = Signal::Kill as i32;
    for pid in [0, -1, -Kernel.pid().0] {
        assert_eq!(Kernel.call(&mut Call::Kill { pid: Pid(pid), signal }), Err(Errno::SRCH));
        let mut call = Call::Waitpid { pid: Pid(pid), status: &mut None };
        assert_eq!(Kernel.call(&mut call), Err(Errno::CHILD));
    }
}

fn random_numbers_stay_below() {
    let drawn: Vec<u64> = (0..200).map(|_| Kernel.random(3)).collect();
    assert!((0..3).all(|number| drawn.contains(&number)));
    assert!(drawn.iter().all(|number| *number < 3));
}
