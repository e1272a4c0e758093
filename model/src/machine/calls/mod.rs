//! What each call does.
//!
//! A call finds its file by its descriptor when it begins; when it is stepped again it goes on with
//! the file that it holds (VFS 5). It ends in [`Flow::Done`], or says what it waits for.

mod descriptor;
mod epoll;
mod eventfd;
mod identity;
mod io;
mod listing;
mod many;
mod message;
mod mount;
mod path;
mod pidfd;
mod pipe;
mod poll;
mod portable;
mod process;
mod select;
mod socket;
mod sysctl;

use std::slice;

use afunix::net::Fd;
use afunix::options::{SO_PEERPIDFD, SOL_SOCKET};
use afunix::{Call, Errno, NameWant, SendFlags};

use super::file::{FileId, Kind};
use super::process::{Numbered, Process};
use super::{Access, Cx, Flow, Machine, Object, Why};
use crate::sockets::{Caller, Cause, SocketKey};
use message::{Message, Receipt};

pub(super) use epoll::Watches;
pub(super) use eventfd::Eventfd;
pub use eventfd::EventfdKey;
pub(super) use pipe::Pipe;
pub use pipe::PipeKey;

/// The largest count of buffers in one call (UIO_MAXIOV).
const BUFFERS_MAX: usize = 1024;

impl Machine {
    /// The calls that may wait.
    pub(super) fn perform(&mut self, cx: Cx, call: &mut Call<'_, '_>) -> Flow {
        if let Err(errno) = self.known_to_profile(call) {
            return Flow::Done(Err(errno));
        }
        match call {
            Call::Read { fd, data, progress } => {
                self.read(cx, *fd, slice::from_mut(data), false, progress)
            }
            Call::Readv { fd, data, progress } => self.read(cx, *fd, data, true, progress),
            Call::Write { fd, data, progress } => {
                self.write(cx, *fd, slice::from_ref(data), false, progress)
            }
            Call::Writev { fd, data, progress } => self.write(cx, *fd, data, true, progress),
            Call::Sendto { fd, data, flags, name, progress } => {
                let data = slice::from_ref(data);
                let message = Message { data, name: *name, control: None, flags: *flags };
                self.send(cx, *fd, message, progress)
            }
            Call::Sendmsg { fd, name, data, control, flags, progress } => {
                let message = Message { data, name: *name, control: Some(*control), flags: *flags };
                self.send(cx, *fd, message, progress)
            }
            Call::Recvfrom { fd, data, flags, name, progress } => {
                let receipt = Receipt { name: Some(name), header: None, flags: *flags };
                self.receive(cx, *fd, slice::from_mut(data), receipt, progress)
            }
            Call::Recvmsg { fd, name, data, control, flags, flags_out, progress } => {
                let header = Some((&mut **control, &mut **flags_out));
                let receipt = Receipt { name: Some(name), header, flags: *flags };
                self.receive(cx, *fd, data, receipt, progress)
            }
            Call::Sendmmsg { fd, messages, flags, progress } => {
                self.send_many(cx, *fd, messages, *flags, progress)
            }
            Call::Recvmmsg { fd, messages, flags, timeout, progress } => {
                self.receive_many(cx, *fd, messages, *flags, *timeout, progress)
            }
            Call::Accept4 { fd, name, flags } => self.accept(cx, *fd, name, *flags),
            Call::Connect { fd, name } => self.connect(cx, *fd, *name),
            Call::Poll { fds, timeout, .. } => self.poll(cx, fds, *timeout),
            Call::Pselect6 { nfds, readfds, writefds, exceptfds, timeout, .. } => {
                let sets = [readfds, writefds, exceptfds];
                self.pselect6(cx, *nfds, sets, timeout.as_deref_mut())
            }
            Call::EpollPwait2 { fd, events, timeout, .. } => {
                self.epoll_pwait2(cx, *fd, events, *timeout)
            }
            Call::Waitpid { pid, status } => self.waitpid(cx, *pid, status),
            Call::Nanosleep { time } => self.nanosleep(cx, *time),
            other => panic!("{} never waits", other.name()),
        }
    }

    /// Makes or connects sockets for a thread that begins the call, where nothing is in the way;
    /// `None` leaves the call to the general way, which finds everything as it was.
    pub(super) fn perform_directly(&mut self, cx: Cx, call: &mut Call<'_, '_>) -> Option<usize> {
        match call {
            Call::Socket { domain, kind, protocol } => {
                self.socket(cx, *domain, *kind, *protocol).ok()
            }
            Call::Socketpair { domain, kind, protocol, fds } => {
                self.socketpair(cx, *domain, *kind, *protocol, fds).ok()
            }
            Call::Accept4 { fd, name, flags } if name.want == NameWant::Nothing => {
                self.accept_directly(cx, *fd, name, *flags)
            }
            Call::Connect { fd, name } => self.connect_directly(cx, *fd, *name),
            _ => None,
        }
    }

    /// The error of what the profile `posix` does not have.
    #[inline]
    fn known_to_profile(&self, call: &Call<'_, '_>) -> Result<(), Errno> {
        if self.profile.portable { portable::refuse(call) } else { Ok(()) }
    }

    /// The calls that never wait.
    pub(super) fn perform_at_once(
        &mut self,
        cx: Cx,
        call: &mut Call<'_, '_>,
    ) -> Result<usize, Errno> {
        self.known_to_profile(call)?;
        match call {
            Call::Close { fd } => self.close_number(cx.pid, fd.number()).map(|()| 0),
            Call::Socket { domain, kind, protocol } => self.socket(cx, *domain, *kind, *protocol),
            Call::Socketpair { domain, kind, protocol, fds } => {
                self.socketpair(cx, *domain, *kind, *protocol, fds)
            }
            Call::Pipe2 { flags, fds } => self.pipe2(cx, *flags, fds),
            Call::Eventfd2 { count, flags } => self.eventfd2(cx, *count, *flags),
            Call::EpollCreate1 { flags } => self.epoll_create1(cx, *flags),
            Call::EpollCtl { fd, op, target, event } => {
                self.epoll_ctl(cx, *fd, *op, *target, *event)
            }
            Call::Bind { fd, name } => self.bind(cx, *fd, *name),
            Call::Listen { fd, backlog } => self.listen(cx, *fd, *backlog),
            Call::Getsockname { fd, name } => {
                let (_, socket) = self.socket_of(cx, *fd)?;
                self.sockets.getsockname(socket, name).map(|()| 0)
            }
            Call::Getpeername { fd, name } => {
                let (_, socket) = self.socket_of(cx, *fd)?;
                self.sockets.getpeername(socket, name).map(|()| 0)
            }
            Call::Shutdown { fd, how } => {
                let (_, socket) = self.socket_of(cx, *fd)?;
                self.sockets.shutdown(&mut self.tickets, socket, *how).map(|()| 0)
            }
            Call::Getsockopt { fd, level, option, value } => {
                let (_, socket) = self.socket_of(cx, *fd)?;
                // The contract: no more than the buffer holds.
                value.len = value.len.min(value.buffer.len() as i32);
                if (*level, *option) == (SOL_SOCKET, SO_PEERPIDFD) {
                    return self.peer_pidfd(cx, socket, value);
                }
                self.sockets.getsockopt(socket, *level, *option, value).map(|()| 0)
            }
            Call::Setsockopt { fd, level, option, value } => {
                let (_, socket) = self.socket_of(cx, *fd)?;
                let caller = caller(&self.processes, cx);
                let tickets = &mut self.tickets;
                self.sockets
                    .setsockopt(tickets, &caller, socket, *level, *option, value)
                    .map(|()| 0)
            }
            Call::Dup { fd } => self.dup(cx, *fd, 0, false),
            Call::Dup2 { fd, new } => self.dup2(cx, *fd, new.number()),
            Call::Dup3 { fd, new, flags } => self.dup3(cx, *fd, new.number(), *flags),
            Call::Fcntl { fd, command } => self.fcntl(cx, *fd, *command),
            Call::Ioctl { fd, request, value } => self.ioctl(cx, *fd, *request, value),
            Call::Lseek { fd, offset } => self.lseek(cx, *fd, *offset),
            Call::Fstat { fd, stat } => self.fstat(cx, *fd, stat),
            Call::Fchmod { fd, mode } => self.fchmod(cx, *fd, *mode),
            Call::Getdents { fd, entries } => self.getdents(cx, *fd, entries),
            other => self.perform_by_path(cx, other),
        }
    }

    /// The calls on paths and on the process itself.
    fn perform_by_path(&mut self, cx: Cx, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        match call {
            Call::Open { path, flags, mode } => self.open(cx, path, *flags, *mode),
            Call::Mkdir { path, mode } => self.mkdir(cx, path, *mode),
            Call::Rmdir { path } => self.rmdir(cx, path),
            Call::Unlink { path } => self.unlink(cx, path),
            Call::Rename { old, new } => self.rename(cx, old, new),
            Call::Link { old, new } => self.link(cx, old, new),
            Call::Symlink { target, path } => self.symlink(cx, target, path),
            Call::Chmod { path, mode } => self.chmod(cx, path, *mode),
            Call::Chown { path, uid, gid } => self.chown(cx, path, *uid, *gid),
            Call::Stat { path, stat } => self.stat(cx, path, true, stat),
            Call::Lstat { path, stat } => self.stat(cx, path, false, stat),
            Call::Chdir { path } => self.chdir(cx, path),
            Call::Fchdir { fd } => self.fchdir(cx, *fd),
            Call::Readlink { path, data } => self.readlink(cx, path, data),
            Call::Getpid => Ok(cx.pid.0 as usize),
            Call::Umask { mask } => self.umask(cx, *mask),
            Call::Prlimit { new, old } => self.prlimit(cx, *new, old),
            Call::Kill { pid, signal } => self.kill(cx, *pid, *signal),
            Call::Sigaction { signal, new, old } => self.sigaction(cx, *signal, *new, old),
            Call::Sigprocmask { how, set, old } => self.sigprocmask(cx, *how, *set, old),
            other => self.perform_on_self(cx, other),
        }
    }

    /// The calls on who the caller is and what it sees of the machine.
    fn perform_on_self(&mut self, cx: Cx, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        match call {
            Call::Setids { uid, gid, groups } => self.setids(cx, *uid, *gid, groups),
            Call::Setresuid { real, effective, saved } => {
                self.setresuid(cx, *real, *effective, *saved)
            }
            Call::Setresgid { real, effective, saved } => {
                self.setresgid(cx, *real, *effective, *saved)
            }
            Call::Setfsuid { uid } => Ok(self.identity_mut(cx).setfsuid(*uid) as usize),
            Call::Setfsgid { gid } => Ok(self.identity_mut(cx).setfsgid(*gid) as usize),
            Call::Setgroups { groups } => self.identity_mut(cx).setgroups(groups).map(|()| 0),
            Call::Capset { effective, permitted } => {
                self.identity_mut(cx).capset(*effective, *permitted).map(|()| 0)
            }
            Call::Capget { effective, permitted } => {
                let identity = &self.process(cx).identity;
                (**effective, **permitted) = (identity.effective, identity.permitted);
                Ok(0)
            }
            Call::Chroot { path } => self.chroot(cx, path),
            Call::Mount { target, flags, data } => self.mount(cx, target, *flags, data),
            Call::Umount2 { target, flags } => self.umount2(cx, target, *flags),
            Call::Unshare { flags } => self.unshare(cx, *flags),
            other => panic!("{} is performed where calls may wait", other.name()),
        }
    }

    /// The file of a call: of its descriptor when it begins, later the one that it holds. EBADF,
    /// for an O_PATH descriptor too.
    #[inline]
    fn file_of(&mut self, cx: Cx, fd: Fd<'_>) -> Result<FileId, Errno> {
        let file = self.any_file_of(cx, fd)?;
        match self.files[file].kind {
            Kind::Path(_) => Err(Errno::BADF),
            _ => Ok(file),
        }
    }

    /// As [`Machine::file_of`], for the calls that O_PATH descriptors are good for.
    #[inline]
    fn any_file_of(&mut self, cx: Cx, fd: Fd<'_>) -> Result<FileId, Errno> {
        if cx.why != Why::First {
            let call = self.threads.get(cx.tid.0).and_then(|thread| thread.call.as_ref());
            let held = call.and_then(|call| call.file);
            return Ok(held.expect("a call that waits at a file holds it"));
        }
        self.touch(Object::Descriptor(cx.pid, fd.number()), Access::Read);
        let process = self.process(cx);
        Ok(process.descriptors.get(fd.number())?.file)
    }

    /// The socket of a call, with its file: EBADF, ENOTSOCK.
    #[inline]
    fn socket_of(&mut self, cx: Cx, fd: Fd<'_>) -> Result<(FileId, SocketKey), Errno> {
        let file = self.file_of(cx, fd)?;
        match self.files[file].kind {
            Kind::Socket(socket) => Ok((file, socket)),
            _ => Err(Errno::NOTSOCK),
        }
    }

    #[inline]
    fn process(&self, cx: Cx) -> &Process {
        self.processes.get(cx.pid.0).expect("a thread that makes calls is in a process")
    }

    #[inline]
    fn process_mut(&mut self, cx: Cx) -> &mut Process {
        self.processes.get_mut(cx.pid.0).expect("a thread that makes calls is in a process")
    }
}

/// The calling process as sockets see it. Borrows the process table alone.
#[inline]
pub(super) fn caller(processes: &Numbered<Process>, cx: Cx) -> Caller<'_> {
    let process = processes.get(cx.pid.0).expect("a thread that makes calls is in a process");
    Caller {
        pid: cx.pid.0,
        uid: process.identity.uid,
        gid: process.identity.gid,
        groups: &process.identity.groups,
        capabilities: process.identity.effective,
        descriptor_limit: process.limits.descriptors,
        now: cx.now,
        netns: process.netns,
    }
}

/// Why the sockets are to try.
fn cause(cx: Cx) -> Cause {
    match cx.why {
        Why::First | Why::Woken => Cause::Run,
        Why::TimedOut => Cause::TimedOut,
        Why::Interrupted => Cause::Interrupted,
    }
}

/// Flags of a send by write(2).
const WRITE_FLAGS: SendFlags = SendFlags::empty();
