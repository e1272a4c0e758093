//! Network namespaces: what is one's own in each, and what knows of none.

use afunix::{Errno, Host};

use super::{Case, in_process, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        root "ADDR 5" abstract_names_by_namespace,
        root "ADDR 5" a_socket_keeps_its_namespace,
        root "ADDR 6" autobind_by_namespace,
        root "BIND 7" paths_know_no_network,
        root "BIND 6" free_in_each_namespace,
    ]
}

fn abstract_names_by_namespace<H: Host>(h: &H) {
    let name = hidden("x");
    let server = listener(h, STREAM, &name, 8);
    let receiver = bound(h, DGRAM, &name);
    let (a, b) = pair(h, STREAM);
    let inner = name.clone();
    in_process(h, None, &[b], move |h| {
        assert!(connected(h, STREAM, &inner).is_ok());
        assert_eq!(unshare(h, NEWNET), Ok(0));
        assert_eq!(connected(h, STREAM, &inner), Err(Errno::CONNREFUSED));
        let own = socket(h, DGRAM).unwrap();
        assert_eq!(send_to(h, own, b"x", &inner), Err(Errno::CONNREFUSED));
        assert_eq!(connect(h, own, &inner), Err(Errno::CONNREFUSED));
        // The name is free here.
        listener(h, STREAM, &inner, 8);
        let taken = socket(h, STREAM).unwrap();
        assert_eq!(bind(h, taken, &inner), Err(Errno::ADDRINUSE));
        let client = connected(h, STREAM, &inner).unwrap();
        assert_eq!(peercred(h, client).pid, getpid(h));
        // What is connected already, and descriptors, pass.
        assert_eq!(sendmsg(h, 3, b"x", &rights(&[client])), Ok(1));
    });
    assert_eq!(recvmsg(h, a, 1, 64, 0).unwrap().rights().len(), 1);
    assert!(accept(h, server, 0).is_ok());
    assert_eq!(poll(h, server), mask(""), "one came, before it left");
    assert_eq!(recv(h, receiver, 1, DONTWAIT), Err(Errno::AGAIN));
}

fn a_socket_keeps_its_namespace<H: Host>(h: &H) {
    let (there, here) = (hidden("there"), hidden("here"));
    let server = listener(h, STREAM, &there, 8);
    let receiver = bound(h, DGRAM, &there);
    let (stream, datagram) = (socket(h, STREAM).unwrap(), socket(h, DGRAM).unwrap());
    let unbound = socket(h, STREAM).unwrap();
    assert_eq!(unshare(h, NEWNET), Ok(0));
    // Sockets that were made before look, and are found, where they were made.
    assert_eq!(connect(h, stream, &there), Ok(0));
    assert_eq!(send_to(h, datagram, b"x", &there), Ok(1));
    assert_eq!(recv(h, receiver, 1, DONTWAIT), Ok(b"x".to_vec()));
    assert_eq!(bind(h, unbound, &there), Err(Errno::ADDRINUSE));
    assert_eq!(connected(h, STREAM, &there), Err(Errno::CONNREFUSED));
    assert!(accept(h, server, 0).is_ok());
    assert_eq!(bind(h, unbound, &here), Ok(0));
    assert_eq!(listen(h, unbound, 8), Ok(0));
    assert_eq!(connected(h, STREAM, &here), Err(Errno::CONNREFUSED));
    let (a, _) = pair(h, STREAM);
    assert_eq!(bind(h, a, &here), Ok(0), "a pair made now is of the new one");
}

fn autobind_by_namespace<H: Host>(h: &H) {
    let auto = name(1, b"");
    let (old, other) = (socket(h, STREAM).unwrap(), socket(h, STREAM).unwrap());
    assert_eq!(bind(h, old, &auto), Ok(0));
    let taken = getsockname(h, old).unwrap();
    assert_eq!(unshare(h, NEWNET), Ok(0));
    let new = bound(h, STREAM, &taken);
    assert_eq!(bind(h, new, &auto), Ok(0));
    assert_eq!(getsockname(h, new), Ok(taken.clone()));
    // The old namespace goes on beside it.
    assert_eq!(bind(h, other, &taken), Err(Errno::ADDRINUSE));
    assert_eq!(bind(h, other, &auto), Ok(0));
    assert_eq!(getsockname(h, other).unwrap().len(), 8);
}

fn paths_know_no_network<H: Host>(h: &H) {
    let server = listener(h, STREAM, &path("s"), 8);
    let receiver = bound(h, DGRAM, &path("d"));
    in_process(h, None, &[], |h| {
        assert_eq!(unshare(h, NEWNET), Ok(0));
        let client = connected(h, STREAM, &path("s")).unwrap();
        assert_eq!(getpeername(h, client), Ok(path("s")));
        assert_eq!(send(h, client, b"hello", 0), Ok(5));
        let own = bound(h, DGRAM, &path("own"));
        assert_eq!(send_to(h, own, b"x", &path("d")), Ok(1));
        let other = socket(h, STREAM).unwrap();
        assert_eq!(bind(h, other, &path("s")), Err(Errno::ADDRINUSE));
    });
    let accepted = accept(h, server, 0).unwrap();
    assert_eq!(recv(h, accepted, 9, 0), Ok(b"hello".to_vec()));
    let message = recvmsg(h, receiver, 9, 0, 0).unwrap();
    assert_eq!(message.name, path("own"));
}

fn free_in_each_namespace<H: Host>(h: &H) {
    let name = hidden("x");
    let old = bound(h, STREAM, &name);
    assert_eq!(unshare(h, NEWNET), Ok(0));
    let new = bound(h, STREAM, &name);
    assert_eq!(close(h, old), Ok(0));
    let next = socket(h, STREAM).unwrap();
    assert_eq!(
        bind(h, next, &name),
        Err(Errno::ADDRINUSE),
        "the other one's end is not this one's"
    );
    assert_eq!(close(h, new), Ok(0));
    assert_eq!(bind(h, next, &name), Ok(0));
}
