//! The record of one run: its events, and a mark per step by which tapes are compared.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use afunix::snapshot::{FileKind, Snapshot, Wait};
use afunix::trace::{Event, EventKind};
use afunix::{Pid, Tid};

use crate::counts::mix;
use crate::critical::Turn;
use crate::report::{Failure, FailureKind};
use crate::tape::Mark;
use crate::world::{End, NOBODY, State, World};

/// Snapshots kept of one run at most: of a longer run every second is left out, and so on.
const MOST_SNAPSHOTS: usize = 256;

/// The record of one run.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) events: Vec<Event>,
    /// The machine before steps, where it changed, each with how many events came before.
    pub(crate) snapshots: Vec<(usize, Snapshot)>,
    /// How many steps one snapshot stands for, as a power of two.
    thinned: u32,
    /// Who did what, step by step.
    pub(crate) marks: Vec<Mark>,
    /// Whose turn it was, at every scheduling point.
    pub(crate) turns: Vec<Turn>,
    /// What a replay must do, step by step, as far as the tape tells.
    expected: Option<Arc<[Mark]>>,
    /// The step before which the run stops.
    until: Option<u64>,
}

impl Record {
    /// A record that compares with the marks of a tape, and stops before a step.
    pub(crate) fn following(expected: Arc<[Mark]>, until: Option<u64>) -> Record {
        Record { expected: Some(expected), until, ..Record::default() }
    }
}

impl World {
    /// Notes an event of a thread (or of none), if there is a record.
    #[inline]
    pub(crate) fn note(&mut self, slot: u32, kind: impl FnOnce() -> EventKind) {
        if self.record.is_none() {
            return;
        }
        let (pid, tid) = match self.threads.get(slot as usize) {
            Some(thread) => (thread.pid, thread.tid),
            None => (Pid(0), Tid(0)),
        };
        self.note_as(pid, tid, kind());
    }

    pub(crate) fn note_as(&mut self, pid: Pid, tid: Tid, kind: EventKind) {
        let at = u64::try_from(self.clock.as_nanos()).unwrap_or(u64::MAX);
        if let Some(record) = &mut self.record {
            let seq = record.events.len() as u64;
            let (process, thread) = (pid.0.unsigned_abs(), tid.0.unsigned_abs());
            record.events.push(Event { seq, at, process, thread, kind });
        }
    }

    /// Takes over what the machine noticed in its last step.
    #[cold]
    pub(crate) fn note_happened(&mut self) {
        while let Some(happened) = self.machine.next_event() {
            self.note_as(happened.process, happened.thread, happened.kind);
        }
    }

    /// Notes whose turn it is.
    pub(crate) fn note_turn(&mut self) {
        let slot = self.current;
        if let Some(record) = &mut self.record {
            let (step, event) = (record.marks.len(), record.events.len());
            record.turns.push(Turn { slot, step, event });
        }
    }

    /// Marks a step, and compares it with the tape that is replayed.
    pub(crate) fn mark(&mut self, slot: u32, call: &str) {
        self.look();
        if self.record.is_none() {
            return;
        }
        let state = self.state_hash();
        let Some(record) = &mut self.record else { return };
        let at = record.marks.len();
        let mark = Mark {
            thread: self.threads[slot as usize].name.clone(),
            call: call.to_owned(),
            choices: u32::try_from(self.chooser.made().len()).unwrap_or(u32::MAX),
            state,
        };
        self.chooser.aligned_step(&mark.thread, call);
        let expected = record.expected.as_ref().and_then(|expected| expected.get(at));
        let misfit = expected
            .and_then(|expected| mark.differs_from(expected))
            .map(|how| format!("first divergence at step {at}: {how}"));
        record.marks.push(mark);
        let stops = record.until.is_some_and(|until| record.marks.len() as u64 > until);
        if self.end.is_some() {
            return;
        }
        if let Some(misfit) = misfit {
            self.end = Some(End::Failed(Box::new(Failure::new(FailureKind::Diverged, misfit))));
        } else if stops {
            self.end = Some(End::Stopped);
        }
    }

    /// Keeps a snapshot for the record, if it is this step's turn and something has changed.
    fn look(&mut self) {
        let Some(record) = &self.record else { return };
        if !record.marks.len().is_multiple_of(1 << record.thinned) {
            return;
        }
        let now = self.snapshot();
        let Some(record) = &mut self.record else { return };
        let last = record.snapshots.last();
        if last.is_some_and(|(_, last)| *last == Snapshot { at: last.at, ..now.clone() }) {
            return;
        }
        record.snapshots.push((record.events.len(), now));
        if record.snapshots.len() > MOST_SNAPSHOTS {
            let mut index = 0;
            record.snapshots.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            record.thinned += 1;
        }
    }

    /// A hash of the machine's state, of all but the time: a program that was changed a little
    /// comes back to the same state, though later.
    fn state_hash(&self) -> u32 {
        let mut snapshot = self.machine.snapshot(Duration::ZERO);
        let threads = snapshot.processes.iter_mut().flat_map(|process| &mut process.threads);
        threads.for_each(|thread| thread.wait = None);
        let mut hash = Hash(0);
        // It takes whatever is written.
        let _ = write!(hash, "{snapshot:?}");
        (hash.0 >> 32) as u32
    }

    /// The socket that a descriptor of a process stands for. Slow: for records.
    pub(crate) fn socket_of(&self, pid: Pid, fd: i32) -> Option<u64> {
        socket_of(&self.machine.snapshot(self.clock), pid, fd)
    }

    /// The machine now, with what each thread waits for.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.machine.snapshot(self.clock);
        let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        for thread in snapshot.processes.iter_mut().flat_map(|process| &mut process.threads) {
            let ours = self.threads.iter().find(|ours| ours.tid.0.unsigned_abs() == thread.tid);
            let waiting = ours
                .filter(|ours| ours.state == State::Waiting)
                .and_then(|ours| ours.waiting.as_ref());
            if let Some(waiting) = waiting {
                thread.wait = Some(Wait {
                    call: waiting.call.to_owned(),
                    fd: waiting.fd,
                    reason: waiting.on.reason,
                    socket: waiting.on.socket,
                    since: nanos(waiting.since),
                    deadline: waiting.deadline.map(nanos),
                });
            }
        }
        snapshot
    }

    /// The name of a thread for messages: with its id, if another has the same name.
    pub(crate) fn title(&self, slot: u32) -> String {
        if slot == NOBODY {
            return "nobody".to_owned();
        }
        let thread = &self.threads[slot as usize];
        let same = self.threads.iter().filter(|other| other.name == thread.name).count();
        if same > 1 { format!("{} ({})", thread.name, thread.tid) } else { thread.name.clone() }
    }
}

/// A hash of what is written to it.
struct Hash(u64);

impl fmt::Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = text.bytes().fold(self.0, |hash, byte| mix(hash, u64::from(byte)));
        Ok(())
    }
}

/// The socket that a descriptor of a process stands for.
pub(crate) fn socket_of(snapshot: &Snapshot, pid: Pid, fd: i32) -> Option<u64> {
    let process = snapshot.processes.iter().find(|one| one.pid == pid.0.unsigned_abs())?;
    let file = process.descriptors.iter().find(|descriptor| descriptor.fd == fd)?.file;
    match snapshot.files.iter().find(|one| one.id == file)?.kind {
        FileKind::Socket(id) => Some(id),
        _ => None,
    }
}
