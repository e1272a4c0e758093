//! The snapshot of the running system, against sockets made here and against what `ss` shows.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use afunix::snapshot::{FileKind, Snapshot, Socket, SocketKind, SocketState, WaitReason};
use afunix_kernel_backend::diag::snapshot;

/// One test at a time: while one starts a process, that has copies of everybody's descriptors until
/// it runs its program, and a closed socket is not closed yet.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn inode(socket: &impl AsFd) -> u64 {
    let file = std::fs::File::from(socket.as_fd().try_clone_to_owned().unwrap());
    file.metadata().unwrap().ino()
}

fn find<'a>(snapshot: &'a Snapshot, socket: &impl AsFd) -> &'a Socket {
    let id = inode(socket);
    snapshot.sockets.iter().find(|socket| socket.id == id).unwrap()
}

/// `(pid, fd)` of every descriptor that stands for the socket.
fn holders(snapshot: &Snapshot, id: u64) -> Vec<(u32, i32)> {
    let is_it =
        |file: &u64| snapshot.files.iter().any(|f| f.id == *file && f.kind == FileKind::Socket(id));
    let of_process = |process: &afunix::snapshot::Process| {
        let pid = process.pid;
        let fds = process.descriptors.iter().filter(|d| is_it(&d.file));
        fds.map(|d| (pid, d.fd)).collect::<Vec<_>>()
    };
    snapshot.processes.iter().flat_map(of_process).collect()
}

#[test]
fn a_pair_its_queue_and_its_holder() {
    let _alone = alone();
    let (mut a, b) = UnixStream::pair().unwrap();
    a.write_all(b"hello").unwrap();
    b.shutdown(std::net::Shutdown::Write).unwrap();
    let shot = snapshot().unwrap();
    let (left, right) = (find(&shot, &a), find(&shot, &b));
    assert_eq!((left.peer, right.peer), (Some(right.id), Some(left.id)));
    assert_eq!((left.kind, left.state), (SocketKind::Stream, SocketState::Connected));
    assert_eq!(right.receive.bytes, 5);
    assert!(left.send_memory > 0 && left.send_buffer >= left.send_memory);
    assert!(left.shut_read && !left.shut_write && right.shut_write);
    assert_eq!(holders(&shot, left.id), [(std::process::id(), a.as_raw_fd())]);
    let me = shot.processes.iter().find(|process| process.pid == std::process::id()).unwrap();
    let descriptor = me.descriptors.iter().find(|d| d.fd == a.as_raw_fd()).unwrap();
    assert!(descriptor.cloexec);
    assert!(me.threads.len() > 1, "the test thread and the main thread");
}

#[test]
fn a_listener_with_a_path_one_accepted_and_one_waiting() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let client = UnixStream::connect(&path).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let waiting = UnixStream::connect(&path).unwrap();
    let shot = snapshot().unwrap();
    let at = find(&shot, &listener);
    let name = path.to_str();
    assert_eq!((at.state, at.name.as_deref()), (SocketState::Listening, name));
    assert_eq!(at.pending, [inode(&waiting)]);
    assert!(at.backlog.is_some_and(|backlog| backlog >= 1));
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(at.inode.map(|inode| inode.1), Some(metadata.ino()));
    assert_eq!(find(&shot, &accepted).peer, Some(inode(&client)));
    assert_eq!(find(&shot, &accepted).name.as_deref(), name);
    assert_eq!(find(&shot, &client).state, SocketState::Connected);
    let pending = find(&shot, &waiting);
    assert_eq!((pending.state, pending.peer), (SocketState::Pending, None));
}

#[test]
fn abstract_names_and_datagrams() {
    let _alone = alone();
    let name = format!("afunix test {}\n\u{1b}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let receiver = UnixDatagram::bind_addr(&address).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    sender.connect_addr(&address).unwrap();
    sender.send(b"1234567").unwrap();
    let lone = UnixDatagram::unbound().unwrap();
    let shot = snapshot().unwrap();
    let at = find(&shot, &receiver);
    assert_eq!(at.name, Some(format!("@{name}")));
    // The kernel calls it established, since somebody is connected to it; it sends to nobody.
    assert_eq!((at.kind, at.state), (SocketKind::Datagram, SocketState::Unconnected));
    assert_eq!(at.receive.bytes, 7);
    let from = find(&shot, &sender);
    assert_eq!((from.peer, from.state), (Some(at.id), SocketState::Connected));
    assert_eq!(find(&shot, &lone).state, SocketState::Unconnected);
}

#[test]
fn a_peer_that_is_gone() {
    let _alone = alone();
    let (stream, peer) = UnixStream::pair().unwrap();
    let (datagram, other) = UnixDatagram::pair().unwrap();
    drop((peer, other));
    let shot = snapshot().unwrap();
    let at = find(&shot, &stream);
    assert_eq!((at.state, at.peer), (SocketState::Disconnected, None));
    assert_eq!(find(&shot, &datagram).peer, None);
}

/// `cat` between two sockets that it inherits; it blocks in read until its standard input ends.
#[test]
fn a_child_holds_its_ends_and_is_seen_waiting() {
    let _alone = alone();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let id = inode(&theirs);
    let stdin = Stdio::from(OwnedFd::from(theirs.try_clone().unwrap()));
    let mut child = Command::new("cat")
        .stdin(stdin)
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .unwrap();
    // When the echo is back, the child runs and has its descriptors.
    ours.write_all(b"x").unwrap();
    ours.read_exact(&mut [0]).unwrap();
    let mut shot = snapshot().unwrap();
    let wait_of = |shot: &Snapshot| {
        let process = shot.processes.iter().find(|process| process.pid == child.id());
        process.and_then(|process| process.threads[0].wait.clone())
    };
    // It may be on its way into the call; if the system hides calls from us, there is nothing to
    // see.
    let may_trace = std::fs::read_to_string(format!("/proc/{}/syscall", child.id())).is_ok();
    for _ in 0..200 {
        if wait_of(&shot).is_some() || !may_trace {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
        shot = snapshot().unwrap();
    }
    assert_eq!(holders(&shot, id), [(child.id(), 0), (child.id(), 1)]);
    let name = shot.processes.iter().find(|p| p.pid == child.id()).map(|p| p.name.clone());
    assert_eq!(name.as_deref(), Some("cat"));
    assert_eq!(find(&shot, &ours).peer, Some(id));
    if may_trace {
        let wait = wait_of(&shot).unwrap();
        let seen = (wait.call.as_str(), wait.fd, wait.reason, wait.socket);
        assert_eq!(seen, ("read", Some(0), WaitReason::Readable, Some(id)));
    } else {
        println!("not compared: this system does not show the calls of other processes");
    }
    drop(ours);
    child.wait().unwrap();
}

/// Two programs that only write, at the two ends of one connection: both buffers fill up for good.
#[test]
fn a_deadlock_of_real_processes_is_found_and_told() {
    let _alone = alone();
    let (left, right) = UnixStream::pair().unwrap();
    let start = |end: UnixStream| {
        Command::new("yes").stdout(Stdio::from(OwnedFd::from(end))).spawn().unwrap()
    };
    let mut children = [start(left), start(right)];
    let pids: BTreeSet<u32> = children.iter().map(|child| child.id()).collect();
    let hidden =
        pids.iter().any(|pid| std::fs::read_to_string(format!("/proc/{pid}/syscall")).is_err());
    let mut told = None;
    for _ in 0..500 {
        if hidden {
            break;
        }
        // The machine may have deadlocks of its own.
        let shot = snapshot().unwrap();
        let ours = afunix_viz::filter(&shot, "program=yes and fd=1").unwrap();
        if let Some(cycle) = afunix_viz::wait_cycle(&ours) {
            told = Some((cycle.clone(), afunix_viz::describe_cycle(&ours, &cycle)));
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    if hidden {
        println!("not compared: this system does not show the calls of other processes");
        return;
    }
    let (cycle, text) = told.expect("both wait for memory of their send buffers");
    assert_eq!(cycle.iter().map(|step| step.pid).collect::<BTreeSet<_>>(), pids);
    for pid in pids {
        assert!(text.contains(&format!("yes (pid {pid}) in write on fd 1: waits for memory")));
        assert!(text.contains(&format!("only yes (pid {pid}, fd 1) can read it")), "{text}");
    }
}

#[test]
fn snapshots_stand_while_sockets_and_processes_come_and_go() {
    let _alone = alone();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _pairs: Vec<_> = (0..50).map(|_| UnixStream::pair().unwrap()).collect();
                let _ = Command::new("true").status();
            }
        });
        let steady: Vec<_> = (0..20).map(|_| UnixStream::pair().unwrap()).collect();
        for _ in 0..30 {
            let shot = snapshot().unwrap();
            for (a, b) in &steady {
                assert_eq!(find(&shot, a).peer, Some(inode(b)));
            }
            assert!(shot.sockets.is_sorted_by_key(|socket| socket.id));
            assert!(shot.files.is_sorted_by_key(|file| file.id));
            assert!(shot.processes.is_sorted_by_key(|process| process.pid));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// What `ss` shows: edges `(socket, peer)` and holders `(socket, pid, fd)`.
#[derive(Default)]
struct Shown {
    edges: BTreeSet<(u64, u64)>,
    holders: BTreeSet<(u64, u32, i32)>,
}

/// `None` if there is no `ss`, which is an error on the build machine.
fn ss() -> Option<Shown> {
    let output = match Command::new("ss").args(["-xapnH"]).output() {
        Ok(output) => output,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "cannot run ss: {error}");
            println!("not compared: cannot run ss: {error}");
            return None;
        }
    };
    assert!(output.status.success(), "{output:?}");
    let mut shown = Shown::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let (addresses, users) = line.split_once("users:((").unwrap_or((line, ""));
        // A name may hold blanks: from the right stand the peer's id, its name `*`, and the id.
        let mut words = addresses.split_ascii_whitespace().rev();
        let peer = words.next().and_then(|word| word.parse().ok());
        let star = words.next();
        let id = words.next().and_then(|word| word.parse().ok());
        // A name with a line end in it is split over lines: those are passed over.
        let (Some(peer), Some("*"), Some(id)) = (peer, star, id) else { continue };
        if peer != 0 {
            shown.edges.insert((id, peer));
        }
        for user in users.split("\",pid=").skip(1) {
            let numbers = user.split_once(')').map(|(numbers, _)| numbers);
            let Some((pid, fd)) = numbers.and_then(|numbers| numbers.split_once(",fd=")) else {
                continue;
            };
            shown.holders.insert((id, pid.parse().unwrap(), fd.parse().unwrap()));
        }
    }
    Some(shown)
}

/// Processes with sockets of all kinds between them. They end when this is dropped.
struct Busy {
    children: Vec<std::process::Child>,
    _kept: Vec<OwnedFd>,
    _directory: tempfile::TempDir,
}

impl Busy {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut kept: Vec<OwnedFd> = Vec::new();
        let mut children = Vec::new();
        let path = directory.path().join("with a blank");
        let listener = UnixListener::bind(&path).unwrap();
        for _ in 0..6 {
            let client = UnixStream::connect(&path).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            let (datagram, other) = UnixDatagram::pair().unwrap();
            // The shell says one line when it runs, and waits for its standard input to end.
            let mut child = Command::new("sh")
                .args(["-c", "echo up >&2; exec cat"])
                .stdin(Stdio::from(OwnedFd::from(client)))
                .stdout(Stdio::from(OwnedFd::from(datagram)))
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line, "up\n");
            children.push(child);
            kept.extend([OwnedFd::from(accepted), OwnedFd::from(other)]);
        }
        kept.push(UnixStream::connect(&path).unwrap().into());
        kept.push(listener.into());
        Self { children, _kept: kept, _directory: directory }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The edges of an SVG, each in both directions if it stands for both.
fn edges_in_svg(svg: &str) -> BTreeSet<(u64, u64)> {
    let mut edges = BTreeSet::new();
    for line in svg.lines().filter(|line| line.contains("data-edge=\"peer\"")) {
        let number = |name: &str| -> u64 {
            let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap();
            rest.split_once('"').unwrap().0.parse().unwrap()
        };
        let (from, to) = (number("data-from"), number("data-to"));
        edges.insert((from, to));
        if line.contains("data-both=\"true\"") {
            edges.insert((to, from));
        }
    }
    edges
}

#[test]
fn every_edge_that_ss_shows_before_and_after_is_in_the_snapshot_and_in_the_picture() {
    let _alone = alone();
    let busy = Busy::start();
    let Some(before) = ss() else { return };
    let shot = snapshot().unwrap();
    let Some(after) = ss() else { return };
    let svg = afunix_viz::svg(&shot);
    drop(busy);

    let edges: BTreeSet<_> = before.edges.intersection(&after.edges).copied().collect();
    assert!(edges.len() >= 24, "six streams and six datagram pairs, both ways: {edges:?}");
    let ours: BTreeSet<(u64, u64)> =
        shot.sockets.iter().filter_map(|socket| Some((socket.id, socket.peer?))).collect();
    let missing: Vec<_> = edges.difference(&ours).collect();
    assert!(missing.is_empty(), "not in the snapshot: {missing:?}");
    let drawn = edges_in_svg(&svg);
    let missing: Vec<_> = edges.difference(&drawn).collect();
    assert!(missing.is_empty(), "not in the picture: {missing:?}");

    let holders: BTreeSet<_> = before.holders.intersection(&after.holders).copied().collect();
    assert!(holders.len() >= 12, "{holders:?}");
    for (id, pid, fd) in holders {
        let found = self::holders(&shot, id);
        assert!(found.contains(&(pid, fd)), "{pid} holds {id} as {fd}; found {found:?}");
    }
}
