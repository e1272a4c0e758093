//! OOB: out-of-band data.

use afunix::{Errno, Host, RawName, Segment};

use super::{Case, start, table};
use crate::calls::*;
use crate::raw::control as raw_control;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "OOB 1" last_byte_is_the_mark,
        "OOB 2" files_ride_on_the_first_buffer,
        "OOB 3" receive_urgent,
        "OOB 4" placeholder_stays,
        "OOB 5" receive_stops_at_the_mark,
        "OOB 6" inline,
        "OOB 7" close_with_urgent_byte,
        "OOB 8" at_mark,
        "OOB 9" discarded_byte_stays_counted,
        "OOB 10" reads_end_before_the_mark,
        "OOB 10" waits_past_the_mark,
        "OOB 10" placeholder_before_a_mark,
        "PEEKOFF 3" offset_at_the_mark,
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

fn files_ride_on_the_first_buffer<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let send = |data: &[u8]| {
        let data = [Segment::Bytes(data)];
        sendmsg_of(h, a, &data, raw_control(&rights(&[0])), OOB, RawName::NONE)
    };
    assert_eq!(send(b"abc"), Ok(3));
    let first = recvmsg(h, b, 9, 64, 0).unwrap();
    assert_eq!((first.data.as_slice(), first.rights().len()), (&b"ab"[..], 1));
    assert_eq!(recvmsg(h, b, 9, 64, OOB).unwrap().control, []);
    set_int(h, b, SO_OOBINLINE, 1).unwrap();
    assert_eq!(send(b"x"), Ok(1));
    let mark = recvmsg(h, b, 9, 64, 0).unwrap();
    assert_eq!((mark.data.as_slice(), mark.rights().len()), (&b"x"[..], 1));
}

fn discarded_byte_stays_counted<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"ab", OOB), Ok(2));
    assert_eq!(inq(h, b), Ok(2));
    assert_eq!(recv(h, b, 9, 0), Ok(b"a".to_vec()));
    assert_eq!(recv(h, b, 9, DONTWAIT), Err(Errno::AGAIN), "the byte is discarded");
    assert_eq!(inq(h, b), Ok(1), "a bug of this kernel");
    // One that is read is counted out.
    assert_eq!(send(h, a, b"x", OOB), Ok(1));
    assert_eq!(inq(h, b), Ok(2));
    assert_eq!(recv(h, b, 9, OOB), Ok(b"x".to_vec()));
    assert_eq!(inq(h, b), Ok(1));
}

fn reads_end_before_the_mark<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"abc", OOB), Ok(3));
    assert_eq!(recv(h, b, 9, WAITALL), Ok(b"ab".to_vec()));
    assert_eq!(recv(h, b, 0, DONTWAIT), Err(Errno::AGAIN), "length 0 discards it");
    assert_eq!(recv(h, b, 9, OOB), Err(Errno::INVAL));
    assert_eq!(send(h, a, b"abc", OOB), Ok(3));
    set_int(h, b, SO_RCVLOWAT, 9).unwrap();
    assert_eq!(recv(h, b, 9, 0), Ok(b"ab".to_vec()));
    // Also a reader that waits already.
    let (a, b) = pair(h, STREAM);
    let reader = start(h, move |h| recv(h, b, 9, WAITALL));
    assert_eq!(send(h, a, b"x", 0), Ok(1));
    assert!(reader.waits(h));
    assert_eq!(send(h, a, b"yz", OOB), Ok(2));
    assert_eq!(reader.join(), Ok(b"xy".to_vec()));
}

fn waits_past_the_mark<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"x", OOB), Ok(1));
    let reader = start(h, move |h| recv(h, b, 9, 0));
    assert!(reader.waits(h), "at the mark it discards the byte and waits");
    assert_eq!(recv(h, b, 9, OOB), Err(Errno::INVAL));
    assert_eq!(send(h, a, b"d", 0), Ok(1));
    assert_eq!(reader.join(), Ok(b"d".to_vec()));
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"x", OOB), Ok(1));
    assert_eq!(recv(h, b, 9, OOB), Ok(b"x".to_vec()));
    assert_eq!(recv(h, b, 9, PEEK | DONTWAIT), Err(Errno::AGAIN));
    assert_eq!(poll(h, b), mask("io"), "a peek leaves the placeholder");
    let reader = start(h, move |h| recv(h, b, 9, 0));
    assert!(reader.waits(h), "past a placeholder too");
    assert_eq!(send(h, a, b"d", 0), Ok(1));
    assert_eq!(reader.join(), Ok(b"d".to_vec()));
}

fn placeholder_before_a_mark<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"x", OOB), Ok(1));
    assert_eq!(recv(h, b, 9, OOB), Ok(b"x".to_vec()));
    assert_eq!(send(h, a, b"y", OOB), Ok(1));
    assert_eq!(outq(h, a), Ok(2 * 768));
    assert_eq!(recv(h, b, 9, OOB), Ok(b"y".to_vec()));
    assert_eq!(outq(h, a), Ok(768), "the placeholder right before it is freed");
}

fn offset_at_the_mark<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"abX", OOB), Ok(3));
    assert_eq!(send(h, a, b"cd", 0), Ok(2));
    set_int(h, b, SO_PEEK_OFF, 0).unwrap();
    assert_eq!(recv(h, b, 1, PEEK), Ok(b"a".to_vec()));
    assert_eq!(recv(h, b, 1, PEEK), Ok(b"b".to_vec()));
    assert_eq!(recv(h, b, 9, PEEK), Ok(b"Xcd".to_vec()));
    assert_eq!(get_int(h, b, SO_PEEK_OFF), Ok(5));
    assert_eq!(recv(h, b, 9, 0), Ok(b"ab".to_vec()));
    assert_eq!(get_int(h, b, SO_PEEK_OFF), Ok(3));
    assert_eq!(recv(h, b, 9, 0), Ok(b"cd".to_vec()));
    assert_eq!(get_int(h, b, SO_PEEK_OFF), Ok(1), "a discarded byte does not move it");
}
