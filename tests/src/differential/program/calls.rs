//! Kinds of calls of which there are many.

use afunix::SigHandler;

use super::Slot;

/// A call by path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathCall {
    Mkdir(u32),
    Rmdir,
    Unlink,
    Rename(&'static str),
    Link(&'static str),
    Symlink(&'static str),
    Chmod(u32),
    Chown(u32, u32),
    Stat,
    Lstat,
}

/// Who a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Real, effective, saved.
    Resuid([u32; 3]),
    /// Real, effective, saved.
    Resgid([u32; 3]),
    Fsuid(u32),
    Fsgid(u32),
    Groups(Vec<u32>),
}

impl Identity {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Identity::Resuid(_) => "setresuid",
            Identity::Resgid(_) => "setresgid",
            Identity::Fsuid(_) => "setfsuid",
            Identity::Fsgid(_) => "setfsgid",
            Identity::Groups(_) => "setgroups",
        }
    }
}

/// A call about signals, and who gets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignalCall {
    /// Sets a file's owner.
    Own {
        /// The file.
        fd: Slot,
        /// By which call.
        by: OwnerBy,
        /// Index of the process, or a number that is nobody's.
        owner: Result<usize, i32>,
    },
    /// Asks for it.
    Owner {
        /// The file.
        fd: Slot,
        /// By which call.
        by: OwnerBy,
    },
    /// kill(2)
    Kill {
        /// Index of the process; one that there is not, for a process id that is nobody's.
        process: usize,
        /// The signal.
        signal: i32,
    },
    /// sigaction(2)
    Action {
        /// The signal.
        signal: i32,
        /// Who handles it; else only the old is asked for.
        handler: Option<SigHandler>,
        /// `SaFlags`.
        flags: u32,
    },
    /// sigprocmask(2)
    Mask {
        /// SIG_BLOCK and so on.
        how: i32,
        /// The set.
        signals: Vec<i32>,
    },
}

/// Which call sets or tells a file's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerBy {
    /// F_SETOWN, F_GETOWN.
    Fcntl,
    /// FIOSETOWN, FIOGETOWN.
    File,
    /// SIOCSPGRP, SIOCGPGRP.
    Socket,
}

impl SignalCall {
    pub(super) fn name(&self) -> &'static str {
        match self {
            SignalCall::Own { by: OwnerBy::Fcntl, .. }
            | SignalCall::Owner { by: OwnerBy::Fcntl, .. } => "fcntl",
            SignalCall::Own { .. } | SignalCall::Owner { .. } => "ioctl",
            SignalCall::Kill { .. } => "kill",
            SignalCall::Action { .. } => "rt_sigaction",
            SignalCall::Mask { .. } => "rt_sigprocmask",
        }
    }

    pub(super) fn each_slot(&mut self, each: &mut dyn FnMut(&mut Slot)) {
        match self {
            SignalCall::Own { fd, .. } | SignalCall::Owner { fd, .. } => each(fd),
            SignalCall::Kill { .. } | SignalCall::Action { .. } | SignalCall::Mask { .. } => {}
        }
    }
}

impl PathCall {
    pub(super) fn name(self) -> &'static str {
        match self {
            PathCall::Mkdir(_) => "mkdir",
            PathCall::Rmdir => "rmdir",
            PathCall::Unlink => "unlink",
            PathCall::Rename(_) => "rename",
            PathCall::Link(_) => "link",
            PathCall::Symlink(_) => "symlink",
            PathCall::Chmod(_) => "chmod",
            PathCall::Chown(..) => "chown",
            PathCall::Stat => "stat",
            PathCall::Lstat => "lstat",
        }
    }
}
