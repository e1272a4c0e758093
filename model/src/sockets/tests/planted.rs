//! The bugs that are planted for the differential test: each does what its name says, and no more.

use super::*;
use crate::profile::Planted;
use afunix::Readiness;

fn world(planted: Planted) -> World {
    let mut world = World::new();
    world.sockets.profile.planted = planted;
    world
}

#[test]
fn short_read_keeps_rest() {
    for kind in [SocketType::Datagram, SocketType::Seqpacket] {
        let mut world = world(Planted::SHORT_READ_KEEPS_REST);
        let (one, two) = world.pair(kind);
        for message in ["abcdef", "ghi", ""] {
            world.send(one, message.as_bytes()).expect("there is room");
        }
        for (len, read, left) in [(2, "ab", 7), (0, "", 3), (2, "gh", 1), (1, "i", 0), (1, "", 0)] {
            assert_eq!(world.receive(two, len).as_deref(), Ok(read));
            assert_eq!(world.sockets.table[two].queue.input, left, "after {read:?}");
        }
        assert_eq!(world.receive(two, 1), Err(Errno::AGAIN));
        assert_eq!(world.sockets.outq(one), 0, "what is read whole gives its memory back");
    }
}

#[test]
fn partial_read_frees_memory() {
    let mut world = world(Planted::PARTIAL_READ_FREES_MEMORY);
    let (one, two) = world.pair(SocketType::Stream);
    world.send(one, b"abcdef").expect("there is room");
    let charged = world.sockets.outq(one);
    for read in 1..6 {
        world.receive(two, 1).expect("there is more");
        assert_eq!(world.sockets.outq(one), charged - read);
    }
    world.receive(two, 1).expect("the last");
    assert_eq!(world.sockets.outq(one), 0);
}

#[test]
fn fault_sends_partial_buffer() {
    for (planted, sent) in
        [(Planted::FAULT_SENDS_PARTIAL_BUFFER, Ok(2)), (Planted::empty(), Err(Errno::FAULT))]
    {
        for (data, sent) in [
            (vec![Segment::Bytes(b"ab"), Segment::Fault(3)], sent),
            (vec![Segment::Fault(3)], Err(Errno::FAULT)),
        ] {
            let mut world = world(planted);
            let (one, two) = world.pair(SocketType::Stream);
            let flags = SendFlags::DONTWAIT;
            let out = Outgoing { data: &data, to: SendTo::Peer, flags, nonblocking: false };
            let (tickets, sending) = (&mut world.tickets, &mut Sending::default());
            let result = world.sockets.send(tickets, &USER, one, &out, sending, Cause::Run);
            assert_eq!(result.map_err(error), sent);
            world.sockets.finish_send(&mut world.tickets, sending);
            let read = world.receive(two, 9).map(|text| text.len());
            assert_eq!(read, sent.map_err(|_| Errno::AGAIN));
        }
    }
}

#[test]
fn backlog_off_by_one() {
    for (planted, connections) in [(Planted::BACKLOG_OFF_BY_ONE, 2), (Planted::empty(), 3)] {
        let mut world = world(planted);
        world.listener("l", 2);
        for count in 0.. {
            let client = world.socket(SocketType::Stream);
            if let Err(stop) = world.connect(client, "l") {
                assert!(matches!(stop, Stop::Wait(_)));
                assert_eq!(count, connections);
                break;
            }
        }
    }
}

#[test]
fn writable_until_full() {
    for (planted, messages) in [(Planted::WRITABLE_UNTIL_FULL, 278), (Planted::empty(), 70)] {
        let mut world = world(planted);
        let (one, _two) = world.pair(SocketType::Seqpacket);
        let writable = |world: &mut World| world.sockets.readiness(one).contains(Readiness::OUT);
        let mut count = 0;
        while writable(&mut world) {
            world.send(one, b"x").expect("there is room");
            count += 1;
        }
        assert_eq!(count, messages);
        let listener = world.listener("l", 2);
        assert!(!world.sockets.readiness(listener).contains(Readiness::OUT));
    }
}
