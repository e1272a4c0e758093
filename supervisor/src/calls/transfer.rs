//! sendfile, splice.

use std::os::fd::{AsFd, OwnedFd};

use afunix::{Errno, SendFlags};
use afunix_model::sockets::Stop;

use super::send::Send;
use super::{Call, Flow, Reply, State, stopped};
use crate::supervisor::Supervisor;
use crate::sys::{file, memory};

/// How much is read at a time.
const CHUNK: usize = 1 << 16;

/// A sendfile on its way.
#[derive(Debug)]
pub(crate) struct Transfer {
    from: OwnedFd,
    /// Where to read from, if not where the file stands.
    offset: Option<u64>,
    /// What is under way.
    pub(super) send: Send,
    /// How long that is.
    chunk: usize,
    done: usize,
    count: usize,
}

impl Supervisor {
    /// Into a socket. From one the kernel refuses it (EINVAL).
    pub(super) fn sendfile(&mut self, call: &mut Call) -> Result<Flow, Errno> {
        let mut first = false;
        let mut transfer = match std::mem::take(&mut call.state) {
            State::Transfer(transfer) => transfer,
            _ => {
                first = true;
                self.begin_sendfile(call)?
            }
        };
        loop {
            let result = self.send_one(call, &mut transfer.send, first);
            match result {
                Err(Stop::Wait(waiting)) => {
                    call.state = State::Transfer(transfer);
                    return Ok(Flow::Wait(waiting));
                }
                result => {
                    let sent = result.unwrap_or(0);
                    let is_whole = sent == transfer.chunk && sent > 0;
                    transfer.advance(sent);
                    let next = match is_whole {
                        true => transfer.next()?,
                        false => Send::of_bytes(Vec::new(), SendFlags::empty()),
                    };
                    self.finish_send(std::mem::replace(&mut transfer.send, next));
                    first = true;
                    if transfer.chunk > 0 {
                        continue;
                    }
                    self.write_offset(call, &transfer)?;
                    return match result {
                        Err(stop) if transfer.done == 0 => stopped(call, stop),
                        _ => Ok(Flow::value(transfer.done)),
                    };
                }
            }
        }
    }

    fn begin_sendfile(&mut self, call: &Call) -> Result<Box<Transfer>, Errno> {
        let from = self.threads.file(call.tid(), call.int(1))?;
        // A file that does not stand anywhere cannot be read from by it.
        if !file::seek_by(from.as_fd(), 0) {
            return Err(Errno::INVAL);
        }
        let offset = match call.arg(2) {
            0 => None,
            address => {
                let mut bytes = [0; 8];
                memory::read_bytes(call.tid(), address, &mut bytes)?;
                Some(u64::from_ne_bytes(bytes))
            }
        };
        let send = Send::of_bytes(Vec::new(), SendFlags::empty());
        let count = call.arg(3) as usize;
        let mut transfer = Transfer { from, offset, send, chunk: 0, done: 0, count };
        transfer.send = transfer.next()?;
        Ok(Box::new(transfer))
    }

    fn write_offset(&self, call: &Call, transfer: &Transfer) -> Result<(), Errno> {
        match transfer.offset {
            Some(offset) => memory::write_bytes(call.tid(), call.arg(2), &offset.to_ne_bytes()),
            None => Ok(()),
        }
    }

    /// Between pipes and sockets: programs fall back to read and write.
    pub(super) fn splice(&mut self, call: &Call) -> Result<Flow, Errno> {
        for index in [0, 2] {
            if let Ok(Some(_)) = self.socket_of(call.tid(), call.int(index)) {
                self.report.note("splice on a socket is not emulated: EINVAL".into());
                return Err(Errno::INVAL);
            }
        }
        Ok(Flow::Done(Reply::GoOn))
    }
}

impl Transfer {
    /// So much of the chunk was sent; the rest of it goes back.
    fn advance(&mut self, sent: usize) {
        let unsent = self.chunk - sent.min(self.chunk);
        match &mut self.offset {
            Some(offset) => *offset += sent as u64,
            None if unsent > 0 => {
                file::seek_by(self.from.as_fd(), -(unsent as i64));
            }
            None => {}
        }
        self.done += sent;
        self.chunk = 0;
    }

    /// The next chunk.
    fn next(&mut self) -> Result<Send, Errno> {
        let mut bytes = vec![0; (self.count - self.done).min(CHUNK)];
        let count = file::read(self.from.as_fd(), self.offset, &mut bytes)?;
        bytes.truncate(count);
        self.chunk = count;
        Ok(Send::of_bytes(bytes, SendFlags::empty()))
    }
}
