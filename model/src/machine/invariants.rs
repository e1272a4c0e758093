//! The invariants of processes, files and inodes, each recomputed from scratch.

use std::collections::{BTreeMap, BTreeSet};

use afunix::{OpenFlags, Pid, SigHandler, Tid};

use super::Machine;
use super::file::{FileId, Kind};
use super::fs::{Content, InodeId, pages_of};
use super::process::{InCallState, Process};
use crate::check::{Violation, must};
use crate::sockets::File;

impl Machine {
    /// Threads and processes name each other; so do parents and children.
    pub(crate) fn check_processes(&self) -> Result<(), Violation> {
        for (tid, thread) in self.threads.iter() {
            let process = self.running(thread.process);
            let is_listed = process.is_some_and(|process| process.threads.contains(&Tid(tid)));
            must!(is_listed, "thread {tid} is not among the threads of process {}", thread.process);
        }
        for (pid, process) in self.processes.iter() {
            for tid in &process.threads {
                let owner = self.process_of(*tid);
                must!(owner == Some(Pid(pid)), "process {pid} lists the foreign thread {tid}");
            }
            for child in &process.children {
                let parent = self.processes.get(child.0).and_then(|child| child.parent);
                must!(parent == Some(Pid(pid)), "process {pid} lists the foreign child {child}");
            }
            if let Some(parent) = process.parent {
                let is_listed =
                    self.running(parent).is_some_and(|p| p.children.contains(&Pid(pid)));
                must!(is_listed, "process {pid} is not among the children of {parent}");
            }
            let zombie = process.ended.is_some();
            let is_empty =
                process.threads.is_empty() && process.descriptors.iter().next().is_none();
            must!(!zombie || is_empty, "the zombie {pid} has threads or descriptors");
            must!(!zombie || process.parent.is_some(), "nobody will wait for the zombie {pid}");
            self.check_numbers(pid)?;
        }
        Ok(())
    }

    /// What is pending waits for a reason: a handler, or a mask. Sockets know which files ask for
    /// signals.
    pub(crate) fn check_signals(&self) -> Result<(), Violation> {
        for (tid, thread) in self.threads.iter() {
            let Some(process) = self.running(thread.process) else { continue };
            for sent in &thread.pending {
                let handled = process.dispositions.get(sent.signal).handler == SigHandler::Handle;
                let waits = thread.mask.contains(sent.signal);
                must!(handled || waits, "signal {} waits at thread {tid} for nothing", sent.signal);
                must!(
                    !(waits && sent.shared),
                    "thread {tid} blocks the signal {} that it is to take",
                    sent.signal
                );
            }
        }
        for (pid, process) in self.processes.iter() {
            let threads = || process.threads.iter().filter_map(|tid| self.threads.get(tid.0));
            for signal in &process.pending {
                let blocked = threads().all(|thread| thread.mask.contains(*signal));
                must!(blocked, "signal {signal} waits at process {pid}, and a thread takes it");
            }
        }
        for (_, file) in &self.files {
            if let Kind::Socket(socket) = file.kind {
                let asks = file.status.contains(OpenFlags::ASYNC);
                let knows = self.sockets.is_asynchronous(socket);
                must!(asks == knows, "file {} and its socket differ in O_ASYNC", file.id);
            }
        }
        Ok(())
    }

    /// The free numbers of a table are those that stand for nothing and are not set aside.
    fn check_numbers(&self, pid: i32) -> Result<(), Violation> {
        let Some(process) = self.processes.get(pid) else { return Ok(()) };
        let mut taken: BTreeSet<i32> = process.descriptors.iter().map(|(fd, _)| fd).collect();
        for tid in &process.threads {
            let call = self.threads.get(tid.0).and_then(|thread| thread.call.as_ref());
            if let Some(InCallState::Accept(number)) = call.map(|call| &call.state) {
                must!(taken.insert(*number), "number {number} of process {pid} is taken twice");
            }
        }
        let free = (0..).find(|number| !taken.contains(number)).unwrap_or(i32::MAX);
        let found = process.descriptors.lowest_free(0, u32::MAX);
        must!(
            found == Ok(free),
            "the lowest free number of process {pid} is {free}, not {found:?}"
        );
        Ok(())
    }

    /// Every reference to a file is a descriptor or a call that waits, and every flight a message
    /// that carries it, or a send that is still to queue it.
    pub(crate) fn check_files(&self) -> Result<(), Violation> {
        let mut references: BTreeMap<FileId, u32> = BTreeMap::new();
        for (_, process) in self.processes.iter() {
            for (_, descriptor) in process.descriptors.iter() {
                *references.entry(descriptor.file).or_default() += 1;
            }
        }
        let mut flights: BTreeMap<FileId, u32> = BTreeMap::new();
        for (_, thread) in self.threads.iter() {
            let Some(call) = &thread.call else { continue };
            for file in call.file.iter().chain(&call.polled) {
                *references.entry(*file).or_default() += 1;
            }
            if let InCallState::Send(sending) = &call.state {
                for attachment in &sending.files {
                    *flights.entry(FileId::of(attachment.file)).or_default() += 1;
                }
            }
        }
        for socket in self.sockets.snapshot() {
            for file in socket.in_flight {
                *flights.entry(FileId::of(File(file))).or_default() += 1;
            }
        }
        for (file, state) in &self.files {
            let (held, flying) = (references.remove(&file), flights.remove(&file));
            let (held, flying) = (held.unwrap_or(0), flying.unwrap_or(0));
            let id = state.id;
            must!(
                held == state.references,
                "file {id} has {held} references, not {}",
                state.references
            );
            must!(
                flying == state.in_flight,
                "file {id} is in flight {flying} times, not {}",
                state.in_flight
            );
            must!(held + flying > 0, "file {id} is open and nothing refers to it");
        }
        must!(references.is_empty(), "a descriptor or call refers to a file that is gone");
        must!(flights.is_empty(), "a message carries a file that is gone");
        Ok(())
    }

    /// Links, holds and room of the file systems.
    pub(crate) fn check_tree(&self) -> Result<(), Violation> {
        let mut holds = self.outside_holds();
        let mut links: BTreeMap<InodeId, u32> = BTreeMap::new();
        let mut room: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        let mut uses = self.tree.mounts();
        *uses.entry(0).or_default() += 1;
        for (inode, held) in &holds {
            *uses.entry(self.tree[*inode].fs).or_default() += u64::from(*held);
        }
        for (_, filesystem) in self.tree.filesystems() {
            *holds.entry(filesystem.root).or_default() += 1;
            *links.entry(filesystem.root).or_default() += 1;
        }
        for (id, inode) in self.tree.inodes() {
            let taken = room.entry(inode.fs).or_default();
            taken.0 += pages_of(self.tree.bytes_of(id));
            let Content::Directory { entries, parent } = &inode.content else {
                taken.1 += u64::from(inode.nlink.max(1));
                continue;
            };
            taken.1 += 1;
            if *parent != id {
                *holds.entry(*parent).or_default() += 1;
            }
            if inode.nlink > 0 {
                *links.entry(id).or_default() += 1;
            }
            for entry in entries.values() {
                *links.entry(*entry).or_default() += 1;
                if self.tree[*entry].is_directory() {
                    *links.entry(id).or_default() += 1;
                }
            }
        }
        for (id, filesystem) in self.tree.filesystems() {
            let taken = room.remove(&id).unwrap_or_default();
            let counted = (filesystem.pages, filesystem.inodes);
            must!(taken == counted, "file system {id} takes {taken:?}, not {counted:?}");
            let used = uses.remove(&id).unwrap_or(0);
            let counted = filesystem.holds;
            must!(used == counted, "file system {id} is held {used} times, not {counted}");
        }
        must!(room.is_empty() && uses.is_empty(), "an inode's file system is gone");
        for (id, inode) in self.tree.inodes() {
            let (ino, held) = (inode.ino, holds.get(&id).copied().unwrap_or(0));
            let linked = links.get(&id).copied().unwrap_or(0);
            must!(held == inode.holds, "inode {ino} is held {held} times, not {}", inode.holds);
            must!(linked == inode.nlink, "inode {ino} has {linked} links, not {}", inode.nlink);
            must!(held + linked > 0, "inode {ino} is there and nothing refers to it");
        }
        self.check_namespaces()
    }

    /// How often each inode is held by processes and files.
    fn outside_holds(&self) -> BTreeMap<InodeId, u32> {
        let mut holds = BTreeMap::new();
        let running = self.processes.iter().filter(|(_, process)| process.ended.is_none());
        for inode in running
            .flat_map(|(_, process)| [process.cwd, process.root])
            .chain(self.files.values().filter_map(|file| file.kind.inode()))
            .chain(self.files.values().filter_map(|file| file.bound_to))
        {
            *holds.entry(inode).or_default() += 1;
        }
        holds
    }

    /// Each mount namespace is there for the processes in it.
    fn check_namespaces(&self) -> Result<(), Violation> {
        for (id, namespace) in self.tree.namespaces() {
            let inside =
                |(_, process): &(i32, &Process)| process.ended.is_none() && process.mounts == id;
            let count = self.processes.iter().filter(inside).count() as u32;
            let counted = namespace.processes;
            must!(count == counted, "mount namespace {id} has {count} processes, not {counted}");
            must!(count > 0, "mount namespace {id} is there and nobody is in it");
        }
        Ok(())
    }

    /// A thread waits exactly by the ticket that its call names.
    pub(crate) fn check_waits(&self) -> Result<(), Violation> {
        for (ticket, thread) in &self.waiting {
            let call = self.threads.get(thread.0).and_then(|thread| thread.call.as_ref());
            let is_its_own = call.is_some_and(|call| call.ticket == ticket);
            must!(is_its_own, "a ticket stands for thread {thread}, which waits by another");
        }
        for (tid, thread) in self.threads.iter() {
            let Some(call) = &thread.call else { continue };
            let known = self.waiting.get(call.ticket) == Some(&Tid(tid));
            must!(known, "thread {tid} waits by a ticket that is not noted");
        }
        Ok(())
    }

    /// What the sockets count, and that each open one has exactly one file.
    pub(crate) fn check_sockets(&self) -> Result<(), Violation> {
        self.sockets.check()?;
        let mut owned = BTreeSet::new();
        for file in self.files.values() {
            let Kind::Socket(socket) = file.kind else { continue };
            must!(self.sockets.is_open(socket), "file {} is a socket that is closed", file.id);
            must!(owned.insert(socket), "the socket of file {} has two files", file.id);
        }
        Ok(())
    }

    /// Each pipe's ends are files, and each counter has one.
    pub(crate) fn check_pipes(&self) -> Result<(), Violation> {
        for (key, pipe) in &self.pipes {
            let files = self.files.values().filter(|file| file.kind == Kind::Pipe(key));
            let (readers, writers): (Vec<_>, Vec<_>) = files.partition(|file| file.may_read());
            let ends = (readers.len() as u32, writers.len() as u32);
            must!(ends == pipe.ends(), "a pipe has {ends:?} ends, not {:?}", pipe.ends());
            must!(ends != (0, 0), "a pipe is there and nothing refers to it");
        }
        for key in self.eventfds.keys() {
            let files = self.files.values().filter(|file| file.kind == Kind::Eventfd(key));
            must!(files.count() == 1, "a counter has exactly one file");
        }
        Ok(())
    }
}
