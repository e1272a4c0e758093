//! Finding an order of the log's calls in which the model does what the log says.
//!
//! Lines are taken one after another. A call of one line took place there; one of two lines took
//! place at some moment between them, so it is a *move* that may be made before any line in
//! between. The first order that is tried makes a call where it begins if that gives what the log
//! says, and else where it ends; other moves are made first where a call would end otherwise. What
//! was chosen wrongly shows later: then the last choice is taken back (as far back as states are
//! kept, and as often as is allowed).

use std::collections::{BTreeMap, VecDeque};

use afunix::Exit;
use afunix_model::Resume;

use crate::journal::Journal;
use crate::log::{Line, Log, Outcome, What};
use crate::replay::{Attempt, Facts, Look, Stage, State};
use crate::report::{Divergence, Report};

/// How far back choices are taken back, in states that are kept.
const KEPT: usize = 256;
/// Moves that are tried at most without coming further.
const TRIES: u64 = 20_000;
/// Lines that are taken at most to find the one choice that was wrong.
const LEAP: u64 = 100_000;
/// Moves of other threads that are made before a call ends, at most.
const DEEPEST: usize = 6;

/// Something that may happen before a line.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The call in which a thread is, is made or goes on.
    Call(i32),
    /// A thread that has no more lines ends.
    End(i32, Exit),
}

/// Why a line is not explained.
struct Unlike {
    /// The record that it is about.
    record: usize,
    what: String,
}

/// A state before a line, and which way was taken from there.
struct Kept {
    index: usize,
    state: State,
    choice: usize,
}

struct Search<'a> {
    log: &'a Log,
    facts: Facts,
    /// The threads that calls start, with the record of the call.
    starts: BTreeMap<i32, usize>,
    /// By the last line of a thread before its end: the thread, and the line of its end.
    ends: BTreeMap<usize, (i32, usize)>,
    /// Moves tried since the search came further than ever.
    tries: u64,
    journal: Option<Journal>,
}

/// Explains a log as far as it can be.
pub(crate) fn explain(log: &Log, records: bool) -> (Report, Option<Journal>) {
    let mut search = Search {
        log,
        facts: Facts::of(log),
        starts: Facts::starts(log),
        ends: Facts::ends(log),
        tries: 0,
        journal: records.then(Journal::default),
    };
    let report = search.run();
    (report, search.journal)
}

impl Search<'_> {
    fn run(&mut self) -> Report {
        let mut kept: VecDeque<Kept> = VecDeque::new();
        let mut forgotten = false;
        let mut furthest: Option<(usize, Divergence)> = None;
        let mut state = State::new(self.journal.is_some());
        let (mut index, mut choice) = (0, 0);
        let mut leapt = None;
        while index < self.log.lines.len() {
            let before = self.has_choice(&state, index).then(|| state.clone());
            match self.line(&mut state, before.as_ref(), index, choice) {
                Ok(()) => {
                    if let Some(state) = before {
                        kept.push_back(Kept { index, state, choice });
                        if kept.len() > KEPT {
                            kept.pop_front();
                            forgotten = true;
                        }
                    }
                    if let Some(journal) = &mut self.journal {
                        journal.line(&mut state, index, &self.log.lines[index]);
                    }
                    index += 1;
                    choice = 0;
                    if furthest.as_ref().is_none_or(|(line, _)| index > *line) {
                        self.tries = 0;
                    }
                    continue;
                }
                Err(unlike) => {
                    if furthest.as_ref().is_none_or(|(line, _)| index > *line)
                        && let Some(unlike) = unlike
                    {
                        let shown = before.as_ref().unwrap_or(&state);
                        furthest = Some((index, self.divergence(shown, index, unlike)));
                    }
                }
            }
            let goal = furthest.as_ref().map_or(index, |(line, _)| *line);
            if leapt != Some(goal) {
                leapt = Some(goal);
                if let Some((place, other)) = self.leap(&kept, goal) {
                    kept.truncate(place + 1);
                    if let Some(back) = kept.back_mut() {
                        // As if the way before it had just failed.
                        back.choice = other - 1;
                    }
                }
            }
            let back = kept.pop_back().filter(|_| self.tries < TRIES);
            match back {
                Some(back) => {
                    state = back.state;
                    index = back.index;
                    if let Some(journal) = &mut self.journal {
                        journal.take_back(index);
                    }
                    choice = back.choice + 1;
                }
                None => {
                    let bounded = self.tries >= TRIES || forgotten;
                    let divergence =
                        furthest.map(|(_, divergence)| Divergence { bounded, ..divergence });
                    return Report::new(self.log, &state, divergence);
                }
            }
        }
        Report::new(self.log, &state, None)
    }

    /// Looks for one choice that, taken otherwise, leads beyond a line: which of those kept it is,
    /// and the number of its other way. Most often one choice was wrong, long before it showed.
    fn leap(&mut self, kept: &VecDeque<Kept>, goal: usize) -> Option<(usize, usize)> {
        let mut lines = LEAP;
        for (place, back) in kept.iter().enumerate().rev() {
            for choice in back.choice + 1.. {
                self.tries = 0;
                let mut state = back.state.clone();
                if lines == 0
                    || self.line(&mut state, Some(&back.state), back.index, choice).is_err()
                {
                    break;
                }
                if self.gets_beyond(state, back.index + 1, goal, &mut lines) {
                    self.tries = 0;
                    return Some((place, choice));
                }
            }
        }
        self.tries = 0;
        None
    }

    /// Whether the first way of each line leads beyond one.
    fn gets_beyond(&mut self, mut state: State, from: usize, goal: usize, lines: &mut u64) -> bool {
        for index in from..=goal {
            let before = self.has_choice(&state, index).then(|| state.clone());
            *lines = lines.saturating_sub(1);
            self.tries = 0;
            if *lines == 0 || self.line(&mut state, before.as_ref(), index, 0).is_err() {
                return false;
            }
        }
        true
    }

    fn look(&self, record: usize) -> Look<'_> {
        Look { facts: &self.facts, record: &self.log.records[record] }
    }

    /// Whether a line can be taken in more than one way.
    fn has_choice(&self, state: &State, index: usize) -> bool {
        let line = &self.log.lines[index];
        match line.what {
            What::Whole(record) | What::End(record) => {
                self.overlaps(record) && !self.moves(state, index, line.thread).is_empty()
            }
            What::Begin(record) => self.overlaps(record),
            _ => false,
        }
    }

    /// Whether the order matters in which a record's call is made.
    fn overlaps(&self, record: usize) -> bool {
        let record = &self.log.records[record];
        record.followed && !record.local
    }

    /// What may happen before a line beside the call that it is about.
    fn moves(&self, state: &State, index: usize, thread: i32) -> Vec<Move> {
        let mut moves = Vec::new();
        for (other, (_, stage)) in state.pending.iter().filter(|(other, _)| **other != thread) {
            match stage {
                Stage::Ahead => moves.push(Move::Call(*other)),
                Stage::Waiting(waiting) if waiting.woken => moves.push(Move::Call(*other)),
                _ => {}
            }
        }
        for (other, end) in
            self.ends.range(..index).map(|(_, end)| *end).filter(|(_, end)| *end > index)
        {
            if other != thread
                && state.seats.contains_key(&other)
                && let What::Gone(exit) = self.log.lines[end].what
            {
                moves.push(Move::End(other, exit));
            }
        }
        moves
    }

    /// Takes a line in the way of the given number. `None`: there is no such way.
    ///
    /// `before` is the same state, kept by a line that can be taken in more than one way.
    fn line(
        &mut self,
        state: &mut State,
        before: Option<&State>,
        index: usize,
        choice: usize,
    ) -> Result<(), Option<Unlike>> {
        let line = &self.log.lines[index];
        self.arrive(state, line);
        match line.what {
            What::Begin(record) if self.overlaps(record) => {
                state.pending.insert(line.thread, (record, Stage::Ahead));
                match choice {
                    0 => self.begin_at_once(state, before, index, record),
                    1 => {}
                    _ => return Err(None),
                }
            }
            What::Whole(record) if self.overlaps(record) => {
                state.pending.insert(line.thread, (record, Stage::Ahead));
                return self.finish(state, before, index, record, choice);
            }
            What::End(record) if self.overlaps(record) => {
                return self.finish(state, before, index, record, choice);
            }
            _ if choice > 0 => return Err(None),
            What::Whole(record) | What::Begin(record) | What::End(record)
                if self.log.records[record].followed =>
            {
                self.local(state, record, matches!(line.what, What::Begin(_)))?;
            }
            What::Gone(exit) => state.end(line.thread, exit),
            What::Superseded(by) => state.supersede(line.thread, by),
            What::Unknown(_) => state.lose_process(self.log, &self.facts, line.thread),
            What::Whole(_) | What::Begin(_) | What::End(_) | What::Signal(_) => {}
        }
        Ok(())
    }

    /// Makes a call in which no socket is: a close where it begins, and all others where they end.
    fn local(&self, state: &mut State, record: usize, begins: bool) -> Result<(), Option<Unlike>> {
        let is_two = self.log.records[record].end != Some(self.log.records[record].begin);
        let closes = self.log.records[record].name == "close";
        if is_two && begins != closes {
            return Ok(());
        }
        match state.begin(self.look(record)) {
            Attempt::Differs(what) => Err(Some(Unlike { record, what })),
            Attempt::Explained | Attempt::Waits => Ok(()),
        }
    }

    /// It is the time of a line, and its thread is there.
    fn arrive(&self, state: &mut State, line: &Line) {
        state.now = state.now.max(line.at);
        if matches!(line.what, What::Whole(_) | What::Begin(_)) {
            state.abandon(line.thread);
        }
        self.seat(state, line);
    }

    /// Sees to it that the thread of a line is there.
    fn seat(&self, state: &mut State, line: &Line) {
        if state.seats.contains_key(&line.thread) || matches!(line.what, What::Gone(_)) {
            return;
        }
        if let Some(record) = self.starts.get(&line.thread)
            && let Some((pending, stage)) = state.pending.get_mut(&self.log.records[*record].thread)
            && pending == record
        {
            *stage = Stage::Done;
            state.begin(self.look(*record));
        }
        if !state.seats.contains_key(&line.thread) {
            state.find_thread(&self.facts, line.thread);
        }
    }

    /// A call begins: it is made if that gives what the log says, or if it waits.
    fn begin_at_once(
        &mut self,
        state: &mut State,
        before: Option<&State>,
        index: usize,
        record: usize,
    ) {
        let thread = self.log.lines[index].thread;
        self.tries += 1;
        match state.begin(self.look(record)) {
            Attempt::Explained => {
                if let Some((_, stage)) = state.pending.get_mut(&thread) {
                    *stage = Stage::Done;
                }
                self.settle(state);
            }
            Attempt::Waits if state.part(thread).is_none() => {}
            // A part alone is received later, when the call ends.
            Attempt::Waits | Attempt::Differs(_) => {
                if let Some(before) = before {
                    self.go_back(state, before, index);
                    state.pending.insert(thread, (record, Stage::Ahead));
                }
            }
        }
    }

    /// The state is as it was kept before a line, and the line is arrived at.
    fn go_back(&self, state: &mut State, before: &State, index: usize) {
        before.clone_into(state);
        self.arrive(state, &self.log.lines[index]);
    }

    /// Ends a call in the way of the given number: with so many moves of others before it that it
    /// ends as in the log, and with those that it woke going on at once, or not.
    fn finish(
        &mut self,
        state: &mut State,
        before: Option<&State>,
        index: usize,
        record: usize,
        choice: usize,
    ) -> Result<(), Option<Unlike>> {
        let thread = self.log.lines[index].thread;
        let mut first = None;
        let mut skip = choice / 2;
        if choice > 0 && before.is_none() {
            return Err(None);
        }
        if choice == 0 {
            let here = (before.is_some()).then(|| state.pending.get(&thread).cloned()).flatten();
            self.tries += 1;
            match (self.own(state, record, thread), before) {
                (Ok(()), _) => {
                    self.close(state, thread, true);
                    return Ok(());
                }
                (Err(what), None) => return Err(Some(Unlike { record, what })),
                (Err(what), Some(before)) => {
                    self.go_back(state, before, index);
                    state.pending.extend(here.map(|here| (thread, here)));
                    first = Some(what);
                }
            }
        }
        // Without other moves it was tried.
        let least = usize::from(choice == 0);
        for depth in least..=DEEPEST {
            if let Some(found) = self.search(state, index, record, depth, &mut skip, &mut first) {
                *state = found;
                self.close(state, thread, choice.is_multiple_of(2));
                return Ok(());
            }
            if self.tries >= TRIES {
                break;
            }
        }
        Err(first.filter(|_| choice == 0).map(|what| Unlike { record, what }))
    }

    /// The call of a line is over.
    fn close(&mut self, state: &mut State, thread: i32, settles: bool) {
        state.pending.remove(&thread);
        if settles {
            self.settle(state);
        }
    }

    /// A state in which the call has ended as in the log, after exactly so many other moves.
    fn search(
        &mut self,
        state: &State,
        index: usize,
        record: usize,
        depth: usize,
        skip: &mut usize,
        first: &mut Option<String>,
    ) -> Option<State> {
        let thread = self.log.lines[index].thread;
        if self.tries >= TRIES {
            return None;
        }
        if depth == 0 {
            self.tries += 1;
            let mut tried = state.clone();
            return match self.own(&mut tried, record, thread) {
                Ok(()) if *skip == 0 => Some(tried),
                Ok(()) => {
                    *skip -= 1;
                    None
                }
                Err(what) => {
                    first.get_or_insert(what);
                    None
                }
            };
        }
        for step in self.moves(state, index, thread) {
            self.tries += 1;
            let mut tried = state.clone();
            if self.make(&mut tried, step)
                && let Some(found) = self.search(&tried, index, record, depth - 1, skip, first)
            {
                return Some(found);
            }
        }
        None
    }

    /// Makes a move of another thread; false if it does not go as in the log.
    fn make(&mut self, state: &mut State, step: Move) -> bool {
        let thread = match step {
            Move::Call(thread) => thread,
            Move::End(thread, exit) => {
                state.end_group(thread, exit);
                return true;
            }
        };
        let Some((record, stage)) = state.pending.get(&thread) else { return false };
        let record = *record;
        let attempt = match stage {
            Stage::Ahead => state.begin(self.look(record)),
            Stage::Waiting(_) => state.go_on(self.look(record), Resume::Woken),
            Stage::Short(_) | Stage::Done => return false,
        };
        if attempt == Attempt::Explained
            && let Some((_, stage)) = state.pending.get_mut(&thread)
        {
            *stage = Stage::Done;
        }
        !matches!(attempt, Attempt::Differs(_))
    }

    /// Ends the call of a line.
    fn own(&mut self, state: &mut State, record: usize, thread: i32) -> Result<(), String> {
        let look = self.look(record);
        if let Some((_, Stage::Ahead)) = state.pending.get(&thread) {
            match state.begin(look) {
                Attempt::Explained => return Ok(()),
                Attempt::Differs(what) => return Err(what),
                Attempt::Waits => {}
            }
        }
        if let Some(part) = state.part(thread) {
            return self.rest(state, record, thread, part);
        }
        let Some((_, Stage::Waiting(waiting))) = state.pending.get(&thread) else { return Ok(()) };
        if State::is_open(look.record) {
            return Ok(());
        }
        let (on, woken, deadline) = (waiting.on, waiting.woken, waiting.deadline);
        let waits = Err(format!("waits for {on}"));
        if woken {
            match state.go_on(look, Resume::Woken) {
                Attempt::Explained => return Ok(()),
                Attempt::Differs(what) => return Err(what),
                Attempt::Waits => {}
            }
            if let Some(part) = state.part(thread) {
                return self.rest(state, record, thread, part);
            }
        }
        let resume = match (deadline, &look.record.outcome) {
            (Some(_), _) => Resume::TimedOut,
            // A signal ended it after a part.
            (None, Outcome::Value { value, .. }) if *value > 0 => Resume::Interrupted,
            _ => return waits,
        };
        match state.go_on(look, resume) {
            Attempt::Explained => Ok(()),
            _ => waits,
        }
    }

    /// Receives the rest of what a call has received a part of, as writers add to it.
    fn rest(
        &mut self,
        state: &mut State,
        record: usize,
        thread: i32,
        mut part: usize,
    ) -> Result<(), String> {
        loop {
            self.settle(state);
            match state.go_on(self.look(record), Resume::Woken) {
                Attempt::Explained => return Ok(()),
                Attempt::Differs(what) => return Err(what),
                Attempt::Waits => {}
            }
            match state.part(thread) {
                Some(more) if more > part => part = more,
                _ => return Err(format!("returns {part}")),
            }
        }
    }

    /// Those that were woken go on, where that gives what the log says.
    fn settle(&mut self, state: &mut State) {
        loop {
            let woken = state.pending.iter().find_map(|(thread, (_, stage))| match stage {
                Stage::Waiting(waiting) if waiting.woken => Some(*thread),
                _ => None,
            });
            let Some(thread) = woken else { return };
            self.tries += 1;
            let mut tried = state.clone();
            if self.make(&mut tried, Move::Call(thread)) {
                *state = tried;
            } else {
                return;
            }
        }
    }

    fn divergence(&self, state: &State, index: usize, unlike: Unlike) -> Divergence {
        let record = &self.log.records[unlike.record];
        Divergence::new(self.log, state, record, self.log.lines[index].number, unlike.what)
    }
}
