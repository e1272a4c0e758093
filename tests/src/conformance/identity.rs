//! Real, effective, saved and file-system ids, groups, and capabilities, where AF_UNIX looks at
//! them.

use afunix::{Capabilities as Cap, Errno, Host, ProcessSpec, Signal};

use super::{Case, STRANGER, as_stranger, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        root "OPT 2" peer_credentials_are_effective,
        root "OPT 2" groups_of_the_peer,
        root "RCMSG 2" attached_credentials_are_real,
        root "CMSG 3" any_of_three_ids,
        root "CMSG 3" each_capability_for_its_part,
        root "CMSG 4" counted_by_the_real_user,
        root "CMSG 4" either_capability_is_enough,
        root "MEM 9" force_needs_the_capability,
        root "OPT 12" words_need_capabilities,
        root "BIND 3" owner_is_the_file_system_user,
        root "BIND 3" group_of_the_directory,
        root "BIND 3" set_group_id_of_the_socket,
        root "BIND 2" rights_on_the_way,
        root "CONNECT 13" capabilities_of_connect,
        root "BIND 9" sticky_and_owners,
        root "CREATE 9" who_may_change_the_owner,
        root "CREATE 6" who_may_change_the_mode,
        root "VFS 2" capabilities_follow_the_user,
        root "VFS 2" capabilities_follow_the_file_system_user,
        root "VFS 2" what_may_be_set,
        root "VFS 3" who_may_kill,
    ]
}

/// Ids that no real user of a test machine has.
const REAL: u32 = 54331;
const EFFECTIVE: u32 = 54332;
const SAVED: u32 = 54333;

fn peer_credentials_are_effective<H: Host>(h: &H) {
    mkdir(h, "d", 0o755).unwrap();
    chmod(h, "d", 0o777).unwrap();
    assert_eq!(setresgid(h, REAL + 10, EFFECTIVE + 10, SAVED + 10), Ok(0));
    assert_eq!(setresuid(h, REAL, EFFECTIVE, SAVED), Ok(0));
    let (a, b) = pair(h, STREAM);
    for fd in [a, b] {
        let peer = peercred(h, fd);
        assert_eq!((peer.uid, peer.gid), (EFFECTIVE, EFFECTIVE + 10));
    }
    let server = listener(h, STREAM, &path("d/s"), 4);
    assert_eq!(setresgid(h, KEEP, REAL + 10, KEEP), Ok(0));
    let client = connected(h, STREAM, &path("d/s")).unwrap();
    let of_listener = peercred(h, client);
    assert_eq!((of_listener.uid, of_listener.gid), (EFFECTIVE, EFFECTIVE + 10), "at listen");
    assert_eq!(setresuid(h, KEEP, SAVED, KEEP), Ok(0));
    let accepted = accept(h, server, 0).unwrap();
    let of_client = peercred(h, accepted);
    assert_eq!((of_client.uid, of_client.gid), (EFFECTIVE, REAL + 10), "at connect");
    assert_eq!(listen(h, server, 4), Ok(0));
    assert_eq!(peercred(h, server).uid, SAVED, "listening again asks anew");
}

fn groups_of_the_peer<H: Host>(h: &H) {
    let groups = |fd| {
        getsockopt(h, fd, SO_PEERGROUPS, 64).map(|bytes| {
            let words = bytes.chunks(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap()));
            words.collect::<Vec<u32>>()
        })
    };
    assert_eq!(setgroups(h, &[30, 10, 20]), Ok(0));
    let (a, _) = pair(h, STREAM);
    assert_eq!(setgroups(h, &[]), Ok(0));
    assert_eq!(groups(a), Ok(vec![10, 20, 30]), "as they were, sorted");
    for [of_server, of_client] in [[&[40][..], &[50, 60]], [&[40], &[]], [&[], &[50]]] {
        assert_eq!(setgroups(h, of_server), Ok(0));
        let server = listener(h, STREAM, &hidden("s"), 4);
        assert_eq!(setgroups(h, of_client), Ok(0));
        let client = connected(h, STREAM, &hidden("s")).unwrap();
        assert_eq!(setgroups(h, &[70]), Ok(0));
        let accepted = accept(h, server, 0).unwrap();
        assert_eq!(groups(client), Ok(of_server.to_vec()), "as they were at listen");
        assert_eq!(groups(accepted), Ok(of_client.to_vec()), "as they were at connect");
        assert_eq!(close(h, server), Ok(0));
    }
    assert_eq!(setgroups(h, &[]), Ok(0));
    let (a, _) = pair(h, STREAM);
    assert_eq!(groups(a), Ok(vec![]));
    assert_eq!(setgroups(h, &[KEEP]), Err(Errno::INVAL));
    assert_eq!(setresgid(h, KEEP, 7, KEEP), Ok(0));
    let (a, _) = pair(h, STREAM);
    assert_eq!(groups(a), Ok(vec![]), "the effective group is not among them");
    lay_down(h, Cap::SETGID);
    assert_eq!(setgroups(h, &[]), Err(Errno::PERM));
    assert_eq!(setgroups(h, &[KEEP]), Err(Errno::PERM));
}

/// What SCM_CREDENTIALS says of the next byte.
fn said<H: Host>(h: &H, fd: i32) -> (i32, u32, u32) {
    let message = recvmsg(h, fd, 1, 64, 0).unwrap();
    let (_, data) = message.control.iter().find(|(kind, _)| *kind == SCM_CREDENTIALS).unwrap();
    let said = afunix::Ucred::from_bytes(data).unwrap();
    (said.pid, said.uid, said.gid)
}

fn attached_credentials_are_real<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    set_int(h, b, SO_PASSCRED, 1).unwrap();
    assert_eq!(setresgid(h, REAL + 10, EFFECTIVE + 10, SAVED + 10), Ok(0));
    assert_eq!(setresuid(h, REAL, EFFECTIVE, SAVED), Ok(0));
    assert_eq!(send(h, a, b"x", 0), Ok(1));
    assert_eq!(said(h, b), (getpid(h), REAL, REAL + 10));
    // Two writes by one process as two users do not merge (SRECV 5); as one real user they do.
    assert_eq!(send(h, a, b"x", 0), Ok(1));
    assert_eq!(setresuid(h, KEEP, SAVED, KEEP), Ok(0));
    assert_eq!(send(h, a, b"y", 0), Ok(1));
    assert_eq!(setresuid(h, SAVED, KEEP, KEEP), Ok(0));
    assert_eq!(send(h, a, b"z", 0), Ok(1));
    assert_eq!(recv(h, b, 9, 0), Ok(b"xy".to_vec()));
    assert_eq!(recv(h, b, 9, 0), Ok(b"z".to_vec()));
}

fn any_of_three_ids<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    set_int(h, b, SO_PASSCRED, 1).unwrap();
    assert_eq!(setresgid(h, REAL + 10, EFFECTIVE + 10, SAVED + 10), Ok(0));
    assert_eq!(setresuid(h, REAL, EFFECTIVE, SAVED), Ok(0));
    let own = getpid(h);
    for uid in [REAL, EFFECTIVE, SAVED] {
        for gid in [REAL + 10, EFFECTIVE + 10, SAVED + 10] {
            assert_eq!(sendmsg(h, a, b"x", &credentials(own, uid, gid)), Ok(1));
            assert_eq!(said(h, b), (own, uid, gid));
        }
    }
    for (pid, uid, gid) in [
        (own, 0, REAL + 10),
        (own, REAL + 10, REAL + 10),
        (own, REAL, 0),
        (own, REAL, REAL),
        (own + 1, REAL, REAL + 10),
        (0, REAL, REAL + 10),
    ] {
        let control = credentials(pid, uid, gid);
        assert_eq!(sendmsg(h, a, b"x", &control), Err(Errno::PERM), "{pid} {uid} {gid}");
    }
    // The file-system id is none of the three.
    assert_eq!(setfsuid(h, SAVED), EFFECTIVE);
    assert_eq!(setresuid(h, REAL, EFFECTIVE, REAL), Ok(0));
    assert_eq!(setfsuid(h, REAL), EFFECTIVE, "it follows the effective id");
    assert_eq!(sendmsg(h, a, b"x", &credentials(own, SAVED, REAL + 10)), Err(Errno::PERM));
}

fn each_capability_for_its_part<H: Host>(h: &H) {
    let (a, _b) = pair(h, STREAM);
    let own = getpid(h);
    let spec = ProcessSpec::new("other");
    let other = h.process(spec, |h| {
        h.sleep(std::time::Duration::from_secs(20));
        0
    });
    let other = other.unwrap();
    let all = [Cap::SYS_ADMIN, Cap::SETUID, Cap::SETGID];
    let claims = [(other.pid().0, 0, 0), (own, 777, 0), (own, 0, 777)];
    for (capability, claim) in all.iter().zip(claims) {
        for held in all {
            keep_only(h, held);
            let sent = sendmsg(h, a, b"x", &credentials(claim.0, claim.1, claim.2));
            let expected = if held == *capability { Ok(1) } else { Err(Errno::PERM) };
            assert_eq!(sent, expected, "{claim:?} with {held:?}");
        }
    }
    // No such process: asked only of those who may say so.
    keep_only(h, Cap::SYS_ADMIN);
    assert_eq!(sendmsg(h, a, b"x", &credentials(-1, 0, 0)), Err(Errno::SRCH));
    assert_eq!(sendmsg(h, a, b"x", &credentials(0, 0, 0)), Err(Errno::SRCH));
    keep_only(h, Cap::SETUID | Cap::SETGID);
    assert_eq!(sendmsg(h, a, b"x", &credentials(-1, 0, 0)), Err(Errno::PERM));
    assert_eq!(sendmsg(h, a, b"x", &credentials(own, KEEP, 0)), Err(Errno::INVAL));
    let (_, permitted) = capget(h);
    capset(h, permitted, permitted).unwrap();
    other.kill(Signal::Kill).unwrap();
    other.wait().unwrap();
}

/// How many of up to 30 sends of one descriptor pass, after which all are taken out again.
fn in_flight<H: Host>(h: &H) -> usize {
    let (a, b) = pair(h, DGRAM);
    let sends = (0..30).take_while(|_| sendmsg(h, a, b"x", &rights(&[0])) == Ok(1));
    let sent = sends.count();
    close(h, a).unwrap();
    close(h, b).unwrap();
    sent
}

fn counted_by_the_real_user<H: Host>(h: &H) {
    set_limit(h, 20).unwrap();
    assert_eq!(in_flight(h), 30, "the superuser has no limit");
    let privileged = Cap::SYS_ADMIN | Cap::SYS_RESOURCE;
    assert_eq!(setresuid(h, REAL, 0, 0), Ok(0));
    lay_down(h, privileged);
    assert_eq!(in_flight(h), 21);
    // What one real user has in flight does not count for another.
    let (a, b) = pair(h, DGRAM);
    for _ in 0..21 {
        assert_eq!(sendmsg(h, a, b"x", &rights(&[0])), Ok(1));
    }
    assert_eq!(sendmsg(h, a, b"x", &rights(&[0])), Err(Errno::TOOMANYREFS));
    assert_eq!(setresuid(h, EFFECTIVE, KEEP, KEEP), Ok(0));
    assert_eq!(in_flight(h), 21);
    assert_eq!(setresuid(h, REAL, SAVED, KEEP), Ok(0));
    assert_eq!(sendmsg(h, a, b"x", &rights(&[0])), Err(Errno::TOOMANYREFS), "whoever it acts as");
    assert_eq!(recv(h, b, 1, 0), Ok(b"x".to_vec()));
    assert_eq!(sendmsg(h, a, b"x", &rights(&[0])), Ok(1));
}

fn either_capability_is_enough<H: Host>(h: &H) {
    set_limit(h, 20).unwrap();
    assert_eq!(setresuid(h, REAL, 0, 0), Ok(0));
    keep_only(h, Cap::SYS_ADMIN);
    assert_eq!(in_flight(h), 30);
    let (_, permitted) = capget(h);
    keep_only(h, permitted & Cap::SYS_RESOURCE);
    // Not every test machine gives its root this one.
    let expected = if permitted.contains(Cap::SYS_RESOURCE) { 30 } else { 21 };
    assert_eq!(in_flight(h), expected);
    keep_only(h, permitted - Cap::SYS_RESOURCE - Cap::SYS_ADMIN);
    assert_eq!(in_flight(h), 21);
}

fn force_needs_the_capability<H: Host>(h: &H) {
    let (a, _b) = pair(h, STREAM);
    for option in [SO_SNDBUFFORCE, SO_RCVBUFFORCE] {
        keep_only(h, Cap::NET_ADMIN);
        assert_eq!(set_int(h, a, option, 100_000), Ok(0));
        lay_down(h, Cap::NET_ADMIN);
        assert_eq!(set_int(h, a, option, 200_000), Err(Errno::PERM));
    }
    assert_eq!(get_int(h, a, SO_SNDBUF), Ok(200_000));
    assert_eq!(set_int(h, a, SO_SNDBUF, 3000), Ok(0));
}

fn words_need_capabilities<H: Host>(h: &H) {
    let (a, _b) = pair(h, STREAM);
    let words = [
        (SO_DEBUG, 1, Errno::ACCES, Cap::NET_ADMIN),
        (SO_PREFER_BUSY_POLL, 1, Errno::PERM, Cap::NET_ADMIN),
        (SO_MARK, 5, Errno::PERM, Cap::NET_ADMIN | Cap::NET_RAW),
        (SO_PRIORITY, 7, Errno::PERM, Cap::NET_ADMIN | Cap::NET_RAW),
    ];
    for (option, value, errno, needed) in words {
        for held in [Cap::NET_ADMIN, Cap::NET_RAW, Cap::SYS_ADMIN] {
            keep_only(h, held);
            let expected = if needed.contains(held) { Ok(0) } else { Err(errno) };
            assert_eq!(set_int(h, a, option, value), expected, "{option} with {held:?}");
        }
    }
}

/// A directory that everybody may change.
fn open_directory<H: Host>(h: &H, path: &str) {
    mkdir(h, path, 0o777).unwrap();
    chmod(h, path, 0o777).unwrap();
}

fn owner_is_the_file_system_user<H: Host>(h: &H) {
    open_directory(h, "d");
    assert_eq!(setresuid(h, REAL, EFFECTIVE, 0), Ok(0));
    assert_eq!(setresgid(h, 8, 8, 8), Err(Errno::PERM));
    bound(h, STREAM, &path("d/effective"));
    assert_eq!(stat(h, "d/effective").unwrap().uid, EFFECTIVE);
    assert_eq!(setfsuid(h, REAL), EFFECTIVE);
    bound(h, STREAM, &path("d/real"));
    assert_eq!(stat(h, "d/real").unwrap().uid, REAL);
    let fd = socket(h, STREAM).unwrap();
    assert_eq!(fstat(h, fd).unwrap().uid, REAL, "of the socket's own inode too");
    let (pair, _) = pair(h, STREAM);
    assert_eq!(peercred(h, pair).uid, EFFECTIVE);
    assert_eq!(setresuid(h, KEEP, 0, KEEP), Ok(0));
    assert_eq!(setfsgid(h, 77), 0);
    bound(h, STREAM, &path("d/group"));
    let stat = stat(h, "d/group").unwrap();
    assert_eq!((stat.uid, stat.gid), (0, 77));
}

fn group_of_the_directory<H: Host>(h: &H) {
    open_directory(h, "d");
    assert_eq!(chown(h, "d", 0, 500), Ok(0));
    chmod(h, "d", 0o2777).unwrap();
    bound(h, STREAM, &path("d/s"));
    assert_eq!(mkdir(h, "d/inner", 0o755), Ok(0));
    as_stranger(h, &[], |h| {
        bound(h, STREAM, &path("d/t"));
        // The socket inode's own bits are handed on as they are, but for those of programs.
        assert_eq!(mkdir(h, "d/own", 0o777), Ok(0));
    });
    let of = |path: &str| {
        let stat = stat(h, path).unwrap();
        (stat.mode & 0o7777, stat.uid, stat.gid)
    };
    assert_eq!(of("d/s"), (0o755, 0, 500));
    assert_eq!(of("d/t"), (0o755, STRANGER, 500));
    assert_eq!(of("d/inner"), (0o2755, 0, 500), "directories hand the bit on");
    assert_eq!(of("d/own"), (0o2755, STRANGER, 500));
}

fn set_group_id_of_the_socket<H: Host>(h: &H) {
    open_directory(h, "d");
    assert_eq!(chown(h, "d", 0, 500), Ok(0));
    chmod(h, "d", 0o2777).unwrap();
    umask(h, 0);
    let special = |h: &H, name: &str| {
        let fd = socket(h, STREAM).unwrap();
        assert_eq!(fchmod(h, fd, 0o7777), Ok(0));
        assert_eq!(bind(h, fd, &path(name)), Ok(0));
        stat(h, name).unwrap().mode & 0o7777
    };
    assert_eq!(special(h, "d/root"), 0o7777);
    lay_down(h, Cap::FSETID);
    assert_eq!(special(h, "d/stranger"), 0o5777, "a program of a group that is not one's own");
    assert_eq!(setgroups(h, &[500]), Ok(0));
    assert_eq!(special(h, "d/member"), 0o7777);
}

fn rights_on_the_way<H: Host>(h: &H) {
    mkdir(h, "closed", 0o700).unwrap();
    mkdir(h, "closed/d", 0o777).unwrap();
    mkdir(h, "read", 0o755).unwrap();
    listener(h, STREAM, &path("closed/s"), 1);
    chown(h, "closed", STRANGER, STRANGER).unwrap();
    let fd = socket(h, STREAM).unwrap();
    for held in [Cap::empty(), Cap::FOWNER, Cap::CHOWN] {
        keep_only(h, held);
        assert_eq!(bind(h, fd, &path("closed/t")), Err(Errno::ACCES));
        assert_eq!(bind(h, fd, &path("closed/s")), Err(Errno::ACCES), "before it is found");
        assert_eq!(bind(h, fd, &path("closed/d/t")), Err(Errno::ACCES));
    }
    keep_only(h, Cap::DAC_READ_SEARCH);
    assert_eq!(bind(h, fd, &path("closed/t")), Err(Errno::ACCES), "may search, not write");
    assert_eq!(bind(h, fd, &path("closed/s")), Err(Errno::ADDRINUSE));
    assert_eq!(bind(h, fd, &path("closed/none/t")), Err(Errno::NOENT));
    keep_only(h, Cap::DAC_OVERRIDE);
    assert_eq!(bind(h, fd, &path("closed/t")), Ok(0));
    // Of the groups any will do; the triple of the first class that one is in counts.
    let fd = socket(h, STREAM).unwrap();
    let (_, permitted) = capget(h);
    capset(h, permitted, permitted).unwrap();
    chmod(h, "closed", 0o070).unwrap();
    assert_eq!(setgroups(h, &[4, STRANGER]), Ok(0));
    assert_eq!(setresuid(h, REAL, REAL, 0), Ok(0));
    assert_eq!(bind(h, fd, &path("closed/u")), Ok(0));
    assert_eq!(setresuid(h, KEEP, 0, KEEP), Ok(0));
    assert_eq!(setresuid(h, STRANGER, STRANGER, 0), Ok(0));
    let fd = socket(h, STREAM).unwrap();
    assert_eq!(bind(h, fd, &path("closed/v")), Err(Errno::ACCES), "the owner is not of the group");
}

fn capabilities_of_connect<H: Host>(h: &H) {
    mkdir(h, "closed", 0o755).unwrap();
    listener(h, STREAM, &path("closed/s"), 8);
    make_file(h, "closed/file", b"");
    chmod(h, "closed/s", 0).unwrap();
    chmod(h, "closed", 0).unwrap();
    let connect = |kind| connected(h, kind, &path("closed/s")).map(drop);
    for (held, expected) in [
        (Cap::empty(), Err(Errno::ACCES)),
        (Cap::FOWNER | Cap::NET_ADMIN | Cap::SYS_ADMIN, Err(Errno::ACCES)),
        (Cap::DAC_READ_SEARCH, Err(Errno::ACCES)),
        (Cap::DAC_OVERRIDE, Ok(())),
    ] {
        keep_only(h, held);
        assert_eq!(connect(STREAM), expected, "with {held:?}");
    }
    assert_eq!(connect(DGRAM), Err(Errno::PROTOTYPE));
    keep_only(h, Cap::DAC_READ_SEARCH);
    assert_eq!(connect(DGRAM), Err(Errno::ACCES));
    assert_eq!(connected(h, STREAM, &path("closed/none")), Err(Errno::NOENT));
    keep_only(h, Cap::FOWNER);
    chmod(h, "closed", 0o111).unwrap();
    chmod(h, "closed/s", 0o222).unwrap();
    keep_only(h, Cap::SETUID);
    assert_eq!(connect(STREAM), Ok(()), "w on the inode and x on the directory, nothing else");
    assert_eq!(setresuid(h, REAL, REAL, 0), Ok(0));
    assert_eq!(connect(STREAM), Ok(()));
}

fn sticky_and_owners<H: Host>(h: &H) {
    open_directory(h, "d");
    chmod(h, "d", 0o1777).unwrap();
    for name in ["a", "b", "c", "e"] {
        bound(h, DGRAM, &path(&format!("d/{name}")));
    }
    assert_eq!(chown(h, "d/a", STRANGER, STRANGER), Ok(0));
    assert_eq!(chown(h, "d", REAL, REAL), Ok(0));
    assert_eq!(setresuid(h, EFFECTIVE, EFFECTIVE, 0), Ok(0));
    for name in ["d/a", "d/b"] {
        assert_eq!(unlink(h, name), Err(Errno::PERM));
        assert_eq!(rename(h, name, "d/x"), Err(Errno::PERM));
        assert_eq!(rename(h, name, "d/c"), Err(Errno::PERM));
    }
    bound(h, DGRAM, &path("d/own"));
    assert_eq!(rename(h, "d/own", "d/b"), Err(Errno::PERM), "over another's");
    assert_eq!(rename(h, "d/own", "d/x"), Ok(0));
    assert_eq!(rename(h, "d/x", "d/own"), Ok(0));
    // By the file-system id: the owner of the file, the owner of the directory.
    assert_eq!(setresuid(h, KEEP, 0, KEEP), Ok(0));
    lay_down(h, Cap::FOWNER);
    assert_eq!(unlink(h, "d/a"), Err(Errno::PERM));
    assert_eq!(unlink(h, "d/b"), Ok(0), "its own");
    setfsuid(h, STRANGER);
    assert_eq!(unlink(h, "d/c"), Err(Errno::PERM));
    assert_eq!(unlink(h, "d/a"), Ok(0));
    setfsuid(h, REAL);
    assert_eq!(unlink(h, "d/c"), Ok(0), "the directory's owner");
    setfsuid(h, SAVED);
    assert_eq!(unlink(h, "d/own"), Err(Errno::PERM));
    let (effective, permitted) = capget(h);
    capset(h, effective | Cap::FOWNER, permitted).unwrap();
    assert_eq!(unlink(h, "d/own"), Ok(0));
}

fn who_may_change_the_owner<H: Host>(h: &H) {
    let fd = bound(h, STREAM, &path("s"));
    let own = format!("/proc/self/fd/{fd}");
    for target in ["s", own.as_str()] {
        keep_only(h, Cap::empty());
        assert_eq!(chown(h, target, 5, KEEP), Err(Errno::PERM), "{target}");
        assert_eq!(chown(h, target, KEEP, 5), Err(Errno::PERM), "{target}");
        assert_eq!(chown(h, target, 0, 0), Ok(0));
        keep_only(h, Cap::SETGID);
        assert_eq!(setgroups(h, &[5]), Ok(0));
        assert_eq!(chown(h, target, KEEP, 5), Ok(0), "a group of one's own");
        assert_eq!(setgroups(h, &[]), Ok(0));
        keep_only(h, Cap::FOWNER);
        assert_eq!(chown(h, target, 5, KEEP), Err(Errno::PERM), "{target}");
        keep_only(h, Cap::CHOWN);
        assert_eq!(chown(h, target, 5, 6), Ok(0));
    }
    let (inode, name) = (fstat(h, fd).unwrap(), stat(h, "s").unwrap());
    assert_eq!((inode.uid, inode.gid, name.uid, name.gid), (5, 6, 5, 6));
}

fn who_may_change_the_mode<H: Host>(h: &H) {
    let fd = bound(h, STREAM, &path("s"));
    assert_eq!(chown(h, "s", KEEP, 9), Ok(0));
    lay_down(h, Cap::FOWNER);
    assert_eq!((fchmod(h, fd, 0o600), chmod(h, "s", 0o600)), (Ok(0), Ok(0)));
    setfsuid(h, REAL);
    assert_eq!(fchmod(h, fd, 0o700), Err(Errno::PERM));
    assert_eq!(chmod(h, "s", 0o700), Err(Errno::PERM));
    let (effective, permitted) = capget(h);
    capset(h, effective | Cap::FOWNER, permitted).unwrap();
    assert_eq!((fchmod(h, fd, 0o711), chmod(h, "s", 0o722)), (Ok(0), Ok(0)));
    let (inode, name) = (fstat(h, fd).unwrap(), stat(h, "s").unwrap());
    assert_eq!((inode.mode, name.mode), (0o140711, 0o140722));
    // Set-group-ID of a group that is not one's own.
    lay_down(h, Cap::FSETID);
    assert_eq!(chmod(h, "s", 0o2755), Ok(0));
    assert_eq!(stat(h, "s").unwrap().mode, 0o140755);
}

fn capabilities_follow_the_user<H: Host>(h: &H) {
    let (all, permitted) = capget(h);
    assert_eq!(all, permitted);
    assert!(all.contains(Cap::CHOWN | Cap::SETUID | Cap::SYS_ADMIN | Cap::NET_ADMIN));
    // An effective id that is not 0 lays them down, 0 takes them up again.
    assert_eq!(setresuid(h, KEEP, REAL, KEEP), Ok(0));
    assert_eq!(capget(h), (Cap::empty(), permitted));
    assert_eq!(setresuid(h, KEEP, EFFECTIVE, KEEP), Err(Errno::PERM));
    assert_eq!(capset(h, Cap::SETUID, permitted), Ok(0));
    assert_eq!(setresuid(h, KEEP, EFFECTIVE, KEEP), Ok(0));
    assert_eq!(capget(h), (Cap::SETUID, permitted));
    assert_eq!(setresuid(h, KEEP, 0, KEEP), Ok(0));
    assert_eq!(capget(h), (permitted, permitted));
    // A set that was cut stays cut.
    let some = Cap::SETUID | Cap::KILL;
    assert_eq!(capset(h, Cap::KILL, some), Ok(0));
    assert_eq!(capset(h, Cap::KILL | Cap::CHOWN, some | Cap::CHOWN), Err(Errno::PERM));
    assert_eq!(capset(h, Cap::KILL | Cap::SETUID, Cap::KILL), Err(Errno::PERM));
    assert_eq!(setresuid(h, KEEP, KEEP, REAL), Err(Errno::PERM));
    assert_eq!(setresuid(h, KEEP, KEEP, 0), Ok(0), "it is an own one");
    assert_eq!(capset(h, some, some), Ok(0));
    assert_eq!(setresuid(h, 0, 0, 0), Ok(0));
    assert_eq!(capget(h), (some, some));
    // When the last of the three is given up they are gone for good.
    assert_eq!(setresuid(h, REAL, REAL, KEEP), Ok(0));
    assert_eq!(capget(h), (Cap::empty(), some));
    assert_eq!(setresuid(h, KEEP, KEEP, REAL), Ok(0));
    assert_eq!(capget(h), (Cap::empty(), Cap::empty()));
    assert_eq!(setresuid(h, 0, KEEP, KEEP), Err(Errno::PERM));
}

fn capabilities_follow_the_file_system_user<H: Host>(h: &H) {
    let (all, permitted) = capget(h);
    let of_files = Cap::OF_FILES & permitted;
    assert!(of_files.contains(Cap::CHOWN | Cap::DAC_OVERRIDE | Cap::FSETID));
    assert_eq!(setfsuid(h, REAL), 0);
    assert_eq!(capget(h), (all - of_files, permitted));
    assert_eq!(setfsuid(h, EFFECTIVE), REAL);
    assert_eq!(capget(h), (all - of_files, permitted));
    assert_eq!(setfsuid(h, KEEP), EFFECTIVE, "which only asks");
    assert_eq!(setfsuid(h, 0), EFFECTIVE);
    assert_eq!(capget(h), (all, permitted));
    lay_down(h, Cap::CHOWN);
    setfsuid(h, REAL);
    setfsuid(h, 0);
    assert_eq!(capget(h), (all, permitted), "what was laid down is taken up again");
    keep_only(h, Cap::KILL);
    assert_eq!(setfsuid(h, REAL), 0);
    assert_eq!(setfsuid(h, KEEP), 0, "without CAP_SETUID only an own one");
    assert_eq!((setfsgid(h, REAL), setfsgid(h, KEEP)), (0, 0));
    // setresuid sets it too, but not where nothing else changes.
    keep_only(h, Cap::SETUID | Cap::SETGID);
    setfsuid(h, REAL);
    assert_eq!(setresuid(h, KEEP, KEEP, KEEP), Ok(0));
    assert_eq!(setfsuid(h, KEEP), REAL);
    assert_eq!(setresuid(h, KEEP, 0, KEEP), Ok(0));
    assert_eq!(setfsuid(h, KEEP), 0);
}

fn what_may_be_set<H: Host>(h: &H) {
    assert_eq!(setresgid(h, 1, 2, 3), Ok(0));
    assert_eq!(setresuid(h, REAL, EFFECTIVE, SAVED), Ok(0));
    for (new, expected) in [
        ([KEEP, KEEP, KEEP], Ok(0)),
        ([EFFECTIVE, SAVED, REAL], Ok(0)),
        ([EFFECTIVE, EFFECTIVE, KEEP], Ok(0)),
        ([SAVED, KEEP, KEEP], Err(Errno::PERM)),
        ([KEEP, 0, KEEP], Err(Errno::PERM)),
        ([REAL, KEEP, KEEP], Ok(0)),
    ] {
        assert_eq!(setresuid(h, new[0], new[1], new[2]), expected, "{new:?}");
    }
    for (new, expected) in [
        ([3, 1, 2], Ok(0)),
        ([KEEP, 4, KEEP], Err(Errno::PERM)),
        ([0, KEEP, KEEP], Err(Errno::PERM)),
        ([KEEP, 3, 3], Ok(0)),
        ([1, KEEP, KEEP], Err(Errno::PERM)),
    ] {
        assert_eq!(setresgid(h, new[0], new[1], new[2]), expected, "{new:?}");
    }
}

fn who_may_kill<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let spec = ProcessSpec::new("victim").fd(crate::raw::owned(h.clone(), b), 3);
    let victim = h.process(spec, |h| {
        setresuid(h, REAL, EFFECTIVE, SAVED).unwrap();
        send(h, 3, b".", 0).unwrap();
        let _ = recv(h, 3, 1, 0);
        0
    });
    let victim = victim.unwrap();
    let pid = victim.pid();
    assert_eq!(recv(h, a, 1, 0), Ok(b".".to_vec()));
    let ask = || h.call(&mut afunix::Call::Kill { pid, signal: 0 });
    lay_down(h, Cap::KILL);
    assert_eq!(ask(), Err(Errno::PERM), "the superuser without CAP_KILL");
    for (real, effective, expected) in [
        (REAL, 7, Ok(0)),
        (7, REAL, Ok(0)),
        (SAVED, 7, Ok(0)),
        (7, SAVED, Ok(0)),
        (EFFECTIVE, EFFECTIVE, Err(Errno::PERM)),
        (7, 7, Err(Errno::PERM)),
    ] {
        assert_eq!(setresuid(h, real, effective, 0), Ok(0));
        keep_only(h, Cap::SETUID);
        assert_eq!(ask(), expected, "real {real}, effective {effective}");
        keep_only(h, Cap::SETUID | Cap::KILL);
        assert_eq!(ask(), Ok(0));
    }
    victim.kill(Signal::Kill).unwrap();
    victim.wait().unwrap();
}
