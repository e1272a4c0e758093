//! What all types of socket have in common: making, naming, options.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use crate::call::OptionOut;
use crate::net::{Fd, OwnedFd};
use crate::options::{
    FIONBIO, SIOCINQ, SIOCOUTQ, SO_ERROR, SO_PASSCRED, SO_PEERCRED, SO_RCVTIMEO, SO_SNDBUF,
    SO_SNDTIMEO, SOL_SOCKET,
};
use crate::{
    AF_UNIX, Address, Backend, Call, Errno, NameOut, PollFd, RawName, Readiness, SocketFlags,
    SocketType, Ucred,
};

const CLOEXEC: i32 = SocketFlags::CLOEXEC.bits();

/// socket(2).
pub(super) fn socket<B: Backend + Clone>(backend: &B, kind: SocketType) -> io::Result<OwnedFd<B>> {
    socket_with(backend, kind, SocketFlags::empty())
}

/// socket(2) with flags; close-on-exec is always set.
pub(super) fn socket_with<B: Backend + Clone>(
    backend: &B,
    kind: SocketType,
    flags: SocketFlags,
) -> io::Result<OwnedFd<B>> {
    let kind = kind.raw() | CLOEXEC | flags.bits();
    let mut call = Call::Socket { domain: AF_UNIX, kind, protocol: 0 };
    let number = backend.call(&mut call)?;
    Ok(OwnedFd::new(backend.clone(), number as i32))
}

/// socketpair(2).
pub(super) fn pair<B: Backend + Clone>(
    backend: &B,
    kind: SocketType,
) -> io::Result<(OwnedFd<B>, OwnedFd<B>)> {
    let mut fds = [-1; 2];
    let kind = kind.raw() | CLOEXEC;
    backend.call(&mut Call::Socketpair { domain: AF_UNIX, kind, protocol: 0, fds: &mut fds })?;
    Ok((OwnedFd::new(backend.clone(), fds[0]), OwnedFd::new(backend.clone(), fds[1])))
}

/// bind(2).
pub(super) fn bind<B: Backend>(fd: &OwnedFd<B>, address: &Address) -> io::Result<()> {
    let bytes = address.to_bytes();
    fd.backend().call(&mut Call::Bind { fd: fd.as_fd(), name: RawName::Bytes(&bytes) })?;
    Ok(())
}

/// connect(2); goes on after EINTR: an interrupted connect of AF_UNIX has changed nothing.
pub(super) fn connect<B: Backend>(fd: &OwnedFd<B>, address: &Address) -> io::Result<()> {
    let bytes = address.to_bytes();
    loop {
        let mut call = Call::Connect { fd: fd.as_fd(), name: RawName::Bytes(&bytes) };
        match fd.backend().call(&mut call) {
            Err(Errno::INTR) => continue,
            other => return Ok(other.map(drop)?),
        }
    }
}

/// listen(2).
pub(super) fn listen<B: Backend>(fd: &OwnedFd<B>, backlog: i32) -> io::Result<()> {
    fd.backend().call(&mut Call::Listen { fd: fd.as_fd(), backlog })?;
    Ok(())
}

/// accept4(2); goes on after EINTR.
pub(super) fn accept<B: Backend + Clone>(fd: &OwnedFd<B>) -> io::Result<(OwnedFd<B>, Address)> {
    let mut name = NameOut::new();
    let flags = SocketFlags::CLOEXEC;
    loop {
        match fd.backend().call(&mut Call::Accept4 { fd: fd.as_fd(), name: &mut name, flags }) {
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
            Ok(number) => {
                let accepted = OwnedFd::new(fd.backend().clone(), number as i32);
                return Ok((accepted, name.address()?));
            }
        }
    }
}

/// What every socket of this module can do. A socket is an [`OwnedFd`] with a type.
pub trait AsSocket<B: Backend + 'static> {
    /// The descriptor.
    fn owned_fd(&self) -> &OwnedFd<B>;

    /// The descriptor, borrowed.
    fn as_fd(&self) -> Fd<'_> {
        self.owned_fd().as_fd()
    }

    /// The name it is bound to (getsockname(2)).
    fn local_addr(&self) -> io::Result<Address> {
        let mut name = NameOut::new();
        let fd = self.owned_fd();
        fd.backend().call(&mut Call::Getsockname { fd: fd.as_fd(), name: &mut name })?;
        Ok(name.address()?)
    }

    /// The name that its peer is bound to (getpeername(2)). ENOTCONN without a peer.
    fn peer_addr(&self) -> io::Result<Address> {
        let mut name = NameOut::new();
        let fd = self.owned_fd();
        fd.backend().call(&mut Call::Getpeername { fd: fd.as_fd(), name: &mut name })?;
        Ok(name.address()?)
    }

    /// Who the peer is (SO_PEERCRED): pid 0 and ids of `u32::MAX` if there is none (OPT 2).
    fn peer_cred(&self) -> io::Result<Ucred> {
        let mut bytes = [0; 12];
        get(self.owned_fd(), SO_PEERCRED, &mut bytes)?;
        Ok(Ucred::from_bytes(&bytes).ok_or(Errno::INVAL)?)
    }

    /// Takes the pending error (SO_ERROR; SHUT 7).
    fn take_error(&self) -> io::Result<Option<Errno>> {
        Ok(Errno::from_raw(get_int(self.owned_fd(), SO_ERROR)?))
    }

    /// Sets O_NONBLOCK, which all copies of the file share.
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        let fd = self.owned_fd();
        let value = &mut i32::from(nonblocking);
        fd.backend().call(&mut Call::Ioctl { fd: fd.as_fd(), request: FIONBIO, value })?;
        Ok(())
    }

    /// Asks for the sender's credentials with each message (SO_PASSCRED).
    fn set_pass_cred(&self, on: bool) -> io::Result<()> {
        set(self.owned_fd(), SO_PASSCRED, &i32::from(on).to_ne_bytes())
    }

    /// Bytes of send memory (SO_SNDBUF): twice what was set (MEM 9).
    fn send_buffer_size(&self) -> io::Result<usize> {
        Ok(get_int(self.owned_fd(), SO_SNDBUF)? as usize)
    }

    /// Sets the bytes of send memory (SO_SNDBUF); the kernel doubles the value (MEM 9).
    fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        let bytes = i32::try_from(bytes).map_err(|_| Errno::INVAL)?;
        set(self.owned_fd(), SO_SNDBUF, &bytes.to_ne_bytes())
    }

    /// How long a receive waits before EAGAIN (SO_RCVTIMEO); `None` for ever. EINVAL for zero.
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        set(self.owned_fd(), SO_RCVTIMEO, &timeval(timeout)?)
    }

    /// How long a send waits before EAGAIN (SO_SNDTIMEO); `None` for ever. EINVAL for zero.
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        set(self.owned_fd(), SO_SNDTIMEO, &timeval(timeout)?)
    }

    /// Bytes that can be read (SIOCINQ; OPT 6).
    fn queued_bytes(&self) -> io::Result<usize> {
        ioctl(self.owned_fd(), SIOCINQ)
    }

    /// Memory charged for what was sent and not yet read, in bytes (SIOCOUTQ; MEM 1).
    fn unread_memory(&self) -> io::Result<usize> {
        ioctl(self.owned_fd(), SIOCOUTQ)
    }

    /// Shuts down one half or both (shutdown(2); SHUT).
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => 0,
            Shutdown::Write => 1,
            Shutdown::Both => 2,
        };
        let fd = self.owned_fd();
        fd.backend().call(&mut Call::Shutdown { fd: fd.as_fd(), how })?;
        Ok(())
    }

    /// Waits until one of `events` is there (ERR and HUP always count), and tells what is; empty if
    /// `timeout` is over first (poll(2)). `None` waits without end.
    fn poll(&self, events: Readiness, timeout: Option<Duration>) -> io::Result<Readiness> {
        let fd = self.owned_fd();
        let mut fds = [PollFd::new(fd.as_fd(), events)];
        fd.backend().call(&mut Call::Poll { fds: &mut fds, timeout, mask: None })?;
        Ok(fds[0].revents)
    }
}

fn timeval(timeout: Option<Duration>) -> Result<[u8; 16], Errno> {
    let timeout = timeout.map(|time| if time.is_zero() { Err(Errno::INVAL) } else { Ok(time) });
    let timeout = timeout.transpose()?.unwrap_or_default();
    // A timeout under a microsecond must not become zero, which means none.
    let micros = timeout.subsec_nanos().div_ceil(1000);
    let (seconds, micros) =
        if micros == 1_000_000 { (timeout.as_secs() + 1, 0) } else { (timeout.as_secs(), micros) };
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&seconds.to_ne_bytes());
    bytes[8..].copy_from_slice(&i64::from(micros).to_ne_bytes());
    Ok(bytes)
}

fn set<B: Backend>(fd: &OwnedFd<B>, option: i32, value: &[u8]) -> io::Result<()> {
    let level = SOL_SOCKET;
    fd.backend().call(&mut Call::Setsockopt { fd: fd.as_fd(), level, option, value })?;
    Ok(())
}

fn get<B: Backend>(fd: &OwnedFd<B>, option: i32, buffer: &mut [u8]) -> io::Result<()> {
    let mut value = OptionOut::new(buffer);
    let level = SOL_SOCKET;
    fd.backend().call(&mut Call::Getsockopt {
        fd: fd.as_fd(),
        level,
        option,
        value: &mut value,
    })?;
    Ok(())
}

fn get_int<B: Backend>(fd: &OwnedFd<B>, option: i32) -> io::Result<i32> {
    let mut bytes = [0; 4];
    get(fd, option, &mut bytes)?;
    Ok(i32::from_ne_bytes(bytes))
}

fn ioctl<B: Backend>(fd: &OwnedFd<B>, request: u32) -> io::Result<usize> {
    let mut value = 0;
    fd.backend().call(&mut Call::Ioctl { fd: fd.as_fd(), request, value: &mut value })?;
    Ok(value as usize)
}

/// The typed wrappers around an [`OwnedFd`]: construction from and into it, and what they share.
macro_rules! typed_socket {
    ($name:ident, $what:literal) => {
        impl<B: Backend + 'static> AsSocket<B> for $name<B> {
            fn owned_fd(&self) -> &OwnedFd<B> {
                &self.fd
            }
        }

        impl<B: Backend + Clone> $name<B> {
            /// A second descriptor for the same socket.
            pub fn try_clone(&self) -> std::io::Result<Self> {
                Ok(Self { fd: self.fd.try_clone()? })
            }
        }

        impl<B: Backend> From<$name<B>> for OwnedFd<B> {
            fn from(socket: $name<B>) -> OwnedFd<B> {
                socket.fd
            }
        }

        impl<B: Backend> From<OwnedFd<B>> for $name<B> {
            #[doc = concat!("Takes the descriptor for ", $what, "; calls fail if it is none.")]
            fn from(fd: OwnedFd<B>) -> Self {
                Self { fd }
            }
        }

        impl<B: Backend> std::fmt::Debug for $name<B> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.fd.as_fd().number())
            }
        }
    };
}
pub(super) use typed_socket;
