//! Sockets as a snapshot shows them.

use std::collections::BTreeSet;

use afunix::snapshot::{Queue, Socket as Shown, SocketKind, SocketState};
use afunix::{Errno, SocketType};

use super::buffer::Buffer;
use super::socket::{Flags, Socket, State};
use super::{Part, SocketKey, Sockets, Touch};

impl Sockets {
    /// The living sockets, by id. Files in flight are told by [`super::File`]'s number.
    pub fn snapshot(&self) -> Vec<Shown> {
        let living = self.table.iter().filter(|(_, socket)| !socket.is_dead());
        let mut shown: Vec<Shown> = living.map(|(_, socket)| self.show(socket)).collect();
        shown.sort_unstable_by_key(|socket| socket.id);
        shown
    }

    /// The ids of a network namespace's sockets, as /proc/net/unix lists them (OPT 8). Those of
    /// others are looked at too: they may be peers.
    pub fn list(&mut self, netns: u32) -> BTreeSet<u64> {
        self.watch.touch(Part::Ids, Touch::Read);
        let mut ids = BTreeSet::new();
        for (key, socket) in self.table.iter().filter(|(_, socket)| !socket.is_dead()) {
            self.watch.touch(Part::State(key), Touch::Read);
            if socket.netns == netns {
                ids.insert(socket.id);
            }
        }
        ids
    }

    /// How many files are in flight to a socket: to a listener, those for its backlog (OPT 8).
    pub fn files_in_flight_to(&mut self, key: SocketKey) -> usize {
        let backlog = self.table[key].backlog.iter();
        let receivers: Vec<SocketKey> = std::iter::once(key).chain(backlog).collect();
        let rare = self.table[key].rare.as_ref();
        let mut files = rare.map_or(0, |rare| rare.lost_files);
        for receiver in receivers {
            self.watch.touch(Part::Receive(receiver), Touch::Read);
            let queue = &self.table[receiver].queue;
            files += queue.iter().map(|buffer| buffer.files().len()).sum::<usize>();
        }
        files
    }

    fn show(&self, socket: &Socket) -> Shown {
        let listens = socket.state == State::Listening;
        let files = socket.queue.iter().flat_map(Buffer::files);
        let bytes: u64 = socket.queue.iter().map(|buffer| u64::from(buffer.len)).sum();
        Shown {
            id: socket.id,
            kind: match socket.kind {
                SocketType::Stream => SocketKind::Stream,
                SocketType::Datagram => SocketKind::Datagram,
                SocketType::Seqpacket => SocketKind::Seqpacket,
            },
            state: self.shown_state(socket),
            established: socket.established || socket.state == State::Established,
            name: socket.bound.as_ref().map(|bound| shown_name(&bound.path)),
            peer: socket.peer.and_then(|peer| self.living(peer)).map(|peer| peer.id),
            shut_read: socket.flags.contains(Flags::SHUT_READ),
            shut_write: socket.flags.contains(Flags::SHUT_WRITE),
            error: socket.error.map_or(0, Errno::raw),
            input: input(socket),
            receive: Queue { messages: socket.queue.len() as u64, bytes },
            send_memory: u64::from(socket.send_memory),
            send_buffer: u64::from(socket.send_buffer),
            backlog: listens.then_some(socket.queue_limit),
            pending: socket.backlog.iter().map(|key| self.table[key].id).collect(),
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
            State::Established if socket.flags.contains(Flags::PENDING) => SocketState::Pending,
            State::Established => SocketState::Connected,
        }
    }
}

/// SIOCINQ.
fn input(socket: &Socket) -> u64 {
    match socket.kind {
        SocketType::Datagram => socket.queue.get(0).map_or(0, |first| u64::from(first.len)),
        SocketType::Stream | SocketType::Seqpacket => socket.queue.input as u64,
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
