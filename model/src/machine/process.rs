//! Processes and threads: who they are, who waits for whom, and how they end.

use std::collections::BTreeSet;

use afunix::{Exit, Limits, Pid, Signal, Tid};

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
}

/// What a process does on a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disposition {
    /// SIG_DFL.
    Default,
    /// SIG_IGN.
    Ignore,
    /// A handler of the host's: [`super::Effect::Signal`].
    Handle,
}

/// The dispositions that are not the default, as two sets of signal numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dispositions {
    ignored: u64,
    handled: u64,
}

impl Default for Dispositions {
    /// As Rust programs start: SIGPIPE ignored.
    fn default() -> Self {
        Dispositions { ignored: 1 << Signal::Pipe as i32, handled: 0 }
    }
}

impl Dispositions {
    pub(crate) fn set(&mut self, signal: Signal, disposition: Disposition) {
        let bit = 1u64 << signal as i32;
        self.ignored &= !bit;
        self.handled &= !bit;
        match disposition {
            // Neither can be caught or ignored (signal(7)).
            _ if signal == Signal::Kill => {}
            Disposition::Default => {}
            Disposition::Ignore => self.ignored |= bit,
            Disposition::Handle => self.handled |= bit,
        }
    }

    pub(crate) fn get(&self, number: i32) -> Disposition {
        let bit = 1u64 << number.clamp(0, 63);
        match () {
            () if self.ignored & bit != 0 => Disposition::Ignore,
            () if self.handled & bit != 0 => Disposition::Handle,
            () => Disposition::Default,
        }
    }
}

/// Whether the default disposition of a signal ends the process (signal(7)). Those that stop or
/// continue it do nothing here.
pub(crate) fn ends_by_default(number: i32) -> bool {
    const CHLD: i32 = 17;
    const WINCH: i32 = 28;
    // 18 to 22: CONT, STOP, TSTP, TTIN, TTOU.
    number != 0
        && number != CHLD
        && number != WINCH
        && number != Signal::Urg as i32
        && !(18..=22).contains(&number)
}

/// A thread, and the call that it waits in.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    pub(crate) process: Pid,
    pub(crate) name: String,
    pub(crate) call: Option<InCall>,
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
