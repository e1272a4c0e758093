//! The profile `posix`: what Linux has beyond POSIX.1-2024 is refused before the call is looked at,
//! with the error that POSIX has for what a system does not know.

use afunix::control::{SCM_RIGHTS, SOL_SOCKET, messages};
use afunix::options::*;
use afunix::{Call, Errno, RawName};

/// MSG_EOR and MSG_NOSIGNAL. MSG_OOB is for protocols that have it.
const SEND_FLAGS: i32 = 0x80 | 0x4000;
/// MSG_PEEK, MSG_WAITALL and MSG_CMSG_CLOEXEC.
const RECV_FLAGS: i32 = 2 | 0x100 | 0x4000_0000;

/// The options of SOL_SOCKET that POSIX has.
const OPTIONS: [i32; 18] = [
    SO_ACCEPTCONN,
    SO_BROADCAST,
    SO_DEBUG,
    SO_DOMAIN,
    SO_DONTROUTE,
    SO_ERROR,
    SO_KEEPALIVE,
    SO_LINGER,
    SO_OOBINLINE,
    SO_PROTOCOL,
    SO_RCVBUF,
    SO_RCVLOWAT,
    SO_RCVTIMEO,
    SO_REUSEADDR,
    SO_SNDBUF,
    SO_SNDLOWAT,
    SO_SNDTIMEO,
    SO_TYPE,
];

/// The error of a call, or of something in it, that POSIX does not have.
pub(super) fn refuse(call: &Call<'_, '_>) -> Result<(), Errno> {
    match call {
        Call::Sendmmsg { .. }
        | Call::Recvmmsg { .. }
        | Call::Eventfd2 { .. }
        | Call::EpollCreate1 { .. }
        | Call::EpollCtl { .. }
        | Call::EpollPwait2 { .. } => Err(Errno::NOSYS),
        Call::Getsockopt { level: SOL_SOCKET, option, .. }
        | Call::Setsockopt { level: SOL_SOCKET, option, .. }
            if !OPTIONS.contains(option) =>
        {
            Err(Errno::NOPROTOOPT)
        }
        Call::Ioctl { request, .. } if *request != FIONBIO => Err(Errno::NOTTY),
        Call::Recvfrom { flags, .. } | Call::Recvmsg { flags, .. } => {
            known(flags.bits(), RECV_FLAGS)
        }
        Call::Bind { name, .. } if length(name) == 2 => Err(Errno::INVAL),
        Call::Bind { name, .. } | Call::Connect { name, .. } => of_path(name),
        Call::Sendto { flags, name, .. } => {
            known(flags.bits(), SEND_FLAGS)?;
            of_path(name)
        }
        Call::Sendmsg { flags, name, control, .. } => {
            known(flags.bits(), SEND_FLAGS)?;
            of_path(name)?;
            let strange = control.bytes().unwrap_or(&[]);
            let strange = messages(strange)
                .filter_map(Result::ok)
                .any(|message| message.level == SOL_SOCKET && message.kind != SCM_RIGHTS);
            if strange { Err(Errno::INVAL) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

fn known(flags: i32, known: i32) -> Result<(), Errno> {
    if flags & !known == 0 { Ok(()) } else { Err(Errno::OPNOTSUPP) }
}

fn length(name: &RawName<'_>) -> usize {
    match name {
        RawName::Bytes(bytes) => bytes.len(),
        RawName::Null { .. } | RawName::Fault { .. } => 0,
    }
}

/// An abstract name is an empty path to POSIX: ENOENT.
fn of_path(name: &RawName<'_>) -> Result<(), Errno> {
    match name {
        RawName::Bytes([1, 0, 0, ..]) => Err(Errno::NOENT),
        _ => Ok(()),
    }
}
