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
    /// Stored; does nothing (OPT 5).
    SO_REUSEADDR = 2;
    /// The type of the socket; read only.
    SO_TYPE = 3;
    /// The pending error; reading clears it.
    SO_ERROR = 4;
    /// Bytes of send memory (MEM 9).
    SO_SNDBUF = 7;
    /// Stored; never looked at (MEM 1).
    SO_RCVBUF = 8;
    /// Stored; does nothing (OPT 5).
    SO_KEEPALIVE = 9;
    /// Out-of-band bytes stay in the stream (OOB 6).
    SO_OOBINLINE = 10;
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
    /// Whether it listens; read only.
    SO_ACCEPTCONN = 30;
    /// As `SO_SNDBUF`, over the system's limit.
    SO_SNDBUFFORCE = 32;
    /// As `SO_RCVBUF`, over the system's limit.
    SO_RCVBUFFORCE = 33;
    /// Reads 0; read only.
    SO_PROTOCOL = 38;
    /// Reads AF_UNIX; read only.
    SO_DOMAIN = 39;
    /// Where a peek starts (PEEKOFF).
    SO_PEEK_OFF = 42;
    /// The peer's supplementary groups; read only.
    SO_PEERGROUPS = 59;
    /// A pidfd comes with each message (RCMSG 3).
    SO_PASSPIDFD = 76;
    /// A pidfd of the peer; read only.
    SO_PEERPIDFD = 77;
    /// Stream: the bytes left come with each receive (RCMSG 8).
    SO_INQ = 84;
    /// Whether descriptors may be received (SSEND 11).
    SO_PASSRIGHTS = 83;
}

/// Level of all options here; any other is EOPNOTSUPP (OPT 1).
pub const SOL_SOCKET: i32 = 1;
/// ioctl: bytes to be read (FIONREAD; OPT 6).
pub const SIOCINQ: u32 = 0x541B;
/// ioctl: memory charged for what was sent (TIOCOUTQ; OPT 6).
pub const SIOCOUTQ: u32 = 0x5411;
/// ioctl: sets O_NONBLOCK.
pub const FIONBIO: u32 = 0x5421;
/// ioctl: whether the reader stands at the out-of-band mark (OOB 8).
pub const SIOCATMARK: u32 = 0x8905;
