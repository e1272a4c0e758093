//! [`Async`]: a socket whose calls wait as tasks do.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use super::Executor;
use crate::net::{AsSocket, UnixDatagram, UnixListener, UnixSeqpacket, UnixStream};
use crate::{Address, Host, Readiness};

/// Between two attempts to connect to a listener whose backlog is full (CONNECT 5): poll(2) does
/// not tell when it has room.
const RETRY: Duration = Duration::from_millis(1);

/// A non-blocking socket of an executor's thread. Its operations may be dropped at any point: what
/// they have not reported they have not done, but for [`read_exact`](Async::read_exact) and
/// [`write_all`](Async::write_all).
#[derive(Debug)]
pub struct Async<S, H: Host> {
    socket: S,
    executor: Executor<H>,
}

impl<S: AsSocket<H>, H: Host> Async<S, H> {
    /// Sets O_NONBLOCK, which all copies of the file share.
    pub fn new(executor: &Executor<H>, socket: S) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Async { socket, executor: executor.clone() })
    }

    /// The socket.
    pub fn get_ref(&self) -> &S {
        &self.socket
    }

    /// The socket; it stays non-blocking.
    pub fn into_inner(self) -> S {
        self.socket
    }

    /// Does what reads as soon as it does not have to wait (EAGAIN).
    pub async fn read_with<T>(&self, read: impl FnMut(&S) -> io::Result<T>) -> io::Result<T> {
        self.attempt(Readiness::IN, read).await
    }

    /// Does what writes as soon as it does not have to wait (EAGAIN).
    pub async fn write_with<T>(&self, write: impl FnMut(&S) -> io::Result<T>) -> io::Result<T> {
        self.attempt(Readiness::OUT, write).await
    }

    async fn attempt<T>(
        &self,
        events: Readiness,
        mut attempt: impl FnMut(&S) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match attempt(&self.socket) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.executor.ready(self.socket.as_fd(), events).await;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl<H: Host> Async<UnixStream<H>, H> {
    /// Connects to a listener; waits while its backlog is full.
    pub async fn connect(executor: &Executor<H>, address: &Address) -> io::Result<Self> {
        loop {
            match UnixStream::connect_nonblocking(executor.host(), address) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => executor.sleep(RETRY).await,
                connected => {
                    return connected.map(|socket| Async { socket, executor: executor.clone() });
                }
            }
        }
    }

    /// Reads some bytes; 0 at the end of file.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_with(|mut stream| stream.read(buffer)).await
    }

    /// Reads as many bytes as `buffer` has room for.
    pub async fn read_exact(&self, buffer: &mut [u8]) -> io::Result<()> {
        let mut rest = buffer;
        while !rest.is_empty() {
            match self.read(rest).await? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                bytes => rest = &mut rest[bytes..],
            }
        }
        Ok(())
    }

    /// Writes some bytes.
    pub async fn write(&self, data: &[u8]) -> io::Result<usize> {
        self.write_with(|mut stream| stream.write(data)).await
    }

    /// Writes all bytes.
    pub async fn write_all(&self, data: &[u8]) -> io::Result<()> {
        let mut rest = data;
        while !rest.is_empty() {
            rest = &rest[self.write(rest).await?..];
        }
        Ok(())
    }
}

impl<H: Host> Async<UnixListener<H>, H> {
    /// Takes the oldest connection, which is made non-blocking, and the client's name.
    pub async fn accept(&self) -> io::Result<(Async<UnixStream<H>, H>, Address)> {
        let (stream, name) = self.read_with(UnixListener::accept).await?;
        Ok((Async::new(&self.executor, stream)?, name))
    }
}

impl<H: Host> Async<UnixDatagram<H>, H> {
    /// Receives a datagram; what does not fit into `buffer` is lost.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_with(|socket| socket.recv(buffer)).await
    }

    /// Sends a datagram to the peer.
    pub async fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.write_with(|socket| socket.send(data)).await
    }
}

impl<H: Host> Async<UnixSeqpacket<H>, H> {
    /// Receives a record; 0 at the end of file.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_with(|socket| socket.recv(buffer)).await
    }

    /// Sends a record.
    pub async fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.write_with(|socket| socket.send(data)).await
    }
}
