//! [`Connection`] and [`Acceptor`]: the same application over Unix sockets and over TCP.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};

use crate::Host;
use crate::net::{AsSocket, UnixListener, UnixStream};

/// A connected byte stream.
pub trait Connection: io::Read + io::Write + Send + Sized + 'static {
    /// A second handle on the same connection.
    fn try_clone(&self) -> io::Result<Self>;
    /// Shuts down one half or both.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
}

/// Something that accepts connections.
pub trait Acceptor: Send + 'static {
    /// What it accepts.
    type Connection: Connection;
    /// Takes the oldest connection, waiting for one.
    fn accept(&self) -> io::Result<Self::Connection>;
}

impl<H: Host> Connection for UnixStream<H> {
    fn try_clone(&self) -> io::Result<Self> {
        UnixStream::try_clone(self)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        AsSocket::shutdown(self, how)
    }
}

impl<H: Host> Acceptor for UnixListener<H> {
    type Connection = UnixStream<H>;

    fn accept(&self) -> io::Result<UnixStream<H>> {
        UnixListener::accept(self).map(|(stream, _)| stream)
    }
}

impl Connection for TcpStream {
    fn try_clone(&self) -> io::Result<Self> {
        TcpStream::try_clone(self)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        TcpStream::shutdown(self, how)
    }
}

impl Acceptor for TcpListener {
    type Connection = TcpStream;

    fn accept(&self) -> io::Result<TcpStream> {
        TcpListener::accept(self).map(|(stream, _)| stream)
    }
}
