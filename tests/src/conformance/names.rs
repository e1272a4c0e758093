//! BIND.

use afunix::{Errno, Host, OpenFlags, SegmentMut};

use super::{Case, as_stranger, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "BIND 1" path_errors_before_already_bound,
        "BIND 2" what_stands_in_the_way,
        "BIND 2" name_of_an_open_file,
        "BIND 3" mode_follows_umask,
        root "BIND 3" owner_is_the_effective_user,
        "BIND 4" abstract_in_use,
        "BIND 5" bind_when_connected,
        "BIND 6" free_at_last_close,
        "BIND 6" stale_file,
        "BIND 7" found_by_inode,
        "BIND 8" resolved_at_the_call,
        "BIND 8" deleted_directory,
        root "BIND 9" sticky_directory,
    ]
}

fn path_errors_before_already_bound<H: Host>(h: &H) {
    let fd = bound(h, STREAM, &path("s"));
    assert_eq!(bind(h, fd, &path("t")), Err(Errno::INVAL));
    assert_eq!(stat(h, "t"), Err(Errno::NOENT), "the new inode is removed again");
    assert_eq!(bind(h, fd, &path("s")), Err(Errno::ADDRINUSE));
    assert_eq!(bind(h, fd, &path("none/t")), Err(Errno::NOENT));
    assert_eq!(getsockname(h, fd), Ok(path("s")));
}

fn what_stands_in_the_way<H: Host>(h: &H) {
    make_file(h, "file", b"");
    mkdir(h, "dir", 0o755).unwrap();
    symlink(h, "nowhere", "dangling").unwrap();
    symlink(h, "loop", "loop").unwrap();
    symlink(h, "dir", "to-dir").unwrap();
    let fd = socket(h, STREAM).unwrap();
    for there in ["file", "dir", ".", "/", "..", "dangling", "loop", "dir/", "to-dir", "to-dir/"] {
        assert_eq!(bind(h, fd, &path(there)), Err(Errno::ADDRINUSE), "{there}");
    }
    for missing in ["none/s", "new/", "new/."] {
        assert_eq!(bind(h, fd, &path(missing)), Err(Errno::NOENT), "{missing}");
    }
    assert_eq!(bind(h, fd, &path("file/s")), Err(Errno::NOTDIR));
    assert_eq!(bind(h, fd, &path("file/.")), Err(Errno::NOTDIR));
    assert_eq!(bind(h, fd, &path("loop/s")), Err(Errno::LOOP));
    assert_eq!(bind(h, fd, &path("to-dir/s")), Ok(0));
    assert_eq!(stat(h, "dir/s").unwrap().mode, 0o140755);
}

fn mode_follows_umask<H: Host>(h: &H) {
    for (mask, mode) in [(0o022, 0o755), (0, 0o777), (0o077, 0o700), (0o777, 0)] {
        umask(h, mask);
        let label = format!("s{mask:o}");
        bound(h, SEQPACKET, &path(&label));
        assert_eq!(stat(h, &label).unwrap().mode, 0o140000 | mode);
    }
}

fn owner_is_the_effective_user<H: Host>(h: &H) {
    mkdir(h, "open", 0o777).unwrap();
    chmod(h, "open", 0o777).unwrap();
    as_stranger(h, &[], |h| {
        bound(h, STREAM, &path("open/s"));
    });
    let stat = stat(h, "open/s").unwrap();
    assert_eq!((stat.uid, stat.gid), (super::STRANGER, super::STRANGER));
}

fn abstract_in_use<H: Host>(h: &H) {
    let first = bound(h, STREAM, &hidden("x"));
    let second = socket(h, STREAM).unwrap();
    assert_eq!(set_int(h, second, SO_REUSEADDR, 1), Ok(0));
    assert_eq!(bind(h, second, &hidden("x")), Err(Errno::ADDRINUSE));
    assert_eq!(bind(h, first, &hidden("y")), Err(Errno::INVAL));
    assert_eq!(bind(h, first, &hidden("x")), Err(Errno::INVAL));
}

fn bind_when_connected<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        let name = hidden(&format!("{kind}"));
        assert_eq!(bind(h, a, &name), Ok(0));
        assert_eq!(getpeername(h, b), Ok(name));
    }
}

fn free_at_last_close<H: Host>(h: &H) {
    let fd = listener(h, STREAM, &hidden("x"), 1);
    let client = connected(h, STREAM, &hidden("x")).unwrap();
    let accepted = accept(h, fd, 0).unwrap();
    assert_eq!(getsockname(h, accepted), Ok(hidden("x")));
    let copy = dup(h, fd).unwrap();
    assert_eq!(close(h, fd), Ok(0));
    let next = socket(h, STREAM).unwrap();
    assert_eq!(bind(h, next, &hidden("x")), Err(Errno::ADDRINUSE));
    assert_eq!(close(h, copy), Ok(0));
    assert_eq!(bind(h, next, &hidden("x")), Ok(0), "accepted sockets do not hold the name");
    assert_eq!(getpeername(h, client), Ok(hidden("x")));
}

fn stale_file<H: Host>(h: &H) {
    let fd = listener(h, STREAM, &path("s"), 1);
    assert_eq!(close(h, fd), Ok(0));
    assert_eq!(stat(h, "s").unwrap().mode, 0o140755);
    let next = socket(h, STREAM).unwrap();
    assert_eq!(connect(h, next, &path("s")), Err(Errno::CONNREFUSED));
    assert_eq!(bind(h, next, &path("s")), Err(Errno::ADDRINUSE));
    assert_eq!(unlink(h, "s"), Ok(0));
    assert_eq!(bind(h, next, &path("s")), Ok(0));
}

fn found_by_inode<H: Host>(h: &H) {
    let fd = listener(h, STREAM, &path("s"), 8);
    symlink(h, "s", "by-symlink").unwrap();
    link(h, "s", "by-link").unwrap();
    rename(h, "s", "moved").unwrap();
    assert_eq!(connected(h, STREAM, &path("by-symlink")), Err(Errno::NOENT));
    rename(h, "moved", "s").unwrap();
    for way in ["s", "by-symlink", "by-link", "./s"] {
        let client = connected(h, STREAM, &path(way)).unwrap();
        assert_eq!(getpeername(h, client), Ok(path("s")), "by {way}");
    }
    assert_eq!(unlink(h, "s"), Ok(0));
    assert!(connected(h, STREAM, &path("by-link")).is_ok());
    assert_eq!(getsockname(h, fd), Ok(path("s")));
}

fn resolved_at_the_call<H: Host>(h: &H) {
    mkdir(h, "dir", 0o755).unwrap();
    let first = listener(h, STREAM, &path("s"), 8);
    let second = listener(h, STREAM, &path("t"), 8);
    chdir(h, "dir").unwrap();
    assert_eq!(connected(h, STREAM, &path("s")), Err(Errno::NOENT));
    assert!(connected(h, STREAM, &path("../s")).is_ok());
    chdir(h, "..").unwrap();
    assert_eq!(poll(h, first), mask("i"));
    rename(h, "t", "s").unwrap();
    assert!(connected(h, STREAM, &path("s")).is_ok());
    assert_eq!(poll(h, second), mask("i"), "the name leads to the socket that was moved there");
}

fn deleted_directory<H: Host>(h: &H) {
    mkdir(h, "gone", 0o755).unwrap();
    chdir(h, "gone").unwrap();
    rmdir(h, "../gone").unwrap();
    let fd = socket(h, STREAM).unwrap();
    assert_eq!(bind(h, fd, &path("s")), Err(Errno::NOENT));
    assert_eq!(connect(h, fd, &path("s")), Err(Errno::NOENT));
    assert_eq!(open(h, "f", OpenFlags::CREAT | OpenFlags::WRONLY), Err(Errno::NOENT));
}

fn sticky_directory<H: Host>(h: &H) {
    mkdir(h, "d", 0o755).unwrap();
    chmod(h, "d", 0o1777).unwrap();
    let fd = bound(h, DGRAM, &path("d/s"));
    chmod(h, "d/s", 0o777).unwrap();
    as_stranger(h, &[], |h| {
        assert_eq!(unlink(h, "d/s"), Err(Errno::PERM));
        assert_eq!(rename(h, "d/s", "d/t"), Err(Errno::PERM));
        let own = socket(h, DGRAM).unwrap();
        assert_eq!(bind(h, own, &path("d/s")), Err(Errno::ADDRINUSE));
        assert_eq!(send_to(h, own, b"x", &path("d/s")), Ok(1));
        assert_eq!(bind(h, own, &path("d/own")), Ok(0));
        assert_eq!(unlink(h, "d/own"), Ok(0));
    });
    let mut byte = [0];
    let got = recv_into(h, fd, SegmentMut::Bytes(&mut byte), DONTWAIT, &mut Default::default());
    assert_eq!((got, byte), (Ok(1), *b"x"));
}

fn name_of_an_open_file<H: Host>(h: &H) {
    let own = |fd: i32| path(&format!("/proc/self/fd/{fd}"));
    let fd = bound(h, DGRAM, &path("s"));
    let handle = open(h, "s", OpenFlags::PATH).unwrap();
    let fresh = socket(h, STREAM).unwrap();
    for taken in [fd, handle, fresh] {
        assert_eq!(bind(h, fresh, &own(taken)), Err(Errno::ADDRINUSE));
    }
    assert_eq!(bind(h, fresh, &own(99)), Err(Errno::NOENT));
}
