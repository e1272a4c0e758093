//! Exhaustive search: every run that differs, once.
//!
//! Two runs are the same if one becomes the other by swapping neighbouring steps that are
//! *independent*: steps whose footprints do not meet. The search is optimal dynamic partial-order
//! reduction: a run is made; each pair of its steps that *race* (they depend on each other directly
//! and could have come the other way round) gives a sequence that is to be tried from before the
//! first of them, and is noted there in a [wakeup tree](wakeup); threads whose next step was tried
//! *sleep* until something that this step depends on has happened.
//!
//! An *event* is what a thread does from one scheduling point to the next: one call, and what the
//! program does with it. A call that has to wait is an event of its own, an *enrolment*; but where
//! every change that could let it go on also wakes it, it depends on none of these changes, since
//! to have waited or to have come later is the same. Its descriptor it depends on: a close in
//! between makes a difference (VFS 5).
//!
//! A choice that is not of a thread (which task, a random number) belongs to the event in which it
//! is made, and the event is tried with each of them.
//!
//! Virtual time does not pass with steps here. It passes when no thread can go on, and whatever
//! came before that has come before all that follows.

mod footprint;
mod race;
mod threads;
mod wakeup;

use std::sync::Arc;

use afunix::{Pid, Tid};
use afunix_model::{Access, Machine, Object};

use crate::choice::Label;
use footprint::{Name, Names, Trace};
use threads::Threads;
use wakeup::Branch;

/// Most ways of a choice that is not of a thread, where each way is tried.
const DRAWS_MAX: u32 = 64;

/// What a thread did between two scheduling points.
#[derive(Clone, Debug)]
struct Event {
    thread: u32,
    /// How many events of its thread came before.
    step: u32,
    trace: Trace,
    /// Of each thread, how many of its events have happened before, this one counted.
    clock: Vec<u32>,
    /// Of an enrolment: what would let it go on.
    awaits: Vec<Name>,
    /// The events it races with, all earlier.
    races: Vec<usize>,
    /// Of an event that continues a call: the event that woke it.
    woken: Option<usize>,
}

/// A thread whose next step was tried before.
#[derive(Clone, Debug)]
struct Sleeper {
    thread: u32,
    trace: Trace,
}

/// A point of a run, before an event.
#[derive(Clone, Debug, Default)]
struct Node {
    sleeping: Vec<Sleeper>,
    /// What is still to be tried, beside what is under way.
    todo: Vec<Branch>,
    /// What is to follow the event under way.
    next: Vec<Branch>,
    /// Events tried.
    tried: u64,
    thread: u32,
    event: Option<Event>,
    /// The choices that its event draws, in order: below what, and the one taken.
    draws: Vec<(u32, u32)>,
    /// The event is to be made again, with other choices.
    again: bool,
    /// What the event touched with the choices before.
    touched: Option<Trace>,
}

/// Why a thread could not go on in its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// Every change that could let it go on wakes it.
    Freely {
        /// Except for changes of a socket's state.
        but_for_state: bool,
    },
    /// Who waits, and since when, makes a difference to others or to itself.
    InOrder,
}

/// What is known of the step under way.
#[derive(Clone, Debug, Default)]
struct Step {
    thread: u32,
    touched: Vec<(Object, Name, Access)>,
    /// Events that have to come before it, whatever it touches.
    after: Vec<usize>,
    blocked: Option<Blocked>,
}

/// How a run of the search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By itself.
    Whole,
    /// All that could go on slept: what follows was tried before.
    Asleep,
    /// What was to be tried has to wait: it cannot come here.
    Impossible,
    /// A run did not repeat itself.
    Lost,
}

/// The search, over all of its runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Search {
    nodes: Vec<Node>,
    /// Events of the run under way.
    at: usize,
    /// The nodes that the run under way takes over from the one before.
    follow: usize,
    names: Names,
    threads: Threads,
    step: Option<Step>,
    /// Choices that the step under way has drawn.
    drawn: usize,
    /// Clock that every further event has behind it: time has passed.
    passed: Vec<u32>,
    ending: Option<Ending>,
    /// What is left out, if something is.
    pub(crate) left_out: Option<&'static str>,
    /// Threads that could go on when their process was killed: (the event that killed, thread).
    killed: Vec<(usize, u32)>,
    first: Option<Arc<Machine>>,
}

impl Search {
    /// A search in which descriptor numbers matter, or do not.
    pub(crate) fn new(strict: bool) -> Search {
        let mut search = Search::default();
        search.names.strict = strict;
        search
    }

    /// A run begins, on a copy of this machine.
    pub(crate) fn begin_run(&mut self, first: &Arc<Machine>) {
        self.first = Some(Arc::clone(first));
        self.at = 0;
        self.step = None;
        self.passed.clear();
        self.ending = None;
        self.killed.clear();
        self.names.begin_run();
        self.threads.begin_run();
    }

    /// A choice below `n` that is not of a thread. Of few ways each is tried, but for faults, of
    /// which there is no end.
    pub(crate) fn draw(&mut self, n: u32, label: Label) -> u32 {
        if self.step.is_none() || n > DRAWS_MAX || matches!(label, Label::Fault | Label::Profile) {
            self.left_out =
                Some("choices of faults, or of very many ways, were made, and only one way each");
            return 0;
        }
        let draws = &mut self.nodes[self.at].draws;
        self.drawn += 1;
        match draws.get(self.drawn - 1) {
            Some((below, value)) if *below == n => *value,
            Some(_) => {
                self.ending = Some(Ending::Lost);
                0
            }
            None => {
                draws.push((n, 0));
                0
            }
        }
    }

    /// A thread begins; the step under way has started it.
    pub(crate) fn born(&mut self, slot: u32) {
        let parent = self.step.as_ref().map(|step| (step.thread, self.at));
        self.threads.born(slot, parent);
    }

    /// A call failed for want of descriptors.
    pub(crate) fn no_numbers(&mut self) {
        if !self.names.strict {
            self.left_out = Some(
                "a process ran out of descriptors, and who of its threads gets the last one \
                 depends on their order: search strictly",
            );
        }
    }

    /// The step under way ends a thread.
    pub(crate) fn ended(&mut self, slot: u32) {
        self.threads.ended(slot, self.at);
    }

    /// The step under way kills a thread that could go on.
    pub(crate) fn kills(&mut self, slot: u32) {
        self.killed.push((self.at, self.threads.of(slot)));
    }

    /// The step under way waits for the end of a thread.
    pub(crate) fn joins(&mut self, slot: u32) {
        let Some(step) = &mut self.step else { return };
        match self.threads.end_of(slot) {
            Some(end) => step.after.push(end),
            None => self.threads.will_join(step.thread, slot),
        }
    }

    /// The step under way lets a waiting thread go on.
    pub(crate) fn wakes(&mut self, slot: u32) {
        self.threads.woken(slot, self.step.is_some().then_some(self.at));
    }

    /// The step under way touched something.
    pub(crate) fn touched(&mut self, now: &Machine) {
        let (Some(step), Some(first)) = (&mut self.step, &self.first) else { return };
        for touched in now.footprint() {
            self.names.add(*touched, first, now, &mut step.touched);
        }
    }

    /// The step under way touched this.
    pub(crate) fn touch(&mut self, object: Object, access: Access, now: &Machine) {
        let (Some(step), Some(first)) = (&mut self.step, &self.first) else { return };
        self.names.add((object, access), first, now, &mut step.touched);
    }

    /// The step under way needs a process to run, or ends it.
    pub(crate) fn touch_life(&mut self, pid: Pid, access: Access) {
        let (Some(step), Some(first)) = (&mut self.step, &self.first) else { return };
        let name = self.names.life(pid, first);
        step.touched.push((Object::Thread(Tid(0)), name, access));
    }

    /// The call of the step under way waits.
    pub(crate) fn blocks(&mut self, blocked: Blocked) {
        if let Some(step) = &mut self.step {
            step.blocked = Some(blocked);
        }
    }

    /// Time passes, since no thread could go on.
    pub(crate) fn time_passes(&mut self) {
        self.end_step();
        for node in &self.nodes[..self.at] {
            if let Some(event) = &node.event {
                join(&mut self.passed, &event.clock);
            }
        }
    }

    /// Chooses among threads, of which `may_wait` says whether they may have to wait; `None` if the
    /// run is not worth going on with.
    pub(crate) fn choose(
        &mut self,
        runnable: &[u32],
        may_wait: impl Fn(u32) -> bool,
    ) -> Option<usize> {
        self.end_step();
        let threads: Vec<u32> = runnable.iter().map(|slot| self.threads.of(*slot)).collect();
        let again = self.nodes.get_mut(self.at).is_some_and(|node| std::mem::take(&mut node.again));
        let chosen = if again || self.at + 1 < self.follow {
            let thread = self.nodes[self.at].thread;
            threads.iter().position(|other| *other == thread).ok_or(Ending::Lost)
        } else {
            let prefer = |index: &usize| {
                (self.threads.has_begun(runnable[*index]), !may_wait(runnable[*index]))
            };
            let free = (0..threads.len()).map(|index| (prefer(&index), threads[index], index));
            let mut free: Vec<_> = free.collect();
            free.sort_unstable();
            self.choose_new(&threads, free.into_iter().map(|(_, _, index)| index))
        };
        match chosen {
            Ok(index) => {
                let thread = threads[index];
                self.begin_step(thread);
                Some(index)
            }
            Err(ending) => {
                self.ending = Some(ending);
                None
            }
        }
    }

    /// Chooses at a point that was not passed yet, or where something else was tried before.
    fn choose_new(
        &mut self,
        threads: &[u32],
        by_preference: impl Iterator<Item = usize>,
    ) -> Result<usize, Ending> {
        if self.at == self.nodes.len() {
            let node = self.next_node();
            self.nodes.push(node);
        }
        let node = &mut self.nodes[self.at];
        node.draws.clear();
        node.touched = None;
        let is_asleep =
            |node: &Node, thread| node.sleeping.iter().any(|sleeper| sleeper.thread == thread);
        let (mut impossible, mut asleep) = (false, false);
        while !node.todo.is_empty() {
            let branch = node.todo.remove(0);
            if is_asleep(node, branch.thread) {
                asleep = true;
                continue;
            }
            if let Some(index) = threads.iter().position(|thread| *thread == branch.thread) {
                (node.thread, node.next) = (branch.thread, branch.children);
                return Ok(index);
            }
            // It has to wait here. What was to follow is to be tried all the same.
            impossible = true;
            node.todo.splice(0..0, branch.children);
        }
        if node.tried == 0 {
            for index in by_preference {
                if !is_asleep(node, threads[index]) {
                    (node.thread, node.next) = (threads[index], Vec::new());
                    return Ok(index);
                }
                asleep = true;
            }
        }
        Err(if impossible && !asleep { Ending::Impossible } else { Ending::Asleep })
    }

    /// The point after the last event.
    fn next_node(&mut self) -> Node {
        let Some(last) = self.nodes.last_mut() else { return Node::default() };
        let todo = std::mem::take(&mut last.next);
        let Some(event) = &last.event else { unreachable!("a step ends before the next begins") };
        let still = |sleeper: &&Sleeper| {
            sleeper.thread != event.thread && sleeper.trace.commutes_with(&event.trace)
        };
        let sleeping = last.sleeping.iter().filter(still).cloned().collect();
        Node { sleeping, todo, ..Node::default() }
    }

    fn begin_step(&mut self, thread: u32) {
        let step = self.threads.begin_step(thread);
        self.names.begin_step(thread, step);
        let after = self.threads.joined(thread).into_iter().collect();
        self.step = Some(Step { thread, after, ..Step::default() });
        self.drawn = 0;
    }

    /// The step under way, if there is one, is over.
    pub(crate) fn end_step(&mut self) {
        let Some(step) = self.step.take() else { return };
        if self.at + 1 >= self.follow {
            let event = self.event(step);
            self.nodes[self.at].event = Some(event);
        } else if step.blocked.is_none() {
            self.threads.take_woken(step.thread);
        }
        self.at += 1;
    }

    /// The run is over: what its races ask to be tried is noted. Returns how it ended.
    pub(crate) fn end_run(&mut self) -> Ending {
        let ending = self.ending.take().unwrap_or(Ending::Whole);
        self.end_step();
        self.nodes.truncate(self.at.max(self.follow));
        // A run that was given up has races, too, which others may hide: what a step touches hangs
        // on the state in which it is made.
        if ending != Ending::Lost {
            self.note_races();
        }
        ending
    }

    /// Makes ready for the next run; `false` if there is none.
    pub(crate) fn next_run(&mut self) -> bool {
        while let Some(node) = self.nodes.last_mut() {
            if let Some(event) = node.event.take() {
                let Event { thread, mut trace, .. } = event;
                if let Some(before) = node.touched.take() {
                    trace = trace.or(&before);
                }
                if advance(&mut node.draws) {
                    node.touched = Some(trace);
                    node.again = true;
                    node.next.clear();
                    self.follow = self.nodes.len();
                    return true;
                }
                node.tried += 1;
                node.sleeping.push(Sleeper { thread, trace });
            }
            let asleep: Vec<u32> = node.sleeping.iter().map(|sleeper| sleeper.thread).collect();
            node.todo.retain(|branch| !asleep.contains(&branch.thread));
            if !node.todo.is_empty() {
                self.follow = self.nodes.len();
                return true;
            }
            self.nodes.pop();
        }
        false
    }

    /// Which part of the search is done, as far as is known now: between 0 and 1.
    pub(crate) fn done(&self) -> f64 {
        let (mut done, mut share) = (0.0, 1.0);
        for node in &self.nodes {
            let ways = (node.tried + 1 + wakeup::leaves(&node.todo)) as f64;
            done += share * node.tried as f64 / ways;
            share /= ways;
            for (below, value) in &node.draws {
                share /= f64::from(*below);
                done += share * f64::from(*value);
            }
        }
        done + share
    }
}

/// The next of the choices that an event can draw; `false` if these were the last.
fn advance(draws: &mut Vec<(u32, u32)>) -> bool {
    while let Some((below, value)) = draws.last_mut() {
        *value += 1;
        if value < below {
            return true;
        }
        draws.pop();
    }
    false
}

/// Takes what is behind another clock behind this one.
fn join(clock: &mut Vec<u32>, other: &[u32]) {
    if clock.len() < other.len() {
        clock.resize(other.len(), 0);
    }
    for (mine, other) in clock.iter_mut().zip(other) {
        *mine = (*mine).max(*other);
    }
}
