//! EPOLL: what epolls are, what they take, and in which order they report.

use std::time::Duration;

use afunix::EpollFlags as E;
use afunix::call::Fcntl;
use afunix::{Call, Errno, Host, OpenFlags, PollFd, ProcessSpec, Readiness};

use super::{Case, start, table};
use crate::calls::*;
use crate::raw::fd as number;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "EPOLL 1" flags_of_an_epoll,
        "EPOLL 1" what_an_epoll_is_not,
        "EPOLL 2" errors_of_ctl_in_order,
        "EPOLL 2" exclusive_is_for_add,
        "EPOLL 3" epolls_do_not_loop,
        "EPOLL 3" towers_are_low,
        "EPOLL 3" paths_are_few,
        "EPOLL 4" a_file_under_a_number,
        "EPOLL 5" changes_look_again,
        "EPOLL 6" one_shot,
        "EPOLL 7" an_epoll_polls,
        "EPOLL 7" an_epoll_in_an_epoll,
        "EPOLL 7" edges_of_an_epoll,
        "EPOLL 8" order_of_the_wakes,
        "EPOLL 8" levels_go_round,
        "EPOLL 8" faults_leave_events,
        "EPOLL 9" the_last_waits_first,
        "EPOLL 9" waits_end,
        "EPOLL 10" errors_of_wait_in_order,
        "EPOLL 11" exclusive_in_turn,
        "EPOLL 11" exclusive_beside_a_receiver,
        "POLL 1" events_come_as_asked,
        "POLL 1" an_epoll_watches_a_process,
    ]
}

const NOW: Option<Duration> = Some(Duration::ZERO);
const SOON: Option<Duration> = Some(Duration::from_millis(30));
const AT_LAST: Option<Duration> = Some(Duration::from_secs(9));

fn flags_of_an_epoll<H: Host>(h: &H) {
    let ep = epoll(h);
    assert_eq!((fcntl(h, ep, Fcntl::Getfl), fcntl(h, ep, Fcntl::Getfd)), (Ok(2), Ok(0)));
    assert_eq!(epoll_create1(h, CLOEXEC), Ok(ep + 1));
    assert_eq!(fcntl(h, ep + 1, Fcntl::Getfd), Ok(1));
    for unknown in [1, NONBLOCK, 0o40000, i32::MIN] {
        assert_eq!(epoll_create1(h, unknown), Err(Errno::INVAL));
    }
    set_limit(h, ep as u32 + 2).unwrap();
    assert_eq!(epoll_create1(h, 0), Err(Errno::MFILE));
}

fn what_an_epoll_is_not<H: Host>(h: &H) {
    let ep = epoll(h);
    assert_eq!((read(h, ep, 8), read(h, ep, 0)), (Err(Errno::INVAL), Err(Errno::INVAL)));
    assert_eq!(write(h, ep, b"x"), Err(Errno::INVAL));
    assert_eq!(lseek(h, ep, 5), Ok(0));
    assert_eq!(fchmod(h, ep, 0o600), Err(Errno::OPNOTSUPP));
    assert_eq!(send(h, ep, b"x", 0), Err(Errno::NOTSOCK));
    assert_eq!(inq(h, ep), Err(Errno::INVAL));
    let stat = fstat(h, ep).unwrap();
    assert_eq!((stat.mode, stat.size, stat.nlink), (0o600, 0, 1));
    fcntl(h, ep, Fcntl::Setfl(NONBLOCK | 0o20000)).unwrap();
    assert_eq!(fcntl(h, ep, Fcntl::Getfl), Ok(2 | NONBLOCK as usize), "no O_ASYNC");
    assert_eq!(fcntl(h, ep, Fcntl::Setfl(0o40000)), Err(Errno::INVAL));
}

fn errors_of_ctl_in_order<H: Host>(h: &H) {
    let ep = epoll(h);
    let (a, b) = pair(h, STREAM);
    let event = Some((E::IN, 0));
    for op in [CTL_ADD, CTL_MOD, 7, -1] {
        assert_eq!(epoll_ctl(h, 99, op, 99, None), Err(Errno::FAULT));
    }
    assert_eq!(epoll_ctl(h, 99, CTL_DEL, a, None), Err(Errno::BADF));
    for op in [CTL_ADD, CTL_DEL, CTL_MOD, 7] {
        assert_eq!(epoll_ctl(h, 99, op, a, event), Err(Errno::BADF));
        assert_eq!(epoll_ctl(h, ep, op, 99, event), Err(Errno::BADF));
        assert_eq!(epoll_ctl(h, a, op, b, event), Err(Errno::INVAL), "that is no epoll");
        assert_eq!(epoll_ctl(h, ep, op, ep, event), Err(Errno::INVAL), "not itself");
    }
    make_file(h, "file", b"");
    let file = open(h, "file", OpenFlags::empty()).unwrap();
    let directory = open(h, ".", OpenFlags::DIRECTORY).unwrap();
    let null = open(h, "/dev/null", OpenFlags::RDWR).unwrap();
    for fd in [file, directory, null] {
        assert_eq!(watch(h, ep, fd, E::IN, 0), Err(Errno::PERM));
        assert_eq!(epoll_ctl(h, a, 7, fd, event), Err(Errno::PERM), "before EINVAL");
    }
    let handle = open(h, "file", OpenFlags::PATH).unwrap();
    assert_eq!(watch(h, ep, handle, E::IN, 0), Err(Errno::BADF));
    assert_eq!(epoll_ctl(h, ep, 7, a, event), Err(Errno::INVAL));
    assert_eq!(unwatch(h, ep, a), Err(Errno::NOENT));
    assert_eq!(rewatch(h, ep, a, E::IN, 0), Err(Errno::NOENT));
    assert_eq!(watch(h, ep, a, E::IN, 0), Ok(0));
    assert_eq!(watch(h, ep, a, E::IN, 0), Err(Errno::EXIST));
    assert_eq!(epoll_ctl(h, ep, CTL_DEL, a, event), Ok(0));
}

fn exclusive_is_for_add<H: Host>(h: &H) {
    let (ep, inner) = (epoll(h), epoll(h));
    let (a, _b) = pair(h, STREAM);
    let with = [E::PRI, E::RDHUP, E::RDNORM, E::WRNORM, E::ONESHOT, E::from_bits_retain(0x400)];
    for other in with {
        assert_eq!(watch(h, ep, a, E::EXCLUSIVE | E::IN | other, 0), Err(Errno::INVAL));
    }
    assert_eq!(watch(h, ep, inner, E::EXCLUSIVE | E::IN, 0), Err(Errno::INVAL));
    assert_eq!(rewatch(h, ep, a, E::EXCLUSIVE, 0), Err(Errno::INVAL), "before ENOENT");
    let all = E::IN | E::OUT | E::ERR | E::HUP | E::WAKEUP | E::ET;
    assert_eq!(watch(h, ep, a, E::EXCLUSIVE | all, 0), Ok(0));
    assert_eq!(watch(h, ep, a, E::EXCLUSIVE | all, 0), Err(Errno::EXIST));
    assert_eq!(rewatch(h, ep, a, E::IN, 0), Err(Errno::INVAL));
    assert_eq!(unwatch(h, ep, a), Ok(0));
    // The other way round it does not matter what it was.
    assert_eq!(watch(h, ep, a, E::IN | E::WAKEUP, 0), Ok(0));
    assert_eq!(rewatch(h, ep, a, E::EXCLUSIVE | E::IN, 0), Err(Errno::INVAL));
}

fn epolls_do_not_loop<H: Host>(h: &H) {
    let (a, b, c) = (epoll(h), epoll(h), epoll(h));
    assert_eq!(watch(h, a, b, E::IN, 0), Ok(0));
    assert_eq!(watch(h, b, a, E::IN, 0), Err(Errno::LOOP));
    assert_eq!(watch(h, b, c, E::IN, 0), Ok(0));
    assert_eq!(watch(h, c, a, E::IN, 0), Err(Errno::LOOP));
    assert_eq!(watch(h, a, c, E::IN, 0), Ok(0), "two ways are no loop");
    assert_eq!(unwatch(h, a, b), Ok(0));
    assert_eq!(watch(h, b, a, E::IN, 0), Ok(0));
    // ELOOP comes before EEXIST.
    assert_eq!(watch(h, a, b, E::IN, 0), Err(Errno::LOOP));
}

fn towers_are_low<H: Host>(h: &H) {
    let up = [(); 6].map(|()| epoll(h));
    let down = [(); 6].map(|()| epoll(h));
    for level in 0..4 {
        assert_eq!(watch(h, up[level + 1], up[level], E::IN, 0), Ok(0));
        assert_eq!(watch(h, down[level], down[level + 1], E::IN, 0), Ok(0));
    }
    assert_eq!(watch(h, up[5], up[4], E::IN, 0), Err(Errno::LOOP));
    assert_eq!(watch(h, down[4], down[5], E::IN, 0), Err(Errno::LOOP));
    // What is above counts as well as what is below.
    assert_eq!(watch(h, up[0], down[4], E::IN, 0), Err(Errno::LOOP));
    assert_eq!(watch(h, up[0], up[5], E::IN, 0), Err(Errno::LOOP));
    let (a, _b) = pair(h, STREAM);
    assert_eq!(watch(h, up[0], a, E::OUT, 0), Ok(0));
    assert_eq!(poll(h, up[4]), Readiness::IN | Readiness::RDNORM);
}

fn paths_are_few<H: Host>(h: &H) {
    let (a, _b) = pair(h, STREAM);
    let inner = epoll(h);
    assert_eq!(watch(h, inner, a, E::IN, 0), Ok(0));
    for _ in 0..500 {
        let outer = epoll(h);
        assert_eq!(watch(h, outer, inner, E::IN, 0), Ok(0));
    }
    let outer = epoll(h);
    assert_eq!(watch(h, outer, inner, E::IN, 0), Err(Errno::INVAL));
    assert_eq!(unwatch(h, outer, inner), Err(Errno::NOENT));
    assert_eq!(watch(h, outer, a, E::IN, 0), Ok(0), "directly it may be watched by any number");
}

fn a_file_under_a_number<H: Host>(h: &H) {
    let ep = epoll(h);
    let (a, b) = pair(h, STREAM);
    let other = dup(h, a).unwrap();
    assert_eq!(watch(h, ep, a, E::IN, 1), Ok(0));
    assert_eq!(watch(h, ep, other, E::IN, 2), Ok(0), "one file, two numbers");
    send(h, b, b"x", 0).unwrap();
    assert_eq!(reporting(h, ep).len(), 2);
    close(h, a).unwrap();
    assert_eq!(reporting(h, ep).len(), 2, "the file is open");
    assert_eq!(unwatch(h, ep, a), Err(Errno::BADF));
    // The number stands for another file: neither is the other's.
    assert_eq!(eventfd(h, 1, 0), Ok(a));
    assert_eq!(unwatch(h, ep, a), Err(Errno::NOENT));
    assert_eq!(watch(h, ep, a, E::IN, 3), Ok(0));
    assert_eq!(reporting(h, ep).len(), 3);
    // Back under its old number it is found again.
    dup2(h, other, a).unwrap();
    assert_eq!(rewatch(h, ep, a, E::IN, 4), Ok(0));
    assert_eq!(unwatch(h, ep, a), Ok(0));
    assert_eq!(reporting(h, ep), [2]);
}

fn changes_look_again<H: Host>(h: &H) {
    let ep = epoll(h);
    let (a, b) = pair(h, STREAM);
    assert_eq!(watch(h, ep, a, E::IN | E::ET, 1), Ok(0));
    assert_eq!(reporting(h, ep), [0u64; 0]);
    assert_eq!(rewatch(h, ep, a, E::OUT | E::ET, 2), Ok(0));
    assert_eq!(reported(h, ep), [(2, E::OUT)]);
    assert_eq!(reported(h, ep), []);
    assert_eq!(rewatch(h, ep, a, E::OUT | E::ET, 3), Ok(0), "as if it were new");
    assert_eq!(reported(h, ep), [(3, E::OUT)]);
    assert_eq!(rewatch(h, ep, a, E::empty(), 4), Ok(0));
    send(h, b, b"x", 0).unwrap();
    assert_eq!(reported(h, ep), []);
    close(h, b).unwrap();
    assert_eq!(reported(h, ep), [(4, E::HUP)], "which is always waited for");
    assert_eq!(reported(h, ep), [(4, E::HUP)]);
    // One that waits is woken by a change, and by a new watch.
    let fd = eventfd(h, 0, 0).unwrap();
    let ep = epoll(h);
    watch(h, ep, fd, E::IN, 5).unwrap();
    let waits = start(h, move |h| epoll_wait(h, ep, 1, AT_LAST));
    assert!(waits.waits(h));
    rewatch(h, ep, fd, E::OUT, 6).unwrap();
    assert_eq!(waits.join(), Ok(vec![(6, E::OUT)]));
}

fn one_shot<H: Host>(h: &H) {
    let ep = epoll(h);
    let (a, b) = pair(h, STREAM);
    assert_eq!(watch(h, ep, a, E::IN | E::ONESHOT, 1), Ok(0));
    send(h, b, b"x", 0).unwrap();
    assert_eq!(reported(h, ep), [(1, E::IN)]);
    send(h, b, b"x", 0).unwrap();
    close(h, b).unwrap();
    assert_eq!(reported(h, ep), [], "not even the end");
    assert_eq!(watch(h, ep, a, E::IN | E::ONESHOT, 1), Err(Errno::EXIST), "it is still there");
    assert_eq!(rewatch(h, ep, a, E::IN | E::ONESHOT, 2), Ok(0));
    assert_eq!(reported(h, ep), [(2, E::IN | E::HUP)]);
    assert_eq!(reported(h, ep), []);
}

fn an_epoll_polls<H: Host>(h: &H) {
    let ep = epoll(h);
    let fd = eventfd(h, 0, NONBLOCK).unwrap();
    watch(h, ep, fd, E::IN, 1).unwrap();
    assert_eq!(poll(h, ep), Readiness::empty());
    let waits = start(h, move |h| poll_for(h, ep, everything(), None));
    assert!(waits.waits(h));
    add(h, fd, 1).unwrap();
    assert_eq!(waits.join(), Ok(Readiness::IN | Readiness::RDNORM));
    assert_eq!(poll(h, ep), Readiness::IN | Readiness::RDNORM, "and it takes nothing");
    count(h, fd).unwrap();
    assert_eq!(poll(h, ep), Readiness::empty());
    // It wakes those alone that ask for IN: RDNORM is seen by whoever looks.
    let (asked, other) = (Readiness::RDNORM, eventfd(h, 0, NONBLOCK).unwrap());
    let waits = start(h, move |h| {
        let mut fds = [PollFd::new(number(ep), asked), PollFd::new(number(other), Readiness::IN)];
        h.call(&mut Call::Poll { fds: &mut fds, timeout: None, mask: None })
    });
    assert!(waits.waits(h));
    add(h, fd, 1).unwrap();
    assert!(waits.waits(h));
    add(h, other, 1).unwrap();
    assert_eq!(waits.join(), Ok(2));
    count(h, fd).unwrap();
    // An edge that was seen by a poll is there still, unless it is gone by then.
    rewatch(h, ep, fd, E::IN | E::ET, 1).unwrap();
    add(h, fd, 1).unwrap();
    assert_eq!(poll(h, ep), Readiness::IN | Readiness::RDNORM);
    assert_eq!(reporting(h, ep), [1]);
    assert_eq!(poll(h, ep), Readiness::empty());
}

fn an_epoll_in_an_epoll<H: Host>(h: &H) {
    let (outer, inner) = (epoll(h), epoll(h));
    let (a, b) = pair(h, DGRAM);
    watch(h, outer, inner, E::IN | E::OUT | E::RDNORM, 7).unwrap();
    watch(h, inner, a, E::IN, 1).unwrap();
    assert_eq!(reported(h, outer), []);
    let waits = start(h, move |h| epoll_wait(h, outer, 9, AT_LAST));
    assert!(waits.waits(h));
    send(h, b, b"x", 0).unwrap();
    assert_eq!(waits.join(), Ok(vec![(7, E::IN | E::RDNORM)]));
    assert_eq!(reported(h, outer), [(7, E::IN | E::RDNORM)]);
    recv(h, a, 1, 0).unwrap();
    assert_eq!(reported(h, outer), []);
    // What becomes ready by a new watch is heard, too.
    watch(h, inner, b, E::OUT, 2).unwrap();
    assert_eq!(reporting(h, outer), [7]);
    unwatch(h, inner, b).unwrap();
    assert_eq!(reported(h, outer), []);
}

fn edges_of_an_epoll<H: Host>(h: &H) {
    let (outer, inner) = (epoll(h), epoll(h));
    let (a, b) = pair(h, DGRAM);
    watch(h, inner, a, E::IN, 1).unwrap();
    watch(h, outer, inner, E::IN | E::ET, 7).unwrap();
    for _ in 0..2 {
        send(h, b, b"x", 0).unwrap();
        assert_eq!(reporting(h, outer), [7], "one for each wake below");
        assert_eq!(reporting(h, outer), [0u64; 0]);
        assert_eq!(reporting(h, inner), [1]);
        assert_eq!(reporting(h, outer), [0u64; 0], "none for taking");
    }
    // Only IN comes from an epoll: what waits for RDNORM alone does not hear it.
    rewatch(h, outer, inner, E::RDNORM | E::ET, 8).unwrap();
    assert_eq!(reporting(h, outer), [8]);
    send(h, b, b"x", 0).unwrap();
    assert_eq!(reporting(h, outer), [0u64; 0]);
}

fn order_of_the_wakes<H: Host>(h: &H) {
    let ep = epoll(h);
    let fds = [1, 2, 3].map(|data| {
        let fd = eventfd(h, 0, 0).unwrap();
        watch(h, ep, fd, E::IN, data).unwrap();
        fd
    });
    for index in [2, 0, 1] {
        add(h, fds[index], 1).unwrap();
    }
    add(h, fds[2], 1).unwrap();
    assert_eq!(reporting(h, ep), [3, 1, 2]);
    assert_eq!(reporting(h, ep), [3, 1, 2]);
    // One file that is watched under several numbers: the last comes first.
    let ep = epoll(h);
    let (a, b) = pair(h, STREAM);
    watch(h, ep, a, E::IN, 1).unwrap();
    watch(h, ep, dup(h, a).unwrap(), E::IN, 2).unwrap();
    watch(h, ep, dup(h, a).unwrap(), E::IN, 3).unwrap();
    send(h, b, b"x", 0).unwrap();
    assert_eq!(reporting(h, ep), [3, 2, 1]);
    // But when they were added they came in order.
    let ep = epoll(h);
    watch(h, ep, a, E::IN, 1).unwrap();
    watch(h, ep, dup(h, a).unwrap(), E::IN, 2).unwrap();
    assert_eq!(reporting(h, ep), [1, 2]);
}

fn levels_go_round<H: Host>(h: &H) {
    let ep = epoll(h);
    let fds = [1, 2, 3, 4].map(|data| {
        let fd = eventfd(h, 1, 0).unwrap();
        watch(h, ep, fd, E::IN, data).unwrap();
        fd
    });
    let two = |h: &H| -> Vec<u64> {
        let events = epoll_wait(h, ep, 2, NOW).unwrap();
        events.into_iter().map(|(data, _)| data).collect()
    };
    assert_eq!((two(h), two(h), two(h)), (vec![1, 2], vec![3, 4], vec![1, 2]));
    rewatch(h, ep, fds[3], E::IN | E::ET, 4).unwrap();
    assert_eq!((two(h), two(h), two(h)), (vec![3, 4], vec![1, 2], vec![3, 1]));
    // What is no longer ready takes no room.
    count(h, fds[1]).unwrap();
    assert_eq!((two(h), two(h)), (vec![3, 1], vec![3, 1]));
    add(h, fds[1], 1).unwrap();
    assert_eq!(reporting(h, ep), [3, 1, 2]);
}

fn faults_leave_events<H: Host>(h: &H) {
    let ep = epoll(h);
    assert_eq!(epoll_wait_fault(h, ep, 1), Ok(0), "nothing was written");
    let fd = eventfd(h, 1, 0).unwrap();
    for kind in [E::ET, E::ONESHOT, E::empty()] {
        watch(h, ep, fd, E::IN | kind, 1).unwrap();
        assert_eq!(epoll_wait_fault(h, ep, 4), Err(Errno::FAULT));
        assert_eq!(reported(h, ep), [(1, E::IN)]);
        unwatch(h, ep, fd).unwrap();
    }
}

fn the_last_waits_first<H: Host>(h: &H) {
    let ep = epoll(h);
    let fd = eventfd(h, 0, 0).unwrap();
    watch(h, ep, fd, E::IN | E::ET, 1).unwrap();
    let first = start(h, move |h| epoll_wait(h, ep, 1, AT_LAST));
    let last = start(h, move |h| epoll_wait(h, ep, 1, AT_LAST));
    assert!(first.waits(h) && last.waits(h));
    add(h, fd, 1).unwrap();
    assert_eq!(last.join(), Ok(vec![(1, E::IN)]));
    assert!(first.waits(h));
    add(h, fd, 1).unwrap();
    assert_eq!(first.join(), Ok(vec![(1, E::IN)]));
}

fn waits_end<H: Host>(h: &H) {
    let ep = epoll(h);
    let before = h.now();
    assert_eq!(epoll_wait(h, ep, 1, SOON), Ok(vec![]));
    assert!(h.now() - before >= Duration::from_millis(30));
    // A closed epoll is there until the wait is over.
    let fd = eventfd(h, 0, 0).unwrap();
    watch(h, ep, fd, E::IN, 1).unwrap();
    let waits = start(h, move |h| epoll_wait(h, ep, 1, AT_LAST));
    assert!(waits.waits(h));
    close(h, ep).unwrap();
    add(h, fd, 1).unwrap();
    assert_eq!(waits.join(), Ok(vec![(1, E::IN)]));
    assert_eq!(epoll_wait(h, ep, 1, NOW), Err(Errno::BADF));
}

fn errors_of_wait_in_order<H: Host>(h: &H) {
    let ep = epoll(h);
    let (a, _b) = pair(h, STREAM);
    assert_eq!(epoll_wait(h, ep, 0, NOW), Err(Errno::INVAL));
    for many in [-1, i32::MIN, i32::MAX, i32::MAX / 12 + 1] {
        assert_eq!(epoll_wait_fault(h, ep, many), Err(Errno::INVAL));
        assert_eq!(epoll_wait_fault(h, 99, many), Err(Errno::BADF));
    }
    assert_eq!(epoll_wait(h, 99, 0, NOW), Err(Errno::BADF));
    assert_eq!(epoll_wait(h, a, 1, NOW), Err(Errno::INVAL));
    assert_eq!(epoll_wait(h, ep, 4000, NOW), Ok(vec![]));
}

fn exclusive_in_turn<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    let eps = [(); 3].map(|()| epoll(h));
    for ep in eps {
        watch(h, ep, a, E::IN | E::EXCLUSIVE | E::ET, 1).unwrap();
    }
    // Without anybody who waits, all hear of it.
    send(h, b, b"x", 0).unwrap();
    for ep in eps {
        assert_eq!(reporting(h, ep), [1]);
    }
    let waits = eps.map(|ep| start(h, move |h| epoll_wait(h, ep, 1, AT_LAST)));
    assert!(waits.iter().all(|waits| waits.waits(h)));
    let mut left = Vec::from(waits);
    while !left.is_empty() {
        send(h, b, b"x", 0).unwrap();
        assert_eq!(left.remove(0).join(), Ok(vec![(1, E::IN)]), "in the order of the watches");
        assert!(left.iter().all(|waits| waits.waits(h)));
    }
}

fn exclusive_beside_a_receiver<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    let ep = epoll(h);
    let receives = start(h, move |h| recv(h, a, 1, 0));
    assert!(receives.waits(h));
    watch(h, ep, a, E::IN | E::EXCLUSIVE, 1).unwrap();
    let waits = start(h, move |h| epoll_wait(h, ep, 1, AT_LAST));
    assert!(waits.waits(h));
    send(h, b, b"x", 0).unwrap();
    assert_eq!(receives.join(), Ok(b"x".to_vec()), "it came first");
    assert!(waits.waits(h));
    send(h, b, b"y", 0).unwrap();
    assert_eq!(waits.join(), Ok(vec![(1, E::IN)]));
}

fn events_come_as_asked<H: Host>(h: &H) {
    let ep = epoll(h);
    let (a, b) = pair(h, STREAM);
    let all = E::from(everything());
    watch(h, ep, a, all, u64::MAX).unwrap();
    assert_eq!(reported(h, ep), [(u64::MAX, E::from(mask("o")))]);
    send(h, b, b"xy", OOB).unwrap();
    assert_eq!(reported(h, ep), [(u64::MAX, E::from(mask("iop")))]);
    rewatch(h, ep, a, E::RDBAND | E::WRBAND | E::PRI, 1).unwrap();
    assert_eq!(reported(h, ep), [(1, E::WRBAND | E::PRI)]);
    close(h, b).unwrap();
    rewatch(h, ep, a, E::RDHUP, 1).unwrap();
    assert_eq!(reported(h, ep), [(1, E::RDHUP | E::HUP)]);
}

fn an_epoll_watches_a_process<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    set_int(h, a, SO_PASSPIDFD, 1).unwrap();
    let spec = ProcessSpec::new("child").fd(crate::raw::owned(h.clone(), b), 3);
    let child = h.process(spec, |h| {
        assert_eq!(send(h, 3, b"x", 0), Ok(1));
        assert_eq!(recv(h, 3, 1, 0), Ok(b"!".to_vec()));
        0
    });
    let child = child.unwrap();
    let message = recvmsg(h, a, 9, 64, 0).unwrap();
    let pidfd = i32::from_ne_bytes(message.control[0].1[..].try_into().unwrap());
    let ep = epoll(h);
    watch(h, ep, pidfd, E::IN | E::ET, 1).unwrap();
    assert_eq!(reported(h, ep), []);
    send(h, a, b"!", 0).unwrap();
    assert_eq!(epoll_wait(h, ep, 1, AT_LAST), Ok(vec![(1, E::IN)]));
    assert_eq!(reported(h, ep), []);
    child.wait().unwrap();
    assert_eq!(reported(h, ep), [(1, E::IN | E::HUP)], "one more for the wait");
}
