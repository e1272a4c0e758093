//! The kernel's side: worker processes make the calls that the model made.

use std::cell::RefCell;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use afunix::{Backend, Call, Errno, Host, SaFlags};
use afunix_kernel_backend::worker::{Crews, Plan, Stopped, Turn, WORKERS, Workers};

use super::answer::Answer;
use super::model;
use super::perform::{HEARD, Side, look, made, pattern, perform};
use super::program::{Program, Slot};

/// The signals that a worker has handled: its own, since it is forked.
static HAS_HEARD: Mutex<Vec<i32>> = Mutex::new(Vec::new());
/// Bytes for the answers of one program.
const ROOM: usize = 64 << 20;
/// A program takes milliseconds.
pub(super) const LIMIT_SECS: u32 = 10;

/// Worker processes, and a directory for each program.
pub(super) struct Kernel {
    workers: Workers,
    /// Worker processes for programs whose calls wait.
    pub(super) crews: Crews,
    directory: PathBuf,
    /// Tells this from others in the same process, whose names must not be met.
    number: u32,
    programs: u64,
    /// Who runs this.
    pub(super) user: u32,
}

/// What the kernel made of a program.
pub(super) struct Ran {
    /// Per step: `None` for one left out, and for all after the last that was made.
    pub(super) done: Vec<Option<Answer>>,
    /// The processes' ids.
    pub(super) pids: Vec<i32>,
    /// Why the step after the last answer has none.
    pub(super) stopped: Option<Stopped>,
}

impl Kernel {
    pub(super) fn new() -> io::Result<Kernel> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("afunix-diff-{}-{number}", std::process::id());
        // In memory where that can be had: a program makes and removes some files, thousands of
        // times.
        let shared = PathBuf::from("/dev/shm");
        let parent = if shared.is_dir() { shared } else { std::env::temp_dir() };
        let directory = parent.join(name);
        std::fs::create_dir(&directory)?;
        pattern();
        let user = std::fs::metadata("/proc/self")?.uid();
        let (workers, crews) = (Workers::new(ROOM)?, Crews::new()?);
        Ok(Kernel { workers, crews, directory, number, programs: 0, user })
    }

    /// What stands before the abstract names of the next program: no other process uses it.
    pub(super) fn fresh_prefix(&mut self) -> Vec<u8> {
        self.programs += 1;
        format!("afx{}-{}-{}-", std::process::id(), self.number, self.programs).into_bytes()
    }

    /// The directory of all that the program may reach.
    fn top(&self) -> PathBuf {
        self.directory.join(self.programs.to_string())
    }

    /// A new directory for the program.
    pub(super) fn make_place(&self) -> io::Result<PathBuf> {
        let place = self.top().join("up").join("program");
        std::fs::create_dir_all(&place)?;
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o777))?;
        Ok(place)
    }

    /// Removes the program's directory, with all that it left there.
    pub(super) fn remove_place(&self) -> io::Result<()> {
        std::fs::remove_dir_all(self.top())
    }

    pub(super) fn run(
        &mut self,
        program: &Program,
        model: &model::Ran,
        prefix: &[u8],
    ) -> io::Result<Ran> {
        let is_turn = |(index, done): (usize, &Option<model::Done>)| done.as_ref().map(|_| index);
        let steps: Vec<usize> = model.done.iter().enumerate().filter_map(is_turn).collect();
        let turns: Vec<usize> = steps.iter().map(|step| program.steps[*step].process).collect();
        let plan = Plan {
            turns: &turns,
            workers: program.processes,
            before_fork: steps.iter().filter(|step| **step < program.before_fork).count(),
            limit_secs: LIMIT_SECS,
        };
        let place = self.make_place()?;
        let user = self.user;
        let setup = || {
            listen();
            set_up(&place, user);
        };
        let perform_turn = |turn: Turn, bytes: &mut Vec<u8>| {
            let step = steps[turn.index];
            let done = model.done[step].as_ref().expect("only steps that were made are turns");
            let numbers = RefCell::new(done.numbers.iter().copied());
            let mut side = OnKernel { numbers: &numbers, pids: turn.pids, prefix };
            let request = &program.steps[step].request;
            let mut answer = perform(&mut side, request).expect("the kernel has answered");
            let mut touched = done.numbers.clone();
            touched.extend(made(request, &answer).into_iter().map(|(_, number)| number));
            let looks_around = program.looks_around_after(step);
            look(&mut side, &mut answer, (!looks_around).then_some(&touched));
            answer.push_signals(take_heard());
            answer.encode(bytes);
        };
        let outcome = self.workers.run(plan, &setup, &perform_turn);
        self.remove_place()?;
        let outcome = outcome?;
        let mut done = vec![None; model.done.len()];
        for (step, answer) in steps.iter().zip(&outcome.answers) {
            done[*step] = Some(Answer::decode(answer));
        }
        let pids = outcome.pids[..program.processes].to_vec();
        Ok(Ran { done, pids, stopped: outcome.stopped })
    }
}

/// Handles signals, in a worker and in those that are forked from it.
fn listen() {
    for signal in HEARD {
        let note = move |_: &_| HAS_HEARD.lock().expect("nobody panics with it").push(signal);
        let set = afunix_kernel_backend::Kernel.on_signal(signal, SaFlags::empty(), note);
        set.expect("these signals can be handled");
    }
}

/// The signals that the worker has handled since this was asked for.
fn take_heard() -> Vec<i32> {
    std::mem::take(&mut *HAS_HEARD.lock().expect("nobody panics with it"))
}

/// What the first worker does before anything else.
pub(super) fn set_up(place: &Path, user: u32) {
    std::env::set_current_dir(place).expect("the program's directory");
    let _ = afunix_kernel_backend::Kernel.call(&mut Call::Umask { mask: 0o022 });
    if user == 0 {
        let call = &mut Call::Setids { uid: 0, gid: 0, groups: &[] };
        let _ = afunix_kernel_backend::Kernel.call(call);
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // A directory that stays behind does no harm.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A worker that makes calls.
pub(super) struct OnKernel<'a, I> {
    /// The numbers of the slots that are to come.
    pub(super) numbers: &'a RefCell<I>,
    pub(super) pids: [i32; WORKERS],
    pub(super) prefix: &'a [u8],
}

impl<I: Iterator<Item = i32>> Side for OnKernel<'_, I> {
    fn number(&mut self, _slot: Slot) -> i32 {
        self.numbers.borrow_mut().next().expect("both sides ask for the same slots")
    }

    fn cargo(&mut self, slot: Slot, _carrier: i32) -> i32 {
        self.number(slot)
    }

    fn pid(&self, process: usize) -> i32 {
        self.pids.get(process).copied().unwrap_or(0)
    }

    fn prefix(&self) -> &[u8] {
        self.prefix
    }

    fn call(&mut self, call: &mut Call<'_, '_>) -> Option<Result<usize, Errno>> {
        Some(afunix_kernel_backend::Kernel.call(call))
    }
}
