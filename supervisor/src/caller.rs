//! Who calls: threads of the program, their ids and where they stand.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::fs::MetadataExt;
use std::rc::Rc;

use afunix::{Capabilities, Errno};
use afunix_model::sockets::{Caller, Ids};

use crate::sys::act::{self, Place};
use crate::sys::{file, process};

/// The threads that have made a call, by id.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    known: HashMap<i32, Thread>,
}

#[derive(Debug)]
struct Thread {
    handle: OwnedFd,
    pid: i32,
}

/// Who a caller is, as the model asks for it.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    uid: Ids,
    gid: Ids,
    fsuid: u32,
    fsgid: u32,
    groups: Vec<u32>,
    pub(crate) capabilities: Capabilities,
    umask: u32,
    descriptor_limit: u32,
    netns: u32,
}

impl Identity {
    /// The caller of a call that begins now.
    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller {
            pid: self.pid,
            uid: self.uid,
            gid: self.gid,
            groups: &self.groups,
            capabilities: self.capabilities,
            descriptor_limit: self.descriptor_limit,
            now: process::realtime(),
            netns: self.netns,
        }
    }
}

impl Threads {
    /// Makes a thread known; `Some` with its handle if it was not, to be watched for its end.
    /// ESRCH.
    pub(crate) fn meet(&mut self, tid: i32) -> Result<Option<&OwnedFd>, Errno> {
        if self.known.contains_key(&tid) {
            return Ok(None);
        }
        let handle = process::open_thread(tid)?;
        let pid = match process::ids(handle.as_fd()) {
            Ok(ids) => ids.pid,
            Err(_) => Status::of(tid)?.pid,
        };
        let thread = self.known.entry(tid).or_insert(Thread { handle, pid });
        Ok(Some(&thread.handle))
    }

    /// All that are known, each with its process, by their numbers.
    pub(crate) fn all(&self) -> Vec<(i32, i32)> {
        let mut all: Vec<_> = self.known.iter().map(|(tid, thread)| (*tid, thread.pid)).collect();
        all.sort_unstable();
        all
    }

    pub(crate) fn forget(&mut self, tid: i32) {
        self.known.remove(&tid);
    }

    /// The process of a thread that is known.
    pub(crate) fn pid(&self, tid: i32) -> i32 {
        self.known.get(&tid).map_or(0, |thread| thread.pid)
    }

    /// The file that a number stands for; EBADF.
    pub(crate) fn file(&self, tid: i32, number: i32) -> Result<OwnedFd, Errno> {
        let thread = self.known.get(&tid).ok_or(Errno::SRCH)?;
        process::file_of(thread.handle.as_fd(), number)
    }

    pub(crate) fn signal(&self, tid: i32, signal: i32) {
        if let Some(thread) = self.known.get(&tid) {
            process::signal(thread.handle.as_fd(), signal);
        }
    }

    /// The ids of a caller: all that a send without control data, or a connection, is asked for.
    pub(crate) fn ids(&self, tid: i32) -> Result<Identity, Errno> {
        let thread = self.known.get(&tid).ok_or(Errno::SRCH)?;
        let Ok(ids) = process::ids(thread.handle.as_fd()) else { return self.identity(tid) };
        let three = |[real, effective, saved]: [u32; 3]| Ids { real, effective, saved };
        Ok(Identity {
            pid: ids.pid,
            uid: three(ids.uid),
            gid: three(ids.gid),
            fsuid: ids.uid[1],
            fsgid: ids.gid[1],
            groups: Vec::new(),
            capabilities: Capabilities::empty(),
            umask: 0,
            descriptor_limit: 0,
            netns: 0,
        })
    }

    /// All of a caller.
    pub(crate) fn identity(&self, tid: i32) -> Result<Identity, Errno> {
        let status = Status::of(tid)?;
        Ok(Identity {
            pid: status.pid,
            uid: status.uid.0,
            gid: status.gid.0,
            fsuid: status.uid.1,
            fsgid: status.gid.1,
            groups: status.groups,
            capabilities: status.capabilities,
            umask: status.umask,
            descriptor_limit: process::descriptor_limit(status.pid),
            netns: netns(tid),
        })
    }
}

/// The network namespace: the lower half of its inode number, which tells it from others.
fn netns(tid: i32) -> u32 {
    let path = format!("/proc/{tid}/ns/net");
    std::fs::metadata(path).map_or(0, |metadata| metadata.st_ino() as u32)
}

/// What /proc/PID/status tells.
#[derive(Debug)]
struct Status {
    pid: i32,
    uid: (Ids, u32),
    gid: (Ids, u32),
    groups: Vec<u32>,
    capabilities: Capabilities,
    umask: u32,
}

impl Status {
    fn of(tid: i32) -> Result<Status, Errno> {
        let text =
            std::fs::read_to_string(format!("/proc/{tid}/status")).map_err(|_| Errno::SRCH)?;
        Status::parse(&text).ok_or(Errno::SRCH)
    }

    fn parse(text: &str) -> Option<Status> {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim)
        };
        let numbers = |name| -> Vec<u32> {
            let words = field(name).unwrap_or_default().split_whitespace();
            words.filter_map(|word| word.parse().ok()).collect()
        };
        let ids = |name| match numbers(name)[..] {
            [real, effective, saved, fs] => Some((Ids { real, effective, saved }, fs)),
            _ => None,
        };
        let capabilities = u64::from_str_radix(field("CapEff")?, 16).ok()?;
        Some(Status {
            pid: field("Tgid")?.parse().ok()?,
            uid: ids("Uid")?,
            gid: ids("Gid")?,
            groups: numbers("Groups"),
            capabilities: Capabilities::from_bits_retain(capabilities),
            umask: u32::from_str_radix(field("Umask")?, 8).ok()?,
        })
    }
}

/// What a thread has pending, and whether it would look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// No signal that it would act on.
    Nothing,
    /// A signal that this thread will act on.
    Own,
    /// A signal that some thread of the process will act on.
    Shared,
}

/// Whether a signal waits for a thread of the program.
pub(crate) fn pending_signal(tid: i32) -> Pending {
    let text = std::fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let word = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
        u64::from_str_radix(word.trim(), 16).unwrap_or(0)
    };
    let wanted = !field("SigBlk:");
    let threads = text.lines().find_map(|line| line.strip_prefix("Threads:"));
    let alone = threads.is_some_and(|count| count.trim() == "1");
    match (field("SigPnd:") & wanted != 0, field("ShdPnd:") & wanted != 0) {
        (true, _) => Pending::Own,
        (_, true) if alone => Pending::Own,
        (_, true) => Pending::Shared,
        _ => Pending::Nothing,
    }
}

/// Whether a number is close-on-exec.
pub(crate) fn closes_on_exec(tid: i32, number: i32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{tid}/fdinfo/{number}")).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & libc::O_CLOEXEC != 0)
}

/// Where the supervisor stands.
pub(crate) fn home() -> Result<Place, Errno> {
    let own = Status::of(std::process::id() as i32)?;
    Ok(Place {
        root: Some(Rc::new(act::directory(c"/")?)),
        cwd: Rc::new(act::directory(c".")?),
        umask: own.umask,
        fsuid: own.uid.1,
        fsgid: own.gid.1,
        groups: own.groups,
    })
}

/// Where a caller stands.
pub(crate) fn place_of(tid: i32, identity: &Identity, home: &Place) -> Result<Place, Errno> {
    let directory = |what: &str| {
        let path = CString::new(format!("/proc/{tid}/{what}")).map_err(|_| Errno::INVAL)?;
        act::directory(&path).map(Rc::new)
    };
    let root = directory("root")?;
    let same = match &home.root {
        Some(own) => file::stat(own.as_fd())? == file::stat(root.as_fd())?,
        None => false,
    };
    Ok(Place {
        root: (!same).then_some(root),
        cwd: directory("cwd")?,
        umask: identity.umask,
        fsuid: identity.fsuid,
        fsgid: identity.fsgid,
        groups: identity.groups.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read() {
        let status = Status::of(std::process::id() as i32).unwrap();
        assert_eq!(status.pid, std::process::id() as i32);
        assert!(Status::parse("Name:\tx\nTgid:\t1\n").is_none());
    }

    #[test]
    fn no_signal_waits_for_this_thread() {
        assert_eq!(pending_signal(std::process::id() as i32), Pending::Nothing);
    }
}
