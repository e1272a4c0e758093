//! What calls on paths answer, as tables. The file system was held against a real kernel over
//! random calls; these are the cases that a reader would look up.

use afunix::call::{Fcntl, Stat};
use afunix::{Call, Credentials, Errno, OpenFlags, Pid, Tid};
use afunix_model::Spawn;

use crate::numbers::fd;
use crate::support::{MAIN, Rig};

const READ: OpenFlags = OpenFlags::empty();
const CREATE: OpenFlags = OpenFlags::CREAT.union(OpenFlags::WRONLY);

/// `/tmp/f` (0600, of root), `/tmp/d` (0755) with `in` in it, links to both, a dangling one, a
/// loop, a bound socket, and a stranger.
fn tree() -> (Rig, Tid) {
    let mut rig = Rig::new();
    rig.make_file(MAIN, "/tmp/f", b"contents");
    rig.call(MAIN, &mut Call::Chmod { path: b"/tmp/f", mode: 0o600 }).unwrap();
    rig.mkdir(MAIN, "/tmp/d", 0o755).unwrap();
    rig.make_file(MAIN, "/tmp/d/in", b"");
    for (target, path) in
        [("f", "/tmp/lf"), ("d", "/tmp/ld"), ("missing", "/tmp/dangling"), ("loop", "/tmp/loop")]
    {
        let (target, path) = (target.as_bytes(), path.as_bytes());
        rig.call(MAIN, &mut Call::Symlink { target, path }).unwrap();
    }
    let socket = rig.socket(MAIN, afunix::SOCK_STREAM);
    rig.bind(MAIN, socket, "/tmp/s").unwrap();
    rig.close(MAIN, socket).unwrap();
    let user = Some(Credentials::user(1000));
    let spec = Spawn { name: "stranger", user, ..Spawn::default() };
    let (_, stranger) = rig.machine.spawn(Pid(1), &spec).unwrap();
    rig.drain();
    (rig, stranger)
}

#[test]
fn open() {
    let long = format!("/tmp/{}", "x".repeat(256));
    let longest = "/".repeat(4096);
    for (path, flags, wanted) in [
        ("/tmp/f", READ, None),
        ("/tmp/lf", READ, None),
        ("/tmp/ld/in", READ, None),
        ("/tmp/d/../f", READ, None),
        ("//tmp//f", READ, None),
        ("", READ, Some(Errno::NOENT)),
        ("/tmp/f/", READ, Some(Errno::NOTDIR)),
        ("/tmp/f/x", READ, Some(Errno::NOTDIR)),
        ("/tmp/f/..", READ, Some(Errno::NOTDIR)),
        ("/tmp/no/x", READ, Some(Errno::NOENT)),
        ("/tmp/dangling", READ, Some(Errno::NOENT)),
        ("/tmp/loop", READ, Some(Errno::LOOP)),
        ("/tmp/loop/x", READ, Some(Errno::LOOP)),
        (&long, READ, Some(Errno::NAMETOOLONG)),
        (&longest, READ, Some(Errno::NAMETOOLONG)),
        (&longest[1..], READ, None),
        ("/tmp/s", READ, Some(Errno::NXIO)),
        ("/tmp/s", OpenFlags::PATH, None),
        ("/tmp/d", CREATE, Some(Errno::ISDIR)),
        ("/tmp/d", OpenFlags::WRONLY, Some(Errno::ISDIR)),
        ("/tmp/new/", CREATE, Some(Errno::ISDIR)),
        ("/tmp/f", CREATE | OpenFlags::EXCL, Some(Errno::EXIST)),
        ("/tmp/dangling", CREATE | OpenFlags::EXCL, Some(Errno::EXIST)),
        ("/tmp/f", OpenFlags::DIRECTORY, Some(Errno::NOTDIR)),
        ("/tmp/lf", OpenFlags::NOFOLLOW, Some(Errno::LOOP)),
        ("/tmp/ld", OpenFlags::NOFOLLOW | OpenFlags::DIRECTORY, Some(Errno::NOTDIR)),
        ("/tmp/new", CREATE | OpenFlags::DIRECTORY, Some(Errno::INVAL)),
        ("/tmp/dangling", CREATE, None),
        ("/tmp/missing", READ, None),
    ] {
        // In order: the last line finds what the one before it made.
        let (mut rig, _) = tree();
        if path == "/tmp/missing" {
            rig.open(MAIN, "/tmp/dangling", CREATE).unwrap();
        }
        let found = rig.open(MAIN, path, flags).err();
        assert_eq!(found, wanted, "open({path:?}, {flags:?})");
    }
}

#[test]
fn what_a_stranger_may_do() {
    let (mut rig, user) = tree();
    assert_eq!(rig.open(user, "/tmp/f", READ), Err(Errno::ACCES));
    assert_eq!(rig.unlink(user, "/tmp/f"), Err(Errno::PERM));
    assert_eq!(rig.rename(user, "/tmp/f", "/tmp/g"), Err(Errno::PERM));
    assert_eq!(rig.unlink(user, "/tmp/d/in"), Err(Errno::ACCES));
    assert_eq!(rig.mkdir(user, "/tmp/d/x", 0o777), Err(Errno::ACCES));
    assert_eq!(rig.mkdir(user, "/tmp/d/in", 0o777), Err(Errno::EXIST));
    let chmod = &mut Call::Chmod { path: b"/tmp/f", mode: 0o777 };
    assert_eq!(rig.call(user, chmod), Err(Errno::PERM));
    let link = &mut Call::Link { old: b"/tmp/f", new: b"/tmp/g" };
    assert_eq!(rig.call(user, link), Err(Errno::PERM));
    rig.call(MAIN, &mut Call::Chmod { path: b"/tmp/d", mode: 0o700 }).unwrap();
    assert_eq!(rig.stat(user, "/tmp/d/in"), Err(Errno::ACCES));
    assert_eq!(rig.stat(user, "/tmp/d").map(|stat| stat.mode), Ok(0o040700));
    // Rights are checked when a file is opened (VFS 2).
    let file = rig.open(MAIN, "/tmp/f", READ).unwrap() as i32;
    let spec = Spawn { user: Some(Credentials::user(7)), fds: &[(file, 5)], ..Spawn::default() };
    let (_, other) = rig.machine.spawn(Pid(1), &spec).unwrap();
    rig.drain();
    assert_eq!(rig.read(other, 5), Ok(b"contents".to_vec()));
    assert_eq!(rig.open(other, "/tmp/f", READ), Err(Errno::ACCES));
}

#[test]
fn a_confined_process_opens_nothing_by_a_path() {
    let (mut rig, _) = tree();
    let spec = Spawn { confined: true, ..Spawn::default() };
    let (_, tid) = rig.machine.spawn(Pid(1), &spec).unwrap();
    rig.drain();
    assert_eq!(rig.open(tid, "/tmp/f", READ), Err(Errno::ACCES));
    assert_eq!(rig.open(tid, "/tmp/missing", READ), Err(Errno::NOENT));
    let child = rig.machine.spawn(rig.pid(tid), &Spawn::default()).unwrap().1;
    rig.drain();
    assert_eq!(rig.open(child, "/tmp/f", READ), Err(Errno::ACCES));
}

#[test]
fn removing() {
    for (call, wanted) in [
        (Call::Unlink { path: b"/tmp/d" }, Some(Errno::ISDIR)),
        (Call::Unlink { path: b"/tmp/f/" }, Some(Errno::NOTDIR)),
        (Call::Unlink { path: b"/tmp/no" }, Some(Errno::NOENT)),
        (Call::Unlink { path: b"/tmp/.." }, Some(Errno::ISDIR)),
        (Call::Unlink { path: b"/tmp/dangling" }, None),
        (Call::Rmdir { path: b"/tmp/d" }, Some(Errno::NOTEMPTY)),
        (Call::Rmdir { path: b"/tmp/f" }, Some(Errno::NOTDIR)),
        (Call::Rmdir { path: b"/tmp/d/." }, Some(Errno::INVAL)),
        (Call::Rmdir { path: b"/tmp/d/.." }, Some(Errno::NOTEMPTY)),
        (Call::Rmdir { path: b"/" }, Some(Errno::BUSY)),
        (Call::Rename { old: b"/tmp/f", new: b"/tmp/d" }, Some(Errno::ISDIR)),
        (Call::Rename { old: b"/tmp/d", new: b"/tmp/f" }, Some(Errno::NOTDIR)),
        (Call::Rename { old: b"/tmp/d", new: b"/tmp/d/x" }, Some(Errno::INVAL)),
        (Call::Rename { old: b"/tmp/d/in", new: b"/tmp/d" }, Some(Errno::NOTEMPTY)),
        (Call::Rename { old: b"/tmp/f/", new: b"/tmp/g" }, Some(Errno::NOTDIR)),
        (Call::Rename { old: b"/tmp/f", new: b"/tmp/g/" }, Some(Errno::NOTDIR)),
        (Call::Rename { old: b"/tmp/d/.", new: b"/tmp/g" }, Some(Errno::BUSY)),
        (Call::Rename { old: b"/tmp/d", new: b"/tmp/g/" }, None),
        (Call::Rename { old: b"/tmp/f", new: b"/tmp/lf" }, None),
        (Call::Link { old: b"/tmp/d", new: b"/tmp/g" }, Some(Errno::PERM)),
        (Call::Link { old: b"/tmp/f", new: b"/tmp/g/" }, Some(Errno::NOENT)),
        (Call::Link { old: b"/tmp/f", new: b"/tmp/g" }, None),
        (Call::Symlink { target: b"", path: b"/tmp/g" }, Some(Errno::NOENT)),
        (Call::Mkdir { path: b"/tmp/f", mode: 0 }, Some(Errno::EXIST)),
        (Call::Mkdir { path: b"/tmp/.", mode: 0 }, Some(Errno::EXIST)),
        (Call::Mkdir { path: b"/tmp/dangling", mode: 0 }, Some(Errno::EXIST)),
        (Call::Mkdir { path: b"/tmp/g/", mode: 0 }, None),
        (Call::Chdir { path: b"/tmp/f" }, Some(Errno::NOTDIR)),
    ] {
        let (mut rig, _) = tree();
        let mut call = call;
        assert_eq!(rig.call(MAIN, &mut call).err(), wanted, "{call:?}");
    }
}

#[test]
fn bind_to_a_path() {
    // BIND 2
    for (path, wanted) in [
        ("/tmp/f", Errno::ADDRINUSE),
        ("/tmp/d/", Errno::ADDRINUSE),
        ("/tmp/.", Errno::ADDRINUSE),
        ("/", Errno::ADDRINUSE),
        ("/tmp/dangling", Errno::ADDRINUSE),
        ("/tmp/loop", Errno::ADDRINUSE),
        ("/tmp/no/s", Errno::NOENT),
        ("/tmp/new/", Errno::NOENT),
        ("/tmp/new/.", Errno::NOENT),
        ("/tmp/f/.", Errno::NOTDIR),
        ("/tmp/f/s", Errno::NOTDIR),
        ("/tmp/loop/s", Errno::LOOP),
    ] {
        let (mut rig, _) = tree();
        let socket = rig.socket(MAIN, afunix::SOCK_STREAM);
        assert_eq!(rig.bind(MAIN, socket, path), Err(wanted), "bind({path:?})");
    }
}

#[test]
fn names_follow_the_inode() {
    // BIND 7, 8; VFS 4
    let mut rig = Rig::new();
    let listener = rig.socket(MAIN, afunix::SOCK_STREAM);
    rig.bind(MAIN, listener, "/tmp/s").unwrap();
    rig.listen(MAIN, listener, 10).unwrap();
    rig.rename(MAIN, "/tmp/s", "/run/t").unwrap();
    rig.call(MAIN, &mut Call::Link { old: b"/run/t", new: b"/run/u" }).unwrap();
    rig.call(MAIN, &mut Call::Symlink { target: b"u", path: b"/run/v" }).unwrap();
    rig.unlink(MAIN, "/run/t").unwrap();
    for (path, wanted) in
        [("/tmp/s", Err(Errno::NOENT)), ("/run/t", Err(Errno::NOENT)), ("/run/v", Ok(0))]
    {
        let client = rig.socket(MAIN, afunix::SOCK_STREAM);
        assert_eq!(rig.connect(MAIN, client, path), wanted, "connect({path:?})");
    }
    // Another bound socket is renamed over it: connects go there.
    let other = rig.socket(MAIN, afunix::SOCK_STREAM);
    rig.bind(MAIN, other, "/run/other").unwrap();
    rig.rename(MAIN, "/run/other", "/run/u").unwrap();
    let client = rig.socket(MAIN, afunix::SOCK_STREAM);
    assert_eq!(rig.connect(MAIN, client, "/run/v"), Err(Errno::CONNREFUSED));
}

#[test]
fn a_file_lives_while_it_is_open() {
    let mut rig = Rig::new();
    rig.make_file(MAIN, "/tmp/f", b"abc");
    let file = rig.open(MAIN, "/tmp/f", OpenFlags::RDWR | OpenFlags::APPEND).unwrap() as i32;
    rig.unlink(MAIN, "/tmp/f").unwrap();
    assert_eq!(rig.read(MAIN, file), Ok(b"abc".to_vec()));
    assert_eq!(rig.call(MAIN, &mut Call::Lseek { fd: fd(file), offset: 1 }), Ok(1));
    assert_eq!(rig.write(MAIN, file, b"d"), Ok(1));
    let mut stat = Stat::default();
    rig.call(MAIN, &mut Call::Fstat { fd: fd(file), stat: &mut stat }).unwrap();
    assert_eq!((stat.size, stat.nlink), (4, 0));
    let large = 0o100000;
    let wanted = OpenFlags::RDWR.bits() | OpenFlags::APPEND.bits() | large;
    assert_eq!(rig.fcntl(MAIN, file, Fcntl::Getfl), Ok(wanted as usize));
    // A write far away does not take the memory that it skips.
    let far = 1 << 40;
    rig.fcntl(MAIN, file, Fcntl::Setfl(0)).unwrap();
    rig.call(MAIN, &mut Call::Lseek { fd: fd(file), offset: far }).unwrap();
    assert_eq!(rig.write(MAIN, file, b"x"), Err(Errno::NOSPC));
}

#[test]
fn a_removed_working_directory_is_empty_for_good() {
    let (mut rig, _) = tree();
    rig.mkdir(MAIN, "/tmp/gone", 0o777).unwrap();
    rig.call(MAIN, &mut Call::Chdir { path: b"/tmp/gone" }).unwrap();
    rig.call(MAIN, &mut Call::Rmdir { path: b"../gone" }).unwrap();
    assert_eq!(rig.stat(MAIN, ".").map(|stat| stat.nlink), Ok(0));
    assert_eq!(rig.stat(MAIN, "../f").map(|stat| stat.size), Ok(8));
    assert_eq!(rig.mkdir(MAIN, "x", 0o777), Err(Errno::NOENT));
    let socket = rig.socket(MAIN, afunix::SOCK_STREAM);
    assert_eq!(rig.bind(MAIN, socket, "s"), Err(Errno::NOENT));
    rig.call(MAIN, &mut Call::Chdir { path: b"/" }).unwrap();
}

#[test]
fn a_set_group_id_directory_hands_on_its_group() {
    // BIND 3
    let (mut rig, user) = tree();
    let path = b"/tmp/d";
    rig.call(MAIN, &mut Call::Chown { path, uid: 1000, gid: 50 }).unwrap();
    rig.call(MAIN, &mut Call::Chmod { path, mode: 0o2775 }).unwrap();
    rig.mkdir(user, "/tmp/d/sub", 0o755).unwrap();
    let socket = rig.socket(user, afunix::SOCK_STREAM);
    rig.bind(user, socket, "/tmp/d/s").unwrap();
    let seen = |stat: Stat| (stat.mode, stat.uid, stat.gid);
    assert_eq!(rig.stat(user, "/tmp/d/sub").map(seen), Ok((0o042755, 1000, 50)));
    assert_eq!(rig.stat(user, "/tmp/d/s").map(seen), Ok((0o140755, 1000, 50)));
}
