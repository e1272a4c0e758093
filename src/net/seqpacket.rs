//! Seqpacket sockets: connections of records (SOCK_SEQPACKET). std has none.

use std::io;

use crate::net::socket::{self, typed_socket};
use crate::net::{AsSocket, Message, OwnedFd, Received, message};
use crate::{Address, Backend, RecvFlags, SocketType};

/// A connected seqpacket socket. A record of length zero reads as the end of file does (QSEND 2).
pub struct UnixSeqpacket<B: Backend> {
    fd: OwnedFd<B>,
}

/// A listening seqpacket socket. Dropping it does not remove its path.
pub struct UnixSeqpacketListener<B: Backend> {
    fd: OwnedFd<B>,
}

typed_socket!(UnixSeqpacket, "a seqpacket socket");
typed_socket!(UnixSeqpacketListener, "a listening seqpacket socket");

impl<B: Backend + Clone> UnixSeqpacket<B> {
    /// Connects to a listener; as [`super::UnixStream::connect`].
    pub fn connect(backend: &B, address: &Address) -> io::Result<Self> {
        let fd = socket::socket(backend, SocketType::Seqpacket)?;
        socket::connect(&fd, address)?;
        Ok(UnixSeqpacket { fd })
    }

    /// Two unnamed sockets, connected to each other (socketpair(2)).
    pub fn pair(backend: &B) -> io::Result<(Self, Self)> {
        let (left, right) = socket::pair(backend, SocketType::Seqpacket)?;
        Ok((UnixSeqpacket { fd: left }, UnixSeqpacket { fd: right }))
    }

    /// Receives a record with up to `max_fds` descriptors; flags TRUNC if it was longer than
    /// `buffer`.
    pub fn recv_message(&self, buffer: &mut [u8], max_fds: usize) -> io::Result<Received<B>> {
        message::receive(&self.fd, buffer, max_fds, RecvFlags::empty())
    }
}

impl<B: Backend> UnixSeqpacket<B> {
    /// Sends one record, whole. EMSGSIZE if it is longer than the send buffer less 32 bytes (MEM
    /// 4).
    pub fn send(&self, data: &[u8]) -> io::Result<usize> {
        message::send(&self.fd, &Message::new(data))
    }

    /// Sends one record with descriptors or credentials.
    pub fn send_message(&self, message: &Message<'_>) -> io::Result<usize> {
        message::send(&self.fd, message)
    }

    /// Receives one record; what does not fit into `buffer` is lost.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(message::recv(&self.fd, buffer, RecvFlags::empty())?)
    }
}

impl<B: Backend + Clone> UnixSeqpacketListener<B> {
    /// Binds and listens; as [`super::UnixListener::bind`].
    pub fn bind(backend: &B, address: &Address) -> io::Result<Self> {
        let fd = socket::socket(backend, SocketType::Seqpacket)?;
        socket::bind(&fd, address)?;
        socket::listen(&fd, 128)?;
        Ok(UnixSeqpacketListener { fd })
    }

    /// Takes the oldest connection, waiting for one.
    pub fn accept(&self) -> io::Result<(UnixSeqpacket<B>, Address)> {
        let (fd, address) = socket::accept(&self.fd)?;
        Ok((UnixSeqpacket::from(fd), address))
    }
}
