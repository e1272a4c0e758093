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
//!
//! The nine pairs of [`reported`] are bugs of real projects, each cut down to some ten calls.
#![forbid(unsafe_code)]

use afunix::Application;

pub mod echo;
pub mod flush_deadlock;
pub mod hot_restart;
pub mod pipeline;
pub mod reported;
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
    each_reported(visit);
}

/// The names of all scenarios, in the same order.
pub fn names() -> Vec<&'static str> {
    struct Names(Vec<&'static str>);
    impl Visit for Names {
        fn visit<A: Application + 'static>(&mut self) {
            self.0.push(A::NAME);
        }
    }
    let mut names = Names(Vec::new());
    each(&mut names);
    names.0
}

fn each_reported(visit: &mut impl Visit) {
    use reported::*;
    visit.visit::<short_frame::Scenario<short_frame::Broken>>();
    visit.visit::<short_frame::Scenario<short_frame::Fixed>>();
    visit.visit::<interrupted_server::Scenario<interrupted_server::Broken>>();
    visit.visit::<interrupted_server::Scenario<interrupted_server::Fixed>>();
    visit.visit::<inherited_copy::Scenario<inherited_copy::Broken>>();
    visit.visit::<inherited_copy::Scenario<inherited_copy::Fixed>>();
    visit.visit::<start_race::Scenario<start_race::Broken>>();
    visit.visit::<start_race::Scenario<start_race::Fixed>>();
    visit.visit::<blocking_logger::Scenario<blocking_logger::Broken>>();
    visit.visit::<blocking_logger::Scenario<blocking_logger::Fixed>>();
    visit.visit::<wrong_credentials::Scenario<wrong_credentials::Broken>>();
    visit.visit::<wrong_credentials::Scenario<wrong_credentials::Fixed>>();
    visit.visit::<full_backlog::Scenario<full_backlog::Broken>>();
    visit.visit::<full_backlog::Scenario<full_backlog::Fixed>>();
    visit.visit::<lost_descriptor::Scenario<lost_descriptor::Broken>>();
    visit.visit::<lost_descriptor::Scenario<lost_descriptor::Fixed>>();
    visit.visit::<lost_backlog::Scenario<lost_backlog::Broken>>();
    visit.visit::<lost_backlog::Scenario<lost_backlog::Fixed>>();
}
