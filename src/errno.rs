//! Error numbers, as the kernel gives them.

use std::fmt;

/// An error number of Linux (errno(3)), without the leading `E` in the names of its constants.
///
/// ```
/// use afunix::Errno;
/// assert_eq!(Errno::ADDRINUSE.to_string(), "EADDRINUSE: Address already in use");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(u16);

macro_rules! errnos {
    ($($number:literal $name:ident $text:literal,)*) => {
        impl Errno {
            $(#[doc = concat!("`E", stringify!($name), "`: ", $text, ".")]
            pub const $name: Errno = Errno($number);)*

            /// The symbol with its `E`, or `None` for a number that is not in the table.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(concat!("E", stringify!($name))),)* _ => None }
            }

            /// The text of strerror(3) in the C locale.
            pub const fn text(self) -> &'static str {
                match self.0 { $($number => $text,)* _ => "Unknown error" }
            }

            /// The number of a symbol, with or without its `E`.
            pub fn from_name(name: &str) -> Option<Errno> {
                match name.strip_prefix('E').unwrap_or(name) {
                    $(stringify!($name) => Some(Errno::$name),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    1 PERM "Operation not permitted",
    2 NOENT "No such file or directory",
    3 SRCH "No such process",
    4 INTR "Interrupted system call",
    5 IO "Input/output error",
    6 NXIO "No such device or address",
    7 TOOBIG "Argument list too long",
    8 NOEXEC "Exec format error",
    9 BADF "Bad file descriptor",
    10 CHILD "No child processes",
    11 AGAIN "Resource temporarily unavailable",
    12 NOMEM "Cannot allocate memory",
    13 ACCES "Permission denied",
    14 FAULT "Bad address",
    16 BUSY "Device or resource busy",
    17 EXIST "File exists",
    18 XDEV "Invalid cross-device link",
    19 NODEV "No such device",
    20 NOTDIR "Not a directory",
    21 ISDIR "Is a directory",
    22 INVAL "Invalid argument",
    23 NFILE "Too many open files in system",
    24 MFILE "Too many open files",
    25 NOTTY "Inappropriate ioctl for device",
    27 FBIG "File too large",
    28 NOSPC "No space left on device",
    29 SPIPE "Illegal seek",
    30 ROFS "Read-only file system",
    31 MLINK "Too many links",
    32 PIPE "Broken pipe",
    33 DOM "Numerical argument out of domain",
    34 RANGE "Numerical result out of range",
    35 DEADLK "Resource deadlock avoided",
    36 NAMETOOLONG "File name too long",
    38 NOSYS "Function not implemented",
    39 NOTEMPTY "Directory not empty",
    40 LOOP "Too many levels of symbolic links",
    61 NODATA "No data available",
    62 TIME "Timer expired",
    65 NOPKG "Package not installed",
    71 PROTO "Protocol error",
    75 OVERFLOW "Value too large for defined data type",
    88 NOTSOCK "Socket operation on non-socket",
    89 DESTADDRREQ "Destination address required",
    90 MSGSIZE "Message too long",
    91 PROTOTYPE "Protocol wrong type for socket",
    92 NOPROTOOPT "Protocol not available",
    93 PROTONOSUPPORT "Protocol not supported",
    94 SOCKTNOSUPPORT "Socket type not supported",
    95 OPNOTSUPP "Operation not supported",
    96 PFNOSUPPORT "Protocol family not supported",
    97 AFNOSUPPORT "Address family not supported by protocol",
    98 ADDRINUSE "Address already in use",
    99 ADDRNOTAVAIL "Cannot assign requested address",
    103 CONNABORTED "Software caused connection abort",
    104 CONNRESET "Connection reset by peer",
    105 NOBUFS "No buffer space available",
    106 ISCONN "Transport endpoint is already connected",
    107 NOTCONN "Transport endpoint is not connected",
    109 TOOMANYREFS "Too many references: cannot splice",
    110 TIMEDOUT "Connection timed out",
    111 CONNREFUSED "Connection refused",
    114 ALREADY "Operation already in progress",
    115 INPROGRESS "Operation now in progress",
    116 STALE "Stale file handle",
    125 CANCELED "Operation canceled",
    512 RESTARTSYS "Unknown error 512",
}

impl Errno {
    /// The error of a raw number, or `None` if it is not in 1..=4095, where errors lie.
    pub const fn from_raw(number: i32) -> Option<Errno> {
        if number >= 1 && number <= 4095 { Some(Errno(number as u16)) } else { None }
    }

    /// The number.
    pub const fn raw(self) -> i32 {
        self.0 as i32
    }

    /// The error number inside an [`std::io::Error`], if it has one.
    pub fn from_io(error: &std::io::Error) -> Option<Errno> {
        error.raw_os_error().and_then(Errno::from_raw)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name}: {}", self.text()),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

impl std::error::Error for Errno {}

impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        std::io::Error::from_raw_os_error(errno.raw())
    }
}
