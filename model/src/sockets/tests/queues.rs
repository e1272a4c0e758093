//! Queues: messages that an unreliable network loses or moves, and the memory of what was read.

use super::*;

/// A receiver with these messages in its queue.
fn queued(world: &mut World, messages: &[&str]) -> SocketKey {
    let (from, to) = world.pair(SocketType::Datagram);
    for message in messages {
        world.send(from, message.as_bytes()).expect("there is room");
    }
    to
}

/// All that is in a queue, message by message; SIOCINQ tells of the next before each.
fn read(world: &mut World, key: SocketKey) -> Vec<String> {
    let mut all = Vec::new();
    while let Ok(message) = world.receive(key, 100) {
        all.push(message);
    }
    assert_eq!(world.sockets.table[key].queue.input, 0);
    all
}

#[test]
fn a_lost_message_is_the_newest() {
    let mut world = World::new();
    let to = queued(&mut world, &["one", "", "three"]);
    let sender = world.sockets.table[to].peer.expect("a pair");
    let charged = world.sockets.table[sender].send_memory;
    world.sockets.lose_newest(&mut world.tickets, to);
    world.check();
    assert_eq!(world.sockets.table[to].queue.input, 3);
    assert!(format!("{:?}", world.sockets.table[to].queue).contains("charge: 768"));
    assert!(world.sockets.table[sender].send_memory < charged, "its memory is given back");
    assert_eq!(read(&mut world, to), ["one", ""]);
}

#[test]
fn a_message_overtakes_as_many_as_there_are() {
    for (others, expected) in [
        (0, ["a", "bb", "ccc", "dddd"]),
        (1, ["a", "bb", "dddd", "ccc"]),
        (2, ["a", "dddd", "bb", "ccc"]),
        (3, ["dddd", "a", "bb", "ccc"]),
        (9, ["dddd", "a", "bb", "ccc"]),
    ] {
        let mut world = World::new();
        let to = queued(&mut world, &["a", "bb", "ccc", "dddd"]);
        world.sockets.overtake(to, others);
        world.check();
        assert_eq!(read(&mut world, to), expected, "{others}");
    }
    let mut world = World::new();
    let to = queued(&mut world, &[]);
    world.sockets.overtake(to, 1);
    world.check();
}

#[test]
fn reading_in_parts_counts_what_is_left() {
    let mut world = World::new();
    let (from, to) = world.pair(SocketType::Stream);
    world.send(from, b"abcdef").expect("there is room");
    world.send(from, b"ghi").expect("there is room");
    for (len, read, left) in
        [(1, "a", 8), (2, "bc", 6), (1, "d", 5), (3, "efg", 2), (1, "h", 1), (9, "i", 0)]
    {
        assert_eq!(world.receive(to, len).as_deref(), Ok(read));
        assert_eq!(world.sockets.table[to].queue.input, left);
    }
}

#[test]
fn what_was_read_takes_no_room_for_long() {
    for len in [1, 2, 3] {
        let mut world = World::new();
        let (from, to) = world.pair(SocketType::Stream);
        world.send(from, b"x").expect("there is room");
        for _ in 0..5000 {
            // The queue is never empty.
            world.send(from, &b"xyz"[..len]).expect("there is room");
            assert_eq!(world.receive(to, len).map(|text| text.len()), Ok(len));
        }
        let room = world.sockets.table[to].queue.room();
        assert!(room < 100, "{room} bytes of memory for one");
    }
}

#[test]
fn a_family_is_of_its_profile() {
    let profile = Profile { sockets_max: 4, ..Profile::linux_6_18() };
    assert_eq!(Sockets::new(profile).profile().sockets_max, 4);
}
