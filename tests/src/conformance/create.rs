//! CREATE: socket and socketpair; ADDR: addresses.

use afunix::call::{Fcntl, Stat};
use afunix::{Call, Errno, Host, NameOut, NameWant, OpenFlags, RawName, SegmentMut};

use super::{Case, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "CREATE 1" unknown_type_bits,
        "CREATE 2" protocols,
        "CREATE 3" types,
        "CREATE 5" pair_errors_in_order,
        "CREATE 6" file_mode,
        "CREATE 7" not_a_file,
        "CREATE 7" not_opened_again,
        "CREATE 8" lowest_numbers,
        root "CREATE 9" chown_is_not_inherited,
        "CREATE 10" other_calls,
        "ADDR 1" lengths_and_families,
        "ADDR 2" paths_end_at_nul,
        "ADDR 3" full_length_path,
        "ADDR 4" abstract_names_are_exact,
        "ADDR 5" one_name_per_type,
        "ADDR 6" autobind,
        "ADDR 7" implicit_autobind,
        "ADDR 8" unnamed,
        "ADDR 9" copying_out,
        "ADDR 9" copying_out_of_recvfrom,
    ]
}

fn unknown_type_bits<H: Host>(h: &H) {
    assert_eq!(socket(h, STREAM | 0x10), Err(Errno::INVAL));
    assert_eq!(socket(h, STREAM | 0x4000_0000), Err(Errno::INVAL));
    for kind in 11..16 {
        assert_eq!(socket(h, kind), Err(Errno::INVAL));
    }
    assert!(socket(h, STREAM | NONBLOCK | CLOEXEC).is_ok());
}

fn protocols<H: Host>(h: &H) {
    for kind in TYPES {
        let fd = socket_of(h, 1, kind, 1).unwrap();
        assert_eq!(get_int(h, fd, SO_PROTOCOL), Ok(0));
        assert_eq!(get_int(h, fd, SO_DOMAIN), Ok(1));
        assert_eq!(socket_of(h, 1, kind, 2), Err(Errno::PROTONOSUPPORT));
        assert_eq!(socket_of(h, 1, kind, -1), Err(Errno::PROTONOSUPPORT));
    }
    assert_eq!(socket_of(h, 1, 11, 2), Err(Errno::INVAL));
    assert_eq!(socket_of(h, 1, 4, 2), Err(Errno::PROTONOSUPPORT));
}

fn types<H: Host>(h: &H) {
    for kind in TYPES {
        let fd = socket(h, kind).unwrap();
        assert_eq!(get_int(h, fd, SO_TYPE), Ok(kind));
    }
    let raw = socket(h, 3).unwrap();
    assert_eq!(get_int(h, raw, SO_TYPE), Ok(DGRAM));
    for kind in [0, 4, 6, 10] {
        assert_eq!(socket(h, kind), Err(Errno::SOCKTNOSUPPORT));
    }
}

fn pair_errors_in_order<H: Host>(h: &H) {
    let mut fds = [-7, -7];
    assert_eq!(socketpair(h, STREAM | 0x10, 0, &mut fds), Err(Errno::INVAL));
    assert_eq!(fds, [-7, -7]);
    assert_eq!(socketpair(h, STREAM, 2, &mut fds), Err(Errno::PROTONOSUPPORT));
    assert_eq!(fds, [3, 4], "a late failure has written two numbers already");
    assert_eq!(close(h, 3), Err(Errno::BADF));
    set_limit(h, 4).unwrap();
    assert_eq!(socketpair(h, STREAM, 2, &mut fds), Err(Errno::MFILE));
    assert_eq!(dup(h, 0), Ok(3));
    assert_eq!(socket_of(h, 1, STREAM, 2), Err(Errno::PROTONOSUPPORT));
    assert_eq!(socket(h, STREAM), Err(Errno::MFILE));
    set_limit(h, 64).unwrap();
    let (a, b) = pair(h, SEQPACKET);
    assert_eq!((peercred(h, a).pid, peercred(h, b).pid), (getpid(h), getpid(h)));
}

fn file_mode<H: Host>(h: &H) {
    let fd = socket(h, STREAM).unwrap();
    let stat_of_fd = fstat(h, fd).unwrap();
    assert_eq!((stat_of_fd.mode, stat_of_fd.size, stat_of_fd.blksize), (0o140777, 0, 4096));
    assert_eq!(fchmod(h, fd, 0o640), Ok(0));
    assert_eq!(bind(h, fd, &path("s")), Ok(0));
    assert_eq!(stat(h, "s").unwrap().mode, 0o140640);
    assert_eq!(fchmod(h, fd, 0o777), Ok(0));
    assert_eq!(stat(h, "s").unwrap().mode, 0o140640, "after bind it does not change the inode");
}

fn not_a_file<H: Host>(h: &H) {
    let fd = bound(h, DGRAM, &path("s"));
    assert_eq!(lseek(h, fd, 0), Err(Errno::SPIPE));
    assert_eq!(open(h, "s", OpenFlags::RDWR), Err(Errno::NXIO));
    assert_eq!(open(h, "s", OpenFlags::empty()), Err(Errno::NXIO));
    let handle = open(h, "s", OpenFlags::PATH).unwrap();
    assert_eq!(fstat(h, handle).unwrap().mode, 0o140755);
}

fn lowest_numbers<H: Host>(h: &H) {
    assert_eq!(pair(h, STREAM), (3, 4));
    assert_eq!(socket(h, DGRAM), Ok(5));
    assert_eq!(close(h, 3), Ok(0));
    assert_eq!(pair(h, DGRAM), (3, 6));
    let fd = socket(h, STREAM | NONBLOCK | CLOEXEC).unwrap();
    assert_eq!(fcntl(h, fd, afunix::call::Fcntl::Getfd), Ok(1));
    assert_eq!(fcntl(h, fd, afunix::call::Fcntl::Getfl), Ok(2 | NONBLOCK as usize));
    assert_eq!(fcntl(h, 5, afunix::call::Fcntl::Getfd), Ok(0));
    set_limit(h, 9).unwrap();
    let mut fds = [-1; 2];
    assert_eq!(socketpair(h, STREAM, 0, &mut fds), Err(Errno::MFILE));
    assert_eq!(socket(h, STREAM), Ok(8));
    assert_eq!(socket(h, STREAM), Err(Errno::MFILE));
}

fn lengths_and_families<H: Host>(h: &H) {
    let fd = socket(h, STREAM).unwrap();
    for len in [0, 1, 111, 128] {
        let mut bytes = name(1, &[b'x'; 126]);
        bytes.truncate(len);
        assert_eq!(bind(h, fd, &bytes), Err(Errno::INVAL), "bind of length {len}");
        assert_eq!(connect(h, fd, &bytes), Err(Errno::INVAL), "connect of length {len}");
    }
    assert_eq!(connect(h, fd, &name(1, b"")), Err(Errno::INVAL), "autobind is for bind only");
    assert_eq!(bind(h, fd, &name(2, b"x\0")), Err(Errno::INVAL));
    assert_eq!(connect(h, fd, &name(2, b"x\0")), Err(Errno::INVAL));
    assert_eq!(connect(h, fd, &name(1, b"x")), Err(Errno::NOENT));
    assert_eq!(bind(h, fd, &name(1, b"x")), Ok(0));
    let dgram = socket(h, DGRAM).unwrap();
    assert_eq!(sendto(h, dgram, b"", 0, RawName::Bytes(&name(2, b"x"))), Err(Errno::INVAL));
}

fn paths_end_at_nul<H: Host>(h: &H) {
    let fd = bound(h, STREAM, &name(1, b"pre\0post"));
    assert_eq!(getsockname(h, fd), Ok(path("pre")));
    assert_eq!(getsockname(h, fd).unwrap().len(), 6);
    let fd = bound(h, STREAM, &name(1, b"bare"));
    assert_eq!(getsockname(h, fd), Ok(path("bare")));
}

fn full_length_path<H: Host>(h: &H) {
    let long = [b'y'; 108];
    let fd = bound(h, STREAM, &name(1, &long));
    let read_back = getsockname(h, fd).unwrap();
    assert_eq!(read_back.len(), 111);
    assert_eq!(read_back, [&name(1, &long)[..], &[0]].concat());
    assert_eq!(stat(h, &"y".repeat(108)).unwrap().mode, 0o140755);
}

fn abstract_names_are_exact<H: Host>(h: &H) {
    let (short, mut long) = (hidden("a"), hidden("a"));
    long.push(0);
    let one = listener(h, STREAM, &short, 1);
    let two = listener(h, STREAM, &long, 1);
    assert_eq!(getsockname(h, one), Ok(short.clone()));
    assert_eq!(getsockname(h, two), Ok(long.clone()));
    let client = connected(h, STREAM, &long).unwrap();
    assert_eq!(getpeername(h, client), Ok(long));
    assert_eq!(poll(h, two), mask("i"));
    assert_eq!(poll(h, one), mask(""));
}

fn one_name_per_type<H: Host>(h: &H) {
    let name = hidden("both");
    for kind in TYPES {
        let fd = bound(h, kind, &name);
        assert_eq!(getsockname(h, fd), Ok(name.clone()));
        let second = socket(h, kind).unwrap();
        assert_eq!(bind(h, second, &name), Err(Errno::ADDRINUSE));
    }
}

fn autobind<H: Host>(h: &H) {
    for kind in TYPES {
        let fd = socket(h, kind).unwrap();
        assert_eq!(bind(h, fd, &name(1, b"")), Ok(0));
        let given = getsockname(h, fd).unwrap();
        assert_eq!((given.len(), given[2]), (8, 0));
        assert!(given[3..].iter().all(|byte| b"0123456789abcdef".contains(byte)), "{given:?}");
        assert_eq!(bind(h, fd, &name(1, b"")), Ok(0));
        assert_eq!(getsockname(h, fd), Ok(given));
    }
}

fn implicit_autobind<H: Host>(h: &H) {
    let target = listener(h, STREAM, &hidden("s"), 4);
    let fd = socket(h, STREAM).unwrap();
    assert_eq!(set_int(h, fd, SO_PASSCRED, 1), Ok(0));
    assert_eq!(getsockname(h, fd).unwrap().len(), 2, "setsockopt does not bind");
    assert_eq!(connect(h, fd, &name(2, b"x")), Err(Errno::INVAL));
    assert_eq!(getsockname(h, fd).unwrap().len(), 2, "a bad address does not bind");
    assert_eq!(connect(h, fd, &hidden("nobody")), Err(Errno::CONNREFUSED));
    assert_eq!(getsockname(h, fd).unwrap().len(), 8, "a refused connect does");
    assert_eq!(close(h, target), Ok(0));

    let (a, b) = pair(h, STREAM);
    assert_eq!(set_int(h, a, SO_PASSCRED, 1), Ok(0));
    assert_eq!(send(h, a, b"x", 0), Ok(1));
    assert_eq!(getsockname(h, a).unwrap().len(), 2, "a stream's send never binds");
    assert_eq!(close(h, b), Ok(0));
    for kind in [DGRAM, SEQPACKET] {
        let (a, _) = pair(h, kind);
        assert_eq!(set_int(h, a, SO_PASSCRED, 1), Ok(0));
        assert_eq!(send(h, a, b"", OOB), Err(Errno::OPNOTSUPP));
        assert_eq!(getsockname(h, a).unwrap().len(), 2);
        assert_eq!(send(h, a, &vec![0; 300_000], 0), Err(Errno::MSGSIZE));
        assert_eq!(getsockname(h, a).unwrap().len(), 8);
    }
}

fn unnamed<H: Host>(h: &H) {
    let server = listener(h, STREAM, &hidden("s"), 4);
    let client = connected(h, STREAM, &hidden("s")).unwrap();
    let mut out = NameOut::new();
    let accepted = accept_name(h, server, 0, &mut out).unwrap();
    assert_eq!(out.reported, Some(2));
    assert_eq!(getsockname(h, client), Ok(name(1, b"")));
    assert_eq!(getpeername(h, accepted), Ok(name(1, b"")));
    let (a, b) = pair(h, DGRAM);
    assert_eq!(send(h, a, b"x", 0), Ok(1));
    assert_eq!(send(h, a, b"x", 0), Ok(1));
    let mut byte = [0];
    let mut out = NameOut::new();
    assert_eq!(recv_into(h, b, SegmentMut::Bytes(&mut byte), 0, &mut out), Ok(1));
    assert_eq!(out.reported, Some(0));
    assert_eq!(recvmsg(h, b, 1, 0, 0).unwrap().name, b"");
}

fn copying_out<H: Host>(h: &H) {
    let fd = bound(h, STREAM, &path("name"));
    let mut out = NameOut::with(NameWant::Buffer { len: 4 });
    let mut call = afunix::Call::Getsockname { fd: crate::raw::fd(fd), name: &mut out };
    assert_eq!(h.call(&mut call), Ok(0));
    assert_eq!((out.reported, out.written()), (Some(7), &b"\x01\0na"[..]));
    for (want, errno) in [
        (NameWant::Buffer { len: -1 }, Errno::INVAL),
        (NameWant::Fault { len: 20 }, Errno::FAULT),
        (NameWant::NullLength, Errno::FAULT),
    ] {
        let mut out = NameOut::with(want);
        let mut call = afunix::Call::Getsockname { fd: crate::raw::fd(fd), name: &mut out };
        assert_eq!(h.call(&mut call), Err(errno), "{want:?}");
    }
    assert_eq!(listen(h, fd, 4), Ok(0));
    let client = connected(h, STREAM, &path("name")).unwrap();
    let mut out = NameOut::with(NameWant::Buffer { len: -1 });
    assert_eq!(accept_name(h, fd, 0, &mut out), Err(Errno::INVAL));
    assert_eq!(poll(h, fd), mask(""), "the connection is gone");
    assert_eq!(poll(h, client), mask("iorh"));
}

fn copying_out_of_recvfrom<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    for (want, answer) in [
        (NameWant::Buffer { len: -1 }, Err(Errno::INVAL)),
        (NameWant::NullLength, Err(Errno::FAULT)),
        (NameWant::Nothing, Ok(1)),
    ] {
        assert_eq!(send(h, a, b"x", 0), Ok(1));
        let (mut byte, mut out) = ([0], NameOut::with(want));
        assert_eq!(recv_into(h, b, SegmentMut::Bytes(&mut byte), 0, &mut out), answer, "{want:?}");
        assert_eq!(recv(h, b, 1, DONTWAIT), Err(Errno::AGAIN), "the message is gone");
        assert_eq!(out.reported, None);
    }
}

fn other_calls<H: Host>(h: &H) {
    const DIRECT: i32 = 0o40000;
    let fd = bound(h, STREAM, &path("s"));
    assert_eq!(fcntl(h, fd, Fcntl::Setfl(DIRECT)), Err(Errno::INVAL));
    assert_eq!(fcntl(h, fd, Fcntl::Getfl), Ok(2));
    let create = OpenFlags::CREAT | OpenFlags::RDWR;
    assert_eq!(open(h, "s", create | OpenFlags::EXCL), Err(Errno::EXIST));
    assert_eq!(open(h, "s", create), Err(Errno::NXIO));
    assert_eq!(open(h, "s", create | OpenFlags::TRUNC), Err(Errno::NXIO));
    let mut entries = Vec::new();
    let fd = crate::raw::fd(fd);
    let mut call = Call::Getdents { fd, entries: &mut entries };
    assert_eq!(h.call(&mut call), Err(Errno::NOTDIR));
    assert_eq!(stat(h, "s").map(|stat: Stat| stat.size), Ok(0));
}

fn not_opened_again<H: Host>(h: &H) {
    let (a, _b) = pair(h, STREAM);
    let link = format!("/proc/self/fd/{a}");
    assert_eq!(open(h, &link, OpenFlags::RDWR), Err(Errno::NXIO));
    assert_eq!(open(h, "/proc/self/fd/99", OpenFlags::RDWR), Err(Errno::NOENT));
    bound(h, STREAM, &path("s"));
    assert_eq!(open(h, "s", OpenFlags::RDWR), Err(Errno::NXIO));
    assert!(open(h, "s", OpenFlags::PATH).is_ok());
}

fn chown_is_not_inherited<H: Host>(h: &H) {
    let fd = socket(h, STREAM).unwrap();
    let link = format!("/proc/self/fd/{fd}");
    let owner = |h: &H, uid, gid| h.call(&mut Call::Chown { path: link.as_bytes(), uid, gid });
    assert_eq!(owner(h, 77, 88), Ok(0));
    assert_eq!(owner(h, u32::MAX, 99), Ok(0));
    let stat_of = |stat: Stat| (stat.uid, stat.gid);
    assert_eq!(fstat(h, fd).map(stat_of), Ok((77, 99)));
    bind(h, fd, &path("s")).unwrap();
    assert_eq!(stat(h, "s").map(stat_of), Ok((0, 0)), "the inode is its maker's");
}
