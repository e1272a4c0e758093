//! Bugs as they were reported to real projects, each cut down to the few calls that matter: a
//! broken application and a repaired one.
//!
//! | scenario | the class of bug | learned from |
//! |---|---|---|
//! | `short-frame` | one read is taken for one message | cuviper/ssh-pageant#12 |
//! | `interrupted-server` | EINTR is taken for a broken connection | oven-sh/bun#12357 |
//! | `inherited-copy` | a stray copy keeps the end of file away | hegeldev/hegel-cpp#35 |
//! | `start-race` | two daemons that start remove each other's socket | tiian/flom#6 |
//! | `blocking-logger` | a logger blocks the service that it asks | systemd/systemd#1505 |
//! | `wrong-credentials` | SO_PEERCRED is taken for who writes | SerenityOS/serenity#1186 |
//! | `full-backlog` | EAGAIN of connect is taken for a refusal | chriskohlhoff/asio#1014 |
//! | `lost-descriptor` | MSG_CTRUNC is not looked at | freeunitorg/freeunit#264 |
//! | `lost-backlog` | a successor binds anew and loses who waits | envoyproxy/envoy#2697 |
//!
//! Nothing is cleaned up after a failure: what is left of a run shall be the bug alone.

pub mod blocking_logger;
pub mod full_backlog;
pub mod inherited_copy;
pub mod interrupted_server;
pub mod lost_backlog;
pub mod lost_descriptor;
pub mod short_frame;
pub mod start_race;
pub mod wrong_credentials;
