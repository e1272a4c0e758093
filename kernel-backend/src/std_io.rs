//! From and into std's descriptors, and through them std's sockets, files and the like.
#![expect(unsafe_code, reason = "a descriptor changes its owner")]

use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd};

use afunix::net::OwnedFd;

use crate::Kernel;

/// Takes over a descriptor of std: an `OwnedFd`, a `UnixStream`, a `File`.
///
/// ```
/// use afunix_kernel_backend::{from_std, into_std, net::UnixStream};
///
/// let (left, right) = std::os::unix::net::UnixStream::pair()?;
/// let left: UnixStream = from_std(left);
/// let left: std::os::unix::net::UnixStream = into_std(left);
/// # drop((left, right));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn from_std<T: From<OwnedFd<Kernel>>>(fd: impl Into<std::os::fd::OwnedFd>) -> T {
    let number = fd.into().into_raw_fd();
    // SAFETY: it was owned, and its owner has just given it up.
    T::from(unsafe { OwnedFd::from_raw(Kernel, number) })
}

/// Hands a descriptor over to std; the other way round than [`from_std`].
pub fn into_std<T: From<std::os::fd::OwnedFd>>(fd: impl Into<OwnedFd<Kernel>>) -> T {
    let number = fd.into().into_raw();
    // SAFETY: it was owned, and its owner has just given it up.
    T::from(unsafe { std::os::fd::OwnedFd::from_raw_fd(number) })
}

/// Lends a descriptor to std.
pub fn borrow_std(fd: &OwnedFd<Kernel>) -> BorrowedFd<'_> {
    // SAFETY: it stays open for as long as its owner is borrowed.
    unsafe { BorrowedFd::borrow_raw(fd.as_fd().number()) }
}
