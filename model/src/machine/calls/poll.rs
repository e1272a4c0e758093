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
            let events = entry.events | UNASKED;
            entry.revents = self.polled(cx, fd.number(), events) & events;
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
            _ => {
                let entries = fds.iter().filter_map(|entry| {
                    let number = entry.fd?.number();
                    (number >= 0).then_some((number, entry.events | UNASKED))
                });
                self.wait_for_readiness(cx, entries, deadline)
            }
        }
    }

    /// What there is at the file of a number now; NVAL if there is no file.
    pub(super) fn polled(&mut self, cx: Cx, number: i32, events: Readiness) -> Readiness {
        match self.polled_file(cx, number) {
            Some(file) => self.readiness(file, events),
            None => Readiness::NVAL,
        }
    }

    /// What there is at a file now, for somebody who asks for `events`.
    pub(super) fn readiness(&mut self, file: FileId, events: Readiness) -> Readiness {
        match self.files[file].kind {
            Kind::Socket(socket) => self.sockets.poll(socket, events),
            Kind::Pipe(pipe) => self.pipe_readiness(file, pipe),
            Kind::Eventfd(eventfd) => self.eventfd_readiness(eventfd),
            Kind::Epoll(epoll) => self.epoll_readiness(epoll),
            Kind::Process(pid) => self.pidfd_readiness(pid),
            Kind::Path(_) => Readiness::NVAL,
            Kind::Inode(_) | Kind::Null(_) | Kind::Console(_) => ALWAYS,
        }
    }

    fn polled_file(&mut self, cx: Cx, number: i32) -> Option<FileId> {
        self.touch(Object::Descriptor(cx.pid, number), Access::Read);
        Some(self.process(cx).descriptors.get(number).ok()?.file)
    }

    /// Waits at the files of all numbers, each for its events. VFS 5: a call that waits on waits at
    /// those where it began, whatever the numbers stand for by then.
    pub(super) fn wait_for_readiness(
        &mut self,
        cx: Cx,
        entries: impl Iterator<Item = (i32, Readiness)>,
        deadline: Option<Duration>,
    ) -> Flow {
        let ticket = self.tickets.issue();
        let mut polled = Vec::new();
        let mut sockets = Vec::new();
        let began_at = self.in_call(cx).map(|call| call.polled.clone());
        for (at, (number, events)) in entries.enumerate() {
            let file = match &began_at {
                Some(files) => files.get(at).copied(),
                None => self.polled_file(cx, number),
            };
            let Some(file) = file else { continue };
            polled.push(file);
            match self.files[file].kind {
                Kind::Socket(socket) => {
                    self.sockets.enrol_poll(&self.tickets, ticket, socket, events);
                    sockets.push(socket);
                }
                Kind::Epoll(epoll) => {
                    self.touch(Object::Epoll(epoll), Access::Awaits);
                    // EPOLL 7: it tells that there is something to read, and nothing else.
                    if events.contains(Readiness::IN) {
                        self.tickets.enrol_poll_at_epoll(epoll, ticket);
                    }
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
