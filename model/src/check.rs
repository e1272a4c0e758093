//! Invariants, recomputed from scratch.

use std::fmt;

use crate::Machine;

/// A broken invariant, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

impl From<String> for Violation {
    fn from(words: String) -> Self {
        Violation(words)
    }
}

/// Returns the violation unless what must hold does.
macro_rules! must {
    ($holds:expr, $($words:tt)*) => {
        if !$holds {
            return Err($crate::check::Violation(format!($($words)*)));
        }
    };
}
pub(crate) use must;

impl Machine {
    /// Recomputes what the machine counts along, and compares: references and flights of every
    /// file, holds and links of every inode, memory charged and bytes queued of every socket, who
    /// waits for what. It costs time in proportion to the whole state.
    pub fn check(&self) -> Result<(), Violation> {
        self.check_processes()?;
        self.check_signals()?;
        self.check_files()?;
        self.check_tree()?;
        self.check_pipes()?;
        self.check_epolls()?;
        self.check_waits()?;
        self.check_sockets()
    }
}
