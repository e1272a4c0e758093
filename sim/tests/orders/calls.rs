//! The calls of a program, and what can be told of them.

use std::time::Duration;

use afunix::call::OptionOut;
use afunix::control::{ControlBuilder, ControlOut};
use afunix::{
    Call, EpollEvent, Errno, EventsOut, NameOut, PollFd, RawName, Readiness, RecvFlags, Segment,
    SegmentMut, SendFlags, SocketFlags, options,
};

use crate::programs::{END, EPOLL, LISTENER, NAME, Op, Program, Wait, epoll_ctl, fd};

/// Bytes of a large message: of three, the least send buffer takes one or two.
const LARGE: usize = 2100;

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
        let sends = matches!(self, Op::Send { .. } | Op::SendLarge { .. } | Op::SendFile { .. });
        Working { op: self, bytes: vec![if sends { tag } else { 0 }; len], progress: 0 }
    }

    fn receives(self) -> bool {
        matches!(
            self,
            Op::Recv { .. } | Op::RecvLarge { .. } | Op::RecvAll { .. } | Op::RecvFile { .. }
        )
    }
}

fn time(wait: Wait) -> Option<Duration> {
    match wait {
        Wait::No => Some(Duration::ZERO),
        Wait::For(ms) => Some(Duration::from_millis(ms)),
        Wait::Ever => None,
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
        let mut extra = String::new();
        let made = match op {
            Op::Send { .. } | Op::SendLarge { .. } => send(op, bytes, progress, perform),
            Op::Recv { .. } | Op::RecvLarge { .. } | Op::RecvAll { .. } | Op::Peek { .. } => {
                receive(op, bytes, progress, perform)
            }
            Op::SendFile { fd: number, file } => {
                let files = [fd(file)];
                perform(&mut Call::Sendmsg {
                    fd: fd(number),
                    name: RawName::NONE,
                    data: &[Segment::Bytes(bytes)],
                    control: ControlBuilder::new().rights(&files).as_raw(),
                    flags: SendFlags::DONTWAIT,
                    progress: 0,
                })
            }
            Op::RecvFile { fd: number } => {
                let (mut room, mut flags_out) = ([0; 64], RecvFlags::empty());
                let mut control = ControlOut::new(&mut room);
                let made = perform(&mut Call::Recvmsg {
                    fd: fd(number),
                    name: &mut NameOut::nothing(),
                    data: &mut [SegmentMut::Bytes(bytes)],
                    control: &mut control,
                    flags: RecvFlags::DONTWAIT,
                    flags_out: &mut flags_out,
                    progress: 0,
                });
                let files: usize = control.messages().map(|it| it.numbers().count()).sum();
                extra = format!(" {files} files {flags_out:?}");
                made
            }
            Op::Shutdown { fd: number, how } => {
                perform(&mut Call::Shutdown { fd: fd(number), how })
            }
            Op::Close { fd: number } => perform(&mut Call::Close { fd: fd(number) }),
            Op::Poll { fd: number, events, wait } => {
                let mut fds = [PollFd::new(fd(number), events)];
                let timeout = time(wait);
                let made = perform(&mut Call::Poll { fds: &mut fds, timeout, mask: None });
                extra = format!(" {:?}", fds[0].revents);
                made
            }
            Op::Sleep { ms } => perform(&mut Call::Nanosleep { time: Duration::from_millis(ms) }),
            Op::Timeout { fd: number } => perform(&mut Call::Setsockopt {
                fd: fd(number),
                level: options::SOL_SOCKET,
                option: options::SO_RCVTIMEO,
                value: &[0_i64.to_ne_bytes(), 1000_i64.to_ne_bytes()].concat(),
            }),
            Op::Error { fd: number } => {
                let mut error = [0; 4];
                let made = perform(&mut Call::Getsockopt {
                    fd: fd(number),
                    level: options::SOL_SOCKET,
                    option: options::SO_ERROR,
                    value: &mut OptionOut::new(&mut error),
                });
                extra = format!(" {error:?}");
                made
            }
            Op::Connect { fd: number } => {
                perform(&mut Call::Connect { fd: fd(number), name: RawName::Bytes(NAME) })
            }
            Op::EpollAdd { fd, events } => perform(&mut epoll_ctl(1, fd, Some(events))),
            Op::EpollDelete { fd } => perform(&mut epoll_ctl(2, fd, None)),
            Op::EpollChange { fd, events } => perform(&mut epoll_ctl(3, fd, Some(events))),
            Op::EpollWait { wait } => {
                let mut events = [EpollEvent { events: Default::default(), data: 0 }; 3];
                let made = perform(&mut Call::EpollPwait2 {
                    fd: fd(EPOLL),
                    events: EventsOut::Room(&mut events),
                    timeout: time(wait),
                    mask: None,
                });
                extra = format!(" {:?}", events.map(|it| (it.data, it.events)));
                made
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
            Some(Ok(_)) if matches!(op, Op::Accept | Op::Dup { .. }) => "number".to_owned(),
            Some(Ok(value)) => value.to_string(),
            Some(Err(errno)) => errno.to_string(),
            None => return (made, String::new()),
        };
        match result {
            Some(Ok(count)) if op.receives() => text += &format!(" {:?}", runs(&bytes[..count])),
            Some(Ok(count)) if matches!(op, Op::Peek { .. }) => {
                text += &format!(" {:?}", &bytes[..count]);
            }
            _ => {}
        }
        (made, text + &extra)
    }
}

fn send<R>(
    op: Op,
    bytes: &[u8],
    progress: &mut usize,
    perform: impl FnOnce(&mut Call<'_, '_>) -> R,
) -> R {
    let (number, flags) = match op {
        Op::Send { fd, wait: false } => (fd, SendFlags::DONTWAIT),
        Op::Send { fd, .. } | Op::SendLarge { fd } => (fd, SendFlags::empty()),
        _ => unreachable!("it sends"),
    };
    let mut call = Call::Sendto {
        fd: fd(number),
        data: Segment::Bytes(bytes),
        flags,
        name: RawName::NONE,
        progress: *progress,
    };
    let made = perform(&mut call);
    if let Call::Sendto { progress: now, .. } = call {
        *progress = now;
    }
    made
}

fn receive<R>(
    op: Op,
    bytes: &mut [u8],
    progress: &mut usize,
    perform: impl FnOnce(&mut Call<'_, '_>) -> R,
) -> R {
    let (number, flags) = match op {
        Op::Recv { fd, wait: false } => (fd, RecvFlags::DONTWAIT),
        Op::RecvAll { fd } => (fd, RecvFlags::WAITALL),
        Op::Peek { fd } => (fd, RecvFlags::PEEK | RecvFlags::DONTWAIT),
        Op::Recv { fd, .. } | Op::RecvLarge { fd } => (fd, RecvFlags::empty()),
        _ => unreachable!("it receives"),
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
pub(crate) fn look(
    program: &Program,
    mut call: impl FnMut(&mut Call<'_, '_>) -> Result<usize, Errno>,
) -> Vec<String> {
    let mut found = Vec::new();
    let events = Readiness::IN | Readiness::OUT | Readiness::RDHUP;
    if program.watched.is_some() {
        let mut wait = Op::EpollWait { wait: Wait::No }.begin(0);
        let (_, text) = wait.make(&mut call, |result| Some(*result));
        found.push(format!("epoll: {text}"));
    }
    for fd in (3..END).filter(|fd| program.watched.is_none() || *fd != EPOLL) {
        let mut one = |op: Op| op.begin(0).make(&mut call, |result| Some(*result));
        let (_, state) = one(Op::Poll { fd, events, wait: Wait::No });
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
