//! Small random programs: threads that make a few calls each on a few shared sockets.

#![expect(unsafe_code, reason = "the numbers are used with simulated machines alone")]

use afunix::call::OptionOut;
use afunix::net::Fd;
use afunix::{
    Call, Errno, NameOut, PollFd, RawName, Readiness, RecvFlags, Segment, SegmentMut, SendFlags,
    SocketFlags, options,
};

/// Sockets that every program has: pairs of each type, a listener, and two that may connect to it.
pub(crate) const PAIRS: [(i32, i32); 3] =
    [(afunix::SOCK_STREAM, 3), (afunix::SOCK_DGRAM, 5), (afunix::SOCK_SEQPACKET, 7)];
pub(crate) const LISTENER: i32 = 9;
pub(crate) const CLIENTS: [i32; 2] = [10, 11];
/// What may be open at the end lies below.
pub(crate) const END: i32 = 18;

/// The listener's name.
pub(crate) const NAME: &[u8] = b"\x01\0\0l";

/// Bytes of a large message: of three, the least send buffer takes one or two.
const LARGE: usize = 2100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Send {
        fd: i32,
        wait: bool,
    },
    SendLarge {
        fd: i32,
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
        wait: bool,
    },
    Error {
        fd: i32,
    },
    Connect {
        fd: i32,
    },
    /// These two give out numbers.
    Accept,
    Dup {
        fd: i32,
    },
}

/// What the threads do.
pub(crate) type Program = Vec<Vec<Op>>;

/// The descriptor of a number in a simulated process.
pub(crate) fn fd(number: i32) -> Fd<'static> {
    // SAFETY: the number is used with a simulated machine alone.
    unsafe { Fd::borrow_raw(number) }
}

/// A call under way: the memory that it works with.
#[derive(Clone, Debug)]
pub(crate) struct Working {
    op: Op,
    bytes: Vec<u8>,
    progress: usize,
}

impl Op {
    /// `tag`: what it sends, unlike what anybody else does.
    pub(crate) fn begin(self, tag: u8) -> Working {
        let len = match self {
            Op::SendLarge { .. } | Op::RecvLarge { .. } => LARGE,
            Op::RecvAll { .. } => 2,
            _ => 1,
        };
        let fill = if matches!(self, Op::Send { .. } | Op::SendLarge { .. }) { tag } else { 0 };
        Working { op: self, bytes: vec![fill; len], progress: 0 }
    }

    /// Whether it gives out a number.
    fn numbers(self) -> bool {
        matches!(self, Op::Accept | Op::Dup { .. })
    }
}

impl Working {
    /// Makes the call by `perform`: what can be told of it, once it is over.
    pub(crate) fn make<R>(
        &mut self,
        perform: impl FnOnce(&mut Call<'_, '_>) -> R,
        over: impl FnOnce(&R) -> Option<Result<usize, Errno>>,
    ) -> (R, String) {
        let Working { op, bytes, progress } = self;
        let op = *op;
        let mut revents = Readiness::empty();
        let mut error = [0; 4];
        let send = |wait| if wait { SendFlags::empty() } else { SendFlags::DONTWAIT };
        let made = match op {
            Op::Send { fd: number, wait } => perform(&mut Call::Sendto {
                fd: fd(number),
                data: Segment::Bytes(bytes),
                flags: send(wait),
                name: RawName::NONE,
                progress: *progress,
            }),
            Op::SendLarge { fd: number } => {
                let mut call = Call::Sendto {
                    fd: fd(number),
                    data: Segment::Bytes(bytes),
                    flags: SendFlags::empty(),
                    name: RawName::NONE,
                    progress: *progress,
                };
                let made = perform(&mut call);
                if let Call::Sendto { progress: now, .. } = call {
                    *progress = now;
                }
                made
            }
            Op::Recv { .. } | Op::RecvLarge { .. } | Op::RecvAll { .. } | Op::Peek { .. } => {
                let (number, flags) = match op {
                    Op::Recv { fd, wait: false } => (fd, RecvFlags::DONTWAIT),
                    Op::RecvAll { fd } => (fd, RecvFlags::WAITALL),
                    Op::Peek { fd } => (fd, RecvFlags::PEEK | RecvFlags::DONTWAIT),
                    Op::Recv { fd, .. } | Op::RecvLarge { fd } => (fd, RecvFlags::empty()),
                    _ => unreachable!(),
                };
                let mut call = Call::Recvfrom {
                    fd: fd(number),
                    data: SegmentMut::Bytes(bytes),
                    flags,
                    name: &mut NameOut::nothing(),
                    progress: *progress,
                };
                let made = perform(&mut call);
                if let Call::Recvfrom { progress: now, .. } = call {
                    *progress = now;
                }
                made
            }
            Op::Shutdown { fd: number, how } => {
                perform(&mut Call::Shutdown { fd: fd(number), how })
            }
            Op::Close { fd: number } => perform(&mut Call::Close { fd: fd(number) }),
            Op::Poll { fd: number, events, wait } => {
                let mut fds = [PollFd::new(fd(number), events)];
                let timeout = (!wait).then_some(std::time::Duration::ZERO);
                let made = perform(&mut Call::Poll { fds: &mut fds, timeout, mask: None });
                revents = fds[0].revents;
                made
            }
            Op::Error { fd: number } => perform(&mut Call::Getsockopt {
                fd: fd(number),
                level: options::SOL_SOCKET,
                option: options::SO_ERROR,
                value: &mut OptionOut::new(&mut error),
            }),
            Op::Connect { fd: number } => {
                perform(&mut Call::Connect { fd: fd(number), name: RawName::Bytes(NAME) })
            }
            Op::Accept => perform(&mut Call::Accept4 {
                fd: fd(LISTENER),
                name: &mut NameOut::nothing(),
                flags: SocketFlags::empty(),
            }),
            Op::Dup { fd: number } => perform(&mut Call::Dup { fd: fd(number) }),
        };
        let result = over(&made);
        let mut text = match result {
            Some(Ok(_)) if op.numbers() => "number".to_owned(),
            Some(Ok(value)) => value.to_string(),
            Some(Err(errno)) => errno.to_string(),
            None => String::new(),
        };
        if let (Op::Recv { .. } | Op::RecvLarge { .. } | Op::RecvAll { .. }, Some(Ok(count))) =
            (op, result)
        {
            text += &format!(" {:?}", runs(&bytes[..count]));
        }
        if let (Op::Peek { .. }, Some(Ok(count))) = (op, result) {
            text += &format!(" {:?}", &bytes[..count]);
        }
        if matches!(op, Op::Poll { .. }) {
            text += &format!(" {revents:?}");
        }
        if matches!(op, Op::Error { .. }) {
            text += &format!(" {error:?}");
        }
        (made, text)
    }
}

/// Bytes as (byte, how often).
fn runs(bytes: &[u8]) -> Vec<(u8, usize)> {
    let mut runs: Vec<(u8, usize)> = Vec::new();
    for byte in bytes {
        match runs.last_mut() {
            Some((last, count)) if last == byte => *count += 1,
            _ => runs.push((*byte, 1)),
        }
    }
    runs
}

/// What the first thread finds at the end: all that can still be seen of any number.
pub(crate) fn look(mut call: impl FnMut(&mut Call<'_, '_>) -> Result<usize, Errno>) -> Vec<String> {
    let mut found = Vec::new();
    let events = Readiness::IN | Readiness::OUT | Readiness::RDHUP;
    for fd in 3..END {
        let mut one = |op: Op| op.begin(0).make(&mut call, |result| Some(*result));
        let (_, state) = one(Op::Poll { fd, events, wait: false });
        let (error, _) = one(Op::Error { fd });
        let mut text = format!("{fd}: {state}, error {error:?}");
        loop {
            let (result, heard) = one(Op::Recv { fd, wait: false });
            text += &format!(", {heard}");
            if !matches!(result, Ok(1..)) {
                break;
            }
        }
        if error != Err(Errno::BADF) {
            found.push(text);
        }
    }
    found
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

/// A random program. `strict`: with calls that give out numbers.
pub(crate) fn program(dice: &mut Dice, threads: usize, calls: usize, strict: bool) -> Program {
    let kind = dice.below(PAIRS.len() + 1);
    let fds: Vec<i32> = match PAIRS.get(kind) {
        Some((_, first)) => vec![*first, first + 1],
        None => vec![LISTENER, CLIENTS[0], CLIENTS[1]],
    };
    // Two sockets meet more often than four do.
    let fds = if dice.below(4) == 0 { vec![3, 4, 5, 6] } else { fds };
    (0..threads)
        .map(|_| (0..1 + dice.below(calls)).map(|_| op(dice, &fds, strict)).collect())
        .collect()
}

fn op(dice: &mut Dice, fds: &[i32], strict: bool) -> Op {
    let fd = dice.one(fds);
    let wait = dice.below(2) == 0;
    if fds[0] == LISTENER {
        return match dice.below(10) {
            0 | 1 => Op::Send { fd, wait },
            2 => Op::Recv { fd, wait: false },
            3 => Op::Close { fd },
            4 => Op::Shutdown { fd, how: dice.one(&[0, 1, 2]) },
            5 => Op::Poll { fd, events: Readiness::IN, wait },
            6 | 7 if strict => Op::Accept,
            8 if strict => Op::Dup { fd },
            _ => Op::Connect { fd: dice.one(&CLIENTS) },
        };
    }
    match dice.below(20) {
        0..=3 => Op::Send { fd, wait },
        4 => Op::SendLarge { fd },
        5..=9 => Op::Recv { fd, wait },
        10 => Op::RecvLarge { fd },
        11 => Op::RecvAll { fd },
        12 => Op::Peek { fd },
        13 => Op::Shutdown { fd, how: dice.one(&[0, 1, 2]) },
        14 => Op::Close { fd },
        15 | 16 => Op::Poll { fd, events: dice.one(&[Readiness::IN, Readiness::OUT]), wait },
        17 => Op::Error { fd },
        18 if strict => Op::Dup { fd },
        _ => Op::Send { fd, wait: true },
    }
}
