//! Worker processes that make calls on the kernel in turns: the kernel's side of a lock-step run.
//!
//! A *plan* says which worker takes which *turn*. Workers are forks of the caller, so what they
//! perform needs no encoding: they have the program already. Only their answers travel back, as
//! bytes in memory that all share. Turns are strictly one after the other; a worker that waits for
//! its own sleeps on a futex. Each worker has an alarm: a call that never returns ends the run, and
//! the turn is known.
//!
//! Worker 0 is forked first; the others are forked from it after its first turns, so that what it
//! has opened by then they all have. Descriptors 0 to 2 are /dev/null in all of them, nothing else
//! is open.
//!
//! Where calls may wait, processes have several threads and are led step by step: [`Crews`].
#![expect(unsafe_code, reason = "fork, shared memory and futexes have no safe form")]

mod asleep;
mod crew;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};

pub use crew::{Crew, Crews, Duties, HANDS, HandId, Job};

/// Most workers in a run.
pub const WORKERS: usize = 4;
/// Turns that a worker looks for its own before it sleeps.
const SPINS: u32 = 200;
/// The turn before the forks are done, and after a failure: nobody's.
const NOBODY: u32 = u32::MAX - 1;
const OVER: u32 = u32::MAX;
/// Exit status of a worker whose `perform` panicked.
const PANICKED: i32 = 101;
/// Exit status of a worker whose answers do not fit.
const NO_ROOM: i32 = 102;

/// Who takes which turn.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The worker of each turn. The first `before_fork` are all 0.
    pub turns: &'a [usize],
    /// How many workers there are, from 1 to [`WORKERS`].
    pub workers: usize,
    /// Turns that worker 0 takes before the others are forked from it.
    pub before_fork: usize,
    /// Whole seconds after which a run is ended; a turn takes microseconds.
    pub limit_secs: u32,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The answers of the turns that were completed, in order.
    pub answers: Vec<Vec<u8>>,
    /// The workers' process ids; 0 for one that was never forked.
    pub pids: [i32; WORKERS],
    /// Why the turn after the last answer was not completed, if there is one.
    pub stopped: Option<Stopped>,
}

/// Why a run ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The call did not return before the limit.
    Hung,
    /// The worker panicked.
    Panicked,
    /// The answers are longer than the memory for them.
    NoRoom,
    /// Fork failed, or a signal ended the worker.
    Lost,
}

/// Memory for the answers, used again from run to run.
#[derive(Debug)]
pub struct Workers {
    area: NonNull<Header>,
    len: usize,
}

/// The beginning of the shared memory; answers follow, each a length in four bytes and its bytes.
#[repr(C)]
struct Header {
    /// The turn that is being taken. Also the futex.
    turn: AtomicU32,
    /// Bytes used after the header.
    used: AtomicUsize,
    /// The workers' process ids.
    pids: [AtomicI32; WORKERS],
    /// The status that a worker gave up with; 0 while all is well.
    failed: AtomicI32,
}

/// What a worker is told when it is its turn.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Index of the turn in the plan.
    pub index: usize,
    /// The process ids of all workers that are forked by now.
    pub pids: [i32; WORKERS],
}

impl Workers {
    /// Memory for `room` bytes of answers in one run.
    pub fn new(room: usize) -> io::Result<Workers> {
        let len = room + size_of::<Header>();
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        let area = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
        if area == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let area = NonNull::new(area.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Workers { area, len })
    }

    /// Runs a plan to its end. `setup` runs once in worker 0, `perform` at each turn in its worker,
    /// which appends its answer to the bytes it is given.
    ///
    /// The caller may have other threads: a forked worker runs nothing but the two closures, which
    /// must take no lock that another thread could hold (allocating is fine).
    ///
    /// # Panics
    /// If the plan breaks the rules of its fields.
    pub fn run(
        &mut self,
        plan: Plan<'_>,
        setup: &dyn Fn(),
        perform: &dyn Fn(Turn, &mut Vec<u8>),
    ) -> io::Result<Outcome> {
        assert!((1..=WORKERS).contains(&plan.workers), "a run has 1 to {WORKERS} workers");
        let first = &plan.turns[..plan.before_fork.min(plan.turns.len())];
        assert!(
            first.iter().all(|worker| *worker == 0),
            "worker 0 takes the turns before the fork"
        );
        self.clear();
        let header = self.header();
        // SAFETY: the child runs `first_worker`, which never returns here; see `run` about locks.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => self.first_worker(plan, setup, perform),
            pid => {
                header.pids[0].store(pid, Ordering::SeqCst);
                let clean = wait_for(pid)?;
                Ok(self.outcome(plan, clean))
            }
        }
    }

    fn header(&self) -> &Header {
        // SAFETY: the mapping is at least as long as a header, aligned to a page, lives as long as
        // `self`, and all of the header is atomics, for which zeros are valid.
        unsafe { self.area.as_ref() }
    }

    fn room(&self) -> usize {
        self.len - size_of::<Header>()
    }

    /// The first byte after the header.
    fn answers(&self) -> *mut u8 {
        // SAFETY: one past the header is inside of the mapping or at its end.
        unsafe { self.area.as_ptr().add(1).cast() }
    }

    fn clear(&mut self) {
        let header = self.header();
        header.turn.store(NOBODY, Ordering::SeqCst);
        header.used.store(0, Ordering::SeqCst);
        header.failed.store(0, Ordering::SeqCst);
        for pid in &header.pids {
            pid.store(0, Ordering::SeqCst);
        }
    }

    fn outcome(&self, plan: Plan<'_>, clean: Ended) -> Outcome {
        let header = self.header();
        let used = header.used.load(Ordering::SeqCst);
        // SAFETY: `append` wrote this many bytes after the header, and all writers have ended.
        let bytes = unsafe { std::slice::from_raw_parts(self.answers(), used) };
        let mut answers = Vec::with_capacity(plan.turns.len());
        let mut rest = bytes;
        while let Some((len, after)) = rest.split_first_chunk::<4>() {
            let (answer, after) = after.split_at(u32::from_ne_bytes(*len) as usize);
            answers.push(answer.to_vec());
            rest = after;
        }
        let stopped = match (header.failed.load(Ordering::SeqCst), clean) {
            (PANICKED, _) => Some(Stopped::Panicked),
            (NO_ROOM, _) => Some(Stopped::NoRoom),
            (0, Ended::Well) if answers.len() == plan.turns.len() => None,
            (_, Ended::ByAlarm) => Some(Stopped::Hung),
            _ => Some(Stopped::Lost),
        };
        let pids = [0, 1, 2, 3].map(|worker: usize| header.pids[worker].load(Ordering::SeqCst));
        Outcome { answers, pids, stopped }
    }

    /// Worker 0's life: its first turns, the forks, its other turns, and waiting for the others.
    fn first_worker(
        &self,
        plan: Plan<'_>,
        setup: &dyn Fn(),
        perform: &dyn Fn(Turn, &mut Vec<u8>),
    ) -> ! {
        arrange(plan.limit_secs);
        // SAFETY: getpid has no preconditions.
        self.header().pids[0].store(unsafe { libc::getpid() }, Ordering::SeqCst);
        self.guarded(&|| {
            setup();
            for index in 0..plan.before_fork.min(plan.turns.len()) {
                self.take(index, perform);
            }
        });
        let mut children = Vec::with_capacity(WORKERS);
        for worker in 1..plan.workers {
            // SAFETY: the child runs `turns_of` and exits; this process has one thread.
            match unsafe { libc::fork() } {
                -1 => exit(1),
                0 => {
                    arrange_alarm(plan.limit_secs);
                    self.turns_of(worker, plan, perform);
                    exit(0);
                }
                pid => {
                    self.header().pids[worker].store(pid, Ordering::SeqCst);
                    children.push(pid);
                }
            }
        }
        // The others wait for the turn that comes now, and it is handed on only here: all pids are
        // known.
        self.header().turn.store(plan.before_fork as u32, Ordering::SeqCst);
        self.wake();
        self.turns_of(0, plan, perform);
        let mut all_well = true;
        for pid in children {
            all_well &= matches!(wait_for(pid), Ok(Ended::Well));
        }
        exit(if all_well { 0 } else { 1 })
    }

    fn turns_of(&self, worker: usize, plan: Plan<'_>, perform: &dyn Fn(Turn, &mut Vec<u8>)) {
        self.guarded(&|| {
            for (index, of) in plan.turns.iter().enumerate().skip(plan.before_fork) {
                if *of != worker {
                    continue;
                }
                self.await_turn(index as u32);
                self.take(index, perform);
                self.header().turn.store(index as u32 + 1, Ordering::SeqCst);
                if plan.turns.get(index + 1) != Some(&worker) {
                    self.wake();
                }
            }
            // A worker that ended would close what it has open.
            self.await_turn(plan.turns.len() as u32);
        });
    }

    /// Runs `body`; a panic ends this worker, and the others by their alarm at the latest.
    fn guarded(&self, body: &dyn Fn()) {
        if catch_unwind(AssertUnwindSafe(body)).is_err() {
            self.give_up(PANICKED);
        }
    }

    fn give_up(&self, status: i32) -> ! {
        let header = self.header();
        header.failed.store(status, Ordering::SeqCst);
        header.turn.store(OVER, Ordering::SeqCst);
        self.wake();
        exit(status)
    }

    fn take(&self, index: usize, perform: &dyn Fn(Turn, &mut Vec<u8>)) {
        let header = self.header();
        let pids = [0, 1, 2, 3].map(|worker: usize| header.pids[worker].load(Ordering::SeqCst));
        let mut answer = vec![0; 4];
        perform(Turn { index, pids }, &mut answer);
        let len = (answer.len() - 4) as u32;
        answer[..4].copy_from_slice(&len.to_ne_bytes());
        let used = header.used.load(Ordering::SeqCst);
        if used + answer.len() > self.room() {
            self.give_up(NO_ROOM);
        }
        // SAFETY: the bytes fit after those in use, and only the worker whose turn it is writes.
        unsafe {
            std::ptr::copy_nonoverlapping(answer.as_ptr(), self.answers().add(used), answer.len());
        }
        header.used.store(used + answer.len(), Ordering::SeqCst);
    }

    fn await_turn(&self, index: u32) {
        let turn = &self.header().turn;
        let mut spins = 0;
        loop {
            let now = turn.load(Ordering::SeqCst);
            if now == index {
                return;
            }
            if now == OVER {
                exit(1);
            }
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
                continue;
            }
            // SAFETY: the futex word is in memory that lives as long as the worker; no timeout is
            // given.
            unsafe {
                let none = std::ptr::null::<libc::timespec>();
                libc::syscall(libc::SYS_futex, turn.as_ptr(), libc::FUTEX_WAIT, now, none);
            }
        }
    }

    fn wake(&self) {
        // SAFETY: the futex word is in memory that lives as long as the worker.
        unsafe {
            let all = i32::MAX;
            libc::syscall(libc::SYS_futex, self.header().turn.as_ptr(), libc::FUTEX_WAKE, all);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length, and nothing refers to it any
        // more.
        unsafe { libc::munmap(self.area.as_ptr().cast(), self.len) };
    }
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Well,
    ByAlarm,
    Otherwise,
}

fn wait_for(pid: i32) -> io::Result<Ended> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is valid for the call.
        if unsafe { libc::waitpid(pid, &mut status, 0) } == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGALRM {
        return Ok(Ended::ByAlarm);
    }
    let well = libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
    Ok(if well { Ended::Well } else { Ended::Otherwise })
}

fn exit(status: i32) -> ! {
    // SAFETY: ends the process at once; nothing of the caller's runs in it.
    unsafe { libc::_exit(status) }
}

/// A table with /dev/null at 0 to 2 and nothing else; an alarm; no life after the caller's.
fn arrange(limit_secs: u32) {
    // SAFETY: plain system calls on numbers; this process owns its whole table since the fork.
    unsafe {
        libc::close_range(0, libc::c_uint::MAX, 0);
        for _ in 0..3 {
            libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        }
    }
    arrange_alarm(limit_secs);
}

fn arrange_alarm(limit_secs: u32) {
    // SAFETY: plain system calls; SIGALRM gets its default action, which ends the process.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        libc::alarm(limit_secs);
    }
}
