//! The short way of the commonest calls through the machine: see `sockets::shortcut`.

use afunix::net::Fd;
use afunix::{Call, NameWant, RawName, RecvFlags, Segment, SegmentMut, SendFlags, Tid};

use super::Machine;
use super::file::Kind;
use crate::sockets::SocketKey;

/// Flags of a send that make no difference where it neither waits nor fails.
const SENDING: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
/// As [`SENDING`], of a receive.
const RECEIVING: RecvFlags = RecvFlags::DONTWAIT;

impl Machine {
    /// Performs a call that begins, if there is a short way for it. `None`: nothing has happened.
    #[inline]
    pub(super) fn shortcut(&mut self, tid: Tid, call: &mut Call<'_, '_>) -> Option<usize> {
        match call {
            Call::Write { fd, data: Segment::Bytes(bytes), .. } => self.quick_send(tid, *fd, bytes),
            Call::Sendto { fd, data: Segment::Bytes(bytes), flags, name, .. }
                if SENDING.contains(*flags) && matches!(name, RawName::Null { .. }) =>
            {
                self.quick_send(tid, *fd, bytes)
            }
            Call::Read { fd, data: SegmentMut::Bytes(room), .. } => {
                self.quick_receive(tid, *fd, room)
            }
            Call::Recvfrom { fd, data: SegmentMut::Bytes(room), flags, name, .. }
                if RECEIVING.contains(*flags) && name.want == NameWant::Nothing =>
            {
                self.quick_receive(tid, *fd, room)
            }
            _ => None,
        }
    }

    fn quick_send(&mut self, tid: Tid, fd: Fd<'_>, bytes: &[u8]) -> Option<usize> {
        let socket = self.socket_at(tid, fd)?;
        self.sockets.send_shortcut(socket, bytes)
    }

    fn quick_receive(&mut self, tid: Tid, fd: Fd<'_>, room: &mut [u8]) -> Option<usize> {
        let socket = self.socket_at(tid, fd)?;
        self.sockets.receive_shortcut(socket, room)
    }

    /// The socket that a number stands for in the process of a thread that waits in no call.
    #[inline(always)]
    fn socket_at(&self, tid: Tid, fd: Fd<'_>) -> Option<SocketKey> {
        let thread = self.threads.get(tid.0)?;
        if thread.call.is_some() || thread.unmasked.is_some() {
            return None;
        }
        let process = self.processes.get(thread.process.0)?;
        let file = process.descriptors.get(fd.number()).ok()?.file;
        match self.files.get(file)?.kind {
            Kind::Socket(socket) => Some(socket),
            _ => None,
        }
    }
}
