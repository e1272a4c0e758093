//! The other way to be a thread of a run: an OS thread of its own, and a baton handed round.
//!
//! For code that keeps something in thread-locals across calls. Whoever has the baton has the world
//! with it: the run loop hands both to one thread, and waits until it gets them back. So there are
//! no two that run at a time, and a run is the same as with coroutines; only slower.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use crate::coroutine::Command;
use crate::panics;
use crate::world::{self, Body, World};

/// Bytes of a stack. Pages that are never touched cost nothing.
const STACK_SIZE: usize = 1 << 20;

/// What goes to a thread.
type Go = (Command, Option<Box<World>>);

/// What comes back: whether its body is over.
type Back = (bool, Option<Box<World>>);

/// A thread that has not ended, as the run loop knows it.
pub(crate) struct OsThread {
    go: SyncSender<Go>,
    back: Receiver<Back>,
    handle: JoinHandle<()>,
}

/// The run loop, as the thread knows it.
struct Baton {
    go: Receiver<Go>,
    back: SyncSender<Back>,
}

thread_local! {
    /// Of a thread of a run.
    static BATON: RefCell<Option<Baton>> = const { RefCell::new(None) };
}

/// Whether this is a thread of a run.
pub(crate) fn is_inside() -> bool {
    BATON.try_with(|baton| baton.borrow().is_some()).unwrap_or(false)
}

impl OsThread {
    /// A thread that will run `body` when it is first resumed.
    ///
    /// # Panics
    /// If the system refuses another thread.
    pub(crate) fn new(body: Body) -> OsThread {
        let (go, going) = sync_channel::<Go>(1);
        let (coming, back) = sync_channel(1);
        let run = move || {
            let Ok((_, world)) = going.recv() else { return };
            world::install(world);
            let baton = Baton { go: going, back: coming };
            BATON.with_borrow_mut(|place| *place = Some(baton));
            body();
            let baton = BATON.with_borrow_mut(Option::take);
            if let Some(baton) = baton {
                // Whoever waits for it is there: the run loop does nothing else.
                let _ = baton.back.send((true, world::install(None)));
            }
        };
        let builder = thread::Builder::new().name("simulated".to_owned()).stack_size(STACK_SIZE);
        let handle = builder.spawn(run).unwrap_or_else(|error| {
            panic!("the system refuses an OS thread for a simulated one: {error}")
        });
        OsThread { go, back, handle }
    }

    /// Lets it run until it suspends itself or ends; hands it back if it has not ended.
    pub(crate) fn resume(self, command: Command) -> Option<OsThread> {
        let sent = self.go.send((command, world::install(None)));
        assert!(sent.is_ok(), "a thread that can go on waits for the baton");
        let (is_over, world) = self.back.recv().expect("a thread hands the baton back");
        world::install(world);
        if !is_over {
            return Some(self);
        }
        // With what its thread-locals' destructors do.
        let _ = self.handle.join();
        None
    }
}

/// Hands the baton back, and waits for it.
///
/// # Panics
/// If this is no thread of a run.
pub(crate) fn suspend() -> Command {
    let baton = BATON.with_borrow_mut(Option::take);
    let baton = baton.expect("only a simulated thread can wait in a simulation");
    let sent = baton.back.send((false, world::install(None)));
    let Some((command, world)) = sent.ok().and_then(|()| baton.go.recv().ok()) else {
        // The run was given up, and this thread with it.
        loop {
            thread::park();
        }
    };
    world::install(world);
    BATON.with_borrow_mut(|place| *place = Some(baton));
    if command == Command::Unwind {
        panics::begin_unwinding();
    }
    command
}
