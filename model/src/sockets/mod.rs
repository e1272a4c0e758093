//! The protocol family alone: sockets, queues, memory, names, files in flight.
//!
//! A *socket* has a receive queue of *message buffers*; each keeps its boundaries, its *charge* to
//! the sender's memory, its credentials and its *files in flight*. A *name* is an inode or an
//! abstract name that a socket is bound to. Whoever is asked to wait is told so ([`Stop::Wait`])
//! and enrols a ticket ([`Sockets::enrol`]).
//!
//! Nothing here knows a descriptor, a process table or a path: the *caller* is data, files and
//! inodes are opaque. So [`Sockets`] works under the simulated machine, and under real descriptors
//! and a real file system just as well.
//!
//! # Who owns the files
//! Every [`Attachment`] owns one reference to its file. A send takes those of the buffers that it
//! queues; [`Sockets::finish_send`] drops the others. A receive hands over those of the buffers it
//! takes ([`Sockets::deliver`], [`Sockets::discard`]). Whatever nobody will receive any more ends
//! in [`Sockets::next_dropped`], to be drained after every call.
//!
//! # Closing
//! [`Sockets::release`] at the last close; then drain the dropped files, which may release more
//! sockets; when none is left, [`Sockets::collect`] once, and drain again if it found something (GC
//! 3).

mod alert;
mod buffer;
mod call;
mod check;
mod connect;
mod control;
mod filter;
mod flight;
mod memory;
pub mod names;
mod network;
mod options;
mod readiness;
mod receive;
mod receive_stream;
mod send;
mod shortcut;
mod shutdown;
mod snapshot;
mod socket;
mod stored;
mod waiting;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use afunix::{Errno, SocketFlags, SocketType};
use slotmap::SlotMap;

use crate::profile::Profile;

pub use alert::Alert;
pub use call::{
    Attachment, Attachments, Caller, Cause, Destination, File, Ids, Incoming, Name, NameKey,
    Outgoing, Receiving, SendTo, Sending, Stop, WaitReason, Waiting,
};
pub use control::{Install, Resolve, parse_control};
use flight::Flight;
use names::Space;
pub(crate) use options::put;
use socket::Socket;
pub use watch::{Flow, Part, Touch, Watch};

slotmap::new_key_type! {
    /// A socket. Of a closed one nothing can be asked.
    pub struct SocketKey;
}

/// All sockets of one machine.
#[derive(Clone, Debug)]
pub struct Sockets {
    profile: Profile,
    /// Living sockets, and dead ones that a peer or a queued message still refers to.
    table: SlotMap<SocketKey, Socket>,
    /// How many were ever made: the last one's id.
    made: u64,
    abstract_names: BTreeMap<Space, BTreeMap<Box<[u8]>, SocketKey>>,
    inodes: BTreeMap<NameKey, SocketKey>,
    /// Where the next autobind starts looking.
    next_autobind: u32,
    /// max_dgram_qlen of the network namespaces in which it was set.
    queue_lengths: BTreeMap<u32, i32>,
    /// Files in flight by the user who sent them (CMSG 4).
    in_flight_of_user: BTreeMap<u32, usize>,
    flight: Flight,
    dropped: VecDeque<Attachment>,
    alerts: VecDeque<(File, Alert)>,
    /// For footprints and events.
    pub watch: Watch,
}

impl Sockets {
    /// No sockets yet.
    pub fn new(profile: Profile) -> Self {
        Sockets {
            profile,
            table: SlotMap::with_key(),
            made: 0,
            abstract_names: BTreeMap::new(),
            inodes: BTreeMap::new(),
            next_autobind: 0,
            queue_lengths: BTreeMap::new(),
            in_flight_of_user: BTreeMap::new(),
            flight: Flight::default(),
            dropped: VecDeque::new(),
            alerts: VecDeque::new(),
            watch: Watch::default(),
        }
    }

    /// The profile that it was made with.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The flag bits in `type` of socket(2) and socketpair(2); EINVAL for unknown ones (CREATE 1).
    pub fn type_flags(kind: i32) -> Result<SocketFlags, Errno> {
        let flags = SocketFlags::from_bits_retain(kind & !0xf);
        let known = SocketFlags::CLOEXEC.bits() | SocketFlags::NONBLOCK.bits();
        if flags.bits() & !known == 0 { Ok(flags) } else { Err(Errno::INVAL) }
    }

    /// The socket type of `type` and `protocol`, after [`Sockets::type_flags`]. In order: EINVAL,
    /// EPROTONOSUPPORT, ESOCKTNOSUPPORT (CREATE 2, 3).
    pub fn socket_type(kind: i32, protocol: i32) -> Result<SocketType, Errno> {
        let kind = kind & 0xf;
        if kind >= 11 {
            return Err(Errno::INVAL);
        }
        if protocol != 0 && protocol != afunix::AF_UNIX {
            return Err(Errno::PROTONOSUPPORT);
        }
        match kind {
            afunix::SOCK_STREAM => Ok(SocketType::Stream),
            // CREATE 3: raw becomes datagram without a word.
            afunix::SOCK_DGRAM | afunix::SOCK_RAW => Ok(SocketType::Datagram),
            afunix::SOCK_SEQPACKET => Ok(SocketType::Seqpacket),
            _ => Err(Errno::SOCKTNOSUPPORT),
        }
    }

    /// Whether so many more sockets can be made; ENFILE if not (CREATE 4).
    pub fn room_for(&self, more: usize) -> Result<(), Errno> {
        let room = self.profile.sockets_max.saturating_sub(self.table.len());
        if more <= room { Ok(()) } else { Err(Errno::NFILE) }
    }

    /// socket(2): a socket that is neither bound nor connected. Look for room before
    /// ([`Sockets::room_for`]).
    pub fn create(&mut self, caller: &Caller<'_>, kind: SocketType) -> SocketKey {
        self.made += 1;
        self.watch.touch(Part::Ids, Touch::Write);
        let mut socket = Socket::new(self.made, caller.netns, kind, &self.profile);
        if let Some(set) = self.queue_lengths.get(&caller.netns) {
            // Below 0 it is as good as none.
            socket.queue_limit = *set as u32;
        }
        let key = self.table.insert(socket);
        self.watch.touch(Part::State(key), Touch::Write);
        key
    }

    /// socketpair(2): two connected sockets; each has the caller as peer credentials (CREATE 5).
    /// Look for room before.
    pub fn pair(&mut self, caller: &Caller<'_>, kind: SocketType) -> (SocketKey, SocketKey) {
        let (one, two) = (self.create(caller, kind), self.create(caller, kind));
        for (key, peer) in [(one, two), (two, one)] {
            let socket = &mut self.table[key];
            socket.connect_to(peer);
            socket.set_peer_credentials(caller.ucred(), caller.groups);
        }
        (one, two)
    }

    /// net.unix.max_dgram_qlen: what sockets that are made in a network namespace from now on take
    /// for their limit (DSEND 4).
    pub fn max_dgram_qlen(&mut self, netns: u32) -> i32 {
        self.watch.touch(Part::Ids, Touch::Read);
        let set = self.queue_lengths.get(&netns).copied();
        set.unwrap_or(self.profile.max_dgram_qlen as i32)
    }

    /// Sets it: below 0 there is no limit (DSEND 6).
    pub fn set_max_dgram_qlen(&mut self, netns: u32, value: i32) {
        self.watch.touch(Part::Ids, Touch::Write);
        self.queue_lengths.insert(netns, value);
    }

    /// The type of a socket.
    pub fn kind(&self, key: SocketKey) -> SocketType {
        self.table[key].kind
    }

    /// The id of a socket in snapshots.
    pub fn id(&self, key: SocketKey) -> u64 {
        self.table[key].id
    }

    /// Whether the socket is there and not closed.
    pub fn is_open(&self, key: SocketKey) -> bool {
        self.living(key).is_some()
    }

    /// A file whose reference is to be dropped: nobody will receive it. Drain after every call.
    #[inline]
    pub fn next_dropped(&mut self) -> Option<Attachment> {
        self.dropped.pop_front()
    }

    /// Whether there is such a file.
    #[inline]
    pub fn any_dropped(&self) -> bool {
        !self.dropped.is_empty()
    }

    /// The socket of a key that the caller holds open.
    #[inline]
    fn own(&mut self, key: SocketKey) -> &mut Socket {
        let socket = &mut self.table[key];
        debug_assert!(!socket.is_dead(), "a call is made on an open socket");
        socket
    }

    /// A socket that is not closed; `None` is how one learns that a peer is gone.
    #[inline]
    fn living(&self, key: SocketKey) -> Option<&Socket> {
        self.table.get(key).filter(|socket| !socket.is_dead())
    }

    /// As `living`, to be changed.
    #[inline]
    fn living_mut(&mut self, key: SocketKey) -> Option<&mut Socket> {
        self.table.get_mut(key).filter(|socket| !socket.is_dead())
    }

    /// Frees a dead socket to which nothing refers any more.
    #[inline]
    fn free_if_unused(&mut self, key: SocketKey) {
        let Some(socket) = self.table.get(key) else { return };
        if socket.is_dead() && socket.send_memory == 0 && socket.pointed_at == 0 {
            self.table.remove(key);
        }
    }
}
