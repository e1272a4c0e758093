//! Performing a request: the same code on both sides, so that a difference is one of the calls.

mod listing;
mod message;
mod others;
mod signals;

use std::time::Duration;

use afunix::call::{DirEntry, Fcntl, OptionOut, Stat};
use afunix::control::{self, SCM_PIDFD, SCM_RIGHTS};
use afunix::options::{SIOCINQ, SIOCOUTQ, SIOCUNIXFILE, SO_ATTACH_FILTER, SO_PEERPIDFD};
use afunix::{Call, Errno, Limits, NameOut, OpenFlags, PollFd, RawName, Readiness, SocketFlags};

use super::answer::{Answer, Tag};
use super::program::{Name, PathCall, Request, Slot, Want};
use crate::raw::fd;
pub(super) use message::pattern;
use message::{receive, receive_many, send, send_many};
pub(super) use signals::HEARD;

/// The first number that is looked at after every step.
const FIRST: i32 = 3;
/// Numbers that are looked at end before this.
pub(super) const LOOKED_AT: i32 = 26;
const NUMBERS: usize = (LOOKED_AT - FIRST) as usize;
/// Bytes of a descriptor in [`Tag::After`]: number, readiness, two sizes.
pub(super) const ENTRY: usize = 11;
/// Stands for a size that was not asked for.
pub(super) const NOT_ASKED: i32 = i32::MIN;
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
        Request::SendMany { fd, messages, flags } => {
            send_many(side, *fd, messages, *flags, &mut answer)?
        }
        Request::ReceiveMany { fd, messages, flags, timeout, .. } => {
            let timeout = timeout.map(Duration::from_millis);
            receive_many(side, *fd, messages, *flags, timeout, &mut answer)?
        }
        Request::EpollCreate { .. }
        | Request::EpollCtl { .. }
        | Request::EpollWait { .. }
        | Request::Select { .. }
        | Request::Readlink { .. }
        | Request::Identity(_)
        | Request::Capset { .. }
        | Request::Mount { .. }
        | Request::Umount { .. }
        | Request::Detach
        | Request::Chroot { .. } => others::perform(side, request, &mut answer)?,
        Request::Signal(call) => signals::perform(side, call, &mut answer)?,
        Request::Listing => listing::perform(side, &mut answer)?,
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
        Request::Socketpair { into, .. } | Request::Pipe { into, .. } => {
            let pair = answer.field(Tag::Pair).expect("a pair has two numbers");
            into.iter().copied().zip(words(pair)).collect()
        }
        Request::Receive { into, .. } | Request::ReceiveMany { into, .. } => {
            let all = answer.all(Tag::Control);
            let all =
                all.flat_map(|control| control::messages(&control[4..]).map_while(Result::ok));
            let made = all.filter(|one| matches!(one.kind, SCM_RIGHTS | SCM_PIDFD));
            let numbers = made.flat_map(|message| words(message.data));
            // RCMSG 10: in place of a pidfd there may be an error.
            (*into..).zip(numbers.filter(|number| *number >= 0)).collect()
        }
        Request::Getsockopt { option: SO_PEERPIDFD, into, .. } => {
            let value = answer.field(Tag::Value).unwrap_or(&[0; 4]);
            words(&value[4..]).map(|number| (*into, number)).collect()
        }
        Request::Fcntl { into, command: Fcntl::Dupfd(_) | Fcntl::DupfdCloexec(_), .. }
        | Request::Socket { into, .. }
        | Request::Accept { into, .. }
        | Request::Eventfd { into, .. }
        | Request::EpollCreate { into, .. }
        | Request::Dup { into, .. }
        | Request::Dup2 { into, .. }
        | Request::Dup3 { into, .. }
        | Request::Unixfile { into, .. }
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
    let polled =
        side.call(&mut Call::Poll { fds: &mut fds, timeout: Some(Duration::ZERO), mask: None });
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
        Request::Pipe { flags, .. } => {
            let (flags, mut fds) = (OpenFlags::from_bits_retain(*flags), [-1; 2]);
            let result = side.call(&mut Call::Pipe2 { flags, fds: &mut fds })?;
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
        Request::Getsockopt { fd: slot, level, option, len, .. } => {
            let (fd, level, option) = (fd(side.number(*slot)), *level, *option);
            let mut buffer = [0; 64];
            let mut value = OptionOut { buffer: &mut buffer, len: *len };
            let result =
                side.call(&mut Call::Getsockopt { fd, level, option, value: &mut value })?;
            let len = value.len;
            if result.is_ok() {
                // SO_GET_FILTER counts instructions.
                let unit = if option == SO_ATTACH_FILTER { 8 } else { 1 };
                let written = (unit * len).clamp(0, 64) as usize;
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
        Request::Poll { fds, timeout } => {
            let numbers: Vec<i32> = fds.iter().map(|(slot, _)| side.number(*slot)).collect();
            let entry = |(number, (_, events)): (&i32, &(Slot, i16))| PollFd {
                fd: (*number >= 0).then(|| fd(*number)),
                events: Readiness::from_bits_retain(*events),
                revents: Readiness::empty(),
            };
            let mut entries: Vec<PollFd<'_>> = numbers.iter().zip(fds).map(entry).collect();
            let timeout = u64::try_from(*timeout).ok().map(Duration::from_millis);
            let result = side.call(&mut Call::Poll { fds: &mut entries, timeout, mask: None })?;
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
        Request::Getdents { fd: slot } => {
            let (fd, mut entries) = (fd(side.number(*slot)), Vec::new());
            let result = side.call(&mut Call::Getdents { fd, entries: &mut entries })?;
            // In which order they come is the file system's affair.
            entries.sort();
            let entry =
                |entry: &DirEntry| [&entry.file_type.to_ne_bytes()[..], &entry.name, &[0]].concat();
            answer.push(Tag::Entries, entries.iter().flat_map(entry).collect());
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
        Request::Eventfd { count, flags, .. } => Call::Eventfd2 { count: *count, flags: *flags },
        Request::Unixfile { fd, .. } => {
            let fd = number(fd);
            return side.call(&mut Call::Ioctl { fd, request: SIOCUNIXFILE, value: &mut 0 });
        }
        Request::Fchdir { fd } => Call::Fchdir { fd: number(fd) },
        Request::Chdir { path } => Call::Chdir { path: path.as_bytes() },
        Request::Umask { mask } => Call::Umask { mask: *mask },
        Request::Limit { descriptors } => {
            let new = Some(Limits { descriptors: *descriptors });
            return side.call(&mut Call::Prlimit { new, old: &mut Limits::default() });
        }
        Request::Become { user, group, groups } => Call::Setids { uid: *user, gid: *group, groups },
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

fn name_bytes(side: &mut dyn Side, name: &Name) -> Vec<u8> {
    let family = 1u16.to_ne_bytes();
    match name {
        Name::Path(path) => [&family[..], path.as_bytes(), &[0]].concat(),
        Name::Abstract(index) => [&family[..], &[0], side.prefix(), &[b'0' + index]].concat(),
        Name::Handle(slot) => {
            let path = format!("/proc/self/fd/{}", side.number(*slot));
            [&family[..], path.as_bytes(), &[0]].concat()
        }
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
