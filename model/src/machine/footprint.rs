//! What a step touched: the objects that two steps must not both touch to be independent.

use afunix::{Pid, Tid};

use super::calls::{EventfdKey, PipeKey};
use super::file::FileId;
use super::fs::InodeId;
use crate::sockets::{Part, Touch};
use crate::wait::EpollKey;

/// A part of the machine's state that steps read and write as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// A process's own state: ids, umask, limits, working directory, children, whether it lives.
    Process(Pid),
    /// A thread's state.
    Thread(Tid),
    /// Which numbers of a descriptor table are free: every open and close of a process meets here.
    Numbers(Pid),
    /// What one number stands for.
    Descriptor(Pid, i32),
    /// Offset and status flags of an open file description.
    File(FileId),
    /// How many references a file has. Taking and dropping one commute unless it is the last.
    References(FileId),
    /// Contents, owner and mode of an inode.
    Inode(InodeId),
    /// The entries of a directory.
    Entries(InodeId),
    /// Which file systems are mounted where, and how.
    Mounts,
    /// What room a file system has left, and who holds it.
    Space(u32),
    /// A part of a socket, or of what sockets share.
    Socket(Part),
    /// A pipe: what it holds, its ends, who waits at it.
    Pipe(PipeKey),
    /// An event counter and who waits at it.
    Eventfd(EventfdKey),
    /// An epoll: what it watches, its ready list, who waits at it. Every wake that it hears of
    /// changes it.
    Epoll(EpollKey),
    /// What was written to the console, in order.
    Console,
    /// The clock, which a step read.
    Clock,
}

/// How a step touched an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// It read it.
    Read,
    /// It changed it.
    Write,
    /// It could not go on, and a change of this may let it.
    Awaits,
}

impl From<Touch> for Access {
    fn from(touch: Touch) -> Self {
        match touch {
            Touch::Read => Access::Read,
            Touch::Write => Access::Write,
            Touch::Awaits => Access::Awaits,
        }
    }
}
