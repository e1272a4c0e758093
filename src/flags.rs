//! Flag words, with the kernel's values. Unknown bits are kept: a backend decides what they mean.

use bitflags::bitflags;

bitflags! {
    /// Flags of socket(2), socketpair(2) and accept4(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SocketFlags: i32 {
        /// Close on exec.
        const CLOEXEC = 0o2000000;
        /// Calls do not wait.
        const NONBLOCK = 0o4000;
        const _ = !0;
    }

    /// Flags of send(2), sendto(2), sendmsg(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SendFlags: i32 {
        /// Out-of-band.
        const OOB = 0x1;
        /// This call does not wait.
        const DONTWAIT = 0x40;
        /// End of record; ignored (CMSG 6).
        const EOR = 0x80;
        /// No SIGPIPE.
        const NOSIGNAL = 0x4000;
        /// More to come; ignored (CMSG 6).
        const MORE = 0x8000;
        const _ = !0;
    }

    /// Flags of recv(2), recvfrom(2), recvmsg(2), on the way in and on the way out.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct RecvFlags: i32 {
        /// Out-of-band.
        const OOB = 0x1;
        /// Leave what is read in the queue.
        const PEEK = 0x2;
        /// Out: control data was cut.
        const CTRUNC = 0x8;
        /// Out: the message was cut. In: report its full length.
        const TRUNC = 0x20;
        /// This call does not wait.
        const DONTWAIT = 0x40;
        /// Out: end of record; never set for AF_UNIX (QSEND 2).
        const EOR = 0x80;
        /// Wait for the whole length.
        const WAITALL = 0x100;
        /// Ignored (DRECV 6).
        const ERRQUEUE = 0x2000;
        /// recvmmsg: only the first message is waited for.
        const WAITFORONE = 0x10000;
        /// Received descriptors close on exec.
        const CMSG_CLOEXEC = 0x40000000;
        const _ = !0;
    }

    /// Flags of open(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct OpenFlags: i32 {
        /// For writing only. Neither this nor `RDWR`: for reading only.
        const WRONLY = 0o1;
        /// For reading and writing.
        const RDWR = 0o2;
        /// Make the file if it is missing.
        const CREAT = 0o100;
        /// With `CREAT`: fail if it exists.
        const EXCL = 0o200;
        /// Empty it.
        const TRUNC = 0o1000;
        /// Write at the end.
        const APPEND = 0o2000;
        /// Calls do not wait.
        const NONBLOCK = 0o4000;
        /// Fail unless it is a directory.
        const DIRECTORY = 0o200000;
        /// Fail if the last component is a symbolic link.
        const NOFOLLOW = 0o400000;
        /// Close on exec.
        const CLOEXEC = 0o2000000;
        /// Only a handle on the path.
        const PATH = 0o10000000;
        /// The owner gets SIGIO (F_SETOWN, POLL 7).
        const ASYNC = 0o20000;
        const _ = !0;
    }
}

/// `type` of socket(2): SOCK_STREAM.
pub const SOCK_STREAM: i32 = 1;
/// `type` of socket(2): SOCK_DGRAM.
pub const SOCK_DGRAM: i32 = 2;
/// `type` of socket(2): SOCK_RAW, which AF_UNIX takes for SOCK_DGRAM (CREATE 3).
pub const SOCK_RAW: i32 = 3;
/// `type` of socket(2): SOCK_SEQPACKET.
pub const SOCK_SEQPACKET: i32 = 5;

/// The three types of AF_UNIX sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SocketType {
    /// SOCK_STREAM: a byte stream.
    Stream,
    /// SOCK_DGRAM: messages; on Linux reliable and in order.
    Datagram,
    /// SOCK_SEQPACKET: a connection of records.
    Seqpacket,
}

impl SocketType {
    /// The value of `type` in socket(2).
    pub const fn raw(self) -> i32 {
        match self {
            SocketType::Stream => SOCK_STREAM,
            SocketType::Datagram => SOCK_DGRAM,
            SocketType::Seqpacket => SOCK_SEQPACKET,
        }
    }
}
