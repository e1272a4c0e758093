//! Signals: what a process does on one, and which ones a thread keeps waiting.

use bitflags::bitflags;

/// The last signal, SIGRTMAX.
pub const SIGNAL_MAX: i32 = 64;

/// What a process does on a signal: `struct sigaction`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sigaction {
    /// Who handles it.
    pub handler: SigHandler,
    /// The flags.
    pub flags: SaFlags,
}

/// Who handles a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SigHandler {
    /// SIG_DFL.
    #[default]
    Default,
    /// SIG_IGN.
    Ignore,
    /// The process's host, which runs what [`crate::Host::on_signal`] was given, if anything.
    Handle,
}

bitflags! {
    /// Flags of sigaction(2), as far as they can be told here: while a handler runs no other does,
    /// whatever SA_NODEFER says.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SaFlags: u32 {
        /// A call that it interrupts is made again, if the call is one of those (signal(7)).
        const RESTART = 0x1000_0000;
        /// It is handled once; then its disposition is the default.
        const RESETHAND = 0x8000_0000;
    }
}

/// A set of signals, as a `sigset_t`: signal 1 is the lowest bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SigSet(pub u64);

impl SigSet {
    /// No signal.
    pub const EMPTY: SigSet = SigSet(0);

    /// The signals of these numbers, as far as there are such.
    pub fn of(signals: &[i32]) -> SigSet {
        signals.iter().fold(SigSet::EMPTY, |set, signal| set.with(*signal))
    }

    /// And `signal`.
    pub const fn with(self, signal: i32) -> SigSet {
        SigSet(self.0 | bit(signal))
    }

    /// But for `signal`.
    pub const fn without(self, signal: i32) -> SigSet {
        SigSet(self.0 & !bit(signal))
    }

    /// Whether `signal` is among them.
    pub const fn contains(self, signal: i32) -> bool {
        self.0 & bit(signal) != 0
    }
}

const fn bit(signal: i32) -> u64 {
    match signal {
        1..=SIGNAL_MAX => 1 << (signal - 1),
        _ => 0,
    }
}

/// sigprocmask(2): these signals wait, too.
pub const SIG_BLOCK: i32 = 0;
/// sigprocmask(2): these signals wait no longer.
pub const SIG_UNBLOCK: i32 = 1;
/// sigprocmask(2): these signals wait, and no others.
pub const SIG_SETMASK: i32 = 2;
