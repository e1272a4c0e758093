//! Files in flight: taken from their sender's table, held until a receiver gets them or nobody can.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use afunix_model::sockets::{Attachment, File, SocketKey};

/// The files that are held.
#[derive(Debug, Default)]
pub(crate) struct Held {
    files: BTreeMap<u64, Entry>,
    of_socket: HashMap<SocketKey, u64>,
    made: u64,
    /// How many were ever sent.
    pub(crate) sent: u64,
}

#[derive(Debug)]
struct Entry {
    file: OwnedFd,
    socket: Option<SocketKey>,
    references: usize,
}

impl Held {
    /// Holds one reference more to a file; of a socket of the model, by one entry for all.
    pub(crate) fn hold(&mut self, file: OwnedFd, socket: Option<SocketKey>) -> Attachment {
        self.sent += 1;
        if let Some(id) = socket.and_then(|socket| self.of_socket.get(&socket))
            && let Some(entry) = self.files.get_mut(id)
        {
            entry.references += 1;
            return Attachment { file: File(*id), socket };
        }
        self.made += 1;
        if let Some(socket) = socket {
            self.of_socket.insert(socket, self.made);
        }
        self.files.insert(self.made, Entry { file, socket, references: 1 });
        Attachment { file: File(self.made), socket }
    }

    /// The file of an attachment.
    pub(crate) fn get(&self, file: File) -> Option<BorrowedFd<'_>> {
        self.files.get(&file.0).map(|entry| entry.file.as_fd())
    }

    /// The socket that a file is.
    pub(crate) fn socket(&self, file: File) -> Option<SocketKey> {
        self.files.get(&file.0)?.socket
    }

    /// The sockets among what is held, by the numbers of their files.
    pub(crate) fn sockets(&self) -> BTreeMap<u64, Option<SocketKey>> {
        self.files.iter().map(|(id, entry)| (*id, entry.socket)).collect()
    }

    /// How many references are held.
    pub(crate) fn references(&self, file: File) -> usize {
        self.files.get(&file.0).map_or(0, |entry| entry.references)
    }

    /// One reference less; the last one closes the file.
    pub(crate) fn drop_one(&mut self, file: File) {
        let Some(entry) = self.files.get_mut(&file.0) else { return };
        entry.references -= 1;
        if entry.references == 0
            && let Some(entry) = self.files.remove(&file.0)
            && let Some(socket) = entry.socket
        {
            self.of_socket.remove(&socket);
        }
    }
}
