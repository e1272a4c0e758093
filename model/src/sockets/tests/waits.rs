//! Waiting: who is woken by what, and what a call that waited comes back with.

use super::*;

/// Fills one direction of a pair and lets a sender wait at it.
fn full_pair(world: &mut World) -> (SocketKey, SocketKey, Ticket, Sending) {
    let (one, two) = world.pair(SocketType::Stream);
    while world.send(one, b"x").is_ok() {}
    let mut sending = Sending::default();
    let stop = world.try_send(one, b"y", SendFlags::empty(), &mut sending, Cause::Run);
    let ticket = world.wait(stop.expect_err("there is no room"));
    (one, two, ticket, sending)
}

#[test]
fn mem_11_a_waiting_writer_is_woken_when_it_polls_writable() {
    let mut world = World::new();
    let (one, two, ticket, mut sending) = full_pair(&mut world);
    let reads = (1..).find(|_| {
        world.receive(two, 1).expect("there is data");
        world.is_woken(ticket)
    });
    assert_eq!(reads, Some(209));
    let sent = world.try_send(one, b"y", SendFlags::empty(), &mut sending, Cause::Run);
    assert_eq!(sent, Ok(1));
}

#[test]
fn mem_11_data_that_comes_in_lets_a_waiting_writer_look_again() {
    let mut world = World::new();
    let (_one, two, ticket, _) = full_pair(&mut world);
    world.send(two, b"z").expect("there is room");
    assert!(!world.is_woken(ticket), "there is nothing to go on with");
    world.receive(two, 1).expect("there is data");
    assert!(!world.is_woken(ticket));
    world.send(two, b"z").expect("there is room");
    assert!(world.is_woken(ticket));
}

#[test]
fn ssend_13_a_waiting_writer_gets_the_reset_without_sigpipe() {
    let mut world = World::new();
    let (one, two, ticket, mut sending) = full_pair(&mut world);
    world.close(two);
    assert!(world.is_woken(ticket));
    let sent = world.try_send(one, b"y", SendFlags::empty(), &mut sending, Cause::Run);
    assert_eq!(sent, Err(Errno::CONNRESET.into()));
    assert!(!sending.sigpipe);
}

/// The time of a wait begins anew where something was sent since the last one, and only there.
#[test]
fn ssend_14_each_buffer_waits_for_a_time_of_its_own() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Stream);
    let (data, mut sending) = (vec![0; 1 << 20], Sending::default());
    let mut waits_anew = |world: &mut World, cause| match world.try_send(
        one,
        &data,
        SendFlags::empty(),
        &mut sending,
        cause,
    ) {
        Err(Stop::Wait(waiting)) => waiting.anew,
        other => panic!("there is not so much room: {other:?}"),
    };
    assert!(waits_anew(&mut world, Cause::Run));
    assert!(!waits_anew(&mut world, Cause::Run), "nothing was sent meanwhile");
    world.receive(two, 1 << 20).expect("there is data");
    assert!(waits_anew(&mut world, Cause::Run));
}

#[test]
fn ssend_14_time_over_or_a_signal_give_the_partial_count() {
    for cause in [Cause::TimedOut, Cause::Interrupted] {
        let mut world = World::new();
        let (one, _two) = world.pair(SocketType::Stream);
        let (data, mut sending) = (vec![0; 1 << 20], Sending::default());
        let stop = world.try_send(one, &data, SendFlags::empty(), &mut sending, Cause::Run);
        world.wait(stop.expect_err("there is not so much room"));
        let sent = world.try_send(one, &data, SendFlags::empty(), &mut sending, cause);
        assert_eq!(sent, Ok(219_264));
    }
}

#[test]
fn dsend_4_and_6_senders_wait_in_order_with_their_memory() {
    let mut world = World::new();
    let receiver = world.socket(SocketType::Datagram);
    world.bind(receiver, "r");
    let mut waiting = Vec::new();
    for number in 0..13 {
        let sender = world.socket(SocketType::Datagram);
        world.connect(sender, "r").expect("it is there");
        let mut sending = Sending::default();
        match world.try_send(sender, b"m", SendFlags::empty(), &mut sending, Cause::Run) {
            Ok(1) => assert!(number < 11),
            stop => {
                let ticket = world.wait(stop.expect_err("the queue is full"));
                waiting.push((sender, ticket, sending));
            }
        }
        assert_eq!(world.sockets.outq(sender), 768);
    }
    world.receive(receiver, 1).expect("there is a message");
    let woken: Vec<bool> = waiting.iter().map(|waiter| world.is_woken(waiter.1)).collect();
    assert_eq!(woken, [true, false]);
    let (sender, _, mut sending) = waiting.swap_remove(0);
    // DSEND 6: to leave the receiver does not keep the message back.
    world.sockets.disconnect(&mut world.tickets, sender);
    let sent = world.try_send(sender, b"m", SendFlags::empty(), &mut sending, Cause::Run);
    assert_eq!(sent, Ok(1));
    let (other, _, mut sending) = waiting.remove(0);
    let sent = world.try_send(other, b"m", SendFlags::empty(), &mut sending, Cause::Interrupted);
    assert_eq!(sent, Err(Errno::INTR.into()));
    assert_eq!(world.sockets.outq(other), 0);
}

#[test]
fn connect_11_an_accept_wakes_one_connector_and_close_all() {
    let mut world = World::new();
    let listener = world.listener("l", 0);
    let mut tickets = Vec::new();
    for number in 0..4 {
        let client = world.socket(SocketType::Stream);
        match world.connect(client, "l") {
            Ok(()) => assert_eq!(number, 0),
            Err(stop) => tickets.push(world.wait(stop)),
        }
    }
    let accepted =
        world.sockets.accept(&mut world.tickets, listener, true, Cause::Run).expect("one waits");
    let woken = |world: &World| tickets.iter().filter(|ticket| world.is_woken(**ticket)).count();
    assert_eq!(woken(&world), 1);
    world.close(accepted);
    world.close(listener);
    assert_eq!(woken(&world), 3);
}

#[test]
fn srecv_14_waitall_gives_what_came_when_the_time_is_over() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Stream);
    world.send(one, b"ab").expect("there is room");
    let (mut data, mut receiving) = ([0; 4], Receiving::default());
    let flags = RecvFlags::WAITALL;
    let stop = world.try_receive(two, &mut data, flags, &mut receiving, Cause::Run);
    let ticket = world.wait(stop.expect_err("four are asked for"));
    world.send(one, b"c").expect("there is room");
    assert!(world.is_woken(ticket));
    let stop = world.try_receive(two, &mut data, flags, &mut receiving, Cause::Run);
    world.wait(stop.expect_err("four are asked for"));
    let count = world.try_receive(two, &mut data, flags, &mut receiving, Cause::TimedOut);
    assert_eq!((count, &data[..3]), (Ok(3), &b"abc"[..]));
}

#[test]
fn srecv_19_receivers_of_datagrams_are_served_in_order() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Datagram);
    let tickets: Vec<Ticket> = (0..2)
        .map(|_| {
            let mut receiving = Receiving::default();
            let stop =
                world.try_receive(two, &mut [0], RecvFlags::empty(), &mut receiving, Cause::Run);
            world.wait(stop.expect_err("nothing is there"))
        })
        .collect();
    world.send(one, b"x").expect("there is room");
    assert!(world.is_woken(tickets[0]) && !world.is_woken(tickets[1]));
    world.shutdown(two, 0);
    assert!(world.is_woken(tickets[1]));
}
