//! pidfds: files that stand for processes, and are readable once those have ended.
//!
//! A number of a process is not used again, so a pidfd of one that is gone is its number all the
//! same.

use afunix::call::{OptionOut, Stat};
use afunix::{Errno, OpenFlags, Pid, Readiness};
use slotmap::SlotMap;

use super::super::descriptors::Descriptor;
use super::super::file::{FileId, Kind, OpenFile};
use super::super::footprint::Touches;
use super::super::process::{Numbered, Process};
use super::super::{Access, Cx, Machine, Object};
use crate::sockets::{Attachment, Install, SocketKey, Sockets, put};
use crate::wait::{Ticket, WatchKey};

/// Device of the file system of pidfds.
const DEVICE: u64 = 5;

/// What fstat(2) tells of a pidfd.
pub(super) fn stat(pid: Pid) -> Stat {
    Stat {
        dev: DEVICE,
        ino: pid.0 as u64,
        mode: 0o700,
        nlink: 1,
        uid: 0,
        gid: 0,
        size: 0,
        blksize: 4096,
    }
}

/// Puts what a receive brings into the caller's descriptor table. Borrows what it needs alone.
pub(in crate::machine) struct Installer<'m> {
    pid: Pid,
    processes: &'m mut Numbered<Process>,
    files: &'m mut SlotMap<FileId, OpenFile>,
    next_file: &'m mut u64,
    touches: Touches<'m>,
}

impl Installer<'_> {
    /// The lowest free number for `file`; EMFILE.
    fn number(&mut self, file: FileId, cloexec: bool) -> Result<i32, Errno> {
        self.touches.add(Object::Numbers(self.pid), Access::Write);
        let process = self.processes.get_mut(self.pid.0).expect("the caller is a process");
        let limit = process.limits.descriptors;
        let descriptor = Descriptor::of(self.files, file, cloexec);
        let number = process.descriptors.insert(descriptor, 0, limit)?;
        self.touches.add(Object::Descriptor(self.pid, number), Access::Write);
        self.files[file].references += 1;
        Ok(number)
    }
}

impl Install for Installer<'_> {
    fn file(&mut self, file: Attachment, cloexec: bool, peeked: bool) -> Result<i32, Errno> {
        let file = FileId::of(file.file);
        let number = self.number(file, cloexec)?;
        if !peeked {
            self.files[file].in_flight -= 1;
        }
        Ok(number)
    }

    fn pidfd(&mut self, pid: i32) -> Result<i32, Errno> {
        let file = OpenFile::new(*self.next_file, Kind::Process(Pid(pid)), OpenFlags::RDWR);
        let file = self.files.insert(file);
        // RCMSG 10: always close-on-exec.
        let number = self.number(file, true);
        match number {
            Ok(_) => *self.next_file += 1,
            Err(_) => drop(self.files.remove(file)),
        }
        number
    }
}

impl Machine {
    /// The sockets, and what lends itself to installing files while they are used.
    pub(in crate::machine) fn installer(&mut self, cx: Cx) -> (&mut Sockets, Installer<'_>) {
        let installer = Installer {
            pid: cx.pid,
            processes: &mut self.processes,
            files: &mut self.files,
            next_file: &mut self.next_file,
            touches: Touches::new(self.tracked, &mut self.footprint),
        };
        (&mut self.sockets, installer)
    }

    /// SO_PEERPIDFD: a new descriptor, made even if there is no room to tell its number (OPT 11).
    /// EINVAL, ENODATA, EMFILE.
    pub(super) fn peer_pidfd(
        &mut self,
        cx: Cx,
        socket: SocketKey,
        value: &mut OptionOut<'_>,
    ) -> Result<usize, Errno> {
        if value.len < 0 {
            return Err(Errno::INVAL);
        }
        let pid = self.sockets.peer_pid(socket).ok_or(Errno::NODATA)?;
        let number = self.installer(cx).1.pidfd(pid)?;
        put(value, &number.to_ne_bytes())?;
        Ok(0)
    }

    /// Readable when the process has ended, and hung up when somebody has waited for it.
    pub(super) fn pidfd_readiness(&mut self, pid: Pid) -> Readiness {
        self.touch(Object::Process(pid), Access::Read);
        let ended = Readiness::IN | Readiness::RDNORM;
        match self.processes.get(pid.0) {
            None => ended | Readiness::HUP,
            Some(process) if process.ended.is_some() => ended,
            Some(_) => Readiness::empty(),
        }
    }

    /// Lets an epoll hear of the end of a process.
    pub(super) fn watch_end(&mut self, pid: Pid, watch: WatchKey, exclusive: bool) {
        if let Some(process) = self.processes.get_mut(pid.0) {
            process.end_waiters.watch(&self.tickets, watch, exclusive);
        }
    }

    /// Lets a poll wait for the end of a process.
    pub(super) fn enrol_at_end(&mut self, pid: Pid, ticket: Ticket) {
        self.touch(Object::Process(pid), Access::Awaits);
        if let Some(process) = self.processes.get_mut(pid.0) {
            process.end_waiters.enrol(&self.tickets, ticket, false);
        }
    }
}
