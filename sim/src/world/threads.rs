//! How simulated threads and processes begin and end.

use std::collections::BTreeMap;

use afunix::trace::EventKind;
use afunix::{Errno, Exit, Pid, Signal, Tid};
use afunix_model::{Resume, Spawn};

use super::{Body, End, NOBODY, Process, State, Thread, World};
use crate::counts::{mix, name_key};

/// What a thread left behind.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Its body returned; of the main thread: with this status.
    Returned(i32),
    /// It panicked, with message and place.
    Panicked(String),
    /// It was unwound because its process is no more.
    Unwound,
}

impl World {
    /// Starts a thread of the caller's process.
    pub(crate) fn start_thread(&mut self, name: &str, body: impl FnOnce(u32) -> Body) -> u32 {
        let caller = self.running;
        self.account(caller);
        let Thread { pid, process, .. } = self.threads[caller as usize];
        let tid = self.machine.start_thread(pid, name);
        self.machine.inherit_mask(self.threads[caller as usize].tid, tid);
        self.drain();
        let name = format!("{}/{name}", self.processes[process as usize].name);
        let slot = self.threads.len() as u32;
        self.mark(caller, "spawn");
        self.add_thread(tid, pid, process, name, false, body(slot));
        slot
    }

    /// Starts a child process of the caller's.
    pub(crate) fn start_process(
        &mut self,
        spec: &Spawn<'_>,
        body: impl FnOnce(Pid, u32) -> Body,
    ) -> Result<Pid, Errno> {
        let caller = self.running;
        self.account(caller);
        self.mark(caller, "process");
        let parent = self.threads[caller as usize].pid;
        let made = self.machine.spawn(parent, spec);
        self.drain();
        let (pid, tid) = made?;
        let inherited = spec.fds.iter().map(|(_, number)| *number).collect();
        let slot = self.threads.len() as u32;
        self.add_process((pid, tid), spec.name, inherited, body(pid, slot));
        Ok(pid)
    }

    pub(super) fn add_process(
        &mut self,
        (pid, tid): (Pid, Tid),
        name: &str,
        inherited: Vec<i32>,
        body: Body,
    ) {
        let index = self.processes.len() as u32;
        self.processes.push(Process {
            pid,
            name: name.to_owned(),
            alive: true,
            may_crash: false,
            exposed: 0,
            crash_before: None,
            is_hunted: false,
            inherited,
            threads: Vec::new(),
            handlers: BTreeMap::new(),
        });
        let number = usize::try_from(pid.0).expect("a process id is positive");
        if self.process_of.len() <= number {
            self.process_of.resize(number + 1, NOBODY);
        }
        self.process_of[number] = index;
        self.add_thread(tid, pid, index, name.to_owned(), true, body);
    }

    fn add_thread(
        &mut self,
        tid: Tid,
        pid: Pid,
        process: u32,
        name: String,
        is_main: bool,
        body: Body,
    ) {
        let slot = self.threads.len() as u32;
        if self.record.is_some() {
            let name = name.clone();
            self.note_as(pid, tid, EventKind::Started { name });
        }
        self.threads.push(Thread {
            tid,
            pid,
            process,
            name,
            is_main,
            state: State::Runnable,
            resume: Resume::First,
            ticket: None,
            waiting: None,
            waits: 0,
            joiner: NOBODY,
            after: None,
            panicked: None,
            steps: 0,
            may_wait: false,
        });
        if let Some(search) = self.chooser.search() {
            search.born(slot);
        }
        self.bodies.push(Some(body));
        self.processes[process as usize].threads.push(slot);
        self.runnable.push(slot);
    }

    /// Waits for the end of a thread; `true` if another thread goes on first.
    pub(crate) fn join(&mut self, slot: u32) -> bool {
        let caller = self.running;
        self.account(caller);
        self.mark(caller, "join");
        if self.searching {
            self.search_joins(slot);
        }
        let joined = &mut self.threads[slot as usize];
        if joined.state == State::Ended {
            return false;
        }
        self.park_joining(caller, slot);
        !self.schedule()
    }

    /// Somebody saw how a thread ended.
    pub(crate) fn joined(&mut self, slot: u32) {
        if self.running != NOBODY {
            self.threads[self.running as usize].waiting = None;
        }
        self.threads[slot as usize].panicked = None;
    }

    /// The calling process may be killed from now on, or no longer.
    pub(crate) fn may_crash(&mut self, yes: bool) {
        let process = self.threads[self.running as usize].process;
        self.processes[process as usize].may_crash = yes;
    }

    /// The running thread's body is over. Chooses who goes on.
    pub(crate) fn thread_ended(&mut self, ended: Ended) {
        if self.over {
            return;
        }
        let slot = self.running;
        let thread = &self.threads[slot as usize];
        let (pid, tid, is_main) = (thread.pid, thread.tid, thread.is_main);
        if self.reaping {
            if let Ended::Panicked(message) = ended {
                self.panicked(slot, message);
            }
            return;
        }
        if thread.state != State::Ended && !self.stepping {
            match ended {
                Ended::Returned(status) if is_main => {
                    if status == 0 && !self.checks.is_empty() {
                        self.check_return(slot);
                    }
                    self.account(slot);
                    let trace = mix(self.counts.trace, u64::from(slot));
                    self.counts.trace = mix(trace, status as u64);
                    self.mark(slot, "exit");
                    self.end_process(pid, Exit::Status(status & 0xff));
                }
                Ended::Panicked(message) if is_main => {
                    self.note(slot, || EventKind::Printed { line: message.clone() });
                    self.end_process(pid, Exit::Status(101));
                    self.panicked(slot, message);
                }
                ended => {
                    if let Ended::Panicked(message) = ended {
                        self.threads[slot as usize].panicked = Some(message);
                    }
                    self.machine.end_thread(tid);
                    self.drain();
                    self.retire(slot);
                }
            }
        } else if let Ended::Panicked(message) = ended {
            // A destructor of a killed thread, or the machine itself, panicked.
            self.panicked(slot, message);
        }
        self.schedule();
    }

    /// A thread is no more.
    fn retire(&mut self, slot: u32) {
        if self.searching {
            self.search_ends(slot);
        }
        self.not_runnable(slot);
        let thread = &mut self.threads[slot as usize];
        thread.state = State::Ended;
        thread.waiting = None;
        if let Some(ticket) = thread.ticket.take() {
            self.slot_of.remove(ticket);
        }
        let joiner = std::mem::replace(&mut thread.joiner, NOBODY);
        if joiner != NOBODY {
            self.ready(joiner, Resume::First);
        }
    }

    /// Ends a process.
    pub(super) fn end_process(&mut self, pid: Pid, how: Exit) {
        self.machine.exit(pid, how);
        self.drain();
    }

    /// A thread of the test is to kill a process.
    pub(crate) fn hunts(&mut self, pid: Pid) {
        if let Some(process) = self.process(pid) {
            process.is_hunted = true;
        }
    }

    /// A process was killed by the thread that was to: a crash before its next step.
    fn caught(&mut self, pid: Pid) {
        let Some(process) = self.process(pid) else { return };
        let (name, slots) = (name_key(&process.name), process.threads.clone());
        let steps = slots.iter().map(|slot| self.threads[*slot as usize].steps).sum();
        self.crash_points.insert((name, 0, steps));
        self.counts.faults.crashes += 1;
    }

    /// The machine ended a process: its threads do not run on.
    pub(super) fn bury(&mut self, pid: Pid, how: Exit) {
        let running = self.running;
        let Some(process) = self.process(pid) else { return };
        process.alive = false;
        if process.is_hunted && how == Exit::Signal(Signal::Kill as i32) {
            self.caught(pid);
        }
        if self.searching {
            self.search_kills(pid);
        }
        let Some(process) = self.process(pid) else { return };
        let slots = std::mem::take(&mut process.threads);
        let main = slots[0];
        let doomed = self.doomed.len();
        for slot in &slots {
            if self.threads[*slot as usize].state != State::Ended {
                self.retire(*slot);
                if *slot != running {
                    self.doomed.push(*slot);
                }
            }
        }
        // Who holds a lock is unwound first (from the end): destructors of others may need it.
        let memory = &self.memory;
        self.doomed[doomed..].sort_by_key(|slot| memory.iter().any(|it| it.is_held_by(*slot)));
        if let Some(process) = self.process(pid) {
            process.threads = slots;
        }
        self.note(main, || EventKind::Exited { how: how.to_string() });
        if main == 0 && self.end.is_none() {
            self.end = Some(End::Exited(how));
        }
    }
}
