//! GC: sockets in flight that nobody can reach.

use std::collections::BTreeMap;

use super::*;

/// Files that are sockets, and how many references each has.
#[derive(Default)]
struct Files {
    references: BTreeMap<u64, usize>,
    sockets: BTreeMap<u64, SocketKey>,
}

impl Files {
    fn open(&mut self, socket: SocketKey) -> Attachment {
        let number = self.sockets.len() as u64;
        self.sockets.insert(number, socket);
        self.references.insert(number, 1);
        Attachment { file: File(number), socket: Some(socket) }
    }

    fn send(&mut self, world: &mut World, from: SocketKey, file: Attachment) {
        *self.references.get_mut(&file.file.0).expect("it is open") += 1;
        world.send_with(from, b"f", &[file], SendFlags::empty()).expect("there is room");
    }

    /// Drops a reference, and all that follows; returns how many sockets were collected.
    fn close(&mut self, world: &mut World, file: Attachment) {
        let mut dropped = vec![file];
        loop {
            let mut released = false;
            while let Some(file) = dropped.pop() {
                let count = self.references.get_mut(&file.file.0).expect("it is open");
                *count -= 1;
                if *count == 0 {
                    world.close(self.sockets[&file.file.0]);
                    released = true;
                }
                dropped.extend(std::iter::from_fn(|| world.sockets.next_dropped()));
            }
            if !released {
                return;
            }
            let references = &self.references;
            let count = &mut |file: File| references[&file.0];
            world.sockets.collect(&mut world.tickets, count);
            world.check();
            dropped.extend(std::iter::from_fn(|| world.sockets.next_dropped()));
        }
    }
}

#[test]
fn gc_3_a_pair_sent_through_itself_goes_when_another_socket_closes() {
    let mut world = World::new();
    let mut files = Files::default();
    let (one, two) = world.pair(SocketType::Stream);
    let (one_file, two_file) = (files.open(one), files.open(two));
    files.send(&mut world, one, one_file);
    files.send(&mut world, two, two_file);
    files.close(&mut world, one_file);
    files.close(&mut world, two_file);
    assert_eq!(world.sockets.table.len(), 2, "no socket was released yet");
    let bystander = world.socket(SocketType::Stream);
    let bystander = files.open(bystander);
    files.close(&mut world, bystander);
    assert_eq!(world.sockets.table.len(), 0);
    assert!(world.sockets.in_flight_of_user.values().all(|count| *count == 0));
}

#[test]
fn gc_2_one_that_is_held_outside_lives() {
    let mut world = World::new();
    let mut files = Files::default();
    let (one, two) = world.pair(SocketType::Datagram);
    let (one_file, two_file) = (files.open(one), files.open(two));
    files.send(&mut world, two, two_file);
    files.close(&mut world, two_file);
    let bystander = world.socket(SocketType::Stream);
    let bystander = files.open(bystander);
    files.close(&mut world, bystander);
    assert_eq!(world.sockets.table.len(), 2);
    assert!(world.sockets.is_open(two));
    files.close(&mut world, one_file);
    assert_eq!(world.sockets.table.len(), 0);
}

#[test]
fn gc_4_an_unaccepted_connection_carries_its_listener() {
    let mut world = World::new();
    let mut files = Files::default();
    let listener = world.listener("l", 5);
    let listener_file = files.open(listener);
    let client = world.socket(SocketType::Stream);
    world.connect(client, "l").expect("there is room");
    let client_file = files.open(client);
    files.send(&mut world, client, listener_file);
    files.close(&mut world, listener_file);
    assert!(world.sockets.is_open(listener));
    files.close(&mut world, client_file);
    assert_eq!(world.sockets.table.len(), 0);
}

#[test]
fn gc_4_an_accepted_connection_carries_for_itself() {
    let mut world = World::new();
    let mut files = Files::default();
    let listener = world.listener("l", 5);
    let listener_file = files.open(listener);
    let clients = [0, 1].map(|_| {
        let client = world.socket(SocketType::Stream);
        world.connect(client, "l").expect("there is room");
        let file = files.open(client);
        files.send(&mut world, client, listener_file);
        // What is no socket is not carried; and is held outside.
        files.references.insert(99, 9);
        world.send_with(client, b"f", &[plain_file(99)], SendFlags::empty()).expect("room");
        file
    });
    assert_eq!(world.sockets.table[listener].carried, 2);
    let accepted =
        world.sockets.accept(&mut world.tickets, listener, true, Cause::Run).expect("one waits");
    let accepted_file = files.open(accepted);
    let carried = |world: &World, key: SocketKey| world.sockets.table[key].carried;
    assert_eq!((carried(&world, listener), carried(&world, accepted)), (1, 1));
    files.close(&mut world, listener_file);
    for client in clients {
        files.close(&mut world, client);
    }
    // The second connection is gone with the listener, which the first still carries.
    assert!(world.sockets.is_open(listener));
    files.close(&mut world, accepted_file);
    assert_eq!(world.sockets.table.len(), 0);
}

#[test]
fn cmsg_4_a_user_may_not_have_much_more_in_flight_than_open() {
    let mut world = World::new();
    let (one, two) = world.pair(SocketType::Stream);
    let limited = Caller { descriptor_limit: 20, ..USER };
    let send = |world: &mut World| {
        let mut sending = Sending { files: [plain_file(1)].into(), ..Sending::default() };
        let data = [Segment::Bytes(b"f")];
        let to = SendTo::Peer;
        let out = Outgoing { data: &data, to, flags: SendFlags::empty(), nonblocking: true };
        let tickets = &mut world.tickets;
        let sent = world.sockets.send(tickets, &limited, one, &out, &mut sending, Cause::Run);
        world.sockets.finish_send(&mut world.tickets, &mut sending);
        sent
    };
    let sent = (0..).take_while(|_| send(&mut world).is_ok()).count();
    assert_eq!(sent, 21);
    assert_eq!(send(&mut world), Err(Errno::TOOMANYREFS.into()));
    world.receive_with(two, 1, RecvFlags::empty()).expect("there is data");
    assert_eq!(send(&mut world), Ok(1));
}
