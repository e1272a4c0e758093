//! What happens inside a step, which only the model can tell: what flows, and who wakes whom.

use afunix::trace::EventKind;
use afunix::{Pid, Tid};

use super::Machine;
use crate::sockets::Flow;
use crate::wait::Ticket;

/// Something that happened inside a step, which only the model can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// The process it happened to (woken) or that did it.
    pub process: Pid,
    /// The thread it happened to (woken) or that did it.
    pub thread: Tid,
    /// Queued, Taken, Woken or Freed.
    pub kind: EventKind,
}

impl Machine {
    /// Turns what flowed in the sockets into events of the thread that was stepped.
    pub(super) fn gather_events(&mut self, process: Pid, thread: Tid) {
        let mut flows = std::mem::take(&mut self.sockets.watch.flows);
        for flow in flows.drain(..) {
            let kind = match flow {
                Flow::Queued { from, to, bytes, files } => EventKind::Queued {
                    from: self.sockets.id(from),
                    to: self.sockets.id(to),
                    bytes: bytes as u64,
                    files: files as u32,
                },
                Flow::Taken { socket, bytes, files } => EventKind::Taken {
                    socket: self.sockets.id(socket),
                    bytes: bytes as u64,
                    files: files as u32,
                },
                Flow::Freed { socket } => EventKind::Freed { socket },
            };
            self.events.push_back(Happened { process, thread, kind });
        }
        self.sockets.watch.flows = flows;
    }

    /// A waiting call was woken by the thread that was stepped.
    pub(super) fn tell_woken(&mut self, ticket: Ticket) {
        if !self.observed {
            return;
        }
        if let Some(thread) = self.waiting.get(ticket).copied()
            && let Some(process) = self.process_of(thread)
        {
            let kind = EventKind::Woken { by: self.stepping.map(|tid| tid.0 as u32) };
            self.events.push_back(Happened { process, thread, kind });
        }
    }
}
