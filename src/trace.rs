//! Events: what happened in a run, in order; and [`Traced`], a backend that records.
//!
//! `Traced` sees a call begin and end. Flow, queue fill and who woke whom only the model knows, so
//! a simulation's trace has more kinds of event than the kernel's.

#[cfg(feature = "trace-file")]
pub mod file;

use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::{Backend, Call, Errno, RawName};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Number of the event in its trace, from 0.
    pub seq: u64,
    /// Nanoseconds since the machine started.
    pub at: u64,
    /// Process id.
    pub process: u32,
    /// Thread id.
    pub thread: u32,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A process or thread came to be, with the name that pictures show for it.
    Started {
        /// `server` or `server/worker`.
        name: String,
    },
    /// A call began.
    Enter {
        /// As strace would print it, without the result: `sendmsg(3, 5 bytes)`.
        call: String,
        /// The socket that it names, if it does.
        socket: Option<u64>,
    },
    /// A call ended.
    Exit {
        /// The system call's name.
        call: String,
        /// Return value, or the negated errno.
        result: i64,
    },
    /// A call began to wait.
    Blocked {
        /// What for, in words: `memory of the send buffer`.
        on: String,
        /// The socket that it waits at.
        socket: Option<u64>,
    },
    /// A waiting call was woken.
    Woken {
        /// The thread whose call did it; `None` for time or a signal.
        by: Option<u32>,
    },
    /// A message buffer was queued.
    Queued {
        /// Sending socket.
        from: u64,
        /// Receiving socket.
        to: u64,
        /// Bytes.
        bytes: u64,
        /// Files attached.
        files: u32,
    },
    /// Bytes were taken out of a queue.
    Taken {
        /// Receiving socket.
        socket: u64,
        /// Bytes.
        bytes: u64,
        /// Files received.
        files: u32,
    },
    /// A socket went away.
    Freed {
        /// Its id.
        socket: u64,
    },
    /// A fault was injected.
    Fault {
        /// In words: `short read: 3 of 10 bytes`.
        what: String,
    },
    /// A process ended.
    Exited {
        /// In words: `exit status 0`, `killed by SIGKILL`.
        how: String,
    },
    /// The scenario printed a line.
    Printed {
        /// The line, without its end.
        line: String,
    },
}

/// A backend that records the calls made through it: [`EventKind::Enter`] and [`EventKind::Exit`].
///
/// `record` is called with each, in the order in which they happen; the caller adds the clock and
/// the thread, which a backend does not know.
pub struct Traced<B, R> {
    inner: B,
    record: Mutex<R>,
}

impl<B: Backend, R: FnMut(EventKind) + Send> Traced<B, R> {
    /// Wraps a backend.
    pub fn new(inner: B, record: R) -> Self {
        Traced { inner, record: Mutex::new(record) }
    }

    fn tell(&self, kind: EventKind) {
        let mut record = self.record.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        record(kind);
    }
}

impl<B: Backend, R: FnMut(EventKind) + Send> Backend for Traced<B, R> {
    fn call(&self, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        self.tell(EventKind::Enter { call: describe(call), socket: None });
        let result = self.inner.call(call);
        self.tell(EventKind::Exit { call: call.name().to_owned(), result: signed(result) });
        result
    }
}

/// A return value as the kernel's register holds it: the count, or the negated error number.
pub fn signed(result: Result<usize, Errno>) -> i64 {
    match result {
        Ok(value) => i64::try_from(value).unwrap_or(i64::MAX),
        Err(errno) => -i64::from(errno.raw()),
    }
}

/// A call in one line, much as strace(1) prints it, without its result: `sendto(3, 5 bytes)`.
pub fn describe(call: &Call<'_, '_>) -> String {
    let name = call.name();
    let fd = call.fd().map_or(-1, |fd| fd.number());
    match call {
        Call::Socket { kind, .. } | Call::Socketpair { kind, .. } => {
            format!("{name}({})", type_name(*kind))
        }
        Call::Bind { name: to, .. } | Call::Connect { name: to, .. } => {
            format!("{name}({fd}, {})", describe_name(to))
        }
        Call::Listen { backlog, .. } => format!("{name}({fd}, {backlog})"),
        Call::Shutdown { how, .. } => {
            let how = ["SHUT_RD", "SHUT_WR", "SHUT_RDWR"].get(*how as usize).unwrap_or(&"?");
            format!("{name}({fd}, {how})")
        }
        Call::Sendmsg { control, .. } if !control.is_empty() => {
            let bytes = crate::fault::transfer_len(call);
            format!("{name}({fd}, {bytes} bytes, control {})", control.len())
        }
        Call::Read { .. }
        | Call::Readv { .. }
        | Call::Recvfrom { .. }
        | Call::Recvmsg { .. }
        | Call::Write { .. }
        | Call::Writev { .. }
        | Call::Sendto { .. }
        | Call::Sendmsg { .. } => {
            format!("{name}({fd}, {} bytes)", crate::fault::transfer_len(call))
        }
        Call::Sendmmsg { messages, .. } => format!("{name}({fd}, {} messages)", messages.len()),
        Call::Recvmmsg { messages, .. } => format!("{name}({fd}, {} messages)", messages.len()),
        Call::Pipe2 { flags, .. } => format!("{name}({:#o})", flags.bits()),
        Call::Eventfd2 { count, flags } => format!("{name}({count}, {flags:#x})"),
        Call::Setsockopt { option, .. } | Call::Getsockopt { option, .. } => {
            let option = crate::options::option_name(*option).unwrap_or("?");
            format!("{name}({fd}, {option})")
        }
        Call::Dup2 { new, .. } | Call::Dup3 { new, .. } => {
            format!("{name}({fd}, {})", new.number())
        }
        Call::Fcntl { command, .. } => format!("{name}({fd}, {command:?})"),
        Call::EpollCreate1 { flags } => format!("{name}({:#o})", flags.bits()),
        Call::EpollCtl { op, target, .. } => format!("{name}({fd}, {op}, {})", target.number()),
        Call::Pselect6 { nfds, .. } => format!("{name}({nfds})"),
        Call::Poll { fds, .. } => format!("{name}({} descriptors)", fds.len()),
        Call::Open { path, .. }
        | Call::Mkdir { path, .. }
        | Call::Rmdir { path }
        | Call::Unlink { path }
        | Call::Chmod { path, .. }
        | Call::Chown { path, .. }
        | Call::Stat { path, .. }
        | Call::Lstat { path, .. }
        | Call::Chroot { path }
        | Call::Readlink { path, .. }
        | Call::Mount { target: path, .. }
        | Call::Umount2 { target: path, .. }
        | Call::Chdir { path } => format!("{name}({})", quoted(path)),
        Call::Rename { old, new } | Call::Link { old, new } => {
            format!("{name}({}, {})", quoted(old), quoted(new))
        }
        Call::Symlink { target, path } => format!("{name}({}, {})", quoted(target), quoted(path)),
        Call::Kill { pid, signal } => format!("{name}({pid}, {signal})"),
        Call::Sigaction { signal, .. } => format!("{name}({signal})"),
        Call::Waitpid { pid, .. } => format!("{name}({pid})"),
        Call::Setresuid { real, effective, saved } | Call::Setresgid { real, effective, saved } => {
            let [real, effective, saved] = [real, effective, saved].map(|id| *id as i32);
            format!("{name}({real}, {effective}, {saved})")
        }
        Call::Setfsuid { uid: id } | Call::Setfsgid { gid: id } => format!("{name}({id})"),
        Call::Unshare { flags } => format!("{name}({flags:#x})"),
        Call::Nanosleep { time } => format!("{name}({time:?})"),
        _ if call.fd().is_some() => format!("{name}({fd})"),
        _ => format!("{name}()"),
    }
}

fn type_name(kind: i32) -> &'static str {
    match kind & 0xf {
        1 => "SOCK_STREAM",
        2 => "SOCK_DGRAM",
        3 => "SOCK_RAW",
        5 => "SOCK_SEQPACKET",
        _ => "?",
    }
}

fn describe_name(name: &RawName<'_>) -> String {
    match name {
        RawName::Null { .. } => "NULL".into(),
        RawName::Fault { .. } => "a bad pointer".into(),
        RawName::Bytes(bytes) => match crate::Address::from_bytes(bytes) {
            Ok(address) => format!("{address:?}"),
            Err(_) => format!("{} odd bytes", bytes.len()),
        },
    }
}

fn quoted(path: &[u8]) -> String {
    format!("\"{}\"", path.escape_ascii())
}
