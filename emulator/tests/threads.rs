//! The model under OS threads: who waits is woken, who is killed runs no further.

use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use afunix::net::{AsSocket, UnixDatagram, UnixListener, UnixStream};
use afunix::{Address, Backend, Call, Errno, Exit, Host, ProcessSpec, Readiness, Signal};
use afunix_emulator::Threads;

fn quiet() -> Threads {
    let host = Threads::new();
    host.set_echo(false);
    host
}

fn spec(name: &str) -> ProcessSpec<Threads> {
    ProcessSpec::new(name)
}

/// Long enough for another thread to have gone to sleep in its call, as a rule. No case depends on
/// it.
fn let_others_wait() {
    std::thread::sleep(Duration::from_millis(20));
}

#[test]
fn a_blocked_receive_is_woken_by_a_send() {
    let host = quiet();
    let (mut left, mut right) = UnixStream::pair(&host).unwrap();
    let reader = host.spawn("reader", move || {
        let mut bytes = [0; 5];
        right.read_exact(&mut bytes).map(|()| bytes)
    });
    let_others_wait();
    left.write_all(b"hello").unwrap();
    assert_eq!(&reader.join().unwrap().unwrap(), b"hello");
}

#[test]
fn a_blocked_send_is_woken_by_a_receive() {
    let host = quiet();
    let (mut left, mut right) = UnixStream::pair(&host).unwrap();
    let writer = host.spawn("writer", move || left.write_all(&vec![7; 1 << 20]));
    let_others_wait();
    let mut all = Vec::new();
    right.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 1 << 20);
    writer.join().unwrap().unwrap();
}

#[test]
fn accept_waits_for_a_connection() {
    let host = quiet();
    let address = Address::path("/tmp/socket").unwrap();
    let listener = UnixListener::bind(&host, &address).unwrap();
    let server = host.spawn("server", move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        heard
    });
    let_others_wait();
    let mut client = UnixStream::connect(&host, &address).unwrap();
    client.write_all(b"hello").unwrap();
    drop(client);
    assert_eq!(server.join().unwrap(), "hello");
}

#[test]
fn connect_waits_for_room_in_the_backlog() {
    let host = quiet();
    let address = Address::abstract_name("full").unwrap();
    let listener = UnixListener::bind_with_backlog(&host, &address, 0).unwrap();
    let _first = UnixStream::connect(&host, &address).unwrap();
    let (other, to) = (host.clone(), address.clone());
    let second = host.spawn("second", move || UnixStream::connect(&other, &to).map(drop));
    let_others_wait();
    listener.accept().unwrap();
    second.join().unwrap().unwrap();
}

#[test]
fn poll_and_sleep_end_by_time() {
    let host = quiet();
    let (left, right) = UnixStream::pair(&host).unwrap();
    let time = Duration::from_millis(30);
    let before = Instant::now();
    assert!(right.poll(Readiness::IN, Some(time)).unwrap().is_empty());
    assert!(before.elapsed() >= time);
    let before = Instant::now();
    host.sleep(time);
    assert!(before.elapsed() >= time);
    right.set_read_timeout(Some(time)).unwrap();
    let error = (&right).read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    drop(left);
}

#[test]
fn a_poll_is_woken_before_its_time() {
    let host = quiet();
    let (mut left, right) = UnixStream::pair(&host).unwrap();
    let poller =
        host.spawn("poller", move || right.poll(Readiness::IN, Some(Duration::from_secs(60))));
    let_others_wait();
    left.write_all(b"x").unwrap();
    assert!(poller.join().unwrap().unwrap().contains(Readiness::IN));
}

#[test]
fn a_child_returns_its_status_and_the_waiter_is_woken() {
    let host = quiet();
    let child = host
        .process(spec("child"), |host| {
            host.sleep(Duration::from_millis(20));
            300
        })
        .unwrap();
    assert_ne!(child.pid(), host.pid());
    assert_eq!(child.wait(), Ok(Exit::Status(300 & 0xff)));
}

#[test]
fn a_child_that_panics_exits_101() {
    let host = quiet();
    let child = host.process(spec("child"), |_| panic!("on purpose")).unwrap();
    assert_eq!(child.wait(), Ok(Exit::Status(101)));
    let thread = host.spawn("thread", || panic!("on purpose, too"));
    assert_eq!(thread.join().map(|()| 0).unwrap_err().0, "on purpose, too");
}

#[test]
fn a_child_has_what_it_was_given() {
    let host = quiet();
    let (mut mine, given) = UnixStream::pair(&host).unwrap();
    let child = host
        .process(spec("child").fd(given, 5), |host| {
            assert!(host.inherited(4).is_none());
            let mut stream = UnixStream::from(host.inherited(5).unwrap());
            assert!(host.inherited(5).is_none());
            stream.write_all(b"hello").unwrap();
            0
        })
        .unwrap();
    let mut heard = String::new();
    // The end of file comes: the parent's copy was moved.
    mine.read_to_string(&mut heard).unwrap();
    assert_eq!((heard.as_str(), child.wait()), ("hello", Ok(Exit::Status(0))));
}

#[test]
fn a_blocked_process_can_be_killed_with_all_its_threads() {
    let host = quiet();
    let (mut mine, given) = UnixStream::pair(&host).unwrap();
    let ran_on = Arc::new(AtomicBool::new(false));
    let dropped = Arc::new(AtomicUsize::new(0));
    let (child_ran_on, child_dropped) = (Arc::clone(&ran_on), Arc::clone(&dropped));
    let child = host
        .process(spec("child").fd(given, 3), move |host| {
            let stream = UnixStream::from(host.inherited(3).unwrap());
            let ran_on = Arc::clone(&child_ran_on);
            let counted = Counted(Arc::clone(&child_dropped));
            let (second, mut other) = UnixStream::pair(host).unwrap();
            let thread = host.spawn("second", move || {
                let _counted = counted;
                // The descriptor is closed by a destructor that runs while the thread unwinds.
                let _second = second.try_clone();
                let _ = other.read(&mut [0]);
                ran_on.store(true, Ordering::SeqCst);
            });
            let counted = Counted(Arc::clone(&child_dropped));
            (&stream).write_all(b"x").unwrap();
            let _ = (&stream).read(&mut [0]);
            child_ran_on.store(true, Ordering::SeqCst);
            let _ = (thread.join(), counted);
            0
        })
        .unwrap();
    mine.read_exact(&mut [0]).unwrap();
    let_others_wait();
    child.kill(Signal::Kill).unwrap();
    // Its descriptors are closed: the peer hears of it.
    assert_eq!(mine.read(&mut [0]).unwrap(), 0);
    assert_eq!(child.wait(), Ok(Exit::Signal(Signal::Kill as i32)));
    let patience = Instant::now() + Duration::from_secs(10);
    while dropped.load(Ordering::SeqCst) < 2 && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 2, "both threads have unwound");
    assert!(!ran_on.load(Ordering::SeqCst), "no thread of it ran on");
}

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn the_end_of_a_process_ends_its_other_threads() {
    let host = quiet();
    let (tell, hear) = mpsc::channel::<()>();
    let child = host
        .process(spec("child"), move |host| {
            let tell = tell.clone();
            let (left, mut right) = UnixStream::pair(host).unwrap();
            host.spawn("blocked", move || {
                let (_left, _tell) = (left, tell);
                let _ = right.read(&mut [0]);
            });
            7
        })
        .unwrap();
    assert_eq!(child.wait(), Ok(Exit::Status(7)));
    // The channel closes when the blocked thread has unwound.
    assert_eq!(
        hear.recv_timeout(Duration::from_secs(10)),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
}

#[test]
fn a_process_that_kills_itself_runs_no_further() {
    let report = Threads::run(|host| {
        host.set_echo(false);
        let pid = host.pid();
        host.call(&mut Call::Kill { pid, signal: Signal::Term as i32 }).unwrap();
        host.print("it ran on");
        0
    });
    assert_eq!(report.exit, Exit::Signal(Signal::Term as i32));
    assert!(report.output.is_empty());
}

#[test]
fn a_handle_of_another_process_is_refused_by_name() {
    let host = quiet();
    let captured = host.clone();
    let (tell, hear) = mpsc::channel();
    let child = host
        .process(spec("child"), move |_| {
            let use_it = || UnixStream::pair(&captured).map(drop);
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(use_it)).unwrap_err();
            tell.send(panic.downcast_ref::<String>().unwrap().clone()).unwrap();
            0
        })
        .unwrap();
    let message = hear.recv().unwrap();
    assert!(message.contains("process 1 (main)"), "{message}");
    assert!(message.contains("(child)"), "{message}");
    assert_eq!(child.wait(), Ok(Exit::Status(0)));
}

#[test]
fn a_socket_that_a_childs_body_captured_closes_with_it() {
    let host = quiet();
    let (captured, mut mine) = UnixStream::pair(&host).unwrap();
    let body = move |_: &Threads| {
        let _ = &captured;
        0
    };
    let child = host.process(spec("child"), body).unwrap();
    assert_eq!(mine.read(&mut [0]).unwrap(), 0);
    assert_eq!(child.wait(), Ok(Exit::Status(0)));
}

#[test]
fn a_thread_that_the_host_did_not_start_is_taken_in() {
    let host = quiet();
    let (mut left, mut right) = UnixStream::pair(&host).unwrap();
    let reader = std::thread::spawn(move || right.read(&mut [0; 8]));
    let_others_wait();
    left.write_all(b"x").unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), 1);
    host.with_machine(|machine| machine.check()).unwrap();
}

#[test]
fn a_run_reports_what_was_printed_and_written() {
    let report = Threads::run(|host| {
        host.set_echo(false);
        host.print("printed");
        let data = afunix::Segment::Bytes(b"written\n");
        let fd = afunix::net::Fd::STDOUT;
        host.call(&mut Call::Write { fd, data, progress: 0 }).unwrap();
        // A child that would never end is killed when the first process has ended.
        let forever = |host: &Threads| -> i32 {
            loop {
                host.sleep(Duration::from_secs(1000));
            }
        };
        host.process(spec("child"), forever).unwrap();
        3
    });
    assert_eq!(report.exit, Exit::Status(3));
    assert_eq!(String::from_utf8(report.output).unwrap(), "printed\nwritten\n");
}

#[test]
fn datagrams_wait_for_room_and_keep_their_order() {
    let host = quiet();
    let (left, right) = UnixDatagram::pair(&host).unwrap();
    let sender = host.spawn("sender", move || {
        for number in 0..2000u32 {
            left.send(&number.to_ne_bytes()).unwrap();
        }
    });
    for number in 0..2000u32 {
        let mut bytes = [0; 4];
        right.recv(&mut bytes).unwrap();
        assert_eq!(u32::from_ne_bytes(bytes), number);
    }
    sender.join().unwrap();
}

#[test]
fn two_threads_exchange_many_messages() {
    const ROUNDS: u32 = 20_000;
    let host = quiet();
    let (mut left, mut right) = UnixStream::pair(&host).unwrap();
    let echo = host.spawn("echo", move || {
        let mut bytes = [0; 4];
        while right.read_exact(&mut bytes).is_ok() {
            right.write_all(&bytes).unwrap();
        }
    });
    for round in 0..ROUNDS {
        left.write_all(&round.to_ne_bytes()).unwrap();
        let mut bytes = [0; 4];
        left.read_exact(&mut bytes).unwrap();
        assert_eq!(u32::from_ne_bytes(bytes), round);
    }
    drop(left);
    echo.join().unwrap();
}

#[test]
fn many_pairs_at_once() {
    let host = quiet();
    let threads: Vec<_> = (0..16u8)
        .map(|number| {
            let host = host.clone();
            host.clone().spawn("pair", move || {
                let (mut left, mut right) = UnixStream::pair(&host).unwrap();
                let writer = host.spawn("writer", move || left.write_all(&vec![number; 600_000]));
                let mut all = Vec::new();
                right.read_to_end(&mut all).unwrap();
                writer.join().unwrap().unwrap();
                all.len() == 600_000 && all.iter().all(|byte| *byte == number)
            })
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
}

#[test]
fn malformed_specs_are_refused() {
    let host = quiet();
    let (left, right) = UnixStream::pair(&host).unwrap();
    let twice = spec("child").fd(left, 5).fd(right, 5);
    assert_eq!(host.process(twice, |_| 0).unwrap_err(), Errno::INVAL);
}

#[test]
fn processes_killed_at_any_moment_leave_a_sound_machine() {
    let host = quiet();
    for round in 0..60u64 {
        let (mut mine, given) = UnixStream::pair(&host).unwrap();
        let child = host
            .process(spec("child").fd(given, 3), |host| {
                let stream = UnixStream::from(host.inherited(3).unwrap());
                let copy = stream.try_clone().unwrap();
                let reader = host.spawn("reader", move || {
                    std::io::copy(&mut &copy, &mut std::io::sink()).map(drop)
                });
                loop {
                    let (left, right) = UnixStream::pair(host).unwrap();
                    let message = afunix::net::Message::new(b"x");
                    let fds = [left.as_fd(), right.as_fd()];
                    if stream.send_message(&message.fds(&fds)).is_err() {
                        return reader.join().is_ok() as i32;
                    }
                }
            })
            .unwrap();
        mine.write_all(&[1; 5000]).unwrap();
        let received = mine.recv_message(&mut [0; 8], 2).unwrap();
        assert_eq!(received.fds.len(), 2);
        std::thread::sleep(Duration::from_micros(round * 37 % 1500));
        child.kill(Signal::Kill).unwrap();
        assert_eq!(child.wait(), Ok(Exit::Signal(Signal::Kill as i32)));
        let mut rest = Vec::new();
        // SHUT 5: it left data unread, or it did not.
        let end = mine.read_to_end(&mut rest);
        assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
        host.with_machine(|machine| machine.check()).unwrap();
    }
}

#[test]
fn a_model_that_breaks_says_so_to_those_who_wait() {
    let host = quiet();
    let (left, mut right) = UnixStream::pair(&host).unwrap();
    let reader = host.spawn("reader", move || right.read(&mut [0]).map(drop).is_ok());
    let_others_wait();
    let broken = host.clone();
    let breaker = std::thread::spawn(move || broken.with_machine(|_| panic!("on purpose")));
    assert!(breaker.join().is_err());
    let panicked = reader.join().unwrap_err();
    assert!(panicked.0.contains("another thread panicked inside the model"), "{panicked}");
    // Its close fails, and harms nobody.
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(left)));
    assert!(dropped.is_err());
}
