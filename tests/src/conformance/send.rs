//! SSEND: send on a stream.

use std::time::Duration;

use afunix::control::RawControl;
use afunix::{Errno, Host, RawName, Segment};

use super::{Case, start, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "SSEND 1" control_errors_first,
        "SSEND 2" empty_out_of_band,
        "SSEND 3" address_given,
        "SSEND 4" no_peer,
        "SSEND 5" own_side_shut,
        "SSEND 6" length_zero,
        "SSEND 7" waits_for_memory,
        "SSEND 8" files_on_the_first_buffer,
        "SSEND 9" fault_drops_the_buffer,
        "SSEND 10" peer_shut_or_dead,
        "SSEND 11" rights_refused,
        "SSEND 12" partial_count,
        "SSEND 13" woken_by_close,
        "SSEND 14" timeout_gives_partial,
    ]
}

fn control_errors_first<H: Host>(h: &H) {
    let fd = socket(h, STREAM).unwrap();
    let name = RawName::Bytes(b"any");
    let bad = rights(&[99]);
    let control = crate::raw::control(&bad);
    assert_eq!(sendmsg_of(h, fd, &[], control, OOB, name), Err(Errno::BADF));
}

fn empty_out_of_band<H: Host>(h: &H) {
    let fd = socket(h, STREAM).unwrap();
    assert_eq!(send(h, fd, b"", OOB), Err(Errno::OPNOTSUPP));
    assert_eq!(send(h, fd, b"x", OOB), Err(Errno::NOTCONN));
}

fn address_given<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(sendto(h, a, b"x", 0, RawName::Bytes(b"zz")), Err(Errno::ISCONN));
    let fd = socket(h, STREAM).unwrap();
    assert_eq!(sendto(h, fd, b"x", 0, RawName::Bytes(b"zz")), Err(Errno::OPNOTSUPP));
    assert_eq!(sendto(h, a, b"x", 0, RawName::Null { len: 20 }), Ok(1));
    assert_eq!(recv(h, b, 9, 0), Ok(b"x".to_vec()));
}

fn no_peer<H: Host>(h: &H) {
    let fd = bound(h, STREAM, &hidden("s"));
    assert_eq!(send(h, fd, b"x", 0), Err(Errno::NOTCONN));
    assert_eq!(write(h, fd, b""), Err(Errno::NOTCONN));
    assert_eq!(shutdown(h, fd, WR), Ok(0));
    assert_eq!(send(h, fd, b"x", 0), Err(Errno::NOTCONN));
}

fn own_side_shut<H: Host>(h: &H) {
    let (a, _b) = pair(h, STREAM);
    assert_eq!(shutdown(h, a, WR), Ok(0));
    assert_eq!(send(h, a, b"x", 0), Err(Errno::PIPE));
    assert_eq!(send(h, a, b"", 0), Err(Errno::PIPE));
    assert_eq!(send(h, a, b"x", OOB), Err(Errno::PIPE));
}

fn length_zero<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"", 0), Ok(0));
    assert_eq!(sendmsg(h, a, b"", &rights(&[a])), Ok(0));
    assert_eq!((outq(h, a), poll(h, b)), (Ok(0), mask("o")));
    close(h, b).unwrap();
    assert_eq!(send(h, a, b"", 0), Err(Errno::PIPE), "its close shut this side");
}

fn waits_for_memory<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    set_int(h, a, SO_SNDBUF, 0).unwrap();
    assert_eq!(send(h, a, &[1; 9000], DONTWAIT), Ok(4480));
    assert_eq!(send(h, a, b"x", DONTWAIT), Err(Errno::AGAIN));
    let waiting = start(h, move |h| send(h, a, b"yy", 0));
    assert!(waiting.waits(h));
    assert_eq!(recv(h, b, 9000, 0).unwrap().len(), 4480);
    assert_eq!(waiting.join(), Ok(2));
    assert_eq!(recv(h, b, 2, 0), Ok(b"yy".to_vec()));

    assert_eq!(send(h, a, &[1; 9000], DONTWAIT), Ok(4480));
    let waiting = start(h, move |h| send(h, a, &[1; 9000], 0));
    assert!(waiting.waits(h));
    assert_eq!(shutdown(h, a, WR), Ok(0));
    assert_eq!(waiting.join(), Err(Errno::PIPE));
}

fn files_on_the_first_buffer<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(sendmsg(h, a, &[1; 40_000], &rights(&[0])), Ok(40_000));
    let first = recvmsg(h, b, 40_000, 64, 0).unwrap();
    assert_eq!((first.count, first.rights().len()), (36_544, 1));
    let second = recvmsg(h, b, 40_000, 64, 0).unwrap();
    assert_eq!((second.count, second.rights().len()), (40_000 - 36_544, 0));
}

fn fault_drops_the_buffer<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let data = [Segment::Bytes(b"good"), Segment::Fault(4)];
    assert_eq!(sendmsg_of(h, a, &data, RawControl::NONE, 0, RawName::NONE), Err(Errno::FAULT));
    assert_eq!((inq(h, b), outq(h, a)), (Ok(0), Ok(0)));
    let long = vec![7; 40_000];
    let data = [Segment::Bytes(&long), Segment::Fault(4)];
    assert_eq!(sendmsg_of(h, a, &data, RawControl::NONE, 0, RawName::NONE), Ok(36_544));
    assert_eq!(inq(h, b), Ok(36_544));
}

fn peer_shut_or_dead<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(shutdown(h, b, RD), Ok(0));
    assert_eq!(send(h, a, b"x", 0), Err(Errno::PIPE));
    let (a, b) = pair(h, STREAM);
    assert_eq!(close(h, b), Ok(0));
    assert_eq!(send(h, a, b"x", 0), Err(Errno::PIPE));
    assert_eq!(write(h, a, b"x"), Err(Errno::PIPE));
}

fn rights_refused<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        assert_eq!(set_int(h, b, SO_PASSRIGHTS, 0), Ok(0));
        assert_eq!(sendmsg(h, a, b"x", &rights(&[0])), Err(Errno::PERM));
        assert_eq!(sendmsg(h, a, b"x", &[]), Ok(1));
        assert_eq!(set_int(h, b, SO_PASSRIGHTS, 1), Ok(0));
        assert_eq!(sendmsg(h, a, b"x", &rights(&[0])), Ok(1));
    }
}

fn partial_count<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    set_int(h, a, SO_SNDBUF, 0).unwrap();
    assert_eq!(send(h, a, &[1; 5000], DONTWAIT), Ok(4480));
    let waiting = start(h, move |h| {
        recv(h, b, 9000, 0).unwrap();
        send(h, a, &vec![1; 9000], 0)
    });
    assert!(waiting.waits(h));
    assert_eq!(shutdown(h, a, WR), Ok(0));
    assert_eq!(waiting.join(), Ok(4480));
    assert_eq!(inq(h, b), Ok(4480));
}

fn woken_by_close<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    set_int(h, a, SO_SNDBUF, 0).unwrap();
    assert_eq!(send(h, a, &[1; 9000], DONTWAIT), Ok(4480));
    let waiting = start(h, move |h| send(h, a, b"x", 0));
    assert!(waiting.waits(h));
    assert_eq!(close(h, b), Ok(0));
    assert_eq!(waiting.join(), Err(Errno::CONNRESET));
    assert_eq!(send(h, a, b"x", 0), Err(Errno::PIPE));

    let (a, b) = pair(h, STREAM);
    set_int(h, a, SO_SNDBUF, 0).unwrap();
    assert_eq!(send(h, a, &[1; 9000], DONTWAIT), Ok(4480));
    let waiting = start(h, move |h| send(h, a, b"x", 0));
    assert_eq!(shutdown(h, b, RD), Ok(0));
    assert_eq!(waiting.join(), Err(Errno::PIPE));
}

fn timeout_gives_partial<H: Host>(h: &H) {
    let (a, _b) = pair(h, STREAM);
    set_int(h, a, SO_SNDBUF, 0).unwrap();
    set_timeout(h, a, SO_SNDTIMEO, 60).unwrap();
    let begin = h.now();
    assert_eq!(send(h, a, &[1; 9000], 0), Ok(4480));
    assert_eq!(send(h, a, &[1; 9000], 0), Err(Errno::AGAIN));
    assert!(h.now() - begin >= Duration::from_millis(120));
}
