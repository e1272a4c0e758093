//! sendmmsg, recvmmsg: one message after the other, as if each had its own call.

use std::time::Duration;

use afunix::{Errno, RecvFlags};
use afunix_model::sockets::Stop;

use super::receive::{Receive, Room};
use super::send::{HEADER, Message, Send};
use super::{BUFFERS_MAX, Call, Flow, State, total};
use crate::supervisor::Supervisor;
use crate::sys::{memory, process};

/// Bytes of `struct mmsghdr`: a header, the length, and what aligns the next one.
const ENTRY: u64 = HEADER as u64 + 8;

/// A sendmmsg on its way.
#[derive(Debug)]
pub(crate) struct SendMany {
    pub(super) one: Send,
    /// Messages sent.
    done: usize,
}

/// A recvmmsg on its way.
#[derive(Debug)]
pub(crate) struct ReceiveMany {
    one: Receive,
    /// Messages received.
    done: usize,
    /// When no further message is begun.
    until: Option<Duration>,
}

impl Supervisor {
    pub(super) fn sendmmsg(&mut self, call: &mut Call) -> Result<Flow, Errno> {
        let (tid, first_entry, flags) = (call.tid(), call.arg(1), call.int(3));
        let count = (call.arg(2) as u32 as usize).min(BUFFERS_MAX);
        let entry = |index: usize| first_entry + ENTRY * index as u64;
        let message = |index: usize| Message::read(tid, entry(index), flags);
        let mut first = call.is_first();
        let mut many = match std::mem::take(&mut call.state) {
            State::SendMany(many) => many,
            _ if count == 0 => return Ok(Flow::value(0)),
            _ => Box::new(SendMany { one: Send::new(message(0)?), done: 0 }),
        };
        loop {
            let len = total(&many.one.message.spans);
            match self.send_one(call, &mut many.one, first) {
                Err(Stop::Wait(waiting)) => {
                    call.state = State::SendMany(many);
                    return Ok(Flow::Wait(waiting));
                }
                Err(Stop::Error(errno)) => {
                    self.finish_send(many.one);
                    return count_or(call.ends_in(errno), many.done);
                }
                Ok(sent) => {
                    let at = entry(many.done) + HEADER as u64;
                    memory::write_bytes(tid, at, &(sent as u32).to_ne_bytes())?;
                    many.done += 1;
                    let next = match many.done < count && sent == len {
                        true => message(many.done),
                        false => Err(Errno::INVAL),
                    };
                    let done = many.done;
                    let ended = match next {
                        Ok(next) => std::mem::replace(&mut many.one, Send::new(next)),
                        Err(_) => {
                            self.finish_send(many.one);
                            return Ok(Flow::value(done));
                        }
                    };
                    self.finish_send(ended);
                    first = true;
                }
            }
        }
    }

    pub(super) fn recvmmsg(&mut self, call: &mut Call) -> Result<Flow, Errno> {
        let (tid, first_entry, count) = (call.tid(), call.arg(1), call.arg(2) as u32 as usize);
        let flags = RecvFlags::from_bits_retain(call.int(3));
        let entry = |index: usize| first_entry + ENTRY * index as u64;
        let each = |index: usize| {
            let rest = index > 0 && flags.contains(RecvFlags::WAITFORONE);
            let wait = if rest { RecvFlags::DONTWAIT } else { RecvFlags::empty() };
            Room::read(tid, entry(index), (flags - RecvFlags::WAITFORONE) | wait)
        };
        let mut many = match std::mem::take(&mut call.state) {
            State::ReceiveMany(many) => many,
            _ => {
                let until = timeout(tid, call.arg(4))?.map(|time| process::monotonic() + time);
                if !flags.contains(RecvFlags::ERRQUEUE) {
                    // SRECV 21: before data, on a stream too.
                    self.sockets.take_error(call.key())?;
                }
                if count == 0 {
                    return Ok(Flow::value(0));
                }
                Box::new(ReceiveMany { one: Receive::new(each(0)?), done: 0, until })
            }
        };
        loop {
            match self.receive_one(call, &mut many.one) {
                Err(Stop::Wait(waiting)) => {
                    call.state = State::ReceiveMany(many);
                    return Ok(Flow::Wait(waiting));
                }
                Err(Stop::Error(errno)) => {
                    let errno = call.ends_in(errno);
                    if many.done > 0 && errno != Errno::AGAIN {
                        // SRECV 21
                        self.sockets.put_error(call.key(), errno);
                    }
                    return count_or(errno, many.done);
                }
                Ok((received, told)) => {
                    let at = entry(many.done) + HEADER as u64;
                    memory::write_bytes(tid, at, &(received as u32).to_ne_bytes())?;
                    many.done += 1;
                    let is_over = many.until.is_some_and(|until| until <= process::monotonic());
                    if many.done == count || is_over || told.contains(RecvFlags::OOB) {
                        return Ok(Flow::value(many.done));
                    }
                    match each(many.done) {
                        Ok(next) => many.one = Receive::new(next),
                        Err(_) => return Ok(Flow::value(many.done)),
                    }
                }
            }
        }
    }
}

/// What was done counts more than an error after it.
fn count_or(errno: Errno, done: usize) -> Result<Flow, Errno> {
    if done > 0 { Ok(Flow::value(done)) } else { Err(errno) }
}

/// A `struct timespec`, if there is one; EFAULT, EINVAL.
fn timeout(tid: i32, address: u64) -> Result<Option<Duration>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    let mut bytes = [0; 16];
    memory::read_bytes(tid, address, &mut bytes)?;
    let word = |at: usize| bytes[at..].first_chunk().map_or(0, |word| i64::from_ne_bytes(*word));
    let nanos = u32::try_from(word(8)).ok().filter(|nanos| *nanos < 1_000_000_000);
    match (u64::try_from(word(0)), nanos) {
        (Ok(seconds), Some(nanos)) => Ok(Some(Duration::new(seconds, nanos))),
        _ => Err(Errno::INVAL),
    }
}
