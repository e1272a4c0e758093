//! What is outside: real sockets at paths that the program's own do not have.
//!
//! By default nobody is there (ECONNREFUSED). A path that is *allowed* leads to the kernel: the
//! number that was to be connected becomes a real socket before the kernel makes the call.

use std::collections::HashSet;
use std::os::linux::fs::MetadataExt;
use std::path::PathBuf;

use afunix_model::sockets::NameKey;

/// What is known of the world outside.
#[derive(Debug)]
pub(crate) struct Outside {
    allowed: Vec<PathBuf>,
    /// The inodes that the program's own sockets were bound to.
    own: HashSet<NameKey>,
}

impl Outside {
    pub(crate) fn new(allowed: Vec<PathBuf>) -> Outside {
        Outside { allowed, own: HashSet::new() }
    }

    /// Whether anything outside may be reached.
    pub(crate) fn is_open(&self) -> bool {
        !self.allowed.is_empty()
    }

    /// A socket of the program was bound to it.
    pub(crate) fn add_own(&mut self, name: NameKey) {
        self.own.insert(name);
    }

    /// Whether a socket of the program has, or had, this name.
    pub(crate) fn is_own(&self, name: NameKey) -> bool {
        self.own.contains(&name)
    }

    /// Whether what is found at a path may be reached. An allowed path may come to be, and change,
    /// while the program runs.
    pub(crate) fn is_allowed(&self, name: NameKey) -> bool {
        !self.is_own(name)
            && self.allowed.iter().any(|path| {
                std::fs::metadata(path).is_ok_and(|metadata| {
                    NameKey { dev: metadata.st_dev(), ino: metadata.st_ino() } == name
                })
            })
    }
}
