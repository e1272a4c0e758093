//! Network namespaces: what is one's own in each, and what knows of none.

use afunix::{Capabilities as Cap, Errno, Host, OpenFlags, RawName};

use super::{Case, in_process, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        root "ADDR 5" abstract_names_by_namespace,
        root "ADDR 5" a_socket_keeps_its_namespace,
        root "ADDR 6" autobind_by_namespace,
        root "BIND 7" paths_know_no_network,
        root "BIND 6" free_in_each_namespace,
        root "DSEND 6" queue_length_by_namespace,
        root "DSEND 6" who_sets_the_queue_length,
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

/// How many one-byte messages to a new socket fit.
fn fitting<H: Host>(h: &H) -> usize {
    let name = hidden("queue");
    let receiver = bound(h, DGRAM, &name);
    let sender = connected(h, DGRAM, &name).unwrap();
    let fit = (0..400).take_while(|_| send(h, sender, b"x", DONTWAIT) == Ok(1)).count();
    close(h, receiver).unwrap();
    close(h, sender).unwrap();
    fit
}

fn queue_length_by_namespace<H: Host>(h: &H) {
    let setting = "/proc/sys/net/unix/max_dgram_qlen";
    assert_eq!(unshare(h, NEWNET), Ok(0));
    let fd = open(h, setting, OpenFlags::empty()).unwrap();
    assert_eq!(read(h, fd, 9), Ok(b"10\n".to_vec()));
    assert_eq!(read(h, fd, 9), Ok(vec![]));
    assert_eq!(fitting(h), 11);
    let (a, _b) = pair(h, DGRAM);
    let early = bound(h, DGRAM, &hidden("early"));
    assert_eq!(set_queue_length(h, "0"), Ok(1));
    assert_eq!(fitting(h), 1);
    let name = hidden("early");
    let to_early = || sendto(h, a, b"x", DONTWAIT, RawName::Bytes(&name)) == Ok(1);
    let fit = (0..400).take_while(|_| to_early()).count();
    assert_eq!(fit, 11, "a socket keeps what there was when it was made");
    close(h, early).unwrap();
    assert_eq!(set_queue_length(h, "3\n"), Ok(2));
    assert_eq!(fitting(h), 4);
    assert_eq!(set_queue_length(h, "-1"), Ok(2));
    assert_eq!(fitting(h), 278, "no limit but that of memory");
    assert_eq!(set_queue_length(h, "many"), Err(Errno::INVAL));
    // A new namespace begins anew, and what is set in it shows in no other.
    in_process(h, None, &[], |h| {
        assert_eq!(fitting(h), 278);
        assert_eq!(unshare(h, NEWNET), Ok(0));
        assert_eq!(fitting(h), 11);
        assert_eq!(set_queue_length(h, "5"), Ok(1));
        assert_eq!(fitting(h), 6);
    });
    assert_eq!(fitting(h), 278);
}

fn who_sets_the_queue_length<H: Host>(h: &H) {
    assert_eq!(unshare(h, NEWNET), Ok(0));
    keep_only(h, Cap::NET_ADMIN | Cap::SETUID);
    assert_eq!(set_queue_length(h, "9"), Ok(1));
    lay_down(h, Cap::NET_ADMIN);
    assert_eq!(set_queue_length(h, "8"), Ok(1), "the superuser as such");
    assert_eq!(setresuid(h, 54331, 54331, 0), Ok(0));
    let (_, permitted) = capget(h);
    assert_eq!(set_queue_length(h, "7"), Err(Errno::ACCES));
    capset(h, Cap::DAC_OVERRIDE | Cap::SYS_ADMIN, permitted).unwrap();
    assert_eq!(set_queue_length(h, "7"), Err(Errno::ACCES));
    capset(h, Cap::NET_ADMIN, permitted).unwrap();
    assert_eq!(set_queue_length(h, "6"), Ok(1));
    assert_eq!(fitting(h), 7);
}
