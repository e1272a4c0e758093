//! Panics of simulated threads: caught, kept with their place, and not printed.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic;
use std::sync::Once;

use crate::coroutine;

/// How often a killed thread may catch its unwinding and make calls again.
const PATIENCE: u32 = 1000;

/// What a thread unwinds with when its process is killed. Not a panic: no hook sees it.
pub(crate) struct Killed;

thread_local! {
    /// Where the last panic in a simulated thread happened.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Times that the thread which unwinds now has been told to.
    static TOLD: Cell<u32> = const { Cell::new(0) };
}

/// Another thread is about to unwind.
pub(crate) fn begin_unwinding() {
    TOLD.set(0);
}

/// Whether the thread that unwinds caught it too often to be told once more.
pub(crate) fn is_stubborn() -> bool {
    TOLD.set(TOLD.get() + 1);
    TOLD.get() > PATIENCE
}

/// Keeps panics of simulated threads away from standard error; all others go where they went
/// before.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !coroutine::is_inside() {
                return before(info);
            }
            let place = info.location().map(|place| format!("{}:{}", place.file(), place.line()));
            PLACE.with_borrow_mut(|last| *last = place);
        }));
    });
}

/// What a caught panic said, and where; `None` if it was an unwinding of a killed thread.
pub(crate) fn message_of(payload: &(dyn Any + Send)) -> Option<String> {
    if payload.is::<Killed>() {
        return None;
    }
    let said = payload
        .downcast_ref::<&str>()
        .map(|said| (*said).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned());
    Some(match PLACE.with_borrow_mut(Option::take) {
        Some(place) => format!("{said}, at {place}"),
        None => said,
    })
}
