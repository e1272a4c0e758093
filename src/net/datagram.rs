//! Datagram sockets: messages, on Linux reliable and in order (SOCK_DGRAM).

use std::io;

use crate::net::socket::{self, typed_socket};
use crate::net::{AsSocket, Message, OwnedFd, Received, message};
use crate::{Address, Backend, RecvFlags, SocketType};

/// A datagram socket, as `std::os::unix::net::UnixDatagram`.
///
/// Sending waits for memory, and while the receiver's queue is full (DSEND 4).
pub struct UnixDatagram<B: Backend> {
    fd: OwnedFd<B>,
}

typed_socket!(UnixDatagram, "a datagram socket");

impl<B: Backend + Clone> UnixDatagram<B> {
    /// A socket without a name.
    pub fn unbound(backend: &B) -> io::Result<Self> {
        Ok(UnixDatagram { fd: socket::socket(backend, SocketType::Datagram)? })
    }

    /// A socket bound to `address`. EADDRINUSE if the path exists or the abstract name is taken.
    pub fn bind(backend: &B, address: &Address) -> io::Result<Self> {
        let fd = socket::socket(backend, SocketType::Datagram)?;
        socket::bind(&fd, address)?;
        Ok(UnixDatagram { fd })
    }

    /// Two unnamed sockets, connected to each other (socketpair(2)).
    pub fn pair(backend: &B) -> io::Result<(Self, Self)> {
        let (left, right) = socket::pair(backend, SocketType::Datagram)?;
        Ok((UnixDatagram { fd: left }, UnixDatagram { fd: right }))
    }

    /// Receives a message with up to `max_fds` descriptors; flags TRUNC if it was longer than
    /// `buffer`.
    pub fn recv_message(&self, buffer: &mut [u8], max_fds: usize) -> io::Result<Received<B>> {
        message::receive(&self.fd, buffer, max_fds, RecvFlags::empty())
    }
}

impl<B: Backend> UnixDatagram<B> {
    /// Gives a socket its name, once: EINVAL the second time, EADDRINUSE as for
    /// [`bind`](UnixDatagram::bind). For a socket that was to be set up, or to ask, before.
    pub fn bind_to(&self, address: &Address) -> io::Result<()> {
        socket::bind(&self.fd, address)
    }

    /// Sets the peer (DGCONN).
    pub fn connect(&self, address: &Address) -> io::Result<()> {
        socket::connect(&self.fd, address)
    }

    /// Sends to the peer. ENOTCONN without one, ECONNREFUSED if it is gone.
    pub fn send(&self, data: &[u8]) -> io::Result<usize> {
        message::send(&self.fd, &Message::new(data))
    }

    /// Sends to whoever is bound to `address`.
    pub fn send_to(&self, data: &[u8], address: &Address) -> io::Result<usize> {
        message::send(&self.fd, &Message { to: Some(address), ..Message::new(data) })
    }

    /// Sends a message with descriptors, credentials, or a destination.
    pub fn send_message(&self, message: &Message<'_>) -> io::Result<usize> {
        message::send(&self.fd, message)
    }

    /// Receives a message; what does not fit into `buffer` is lost.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(message::recv(&self.fd, buffer, RecvFlags::empty())?)
    }
}
