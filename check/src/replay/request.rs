//! Calls that may wait, kept until they end: what they were given, and what they have filled.

use afunix::control::{ControlOut, RawControl};
use afunix::snapshot::WaitReason;
use afunix::{
    Call, Errno, NameOut, RawName, RecvFlags, Segment, SegmentMut, SendFlags, SocketFlags, Tid,
};
use afunix_model::{Resume, Step};

use super::{Look, Seat, State};
use crate::log::Record;
use crate::raw::{control, fd};

/// Which call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Accept,
    Connect,
    Read,
    Readv,
    Recvfrom,
    Recvmsg,
    Write,
    Writev,
    Sendto,
    Sendmsg,
}

/// A call that may wait.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(super) form: Form,
    pub(super) fd: i32,
    /// What is sent, or where it is received.
    pub(super) data: Vec<u8>,
    /// The lengths of the pieces of memory that make up the data.
    pub(super) pieces: Vec<usize>,
    pub(super) flags: i32,
    /// Whom to; `None` for a null pointer.
    pub(super) to: Option<Vec<u8>>,
    /// Whom from.
    pub(super) from: NameOut,
    pub(super) control: Vec<u8>,
    pub(super) control_len: usize,
    pub(super) flags_out: i32,
    progress: usize,
    /// Bytes that it received before it went on.
    had: usize,
}

impl Request {
    pub(super) fn new(form: Form, fd: i32) -> Request {
        Request {
            form,
            fd,
            data: Vec::new(),
            pieces: Vec::new(),
            flags: 0,
            to: None,
            from: NameOut::nothing(),
            control: Vec::new(),
            control_len: 0,
            flags_out: 0,
            progress: 0,
            had: 0,
        }
    }

    /// Makes the call, or goes on with it.
    pub(super) fn step(&mut self, state: &mut State, tid: Tid, resume: Resume) -> Step {
        use Form::*;
        match self.form {
            Accept | Connect => self.step_connection(state, tid, resume),
            Read | Readv | Recvfrom | Recvmsg => self.step_receive(state, tid, resume),
            Write | Writev | Sendto | Sendmsg => self.step_send(state, tid, resume),
        }
    }

    fn step_connection(&mut self, state: &mut State, tid: Tid, resume: Resume) -> Step {
        let fd = fd(self.fd);
        if self.form == Form::Accept {
            let flags = SocketFlags::from_bits_retain(self.flags);
            let name = &mut self.from;
            return state.step(tid, &mut Call::Accept4 { fd, name, flags }, resume);
        }
        let name = raw_name(self.to.as_deref());
        state.step(tid, &mut Call::Connect { fd, name }, resume)
    }

    fn step_receive(&mut self, state: &mut State, tid: Tid, resume: Resume) -> Step {
        let (fd, progress) = (fd(self.fd), self.progress);
        let flags = RecvFlags::from_bits_retain(self.flags);
        let mut flags_out = RecvFlags::empty();
        let mut control = ControlOut::new(&mut self.control);
        let mut rest = &mut self.data[self.had..];
        let mut data: Vec<SegmentMut<'_>> = Vec::with_capacity(self.pieces.len());
        for length in &self.pieces {
            let (piece, more) = rest.split_at_mut((*length).min(rest.len()));
            data.push(SegmentMut::Bytes(piece));
            rest = more;
        }
        let mut first = || match data.pop() {
            Some(piece) => piece,
            None => SegmentMut::Bytes(&mut []),
        };
        let name = &mut self.from;
        let mut call = match self.form {
            Form::Read => Call::Read { fd, data: first(), progress },
            Form::Readv => Call::Readv { fd, data: &mut data, progress },
            Form::Recvfrom => Call::Recvfrom { fd, data: first(), flags, name, progress },
            _ => Call::Recvmsg {
                fd,
                name,
                data: &mut data,
                control: &mut control,
                flags,
                flags_out: &mut flags_out,
                progress,
            },
        };
        let step = state.step(tid, &mut call, resume);
        self.progress = progress_of(&call);
        self.control_len = control.len;
        self.flags_out = flags_out.bits();
        step
    }

    fn step_send(&mut self, state: &mut State, tid: Tid, resume: Resume) -> Step {
        let (fd, progress) = (fd(self.fd), self.progress);
        let flags = SendFlags::from_bits_retain(self.flags);
        let name = raw_name(self.to.as_deref());
        let mut rest = &self.data[..];
        let mut data: Vec<Segment<'_>> = Vec::with_capacity(self.pieces.len());
        for length in &self.pieces {
            let (piece, more) = rest.split_at((*length).min(rest.len()));
            data.push(Segment::Bytes(piece));
            rest = more;
        }
        let first = data.first().copied().unwrap_or(Segment::Bytes(&[]));
        let control: RawControl<'_> = control(&self.control);
        let mut call = match self.form {
            Form::Write => Call::Write { fd, data: first, progress },
            Form::Writev => Call::Writev { fd, data: &data, progress },
            Form::Sendto => Call::Sendto { fd, data: first, flags, name, progress },
            _ => Call::Sendmsg { fd, name, data: &data, control, flags, progress },
        };
        let step = state.step(tid, &mut call, resume);
        self.progress = progress_of(&call);
        step
    }

    /// Whether it received less than in the log: a stream's reader takes, too, what a writer adds
    /// while it reads, and here a call is made at once.
    pub(super) fn is_short(&self, record: &Record, count: usize) -> bool {
        const MSG_PEEK_OR_WAITALL: i32 = 0x102;
        matches!(self.form, Form::Read | Form::Recvfrom)
            && self.flags & MSG_PEEK_OR_WAITALL == 0
            && record.note(0).is_some_and(|note| note.starts_with("UNIX-STREAM"))
            && count > 0
            && record.value().is_some_and(|value| ((self.had + count) as i64) < value)
    }

    /// It goes on behind what it received.
    pub(super) fn keep(&mut self, count: usize) {
        self.had += count;
        self.pieces = vec![self.data.len() - self.had];
    }

    pub(super) fn has_part(&self) -> bool {
        self.had > 0
    }

    pub(super) fn part(&self) -> usize {
        self.had
    }

    /// Compares what came of it with the log, and brings the model's numbers in line.
    pub(super) fn compare(
        &mut self,
        state: &mut State,
        look: Look<'_>,
        seat: Seat,
        result: Result<usize, Errno>,
    ) -> Result<(), String> {
        use Form::*;
        let result = result.map(|count| self.had + count);
        if self.had > 0 {
            self.pieces = vec![self.data.len()];
        }
        if self.form == Accept {
            return state.accepted(look, seat, self, result);
        }
        state.same_result(look, result)?;
        match self.form {
            Read | Readv | Recvfrom | Recvmsg => match result {
                Ok(count) => state.received(look, seat, self, count),
                Err(_) => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

fn raw_name(name: Option<&[u8]>) -> RawName<'_> {
    name.map_or(RawName::NONE, RawName::Bytes)
}

fn progress_of(call: &Call<'_, '_>) -> usize {
    match call {
        Call::Read { progress, .. }
        | Call::Readv { progress, .. }
        | Call::Recvfrom { progress, .. }
        | Call::Recvmsg { progress, .. }
        | Call::Write { progress, .. }
        | Call::Writev { progress, .. }
        | Call::Sendto { progress, .. }
        | Call::Sendmsg { progress, .. } => *progress,
        _ => 0,
    }
}

/// What a call waits for.
pub(super) fn in_words(reason: WaitReason) -> &'static str {
    match reason {
        WaitReason::Readable => "data",
        WaitReason::Memory => "memory of the send buffer",
        WaitReason::PeerQueue => "room in the receiver's queue",
        WaitReason::Connection => "a connection",
        WaitReason::Backlog => "room in the backlog",
        _ => "something else",
    }
}
