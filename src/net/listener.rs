//! Stream listeners.

use std::io;

use crate::net::socket::{self, typed_socket};
use crate::net::{AsSocket, OwnedFd, UnixStream};
use crate::{Address, Backend, SocketType};

/// A listening stream socket, as `std::os::unix::net::UnixListener`.
///
/// Dropping it does not remove the path that it is bound to (BIND 6).
pub struct UnixListener<B: Backend> {
    fd: OwnedFd<B>,
}

typed_socket!(UnixListener, "a listening stream socket");

impl<B: Backend + Clone> UnixListener<B> {
    /// Binds and listens, with the backlog that std uses (128).
    /// EADDRINUSE: the path exists, whatever it is, or the abstract name is taken.
    pub fn bind(backend: &B, address: &Address) -> io::Result<Self> {
        Self::bind_with_backlog(backend, address, 128)
    }

    /// As `bind`; `backlog + 1` connections can wait to be accepted (LISTEN 2).
    pub fn bind_with_backlog(backend: &B, address: &Address, backlog: i32) -> io::Result<Self> {
        let fd = socket::socket(backend, SocketType::Stream)?;
        socket::bind(&fd, address)?;
        socket::listen(&fd, backlog)?;
        Ok(UnixListener { fd })
    }

    /// Takes the oldest connection, waiting for one; with the client's name, mostly unnamed.
    pub fn accept(&self) -> io::Result<(UnixStream<B>, Address)> {
        let (fd, address) = socket::accept(&self.fd)?;
        Ok((UnixStream::from(fd), address))
    }

    /// The connections, one `accept` each. Never ends.
    pub fn incoming(&self) -> Incoming<'_, B> {
        Incoming { listener: self }
    }
}

/// See [`UnixListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a, B: Backend> {
    listener: &'a UnixListener<B>,
}

impl<B: Backend + Clone> Iterator for Incoming<'_, B> {
    type Item = io::Result<UnixStream<B>>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}
