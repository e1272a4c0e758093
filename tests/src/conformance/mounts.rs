//! Mounts, as names of sockets meet them: read-only, full, covered, in namespaces.

use afunix::{Capabilities as Cap, Errno, Host, OpenFlags};

use super::{Case, as_stranger, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        root "BIND 1" path_errors_of_a_mount_first,
        root "BIND 2" read_only,
        root "BIND 2" read_only_before_rights,
        root "BIND 2" no_room_for_the_inode,
        root "BIND 2" no_room_for_directories,
        root "BIND 7" across_mounts,
        root "BIND 7" connect_on_read_only,
        root "BIND 8" a_mount_goes,
        root "BIND 8" mount_namespaces,
        root "VFS 2" who_may_mount,
        root "VFS 2" no_namespace_below_the_root_of_a_mount,
        root "VFS 4" what_is_mounted_stays,
        root "VFS 4" a_bound_socket_holds_its_mount,
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

fn no_namespace_below_the_root_of_a_mount<H: Host>(h: &H) {
    own_mount(h, "m", "");
    mkdir(h, "m/d", 0o755).unwrap();
    assert_eq!(chroot(h, "m"), Ok(0));
    assert_eq!(unshare(h, NEWNS), Ok(0));
    assert_eq!(mount(h, "/d", 0, ""), Ok(0));
    assert_eq!(umount(h, "/d"), Ok(0));
    assert_eq!(chroot(h, "/d"), Ok(0));
    assert_eq!(unshare(h, NEWNS), Err(Errno::INVAL));
    assert_eq!(unshare(h, NEWNS | 1), Err(Errno::INVAL));
    assert_eq!(unshare(h, NEWNET), Ok(0));
    lay_down(h, Cap::SYS_ADMIN);
    assert_eq!(unshare(h, NEWNS), Err(Errno::INVAL), "before rights");
    assert_eq!(unshare(h, NEWNET), Err(Errno::PERM));
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

fn a_bound_socket_holds_its_mount<H: Host>(h: &H) {
    own_mount(h, "m", "");
    let plain = |h: &H| h.call(&mut afunix::Call::Umount2 { target: b"m", flags: 0 });
    let server = listener(h, STREAM, &path("m/s"), 8);
    assert_eq!(plain(h), Err(Errno::BUSY));
    unlink(h, "m/s").unwrap();
    assert_eq!(plain(h), Err(Errno::BUSY), "also without a name");
    assert_eq!(mount(h, "m", REMOUNT | RDONLY, ""), Err(Errno::BUSY), "which goes at the close");
    assert_eq!(mount(h, ".", REMOUNT | RDONLY, ""), Err(Errno::INVAL));
    close(h, server).unwrap();
    assert_eq!(plain(h), Ok(0));
    // So does a connection that has the listener's name, though it cannot be found by it.
    mount(h, "m", 0, "").unwrap();
    let server = listener(h, STREAM, &path("m/s"), 8);
    let client = connected(h, STREAM, &path("m/s")).unwrap();
    let accepted = accept(h, server, 0).unwrap();
    close(h, server).unwrap();
    assert_eq!(plain(h), Err(Errno::BUSY));
    close(h, accepted).unwrap();
    assert_eq!(plain(h), Ok(0), "a client has none");
    close(h, client).unwrap();
    // A socket in flight holds it, a directory that one stands in, a handle, a mount within.
    mount(h, "m", 0, "").unwrap();
    let (a, b) = pair(h, STREAM);
    let fd = bound(h, DGRAM, &path("m/d"));
    sendmsg(h, a, b"x", &rights(&[fd])).unwrap();
    close(h, fd).unwrap();
    assert_eq!(plain(h), Err(Errno::BUSY));
    recv(h, b, 1, 0).unwrap();
    chdir(h, "m").unwrap();
    let above = |h: &H| h.call(&mut afunix::Call::Umount2 { target: b"../m", flags: 0 });
    assert_eq!(above(h), Err(Errno::BUSY));
    chdir(h, "..").unwrap();
    let handle = open(h, "m/d", OpenFlags::PATH).unwrap();
    assert_eq!(plain(h), Err(Errno::BUSY));
    close(h, handle).unwrap();
    mkdir(h, "m/inner", 0o755).unwrap();
    mount(h, "m/inner", 0, "").unwrap();
    assert_eq!(plain(h), Err(Errno::BUSY));
    umount(h, "m/inner").unwrap();
    assert_eq!(plain(h), Ok(0));
    assert_eq!(plain(h), Err(Errno::INVAL));
}
