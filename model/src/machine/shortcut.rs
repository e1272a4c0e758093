//! The short way of the commonest calls through the machine: see `sockets::shortcut`.

use afunix::net::Fd;
use afunix::{Call, NameWant, Pid, RawName, RecvFlags, Segment, SegmentMut, SendFlags, Tid};

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
            Call::Close { fd } => self.quick_close(tid, *fd),
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

    /// The last close of a socket's file that no epoll watches and that holds no inode.
    fn quick_close(&mut self, tid: Tid, fd: Fd<'_>) -> Option<usize> {
        let process = self.idle_in(tid)?;
        let descriptors = &mut self.processes.get_mut(process.0)?.descriptors;
        let file = descriptors.get(fd.number()).ok()?.file;
        let state = self.files.get(file)?;
        let Kind::Socket(socket) = state.kind else { return None };
        let is_last = state.references == 1 && state.in_flight == 0;
        if !is_last || state.bound_to.is_some() || self.watches.is_watched(file) {
            return None;
        }
        self.sockets.close_shortcut(socket)?;
        descriptors.remove(fd.number()).expect("it was there before");
        self.files.remove(file);
        Some(0)
    }

    /// The socket that a number stands for in the process of a thread that waits in no call.
    #[inline(always)]
    fn socket_at(&self, tid: Tid, fd: Fd<'_>) -> Option<SocketKey> {
        let process = self.processes.get(self.idle_in(tid)?.0)?;
        let file = process.descriptors.get(fd.number()).ok()?.file;
        match self.files.get(file)?.kind {
            Kind::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    /// The process of a thread that waits in no call.
    #[inline(always)]
    fn idle_in(&self, tid: Tid) -> Option<Pid> {
        let thread = self.threads.get(tid.0)?;
        let is_idle = thread.call.is_none() && thread.unmasked.is_none();
        is_idle.then_some(thread.process)
    }
}
