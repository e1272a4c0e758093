//! Scenarios: one application per module, each generic over its [`Host`](afunix::Host), so that it
//! runs unchanged on the real kernel, on threads over the model, and in the simulator.
//!
//! A *scenario* is an [`Application`]: its `main` is the first process and returns 0 if all went as
//! it should. One about a bug has *variants*: the plain name is the broken one, `-fixed` the
//! repaired one; what the two differ in is the module's trait `Variant` and nothing else.
//!
//! | scenario | shows | goes wrong by |
//! |---|---|---|
//! | `echo` | the programs of Beej's guide, over TCP too | |
//! | `pipeline` | stages joined by socketpairs, inherited by number | |
//! | `flush-deadlock` | writing before reading | full buffers, always |
//! | `stale-socket` | a path that outlives its daemon | a crash |
//! | `stale-socket-unlink` | the usual repair of it | a race of two daemons |
//! | `hot-restart` | passing a listener and its connections on | a crash |
//! | `scan` | passing open files to a process without rights | |
#![forbid(unsafe_code)]

use afunix::Application;

pub mod echo;
pub mod flush_deadlock;
pub mod hot_restart;
pub mod pipeline;
pub mod scan;
pub mod stale_socket;
mod support;

/// Something to be done with every scenario, each of which is a type.
pub trait Visit {
    /// Called once per scenario.
    fn visit<A: Application + 'static>(&mut self);
}

/// Visits every scenario, always in the same order.
pub fn each(visit: &mut impl Visit) {
    visit.visit::<echo::Echo>();
    visit.visit::<pipeline::Pipeline>();
    visit.visit::<flush_deadlock::Scenario<flush_deadlock::Broken>>();
    visit.visit::<flush_deadlock::Scenario<flush_deadlock::Fixed>>();
    visit.visit::<stale_socket::Scenario<stale_socket::Broken>>();
    visit.visit::<stale_socket::Scenario<stale_socket::Unlink>>();
    visit.visit::<stale_socket::Scenario<stale_socket::Fixed>>();
    visit.visit::<hot_restart::Scenario<hot_restart::Broken>>();
    visit.visit::<hot_restart::Scenario<hot_restart::Fixed>>();
    visit.visit::<scan::Scan>();
}
