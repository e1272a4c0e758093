//! read, readv, recvfrom, recvmsg.

use std::os::fd::AsFd;

use afunix::control::ControlOut;
use afunix::{Errno, NameOut, NameWant, RecvFlags, SegmentMut, SocketType};
use afunix_model::sockets::{Attachment, Incoming, Install, Receiving, Stop};

use super::send::Header;
use super::{Call, Flow, NameRoom, State, buffers, cut, stopped, total, vector};
use crate::flight::Held;
use crate::supervisor::Supervisor;
use crate::sys::memory::{self, Span};
use crate::sys::notify::Listener;
use crate::sys::process;

/// How much is received of a stream at a time, unless it is to be waited for.
const STREAM_MOST: usize = 1 << 20;
/// What is received at a time in any case.
const MOST: usize = 64 << 20;
/// Control data beyond this is never filled: 253 descriptors, credentials and times take less.
const CONTROL_MOST: usize = 1 << 14;
/// No pointer of a program stands above, and none below a page.
const ADDRESSES: std::ops::Range<u64> = 4096..1 << 47;

/// A receive on its way.
#[derive(Debug)]
pub(crate) struct Receive {
    pub(super) room: Room,
    receiving: Receiving,
    /// What was received before it began to wait.
    data: Vec<u8>,
}

/// Where what is received goes to.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) spans: Vec<Span>,
    pub(super) flags: RecvFlags,
    pub(super) place: Where,
}

/// What is told beside the bytes, and where.
#[derive(Clone, Copy, Debug)]
pub(super) enum Where {
    /// Nothing (read).
    Nowhere,
    /// The sender's name (recvfrom).
    Name(NameRoom),
    /// `struct msghdr` at this address, with the name's and the control data's rooms (recvmsg).
    Header { address: u64, name: u64, name_len: i32, control: (u64, usize) },
}

impl Room {
    /// One message of recvmsg.
    pub(super) fn read(tid: i32, address: u64, flags: RecvFlags) -> Result<Room, Errno> {
        let header = Header::read(tid, address)?;
        if header.name_len < 0 {
            // ADDR 9: the message is kept.
            return Err(Errno::INVAL);
        }
        let spans = vector(tid, header.vector.0, header.vector.1)?;
        let (name, name_len, control) = (header.name, header.name_len, header.control);
        Ok(Room { spans, flags, place: Where::Header { address, name, name_len, control } })
    }
}

impl Receive {
    pub(super) fn new(room: Room) -> Receive {
        Receive { room, receiving: Receiving::default(), data: Vec::new() }
    }
}

impl Supervisor {
    pub(super) fn read(&mut self, call: &mut Call) -> Result<Flow, Errno> {
        if call.is_first() {
            let is_preadv2 = call.request.number == libc::SYS_preadv2;
            if is_preadv2 && call.arg(3) as i64 != -1 {
                return Err(Errno::SPIPE);
            }
            let spans = buffers(call)?;
            if total(&spans) == 0 {
                // SRECV 10, DRECV 3
                return Ok(Flow::value(0));
            }
            // RWF_NOWAIT
            let nowait = is_preadv2 && call.int(5) & 8 != 0;
            let flags = if nowait { RecvFlags::DONTWAIT } else { RecvFlags::empty() };
            let room = Room { spans, flags, place: Where::Nowhere };
            call.state = State::Receive(Box::new(Receive::new(room)));
        }
        self.go_on_receiving(call)
    }

    pub(super) fn recvfrom(&mut self, call: &mut Call) -> Result<Flow, Errno> {
        if call.is_first() {
            let name = NameRoom { address: call.arg(4), len: call.arg(5) };
            let flags = RecvFlags::from_bits_retain(call.int(3));
            let room = Room { spans: buffers(call)?, flags, place: Where::Name(name) };
            call.state = State::Receive(Box::new(Receive::new(room)));
        }
        self.go_on_receiving(call)
    }

    pub(super) fn recvmsg(&mut self, call: &mut Call) -> Result<Flow, Errno> {
        if call.is_first() {
            let flags = RecvFlags::from_bits_retain(call.int(2));
            let room = Room::read(call.tid(), call.arg(1), flags)?;
            call.state = State::Receive(Box::new(Receive::new(room)));
        }
        self.go_on_receiving(call)
    }

    fn go_on_receiving(&mut self, call: &mut Call) -> Result<Flow, Errno> {
        let State::Receive(mut receive) = std::mem::take(&mut call.state) else {
            panic!("a receive has its state");
        };
        if call.is_first() {
            cut(&mut receive.room.spans, call.limit);
        }
        match self.receive_one(call, &mut receive) {
            Ok((bytes, _)) => Ok(Flow::value(bytes)),
            Err(Stop::Wait(waiting)) => {
                call.state = State::Receive(receive);
                Ok(Flow::Wait(waiting))
            }
            Err(stop) => stopped(call, stop),
        }
    }

    /// Receives one message, or goes on with it. Returns its length and flags.
    pub(super) fn receive_one(
        &mut self,
        call: &Call,
        receive: &mut Receive,
    ) -> Result<(usize, RecvFlags), Stop> {
        let (tid, key) = (call.tid(), call.key());
        let room = &receive.room;
        let is_stream = self.sockets.kind(key) == SocketType::Stream;
        let waits_for_all = room.flags.contains(RecvFlags::WAITALL);
        let most = if is_stream && !waits_for_all { STREAM_MOST } else { MOST };
        let len = total(&room.spans).min(most);
        let mut data = match receive.data.is_empty() {
            true => std::mem::take(&mut self.scratch),
            false => std::mem::take(&mut receive.data),
        };
        if data.len() < len {
            data.resize(len, 0);
        }
        let faults = room.spans.iter().any(|span| span.len > 0 && !is_possible(span));
        let bytes = &mut data[..len];
        let mut whole = [if faults { SegmentMut::Fault(len) } else { SegmentMut::Bytes(bytes) }];
        let want_name = match room.place {
            Where::Nowhere => false,
            Where::Name(name) => name.address != 0,
            Where::Header { name, .. } => name != 0,
        };
        let (nonblocking, flags) = (call.is_nonblocking(), room.flags);
        let mut incoming = Incoming { data: &mut whole, flags, nonblocking, want_name };
        let (tickets, receiving) = (&mut self.tickets, &mut receive.receiving);
        let result = self.sockets.receive(tickets, key, &mut incoming, receiving, call.cause());
        match result {
            Err(Stop::Wait(waiting)) => {
                if receive.receiving.progress > 0 {
                    receive.data = data;
                } else {
                    self.scratch = data;
                }
                Err(Stop::Wait(waiting))
            }
            Err(stop) => {
                self.scratch = data;
                self.sockets.discard(std::mem::take(&mut receive.receiving));
                Err(stop)
            }
            Ok(count) => {
                let received = &data[..count.min(len)];
                let is_written =
                    memory::write(tid, &receive.room.spans, received) == received.len();
                self.scratch = data;
                let told = self.tell(call, receive);
                if !is_written {
                    return Err(Errno::FAULT.into());
                }
                Ok((count, told?))
            }
        }
    }

    /// Tells what came with the bytes. Returns `msg_flags`.
    fn tell(&mut self, call: &Call, receive: &mut Receive) -> Result<RecvFlags, Errno> {
        let receiving = std::mem::take(&mut receive.receiving);
        match receive.room.place {
            Where::Nowhere => {
                self.sockets.discard(receiving);
                Ok(RecvFlags::empty())
            }
            Where::Name(room) => {
                let mut name = room.want(call.tid());
                let named = self.sockets.source_name(&receiving, &mut name);
                self.sockets.discard(receiving);
                named?;
                room.write(call.tid(), &name)?;
                Ok(RecvFlags::empty())
            }
            Where::Header { address, name, name_len, control } => {
                let want = match name {
                    0 => NameWant::Nothing,
                    _ => NameWant::Buffer { len: name_len.min(super::STORAGE) },
                };
                let mut source = NameOut::with(want);
                let named = self.sockets.source_name(&receiving, &mut source);
                let flags = self.deliver(call, receiving, receive.room.flags, address, control)?;
                named?;
                if let Some(len) = source.reported {
                    memory::write_bytes(call.tid(), address + 8, &len.to_ne_bytes())?;
                    memory::write_bytes(call.tid(), name, source.written())?;
                }
                Ok(flags)
            }
        }
    }

    /// Control data, its length, and the flags.
    fn deliver(
        &mut self,
        call: &Call,
        receiving: Receiving,
        flags: RecvFlags,
        address: u64,
        control: (u64, usize),
    ) -> Result<RecvFlags, Errno> {
        let tid = call.tid();
        let mut bytes = vec![0; control.1.min(CONTROL_MOST)];
        // RCMSG 9: memory that cannot be written is no error.
        let mut out = match control.1 {
            0 => ControlOut::nothing(),
            _ if memory::is_writable(tid, control.0) => ControlOut::new(&mut bytes),
            len => ControlOut::fault(len),
        };
        let parts = self.parts();
        let (listener, held, id) = (parts.listener, parts.held, call.request.id);
        let mut table = Table { listener, id, held, given: Vec::new() };
        let now = process::realtime();
        let key = call.key();
        let flags = parts.sockets.deliver(key, receiving, &mut out, flags, now, &mut table);
        let given = std::mem::take(&mut table.given);
        let written = out.written().to_vec();
        let len = out.len as u64;
        for file in given {
            self.held.drop_one(file.file);
        }
        let _ = memory::write_bytes(tid, control.0, &written);
        memory::write_bytes(tid, address + 40, &len.to_ne_bytes())?;
        memory::write_bytes(tid, address + 48, &flags.bits().to_ne_bytes())?;
        Ok(flags)
    }
}

/// Whether a pointer can be one at all.
fn is_possible(span: &Span) -> bool {
    let end = span.address.saturating_add(span.len as u64);
    ADDRESSES.contains(&span.address) && end <= ADDRESSES.end
}

/// The receiver's table of descriptors.
struct Table<'a> {
    listener: &'a Listener,
    id: u64,
    held: &'a mut Held,
    given: Vec<Attachment>,
}

impl Install for Table<'_> {
    fn file(&mut self, file: Attachment, cloexec: bool, peeked: bool) -> Result<i32, Errno> {
        let held = self.held.get(file.file).ok_or(Errno::BADF)?;
        let number = self.listener.give(self.id, held, cloexec)?;
        if !peeked {
            self.given.push(file);
        }
        Ok(number)
    }

    fn pidfd(&mut self, pid: i32) -> Result<i32, Errno> {
        let handle = process::open_process(pid)?;
        // RCMSG 10: always close-on-exec.
        self.listener.give(self.id, handle.as_fd(), true)
    }
}
