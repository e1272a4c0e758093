//! MEM: what is charged, how far a sender gets, when it may write again.

use afunix::options::{SO_SNDBUF, SOL_SOCKET};
use afunix::{Readiness, SocketType};

use super::*;

fn set_send_buffer(world: &mut World, key: SocketKey, value: i32) {
    let value = value.to_ne_bytes();
    let tickets = &mut world.tickets;
    world.sockets.setsockopt(tickets, &USER, key, SOL_SOCKET, SO_SNDBUF, &value).expect("is set");
}

#[test]
fn mem_2_and_3_a_record_is_charged_by_its_length() {
    for (bytes, charge) in [
        (0, 768),
        (1, 768),
        (192, 768),
        (193, 1280),
        (704, 1280),
        (705, 2304),
        (1728, 2304),
        (1729, 4352),
        (3776, 4352),
        (3777, 8448),
        (7872, 8448),
        (7873, 16640),
        (16064, 16640),
        (16065, 16640 + 4096),
        (100_000, 33024 + 69_632),
    ] {
        let mut world = World::new();
        let (one, two) = world.pair(SocketType::Seqpacket);
        assert_eq!(world.send(one, &vec![b'x'; bytes]), Ok(bytes));
        assert_eq!(world.sockets.outq(one), charge, "{bytes} bytes");
        assert_eq!(world.receive(two, bytes).map(|text| text.len()), Ok(bytes));
        assert_eq!(world.sockets.outq(one), 0, "{bytes} bytes");
    }
}

#[test]
fn mem_6_a_stream_takes_so_many_messages_and_so_many_bytes() {
    let mut world = World::new();
    let (one, _two) = world.pair(SocketType::Stream);
    let sent = (0..).take_while(|_| world.send(one, b"x").is_ok()).count();
    assert_eq!(sent, 278);
    let (one, _two) = world.pair(SocketType::Stream);
    assert_eq!(world.send(one, &vec![0; 1 << 20]), Ok(219_264));
    assert_eq!(world.sockets.outq(one), 222_720);
    let (one, _two) = world.pair(SocketType::Stream);
    set_send_buffer(&mut world, one, 0);
    assert_eq!(world.send(one, &vec![0; 1 << 20]), Ok(4480));
    assert_eq!(world.sockets.outq(one), 8704);
}

#[test]
fn mem_7_a_partial_read_frees_nothing() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Stream);
    world.send(one, b"hello").expect("there is room");
    assert_eq!(world.receive(two, 4).as_deref(), Ok("hell"));
    assert_eq!(world.sockets.outq(one), 768);
    assert_eq!(world.sockets.inq(two), Ok(1));
    assert_eq!(world.receive(two, 4).as_deref(), Ok("o"));
    assert_eq!(world.sockets.outq(one), 0);
}

#[test]
fn mem_8_the_seventieth_message_makes_it_unwritable() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Stream);
    for number in 1..=70 {
        world.send(one, b"x").expect("there is room");
        let writable = world.sockets.readiness(one).contains(Readiness::OUT);
        assert_eq!(writable, number < 70);
    }
    world.receive(two, 1).expect("there is data");
    assert!(world.sockets.readiness(one).contains(Readiness::OUT));
}

#[test]
fn mem_4_a_record_must_leave_32_bytes() {
    let mut world = World::new();
    let (one, _two) = world.pair(SocketType::Datagram);
    set_send_buffer(&mut world, one, 4000);
    assert_eq!(world.send(one, &[0; 8000 - 31]), Err(Errno::MSGSIZE));
    assert_eq!(world.send(one, &[0; 8000 - 32]), Ok(8000 - 32));
}
