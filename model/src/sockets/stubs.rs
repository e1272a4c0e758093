//! The rest of the interface while its parts are written; each call here answers ENOSYS.

use super::*;
use crate::wait::{Ticket, Tickets};
use afunix::call::OptionOut;
use afunix::control::{ControlOut, RawControl};
use afunix::{Errno, NameOut, RawName, Readiness, RecvFlags};

/// Turns numbers in control data into files.
pub trait Resolve {
    /// Takes a reference to the file of a descriptor; EBADF.
    fn file(&mut self, fd: i32) -> Result<Attachment, Errno>;
    /// Whether a process or thread has this id (CMSG 3).
    fn is_process(&self, pid: i32) -> bool;
}

/// Checks control data of sendmsg and puts what it says into `sending` (CMSG 1 to 3, 7). On an error
/// the files taken so far are in `sending`: finish it.
pub fn parse_control(
    profile: &Profile,
    caller: &Caller<'_>,
    control: RawControl<'_>,
    resolve: &mut dyn Resolve,
    sending: &mut Sending,
) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

/// Names.
pub mod names {
    use super::*;
    /// Bytes of an address argument as every call copies them: `None` if there is none (length 0; for sendto a
    /// null pointer too). EINVAL for a negative length or one over 128, EFAULT.
    pub fn copy_in(name: RawName<'_>) -> Result<Option<&[u8]>, Errno> {
        Err(Errno::NOSYS)
    }
    /// The name in an address (ADDR 1, 2, 4): EINVAL.
    pub fn parse_name(address: &[u8]) -> Result<Name<'_>, Errno> {
        Err(Errno::NOSYS)
    }
    /// Whether bind(2) with this address means autobind (ADDR 6).
    pub fn is_autobind(address: &[u8]) -> bool {
        false
    }
    /// Whether connect(2) with this address takes a datagram's peer away (DGCONN 1); EINVAL if
    /// it is shorter than a family.
    pub fn is_unspec(address: &[u8]) -> Result<bool, Errno> {
        Ok(false)
    }
}

impl Sockets {
    /// bind(2) to a path, after the caller made its inode: EINVAL if already bound; then the caller
    /// removes the inode again (BIND 1).
    pub fn bind_path(&mut self, key: SocketKey, path: &[u8], inode: NameKey) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }
    /// bind(2) to an abstract name (with its leading NUL): EINVAL if bound, EADDRINUSE (BIND 4).
    pub fn bind_abstract(&mut self, key: SocketKey, name: &[u8]) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }
    /// bind(2) to any free abstract name (ADDR 6): ENOSPC.
    pub fn autobind(&mut self, key: SocketKey) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }
    /// The inode that it is bound to by its own or its listener's path.
    pub fn inode(&self, key: SocketKey) -> Option<NameKey> {
        None
    }
    /// listen(2).
    pub fn listen(&mut self, tickets: &mut Tickets, caller: &Caller<'_>, key: SocketKey, backlog: i32) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }
    /// accept(2), without the descriptor: check the table first (LISTEN 4).
    pub fn accept(&mut self, tickets: &mut Tickets, key: SocketKey, nonblocking: bool, cause: Cause) -> Result<SocketKey, Stop> {
        Err(Errno::NOSYS.into())
    }
    /// connect(2) for stream and seqpacket (CONNECT), and for datagram (DGCONN).
    pub fn connect(&mut self, tickets: &mut Tickets, caller: &Caller<'_>, key: SocketKey, to: &Destination<'_>, nonblocking: bool, cause: Cause) -> Result<(), Stop> {
        Err(Errno::NOSYS.into())
    }
    /// connect(2) of a datagram socket with AF_UNSPEC: takes its peer away (DGCONN 1).
    pub fn disconnect(&mut self, tickets: &mut Tickets, key: SocketKey) {}
    /// The send calls. Returns the bytes sent.
    pub fn send(&mut self, tickets: &mut Tickets, caller: &Caller<'_>, key: SocketKey, out: &Outgoing<'_, '_>, sending: &mut Sending, cause: Cause) -> Result<usize, Stop> {
        Err(Errno::NOSYS.into())
    }
    /// Ends a send: drops what it has not queued.
    pub fn finish_send(&mut self, tickets: &mut Tickets, sending: &mut Sending) {}
    /// The receive calls. Returns the bytes received (the whole length with MSG_TRUNC).
    pub fn receive(&mut self, tickets: &mut Tickets, key: SocketKey, into: &mut Incoming<'_, '_>, receiving: &mut Receiving, cause: Cause) -> Result<usize, Stop> {
        Err(Errno::NOSYS.into())
    }
    /// Ends a recvmsg that succeeded: writes control messages. `install` makes a descriptor of a file
    /// (`true`: close-on-exec; for peeked files it takes a reference of its own, else it takes over the
    /// attachment's) or says EMFILE. Returns `msg_flags`.
    pub fn deliver(&mut self, key: SocketKey, receiving: Receiving, control: &mut ControlOut<'_>, flags: RecvFlags, install: &mut dyn FnMut(Attachment, bool, bool) -> Result<i32, Errno>) -> RecvFlags {
        RecvFlags::empty()
    }
    /// Ends any other receive: drops the files it took.
    pub fn discard(&mut self, receiving: Receiving) {}
    /// shutdown(2).
    pub fn shutdown(&mut self, tickets: &mut Tickets, key: SocketKey, how: i32) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }
    /// The last close.
    pub fn release(&mut self, tickets: &mut Tickets, key: SocketKey) {}
    /// Collects sockets in flight that nobody can reach any more (GC). `references` is how many
    /// references a file has in all, those in flight included. Returns whether something was dropped.
    pub fn collect(&mut self, tickets: &mut Tickets, references: &mut dyn FnMut(File) -> usize) -> bool {
        false
    }
    /// poll(2): what there is now.
    pub fn readiness(&self, key: SocketKey) -> Readiness {
        Readiness::empty()
    }
    /// Puts a ticket of a call that waits in its queue.
    pub fn enrol(&mut self, tickets: &Tickets, ticket: Ticket, key: SocketKey, waiting: &Waiting) {}
    /// Puts a ticket of a poll for `events` in the queues whose wakes may bring them.
    pub fn enrol_poll(&mut self, tickets: &Tickets, ticket: Ticket, key: SocketKey, events: Readiness) {}
    /// getsockname(2) into `name`; EINVAL, EFAULT (ADDR 9).
    pub fn getsockname(&self, key: SocketKey, name: &mut NameOut) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }
    /// getpeername(2): ENOTCONN, EINVAL, EFAULT. (For accept too, where `name` may want nothing.)
    pub fn getpeername(&self, key: SocketKey, name: &mut NameOut) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }
    /// Writes the source address of a receive: for recvfrom before `deliver`; EINVAL, EFAULT. For
    /// recvmsg a negative length is EINVAL before the receive.
    pub fn source_name(&self, receiving: &Receiving, name: &mut NameOut) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }
    /// getsockopt(2).
    pub fn getsockopt(&mut self, key: SocketKey, level: i32, option: i32, value: &mut OptionOut<'_>) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }
    /// setsockopt(2).
    pub fn setsockopt(&mut self, tickets: &mut Tickets, caller: &Caller<'_>, key: SocketKey, level: i32, option: i32, value: &[u8]) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }
    /// ioctl SIOCINQ: bytes to be read; EINVAL on a listener (OPT 6).
    pub fn inq(&self, key: SocketKey) -> Result<i32, Errno> {
        Err(Errno::NOSYS)
    }
    /// ioctl SIOCOUTQ: memory charged (MEM 1).
    pub fn outq(&self, key: SocketKey) -> i32 {
        0
    }
    /// ioctl SIOCATMARK (OOB 8).
    pub fn at_mark(&self, key: SocketKey) -> bool {
        false
    }
    /// The sockets of a snapshot, by id.
    pub fn snapshot(&self) -> Vec<afunix::snapshot::Socket> {
        Vec::new()
    }
    /// Recomputes what is counted along; an error says in words what does not hold.
    pub fn check(&self) -> Result<(), String> {
        Ok(())
    }
}
