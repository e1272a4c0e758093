//! Warnings: what in a snapshot should make somebody look, each in a plain sentence.
//!
//! Each rule is a function from the snapshot to the warnings of one kind. They hold back: what a
//! healthy system does all day, a server that waits for data, say, is no warning.

mod rules;

use afunix::snapshot::Snapshot;

use crate::index::Index;
use crate::text::wrap;

pub(crate) use rules::lost_carriers;

/// Something that should make somebody look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Which rule says so.
    pub kind: WarningKind,
    /// What is the case and what follows, in a sentence or two; escaped.
    pub text: String,
    /// The sockets that it is about.
    pub sockets: Vec<u64>,
    /// The processes that it is about.
    pub processes: Vec<u32>,
}

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WarningKind {
    /// Threads wait for each other with full buffers: nobody reads before it has written.
    BothBlocked,
    /// Threads wait for each other in a circle, for whatever reason.
    WaitCycle,
    /// A reader's end of file does not come as long as somebody keeps a copy of the other end.
    InheritedCopy,
    /// A listener takes no more connections until somebody accepts one.
    BacklogFull,
    /// Files in flight in a queue that nobody can receive from.
    LostFiles,
    /// The path of a bound socket leads to another file, or nowhere.
    NameReplaced,
    /// A socket file that no socket is bound to.
    StaleFile,
    /// A datagram sender waits until one slow reader reads.
    SlowReader,
    /// A process keeps descriptors of connections whose peer is gone.
    DescriptorLeak,
}

impl WarningKind {
    /// A few words: the heading of the warning.
    pub fn title(self) -> &'static str {
        match self {
            Self::BothBlocked => "both ends blocked on full buffers",
            Self::WaitCycle => "a circle of waits",
            Self::InheritedCopy => "an inherited copy keeps end of file from arriving",
            Self::BacklogFull => "a backlog is full",
            Self::LostFiles => "files in flight that nobody can receive",
            Self::NameReplaced => "a bound path was replaced",
            Self::StaleFile => "a stale socket file",
            Self::SlowReader => "a sender waits for one slow reader",
            Self::DescriptorLeak => "descriptors leak",
        }
    }
}

/// The warnings of a snapshot, by kind; within a kind by what they are about.
///
/// # Examples
/// ```
/// use afunix::snapshot::Snapshot;
/// assert!(afunix_viz::warnings(&Snapshot::default()).is_empty());
/// ```
pub fn warnings(snapshot: &Snapshot) -> Vec<Warning> {
    let index = Index::new(snapshot);
    let mut found = Vec::from_iter(rules::circle(&index));
    found.extend(rules::inherited_copies(&index));
    found.extend(rules::full_backlogs(&index));
    found.extend(rules::lost_files(&index));
    found.extend(rules::replaced_names(&index));
    found.extend(rules::stale_files(&index));
    found.extend(rules::slow_readers(&index));
    found.extend(rules::leaks(&index));
    found
}

/// The warnings as lines of at most so many columns.
pub(crate) fn lines(warnings: &[Warning], columns: usize) -> Vec<String> {
    let line = |warning: &Warning| format!("warning: {}: {}", warning.kind.title(), warning.text);
    warnings.iter().flat_map(|warning| wrap(&line(warning), columns)).collect()
}
