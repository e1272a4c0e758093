//! SELECT: select(2), as the system call pselect6.

use std::time::Duration;

use afunix::EpollFlags as E;
use afunix::{Call, Errno, Host};

use super::{Case, start, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "SELECT 1" numbers_that_count,
        "SELECT 1" closed_numbers,
        "SELECT 2" readable_and_writable,
        "SELECT 2" hang_ups_and_errors,
        "SELECT 2" the_exceptional_set,
        "SELECT 3" what_is_written,
        "SELECT 4" time_that_is_left,
        "SELECT 5" it_waits,
        "SELECT 5" a_number_that_closes_meanwhile,
    ]
}

const NOW: Option<Duration> = Some(Duration::ZERO);

/// A set of numbers.
fn set(numbers: &[i32]) -> u64 {
    numbers.iter().fold(0, |set, number| set | 1 << number)
}

/// What a select without waiting says.
fn asked<H: Host>(h: &H, nfds: i32, sets: [u64; 3]) -> Answer<(usize, [u64; 3])> {
    let mut sets = sets;
    let count = select(h, nfds, &mut sets, &mut { NOW })?;
    Ok((count, sets))
}

/// What a select of writable numbers below 2048 says, in a set of more words than one.
fn far_writable<H: Host>(h: &H, set: &mut [u64]) -> Answer {
    let mut timeout = Duration::ZERO;
    h.call(&mut Call::Pselect6 {
        nfds: 2048,
        readfds: None,
        writefds: Some(set),
        exceptfds: None,
        timeout: Some(&mut timeout),
        mask: None,
    })
}

fn numbers_that_count<H: Host>(h: &H) {
    let (a, _b) = pair(h, STREAM);
    assert_eq!(asked(h, -1, [0; 3]), Err(Errno::INVAL));
    assert_eq!(asked(h, i32::MIN, [0; 3]), Err(Errno::INVAL));
    assert_eq!(asked(h, 0, [u64::MAX; 3]), Ok((0, [u64::MAX; 3])), "nothing is looked at");
    assert_eq!(asked(h, a, [0, set(&[a]), 0]), Ok((0, [0; 3])), "below nfds alone");
    assert_eq!(asked(h, a + 1, [0, set(&[a]), 0]), Ok((1, [0, set(&[a]), 0])));
    assert_eq!(asked(h, i32::MAX, [0, set(&[a]), 0]), Ok((1, [0, set(&[a]), 0])));
    // Numbers that the table has no place for are no mistake, and their words stay: it has 2^n.
    set_limit(h, 4096).unwrap();
    dup2(h, a, 1000).unwrap();
    let mut far = [0; 32];
    (far[0], far[1000 / 64], far[1024 / 64], far[20]) = (set(&[a]), 1 << (1000 % 64), 1, u64::MAX);
    let as_they_were = far;
    assert_eq!(far_writable(h, &mut far), Ok(2));
    assert_eq!(far, as_they_were);
    far[1023 / 64] |= 1 << (1023 % 64);
    assert_eq!(far_writable(h, &mut far), Err(Errno::BADF));
}

fn closed_numbers<H: Host>(h: &H) {
    let (a, _b) = pair(h, STREAM);
    for sets in [[set(&[40]), 0, 0], [0, set(&[40]), 0], [0, set(&[a]), set(&[40])]] {
        assert_eq!(asked(h, 64, sets), Err(Errno::BADF));
        assert_eq!(asked(h, 40, sets).map(|(_, sets)| sets[0]), Ok(0));
    }
    let mut sets = [set(&[40]), set(&[a]), 0];
    assert_eq!(select(h, 64, &mut sets, &mut { NOW }), Err(Errno::BADF));
    assert_eq!(sets, [set(&[40]), set(&[a]), 0], "as they were");
    assert_eq!(
        asked(h, 64, [0, 0, 0]),
        Ok((0, [0; 3])),
        "without numbers it only waits for the time to pass"
    );
}

fn readable_and_writable<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let both = set(&[a, b]);
    assert_eq!(asked(h, 64, [both; 3]), Ok((2, [0, both, 0])));
    send(h, a, b"x", 0).unwrap();
    assert_eq!(asked(h, 64, [both; 3]), Ok((3, [set(&[b]), both, 0])), "bits are counted");
    let server = listener(h, STREAM, &hidden("s"), 1);
    assert_eq!(asked(h, 64, [set(&[server]); 3]), Ok((0, [0; 3])));
    let client = connected(h, STREAM, &hidden("s")).unwrap();
    assert_eq!(asked(h, 64, [set(&[server]); 3]), Ok((1, [set(&[server]), 0, 0])));
    assert_eq!(asked(h, 64, [set(&[client]); 3]), Ok((1, [0, set(&[client]), 0])));
    // A file that cannot be polled is ready; so is an epoll that has something.
    make_file(h, "file", b"");
    let file = open(h, "file", afunix::OpenFlags::empty()).unwrap();
    assert_eq!(asked(h, 64, [set(&[file]); 3]), Ok((2, [set(&[file]), set(&[file]), 0])));
    let ep = epoll(h);
    assert_eq!(asked(h, 64, [set(&[ep]); 3]), Ok((0, [0; 3])));
    watch(h, ep, b, E::IN, 0).unwrap();
    assert_eq!(asked(h, 64, [set(&[ep]); 3]), Ok((1, [set(&[ep]), 0, 0])));
}

fn hang_ups_and_errors<H: Host>(h: &H) {
    // HUP is readable; a fresh stream socket has OUT HUP.
    let fresh = set(&[socket(h, STREAM).unwrap()]);
    assert_eq!(asked(h, 64, [fresh; 3]), Ok((2, [fresh, fresh, 0])));
    // ERR is readable and writable.
    let (r, w) = pipe(h);
    close(h, r).unwrap();
    assert_eq!(asked(h, 64, [set(&[w]); 3]), Ok((2, [set(&[w]), set(&[w]), 0])));
    let (r, w) = pipe(h);
    close(h, w).unwrap();
    assert_eq!(asked(h, 64, [set(&[r]); 3]), Ok((1, [set(&[r]), 0, 0])), "HUP is not writable");
    let (a, b) = pair(h, STREAM);
    send(h, a, b"x", 0).unwrap();
    close(h, b).unwrap();
    assert_eq!(asked(h, 64, [set(&[a]); 3]), Ok((2, [set(&[a]), set(&[a]), 0])), "a reset");
}

fn the_exceptional_set<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    send(h, a, b"x", OOB).unwrap();
    assert_eq!(asked(h, 64, [0, 0, set(&[a, b])]), Ok((1, [0, 0, set(&[b])])));
    assert_eq!(asked(h, 64, [set(&[b]); 3]), Ok((3, [set(&[b]); 3])));
    recv(h, b, 1, OOB).unwrap();
    assert_eq!(asked(h, 64, [0, 0, set(&[b])]), Ok((0, [0; 3])));
}

fn what_is_written<H: Host>(h: &H) {
    let (a, _b) = pair(h, STREAM);
    // Whole words are written, with the bits from nfds on clear.
    assert_eq!(asked(h, a + 1, [0, u64::MAX << a, 0]), Ok((1, [0, set(&[a]), 0])));
    let mut sets = [set(&[a]), 0, u64::MAX << a];
    assert_eq!(select(h, a + 1, &mut sets, &mut Some(Duration::from_millis(1))), Ok(0));
    assert_eq!(sets, [0; 3], "also when the time is over");
    // A set that is not there is empty.
    let mut write = set(&[a]);
    let mut call = Call::Pselect6 {
        nfds: 64,
        readfds: None,
        writefds: Some(std::slice::from_mut(&mut write)),
        exceptfds: None,
        timeout: None,
        mask: None,
    };
    assert_eq!(h.call(&mut call), Ok(1));
    assert_eq!(write, set(&[a]));
}

fn time_that_is_left<H: Host>(h: &H) {
    let (a, _b) = pair(h, STREAM);
    let long = Duration::from_secs(5);
    let mut left = Some(Duration::from_millis(20));
    assert_eq!(select(h, 64, &mut [set(&[a]), 0, 0], &mut left), Ok(0));
    assert_eq!(left, NOW);
    let mut left = Some(long);
    assert_eq!(select(h, 64, &mut [0, set(&[a]), 0], &mut left), Ok(1));
    assert!(left <= Some(long) && left > Some(long / 2));
    // Errors do not keep it from being told.
    let waits = start(h, move |h| {
        let mut left = Some(long);
        let answer = select(h, 64, &mut [set(&[a]), 0, 0], &mut left);
        (answer, left)
    });
    assert!(waits.waits(h));
    close(h, _b).unwrap();
    let (answer, left) = waits.join();
    assert_eq!(answer, Ok(1));
    assert!(left < Some(long - super::SETTLE) && left > NOW);
}

fn it_waits<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    let other = eventfd(h, 0, 0).unwrap();
    let waits = start(h, move |h| {
        let mut sets = [set(&[a, other]), 0, set(&[a])];
        (select(h, 64, &mut sets, &mut None), sets)
    });
    assert!(waits.waits(h));
    send(h, b, b"x", 0).unwrap();
    assert_eq!(waits.join(), (Ok(1), [set(&[a]), 0, 0]));
    // For an epoll, too.
    let (ep, fd) = (epoll(h), eventfd(h, 0, 0).unwrap());
    watch(h, ep, fd, E::IN, 0).unwrap();
    let waits = start(h, move |h| {
        let mut sets = [set(&[ep]), 0, 0];
        (select(h, 64, &mut sets, &mut None), sets)
    });
    assert!(waits.waits(h));
    add(h, fd, 1).unwrap();
    assert_eq!(waits.join(), (Ok(1), [set(&[ep]), 0, 0]));
}

fn a_number_that_closes_meanwhile<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let waits = start(h, move |h| {
        let mut sets = [set(&[a]), 0, set(&[a])];
        (select(h, 64, &mut sets, &mut None), sets)
    });
    assert!(waits.waits(h));
    close(h, a).unwrap();
    assert!(waits.waits(h), "nobody tells it");
    send(h, b, b"x", 0).unwrap();
    assert_eq!(waits.join(), (Ok(2), [set(&[a]), 0, set(&[a])]), "it is not open: in every set");
}
