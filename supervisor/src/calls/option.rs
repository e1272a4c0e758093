//! getsockopt, setsockopt, ioctl.

use std::os::fd::AsFd;

use afunix::call::OptionOut;
use afunix::options::{
    SIOCATMARK, SIOCINQ, SIOCOUTQ, SIOCUNIXFILE, SO_ATTACH_FILTER, SO_PEERPIDFD, SOL_SOCKET,
};
use afunix::{Capabilities, Errno};

use super::{Call, Flow, Reply};
use crate::supervisor::Supervisor;
use crate::sys::{memory, process};

/// No option is longer.
const LONGEST: i32 = 1 << 16;
/// Bytes of `struct sock_filter`.
const INSTRUCTION: usize = 8;

impl Supervisor {
    pub(super) fn getsockopt(&mut self, call: &Call) -> Result<Flow, Errno> {
        let (tid, level, option) = (call.tid(), call.int(1), call.int(2));
        let (value, len_at) = (call.arg(3), call.arg(4));
        let len = memory::read_int(tid, len_at)?;
        if level == SOL_SOCKET && option == SO_PEERPIDFD && len >= 0 {
            return self.peer_pidfd(call, len);
        }
        let is_filter = level == SOL_SOCKET && option == SO_ATTACH_FILTER;
        // Of a filter, instructions are counted.
        let unit = if is_filter { INSTRUCTION } else { 1 };
        let mut buffer = vec![0; len.clamp(0, LONGEST) as usize * unit];
        let mut out = OptionOut { buffer: &mut buffer, len: len.min(LONGEST) };
        let result = self.sockets.getsockopt(call.key(), level, option, &mut out);
        let written = out.len;
        match result {
            Ok(()) => {
                let bytes = (written.max(0) as usize * unit).min(buffer.len());
                memory::write_bytes(tid, value, &buffer[..bytes])?;
            }
            Err(Errno::RANGE) => {}
            Err(errno) => return Err(errno),
        }
        memory::write_bytes(tid, len_at, &written.to_ne_bytes())?;
        result.map(|()| Flow::value(0))
    }

    /// SO_PEERPIDFD: a descriptor, which is installed even where there is no room for its number
    /// (OPT 11).
    fn peer_pidfd(&mut self, call: &Call, len: i32) -> Result<Flow, Errno> {
        let pid = self.sockets.peer_pid(call.key()).ok_or(Errno::NODATA)?;
        let handle = process::open_process(pid)?;
        let number = self.listener.give(call.request.id, handle.as_fd(), true)?;
        let bytes = number.to_ne_bytes();
        let written = bytes.len().min(len as usize);
        memory::write_bytes(call.tid(), call.arg(3), &bytes[..written])?;
        memory::write_bytes(call.tid(), call.arg(4), &(written as i32).to_ne_bytes())?;
        Ok(Flow::value(0))
    }

    pub(super) fn setsockopt(&mut self, call: &Call) -> Result<Flow, Errno> {
        let (tid, level, option, len) = (call.tid(), call.int(1), call.int(2), call.int(4));
        let len = usize::try_from(len).map_err(|_| Errno::INVAL)?;
        let mut value = vec![0; len.min(LONGEST as usize)];
        memory::read_bytes(tid, call.arg(3), &mut value)?;
        if level == SOL_SOCKET && option == SO_ATTACH_FILTER {
            value = filter(tid, &value)?;
        }
        let identity = self.threads.identity(tid)?;
        let (tickets, caller, key) = (&mut self.tickets, identity.caller(), call.key());
        self.sockets.setsockopt(tickets, &caller, key, level, option, &value)?;
        Ok(Flow::value(0))
    }

    pub(super) fn ioctl(&mut self, call: &Call) -> Result<Flow, Errno> {
        let key = call.key();
        let value = match call.arg(1) as u32 {
            SIOCINQ => self.sockets.inq(key)?,
            SIOCOUTQ => self.sockets.outq(key),
            SIOCATMARK => i32::from(self.sockets.at_mark(key)?),
            SIOCUNIXFILE => return self.name_file(call),
            _ => return Err(Errno::NOTTY),
        };
        memory::write_bytes(call.tid(), call.arg(2), &value.to_ne_bytes())?;
        Ok(Flow::value(0))
    }

    /// A handle on the inode that a socket is bound to (OPT 7). In order: EPERM, ENOENT.
    fn name_file(&mut self, call: &Call) -> Result<Flow, Errno> {
        let identity = self.threads.identity(call.tid())?;
        if !identity.capabilities.contains(Capabilities::NET_ADMIN) {
            return Err(Errno::PERM);
        }
        let name = self.placeholders.get(&call.key()).and_then(|place| place.name.as_ref());
        let file = name.ok_or(Errno::NOENT)?.try_clone().map_err(|_| Errno::MFILE)?;
        Ok(Flow::Done(Reply::Give { file, cloexec: true }))
    }
}

/// The instructions of a `struct sock_fprog`; EINVAL, EFAULT.
fn filter(tid: i32, program: &[u8]) -> Result<Vec<u8>, Errno> {
    let program = program.first_chunk::<16>().ok_or(Errno::INVAL)?;
    let count = u16::from_ne_bytes([program[0], program[1]]);
    let address = program[8..].first_chunk().map_or(0, |word| u64::from_ne_bytes(*word));
    let mut instructions = vec![0; usize::from(count) * INSTRUCTION];
    memory::read_bytes(tid, address, &mut instructions)?;
    Ok(instructions)
}
