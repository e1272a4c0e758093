//! CONNECT: stream and seqpacket; DGCONN: datagram.

use afunix::{Credentials, Errno, Host, OpenFlags};

use super::{Case, as_stranger, start, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "CONNECT 1" address_first,
        "CONNECT 2" autobind_before_lookup,
        "CONNECT 3" lookup,
        "CONNECT 4" target_does_not_listen,
        "CONNECT 5" full_backlog,
        "CONNECT 6" own_state_last,
        "CONNECT 7" works_before_accept,
        "CONNECT 8" peer_credentials,
        "CONNECT 9" shutdown_before_connect,
        "CONNECT 10" woken_by_close_not_by_shutdown,
        "CONNECT 11" accept_wakes_one_in_order,
        "CONNECT 11" close_wakes_all,
        "CONNECT 12" by_a_handle,
        root "CONNECT 13" permissions,
        root "CONNECT 13" permissions_of_what_is_open,
        "CONNECT 14" listener_in_flight,
        "CONNECT 15" own_listen_during_connect,
        "DGCONN 1" unspec_disconnects,
        "DGCONN 2" target_belongs_to_another,
        "DGCONN 3" change_purges_and_resets,
        "DGCONN 4" same_peer_keeps_the_queue,
        "DGCONN 5" queued_messages_stay,
        "DGCONN 6" getpeername_and_oneself,
        "DGCONN 7" failed_connect_changes_nothing,
        root "DGCONN 7" permissions_are_checked_at_connect,
    ]
}

fn address_first<H: Host>(h: &H) {
    for kind in CONNECTED {
        let (a, _) = pair(h, kind);
        assert_eq!(connect(h, a, &name(0, &[0; 14])), Err(Errno::INVAL));
        assert_eq!(connect(h, a, &name(1, b"")), Err(Errno::INVAL));
        assert_eq!(connect(h, 99, &name(1, b"")), Err(Errno::BADF));
        assert_eq!(connect(h, 0, &name(1, b"x")), Err(Errno::NOTSOCK));
    }
}

fn autobind_before_lookup<H: Host>(h: &H) {
    for kind in CONNECTED {
        let fd = socket(h, kind).unwrap();
        set_int(h, fd, SO_PASSCRED, 1).unwrap();
        assert_eq!(connect(h, fd, &path("missing")), Err(Errno::NOENT));
        assert_eq!(getsockname(h, fd).unwrap().len(), 8);
    }
}

fn lookup<H: Host>(h: &H) {
    make_file(h, "file", b"");
    mkdir(h, "dir", 0o755).unwrap();
    listener(h, STREAM, &path("stream"), 4);
    listener(h, STREAM, &hidden("stream"), 4);
    let unheard = bound(h, STREAM, &path("closed"));
    close(h, unheard).unwrap();
    for (target, errno) in [
        (path("missing"), Errno::NOENT),
        (path("file"), Errno::CONNREFUSED),
        (path("dir"), Errno::CONNREFUSED),
        (path("."), Errno::CONNREFUSED),
        (path("file/x"), Errno::NOTDIR),
        (path("closed"), Errno::CONNREFUSED),
        (path("stream"), Errno::PROTOTYPE),
        (hidden("stream"), Errno::CONNREFUSED),
        (hidden("missing"), Errno::CONNREFUSED),
    ] {
        assert_eq!(connected(h, SEQPACKET, &target), Err(errno), "{target:?}");
        assert_eq!(connected(h, DGRAM, &target), Err(errno), "{target:?}");
    }
}

fn target_does_not_listen<H: Host>(h: &H) {
    for kind in CONNECTED {
        let name = hidden(&format!("{kind}"));
        let fd = bound(h, kind, &name);
        assert_eq!(connected(h, kind, &name), Err(Errno::CONNREFUSED));
        assert_eq!(listen(h, fd, 1), Ok(0));
        assert_eq!(shutdown(h, fd, RD), Ok(0));
        assert_eq!(connected(h, kind, &name), Err(Errno::CONNREFUSED));
    }
}

fn full_backlog<H: Host>(h: &H) {
    let fd = listener(h, STREAM, &hidden("s"), 0);
    connected(h, STREAM, &hidden("s")).unwrap();
    assert_eq!(connected(h, STREAM | NONBLOCK, &hidden("s")), Err(Errno::AGAIN));
    let timed = socket(h, STREAM).unwrap();
    set_timeout(h, timed, SO_SNDTIMEO, 60).unwrap();
    let begin = h.now();
    assert_eq!(connect(h, timed, &hidden("s")), Err(Errno::AGAIN));
    assert!(h.now() - begin >= std::time::Duration::from_millis(60));
    let waiting = start(h, |h| connected(h, STREAM, &hidden("s")));
    assert!(waiting.waits(h));
    accept(h, fd, 0).unwrap();
    assert!(waiting.join().is_ok());
}

fn own_state_last<H: Host>(h: &H) {
    for kind in CONNECTED {
        let name = hidden(&format!("{kind}"));
        let fd = listener(h, kind, &name, 4);
        let (a, _) = pair(h, kind);
        assert_eq!(connect(h, a, &path("missing")), Err(Errno::NOENT));
        assert_eq!(connect(h, a, &name), Err(Errno::ISCONN));
        assert_eq!(connect(h, fd, &name), Err(Errno::INVAL));
        let other = listener(h, kind, &hidden(&format!("other{kind}")), 4);
        assert_eq!(connect(h, other, &name), Err(Errno::INVAL));
    }
}

fn works_before_accept<H: Host>(h: &H) {
    for kind in CONNECTED {
        let name = hidden(&format!("{kind}"));
        let fd = listener(h, kind, &name, 4);
        let client = connected(h, kind, &name).unwrap();
        assert_eq!(getpeername(h, client), Ok(name));
        assert_eq!(send(h, client, b"early", 0), Ok(5));
        let accepted = accept(h, fd, 0).unwrap();
        assert_eq!(recv(h, accepted, 9, 0), Ok(b"early".to_vec()));
    }
}

fn peer_credentials<H: Host>(h: &H) {
    let fd = listener(h, STREAM, &hidden("s"), 4);
    let client = connected(h, STREAM, &hidden("s")).unwrap();
    let accepted = accept(h, fd, 0).unwrap();
    let (a, b) = (peercred(h, client), peercred(h, accepted));
    assert_eq!(a, b);
    assert_eq!(a.pid, getpid(h));
    assert_ne!(a.uid, u32::MAX);
    close(h, client).unwrap();
    assert_eq!(peercred(h, accepted), b, "it outlives the peer");
}

fn shutdown_before_connect<H: Host>(h: &H) {
    for kind in CONNECTED {
        let name = hidden(&format!("{kind}"));
        let fd = listener(h, kind, &name, 4);
        let client = socket(h, kind).unwrap();
        assert_eq!(shutdown(h, client, RDWR), Ok(0));
        assert_eq!(connect(h, client, &name), Ok(0));
        assert_eq!(send(h, client, b"x", 0), Err(Errno::PIPE));
        assert_eq!(recv(h, client, 1, 0), Ok(vec![]));
        let accepted = accept(h, fd, 0).unwrap();
        assert_eq!(poll(h, accepted), mask("o"));
        assert_eq!(send(h, accepted, b"x", 0), Err(Errno::PIPE));
    }
}

fn woken_by_close_not_by_shutdown<H: Host>(h: &H) {
    let fd = listener(h, STREAM, &hidden("s"), 0);
    connected(h, STREAM, &hidden("s")).unwrap();
    let waiting = start(h, |h| connected(h, STREAM, &hidden("s")));
    assert_eq!(shutdown(h, fd, RD), Ok(0));
    assert!(waiting.waits(h), "a shutdown does not wake it");
    accept(h, fd, 0).unwrap();
    assert_eq!(waiting.join(), Err(Errno::CONNREFUSED));

    let fd = listener(h, STREAM, &hidden("t"), 0);
    connected(h, STREAM, &hidden("t")).unwrap();
    let waiting = start(h, |h| connected(h, STREAM, &hidden("t")));
    assert!(waiting.waits(h));
    assert_eq!(close(h, fd), Ok(0));
    assert_eq!(waiting.join(), Err(Errno::CONNREFUSED));
}

fn accept_wakes_one_in_order<H: Host>(h: &H) {
    let fd = listener(h, STREAM, &hidden("s"), 0);
    connected(h, STREAM, &hidden("s")).unwrap();
    let first = start(h, |h| connected(h, STREAM, &hidden("s")));
    let second = start(h, |h| connected(h, STREAM, &hidden("s")));
    accept(h, fd, 0).unwrap();
    assert!(first.join().is_ok());
    assert!(second.waits(h));
    accept(h, fd, 0).unwrap();
    assert!(second.join().is_ok());
}

fn close_wakes_all<H: Host>(h: &H) {
    let fd = listener(h, STREAM, &hidden("s"), 0);
    connected(h, STREAM, &hidden("s")).unwrap();
    let waiting = [0, 1, 2].map(|_| start(h, |h| connected(h, STREAM, &hidden("s"))));
    close(h, fd).unwrap();
    for thread in waiting {
        assert_eq!(thread.join(), Err(Errno::CONNREFUSED));
    }
}

fn permissions<H: Host>(h: &H) {
    let fd = listener(h, STREAM, &path("s"), 8);
    make_file(h, "file", b"");
    chmod(h, "file", 0o755).unwrap();
    assert_eq!(fchmod(h, fd, 0o777), Ok(0));
    chmod(h, "s", 0o755).unwrap();
    as_stranger(h, &[], |h| {
        assert_eq!(connected(h, STREAM, &path("s")), Err(Errno::ACCES));
        assert_eq!(connected(h, STREAM, &path("file")), Err(Errno::ACCES));
        assert_eq!(connected(h, DGRAM, &path("s")), Err(Errno::ACCES));
    });
    chmod(h, "s", 0o002).unwrap();
    as_stranger(h, &[], |h| {
        assert!(connected(h, STREAM, &path("s")).is_ok(), "w alone is enough");
        assert_eq!(connected(h, SEQPACKET, &path("s")), Err(Errno::PROTOTYPE));
    });
    mkdir(h, "shut", 0o700).unwrap();
    rename(h, "s", "shut/s").unwrap();
    as_stranger(h, &[], |h| {
        assert_eq!(connected(h, STREAM, &path("shut/s")), Err(Errno::ACCES));
    });
    chmod(h, "shut/s", 0).unwrap();
    assert!(connected(h, STREAM, &path("shut/s")).is_ok(), "root ignores the mode");
}

fn listener_in_flight<H: Host>(h: &H) {
    let fd = listener(h, STREAM, &hidden("s"), 4);
    let (a, b) = pair(h, STREAM);
    assert_eq!(sendmsg(h, a, b"x", &rights(&[fd])), Ok(1));
    assert_eq!(close(h, fd), Ok(0));
    assert!(connected(h, STREAM, &hidden("s")).is_ok());
    let received = recvmsg(h, b, 1, 64, 0).unwrap().rights()[0];
    assert!(accept(h, received, 0).is_ok());
    assert_eq!(close(h, received), Ok(0));
    assert_eq!(connected(h, STREAM, &hidden("s")), Err(Errno::CONNREFUSED));
}

fn own_listen_during_connect<H: Host>(h: &H) {
    let fd = listener(h, STREAM, &hidden("s"), 0);
    connected(h, STREAM, &hidden("s")).unwrap();
    let own = socket(h, STREAM).unwrap();
    let shut = socket(h, STREAM).unwrap();
    let waiting = start(h, move |h| connect(h, own, &hidden("s")));
    let also = start(h, move |h| connect(h, shut, &hidden("s")));
    assert_eq!(bind(h, own, &hidden("own")), Ok(0));
    assert_eq!(listen(h, own, 1), Ok(0));
    assert_eq!(shutdown(h, shut, RDWR), Ok(0));
    assert!(waiting.waits(h) && also.waits(h));
    accept(h, fd, 0).unwrap();
    assert_eq!(waiting.join(), Err(Errno::INVAL));
    assert_eq!(listen(h, fd, 4), Ok(0), "wakes the other");
    assert_eq!(also.join(), Ok(0));
}

fn unspec_disconnects<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    assert_eq!(connect(h, a, &[0]), Err(Errno::INVAL));
    assert_eq!(connect(h, a, &[0, 0]), Ok(0));
    assert_eq!(getpeername(h, a), Err(Errno::NOTCONN));
    assert_eq!(connect(h, a, &name(0, &[0; 14])), Ok(0), "also when not connected");
    assert_eq!(send(h, a, b"x", 0), Err(Errno::NOTCONN));
    assert_eq!(getpeername(h, b), Ok(name(1, b"")));
}

fn target_belongs_to_another<H: Host>(h: &H) {
    let (a, _b) = pair(h, DGRAM);
    assert_eq!(bind(h, a, &hidden("a")), Ok(0));
    let stranger = socket(h, DGRAM).unwrap();
    assert_eq!(connect(h, stranger, &hidden("a")), Err(Errno::PERM));
    assert_eq!(send_to(h, stranger, b"x", &hidden("a")), Err(Errno::PERM));
    listener(h, STREAM, &hidden("stream"), 4);
    assert_eq!(connect(h, stranger, &hidden("stream")), Err(Errno::CONNREFUSED));
}

fn change_purges_and_resets<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    assert_eq!(send(h, b, b"lost", 0), Ok(4));
    assert_eq!(connect(h, a, &[0, 0]), Ok(0));
    assert_eq!(recv(h, a, 9, DONTWAIT), Err(Errno::AGAIN));
    assert_eq!(poll(h, b), mask("oe"));
    assert_eq!(recv(h, b, 9, DONTWAIT), Err(Errno::CONNRESET));
    assert_eq!(recv(h, b, 9, DONTWAIT), Err(Errno::AGAIN));

    let (a, b) = pair(h, DGRAM);
    assert_eq!(connect(h, a, &[0, 0]), Ok(0));
    assert_eq!(poll(h, b), mask("o"), "nothing was dropped");

    let (a, b) = pair(h, DGRAM);
    assert_eq!(send(h, b, b"lost", 0), Ok(4));
    let waiting = start(h, move |h| recv(h, b, 9, 0));
    assert!(waiting.waits(h));
    assert_eq!(connect(h, a, &[0, 0]), Ok(0));
    assert_eq!(waiting.join(), Err(Errno::CONNRESET));
}

fn same_peer_keeps_the_queue<H: Host>(h: &H) {
    let a = bound(h, DGRAM, &hidden("a"));
    let b = bound(h, DGRAM, &hidden("b"));
    assert_eq!(send_to(h, b, b"one", &hidden("a")), Ok(3));
    assert_eq!(connect(h, a, &hidden("b")), Ok(0));
    assert_eq!(send_to(h, b, b"two", &hidden("a")), Ok(3));
    assert_eq!(connect(h, a, &hidden("b")), Ok(0));
    assert_eq!(recv(h, a, 9, DONTWAIT), Ok(b"one".to_vec()));
    assert_eq!(recv(h, a, 9, DONTWAIT), Ok(b"two".to_vec()));
}

fn queued_messages_stay<H: Host>(h: &H) {
    let a = bound(h, DGRAM, &hidden("a"));
    bound(h, DGRAM, &hidden("b"));
    let c = bound(h, DGRAM, &hidden("c"));
    assert_eq!(send_to(h, c, b"early", &hidden("a")), Ok(5));
    assert_eq!(connect(h, a, &hidden("b")), Ok(0));
    assert_eq!(send_to(h, c, b"late", &hidden("a")), Err(Errno::PERM));
    assert_eq!(recv(h, a, 9, DONTWAIT), Ok(b"early".to_vec()));
}

fn getpeername_and_oneself<H: Host>(h: &H) {
    let a = bound(h, DGRAM, &hidden("a"));
    assert_eq!(getpeername(h, a), Err(Errno::NOTCONN));
    assert_eq!(connect(h, a, &hidden("a")), Ok(0));
    assert_eq!(getpeername(h, a), Ok(hidden("a")));
    assert_eq!(send(h, a, b"me", 0), Ok(2));
    assert_eq!(recv(h, a, 9, DONTWAIT), Ok(b"me".to_vec()));
}

fn failed_connect_changes_nothing<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    let gone = bound(h, DGRAM, &path("gone"));
    assert_eq!(close(h, gone), Ok(0));
    assert_eq!(send(h, b, b"kept", 0), Ok(4));
    assert_eq!(connect(h, a, &path("missing")), Err(Errno::NOENT));
    assert_eq!(connect(h, a, &path("gone")), Err(Errno::CONNREFUSED));
    assert_eq!(recv(h, a, 9, DONTWAIT), Ok(b"kept".to_vec()));
    assert_eq!(send(h, a, b"x", 0), Ok(1));

    let deaf = bound(h, DGRAM, &hidden("deaf"));
    assert_eq!(shutdown(h, deaf, RD), Ok(0));
    let fd = socket(h, DGRAM).unwrap();
    assert_eq!(connect(h, fd, &hidden("deaf")), Ok(0));
    assert_eq!(send(h, fd, b"x", 0), Err(Errno::PIPE));
}

fn permissions_are_checked_at_connect<H: Host>(h: &H) {
    let server = bound(h, DGRAM, &path("s"));
    chmod(h, "s", 0o722).unwrap();
    let (go, wait) = pair(h, STREAM);
    let body = |h: &H| {
        let fd = socket(h, DGRAM).unwrap();
        assert_eq!(connect(h, fd, &path("s")), Ok(0));
        assert_eq!(send(h, fd, b"one", 0), Ok(3));
        assert_eq!(send(h, 3, b".", 0), Ok(1));
        assert_eq!(recv(h, 3, 1, 0), Ok(b".".to_vec()));
        assert_eq!(send(h, fd, b"two", 0), Ok(3), "a connected socket goes on");
        assert_eq!(send_to(h, fd, b"three", &path("s")), Err(Errno::ACCES));
        0
    };
    let spec = afunix::ProcessSpec::new("child").user(Credentials::user(super::STRANGER));
    let spec = spec.fd(crate::raw::owned(h.clone(), wait), 3);
    let child = h.process(spec, body).unwrap();
    assert_eq!(recv(h, go, 1, 0), Ok(b".".to_vec()));
    chmod(h, "s", 0o700).unwrap();
    assert_eq!(send(h, go, b".", 0), Ok(1));
    assert_eq!(child.wait(), Ok(afunix::Exit::Status(0)));
    assert_eq!(recv(h, server, 9, DONTWAIT), Ok(b"one".to_vec()));
    assert_eq!(recv(h, server, 9, DONTWAIT), Ok(b"two".to_vec()));
}

fn by_a_handle<H: Host>(h: &H) {
    let server = listener(h, STREAM, &path("s"), 9);
    let handle = open(h, "s", OpenFlags::PATH).unwrap();
    let link = |fd: i32| path(&format!("/proc/self/fd/{fd}"));
    assert!(connected(h, STREAM, &link(handle)).is_ok());
    unlink(h, "s").unwrap();
    let client = connected(h, STREAM, &link(handle)).expect("also after unlink");
    assert_eq!(getpeername(h, client), Ok(path("s")));
    assert_eq!(connected(h, STREAM, &link(server)), Err(Errno::CONNREFUSED));
    assert_eq!(connected(h, STREAM, &link(99)), Err(Errno::NOENT));
    assert_eq!(connected(h, DGRAM, &link(handle)), Err(Errno::PROTOTYPE));
    make_file(h, "f", b"");
    let file = open(h, "f", OpenFlags::PATH).unwrap();
    assert_eq!(connected(h, STREAM, &link(file)), Err(Errno::CONNREFUSED));
    let receiver = bound(h, DGRAM, &path("d"));
    let handle = open(h, "d", OpenFlags::PATH).unwrap();
    let sender = socket(h, DGRAM).unwrap();
    assert_eq!(send_to(h, sender, b"x", &link(handle)), Ok(1));
    assert_eq!(recv(h, receiver, 9, DONTWAIT), Ok(b"x".to_vec()));
}

/// What /proc/self/fd leads to needs w, too: a pipe is its maker's alone, a socket is everybody's.
fn permissions_of_what_is_open<H: Host>(h: &H) {
    fn own(fd: i32) -> Vec<u8> {
        path(&format!("/proc/self/fd/{fd}"))
    }
    let mut fds = [-1; 2];
    let flags = OpenFlags::empty();
    assert_eq!(h.call(&mut afunix::Call::Pipe2 { flags, fds: &mut fds }), Ok(0));
    let (open, shut) = (socket(h, DGRAM).unwrap(), socket(h, DGRAM).unwrap());
    fchmod(h, shut, 0o700).unwrap();
    assert_eq!(connected(h, DGRAM, &own(fds[1])), Err(Errno::CONNREFUSED));
    as_stranger(h, &[fds[1], open, shut], |h| {
        assert_eq!(connected(h, DGRAM, &own(3)), Err(Errno::ACCES));
        assert_eq!(connected(h, DGRAM, &own(4)), Err(Errno::CONNREFUSED));
        assert_eq!(connected(h, DGRAM, &own(5)), Err(Errno::ACCES));
    });
}
