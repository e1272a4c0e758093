//! Who wants to know what a call touched and what flowed: footprints and events, both off by
//! default.

use super::{NameKey, SocketKey};

/// A part of the family's state that steps read and write as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The receive queue of a socket: a direction of a stream, a receiver's messages.
    Receive(SocketKey),
    /// The memory charged to a sender.
    SendMemory(SocketKey),
    /// The connections that wait at a listener.
    Backlog(SocketKey),
    /// Peer, shutdown, pending error, options, life of a socket.
    State(SocketKey),
    /// How long the calls of a socket wait: a change wakes nobody.
    Timeouts(SocketKey),
    /// The order of those who wait at a socket, where wakes are exclusive.
    Waiters(SocketKey),
    /// An abstract name, by a hash of namespace, type and bytes.
    Abstract(u64),
    /// Where the next autobind looks first.
    Autobind,
    /// The inode of a name.
    Inode(NameKey),
    /// Files in flight: their graph and counts.
    InFlight,
    /// Whether sockets in flight may be out of reach: what collecting looks at first.
    Cycles,
    /// How many sockets were made: their ids.
    Ids,
}

/// How a part was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Touch {
    /// It was read.
    Read,
    /// It was changed.
    Write,
    /// A change of it may let the waiting call go on.
    Awaits,
}

/// Something that flowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// A message buffer was queued.
    Queued {
        /// Sending socket.
        from: SocketKey,
        /// Receiving socket.
        to: SocketKey,
        /// Bytes.
        bytes: usize,
        /// Files attached.
        files: usize,
    },
    /// Bytes or files were taken out of a queue.
    Taken {
        /// Receiving socket.
        socket: SocketKey,
        /// Bytes.
        bytes: usize,
        /// Files.
        files: usize,
    },
    /// A socket went away.
    Freed {
        /// Its id in snapshots.
        socket: u64,
    },
}

/// Collects touches and flows while they are wanted. Its lists are reused; whoever wants them
/// clears them.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// Whether touches are recorded.
    pub touching: bool,
    /// Whether flows are recorded.
    pub flowing: bool,
    /// What was touched, in order, not deduplicated.
    pub touched: Vec<(Part, Touch)>,
    /// What flowed, in order.
    pub flows: Vec<Flow>,
}

impl Watch {
    #[inline]
    pub(super) fn touch(&mut self, part: Part, touch: Touch) {
        if self.touching {
            self.touched.push((part, touch));
        }
    }

    #[inline]
    pub(super) fn flow(&mut self, flow: Flow) {
        if self.flowing {
            self.flows.push(flow);
        }
    }
}
