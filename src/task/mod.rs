//! Async tasks over any host: an executor on the calling thread, sockets that wait by readiness,
//! timers, join, select and cancellation.
//!
//! The executor is made of calls (poll(2), and an event counter by which other threads wake it), so
//! that it runs unchanged on every host. In a simulation, which of the tasks that can go on is next
//! is a choice like any other; elsewhere it is the one that has waited longest.
//!
//! ```
//! use afunix::Host;
//! use afunix::net::UnixStream;
//! use afunix::task::{Async, Executor};
//!
//! /// A task sends, another receives.
//! fn talk<H: Host>(host: &H) -> std::io::Result<Vec<u8>> {
//!     let (near, far) = UnixStream::pair(host)?;
//!     let executor = Executor::new(host)?;
//!     let (near, far) = (Async::new(&executor, near)?, Async::new(&executor, far)?);
//!     let sending = executor.spawn(async move { near.write_all(b"hello").await });
//!     executor.block_on(async {
//!         let mut heard = vec![0; 5];
//!         far.read_exact(&mut heard).await?;
//!         sending.await.expect("nobody cancelled it")?;
//!         Ok(heard)
//!     })
//! }
//! ```
//!
//! A future that makes a blocking call stops all tasks of its executor for as long. A task that
//! panics takes the executor's thread with it.

mod combine;
mod executor;
mod socket;
mod wake;

pub use combine::{Either, Elapsed, join};
pub use executor::{Cancelled, Executor, Task};
pub use socket::Async;
