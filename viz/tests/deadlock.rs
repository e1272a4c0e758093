//! Which waits are a deadlock, and how that is told.

mod common;

use afunix::snapshot::*;
use afunix_viz::{describe_cycle, svg, wait_cycle};
use common::*;

fn cycle_tids(snapshot: &Snapshot) -> Option<Vec<u32>> {
    wait_cycle(snapshot).map(|cycle| cycle.iter().map(|step| step.tid).collect())
}

#[test]
fn two_full_buffers_are_told_in_sentences() {
    let world = deadlock();
    let cycle = wait_cycle(&world).unwrap();
    assert_eq!(
        describe_cycle(&world, &cycle),
        "Deadlock: 2 threads wait for each other in a circle.\n  \
         left (pid 2) in sendmsg on fd 3: waits for memory: its send buffer is full \
         (222720 of 212992 bytes charged), the peer's receive queue holds 219264 bytes; \
         only right (pid 3, fd 3) can read it\n  \
         right (pid 3) in sendmsg on fd 3: waits for memory: its send buffer is full \
         (222720 of 212992 bytes charged), the peer's receive queue holds 219264 bytes; \
         only left (pid 2, fd 3) can read it\n"
    );
}

#[test]
fn the_picture_says_it_too() {
    let picture = svg(&deadlock());
    assert!(picture.contains("Deadlock: 2 threads"));
    assert!(picture.contains("class=\"e k0 red\""));
}

/// `count` processes in a ring of connections: each holds 3 (to the next) and 4 (from the one
/// before).
fn ring(count: u32) -> Machine {
    let mut machine = Machine::default();
    for pid in 1..=count {
        machine.process(pid, &format!("p{pid}"));
    }
    for pid in 1..=count {
        let (out, into) = (u64::from(pid) * 10, u64::from(pid) * 10 + 1);
        machine.pair(out, into);
        machine.hold(pid, 3, out);
        machine.hold(pid % count + 1, 4, into);
    }
    machine
}

#[test]
fn everyone_waits_for_data_of_the_one_before() {
    let mut machine = ring(5);
    for pid in 1..=5 {
        machine.wait(pid, "recvmsg", 4, WaitReason::Readable);
    }
    assert_eq!(cycle_tids(&machine.0), Some(vec![1, 5, 4, 3, 2]));
    let text = describe_cycle(&machine.0, &wait_cycle(&machine.0).unwrap());
    let first = "p1 (pid 1) in recvmsg on fd 4: waits for data: its receive queue is empty; \
                 only p5 (pid 5, fd 3) can send to it";
    assert!(text.contains(first), "{text}");
}

#[test]
fn one_that_can_act_breaks_the_circle() {
    for reason in [None, Some(WaitReason::Time), Some(WaitReason::Readiness)] {
        let mut machine = ring(3);
        for pid in 1..=3 {
            machine.wait(pid, "recvmsg", 4, WaitReason::Readable);
        }
        match reason {
            Some(reason) => machine.wait(2, "poll", 4, reason).fd = None,
            None => machine.0.processes[1].threads[0].wait = None,
        }
        assert_eq!(cycle_tids(&machine.0), None, "{reason:?}");
    }
}

#[test]
fn a_deadline_ends_a_wait_by_itself() {
    let mut world = deadlock();
    world.processes[0].threads[0].wait.as_mut().unwrap().deadline = Some(5000);
    assert_eq!(cycle_tids(&world), None);
}

#[test]
fn another_holder_of_the_peer_may_help() {
    let mut machine = Machine(deadlock());
    machine.process(4, "helper");
    machine.hold(4, 9, 6);
    assert_eq!(cycle_tids(&machine.0), None);
    // Unless it waits for a child: then it does nothing, and it stands outside of the circle.
    machine.wait(4, "wait4", 0, WaitReason::Child).fd = None;
    assert_eq!(cycle_tids(&machine.0), Some(vec![2, 3]));
}

#[test]
fn a_thread_next_to_the_stuck_one_may_help() {
    let mut world = deadlock();
    let other = Thread { tid: 9, name: "other".into(), wait: None };
    world.processes[1].threads.push(other);
    assert_eq!(cycle_tids(&world), None);
}

#[test]
fn a_reader_of_its_own_pair_waits_for_itself() {
    let mut machine = Machine::default();
    machine.process(1, "alone");
    machine.pair(5, 6);
    machine.hold(1, 3, 5);
    machine.hold(1, 4, 6);
    machine.wait(1, "recvmsg", 3, WaitReason::Readable);
    let cycle = wait_cycle(&machine.0).unwrap();
    assert_eq!(cycle.len(), 1);
    assert!(describe_cycle(&machine.0, &cycle).contains("waits for itself"));
}

#[test]
fn a_peer_in_flight_can_be_received_by_who_holds_the_carrier() {
    // p1 waits at 10, whose peer 11 lies in the queue of 21. p2 holds 21, and waits for p1.
    let mut machine = Machine::default();
    machine.process(1, "p1");
    machine.process(2, "p2");
    machine.pair(10, 11);
    machine.pair(20, 21);
    machine.hold(1, 3, 10);
    machine.hold(1, 4, 20);
    machine.hold(2, 3, 21);
    machine.at(21).in_flight = vec![11];
    machine.pair(30, 31);
    machine.hold(2, 5, 30);
    machine.hold(1, 5, 31);
    machine.wait(1, "recvmsg", 3, WaitReason::Readable);
    machine.wait(2, "recvmsg", 5, WaitReason::Readable);
    assert_eq!(cycle_tids(&machine.0), Some(vec![1, 2]));
    let text = describe_cycle(&machine.0, &wait_cycle(&machine.0).unwrap());
    assert!(text.contains("only p2 (pid 2, by receiving it on fd 3) can send to it"), "{text}");
}

#[test]
fn a_client_that_nobody_accepts_waits_for_the_listener() {
    // As the running system shows it: the client has no peer, and stands in the backlog itself.
    let mut machine = Machine::default();
    machine.process(1, "server");
    machine.process(2, "client");
    let listener = machine.socket(10, SocketKind::Stream, SocketState::Listening);
    (listener.backlog, listener.pending) = (Some(1), vec![20]);
    machine.socket(20, SocketKind::Stream, SocketState::Pending);
    machine.pair(30, 31);
    machine.hold(1, 3, 10);
    machine.hold(1, 4, 30);
    machine.hold(2, 3, 20);
    machine.hold(2, 4, 31);
    machine.wait(2, "recvmsg", 3, WaitReason::Readable);
    machine.wait(1, "recvmsg", 4, WaitReason::Readable);
    let text = describe_cycle(&machine.0, &wait_cycle(&machine.0).unwrap());
    assert!(text.contains("still waits at listener 10"), "{text}");
}

#[test]
fn a_full_backlog_and_a_full_queue_are_told() {
    let mut machine = Machine::default();
    machine.process(1, "server");
    machine.process(2, "client");
    let listener = machine.socket(10, SocketKind::Stream, SocketState::Listening);
    (listener.backlog, listener.name) = (Some(0), Some("/run/x".into()));
    listener.pending = vec![99];
    machine.socket(20, SocketKind::Stream, SocketState::Unconnected);
    machine.socket(30, SocketKind::Datagram, SocketState::Unconnected);
    machine.socket(31, SocketKind::Datagram, SocketState::Connected).peer = Some(30);
    machine.at(30).receive = Queue { messages: 11, bytes: 110 };
    machine.hold(1, 3, 10);
    machine.hold(1, 4, 31);
    machine.hold(2, 3, 20);
    machine.hold(2, 4, 30);
    machine.wait(2, "connect", 3, WaitReason::Backlog).socket = Some(10);
    machine.wait(1, "sendmsg", 4, WaitReason::PeerQueue).socket = Some(30);
    let text = describe_cycle(&machine.0, &wait_cycle(&machine.0).unwrap());
    assert!(
        text.contains("the backlog of /run/x (socket 10): 1 connection waits, it takes 1"),
        "{text}"
    );
    assert!(text.contains("socket 30 is full (11 messages, 110 bytes); only client"), "{text}");
}

#[test]
fn a_cycle_of_another_snapshot_is_told_as_far_as_it_is_known() {
    let cycle = wait_cycle(&deadlock()).unwrap();
    let text = describe_cycle(&Snapshot::default(), &cycle);
    assert!(text.contains("thread 2 (pid 2) in sendmsg on fd 3: waits for memory"), "{text}");
}
