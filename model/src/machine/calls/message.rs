//! Sending and receiving: the send and recv families, and read and write on sockets.

use afunix::control::{ControlOut, RawControl};
use afunix::net::Fd;
use afunix::{
    Errno, NameOut, NameWant, Pid, RawName, RecvFlags, Segment, SegmentMut, SendFlags, Tid,
};
use slotmap::SlotMap;

use super::super::file::{FileId, OpenFile};
use super::super::footprint::Touches;
use super::super::process::{InCallState, Numbered, Process, Thread};
use super::super::{Access, Cx, Flow, Machine, Object, Settled, Why};
use super::{BUFFERS_MAX, caller, cause};
use crate::profile::Planted;
use crate::sockets::{
    Attachment, Incoming, Name, Outgoing, Receiving, Resolve, SendTo, Sending, SocketKey, Stop,
    names, parse_control,
};
use afunix::SocketType;

/// Bytes of an address at most (`struct sockaddr_storage`).
const STORAGE: usize = 128;

/// A send as the call says it; `control` is that of sendmsg.
pub(super) struct Message<'a, 'b> {
    pub(super) data: &'a [Segment<'b>],
    pub(super) name: RawName<'a>,
    pub(super) control: Option<RawControl<'a>>,
    pub(super) flags: SendFlags,
}

/// What a receive gives beside the bytes; `header` is that of recvmsg.
pub(super) struct Receipt<'a, 'b> {
    pub(super) name: Option<&'a mut NameOut>,
    pub(super) header: Option<(&'a mut ControlOut<'b>, &'a mut RecvFlags)>,
    pub(super) flags: RecvFlags,
}

impl Machine {
    /// send(2), sendto(2), sendmsg(2).
    #[inline]
    pub(super) fn send(
        &mut self,
        cx: Cx,
        fd: Fd<'_>,
        message: Message<'_, '_>,
        progress: &mut usize,
    ) -> Flow {
        match self.socket_of(cx, fd) {
            Ok((file, socket)) => self.send_on(cx, file, socket, message, progress),
            Err(errno) => Flow::Done(Err(errno)),
        }
    }

    #[inline]
    pub(super) fn send_on(
        &mut self,
        cx: Cx,
        file: FileId,
        socket: SocketKey,
        message: Message<'_, '_>,
        progress: &mut usize,
    ) -> Flow {
        let mut sending = match self.take_state(cx) {
            InCallState::Send(sending) => *sending,
            _ => Sending::default(),
        };
        let result = self.try_send(cx, file, socket, &message, &mut sending);
        if let Err(Stop::Wait(waiting)) = result {
            *progress = sending.progress;
            let state = InCallState::Send(Box::new(sending));
            return self.wait_at_socket(cx, file, &waiting, state);
        }
        self.sockets.finish_send(&mut self.tickets, &mut sending);
        self.settle();
        if sending.sigpipe {
            self.send_sigpipe(cx);
        }
        Flow::Done(result.map_err(errno_of))
    }

    fn try_send(
        &mut self,
        cx: Cx,
        file: FileId,
        socket: SocketKey,
        message: &Message<'_, '_>,
        sending: &mut Sending,
    ) -> Result<usize, Stop> {
        let is_sendmsg = message.control.is_some();
        let name = names::copy_in(given_name(message.name, is_sendmsg))?;
        if message.data.len() > BUFFERS_MAX {
            // CMSG 5
            return Err(Errno::MSGSIZE.into());
        }
        if is_sendmsg && message.data.iter().any(|segment| is_too_long(segment.len())) {
            return Err(Errno::INVAL.into());
        }
        if let Some(control) = message.control
            && cx.why == Why::First
            && !control.is_empty()
        {
            self.sockets.before_control(socket)?;
            self.read_control(cx, control, sending)?;
        }
        let to = match name {
            None => SendTo::Peer,
            // Only a datagram looks at the address: of the others it is enough that there is one.
            Some(_) if self.sockets.kind(socket) != SocketType::Datagram => SendTo::Malformed,
            Some(address) => match names::parse_name(address) {
                Err(_) => SendTo::Malformed,
                Ok(name) => SendTo::Named(self.destination(cx, name)),
            },
        };
        let outgoing = Outgoing {
            data: message.data,
            to,
            flags: message.flags,
            nonblocking: cx.why == Why::First && self.is_nonblocking(file),
        };
        let caller = caller(&self.processes, cx);
        let tickets = &mut self.tickets;
        self.sockets.send(tickets, &caller, socket, &outgoing, sending, cause(cx))
    }

    /// Turns the numbers in control data into files in flight.
    fn read_control(
        &mut self,
        cx: Cx,
        control: RawControl<'_>,
        sending: &mut Sending,
    ) -> Result<(), Errno> {
        let caller = caller(&self.processes, cx);
        let mut table = Table {
            pid: cx.pid,
            process: self.processes.get(cx.pid.0).expect("the caller is a process"),
            processes: &self.processes,
            threads: &self.threads,
            files: &mut self.files,
            touches: Touches::new(self.tracked, &mut self.footprint),
        };
        parse_control(&self.profile, &caller, control, &mut table, sending)?;
        for attachment in &sending.files {
            self.touch(Object::References(FileId::of(attachment.file)), Access::Read);
        }
        Ok(())
    }

    /// recv(2), recvfrom(2), recvmsg(2).
    #[inline]
    pub(super) fn receive(
        &mut self,
        cx: Cx,
        fd: Fd<'_>,
        data: &mut [SegmentMut<'_>],
        receipt: Receipt<'_, '_>,
        progress: &mut usize,
    ) -> Flow {
        match self.socket_of(cx, fd) {
            Ok((file, socket)) => self.receive_on(cx, file, socket, data, receipt, progress),
            Err(errno) => Flow::Done(Err(errno)),
        }
    }

    #[inline]
    pub(super) fn receive_on(
        &mut self,
        cx: Cx,
        file: FileId,
        socket: SocketKey,
        data: &mut [SegmentMut<'_>],
        receipt: Receipt<'_, '_>,
        progress: &mut usize,
    ) -> Flow {
        if data.len() > BUFFERS_MAX {
            return Flow::Done(Err(Errno::MSGSIZE));
        }
        if receipt.header.is_some() && data.iter().any(|segment| is_too_long(segment.len())) {
            return Flow::Done(Err(Errno::INVAL));
        }
        if receipt.header.is_some() && receipt.name.as_deref().is_some_and(is_negative) {
            // ADDR 9: the message is kept.
            return Flow::Done(Err(Errno::INVAL));
        }
        let mut receiving = match self.take_state(cx) {
            InCallState::Receive(receiving) => *receiving,
            _ => Receiving::default(),
        };
        let nonblocking = cx.why == Why::First && self.is_nonblocking(file);
        let want_name = receipt.name.as_ref().is_some_and(|name| name.want != NameWant::Nothing);
        let mut incoming = Incoming { data, flags: receipt.flags, nonblocking, want_name };
        let tickets = &mut self.tickets;
        let result =
            self.sockets.receive(tickets, socket, &mut incoming, &mut receiving, cause(cx));
        match result {
            Err(Stop::Wait(waiting)) => {
                *progress = receiving.progress;
                let state = match receiving.is_new() {
                    true => InCallState::None,
                    false => InCallState::Receive(Box::new(receiving)),
                };
                let flow = self.wait_at_socket(cx, file, &waiting, state);
                // It may have passed over an out-of-band byte that carried files (OOB 5).
                self.settle();
                flow
            }
            Err(Stop::Error(errno)) => {
                let is_stream = self.sockets.kind(socket) == SocketType::Stream;
                match receipt.header {
                    // RCMSG 3: a stream goes on to tell of the sender, if it came to know one.
                    // Nobody learns of it, but a pidfd is made.
                    Some((control, _)) if is_stream => {
                        let len = control.len;
                        self.write_control(cx, socket, receiving, control, receipt.flags);
                        control.len = len;
                    }
                    _ => self.sockets.discard(receiving),
                }
                self.settle();
                Flow::Done(Err(errno))
            }
            Ok(bytes) => Flow::Done(self.end_receive(cx, socket, receipt, receiving, bytes)),
        }
    }

    #[inline]
    fn end_receive(
        &mut self,
        cx: Cx,
        socket: SocketKey,
        receipt: Receipt<'_, '_>,
        receiving: Receiving,
        bytes: usize,
    ) -> Result<usize, Errno> {
        let is_recvmsg = receipt.header.is_some();
        let named = match receipt.name {
            // The length of recvmsg's name stands in the header: there is no pointer to be null.
            Some(name) if is_recvmsg && name.want == NameWant::NullLength => Ok(()),
            Some(name) => self.sockets.source_name(&receiving, name),
            None => Ok(()),
        };
        match receipt.header {
            None => self.sockets.discard(receiving),
            // The descriptors are made before the name is copied out, and stay if that fails.
            Some((control, flags_out)) => {
                *flags_out = self.write_control(cx, socket, receiving, control, receipt.flags);
            }
        }
        self.settle();
        named.map(|()| bytes)
    }

    /// Turns received files into descriptors, and tells of them in control data.
    fn write_control(
        &mut self,
        cx: Cx,
        socket: SocketKey,
        receiving: Receiving,
        control: &mut ControlOut<'_>,
        flags: RecvFlags,
    ) -> RecvFlags {
        let (sockets, mut installer) = self.installer(cx);
        sockets.deliver(socket, receiving, control, flags, cx.now, &mut installer)
    }

    /// Where an address leads to: the path is walked now (BIND 8).
    pub(super) fn destination<'n>(
        &mut self,
        cx: Cx,
        name: Name<'n>,
    ) -> crate::sockets::Destination<'n> {
        match name {
            Name::Abstract(name) => crate::sockets::Destination::Abstract(name),
            Name::Path(path) => crate::sockets::Destination::Path(self.name_key(cx, path)),
        }
    }

    /// Takes what the call kept when it began to wait.
    #[inline]
    pub(super) fn take_state(&mut self, cx: Cx) -> InCallState {
        if cx.why == Why::First {
            return InCallState::None;
        }
        let call = self.threads.get_mut(cx.tid.0).and_then(|thread| thread.call.as_mut());
        call.map_or(InCallState::None, |call| std::mem::take(&mut call.state))
    }

    /// Lets a call wait where the sockets say.
    pub(super) fn wait_at_socket(
        &mut self,
        cx: Cx,
        file: FileId,
        waiting: &crate::sockets::Waiting,
        state: InCallState,
    ) -> Flow {
        let ticket = self.tickets.issue();
        self.sockets.enrol(&self.tickets, ticket, waiting);
        let socket = Some(self.sockets.id(waiting.socket));
        let never = self.profile.planted.contains(Planted::IGNORES_TIMEOUTS);
        let timeout = waiting.timeout.filter(|_| !never);
        let earlier = self.in_call(cx).map(|call| call.deadline);
        let deadline = match earlier {
            // The deadline of a call is fixed when it begins; SSEND 14 begins anew.
            Some(deadline) if !waiting.anew => deadline,
            _ => timeout.map(|timeout| cx.now.saturating_add(timeout)),
        };
        let on = crate::wait::On { reason: waiting.reason, socket };
        let settled = Settled { file: Some(file), polled: Vec::new() };
        Flow::Wait(super::super::Wait { on, ticket, deadline, settled, state })
    }
}

/// The caller's view of its descriptors, for control data.
struct Table<'m> {
    pid: Pid,
    process: &'m Process,
    processes: &'m Numbered<Process>,
    threads: &'m Numbered<Thread>,
    files: &'m mut SlotMap<FileId, OpenFile>,
    touches: Touches<'m>,
}

impl Resolve for Table<'_> {
    fn file(&mut self, fd: i32) -> Result<Attachment, Errno> {
        self.touches.add(Object::Descriptor(self.pid, fd), Access::Read);
        let file = self.process.descriptors.get(fd)?.file;
        let state = &mut self.files[file];
        state.in_flight += 1;
        Ok(Attachment { file: file.opaque(), socket: state.kind.socket() })
    }

    fn is_process(&mut self, pid: i32) -> bool {
        self.touches.add(Object::Process(Pid(pid)), Access::Read);
        self.touches.add(Object::Thread(Tid(pid)), Access::Read);
        // CMSG 3: a thread id is a valid pid.
        self.processes.get(pid).is_some() || self.threads.get(pid).is_some()
    }
}

/// CMSG 7: sendmsg cuts a name's length to 128. A null pointer is no name, whatever its length
/// (SSEND 3).
fn given_name(name: RawName<'_>, is_sendmsg: bool) -> RawName<'_> {
    match name {
        RawName::Null { .. } => RawName::NONE,
        _ if !is_sendmsg => name,
        RawName::Bytes(bytes) => RawName::Bytes(&bytes[..bytes.len().min(STORAGE)]),
        RawName::Fault { len } => RawName::Fault { len: len.min(STORAGE as i32) },
    }
}

/// Whether no count could tell of it: EINVAL in a list of buffers.
fn is_too_long(len: usize) -> bool {
    len > isize::MAX as usize
}

fn is_negative(name: &NameOut) -> bool {
    matches!(name.want, NameWant::Buffer { len: ..0 } | NameWant::Fault { len: ..0 })
}

pub(super) fn errno_of(stop: Stop) -> Errno {
    match stop {
        Stop::Error(errno) => errno,
        Stop::Wait(_) => panic!("a call that waits has not ended"),
    }
}
