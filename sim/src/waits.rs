//! Who waits for whom: the report of a deadlock.

use afunix::snapshot::{Snapshot, Socket, WaitReason};

use crate::record::socket_of;
use crate::report::{Failure, FailureKind};
use crate::world::{State, Target, Thread, Waiting, World};

/// What would let a call go on, in words.
pub(crate) fn words(reason: WaitReason) -> String {
    match reason {
        WaitReason::Readable => "data, or the end of file",
        WaitReason::Memory => "memory of the send buffer",
        WaitReason::PeerQueue => "room in the receiver's queue",
        WaitReason::Connection => "a connection",
        WaitReason::Backlog => "room in the listener's backlog",
        WaitReason::Readiness => "readiness of a descriptor",
        WaitReason::Room => "room in a pipe or counter",
        WaitReason::Child => "the end of a child",
        WaitReason::Thread => "the end of a thread",
        WaitReason::Time => "time",
        WaitReason::Lock => "a lock",
        WaitReason::Notification => "a notification",
        WaitReason::Message => "a message of a channel",
        WaitReason::ChannelRoom => "room in a channel",
    }
    .to_owned()
}

/// The failure of a world in which no thread can go on.
pub(crate) fn deadlock(world: &World) -> Failure {
    let snapshot = world.snapshot();
    let waits = lines(world, &snapshot);
    let ring = cycle(world, &snapshot);
    let mut failure = Failure::new(FailureKind::Deadlock, "no thread can ever go on");
    let blamed: Vec<u32> = match &ring {
        Some(ring) => ring.clone(),
        None => waiting(world).map(|(slot, ..)| slot).collect(),
    };
    let mut parts: Vec<String> = blamed
        .iter()
        .filter_map(|slot| {
            let thread = &world.threads[*slot as usize];
            let waiting = thread.waiting.as_ref()?;
            Some(format!("{} {} {:?}", thread.name, waiting.call, waiting.on.reason))
        })
        .collect();
    parts.sort_unstable();
    failure.signature = format!("deadlock: {}", parts.join(", "));
    if let Some(ring) = ring {
        let mut names: Vec<String> = ring.iter().map(|slot| world.title(*slot)).collect();
        failure.message = match &names[..] {
            [one] => format!("{one} waits for itself"),
            names => format!("{} wait for each other", names.join(" and ")),
        };
        names.push(names[0].clone());
        failure.cycle = ring.iter().map(|slot| world.threads[*slot as usize].tid.0).collect();
        failure.cycle_text = Some(names.join(" -> "));
    }
    failure.waits = waits;
    failure
}

fn waiting(world: &World) -> impl Iterator<Item = (u32, &Thread, &Waiting)> {
    world.threads.iter().enumerate().filter_map(|(slot, thread)| {
        let waiting = thread.waiting.as_ref().filter(|_| thread.state == State::Waiting)?;
        Some((slot as u32, thread, waiting))
    })
}

/// For each thread that waits, a line.
pub(crate) fn lines(world: &World, snapshot: &Snapshot) -> Vec<String> {
    waiting(world)
        .map(|(slot, thread, waiting)| {
            let title = world.title(slot);
            let mut line = match (waiting.target, waiting.fd) {
                (Target::Thread(other), _) => {
                    return format!("{title}: waits for the end of {}", world.title(other));
                }
                (Target::Child(pid), _) => {
                    let name = world.processes.iter().find(|process| process.pid == pid);
                    let name = name.map_or("?", |process| &process.name);
                    return format!("{title}: waitpid({pid}) waits for the end of {name}");
                }
                (Target::Memory(number), _) => format!("{title}: {}(#{number})", waiting.call),
                (_, Some(fd)) => format!("{title}: {}({fd})", waiting.call),
                (_, None) => format!("{title}: {}()", waiting.call),
            };
            line += &format!(" waits for {}", words(waiting.on.reason));
            if let Target::Memory(number) = waiting.target {
                line += &held_by(world, number);
            }
            if let Some(socket) = own_socket(snapshot, thread, waiting) {
                line += &buffers(snapshot, socket, waiting.on.reason);
            }
            line
        })
        .collect()
}

/// Who holds something in memory.
fn held_by(world: &World, number: u32) -> String {
    let holders = &world.memory[number as usize].holders;
    let names: Vec<String> = holders.iter().map(|slot| world.title(*slot)).collect();
    match &names[..] {
        [] => String::new(),
        names => format!(", held by {}", names.join(" and ")),
    }
}

/// How full the buffers are that a wait is about.
fn buffers(snapshot: &Snapshot, socket: &Socket, reason: WaitReason) -> String {
    let peer = socket.peer.and_then(|peer| find(snapshot, peer));
    let queued = |socket: &Socket| {
        format!("{} bytes in {} buffers", socket.receive.bytes, socket.receive.messages)
    };
    match reason {
        WaitReason::Memory | WaitReason::PeerQueue => {
            let mut text = format!(
                ": its send buffer is full ({} of {} bytes charged)",
                socket.send_memory, socket.send_buffer
            );
            if let Some(peer) = peer {
                text += &format!(", and the peer has not read {}", queued(peer));
            }
            text
        }
        WaitReason::Readable => format!(": its receive queue holds {}", queued(socket)),
        _ => String::new(),
    }
}

fn find(snapshot: &Snapshot, id: u64) -> Option<&Socket> {
    snapshot.sockets.iter().find(|socket| socket.id == id)
}

fn own_socket<'a>(
    snapshot: &'a Snapshot,
    thread: &Thread,
    waiting: &Waiting,
) -> Option<&'a Socket> {
    find(snapshot, socket_of(snapshot, thread.pid, waiting.fd?)?)
}

/// The threads that could let this one go on, as far as can be told.
fn could_wake(world: &World, snapshot: &Snapshot, slot: u32) -> Vec<u32> {
    let thread = &world.threads[slot as usize];
    let Some(waiting) = thread.waiting.as_ref().filter(|_| thread.state == State::Waiting) else {
        return Vec::new();
    };
    let living = |other: &&Thread| other.state != State::Ended;
    match waiting.target {
        Target::Thread(other) => return vec![other],
        Target::Child(pid) => {
            return slots(world, |other| other.pid == pid && living(&other));
        }
        Target::Memory(number) => {
            let memory = &world.memory[number as usize];
            return match memory.holders.is_empty() {
                false => memory.holders.clone(),
                true => memory.users.iter().copied().filter(|user| *user != slot).collect(),
            };
        }
        Target::Call => {}
    }
    let Some(own) = own_socket(snapshot, thread, waiting) else { return Vec::new() };
    let others: Vec<u64> = match waiting.on.reason {
        WaitReason::Readable | WaitReason::Memory => snapshot
            .sockets
            .iter()
            .filter(|socket| own.peer == Some(socket.id) || socket.peer == Some(own.id))
            .map(|socket| socket.id)
            .collect(),
        WaitReason::PeerQueue | WaitReason::Backlog => {
            waiting.on.socket.or(own.peer).into_iter().collect()
        }
        _ => Vec::new(),
    };
    // Of the threads that hold the other end, those that wait at it are meant; else those that may
    // yet use it; and the thread itself only if nobody else is there.
    let at_it = slots(world, |other| {
        other.tid != thread.tid
            && other.waiting.as_ref().is_some_and(|waiting| {
                own_socket(snapshot, other, waiting).is_some_and(|it| others.contains(&it.id))
            })
    });
    if !at_it.is_empty() {
        return at_it;
    }
    let holders = slots(world, |other| {
        living(&other) && others.iter().any(|socket| holds(snapshot, other, *socket))
    });
    let apart: Vec<u32> = holders.iter().copied().filter(|other| *other != slot).collect();
    if apart.is_empty() { holders } else { apart }
}

fn slots(world: &World, wanted: impl Fn(&Thread) -> bool) -> Vec<u32> {
    let all = world.threads.iter().enumerate();
    all.filter(|(_, thread)| wanted(thread)).map(|(slot, _)| slot as u32).collect()
}

fn holds(snapshot: &Snapshot, thread: &Thread, socket: u64) -> bool {
    let process = snapshot.processes.iter().find(|it| it.pid == thread.pid.0.unsigned_abs());
    process.is_some_and(|process| {
        let numbers = process.descriptors.iter().map(|descriptor| descriptor.fd);
        numbers.into_iter().any(|fd| socket_of(snapshot, thread.pid, fd) == Some(socket))
    })
}

/// A ring of threads each of which waits for the next: the shortest, and of those the first. One in
/// which nobody waits for the end of a thread comes before, since that thread may only be taken for
/// one that could help.
fn cycle(world: &World, snapshot: &Snapshot) -> Option<Vec<u32>> {
    let edges: Vec<Vec<u32>> =
        (0..world.threads.len() as u32).map(|slot| could_wake(world, snapshot, slot)).collect();
    let rings = (0..edges.len() as u32).filter_map(|start| shortest_ring(&edges, start));
    let joins = |slot: &u32| {
        let waiting = world.threads[*slot as usize].waiting;
        waiting.is_some_and(|waiting| matches!(waiting.target, Target::Thread(_)))
    };
    rings.min_by_key(|ring| (ring.len() == 1, ring.iter().any(joins), ring.len()))
}

/// The shortest way from `start` back to it, breadth first.
fn shortest_ring(edges: &[Vec<u32>], start: u32) -> Option<Vec<u32>> {
    let mut before: Vec<Option<u32>> = vec![None; edges.len()];
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(slot) = queue.pop_front() {
        for next in &edges[slot as usize] {
            if *next == start {
                let mut ring = vec![slot];
                while ring[ring.len() - 1] != start {
                    ring.push(before[ring[ring.len() - 1] as usize]?);
                }
                ring.reverse();
                return Some(ring);
            }
            if before[*next as usize].is_none() {
                before[*next as usize] = Some(slot);
                queue.push_back(*next);
            }
        }
    }
    None
}
