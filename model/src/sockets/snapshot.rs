//! Sockets as a snapshot shows them.

use afunix::snapshot::{Queue, Socket as Shown, SocketKind, SocketState};
use afunix::{Errno, SocketType};

use super::socket::{Shut, Socket, State};
use super::{SocketKey, Sockets};

impl Sockets {
    /// The living sockets, by id. Files in flight are told by [`super::File`]'s number.
    pub fn snapshot(&self) -> Vec<Shown> {
        let living = self.table.iter().filter(|(_, socket)| !socket.dead);
        let mut shown: Vec<Shown> = living.map(|(_, socket)| self.show(socket)).collect();
        shown.sort_unstable_by_key(|socket| socket.id);
        shown
    }

    fn show(&self, socket: &Socket) -> Shown {
        let listens = socket.state == State::Listening;
        let files = socket.queue.iter().flat_map(|buffer| &buffer.files);
        let bytes: u64 = socket.queue.iter().map(|buffer| u64::from(buffer.len)).sum();
        Shown {
            id: socket.id,
            kind: match socket.kind {
                SocketType::Stream => SocketKind::Stream,
                SocketType::Datagram => SocketKind::Datagram,
                SocketType::Seqpacket => SocketKind::Seqpacket,
            },
            state: self.shown_state(socket),
            name: socket.bound.as_ref().map(|bound| shown_name(&bound.path)),
            peer: socket.peer.and_then(|peer| self.living(peer)).map(|peer| peer.id),
            shut_read: socket.shut.contains(Shut::READ),
            shut_write: socket.shut.contains(Shut::WRITE),
            error: socket.error.map_or(0, Errno::raw),
            receive: Queue { messages: socket.queue.len() as u64, bytes },
            send_memory: u64::from(socket.send_memory),
            send_buffer: u64::from(socket.send_buffer),
            backlog: listens.then_some(socket.queue_limit),
            pending: socket.backlog.iter().map(|key| self.table[*key].id).collect(),
            in_flight: files.map(|file| file.file.0).collect(),
            inode: socket
                .bound
                .as_ref()
                .and_then(|bound| bound.inode)
                .map(|inode| (inode.dev, inode.ino)),
        }
    }

    fn shown_state(&self, socket: &Socket) -> SocketState {
        let peer_lives = |key: SocketKey| self.living(key).is_some();
        match socket.state {
            State::Closed => SocketState::Unconnected,
            State::Listening => SocketState::Listening,
            State::Established if !socket.peer.is_some_and(peer_lives) => SocketState::Disconnected,
            State::Established if !socket.accepted => SocketState::Pending,
            State::Established => SocketState::Connected,
        }
    }
}

/// A path without its NUL; `@` and an abstract name.
fn shown_name(path: &[u8]) -> String {
    match path {
        [0, name @ ..] => format!("@{}", String::from_utf8_lossy(name)),
        [path @ .., 0] => String::from_utf8_lossy(path).into_owned(),
        path => String::from_utf8_lossy(path).into_owned(),
    }
}
