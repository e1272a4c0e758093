//! write, writev, sendto, sendmsg.

use std::collections::HashMap;
use std::os::fd::AsFd;

use afunix::control::RawControl;
use afunix::{Errno, Segment, SendFlags, SocketType};
use afunix_model::sockets::{
    Attachment, Cause, Name, Outgoing, Resolve, SendTo, Sending, SocketKey, Stop, names,
    parse_control,
};

use super::{Call, Flow, NameArg, Reply, State, buffers, cut, stopped, total, vector};
use crate::caller::{Identity, Threads};
use crate::flight::Held;
use crate::supervisor::{Supervisor, key_of};
use crate::sys::memory::{self, Span};

/// How much of a stream's bytes is copied out of the program at a time.
pub(super) const WINDOW: usize = 1 << 20;
/// What no message exceeds: what is longer is refused for its length, unread.
const MESSAGE_MAX: usize = 8 << 20;

/// A send on its way.
#[derive(Debug)]
pub(crate) struct Send {
    pub(super) message: Message,
    sending: Sending,
    /// The bytes of this window, as far as they could be read; the length says how many there are.
    data: Vec<u8>,
    len: usize,
    /// Bytes of the windows before.
    sent: usize,
}

/// What is to be sent.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) spans: Vec<Span>,
    pub(super) name: Option<NameArg>,
    /// Address and length of control data.
    pub(super) control: (u64, usize),
    pub(super) flags: SendFlags,
}

/// `struct msghdr`.
pub(super) struct Header {
    pub(super) name: u64,
    pub(super) name_len: i32,
    pub(super) vector: (u64, u64),
    pub(super) control: (u64, usize),
}

/// Bytes of `struct msghdr`.
pub(super) const HEADER: usize = 56;

impl Header {
    pub(super) fn read(tid: i32, address: u64) -> Result<Header, Errno> {
        let mut bytes = [0; HEADER];
        memory::read_bytes(tid, address, &mut bytes)?;
        let word =
            |at: usize| bytes[at..].first_chunk().map_or(0, |word| u64::from_ne_bytes(*word));
        let control = usize::try_from(word(40)).unwrap_or(usize::MAX);
        Ok(Header {
            name: word(0),
            name_len: word(8) as i32,
            vector: (word(16), word(24)),
            control: (word(32), control),
        })
    }
}

impl Message {
    /// One message of sendmsg. CMSG 7: the name's length is cut to 128; a null pointer is no name.
    pub(super) fn read(tid: i32, address: u64, flags: i32) -> Result<Message, Errno> {
        let header = Header::read(tid, address)?;
        let has_name = header.name != 0 && header.name_len != 0;
        Ok(Message {
            name: has_name.then(|| NameArg::read(tid, header.name, header.name_len.min(128))),
            spans: vector(tid, header.vector.0, header.vector.1)?,
            control: header.control,
            flags: SendFlags::from_bits_retain(flags),
        })
    }

    pub(super) fn plain(spans: Vec<Span>, flags: SendFlags) -> Message {
        Message { spans, name: None, control: (0, 0), flags }
    }
}

impl Send {
    pub(super) fn new(message: Message) -> Send {
        let len = total(&message.spans);
        Send { message, sending: Sending::default(), data: Vec::new(), len, sent: 0 }
    }

    /// A send of bytes that are at hand.
    pub(super) fn of_bytes(data: Vec<u8>, flags: SendFlags) -> Send {
        let len = data.len();
        let message = Message::plain(Vec::new(), flags);
        Send { message, sending: Sending::default(), data, len, sent: 0 }
    }
}

impl Supervisor {
    pub(super) fn write(&mut self, call: &mut Call) -> Result<Flow, Errno> {
        if call.is_first() {
            let is_vector = call.request.number != libc::SYS_write;
            if call.request.number == libc::SYS_pwritev2 && call.arg(3) as i64 != -1 {
                return Err(Errno::SPIPE);
            }
            let spans = buffers(call)?;
            if is_vector && total(&spans) == 0 {
                // QSEND 2
                return Ok(Flow::value(0));
            }
            // RWF_NOWAIT
            let nowait = call.request.number == libc::SYS_pwritev2 && call.int(5) & 8 != 0;
            let flags = if nowait { SendFlags::DONTWAIT } else { SendFlags::empty() };
            call.state = State::Send(Box::new(Send::new(Message::plain(spans, flags))));
        }
        self.go_on_sending(call)
    }

    pub(super) fn sendto(&mut self, call: &mut Call) -> Result<Flow, Errno> {
        if call.is_first() {
            let (address, len) = (call.arg(4), call.int(5));
            // SSEND 3: a null pointer is no name, whatever its length.
            let name = (address != 0).then(|| NameArg::read(call.tid(), address, len));
            let flags = SendFlags::from_bits_retain(call.int(3));
            let message = Message { name, ..Message::plain(buffers(call)?, flags) };
            if self.goes_out(call, &message)? {
                return Ok(Flow::Done(Reply::GoOn));
            }
            call.state = State::Send(Box::new(Send::new(message)));
        }
        self.go_on_sending(call)
    }

    pub(super) fn sendmsg(&mut self, call: &mut Call) -> Result<Flow, Errno> {
        if call.is_first() {
            let message = Message::read(call.tid(), call.arg(1), call.int(2))?;
            if self.goes_out(call, &message)? {
                return Ok(Flow::Done(Reply::GoOn));
            }
            call.state = State::Send(Box::new(Send::new(message)));
        }
        self.go_on_sending(call)
    }

    /// Whether a datagram is for somebody outside who may be reached.
    fn goes_out(&mut self, call: &Call, message: &Message) -> Result<bool, Errno> {
        let Some(name) = message.name.filter(|_| self.outside.is_open()) else { return Ok(false) };
        let is_datagram = self.sockets.kind(call.key()) == SocketType::Datagram;
        let Ok(Some(address)) = name.bytes() else { return Ok(false) };
        match names::parse_name(address) {
            Ok(name @ Name::Path(_)) if is_datagram => {
                let identity = self.threads.identity(call.tid())?;
                let to = self.destination(call.tid(), &identity, name);
                self.lets_out(call, &to)
            }
            _ => Ok(false),
        }
    }

    fn go_on_sending(&mut self, call: &mut Call) -> Result<Flow, Errno> {
        let State::Send(mut send) = std::mem::take(&mut call.state) else {
            panic!("a send has its state");
        };
        let first = call.is_first();
        if first && call.limit.is_some() {
            cut(&mut send.message.spans, call.limit);
            send.len = total(&send.message.spans);
        }
        match self.send_one(call, &mut send, first) {
            Err(Stop::Wait(waiting)) => {
                call.state = State::Send(send);
                Ok(Flow::Wait(waiting))
            }
            Err(stop) => {
                self.finish_send(*send);
                stopped(call, stop)
            }
            Ok(bytes) => {
                self.finish_send(*send);
                Ok(Flow::value(bytes))
            }
        }
    }

    /// Sends one message, or goes on with it.
    pub(super) fn send_one(
        &mut self,
        call: &Call,
        send: &mut Send,
        mut first: bool,
    ) -> Result<usize, Stop> {
        let nonblocking = call.is_nonblocking();
        let mut cause = if first { Cause::Run } else { call.cause() };
        let is_stream = self.sockets.kind(call.key()) == SocketType::Stream;
        loop {
            let result = self.send_window(call, send, (first, nonblocking, cause), is_stream);
            match result {
                Ok(bytes) => send.sent += bytes,
                // SSEND 12: what was queued counts more than the error.
                Err(Stop::Error(_)) if send.sent > 0 => return Ok(send.sent),
                Err(stop) => return Err(stop),
            }
            let whole = total(&send.message.spans);
            if !is_stream || send.sent >= whole || send.sending.progress < send.len {
                return Ok(send.sent);
            }
            // The next window; files and credentials went with the first.
            self.sockets.finish_send(&mut self.tickets, &mut send.sending);
            send.sending = Sending::default();
            send.len = 0;
            (first, cause) = (true, Cause::Run);
        }
    }

    fn send_window(
        &mut self,
        call: &Call,
        send: &mut Send,
        (first, nonblocking, cause): (bool, bool, Cause),
        is_stream: bool,
    ) -> Result<usize, Stop> {
        let (tid, key) = (call.tid(), call.key());
        let name = send.message.name;
        let name = match &name {
            Some(name) => name.bytes()?,
            None => None,
        };
        let has_control = send.message.control.1 > 0 && send.sent == 0;
        let identity = match first && has_control || name.is_some() {
            true => self.threads.identity(tid)?,
            false => self.threads.ids(tid)?,
        };
        if first {
            if has_control {
                self.sockets.before_control(key)?;
                self.read_control(tid, &identity, send)?;
            }
            read_window(tid, send, is_stream);
        }
        let to = match name {
            None => SendTo::Peer,
            Some(_) if self.sockets.kind(key) != SocketType::Datagram => SendTo::Malformed,
            Some(address) => match names::parse_name(address) {
                Err(_) => SendTo::Malformed,
                Ok(Name::Path(path)) => {
                    SendTo::Named(self.destination(tid, &identity, Name::Path(path)))
                }
                Ok(name) => SendTo::Named(self.destination(tid, &identity, name)),
            },
        };
        let fault = send.len - send.data.len();
        let data = [Segment::Bytes(&send.data), Segment::Fault(fault)];
        let data = if fault == 0 { &data[..1] } else { &data };
        let outgoing = Outgoing { data, to, flags: send.message.flags, nonblocking };
        let (tickets, caller) = (&mut self.tickets, identity.caller());
        let result = self.sockets.send(tickets, &caller, key, &outgoing, &mut send.sending, cause);
        if send.sending.sigpipe {
            // SSEND 13; it is pending when the call returns.
            self.threads.signal(tid, libc::SIGPIPE);
        }
        result
    }

    /// Turns the numbers in control data into files in flight.
    fn read_control(
        &mut self,
        tid: i32,
        identity: &Identity,
        send: &mut Send,
    ) -> Result<(), Errno> {
        let (address, len) = send.message.control;
        let profile = self.sockets.profile().clone();
        let mut bytes = vec![0; len.min(profile.optmem_max as usize)];
        let is_read = memory::read_bytes(tid, address, &mut bytes).is_ok();
        let control = match is_read && bytes.len() == len {
            true => memory::control(&bytes),
            false => RawControl::fault(len),
        };
        let parts = self.parts();
        let mut table =
            Table { tid, threads: parts.threads, by_inode: parts.by_inode, held: parts.held };
        parse_control(&profile, &identity.caller(), control, &mut table, &mut send.sending)
    }

    /// Ends a send, whatever came of it.
    pub(super) fn finish_send(&mut self, mut send: Send) {
        self.sockets.finish_send(&mut self.tickets, &mut send.sending);
    }
}

/// Copies the next bytes out of the program.
fn read_window(tid: i32, send: &mut Send, is_stream: bool) {
    if send.message.spans.is_empty() {
        return;
    }
    let mut skip = send.sent;
    let mut rest: Vec<Span> = Vec::with_capacity(send.message.spans.len());
    for span in &send.message.spans {
        let passed = skip.min(span.len);
        skip -= passed;
        if span.len > passed {
            rest.push(Span { address: span.address + passed as u64, len: span.len - passed });
        }
    }
    let left = total(&rest);
    send.len = if is_stream { left.min(WINDOW) } else { left };
    let readable = if send.len > MESSAGE_MAX { 0 } else { send.len };
    send.data.resize(readable, 0);
    let read = memory::read(tid, &rest, &mut send.data);
    send.data.truncate(read);
}

/// A caller's descriptors, for control data.
struct Table<'a> {
    tid: i32,
    threads: &'a Threads,
    by_inode: &'a HashMap<u64, SocketKey>,
    held: &'a mut Held,
}

impl Resolve for Table<'_> {
    fn file(&mut self, fd: i32) -> Result<Attachment, Errno> {
        let file = self.threads.file(self.tid, fd)?;
        let socket = key_of(self.by_inode, file.as_fd());
        Ok(self.held.hold(file, socket))
    }

    fn is_process(&mut self, pid: i32) -> bool {
        std::path::Path::new(&format!("/proc/{pid}")).exists()
    }
}
