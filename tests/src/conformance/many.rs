//! sendmmsg and recvmmsg (SRECV 21, OPT 9).

use std::time::Duration;

use afunix::call::SendHeader;
use afunix::control::RawControl;
use afunix::{Call, Errno, Host, RawName, Segment, SendFlags};

use super::{Case, start, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "SRECV 21" many_at_once,
        "SRECV 21" wait_for_one,
        "SRECV 21" timeout_after_each,
        "SRECV 21" error_after_some,
        "SRECV 21" pending_error_comes_first,
        "SRECV 21" errqueue_leaves_the_error,
        "SRECV 21" end_fills_every_slot,
        "OPT 9" many_are_sent,
        "OPT 9" partial_send_is_the_last,
        "OPT 9" a_wait_in_the_middle_of_a_message,
        "OPT 9" sends_wait_in_the_middle,
        "OPT 9" names_and_control,
    ]
}

fn bytes<'b>(all: &[&'b [u8]]) -> Vec<Segment<'b>> {
    all.iter().map(|bytes| Segment::Bytes(bytes)).collect()
}

/// Sends `ab`, `cd` and so on, `count` of them.
fn send_pairs<H: Host>(h: &H, fd: i32, count: usize) {
    let all = [&b"ab"[..], b"cd", b"ef", b"gh"];
    assert_eq!(sendmmsg(h, fd, &bytes(&all[..count]), 0), Ok(vec![2; count]));
}

/// The bytes of each message.
fn data(messages: Vec<Message>) -> Vec<Vec<u8>> {
    messages.into_iter().map(|message| message.data).collect()
}

/// recvmmsg of up to `count` messages of up to `len` bytes, without waiting.
fn receive<H: Host>(h: &H, fd: i32, count: usize, len: usize) -> Answer<Vec<Vec<u8>>> {
    recvmmsg(h, fd, (count, len), None, DONTWAIT, None).map(data)
}

fn list(all: &[&[u8]]) -> Answer<Vec<Vec<u8>>> {
    Ok(all.iter().map(|one| one.to_vec()).collect())
}

fn many_at_once<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        send_pairs(h, a, 3);
        let whole = list(if kind == STREAM { &[b"abcdef"] } else { &[b"ab", b"cd", b"ef"] });
        assert_eq!(receive(h, b, 4, 8), whole);
        assert_eq!(get_int(h, b, SO_ERROR), Ok(0), "EAGAIN is not kept");
        assert_eq!(receive(h, b, 4, 8), Err(Errno::AGAIN));
        assert_eq!(receive(h, b, 0, 8), Ok(vec![]));
        send_pairs(h, a, 3);
        assert_eq!(receive(h, b, 2, 2), list(&[b"ab", b"cd"]));
        assert_eq!(receive(h, b, 2, 2), list(&[b"ef"]));
    }
    assert_eq!(receive(h, 0, 0, 1), Err(Errno::NOTSOCK));
    assert_eq!(receive(h, 99, 1, 1), Err(Errno::BADF));
    let (a, b) = pair(h, STREAM);
    send(h, a, b"xy", OOB).unwrap();
    let urgent = recvmmsg(h, b, (3, 2), None, OOB, None).unwrap();
    assert_eq!((urgent.len(), urgent[0].flags), (1, OOB), "it ends there");
    assert_eq!(get_int(h, b, SO_ERROR), Ok(0));
}

fn wait_for_one<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        let one = start(h, move |h| recvmmsg(h, b, (3, 9), None, WAITFORONE, None).map(data));
        assert!(one.waits(h));
        send(h, a, b"x", 0).unwrap();
        assert_eq!(one.join(), list(&[b"x"]));
        let all = start(h, move |h| recvmmsg(h, b, (2, 9), None, 0, None).map(data));
        send(h, a, b"x", 0).unwrap();
        assert!(all.waits(h), "else it waits for all");
        send(h, a, b"y", 0).unwrap();
        assert_eq!(all.join(), list(&[b"x", b"y"]));
    }
}

fn timeout_after_each<H: Host>(h: &H) {
    let at_once = Some(Duration::ZERO);
    for kind in [DGRAM, SEQPACKET] {
        let (a, b) = pair(h, kind);
        send_pairs(h, a, 3);
        assert_eq!(recvmmsg(h, b, (3, 9), None, 0, at_once).map(data), list(&[b"ab"]));
        assert_eq!(receive(h, b, 3, 9), list(&[b"cd", b"ef"]));
        let waits = start(h, move |h| recvmmsg(h, b, (3, 9), None, 0, at_once).map(data));
        assert!(waits.waits(h), "before the first message it is not looked at");
        send_pairs(h, a, 1);
        assert_eq!(waits.join(), list(&[b"ab"]));
        // What each message waits at most is SO_RCVTIMEO.
        set_timeout(h, b, SO_RCVTIMEO, 20).unwrap();
        send_pairs(h, a, 2);
        assert_eq!(recvmmsg(h, b, (3, 9), None, 0, None).map(data), list(&[b"ab", b"cd"]));
    }
}

fn error_after_some<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        send_pairs(h, a, 3);
        let faulting = |h: &H| recvmmsg(h, b, (3, 2), Some(1), DONTWAIT, None).map(data);
        assert_eq!(faulting(h), list(&[b"ab"]));
        assert_eq!(receive(h, b, 3, 2), Err(Errno::FAULT), "it was kept");
        // DRECV 4: the message is lost; SRECV 12: the bytes are not.
        let rest = list(if kind == STREAM { &[b"cd", b"ef"] } else { &[b"ef"] });
        assert_eq!(receive(h, b, 3, 2), rest);
        send_pairs(h, a, 2);
        assert_eq!(faulting(h), list(&[b"ab"]));
        assert_eq!(get_int(h, b, SO_ERROR), Ok(Errno::FAULT.raw()));
        assert_eq!(get_int(h, b, SO_ERROR), Ok(0));
    }
}

fn pending_error_comes_first<H: Host>(h: &H) {
    for kind in CONNECTED {
        let (a, b) = pair(h, kind);
        send(h, a, b"data", 0).unwrap();
        send(h, b, b"unread", 0).unwrap();
        close(h, a).unwrap();
        assert_eq!(receive(h, b, 0, 9), Err(Errno::CONNRESET), "before data on a stream too");
        assert_eq!(receive(h, b, 3, 9), list(&[b"data", b"", b""]));
    }
}

/// MSG_ERRQUEUE asks for nothing here, but the pending error is not looked at first.
fn errqueue_leaves_the_error<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    send(h, a, b"data", 0).unwrap();
    send(h, b, b"unread", 0).unwrap();
    close(h, a).unwrap();
    let flags = DONTWAIT | ERRQUEUE;
    assert_eq!(recvmmsg(h, b, (2, 9), None, flags, None).map(data), list(&[b"data"]));
    assert_eq!(receive(h, b, 0, 9), Err(Errno::CONNRESET), "put back after the first message");
}

fn end_fills_every_slot<H: Host>(h: &H) {
    for kind in CONNECTED {
        let (a, b) = pair(h, kind);
        send(h, a, b"x", 0).unwrap();
        shutdown(h, a, WR).unwrap();
        assert_eq!(recvmmsg(h, b, (3, 9), None, 0, None).map(data), list(&[b"x", b"", b""]));
    }
}

fn many_are_sent<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        assert_eq!(sendmmsg(h, a, &[], 0), Ok(vec![]));
        let faulting = [Segment::Bytes(b"ab"), Segment::Fault(2), Segment::Bytes(b"cd")];
        assert_eq!(sendmmsg(h, a, &faulting, 0), Ok(vec![2]));
        assert_eq!(sendmmsg(h, a, &faulting[1..], 0), Err(Errno::FAULT));
        assert_eq!(get_int(h, a, SO_ERROR), Ok(0), "nothing is kept");
        assert_eq!(receive(h, b, 3, 9), list(&[b"ab"]));
        shutdown(h, a, WR).unwrap();
        assert_eq!(sendmmsg(h, a, &faulting, 0x4000), Err(Errno::PIPE));
    }
    assert_eq!(sendmmsg(h, 0, &[], 0), Err(Errno::NOTSOCK));
    let (a, b) = pair(h, DGRAM);
    set_int(h, a, SO_SNDBUF, 4_000_000).unwrap();
    let one = [Segment::Bytes(b"x")];
    assert_eq!(sendmmsg(h, a, &one.repeat(1500), DONTWAIT).map(|all| all.len()), Ok(1024));
    assert_eq!(sendmmsg(h, a, &one.repeat(476), DONTWAIT).map(|all| all.len()), Ok(476));
    assert_eq!(receive(h, b, 1600, 1).map(|all| all.len()), Ok(1500), "no limit here");
    // What was sent in part is the last.
    let (a, _b) = pair(h, STREAM);
    let large = vec![0; 400_000];
    let two = bytes(&[&large, b"x"]);
    assert_eq!(sendmmsg(h, a, &two, DONTWAIT), Ok(vec![219_264]));
    assert_eq!(sendmmsg(h, a, &two, DONTWAIT), Err(Errno::AGAIN));
}

/// One message, of several parts and with descriptors.
fn header<'b>(data: &[Segment<'b>], control: RawControl<'b>) -> SendHeader<'b> {
    SendHeader { name: RawName::NONE, data: data.to_vec(), control, len: 0 }
}

fn send_headers<H: Host>(h: &H, fd: i32, messages: &mut [SendHeader<'_>]) -> Answer {
    let flags = SendFlags::empty();
    h.call(&mut Call::Sendmmsg { fd: crate::raw::fd(fd), messages, flags, progress: 0 })
}

fn partial_send_is_the_last<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let (buffer, rest) = (vec![0; 36_544], [Segment::Bytes(b"x")]);
    let cut = [Segment::Bytes(&buffer), Segment::Fault(9)];
    let mut messages = [header(&cut, RawControl::NONE), header(&rest, RawControl::NONE)];
    assert_eq!(send_headers(h, a, &mut messages), Ok(1));
    assert_eq!(messages[0].len, 36_544);
    assert_eq!(inq(h, b), Ok(36_544));
}

fn a_wait_in_the_middle_of_a_message<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    set_int(h, a, SO_SNDBUF, 4608).unwrap();
    let all: Vec<u8> = (0..36_353).map(|place| (place / 7) as u8).collect();
    let expected = all.clone();
    let waits = start(h, move |h| {
        let data = [Segment::Bytes(b"x"), Segment::Bytes(&all)];
        sendmmsg(h, a, &data, 0)
    });
    assert!(waits.waits(h));
    assert_eq!(recv(h, b, 1, 0), Ok(b"x".to_vec()));
    let mut got = Vec::new();
    while got.len() < expected.len() {
        got.extend(recv(h, b, 1000, 0).unwrap());
    }
    assert!(got == expected, "as it was sent");
    assert_eq!(waits.join(), Ok(vec![1, 36_353]));
}

fn sends_wait_in_the_middle<H: Host>(h: &H) {
    let (a, b) = pair(h, SEQPACKET);
    let waits = start(h, move |h| {
        let (data, rights) = ([Segment::Bytes(b"x")], rights(&[0]));
        let mut messages = Vec::new();
        messages.resize_with(300, || header(&data, crate::raw::control(&rights)));
        send_headers(h, a, &mut messages)
    });
    assert!(waits.waits(h));
    assert_eq!(receive(h, b, 278, 1).map(|all| all.len()), Ok(278));
    assert_eq!(waits.join(), Ok(300));
    for _ in 278..300 {
        let message = recvmsg(h, b, 1, 64, DONTWAIT).unwrap();
        let got = message.rights();
        assert_eq!(got.len(), 1, "those after the wait are whole messages, too");
        close(h, got[0]).unwrap();
    }
}

fn names_and_control<H: Host>(h: &H) {
    let one = bound(h, DGRAM, &hidden("1"));
    let two = bound(h, DGRAM, &hidden("2"));
    let to = bound(h, DGRAM, &hidden("to"));
    set_int(h, to, SO_PASSCRED, 1).unwrap();
    send_to(h, one, b"1", &hidden("to")).unwrap();
    send_to(h, two, b"22", &hidden("to")).unwrap();
    let messages = recvmmsg(h, to, (3, 1), None, DONTWAIT, None).unwrap();
    let names: Vec<_> = messages.iter().map(|message| message.name.clone()).collect();
    assert_eq!(names, [hidden("1"), hidden("2")]);
    assert!(messages.iter().all(|message| message.credentials().is_some()));
    assert_eq!([messages[0].flags, messages[1].flags], [0, TRUNC]);
}
