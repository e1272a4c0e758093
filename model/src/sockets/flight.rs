//! Files in flight: who is accountable for them, and the collecting of those that nobody can reach
//! (GC).
//!
//! The graph: a *vertex* is a socket in flight; an *edge* goes from it to the socket that would
//! receive it, its *holder* (for a connection not accepted yet, the listener). A strongly connected
//! component dies if no edge leaves it and all references to its members' files are its edges.

use std::collections::BTreeSet;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use slotmap::SecondaryMap;

use super::buffer::Buffer;
use super::{Attachment, File, Part, SocketKey, Sockets, Touch};
use crate::wait::Tickets;

/// A socket in flight.
#[derive(Clone, Copy, Debug)]
struct Vertex {
    socket: SocketKey,
    file: File,
}

/// Which sockets have sockets in flight in their queues, and how many of those are in flight
/// themselves: while there are none, there can be no cycle.
#[derive(Clone, Debug, Default)]
pub(super) struct Flight {
    holders: BTreeSet<SocketKey>,
    /// Holders that are in flight.
    suspects: usize,
}

impl Flight {
    pub(super) fn is_holder(&self, key: SocketKey) -> bool {
        self.holders.contains(&key)
    }

    pub(super) fn suspects(&self) -> usize {
        self.suspects
    }
}

impl Sockets {
    /// Files were queued at `receiver` by a user.
    pub(super) fn enter_flight(&mut self, receiver: SocketKey, user: u32, files: &[Attachment]) {
        self.watch.touch(Part::InFlight, Touch::Write);
        *self.in_flight_of_user.entry(user).or_default() += files.len();
        let holder = self.holder(receiver);
        for socket in files.iter().filter_map(|file| file.socket) {
            self.recount(socket, |socket| socket.in_flight += 1);
            self.recount(holder, |holder| holder.carried += 1);
        }
    }

    /// Files left the queue of `receiver`.
    pub(super) fn leave_flight(&mut self, receiver: SocketKey, user: u32, files: &[Attachment]) {
        self.watch.touch(Part::InFlight, Touch::Write);
        // The entry stays when it is 0: whoever sent files once will send some again.
        if let Some(count) = self.in_flight_of_user.get_mut(&user) {
            *count -= files.len();
        }
        let holder = self.holder(receiver);
        for socket in files.iter().filter_map(|file| file.socket) {
            self.recount(socket, |socket| socket.in_flight -= 1);
            self.recount(holder, |holder| holder.carried -= 1);
        }
    }

    /// The files of a buffer that nobody will receive.
    pub(super) fn drop_files(&mut self, receiver: SocketKey, buffer: &Buffer) {
        if !buffer.files().is_empty() {
            self.leave_flight(receiver, buffer.user(), buffer.files());
            self.dropped.extend(buffer.files().iter().rev());
        }
    }

    /// As [`Self::drop_files`], with an out-of-band byte: they stay counted (OPT 8).
    pub(super) fn lose_files(&mut self, receiver: SocketKey, buffer: &Buffer) {
        if !buffer.files().is_empty() {
            self.table[receiver].rare_mut().lost_files += buffer.files().len();
        }
        self.drop_files(receiver, buffer);
    }

    /// A connection has left its listener's backlog: what it carries is its own now.
    pub(super) fn carry_accepted(&mut self, listener: SocketKey, accepted: SocketKey) {
        if self.table[listener].carried == 0 {
            return;
        }
        let buffers = self.table[accepted].queue.iter();
        let files = buffers.flat_map(Buffer::files);
        let carried = files.filter(|file| file.socket.is_some()).count() as u32;
        self.recount(listener, |listener| listener.carried -= carried);
        self.recount(accepted, |accepted| accepted.carried += carried);
    }

    fn holder(&self, receiver: SocketKey) -> SocketKey {
        self.table[receiver].listener.unwrap_or(receiver)
    }

    /// Changes a socket's counts and keeps the holders and suspects right.
    fn recount(&mut self, key: SocketKey, change: impl FnOnce(&mut super::socket::Socket)) {
        let Some(socket) = self.table.get_mut(key) else {
            panic!("a socket in flight, and one that holds it, are in the table");
        };
        let is_suspect =
            |socket: &super::socket::Socket| socket.in_flight > 0 && socket.carried > 0;
        let (was_suspect, held) = (is_suspect(socket), socket.carried > 0);
        change(socket);
        let suspect = is_suspect(socket);
        if held != (socket.carried > 0) {
            if held {
                self.flight.holders.remove(&key);
            } else {
                self.flight.holders.insert(key);
            }
        }
        if suspect != was_suspect {
            self.watch.touch(Part::Cycles, Touch::Write);
        }
        self.flight.suspects += usize::from(suspect);
        self.flight.suspects -= usize::from(was_suspect);
    }

    /// Whether [`Sockets::collect`] has anything to look at.
    #[inline]
    pub fn may_have_cycles(&self) -> bool {
        self.flight.suspects > 0
    }

    /// Collects the sockets in flight that nobody can reach any more: their queues are emptied into
    /// the dropped files (GC 2). To be called once some socket was released and all dropped files
    /// are drained (GC 3). `references` says how many references a file has in all, those in flight
    /// included. Returns whether anything was collected.
    pub fn collect(
        &mut self,
        tickets: &mut Tickets,
        references: &mut dyn FnMut(File) -> usize,
    ) -> bool {
        if self.flight.suspects == 0 {
            self.watch.touch(Part::Cycles, Touch::Read);
            return false;
        }
        self.watch.touch(Part::InFlight, Touch::Write);
        self.watch.touch(Part::Cycles, Touch::Write);
        let graph = self.graph();
        let mut component = vec![usize::MAX; graph.node_count()];
        let components = kosaraju_scc(&graph);
        for (number, members) in components.iter().enumerate() {
            members.iter().for_each(|member| component[member.index()] = number);
        }
        let mut dead = Vec::new();
        for members in &components {
            let lives = |member: &NodeIndex| {
                let Some(Vertex { socket, file }) = graph[*member] else { return true };
                let mut edges = 0;
                for next in graph.neighbors(*member) {
                    if component[next.index()] != component[member.index()] {
                        return true;
                    }
                    edges += 1;
                }
                debug_assert_eq!(edges, self.table[socket].in_flight as usize);
                references(file) != edges
            };
            if !members.iter().any(lives) {
                dead.extend(members.iter().filter_map(|member| graph[*member]));
            }
        }
        for vertex in &dead {
            self.empty(tickets, vertex.socket);
        }
        !dead.is_empty()
    }

    /// The graph of GC 1. A holder that is not in flight itself is a node without a vertex: whoever
    /// points to it can be received.
    fn graph(&self) -> DiGraph<Option<Vertex>, (), u32> {
        let mut graph = DiGraph::default();
        let mut nodes = SecondaryMap::<SocketKey, NodeIndex>::new();
        let mut edges = Vec::new();
        for holder in &self.flight.holders {
            let waiting = self.table[*holder].backlog.iter();
            for receiver in std::iter::once(*holder).chain(waiting) {
                for file in self.table[receiver].queue.iter().flat_map(Buffer::files) {
                    let Some(socket) = file.socket else { continue };
                    let node = nodes.entry(socket).map(|node| {
                        *node.or_insert_with(|| {
                            graph.add_node(Some(Vertex { socket, file: file.file }))
                        })
                    });
                    let Some(node) = node else { panic!("a socket in flight is in the table") };
                    edges.push((node, *holder));
                }
            }
        }
        let outside = graph.add_node(None);
        for (from, holder) in edges {
            let to = nodes.get(holder).copied().unwrap_or(outside);
            graph.add_edge(from, to, ());
        }
        graph
    }

    /// Empties the queue of a socket, or those of the connections in its backlog, which stay there.
    fn empty(&mut self, tickets: &mut Tickets, key: SocketKey) {
        self.purge_queue(tickets, key);
        let mut index = 0;
        while let Some(connection) = self.table[key].backlog.get(index) {
            index += 1;
            self.purge_queue(tickets, connection);
        }
    }
}
