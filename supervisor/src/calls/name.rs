//! bind, listen, connect, getsockname, getpeername.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use afunix::{Errno, SocketType};
use afunix_model::sockets::{Destination, Name, NameKey, Stop, names};

use super::{Call, Flow, NameArg, NameRoom, Reply, stopped};
use crate::caller::{self, Identity};
use crate::supervisor::Supervisor;
use crate::sys::{act, file, socket};

impl Supervisor {
    pub(super) fn bind(&mut self, call: &Call) -> Result<Flow, Errno> {
        let name = NameArg::read(call.tid(), call.arg(1), call.int(2));
        let address = name.bytes()?.ok_or(Errno::INVAL)?;
        if names::is_autobind(address) {
            return self.sockets.autobind(call.key()).map(|()| Flow::value(0));
        }
        match names::parse_name(address)? {
            Name::Abstract(name) => self.sockets.bind_abstract(call.key(), name)?,
            Name::Path(path) => self.bind_path(call, path)?,
        }
        Ok(Flow::value(0))
    }

    /// Makes a real inode, as the caller would, and binds the socket to it.
    fn bind_path(&mut self, call: &Call, path: &[u8]) -> Result<(), Errno> {
        let Some((key, near)) = &call.socket else { return Err(Errno::BADF) };
        let at = CString::new(path).map_err(|_| Errno::INVAL)?;
        let mode = file::stat(near.as_fd())?.mode;
        let identity = self.threads.identity(call.tid())?;
        let there = caller::place_of(call.tid(), &identity, &self.home)?;
        let handle = act::act_as(&self.home, &there, || {
            act::make_socket_inode(&at, mode)?;
            act::handle(&at, false)
        })?;
        let name = name_key(&handle)?;
        let bound = self.sockets.bind_path(*key, path, name);
        match (bound, self.placeholders.get_mut(key)) {
            (Ok(()), Some(place)) => {
                place.name = Some(handle);
                self.outside.add_own(name);
            }
            // BIND 1: "already bound" is found out after the inode was made.
            _ => act::act_as(&self.home, &there, || {
                act::unlink(&at);
                Ok(())
            })?,
        }
        bound
    }

    pub(super) fn listen(&mut self, call: &Call) -> Result<Flow, Errno> {
        let identity = self.threads.identity(call.tid())?;
        let (key, backlog) = (call.key(), call.int(1));
        self.sockets.listen(&mut self.tickets, &identity.caller(), key, backlog)?;
        Ok(Flow::value(0))
    }

    pub(super) fn connect(&mut self, call: &mut Call) -> Result<Flow, Errno> {
        let name = NameArg::read(call.tid(), call.arg(1), call.int(2));
        let address = name.bytes()?.ok_or(Errno::INVAL)?;
        let key = call.key();
        let is_datagram = self.sockets.kind(key) == SocketType::Datagram;
        if is_datagram && names::is_unspec(address)? {
            self.sockets.disconnect(&mut self.tickets, key);
            return Ok(Flow::value(0));
        }
        let identity = self.threads.identity(call.tid())?;
        let to = self.destination(call.tid(), &identity, names::parse_name(address)?);
        if self.lets_out(call, &to)? {
            return Ok(Flow::Done(Reply::GoOn));
        }
        let (nonblocking, cause) = (call.is_nonblocking(), call.cause());
        let (tickets, caller) = (&mut self.tickets, identity.caller());
        match self.sockets.connect(tickets, &caller, key, &to, nonblocking, cause) {
            Ok(()) => Ok(Flow::value(0)),
            Err(stop) => {
                self.tell_of_outside(&name, &to, stop);
                stopped(call, stop)
            }
        }
    }

    /// Makes a number stand for a real socket, if what it is to reach is outside and allowed: then
    /// the kernel makes the call.
    pub(super) fn lets_out(&mut self, call: &Call, to: &Destination<'_>) -> Result<bool, Errno> {
        let Destination::Path(Ok(name)) = *to else { return Ok(false) };
        let Some((key, near)) = &call.socket else { return Ok(false) };
        if !self.outside.is_allowed(name) {
            return Ok(false);
        }
        let kind = self.sockets.kind(*key).raw();
        let real = socket::real(kind, file::is_nonblocking(near.as_fd()))?;
        let number = call.int(0);
        let cloexec = caller::closes_on_exec(call.tid(), number);
        self.listener.replace(call.request.id, real.as_fd(), number, cloexec)?;
        Ok(true)
    }

    /// Counts what a program would have reached outside.
    fn tell_of_outside(&mut self, name: &NameArg, to: &Destination<'_>, stop: Stop) {
        let Destination::Path(Ok(found)) = *to else { return };
        let refused = stop == Errno::CONNREFUSED.into() && !self.outside.is_own(found);
        if refused && let Ok(Some(address)) = name.bytes() {
            let path = address[2..].split(|byte| *byte == 0).next().unwrap_or_default();
            let path = path.escape_ascii();
            self.report.refused(format!("{path}"));
        }
    }

    /// Where an address leads to: a path is walked now, as the caller would (BIND 8).
    pub(super) fn destination<'n>(
        &mut self,
        tid: i32,
        identity: &Identity,
        name: Name<'n>,
    ) -> Destination<'n> {
        match name {
            Name::Abstract(name) => Destination::Abstract(name),
            Name::Path(path) => Destination::Path(self.walk(tid, identity, path)),
        }
    }

    fn walk(&self, tid: i32, identity: &Identity, path: &[u8]) -> Result<NameKey, Errno> {
        // The caller's own directory in /proc is another than the supervisor's.
        let own = path.strip_prefix(b"/proc/self/");
        let path = match own {
            Some(rest) => [format!("/proc/{}/", identity.pid).as_bytes(), rest].concat(),
            None => path.to_vec(),
        };
        let at = CString::new(path).map_err(|_| Errno::INVAL)?;
        let there = caller::place_of(tid, identity, &self.home)?;
        let handle = act::act_as(&self.home, &there, || {
            let handle = act::handle(&at, true)?;
            // CONNECT 13
            act::may_write(handle.as_fd())?;
            Ok(handle)
        })?;
        name_key(&handle)
    }

    pub(super) fn get_name(&mut self, call: &Call) -> Result<Flow, Errno> {
        let room = NameRoom { address: call.arg(1), len: call.arg(2) };
        let key = call.key();
        // Other than accept, they do not take a null pointer for no wish.
        let mut name = match room.want(call.tid()) {
            name if room.address != 0 => name,
            _ => return self.no_room_for_name(call, room),
        };
        match call.request.number {
            libc::SYS_getsockname => self.sockets.getsockname(key, &mut name)?,
            _ => self.sockets.getpeername(key, &mut name)?,
        }
        room.write(call.tid(), &name)?;
        Ok(Flow::value(0))
    }

    /// A null pointer: EFAULT, unless nothing would be written.
    fn no_room_for_name(&mut self, call: &Call, room: NameRoom) -> Result<Flow, Errno> {
        use afunix::{NameOut, NameWant};
        let len = crate::sys::memory::read_int(call.tid(), room.len)?;
        let mut name = NameOut::with(NameWant::Fault { len });
        let key = call.key();
        let result = match call.request.number {
            libc::SYS_getsockname => self.sockets.getsockname(key, &mut name),
            _ => self.sockets.getpeername(key, &mut name),
        };
        if let Some(len) = name.reported {
            crate::sys::memory::write_bytes(call.tid(), room.len, &len.to_ne_bytes())?;
        }
        result.map(|()| Flow::value(0))
    }
}

fn name_key(handle: &OwnedFd) -> Result<NameKey, Errno> {
    let stat = file::stat(handle.as_fd())?;
    Ok(NameKey { dev: stat.dev, ino: stat.ino })
}
