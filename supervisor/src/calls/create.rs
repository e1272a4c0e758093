//! socket, socketpair, accept.

use std::os::fd::AsFd;

use afunix::{Errno, NameWant, SocketFlags, SocketType};
use afunix_model::sockets::{SocketKey, Sockets};

use super::{Call, Flow, NameRoom, Reply, stopped};
use crate::supervisor::Supervisor;
use crate::sys::memory;

impl Supervisor {
    pub(super) fn socket(&mut self, call: &Call) -> Result<Flow, Errno> {
        let (kind, flags) = (call.int(1), Sockets::type_flags(call.int(1))?);
        let kind = Sockets::socket_type(kind, call.int(2))?;
        let identity = self.threads.identity(call.tid())?;
        let key = self.sockets.create(&identity.caller(), kind);
        let file = self.place_or_release(key, flags)?;
        Ok(Flow::Done(Reply::Give { file, cloexec: flags.contains(SocketFlags::CLOEXEC) }))
    }

    pub(super) fn socketpair(&mut self, call: &Call) -> Result<Flow, Errno> {
        let (kind, flags) = (call.int(1), Sockets::type_flags(call.int(1))?);
        let cloexec = flags.contains(SocketFlags::CLOEXEC);
        let kind = Sockets::socket_type(kind, call.int(2))?;
        // CREATE 5 has the numbers written first: a pair that cannot be told of is not made.
        memory::write_bytes(call.tid(), call.arg(3), &[0xff; 8])?;
        let identity = self.threads.identity(call.tid())?;
        let (one, other) = self.make_pair(&identity, kind);
        let near = [self.place_or_release(one, flags)?, self.place_or_release(other, flags)?];
        let mut numbers = Vec::new();
        for near in &near {
            let number = self.listener.give(call.request.id, near.as_fd(), cloexec)?;
            numbers.extend(number.to_ne_bytes());
        }
        memory::write_bytes(call.tid(), call.arg(3), &numbers)?;
        Ok(Flow::value(0))
    }

    fn make_pair(
        &mut self,
        identity: &crate::caller::Identity,
        kind: SocketType,
    ) -> (SocketKey, SocketKey) {
        self.sockets.pair(&identity.caller(), kind)
    }

    /// The near end of a new socket; without one the socket is no more.
    fn place_or_release(
        &mut self,
        key: SocketKey,
        flags: SocketFlags,
    ) -> Result<std::os::fd::OwnedFd, Errno> {
        let near = self.place(key, flags.contains(SocketFlags::NONBLOCK));
        if near.is_err() {
            self.sockets.release(&mut self.tickets, key);
            self.report.note("out of descriptors for sockets: ENFILE".into());
        }
        near.map_err(|_| Errno::NFILE)
    }

    pub(super) fn accept(&mut self, call: &mut Call) -> Result<Flow, Errno> {
        let is_accept4 = call.request.number == libc::SYS_accept4;
        let flags = SocketFlags::from_bits_retain(if is_accept4 { call.int(3) } else { 0 });
        if !(flags - (SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)).is_empty() {
            return Err(Errno::INVAL);
        }
        let key = call.key();
        let nonblocking = call.is_nonblocking();
        let cause = call.cause();
        let connection = match self.sockets.accept(&mut self.tickets, key, nonblocking, cause) {
            Ok(connection) => connection,
            Err(stop) => return stopped(call, stop),
        };
        let room = NameRoom { address: call.arg(1), len: call.arg(2) };
        let mut name = room.want(call.tid());
        if name.want != NameWant::Nothing {
            let named = self.sockets.getpeername(connection, &mut name);
            if let Err(errno) = named.and_then(|()| room.write(call.tid(), &name)) {
                // ADDR 9: the connection is gone.
                self.sockets.release(&mut self.tickets, connection);
                return Err(errno);
            }
        }
        let file = self.place_or_release(connection, flags)?;
        Ok(Flow::Done(Reply::Give { file, cloexec: flags.contains(SocketFlags::CLOEXEC) }))
    }
}
