//! The rules, one function each.

use std::collections::{BTreeMap, BTreeSet};

use afunix::snapshot::{Socket, SocketKind, SocketState, WaitReason};

use super::{Warning, WarningKind};
use crate::escape;
use crate::index::{Holder, Index, thread_words};
use crate::wait::{file_words, wait_cycle};

/// So many descriptors of dead connections are a leak; a few are just not closed yet.
const MANY_DEAD: usize = 16;

/// Threads that wait for each other.
pub(super) fn circle(index: &Index<'_>) -> Option<Warning> {
    let cycle = wait_cycle(index.snapshot)?;
    let name = |pid: u32| {
        let process = index.snapshot.processes.iter().find(|process| process.pid == pid);
        let name = process.map_or_else(String::new, |process| escape(&process.name));
        format!("{name} (pid {pid})")
    };
    let names: Vec<String> = cycle.iter().map(|step| name(step.pid)).collect();
    let full = |reason| matches!(reason, WaitReason::Memory | WaitReason::PeerQueue);
    let all_full = cycle.iter().all(|step| full(step.wait.reason)) && cycle.len() > 1;
    let (kind, text) = if all_full {
        let text = format!(
            "{} each wait in a send until another of them reads, and none reads before it has \
             sent: every buffer between them is full. One of them must read while it sends.",
            list(&names)
        );
        (WarningKind::BothBlocked, text)
    } else {
        let text = format!(
            "{} wait for each other, and what one waits for only the next could do: none of them \
             goes on.",
            list(&names)
        );
        (WarningKind::WaitCycle, text)
    };
    Some(Warning {
        kind,
        text,
        sockets: sorted(cycle.iter().flat_map(|step| [step.socket, step.other])),
        processes: sorted(cycle.iter().map(|step| step.pid)),
    })
}

/// Readers of connections whose other end more than one process holds, or the reader itself.
pub(super) fn inherited_copies(index: &Index<'_>) -> Vec<Warning> {
    let mut found = Vec::new();
    for process in &index.snapshot.processes {
        for thread in &process.threads {
            let wait = thread.wait.as_ref().filter(|wait| wait.reason == WaitReason::Readable);
            let socket = wait.and_then(|wait| index.socket_of_wait(process, wait));
            let Some(socket) = socket.filter(|socket| socket.kind != SocketKind::Datagram) else {
                continue;
            };
            let Some(peer) = socket.peer.and_then(|peer| index.socket(peer)) else { continue };
            // Standard streams are inherited on purpose.
            let holders: Vec<&Holder<'_>> =
                index.holders(peer.id).iter().filter(|holder| holder.fd > 2).collect();
            let own = holders.iter().find(|holder| holder.process.pid == process.pid);
            let who = thread_words(process, thread);
            let text = if let Some(own) = own.filter(|_| process.threads.len() == 1) {
                format!(
                    "{who} waits for data or the end of file, and keeps the other end itself (fd \
                     {}): the end of file cannot arrive before it closes that.",
                    own.fd
                )
            } else if several_processes(&holders) {
                let names: Vec<String> =
                    holders.iter().map(|holder| holder_words(holder)).collect();
                format!(
                    "{who} waits for data or the end of file; {} all hold the other end: the end \
                     of file arrives only when the last of them has closed it. A copy that came \
                     by fork and is not used should be closed.",
                    list(&names)
                )
            } else {
                continue;
            };
            found.push(Warning {
                kind: WarningKind::InheritedCopy,
                text,
                sockets: vec![socket.id, peer.id],
                processes: sorted(
                    holders.iter().map(|holder| holder.process.pid).chain([process.pid]),
                ),
            });
        }
    }
    found
}

fn several_processes(holders: &[&Holder<'_>]) -> bool {
    let first = holders.first().map(|holder| holder.process.pid);
    holders.iter().any(|holder| Some(holder.process.pid) != first)
}

/// Listeners that take no more.
pub(super) fn full_backlogs(index: &Index<'_>) -> Vec<Warning> {
    let listeners = index.snapshot.sockets.iter();
    let full = listeners.filter_map(|socket| {
        let backlog = socket.backlog?;
        let waiting = socket.pending.len();
        // LISTEN: one more than the number given fits in.
        (waiting as u64 > u64::from(backlog)).then_some((socket, waiting, backlog))
    });
    let warning = |(socket, waiting, backlog): (&Socket, usize, u32)| Warning {
        kind: WarningKind::BacklogFull,
        text: format!(
            "{waiting} connections wait at {} to be accepted, listen was called with {backlog}: \
             who connects now waits, or gets EAGAIN if it does not want to wait. {} must accept.",
            socket_words(socket),
            helpers(index, socket.id)
        ),
        sockets: vec![socket.id],
        processes: holding(index, socket.id),
    };
    full.map(warning).collect()
}

/// Files in the queues of sockets that nobody holds, nor could get.
pub(super) fn lost_files(index: &Index<'_>) -> Vec<Warning> {
    let lost = lost_carriers(index);
    let mut found = Vec::new();
    for socket in index.snapshot.sockets.iter().filter(|socket| lost.contains(&socket.id)) {
        let files: BTreeSet<u64> = socket.in_flight.iter().copied().collect();
        let names: Vec<String> = files.iter().map(|file| file_words(index, *file)).collect();
        let text = format!(
            "{} lies in the queue of socket {}, which no process holds or could receive: only the \
             kernel's collection of such garbage closes it.",
            list(&names),
            socket.id
        );
        let sockets = sorted(files.iter().filter_map(|file| socket_of_file(index, *file)));
        let sockets = sorted(sockets.into_iter().chain([socket.id]));
        found.push(Warning { kind: WarningKind::LostFiles, text, sockets, processes: Vec::new() });
    }
    found
}

/// The sockets with files in their queues that nobody can receive.
pub(crate) fn lost_carriers(index: &Index<'_>) -> BTreeSet<u64> {
    let carriers: BTreeSet<u64> = index.carriers().values().flatten().copied().collect();
    if carriers.is_empty() {
        return carriers;
    }
    carriers.difference(&reachable(index)).copied().collect()
}

/// The sockets that some process holds, could accept, or could receive.
fn reachable(index: &Index<'_>) -> BTreeSet<u64> {
    let held = |socket: &&Socket| !index.holders(socket.id).is_empty();
    let mut to_visit: Vec<u64> =
        index.snapshot.sockets.iter().filter(held).map(|socket| socket.id).collect();
    let mut found = BTreeSet::new();
    while let Some(id) = to_visit.pop() {
        let Some(socket) = index.socket(id).filter(|_| found.insert(id)) else { continue };
        to_visit.extend(&socket.pending);
        // A simulation lists the end that will be accepted, the running system the client.
        to_visit.extend(socket.pending.iter().filter_map(|id| index.socket(*id)?.peer));
        to_visit.extend(socket.in_flight.iter().filter_map(|file| socket_of_file(index, *file)));
    }
    found
}

fn socket_of_file(index: &Index<'_>, file: u64) -> Option<u64> {
    index.socket_of_file(file).map(|socket| socket.id)
}

/// Sockets whose path leads to another inode now, where the snapshot knows the socket files.
pub(super) fn replaced_names(index: &Index<'_>) -> Vec<Warning> {
    let files: BTreeMap<&str, (u64, u64)> =
        index.snapshot.socket_files.iter().map(|file| (file.path.as_str(), file.inode)).collect();
    let mut found = Vec::new();
    for socket in &index.snapshot.sockets {
        let (Some(name), Some(inode)) = (&socket.name, socket.inode) else { continue };
        // An accepted socket shares the name of its listener, and is not found by it.
        let is_found_by_it = socket.backlog.is_some()
            || socket.kind == SocketKind::Datagram
            || socket.state == SocketState::Unconnected;
        let now = files.get(name.as_str());
        if !is_found_by_it || now.is_none_or(|now| *now == inode) {
            continue;
        }
        let text = format!(
            "{} was bound to a file that is no longer there: the path leads to another file now, \
             so nobody who connects by it reaches {} any more.",
            socket_words(socket),
            helpers(index, socket.id)
        );
        let (sockets, processes) = (vec![socket.id], holding(index, socket.id));
        found.push(Warning { kind: WarningKind::NameReplaced, text, sockets, processes });
    }
    found
}

/// Socket files without a socket.
pub(super) fn stale_files(index: &Index<'_>) -> Vec<Warning> {
    let bound: BTreeSet<(u64, u64)> =
        index.snapshot.sockets.iter().filter_map(|socket| socket.inode).collect();
    let stale = index.snapshot.socket_files.iter().filter(|file| !bound.contains(&file.inode));
    let warning = |file: &afunix::snapshot::SocketFile| Warning {
        kind: WarningKind::StaleFile,
        text: format!(
            "no socket is bound to the socket file {}: to connect to it gives ECONNREFUSED, and to \
             bind there EADDRINUSE, until somebody removes it.",
            escape(&file.path)
        ),
        sockets: Vec::new(),
        processes: Vec::new(),
    };
    stale.map(warning).collect()
}

/// Receivers for whose queue datagram senders wait.
pub(super) fn slow_readers(index: &Index<'_>) -> Vec<Warning> {
    let mut senders: BTreeMap<u64, Vec<(u32, String)>> = BTreeMap::new();
    for process in &index.snapshot.processes {
        for thread in &process.threads {
            let wait = thread.wait.as_ref().filter(|wait| wait.reason == WaitReason::PeerQueue);
            let Some(wait) = wait else { continue };
            let own = index.socket_of_wait(process, wait);
            // Sent to by name: it waits at the receiver. Else it may be told by its own socket.
            let at = wait.socket.filter(|at| own.is_none_or(|own| own.id != *at));
            let receiver = at.or_else(|| own.and_then(|own| own.peer));
            if let Some(receiver) = receiver {
                let sender = (process.pid, thread_words(process, thread));
                senders.entry(receiver).or_default().push(sender);
            }
        }
    }
    let warning = |(receiver, senders): (u64, Vec<(u32, String)>)| {
        let names: Vec<String> = senders.iter().map(|(_, words)| words.clone()).collect();
        let queue = match index.socket(receiver) {
            Some(socket) => {
                format!("{}, {} bytes unread,", socket_words(socket), socket.receive.bytes)
            }
            None => format!("socket {receiver}"),
        };
        let own = index.socket(receiver).and_then(|socket| socket.peer);
        Warning {
            kind: WarningKind::SlowReader,
            text: format!(
                "{} waits in a send for room in the queue of {queue} and goes on only when that is \
                 read, by {}: a slow reader of datagrams stops all who send to it.",
                list(&names),
                helpers(index, receiver)
            ),
            sockets: sorted(own.into_iter().chain([receiver])),
            processes: sorted(senders.iter().map(|(pid, _)| *pid).chain(holding(index, receiver))),
        }
    };
    senders.into_iter().map(warning).collect()
}

/// Processes that keep many connections whose peer is gone.
pub(super) fn leaks(index: &Index<'_>) -> Vec<Warning> {
    let mut found = Vec::new();
    for process in &index.snapshot.processes {
        let sockets = process.descriptors.iter().filter_map(|descriptor| {
            let socket = index.socket_of_file(descriptor.file)?;
            let dead = socket.state == SocketState::Disconnected && socket.receive.bytes == 0;
            dead.then_some(socket.id)
        });
        let dead: BTreeSet<u64> = sockets.collect();
        if dead.len() < MANY_DEAD {
            continue;
        }
        let text = format!(
            "{} (pid {}) holds {} connections whose other end is gone and in which nothing is left \
             to read: it does not close them, and will run out of descriptors.",
            escape(&process.name),
            process.pid,
            dead.len()
        );
        let (sockets, processes) = (dead.into_iter().collect(), vec![process.pid]);
        found.push(Warning { kind: WarningKind::DescriptorLeak, text, sockets, processes });
    }
    found
}

/// Who could act on a socket: `server (pid 1, fd 3)`.
fn helpers(index: &Index<'_>, socket: u64) -> String {
    let names: Vec<String> = index.holders(socket).iter().map(holder_words).collect();
    if names.is_empty() { "its holder, which is not visible,".to_owned() } else { list(&names) }
}

fn holder_words(holder: &Holder<'_>) -> String {
    format!("{} (pid {}, fd {})", escape(&holder.process.name), holder.process.pid, holder.fd)
}

fn holding(index: &Index<'_>, socket: u64) -> Vec<u32> {
    sorted(index.holders(socket).iter().map(|holder| holder.process.pid))
}

/// `/run/x (socket 10)`.
fn socket_words(socket: &Socket) -> String {
    match &socket.name {
        Some(name) => format!("{} (socket {})", escape(name), socket.id),
        None => format!("socket {}", socket.id),
    }
}

/// `a`, `a and b`, `a, b and c`; of many the first few.
fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [start @ .., last] if names.len() <= 4 => format!("{} and {last}", start.join(", ")),
        _ => format!("{} and {} others", names[..3].join(", "), names.len() - 3),
    }
}

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    items.into_iter().collect::<BTreeSet<T>>().into_iter().collect()
}
