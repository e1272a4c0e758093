//! A whole simulated machine around the sockets.
//!
//! A *process* has credentials, limits and a table of *descriptors*: numbers that stand for *files*
//! (open file descriptions), which refer to a socket, an inode or the console. A *thread* makes
//! calls, one at a time; a call that waits is known by its *ticket*, and holds its file until it
//! ends (VFS 5).
//!
//! ```text
//! Tid -> Thread -> Pid -> Process -> number -> FileId -> OpenFile -> socket | inode | console
//! ```
//!
//! Nothing here waits: [`Machine::step`] runs a call as far as it goes and says what it waits for.
//! After every mutation the *effects* are to be drained: tickets woken, processes ended. Between
//! its calls a thread has *signals* to handle ([`Machine::next_signal`]).

mod calls;
pub mod descriptors;
mod events;
pub mod file;
mod footprint;
pub mod fs;
mod identity;
mod invariants;
mod life;
mod load;
mod network;
mod owner;
mod process;
mod shortcut;
mod signal;
mod snapshot;

use std::collections::VecDeque;
use std::time::Duration;

use afunix::{Call, Credentials, Errno, Exit, Limits, Pid, Tid};
use slotmap::{SecondaryMap, SlotMap};

use crate::profile::Profile;
use crate::sockets::Sockets;
use crate::wait::{On, Ticket, Tickets};
use calls::{Eventfd, Pipe, Watches};
use file::{FileId, Files};
use fs::Tree;
use process::{InCall, InCallState, Numbered, Process, Thread};

pub use calls::{EventfdKey, PipeKey};
pub use events::Happened;
pub use footprint::{Access, Object};
pub use load::{ENTRIES_MAX, LOADED_BYTES_MAX, LoadError, Loaded, WhyNotLoaded};
pub use process::NR_OPEN;

/// Time since the machine started.
pub type Time = Duration;

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The call is over, with its return value.
    Done(Result<usize, Errno>),
    /// A signal interrupted the call, and it is to be made again from its beginning, after the
    /// signal's handler (SA_RESTART).
    Restart,
    /// The call waits. Step it again with the same `Call` once the ticket is woken, the deadline
    /// has passed or a signal came.
    Blocked {
        /// What would let it go on.
        on: On,
        /// To be named when it is stepped again.
        ticket: Ticket,
        /// When it ends by itself: absolute, and fixed at the first step.
        deadline: Option<Time>,
    },
}

/// Why a call is stepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It begins.
    First,
    /// Its ticket was woken.
    Woken(Ticket),
    /// Its deadline has passed. Decides between a partial count and an error.
    TimedOut(Ticket),
    /// A signal came: EINTR, or a partial count.
    Interrupted(Ticket),
}

/// What a step did beside its result. To be drained after every mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A waiting call can be stepped again.
    Woken(Ticket),
    /// A process ended (killed by a signal, or by [`Machine::exit`]): its threads must not run on.
    Exited {
        /// The process.
        process: Pid,
        /// How it ended.
        exit: Exit,
    },
}

/// What a new process is given; descriptors are those of the parent.
#[derive(Clone, Debug, Default)]
pub struct Spawn<'a> {
    /// Its name, for pictures.
    pub name: &'a str,
    /// The user to become; EPERM unless the parent acts as user 0, and has not given it up.
    pub user: Option<Credentials>,
    /// The umask, if not the parent's.
    pub umask: Option<u32>,
    /// The limits, if not the parent's.
    pub limits: Option<Limits>,
    /// It may open nothing by a path: EACCES.
    pub confined: bool,
    /// Pairs (number in the parent, number in the child), moved: closed in the parent.
    pub fds: &'a [(i32, i32)],
}

/// A simulated computer.
///
/// One rule drives it: *one mutation, then drain [`Machine::next_effect`]*. Mutations are `step`,
/// `spawn`,
/// `fork`, `start_thread`, `end_thread`, `exit` and `cancel`.
#[derive(Clone, Debug)]
pub struct Machine {
    profile: Profile,
    sockets: Sockets,
    pipes: SlotMap<PipeKey, Pipe>,
    eventfds: SlotMap<EventfdKey, Eventfd>,
    watches: Watches,
    /// A socket was released: look for unreachable files in flight (GC 3).
    collect_due: bool,
    /// Files without references, in the order in which they lost the last.
    to_release: Vec<FileId>,
    tickets: Tickets,
    processes: Numbered<Process>,
    threads: Numbered<Thread>,
    /// The threads that wait, by the tickets of their calls.
    waiting: SecondaryMap<Ticket, Tid>,
    /// The thread of the step under way, or of the last one.
    stepping: Option<Tid>,
    /// Given to the next process or thread: they share one space of numbers.
    next_id: i32,
    files: Files,
    next_file: u64,
    next_netns: u32,
    tree: Tree,
    console: Vec<u8>,
    effects: VecDeque<Effect>,
    tracked: bool,
    footprint: Vec<(Object, Access)>,
    observed: bool,
    events: VecDeque<Happened>,
    /// Whether common calls may take a short way, and whether they do now: nobody asks what a step
    /// touched or what happened in it, and the profile refuses nothing and has no bug planted.
    shortcuts: bool,
    takes_shortcuts: bool,
}

/// The thread whose call is being stepped, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cx {
    now: Time,
    tid: Tid,
    pid: Pid,
    why: Why,
    /// Its ticket was woken, whatever it is resumed for.
    woken: bool,
}

/// [`Resume`] without the ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    First,
    Woken,
    TimedOut,
    Interrupted,
}

/// A call that has to wait, as the calls tell it to [`Machine::step`].
#[derive(Debug)]
pub(crate) struct Wait {
    on: On,
    /// Already enrolled in every queue that matters.
    ticket: Ticket,
    deadline: Option<Time>,
    /// What is settled at the first step; ignored later.
    settled: Settled,
    state: InCallState,
}

/// The files that a call holds while it waits.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    file: Option<FileId>,
    polled: Vec<FileId>,
}

/// How a call goes: over, or waiting.
pub(crate) enum Flow {
    Done(Result<usize, Errno>),
    Wait(Wait),
}

impl From<Result<usize, Errno>> for Flow {
    #[inline]
    fn from(result: Result<usize, Errno>) -> Self {
        Flow::Done(result)
    }
}

impl Machine {
    /// A machine that has just started: `/`, `/tmp` (01777), `/run`, `/dev/null`; process 1,
    /// "main", of the superuser, with thread 1 and descriptors 0 to 2 on the console.
    pub fn new(profile: Profile) -> Machine {
        let mut machine = Machine {
            sockets: Sockets::new(profile.clone()),
            profile,
            pipes: SlotMap::with_key(),
            eventfds: SlotMap::with_key(),
            watches: Watches::default(),
            collect_due: false,
            to_release: Vec::new(),
            tickets: Tickets::default(),
            processes: Numbered::default(),
            threads: Numbered::default(),
            waiting: SecondaryMap::new(),
            stepping: None,
            next_id: 1,
            files: SlotMap::with_key(),
            next_file: 1,
            next_netns: 1,
            tree: Tree::new(),
            console: Vec::new(),
            effects: VecDeque::new(),
            tracked: true,
            footprint: Vec::new(),
            observed: false,
            events: VecDeque::new(),
            shortcuts: true,
            takes_shortcuts: false,
        };
        machine.track(true);
        machine.start_main();
        machine
    }

    /// Runs `call` for `thread` as far as it goes without waiting. `now` is the machine's clock.
    ///
    /// A thread that is gone (its process was killed) gets ESRCH.
    ///
    /// # Panics
    /// If the effects of the last mutation were not drained, or if a call is resumed by another
    /// ticket than the one it was blocked with.
    #[inline]
    pub fn step(
        &mut self,
        now: Time,
        thread: Tid,
        call: &mut Call<'_, '_>,
        resume: Resume,
    ) -> Step {
        self.begin_mutation();
        self.stepping = Some(thread);
        if self.takes_shortcuts {
            let done = match resume {
                Resume::First => self.shortcut(now, thread, call),
                Resume::Woken(ticket) => self.woken_shortcut(thread, ticket, call),
                Resume::TimedOut(_) | Resume::Interrupted(_) => None,
            };
            if let Some(count) = done {
                return Step::Done(Ok(count));
            }
        }
        self.step_in_full(now, thread, call, resume)
    }

    fn step_in_full(
        &mut self,
        now: Time,
        thread: Tid,
        call: &mut Call<'_, '_>,
        resume: Resume,
    ) -> Step {
        let Some(state) = self.threads.get(thread.0) else {
            return Step::Done(Err(Errno::SRCH));
        };
        let (pid, timed) =
            (state.process, state.call.as_ref().is_some_and(|call| call.deadline.is_some()));
        let (why, woken) = match resume {
            Resume::First => {
                assert!(state.call.is_none(), "a call begins after the end of the one before");
                (Why::First, false)
            }
            Resume::Woken(ticket) => self.go_on(thread, Why::Woken, ticket),
            Resume::TimedOut(ticket) => self.go_on(thread, Why::TimedOut, ticket),
            Resume::Interrupted(ticket) => self.go_on(thread, Why::Interrupted, ticket),
        };
        let cx = Cx { now, tid: thread, pid, why, woken };
        self.touch(Object::Settings(pid), Access::Read);
        self.mask_signals(cx, call);
        let step = if call.may_wait() {
            match self.perform(cx, call) {
                Flow::Done(result) => {
                    if why != Why::First {
                        self.end_call(thread);
                    }
                    Step::Done(result)
                }
                Flow::Wait(wait) => self.block(cx, call, wait),
            }
        } else {
            Step::Done(self.perform_at_once(cx, call))
        };
        self.signal_owners();
        let step = self.after_signals(cx, call, step, timed);
        self.end_mutation(pid, thread);
        step
    }

    /// A call that waits is tried again: why, and whether its ticket was woken.
    fn go_on(&mut self, thread: Tid, why: Why, ticket: Ticket) -> (Why, bool) {
        let own = self.threads.get(thread.0).and_then(|state| state.call.as_ref());
        let own = own.map(|call| call.ticket);
        assert_eq!(own, Some(ticket), "a call is resumed by the ticket it was blocked with");
        let woken = !self.tickets.is_valid(ticket);
        self.tickets.cancel(ticket);
        (if self.has_signal(thread) { Why::Interrupted } else { why }, woken)
    }

    /// The next thing to be told to the host. To be drained after every mutation.
    #[inline]
    pub fn next_effect(&mut self) -> Option<Effect> {
        if let Some(ticket) = self.tickets.next_woken() {
            self.tell_woken(ticket);
            return Some(Effect::Woken(ticket));
        }
        self.effects.pop_front()
    }

    /// The caller gave up the call that waits by `ticket`: what it held is let go. Nothing happens
    /// if no call waits by it.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.begin_mutation();
        self.tickets.cancel(ticket);
        if let Some(thread) = self.waiting.get(ticket).copied() {
            self.end_call(thread);
            self.end_mutation(self.process_of(thread).unwrap_or_default(), thread);
        }
    }

    /// Whether footprints are kept, which they are at first: it costs each step some nanoseconds.
    pub fn track(&mut self, on: bool) {
        self.tracked = on;
        self.sockets.watch.touching = on;
        self.footprint.clear();
        self.choose_shortcuts();
    }

    /// What the last step touched (or the last `exit`, or whatever else changed the machine), in
    /// order; an object may come more than once.
    pub fn footprint(&self) -> &[(Object, Access)] {
        &self.footprint
    }

    /// From now on (or no longer) keeps what happens for [`Machine::next_event`].
    pub fn observe(&mut self, on: bool) {
        self.observed = on;
        self.sockets.watch.flowing = on;
        if !on {
            self.events.clear();
        }
        self.choose_shortcuts();
    }

    /// Whether common calls may take a short way where nothing is unusual, which they may at first.
    /// Nothing but the time that they take tells the difference: for the test that shows it.
    pub fn allow_shortcuts(&mut self, on: bool) {
        self.shortcuts = on;
        self.choose_shortcuts();
    }

    fn choose_shortcuts(&mut self) {
        let is_watched = self.tracked || self.observed;
        let is_linux = self.profile.planted.is_empty() && !self.profile.portable;
        self.takes_shortcuts = self.shortcuts && is_linux && !is_watched;
    }

    /// The next thing that happened.
    pub fn next_event(&mut self) -> Option<Happened> {
        self.events.pop_front()
    }

    /// What was written to the console since it was last taken.
    pub fn take_console(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.console)
    }

    /// The profile that it was made with.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    #[inline]
    fn begin_mutation(&mut self) {
        assert!(
            self.effects.is_empty() && !self.tickets.any_woken(),
            "the effects of a mutation are drained before the next"
        );
        self.footprint.clear();
        self.stepping = None;
    }

    /// Gathers what the file system and the sockets noted in passing.
    #[inline]
    fn end_mutation(&mut self, pid: Pid, tid: Tid) {
        self.signal_owners();
        if self.tracked {
            self.footprint.append(&mut self.tree.touched);
            let touched = self.sockets.watch.touched.drain(..);
            self.footprint
                .extend(touched.map(|(part, touch)| (Object::Socket(part), touch.into())));
            let epolls = self.tickets.epolls.touched.drain(..);
            self.footprint.extend(epolls.map(|epoll| (Object::Epoll(epoll), Access::Write)));
        } else {
            self.tree.touched.clear();
            self.tickets.epolls.touched.clear();
        }
        if self.observed {
            self.gather_events(pid, tid);
        }
    }

    /// The call that the stepped thread waited in; `None` when it begins.
    fn in_call(&self, cx: Cx) -> Option<&InCall> {
        match cx.why {
            Why::First => None,
            _ => self.threads.get(cx.tid.0)?.call.as_ref(),
        }
    }

    #[inline]
    fn touch(&mut self, object: Object, access: Access) {
        if self.tracked {
            self.footprint.push((object, access));
        }
    }

    /// Notes that the call waits, and holds what it needs meanwhile.
    fn block(&mut self, cx: Cx, call: &Call<'_, '_>, wait: Wait) -> Step {
        let Wait { on, ticket, deadline, settled, state } = wait;
        let thread = self.threads.get_mut(cx.tid.0).expect("the stepped thread is there");
        self.waiting.insert(ticket, cx.tid);
        if let Some(call) = &mut thread.call {
            self.waiting.remove(call.ticket);
            (call.on, call.ticket, call.deadline, call.state) = (on, ticket, deadline, state);
            return Step::Blocked { on, ticket, deadline };
        }
        for file in settled.file.iter().chain(&settled.polled) {
            self.files[*file].references += 1;
        }
        thread.call = Some(InCall {
            call: call.name(),
            fd: call.fd().map(afunix::net::Fd::number),
            on,
            ticket,
            since: cx.now,
            deadline,
            file: settled.file,
            polled: settled.polled,
            state,
        });
        Step::Blocked { on, ticket, deadline }
    }

    /// Lets go of what a waiting call holds.
    fn end_call(&mut self, thread: Tid) {
        let Some(state) = self.threads.get_mut(thread.0) else { return };
        let process = state.process;
        let Some(call) = state.call.take() else { return };
        self.waiting.remove(call.ticket);
        self.tickets.cancel(call.ticket);
        match call.state {
            InCallState::None => {}
            InCallState::Send(mut sending) => {
                self.sockets.finish_send(&mut self.tickets, &mut sending);
            }
            InCallState::Receive(receiving) => self.sockets.discard(*receiving),
            InCallState::Accept(number) => {
                if let Some(process) = self.processes.get_mut(process.0) {
                    process.descriptors.unreserve(number);
                }
            }
        }
        self.settle();
        for file in call.file.into_iter().chain(call.polled) {
            self.drop_reference(file);
        }
    }
}
