//! Mounts, limits of paths, links, roots and working directories, as names of sockets meet them.

use afunix::{Capabilities as Cap, Errno, Host, OpenFlags};

use super::{Case, STRANGER, as_stranger, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        root "BIND 1" path_errors_of_a_mount_first,
        root "BIND 2" read_only,
        root "BIND 2" read_only_before_rights,
        root "BIND 2" no_room_for_the_inode,
        root "BIND 2" no_room_for_directories,
        "BIND 2" forty_links,
        "BIND 2" long_names,
        root "BIND 7" across_mounts,
        root "BIND 7" connect_on_read_only,
        "BIND 7" links_of_sockets,
        "BIND 7" rename_over_sockets,
        "BIND 8" working_directories,
        "BIND 8" handles_on_directories,
        root "BIND 8" another_root,
        root "BIND 8" out_of_a_root,
        root "BIND 8" a_mount_goes,
        root "BIND 8" mount_namespaces,
        root "VFS 2" who_may_mount,
        root "VFS 4" what_is_mounted_stays,
        "CONNECT 12" what_descriptors_read_as,
    ]
}

fn path_errors_of_a_mount_first<H: Host>(h: &H) {
    own_mount(h, "m", "nr_inodes=3");
    let fd = bound(h, STREAM, &path("m/s"));
    assert_eq!(bind(h, fd, &path("m/t")), Err(Errno::INVAL));
    assert_eq!(stat(h, "m/t"), Err(Errno::NOENT), "the new inode is removed again");
    bound(h, STREAM, &path("m/t"));
    assert_eq!(bind(h, fd, &path("m/u")), Err(Errno::NOSPC));
    assert_eq!(bind(h, fd, &path("m/t")), Err(Errno::ADDRINUSE));
    assert_eq!(mount(h, "m", REMOUNT | RDONLY, ""), Ok(0));
    assert_eq!(bind(h, fd, &path("m/u")), Err(Errno::ROFS));
    assert_eq!(bind(h, fd, &path("m/none/u")), Err(Errno::NOENT));
}

fn read_only<H: Host>(h: &H) {
    own_mount(h, "m", "mode=0755");
    make_file(h, "m/f", b"x");
    make_file(h, "f", b"x");
    mkdir(h, "m/d", 0o755).unwrap();
    symlink(h, "nowhere", "m/dangling").unwrap();
    bound(h, STREAM, &path("m/s"));
    assert_eq!(mount(h, "m", REMOUNT | RDONLY, ""), Ok(0));
    let fd = socket(h, STREAM).unwrap();
    for there in ["m/f", "m/s", "m/d", "m/d/", "m/.", "m", "m/dangling"] {
        assert_eq!(bind(h, fd, &path(there)), Err(Errno::ADDRINUSE), "{there}");
    }
    for (missing, errno) in [
        ("m/n", Errno::ROFS),
        ("m/d/n", Errno::ROFS),
        ("m/n/", Errno::NOENT),
        ("m/n/n", Errno::NOENT),
        ("m/f/n", Errno::NOTDIR),
        ("m/dangling/n", Errno::NOENT),
    ] {
        assert_eq!(bind(h, fd, &path(missing)), Err(errno), "{missing}");
    }
    assert_eq!(mkdir(h, "m/n", 0o755), Err(Errno::ROFS));
    assert_eq!(mkdir(h, "m/f", 0o755), Err(Errno::EXIST));
    assert_eq!(symlink(h, "x", "m/n"), Err(Errno::ROFS));
    assert_eq!(unlink(h, "m/s"), Err(Errno::ROFS));
    assert_eq!(unlink(h, "m/none"), Err(Errno::ROFS), "before it is looked up");
    assert_eq!(unlink(h, "m/."), Err(Errno::ISDIR));
    assert_eq!(rmdir(h, "m/none"), Err(Errno::ROFS));
    assert_eq!(rmdir(h, "m/d"), Err(Errno::ROFS));
    assert_eq!(rmdir(h, "m/."), Err(Errno::INVAL));
    assert_eq!(rename(h, "m/f", "m/g"), Err(Errno::ROFS));
    assert_eq!(rename(h, "m/none", "m/g"), Err(Errno::ROFS));
    assert_eq!(rename(h, "m/f", "g"), Err(Errno::XDEV));
    assert_eq!(rename(h, "f", "m/g"), Err(Errno::XDEV));
    assert_eq!(link(h, "m/s", "m/g"), Err(Errno::ROFS));
    assert_eq!(link(h, "f", "m/g"), Err(Errno::ROFS));
    assert_eq!(link(h, "m/s", "g"), Err(Errno::XDEV));
    assert_eq!(link(h, "m/s", "m/f"), Err(Errno::EXIST));
    assert_eq!(chmod(h, "m/s", 0o777), Err(Errno::ROFS));
    assert_eq!(chown(h, "m/s", 1, 1), Err(Errno::ROFS));
    let opened = |path, flags| open(h, path, flags).map(|fd| close(h, fd));
    let (write, creat) = (OpenFlags::WRONLY, OpenFlags::CREAT);
    assert_eq!(opened("m/f", write), Err(Errno::ROFS));
    assert_eq!(opened("m/f", OpenFlags::TRUNC), Err(Errno::ROFS));
    assert_eq!(opened("m/n", creat), Err(Errno::ROFS));
    assert_eq!(opened("m/s", write), Err(Errno::NXIO), "a socket is no part of the file system");
    assert_eq!(opened("m/d", write), Err(Errno::ISDIR));
    assert_eq!(opened("m/f", creat), Ok(Ok(0)));
    assert_eq!(opened("m/f", creat | OpenFlags::EXCL), Err(Errno::EXIST));
    assert_eq!(mount(h, "m", REMOUNT, ""), Ok(0));
    assert_eq!(bind(h, fd, &path("m/n")), Ok(0));
    let held = open(h, "m/f", write).unwrap();
    assert_eq!(mount(h, "m", REMOUNT | RDONLY, ""), Err(Errno::BUSY));
    close(h, held).unwrap();
    assert_eq!(mount(h, "m", REMOUNT | RDONLY, ""), Ok(0));
}

fn read_only_before_rights<H: Host>(h: &H) {
    own_mount(h, "m", "mode=0755");
    mkdir(h, "m/closed", 0o700).unwrap();
    bound(h, STREAM, &path("m/s"));
    assert_eq!(mount(h, "m", REMOUNT | RDONLY, ""), Ok(0));
    as_stranger(h, &[], |h| {
        let fd = socket(h, STREAM).unwrap();
        assert_eq!(bind(h, fd, &path("m/n")), Err(Errno::ROFS));
        assert_eq!(bind(h, fd, &path("m/s")), Err(Errno::ADDRINUSE));
        assert_eq!(bind(h, fd, &path("m/closed/n")), Err(Errno::ACCES), "on the way");
        assert_eq!(mkdir(h, "m/n", 0o755), Err(Errno::ROFS));
        assert_eq!(unlink(h, "m/s"), Err(Errno::ROFS));
        assert_eq!(chmod(h, "m/s", 0o777), Err(Errno::ROFS));
        assert_eq!(open(h, "m/n", OpenFlags::CREAT), Err(Errno::ROFS));
    });
    assert_eq!(mount(h, "m", REMOUNT, ""), Ok(0));
    as_stranger(h, &[], |h| {
        let fd = socket(h, STREAM).unwrap();
        assert_eq!(bind(h, fd, &path("m/n")), Err(Errno::ACCES));
        assert_eq!(unlink(h, "m/s"), Err(Errno::ACCES));
        assert_eq!(chmod(h, "m/s", 0o777), Err(Errno::PERM));
    });
}

fn no_room_for_the_inode<H: Host>(h: &H) {
    // The root is one.
    own_mount(h, "m", "nr_inodes=4,mode=0777");
    let first = bound(h, STREAM, &path("m/1"));
    bound(h, STREAM, &path("m/2"));
    bound(h, STREAM, &path("m/3"));
    let fd = socket(h, STREAM).unwrap();
    assert_eq!(bind(h, fd, &path("m/4")), Err(Errno::NOSPC));
    assert_eq!(getsockname(h, fd).unwrap().len(), 2, "it is not bound");
    assert_eq!(bind(h, fd, &path("m/3")), Err(Errno::ADDRINUSE));
    assert_eq!(unlink(h, "m/1"), Ok(0));
    assert_eq!(close(h, first), Ok(0));
    assert_eq!(bind(h, fd, &path("m/4")), Ok(0));
    chmod(h, "m", 0o700).unwrap();
    as_stranger(h, &[], |h| {
        let fd = socket(h, STREAM).unwrap();
        assert_eq!(bind(h, fd, &path("m/5")), Err(Errno::ACCES), "rights before room");
    });
    // As few as are taken, but no fewer.
    assert_eq!(mount(h, "m", REMOUNT, "nr_inodes=3"), Err(Errno::INVAL));
    assert_eq!(mount(h, "m", REMOUNT, "nr_inodes=5"), Ok(0));
    assert_eq!(mkdir(h, "m/5", 0o755), Ok(0));
}

fn no_room_for_directories<H: Host>(h: &H) {
    own_mount(h, "m", "nr_inodes=3,size=8k");
    assert_eq!(mkdir(h, "m/d", 0o755), Ok(0));
    make_file(h, "m/f", b"");
    assert_eq!(mkdir(h, "m/e", 0o755), Err(Errno::NOSPC));
    assert_eq!(symlink(h, "x", "m/l"), Err(Errno::NOSPC));
    assert_eq!(link(h, "m/f", "m/g"), Err(Errno::NOSPC), "a further name takes room too");
    assert_eq!(open(h, "m/g", OpenFlags::CREAT), Err(Errno::NOSPC));
    assert_eq!(rename(h, "m/f", "m/d/f"), Ok(0));
    let fd = open(h, "m/d/f", OpenFlags::WRONLY).unwrap();
    assert_eq!(write(h, fd, &[1; 5000]), Ok(5000));
    assert_eq!(write(h, fd, &[1; 5000]), Ok(3192), "what fits");
    assert_eq!(write(h, fd, &[1; 5000]), Err(Errno::NOSPC));
    assert_eq!(rmdir(h, "m/d"), Err(Errno::NOTEMPTY));
    assert_eq!(rename(h, "m/d/f", "m/f"), Ok(0));
    assert_eq!(unlink(h, "m/f"), Ok(0));
    assert_eq!(mkdir(h, "m/e", 0o755), Err(Errno::NOSPC), "the open file still takes room");
    close(h, fd).unwrap();
    assert_eq!(mkdir(h, "m/e", 0o755), Ok(0));
    assert_eq!(mkdir(h, "m/g", 0o755), Err(Errno::NOSPC));
    assert_eq!(rmdir(h, "m/d"), Ok(0));
    assert_eq!(mkdir(h, "m/g", 0o755), Ok(0));
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

fn across_mounts<H: Host>(h: &H) {
    own_mount(h, "m", "");
    mkdir(h, "m/d", 0o755).unwrap();
    let fd = listener(h, STREAM, &path("m/d/s"), 8);
    symlink(h, "m/d/s", "l").unwrap();
    symlink(h, "../d/s", "m/d/l").unwrap();
    for way in ["m/d/s", "l", "m/d/l", "m/../m/d/s", "m/d/../../m/d/s", "m/./d/s"] {
        let client = connected(h, STREAM, &path(way)).unwrap();
        assert_eq!(getpeername(h, client), Ok(path("m/d/s")), "by {way}");
    }
    assert_eq!(rename(h, "m/d/s", "s"), Err(Errno::XDEV));
    assert_eq!(link(h, "m/d/s", "s"), Err(Errno::XDEV));
    // What is covered is not there, and what covers it is not the same.
    assert_ne!(stat(h, "m").unwrap().dev, stat(h, ".").unwrap().dev);
    assert_eq!(stat(h, "m/..").unwrap().ino, stat(h, ".").unwrap().ino);
    assert_eq!(mount(h, "m", 0, "mode=0700"), Ok(0));
    assert_eq!(connected(h, STREAM, &path("m/d/s")), Err(Errno::NOENT));
    assert_eq!(stat(h, "m").unwrap().mode, 0o40700);
    assert_eq!(stat(h, "m/..").unwrap().ino, stat(h, ".").unwrap().ino);
    assert_eq!(umount(h, "m"), Ok(0));
    assert!(connected(h, STREAM, &path("m/d/s")).is_ok());
    assert_eq!(getsockname(h, fd), Ok(path("m/d/s")));
}

fn connect_on_read_only<H: Host>(h: &H) {
    own_mount(h, "m", "mode=0755");
    listener(h, STREAM, &path("m/s"), 8);
    chmod(h, "m/s", 0o722).unwrap();
    let receiver = bound(h, DGRAM, &path("m/d"));
    chmod(h, "m/d", 0o722).unwrap();
    make_file(h, "m/f", b"");
    chmod(h, "m/f", 0o666).unwrap();
    assert_eq!(mount(h, "m", REMOUNT | RDONLY, ""), Ok(0));
    as_stranger(h, &[], |h| {
        assert!(connected(h, STREAM, &path("m/s")).is_ok(), "w on a socket is no write");
        let own = socket(h, DGRAM).unwrap();
        assert_eq!(send_to(h, own, b"x", &path("m/d")), Ok(1));
        assert_eq!(connected(h, STREAM, &path("m/f")), Err(Errno::ROFS), "on a file it is");
        assert_eq!(connected(h, STREAM, &path("m")), Err(Errno::ROFS));
    });
    assert_eq!(recv(h, receiver, 9, DONTWAIT), Ok(b"x".to_vec()));
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

fn a_mount_goes<H: Host>(h: &H) {
    own_mount(h, "m", "");
    let fd = listener(h, STREAM, &path("m/s"), 8);
    let handle = open(h, "m/s", OpenFlags::PATH).unwrap();
    chdir(h, "m").unwrap();
    assert_eq!(umount(h, "."), Ok(0));
    assert_eq!(umount(h, "."), Err(Errno::INVAL));
    assert!(connected(h, STREAM, &path("s")).is_ok(), "who stands in it stays in it");
    assert!(connected(h, STREAM, &path("../s")).is_ok(), "above it is nothing");
    assert_eq!(mkdir(h, "d", 0o755), Ok(0));
    bound(h, STREAM, &path("d/t"));
    mkdir(h, "d/e", 0o755).unwrap();
    chdir(h, "d/e").unwrap();
    assert!(connected(h, STREAM, &path("../../s")).is_ok());
    chdir(h, "/").unwrap();
    let by_handle = format!("/proc/self/fd/{handle}");
    assert!(connected(h, STREAM, &path(&by_handle)).is_ok());
    assert_eq!(getsockname(h, fd), Ok(path("m/s")));
}

fn mount_namespaces<H: Host>(h: &H) {
    assert_eq!(unshare(h, NEWNS), Ok(0));
    mkdir(h, "m", 0o755).unwrap();
    mkdir(h, "n", 0o755).unwrap();
    listener(h, STREAM, &path("m/s"), 8);
    assert_eq!(mount(h, "n", 0, ""), Ok(0));
    listener(h, STREAM, &path("n/s"), 8);
    let (go, wait) = pair(h, STREAM);
    let spec = afunix::ProcessSpec::new("child").fd(crate::raw::owned(h.clone(), wait), 3);
    let child = h.process(spec, |h| {
        assert_eq!(unshare(h, NEWNS), Ok(0));
        assert_eq!(mount(h, "m", 0, ""), Ok(0));
        listener(h, STREAM, &path("m/s"), 8);
        bound(h, DGRAM, &path("n/new"));
        assert_eq!(umount(h, "n"), Ok(0));
        assert_eq!(stat(h, "n/s"), Err(Errno::NOENT));
        assert_eq!(send(h, 3, b".", 0), Ok(1));
        assert_eq!(recv(h, 3, 1, 0), Ok(b".".to_vec()));
        let client = connected(h, STREAM, &path("m/s")).unwrap();
        assert_eq!(peercred(h, client).pid, getpid(h), "its own mount covers the directory");
        assert_eq!(send(h, 3, b".", 0), Ok(1));
        assert_eq!(recv(h, 3, 1, 0), Ok(b".".to_vec()));
        // The directory was removed where nothing was mounted over it.
        assert_eq!(connected(h, STREAM, &path("m/s")), Err(Errno::NOENT));
        0
    });
    let child = child.unwrap();
    assert_eq!(recv(h, go, 1, 0), Ok(b".".to_vec()));
    let client = connected(h, STREAM, &path("m/s")).unwrap();
    assert_eq!(peercred(h, client).pid, getpid(h), "what is mounted there does not show here");
    assert!(connected(h, STREAM, &path("n/s")).is_ok(), "nor what is unmounted");
    assert!(stat(h, "n/new").is_ok(), "but the file system is the same");
    assert_eq!(send(h, go, b".", 0), Ok(1));
    assert_eq!(recv(h, go, 1, 0), Ok(b".".to_vec()));
    unlink(h, "m/s").unwrap();
    assert_eq!(rmdir(h, "n"), Err(Errno::BUSY));
    assert_eq!(rename(h, "n", "k"), Err(Errno::BUSY));
    assert_eq!(rename(h, "m", "n"), Err(Errno::BUSY));
    assert_eq!(rmdir(h, "m"), Ok(0));
    assert_eq!(send(h, go, b".", 0), Ok(1));
    assert_eq!(child.wait(), Ok(afunix::Exit::Status(0)));
}

fn who_may_mount<H: Host>(h: &H) {
    assert_eq!(unshare(h, NEWNS | NEWNET), Ok(0));
    mkdir(h, "m", 0o755).unwrap();
    make_file(h, "f", b"");
    assert_eq!(mount(h, "f", 0, ""), Err(Errno::NOTDIR));
    assert_eq!(mount(h, "none", 0, ""), Err(Errno::NOENT));
    assert_eq!(mount(h, "m", REMOUNT, ""), Err(Errno::INVAL), "nothing is mounted there");
    for data in ["size=x", "nr_inodes=-1", "mode=9", "mode", "nonsense=1", "size=4096x"] {
        assert_eq!(mount(h, "m", 0, data), Err(Errno::INVAL), "{data}");
    }
    assert_eq!(umount(h, "m"), Err(Errno::INVAL));
    for (data, mode) in [("", 0o1777), ("mode=0750,", 0o750), ("size=1,,mode=17777", 0o7777)] {
        assert_eq!(mount(h, "m", 0, data), Ok(0));
        assert_eq!(stat(h, "m").unwrap().mode, 0o40000 | mode, "{data}");
        assert_eq!(umount(h, "m/."), Ok(0));
    }
    assert_eq!(mount(h, "m", RDONLY, ""), Ok(0));
    assert_eq!(mkdir(h, "m/d", 0o755), Err(Errno::ROFS));
    lay_down(h, Cap::SYS_ADMIN);
    assert_eq!(mount(h, "none", 0, ""), Err(Errno::NOENT));
    assert_eq!(mount(h, "m", 0, ""), Err(Errno::PERM));
    assert_eq!(mount(h, "m", REMOUNT, ""), Err(Errno::PERM));
    assert_eq!(umount(h, "none"), Err(Errno::NOENT));
    assert_eq!(umount(h, "m"), Err(Errno::PERM));
    for flags in [NEWNS, NEWNET, NEWNS | NEWNET] {
        assert_eq!(unshare(h, flags), Err(Errno::PERM));
    }
    assert_eq!(unshare(h, 0), Ok(0));
    assert_eq!(unshare(h, 1), Err(Errno::INVAL));
    keep_only(h, Cap::SYS_ADMIN);
    assert_eq!(mount(h, "m", REMOUNT, ""), Ok(0));
    assert_eq!(umount(h, "m"), Ok(0));
}

fn what_is_mounted_stays<H: Host>(h: &H) {
    own_mount(h, "m", "mode=0777");
    listener(h, STREAM, &path("m/s"), 8);
    mkdir(h, "m/d", 0o755).unwrap();
    assert_eq!(mount(h, "m/d", 0, ""), Ok(0));
    assert_eq!(rmdir(h, "m/d"), Err(Errno::BUSY));
    assert_eq!(rmdir(h, "m"), Err(Errno::BUSY));
    assert_eq!(unlink(h, "m"), Err(Errno::ISDIR));
    assert_eq!(rename(h, "m", "k"), Err(Errno::BUSY));
    assert_eq!(rename(h, "m/.", "k"), Err(Errno::XDEV));
    bound(h, STREAM, &path("m/d/t"));
    // What is mounted within goes along.
    assert_eq!(umount(h, "m"), Ok(0));
    assert_eq!(connected(h, STREAM, &path("m/s")), Err(Errno::NOENT));
    assert_eq!(rmdir(h, "m"), Ok(0));
    as_stranger(h, &[], |h| assert_eq!(stat(h, "m"), Err(Errno::NOENT)));
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
