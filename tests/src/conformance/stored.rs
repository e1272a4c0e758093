//! OPT: options that are stored and do nothing, those that only tell something, and timestamps
//! (RCMSG 1).

use std::time::Duration;

use afunix::{Call, Errno, Host};

use super::{Case, as_stranger, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "RCMSG 1" timestamps,
        "RCMSG 1" timestamps_are_cut,
        "RCMSG 1" kinds_of_timestamps,
        "OPT 3" peer_name,
        "OPT 5" unsupported,
        "OPT 11" stored_booleans,
        root "OPT 11" peer_groups,
        "OPT 12" stored_words,
        root "OPT 12" words_of_the_superuser,
        root "OPT 12" interfaces,
        "OPT 12" memory_and_cookies,
        "OPT 12" filters_are_locked,
        "OPT 12" linger_does_nothing,
        "OPT 12" buffers_set_by_hand,
    ]
}

const STAMPS: [i32; 4] = [SO_TIMESTAMP, SO_TIMESTAMPNS, SO_TIMESTAMP_NEW, SO_TIMESTAMPNS_NEW];

fn kinds(message: &Message) -> Vec<(i32, usize)> {
    message.control.iter().map(|(kind, data)| (*kind, data.len())).collect()
}

fn timestamps<H: Host>(h: &H) {
    for option in STAMPS {
        for kind in [DGRAM, SEQPACKET] {
            let (a, b) = pair(h, kind);
            for option in [option, SO_PASSCRED] {
                set_int(h, b, option, 1).unwrap();
            }
            assert_eq!(sendmsg(h, a, b"x", &rights(&[0])), Ok(1));
            let message = recvmsg(h, b, 9, 256, PEEK).unwrap();
            assert_eq!(kinds(&message), [(option, 16), (SCM_CREDENTIALS, 12), (SCM_RIGHTS, 4)]);
            set_int(h, b, option, 0).unwrap();
            assert_eq!(recvmsg(h, b, 9, 256, 0).unwrap().control.len(), 2);
        }
        let (a, b) = pair(h, STREAM);
        set_int(h, b, option, 1).unwrap();
        send(h, a, b"x", 0).unwrap();
        assert_eq!(recvmsg(h, b, 9, 64, 0).unwrap().control, [], "never on a stream");
    }
    let (a, b) = pair(h, DGRAM);
    send(h, a, b"first", 0).unwrap();
    set_int(h, b, SO_TIMESTAMPNS, 1).unwrap();
    send(h, a, b"second", 0).unwrap();
    let times = [0, 1].map(|_| time_of(&recvmsg(h, b, 9, 64, 0).unwrap()));
    assert!(times[0] >= times[1], "one without a time gets that of the receive: {times:?}");
    shutdown(h, b, RD).unwrap();
    assert_eq!(recvmsg(h, b, 9, 64, 0).unwrap().control, [], "the end has no time");
    // Sent between two receives of messages without a time, received after both.
    let [(a, b), (c, d)] = [(); 2].map(|()| pair(h, DGRAM));
    for _ in 0..2 {
        send(h, c, b"without", 0).unwrap();
    }
    set_int(h, b, SO_TIMESTAMPNS, 1).unwrap();
    set_int(h, d, SO_TIMESTAMPNS, 1).unwrap();
    let pause = || h.call(&mut Call::Nanosleep { time: Duration::from_millis(1) }).unwrap();
    let now = || time_of(&recvmsg(h, d, 9, 64, 0).unwrap());
    pause();
    let before = now();
    pause();
    send(h, a, b"with", 0).unwrap();
    pause();
    let after = now();
    let sent = time_of(&recvmsg(h, b, 9, 64, 0).unwrap());
    assert!(before < sent && sent < after, "{before:?} {sent:?} {after:?}");
    let (a, b) = pair(h, DGRAM);
    set_int(h, b, SO_TIMESTAMPING, 0x18).unwrap();
    send(h, a, b"x", 0).unwrap();
    assert_eq!(recvmsg(h, b, 9, 64, 0).unwrap().control, []);
    detailed_timestamps(h);
}

/// SO_TIMESTAMPING's message comes with SO_TIMESTAMP's only, of the type that was set last.
fn detailed_timestamps<H: Host>(h: &H) {
    let stamped = |option, flags| {
        let (a, b) = pair(h, SEQPACKET);
        set_int(h, b, SO_TIMESTAMP, 1).unwrap();
        set_int(h, b, option, flags).unwrap();
        send(h, a, b"x", 0).unwrap();
        kinds(&recvmsg(h, b, 9, 96, 0).unwrap())
    };
    let both = [(SO_TIMESTAMP, 16), (SO_TIMESTAMPING, 48)];
    for flags in [0x10, 0x18, 0x810, 0x20018] {
        assert_eq!(stamped(SO_TIMESTAMPING, flags), both, "{flags:#x}");
    }
    for flags in [0, 0x8, 0x20010] {
        assert_eq!(stamped(SO_TIMESTAMPING, flags), both[..1], "{flags:#x}");
    }
    let new = [(SO_TIMESTAMP_NEW, 16), (SO_TIMESTAMPING_NEW, 48)];
    assert_eq!(stamped(SO_TIMESTAMPING_NEW, 0x10), new);
    let (a, b) = pair(h, DGRAM);
    set_int(h, b, SO_TIMESTAMPNS, 1).unwrap();
    set_int(h, b, SO_TIMESTAMPING, 0x10).unwrap();
    send(h, a, b"x", 0).unwrap();
    let message = recvmsg(h, b, 9, 96, 0).unwrap();
    let [(_, short), (kind, long)] = &message.control[..] else { panic!("{:?}", message.control) };
    assert_eq!(*kind, SO_TIMESTAMPING);
    assert_eq!(long[..16], short[..], "the same time");
    assert_eq!(long[16..], [0; 32], "and none of a device");
}

/// Seconds and nanoseconds of its SO_TIMESTAMPNS.
fn time_of(message: &Message) -> [i64; 2] {
    let (kind, data) = &message.control[0];
    assert_eq!(*kind, SO_TIMESTAMPNS);
    [0, 8].map(|at| i64::from_ne_bytes(data[at..at + 8].try_into().unwrap()))
}

fn timestamps_are_cut<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    set_int(h, b, SO_TIMESTAMP, 1).unwrap();
    send(h, a, b"x", 0).unwrap();
    for (room, left) in [(0, None), (15, None), (16, Some(0)), (31, Some(15)), (32, Some(16))] {
        let message = recvmsg(h, b, 9, room, PEEK).unwrap();
        assert_eq!(
            kinds(&message),
            left.map(|len| (SO_TIMESTAMP, len)).into_iter().collect::<Vec<_>>()
        );
        let cut = if room < 32 { CTRUNC } else { 0 };
        assert_eq!((message.flags, message.control_len), (cut, if room < 16 { 0 } else { room }));
    }
    set_int(h, b, SO_PASSCRED, 1).unwrap();
    let message = recvmsg(h, b, 9, 40, 0).unwrap();
    assert_eq!((kinds(&message), message.flags), (vec![(SO_TIMESTAMP, 16)], CTRUNC));
}

fn kinds_of_timestamps<H: Host>(h: &H) {
    let fd = socket(h, DGRAM).unwrap();
    let read = |h: &H| STAMPS.map(|option| get_int(h, fd, option).unwrap());
    assert_eq!(read(h), [0, 0, 0, 0]);
    // The last one counts; the last pair reads oddly.
    for (option, reads) in
        STAMPS.into_iter().zip([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]])
    {
        assert_eq!(set_int(h, fd, option, 1), Ok(0));
        assert_eq!(read(h), reads, "after {option}");
    }
    assert_eq!(set_int(h, fd, SO_TIMESTAMP, 0), Ok(0));
    assert_eq!(read(h), [0, 0, 0, 0], "any of them switches it off");
    let flags = |h: &H| {
        [SO_TIMESTAMPING, SO_TIMESTAMPING_NEW]
            .map(|option| getsockopt(h, fd, option, 8).unwrap()[0])
    };
    for (option, reads) in [(SO_TIMESTAMPING, [9, 0]), (SO_TIMESTAMPING_NEW, [9, 9])] {
        assert_eq!(set_int(h, fd, option, 9), Ok(0));
        assert_eq!(flags(h), reads);
    }
    for wrong in [1 << 19, -1, 1 << 12, 1 << 16] {
        assert_eq!(set_int(h, fd, SO_TIMESTAMPING, wrong), Err(Errno::INVAL), "{wrong:#x}");
    }
    assert_eq!(set_int(h, fd, SO_TIMESTAMPING, 1 << 15), Err(Errno::OPNOTSUPP));
    for right in [0x1800, 0x10080] {
        assert_eq!(set_int(h, fd, SO_TIMESTAMPING, right), Ok(0));
    }
}

fn peer_name<H: Host>(h: &H) {
    let server = listener(h, STREAM, &path("s"), 1);
    let client = connected(h, STREAM, &path("s")).unwrap();
    let whole = path("s");
    for len in 0..=whole.len() {
        assert_eq!(getsockopt(h, client, SO_PEERNAME, len), Ok(whole[..len].to_vec()));
    }
    for len in [whole.len() + 1, 110] {
        assert_eq!(getsockopt(h, client, SO_PEERNAME, len), Err(Errno::INVAL));
    }
    assert_eq!(getsockopt(h, server, SO_PEERNAME, 2), Err(Errno::NOTCONN));
    let accepted = accept(h, server, 0).unwrap();
    assert_eq!(getsockopt(h, accepted, SO_PEERNAME, 2), Ok(vec![1, 0]));
    assert_eq!(getsockopt(h, accepted, SO_PEERNAME, 3), Err(Errno::INVAL));
    close(h, accepted).unwrap();
    assert_eq!(getsockopt(h, client, SO_PEERNAME, whole.len()), Ok(whole));
    assert_eq!(set_int(h, client, SO_PEERNAME, 1), Err(Errno::NOPROTOOPT));
}

fn unsupported<H: Host>(h: &H) {
    for kind in TYPES {
        let fd = socket(h, kind).unwrap();
        for (option, reads) in
            [(SO_ZEROCOPY, Ok(0)), (SO_RESERVE_MEM, Ok(0)), (SO_TXREHASH, Err(Errno::OPNOTSUPP))]
        {
            assert_eq!(set_int(h, fd, option, 1), Err(Errno::OPNOTSUPP), "option {option}");
            assert_eq!(set_int(h, fd, option, 0), Err(Errno::OPNOTSUPP), "option {option}");
            assert_eq!(get_int(h, fd, option), reads);
        }
        assert_eq!(set_int(h, fd, SO_RESERVE_MEM, -1), Err(Errno::INVAL));
        assert_eq!(set_int(h, fd, SO_REUSEPORT, 0), Ok(0));
    }
}

fn stored_booleans<H: Host>(h: &H) {
    let fd = socket(h, STREAM).unwrap();
    for option in [
        SO_DONTROUTE,
        SO_BROADCAST,
        SO_NO_CHECK,
        SO_RXQ_OVFL,
        SO_WIFI_STATUS,
        SO_NOFCS,
        SO_SELECT_ERR_QUEUE,
        SO_RCVMARK,
        SO_RCVPRIORITY,
        SO_PASSPIDFD,
        SO_PASSSEC,
    ] {
        assert_eq!(get_int(h, fd, option), Ok(0), "option {option}");
        for (value, reads) in [(7, 1), (-1, 1), (0, 0), (256, 1)] {
            assert_eq!(set_int(h, fd, option, value), Ok(0));
            assert_eq!(get_int(h, fd, option), Ok(reads), "option {option}, value {value}");
        }
        assert_eq!(setsockopt(h, fd, option, &[1, 0, 0]), Err(Errno::INVAL));
    }
    assert_eq!(set_int(h, fd, SO_BSDCOMPAT, 1), Ok(0));
    assert_eq!(get_int(h, fd, SO_BSDCOMPAT), Ok(0));
}

fn peer_groups<H: Host>(h: &H) {
    let fresh = socket(h, STREAM).unwrap();
    assert_eq!(getsockopt(h, fresh, SO_PEERGROUPS, 64), Err(Errno::NODATA));
    let user = afunix::Credentials { uid: 0, gid: 0, groups: vec![9, 3, 7] };
    super::in_process(h, Some(user), &[], |h| {
        let (a, _b) = pair(h, STREAM);
        let sorted: Vec<u8> = [3_u32, 7, 9].iter().flat_map(|group| group.to_ne_bytes()).collect();
        assert_eq!(getsockopt(h, a, SO_PEERGROUPS, 64), Ok(sorted.clone()));
        assert_eq!(getsockopt(h, a, SO_PEERGROUPS, 12), Ok(sorted));
        let mut buffer = [0; 8];
        let mut value = afunix::call::OptionOut::new(&mut buffer);
        let fd = crate::raw::fd(a);
        let mut call = afunix::Call::Getsockopt {
            fd,
            level: SOL_SOCKET,
            option: SO_PEERGROUPS,
            value: &mut value,
        };
        assert_eq!(h.call(&mut call), Err(Errno::RANGE));
        assert_eq!(value.len, 12, "the length that is needed");
    });
}

fn stored_words<H: Host>(h: &H) {
    let fd = socket(h, DGRAM).unwrap();
    for (option, start) in [
        (SO_PRIORITY, 0),
        (SO_MARK, 0),
        (SO_BUSY_POLL, 0),
        (SO_INCOMING_CPU, -1),
        (SO_BINDTOIFINDEX, 0),
        (SO_INCOMING_NAPI_ID, 0),
        (SO_BPF_EXTENSIONS, 64),
    ] {
        assert_eq!(get_int(h, fd, option), Ok(start), "option {option}");
    }
    for option in [SO_PRIORITY, SO_BUSY_POLL, SO_INCOMING_CPU] {
        assert_eq!(set_int(h, fd, option, 6), Ok(0));
        assert_eq!(get_int(h, fd, option), Ok(6));
    }
    for option in [SO_BUSY_POLL, SO_BINDTOIFINDEX] {
        assert_eq!(set_int(h, fd, option, -1), Err(Errno::INVAL));
    }
    let rate = |h: &H, len| getsockopt(h, fd, SO_MAX_PACING_RATE, len).unwrap();
    assert_eq!((rate(h, 4), rate(h, 8)), (vec![255; 4], vec![255; 8]));
    assert_eq!(setsockopt(h, fd, SO_MAX_PACING_RATE, &[5, 0, 0, 0, 1, 0, 0, 0]), Ok(0));
    assert_eq!((rate(h, 4), rate(h, 9)), (vec![255; 4], vec![5, 0, 0, 0, 1, 0, 0, 0]));
    assert_eq!(setsockopt(h, fd, SO_MAX_PACING_RATE, &[7, 0, 0, 0, 1, 0, 0, 0, 9]), Ok(0));
    assert_eq!(rate(h, 8), [7, 0, 0, 0, 1, 0, 0, 0], "eight bytes, or an int");
    assert_eq!(setsockopt(h, fd, SO_MAX_PACING_RATE, &[7, 0, 0, 0, 1, 0, 0]), Ok(0));
    assert_eq!(rate(h, 8), [7, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(set_int(h, fd, SO_MAX_PACING_RATE, -1), Ok(0));
    assert_eq!(rate(h, 8), [255; 8]);
    assert_eq!(set_int(h, fd, SO_MAX_PACING_RATE, -2), Ok(0));
    assert_eq!(rate(h, 8), [254, 255, 255, 255, 0, 0, 0, 0]);
    assert_eq!(set_int(h, fd, SO_BUSY_POLL, 0), Ok(0));
    for (option, answer) in [
        (SO_BPF_EXTENSIONS, Errno::NOPROTOOPT),
        (SO_INCOMING_NAPI_ID, Errno::NOPROTOOPT),
        (SO_MEMINFO, Errno::NOPROTOOPT),
        (SO_COOKIE, Errno::NOPROTOOPT),
        (SO_PEERGROUPS, Errno::NOPROTOOPT),
        (SO_PEERPIDFD, Errno::NOPROTOOPT),
        (SO_NETNS_COOKIE, Errno::NOPROTOOPT),
    ] {
        assert_eq!(set_int(h, fd, option, 1), Err(answer), "option {option}");
    }
    for (option, value) in [(SO_CNX_ADVICE, 1), (SO_BUSY_POLL_BUDGET, 0)] {
        assert_eq!(set_int(h, fd, option, value), Ok(0));
        assert_eq!(get_int(h, fd, option), Err(Errno::NOPROTOOPT));
    }
    assert_eq!(set_int(h, fd, SO_BUSY_POLL_BUDGET, 65536), Err(Errno::INVAL));
}

fn interfaces<H: Host>(h: &H) {
    let fd = socket(h, STREAM).unwrap();
    let name = |h: &H, fd, len| getsockopt(h, fd, SO_BINDTODEVICE, len);
    assert_eq!(setsockopt(h, fd, SO_BINDTODEVICE, b"no-such\0"), Err(Errno::NODEV));
    assert_eq!(setsockopt(h, fd, SO_BINDTODEVICE, b""), Ok(0));
    assert_eq!(name(h, fd, 0), Ok(vec![]));
    assert_eq!(setsockopt(h, fd, SO_BINDTODEVICE, b"lo"), Ok(0));
    assert_eq!(get_int(h, fd, SO_BINDTOIFINDEX), Ok(1));
    assert_eq!(name(h, fd, 16), Ok(b"lo\0".to_vec()));
    for len in [0, 3, 15] {
        assert_eq!(name(h, fd, len), Err(Errno::INVAL), "length {len}");
    }
    assert_eq!(set_int(h, fd, SO_BINDTOIFINDEX, 1 << 30), Ok(0), "whether it is there or not");
    assert_eq!(name(h, fd, 15), Err(Errno::INVAL));
    assert_eq!(name(h, fd, 16), Err(Errno::NODEV));
    assert_eq!(setsockopt(h, fd, SO_BINDTODEVICE, b"lo\0behind the name"), Ok(0));
    assert_eq!(get_int(h, fd, SO_BINDTOIFINDEX), Ok(1));
    as_stranger(h, &[fd], |h| {
        assert_eq!(setsockopt(h, 3, SO_BINDTODEVICE, b"no-such"), Err(Errno::NODEV));
        assert_eq!(setsockopt(h, 3, SO_BINDTODEVICE, b""), Err(Errno::PERM));
        assert_eq!(set_int(h, 3, SO_BINDTOIFINDEX, -1), Err(Errno::PERM), "to change it again");
        let own = socket(h, STREAM).unwrap();
        assert_eq!(set_int(h, own, SO_BINDTOIFINDEX, -1), Err(Errno::INVAL));
        assert_eq!(set_int(h, own, SO_BINDTOIFINDEX, 0), Ok(0));
        assert_eq!(set_int(h, own, SO_BINDTOIFINDEX, 1), Ok(0));
        assert_eq!(set_int(h, own, SO_BINDTOIFINDEX, 1), Err(Errno::PERM));
    });
}

fn words_of_the_superuser<H: Host>(h: &H) {
    let fd = socket(h, STREAM).unwrap();
    for (option, value) in [(SO_PRIORITY, 7), (SO_MARK, 5), (SO_DEBUG, 1), (SO_PREFER_BUSY_POLL, 1)]
    {
        assert_eq!(set_int(h, fd, option, value), Ok(0));
        assert_eq!(get_int(h, fd, option), Ok(value));
    }
    as_stranger(h, &[fd], |h| {
        for (option, value, answer) in [
            (SO_PRIORITY, 6, Ok(0)),
            (SO_PRIORITY, 7, Err(Errno::PERM)),
            (SO_PRIORITY, -1, Err(Errno::PERM)),
            (SO_MARK, 0, Err(Errno::PERM)),
            (SO_DEBUG, 1, Err(Errno::ACCES)),
            (SO_DEBUG, 0, Ok(0)),
            (SO_PREFER_BUSY_POLL, 1, Err(Errno::PERM)),
            (SO_PREFER_BUSY_POLL, 0, Ok(0)),
            (SO_BUSY_POLL_BUDGET, 1, Err(Errno::PERM)),
            (SO_BUSY_POLL_BUDGET, 0, Ok(0)),
        ] {
            assert_eq!(set_int(h, 3, option, value), answer, "option {option}, value {value}");
        }
    });
}

fn memory_and_cookies<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    set_int(h, b, SO_RCVBUF, 5000).unwrap();
    send(h, a, b"abc", 0).unwrap();
    let memory = |fd| {
        let bytes = getsockopt(h, fd, SO_MEMINFO, 64).unwrap();
        let words = bytes.chunks_exact(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap()));
        words.collect::<Vec<_>>()
    };
    assert_eq!(memory(a), [0, 212_992, 768, 212_992, 0, 0, 0, 0, 0]);
    assert_eq!(memory(b), [0, 10_000, 0, 212_992, 0, 0, 0, 0, 0]);
    assert_eq!(getsockopt(h, a, SO_MEMINFO, 5), Ok(vec![0; 5]));
    for len in [0, 4, 7] {
        assert_eq!(getsockopt(h, a, SO_COOKIE, len), Err(Errno::INVAL));
    }
    let cookie = |fd| getsockopt(h, fd, SO_COOKIE, 9).unwrap();
    assert_eq!(getsockopt(h, a, SO_COOKIE, 8), Ok(cookie(a)));
    assert_ne!(getsockopt(h, a, SO_NETNS_COOKIE, 8), Ok(vec![0; 8]));
    assert_eq!(cookie(a).len(), 8);
    assert_eq!(cookie(a), cookie(a));
    assert_ne!(cookie(a), cookie(b));
    for (len, is_told) in [(4, false), (8, true), (9, false)] {
        assert_eq!(getsockopt(h, a, SO_NETNS_COOKIE, len).is_ok(), is_told);
    }
}

fn filters_are_locked<H: Host>(h: &H) {
    let fd = socket(h, DGRAM).unwrap();
    assert_eq!(set_int(h, fd, SO_DETACH_FILTER, 0), Err(Errno::NOENT));
    assert_eq!(set_int(h, fd, SO_ATTACH_FILTER, 0), Err(Errno::INVAL));
    assert_eq!(set_int(h, fd, SO_LOCK_FILTER, 0), Ok(0));
    for _ in 0..2 {
        assert_eq!(set_int(h, fd, SO_LOCK_FILTER, 5), Ok(0));
        assert_eq!(get_int(h, fd, SO_LOCK_FILTER), Ok(1));
    }
    assert_eq!(set_int(h, fd, SO_LOCK_FILTER, 0), Err(Errno::PERM));
    assert_eq!(set_int(h, fd, SO_DETACH_FILTER, 0), Err(Errno::PERM));
}

fn linger_does_nothing<H: Host>(h: &H) {
    for on in [[1, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 9, 0, 0, 0]] {
        let (a, b) = pair(h, STREAM);
        assert_eq!(setsockopt(h, a, SO_LINGER, &on), Ok(0));
        assert_eq!(setsockopt(h, a, SO_LINGER, &on[..7]), Err(Errno::INVAL));
        send(h, a, b"unread", 0).unwrap();
        assert_eq!(close(h, a), Ok(0), "without a wait");
        assert_eq!(recv(h, b, 9, 0), Ok(b"unread".to_vec()));
        assert_eq!(recv(h, b, 9, 0), Ok(vec![]), "without a reset");
    }
}

fn buffers_set_by_hand<H: Host>(h: &H) {
    let fd = socket(h, STREAM).unwrap();
    assert_eq!(get_int(h, fd, SO_BUF_LOCK), Ok(0));
    for (option, reads) in [(SO_SNDBUF, 1), (SO_RCVBUF, 3)] {
        assert_eq!(set_int(h, fd, option, 5000), Ok(0));
        assert_eq!(get_int(h, fd, SO_BUF_LOCK), Ok(reads));
    }
    for (value, answer) in [(4, Err(Errno::INVAL)), (-1, Err(Errno::INVAL)), (2, Ok(0))] {
        assert_eq!(set_int(h, fd, SO_BUF_LOCK, value), answer);
    }
    assert_eq!(get_int(h, fd, SO_BUF_LOCK), Ok(2));
    assert_eq!(get_int(h, fd, SO_SNDBUF), Ok(10_000));
}
