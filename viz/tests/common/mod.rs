//! Snapshots and traces to draw.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::Path;

use afunix::snapshot::*;
use afunix::trace::{Event, EventKind};

/// Compares with a file in tests/expected. To take over a change that was looked at, run with
/// `UPDATE=1` and read the difference in version control.
pub(crate) fn expect(file: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected").join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, actual).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == actual, "{file} differs (UPDATE=1 takes it over):\n{actual}");
}

/// A machine that is put together in a test.
#[derive(Default)]
pub(crate) struct Machine(pub(crate) Snapshot);

impl Machine {
    pub(crate) fn process(&mut self, pid: u32, name: &str) -> &mut Process {
        let threads = vec![Thread { tid: pid, name: name.into(), wait: None }];
        let (name, descriptors) = (name.to_owned(), Vec::new());
        self.0.processes.push(Process { pid, name, uid: 1000, threads, descriptors });
        self.0.processes.last_mut().unwrap()
    }

    pub(crate) fn socket(&mut self, id: u64, kind: SocketKind, state: SocketState) -> &mut Socket {
        self.0.files.push(File { id, kind: FileKind::Socket(id), in_flight: 0 });
        self.0.sockets.push(Socket {
            id,
            kind,
            state,
            established: state != SocketState::Unconnected,
            name: None,
            peer: None,
            shut_read: false,
            shut_write: false,
            error: 0,
            receive: Queue::default(),
            input: 0,
            send_memory: 0,
            send_buffer: 212_992,
            backlog: None,
            pending: Vec::new(),
            in_flight: Vec::new(),
            inode: None,
        });
        self.0.sockets.last_mut().unwrap()
    }

    pub(crate) fn pair(&mut self, a: u64, b: u64) {
        for (id, peer) in [(a, b), (b, a)] {
            self.socket(id, SocketKind::Stream, SocketState::Connected).peer = Some(peer);
        }
    }

    pub(crate) fn hold(&mut self, pid: u32, fd: i32, socket: u64) {
        let process = self.0.processes.iter_mut().find(|process| process.pid == pid).unwrap();
        process.descriptors.push(Descriptor { fd, file: socket, cloexec: true });
    }

    pub(crate) fn at(&mut self, id: u64) -> &mut Socket {
        self.0.sockets.iter_mut().find(|socket| socket.id == id).unwrap()
    }

    /// Makes the first thread of a process wait at its descriptor.
    pub(crate) fn wait(&mut self, pid: u32, call: &str, fd: i32, reason: WaitReason) -> &mut Wait {
        let process = self.0.processes.iter_mut().find(|process| process.pid == pid).unwrap();
        let file = process.descriptors.iter().find(|d| d.fd == fd).map(|d| d.file);
        let thread = &mut process.threads[0];
        let fd = Some(fd);
        let wait =
            Wait { call: call.into(), fd, reason, socket: file, since: 1000, deadline: None };
        thread.wait.insert(wait)
    }
}

/// Two processes that send to each other until both buffers are full.
pub(crate) fn deadlock() -> Snapshot {
    let mut machine = Machine::default();
    machine.process(2, "left");
    machine.process(3, "right");
    machine.pair(5, 6);
    machine.hold(2, 3, 5);
    machine.hold(3, 3, 6);
    for id in [5, 6] {
        let socket = machine.at(id);
        socket.send_memory = 222_720;
        socket.receive = Queue { messages: 6, bytes: 219_264 };
    }
    machine.wait(2, "sendmsg", 3, WaitReason::Memory);
    machine.wait(3, "sendmsg", 3, WaitReason::Memory);
    machine.0
}

/// A server with a client accepted, one that waits, a log socket, and files in flight.
pub(crate) fn small_world() -> Snapshot {
    use SocketKind::{Datagram, Seqpacket, Stream};
    use SocketState::{Connected, Disconnected, Listening, Pending, Unconnected};
    let mut machine = Machine::default();
    machine.process(1, "server");
    machine.process(2, "worker");
    machine.process(7, "client");
    let listener = machine.socket(10, Stream, Listening);
    (listener.name, listener.backlog) = (Some("/run/server".into()), Some(8));
    listener.pending = vec![14];
    machine.pair(11, 12);
    machine.at(12).name = Some("/run/server".into());
    machine.at(12).receive = Queue { messages: 2, bytes: 150_000 };
    machine.at(11).send_memory = 160_000;
    machine.at(11).shut_read = true;
    machine.at(12).shut_write = true;
    machine.socket(13, Stream, Connected).peer = Some(14);
    let embryo = machine.socket(14, Stream, Pending);
    (embryo.peer, embryo.name) = (Some(13), Some("/run/server".into()));
    machine.socket(15, Datagram, Unconnected).name = Some("@log".into());
    machine.socket(16, Datagram, Connected).peer = Some(15);
    machine.socket(17, Seqpacket, Disconnected).error = 104;
    machine.pair(18, 19);
    let passwd = FileKind::Regular("/etc/passwd".into());
    machine.0.files.push(File { id: 30, kind: passwd, in_flight: 1 });
    machine.0.files.iter_mut().find(|file| file.id == 19).unwrap().in_flight = 1;
    machine.at(12).in_flight = vec![19, 30];
    for (pid, fd, socket) in [(1, 3, 10), (2, 3, 10), (1, 4, 12), (1, 5, 15)] {
        machine.hold(pid, fd, socket);
    }
    for (fd, socket) in [(3, 11), (4, 13), (5, 16), (6, 17), (8, 18)] {
        machine.hold(7, fd, socket);
    }
    machine.wait(7, "recvmsg", 3, WaitReason::Readable);
    machine.0.notes = vec!["made by hand".into()];
    machine.0
}

/// Text that a stranger could put into a name to act on a terminal or a browser.
pub(crate) const HOSTILE: &str =
    "\u{1b}[2J\u{7}\r\n</title><script>alert('&\"')</script>\u{202e}\u{9b}m\\N]]>";

/// Hostile text wherever a stranger can put some.
pub(crate) fn hostile_world() -> Snapshot {
    let mut snapshot = small_world();
    for process in &mut snapshot.processes {
        process.name = HOSTILE.into();
        for thread in &mut process.threads {
            thread.name = format!("t{HOSTILE}");
            if let Some(wait) = &mut thread.wait {
                wait.call = HOSTILE.into();
            }
        }
    }
    for socket in &mut snapshot.sockets {
        socket.name = Some(HOSTILE.into());
    }
    for file in &mut snapshot.files {
        if let FileKind::Regular(path) = &mut file.kind {
            *path = HOSTILE.into();
        }
    }
    snapshot.notes = vec![HOSTILE.into()];
    snapshot
}

/// Events from `(time, process, thread, what)`.
pub(crate) fn events(list: Vec<(u64, u32, u32, EventKind)>) -> Vec<Event> {
    let event = |(seq, (at, process, thread, kind)): (usize, _)| Event {
        seq: seq as u64,
        at,
        process,
        thread,
        kind,
    };
    list.into_iter().enumerate().map(event).collect()
}

pub(crate) fn started(name: &str) -> EventKind {
    EventKind::Started { name: name.into() }
}

pub(crate) fn enter(call: &str) -> EventKind {
    EventKind::Enter { call: call.into(), socket: None }
}

pub(crate) fn exit(call: &str, result: i64) -> EventKind {
    EventKind::Exit { call: call.into(), result }
}

pub(crate) fn blocked(on: &str, socket: u64) -> EventKind {
    EventKind::Blocked { on: on.into(), socket: Some(socket) }
}

pub(crate) fn woken(by: Option<u32>) -> EventKind {
    EventKind::Woken { by }
}

pub(crate) fn exited(how: &str) -> EventKind {
    EventKind::Exited { how: how.into() }
}

/// Two processes talk, wait, get faults, and end in a deadlock; a third is killed.
pub(crate) fn story() -> Vec<Event> {
    let send = "sendmsg(3, 36544 bytes)";
    let mut list = vec![
        (0, 1, 1, started("main")),
        (0, 1, 1, enter("socketpair(STREAM)")),
        (0, 1, 1, exit("socketpair", 0)),
        (1_200, 2, 2, started("left")),
        (1_900, 3, 3, started("right")),
        (2_000, 1, 1, enter("wait(2)")),
        (2_000, 1, 1, EventKind::Blocked { on: "the end of a child".into(), socket: None }),
        (2_500, 2, 2, enter("recvmsg(3, 10 bytes)")),
        (2_500, 2, 2, blocked("data", 5)),
        (1_000_000, 3, 3, enter("sendmsg(3, 10 bytes)")),
        (1_000_000, 2, 2, woken(Some(3))),
        (1_000_000, 3, 3, exit("sendmsg", 10)),
        (1_000_000, 2, 2, EventKind::Fault { what: "short read: 3 of 10 bytes".into() }),
        (1_000_100, 2, 2, exit("recvmsg", 3)),
        (1_000_200, 2, 2, EventKind::Printed { line: "left: got 3 bytes".into() }),
        (1_000_300, 3, 3, enter("connect(4, \"/run/a/rather/long/path/of/a/socket\")")),
        (1_000_300, 3, 3, exit("connect", -111)),
    ];
    for (pid, socket) in [(2, 5), (3, 6)] {
        for _ in 0..6 {
            list.push((2_000_000, pid, pid, enter(send)));
            list.push((
                2_000_000,
                pid,
                pid,
                EventKind::Queued { from: socket, to: 11 - socket, bytes: 36_544, files: 0 },
            ));
            list.push((2_000_000, pid, pid, exit("sendmsg", 36_544)));
        }
        list.push((2_000_400, pid, pid, enter(send)));
        list.push((2_000_400, pid, pid, blocked("memory of the send buffer", socket)));
    }
    list.push((5_000_000, 4, 4, started("observer")));
    list.push((5_000_000, 4, 4, exited("killed by SIGKILL")));
    list.push((9_000_000, 4, 4, started("late/observer")));
    events(list)
}
