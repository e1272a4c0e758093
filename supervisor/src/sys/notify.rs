//! The listener of a seccomp filter: calls of the program come in, answers go out
//! (seccomp_unotify(2)).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use afunix::Errno;

use super::{check, last};

/// Whoever is answered runs at once, on the processor of the supervisor: a round trip is six times
/// faster.
const SYNC_WAKE_UP: libc::c_ulong = 1;

/// A call of the program that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// Names it among all that are under way.
    pub(crate) id: u64,
    /// The calling thread.
    pub(crate) tid: i32,
    /// AUDIT_ARCH of the call.
    pub(crate) arch: u32,
    /// Its number.
    pub(crate) number: i64,
    /// Its arguments.
    pub(crate) args: [u64; 6],
}

/// Where the program's calls come from.
#[derive(Debug)]
pub(crate) struct Listener(OwnedFd);

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Listener {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        // Older kernels do not have it: then it is slower.
        // SAFETY: takes a number and a flag word.
        unsafe {
            libc::ioctl(fd.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP);
        }
        Listener(fd)
    }

    /// The next call; `None` if its thread was killed meanwhile. Waits if there is none.
    pub(crate) fn receive(&self) -> Result<Option<Request>, Errno> {
        // SAFETY: plain numbers, for which zero is a value; the kernel asks for zeroes.
        let mut notif: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        let fd = self.0.as_raw_fd();
        // SAFETY: `notif` is room for what the kernel writes.
        match check(unsafe { libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_RECV, &mut notif) }) {
            Ok(_) => Ok(Some(Request {
                id: notif.id,
                tid: notif.pid as i32,
                arch: notif.data.arch,
                number: i64::from(notif.data.nr),
                args: notif.data.args,
            })),
            Err(Errno::NOENT | Errno::INTR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Ends the call. Nothing happens if its thread was killed.
    pub(crate) fn answer(&self, id: u64, result: Result<usize, Errno>) {
        let (val, error) = match result {
            Ok(value) => (value as i64, 0),
            Err(errno) => (0, -errno.raw()),
        };
        self.send(libc::seccomp_notif_resp { id, val, error, flags: 0 });
    }

    /// Lets the kernel make the call as if nobody had asked.
    pub(crate) fn go_on(&self, id: u64) {
        let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
        self.send(libc::seccomp_notif_resp { id, val: 0, error: 0, flags });
    }

    fn send(&self, response: libc::seccomp_notif_resp) {
        // SAFETY: the kernel reads the structure.
        unsafe {
            libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &response);
        }
    }

    /// A new number for a file in the calling process; EMFILE.
    pub(crate) fn give(&self, id: u64, file: BorrowedFd<'_>, cloexec: bool) -> Result<i32, Errno> {
        self.add(id, file, cloexec, (0, 0))
    }

    /// As [`Listener::give`], and ends the call with the number.
    pub(crate) fn give_and_answer(
        &self,
        id: u64,
        file: BorrowedFd<'_>,
        cloexec: bool,
    ) -> Result<i32, Errno> {
        self.add(id, file, cloexec, (libc::SECCOMP_ADDFD_FLAG_SEND as u32, 0))
    }

    /// Makes a number of the calling process stand for a file.
    pub(crate) fn replace(
        &self,
        id: u64,
        file: BorrowedFd<'_>,
        number: i32,
        cloexec: bool,
    ) -> Result<(), Errno> {
        let flags = libc::SECCOMP_ADDFD_FLAG_SETFD as u32;
        self.add(id, file, cloexec, (flags, number as u32)).map(drop)
    }

    fn add(
        &self,
        id: u64,
        file: BorrowedFd<'_>,
        cloexec: bool,
        (flags, newfd): (u32, u32),
    ) -> Result<i32, Errno> {
        let request = libc::seccomp_notif_addfd {
            id,
            flags,
            srcfd: file.as_raw_fd() as u32,
            newfd,
            newfd_flags: if cloexec { libc::O_CLOEXEC as u32 } else { 0 },
        };
        loop {
            // SAFETY: the kernel reads the structure.
            let number = unsafe {
                libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, &request)
            };
            match number {
                0.. => return Ok(number),
                _ if last() == Errno::INTR => {}
                _ => return Err(last()),
            }
        }
    }
}
