//! The machine between snapshots, as far as events tell: who waits, how full queues are.

use std::collections::BTreeMap;

use afunix::snapshot::{Snapshot, Wait, WaitReason};
use afunix::trace::{Event, EventKind};

/// Moments of one run that are drawn at most.
const MOST: usize = 2_000;
/// Sockets drawn in all moments together at most: large machines get fewer moments.
const MOST_SOCKETS: usize = 200_000;

/// Snapshots of a run, each with how many of the events come before it: those that were taken, and
/// one wherever an event changes what a picture shows. Of very many, a sample, and always the last.
pub(crate) fn moments(events: &[Event], snapshots: &[(usize, Snapshot)]) -> Vec<(usize, Snapshot)> {
    let Some((first, _)) = snapshots.first() else { return Vec::new() };
    let largest = snapshots.iter().map(|(_, one)| one.sockets.len()).max().unwrap_or(0);
    let most = (MOST_SOCKETS / (largest + 1)).clamp(2, MOST);
    let stride = (events.len() + snapshots.len()).div_ceil(most).max(1);
    let mut taken = snapshots.iter().peekable();
    let mut now = Snapshot::default();
    let mut found: Vec<(usize, Snapshot)> = Vec::new();
    let mut calls: BTreeMap<u32, &str> = BTreeMap::new();
    let mut waiting_for_turn = false;
    for index in (*first).min(events.len())..=events.len() {
        let mut changed = false;
        while let Some((_, snapshot)) = taken.next_if(|(before, _)| *before <= index) {
            now.clone_from(snapshot);
            changed = true;
        }
        waiting_for_turn |= changed;
        let is_last = index == events.len();
        if waiting_for_turn && (is_last || index.is_multiple_of(stride)) {
            found.push((index, now.clone()));
            waiting_for_turn = false;
        }
        if let Some(event) = events.get(index) {
            if let EventKind::Enter { call, .. } = &event.kind {
                calls.insert(event.thread, call.split('(').next().unwrap_or_default());
            }
            let call = calls.get(&event.thread).copied().unwrap_or_default();
            waiting_for_turn |= apply(&mut now, event, call);
        }
    }
    found
}

/// Does to a snapshot what an event says. Whether anything changed.
fn apply(now: &mut Snapshot, event: &Event, call: &str) -> bool {
    match &event.kind {
        EventKind::Queued { to, bytes, .. } => {
            let Some(socket) = now.sockets.iter_mut().find(|socket| socket.id == *to) else {
                return false;
            };
            socket.receive.bytes = socket.receive.bytes.saturating_add(*bytes);
            socket.receive.messages = socket.receive.messages.saturating_add(1);
        }
        EventKind::Taken { socket, bytes, .. } => {
            let Some(socket) = now.sockets.iter_mut().find(|one| one.id == *socket) else {
                return false;
            };
            socket.receive.bytes = socket.receive.bytes.saturating_sub(*bytes);
        }
        EventKind::Freed { socket } => {
            let before = now.sockets.len();
            now.sockets.retain(|one| one.id != *socket);
            return now.sockets.len() < before;
        }
        EventKind::Blocked { on, socket } => {
            let wait = Wait {
                call: call.to_owned(),
                fd: None,
                reason: reason(on),
                socket: *socket,
                since: event.at,
                // Not known; one that might end by itself must not look like a deadlock.
                deadline: Some(u64::MAX),
            };
            return set_wait(now, event, Some(wait));
        }
        EventKind::Woken { .. } | EventKind::Exit { .. } => return set_wait(now, event, None),
        EventKind::Exited { .. } => {
            let before = now.processes.len();
            now.processes.retain(|process| process.pid != event.process);
            return now.processes.len() < before;
        }
        _ => return false,
    }
    true
}

fn set_wait(now: &mut Snapshot, event: &Event, wait: Option<Wait>) -> bool {
    let threads = now.processes.iter_mut().flat_map(|process| &mut process.threads);
    let Some(thread) = threads.into_iter().find(|thread| thread.tid == event.thread) else {
        return false;
    };
    let changed = thread.wait.is_some() != wait.is_some();
    thread.wait = wait;
    changed
}

/// The reason that the words of an event stand for, as far as a picture tells reasons apart.
fn reason(on: &str) -> WaitReason {
    let words = [
        ("memory", WaitReason::Memory),
        ("room in the receiver", WaitReason::PeerQueue),
        ("room in the listener", WaitReason::Backlog),
        ("a connection", WaitReason::Connection),
        ("readiness", WaitReason::Readiness),
        ("the end of a child", WaitReason::Child),
        ("the end of a thread", WaitReason::Thread),
        ("room", WaitReason::Room),
        ("time", WaitReason::Time),
    ];
    let found = words.iter().find(|(start, _)| on.starts_with(start));
    found.map_or(WaitReason::Readable, |(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use afunix::snapshot::{Process, Queue, Socket, SocketKind, SocketState, Thread};

    use super::*;

    fn snapshot(bytes: u64) -> Snapshot {
        let threads = vec![Thread { tid: 1, name: "x".into(), wait: None }];
        let process = Process { pid: 1, threads, ..Process::default() };
        let socket = Socket {
            id: 7,
            kind: SocketKind::Stream,
            state: SocketState::Connected,
            established: true,
            name: None,
            peer: None,
            shut_read: false,
            shut_write: false,
            error: 0,
            receive: Queue { messages: 0, bytes },
            input: 0,
            send_memory: 0,
            send_buffer: 0,
            backlog: None,
            pending: Vec::new(),
            in_flight: Vec::new(),
            inode: None,
        };
        Snapshot { processes: vec![process], sockets: vec![socket], ..Snapshot::default() }
    }

    fn events(kinds: Vec<EventKind>) -> Vec<Event> {
        let event = |(seq, kind)| Event { seq, at: seq, process: 1, thread: 1, kind };
        (0..).zip(kinds).map(event).collect()
    }

    fn queued(bytes: u64) -> EventKind {
        EventKind::Queued { from: 8, to: 7, bytes, files: 0 }
    }

    #[test]
    fn events_fill_the_time_between_snapshots() {
        let taken = EventKind::Taken { socket: 7, bytes: 2, files: 0 };
        let wait = EventKind::Blocked { on: "memory of the send buffer".into(), socket: Some(7) };
        let enter = EventKind::Enter { call: "sendto(3, 9 bytes)".into(), socket: None };
        let events = events(vec![queued(5), taken, enter, wait, EventKind::Woken { by: None }]);
        let found = moments(&events, &[(0, snapshot(0)), (5, snapshot(9))]);
        let bytes: Vec<(usize, u64)> =
            found.iter().map(|(at, now)| (*at, now.sockets[0].receive.bytes)).collect();
        assert_eq!(bytes, [(0, 0), (1, 5), (2, 3), (4, 3), (5, 9)]);
        let wait = found[3].1.processes[0].threads[0].wait.as_ref().unwrap();
        assert_eq!((wait.call.as_str(), wait.reason), ("sendto", WaitReason::Memory));
        assert!(found[4].1.processes[0].threads[0].wait.is_none());
    }

    #[test]
    fn of_very_many_a_sample_and_always_the_last() {
        let events = events((0..50_000).map(|_| queued(1)).collect());
        let found = moments(&events, &[(0, snapshot(0))]);
        assert!((1_000..=MOST + 1).contains(&found.len()), "{}", found.len());
        assert_eq!(found.last().unwrap().1.sockets[0].receive.bytes, 50_000);
        assert_eq!(moments(&events, &[]), []);
    }
}
