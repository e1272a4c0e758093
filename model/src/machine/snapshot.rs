//! The machine as a [`Snapshot`].

use std::collections::{BTreeMap, BTreeSet};

use afunix::snapshot::{self, FileKind, Snapshot, Wait};

use super::file::{FileId, Kind, OpenFile};
use super::fs::InodeId;
use super::process::{InCall, Process};
use super::{Machine, Time};
use crate::sockets::{File, NameKey};
use crate::wait::EpollKey;

impl Machine {
    /// What the machine looks like now: processes that run, their threads and what those wait for,
    /// files, sockets. Zombies are not in it.
    pub fn snapshot(&self, now: Time) -> Snapshot {
        let running = self.processes.iter().filter(|(_, process)| process.ended.is_none());
        let open: BTreeSet<InodeId> =
            self.files.values().filter_map(|file| file.kind.inode()).collect();
        let paths = self.tree.paths(|inode| open.contains(&inode) || self.tree[inode].is_socket());
        Snapshot {
            at: nanos(now),
            processes: running.map(|(pid, process)| self.show_process(pid, process)).collect(),
            files: self.show_files(&paths),
            sockets: self.show_sockets(),
            socket_files: self.show_socket_files(&paths),
            notes: Vec::new(),
        }
    }

    fn show_process(&self, pid: i32, process: &Process) -> snapshot::Process {
        let threads = process.threads.iter().filter_map(|tid| {
            let thread = self.threads.get(tid.0)?;
            let wait = thread.call.as_ref().map(show_wait);
            Some(snapshot::Thread { tid: tid.0 as u32, name: thread.name.clone(), wait })
        });
        let descriptors = process.descriptors.iter().map(|(fd, descriptor)| {
            let file = self.files[descriptor.file].id;
            snapshot::Descriptor { fd, file, cloexec: descriptor.cloexec }
        });
        snapshot::Process {
            pid: pid as u32,
            name: process.name.clone(),
            uid: process.identity.uid.effective,
            threads: threads.collect(),
            descriptors: descriptors.collect(),
        }
    }

    fn show_socket_files(&self, paths: &BTreeMap<InodeId, Vec<u8>>) -> Vec<snapshot::SocketFile> {
        let files = paths.iter().filter(|(inode, _)| self.tree[**inode].is_socket());
        let show = |(inode, path): (&InodeId, &Vec<u8>)| {
            let NameKey { dev, ino } = self.tree[*inode].name_key();
            let path = String::from_utf8_lossy(path).into_owned();
            snapshot::SocketFile { path, inode: (dev, ino) }
        };
        let mut files: Vec<snapshot::SocketFile> = files.map(show).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }

    fn show_files(&self, paths: &BTreeMap<InodeId, Vec<u8>>) -> Vec<snapshot::File> {
        let mut files: Vec<snapshot::File> =
            self.files.values().map(|file| self.show_file(file, paths)).collect();
        files.sort_by_key(|file| file.id);
        files
    }

    fn show_file(&self, file: &OpenFile, paths: &BTreeMap<InodeId, Vec<u8>>) -> snapshot::File {
        let path = |inode| match paths.get(&inode) {
            Some(path) => String::from_utf8_lossy(path).into_owned(),
            None => "(deleted)".to_owned(),
        };
        let kind = match file.kind {
            Kind::Socket(socket) => FileKind::Socket(self.sockets.id(socket)),
            Kind::Pipe(pipe) => FileKind::Other(format!("pipe {}", self.pipes[pipe].ino())),
            Kind::Eventfd(_) => FileKind::Other("eventfd".to_owned()),
            Kind::Epoll(epoll) => FileKind::Other(self.show_epoll(epoll)),
            Kind::Inode(inode) if self.tree[inode].is_directory() => {
                FileKind::Directory(path(inode))
            }
            Kind::Inode(inode) => FileKind::Regular(path(inode)),
            Kind::Null(_) => FileKind::Other("null".to_owned()),
            Kind::Console(_) => FileKind::Other("console".to_owned()),
            Kind::Process(pid) => FileKind::Other(format!("pidfd of process {}", pid.0)),
            Kind::Path(inode) => FileKind::Other(format!("handle on {}", path(inode))),
        };
        snapshot::File { id: file.id, kind, in_flight: file.in_flight }
    }

    /// What an epoll watches, by the ids of the files.
    fn show_epoll(&self, epoll: EpollKey) -> String {
        let mut watched: Vec<u64> =
            self.watches.watched(epoll).map(|(file, _)| self.files[file].id).collect();
        watched.sort_unstable();
        match watched[..] {
            [] => "epoll".to_owned(),
            _ => {
                let ids: Vec<String> = watched.iter().map(u64::to_string).collect();
                format!("epoll of files {}", ids.join(", "))
            }
        }
    }

    fn show_sockets(&self) -> Vec<snapshot::Socket> {
        let mut sockets = self.sockets.snapshot();
        for socket in &mut sockets {
            // The sockets know files by another number than snapshots do.
            for file in &mut socket.in_flight {
                let state = self.files.get(FileId::of(File(*file)));
                *file = state.expect("a file in flight is open").id;
            }
        }
        sockets.sort_by_key(|socket| socket.id);
        sockets
    }
}

fn show_wait(call: &InCall) -> Wait {
    Wait {
        call: call.call.to_owned(),
        fd: call.fd,
        reason: call.on.reason,
        socket: call.on.socket,
        since: nanos(call.since),
        deadline: call.deadline.map(nanos),
    }
}

/// Nanoseconds; the largest number from 584 years on.
fn nanos(time: Time) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
