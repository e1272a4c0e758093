//! Signals: who may send them, which thread takes them, and what becomes of the process.
//!
//! A signal is *sent* to a thread or to a process. Then it is ignored, ends the process, or is
//! *pending* until the thread that takes it comes to a point where its host runs the handler: the
//! end of a call, or the beginning of the next. A thread that waits in a call is woken for it. What
//! is *blocked* by a thread's mask stays pending, and so does what all threads of a process block.
//!
//! SIGSTOP and its kin stop nobody, and SIGCONT is for nobody.

use afunix::signal::{SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK, SIGNAL_MAX};
use afunix::{
    Call, Capabilities, Errno, Exit, Pid, SaFlags, SigHandler, SigSet, Sigaction, Signal, Tid,
};

use super::process::{Process, Sent, Thread, ends_by_default, is_ignored_by_default};
use super::{Access, Cx, Machine, Object, Step, Why};

/// Those of which each that is sent is handled begin here; of others one is as many.
const REAL_TIME: i32 = 32;
/// What cannot be blocked: SIGKILL, SIGSTOP, and the two that libc keeps for itself.
const UNBLOCKABLE: SigSet = SigSet::EMPTY.with(9).with(19).with(32).with(33);

impl Process {
    fn ignores(&self, signal: i32) -> bool {
        match self.dispositions.get(signal).handler {
            SigHandler::Ignore => true,
            SigHandler::Default => is_ignored_by_default(signal),
            SigHandler::Handle => false,
        }
    }

    fn dies_of(&self, signal: i32) -> bool {
        self.dispositions.get(signal).handler == SigHandler::Default && ends_by_default(signal)
    }
}

impl Thread {
    fn blocks(&self, signal: i32) -> bool {
        self.mask.contains(signal)
    }

    /// The index of the pending signal that it handles next: its own before its process's, the
    /// lowest number first.
    #[inline]
    fn next_pending(&self) -> Option<usize> {
        if self.pending.is_empty() { None } else { self.first_open() }
    }

    fn first_open(&self) -> Option<usize> {
        let open = self.pending.iter().enumerate().filter(|(_, sent)| !self.blocks(sent.signal));
        open.min_by_key(|(_, sent)| (sent.shared, sent.signal)).map(|(at, _)| at)
    }
}

impl Machine {
    /// The next signal whose handler the host is to run before `thread` goes on. To be asked for
    /// until there is none, before a call begins and after it ended (or is to begin again).
    #[inline]
    pub fn next_signal(&mut self, thread: Tid) -> Option<i32> {
        let state = self.threads.get(thread.0)?;
        if state.taken.is_empty() {
            if state.pending.is_empty() {
                return None;
            }
            self.take_signals(thread);
        }
        self.threads.get_mut(thread.0)?.taken.pop_front()
    }

    /// Whether [`Machine::next_signal`] has one.
    #[inline]
    pub fn has_signal(&self, thread: Tid) -> bool {
        self.threads
            .get(thread.0)
            .is_some_and(|state| !state.taken.is_empty() || state.next_pending().is_some())
    }

    /// A signal from outside for one thread (tgkill(2)): a mutation. Nothing happens if there is no
    /// such thread.
    pub fn signal(&mut self, thread: Tid, signal: i32) {
        self.begin_mutation();
        if let Some(pid) = self.process_of(thread) {
            self.send_signal(pid, Some(thread), signal);
            self.end_mutation(pid, thread);
        }
    }

    /// A thread begins with the signal mask of the one that started it.
    pub fn inherit_mask(&mut self, from: Tid, to: Tid) {
        if let Some(mask) = self.threads.get(from.0).map(|from| from.mask) {
            self.set_mask(to, mask);
        }
    }

    /// sigaction(2).
    pub(super) fn sigaction(
        &mut self,
        cx: Cx,
        signal: i32,
        new: Option<Sigaction>,
        old: &mut Sigaction,
    ) -> Result<usize, Errno> {
        let is_libcs = matches!(signal, 32 | 33);
        if !(1..=SIGNAL_MAX).contains(&signal) || is_libcs {
            return Err(Errno::INVAL);
        }
        if new.is_some() && UNBLOCKABLE.contains(signal) {
            return Err(Errno::INVAL);
        }
        self.touch(Object::Process(cx.pid), Access::Write);
        let Some(process) = self.processes.get_mut(cx.pid.0) else { return Err(Errno::SRCH) };
        *old = process.dispositions.get(signal);
        let Some(new) = new else { return Ok(0) };
        process.dispositions.set(signal, new);
        let (is_ignored, threads) = (process.ignores(signal), process.threads.clone());
        if is_ignored {
            process.pending.retain(|pending| *pending != signal);
        }
        for thread in threads {
            if let Some(thread) = self.threads.get_mut(thread.0).filter(|_| is_ignored) {
                thread.pending.retain(|sent| sent.signal != signal);
            }
            self.settle_signals(thread);
        }
        Ok(0)
    }

    /// sigprocmask(2).
    pub(super) fn sigprocmask(
        &mut self,
        cx: Cx,
        how: i32,
        set: Option<SigSet>,
        old: &mut SigSet,
    ) -> Result<usize, Errno> {
        let Some(thread) = self.threads.get(cx.tid.0) else { return Err(Errno::SRCH) };
        let mask = thread.mask;
        let new = set.map(|set| match how {
            SIG_BLOCK => Ok(SigSet(mask.0 | set.0)),
            SIG_UNBLOCK => Ok(SigSet(mask.0 & !set.0)),
            SIG_SETMASK => Ok(set),
            _ => Err(Errno::INVAL),
        });
        let new = new.transpose()?;
        *old = mask;
        if let Some(new) = new {
            self.set_mask(cx.tid, new);
        }
        Ok(0)
    }

    /// Changes which signals a thread blocks: those of its process's that it blocks from now on,
    /// other threads may take, and those that it no longer blocks, it takes.
    pub(super) fn set_mask(&mut self, tid: Tid, mask: SigSet) {
        let Some(thread) = self.threads.get_mut(tid.0) else { return };
        thread.mask = SigSet(mask.0 & !UNBLOCKABLE.0);
        let pid = thread.process;
        self.touch(Object::Process(pid), Access::Write);
        self.give_back(tid, |thread, signal| thread.blocks(signal));
        self.settle_signals(tid);
    }

    /// A thread ends: other threads may take what was its process's.
    pub(super) fn end_signals(&mut self, tid: Tid) {
        self.give_back(tid, |_, _| true);
    }

    /// Sends a process's signals that a thread was to take to the process anew, where `unwanted`.
    fn give_back(&mut self, tid: Tid, unwanted: impl Fn(&Thread, i32) -> bool) {
        let Some(thread) = self.threads.get_mut(tid.0) else { return };
        let (mut kept, mut given) = (Vec::new(), Vec::new());
        for sent in std::mem::take(&mut thread.pending) {
            let goes = sent.shared && unwanted(thread, sent.signal);
            if goes { given.push(sent.signal) } else { kept.push(sent) }
        }
        thread.pending = kept;
        let pid = thread.process;
        let Some(process) = self.processes.get_mut(pid.0) else { return };
        process.pending.extend(given);
        let others: Vec<Tid> = process.threads.iter().copied().filter(|it| *it != tid).collect();
        for other in others {
            self.settle_signals(other);
        }
    }

    /// Lets a thread take what its process has pending and it does not block; what is pending to it
    /// then is handled, or is done with at once.
    fn settle_signals(&mut self, tid: Tid) {
        self.pull_signals(tid);
        let Some(thread) = self.threads.get_mut(tid.0) else { return };
        let pid = thread.process;
        let Some(process) = self.processes.get(pid.0) else { return };
        let mask = thread.mask;
        let is_done = |sent: &Sent| !mask.contains(sent.signal) && process.ignores(sent.signal);
        thread.pending.retain(|sent| !is_done(sent));
        let opens = |sent: &&Sent| !mask.contains(sent.signal);
        let deadly = thread.pending.iter().filter(opens).find(|sent| process.dies_of(sent.signal));
        if let Some(Sent { signal, .. }) = deadly.copied() {
            return self.end_process(pid, Exit::Signal(signal));
        }
        self.interrupt(tid);
    }

    /// A thread is to take what its process has pending and it does not block.
    fn pull_signals(&mut self, tid: Tid) {
        let Some(thread) = self.threads.get_mut(tid.0) else { return };
        let Some(process) = self.processes.get_mut(thread.process.0) else { return };
        let open: Vec<i32> =
            process.pending.iter().copied().filter(|signal| !thread.blocks(*signal)).collect();
        process.pending.retain(|signal| thread.blocks(*signal));
        thread.pending.extend(open.iter().map(|signal| Sent { signal: *signal, shared: true }));
    }

    /// Wakes a thread that waits in a call and has a signal to handle.
    fn interrupt(&mut self, tid: Tid) {
        let Some(thread) = self.threads.get(tid.0) else { return };
        if let Some(call) = thread.call.as_ref().filter(|_| thread.next_pending().is_some()) {
            self.tickets.wake(call.ticket);
        }
    }

    /// kill(2). All processes are of one group.
    pub(super) fn kill(&mut self, cx: Cx, pid: Pid, signal: i32) -> Result<usize, Errno> {
        match pid.0 {
            1.. => {
                // Whether the number is somebody's is read, too.
                self.touch(Object::Process(pid), Access::Read);
                let target = self.signal_target(pid).ok_or(Errno::SRCH)?;
                self.kill_one(cx, target, signal)?;
            }
            // The caller's group; -1: everybody but init and the caller.
            0 | -1 => {
                let all: Vec<Pid> = self.processes.iter().map(|(pid, _)| Pid(pid)).collect();
                let spared = |target: &Pid| pid.0 == -1 && (target.0 == 1 || *target == cx.pid);
                let targets: Vec<Pid> = all.into_iter().filter(|it| !spared(it)).collect();
                let mut results = Vec::new();
                for target in &targets {
                    results.push(self.kill_one(cx, *target, signal));
                }
                return group_result(pid.0, &results);
            }
            _ => return Err(Errno::SRCH),
        }
        Ok(0)
    }

    /// The process of a number, which may be that of a thread.
    fn signal_target(&self, pid: Pid) -> Option<Pid> {
        match self.processes.get(pid.0) {
            Some(_) => Some(pid),
            None => self.process_of(Tid(pid.0)),
        }
    }

    fn kill_one(&mut self, cx: Cx, target: Pid, signal: i32) -> Result<(), Errno> {
        if !(0..=SIGNAL_MAX).contains(&signal) {
            return Err(Errno::INVAL);
        }
        self.touch(Object::Process(target), Access::Read);
        self.touch(Object::Settings(target), Access::Read);
        if cx.pid != target && !self.may_signal(cx.pid, target) {
            return Err(Errno::PERM);
        }
        if signal != 0 {
            self.send_signal(target, None, signal);
        }
        Ok(())
    }

    /// Who acts as, or is, the user that the other is or may become again; or has CAP_KILL.
    fn may_signal(&self, sender: Pid, target: Pid) -> bool {
        let identity = |pid: Pid| self.processes.get(pid.0).map(|process| &process.identity);
        let (Some(sender), Some(target)) = (identity(sender), identity(target)) else {
            return false;
        };
        let is_of = |id: u32| id == target.uid.real || id == target.uid.saved;
        let own = is_of(sender.uid.real) || is_of(sender.uid.effective);
        own || sender.has(Capabilities::KILL)
    }

    /// Sends a signal to a process, or to a `thread` of it alone. Nothing happens to a process that
    /// does not run.
    pub(super) fn send_signal(&mut self, pid: Pid, thread: Option<Tid>, signal: i32) {
        let Some(process) = self.running(pid) else { return };
        let dies = process.dies_of(signal);
        let first = thread.or_else(|| process.threads.first().copied());
        let blocks = |tid: Tid| self.threads.get(tid.0).is_none_or(|it| it.blocks(signal));
        // What is blocked is never ignored: its disposition may be another when it is not.
        if process.ignores(signal) && !first.is_some_and(blocks) {
            return self.touch(Object::Process(pid), Access::Read);
        }
        let taker = match thread {
            Some(tid) => Some(tid).filter(|tid| !blocks(*tid)),
            None => self.taker(process, signal),
        };
        let dies = dies && (taker.is_some() || process.threads.is_empty());
        let is_ignored = process.ignores(signal) && taker.is_some();
        self.touch(Object::Process(pid), Access::Write);
        if dies {
            return self.end_process(pid, Exit::Signal(signal));
        }
        let once = signal < REAL_TIME;
        let place = taker.or(thread).and_then(|tid| self.threads.get_mut(tid.0));
        match place {
            _ if is_ignored => {}
            Some(place) => {
                let sent = Sent { signal, shared: thread.is_none() };
                if !(once && place.pending.contains(&sent)) {
                    place.pending.push(sent);
                }
            }
            None => {
                let Some(process) = self.processes.get_mut(pid.0) else { return };
                if !(once && process.pending.contains(&signal)) {
                    process.pending.push(signal);
                }
            }
        }
        if let Some(taker) = taker {
            self.interrupt(taker);
        }
    }

    /// The thread that takes a process's signal: the first that does not block it, before those
    /// that have others to handle already.
    fn taker(&self, process: &Process, signal: i32) -> Option<Tid> {
        let is_open = |tid: &Tid| self.threads.get(tid.0).is_some_and(|it| !it.blocks(signal));
        let is_free =
            |tid: &Tid| self.threads.get(tid.0).is_some_and(|it| it.next_pending().is_none());
        let open = || process.threads.iter().copied().filter(is_open);
        open().find(is_free).or_else(|| open().next())
    }

    /// Takes all signals that a thread can handle now, in the order of their handling.
    fn take_signals(&mut self, tid: Tid) {
        while let Some(thread) = self.threads.get_mut(tid.0)
            && let Some(at) = thread.next_pending()
        {
            let Sent { signal, .. } = thread.pending.remove(at);
            thread.taken.push_back(signal);
            let Some(process) = self.processes.get_mut(thread.process.0) else { return };
            if process.dispositions.get(signal).flags.contains(SaFlags::RESETHAND) {
                process.dispositions.set(signal, Sigaction::default());
            }
        }
    }

    /// Whether the first signal that a thread handles now lets calls be made again.
    fn restarts(&self, tid: Tid) -> bool {
        let Some(thread) = self.threads.get(tid.0) else { return false };
        let first = thread.next_pending().map(|at| thread.pending[at].signal);
        let process = self.processes.get(thread.process.0);
        first.zip(process).is_some_and(|(signal, process)| {
            process.dispositions.get(signal).flags.contains(SaFlags::RESTART)
        })
    }

    /// What signals make of a step: a call that has begun to wait goes on at once, one that was
    /// interrupted may be made again. `timed`: it had a time limit of its socket's.
    pub(super) fn after_signals(
        &mut self,
        cx: Cx,
        call: &Call<'_, '_>,
        step: Step,
        timed: bool,
    ) -> Step {
        if self.tracked && self.handles_any(cx.pid) {
            self.touch(Object::Process(cx.pid), Access::Read);
            if matches!(step, Step::Blocked { .. }) {
                self.touch(Object::Process(cx.pid), Access::Awaits);
            }
        }
        let Some(thread) = self.threads.get(cx.tid.0) else { return step };
        if thread.pending.is_empty() && thread.unmasked.is_none() {
            return step;
        }
        let step = match step {
            // A signal counts though there was no time to wait; not for epoll.
            Step::Done(Ok(0)) if thread.next_pending().is_some() && looks_for_signals(call) => {
                Step::Done(Err(Errno::INTR))
            }
            step => step,
        };
        match step {
            Step::Blocked { .. } => {
                self.settle_signals(cx.tid);
                step
            }
            Step::Done(Err(Errno::INTR)) => {
                self.settle_signals(cx.tid);
                let again = cx.why == Why::Interrupted
                    && !timed
                    && is_made_again(call)
                    && self.restarts(cx.tid);
                self.take_signals(cx.tid);
                self.restore_mask(cx.tid);
                if again { Step::Restart } else { step }
            }
            Step::Done(_) | Step::Restart => {
                self.restore_mask(cx.tid);
                step
            }
        }
    }

    fn handles_any(&self, pid: Pid) -> bool {
        self.processes.get(pid.0).is_some_and(|process| process.dispositions.any_handled())
    }

    /// A call that has a signal mask of its own begins (ppoll).
    #[inline]
    pub(super) fn mask_signals(&mut self, cx: Cx, call: &Call<'_, '_>) {
        if let (Some(mask), Why::First) = (own_mask(call), cx.why) {
            self.take_mask(cx, mask);
        }
    }

    fn take_mask(&mut self, cx: Cx, mask: SigSet) {
        if let Some(thread) = self.threads.get_mut(cx.tid.0) {
            thread.unmasked = Some(thread.mask);
            thread.mask = SigSet(mask.0 & !UNBLOCKABLE.0);
        }
        self.touch(Object::Process(cx.pid), Access::Write);
        self.give_back(cx.tid, Thread::blocks);
        // What is let through is looked at only if the call has nothing else to return.
        self.pull_signals(cx.tid);
    }

    /// A call with a signal mask of its own is over.
    fn restore_mask(&mut self, tid: Tid) {
        let saved = self.threads.get_mut(tid.0).and_then(|thread| thread.unmasked.take());
        if let Some(mask) = saved {
            self.set_mask(tid, mask);
        }
    }

    /// SIGPIPE, which a thread gets for what it does itself.
    pub(super) fn send_sigpipe(&mut self, cx: Cx) {
        self.send_signal(cx.pid, Some(cx.tid), Signal::Pipe as i32);
    }
}

/// What kill(2) of many returns: of a group, whether it reached any; of all, the last error that is
/// not EPERM.
fn group_result(pid: i32, results: &[Result<(), Errno>]) -> Result<usize, Errno> {
    let last = results.last().copied().ok_or(Errno::SRCH)?;
    let worse = results.iter().rev().find(|result| **result != Err(Errno::PERM));
    let result = match pid {
        0 if results.iter().any(Result::is_ok) => Ok(()),
        0 => last,
        _ => worse.copied().unwrap_or(Ok(())),
    };
    result.map(|()| 0)
}

/// The calls that SA_RESTART makes again (signal(7)); the others end with EINTR.
fn is_made_again(call: &Call<'_, '_>) -> bool {
    matches!(
        call,
        Call::Accept4 { .. }
            | Call::Connect { .. }
            | Call::Read { .. }
            | Call::Readv { .. }
            | Call::Recvfrom { .. }
            | Call::Recvmsg { .. }
            | Call::Recvmmsg { .. }
            | Call::Write { .. }
            | Call::Writev { .. }
            | Call::Sendto { .. }
            | Call::Sendmsg { .. }
            | Call::Sendmmsg { .. }
            | Call::Waitpid { .. }
    )
}

/// The signal mask that a thread has while it is in the call.
fn own_mask(call: &Call<'_, '_>) -> Option<SigSet> {
    match call {
        Call::Poll { mask, .. } | Call::Pselect6 { mask, .. } | Call::EpollPwait2 { mask, .. } => {
            *mask
        }
        _ => None,
    }
}

/// Whether a call with a signal mask of its own ends with EINTR though it would not wait.
fn looks_for_signals(call: &Call<'_, '_>) -> bool {
    own_mask(call).is_some() && !matches!(call, Call::EpollPwait2 { .. })
}
