//! The file system in memory: inodes, and the tree of names.

use slotmap::SlotMap;

slotmap::new_key_type! {
    /// An inode.
    pub struct InodeId;
}

/// The one file system of a machine.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    inodes: SlotMap<InodeId, Inode>,
    root: InodeId,
    console: InodeId,
}

#[derive(Clone, Debug)]
pub(crate) struct Inode {}

impl Tree {
    pub(crate) fn new() -> Tree {
        let mut inodes = SlotMap::with_key();
        let root = inodes.insert(Inode {});
        let console = inodes.insert(Inode {});
        Tree { inodes, root, console }
    }
    pub(crate) fn root(&self) -> InodeId {
        self.root
    }
    pub(crate) fn console(&self) -> InodeId {
        self.console
    }
    pub(crate) fn hold(&mut self, _inode: InodeId) {}
    pub(crate) fn let_go(&mut self, _inode: InodeId) {}
}
