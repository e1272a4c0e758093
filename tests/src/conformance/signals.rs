//! SRECV 15 and its like: signals, which calls they interrupt, and who gets them.

mod masks;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use afunix::signal::{SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK};
use afunix::{
    Call, Errno, Exit, Host, Pid, ProcessSpec, SaFlags, SigHandler, SigSet, Sigaction, Thread,
};

use super::{Case, SETTLE, as_stranger, in_process, start, table};
use crate::calls::*;
use masks::masks_of_calls;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "SRECV 15" receives_are_interrupted,
        "SRECV 15" a_timeout_makes_it_eintr,
        "SRECV 15" what_was_received_counts,
        "SRECV 15" receives_of_many_are_interrupted,
        "LISTEN 4" accept_is_interrupted,
        "CONNECT 5" connect_is_interrupted,
        "SSEND 7" sends_are_interrupted,
        "DSEND 5" a_sender_without_room_is_interrupted,
        "VFS 5" calls_that_are_never_made_again,
        "VFS 5" pipes_are_interrupted,
        "SSEND 13" sigpipe_ends_a_process,
        "SSEND 13" sigpipe_is_for_streams,
        "SSEND 13" sigpipe_of_pipes,
        "VFS 3" what_ends_a_process,
        "VFS 3" children_start_anew,
        "VFS 3" the_end_of_a_child_is_told,
        "SRECV 15" dispositions,
        "SRECV 15" masks,
        "SRECV 15" masks_of_calls,
        "SRECV 15" the_order_of_handlers,
        "SRECV 15" which_thread_takes_it,
        root "SRECV 15" who_may_send,
    ]
}

const USR1: i32 = 10;
const USR2: i32 = 12;
const PIPE: i32 = 13;
const CHLD: i32 = 17;
const RT: i32 = 40;

/// sigaction(2): the old action.
fn sigaction<H: Host>(h: &H, signal: i32, new: Option<Sigaction>) -> Answer<Sigaction> {
    let mut old = Sigaction::default();
    h.call(&mut Call::Sigaction { signal, new, old: &mut old })?;
    Ok(old)
}

/// sigprocmask(2): the old mask.
fn sigprocmask<H: Host>(h: &H, how: i32, set: Option<SigSet>) -> Answer<SigSet> {
    let mut old = SigSet::EMPTY;
    h.call(&mut Call::Sigprocmask { how, set, old: &mut old })?;
    Ok(old)
}

fn kill<H: Host>(h: &H, pid: i32, signal: i32) -> Answer {
    h.call(&mut Call::Kill { pid: Pid(pid), signal })
}

/// Lets an answer go.
fn whatever<T>(_: Answer<T>) {}

fn action(handler: SigHandler) -> Option<Sigaction> {
    Some(Sigaction { handler, flags: SaFlags::empty() })
}

/// The signals that were handled, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<i32>>>);

impl Log {
    fn handle<H: Host>(&self, h: &H, signal: i32, flags: SaFlags) {
        let log = self.0.clone();
        let run = move |_: &H| log.lock().unwrap().push(signal);
        assert_eq!(h.on_signal(signal, flags, run), Ok(()));
    }

    fn take(&self) -> Vec<i32> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// In another thread: signal USR1 to the process when this one waits, and after as long again
/// `release`.
fn shortly<H: Host>(h: &H, release: impl FnOnce(&H) + Send + 'static) -> Thread<()> {
    let host = h.clone();
    h.spawn("killer", move || {
        host.sleep(2 * SETTLE);
        assert_eq!(kill(&host, getpid(&host), USR1), Ok(0));
        host.sleep(2 * SETTLE);
        release(&host);
    })
}

/// Makes a call that waits, without and with SA_RESTART: what it returns when a signal interrupts
/// it. If it is made again, `release` lets it go on then.
fn interrupted<H: Host, T>(
    h: &H,
    call: impl Fn(&H) -> T,
    release: impl Fn(&H) + Clone + Send + 'static,
) -> [T; 2] {
    let log = Log::default();
    [SaFlags::empty(), SaFlags::RESTART].map(|flags| {
        log.handle(h, USR1, flags);
        let release = release.clone();
        let killer = shortly(h, move |h| {
            if flags == SaFlags::RESTART {
                release(h);
            }
        });
        let answer = call(h);
        assert_eq!(log.take(), [USR1], "its handler has run");
        killer.join().expect("the killer");
        answer
    })
}

const INTR: Answer = Err(Errno::INTR);

fn receives_are_interrupted<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        let release = move |h: &H| whatever(send(h, b, b"zz", 0));
        let [plain, again] =
            interrupted(h, move |h| recv(h, a, 9, 0).map(|got| got.len()), release);
        assert_eq!((plain, again), (INTR, Ok(2)), "type {kind}");
    }
}

fn a_timeout_makes_it_eintr<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, _) = pair(h, kind);
        set_timeout(h, a, SO_RCVTIMEO, 2000).unwrap();
        let answers = interrupted(h, move |h| recv_count(h, a, 9, 0), |_| {});
        assert_eq!(answers, [INTR; 2], "type {kind}");
    }
}

fn what_was_received_counts<H: Host>(h: &H) {
    for timeout in [0, 2000] {
        let (a, b) = pair(h, STREAM);
        set_timeout(h, a, SO_RCVTIMEO, timeout).unwrap();
        let call = move |h: &H| {
            send(h, b, b"abc", 0).unwrap();
            recv(h, a, 5, WAITALL)
        };
        let answers = interrupted(h, call, |_| {});
        assert_eq!(answers, [Ok(b"abc".to_vec()), Ok(b"abc".to_vec())]);
    }
}

fn receives_of_many_are_interrupted<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        let receive = move |h: &H| recvmmsg(h, a, (1, 9), None, 0, None).map(|got| got.len());
        let release = move |h: &H| whatever(send(h, b, b"zz", 0));
        assert_eq!(interrupted(h, receive, release), [INTR, Ok(1)], "type {kind}");
    }
    // What was received counts; the signal is the socket's error then, in the kernel's own words.
    const ERESTARTSYS: i32 = 512;
    for (timeout, error) in [(0, ERESTARTSYS), (2000, Errno::INTR.raw())] {
        let (a, b) = pair(h, SEQPACKET);
        set_timeout(h, a, SO_RCVTIMEO, timeout).unwrap();
        let call = move |h: &H| {
            send(h, b, b"one", 0).unwrap();
            let got = recvmmsg(h, a, (2, 9), None, 0, None).map(|got| got.len());
            (got, get_int(h, a, SO_ERROR))
        };
        assert_eq!(interrupted(h, call, |_| {}), [(Ok(1), Ok(error)); 2]);
    }
}

fn accept_is_interrupted<H: Host>(h: &H) {
    let server = listener(h, STREAM, &hidden("l"), 5);
    let release = |h: &H| whatever(connected(h, STREAM, &hidden("l")));
    let [plain, again] = interrupted(h, move |h| accept(h, server, 0), release);
    assert_eq!(plain, Err(Errno::INTR));
    assert!(again.is_ok());
    set_timeout(h, server, SO_RCVTIMEO, 2000).unwrap();
    let answers = interrupted(h, move |h| accept(h, server, 0), |_| {});
    assert_eq!(answers, [Err(Errno::INTR); 2]);
}

fn connect_is_interrupted<H: Host>(h: &H) {
    for kind in CONNECTED {
        let name = hidden("c");
        let server = listener(h, kind, &name, 0);
        connected(h, kind, &name).unwrap();
        let client = move |h: &H| connected(h, kind, &hidden("c")).map(|_| 0);
        let release = move |h: &H| whatever(accept(h, server, 0));
        let [plain, again] = interrupted(h, client, release);
        assert_eq!((plain, again), (INTR, Ok(0)));
        close(h, server).unwrap();
    }
}

fn sends_are_interrupted<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        let fill = move |h: &H| while send(h, a, &[0; 50_000], DONTWAIT).is_ok() {};
        let call = move |h: &H| {
            fill(h);
            send(h, a, &[1; 1000], 0)
        };
        let release = move |h: &H| while recv(h, b, 300_000, DONTWAIT).is_ok() {};
        assert_eq!(interrupted(h, call, release), [INTR, Ok(1000)], "type {kind}");
        set_timeout(h, a, SO_SNDTIMEO, 2000).unwrap();
        assert_eq!(interrupted(h, call, |_| {}), [INTR; 2], "type {kind}");
    }
    let (a, b) = pair(h, STREAM);
    let call = move |h: &H| {
        let sent = send(h, a, &[0; 1 << 20], 0);
        while recv(h, b, 300_000, DONTWAIT).is_ok() {}
        sent
    };
    assert_eq!(interrupted(h, call, |_| {}), [Ok(219_264); 2], "what was queued counts");
}

fn a_sender_without_room_is_interrupted<H: Host>(h: &H) {
    let receiver = bound(h, DGRAM, &hidden("r"));
    let sender = connected(h, DGRAM, &hidden("r")).unwrap();
    while send(h, sender, b"x", DONTWAIT).is_ok() {}
    let charged = outq(h, sender);
    let call = move |h: &H| send(h, sender, b"y", 0);
    let release = move |h: &H| whatever(recv(h, receiver, 9, 0));
    let log = Log::default();
    log.handle(h, USR1, SaFlags::empty());
    let killer = shortly(h, |_| {});
    assert_eq!((call(h), log.take()), (INTR, vec![USR1]));
    killer.join().unwrap();
    assert_eq!(outq(h, sender), charged, "its memory is given back");
    log.handle(h, USR1, SaFlags::RESTART);
    let killer = shortly(h, release);
    assert_eq!(call(h), Ok(1));
    killer.join().unwrap();
    set_timeout(h, sender, SO_SNDTIMEO, 2000).unwrap();
    assert_eq!(interrupted(h, call, |_| {}), [INTR; 2]);
}

fn calls_that_are_never_made_again<H: Host>(h: &H) {
    let (a, _) = pair(h, STREAM);
    for timeout in [None, Some(Duration::from_secs(2))] {
        let wait = move |h: &H| poll_for(h, a, mask("i"), timeout).map(|_| 0);
        assert_eq!(interrupted(h, wait, |_| {}), [INTR; 2], "poll {timeout:?}");
        let ep = epoll(h);
        watch(h, ep, a, afunix::EpollFlags::IN, 0).unwrap();
        let wait = move |h: &H| epoll_wait(h, ep, 1, timeout).map(|events| events.len());
        assert_eq!(interrupted(h, wait, |_| {}), [INTR; 2], "epoll_wait {timeout:?}");
        let wait = move |h: &H| {
            let (mut sets, mut left) = ([1 << a, 0, 0], timeout);
            let answer = select(h, 64, &mut sets, &mut left);
            assert_eq!(sets, [1 << a, 0, 0], "as they were");
            assert!(left.is_none() || left < timeout, "and the time that is left");
            answer
        };
        assert_eq!(interrupted(h, wait, |_| {}), [INTR; 2], "select {timeout:?}");
    }
    let sleep = |h: &H| h.call(&mut Call::Nanosleep { time: Duration::from_secs(2) });
    assert_eq!(interrupted(h, sleep, |_| {}), [INTR; 2]);
}

fn pipes_are_interrupted<H: Host>(h: &H) {
    let mut fds = [-1; 2];
    h.call(&mut Call::Pipe2 { flags: afunix::OpenFlags::empty(), fds: &mut fds }).unwrap();
    let [reader, writer] = fds;
    let release = move |h: &H| whatever(write(h, writer, b"x"));
    let call = move |h: &H| read(h, reader, 1).map(|got| got.len());
    assert_eq!(interrupted(h, call, release), [INTR, Ok(1)]);
    let call = move |h: &H| {
        let written = write(h, writer, &[0; 100_000]);
        read(h, reader, 65_536).unwrap();
        written
    };
    assert_eq!(interrupted(h, call, |_| {}), [Ok(65_536); 2]);
    let counter = h.call(&mut Call::Eventfd2 { count: 0, flags: 0 }).unwrap() as i32;
    let release = move |h: &H| whatever(write(h, counter, &1u64.to_ne_bytes()));
    let call = move |h: &H| read(h, counter, 8).map(|got| got.len());
    assert_eq!(interrupted(h, call, release), [INTR, Ok(8)]);
}

/// How a child process ends that runs `body`.
fn end_of<H: Host>(h: &H, body: impl Fn(&H) + Send + Sync + 'static) -> Exit {
    let child = h.process(ProcessSpec::new("child"), move |host| {
        body(host);
        7
    });
    child.expect("a child process").wait().expect("its end")
}

fn sigpipe_ends_a_process<H: Host>(h: &H) {
    let dead = |h: &H| {
        let (a, b) = pair(h, STREAM);
        close(h, b).unwrap();
        a
    };
    let default = |h: &H| h.ignore_signal(PIPE, false).unwrap();
    assert_eq!(end_of(h, move |h| whatever(send(h, dead(h), b"x", 0))), Exit::Status(7), "ignored");
    let die = move |h: &H| {
        default(h);
        let _ = send(h, dead(h), b"x", 0);
    };
    assert_eq!(end_of(h, die), Exit::Signal(PIPE));
    let spared = move |h: &H| {
        default(h);
        assert_eq!(send(h, dead(h), b"x", 0x4000), Err(Errno::PIPE), "MSG_NOSIGNAL");
    };
    assert_eq!(end_of(h, spared), Exit::Status(7));
    let blocked = move |h: &H| {
        default(h);
        sigprocmask(h, SIG_BLOCK, Some(SigSet::of(&[PIPE]))).unwrap();
        assert_eq!(write(h, dead(h), b"x"), Err(Errno::PIPE));
        assert_eq!(kill(h, getpid(h), 0), Ok(0), "it goes on");
        let _ = sigprocmask(h, SIG_UNBLOCK, Some(SigSet::of(&[PIPE])));
        panic!("it died as it unblocked the signal");
    };
    assert_eq!(end_of(h, blocked), Exit::Signal(PIPE));
}

fn sigpipe_is_for_streams<H: Host>(h: &H) {
    let log = Log::default();
    log.handle(h, PIPE, SaFlags::empty());
    let sigpipes = |answer: Answer| {
        assert_eq!(answer, Err(Errno::PIPE));
        log.take().len()
    };
    for kind in TYPES {
        let expected = usize::from(kind == STREAM);
        let (a, _) = pair(h, kind);
        shutdown(h, a, WR).unwrap();
        assert_eq!(sigpipes(send(h, a, b"x", 0)), expected, "SSEND 5, type {kind}");
        assert_eq!(sigpipes(send(h, a, b"x", 0x4000)), 0);
        if kind == STREAM {
            assert_eq!(sigpipes(send(h, a, b"", 0)), 1, "for no byte, too");
        }
        let (a, b) = pair(h, kind);
        shutdown(h, b, RD).unwrap();
        assert_eq!(sigpipes(write(h, a, b"x")), expected, "SSEND 10, type {kind}");
    }
    let (a, b) = pair(h, STREAM);
    shutdown(h, b, RD).unwrap();
    assert_eq!(sigpipes(send(h, a, b"ab", OOB)), 1);
    // A peer that was shut before it connected: its end alone knows.
    let server = listener(h, STREAM, &hidden("s"), 4);
    let client = socket(h, STREAM).unwrap();
    shutdown(h, client, RD).unwrap();
    connect(h, client, &hidden("s")).unwrap();
    let accepted = accept(h, server, 0).unwrap();
    assert_eq!(sigpipes(send(h, accepted, b"x", 0)), 1, "SSEND 10");
    assert_eq!(sigpipes(send(h, accepted, b"x", 0x4000)), 0);
    assert_eq!(sigpipes(send(h, accepted, b"ab", OOB)), 1);
    assert_eq!(sigpipes(send(h, accepted, b"!", OOB)), 0, "not for the out-of-band byte");
    let (a, b) = pair(h, STREAM);
    set_int(h, b, SO_PASSRIGHTS, 0).unwrap();
    assert_eq!(sendmsg(h, a, b"x", &rights(&[0])), Err(Errno::PERM));
    assert_eq!(log.take(), [0; 0], "for no other error");
    let waiting = |h: &H, end: fn(&H, i32)| {
        let (a, b) = pair(h, STREAM);
        while send(h, a, &[0; 50_000], DONTWAIT).is_ok() {}
        let blocked = start(h, move |h| send(h, a, b"x", 0));
        end(h, b);
        let answer = blocked.join();
        (answer, log.take().len())
    };
    let closed = waiting(h, |h, b| whatever(close(h, b)));
    assert_eq!(closed, (Err(Errno::CONNRESET), 0), "SSEND 13");
    let shut = waiting(h, |h, b| whatever(shutdown(h, b, RD)));
    assert_eq!(shut, (Err(Errno::PIPE), 0), "SSEND 13");
}

fn sigpipe_of_pipes<H: Host>(h: &H) {
    let log = Log::default();
    log.handle(h, PIPE, SaFlags::RESTART);
    let mut fds = [-1; 2];
    h.call(&mut Call::Pipe2 { flags: afunix::OpenFlags::empty(), fds: &mut fds }).unwrap();
    close(h, fds[0]).unwrap();
    assert_eq!(write(h, fds[1], b"x"), Err(Errno::PIPE));
    assert_eq!(log.take(), [PIPE]);
}

fn what_ends_a_process<H: Host>(h: &H) {
    const IGNORED: [i32; 7] = [17, 18, 23, 28, 13, 0, 32];
    for signal in [1, 2, 9, 10, 12, 14, 15, 26, 27, 29, 30, 31, 34, 64] {
        let end = end_of(h, move |h| whatever(kill(h, getpid(h), signal)));
        assert_eq!(end, Exit::Signal(signal));
    }
    for signal in IGNORED {
        let end = end_of(h, move |h| {
            // Nothing is sent by 0, and 32 is libc's own.
            if signal != 32 {
                assert_eq!(kill(h, getpid(h), signal), Ok(0));
            }
        });
        assert_eq!(end, Exit::Status(7), "signal {signal}");
    }
    // A child that waits in a call is ended there.
    let child = h.process(ProcessSpec::new("child"), |h| {
        let (a, _) = pair(h, STREAM);
        let _ = recv(h, a, 1, 0);
        7
    });
    let child = child.unwrap();
    h.sleep(SETTLE);
    assert_eq!(kill(h, child.pid().0, 15), Ok(0));
    h.sleep(SETTLE);
    assert_eq!(kill(h, child.pid().0, 15), Ok(0), "nobody has waited for it");
    let pid = child.pid().0;
    assert_eq!(child.wait(), Ok(Exit::Signal(15)));
    assert_eq!(kill(h, pid, 15), Err(Errno::SRCH));
}

fn children_start_anew<H: Host>(h: &H) {
    Log::default().handle(h, USR1, SaFlags::empty());
    h.ignore_signal(USR2, true).unwrap();
    sigprocmask(h, SIG_BLOCK, Some(SigSet::of(&[RT]))).unwrap();
    in_process(h, None, &[], |h| {
        assert_eq!(sigaction(h, PIPE, None).unwrap().handler, SigHandler::Ignore);
        for signal in [USR1, USR2, RT] {
            assert_eq!(sigaction(h, signal, None), Ok(Sigaction::default()));
        }
        assert_eq!(sigprocmask(h, SIG_SETMASK, None), Ok(SigSet::EMPTY));
    });
}

fn the_end_of_a_child_is_told<H: Host>(h: &H) {
    let log = Log::default();
    log.handle(h, CHLD, SaFlags::empty());
    let (a, _) = pair(h, STREAM);
    let child = h.process(ProcessSpec::new("child"), |h| {
        h.sleep(2 * SETTLE);
        0
    });
    assert_eq!(recv(h, a, 1, 0), Err(Errno::INTR));
    assert_eq!(log.take(), [CHLD]);
    assert_eq!(child.unwrap().wait(), Ok(Exit::Status(0)));
}

fn dispositions<H: Host>(h: &H) {
    assert_eq!(sigaction(h, PIPE, None).unwrap().handler, SigHandler::Ignore, "as Rust programs");
    for signal in [-1, 0, 32, 33, 65] {
        assert_eq!(sigaction(h, signal, None), Err(Errno::INVAL), "signal {signal}");
    }
    for signal in [9, 19] {
        assert_eq!(sigaction(h, signal, None), Ok(Sigaction::default()));
        assert_eq!(sigaction(h, signal, action(SigHandler::Default)), Err(Errno::INVAL));
        assert_eq!(h.on_signal(signal, SaFlags::empty(), |_| {}), Err(Errno::INVAL));
    }
    let log = Log::default();
    log.handle(h, USR1, SaFlags::RESTART);
    let old = Sigaction { handler: SigHandler::Handle, flags: SaFlags::RESTART };
    assert_eq!(sigaction(h, USR1, action(SigHandler::Ignore)), Ok(old));
    assert_eq!(kill(h, getpid(h), USR1), Ok(0));
    assert_eq!(log.take(), [0; 0]);
    log.handle(h, USR1, SaFlags::RESETHAND);
    assert_eq!(kill(h, getpid(h), USR1), Ok(0));
    assert_eq!(log.take(), [USR1], "before kill returns");
    assert_eq!(sigaction(h, USR1, None).unwrap().handler, SigHandler::Default);
    log.handle(h, USR1, SaFlags::empty());
    let nested = log.clone();
    let run = move |h: &H| {
        kill(h, getpid(h), USR1).unwrap();
        nested.0.lock().unwrap().push(USR2);
    };
    h.on_signal(USR2, SaFlags::empty(), run).unwrap();
    assert_eq!(kill(h, getpid(h), USR2), Ok(0));
    assert_eq!(log.take(), [USR1, USR2], "a handler makes calls as any code");
}

fn masks<H: Host>(h: &H) {
    let log = Log::default();
    log.handle(h, USR1, SaFlags::empty());
    let both = SigSet::of(&[USR1, USR2]);
    assert_eq!(sigprocmask(h, SIG_BLOCK, Some(SigSet::of(&[USR1]))), Ok(SigSet::EMPTY));
    assert_eq!(sigprocmask(h, SIG_BLOCK, Some(SigSet::of(&[USR2, 9, 19, 32, 33]))).unwrap().0, 512);
    assert_eq!(sigprocmask(h, 77, None), Ok(both));
    assert_eq!(sigprocmask(h, 3, Some(both)), Err(Errno::INVAL));
    let (how, set, mut old) = (3, Some(both), SigSet::EMPTY);
    h.call(&mut Call::Sigprocmask { how, set, old: &mut old }).unwrap_err();
    assert_eq!(old, SigSet::EMPTY, "left alone");
    assert_eq!(sigprocmask(h, SIG_UNBLOCK, Some(SigSet::of(&[USR2]))), Ok(both));
    for _ in 0..3 {
        assert_eq!(kill(h, getpid(h), USR1), Ok(0));
    }
    assert_eq!(log.take(), [0; 0]);
    assert_eq!(sigprocmask(h, SIG_SETMASK, Some(SigSet::EMPTY)).unwrap().0, 512);
    assert_eq!(log.take(), [USR1], "once, as it is unblocked");
    // An ignored signal that is blocked is kept, until it is ignored again.
    sigprocmask(h, SIG_BLOCK, Some(both)).unwrap();
    for (again, handled) in [(false, vec![USR1]), (true, vec![])] {
        h.ignore_signal(USR1, true).unwrap();
        kill(h, getpid(h), USR1).unwrap();
        if again {
            h.ignore_signal(USR1, true).unwrap();
        }
        log.handle(h, USR1, SaFlags::empty());
        sigprocmask(h, SIG_UNBLOCK, Some(both)).unwrap();
        assert_eq!(log.take(), handled);
        sigprocmask(h, SIG_BLOCK, Some(both)).unwrap();
    }
    let all = SigSet(!0);
    sigprocmask(h, SIG_SETMASK, Some(all)).unwrap();
    let unblockable = SigSet::of(&[9, 19, 32, 33]);
    assert_eq!(sigprocmask(h, SIG_SETMASK, Some(SigSet::EMPTY)).unwrap().0, !unblockable.0);
}

fn the_order_of_handlers<H: Host>(h: &H) {
    let log = Log::default();
    let signals = [RT, USR2, USR1, RT, USR2, RT];
    for signal in [USR1, USR2, RT] {
        log.handle(h, signal, SaFlags::empty());
    }
    sigprocmask(h, SIG_BLOCK, Some(SigSet::of(&signals))).unwrap();
    for signal in signals {
        kill(h, getpid(h), signal).unwrap();
    }
    sigprocmask(h, SIG_SETMASK, Some(SigSet::EMPTY)).unwrap();
    assert_eq!(log.take(), [USR1, USR2, RT, RT, RT], "the real-time ones are all kept");
    // The first that is handled says whether the call is made again.
    for (first, answer) in [(SaFlags::empty(), INTR), (SaFlags::RESTART, Ok(2))] {
        log.handle(h, USR1, first);
        log.handle(h, USR2, first ^ SaFlags::RESTART);
        let (a, b) = pair(h, STREAM);
        let killer = shortly(h, move |h| whatever(send(h, b, b"zz", 0)));
        assert_eq!(recv(h, a, 9, 0).map(|got| got.len()), answer);
        killer.join().unwrap();
        assert_eq!(log.take(), [USR1]);
    }
}

fn which_thread_takes_it<H: Host>(h: &H) {
    let log = Log::default();
    log.handle(h, USR1, SaFlags::empty());
    let (a, b) = pair(h, STREAM);
    let other = start(h, move |h| recv_count(h, a, 1, 0));
    let blocked = Some(SigSet::of(&[USR1]));
    sigprocmask(h, SIG_BLOCK, blocked).unwrap();
    kill(h, getpid(h), USR1).unwrap();
    assert_eq!(other.join(), Err(Errno::INTR), "the one that does not block it");
    assert_eq!(log.take(), [USR1]);
    // A thread begins with the mask of the one that starts it.
    let other = start(h, move |h| (sigprocmask(h, SIG_BLOCK, None), recv_count(h, a, 1, 0)));
    kill(h, getpid(h), USR1).unwrap();
    assert!(other.waits(h), "both block it");
    send(h, b, b"x", 0).unwrap();
    assert_eq!(other.join(), (Ok(SigSet::of(&[USR1])), Ok(1)));
    assert_eq!(log.take(), [0; 0]);
    sigprocmask(h, SIG_UNBLOCK, blocked).unwrap();
    assert_eq!(log.take(), [USR1], "it waited for the first that takes it");
}

fn who_may_send<H: Host>(h: &H) {
    let own = getpid(h);
    assert_eq!(kill(h, own, 65), Err(Errno::INVAL));
    assert_eq!(kill(h, own, -1), Err(Errno::INVAL));
    assert_eq!(kill(h, own, 0), Ok(0));
    assert_eq!(kill(h, 4_000_000, 65), Err(Errno::SRCH), "before EINVAL");
    as_stranger(h, &[], move |h| {
        assert_eq!(kill(h, own, 0), Err(Errno::PERM));
        assert_eq!(kill(h, own, USR1), Err(Errno::PERM));
        assert_eq!(kill(h, own, 65), Err(Errno::INVAL), "before EPERM");
        assert_eq!(kill(h, getpid(h), 0), Ok(0));
    });
}
