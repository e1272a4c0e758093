//! The short way of the commonest calls through the machine: see `sockets::shortcut`.

use afunix::control::{ControlOut, RawControl, SCM_RIGHTS, SOL_SOCKET, messages};
use afunix::net::Fd;
use afunix::{
    Call, NameOut, NameWant, Pid, RawName, RecvFlags, Segment, SegmentMut, SendFlags, Tid,
};

use super::calls::caller;
use super::descriptors::Descriptor;
use super::file::Kind;
use super::process::InCallState;
use super::{Cx, Machine, Time, Why};
use crate::sockets::{Attachment, Receiving, SocketKey};
use crate::wait::Ticket;

/// Flags of a send that make no difference where it neither waits nor fails.
const SENDING: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
/// As [`SENDING`], of a receive.
const RECEIVING: RecvFlags = RecvFlags::DONTWAIT;

impl Machine {
    /// Performs a call that begins, if there is a short way for it. `None`: nothing has happened.
    pub(super) fn shortcut(
        &mut self,
        now: Time,
        tid: Tid,
        call: &mut Call<'_, '_>,
    ) -> Option<usize> {
        // Each way is in one place, to be compiled into this function.
        let sent = match call {
            Call::Write { fd, data: Segment::Bytes(bytes), .. } => Some((*fd, *bytes)),
            Call::Sendto { fd, data: Segment::Bytes(bytes), flags, name, .. }
                if SENDING.contains(*flags) && matches!(name, RawName::Null { .. }) =>
            {
                Some((*fd, *bytes))
            }
            _ => None,
        };
        if let Some((fd, bytes)) = sent {
            let socket = self.socket_at(self.idle_in(tid)?, fd)?;
            return self.sockets.send_shortcut(&mut self.tickets, socket, bytes, None);
        }
        let received = match call {
            Call::Read { fd, data: SegmentMut::Bytes(room), .. } => Some((*fd, &mut **room)),
            Call::Recvfrom { fd, data: SegmentMut::Bytes(room), flags, name, .. }
                if RECEIVING.contains(*flags) && name.want == NameWant::Nothing =>
            {
                Some((*fd, &mut **room))
            }
            _ => None,
        };
        if let Some((fd, room)) = received {
            let socket = self.socket_at(self.idle_in(tid)?, fd)?;
            return self.sockets.receive_shortcut(&mut self.tickets, socket, room, None);
        }
        self.rarer_shortcut(now, tid, call)
    }

    fn rarer_shortcut(&mut self, now: Time, tid: Tid, call: &mut Call<'_, '_>) -> Option<usize> {
        match call {
            Call::Sendmsg { fd, data: [Segment::Bytes(bytes)], control, flags, name, .. }
                if SENDING.contains(*flags) && matches!(name, RawName::Null { .. }) =>
            {
                let carried = match control.is_empty() {
                    true => None,
                    false => Some(only_descriptor(*control)?),
                };
                self.quick_send_message(now, tid, *fd, bytes, carried)
            }
            Call::Recvmsg {
                fd,
                name: NameOut { want: NameWant::Nothing, .. },
                data: [SegmentMut::Bytes(room)],
                control,
                flags,
                flags_out,
                ..
            } if RECEIVING.union(RecvFlags::CMSG_CLOEXEC).contains(*flags) => {
                let (count, shown) =
                    self.quick_receive_message(now, tid, *fd, room, control, *flags)?;
                **flags_out = shown;
                Some(count)
            }
            Call::Close { fd } => self.quick_close(tid, *fd),
            Call::Socket { .. }
            | Call::Socketpair { .. }
            | Call::Accept4 { .. }
            | Call::Connect { .. } => {
                let pid = self.idle_in(tid)?;
                let done = self.perform_directly(begun(now, tid, pid), call);
                self.end_mutation(pid, tid);
                done
            }
            _ => None,
        }
    }

    /// sendmsg, perhaps with SCM_RIGHTS of one descriptor.
    fn quick_send_message(
        &mut self,
        now: Time,
        tid: Tid,
        fd: Fd<'_>,
        bytes: &[u8],
        carried: Option<i32>,
    ) -> Option<usize> {
        let pid = self.idle_in(tid)?;
        let socket = self.socket_at(pid, fd)?;
        let Some(number) = carried else {
            return self.sockets.send_shortcut(&mut self.tickets, socket, bytes, None);
        };
        let Descriptor { file, socket: sent, .. } =
            self.processes.get(pid.0)?.descriptors.get(number).ok()?;
        let attachment = Attachment { file: file.opaque(), socket: sent };
        let caller = caller(&self.processes, begun(now, tid, pid));
        let (tickets, carried) = (&mut self.tickets, Some((&caller, attachment)));
        let sent = self.sockets.send_shortcut(tickets, socket, bytes, carried)?;
        self.files[file].in_flight += 1;
        Some(sent)
    }

    /// As [`Machine::shortcut`], for a read that has waited with `ticket` and was woken.
    pub(super) fn woken_shortcut(
        &mut self,
        tid: Tid,
        ticket: Ticket,
        call: &mut Call<'_, '_>,
    ) -> Option<usize> {
        let room = match call {
            Call::Read { data: SegmentMut::Bytes(room), .. } => room,
            Call::Recvfrom { data: SegmentMut::Bytes(room), flags, name, .. }
                if RECEIVING.contains(*flags) && name.want == NameWant::Nothing =>
            {
                room
            }
            _ => return None,
        };
        let thread = self.threads.get(tid.0)?;
        let waiting = thread.call.as_ref().filter(|call| call.ticket == ticket)?;
        let is_signalled = !thread.pending.is_empty() || !thread.taken.is_empty();
        // What has received something already is more than one buffer's read.
        if is_signalled || !matches!(waiting.state, InCallState::None) {
            return None;
        }
        let socket = self.files.get(waiting.file?)?.kind.socket()?;
        let count = self.sockets.receive_shortcut(&mut self.tickets, socket, room, None)?;
        self.end_call(tid);
        Some(count)
    }

    /// recvmsg, with what comes beside the bytes.
    fn quick_receive_message(
        &mut self,
        now: Time,
        tid: Tid,
        fd: Fd<'_>,
        room: &mut [u8],
        control: &mut ControlOut<'_>,
        flags: RecvFlags,
    ) -> Option<(usize, RecvFlags)> {
        let pid = self.idle_in(tid)?;
        let socket = self.socket_at(pid, fd)?;
        let mut receiving = Receiving::default();
        let (tickets, wanted) = (&mut self.tickets, Some(&mut receiving));
        let count = self.sockets.receive_shortcut(tickets, socket, room, wanted)?;
        let (sockets, mut installer) = self.installer(begun(now, tid, pid));
        let shown = sockets.deliver(socket, receiving, control, flags, now, &mut installer);
        self.settle();
        Some((count, shown))
    }

    /// A close that is not the last of its file; or the last of a socket's file that no epoll
    /// watches and that holds no inode.
    fn quick_close(&mut self, tid: Tid, fd: Fd<'_>) -> Option<usize> {
        let process = self.idle_in(tid)?;
        let descriptors = &mut self.processes.get_mut(process.0)?.descriptors;
        let file = descriptors.get(fd.number()).ok()?.file;
        let state = self.files.get_mut(file)?;
        if state.references + state.in_flight > 1 {
            state.references -= 1;
        } else {
            let Kind::Socket(socket) = state.kind else { return None };
            if state.bound_to.is_some() || self.watches.is_watched(file) {
                return None;
            }
            self.sockets.close_shortcut(socket)?;
            self.files.remove(file);
        }
        descriptors.remove(fd.number()).expect("it was there before");
        Some(0)
    }

    /// The socket that a number of a process stands for.
    #[inline(always)]
    fn socket_at(&self, process: Pid, fd: Fd<'_>) -> Option<SocketKey> {
        let process = self.processes.get(process.0)?;
        process.descriptors.near_socket(fd.number())
    }

    /// The process of a thread that waits in no call.
    #[inline(always)]
    fn idle_in(&self, tid: Tid) -> Option<Pid> {
        let thread = self.threads.get(tid.0)?;
        let is_idle = thread.call.is_none() && thread.unmasked.is_none();
        is_idle.then_some(thread.process)
    }
}

/// A call that begins.
fn begun(now: Time, tid: Tid, pid: Pid) -> Cx {
    Cx { now, tid, pid, why: Why::First, woken: false }
}

/// The descriptor in control data that carries it alone.
fn only_descriptor(control: RawControl<'_>) -> Option<i32> {
    let mut messages = messages(control.bytes().ok()?);
    let message = messages.next()?.ok()?;
    let is_rights = (message.level, message.kind) == (SOL_SOCKET, SCM_RIGHTS);
    if !is_rights || message.data.len() != 4 || messages.next().is_some() {
        return None;
    }
    message.numbers().next()
}
