//! The one source of chance: [`choose`](Chooser::choose).
//!
//! Everything that is not settled by the program is a *choice*: a number below `n`, with a *label*
//! that says what it decides. Where `n` is 1 nothing is drawn. A [`Strategy`] makes the choices;
//! the [`Chooser`] writes them down, and what is written down is the tape.

use crate::align::{Aligned, Alignment};
use crate::search::Search;
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// What a choice decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// Which thread goes on: 0 is the one that ran last, if it can.
    Thread,
    /// Whether a fault strikes: 0 is no.
    Fault,
    /// How much: bytes of a short read, say.
    Amount,
    /// A number for the application.
    Random,
    /// Which faults a run has, and how often.
    Profile,
    /// A choice of a user's rule.
    Rule,
    /// Which task of an executor goes on: 0 is the one that has waited longest.
    Task,
}

impl Label {
    /// All of them.
    pub const ALL: [Label; 7] = [
        Label::Thread,
        Label::Fault,
        Label::Amount,
        Label::Random,
        Label::Profile,
        Label::Rule,
        Label::Task,
    ];

    /// The letter that tapes use.
    pub const fn letter(self) -> char {
        match self {
            Label::Thread => 't',
            Label::Fault => 'f',
            Label::Amount => 'a',
            Label::Random => 'r',
            Label::Profile => 'p',
            Label::Rule => 'u',
            Label::Task => 'k',
        }
    }

    /// In words: `thread`.
    pub const fn name(self) -> &'static str {
        match self {
            Label::Thread => "thread",
            Label::Fault => "fault",
            Label::Amount => "amount",
            Label::Random => "random",
            Label::Profile => "profile",
            Label::Rule => "rule",
            Label::Task => "task",
        }
    }
}

/// A choice that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What it decided.
    pub label: Label,
    /// How many ways there were: 2 or more.
    pub n: u32,
    /// The one taken: below `n`.
    pub value: u32,
}

/// Makes the choices of a run.
pub trait Strategy: Send {
    /// Which of `runnable` (2 or more threads, by a number that is theirs for the run) goes on, as
    /// an index. If `first_ran_last`, the first of them ran last: choosing another is a context
    /// switch.
    fn thread(&mut self, runnable: &[u32], first_ran_last: bool) -> u32 {
        let _ = first_ran_last;
        self.choose(runnable.len() as u32, Label::Thread)
    }

    /// This thread goes on: no other can.
    fn forced(&mut self, thread: u32) {
        let _ = thread;
    }

    /// A number below `n`, which is 2 or more.
    fn choose(&mut self, n: u32, label: Label) -> u32;

    /// Yes once in `odds` times (2 or more).
    fn chance(&mut self, odds: u32, label: Label) -> bool {
        self.choose(odds, label) == odds - 1
    }
}

/// Random choices from a seed, by PCG (`Pcg64Mcg`), whose numbers are the same everywhere and
/// always.
#[derive(Clone, Debug)]
pub struct Random {
    generator: Pcg64Mcg,
    /// Of 256 scheduling points, at how many the thread that ran last simply goes on. Drawn per
    /// run: with an even choice at each point two threads practically never run far apart.
    stay: u32,
}

impl Random {
    /// The choices of a seed.
    pub fn new(seed: u64) -> Self {
        let mut generator = Pcg64Mcg::seed_from_u64(seed);
        let stay = [0, 128, 224, 248][(generator.next_u32() >> 30) as usize];
        Random { generator, stay }
    }

    #[inline]
    fn below(&mut self, n: u32) -> u32 {
        scale(self.generator.next_u32(), n)
    }
}

/// Maps 32 random bits to a number below `n`.
#[inline]
fn scale(bits: u32, n: u32) -> u32 {
    ((u64::from(bits) * u64::from(n)) >> 32) as u32
}

impl Strategy for Random {
    #[inline]
    fn thread(&mut self, runnable: &[u32], first_ran_last: bool) -> u32 {
        let bits = self.generator.next_u64();
        if first_ran_last && (bits as u32 & 0xff) < self.stay {
            return 0;
        }
        scale((bits >> 32) as u32, runnable.len() as u32)
    }

    #[inline]
    fn choose(&mut self, n: u32, _: Label) -> u32 {
        self.below(n)
    }

    #[inline]
    fn chance(&mut self, odds: u32, _: Label) -> bool {
        self.below(odds) == 0
    }
}

/// The choices of a tape, to be followed exactly: where they do not fit, the run has diverged.
#[derive(Clone, Debug)]
pub(crate) struct Replay {
    choices: Vec<Choice>,
    at: usize,
    misfit: Option<String>,
}

impl Replay {
    pub(crate) fn new(choices: Vec<Choice>) -> Self {
        Replay { choices, at: 0, misfit: None }
    }

    fn next(&mut self, n: u32, label: Label) -> u32 {
        let choice = self.choices.get(self.at);
        self.at += 1;
        if let Some(choice) = choice.filter(|choice| choice.label == label && choice.n == n) {
            return choice.value;
        }
        if self.misfit.is_none() {
            let expected = match choice {
                Some(choice) => format!("a choice of {} ({})", choice.n, choice.label.name()),
                None => "the end of the tape".to_owned(),
            };
            let got = label.name();
            self.misfit = Some(format!("expected {expected}, got a choice of {n} ({got})"));
        }
        0
    }
}

/// The choices of a tape that was changed, made to fit: each label has a sequence of its own, so
/// that a choice taken out moves no other kind; a value too large is lowered, and past the end all
/// are 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loose {
    sequences: [Vec<u32>; Label::ALL.len()],
    at: [usize; Label::ALL.len()],
}

impl Loose {
    pub(crate) fn new(choices: &[Choice]) -> Self {
        let mut loose = Loose::default();
        for choice in choices {
            loose.sequences[choice.label as usize].push(choice.value);
        }
        loose
    }
}

impl Strategy for Loose {
    fn choose(&mut self, n: u32, label: Label) -> u32 {
        let at = &mut self.at[label as usize];
        let value = self.sequences[label as usize].get(*at).copied().unwrap_or(0);
        *at += 1;
        value.min(n - 1)
    }

    fn chance(&mut self, _: u32, label: Label) -> bool {
        self.choose(2, label) != 0
    }
}

/// Who makes the choices.
pub(crate) enum Source {
    Random(Random),
    Replay(Replay),
    /// Exhaustive search: it is told what each step touches.
    Search(Box<Search>),
    /// A tape of a program that has changed.
    Aligned(Box<Aligned>),
    Other(Box<dyn Strategy>),
}

/// Makes choices and writes them down.
pub(crate) struct Chooser {
    source: Source,
    made: Vec<Choice>,
}

impl Chooser {
    pub(crate) fn new() -> Self {
        Chooser { source: Source::Random(Random::new(0)), made: Vec::new() }
    }

    /// Begins a run.
    pub(crate) fn begin(&mut self, source: Source) {
        self.source = source;
        self.made.clear();
    }

    /// A number below `n`.
    #[inline]
    pub(crate) fn choose(&mut self, n: u32, label: Label) -> u32 {
        if n <= 1 {
            return 0;
        }
        let value = match &mut self.source {
            Source::Random(random) => random.choose(n, label),
            Source::Replay(replay) => replay.next(n, label),
            Source::Search(search) => search.draw(n, label),
            Source::Aligned(aligned) => aligned.choose(n, label),
            Source::Other(strategy) => strategy.choose(n, label),
        };
        debug_assert!(value < n, "a choice is below its bound");
        self.made.push(Choice { label, n, value });
        value
    }

    /// Yes once in `odds` times; never if `odds` is 0.
    #[inline]
    pub(crate) fn chance(&mut self, odds: u32, label: Label) -> bool {
        if odds == 0 {
            return false;
        }
        let value = match &mut self.source {
            _ if odds == 1 => true,
            Source::Random(random) => random.chance(odds, label),
            Source::Replay(replay) => replay.next(2, label) != 0,
            Source::Search(search) => search.draw(2, label) != 0,
            Source::Aligned(aligned) => aligned.choose(2, label) != 0,
            Source::Other(strategy) => strategy.chance(odds, label),
        };
        if odds != 1 {
            self.made.push(Choice { label, n: 2, value: u32::from(value) });
        }
        value
    }

    /// The thread that goes on, as an index into `runnable`, which is not empty; `name` tells the
    /// name of each.
    #[inline]
    pub(crate) fn thread<'a>(
        &mut self,
        runnable: &[u32],
        first_ran_last: bool,
        name: impl Fn(u32) -> &'a str,
    ) -> usize {
        let n = runnable.len() as u32;
        if n <= 1 {
            if let Source::Other(strategy) = &mut self.source {
                strategy.forced(runnable[0]);
            }
            return 0;
        }
        let value = match &mut self.source {
            Source::Random(random) => random.thread(runnable, first_ran_last),
            Source::Replay(replay) => replay.next(n, Label::Thread),
            Source::Search(_) => unreachable!("a search is asked by `Chooser::search_thread`"),
            Source::Aligned(aligned) => aligned.thread(runnable, name) as u32,
            Source::Other(strategy) => strategy.thread(runnable, first_ran_last).min(n - 1),
        };
        self.made.push(Choice { label: Label::Thread, n, value });
        value as usize
    }

    /// The same, by the search, which is asked even where there is one only, and of which `None`
    /// says that the run is not worth going on with.
    pub(crate) fn search_thread(
        &mut self,
        runnable: &[u32],
        may_wait: impl Fn(u32) -> bool,
    ) -> Option<usize> {
        let index = self.search()?.choose(runnable, may_wait)?;
        let n = runnable.len() as u32;
        if n > 1 {
            self.made.push(Choice { label: Label::Thread, n, value: index as u32 });
        }
        Some(index)
    }

    /// The search, if the run is part of one.
    #[inline]
    pub(crate) fn search(&mut self) -> Option<&mut Search> {
        match &mut self.source {
            Source::Search(search) => Some(search),
            _ => None,
        }
    }

    /// Hands the search back at the end of a run.
    pub(crate) fn take_search(&mut self) -> Option<Box<Search>> {
        match std::mem::replace(&mut self.source, Source::Random(Random::new(0))) {
            Source::Search(search) => Some(search),
            _ => None,
        }
    }

    /// A thread makes a step, for a tape that is aligned with the run.
    pub(crate) fn aligned_step(&mut self, thread: &str, call: &str) {
        if let Source::Aligned(aligned) = &mut self.source {
            aligned.step(thread, call);
        }
    }

    /// How well the run followed the tape that was aligned with it.
    pub(crate) fn alignment(&self) -> Option<Alignment> {
        match &self.source {
            Source::Aligned(aligned) => Some(aligned.result()),
            _ => None,
        }
    }

    /// What was chosen since the run began.
    pub(crate) fn made(&self) -> &[Choice] {
        &self.made
    }

    /// Why the tape does not fit this run, if it does not.
    #[inline]
    pub(crate) fn misfit(&self) -> Option<&str> {
        match &self.source {
            Source::Replay(replay) => replay.misfit.as_deref(),
            _ => None,
        }
    }
}

impl afunix::fault::Choose for Chooser {
    fn choose(&mut self, n: u64, _: &'static str) -> u64 {
        wide(n, |n| Chooser::choose(self, n, Label::Rule))
    }
}

/// A number below `n`, from choices of 32 bits: one where that is enough, else two.
pub(crate) fn wide(n: u64, mut choose: impl FnMut(u32) -> u32) -> u64 {
    if let Ok(n) = u32::try_from(n) {
        return u64::from(choose(n));
    }
    let high = n >> 31;
    let high = choose(u32::try_from(high).map_or(u32::MAX, |high| high.saturating_add(1)));
    let low = choose(1 << 31);
    ((u64::from(high) << 31) | u64::from(low)).min(n - 1)
}
