//! Calls on paths.

use afunix::call::Stat;
use afunix::net::Fd;
use afunix::{Capabilities, Errno, OpenFlags, SegmentMut};

use super::super::file::{FileId, Kind};
use super::super::fs::{Content, Cursor, InodeId, Last, Walker, Want};
use super::super::process::{Numbered, Process};
use super::super::{Access, Cx, Machine, Object};

/// O_LARGEFILE, which every open of a 64-bit program has.
const LARGEFILE: i32 = 0o100000;
/// O_NOCTTY.
const NOCTTY: i32 = 0o400;
/// What open(2) knows; other bits are dropped.
const OPEN_FLAGS: i32 = 0o37777703;
/// Flags that only say how the file is opened, and that F_GETFL does not show.
const OPENING: OpenFlags = OpenFlags::CREAT
    .union(OpenFlags::EXCL)
    .union(OpenFlags::TRUNC)
    .union(OpenFlags::CLOEXEC)
    .union(OpenFlags::from_bits_retain(NOCTTY));
/// __O_TMPFILE: a file without a name, which this file system does not have.
const TMPFILE: i32 = 0o20000000;

/// The calling process as the file system sees it. Borrows the process table alone.
pub(super) fn walker(processes: &Numbered<Process>, cx: Cx) -> Walker<'_> {
    let process = processes.get(cx.pid.0).expect("a thread that makes calls is in a process");
    Walker {
        who: &process.identity,
        umask: process.umask,
        cwd: process.cwd,
        root: process.root,
        mounts: process.mounts,
        confined: process.confined,
    }
}

/// Where a process finds its own descriptors as files. Of /proc there are also the listings.
const OWN_DESCRIPTORS: &[u8] = b"/proc/self/fd/";

impl Machine {
    /// The file that a path of [`OWN_DESCRIPTORS`] leads to, whatever became of its name; ENOENT if
    /// the number is not open. `None`: it is another path.
    pub(super) fn own_file(&mut self, cx: Cx, path: &[u8]) -> Option<Result<FileId, Errno>> {
        let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
        if self.process(cx).root != self.tree.root() {
            return None;
        }
        let number = str::from_utf8(path[..end].strip_prefix(OWN_DESCRIPTORS)?).ok()?;
        let number: i32 =
            number.parse().ok().filter(|parsed: &i32| parsed.to_string() == number)?;
        self.touch(Object::Descriptor(cx.pid, number), Access::Read);
        let found = self.process(cx).descriptors.get(number);
        Some(found.map(|descriptor| descriptor.file).map_err(|_| Errno::NOENT))
    }

    /// The inode that a path leads to, the last link followed. ENXIO for what has none of its own.
    fn inode_at(&mut self, cx: Cx, path: &[u8]) -> Result<InodeId, Errno> {
        if let Some(file) = self.own_file(cx, path) {
            return self.files[file?].kind.inode().ok_or(Errno::NXIO);
        }
        self.tree.resolve(&walker(&self.processes, cx), path, true)
    }

    /// chown(2) of a socket's own inode, which fstat shows and bind does not look at (CREATE 9).
    fn chown_socket(&mut self, cx: Cx, file: FileId, uid: u32, gid: u32) -> Result<(), Errno> {
        let walker = walker(&self.processes, cx);
        let inode = &mut self.files[file].socket_inode;
        let keeps = |new: u32, old: u32| new == u32::MAX || new == old;
        let is_own = walker.who.fsuid == inode.uid;
        let may_gid = keeps(gid, inode.gid) || walker.who.in_group(gid);
        let is_allowed = is_own && keeps(uid, inode.uid) && may_gid;
        if !is_allowed && !walker.who.has(Capabilities::CHOWN) {
            return Err(Errno::PERM);
        }
        inode.uid = if uid == u32::MAX { inode.uid } else { uid };
        inode.gid = if gid == u32::MAX { inode.gid } else { gid };
        self.touch(Object::File(file), Access::Write);
        Ok(())
    }

    /// open(2).
    pub(super) fn open(
        &mut self,
        cx: Cx,
        path: &[u8],
        flags: OpenFlags,
        mode: u32,
    ) -> Result<usize, Errno> {
        let mut flags = OpenFlags::from_bits_retain(flags.bits() & OPEN_FLAGS);
        let handle = flags.contains(OpenFlags::PATH);
        if handle {
            let kept = OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW;
            flags &= kept | OpenFlags::CLOEXEC;
        }
        if flags.bits() & TMPFILE != 0 {
            return Err(Errno::OPNOTSUPP);
        }
        if flags.contains(OpenFlags::CREAT | OpenFlags::DIRECTORY) {
            return Err(Errno::INVAL);
        }
        Cursor::new(&walker(&self.processes, cx), path)?;
        self.room(cx, 1)?;
        let mode = mode & 0o7777 & !self.process(cx).umask;
        let (inode, made) = self.open_inode(cx, path, flags, mode)?;
        let kind = match &self.tree[inode].content {
            _ if handle => Kind::Path(inode),
            Content::Null => Kind::Null(inode),
            Content::Console => Kind::Console(inode),
            _ => Kind::Inode(inode),
        };
        if flags.contains(OpenFlags::TRUNC) && !made {
            self.tree.truncate(inode);
            let walker = walker(&self.processes, cx);
            self.tree.drop_powers(&walker, inode);
        }
        let large = if handle { 0 } else { LARGEFILE };
        let status = OpenFlags::from_bits_retain((flags - OPENING).bits() | large);
        let file = self.new_file(kind, status);
        self.install(cx, file, flags.contains(OpenFlags::CLOEXEC)).map(|number| number as usize)
    }

    /// Finds the inode of an open and checks what may be done with it, or makes it (`true`).
    fn open_inode(
        &mut self,
        cx: Cx,
        path: &[u8],
        flags: OpenFlags,
        mode: u32,
    ) -> Result<(InodeId, bool), Errno> {
        if let Some(file) = self.own_file(cx, path) {
            // CREATE 7: a socket cannot be opened so.
            let inode = self.files[file?].kind.inode().ok_or(Errno::NXIO)?;
            let inode = self.tree.read(inode);
            if flags.contains(OpenFlags::CREAT | OpenFlags::EXCL) {
                return Err(Errno::EXIST);
            }
            let walker = walker(&self.processes, cx);
            let dir = self.tree.root();
            self.tree.may_open(&walker, dir, inode, flags)?;
            return Ok((inode, false));
        }
        if let Some(text) = self.listing(cx, path) {
            return Ok((self.open_listing(cx, text?, flags)?, false));
        }
        if let Some(setting) = self.open_setting(cx, path, flags) {
            return Ok((setting?, false));
        }
        let walker = walker(&self.processes, cx);
        let creates = flags.contains(OpenFlags::CREAT);
        let exclusive = creates && flags.contains(OpenFlags::EXCL);
        // With O_EXCL a link is an entry like any other.
        let follow = !flags.contains(OpenFlags::NOFOLLOW) && !exclusive;
        let mut cursor = Cursor::new(&walker, path)?;
        let inode = loop {
            let (name, trailing) = match self.tree.walk_to_last(&walker, &mut cursor)? {
                Last::Root | Last::Dot => break cursor.dir,
                Last::DotDot => break self.tree.up(&walker, cursor.dir),
                Last::Name { name, trailing } => (name, trailing),
            };
            if creates && trailing {
                return Err(Errno::ISDIR);
            }
            let Some(inode) = self.tree.entry(cursor.dir, &name)? else {
                if !creates {
                    return Err(Errno::NOENT);
                }
                self.tree.may_change(cursor.dir)?;
                let content = Content::Regular(Default::default());
                // Who makes a file may use it as asked for, whatever its mode.
                let made = self.tree.create(&walker, cursor.dir, &name, content, mode);
                return made.map(|inode| (inode, true));
            };
            match &self.tree[inode].content {
                Content::Symlink(target) if follow || trailing => {
                    cursor.follow(target, trailing)?
                }
                Content::Directory { .. } => break self.tree.enter(&walker, inode),
                _ if trailing => return Err(Errno::NOTDIR),
                _ => break inode,
            }
        };
        let inode = self.tree.read(inode);
        if exclusive {
            return Err(Errno::EXIST);
        }
        self.tree.may_open(&walker, cursor.dir, inode, flags)?;
        Ok((inode, false))
    }

    pub(super) fn mkdir(&mut self, cx: Cx, path: &[u8], mode: u32) -> Result<usize, Errno> {
        let walker = walker(&self.processes, cx);
        self.tree.mkdir(&walker, path, mode).map(|()| 0)
    }

    pub(super) fn rmdir(&mut self, cx: Cx, path: &[u8]) -> Result<usize, Errno> {
        let walker = walker(&self.processes, cx);
        self.tree.rmdir(&walker, path).map(|()| 0)
    }

    pub(super) fn unlink(&mut self, cx: Cx, path: &[u8]) -> Result<usize, Errno> {
        let walker = walker(&self.processes, cx);
        self.tree.unlink(&walker, path).map(|()| 0)
    }

    pub(super) fn rename(&mut self, cx: Cx, old: &[u8], new: &[u8]) -> Result<usize, Errno> {
        let walker = walker(&self.processes, cx);
        self.tree.rename(&walker, old, new).map(|()| 0)
    }

    pub(super) fn link(&mut self, cx: Cx, old: &[u8], new: &[u8]) -> Result<usize, Errno> {
        let walker = walker(&self.processes, cx);
        self.tree.link(&walker, old, new).map(|()| 0)
    }

    pub(super) fn symlink(&mut self, cx: Cx, target: &[u8], path: &[u8]) -> Result<usize, Errno> {
        let walker = walker(&self.processes, cx);
        self.tree.symlink(&walker, target, path).map(|()| 0)
    }

    pub(super) fn chmod(&mut self, cx: Cx, path: &[u8], mode: u32) -> Result<usize, Errno> {
        let inode = self.inode_at(cx, path)?;
        let walker = walker(&self.processes, cx);
        self.tree.chmod(&walker, inode, mode).map(|()| 0)
    }

    pub(super) fn chown(
        &mut self,
        cx: Cx,
        path: &[u8],
        uid: u32,
        gid: u32,
    ) -> Result<usize, Errno> {
        if let Some(Ok(file)) = self.own_file(cx, path)
            && let Kind::Socket(_) = self.files[file].kind
        {
            return self.chown_socket(cx, file, uid, gid).map(|()| 0);
        }
        let inode = self.inode_at(cx, path)?;
        let walker = walker(&self.processes, cx);
        self.tree.chown(&walker, inode, uid, gid).map(|()| 0)
    }

    /// stat(2), or lstat(2) unless `follow`.
    pub(super) fn stat(
        &mut self,
        cx: Cx,
        path: &[u8],
        follow: bool,
        stat: &mut Stat,
    ) -> Result<usize, Errno> {
        let walker = walker(&self.processes, cx);
        let inode = self.tree.resolve(&walker, path, follow)?;
        *stat = self.tree.stat(inode);
        Ok(0)
    }

    /// readlink(2): as many bytes of the target as fit. EINVAL for what is no link, EFAULT.
    pub(super) fn readlink(
        &mut self,
        cx: Cx,
        path: &[u8],
        data: &mut SegmentMut<'_>,
    ) -> Result<usize, Errno> {
        if data.is_empty() {
            return Err(Errno::INVAL);
        }
        let target: Vec<u8> = match self.own_file(cx, path) {
            Some(file) => self.descriptor_text(file?),
            None => {
                let walker = walker(&self.processes, cx);
                let inode = self.tree.resolve(&walker, path, false)?;
                let Content::Symlink(target) = &self.tree[inode].content else {
                    return Err(Errno::INVAL);
                };
                target.to_vec()
            }
        };
        let SegmentMut::Bytes(buffer) = data else { return Err(Errno::FAULT) };
        let len = target.len().min(buffer.len());
        buffer[..len].copy_from_slice(&target[..len]);
        Ok(len)
    }

    /// What a link of [`OWN_DESCRIPTORS`] reads as.
    fn descriptor_text(&self, file: FileId) -> Vec<u8> {
        let inode = match self.files[file].kind {
            Kind::Socket(socket) => {
                return format!("socket:[{}]", self.sockets.id(socket)).into();
            }
            Kind::Pipe(pipe) => return format!("pipe:[{}]", self.pipes[pipe].ino()).into(),
            Kind::Eventfd(_) => return b"anon_inode:[eventfd]".to_vec(),
            Kind::Epoll(_) => return b"anon_inode:[eventpoll]".to_vec(),
            Kind::Process(_) => return b"anon_inode:[pidfd]".to_vec(),
            Kind::Inode(inode) | Kind::Null(inode) | Kind::Console(inode) | Kind::Path(inode) => {
                inode
            }
        };
        let path = self.tree.paths(|other| other == inode).remove(&inode);
        path.unwrap_or_else(|| b"(deleted)".to_vec())
    }

    /// chdir(2).
    pub(super) fn chdir(&mut self, cx: Cx, path: &[u8]) -> Result<usize, Errno> {
        let inode = self.inode_at(cx, path)?;
        self.change_directory(cx, inode)
    }

    /// fchdir(2).
    pub(super) fn fchdir(&mut self, cx: Cx, fd: Fd<'_>) -> Result<usize, Errno> {
        let file = self.any_file_of(cx, fd)?;
        let inode = self.files[file].kind.inode().ok_or(Errno::NOTDIR)?;
        self.change_directory(cx, inode)
    }

    /// chroot(2). In order: what the path says, ENOTDIR, EACCES, EPERM.
    pub(super) fn chroot(&mut self, cx: Cx, path: &[u8]) -> Result<usize, Errno> {
        let inode = self.inode_at(cx, path)?;
        self.may_stand_in(cx, inode)?;
        self.process(cx).identity.needs(Capabilities::SYS_CHROOT)?;
        self.tree.hold(inode);
        let old = std::mem::replace(&mut self.process_mut(cx).root, inode);
        self.tree.let_go(old);
        self.touch_settings(cx);
        Ok(0)
    }

    /// ENOTDIR, EACCES.
    fn may_stand_in(&self, cx: Cx, inode: InodeId) -> Result<(), Errno> {
        if !self.tree[inode].is_directory() {
            return Err(Errno::NOTDIR);
        }
        walker(&self.processes, cx).may(&self.tree[inode], Want::SEARCH)
    }

    fn change_directory(&mut self, cx: Cx, inode: InodeId) -> Result<usize, Errno> {
        self.may_stand_in(cx, inode)?;
        self.tree.hold(inode);
        let old = std::mem::replace(&mut self.process_mut(cx).cwd, inode);
        self.tree.let_go(old);
        self.touch_settings(cx);
        Ok(0)
    }
}
