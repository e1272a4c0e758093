//! Socket options of level SOL_SOCKET and requests of ioctl(2), with the kernel's numbers (x86_64,
//! aarch64).

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident = $number:expr;)*) => {
        $($(#[$doc])* pub const $name: i32 = $number;)*

        /// The symbol of an option of SOL_SOCKET.
        pub fn option_name(option: i32) -> Option<&'static str> {
            match option { $($number => Some(stringify!($name)),)* _ => None }
        }
    };
}

numbers! {
    /// Stored; does nothing. On needs the superuser: EACCES.
    SO_DEBUG = 1;
    /// Stored; does nothing (OPT 5).
    SO_REUSEADDR = 2;
    /// The type of the socket; read only.
    SO_TYPE = 3;
    /// The pending error; reading clears it.
    SO_ERROR = 4;
    /// Stored; does nothing.
    SO_DONTROUTE = 5;
    /// Stored; does nothing.
    SO_BROADCAST = 6;
    /// Bytes of send memory (MEM 9).
    SO_SNDBUF = 7;
    /// Stored; never looked at (MEM 1).
    SO_RCVBUF = 8;
    /// Stored; does nothing (OPT 5).
    SO_KEEPALIVE = 9;
    /// Out-of-band bytes stay in the stream (OOB 6).
    SO_OOBINLINE = 10;
    /// Stored; does nothing.
    SO_NO_CHECK = 11;
    /// Stored; does nothing. Over 6 needs the superuser: EPERM.
    SO_PRIORITY = 12;
    /// Taken and forgotten; reads 0.
    SO_BSDCOMPAT = 14;
    /// Stored; does nothing (OPT 12).
    SO_LINGER = 13;
    /// Not supported (OPT 5).
    SO_REUSEPORT = 15;
    /// Credentials come with each message (RCMSG 2).
    SO_PASSCRED = 16;
    /// The peer's credentials; read only (OPT 2).
    SO_PEERCRED = 17;
    /// Bytes that a blocking stream receive waits for (SRECV 14).
    SO_RCVLOWAT = 18;
    /// Reads 1; cannot be set (OPT 5).
    SO_SNDLOWAT = 19;
    /// How long a receive waits: `struct timeval` (OPT 10).
    SO_RCVTIMEO = 20;
    /// How long a send or connect waits: `struct timeval` (OPT 10).
    SO_SNDTIMEO = 21;
    /// Binds to a network interface: there is none (ENODEV).
    SO_BINDTODEVICE = 25;
    /// A socket filter: to be set, the bytes of an array of `struct sock_filter` (8 each); read as
    /// SO_GET_FILTER, whose lengths count instructions (OPT 5).
    SO_ATTACH_FILTER = 26;
    /// ENOENT without a filter (OPT 12).
    SO_DETACH_FILTER = 27;
    /// What getpeername tells; read only (OPT 3).
    SO_PEERNAME = 28;
    /// The time of each message comes with it: `struct timeval` (RCMSG 1).
    SO_TIMESTAMP = 29;
    /// Whether it listens; read only.
    SO_ACCEPTCONN = 30;
    /// As `SO_SNDBUF`, over the system's limit.
    SO_SNDBUFFORCE = 32;
    /// As `SO_RCVBUF`, over the system's limit.
    SO_RCVBUFFORCE = 33;
    /// A security label comes with each message; without a security module there is none.
    SO_PASSSEC = 34;
    /// The time of each message comes with it: `struct timespec` (RCMSG 1).
    SO_TIMESTAMPNS = 35;
    /// Stored; does nothing. Needs the superuser: EPERM.
    SO_MARK = 36;
    /// Stored; delivers nothing (RCMSG 1).
    SO_TIMESTAMPING = 37;
    /// Reads 0; read only.
    SO_PROTOCOL = 38;
    /// Reads AF_UNIX; read only.
    SO_DOMAIN = 39;
    /// Stored; does nothing.
    SO_RXQ_OVFL = 40;
    /// Stored; does nothing.
    SO_WIFI_STATUS = 41;
    /// Where a peek starts (PEEKOFF).
    SO_PEEK_OFF = 42;
    /// Stored; does nothing.
    SO_NOFCS = 43;
    /// Filters may not be changed any more; cannot be taken back: EPERM (OPT 12).
    SO_LOCK_FILTER = 44;
    /// Stored; datagram and seqpacket poll PRI with a pending error.
    SO_SELECT_ERR_QUEUE = 45;
    /// Stored; does nothing.
    SO_BUSY_POLL = 46;
    /// Stored; does nothing. 4 or 8 bytes.
    SO_MAX_PACING_RATE = 47;
    /// Reads 64; read only.
    SO_BPF_EXTENSIONS = 48;
    /// Stored; does nothing.
    SO_INCOMING_CPU = 49;
    /// Taken and forgotten; cannot be read.
    SO_CNX_ADVICE = 53;
    /// Nine counts of memory; read only (OPT 12).
    SO_MEMINFO = 55;
    /// Reads 0; read only.
    SO_INCOMING_NAPI_ID = 56;
    /// A number that no other socket has, of 8 bytes; read only (OPT 12).
    SO_COOKIE = 57;
    /// The peer's supplementary groups; read only.
    SO_PEERGROUPS = 59;
    /// Not supported (OPT 5).
    SO_ZEROCOPY = 60;
    /// Stored; does nothing.
    SO_BINDTOIFINDEX = 62;
    /// `SO_TIMESTAMP`, for who needs 64 bits of time everywhere.
    SO_TIMESTAMP_NEW = 63;
    /// `SO_TIMESTAMPNS`, for who needs 64 bits of time everywhere.
    SO_TIMESTAMPNS_NEW = 64;
    /// `SO_TIMESTAMPING`, for who needs 64 bits of time everywhere.
    SO_TIMESTAMPING_NEW = 65;
    /// `SO_RCVTIMEO`, for who needs 64 bits of time everywhere.
    SO_RCVTIMEO_NEW = 66;
    /// `SO_SNDTIMEO`, for who needs 64 bits of time everywhere.
    SO_SNDTIMEO_NEW = 67;
    /// Stored; does nothing. On needs the superuser: EPERM.
    SO_PREFER_BUSY_POLL = 69;
    /// Stored; does nothing; cannot be read.
    SO_BUSY_POLL_BUDGET = 70;
    /// The network namespace, of exactly 8 bytes; read only.
    SO_NETNS_COOKIE = 71;
    /// Which of SO_SNDBUF (1) and SO_RCVBUF (2) were set by hand.
    SO_BUF_LOCK = 72;
    /// Not supported (OPT 12).
    SO_RESERVE_MEM = 73;
    /// Not supported, both ways (OPT 5).
    SO_TXREHASH = 74;
    /// Stored; does nothing.
    SO_RCVMARK = 75;
    /// A pidfd comes with each message (RCMSG 3).
    SO_PASSPIDFD = 76;
    /// A pidfd of the peer; read only.
    SO_PEERPIDFD = 77;
    /// Stored; does nothing.
    SO_RCVPRIORITY = 82;
    /// Stream: the bytes left come with each receive (RCMSG 8).
    SO_INQ = 84;
    /// Whether descriptors may be received (SSEND 11).
    SO_PASSRIGHTS = 83;
}

/// Level of all options here; any other is EOPNOTSUPP (OPT 1).
pub const SOL_SOCKET: i32 = 1;
/// ioctl: O_ASYNC, as `int` (OPT 7).
pub const FIOASYNC: u32 = 0x5452;
/// ioctl: the file's owner, as F_SETOWN (OPT 7).
pub const FIOSETOWN: u32 = 0x8901;
/// ioctl: as [`FIOSETOWN`].
pub const SIOCSPGRP: u32 = 0x8902;
/// ioctl: as F_GETOWN.
pub const FIOGETOWN: u32 = 0x8903;
/// ioctl: as [`FIOGETOWN`].
pub const SIOCGPGRP: u32 = 0x8904;
/// ioctl: bytes to be read (FIONREAD; OPT 6).
pub const SIOCINQ: u32 = 0x541B;
/// ioctl: memory charged for what was sent (TIOCOUTQ; OPT 6).
pub const SIOCOUTQ: u32 = 0x5411;
/// ioctl: sets O_NONBLOCK.
pub const FIONBIO: u32 = 0x5421;
/// ioctl: whether the reader stands at the out-of-band mark (OOB 8).
pub const SIOCATMARK: u32 = 0x8905;
/// Returns an O_PATH descriptor of the inode that the socket is bound to; needs CAP_NET_ADMIN
/// (OPT 7).
pub const SIOCUNIXFILE: u32 = 0x89E0;
