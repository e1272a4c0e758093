//! Worker processes with several threads, whose calls may wait.
//!
//! A *hand* is a thread of a worker process: hands of one process share its descriptors. The caller
//! gives a hand a *job*, waits until the crew is at *rest*, and takes what is done. At rest every
//! hand is free, or sleeps in a call that may wait: it was seen there twice, and no hand has run
//! between (`asleep`).
//!
//! All hands and the caller are kept to one processor, and if the system allows it the hands go
//! before all else there, in the order of their wake-ups. So a hand runs until it sleeps, what it
//! woke follows, and the caller goes on when nothing moves any more: rest is found at once, and
//! two hands rarely meet within a call.
//!
//! Hand 0 of process 0 is there first. It forks the other processes when it is told to; then every
//! process gets its other hands. The last hand of each never waits in a job: it is there to look.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::asleep::Watch;
use super::{Stopped, WORKERS, arrange, arrange_alarm, exit, wait_for};

/// Most hands of one process.
pub const HANDS: usize = 5;
/// Bytes for a job or an answer.
const ROOM: usize = 1 << 20;
const STACK: usize = 256 << 10;
/// Rounds of looking before the caller sleeps between them.
const EAGER: u32 = 500;
const LAZILY: Duration = Duration::from_micros(50);
/// A job that neither ends nor sleeps for so long never will.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a hand is doing.
mod state {
    /// Not started.
    pub(super) const ABSENT: u32 = 0;
    pub(super) const FREE: u32 = 1;
    /// A job lies there.
    pub(super) const GIVEN: u32 = 2;
    pub(super) const WORKING: u32 = 3;
    /// An answer lies there.
    pub(super) const DONE: u32 = 4;
    /// Forking, and starting the hands of its process.
    pub(super) const FORKING: u32 = 5;
    /// Waiting for the other processes to end, to end with them.
    pub(super) const ENDING: u32 = 6;
    /// Its job panicked, its answer is too long, or it could not fork.
    pub(super) const FAILED: u32 = 7;
}

/// Which hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HandId {
    /// Index of its process.
    pub process: usize,
    /// Index in the process.
    pub hand: usize,
}

#[repr(C)]
struct Shared {
    hands: [[Hand; HANDS]; WORKERS],
    pids: [AtomicI32; WORKERS],
    /// How many processes there are to be, and how many hands in each.
    sizes: [AtomicUsize; 2],
}

#[repr(C)]
struct Hand {
    /// Also the futex that the hand waits on.
    state: AtomicU32,
    tid: AtomicI32,
    /// Bytes of the job or of the answer.
    len: AtomicUsize,
}

/// Memory for crews, used again from one to the next.
#[derive(Debug)]
pub struct Crews {
    area: NonNull<Shared>,
    len: usize,
}

/// What hands do: `setup` once in process 0, `perform` for each job, which appends its answer.
#[derive(Clone, Copy)]
pub struct Duties<'a> {
    /// Runs first, in process 0.
    pub setup: &'a (dyn Fn() + Sync),
    /// Does a job. Must take no lock that another thread of the caller's process could hold.
    pub perform: &'a (dyn Fn(Job<'_>, &mut Vec<u8>) + Sync),
}

/// What a hand is told.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// What the caller gave.
    pub bytes: &'a [u8],
    /// The process ids of all that are forked by now; 0 of the others.
    pub pids: [i32; WORKERS],
}

/// A crew at work. Dropping it ends every process of it.
pub struct Crew<'a> {
    crews: &'a Crews,
    watch: Watch,
    /// The caller's processors, which it gets back.
    processors: libc::cpu_set_t,
    forked: bool,
}

impl Crews {
    /// Memory for one crew at a time.
    pub fn new() -> io::Result<Crews> {
        let len = size_of::<Shared>() + WORKERS * HANDS * ROOM;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        let area = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
        if area == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let area = NonNull::new(area.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Crews { area, len })
    }

    /// Starts a crew: hand 0 of process 0, after `setup`. A run is ended after `limit_secs`.
    pub fn start(&mut self, limit_secs: u32, duties: Duties<'_>) -> io::Result<Crew<'_>> {
        self.clear();
        let processors = stay_here()?;
        // SAFETY: the child runs `first_process`, which never returns here; see `Duties` about
        // locks.
        match unsafe { libc::fork() } {
            -1 => {
                let error = io::Error::last_os_error();
                go_back(&processors);
                Err(error)
            }
            0 => self.first_process(limit_secs, duties),
            pid => {
                self.shared().pids[0].store(pid, Ordering::SeqCst);
                let watch = Watch::default();
                Ok(Crew { crews: self, watch, processors, forked: false })
            }
        }
    }

    fn shared(&self) -> &Shared {
        // SAFETY: the mapping is at least this long, aligned to a page, lives as long as `self`,
        // and all of it is atomics, for which zeros are valid.
        unsafe { self.area.as_ref() }
    }

    fn hand(&self, id: HandId) -> &Hand {
        &self.shared().hands[id.process][id.hand]
    }

    /// Where the jobs and answers of a hand lie.
    fn place(&self, id: HandId) -> *mut u8 {
        let index = id.process * HANDS + id.hand;
        // SAFETY: the mapping has this much room for each hand after the shared head.
        unsafe { self.area.as_ptr().add(1).cast::<u8>().add(index * ROOM) }
    }

    fn clear(&mut self) {
        let shared = self.shared();
        for hand in shared.hands.iter().flatten() {
            hand.state.store(state::ABSENT, Ordering::SeqCst);
            hand.tid.store(0, Ordering::SeqCst);
        }
        for pid in &shared.pids {
            pid.store(0, Ordering::SeqCst);
        }
    }

    /// Copies bytes to a hand's place; `false` if they are too long.
    fn write(&self, id: HandId, bytes: &[u8]) -> bool {
        if bytes.len() > ROOM {
            return false;
        }
        // SAFETY: the bytes fit, and only one side writes in each state of the hand.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.place(id), bytes.len()) };
        self.hand(id).len.store(bytes.len(), Ordering::SeqCst);
        true
    }

    fn read(&self, id: HandId) -> Vec<u8> {
        let len = self.hand(id).len.load(Ordering::SeqCst);
        // SAFETY: `write` put so many bytes there, and nobody writes in this state of the hand.
        unsafe { std::slice::from_raw_parts(self.place(id), len) }.to_vec()
    }

    fn set(&self, id: HandId, state: u32) {
        let word = &self.hand(id).state;
        word.store(state, Ordering::SeqCst);
        // SAFETY: the futex word is in memory that lives as long as the process.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
    }

    fn pids(&self) -> [i32; WORKERS] {
        [0, 1, 2, 3].map(|process: usize| self.shared().pids[process].load(Ordering::SeqCst))
    }

    /// Process 0's life.
    fn first_process(&self, limit_secs: u32, duties: Duties<'_>) -> ! {
        arrange(limit_secs);
        go_first();
        catch_signals();
        // SAFETY: getpid has no preconditions.
        self.shared().pids[0].store(unsafe { libc::getpid() }, Ordering::SeqCst);
        let first = HandId { process: 0, hand: 0 };
        if catch_unwind(AssertUnwindSafe(duties.setup)).is_err() {
            self.set(first, state::FAILED);
            exit(1);
        }
        self.begin(first);
        self.work(first, duties);
        let [processes, _] = self.sizes();
        for process in 1..processes {
            // SAFETY: the child runs `process` and exits; this process has one thread by now.
            match unsafe { libc::fork() } {
                -1 => {
                    self.set(first, state::FAILED);
                    exit(1);
                }
                0 => {
                    arrange_alarm(limit_secs);
                    self.process(process, duties);
                }
                pid => self.shared().pids[process].store(pid, Ordering::SeqCst),
            }
        }
        self.process(0, duties)
    }

    fn sizes(&self) -> [usize; 2] {
        [0, 1].map(|index: usize| self.shared().sizes[index].load(Ordering::SeqCst))
    }

    /// A process's life with all its hands.
    fn process(&self, process: usize, duties: Duties<'_>) -> ! {
        let [_, hands] = self.sizes();
        std::thread::scope(|scope| {
            for hand in 1..hands {
                let id = HandId { process, hand };
                let builder = std::thread::Builder::new().stack_size(STACK);
                let body = Body { crews: self, id, duties };
                if builder.spawn_scoped(scope, move || body.run()).is_err() {
                    self.set(id, state::FAILED);
                }
            }
            Body { crews: self, id: HandId { process, hand: 0 }, duties }.run();
        });
        exit(0)
    }

    fn begin(&self, id: HandId) {
        // SAFETY: gettid has no preconditions.
        let tid = unsafe { libc::syscall(libc::SYS_gettid) };
        self.hand(id).tid.store(tid as i32, Ordering::SeqCst);
        self.set(id, state::FREE);
    }

    /// Does jobs until it is told something else.
    fn work(&self, id: HandId, duties: Duties<'_>) {
        let word = &self.hand(id).state;
        loop {
            match word.load(Ordering::SeqCst) {
                state::GIVEN => self.do_job(id, duties),
                state::FORKING => return,
                state::ENDING => {
                    // ECHILD: all have ended.
                    // SAFETY: no status is asked for.
                    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } != -1 {}
                    exit(0);
                }
                // SAFETY: the futex word is in memory that lives as long as the process; no
                // timeout is given.
                now => unsafe {
                    let none = std::ptr::null::<libc::timespec>();
                    libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, now, none);
                },
            }
        }
    }

    fn do_job(&self, id: HandId, duties: Duties<'_>) {
        let bytes = self.read(id);
        let mut answer = Vec::new();
        let word = &self.hand(id).state;
        word.store(state::WORKING, Ordering::SeqCst);
        let job = Job { bytes: &bytes, pids: self.pids() };
        let done = catch_unwind(AssertUnwindSafe(|| (duties.perform)(job, &mut answer)));
        let is_well = done.is_ok() && self.write(id, &answer);
        let state = if is_well { state::DONE } else { state::FAILED };
        word.store(state, Ordering::SeqCst);
    }
}

/// What a thread runs.
struct Body<'a> {
    crews: &'a Crews,
    id: HandId,
    duties: Duties<'a>,
}

// SAFETY: the memory behind the pointer in `Crews` is only reached through atomics, and through
// `read` and `write`, which the states of the hands keep apart.
unsafe impl Send for Body<'_> {}

impl Body<'_> {
    fn run(self) {
        self.crews.begin(self.id);
        self.crews.work(self.id, self.duties);
    }
}

impl Crew<'_> {
    /// Forks the other processes from process 0, and starts the hands of all. To be called once,
    /// at rest.
    ///
    /// # Panics
    /// If there are more than [`WORKERS`] or [`HANDS`], or none.
    pub fn fork(&mut self, processes: usize, hands: usize) -> Result<(), Stopped> {
        assert!((1..=WORKERS).contains(&processes), "a crew has 1 to {WORKERS} processes");
        assert!((1..=HANDS).contains(&hands), "a process has 1 to {HANDS} hands");
        let shared = self.crews.shared();
        for (size, value) in shared.sizes.iter().zip([processes, hands]) {
            size.store(value, Ordering::SeqCst);
        }
        let first = HandId { process: 0, hand: 0 };
        self.until(|crew| (crew.state(first) == state::FREE).then_some(()))?;
        self.forked = true;
        self.crews.set(first, state::FORKING);
        let all = (0..processes).flat_map(|process| (0..hands).map(move |hand| (process, hand)));
        let ids: Vec<HandId> = all.map(|(process, hand)| HandId { process, hand }).collect();
        self.until(|crew| {
            let states = ids.iter().map(|id| crew.state(*id));
            let is_free = states.filter(|state| *state == state::FREE).count() == ids.len();
            is_free.then_some(())
        })
    }

    fn state(&self, id: HandId) -> u32 {
        self.crews.hand(id).state.load(Ordering::SeqCst)
    }

    /// Gives a hand a job.
    ///
    /// # Panics
    /// If the hand is not free.
    pub fn give(&mut self, id: HandId, job: &[u8]) -> Result<(), Stopped> {
        if self.state(id) == state::ABSENT {
            self.until(|crew| (crew.state(id) != state::ABSENT).then_some(()))?;
        }
        assert_eq!(self.state(id), state::FREE, "only a free hand is given a job");
        if !self.crews.write(id, job) {
            return Err(Stopped::NoRoom);
        }
        self.crews.set(id, state::GIVEN);
        Ok(())
    }

    /// Sends a hand a signal that it catches, SIGUSR1 or SIGUSR2: a call in which it waits is
    /// interrupted, and with SIGUSR2 may be made again.
    pub fn interrupt(&mut self, id: HandId, signal: i32) -> io::Result<()> {
        let pid = self.crews.pids()[id.process];
        let tid = self.crews.hand(id).tid.load(Ordering::SeqCst);
        // SAFETY: takes numbers alone; both are of a process that this crew owns and has not
        // waited for.
        match unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    /// The process ids; 0 of those that are not forked.
    pub fn pids(&self) -> [i32; WORKERS] {
        self.crews.pids()
    }

    /// Waits until nothing moves any more. Tells which hands wait, and the names of the calls that
    /// they sleep in.
    pub fn rest(&mut self) -> Result<Vec<(HandId, &'static str)>, Stopped> {
        self.until(Crew::is_at_rest)
    }

    /// The answer of a hand whose job is done: it is free again.
    pub fn take(&mut self, id: HandId) -> Option<Vec<u8>> {
        if self.state(id) != state::DONE {
            return None;
        }
        let answer = self.crews.read(id);
        self.crews.hand(id).state.store(state::FREE, Ordering::SeqCst);
        Some(answer)
    }

    /// The answer of a hand that does not wait, as soon as its job is done.
    pub fn answer(&mut self, id: HandId) -> Result<Vec<u8>, Stopped> {
        self.until(|crew| crew.take(id))
    }

    fn is_at_rest(&mut self) -> Option<Vec<(HandId, &'static str)>> {
        let pids = self.crews.pids();
        let mut working = Vec::new();
        let all = pids.iter().enumerate();
        for (pid, id) in all
            .flat_map(|(process, pid)| (0..HANDS).map(move |hand| (*pid, HandId { process, hand })))
        {
            match self.state(id) {
                state::GIVEN | state::FORKING => return None,
                state::WORKING => {
                    let tid = self.crews.hand(id).tid.load(Ordering::SeqCst);
                    working.push((id, pid, tid));
                }
                _ => {}
            }
        }
        let tasks: Vec<(i32, i32)> = working.iter().map(|(_, pid, tid)| (*pid, *tid)).collect();
        let calls = self.watch.all_asleep(&tasks)?;
        let is_same = working.iter().all(|(id, ..)| self.state(*id) == state::WORKING);
        let ids = working.iter().map(|(id, ..)| *id);
        is_same.then(|| ids.zip(calls).collect())
    }

    /// Looks again and again until something is so.
    fn until<T>(&mut self, mut look: impl FnMut(&mut Self) -> Option<T>) -> Result<T, Stopped> {
        let mut rounds = 0;
        let mut begin = None;
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            if self.has_failed() {
                return Err(Stopped::Panicked);
            }
            rounds += 1;
            if rounds < EAGER {
                std::thread::yield_now();
                continue;
            }
            std::thread::sleep(LAZILY);
            if begin.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                return Err(Stopped::Hung);
            }
        }
    }

    fn has_failed(&self) -> bool {
        let mut hands = self.crews.shared().hands.iter().flatten();
        hands.any(|hand| hand.state.load(Ordering::SeqCst) == state::FAILED)
    }

    /// Ends all processes, and waits for their ends: the others are children of process 0.
    fn end(&mut self) {
        let [first, others @ ..] = self.crews.pids();
        // SAFETY: takes numbers alone; process 0 waits for none of its children before it is told.
        let kill = |pid: i32| unsafe { libc::kill(pid, libc::SIGKILL) };
        let [_, hands] = self.crews.sizes();
        let last = HandId { process: 0, hand: hands.saturating_sub(1) };
        let can_end = self.forked && self.state(last) == state::FREE;
        for pid in others.into_iter().filter(|pid| *pid > 0) {
            kill(pid);
        }
        match can_end {
            true => self.crews.set(last, state::ENDING),
            false => drop(kill(first)),
        }
        // If it was ended by its alarm it is gone all the same.
        let _ = wait_for(first);
    }
}

impl Drop for Crew<'_> {
    fn drop(&mut self) {
        self.end();
        go_back(&self.processors);
    }
}

impl Drop for Crews {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length, and nothing refers to it any
        // more.
        unsafe { libc::munmap(self.area.as_ptr().cast(), self.len) };
    }
}

/// Keeps the calling thread, and what it forks, to the processor it is on. Returns where it was
/// allowed to run.
fn stay_here() -> io::Result<libc::cpu_set_t> {
    // SAFETY: a set of processors is plain bits; the calls read and write one of its size.
    unsafe {
        let mut before: libc::cpu_set_t = std::mem::zeroed();
        let size = size_of::<libc::cpu_set_t>();
        if libc::sched_getaffinity(0, size, &mut before) == -1 {
            return Err(io::Error::last_os_error());
        }
        let here = libc::sched_getcpu();
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(usize::try_from(here).unwrap_or(0), &mut one);
        // Slower where that is forbidden, not wrong.
        libc::sched_setaffinity(0, size, &one);
        Ok(before)
    }
}

fn go_back(processors: &libc::cpu_set_t) {
    // SAFETY: reads a set of this size.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), processors) };
}

/// This process goes before all ordinary ones; where that is forbidden a wake-up at least does not
/// interrupt the one who wakes.
fn go_first() {
    // SAFETY: reads a priority.
    unsafe {
        let first = libc::sched_param { sched_priority: 1 };
        if libc::sched_setscheduler(0, libc::SCHED_FIFO, &first) == -1 {
            let none = libc::sched_param { sched_priority: 0 };
            libc::sched_setscheduler(0, libc::SCHED_BATCH, &none);
        }
    }
}

/// SIGUSR1 is caught, does nothing, and interrupts calls; SIGUSR2 the same with SA_RESTART.
fn catch_signals() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: the handler touches nothing; the structure is zeros but for it and a flag: no mask.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut());
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut());
    }
}
