//! Leading both sides through a program.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use afunix_kernel_backend::worker::{Crew, Duties, HandId, Job, Stopped};
use afunix_model::profile::Profile;

use super::super::Found;
use super::super::answer::Answer;
use super::super::compare::{Pairs, difference};
use super::super::coverage::{Before, Coverage};
use super::super::kernel::{Kernel, LIMIT_SECS, OnKernel, set_up};
use super::super::model::{State, message};
use super::super::perform::{look, perform};
use super::super::program::{Program, Request};
use super::search::{Ended, LATE, Point, Rest, Unlike, Why, explain};
use super::show::show;
use super::{At, signal_number};

/// What the kernel does may be late: before a difference is believed, it is looked at again after
/// these.
const AGAIN: [Duration; 3] =
    [Duration::from_millis(1), Duration::from_millis(4), Duration::from_millis(16)];
/// No call that a program lets time out waits longer.
const LONGEST_TIMEOUT: Duration = Duration::from_millis(44);
/// No signal is sent to a call whose time is over so soon.
const CLOSE_TO_IT: Duration = Duration::from_millis(4);
/// Points that the model may stand at: twice as many as four calls that are woken together bring.
const POINTS: usize = 48;
/// Invariants are recomputed after so many steps.
const CHECKED_EVERY: usize = 16;

/// What both sides made of a program.
#[derive(Default)]
pub(in super::super) struct Ran {
    /// Per step, up to the first difference.
    pub(super) moments: Vec<Moment>,
    pub(super) difference: Option<Difference>,
    pub(in super::super) counts: Counts,
    pub(in super::super) coverage: Coverage,
}

/// A difference.
pub(super) struct Difference {
    pub(super) found: Found,
    /// The step that it is about.
    pub(super) about: usize,
}

impl Ran {
    /// The first difference.
    pub(in super::super) fn found(&self) -> Option<&Found> {
        self.difference.as_ref().map(|difference| &difference.found)
    }
}

/// What came of a step.
#[derive(Default)]
pub(super) struct Moment {
    /// Whether it was made: its thread was free.
    pub(super) made: bool,
    /// What it was made on.
    before: Before,
    /// The calls that ended.
    pub(super) ended: Vec<Ended>,
}

/// How often things happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Programs run.
    pub programs: u64,
    /// Calls compared.
    pub steps: u64,
    /// Calls that waited and ended.
    pub woken: u64,
    /// Calls that waited until their time was over.
    pub timed_out: u64,
    /// Calls that waited and were interrupted by a signal.
    pub interrupted: u64,
    /// Calls that still waited when their program was over.
    pub left: u64,
    /// Steps after which the kernel's order was another than that of the wakes in the model.
    pub races: u64,
    /// Programs that were given up: more orders of events were possible than are followed, and none
    /// of those that were explains what the kernel did later.
    pub given_up: u64,
    /// Programs that differed once and not when they were run again, by what differed.
    pub unsteady: BTreeMap<String, u64>,
    /// Time that all took.
    pub elapsed: Duration,
}

impl Counts {
    /// Adds what came of a program.
    pub(in super::super) fn add(&mut self, other: &Counts) {
        self.programs += other.programs;
        self.steps += other.steps;
        self.woken += other.woken;
        self.timed_out += other.timed_out;
        self.interrupted += other.interrupted;
        self.left += other.left;
        self.races += other.races;
        self.given_up += other.given_up;
        for (what, count) in &other.unsteady {
            *self.unsteady.entry(what.clone()).or_default() += count;
        }
        self.elapsed += other.elapsed;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { programs, woken, timed_out, interrupted, left, races, .. } = self;
        write!(
            f,
            "in {programs} programs: {woken} woken, {timed_out} timed out, {interrupted} \
             interrupted, {left} waited to the end; {races} races in another order than that of \
             the wakes"
        )?;
        if self.given_up > 0 {
            let given_up = self.given_up;
            write!(
                f,
                "\ngiven up, more orders were possible than are followed: {given_up} programs"
            )?;
        }
        for (what, count) in &self.unsteady {
            write!(f, "\ndiffered once and not again, {count} times: {what}")?;
        }
        Ok(())
    }
}

/// Runs a program on both sides, to its end or the first difference.
pub(in super::super) fn run(
    profile: &Profile,
    kernel: &mut Kernel,
    program: &Program,
) -> io::Result<Ran> {
    let prefix = kernel.fresh_prefix();
    let (place, user) = (kernel.make_place()?, kernel.user);
    let ran = {
        let setup = || set_up(&place, user);
        let perform_job = |job: Job<'_>, bytes: &mut Vec<u8>| do_job(program, &prefix, job, bytes);
        let duties = Duties { setup: &setup, perform: &perform_job };
        let state = State::new(profile.clone(), program, &prefix, user);
        let point = Point { state, pairs: Pairs::default(), ended: Vec::new() };
        let crew = kernel.crews.start(LIMIT_SECS, duties)?;
        let (clock, ran) = (Instant::now(), Ran::default());
        let points = vec![point];
        let mut leader = Leader { program, crew, points, cut: false, clock, ran };
        leader.lead_all();
        leader.ran
    };
    kernel.remove_place()?;
    Ok(ran)
}

/// The step that stands for looking at what a process has open.
const LOOK: u32 = u32::MAX;

fn job(step: u32, numbers: &[i32]) -> Vec<u8> {
    let numbers = numbers.iter().flat_map(|number| number.to_ne_bytes());
    step.to_ne_bytes().into_iter().chain(numbers).collect()
}

/// Does a job in a worker's thread.
fn do_job(program: &Program, prefix: &[u8], job: Job<'_>, bytes: &mut Vec<u8>) {
    let word = |bytes: &[u8]| i32::from_ne_bytes(bytes.try_into().expect("a word has 4 bytes"));
    let mut words = job.bytes.chunks_exact(4).map(word);
    let step = words.next().expect("a job begins with its step") as u32;
    let numbers = RefCell::new(words);
    let mut side = OnKernel { numbers: &numbers, pids: job.pids, prefix };
    let answer = match step {
        LOOK => {
            let mut answer = Answer::default();
            look(&mut side, &mut answer, None);
            answer
        }
        step => {
            let request = &program.steps[step as usize].request;
            perform(&mut side, request).expect("the kernel has answered")
        }
    };
    answer.encode(bytes);
}

struct Leader<'a> {
    program: &'a Program,
    crew: Crew<'a>,
    /// Where the model may stand, and the calls that ended there in the step under way: one point,
    /// or several if the kernel has not shown yet which of them it came to.
    points: Vec<Point<'a>>,
    /// Whether the kernel may have come to a point that is not among them.
    cut: bool,
    clock: Instant,
    ran: Ran,
}

impl Leader<'_> {
    fn lead_all(&mut self) {
        self.ran.counts.programs = 1;
        for index in 0..self.program.steps.len() {
            self.ran.moments.push(Moment::default());
            let led = catch_unwind(AssertUnwindSafe(|| self.lead(index)));
            let unlike = match led {
                Ok(Ok(())) => continue,
                Ok(Err(unlike)) => unlike,
                Err(panic) => failure(format!("the model broke: {}", message(panic.as_ref()))),
            };
            if self.cut && (unlike.call.is_some() || unlike.kernel.is_some()) {
                self.ran.counts.given_up = 1;
                return;
            }
            let Unlike { step, call, what, model, kernel } = *unlike;
            let call = call.unwrap_or(self.program.steps[index].request.name());
            let shown = show(model.as_ref(), kernel.as_ref());
            let found = Found { step: index, call, what, shown };
            let about = step.unwrap_or(index);
            self.ran.difference = Some(Difference { found, about });
            return;
        }
        if self.program.before_fork < self.program.steps.len() {
            self.ran.counts.left = self.points[0].state.pending().len() as u64;
        }
    }

    /// Makes a step on both sides.
    fn lead(&mut self, index: usize) -> Result<(), Box<Unlike>> {
        if index == self.program.before_fork {
            let point = &mut self.points[0];
            point.state.fork(self.program.processes);
            point.state.start_threads(self.program.threads);
            let forked = self.crew.fork(self.program.processes, self.program.threads + 1);
            forked.map_err(stopped)?;
            point.pairs.know(&self.crew.pids(), &point.state.pids());
        }
        if index < self.program.before_fork {
            return self.lead_alone(index);
        }
        let now = self.clock.elapsed();
        self.points.iter_mut().for_each(|point| point.state.set_now(now));
        let begun = match &self.program.steps[index].request {
            Request::Pass => self.pass(),
            Request::Interrupt { thread, restart } => self.interrupt(index, *thread, *restart)?,
            _ => self.begin(index)?,
        };
        self.ran.moments[index].made = begun;
        if begun {
            self.come_to_rest(index)?;
        }
        if index % CHECKED_EVERY == CHECKED_EVERY - 1 {
            self.points[0].state.check();
        }
        Ok(())
    }

    /// A step before the fork: in the only thread, where no call waits.
    fn lead_alone(&mut self, index: usize) -> Result<(), Box<Unlike>> {
        let point = &mut self.points[0];
        let request = &self.program.steps[index].request;
        let before = point.state.clone();
        let Some(done) = point.state.step(request, true) else {
            // It may have gone part of its way.
            point.state = before;
            return Ok(());
        };
        self.ran.moments[index].made = true;
        self.ran.counts.steps += 1;
        let first = HandId { process: 0, hand: 0 };
        self.crew.give(first, &job(index as u32, &done.numbers)).map_err(stopped)?;
        let mut kernel = answer(&mut self.crew, first)?;
        self.crew.give(first, &job(LOOK, &[])).map_err(stopped)?;
        kernel.fields.extend(answer(&mut self.crew, first)?.fields);
        point.pairs.know(&self.crew.pids(), &point.state.pids());
        let kernel = point.pairs.translate(request, &kernel, &done.answer);
        if let Some(what) = difference(&done.answer, &kernel) {
            let (model, kernel) = (Some(done.answer), Some(kernel));
            return Err(Box::new(Unlike { step: None, call: None, what, model, kernel }));
        }
        self.ran.coverage.add(request, done.before, &done.answer);
        let (request, answer) = (request.clone(), done.answer);
        let ended = Ended { at: (0, 0), step: index, request, answer, why: Why::AtOnce };
        self.ran.moments[index].ended.push(ended);
        Ok(())
    }

    /// Waits until the next timeout has passed, or any that the kernel alone knows of; `false` if
    /// no call waits.
    fn pass(&mut self) -> bool {
        let pending = self.points[0].state.pending();
        if pending.is_empty() {
            return false;
        }
        let now = self.clock.elapsed();
        let deadlines = pending.values().filter_map(|pending| pending.deadline);
        let next = deadlines.fold(now + LONGEST_TIMEOUT, Duration::min);
        std::thread::sleep((next + LATE).saturating_sub(now));
        true
    }

    fn interrupt(
        &mut self,
        index: usize,
        thread: usize,
        restart: bool,
    ) -> Result<bool, Box<Unlike>> {
        let at = (self.program.steps[index].process, thread);
        let Some(pending) = self.points[0].state.pending().get(&at) else { return Ok(false) };
        // Which comes first must not hang on how busy the system is.
        if pending.deadline.is_some_and(|deadline| deadline < self.clock.elapsed() + CLOSE_TO_IT) {
            return Ok(false);
        }
        let sent = self.crew.interrupt(hand(at), signal_number(restart));
        sent.map_err(|error| failure(format!("no signal could be sent: {error}")))?;
        self.points.iter_mut().for_each(|point| point.state.signal(at, restart));
        Ok(true)
    }

    fn begin(&mut self, index: usize) -> Result<bool, Box<Unlike>> {
        let step = &self.program.steps[index];
        let at = (step.process, step.thread);
        if self.points[0].state.pending().contains_key(&at) {
            return Ok(false);
        }
        self.ran.counts.steps += 1;
        let first = &mut self.points[0].state;
        first.process = at.0;
        self.ran.moments[index].before = first.before(&step.request);
        for point in &mut self.points {
            if let Some(answer) = point.state.begin(at, index, &step.request) {
                let (request, why) = (step.request.clone(), Why::AtOnce);
                point.ended.push(Ended { at, step: index, request, answer, why });
            }
        }
        let numbers = self.points[0].state.numbers.clone();
        self.points.retain(|point| point.state.numbers == numbers);
        self.crew.give(hand(at), &job(index as u32, &numbers)).map_err(stopped)?;
        Ok(true)
    }

    /// Lets the kernel come to rest, and the model follow it there.
    fn come_to_rest(&mut self, index: usize) -> Result<(), Box<Unlike>> {
        let mut rest = Rest::default();
        for pause in AGAIN {
            self.look(&mut rest)?;
            if self.follow(&rest, index).is_ok() {
                return Ok(());
            }
            std::thread::sleep(pause);
        }
        self.look(&mut rest)?;
        self.follow(&rest, index)
    }

    /// Brings the model to where the kernel stands, from each point where that can be done.
    fn follow(&mut self, rest: &Rest, index: usize) -> Result<(), Box<Unlike>> {
        let (mut reached, mut first, mut races) = (Vec::new(), None, Vec::new());
        let mut followed = Vec::new();
        for (number, point) in self.points.iter_mut().enumerate() {
            let room = POINTS - number.min(POINTS - 1);
            match explain(point, rest, room, &mut self.cut) {
                Ok((others, is_race)) => {
                    followed.push(number);
                    reached.extend(others);
                    races.push(is_race);
                }
                Err(unlike) => drop(first.get_or_insert(unlike)),
            }
        }
        if let (true, Some(unlike)) = (followed.is_empty(), first) {
            return Err(unlike);
        }
        let mut numbers = 0..;
        self.points.retain(|_| numbers.next().is_some_and(|number| followed.contains(&number)));
        self.points.append(&mut reached);
        self.cut |= self.points.len() > POINTS;
        self.points.truncate(POINTS);
        self.arrive(races.contains(&true), index);
        Ok(())
    }

    /// Sees how the kernel stands once nothing moves any more.
    fn look(&mut self, rest: &mut Rest) -> Result<(), Box<Unlike>> {
        rest.since = self.clock.elapsed();
        let waiting = self.crew.rest().map_err(stopped)?;
        rest.now = self.clock.elapsed();
        rest.waiting =
            waiting.into_iter().map(|(id, call)| ((id.process, id.hand), call)).collect();
        for process in 0..self.program.processes {
            for thread in 0..self.program.threads {
                if let Some(bytes) = self.crew.take(hand((process, thread))) {
                    rest.finished.insert((process, thread), Answer::decode(&bytes));
                }
            }
        }
        rest.looks.clear();
        for process in 0..self.program.processes {
            let looker = hand((process, self.program.threads));
            self.crew.give(looker, &job(LOOK, &[])).map_err(stopped)?;
            rest.looks.push(answer(&mut self.crew, looker)?);
        }
        Ok(())
    }

    /// Both sides stand at the same point again.
    fn arrive(&mut self, is_race: bool, index: usize) {
        let counts = &mut self.ran.counts;
        counts.races += u64::from(is_race);
        for ended in &self.points[0].ended {
            match ended.why {
                Why::AtOnce => {}
                Why::Woken => counts.woken += 1,
                Why::TimedOut => counts.timed_out += 1,
                Why::Interrupted => counts.interrupted += 1,
            }
            let before = self.ran.moments[ended.step].before;
            self.ran.coverage.add(&ended.request, before, &ended.answer);
        }
        self.ran.moments[index].ended = std::mem::take(&mut self.points[0].ended);
        self.points.iter_mut().for_each(|point| point.ended.clear());
    }
}

fn answer(crew: &mut Crew<'_>, id: HandId) -> Result<Answer, Box<Unlike>> {
    let bytes = crew.answer(id).map_err(stopped)?;
    Ok(Answer::decode(&bytes))
}

fn hand((process, thread): At) -> HandId {
    HandId { process, hand: thread }
}

fn stopped(why: Stopped) -> Box<Unlike> {
    failure(format!("the kernel's worker stopped: {why:?}"))
}

fn failure(what: String) -> Box<Unlike> {
    Box::new(Unlike { step: None, call: None, what, model: None, kernel: None })
}
