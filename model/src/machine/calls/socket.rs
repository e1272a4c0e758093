//! Making, naming and connecting sockets.

use afunix::net::Fd;
use afunix::{
    AF_UNIX, Capabilities, Errno, NameOut, NameWant, OpenFlags, RawName, SocketFlags, SocketType,
};

use super::super::descriptors::Descriptor;
use super::super::file::{FileId, Kind, OpenFile, SocketInode};
use super::super::fs::{Content, InodeId, Want};
use super::super::process::InCallState;
use super::super::{Access, Cx, Flow, Machine, Object, Why};
use super::message::errno_of;
use super::{caller, cause};
use crate::sockets::{Destination, Name, NameKey, SocketKey, Sockets, Stop, names};

impl Machine {
    /// socket(2).
    pub(super) fn socket(
        &mut self,
        cx: Cx,
        domain: i32,
        kind: i32,
        protocol: i32,
    ) -> Result<usize, Errno> {
        let flags = Sockets::type_flags(kind)?;
        let kind = socket_type(domain, kind, protocol)?;
        self.sockets.room_for(1)?;
        let [number, _] = self.room(cx, 1)?;
        let socket = self.sockets.create(&caller(&self.processes, cx), kind);
        self.install_socket(cx, number, socket, flags);
        Ok(number as usize)
    }

    /// socketpair(2).
    pub(super) fn socketpair(
        &mut self,
        cx: Cx,
        domain: i32,
        kind: i32,
        protocol: i32,
        fds: &mut [i32; 2],
    ) -> Result<usize, Errno> {
        let flags = Sockets::type_flags(kind)?;
        // CREATE 5: the numbers are written before the type is looked at.
        *fds = self.room(cx, 2)?;
        let kind = socket_type(domain, kind, protocol)?;
        self.sockets.room_for(2)?;
        let (one, other) = self.sockets.pair(&caller(&self.processes, cx), kind);
        for (number, socket) in fds.iter().zip([one, other]) {
            self.install_socket(cx, *number, socket, flags);
        }
        Ok(0)
    }

    /// The lowest `count` (1 or 2) free numbers; EMFILE if there are not so many.
    pub(super) fn room(&mut self, cx: Cx, count: usize) -> Result<[i32; 2], Errno> {
        self.touch(Object::Numbers(cx.pid), Access::Read);
        let process = self.process(cx);
        let limit = process.limits.descriptors;
        let first = process.descriptors.lowest_free(0, limit)?;
        match count {
            1 => Ok([first, first]),
            _ => Ok([first, process.descriptors.lowest_free(first + 1, limit)?]),
        }
    }

    /// Lets a free number stand for a new socket.
    fn install_socket(&mut self, cx: Cx, number: i32, socket: SocketKey, flags: SocketFlags) {
        let file = self.socket_file(cx, socket, flags, 1);
        let cloexec = flags.contains(SocketFlags::CLOEXEC);
        let descriptor = Descriptor { file, socket: Some(socket), cloexec };
        self.process_mut(cx).descriptors.put(number, descriptor);
        self.touch(Object::Numbers(cx.pid), Access::Write);
        self.touch(Object::Descriptor(cx.pid, number), Access::Write);
    }

    fn socket_file(
        &mut self,
        cx: Cx,
        socket: SocketKey,
        flags: SocketFlags,
        references: u32,
    ) -> FileId {
        let mut status = OpenFlags::RDWR;
        status.set(OpenFlags::NONBLOCK, flags.contains(SocketFlags::NONBLOCK));
        let identity = &self.process(cx).identity;
        // CREATE 6
        let socket_inode = SocketInode { mode: 0o777, uid: identity.fsuid, gid: identity.fsgid };
        let file = OpenFile::new(self.next_file, Kind::Socket(socket), status);
        self.add_file(OpenFile { socket_inode, references, ..file })
    }

    /// The lowest free number for a file; EMFILE.
    pub(super) fn install(&mut self, cx: Cx, file: FileId, cloexec: bool) -> Result<i32, Errno> {
        self.touch(Object::Numbers(cx.pid), Access::Write);
        let descriptor = Descriptor::of(&self.files, file, cloexec);
        let process = self.process_mut(cx);
        let limit = process.limits.descriptors;
        let number = process.descriptors.insert(descriptor, 0, limit)?;
        self.files[file].references += 1;
        self.touch(Object::Descriptor(cx.pid, number), Access::Write);
        Ok(number)
    }

    /// bind(2).
    pub(super) fn bind(&mut self, cx: Cx, fd: Fd<'_>, name: RawName<'_>) -> Result<usize, Errno> {
        let (file, socket) = self.socket_of(cx, fd)?;
        let address = names::copy_in(name)?.ok_or(Errno::INVAL)?;
        if names::is_autobind(address) {
            return self.sockets.autobind(socket).map(|()| 0);
        }
        match names::parse_name(address)? {
            Name::Abstract(name) => self.sockets.bind_abstract(socket, name)?,
            Name::Path(path) => self.bind_path(cx, file, socket, path)?,
        }
        Ok(0)
    }

    fn bind_path(
        &mut self,
        cx: Cx,
        file: FileId,
        socket: SocketKey,
        path: &[u8],
    ) -> Result<(), Errno> {
        if let Some(own) = self.own_file(cx, path) {
            // BIND 2: what is open stands there already.
            return own.and(Err(Errno::ADDRINUSE));
        }
        // Its mode, for BIND 3.
        self.touch(Object::File(file), Access::Read);
        let walker = super::path::walker(&self.processes, cx);
        let (dir, name) = match self.tree.free_name(&walker, path, false) {
            // BIND 2
            Err(Errno::EXIST) => return Err(Errno::ADDRINUSE),
            other => other?,
        };
        // BIND 3: the mode of the socket's own inode, masked.
        let mode = self.files[file].socket_inode.mode & !walker.umask;
        let inode = self.tree.create(&walker, dir, &name, Content::Socket, mode)?;
        let key = self.tree[inode].name_key();
        let bound = self.sockets.bind_path(socket, path, key);
        match bound {
            Ok(()) => self.hold_name(file, inode),
            // BIND 1: "already bound" is found out after the inode was made.
            Err(_) => self.tree.remove_entry(dir, &name),
        }
        bound
    }

    /// A socket keeps the inode of its name.
    fn hold_name(&mut self, file: FileId, inode: InodeId) {
        self.tree.hold(inode);
        self.files[file].bound_to = Some(inode);
    }

    /// SIOCUNIXFILE: a handle on the inode that a socket is bound to. In order: EPERM, ENOENT,
    /// EMFILE.
    pub(super) fn name_file(&mut self, cx: Cx, file: FileId) -> Result<usize, Errno> {
        self.process(cx).identity.needs(Capabilities::NET_ADMIN)?;
        let inode = self.files[file].bound_to.ok_or(Errno::NOENT)?;
        self.room(cx, 1)?;
        let handle = self.new_file(Kind::Path(inode), OpenFlags::PATH);
        self.install(cx, handle, true).map(|number| number as usize)
    }

    /// The inode of a file that is open; EACCES, ECONNREFUSED.
    fn inode_to_write(&mut self, cx: Cx, file: FileId) -> Result<InodeId, Errno> {
        if let Some(inode) = self.files[file].kind.inode() {
            return Ok(inode);
        }
        // CONNECT 13 holds for sockets, pipes and the like as well; CONNECT 12: the inode of a
        // socket itself is nobody's name.
        let stat = self.stat_of(file);
        let walker = super::path::walker(&self.processes, cx);
        walker.may_write_to(&stat)?;
        Err(Errno::CONNREFUSED)
    }

    /// What a socket is looked up by at a path: any inode that may be written to.
    pub(super) fn name_key(&mut self, cx: Cx, path: &[u8]) -> Result<NameKey, Errno> {
        let found = match self.own_file(cx, path) {
            Some(file) => self.inode_to_write(cx, file?)?,
            None => {
                let walker = super::path::walker(&self.processes, cx);
                self.tree.resolve(&walker, path, true)?
            }
        };
        let walker = super::path::walker(&self.processes, cx);
        // CONNECT 13
        self.tree.may(&walker, found, Want::WRITE)?;
        Ok(self.tree[found].name_key())
    }

    /// listen(2).
    pub(super) fn listen(&mut self, cx: Cx, fd: Fd<'_>, backlog: i32) -> Result<usize, Errno> {
        let (_, socket) = self.socket_of(cx, fd)?;
        let caller = caller(&self.processes, cx);
        self.sockets.listen(&mut self.tickets, &caller, socket, backlog).map(|()| 0)
    }

    /// accept4(2). While it waits a number is set aside for the connection, as the kernel does.
    pub(super) fn accept(
        &mut self,
        cx: Cx,
        fd: Fd<'_>,
        name: &mut NameOut,
        flags: SocketFlags,
    ) -> Flow {
        match self.try_accept(cx, fd, flags) {
            Ok((file, reserved, Ok(connection))) => {
                if reserved.is_some() {
                    // It stays set aside until the call has ended; the descriptor takes its place
                    // now.
                    self.free_reserved(cx);
                }
                Flow::Done(self.end_accept(cx, file, connection, reserved, name, flags))
            }
            Ok((file, reserved, Err(Stop::Wait(waiting)))) => {
                let number = match reserved {
                    Some(number) => number,
                    None => self.reserve(cx),
                };
                self.wait_at_socket(cx, file, &waiting, InCallState::Accept(number))
            }
            Ok((_, _, Err(stop))) => {
                self.free_reserved(cx);
                Flow::Done(Err(errno_of(stop)))
            }
            Err(errno) => Flow::Done(Err(errno)),
        }
    }

    /// accept4 without a name, if there is a connection and a number for it.
    pub(super) fn accept_directly(
        &mut self,
        cx: Cx,
        fd: Fd<'_>,
        name: &mut NameOut,
        flags: SocketFlags,
    ) -> Option<usize> {
        let (_, socket) = self.socket_of(cx, fd).ok()?;
        if !self.sockets.has_connection(socket) {
            return None;
        }
        let (file, reserved, accepted) = self.try_accept(cx, fd, flags).ok()?;
        let connection = accepted.ok()?;
        let number = self.end_accept(cx, file, connection, reserved, name, flags);
        Some(number.expect("there is room, and no name to be refused"))
    }

    /// The file, the number set aside by an earlier attempt, and what came of this one.
    #[expect(clippy::type_complexity, reason = "used once, right above")]
    fn try_accept(
        &mut self,
        cx: Cx,
        fd: Fd<'_>,
        flags: SocketFlags,
    ) -> Result<(FileId, Option<i32>, Result<SocketKey, Stop>), Errno> {
        let file = self.file_of(cx, fd)?;
        let known = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        if !(flags - known).is_empty() {
            return Err(Errno::INVAL);
        }
        let reserved = match self.in_call(cx).map(|call| &call.state) {
            Some(InCallState::Accept(number)) => Some(*number),
            _ => None,
        };
        if reserved.is_none() {
            // LISTEN 4: the connection stays queued.
            self.room(cx, 1)?;
        }
        let Kind::Socket(socket) = self.files[file].kind else { return Err(Errno::NOTSOCK) };
        let nonblocking = cx.why == Why::First && self.is_nonblocking(file);
        let accepted = self.sockets.accept(&mut self.tickets, socket, nonblocking, cause(cx));
        Ok((file, reserved, accepted))
    }

    fn end_accept(
        &mut self,
        cx: Cx,
        listener: FileId,
        connection: SocketKey,
        reserved: Option<i32>,
        name: &mut NameOut,
        flags: SocketFlags,
    ) -> Result<usize, Errno> {
        let file = self.socket_file(cx, connection, flags, 0);
        if let Some(inode) = self.files[listener].bound_to {
            self.hold_name(file, inode);
        }
        let named = match name.want {
            NameWant::Nothing => Ok(()),
            _ => self.sockets.getpeername(connection, name),
        };
        if let Err(errno) = named {
            // ADDR 9: the connection is gone.
            self.files[file].references += 1;
            self.drop_reference(file);
            return Err(errno);
        }
        let cloexec = flags.contains(SocketFlags::CLOEXEC);
        let number = match reserved {
            None => self.install(cx, file, cloexec)?,
            Some(number) => {
                let descriptor = Descriptor::of(&self.files, file, cloexec);
                self.process_mut(cx).descriptors.put(number, descriptor);
                self.files[file].references += 1;
                self.touch(Object::Descriptor(cx.pid, number), Access::Write);
                number
            }
        };
        Ok(number as usize)
    }

    fn reserve(&mut self, cx: Cx) -> i32 {
        self.touch(Object::Numbers(cx.pid), Access::Write);
        let process = self.process_mut(cx);
        let limit = process.limits.descriptors;
        process.descriptors.reserve(limit).expect("there was room for the descriptor")
    }

    /// Ends the reservation of a waiting accept.
    fn free_reserved(&mut self, cx: Cx) {
        if let InCallState::Accept(number) = self.take_state(cx) {
            self.touch(Object::Numbers(cx.pid), Access::Write);
            self.process_mut(cx).descriptors.unreserve(number);
        }
    }

    /// connect(2).
    pub(super) fn connect(&mut self, cx: Cx, fd: Fd<'_>, name: RawName<'_>) -> Flow {
        // Other than bind, connect copies the address before it asks whether this is a socket.
        let found = self.file_of(cx, fd).and_then(|_| names::copy_in(name));
        let (file, socket) = match found.and_then(|_| self.socket_of(cx, fd)) {
            Ok(found) => found,
            Err(errno) => return Flow::Done(Err(errno)),
        };
        let result = self.try_connect(cx, file, socket, name);
        self.settle();
        match result {
            Ok(()) => Flow::Done(Ok(0)),
            Err(Stop::Error(errno)) => Flow::Done(Err(errno)),
            Err(Stop::Wait(waiting)) => self.wait_at_socket(cx, file, &waiting, InCallState::None),
        }
    }

    /// connect, if it does not wait.
    pub(super) fn connect_directly(
        &mut self,
        cx: Cx,
        fd: Fd<'_>,
        name: RawName<'_>,
    ) -> Option<usize> {
        let (file, socket) = self.socket_of(cx, fd).ok()?;
        self.try_connect(cx, file, socket, name).ok()?;
        self.settle();
        Some(0)
    }

    fn try_connect(
        &mut self,
        cx: Cx,
        file: FileId,
        socket: SocketKey,
        name: RawName<'_>,
    ) -> Result<(), Stop> {
        let address = names::copy_in(name)?.ok_or(Errno::INVAL)?;
        let is_datagram = self.sockets.kind(socket) == SocketType::Datagram;
        if is_datagram && names::is_unspec(address)? {
            self.sockets.disconnect(&mut self.tickets, socket);
            return Ok(());
        }
        let name = names::parse_name(address)?;
        let to: Destination<'_> = self.destination(cx, name);
        let nonblocking = cx.why == Why::First && self.is_nonblocking(file);
        let caller = caller(&self.processes, cx);
        let tickets = &mut self.tickets;
        self.sockets.connect(tickets, &caller, socket, &to, nonblocking, cause(cx))
    }
}

/// The type of a socket: EAFNOSUPPORT for another family, then as [`Sockets::socket_type`].
fn socket_type(domain: i32, kind: i32, protocol: i32) -> Result<SocketType, Errno> {
    if domain != AF_UNIX {
        return Err(Errno::AFNOSUPPORT);
    }
    Sockets::socket_type(kind, protocol)
}
