//! What the network of a simulation may do to the datagrams of its machine.

use super::{Access, Machine, Object};
use crate::sockets::{Part, SocketKey};

impl Machine {
    /// The socket to which the last step sent a datagram, with how many messages that has now, as
    /// far as the footprint tells: it must be kept ([`Machine::track`]). To be asked after a send
    /// that succeeded.
    pub fn sent_to(&self) -> Option<(SocketKey, usize)> {
        self.footprint.iter().rev().find_map(|touched| match *touched {
            (Object::Socket(Part::Receive(receiver)), Access::Write) => {
                let messages = self.sockets.datagrams(receiver);
                (messages > 0).then_some((receiver, messages))
            }
            _ => None,
        })
    }

    /// The newest message of a datagram socket, which has one, is lost.
    pub fn lose_datagram(&mut self, receiver: SocketKey) {
        self.begin_mutation();
        self.sockets.lose_newest(&mut self.tickets, receiver);
        self.settle();
    }

    /// The newest message of a datagram socket overtakes so many others.
    pub fn overtake_datagrams(&mut self, receiver: SocketKey, others: usize) {
        self.begin_mutation();
        self.sockets.overtake(receiver, others);
    }
}
