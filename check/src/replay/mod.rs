//! A log's calls, made on the model and compared with what the log says of them.
//!
//! A log's process becomes a process of a [`Machine`], with the same numbers for the same
//! descriptors. A descriptor is *ours* if the model knows what stands behind it: a socket that was
//! made in the log, with all who can reach it, or an epoll. Anything else (files, pipes, sockets of
//! other families, sockets from before the log, connections to others) is *foreign*: its number is
//! taken by a placeholder, and what calls on it return is taken from the log.

mod calls;
mod control;
mod credentials;
mod facts;
mod files;
mod message;
mod names;
mod numbers;
mod options;
mod process;
mod ready;
mod request;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use afunix::call::{Fcntl, Stat};
use afunix::{Call, Errno, Limits, OpenFlags, Pid, Tid};
use afunix_model::machine::NR_OPEN;
use afunix_model::{Effect, Machine, Profile, Resume, Step, Ticket};

use crate::log::{Outcome, Record};
use crate::raw::fd;
use crate::report::Assumed;
pub(crate) use facts::Facts;
use facts::sockets_of;
use request::Request;
use told::Telling;
pub(crate) use told::Told;

/// What a call that was made on the model says about the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// It ended as in the log.
    Explained,
    /// It waits.
    Waits,
    /// It ended otherwise, in words: what the model did.
    Differs(String),
}

/// How a call goes that has not ended in the log.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// Not made on the model yet.
    Ahead,
    /// It waits in the model.
    Waiting(Box<Waiting>),
    /// It has received a part of what it does in the log: more came while it was under way.
    Short(Box<Request>),
    /// It has ended in the model.
    Done,
}

/// A call that waits in the model.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) ticket: Ticket,
    pub(crate) deadline: Option<Duration>,
    pub(crate) woken: bool,
    /// What for, in words.
    pub(crate) on: &'static str,
    request: Request,
}

/// Where a thread of the log is in the model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub(crate) tid: Tid,
    pub(crate) pid: Pid,
    /// The log's number of its process.
    pub(crate) leader: i32,
}

/// The model, and how its things are called in the log.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) machine: Machine,
    pub(crate) seats: BTreeMap<i32, Seat>,
    /// The calls that have begun in the log and not ended, by thread.
    pub(crate) pending: BTreeMap<i32, (usize, Stage)>,
    /// Sockets: the log's inode numbers, and the model's.
    sockets: BTreeMap<u64, u64>,
    /// Sockets of the model that others can reach: what they do is taken from the log.
    outside: BTreeSet<u64>,
    /// Names that the kernel chose (autobind), and what the model chose.
    autobound: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Numbers that were closed, by process: nothing stands behind them but what the log shows.
    closed: BTreeMap<Pid, BTreeSet<i32>>,
    /// Sockets in epolls: process, the data of their events, inode number.
    watched: BTreeMap<(Pid, u64), u64>,
    pub(crate) now: Duration,
    pub(crate) assumed: BTreeMap<Assumed, (u64, usize)>,
    /// Calls on sockets that the model explained.
    pub(crate) explained: u64,
    /// What is told for pictures, if anybody wants to know.
    telling: Option<Telling>,
    /// Processes that cannot be known any more.
    unknown: BTreeSet<Pid>,
}

/// What stands behind a number in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Nothing,
    /// A socket, by its inode number.
    Socket(u64),
    Epoll,
    /// A placeholder.
    Foreign,
}

/// What the log tells as a whole, and the record that is looked at.
#[derive(Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) record: &'a Record,
}

impl State {
    pub(crate) fn new(tells: bool) -> State {
        let mut state = State {
            machine: Machine::new(Profile::default()),
            seats: BTreeMap::new(),
            pending: BTreeMap::new(),
            sockets: BTreeMap::new(),
            outside: BTreeSet::new(),
            autobound: BTreeMap::new(),
            closed: BTreeMap::new(),
            watched: BTreeMap::new(),
            now: Duration::ZERO,
            assumed: BTreeMap::new(),
            explained: 0,
            telling: tells.then(Telling::default),
            unknown: BTreeSet::new(),
        };
        state.machine.observe(tells);
        state.machine.track(false);
        let limits = Limits { descriptors: NR_OPEN };
        let old = &mut Limits::default();
        let call = &mut Call::Prlimit { new: Some(limits), old };
        state.call(Tid(1), call).expect("the superuser sets its limit");
        // Who may go where is for the kernel's file system to say; the log tells the outcome.
        state.call(Tid(1), &mut Call::Umask { mask: 0 }).expect("umask does not fail");
        state
    }

    /// Makes a call of the model, and takes the effects.
    fn step(&mut self, tid: Tid, call: &mut Call<'_, '_>, resume: Resume) -> Step {
        let step = self.machine.step(self.now, tid, call, resume);
        self.drain();
        while self.machine.next_signal(tid).is_some() {}
        step
    }

    fn drain(&mut self) {
        while let Some(effect) = self.machine.next_effect() {
            if let Effect::Woken(woken) = effect {
                for (_, stage) in self.pending.values_mut() {
                    if let Stage::Waiting(waiting) = stage
                        && waiting.ticket == woken
                    {
                        waiting.woken = true;
                    }
                }
            }
        }
        self.hear_machine();
    }

    /// Makes a call that does not wait, of a thread that does not, either.
    fn call(&mut self, tid: Tid, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        if self.is_waiting(tid) {
            return Err(Errno::AGAIN);
        }
        match self.step(tid, call, Resume::First) {
            Step::Done(result) => result,
            Step::Restart => Err(Errno::INTR),
            Step::Blocked { ticket, .. } => {
                self.machine.cancel(ticket);
                self.drain();
                Err(Errno::AGAIN)
            }
        }
    }

    fn is_waiting(&self, tid: Tid) -> bool {
        self.pending.iter().any(|(thread, (_, stage))| {
            matches!(stage, Stage::Waiting(_))
                && self.seats.get(thread).is_some_and(|seat| seat.tid == tid)
        })
    }

    fn behind(&mut self, tid: Tid, number: i32) -> Behind {
        let mut stat = Stat::default();
        let found = self.call(tid, &mut Call::Fstat { fd: fd(number), stat: &mut stat });
        match (found, stat.file_type()) {
            (Err(_), _) => Behind::Nothing,
            (Ok(_), Stat::IFSOCK) => Behind::Socket(stat.ino),
            (Ok(_), 0) => Behind::Epoll,
            (Ok(_), _) => Behind::Foreign,
        }
    }

    /// The socket behind a number, if it is one that nobody outside the log can reach.
    fn ours(&mut self, tid: Tid, number: i32) -> Option<u64> {
        match self.behind(tid, number) {
            Behind::Socket(socket) => Some(socket).filter(|socket| !self.outside.contains(socket)),
            _ => None,
        }
    }

    fn assume(&mut self, look: Look<'_>, what: Assumed) {
        let line = look.record.begin;
        self.assumed.entry(what).or_insert((0, line)).0 += 1;
    }

    /// Begins the call of a record.
    pub(crate) fn begin(&mut self, look: Look<'_>) -> Attempt {
        let Some(seat) = self.seats.get(&look.record.thread).copied() else {
            return Attempt::Explained;
        };
        if self.unknown.contains(&seat.pid) {
            return Attempt::Explained;
        }
        if let Err(what) = self.identify(look, seat) {
            return Attempt::Differs(what);
        }
        let mark = self.mark(look.record, seat);
        let attempt = self.make(look, seat);
        self.tell_call(look, seat, mark, &attempt);
        attempt
    }

    /// Goes on with the call of a record that waits.
    pub(crate) fn go_on(&mut self, look: Look<'_>, why: fn(Ticket) -> Resume) -> Attempt {
        let thread = look.record.thread;
        let Some((_, stage)) = self.pending.get_mut(&thread) else { return Attempt::Explained };
        let (mut request, resume, deadline) = match std::mem::replace(stage, Stage::Done) {
            Stage::Waiting(waiting) => (waiting.request, why(waiting.ticket), waiting.deadline),
            Stage::Short(request) => (*request, Resume::First, None),
            Stage::Ahead | Stage::Done => return Attempt::Explained,
        };
        let Some(seat) = self.seats.get(&thread).copied() else { return Attempt::Explained };
        if let Resume::TimedOut(_) = resume {
            self.now = self.now.max(deadline.unwrap_or_default());
        }
        let step = request.step(self, seat.tid, resume);
        let attempt = self.stepped(look, seat, request, step);
        if attempt == Attempt::Explained {
            self.tell_exit(look.record, seat);
        }
        attempt
    }

    /// A thread begins another call: what it waited in is given up.
    pub(crate) fn abandon(&mut self, thread: i32) {
        if let Some((_, Stage::Waiting(waiting))) = self.pending.remove(&thread) {
            self.machine.cancel(waiting.ticket);
            self.drain();
        }
    }

    /// What a step of a call that may wait says.
    fn stepped(&mut self, look: Look<'_>, seat: Seat, mut request: Request, step: Step) -> Attempt {
        match step {
            Step::Done(Ok(count)) if request.is_short(look.record, count) => {
                request.keep(count);
                self.set_short(look.record.thread, request)
            }
            Step::Blocked { ticket, .. } if request.has_part() => {
                self.machine.cancel(ticket);
                self.drain();
                self.set_short(look.record.thread, request)
            }
            Step::Done(result) => match request.compare(self, look, seat, result) {
                Ok(()) => {
                    self.explained += 1;
                    Attempt::Explained
                }
                Err(what) => Attempt::Differs(what),
            },
            Step::Restart => Attempt::Differs("is interrupted".into()),
            Step::Blocked { on, ticket, deadline } => {
                let on = request::in_words(on.reason);
                let waiting = Waiting { ticket, deadline, woken: false, on, request };
                let stage = Stage::Waiting(Box::new(waiting));
                match self.pending.get_mut(&look.record.thread) {
                    Some(pending) => {
                        pending.1 = stage;
                        Attempt::Waits
                    }
                    None => {
                        self.machine.cancel(ticket);
                        self.drain();
                        Attempt::Waits
                    }
                }
            }
        }
    }

    fn set_short(&mut self, thread: i32, request: Request) -> Attempt {
        if let Some(pending) = self.pending.get_mut(&thread) {
            pending.1 = Stage::Short(Box::new(request));
        }
        Attempt::Waits
    }

    /// How much a call has received that is to receive more.
    pub(crate) fn part(&self, thread: i32) -> Option<usize> {
        match self.pending.get(&thread) {
            Some((_, Stage::Short(request))) => Some(request.part()),
            _ => None,
        }
    }

    /// Compares the descriptors that a record names with what stands behind them in the model.
    fn identify(&mut self, look: Look<'_>, seat: Seat) -> Result<(), String> {
        let record = look.record;
        if record.name == "close" && record.error().is_some() {
            return Ok(());
        }
        for index in 0..record.args.len().min(3) {
            let (Some(number), Some(note)) = (record.fd(index), record.note(index)) else {
                continue;
            };
            if number >= 0 {
                self.identify_one(look, seat, number, note)?;
            }
        }
        Ok(())
    }

    fn identify_one(
        &mut self,
        look: Look<'_>,
        seat: Seat,
        number: i32,
        note: &str,
    ) -> Result<(), String> {
        let behind = self.behind(seat.tid, number);
        let named = sockets_of(note).map(|(socket, _)| socket);
        match (behind, named) {
            (Behind::Socket(ours), Some(theirs)) => self.pair(theirs, ours).map_err(|other| {
                format!(
                    "descriptor {number} is socket {theirs} in the log, and {other} in the model"
                )
            }),
            (Behind::Socket(_), None) => {
                Err(format!("descriptor {number} is {note} in the log, and a socket in the model"))
            }
            (_, Some(theirs)) if self.sockets.contains_key(&theirs) => Err(format!(
                "descriptor {number} is socket {theirs} in the log, and another file in the model"
            )),
            (Behind::Nothing, _) => {
                self.closed.entry(seat.pid).or_default().remove(&number);
                self.put_foreign(seat, number, false)?;
                if named.is_some() {
                    self.assume(look, Assumed::Inherited);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Notes that a socket of the log is one of the model, or says which other it is.
    fn pair(&mut self, theirs: u64, ours: u64) -> Result<(), String> {
        match self.sockets.get(&theirs) {
            Some(known) if *known == ours => Ok(()),
            Some(_) => Err(self.name_of(ours)),
            None => {
                self.prune();
                self.sockets.insert(theirs, ours);
                Ok(())
            }
        }
    }

    /// The log's inode number of a socket, or words for one that it does not know.
    fn name_of(&self, ours: u64) -> String {
        let known = self.sockets.iter().find(|(_, known)| **known == ours);
        known.map_or("another socket".into(), |(theirs, _)| format!("socket {theirs}"))
    }

    /// Forgets the sockets that are gone, when many are known.
    fn prune(&mut self) {
        const MANY: usize = 1024;
        if self.sockets.len() >= MANY && self.sockets.len().is_power_of_two() {
            let live = self.machine.snapshot(self.now).sockets;
            let live: BTreeSet<u64> = live.iter().map(|socket| socket.id).collect();
            self.sockets.retain(|_, ours| live.contains(ours));
            self.outside.retain(|ours| live.contains(ours));
        }
    }

    /// A descriptor's flags for exec.
    fn is_cloexec(&mut self, tid: Tid, number: i32) -> bool {
        self.call(tid, &mut Call::Fcntl { fd: fd(number), command: Fcntl::Getfd }) == Ok(1)
    }

    /// Puts a placeholder under a number.
    fn put_foreign(&mut self, seat: Seat, number: i32, cloexec: bool) -> Result<(), String> {
        if number < 0 || number as u32 >= NR_OPEN {
            return Err(format!("no descriptor has the number {number}"));
        }
        if let Behind::Socket(socket) = self.behind(seat.tid, number)
            && !self.outside.contains(&socket)
        {
            return Err(format!("descriptor {number} is still open, as {}", self.name_of(socket)));
        }
        self.closed.entry(seat.pid).or_default().remove(&number);
        let flag = if cloexec { OpenFlags::CLOEXEC } else { OpenFlags::empty() };
        let mut open = Call::Open { path: b"/dev/null", flags: flag, mode: 0 };
        let made = self.call(seat.tid, &mut open).map_err(|errno| format!("no room: {errno}"))?;
        if made as i32 != number {
            let (from, to) = (fd(made as i32), fd(number));
            let flags = flag.bits();
            let moved = self.call(seat.tid, &mut Call::Dup3 { fd: from, new: to, flags });
            self.call(seat.tid, &mut Call::Close { fd: from })
                .map_err(|errno| errno.to_string())?;
            moved.map_err(|errno| errno.to_string())?;
        }
        Ok(())
    }

    /// Whether the record's outcome is one that says nothing of what the call did.
    pub(crate) fn is_open(record: &Record) -> bool {
        matches!(record.outcome, Outcome::None | Outcome::Unfinished)
    }
}

impl State {
    /// The sockets that a record names, in the model, a line each.
    pub(crate) fn describe(&self, record: &Record) -> Vec<String> {
        let Some(seat) = self.seats.get(&record.thread).copied() else { return Vec::new() };
        let mut state = self.clone();
        let shown = self.machine.snapshot(self.now).sockets;
        let mut lines = Vec::new();
        let numbers = record.args.iter().filter_map(|field| field.value.number());
        for number in numbers.filter_map(|number| i32::try_from(number).ok()).take(1) {
            let Some(found) = state.ours(seat.tid, number) else { continue };
            let Some(socket) = shown.iter().find(|socket| socket.id == found) else { continue };
            lines.push(format!("descriptor {number}: {}", in_words(socket)));
            let peer = shown.iter().find(|other| Some(other.id) == socket.peer);
            lines.extend(peer.map(|peer| format!("its peer: {}", in_words(peer))));
        }
        lines
    }
}

/// A socket in a line.
fn in_words(socket: &afunix::snapshot::Socket) -> String {
    let mut words = format!("{:?} {:?}", socket.kind, socket.state).to_lowercase();
    if let Some(name) = &socket.name {
        words += &format!(" {name}");
    }
    let queue = &socket.receive;
    words += &format!(", {} bytes in {} messages received", queue.bytes, queue.messages);
    for (is, what) in [(socket.shut_read, "reading"), (socket.shut_write, "writing")] {
        if is {
            words += &format!(", shut for {what}");
        }
    }
    words
}
