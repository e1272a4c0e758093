//! SHUT, DGCONN 3, DSEND 3: what the other end learns.

use afunix::Readiness;

use super::*;

#[test]
fn shut_4_and_5_unread_data_resets_the_peer_once() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Stream);
    world.send(one, b"unread").expect("there is room");
    world.send(two, b"queued").expect("there is room");
    world.close(two);
    assert!(world.sockets.readiness(one).contains(Readiness::ERR | Readiness::HUP));
    assert_eq!(world.send(one, b"x"), Err(Errno::PIPE));
    assert_eq!(world.receive(one, 10).as_deref(), Ok("queued"));
    assert_eq!(world.receive(one, 10), Err(Errno::CONNRESET));
    assert_eq!(world.receive(one, 10).as_deref(), Ok(""));
}

#[test]
fn shut_4_a_leading_empty_record_does_not_reset() {
    for (records, last) in [(1, Ok("")), (2, Err(Errno::CONNRESET))] {
        let mut world = World::new();
        let (one, two) = world.pair(SocketType::Seqpacket);
        for _ in 0..records {
            world.send(one, b"").expect("there is room");
        }
        world.close(two);
        assert_eq!(world.receive(one, 1).as_deref(), last.as_ref().copied());
    }
}

#[test]
fn shut_4_closing_a_listener_resets_whoever_waits_at_it() {
    let mut world = World::new();
    let listener = world.listener("l", 5);
    let client = world.socket(SocketType::Stream);
    world.connect(client, "l").expect("there is room");
    world.send(client, b"early").expect("there is room");
    world.close(listener);
    assert_eq!(world.sockets.outq(client), 0);
    assert_eq!(world.receive(client, 1), Err(Errno::CONNRESET));
}

#[test]
fn dgconn_3_a_new_peer_purges_the_queue_and_tells_the_old_one() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Datagram);
    world.send(two, b"lost").expect("there is room");
    world.sockets.disconnect(&mut world.tickets, one);
    assert_eq!(world.receive(one, 9), Err(Errno::AGAIN));
    assert_eq!(world.receive(two, 9), Err(Errno::CONNRESET));
    assert_eq!(world.receive(two, 9), Err(Errno::AGAIN));
}

#[test]
fn dsend_3_the_first_send_to_a_closed_peer_is_refused_and_disconnects() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Datagram);
    world.send(two, b"read me").expect("there is room");
    world.close(two);
    assert!(!world.sockets.readiness(one).contains(Readiness::HUP));
    assert_eq!(world.send(one, b"x"), Err(Errno::CONNREFUSED));
    assert_eq!(world.receive(one, 9), Err(Errno::AGAIN));
    assert_eq!(world.send(one, b"x"), Err(Errno::NOTCONN));
    world.close(one);
    assert_eq!(world.sockets.table.len(), 0);
}

#[test]
fn drecv_7_a_sender_that_is_closed_is_kept_until_its_last_message_is_read() {
    let mut world = World::new();
    let receiver = world.socket(SocketType::Datagram);
    world.bind(receiver, "r");
    let sender = world.socket(SocketType::Datagram);
    world.connect(sender, "r").expect("it is there");
    world.send(sender, b"x").expect("there is room");
    world.bind(sender, "late");
    world.close(sender);
    let mut data = [SegmentMut::Fault(0)];
    let (flags, mut receiving) = (RecvFlags::PEEK, Receiving::default());
    let mut into = Incoming { data: &mut data, flags, nonblocking: true, want_name: true };
    let tickets = &mut world.tickets;
    let result = world.sockets.receive(tickets, receiver, &mut into, &mut receiving, Cause::Run);
    assert_eq!(result, Ok(0));
    assert_eq!(receiving.source.as_deref(), Some(&b"\0late"[..]));
    assert_eq!(world.receive(receiver, 1).as_deref(), Ok("x"));
    assert_eq!(world.sockets.table.len(), 1);
}

#[test]
fn dgconn_6_a_socket_connected_to_itself_closes_with_its_own_messages_unread() {
    let mut world = World::new();
    let own = world.socket(SocketType::Datagram);
    world.bind(own, "self");
    world.connect(own, "self").expect("it is there");
    for _ in 0..3 {
        world.send(own, b"x").expect("there is no limit for one's own");
    }
    world.close(own);
    assert_eq!(world.sockets.table.len(), 0);
}
