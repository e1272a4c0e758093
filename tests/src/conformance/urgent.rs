//! OOB: out-of-band data.

use afunix::{Errno, Host};

use super::{Case, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "OOB 1" last_byte_is_the_mark,
        "OOB 3" receive_urgent,
        "OOB 4" placeholder_stays,
        "OOB 5" receive_stops_at_the_mark,
        "OOB 6" inline,
        "OOB 7" close_with_urgent_byte,
        "OOB 8" at_mark,
    ]
}

fn last_byte_is_the_mark<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"abc", OOB), Ok(3));
    assert_eq!(outq(h, a), Ok(2 * 768));
    assert_eq!(poll(h, b), mask("iop"));
    assert_eq!(recv(h, b, 9, OOB), Ok(b"c".to_vec()));
    assert_eq!(recv(h, b, 9, 0), Ok(b"ab".to_vec()));
    assert_eq!(send(h, a, b"x", OOB), Ok(1));
    assert_eq!(send(h, a, b"y", OOB), Ok(1));
    assert_eq!(recv(h, b, 9, 0), Ok(b"x".to_vec()), "a new mark makes the old byte ordinary");
    for kind in [DGRAM, SEQPACKET] {
        let (a, b) = pair(h, kind);
        assert_eq!(send(h, a, b"x", OOB), Err(Errno::OPNOTSUPP));
        assert_eq!(recv(h, b, 1, OOB), Err(Errno::OPNOTSUPP));
    }
}

fn receive_urgent<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(recv(h, b, 1, OOB), Err(Errno::INVAL));
    assert_eq!(send(h, a, b"x", OOB), Ok(1));
    let peeked = recvmsg(h, b, 9, 64, OOB | PEEK).unwrap();
    assert_eq!((peeked.data.as_slice(), peeked.flags), (&b"x"[..], OOB));
    assert_eq!(recv_count(h, b, 0, OOB), Ok(1), "1 also for length 0");
    assert_eq!(recv(h, b, 1, OOB), Err(Errno::INVAL));
}

fn placeholder_stays<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"x", OOB), Ok(1));
    assert_eq!(recv(h, b, 1, OOB), Ok(b"x".to_vec()));
    assert_eq!(poll(h, b), mask("io"));
    assert_eq!(ioctl(h, b, SIOCATMARK, 0), Ok(1));
    assert_eq!(recv(h, b, 1, DONTWAIT), Err(Errno::AGAIN));
    assert_eq!(poll(h, b), mask("o"));
}

fn receive_stops_at_the_mark<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"hello", OOB), Ok(5));
    assert_eq!(send(h, a, b"wld", 0), Ok(3));
    assert_eq!(recv(h, b, 9, PEEK), Ok(b"hell".to_vec()));
    assert_eq!(recv(h, b, 9, 0), Ok(b"hell".to_vec()));
    assert_eq!(recv(h, b, 9, 0), Ok(b"wld".to_vec()));
    assert_eq!(send(h, a, b"x", OOB), Ok(1));
    assert_eq!(recv(h, b, 9, DONTWAIT), Err(Errno::AGAIN));
    assert_eq!(recv(h, b, 9, OOB), Err(Errno::INVAL), "it is lost");
}

fn inline<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    set_int(h, b, SO_OOBINLINE, 1).unwrap();
    assert_eq!(send(h, a, b"abc", OOB), Ok(3));
    assert_eq!(send(h, a, b"de", 0), Ok(2));
    assert_eq!(recv(h, b, 9, OOB), Err(Errno::INVAL));
    assert_eq!(recv(h, b, 9, 0), Ok(b"ab".to_vec()));
    assert_eq!(recv(h, b, 9, 0), Ok(b"cde".to_vec()));
}

fn close_with_urgent_byte<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"x", OOB), Ok(1));
    assert_eq!(recv(h, b, 1, OOB), Ok(b"x".to_vec()));
    assert_eq!(close(h, b), Ok(0));
    assert_eq!(recv(h, a, 1, 0), Ok(vec![]));
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"x", OOB), Ok(1));
    assert_eq!(close(h, b), Ok(0));
    assert_eq!(recv(h, a, 1, 0), Err(Errno::CONNRESET));
}

fn at_mark<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(ioctl(h, b, SIOCATMARK, 0), Ok(0));
    assert_eq!(send(h, a, b"ab", OOB), Ok(2));
    assert_eq!(ioctl(h, b, SIOCATMARK, 0), Ok(0));
    assert_eq!(recv(h, b, 1, 0), Ok(b"a".to_vec()));
    assert_eq!(ioctl(h, b, SIOCATMARK, 0), Ok(1));
    assert_eq!(recv(h, b, 1, OOB), Ok(b"b".to_vec()));
    assert_eq!(send(h, a, b"c", 0), Ok(1));
    assert_eq!(ioctl(h, b, SIOCATMARK, 0), Ok(1));
}
