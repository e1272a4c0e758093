//! Sending and receiving: calls built from what is printed, and what came compared with it.

use afunix::NameOut;

use super::names::want;
use super::request::{Form, Request};
use super::{Attempt, Look, Seat, State};
use crate::log::value::Value;
use crate::log::{Outcome, Record};
use crate::names::number;

/// Longest message that is replayed, in bytes.
const LONGEST: usize = 64 << 20;

impl State {
    /// Makes a send. `None` if the log does not tell enough of it.
    pub(super) fn send_request(&self, look: Look<'_>) -> Option<Request> {
        let record = look.record;
        let fd = record.fd(0)?;
        let wild = look.facts.wild;
        let mut request = match record.name.as_str() {
            "write" => Request::new(Form::Write, fd),
            "writev" => Request::new(Form::Writev, fd),
            "sendmsg" => Request::new(Form::Sendmsg, fd),
            _ => Request::new(Form::Sendto, fd),
        };
        match request.form {
            Form::Writev => add_vector(&mut request, record.arg(1)?, record.value(), wild)?,
            Form::Sendmsg => {
                let message = record.arg(1)?;
                add_vector(&mut request, message.field("msg_iov")?, record.value(), wild)?;
                request.flags = number(record.arg(2)?)? as i32;
                request.control = self.control_bytes(message.field("msg_control"))?;
                request.to =
                    self.target(message.field("msg_name")?, message.field("msg_namelen"))?;
            }
            _ => {
                add_bytes(&mut request, record.arg(1)?, record.number(2)?, wild)?;
                if request.form == Form::Sendto {
                    request.flags = number(record.arg(3)?)? as i32;
                }
                if let Some(to) = record.arg(4) {
                    request.to = self.target(to, record.arg(5))?;
                }
            }
        }
        Some(request)
    }

    fn target(&self, name: &Value, len: Option<&Value>) -> Option<Option<Vec<u8>>> {
        if name.is_null() {
            return Some(None);
        }
        Some(Some(self.name_bytes(name, len.and_then(|len| len.before().number()))?))
    }

    /// Makes a receive. `None` if the log does not tell enough of it.
    pub(super) fn receive_request(&self, look: Look<'_>) -> Option<Request> {
        let record = look.record;
        let fd = record.fd(0)?;
        let mut request = match record.name.as_str() {
            "read" => Request::new(Form::Read, fd),
            "readv" => Request::new(Form::Readv, fd),
            "recvmsg" => Request::new(Form::Recvmsg, fd),
            _ => Request::new(Form::Recvfrom, fd),
        };
        // What lies beyond the log's count needs no memory, but that there is more is to be seen.
        let most = match &record.outcome {
            Outcome::Value { value, .. } => usize::try_from(*value).ok()?.saturating_add(1),
            Outcome::Error(_) | Outcome::Interrupted => 1,
            Outcome::None | Outcome::Unfinished => 1 << 16,
        };
        let most = most.min(LONGEST);
        let lengths: Vec<usize> = match request.form {
            Form::Readv => vector_lengths(record.arg(1)?)?,
            // Of a call that fails, the header is not shown.
            Form::Recvmsg => match record.arg(1)?.field("msg_iov") {
                Some(vector) => vector_lengths(vector)?,
                None => vec![most],
            },
            _ => vec![usize::try_from(record.number(2)?).ok()?],
        };
        let mut room = most;
        for length in lengths {
            let length = length.min(room);
            room -= length;
            request.pieces.push(length);
        }
        request.data = vec![0; request.pieces.iter().sum()];
        match request.form {
            Form::Recvmsg => self.receive_header(&mut request, record)?,
            Form::Recvfrom => {
                request.flags = number(record.arg(3)?)? as i32;
                request.from = NameOut::with(want(record.arg(4), record.arg(5)));
            }
            _ => {}
        }
        Some(request)
    }

    fn receive_header(&self, request: &mut Request, record: &Record) -> Option<()> {
        let message = record.arg(1)?;
        request.flags = number(record.arg(2)?)? as i32;
        let given = message.field("msg_namelen").and_then(|len| len.before().number());
        if let (Some(name), Some(len)) = (message.field("msg_name"), given)
            && !name.before().is_null()
        {
            let len = i32::try_from(len).ok()?.min(128);
            request.from = NameOut::with(afunix::NameWant::Buffer { len });
        }
        // How much room there was for control data the log tells only if it did not suffice.
        let left = message.field("msg_controllen").and_then(|len| len.after().number());
        let is_cut = flags_out(record).is_some_and(|flags| flags & MSG_CTRUNC != 0);
        let room = if is_cut { usize::try_from(left?).ok()?.min(LONGEST) } else { 4096 };
        request.control = vec![0; room];
        Some(())
    }

    /// Compares what was received.
    pub(super) fn received(
        &mut self,
        look: Look<'_>,
        seat: Seat,
        request: &Request,
        count: usize,
    ) -> Result<(), String> {
        let record = look.record;
        if super::State::is_open(record) {
            return Ok(());
        }
        let message = record.arg(1);
        let shown: Vec<&Value> = match request.form {
            Form::Readv => bases(message),
            Form::Recvmsg => bases(message.and_then(|message| message.field("msg_iov"))),
            _ => message.into_iter().collect(),
        };
        let mut rest = &request.data[..count.min(request.data.len())];
        for (value, length) in shown.iter().zip(&request.pieces) {
            let (piece, more) = rest.split_at((*length).min(rest.len()));
            same_bytes(value.after(), piece, look.facts.wild)?;
            rest = more;
        }
        if request.form == Form::Recvfrom {
            return self.same_name(look, &request.from, 4);
        }
        match message.filter(|_| request.form == Form::Recvmsg) {
            Some(message) => self.same_header(look, seat, request, message),
            None => Ok(()),
        }
    }

    fn same_header(
        &mut self,
        look: Look<'_>,
        seat: Seat,
        request: &Request,
        message: &Value,
    ) -> Result<(), String> {
        let len = message.field("msg_namelen").and_then(|len| len.after().number());
        if let (Some(name), Some(len)) = (message.field("msg_name"), len) {
            self.compare_name(name, len, &request.from)?;
        }
        if let Some(theirs) = flags_out(look.record)
            && theirs != i64::from(request.flags_out)
        {
            return Err(format!("gives msg_flags {:#x}", request.flags_out));
        }
        let ours = &request.control[..request.control_len.min(request.control.len())];
        self.same_control(look, seat, message.field("msg_control"), ours)
    }

    /// A receive on a socket that others can reach.
    pub(super) fn receive_foreign(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let control = look.record.arg(1).and_then(|message| message.field("msg_control"));
        if look.record.value().is_none() {
            return Attempt::Explained;
        }
        match self.take_foreign(seat, control, look.record.cloexec) {
            Ok(()) => Attempt::Explained,
            Err(what) => Attempt::Differs(what),
        }
    }
}

const MSG_CTRUNC: i64 = 8;

/// The `msg_flags` of a receive that succeeded.
fn flags_out(record: &Record) -> Option<i64> {
    record.value()?;
    number(record.arg(1)?.field("msg_flags")?.after())
}

/// The pieces of memory of a printed vector.
fn bases(vector: Option<&Value>) -> Vec<&Value> {
    let items = vector.and_then(|vector| vector.after().items()).unwrap_or(&[]);
    items.iter().filter_map(|item| item.field("iov_base")).collect()
}

/// The lengths of a vector's pieces; those that strace leaves out are one piece as long as can be.
fn vector_lengths(vector: &Value) -> Option<Vec<usize>> {
    let Some(items) = vector.after().items() else {
        return vector.after().is_null().then(Vec::new);
    };
    let one = |item: &Value| match is_rest(item) {
        true => Some(LONGEST),
        false => usize::try_from(item.field("iov_len")?.number()?).ok(),
    };
    items.iter().map(one).collect()
}

/// `...`: strace shows so many pieces at most.
fn is_rest(item: &Value) -> bool {
    item.word() == Some("...")
}

/// Adds the pieces of a vector. Of those that strace leaves out the result tells the length, if the
/// call sent them all.
fn add_vector(request: &mut Request, vector: &Value, sent: Option<i64>, wild: u8) -> Option<()> {
    let Some(items) = vector.before().items() else { return vector.is_null().then_some(()) };
    for item in items {
        if is_rest(item) {
            let rest = sent? - request.data.len() as i64;
            let nothing = Value::Bytes { bytes: Vec::new(), cut: true };
            add_bytes(request, &nothing, rest, wild)?;
        } else {
            add_bytes(request, item.field("iov_base")?, item.field("iov_len")?.number()?, wild)?;
        }
    }
    Some(())
}

/// Adds a piece of memory, with a stand-in for each byte that is not shown.
fn add_bytes(request: &mut Request, shown: &Value, len: i64, wild: u8) -> Option<()> {
    let len = usize::try_from(len).ok()?;
    let start = request.data.len();
    if start.checked_add(len)? > LONGEST {
        return None;
    }
    match shown.before() {
        Value::Bytes { bytes, .. } => {
            request.data.extend_from_slice(&bytes[..bytes.len().min(len)])
        }
        // A pointer: nothing of it is shown, or it leads nowhere.
        _ if len > 0 => return None,
        _ => {}
    }
    request.data.resize(start + len, wild);
    request.pieces.push(len);
    Some(())
}

/// Compares as many bytes as are shown.
fn same_bytes(shown: &Value, ours: &[u8], wild: u8) -> Result<(), String> {
    let Value::Bytes { bytes, .. } = shown else { return Ok(()) };
    let differs = bytes.iter().zip(ours).position(|(theirs, ours)| theirs != ours && *ours != wild);
    match differs {
        None => Ok(()),
        Some(at) => {
            let from = at.saturating_sub(4);
            let until = ours.len().min(at + 12);
            Err(format!("gives \"{}\" from byte {from} on", ours[from..until].escape_ascii()))
        }
    }
}
