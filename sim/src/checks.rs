//! Checks that cost the user nothing: what an orderly program leaves behind is nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use afunix::call::Stat;
use afunix::snapshot::{File, FileKind, Process, Snapshot, Socket, SocketKind, SocketState};
use afunix::{Call, Pid, RawName};
use serde::Serialize;

use crate::report::{Failure, FailureKind};
use crate::world::{End, State, World};

/// What is looked for beside deadlocks, panics and bad exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// A process returns, and a descriptor of its table is still open: one that it was given and
    /// never took over, or one that it leaked.
    DescriptorLeak,
    /// Files in flight that nobody can ever receive, when the run is over.
    LostInFlight,
    /// A path of a socket that is closed, when the run is over.
    StalePath,
    /// A stream is closed while bytes wait in it that were sent and not read (the peer gets
    /// ECONNRESET: SHUT 4).
    LostBytes,
    /// A path is bound anew while the socket that was bound to it before is open in another
    /// process, and its file is gone: who connects reaches only the new one.
    ReplacedPath,
    /// A process returns that has made no call.
    Idle,
}

impl Check {
    /// All of them.
    pub const ALL: [Check; 6] = [
        Check::DescriptorLeak,
        Check::LostInFlight,
        Check::StalePath,
        Check::LostBytes,
        Check::ReplacedPath,
        Check::Idle,
    ];

    /// On the command line and in tapes: `descriptor-leak`.
    pub const fn key(self) -> &'static str {
        match self {
            Check::DescriptorLeak => "descriptor-leak",
            Check::LostInFlight => "lost-in-flight",
            Check::StalePath => "stale-path",
            Check::LostBytes => "lost-bytes",
            Check::ReplacedPath => "replaced-path",
            Check::Idle => "idle",
        }
    }

    /// In words: `descriptor leak`.
    pub const fn name(self) -> &'static str {
        match self {
            Check::DescriptorLeak => "descriptor leak",
            Check::LostInFlight => "lost in flight",
            Check::StalePath => "stale path",
            Check::LostBytes => "lost bytes",
            Check::ReplacedPath => "replaced path",
            Check::Idle => "idle",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not the name of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotACheck;

impl fmt::Display for NotACheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = Check::ALL.map(Check::key).join(", ");
        write!(f, "a check is one of {keys}")
    }
}

impl std::error::Error for NotACheck {}

impl FromStr for Check {
    type Err = NotACheck;

    fn from_str(key: &str) -> Result<Self, NotACheck> {
        Check::ALL.into_iter().find(|check| check.key() == key).ok_or(NotACheck)
    }
}

impl World {
    fn checks(&self, check: Check) -> bool {
        self.checks.contains(&check)
    }

    fn finds(&mut self, check: Check, who: &str, message: String) {
        let mut failure = Failure::new(FailureKind::Check, format!("{check}: {message}"));
        failure.signature = format!("{check} of {who}");
        if !matches!(self.end, Some(End::Failed(_))) {
            self.end = Some(End::Failed(Box::new(failure)));
        }
    }

    /// A process is about to end because its body returned.
    #[cold]
    pub(crate) fn check_return(&mut self, slot: u32) {
        let thread = &self.threads[slot as usize];
        let pid = thread.pid;
        let alone = self.threads.iter().filter(|it| it.pid == pid && it.state != State::Ended);
        let alone = alone.count() == 1;
        let name = self.threads[slot as usize].name.clone();
        if self.checks(Check::Idle) && slot != 0 && self.threads[slot as usize].is_idle() {
            self.finds(Check::Idle, &name, format!("{name} ended and had made no call"));
        }
        // A thread that still runs may hold any of them.
        if self.checks(Check::DescriptorLeak) && alone {
            let given = self.process(pid).map(|it| it.inherited.clone()).unwrap_or_default();
            let open = self.machine.descriptor_numbers(pid).find(|number| *number > 2);
            if let Some(first) = open {
                let why = match given.contains(&first) {
                    true => "which it was given and never took over",
                    false => "which it never closed",
                };
                let message = format!("{name} returned with descriptor {first} open, {why}");
                self.finds(Check::DescriptorLeak, &name, message);
            }
        }
        if slot == 0 {
            self.check_end(slot);
        }
    }

    /// The first process is about to return: the run is over.
    fn check_end(&mut self, slot: u32) {
        let snapshot = self.snapshot();
        if self.checks(Check::LostInFlight)
            && let Some(lost) = lost_in_flight(&snapshot)
        {
            self.finds(Check::LostInFlight, "files", lost);
        }
        if !self.checks(Check::StalePath) {
            return;
        }
        let live: BTreeSet<(u64, u64)> =
            snapshot.sockets.iter().filter_map(|socket| socket.inode).collect();
        for path in std::mem::take(&mut self.bound) {
            if let Some(inode) = self.socket_at(slot, &path)
                && !live.contains(&inode)
            {
                let path = String::from_utf8_lossy(&path).into_owned();
                let message = format!("{path:?} was left behind by a socket that is closed");
                self.finds(Check::StalePath, &path, message);
            }
        }
    }

    /// A call is about to be made.
    #[cold]
    pub(crate) fn check_call(&mut self, slot: u32, call: &Call<'_, '_>) {
        match call {
            Call::Close { fd, .. } if self.checks(Check::LostBytes) => {
                let pid = self.threads[slot as usize].pid;
                let number = fd.number();
                let unread = self.machine.unread_at(pid, number).filter(|bytes| *bytes > 0);
                if let Some(bytes) = unread {
                    let name = self.threads[slot as usize].name.clone();
                    let message =
                        format!("{name} closes descriptor {number} with {bytes} bytes unread");
                    self.finds(Check::LostBytes, &name, message);
                }
            }
            Call::Bind { name: RawName::Bytes(bytes), .. } => {
                // Family, then the path up to its end; a relative or abstract one is left out.
                let path = bytes.get(2..).unwrap_or_default();
                let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
                if path.first() != Some(&b'/') {
                    return;
                }
                if !self.bound.iter().any(|other| other == path) {
                    self.bound.push(path.to_vec());
                } else if self.checks(Check::ReplacedPath) {
                    self.check_bind(slot, &String::from_utf8_lossy(path));
                }
            }
            _ => {}
        }
    }

    /// A path is about to be bound again.
    fn check_bind(&mut self, slot: u32, path: &str) {
        let snapshot = self.snapshot();
        let Some(owner) = without_its_path(&snapshot, path, self.threads[slot as usize].pid) else {
            return;
        };
        let name = self.threads[slot as usize].name.clone();
        let message = format!(
            "{name} binds {path:?} again, from which the socket of {owner} was removed, which has \
             it open: nobody who connects reaches it any more"
        );
        self.finds(Check::ReplacedPath, &name, message);
    }

    /// The inode of the socket file at a path, if there is one.
    fn socket_at(&mut self, slot: u32, path: &[u8]) -> Option<(u64, u64)> {
        let mut stat = Stat::default();
        self.aside(slot, &mut Call::Lstat { path, stat: &mut stat }).ok()?;
        (stat.file_type() == Stat::IFSOCK).then_some((stat.dev, stat.ino))
    }
}

/// Who has a socket open that was bound to this path, and whose file is gone: `daemon (3)`. None
/// if `but` has it too: it gives itself another.
fn without_its_path(snapshot: &Snapshot, path: &str, but: Pid) -> Option<String> {
    let taken = snapshot.socket_files.iter().any(|file| file.path == path);
    // One that was accepted has its listener's name, and is not found by it.
    let is_found_by_it = |it: &&Socket| {
        it.kind == SocketKind::Datagram
            || matches!(it.state, SocketState::Unconnected | SocketState::Listening)
    };
    let named = snapshot.sockets.iter().filter(|it| it.name.as_deref() == Some(path));
    for socket in named.filter(is_found_by_it).filter(|_| !taken) {
        let is_it = |file: &&File| file.kind == FileKind::Socket(socket.id);
        let file = snapshot.files.iter().find(is_it).map(|file| file.id);
        let has_it = |it: &&Process| it.descriptors.iter().any(|fd| Some(fd.file) == file);
        let mut owners = snapshot.processes.iter().filter(has_it).peekable();
        let first = owners.peek().map(|it| format!("{} ({})", it.name, it.pid));
        if first.is_some() && !owners.any(|it| it.pid == but.0.unsigned_abs()) {
            return first;
        }
    }
    None
}

/// The files in flight that no process can come to, in a line.
fn lost_in_flight(snapshot: &Snapshot) -> Option<String> {
    let descriptors = snapshot.processes.iter().flat_map(|process| &process.descriptors);
    let mut reached: BTreeSet<u64> = descriptors.map(|descriptor| descriptor.file).collect();
    let mut fresh: Vec<u64> = reached.iter().copied().collect();
    while let Some(id) = fresh.pop() {
        let file = snapshot.files.iter().find(|file| file.id == id);
        let Some(File { kind: FileKind::Socket(socket), .. }) = file else { continue };
        let Some(socket) = snapshot.sockets.iter().find(|it| it.id == *socket) else { continue };
        let pending = snapshot.sockets.iter().filter(|it| socket.pending.contains(&it.id));
        let queued = pending.flat_map(|it| &it.in_flight).chain(&socket.in_flight);
        for file in queued {
            if reached.insert(*file) {
                fresh.push(*file);
            }
        }
    }
    let lost: Vec<String> = snapshot
        .files
        .iter()
        .filter(|file| file.in_flight > 0 && !reached.contains(&file.id))
        .map(|file| format!("{:?}", file.kind))
        .collect();
    (!lost.is_empty()).then(|| format!("nobody can receive {}", lost.join(", ")))
}
