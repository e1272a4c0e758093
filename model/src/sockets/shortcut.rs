//! The short way of the commonest calls: one buffer sent to a peer, one received, on a connected
//! socket to which nothing unusual has happened, and the close of such a one.
//!
//! A shortcut does what the general way (`send`, `receive`) would do, or, where anything at all is
//! unusual, nothing: `None` leaves the call to the general way. It records neither touches nor
//! flows; whoever wants those does not ask for it. A test drives two machines, one without
//! shortcuts, through the same calls and compares everything that they hold.

use afunix::SocketType;

use super::buffer::Buffer;
use super::send::DATAGRAM_RESERVE;
use super::socket::{Shut, Socket, State};
use super::{SocketKey, Sockets};

impl Socket {
    /// Nothing is pending, shut or asked for that a send or a receive would have to look at.
    #[inline(always)]
    fn is_undisturbed(&self) -> bool {
        !self.dead
            && self.shut == Shut::empty()
            && self.error.is_none()
            && !self.identifies()
            && self.alerts().is_none()
    }

    /// Nobody ever waited at it, nor asked to be told by a signal.
    #[inline(always)]
    fn tells_nobody(&self) -> bool {
        self.waiters.is_none() && self.rare.is_none()
    }

    #[inline(always)]
    fn is_awaited(&self) -> bool {
        self.waiters.as_ref().is_some_and(|waiters| !waiters.is_empty())
    }
}

impl Sockets {
    /// Sends `bytes` to the peer as one message buffer. Returns how many were sent.
    #[inline(always)]
    pub(crate) fn send_shortcut(&mut self, key: SocketKey, bytes: &[u8]) -> Option<usize> {
        let socket = self.table.get(key)?;
        if !socket.is_undisturbed() || socket.send_memory >= socket.send_buffer {
            return None;
        }
        let is_stream = socket.kind == SocketType::Stream;
        let charge = if is_stream {
            let size = self.profile.stream_size(bytes.len(), socket.send_buffer);
            if size.bytes != bytes.len() {
                return None;
            }
            size.charge
        } else {
            if bytes.len() as u64 > u64::from(socket.send_buffer - DATAGRAM_RESERVE) {
                return None;
            }
            self.profile.datagram_charge(bytes.len()).ok()?
        };
        let to = socket.peer?;
        let peer = self.table.get_mut(to)?;
        let has_room = match peer.peer {
            // DSEND 4: the peer's own peer is never kept out.
            Some(other) => other == key,
            None => !peer.queue_is_full(),
        };
        let takes = has_room && peer.is_undisturbed() && peer.accepted && peer.rare.is_none();
        if !takes || peer.is_awaited() || bytes.is_empty() {
            return None;
        }
        peer.queue.push_plain(Buffer::new(key, bytes.len() as u32, charge), bytes);
        self.table[key].send_memory += charge;
        Some(bytes.len())
    }

    /// Receives the first message buffer, or of a stream a part of it, if that is all that there is
    /// to be received. Returns how many bytes.
    #[inline(always)]
    pub(crate) fn receive_shortcut(&mut self, key: SocketKey, room: &mut [u8]) -> Option<usize> {
        let socket = self.table.get(key)?;
        let is_ready = socket.state == State::Established || !socket.is_connection();
        if !is_ready || !socket.is_undisturbed() || socket.peek_offset > 0 || room.is_empty() {
            return None;
        }
        let first = socket.queue.get(0).filter(|first| first.is_plain())?;
        let (whole, from, charge) = (first.len as usize, first.from, first.charge);
        let count = whole.min(room.len());
        if socket.kind == SocketType::Stream {
            // A read goes on to the next buffer, or waits for more.
            let is_satisfied = count >= socket.receive_low as usize && socket.queue.len() == 1;
            if count < room.len() && !is_satisfied {
                return None;
            }
        } else if socket.is_awaited() {
            return None;
        }
        let is_whole = count == whole || socket.kind != SocketType::Stream;
        if is_whole {
            let sender = self.table.get_mut(from)?;
            if sender.dead || sender.is_awaited() || sender.alerts().is_some() {
                return None;
            }
            sender.send_memory -= charge;
        }
        let queue = &mut self.table[key].queue;
        if is_whole {
            queue.pop_plain(&mut room[..count]);
        } else {
            queue.read_plain(&mut room[..count]);
        }
        Some(count)
    }

    /// The last close of a socket that has nothing to be received, no name of its own, and neither
    /// itself nor at its peer anybody to tell. No files in flight must be looked for afterwards.
    pub(crate) fn close_shortcut(&mut self, key: SocketKey) -> Option<()> {
        let socket = self.table.get(key)?;
        let has_nothing = socket.queue.is_empty() && socket.backlog.is_none();
        if !has_nothing || !socket.tells_nobody() || socket.holds_name || self.may_have_cycles() {
            return None;
        }
        if !socket.is_connection() {
            return None;
        }
        if let Some(to) = socket.peer {
            let peer = self.table.get_mut(to)?;
            if !peer.dead {
                if !peer.tells_nobody() {
                    return None;
                }
                peer.shut = Shut::all();
            }
            self.let_go(to);
        }
        let socket = &mut self.table[key];
        if socket.pointed_at == 0 && socket.send_memory == 0 {
            self.table.remove(key);
            return Some(());
        }
        // A peer or a message refers to it.
        socket.dead = true;
        socket.shut = Shut::all();
        socket.state = State::Closed;
        socket.peer = None;
        socket.queue.input = 0;
        Some(())
    }
}
