//! Calls on descriptors of any kind.

use afunix::call::{DirEntry, Fcntl, Stat};
use afunix::net::Fd;
use afunix::options::{FIONBIO, SIOCATMARK, SIOCINQ, SIOCOUTQ, SIOCUNIXFILE};
use afunix::{Capabilities, Errno, OpenFlags};

use super::super::descriptors::Descriptor;
use super::super::file::{FileId, Kind};
use super::super::fs::{ANONYMOUS_DEVICE, SOCKET_DEVICE};
use super::super::{Access, Cx, Machine, Object};

/// O_CLOEXEC, the one flag of dup3.
const CLOEXEC: i32 = OpenFlags::CLOEXEC.bits();
/// FD_CLOEXEC.
const FD_CLOEXEC: i32 = 1;
/// O_DIRECT.
const DIRECT: i32 = 0o40000;
/// O_NOATIME.
const NOATIME: i32 = 0o1000000;
/// O_ASYNC.
const ASYNC: i32 = OpenFlags::ASYNC.bits();
/// What F_SETFL changes.
const SETFL: i32 = OpenFlags::APPEND.bits() | OpenFlags::NONBLOCK.bits() | DIRECT | NOATIME | ASYNC;
/// What fstat shows of files that stand for no inode of their own.
const ANONYMOUS: Stat = Stat {
    dev: ANONYMOUS_DEVICE,
    ino: 1,
    mode: 0o600,
    nlink: 1,
    uid: 0,
    gid: 0,
    size: 0,
    blksize: 4096,
};
/// Where a directory's offset stands when its entries have been read: where lseek cannot move it.
const END_OF_DIRECTORY: u64 = u64::MAX;

impl Machine {
    /// dup(2), and F_DUPFD with its least number.
    pub(super) fn dup(
        &mut self,
        cx: Cx,
        fd: Fd<'_>,
        least: i32,
        cloexec: bool,
    ) -> Result<usize, Errno> {
        let file = self.any_file_of(cx, fd)?;
        self.touch(Object::Numbers(cx.pid), Access::Write);
        let descriptor = Descriptor::of(&self.files, file, cloexec);
        let process = self.process_mut(cx);
        let limit = process.limits.descriptors;
        let number = process.descriptors.insert(descriptor, least, limit)?;
        self.files[file].references += 1;
        self.touch(Object::Descriptor(cx.pid, number), Access::Write);
        Ok(number as usize)
    }

    /// dup2(2).
    pub(super) fn dup2(&mut self, cx: Cx, fd: Fd<'_>, new: i32) -> Result<usize, Errno> {
        if fd.number() == new {
            self.any_file_of(cx, fd)?;
            return Ok(new as usize);
        }
        self.replace(cx, fd, new, false)
    }

    /// dup3(2).
    pub(super) fn dup3(
        &mut self,
        cx: Cx,
        fd: Fd<'_>,
        new: i32,
        flags: i32,
    ) -> Result<usize, Errno> {
        if flags & !CLOEXEC != 0 || fd.number() == new {
            return Err(Errno::INVAL);
        }
        self.replace(cx, fd, new, flags & CLOEXEC != 0)
    }

    fn replace(&mut self, cx: Cx, fd: Fd<'_>, new: i32, cloexec: bool) -> Result<usize, Errno> {
        let limit = self.process(cx).limits.descriptors;
        if new < 0 || new as u32 >= limit {
            return Err(Errno::BADF);
        }
        let file = self.any_file_of(cx, fd)?;
        if self.process(cx).descriptors.is_reserved(new) {
            // Another thread's accept will put its connection there.
            return Err(Errno::BUSY);
        }
        self.files[file].references += 1;
        self.touch(Object::Numbers(cx.pid), Access::Write);
        self.touch(Object::Descriptor(cx.pid, new), Access::Write);
        let descriptor = Descriptor::of(&self.files, file, cloexec);
        let old = self.process_mut(cx).descriptors.put(new, descriptor);
        if let Some(old) = old {
            self.drop_reference(old.file);
        }
        Ok(new as usize)
    }

    /// fcntl(2).
    pub(super) fn fcntl(&mut self, cx: Cx, fd: Fd<'_>, command: Fcntl) -> Result<usize, Errno> {
        let file = self.any_file_of(cx, fd)?;
        match command {
            Fcntl::Dupfd(least) | Fcntl::DupfdCloexec(least) => {
                if least < 0 || least as u32 >= self.process(cx).limits.descriptors {
                    return Err(Errno::INVAL);
                }
                self.dup(cx, fd, least, matches!(command, Fcntl::DupfdCloexec(_)))
            }
            Fcntl::Getfd => Ok(self.process(cx).descriptors.get(fd.number())?.cloexec as usize),
            Fcntl::Setfd(flags) => {
                self.touch(Object::Descriptor(cx.pid, fd.number()), Access::Write);
                let cloexec = flags & FD_CLOEXEC != 0;
                self.process_mut(cx).descriptors.set_cloexec(fd.number(), cloexec)?;
                Ok(0)
            }
            Fcntl::Getfl => {
                self.touch(Object::File(file), Access::Read);
                Ok(self.files[file].status.bits() as usize)
            }
            Fcntl::Setfl(flags) => self.set_status(cx, file, flags),
            _ if matches!(self.files[file].kind, Kind::Path(_)) => Err(Errno::BADF),
            Fcntl::Setown(who) => self.set_owner(cx, file, who),
            // A group is a negative number.
            Fcntl::Getown => Ok(self.owner(file) as isize as usize),
            Fcntl::Setsig(signal) => self.set_owner_signal(file, signal),
            Fcntl::Getsig => Ok(self.owner_signal(file) as usize),
        }
    }

    fn set_status(&mut self, cx: Cx, file: FileId, flags: i32) -> Result<usize, Errno> {
        self.touch(Object::File(file), Access::Write);
        let kind = self.files[file].kind;
        let mut settable = SETFL;
        match kind {
            Kind::Path(_) => return Err(Errno::BADF),
            // CREATE 10
            Kind::Process(_) if flags & DIRECT != 0 => return Err(Errno::INVAL),
            Kind::Socket(_)
            | Kind::Eventfd(_)
            | Kind::Epoll(_)
            | Kind::Null(_)
            | Kind::Console(_)
                if flags & DIRECT != 0 =>
            {
                return Err(Errno::INVAL);
            }
            Kind::Socket(_) | Kind::Pipe(_) => {}
            // Only what can send SIGIO takes O_ASYNC.
            _ => settable &= !ASYNC,
        }
        let old = self.files[file].status.bits();
        if let Some(inode) = kind.inode()
            && flags & NOATIME & !old != 0
        {
            let walker = super::path::walker(&self.processes, cx);
            if !walker.acts_as_owner(&self.tree[inode]) {
                return Err(Errno::PERM);
            }
        }
        let new = (old & !settable) | (flags & settable);
        self.files[file].status = OpenFlags::from_bits_retain(new);
        self.tell_socket(file);
        Ok(0)
    }

    /// ioctl(2).
    pub(super) fn ioctl(
        &mut self,
        cx: Cx,
        fd: Fd<'_>,
        request: u32,
        value: &mut i32,
    ) -> Result<usize, Errno> {
        let file = self.file_of(cx, fd)?;
        if request == FIONBIO {
            self.touch(Object::File(file), Access::Write);
            self.files[file].status.set(OpenFlags::NONBLOCK, *value != 0);
            return Ok(0);
        }
        if let Some(result) = self.ioctl_owner(cx, file, request, value) {
            return result;
        }
        if request == SIOCUNIXFILE && matches!(self.files[file].kind, Kind::Socket(_)) {
            return self.name_file(cx, file);
        }
        let state = &self.files[file];
        *value = match (state.kind, request) {
            (Kind::Socket(socket), SIOCINQ) => self.sockets.inq(socket)?,
            (Kind::Socket(socket), SIOCOUTQ) => self.sockets.outq(socket),
            (Kind::Socket(socket), SIOCATMARK) => i32::from(self.sockets.at_mark(socket)?),
            (Kind::Pipe(pipe), SIOCINQ) => self.pipes[pipe].len() as i32,
            (Kind::Inode(inode), SIOCINQ) if !self.tree[inode].is_directory() => {
                // Cut to an int, as the kernel does.
                self.tree[inode].size().wrapping_sub(state.offset) as i32
            }
            (Kind::Epoll(_), SIOCINQ | SIOCOUTQ | SIOCATMARK | SIOCUNIXFILE) => {
                return Err(Errno::INVAL);
            }
            _ => return Err(Errno::NOTTY),
        };
        Ok(0)
    }

    /// lseek(2) with SEEK_SET.
    pub(super) fn lseek(&mut self, cx: Cx, fd: Fd<'_>, offset: u64) -> Result<usize, Errno> {
        let file = self.file_of(cx, fd)?;
        let state = &mut self.files[file];
        match state.kind {
            // CREATE 7; the console is a terminal.
            Kind::Process(_) => return Err(Errno::SPIPE),
            Kind::Socket(_) | Kind::Pipe(_) | Kind::Console(_) | Kind::Path(_) => {
                return Err(Errno::SPIPE);
            }
            // Always at their beginning.
            Kind::Null(_) | Kind::Eventfd(_) | Kind::Epoll(_) => return Ok(0),
            Kind::Inode(_) => {}
        }
        if offset > i64::MAX as u64 {
            return Err(Errno::INVAL);
        }
        state.offset = offset;
        self.touch(Object::File(file), Access::Write);
        Ok(offset as usize)
    }

    /// fstat(2).
    pub(super) fn fstat(&mut self, cx: Cx, fd: Fd<'_>, stat: &mut Stat) -> Result<usize, Errno> {
        let file = self.any_file_of(cx, fd)?;
        *stat = self.stat_of(file);
        Ok(0)
    }

    /// What fstat tells of a file.
    pub(super) fn stat_of(&mut self, file: FileId) -> Stat {
        let state = &self.files[file];
        match state.kind {
            Kind::Socket(socket) => Stat {
                dev: SOCKET_DEVICE,
                ino: self.sockets.id(socket),
                mode: Stat::IFSOCK | state.socket_inode.mode,
                nlink: 1,
                uid: state.socket_inode.uid,
                gid: state.socket_inode.gid,
                size: 0,
                blksize: 4096,
            },
            Kind::Pipe(pipe) => self.pipes[pipe].stat(),
            Kind::Eventfd(_) | Kind::Epoll(_) => ANONYMOUS,
            Kind::Process(pid) => super::pidfd::stat(pid),
            Kind::Inode(inode) | Kind::Null(inode) | Kind::Console(inode) | Kind::Path(inode) => {
                self.footprint.push((Object::Inode(inode), Access::Read));
                self.tree.stat(inode)
            }
        }
    }

    /// fchmod(2). On a socket it changes the mode that a later bind gives its inode (CREATE 6).
    pub(super) fn fchmod(&mut self, cx: Cx, fd: Fd<'_>, mode: u32) -> Result<usize, Errno> {
        let file = self.file_of(cx, fd)?;
        let walker = super::path::walker(&self.processes, cx);
        let is_owner = |uid| walker.who.fsuid == uid || walker.who.has(Capabilities::FOWNER);
        match self.files[file].kind {
            Kind::Process(_) => return Err(Errno::OPNOTSUPP),
            Kind::Socket(_) => {
                let inode = &mut self.files[file].socket_inode;
                if !is_owner(inode.uid) {
                    return Err(Errno::PERM);
                }
                inode.mode = mode & 0o7777;
                self.touch(Object::File(file), Access::Write);
            }
            Kind::Pipe(pipe) => {
                let uid = self.pipes[pipe].stat().uid;
                if !is_owner(uid) {
                    return Err(Errno::PERM);
                }
                self.touch(Object::Pipe(pipe), Access::Write);
                self.pipes[pipe].set_mode(mode);
            }
            Kind::Eventfd(_) | Kind::Epoll(_) => return Err(Errno::OPNOTSUPP),
            Kind::Inode(inode) | Kind::Null(inode) | Kind::Console(inode) | Kind::Path(inode) => {
                self.tree.chmod(&walker, inode, mode)?;
                self.touch(Object::Inode(inode), Access::Write);
            }
        }
        Ok(0)
    }

    /// getdents(2), all entries at once: returns how many were appended, 0 at the end.
    pub(super) fn getdents(
        &mut self,
        cx: Cx,
        fd: Fd<'_>,
        entries: &mut Vec<DirEntry>,
    ) -> Result<usize, Errno> {
        let file = self.file_of(cx, fd)?;
        let Kind::Inode(dir) = self.files[file].kind else { return Err(Errno::NOTDIR) };
        let found = self.tree.entries(dir)?;
        if self.tree[dir].is_dead_directory() {
            return Err(Errno::NOENT);
        }
        let is_fresh = self.files[file].offset != END_OF_DIRECTORY;
        let before = entries.len();
        if is_fresh {
            entries.extend(found.iter().map(|(name, inode)| DirEntry {
                name: name.to_vec(),
                file_type: self.tree.stat(*inode).file_type(),
            }));
        }
        self.files[file].offset = END_OF_DIRECTORY;
        self.touch(Object::File(file), Access::Write);
        self.touch(Object::Entries(dir), Access::Read);
        Ok(entries.len() - before)
    }
}
