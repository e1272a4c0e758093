//! System calls as they are made: pointers and numbers. But for `worker`, what is unsafe elsewhere
//! in this crate only changes the owner of a number.
//!
//! A [`Call`] goes to the kernel unchanged, however malformed: lengths that are negative, flags
//! that nobody knows, memory that faults. Only what could harm the calling program itself is not
//! passed on: a request of ioctl(2) that may write more than an `int`, and the "pids" of kill(2)
//! and waitpid(2) that mean many processes.
#![expect(unsafe_code, reason = "system calls take pointers and numbers of descriptors")]

mod child;
mod confine;
mod data;
mod epoll;
mod file;
mod identity;
mod many;
mod memory;
mod pipe;
mod process;
mod signal;
mod socket;

use afunix::{Call, Errno};

pub(crate) use child::{Setup, fork};
pub(crate) use signal::{any_came, take};

/// The result of a call of libc: what it returned, or errno if that is -1.
fn result(returned: impl Into<i64>) -> Result<usize, Errno> {
    match returned.into() {
        -1 => Err(Errno::from_io(&std::io::Error::last_os_error()).unwrap_or(Errno::NOSYS)),
        value => Ok(value as usize),
    }
}

/// Performs `call` on the kernel. What `progress` says is not looked at: the kernel keeps it
/// itself.
#[inline]
pub(crate) fn call(call: &mut Call<'_, '_>) -> Result<usize, Errno> {
    match call {
        Call::Socket { domain, kind, protocol } => socket::socket(*domain, *kind, *protocol),
        Call::Socketpair { domain, kind, protocol, fds } => {
            socket::socketpair(*domain, *kind, *protocol, fds)
        }
        Call::Pipe2 { flags, fds } => pipe::pipe2(*flags, fds),
        Call::Eventfd2 { count, flags } => pipe::eventfd2(*count, *flags),
        Call::EpollCreate1 { flags } => epoll::epoll_create1(*flags),
        Call::EpollCtl { fd, op, target, event } => epoll::epoll_ctl(*fd, *op, *target, *event),
        Call::EpollPwait2 { fd, events, timeout, mask } => {
            epoll::epoll_pwait2(*fd, events, *timeout, *mask)
        }
        Call::Bind { fd, name } => socket::bind(*fd, *name),
        Call::Listen { fd, backlog } => socket::listen(*fd, *backlog),
        Call::Accept4 { fd, name, flags } => socket::accept4(*fd, name, *flags),
        Call::Connect { fd, name } => socket::connect(*fd, *name),
        Call::Getsockname { fd, name } => socket::getsockname(*fd, name),
        Call::Getpeername { fd, name } => socket::getpeername(*fd, name),
        Call::Shutdown { fd, how } => socket::shutdown(*fd, *how),
        Call::Getsockopt { fd, level, option, value } => {
            socket::getsockopt(*fd, *level, *option, value)
        }
        Call::Setsockopt { fd, level, option, value } => {
            socket::setsockopt(*fd, *level, *option, value)
        }
        Call::Read { fd, data, .. } => data::read(*fd, data),
        Call::Readv { fd, data, .. } => data::readv(*fd, data),
        Call::Recvfrom { fd, data, flags, name, .. } => data::recvfrom(*fd, data, *flags, name),
        Call::Recvmsg { fd, name, data, control, flags, flags_out, .. } => {
            data::recvmsg(*fd, name, data, control, *flags, flags_out)
        }
        Call::Write { fd, data, .. } => data::write(*fd, data),
        Call::Writev { fd, data, .. } => data::writev(*fd, data),
        Call::Sendto { fd, data, flags, name, .. } => data::sendto(*fd, data, *flags, *name),
        Call::Sendmsg { fd, name, data, control, flags, .. } => {
            data::sendmsg(*fd, *name, data, control, *flags)
        }
        Call::Sendmmsg { fd, messages, flags, .. } => many::sendmmsg(*fd, messages, *flags),
        Call::Recvmmsg { fd, messages, flags, timeout, .. } => {
            many::recvmmsg(*fd, messages, *flags, *timeout)
        }
        Call::Poll { fds, timeout, mask } => data::poll(fds, *timeout, *mask),
        Call::Pselect6 { nfds, readfds, writefds, exceptfds, timeout, mask } => {
            let sets = [readfds, writefds, exceptfds].map(|set| set.as_deref_mut());
            epoll::pselect6(*nfds, sets, timeout.as_deref_mut(), *mask)
        }
        Call::Ioctl { fd, request, value } => data::ioctl(*fd, *request, value),
        Call::Close { fd } => file::close(*fd),
        Call::Dup { fd } => file::dup(*fd),
        Call::Dup2 { fd, new } => file::dup2(*fd, *new),
        Call::Dup3 { fd, new, flags } => file::dup3(*fd, *new, *flags),
        Call::Fcntl { fd, command } => file::fcntl(*fd, *command),
        Call::Lseek { fd, offset } => file::lseek(*fd, *offset),
        Call::Fstat { fd, stat } => file::fstat(*fd, stat),
        Call::Fchmod { fd, mode } => file::fchmod(*fd, *mode),
        Call::Getdents { fd, entries } => file::getdents(*fd, entries),
        Call::Open { path, flags, mode } => file::open(path, *flags, *mode),
        Call::Mkdir { path, mode } => file::mkdir(path, *mode),
        Call::Rmdir { path } => file::rmdir(path),
        Call::Unlink { path } => file::unlink(path),
        Call::Rename { old, new } => file::rename(old, new),
        Call::Link { old, new } => file::link(old, new),
        Call::Symlink { target, path } => file::symlink(target, path),
        Call::Chmod { path, mode } => file::chmod(path, *mode),
        Call::Chown { path, uid, gid } => file::chown(path, *uid, *gid),
        Call::Stat { path, stat } => file::stat(path, stat),
        Call::Lstat { path, stat } => file::lstat(path, stat),
        Call::Chdir { path } => file::chdir(path),
        Call::Fchdir { fd } => file::fchdir(*fd),
        Call::Readlink { path, data } => file::readlink(path, data),
        Call::Chroot { path } => identity::chroot(path),
        Call::Mount { target, flags, data } => identity::mount(target, *flags, data),
        Call::Umount2 { target, flags } => identity::umount2(target, *flags),
        Call::Unshare { flags } => identity::unshare(*flags),
        Call::Getpid => Ok(process::getpid()),
        Call::Umask { mask } => Ok(process::umask(*mask)),
        Call::Prlimit { new, old } => process::prlimit(*new, old),
        Call::Setids { uid, gid, groups } => process::setids(*uid, *gid, groups),
        Call::Setresuid { real, effective, saved } => {
            identity::setresuid(*real, *effective, *saved)
        }
        Call::Setresgid { real, effective, saved } => {
            identity::setresgid(*real, *effective, *saved)
        }
        Call::Setfsuid { uid } => Ok(identity::setfsuid(*uid)),
        Call::Setfsgid { gid } => Ok(identity::setfsgid(*gid)),
        Call::Setgroups { groups } => identity::setgroups(groups),
        Call::Capset { effective, permitted } => identity::capset(*effective, *permitted),
        Call::Capget { effective, permitted } => identity::capget(effective, permitted),
        Call::Kill { pid, signal } => process::kill(*pid, *signal),
        Call::Sigaction { signal, new, old } => signal::sigaction(*signal, *new, old),
        Call::Sigprocmask { how, set, old } => signal::sigprocmask(*how, *set, old),
        Call::Waitpid { pid, status } => process::waitpid(*pid, status),
        Call::Nanosleep { time } => process::nanosleep(*time),
    }
}
