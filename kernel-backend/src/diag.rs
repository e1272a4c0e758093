//! The running system as a [`Snapshot`]: its AF_UNIX sockets, and the processes that hold them.
//!
//! Two sources are joined. *sock_diag* (a netlink dump, what `ss` reads) knows every socket of this
//! network namespace: type, state, name, peer, queues, backlog. It does not know who holds a
//! socket: that is read from */proc*, where every descriptor is a link to `socket:[inode]`. The
//! inode number is the id of a socket here.
//!
//! The machine runs on while it is read. A process or socket that goes away in between is left out
//! or stands without its holder; neither is an error. What the caller may not see is told in
//! [`Snapshot::notes`].

mod dump;
mod holders;
mod socket_files;
mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::{fmt, io};

use afunix::snapshot::{File, FileKind, Snapshot, Socket, SocketState};

/// Why the running system could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum DiagError {
    /// A system call failed.
    Io {
        /// What was tried.
        tried: &'static str,
        /// What the system answered.
        error: io::Error,
    },
    /// The kernel refused the dump, with this errno (`EOPNOTSUPP`: built without `unix_diag`).
    Refused(io::Error),
    /// An answer that does not have the documented layout.
    Malformed(String),
    /// The dump stopped before its end.
    Incomplete(String),
    /// The list of processes could not be read.
    Proc(String),
}

impl fmt::Display for DiagError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { tried, error } => write!(out, "sock_diag: cannot {tried}: {error}"),
            Self::Refused(error) => write!(
                out,
                "sock_diag: the kernel refuses to list AF_UNIX sockets: {error} \
                 (is the module unix_diag loaded?)"
            ),
            Self::Malformed(what) => write!(out, "sock_diag: unexpected answer: {what}"),
            Self::Incomplete(what) => write!(out, "sock_diag: incomplete answer: {what}"),
            Self::Proc(what) => write!(out, "cannot list processes in /proc: {what}"),
        }
    }
}

impl std::error::Error for DiagError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } | Self::Refused(error) => Some(error),
            _ => None,
        }
    }
}

/// The AF_UNIX sockets of this network namespace, and the processes that hold them.
///
/// Sees the holders of other users' sockets only with CAP_SYS_PTRACE (as root); what stays hidden
/// is counted in [`Snapshot::notes`]. Does not block for longer than the reading takes. Two things
/// that the model knows are not known here: the number of message buffers in a queue (0), and which
/// files are in flight (they appear as files of their own, without a name). In [`Socket::pending`]
/// stand the clients' sockets, since the kernel gives the accepted ends no inode until they are
/// accepted.
///
/// # Errors
/// [`DiagError`], if the kernel does not answer, or not as documented.
pub fn snapshot() -> Result<Snapshot, DiagError> {
    let mut sockets = dump::dump()?;
    // A dump goes through the kernel's table in pieces. A socket can slip through between two
    // pieces when its neighbour goes away. Somebody's peer that is not there is the sign of it.
    if names_missing_peers(&sockets) {
        for (id, socket) in dump::dump()? {
            sockets.insert(id, socket);
        }
    }
    mark_pending(&mut sockets);
    let found = holders::read(&sockets)?;
    let mut processes = found.processes;
    for process in &mut processes {
        process.threads = waits::threads(process, &sockets);
    }
    let mut files: Vec<File> =
        sockets.keys().map(|&id| File { id, kind: FileKind::Socket(id), in_flight: 0 }).collect();
    files.extend(unnamed_in_flight(&mut sockets, &found.in_flight));
    let sockets: Vec<Socket> = sockets.into_values().collect();
    let socket_files = socket_files::beside(&sockets);
    Ok(Snapshot { at: 0, processes, files, sockets, socket_files, notes: found.notes })
}

fn names_missing_peers(sockets: &BTreeMap<u64, Socket>) -> bool {
    sockets.values().filter_map(|socket| socket.peer).any(|peer| !sockets.contains_key(&peer))
}

/// The kernel calls a client connected as soon as `connect` returns. The backlogs tell which are
/// not accepted yet.
fn mark_pending(sockets: &mut BTreeMap<u64, Socket>) {
    let waiting: BTreeSet<u64> =
        sockets.values().flat_map(|socket| socket.pending.iter().copied()).collect();
    for id in waiting {
        if let Some(socket) = sockets.get_mut(&id)
            && socket.peer.is_none()
        {
            socket.state = SocketState::Pending;
        }
    }
}

/// Files that are known to be in flight, though not which: one of its own for each.
fn unnamed_in_flight(
    sockets: &mut BTreeMap<u64, Socket>,
    counts: &BTreeMap<u64, u32>,
) -> Vec<File> {
    // Above every inode number, which has 32 bits here.
    let mut next = 1_u64 << 32;
    let mut files = Vec::new();
    for (id, &count) in counts {
        let Some(socket) = sockets.get_mut(id) else { continue };
        for _ in 0..count {
            let kind = FileKind::Other("a file the kernel does not name".into());
            files.push(File { id: next, kind, in_flight: 1 });
            socket.in_flight.push(next);
            next += 1;
        }
    }
    files
}
