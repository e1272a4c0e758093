//! What a step touched: the objects that two steps must not both touch to be independent.

use afunix::{Pid, SocketType, Tid};

use super::Machine;
use super::calls::{EventfdKey, PipeKey};
use super::file::{FileId, Kind};
use super::fs::InodeId;
use crate::sockets::{Part, Touch};
use crate::wait::EpollKey;

/// A part of the machine's state that steps read and write as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// A process's own state: children, signals, whether it lives.
    Process(Pid),
    /// Which children a process has. Making one and waiting for a certain one only read it, since
    /// they commute; waiting for any writes it.
    Children(Pid),
    /// What the calls of a process are judged by: ids, umask, limits, root, working directory and
    /// namespaces. Each step reads those of its process.
    Settings(Pid),
    /// A thread's state.
    Thread(Tid),
    /// Which numbers of a descriptor table are free: every open and close of a process meets here.
    Numbers(Pid),
    /// What one number stands for.
    Descriptor(Pid, i32),
    /// Offset and status flags of an open file description.
    File(FileId),
    /// How many references a file has. Taking and dropping one commute unless it is one of the last
    /// two.
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
    /// Something in the memory of a process, by a number that those gave it who schedule its
    /// threads: the machine itself never touches it.
    Memory(u32),
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

/// The list of what a step touched, lent to those who cannot borrow the machine; `None` where none
/// is kept.
pub(super) struct Touches<'m>(Option<&'m mut Vec<(Object, Access)>>);

impl<'m> Touches<'m> {
    pub(super) fn new(tracked: bool, footprint: &'m mut Vec<(Object, Access)>) -> Self {
        Touches(tracked.then_some(footprint))
    }

    #[inline]
    pub(super) fn add(&mut self, object: Object, access: Access) {
        if let Some(footprint) = &mut self.0 {
            footprint.push((object, access));
        }
    }
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

/// For those who search through orders of steps: the keys of what a run makes hang on the order in
/// which it was made, and they have to know a thing again.
impl Machine {
    /// Whether the machine has what this is a part of; of what is shared by all, `false`.
    pub fn has(&self, object: &Object) -> bool {
        match *object {
            Object::Process(pid)
            | Object::Children(pid)
            | Object::Settings(pid)
            | Object::Numbers(pid) => self.processes.get(pid.0).is_some(),
            Object::Thread(tid) => self.threads.get(tid.0).is_some(),
            Object::Descriptor(pid, number) => self.file_at(pid, number).is_some(),
            Object::File(file) | Object::References(file) => self.files.contains_key(file),
            Object::Inode(inode) | Object::Entries(inode) => self.tree.has(inode),
            Object::Pipe(key) => self.pipes.contains_key(key),
            Object::Eventfd(key) => self.eventfds.contains_key(key),
            Object::Socket(part) => match part {
                Part::Receive(key)
                | Part::SendMemory(key)
                | Part::Backlog(key)
                | Part::State(key)
                | Part::Timeouts(key)
                | Part::Waiters(key) => self.sockets.is_open(key),
                Part::Inode(name) => self.tree.inodes().any(|(_, inode)| inode.ino == name.ino),
                Part::Abstract(_) | Part::Autobind | Part::InFlight | Part::Cycles | Part::Ids => {
                    false
                }
            },
            Object::Epoll(key) => self.tickets.epolls.has(key),
            Object::Mounts
            | Object::Space(_)
            | Object::Console
            | Object::Clock
            | Object::Memory(_) => false,
        }
    }

    /// The numbers of the descriptors that a process has open, in order.
    pub fn descriptor_numbers(&self, pid: Pid) -> impl Iterator<Item = i32> + '_ {
        let process = self.running(pid).into_iter();
        process.flat_map(|process| process.descriptors.iter().map(|(number, _)| number))
    }

    /// The file that a number of a process stands for.
    pub fn file_at(&self, pid: Pid, number: i32) -> Option<FileId> {
        let process = self.processes.get(pid.0)?;
        process.descriptors.get(number).ok().map(|descriptor| descriptor.file)
    }

    /// The socket that a number of a process stands for: its id in snapshots, and what it is bound
    /// to.
    pub fn socket_named(&self, pid: Pid, number: i32) -> Option<(u64, Option<&[u8]>)> {
        let Kind::Socket(socket) = self.files.get(self.file_at(pid, number)?)?.kind else {
            return None;
        };
        Some((self.sockets.id(socket), self.sockets.path_of(socket)))
    }

    /// Bytes that nobody will read if this number is closed now: those that wait in a stream socket
    /// of which it is the last reference.
    pub fn unread_at(&self, pid: Pid, number: i32) -> Option<u32> {
        let file = self.files.get(self.file_at(pid, number)?)?;
        let Kind::Socket(socket) = file.kind else { return None };
        let is_last = file.references == 1 && file.in_flight == 0;
        let is_stream = self.sockets.kind(socket) == SocketType::Stream;
        (is_last && is_stream).then(|| self.sockets.unread(socket))
    }
}
