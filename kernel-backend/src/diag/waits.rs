//! Threads, and the calls that they sleep in, from /proc/PID/task/TID/{comm,stat,syscall}.
//!
//! `syscall` shows the number and the arguments of the call that a sleeping thread is in. It may be
//! read by who may trace the process; without that the threads are listed, and nothing is said
//! about their waiting.

use std::collections::BTreeMap;
use std::fs;

use afunix::snapshot::{Process, Socket, SocketKind, Thread, Wait, WaitReason};

use super::holders::comm;

/// The threads of a process, by id.
pub(super) fn threads(process: &Process, sockets: &BTreeMap<u64, Socket>) -> Vec<Thread> {
    let directory = format!("/proc/{}/task", process.pid);
    let Ok(entries) = fs::read_dir(&directory) else { return Vec::new() };
    let mut tids: Vec<u32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()))
        .collect();
    tids.sort_unstable();
    let thread = |tid: u32| Thread {
        tid,
        name: comm(&format!("{directory}/{tid}/comm")),
        wait: sleeping_call(&format!("{directory}/{tid}"))
            .and_then(|call| wait(&call, process, sockets)),
    };
    tids.into_iter().map(thread).collect()
}

/// A call that a thread sleeps in, as numbers.
#[derive(Debug, PartialEq, Eq)]
struct SleepingCall {
    number: i64,
    first_argument: u64,
}

fn sleeping_call(task: &str) -> Option<SleepingCall> {
    let stat = fs::read(format!("{task}/stat")).ok()?;
    let call = fs::read_to_string(format!("{task}/syscall")).ok()?;
    is_asleep(&stat).then(|| parse_call(&call)).flatten()
}

/// The state is the letter after the name, which stands in parentheses and may hold some itself.
fn is_asleep(stat: &[u8]) -> bool {
    let end = stat.iter().rposition(|&byte| byte == b')');
    end.and_then(|end| stat.get(end + 2)).is_some_and(|state| matches!(state, b'S' | b'D'))
}

/// `NUMBER ARG1 .. ARG6 SP PC`, or `running`, or `-1 SP PC` outside of any call.
fn parse_call(text: &str) -> Option<SleepingCall> {
    let mut fields = text.split_ascii_whitespace();
    let number = fields.next()?.parse().ok().filter(|&number| number >= 0)?;
    let hexadecimal = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    let words: Vec<u64> = fields.map_while(hexadecimal).collect();
    let [first_argument, _, _, _, _, _, stack, _] = words.as_slice() else { return None };
    // A 32-bit program numbers its calls differently; its stack lies in the first 4 GiB.
    let wide = cfg!(target_pointer_width = "32") || *stack > u64::from(u32::MAX);
    wide.then_some(SleepingCall { number, first_argument: *first_argument })
}

fn wait(call: &SleepingCall, process: &Process, sockets: &BTreeMap<u64, Socket>) -> Option<Wait> {
    let (name, reason, has_fd) = meaning(call.number)?;
    // The kernel takes the low 32 bits as the descriptor.
    let fd = has_fd.then_some(call.first_argument as i32);
    let socket = fd
        .and_then(|fd| process.descriptors.iter().find(|descriptor| descriptor.fd == fd))
        .and_then(|descriptor| sockets.get(&descriptor.file));
    let reason = match (reason, socket) {
        // A datagram waits for the receiver's queue unless its own memory is used up.
        (WaitReason::Memory, Some(socket))
            if socket.kind == SocketKind::Datagram && socket.send_memory < socket.send_buffer =>
        {
            WaitReason::PeerQueue
        }
        (reason, _) => reason,
    };
    let socket = socket.map(|socket| socket.id);
    Some(Wait { call: name.into(), fd, reason, socket, since: 0, deadline: None })
}

/// Name of a call, what it waits for, and whether its first argument is a descriptor.
fn meaning(number: i64) -> Option<(&'static str, WaitReason, bool)> {
    use WaitReason::{Backlog, Child, Connection, Memory, Readable, Readiness, Time};
    #[rustfmt::skip]
    let table: &[(i64, &'static str, WaitReason, bool)] = &[
        (libc::SYS_read, "read", Readable, true),
        (libc::SYS_readv, "readv", Readable, true),
        (libc::SYS_recvfrom, "recvfrom", Readable, true),
        (libc::SYS_recvmsg, "recvmsg", Readable, true),
        (libc::SYS_recvmmsg, "recvmmsg", Readable, true),
        (libc::SYS_write, "write", Memory, true),
        (libc::SYS_writev, "writev", Memory, true),
        (libc::SYS_sendto, "sendto", Memory, true),
        (libc::SYS_sendmsg, "sendmsg", Memory, true),
        (libc::SYS_sendmmsg, "sendmmsg", Memory, true),
        (libc::SYS_sendfile, "sendfile", Memory, true),
        (libc::SYS_accept, "accept", Connection, true),
        (libc::SYS_accept4, "accept4", Connection, true),
        (libc::SYS_connect, "connect", Backlog, true),
        (libc::SYS_wait4, "wait4", Child, false),
        (libc::SYS_waitid, "waitid", Child, false),
        // A lock, a condition or the end of a thread: in each case another thread must act.
        (libc::SYS_futex, "futex", WaitReason::Thread, false),
        (libc::SYS_nanosleep, "nanosleep", Time, false),
        (libc::SYS_clock_nanosleep, "clock_nanosleep", Time, false),
        (libc::SYS_ppoll, "ppoll", Readiness, false),
        (libc::SYS_pselect6, "pselect6", Readiness, false),
        (libc::SYS_epoll_pwait, "epoll_pwait", Readiness, false),
        (libc::SYS_epoll_pwait2, "epoll_pwait2", Readiness, false),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_poll, "poll", Readiness, false),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_select, "select", Readiness, false),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_epoll_wait, "epoll_wait", Readiness, false),
    ];
    let row = table.iter().find(|row| row.0 == number)?;
    Some((row.1, row.2, row.3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_syscall_file_is_read_in_all_its_forms() {
        let line = "47 0x3 0x1 0x2 0x0 0x0 0x0 0x7ffeaab33b58 0x7f0fd73202ad\n";
        assert_eq!(parse_call(line), Some(SleepingCall { number: 47, first_argument: 3 }));
        for other in ["running\n", "-1 0x7ffeaab33b58 0x7f0fd73202ad\n", "", "47 0x3\n"] {
            assert_eq!(parse_call(other), None, "{other}");
        }
    }

    #[test]
    fn a_name_with_parentheses_does_not_hide_the_state() {
        assert!(is_asleep(b"7 (a) R (b) S 1 7"));
        assert!(!is_asleep(b"7 (a) S (b) R 1 7"));
        assert!(!is_asleep(b""));
    }
}
