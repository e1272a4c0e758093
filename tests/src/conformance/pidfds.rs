//! pidfds: SO_PEERPIDFD (OPT) and SCM_PIDFD (RCMSG).

use std::time::Duration;

use afunix::call::{Fcntl, OptionOut};
use afunix::{Call, Errno, Host, ProcessSpec, Readiness};

use super::{Case, start, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "RCMSG 1" order_with_pidfd,
        "RCMSG 3" no_pid_no_pidfd,
        "RCMSG 3" pidfd_that_nobody_is_told_of,
        "RCMSG 6" pidfd_needs_room,
        "RCMSG 10" pidfd_of_the_sender,
        "RCMSG 10" full_table,
        "OPT 2" peer_pidfd,
        "OPT 11" peer_pidfd_is_installed,
        "OPT 11" pidfd_is_no_stream,
        "POLL 1" pidfd_of_an_ended_process,
    ]
}

const ALIVE: Readiness = Readiness::empty();
const READ: Readiness = Readiness::IN.union(Readiness::RDNORM);
const WAITED: Readiness = READ.union(Readiness::HUP);

/// A datagram or seqpacket pair, whose second end is told of its senders' pidfds.
fn told<H: Host>(h: &H, kind: i32) -> (i32, i32) {
    let (a, b) = pair(h, kind);
    set_int(h, b, SO_PASSPIDFD, 1).unwrap();
    (a, b)
}

/// The number in a message's one SCM_PIDFD.
fn pidfd(message: &Message) -> i32 {
    let (kind, data) = message.control.last().expect("a control message");
    assert_eq!(*kind, SCM_PIDFD);
    i32::from_ne_bytes(data[..].try_into().expect("four bytes"))
}

fn order_with_pidfd<H: Host>(h: &H) {
    let (a, b) = told(h, STREAM);
    set_int(h, b, SO_PASSCRED, 1).unwrap();
    set_int(h, b, SO_INQ, 1).unwrap();
    assert_eq!(sendmsg(h, a, b"x", &rights(&[0])), Ok(1));
    let message = recvmsg(h, b, 9, 256, 0).unwrap();
    let kinds: Vec<i32> = message.control.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [SCM_CREDENTIALS, SCM_RIGHTS, SCM_PIDFD, SO_INQ]);
    assert_eq!(message.flags, 0);
}

fn no_pid_no_pidfd<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        send(h, a, b"x", 0).unwrap();
        set_int(h, b, SO_PASSPIDFD, 1).unwrap();
        let message = recvmsg(h, b, 9, 64, 0).unwrap();
        assert_eq!((message.control, message.flags), (vec![], 0), "none was attached");
        send(h, a, b"x", 0).unwrap();
        assert_eq!(recvmsg(h, b, 9, 64, 0).unwrap().control.len(), 1);
    }
    let (a, b) = told(h, STREAM);
    close(h, a).unwrap();
    assert_eq!(recvmsg(h, b, 9, 64, 0), Ok(Message::default()), "nor at the end");
}

/// A stream's control messages are made although the bytes could not be written.
fn pidfd_that_nobody_is_told_of<H: Host>(h: &H) {
    for (kind, made) in [(STREAM, 1), (DGRAM, 0), (SEQPACKET, 0)] {
        let (a, b) = told(h, kind);
        send(h, a, b"x", 0).unwrap();
        let free = dup(h, a).unwrap();
        close(h, free).unwrap();
        let flags = DONTWAIT;
        assert_eq!(recvmmsg(h, b, (1, 9), Some(0), flags, None), Err(Errno::FAULT));
        assert_eq!(dup(h, a), Ok(free + made), "type {kind}");
    }
    // A peek of nothing that goes on to the mark.
    let (a, b) = told(h, STREAM);
    send(h, a, b"xy", OOB).unwrap();
    let free = dup(h, a).unwrap();
    close(h, free).unwrap();
    assert_eq!(recvmsg(h, b, 0, 64, PEEK | DONTWAIT), Err(Errno::AGAIN));
    assert_eq!(dup(h, a), Ok(free + 1));
}

fn pidfd_needs_room<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, b) = told(h, kind);
        send(h, a, b"x", 0).unwrap();
        for room in [0, 15, 16, 19] {
            let message = recvmsg(h, b, 9, room, PEEK).unwrap();
            assert_eq!((message.control, message.flags), (vec![], CTRUNC), "room for {room}");
        }
        for room in [20, 23, 24, 64] {
            let message = recvmsg(h, b, 9, room, PEEK).unwrap();
            assert_eq!((pidfd(&message), message.flags), (message_fd(h), 0));
            assert_eq!(message.control_len, room.min(24));
        }
        // Behind the credentials, too.
        set_int(h, b, SO_PASSCRED, 1).unwrap();
        for (room, count, flags) in [(32, 1, CTRUNC), (51, 1, CTRUNC), (52, 2, 0)] {
            let message = recvmsg(h, b, 9, room, PEEK).unwrap();
            assert_eq!((message.control.len(), message.flags), (count, flags));
        }
    }
}

/// The number that was given out last: the lowest free one is next.
fn message_fd<H: Host>(h: &H) -> i32 {
    let next = dup(h, 0).unwrap();
    close(h, next).unwrap();
    next - 1
}

fn pidfd_of_the_sender<H: Host>(h: &H) {
    let (a, b) = told(h, DGRAM);
    let child = h.process(ProcessSpec::new("sender").fd(crate::raw::owned(h.clone(), a), 3), |h| {
        assert_eq!(send(h, 3, b"x", 0), Ok(1));
        h.sleep(Duration::from_millis(80));
        0
    });
    let child = child.unwrap();
    let message = recvmsg(h, b, 9, 64, 0).unwrap();
    let of_child = pidfd(&message);
    assert_eq!(fcntl(h, of_child, Fcntl::Getfd), Ok(1), "close-on-exec");
    assert_eq!(poll(h, of_child), ALIVE);
    let ends = poll_for(h, of_child, Readiness::IN, Some(Duration::from_secs(9)));
    assert_eq!(ends, Ok(Readiness::IN));
    child.wait().unwrap();
    assert_eq!(poll(h, of_child), WAITED);
    // A sender that is gone.
    let (a, b) = told(h, STREAM);
    let spec = ProcessSpec::new("sender").fd(crate::raw::owned(h.clone(), a), 3);
    let child = h.process(spec, |h| {
        assert_eq!(send(h, 3, b"x", 0), Ok(1));
        0
    });
    child.unwrap().wait().unwrap();
    let gone = pidfd(&recvmsg(h, b, 9, 64, 0).unwrap());
    assert_eq!(poll(h, gone), WAITED);
}

fn full_table<H: Host>(h: &H) {
    let (a, b) = told(h, DGRAM);
    send(h, a, b"x", 0).unwrap();
    let used = message_fd(h) + 1;
    set_limit(h, used as u32).unwrap();
    let message = recvmsg(h, b, 9, 64, 0).unwrap();
    assert_eq!((pidfd(&message), message.flags), (-Errno::MFILE.raw(), 0));
    assert_eq!(get_int(h, a, SO_PEERPIDFD), Err(Errno::MFILE));
}

fn peer_pidfd<H: Host>(h: &H) {
    for kind in TYPES {
        let fresh = socket(h, kind).unwrap();
        assert_eq!(get_int(h, fresh, SO_PEERPIDFD), Err(Errno::NODATA));
        let (a, _b) = pair(h, kind);
        let own = get_int(h, a, SO_PEERPIDFD).unwrap();
        assert_eq!(poll(h, own), ALIVE);
        close(h, own).unwrap();
    }
    let server = bound(h, STREAM, &hidden("s"));
    assert_eq!(get_int(h, server, SO_PEERPIDFD), Err(Errno::NODATA));
    listen(h, server, 4).unwrap();
    assert_eq!(poll(h, get_int(h, server, SO_PEERPIDFD).unwrap()), ALIVE, "its own process");
}

fn peer_pidfd_is_installed<H: Host>(h: &H) {
    let (a, _b) = pair(h, STREAM);
    let next = message_fd(h) + 1;
    for (len, told) in [(4, vec![next as u8, 0, 0, 0]), (2, vec![next as u8 + 1, 0]), (0, vec![])] {
        assert_eq!(getsockopt(h, a, SO_PEERPIDFD, len), Ok(told));
    }
    assert_eq!(message_fd(h), next + 2, "also where its number is not told");
    for fd in next..next + 3 {
        assert_eq!(fcntl(h, fd, Fcntl::Getfd), Ok(1));
        assert_eq!(poll(h, fd), ALIVE);
    }
    let mut buffer = [0; 4];
    let mut value = OptionOut { buffer: &mut buffer, len: -1 };
    let fd = crate::raw::fd(a);
    let mut call =
        Call::Getsockopt { fd, level: SOL_SOCKET, option: SO_PEERPIDFD, value: &mut value };
    assert_eq!(h.call(&mut call), Err(Errno::INVAL));
}

fn pidfd_is_no_stream<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let fd = get_int(h, a, SO_PEERPIDFD).unwrap();
    for len in [0, 1] {
        assert_eq!(read(h, fd, len), Err(Errno::INVAL));
        assert_eq!(write(h, fd, &vec![0; len]), Err(Errno::INVAL));
    }
    assert_eq!(lseek(h, fd, 0), Err(Errno::SPIPE));
    assert_eq!(fchmod(h, fd, 0o600), Err(Errno::OPNOTSUPP));
    assert_eq!(inq(h, fd), Err(Errno::NOTTY));
    assert_eq!(recv(h, fd, 1, 0), Err(Errno::NOTSOCK));
    let stat = fstat(h, fd).unwrap();
    assert_eq!((stat.mode, stat.size, stat.nlink), (0o700, 0, 1));
    // It can be sent like any file.
    assert_eq!(sendmsg(h, b, b"x", &rights(&[fd])), Ok(1));
    let got = recvmsg(h, a, 1, 64, 0).unwrap().rights()[0];
    assert_eq!(poll(h, got), ALIVE);
}

fn pidfd_of_an_ended_process<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let child = h.process(ProcessSpec::new("peer").fd(crate::raw::owned(h.clone(), b), 3), |h| {
        let (mine, yours) = pair(h, STREAM);
        assert_eq!(sendmsg(h, 3, b"x", &rights(&[yours])), Ok(1));
        close(h, mine).unwrap();
        assert_eq!(recv(h, 3, 1, 0), Ok(b"!".to_vec()));
        0
    });
    let child = child.unwrap();
    // An end of the pair that the child made has the child as its peer.
    let from_child = recvmsg(h, a, 1, 64, 0).unwrap().rights()[0];
    let fd = get_int(h, from_child, SO_PEERPIDFD).unwrap();
    assert_eq!(poll(h, fd), ALIVE);
    let waits = start(h, move |h| poll_for(h, fd, Readiness::IN, None));
    assert!(waits.waits(h));
    send(h, a, b"!", 0).unwrap();
    assert_eq!(waits.join(), Ok(Readiness::IN));
    assert_eq!(poll(h, fd), READ, "a zombie");
    child.wait().unwrap();
    assert_eq!(poll(h, fd), WAITED);
    assert_eq!(poll(h, get_int(h, from_child, SO_PEERPIDFD).unwrap()), WAITED);
}
