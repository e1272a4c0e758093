//! Names: addresses in and out (ADDR), bind (BIND), and looking a name up.

use afunix::{
    ADDRESS_MAX, AF_UNIX, AF_UNSPEC, Errno, NameOut, NameWant, PATH_MAX, RawName, SocketType,
};

use super::socket::Bound;
use super::{Destination, Name, NameKey, Part, Receiving, SocketKey, Sockets, Touch};
use crate::profile::Planted;

/// Bytes of the family at the start of an address.
const FAMILY: usize = 2;
/// The most that the system calls copy in, of any family.
const STORAGE_MAX: i32 = 128;

/// What abstract names have to themselves: a network namespace and a type (ADDR 5).
pub(super) type Space = (u32, SocketType);

/// The bytes of an address argument as every call copies them: `None` if there is none (length 0).
/// EINVAL for a negative length or one over 128; EFAULT.
pub fn copy_in(name: RawName<'_>) -> Result<Option<&[u8]>, Errno> {
    let len = match name {
        RawName::Null { len } | RawName::Fault { len } => len,
        RawName::Bytes(bytes) => bytes.len() as i32,
    };
    if !(0..=STORAGE_MAX).contains(&len) {
        return Err(Errno::INVAL);
    }
    match name {
        _ if len == 0 => Ok(None),
        RawName::Bytes(bytes) => Ok(Some(bytes)),
        RawName::Null { .. } | RawName::Fault { .. } => Err(Errno::FAULT),
    }
}

/// The family of an address, if it is long enough to have one.
fn family(address: &[u8]) -> Option<i32> {
    address.first_chunk::<FAMILY>().map(|bytes| i32::from(u16::from_ne_bytes(*bytes)))
}

/// The name in an address; EINVAL if it is none (ADDR 1, 2, 4).
pub fn parse_name(address: &[u8]) -> Result<Name<'_>, Errno> {
    let is_valid = address.len() > FAMILY && address.len() <= ADDRESS_MAX;
    if !is_valid || family(address) != Some(AF_UNIX) {
        return Err(Errno::INVAL);
    }
    let path = &address[FAMILY..];
    if path[0] == 0 {
        return Ok(Name::Abstract(path));
    }
    let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
    Ok(Name::Path(&path[..end]))
}

/// Whether bind(2) with this address means any free abstract name (ADDR 1, 6).
pub fn is_autobind(address: &[u8]) -> bool {
    address.len() == FAMILY && family(address) == Some(AF_UNIX)
}

/// Whether connect(2) with this address takes a datagram socket's peer away; EINVAL if it is
/// shorter than a family (DGCONN 1).
pub fn is_unspec(address: &[u8]) -> Result<bool, Errno> {
    family(address).map(|family| family == AF_UNSPEC).ok_or(Errno::INVAL)
}

/// Copies out a name (`sun_path`, or `None` for unnamed, which is reported with length `unnamed`).
/// ADDR 9: as much as fits is written and the actual length reported. EFAULT, EINVAL for a negative
/// length.
fn copy_out(path: Option<&[u8]>, unnamed: usize, name: &mut NameOut) -> Result<(), Errno> {
    let mut address = [0; ADDRESS_MAX + 1];
    address[..FAMILY].copy_from_slice(&(AF_UNIX as u16).to_ne_bytes());
    let len = path.map_or(unnamed, |path| FAMILY + path.len());
    if let Some(path) = path {
        address[FAMILY..len].copy_from_slice(path);
    }
    let room = match name.want {
        NameWant::Buffer { len } | NameWant::Fault { len } => len,
        NameWant::Nothing | NameWant::NullLength => return Err(Errno::FAULT),
    };
    let room = usize::try_from(room).map_err(|_| Errno::INVAL)?;
    let written = room.min(len);
    // The length is written first, and stays when the name cannot be.
    name.reported = Some(len as i32);
    if written > 0 && matches!(name.want, NameWant::Fault { .. }) {
        return Err(Errno::FAULT);
    }
    name.bytes[..written].copy_from_slice(&address[..written]);
    Ok(())
}

impl Sockets {
    /// bind(2) to a path, after the caller made the inode: EINVAL if already bound, and then the
    /// caller removes the inode again (BIND 1). `path` is without its NUL.
    pub fn bind_path(&mut self, key: SocketKey, path: &[u8], inode: NameKey) -> Result<(), Errno> {
        self.watch.touch(Part::State(key), Touch::Write);
        self.watch.touch(Part::Inode(inode), Touch::Write);
        let socket = self.own(key);
        if socket.bound.is_some() {
            return Err(Errno::INVAL);
        }
        // ADDR 2, 3: getsockname reports a NUL behind every path, also behind one of 108 bytes.
        debug_assert!(path.len() <= PATH_MAX, "a path is no longer than an address");
        let mut reported = Vec::with_capacity(path.len() + 1);
        reported.extend_from_slice(path);
        reported.push(0);
        socket.bind(Bound { path: reported.into(), inode: Some(inode) });
        let old = self.inodes.insert(inode, key);
        assert!(old.is_none(), "an inode is made anew for every bind");
        Ok(())
    }

    /// bind(2) to an abstract name, given with its leading NUL: EINVAL if already bound, then
    /// EADDRINUSE (BIND 4).
    pub fn bind_abstract(&mut self, key: SocketKey, name: &[u8]) -> Result<(), Errno> {
        self.watch.touch(Part::State(key), Touch::Write);
        let socket = &self.table[key];
        if socket.bound.is_some() {
            return Err(Errno::INVAL);
        }
        let space = self.space(socket.netns, socket.kind);
        self.touch_name(space, name, Touch::Write);
        let names = self.abstract_names.entry(space).or_default();
        if names.contains_key(name) {
            return Err(Errno::ADDRINUSE);
        }
        names.insert(name.into(), key);
        self.own(key).bind(Bound { path: name.into(), inode: None });
        Ok(())
    }

    /// bind(2) to any free abstract name: a NUL and five hexadecimal digits. ENOSPC if all are
    /// taken. A bound socket stays as it is (ADDR 6).
    pub fn autobind(&mut self, key: SocketKey) -> Result<(), Errno> {
        const NAMES: u32 = 1 << 20;
        if self.table[key].bound.is_some() {
            return Ok(());
        }
        for _ in 0..NAMES {
            // Who comes first gets the lower name.
            self.watch.touch(Part::Autobind, Touch::Write);
            let number = self.next_autobind;
            self.next_autobind = (number + 1) % NAMES;
            match self.bind_abstract(key, format!("\0{number:05x}").as_bytes()) {
                Err(Errno::ADDRINUSE) => {}
                bound => return bound,
            }
        }
        Err(Errno::NOSPC)
    }

    /// ADDR 7: a socket that is to be told who it is binds itself before it first speaks.
    pub(super) fn autobind_if_identifying(&mut self, key: SocketKey) -> Result<(), Errno> {
        let socket = self.own(key);
        if socket.identifies() && socket.bound.is_none() { self.autobind(key) } else { Ok(()) }
    }

    /// The inode of the path that it, or its listener, is bound to.
    pub fn inode(&self, key: SocketKey) -> Option<NameKey> {
        self.table[key].bound.as_ref()?.inode
    }

    /// getsockname(2) into `name`; EINVAL, EFAULT (ADDR 8, 9).
    pub fn getsockname(&mut self, key: SocketKey, name: &mut NameOut) -> Result<(), Errno> {
        self.watch.touch(Part::State(key), Touch::Read);
        copy_out(self.path_of(key), FAMILY, name)
    }

    /// getpeername(2) into `name`, also of a peer that is gone (SHUT 6). ENOTCONN, then EINVAL,
    /// EFAULT. For accept(2): only call it if a name is wanted.
    pub fn getpeername(&mut self, key: SocketKey, name: &mut NameOut) -> Result<(), Errno> {
        self.watch.touch(Part::State(key), Touch::Read);
        let peer = self.table[key].peer.ok_or(Errno::NOTCONN)?;
        self.watch.touch(Part::State(peer), Touch::Read);
        copy_out(self.path_of(peer), FAMILY, name)
    }

    /// Writes the source address that a receive found, for recvfrom(2) and recvmsg(2), if one is
    /// wanted; length 0 if the sender is not bound (ADDR 8). EFAULT, EINVAL; recvmsg refuses a
    /// negative length earlier. A receive without a source (end of file, an out-of-band byte)
    /// reports length 0 too.
    pub fn source_name(&self, receiving: &Receiving, name: &mut NameOut) -> Result<(), Errno> {
        if name.want == NameWant::Nothing {
            return Ok(());
        }
        copy_out(receiving.source.as_deref(), 0, name)
    }

    /// `sun_path` of what a socket is bound to.
    pub(crate) fn path_of(&self, key: SocketKey) -> Option<&[u8]> {
        self.table.get(key)?.bound.as_ref().map(|bound| &bound.path[..])
    }

    /// The socket that a connect or a named send of `from` goes to. ECONNREFUSED if nobody has the
    /// name; EPROTOTYPE if a path belongs to another type (CONNECT 3, DGCONN 2).
    pub(super) fn find(
        &mut self,
        from: SocketKey,
        to: &Destination<'_>,
    ) -> Result<SocketKey, Errno> {
        let (netns, kind) = (self.table[from].netns, self.table[from].kind);
        match *to {
            Destination::Path(inode) => {
                let inode = inode?;
                self.watch.touch(Part::Inode(inode), Touch::Read);
                let found = *self.inodes.get(&inode).ok_or(Errno::CONNREFUSED)?;
                if self.table[found].kind != kind {
                    return Err(Errno::PROTOTYPE);
                }
                Ok(found)
            }
            Destination::Abstract(name) => {
                let space = self.space(netns, kind);
                self.touch_name(space, name, Touch::Read);
                let names = self.abstract_names.get(&space);
                names.and_then(|names| names.get(name)).copied().ok_or(Errno::CONNREFUSED)
            }
        }
    }

    /// Gives up the name that a socket holds.
    #[inline]
    pub(super) fn unbind(&mut self, key: SocketKey) {
        let socket = &mut self.table[key];
        if std::mem::take(&mut socket.holds_name)
            && let Some(bound) = socket.bound.clone()
        {
            self.give_up(key, &bound);
        }
    }

    fn give_up(&mut self, key: SocketKey, bound: &Bound) {
        if let Some(inode) = bound.inode {
            self.inodes.remove(&inode);
            self.watch.touch(Part::Inode(inode), Touch::Write);
            return;
        }
        let socket = &self.table[key];
        let space = self.space(socket.netns, socket.kind);
        self.touch_name(space, &bound.path, Touch::Write);
        if let Some(names) = self.abstract_names.get_mut(&space) {
            names.remove(&bound.path);
            if names.is_empty() {
                self.abstract_names.remove(&space);
            }
        }
    }

    fn space(&self, netns: u32, kind: SocketType) -> Space {
        if self.profile.planted.contains(Planted::ONE_NAMESPACE_FOR_ALL_TYPES) {
            return (netns, SocketType::Stream);
        }
        (netns, kind)
    }

    fn touch_name(&mut self, space: Space, name: &[u8], touch: Touch) {
        if !self.watch.touching {
            return;
        }
        // FNV-1a: two names that fall together only make two steps look dependent.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let prefix = [space.0 as u8, space.1.raw() as u8];
        for byte in prefix.iter().chain(name) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.watch.touch(Part::Abstract(hash), touch);
    }
}
