//! Events: what happened in a run, in order; and [`Traced`], a backend that records.
//!
//! `Traced` sees a call begin and end. Flow, queue fill and who woke whom only the model knows, so a
//! simulation's trace has more kinds of event than the kernel's.

use serde::{Deserialize, Serialize};

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
