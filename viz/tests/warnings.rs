//! Each warning, where it must be, and where it must not.

mod common;

use afunix::snapshot::*;
use afunix_viz::{WarningKind, filter, html_graph, svg, table, warnings};
use common::*;

/// The texts of the warnings of this kind.
fn texts(snapshot: &Snapshot, kind: WarningKind) -> Vec<String> {
    let of_kind = warnings(snapshot).into_iter().filter(|warning| warning.kind == kind);
    of_kind.map(|warning| warning.text).collect()
}

#[track_caller]
fn warns(machine: &Machine, kind: WarningKind, text: &str) {
    let found = texts(&machine.0, kind);
    assert!(found.len() == 1 && found[0].contains(text), "{found:#?}");
}

#[track_caller]
fn is_silent(machine: &Machine) {
    assert_eq!(warnings(&machine.0), []);
}

/// A process with one end of a connection each.
fn connection() -> Machine {
    let mut machine = Machine::default();
    machine.process(1, "server");
    machine.process(2, "client");
    machine.pair(10, 11);
    machine.hold(1, 3, 10);
    machine.hold(2, 4, 11);
    machine
}

#[test]
fn a_healthy_world_has_no_warning() {
    is_silent(&Machine(small_world()));
    let mut machine = connection();
    machine.wait(1, "recvmsg", 3, WaitReason::Readable);
    is_silent(&machine);
}

#[test]
fn both_ends_blocked_on_full_buffers() {
    let mut machine = Machine(deadlock());
    warns(&machine, WarningKind::BothBlocked, "left (pid 2) and right (pid 3) each wait in a send");
    let warning = &warnings(&machine.0)[0];
    assert_eq!((&warning.sockets, &warning.processes), (&vec![5, 6], &vec![2, 3]));
    machine.0.processes[1].threads[0].wait = None;
    is_silent(&machine);
}

#[test]
fn a_circle_of_other_waits() {
    let mut machine = connection();
    machine.wait(1, "recvmsg", 3, WaitReason::Readable);
    machine.wait(2, "recvmsg", 4, WaitReason::Readable);
    warns(
        &machine,
        WarningKind::WaitCycle,
        "server (pid 1) and client (pid 2) wait for each other",
    );
    machine.0.processes[1].threads[0].wait.as_mut().unwrap().deadline = Some(9);
    is_silent(&machine);
}

#[test]
fn an_inherited_copy_keeps_end_of_file_from_arriving() {
    let mut machine = connection();
    machine.wait(1, "recvmsg", 3, WaitReason::Readable);
    machine.process(3, "helper");
    machine.hold(3, 4, 11);
    let text = "client (pid 2, fd 4) and helper (pid 3, fd 4) all hold the other end";
    warns(&machine, WarningKind::InheritedCopy, text);
    // Two descriptors of one process are closed together when it ends.
    let mut machine = connection();
    machine.wait(1, "recvmsg", 3, WaitReason::Readable);
    machine.hold(2, 5, 11);
    is_silent(&machine);
    // Standard streams are inherited on purpose.
    let mut machine = connection();
    machine.process(3, "helper");
    machine.hold(3, 1, 11);
    machine.wait(1, "recvmsg", 3, WaitReason::Readable);
    is_silent(&machine);
}

#[test]
fn a_reader_that_keeps_the_other_end_itself() {
    let mut machine = connection();
    machine.hold(1, 9, 11);
    machine.wait(1, "recvmsg", 3, WaitReason::Readable);
    let text = "server (pid 1) waits for data or the end of file, and keeps the other end itself \
                (fd 9)";
    warns(&machine, WarningKind::InheritedCopy, text);
    machine.at(10).kind = SocketKind::Datagram;
    is_silent(&machine);
}

fn listener(waiting: u64) -> Machine {
    let mut machine = Machine::default();
    machine.process(1, "server");
    let listener = machine.socket(10, SocketKind::Stream, SocketState::Listening);
    (listener.name, listener.backlog) = (Some("/run/x".into()), Some(2));
    listener.pending = (20..20 + waiting).collect();
    machine.hold(1, 3, 10);
    machine
}

#[test]
fn a_backlog_is_full() {
    let text = "3 connections wait at /run/x (socket 10) to be accepted, listen was called with 2";
    warns(&listener(3), WarningKind::BacklogFull, text);
    is_silent(&listener(2));
}

#[test]
fn files_in_flight_that_nobody_can_receive() {
    // Each of a pair lies in the queue of the other: the classic cycle.
    let mut machine = Machine::default();
    machine.pair(10, 11);
    machine.at(10).in_flight = vec![11];
    machine.at(11).in_flight = vec![10];
    assert_eq!(texts(&machine.0, WarningKind::LostFiles).len(), 2);
    assert!(svg(&machine.0).contains("class=\"e in-flight red\""));
    // A process that holds one end can receive the other.
    machine.process(1, "server");
    machine.hold(1, 3, 10);
    is_silent(&machine);
}

#[test]
fn files_sent_to_a_connection_that_waits_are_not_lost() {
    let mut machine = listener(1);
    machine.socket(20, SocketKind::Stream, SocketState::Pending).in_flight = vec![10];
    is_silent(&machine);
    machine.0.processes.clear();
    warns(&machine, WarningKind::LostFiles, "lies in the queue of socket 20");
}

fn bound(inode: u64, now: u64) -> Machine {
    let mut machine = listener(0);
    machine.at(10).inode = Some((1, inode));
    machine.0.socket_files = vec![SocketFile { path: "/run/x".into(), inode: (1, now) }];
    machine
}

#[test]
fn a_bound_path_was_replaced_by_another_inode() {
    let mut machine = bound(7, 8);
    machine.socket(30, SocketKind::Stream, SocketState::Listening).inode = Some((1, 8));
    warns(&machine, WarningKind::NameReplaced, "/run/x (socket 10) was bound to a file that is no");
    is_silent(&bound(7, 7));
    // What is not known is no warning.
    machine.0.socket_files.clear();
    is_silent(&machine);
    // An accepted socket has its listener's name.
    let mut machine = bound(7, 7);
    let accepted = machine.socket(11, SocketKind::Stream, SocketState::Connected);
    (accepted.name, accepted.inode) = (Some("/run/x".into()), Some((1, 6)));
    is_silent(&machine);
}

#[test]
fn a_stale_socket_file() {
    let mut machine = bound(7, 7);
    let stale = SocketFile { path: "/run/y".into(), inode: (1, 9) };
    machine.0.socket_files.push(stale);
    warns(&machine, WarningKind::StaleFile, "no socket is bound to the socket file /run/y");
    // Of a part of the sockets nobody can tell.
    assert_eq!(warnings(&filter(&machine.0, "name=/run/x").unwrap()), []);
    machine.0.socket_files.pop();
    is_silent(&machine);
}

#[test]
fn a_datagram_sender_waits_for_one_slow_reader() {
    let mut machine = Machine::default();
    machine.process(1, "syslogd");
    machine.process(2, "client");
    machine.socket(10, SocketKind::Datagram, SocketState::Unconnected).name =
        Some("/dev/log".into());
    machine.at(10).receive = Queue { messages: 11, bytes: 110 };
    machine.socket(11, SocketKind::Datagram, SocketState::Connected).peer = Some(10);
    machine.hold(1, 3, 10);
    machine.hold(2, 4, 11);
    is_silent(&machine);
    let text = "client (pid 2) waits in a send for room in the queue of /dev/log (socket 10), \
                110 bytes unread, and goes on only when that is read, by syslogd (pid 1, fd 3)";
    // As the kernel tells it, by the sender's socket; as the model does, by the receiver's.
    for at in [11, 10] {
        machine.wait(2, "sendmsg", 4, WaitReason::PeerQueue).socket = Some(at);
        warns(&machine, WarningKind::SlowReader, text);
    }
}

#[test]
fn a_descriptor_leak() {
    let leak = |count: u64| {
        let mut machine = Machine::default();
        machine.process(1, "server");
        for id in 0..count {
            machine.socket(id, SocketKind::Stream, SocketState::Disconnected);
            machine.hold(1, 3 + id as i32, id);
        }
        machine
    };
    warns(
        &leak(16),
        WarningKind::DescriptorLeak,
        "server (pid 1) holds 16 connections whose other",
    );
    is_silent(&leak(15));
    let mut machine = leak(16);
    machine.at(3).receive.bytes = 1;
    is_silent(&machine);
}

#[test]
fn warnings_stand_in_table_svg_and_page() {
    let world = listener(3).0;
    for text in [table(&world), svg(&world), html_graph("x", &world)] {
        assert!(text.contains("a backlog is full"), "{text}");
    }
}

#[test]
fn names_of_strangers_are_escaped() {
    let mut machine = bound(7, 8);
    machine.0.processes[0].name = HOSTILE.into();
    machine.at(10).name = Some(HOSTILE.into());
    machine.at(10).pending = vec![1, 2, 3];
    machine.0.socket_files.push(SocketFile { path: HOSTILE.into(), inode: (1, 9) });
    let found = warnings(&machine.0);
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found.iter().all(|warning| !warning.text.contains(char::is_control)));
}
