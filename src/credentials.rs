//! Who a process is: ids, and what a limit or a signal is.

use std::fmt;

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

/// A process id.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Pid(pub i32);

/// A thread id. A process's first thread has the process's number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Tid(pub i32);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// User, group and supplementary groups of a process: its real and effective ids are the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Credentials {
    /// User id; 0 may do all.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl Credentials {
    /// The superuser.
    pub const ROOT: Credentials = Credentials { uid: 0, gid: 0, groups: Vec::new() };

    /// A user with a group of the same number and no others.
    pub const fn user(id: u32) -> Self {
        Credentials { uid: id, gid: id, groups: Vec::new() }
    }
}

bitflags! {
    /// What a process may do beyond what its ids allow (capabilities(7)), with the kernel's bits.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Capabilities: u64 {
        /// Give files away.
        const CHOWN = 1 << 0;
        /// Read, write and search whatever the mode says.
        const DAC_OVERRIDE = 1 << 1;
        /// Read files, and search directories, whatever the mode says.
        const DAC_READ_SEARCH = 1 << 2;
        /// Be taken for the owner of every file.
        const FOWNER = 1 << 3;
        /// Keep set-user-ID and set-group-ID where a change would drop them.
        const FSETID = 1 << 4;
        /// Signal every process.
        const KILL = 1 << 5;
        /// Take any group, and claim it in SCM_CREDENTIALS (CMSG 3).
        const SETGID = 1 << 6;
        /// Become any user, and claim it in SCM_CREDENTIALS (CMSG 3).
        const SETUID = 1 << 7;
        /// SO_SNDBUFFORCE (MEM 9), SIOCUNIXFILE (OPT 7), and some options that are stored.
        const NET_ADMIN = 1 << 12;
        /// SO_MARK and SO_PRIORITY.
        const NET_RAW = 1 << 13;
        /// chroot(2).
        const SYS_CHROOT = 1 << 18;
        /// Mounts, namespaces, any pid in SCM_CREDENTIALS (CMSG 3), any count in flight (CMSG 4).
        const SYS_ADMIN = 1 << 21;
        /// Any count in flight (CMSG 4).
        const SYS_RESOURCE = 1 << 24;
        const _ = !0;
    }
}

impl Capabilities {
    /// All 41 of Linux 6.18.
    pub const ALL: Capabilities = Capabilities::from_bits_retain((1 << 41) - 1);
    /// What goes and comes with the file-system id 0 (setfsuid(2)): those of files above, and
    /// CAP_LINUX_IMMUTABLE, CAP_MKNOD, CAP_MAC_OVERRIDE.
    pub const OF_FILES: Capabilities =
        Capabilities::from_bits_retain(0b1_1111 | 1 << 9 | 1 << 27 | 1 << 32);
}

/// `struct ucred` of unix(7): what SO_PEERCRED and SCM_CREDENTIALS tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ucred {
    /// Process id; 0 if there is none.
    pub pid: i32,
    /// User id; `u32::MAX` (SO_PEERCRED) or 65534 (SCM_CREDENTIALS) if there is none.
    pub uid: u32,
    /// Group id; as `uid`.
    pub gid: u32,
}

impl Ucred {
    /// The bytes of `struct ucred`, 12 in native order.
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.pid.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.uid.to_ne_bytes());
        bytes[8..].copy_from_slice(&self.gid.to_ne_bytes());
        bytes
    }

    /// The credentials in the bytes of a `struct ucred`; `None` if there are not 12.
    pub fn from_bytes(bytes: &[u8]) -> Option<Ucred> {
        let word = |at: usize| <[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok();
        (bytes.len() == 12).then_some(())?;
        Some(Ucred {
            pid: i32::from_ne_bytes(word(0)?),
            uid: u32::from_ne_bytes(word(4)?),
            gid: u32::from_ne_bytes(word(8)?),
        })
    }
}

/// Resource limits of a process (getrlimit(2)), as far as sockets show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// RLIMIT_NOFILE, soft: the numbers of descriptors are below it.
    pub descriptors: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { descriptors: 1024 }
    }
}

/// Signals that a host can send, with the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(i32)]
pub enum Signal {
    /// SIGHUP.
    Hup = 1,
    /// SIGINT.
    Int = 2,
    /// SIGKILL.
    Kill = 9,
    /// SIGUSR1.
    Usr1 = 10,
    /// SIGUSR2.
    Usr2 = 12,
    /// SIGPIPE.
    Pipe = 13,
    /// SIGALRM.
    Alrm = 14,
    /// SIGTERM.
    Term = 15,
    /// SIGCHLD.
    Chld = 17,
    /// SIGURG.
    Urg = 23,
    /// SIGIO.
    Io = 29,
}

impl Signal {
    /// The signal of a number.
    pub fn from_raw(number: i32) -> Option<Signal> {
        use Signal::*;
        let known = [Hup, Int, Kill, Usr1, Usr2, Pipe, Alrm, Term, Chld, Urg, Io];
        known.into_iter().find(|signal| *signal as i32 == number)
    }

    /// `SIGKILL`.
    pub const fn name(self) -> &'static str {
        match self {
            Signal::Hup => "SIGHUP",
            Signal::Int => "SIGINT",
            Signal::Kill => "SIGKILL",
            Signal::Usr1 => "SIGUSR1",
            Signal::Usr2 => "SIGUSR2",
            Signal::Pipe => "SIGPIPE",
            Signal::Alrm => "SIGALRM",
            Signal::Term => "SIGTERM",
            Signal::Chld => "SIGCHLD",
            Signal::Urg => "SIGURG",
            Signal::Io => "SIGIO",
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Exit {
    /// It returned, with this status (0 to 255).
    Status(i32),
    /// A signal of this number ended it.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Status(status) => write!(f, "exit status {status}"),
            Exit::Signal(number) => match Signal::from_raw(*number) {
                Some(signal) => write!(f, "killed by {}", signal.name()),
                None => write!(f, "killed by signal {number}"),
            },
        }
    }
}
