//! Faults: only what the system may lawfully do.
//!
//! A *profile* says which kinds of fault a run may have; how often they strike is drawn once per
//! run, so that runs differ.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::choice::{Chooser, Label};

/// Which kinds of fault a run may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Faults {
    /// None: scheduling alone.
    None,
    /// Calls that wait are interrupted (EINTR, or a partial count), reads and non-blocking writes
    /// on streams are short, time passes while a thread could run.
    Io,
    /// Processes that declared `Host::may_crash` are killed before one of their calls, or while it
    /// waits.
    Crash,
    /// `Io` and `Crash`.
    All,
    /// `Io`, and what POSIX does not promise: datagrams are lost, overtake each other, or find no
    /// room (ENOBUFS), and the machine is of the profile `posix`, which lacks what Linux has
    /// beside.
    Posix,
    /// None, `Io`, `Crash` or `All`, drawn per run.
    #[default]
    Portfolio,
}

impl Faults {
    /// All of them.
    pub const ALL: [Faults; 6] =
        [Faults::None, Faults::Io, Faults::Crash, Faults::All, Faults::Posix, Faults::Portfolio];

    /// The name on the command line and in tapes.
    pub const fn name(self) -> &'static str {
        match self {
            Faults::None => "none",
            Faults::Io => "io",
            Faults::Crash => "crash",
            Faults::All => "all",
            Faults::Posix => "posix",
            Faults::Portfolio => "portfolio",
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not the name of a fault profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAProfile;

impl fmt::Display for NotAProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fault profile is one of none, io, crash, all, posix, portfolio")
    }
}

impl std::error::Error for NotAProfile {}

impl FromStr for Faults {
    type Err = NotAProfile;

    fn from_str(name: &str) -> Result<Self, NotAProfile> {
        Faults::ALL.into_iter().find(|faults| faults.name() == name).ok_or(NotAProfile)
    }
}

/// How often faults strike in this run: once in so many chances; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Odds {
    /// A call that waits is interrupted.
    pub(crate) interrupt: u32,
    /// A transfer is short.
    pub(crate) short: u32,
    /// Time passes though a thread could run.
    pub(crate) late: u32,
    /// A process is killed.
    pub(crate) crash: u32,
    /// How many processes are killed at most.
    pub(crate) crashes: u32,
    /// A datagram is lost.
    pub(crate) lost: u32,
    /// A datagram overtakes others.
    pub(crate) overtaken: u32,
    /// A datagram finds no room: ENOBUFS.
    pub(crate) no_buffers: u32,
}

impl Odds {
    /// Draws the odds of a run. Value 0 of each choice is the mildest.
    pub(crate) fn draw(faults: Faults, most_crashes: u32, chooser: &mut Chooser) -> Odds {
        let mut pick = |from: [u32; 4]| from[chooser.choose(4, Label::Profile) as usize];
        let (io, crash) = match faults {
            Faults::None => (false, false),
            Faults::Io | Faults::Posix => (true, false),
            Faults::Crash => (false, true),
            Faults::All => (true, true),
            Faults::Portfolio => {
                let kinds = pick([0, 1, 2, 3]);
                (kinds & 1 != 0, kinds & 2 != 0)
            }
        };
        let mut odds = Odds::default();
        if io {
            odds.interrupt = pick([0, 32, 8, 3]);
            odds.short = pick([0, 32, 8, 3]);
            odds.late = pick([0, 0, 64, 16]);
        }
        if faults == Faults::Posix {
            odds.lost = pick([0, 32, 8, 3]);
            odds.overtaken = pick([0, 8, 3, 2]);
            odds.no_buffers = pick([0, 0, 32, 8]);
        }
        if crash {
            odds.crash = pick([256, 64, 16, 4]);
            odds.crashes = 1 + chooser.choose(most_crashes.max(1), Label::Profile);
        }
        odds
    }

    /// Whether something may happen to datagrams.
    pub(crate) fn troubles(&self) -> bool {
        self.lost != 0 || self.overtaken != 0
    }
}

/// How many faults of each kind were injected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FaultCounts {
    /// Calls that waited and were interrupted.
    pub interrupted: u64,
    /// Reads that were made short.
    pub short_reads: u64,
    /// Writes that were made short.
    pub short_writes: u64,
    /// Jumps of time while a thread could run.
    pub late: u64,
    /// Processes killed.
    pub crashes: u64,
    /// Datagrams lost.
    pub lost: u64,
    /// Datagrams that overtook others.
    pub overtaken: u64,
    /// Datagrams that found no room: ENOBUFS.
    pub no_buffers: u64,
    /// Calls that a user's rule failed, cut or delayed.
    pub rules: u64,
}

impl FaultCounts {
    /// All together.
    pub fn total(&self) -> u64 {
        let FaultCounts { interrupted, short_reads, short_writes, late, crashes, rules, .. } = self;
        let datagrams = self.lost + self.overtaken + self.no_buffers;
        interrupted + short_reads + short_writes + late + crashes + rules + datagrams
    }

    pub(crate) fn add(&mut self, other: &FaultCounts) {
        self.interrupted += other.interrupted;
        self.short_reads += other.short_reads;
        self.short_writes += other.short_writes;
        self.late += other.late;
        self.crashes += other.crashes;
        self.lost += other.lost;
        self.overtaken += other.overtaken;
        self.no_buffers += other.no_buffers;
        self.rules += other.rules;
    }
}
