//! Processes and threads: who they are, who waits for whom, and how they end.

use std::collections::{BTreeSet, VecDeque};

use afunix::signal::SIGNAL_MAX;
use afunix::{Exit, Limits, Pid, SaFlags, SigHandler, SigSet, Sigaction, Signal, Tid};

use super::Time;
use super::descriptors::Descriptors;
use super::file::FileId;
use super::fs::InodeId;
use super::identity::Identity;
use crate::sockets::{Receiving, Sending};
use crate::wait::{On, Ticket, WaitQueue};

/// Most descriptors that a limit may allow: `fs.nr_open`.
pub const NR_OPEN: u32 = 1 << 20;

/// A process, running or a zombie.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    /// `None`: nobody waits for it, and its end leaves no zombie.
    pub(crate) parent: Option<Pid>,
    pub(crate) identity: Identity,
    pub(crate) umask: u32,
    pub(crate) limits: Limits,
    /// May open nothing by a path, nor may its children.
    pub(crate) confined: bool,
    pub(crate) cwd: InodeId,
    /// Where `/` is.
    pub(crate) root: InodeId,
    /// The mount namespace.
    pub(crate) mounts: u32,
    /// The network namespace: abstract names are one's own in each (ADDR 5).
    pub(crate) netns: u32,
    pub(crate) descriptors: Descriptors,
    pub(crate) threads: Vec<Tid>,
    pub(crate) children: BTreeSet<Pid>,
    /// Set once it has ended and nobody has waited for it yet.
    pub(crate) ended: Option<Exit>,
    /// Its own threads that wait for a child to end.
    pub(crate) child_waiters: WaitQueue,
    /// Who polls a pidfd of it.
    pub(crate) end_waiters: WaitQueue,
    pub(crate) dispositions: Dispositions,
    /// Signals that were sent to it and that all its threads block.
    pub(crate) pending: Vec<i32>,
}

/// The dispositions that are not the default, as sets of signals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dispositions {
    ignored: SigSet,
    handled: SigSet,
    restarting: SigSet,
    /// Of the handled ones, those that are handled once.
    once: SigSet,
}

impl Default for Dispositions {
    /// As Rust programs start: SIGPIPE ignored.
    fn default() -> Self {
        Dispositions {
            ignored: SigSet::EMPTY.with(Signal::Pipe as i32),
            handled: SigSet::EMPTY,
            restarting: SigSet::EMPTY,
            once: SigSet::EMPTY,
        }
    }
}

impl Dispositions {
    pub(crate) fn set(&mut self, signal: i32, action: Sigaction) {
        let Sigaction { handler, flags } = action;
        for (set, is_in) in [
            (&mut self.ignored, handler == SigHandler::Ignore),
            (&mut self.handled, handler == SigHandler::Handle),
            (&mut self.restarting, flags.contains(SaFlags::RESTART)),
            (&mut self.once, flags.contains(SaFlags::RESETHAND)),
        ] {
            *set = if is_in { set.with(signal) } else { set.without(signal) };
        }
    }

    pub(crate) fn get(&self, signal: i32) -> Sigaction {
        let handler = match () {
            () if self.ignored.contains(signal) => SigHandler::Ignore,
            () if self.handled.contains(signal) => SigHandler::Handle,
            () => SigHandler::Default,
        };
        let mut flags = SaFlags::empty();
        flags.set(SaFlags::RESTART, self.restarting.contains(signal));
        flags.set(SaFlags::RESETHAND, self.once.contains(signal));
        Sigaction { handler, flags }
    }

    /// Whether any signal is handled.
    pub(crate) fn any_handled(&self) -> bool {
        self.handled != SigSet::EMPTY
    }
}

/// Whether the default disposition of a signal is to do nothing (signal(7)), as those do here, too,
/// that stop a process or let it go on.
pub(crate) fn is_ignored_by_default(signal: i32) -> bool {
    const CHLD: i32 = 17;
    const WINCH: i32 = 28;
    // 18 to 22: CONT, STOP, TSTP, TTIN, TTOU.
    matches!(signal, CHLD | WINCH | 18..=22) || signal == Signal::Urg as i32
}

/// Whether the default disposition of a signal ends the process.
pub(crate) fn ends_by_default(signal: i32) -> bool {
    (1..=SIGNAL_MAX).contains(&signal) && !is_ignored_by_default(signal)
}

/// A thread, and the call that it waits in.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    pub(crate) process: Pid,
    pub(crate) name: String,
    pub(crate) call: Option<InCall>,
    /// The signals that it blocks.
    pub(crate) mask: SigSet,
    /// What its mask will be when the call is over that has one of its own.
    pub(crate) unmasked: Option<SigSet>,
    /// Signals that it is to take, in the order of their coming.
    pub(crate) pending: Vec<Sent>,
    /// Signals whose handlers its host is to run.
    pub(crate) taken: VecDeque<i32>,
}

impl Thread {
    pub(crate) fn new(process: Pid, name: &str) -> Thread {
        Thread {
            process,
            name: name.to_owned(),
            call: None,
            mask: SigSet::EMPTY,
            unmasked: None,
            pending: Vec::new(),
            taken: VecDeque::new(),
        }
    }
}

/// A signal that is pending to a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) signal: i32,
    /// It was sent to the process.
    pub(crate) shared: bool,
}

/// A call that waits. What it holds is what the kernel's own call would hold: its file (VFS 5) and
/// what was settled when it began (VFS 6).
#[derive(Clone, Debug)]
pub(crate) struct InCall {
    pub(crate) call: &'static str,
    pub(crate) fd: Option<i32>,
    pub(crate) on: On,
    pub(crate) ticket: Ticket,
    pub(crate) since: Time,
    pub(crate) deadline: Option<Time>,
    /// The file that it is about, of which it holds a reference.
    pub(crate) file: Option<FileId>,
    /// poll: the files that it looks at; it holds a reference of each.
    pub(crate) polled: Vec<FileId>,
    pub(crate) state: InCallState,
}

/// How far a call that waits has come.
#[derive(Clone, Debug, Default)]
pub(crate) enum InCallState {
    #[default]
    None,
    Send(Box<Sending>),
    Receive(Box<Receiving>),
    /// accept: the number set aside for the connection.
    Accept(i32),
}

/// A table by number: pids and tids start at 1 and are not used again.
#[derive(Clone, Debug)]
pub(crate) struct Numbered<T> {
    slots: Vec<Option<Box<T>>>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Numbered { slots: Vec::new() }
    }
}

impl<T> Numbered<T> {
    #[inline]
    pub(crate) fn get(&self, number: i32) -> Option<&T> {
        self.slots.get(number as usize)?.as_deref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, number: i32) -> Option<&mut T> {
        self.slots.get_mut(number as usize)?.as_deref_mut()
    }

    pub(crate) fn insert(&mut self, number: i32, value: T) {
        let index = number as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        self.slots[index] = Some(Box::new(value));
    }

    pub(crate) fn remove(&mut self, number: i32) -> Option<T> {
        self.slots.get_mut(number as usize)?.take().map(|boxed| *boxed)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i32, &T)> {
        let numbered = self.slots.iter().enumerate();
        numbered.filter_map(|(number, slot)| Some((number as i32, slot.as_deref()?)))
    }
}
