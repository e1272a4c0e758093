//! File systems, and where each namespace has them.
//!
//! A *file system* has a root, an owner of all its inodes' room, and may be read-only. A *mount*
//! puts its root over a directory: whoever walks to the directory finds the root instead. A *mount
//! namespace* is a table of mounts, shared by the processes in it; a copy of it shows none of what
//! is mounted in the other later.

use std::collections::{BTreeMap, BTreeSet};

use afunix::Errno;

use super::super::{Access, Object};
use super::{Content, Inode, InodeId, Tree, Walker};

/// Bytes that a file takes are counted in pages.
pub(crate) const PAGE: u64 = 4096;

/// What mount(2) says of a tmpfs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MountOptions {
    pub(crate) read_only: bool,
    /// `None`: what there is.
    pub(crate) pages_max: Option<u64>,
    pub(crate) inodes_max: Option<u64>,
    /// Of the root, at first.
    pub(crate) mode: u32,
}

/// A file system.
#[derive(Clone, Debug)]
pub(crate) struct Filesystem {
    pub(crate) root: InodeId,
    pub(crate) read_only: bool,
    pub(crate) pages: u64,
    pub(crate) pages_max: u64,
    /// Inodes, and names of inodes beyond their first.
    pub(crate) inodes: u64,
    pub(crate) inodes_max: u64,
    /// Mounts of it, and holds of its inodes from outside of the tree. Without any it goes away.
    pub(crate) holds: u64,
}

/// A mount namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Namespace {
    /// How many processes are in it.
    pub(crate) processes: u32,
    /// From a directory to the root that covers it.
    pub(crate) over: BTreeMap<InodeId, InodeId>,
    /// From a root to the directory that it covers.
    under: BTreeMap<InodeId, InodeId>,
}

impl Namespace {
    /// The mounts of a file system: as many as it has here.
    pub(crate) fn covers_with(&self, root: InodeId) -> bool {
        self.under.contains_key(&root)
    }
}

impl Tree {
    /// The file system of an inode.
    pub(crate) fn filesystem(&self, inode: InodeId) -> &Filesystem {
        &self.filesystems[&self[inode].fs]
    }

    /// EROFS if nothing of the inode's file system may be changed.
    pub(crate) fn may_change(&self, inode: InodeId) -> Result<(), Errno> {
        if self.filesystem(inode).read_only { Err(Errno::ROFS) } else { Ok(()) }
    }

    /// Where a walk that came to a directory stands: at the topmost root that covers it.
    pub(crate) fn enter(&self, walker: &Walker<'_>, dir: InodeId) -> InodeId {
        if self.filesystems.len() == 1 {
            return dir;
        }
        let namespace = self.namespaces.get(&walker.mounts);
        let mut at = dir;
        while let Some(root) = namespace.and_then(|table| table.over.get(&at)) {
            at = *root;
        }
        at
    }

    /// Where `..` leads: out of a file system by the directory that it covers, and nowhere from the
    /// walker's own root.
    pub(crate) fn up(&self, walker: &Walker<'_>, dir: InodeId) -> InodeId {
        let namespace = self.namespaces.get(&walker.mounts);
        let mut at = dir;
        loop {
            if at == walker.root {
                return dir;
            }
            match namespace.and_then(|table| table.under.get(&at)) {
                Some(covered) => at = *covered,
                None => return self.enter(walker, self.parent(at)),
            }
        }
    }

    /// Whether something is mounted over a directory in the walker's namespace.
    pub(crate) fn is_covered(&self, walker: &Walker<'_>, dir: InodeId) -> bool {
        self.namespaces[&walker.mounts].over.contains_key(&dir)
    }

    /// Makes a tmpfs and mounts it over a directory: on top of what is mounted over that already,
    /// which a working directory may not see.
    pub(crate) fn mount(&mut self, walker: &Walker<'_>, dir: InodeId, options: MountOptions) {
        let over = &self.namespaces[&walker.mounts].over;
        let dir = std::iter::successors(Some(dir), |dir| over.get(dir).copied()).last();
        let dir = dir.expect("it begins with one");
        let fs = self.next_fs;
        self.next_fs += 1;
        let ino = self.next_ino;
        self.next_ino += 1;
        let (uid, gid) = (walker.who.fsuid, walker.who.fsgid);
        let root = self.inodes.insert_with_key(|root| Inode {
            fs,
            ino,
            mode: options.mode,
            uid,
            gid,
            nlink: 2,
            holds: 1,
            content: Content::directory(root),
        });
        let filesystem = Filesystem {
            root,
            read_only: options.read_only,
            pages: 0,
            pages_max: options.pages_max.unwrap_or(super::PAGES_MAX),
            inodes: 1,
            inodes_max: options.inodes_max.unwrap_or(super::INODES_MAX),
            holds: 1,
        };
        self.filesystems.insert(fs, filesystem);
        let namespace = self.namespace_mut(walker.mounts);
        namespace.over.insert(dir, root);
        namespace.under.insert(root, dir);
    }

    /// Changes the options of the file system whose root this is: EINVAL for another inode, and if
    /// it would have less room than is taken.
    pub(crate) fn remount(
        &mut self,
        walker: &Walker<'_>,
        root: InodeId,
        options: MountOptions,
    ) -> Result<(), Errno> {
        self.mounted_root(walker, root)?;
        let fs = self[root].fs;
        self.touch_space(fs, Access::Read);
        let filesystem = self.filesystems.get_mut(&fs).expect("an inode's file system is there");
        let (pages, inodes) = (options.pages_max, options.inodes_max);
        let is_less = pages.is_some_and(|most| most < filesystem.pages)
            || inodes.is_some_and(|most| most < filesystem.inodes);
        if is_less {
            return Err(Errno::INVAL);
        }
        filesystem.pages_max = pages.unwrap_or(filesystem.pages_max);
        filesystem.inodes_max = inodes.unwrap_or(filesystem.inodes_max);
        filesystem.read_only = options.read_only;
        self.touched.push((Object::Mounts, Access::Write));
        Ok(())
    }

    /// Takes a mount away: EINVAL if `root` is not the root of one. Who stands in it stays there,
    /// and the mounts on directories of its file system go with it, if it is to be detached; else
    /// it is EBUSY.
    pub(crate) fn umount(
        &mut self,
        walker: &Walker<'_>,
        root: InodeId,
        detach: bool,
    ) -> Result<(), Errno> {
        self.mounted_root(walker, root)?;
        self.touch_space(self[root].fs, Access::Read);
        if !detach && self.is_busy(walker, root) {
            return Err(Errno::BUSY);
        }
        self.unmount(walker.mounts, root);
        Ok(())
    }

    /// Whether a process stands in a file system, a file or the name of a socket holds it (of
    /// whichever namespace), or something is mounted over one of its directories.
    fn is_busy(&self, walker: &Walker<'_>, root: InodeId) -> bool {
        let fs = self[root].fs;
        let mounts = self.mounts().get(&fs).copied().unwrap_or(0);
        let over = &self.namespaces[&walker.mounts].over;
        self.filesystem(root).holds > mounts || over.keys().any(|dir| self[*dir].fs == fs)
    }

    /// Whether the walker's root directory is the root of a mount: one that it chose need not be.
    pub(crate) fn root_is_of_a_mount(&self, walker: &Walker<'_>) -> bool {
        let filesystem = self.filesystem(walker.root);
        let is_first = self[walker.root].fs == 0;
        filesystem.root == walker.root
            && (is_first || self.mounted_root(walker, walker.root).is_ok())
    }

    /// EINVAL for what is not the root of a mount.
    pub(crate) fn mounted_root(&self, walker: &Walker<'_>, root: InodeId) -> Result<(), Errno> {
        let is_mounted = self.namespaces[&walker.mounts].covers_with(root);
        if is_mounted { Ok(()) } else { Err(Errno::INVAL) }
    }

    fn unmount(&mut self, namespace: u32, root: InodeId) {
        let fs = self[root].fs;
        let mut above: Vec<InodeId> = Vec::new();
        for (dir, inner) in &self.namespaces[&namespace].over {
            if self[*dir].fs == fs {
                above.push(*inner);
            }
        }
        for inner in above {
            self.unmount(namespace, inner);
        }
        let table = self.namespace_mut(namespace);
        if let Some(dir) = table.under.remove(&root) {
            table.over.remove(&dir);
            self.let_filesystem_go(fs);
        }
    }

    /// A directory was removed: what other namespaces have mounted over it goes.
    pub(super) fn uncover(&mut self, dir: InodeId) {
        if self.filesystems.len() == 1 {
            return;
        }
        let covered = |(id, table): (&u32, &Namespace)| Some((*id, *table.over.get(&dir)?));
        let mounts: Vec<(u32, InodeId)> = self.namespaces.iter().filter_map(covered).collect();
        for (namespace, root) in mounts {
            self.unmount(namespace, root);
        }
    }

    fn namespace_mut(&mut self, id: u32) -> &mut Namespace {
        self.touched.push((Object::Mounts, Access::Write));
        self.namespaces.get_mut(&id).expect("a process's namespace is there")
    }

    /// A process begins in a namespace.
    pub(crate) fn join_namespace(&mut self, id: u32) {
        self.namespaces.entry(id).or_default().processes += 1;
    }

    /// A process leaves its namespace. Without processes a namespace has no mounts.
    pub(crate) fn leave_namespace(&mut self, id: u32) {
        let table = self.namespaces.get_mut(&id).expect("a process's namespace is there");
        table.processes -= 1;
        if table.processes > 0 {
            return;
        }
        let roots: Vec<InodeId> = table.under.keys().copied().collect();
        for root in roots {
            if self.namespaces[&id].covers_with(root) {
                self.unmount(id, root);
            }
        }
        self.namespaces.remove(&id);
    }

    /// A copy of a namespace, without processes yet.
    pub(crate) fn copy_namespace(&mut self, id: u32) -> u32 {
        let copy = Namespace { processes: 0, ..self.namespaces[&id].clone() };
        for root in copy.under.keys() {
            let fs = self[*root].fs;
            self.space(fs).holds += 1;
        }
        let new = self.next_namespace;
        self.next_namespace += 1;
        self.namespaces.insert(new, copy);
        new
    }

    /// A mount, or a hold from outside, is over.
    pub(super) fn let_filesystem_go(&mut self, fs: u32) {
        let filesystem = self.space(fs);
        filesystem.holds -= 1;
        if filesystem.holds == 0 {
            self.filesystems.remove(&fs);
            self.inodes.retain(|_, inode| inode.fs != fs);
        }
    }

    /// Counts one inode, or one more name of one: ENOSPC.
    pub(super) fn take_inode(&mut self, fs: u32) -> Result<(), Errno> {
        let filesystem = self.space(fs);
        if filesystem.inodes >= filesystem.inodes_max {
            return Err(Errno::NOSPC);
        }
        filesystem.inodes += 1;
        Ok(())
    }

    /// The counts of a file system, to be changed. What one takes another may lack: but for the
    /// first one, which never runs out in a run that matters.
    pub(super) fn space(&mut self, fs: u32) -> &mut Filesystem {
        self.touch_space(fs, Access::Write);
        self.filesystems.get_mut(&fs).expect("an inode's file system is there")
    }

    fn touch_space(&mut self, fs: u32, access: Access) {
        if fs != 0 {
            self.touched.push((Object::Space(fs), access));
        }
    }

    /// All file systems.
    pub(crate) fn filesystems(&self) -> impl Iterator<Item = (u32, &Filesystem)> {
        self.filesystems.iter().map(|(id, filesystem)| (*id, filesystem))
    }

    /// All namespaces.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = (u32, &Namespace)> {
        self.namespaces.iter().map(|(id, namespace)| (*id, namespace))
    }

    /// How often each file system is mounted, in all namespaces together.
    pub(crate) fn mounts(&self) -> BTreeMap<u32, u64> {
        let mut counts = BTreeMap::new();
        for table in self.namespaces.values() {
            let roots: BTreeSet<InodeId> = table.over.values().copied().collect();
            for root in roots {
                *counts.entry(self[root].fs).or_default() += 1;
            }
        }
        counts
    }
}
