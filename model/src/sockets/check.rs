//! Invariants, recomputed from scratch.

use std::collections::BTreeMap;

use slotmap::SecondaryMap;

use super::socket::{Flags, Socket, State};
use super::{SocketKey, Sockets};
use afunix::SocketType;

/// What is counted along in a socket, counted anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    send_memory: u32,
    pointed_at: u32,
    in_flight: u32,
    carried: u32,
}

impl Sockets {
    /// Recomputes what is counted along, and looks at what must always hold; an error says in words
    /// what does not.
    pub fn check(&self) -> Result<(), String> {
        let counts = self.counts()?;
        let mut suspects = 0;
        for (key, socket) in &self.table {
            let told = Counts {
                send_memory: socket.send_memory - socket.parked,
                pointed_at: socket.pointed_at,
                in_flight: socket.in_flight,
                carried: socket.carried,
            };
            let counted = counts[key];
            if told != counted {
                return Err(format!("socket {}: told {told:?}, counted {counted:?}", socket.id));
            }
            suspects += usize::from(socket.in_flight > 0 && socket.carried > 0);
            if (socket.carried > 0) != self.flight.is_holder(key) {
                return Err(format!("socket {} among the holders or not", socket.id));
            }
            self.check_socket(key, socket)
                .map_err(|what| format!("socket {}: {what}", socket.id))?;
        }
        if suspects != self.flight.suspects() {
            return Err(format!("{suspects} sockets may be in a cycle"));
        }
        self.check_names()
    }

    fn counts(&self) -> Result<SecondaryMap<SocketKey, Counts>, String> {
        let mut counts = SecondaryMap::<SocketKey, Counts>::new();
        for key in self.table.keys() {
            counts.insert(key, Counts::default());
        }
        let mut users = BTreeMap::<u32, usize>::new();
        for (key, socket) in &self.table {
            if let Some(peer) = socket.peer {
                let peer = counts.get_mut(peer).ok_or("a peer is not in the table")?;
                peer.pointed_at += 1;
            }
            let holder = socket.listener.unwrap_or(key);
            for buffer in socket.queue.iter() {
                let sender = counts.get_mut(buffer.from).ok_or("a sender is not in the table")?;
                sender.send_memory += buffer.charge;
                if !buffer.files().is_empty() {
                    *users.entry(buffer.user()).or_default() += buffer.files().len();
                }
                for socket in buffer.files().iter().filter_map(|file| file.socket) {
                    counts
                        .get_mut(socket)
                        .ok_or("a socket in flight is not in the table")?
                        .in_flight += 1;
                    counts.get_mut(holder).ok_or("a listener is not in the table")?.carried += 1;
                }
            }
        }
        let told = self.in_flight_of_user.iter().filter(|(_, count)| **count > 0);
        if !told.eq(&users) {
            return Err(format!("files in flight of users are {users:?}"));
        }
        Ok(counts)
    }

    fn check_socket(&self, key: SocketKey, socket: &Socket) -> Result<(), String> {
        socket.queue.check()?;
        if socket.is_dead() {
            if socket.send_memory == 0 && socket.pointed_at == 0 {
                return Err("dead, and nothing refers to it".into());
            }
            if !socket.queue.is_empty() || !socket.backlog.is_empty() || socket.peer.is_some() {
                return Err("dead, and still has a queue or a peer".into());
            }
        }
        if !socket.backlog.is_empty() && socket.state != State::Listening {
            return Err("has a backlog and does not listen".into());
        }
        for connection in socket.backlog.iter() {
            let connection = self.table.get(connection).ok_or("a connection is not there")?;
            if connection.listener != Some(key)
                || !connection.flags.contains(Flags::PENDING)
                || connection.is_dead()
            {
                return Err(format!("socket {} is in its backlog, or is not", connection.id));
            }
        }
        let one_way = socket.kind == SocketType::Datagram;
        if let Some(peer) = socket.peer.and_then(|peer| self.living(peer))
            && !one_way
            && peer.peer != Some(key)
        {
            return Err("its peer is connected to another".into());
        }
        let bytes: u32 = socket.queue.iter().map(|buffer| buffer.len).sum();
        let counts_discarded =
            self.profile.bugs.contains(crate::profile::Bugs::DISCARDED_OOB_STAYS_COUNTED);
        if socket.queue.input < bytes || (socket.queue.input != bytes && !counts_discarded) {
            return Err(format!("holds {bytes} bytes, counts {}", socket.queue.input));
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), String> {
        let abstracts = self.abstract_names.values().flat_map(|names| names.values());
        for key in abstracts.chain(self.inodes.values()) {
            let socket = self.living(*key).ok_or("a name belongs to a closed socket")?;
            if socket.bound.is_none() || !socket.holds_name {
                return Err(format!("socket {} has a name and does not know it", socket.id));
            }
        }
        Ok(())
    }
}
