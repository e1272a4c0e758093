//! POLL 2 to 8, as epolls see them: which changes of a socket wake whom.

use std::time::Duration;

use afunix::EpollFlags as E;
use afunix::{Errno, Host, Readiness, Segment};

use super::{Blocked, Case, start, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "POLL 2" room_at_a_one_way_peer,
        "POLL 2" room_at_a_peer_that_was_left,
        "POLL 2" who_leaves_takes_only_itself,
        "POLL 3" an_edge_for_each_buffer,
        "POLL 3" an_edge_for_each_buffer_freed,
        "POLL 3" an_edge_for_each_shutdown,
        "POLL 3" edges_of_pipes_and_counters,
        "POLL 4" a_shut_receiver_wakes_nobody,
        "POLL 5" connections_bring_few_edges,
        "POLL 5" no_edge_for_the_rest,
        "POLL 6" one_connection_for_all_epolls,
        "POLL 6" one_connection_for_one_exclusive,
        "POLL 6" waiters_of_one_epoll,
        "POLL 6" a_poll_beside_an_accept,
        "POLL 9" a_failed_send_is_an_edge,
        "POLL 8" in_flight_it_reports,
        "POLL 8" gone_with_the_last_reference,
    ]
}

const NOTHING: [(u64, E); 0] = [];
const AT_LAST: Option<Duration> = Some(Duration::from_secs(9));

/// An epoll that watches for the edges of `events` alone; what is there at first is taken.
fn edges<H: Host>(h: &H, fd: i32, events: E) -> i32 {
    let ep = epoll(h);
    watch(h, ep, fd, events | E::ET, 1).unwrap();
    reported(h, ep);
    assert_eq!(reported(h, ep), NOTHING);
    ep
}

/// A datagram socket with a full queue, and one that is connected to it and would send.
fn full_receiver<H: Host>(h: &H) -> (i32, i32) {
    let receiver = bound(h, DGRAM, &path("receiver"));
    let sender = connected(h, DGRAM, &path("receiver")).unwrap();
    fill(h);
    assert_eq!(send(h, sender, b"x", DONTWAIT), Err(Errno::AGAIN));
    (receiver, sender)
}

/// Fills the queue from somewhere else.
fn fill<H: Host>(h: &H) {
    let other = connected(h, DGRAM, &path("receiver")).unwrap();
    while send(h, other, b"x", DONTWAIT) == Ok(1) {}
}

fn room_at_a_one_way_peer<H: Host>(h: &H) {
    let (receiver, sender) = full_receiver(h);
    assert_eq!(poll(h, sender), Readiness::empty());
    // The send that failed asked for it already.
    let ep = edges(h, sender, E::OUT);
    recv(h, receiver, 1, 0).unwrap();
    assert_eq!(reported(h, ep), [(1, E::OUT)]);
    recv(h, receiver, 1, 0).unwrap();
    assert_eq!(reported(h, ep), NOTHING, "it was told once");
    // A level, and one that waits.
    fill(h);
    let level = epoll(h);
    watch(h, level, sender, E::OUT, 2).unwrap();
    let waits = start(h, move |h| epoll_wait(h, level, 1, AT_LAST));
    assert!(waits.waits(h));
    recv(h, receiver, 1, 0).unwrap();
    assert_eq!(waits.join(), Ok(vec![(2, E::OUT)]));
    // A poll waits for it, too.
    fill(h);
    let waits = start(h, move |h| poll_for(h, sender, Readiness::OUT, AT_LAST));
    assert!(waits.waits(h));
    recv(h, receiver, 1, 0).unwrap();
    assert_eq!(waits.join(), Ok(Readiness::OUT));
    // Nobody has asked since it filled up again.
    reported(h, ep);
    fill(h);
    assert_eq!(poll_for(h, sender, Readiness::IN, Some(Duration::ZERO)), Ok(Readiness::empty()));
    recv(h, receiver, 1, 0).unwrap();
    assert_eq!(reported(h, ep), NOTHING);
}

fn room_at_a_peer_that_was_left<H: Host>(h: &H) {
    let (_receiver, sender) = full_receiver(h);
    bound(h, DGRAM, &path("other"));
    let ep = edges(h, sender, E::OUT);
    assert_eq!(connect(h, sender, &path("other")), Ok(0));
    assert_eq!(reported(h, ep), [(1, E::OUT)]);
    assert_eq!(connect(h, sender, &path("receiver")), Ok(0));
    assert_eq!(reported(h, ep), NOTHING, "it was told, and is not writable");
    for _ in 0..2 {
        assert_eq!(connect(h, sender, &path("other")), Ok(0));
        assert_eq!(reported(h, ep), [(1, E::OUT)], "each connect tells");
    }
    // The close of the full one is room, of a kind.
    let (receiver, sender) = {
        unlink(h, "receiver").unwrap();
        full_receiver(h)
    };
    let ep = edges(h, sender, E::OUT);
    close(h, receiver).unwrap();
    assert_eq!(reported(h, ep), [(1, E::OUT)]);
    assert_eq!(send(h, sender, b"x", DONTWAIT), Err(Errno::CONNREFUSED));
}

fn who_leaves_takes_only_itself<H: Host>(h: &H) {
    let (receiver, stays) = full_receiver(h);
    let leaves = connected(h, DGRAM, &path("receiver")).unwrap();
    bound(h, DGRAM, &path("other"));
    let [stayed, left] = [stays, leaves].map(|fd| edges(h, fd, E::OUT));
    assert_eq!(connect(h, leaves, &path("other")), Ok(0));
    assert_eq!(reported(h, left), [(1, E::OUT)]);
    recv(h, receiver, 1, 0).unwrap();
    assert_eq!(reported(h, stayed), [(1, E::OUT)], "it waited for this room");
    assert_eq!(reported(h, left), NOTHING, "it does not send there");
}

fn an_edge_for_each_buffer<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        let ep = edges(h, a, E::IN);
        for _ in 0..3 {
            send(h, b, b"xy", 0).unwrap();
            assert_eq!(reported(h, ep), [(1, E::IN)]);
            assert_eq!(reported(h, ep), NOTHING);
        }
        recv(h, a, 1, 0).unwrap();
        assert_eq!(reported(h, ep), NOTHING, "none for what is left");
        // An edge whose bytes are gone by then is none.
        send(h, b, b"x", 0).unwrap();
        while recv(h, a, 9, DONTWAIT).is_ok() {}
        assert_eq!(reported(h, ep), NOTHING);
    }
}

fn an_edge_for_each_buffer_freed<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let ep = edges(h, a, E::OUT);
    send(h, a, b"xyz", 0).unwrap();
    send(h, a, b"xyz", 0).unwrap();
    assert_eq!(reported(h, ep), NOTHING);
    recv(h, b, 1, 0).unwrap();
    assert_eq!(reported(h, ep), NOTHING, "a part of it");
    recv(h, b, 2, 0).unwrap();
    assert_eq!(reported(h, ep), [(1, E::OUT)]);
    recv(h, b, 9, 0).unwrap();
    assert_eq!(reported(h, ep), [(1, E::OUT)]);
    // Not while it is not writable.
    set_int(h, a, SO_SNDBUF, 8192).unwrap();
    while send(h, a, &[7; 100], DONTWAIT).is_ok() {}
    reported(h, ep);
    let mut freed = 0;
    while poll(h, a) == Readiness::empty() {
        assert_eq!(reported(h, ep), NOTHING);
        recv(h, b, 100, 0).unwrap();
        freed += 1;
    }
    assert!(freed > 1);
    assert_eq!(reported(h, ep), [(1, E::OUT)]);
    for kind in [DGRAM, SEQPACKET] {
        let (a, b) = pair(h, kind);
        let ep = edges(h, a, E::OUT);
        send(h, a, b"xyz", 0).unwrap();
        recv(h, b, 1, PEEK).unwrap();
        assert_eq!(reported(h, ep), NOTHING);
        recv(h, b, 1, 0).unwrap();
        assert_eq!(reported(h, ep), [(1, E::OUT)]);
    }
}

fn an_edge_for_each_shutdown<H: Host>(h: &H) {
    for kind in CONNECTED {
        let (a, b) = pair(h, kind);
        let (own, peer) = (edges(h, a, E::IN | E::OUT), edges(h, b, E::IN | E::OUT | E::RDHUP));
        for _ in 0..2 {
            shutdown(h, a, WR).unwrap();
            assert_eq!(reported(h, own), [(1, E::OUT)]);
            assert_eq!(reported(h, peer), [(1, E::IN | E::OUT | E::RDHUP)]);
        }
        assert_eq!(shutdown(h, a, 3), Err(Errno::INVAL));
        assert_eq!(reported(h, own), NOTHING);
        close(h, a).unwrap();
        assert_eq!(reported(h, peer), [(1, E::IN | E::OUT | E::RDHUP | E::HUP)]);
    }
    // A shutdown says nothing of what changed: those who wait for something else look as well.
    let (a, b) = pair(h, STREAM);
    let peer = edges(h, b, E::OUT);
    shutdown(h, a, WR).unwrap();
    assert_eq!(reported(h, peer), [(1, E::OUT)]);
    send(h, a, b"x", 0).unwrap_err();
    let own = edges(h, a, E::OUT);
    send(h, b, b"x", 0).unwrap();
    assert_eq!(reported(h, own), NOTHING, "but a buffer that came says so");
}

fn edges_of_pipes_and_counters<H: Host>(h: &H) {
    let (r, w) = pipe(h);
    let (read_end, write_end) = (edges(h, r, E::IN), edges(h, w, E::OUT));
    for _ in 0..2 {
        write(h, w, b"xyz").unwrap();
        assert_eq!(reported(h, read_end), [(1, E::IN)], "it was polled: one for each write");
    }
    read(h, r, 6).unwrap();
    assert_eq!(reported(h, write_end), NOTHING, "it was not full");
    while write(h, w, &[7; 4096]).is_ok() {}
    assert_eq!(reported(h, read_end), [(1, E::IN)]);
    read(h, r, 4095).unwrap();
    assert_eq!(reported(h, write_end), NOTHING);
    read(h, r, 4097).unwrap();
    assert_eq!(reported(h, write_end), [(1, E::OUT)]);
    read(h, r, 4096).unwrap();
    assert_eq!(reported(h, write_end), NOTHING);
    let other = dup(h, w).unwrap();
    close(h, w).unwrap();
    assert_eq!(reported(h, read_end), NOTHING);
    close(h, other).unwrap();
    assert_eq!(reported(h, read_end), [(1, E::IN | E::HUP)]);
    let fd = eventfd(h, 0, NONBLOCK).unwrap();
    let (reads, writes) = (edges(h, fd, E::IN), edges(h, fd, E::OUT));
    for _ in 0..2 {
        add(h, fd, 1).unwrap();
        assert_eq!(
            (&reported(h, reads)[..], &reported(h, writes)[..]),
            (&[(1, E::IN)][..], &[][..])
        );
    }
    add(h, fd, 0).unwrap();
    assert_eq!(reported(h, reads), [(1, E::IN)], "of nothing, too");
    count(h, fd).unwrap();
    assert_eq!((&reported(h, reads)[..], &reported(h, writes)[..]), (&[][..], &[(1, E::OUT)][..]));
}

fn a_shut_receiver_wakes_nobody<H: Host>(h: &H) {
    let (receiver, sender) = full_receiver(h);
    let ep = edges(h, sender, E::OUT);
    let waits = start(h, move |h| poll_for(h, sender, Readiness::OUT, None));
    assert!(waits.waits(h));
    shutdown(h, receiver, RD).unwrap();
    assert!(waits.waits(h));
    assert_eq!(poll(h, sender), Readiness::empty());
    assert_eq!(send(h, sender, b"x", DONTWAIT), Err(Errno::PIPE));
    assert_eq!(reported(h, ep), NOTHING);
    close(h, receiver).unwrap();
    assert_eq!(waits.join(), Ok(Readiness::OUT));
    assert_eq!(reported(h, ep), [(1, E::OUT)]);
}

fn connections_bring_few_edges<H: Host>(h: &H) {
    for kind in CONNECTED {
        let name = hidden(&format!("edges of {kind}"));
        let server = listener(h, kind, &name, 4);
        let client = socket(h, kind).unwrap();
        let all = E::IN | E::OUT | E::RDHUP;
        let (of_server, of_client) = (edges(h, server, all), edges(h, client, all));
        connect(h, client, &name).unwrap();
        assert_eq!(reported(h, of_client), NOTHING);
        assert_eq!(reported(h, of_server), [(1, E::IN)]);
        let second = connected(h, kind, &name).unwrap();
        assert_eq!(reported(h, of_server), [(1, E::IN)], "one for each");
        let accepted = accept(h, server, 0).unwrap();
        assert_eq!((reported(h, of_client), reported(h, of_server)), (vec![], vec![]));
        send(h, accepted, b"x", 0).unwrap();
        assert_eq!(reported(h, of_client), [(1, E::IN | E::OUT)]);
        close(h, second).unwrap();
        assert_eq!(reported(h, of_server), NOTHING, "the one that waits is closed");
        // A larger backlog, or listening again, tells nobody.
        listen(h, server, 9).unwrap();
        assert_eq!(reported(h, of_server), NOTHING);
    }
}

fn no_edge_for_the_rest<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    let all = E::IN | E::OUT | E::RDHUP;
    let (own, peer) = (edges(h, a, all), edges(h, b, all));
    shutdown(h, a, RDWR).unwrap();
    assert_eq!(reported(h, own), [(1, all | E::HUP)]);
    assert_eq!(reported(h, peer), NOTHING, "a datagram's shutdown");
    close(h, a).unwrap();
    assert_eq!(reported(h, peer), NOTHING, "nor its close");
    let (a, b) = pair(h, STREAM);
    let ep = edges(h, a, E::IN | E::PRI);
    send(h, b, b"x", OOB).unwrap();
    assert_eq!(reported(h, ep), [(1, E::IN | E::PRI)]);
    recv(h, a, 1, OOB).unwrap();
    assert_eq!(reported(h, ep), NOTHING, "reading an out-of-band byte");
    let (a, _b) = pair(h, STREAM);
    let ep = edges(h, a, E::OUT);
    set_int(h, a, SO_RCVBUF, 9999).unwrap();
    assert_eq!(reported(h, ep), NOTHING, "SO_RCVBUF");
    set_int(h, a, SO_SNDBUF, 9999).unwrap();
    assert_eq!(reported(h, ep), [(1, E::OUT)], "SO_SNDBUF says that there may be room");
}

/// What a thread waits for at an epoll.
type Events = Answer<Vec<(u64, E)>>;

/// Threads that wait, each at an epoll of its own that watches `fd`.
fn waiters<H: Host>(h: &H, fd: i32, events: E) -> Vec<Blocked<Events>> {
    let mut waiters = Vec::new();
    for data in 0..4 {
        let ep = epoll(h);
        watch(h, ep, fd, events, data).unwrap();
        waiters.push(start(h, move |h| epoll_wait(h, ep, 1, AT_LAST)));
    }
    assert!(waiters.iter().all(|waits| waits.waits(h)));
    waiters
}

fn one_connection_for_all_epolls<H: Host>(h: &H) {
    let server = listener(h, STREAM, &hidden("all"), 9);
    let waiters = waiters(h, server, E::IN);
    connected(h, STREAM, &hidden("all")).unwrap();
    for (data, waits) in waiters.into_iter().enumerate() {
        assert_eq!(waits.join(), Ok(vec![(data as u64, E::IN)]));
    }
}

fn one_connection_for_one_exclusive<H: Host>(h: &H) {
    let server = listener(h, STREAM, &hidden("one"), 9);
    let mut waiters = waiters(h, server, E::IN | E::EXCLUSIVE);
    while !waiters.is_empty() {
        connected(h, STREAM, &hidden("one")).unwrap();
        let done = waiters.iter().position(|waits| !waits.waits(h));
        waiters.remove(done.expect("one of them")).join().unwrap();
        assert!(waiters.iter().all(|waits| waits.waits(h)));
    }
}

fn waiters_of_one_epoll<H: Host>(h: &H) {
    for (kind, woken) in [(E::empty(), 4), (E::ET, 1), (E::ONESHOT, 1)] {
        let ep = epoll(h);
        let fd = eventfd(h, 0, 0).unwrap();
        watch(h, ep, fd, E::IN | kind, 1).unwrap();
        let waiters =
            [(); 4].map(|()| start(h, move |h| epoll_wait(h, ep, 1, Some(Duration::from_secs(1)))));
        add(h, fd, 1).unwrap();
        let counts = waiters.map(|waits| waits.join().unwrap().len());
        assert_eq!(counts.iter().sum::<usize>(), woken, "{kind:?}");
    }
}

fn a_poll_beside_an_accept<H: Host>(h: &H) {
    let server = listener(h, STREAM, &hidden("beside"), 9);
    let accepts = start(h, move |h| accept(h, server, 0));
    assert!(accepts.waits(h));
    connected(h, STREAM, &hidden("beside")).unwrap();
    accepts.join().unwrap();
    let waits = start(h, move |h| poll_for(h, server, Readiness::IN, None));
    assert!(waits.waits(h), "accept has taken it");
    connected(h, STREAM, &hidden("beside")).unwrap();
    assert_eq!(waits.join(), Ok(Readiness::IN));
}

fn a_failed_send_is_an_edge<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let ep = edges(h, a, E::OUT);
    for fault in [Segment::Fault(1), Segment::Fault(9000)] {
        assert_eq!(writev_of(h, a, &[fault]), Err(Errno::FAULT));
        assert_eq!(reported(h, ep), [(1, E::OUT)]);
    }
    shutdown(h, b, RD).unwrap();
    reported(h, ep);
    assert_eq!(send(h, a, b"x", 0), Err(Errno::PIPE));
    assert_eq!(reported(h, ep), NOTHING, "its own half is shut by that, and looked at before");
    let (a, b) = pair(h, DGRAM);
    let ep = edges(h, a, E::OUT);
    assert_eq!(send(h, a, &vec![0; 1 << 20], 0), Err(Errno::MSGSIZE));
    assert_eq!(reported(h, ep), NOTHING);
    assert_eq!(send_to(h, a, b"x", &path("nobody")), Err(Errno::NOENT));
    assert_eq!(reported(h, ep), [(1, E::OUT)]);
    assert_eq!(writev_of(h, a, &[Segment::Fault(1)]), Err(Errno::FAULT));
    assert_eq!(reported(h, ep), [(1, E::OUT)]);
    shutdown(h, b, RD).unwrap();
    assert_eq!(send(h, a, b"x", 0), Err(Errno::PIPE));
    assert_eq!(reported(h, ep), [(1, E::OUT)]);
    shutdown(h, a, WR).unwrap();
    assert_eq!(reported(h, ep), [(1, E::OUT)]);
    let (receiver, sender) = full_receiver(h);
    let ep = edges(h, sender, E::OUT);
    close(h, receiver).unwrap();
    assert_eq!(reported(h, ep), [(1, E::OUT)]);
    assert_eq!(send(h, sender, b"x", 0), Err(Errno::CONNREFUSED));
    assert_eq!(reported(h, ep), [(1, E::OUT)]);
}

fn in_flight_it_reports<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let (left, right) = pair(h, STREAM);
    let ep = epoll(h);
    watch(h, ep, b, E::IN, 1).unwrap();
    assert_eq!(sendmsg(h, left, b"x", &rights(&[b])), Ok(1));
    close(h, b).unwrap();
    assert_eq!(reported(h, ep), NOTHING);
    send(h, a, b"hello", 0).unwrap();
    assert_eq!(reported(h, ep), [(1, E::IN)]);
    assert_eq!(unwatch(h, ep, b), Err(Errno::BADF), "under no number");
    let got = recvmsg(h, right, 1, 64, 0).unwrap().rights()[0];
    assert_eq!(got, b, "the lowest free one");
    assert_eq!(unwatch(h, ep, b), Ok(0), "which is the old one again");
    assert_eq!(reported(h, ep), NOTHING);
}

fn gone_with_the_last_reference<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let (left, right) = pair(h, STREAM);
    let ep = epoll(h);
    watch(h, ep, b, E::IN, 1).unwrap();
    assert_eq!(sendmsg(h, left, b"x", &rights(&[b])), Ok(1));
    close(h, b).unwrap();
    send(h, a, b"hello", 0).unwrap();
    assert_eq!(reported(h, ep), [(1, E::IN)]);
    // Nobody will receive it: that was its last reference.
    close(h, right).unwrap();
    assert_eq!(reported(h, ep), NOTHING);
    // An epoll that is closed watches no more, and one that is watched goes like any file.
    let (outer, inner) = (epoll(h), epoll(h));
    let fd = eventfd(h, 1, 0).unwrap();
    watch(h, inner, fd, E::IN, 1).unwrap();
    watch(h, outer, inner, E::IN, 2).unwrap();
    assert_eq!(reporting(h, outer), [2]);
    close(h, inner).unwrap();
    assert_eq!(reporting(h, outer), [0u64; 0]);
    close(h, outer).unwrap();
    add(h, fd, 1).unwrap();
}
