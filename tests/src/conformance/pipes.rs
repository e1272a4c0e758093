//! PIPE: pipes, which programs poll and pass along with sockets.

use afunix::call::Fcntl;
use afunix::{Errno, Host, Readiness, Segment, SegmentMut};

use super::{Case, start, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "PIPE 1" flags_of_the_ends,
        "PIPE 1" what_an_end_is_not,
        "PIPE 2" pages_fill_up,
        "PIPE 2" the_last_page_takes_more,
        "PIPE 3" a_write_of_a_page_is_whole,
        "PIPE 3" a_long_write_is_parted,
        "PIPE 3" a_long_write_waits,
        "PIPE 4" packets,
        "PIPE 5" no_reader,
        "PIPE 5" the_last_reader_goes_while_one_writes,
        "PIPE 6" no_writer,
        "PIPE 6" the_last_writer_goes_while_one_reads,
        "PIPE 7" readiness,
        "PIPE 8" faults,
        "PIPE 9" ends_in_flight,
        "PIPE 9" a_reader_in_flight_counts,
    ]
}

/// O_DIRECT.
const DIRECT: i32 = 0o40000;
/// Bytes of a page, and PIPE_BUF.
const PAGE: usize = 4096;
/// Pages of a pipe.
const PAGES: usize = 16;
const READ: Readiness = Readiness::IN.union(Readiness::RDNORM);
const WRITE: Readiness = Readiness::OUT.union(Readiness::WRNORM);

fn flags_of_the_ends<H: Host>(h: &H) {
    let (r, w) = pipe2(h, 0).unwrap();
    assert_eq!(w, r + 1);
    assert_eq!((fcntl(h, r, Fcntl::Getfl), fcntl(h, w, Fcntl::Getfl)), (Ok(0), Ok(1)));
    assert_eq!(fcntl(h, r, Fcntl::Getfd), Ok(0));
    let (r, w) = pipe2(h, NONBLOCK | CLOEXEC | DIRECT).unwrap();
    assert_eq!(fcntl(h, r, Fcntl::Getfl), Ok(NONBLOCK as usize));
    assert_eq!(
        fcntl(h, w, Fcntl::Getfl),
        Ok((NONBLOCK | DIRECT | 1) as usize),
        "packets are written"
    );
    assert_eq!((fcntl(h, r, Fcntl::Getfd), fcntl(h, w, Fcntl::Getfd)), (Ok(1), Ok(1)));
    for unknown in [1, 2, 0o100, 0o2000, 0o10000] {
        assert_eq!(pipe2(h, unknown), Err(Errno::INVAL));
    }
    set_limit(h, w as u32 + 2).unwrap();
    assert_eq!(pipe2(h, 0), Err(Errno::MFILE), "there is room for one");
    assert_eq!(dup(h, 0), Ok(w + 1), "which was not taken");
}

fn what_an_end_is_not<H: Host>(h: &H) {
    let (r, w) = pipe(h);
    for (fd, own) in [(r, 0), (w, 1)] {
        assert_eq!(lseek(h, fd, 0), Err(Errno::SPIPE));
        assert_eq!(send(h, fd, b"x", 0), Err(Errno::NOTSOCK));
        let stat = fstat(h, fd).unwrap();
        assert_eq!((stat.mode, stat.size, stat.nlink), (0o010600, 0, 1));
        assert_eq!(fcntl(h, fd, Fcntl::Setfl(0)), Ok(0));
        assert_eq!(fcntl(h, fd, Fcntl::Getfl), Ok(own));
    }
    assert_eq!(fchmod(h, r, 0o640), Ok(0));
    assert_eq!(fstat(h, w).unwrap().mode, 0o010640, "both ends are one inode");
    assert_eq!(fstat(h, w).unwrap().ino, fstat(h, r).unwrap().ino);
    assert_eq!((write(h, r, b"x"), read(h, w, 1)), (Err(Errno::BADF), Err(Errno::BADF)));
}

fn pages_fill_up<H: Host>(h: &H) {
    let (r, w) = pipe(h);
    for _ in 0..PAGES {
        assert_eq!(write(h, w, &[7; PAGE]), Ok(PAGE));
    }
    assert_eq!(write(h, w, b"x"), Err(Errno::AGAIN));
    assert_eq!(write(h, w, b""), Ok(0));
    assert_eq!((inq(h, r), inq(h, w)), (Ok(65536), Ok(65536)));
    // Room comes by whole pages.
    assert_eq!(read(h, r, PAGE - 1).unwrap().len(), PAGE - 1);
    assert_eq!(write(h, w, b"x"), Err(Errno::AGAIN));
    assert_eq!(read(h, r, 1).unwrap().len(), 1);
    assert_eq!(write(h, w, b"x"), Ok(1));
    assert_eq!(read(h, r, 99_999).unwrap().len(), 15 * PAGE + 1);
    assert_eq!(read(h, r, 1), Err(Errno::AGAIN));
    assert_eq!(read(h, r, 0), Ok(vec![]));
}

fn the_last_page_takes_more<H: Host>(h: &H) {
    let (r, w) = pipe(h);
    // As much as fits whole; what was read of it does not come back.
    assert_eq!(write(h, w, &[1; 3000]), Ok(3000));
    assert_eq!(read(h, r, 2999).unwrap().len(), 2999);
    assert_eq!(write(h, w, &[2; 1096]), Ok(1096));
    assert_eq!(write(h, w, &[3; 1]), Ok(1));
    for _ in 2..PAGES {
        assert_eq!(write(h, w, &[4; PAGE]), Ok(PAGE));
    }
    assert_eq!(write(h, w, &[5; PAGE]), Err(Errno::AGAIN), "all are taken");
    assert_eq!(inq(h, r), Ok((1 + 1096 + 1 + 14 * PAGE) as i32));
    // Full, and yet it takes what fits beside the last bytes.
    let (r, w) = pipe(h);
    for _ in 1..PAGES {
        assert_eq!(write(h, w, &[4; PAGE]), Ok(PAGE));
    }
    assert_eq!(write(h, w, &[5; 4000]), Ok(4000));
    assert_eq!(poll(h, w), Readiness::empty());
    assert_eq!(write(h, w, &[5; 97]), Err(Errno::AGAIN));
    assert_eq!(write(h, w, &[6; 96]), Ok(96));
    assert_eq!(inq(h, r), Ok(65536));
    // Of a long write the odd bytes come first.
    let (r, w) = pipe(h);
    assert_eq!(write(h, w, &[1; 10]), Ok(10));
    let long: Vec<u8> = (0..PAGE + 3).map(|at| (at % 251) as u8).collect();
    assert_eq!(write(h, w, &long), Ok(PAGE + 3));
    assert_eq!(read(h, r, 9999).unwrap()[10..], long);
}

fn a_write_of_a_page_is_whole<H: Host>(h: &H) {
    let (r, w) = pipe(h);
    for _ in 1..PAGES {
        assert_eq!(write(h, w, &[7; PAGE]), Ok(PAGE));
    }
    assert_eq!(write(h, w, &[7; 100]), Ok(100));
    assert_eq!(write(h, w, &[7; PAGE]), Err(Errno::AGAIN), "it is not parted");
    assert_eq!(writev(h, w, &[&[7; 4000], &[7; 96]]), Err(Errno::AGAIN));
    // More than a page may be parted: the odd bytes beside the last, and the rest has no room.
    assert_eq!(write(h, w, &[7; PAGE + 4]), Ok(4));
    assert_eq!(inq(h, r), Ok((15 * PAGE + 104) as i32));
}

fn a_long_write_is_parted<H: Host>(h: &H) {
    let (r, w) = pipe(h);
    assert_eq!(write(h, w, &[7; 70_000]), Ok(65536));
    assert_eq!(read(h, r, PAGE).unwrap().len(), PAGE);
    assert_eq!(write(h, w, &[7; 70_000]), Ok(PAGE));
    assert_eq!(write(h, w, &[7; 70_000]), Err(Errno::AGAIN));
}

fn a_long_write_waits<H: Host>(h: &H) {
    let (r, w) = pipe2(h, 0).unwrap();
    let waits = start(h, move |h| write(h, w, &[7; 80_000]));
    assert!(waits.waits(h));
    assert_eq!(inq(h, r), Ok(65536));
    assert_eq!(read(h, r, 100).unwrap().len(), 100);
    assert!(waits.waits(h));
    let mut got = 100;
    while got < 80_000 {
        got += read(h, r, 80_000).unwrap().len();
    }
    assert_eq!(waits.join(), Ok(80_000));
}

fn packets<H: Host>(h: &H) {
    let (r, w) = pipe2(h, NONBLOCK | DIRECT).unwrap();
    assert_eq!((write(h, w, b"abc"), write(h, w, b"de"), write(h, w, b"")), (Ok(3), Ok(2), Ok(0)));
    assert_eq!(inq(h, r), Ok(5));
    assert_eq!(read(h, r, 1), Ok(b"a".to_vec()), "the rest of the packet is lost");
    assert_eq!(read(h, r, 9), Ok(b"de".to_vec()));
    assert_eq!(read(h, r, 9), Err(Errno::AGAIN));
    // A long one is parted into packets of a page.
    assert_eq!(write(h, w, &[7; 5000]), Ok(5000));
    assert_eq!(read(h, r, 9999).unwrap().len(), PAGE);
    assert_eq!(read(h, r, 9999).unwrap().len(), 5000 - PAGE);
    for _ in 0..PAGES {
        assert_eq!(write(h, w, b"x"), Ok(1));
    }
    assert_eq!(write(h, w, b"x"), Err(Errno::AGAIN), "each takes a page");
    // The flag of the writing end counts, at the time of the write.
    let (r, w) = pipe(h);
    fcntl(h, w, Fcntl::Setfl(NONBLOCK | DIRECT)).unwrap();
    assert_eq!((write(h, w, b"abc"), write(h, w, b"de")), (Ok(3), Ok(2)));
    fcntl(h, w, Fcntl::Setfl(NONBLOCK)).unwrap();
    assert_eq!((write(h, w, b"fg"), write(h, w, b"hi")), (Ok(2), Ok(2)));
    assert_eq!(read(h, r, 9), Ok(b"abc".to_vec()));
    assert_eq!(read(h, r, 9), Ok(b"de".to_vec()));
    assert_eq!(read(h, r, 9), Ok(b"fghi".to_vec()));
}

fn no_reader<H: Host>(h: &H) {
    let (r, w) = pipe(h);
    assert_eq!(write(h, w, b"x"), Ok(1));
    close(h, r).unwrap();
    assert_eq!(poll(h, w), WRITE | Readiness::ERR);
    assert_eq!(write(h, w, b"x"), Err(Errno::PIPE));
    assert_eq!(write(h, w, b""), Ok(0));
    let (r, w) = pipe(h);
    assert_eq!(write(h, w, &[7; 70_000]), Ok(65536));
    close(h, r).unwrap();
    assert_eq!(write(h, w, b"x"), Err(Errno::PIPE), "before EAGAIN");
    assert_eq!(poll(h, w), Readiness::ERR);
}

fn the_last_reader_goes_while_one_writes<H: Host>(h: &H) {
    let (r, w) = pipe2(h, 0).unwrap();
    let waits = start(h, move |h| write(h, w, &[7; 70_000]));
    assert!(waits.waits(h));
    close(h, r).unwrap();
    assert_eq!(waits.join(), Ok(65536), "what was written counts");
    let (r, w) = pipe2(h, 0).unwrap();
    assert_eq!(write(h, w, &[7; 65536]), Ok(65536));
    let waits = start(h, move |h| write(h, w, b"x"));
    assert!(waits.waits(h));
    close(h, r).unwrap();
    assert_eq!(waits.join(), Err(Errno::PIPE));
}

fn no_writer<H: Host>(h: &H) {
    let (r, w) = pipe(h);
    assert_eq!(read(h, r, 1), Err(Errno::AGAIN));
    assert_eq!(write(h, w, b"xy"), Ok(2));
    let other = dup(h, w).unwrap();
    close(h, w).unwrap();
    assert_eq!(poll(h, r), READ);
    close(h, other).unwrap();
    assert_eq!(poll(h, r), READ | Readiness::HUP);
    assert_eq!(read(h, r, 1), Ok(b"x".to_vec()));
    assert_eq!(read(h, r, 9), Ok(b"y".to_vec()));
    assert_eq!((read(h, r, 9), poll(h, r)), (Ok(vec![]), Readiness::HUP));
}

fn the_last_writer_goes_while_one_reads<H: Host>(h: &H) {
    let (r, w) = pipe2(h, 0).unwrap();
    let first = start(h, move |h| read(h, r, 9));
    let second = start(h, move |h| read(h, r, 9));
    assert!(first.waits(h) && second.waits(h));
    write(h, w, b"xy").unwrap();
    assert_eq!(first.join(), Ok(b"xy".to_vec()), "they wait in order");
    assert!(second.waits(h));
    close(h, w).unwrap();
    assert_eq!(second.join(), Ok(vec![]));
}

fn readiness<H: Host>(h: &H) {
    let (r, w) = pipe(h);
    assert_eq!((poll(h, r), poll(h, w)), (Readiness::empty(), WRITE));
    write(h, w, b"x").unwrap();
    assert_eq!((poll(h, r), poll(h, w)), (READ, WRITE));
    let (r, w) = pipe2(h, 0).unwrap();
    let waits = start(h, move |h| poll_for(h, r, everything(), None));
    assert!(waits.waits(h));
    write(h, w, b"x").unwrap();
    assert_eq!(waits.join(), Ok(READ));
    assert_eq!(write(h, w, &[7; 15 * PAGE]), Ok(15 * PAGE));
    let waits = start(h, move |h| poll_for(h, w, everything(), None));
    assert!(waits.waits(h), "full by pages");
    read(h, r, 1).unwrap();
    assert_eq!(waits.join(), Ok(WRITE));
}

fn faults<H: Host>(h: &H) {
    let (r, w) = pipe(h);
    let ok = Segment::Bytes(b"abc");
    assert_eq!(writev_of(h, w, &[Segment::Fault(1)]), Err(Errno::FAULT));
    assert_eq!(writev_of(h, w, &[ok, Segment::Fault(1)]), Err(Errno::FAULT), "all or nothing");
    assert_eq!(inq(h, r), Ok(0));
    let page = [7; PAGE];
    let page = Segment::Bytes(&page);
    assert_eq!(writev_of(h, w, &[page, ok, Segment::Fault(1)]), Ok(PAGE), "of each page");
    assert_eq!(read(h, r, 9999).unwrap().len(), PAGE);
    write(h, w, b"0123456789").unwrap();
    let mut few = [0; 4];
    let into = &mut [SegmentMut::Bytes(&mut few), SegmentMut::Fault(4)];
    assert_eq!(readv_into(h, r, into), Err(Errno::FAULT));
    assert_eq!(readv_into(h, r, &mut [SegmentMut::Fault(4)]), Err(Errno::FAULT));
    assert_eq!(read(h, r, 99), Ok(b"0123456789".to_vec()), "nothing was lost");
    // An empty pipe does not look at the memory.
    assert_eq!(readv_into(h, r, &mut [SegmentMut::Fault(4)]), Err(Errno::AGAIN));
}

fn ends_in_flight<H: Host>(h: &H) {
    let (r, w) = pipe(h);
    let (a, b) = pair(h, STREAM);
    assert_eq!(sendmsg(h, a, b"x", &rights(&[r, w])), Ok(1));
    close(h, r).unwrap();
    assert_eq!(write(h, w, b"hello"), Ok(5), "its reader is in flight");
    close(h, w).unwrap();
    let got = recvmsg(h, b, 1, 64, 0).unwrap().rights();
    assert_eq!(read(h, got[0], 9), Ok(b"hello".to_vec()));
    assert_eq!(read(h, got[0], 9), Err(Errno::AGAIN), "the writer came along");
    close(h, got[1]).unwrap();
    assert_eq!(read(h, got[0], 9), Ok(vec![]));
}

fn a_reader_in_flight_counts<H: Host>(h: &H) {
    let (r, w) = pipe(h);
    let (a, b) = pair(h, DGRAM);
    assert_eq!(sendmsg(h, a, b"x", &rights(&[r])), Ok(1));
    close(h, r).unwrap();
    assert_eq!(poll(h, w), WRITE);
    // A message that nobody receives takes its files along.
    close(h, b).unwrap();
    assert_eq!(poll(h, w), WRITE | Readiness::ERR);
    assert_eq!(write(h, w, b"x"), Err(Errno::PIPE));
}
