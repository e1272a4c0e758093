//! DSEND, QSEND: send on datagram and seqpacket; DRECV: receive.

use afunix::control::RawControl;
use afunix::{Errno, Host, NameOut, RawName, Segment, SegmentMut};

use super::{Case, start, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "DSEND 1" errors_in_order,
        "DSEND 2" sending_elsewhere,
        "DSEND 3" peer_was_closed,
        "DSEND 4" flow_control,
        "DSEND 4" no_limit_for_mutual_peers,
        "DSEND 5" blocked_sender,
        "DSEND 6" waiters_in_order,
        "DSEND 7" blocked_for_memory,
        "QSEND 1" seqpacket_errors,
        "QSEND 2" empty_records,
        "DRECV 1" not_established,
        "DRECV 2" error_before_data,
        "DRECV 3" short_buffer,
        "DRECV 3" empty_reads,
        "DRECV 4" fault_loses_the_message,
        "DRECV 5" shut_for_reading,
        "DRECV 6" error_queue_flag,
        "DRECV 7" name_of_now,
    ]
}

fn errors_in_order<H: Host>(h: &H) {
    let fd = socket(h, DGRAM).unwrap();
    let huge = vec![0; 300_000];
    assert_eq!(send(h, fd, &huge, OOB), Err(Errno::OPNOTSUPP));
    assert_eq!(send_to(h, fd, &huge, &name(9, b"x")), Err(Errno::INVAL));
    assert_eq!(send_to(h, fd, &huge, &path("missing")), Err(Errno::MSGSIZE));
    assert_eq!(send(h, fd, &huge, 0), Err(Errno::MSGSIZE));
    assert_eq!(send(h, fd, b"x", 0), Err(Errno::NOTCONN));
    let data = [Segment::Fault(3)];
    assert_eq!(sendmsg_of(h, fd, &data, RawControl::NONE, 0, RawName::NONE), Err(Errno::FAULT));
    assert_eq!(send_to(h, fd, b"x", &path("missing")), Err(Errno::NOENT));
    assert_eq!(send_to(h, fd, b"x", &hidden("missing")), Err(Errno::CONNREFUSED));
    assert_eq!(shutdown(h, fd, WR), Ok(0));
    assert_eq!(send(h, fd, b"x", 0), Err(Errno::PIPE));
    assert_eq!(send_to(h, fd, b"x", &path("missing")), Err(Errno::PIPE));
    let (a, b) = pair(h, DGRAM);
    assert_eq!(shutdown(h, b, RD), Ok(0));
    assert_eq!(send(h, a, b"x", 0), Err(Errno::PIPE));
}

fn sending_elsewhere<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    let other = bound(h, DGRAM, &hidden("other"));
    assert_eq!(send_to(h, a, b"there", &hidden("other")), Ok(5));
    assert_eq!(sendto(h, a, b"here", 0, RawName::Bytes(&[])), Ok(4));
    assert_eq!(recv(h, other, 9, DONTWAIT), Ok(b"there".to_vec()));
    assert_eq!(recv(h, b, 9, DONTWAIT), Ok(b"here".to_vec()));
}

fn peer_was_closed<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    assert_eq!(send(h, b, b"one", 0), Ok(3));
    assert_eq!(send(h, b, b"two", 0), Ok(3));
    assert_eq!(close(h, b), Ok(0));
    assert_eq!(poll(h, a), mask("io"));
    assert_eq!(recv(h, a, 9, DONTWAIT), Ok(b"one".to_vec()));
    assert_eq!(send(h, a, b"x", 0), Err(Errno::CONNREFUSED));
    assert_eq!(recv(h, a, 9, DONTWAIT), Err(Errno::AGAIN), "its own queue is purged");
    assert_eq!(send(h, a, b"x", 0), Err(Errno::NOTCONN));
}

fn flow_control<H: Host>(h: &H) {
    let target = bound(h, DGRAM, &hidden("s"));
    let fd = socket(h, DGRAM).unwrap();
    assert_eq!(connect(h, fd, &hidden("s")), Ok(0));
    for _ in 0..10 {
        assert_eq!(send(h, fd, b"x", DONTWAIT), Ok(1));
    }
    assert_eq!(poll(h, fd), mask("o"));
    assert_eq!(send(h, fd, b"x", DONTWAIT), Ok(1));
    assert_eq!(poll(h, fd), mask(""));
    assert_eq!(send(h, fd, b"x", DONTWAIT), Err(Errno::AGAIN));
    let free = socket(h, DGRAM).unwrap();
    assert_eq!(poll(h, free), mask("o"), "POLL 2: an unconnected one stays writable");
    assert_eq!(send_to(h, free, b"x", &hidden("s")), Err(Errno::AGAIN));
    let at_once = [(-1i64).to_ne_bytes(), 0i64.to_ne_bytes()].concat();
    setsockopt(h, fd, afunix::options::SO_SNDTIMEO, &at_once).unwrap();
    assert_eq!(send(h, fd, b"x", 0), Err(Errno::AGAIN), "OPT 10: a negative time is none");
    recv(h, target, 1, 0).unwrap();
    assert_eq!(poll(h, fd), mask("o"));
    assert_eq!(send_to(h, free, b"x", &hidden("s")), Ok(1));
}

fn no_limit_for_mutual_peers<H: Host>(h: &H) {
    let fd = bound(h, DGRAM, &hidden("me"));
    let sent = (0..).find(|_| send_to(h, fd, b"x", &hidden("me")) == Err(Errno::AGAIN));
    assert_eq!(sent, Some(278), "to oneself");
}

fn blocked_sender<H: Host>(h: &H) {
    let target = bound(h, DGRAM, &hidden("s"));
    let fd = socket(h, DGRAM).unwrap();
    assert_eq!(connect(h, fd, &hidden("s")), Ok(0));
    for _ in 0..11 {
        assert_eq!(send(h, fd, b"x", 0), Ok(1));
    }
    let waiting = start(h, move |h| send(h, fd, b"y", 0));
    assert!(waiting.waits(h));
    assert_eq!(shutdown(h, target, RD), Ok(0));
    assert!(waiting.waits(h), "a shutdown does not wake it");
    recv(h, target, 1, 0).unwrap();
    assert_eq!(waiting.join(), Err(Errno::PIPE));

    let target = bound(h, DGRAM, &hidden("t"));
    assert_eq!(connect(h, fd, &hidden("t")), Ok(0));
    for _ in 0..11 {
        assert_eq!(send(h, fd, b"x", 0), Ok(1));
    }
    let waiting = start(h, move |h| send(h, fd, b"y", 0));
    assert!(waiting.waits(h));
    assert_eq!(close(h, target), Ok(0));
    assert_eq!(waiting.join(), Err(Errno::CONNREFUSED));
}

fn waiters_in_order<H: Host>(h: &H) {
    let target = bound(h, DGRAM, &hidden("s"));
    let fd = socket(h, DGRAM).unwrap();
    for _ in 0..11 {
        assert_eq!(send_to(h, fd, b"x", &hidden("s")), Ok(1));
    }
    let send_and_wait = |text: &'static [u8]| {
        start(h, move |h| sendto(h, fd, text, 0, RawName::Bytes(&hidden("s"))))
    };
    let (first, second) = (send_and_wait(b"first"), send_and_wait(b"second"));
    recv(h, target, 1, 0).unwrap();
    assert_eq!(first.join(), Ok(5));
    assert!(second.waits(h), "one per recv");
    recv(h, target, 1, 0).unwrap();
    assert_eq!(second.join(), Ok(6));
}

fn blocked_for_memory<H: Host>(h: &H) {
    for (kind, errno) in [(DGRAM, Errno::CONNREFUSED), (SEQPACKET, Errno::CONNRESET)] {
        let (a, b) = pair(h, kind);
        while send(h, a, &[0; 16_000], DONTWAIT).is_ok() {}
        let waiting = start(h, move |h| send(h, a, b"x", 0));
        assert!(waiting.waits(h));
        assert_eq!(close(h, b), Ok(0));
        assert_eq!(waiting.join(), Err(errno), "type {kind}");
    }
    for kind in [DGRAM, SEQPACKET] {
        let (a, _b) = pair(h, kind);
        while send(h, a, &[0; 16_000], DONTWAIT).is_ok() {}
        let waiting = start(h, move |h| send(h, a, b"x", 0));
        assert_eq!(shutdown(h, a, WR), Ok(0));
        assert_eq!(waiting.join(), Err(Errno::PIPE), "type {kind}");
    }
}

fn seqpacket_errors<H: Host>(h: &H) {
    let fd = socket(h, SEQPACKET).unwrap();
    assert_eq!(send(h, fd, b"x", 0), Err(Errno::NOTCONN));
    assert_eq!(sendmsg(h, fd, b"x", &rights(&[99])), Err(Errno::NOTCONN), "before CMSG");
    let (a, b) = pair(h, SEQPACKET);
    assert_eq!(sendto(h, a, b"x", 0, RawName::Bytes(b"garbage")), Ok(1));
    assert_eq!(recv(h, b, 9, 0), Ok(b"x".to_vec()));
    assert_eq!(send(h, a, b"x", OOB), Err(Errno::OPNOTSUPP));
    assert_eq!(send(h, a, b"unread", 0), Ok(6));
    assert_eq!(close(h, b), Ok(0));
    assert_eq!(sendmsg(h, a, b"x", &rights(&[99])), Err(Errno::CONNRESET), "before CMSG");
}

fn empty_records<H: Host>(h: &H) {
    let (a, b) = pair(h, SEQPACKET);
    assert_eq!(send(h, a, b"", 0), Ok(0));
    assert_eq!(write(h, a, b""), Ok(0));
    assert_eq!(sendmsg_of(h, a, &[], RawControl::NONE, 0, RawName::NONE), Ok(0));
    assert_eq!(outq(h, a), Ok(3 * 768));
    assert_eq!(writev(h, a, &[b"", b""]), Ok(0));
    assert_eq!(writev(h, a, &[]), Ok(0));
    assert_eq!(outq(h, a), Ok(3 * 768), "writev of nothing queues nothing");
    assert_eq!(send(h, a, b"x", 0x80), Ok(1));
    for _ in 0..3 {
        assert_eq!(recv(h, b, 9, DONTWAIT), Ok(vec![]));
    }
    let message = recvmsg(h, b, 9, 0, DONTWAIT).unwrap();
    assert_eq!((message.data, message.flags), (b"x".to_vec(), 0), "MSG_EOR is not reported");
    assert_eq!(shutdown(h, a, WR), Ok(0));
    assert_eq!(writev(h, a, &[]), Ok(0));
    assert_eq!(send(h, a, b"", 0), Err(Errno::PIPE));
}

fn not_established<H: Host>(h: &H) {
    let fd = socket(h, SEQPACKET | NONBLOCK).unwrap();
    assert_eq!(recv(h, fd, 1, 0), Err(Errno::NOTCONN));
    assert_eq!(read(h, fd, 1), Err(Errno::NOTCONN));
    assert_eq!(recv(h, fd, 1, OOB), Err(Errno::NOTCONN));
    let (a, _b) = pair(h, SEQPACKET);
    assert_eq!(recv(h, a, 1, OOB), Err(Errno::OPNOTSUPP));
    let dgram = socket(h, DGRAM).unwrap();
    assert_eq!(recv(h, dgram, 1, OOB), Err(Errno::OPNOTSUPP));
    assert_eq!(recv(h, dgram, 1, DONTWAIT), Err(Errno::AGAIN));
}

fn error_before_data<H: Host>(h: &H) {
    let (a, b) = pair(h, SEQPACKET);
    assert_eq!(send(h, a, b"unread", 0), Ok(6));
    assert_eq!(send(h, b, b"data", 0), Ok(4));
    assert_eq!(close(h, b), Ok(0));
    assert_eq!(recv(h, a, 9, 0), Err(Errno::CONNRESET));
    assert_eq!(recv(h, a, 9, 0), Ok(b"data".to_vec()));
    assert_eq!(recv(h, a, 9, 0), Ok(vec![]));
}

fn short_buffer<H: Host>(h: &H) {
    for kind in [DGRAM, SEQPACKET] {
        let (a, b) = pair(h, kind);
        for _ in 0..5 {
            assert_eq!(send(h, a, b"message", 0), Ok(7));
        }
        let message = recvmsg(h, b, 3, 0, PEEK | TRUNC).unwrap();
        assert_eq!((message.count, message.flags), (7, TRUNC));
        let message = recvmsg(h, b, 3, 0, 0).unwrap();
        assert_eq!((&message.data[..], message.flags), (&b"mes"[..], TRUNC));
        assert_eq!(recv_count(h, b, 3, TRUNC), Ok(7));
        assert_eq!(recv(h, b, 0, 0), Ok(vec![]));
        assert_eq!(read(h, b, 2), Ok(b"me".to_vec()));
        assert_eq!(recvmsg(h, b, 9, 0, 0).unwrap().flags, 0);
        assert_eq!(recv(h, b, 1, DONTWAIT), Err(Errno::AGAIN));
    }
}

fn empty_reads<H: Host>(h: &H) {
    for kind in [DGRAM, SEQPACKET] {
        let (a, b) = pair(h, kind);
        assert_eq!(send(h, a, b"kept", 0), Ok(4));
        assert_eq!(read(h, b, 0), Ok(vec![]));
        assert_eq!(inq(h, b), Ok(4));
        assert_eq!(recvmsg(h, b, 0, 0, 0).unwrap().flags, TRUNC);
        assert_eq!(inq(h, b), Ok(0));
    }
}

fn fault_loses_the_message<H: Host>(h: &H) {
    for kind in [DGRAM, SEQPACKET] {
        let (a, b) = pair(h, kind);
        assert_eq!(send(h, a, b"lost", 0), Ok(4));
        let nowhere = SegmentMut::Fault(9);
        assert_eq!(recv_into(h, b, nowhere, 0, &mut NameOut::nothing()), Err(Errno::FAULT));
        assert_eq!((inq(h, b), outq(h, a)), (Ok(0), Ok(0)));
    }
}

fn shut_for_reading<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    assert_eq!(send(h, b, b"left", 0), Ok(4));
    assert_eq!(shutdown(h, a, RD), Ok(0));
    assert_eq!(recv(h, a, 9, 0), Ok(b"left".to_vec()));
    assert_eq!(recv(h, a, 9, 0), Ok(vec![]));
    assert_eq!(recv(h, a, 9, DONTWAIT), Err(Errno::AGAIN));
    let (a, _b) = pair(h, SEQPACKET);
    assert_eq!(shutdown(h, a, RD), Ok(0));
    assert_eq!(recv(h, a, 9, 0), Ok(vec![]));
    assert_eq!(recv(h, a, 9, DONTWAIT), Ok(vec![]));
}

fn error_queue_flag<H: Host>(h: &H) {
    for kind in [DGRAM, SEQPACKET] {
        let (a, b) = pair(h, kind);
        assert_eq!(send(h, a, b"x", 0), Ok(1));
        assert_eq!(recv(h, b, 9, 0x2000), Ok(b"x".to_vec()));
    }
}

fn name_of_now<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    assert_eq!(send(h, a, b"x", 0), Ok(1));
    assert_eq!(send(h, a, b"y", 0), Ok(1));
    assert_eq!(bind(h, a, &path("late")), Ok(0));
    assert_eq!(recvmsg(h, b, 1, 0, 0).unwrap().name, path("late"));
    assert_eq!(close(h, a), Ok(0));
    assert_eq!(recvmsg(h, b, 1, 0, 0).unwrap().name, path("late"));
}
