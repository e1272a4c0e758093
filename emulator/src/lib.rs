//! The model in real time: OS threads over the model.
//!
//! [`Threads`] is a [`Host`](afunix::Host) whose calls are answered by the model and whose threads
//! are std's: a blocked call blocks its thread. Its processes are groups of threads. Time is the
//! clock, and who comes first is the system's scheduler's choice: for a choice that can be repeated
//! there is the simulator.
//!
//! ```
//! use std::io::{Read, Write};
//! use afunix::{Host, net::UnixStream};
//! use afunix_emulator::Threads;
//!
//! let host = Threads::new();
//! let (mut left, mut right) = UnixStream::pair(&host)?;
//! let reader = host.spawn("reader", move || {
//!     let mut heard = String::new();
//!     right.read_to_string(&mut heard).map(|_| heard)
//! });
//! left.write_all(b"hello")?;
//! drop(left);
//! assert_eq!(reader.join().unwrap()?, "hello");
//! # Ok::<(), std::io::Error>(())
//! ```

#[cfg(not(loom))]
mod here;
#[cfg(not(loom))]
mod own;
pub mod room;
mod sync;
#[cfg(not(loom))]
mod threads;

#[cfg(not(loom))]
pub use threads::{Report, Threads};
