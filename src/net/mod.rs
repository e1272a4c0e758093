//! Sockets shaped as std's, over any backend; and what std lacks: seqpacket, abstract names,
//! passing descriptors, credentials.
//!
//! Every constructor takes the backend first: [`UnixStream::connect`]`(host, &address)`. Errors are
//! [`std::io::Error`] with the kernel's error number, as std's are; close-on-exec is always set;
//! accept and connect go on after EINTR as std's do, reads and writes report it.

mod connection;
mod datagram;
mod fd;
mod listener;
mod message;
mod seqpacket;
mod socket;
mod stream;

pub use connection::{Acceptor, Connection};
pub use datagram::UnixDatagram;
pub use fd::{Fd, OwnedFd};
pub use listener::{Incoming, UnixListener};
pub use message::{Message, Received};
pub use seqpacket::{UnixSeqpacket, UnixSeqpacketListener};
pub use socket::AsSocket;
pub use stream::UnixStream;
