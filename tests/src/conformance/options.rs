//! OPT: options and ioctls.

use afunix::call::{Fcntl, OptionOut};
use afunix::{Call, Errno, Host};

use super::{Case, in_process, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "OPT 1" levels_and_lengths,
        "OPT 2" peer_credentials,
        "OPT 4" defaults,
        "OPT 5" stored_and_refused,
        "OPT 6" queue_sizes,
        "OPT 7" other_requests,
        "OPT 10" timeouts,
        "OPT 11" booleans,
        "OPT 12" error_with_short_length,
    ]
}

fn levels_and_lengths<H: Host>(h: &H) {
    let fd = crate::raw::fd(socket(h, STREAM).unwrap());
    let mut buffer = [0; 8];
    for level in [0, 6, 272, -1] {
        let mut value = OptionOut::new(&mut buffer);
        let mut call = Call::Getsockopt { fd, level, option: SO_TYPE, value: &mut value };
        assert_eq!(h.call(&mut call), Err(Errno::OPNOTSUPP), "level {level}");
        let mut call = Call::Setsockopt { fd, level, option: SO_PASSCRED, value: &[1, 0, 0, 0] };
        assert_eq!(h.call(&mut call), Err(Errno::OPNOTSUPP), "level {level}");
    }
    let fd = fd.number();
    assert_eq!(get_int(h, fd, 9999), Err(Errno::NOPROTOOPT));
    assert_eq!(set_int(h, fd, 9999, 1), Err(Errno::NOPROTOOPT));
    assert_eq!(setsockopt(h, fd, SO_PASSCRED, &[1, 0, 0]), Err(Errno::INVAL));
    assert_eq!(setsockopt(h, fd, 9999, &[1]), Err(Errno::INVAL));
    assert_eq!(getsockopt(h, fd, SO_TYPE, 2), Ok(vec![1, 0]));
    assert_eq!(getsockopt(h, fd, SO_TYPE, 8), Ok(vec![1, 0, 0, 0]));
    assert_eq!(getsockopt(h, fd, SO_TYPE, 0), Ok(vec![]));
    let mut value = OptionOut { buffer: &mut buffer, len: -1 };
    let fd = crate::raw::fd(fd);
    let mut call = Call::Getsockopt { fd, level: SOL_SOCKET, option: SO_TYPE, value: &mut value };
    assert_eq!(h.call(&mut call), Err(Errno::INVAL));
    assert_eq!(get_int(h, 0, SO_TYPE), Err(Errno::NOTSOCK));
    assert_eq!(get_int(h, 99, SO_TYPE), Err(Errno::BADF));
}

fn peer_credentials<H: Host>(h: &H) {
    let fd = socket(h, DGRAM).unwrap();
    let none = peercred(h, fd);
    assert_eq!((none.pid, none.uid, none.gid), (0, u32::MAX, u32::MAX));
    bound(h, DGRAM, &hidden("d"));
    connect(h, fd, &hidden("d")).unwrap();
    assert_eq!(peercred(h, fd), none, "not by a datagram's connect");
    let (a, b) = pair(h, DGRAM);
    let own = peercred(h, a);
    assert_eq!(own.pid, getpid(h));
    close(h, b).unwrap();
    assert_eq!(peercred(h, a), own);
    let (a, b) = pair(h, STREAM);
    in_process(h, None, &[b], move |h| {
        assert_eq!(peercred(h, 3), own, "those of who made the pair");
    });
    assert_eq!(peercred(h, a), own);
    assert_eq!(getsockopt(h, a, SO_PEERCRED, 5).unwrap(), own.to_bytes()[..5]);
}

fn defaults<H: Host>(h: &H) {
    for kind in TYPES {
        let fd = socket(h, kind).unwrap();
        assert_eq!(get_int(h, fd, SO_PASSCRED), Ok(0));
        assert_eq!(get_int(h, fd, SO_PASSRIGHTS), Ok(1));
        assert_eq!(get_int(h, fd, SO_ACCEPTCONN), Ok(0));
        assert_eq!(get_int(h, fd, SO_ERROR), Ok(0));
    }
}

fn stored_and_refused<H: Host>(h: &H) {
    let fd = socket(h, STREAM).unwrap();
    assert_eq!(set_int(h, fd, SO_REUSEPORT, 1), Err(Errno::OPNOTSUPP));
    assert_eq!(get_int(h, fd, SO_SNDLOWAT), Ok(1));
    assert_eq!(set_int(h, fd, SO_SNDLOWAT, 5), Err(Errno::NOPROTOOPT));
    for option in [SO_KEEPALIVE, SO_REUSEADDR] {
        assert_eq!(set_int(h, fd, option, 1), Ok(0));
        assert_eq!(get_int(h, fd, option), Ok(1));
    }
    assert_eq!(setsockopt(h, fd, SO_LINGER, &[1, 0, 0, 0, 9, 0, 0, 0]), Ok(0));
    assert_eq!(getsockopt(h, fd, SO_LINGER, 8), Ok(vec![1, 0, 0, 0, 9, 0, 0, 0]));
    for option in [SO_TYPE, SO_ERROR, SO_ACCEPTCONN, SO_PROTOCOL, SO_DOMAIN, SO_PEERCRED] {
        assert_eq!(set_int(h, fd, option, 1), Err(Errno::NOPROTOOPT), "option {option}");
    }
}

fn queue_sizes<H: Host>(h: &H) {
    for (kind, size) in [(STREAM, 7), (SEQPACKET, 7), (DGRAM, 3)] {
        let (a, b) = pair(h, kind);
        assert_eq!(send(h, a, b"abc", 0), Ok(3));
        assert_eq!(send(h, a, b"defg", 0), Ok(4));
        assert_eq!(inq(h, b), Ok(size));
        assert_eq!((outq(h, a), outq(h, b)), (Ok(2 * 768), Ok(0)));
    }
    let fresh = socket(h, STREAM).unwrap();
    assert_eq!((inq(h, fresh), outq(h, fresh)), (Ok(0), Ok(0)));
}

fn other_requests<H: Host>(h: &H) {
    let fd = socket(h, STREAM).unwrap();
    for request in [0x8906, 0x1234_5678] {
        assert_eq!(ioctl(h, fd, request, 0), Err(Errno::NOTTY), "{request:#x}");
    }
    assert_eq!(ioctl(h, fd, FIONBIO, 1), Ok(1));
    assert_eq!(fcntl(h, fd, Fcntl::Getfl), Ok(2 | NONBLOCK as usize));
    assert_eq!(ioctl(h, fd, FIONBIO, 0), Ok(0));
    assert_eq!(fcntl(h, fd, Fcntl::Getfl), Ok(2));
    assert_eq!(inq(h, 99), Err(Errno::BADF));
}

fn timeval(seconds: i64, micros: i64) -> Vec<u8> {
    [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat()
}

fn timeouts<H: Host>(h: &H) {
    let fd = socket(h, STREAM).unwrap();
    for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
        assert_eq!(getsockopt(h, fd, option, 16), Ok(timeval(0, 0)));
        for (set, read) in [
            (timeval(0, 1), timeval(0, 4000)),
            (timeval(1, 4001), timeval(1, 8000)),
            (timeval(2, 0), timeval(2, 0)),
            (timeval(-1, 0), timeval(0, 0)),
            (timeval(1_000_000_000_000, 0), timeval(1_000_000_000_000, 0)),
            (timeval(1_000_000_000_000_000_000, 0), timeval(0, 0)),
        ] {
            assert_eq!(setsockopt(h, fd, option, &set), Ok(0));
            assert_eq!(getsockopt(h, fd, option, 16), Ok(read));
        }
        assert_eq!(setsockopt(h, fd, option, &timeval(0, 1_000_000)), Err(Errno::DOM));
        assert_eq!(setsockopt(h, fd, option, &timeval(0, -1)), Err(Errno::DOM));
        assert_eq!(setsockopt(h, fd, option, &timeval(1, 0)[..15]), Err(Errno::INVAL));
    }
    let (a, _b) = pair(h, STREAM);
    setsockopt(h, a, SO_RCVTIMEO, &timeval(-1, 0)).unwrap();
    assert_eq!(recv(h, a, 1, 0), Err(Errno::AGAIN), "negative: at once");
}

fn booleans<H: Host>(h: &H) {
    let fd = socket(h, STREAM).unwrap();
    for option in [SO_PASSCRED, SO_KEEPALIVE, SO_REUSEADDR, SO_OOBINLINE, SO_PASSRIGHTS] {
        for (value, reads) in [(7, 1), (-1, 1), (0, 0), (256, 1)] {
            assert_eq!(set_int(h, fd, option, value), Ok(0));
            assert_eq!(get_int(h, fd, option), Ok(reads), "option {option}, value {value}");
        }
    }
    assert_eq!(set_int(h, fd, SO_PASSRIGHTS, 1), Ok(0));
    let server = listener(h, STREAM, &hidden("s"), 4);
    assert_eq!(set_int(h, server, SO_PASSRIGHTS, 0), Ok(0));
    let client = connected(h, STREAM, &hidden("s")).unwrap();
    assert_eq!(set_int(h, server, SO_PASSRIGHTS, 1), Ok(0));
    assert_eq!(sendmsg(h, client, b"x", &rights(&[0])), Err(Errno::PERM));
    let accepted = accept(h, server, 0).unwrap();
    assert_eq!(get_int(h, accepted, SO_PASSRIGHTS), Ok(0));
    assert_eq!(set_int(h, accepted, SO_PASSRIGHTS, 1), Ok(0));
    assert_eq!(sendmsg(h, client, b"x", &rights(&[0])), Ok(1));
}

fn error_with_short_length<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    send(h, a, b"unread", 0).unwrap();
    close(h, b).unwrap();
    assert_eq!(getsockopt(h, a, SO_ERROR, 1), Ok(vec![Errno::CONNRESET.raw() as u8]));
    assert_eq!(get_int(h, a, SO_ERROR), Ok(0));
}
