//! What each trapped call does: its arguments are read from the program's registers and memory,
//! the model is asked, and what it says is written back.

mod create;
mod many;
mod name;
mod option;
mod receive;
mod send;
mod transfer;

use std::os::fd::OwnedFd;
use std::time::Duration;

use afunix::call::TRANSFER_MAX;
use afunix::{ADDRESS_MAX, Address, Errno, NameOut, NameWant, RawName, SocketType, trace};
use afunix_model::sockets::{Cause, SocketKey, Sockets, Stop, Waiting, names};

use crate::faults::{Chance, Fault};
use crate::filter;
use crate::supervisor::Supervisor;
use crate::sys::file;
use crate::sys::memory::{self, Span};
use crate::sys::notify::Request;

/// Most buffers of one call (UIO_MAXIOV).
const BUFFERS_MAX: usize = 1024;
/// Bytes of an address at most (`struct sockaddr_storage`).
const STORAGE: i32 = 128;

/// A call of the program on its way.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: Request,
    /// The socket that it is about, which it holds open as the kernel does (VFS 5).
    pub(crate) socket: Option<(SocketKey, OwnedFd)>,
    /// Why it is tried; `None` for the first time.
    pub(crate) cause: Option<Cause>,
    /// When its wait is over.
    pub(crate) deadline: Option<Duration>,
    /// With what it ends if a signal interrupts it.
    pub(crate) interrupted: Errno,
    /// Its beginning was told.
    pub(crate) is_told: bool,
    /// A fault: how many bytes it moves at most.
    limit: Option<usize>,
    state: State,
}

/// What a call keeps while it waits.
#[derive(Debug, Default)]
enum State {
    #[default]
    None,
    Send(Box<send::Send>),
    Receive(Box<receive::Receive>),
    SendMany(Box<many::SendMany>),
    ReceiveMany(Box<many::ReceiveMany>),
    Transfer(Box<transfer::Transfer>),
}

/// How a call goes.
#[derive(Debug)]
pub(crate) enum Flow {
    /// It is over.
    Done(Reply),
    /// It waits.
    Wait(Waiting),
}

/// With what a call ends.
#[derive(Debug)]
pub(crate) enum Reply {
    /// With a value.
    Result(Result<usize, Errno>),
    /// The kernel makes it: it is about nothing of the model's.
    GoOn,
    /// With a new descriptor.
    Give { file: OwnedFd, cloexec: bool },
}

impl Flow {
    fn value(value: usize) -> Flow {
        Flow::Done(Reply::Result(Ok(value)))
    }
}

impl From<Result<usize, Errno>> for Flow {
    fn from(result: Result<usize, Errno>) -> Self {
        Flow::Done(Reply::Result(result))
    }
}

impl Call {
    pub(crate) fn new(request: Request) -> Call {
        Call {
            request,
            socket: None,
            cause: None,
            deadline: None,
            interrupted: Errno::INTR,
            is_told: false,
            limit: None,
            state: State::None,
        }
    }

    /// Much as strace(1) prints it, without its result.
    pub(crate) fn in_words(&self) -> String {
        let (name, fd) = (name_of(self.request.number), self.int(0));
        match self.request.number {
            libc::SYS_socket | libc::SYS_socketpair => {
                let kind = Sockets::socket_type(self.int(1), self.int(2));
                let kind = match kind {
                    Ok(SocketType::Stream) => "SOCK_STREAM",
                    Ok(SocketType::Datagram) => "SOCK_DGRAM",
                    Ok(SocketType::Seqpacket) => "SOCK_SEQPACKET",
                    Err(_) => "?",
                };
                format!("{name}({kind})")
            }
            libc::SYS_bind | libc::SYS_connect => {
                let to = NameArg::read(self.tid(), self.arg(1), self.int(2));
                let to = match to.bytes().map(|bytes| bytes.map(Address::from_bytes)) {
                    Ok(Some(Ok(address))) => format!("{address:?}"),
                    _ => "?".to_owned(),
                };
                format!("{name}({fd}, {to})")
            }
            libc::SYS_read | libc::SYS_write | libc::SYS_recvfrom | libc::SYS_sendto => {
                format!("{name}({fd}, {} bytes)", self.arg(2))
            }
            libc::SYS_listen | libc::SYS_shutdown => format!("{name}({fd}, {})", self.int(1)),
            libc::SYS_getsockopt | libc::SYS_setsockopt => {
                let option = afunix::options::option_name(self.int(2)).unwrap_or("?");
                format!("{name}({fd}, {option})")
            }
            _ => format!("{name}({fd})"),
        }
    }

    fn is_first(&self) -> bool {
        self.cause.is_none()
    }

    fn cause(&self) -> Cause {
        self.cause.unwrap_or(Cause::Run)
    }

    /// The error of a call that a signal interrupted, which the model calls EINTR.
    fn ends_in(&self, errno: Errno) -> Errno {
        let interrupted = self.cause == Some(Cause::Interrupted) && errno == Errno::INTR;
        if interrupted { self.interrupted } else { errno }
    }

    fn arg(&self, index: usize) -> u64 {
        self.request.args[index]
    }

    fn int(&self, index: usize) -> i32 {
        self.request.args[index] as i32
    }

    fn tid(&self) -> i32 {
        self.request.tid
    }

    /// The socket of a call that was found to be about one.
    fn key(&self) -> SocketKey {
        let Some((key, _)) = &self.socket else { panic!("the call is about a socket") };
        *key
    }

    /// Whether O_NONBLOCK was set when the call began (VFS 6).
    fn is_nonblocking(&self) -> bool {
        use std::os::fd::AsFd;
        let near = self.socket.as_ref().map(|(_, near)| near.as_fd());
        self.is_first() && near.is_some_and(file::is_nonblocking)
    }
}

impl Supervisor {
    /// Tries a call.
    pub(crate) fn perform(&mut self, call: &mut Call) -> Flow {
        match self.try_perform(call) {
            Ok(flow) => flow,
            Err(errno) => Err(errno).into(),
        }
    }

    fn try_perform(&mut self, call: &mut Call) -> Result<Flow, Errno> {
        match call.request.number {
            libc::SYS_socket => return self.socket(call),
            libc::SYS_socketpair => return self.socketpair(call),
            libc::SYS_splice => return self.splice(call),
            // What happened before is shown by now.
            number if filter::ALL_POLLS.contains(&number) => return Ok(Flow::Done(Reply::GoOn)),
            _ => {}
        }
        if call.is_first() {
            call.socket = match self.socket_of(call.tid(), call.int(0)) {
                Ok(None) | Err(Errno::BADF) => return Ok(Flow::Done(Reply::GoOn)),
                Ok(found) => found,
                Err(errno) => {
                    let pid = self.threads.pid(call.tid());
                    self.report.note(format!("descriptors of process {pid} not seen: {errno}"));
                    return Err(errno);
                }
            };
            self.inject(call)?;
        }
        match call.request.number {
            libc::SYS_read | libc::SYS_readv | libc::SYS_preadv2 => self.read(call),
            libc::SYS_recvfrom => self.recvfrom(call),
            libc::SYS_recvmsg => self.recvmsg(call),
            libc::SYS_recvmmsg => self.recvmmsg(call),
            libc::SYS_write | libc::SYS_writev | libc::SYS_pwritev2 => self.write(call),
            libc::SYS_sendto => self.sendto(call),
            libc::SYS_sendmsg => self.sendmsg(call),
            libc::SYS_sendmmsg => self.sendmmsg(call),
            libc::SYS_sendfile => self.sendfile(call),
            libc::SYS_bind => self.bind(call),
            libc::SYS_listen => self.listen(call),
            libc::SYS_connect => self.connect(call),
            libc::SYS_accept | libc::SYS_accept4 => self.accept(call),
            libc::SYS_shutdown => {
                let how = call.int(1);
                self.sockets.shutdown(&mut self.tickets, call.key(), how).map(|()| Flow::value(0))
            }
            libc::SYS_getsockname | libc::SYS_getpeername => self.get_name(call),
            libc::SYS_getsockopt => self.getsockopt(call),
            libc::SYS_setsockopt => self.setsockopt(call),
            libc::SYS_ioctl => self.ioctl(call),
            number => {
                self.report.note(format!("system call {number} on a socket is not emulated"));
                Err(Errno::NOSYS)
            }
        }
    }

    /// Lets a fault strike, if it is to: EINTR, or a limit.
    fn inject(&mut self, call: &mut Call) -> Result<(), Errno> {
        if self.dice.are_off() {
            return Ok(());
        }
        let pid = self.threads.pid(call.tid());
        let is_stream = self.sockets.kind(call.key()) == SocketType::Stream;
        let (may_wait, receives, sends) = match call.request.number {
            libc::SYS_accept | libc::SYS_accept4 | libc::SYS_connect => (true, false, false),
            libc::SYS_read | libc::SYS_readv | libc::SYS_recvfrom | libc::SYS_recvmsg => {
                (true, is_stream, false)
            }
            libc::SYS_write | libc::SYS_writev | libc::SYS_sendto | libc::SYS_sendmsg => {
                (true, false, is_stream)
            }
            _ => return Ok(()),
        };
        let nonblocking = call.is_nonblocking();
        let bytes = match receives || sends && nonblocking {
            true => self.transfer_len(call).unwrap_or(0),
            false => 0,
        };
        let what = match self.dice.throw(pid, Chance { may_wait: may_wait && !nonblocking, bytes })
        {
            None => return Ok(()),
            Some(Fault::Interrupt) => "interrupted".to_owned(),
            Some(Fault::Limit(limit)) => {
                call.limit = Some(limit);
                format!("short: {limit} of {bytes} bytes")
            }
        };
        self.report.faults += 1;
        let what = format!("{} {what}", name_of(call.request.number));
        self.observer.tell(pid, call.tid(), || trace::EventKind::Fault { what });
        if call.limit.is_none() { Err(Errno::INTR) } else { Ok(()) }
    }

    /// Bytes that a call could move.
    fn transfer_len(&self, call: &Call) -> Result<usize, Errno> {
        match call.request.number {
            libc::SYS_sendmsg | libc::SYS_recvmsg => {
                let header = send::Header::read(call.tid(), call.arg(1))?;
                vector(call.tid(), header.vector.0, header.vector.1).map(|spans| total(&spans))
            }
            _ => buffers(call).map(|spans| total(&spans)),
        }
    }

    /// A call is given up, as its thread has ended.
    pub(crate) fn give_up(&mut self, call: &mut Call) {
        match std::mem::take(&mut call.state) {
            State::Send(send) => self.finish_send(*send),
            State::SendMany(many) => self.finish_send(many.one),
            State::Transfer(transfer) => self.finish_send(transfer.send),
            State::Receive(_) | State::ReceiveMany(_) | State::None => {}
        }
    }
}

/// What becomes of a step that stopped.
fn stopped(call: &Call, stop: Stop) -> Result<Flow, Errno> {
    match stop {
        Stop::Error(errno) => Err(call.ends_in(errno)),
        Stop::Wait(waiting) => Ok(Flow::Wait(waiting)),
    }
}

/// An address argument, copied out of the program.
#[derive(Clone, Copy, Debug)]
struct NameArg {
    bytes: [u8; STORAGE as usize],
    len: i32,
    kind: NameKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameKind {
    Null,
    Bytes,
    Fault,
}

impl NameArg {
    fn read(tid: i32, address: u64, len: i32) -> NameArg {
        let mut bytes = [0; STORAGE as usize];
        let kind = match usize::try_from(len) {
            _ if address == 0 => NameKind::Null,
            Ok(len) if len <= bytes.len() => {
                match memory::read_bytes(tid, address, &mut bytes[..len]) {
                    Ok(()) => NameKind::Bytes,
                    Err(_) => NameKind::Fault,
                }
            }
            // Refused for its length.
            _ => NameKind::Fault,
        };
        NameArg { bytes, len, kind }
    }

    fn raw(&self) -> RawName<'_> {
        match self.kind {
            NameKind::Null => RawName::Null { len: self.len },
            NameKind::Bytes => RawName::Bytes(&self.bytes[..self.len as usize]),
            NameKind::Fault => RawName::Fault { len: self.len },
        }
    }

    fn bytes(&self) -> Result<Option<&[u8]>, Errno> {
        names::copy_in(self.raw())
    }
}

/// Where a name goes to: the pointers to its bytes and to its length.
#[derive(Clone, Copy, Debug)]
struct NameRoom {
    address: u64,
    len: u64,
}

impl NameRoom {
    /// What is asked for.
    fn want(self, tid: i32) -> NameOut {
        if self.address == 0 {
            return NameOut::nothing();
        }
        NameOut::with(match memory::read_int(tid, self.len) {
            _ if self.len == 0 => NameWant::NullLength,
            Ok(len) => NameWant::Buffer { len: len.min(STORAGE) },
            Err(_) => NameWant::NullLength,
        })
    }

    /// Whether what is told can be written.
    fn is_good(self, tid: i32) -> bool {
        memory::is_writable(tid, self.len) && memory::is_writable(tid, self.address)
    }

    /// Writes what was told; EFAULT.
    fn write(self, tid: i32, name: &NameOut) -> Result<(), Errno> {
        if let Some(len) = name.reported {
            memory::write_bytes(tid, self.len, &len.to_ne_bytes())?;
            memory::write_bytes(tid, self.address, name.written())?;
        }
        Ok(())
    }
}

/// The buffers of a call: one, or a list of them.
fn buffers(call: &Call) -> Result<Vec<Span>, Errno> {
    match call.request.number {
        libc::SYS_readv | libc::SYS_writev | libc::SYS_preadv2 | libc::SYS_pwritev2 => {
            vector(call.tid(), call.arg(1), call.arg(2)).map_err(|errno| match errno {
                Errno::MSGSIZE => Errno::INVAL,
                errno => errno,
            })
        }
        _ => Ok(vec![Span { address: call.arg(1), len: call.arg(2) as usize }]),
    }
}

/// A list of buffers (`struct iovec`): EMSGSIZE over 1024, EFAULT, EINVAL for a length that no
/// count could tell of. Beyond what one call transfers they are cut.
fn vector(tid: i32, address: u64, count: u64) -> Result<Vec<Span>, Errno> {
    let count = usize::try_from(count).ok().filter(|count| *count <= BUFFERS_MAX);
    let count = count.ok_or(Errno::MSGSIZE)?;
    let mut bytes = vec![0; 16 * count];
    memory::read_bytes(tid, address, &mut bytes)?;
    let mut spans = Vec::with_capacity(count);
    let mut left = TRANSFER_MAX;
    for entry in bytes.chunks_exact(16) {
        let word =
            |at: usize| entry[at..].first_chunk().map_or(0, |word| u64::from_ne_bytes(*word));
        let len = usize::try_from(word(8)).map_err(|_| Errno::INVAL)?;
        if len > isize::MAX as usize {
            return Err(Errno::INVAL);
        }
        let len = len.min(left);
        left -= len;
        spans.push(Span { address: word(0), len });
    }
    Ok(spans)
}

/// Cuts what a call moves, if a fault says so.
fn cut(spans: &mut [Span], limit: Option<usize>) {
    let Some(mut left) = limit else { return };
    for span in spans {
        span.len = span.len.min(left);
        left -= span.len;
    }
}

fn total(spans: &[Span]) -> usize {
    spans.iter().map(|span| span.len).sum::<usize>().min(TRANSFER_MAX)
}

/// The length of an address is never more than this.
const _: () = assert!(ADDRESS_MAX < STORAGE as usize);

/// The name of a trapped call.
pub(crate) fn name_of(number: i64) -> &'static str {
    match number {
        libc::SYS_socket => "socket",
        libc::SYS_socketpair => "socketpair",
        libc::SYS_bind => "bind",
        libc::SYS_listen => "listen",
        libc::SYS_connect => "connect",
        libc::SYS_accept => "accept",
        libc::SYS_accept4 => "accept4",
        libc::SYS_shutdown => "shutdown",
        libc::SYS_getsockname => "getsockname",
        libc::SYS_getpeername => "getpeername",
        libc::SYS_getsockopt => "getsockopt",
        libc::SYS_setsockopt => "setsockopt",
        libc::SYS_read => "read",
        libc::SYS_readv => "readv",
        libc::SYS_preadv2 => "preadv2",
        libc::SYS_recvfrom => "recvfrom",
        libc::SYS_recvmsg => "recvmsg",
        libc::SYS_recvmmsg => "recvmmsg",
        libc::SYS_write => "write",
        libc::SYS_writev => "writev",
        libc::SYS_pwritev2 => "pwritev2",
        libc::SYS_sendto => "sendto",
        libc::SYS_sendmsg => "sendmsg",
        libc::SYS_sendmmsg => "sendmmsg",
        libc::SYS_sendfile => "sendfile",
        libc::SYS_splice => "splice",
        libc::SYS_ioctl => "ioctl",
        _ => "another call",
    }
}
