//! Signals. A handler does next to nothing: it notes, for the thread that it interrupted, that the
//! signal came. What the program wants to be done is done by `Kernel` before and after each of the
//! thread's calls, where anything may be done.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use afunix::signal::SIGNAL_MAX;
use afunix::{Errno, SaFlags, SigHandler, SigSet, Sigaction};

use super::result;

/// From here on each signal that is sent is handled; of others one is as many.
const REAL_TIME: i32 = 32;

/// The signals that interrupted a thread and are not handled yet.
struct Came {
    any: AtomicBool,
    /// By number.
    times: [AtomicU32; SIGNAL_MAX as usize + 1],
}

thread_local! {
    // Constant and never dropped, so that a handler finds it without any set-up.
    static CAME: Came = const {
        Came { any: AtomicBool::new(false), times: [const { AtomicU32::new(0) }; 65] }
    };
}

/// The one handler.
extern "C" fn note(signal: libc::c_int) {
    CAME.with(|came| {
        if let Some(times) = came.times.get(signal as usize) {
            times.fetch_add(1, Ordering::Relaxed);
            came.any.store(true, Ordering::Release);
        }
    });
}

/// Whether a signal came to this thread that is not handled yet.
#[inline]
pub(crate) fn any_came() -> bool {
    // The thread's end: nothing is handled any more.
    CAME.try_with(|came| came.any.load(Ordering::Acquire)).unwrap_or(false)
}

/// The signals that came since, the lowest first.
pub(crate) fn take() -> Vec<i32> {
    CAME.with(|came| {
        came.any.store(false, Ordering::Release);
        let mut taken = Vec::new();
        for (signal, times) in (0..).zip(&came.times) {
            let times = times.swap(0, Ordering::Relaxed);
            let times = if signal < REAL_TIME { times.min(1) } else { times };
            taken.extend((0..times).map(|_| signal));
        }
        taken
    })
}

pub(super) fn sigaction(
    signal: i32,
    new: Option<Sigaction>,
    old: &mut Sigaction,
) -> Result<usize, Errno> {
    let new = new.map(raw);
    let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: all zeros is a sigaction of the default.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: `new` is null or a whole sigaction, whose handler is async-signal-safe: it touches
    // atomics of its own thread alone. `before` is room for what is written.
    let returned = result(unsafe { libc::sigaction(signal, new, &mut before) })?;
    old.handler = match before.sa_sigaction {
        libc::SIG_DFL => SigHandler::Default,
        libc::SIG_IGN => SigHandler::Ignore,
        _ => SigHandler::Handle,
    };
    old.flags = SaFlags::from_bits_truncate(before.sa_flags as u32);
    Ok(returned)
}

/// While the handler runs everything else waits: it takes no time.
fn raw(action: Sigaction) -> libc::sigaction {
    // SAFETY: all zeros is a sigaction of the default.
    let mut raw: libc::sigaction = unsafe { std::mem::zeroed() };
    raw.sa_flags = action.flags.bits() as libc::c_int;
    raw.sa_sigaction = match action.handler {
        SigHandler::Default => libc::SIG_DFL,
        SigHandler::Ignore => libc::SIG_IGN,
        SigHandler::Handle => note as extern "C" fn(libc::c_int) as usize,
    };
    // SAFETY: writes the set, which is there.
    unsafe { libc::sigfillset(&mut raw.sa_mask) };
    raw
}

pub(super) fn sigprocmask(how: i32, set: Option<SigSet>, old: &mut SigSet) -> Result<usize, Errno> {
    let new = set.map(sigset);
    let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let mut before = sigset(SigSet::EMPTY);
    // SAFETY: `new` is null or a whole set; `before` is room for what is written.
    match unsafe { libc::pthread_sigmask(how, new, &mut before) } {
        0 => {}
        errno => return Err(Errno::from_raw(errno).unwrap_or(Errno::INVAL)),
    }
    *old = (1..=SIGNAL_MAX)
        // SAFETY: reads the set, which is there.
        .filter(|signal| unsafe { libc::sigismember(&before, *signal) } == 1)
        .fold(SigSet::EMPTY, SigSet::with);
    Ok(0)
}

pub(super) fn sigset(set: SigSet) -> libc::sigset_t {
    // SAFETY: all zeros is a set; it is emptied all the same, as the man page asks.
    let mut raw: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: writes the set, which is there.
    unsafe { libc::sigemptyset(&mut raw) };
    for signal in (1..=SIGNAL_MAX).filter(|signal| set.contains(*signal)) {
        // SAFETY: as above. A number that libc keeps for itself is refused, and left out.
        unsafe { libc::sigaddset(&mut raw, signal) };
    }
    raw
}

/// In a child that has just begun: no signal is blocked, none came, none is handled or ignored, but
/// SIGPIPE, as in every Rust program.
pub(super) fn reset() {
    let _ = sigprocmask(libc::SIG_SETMASK, Some(SigSet::EMPTY), &mut SigSet::default());
    for signal in 1..=SIGNAL_MAX {
        let mut now = Sigaction::default();
        let is_ours = |handler: usize| handler == note as extern "C" fn(libc::c_int) as usize;
        // SAFETY: all zeros is a sigaction of the default.
        let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: asks alone; `before` is room for what is written.
        let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &mut before) };
        let handler = before.sa_sigaction;
        if asked == 0 && (is_ours(handler) || handler == libc::SIG_IGN) {
            // Fails for none that could be handled or ignored.
            let _ = sigaction(signal, Some(Sigaction::default()), &mut now);
        }
    }
    let ignore = Sigaction { handler: SigHandler::Ignore, flags: SaFlags::empty() };
    let _ = sigaction(libc::SIGPIPE, Some(ignore), &mut Sigaction::default());
    take();
}
