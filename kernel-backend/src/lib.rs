//! The calls of afunix on the real kernel.
//!
//! [`Kernel`] is the backend of production: a [`Call`] becomes the system call of the same name,
//! and a [`Host`](afunix::Host)'s threads and processes are the system's. It is zero-sized, so that
//! a socket of [`net`] is four bytes, as std's is. [`from_std`] and [`into_std`] change owners
//! between std and here.
//!
//! ```
//! use std::io::{Read, Write};
//! use afunix_kernel_backend::{Kernel, net::UnixStream};
//!
//! let (mut left, mut right) = UnixStream::pair(&Kernel)?;
//! left.write_all(b"hello")?;
//! drop(left);
//! let mut heard = String::new();
//! right.read_to_string(&mut heard)?;
//! assert_eq!(heard, "hello");
//! # Ok::<(), std::io::Error>(())
//! ```

#[cfg(feature = "diag")]
pub mod diag;
mod handlers;
mod host;
mod raw;
mod std_io;
pub mod worker;

use afunix::{Backend, Call, Errno};

pub use std_io::{borrow_std, from_std, into_std};

/// The kernel that this program runs on.
///
/// A process of this host is a fork(2) of the caller, which therefore must have one thread; the
/// child's descriptors are those of its `ProcessSpec`, and the numbers of all that the parent owned
/// are closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kernel;

impl Backend for Kernel {
    #[inline]
    fn call(&self, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        handlers::run(self);
        let returned = raw::call(call);
        handlers::run(self);
        returned
    }
}

/// The sockets of [`afunix::net`] on the kernel.
pub mod net {
    use crate::Kernel;

    /// An owned descriptor.
    pub type OwnedFd = afunix::net::OwnedFd<Kernel>;
    /// A byte stream.
    pub type UnixStream = afunix::net::UnixStream<Kernel>;
    /// Accepts streams.
    pub type UnixListener = afunix::net::UnixListener<Kernel>;
    /// Messages.
    pub type UnixDatagram = afunix::net::UnixDatagram<Kernel>;
    /// A connection of records.
    pub type UnixSeqpacket = afunix::net::UnixSeqpacket<Kernel>;
    /// Accepts connections of records.
    pub type UnixSeqpacketListener = afunix::net::UnixSeqpacketListener<Kernel>;
}
