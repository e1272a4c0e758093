//! The file system in memory: inodes, and the tree of their names.
//!
//! An *inode* is a file's contents, owner and mode; an *entry* is a name for it in a directory. An
//! inode lives while it has names (`nlink`) or is *held*: by open files, by working directories,
//! and, for a directory, by the directories in it. Contents are shared between clones of a machine
//! until one of them writes.

mod mount;
mod ops;
mod rename;
mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;

use afunix::call::Stat;
use afunix::{Capabilities, Errno};
use slotmap::SlotMap;

use super::identity::Identity;
use super::{Access, Object};
use crate::sockets::NameKey;

pub(crate) use mount::{Filesystem, MountOptions, Namespace, PAGE};
pub(crate) use walk::{Cursor, Last};

slotmap::new_key_type! {
    /// An inode.
    pub struct InodeId;
}

/// The device number of the first file system; the others follow.
const DEVICE: u64 = 0x11;
/// The device number of sockets that have no name.
pub(crate) const SOCKET_DEVICE: u64 = 0x8;
/// The device number of pipes.
pub(crate) const PIPE_DEVICE: u64 = 0xf;
/// The device number of what has no inode of its own.
pub(crate) const ANONYMOUS_DEVICE: u64 = 0x10;
/// What the contents of all files of a file system may take together; more is ENOSPC.
pub(crate) const BYTES_MAX: u64 = 1 << 28;
/// The same in pages.
const PAGES_MAX: u64 = BYTES_MAX / PAGE;
/// How many inodes a file system may have; more is ENOSPC.
const INODES_MAX: u64 = 1 << 20;
/// Set-group-ID.
pub(crate) const S_ISGID: u32 = 0o2000;
/// Set-user-ID.
pub(crate) const S_ISUID: u32 = 0o4000;
/// Sticky: only owners remove entries.
pub(crate) const S_ISVTX: u32 = 0o1000;

/// Entries of a directory, in the order of their names.
pub(crate) type Entries = BTreeMap<Box<[u8]>, InodeId>;

/// What an inode holds.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Regular(Arc<Vec<u8>>),
    Directory {
        entries: Arc<Entries>,
        parent: InodeId,
    },
    Symlink(Arc<[u8]>),
    /// What bind makes. The sockets know who is bound to it.
    Socket,
    /// net.unix.max_dgram_qlen.
    QueueLength {
        netns: u32,
    },
    Null,
    Console,
}

impl Content {
    /// An empty directory in `parent`.
    pub(crate) fn directory(parent: InodeId) -> Content {
        Content::Directory { entries: Arc::default(), parent }
    }

    /// S_IFMT bits.
    fn file_type(&self) -> u32 {
        match self {
            Content::Regular(_) | Content::QueueLength { .. } => Stat::IFREG,
            Content::Directory { .. } => Stat::IFDIR,
            Content::Symlink(_) => Stat::IFLNK,
            Content::Socket => Stat::IFSOCK,
            Content::Null | Content::Console => Stat::IFCHR,
        }
    }
}

/// An inode.
#[derive(Clone, Debug)]
pub(crate) struct Inode {
    /// Its file system.
    pub(crate) fs: u32,
    pub(crate) ino: u64,
    /// Permission bits, without the type.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) nlink: u32,
    pub(crate) holds: u32,
    pub(crate) content: Content,
}

impl Inode {
    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.content, Content::Directory { .. })
    }

    pub(crate) fn is_socket(&self) -> bool {
        matches!(self.content, Content::Socket)
    }

    /// A directory that was removed and is still held: nothing can be made in it.
    pub(crate) fn is_dead_directory(&self) -> bool {
        self.is_directory() && self.nlink == 0
    }

    pub(crate) fn size(&self) -> u64 {
        match &self.content {
            Content::Regular(bytes) => bytes.len() as u64,
            Content::Symlink(target) => target.len() as u64,
            Content::Directory { .. } => 4096,
            Content::Socket | Content::QueueLength { .. } | Content::Null | Content::Console => 0,
        }
    }

    /// What the sockets know it by.
    pub(crate) fn name_key(&self) -> NameKey {
        NameKey { dev: DEVICE + u64::from(self.fs), ino: self.ino }
    }

    pub(crate) fn stat(&self) -> Stat {
        Stat {
            dev: DEVICE + u64::from(self.fs),
            ino: self.ino,
            mode: self.mode | self.content.file_type(),
            nlink: u64::from(self.nlink),
            uid: self.uid,
            gid: self.gid,
            size: self.size(),
            blksize: 4096,
        }
    }
}

/// What a process wants to do with an inode: the bits of a permission triple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want(pub(crate) u32);

impl Want {
    pub(crate) const READ: Want = Want(4);
    pub(crate) const WRITE: Want = Want(2);
    pub(crate) const SEARCH: Want = Want(1);
    /// To make or remove entries.
    pub(crate) const CHANGE: Want = Want(2 | 1);
}

/// Who walks, where paths start, and what is mounted where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walker<'a> {
    pub(crate) who: &'a Identity,
    pub(crate) umask: u32,
    pub(crate) cwd: InodeId,
    pub(crate) root: InodeId,
    /// The mount namespace.
    pub(crate) mounts: u32,
    /// May change no entry and open nothing.
    pub(crate) confined: bool,
}

impl Walker<'_> {
    /// Whether the inode is its own.
    pub(crate) fn owns(&self, inode: &Inode) -> bool {
        self.who.fsuid == inode.uid
    }

    /// Whether it may do what the owner may: EPERM is for the others.
    pub(crate) fn acts_as_owner(&self, inode: &Inode) -> bool {
        self.owns(inode) || self.who.has(Capabilities::FOWNER)
    }

    /// Whether it may give the inode's group to programs.
    pub(crate) fn has_group(&self, gid: u32) -> bool {
        self.who.in_group(gid) || self.who.has(Capabilities::FSETID)
    }

    /// The permission triple that holds for it, and bits above.
    fn triple(&self, mode: u32, uid: u32, gid: u32) -> u32 {
        if self.who.fsuid == uid {
            mode >> 6
        } else if self.who.in_group(gid) {
            mode >> 3
        } else {
            mode
        }
    }

    /// EACCES unless it may write to what has no inode of a file system.
    pub(crate) fn may_write_to(&self, stat: &Stat) -> Result<(), Errno> {
        let writable = self.triple(stat.mode, stat.uid, stat.gid) & Want::WRITE.0 != 0;
        if writable || self.who.has(Capabilities::DAC_OVERRIDE) {
            Ok(())
        } else {
            Err(Errno::ACCES)
        }
    }

    /// EACCES unless all of `want` is allowed.
    pub(crate) fn may(&self, inode: &Inode, want: Want) -> Result<(), Errno> {
        let triple = self.triple(inode.mode, inode.uid, inode.gid);
        if want.0 & !triple == 0 {
            return Ok(());
        }
        // Nothing here is executed, so that CAP_DAC_OVERRIDE is enough for everything.
        let mut enough = Capabilities::DAC_OVERRIDE;
        let only_looks = match inode.is_directory() {
            true => want.0 & Want::WRITE.0 == 0,
            false => want == Want::READ,
        };
        if only_looks {
            enough |= Capabilities::DAC_READ_SEARCH;
        }
        if self.who.has(enough) { Ok(()) } else { Err(Errno::ACCES) }
    }

    /// EACCES for a confined process (as Landlock refuses).
    pub(crate) fn may_touch_paths(&self) -> Result<(), Errno> {
        if self.confined { Err(Errno::ACCES) } else { Ok(()) }
    }
}

/// For whom everything is allowed.
static SUPERUSER: Identity = Identity::ROOT;

/// All file systems of a machine.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    inodes: SlotMap<InodeId, Inode>,
    next_ino: u64,
    filesystems: BTreeMap<u32, Filesystem>,
    next_fs: u32,
    namespaces: BTreeMap<u32, Namespace>,
    next_namespace: u32,
    /// Of the first file system.
    root: InodeId,
    console: InodeId,
    /// For footprints: drained, or cleared, after every step.
    pub(crate) touched: Vec<(Object, Access)>,
}

impl std::ops::Index<InodeId> for Tree {
    type Output = Inode;
    fn index(&self, id: InodeId) -> &Inode {
        self.inodes.get(id).expect("an inode lives as long as it has a name or is held")
    }
}

impl std::ops::IndexMut<InodeId> for Tree {
    fn index_mut(&mut self, id: InodeId) -> &mut Inode {
        self.inodes.get_mut(id).expect("an inode lives as long as it has a name or is held")
    }
}

impl Tree {
    /// `/`, `/dev/null`, `/dev/console`, `/run`, `/tmp`.
    pub(crate) fn new() -> Tree {
        let mut inodes = SlotMap::with_key();
        let root = inodes.insert_with_key(|root| Inode {
            fs: 0,
            ino: 1,
            mode: 0o755,
            uid: 0,
            gid: 0,
            nlink: 2,
            holds: 1,
            content: Content::directory(root),
        });
        let first = Filesystem {
            root,
            read_only: false,
            pages: 0,
            pages_max: PAGES_MAX,
            inodes: 1,
            inodes_max: INODES_MAX,
            holds: 1,
        };
        let mut tree = Tree {
            inodes,
            next_ino: 2,
            filesystems: BTreeMap::from([(0, first)]),
            next_fs: 1,
            namespaces: BTreeMap::from([(0, Namespace::default())]),
            next_namespace: 1,
            root,
            console: root,
            touched: Vec::new(),
        };
        let walker = tree.superuser();
        let mut make = |dir, name: &[u8], content, mode| {
            tree.create(&walker, dir, name, content, mode).expect("a new tree has room")
        };
        let dev = make(root, b"dev", Content::directory(root), 0o755);
        make(root, b"run", Content::directory(root), 0o755);
        make(root, b"tmp", Content::directory(root), 0o1777);
        make(dev, b"null", Content::Null, 0o666);
        tree.console = make(dev, b"console", Content::Console, 0o600);
        tree
    }

    /// The root of the first file system.
    pub(crate) fn root(&self) -> InodeId {
        self.root
    }

    /// A walker for whom everything is allowed.
    pub(crate) fn superuser(&self) -> Walker<'static> {
        let (cwd, root) = (self.root, self.root);
        Walker { who: &SUPERUSER, umask: 0, cwd, root, mounts: 0, confined: false }
    }

    pub(crate) fn console(&self) -> InodeId {
        self.console
    }

    /// Whether there is such an inode.
    pub(crate) fn has(&self, inode: InodeId) -> bool {
        self.inodes.contains_key(inode)
    }

    /// All inodes; in no order that means anything, but always the same one.
    pub(crate) fn inodes(&self) -> impl Iterator<Item = (InodeId, &Inode)> {
        self.inodes.iter()
    }

    /// The entries of a directory; ENOTDIR if it is none.
    pub(crate) fn entries(&self, dir: InodeId) -> Result<&Entries, Errno> {
        match &self[dir].content {
            Content::Directory { entries, .. } => Ok(entries),
            _ => Err(Errno::NOTDIR),
        }
    }

    fn entries_mut(&mut self, dir: InodeId) -> &mut Entries {
        self.touched.push((Object::Entries(dir), Access::Write));
        match &mut self[dir].content {
            Content::Directory { entries, .. } => Arc::make_mut(entries),
            _ => panic!("entries are made in directories"),
        }
    }

    /// The directory that a directory is in: itself for the root.
    pub(crate) fn parent(&self, dir: InodeId) -> InodeId {
        match self[dir].content {
            Content::Directory { parent, .. } => parent,
            _ => dir,
        }
    }

    /// Holds an inode, so that it stays without a name.
    pub(crate) fn hold(&mut self, inode: InodeId) {
        self[inode].holds += 1;
        let fs = self[inode].fs;
        self.space(fs).holds += 1;
    }

    /// Ends one hold; an inode without name and hold goes away.
    pub(crate) fn let_go(&mut self, inode: InodeId) {
        let fs = self[inode].fs;
        self.unhold(inode);
        self.let_filesystem_go(fs);
    }

    /// Ends a hold from inside the tree.
    fn unhold(&mut self, inode: InodeId) {
        self[inode].holds -= 1;
        self.free_unused(inode);
    }

    fn free_unused(&mut self, inode: InodeId) {
        let mut next = Some(inode);
        while let Some(id) = next.take() {
            let inode = &self[id];
            if inode.nlink > 0 || inode.holds > 0 {
                return;
            }
            let (is_directory, fs) = (inode.is_directory(), inode.fs);
            let pages = pages_of(self.bytes_of(id));
            let space = self.space(fs);
            space.pages -= pages;
            space.inodes -= 1;
            if is_directory {
                // It held the directory that it was in.
                let parent = self.parent(id);
                self[parent].holds -= 1;
                next = Some(parent);
            }
            self.inodes.remove(id);
        }
    }

    /// The paths of all inodes that `wanted` picks, as the first process sees them: of each the
    /// first, in the order of the names.
    pub(crate) fn paths(&self, wanted: impl Fn(InodeId) -> bool) -> BTreeMap<InodeId, Vec<u8>> {
        let walker = self.superuser();
        let mut found = BTreeMap::new();
        let mut todo = vec![(self.root, Vec::new())];
        while let Some((dir, path)) = todo.pop() {
            let Ok(entries) = self.entries(dir) else { continue };
            for (name, inode) in entries {
                let mut path = path.clone();
                path.push(b'/');
                path.extend_from_slice(name);
                let inode = self.enter(&walker, *inode);
                if wanted(inode) {
                    found.entry(inode).or_insert_with(|| path.clone());
                }
                if self[inode].is_directory() {
                    todo.push((inode, path));
                }
            }
        }
        if wanted(self.root) {
            found.insert(self.root, b"/".to_vec());
        }
        found
    }
}

/// Pages that contents take.
pub(crate) fn pages_of(bytes: &[u8]) -> u64 {
    (bytes.len() as u64).div_ceil(PAGE)
}
