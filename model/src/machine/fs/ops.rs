//! Making and removing entries, and changing inodes. The order of the checks is the kernel's.

use std::sync::Arc;

use afunix::call::Stat;
use afunix::{Capabilities, Errno, OpenFlags};

use super::super::{Access, Object};
use super::{
    Content, Inode, InodeId, Last, PAGE, S_ISGID, S_ISUID, S_ISVTX, Tree, Walker, Want, pages_of,
};

/// Bytes of a symbolic link's target, at most (with its NUL, PATH_MAX).
const TARGET_MAX: usize = 4095;
/// Largest offset of a file: s_maxbytes.
const OFFSET_MAX: u64 = i64::MAX as u64;

impl Tree {
    /// Makes an entry with a new inode in a directory in which the name is free. ENOENT if the
    /// directory was removed, EACCES if it may not be changed, ENOSPC. `mode` has been masked
    /// already.
    pub(crate) fn create(
        &mut self,
        walker: &Walker<'_>,
        dir: InodeId,
        name: &[u8],
        content: Content,
        mode: u32,
    ) -> Result<InodeId, Errno> {
        self.may_create(walker, dir)?;
        let parent = &self[dir];
        let (mut mode, is_directory) = (mode, matches!(content, Content::Directory { .. }));
        let inherits_group = parent.mode & S_ISGID != 0;
        let gid = if inherits_group { parent.gid } else { walker.who.fsgid };
        if inherits_group && is_directory {
            mode |= S_ISGID;
        } else if inherits_group && mode & (S_ISGID | 0o010) == S_ISGID | 0o010 {
            // A program that runs as the group is not made by a stranger to it.
            if !walker.has_group(gid) {
                mode &= !S_ISGID;
            }
        }
        let nlink = if is_directory { 2 } else { 1 };
        let (fs, uid) = (parent.fs, walker.who.fsuid);
        let inode = Inode { fs, ino: 0, mode, uid, gid, nlink, holds: 0, content };
        let inode = self.new_inode(inode)?;
        self.touched.push((Object::Inode(inode), Access::Write));
        self.entries_mut(dir).insert(name.into(), inode);
        if is_directory {
            self[dir].nlink += 1;
            // So that `..` works in a removed directory.
            self[dir].holds += 1;
        }
        Ok(inode)
    }

    /// A file of `mode` and without a name, in the first file system; it goes away unless it is
    /// held. ENOSPC.
    pub(crate) fn unnamed(&mut self, content: Content, mode: u32) -> Result<InodeId, Errno> {
        let fs = 0;
        let pages = match &content {
            Content::Regular(bytes) => pages_of(bytes),
            _ => 0,
        };
        let space = self.space(fs);
        if space.pages + pages > space.pages_max {
            return Err(Errno::NOSPC);
        }
        let inode = Inode { fs, ino: 0, mode, uid: 0, gid: 0, nlink: 0, holds: 0, content };
        let inode = self.new_inode(inode)?;
        self.space(fs).pages += pages;
        Ok(inode)
    }

    fn new_inode(&mut self, inode: Inode) -> Result<InodeId, Errno> {
        self.take_inode(inode.fs)?;
        let ino = self.next_ino;
        self.next_ino += 1;
        Ok(self.inodes.insert(Inode { ino, ..inode }))
    }

    pub(super) fn may_create(&self, walker: &Walker<'_>, dir: InodeId) -> Result<(), Errno> {
        if self[dir].is_dead_directory() {
            return Err(Errno::NOENT);
        }
        walker.may(&self[dir], Want::CHANGE)?;
        walker.may_touch_paths()
    }

    /// Whether an entry may be removed: EACCES, EPERM in a sticky directory, then ENOTDIR and
    /// EISDIR.
    pub(super) fn may_delete(
        &self,
        walker: &Walker<'_>,
        dir: InodeId,
        victim: InodeId,
        as_directory: bool,
    ) -> Result<(), Errno> {
        walker.may(&self[dir], Want::CHANGE)?;
        let (parent, inode) = (&self[dir], &self[victim]);
        let owns = walker.owns(parent) || walker.acts_as_owner(inode);
        if parent.mode & S_ISVTX != 0 && !owns {
            return Err(Errno::PERM);
        }
        match (as_directory, inode.is_directory()) {
            (true, false) => Err(Errno::NOTDIR),
            (false, true) => Err(Errno::ISDIR),
            _ => Ok(()),
        }
    }

    /// The directory and the free name that a call makes an entry under: EEXIST if there is one;
    /// ENOENT for a name with slashes behind it, unless it is to be a directory; then EROFS.
    pub(crate) fn free_name(
        &mut self,
        walker: &Walker<'_>,
        path: &[u8],
        for_directory: bool,
    ) -> Result<(InodeId, Vec<u8>), Errno> {
        let (dir, last) = self.resolve_parent(walker, path)?;
        let Last::Name { name, trailing } = last else { return Err(Errno::EXIST) };
        if self[dir].is_dead_directory() {
            return Err(Errno::NOENT);
        }
        match self.look_up(dir, &name)? {
            Some(_) => Err(Errno::EXIST),
            None if trailing && !for_directory => Err(Errno::NOENT),
            None => self.may_change(dir).map(|()| (dir, name)),
        }
    }

    /// mkdir(2).
    pub(crate) fn mkdir(
        &mut self,
        walker: &Walker<'_>,
        path: &[u8],
        mode: u32,
    ) -> Result<(), Errno> {
        let (dir, name) = self.free_name(walker, path, true)?;
        let mode = mode & (0o777 | S_ISVTX) & !walker.umask;
        self.create(walker, dir, &name, Content::directory(dir), mode).map(drop)
    }

    /// symlink(2).
    pub(crate) fn symlink(
        &mut self,
        walker: &Walker<'_>,
        target: &[u8],
        path: &[u8],
    ) -> Result<(), Errno> {
        let end = target.iter().position(|byte| *byte == 0).unwrap_or(target.len());
        match end {
            0 => return Err(Errno::NOENT),
            1..=TARGET_MAX => {}
            _ => return Err(Errno::NAMETOOLONG),
        }
        let (dir, name) = self.free_name(walker, path, false)?;
        let content = Content::Symlink(target[..end].into());
        self.create(walker, dir, &name, content, 0o777).map(drop)
    }

    /// link(2): a symbolic link is not followed.
    pub(crate) fn link(
        &mut self,
        walker: &Walker<'_>,
        old: &[u8],
        new: &[u8],
    ) -> Result<(), Errno> {
        let inode = self.resolve(walker, old, false)?;
        let (dir, name) = self.free_name(walker, new, false)?;
        if self[inode].fs != self[dir].fs {
            return Err(Errno::XDEV);
        }
        self.may_link(walker, inode)?;
        self.may_create(walker, dir)?;
        if self[inode].is_directory() {
            return Err(Errno::PERM);
        }
        if self[inode].nlink == 0 {
            return Err(Errno::NOENT);
        }
        self.take_inode(self[inode].fs)?;
        self[inode].nlink += 1;
        self.entries_mut(dir).insert(name.into(), inode);
        Ok(())
    }

    /// fs.protected_hardlinks: a stranger links only regular files that it may read and write
    /// anyway.
    fn may_link(&self, walker: &Walker<'_>, inode: InodeId) -> Result<(), Errno> {
        let inode = &self[inode];
        let runs_as_group = inode.mode & (S_ISGID | 0o010) == S_ISGID | 0o010;
        let is_safe = matches!(inode.content, Content::Regular(_))
            && inode.mode & S_ISUID == 0
            && !runs_as_group
            && walker.may(inode, Want(4 | 2)).is_ok();
        if is_safe || walker.acts_as_owner(inode) {
            return Ok(());
        }
        Err(Errno::PERM)
    }

    /// unlink(2).
    pub(crate) fn unlink(&mut self, walker: &Walker<'_>, path: &[u8]) -> Result<(), Errno> {
        let (dir, last) = self.resolve_parent(walker, path)?;
        let Last::Name { name, trailing } = last else { return Err(Errno::ISDIR) };
        self.may_change(dir)?;
        let inode = self.look_up(dir, &name)?.ok_or(Errno::NOENT)?;
        if trailing {
            return Err(if self[inode].is_directory() { Errno::ISDIR } else { Errno::NOTDIR });
        }
        self.may_delete(walker, dir, inode, false)?;
        walker.may_touch_paths()?;
        self.remove_entry(dir, &name);
        Ok(())
    }

    /// rmdir(2).
    pub(crate) fn rmdir(&mut self, walker: &Walker<'_>, path: &[u8]) -> Result<(), Errno> {
        let (dir, last) = self.resolve_parent(walker, path)?;
        let name = match last {
            Last::Name { name, .. } => name,
            Last::Dot => return Err(Errno::INVAL),
            Last::DotDot => return Err(Errno::NOTEMPTY),
            Last::Root => return Err(Errno::BUSY),
        };
        self.may_change(dir)?;
        let inode = self.look_up(dir, &name)?.ok_or(Errno::NOENT)?;
        self.may_delete(walker, dir, inode, true)?;
        walker.may_touch_paths()?;
        if self.is_covered(walker, inode) {
            return Err(Errno::BUSY);
        }
        if !self.entries(inode)?.is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        self.remove_entry(dir, &name);
        Ok(())
    }

    /// Takes an entry out of a directory, and a name from its inode.
    pub(crate) fn remove_entry(&mut self, dir: InodeId, name: &[u8]) {
        let inode = self.entries_mut(dir).remove(name).expect("an entry that is removed is there");
        if self[inode].is_directory() {
            self[inode].nlink = 0;
            self[dir].nlink -= 1;
            self.uncover(inode);
        } else {
            self[inode].nlink -= 1;
            if self[inode].nlink > 0 {
                let fs = self[inode].fs;
                self.space(fs).inodes -= 1;
            }
        }
        self.free_unused(inode);
    }

    /// chmod(2) of an inode.
    pub(crate) fn chmod(
        &mut self,
        walker: &Walker<'_>,
        id: InodeId,
        mode: u32,
    ) -> Result<(), Errno> {
        self.may_change(id)?;
        let inode = &self[id];
        if !walker.acts_as_owner(inode) {
            return Err(Errno::PERM);
        }
        let mut mode = mode & 0o7777;
        if !walker.has_group(inode.gid) {
            mode &= !S_ISGID;
        }
        self[id].mode = mode;
        self.touched.push((Object::Inode(id), Access::Write));
        Ok(())
    }

    /// chown(2) of an inode; `u32::MAX` leaves an id as it is.
    pub(crate) fn chown(
        &mut self,
        walker: &Walker<'_>,
        id: InodeId,
        uid: u32,
        gid: u32,
    ) -> Result<(), Errno> {
        self.may_change(id)?;
        let inode = &self[id];
        let owns = walker.owns(inode);
        let uid_allowed = uid == u32::MAX || (owns && uid == inode.uid);
        let is_own_group = walker.who.in_group(gid) || gid == inode.gid;
        let gid_allowed = gid == u32::MAX || (owns && is_own_group);
        let is_allowed = uid_allowed && gid_allowed;
        if !is_allowed && !walker.who.has(Capabilities::CHOWN) {
            return Err(Errno::PERM);
        }
        // Who gives a program away does not give away the ids that it runs with.
        let stranger = !walker.has_group(inode.gid);
        let mode = match inode.is_directory() {
            true => inode.mode,
            false => without_ids(inode.mode, stranger),
        };
        if mode != inode.mode && !walker.acts_as_owner(inode) {
            return Err(Errno::PERM);
        }
        self.touched.push((Object::Inode(id), Access::Write));
        let inode = &mut self[id];
        inode.mode = mode;
        if uid != u32::MAX {
            inode.uid = uid;
        }
        if gid != u32::MAX {
            inode.gid = gid;
        }
        Ok(())
    }

    /// Bytes of a regular file; none for anything else.
    pub(crate) fn bytes_of(&self, inode: InodeId) -> &[u8] {
        match &self[inode].content {
            Content::Regular(bytes) => bytes,
            _ => &[],
        }
    }

    /// Empties a regular file; does nothing to anything else.
    pub(crate) fn truncate(&mut self, inode: InodeId) {
        self.touched.push((Object::Inode(inode), Access::Write));
        if let Content::Regular(bytes) = &mut self[inode].content {
            let pages = pages_of(bytes);
            *bytes = Arc::default();
            let fs = self[inode].fs;
            self.space(fs).pages -= pages;
        }
    }

    /// Writes into a regular file at `offset`; a gap is filled with zeros. EFBIG beyond the largest
    /// offset, ENOSPC beyond what the file system takes. Returns the bytes written.
    pub(crate) fn write_at(
        &mut self,
        id: InodeId,
        offset: u64,
        data: &[u8],
    ) -> Result<usize, Errno> {
        if data.is_empty() {
            return Ok(0);
        }
        if offset >= OFFSET_MAX {
            return Err(Errno::FBIG);
        }
        let room_here = usize::try_from(OFFSET_MAX - offset).unwrap_or(usize::MAX);
        let data = &data[..data.len().min(room_here)];
        let (fs, old) = (self[id].fs, self[id].size());
        let pages = old.div_ceil(PAGE);
        let space = self.space(fs);
        // What fits is written.
        let room = (pages + space.pages_max - space.pages).saturating_mul(PAGE);
        if room <= offset {
            return Err(Errno::NOSPC);
        }
        let end = room.min(offset + data.len() as u64);
        let data = &data[..(end - offset) as usize];
        let grown = end.saturating_sub(old);
        space.pages += end.div_ceil(PAGE).saturating_sub(pages);
        if let Content::Regular(bytes) = &mut self[id].content {
            let bytes = Arc::make_mut(bytes);
            if grown > 0 {
                bytes.resize(end as usize, 0);
            }
            bytes[offset as usize..end as usize].copy_from_slice(data);
        }
        Ok(data.len())
    }

    /// As chown does, a stranger's write takes from a program the ids that it runs with.
    pub(crate) fn drop_powers(&mut self, walker: &Walker<'_>, id: InodeId) {
        let inode = &mut self[id];
        let keeps = walker.who.has(Capabilities::FSETID);
        if matches!(inode.content, Content::Regular(_)) && !keeps {
            inode.mode = without_ids(inode.mode, !walker.who.in_group(inode.gid));
        }
    }

    /// Whether open(2) may open an inode, which is in `dir`: EISDIR, ENOTDIR, ELOOP, EACCES, ENXIO.
    pub(crate) fn may_open(
        &self,
        walker: &Walker<'_>,
        dir: InodeId,
        id: InodeId,
        flags: OpenFlags,
    ) -> Result<(), Errno> {
        let inode = &self[id];
        let wants_directory = flags.contains(OpenFlags::DIRECTORY);
        if flags.contains(OpenFlags::CREAT) {
            if inode.is_directory() {
                return Err(Errno::ISDIR);
            }
            self.may_create_over(walker, dir, id)?;
        }
        if wants_directory && !inode.is_directory() {
            return Err(Errno::NOTDIR);
        }
        if flags.contains(OpenFlags::PATH) {
            return Ok(());
        }
        let mut want = match flags.bits() & 3 {
            0 => Want::READ,
            1 => Want::WRITE,
            _ => Want(4 | 2),
        };
        if flags.contains(OpenFlags::TRUNC) {
            want = Want(want.0 | Want::WRITE.0);
        }
        match &inode.content {
            Content::Symlink(_) => return Err(Errno::LOOP),
            Content::Directory { .. } if want.0 & Want::WRITE.0 != 0 => return Err(Errno::ISDIR),
            _ => {}
        }
        self.may(walker, id, want)?;
        if matches!(inode.content, Content::Socket) {
            // CREATE 7
            return Err(Errno::NXIO);
        }
        walker.may_touch_paths()
    }

    /// EACCES unless all of `want` is allowed; EROFS before it for writing, but for what is only
    /// named in the file system.
    pub(crate) fn may(&self, walker: &Walker<'_>, id: InodeId, want: Want) -> Result<(), Errno> {
        let inode = &self[id];
        let is_inside = match inode.content {
            Content::Regular(_) | Content::Directory { .. } | Content::Symlink(_) => true,
            Content::Socket | Content::QueueLength { .. } | Content::Null | Content::Console => {
                false
            }
        };
        if is_inside && want.0 & Want::WRITE.0 != 0 {
            self.may_change(id)?;
        }
        walker.may(inode, want)
    }

    /// What is neither a regular file nor the caller's is not opened by O_CREAT in a sticky
    /// directory that everybody may write to: another may have put it there to be mistaken for a
    /// new file.
    fn may_create_over(&self, walker: &Walker<'_>, dir: InodeId, id: InodeId) -> Result<(), Errno> {
        let (dir, inode) = (&self[dir], &self[id]);
        let is_shared = dir.mode & S_ISVTX != 0 && dir.mode & 0o002 != 0;
        let is_trusted = inode.uid == dir.uid || walker.owns(inode);
        let is_regular = matches!(inode.content, Content::Regular(_));
        if is_shared && !is_trusted && !is_regular { Err(Errno::ACCES) } else { Ok(()) }
    }

    /// stat(2) of an inode.
    pub(crate) fn stat(&self, inode: InodeId) -> Stat {
        self[inode].stat()
    }
}

/// A mode without set-user-ID and, where it means the group of a program or the caller is a
/// stranger to the group, without set-group-ID.
fn without_ids(mode: u32, stranger: bool) -> u32 {
    let drops_group = mode & 0o010 != 0 || stranger;
    mode & !S_ISUID & if drops_group { !S_ISGID } else { !0 }
}
