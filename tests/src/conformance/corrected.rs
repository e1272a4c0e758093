//! Rules whose page was wrong: what the kernel does instead, one case each (`tests/corrected.txt`).

use afunix::control::ControlOut;
use afunix::{Call, Errno, Host, NameOut, RawName, RecvFlags, SegmentMut};

use super::{Case, start, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "LISTEN 4" full_table_before_what_it_is,
        "MEM 11" any_wake_lets_a_writer_look,
        "DSEND 4" blocked_sender_is_charged,
        "QSEND 1" not_connected_before_control,
        "OOB 8" no_mark_on_records,
        "RCMSG 9" lost_credentials_are_not_told,
    ]
}

fn full_table_before_what_it_is<H: Host>(h: &H) {
    let dgram = socket(h, DGRAM).unwrap();
    let fresh = socket(h, STREAM).unwrap();
    set_limit(h, fresh as u32 + 1).unwrap();
    for fd in [0, dgram, fresh] {
        assert_eq!(accept(h, fd, 1), Err(Errno::INVAL), "bad flags come first");
        assert_eq!(accept(h, fd, 0), Err(Errno::MFILE), "descriptor {fd}");
    }
}

fn any_wake_lets_a_writer_look<H: Host>(h: &H) {
    let (a, b) = pair(h, SEQPACKET);
    for _ in 0..278 {
        assert_eq!(send(h, a, b"x", 0), Ok(1));
    }
    let waiting = start(h, move |h| send(h, a, b"y", 0));
    assert_eq!(recv(h, b, 1, 0), Ok(b"x".to_vec()));
    assert!(waiting.waits(h), "there is room, and nothing woke it");
    assert_eq!(send(h, b, b"z", 0), Ok(1), "this wakes whoever waits at the other end");
    assert_eq!(waiting.join(), Ok(1));
}

fn blocked_sender_is_charged<H: Host>(h: &H) {
    let target = bound(h, DGRAM, &hidden("s"));
    let fd = socket(h, DGRAM).unwrap();
    connect(h, fd, &hidden("s")).unwrap();
    for _ in 0..11 {
        assert_eq!(send(h, fd, b"x", DONTWAIT), Ok(1));
    }
    assert_eq!(outq(h, fd), Ok(11 * 768));
    let waiting = start(h, move |h| send(h, fd, b"y", 0));
    assert!(waiting.waits(h));
    assert_eq!(outq(h, fd), Ok(12 * 768));
    recv(h, target, 1, 0).unwrap();
    assert_eq!(waiting.join(), Ok(1));
    assert_eq!(outq(h, fd), Ok(11 * 768));
}

fn not_connected_before_control<H: Host>(h: &H) {
    let fd = socket(h, SEQPACKET).unwrap();
    let malformed = [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0];
    for control in [&malformed[..], &rights(&[99])] {
        assert_eq!(sendmsg(h, fd, b"x", control), Err(Errno::NOTCONN));
    }
    assert_eq!(sendto(h, fd, b"x", OOB, RawName::NONE), Err(Errno::NOTCONN));
    let (a, _b) = pair(h, SEQPACKET);
    assert_eq!(sendmsg(h, a, b"x", &malformed), Err(Errno::INVAL));
    assert_eq!(sendmsg(h, a, b"x", &rights(&[99])), Err(Errno::BADF));
}

fn no_mark_on_records<H: Host>(h: &H) {
    for kind in [DGRAM, SEQPACKET] {
        let (a, b) = pair(h, kind);
        assert_eq!(ioctl(h, b, SIOCATMARK, 0), Err(Errno::OPNOTSUPP));
        assert_eq!(send(h, a, b"x", 0), Ok(1));
        assert_eq!(ioctl(h, b, SIOCATMARK, 0), Err(Errno::OPNOTSUPP));
    }
}

fn lost_credentials_are_not_told<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    set_int(h, b, SO_PASSCRED, 1).unwrap();
    assert_eq!(send(h, a, b"x", 0), Ok(1));
    let (mut byte, mut name) = ([0], NameOut::nothing());
    let mut control = ControlOut::fault(64);
    let mut flags_out = RecvFlags::empty();
    let got = h.call(&mut Call::Recvmsg {
        fd: crate::raw::fd(b),
        name: &mut name,
        data: &mut [SegmentMut::Bytes(&mut byte)],
        control: &mut control,
        flags: RecvFlags::empty(),
        flags_out: &mut flags_out,
        progress: 0,
    });
    assert_eq!((got, control.len, flags_out), (Ok(1), 0, RecvFlags::empty()));
}
