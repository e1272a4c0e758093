//! What calls are made of: pieces of memory, headers of messages, and what some fill.

use crate::control::{ControlOut, RawControl};
use crate::{NameOut, RawName, RecvFlags};

/// Most bytes that one call transfers (MAX_RW_COUNT): what its segments hold beyond is passed over.
pub const TRANSFER_MAX: usize = 0x7fff_f000;

/// Bytes of segments of these lengths together, as far as a call transfers them.
pub fn transfer(lens: impl Iterator<Item = usize>) -> usize {
    lens.fold(0, |sum: usize, len| sum.saturating_add(len).min(TRANSFER_MAX))
}

/// A piece of memory that a call reads.
#[derive(Clone, Copy, Debug)]
pub enum Segment<'b> {
    /// Readable bytes.
    Bytes(&'b [u8]),
    /// As many bytes that cannot be read: EFAULT where the kernel touches them.
    Fault(usize),
}

impl Segment<'_> {
    /// Length in bytes.
    pub const fn len(&self) -> usize {
        match self {
            Segment::Bytes(bytes) => bytes.len(),
            Segment::Fault(len) => *len,
        }
    }

    /// Whether it is empty.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A piece of memory that a call writes.
#[derive(Debug)]
pub enum SegmentMut<'b> {
    /// Writable bytes.
    Bytes(&'b mut [u8]),
    /// As many bytes that cannot be written: EFAULT where the kernel touches them.
    Fault(usize),
}

impl SegmentMut<'_> {
    /// Length in bytes.
    pub const fn len(&self) -> usize {
        match self {
            SegmentMut::Bytes(bytes) => bytes.len(),
            SegmentMut::Fault(len) => *len,
        }
    }

    /// Whether it is empty.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Commands of fcntl(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fcntl {
    /// F_DUPFD with the least number.
    Dupfd(i32),
    /// F_DUPFD_CLOEXEC with the least number.
    DupfdCloexec(i32),
    /// F_GETFD: 1 if close-on-exec.
    Getfd,
    /// F_SETFD.
    Setfd(i32),
    /// F_GETFL: status flags and access mode.
    Getfl,
    /// F_SETFL.
    Setfl(i32),
    /// F_SETOWN: who gets SIGIO and SIGURG, a process or, negative, a group.
    Setown(i32),
    /// F_GETOWN.
    Getown,
    /// F_SETSIG: which signal takes the place of SIGIO.
    Setsig(i32),
    /// F_GETSIG.
    Getsig,
}

/// What stat(2) tells, as far as the model knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Device.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// File type (S_IFMT) and permission bits.
    pub mode: u32,
    /// Hard links.
    pub nlink: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Bytes that are best read and written at once.
    pub blksize: u64,
}

impl Stat {
    /// S_IFMT.
    pub const IFMT: u32 = 0o170000;
    /// S_IFSOCK.
    pub const IFSOCK: u32 = 0o140000;
    /// S_IFLNK.
    pub const IFLNK: u32 = 0o120000;
    /// S_IFREG.
    pub const IFREG: u32 = 0o100000;
    /// S_IFDIR.
    pub const IFDIR: u32 = 0o040000;
    /// S_IFCHR.
    pub const IFCHR: u32 = 0o020000;
    /// S_IFIFO.
    pub const IFIFO: u32 = 0o010000;

    /// The file type bits.
    pub const fn file_type(&self) -> u32 {
        self.mode & Stat::IFMT
    }
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The name, without a slash.
    pub name: Vec<u8>,
    /// The file type as in [`Stat::mode`] (S_IFMT bits); 0 if the file system does not say.
    pub file_type: u32,
}

/// One message of sendmmsg(2): `struct mmsghdr`.
#[derive(Debug)]
pub struct SendHeader<'b> {
    /// Whom for.
    pub name: RawName<'b>,
    /// The bytes.
    pub data: Vec<Segment<'b>>,
    /// Control data.
    pub control: RawControl<'b>,
    /// Out: bytes sent, `msg_len`.
    pub len: usize,
}

/// One message of recvmmsg(2): `struct mmsghdr`.
#[derive(Debug)]
pub struct RecvHeader<'b> {
    /// Out: the sender's name.
    pub name: NameOut,
    /// Where the bytes go.
    pub data: Vec<SegmentMut<'b>>,
    /// Out: control data.
    pub control: ControlOut<'b>,
    /// Out: `msg_flags`.
    pub flags_out: RecvFlags,
    /// Out: bytes received, `msg_len`.
    pub len: usize,
}

/// Where getsockopt writes.
#[derive(Debug)]
pub struct OptionOut<'b> {
    /// The buffer.
    pub buffer: &'b mut [u8],
    /// In: `optlen`, which may be negative and is at most the buffer's length. Out: the length
    /// written.
    pub len: i32,
}

impl<'b> OptionOut<'b> {
    /// Asks for as much as the buffer holds.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        let len = buffer.len() as i32;
        OptionOut { buffer, len }
    }
}
