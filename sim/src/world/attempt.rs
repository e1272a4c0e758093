//! One attempt of a call: faults, the machine's step, and what comes of it.

use afunix::fault::{self, Verdict};
use afunix::options;
use afunix::trace::{EventKind, describe, signed};
use afunix::{Call, Errno, Exit, OpenFlags, Pid, SOCK_STREAM, Signal};
use afunix_model::{On, Resume, Step, Ticket, Time};

use super::{Handler, NotACaller, State, Target, Waiting, World};
use crate::choice::{Label, wide};
use crate::counts::{mix, name_key};

/// What came of an attempt.
///
/// Its layout matters: it is handed up through several levels at every step, and a tag of a byte
/// beside its
/// padding is copied in pieces that stall the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Attempt {
    /// The call is over, and succeeded.
    Done(usize),
    /// The call is over, and failed.
    Failed(Errno),
    /// Another thread goes on: suspend, then begin.
    Switch,
    /// The call waits: suspend, unless the thread on whose stack we are goes on at once; then step
    /// again.
    Wait {
        /// Whether another thread goes on first.
        suspend: bool,
    },
    /// It is to be made with at most so many bytes.
    Cut(usize),
    /// It is to be made after a while.
    Later(Time),
    /// Handlers of signals are to be run first; then the call is over, or is made (again): see
    /// [`World::take_after`].
    Handle,
    /// The caller is no more.
    Gone,
    /// The handle is of another process than the thread, which is of this one.
    Foreign(Pid),
    /// The handle is of another run than the one under way, which is this one, or 0 if there is
    /// none.
    Outside(u64),
}

impl From<Result<usize, Errno>> for Attempt {
    #[inline]
    fn from(result: Result<usize, Errno>) -> Self {
        match result {
            Ok(value) => Attempt::Done(value),
            Err(errno) => Attempt::Failed(errno),
        }
    }
}

impl World {
    /// A thread of `process` makes a call: the scheduling point before it, and if it goes on, the
    /// beginning.
    #[inline]
    pub(crate) fn enter(&mut self, process: Pid, call: &mut Call<'_, '_>) -> Attempt {
        match self.caller(process) {
            Ok(_) => {}
            Err(not) => return self.refuse(process, call, not),
        }
        if self.searching {
            self.threads[self.running as usize].may_wait = may_wait(call);
        }
        if self.schedule() { self.begin_call(call) } else { Attempt::Switch }
    }

    #[cold]
    fn refuse(&mut self, process: Pid, call: &mut Call<'_, '_>, not: NotACaller) -> Attempt {
        match not {
            NotACaller::Gone => Attempt::Gone,
            NotACaller::Foreign(_) if matches!(call, Call::Close { .. }) => {
                self.close_for(process, call).into()
            }
            NotACaller::Foreign(owner) => Attempt::Foreign(owner),
        }
    }

    /// A closure of the parent was dropped in the child, or the other way round, with descriptors
    /// in it: they are their owner's, and are closed for it, by a thread that is there for nothing
    /// else.
    fn close_for(&mut self, owner: Pid, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        if !self.machine.is_alive(owner) {
            return Err(Errno::SRCH);
        }
        let tid = self.machine.start_thread(owner, "closing");
        self.drain();
        let step = self.machine.step(self.clock, tid, call, Resume::First);
        self.drain();
        self.machine.end_thread(tid);
        self.drain();
        match step {
            Step::Done(result) => result,
            Step::Blocked { .. } | Step::Restart => unreachable!("close(2) does not wait"),
        }
    }

    /// A call of a thread that unwinds: it is made at once, and does not wait, since other threads
    /// cannot run while one unwinds.
    #[cold]
    pub(crate) fn call_unwinding(&mut self, process: Pid, call: &mut Call<'_, '_>) -> Attempt {
        let slot = match self.caller(process) {
            Ok(slot) => slot,
            Err(not @ NotACaller::Foreign(_)) => match self.refuse(process, call, not) {
                Attempt::Foreign(_) => return Attempt::Gone,
                attempt => return attempt,
            },
            Err(NotACaller::Gone) => return Attempt::Gone,
        };
        let tid = self.threads[slot as usize].tid;
        self.account(slot);
        let step = self.machine.step(self.clock, tid, call, Resume::First);
        self.drain();
        match step {
            Step::Done(result) => result.into(),
            Step::Blocked { ticket, .. } => {
                self.machine.cancel(ticket);
                self.drain();
                Attempt::Failed(Errno::INTR)
            }
            Step::Restart => Attempt::Failed(Errno::INTR),
        }
    }

    /// The thread that goes on begins its call.
    #[inline]
    pub(crate) fn begin_call(&mut self, call: &mut Call<'_, '_>) -> Attempt {
        let slot = self.running;
        self.counts.calls += 1;
        self.coverage.count(call.name());
        if self.record.is_some() {
            self.note_enter(slot, call);
        }
        if !(self.checks.is_empty() && self.rules.is_empty())
            && let Some(attempt) = self.before_call(slot, call)
        {
            return attempt;
        }
        if !self.options.rules.is_empty()
            && let Some(attempt) = self.judge(slot, call)
        {
            return attempt;
        }
        if self.odds.short != 0
            && let Some(limit) = self.draw_short(slot, call)
        {
            return Attempt::Cut(limit);
        }
        if self.odds.no_buffers != 0 && self.finds_no_room(slot, call) {
            self.account(slot);
            return self.done(slot, call, Err(Errno::NOBUFS));
        }
        self.step_call(call, Resume::First)
    }

    /// Steps the call of the thread that goes on again, for the reason that woke it.
    #[inline]
    pub(crate) fn again(&mut self, call: &mut Call<'_, '_>) -> Attempt {
        if self.searching {
            self.search_continues(self.running);
        }
        if self.record.is_some() {
            self.mark(self.running, &format!("{}+", call.name()));
        }
        let thread = &mut self.threads[self.running as usize];
        thread.waiting = None;
        let resume = thread.resume;
        if let Some(ticket) = thread.ticket.take() {
            self.slot_of.remove(ticket);
        }
        self.step_call(call, resume)
    }

    /// Steps a call.
    #[inline]
    pub(crate) fn step_call(&mut self, call: &mut Call<'_, '_>, resume: Resume) -> Attempt {
        let slot = self.running;
        self.account(slot);
        if self.end.is_some() {
            // The limit of steps. The world is left as it is.
            return Attempt::Wait { suspend: true };
        }
        if self.odds.crash != 0 && self.maybe_crash(slot, call) {
            return Attempt::Gone;
        }
        let tid = self.threads[slot as usize].tid;
        if resume == Resume::First && self.machine.has_signal(tid) {
            return Attempt::Handle;
        }
        self.stepping = true;
        let step = self.machine.step(self.clock, tid, call, resume);
        self.stepping = false;
        self.drain();
        if self.odds.troubles() && matches!(step, Step::Done(Ok(_))) && sends(call) {
            self.trouble(slot);
        }
        match step {
            Step::Done(result) => self.done(slot, call, result),
            Step::Restart => Attempt::Handle,
            Step::Blocked { on, ticket, deadline } => self.wait(slot, call, on, ticket, deadline),
        }
    }

    #[inline]
    fn done(&mut self, slot: u32, call: &Call<'_, '_>, result: Result<usize, Errno>) -> Attempt {
        if self.searching && result == Err(Errno::MFILE) {
            self.search_lacks_numbers();
        }
        let name = call.name();
        let value = signed(result);
        let trace = mix(self.counts.trace, u64::from(slot) ^ (name_key(name) << 16));
        self.counts.trace = mix(trace, value as u64);
        if self.record.is_some() {
            self.note(slot, || EventKind::Exit { call: name.to_owned(), result: value });
        }
        if self.watch.is_some() {
            self.watch_call(name, result);
        }
        if self.threads[slot as usize].state == State::Ended {
            return Attempt::Gone;
        }
        let thread = &mut self.threads[slot as usize];
        if self.machine.has_signal(thread.tid) {
            thread.after = Some(result);
            return Attempt::Handle;
        }
        result.into()
    }

    /// What the call came to that [`Attempt::Handle`] holds up; `None`: it is to be made.
    pub(crate) fn take_after(&mut self) -> Option<Result<usize, Errno>> {
        self.threads[self.running as usize].after.take()
    }

    /// The next signal that the running thread has to handle, and what its process does on it.
    pub(crate) fn next_signal(&mut self) -> Option<Option<Handler>> {
        let thread = self.threads.get(self.running as usize)?;
        let signal = self.machine.next_signal(thread.tid)?;
        Some(self.processes[thread.process as usize].handlers.get(&signal).cloned())
    }

    fn wait(
        &mut self,
        slot: u32,
        call: &Call<'_, '_>,
        on: On,
        ticket: Ticket,
        deadline: Option<Time>,
    ) -> Attempt {
        let target = match call {
            Call::Waitpid { pid, .. } => Target::Child(*pid),
            _ => Target::Call,
        };
        let fd = call.fd().map(|fd| fd.number());
        let since = self.clock;
        if self.searching {
            self.search_blocks(on, deadline);
        }
        self.park(slot, ticket, Waiting { call: call.name(), fd, on, since, deadline, target });
        if self.record.is_some() {
            let kind =
                || EventKind::Blocked { on: crate::waits::words(on.reason), socket: on.socket };
            self.note(slot, kind);
        }
        if self.chooser.chance(self.odds.interrupt, Label::Fault) {
            self.counts.faults.interrupted += 1;
            self.ready(slot, Resume::Interrupted(ticket));
            let name = call.name();
            self.note(slot, || EventKind::Fault { what: format!("a signal interrupts {name}") });
        }
        Attempt::Wait { suspend: !self.schedule() }
    }

    /// Kills the calling process, if it may crash and it strikes.
    fn maybe_crash(&mut self, slot: u32, call: &Call<'_, '_>) -> bool {
        let process = &mut self.processes[self.threads[slot as usize].process as usize];
        if !process.may_crash || self.counts.faults.crashes >= u64::from(self.odds.crashes) {
            return false;
        }
        process.exposed += 1;
        let name = call.name();
        let point = (name_key(&process.name), name_key(name), process.exposed);
        if !self.chooser.chance(self.odds.crash, Label::Fault) {
            return false;
        }
        self.crash_points.insert(point);
        self.kill(slot, name);
        true
    }

    fn kill(&mut self, slot: u32, before: &'static str) {
        let pid = self.threads[slot as usize].pid;
        self.counts.faults.crashes += 1;
        self.note(slot, || EventKind::Fault { what: format!("killed at {before}") });
        self.end_process(pid, Exit::Signal(Signal::Kill as i32));
    }

    /// The bytes that a transfer is cut to, if it is one that may be short and it strikes.
    fn draw_short(&mut self, slot: u32, call: &mut Call<'_, '_>) -> Option<usize> {
        let bytes = fault::transfer_len(call);
        if bytes < 2 || !self.chooser.chance(self.odds.short, Label::Fault) {
            return None;
        }
        let limit = 1 + self.chooser.choose(u32::try_from(bytes - 1).ok()?, Label::Amount) as usize;
        let is_read = reads(call);
        if !self.may_be_short(slot, call) {
            return None;
        }
        let counts = &mut self.counts.faults;
        *(if is_read { &mut counts.short_reads } else { &mut counts.short_writes }) += 1;
        let what = if is_read { "read" } else { "write" };
        self.note(slot, || EventKind::Fault {
            what: format!("short {what}: {limit} of {bytes} bytes"),
        });
        Some(limit)
    }

    /// Whether the system may lawfully transfer less: on a stream socket, a read that did not ask
    /// for all (MSG_WAITALL), and a write that does not wait. A blocking write is short only when a
    /// signal interrupts it in the middle, which is a fault of its own.
    fn may_be_short(&mut self, slot: u32, call: &Call<'_, '_>) -> bool {
        const WAITALL: i32 = 0x100;
        const DONTWAIT: i32 = 0x40;
        let Some(fd) = call.fd() else { return false };
        if self.socket_type(slot, call) != Some(SOCK_STREAM) {
            return false;
        }
        match call {
            Call::Recvfrom { flags, .. } | Call::Recvmsg { flags, .. } => {
                flags.bits() & WAITALL == 0
            }
            Call::Read { .. } | Call::Readv { .. } => true,
            Call::Sendto { flags, .. } | Call::Sendmsg { flags, .. }
                if flags.bits() & DONTWAIT != 0 =>
            {
                true
            }
            _ => {
                let mut ask = Call::Fcntl { fd, command: afunix::call::Fcntl::Getfl };
                let flags = self.aside(slot, &mut ask).unwrap_or(0) as i32;
                flags & OpenFlags::NONBLOCK.bits() != 0
            }
        }
    }

    /// The type of the socket that a call is about, if it is about one.
    pub(super) fn socket_type(&mut self, slot: u32, call: &Call<'_, '_>) -> Option<i32> {
        let mut kind = [0; 4];
        let mut value = afunix::call::OptionOut::new(&mut kind);
        let mut ask = Call::Getsockopt {
            fd: call.fd()?,
            level: options::SOL_SOCKET,
            option: options::SO_TYPE,
            value: &mut value,
        };
        self.aside(slot, &mut ask).ok()?;
        Some(i32::from_ne_bytes(kind))
    }

    /// Asks the machine something that no program sees.
    pub(crate) fn aside(&mut self, slot: u32, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        let tid = self.threads[slot as usize].tid;
        let step = self.machine.step(self.clock, tid, call, Resume::First);
        self.drain();
        match step {
            Step::Done(result) => result,
            Step::Blocked { .. } | Step::Restart => {
                unreachable!("a question about a descriptor does not wait")
            }
        }
    }

    /// What the user's rules say; `None` if all let it pass.
    #[cold]
    fn judge(&mut self, slot: u32, call: &mut Call<'_, '_>) -> Option<Attempt> {
        let options = std::sync::Arc::clone(&self.options);
        let thread = &self.threads[slot as usize];
        let by_itself = fault::Attempt::of(call);
        let socket = by_itself.fd.and_then(|fd| self.machine.socket_named(thread.pid, fd));
        // A path is kept with the NUL at its end.
        let bound = socket.and_then(|(_, name)| name).map(|name| match name {
            [0, ..] => name,
            path => path.strip_suffix(b"\0").unwrap_or(path),
        });
        let attempt = fault::Attempt {
            process: Some(thread.pid),
            thread: Some(thread.tid),
            process_name: Some(&self.processes[thread.process as usize].name),
            socket: socket.map(|(id, _)| id),
            name: by_itself.name.or(bound),
            ..by_itself
        };
        let of_the_run = self.rules.iter().map(|(_, rule)| rule(&attempt));
        let verdict = of_the_run.into_iter().find(|verdict| *verdict != Verdict::Pass);
        let chooser = &mut self.chooser;
        let mut choose = |n, _| wide(n, |n| chooser.choose(n, Label::Rule));
        let mut of_all = options.rules.iter().map(|rule| rule.judge(&attempt, &mut choose));
        let verdict = verdict.or_else(|| of_all.find(|verdict| *verdict != Verdict::Pass))?;
        let name = call.name();
        if verdict == Verdict::Kill {
            self.kill(slot, name);
            return Some(Attempt::Gone);
        }
        self.counts.faults.rules += 1;
        self.note(slot, || EventKind::Fault { what: format!("{name}: {verdict:?}") });
        Some(match verdict {
            Verdict::Fail(errno) => {
                self.account(slot);
                self.done(slot, call, Err(errno))
            }
            Verdict::Limit(bytes) => Attempt::Cut(bytes.max(1)),
            Verdict::Delay(time) => Attempt::Later(time),
            Verdict::Pass | Verdict::Kill => unreachable!("handled above"),
        })
    }

    /// What there is to do before a call in a run with checks, rules or a crash point of its own.
    #[cold]
    fn before_call(&mut self, slot: u32, call: &mut Call<'_, '_>) -> Option<Attempt> {
        self.check_call(slot, call);
        let name = call.name();
        let process = &mut self.processes[self.threads[slot as usize].process as usize];
        if let Some(left) = process.crash_before.filter(|_| is_visible(name)) {
            process.exposed += 1;
            process.crash_before = left.checked_sub(1);
            if left == 0 {
                let point = (name_key(&process.name), name_key(name), process.exposed);
                self.crash_points.insert(point);
                self.kill(slot, name);
                return Some(Attempt::Gone);
            }
        }
        match self.options.rules.is_empty() && !self.rules.is_empty() {
            true => self.judge(slot, call),
            false => None,
        }
    }

    /// The running process is to be killed before one of its visible calls, which is drawn here,
    /// unless a process of this run was killed already. Drawing 0 is: it is not killed.
    pub(crate) fn draw_crash(&mut self) {
        if self.counts.faults.crashes > 0 {
            return;
        }
        let Some(power) = self.chooser.choose(10, Label::Fault).checked_sub(1) else { return };
        let at = self.chooser.choose(1 << power, Label::Fault);
        let process = self.threads[self.running as usize].process;
        self.processes[process as usize].crash_before = Some(u64::from(at));
    }

    fn note_enter(&mut self, slot: u32, call: &Call<'_, '_>) {
        let fd = call.fd().map(|fd| fd.number());
        let socket = fd.and_then(|fd| self.socket_of(self.threads[slot as usize].pid, fd));
        self.note(slot, || EventKind::Enter { call: describe(call), socket });
        self.mark(slot, call.name());
    }
}

/// Whether a call can be seen by others: it does not only ask.
fn is_visible(name: &str) -> bool {
    let asks = ["getpid", "getsockopt", "getsockname", "getpeername", "poll", "fcntl", "stat"];
    !asks.contains(&name)
}

pub(super) fn sends(call: &Call<'_, '_>) -> bool {
    matches!(
        call,
        Call::Write { .. } | Call::Writev { .. } | Call::Sendto { .. } | Call::Sendmsg { .. }
    )
}

/// Whether a call may have to wait for another thread. (If it does and this says no, the search
/// only tries more than it had to.)
fn may_wait(call: &Call<'_, '_>) -> bool {
    const WAITING: [&str; 12] = [
        "read",
        "readv",
        "recvfrom",
        "recvmsg",
        "recvmmsg",
        "accept4",
        "connect",
        "poll",
        "pselect6",
        "epoll_pwait2",
        "waitpid",
        "nanosleep",
    ];
    WAITING.contains(&call.name())
}

fn reads(call: &Call<'_, '_>) -> bool {
    matches!(
        call,
        Call::Read { .. } | Call::Readv { .. } | Call::Recvfrom { .. } | Call::Recvmsg { .. }
    )
}
