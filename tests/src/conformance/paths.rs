//! Limits of paths, links, roots and working directories, as names of sockets meet them.

use afunix::call::Fcntl;
use afunix::{Capabilities as Cap, Errno, Host, OpenFlags};

use super::{Case, STRANGER, as_stranger, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        root "BIND 1" rights_before_already_bound,
        root "BIND 2" unwritable_directories,
        "BIND 2" forty_links,
        "BIND 2" long_names,
        "BIND 7" links_of_sockets,
        "BIND 7" rename_over_sockets,
        "BIND 8" working_directories,
        "BIND 8" handles_on_directories,
        root "BIND 8" another_root,
        root "BIND 8" out_of_a_root,
        "CONNECT 12" what_descriptors_read_as,
        root "OPT 7" handle_on_the_name,
    ]
}

fn rights_before_already_bound<H: Host>(h: &H) {
    mkdir(h, "d", 0o755).unwrap();
    let fd = bound(h, STREAM, &path("s"));
    as_stranger(h, &[fd], |h| {
        assert_eq!(bind(h, 3, &path("d/t")), Err(Errno::ACCES));
        assert_eq!(bind(h, 3, &path("s")), Err(Errno::ADDRINUSE));
        assert_eq!(getsockname(h, 3), Ok(path("s")));
    });
}

fn unwritable_directories<H: Host>(h: &H) {
    mkdir(h, "d", 0o755).unwrap();
    mkdir(h, "write", 0o755).unwrap();
    chmod(h, "write", 0o666).unwrap();
    mkdir(h, "search", 0o755).unwrap();
    chmod(h, "search", 0o711).unwrap();
    for there in ["d/f", "write/f", "search/f"] {
        make_file(h, there, b"");
    }
    symlink(h, "none", "d/l").unwrap();
    mkdir(h, "d/d", 0o755).unwrap();
    as_stranger(h, &[], |h| {
        let fd = socket(h, STREAM).unwrap();
        for there in ["d/f", "d/l", "d/d", "d/d/", "d/.", "d/..", "d", "search/f", "/"] {
            assert_eq!(bind(h, fd, &path(there)), Err(Errno::ADDRINUSE), "{there}");
        }
        for closed in ["d/n", "d/d/n", "search/n", "write/f", "write/n"] {
            assert_eq!(bind(h, fd, &path(closed)), Err(Errno::ACCES), "{closed}");
        }
        for (missing, errno) in [
            ("d/n/", Errno::NOENT),
            ("d/n/n", Errno::NOENT),
            ("d/f/n", Errno::NOTDIR),
            ("d/f/", Errno::ADDRINUSE),
            ("d/l/n", Errno::NOENT),
            ("write/n/n", Errno::ACCES),
        ] {
            assert_eq!(bind(h, fd, &path(missing)), Err(errno), "{missing}");
        }
    });
}

fn forty_links<H: Host>(h: &H) {
    mkdir(h, "l0", 0o755).unwrap();
    for link in 1..=41 {
        symlink(h, &format!("l{}", link - 1), &format!("l{link}")).unwrap();
    }
    listener(h, STREAM, &path("l40/s"), 8);
    assert!(connected(h, STREAM, &path("l40/s")).is_ok());
    let fd = socket(h, STREAM).unwrap();
    assert_eq!(bind(h, fd, &path("l41/t")), Err(Errno::LOOP));
    assert_eq!(connect(h, fd, &path("l41/s")), Err(Errno::LOOP));
    assert_eq!(connect(h, fd, &path("l41")), Err(Errno::LOOP));
    assert_eq!(bind(h, fd, &path("l41")), Err(Errno::ADDRINUSE), "the last is not followed");
    // Each link on the way counts, wherever it stands.
    symlink(h, "l20/s", "a").unwrap();
    symlink(h, "l39/s", "b").unwrap();
    symlink(h, "l40/s", "c").unwrap();
    assert!(connected(h, STREAM, &path("a")).is_ok());
    assert!(connected(h, STREAM, &path("b")).is_ok());
    assert_eq!(connect(h, fd, &path("c")), Err(Errno::LOOP));
    symlink(h, "self", "self").unwrap();
    assert_eq!(connect(h, fd, &path("self")), Err(Errno::LOOP));
    assert_eq!(connect(h, fd, &path("self/s")), Err(Errno::LOOP));
    assert_eq!(open(h, "self", OpenFlags::empty()), Err(Errno::LOOP));
}

fn long_names<H: Host>(h: &H) {
    let (fits, long) = ("n".repeat(255), "n".repeat(256));
    symlink(h, &fits, "fits").unwrap();
    symlink(h, &long, "long").unwrap();
    symlink(h, &format!("{long}/s"), "long-way").unwrap();
    symlink(h, &"d/".repeat(2047), "deep").unwrap();
    assert_eq!(symlink(h, &"x".repeat(4096), "longer"), Err(Errno::NAMETOOLONG));
    symlink(h, &"x".repeat(4095), "longest").unwrap();
    let fd = socket(h, STREAM).unwrap();
    assert_eq!(bind(h, fd, &path("long/s")), Err(Errno::NAMETOOLONG));
    assert_eq!(bind(h, fd, &path("long-way/s")), Err(Errno::NAMETOOLONG));
    assert_eq!(bind(h, fd, &path("longest/s")), Err(Errno::NAMETOOLONG));
    assert_eq!(bind(h, fd, &path("fits/s")), Err(Errno::NOENT));
    assert_eq!(bind(h, fd, &path("long")), Err(Errno::ADDRINUSE));
    assert_eq!(connect(h, fd, &path("long")), Err(Errno::NAMETOOLONG));
    assert_eq!(connect(h, fd, &path("fits")), Err(Errno::NOENT));
    mkdir(h, &fits, 0o755).unwrap();
    assert_eq!(bind(h, fd, &path("fits/s")), Ok(0));
    assert_eq!(mkdir(h, &long, 0o755), Err(Errno::NAMETOOLONG));
    mkdir(h, "d", 0o755).unwrap();
    symlink(h, ".", "d/d").unwrap();
    let way = |len: usize| format!("{}s", "./".repeat(len));
    assert_eq!(mkdir(h, &way(2047), 0o755), Ok(0), "4095 bytes and the NUL");
    assert_eq!(mkdir(h, &format!("/{}", way(2047)), 0o755), Err(Errno::NAMETOOLONG));
    // A search is refused before the name is looked at.
    assert_eq!(open(h, &format!("none/{long}"), OpenFlags::empty()), Err(Errno::NOENT));
    make_file(h, "f", b"");
    assert_eq!(open(h, &format!("f/{long}"), OpenFlags::empty()), Err(Errno::NOTDIR));
}

fn links_of_sockets<H: Host>(h: &H) {
    let fd = listener(h, STREAM, &path("s"), 8);
    assert_eq!(link(h, "s", "t"), Ok(0));
    assert_eq!(stat(h, "s").unwrap().nlink, 2);
    assert_eq!(link(h, "s", "t"), Err(Errno::EXIST));
    assert_eq!(link(h, "s", "none/t"), Err(Errno::NOENT));
    let other = socket(h, STREAM).unwrap();
    assert_eq!(bind(h, other, &path("t")), Err(Errno::ADDRINUSE));
    // The mode is one for all names.
    chmod(h, "t", 0o700).unwrap();
    assert_eq!(stat(h, "s").unwrap().mode, 0o140700);
    assert_eq!(unlink(h, "s"), Ok(0));
    assert_eq!(bind(h, other, &path("s")), Ok(0), "the name is free, the socket goes on");
    let client = connected(h, STREAM, &path("t")).unwrap();
    assert_eq!(getpeername(h, client), Ok(path("s")));
    assert_eq!(connected(h, STREAM, &path("s")), Err(Errno::CONNREFUSED));
    // A link on a link is a name of the link itself.
    symlink(h, "t", "l").unwrap();
    assert_eq!(link(h, "l", "m"), Ok(0));
    assert_eq!(readlink(h, "m", 9), Ok(b"t".to_vec()));
    assert!(connected(h, STREAM, &path("m")).is_ok());
    assert_eq!(close(h, fd), Ok(0));
    assert_eq!(connected(h, STREAM, &path("m")), Err(Errno::CONNREFUSED));
}

fn rename_over_sockets<H: Host>(h: &H) {
    let first = listener(h, STREAM, &path("first"), 8);
    let second = listener(h, STREAM, &path("second"), 8);
    let early = connected(h, STREAM, &path("first")).unwrap();
    mkdir(h, "d", 0o755).unwrap();
    make_file(h, "f", b"");
    assert_eq!(rename(h, "second", "d"), Err(Errno::ISDIR));
    assert_eq!(rename(h, "d", "second"), Err(Errno::NOTDIR));
    assert_eq!(rename(h, "second", "second"), Ok(0));
    assert_eq!(rename(h, "second", "first"), Ok(0));
    assert_eq!(connected(h, STREAM, &path("second")), Err(Errno::NOENT));
    let late = connected(h, STREAM, &path("first")).unwrap();
    assert_eq!(getpeername(h, early), Ok(path("first")));
    assert_eq!(getpeername(h, late), Ok(path("second")), "as it was bound");
    assert_eq!((poll(h, first), poll(h, second)), (mask("i"), mask("i")));
    assert!(accept(h, first, 0).is_ok(), "who has lost its name goes on");
    assert_eq!(poll(h, first), mask(""));
    // A file over a socket, and a socket over a file.
    assert_eq!(rename(h, "f", "first"), Ok(0));
    assert_eq!(connected(h, STREAM, &path("first")), Err(Errno::CONNREFUSED));
    let third = listener(h, STREAM, &path("third"), 8);
    assert_eq!(rename(h, "third", "first"), Ok(0));
    assert!(connected(h, STREAM, &path("first")).is_ok());
    // Two names of one socket: nothing happens.
    link(h, "first", "twin").unwrap();
    assert_eq!(rename(h, "twin", "first"), Ok(0));
    assert_eq!(stat(h, "twin").unwrap().nlink, 2);
    // With a directory that it lies in.
    rename(h, "first", "d/s").unwrap();
    rename(h, "d", "e").unwrap();
    assert!(connected(h, STREAM, &path("e/s")).is_ok());
    assert_eq!(getsockname(h, third), Ok(path("third")));
}

fn working_directories<H: Host>(h: &H) {
    mkdir(h, "a", 0o755).unwrap();
    mkdir(h, "a/b", 0o755).unwrap();
    listener(h, STREAM, &path("a/s"), 8);
    chdir(h, "a/b").unwrap();
    assert!(connected(h, STREAM, &path("../s")).is_ok());
    assert_eq!(rename(h, "../../a", "../../moved"), Ok(0));
    assert!(connected(h, STREAM, &path("../s")).is_ok(), "it moved along");
    rename(h, "../b", "../../b").unwrap();
    assert_eq!(connected(h, STREAM, &path("../s")), Err(Errno::NOENT));
    assert!(connected(h, STREAM, &path("../moved/s")).is_ok());
    // Deleted: `.` is still there, and `..` is where it was; but nothing is in it.
    assert_eq!(rmdir(h, "../b"), Ok(0));
    assert_eq!(rmdir(h, "."), Err(Errno::INVAL));
    assert!(connected(h, STREAM, &path("../moved/s")).is_ok());
    assert_eq!(stat(h, ".").unwrap().nlink, 0);
    let fd = socket(h, STREAM).unwrap();
    for (name, errno) in [
        ("s", Errno::NOENT),
        ("./s", Errno::NOENT),
        (".", Errno::ADDRINUSE),
        ("..", Errno::ADDRINUSE),
        ("none/s", Errno::NOENT),
    ] {
        assert_eq!(bind(h, fd, &path(name)), Err(errno), "{name}");
    }
    assert_eq!(mkdir(h, "d", 0o755), Err(Errno::NOENT));
    assert_eq!(symlink(h, "x", "l"), Err(Errno::NOENT));
    assert_eq!(link(h, "../moved/s", "s"), Err(Errno::NOENT));
    assert_eq!(rename(h, "../moved/s", "s"), Err(Errno::NOENT));
    assert_eq!(bind(h, fd, &path("../t")), Ok(0));
    assert_eq!(getsockname(h, fd), Ok(path("../t")));
    make_file(h, "../f", b"");
    assert_eq!(chdir(h, "../f"), Err(Errno::NOTDIR));
    assert_eq!(chdir(h, "../none"), Err(Errno::NOENT));
    assert_eq!(chdir(h, "../moved"), Ok(0));
    assert!(connected(h, STREAM, &path("s")).is_ok());
}

fn handles_on_directories<H: Host>(h: &H) {
    mkdir(h, "a", 0o755).unwrap();
    listener(h, STREAM, &path("a/s"), 8);
    let plain = open(h, "a", OpenFlags::DIRECTORY).unwrap();
    let handle = open(h, "a", OpenFlags::PATH).unwrap();
    let of_socket = open(h, "a/s", OpenFlags::PATH).unwrap();
    let socket = socket(h, STREAM).unwrap();
    rename(h, "a", "b").unwrap();
    for fd in [plain, handle] {
        assert_eq!(fchdir(h, fd), Ok(0));
        assert!(connected(h, STREAM, &path("s")).is_ok());
        assert!(connected(h, STREAM, &path("../b/s")).is_ok());
        chdir(h, "..").unwrap();
    }
    assert_eq!(fchdir(h, of_socket), Err(Errno::NOTDIR));
    assert_eq!(fchdir(h, socket), Err(Errno::NOTDIR));
    assert_eq!(fchdir(h, 99), Err(Errno::BADF));
    let by_number = format!("/proc/self/fd/{handle}");
    assert_eq!(chdir(h, &by_number), Ok(0));
    assert!(connected(h, STREAM, &path("s")).is_ok());
}

fn another_root<H: Host>(h: &H) {
    mkdir(h, "jail", 0o755).unwrap();
    mkdir(h, "jail/d", 0o755).unwrap();
    mkdir(h, "shut", 0o700).unwrap();
    make_file(h, "f", b"");
    listener(h, STREAM, &path("jail/s"), 8);
    let outside = listener(h, STREAM, &path("s"), 8);
    symlink(h, "/s", "jail/l").unwrap();
    assert_eq!(chroot(h, "none"), Err(Errno::NOENT));
    assert_eq!(chroot(h, "f"), Err(Errno::NOTDIR));
    keep_only(h, Cap::empty());
    assert_eq!(chroot(h, "none"), Err(Errno::NOENT));
    assert_eq!(chroot(h, "f"), Err(Errno::NOTDIR));
    assert_eq!(chroot(h, "jail"), Err(Errno::PERM));
    keep_only(h, Cap::SYS_CHROOT | Cap::SETUID);
    setfsuid(h, STRANGER);
    assert_eq!(chroot(h, "shut"), Err(Errno::ACCES));
    setfsuid(h, 0);
    assert_eq!(connected(h, STREAM, &path("/s")), Err(Errno::NOENT));
    assert_eq!(chroot(h, "jail"), Ok(0));
    assert_eq!(chdir(h, "/"), Ok(0));
    for way in ["s", "/s", "../s", "/../../s", "l", "d/../../l"] {
        let client = connected(h, STREAM, &path(way)).unwrap();
        assert_eq!(getpeername(h, client), Ok(path("jail/s")), "by {way}");
    }
    assert_eq!(poll(h, outside), mask(""));
    let fd = bound(h, STREAM, &path("/t"));
    assert_eq!(getsockname(h, fd), Ok(path("/t")), "the name as it was given");
    assert_eq!(open(h, "/proc/self/fd/0", OpenFlags::PATH), Err(Errno::NOENT));
}

fn out_of_a_root<H: Host>(h: &H) {
    mkdir(h, "jail", 0o755).unwrap();
    listener(h, STREAM, &path("s"), 8);
    listener(h, STREAM, &path("jail/s"), 8);
    // A working directory outside of the root is no inside.
    assert_eq!(chroot(h, "jail"), Ok(0));
    assert!(connected(h, STREAM, &path("jail/s")).is_ok());
    let client = connected(h, STREAM, &path("s")).unwrap();
    assert_eq!(getpeername(h, client), Ok(path("s")));
    let client = connected(h, STREAM, &path("/s")).unwrap();
    assert_eq!(getpeername(h, client), Ok(path("jail/s")));
    assert_eq!(stat(h, "jail/..").unwrap().ino, stat(h, "jail").unwrap().ino, "up to the root");
    assert_ne!(stat(h, "jail/..").unwrap().ino, stat(h, ".").unwrap().ino);
}

fn what_descriptors_read_as<H: Host>(h: &H) {
    let (a, _b) = pair(h, STREAM);
    symlink(h, "to", "l").unwrap();
    let text = readlink(h, &format!("/proc/self/fd/{a}"), 99).unwrap();
    assert_eq!(text, format!("socket:[{}]", fstat(h, a).unwrap().ino).into_bytes());
    assert_eq!(readlink(h, &format!("/proc/self/fd/{a}"), 6), Ok(b"socket".to_vec()));
    assert_eq!(readlink(h, "/proc/self/fd/99", 9), Err(Errno::NOENT));
    assert_eq!(readlink(h, "l", 9), Ok(b"to".to_vec()));
    assert_eq!(readlink(h, "l", 1), Ok(b"t".to_vec()));
    assert_eq!(readlink(h, "l", 0), Err(Errno::INVAL));
    assert_eq!(readlink(h, ".", 9), Err(Errno::INVAL));
    assert_eq!(readlink(h, "none", 9), Err(Errno::NOENT));
}

fn handle_on_the_name<H: Host>(h: &H) {
    let file = |fd| ioctl_returns(h, fd, SIOCUNIXFILE).map(|number| number as i32);
    let server = listener(h, STREAM, &path("s"), 8);
    let hidden_one = bound(h, STREAM, &hidden("x"));
    let (a, _b) = pair(h, STREAM);
    assert_eq!(file(hidden_one), Err(Errno::NOENT));
    assert_eq!(file(a), Err(Errno::NOENT));
    let client = connected(h, STREAM, &path("s")).unwrap();
    assert_eq!(file(client), Err(Errno::NOENT));
    let accepted = accept(h, server, 0).unwrap();
    for fd in [server, accepted] {
        let handle = file(fd).unwrap();
        assert_eq!(fcntl(h, handle, Fcntl::Getfd), Ok(1), "it is close-on-exec");
        assert_eq!(fcntl(h, handle, Fcntl::Getfl), Ok(OpenFlags::PATH.bits() as usize));
        assert_eq!(fstat(h, handle).map(|stat| stat.ino), stat(h, "s").map(|stat| stat.ino));
        assert_eq!(read(h, handle, 1), Err(Errno::BADF));
        close(h, handle).unwrap();
    }
    unlink(h, "s").unwrap();
    close(h, server).unwrap();
    let handle = file(accepted).unwrap();
    assert_eq!(fstat(h, handle).map(|stat| (stat.mode, stat.nlink)), Ok((0o140755, 0)));
    set_limit(h, 3).unwrap();
    assert_eq!(file(accepted), Err(Errno::MFILE));
    assert_eq!(file(hidden_one), Err(Errno::NOENT));
    lay_down(h, Cap::NET_ADMIN);
    assert_eq!(file(accepted), Err(Errno::PERM));
    assert_eq!(file(hidden_one), Err(Errno::PERM));
}
