//! Descriptors, owned and borrowed.
//!
//! They are safe as std's are: safe code can neither name a descriptor that it does not own nor
//! keep a number past its close. The two functions that make one of a number are therefore unsafe
//! to call.

use std::fmt;
use std::marker::PhantomData;

use crate::call::{Call, Fcntl};
use crate::{Backend, Errno};

/// A borrowed descriptor: a number in the caller's table that stays open for `'fd`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Fd<'fd> {
    number: i32,
    lives: PhantomData<&'fd ()>,
}

impl<'fd> Fd<'fd> {
    /// Standard input.
    pub const STDIN: Fd<'static> = Fd::new(0);
    /// Standard output.
    pub const STDOUT: Fd<'static> = Fd::new(1);
    /// Standard error.
    pub const STDERR: Fd<'static> = Fd::new(2);
    /// A number that is never open: every call on it fails with EBADF.
    pub const INVALID: Fd<'static> = Fd::new(-1);

    pub(crate) const fn new(number: i32) -> Self {
        Fd { number, lives: PhantomData }
    }

    /// The descriptor of a number.
    ///
    /// # Safety
    /// On the kernel: `number` must stay open for `'fd`, or be no open descriptor for all of it,
    /// and must not be one that other code owns and relies on (I/O safety, as for
    /// `std::os::fd::BorrowedFd`).
    #[expect(unsafe_code, reason = "declares what the caller must promise; performs nothing")]
    pub const unsafe fn borrow_raw(number: i32) -> Self {
        Fd::new(number)
    }

    /// The number.
    pub const fn number(self) -> i32 {
        self.number
    }
}

impl fmt::Debug for Fd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}

/// An owned descriptor: closed when dropped. On the kernel it is four bytes.
pub struct OwnedFd<B: Backend> {
    backend: B,
    number: i32,
}

impl<B: Backend> OwnedFd<B> {
    pub(crate) fn new(backend: B, number: i32) -> Self {
        debug_assert!(number >= 0, "a descriptor is not negative");
        OwnedFd { backend, number }
    }

    /// Takes over a number.
    ///
    /// # Safety
    /// On the kernel: `number` must be open and owned by nothing else.
    #[expect(unsafe_code, reason = "declares what the caller must promise; performs nothing")]
    pub unsafe fn from_raw(backend: B, number: i32) -> Self {
        OwnedFd::new(backend, number)
    }

    /// Gives up ownership and returns the number: nobody closes it from here on.
    pub fn into_raw(self) -> i32 {
        std::mem::ManuallyDrop::new(self).number
    }

    /// The descriptor, borrowed.
    pub fn as_fd(&self) -> Fd<'_> {
        Fd::new(self.number)
    }

    /// The backend that it belongs to.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Closes it and tells what close(2) said. The descriptor is gone in either case.
    pub fn close(self) -> Result<(), Errno> {
        let this = std::mem::ManuallyDrop::new(self);
        this.backend.call(&mut Call::Close { fd: Fd::new(this.number) }).map(drop)
    }

    /// Sets or clears O_NONBLOCK, which every copy of the file shares.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<(), Errno> {
        let old =
            self.backend.call(&mut Call::Fcntl { fd: self.as_fd(), command: Fcntl::Getfl })?;
        let bit = crate::OpenFlags::NONBLOCK.bits();
        let new = if nonblocking { old as i32 | bit } else { old as i32 & !bit };
        self.backend.call(&mut Call::Fcntl { fd: self.as_fd(), command: Fcntl::Setfl(new) })?;
        Ok(())
    }
}

impl<B: Backend + Clone> OwnedFd<B> {
    /// A second number for the same file, close-on-exec (F_DUPFD_CLOEXEC). EMFILE when the table is
    /// full.
    pub fn try_clone(&self) -> Result<Self, Errno> {
        let mut call = Call::Fcntl { fd: self.as_fd(), command: Fcntl::DupfdCloexec(3) };
        let number = self.backend.call(&mut call)?;
        Ok(OwnedFd::new(self.backend.clone(), number as i32))
    }
}

impl<B: Backend> Drop for OwnedFd<B> {
    fn drop(&mut self) {
        // close(2) frees the number whatever it returns; there is nobody to tell.
        let _ = self.backend.call(&mut Call::Close { fd: Fd::new(self.number) });
    }
}

impl<B: Backend> fmt::Debug for OwnedFd<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnedFd({})", self.number)
    }
}
