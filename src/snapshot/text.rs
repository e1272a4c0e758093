//! A snapshot as the system's own tools print it: /proc/net/unix and `ss -x`.
//!
//! Names that are not UTF-8 stand as [`Snapshot`] has them: with replacement characters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{FileKind, Snapshot, Socket, SocketKind, SocketState};

/// Flags of a listener.
const ACCEPTS_CONNECTIONS: u32 = 1 << 16;
/// References that every socket has: its file's, and the table's of all sockets.
const OWN_REFERENCES: usize = 2;

impl Snapshot {
    /// As /proc/net/unix shows it, one line per socket (OPT 8, 13). `Num`, an address in the
    /// kernel, is the socket's id; the order is that of the ids.
    pub fn proc_net_unix(&self) -> ProcNetUnix<'_> {
        ProcNetUnix { snapshot: self, only: None }
    }

    /// As `ss -xa` shows it, and with `processes` as `ss -xap` does. The order is that of the ids;
    /// columns are as wide as their widest entry, which `ss` stretches to the screen.
    pub fn ss(&self, processes: bool) -> Ss<'_> {
        Ss { snapshot: self, processes }
    }

    /// The ends of connections that are not accepted yet. The running system has the client's end
    /// in their place, which is pending and without a peer.
    fn to_be_accepted(&self) -> BTreeSet<u64> {
        let pending: BTreeSet<u64> =
            self.sockets.iter().flat_map(|socket| socket.pending.iter().copied()).collect();
        let is_client =
            |socket: &Socket| socket.state == SocketState::Pending && socket.peer.is_none();
        let sockets = self.sockets.iter().filter(|socket| pending.contains(&socket.id));
        sockets.filter(|socket| !is_client(socket)).map(|socket| socket.id).collect()
    }
}

/// [`Snapshot::proc_net_unix`].
#[derive(Clone, Copy, Debug)]
pub struct ProcNetUnix<'a> {
    snapshot: &'a Snapshot,
    only: Option<&'a BTreeSet<u64>>,
}

impl<'a> ProcNetUnix<'a> {
    /// The lines of the sockets with these ids alone, as a network namespace has its own. A peer
    /// that is not shown counts in `RefCount` as any other.
    pub fn only(self, ids: &'a BTreeSet<u64>) -> Self {
        ProcNetUnix { only: Some(ids), ..self }
    }
}

/// A line of /proc/net/unix.
struct Row<'a> {
    number: u64,
    references: usize,
    flags: u32,
    kind: u32,
    state: u32,
    inode: u64,
    name: Option<&'a str>,
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { number, references, flags, kind, state, inode, name } = self;
        write!(f, "{number:016x}: {references:08X} {:08X} {flags:08X} ", 0)?;
        write!(f, "{kind:04X} {state:02X} {inode:5}")?;
        match name {
            Some(name) => writeln!(f, " {}", visible(name)),
            None => writeln!(f),
        }
    }
}

impl fmt::Display for ProcNetUnix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot;
        writeln!(f, "Num       RefCount Protocol Flags    Type St Inode Path")?;
        let waiting = snapshot.to_be_accepted();
        let mut pointed_at: BTreeMap<u64, usize> = BTreeMap::new();
        for peer in snapshot.sockets.iter().filter_map(|socket| socket.peer) {
            *pointed_at.entry(peer).or_default() += 1;
        }
        let is_shown = |socket: &&Socket| self.only.is_none_or(|only| only.contains(&socket.id));
        for socket in snapshot.sockets.iter().filter(is_shown) {
            // Of a connection in a backlog the running system does not show the other end.
            let hidden = socket.state == SocketState::Pending && socket.peer.is_none();
            let others = pointed_at.get(&socket.id).copied().unwrap_or(0) + usize::from(hidden);
            let is_waiting = waiting.contains(&socket.id);
            let row = Row {
                number: socket.id,
                references: OWN_REFERENCES + others,
                flags: match socket.state {
                    SocketState::Listening => ACCEPTS_CONNECTIONS,
                    _ => 0,
                },
                kind: socket.kind.number(),
                // OPT 13: whom nobody has accepted has no inode.
                state: if is_waiting { 2 } else { 1 + 2 * u32::from(socket.established) },
                inode: if is_waiting { 0 } else { socket.id },
                name: socket.name.as_deref(),
            };
            write!(f, "{row}")?;
            for id in socket.pending.iter().filter(|id| !waiting.contains(id)) {
                let (number, references) = (*id, OWN_REFERENCES + 1);
                let row = Row { number, references, flags: 0, state: 2, inode: 0, ..row };
                write!(f, "{row}")?;
            }
        }
        Ok(())
    }
}

/// [`Snapshot::ss`].
#[derive(Clone, Copy, Debug)]
pub struct Ss<'a> {
    snapshot: &'a Snapshot,
    processes: bool,
}

/// How wide the columns of [`Ss`] are at least: their headings.
const HEADINGS: [&str; 9] = [
    "Netid",
    "State",
    "Recv-Q",
    "Send-Q",
    "Local Address",
    "Port",
    "Peer Address",
    "Port",
    "Process",
];
/// The columns whose entries stand at the right.
const ADDRESSES: [usize; 2] = [4, 6];

impl Ss<'_> {
    fn cells(&self, socket: &Socket, waiting: &BTreeSet<u64>) -> [String; 9] {
        let listening = socket.state == SocketState::Listening;
        let (received, sent) = match socket.backlog {
            Some(backlog) if listening => (socket.pending.len() as u64, u64::from(backlog)),
            _ => (socket.input, socket.send_memory),
        };
        let state = match (listening, socket.established) {
            (true, _) => "LISTEN",
            (_, true) => "ESTAB",
            (_, false) => "UNCONN",
        };
        let netid = match socket.kind {
            SocketKind::Stream => "u_str",
            SocketKind::Datagram => "u_dgr",
            SocketKind::Seqpacket => "u_seq",
        };
        // OPT 13: whom a connection leads to shows when it is accepted.
        let peer = socket.peer.filter(|peer| !waiting.contains(peer)).unwrap_or(0);
        [
            netid.to_owned(),
            state.to_owned(),
            received.to_string(),
            sent.to_string(),
            socket.name.as_deref().map_or_else(|| "*".to_owned(), visible),
            socket.id.to_string(),
            "*".to_owned(),
            peer.to_string(),
            if self.processes { self.users(socket.id) } else { String::new() },
        ]
    }

    /// `users:(("name",pid=1,fd=3),..)`; nothing if nobody holds it.
    fn users(&self, socket: u64) -> String {
        let files = self.snapshot.files.iter();
        let ids: Vec<u64> = files
            .filter(|file| file.kind == FileKind::Socket(socket))
            .map(|file| file.id)
            .collect();
        let mut users = Vec::new();
        for process in &self.snapshot.processes {
            for held in process.descriptors.iter().filter(|held| ids.contains(&held.file)) {
                users.push(format!("(\"{}\",pid={},fd={})", process.name, process.pid, held.fd));
            }
        }
        if users.is_empty() { String::new() } else { format!("users:({})", users.join(",")) }
    }
}

impl fmt::Display for Ss<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot;
        let waiting = snapshot.to_be_accepted();
        let shown = snapshot.sockets.iter().filter(|socket| !waiting.contains(&socket.id));
        let mut lines = vec![HEADINGS.map(str::to_owned)];
        lines.extend(shown.map(|socket| self.cells(socket, &waiting)));
        let width = |column: usize| {
            lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0)
        };
        let widths: [usize; 9] = std::array::from_fn(width);
        for (at, cells) in lines.iter().enumerate() {
            let mut line = String::new();
            for (column, cell) in cells.iter().enumerate() {
                let width = widths[column];
                let after = if at == 0 && ADDRESSES.contains(&column) { ':' } else { ' ' };
                let cell = match ADDRESSES.contains(&column) {
                    true => format!("{cell:>width$}{after}"),
                    false => format!("{cell:<width$}{after}"),
                };
                line.push_str(&cell);
            }
            writeln!(f, "{}", line.trim_end_matches(' '))?;
        }
        Ok(())
    }
}

impl SocketKind {
    /// The number in socket(2): SOCK_STREAM is 1.
    const fn number(self) -> u32 {
        match self {
            SocketKind::Stream => 1,
            SocketKind::Datagram => 2,
            SocketKind::Seqpacket => 5,
        }
    }
}

/// A name with `@` for NUL; nothing else is escaped.
fn visible(name: &str) -> String {
    name.replace('\0', "@")
}
