//! Faults that the system may lawfully show: a [`Rule`] looks at an [`Attempt`] and gives a
//! [`Verdict`]; [`Faulty`] is a backend that carries verdicts out. The simulator judges by the same
//! rules, with [`Choose`] drawing from its tape.

use std::sync::Mutex;
use std::time::Duration;

use crate::call::transfer;
use crate::{Backend, Call, Errno, Pid, RawName, Segment, SegmentMut, Tid};

/// A call about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The calling process, where it is known (the simulator).
    pub process: Option<Pid>,
    /// The calling thread, where it is known.
    pub thread: Option<Tid>,
    /// The system call's name.
    pub call: &'static str,
    /// The descriptor it names.
    pub fd: Option<i32>,
    /// Whether the call may wait (accept, connect, the receive and send families, poll, waitpid).
    pub may_wait: bool,
    /// Bytes it would transfer at most, for the calls that read and write.
    pub bytes: usize,
    /// The name of the calling process, where it is known.
    pub process_name: Option<&'a str>,
    /// The socket that the descriptor stands for, by its id in snapshots, where it is known (the
    /// simulator).
    pub socket: Option<u64>,
    /// The name that the call gives (bind, connect, a named send), or else that of the socket,
    /// where it is known: a path, or an abstract name with its NUL in front.
    pub name: Option<&'a [u8]>,
}

impl<'a> Attempt<'a> {
    /// What can be known of a call by itself.
    pub fn of(call: &'a Call<'_, '_>) -> Self {
        Attempt {
            process: None,
            thread: None,
            call: call.name(),
            fd: call.fd().map(|fd| fd.number()),
            may_wait: call.may_wait(),
            bytes: transfer_len(call),
            process_name: None,
            socket: None,
            name: given_name(call),
        }
    }

    /// Whether it is one of read, readv, recvfrom, recvmsg.
    pub fn is_receive(&self) -> bool {
        matches!(self.call, "read" | "readv" | "recvfrom" | "recvmsg")
    }

    /// Whether it is one of write, writev, sendto, sendmsg.
    pub fn is_send(&self) -> bool {
        matches!(self.call, "write" | "writev" | "sendto" | "sendmsg")
    }
}

/// The name that a call gives.
fn given_name<'a>(call: &'a Call<'_, '_>) -> Option<&'a [u8]> {
    let (Call::Bind { name, .. }
    | Call::Connect { name, .. }
    | Call::Sendto { name, .. }
    | Call::Sendmsg { name, .. }) = call
    else {
        return None;
    };
    // Family, then the path up to its end, or an abstract name as it is.
    let RawName::Bytes(bytes) = name else { return None };
    let name = bytes.get(2..).filter(|name| !name.is_empty())?;
    Some(match name[0] {
        0 => name,
        _ => name.split(|byte| *byte == 0).next().unwrap_or(name),
    })
}

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is made.
    Pass,
    /// It is not made, and fails.
    Fail(Errno),
    /// It is made with at most so many bytes (1 at least): short reads and writes. Lawful on
    /// streams only; the rule has to know.
    Limit(usize),
    /// It is made after a while.
    Delay(Duration),
    /// The process is killed before it. Where nothing can kill it ([`Faulty`]), it is made.
    Kill,
}

/// Judges attempts.
pub trait Rule: Send + Sync {
    /// The verdict on one attempt; the first rule that does not let it pass decides.
    fn judge(&self, attempt: &Attempt<'_>, choose: &mut dyn Choose) -> Verdict;
}

impl<F: Fn(&Attempt<'_>, &mut dyn Choose) -> Verdict + Send + Sync> Rule for F {
    fn judge(&self, attempt: &Attempt<'_>, choose: &mut dyn Choose) -> Verdict {
        self(attempt, choose)
    }
}

/// Where chance comes from.
pub trait Choose {
    /// A number below `n`. With `n` = 1 nothing is drawn.
    fn choose(&mut self, n: u64, label: &'static str) -> u64;
}

impl<F: FnMut(u64, &'static str) -> u64> Choose for F {
    fn choose(&mut self, n: u64, label: &'static str) -> u64 {
        self(n, label)
    }
}

/// A backend that injects the faults of a rule into another one.
pub struct Faulty<B, R, C> {
    inner: B,
    rule: R,
    choose: Mutex<C>,
}

impl<B: Backend, R: Rule, C: Choose + Send> Faulty<B, R, C> {
    /// Wraps a backend.
    pub fn new(inner: B, rule: R, choose: C) -> Self {
        Faulty { inner, rule, choose: Mutex::new(choose) }
    }
}

impl<B: Backend, R: Rule, C: Choose + Send> Backend for Faulty<B, R, C> {
    fn call(&self, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        let verdict = {
            let mut choose = self.choose.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            self.rule.judge(&Attempt::of(call), &mut *choose)
        };
        match verdict {
            Verdict::Pass | Verdict::Kill => self.inner.call(call),
            Verdict::Fail(errno) => Err(errno),
            Verdict::Limit(bytes) => limited(call, bytes.max(1), &mut |call| self.inner.call(call)),
            Verdict::Delay(time) => {
                self.inner.call(&mut Call::Nanosleep { time })?;
                self.inner.call(call)
            }
        }
    }
}

/// Bytes that a call would transfer at most.
pub fn transfer_len(call: &Call<'_, '_>) -> usize {
    match call {
        Call::Read { data, .. } | Call::Recvfrom { data, .. } => data.len(),
        Call::Readv { data, .. } | Call::Recvmsg { data, .. } => {
            transfer(data.iter().map(SegmentMut::len))
        }
        Call::Write { data, .. } | Call::Sendto { data, .. } => data.len(),
        Call::Writev { data, .. } | Call::Sendmsg { data, .. } => {
            transfer(data.iter().map(Segment::len))
        }
        _ => 0,
    }
}

/// Makes a call with at most `limit` bytes of its data. Calls that transfer nothing, or less, are
/// made as they are.
pub fn limited<R>(
    call: &mut Call<'_, '_>,
    limit: usize,
    make: &mut dyn FnMut(&mut Call<'_, '_>) -> R,
) -> R {
    if transfer_len(call) <= limit {
        return make(call);
    }
    match call {
        Call::Read { fd, data, progress } => {
            let (fd, progress) = (*fd, *progress);
            make(&mut Call::Read { fd, data: cut_mut(data, limit), progress })
        }
        Call::Recvfrom { fd, data, flags, name, progress } => {
            let (fd, flags, progress) = (*fd, *flags, *progress);
            make(&mut Call::Recvfrom { fd, data: cut_mut(data, limit), flags, name, progress })
        }
        Call::Readv { fd, data, progress } => {
            let (fd, progress) = (*fd, *progress);
            make(&mut Call::Readv { fd, data: &mut cut_all_mut(data, limit), progress })
        }
        Call::Recvmsg { fd, name, data, control, flags, flags_out, progress } => {
            let mut inner = crate::control::ControlOut {
                buffer: match &mut control.buffer {
                    Ok(buffer) => Ok(&mut **buffer),
                    Err(len) => Err(*len),
                },
                len: control.len,
            };
            let result = make(&mut Call::Recvmsg {
                fd: *fd,
                name,
                data: &mut cut_all_mut(data, limit),
                control: &mut inner,
                flags: *flags,
                flags_out,
                progress: *progress,
            });
            control.len = inner.len;
            result
        }
        Call::Write { fd, data, progress } => {
            make(&mut Call::Write { fd: *fd, data: cut(data, limit), progress: *progress })
        }
        Call::Sendto { fd, data, flags, name, progress } => make(&mut Call::Sendto {
            fd: *fd,
            data: cut(data, limit),
            flags: *flags,
            name: *name,
            progress: *progress,
        }),
        Call::Writev { fd, data, progress } => {
            let data = &cut_all(data, limit);
            make(&mut Call::Writev { fd: *fd, data, progress: *progress })
        }
        Call::Sendmsg { fd, name, data, control, flags, progress } => make(&mut Call::Sendmsg {
            fd: *fd,
            name: *name,
            data: &cut_all(data, limit),
            control: *control,
            flags: *flags,
            progress: *progress,
        }),
        _ => make(call),
    }
}

fn cut<'b>(data: &Segment<'b>, limit: usize) -> Segment<'b> {
    match data {
        Segment::Bytes(bytes) => Segment::Bytes(&bytes[..limit.min(bytes.len())]),
        Segment::Fault(len) => Segment::Fault(limit.min(*len)),
    }
}

fn cut_all<'b>(data: &[Segment<'b>], mut limit: usize) -> Vec<Segment<'b>> {
    let mut all = Vec::with_capacity(data.len());
    for segment in data {
        let piece = cut(segment, limit);
        limit -= piece.len();
        all.push(piece);
    }
    all
}

fn cut_mut<'c>(data: &'c mut SegmentMut<'_>, limit: usize) -> SegmentMut<'c> {
    match data {
        SegmentMut::Bytes(bytes) => {
            let len = limit.min(bytes.len());
            SegmentMut::Bytes(&mut bytes[..len])
        }
        SegmentMut::Fault(len) => SegmentMut::Fault(limit.min(*len)),
    }
}

fn cut_all_mut<'c>(data: &'c mut [SegmentMut<'_>], mut limit: usize) -> Vec<SegmentMut<'c>> {
    let mut all = Vec::with_capacity(data.len());
    for segment in data {
        let piece = cut_mut(segment, limit);
        limit -= piece.len();
        all.push(piece);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Fd;

    /// Takes all that it is given.
    struct Counts;

    impl Backend for Counts {
        fn call(&self, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
            Ok(transfer_len(call))
        }
    }

    fn write(backend: &impl Backend, len: usize) -> Result<usize, Errno> {
        let bytes = vec![0; len];
        let data = &[Segment::Bytes(&bytes[..len / 2]), Segment::Bytes(&bytes[len / 2..])];
        backend.call(&mut Call::Writev { fd: Fd::STDOUT, data, progress: 0 })
    }

    #[test]
    fn verdicts_are_carried_out() {
        let rule = |attempt: &Attempt<'_>, choose: &mut dyn Choose| match attempt.bytes {
            0 => Verdict::Fail(Errno::INTR),
            bytes if attempt.is_send() => {
                Verdict::Limit(1 + choose.choose(bytes as u64, "") as usize)
            }
            _ => Verdict::Pass,
        };
        let faulty = Faulty::new(Counts, rule, |n: u64, _: &'static str| n / 2);
        assert_eq!(write(&faulty, 10), Ok(6));
        assert_eq!(write(&faulty, 0), Err(Errno::INTR));
    }

    #[test]
    fn a_limit_is_never_zero_and_never_more_than_asked() {
        for limit in 0..20 {
            let faulty = Faulty::new(
                Counts,
                move |_: &Attempt<'_>, _: &mut dyn Choose| Verdict::Limit(limit),
                |_: u64, _: &'static str| 0,
            );
            assert_eq!(write(&faulty, 10), Ok(limit.clamp(1, 10)));
        }
    }

    #[test]
    fn traced_tells_enter_and_exit() {
        let (send, receive) = std::sync::mpsc::channel();
        let traced = crate::trace::Traced::new(Counts, move |kind| send.send(kind).unwrap());
        write(&traced, 3).unwrap();
        drop(traced);
        let told: Vec<_> = receive.iter().collect();
        use crate::trace::EventKind::{Enter, Exit};
        assert_eq!(
            told,
            [
                Enter { call: "writev(1, 3 bytes)".into(), socket: None },
                Exit { call: "writev".into(), result: 3 }
            ]
        );
    }
}
