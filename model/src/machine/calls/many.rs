//! sendmmsg(2) and recvmmsg(2): one message after the other, as if each had its own call.

use std::time::Duration;

use afunix::call::{RecvHeader, SendHeader, transfer};
use afunix::net::Fd;
use afunix::{Errno, RecvFlags, Segment, SendFlags};

use super::super::{Cx, Flow, Machine, Why};
use super::message::{Message, Receipt};

/// What one call sends at most (UIO_MAXIOV); it receives any number.
const SENT_MAX: usize = 1024;

impl Machine {
    /// sendmmsg(2): how many were sent, if any was; else the error. What was sent in part is the
    /// last.
    pub(super) fn send_many(
        &mut self,
        cx: Cx,
        fd: Fd<'_>,
        messages: &mut [SendHeader<'_>],
        flags: SendFlags,
        progress: &mut usize,
    ) -> Flow {
        let (file, socket) = match self.socket_of(cx, fd) {
            Ok(found) => found,
            Err(errno) => return Flow::Done(Err(errno)),
        };
        let mut cx = cx;
        for one in messages.iter_mut().take(SENT_MAX).skip(*progress) {
            let (data, control) = (&one.data[..], Some(one.control));
            let message = Message { data, name: one.name, control, flags };
            match self.send_on(cx, file, socket, message, &mut 0) {
                Flow::Done(Ok(sent)) => one.len = sent,
                Flow::Done(Err(errno)) => return Flow::Done(count_or(errno, *progress)),
                wait => return wait,
            }
            *progress += 1;
            if one.len < transfer(one.data.iter().map(Segment::len)) {
                break;
            }
            cx.why = Why::First;
        }
        Flow::Done(Ok(*progress))
    }

    /// recvmmsg(2): SRECV 21.
    pub(super) fn receive_many(
        &mut self,
        cx: Cx,
        fd: Fd<'_>,
        messages: &mut [RecvHeader<'_>],
        flags: RecvFlags,
        timeout: Option<Duration>,
        progress: &mut usize,
    ) -> Flow {
        let (file, socket) = match self.socket_of(cx, fd) {
            Ok(found) => found,
            Err(errno) => return Flow::Done(Err(errno)),
        };
        if cx.why == Why::First
            && !flags.contains(RecvFlags::ERRQUEUE)
            && let Err(errno) = self.sockets.take_error(socket)
        {
            // SRECV 21: before data, on a stream too.
            return Flow::Done(Err(errno));
        }
        let began = self.in_call(cx).map_or(cx.now, |call| call.since);
        let deadline = timeout.map(|timeout| began.saturating_add(timeout));
        let mut each = flags - RecvFlags::WAITFORONE;
        let mut cx = cx;
        for one in messages.iter_mut().skip(*progress) {
            if *progress > 0 && flags.contains(RecvFlags::WAITFORONE) {
                each |= RecvFlags::DONTWAIT;
            }
            let header = Some((&mut one.control, &mut one.flags_out));
            let receipt = Receipt { name: Some(&mut one.name), header, flags: each };
            match self.receive_on(cx, file, socket, &mut one.data, receipt, &mut 0) {
                Flow::Done(Ok(received)) => one.len = received,
                Flow::Done(Err(errno)) => {
                    if *progress > 0 && errno != Errno::AGAIN {
                        let timed = self.in_call(cx).is_some_and(|call| call.deadline.is_some());
                        let restarts = errno == Errno::INTR && !timed;
                        // In the kernel's own words, which leak.
                        let errno = if restarts { Errno::RESTARTSYS } else { errno };
                        self.sockets.put_error(socket, errno);
                    }
                    return Flow::Done(count_or(errno, *progress));
                }
                wait => return wait,
            }
            *progress += 1;
            let is_over = deadline.is_some_and(|deadline| deadline <= cx.now);
            if is_over || one.flags_out.contains(RecvFlags::OOB) {
                break;
            }
            cx.why = Why::First;
        }
        Flow::Done(Ok(*progress))
    }
}

/// What was done counts more than an error after it.
fn count_or(errno: Errno, done: usize) -> Result<usize, Errno> {
    if done > 0 { Ok(done) } else { Err(errno) }
}
