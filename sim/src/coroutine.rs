//! Stackful coroutines on pooled stacks: how a simulated thread waits.
//!
//! A *coroutine* is resumed by the run loop and suspends itself, from however deep in its own
//! calls, by [`suspend`]. A suspended one can be told to unwind. A fresh stack costs tens of
//! microseconds, so each OS thread keeps those that were used.
#![expect(unsafe_code, reason = "finds the running coroutine from deep inside its own calls")]

use std::cell::{Cell, RefCell};
use std::ptr;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine as Raw, CoroutineResult, Yielder};

use crate::os_thread::{self, OsThread};
use crate::world::Body;

/// Bytes of a stack. Pages that are never touched cost nothing; below lies a guard page.
const STACK_SIZE: usize = 1 << 20;

/// Most stacks that an OS thread keeps.
const POOL_MAX: usize = 1024;

/// What a suspended coroutine is told when it is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Go on.
    Run,
    /// Unwind: the simulated process was killed, or the run is over.
    Unwind,
}

thread_local! {
    /// The running coroutine's way back to the run loop; null while the run loop runs.
    static CURRENT: Cell<*const Yielder<Command, ()>> = const { Cell::new(ptr::null()) };
    static POOL: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
}

/// A simulated thread that has begun and not ended.
pub(crate) enum Coroutine {
    /// On a stack of its own.
    Stack(Raw<Command, (), (), DefaultStack>),
    /// On an OS thread of its own.
    Thread(OsThread),
}

impl Coroutine {
    /// One that will run `body` when it is first resumed, on an OS thread of its own if
    /// `os_thread`. `body` must not unwind out of itself.
    ///
    /// # Panics
    /// If the system has no memory for another stack, or refuses another thread.
    pub(crate) fn new(body: Body, os_thread: bool) -> Self {
        if os_thread {
            return Coroutine::Thread(OsThread::new(body));
        }
        let stack = POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
            DefaultStack::new(STACK_SIZE).expect("memory for the stack of a simulated thread")
        });
        let raw = Raw::with_stack(stack, move |yielder: &Yielder<Command, ()>, _: Command| {
            CURRENT.set(yielder);
            body();
        });
        Coroutine::Stack(raw)
    }

    /// Runs it until it suspends itself or ends; hands it back if it has not ended.
    #[inline]
    pub(crate) fn resume(self, command: Command) -> Option<Coroutine> {
        let mut raw = match self {
            Coroutine::Stack(raw) => raw,
            Coroutine::Thread(thread) => return thread.resume(command).map(Coroutine::Thread),
        };
        let result = raw.resume(command);
        CURRENT.set(ptr::null());
        match result {
            CoroutineResult::Yield(()) => Some(Coroutine::Stack(raw)),
            CoroutineResult::Return(()) => {
                let stack = raw.into_stack();
                POOL.with_borrow_mut(|pool| {
                    if pool.len() < POOL_MAX {
                        pool.push(stack);
                    }
                });
                None
            }
        }
    }

    /// Gives up a coroutine that does not unwind: its stack, and what lies on it, is leaked.
    pub(crate) fn leak(self) {
        std::mem::forget(self);
    }
}

/// Whether a simulated thread runs on this OS thread.
pub(crate) fn is_inside() -> bool {
    !CURRENT.get().is_null() || os_thread::is_inside()
}

/// Suspends the running thread until the run loop resumes it.
///
/// # Panics
/// If no simulated thread runs.
pub(crate) fn suspend() -> Command {
    let current = CURRENT.get();
    if current.is_null() {
        return os_thread::suspend();
    }
    // SAFETY: `CURRENT` is set by the coroutine that runs, at its start and after each suspension,
    // and made null when control is back in the run loop. So it points to the yielder of the
    // coroutine on whose stack we are, which lives until its body ends.
    let command = unsafe { (*current).suspend(()) };
    CURRENT.set(current);
    command
}
