//! What a process is given, who may start one, and how it ends.

use std::io::{Read, Write};
use std::time::Duration;

use afunix::{Backend, Call, Credentials, Errno, Exit, Host, Limits, ProcessSpec, Signal, fs};
use afunix_kernel_backend::Kernel;
use afunix_kernel_backend::net::UnixStream;

use crate::{Case, any, root};

pub(crate) const CASES: &[Case] = &[
    any("a_child_returns_its_status", a_child_returns_its_status),
    any("a_child_that_panics_exits_101", a_child_that_panics_exits_101),
    any("a_child_has_what_it_was_given_and_no_more", a_child_has_what_it_was_given_and_no_more),
    any("numbers_may_change_places", numbers_may_change_places),
    any("the_parents_copies_close", the_parents_copies_close),
    any("inherited_is_handed_out_once", inherited_is_handed_out_once),
    any("umask_and_limits_are_the_childs", umask_and_limits_are_the_childs),
    any("a_child_can_be_killed", a_child_can_be_killed),
    any("malformed_specs_are_refused", malformed_specs_are_refused),
    any("a_failed_setup_is_told_and_leaves_no_child", a_failed_setup_is_told_and_leaves_no_child),
    any("a_caller_with_threads_is_refused", a_caller_with_threads_is_refused),
    any("a_confined_child_opens_nothing", a_confined_child_opens_nothing),
    any("a_grandchild_starts_from_a_child", a_grandchild_starts_from_a_child),
    root("a_child_becomes_another_user", a_child_becomes_another_user),
    root("only_the_superuser_changes_the_user", only_the_superuser_changes_the_user),
];

fn spec(name: &str) -> ProcessSpec<Kernel> {
    ProcessSpec::new(name)
}

/// Starts a child and waits for its end.
fn run(spec: ProcessSpec<Kernel>, body: fn(&Kernel) -> i32) -> Exit {
    Kernel.process(spec, body).unwrap().wait().unwrap()
}

/// The numbers that are open in this process, but for the one that the listing itself takes.
fn open_numbers() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let numbers = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut numbers: Vec<i32> = numbers.map(|name| name.parse().unwrap()).collect();
    numbers.sort();
    numbers.retain(|number| std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok());
    numbers
}

fn a_child_returns_its_status() {
    let child = Kernel.process(spec("child"), |host| (host.pid().0 > 1) as i32 * 258).unwrap();
    assert_ne!(child.pid(), Kernel.pid());
    assert_eq!(child.wait(), Ok(Exit::Status(2)));
}

fn a_child_that_panics_exits_101() {
    assert_eq!(run(spec("child"), |_| panic!("on purpose")), Exit::Status(101));
}

fn a_child_has_what_it_was_given_and_no_more() {
    let _others: Vec<_> = (0..20).map(|_| UnixStream::pair(&Kernel).unwrap()).collect();
    let (mine, given) = UnixStream::pair(&Kernel).unwrap();
    let child = Kernel
        .process(spec("child").fd(given, 17), |host| {
            assert_eq!(open_numbers(), [0, 1, 2, 17]);
            assert_eq!(std::fs::read_to_string("/proc/self/comm").unwrap(), "child\n");
            let mut stream = UnixStream::from(host.inherited(17).unwrap());
            stream.write_all(b"hello").unwrap();
            0
        })
        .unwrap();
    let mut heard = String::new();
    (&mine).read_to_string(&mut heard).unwrap();
    assert_eq!((heard.as_str(), child.wait()), ("hello", Ok(Exit::Status(0))));
}

fn numbers_may_change_places() {
    let file = |text: &str| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        afunix_kernel_backend::from_std::<afunix::net::OwnedFd<Kernel>>(file)
    };
    let files = [file("a"), file("b"), file("c"), file("d")];
    let mut numbers: Vec<i32> = files.iter().map(|file| file.as_fd().number()).collect();
    // Round in a ring; the last goes where the pipe that reports failures will stand.
    numbers.rotate_left(1);
    numbers[3] = files.iter().map(|file| file.as_fd().number()).max().unwrap() + 2;
    let expected: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
    let (mut mine, given) = UnixStream::pair(&Kernel).unwrap();
    mine.write_all(&expected).unwrap();
    let spec = files
        .into_iter()
        .zip(numbers)
        .fold(spec("child"), |spec, (file, number)| spec.fd(file, number));
    let exit = run(spec.fd(given, 40), |host| {
        let mut bytes = [0; 16];
        UnixStream::from(host.inherited(40).unwrap()).read_exact(&mut bytes).unwrap();
        for (number, text) in bytes.chunks(4).zip([b'a', b'b', b'c', b'd']) {
            let number = i32::from_ne_bytes(number.try_into().unwrap());
            let fd = host.inherited(number).unwrap();
            host.call(&mut Call::Lseek { fd: fd.as_fd(), offset: 0 }).unwrap();
            let mut byte = [0];
            fs::File::from(fd).read_exact(&mut byte).unwrap();
            assert_eq!(byte, [text], "under {number}");
        }
        0
    });
    assert_eq!(exit, Exit::Status(0));
}

fn the_parents_copies_close() {
    let before = open_numbers();
    let (mut mine, given) = UnixStream::pair(&Kernel).unwrap();
    let child = Kernel.process(spec("child").fd(given, 3), |_| 0).unwrap();
    // The end of file comes with the child's end, though the parent never closed its copy itself.
    assert_eq!(mine.read(&mut [0]).unwrap(), 0);
    child.wait().unwrap();
    drop(mine);
    assert_eq!(open_numbers(), before);
}

fn inherited_is_handed_out_once() {
    assert!(Kernel.inherited(3).is_none(), "this process was given nothing");
    let (_mine, given) = UnixStream::pair(&Kernel).unwrap();
    let exit = run(spec("child").fd(given, 3), |host| {
        assert!(host.inherited(4).is_none());
        let taken = host.inherited(3);
        assert!(taken.is_some() && host.inherited(3).is_none());
        0
    });
    assert_eq!(exit, Exit::Status(0));
}

fn umask_and_limits_are_the_childs() {
    let limits = Limits { descriptors: 33 };
    let exit = run(spec("child").umask(0o77).limits(limits), |host| {
        let mut old = Limits::default();
        host.call(&mut Call::Prlimit { new: None, old: &mut old }).unwrap();
        assert_eq!(old.descriptors, 33);
        assert_eq!(host.call(&mut Call::Umask { mask: 0 }), Ok(0o77));
        0
    });
    assert_eq!(exit, Exit::Status(0));
    assert_ne!(Kernel.call(&mut Call::Umask { mask: 0o22 }), Ok(0o77));
}

fn a_child_can_be_killed() {
    let sleep = |host: &Kernel| {
        host.sleep(Duration::from_secs(1000));
        0
    };
    for signal in [Signal::Kill, Signal::Term] {
        let child = Kernel.process(spec("child"), sleep).unwrap();
        child.kill(signal).unwrap();
        assert_eq!(child.wait(), Ok(Exit::Signal(signal as i32)));
    }
}

fn malformed_specs_are_refused() {
    let pair = || UnixStream::pair(&Kernel).unwrap();
    let (left, right) = pair();
    let twice = spec("child").fd(left, 5).fd(right, 5);
    assert_eq!(Kernel.process(twice, |_| 0).unwrap_err(), Errno::INVAL);
    let (left, _) = pair();
    let low = spec("child").fd(left, 2);
    assert_eq!(Kernel.process(low, |_| 0).unwrap_err(), Errno::INVAL);
}

fn a_failed_setup_is_told_and_leaves_no_child() {
    let (left, _right) = UnixStream::pair(&Kernel).unwrap();
    let beyond = spec("child").fd(left, 1 << 30);
    assert_eq!(Kernel.process(beyond, |_| 0).unwrap_err(), Errno::BADF);
    let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    assert_eq!(children, "");
}

fn a_caller_with_threads_is_refused() {
    let (mut left, mut right) = UnixStream::pair(&Kernel).unwrap();
    let thread = Kernel.spawn("reader", move || right.read(&mut [0]).unwrap());
    assert_eq!(Kernel.process(spec("child"), |_| 0).unwrap_err(), Errno::DEADLK);
    left.write_all(b"x").unwrap();
    thread.join().unwrap();
    assert_eq!(run(spec("child"), |_| 0), Exit::Status(0));
}

fn a_confined_child_opens_nothing() {
    let (_mine, given) = UnixStream::pair(&Kernel).unwrap();
    let given = spec("child").fd(given, 3).confined();
    let child = Kernel.process(given, |host| {
        let error = fs::File::open(host, "/proc/self/status").unwrap_err();
        assert_eq!(Errno::from_io(&error), Some(Errno::ACCES));
        let made = std::env::temp_dir().join(format!("afunix-confined-{}", host.pid()));
        let error = fs::File::create(host, &made).unwrap_err();
        assert_eq!(Errno::from_io(&error), Some(Errno::ACCES));
        assert!(!made.exists());
        let mut stream = UnixStream::from(host.inherited(3).unwrap());
        stream.write_all(b"what it was given it may use").unwrap();
        0
    });
    match child {
        // ENOSYS: a kernel without Landlock says so.
        Err(errno) => assert_eq!(errno, Errno::NOSYS),
        Ok(child) => assert_eq!(child.wait(), Ok(Exit::Status(0))),
    }
}

fn a_grandchild_starts_from_a_child() {
    let exit = run(spec("child"), |host| {
        let grandchild = host.process(spec("grandchild"), |_| 7).unwrap();
        match grandchild.wait() {
            Ok(Exit::Status(status)) => status,
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(exit, Exit::Status(7));
}

fn a_child_becomes_another_user() {
    let user = Credentials { uid: 1234, gid: 2345, groups: vec![77, 88] };
    let exit = run(spec("child").user(user), |host| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(field("Uid:"), "1234 1234 1234 1234");
        assert_eq!(field("Gid:"), "2345 2345 2345 2345");
        assert_eq!(field("Groups:"), "77 88");
        let error = fs::File::open(host, "/proc/1/environ").unwrap_err();
        assert_eq!(Errno::from_io(&error), Some(Errno::ACCES));
        0
    });
    assert_eq!(exit, Exit::Status(0));
}

fn only_the_superuser_changes_the_user() {
    let exit = run(spec("child").user(Credentials::user(1234)), |host| {
        let other = spec("grandchild").user(Credentials::user(4321));
        assert_eq!(host.process(other, |_| 0).unwrap_err(), Errno::PERM);
        let mut call = Call::Setids { uid: 0, gid: 0, groups: &[] };
        assert_eq!(host.call(&mut call), Err(Errno::PERM));
        0
    });
    assert_eq!(exit, Exit::Status(0));
}
