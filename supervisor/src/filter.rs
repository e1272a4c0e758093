//! Which calls the kernel hands to the supervisor: a program of classic BPF (seccomp(2)).

use libc::sock_filter;

/// AUDIT_ARCH of the calls that the supervisor understands.
#[cfg(target_arch = "x86_64")]
pub(crate) const ARCH: u32 = 0xc000_003e;
/// AUDIT_ARCH of the calls that the supervisor understands.
#[cfg(target_arch = "aarch64")]
pub(crate) const ARCH: u32 = 0xc000_00b7;

/// Trapped whatever their arguments: the calls that may touch a socket. The calls on descriptors
/// as such (dup, fcntl, close, epoll_ctl) are not: the placeholder does what they ask for.
const TRAPPED: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_recvmmsg,
    libc::SYS_sendmmsg,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_connect,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendfile,
    libc::SYS_splice,
];

/// Trapped where the first argument is AF_UNIX.
const CREATING: &[libc::c_long] = &[libc::SYS_socket, libc::SYS_socketpair];

/// The requests of ioctl(2) that ask for what only the model knows.
const REQUESTS: &[u32] = &[
    afunix::options::SIOCINQ,
    afunix::options::SIOCOUTQ,
    afunix::options::SIOCATMARK,
    afunix::options::SIOCUNIXFILE,
];

/// Polls that return at once where an argument is 0: which. What was closed before them is to be
/// seen closed; then the kernel makes them.
#[cfg(target_arch = "x86_64")]
const POLLS: &[(libc::c_long, u32)] =
    &[(libc::SYS_poll, 2), (libc::SYS_epoll_wait, 3), (libc::SYS_epoll_pwait, 3)];
/// As above.
#[cfg(target_arch = "aarch64")]
const POLLS: &[(libc::c_long, u32)] = &[(libc::SYS_epoll_pwait, 3)];

/// All polls. Of the others the filter cannot see how long they wait.
#[cfg(target_arch = "x86_64")]
pub(crate) const ALL_POLLS: &[libc::c_long] = &[
    libc::SYS_poll,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_select,
    libc::SYS_pselect6,
    libc::SYS_ppoll,
    libc::SYS_epoll_pwait2,
];
/// As above.
#[cfg(target_arch = "aarch64")]
pub(crate) const ALL_POLLS: &[libc::c_long] =
    &[libc::SYS_epoll_pwait, libc::SYS_pselect6, libc::SYS_ppoll, libc::SYS_epoll_pwait2];

/// Rings and queues make calls that no filter sees. Programs fall back.
const MISSING: &[libc::c_long] = &[libc::SYS_io_uring_setup, libc::SYS_io_setup];

const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// The lower half of an argument: both architectures are little-endian.
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
#[cfg(target_arch = "x86_64")]
const IF_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

const NOTIFY: u32 = libc::SECCOMP_RET_USER_NOTIF;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const NO_SUCH_CALL: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

const fn statement(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

/// Jumps over `skip` instructions unless the value at hand is `k`.
const fn unless_equal(k: u32, skip: u8) -> sock_filter {
    sock_filter { code: IF_EQUAL, jt: 0, jf: skip, k }
}

/// The program.
pub(crate) fn program() -> Vec<sock_filter> {
    let mut code = vec![statement(LOAD, ARCHITECTURE), unless_equal(ARCH, 1)];
    // A call of another architecture is answered by the supervisor, which says so.
    code.extend([statement(libc::BPF_JMP as u16, 1), statement(RETURN, NOTIFY)]);
    code.push(statement(LOAD, NUMBER));
    #[cfg(target_arch = "x86_64")]
    {
        // The numbers of x32.
        const X32: u32 = 0x4000_0000;
        code.push(sock_filter { code: IF_LEAST, jt: 0, jf: 1, k: X32 });
        code.push(statement(RETURN, NO_SUCH_CALL));
    }
    let mut end = |number: libc::c_long, verdict: u32| {
        code.extend([unless_equal(number as u32, 1), statement(RETURN, verdict)]);
    };
    TRAPPED.iter().for_each(|number| end(*number, NOTIFY));
    MISSING.iter().for_each(|number| end(*number, NO_SUCH_CALL));
    let whole = |number: &&libc::c_long| !POLLS.iter().any(|(of, _)| of == *number);
    for number in ALL_POLLS.iter().filter(whole) {
        code.extend([unless_equal(*number as u32, 1), statement(RETURN, NOTIFY)]);
    }
    for (number, index) in POLLS {
        code.extend(where_argument_is(*number, *index, &[0]));
    }
    for number in CREATING {
        code.extend(where_argument_is(*number, 0, &[libc::AF_UNIX as u32]));
    }
    code.extend(where_argument_is(libc::SYS_ioctl, 1, REQUESTS));
    code.push(statement(RETURN, ALLOW));
    code
}

/// Traps a call where one of its arguments has one of these values, and allows it elsewhere.
fn where_argument_is(number: libc::c_long, index: u32, values: &[u32]) -> Vec<sock_filter> {
    let rest = 2 + 2 * values.len() as u8;
    let mut code = vec![unless_equal(number as u32, rest), statement(LOAD, argument(index))];
    for value in values {
        code.extend([unless_equal(*value, 1), statement(RETURN, NOTIFY)]);
    }
    code.push(statement(RETURN, ALLOW));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program says to a call.
    fn verdict(arch: u32, number: libc::c_long, args: [u64; 6]) -> u32 {
        let mut data = [0u8; 64];
        data[..4].copy_from_slice(&(number as u32).to_ne_bytes());
        data[4..8].copy_from_slice(&arch.to_ne_bytes());
        for (at, arg) in args.iter().enumerate() {
            data[16 + 8 * at..24 + 8 * at].copy_from_slice(&arg.to_ne_bytes());
        }
        let program = program();
        let (mut at, mut value) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            let jump = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
            match step.code {
                RETURN => return step.k,
                LOAD => {
                    let from = step.k as usize;
                    value = u32::from_ne_bytes(data[from..from + 4].try_into().unwrap());
                }
                IF_EQUAL => at += jump(value == step.k),
                #[cfg(target_arch = "x86_64")]
                IF_LEAST => at += jump(value >= step.k),
                code if code == libc::BPF_JMP as u16 => at += step.k as usize,
                code => panic!("no such instruction: {code}"),
            }
        }
    }

    #[test]
    fn calls_that_may_touch_a_socket_are_trapped() {
        for number in TRAPPED {
            assert_eq!(verdict(ARCH, *number, [0; 6]), NOTIFY, "{number}");
        }
        for number in [libc::SYS_dup, libc::SYS_close, libc::SYS_fcntl, libc::SYS_fstat] {
            assert_eq!(verdict(ARCH, number, [0; 6]), ALLOW, "{number}");
        }
    }

    #[test]
    fn only_unix_sockets_and_their_requests_are_trapped() {
        for number in CREATING {
            assert_eq!(verdict(ARCH, *number, [1, 0, 0, 0, 0, 0]), NOTIFY);
            assert_eq!(verdict(ARCH, *number, [2, 1, 1, 1, 1, 1]), ALLOW);
            // The kernel looks at 32 bits of a family.
            assert_eq!(verdict(ARCH, *number, [1 << 32 | 1, 0, 0, 0, 0, 0]), NOTIFY);
        }
        for request in REQUESTS {
            assert_eq!(
                verdict(ARCH, libc::SYS_ioctl, [7, u64::from(*request), 0, 0, 0, 0]),
                NOTIFY
            );
        }
        assert_eq!(verdict(ARCH, libc::SYS_ioctl, [7, 0x5401, 0, 0, 0, 0]), ALLOW);
    }

    #[test]
    fn polls_are_trapped_where_they_may_return_at_once() {
        assert_eq!(verdict(ARCH, libc::SYS_ppoll, [0; 6]), NOTIFY);
        for (number, index) in POLLS {
            let mut args = [7; 6];
            assert_eq!(verdict(ARCH, *number, args), ALLOW);
            args[*index as usize] = 0;
            assert_eq!(verdict(ARCH, *number, args), NOTIFY);
        }
    }

    #[test]
    fn what_would_go_round_the_filter_is_missing() {
        for number in MISSING {
            assert_eq!(verdict(ARCH, *number, [0; 6]), NO_SUCH_CALL);
        }
        let other = 0x4000_0003;
        assert_eq!(verdict(other, libc::SYS_getpid, [0; 6]), NOTIFY);
        #[cfg(target_arch = "x86_64")]
        assert_eq!(verdict(ARCH, 0x4000_0000 + libc::SYS_read, [0; 6]), NO_SUCH_CALL);
    }
}
