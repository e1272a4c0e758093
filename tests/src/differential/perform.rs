//! Performing a request: the same code on both sides, so that a difference is one of the calls.

use std::sync::OnceLock;
use std::time::Duration;

use afunix::call::{Fcntl, OptionOut, Stat};
use afunix::control::{self, ControlOut, RawControl};
use afunix::options::{SIOCINQ, SIOCOUTQ};
use afunix::{
    Call, Errno, Limits, NameOut, OpenFlags, PollFd, RawName, Readiness, RecvFlags, Segment,
    SegmentMut, SendFlags, SocketFlags, Ucred,
};

use super::answer::{Answer, Tag};
use super::program::{
    Control, Name, PathCall, Piece, ReceiveBy, Request, Room, SendBy, Slot, Want,
};
use crate::raw::{control as raw_control, fd};

/// The first number that is looked at after every step.
const FIRST: i32 = 3;
/// Numbers that are looked at end before this.
pub(super) const LOOKED_AT: i32 = 26;
const NUMBERS: usize = (LOOKED_AT - FIRST) as usize;
/// Bytes of a descriptor in [`Tag::After`]: number, readiness, two sizes.
pub(super) const ENTRY: usize = 11;
/// Stands for a size that was not asked for.
pub(super) const NOT_ASKED: i32 = i32::MIN;
/// No message of a program is longer.
const LONGEST: usize = 1 << 20;
/// What poll says of a file that is no socket.
const PLAIN_FILE: i16 = 0x145;
/// What poll is asked for.
const ASKED: Readiness = Readiness::from_bits_retain(0x23c7);

/// Where a request is performed.
pub(super) trait Side {
    /// The number of a slot.
    fn number(&mut self, slot: Slot) -> i32;
    /// The number of a slot that is to be sent on `carrier`.
    fn cargo(&mut self, slot: Slot, carrier: i32) -> i32;
    /// The process id of a process of the program.
    fn pid(&self, process: usize) -> i32;
    /// What stands before the program's abstract names.
    fn prefix(&self) -> &[u8];
    /// Makes the call; `None` if it would wait.
    fn call(&mut self, call: &mut Call<'_, '_>) -> Option<Result<usize, Errno>>;
}

/// Makes the request's call; `None` if it would wait.
pub(super) fn perform(side: &mut dyn Side, request: &Request) -> Option<Answer> {
    let mut answer = Answer::default();
    let result = match request {
        Request::Send { fd, by, data, flags } => send(side, *fd, by, data, *flags)?,
        Request::Receive { fd, by, data, flags, .. } => {
            receive(side, *fd, *by, data, *flags, &mut answer)?
        }
        Request::Path { path, call } => by_path(side, path, *call, &mut answer)?,
        _ => simple(side, request, &mut answer)?,
    };
    answer.set_result(result);
    Some(answer)
}

/// The descriptors that a request made, with their slots.
pub(super) fn made(request: &Request, answer: &Answer) -> Vec<(u16, i32)> {
    let Ok(result) = answer.result() else { return Vec::new() };
    match request {
        Request::Socketpair { into, .. } => {
            let pair = answer.field(Tag::Pair).expect("a socketpair has two numbers");
            into.iter().copied().zip(words(pair)).collect()
        }
        Request::Receive { into, .. } => {
            let control = answer.field(Tag::Control).unwrap_or(&[0; 4]);
            let all = control::messages(&control[4..]).map_while(Result::ok);
            let rights = all.filter(|message| message.kind == control::SCM_RIGHTS);
            let numbers = rights.flat_map(|message| words(message.data));
            (*into..).zip(numbers).collect()
        }
        Request::Fcntl { into, command: Fcntl::Dupfd(_) | Fcntl::DupfdCloexec(_), .. }
        | Request::Socket { into, .. }
        | Request::Accept { into, .. }
        | Request::Dup { into, .. }
        | Request::Dup2 { into, .. }
        | Request::Dup3 { into, .. }
        | Request::Open { into, .. } => vec![(*into, result as i32)],
        _ => Vec::new(),
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = i32> {
    let words = bytes.chunks_exact(4);
    words.map(|word| i32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
}

/// Adds the state of all open descriptors: the readiness of all, and the sizes of the queues of all
/// or of those with a number in `touched`.
pub(super) fn look(side: &mut dyn Side, answer: &mut Answer, touched: Option<&[i32]>) {
    let entry = |number| PollFd::new(fd(number), ASKED);
    let mut fds: [PollFd<'_>; NUMBERS] = std::array::from_fn(|index| entry(FIRST + index as i32));
    let polled = side.call(&mut Call::Poll { fds: &mut fds, timeout: Some(Duration::ZERO) });
    if !matches!(polled, Some(Ok(_))) {
        return;
    }
    let mut bytes = Vec::with_capacity(NUMBERS * ENTRY);
    for (number, entry) in (FIRST..).zip(&fds) {
        let revents = entry.revents;
        if revents == Readiness::NVAL {
            continue;
        }
        let is_asked = touched.is_none_or(|touched| touched.contains(&number));
        let sizes = match is_asked && revents.bits() != PLAIN_FILE {
            true => [SIOCINQ, SIOCOUTQ].map(|request| size(side, number, request)),
            false => [NOT_ASKED; 2],
        };
        bytes.push(number as u8);
        bytes.extend_from_slice(&revents.bits().to_ne_bytes());
        bytes.extend_from_slice(&sizes[0].to_ne_bytes());
        bytes.extend_from_slice(&sizes[1].to_ne_bytes());
    }
    answer.push(Tag::After, bytes);
}

fn size(side: &mut dyn Side, number: i32, request: u32) -> i32 {
    let mut value = 0;
    match side.call(&mut Call::Ioctl { fd: fd(number), request, value: &mut value }) {
        Some(Err(errno)) => -errno.raw(),
        _ => value,
    }
}

type Result_ = Option<Result<usize, Errno>>;

fn simple(side: &mut dyn Side, request: &Request, answer: &mut Answer) -> Result_ {
    Some(match request {
        Request::Socket { domain, kind, protocol, .. } => {
            side.call(&mut Call::Socket { domain: *domain, kind: *kind, protocol: *protocol })?
        }
        Request::Socketpair { domain, kind, protocol, .. } => {
            let (domain, kind, protocol) = (*domain, *kind, *protocol);
            let mut fds = [-1; 2];
            let result =
                side.call(&mut Call::Socketpair { domain, kind, protocol, fds: &mut fds })?;
            answer.push(Tag::Pair, fds.map(i32::to_ne_bytes).concat());
            result
        }
        Request::Bind { fd: slot, name } => {
            let (fd, bytes) = (fd(side.number(*slot)), name_bytes(side, name));
            side.call(&mut Call::Bind { fd, name: raw_name(name, &bytes) })?
        }
        Request::Connect { fd: slot, name } => {
            let (fd, bytes) = (fd(side.number(*slot)), name_bytes(side, name));
            side.call(&mut Call::Connect { fd, name: raw_name(name, &bytes) })?
        }
        Request::Listen { fd: slot, backlog } => {
            let fd = fd(side.number(*slot));
            side.call(&mut Call::Listen { fd, backlog: *backlog })?
        }
        Request::Accept { fd: slot, flags, want, .. } => {
            let fd = fd(side.number(*slot));
            let (mut name, flags) = (NameOut::with(*want), SocketFlags::from_bits_retain(*flags));
            let result = side.call(&mut Call::Accept4 { fd, name: &mut name, flags })?;
            push_name(answer, &name);
            result
        }
        Request::Sockname { fd: slot, want } => {
            let (fd, mut name) = (fd(side.number(*slot)), NameOut::with(*want));
            let result = side.call(&mut Call::Getsockname { fd, name: &mut name })?;
            push_name(answer, &name);
            result
        }
        Request::Peername { fd: slot, want } => {
            let (fd, mut name) = (fd(side.number(*slot)), NameOut::with(*want));
            let result = side.call(&mut Call::Getpeername { fd, name: &mut name })?;
            push_name(answer, &name);
            result
        }
        Request::Shutdown { fd: slot, how } => {
            let fd = fd(side.number(*slot));
            side.call(&mut Call::Shutdown { fd, how: *how })?
        }
        Request::Getsockopt { fd: slot, level, option, len } => {
            let (fd, level, option) = (fd(side.number(*slot)), *level, *option);
            let mut buffer = [0; 64];
            let mut value = OptionOut { buffer: &mut buffer, len: *len };
            let result =
                side.call(&mut Call::Getsockopt { fd, level, option, value: &mut value })?;
            let len = value.len;
            if result.is_ok() {
                let written = len.clamp(0, 64) as usize;
                answer.push(Tag::Value, [&len.to_ne_bytes()[..], &buffer[..written]].concat());
            }
            result
        }
        Request::Setsockopt { fd: slot, level, option, value } => {
            let (fd, level, option) = (fd(side.number(*slot)), *level, *option);
            side.call(&mut Call::Setsockopt { fd, level, option, value })?
        }
        Request::Ioctl { fd: slot, request, value } => {
            let (fd, mut value) = (fd(side.number(*slot)), *value);
            let result =
                side.call(&mut Call::Ioctl { fd, request: *request, value: &mut value })?;
            answer.push(Tag::Number, value.to_ne_bytes().to_vec());
            result
        }
        Request::Poll { fds } => {
            let numbers: Vec<i32> = fds.iter().map(|(slot, _)| side.number(*slot)).collect();
            let entry = |(number, (_, events)): (&i32, &(Slot, i16))| PollFd {
                fd: (*number >= 0).then(|| fd(*number)),
                events: Readiness::from_bits_retain(*events),
                revents: Readiness::empty(),
            };
            let mut entries: Vec<PollFd<'_>> = numbers.iter().zip(fds).map(entry).collect();
            let timeout = Some(Duration::ZERO);
            let result = side.call(&mut Call::Poll { fds: &mut entries, timeout })?;
            let masks = entries.iter().flat_map(|entry| entry.revents.bits().to_ne_bytes());
            answer.push(Tag::Events, masks.collect());
            result
        }
        Request::Fstat { fd: slot } => {
            let (fd, mut stat) = (fd(side.number(*slot)), Stat::default());
            let result = side.call(&mut Call::Fstat { fd, stat: &mut stat })?;
            push_stat(answer, &stat);
            result
        }
        _ => on_descriptors(side, request)?,
    })
}

/// Calls on descriptors and on the process that only return a number.
fn on_descriptors(side: &mut dyn Side, request: &Request) -> Result_ {
    let mut number = |slot: &Slot| fd(side.number(*slot));
    let mut call = match request {
        Request::Close { fd } => Call::Close { fd: number(fd) },
        Request::Dup { fd, .. } => Call::Dup { fd: number(fd) },
        Request::Dup2 { fd, new, .. } => Call::Dup2 { fd: number(fd), new: number(new) },
        Request::Dup3 { fd, new, flags, .. } => {
            Call::Dup3 { fd: number(fd), new: number(new), flags: *flags }
        }
        Request::Fcntl { fd, command, .. } => {
            Call::Fcntl { fd: number(fd), command: bounded(*command) }
        }
        Request::Lseek { fd, offset } => Call::Lseek { fd: number(fd), offset: *offset },
        Request::Fchmod { fd, mode } => Call::Fchmod { fd: number(fd), mode: *mode },
        Request::Open { path, flags, mode, .. } => {
            let flags = OpenFlags::from_bits_retain(*flags);
            Call::Open { path: path.as_bytes(), flags, mode: *mode }
        }
        Request::Umask { mask } => Call::Umask { mask: *mask },
        Request::Limit { descriptors } => {
            let new = Some(Limits { descriptors: *descriptors });
            return side.call(&mut Call::Prlimit { new, old: &mut Limits::default() });
        }
        Request::Become { user } => Call::Setids { uid: *user, gid: *user, groups: &[] },
        other => unreachable!("{} has out-fields", other.name()),
    };
    side.call(&mut call)
}

/// The least number of a dup, kept where `look` sees it.
fn bounded(command: Fcntl) -> Fcntl {
    match command {
        Fcntl::Dupfd(least) => Fcntl::Dupfd(least.min(LOOKED_AT - 1)),
        Fcntl::DupfdCloexec(least) => Fcntl::DupfdCloexec(least.min(LOOKED_AT - 1)),
        other => other,
    }
}

fn by_path(side: &mut dyn Side, path: &str, call: PathCall, answer: &mut Answer) -> Result_ {
    let path = path.as_bytes();
    let mut stat = Stat::default();
    let result = side.call(&mut match call {
        PathCall::Mkdir(mode) => Call::Mkdir { path, mode },
        PathCall::Rmdir => Call::Rmdir { path },
        PathCall::Unlink => Call::Unlink { path },
        PathCall::Rename(new) => Call::Rename { old: path, new: new.as_bytes() },
        PathCall::Link(new) => Call::Link { old: path, new: new.as_bytes() },
        PathCall::Symlink(new) => Call::Symlink { target: path, path: new.as_bytes() },
        PathCall::Chmod(mode) => Call::Chmod { path, mode },
        PathCall::Chown(uid, gid) => Call::Chown { path, uid, gid },
        PathCall::Stat => Call::Stat { path, stat: &mut stat },
        PathCall::Lstat => Call::Lstat { path, stat: &mut stat },
    })?;
    if matches!(call, PathCall::Stat | PathCall::Lstat) && result.is_ok() {
        push_stat(answer, &stat);
    }
    Some(result)
}

/// Bytes that tell where they stand. To be asked for once before any worker is forked: a fork while
/// another thread makes them would wait for that thread for ever.
pub(super) fn pattern() -> &'static [u8] {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    let byte = |place: usize| (b'a' + (place % 26) as u8) ^ ((place / 26) as u8 & 0x20);
    PATTERN.get_or_init(|| (0..LONGEST).map(byte).collect())
}

/// The bytes of a piece: they tell where they came from in the message.
fn contents(pieces: &[Piece]) -> Vec<Vec<u8>> {
    let pattern = pattern();
    let mut start = 0;
    let mut all = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let len = if piece.faults { 0 } else { piece.len };
        all.push(pattern[start..start + len].to_vec());
        start += piece.len;
    }
    all
}

fn segment<'b>(piece: &Piece, bytes: &'b [u8]) -> Segment<'b> {
    if piece.faults { Segment::Fault(piece.len) } else { Segment::Bytes(bytes) }
}

fn send(side: &mut dyn Side, slot: Slot, by: &SendBy, data: &[Piece], flags: i32) -> Result_ {
    let number = side.number(slot);
    let (fd, flags) = (fd(number), SendFlags::from_bits_retain(flags));
    let bytes = contents(data);
    let segments: Vec<Segment<'_>> = data.iter().zip(&bytes).map(|(p, b)| segment(p, b)).collect();
    let first = segments.first().copied().unwrap_or(Segment::Bytes(&[]));
    match by {
        SendBy::Write => side.call(&mut Call::Write { fd, data: first, progress: 0 }),
        SendBy::Writev => side.call(&mut Call::Writev { fd, data: &segments, progress: 0 }),
        SendBy::Sendto(name) => {
            let bytes = name_bytes(side, name);
            let name = raw_name(name, &bytes);
            side.call(&mut Call::Sendto { fd, data: first, flags, name, progress: 0 })
        }
        SendBy::Sendmsg(name, control) => {
            let bytes = name_bytes(side, name);
            let name = raw_name(name, &bytes);
            let control = control_bytes(side, control, number);
            let control = if control.is_empty() { RawControl::NONE } else { raw_control(&control) };
            let data = &segments[..];
            side.call(&mut Call::Sendmsg { fd, name, data, control, flags, progress: 0 })
        }
    }
}

fn control_bytes(side: &mut dyn Side, messages: &[Control], carrier: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        match message {
            Control::Rights(slots) => {
                let numbers =
                    slots.iter().flat_map(|slot| side.cargo(*slot, carrier).to_ne_bytes());
                let numbers: Vec<u8> = numbers.collect();
                control::push_message(
                    &mut bytes,
                    control::SOL_SOCKET,
                    control::SCM_RIGHTS,
                    &numbers,
                );
            }
            Control::Credentials { process, uid, gid } => {
                let own = Ucred { pid: side.pid(*process), uid: *uid, gid: *gid }.to_bytes();
                let kind = control::SCM_CREDENTIALS;
                control::push_message(&mut bytes, control::SOL_SOCKET, kind, &own);
            }
            Control::Raw(raw) => bytes.extend_from_slice(raw),
        }
    }
    bytes
}

fn receive(
    side: &mut dyn Side,
    slot: Slot,
    by: ReceiveBy,
    data: &[Piece],
    flags: i32,
    answer: &mut Answer,
) -> Result_ {
    let (fd, flags) = (fd(side.number(slot)), RecvFlags::from_bits_retain(flags));
    let room = |piece: &Piece| vec![0; if piece.faults { 0 } else { piece.len }];
    let mut buffers: Vec<Vec<u8>> = data.iter().map(room).collect();
    let segment = |(piece, buffer): (&Piece, _)| match piece.faults {
        true => SegmentMut::Fault(piece.len),
        false => SegmentMut::Bytes(buffer),
    };
    let mut segments: Vec<SegmentMut<'_>> =
        data.iter().zip(buffers.iter_mut().map(Vec::as_mut_slice)).map(segment).collect();
    let mut name = NameOut::nothing();
    let result = match by {
        ReceiveBy::Read => {
            let data = segments.drain(..).next().unwrap_or(SegmentMut::Fault(0));
            side.call(&mut Call::Read { fd, data, progress: 0 })?
        }
        ReceiveBy::Readv => side.call(&mut Call::Readv { fd, data: &mut segments, progress: 0 })?,
        ReceiveBy::Recvfrom(want) => {
            name = NameOut::with(want);
            let data = segments.drain(..).next().unwrap_or(SegmentMut::Fault(0));
            side.call(&mut Call::Recvfrom { fd, data, flags, name: &mut name, progress: 0 })?
        }
        ReceiveBy::Recvmsg(want, room) => {
            name = NameOut::with(want);
            let mut buffer = vec![0; if let Room::Bytes(len) = room { len } else { 0 }];
            let mut control = match room {
                Room::Bytes(_) => ControlOut::new(&mut buffer),
                Room::Fault(len) => ControlOut::fault(len),
            };
            let mut flags_out = RecvFlags::empty();
            let result = side.call(&mut Call::Recvmsg {
                fd,
                name: &mut name,
                data: &mut segments,
                control: &mut control,
                flags,
                flags_out: &mut flags_out,
                progress: 0,
            })?;
            if result.is_ok() {
                let len = control.len as u32;
                answer.push(Tag::Control, [&len.to_ne_bytes()[..], control.written()].concat());
                answer.push(Tag::Flags, flags_out.bits().to_ne_bytes().to_vec());
            }
            result
        }
    };
    if let Ok(count) = result {
        let mut written = Vec::new();
        for (piece, buffer) in data.iter().zip(&buffers) {
            let left = count.saturating_sub(written.len());
            written.extend_from_slice(&buffer[..left.min(buffer.len())]);
            if piece.faults {
                break;
            }
        }
        answer.push(Tag::Data, written);
    }
    if !matches!(by, ReceiveBy::Read | ReceiveBy::Readv) {
        push_name(answer, &name);
    }
    Some(result)
}

fn push_name(answer: &mut Answer, name: &NameOut) {
    let reported = name.reported.unwrap_or(-1);
    answer.push(Tag::Name, [&reported.to_ne_bytes()[..], name.written()].concat());
}

fn push_stat(answer: &mut Answer, stat: &Stat) {
    let is_directory = stat.file_type() == Stat::IFDIR;
    // How file systems count a directory's links and bytes is their own affair.
    let (links, size) = if is_directory { (0, 0) } else { (stat.nlink, stat.size) };
    let numbers = [u64::from(stat.mode), links, stat.uid.into(), stat.gid.into(), size];
    answer.push(Tag::Stat, numbers.map(u64::to_ne_bytes).concat());
}

fn name_bytes(side: &dyn Side, name: &Name) -> Vec<u8> {
    let family = 1u16.to_ne_bytes();
    match name {
        Name::Path(path) => [&family[..], path.as_bytes(), &[0]].concat(),
        Name::Abstract(index) => [&family[..], &[0], side.prefix(), &[b'0' + index]].concat(),
        Name::Raw(bytes) => bytes.clone(),
        Name::None | Name::Null(_) | Name::Fault(_) => Vec::new(),
    }
}

fn raw_name<'a>(name: &Name, bytes: &'a [u8]) -> RawName<'a> {
    match name {
        Name::None => RawName::NONE,
        Name::Null(len) => RawName::Null { len: *len },
        Name::Fault(len) => RawName::Fault { len: *len },
        _ => RawName::Bytes(bytes),
    }
}

/// Room for a whole name.
pub(super) const WHOLE: Want = Want::Buffer { len: 128 };
