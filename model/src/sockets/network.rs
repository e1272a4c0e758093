//! What a network may do to datagrams where nothing is promised: one is lost, or overtakes others.
//!
//! Both happen to the newest message of a receiver, right after it was queued: before anybody could
//! be told that it is there.

use afunix::SocketType;

use super::{Part, SocketKey, Sockets, Touch};
use crate::wait::Tickets;

impl Sockets {
    /// How many messages a datagram socket has received; 0 of other sockets.
    pub fn datagrams(&self, key: SocketKey) -> usize {
        let socket = self.living(key).filter(|socket| socket.kind == SocketType::Datagram);
        socket.map_or(0, |socket| socket.queue.len())
    }

    /// The newest message of a datagram socket, which has one, is gone: its sender's memory and its
    /// files are let go. Drain the dropped files.
    pub fn lose_newest(&mut self, tickets: &mut Tickets, key: SocketKey) {
        self.watch.touch(Part::Receive(key), Touch::Write);
        let Some(buffer) = self.table[key].queue.pop_newest() else {
            panic!("a message that is lost was there");
        };
        self.drop_files(key, &buffer);
        self.uncharge(tickets, buffer.from, buffer.charge);
        self.wake_one_peer(tickets, key);
    }

    /// The newest message of a datagram socket goes ahead of so many others, as far as there are.
    pub fn overtake(&mut self, key: SocketKey, others: usize) {
        self.watch.touch(Part::Receive(key), Touch::Write);
        self.table[key].queue.bring_forward(others);
    }
}
