//! Finding an order of events in the model that explains what the kernel did.

use std::collections::BTreeMap;
use std::time::Duration;

use afunix_model::machine::Resume;

use super::super::answer::Answer;
use super::super::compare::{Pairs, difference};
use super::super::model::State;
use super::super::program::Request;
use super::At;

/// Orders that are tried at most.
const TRIES: u32 = 2000;
/// A call may go on for so long after its time: ticks, and a busy system.
pub(super) const LATE: Duration = Duration::from_millis(12);

/// How the kernel stood when nothing moved any more.
#[derive(Default)]
pub(super) struct Rest {
    /// What has ended since the last rest.
    pub(super) finished: BTreeMap<At, Answer>,
    /// The names of the calls in which the others sleep.
    pub(super) waiting: BTreeMap<At, &'static str>,
    /// What each process has open.
    pub(super) looks: Vec<Answer>,
    /// The clock when it began to come to rest.
    pub(super) since: Duration,
    /// The clock by now.
    pub(super) now: Duration,
}

/// A call that ended in the model: where, the index of its step, and its answer.
#[derive(Clone)]
pub(super) struct Ended {
    pub(super) at: At,
    pub(super) step: usize,
    pub(super) request: Request,
    pub(super) answer: Answer,
    /// Why it went on last.
    pub(super) why: Why,
}

/// Why a call ended when it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    AtOnce,
    Woken,
    TimedOut,
    Interrupted,
}

/// A point that both sides have come to.
#[derive(Clone)]
pub(super) struct Point<'a> {
    pub(super) state: State<'a>,
    pub(super) pairs: Pairs,
    pub(super) ended: Vec<Ended>,
}

/// What differs.
pub(super) struct Unlike {
    /// The step that it is about, if it is an earlier one than the last.
    pub(super) step: Option<usize>,
    pub(super) call: Option<&'static str>,
    pub(super) what: String,
    pub(super) model: Option<Answer>,
    pub(super) kernel: Option<Answer>,
}

/// Goes on from `point` in the model to where the kernel stands, in as many ways as do, up to
/// `room`: which one it was may show later. `point` stays as it is if there is none, and else is
/// the first; the others are returned, with whether the order of the wakes was not among them.
/// `cut` is set if there were more ways than were tried.
pub(super) fn explain<'a>(
    point: &mut Point<'a>,
    rest: &Rest,
    room: usize,
    cut: &mut bool,
) -> Result<(Vec<Point<'a>>, bool), Box<Unlike>> {
    for ended in &point.ended {
        matches(&mut point.pairs, ended, rest)?;
    }
    let (found, first) = (Vec::new(), None);
    let mut search = Search { rest, room, tries: 0, found, first, cut };
    // Most steps wake nothing: a copy for each would be slow.
    if search.ways(point).is_empty() {
        return search.compare(point).map(|()| (Vec::new(), false));
    }
    search.go_on(point.clone());
    let mut found = search.found.into_iter();
    match found.next() {
        Some(first) => *point = first,
        None => return Err(search.first.expect("a search that fails has met a difference")),
    }
    Ok((found.collect(), search.first.is_some()))
}

struct Search<'r, 'a> {
    rest: &'r Rest,
    /// How many ways are enough.
    room: usize,
    /// Ends that were come to.
    tries: u32,
    /// Those that are alike.
    found: Vec<Point<'a>>,
    /// What differed first.
    first: Option<Box<Unlike>>,
    /// Whether some way was not tried.
    cut: &'r mut bool,
}

impl<'a> Search<'_, 'a> {
    fn go_on(&mut self, point: Point<'a>) {
        let mut ways = self.ways(&point).into_iter();
        let Some(mut way) = ways.next() else { return self.end(point) };
        for next in ways {
            self.take(point.clone(), way);
            if self.tries >= TRIES || self.found.len() >= self.room {
                *self.cut = true;
                return;
            }
            way = next;
        }
        self.take(point, way);
    }

    /// What may happen next: a call that was woken goes on, or one whose time is over ends if it
    /// did on the kernel. Long after its time, one that sleeps on has looked again (SSEND 14).
    fn ways(&self, point: &Point<'_>) -> Vec<(At, Why)> {
        let woken = point.state.woken();
        let why = |at: &At| match point.state.is_interrupted(*at) {
            true => Why::Interrupted,
            false => Why::Woken,
        };
        let mut ways: Vec<(At, Why)> = woken.iter().map(|at| (*at, why(at))).collect();
        let mut over: Vec<(Duration, At)> = Vec::new();
        for (at, pending) in point.state.pending() {
            if let Some(deadline) = pending.deadline.filter(|deadline| *deadline <= self.rest.now)
                && (self.rest.finished.contains_key(at) || deadline + LATE < self.rest.since)
                && !woken.contains(at)
            {
                over.push((deadline, *at));
            }
        }
        over.sort_unstable();
        ways.extend(over.into_iter().map(|(_, at)| (at, Why::TimedOut)));
        ways
    }

    fn take(&mut self, mut point: Point<'a>, (at, why): (At, Why)) {
        let resume = if why == Why::TimedOut { Resume::TimedOut } else { Resume::Woken };
        if let (Why::TimedOut, Some(pending)) = (why, point.state.pending().get(&at)) {
            let deadline = pending.deadline.unwrap_or_default();
            point.state.set_now(deadline);
        }
        if let Some((pending, answer)) = point.state.resume(at, resume) {
            let (step, request) = (pending.step, pending.request);
            let ended = Ended { at, step, request, answer, why };
            if let Err(unlike) = matches(&mut point.pairs, &ended, self.rest) {
                return self.fail(unlike);
            }
            point.ended.push(ended);
        }
        self.go_on(point);
    }

    /// Nothing moves any more in the model either: all has to be alike.
    fn end(&mut self, mut point: Point<'a>) {
        match self.compare(&mut point) {
            Ok(()) => {
                self.tries += 1;
                self.found.push(point);
            }
            Err(unlike) => self.fail(unlike),
        }
    }

    fn fail(&mut self, unlike: Box<Unlike>) {
        self.tries += 1;
        self.first.get_or_insert(unlike);
    }

    fn compare(&self, point: &mut Point<'_>) -> Result<(), Box<Unlike>> {
        for (at, pending) in point.state.pending() {
            let unlike = |what: String, kernel| {
                let (step, call) = (Some(pending.step), Some(pending.request.name()));
                Err(Box::new(Unlike { step, call, what, model: None, kernel }))
            };
            if let Some(answer) = self.rest.finished.get(at) {
                return unlike("waits in the model alone".into(), Some(answer.clone()));
            }
            let call = self.rest.waiting.get(at).copied().unwrap_or("no call");
            if call != pending.request.name() {
                return unlike(format!("sleeps in {call}"), None);
            }
            if pending.deadline.is_some_and(|deadline| deadline + LATE < self.rest.since) {
                return unlike("outlasts its time on the kernel".into(), None);
            }
        }
        for (process, kernel) in self.rest.looks.iter().enumerate() {
            let model = point.state.look_at(process);
            if let Some(what) = difference(&model, kernel) {
                let (model, kernel) = (Some(model), Some(kernel.clone()));
                return Err(Box::new(Unlike { step: None, call: None, what, model, kernel }));
            }
        }
        Ok(())
    }
}

/// Whether the call ended on the kernel too, and with the same answer.
fn matches(pairs: &mut Pairs, ended: &Ended, rest: &Rest) -> Result<(), Box<Unlike>> {
    let Ended { at, step, request, answer, .. } = ended;
    let (step, call, model) = (Some(*step), Some(request.name()), Some(answer.clone()));
    let Some(kernel) = rest.finished.get(at) else {
        let what = "waits on the kernel alone".into();
        return Err(Box::new(Unlike { step, call, what, model, kernel: None }));
    };
    let kernel = pairs.translate(request, kernel, answer);
    match difference(answer, &kernel) {
        Some(what) => Err(Box::new(Unlike { step, call, what, model, kernel: Some(kernel) })),
        None => Ok(()),
    }
}
