//! What the process does on signals: run in the thread that a signal interrupted, before and after
//! its calls.

use std::sync::{Arc, Mutex, PoisonError};

use afunix::signal::SIGNAL_MAX;
use afunix::{Backend, Call, Errno, SaFlags, SigHandler, Sigaction};

use crate::{Kernel, raw};

type Handler = Arc<dyn Fn(&Kernel) + Send + Sync>;

/// By signal.
static HANDLERS: Mutex<[Option<Handler>; SIGNAL_MAX as usize + 1]> =
    Mutex::new([const { None }; SIGNAL_MAX as usize + 1]);

/// Runs the handlers of what came to this thread.
#[inline]
pub(crate) fn run(kernel: &Kernel) {
    if raw::any_came() {
        run_all(kernel);
    }
}

#[cold]
fn run_all(kernel: &Kernel) {
    for signal in raw::take() {
        let handler = place(signal, |place| place.clone());
        if let Some(handler) = handler.flatten() {
            handler(kernel);
        }
    }
}

/// Sets the handler of a signal.
pub(crate) fn set(
    kernel: &Kernel,
    signal: i32,
    flags: SaFlags,
    handler: Handler,
) -> Result<(), Errno> {
    let old = place(signal, |place| place.replace(handler));
    let new = Some(Sigaction { handler: SigHandler::Handle, flags });
    let call = &mut Call::Sigaction { signal, new, old: &mut Sigaction::default() };
    let result = kernel.call(call).map(drop);
    if let (Err(_), Some(old)) = (result, old) {
        place(signal, |place| *place = old);
    }
    result
}

/// Forgets all handlers: in a child.
pub(crate) fn clear() {
    *HANDLERS.lock().unwrap_or_else(PoisonError::into_inner) =
        [const { None }; SIGNAL_MAX as usize + 1];
}

/// Works with the place of a signal's handler; `None` if there is no such signal.
fn place<T>(signal: i32, work: impl FnOnce(&mut Option<Handler>) -> T) -> Option<T> {
    let mut handlers = HANDLERS.lock().unwrap_or_else(PoisonError::into_inner);
    handlers.get_mut(usize::try_from(signal).ok()?).map(work)
}
