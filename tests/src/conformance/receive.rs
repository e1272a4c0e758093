//! SRECV: receive on a stream; PEEKOFF.

use std::time::Duration;

use afunix::{Errno, Host, NameOut, Segment, SegmentMut};

use super::{Case, start, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "SRECV 1" not_established,
        "SRECV 2" out_of_band_comes_first,
        "SRECV 3" wait_for_all,
        "SRECV 4" data_then_error_then_end,
        "SRECV 5" credentials_split,
        "SRECV 6" files_end_a_read,
        "SRECV 7" rest_merges,
        "SRECV 8" read_drops_files,
        "SRECV 8" asked_for_and_no_room,
        "SRECV 9" wait_for_all_stops_at_files,
        "SRECV 10" length_zero,
        "SRECV 11" trunc_is_ignored,
        "SRECV 12" fault_consumes_nothing,
        "SRECV 12" nothing_at_a_bad_address_is_no_fault,
        "SRECV 13" header_untouched,
        "SRECV 14" low_water,
        "SRECV 14" timeout_gives_partial,
        "SRECV 16" peek,
        "SRECV 17" peek_runs_to_the_files,
        "SRECV 18" end_with_credentials,
        "SRECV 19" low_water_values,
        "SRECV 19" woken_by_own_shutdown,
        "SRECV 20" end_of_file_header,
        "PEEKOFF 1" offset_moves,
        "PEEKOFF 2" within_a_message,
        "PEEKOFF 2" an_empty_message_is_seen_once,
    ]
}

fn not_established<H: Host>(h: &H) {
    let fd = socket(h, STREAM).unwrap();
    assert_eq!(recv(h, fd, 1, 0), Err(Errno::INVAL));
    assert_eq!(read(h, fd, 1), Err(Errno::INVAL));
    assert_eq!(shutdown(h, fd, RD), Ok(0));
    assert_eq!(recv(h, fd, 1, DONTWAIT), Err(Errno::INVAL));
}

fn wait_for_all<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"abc", 0), Ok(3));
    let waiting = start(h, move |h| recv(h, b, 6, WAITALL));
    assert!(waiting.waits(h));
    assert_eq!(send(h, a, b"defg", 0), Ok(4));
    assert_eq!(waiting.join(), Ok(b"abcdef".to_vec()));
    assert_eq!(recv(h, b, 6, WAITALL | DONTWAIT), Ok(b"g".to_vec()));
}

fn data_then_error_then_end<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"unread", 0), Ok(6));
    assert_eq!(send(h, b, b"data", 0), Ok(4));
    assert_eq!(close(h, b), Ok(0));
    assert_eq!(recv(h, a, 4, 0), Ok(b"data".to_vec()));
    assert_eq!(recv(h, a, 4, 0), Err(Errno::CONNRESET));
    assert_eq!(recv(h, a, 4, 0), Ok(vec![]));

    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"unread", 0), Ok(6));
    assert_eq!(send(h, b, b"data", 0), Ok(4));
    assert_eq!(close(h, b), Ok(0));
    assert_eq!(recv(h, a, 9, WAITALL), Ok(b"data".to_vec()), "the error is lost");
    assert_eq!(recv(h, a, 4, 0), Ok(vec![]));

    let (a, b) = pair(h, STREAM);
    assert_eq!(recv(h, a, 4, DONTWAIT), Err(Errno::AGAIN));
    assert_eq!(shutdown(h, b, WR), Ok(0));
    assert_eq!(recv(h, a, 4, DONTWAIT), Ok(vec![]));
}

fn credentials_split<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"a", 0), Ok(1));
    set_int(h, b, SO_PASSCRED, 1).unwrap();
    assert_eq!(send(h, a, b"b", 0), Ok(1));
    assert_eq!(send(h, a, b"c", 0), Ok(1));
    assert_eq!(recv(h, b, 9, 0), Ok(b"a".to_vec()));
    assert_eq!(recv(h, b, 9, 0), Ok(b"bc".to_vec()));
    assert_eq!(send(h, a, b"b", 0), Ok(1));
    set_int(h, b, SO_PASSCRED, 0).unwrap();
    assert_eq!(send(h, a, b"c", 0), Ok(1));
    assert_eq!(recv(h, b, 9, 0), Ok(b"bc".to_vec()), "else everything merges");
    let copy = dup(h, a).unwrap();
    assert_eq!(send(h, a, b"d", 0), Ok(1));
    super::in_process(h, None, &[copy], |h| assert_eq!(send(h, 3, b"e", 0), Ok(1)));
    assert_eq!(recv(h, b, 9, 0), Ok(b"de".to_vec()), "of two processes, too");
}

fn files_end_a_read<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"aa", 0), Ok(2));
    assert_eq!(sendmsg(h, a, b"bb", &rights(&[0])), Ok(2));
    assert_eq!(send(h, a, b"cc", 0), Ok(2));
    let message = recvmsg(h, b, 9, 64, 0).unwrap();
    assert_eq!((message.data.as_slice(), message.rights().len()), (&b"aabb"[..], 1));
    assert_eq!(recvmsg(h, b, 9, 64, 0).unwrap().data, b"cc");
}

fn rest_merges<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(sendmsg(h, a, b"bbbb", &rights(&[0])), Ok(4));
    assert_eq!(send(h, a, b"cc", 0), Ok(2));
    let message = recvmsg(h, b, 2, 64, 0).unwrap();
    assert_eq!((message.data.as_slice(), message.rights().len()), (&b"bb"[..], 1));
    assert_eq!(recvmsg(h, b, 9, 64, 0).unwrap().data, b"bbcc");
}

fn read_drops_files<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    for _ in 0..2 {
        assert_eq!(sendmsg(h, a, b"bb", &rights(&[0])), Ok(2));
    }
    assert_eq!(send(h, a, b"cc", 0), Ok(2));
    assert_eq!(read(h, b, 9), Ok(b"bb".to_vec()));
    let message = recvmsg(h, b, 9, 0, 0).unwrap();
    assert_eq!((message.data.as_slice(), message.flags), (&b"bb"[..], CTRUNC));
    assert_eq!(read(h, b, 9), Ok(b"cc".to_vec()));
    assert_eq!(dup(h, 0), Ok(5));
}

fn wait_for_all_stops_at_files<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"aa", 0), Ok(2));
    assert_eq!(sendmsg(h, a, b"bb", &rights(&[0])), Ok(2));
    assert_eq!(send(h, a, b"cc", 0), Ok(2));
    assert_eq!(recv(h, b, 6, WAITALL), Ok(b"aabb".to_vec()));
}

fn length_zero<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(read(h, b, 0), Ok(vec![]));
    assert_eq!(recv(h, b, 0, DONTWAIT), Err(Errno::AGAIN));
    assert_eq!(sendmsg(h, a, b"x", &rights(&[0])), Ok(1));
    assert_eq!(read(h, b, 0), Ok(vec![]));
    let message = recvmsg(h, b, 0, 64, 0).unwrap();
    assert_eq!((message.count, message.rights().len()), (0, 1));
    assert_eq!(recvmsg(h, b, 1, 64, 0).unwrap().control, []);
    let fresh = socket(h, STREAM).unwrap();
    assert_eq!(read(h, fresh, 0), Ok(vec![]));
}

fn trunc_is_ignored<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"hello", 0), Ok(5));
    assert_eq!(recv(h, b, 2, TRUNC), Ok(b"he".to_vec()));
    assert_eq!(recv(h, b, 9, 0), Ok(b"llo".to_vec()));
}

fn fault_consumes_nothing<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"hello", 0), Ok(5));
    let nowhere = SegmentMut::Fault(9);
    assert_eq!(recv_into(h, b, nowhere, 0, &mut NameOut::nothing()), Err(Errno::FAULT));
    assert_eq!(recv(h, b, 9, 0), Ok(b"hello".to_vec()));
    assert_eq!(send(h, a, b"one", 0), Ok(3));
    assert_eq!(send(h, a, b"two", 0), Ok(3));
    let mut three = [0; 3];
    let (mut name, mut flags) = (NameOut::nothing(), afunix::RecvFlags::empty());
    let got = h.call(&mut afunix::Call::Recvmsg {
        fd: crate::raw::fd(b),
        name: &mut name,
        data: &mut [SegmentMut::Bytes(&mut three), SegmentMut::Fault(3)],
        control: &mut afunix::control::ControlOut::nothing(),
        flags: afunix::RecvFlags::empty(),
        flags_out: &mut flags,
        progress: 0,
    });
    assert_eq!(got, Ok(3), "what was copied before counts");
    assert_eq!(recv(h, b, 9, 0), Ok(b"two".to_vec()));
}

fn nothing_at_a_bad_address_is_no_fault<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let data = [Segment::Bytes(b"a"), Segment::Fault(0), Segment::Bytes(b"b")];
    assert_eq!(writev_of(h, a, &data), Ok(2));
    let (mut one, mut two) = ([0], [0]);
    let room =
        &mut [SegmentMut::Bytes(&mut one), SegmentMut::Fault(0), SegmentMut::Bytes(&mut two)];
    assert_eq!(readv_into(h, b, room), Ok(2));
    assert_eq!([one, two].concat(), b"ab");
}

fn header_untouched<H: Host>(h: &H) {
    let (_a, b) = pair(h, STREAM);
    let mut byte = [0; 1];
    let mut name = NameOut::new();
    let got = recv_into(h, b, SegmentMut::Bytes(&mut byte), DONTWAIT, &mut name);
    assert_eq!((got, name.reported), (Err(Errno::AGAIN), None));
}

fn low_water<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    set_int(h, b, SO_RCVLOWAT, 4).unwrap();
    assert_eq!(send(h, a, b"ab", 0), Ok(2));
    assert_eq!(poll(h, b), mask("io"), "poll does not look at it");
    let waiting = start(h, move |h| recv(h, b, 9, 0));
    assert!(waiting.waits(h));
    assert_eq!(send(h, a, b"cd", 0), Ok(2));
    assert_eq!(waiting.join(), Ok(b"abcd".to_vec()));
    assert_eq!(send(h, a, b"ab", 0), Ok(2));
    assert_eq!(recv(h, b, 9, DONTWAIT), Ok(b"ab".to_vec()));
}

fn timeout_gives_partial<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    set_timeout(h, b, SO_RCVTIMEO, 60).unwrap();
    assert_eq!(send(h, a, b"ab", 0), Ok(2));
    let begin = h.now();
    assert_eq!(recv(h, b, 9, WAITALL), Ok(b"ab".to_vec()));
    assert_eq!(recv(h, b, 9, 0), Err(Errno::AGAIN));
    assert!(h.now() - begin >= Duration::from_millis(120));
}

fn peek<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(recv(h, b, 9, PEEK | DONTWAIT), Err(Errno::AGAIN));
    assert_eq!(send(h, a, b"aa", 0), Ok(2));
    assert_eq!(send(h, a, b"bb", 0), Ok(2));
    assert_eq!(recv(h, b, 3, PEEK), Ok(b"aab".to_vec()));
    assert_eq!(recv(h, b, 9, PEEK | WAITALL), Ok(b"aabb".to_vec()));
    assert_eq!(sendmsg(h, a, b"cc", &rights(&[0])), Ok(2));
    for _ in 0..2 {
        let message = recvmsg(h, b, 9, 64, PEEK).unwrap();
        assert_eq!((message.data.as_slice(), message.rights().len()), (&b"aabbcc"[..], 1));
    }
    assert_eq!(recvmsg(h, b, 9, 64, 0).unwrap().rights(), [7]);
}

fn peek_runs_to_the_files<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"aa", 0), Ok(2));
    assert_eq!(sendmsg(h, a, b"bb", &rights(&[0])), Ok(2));
    let message = recvmsg(h, b, 1, 64, PEEK).unwrap();
    assert_eq!((message.data.as_slice(), message.rights().len()), (&b"a"[..], 1));
    let message = recvmsg(h, b, 1, 64, 0).unwrap();
    assert_eq!((message.data.as_slice(), message.rights().len()), (&b"a"[..], 0));
}

fn end_with_credentials<H: Host>(h: &H) {
    for kind in CONNECTED {
        let (a, b) = pair(h, kind);
        set_int(h, b, SO_PASSCRED, 1).unwrap();
        assert_eq!(close(h, a), Ok(0));
        let end = recvmsg(h, b, 9, 64, 0).unwrap();
        let nobody = (kind == STREAM).then(afunix::Ucred::default);
        assert_eq!((end.count, end.credentials()), (0, nobody));
        let cut = recvmsg(h, b, 9, 20, 0).unwrap();
        assert_eq!(cut.flags, if kind == STREAM { CTRUNC } else { 0 });
    }
}

fn low_water_values<H: Host>(h: &H) {
    let (a, _b) = pair(h, STREAM);
    for (value, reads) in [(0, 1), (-1, i32::MAX), (i32::MIN, i32::MAX), (77, 77)] {
        set_int(h, a, SO_RCVLOWAT, value).unwrap();
        assert_eq!(get_int(h, a, SO_RCVLOWAT), Ok(reads));
    }
}

fn woken_by_own_shutdown<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, _b) = pair(h, kind);
        let waiting = start(h, move |h| recv(h, a, 9, 0));
        assert_eq!(shutdown(h, a, WR), Ok(0));
        assert!(waiting.waits(h), "type {kind}");
        assert_eq!(shutdown(h, a, RD), Ok(0));
        assert_eq!(waiting.join(), Ok(vec![]), "type {kind}");
    }
    let (a, b) = pair(h, DGRAM);
    let waiting = start(h, move |h| recv(h, a, 9, 0));
    assert_eq!(close(h, b), Ok(0));
    assert!(waiting.waits(h), "a datagram's reader is not woken by its peer's close");
    assert_eq!(shutdown(h, a, RD), Ok(0));
    assert_eq!(waiting.join(), Ok(vec![]));
}

fn end_of_file_header<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    bind(h, a, &hidden("a")).unwrap();
    assert_eq!(close(h, a), Ok(0));
    let end = recvmsg(h, b, 9, 64, TRUNC).unwrap();
    assert_eq!((end.name, end.control_len, end.flags), (vec![], 0, 0));
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"x", 0), Ok(1));
    assert_eq!(close(h, b), Ok(0));
    assert_eq!(recv(h, a, 1, PEEK), Err(Errno::CONNRESET), "a peek clears it too");
    assert_eq!(recv(h, a, 1, 0), Ok(vec![]));
}

fn offset_moves<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(get_int(h, b, SO_PEEK_OFF), Ok(-1));
    assert_eq!(set_int(h, b, SO_PEEK_OFF, 1), Ok(0));
    assert_eq!(send(h, a, b"abcdef", 0), Ok(6));
    assert_eq!(recv(h, b, 2, PEEK), Ok(b"bc".to_vec()));
    assert_eq!(get_int(h, b, SO_PEEK_OFF), Ok(3));
    assert_eq!(recv(h, b, 2, PEEK), Ok(b"de".to_vec()));
    assert_eq!(recv(h, b, 2, 0), Ok(b"ab".to_vec()));
    assert_eq!(get_int(h, b, SO_PEEK_OFF), Ok(3));
    assert_eq!(recv(h, b, 9, 0), Ok(b"cdef".to_vec()));
    assert_eq!(get_int(h, b, SO_PEEK_OFF), Ok(0));
    assert_eq!(set_int(h, b, SO_PEEK_OFF, -5), Ok(0));
    assert_eq!(get_int(h, b, SO_PEEK_OFF), Ok(-5));
}

fn within_a_message<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    assert_eq!(set_int(h, b, SO_PEEK_OFF, 2), Ok(0));
    assert_eq!(send(h, a, b"abcd", 0), Ok(4));
    assert_eq!(send(h, a, b"efgh", 0), Ok(4));
    assert_eq!(recv(h, b, 9, PEEK), Ok(b"cd".to_vec()));
    assert_eq!(recv(h, b, 9, PEEK), Ok(b"efgh".to_vec()));
    assert_eq!(recv(h, b, 9, PEEK | DONTWAIT), Err(Errno::AGAIN));
    assert_eq!(recv(h, b, 1, 0), Ok(b"a".to_vec()));
    assert_eq!(get_int(h, b, SO_PEEK_OFF), Ok(4));
    let (a, b) = pair(h, DGRAM);
    for message in [&b"abc"[..], b"", b"defg"] {
        assert_eq!(send(h, a, message, 0), Ok(message.len()));
    }
    assert_eq!(set_int(h, b, SO_PEEK_OFF, 4), Ok(0));
    assert_eq!(recv(h, b, 9, PEEK), Ok(b"efg".to_vec()), "past an empty one");
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"abcdef", 0), Ok(6));
    assert_eq!(recv(h, b, 2, 0), Ok(b"ab".to_vec()));
    assert_eq!(set_int(h, b, SO_PEEK_OFF, 1), Ok(0));
    assert_eq!(recv(h, b, 2, PEEK), Ok(b"de".to_vec()), "of a buffer that is read in part");
    assert_eq!(recv(h, b, 9, PEEK), Ok(b"f".to_vec()));
}

fn an_empty_message_is_seen_once<H: Host>(h: &H) {
    // A peek without an offset counts, of an empty message alone.
    for (first, then) in [(&b""[..], &b"next"[..]), (b"x", b"x")] {
        let (a, b) = pair(h, DGRAM);
        assert_eq!(send(h, a, first, 0), Ok(first.len()));
        assert_eq!(send(h, a, b"next", 0), Ok(4));
        assert_eq!(recv(h, b, 9, PEEK), Ok(first.to_vec()));
        assert_eq!(recv(h, b, 9, PEEK), Ok(first.to_vec()));
        assert_eq!(set_int(h, b, SO_PEEK_OFF, 0), Ok(0));
        assert_eq!(recv(h, b, 9, PEEK), Ok(then.to_vec()));
    }
    let (a, b) = pair(h, DGRAM);
    assert_eq!(set_int(h, b, SO_PEEK_OFF, 0), Ok(0));
    assert_eq!((send(h, a, b"", 0), send(h, a, b"next", 0)), (Ok(0), Ok(4)));
    assert_eq!(recv(h, b, 9, PEEK), Ok(vec![]));
    assert_eq!(recv(h, b, 9, PEEK), Ok(b"next".to_vec()));
}

fn out_of_band_comes_first<H: Host>(h: &H) {
    let fresh = socket(h, STREAM).unwrap();
    assert_eq!(recv(h, fresh, 1, OOB), Err(Errno::INVAL));
    let (a, b) = pair(h, STREAM);
    assert_eq!(recv(h, a, 1, OOB), Err(Errno::INVAL), "it never waits");
    shutdown(h, b, RDWR).unwrap();
    assert_eq!(recv(h, a, 1, OOB), Err(Errno::INVAL), "no end of file");
    let (a, b) = pair(h, STREAM);
    send(h, a, b"unread", 0).unwrap();
    close(h, b).unwrap();
    assert_eq!(recv(h, a, 1, OOB), Err(Errno::INVAL), "no pending error");
    assert_eq!(recv(h, a, 1, 0), Err(Errno::CONNRESET));
}

/// MSG_CTRUNC says that there was no control buffer, whether or not something would have come.
fn asked_for_and_no_room<H: Host>(h: &H) {
    for kind in TYPES {
        for option in [SO_PASSCRED, SO_PASSPIDFD, SO_PASSSEC] {
            let (a, b) = pair(h, kind);
            set_int(h, b, option, 1).unwrap();
            send(h, a, b"x", 0).unwrap();
            assert_eq!(recvmsg(h, b, 9, 0, 0).unwrap().flags, CTRUNC, "{kind} {option}");
            if kind == STREAM {
                shutdown(h, a, WR).unwrap();
                assert_eq!(recvmsg(h, b, 9, 0, 0).unwrap().flags, CTRUNC, "{option} at the end");
            }
        }
    }
}
