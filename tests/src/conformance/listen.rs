//! LISTEN: listen, accept, backlog.

use afunix::{Errno, Host, NameOut};

use super::{Case, start, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "LISTEN 1" who_may_listen,
        "LISTEN 1" larger_backlog_wakes_connectors,
        "LISTEN 2" backlog_plus_one,
        "LISTEN 3" credentials_of_the_listener,
        "LISTEN 4" accept_errors_in_order,
        "LISTEN 4" accept_timeout,
        "LISTEN 5" shut_listener,
        "LISTEN 5" shutdown_wakes_accept,
        "LISTEN 6" inheritance,
        "LISTEN 7" client_is_gone,
        "LISTEN 8" other_calls_on_a_listener,
        "LISTEN 9" listen_after_shutdown,
        "LISTEN 10" accepts_in_order,
    ]
}

fn who_may_listen<H: Host>(h: &H) {
    let dgram = bound(h, DGRAM, &hidden("d"));
    assert_eq!(listen(h, dgram, 1), Err(Errno::OPNOTSUPP));
    for kind in CONNECTED {
        let fd = socket(h, kind).unwrap();
        assert_eq!(listen(h, fd, 1), Err(Errno::INVAL));
        let (a, _) = pair(h, kind);
        assert_eq!(listen(h, a, 1), Err(Errno::INVAL));
        assert_eq!(bind(h, a, &hidden("a")), Ok(0));
        assert_eq!(listen(h, a, 1), Err(Errno::INVAL));
        assert_eq!(bind(h, fd, &hidden("fd")), Ok(0));
        assert_eq!(listen(h, fd, 1), Ok(0));
        assert_eq!(listen(h, fd, 2), Ok(0));
    }
    assert_eq!(listen(h, 0, 1), Err(Errno::NOTSOCK));
    assert_eq!(listen(h, 99, 1), Err(Errno::BADF));
}

fn larger_backlog_wakes_connectors<H: Host>(h: &H) {
    let fd = listener(h, STREAM, &hidden("s"), 0);
    connected(h, STREAM, &hidden("s")).unwrap();
    let waiting = start(h, |h| connected(h, STREAM, &hidden("s")));
    assert!(waiting.waits(h));
    assert_eq!(listen(h, fd, 0), Ok(0));
    assert!(waiting.waits(h));
    assert_eq!(listen(h, fd, 1), Ok(0));
    assert!(waiting.join().is_ok());
}

fn backlog_plus_one<H: Host>(h: &H) {
    for kind in CONNECTED {
        for (backlog, fit) in [(0, 1), (1, 2), (5, 6)] {
            let name = hidden(&format!("{kind}-{backlog}"));
            listener(h, kind, &name, backlog);
            for _ in 0..fit {
                assert!(connected(h, kind | NONBLOCK, &name).is_ok());
            }
            assert_eq!(connected(h, kind | NONBLOCK, &name), Err(Errno::AGAIN));
        }
    }
    listener(h, STREAM, &hidden("most"), -1);
    for _ in 0..200 {
        assert!(connected(h, STREAM | NONBLOCK, &hidden("most")).is_ok());
    }
}

fn credentials_of_the_listener<H: Host>(h: &H) {
    let fd = bound(h, STREAM, &hidden("s"));
    assert_eq!((peercred(h, fd).pid, peercred(h, fd).uid), (0, u32::MAX));
    assert_eq!(listen(h, fd, 1), Ok(0));
    let client = connected(h, STREAM, &hidden("s")).unwrap();
    assert_eq!(peercred(h, client).pid, getpid(h));
    super::in_process(h, None, &[fd], |h| {
        let client = connected(h, STREAM, &hidden_of_parent(h)).unwrap();
        assert_ne!(peercred(h, client).pid, getpid(h), "it is who listened, not who connects");
        assert!(accept(h, 3, 0).is_ok());
        let accepted = accept(h, 3, 0).unwrap();
        assert_eq!(peercred(h, accepted).pid, getpid(h));
    });
}

/// The name of the listener on descriptor 3: the child's process id is another, so it is read back.
fn hidden_of_parent<H: Host>(h: &H) -> Vec<u8> {
    getsockname(h, 3).unwrap()
}

fn accept_errors_in_order<H: Host>(h: &H) {
    assert_eq!(accept(h, 99, 1), Err(Errno::BADF));
    assert_eq!(accept(h, 0, 1), Err(Errno::INVAL), "bad flags come before what it is");
    assert_eq!(accept(h, 0, 0), Err(Errno::NOTSOCK));
    let dgram = socket(h, DGRAM).unwrap();
    assert_eq!(accept(h, dgram, 1), Err(Errno::INVAL));
    assert_eq!(accept(h, dgram, 0), Err(Errno::OPNOTSUPP));
    let fresh = socket(h, STREAM).unwrap();
    assert_eq!(accept(h, fresh, 0), Err(Errno::INVAL));
    let fd = listener(h, STREAM | NONBLOCK, &hidden("s"), 1);
    assert_eq!(accept(h, fd, 0), Err(Errno::AGAIN));
    connected(h, STREAM, &hidden("s")).unwrap();
    let next = dup(h, 0).unwrap();
    set_limit(h, next as u32 + 1).unwrap();
    assert_eq!(accept(h, fd, 0), Err(Errno::MFILE));
    set_limit(h, 64).unwrap();
    assert_eq!(accept(h, fd, 0), Ok(next + 1), "the connection stayed queued");
}

fn accept_timeout<H: Host>(h: &H) {
    let fd = listener(h, SEQPACKET, &hidden("s"), 1);
    set_timeout(h, fd, SO_RCVTIMEO, 60).unwrap();
    let start = h.now();
    assert_eq!(accept(h, fd, 0), Err(Errno::AGAIN));
    assert!(h.now() - start >= std::time::Duration::from_millis(60));
}

fn shut_listener<H: Host>(h: &H) {
    for kind in CONNECTED {
        let name = hidden(&format!("{kind}"));
        let fd = listener(h, kind, &name, 4);
        let client = connected(h, kind, &name).unwrap();
        assert_eq!(send(h, client, b"x", 0), Ok(1));
        assert_eq!(shutdown(h, fd, RD), Ok(0));
        assert_eq!(connected(h, kind, &name), Err(Errno::CONNREFUSED));
        let accepted = accept(h, fd, 0).unwrap();
        assert_eq!(recv(h, accepted, 9, 0), Ok(b"x".to_vec()));
        assert_eq!(accept(h, fd, 0), Err(Errno::INVAL));
        fcntl(h, fd, afunix::call::Fcntl::Setfl(NONBLOCK)).unwrap();
        assert_eq!(accept(h, fd, 0), Err(Errno::AGAIN));
    }
}

fn shutdown_wakes_accept<H: Host>(h: &H) {
    let fd = listener(h, STREAM, &hidden("s"), 1);
    let waiting = start(h, move |h| accept(h, fd, 0));
    assert!(waiting.waits(h));
    assert_eq!(shutdown(h, fd, RD), Ok(0));
    assert_eq!(waiting.join(), Err(Errno::INVAL));
}

fn inheritance<H: Host>(h: &H) {
    let fd = listener(h, STREAM | NONBLOCK, &hidden("s"), 4);
    set_int(h, fd, SO_PASSCRED, 1).unwrap();
    set_int(h, fd, SO_SNDBUF, 10_000).unwrap();
    set_int(h, fd, SO_RCVBUF, 10_000).unwrap();
    set_int(h, fd, SO_RCVLOWAT, 7).unwrap();
    set_int(h, fd, SO_KEEPALIVE, 1).unwrap();
    connected(h, STREAM, &hidden("s")).unwrap();
    set_int(h, fd, SO_PASSCRED, 0).unwrap();
    let accepted = accept(h, fd, 0).unwrap();
    assert_eq!(fcntl(h, accepted, afunix::call::Fcntl::Getfl), Ok(2));
    assert_eq!(get_int(h, accepted, SO_PASSCRED), Ok(1), "as it was when the client connected");
    assert_eq!(get_int(h, accepted, SO_SNDBUF), Ok(212_992));
    assert_eq!(get_int(h, accepted, SO_RCVBUF), Ok(212_992));
    assert_eq!(get_int(h, accepted, SO_RCVLOWAT), Ok(1));
    assert_eq!(get_int(h, accepted, SO_KEEPALIVE), Ok(0));
}

fn client_is_gone<H: Host>(h: &H) {
    for kind in CONNECTED {
        let name = hidden(&format!("{kind}"));
        let fd = listener(h, kind, &name, 4);
        let client = connected(h, kind, &name).unwrap();
        assert_eq!(send(h, client, b"last words", 0), Ok(10));
        assert_eq!(close(h, client), Ok(0));
        let mut out = NameOut::new();
        let accepted = accept_name(h, fd, 0, &mut out).unwrap();
        assert_eq!(out.reported, Some(2));
        assert_eq!(getpeername(h, accepted), Ok(name_of_unnamed()));
        assert_eq!(recv(h, accepted, 20, 0), Ok(b"last words".to_vec()));
        assert_eq!(recv(h, accepted, 20, 0), Ok(vec![]));
    }
}

fn name_of_unnamed() -> Vec<u8> {
    name(1, b"")
}

fn other_calls_on_a_listener<H: Host>(h: &H) {
    for kind in CONNECTED {
        let name = hidden(&format!("{kind}"));
        let fd = listener(h, kind, &name, 4);
        assert_eq!(send(h, fd, b"x", 0), Err(Errno::NOTCONN));
        let errno = if kind == STREAM { Errno::INVAL } else { Errno::NOTCONN };
        assert_eq!(recv(h, fd, 1, 0), Err(errno));
        assert_eq!(inq(h, fd), Err(Errno::INVAL));
        assert_eq!(outq(h, fd), Ok(0));
        assert_eq!(getpeername(h, fd), Err(Errno::NOTCONN));
        assert_eq!(get_int(h, fd, SO_ACCEPTCONN), Ok(1));
    }
}

fn listen_after_shutdown<H: Host>(h: &H) {
    for kind in CONNECTED {
        for (how, answer) in [(RD, false), (WR, true)] {
            let name = hidden(&format!("{kind}-{how}"));
            let fd = bound(h, kind, &name);
            assert_eq!(shutdown(h, fd, how), Ok(0));
            assert_eq!(listen(h, fd, 4), Ok(0));
            let client = connected(h, kind, &name);
            match answer {
                true => assert!(client.is_ok()),
                false => assert_eq!(client, Err(Errno::CONNREFUSED)),
            }
        }
    }
}

fn accepts_in_order<H: Host>(h: &H) {
    let fd = listener(h, STREAM, &hidden("s"), 4);
    let first = start(h, move |h| accept(h, fd, 0));
    let second = start(h, move |h| accept(h, fd, 0));
    connected(h, STREAM, &hidden("s")).unwrap();
    assert!(first.join().is_ok());
    assert!(second.waits(h));
    connected(h, STREAM, &hidden("s")).unwrap();
    assert!(second.join().is_ok());
}
