//! SRECV 5 to 17 and OOB: over which message buffers one read goes.

use super::*;

fn files(received: Result<(Vec<u8>, Vec<Attachment>), Errno>) -> (String, usize) {
    let (bytes, files) = received.expect("there is data");
    (String::from_utf8(bytes).expect("text was sent"), files.len())
}

const PLAIN: RecvFlags = RecvFlags::empty();

#[test]
fn srecv_6_a_read_stops_after_the_buffer_whose_files_it_took() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Stream);
    world.send(one, b"aa").expect("there is room");
    world.send_with(one, b"bb", &[plain_file(1)], SendFlags::empty()).expect("there is room");
    world.send(one, b"cc").expect("there is room");
    assert_eq!(files(world.receive_with(two, 10, PLAIN)), ("aabb".into(), 1));
    assert_eq!(files(world.receive_with(two, 10, PLAIN)), ("cc".into(), 0));
}

#[test]
fn srecv_7_what_is_left_of_it_merges_with_later_data() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Stream);
    world.send_with(one, b"bbbb", &[plain_file(1)], SendFlags::empty()).expect("there is room");
    world.send(one, b"cc").expect("there is room");
    assert_eq!(files(world.receive_with(two, 2, PLAIN)), ("bb".into(), 1));
    assert_eq!(files(world.receive_with(two, 10, PLAIN)), ("bbcc".into(), 0));
}

#[test]
fn srecv_17_a_peek_returns_files_whose_bytes_it_did_not_reach() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Stream);
    world.send(one, b"aa").expect("there is room");
    world.send_with(one, b"bb", &[plain_file(1)], SendFlags::empty()).expect("there is room");
    assert_eq!(files(world.receive_with(two, 1, RecvFlags::PEEK)), ("a".into(), 1));
    assert_eq!(files(world.receive_with(two, 4, PLAIN)), ("aabb".into(), 1));
}

#[test]
fn oob_5_a_read_stops_at_the_mark_and_then_discards_it() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Stream);
    world.send_with(one, b"hello", &[], SendFlags::OOB).expect("there is room");
    world.send(one, b"wld").expect("there is room");
    assert_eq!(world.receive(two, 10).as_deref(), Ok("hell"));
    assert_eq!(world.sockets.at_mark(two), Ok(true));
    assert_eq!(world.receive(two, 10).as_deref(), Ok("wld"));
    // OOB 9: a bug of that kernel.
    assert_eq!(world.sockets.inq(two), Ok(1));
}

#[test]
fn oob_3_and_4_a_placeholder_stays_where_the_byte_was() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Stream);
    world.send_with(one, b"X", &[], SendFlags::OOB).expect("there is room");
    assert_eq!(files(world.receive_with(two, 10, RecvFlags::OOB)), ("X".into(), 0));
    assert!(world.sockets.readiness(two).contains(afunix::Readiness::IN));
    assert_eq!(world.sockets.at_mark(two), Ok(true));
    assert_eq!(world.sockets.outq(one), 768);
    assert_eq!(world.receive(two, 10), Err(Errno::AGAIN));
    assert_eq!(world.sockets.outq(one), 0);
}

#[test]
fn oob_1_a_new_mark_makes_the_old_byte_ordinary() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Stream);
    world.send_with(one, b"ab", &[], SendFlags::OOB).expect("there is room");
    world.send_with(one, b"cd", &[], SendFlags::OOB).expect("there is room");
    assert_eq!(world.receive(two, 10).as_deref(), Ok("abc"));
    assert_eq!(files(world.receive_with(two, 1, RecvFlags::OOB)), ("d".into(), 0));
}

#[test]
fn oob_10_reading_the_byte_frees_a_placeholder_before_it() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Stream);
    for byte in [b"a", b"b"] {
        world.send_with(one, byte, &[], SendFlags::OOB).expect("there is room");
        world.receive_with(two, 1, RecvFlags::OOB).expect("there is a byte");
    }
    assert_eq!(world.sockets.outq(one), 768);
    world.send(one, b"after").expect("there is room");
    assert_eq!(world.receive(two, 10).as_deref(), Ok("after"));
    assert_eq!(world.sockets.outq(one), 0);
}

#[test]
fn drecv_3_a_short_buffer_drops_the_rest() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Datagram);
    world.send(one, b"long").expect("there is room");
    world.send(one, b"next").expect("there is room");
    assert_eq!(world.receive(two, 2).as_deref(), Ok("lo"));
    assert_eq!(world.receive(two, 9).as_deref(), Ok("next"));
}
