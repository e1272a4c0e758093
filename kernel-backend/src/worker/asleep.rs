//! Whether threads sleep in system calls, as /proc tells it.
//!
//! One look at a thread is not enough: another may wake it a moment later. All are seen asleep
//! twice, and how often each has run does not change from before to after: so there was a moment,
//! between the two looks, at which all slept and none was about to be woken by another.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Threads by process id and thread id, with what of /proc tells about them.
#[derive(Debug, Default)]
pub(super) struct Watch {
    threads: BTreeMap<(i32, i32), Task>,
}

#[derive(Debug)]
struct Task {
    /// The system call that it sleeps in.
    syscall: File,
    /// How often it has run.
    schedstat: File,
}

impl Watch {
    /// The names of the calls that the threads sleep in, if all do and nothing moves.
    pub(super) fn all_asleep(&mut self, tasks: &[(i32, i32)]) -> Option<Vec<&'static str>> {
        for task in tasks {
            if !self.threads.contains_key(task) {
                self.threads.insert(*task, Task::open(*task)?);
            }
        }
        let before = self.each(tasks, Task::runs)?;
        self.each(tasks, Task::sleeps_in)?;
        let calls = self.each(tasks, Task::sleeps_in)?;
        let after = self.each(tasks, Task::runs)?;
        (before == after).then_some(calls)
    }

    fn each<T>(&self, tasks: &[(i32, i32)], ask: fn(&Task) -> Option<T>) -> Option<Vec<T>> {
        tasks.iter().map(|task| ask(&self.threads[task])).collect()
    }
}

impl Task {
    fn open((pid, tid): (i32, i32)) -> Option<Task> {
        let open = |name: &str| File::open(format!("/proc/{pid}/task/{tid}/{name}")).ok();
        Some(Task { syscall: open("syscall")?, schedstat: open("schedstat")? })
    }

    /// The three numbers of schedstat; the last counts the runs.
    fn runs(&self) -> Option<Vec<u8>> {
        let mut bytes = [0; 128];
        let len = self.schedstat.read_at(&mut bytes, 0).ok()?;
        Some(bytes[..len].to_vec())
    }

    fn sleeps_in(&self) -> Option<&'static str> {
        let mut bytes = [0; 256];
        let len = self.syscall.read_at(&mut bytes, 0).ok()?;
        // "running", or the number of the call and more.
        let number = bytes[..len].split(|byte| *byte == b' ').next()?;
        name_of(std::str::from_utf8(number).ok()?.parse().ok()?)
    }
}

/// The calls that may wait, by their numbers. Not futex: that is a hand which waits for another.
fn name_of(number: i64) -> Option<&'static str> {
    Some(match number {
        libc::SYS_accept4 => "accept4",
        libc::SYS_connect => "connect",
        libc::SYS_read => "read",
        libc::SYS_readv => "readv",
        libc::SYS_recvfrom => "recvfrom",
        libc::SYS_recvmsg => "recvmsg",
        libc::SYS_recvmmsg => "recvmmsg",
        libc::SYS_write => "write",
        libc::SYS_writev => "writev",
        libc::SYS_sendto => "sendto",
        libc::SYS_sendmsg => "sendmsg",
        libc::SYS_sendmmsg => "sendmmsg",
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll => "poll",
        libc::SYS_ppoll => "poll",
        libc::SYS_pselect6 => "pselect6",
        libc::SYS_epoll_pwait2 => "epoll_pwait2",
        libc::SYS_wait4 => "waitpid",
        libc::SYS_nanosleep | libc::SYS_clock_nanosleep => "nanosleep",
        _ => return None,
    })
}
