//! POLL 7, OOB 1, OPT 7: SIGIO and SIGURG to the owners of files.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use afunix::call::Fcntl;
use afunix::{Call, Errno, Exit, Host, OpenFlags, Pid, ProcessSpec, SaFlags};

use super::{Case, as_stranger, in_process, start, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "POLL 7" what_arrives_is_told,
        "POLL 7" what_a_peer_does_is_told,
        "POLL 7" connections_are_told,
        "POLL 7" room_is_told_to_those_who_found_none,
        "POLL 7" a_peers_full_queue_is_not_told,
        "POLL 7" a_waiting_reader_needs_no_telling,
        "POLL 7" errors_are_told,
        "POLL 7" what_closes_in_flight_is_told,
        "POLL 7" another_signal,
        "POLL 7" sigio_ends_a_process,
        root "POLL 7" the_owner_is_checked_as_it_is_told,
        "OOB 1" sigurg_is_told,
        "OPT 7" owners_are_set_and_read,
        "OPT 7" o_async_is_set_and_read,
    ]
}

const URG: i32 = 23;
const IO: i32 = 29;
const RT: i32 = 40;

/// The signals that were handled, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<i32>>>);

impl Log {
    fn new<H: Host>(h: &H) -> Log {
        let log = Log::default();
        for signal in [URG, IO, RT] {
            let place = log.0.clone();
            let run = move |_: &H| place.lock().unwrap().push(signal);
            assert_eq!(h.on_signal(signal, SaFlags::RESTART, run), Ok(()));
        }
        log
    }

    fn take(&self) -> Vec<i32> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// The caller gets the file's signals.
fn own<H: Host>(h: &H, fd: i32) {
    assert_eq!(fcntl(h, fd, Fcntl::Setown(getpid(h))), Ok(0));
}

/// O_ASYNC, without or with O_NONBLOCK; the caller gets the file's signals.
fn ask<H: Host>(h: &H, fd: i32) {
    let flags = OpenFlags::ASYNC | OpenFlags::NONBLOCK;
    assert_eq!(fcntl(h, fd, Fcntl::Setfl(flags.bits())), Ok(0));
    own(h, fd);
}

fn what_arrives_is_told<H: Host>(h: &H) {
    let log = Log::new(h);
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        assert_eq!(fcntl(h, a, Fcntl::Setfl(OpenFlags::ASYNC.bits())), Ok(0));
        send(h, b, b"x", 0).unwrap();
        assert_eq!(log.take(), [0; 0], "nobody owns it");
        own(h, a);
        for _ in 0..2 {
            send(h, b, b"x", 0).unwrap();
            assert_eq!(log.take(), [IO], "each, though there is something to read");
        }
        while recv(h, a, 9, DONTWAIT).is_ok() {}
        send(h, a, b"x", 0).unwrap();
        recv(h, b, 9, 0).unwrap();
        assert_eq!(log.take(), [0; 0], "what one does oneself, and the freed memory");
        assert_eq!(fcntl(h, a, Fcntl::Setfl(0)), Ok(0));
        send(h, b, b"x", 0).unwrap();
        assert_eq!(log.take(), [0; 0], "no more");
    }
    let (a, b) = pair(h, STREAM);
    ask(h, a);
    send(h, b, &[0; 100_000], 0).unwrap();
    assert_eq!(log.take(), [IO], "three buffers by one call: before it is handled it is one");
}

fn what_a_peer_does_is_told<H: Host>(h: &H) {
    let log = Log::new(h);
    for kind in TYPES {
        let told = if kind == DGRAM { vec![] } else { vec![IO] };
        let (a, b) = pair(h, kind);
        ask(h, a);
        shutdown(h, b, RD).unwrap();
        assert_eq!(log.take(), [0; 0], "it reads no more");
        for how in [WR, WR, RDWR] {
            shutdown(h, b, how).unwrap();
            assert_eq!(log.take(), told, "type {kind}, how {how}");
        }
        shutdown(h, a, RDWR).unwrap();
        assert_eq!(log.take(), [0; 0]);
        close(h, b).unwrap();
        assert_eq!(log.take(), told, "type {kind}");
        let (a, b) = pair(h, kind);
        ask(h, a);
        send(h, a, b"unread", 0).unwrap();
        close(h, b).unwrap();
        assert_eq!(log.take(), told, "type {kind}");
    }
}

fn connections_are_told<H: Host>(h: &H) {
    let log = Log::new(h);
    for kind in CONNECTED {
        let server = bound(h, kind, &hidden("s"));
        ask(h, server);
        listen(h, server, 5).unwrap();
        let client = socket(h, kind).unwrap();
        ask(h, client);
        assert_eq!(fcntl(h, client, Fcntl::Setsig(RT)), Ok(0));
        connect(h, client, &hidden("s")).unwrap();
        assert_eq!(log.take(), [IO], "the listener, not the client");
        send(h, client, b"early", 0).unwrap();
        assert_eq!(log.take(), [0; 0], "it is nobody's yet");
        let accepted = accept(h, server, 0).unwrap();
        assert_eq!(log.take(), [0; 0]);
        let flags = fcntl(h, accepted, Fcntl::Getfl).unwrap() as i32;
        assert_eq!(flags & OpenFlags::ASYNC.bits(), 0, "LISTEN 6");
        assert_eq!(fcntl(h, accepted, Fcntl::Getown), Ok(0), "LISTEN 6");
        close(h, accepted).unwrap();
        assert_eq!(log.take(), [RT]);
        connect(h, socket(h, kind).unwrap(), &hidden("s")).unwrap();
        let queued = socket(h, kind).unwrap();
        ask(h, queued);
        assert_eq!(fcntl(h, queued, Fcntl::Setsig(RT)), Ok(0));
        connect(h, queued, &hidden("s")).unwrap();
        assert_eq!(log.take(), [IO, IO]);
        shutdown(h, server, RD).unwrap();
        assert_eq!(log.take(), [0; 0]);
        close(h, server).unwrap();
        assert_eq!(log.take(), [RT], "its connections are reset");
    }
}

/// Reads one message, or one byte, after another: after how many there was a signal.
fn told_after<H: Host>(h: &H, fd: i32, len: usize, log: &Log) -> Vec<usize> {
    let mut told = Vec::new();
    let mut reads = 0;
    while recv(h, fd, len, DONTWAIT).is_ok() {
        reads += 1;
        told.extend(log.take().iter().map(|signal| {
            assert_eq!(*signal, IO);
            reads
        }));
    }
    told
}

fn room_is_told_to_those_who_found_none<H: Host>(h: &H) {
    let log = Log::new(h);
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        ask(h, a);
        let mut sent = 0;
        while send(h, a, &[0; 1000], DONTWAIT).is_ok() {
            sent += 1;
        }
        assert_eq!((log.take(), sent), (vec![], 93), "type {kind}");
        assert_eq!(told_after(h, b, 1000, &log).len(), 1, "type {kind}: once");
        let fill = |h: &H| (0..100).for_each(|_| whole(send(h, a, b"x", DONTWAIT)));
        fill(h);
        assert_eq!(told_after(h, b, 1, &log), [0; 0], "it was not looked for");
        fill(h);
        assert_eq!(poll_for(h, a, mask("i"), Some(Duration::ZERO)), Ok(mask("")));
        assert_eq!(told_after(h, b, 1, &log), [0; 0], "nor was it by this poll");
        fill(h);
        assert_eq!(poll_for(h, a, mask("o"), Some(Duration::ZERO)), Ok(mask("")));
        let told = told_after(h, b, 1, &log);
        assert_eq!(told.len(), usize::from(kind != STREAM), "type {kind}: {told:?}");
        // Who is not to be told any more is told as soon as it is to be again.
        while send(h, a, &[0; 1000], DONTWAIT).is_ok() {}
        assert_eq!(fcntl(h, a, Fcntl::Setfl(OpenFlags::NONBLOCK.bits())), Ok(0));
        assert_eq!(told_after(h, b, 1000, &log), [0; 0], "type {kind}");
        ask(h, a);
        send(h, a, b"x", DONTWAIT).unwrap();
        assert_eq!(told_after(h, b, 1, &log), [1], "type {kind}");
    }
}

fn whole(answer: Answer) {
    assert_eq!(answer, Ok(1));
}

fn a_peers_full_queue_is_not_told<H: Host>(h: &H) {
    let log = Log::new(h);
    let receiver = bound(h, DGRAM, &hidden("r"));
    let sender = connected(h, DGRAM, &hidden("r")).unwrap();
    ask(h, sender);
    let fill = |h: &H| while send(h, sender, b"x", DONTWAIT).is_ok() {};
    fill(h);
    assert_eq!(told_after(h, receiver, 1, &log), [0; 0]);
    fill(h);
    assert_eq!(poll_for(h, sender, mask("o"), Some(Duration::ZERO)), Ok(mask("")));
    assert_eq!(told_after(h, receiver, 1, &log), [1], "a poll for it is told of freed memory");
    fill(h);
    close(h, receiver).unwrap();
    assert_eq!(log.take(), [0; 0]);
}

fn a_waiting_reader_needs_no_telling<H: Host>(h: &H) {
    let log = Log::new(h);
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        assert_eq!(fcntl(h, a, Fcntl::Setfl(OpenFlags::ASYNC.bits())), Ok(0));
        own(h, a);
        let reader = start(h, move |h| recv(h, a, 1, 0));
        send(h, b, b"x", 0).unwrap();
        assert_eq!(reader.join(), Ok(b"x".to_vec()));
        h.sleep(Duration::from_millis(5));
        let told = log.take().len();
        assert_eq!(told, usize::from(kind != STREAM), "type {kind}");
        send(h, b, b"x", 0).unwrap();
        assert_eq!(log.take(), [IO], "nobody waits any more");
    }
}

fn errors_are_told<H: Host>(h: &H) {
    let log = Log::new(h);
    let (a, b) = pair(h, DGRAM);
    ask(h, b);
    send(h, b, b"lost", 0).unwrap();
    connect(h, a, &name(0, &[0; 14])).unwrap();
    assert_eq!(get_int(h, b, SO_ERROR), Ok(Errno::CONNRESET.raw()), "DGCONN 3");
    assert_eq!(log.take(), [IO]);
}

/// The files of a queue that nobody will read are closed one behind the other: who is closed later
/// is told of what was closed before.
fn what_closes_in_flight_is_told<H: Host>(h: &H) {
    let log = Log::new(h);
    for kind in TYPES {
        for (messages, told) in [
            (vec![vec![0, 1]], vec![IO]),
            (vec![vec![1, 0]], vec![]),
            (vec![vec![0], vec![1]], vec![]),
            (vec![vec![1], vec![0]], vec![IO]),
            (vec![vec![1], vec![2, 0]], vec![IO]),
        ] {
            let (from, to) = pair(h, kind);
            let (a, b) = pair(h, STREAM);
            ask(h, b);
            let (c, d) = pair(h, STREAM);
            let files = [a, b, c];
            for message in &messages {
                let files: Vec<i32> = message.iter().map(|which| files[*which]).collect();
                assert_eq!(sendmsg(h, from, b"x", &rights(&files)), Ok(1));
            }
            for fd in [a, b, c, d] {
                close(h, fd).unwrap();
            }
            assert_eq!(log.take(), [0; 0]);
            close(h, to).unwrap();
            assert_eq!(log.take(), told, "type {kind}, {messages:?}");
            close(h, from).unwrap();
        }
    }
}

fn another_signal<H: Host>(h: &H) {
    let log = Log::new(h);
    let (a, b) = pair(h, STREAM);
    ask(h, a);
    assert_eq!(fcntl(h, a, Fcntl::Setsig(RT)), Ok(0));
    send(h, b, &[0; 100_000], 0).unwrap();
    assert_eq!(log.take(), [RT; 3], "a real-time signal for each buffer");
    assert_eq!(fcntl(h, a, Fcntl::Setsig(0)), Ok(0));
    send(h, b, b"x", 0).unwrap();
    assert_eq!(log.take(), [IO]);
    // The open file is the owner's, whatever its numbers.
    let other = dup(h, a).unwrap();
    close(h, a).unwrap();
    send(h, b, b"x", 0).unwrap();
    assert_eq!(log.take(), [IO]);
    assert_eq!(fcntl(h, other, Fcntl::Getown), Ok(getpid(h) as usize));
}

fn sigio_ends_a_process<H: Host>(h: &H) {
    let child = h.process(ProcessSpec::new("child"), |h| {
        let (a, b) = pair(h, STREAM);
        ask(h, a);
        let _ = send(h, b, b"x", 0);
        7
    });
    assert_eq!(child.unwrap().wait(), Ok(Exit::Signal(IO)), "by default");
    let child = h.process(ProcessSpec::new("child"), |h| {
        let (a, b) = pair(h, STREAM);
        own(h, a);
        send(h, b, b"x", OOB).unwrap();
        7
    });
    assert_eq!(child.unwrap().wait(), Ok(Exit::Status(7)), "SIGURG is ignored");
}

fn the_owner_is_checked_as_it_is_told<H: Host>(h: &H) {
    let log = Log::new(h);
    let (a, b) = pair(h, STREAM);
    assert_eq!(fcntl(h, a, Fcntl::Setfl(OpenFlags::ASYNC.bits())), Ok(0));
    let (copy, root) = (dup(h, a).unwrap(), getpid(h));
    as_stranger(h, &[copy], move |h| {
        assert_eq!(fcntl(h, 3, Fcntl::Setown(root)), Ok(0), "setting it is free");
    });
    assert_eq!(fcntl(h, a, Fcntl::Getown), Ok(root as usize));
    send(h, b, b"x", 0).unwrap();
    assert_eq!(log.take(), [0; 0], "the stranger may not signal this process");
    own(h, a);
    let copy = dup(h, b).unwrap();
    as_stranger(h, &[copy], |h| assert_eq!(send(h, 3, b"x", 0), Ok(1)));
    assert_eq!(log.take(), [IO], "who sends does not matter");
}

fn sigurg_is_told<H: Host>(h: &H) {
    let log = Log::new(h);
    let (a, b) = pair(h, STREAM);
    send(h, b, b"a", OOB).unwrap();
    assert_eq!(log.take(), [0; 0], "nobody owns it");
    own(h, a);
    for data in [&b"a"[..], b"abc"] {
        send(h, b, data, OOB).unwrap();
        assert_eq!(log.take(), [URG], "without O_ASYNC");
    }
    ask(h, a);
    for data in [&b"a"[..], b"abc"] {
        send(h, b, data, OOB).unwrap();
        assert_eq!(log.take(), [URG, IO]);
    }
    assert_eq!(fcntl(h, a, Fcntl::Setsig(RT)), Ok(0));
    send(h, b, b"a", OOB).unwrap();
    assert_eq!(log.take(), [URG, RT, RT], "of the byte, and of what arrived");
    assert_eq!(fcntl(h, a, Fcntl::Setfl(0)), Ok(0));
    send(h, b, b"a", OOB).unwrap();
    assert_eq!(log.take(), [URG]);
    // To a connection that is nobody's yet, nobody listens.
    let server = listener(h, STREAM, &hidden("s"), 5);
    ask(h, server);
    let client = connected(h, STREAM, &hidden("s")).unwrap();
    assert_eq!(log.take(), [IO]);
    send(h, client, b"a", OOB).unwrap();
    assert_eq!(log.take(), [0; 0]);
}

fn owners_are_set_and_read<H: Host>(h: &H) {
    let own = getpid(h);
    let fd = socket(h, STREAM).unwrap();
    assert_eq!((fcntl(h, fd, Fcntl::Getown), fcntl(h, fd, Fcntl::Getsig)), (Ok(0), Ok(0)));
    for (who, errno) in
        [(4_000_000, Errno::SRCH), (-4_000_000, Errno::SRCH), (i32::MIN, Errno::INVAL)]
    {
        assert_eq!(fcntl(h, fd, Fcntl::Setown(who)), Err(errno));
        assert_eq!(ioctl(h, fd, FIOSETOWN, who), Err(errno));
    }
    for request in [FIOSETOWN, SIOCSPGRP] {
        assert!(ioctl(h, fd, request, own).is_ok());
        assert_eq!(fcntl(h, fd, Fcntl::Getown), Ok(own as usize));
        for get in [FIOGETOWN, SIOCGPGRP] {
            assert_eq!(ioctl(h, fd, get, 7), Ok(own));
        }
        assert_eq!(fcntl(h, fd, Fcntl::Setown(0)), Ok(0));
        assert_eq!(ioctl(h, fd, FIOGETOWN, 7), Ok(0));
    }
    for (signal, answer) in [(65, Err(Errno::INVAL)), (-1, Err(Errno::INVAL)), (64, Ok(0))] {
        assert_eq!(fcntl(h, fd, Fcntl::Setsig(signal)), answer);
    }
    assert_eq!(fcntl(h, fd, Fcntl::Getsig), Ok(64));
    // An owner that has ended is none.
    let child = h.process(ProcessSpec::new("child"), |_| 0).unwrap();
    let pid = child.pid();
    assert_eq!(fcntl(h, fd, Fcntl::Setown(pid.0)), Ok(0));
    assert_eq!(fcntl(h, fd, Fcntl::Getown), Ok(pid.0 as usize));
    child.wait().unwrap();
    assert_eq!(fcntl(h, fd, Fcntl::Getown), Ok(0));
    assert_eq!(fcntl(h, fd, Fcntl::Setown(pid.0)), Err(Errno::SRCH));
    // Other files have owners, too; only of sockets ioctl tells.
    let null = open(h, "/dev/null", OpenFlags::RDWR).unwrap();
    assert_eq!(fcntl(h, null, Fcntl::Setown(own)), Ok(0));
    assert_eq!(fcntl(h, null, Fcntl::Getown), Ok(own as usize));
    assert_eq!(ioctl(h, null, FIOSETOWN, own), Err(Errno::NOTTY));
    let epoll = epoll_create1(h, 0).unwrap();
    for request in [FIOSETOWN, SIOCSPGRP, FIOGETOWN, SIOCGPGRP, SIOCUNIXFILE] {
        assert_eq!(ioctl(h, epoll, request, own), Err(Errno::INVAL));
    }
    let path = open(h, "/", OpenFlags::PATH).unwrap();
    for command in [Fcntl::Setown(own), Fcntl::Getown, Fcntl::Setsig(1), Fcntl::Getsig] {
        assert_eq!(fcntl(h, path, command), Err(Errno::BADF));
        assert_eq!(fcntl(h, 99, command), Err(Errno::BADF));
    }
    in_process(h, None, &[], |h| {
        assert_eq!(h.call(&mut Call::Kill { pid: Pid(getpid(h)), signal: 0 }), Ok(0));
    });
}

fn o_async_is_set_and_read<H: Host>(h: &H) {
    let flag = OpenFlags::ASYNC.bits() as usize;
    let log = Log::new(h);
    let (fd, peer) = pair(h, STREAM);
    for (on, shown) in [(1, flag), (5, flag), (0, 0)] {
        assert!(ioctl(h, fd, FIOASYNC, on).is_ok());
        assert_eq!(fcntl(h, fd, Fcntl::Getfl).map(|flags| flags & flag), Ok(shown));
    }
    own(h, fd);
    send(h, peer, b"x", 0).unwrap();
    assert_eq!(log.take(), [0; 0], "it is off");
    let null = open(h, "/dev/null", OpenFlags::RDWR).unwrap();
    assert_eq!(ioctl(h, null, FIOASYNC, 1), Err(Errno::NOTTY));
    assert!(ioctl(h, null, FIOASYNC, 0).is_ok());
}
