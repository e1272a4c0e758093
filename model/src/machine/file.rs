//! Open file descriptions, and when they end.
//!
//! A file is referred to by descriptors and calls in progress (*references*), and by messages that
//! carry it (*in flight*). When both are gone it is released: a socket closes, its queue's files lose a
//! reference in flight in turn, an inode without a name disappears.

use afunix::OpenFlags;

use super::Machine;
use super::fs::InodeId;

slotmap::new_key_type! {
    /// An open file description.
    pub struct FileId;
}

/// What a file refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file or a directory.
    Inode(InodeId),
    /// `/dev/null`: reads the end of file, takes every write.
    Null(InodeId),
    /// The console: reads the end of file, keeps what is written.
    Console(InodeId),
    /// O_PATH: a handle on an inode, without reading or writing.
    Path(InodeId),
}

/// An open file description.
#[derive(Clone, Debug)]
pub(crate) struct OpenFile {
    /// The id that snapshots show.
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    /// Access mode and status flags.
    pub(crate) status: OpenFlags,
    pub(crate) offset: u64,
    /// Descriptors and calls in progress.
    pub(crate) references: u32,
    /// Messages that carry it, each as often as it does.
    pub(crate) in_flight: u32,
}

impl Machine {
    pub(crate) fn drop_reference(&mut self, _file: FileId) {}
}
impl Machine {
    pub(crate) fn new_file(&mut self, kind: Kind, status: OpenFlags) -> FileId {
        let id = self.next_file;
        self.next_file += 1;
        self.files.insert(OpenFile { id, kind, status, offset: 0, references: 0, in_flight: 0 })
    }

    pub(crate) fn close_number(&mut self, _pid: afunix::Pid, _n: i32) -> Result<(), afunix::Errno> {
        Err(afunix::Errno::BADF)
    }
}
