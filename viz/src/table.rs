//! The table: a line per socket, as `ss -xp` prints it, with the peer's holder next to it.

use afunix::snapshot::{Snapshot, Socket, SocketState};

use crate::escape;
use crate::index::{Index, holder, kind_word, state_word};
use crate::text::{pad, width};
use crate::warnings;

const HEADINGS: [&str; 9] =
    ["Type", "State", "Recv-Q", "Send-Q", "Name", "Id", "Peer", "Peer process", "Users"];
/// Width of the sentences below the table.
const WARNING_COLUMNS: usize = 110;
/// Columns of numbers stand flush right.
const NUMBERS: [usize; 4] = [2, 3, 5, 6];

/// A line per socket, in columns, with a heading; the warnings and the snapshot's notes at the end.
///
/// For a listener `Recv-Q` is how many connections wait and `Send-Q` how many may, as in `ss`; else
/// they are the bytes received and not read, and the memory charged for what was sent. `Peer
/// process` is the first that holds the peer, as `[pid,program,fd]`, and `+N` if more do.
pub fn table(snapshot: &Snapshot) -> String {
    let index = Index::new(snapshot);
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(snapshot.sockets.iter().map(|socket| row(&index, socket)));
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            if column > 0 {
                line.push_str("  ");
            }
            if NUMBERS.contains(&column) {
                line.push_str(&" ".repeat(widths[column] - width(cell)));
                line.push_str(cell);
            } else {
                line.push_str(&pad(cell, widths[column]));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    for line in warnings::lines(&warnings::warnings(snapshot), WARNING_COLUMNS) {
        out.push_str(&line);
        out.push('\n');
    }
    for note in &snapshot.notes {
        out.push_str(&format!("note: {}\n", escape(note)));
    }
    out
}

fn row(index: &Index<'_>, socket: &Socket) -> [String; 9] {
    let (receive, send) = match socket.backlog {
        Some(backlog) => (socket.pending.len() as u64, backlog.into()),
        None => (socket.receive.bytes, socket.send_memory),
    };
    let (peer, peer_process) = match socket.peer {
        Some(peer) if index.holders(peer).is_empty() => (peer.to_string(), unheld(index, peer)),
        Some(peer) => (peer.to_string(), index.holder_words(peer)),
        None => ("-".to_owned(), waiting_at(index, socket)),
    };
    let users: Vec<String> = index.holders(socket.id).iter().map(holder).collect();
    [
        kind_word(socket.kind).to_owned(),
        state(socket),
        receive.to_string(),
        send.to_string(),
        socket.name.as_deref().map_or_else(|| "-".to_owned(), escape),
        socket.id.to_string(),
        peer,
        peer_process,
        if users.is_empty() { unheld(index, socket.id) } else { users.join(" ") },
    ]
}

/// Where a socket is that no visible process holds.
fn unheld(index: &Index<'_>, socket: u64) -> String {
    match (index.carriers_of_socket(socket).first(), index.listener_of(socket)) {
        (Some(carrier), _) => format!("in flight to {carrier}"),
        (None, Some(listener)) => format!("waits at {listener}"),
        (None, None) => "-".to_owned(),
    }
}

/// A connection that is not accepted has no peer yet on the running system: name who could accept.
fn waiting_at(index: &Index<'_>, socket: &Socket) -> String {
    match index.listener_of(socket.id) {
        Some(listener) => format!("waits at {listener} {}", index.holder_words(listener)),
        None => "-".to_owned(),
    }
}

fn state(socket: &Socket) -> String {
    let word = state_word(socket.state);
    // A closed peer shuts both directions; saying so again would be noise.
    if socket.state == SocketState::Disconnected {
        return word.to_owned();
    }
    match (socket.shut_read, socket.shut_write) {
        (false, false) => word.to_owned(),
        (true, false) => format!("{word},shut-rd"),
        (false, true) => format!("{word},shut-wr"),
        (true, true) => format!("{word},shut-rdwr"),
    }
}
