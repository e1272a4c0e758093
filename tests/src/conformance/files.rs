//! GC: descriptors in flight; VFS and processes.

use std::time::Duration;

use afunix::{Errno, Exit, Host, OpenFlags, ProcessSpec, Readiness, Signal};

use super::{Case, as_stranger, start, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "GC 1" edges_lead_to_the_receiver,
        "GC 2" held_outside_stays,
        "GC 3" cycle_is_collected_later,
        "GC 4" unaccepted_connection,
        "VFS 1" one_open_file,
        root "VFS 2" rights_come_with_the_descriptor,
        "VFS 3" killed_process_leaves_its_socket,
        "VFS 4" unlink_keeps_connections,
        "VFS 5" close_during_recv,
        "VFS 6" nonblock_set_while_blocked,
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
    assert_eq!(fcntl(h, got, afunix::call::Fcntl::Getfd), Ok(0));
    fcntl(h, got, afunix::call::Fcntl::Setfl(OpenFlags::APPEND.bits())).unwrap();
    let flags = fcntl(h, fd, afunix::call::Fcntl::Getfl).unwrap() as i32;
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

fn nonblock_set_while_blocked<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let waiting = start(h, move |h| recv(h, a, 9, 0));
    fcntl(h, a, afunix::call::Fcntl::Setfl(NONBLOCK)).unwrap();
    set_timeout(h, a, SO_RCVTIMEO, 10).unwrap();
    assert!(waiting.waits(h));
    assert_eq!(send(h, b, b"x", 0), Ok(1));
    assert_eq!(waiting.join(), Ok(b"x".to_vec()));
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
