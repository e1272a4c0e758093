//! OPT 5, OPT 12, DSEND 1: socket filters, classic BPF.

use afunix::call::OptionOut;
use afunix::{Call, Errno, Host};

use super::{Case, start, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "DSEND 1" filters_drop_and_cut,
        "DSEND 1" a_filter_outlives_its_socket,
        "DSEND 1" a_filter_looks_once,
        "OPT 5" filters_on_messages_only,
        "OPT 5" programs_that_are_refused,
        "OPT 5" what_a_program_sees,
        "OPT 5" what_a_program_computes,
        "OPT 12" filters_attached_and_detached,
        "OPT 12" filters_take_option_memory,
    ]
}

/// `struct sock_filter`.
type Op = (u16, u8, u8, u32);

/// Returns so many bytes.
const fn ret(bytes: u32) -> Op {
    (0x06, 0, 0, bytes)
}
const PASS: Op = ret(0x40000);
const DROP: Op = ret(0);
/// Where ancillary loads begin.
const ANCILLARY: u32 = 0xffff_f000;

fn program(ops: &[Op]) -> Vec<u8> {
    let bytes = |op: &Op| {
        let mut bytes = op.0.to_ne_bytes().to_vec();
        bytes.extend([op.1, op.2]);
        bytes.extend(op.3.to_ne_bytes());
        bytes
    };
    ops.iter().flat_map(bytes).collect()
}

fn attach<H: Host>(h: &H, fd: i32, ops: &[Op]) -> Answer {
    setsockopt(h, fd, SO_ATTACH_FILTER, &program(ops))
}

/// What is left of `message` behind a filter; `None` if it is dropped.
fn through<H: Host>(h: &H, kind: i32, ops: &[Op], message: &[u8]) -> Option<Vec<u8>> {
    let (a, b) = pair(h, kind);
    assert_eq!(attach(h, b, ops), Ok(0), "{ops:x?}");
    assert_eq!(send(h, a, message, DONTWAIT), Ok(message.len()), "as if it was sent");
    let left = recv(h, b, message.len() + 1, DONTWAIT);
    close(h, a).unwrap();
    close(h, b).unwrap();
    match left {
        Err(Errno::AGAIN) => None,
        left => Some(left.unwrap()),
    }
}

fn filters_drop_and_cut<H: Host>(h: &H) {
    for kind in [DGRAM, SEQPACKET] {
        assert_eq!(through(h, kind, &[DROP], b"message"), None);
        assert_eq!(through(h, kind, &[DROP], b""), None);
        assert_eq!(through(h, kind, &[ret(1)], b""), Some(vec![]));
        assert_eq!(through(h, kind, &[ret(3)], b"message"), Some(b"mes".to_vec()));
        assert_eq!(through(h, kind, &[ret(u32::MAX)], b"message"), Some(b"message".to_vec()));
        let (a, b) = pair(h, kind);
        let file = pair(h, STREAM);
        attach(h, b, &[DROP]).unwrap();
        assert_eq!(sendmsg(h, a, b"dropped", &rights(&[file.0])), Ok(7));
        close(h, file.0).unwrap();
        assert_eq!(recv(h, file.1, 1, DONTWAIT), Ok(vec![]), "its file is closed");
        assert_eq!((outq(h, a), inq(h, b)), (Ok(0), Ok(0)));
        attach(h, b, &[ret(3)]).unwrap();
        assert_eq!(send(h, a, &[7; 30_000], 0), Ok(30_000));
        assert_eq!((outq(h, a), inq(h, b)), (Ok(33_024), Ok(3)), "charged as it was sent");
    }
}

fn a_filter_outlives_its_socket<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    attach(h, b, &[DROP]).unwrap();
    assert_eq!(shutdown(h, b, RD), Ok(0));
    assert_eq!(send(h, a, b"xy", 0), Ok(2), "before EPIPE");
    close(h, b).unwrap();
    assert_eq!(send(h, a, b"xy", 0), Ok(2), "before ECONNREFUSED");
    assert_eq!(send(h, a, b"xy", 0), Ok(2), "and it stays connected");
    let (a, b) = pair(h, DGRAM);
    attach(h, b, &[PASS]).unwrap();
    close(h, b).unwrap();
    assert_eq!(send(h, a, b"xy", 0), Err(Errno::CONNREFUSED));
    let (a, b) = pair(h, SEQPACKET);
    attach(h, b, &[DROP]).unwrap();
    close(h, b).unwrap();
    assert_eq!(send(h, a, b"xy", 0), Err(Errno::PIPE), "own side is shut: looked at before");
    // Before the check of the receiver's peer, too.
    let (c, d) = (bound(h, DGRAM, &hidden("c")), bound(h, DGRAM, &hidden("d")));
    connect(h, c, &hidden("d")).unwrap();
    let stranger = socket(h, DGRAM).unwrap();
    assert_eq!(send_to(h, stranger, b"xy", &hidden("c")), Err(Errno::PERM));
    attach(h, c, &[DROP]).unwrap();
    assert_eq!(send_to(h, stranger, b"xy", &hidden("c")), Ok(2));
    close(h, d).unwrap();
}

fn a_filter_looks_once<H: Host>(h: &H) {
    let receiver = bound(h, DGRAM, &hidden("r"));
    let sender = connected(h, DGRAM, &hidden("r")).unwrap();
    attach(h, receiver, &[ret(3)]).unwrap();
    for _ in 0..11 {
        send(h, sender, b"message", DONTWAIT).unwrap();
    }
    let blocked = start(h, move |h| send(h, sender, b"message", 0));
    assert!(blocked.waits(h));
    attach(h, receiver, &[DROP]).unwrap();
    assert_eq!(recv(h, receiver, 9, 0), Ok(b"mes".to_vec()));
    assert_eq!(blocked.join(), Ok(7));
    for _ in 0..11 {
        assert_eq!(recv(h, receiver, 9, DONTWAIT), Ok(b"mes".to_vec()));
    }
    assert_eq!(recv(h, receiver, 9, DONTWAIT), Err(Errno::AGAIN));
}

fn filters_on_messages_only<H: Host>(h: &H) {
    assert_eq!(through(h, STREAM, &[DROP], b"stream"), Some(b"stream".to_vec()));
    let listener = listener(h, SEQPACKET, &hidden("l"), 5);
    assert_eq!(attach(h, listener, &[DROP]), Ok(0));
    let client = connected(h, SEQPACKET, &hidden("l")).unwrap();
    assert_eq!(send(h, client, b"early", 0), Ok(5), "not the listener's");
    let server = accept(h, listener, 0).unwrap();
    assert_eq!(recv(h, server, 9, DONTWAIT), Ok(b"early".to_vec()));
    assert_eq!(set_int(h, server, SO_DETACH_FILTER, 0), Err(Errno::NOENT), "not inherited");
}

fn programs_that_are_refused<H: Host>(h: &H) {
    let fd = socket(h, DGRAM).unwrap();
    let load = (0x60, 0, 0, 1);
    let store = (0x02, 0, 0, 1);
    let bad: [&[Op]; 16] = [
        &[],
        &[(0x00, 0, 0, 1)],
        &[(0x0e, 0, 0, 0)],
        &[(0x8c, 0, 0, 0), PASS],
        &[(0x34, 0, 0, 0), PASS],
        &[(0x94, 0, 0, 0), PASS],
        &[(0x64, 0, 0, 32), PASS],
        &[(0x02, 0, 0, 16), PASS],
        &[(0x05, 0, 0, 1), PASS],
        &[(0x05, 0, 0, u32::MAX), PASS],
        &[(0x15, 1, 0, 0), PASS],
        &[(0x20, 0, 0, ANCILLARY + 64), PASS],
        &[(0x20, 0, 0, ANCILLARY + 2), PASS],
        &[load, PASS],
        &[(0x15, 1, 0, 0), store, load, PASS],
        &[PASS, load, PASS],
    ];
    for ops in bad {
        assert_eq!(attach(h, fd, ops), Err(Errno::INVAL), "{ops:x?}");
    }
    assert_eq!(attach(h, fd, &[PASS; 4097]), Err(Errno::INVAL));
    let good: [&[Op]; 5] = [
        &[(0x05, 0, 0, 0), PASS],
        &[(0x05, 0, 0, 1), load, PASS],
        &[(0x15, 0, 2, 0), store, (0x05, 0, 0, 1), store, load, PASS],
        &[(0x28, 0, 0, ANCILLARY + 60), PASS],
        &[(0x1c, 0, 0, 77), PASS],
    ];
    for ops in good {
        assert_eq!(attach(h, fd, ops), Ok(0), "{ops:x?}");
    }
    let taken: Vec<u16> =
        (0..0x200).filter(|code| attach(h, fd, &[store, (*code, 0, 0, 1), PASS]).is_ok()).collect();
    let known = [
        0x00, 0x01, 0x02, 0x03, 0x04, 0x06, 0x07, 0x0c, 0x14, 0x15, 0x16, 0x1c, 0x1d, 0x20, 0x24,
        0x25, 0x28, 0x2c, 0x2d, 0x30, 0x34, 0x35, 0x3c, 0x3d, 0x40, 0x44, 0x45, 0x48, 0x4c, 0x4d,
        0x50, 0x54, 0x5c, 0x60, 0x61, 0x64, 0x6c, 0x74, 0x7c, 0x80, 0x81, 0x84, 0x87, 0x94, 0x9c,
        0xa4, 0xac, 0xb1,
    ];
    assert_eq!(taken, known);
}

/// What stands in A after `ops`, bit by bit; `None` if they end the program.
fn value<H: Host>(h: &H, ops: &[Op], message: &[u8]) -> Option<u32> {
    through(h, DGRAM, &[ops, &[PASS]].concat(), message)?;
    let is_set = |bit: &u32| {
        let test = [ops, &[(0x45, 0, 1, 1 << bit), PASS, DROP]].concat();
        through(h, DGRAM, &test, message).is_some()
    };
    Some((0..32).filter(is_set).map(|bit| 1u32 << bit).sum())
}

fn what_a_program_sees<H: Host>(h: &H) {
    let x = |value: u32| (0x01, 0, 0, value);
    let network = 0xfff0_0000;
    let cases: [(&[Op], Option<u32>); 24] = [
        (&[(0x20, 0, 0, 0)], Some(0x6162_6364)),
        (&[(0x28, 0, 0, 1)], Some(0x6263)),
        (&[(0x30, 0, 0, 7)], Some(0x68)),
        (&[(0x20, 0, 0, 4)], Some(0x6566_6768)),
        (&[(0x20, 0, 0, 5)], None),
        (&[x(2), (0x50, 0, 0, 3)], Some(0x66)),
        (&[x(-2i32 as u32), (0x48, 0, 0, 5)], Some(0x6465)),
        (&[x(1), (0x50, 0, 0, -4i32 as u32)], None),
        (&[(0x30, 0, 0, network + 2)], Some(0x63)),
        (&[(0x20, 0, 0, network + 5)], None),
        (&[(0x30, 0, 0, network - 1)], None),
        (&[(0x30, 0, 0, 0xffe0_0000)], None),
        (&[(0x80, 0, 0, 0)], Some(8)),
        (&[(0xb1, 0, 0, 0), (0x87, 0, 0, 0)], Some(4)),
        (&[(0xb1, 0, 0, 8), (0x87, 0, 0, 0)], None),
        (&[(0x81, 0, 0, 0), (0x87, 0, 0, 0)], Some(8)),
        (&[(0x20, 0, 0, ANCILLARY)], Some(0)),
        (&[(0x20, 0, 0, ANCILLARY + 8)], None),
        (&[(0x20, 0, 0, ANCILLARY + 28)], None),
        (&[(0x20, 0, 0, ANCILLARY + 20)], Some(0)),
        (&[(0x20, 0, 0, ANCILLARY + 52)], Some(0)),
        (&[(0x00, 0, 0, 0xf0), x(0x0f), (0x20, 0, 0, ANCILLARY + 40)], Some(0xff)),
        (&[(0x00, 0, 0, 3), (0x02, 0, 0, 9), (0x61, 0, 0, 9), (0x87, 0, 0, 0)], Some(3)),
        (&[x(6), (0x03, 0, 0, 15), (0x60, 0, 0, 15)], Some(6)),
    ];
    for (ops, seen) in cases {
        assert_eq!(value(h, ops, b"abcdefgh"), seen, "{ops:x?}");
    }
    let long: Vec<u8> = (0..51_200u32).map(|at| at as u8).collect();
    for at in [16_062, 20_000, 40_000] {
        let expected = u32::from_be_bytes([at as u8, at as u8 + 1, at as u8 + 2, at as u8 + 3]);
        for load in [at, network + at] {
            let kept = through(h, DGRAM, &[(0x20, 0, 0, load), (0x16, 0, 0, 0)], &long);
            assert_eq!(kept.map(|kept| kept.len()), Some((expected as usize).min(51_200)));
        }
    }
    // Two netlink attributes, of types 2 and 1; and one of type 2 around one of type 1.
    let flat = [8u16, 2, 5, 0, 8, 1, 7, 0].map(u16::to_ne_bytes).concat();
    let nested = [12u16, 2, 8, 1, 7, 0].map(u16::to_ne_bytes).concat();
    let longer_than_all = [40u16, 2, 8, 1, 7, 0].map(u16::to_ne_bytes).concat();
    for (message, load, kind, found) in [
        (&flat, 12, 1, 8),
        (&flat, 12, 2, 0),
        (&flat, 12, 3, 0),
        (&nested, 16, 1, 4),
        (&longer_than_all, 16, 1, 0),
    ] {
        let ops = [x(kind), (0x20, 0, 0, ANCILLARY + load)];
        assert_eq!(value(h, &ops, message), Some(found), "attribute {kind} by {load}");
    }
}

fn what_a_program_computes<H: Host>(h: &H) {
    // Jumps: 0x05 always, over two of three; its jt and jf say nothing.
    let always = |over| [(0x00, 0, 0, 7), (0x05, 9, 9, over), ret(1), ret(2), ret(3)];
    for over in [0, 1, 2] {
        let left = through(h, DGRAM, &always(over), b"abcd").map(|left| left.len());
        assert_eq!(left, Some(over as usize + 1));
    }
    let (a, x) = (0x8000_0013u32, 35u32);
    let computed = [
        (0x04, a.wrapping_add(7), a.wrapping_add(x)),
        (0x14, a - 7, a - x),
        (0x24, a.wrapping_mul(7), a.wrapping_mul(x)),
        (0x34, a / 7, a / x),
        (0x44, a | 7, a | x),
        (0x54, a & 7, a & x),
        (0x64, a << 7, a << 3),
        (0x74, a >> 7, a >> 3),
        (0x94, a % 7, a % x),
        (0xa4, a ^ 7, a ^ x),
    ];
    let begin = [(0x00, 0, 0, a), (0x01, 0, 0, x)];
    for (code, by_constant, by_x) in computed {
        for (code, expected) in [(code, by_constant), (code | 8, by_x)] {
            let ops = [&begin[..], &[(code, 0, 0, 7)]].concat();
            assert_eq!(value(h, &ops, b""), Some(expected), "{code:#x}");
        }
    }
    assert_eq!(value(h, &[begin[0], (0x84, 0, 0, 0)], b""), Some(a.wrapping_neg()));
    let (to_x, from_x) = ((0x07, 0, 0, 0), (0x87, 0, 0, 0));
    assert_eq!(value(h, &[begin[0], to_x, (0x00, 0, 0, 1), from_x], b""), Some(a));
    assert_eq!(value(h, &[begin[0], (0x3c, 0, 0, 0)], b""), None, "X is 0");
    assert_eq!(value(h, &[begin[0], (0x9c, 0, 0, 0)], b""), None, "X is 0");
    for (code, k, jumps) in [
        (0x15, a, true),
        (0x15, 7, false),
        (0x25, a, false),
        (0x25, 7, true),
        (0x35, a, true),
        (0x35, a + 1, false),
        (0x45, 0x10, true),
        (0x45, 0x20, false),
    ] {
        let taken = through(h, DGRAM, &[begin[0], (code, 1, 0, k), DROP, PASS], b"");
        assert_eq!(taken.is_some(), jumps, "{code:#x} {k:#x}");
        let by_x = [begin[0], (0x01, 0, 0, k), (code | 8, 0, 1, 0), PASS, DROP];
        assert_eq!(through(h, DGRAM, &by_x, b"").is_some(), jumps, "{code:#x} X {k:#x}");
    }
}

/// SO_GET_FILTER with room for `room` bytes, asking for `count` instructions: the bytes and the
/// count that came back.
fn get_filter<H: Host>(h: &H, fd: i32, room: usize, count: i32) -> Answer<(Vec<u8>, i32)> {
    let mut buffer = vec![0; room];
    let mut value = OptionOut { buffer: &mut buffer, len: count };
    let fd = crate::raw::fd(fd);
    let option = SO_ATTACH_FILTER;
    h.call(&mut Call::Getsockopt { fd, level: SOL_SOCKET, option, value: &mut value })?;
    let count = value.len;
    Ok((buffer, count))
}

fn filters_attached_and_detached<H: Host>(h: &H) {
    for kind in TYPES {
        let fd = socket(h, kind).unwrap();
        assert_eq!(get_filter(h, fd, 0, 0), Ok((vec![], 0)));
        let ops = [(0x20, 0, 0, ANCILLARY), (0x15, 0, 1, 7), DROP, PASS];
        assert_eq!(attach(h, fd, &ops), Ok(0));
        assert_eq!(get_filter(h, fd, 0, 0), Ok((vec![], 4)));
        assert_eq!(get_filter(h, fd, 99, 3), Err(Errno::INVAL));
        assert_eq!(get_filter(h, fd, 32, 4), Ok((program(&ops), 4)));
        assert_eq!(get_filter(h, fd, 32, 9), Ok((program(&ops), 4)));
        assert_eq!(get_filter(h, fd, 32, -1), Err(Errno::INVAL));
        assert_eq!(attach(h, fd, &[PASS]), Ok(0), "another takes its place");
        assert_eq!(attach(h, fd, &[]), Err(Errno::INVAL));
        assert_eq!(get_filter(h, fd, 8, 1), Ok((program(&[PASS]), 1)), "a bad one does not");
        assert_eq!(set_int(h, fd, SO_DETACH_FILTER, 0), Ok(0));
        assert_eq!(set_int(h, fd, SO_DETACH_FILTER, 0), Err(Errno::NOENT));
        assert_eq!(attach(h, fd, &[PASS]), Ok(0));
        assert_eq!(set_int(h, fd, SO_LOCK_FILTER, 1), Ok(0));
        assert_eq!(attach(h, fd, &[PASS]), Err(Errno::PERM));
        assert_eq!(attach(h, fd, &[]), Err(Errno::PERM));
        assert_eq!(setsockopt(h, fd, SO_ATTACH_FILTER, &[0; 9]), Err(Errno::INVAL));
        assert_eq!(set_int(h, fd, SO_DETACH_FILTER, 0), Err(Errno::PERM));
        assert_eq!(get_filter(h, fd, 8, 1), Ok((program(&[PASS]), 1)));
    }
}

/// Bytes of option memory that a socket's filter takes.
fn option_memory<H: Host>(h: &H, fd: i32) -> u32 {
    let bytes = getsockopt(h, fd, SO_MEMINFO, 36).unwrap();
    u32::from_ne_bytes(bytes[24..28].try_into().unwrap())
}

fn filters_take_option_memory<H: Host>(h: &H) {
    let takes = |ops: &[Op]| {
        let fd = socket(h, DGRAM).unwrap();
        attach(h, fd, ops).unwrap();
        let bytes = option_memory(h, fd);
        close(h, fd).unwrap();
        bytes
    };
    assert_eq!(takes(&[PASS]), 136);
    assert_eq!(takes(&[(0x16, 0, 0, 0)]), 128);
    let first_load = 32;
    let costs: [(Op, u32); 27] = [
        ((0x20, 0, 0, 0), 104 + first_load),
        ((0x28, 0, 0, 6), 112 + first_load),
        ((0x30, 0, 0, 0), 96 + first_load),
        ((0x30, 0, 0, 32768), 120 + first_load),
        ((0x20, 0, 0, 0xfff0_0000), 64 + first_load),
        ((0x40, 0, 0, 0), 64 + first_load),
        ((0x50, 0, 0, 1), 72 + first_load),
        ((0xb1, 0, 0, 0), 144 + first_load),
        ((0x80, 0, 0, 0), 8),
        ((0x15, 0, 0, 7), 8),
        ((0x15, 0, 1, 7), 8),
        ((0x15, 1, 1, 7), 16),
        ((0x15, 1, 0, u32::MAX), 16),
        ((0x35, 1, 1, u32::MAX), 24),
        ((0x45, 0, 1, 7), 16),
        ((0x4d, 0, 1, 7), 16),
        ((0x3c, 0, 0, 0), 40),
        ((0x9c, 0, 0, 0), 40),
        ((0x34, 0, 0, 3), 8),
        ((0x05, 0, 0, 0), 8),
        ((0x05, 1, 1, 0), 8),
        ((0x02, 0, 0, 0), 8),
        ((0x07, 0, 0, 0), 8),
        ((0x16, 0, 0, 0), 8),
        ((0x06, 0, 0, 0), 16),
        ((0x84, 0, 0, 0), 8),
        ((0x01, 0, 0, 5), 8),
    ];
    for (op, bytes) in costs {
        assert_eq!(takes(&[op, PASS, PASS]), 152 + bytes, "{op:x?}");
    }
    let ancillary = [2, 2, 4, 4, 4, 1, 1, 4, 1, 4, 1, 1, 3, 4, 4, 2];
    for (which, units) in (0..).zip(ancillary) {
        let op = (0x20, 0, 0, ANCILLARY + 4 * which);
        assert_eq!(takes(&[op, PASS]), 136 + 8 * units, "ancillary {which}");
    }
    let fd = socket(h, DGRAM).unwrap();
    let load = (0xb1, 0, 0, 0);
    assert_eq!(attach(h, fd, &[&[load; 910][..], &[PASS]].concat()), Err(Errno::NOMEM));
    assert_eq!(attach(h, fd, &[&[load; 909][..], &[PASS]].concat()), Ok(0));
    assert_eq!(option_memory(h, fd), 131_064, "less than optmem_max");
    assert_eq!(attach(h, fd, &[PASS]), Err(Errno::NOMEM), "the old one counts until then");
    assert_eq!(set_int(h, fd, SO_DETACH_FILTER, 0), Ok(0));
    assert_eq!(option_memory(h, fd), 0);
    assert_eq!(attach(h, fd, &[PASS]), Ok(0));
}
