//! Unix domain sockets as a contract: what an application and every backend share.
//!
//! A [`Call`] is a system call as data, a [`Backend`] performs it, a [`Host`] can also start
//! threads and processes. The sockets in [`net`] and the files in [`fs`] are shaped as std's and
//! work over any backend. There is no state and no I/O in this crate.
//!
//! Write an application once, generic over its host, and choose the host in `main` or in the test:
//!
//! ```
//! use std::io::{Read, Write};
//! use afunix::{Host, net::UnixStream};
//!
//! fn greet<H: Host>(host: &H) -> std::io::Result<String> {
//!     let (mut left, mut right) = UnixStream::pair(host)?;
//!     left.write_all(b"hello")?;
//!     drop(left);
//!     let mut heard = String::new();
//!     right.read_to_string(&mut heard)?;
//!     Ok(heard)
//! }
//! ```

mod address;
mod backend;
pub mod call;
pub mod control;
mod credentials;
mod epoll;
mod errno;
pub mod fault;
mod flags;
pub mod fs;
mod host;
pub mod net;
pub mod options;
mod readiness;
pub mod signal;
pub mod snapshot;
pub mod sync;
pub mod task;
pub mod trace;

pub use address::{ADDRESS_MAX, AF_UNIX, AF_UNSPEC, Address, NameOut, NameWant, PATH_MAX, RawName};
pub use backend::Backend;
pub use call::{Call, Segment, SegmentMut};
pub use credentials::{Capabilities, Credentials, Exit, Limits, Pid, Signal, Tid, Ucred};
pub use epoll::{EpollEvent, EpollFlags, EventsOut};
pub use errno::Errno;
pub use flags::{
    OpenFlags, RecvFlags, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM, SendFlags,
    SocketFlags, SocketType,
};
pub use host::{Application, Child, Host, Outcome, Panicked, ProcessSpec, Thread};
pub use readiness::{PollFd, Readiness};
pub use signal::{SaFlags, SigHandler, SigSet, Sigaction};

/// The program shown in README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
