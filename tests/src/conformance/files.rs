//! GC: descriptors in flight; VFS and processes.

use std::time::Duration;

use afunix::call::Fcntl;
use afunix::{
    Call, EpollFlags, Errno, Exit, Host, OpenFlags, PollFd, ProcessSpec, Readiness, Signal,
};

use super::{Case, as_stranger, in_process, start, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "GC 1" edges_lead_to_the_receiver,
        "GC 2" held_outside_stays,
        "GC 3" cycle_is_collected_later,
        "GC 3" what_is_dropped_last_is_released_first,
        "GC 4" unaccepted_connection,
        "VFS 1" one_open_file,
        root "VFS 2" rights_come_with_the_descriptor,
        "VFS 3" killed_process_leaves_its_socket,
        "VFS 3" processes_share_open_files,
        "VFS 3" exit_closes_all,
        "VFS 3" exit_releases_the_highest_number_first,
        "VFS 4" unlink_keeps_connections,
        "VFS 4" unlink_keeps_datagram_peers,
        "VFS 5" close_during_recv,
        "VFS 5" replaced_during_recv,
        "VFS 5" close_during_accept,
        "VFS 5" close_during_poll,
        "VFS 5" close_during_poll_for_a_hangup,
        "VFS 5" replaced_during_poll,
        "VFS 6" nonblock_set_while_blocked,
        "VFS 6" settings_of_blocked_calls,
    ]
}

/// Waits until the far end of `fd` is gone: the kernel collects in the background.
fn hangs_up<H: Host>(h: &H, fd: i32) -> bool {
    let closed = poll_for(h, fd, Readiness::empty(), Some(Duration::from_secs(3)));
    closed == Ok(Readiness::HUP) || closed == Ok(Readiness::HUP | Readiness::ERR)
}

fn held_outside_stays<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let (c, d) = pair(h, STREAM);
    // b holds d in its queue and d holds b: but b's file is held outside too.
    sendmsg(h, a, b"x", &rights(&[d])).unwrap();
    sendmsg(h, c, b"x", &rights(&[b])).unwrap();
    close(h, d).unwrap();
    let (e, f) = pair(h, DGRAM);
    close(h, e).unwrap();
    close(h, f).unwrap();
    assert!(!poll(h, c).contains(Readiness::HUP));
    assert_eq!(recvmsg(h, b, 1, 64, 0).unwrap().rights().len(), 1);
}

fn cycle_is_collected_later<H: Host>(h: &H) {
    let (watch, cargo) = pair(h, STREAM);
    let (a, b) = pair(h, STREAM);
    // a's queue holds a itself and the watched cargo.
    sendmsg(h, b, b"x", &rights(&[a, b, cargo])).unwrap();
    for fd in [a, b, cargo] {
        close(h, fd).unwrap();
    }
    // Whether it is still there is not asked: on the kernel a stranger's close collects it, too.
    let other = socket(h, DGRAM).unwrap();
    close(h, other).unwrap();
    assert!(hangs_up(h, watch));
}

fn what_is_dropped_last_is_released_first<H: Host>(h: &H) {
    let ep = epoll(h);
    let pairs = [0, 1, 2, 3, 4].map(|_| pair(h, STREAM));
    for (which, (a, _)) in pairs.iter().enumerate() {
        watch(h, ep, *a, EpollFlags::RDHUP, which as u64).unwrap();
    }
    let [p, q, r, s, t] = pairs.map(|(_, cargo)| cargo);
    let (a, b) = pair(h, SEQPACKET);
    let (c, d) = pair(h, STREAM);
    // The queue of d, and so of t, waits for the second turn.
    sendmsg(h, c, b"x", &rights(&[t])).unwrap();
    // a's queue holds a itself.
    sendmsg(h, b, b"x", &rights(&[p, q, d])).unwrap();
    sendmsg(h, b, b"x", &rights(&[a, r, s])).unwrap();
    for fd in [p, q, r, s, t, d, a, b, c] {
        close(h, fd).unwrap();
    }
    assert!(hangs_up(h, pairs[4].0));
    let order: Vec<u64> = reported(h, ep).iter().map(|(which, _)| *which).collect();
    assert_eq!(order, [2, 3, 0, 1, 4]);
}

fn unaccepted_connection<H: Host>(h: &H) {
    let (watch, cargo) = pair(h, STREAM);
    let server = listener(h, STREAM, &hidden("s"), 4);
    let client = connected(h, STREAM, &hidden("s")).unwrap();
    sendmsg(h, client, b"x", &rights(&[server, cargo])).unwrap();
    close(h, cargo).unwrap();
    close(h, server).unwrap();
    assert_eq!(poll(h, watch), mask("o"));
    close(h, client).unwrap();
    assert!(hangs_up(h, watch));
}

fn one_open_file<H: Host>(h: &H) {
    make_file(h, "f", b"abcdef");
    let fd = open(h, "f", OpenFlags::CLOEXEC).unwrap();
    assert_eq!(read(h, fd, 2), Ok(b"ab".to_vec()));
    let (a, b) = pair(h, STREAM);
    sendmsg(h, a, b"x", &rights(&[fd])).unwrap();
    let got = recvmsg(h, b, 1, 64, 0).unwrap().rights()[0];
    assert_ne!(got, fd);
    assert_eq!(read(h, got, 2), Ok(b"cd".to_vec()));
    assert_eq!(read(h, fd, 2), Ok(b"ef".to_vec()));
    assert_eq!(fcntl(h, got, Fcntl::Getfd), Ok(0));
    fcntl(h, got, Fcntl::Setfl(OpenFlags::APPEND.bits())).unwrap();
    let flags = fcntl(h, fd, Fcntl::Getfl).unwrap() as i32;
    assert_eq!(flags & OpenFlags::APPEND.bits(), OpenFlags::APPEND.bits());
}

fn rights_come_with_the_descriptor<H: Host>(h: &H) {
    make_file(h, "secret", b"text");
    chmod(h, "secret", 0o600).unwrap();
    let fd = open(h, "secret", OpenFlags::empty()).unwrap();
    let (a, b) = pair(h, STREAM);
    sendmsg(h, a, b"x", &rights(&[fd])).unwrap();
    as_stranger(h, &[b], |h| {
        assert_eq!(open(h, "secret", OpenFlags::empty()), Err(Errno::ACCES));
        let got = recvmsg(h, 3, 1, 64, 0).unwrap().rights()[0];
        assert_eq!(read(h, got, 9), Ok(b"text".to_vec()));
        assert_eq!(write(h, got, b"x"), Err(Errno::BADF));
    });
}

fn killed_process_leaves_its_socket<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let spec = ProcessSpec::new("server").fd(crate::raw::owned(h.clone(), b), 3);
    let child = h.process(spec, |h| {
        listener(h, STREAM, &path("s"), 4);
        send(h, 3, b".", 0).unwrap();
        let _ = recv(h, 3, 1, 0);
        0
    });
    let child = child.unwrap();
    assert_eq!(recv(h, a, 1, 0), Ok(b".".to_vec()));
    let client = connected(h, STREAM, &path("s")).unwrap();
    assert_eq!(child.kill(Signal::Kill), Ok(()));
    assert_eq!(child.wait(), Ok(Exit::Signal(9)));
    assert_eq!(recv(h, a, 1, 0), Ok(vec![]));
    assert_eq!(recv(h, client, 1, 0), Err(Errno::CONNRESET));
    assert_eq!(stat(h, "s").unwrap().mode, 0o140755);
    assert_eq!(connected(h, STREAM, &path("s")), Err(Errno::CONNREFUSED));
}

fn processes_share_open_files<H: Host>(h: &H) {
    make_file(h, "f", b"abcdef");
    let file = open(h, "f", OpenFlags::CLOEXEC).unwrap();
    let (a, b) = pair(h, STREAM);
    let (file_copy, a_copy) = (dup(h, file).unwrap(), dup(h, a).unwrap());
    in_process(h, None, &[file_copy, a_copy], |h| {
        assert_eq!(read(h, 3, 2), Ok(b"ab".to_vec()));
        fcntl(h, 4, Fcntl::Setfl(NONBLOCK)).unwrap();
        assert_eq!(fcntl(h, 3, Fcntl::Getfd), Ok(0), "what is given stays open over an exec");
        fcntl(h, 4, Fcntl::Setfd(1)).unwrap();
        assert_eq!(recv(h, 4, 1, 0), Err(Errno::AGAIN));
        assert_eq!(send(h, 4, b"x", 0), Ok(1));
    });
    assert_eq!(read(h, file, 9), Ok(b"cdef".to_vec()), "the offset is one");
    assert_eq!(recv(h, a, 1, 0), Err(Errno::AGAIN), "so are the status flags");
    assert_eq!(fcntl(h, a, Fcntl::Getfd), Ok(0), "close-on-exec is each number's own");
    assert_eq!(fcntl(h, file, Fcntl::Getfd), Ok(1));
    assert_eq!(poll(h, b), mask("io"), "the child's end closed one of two copies");
    assert_eq!(recv(h, b, 9, 0), Ok(b"x".to_vec()));
}

fn exit_closes_all<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    in_process(h, None, &[b], |h| {
        assert_eq!(send(h, 3, b"x", 0), Ok(1));
        dup(h, 3).unwrap();
        // A listener, a connection that nobody accepted, and descriptors in flight end with it.
        let server = listener(h, STREAM, &path("s"), 4);
        connected(h, STREAM, &path("s")).unwrap();
        let (c, _d) = pair(h, STREAM);
        assert_eq!(sendmsg(h, c, b"x", &rights(&[server, 3])), Ok(1));
    });
    assert_eq!(recv(h, a, 9, 0), Ok(b"x".to_vec()));
    assert_eq!(recv(h, a, 9, 0), Ok(vec![]));
    assert_eq!(poll(h, a), mask("iorh"));
    assert_eq!(connected(h, STREAM, &path("s")), Err(Errno::CONNREFUSED));
}

fn exit_releases_the_highest_number_first<H: Host>(h: &H) {
    let ep = epoll(h);
    let pairs = [0, 1, 2, 3].map(|_| pair(h, STREAM));
    for (which, (a, _)) in pairs.iter().enumerate() {
        watch(h, ep, *a, EpollFlags::RDHUP, which as u64).unwrap();
    }
    let mut spec = ProcessSpec::new("child");
    for (number, (_, b)) in (3..).zip(pairs) {
        spec = spec.fd(crate::raw::owned(h.clone(), b), number);
    }
    let child = h.process(spec, |h| {
        recv(&h, 3, 1, 0).unwrap();
        // The second is released under its new number, the fourth once nobody can receive it.
        dup2(&h, 4, 10).unwrap();
        close(&h, 4).unwrap();
        let (c, _d) = pair(&h, STREAM);
        assert_eq!(sendmsg(&h, c, b"x", &rights(&[6])), Ok(1));
        close(&h, 6).unwrap();
        0
    });
    // The parent has closed its own by now.
    send(h, pairs[0].0, b"x", 0).unwrap();
    assert_eq!(child.unwrap().wait(), Ok(Exit::Status(0)));
    let order: Vec<u64> = reported(h, ep).iter().map(|(which, _)| *which).collect();
    assert_eq!(order, [1, 2, 0, 3]);
}

fn unlink_keeps_datagram_peers<H: Host>(h: &H) {
    let fd = bound(h, DGRAM, &path("s"));
    let by_peer = connected(h, DGRAM, &path("s")).unwrap();
    let by_name = socket(h, DGRAM).unwrap();
    assert_eq!(send_to(h, by_name, b"1", &path("s")), Ok(1));
    assert_eq!(unlink(h, "s"), Ok(0));
    assert_eq!(send_to(h, by_name, b"2", &path("s")), Err(Errno::NOENT));
    assert_eq!(send(h, by_peer, b"3", 0), Ok(1));
    let next = bound(h, DGRAM, &path("s"));
    assert_eq!(send_to(h, by_name, b"4", &path("s")), Ok(1));
    assert_eq!(send(h, by_peer, b"5", 0), Ok(1));
    for expected in [b"1", b"3", b"5"] {
        assert_eq!(recv(h, fd, 9, DONTWAIT), Ok(expected.to_vec()));
    }
    assert_eq!(recv(h, next, 9, DONTWAIT), Ok(b"4".to_vec()));
    assert_eq!(recv(h, next, 9, DONTWAIT), Err(Errno::AGAIN));
}

fn unlink_keeps_connections<H: Host>(h: &H) {
    let server = listener(h, STREAM, &path("s"), 4);
    let client = connected(h, STREAM, &path("s")).unwrap();
    assert_eq!(unlink(h, "s"), Ok(0));
    assert_eq!(connected(h, STREAM, &path("s")), Err(Errno::NOENT));
    let accepted = accept(h, server, 0).unwrap();
    assert_eq!(send(h, client, b"x", 0), Ok(1));
    assert_eq!(recv(h, accepted, 1, 0), Ok(b"x".to_vec()));
    listener(h, STREAM, &path("s"), 4);
    assert!(connected(h, STREAM, &path("s")).is_ok());
}

fn close_during_recv<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let waiting = start(h, move |h| recv(h, a, 9, 0));
    assert_eq!(close(h, a), Ok(0));
    assert!(waiting.waits(h));
    assert_eq!(poll(h, b), mask("o"), "the call in progress holds the file");
    assert_eq!(send(h, b, b"x", 0), Ok(1));
    assert_eq!(waiting.join(), Ok(b"x".to_vec()));
    assert_eq!(poll(h, b), mask("iorh"));
}

fn replaced_during_recv<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let (c, _d) = pair(h, STREAM);
    let waiting = start(h, move |h| recv(h, a, 9, 0));
    assert_eq!(dup2(h, c, a), Ok(a as usize));
    assert!(waiting.waits(h));
    assert_eq!(poll(h, b), mask("o"), "the call in progress holds the file");
    assert_eq!(send(h, b, b"x", 0), Ok(1));
    assert_eq!(waiting.join(), Ok(b"x".to_vec()), "of the file that it began with");
    assert_eq!(poll(h, b), mask("iorh"));
}

fn close_during_accept<H: Host>(h: &H) {
    let fd = listener(h, STREAM, &hidden("s"), 4);
    let waiting = start(h, move |h| accept(h, fd, 0));
    assert_eq!(close(h, fd), Ok(0));
    assert!(waiting.waits(h));
    let client = connected(h, STREAM, &hidden("s")).unwrap();
    let accepted = waiting.join().unwrap();
    assert_eq!(send(h, client, b"x", 0), Ok(1));
    assert_eq!(recv(h, accepted, 9, 0), Ok(b"x".to_vec()));
    assert_eq!(connected(h, STREAM, &hidden("s")), Err(Errno::CONNREFUSED), "and that was all");
}

fn close_during_poll<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let (c, d) = pair(h, STREAM);
    let waiting = start(h, move |h| {
        let wanted = Readiness::IN;
        let entry = |fd| PollFd::new(crate::raw::fd(fd), wanted);
        let mut fds = [entry(a), entry(c)];
        let count = h.call(&mut Call::Poll { fds: &mut fds, timeout: None, mask: None });
        (count, fds[0].revents, fds[1].revents)
    });
    assert_eq!(close(h, a), Ok(0));
    assert!(waiting.waits(h));
    assert_eq!(poll(h, b), mask("o"), "the poll in progress holds the file");
    assert_eq!(send(h, d, b"x", 0), Ok(1));
    assert_eq!(waiting.join(), (Ok(2), Readiness::NVAL, Readiness::IN));
    assert_eq!(poll(h, b), mask("iorh"));
}

/// What a poll did not ask for does not wake it, though it would find its descriptor closed.
fn close_during_poll_for_a_hangup<H: Host>(h: &H) {
    for wanted in [Readiness::RDHUP, Readiness::empty()] {
        let (a, b) = pair(h, STREAM);
        let held = dup(h, a).unwrap();
        let waiting = start(h, move |h| poll_for(h, a, wanted, None));
        assert_eq!(close(h, a), Ok(0));
        assert_eq!(send(h, b, b"x", 0), Ok(1));
        assert!(waiting.waits(h), "{wanted:?}: data is not what it waits for");
        assert_eq!(recv(h, held, 9, 0), Ok(b"x".to_vec()));
        assert!(waiting.waits(h), "{wanted:?}: nor is room");
        assert_eq!(shutdown(h, b, WR), Ok(0));
        assert_eq!(waiting.join(), Ok(Readiness::NVAL));
        assert_eq!([held, b].map(|fd| close(h, fd)), [Ok(0); 2]);
    }
}

/// A poll looks its numbers up at each wake, and goes on waiting where it began.
fn replaced_during_poll<H: Host>(h: &H) {
    for kind in [STREAM, DGRAM, SEQPACKET] {
        let (a, b) = pair(h, kind);
        let (c, d) = pair(h, kind);
        let waiting = start(h, move |h| poll_for(h, a, Readiness::IN, None));
        assert_eq!(dup2(h, c, a), Ok(a as usize));
        assert_eq!(send(h, b, b"x", 0), Ok(1));
        assert!(waiting.waits(h), "woken, it finds nothing where the number leads now");
        assert_eq!(send(h, d, b"x", 0), Ok(1));
        assert!(waiting.waits(h), "nobody waits there");
        assert_eq!(send(h, b, b"x", 0), Ok(1));
        assert_eq!(waiting.join(), Ok(Readiness::IN));
    }
}

fn nonblock_set_while_blocked<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let waiting = start(h, move |h| recv(h, a, 9, 0));
    fcntl(h, a, Fcntl::Setfl(NONBLOCK)).unwrap();
    set_timeout(h, a, SO_RCVTIMEO, 10).unwrap();
    assert!(waiting.waits(h));
    assert_eq!(send(h, b, b"x", 0), Ok(1));
    assert_eq!(waiting.join(), Ok(b"x".to_vec()));
}

fn settings_of_blocked_calls<H: Host>(h: &H) {
    let set = |fd: i32, option| {
        fcntl(h, fd, Fcntl::Setfl(NONBLOCK)).unwrap();
        set_timeout(h, fd, option, 10).unwrap();
    };
    let fd = listener(h, STREAM, &hidden("s"), 0);
    let accepting = start(h, move |h| accept(h, fd, 0));
    assert!(accepting.waits(h));
    set(fd, SO_RCVTIMEO);
    assert!(accepting.waits(h));
    connected(h, STREAM, &hidden("s")).unwrap();
    assert!(accepting.join().is_ok());

    connected(h, STREAM, &hidden("s")).unwrap();
    let client = socket(h, STREAM).unwrap();
    let connecting = start(h, move |h| connect(h, client, &hidden("s")));
    assert!(connecting.waits(h));
    set(client, SO_SNDTIMEO);
    assert!(connecting.waits(h));
    accept(h, fd, 0).unwrap();
    assert_eq!(connecting.join(), Ok(0));

    let (a, b) = pair(h, STREAM);
    let full = vec![0; 1 << 20];
    send(h, a, &full, DONTWAIT).unwrap();
    let sending = start(h, move |h| send(h, a, b"x", 0));
    assert!(sending.waits(h));
    set(a, SO_SNDTIMEO);
    assert!(sending.waits(h));
    assert!(recv(h, b, 1 << 20, 0).is_ok());
    assert_eq!(sending.join(), Ok(1));
}

/// The far end of a watched pair, whose near end is to go in flight.
struct Cargo {
    watch: i32,
    near: i32,
}

impl Cargo {
    fn new<H: Host>(h: &H) -> Self {
        let (watch, near) = pair(h, STREAM);
        Cargo { watch, near }
    }

    /// Sends `fds` and the near end over `by`, and closes them here.
    fn send<H: Host>(&self, h: &H, by: i32, fds: &[i32]) {
        let all = [fds, &[self.near]].concat();
        assert_eq!(sendmsg(h, by, b"x", &rights(&all)), Ok(1));
        for fd in all {
            close(h, fd).unwrap();
        }
    }
}

fn edges_lead_to_the_receiver<H: Host>(h: &H) {
    // c's queue holds b, whose queue holds a: a chain, not a cycle, and c is held here.
    let (one, two, three) = (Cargo::new(h), Cargo::new(h), Cargo::new(h));
    let (a, to_a) = pair(h, DGRAM);
    let (b, to_b) = pair(h, DGRAM);
    let (c, to_c) = pair(h, DGRAM);
    one.send(h, to_a, &[]);
    two.send(h, to_b, &[a]);
    three.send(h, to_c, &[b]);
    for fd in [to_a, to_b, to_c] {
        close(h, fd).unwrap();
    }
    for cargo in [&one, &two, &three] {
        assert!(!poll(h, cargo.watch).contains(Readiness::HUP));
    }
    // It can be received, one after the other.
    let b = recvmsg(h, c, 1, 64, 0).unwrap().rights()[0];
    let a = recvmsg(h, b, 1, 64, 0).unwrap().rights()[0];
    close(h, b).unwrap();
    assert_eq!(recvmsg(h, a, 1, 64, 0).unwrap().rights().len(), 1);
    // Back in its own queue it is a cycle with an edge out of it: to d, which is held here.
    let (kept, lost) = (Cargo::new(h), Cargo::new(h));
    let (a, to_a) = pair(h, DGRAM);
    let (d, to_d) = pair(h, DGRAM);
    sendmsg(h, to_d, b"x", &rights(&[a])).unwrap();
    kept.send(h, to_a, &[a]);
    close(h, to_a).unwrap();
    let other = socket(h, DGRAM).unwrap();
    close(h, other).unwrap();
    assert!(!poll(h, kept.watch).contains(Readiness::HUP));
    let a = recvmsg(h, d, 1, 64, 0).unwrap().rights()[0];
    assert_eq!(recvmsg(h, a, 1, 64, 0).unwrap().rights().len(), 2);
    // Without that edge it dies.
    let (a, to_a) = pair(h, DGRAM);
    lost.send(h, to_a, &[a]);
    close(h, to_a).unwrap();
    close(h, to_d).unwrap();
    assert!(hangs_up(h, lost.watch));
}
