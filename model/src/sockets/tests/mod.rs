//! The family by itself, without a machine: tables of the accounting, merging, queues, resets,
//! waiting, cycles, broken invariants. Whatever is surprising here was first seen on Linux 6.18.

mod accounting;
mod broken;
mod cycles;
mod footprints;
mod merging;
mod planted;
mod queues;
mod resets;
mod shortcuts;
mod waits;

use afunix::{Capabilities, Errno, RecvFlags, Segment, SegmentMut, SendFlags, SocketType};

use super::*;
use crate::wait::{Ticket, Tickets};

/// Who calls in these tests: an ordinary user.
pub(super) const USER: Caller<'static> = Caller {
    pid: 7,
    uid: Ids::all(1000),
    gid: Ids::all(1000),
    groups: &[],
    capabilities: Capabilities::empty(),
    descriptor_limit: 1024,
    now: std::time::Duration::ZERO,
    netns: 0,
};

/// Sockets and tickets, with calls that are short to write. After each the invariants are checked.
pub(super) struct World {
    pub(super) sockets: Sockets,
    pub(super) tickets: Tickets,
}

impl World {
    pub(super) fn new() -> World {
        World { sockets: Sockets::new(Profile::default()), tickets: Tickets::default() }
    }

    pub(super) fn check(&self) {
        self.sockets.check().expect("the invariants hold");
    }

    pub(super) fn socket(&mut self, kind: SocketType) -> SocketKey {
        self.sockets.create(&USER, kind)
    }

    pub(super) fn pair(&mut self, kind: SocketType) -> (SocketKey, SocketKey) {
        self.sockets.pair(&USER, kind)
    }

    /// A listener with an abstract name.
    pub(super) fn listener(&mut self, name: &str, backlog: i32) -> SocketKey {
        let key = self.socket(SocketType::Stream);
        self.bind(key, name);
        self.sockets.listen(&mut self.tickets, &USER, key, backlog).expect("it listens");
        key
    }

    pub(super) fn bind(&mut self, key: SocketKey, name: &str) {
        self.sockets.bind_abstract(key, format!("\0{name}").as_bytes()).expect("the name is free");
    }

    pub(super) fn connect(&mut self, key: SocketKey, name: &str) -> Result<(), Stop> {
        let name = format!("\0{name}");
        let to = Destination::Abstract(name.as_bytes());
        let result = self.sockets.connect(&mut self.tickets, &USER, key, &to, false, Cause::Run);
        self.check();
        result
    }

    pub(super) fn try_send(
        &mut self,
        key: SocketKey,
        data: &[u8],
        flags: SendFlags,
        sending: &mut Sending,
        cause: Cause,
    ) -> Result<usize, Stop> {
        let data = [Segment::Bytes(data)];
        let out = Outgoing { data: &data, to: SendTo::Peer, flags, nonblocking: false };
        let result = self.sockets.send(&mut self.tickets, &USER, key, &out, sending, cause);
        if !matches!(result, Err(Stop::Wait(_))) {
            self.sockets.finish_send(&mut self.tickets, sending);
        }
        self.check();
        result
    }

    /// A send that does not wait.
    pub(super) fn send(&mut self, key: SocketKey, data: &[u8]) -> Result<usize, Errno> {
        self.send_with(key, data, &[], SendFlags::empty())
    }

    pub(super) fn send_with(
        &mut self,
        key: SocketKey,
        data: &[u8],
        files: &[Attachment],
        flags: SendFlags,
    ) -> Result<usize, Errno> {
        let mut sending = Sending { files: files.into(), ..Sending::default() };
        let flags = flags | SendFlags::DONTWAIT;
        self.try_send(key, data, flags, &mut sending, Cause::Run).map_err(error)
    }

    pub(super) fn try_receive(
        &mut self,
        key: SocketKey,
        data: &mut [u8],
        flags: RecvFlags,
        receiving: &mut Receiving,
        cause: Cause,
    ) -> Result<usize, Stop> {
        let mut data = [SegmentMut::Bytes(data)];
        let mut into = Incoming { data: &mut data, flags, nonblocking: false, want_name: false };
        let result = self.sockets.receive(&mut self.tickets, key, &mut into, receiving, cause);
        self.check();
        result
    }

    /// A receive that does not wait: the bytes and the files.
    pub(super) fn receive_with(
        &mut self,
        key: SocketKey,
        len: usize,
        flags: RecvFlags,
    ) -> Result<(Vec<u8>, Vec<Attachment>), Errno> {
        let mut data = vec![0; len];
        let mut receiving = Receiving::default();
        let flags = flags | RecvFlags::DONTWAIT;
        let count =
            self.try_receive(key, &mut data, flags, &mut receiving, Cause::Run).map_err(error)?;
        data.truncate(count);
        Ok((data, receiving.files.to_vec()))
    }

    /// A receive that does not wait: the bytes, as text.
    pub(super) fn receive(&mut self, key: SocketKey, len: usize) -> Result<String, Errno> {
        let (bytes, _) = self.receive_with(key, len, RecvFlags::empty())?;
        Ok(String::from_utf8(bytes).expect("text was sent"))
    }

    pub(super) fn shutdown(&mut self, key: SocketKey, how: i32) {
        self.sockets.shutdown(&mut self.tickets, key, how).expect("it is shut down");
        self.check();
    }

    pub(super) fn close(&mut self, key: SocketKey) {
        self.sockets.release(&mut self.tickets, key);
        self.check();
    }

    /// Makes a waiting call wait.
    pub(super) fn wait(&mut self, stop: Stop) -> Ticket {
        let Stop::Wait(waiting) = stop else { panic!("it waits, but {stop:?}") };
        let ticket = self.tickets.issue();
        self.sockets.enrol(&self.tickets, ticket, &waiting);
        ticket
    }

    /// Whether a wake reached the ticket.
    pub(super) fn is_woken(&self, ticket: Ticket) -> bool {
        !self.tickets.is_valid(ticket)
    }
}

/// The error of a call that does not wait.
pub(super) fn error(stop: Stop) -> Errno {
    match stop {
        Stop::Error(errno) => errno,
        Stop::Wait(waiting) => panic!("the call waits: {waiting:?}"),
    }
}

/// A file that is no socket.
pub(super) fn plain_file(number: u64) -> Attachment {
    Attachment { file: File(number), socket: None }
}
