//! One socket: its fields, and what follows from them alone.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use afunix::{Errno, SocketType, Ucred};

use super::alert::Alerts;
use super::buffer::Queue;
use super::filter::Filter;
use super::waiting::Waiters;
use super::{NameKey, SocketKey};
use crate::profile::{Planted, Profile};

bitflags::bitflags! {
    /// What is on or off at a socket: options, and what became of it. In one word, so that a call
    /// sees at one glance that nothing is unusual.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Flags: u16 {
        const PASSCRED = 1;
        const PASSPIDFD = 1 << 1;
        const PASSSEC = 1 << 2;
        const PASSRIGHTS = 1 << 3;
        const INQ = 1 << 4;
        const OOBINLINE = 1 << 5;
        const REUSEADDR = 1 << 6;
        const KEEPALIVE = 1 << 7;
        /// The shutdown mask.
        const SHUT_READ = 1 << 8;
        const SHUT_WRITE = 1 << 9;
        const SHUT = Flags::SHUT_READ.bits() | Flags::SHUT_WRITE.bits();
        /// In a backlog: no descriptor was ever made of it.
        const PENDING = 1 << 10;
        /// Closed, and kept only because a peer or a message refers to it.
        const DEAD = 1 << 11;
    }
}

impl Flags {
    /// What an accepted socket takes over from its listener (LISTEN 6).
    pub(super) const INHERITED: Flags =
        Flags::PASSCRED.union(Flags::PASSPIDFD).union(Flags::PASSSEC).union(Flags::PASSRIGHTS);
    /// What makes credentials come with messages (RCMSG 2).
    pub(super) const IDENTIFY: Flags = Flags::PASSCRED.union(Flags::PASSPIDFD);
}

/// The connection state. A datagram socket is `Closed` or, with a peer, `Established`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Neither connected nor listening.
    Closed,
    Listening,
    /// Connected. Stays so when the peer is gone.
    Established,
}

/// What a socket is bound to. Those that a listener's connections become share its name.
#[derive(Debug)]
pub(super) struct Bound {
    /// `sun_path` as getsockname reports it: a path with its NUL, or an abstract name.
    pub(super) path: Box<[u8]>,
    /// The inode of a path.
    pub(super) inode: Option<NameKey>,
}

/// What few sockets have.
#[derive(Clone, Debug, Default)]
pub(super) struct Rare {
    pub(super) receive_timeout: Option<Duration>,
    pub(super) send_timeout: Option<Duration>,
    /// SO_LINGER: (on, seconds).
    pub(super) linger: (i32, i32),
    pub(super) peer_groups: Box<[u32]>,
    pub(super) stamping: Stamping,
    /// Options that do nothing but read back, by number, where they are not what they were.
    pub(super) stored: BTreeMap<i32, i64>,
    /// What keeps messages out, or cuts them.
    pub(super) filter: Option<Box<Filter>>,
    /// Whom it tells by signals.
    pub(super) alerts: Option<Alerts>,
    /// Files that were dropped with messages of an old peer (DGCONN 3), or with an
    /// out-of-band byte: they stay counted (OPT 8).
    pub(super) lost_files: usize,
}

/// What SO_TIMESTAMP and its kin have set (RCMSG 1).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stamping {
    /// The time comes with each message.
    pub(super) on: bool,
    /// One of the `_NEW` options was the last to be switched on.
    pub(super) new: bool,
    /// As `struct timespec`.
    pub(super) nanoseconds: bool,
    /// SO_TIMESTAMPING.
    pub(super) flags: u32,
}

impl Stamping {
    /// Whether SO_TIMESTAMPING's message comes after SO_TIMESTAMP's: it asks for the system's time,
    /// and not for that of messages alone whose receive is to be stamped.
    pub(super) fn is_detailed(self) -> bool {
        const RX_SOFTWARE: u32 = 1 << 3;
        const SOFTWARE: u32 = 1 << 4;
        const OPT_RX_FILTER: u32 = 1 << 17;
        let is_received = self.flags & RX_SOFTWARE != 0 || self.flags & OPT_RX_FILTER == 0;
        self.flags & SOFTWARE != 0 && is_received
    }
}

/// Connections to be accepted, in the order of their coming. Few sockets have any.
#[derive(Clone, Debug, Default)]
pub(super) struct Backlog(Option<Box<Connections>>);

#[derive(Clone, Debug, Default)]
struct Connections {
    waiting: VecDeque<SocketKey>,
}

impl Backlog {
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |connections| connections.waiting.len())
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|connections| connections.waiting.is_empty())
    }

    /// Whether there never was any.
    #[inline]
    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = SocketKey> {
        self.0.iter().flat_map(|connections| connections.waiting.iter().copied())
    }

    pub(super) fn get(&self, index: usize) -> Option<SocketKey> {
        self.0.as_ref().and_then(|connections| connections.waiting.get(index).copied())
    }

    pub(super) fn push_back(&mut self, connection: SocketKey) {
        self.0.get_or_insert_default().waiting.push_back(connection);
    }

    pub(super) fn pop_front(&mut self) -> Option<SocketKey> {
        self.0.as_mut()?.waiting.pop_front()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Socket {
    /// For snapshots: a number that is never used again.
    pub(super) id: u64,
    pub(super) kind: SocketType,
    pub(super) state: State,
    /// Datagram: another connected to it, and it has not left a peer since (OPT 13). Shows in
    /// listings alone.
    pub(super) established: bool,
    pub(super) flags: Flags,
    /// SO_ERROR: returned once.
    pub(super) error: Option<Errno>,
    pub(super) netns: u32,
    /// Whom it sends to. Stays when the peer is closed (SHUT 6, DSEND 3).
    pub(super) peer: Option<SocketKey>,
    /// How many sockets have it as their peer.
    pub(super) pointed_at: u32,
    /// In the backlog: whose.
    pub(super) listener: Option<SocketKey>,
    /// SO_SNDBUF.
    pub(super) send_buffer: u32,
    /// SO_RCVBUF.
    pub(super) receive_buffer: u32,
    /// SIOCOUTQ: the charge of what it sent and nobody has taken.
    pub(super) send_memory: u32,
    /// Of `send_memory`, what belongs to datagrams that wait for room in their receiver's queue.
    pub(super) parked: u32,
    /// How often it is in flight itself.
    pub(super) in_flight: u32,
    /// Sockets in flight in its receive queue and, for a listener, in the queues of its backlog.
    pub(super) carried: u32,
    /// A receive queue (or backlog) longer than this is full.
    pub(super) queue_limit: u32,
    /// SO_RCVLOWAT.
    pub(super) receive_low: u32,
    /// SO_PEEK_OFF; negative is off.
    pub(super) peek_offset: i32,
    pub(super) peer_credentials: Option<Ucred>,
    pub(super) queue: Queue,
    /// Connections to be accepted. Those are sockets, not message buffers.
    pub(super) backlog: Backlog,
    pub(super) bound: Option<Arc<Bound>>,
    /// Whether the name is this socket's own, or only its listener's (BIND 6).
    pub(super) holds_name: bool,
    pub(super) rare: Option<Box<Rare>>,
    pub(super) waiters: Option<Box<Waiters>>,
}

impl Socket {
    pub(super) fn new(id: u64, netns: u32, kind: SocketType, profile: &Profile) -> Self {
        Socket {
            id,
            kind,
            state: State::Closed,
            established: false,
            flags: Flags::PASSRIGHTS,
            error: None,
            netns,
            peer: None,
            pointed_at: 0,
            listener: None,
            send_buffer: profile.wmem_default,
            receive_buffer: profile.rmem_default,
            send_memory: 0,
            parked: 0,
            in_flight: 0,
            carried: 0,
            queue_limit: profile.max_dgram_qlen,
            receive_low: 1,
            peek_offset: -1,
            peer_credentials: None,
            queue: Queue::default(),
            backlog: Backlog::default(),
            bound: None,
            holds_name: false,
            rare: None,
            waiters: None,
        }
    }

    /// One end of a connection that is being made; the other end must be told too.
    pub(super) fn connect_to(&mut self, peer: SocketKey) {
        self.peer = Some(peer);
        self.pointed_at += 1;
        self.state = State::Established;
    }

    pub(super) fn set_peer_credentials(&mut self, credentials: Ucred, groups: &[u32]) {
        self.peer_credentials = Some(credentials);
        if !groups.is_empty() || self.rare.is_some() {
            self.rare_mut().peer_groups = groups.into();
        }
    }

    pub(super) fn bind(&mut self, bound: Bound) {
        self.bound = Some(Arc::new(bound));
        self.holds_name = true;
    }

    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    #[inline]
    pub(super) fn alerts(&self) -> Option<&Alerts> {
        self.rare.as_ref()?.alerts.as_ref()
    }

    /// The time for a message that comes now, if it is asked for.
    pub(super) fn stamp(&self, now: Duration) -> Option<NonZeroU64> {
        let asked = self.rare.as_ref().is_some_and(|rare| rare.stamping.on);
        if asked { NonZeroU64::new(now.as_nanos() as u64) } else { None }
    }

    /// Whether it is closed, and kept only because a peer or a message refers to it.
    #[inline]
    pub(super) fn is_dead(&self) -> bool {
        self.flags.contains(Flags::DEAD)
    }

    /// Whether credentials come with what it receives.
    pub(super) fn identifies(&self) -> bool {
        self.flags.intersects(Flags::IDENTIFY)
    }

    /// Whether it is a stream or a seqpacket socket.
    pub(super) fn is_connection(&self) -> bool {
        self.kind != SocketType::Datagram
    }

    /// The pending error, which is cleared.
    pub(super) fn take_error(&mut self) -> Result<(), Errno> {
        self.error.take().map_or(Ok(()), Err)
    }

    /// Whether the receive queue takes no datagram of one who is not the peer (DSEND 4).
    pub(super) fn queue_is_full(&self) -> bool {
        self.queue.len() as u64 > u64::from(self.queue_limit)
    }

    /// Whether the backlog takes no connection (LISTEN 2).
    pub(super) fn backlog_is_full(&self, planted: Planted) -> bool {
        let spare = u64::from(planted.contains(Planted::BACKLOG_OFF_BY_ONE));
        self.backlog.len() as u64 + spare > u64::from(self.queue_limit)
    }

    /// MEM 8: writable for poll.
    pub(super) fn is_writable(&self, planted: Planted) -> bool {
        if planted.contains(Planted::WRITABLE_UNTIL_FULL) {
            return self.state != State::Listening && self.send_memory < self.send_buffer;
        }
        self.state != State::Listening
            && 4 * (u64::from(self.send_memory) + 1) <= u64::from(self.send_buffer)
    }

    /// SO_RCVTIMEO; a zero is: at once.
    pub(super) fn receive_timeout(&self) -> Option<Duration> {
        self.rare.as_ref().and_then(|rare| rare.receive_timeout)
    }

    /// SO_SNDTIMEO; a zero is: at once.
    pub(super) fn send_timeout(&self) -> Option<Duration> {
        self.rare.as_ref().and_then(|rare| rare.send_timeout)
    }
}
