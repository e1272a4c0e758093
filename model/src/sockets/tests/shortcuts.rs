//! That the short ways are gone, where they may be: what they do, `tests/model/shortcuts.rs` holds
//! to the general way.

use super::*;

const KINDS: [SocketType; 3] = [SocketType::Stream, SocketType::Datagram, SocketType::Seqpacket];

fn send(world: &mut World, key: SocketKey, bytes: &[u8]) -> Option<usize> {
    let sent = world.sockets.send_shortcut(&mut world.tickets, key, bytes, None);
    world.check();
    sent
}

fn receive(world: &mut World, key: SocketKey, len: usize) -> Option<Vec<u8>> {
    let mut room = vec![0; len];
    let count = world.sockets.receive_shortcut(&mut world.tickets, key, &mut room, None);
    world.check();
    count.map(|count| room[..count].to_vec())
}

#[test]
fn a_plain_pair_goes_the_short_way() {
    for kind in KINDS {
        let mut world = World::new();
        let (one, two) = world.pair(kind);
        for text in ["x", "some text"] {
            assert_eq!(send(&mut world, one, text.as_bytes()), Some(text.len()), "{kind:?}");
            assert_eq!(receive(&mut world, two, 100).as_deref(), Some(text.as_bytes()));
        }
        let short = kind != SocketType::Datagram;
        assert_eq!(world.sockets.close_shortcut(one), short.then_some(()));
    }
}

#[test]
fn many_buffers_of_a_stream_go_the_short_way() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Stream);
    let data: Vec<u8> = (0..100_000).map(|place| (place / 3) as u8).collect();
    assert_eq!(send(&mut world, one, &data), Some(data.len()));
    assert!(receive(&mut world, two, data.len()).as_ref() == Some(&data));
    assert_eq!(send(&mut world, one, &data), Some(data.len()));
    assert!(receive(&mut world, two, data.len() + 10) == Some(data), "into more room");
}

#[test]
fn messages_with_what_comes_beside_go_the_short_way() {
    let mut world = World::new();
    let (to, from) = (world.socket(SocketType::Datagram), world.socket(SocketType::Datagram));
    world.bind(to, "d");
    world.connect(from, "d").expect("it is bound");
    assert_eq!(send(&mut world, from, b"text"), Some(4));
    let (mut room, mut receiving) = ([0; 9], Receiving::default());
    let (tickets, wanted) = (&mut world.tickets, Some(&mut receiving));
    assert_eq!(world.sockets.receive_shortcut(tickets, to, &mut room, wanted), Some(4));
    assert_eq!(&room[..4], b"text");
    world.check();
    assert_eq!(send(&mut world, from, b"text"), Some(4));
    let (tickets, wanted) = (&mut world.tickets, Some(&mut receiving));
    let cut = world.sockets.receive_shortcut(tickets, to, &mut room[..2], wanted);
    assert_eq!(cut, None, "that it is cut is told");
}

#[test]
fn the_low_water_mark_is_for_what_does_not_fill_the_room() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Stream);
    world.sockets.table[two].receive_low = 20;
    for _ in 0..2 {
        assert_eq!(send(&mut world, one, b"text"), Some(4));
    }
    assert_eq!(receive(&mut world, two, 100), None);
    assert_eq!(receive(&mut world, two, 8), Some(b"texttext".to_vec()));
}

#[test]
fn what_is_unusual_does_not() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Stream);
    assert_eq!(receive(&mut world, two, 1), None, "nothing is there");
    world.shutdown(two, 0);
    assert_eq!(send(&mut world, one, b"x"), None, "nobody reads");
}
