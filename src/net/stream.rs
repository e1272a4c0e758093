//! Stream sockets: reliable byte streams (SOCK_STREAM).

use std::io;

use crate::net::socket::{self, typed_socket};
use crate::net::{AsSocket, Message, OwnedFd, Received, message};
use crate::{Address, Backend, Call, RecvFlags, SegmentMut, SocketFlags, SocketType};

/// A connected stream socket, as `std::os::unix::net::UnixStream`.
///
/// Reading waits until there is a byte, the end of file (`Ok(0)`) or an error; writing waits for
/// memory. Writing to a peer that is gone is EPIPE, without SIGPIPE.
pub struct UnixStream<B: Backend> {
    fd: OwnedFd<B>,
}

typed_socket!(UnixStream, "a stream socket");

impl<B: Backend + Clone> UnixStream<B> {
    /// Connects to a listener (CONNECT). Waits while its backlog is full; does not wait for accept.
    /// ENOENT: no such path; ECONNREFUSED: nobody listens there; EACCES: no write permission.
    pub fn connect(backend: &B, address: &Address) -> io::Result<Self> {
        let fd = socket::socket(backend, SocketType::Stream)?;
        socket::connect(&fd, address)?;
        Ok(UnixStream { fd })
    }

    /// Connects without waiting; the socket is non-blocking from then on. EAGAIN: the backlog is
    /// full. That is neither a refusal nor the EINPROGRESS of TCP: nothing goes on behind its back,
    /// and no poll tells when there is room; it has to be tried again (CONNECT 5).
    pub fn connect_nonblocking(backend: &B, address: &Address) -> io::Result<Self> {
        let fd = socket::socket_with(backend, SocketType::Stream, SocketFlags::NONBLOCK)?;
        socket::connect(&fd, address)?;
        Ok(UnixStream { fd })
    }

    /// Two unnamed sockets, connected to each other (socketpair(2)).
    pub fn pair(backend: &B) -> io::Result<(Self, Self)> {
        let (left, right) = socket::pair(backend, SocketType::Stream)?;
        Ok((UnixStream { fd: left }, UnixStream { fd: right }))
    }

    /// Receives bytes and up to `max_fds` descriptors. A read stops after the bytes that
    /// descriptors came with (SRECV 6).
    pub fn recv_message(&self, buffer: &mut [u8], max_fds: usize) -> io::Result<Received<B>> {
        message::receive(&self.fd, buffer, max_fds, RecvFlags::empty())
    }
}

impl<B: Backend> UnixStream<B> {
    /// Sends bytes with descriptors or credentials; may take only part of the bytes, the
    /// descriptors then went with the first of them.
    pub fn send_message(&self, message: &Message<'_>) -> io::Result<usize> {
        message::send(&self.fd, message)
    }

    /// Receives without taking the bytes out.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(message::recv(&self.fd, buffer, RecvFlags::PEEK)?)
    }
}

impl<B: Backend> io::Read for UnixStream<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl<B: Backend> io::Read for &UnixStream<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let data = SegmentMut::Bytes(buffer);
        Ok(self.fd.backend().call(&mut Call::Read { fd: self.fd.as_fd(), data, progress: 0 })?)
    }
}

impl<B: Backend> io::Write for UnixStream<B> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        (&*self).write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<B: Backend> io::Write for &UnixStream<B> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        message::send(&self.fd, &Message::new(data))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
