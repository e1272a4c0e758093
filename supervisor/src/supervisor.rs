//! The loop that answers calls.
//!
//! In a *round* one call is tried, then every call that it woke, until nothing is woken; then the
//! placeholders show what has changed, and only then are the answers sent: whoever is answered
//! polls the new state.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use afunix::snapshot::{Wait, WaitReason};
use afunix::trace::EventKind;
use afunix::{Errno, SocketFlags, SocketType};
use afunix_model::Profile;
use afunix_model::sockets::{Cause, Flow as Flowed, Part, SocketKey, Sockets, Touch};
use afunix_model::wait::{Ticket, Tickets};

use crate::Options;
use crate::caller::{self, Pending, Threads};
use crate::calls::{Call, Flow, Reply};
use crate::faults::Dice;
use crate::filter;
use crate::flight::Held;
use crate::observe::{self, Observer, Picture, Waiter};
use crate::outside::Outside;
use crate::placeholder::Placeholder;
use crate::report::Report;
use crate::sys::act::Place;
use crate::sys::epoll::{Poller, wait_for};
use crate::sys::launch::Started;
use crate::sys::notify::{Listener, Request};
use crate::sys::process;

/// How often it is looked whether a signal has come for a thread whose call waits: the kernel does
/// not tell. A call that is being answered cannot be interrupted, so nothing is lost.
const SIGNAL_PERIOD: Duration = Duration::from_millis(10);

/// What the poller of all but calls tells of.
const QUIET: u64 = 1;
const SIGNALS: u64 = 2;
const GUARDIAN: u64 = 3;

/// A call that waits.
#[derive(Debug)]
struct Waiting {
    call: Call,
    reason: WaitReason,
    socket: SocketKey,
    began: Duration,
    /// When it was last looked whether a signal has come.
    since: Duration,
}

/// The supervisor.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) listener: Listener,
    started: Started,
    /// All that there is to wait for beside calls.
    others: Poller,
    /// Ends of threads and hang-ups of placeholders: looked at before every call, so that what was
    /// closed before it is closed.
    quiet: Poller,
    pub(crate) sockets: Sockets,
    pub(crate) tickets: Tickets,
    pub(crate) threads: Threads,
    pub(crate) placeholders: HashMap<SocketKey, Placeholder>,
    by_inode: HashMap<u64, SocketKey>,
    pub(crate) held: Held,
    waiting: HashMap<Ticket, Waiting>,
    /// Datagram sockets that show no room.
    full: BTreeSet<SocketKey>,
    /// The sockets of the calls that ended in this round, with their near ends.
    ended: Vec<(SocketKey, OwnedFd)>,
    replies: Vec<(Request, Reply)>,
    pub(crate) home: Place,
    /// Reused for what is received.
    pub(crate) scratch: Vec<u8>,
    pub(crate) dice: Dice,
    pub(crate) outside: Outside,
    pub(crate) observer: Observer,
    picture: Picture,
    pub(crate) report: Report,
}

impl Supervisor {
    pub(crate) fn new(started: Started, options: Options) -> Result<Self, Errno> {
        let mut sockets = Sockets::new(Profile::linux_6_18());
        // What was touched is shown again.
        sockets.watch.touching = true;
        sockets.watch.flowing = true;
        let listener = Listener::new(started.listener.try_clone().map_err(|_| Errno::MFILE)?);
        let (others, quiet) = (Poller::new()?, Poller::new()?);
        others.watch(quiet.as_fd(), QUIET)?;
        others.watch(started.signals.as_fd(), SIGNALS)?;
        others.watch(started.guardian.as_fd(), GUARDIAN)?;
        Ok(Supervisor {
            listener,
            started,
            others,
            quiet,
            sockets,
            tickets: Tickets::default(),
            threads: Threads::default(),
            placeholders: HashMap::new(),
            by_inode: HashMap::new(),
            held: Held::default(),
            waiting: HashMap::new(),
            full: BTreeSet::new(),
            ended: Vec::new(),
            replies: Vec::new(),
            home: caller::home()?,
            scratch: Vec::new(),
            dice: Dice::new(options.faults, options.seed),
            outside: Outside::new(options.allow),
            observer: Observer::new(options.events),
            picture: Picture::new(options.picture),
            report: Report::default(),
        })
    }

    /// Answers calls until all that the program started has ended.
    pub(crate) fn run(mut self) -> (Started, Report) {
        let mut happened = Vec::new();
        loop {
            let (listener, others) = (self.listener.as_fd(), self.others.as_fd());
            let (call, other) = wait_for(listener, others, self.next_look());
            if call {
                self.next_call();
            }
            if other {
                self.others.wait(Some(Duration::ZERO), &mut happened);
            }
            for token in happened.drain(..) {
                match token {
                    QUIET => self.drain_quiet(),
                    SIGNALS => self.started.hand_on_signals(),
                    _ => {
                        self.started.finish();
                        self.drain_quiet();
                        self.report.descriptors_passed = self.held.sent;
                        self.report.sockets_left = self.placeholders.len();
                        self.report.picture = self.picture.snapshot.take();
                        return (self.started, self.report);
                    }
                }
            }
            if !self.waiting.is_empty() {
                self.look_at_waiting();
            }
        }
    }

    fn next_call(&mut self) {
        let Ok(Some(request)) = self.listener.receive() else { return };
        self.drain_quiet();
        if request.arch != filter::ARCH {
            self.report.note(format!(
                "process {} makes calls of another architecture, which are not emulated: ENOSYS",
                request.tid
            ));
            return self.listener.answer(request.id, Err(Errno::NOSYS));
        }
        match self.threads.meet(request.tid) {
            Ok(None) => {}
            Ok(Some(handle)) => {
                let token = (request.tid as u64) << 1 | 1;
                let _ = self.quiet.watch(handle.as_fd(), token);
            }
            Err(errno) => return self.listener.answer(request.id, Err(errno)),
        }
        self.report.calls += 1;
        self.attempt(Call::new(request));
        self.finish_round();
    }

    /// Whatever has ended or was closed.
    fn drain_quiet(&mut self) {
        let mut happened = Vec::new();
        loop {
            self.quiet.wait(Some(Duration::ZERO), &mut happened);
            if happened.is_empty() {
                return;
            }
            for token in happened.drain(..) {
                match token & 1 {
                    0 => self.hung_up(token >> 1),
                    _ => self.thread_ended((token >> 1) as i32),
                }
            }
        }
    }

    /// The last close of a socket, unless it was something else that happened to its placeholder.
    fn hung_up(&mut self, inode: u64) {
        let Some(key) = self.by_inode.get(&inode).copied() else { return };
        if !self.placeholders.get(&key).is_some_and(Placeholder::is_gone) {
            return;
        }
        self.by_inode.remove(&inode);
        self.full.remove(&key);
        let strays = self.placeholders.remove(&key).map_or(0, |place| place.strays());
        if strays > 0 {
            self.report.strays += strays as u64;
            let id = self.sockets.id(key);
            self.report.note(format!("{strays} bytes went past the model at socket {id}"));
        }
        self.sockets.release(&mut self.tickets, key);
        self.finish_round();
    }

    fn thread_ended(&mut self, tid: i32) {
        let pid = self.threads.pid(tid);
        self.observer.tell_end(pid, tid);
        self.threads.forget(tid);
        let of_thread = |waiting: &Waiting| waiting.call.request.tid == tid;
        let given_up: Vec<Ticket> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| of_thread(waiting))
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in given_up {
            self.tickets.cancel(ticket);
            if let Some(mut waiting) = self.waiting.remove(&ticket) {
                self.give_up(&mut waiting.call);
            }
        }
        self.finish_round();
    }

    /// Tries a call.
    fn attempt(&mut self, mut call: Call) {
        let flow = self.perform(&mut call);
        self.observe(&mut call, &flow);
        match flow {
            Flow::Wait(waiting) => {
                let now = process::monotonic();
                let ticket = self.tickets.issue();
                self.sockets.enrol(&self.tickets, ticket, &waiting);
                if call.cause.is_none() || waiting.anew {
                    call.deadline = waiting.timeout.map(|timeout| now.saturating_add(timeout));
                }
                call.cause = Some(Cause::Run);
                let reason = waiting.reason;
                let socket = waiting.socket;
                let began = now;
                self.waiting.insert(ticket, Waiting { call, reason, socket, began, since: now });
            }
            Flow::Done(reply) => {
                self.report.ended(&call, &reply);
                self.replies.push((call.request, reply));
                self.ended.extend(call.socket.take());
            }
        }
    }

    /// Lets everything come about that the last step brought, and sends the answers.
    pub(crate) fn finish_round(&mut self) {
        loop {
            while let Some(attachment) = self.sockets.next_dropped() {
                self.held.drop_one(attachment.file);
            }
            let Some(ticket) = self.tickets.next_woken() else { break };
            self.tickets.cancel(ticket);
            if let Some(waiting) = self.waiting.remove(&ticket) {
                let (tid, by) = (waiting.call.request.tid, self.observer.current);
                let pid = self.threads.pid(tid);
                let by = by.map(i32::unsigned_abs);
                self.observer.tell(pid, tid, || EventKind::Woken { by });
                self.attempt(waiting.call);
            }
        }
        self.observer.current = None;
        // Signals of owners come from the placeholders.
        while self.sockets.next_alert().is_some() {}
        if self.sockets.may_have_cycles() && self.collect() {
            return self.finish_round();
        }
        self.show();
        let mut replies = std::mem::take(&mut self.replies);
        for (request, reply) in replies.drain(..) {
            self.reply(&request, reply);
        }
        self.replies = replies;
        // May be the last close of a socket: heard of before the next call.
        self.ended.clear();
    }

    fn reply(&mut self, request: &Request, reply: Reply) {
        match reply {
            Reply::Result(result) => self.listener.answer(request.id, result),
            Reply::GoOn => self.listener.go_on(request.id),
            Reply::Give { file, cloexec } => {
                let given = self.listener.give_and_answer(request.id, file.as_fd(), cloexec);
                self.tell_end(request, given.map(|number| number as usize));
                if let Err(errno) = given {
                    self.listener.answer(request.id, Err(errno));
                }
            }
        }
    }

    /// Looks for unreachable sockets in flight; `true` if any was found.
    fn collect(&mut self) -> bool {
        let (held, placeholders, by_inode) = (&self.held, &self.placeholders, &self.by_inode);
        let mut open = None;
        let mut references = |file| {
            let open = open.get_or_insert_with(|| open_inodes(by_inode));
            let inode = held.socket(file).and_then(|key| placeholders.get(&key));
            let is_open = inode.is_some_and(|place| open.contains(&place.inode));
            held.references(file) + usize::from(is_open)
        };
        self.sockets.collect(&mut self.tickets, &mut references)
    }

    /// Lets the placeholders show what has changed.
    fn show(&mut self) {
        self.drain_flows();
        let touched = std::mem::take(&mut self.sockets.watch.touched);
        for (part, touch) in &touched {
            if let (Part::Receive(key) | Part::SendMemory(key) | Part::Backlog(key), _)
            | (Part::State(key), Touch::Write) = (*part, *touch)
            {
                self.show_one(key);
            }
        }
        // A datagram socket has room again when somebody else reads (POLL 2).
        let full: Vec<SocketKey> = self.full.iter().copied().collect();
        full.into_iter().for_each(|key| self.show_one(key));
        self.sockets.watch.touched.clear();
        self.look();
    }

    /// Tells of what flowed.
    fn drain_flows(&mut self) {
        let mut flows = std::mem::take(&mut self.sockets.watch.flows);
        let tid = self.observer.current.unwrap_or(0);
        for flow in flows.drain(..) {
            self.report.flowed(&flow);
            let (pid, sockets) = (self.threads.pid(tid), &self.sockets);
            self.observer.tell(pid, tid, || observe::flowed(sockets, &flow));
            if let Flowed::Queued { to, .. } = flow
                && let Some(place) = self.placeholders.get_mut(&to)
            {
                place.show_arrival();
            }
        }
        self.sockets.watch.flows = flows;
    }

    /// Tells of a call that was tried, and of what it moved.
    fn observe(&mut self, call: &mut Call, flow: &Flow) {
        let tid = call.request.tid;
        let pid = self.threads.pid(tid);
        let is_told = !matches!(flow, Flow::Done(Reply::GoOn));
        self.observer.current = Some(tid);
        if is_told && !std::mem::replace(&mut call.is_told, true) {
            self.observer.tell_start(pid, tid);
            let socket = call.socket.as_ref().map(|(key, _)| self.sockets.id(*key));
            self.observer.tell(pid, tid, || EventKind::Enter { call: call.in_words(), socket });
        }
        self.drain_flows();
        match flow {
            Flow::Wait(waiting) => {
                let socket = Some(self.sockets.id(waiting.socket));
                let on = observe::in_words(waiting.reason).to_owned();
                self.observer.tell(pid, tid, || EventKind::Blocked { on, socket });
            }
            Flow::Done(Reply::Result(result)) => self.tell_end(&call.request, *result),
            // Its number is not known yet; or it is not about a socket of the model.
            Flow::Done(Reply::Give { .. } | Reply::GoOn) => {}
        }
    }

    fn tell_end(&mut self, request: &Request, result: Result<usize, Errno>) {
        let (tid, pid) = (request.tid, self.threads.pid(request.tid));
        self.observer.tell(pid, tid, || EventKind::Exit {
            call: crate::calls::name_of(request.number).to_owned(),
            result: afunix::trace::signed(result),
        });
    }

    /// Looks at the program as a whole, if it was never so busy.
    fn look(&mut self) {
        if !self.picture.is_due(self.placeholders.len()) {
            return;
        }
        let waiters = self.waiting.values().map(|waiting| Waiter {
            tid: waiting.call.request.tid,
            wait: Wait {
                call: crate::calls::name_of(waiting.call.request.number).to_owned(),
                fd: Some(waiting.call.request.args[0] as i32),
                reason: waiting.reason,
                socket: Some(self.sockets.id(waiting.socket)),
                since: self.observer.at(waiting.began),
                deadline: waiting.call.deadline.map(|time| self.observer.at(time)),
            },
        });
        self.picture.snapshot = Some(observe::snapshot(
            self.observer.at(process::monotonic()),
            &self.sockets,
            &self.threads.all(),
            waiters.collect(),
            &self.by_inode,
            &self.held.sockets(),
        ));
    }

    fn show_one(&mut self, key: SocketKey) {
        let Some(place) = self.placeholders.get_mut(&key) else { return };
        let ready = self.sockets.readiness(key);
        let (ended, waiting) = (&self.ended, &self.waiting);
        place.show(ready, || near_end(ended, waiting, key));
        if place.is_full() && self.sockets.kind(key) == SocketType::Datagram {
            self.full.insert(key);
        } else {
            self.full.remove(&key);
        }
    }

    /// The socket that a number stands for, with its near end; `None` if it is none of the model's.
    pub(crate) fn socket_of(
        &self,
        tid: i32,
        number: i32,
    ) -> Result<Option<(SocketKey, OwnedFd)>, Errno> {
        let near = self.threads.file(tid, number)?;
        Ok(self.key_of(near.as_fd()).map(|key| (key, near)))
    }

    /// The socket that a file is.
    pub(crate) fn key_of(&self, file: BorrowedFd<'_>) -> Option<SocketKey> {
        key_of(&self.by_inode, file)
    }

    /// A placeholder that stands for no socket yet, with its near end; ENFILE.
    pub(crate) fn new_place(
        &mut self,
        flags: SocketFlags,
    ) -> Result<(Placeholder, OwnedFd), Errno> {
        let new = Placeholder::new(flags.contains(SocketFlags::NONBLOCK)).and_then(|new| {
            self.quiet.watch_hangup(new.0.far(), new.0.inode << 1)?;
            Ok(new)
        });
        if new.is_err() {
            self.report.note("out of descriptors for sockets: ENFILE".into());
        }
        new.map_err(|_| Errno::NFILE)
    }

    /// Lets a placeholder stand for a socket.
    pub(crate) fn place(&mut self, place: Placeholder, near: &OwnedFd, key: SocketKey) {
        self.by_inode.insert(place.inode, key);
        self.placeholders.insert(key, place);
        self.report.sockets += 1;
        // For what is to be shown of it in this round; without, it shows at the next call.
        self.ended.extend(near.try_clone().ok().map(|near| (key, near)));
    }

    /// When there is something to do though nothing happens.
    fn next_look(&self) -> Option<Duration> {
        (!self.waiting.is_empty()).then_some(SIGNAL_PERIOD)
    }

    /// Ends the waits whose time is over, and those that a signal interrupts.
    fn look_at_waiting(&mut self) {
        let now = process::monotonic();
        let mut due = Vec::new();
        let mut took_shared = false;
        for (ticket, waiting) in &mut self.waiting {
            if waiting.call.deadline.is_some_and(|deadline| deadline <= now) {
                due.push((*ticket, Cause::TimedOut, Errno::AGAIN));
            } else if now.saturating_sub(waiting.since) >= SIGNAL_PERIOD {
                waiting.since = now;
                match caller::pending_signal(waiting.call.request.tid) {
                    Pending::Nothing => {}
                    // The kernel makes of it what the handler asks for: the call again, or EINTR.
                    Pending::Own => due.push((*ticket, Cause::Interrupted, Errno::RESTARTSYS)),
                    // It may be another thread that acts on it.
                    Pending::Shared if !took_shared => {
                        took_shared = true;
                        due.push((*ticket, Cause::Interrupted, Errno::INTR));
                    }
                    Pending::Shared => {}
                }
            }
        }
        for (ticket, cause, interrupted) in due {
            self.tickets.cancel(ticket);
            let Some(mut waiting) = self.waiting.remove(&ticket) else { continue };
            // SRECV 15: with a timeout it is never made again.
            let timed = waiting.call.deadline.is_some();
            waiting.call.interrupted = if timed { Errno::INTR } else { interrupted };
            waiting.call.cause = Some(cause);
            self.attempt(waiting.call);
            self.finish_round();
        }
    }
}

/// The near end of a socket, as far as a call has it in hand.
fn near_end<'a>(
    ended: &'a [(SocketKey, OwnedFd)],
    waiting: &'a HashMap<Ticket, Waiting>,
    key: SocketKey,
) -> Option<BorrowedFd<'a>> {
    let waiting = waiting.values().filter_map(|waiting| waiting.call.socket.as_ref());
    let mut all = ended.iter().chain(waiting);
    all.find(|(of, _)| *of == key).map(|(_, near)| near.as_fd())
}

/// The socket that a file is.
pub(crate) fn key_of(
    by_inode: &HashMap<u64, SocketKey>,
    file: BorrowedFd<'_>,
) -> Option<SocketKey> {
    const SOCKET: u32 = 0o140_000;
    let stat = crate::sys::file::stat(file).ok()?;
    // A socket in a file system is no open file: these numbers are of one device.
    let is_socket = stat.mode & 0o170_000 == SOCKET;
    by_inode.get(&stat.ino).copied().filter(|_| is_socket)
}

/// Those of these inodes that some process has open.
fn open_inodes(by_inode: &HashMap<u64, SocketKey>) -> HashSet<u64> {
    let own = std::process::id().to_string();
    let mut found = HashSet::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name();
        let is_process = name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        if !is_process || name.to_str() == Some(&own) {
            continue;
        }
        for entry in std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let inode = observe::socket_inode(&entry.path());
            found.extend(inode.filter(|inode| by_inode.contains_key(inode)));
        }
    }
    found
}

impl Supervisor {
    /// What the flow of control data needs, apart from the sockets.
    pub(crate) fn parts(&mut self) -> Parts<'_> {
        Parts {
            sockets: &mut self.sockets,
            held: &mut self.held,
            by_inode: &self.by_inode,
            threads: &self.threads,
            listener: &self.listener,
        }
    }
}

/// The supervisor in pieces that are borrowed each by itself.
pub(crate) struct Parts<'a> {
    pub(crate) sockets: &'a mut Sockets,
    pub(crate) held: &'a mut Held,
    pub(crate) by_inode: &'a HashMap<u64, SocketKey>,
    pub(crate) threads: &'a Threads,
    pub(crate) listener: &'a Listener,
}
