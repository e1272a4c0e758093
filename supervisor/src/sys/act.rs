//! Acting in the program's place: with its root, working directory, umask and ids, where a path is
//! walked. The supervisor has one thread, so that nothing else sees the change.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use afunix::Errno;

use super::{check, owned};

/// Where and as whom one acts.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The root directory; `None` if it is the supervisor's own.
    pub(crate) root: Option<Rc<OwnedFd>>,
    /// The working directory.
    pub(crate) cwd: Rc<OwnedFd>,
    pub(crate) umask: u32,
    pub(crate) fsuid: u32,
    pub(crate) fsgid: u32,
    pub(crate) groups: Vec<u32>,
}

/// A directory as a handle.
pub(crate) fn directory(path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: `path` ends with a NUL.
    check(unsafe { libc::open(path.as_ptr(), flags) }).map(owned)
}

/// Does something as `there`, and is as `home` again afterwards. EPERM if it may not become so.
/// `home` has its root directory named.
pub(crate) fn act_as<T>(
    home: &Place,
    there: &Place,
    act: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    if let Some(root) = &there.root {
        change_root(root)?;
    }
    let result = become_as(home, there).and_then(|()| act());
    let back = match (&there.root, &home.root) {
        (Some(_), Some(root)) => change_root(root),
        _ => Ok(()),
    };
    if back.and_then(|()| become_as(there, home)).is_err() {
        // It would go on with the rights of another.
        std::process::abort();
    }
    result
}

fn change_root(root: &OwnedFd) -> Result<(), Errno> {
    // SAFETY: take a number and a path that ends with a NUL.
    unsafe {
        check(libc::fchdir(root.as_raw_fd()))?;
        check(libc::chroot(c".".as_ptr())).map(drop)
    }
}

fn become_as(from: &Place, to: &Place) -> Result<(), Errno> {
    // SAFETY: each takes numbers, or a list of which the length is told. By syscall(2), since of
    // the thread's own ids alone is spoken.
    unsafe {
        check(libc::fchdir(to.cwd.as_raw_fd()))?;
        libc::umask(to.umask);
        if from.groups != to.groups {
            let (count, groups) = (to.groups.len(), to.groups.as_ptr());
            check(libc::syscall(libc::SYS_setgroups, count, groups))?;
        }
        libc::syscall(libc::SYS_setfsgid, to.fsgid);
        libc::syscall(libc::SYS_setfsuid, to.fsuid);
    }
    Ok(())
}

/// Makes the inode of a socket as bind(2) does, with its errors, by binding a real socket, which is
/// closed at once. `mode` is that of the socket's own inode (BIND 3).
pub(crate) fn make_socket_inode(path: &CStr, mode: u32) -> Result<(), Errno> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    // SAFETY: takes three numbers.
    let socket = check(unsafe { libc::socket(libc::AF_UNIX, kind, 0) }).map(owned)?;
    // SAFETY: plain numbers, for which zero is a value.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    let bytes = path.to_bytes();
    if bytes.len() > address.sun_path.len() {
        return Err(Errno::INVAL);
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let len = (2 + bytes.len()) as libc::socklen_t;
    // SAFETY: takes numbers, and an address of which the length is told.
    unsafe {
        check(libc::fchmod(socket.as_raw_fd(), mode & 0o7777))?;
        check(libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len))?;
    }
    Ok(())
}

/// A handle on what stands at a path.
pub(crate) fn handle(path: &CStr, follow: bool) -> Result<OwnedFd, Errno> {
    let follow = if follow { 0 } else { libc::O_NOFOLLOW };
    // SAFETY: `path` ends with a NUL.
    check(unsafe { libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC | follow) }).map(owned)
}

/// Whether a file may be written; EACCES, EROFS.
pub(crate) fn may_write(file: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | libc::AT_EACCESS;
    let empty = c"".as_ptr();
    // SAFETY: takes numbers and an empty path.
    check(unsafe {
        libc::syscall(libc::SYS_faccessat2, file.as_raw_fd(), empty, libc::W_OK, flags)
    })
    .map(drop)
}

/// unlink(2).
pub(crate) fn unlink(path: &CStr) {
    // SAFETY: `path` ends with a NUL.
    unsafe {
        libc::unlink(path.as_ptr());
    }
}
