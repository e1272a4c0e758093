//! The symbols that strace prints, as numbers.

use afunix::Errno;
use afunix::options::option_name;

use crate::log::value::Value;

/// The number of a value: a number, a symbol, or several with `|` between them.
pub(crate) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Word(word) => {
            word.split('|').try_fold(0, |all, part| Some(all | symbol(part.trim())?))
        }
        value => value.number(),
    }
}

/// The number of a symbol.
fn symbol(name: &str) -> Option<i64> {
    let known = SYMBOLS.binary_search_by_key(&name, |(known, _)| known);
    if let Ok(index) = known {
        return Some(SYMBOLS[index].1);
    }
    if let Some(option) =
        name.strip_suffix("_OLD").or(Some(name)).filter(|_| name.starts_with("SO_"))
    {
        return (0..128).find(|number| option_name(*number) == Some(option)).map(i64::from);
    }
    if name.starts_with('E') && !name.starts_with("EPOLL") {
        return Errno::from_name(name).map(|errno| i64::from(errno.raw()));
    }
    hexadecimal(name)
}

fn hexadecimal(name: &str) -> Option<i64> {
    match name.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => name.parse().ok(),
    }
}

/// The number of a signal; 0 for one without a name here.
pub(crate) fn signal(name: &str) -> i32 {
    const NAMES: &[&str] = &[
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
        "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
        "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let bare = name.strip_prefix("SIG").unwrap_or(name);
    NAMES.iter().position(|known| *known == bare).map_or(0, |index| index as i32 + 1)
}

/// Sorted by name.
const SYMBOLS: &[(&str, i64)] = &[
    ("AF_UNIX", 1),
    ("AF_UNSPEC", 0),
    ("EPOLLERR", 0x8),
    ("EPOLLET", 1 << 31),
    ("EPOLLEXCLUSIVE", 1 << 28),
    ("EPOLLHUP", 0x10),
    ("EPOLLIN", 0x1),
    ("EPOLLONESHOT", 1 << 30),
    ("EPOLLOUT", 0x4),
    ("EPOLLPRI", 0x2),
    ("EPOLLRDBAND", 0x80),
    ("EPOLLRDHUP", 0x2000),
    ("EPOLLRDNORM", 0x40),
    ("EPOLLWAKEUP", 1 << 29),
    ("EPOLLWRBAND", 0x200),
    ("EPOLLWRNORM", 0x100),
    ("EPOLL_CLOEXEC", 0o2000000),
    ("EPOLL_CTL_ADD", 1),
    ("EPOLL_CTL_DEL", 2),
    ("EPOLL_CTL_MOD", 3),
    ("FD_CLOEXEC", 1),
    ("FIONBIO", 0x5421),
    ("FIONREAD", 0x541b),
    ("F_OK", 0),
    ("MSG_CMSG_CLOEXEC", 0x4000_0000),
    ("MSG_CONFIRM", 0x800),
    ("MSG_CTRUNC", 0x8),
    ("MSG_DONTROUTE", 0x4),
    ("MSG_DONTWAIT", 0x40),
    ("MSG_EOR", 0x80),
    ("MSG_ERRQUEUE", 0x2000),
    ("MSG_FASTOPEN", 0x2000_0000),
    ("MSG_FIN", 0x200),
    ("MSG_MORE", 0x8000),
    ("MSG_NOSIGNAL", 0x4000),
    ("MSG_OOB", 0x1),
    ("MSG_PEEK", 0x2),
    ("MSG_PROBE", 0x10),
    ("MSG_RST", 0x1000),
    ("MSG_SYN", 0x400),
    ("MSG_TRUNC", 0x20),
    ("MSG_WAITALL", 0x100),
    ("MSG_WAITFORONE", 0x10000),
    ("MSG_ZEROCOPY", 0x0400_0000),
    ("O_APPEND", 0o2000),
    ("O_ASYNC", 0o20000),
    ("O_CLOEXEC", 0o2000000),
    ("O_LARGEFILE", 0),
    ("O_NDELAY", 0o4000),
    ("O_NONBLOCK", 0o4000),
    ("O_RDONLY", 0),
    ("O_RDWR", 2),
    ("O_WRONLY", 1),
    ("PF_UNIX", 1),
    ("POLLERR", 0x8),
    ("POLLHUP", 0x10),
    ("POLLIN", 0x1),
    ("POLLNVAL", 0x20),
    ("POLLOUT", 0x4),
    ("POLLPRI", 0x2),
    ("POLLRDBAND", 0x80),
    ("POLLRDHUP", 0x2000),
    ("POLLRDNORM", 0x40),
    ("POLLWRBAND", 0x200),
    ("POLLWRNORM", 0x100),
    ("SCM_CREDENTIALS", 2),
    ("SCM_RIGHTS", 1),
    ("SHUT_RD", 0),
    ("SHUT_RDWR", 2),
    ("SHUT_WR", 1),
    ("SIOCATMARK", 0x8905),
    ("SIOCINQ", 0x541b),
    ("SIOCOUTQ", 0x5411),
    ("SOCK_CLOEXEC", 0o2000000),
    ("SOCK_DGRAM", 2),
    ("SOCK_NONBLOCK", 0o4000),
    ("SOCK_RAW", 3),
    ("SOCK_SEQPACKET", 5),
    ("SOCK_STREAM", 1),
    ("SOL_SOCKET", 1),
    ("TIOCINQ", 0x541b),
    ("TIOCOUTQ", 0x5411),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(word: &str) -> Option<i64> {
        number(&Value::Word(word.into()))
    }

    #[test]
    fn symbols_are_sorted_for_the_search() {
        assert!(SYMBOLS.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn flags_and_options_have_their_numbers() {
        assert_eq!(of("SOCK_STREAM|SOCK_CLOEXEC|0x10"), Some(0o2000000 | 1 | 0x10));
        assert_eq!(of("SO_RCVTIMEO_OLD"), Some(20));
        assert_eq!(of("SO_PEERCRED"), Some(17));
        assert_eq!(of("ECONNREFUSED"), Some(111));
        assert_eq!(of("SOMETHING"), None);
        assert_eq!((signal("SIGKILL"), signal("SIGTERM"), signal("SIGRT_3")), (9, 15, 0));
    }
}
