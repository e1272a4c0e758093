//! What goes into the family's calls and what comes out: callers, destinations, what is sent and
//! received, and why a call stops.

use std::num::NonZeroU64;
use std::time::Duration;

use afunix::{Capabilities, Errno, RecvFlags, Segment, SegmentMut, SendFlags, Ucred};
use smallvec::SmallVec;

pub use afunix::snapshot::WaitReason;

use super::SocketKey;

/// A file (an open file description), as its owner knows it: opaque here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct File(pub u64);

/// A file in a message. Each attachment owns one reference to its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The file.
    pub file: File,
    /// The socket that the file is, if it is one of this family: collecting cycles looks at these.
    pub socket: Option<SocketKey>,
}

/// The files of one message. Most that carry any carry one, which takes no memory of its own.
pub type Attachments = SmallVec<[Attachment; 1]>;

/// An inode that a socket is bound to. Must not be used again while the socket lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameKey {
    /// Device.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
}

/// Three ids of a process (credentials(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Whose process it is.
    pub real: u32,
    /// As whom it acts.
    pub effective: u32,
    /// What it may become again.
    pub saved: u32,
}

impl Ids {
    /// All three the same.
    pub const fn all(id: u32) -> Ids {
        Ids { real: id, effective: id, saved: id }
    }

    /// Whether it is one of the three.
    #[inline]
    pub fn contains(self, id: u32) -> bool {
        self.real == id || self.effective == id || self.saved == id
    }
}

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Process id.
    pub pid: i32,
    /// User ids.
    pub uid: Ids,
    /// Group ids.
    pub gid: Ids,
    /// Supplementary groups.
    pub groups: &'a [u32],
    /// What it may do beyond that: the effective set.
    pub capabilities: Capabilities,
    /// RLIMIT_NOFILE, soft (CMSG 4).
    pub descriptor_limit: u32,
    /// The clock, for timestamps (RCMSG 1).
    pub now: Duration,
    /// The network namespace: abstract names are one's own in each (ADDR 5).
    pub netns: u32,
}

impl Caller<'_> {
    /// Who it acts as: what SO_PEERCRED tells (OPT 2).
    pub fn ucred(&self) -> Ucred {
        Ucred { pid: self.pid, uid: self.uid.effective, gid: self.gid.effective }
    }

    /// Whose it is: what SCM_CREDENTIALS tells (RCMSG 2).
    pub fn real_ucred(&self) -> Ucred {
        Ucred { pid: self.pid, uid: self.uid.real, gid: self.gid.real }
    }

    /// Whether it has one of these capabilities.
    #[inline]
    pub fn has(&self, any: Capabilities) -> bool {
        self.capabilities.intersects(any)
    }
}

/// A name in an address, after [`super::names::parse_name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// A path, cut at its first NUL (ADDR 2).
    Path(&'a [u8]),
    /// An abstract name with its leading NUL (ADDR 4).
    Abstract(&'a [u8]),
}

/// Where a connect or a named send goes to.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'a> {
    /// What the walk of the path found: any inode that may be written, or the walk's error (EACCES
    /// if the inode may not be written). Walk before every attempt (CONNECT 5).
    Path(Result<NameKey, Errno>),
    /// An abstract name with its leading NUL.
    Abstract(&'a [u8]),
}

/// Whom a message is for.
#[derive(Clone, Copy, Debug)]
pub enum SendTo<'a> {
    /// No address, or one of length 0: the connected peer.
    Peer,
    /// An address that [`super::names::parse_name`] refuses: EINVAL on a datagram socket, EISCONN
    /// or EOPNOTSUPP on a stream, ignored on seqpacket.
    Malformed,
    /// An address.
    Named(Destination<'a>),
}

/// Why a call is tried. A call that waited is tried again with the same arguments and in-call
/// state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It begins, or something that it waited for may have come.
    Run,
    /// Its time is over.
    TimedOut,
    /// A signal came.
    Interrupted,
}

/// Why a call did not end well: an error, or it must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is over.
    Error(Errno),
    /// It waits. Issue a ticket, hand it to [`super::Sockets::enrol`], and try again when it is
    /// woken.
    Wait(Waiting),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Stop::Error(errno)
    }
}

/// A call that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What would let it go on.
    pub reason: WaitReason,
    /// The socket whose state has to change.
    pub socket: SocketKey,
    /// SO_RCVTIMEO or SO_SNDTIMEO: how long the wait may last, if not for ever.
    pub timeout: Option<Duration>,
    /// Whether the timeout counts from now even if the call waited before (SSEND 14).
    pub anew: bool,
}

/// A send as the system call says it.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a, 'b> {
    /// The bytes.
    pub data: &'a [Segment<'b>],
    /// Whom for.
    pub to: SendTo<'a>,
    /// The flags.
    pub flags: SendFlags,
    /// O_NONBLOCK is set on the file (MSG_DONTWAIT is looked at in `flags`).
    pub nonblocking: bool,
}

/// A send on its way: lives as long as the call, over all its attempts. Give it to
/// [`super::Sockets::finish_send`] when the call is over or given up.
#[derive(Clone, Debug, Default)]
pub struct Sending {
    /// Files that are not queued yet. The send takes them when it queues the buffer that carries
    /// them; what is left when the call is over is dropped by `finish_send`.
    pub files: Attachments,
    /// Explicit credentials (SCM_CREDENTIALS).
    pub credentials: Option<Ucred>,
    /// Stream: bytes queued so far.
    pub progress: usize,
    /// Out: the caller gets SIGPIPE (SSEND 13).
    pub sigpipe: bool,
    /// Datagram: the buffer that waits for room in its receiver's queue (DSEND 4).
    pub(super) parked: Option<Parked>,
    /// Where `progress` stood when it last waited for memory.
    pub(super) waited_at: Option<usize>,
    /// Stream: SO_SNDBUF when the buffer under way began.
    pub(super) sized_by: u32,
}

/// A datagram that has its memory and waits for room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parked {
    pub(super) sender: SocketKey,
    pub(super) receiver: SocketKey,
    pub(super) charge: u32,
    /// Bytes that the receiver's filter has left.
    pub(super) kept: usize,
}

/// A receive as the system call says it.
#[derive(Debug)]
pub struct Incoming<'a, 'b> {
    /// Where the bytes go.
    pub data: &'a mut [SegmentMut<'b>],
    /// The flags.
    pub flags: RecvFlags,
    /// O_NONBLOCK is set on the file (MSG_DONTWAIT is looked at in `flags`).
    pub nonblocking: bool,
    /// Whether the sender's name will be asked for.
    pub want_name: bool,
}

/// A receive on its way: lives as long as the call, over all its attempts. When the call is over
/// its result goes through [`super::Sockets::deliver`] (recvmsg) or [`super::Sockets::discard`]
/// (the others, and a call that failed or was given up).
#[derive(Clone, Debug, Default)]
pub struct Receiving {
    /// Stream: bytes received so far.
    pub progress: usize,
    /// Out: MSG_TRUNC, MSG_OOB.
    pub flags: RecvFlags,
    /// The name of the sender, if it is bound and its name was asked for.
    pub(super) source: Option<Box<[u8]>>,
    /// Out: files received. Each owns a reference, unless `peeked`.
    pub(super) files: Attachments,
    /// Whether the files stay in the queue too.
    pub(super) peeked: bool,
    /// Credentials of what was received; `None` until the first buffer.
    pub(super) credentials: Option<Ucred>,
    /// When what was received was sent, in nanoseconds, if the receiver asked for it then.
    pub(super) stamp: Option<NonZeroU64>,
    /// A message came whose time can be told: not on a stream.
    pub(super) stamped: bool,
    /// No control message goes with it: out-of-band bytes, the end of records, an interrupted read.
    pub(super) bare: bool,
}

impl Receiving {
    /// Whether nothing was received yet, so that it is as good as a new one.
    pub(crate) fn is_new(&self) -> bool {
        self.progress == 0 && self.files.is_empty() && self.credentials.is_none()
    }
}
