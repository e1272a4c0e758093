//! What a machine does with processes, threads, descriptors and files: scripts, one behaviour each.

use std::time::Duration;

use afunix::call::Fcntl;
use afunix::{
    Call, Credentials, Errno, Exit, Limits, NameOut, OpenFlags, Pid, PollFd, Readiness, RecvFlags,
    SOCK_DGRAM, SOCK_STREAM, SaFlags, Segment, SegmentMut, SigHandler, Sigaction, Signal,
    SocketFlags, Tid,
};
use afunix_model::{Effect, Profile, Resume, Spawn, Step};

use crate::numbers::fd;
use crate::support::{MAIN, Rig};

const MAIN_PID: Pid = Pid(1);

fn spawn(rig: &mut Rig, spec: &Spawn<'_>) -> (Pid, Tid) {
    let ids = rig.machine.spawn(MAIN_PID, spec).expect("a child");
    rig.drain();
    ids
}

#[test]
fn a_new_machine_has_main_its_console_and_a_few_directories() {
    let mut rig = Rig::new();
    assert_eq!(rig.entries(MAIN, "/"), Ok(vec!["dev".into(), "run".into(), "tmp".into()]));
    assert_eq!(rig.stat(MAIN, "/tmp").unwrap().mode, 0o041777);
    assert_eq!(rig.write(MAIN, 1, b"hello\n"), Ok(6));
    assert_eq!(rig.write(MAIN, 2, b"!"), Ok(1));
    assert_eq!(rig.machine.take_console(), b"hello\n!");
    assert_eq!(rig.read(MAIN, 0), Ok(vec![]));
    assert_eq!(rig.call(MAIN, &mut Call::Getpid), Ok(1));
    assert_eq!(rig.socket(MAIN, SOCK_STREAM), 3);
}

/// CREATE 4: in socket before EMFILE, in socketpair after the numbers, in connect before the
/// look-up.
#[test]
fn sockets_are_limited_in_number() {
    let mut rig = Rig::of(Profile { sockets_max: 4, ..Profile::linux_6_18() });
    let [one, other] = rig.pair(MAIN, SOCK_STREAM);
    let listener = rig.socket(MAIN, SOCK_STREAM);
    rig.bind(MAIN, listener, "/tmp/s").unwrap();
    rig.listen(MAIN, listener, 1).unwrap();
    let mut fds = [-1; 2];
    let (domain, kind, protocol) = (afunix::AF_UNIX, SOCK_STREAM, 0);
    let mut pair = Call::Socketpair { domain, kind, protocol, fds: &mut fds };
    assert_eq!(rig.call(MAIN, &mut pair), Err(Errno::NFILE), "one more fits, two do not");
    assert_eq!(fds, [6, 7]);
    let client = rig.socket(MAIN, SOCK_STREAM);
    let mut limits = Limits::default();
    let new = Some(Limits { descriptors: 7 });
    rig.call(MAIN, &mut Call::Prlimit { new, old: &mut limits }).unwrap();
    let mut socket = Call::Socket { domain, kind, protocol };
    assert_eq!(rig.call(MAIN, &mut socket), Err(Errno::NFILE));
    for path in ["/tmp/s", "/tmp/none"] {
        assert_eq!(rig.connect(MAIN, client, path), Err(Errno::NFILE));
    }
    rig.close(MAIN, one).unwrap();
    assert_eq!(rig.connect(MAIN, client, "/tmp/s"), Err(Errno::NFILE), "its peer keeps it");
    rig.close(MAIN, other).unwrap();
    assert_eq!(rig.connect(MAIN, client, "/tmp/s"), Ok(0));
    assert_eq!(rig.call(MAIN, &mut socket), Ok(3), "accepting takes no more");
    assert_eq!(rig.accept(MAIN, listener), Ok(4));
}

#[test]
fn descriptors_are_the_lowest_free_numbers() {
    let mut rig = Rig::new();
    assert_eq!(rig.pair(MAIN, SOCK_STREAM), [3, 4]);
    assert_eq!(rig.pair(MAIN, SOCK_STREAM), [5, 6]);
    rig.close(MAIN, 4).unwrap();
    assert_eq!(rig.call(MAIN, &mut Call::Dup { fd: fd(3) }), Ok(4));
    assert_eq!(rig.fcntl(MAIN, 3, Fcntl::Dupfd(100)), Ok(100));
    assert_eq!(rig.fcntl(MAIN, 3, Fcntl::DupfdCloexec(100)), Ok(101));
    assert_eq!(rig.fcntl(MAIN, 101, Fcntl::Getfd), Ok(1));
    assert_eq!(rig.fcntl(MAIN, 3, Fcntl::Dupfd(1024)), Err(Errno::INVAL));
    assert_eq!(rig.call(MAIN, &mut Call::Dup2 { fd: fd(3), new: fd(50) }), Ok(50));
    assert_eq!(rig.call(MAIN, &mut Call::Dup2 { fd: fd(3), new: fd(3) }), Ok(3));
    assert_eq!(rig.call(MAIN, &mut Call::Dup2 { fd: fd(99), new: fd(99) }), Err(Errno::BADF));
    assert_eq!(rig.call(MAIN, &mut Call::Dup2 { fd: fd(3), new: fd(1024) }), Err(Errno::BADF));
    let mut dup3 = Call::Dup3 { fd: fd(3), new: fd(3), flags: 0 };
    assert_eq!(rig.call(MAIN, &mut dup3), Err(Errno::INVAL));
    let mut limits = Limits::default();
    let new = Some(Limits { descriptors: 7 });
    rig.call(MAIN, &mut Call::Prlimit { new, old: &mut limits }).unwrap();
    assert_eq!(limits.descriptors, 1024);
    assert_eq!(rig.call(MAIN, &mut Call::Dup { fd: fd(3) }), Err(Errno::MFILE));
}

#[test]
fn a_child_gets_what_is_moved_to_it_and_nothing_else() {
    let mut rig = Rig::new();
    let [ours, theirs] = rig.pair(MAIN, SOCK_STREAM);
    let spec = Spawn { name: "child", fds: &[(theirs, 7)], ..Spawn::default() };
    let (pid, tid) = spawn(&mut rig, &spec);
    assert_eq!(rig.write(MAIN, theirs, b"x"), Err(Errno::BADF));
    assert_eq!(rig.write(tid, ours, b"x"), Err(Errno::BADF));
    assert_eq!(rig.write(tid, 7, b"hello"), Ok(5));
    rig.machine.exit(pid, Exit::Status(3));
    rig.drain();
    assert!(rig.effects.contains(&Effect::Exited { process: pid, exit: Exit::Status(3) }));
    assert_eq!(rig.read(MAIN, ours), Ok(b"hello".to_vec()));
    assert_eq!(rig.read(MAIN, ours), Ok(vec![]));
    let mut status = None;
    assert_eq!(rig.call(MAIN, &mut Call::Waitpid { pid, status: &mut status }), Ok(pid.0 as usize));
    assert_eq!(status, Some(Exit::Status(3)));
    let mut again = Call::Waitpid { pid, status: &mut status };
    assert_eq!(rig.call(MAIN, &mut again), Err(Errno::CHILD));
}

#[test]
fn a_child_that_cannot_be_made_changes_nothing() {
    let mut rig = Rig::new();
    let [a, b] = rig.pair(MAIN, SOCK_STREAM);
    for (fds, errno) in [
        (&[(a, 2)][..], Errno::INVAL),
        (&[(a, 5), (b, 5)], Errno::INVAL),
        (&[(a, 5), (99, 6)], Errno::BADF),
        (&[(a, i32::MAX)], Errno::BADF),
    ] {
        let spec = Spawn { fds, ..Spawn::default() };
        assert_eq!(rig.machine.spawn(MAIN_PID, &spec), Err(errno));
        rig.drain();
    }
    let user = Some(Credentials::user(1000));
    let (child, _) = spawn(&mut rig, &Spawn { user: user.clone(), ..Spawn::default() });
    let again = Spawn { user, ..Spawn::default() };
    assert_eq!(rig.machine.spawn(child, &again), Err(Errno::PERM));
    assert_eq!(rig.write(MAIN, a, b"x"), Ok(1));
}

#[test]
fn a_forked_child_shares_open_files() {
    let mut rig = Rig::new();
    rig.make_file(MAIN, "/tmp/f", b"abcdef");
    let file = rig.open(MAIN, "/tmp/f", OpenFlags::empty()).unwrap() as i32;
    let (_, child) = rig.machine.fork(MAIN_PID).unwrap();
    rig.drain();
    let mut two = [0; 2];
    let data = SegmentMut::Bytes(&mut two);
    rig.call(child, &mut Call::Read { fd: fd(file), data, progress: 0 }).unwrap();
    assert_eq!(rig.read(MAIN, file), Ok(b"cdef".to_vec()));
}

#[test]
fn waitpid_waits_for_the_end_of_a_child() {
    let mut rig = Rig::new();
    let (pid, _) = spawn(&mut rig, &Spawn::default());
    let mut status = None;
    let mut call = Call::Waitpid { pid, status: &mut status };
    let ticket = rig.blocks(MAIN, &mut call);
    rig.machine.exit(pid, Exit::Status(0));
    rig.drain();
    assert!(rig.woken(ticket));
    assert_eq!(rig.resume(MAIN, &mut call, Resume::Woken(ticket)), Ok(pid.0 as usize));
    assert_eq!(status, Some(Exit::Status(0)));
}

#[test]
fn kill_asks_permission_and_ends_by_default() {
    let mut rig = Rig::new();
    let user = |id| Spawn { user: Some(Credentials::user(id)), ..Spawn::default() };
    let (a, a_tid) = spawn(&mut rig, &user(1000));
    let (_, b_tid) = spawn(&mut rig, &user(1001));
    let term = Signal::Term as i32;
    assert_eq!(rig.call(b_tid, &mut Call::Kill { pid: a, signal: term }), Err(Errno::PERM));
    assert_eq!(rig.call(MAIN, &mut Call::Kill { pid: Pid(77), signal: 0 }), Err(Errno::SRCH));
    assert_eq!(rig.call(MAIN, &mut Call::Kill { pid: a, signal: 65 }), Err(Errno::INVAL));
    assert_eq!(rig.call(MAIN, &mut Call::Kill { pid: a, signal: 0 }), Ok(0));
    let urgent = Signal::Urg as i32;
    assert_eq!(rig.call(MAIN, &mut Call::Kill { pid: a, signal: urgent }), Ok(0));
    assert!(rig.machine.is_alive(a));
    let new = Some(Sigaction { handler: SigHandler::Handle, flags: SaFlags::empty() });
    let mut old = Sigaction::default();
    rig.call(a_tid, &mut Call::Sigaction { signal: term, new, old: &mut old }).unwrap();
    assert_eq!(rig.call(MAIN, &mut Call::Kill { pid: a, signal: term }), Ok(0));
    assert_eq!(rig.machine.next_signal(a_tid), Some(term));
    assert_eq!(rig.machine.next_signal(a_tid), None);
    let kill = Signal::Kill as i32;
    assert_eq!(rig.call(MAIN, &mut Call::Kill { pid: a, signal: kill }), Ok(0));
    assert!(!rig.machine.is_alive(a));
    // A zombie takes signals.
    assert_eq!(rig.call(MAIN, &mut Call::Kill { pid: a, signal: kill }), Ok(0));
    let mut status = None;
    rig.call(MAIN, &mut Call::Waitpid { pid: a, status: &mut status }).unwrap();
    assert_eq!(status, Some(Exit::Signal(kill)));
}

#[test]
fn a_process_that_kills_itself_is_told_so() {
    let mut rig = Rig::new();
    let (pid, tid) = spawn(&mut rig, &Spawn::default());
    let mut call = Call::Kill { pid, signal: Signal::Kill as i32 };
    assert!(matches!(rig.step(tid, &mut call, Resume::First), Step::Done(_)));
    assert!(rig.effects.contains(&Effect::Exited { process: pid, exit: Exit::Signal(9) }));
    assert_eq!(rig.call(tid, &mut Call::Getpid), Err(Errno::SRCH));
}

#[test]
fn a_call_in_progress_holds_its_file() {
    // VFS 5
    let mut rig = Rig::new();
    let [a, b] = rig.pair(MAIN, SOCK_STREAM);
    let reader = rig.machine.start_thread(MAIN_PID, "reader");
    let mut byte = [0; 1];
    let data = SegmentMut::Bytes(&mut byte);
    let mut call = Call::Read { fd: fd(a), data, progress: 0 };
    let ticket = rig.blocks(reader, &mut call);
    rig.close(MAIN, a).unwrap();
    assert!(!rig.woken(ticket));
    assert_eq!(rig.write(MAIN, b, b"x"), Ok(1));
    assert_eq!(rig.resume(reader, &mut call, Resume::Woken(ticket)), Ok(1));
    assert_eq!(rig.read(MAIN, b), Ok(vec![]));
}

#[test]
fn a_blocked_accept_sets_its_number_aside() {
    let mut rig = Rig::new();
    let listener = rig.socket(MAIN, SOCK_STREAM);
    rig.bind(MAIN, listener, "/tmp/s").unwrap();
    rig.listen(MAIN, listener, 5).unwrap();
    let server = rig.machine.start_thread(MAIN_PID, "server");
    let mut name = NameOut::nothing();
    let flags = SocketFlags::empty();
    let mut call = Call::Accept4 { fd: fd(listener), name: &mut name, flags };
    let ticket = rig.blocks(server, &mut call);
    assert_eq!(rig.call(MAIN, &mut Call::Dup2 { fd: fd(0), new: fd(4) }), Err(Errno::BUSY));
    let client = rig.socket(MAIN, SOCK_STREAM);
    assert_eq!(client, 5);
    rig.connect(MAIN, client, "/tmp/s").unwrap();
    assert_eq!(rig.resume(server, &mut call, Resume::Woken(ticket)), Ok(4));
}

#[test]
fn poll_waits_in_many_queues_and_looks_again() {
    let mut rig = Rig::new();
    let [a, b] = rig.pair(MAIN, SOCK_STREAM);
    let [c, _d] = rig.pair(MAIN, SOCK_STREAM);
    let poller = rig.machine.start_thread(MAIN_PID, "poller");
    let mut fds = [a, c].map(|number| PollFd::new(fd(number), Readiness::IN));
    let mut call = Call::Poll { fds: &mut fds, timeout: Some(Duration::from_secs(1)), mask: None };
    let ticket = rig.blocks(poller, &mut call);
    rig.write(MAIN, b, b"x").unwrap();
    assert!(rig.woken(ticket));
    // Somebody else is faster.
    rig.read(MAIN, a).unwrap();
    let again = rig.step(poller, &mut call, Resume::Woken(ticket));
    let Step::Blocked { ticket, deadline, .. } = again else { panic!("nothing is ready") };
    assert_eq!(deadline, Some(Duration::from_secs(1)));
    rig.now = Duration::from_secs(1);
    assert_eq!(rig.resume(poller, &mut call, Resume::TimedOut(ticket)), Ok(0));
    let mut bad = [PollFd::new(fd(55), Readiness::IN)];
    rig.call(poller, &mut Call::Poll { fds: &mut bad, timeout: None, mask: None }).unwrap();
    assert_eq!(bad[0].revents, Readiness::NVAL);
}

#[test]
fn descriptors_travel_and_end_with_their_last_reference() {
    let mut rig = Rig::new();
    let [a, b] = rig.pair(MAIN, SOCK_STREAM);
    let [c, d] = rig.pair(MAIN, SOCK_STREAM);
    rig.send_rights(MAIN, a, &[c]).unwrap();
    rig.close(MAIN, c).unwrap();
    assert_eq!(rig.write(MAIN, d, b"y"), Ok(1));
    let (bytes, fds, _) = rig.receive_rights(MAIN, b, 64).unwrap();
    assert_eq!((bytes, fds.clone()), (b"x".to_vec(), vec![c]));
    assert_eq!(rig.read(MAIN, fds[0]), Ok(b"y".to_vec()));
    rig.send_rights(MAIN, a, &[c]).unwrap();
    rig.close(MAIN, c).unwrap();
    // Nobody will receive it: the peer of what was in flight sees the end.
    rig.close(MAIN, b).unwrap();
    assert_eq!(rig.read(MAIN, d), Ok(vec![]));
}

#[test]
fn a_full_table_cuts_what_is_received() {
    // RCMSG 5
    let mut rig = Rig::new();
    let [a, b] = rig.pair(MAIN, SOCK_STREAM);
    rig.send_rights(MAIN, a, &[0, 1, 2]).unwrap();
    let new = Some(Limits { descriptors: 6 });
    rig.call(MAIN, &mut Call::Prlimit { new, old: &mut Limits::default() }).unwrap();
    let (_, fds, flags) = rig.receive_rights(MAIN, b, 64).unwrap();
    assert_eq!(fds, [5]);
    assert!(flags.contains(RecvFlags::CTRUNC));
}

#[test]
fn cycles_in_flight_are_collected_by_a_later_close() {
    // GC 3
    let mut rig = Rig::new();
    let [a, b] = rig.pair(MAIN, SOCK_STREAM);
    rig.send_rights(MAIN, a, &[a]).unwrap();
    rig.send_rights(MAIN, b, &[b]).unwrap();
    rig.close(MAIN, a).unwrap();
    rig.close(MAIN, b).unwrap();
    assert_eq!(rig.machine.snapshot(rig.now).sockets.len(), 2);
    let other = rig.socket(MAIN, SOCK_DGRAM);
    rig.close(MAIN, other).unwrap();
    assert_eq!(rig.machine.snapshot(rig.now).sockets.len(), 0);
}

#[test]
fn a_killed_process_leaves_its_socket_file() {
    // VFS 3, BIND 6
    let mut rig = Rig::new();
    let (pid, tid) = spawn(&mut rig, &Spawn::default());
    let listener = rig.socket(tid, SOCK_STREAM);
    rig.bind(tid, listener, "/run/s").unwrap();
    rig.listen(tid, listener, 5).unwrap();
    let mut name = NameOut::nothing();
    let flags = SocketFlags::empty();
    let mut accept = Call::Accept4 { fd: fd(listener), name: &mut name, flags };
    rig.blocks(tid, &mut accept);
    rig.call(MAIN, &mut Call::Kill { pid, signal: Signal::Kill as i32 }).unwrap();
    let socket = rig.socket(MAIN, SOCK_STREAM);
    assert_eq!(rig.connect(MAIN, socket, "/run/s"), Err(Errno::CONNREFUSED));
    assert_eq!(rig.bind(MAIN, socket, "/run/s"), Err(Errno::ADDRINUSE));
    rig.unlink(MAIN, "/run/s").unwrap();
    assert_eq!(rig.bind(MAIN, socket, "/run/s"), Ok(0));
}

#[test]
fn bind_makes_the_inode_with_mode_and_owner() {
    // BIND 1, 3; CREATE 6
    let mut rig = Rig::new();
    let user = Some(Credentials::user(1000));
    let (_, tid) = spawn(&mut rig, &Spawn { user, umask: Some(0o027), ..Spawn::default() });
    let socket = rig.socket(tid, SOCK_DGRAM);
    rig.call(tid, &mut Call::Fchmod { fd: fd(socket), mode: 0o666 }).unwrap();
    rig.bind(tid, socket, "/tmp/s").unwrap();
    let stat = rig.stat(tid, "/tmp/s").unwrap();
    assert_eq!((stat.mode, stat.uid, stat.gid), (0o140640, 1000, 1000));
    assert_eq!(rig.bind(tid, socket, "/tmp/t"), Err(Errno::INVAL));
    assert_eq!(rig.stat(tid, "/tmp/t"), Err(Errno::NOENT));
    assert_eq!(rig.bind(tid, socket, "/tmp/s"), Err(Errno::ADDRINUSE));
    assert_eq!(rig.bind(tid, socket, "/run/s"), Err(Errno::ACCES));
}

#[test]
fn a_sleeper_ends_by_time_or_by_signal() {
    let mut rig = Rig::new();
    let mut call = Call::Nanosleep { time: Duration::from_millis(5) };
    let ticket = rig.blocks(MAIN, &mut call);
    assert_eq!(rig.resume(MAIN, &mut call, Resume::Interrupted(ticket)), Err(Errno::INTR));
    let ticket = rig.blocks(MAIN, &mut call);
    rig.now = Duration::from_millis(5);
    assert_eq!(rig.resume(MAIN, &mut call, Resume::TimedOut(ticket)), Ok(0));
}

#[test]
fn a_snapshot_shows_who_waits_for_what() {
    let mut rig = Rig::new();
    let [a, b] = rig.pair(MAIN, SOCK_STREAM);
    let big = vec![7; 1 << 20];
    let data = Segment::Bytes(&big);
    rig.now = Duration::from_millis(3);
    rig.blocks(MAIN, &mut Call::Write { fd: fd(a), data, progress: 0 });
    let snapshot = rig.machine.snapshot(rig.now);
    let wait = snapshot.processes[0].threads[0].wait.as_ref().expect("it waits");
    assert_eq!((wait.call.as_str(), wait.fd, wait.since), ("write", Some(a), 3_000_000));
    assert_eq!(wait.reason, afunix::snapshot::WaitReason::Memory);
    assert_eq!(snapshot.sockets.len(), 2);
    let receiver = snapshot.sockets.iter().find(|socket| socket.receive.bytes > 0);
    assert_eq!(receiver.map(|socket| socket.receive.bytes), Some(219_264));
    let _ = b;
}

#[test]
fn events_say_what_flows_and_who_wakes_whom() {
    use afunix::trace::EventKind;
    let mut rig = Rig::new();
    let [a, b] = rig.pair(MAIN, SOCK_STREAM);
    rig.machine.observe(true);
    let reader = rig.machine.start_thread(MAIN_PID, "reader");
    let mut byte = [0; 1];
    let data = SegmentMut::Bytes(&mut byte);
    let mut call = Call::Read { fd: fd(a), data, progress: 0 };
    let ticket = rig.blocks(reader, &mut call);
    rig.write(MAIN, b, b"x").unwrap();
    rig.resume(reader, &mut call, Resume::Woken(ticket)).unwrap();
    let mut kinds = Vec::new();
    while let Some(event) = rig.machine.next_event() {
        kinds.push((event.thread, event.kind));
    }
    assert!(matches!(kinds[0], (MAIN, EventKind::Queued { bytes: 1, files: 0, .. })));
    assert_eq!(kinds[1], (reader, EventKind::Woken { by: Some(1) }));
    assert!(matches!(kinds[2], (tid, EventKind::Taken { bytes: 1, .. }) if tid == reader));
}

#[test]
fn accept_looks_for_room_before_it_looks_at_the_socket() {
    // LISTEN 4, as probed: EMFILE comes right after the flags.
    let mut rig = Rig::new();
    let socket = rig.socket(MAIN, SOCK_DGRAM);
    assert_eq!(rig.accept(MAIN, socket), Err(Errno::OPNOTSUPP));
    assert_eq!(rig.accept(MAIN, 0), Err(Errno::NOTSOCK));
    let new = Some(Limits { descriptors: 4 });
    rig.call(MAIN, &mut Call::Prlimit { new, old: &mut Limits::default() }).unwrap();
    assert_eq!(rig.accept(MAIN, socket), Err(Errno::MFILE));
    assert_eq!(rig.accept(MAIN, 0), Err(Errno::MFILE));
    assert_eq!(rig.accept(MAIN, 9), Err(Errno::BADF));
}

#[test]
fn a_snapshot_tells_what_siocinq_does() {
    let mut rig = Rig::new();
    let [stream, _] = rig.pair(MAIN, SOCK_STREAM).map(|number| {
        rig.write(MAIN, number, b"12345").unwrap();
        number
    });
    let [_, records] = rig.pair(MAIN, SOCK_DGRAM);
    for record in [&b"123"[..], b"4567"] {
        rig.write(MAIN, records - 1, record).unwrap();
    }
    let inputs: Vec<u64> =
        rig.machine.snapshot(rig.now).sockets.iter().map(|it| it.input).collect();
    assert_eq!(inputs, [5, 5, 0, 3], "of datagrams the first, of {stream} all");
}
