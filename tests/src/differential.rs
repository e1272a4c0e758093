//! Generated programs of calls, in lock-step on the model and on the kernel.
//!
//! A *program* is a list of *steps*: a process, and a *request*, which is a call whose descriptors
//! are *slots* ("what the third step made") instead of numbers. The model runs it first; that turns
//! slots into numbers. Worker processes then make the very same calls on the kernel, and every
//! *answer* (return value, errno, every byte written, and after it the readiness and queue sizes of
//! all the process has open) is compared. The first difference is a *divergence*; it is shrunk to a
//! short program that still shows one.
//!
//! Unless a program has threads no call waits: a step that the model would block is left out (so
//! whether a call waits is compared one way only: a worker that blocks is a divergence). Three
//! things of the kernel are kept out: cycles of sockets in flight, which it collects at a time of
//! its own (one type of socket per program may be sent and never carries; `tests/collector.rs` is
//! about them), names drawn by chance (compared as a bijection), and peeks that wait where
//! out-of-band data is: the kernel (6.18.44) spins in some, and misses what comes in others.

mod answer;
mod batch;
mod compare;
mod coverage;
mod fuzz;
mod generate;
mod here;
mod kernel;
mod model;
mod perform;
mod program;
mod show;
mod shrink;
mod summary;
mod turn;
mod waiting;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use afunix_kernel_backend::worker::Stopped;
use afunix_model::profile::Profile;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64;

pub use coverage::{Coverage, Missing};
pub use fuzz::Fuzzer;
use here::Here;
pub use program::Program;
pub use summary::Summary;
pub use turn::is_taken;
pub use waiting::Counts;

/// Of so many programs one has calls that wait, for a fair share of the time.
pub const WAITING_ONE_IN: u32 = 40;
/// Runs in which a program whose calls wait has to differ.
const STEADY: usize = 3;
/// Spreads numbers of programs over the seeds of random numbers.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// What to run.
#[derive(Debug)]
pub struct Options<'a> {
    /// How many calls to compare, at least; programs are run to their ends.
    pub steps: u64,
    /// The seed: the same seed gives the same programs.
    pub seed: u64,
    /// What the model models; faults planted in it are in here.
    pub profile: Profile,
    /// How many threads run programs; what comes of it is the same.
    pub jobs: usize,
    /// Of so many programs one has calls that wait; 0: none has.
    pub waiting_one_in: u32,
    /// Set by another thread or a signal handler to stop after the program under way.
    pub stop: &'a AtomicBool,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Calls compared.
    pub steps: u64,
    /// Programs run.
    pub programs: u64,
    /// Programs run to shrink a divergence; 0 while none was met.
    pub shrinking: u64,
}

/// The model and the kernel answered differently.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// The program, shrunk.
    pub program: Program,
    /// Number of the program in the run, from 0.
    pub number: u64,
    /// The run's seed.
    pub seed: u64,
    /// The program and both answers, to be read.
    pub report: String,
}

/// Why a run has no summary.
#[derive(Debug)]
pub enum Failure {
    /// A difference.
    Diverged(Box<Divergence>),
    /// The workers could not be run: no memory, no process, no directory.
    Unable(std::io::Error),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Unable(error)
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (calls, number, seed) = (self.program.calls(), self.number, self.seed);
        writeln!(f, "seed {seed}, program {number}: diverges, shrunk to {calls} calls")?;
        f.write_str(&self.report)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Diverged(divergence) => divergence.fmt(f),
            Failure::Unable(error) => write!(f, "the kernel's side cannot be run: {error}"),
        }
    }
}

impl std::error::Error for Failure {}

/// Runs programs until enough calls were compared, or to the first divergence, which is shrunk.
///
/// Needs a kernel like the profile's; as root it also tries other users. May be called from a
/// program with several threads. Waits while another run is under way on this system, whichever
/// program's: both would send descriptors as the same users, and those in flight are counted per
/// user (CMSG 4).
pub fn run(
    options: &Options<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, Box<Failure>> {
    let _turn = turn::take(options.stop).map_err(|error| Box::new(error.into()))?;
    let here = Here::look(options.profile.clone());
    let mut summary = Summary { deviations: here.deviations.clone(), ..Summary::default() };
    while summary.steps < options.steps && !options.stop.load(Ordering::Relaxed) {
        let (done, diverged) = batch::run(options, &here, summary.programs).map_err(Box::new)?;
        summary.merge(done);
        let (steps, programs) = (summary.steps, summary.programs);
        progress(Progress { steps, programs, shrinking: 0 });
        if let Some(diverged) = diverged {
            let mut tell = |shrinking| progress(Progress { steps, programs, shrinking });
            let divergence = told(options, &here, diverged, &mut tell).map_err(Box::new)?;
            return Err(Box::new(Failure::Diverged(Box::new(divergence))));
        }
    }
    Ok(summary)
}

/// A divergence, shrunk and to be read.
fn told(
    options: &Options<'_>,
    here: &Here,
    diverged: batch::Diverged,
    progress: &mut dyn FnMut(u64),
) -> Result<Divergence, Failure> {
    let batch::Diverged { number, program, found } = diverged;
    let mut runner = Runner::new(here.clone(), options.waiting_one_in)?;
    let (program, found) = runner.localized(program, found)?;
    let program = shrink::shrink(&mut runner, program, &found, progress);
    let mut report = show::report(&mut runner, &program, &found)?;
    for deviation in &here.deviations {
        report.push_str(&format!("    this kernel: {deviation}\n"));
    }
    Ok(Divergence { program, number, seed: options.seed, report })
}

/// What a difference looks like, so that shrinking keeps to one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    /// Index of the step.
    step: usize,
    /// The call.
    call: &'static str,
    /// What differs, in words.
    what: String,
    /// What both sides said, to be read.
    shown: String,
}

/// Runs programs on both sides.
struct Runner {
    here: Here,
    kernel: kernel::Kernel,
    /// [`Options::waiting_one_in`].
    waiting_one_in: u32,
}

impl Runner {
    fn new(here: Here, waiting_one_in: u32) -> std::io::Result<Runner> {
        Ok(Runner { here, kernel: kernel::Kernel::new()?, waiting_one_in })
    }

    /// Makes the program with a number, which runs it on the model, and runs it on the kernel;
    /// tells the first difference.
    fn fresh(
        &mut self,
        seed: u64,
        number: u64,
        summary: &mut Summary,
    ) -> Result<(Program, Option<Found>), Failure> {
        // Which programs there are hangs on the seed alone, not on who runs which.
        let own = seed.wrapping_add(number.wrapping_mul(GOLDEN));
        let mut random = Pcg64::seed_from_u64(own);
        let begin = Instant::now();
        let prefix = self.kernel.fresh_prefix();
        let setting =
            generate::Setting { here: &self.here, prefix: &prefix, user: self.kernel.user, number };
        if self.waiting_one_in > 0 && random.next_u32() % self.waiting_one_in == 0 {
            let program = generate::waiting_program(&mut random, &setting);
            let found = self.steady(&program, summary)?;
            summary.waits.elapsed += begin.elapsed();
            return Ok((program, found));
        }
        let (program, model) = generate::program(&mut random, &setting);
        let mut kernel = self.kernel.run(&program, &model, &prefix)?;
        if kernel.stopped == Some(Stopped::Hung) {
            // A busy system may take as long; a call that never returns does it again.
            kernel = self.kernel.run(&program, &model, &prefix)?;
        }
        let both = Both { model, kernel };
        let found = compare::first_difference(&program, &both);
        summary.add(&program, &both, found.as_ref());
        summary.elapsed += begin.elapsed();
        Ok((program, found))
    }

    /// Runs a program whose calls wait; tells the first difference, if it is there each time.
    fn steady(
        &mut self,
        program: &Program,
        summary: &mut Summary,
    ) -> Result<Option<Found>, Failure> {
        let ran = waiting::run(&self.here.profile, &mut self.kernel, program)?;
        summary.programs += 1;
        summary.steps += ran.counts.steps;
        summary.waits.add(&ran.counts);
        let found = ran.found().cloned();
        summary.coverage.merge(ran.coverage);
        // What wakes in the middle of another's call may see more than the model can tell.
        for _ in 1..STEADY {
            if let Some(Found { call, what, .. }) = &found
                && self.run(program)?.is_none()
            {
                *summary.waits.unsteady.entry(format!("{call}: {what}")).or_default() += 1;
                return Ok(None);
            }
        }
        Ok(found)
    }

    /// The step at which the difference arose, found by looking at everything after every step.
    fn localized(
        &mut self,
        mut program: Program,
        found: Found,
    ) -> Result<(Program, Found), Failure> {
        program.looks_around = true;
        let again = self.run(&program)?;
        Ok((program, again.unwrap_or(found)))
    }

    /// Runs a program on both sides; tells the first difference.
    fn run(&mut self, program: &Program) -> Result<Option<Found>, Failure> {
        if program.threads > 1 {
            let ran = waiting::run(&self.here.profile, &mut self.kernel, program)?;
            return Ok(ran.found().cloned());
        }
        let both = self.both(program)?;
        Ok(compare::first_difference(program, &both))
    }

    fn both(&mut self, program: &Program) -> Result<Both, Failure> {
        let prefix = self.kernel.fresh_prefix();
        let model = model::run(&self.here.profile, program, &prefix, self.kernel.user);
        let kernel = self.kernel.run(program, &model, &prefix)?;
        Ok(Both { model, kernel })
    }
}

/// What both sides answered.
struct Both {
    model: model::Ran,
    kernel: kernel::Ran,
}
