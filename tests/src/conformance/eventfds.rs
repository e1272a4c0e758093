//! EVENTFD: event counters.

use afunix::call::Fcntl;
use afunix::{Errno, Host, Readiness, Segment, SegmentMut};

use super::{Case, start, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "EVENTFD 1" flags_of_a_counter,
        "EVENTFD 1" what_a_counter_is_not,
        "EVENTFD 2" reads_take_all,
        "EVENTFD 2" a_semaphore_gives_one,
        "EVENTFD 2" readers_wait,
        "EVENTFD 3" writes_add,
        "EVENTFD 3" writers_wait_for_room,
        "EVENTFD 4" readiness_of_a_counter,
        "EVENTFD 5" memory_that_faults,
    ]
}

const SEMAPHORE: i32 = 1;
/// The largest count there can be.
const MOST: u64 = u64::MAX - 1;

fn flags_of_a_counter<H: Host>(h: &H) {
    let fd = eventfd(h, 0, 0).unwrap();
    assert_eq!((fcntl(h, fd, Fcntl::Getfl), fcntl(h, fd, Fcntl::Getfd)), (Ok(2), Ok(0)));
    let fd = eventfd(h, 0, NONBLOCK | CLOEXEC | SEMAPHORE).unwrap();
    let kept = (NONBLOCK | 2) as usize;
    assert_eq!((fcntl(h, fd, Fcntl::Getfl), fcntl(h, fd, Fcntl::Getfd)), (Ok(kept), Ok(1)));
    for unknown in [2, 4, 0o40000, i32::MIN] {
        assert_eq!(eventfd(h, 0, unknown), Err(Errno::INVAL));
    }
    set_limit(h, fd as u32 + 1).unwrap();
    assert_eq!(eventfd(h, 0, 0), Err(Errno::MFILE));
}

fn what_a_counter_is_not<H: Host>(h: &H) {
    let fd = eventfd(h, 1, NONBLOCK).unwrap();
    assert_eq!(lseek(h, fd, 5), Ok(0));
    assert_eq!(send(h, fd, b"x", 0), Err(Errno::NOTSOCK));
    assert_eq!(inq(h, fd), Err(Errno::NOTTY));
    assert_eq!(fchmod(h, fd, 0o600), Err(Errno::OPNOTSUPP));
    let stat = fstat(h, fd).unwrap();
    assert_eq!((stat.mode, stat.size, stat.nlink), (0o600, 0, 1));
    // It can be sent like any file, and its count is one.
    let (a, b) = pair(h, SEQPACKET);
    assert_eq!(sendmsg(h, a, b"x", &rights(&[fd])), Ok(1));
    let got = recvmsg(h, b, 1, 64, 0).unwrap().rights()[0];
    add(h, fd, 4).unwrap();
    assert_eq!(count(h, got), Ok(5));
}

fn reads_take_all<H: Host>(h: &H) {
    let fd = eventfd(h, u32::MAX, NONBLOCK).unwrap();
    for len in [0, 1, 7] {
        assert_eq!(read(h, fd, len), Err(Errno::INVAL));
    }
    assert_eq!(read(h, fd, 99).unwrap(), u64::from(u32::MAX).to_ne_bytes());
    assert_eq!(count(h, fd), Err(Errno::AGAIN));
    assert_eq!(read(h, fd, 7), Err(Errno::INVAL), "before EAGAIN");
    assert_eq!(readv_into(h, fd, &mut []), Ok(0), "nothing is asked of a counter");
    let nothing = &mut [SegmentMut::Bytes(&mut []), SegmentMut::Fault(0)];
    assert_eq!(readv_into(h, fd, nothing), Ok(0));
    add(h, fd, 3).unwrap();
    let (mut few, mut rest) = ([0; 3], [0; 9]);
    let into = &mut [SegmentMut::Bytes(&mut few), SegmentMut::Bytes(&mut rest)];
    assert_eq!(readv_into(h, fd, into), Ok(8));
    assert_eq!([&few[..], &rest[..5]].concat(), 3u64.to_ne_bytes());
}

fn a_semaphore_gives_one<H: Host>(h: &H) {
    let fd = eventfd(h, 2, NONBLOCK | SEMAPHORE).unwrap();
    add(h, fd, 1).unwrap();
    for _ in 0..3 {
        assert_eq!(count(h, fd), Ok(1));
    }
    assert_eq!(count(h, fd), Err(Errno::AGAIN));
}

fn readers_wait<H: Host>(h: &H) {
    let fd = eventfd(h, 0, 0).unwrap();
    let waits = start(h, move |h| count(h, fd));
    assert!(waits.waits(h));
    add(h, fd, 0).unwrap();
    assert!(waits.waits(h), "nothing was added");
    add(h, fd, 7).unwrap();
    assert_eq!(waits.join(), Ok(7));
    // All are woken; a semaphore of two lets two of them go on.
    let fd = eventfd(h, 0, SEMAPHORE).unwrap();
    let readers = [(); 3].map(|()| start(h, move |h| count(h, fd)));
    add(h, fd, 2).unwrap();
    let waiting = readers.iter().filter(|reader| reader.waits(h)).count();
    assert_eq!(waiting, 1);
    add(h, fd, 1).unwrap();
    for reader in readers {
        assert_eq!(reader.join(), Ok(1));
    }
}

fn writes_add<H: Host>(h: &H) {
    let fd = eventfd(h, 0, NONBLOCK).unwrap();
    for bytes in [&[][..], &[1], &[0; 7], &[0; 9], &[0; 16]] {
        assert_eq!(write(h, fd, bytes), Err(Errno::INVAL));
    }
    assert_eq!(add(h, fd, u64::MAX), Err(Errno::INVAL));
    assert_eq!((add(h, fd, MOST), add(h, fd, 0)), (Ok(8), Ok(8)));
    assert_eq!(add(h, fd, 1), Err(Errno::AGAIN));
    assert_eq!(count(h, fd), Ok(MOST));
    // writev is a write of each segment, up to the first that cannot be.
    let (one, few) = (1u64.to_ne_bytes(), [0; 4]);
    assert_eq!(writev(h, fd, &[&one, &one]), Ok(16));
    assert_eq!(writev(h, fd, &[&few, &few]), Err(Errno::INVAL));
    assert_eq!(writev(h, fd, &[&one, &few]), Ok(8));
    assert_eq!(count(h, fd), Ok(3));
    assert_eq!(writev(h, fd, &[&[], &[]]), Ok(0));
}

fn writers_wait_for_room<H: Host>(h: &H) {
    let fd = eventfd(h, 1, 0).unwrap();
    let waits = start(h, move |h| add(h, fd, MOST));
    assert!(waits.waits(h));
    assert_eq!(poll(h, fd), Readiness::IN | Readiness::OUT, "there is room for one");
    assert_eq!(count(h, fd), Ok(1));
    assert_eq!(waits.join(), Ok(8));
    assert_eq!(count(h, fd), Ok(MOST));
}

fn readiness_of_a_counter<H: Host>(h: &H) {
    let fd = eventfd(h, 0, NONBLOCK).unwrap();
    assert_eq!(poll(h, fd), Readiness::OUT, "and no WRNORM");
    add(h, fd, 1).unwrap();
    assert_eq!(poll(h, fd), Readiness::IN | Readiness::OUT);
    add(h, fd, MOST - 1).unwrap();
    assert_eq!(poll(h, fd), Readiness::IN);
    let waits = start(h, move |h| poll_for(h, fd, Readiness::OUT, None));
    assert!(waits.waits(h));
    count(h, fd).unwrap();
    assert_eq!(waits.join(), Ok(Readiness::OUT));
    let waits = start(h, move |h| poll_for(h, fd, Readiness::IN, None));
    assert!(waits.waits(h));
    add(h, fd, 1).unwrap();
    assert_eq!(waits.join(), Ok(Readiness::IN));
}

fn memory_that_faults<H: Host>(h: &H) {
    let fd = eventfd(h, 5, NONBLOCK).unwrap();
    assert_eq!(writev_of(h, fd, &[Segment::Fault(8)]), Err(Errno::FAULT));
    assert_eq!(writev_of(h, fd, &[Segment::Fault(4)]), Err(Errno::INVAL));
    assert_eq!(readv_into(h, fd, &mut [SegmentMut::Fault(8)]), Err(Errno::FAULT));
    assert_eq!(count(h, fd), Err(Errno::AGAIN), "the count is lost");
}
