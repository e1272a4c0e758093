//! Open file descriptions, and when they end.
//!
//! A file is referred to by descriptors and calls in progress (*references*), and by messages that
//! carry it (*in flight*). When both are gone it is released: a socket closes, its queue's files
//! lose a reference in flight in turn, an inode without a name disappears.

use afunix::{Errno, OpenFlags, Pid};
use slotmap::{Key, KeyData, SlotMap};

use super::calls::{EventfdKey, PipeKey};
use super::fs::InodeId;
use super::owner::Owner;
use super::{Access, Machine, Object};
use crate::sockets::{File, Part, SocketKey};
use crate::wait::EpollKey;

slotmap::new_key_type! {
    /// An open file description.
    pub struct FileId;
}

impl FileId {
    /// The file as sockets know it.
    pub(crate) fn opaque(self) -> File {
        File(self.data().as_ffi())
    }

    /// The file that sockets know as `file`.
    pub(crate) fn of(file: File) -> FileId {
        KeyData::from_ffi(file.0).into()
    }
}

/// What a file refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A socket.
    Socket(SocketKey),
    /// An end of a pipe: the access mode says which.
    Pipe(PipeKey),
    /// An event counter.
    Eventfd(EventfdKey),
    /// An epoll.
    Epoll(EpollKey),
    /// A regular file or a directory.
    Inode(InodeId),
    /// `/dev/null`: reads the end of file, takes every write.
    Null(InodeId),
    /// The console: reads the end of file, keeps what is written.
    Console(InodeId),
    /// O_PATH: a handle on an inode, without reading or writing.
    Path(InodeId),
    /// A pidfd: a handle on a process, which may have ended (RCMSG 10).
    Process(Pid),
}

impl Kind {
    /// The socket, if it is one.
    #[inline]
    pub fn socket(self) -> Option<SocketKey> {
        match self {
            Kind::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    /// The inode, if it refers to one.
    pub fn inode(self) -> Option<InodeId> {
        match self {
            Kind::Socket(_)
            | Kind::Pipe(_)
            | Kind::Eventfd(_)
            | Kind::Epoll(_)
            | Kind::Process(_) => None,
            Kind::Inode(inode) | Kind::Null(inode) | Kind::Console(inode) | Kind::Path(inode) => {
                Some(inode)
            }
        }
    }
}

/// Owner and mode of a socket's own inode, which fstat shows and bind copies the mode of (CREATE 6,
/// 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SocketInode {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// All open file descriptions.
pub(crate) type Files = SlotMap<FileId, OpenFile>;

/// An open file description.
#[derive(Clone, Debug)]
pub(crate) struct OpenFile {
    /// The id that snapshots show.
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    /// Access mode and status flags.
    pub(crate) status: OpenFlags,
    pub(crate) offset: u64,
    pub(crate) socket_inode: SocketInode,
    /// Who gets its signals.
    pub(crate) owner: Option<Box<Owner>>,
    /// The inode that the socket, or its listener, is bound to: held (OPT 7).
    pub(crate) bound_to: Option<InodeId>,
    /// Descriptors and calls in progress.
    pub(crate) references: u32,
    /// Messages that carry it, each as often as it does.
    pub(crate) in_flight: u32,
}

impl OpenFile {
    /// Without references yet.
    pub(crate) fn new(id: u64, kind: Kind, status: OpenFlags) -> Self {
        OpenFile {
            id,
            kind,
            status,
            offset: 0,
            socket_inode: SocketInode::default(),
            owner: None,
            bound_to: None,
            references: 0,
            in_flight: 0,
        }
    }

    /// O_WRONLY is 1 and O_RDWR 2; 3 allows neither.
    pub(crate) fn may_read(&self) -> bool {
        self.status.bits() & 1 == 0
    }

    pub(crate) fn may_write(&self) -> bool {
        matches!(self.status.bits() & 3, 1 | 2)
    }
}

impl Machine {
    /// A file without references yet. It holds its inode.
    pub(crate) fn new_file(&mut self, kind: Kind, status: OpenFlags) -> FileId {
        if let Some(inode) = kind.inode() {
            self.tree.hold(inode);
        }
        self.add_file(OpenFile::new(self.next_file, kind, status))
    }

    /// As [`Machine::new_file`], of a file that is made with the next id.
    #[inline]
    pub(crate) fn add_file(&mut self, file: OpenFile) -> FileId {
        self.next_file += 1;
        let file = self.files.insert(file);
        self.touch(Object::File(file), Access::Write);
        file
    }

    /// Whether O_NONBLOCK is set on a file: what a call does then hangs on it.
    pub(crate) fn is_nonblocking(&mut self, file: FileId) -> bool {
        self.touch(Object::File(file), Access::Read);
        self.files[file].status.contains(OpenFlags::NONBLOCK)
    }

    /// close(2) of a number. What else it brings about (a release, say) is done when it returns.
    pub(crate) fn close_number(&mut self, pid: Pid, number: i32) -> Result<(), Errno> {
        let file = self.take_number(pid, number)?;
        self.drop_reference(file);
        Ok(())
    }

    /// Takes a number out of its process's table. The caller drops the reference that it stood for.
    pub(super) fn take_number(&mut self, pid: Pid, number: i32) -> Result<FileId, Errno> {
        self.touch(Object::Descriptor(pid, number), Access::Read);
        let process = self.processes.get_mut(pid.0).ok_or(Errno::SRCH)?;
        let descriptor = process.descriptors.remove(number)?;
        self.touch(Object::Numbers(pid), Access::Write);
        self.touch(Object::Descriptor(pid, number), Access::Write);
        Ok(descriptor.file)
    }

    /// A descriptor or a call in progress lets go of a file.
    #[inline]
    pub(crate) fn drop_reference(&mut self, file: FileId) {
        let state = &mut self.files[file];
        state.references -= 1;
        if state.references == 0 && state.in_flight == 0 {
            self.release(file);
            self.settle();
        } else {
            self.touch_dropped(file);
        }
    }

    /// A process that ends lets go of a file: it is released when [`Self::settle`] is called.
    pub(super) fn drop_reference_at_end(&mut self, file: FileId) {
        self.files[file].references -= 1;
        self.release_later(file);
    }

    /// After a reference was dropped.
    fn release_later(&mut self, file: FileId) {
        let state = &self.files[file];
        if state.references == 0 && state.in_flight == 0 {
            self.to_release.push(file);
        } else {
            self.touch_dropped(file);
        }
    }

    /// A reference was dropped that is not the last. If one more is left, whoever drops that is the
    /// one who releases: the two do not commute.
    #[inline]
    fn touch_dropped(&mut self, file: FileId) {
        let state = &self.files[file];
        let is_last_but_one = state.references + state.in_flight == 1;
        let access = if is_last_but_one { Access::Write } else { Access::Read };
        // All that is left of it is in flight: it may have to be collected from now on.
        let is_out_of_reach = state.references == 0 && matches!(state.kind, Kind::Socket(_));
        self.touch(Object::References(file), access);
        if is_out_of_reach {
            self.touch(Object::Socket(Part::Cycles), Access::Read);
        }
    }

    /// Drops the files that nobody will receive any more, and what follows from it. To be called
    /// after every use of the sockets that may drop some.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if self.collect_due || self.sockets.any_dropped() || !self.to_release.is_empty() {
            self.settle_in_full();
        }
    }

    /// What is dropped together is released in turn, the last dropped first; what that drops comes
    /// after it (VFS 3).
    fn settle_in_full(&mut self) {
        loop {
            while let Some(attachment) = self.sockets.next_dropped() {
                let file = FileId::of(attachment.file);
                self.files[file].in_flight -= 1;
                self.release_later(file);
            }
            if !self.to_release.is_empty() {
                for file in std::mem::take(&mut self.to_release).into_iter().rev() {
                    self.release(file);
                }
                continue;
            }
            // GC 3: the release of a socket looks for files in flight that nobody can reach.
            if !std::mem::take(&mut self.collect_due) {
                return;
            }
            let files = &self.files;
            let found = self.sockets.collect(&mut self.tickets, &mut |file| {
                let state = &files[FileId::of(file)];
                (state.references + state.in_flight) as usize
            });
            if !found {
                return;
            }
        }
    }

    /// The last reference is gone.
    fn release(&mut self, file: FileId) {
        self.touch(Object::References(file), Access::Write);
        self.forget_watches_of(file);
        // What came before its end, its owner is still told of.
        self.signal_owners();
        let Some(state) = self.files.remove(file) else { return };
        match state.kind {
            Kind::Socket(socket) => {
                if let Some(inode) = state.bound_to {
                    self.tree.let_go(inode);
                }
                self.sockets.release(&mut self.tickets, socket);
                self.collect_due = true;
            }
            Kind::Pipe(pipe) => self.release_pipe(pipe, &state),
            Kind::Eventfd(eventfd) => drop(self.eventfds.remove(eventfd)),
            Kind::Epoll(epoll) => self.release_epoll(epoll),
            Kind::Inode(inode) | Kind::Null(inode) | Kind::Console(inode) | Kind::Path(inode) => {
                self.tree.let_go(inode)
            }
            Kind::Process(_) => {}
        }
    }
}
