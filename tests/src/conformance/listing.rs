//! What /proc lists of sockets: /proc/net/unix and fdinfo.

use afunix::call::Segment;
use afunix::{Host, OpenFlags, RawName};

use super::{Case, start, table};
use crate::calls::*;
use crate::raw;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "OPT 8" listed_sockets,
        "OPT 8" listed_names,
        root "OPT 8" peers_of_another_namespace_count,
        "OPT 8" files_in_flight_are_counted,
        "DGCONN 3" lost_files_stay_counted,
        "OPT 8" files_of_urgent_bytes_stay_counted,
        "OPT 13" listed_listener_and_backlog,
        "OPT 13" listed_datagrams,
        "OPT 13" listed_waits,
    ]
}

/// Bytes of a line between the number in front and the inode.
const FIELDS: usize = 35;

/// All of a file.
fn read_all<H: Host>(h: &H, path: &str) -> String {
    let fd = open(h, path, OpenFlags::empty()).unwrap();
    let mut text = Vec::new();
    loop {
        let more = read(h, fd, 1 << 16).unwrap();
        if more.is_empty() {
            break;
        }
        text.extend(more);
    }
    close(h, fd).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

/// The line of /proc/net/unix for an inode, without the number in front and the inode.
fn line<H: Host>(h: &H, fd: i32) -> String {
    let inode = fstat(h, fd).unwrap().ino;
    let text = read_all(h, "/proc/net/unix");
    let found = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once(": ")?;
        let (fields, rest) = rest.split_at_checked(FIELDS)?;
        let (number, name) = rest.trim_start().split_once(' ').unwrap_or((rest.trim(), ""));
        (number == inode.to_string()).then(|| format!("{} {name}", fields.trim_end()))
    });
    let found: Vec<String> = found.collect();
    assert_eq!(found.len(), 1, "{inode} in {text}");
    found[0].trim_end().to_owned()
}

/// The lines of sockets without an inode that have a name.
fn without_inode<H: Host>(h: &H, name: &[u8]) -> Vec<String> {
    let name = format!(" {}", shown(name));
    let text = read_all(h, "/proc/net/unix");
    let of_name = text.lines().filter(|line| line.ends_with(&name));
    let rests = of_name.filter_map(|line| Some(line.split_once(": ")?.1));
    rests
        .filter(|rest| rest[FIELDS..].trim_start().starts_with("0 "))
        .map(|rest| rest[..FIELDS].trim_end().to_owned())
        .collect()
}

/// A name as the listing shows it: `@` for NUL.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[2..]).replace('\0', "@")
}

fn listed_sockets<H: Host>(h: &H) {
    let text = read_all(h, "/proc/net/unix");
    assert_eq!(
        text.lines().next(),
        Some("Num       RefCount Protocol Flags    Type St Inode Path")
    );
    for (kind, number) in [(STREAM, "0001"), (DGRAM, "0002"), (SEQPACKET, "0005")] {
        let fd = socket(h, kind).unwrap();
        assert_eq!(line(h, fd), format!("00000002 00000000 00000000 {number} 01"));
        let (a, b) = pair(h, kind);
        for end in [a, b] {
            assert_eq!(line(h, end), format!("00000003 00000000 00000000 {number} 03"));
        }
        shutdown(h, a, 2).unwrap();
        dup(h, a).unwrap();
        assert_eq!(line(h, a), format!("00000003 00000000 00000000 {number} 03"));
        close(h, b).unwrap();
        assert_eq!(line(h, a), format!("00000002 00000000 00000000 {number} 03"), "it stays so");
    }
}

fn peers_of_another_namespace_count<H: Host>(h: &H) {
    super::in_process(h, None, &[], |h| {
        let (_a, b) = pair(h, DGRAM);
        let stream = pair(h, STREAM);
        assert_eq!(unshare(h, NEWNET), Ok(0));
        let there = bound(h, DGRAM, &path("s"));
        connect(h, b, &path("s")).unwrap();
        assert!(line(h, there).starts_with("00000003 00000000 00000000 0002 03"));
        let text = read_all(h, "/proc/net/unix");
        let inodes = [stream.0, stream.1, b].map(|fd| fstat(h, fd).unwrap().ino.to_string());
        let has = |inode: &String| text.lines().any(|line| line.split(' ').any(|it| it == inode));
        assert!(!inodes.iter().any(has), "those of the other are not listed: {text}");
    });
}

fn listed_names<H: Host>(h: &H) {
    let fields = "00000002 00000000 00000000 0001 01";
    let mut twice = hidden("a");
    twice.extend(b"\0b c\0");
    for name in [hidden("plain"), twice, path("file"), path("with space"), path("pre\0post")] {
        let fd = bound(h, STREAM, &name);
        let shown = shown(&name);
        let shown = if name[2] == 0 { &shown } else { shown.split('@').next().unwrap() };
        assert_eq!(line(h, fd), format!("{fields} {shown}"));
        unlink(h, shown).ok();
        assert_eq!(line(h, fd), format!("{fields} {shown}"), "whatever became of the path");
    }
    let fd = bound(h, STREAM, &path("two\nlines"));
    assert_eq!(line(h, fd), format!("{fields} two"), "OPT 13: a newline is not escaped");
    assert!(read_all(h, "/proc/net/unix").lines().any(|line| line == "lines"));
}

fn scm_fds<H: Host>(h: &H, fd: i32) -> String {
    let text = read_all(h, &format!("/proc/self/fdinfo/{fd}"));
    let field = text.lines().find_map(|line| line.strip_prefix("scm_fds: "));
    field.expect("a socket has the field").to_owned()
}

fn lost_files_stay_counted<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    sendmsg(h, b, b"x", &rights(&[0, 0, 0])).unwrap();
    close(h, b).unwrap();
    assert_eq!(send(h, a, b"y", 0), Err(afunix::Errno::CONNREFUSED));
    assert_eq!(inq(h, a), Ok(0), "the message is gone");
    assert_eq!(scm_fds(h, a), "3");
    let other = bound(h, DGRAM, &hidden("other"));
    bind(h, a, &hidden("a")).unwrap();
    connect(h, other, &hidden("a")).unwrap();
    sendmsg(h, other, b"z", &rights(&[0])).unwrap();
    assert_eq!(scm_fds(h, a), "4");
    recvmsg(h, a, 1, 64, 0).unwrap();
    assert_eq!(scm_fds(h, a), "3");
}

fn files_in_flight_are_counted<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        assert_eq!(scm_fds(h, b), "0");
        sendmsg(h, a, b"x", &rights(&[0, 0, a])).unwrap();
        sendmsg(h, a, b"y", &rights(&[0])).unwrap();
        assert_eq!((scm_fds(h, a), scm_fds(h, b)), ("0".to_owned(), "4".to_owned()));
        recvmsg(h, b, 1, 64, 0).unwrap();
        assert_eq!(scm_fds(h, b), "1");
        recv(h, b, 1, 0).unwrap();
        assert_eq!(scm_fds(h, b), "0");
    }
    let server = listener(h, STREAM, &hidden("s"), 4);
    for _ in 0..2 {
        let client = connected(h, STREAM, &hidden("s")).unwrap();
        sendmsg(h, client, b"x", &rights(&[0, 0])).unwrap();
    }
    assert_eq!(scm_fds(h, server), "4", "those of all connections that wait");
    let accepted = accept(h, server, 0).unwrap();
    assert_eq!((scm_fds(h, server), scm_fds(h, accepted)), ("2".to_owned(), "2".to_owned()));
    let text = read_all(h, "/proc/self/fdinfo/0");
    assert!(!text.contains("scm_fds") && text.starts_with("pos:\t0\nflags:\t0"), "{text}");
    assert_eq!(open(h, "/proc/self/fdinfo/99", OpenFlags::empty()), Err(afunix::Errno::NOENT));
}

fn files_of_urgent_bytes_stay_counted<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let (data, control) = ([Segment::Bytes(b"x")], rights(&[0, 0]));
    sendmsg_of(h, a, &data, raw::control(&control), OOB, RawName::NONE).unwrap();
    assert_eq!(recv(h, b, 1, OOB), Ok(b"x".to_vec()), "it goes alone");
    send(h, a, b"y", 0).unwrap();
    assert_eq!(recv(h, b, 1, 0), Ok(b"y".to_vec()));
    assert_eq!(scm_fds(h, b), "2");
}

fn listed_listener_and_backlog<H: Host>(h: &H) {
    for (kind, number) in [(STREAM, "0001"), (SEQPACKET, "0005")] {
        let name = hidden(number);
        let server = listener(h, kind, &name, 4);
        let shown = shown(&name);
        let of_listener = format!("00000002 00000000 00010000 {number} 01 {shown}");
        assert_eq!(line(h, server), of_listener);
        let client = connected(h, kind, &name).unwrap();
        assert_eq!(line(h, server), of_listener);
        assert_eq!(line(h, client), format!("00000003 00000000 00000000 {number} 03"));
        let waiting = format!("00000003 00000000 00000000 {number} 02");
        assert_eq!(without_inode(h, &name), [waiting]);
        let accepted = accept(h, server, 0).unwrap();
        assert_eq!(without_inode(h, &name), [""; 0]);
        assert_eq!(line(h, accepted), format!("00000003 00000000 00000000 {number} 03 {shown}"));
        let gone = connected(h, kind, &name).unwrap();
        close(h, gone).unwrap();
        let waiting = format!("00000002 00000000 00000000 {number} 02");
        assert_eq!(without_inode(h, &name), [waiting], "its client is gone");
        close(h, server).unwrap();
        assert_eq!(without_inode(h, &name), [""; 0]);
    }
}

fn listed_datagrams<H: Host>(h: &H) {
    let expect = |fd, references, state: &str, what| {
        let line = line(h, fd);
        assert_eq!(
            &line[..34],
            format!("0000000{references} 00000000 00000000 0002 {state}"),
            "{what}"
        );
    };
    let (one, two) = (bound(h, DGRAM, &hidden("1")), bound(h, DGRAM, &hidden("2")));
    let (a, b) = (socket(h, DGRAM).unwrap(), socket(h, DGRAM).unwrap());
    connect(h, a, &hidden("1")).unwrap();
    expect(a, 2, "03", "it has a peer");
    expect(one, 3, "03", "it is one");
    connect(h, b, &hidden("2")).unwrap();
    connect(h, a, &hidden("2")).unwrap();
    expect(one, 2, "01", "it was left");
    expect(two, 4, "03", "a peer of two");
    connect(h, a, &hidden("1")).unwrap();
    expect(two, 3, "01", "left by one, and a peer still");
    connect(h, a, &[0, 0]).unwrap();
    expect(a, 2, "01", "without a peer again");
    connect(h, a, &hidden("2")).unwrap();
    close(h, a).unwrap();
    expect(two, 3, "03", "a close does not count as leaving");
    connect(h, two, &hidden("1")).unwrap();
    connect(h, two, &[0, 0]).unwrap();
    expect(two, 3, "01", "it left its own peer");
    connect(h, b, &hidden("2")).unwrap();
    expect(two, 3, "03", "connected to again");
    connect(h, two, &[0, 0]).unwrap();
    expect(two, 3, "03", "it had no peer to leave");
    close(h, two).unwrap();
    expect(b, 2, "03", "it does not know yet");
    assert_eq!(send(h, b, b"x", 0), Err(afunix::Errno::CONNREFUSED));
    expect(b, 2, "01", "now it does");
}

fn listed_waits<H: Host>(h: &H) {
    let server = listener(h, STREAM, &hidden("s"), 0);
    let first = connected(h, STREAM, &hidden("s")).unwrap();
    let fd = socket(h, STREAM).unwrap();
    let waiting = start(h, move |h| connect(h, fd, &hidden("s")));
    assert_eq!(line(h, fd), "00000002 00000000 00000000 0001 01", "it waits for room");
    assert_eq!(without_inode(h, &hidden("s")).len(), 1);
    accept(h, server, 0).unwrap();
    assert_eq!(waiting.join(), Ok(0));
    assert_eq!(line(h, fd), "00000003 00000000 00000000 0001 03");
    assert_eq!(line(h, first), "00000003 00000000 00000000 0001 03");
}
