//! Small random programs: threads, some of them processes of their own, that make a few calls each
//! on a few shared sockets.

#![expect(unsafe_code, reason = "the numbers are used with simulated machines alone")]

use afunix::net::{Fd, OwnedFd};
use afunix::{Call, EpollEvent, EpollFlags, RawName, Readiness, options};
use afunix_sim::Sim;

/// Sockets that every program has: pairs of each type, a listener, and two that may connect to it.
pub(crate) const PAIRS: [(i32, i32); 3] =
    [(afunix::SOCK_STREAM, 3), (afunix::SOCK_DGRAM, 5), (afunix::SOCK_SEQPACKET, 7)];
pub(crate) const LISTENER: i32 = 9;
pub(crate) const CLIENTS: [i32; 2] = [10, 11];
/// An epoll instance, of programs that use one.
pub(crate) const EPOLL: i32 = 12;
/// What may be open at the end lies below.
pub(crate) const END: i32 = 24;

/// The listener's name.
pub(crate) const NAME: &[u8] = b"\x01\0\0l";

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    No,
    Ever,
    /// Milliseconds.
    For(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Send {
        fd: i32,
        wait: bool,
    },
    SendLarge {
        fd: i32,
    },
    /// A byte, and a descriptor with it.
    SendFile {
        fd: i32,
        file: i32,
    },
    Recv {
        fd: i32,
        wait: bool,
    },
    RecvLarge {
        fd: i32,
    },
    /// Two bytes, all of them.
    RecvAll {
        fd: i32,
    },
    Peek {
        fd: i32,
    },
    Shutdown {
        fd: i32,
        how: i32,
    },
    Close {
        fd: i32,
    },
    Poll {
        fd: i32,
        events: Readiness,
        wait: Wait,
    },
    /// From now on, those who receive wait for a millisecond at most.
    Timeout {
        fd: i32,
    },
    Sleep {
        ms: u64,
    },
    Error {
        fd: i32,
    },
    Connect {
        fd: i32,
    },
    EpollAdd {
        fd: i32,
        events: EpollFlags,
    },
    EpollChange {
        fd: i32,
        events: EpollFlags,
    },
    EpollDelete {
        fd: i32,
    },
    EpollWait {
        wait: Wait,
    },
    /// These give out numbers.
    Accept,
    Dup {
        fd: i32,
    },
    RecvFile {
        fd: i32,
    },
}

/// What the threads do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub(crate) threads: Vec<Vec<Op>>,
    /// Whether each thread is a process of its own, with copies of the descriptors.
    pub(crate) processes: bool,
    /// With processes: descriptors that one of them alone has, and which one.
    pub(crate) alone: Vec<(i32, usize)>,
    /// What an epoll instance watches from the beginning; `None` if there is none.
    pub(crate) watched: Option<Vec<(i32, EpollFlags)>>,
}

/// The descriptor of a number in a simulated process.
pub(crate) fn fd(number: i32) -> Fd<'static> {
    // SAFETY: the number is used with a simulated machine alone.
    unsafe { Fd::borrow_raw(number) }
}

/// A descriptor that is given to a process.
pub(crate) fn owned(host: Sim, number: i32) -> OwnedFd<Sim> {
    // SAFETY: as above, and the number was just made, for this.
    unsafe { OwnedFd::from_raw(host, number) }
}

impl Program {
    /// The numbers that each process is given.
    fn given(&self) -> std::ops::RangeInclusive<i32> {
        3..=if self.watched.is_some() { EPOLL } else { CLIENTS[1] }
    }

    /// The calls that make the sockets, one after the other; what each process is given, as (number
    /// here, number there).
    pub(crate) fn set_up(
        &self,
        mut perform: impl FnMut(&mut Call<'_, '_>) -> usize,
    ) -> Vec<Vec<(i32, i32)>> {
        let domain = afunix::AF_UNIX;
        for (kind, first) in PAIRS {
            let mut fds = [-1; 2];
            perform(&mut Call::Socketpair { domain, kind, protocol: 0, fds: &mut fds });
            assert_eq!(fds, [first, first + 1]);
        }
        for number in [3, 4] {
            perform(&mut Call::Setsockopt {
                fd: fd(number),
                level: options::SOL_SOCKET,
                option: options::SO_SNDBUF,
                value: &1_i32.to_ne_bytes(),
            });
        }
        for _ in 0..3 {
            perform(&mut Call::Socket { domain, kind: afunix::SOCK_STREAM, protocol: 0 });
        }
        perform(&mut Call::Bind { fd: fd(LISTENER), name: RawName::Bytes(NAME) });
        perform(&mut Call::Listen { fd: fd(LISTENER), backlog: 0 });
        if let Some(watched) = &self.watched {
            let flags = afunix::OpenFlags::empty();
            assert_eq!(perform(&mut Call::EpollCreate1 { flags }), EPOLL as usize);
            for (number, events) in watched {
                perform(&mut epoll_ctl(1, *number, Some(*events)));
            }
        }
        let mut given = Vec::new();
        for process in (0..self.threads.len()).filter(|_| self.processes) {
            let is_given = |number: &i32| {
                !self.alone.iter().any(|(alone, whose)| alone == number && *whose != process)
            };
            let copy = |number| (perform(&mut Call::Dup { fd: fd(number) }) as i32, number);
            given.push(self.given().filter(is_given).map(copy).collect());
        }
        for (number, _) in &self.alone {
            perform(&mut Call::Close { fd: fd(*number) });
        }
        given
    }
}

pub(crate) fn epoll_ctl(
    op: i32,
    number: i32,
    events: Option<EpollFlags>,
) -> Call<'static, 'static> {
    let event = events.map(|events| EpollEvent { events, data: number as u64 });
    Call::EpollCtl { fd: fd(EPOLL), op, target: fd(number), event }
}

/// Random numbers from a seed (xorshift64*).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize) % n
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// The sockets that programs use: one pair, or the listener and its clients.
pub(crate) const FAMILIES: [&[i32]; 4] =
    [&[3, 4], &[5, 6], &[7, 8], &[LISTENER, CLIENTS[0], CLIENTS[1]]];

/// Which calls a program may make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kinds {
    /// Those that give out numbers.
    pub(crate) numbers: bool,
    /// Those that pass files.
    pub(crate) files: bool,
    pub(crate) timers: bool,
    pub(crate) epoll: bool,
}

impl Kinds {
    pub(crate) const ALL: Kinds = Kinds { numbers: true, files: true, timers: true, epoll: true };
}

/// What can be done with these sockets, each with how often it is in a program.
pub(crate) fn catalogue(fds: &[i32], kinds: Kinds) -> Vec<(usize, Op)> {
    let waits: &[Wait] = match kinds.timers {
        true => &[Wait::No, Wait::Ever, Wait::For(1)],
        false => &[Wait::No, Wait::Ever],
    };
    let mut all = Vec::new();
    for fd in fds.iter().copied() {
        let wait = Wait::Ever;
        all.extend([(8, Op::Send { fd, wait: true }), (8, Op::Send { fd, wait: false })]);
        all.extend([(8, Op::Close { fd }), (4, Op::Error { fd })]);
        all.extend([0, 1, 2].map(|how| (2, Op::Shutdown { fd, how })));
        all.push((6, Op::Recv { fd, wait: false }));
        if kinds.numbers {
            all.push((4, Op::Dup { fd }));
        }
        if fds[0] == LISTENER {
            all.push((4, Op::Poll { fd, events: Readiness::IN, wait }));
            if CLIENTS.contains(&fd) {
                all.push((24, Op::Connect { fd }));
            } else if kinds.numbers {
                all.push((24, Op::Accept));
            }
        } else {
            all.extend([(4, Op::SendLarge { fd }), (10, Op::Recv { fd, wait: true })]);
            all.extend([(4, Op::RecvLarge { fd }), (4, Op::RecvAll { fd }), (4, Op::Peek { fd })]);
            for wait in waits.iter().copied() {
                all.push((3, Op::Poll { fd, events: Readiness::IN, wait }));
                all.push((3, Op::Poll { fd, events: Readiness::OUT, wait }));
            }
        }
        if kinds.files {
            all.extend(fds.iter().map(|file| (6, Op::SendFile { fd, file: *file })));
        }
        if kinds.files && kinds.numbers {
            all.push((8, Op::RecvFile { fd }));
        }
        if kinds.timers {
            all.push((4, Op::Timeout { fd }));
        }
        if kinds.epoll {
            all.push((3, Op::EpollAdd { fd, events: EpollFlags::IN }));
            all.push((3, Op::EpollChange { fd, events: EpollFlags::IN | EpollFlags::OUT }));
            all.push((3, Op::EpollChange { fd, events: EpollFlags::IN | EpollFlags::ET }));
            all.push((3, Op::EpollDelete { fd }));
        }
    }
    if kinds.timers {
        all.extend([1, 2].map(|ms| (6, Op::Sleep { ms })));
    }
    if kinds.epoll {
        all.extend(waits.iter().map(|wait| (10, Op::EpollWait { wait: *wait })));
    }
    all
}

/// What is watched from the beginning.
pub(crate) fn watched(dice: &mut Dice, fds: &[i32]) -> Vec<(i32, EpollFlags)> {
    let some = [
        EpollFlags::IN,
        EpollFlags::IN | EpollFlags::ET,
        EpollFlags::IN | EpollFlags::OUT | EpollFlags::ET,
        EpollFlags::IN | EpollFlags::ONESHOT,
    ];
    let watched = fds.iter().filter(|_| dice.below(3) > 0).copied().collect::<Vec<_>>();
    watched.into_iter().map(|fd| (fd, dice.one(&some))).collect()
}

/// A random program of at most so many calls a thread.
pub(crate) fn program(dice: &mut Dice, threads: usize, calls: usize, kinds: Kinds) -> Program {
    let fds = dice.one(&FAMILIES);
    // Two sockets meet more often than four do.
    let fds = if dice.below(4) == 0 { &[3, 4, 5, 6] } else { fds };
    let mut kinds = kinds;
    // A program that does everything does little of each.
    kinds.files &= dice.below(2) == 0;
    kinds.timers &= dice.below(2) == 0;
    kinds.epoll &= dice.below(3) == 0;
    let all = catalogue(fds, kinds);
    let sum: usize = all.iter().map(|(weight, _)| weight).sum();
    let op = |dice: &mut Dice| {
        let mut at = dice.below(sum);
        for (weight, op) in &all {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return *op,
            }
        }
        unreachable!("it is below the sum")
    };
    let threads: Vec<Vec<Op>> =
        (0..threads).map(|_| (0..1 + dice.below(calls)).map(|_| op(dice)).collect()).collect();
    let processes = dice.below(3) == 0;
    let mut alone = Vec::new();
    for fd in fds.iter().filter(|_| processes) {
        if dice.below(2) == 0 {
            alone.push((*fd, dice.below(threads.len())));
        }
    }
    let watched = kinds.epoll.then(|| watched(dice, fds));
    Program { threads, processes, alone, watched }
}
