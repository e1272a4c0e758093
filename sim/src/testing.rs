//! [`Test`]: what a test function under [`afunix_sim::test`](macro@crate::test) is given.
//!
//! The function is the first process of each run. It declares processes, rules and properties;
//! when it returns, the processes start in the order of their declaration, and the run is over when
//! all have ended.

use std::cell::RefCell;
use std::fmt::{Display, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use afunix::fault::{Attempt, Verdict};
use afunix::{Backend, Call, Child, Exit, Host, Pid, ProcessSpec, Signal, Thread};

use crate::checks::Check;
use crate::explain;
use crate::explore::{Campaign, ExploreOptions, explore};
use crate::faults::Faults;
use crate::host::Sim;
use crate::options::RunOptions;
use crate::property::{Modality, Now};
use crate::report::Report;
use crate::run::{App, app, replay};
use crate::strategy::Plan;
use crate::tape::Tape;

/// What a process may return: how it ended.
pub trait Ending {
    /// The exit status of a process of this name; prints what went wrong.
    fn status(self, name: &str, sim: &Sim) -> i32;
}

impl Ending for () {
    fn status(self, _: &str, _: &Sim) -> i32 {
        0
    }
}

impl Ending for i32 {
    fn status(self, _: &str, _: &Sim) -> i32 {
        self
    }
}

impl<E: Display> Ending for Result<(), E> {
    fn status(self, name: &str, sim: &Sim) -> i32 {
        match self {
            Ok(()) => 0,
            Err(error) => {
                sim.print(&format!("{name}: {error}"));
                1
            }
        }
    }
}

/// When a process may be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Before any of its calls, or while one waits. How often is drawn per run.
    Anywhere,
    /// Once, before one of its first 256 calls that others can see (all but those that only ask).
    /// Which one is drawn per run, each of the first `2^k` with the same chance, for a `k` that is
    /// drawn too; so few runs try all early ones.
    BeforeVisibleCall,
    /// Once, before each of its calls in turn, by an exhaustive plan: the kill is a step of
    /// "kills NAME", a thread of the test, and comes in every order with the calls of all that
    /// differs. What is the same but for the order of steps that touch nothing in common is met
    /// once, and so is a death after its end. Needs no fault profile. Under a plan that draws,
    /// this is [`Crash::BeforeVisibleCall`].
    BeforeEachVisibleCall,
}

/// A declared process.
struct Declared {
    name: String,
    body: Arc<dyn Fn(&Sim) -> i32 + Send + Sync>,
    crash: Option<Crash>,
    restart_after: Option<Duration>,
    is_daemon: bool,
}

/// A run of a test, for the function that declares it. It is also the [`Sim`] of the first process.
pub struct Test {
    sim: Sim,
    declared: RefCell<Vec<Declared>>,
    running: RefCell<Vec<Running>>,
    /// Whether runs are those of an exhaustive plan.
    is_search: bool,
}

/// A process that was started, or the thread that starts it again and again.
enum Running {
    Once { name: String, child: Child<Sim>, may_die: bool },
    Restarted(String, Thread<Result<(), String>>),
}

impl Deref for Test {
    type Target = Sim;

    fn deref(&self) -> &Sim {
        &self.sim
    }
}

/// A process that was declared, to say more about it.
#[derive(Clone, Copy)]
pub struct Process<'a> {
    test: &'a Test,
    index: usize,
}

/// A rule in force.
#[derive(Debug)]
pub struct RuleHandle {
    sim: Sim,
    id: u64,
}

impl RuleHandle {
    /// Ends the rule. (Dropping the handle does not: a rule that is declared and forgotten holds
    /// for the run.)
    pub fn lift(self) {
        self.sim.remove_rule(self.id);
    }
}

impl Test {
    /// Declares a process. `body` is a factory: it is run again at each start, with the handle of
    /// the new process.
    pub fn process<R: Ending>(
        &self,
        name: &str,
        body: impl Fn(&Sim) -> R + Send + Sync + 'static,
    ) -> Process<'_> {
        let mut declared = self.declared.borrow_mut();
        let who = name.to_owned();
        declared.push(Declared {
            name: name.to_owned(),
            body: Arc::new(move |sim| body(sim).status(&who, sim)),
            crash: None,
            restart_after: None,
            is_daemon: false,
        });
        Process { test: self, index: declared.len() - 1 }
    }

    /// Has a rule judge every call before it is made, until it is [lifted](RuleHandle::lift). It
    /// runs inside of a step, and must not use the simulation.
    pub fn rule(&self, rule: impl Fn(&Attempt<'_>) -> Verdict + Send + 'static) -> RuleHandle {
        RuleHandle { sim: self.sim, id: self.sim.add_rule(Box::new(rule)) }
    }

    /// What has to hold after every step.
    pub fn always(&self, name: &str, holds: impl Fn(&Now<'_>) -> bool + Send + 'static) {
        self.sim.add_property(Modality::Always, name, Box::new(holds));
    }

    /// What has to hold after some step of some run: else the campaign fails, for it has not tried
    /// what it was made for.
    pub fn sometimes(&self, name: &str, holds: impl Fn(&Now<'_>) -> bool + Send + 'static) {
        self.sim.add_property(Modality::Sometimes, name, Box::new(holds));
    }

    /// What has to hold after some step of each run. After 20,000 steps there are no more faults,
    /// and the thread that ran least goes first: a run that goes on has every chance to get there.
    pub fn eventually(&self, name: &str, holds: impl Fn(&Now<'_>) -> bool + Send + 'static) {
        self.sim.add_property(Modality::Eventually, name, Box::new(holds));
    }

    /// Leaves a check out: what it looks for is meant to be so.
    pub fn allow(&self, check: Check) {
        self.sim.leave_out(check);
    }

    /// Starts what was declared and has not been started, before the function returns.
    pub fn start(&self) {
        for declared in self.declared.take() {
            let started = self.start_one(declared);
            self.running.borrow_mut().extend(started);
        }
    }

    fn start_one(&self, declared: Declared) -> Option<Running> {
        let Declared { name, body, crash, restart_after, is_daemon } = declared;
        let is_hunted = self.is_search && crash == Some(Crash::BeforeEachVisibleCall);
        let run = move |sim: &Sim| {
            match crash {
                Some(Crash::Anywhere) => sim.may_crash(true),
                Some(_) if !is_hunted => sim.crash_before_visible_call(),
                Some(_) | None => {}
            }
            body(sim)
        };
        let Some(after) = restart_after else {
            let child = self.sim.process(ProcessSpec::new(&name), run);
            let child = child.expect("a process without descriptors can be started");
            if is_hunted {
                hunt(&self.sim, &name, child.pid());
            }
            return (!is_daemon).then(|| Running::Once { name, child, may_die: crash.is_some() });
        };
        let sim = self.sim;
        let (run, again) = (Arc::new(run), name.clone());
        let supervisor = self.sim.spawn(&format!("restarts {name}"), move || {
            let mut is_hunted = is_hunted;
            loop {
                let run = Arc::clone(&run);
                let child = sim.process(ProcessSpec::new(&again), move |sim| run(sim));
                let child = child.map_err(|errno| errno.to_string())?;
                if std::mem::take(&mut is_hunted) {
                    hunt(&sim, &again, child.pid());
                }
                match ended(&again, child, true)? {
                    Exit::Status(_) => return Ok(()),
                    Exit::Signal(_) => sim.sleep(after),
                }
            }
        });
        (!is_daemon).then_some(Running::Restarted(name, supervisor))
    }

    /// Waits for the end of all processes but the daemons.
    fn wait(&self) -> Result<(), String> {
        for running in self.running.take() {
            match running {
                Running::Once { name, child, may_die } => drop(ended(&name, child, may_die)?),
                Running::Restarted(name, thread) => {
                    thread.join().map_err(|panicked| format!("{name}: {panicked}"))??;
                }
            }
        }
        Ok(())
    }
}

/// Starts the thread that kills a process, sooner or later.
fn hunt(sim: &Sim, name: &str, pid: Pid) {
    let hunter = *sim;
    hunter.hunts(pid);
    // Nobody joins it: it can always make its one step, or the run is over without it.
    drop(sim.spawn(&format!("kills {name}"), move || {
        let _ = hunter.call(&mut Call::Kill { pid, signal: Signal::Kill as i32 });
    }));
}

fn ended(name: &str, child: Child<Sim>, may_die: bool) -> Result<Exit, String> {
    match child.wait().map_err(|errno| errno.to_string())? {
        exit @ Exit::Status(0) => Ok(exit),
        exit @ Exit::Signal(_) if may_die => Ok(exit),
        exit => Err(format!("{name} ended with {exit}")),
    }
}

impl Process<'_> {
    fn change(self, change: impl FnOnce(&mut Declared)) -> Self {
        let mut declared = self.test.declared.borrow_mut();
        let one = declared.get_mut(self.index);
        change(one.expect("more can be said about a process until it is started"));
        drop(declared);
        self
    }

    /// It claims to survive it if it is killed.
    pub fn crash(self, crash: Crash) -> Self {
        self.change(|it| it.crash = Some(crash))
    }

    /// Whenever it was killed, it is started again after this time.
    pub fn restart_after(self, time: Duration) -> Self {
        self.change(|it| it.restart_after = Some(time))
    }

    /// The run does not wait for its end.
    pub fn daemon(self) -> Self {
        self.change(|it| it.is_daemon = true)
    }
}

/// What a test is made with. The attribute's arguments are its fields.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many runs.
    pub runs: u64,
    /// From this the seeds of all runs follow.
    pub seed: u64,
    /// Which faults a run may have.
    pub faults: Faults,
    /// How schedules are chosen.
    pub plan: Plan,
}

impl Default for Settings {
    /// 1000 runs from seed 0, faults by portfolio, schedules at random.
    fn default() -> Self {
        Settings { runs: 1000, seed: 0, faults: Faults::default(), plan: Plan::Random }
    }
}

/// The application of a test function.
fn application(plan: Plan, body: fn(&Test)) -> App {
    let is_search = matches!(plan, Plan::Exhaustive { .. } | Plan::Bounded { .. });
    app(move |sim| {
        sim.check_all();
        let (declared, running) = Default::default();
        let test = Test { sim: *sim, declared, running, is_search };
        body(&test);
        test.start();
        let waited = test.wait();
        drop(test);
        waited.status("test", sim)
    })
}

/// Makes the campaign of a test function, or replays a tape of it; for the attribute.
///
/// # Panics
/// With all that is known, if a run fails, if a `sometimes` is never met, or if an override in the
/// environment cannot be understood.
pub fn run_test(name: &str, settings: Settings, body: fn(&Test)) {
    let app = application(settings.plan, body);
    let run = RunOptions { faults: settings.faults, ..RunOptions::default() };
    if let Some(path) = std::env::var_os("AFUNIX_REPLAY") {
        let tape = Tape::load(Path::new(&path));
        let tape = tape.unwrap_or_else(|error| panic!("AFUNIX_REPLAY={}: {error}", path.display()));
        if tape.scenario != name {
            println!("the tape is of {:?}, not of {name:?}: left out", tape.scenario);
            return;
        }
        let report = replay(&app, &run, &tape, None);
        match report.failure() {
            Some(_) => panic!("\n{}", explain::run(&report)),
            None => return println!("{name}: passed: the tape shows no failure"),
        }
    }
    let options = ExploreOptions {
        run,
        plan: settings.plan,
        runs: number("AFUNIX_RUNS").unwrap_or(settings.runs),
        seed: number("AFUNIX_SEED").unwrap_or(settings.seed),
        ..ExploreOptions::default()
    };
    let campaign = explore(&app, &options);
    match verdict(name, &campaign) {
        Ok(text) => println!("{text}"),
        Err(text) => panic!("\n{text}"),
    }
}

/// An override of the environment.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text:?} is not a number")))
}

/// What a campaign came to; an error if it has not passed.
fn verdict(name: &str, campaign: &Campaign) -> Result<String, String> {
    let mut text = String::new();
    let Some(found) = &campaign.failure else {
        let unmet = campaign.unmet();
        for property in &unmet {
            let _ =
                writeln!(text, "sometimes {property:?} was never met in {} runs", campaign.runs);
        }
        let _ = write!(text, "{name}: {}", explain::campaign(campaign));
        let passes = unmet.is_empty() && campaign.runs > 0;
        return if passes { Ok(text) } else { Err(text) };
    };
    let (first, shrunk) = (found.first.steps, found.shrunk.report.steps);
    let _ = writeln!(
        text,
        "{name}: run {} of seed {} fails; shrunk from {first} steps to {shrunk}\n",
        found.run, campaign.seed
    );
    text.push_str(&explain::run(&found.shrunk.report));
    let _ = write!(text, "\n{}", explain::decides(found));
    let _ = write!(text, "\n{}", explain::campaign(campaign));
    match save(name, &found.shrunk.report) {
        Ok(path) => {
            let test = name.split_once("::").map_or(name, |(_, test)| test);
            let path = path.display();
            let _ = writeln!(text, "replay it: AFUNIX_REPLAY={path} cargo test {test} -- --exact");
        }
        Err(error) => {
            let _ = writeln!(text, "the tape could not be written: {error}");
        }
    }
    Err(text)
}

/// Writes the tape of a failure beside the test program: `target/debug/afunix-failures`.
fn save(name: &str, report: &Report) -> std::io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let directory = program.parent().and_then(Path::parent).unwrap_or(Path::new("."));
    let directory = directory.join("afunix-failures");
    std::fs::create_dir_all(&directory)?;
    let path = directory.join(format!("{}.tape", name.replace("::", "-")));
    let mut tape = report.tape.clone();
    name.clone_into(&mut tape.scenario);
    tape.save(&path)?;
    Ok(path)
}
