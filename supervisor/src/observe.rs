//! What is told while a program runs: events, and what it looked like at its busiest.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use afunix::snapshot::{Descriptor, File, FileKind, Process, Snapshot, Thread, Wait, WaitReason};
use afunix::trace::{Event, EventKind};
use afunix_model::sockets::{Flow, SocketKey, Sockets};

use crate::sys::process;

/// Is told of events, in order.
pub type Sink = Box<dyn FnMut(&Event)>;

/// How often the program is looked at as a whole, at most.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// Tells of events, if anybody listens.
pub(crate) struct Observer {
    sink: Option<Sink>,
    began: Duration,
    seq: u64,
    /// The threads that were told of: those that made a call on a socket.
    started: HashSet<i32>,
    /// The thread whose call is being tried.
    pub(crate) current: Option<i32>,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("seq", &self.seq).finish_non_exhaustive()
    }
}

impl Observer {
    pub(crate) fn new(sink: Option<Sink>) -> Observer {
        Observer {
            sink,
            began: process::monotonic(),
            seq: 0,
            started: HashSet::new(),
            current: None,
        }
    }

    /// Tells of a thread before its first call on a socket.
    pub(crate) fn tell_start(&mut self, pid: i32, tid: i32) {
        if self.sink.is_some() && self.started.insert(tid) {
            self.tell(pid, tid, || EventKind::Started { name: name_of(pid, tid) });
        }
    }

    /// Tells of the end of a process that was told of.
    pub(crate) fn tell_end(&mut self, pid: i32, tid: i32) {
        if self.started.remove(&tid) && pid == tid {
            self.tell(pid, tid, || EventKind::Exited { how: "ended".into() });
        }
    }

    /// Nanoseconds since the program started.
    pub(crate) fn at(&self, time: Duration) -> u64 {
        u64::try_from(time.saturating_sub(self.began).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Tells of an event of a thread. What it is made of is asked for only if somebody listens.
    pub(crate) fn tell(&mut self, pid: i32, tid: i32, kind: impl FnOnce() -> EventKind) {
        if self.sink.is_none() {
            return;
        }
        let at = self.at(process::monotonic());
        let (process, thread) = (pid.unsigned_abs(), tid.unsigned_abs());
        let event = Event { seq: self.seq, at, process, thread, kind: kind() };
        self.seq += 1;
        if let Some(sink) = &mut self.sink {
            sink(&event);
        }
    }
}

/// What flowed, as an event.
pub(crate) fn flowed(sockets: &Sockets, flow: &Flow) -> EventKind {
    match *flow {
        Flow::Queued { from, to, bytes, files } => EventKind::Queued {
            from: sockets.id(from),
            to: sockets.id(to),
            bytes: bytes as u64,
            files: files as u32,
        },
        Flow::Taken { socket, bytes, files } => EventKind::Taken {
            socket: sockets.id(socket),
            bytes: bytes as u64,
            files: files as u32,
        },
        Flow::Freed { socket } => EventKind::Freed { socket },
    }
}

/// What a call waits for, in words.
pub(crate) fn in_words(reason: WaitReason) -> &'static str {
    match reason {
        WaitReason::Readable => "data",
        WaitReason::Memory => "memory of the send buffer",
        WaitReason::PeerQueue => "room in the receiver's queue",
        WaitReason::Connection => "a connection",
        WaitReason::Backlog => "room in the backlog",
        _ => "something else",
    }
}

/// The name that pictures show for a thread.
pub(crate) fn name_of(pid: i32, tid: i32) -> String {
    let comm = |id: i32| {
        let name = std::fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        name.trim_end().to_owned()
    };
    if pid == tid { comm(pid) } else { format!("{}/{}", comm(pid), comm(tid)) }
}

/// Keeps the picture of the program's busiest moment.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    wanted: bool,
    /// How many sockets there were in it.
    sockets: usize,
    looked: Duration,
    pub(crate) snapshot: Option<Snapshot>,
}

impl Picture {
    pub(crate) fn new(wanted: bool) -> Picture {
        Picture { wanted, ..Picture::default() }
    }

    /// Whether there are as many sockets as never before, and it is some time since the last look.
    pub(crate) fn is_due(&mut self, sockets: usize) -> bool {
        if !self.wanted || sockets < self.sockets || sockets == 0 {
            return false;
        }
        let now = process::monotonic();
        if sockets == self.sockets && now.saturating_sub(self.looked) < LOOK_PERIOD {
            return false;
        }
        (self.sockets, self.looked) = (sockets, now);
        true
    }
}

/// A call that waits, for a snapshot.
pub(crate) struct Waiter {
    pub(crate) tid: i32,
    pub(crate) wait: Wait,
}

/// The program as it is now: its processes by their threads that made calls, and its sockets.
pub(crate) fn snapshot(
    at: u64,
    sockets: &Sockets,
    threads: &[(i32, i32)],
    waiters: Vec<Waiter>,
    by_inode: &HashMap<u64, SocketKey>,
    held: &BTreeMap<u64, Option<SocketKey>>,
) -> Snapshot {
    /// Ids of files that are no sockets lie above those of sockets.
    const OTHERS: u64 = 1 << 40;
    let mut waits: HashMap<i32, Wait> =
        waiters.into_iter().map(|waiter| (waiter.tid, waiter.wait)).collect();
    let mut processes: BTreeMap<i32, Process> = BTreeMap::new();
    for (tid, pid) in threads {
        let process = processes.entry(*pid).or_insert_with(|| Process {
            pid: pid.unsigned_abs(),
            name: name_of(*pid, *pid),
            uid: owner_of(*pid),
            threads: Vec::new(),
            descriptors: descriptors(*pid, sockets, by_inode),
        });
        let (name, wait) = (name_of(*pid, *tid), waits.remove(tid));
        process.threads.push(Thread { tid: tid.unsigned_abs(), name, wait });
    }
    let mut shown = sockets.snapshot();
    let file_of = |id: &u64| match held.get(id) {
        Some(Some(socket)) => sockets.id(*socket),
        _ => OTHERS + id,
    };
    let mut in_flight: BTreeMap<u64, u32> = BTreeMap::new();
    for socket in &mut shown {
        socket.in_flight = socket.in_flight.iter().map(file_of).collect();
        socket.in_flight.iter().for_each(|id| *in_flight.entry(*id).or_default() += 1);
    }
    let mut files: Vec<File> = shown
        .iter()
        .map(|socket| File {
            id: socket.id,
            kind: FileKind::Socket(socket.id),
            in_flight: in_flight.get(&socket.id).copied().unwrap_or(0),
        })
        .collect();
    let others = in_flight.iter().filter(|(id, _)| **id >= OTHERS);
    files.extend(others.map(|(id, count)| File {
        id: *id,
        kind: FileKind::Other("file".into()),
        in_flight: *count,
    }));
    Snapshot {
        at,
        processes: processes.into_values().collect(),
        files,
        sockets: shown,
        socket_files: Vec::new(),
        notes: Vec::new(),
    }
}

fn owner_of(pid: i32) -> u32 {
    use std::os::linux::fs::MetadataExt;
    std::fs::metadata(format!("/proc/{pid}")).map_or(0, |metadata| metadata.st_uid())
}

/// The numbers that stand for sockets of the model.
fn descriptors(pid: i32, sockets: &Sockets, by_inode: &HashMap<u64, SocketKey>) -> Vec<Descriptor> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
        let fd = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let key = socket_inode(&entry.path()).and_then(|inode| by_inode.get(&inode));
        if let (Some(fd), Some(key)) = (fd, key) {
            found.push(Descriptor { fd, file: sockets.id(*key), cloexec: false });
        }
    }
    found.sort_unstable_by_key(|descriptor| descriptor.fd);
    found
}

/// The inode number of a socket, from a link in /proc/PID/fd.
pub(crate) fn socket_inode(link: &std::path::Path) -> Option<u64> {
    let target = std::fs::read_link(link).ok()?;
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}
