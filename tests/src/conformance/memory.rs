//! MEM: buffer accounting.

use afunix::{Errno, Host};

use super::{Case, start, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "MEM 1" charged_to_the_sender,
        "MEM 2" head_sizes,
        "MEM 3" large_messages,
        "MEM 4" too_long,
        root "MEM 4" no_memory_is_so_large,
        "MEM 5" stream_chunks,
        "MEM 5" size_stays_while_it_waits,
        "MEM 6" overshoot,
        "MEM 7" freed_as_a_whole,
        "MEM 8" writable_by_a_quarter,
        "MEM 9" buffer_sizes,
        "MEM 9" growing_unblocks,
        root "MEM 9" forced_sizes,
        "MEM 10" constants_of_the_profile,
        "MEM 11" waiting_writers_wake_late,
        "MEM 12" writers_interleave_at_buffers,
    ]
}

/// What a message of `len` bytes is charged.
fn charge<H: Host>(h: &H, kind: i32, len: usize) -> i32 {
    let (a, b) = pair(h, kind);
    assert_eq!(send(h, a, &vec![b'x'; len], DONTWAIT), Ok(len));
    let charged = outq(h, a).unwrap();
    assert_eq!(recv(h, b, len, DONTWAIT).map(|data| data.len()), Ok(len));
    assert_eq!(outq(h, a), Ok(0));
    close(h, a).unwrap();
    close(h, b).unwrap();
    charged
}

fn charged_to_the_sender<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    set_int(h, b, SO_RCVBUF, 0).unwrap();
    assert_eq!(send(h, a, &[0; 30_000], DONTWAIT), Ok(30_000));
    assert_eq!(outq(h, b), Ok(0));
    assert_eq!(inq(h, b), Ok(30_000));
    assert!(outq(h, a).unwrap() > 30_000);
}

fn head_sizes<H: Host>(h: &H) {
    for kind in TYPES {
        for (len, charged) in [
            (1, 768),
            (192, 768),
            (193, 1280),
            (704, 1280),
            (705, 2304),
            (1728, 2304),
            (1729, 4352),
            (3776, 4352),
        ] {
            assert_eq!(charge(h, kind, len), charged, "{len} bytes on type {kind}");
        }
    }
    for (len, charged) in [(3777, 8448), (7872, 8448), (7873, 16640), (16064, 16640)] {
        assert_eq!(charge(h, DGRAM, len), charged, "{len} bytes");
    }
    assert_eq!(charge(h, DGRAM, 0), 768);
}

fn large_messages<H: Host>(h: &H) {
    for len in [16_065, 16_065 + 4095, 20_161, 65_536, 85_696, 100_000, 200_000] {
        let data = (len - 16_064usize).min(69_632).next_multiple_of(4096);
        let rest = len.saturating_sub(data);
        let bucket = (rest.next_multiple_of(64) + 320).next_power_of_two().max(512);
        let charged = (256 + bucket + data) as i32;
        assert_eq!(charge(h, SEQPACKET, len), charged, "{len} bytes");
    }
}

fn too_long<H: Host>(h: &H) {
    for kind in [DGRAM, SEQPACKET] {
        let (a, b) = pair(h, kind);
        assert_eq!(send(h, a, &vec![0; 212_992 - 31], DONTWAIT), Err(Errno::MSGSIZE));
        assert_eq!(send(h, a, &vec![0; 212_992 - 32], DONTWAIT), Ok(212_960));
        assert_eq!(recv_count(h, b, 1, TRUNC), Ok(212_960));
    }
}

fn no_memory_is_so_large<H: Host>(h: &H) {
    for kind in [DGRAM, SEQPACKET] {
        let (a, b) = pair(h, kind);
        set_int(h, a, SO_SNDBUFFORCE, i32::MAX).unwrap();
        assert_eq!(send(h, a, &vec![0; 4_263_617], 0), Err(Errno::NOBUFS));
        assert_eq!(send(h, a, &vec![0; 4_263_616], 0), Ok(4_263_616));
        assert_eq!(outq(h, a), Ok(4_264_192));
        assert_eq!(recv_count(h, b, 1, TRUNC), Ok(4_263_616));
    }
}

fn stream_chunks<H: Host>(h: &H) {
    for (len, charged) in [
        (3776, 4352),
        (3777, 768 + 4096),
        (4096, 768 + 4096),
        (4097, 768 + 4096),
        (8000, 768 + 8192),
        (36_544, 4352 + 32_768),
        (36_545, 4352 + 32_768 + 768),
        (65_536, 0),
    ] {
        let expected = match charged {
            0 => charged_for_stream(len, 212_992),
            charged => charged,
        };
        assert_eq!(charge(h, STREAM, len), expected, "{len} bytes");
        assert_eq!(charged_for_stream(len, 212_992), expected, "{len} bytes");
    }
}

/// MEM 5 as a formula.
fn charged_for_stream(len: usize, sndbuf: usize) -> i32 {
    let (mut left, mut total) = (len, 0);
    while left > 0 {
        let size = left.min(sndbuf / 2 - 64).min(36_544);
        let data = size.min(size.saturating_sub(3776).next_multiple_of(4096));
        let bucket = ((size - data).next_multiple_of(64) + 320).next_power_of_two().max(512);
        total += 256 + bucket + data.next_multiple_of(4096);
        left -= size;
    }
    total as i32
}

fn overshoot<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, _b) = pair(h, kind);
        let sent = (0..).find(|_| send(h, a, b"x", DONTWAIT) == Err(Errno::AGAIN));
        assert_eq!(sent, Some(278), "type {kind}");
        assert_eq!(outq(h, a), Ok(278 * 768));
        let (a, _b) = pair(h, kind);
        set_int(h, a, SO_SNDBUF, 0).unwrap();
        let sent = (0..).find(|_| send(h, a, b"x", DONTWAIT) == Err(Errno::AGAIN));
        assert_eq!((sent, outq(h, a)), (Some(6), Ok(6 * 768)), "just full");
    }
    let (a, _b) = pair(h, STREAM);
    assert_eq!(send(h, a, &vec![0; 1 << 20], DONTWAIT), Ok(6 * 36_544));
    assert_eq!(outq(h, a), Ok(222_720));
    assert_eq!(send(h, a, b"x", DONTWAIT), Err(Errno::AGAIN));
    let (a, _b) = pair(h, STREAM);
    set_int(h, a, SO_SNDBUF, 0).unwrap();
    assert_eq!(get_int(h, a, SO_SNDBUF), Ok(4608));
    assert_eq!(send(h, a, &[0; 9000], DONTWAIT), Ok(4480));
    assert_eq!(outq(h, a), Ok(8704));
}

fn freed_as_a_whole<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, &[0; 1000], 0), Ok(1000));
    let charged = outq(h, a).unwrap();
    assert_eq!(recv(h, b, 999, 0).unwrap().len(), 999);
    assert_eq!(outq(h, a), Ok(charged));
    assert_eq!(recv(h, b, 1, 0).unwrap().len(), 1);
    assert_eq!(outq(h, a), Ok(0));
}

fn writable_by_a_quarter<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        for _ in 0..69 {
            assert_eq!(send(h, a, b"x", 0), Ok(1));
        }
        assert_eq!(poll(h, a), mask("o"));
        assert_eq!(send(h, a, b"x", 0), Ok(1));
        assert_eq!(poll(h, a), mask(""));
        assert_eq!(recv(h, b, 1, 0).unwrap().len(), 1);
        assert_eq!(poll(h, a), mask("o"));
    }
}

fn buffer_sizes<H: Host>(h: &H) {
    let (a, _b) = pair(h, STREAM);
    assert_eq!(get_int(h, a, SO_SNDBUF), Ok(212_992));
    assert_eq!(get_int(h, a, SO_RCVBUF), Ok(212_992));
    for (value, snd, rcv) in [
        (0, 4608, 2304),
        (1, 4608, 2304),
        (1153, 4608, 2306),
        (2305, 4610, 4610),
        (100_000, 200_000, 200_000),
    ] {
        set_int(h, a, SO_SNDBUF, value).unwrap();
        set_int(h, a, SO_RCVBUF, value).unwrap();
        assert_eq!(get_int(h, a, SO_SNDBUF), Ok(snd), "{value}");
        assert_eq!(get_int(h, a, SO_RCVBUF), Ok(rcv), "{value}");
    }
    set_int(h, a, SO_SNDBUF, i32::MAX).unwrap();
    let most = get_int(h, a, SO_SNDBUF).unwrap();
    set_int(h, a, SO_SNDBUF, -1).unwrap();
    assert_eq!(get_int(h, a, SO_SNDBUF), Ok(most), "values are unsigned");
}

fn growing_unblocks<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    set_int(h, a, SO_SNDBUF, 0).unwrap();
    assert_eq!(send(h, a, &[0; 9000], DONTWAIT), Ok(4480));
    let waiting = start(h, move |h| send(h, a, b"x", 0));
    assert!(waiting.waits(h));
    set_int(h, a, SO_SNDBUF, 100_000).unwrap();
    assert_eq!(waiting.join(), Ok(1));
    assert_eq!(inq(h, b), Ok(4481));
}

fn size_stays_while_it_waits<H: Host>(h: &H) {
    let (a, _b) = pair(h, STREAM);
    set_int(h, a, SO_SNDBUF, 0).unwrap();
    let waiting = start(h, move |h| send(h, a, &[0; 9000], 0));
    assert!(waiting.waits(h));
    set_int(h, a, SO_SNDBUF, 100_000).unwrap();
    assert_eq!(waiting.join(), Ok(9000));
    // 2240 bytes three times, as SO_SNDBUF was when the third began to wait; then 2280.
    assert_eq!(outq(h, a), Ok(4 * 4352));
}

fn forced_sizes<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    set_int(h, a, SO_SNDBUFFORCE, -5).unwrap();
    set_int(h, a, SO_RCVBUFFORCE, -5).unwrap();
    assert_eq!(get_int(h, a, SO_SNDBUF), Ok(4608));
    assert_eq!(get_int(h, a, SO_RCVBUF), Ok(2304));
    set_int(h, a, SO_SNDBUFFORCE, i32::MAX).unwrap();
    assert_eq!(get_int(h, a, SO_SNDBUF), Ok(2_147_483_646));
    super::as_stranger(h, &[b], |h| {
        assert_eq!(set_int(h, 3, SO_SNDBUFFORCE, 5000), Err(Errno::PERM));
        assert_eq!(set_int(h, 3, SO_RCVBUFFORCE, 5000), Err(Errno::PERM));
    });
}

fn waiting_writers_wake_late<H: Host>(h: &H) {
    let (a, b) = pair(h, SEQPACKET);
    for _ in 0..278 {
        assert_eq!(send(h, a, b"x", 0), Ok(1));
    }
    let waiting = start(h, move |h| send(h, a, b"y", 0));
    recv(h, b, 1, 0).unwrap();
    assert!(waiting.waits(h));
    assert_eq!(send(h, a, b"z", DONTWAIT), Ok(1), "a new one succeeds");
    for _ in 0..208 {
        recv(h, b, 1, 0).unwrap();
    }
    assert!(waiting.waits(h));
    recv(h, b, 1, 0).unwrap();
    assert_eq!(waiting.join(), Ok(1));
}

/// The numbers of `Profile::linux_6_18` that a program can see by themselves.
fn constants_of_the_profile<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    for (option, start, least) in [(SO_SNDBUF, 212_992, 4608), (SO_RCVBUF, 212_992, 2304)] {
        assert_eq!(get_int(h, a, option), Ok(start));
        assert_eq!(set_int(h, b, option, 0), Ok(0));
        assert_eq!(get_int(h, b, option), Ok(least));
        assert_eq!(set_int(h, b, option, i32::MAX), Ok(0));
        assert_eq!(get_int(h, b, option), Ok(2 * 4_194_304), "wmem_max and rmem_max, doubled");
    }
    // The buffer's descriptor and the least allocation; a page; the largest stream buffer.
    for (len, charged) in [(1, 256 + 512), (3776, 4352), (3777, 768 + 4096), (36_544, 37_120)] {
        let (a, _b) = pair(h, STREAM);
        assert_eq!(send(h, a, &vec![0; len], DONTWAIT), Ok(len));
        assert_eq!(outq(h, a), Ok(charged), "{len} bytes");
    }
}

/// Who of them comes first each time is nobody's promise.
fn writers_interleave_at_buffers<H: Host>(h: &H) {
    // Half of the least SO_SNDBUF less 64; two of them fill the memory.
    const BUFFER: usize = 2240;
    const EACH: usize = 6 * BUFFER;
    let (a, b) = pair(h, STREAM);
    set_int(h, a, SO_SNDBUF, 0).unwrap();
    let waiting = start(h, move |h| send(h, a, &[b'a'; EACH], 0));
    assert!(waiting.waits(h));
    let mut all = recv(h, b, BUFFER, 0).unwrap();
    // MEM 11: with one buffer freed a new writer goes on, and the one that waits does not.
    assert_eq!(send(h, a, &[b'b'; BUFFER], DONTWAIT), Ok(BUFFER));
    assert!(waiting.waits(h));
    while all.len() < EACH + BUFFER {
        all.extend(recv(h, b, BUFFER / 2, 0).unwrap());
    }
    assert_eq!(waiting.join(), Ok(EACH));
    let writers: Vec<u8> = all.chunks(BUFFER).map(|buffer| buffer[0]).collect();
    assert_eq!(writers, b"aabaaaa");
    for buffer in all.chunks(BUFFER) {
        assert!(buffer.iter().all(|byte| *byte == buffer[0]), "a buffer is of one writer");
    }
}
