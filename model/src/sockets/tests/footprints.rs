//! Footprints of looking at sockets: what a poll or a name depends on.

use std::collections::BTreeSet;

use super::*;
use afunix::Readiness;

/// What `body` touches.
fn touched(world: &mut World, body: impl FnOnce(&mut World)) -> BTreeSet<String> {
    world.sockets.watch.touching = true;
    world.sockets.watch.touched.clear();
    body(world);
    world.sockets.watch.touching = false;
    let touched = world.sockets.watch.touched.drain(..);
    touched.map(|(part, touch)| format!("{part:?} {touch:?}")).collect()
}

fn set(parts: &[(Part, Touch)]) -> BTreeSet<String> {
    parts.iter().map(|(part, touch)| format!("{part:?} {touch:?}")).collect()
}

/// A stream pair's end, a listener, and a datagram socket with a peer that is not connected back.
fn scene(world: &mut World) -> [SocketKey; 4] {
    let (stream, _) = world.pair(SocketType::Stream);
    let listener = world.listener("l", 3);
    let (to, from) = (world.socket(SocketType::Datagram), world.socket(SocketType::Datagram));
    world.bind(to, "d");
    world.connect(from, "d").expect("it is bound");
    [stream, listener, from, to]
}

#[test]
fn readiness_is_of_state_queue_memory_and_a_one_way_peer() {
    use Touch::Read;
    let mut world = World::new();
    let [stream, listener, from, to] = scene(&mut world);
    let of = |world: &mut World, key| {
        touched(world, |world| {
            world.sockets.readiness(key);
        })
    };
    let own = |key, queue| [(Part::State(key), Read), (queue, Read), (Part::SendMemory(key), Read)];
    assert_eq!(of(&mut world, stream), set(&own(stream, Part::Receive(stream))));
    assert_eq!(of(&mut world, listener), set(&own(listener, Part::Backlog(listener))));
    let mut of_both = own(from, Part::Receive(from)).to_vec();
    of_both.extend([(Part::Receive(to), Read), (Part::State(to), Read)]);
    assert_eq!(of(&mut world, from), set(&of_both));
}

#[test]
fn a_poll_awaits_what_its_events_come_from() {
    use Touch::Awaits;
    let mut world = World::new();
    let [stream, listener, from, to] = scene(&mut world);
    let of = |world: &mut World, key, events| {
        let ticket = world.tickets.issue();
        touched(world, |world| world.sockets.enrol_poll(&world.tickets, ticket, key, events))
    };
    let state = |key| (Part::State(key), Awaits);
    let (reading, writing) = (Readiness::IN, Readiness::OUT);
    let expected = set(&[state(stream), (Part::Receive(stream), Awaits)]);
    assert_eq!(of(&mut world, stream, reading), expected);
    let expected = set(&[state(listener), (Part::Backlog(listener), Awaits)]);
    assert_eq!(of(&mut world, listener, reading), expected);
    let expected = set(&[state(stream), (Part::SendMemory(stream), Awaits)]);
    assert_eq!(of(&mut world, stream, writing), expected);
    let memory = (Part::SendMemory(from), Awaits);
    let expected = set(&[state(from), memory, (Part::Receive(to), Awaits)]);
    assert_eq!(of(&mut world, from, writing), expected);
}

#[test]
fn two_names_are_two_parts() {
    let mut world = World::new();
    let of = |world: &mut World, name: &str| {
        let key = world.socket(SocketType::Datagram);
        let parts = touched(world, |world| world.bind(key, name));
        let names = parts.into_iter().filter(|part| part.starts_with("Abstract"));
        names.map(|part| part.split(' ').next().unwrap_or("").to_owned()).collect::<BTreeSet<_>>()
    };
    let names = ["a", "b", "ab", "ba", "c"].map(|name| of(&mut world, name));
    assert!(names.iter().all(|parts| parts.len() == 1), "{names:?}");
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
}
