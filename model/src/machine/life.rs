//! How processes and threads begin and end.

use std::collections::BTreeSet;

use afunix::{Errno, Exit, Limits, OpenFlags, Pid, Readiness, Signal, Tid};

use super::descriptors::{Descriptor, Descriptors};
use super::file::Kind;
use super::identity::Identity;
use super::process::{Dispositions, NR_OPEN, Process, Thread};
use super::{Access, Effect, Machine, Object, Spawn};
use crate::wait::WaitQueue;

/// Numbers of the standard streams, which every child gets.
const STANDARD: std::ops::Range<i32> = 0..3;

impl Machine {
    /// Starts a child of `parent`, with one thread named "main". It gets 0 to 2, and what `spec`
    /// moves to it; its working directory, and whatever `spec` leaves open, is the parent's.
    ///
    /// # Errors
    /// ESRCH if the parent does not run; EINVAL if two descriptors are given the same number or one
    /// below 3; EPERM if `spec` names a user and the parent may not become it; EBADF if the parent
    /// does not have a descriptor, or a number in the child is over what a table can hold. Nothing
    /// has changed then.
    pub fn spawn(&mut self, parent: Pid, spec: &Spawn<'_>) -> Result<(Pid, Tid), Errno> {
        self.begin_mutation();
        let from = self.running(parent).ok_or(Errno::SRCH)?;
        let mut numbers = BTreeSet::new();
        if !spec.fds.iter().all(|(_, number)| *number >= STANDARD.end && numbers.insert(*number)) {
            return Err(Errno::INVAL);
        }
        let mut identity = from.identity.clone();
        if let Some(user) = &spec.user {
            identity.become_user(user)?;
        }
        if spec.limits.is_some_and(|limits| limits.descriptors > NR_OPEN) {
            return Err(Errno::PERM);
        }
        let mut descriptors = Descriptors::default();
        let inherited = STANDARD.map(|number| (number, number));
        for (number, new) in inherited.chain(spec.fds.iter().copied()) {
            match from.descriptors.get(number) {
                Ok(descriptor) if new < NR_OPEN as i32 => {
                    descriptors.put(new, Descriptor { cloexec: false, ..descriptor });
                }
                Err(_) if STANDARD.contains(&new) => {}
                _ => return Err(Errno::BADF),
            }
        }
        let child = Process {
            name: spec.name.to_owned(),
            parent: Some(parent),
            identity,
            umask: spec.umask.unwrap_or(from.umask) & 0o777,
            limits: spec.limits.unwrap_or(from.limits),
            confined: spec.confined || from.confined,
            cwd: from.cwd,
            root: from.root,
            mounts: from.mounts,
            netns: from.netns,
            descriptors,
            threads: Vec::new(),
            children: BTreeSet::new(),
            ended: None,
            child_waiters: WaitQueue::default(),
            end_waiters: WaitQueue::default(),
            dispositions: Dispositions::default(),
            pending: Vec::new(),
        };
        let ids = self.add_process(child);
        for (number, _) in spec.fds {
            // Absent if it was given twice.
            let _ = self.close_number(parent, *number);
        }
        self.end_mutation(parent, Tid::default());
        Ok(ids)
    }

    /// fork(2): a child that shares every open file with its parent. ESRCH if the parent does not
    /// run.
    pub fn fork(&mut self, parent: Pid) -> Result<(Pid, Tid), Errno> {
        self.begin_mutation();
        let from = self.running(parent).ok_or(Errno::SRCH)?;
        let child = Process {
            parent: Some(parent),
            threads: Vec::new(),
            children: BTreeSet::new(),
            child_waiters: WaitQueue::default(),
            end_waiters: WaitQueue::default(),
            descriptors: from.descriptors.without_reservations(),
            pending: Vec::new(),
            ..from.clone()
        };
        let main = from.threads.first().copied();
        let ids = self.add_process(child);
        if let Some(main) = main {
            self.inherit_mask(main, ids.1);
        }
        Ok(ids)
    }

    /// Starts a thread in a process. It shares the descriptor table. `name` is for pictures.
    ///
    /// # Panics
    /// If the process does not run: a host starts threads from threads.
    pub fn start_thread(&mut self, pid: Pid, name: &str) -> Tid {
        self.begin_mutation();
        assert!(self.is_alive(pid), "a thread is started in a process that runs");
        let first = self.running(pid).and_then(|process| process.threads.first().copied());
        let tid = self.add_thread(pid, name);
        // Unless it is told whose, its mask is the first thread's.
        self.inherit_mask(first.unwrap_or(tid), tid);
        tid
    }

    /// Ends a thread; the call that it waits in, if any, is given up. The process stays, even
    /// without threads: [`Machine::exit`] ends it.
    pub fn end_thread(&mut self, tid: Tid) {
        self.begin_mutation();
        self.end_call(tid);
        self.end_signals(tid);
        if let Some(thread) = self.threads.remove(tid.0)
            && let Some(process) = self.processes.get_mut(thread.process.0)
        {
            process.threads.retain(|other| *other != tid);
            self.end_mutation(thread.process, tid);
        }
    }

    /// Ends a process with all its threads. Its descriptors are closed in the order of their
    /// numbers, its waiting calls are given up, and a parent that waits for it is woken. Nothing
    /// happens if it has ended already.
    pub fn exit(&mut self, pid: Pid, exit: Exit) {
        self.begin_mutation();
        // What its end does (waking a peer, freeing a socket) is its main thread's doing.
        let main = Tid(pid.0);
        self.stepping = Some(main);
        self.end_process(pid, exit);
        self.end_mutation(pid, main);
    }

    /// The process of a thread, while the thread lives.
    pub fn process_of(&self, tid: Tid) -> Option<Pid> {
        self.threads.get(tid.0).map(|thread| thread.process)
    }

    /// Whether a process runs: a zombie does not.
    pub fn is_alive(&self, pid: Pid) -> bool {
        self.running(pid).is_some()
    }

    pub(crate) fn running(&self, pid: Pid) -> Option<&Process> {
        self.processes.get(pid.0).filter(|process| process.ended.is_none())
    }

    /// Process 1 and its descriptors.
    pub(super) fn start_main(&mut self) {
        let console = self.tree.console();
        let status = OpenFlags::RDWR;
        let file = self.new_file(Kind::Console(console), status);
        let mut descriptors = Descriptors::default();
        for number in STANDARD {
            descriptors.put(number, Descriptor::of(&self.files, file, false));
        }
        let cwd = self.tree.root();
        self.add_process(Process {
            name: "main".to_owned(),
            parent: None,
            identity: Identity::ROOT,
            umask: 0o022,
            limits: Limits::default(),
            confined: false,
            cwd,
            root: cwd,
            mounts: 0,
            netns: 0,
            descriptors,
            threads: Vec::new(),
            children: BTreeSet::new(),
            ended: None,
            child_waiters: WaitQueue::default(),
            end_waiters: WaitQueue::default(),
            dispositions: Dispositions::default(),
            pending: Vec::new(),
        });
    }

    /// Enters a process, with one thread of its number; takes the references that it stands for.
    fn add_process(&mut self, process: Process) -> (Pid, Tid) {
        let pid = Pid(self.next_id);
        self.touch(Object::Process(pid), Access::Write);
        for (_, descriptor) in process.descriptors.iter() {
            self.files[descriptor.file].references += 1;
        }
        self.tree.hold(process.cwd);
        self.tree.hold(process.root);
        self.tree.join_namespace(process.mounts);
        if let Some(parent) = process.parent {
            self.touch(Object::Settings(parent), Access::Read);
            self.touch(Object::Children(parent), Access::Read);
            if let Some(parent) = self.processes.get_mut(parent.0) {
                parent.children.insert(pid);
            }
        }
        self.processes.insert(pid.0, process);
        (pid, self.add_thread(pid, "main"))
    }

    fn add_thread(&mut self, pid: Pid, name: &str) -> Tid {
        let tid = Tid(self.next_id);
        self.next_id += 1;
        self.touch(Object::Thread(tid), Access::Write);
        self.threads.insert(tid.0, Thread::new(pid, name));
        if let Some(process) = self.processes.get_mut(pid.0) {
            process.threads.push(tid);
        }
        tid
    }

    pub(super) fn end_process(&mut self, pid: Pid, exit: Exit) {
        if !self.is_alive(pid) {
            return;
        }
        self.touch(Object::Process(pid), Access::Write);
        if self.observed {
            // What flowed before is told while its sockets are there.
            let by = self.stepping.unwrap_or_default();
            self.gather_events(self.process_of(by).unwrap_or(pid), by);
        }
        let Some(process) = self.processes.get_mut(pid.0) else { return };
        // From here on no signal reaches it.
        process.ended = Some(exit);
        let threads = std::mem::take(&mut process.threads);
        for tid in threads {
            self.end_call(tid);
            self.threads.remove(tid.0);
        }
        // VFS 3: exit closes all. The order of the numbers is that in which they are let go, so the
        // highest is released first.
        let descriptors = self.processes.get(pid.0).map(|process| &process.descriptors);
        let numbers: Vec<i32> = descriptors
            .map_or_else(Vec::new, |open| open.iter().map(|(number, _)| number).collect());
        for number in numbers {
            let file = self.take_number(pid, number).expect("nobody else closes what is open");
            self.drop_reference_at_end(file);
        }
        self.settle();
        let Some(process) = self.processes.get_mut(pid.0) else { return };
        process.pending.clear();
        process.end_waiters.wake_all(&mut self.tickets, Readiness::IN | Readiness::RDNORM);
        let (cwd, root, mounts) = (process.cwd, process.root, process.mounts);
        let parent = process.parent;
        let children = std::mem::take(&mut process.children);
        self.tree.let_go(cwd);
        self.tree.let_go(root);
        self.tree.leave_namespace(mounts);
        for child in children {
            self.orphan(child);
        }
        match parent.and_then(|parent| self.processes.get_mut(parent.0)) {
            Some(parent) => parent.child_waiters.wake_all(&mut self.tickets, Readiness::empty()),
            None => drop(self.processes.remove(pid.0)),
        }
        self.effects.push_back(Effect::Exited { process: pid, exit });
        if let Some(parent) = parent {
            self.send_signal(parent, None, Signal::Chld as i32);
        }
    }

    /// A child whose parent has ended: init would wait for it at once.
    fn orphan(&mut self, child: Pid) {
        match self.processes.get_mut(child.0) {
            Some(process) if process.ended.is_none() => process.parent = None,
            _ => drop(self.reap(child)),
        }
    }

    /// Somebody has waited for a process that has ended: its number stands for nothing any more.
    pub(super) fn reap(&mut self, pid: Pid) -> Option<Process> {
        let mut process = self.processes.remove(pid.0)?;
        process.end_waiters.wake_all(&mut self.tickets, Readiness::empty());
        Some(process)
    }
}
