//! SHUT: shutdown, close, errors; POLL: readiness.

use std::time::Duration;

use afunix::{Errno, Host, PollFd, Readiness};

use super::{Case, start, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "SHUT 1" how,
        "SHUT 2" mirror,
        "SHUT 3" queued_stays_readable,
        "SHUT 4" close_resets,
        "SHUT 4" close_of_listener_resets,
        "SHUT 5" after_a_reset,
        "SHUT 6" peer_name_after_close,
        "SHUT 7" error_is_cleared,
        "POLL a" fresh_connected_types,
        "POLL b" fresh_datagram,
        "POLL c" listening,
        "POLL d" listener_shut,
        "POLL e" connected_idle,
        "POLL f" peer_closed,
        "POLL g" peer_shut_write,
        "POLL h" own_shut_read,
        "POLL i" both_halves_shut,
        "POLL j" datagram_shut,
        "POLL k" urgent_byte,
        "POLL l" both_ends_shut_write,
        "POLL m" unconnected_shut,
        "POLL n" listener_shut_write,
        "POLL o" datagram_halves,
        "POLL p" pending_connections,
        "POLL 1" bits_come_together,
        "POLL 1" errors_are_urgent_if_selected,
        "POLL 2" full_peer_queue,
        "POLL 4" shutdown_of_a_full_receiver,
    ]
}

fn how<H: Host>(h: &H) {
    for kind in TYPES {
        let fd = socket(h, kind).unwrap();
        assert_eq!(shutdown(h, fd, -1), Err(Errno::INVAL));
        assert_eq!(shutdown(h, fd, 3), Err(Errno::INVAL));
        for how in [RD, RD, WR, RDWR, RDWR] {
            assert_eq!(shutdown(h, fd, how), Ok(0));
        }
    }
    assert_eq!(shutdown(h, 0, RD), Err(Errno::NOTSOCK));
}

fn mirror<H: Host>(h: &H) {
    for kind in CONNECTED {
        let (a, b) = pair(h, kind);
        assert_eq!(shutdown(h, a, RD), Ok(0));
        assert_eq!(send(h, b, b"x", 0), Err(Errno::PIPE));
        assert_eq!(send(h, a, b"x", 0), Ok(1));
        assert_eq!(shutdown(h, b, RD), Ok(0));
        assert_eq!(send(h, a, b"x", 0), Err(Errno::PIPE));
    }
    let (a, b) = pair(h, DGRAM);
    assert_eq!(shutdown(h, a, WR), Ok(0));
    assert_eq!(recv(h, b, 1, DONTWAIT), Err(Errno::AGAIN));
    assert_eq!(send(h, b, b"x", 0), Ok(1));
    assert_eq!(shutdown(h, a, RD), Ok(0));
    assert_eq!(send(h, b, b"x", 0), Err(Errno::PIPE));
}

fn queued_stays_readable<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        assert_eq!(send(h, a, b"left", 0), Ok(4));
        assert_eq!(shutdown(h, b, RD), Ok(0));
        assert_eq!(recv(h, b, 9, 0), Ok(b"left".to_vec()));
        assert_eq!(recv(h, b, 9, 0), Ok(vec![]));
    }
}

fn close_resets<H: Host>(h: &H) {
    for kind in CONNECTED {
        let (a, b) = pair(h, kind);
        assert_eq!(send(h, a, b"unread", 0), Ok(6));
        assert_eq!(close(h, b), Ok(0));
        assert_eq!(get_int(h, a, SO_ERROR), Ok(Errno::CONNRESET.raw()));
    }
    for (records, error) in [(1, 0), (2, Errno::CONNRESET.raw())] {
        let (a, b) = pair(h, SEQPACKET);
        for _ in 0..records {
            assert_eq!(send(h, a, b"", 0), Ok(0));
        }
        assert_eq!(close(h, b), Ok(0));
        assert_eq!(get_int(h, a, SO_ERROR), Ok(error), "{records} empty records");
    }
}

fn close_of_listener_resets<H: Host>(h: &H) {
    for kind in CONNECTED {
        let name = hidden(&format!("{kind}"));
        let fd = listener(h, kind, &name, 4);
        let client = connected(h, kind, &name).unwrap();
        assert_eq!(close(h, fd), Ok(0));
        assert_eq!(poll(h, client), mask("iorhe"));
        assert_eq!(recv(h, client, 1, 0), Err(Errno::CONNRESET));
        assert_eq!(recv(h, client, 1, 0), Ok(vec![]));
    }
}

fn after_a_reset<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"unread", 0), Ok(6));
    assert_eq!(close(h, b), Ok(0));
    assert_eq!(send(h, a, b"x", 0), Err(Errno::PIPE));
    assert_eq!(recv(h, a, 1, 0), Err(Errno::CONNRESET));
    assert_eq!(recv(h, a, 1, 0), Ok(vec![]));
    let (a, b) = pair(h, SEQPACKET);
    assert_eq!(send(h, a, b"unread", 0), Ok(6));
    assert_eq!(close(h, b), Ok(0));
    assert_eq!(send(h, a, b"x", 0), Err(Errno::CONNRESET));
    assert_eq!(send(h, a, b"x", 0), Err(Errno::PIPE));
}

fn peer_name_after_close<H: Host>(h: &H) {
    for kind in CONNECTED {
        let (a, b) = pair(h, kind);
        let name = hidden(&format!("{kind}"));
        bind(h, b, &name).unwrap();
        assert_eq!(close(h, b), Ok(0));
        assert_eq!(getpeername(h, a), Ok(name));
    }
}

fn error_is_cleared<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(send(h, a, b"unread", 0), Ok(6));
    assert_eq!(close(h, b), Ok(0));
    assert_eq!(get_int(h, a, SO_ERROR), Ok(Errno::CONNRESET.raw()));
    assert_eq!(get_int(h, a, SO_ERROR), Ok(0));
    assert_eq!(recv(h, a, 1, 0), Ok(vec![]));
}

fn fresh_connected_types<H: Host>(h: &H) {
    for kind in CONNECTED {
        let fd = socket(h, kind).unwrap();
        assert_eq!(poll(h, fd), mask("oh"));
        bind(h, fd, &hidden(&format!("{kind}"))).unwrap();
        assert_eq!(poll(h, fd), mask("oh"));
    }
}

fn fresh_datagram<H: Host>(h: &H) {
    let fd = socket(h, DGRAM).unwrap();
    assert_eq!(poll(h, fd), mask("o"));
    bind(h, fd, &hidden("d")).unwrap();
    assert_eq!(poll(h, fd), mask("o"));
}

fn listening<H: Host>(h: &H) {
    for kind in CONNECTED {
        let name = hidden(&format!("{kind}"));
        let fd = listener(h, kind, &name, 4);
        assert_eq!(poll(h, fd), mask(""));
        connected(h, kind, &name).unwrap();
        assert_eq!(poll(h, fd), mask("i"));
        accept(h, fd, 0).unwrap();
        assert_eq!(poll(h, fd), mask(""));
    }
}

fn listener_shut<H: Host>(h: &H) {
    for (how, letters) in [(RD, "ir"), (RDWR, "irh")] {
        let fd = listener(h, STREAM, &hidden(letters), 4);
        shutdown(h, fd, how).unwrap();
        assert_eq!(poll(h, fd), mask(letters));
    }
}

fn connected_idle<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        assert_eq!((poll(h, a), poll(h, b)), (mask("o"), mask("o")));
    }
}

fn peer_closed<H: Host>(h: &H) {
    for kind in CONNECTED {
        let (a, b) = pair(h, kind);
        close(h, b).unwrap();
        assert_eq!(poll(h, a), mask("iorh"));
        let (a, b) = pair(h, kind);
        send(h, a, b"x", 0).unwrap();
        close(h, b).unwrap();
        assert_eq!(poll(h, a), mask("iorhe"));
    }
}

fn peer_shut_write<H: Host>(h: &H) {
    for kind in CONNECTED {
        let (a, b) = pair(h, kind);
        shutdown(h, b, WR).unwrap();
        assert_eq!((poll(h, a), poll(h, b)), (mask("ior"), mask("o")));
    }
}

fn own_shut_read<H: Host>(h: &H) {
    for kind in CONNECTED {
        let (a, b) = pair(h, kind);
        shutdown(h, a, RD).unwrap();
        assert_eq!((poll(h, a), poll(h, b)), (mask("ior"), mask("o")));
    }
}

fn both_halves_shut<H: Host>(h: &H) {
    for kind in CONNECTED {
        let (a, b) = pair(h, kind);
        shutdown(h, a, RDWR).unwrap();
        assert_eq!((poll(h, a), poll(h, b)), (mask("iorh"), mask("iorh")));
    }
}

fn datagram_shut<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    shutdown(h, a, RDWR).unwrap();
    assert_eq!((poll(h, a), poll(h, b)), (mask("iorh"), mask("o")));
}

fn urgent_byte<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    send(h, a, b"x", OOB).unwrap();
    assert_eq!(poll(h, b), mask("iop"));
    recv(h, b, 1, OOB).unwrap();
    assert_eq!(poll(h, b), mask("io"));
}

fn both_ends_shut_write<H: Host>(h: &H) {
    for kind in CONNECTED {
        let (a, b) = pair(h, kind);
        shutdown(h, a, WR).unwrap();
        shutdown(h, b, WR).unwrap();
        assert_eq!((poll(h, a), poll(h, b)), (mask("iorh"), mask("iorh")));
    }
}

fn unconnected_shut<H: Host>(h: &H) {
    for kind in CONNECTED {
        for (how, letters) in [(RD, "iorh"), (WR, "oh")] {
            let fd = socket(h, kind).unwrap();
            shutdown(h, fd, how).unwrap();
            assert_eq!(poll(h, fd), mask(letters));
        }
    }
}

fn listener_shut_write<H: Host>(h: &H) {
    let fd = listener(h, STREAM, &hidden("s"), 4);
    shutdown(h, fd, WR).unwrap();
    assert_eq!(poll(h, fd), mask(""));
    connected(h, STREAM, &hidden("s")).unwrap();
    assert_eq!(poll(h, fd), mask("i"));
}

fn datagram_halves<H: Host>(h: &H) {
    for (how, letters) in [(RD, "ior"), (WR, "o")] {
        let fd = socket(h, DGRAM).unwrap();
        shutdown(h, fd, how).unwrap();
        assert_eq!(poll(h, fd), mask(letters));
    }
    let (a, b) = pair(h, DGRAM);
    close(h, b).unwrap();
    assert_eq!(poll(h, a), mask("o"));
}

fn pending_connections<H: Host>(h: &H) {
    listener(h, STREAM, &hidden("s"), 0);
    let client = connected(h, STREAM, &hidden("s")).unwrap();
    assert_eq!(poll(h, client), mask("o"));
    let blocked = socket(h, STREAM).unwrap();
    set_timeout(h, blocked, SO_SNDTIMEO, 400).unwrap();
    let waiting = start(h, move |h| connect(h, blocked, &hidden("s")));
    assert_eq!(poll(h, blocked), mask("oh"));
    assert_eq!(waiting.join(), Err(Errno::AGAIN));
}

fn bits_come_together<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    send(h, a, b"x", 0).unwrap();
    let zero = Some(Duration::ZERO);
    for events in [Readiness::RDNORM, Readiness::WRBAND, Readiness::WRNORM, Readiness::IN] {
        assert_eq!(poll_for(h, b, events, zero), Ok(events));
    }
    assert_eq!(poll_for(h, b, Readiness::PRI | Readiness::RDBAND, zero), Ok(Readiness::empty()));
    close(h, a).unwrap();
    assert_eq!(poll_for(h, b, Readiness::empty(), zero), Ok(Readiness::HUP));
    let mut fds = [
        PollFd::new(crate::raw::fd(99), Readiness::IN),
        PollFd { fd: None, events: Readiness::IN, revents: Readiness::empty() },
    ];
    assert_eq!(h.call(&mut afunix::Call::Poll { fds: &mut fds, timeout: zero, mask: None }), Ok(1));
    assert_eq!(fds[0].revents, Readiness::NVAL);
    assert_eq!(fds[1].revents, Readiness::empty());
}

fn full_peer_queue<H: Host>(h: &H) {
    let target = bound(h, DGRAM, &hidden("s"));
    let fd = socket(h, DGRAM).unwrap();
    connect(h, fd, &hidden("s")).unwrap();
    while send(h, fd, b"x", DONTWAIT).is_ok() {}
    assert_eq!(poll(h, fd), mask(""));
    let waiting = start(h, move |h| poll_for(h, fd, Readiness::OUT, None));
    assert!(waiting.waits(h));
    recv(h, target, 1, 0).unwrap();
    assert_eq!(waiting.join(), Ok(Readiness::OUT));
}

fn shutdown_of_a_full_receiver<H: Host>(h: &H) {
    let target = bound(h, DGRAM, &hidden("s"));
    let fd = socket(h, DGRAM).unwrap();
    connect(h, fd, &hidden("s")).unwrap();
    while send(h, fd, b"x", DONTWAIT).is_ok() {}
    let waiting = start(h, move |h| poll_for(h, fd, Readiness::OUT, None));
    shutdown(h, target, RD).unwrap();
    assert!(waiting.waits(h));
    assert_eq!(poll(h, fd), mask(""));
    assert_eq!(send(h, fd, b"x", DONTWAIT), Err(Errno::PIPE));
    close(h, target).unwrap();
    assert_eq!(waiting.join(), Ok(Readiness::OUT));
}

fn errors_are_urgent_if_selected<H: Host>(h: &H) {
    for (kind, urgent) in [(STREAM, false), (SEQPACKET, true)] {
        let (a, b) = pair(h, kind);
        set_int(h, a, SO_SELECT_ERR_QUEUE, 1).unwrap();
        send(h, a, b"unread", 0).unwrap();
        close(h, b).unwrap();
        let ready = poll(h, a);
        assert_eq!(
            (ready.contains(Readiness::ERR), ready.contains(Readiness::PRI)),
            (true, urgent)
        );
    }
}
