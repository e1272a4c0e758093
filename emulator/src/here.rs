//! Which thread of which machine an OS thread is.
//!
//! An OS thread may be a thread of several machines (a test that makes one after the other). One
//! that no machine started is taken in at its first call, and leaves when it ends.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use afunix::{Pid, Tid};

use crate::threads::World;

/// What an OS thread is in one machine.
struct Here {
    world: Weak<World>,
    who: Who,
    /// Taken in: nobody but the OS thread's own end tells the machine that it has ended.
    taken_in: bool,
}

/// A thread in a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) pid: Pid,
    pub(crate) tid: Tid,
    /// The thread's body is over: what still runs are destructors, and their calls do nothing.
    pub(crate) over: bool,
}

thread_local! {
    static HERE: RefCell<Vec<Here>> = const { RefCell::new(Vec::new()) };
}

impl Drop for Here {
    fn drop(&mut self) {
        if self.taken_in
            && let Some(world) = self.world.upgrade()
        {
            world.end_thread(self.who.tid);
        }
    }
}

/// Who the calling thread is in `world`. `Err` while the OS thread ends and its locals are gone.
pub(crate) fn get(world: &Arc<World>) -> Result<Option<Who>, std::thread::AccessError> {
    let world = Arc::as_ptr(world);
    HERE.try_with(|here| {
        let here = here.borrow();
        let entry = here.iter().find(|entry| std::ptr::eq(entry.world.as_ptr(), world));
        entry.map(|entry| entry.who)
    })
}

/// From now on the calling thread is `who` in `world`.
pub(crate) fn set(world: &Arc<World>, who: Who, taken_in: bool) {
    let world = Arc::downgrade(world);
    let entry = Here { world: world.clone(), who, taken_in };
    // Dropped when nothing is borrowed any more: an entry's end may lock the machine.
    let gone: Vec<Here> = HERE.with(|here| {
        let mut here = here.borrow_mut();
        let (kept, gone) = here
            .drain(..)
            .partition(|entry| entry.world.strong_count() > 0 && !entry.world.ptr_eq(&world));
        *here = kept;
        here.push(entry);
        gone
    });
    drop(gone);
}
