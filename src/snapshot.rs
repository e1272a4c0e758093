//! What a machine looks like at one moment: processes, threads, files, sockets, names.
//!
//! A [`Snapshot`] is plain data. The model makes one of a simulation, the kernel backend makes one
//! of the running system (sock_diag and /proc), and the pictures are drawn from it; no picture asks
//! where it came from. All lists are sorted by their ids, so that the same state gives the same
//! bytes.

mod text;

use serde::{Deserialize, Serialize};

pub use text::{ProcNetUnix, Ss};

/// The state of a machine at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Nanoseconds since the machine started; 0 for the running system.
    pub at: u64,
    /// Processes by pid.
    pub processes: Vec<Process>,
    /// Open file descriptions by id.
    pub files: Vec<File>,
    /// AF_UNIX sockets by id.
    pub sockets: Vec<Socket>,
    /// Files of type socket by path, as far as they were looked for: a simulation's all; of the
    /// running system those beside the paths that sockets are bound to.
    #[serde(default)]
    pub socket_files: Vec<SocketFile>,
    /// What could not be seen, in sentences (no permission to read /proc/1/fd, say).
    pub notes: Vec<String>,
}

/// A path that leads to a file of type socket, whether or not a socket is bound to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketFile {
    /// The path (lossy).
    pub path: String,
    /// Its inode: (device, number).
    pub inode: (u64, u64),
}

/// A process with its threads and its descriptor table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// The program's name.
    pub name: String,
    /// Effective user id.
    pub uid: u32,
    /// Threads by id.
    pub threads: Vec<Thread>,
    /// Descriptors by number.
    pub descriptors: Vec<Descriptor>,
}

/// A thread and what it waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Thread id, unique in the machine.
    pub tid: u32,
    /// The thread's name.
    pub name: String,
    /// Set while the thread is blocked in a call.
    pub wait: Option<Wait>,
}

/// A blocked call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// The system call, as in its man page: `sendmsg`.
    pub call: String,
    /// The descriptor, if the call names one.
    pub fd: Option<i32>,
    /// What would let it go on.
    pub reason: WaitReason,
    /// The socket it waits at: the one whose queue must change.
    pub socket: Option<u64>,
    /// Nanoseconds since the machine started at which the wait began.
    pub since: u64,
    /// When the wait ends by itself, if it does, in the same clock.
    pub deadline: Option<u64>,
}

/// What would let a blocked call go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// Data, or the end of file.
    Readable,
    /// Memory of the sender's buffer (MEM 11).
    Memory,
    /// Room in the receiver's queue (DSEND 4).
    PeerQueue,
    /// A connection in the backlog.
    Connection,
    /// Room in the listener's backlog.
    Backlog,
    /// Readiness of any descriptor of a poll.
    Readiness,
    /// The end of a child process.
    Child,
    /// The end of a thread.
    Thread,
    /// Room in a pipe or an event counter.
    Room,
    /// Time alone.
    Time,
    /// A lock that a thread holds.
    Lock,
    /// A notification of a condition variable.
    Notification,
    /// A message in a channel of the process.
    Message,
    /// Room in a channel of the process.
    ChannelRoom,
}

/// A number in a process's descriptor table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The number.
    pub fd: i32,
    /// Id of the file it stands for, an index key into [`Snapshot::files`].
    pub file: u64,
    /// Close-on-exec.
    pub cloexec: bool,
}

/// An open file description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its id, unique in the machine.
    pub id: u64,
    /// What it is.
    pub kind: FileKind,
    /// How many of its references are in flight: sent and not yet received.
    pub in_flight: u32,
}

/// What an open file description refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A socket of [`Snapshot::sockets`], by id.
    Socket(u64),
    /// A regular file, by path (lossy).
    Regular(String),
    /// A directory, by path (lossy).
    Directory(String),
    /// Anything else, in words: `pipe`, `console`.
    Other(String),
}

/// An AF_UNIX socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// Its id, unique in the machine. On the running system its inode number.
    pub id: u64,
    /// Stream, datagram or seqpacket.
    pub kind: SocketKind,
    /// Connection state.
    pub state: SocketState,
    /// Whether the kernel counts it as connected: a connection, also when its peer is gone, and a
    /// datagram socket with a peer, or to which another is or was connected.
    pub established: bool,
    /// The name it is bound to (or, for an accepted socket, its listener's): the path, or `@` and
    /// the abstract name. Bytes outside of printable ASCII are left as they are (lossy UTF-8):
    /// whoever draws it escapes.
    pub name: Option<String>,
    /// The socket it sends to.
    pub peer: Option<u64>,
    /// Shut for reading.
    pub shut_read: bool,
    /// Shut for writing.
    pub shut_write: bool,
    /// The pending error (`SO_ERROR`), as an errno; 0 for none.
    pub error: i32,
    /// Received and not yet read.
    pub receive: Queue,
    /// What SIOCINQ says of it: of datagrams the first one alone (OPT 6); 0 for a listener.
    pub input: u64,
    /// Memory charged to it for what it has sent (SIOCOUTQ).
    pub send_memory: u64,
    /// SO_SNDBUF; 0 if it is not known.
    pub send_buffer: u64,
    /// Listeners: how many connections the backlog takes. `None` otherwise.
    pub backlog: Option<u32>,
    /// Listeners: the ids of the sockets that wait to be accepted, in order.
    pub pending: Vec<u64>,
    /// Ids of the files in flight in its receive queue, in order.
    pub in_flight: Vec<u64>,
    /// The inode of its path, if it has one: (device, number).
    pub inode: Option<(u64, u64)>,
}

/// The three types of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketKind {
    /// SOCK_STREAM.
    Stream,
    /// SOCK_DGRAM.
    Datagram,
    /// SOCK_SEQPACKET.
    Seqpacket,
}

/// Connection state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketState {
    /// Neither connected nor listening.
    Unconnected,
    /// Listening.
    Listening,
    /// Connected, and in its listener's backlog.
    Pending,
    /// Connected.
    Connected,
    /// Was connected; the peer is gone.
    Disconnected,
}

/// A receive queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Message buffers.
    pub messages: u64,
    /// Bytes not yet read.
    pub bytes: u64,
}
