//! What became other between two snapshots, a line each.

use std::collections::BTreeMap;

use afunix::snapshot::{Snapshot, Socket};

use crate::escape;
use crate::index::{Index, holder, kind_word, state_word};
use crate::warnings::{Warning, warnings};

/// The differences between two snapshots, a line each, without line ends; escaped.
///
/// `+` is a socket that came, `-` one that went, `~` what became other of one: its state, who holds
/// it, its peer, how much is unread, how many wait in its backlog. `!` is a warning that came, `.`
/// one that is over. The order is that of the sockets' ids.
pub fn changes(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let (old, new) = (Index::new(before), Index::new(after));
    let mut lines = BTreeMap::new();
    for socket in &before.sockets {
        match new.socket(socket.id) {
            None => {
                lines.insert(socket.id, format!("- {}", words(&old, socket)));
            }
            Some(now) => {
                let parts = differences((&old, socket), (&new, now));
                if !parts.is_empty() {
                    let line = format!("~ {}: {}", words(&new, now), parts.join(", "));
                    lines.insert(socket.id, line);
                }
            }
        }
    }
    for socket in after.sockets.iter().filter(|socket| old.socket(socket.id).is_none()) {
        lines.insert(socket.id, format!("+ {}", words(&new, socket)));
    }
    let mut lines: Vec<String> = lines.into_values().collect();
    let (were, are) = (warnings(before), warnings(after));
    let title = |sign: &str, warning: &Warning| format!("{sign} {}", warning.kind.title());
    let came = are.iter().filter(|warning| !has(&were, warning));
    lines.extend(came.map(|warning| format!("{}: {}", title("!", warning), warning.text)));
    let over = were.iter().filter(|warning| !has(&are, warning));
    lines.extend(over.map(|warning| title(".", warning)));
    lines
}

fn has(warnings: &[Warning], one: &Warning) -> bool {
    // The words may count what waits; it is about the same as long as it is about the same sockets.
    warnings.iter().any(|other| (other.kind, &other.sockets) == (one.kind, &one.sockets))
}

/// `stream connected 12 /run/x [1,server,3] ↔ [2,client,4]`.
fn words(index: &Index<'_>, socket: &Socket) -> String {
    let mut words =
        format!("{} {} {}", kind_word(socket.kind), state_word(socket.state), socket.id);
    if let Some(name) = &socket.name {
        words.push_str(&format!(" {}", escape(name)));
    }
    words.push_str(&format!(" {}", holders(index, socket)));
    if let Some(peer) = socket.peer {
        words.push_str(&format!(" ↔ {}", index.holder_words(peer)));
    }
    words
}

fn holders(index: &Index<'_>, socket: &Socket) -> String {
    match index.holders(socket.id) {
        [] => "held by nobody".to_owned(),
        all => all.iter().map(holder).collect::<Vec<String>>().join(" "),
    }
}

fn differences(
    (old_index, old): (&Index<'_>, &Socket),
    (new_index, new): (&Index<'_>, &Socket),
) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, before: String, after: String| {
        if before != after {
            found.push(format!("{what} {before} → {after}"));
        }
    };
    differ("state", state_word(old.state).to_owned(), state_word(new.state).to_owned());
    differ("holders", holders(old_index, old), holders(new_index, new));
    let peer = |socket: &Socket| socket.peer.map_or_else(|| "none".to_owned(), |id| id.to_string());
    differ("peer", peer(old), peer(new));
    let unread = |socket: &Socket| socket.receive.bytes.to_string();
    differ("bytes unread", unread(old), unread(new));
    let waiting = |socket: &Socket| socket.pending.len().to_string();
    differ("waiting in the backlog", waiting(old), waiting(new));
    let shut = |socket: &Socket| match (socket.shut_read, socket.shut_write) {
        (false, false) => "no".to_owned(),
        (true, false) => "for reading".to_owned(),
        (false, true) => "for writing".to_owned(),
        (true, true) => "both ways".to_owned(),
    };
    differ("shut", shut(old), shut(new));
    found
}
