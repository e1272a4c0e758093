//! Starting the program, and ending all of it.
//!
//! Three processes: the *supervisor* answers calls; the *guardian*, its child, is the reaper of
//! everything that the program starts; the *program* is the guardian's child. Each of the first
//! two ends everything if the other dies. What they tell each other at the start stands in a
//! shared page, as the program's own writes are trapped already.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

use afunix::Errno;

use super::{check, last, owned, process};

/// Signals that the supervisor hands on to the program.
const HANDED_ON: [i32; 6] =
    [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];

/// What the three tell each other.
#[derive(Debug, Default)]
#[repr(C)]
struct Shared {
    /// The program: how far it came. 0, then one of the stages below.
    stage: AtomicU32,
    /// Stage `FILTERED`: the listener's number in the program. Stage `FAILED`: an errno.
    value: AtomicI32,
    /// The supervisor has the listener: the program may go on.
    go: AtomicU32,
    /// The program's process id.
    pid: AtomicI32,
    /// The error of execve(2), if it failed.
    exec: AtomicI32,
    /// wait(2)'s status of the program's first process, and whether it has ended.
    status: AtomicI32,
    ended: AtomicU32,
}

const FILTERED: u32 = 1;
const FAILED: u32 = 2;

/// A program that has been started.
#[derive(Debug)]
pub(crate) struct Started {
    shared: &'static Shared,
    /// Where its calls come from.
    pub(crate) listener: OwnedFd,
    /// Its first process.
    pub(crate) pid: i32,
    /// The guardian: readable when everything has ended.
    pub(crate) guardian: OwnedFd,
    guardian_pid: i32,
    /// Readable when a signal has come that is to be handed on.
    pub(crate) signals: OwnedFd,
}

/// How the program's first process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with a status.
    Exited(i32),
    /// A signal killed it.
    Killed(i32),
}

/// Why a program was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The filter was refused.
    Filter(Errno),
    /// Something else.
    System(&'static str, Errno),
}

/// Starts a program under a filter. The caller has one thread.
pub(crate) fn start(program: &[CString], filter: &[libc::sock_filter]) -> Result<Started, Failure> {
    let shared = share().map_err(|errno| Failure::System("mmap", errno))?;
    let mut before = empty_set();
    let handed_on = set_of(&HANDED_ON);
    // SAFETY: sets are read and written; the flags are numbers.
    let signals = unsafe {
        libc::sigprocmask(libc::SIG_BLOCK, &handed_on, &mut before);
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
        check(libc::signalfd(-1, &handed_on, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))
            .map(owned)
            .map_err(|errno| Failure::System("signalfd", errno))?
    };
    // SAFETY: takes nothing.
    let own = unsafe { libc::getpid() };
    // SAFETY: the caller has one thread; the child leaves by _exit(2) alone.
    let guardian_pid = unsafe { libc::fork() };
    if guardian_pid == 0 {
        guard(own, shared, program, filter, &before);
    }
    check(guardian_pid).map_err(|errno| Failure::System("fork", errno))?;
    let guardian = process::open_process(guardian_pid)
        .map_err(|errno| Failure::System("pidfd_open", errno))?;
    let fail = |failure| {
        kill_descendants();
        Err(failure)
    };
    while shared.stage.load(Ordering::Acquire) == 0 {
        futex_wait(&shared.stage, 0);
        // A program that fails at once has said so before it ends.
        if has_ended(&guardian) && shared.stage.load(Ordering::Acquire) == 0 {
            return fail(Failure::System("fork", Errno::AGAIN));
        }
    }
    let value = shared.value.load(Ordering::Acquire);
    if shared.stage.load(Ordering::Acquire) == FAILED {
        return fail(Failure::Filter(Errno::from_raw(value).unwrap_or(Errno::INVAL)));
    }
    let pid = shared.pid.load(Ordering::Acquire);
    let listener =
        process::open_process(pid).and_then(|program| process::file_of(program.as_fd(), value));
    let listener = match listener {
        Ok(listener) => listener,
        Err(errno) => return fail(Failure::System("pidfd_getfd", errno)),
    };
    shared.go.store(1, Ordering::Release);
    futex_wake(&shared.go);
    leave_streams();
    raise_limit();
    Ok(Started { shared, listener, pid, guardian, guardian_pid, signals })
}

impl Started {
    /// The error with which the program could not be run, if so.
    pub(crate) fn exec_error(&self) -> Option<Errno> {
        Errno::from_raw(self.shared.exec.load(Ordering::Acquire))
    }

    /// How the first process ended, once it has.
    pub(crate) fn ended(&self) -> Option<Ended> {
        if self.shared.ended.load(Ordering::Acquire) == 0 {
            return None;
        }
        let status = self.shared.status.load(Ordering::Acquire);
        Some(match libc::WIFSIGNALED(status) {
            true => Ended::Killed(libc::WTERMSIG(status)),
            false => Ended::Exited(libc::WEXITSTATUS(status)),
        })
    }

    /// The guardian has ended: collects it, and ends whatever it has left.
    pub(crate) fn finish(&self) {
        // SAFETY: takes numbers and a null pointer.
        unsafe {
            libc::waitpid(self.guardian_pid, std::ptr::null_mut(), 0);
        }
        kill_descendants();
    }

    /// Hands on the signals that somebody sent to the supervisor. Those of the terminal have
    /// reached the program already.
    pub(crate) fn hand_on_signals(&self) {
        let size = size_of::<libc::signalfd_siginfo>();
        loop {
            // SAFETY: plain numbers, for which zero is a value.
            let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
            // SAFETY: `info` is room for as many bytes as are said.
            let count =
                unsafe { libc::read(self.signals.as_raw_fd(), (&raw mut info).cast(), size) };
            if count != size as isize {
                return;
            }
            let targets = match self.ended() {
                _ if info.ssi_code > 0 => Vec::new(),
                None => vec![self.pid],
                // What it has left behind.
                Some(_) => {
                    descendants().into_iter().filter(|pid| *pid != self.guardian_pid).collect()
                }
            };
            for pid in targets {
                // SAFETY: takes numbers.
                unsafe {
                    libc::kill(pid, info.ssi_signo as i32);
                }
            }
        }
    }
}

/// A page that stays shared over fork(2).
fn share() -> Result<&'static Shared, Errno> {
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping, never taken away; zeroes are a value of `Shared`, all of it atomic.
    unsafe {
        let page = libc::mmap(std::ptr::null_mut(), size_of::<Shared>(), protection, flags, -1, 0);
        if page == libc::MAP_FAILED { Err(last()) } else { Ok(&*page.cast::<Shared>()) }
    }
}

/// Guardian: starts the program, reaps all that there is, and ends with the last of it.
fn guard(
    supervisor: i32,
    shared: &'static Shared,
    program: &[CString],
    filter: &[libc::sock_filter],
    before: &libc::sigset_t,
) -> ! {
    let waited_for = set_of(&[libc::SIGCHLD, libc::SIGALRM]);
    // SAFETY: this process has one thread and leaves by _exit(2) alone; each call takes numbers and
    // sets.
    unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
        libc::sigprocmask(libc::SIG_BLOCK, &waited_for, std::ptr::null_mut());
        // The supervisor's death comes as a signal that nobody else sends.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGALRM);
        let pid = libc::fork();
        if pid == 0 {
            run(shared, program, filter, before);
        }
        if pid < 0 {
            libc::_exit(1);
        }
        leave_streams();
        libc::dup2(0, 2);
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0);
        loop {
            if libc::getppid() != supervisor {
                kill_descendants();
            }
            loop {
                let mut status = 0;
                let reaped = libc::waitpid(-1, &mut status, libc::WNOHANG);
                if reaped == pid {
                    shared.status.store(status, Ordering::Release);
                    shared.ended.store(1, Ordering::Release);
                }
                if reaped < 0 {
                    libc::_exit(0);
                }
                if reaped == 0 {
                    break;
                }
            }
            let mut signal = 0;
            libc::sigwait(&waited_for, &mut signal);
        }
    }
}

/// Program: takes on the filter and becomes what it is to be.
fn run(
    shared: &'static Shared,
    program: &[CString],
    filter: &[libc::sock_filter],
    before: &libc::sigset_t,
) -> ! {
    let mut words: Vec<*const libc::c_char> = program.iter().map(|word| word.as_ptr()).collect();
    words.push(std::ptr::null());
    let filter = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    let flags =
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    // SAFETY: this process has one thread; lists end with null, and the filter's length is told.
    unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, before, std::ptr::null_mut());
        // The Rust runtime ignores it.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        shared.pid.store(libc::getpid(), Ordering::Release);
        let install =
            || libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &filter);
        let mut listener = install();
        if listener < 0 && last() == Errno::ACCES {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            listener = install();
        }
        let (value, stage) =
            if listener < 0 { (last().raw(), FAILED) } else { (listener as i32, FILTERED) };
        shared.value.store(value, Ordering::Release);
        shared.stage.store(stage, Ordering::Release);
        futex_wake(&shared.stage);
        if stage == FAILED {
            libc::_exit(127);
        }
        while shared.go.load(Ordering::Acquire) == 0 {
            futex_wait(&shared.go, 0);
        }
        libc::execvp(words[0], words.as_ptr());
        shared.exec.store(last().raw(), Ordering::Release);
        libc::_exit(127);
    }
}

/// Waits until the word is no longer `value`, for a tenth of a second at most.
fn futex_wait(word: &AtomicU32, value: u32) {
    let timeout = libc::timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    // SAFETY: the word lives as long as the mapping, for ever.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, &timeout);
    }
}

fn futex_wake(word: &AtomicU32) {
    // SAFETY: as above.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX);
    }
}

fn empty_set() -> libc::sigset_t {
    // SAFETY: plain numbers, for which zero is a value; then made a set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        set
    }
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    let mut set = empty_set();
    for signal in signals {
        // SAFETY: adds a number to a set.
        unsafe {
            libc::sigaddset(&mut set, *signal);
        }
    }
    set
}

fn has_ended(process: &OwnedFd) -> bool {
    let mut poll = libc::pollfd { fd: process.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one structure, read and written.
    unsafe { libc::poll(&mut poll, 1, 0) == 1 }
}

/// Input and output are the program's: a reader of what it prints waits for it alone.
fn leave_streams() {
    // SAFETY: takes a path that ends with a NUL, and numbers.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if null >= 0 {
            libc::dup2(null, 0);
            libc::dup2(null, 1);
            libc::close(null);
        }
    }
}

/// As many descriptors as there may be: each socket of the program takes one here.
fn raise_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: one structure, written and read.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// Kills and reaps every descendant of this process, which is their reaper, until there is none.
pub(crate) fn kill_descendants() {
    loop {
        for pid in descendants() {
            // SAFETY: takes numbers.
            unsafe {
                libc::kill(pid, libc::SIGKILL);
            }
        }
        // SAFETY: takes numbers and a null pointer.
        while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
        // SAFETY: as above.
        if unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } < 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// All processes below this one.
fn descendants() -> Vec<i32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // `pid (name) state ppid`: the name may hold anything.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        if let Some(parent) = parent.and_then(|parent| parent.parse::<i32>().ok()) {
            parents.push((pid, parent));
        }
    }
    let mut found = vec![std::process::id() as i32];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found.remove(0);
    found
}
