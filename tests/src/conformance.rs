//! Conformance: one body per behaviour, named after the rule it shows, generic over its host.
//!
//! A *case* is a function on a fresh machine with an empty working directory, umask 022 and
//! descriptors 0 to 2. It makes raw calls and asserts what the running kernel answers; the model
//! has to give the same answers. The rules are those of `tests/rules.txt`; several cases may show
//! one rule.

mod alerts;
mod connect;
mod control;
mod corrected;
mod create;
mod edges;
mod epolls;
mod eventfds;
mod files;
mod filters;
mod identity;
mod listen;
mod listing;
mod many;
mod memory;
mod mounts;
mod names;
mod namespaces;
mod options;
mod paths;
mod pidfds;
mod pipes;
mod receive;
mod records;
mod selects;
mod send;
mod shut;
mod signals;
mod stored;
mod urgent;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use afunix::{Credentials, Exit, Host, ProcessSpec, Thread};

/// Every rule of the specification, one `FAMILY number` per line.
pub const RULES: &str = include_str!("../rules.txt");

/// One behaviour.
pub struct Case<H> {
    /// The rule that it shows: `CONNECT 3`.
    pub rule: &'static str,
    /// What it shows, as an identifier.
    pub name: &'static str,
    /// Shows it, or panics.
    pub body: fn(&H),
    /// Whether the kernel performs it only for root (it runs a process as another user).
    pub root: bool,
}

impl<H> Case<H> {
    /// `CONNECT 3 lookup`: what the case goes by.
    pub fn title(&self) -> String {
        format!("{} {}", self.rule, self.name)
    }
}

/// All cases, by family.
pub fn cases<H: Host>() -> Vec<Case<H>> {
    let mut all = Vec::new();
    all.extend(create::cases());
    all.extend(names::cases());
    all.extend(listen::cases());
    all.extend(connect::cases());
    all.extend(control::cases());
    all.extend(memory::cases());
    all.extend(send::cases());
    all.extend(records::cases());
    all.extend(receive::cases());
    all.extend(urgent::cases());
    all.extend(shut::cases());
    all.extend(pipes::cases());
    all.extend(eventfds::cases());
    all.extend(epolls::cases());
    all.extend(edges::cases());
    all.extend(selects::cases());
    all.extend(options::cases());
    all.extend(many::cases());
    all.extend(stored::cases());
    all.extend(pidfds::cases());
    all.extend(files::cases());
    all.extend(listing::cases());
    all.extend(corrected::cases());
    all.extend(filters::cases());
    all.extend(signals::cases());
    all.extend(alerts::cases());
    all.extend(identity::cases());
    all.extend(mounts::cases());
    all.extend(paths::cases());
    all.extend(namespaces::cases());
    all
}

/// A table of cases: `table!["CONNECT 3" lookup, root "CONNECT 13" permissions]`.
macro_rules! table {
    (@root root) => { true };
    (@root) => { false };
    ($($($root:ident)? $rule:literal $name:ident,)*) => {
        vec![$(crate::conformance::Case {
            rule: $rule,
            name: stringify!($name),
            body: $name,
            root: table!(@root $($root)?),
        },)*]
    };
}
use table;

/// Long enough for another thread to reach its call and wait in it.
const SETTLE: Duration = Duration::from_millis(40);

/// A thread that is expected to wait in a call.
struct Blocked<T> {
    thread: Thread<T>,
    done: Arc<AtomicBool>,
}

impl<T> Blocked<T> {
    /// Whether its call still waits, after time enough to come back.
    fn waits<H: Host>(&self, host: &H) -> bool {
        host.sleep(SETTLE);
        !self.done.load(Ordering::SeqCst)
    }

    /// What it came back with.
    fn join(self) -> T {
        self.thread.join().expect("the waiting thread")
    }
}

/// Starts `body` in a thread, and lets it go as far as it gets.
fn start<H: Host, T: Send + 'static>(
    host: &H,
    body: impl FnOnce(&H) -> T + Send + 'static,
) -> Blocked<T> {
    let done = Arc::new(AtomicBool::new(false));
    let (of_thread, flag) = (host.clone(), done.clone());
    let thread = host.spawn("blocked", move || {
        let outcome = body(&of_thread);
        flag.store(true, Ordering::SeqCst);
        outcome
    });
    host.sleep(SETTLE);
    Blocked { thread, done }
}

/// An id that no real user of a test machine has.
const STRANGER: u32 = 54321;

/// Runs `body` to its end in a child process of user [`STRANGER`], which gets `fds` as 3, 4 and so
/// on.
fn as_stranger<H: Host>(host: &H, fds: &[i32], body: impl Fn(&H) + Send + Sync + 'static) {
    in_process(host, Some(Credentials::user(STRANGER)), fds, body);
}

/// Runs `body` to its end in a child process, which gets `fds` as 3, 4 and so on.
fn in_process<H: Host>(
    host: &H,
    user: Option<Credentials>,
    fds: &[i32],
    body: impl Fn(&H) + Send + Sync + 'static,
) {
    let mut spec = ProcessSpec::new("child");
    spec.user = user;
    for (number, fd) in (3..).zip(fds) {
        spec = spec.fd(crate::raw::owned(host.clone(), *fd), number);
    }
    let child = host.process(spec, move |host| {
        body(host);
        0
    });
    let end = child.expect("a child process").wait();
    assert_eq!(end, Ok(Exit::Status(0)), "the child's end (its panic stands above)");
}
