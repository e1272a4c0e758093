//! Deadlocks: threads that wait for each other in a circle.
//!
//! A thread *waits for* the threads that could let its call go on. Which those are follows from
//! what the call waits for: data comes from whoever holds the peer; memory of the send buffer comes
//! back when whoever holds the peer reads; room in a backlog comes from whoever holds the listener.
//! It is *stuck* if every one of them is stuck too. One that runs, sleeps for a time or polls may
//! still act, so whoever waits for it is not stuck.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use afunix::snapshot::{FileKind, Process, Snapshot, Socket, SocketKind, Thread, Wait, WaitReason};

use crate::index::{Holder, Index, holder, thread_words};

/// One thread of a wait cycle. It waits for the thread of the next step, the last for the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CycleStep {
    /// The process of the thread.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// The call that it waits in.
    pub wait: Wait,
    /// The socket that the call was made on.
    pub socket: u64,
    /// The socket whose holders could let it go on: the peer, or the listener.
    pub other: u64,
}

/// A cycle of threads that wait for each other and cannot go on, if there is one.
///
/// It is the one that the stuck thread with the lowest id leads to; it begins with its own lowest.
/// A wait that ends by itself (a deadline) is no deadlock. Threads in `accept`, `wait` or a lock
/// neither close a cycle nor prevent one: what would let them go on is not in a snapshot.
pub fn wait_cycle(snapshot: &Snapshot) -> Option<Vec<CycleStep>> {
    let index = Index::new(snapshot);
    let mut stuck = candidates(&index);
    // The greatest set in which everyone waits only for members of the set.
    loop {
        let before = stuck.len();
        let members: BTreeSet<u32> = stuck.keys().copied().collect();
        stuck.retain(|_, candidate| {
            !candidate.wakers.is_empty() && candidate.wakers.is_subset(&members)
        });
        if stuck.len() == before {
            break;
        }
    }
    // Every member waits for a member: walking on must come back to one already met.
    let mut path: Vec<u32> = Vec::new();
    let mut at = *stuck.keys().next()?;
    while !path.contains(&at) {
        path.push(at);
        at = *stuck.get(&at)?.wakers.first()?;
    }
    let start = path.iter().position(|&tid| tid == at)?;
    let mut cycle = path.split_off(start);
    let lowest = cycle.iter().enumerate().min_by_key(|(_, tid)| **tid).map_or(0, |(i, _)| i);
    cycle.rotate_left(lowest);
    cycle.iter().map(|tid| stuck.get(tid).map(|candidate| candidate.step.clone())).collect()
}

/// A thread that may be stuck.
struct Candidate {
    step: CycleStep,
    /// The threads of which any could let it go on.
    wakers: BTreeSet<u32>,
}

fn candidates(index: &Index<'_>) -> BTreeMap<u32, Candidate> {
    let mut found = BTreeMap::new();
    for process in &index.snapshot.processes {
        for thread in &process.threads {
            if let Some(candidate) = candidate(index, process, thread) {
                found.insert(thread.tid, candidate);
            }
        }
    }
    found
}

fn candidate(index: &Index<'_>, process: &Process, thread: &Thread) -> Option<Candidate> {
    let wait = thread.wait.as_ref().filter(|wait| wait.deadline.is_none())?;
    let socket = index.socket_of_wait(process, wait)?;
    let other = match wait.reason {
        WaitReason::Readable | WaitReason::Memory => awaited(index, socket)?,
        WaitReason::PeerQueue => match socket.peer {
            Some(peer) => peer,
            // Sent to by name: the receiver is where it waits.
            None => wait.socket.filter(|&id| id != socket.id)?,
        },
        WaitReason::Backlog => wait
            .socket
            .filter(|&id| index.socket(id).is_some_and(|socket| socket.backlog.is_some()))?,
        _ => return None,
    };
    let mut wakers = BTreeSet::new();
    for holder in all_holders(index, other) {
        // Nobody knows the threads: any could run.
        if holder.process.threads.is_empty() {
            return None;
        }
        let acting = holder.process.threads.iter().filter(|other| may_act(other));
        wakers.extend(acting.map(|thread| thread.tid));
    }
    let (pid, tid) = (process.pid, thread.tid);
    // A thread that holds both ends could only be woken by another one.
    if wakers.len() > 1 {
        wakers.remove(&tid);
    }
    let step = CycleStep { pid, tid, wait: wait.clone(), socket: socket.id, other };
    Some(Candidate { step, wakers })
}

/// The socket whose holders must act: the peer; the listener, while the peer is not accepted.
fn awaited(index: &Index<'_>, socket: &Socket) -> Option<u64> {
    if let Some(listener) = index.listener_of(socket.id) {
        return Some(listener);
    }
    let peer = socket.peer?;
    Some(index.listener_of(peer).unwrap_or(peer))
}

/// Who holds a socket, or could take it out of a queue that it is in flight in.
fn all_holders<'a>(index: &Index<'a>, socket: u64) -> Vec<Holder<'a>> {
    let mut found = Vec::new();
    let mut to_visit = vec![socket];
    let mut visited = BTreeSet::new();
    while let Some(id) = to_visit.pop() {
        if visited.insert(id) {
            found.extend(index.holders(id));
            to_visit.extend(index.carriers_of_socket(id));
        }
    }
    found
}

/// Whether a thread could do something for others: it runs, or will by itself, or once a socket
/// lets it.
fn may_act(thread: &Thread) -> bool {
    let reason = thread.wait.as_ref().filter(|wait| wait.deadline.is_none()).map(|w| w.reason);
    !matches!(
        reason,
        Some(
            WaitReason::Child
                | WaitReason::Thread
                | WaitReason::Connection
                | WaitReason::Lock
                | WaitReason::Notification
                | WaitReason::Message
                | WaitReason::ChannelRoom
        )
    )
}

/// The cycle in sentences: a line for each thread, with its call, its descriptor, how full the
/// buffers are and who alone could help. Ends with a newline.
///
/// Steps that name a process or socket which is not in the snapshot are told as far as they are
/// known.
pub fn describe_cycle(snapshot: &Snapshot, cycle: &[CycleStep]) -> String {
    let index = Index::new(snapshot);
    let mut out = match cycle {
        [] => return String::new(),
        [_] => "Deadlock: a thread waits for itself.\n".to_owned(),
        _ => format!("Deadlock: {} threads wait for each other in a circle.\n", cycle.len()),
    };
    for (at, step) in cycle.iter().enumerate() {
        let next = &cycle[(at + 1) % cycle.len()];
        let _ = writeln!(out, "  {}", sentence(&index, step, next));
    }
    out
}

fn sentence(index: &Index<'_>, step: &CycleStep, next: &CycleStep) -> String {
    let call = crate::escape(&step.wait.call);
    let on =
        step.wait.fd.map_or_else(|| format!("socket {}", step.socket), |fd| format!("fd {fd}"));
    let who = words_of(index, step);
    let why = match step.wait.reason {
        WaitReason::Memory => memory_words(index, step),
        WaitReason::PeerQueue => queue_words(index, step),
        WaitReason::Backlog => backlog_words(index, step),
        _ => data_words(index, step),
    };
    format!("{who} in {call} on {on}: {why}; {}", helpers(index, step, next))
}

fn words_of(index: &Index<'_>, step: &CycleStep) -> String {
    let process = index.snapshot.processes.iter().find(|process| process.pid == step.pid);
    let thread = process.and_then(|process| {
        let thread = process.threads.iter().find(|thread| thread.tid == step.tid)?;
        Some(thread_words(process, thread))
    });
    thread.unwrap_or_else(|| format!("thread {} (pid {})", step.tid, step.pid))
}

fn memory_words(index: &Index<'_>, step: &CycleStep) -> String {
    let mut words = "waits for memory: its send buffer is full".to_owned();
    if let Some(socket) = index.socket(step.socket) {
        if socket.send_buffer > 0 {
            let (memory, buffer) = (socket.send_memory, socket.send_buffer);
            let _ = write!(words, " ({memory} of {buffer} bytes charged)");
        }
        if let Some(peer) = socket.peer.and_then(|peer| index.socket(peer)) {
            let _ = write!(words, ", the peer's receive queue holds {}", bytes(peer));
        }
    }
    words
}

fn queue_words(index: &Index<'_>, step: &CycleStep) -> String {
    match index.socket(step.other) {
        Some(other) => format!(
            "waits for room: the receive queue of socket {} is full ({})",
            other.id,
            bytes(other)
        ),
        None => "waits for room in the receiver's queue".to_owned(),
    }
}

fn backlog_words(index: &Index<'_>, step: &CycleStep) -> String {
    let listener = index.socket(step.other);
    let name = listener.and_then(|listener| listener.name.as_deref()).map_or_else(
        || format!("socket {}", step.other),
        |name| format!("{} (socket {})", crate::escape(name), step.other),
    );
    match listener.and_then(|listener| Some((listener.pending.len(), listener.backlog?))) {
        Some((waiting, backlog)) => format!(
            "waits for room in the backlog of {name}: {waiting} {}, it takes {}",
            if waiting == 1 { "connection waits" } else { "connections wait" },
            // One more than the number given to listen(2) fits in.
            u64::from(backlog) + 1
        ),
        None => format!("waits for room in the backlog of {name}"),
    }
}

fn data_words(index: &Index<'_>, step: &CycleStep) -> String {
    let empty = index.socket(step.socket).is_none_or(|socket| socket.receive.bytes == 0);
    let not_accepted = index.socket(step.other).is_some_and(|other| other.backlog.is_some());
    let mut words = "waits for data: its receive queue ".to_owned();
    words.push_str(if empty { "is empty" } else { "holds too little" });
    if not_accepted {
        let _ = write!(words, ", and the connection still waits at listener {}", step.other);
    }
    words
}

fn bytes(socket: &Socket) -> String {
    let Socket { receive, .. } = socket;
    match (receive.messages, socket.kind) {
        (0, _) | (_, SocketKind::Stream) => format!("{} bytes", receive.bytes),
        (1, _) => format!("1 message, {} bytes", receive.bytes),
        (messages, _) => format!("{messages} messages, {} bytes", receive.bytes),
    }
}

/// `only right (pid 3, fd 3) can read it`.
fn helpers(index: &Index<'_>, step: &CycleStep, next: &CycleStep) -> String {
    let deed = match step.wait.reason {
        WaitReason::Memory | WaitReason::PeerQueue => "read it",
        WaitReason::Backlog => "accept them",
        _ => "send to it",
    };
    let holders = all_holders(index, step.other);
    let mut names: Vec<String> = holders
        .iter()
        .map(|holder| {
            let name = crate::escape(&holder.process.name);
            let in_flight = !index
                .holders(step.other)
                .iter()
                .any(|direct| direct.process.pid == holder.process.pid && direct.fd == holder.fd);
            let how = if in_flight { ", by receiving it on" } else { "," };
            format!("{name} (pid {}{how} fd {})", holder.process.pid, holder.fd)
        })
        .collect();
    match names.len() {
        0 => format!("{} would have to {deed}", words_of(index, next)),
        1 => format!("only {} can {deed}", names.remove(0)),
        2 | 3 => format!("only {} can {deed}", names.join(" and ")),
        more => format!("only {} and {} other descriptors can {deed}", names[0], more - 1),
    }
}

/// The words of a file in flight: `socket 7`, `/etc/passwd`; escaped.
pub(crate) fn file_words(index: &Index<'_>, file: u64) -> String {
    match index.file(file).map(|file| &file.kind) {
        Some(FileKind::Socket(id)) => match index.holders(*id).first() {
            Some(first) => format!("socket {id} {}", holder(first)),
            None => format!("socket {id}"),
        },
        Some(FileKind::Regular(words) | FileKind::Directory(words) | FileKind::Other(words)) => {
            crate::escape(words)
        }
        None => format!("file {file}"),
    }
}
