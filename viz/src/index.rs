//! A snapshot turned around for drawing: from a socket to who holds it, who waits for it, its
//! words.

use std::collections::BTreeMap;

use afunix::snapshot::{
    File, FileKind, Process, Snapshot, Socket, SocketKind, SocketState, Thread, Wait, WaitReason,
};

/// A descriptor that stands for a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder<'a> {
    pub(crate) process: &'a Process,
    pub(crate) fd: i32,
}

/// Look-ups into one snapshot.
pub(crate) struct Index<'a> {
    pub(crate) snapshot: &'a Snapshot,
    sockets: BTreeMap<u64, &'a Socket>,
    files: BTreeMap<u64, &'a File>,
    /// By socket: its descriptors, by process id and number.
    holders: BTreeMap<u64, Vec<Holder<'a>>>,
    /// By file: the sockets in whose queues it is in flight.
    carriers: BTreeMap<u64, Vec<u64>>,
    /// By socket that waits to be accepted: its listener.
    listeners: BTreeMap<u64, u64>,
}

impl<'a> Index<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot) -> Self {
        let sockets = snapshot.sockets.iter().map(|socket| (socket.id, socket)).collect();
        let files: BTreeMap<u64, &File> =
            snapshot.files.iter().map(|file| (file.id, file)).collect();
        let mut holders: BTreeMap<u64, Vec<Holder<'_>>> = BTreeMap::new();
        for process in &snapshot.processes {
            for descriptor in &process.descriptors {
                if let Some(FileKind::Socket(id)) = files.get(&descriptor.file).map(|f| &f.kind) {
                    holders.entry(*id).or_default().push(Holder { process, fd: descriptor.fd });
                }
            }
        }
        let mut carriers: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut listeners = BTreeMap::new();
        for socket in &snapshot.sockets {
            for &file in &socket.in_flight {
                let of_file = carriers.entry(file).or_default();
                // A file may be in flight several times in one queue.
                if of_file.last() != Some(&socket.id) {
                    of_file.push(socket.id);
                }
            }
            for &waiting in &socket.pending {
                listeners.entry(waiting).or_insert(socket.id);
            }
        }
        Self { snapshot, sockets, files, holders, carriers, listeners }
    }

    pub(crate) fn socket(&self, id: u64) -> Option<&'a Socket> {
        self.sockets.get(&id).copied()
    }

    pub(crate) fn file(&self, id: u64) -> Option<&'a File> {
        self.files.get(&id).copied()
    }

    pub(crate) fn holders(&self, socket: u64) -> &[Holder<'a>] {
        self.holders.get(&socket).map_or(&[], Vec::as_slice)
    }

    /// The files in flight anywhere, each with the sockets in whose queues it is.
    pub(crate) fn carriers(&self) -> &BTreeMap<u64, Vec<u64>> {
        &self.carriers
    }

    /// The sockets in whose queues this socket's file is in flight.
    pub(crate) fn carriers_of_socket(&self, socket: u64) -> Vec<u64> {
        let is_its_file =
            |file: &u64| self.file(*file).is_some_and(|file| file.kind == FileKind::Socket(socket));
        let of_its_files = self.carriers.iter().filter(|(file, _)| is_its_file(file));
        of_its_files.flat_map(|(_, carriers)| carriers.iter().copied()).collect()
    }

    /// The listener in whose backlog this socket is: it, or the end that stands for it there.
    pub(crate) fn listener_of(&self, socket: u64) -> Option<u64> {
        self.listeners.get(&socket).copied()
    }

    /// The socket that a descriptor of `process` stands for.
    pub(crate) fn socket_at(&self, process: &Process, fd: i32) -> Option<&'a Socket> {
        let descriptor = process.descriptors.iter().find(|descriptor| descriptor.fd == fd)?;
        self.socket_of_file(descriptor.file)
    }

    /// The socket that a file is.
    pub(crate) fn socket_of_file(&self, file: u64) -> Option<&'a Socket> {
        match self.file(file)?.kind {
            FileKind::Socket(id) => self.socket(id),
            _ => None,
        }
    }

    /// The socket that a waiting call was made on: by its descriptor, else where it waits.
    pub(crate) fn socket_of_wait(&self, process: &Process, wait: &Wait) -> Option<&'a Socket> {
        let by_descriptor = wait.fd.and_then(|fd| self.socket_at(process, fd));
        by_descriptor.or_else(|| wait.socket.and_then(|id| self.socket(id)))
    }

    /// `[pid,program,fd]` of the first holder, and how many more there are; escaped.
    pub(crate) fn holder_words(&self, socket: u64) -> String {
        match self.holders(socket) {
            [] => match self.carriers_of_socket(socket).first() {
                Some(carrier) => format!("in flight to {carrier}"),
                None => match self.listener_of(socket) {
                    Some(listener) => format!("waits at {listener}"),
                    None => format!("socket {socket}"),
                },
            },
            [only] => holder(only),
            [first, more @ ..] => format!("{} +{}", holder(first), more.len()),
        }
    }
}

/// `[pid,program,fd]`, escaped.
pub(crate) fn holder(holder: &Holder<'_>) -> String {
    let name = crate::escape(&holder.process.name);
    format!("[{},{name},{}]", holder.process.pid, holder.fd)
}

/// `server (pid 2)` or, for a thread with a name of its own, `server/worker (pid 2)`; escaped.
pub(crate) fn thread_words(process: &Process, thread: &Thread) -> String {
    let process_name = crate::escape(&process.name);
    let thread_name = crate::escape(&thread.name);
    let several = process.threads.len() > 1;
    let own_name = !thread.name.is_empty() && thread.name != process.name;
    match (several, own_name) {
        (true, true) => format!("{process_name}/{thread_name} (pid {})", process.pid),
        (true, false) => format!("{process_name} (pid {}, thread {})", process.pid, thread.tid),
        (false, _) => format!("{process_name} (pid {})", process.pid),
    }
}

/// The type in one word.
pub(crate) fn kind_word(kind: SocketKind) -> &'static str {
    match kind {
        SocketKind::Stream => "stream",
        SocketKind::Datagram => "datagram",
        SocketKind::Seqpacket => "seqpacket",
    }
}

/// The state in one word.
pub(crate) fn state_word(state: SocketState) -> &'static str {
    match state {
        SocketState::Unconnected => "unconnected",
        SocketState::Listening => "listening",
        SocketState::Pending => "pending",
        SocketState::Connected => "connected",
        SocketState::Disconnected => "disconnected",
    }
}

/// What a call waits for, in words.
pub(crate) fn reason_words(reason: WaitReason) -> &'static str {
    match reason {
        WaitReason::Readable => "data",
        WaitReason::Memory => "memory of its send buffer",
        WaitReason::PeerQueue => "room in the receiver's queue",
        WaitReason::Connection => "a connection",
        WaitReason::Backlog => "room in the backlog",
        WaitReason::Readiness => "readiness",
        WaitReason::Room => "room",
        WaitReason::Child => "the end of a child",
        WaitReason::Thread => "another thread",
        WaitReason::Time => "time",
        WaitReason::Lock => "a lock",
        WaitReason::Notification => "a notification",
        WaitReason::Message => "a message of a channel",
        WaitReason::ChannelRoom => "room in a channel",
    }
}

/// Whether a wait is a reason to worry: a sender waits for room, which it gets only if somebody
/// reads. To wait for data or a connection is what servers do all day.
pub(crate) fn is_worrying(wait: &Wait) -> bool {
    matches!(wait.reason, WaitReason::Memory | WaitReason::PeerQueue | WaitReason::Backlog)
}
