//! From a path to an inode.
//!
//! A [`Cursor`] stands in a directory with the rest of a path before it. Every component needs the
//! right to search the directory; a symbolic link is followed by putting its target in front of the
//! rest.

use std::borrow::Cow;

use afunix::Errno;

use super::super::{Access, Object};
use super::{Content, InodeId, Tree, Walker, Want};

/// Bytes of a path, with its NUL, at most (PATH_MAX of limits.h).
const PATH_MAX: usize = 4096;
/// Bytes of a component, at most.
const NAME_MAX: usize = 255;
/// Symbolic links that one walk follows, at most.
const LINKS_MAX: u32 = 40;

/// The last component of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// A name; `trailing`: slashes come behind it.
    Name { name: Vec<u8>, trailing: bool },
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// There is none: the path is slashes alone.
    Root,
}

/// A walk under way.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'p> {
    /// Where it stands.
    pub(crate) dir: InodeId,
    rest: Cow<'p, [u8]>,
    /// How far `rest` is consumed.
    at: usize,
    links: u32,
    /// The directories that were searched.
    trail: Vec<InodeId>,
}

impl<'p> Cursor<'p> {
    /// A walk of `path`, which ends at its first NUL: ENOENT if it is empty, ENAMETOOLONG if it is
    /// too long.
    pub(crate) fn new(walker: &Walker<'_>, path: &'p [u8]) -> Result<Cursor<'p>, Errno> {
        let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
        match end {
            0 => Err(Errno::NOENT),
            PATH_MAX.. => Err(Errno::NAMETOOLONG),
            _ => {
                let rest = Cow::Borrowed(&path[..end]);
                Ok(Cursor { dir: walker.cwd, rest, at: 0, links: 0, trail: Vec::new() })
            }
        }
    }

    /// Walks up to the last component, and says what it is.
    pub(crate) fn walk(&mut self, tree: &Tree, walker: &Walker<'_>) -> Result<Last, Errno> {
        loop {
            if self.at == 0 && self.rest.starts_with(b"/") {
                self.dir = walker.root;
            }
            self.at += self.rest[self.at..].iter().take_while(|byte| **byte == b'/').count();
            let left = &self.rest[self.at..];
            if left.is_empty() {
                return Ok(Last::Root);
            }
            self.trail.push(self.dir);
            walker.may(&tree[self.dir], Want::SEARCH)?;
            let len = left.iter().position(|byte| *byte == b'/').unwrap_or(left.len());
            let slashes = left[len..].iter().take_while(|byte| **byte == b'/').count();
            let name = &left[..len];
            if len + slashes == left.len() {
                self.at = self.rest.len();
                return Ok(match &self.rest[self.rest.len() - len - slashes..][..len] {
                    b"." => Last::Dot,
                    b".." => Last::DotDot,
                    name => Last::Name { name: name.to_vec(), trailing: slashes > 0 },
                });
            }
            let next = match name {
                b"." => self.dir,
                b".." => tree.up(walker, self.dir),
                name => tree.entry(self.dir, name)?.ok_or(Errno::NOENT)?,
            };
            self.at += len + slashes;
            match &tree[next].content {
                Content::Directory { .. } => self.dir = tree.enter(walker, next),
                Content::Symlink(target) => self.follow(target, true)?,
                _ => return Err(Errno::NOTDIR),
            }
        }
    }

    /// Puts the target of a link in front of the rest; `slash`: with a slash between. ELOOP after
    /// 40.
    pub(crate) fn follow(&mut self, target: &[u8], slash: bool) -> Result<(), Errno> {
        if self.links == LINKS_MAX {
            return Err(Errno::LOOP);
        }
        self.links += 1;
        let mut rest = target.to_vec();
        if slash {
            rest.push(b'/');
        }
        rest.extend_from_slice(&self.rest[self.at..]);
        self.rest = Cow::Owned(rest);
        self.at = 0;
        Ok(())
    }
}

impl Tree {
    /// The inode of an entry, if there is one; ENAMETOOLONG for a name that cannot be one, unless
    /// the directory was removed.
    pub(crate) fn entry(&self, dir: InodeId, name: &[u8]) -> Result<Option<InodeId>, Errno> {
        if self[dir].is_dead_directory() {
            return Ok(None);
        }
        if name.len() > NAME_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        Ok(self.entries(dir)?.get(name).copied())
    }

    /// [`Tree::entry`], with the inode that was found noted for the footprint: its owner and mode
    /// decide about what is done to it.
    pub(crate) fn look_up(&mut self, dir: InodeId, name: &[u8]) -> Result<Option<InodeId>, Errno> {
        let found = self.entry(dir, name)?;
        Ok(found.map(|inode| self.read(inode)))
    }

    /// The inode of a path. A symbolic link at its end is followed if `follow`, or if slashes come
    /// behind it.
    pub(crate) fn resolve(
        &mut self,
        walker: &Walker<'_>,
        path: &[u8],
        follow: bool,
    ) -> Result<InodeId, Errno> {
        let mut cursor = Cursor::new(walker, path)?;
        loop {
            let (name, trailing) = match self.walk_to_last(walker, &mut cursor)? {
                Last::Root | Last::Dot => return Ok(self.read(cursor.dir)),
                Last::DotDot => return Ok(self.read(self.up(walker, cursor.dir))),
                Last::Name { name, trailing } => (name, trailing),
            };
            let inode = self.entry(cursor.dir, &name)?.ok_or(Errno::NOENT)?;
            match &self[inode].content {
                Content::Symlink(target) if follow || trailing => {
                    cursor.follow(target, trailing)?
                }
                Content::Directory { .. } => return Ok(self.read(self.enter(walker, inode))),
                _ if trailing => return Err(Errno::NOTDIR),
                _ => return Ok(self.read(inode)),
            }
        }
    }

    /// The directory and the last component of a path, for calls that make or remove entries.
    pub(crate) fn resolve_parent(
        &mut self,
        walker: &Walker<'_>,
        path: &[u8],
    ) -> Result<(InodeId, Last), Errno> {
        let mut cursor = Cursor::new(walker, path)?;
        let last = self.walk_to_last(walker, &mut cursor)?;
        Ok((cursor.dir, last))
    }

    /// [`Cursor::walk`], with what it read noted for the footprint.
    pub(crate) fn walk_to_last(
        &mut self,
        walker: &Walker<'_>,
        cursor: &mut Cursor<'_>,
    ) -> Result<Last, Errno> {
        let last = cursor.walk(self, walker);
        self.touched.push((Object::Mounts, Access::Read));
        for dir in cursor.trail.drain(..) {
            self.touched.push((Object::Inode(dir), Access::Read));
            self.touched.push((Object::Entries(dir), Access::Read));
        }
        last
    }

    /// Notes an inode for the footprint: what it is, and its owner and mode.
    pub(crate) fn read(&mut self, inode: InodeId) -> InodeId {
        self.touched.push((Object::Inode(inode), Access::Read));
        inode
    }
}
