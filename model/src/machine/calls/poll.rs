//! poll(2).

use std::time::Duration;

use afunix::snapshot::WaitReason;
use afunix::{Errno, PollFd, Readiness};

use super::super::file::{FileId, Kind};
use super::super::process::InCallState;
use super::super::{Access, Cx, Flow, Machine, Object, Settled, Wait, Why};
use crate::wait::On;

/// What files that never wait report.
const ALWAYS: Readiness =
    Readiness::IN.union(Readiness::OUT).union(Readiness::RDNORM).union(Readiness::WRNORM);
/// Reported whether asked for or not.
const UNASKED: Readiness = Readiness::ERR.union(Readiness::HUP).union(Readiness::NVAL);

impl Machine {
    /// poll(2). `None` waits without end.
    pub(super) fn poll(
        &mut self,
        cx: Cx,
        fds: &mut [PollFd<'_>],
        timeout: Option<Duration>,
    ) -> Flow {
        if fds.len() > self.process(cx).limits.descriptors as usize {
            return Flow::Done(Err(Errno::INVAL));
        }
        let mut ready = 0;
        for entry in fds.iter_mut() {
            let Some(fd) = entry.fd.filter(|fd| fd.number() >= 0) else {
                entry.revents = Readiness::empty();
                continue;
            };
            // VFS 5: the number is looked up again at each wake.
            let mask = match self.polled_file(cx, fd.number()) {
                Some(file) => self.readiness(file),
                None => Readiness::NVAL,
            };
            entry.revents = mask & (entry.events | UNASKED);
            ready += usize::from(!entry.revents.is_empty());
        }
        let deadline = match self.in_call(cx) {
            Some(call) => call.deadline,
            None => timeout.map(|timeout| cx.now.saturating_add(timeout)),
        };
        let is_over = deadline.is_some_and(|deadline| deadline <= cx.now);
        match cx.why {
            _ if ready > 0 => Flow::Done(Ok(ready)),
            Why::Interrupted => Flow::Done(Err(Errno::INTR)),
            Why::TimedOut => Flow::Done(Ok(0)),
            _ if is_over => Flow::Done(Ok(0)),
            _ => self.wait_for_readiness(cx, fds, deadline),
        }
    }

    /// What there is at a file now.
    fn readiness(&mut self, file: FileId) -> Readiness {
        match self.files[file].kind {
            Kind::Socket(socket) => self.sockets.readiness(socket),
            Kind::Pipe(pipe) => self.pipe_readiness(file, pipe),
            Kind::Eventfd(eventfd) => self.eventfd_readiness(eventfd),
            Kind::Process(pid) => self.pidfd_readiness(pid),
            Kind::Path(_) => Readiness::NVAL,
            Kind::Inode(_) | Kind::Null(_) | Kind::Console(_) => ALWAYS,
        }
    }

    fn polled_file(&mut self, cx: Cx, number: i32) -> Option<FileId> {
        self.touch(Object::Descriptor(cx.pid, number), Access::Read);
        Some(self.process(cx).descriptors.get(number).ok()?.file)
    }

    fn wait_for_readiness(
        &mut self,
        cx: Cx,
        fds: &[PollFd<'_>],
        deadline: Option<Duration>,
    ) -> Flow {
        let ticket = self.tickets.issue();
        let mut polled = Vec::new();
        let mut sockets = Vec::new();
        for entry in fds {
            let Some(fd) = entry.fd else { continue };
            let Some(file) = self.polled_file(cx, fd.number()) else { continue };
            polled.push(file);
            match self.files[file].kind {
                Kind::Socket(socket) => {
                    let events = entry.events | UNASKED;
                    self.sockets.enrol_poll(&self.tickets, ticket, socket, events);
                    sockets.push(socket);
                }
                Kind::Process(pid) => self.enrol_at_end(pid, ticket),
                Kind::Pipe(pipe) => self.enrol_at_pipe(ticket, file, pipe, false),
                Kind::Eventfd(eventfd) => self.enrol_at_eventfd(ticket, eventfd),
                Kind::Inode(_) | Kind::Null(_) | Kind::Console(_) | Kind::Path(_) => {}
            }
        }
        // The only socket there is, or none: a poll of many waits at no one of them.
        let socket = match sockets[..] {
            [socket] => Some(self.sockets.id(socket)),
            _ => None,
        };
        let on = On { reason: WaitReason::Readiness, socket };
        let settled = Settled { file: None, polled };
        Flow::Wait(Wait { on, ticket, deadline, settled, state: InCallState::None })
    }
}
