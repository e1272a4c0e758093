//! socket, socketpair, accept.

use std::os::fd::AsFd;

use afunix::call::OptionOut;
use afunix::options::{SO_ACCEPTCONN, SOL_SOCKET};
use afunix::{Errno, NameOut, Readiness, SocketFlags};
use afunix_model::sockets::{SocketKey, Sockets};

use super::{Call, Flow, NameRoom, Reply, stopped};
use crate::supervisor::Supervisor;
use crate::sys::memory;

impl Supervisor {
    pub(super) fn socket(&mut self, call: &Call) -> Result<Flow, Errno> {
        let (kind, flags) = (call.int(1), Sockets::type_flags(call.int(1))?);
        let kind = Sockets::socket_type(kind, call.int(2))?;
        let identity = self.threads.identity(call.tid())?;
        let (place, file) = self.new_place(flags)?;
        let key = self.sockets.create(&identity.caller(), kind);
        self.place(place, &file, key);
        Ok(Flow::Done(Reply::Give { file, cloexec: flags.contains(SocketFlags::CLOEXEC) }))
    }

    pub(super) fn socketpair(&mut self, call: &Call) -> Result<Flow, Errno> {
        let (kind, flags) = (call.int(1), Sockets::type_flags(call.int(1))?);
        let cloexec = flags.contains(SocketFlags::CLOEXEC);
        let kind = Sockets::socket_type(kind, call.int(2))?;
        // CREATE 5 has the numbers written first: a pair that cannot be told of is not made.
        memory::write_bytes(call.tid(), call.arg(3), &[0xff; 8])?;
        let identity = self.threads.identity(call.tid())?;
        let (first, second) = (self.new_place(flags)?, self.new_place(flags)?);
        let mut numbers = Vec::new();
        for (_, near) in [&first, &second] {
            let number = self.listener.give(call.request.id, near.as_fd(), cloexec)?;
            numbers.extend(number.to_ne_bytes());
        }
        let (one, other) = self.sockets.pair(&identity.caller(), kind);
        for (key, (place, near)) in [(one, first), (other, second)] {
            self.place(place, &near, key);
        }
        memory::write_bytes(call.tid(), call.arg(3), &numbers)?;
        Ok(Flow::value(0))
    }

    pub(super) fn accept(&mut self, call: &mut Call) -> Result<Flow, Errno> {
        let is_accept4 = call.request.number == libc::SYS_accept4;
        let flags = SocketFlags::from_bits_retain(if is_accept4 { call.int(3) } else { 0 });
        if !(flags - (SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)).is_empty() {
            return Err(Errno::INVAL);
        }
        let room = NameRoom { address: call.arg(1), len: call.arg(2) };
        let wants_name = room.address != 0;
        let is_told = !wants_name || room.is_good(call.tid());
        // LISTEN 4: the number comes first; if there is none (EMFILE) the connection stays queued.
        let ready = match is_told && self.has_connection(call.key()) {
            true => {
                let (place, near) = self.new_place(flags)?;
                let cloexec = flags.contains(SocketFlags::CLOEXEC);
                let number = self.listener.give(call.request.id, near.as_fd(), cloexec)?;
                Some((place, near, number))
            }
            false => None,
        };
        let (nonblocking, cause) = (call.is_nonblocking(), call.cause());
        let accepted = self.sockets.accept(&mut self.tickets, call.key(), nonblocking, cause);
        let connection = match accepted {
            Ok(connection) => connection,
            Err(stop) => return stopped(call, stop),
        };
        let mut name = room.want(call.tid());
        let named = match wants_name {
            true => self.tell_peer(call, connection, room, &mut name),
            false => Ok(()),
        };
        match (named, ready) {
            (Ok(()), Some((place, near, number))) => {
                self.place(place, &near, connection);
                Ok(Flow::value(number as usize))
            }
            // LISTEN 5: of a listener that is shut for reading.
            (Ok(()), None) if is_told => {
                let (place, file) = self.new_place(flags)?;
                self.place(place, &file, connection);
                let cloexec = flags.contains(SocketFlags::CLOEXEC);
                Ok(Flow::Done(Reply::Give { file, cloexec }))
            }
            (named, _) => {
                // ADDR 9: the connection is gone.
                self.sockets.release(&mut self.tickets, connection);
                Err(named.err().unwrap_or(Errno::FAULT))
            }
        }
    }

    fn tell_peer(
        &mut self,
        call: &Call,
        connection: SocketKey,
        room: NameRoom,
        name: &mut NameOut,
    ) -> Result<(), Errno> {
        self.sockets.getpeername(connection, name)?;
        room.write(call.tid(), name)
    }

    /// Whether a connection waits at a listener.
    fn has_connection(&mut self, key: SocketKey) -> bool {
        let mut word = [0; 4];
        let mut out = OptionOut::new(&mut word);
        let listens = self.sockets.getsockopt(key, SOL_SOCKET, SO_ACCEPTCONN, &mut out).is_ok()
            && i32::from_ne_bytes(word) == 1;
        let ready = self.sockets.readiness(key);
        // One that is shut for reading polls IN for ever.
        listens && ready.contains(Readiness::IN) && !ready.contains(Readiness::RDHUP)
    }
}
