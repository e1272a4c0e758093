//! Names of sockets: [`Address`], and the bytes of `struct sockaddr_un` (unix(7)).

use std::fmt;
use std::path::Path;

use crate::Errno;

/// AF_UNIX, the family in the first two bytes of every address.
pub const AF_UNIX: i32 = 1;
/// AF_UNSPEC: takes the peer from a datagram socket (DGCONN 1).
pub const AF_UNSPEC: i32 = 0;
/// Bytes of `sun_path`.
pub const PATH_MAX: usize = 108;
/// Bytes of `struct sockaddr_un`.
pub const ADDRESS_MAX: usize = 2 + PATH_MAX;

/// What a socket is bound to: nothing, a path, or an abstract name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address {
    /// `sun_path`: empty for unnamed; a leading NUL for an abstract name; else a path without its
    /// NUL.
    path: Vec<u8>,
}

impl Address {
    /// The address of a socket that is not bound.
    pub const UNNAMED: Address = Address { path: Vec::new() };

    /// A path. EINVAL if it is empty or holds a NUL, ENAMETOOLONG over 108 bytes.
    pub fn path(path: impl AsRef<Path>) -> Result<Address, Errno> {
        let bytes = path.as_ref().as_os_str().as_encoded_bytes();
        if bytes.is_empty() || bytes.contains(&0) {
            return Err(Errno::INVAL);
        }
        if bytes.len() > PATH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        Ok(Address { path: bytes.to_vec() })
    }

    /// An abstract name: any bytes, NUL too. ENAMETOOLONG over 107 bytes.
    pub fn abstract_name(name: impl AsRef<[u8]>) -> Result<Address, Errno> {
        let name = name.as_ref();
        if name.len() >= PATH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let mut path = vec![0];
        path.extend_from_slice(name);
        Ok(Address { path })
    }

    /// Whether it is the address of a socket that is not bound.
    pub fn is_unnamed(&self) -> bool {
        self.path.is_empty()
    }

    /// The path, if it is one.
    pub fn as_path(&self) -> Option<&[u8]> {
        (!self.path.is_empty() && self.path[0] != 0).then_some(&self.path[..])
    }

    /// The abstract name without the leading NUL, if it is one.
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        self.path.strip_prefix(&[0])
    }

    /// The bytes that are handed to bind(2) and connect(2): family, path, and for a path shorter
    /// than 108 bytes its NUL.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ADDRESS_MAX);
        bytes.extend_from_slice(&(AF_UNIX as u16).to_ne_bytes());
        bytes.extend_from_slice(&self.path);
        if self.as_path().is_some() && self.path.len() < PATH_MAX {
            bytes.push(0);
        }
        bytes
    }

    /// The address in the bytes that getsockname(2) and its like report; EINVAL if the family is
    /// another, or if it is longer than an address can be.
    pub fn from_bytes(bytes: &[u8]) -> Result<Address, Errno> {
        if bytes.len() <= 2 {
            return Ok(Address::UNNAMED);
        }
        let family = u16::from_ne_bytes([bytes[0], bytes[1]]);
        if i32::from(family) != AF_UNIX || bytes.len() > ADDRESS_MAX + 1 {
            return Err(Errno::INVAL);
        }
        let path = &bytes[2..];
        let end = match path[0] {
            0 => path.len(),
            _ => path.iter().position(|byte| *byte == 0).unwrap_or(path.len()),
        };
        Ok(Address { path: path[..end].to_vec() })
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = self.as_path() {
            return write!(f, "\"{}\"", path.escape_ascii());
        }
        match self.as_abstract_name() {
            Some(name) => write!(f, "@\"{}\"", name.escape_ascii()),
            None => f.write_str("(unnamed)"),
        }
    }
}

/// A name as a call hands it over: bytes as they are, so that every malformed one can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawName<'a> {
    /// A null pointer, with the length beside it (0 where no address is meant).
    Null {
        /// The length argument.
        len: i32,
    },
    /// Readable bytes; the length argument is theirs.
    Bytes(&'a [u8]),
    /// A pointer that cannot be read, with the length beside it.
    Fault {
        /// The length argument.
        len: i32,
    },
}

impl RawName<'_> {
    /// No address.
    pub const NONE: RawName<'static> = RawName::Null { len: 0 };
}

/// Where a call writes a name, and what it wrote.
#[derive(Clone, Debug)]
pub struct NameOut {
    /// What is handed over.
    pub want: NameWant,
    /// Out: the bytes of the address; only those below `min(len in want, reported)` were written.
    pub bytes: [u8; 128],
    /// Out: the length that the kernel reported; `None` if it left the length untouched.
    pub reported: Option<i32>,
}

/// What a call hands over for a name to be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameWant {
    /// A null pointer for the name (and for the length).
    Nothing,
    /// A buffer with this length (at most 128 where positive; may be negative).
    Buffer {
        /// The length argument.
        len: i32,
    },
    /// A name pointer that cannot be written, with this length.
    Fault {
        /// The length argument.
        len: i32,
    },
    /// A good buffer and a null pointer for the length. (recvmsg: as `Nothing`.)
    NullLength,
}

impl NameOut {
    /// Asks for the whole name.
    pub const fn new() -> Self {
        NameOut { want: NameWant::Buffer { len: 128 }, bytes: [0; 128], reported: None }
    }

    /// Asks for no name.
    pub const fn nothing() -> Self {
        NameOut { want: NameWant::Nothing, bytes: [0; 128], reported: None }
    }

    /// Asks by what is given.
    pub const fn with(want: NameWant) -> Self {
        NameOut { want, bytes: [0; 128], reported: None }
    }

    /// The bytes that were written.
    pub fn written(&self) -> &[u8] {
        let room = match self.want {
            NameWant::Buffer { len } => len.clamp(0, 128),
            _ => 0,
        };
        &self.bytes[..self.reported.unwrap_or(0).clamp(0, room) as usize]
    }

    /// The address that was written.
    pub fn address(&self) -> Result<Address, Errno> {
        Address::from_bytes(self.written())
    }
}

impl Default for NameOut {
    fn default() -> Self {
        NameOut::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addr_2_a_path_is_cut_at_its_first_nul() {
        let bytes = [&1u16.to_ne_bytes()[..], b"pre\0post"].concat();
        assert_eq!(Address::from_bytes(&bytes), Address::path("pre"));
    }

    #[test]
    fn addr_3_a_path_of_108_bytes_has_no_nul() {
        let longest = Address::path("x".repeat(108)).unwrap();
        assert_eq!(longest.to_bytes().len(), 110);
        assert_eq!(Address::from_bytes(&longest.to_bytes()), Ok(longest));
        assert_eq!(Address::path("x".repeat(109)), Err(Errno::NAMETOOLONG));
    }

    #[test]
    fn addr_4_every_byte_of_an_abstract_name_counts() {
        let short = Address::abstract_name(b"").unwrap();
        let long = Address::abstract_name(b"\0").unwrap();
        assert_ne!(short, long);
        assert_eq!(long.to_bytes().len(), 4);
        assert_eq!(Address::from_bytes(&long.to_bytes()), Ok(long));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        assert_eq!(Address::path(""), Err(Errno::INVAL));
        assert_eq!(Address::path("a\0b"), Err(Errno::INVAL));
        assert_eq!(Address::from_bytes(&[2, 0, b'a']), Err(Errno::INVAL));
        assert_eq!(Address::from_bytes(&[1, 0]), Ok(Address::UNNAMED));
    }
}
