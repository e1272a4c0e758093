//! The invariants themselves: whatever is broken on purpose is found, and named.

use super::*;
use crate::profile::Bugs;
use crate::sockets::socket::{Flags, State};

/// A state in which every invariant has something to hold, and its sockets.
struct Scene {
    sockets: Sockets,
    /// A connected pair; `near` is sent to itself and has sent "data" to `far`.
    near: SocketKey,
    far: SocketKey,
    /// A listener and what waits in its backlog.
    listener: SocketKey,
    waiting: SocketKey,
    /// A closed datagram socket whose message is still queued at `receiver`.
    gone: SocketKey,
    receiver: SocketKey,
}

fn scene() -> Scene {
    let mut world = World::new();
    // Without the bug of OOB 9 the input is exactly what is queued.
    world.sockets.profile.bugs = Bugs::empty();
    let (near, far) = world.pair(SocketType::Stream);
    world.send(near, b"data").expect("there is room");
    let own = Attachment { file: File(1), socket: Some(near) };
    world.send_with(far, b"f", &[own], SendFlags::empty()).expect("there is room");
    let listener = world.listener("name", 3);
    let client = world.socket(SocketType::Stream);
    world.connect(client, "name").expect("there is room");
    let waiting = world.sockets.table[listener].backlog.get(0).expect("a connection");
    let (gone, receiver) = world.pair(SocketType::Datagram);
    world.send(gone, b"last").expect("there is room");
    world.close(gone);
    Scene { sockets: world.sockets, near, far, listener, waiting, gone, receiver }
}

/// What is said of a scene after a change.
fn said(change: impl FnOnce(&mut Scene)) -> String {
    let mut scene = scene();
    assert_eq!(scene.sockets.check(), Ok(()));
    change(&mut scene);
    scene.sockets.check().expect_err("it is broken")
}

#[track_caller]
fn found(words: &str, change: impl FnOnce(&mut Scene)) {
    let said = said(change);
    assert!(said.contains(words), "{said}");
}

#[test]
fn counts() {
    found("told", |scene| scene.sockets.table[scene.near].send_memory += 1);
    found("told", |scene| scene.sockets.table[scene.near].parked += 1);
    found("told", |scene| scene.sockets.table[scene.near].pointed_at += 1);
    found("told", |scene| scene.sockets.table[scene.near].in_flight += 1);
    found("told", |scene| scene.sockets.table[scene.far].carried += 1);
    found("files in flight", |scene| {
        scene.sockets.in_flight_of_user.insert(1000, 2);
    });
    found("files in flight", |scene| scene.sockets.in_flight_of_user.clear());
}

#[test]
fn queues() {
    found("holds 4 bytes, counts 3", |scene| scene.sockets.table[scene.far].queue.input -= 1);
    found("holds 4 bytes, counts 5", |scene| scene.sockets.table[scene.far].queue.input += 1);
    found("holds 4 bytes, counts 3", |scene| {
        scene.sockets.profile.bugs = Bugs::DISCARDED_OOB_STAYS_COUNTED;
        scene.sockets.table[scene.far].queue.input -= 1;
    });
    found("buffers hold", |scene| {
        scene.sockets.table[scene.far].queue.get_mut(0).expect("data").len += 1;
    });
    found("out-of-band", |scene| {
        scene.sockets.table[scene.far].queue.get_mut(0).expect("data").urgent = true;
    });
    let mut scene = scene();
    scene.sockets.profile.bugs = Bugs::DISCARDED_OOB_STAYS_COUNTED;
    scene.sockets.table[scene.far].queue.input += 1;
    assert_eq!(scene.sockets.check(), Ok(()), "OOB 9: it may be too high");
}

#[test]
fn connections() {
    found("connected to another", |scene| {
        let (near, far) = (scene.near, scene.far);
        scene.sockets.table[far].peer = Some(far);
        scene.sockets.table[far].pointed_at += 1;
        scene.sockets.table[near].pointed_at -= 1;
    });
    found("does not listen", |scene| {
        scene.sockets.table[scene.listener].state = State::Closed;
    });
    found("in its backlog", |scene| {
        scene.sockets.table[scene.waiting].listener = Some(scene.near);
    });
    found("in its backlog", |scene| {
        scene.sockets.table[scene.waiting].flags.remove(Flags::PENDING)
    });
}

#[test]
fn the_dead() {
    found("dead, and still", |scene| {
        let (near, far) = (scene.near, scene.far);
        scene.sockets.table[far].peer = None;
        scene.sockets.table[near].pointed_at -= 1;
        scene.sockets.table[far].flags.insert(Flags::DEAD);
    });
    found("dead, and still", |scene| {
        let (listener, waiting) = (scene.listener, scene.waiting);
        // Something refers to it.
        scene.sockets.table[waiting].peer = Some(listener);
        scene.sockets.table[listener].pointed_at += 1;
        let client = scene.sockets.table.values_mut().find(|socket| socket.peer == Some(waiting));
        client.expect("a client").pointed_at -= 1;
        scene.sockets.table[listener].flags.insert(Flags::DEAD);
    });
    found("in its backlog", |scene| scene.sockets.table[scene.waiting].flags.insert(Flags::DEAD));
    found("dead, and nothing", |scene| {
        let socket = scene.sockets.create(&USER, SocketType::Stream);
        scene.sockets.table[socket].flags.insert(Flags::DEAD);
    });
    found("dead, and still", |scene| {
        let (gone, receiver) = (scene.gone, scene.receiver);
        scene.sockets.table[gone].peer = Some(receiver);
        scene.sockets.table[receiver].pointed_at += 1;
    });
}

#[test]
fn names() {
    found("does not know it", |scene| scene.sockets.table[scene.listener].holds_name = false);
    found("does not know it", |scene| scene.sockets.table[scene.listener].bound = None);
    found("a closed socket", |scene| {
        scene.sockets.inodes.insert(NameKey { dev: 1, ino: 1 }, scene.gone);
    });
}
