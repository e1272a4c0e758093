//! Which call of the log is which call of the model.

use afunix::call::Fcntl;
use afunix::{AF_UNIX, Call, Errno, NameOut, OpenFlags};
use afunix_model::Resume;

use super::names::want;
use super::request::{Form, Request};
use super::{Attempt, Behind, Look, Seat, State};
use crate::log::value::Value;
use crate::log::{Outcome, is_spawn};
use crate::names::number;
use crate::raw::fd;
use crate::report::Assumed;

impl From<Result<(), String>> for Attempt {
    fn from(compared: Result<(), String>) -> Self {
        match compared {
            Ok(()) => Attempt::Explained,
            Err(what) => Attempt::Differs(what),
        }
    }
}

/// Limits of a machine that the log does not show: whoever meets one is believed.
const LIMITS: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS];

impl State {
    /// Makes the call of a record.
    pub(super) fn make(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let record = look.record;
        match record.outcome {
            // It did nothing, or is made again.
            Outcome::Interrupted | Outcome::Error(Errno::INTR) => return Attempt::Explained,
            // What a bad pointer leads to is not in the log.
            Outcome::Error(Errno::FAULT) => return Attempt::Explained,
            Outcome::Error(errno) if LIMITS.contains(&errno) => {
                self.assume(look, Assumed::Limits);
                return Attempt::Explained;
            }
            _ => {}
        }
        match record.name.as_str() {
            "socket" => self.socket(look, seat),
            "socketpair" => self.socketpair(look, seat),
            "dup" | "dup2" | "dup3" | "fcntl" | "fcntl64" => self.descriptor(look, seat),
            "close" => self.close(look, seat),
            "close_range" => self.close_range(look, seat),
            "pipe" | "pipe2" => self.pipe(look, seat),
            "epoll_create" | "epoll_create1" => self.epoll_create(look, seat),
            "epoll_ctl" => self.epoll_ctl(look, seat),
            "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => self.epoll_wait(look, seat),
            "poll" | "ppoll" => self.poll(look, seat),
            "select" | "pselect6" => self.select(look, seat),
            name if is_spawn(name) => self.spawn(look, seat),
            "execve" | "execveat" => self.exec(look, seat),
            "exit" | "exit_group" => Attempt::Explained,
            "io_uring_setup" if record.value().is_some() => self.lose(look, seat),
            name if name.starts_with("set") && name.contains("id") => self.set_ids(look, seat),
            "setgroups" => self.set_ids(look, seat),
            "chdir" | "fchdir" | "unlink" | "unlinkat" | "rename" | "renameat" | "renameat2"
            | "rmdir" | "link" | "linkat" | "symlink" | "symlinkat" | "umask" => {
                self.file_call(look, seat)
            }
            _ => self.at_descriptor(look, seat),
        }
    }

    /// A call on a descriptor, or one that the model does not make.
    fn at_descriptor(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let record = look.record;
        let number = record.fd(0);
        let ours = number.is_some_and(|number| self.ours(seat.tid, number).is_some());
        let number = number.unwrap_or(-1);
        if !ours {
            return self.foreign(look, seat);
        }
        match record.name.as_str() {
            "bind" => self.bind(look, seat, number),
            "connect" => self.connect(look, seat, number),
            "listen" => {
                let Some(backlog) = record.number(1) else { return Attempt::Explained };
                let backlog = backlog as i32;
                let result = self.call(seat.tid, &mut Call::Listen { fd: fd(number), backlog });
                self.told(look, result)
            }
            "accept" | "accept4" => self.accept(look, seat, number),
            "shutdown" => {
                let Some(how) = record.arg(1).and_then(crate::names::number) else {
                    return Attempt::Explained;
                };
                let how = how as i32;
                let result = self.call(seat.tid, &mut Call::Shutdown { fd: fd(number), how });
                self.told(look, result)
            }
            "getsockname" | "getpeername" => self.get_name(look, seat, number),
            "getsockopt" => self.get_option(look, seat, number),
            "setsockopt" => self.set_option(look, seat, number),
            "ioctl" => self.ioctl(look, seat, number),
            "write" | "writev" | "send" | "sendto" | "sendmsg" => self.send(look, seat),
            "read" | "readv" | "recv" | "recvfrom" | "recvmsg" => self.receive(look, seat),
            "sendfile" | "splice" | "sendmmsg" | "recvmmsg" => {
                self.unknown_call(look, seat, number)
            }
            _ => self.foreign(look, seat),
        }
    }

    /// A call at one of our sockets that the model does not make: from now on the socket does what
    /// the log says.
    fn unknown_call(&mut self, look: Look<'_>, seat: Seat, number: i32) -> Attempt {
        if look.record.value().is_some() {
            self.share(look, seat, number);
        }
        self.foreign(look, seat)
    }

    /// The result of a call that took no time.
    pub(super) fn told(&mut self, look: Look<'_>, result: Result<usize, Errno>) -> Attempt {
        match self.same_result(look, result) {
            Ok(()) => {
                self.explained += 1;
                Attempt::Explained
            }
            Err(what) => Attempt::Differs(what),
        }
    }

    /// A call on something that the model does not know: what it makes is taken from the log.
    fn foreign(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let record = look.record;
        match record.name.as_str() {
            "sendmsg" if record.value().is_some() => {
                let control = record.arg(1).and_then(|message| message.field("msg_control"));
                self.share_sent(look, seat, control);
            }
            "recvmsg" => return self.receive_foreign(look, seat),
            _ => {}
        }
        match record.made() {
            Some((number, note)) => {
                let known = super::facts::sockets_of(note);
                if known.is_some_and(|(socket, _)| self.sockets.contains_key(&socket)) {
                    return Attempt::Differs(format!("knows no way to descriptor {number}"));
                }
                self.put_foreign(seat, number, record.cloexec).into()
            }
            None => Attempt::Explained,
        }
    }

    fn socket(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let record = look.record;
        let of = |index: usize| record.arg(index).and_then(number);
        if of(0) != Some(i64::from(AF_UNIX)) {
            return self.foreign(look, seat);
        }
        let (Some(kind), Some(protocol)) = (of(1), of(2).or(Some(0))) else {
            return self.foreign(look, seat);
        };
        let mut call =
            Call::Socket { domain: AF_UNIX, kind: kind as i32, protocol: protocol as i32 };
        let result = self.call(seat.tid, &mut call);
        self.made_one(look, seat, result)
    }

    /// A call that makes a descriptor has ended.
    fn made_one(&mut self, look: Look<'_>, seat: Seat, result: Result<usize, Errno>) -> Attempt {
        let compared = self.same_descriptor(look, seat, result);
        if let Err(what) = compared.and_then(|()| self.learn_made(look, seat)) {
            return Attempt::Differs(what);
        }
        self.explained += 1;
        Attempt::Explained
    }

    fn socketpair(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let record = look.record;
        let of = |index: usize| record.arg(index).and_then(number);
        let items = record.arg(3).and_then(Value::items).unwrap_or(&[]).to_vec();
        let (Some(domain), Some(kind)) = (of(0), of(1)) else { return Attempt::Explained };
        if domain != i64::from(AF_UNIX) {
            return Attempt::Explained;
        }
        let mut fds = [0; 2];
        let (kind, protocol) = (kind as i32, of(2).unwrap_or(0) as i32);
        let mut call = Call::Socketpair { domain: AF_UNIX, kind, protocol, fds: &mut fds };
        let result = self.call(seat.tid, &mut call);
        if let Err(what) = self.same_result(look, result) {
            return Attempt::Differs(what);
        }
        if result.is_ok() && items.len() == 2 {
            // From the last one on: numbers are given upwards.
            for (ours, theirs) in fds.iter().zip(&items).rev() {
                let Some(theirs) = theirs.number() else { continue };
                if let Err(what) = self.renumber(look, seat, *ours, theirs) {
                    return Attempt::Differs(what);
                }
            }
            for item in &items {
                if let Value::Fd { number, note } = item
                    && let Err(what) = self.learn(seat, *number as i32, note)
                {
                    return Attempt::Differs(what);
                }
            }
        }
        self.explained += 1;
        Attempt::Explained
    }

    fn pipe(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let items = look.record.arg(0).and_then(Value::items).unwrap_or(&[]);
        for number in items.iter().filter_map(Value::number) {
            if let Err(what) = self.put_foreign(seat, number as i32, look.record.cloexec) {
                return Attempt::Differs(what);
            }
        }
        Attempt::Explained
    }

    fn accept(&mut self, look: Look<'_>, seat: Seat, number: i32) -> Attempt {
        let record = look.record;
        if let Some((made, note)) = record.made()
            && let Some((_, Some(peer))) = super::facts::sockets_of(note)
            && !look.facts.is_made(peer)
        {
            self.assume(look, Assumed::Clients);
            return self.put_foreign(seat, made, record.cloexec).into();
        }
        let mut request = Request::new(Form::Accept, number);
        request.from = NameOut::with(want(record.arg(1), record.arg(2)));
        request.flags = record.arg(3).and_then(crate::names::number).unwrap_or(0) as i32;
        self.start(look, seat, request)
    }

    /// Makes a call that may wait.
    pub(super) fn start(&mut self, look: Look<'_>, seat: Seat, mut request: Request) -> Attempt {
        let step = request.step(self, seat.tid, Resume::First);
        self.stepped(look, seat, request, step)
    }

    fn connect(&mut self, look: Look<'_>, seat: Seat, number: i32) -> Attempt {
        let record = look.record;
        let Some(name) = record.arg(1).and_then(|name| self.name_bytes(name, record.number(2)))
        else {
            return self.unknown_call(look, seat, number);
        };
        if self.is_others(look, seat, &name) {
            // Who is there, or is not, the log does not say.
            if record.value().is_some() {
                self.share(look, seat, number);
            }
            self.assume(look, Assumed::Names);
            return Attempt::Explained;
        }
        let mut request = Request::new(Form::Connect, number);
        request.to = Some(name);
        self.start_to(look, seat, request)
    }

    fn send(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let Some(request) = self.send_request(look) else {
            return self.unknown_call(look, seat, look.record.fd(0).unwrap_or(-1));
        };
        if request.to.as_ref().is_some_and(|name| self.is_others(look, seat, name)) {
            let control = look.record.arg(1).and_then(|message| message.field("msg_control"));
            self.share_sent(look, seat, control);
            self.assume(look, Assumed::Names);
            return Attempt::Explained;
        }
        self.start_to(look, seat, request)
    }

    /// Makes a call that may name whom it is for.
    fn start_to(&mut self, look: Look<'_>, seat: Seat, request: Request) -> Attempt {
        if self.ends_by_files(look, seat, &request) {
            self.assume(look, Assumed::Files);
            return Attempt::Explained;
        }
        self.start(look, seat, request)
    }

    fn receive(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        match self.receive_request(look) {
            Some(request) => self.start(look, seat, request),
            None => self.unknown_call(look, seat, look.record.fd(0).unwrap_or(-1)),
        }
    }

    fn get_name(&mut self, look: Look<'_>, seat: Seat, number: i32) -> Attempt {
        let record = look.record;
        let mut name = NameOut::with(want(record.arg(1), record.arg(2)));
        let result = match record.name.as_str() {
            "getsockname" => {
                self.call(seat.tid, &mut Call::Getsockname { fd: fd(number), name: &mut name })
            }
            _ => self.call(seat.tid, &mut Call::Getpeername { fd: fd(number), name: &mut name }),
        };
        if record.error() == Some(Errno::FAULT) {
            return Attempt::Explained;
        }
        if result.is_ok()
            && record.value().is_some()
            && let Err(what) = self.same_name(look, &name, 1)
        {
            return Attempt::Differs(what);
        }
        self.told(look, result)
    }

    /// dup, dup2, dup3, fcntl.
    fn descriptor(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let record = look.record;
        let Some(number) = record.fd(0) else { return Attempt::Explained };
        let behind = self.behind(seat.tid, number);
        let from = fd(number);
        let to = fd(record.fd(1).unwrap_or(-1));
        let command = record.arg(1).and_then(Value::word).unwrap_or_default();
        let result = match (record.name.as_str(), command) {
            (_, _) if behind == Behind::Nothing => return self.foreign(look, seat),
            ("dup", _) => self.call(seat.tid, &mut Call::Dup { fd: from }),
            ("dup2", _) => self.call(seat.tid, &mut Call::Dup2 { fd: from, new: to }),
            ("dup3", _) => {
                let flags = record.arg(2).and_then(crate::names::number).unwrap_or(0) as i32;
                self.call(seat.tid, &mut Call::Dup3 { fd: from, new: to, flags })
            }
            (_, "F_DUPFD" | "F_DUPFD_CLOEXEC") => {
                let least = record.number(2).unwrap_or(0) as i32;
                let command = match command {
                    "F_DUPFD" => Fcntl::Dupfd(least),
                    _ => Fcntl::DupfdCloexec(least),
                };
                self.call(seat.tid, &mut Call::Fcntl { fd: from, command })
            }
            _ => return self.fcntl(look, seat, number, command),
        };
        let compared = self.same_descriptor(look, seat, result);
        match compared.and_then(|()| self.learn_made(look, seat)) {
            Ok(()) => Attempt::Explained,
            Err(_) if behind == Behind::Foreign => self.foreign(look, seat),
            Err(what) => Attempt::Differs(what),
        }
    }

    /// The commands of fcntl that make no descriptor.
    fn fcntl(&mut self, look: Look<'_>, seat: Seat, number: i32, command: &str) -> Attempt {
        let record = look.record;
        let argument = record.arg(2).and_then(crate::names::number).unwrap_or(0) as i32;
        let command = match command {
            "F_GETFD" => Fcntl::Getfd,
            "F_SETFD" => Fcntl::Setfd(argument),
            "F_GETFL" => Fcntl::Getfl,
            // Signals of readiness are no part of what is compared.
            "F_SETFL" => Fcntl::Setfl(argument & !OpenFlags::ASYNC.bits()),
            _ => return Attempt::Explained,
        };
        let result = self.call(seat.tid, &mut Call::Fcntl { fd: fd(number), command });
        if self.ours(seat.tid, number).is_none() {
            return Attempt::Explained;
        }
        self.told(look, result)
    }

    fn ioctl(&mut self, look: Look<'_>, seat: Seat, number: i32) -> Attempt {
        let record = look.record;
        match record.arg(1).and_then(Value::word) {
            Some("FIOCLEX") => self.set_cloexec(seat, number, true),
            Some("FIONCLEX") => self.set_cloexec(seat, number, false),
            _ => {}
        }
        let Some(request) = record.arg(1).and_then(crate::names::number) else {
            return self.foreign(look, seat);
        };
        let theirs = record.arg(2).and_then(|value| value.items()?.first()?.after().number());
        let mut value = theirs.unwrap_or(0) as i32;
        let request = request as u32;
        let result =
            self.call(seat.tid, &mut Call::Ioctl { fd: fd(number), request, value: &mut value });
        if let (Ok(_), Some(_), Some(theirs)) = (result, record.value(), theirs)
            && theirs != i64::from(value)
        {
            return Attempt::Differs(format!("gives {value}"));
        }
        self.told(look, result)
    }

    fn close(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let record = look.record;
        let Some(number) = record.fd(0) else { return Attempt::Explained };
        if number >= 0 {
            self.closed.entry(seat.pid).or_default().insert(number);
        }
        let behind = self.behind(seat.tid, number);
        let result = self.call(seat.tid, &mut Call::Close { fd: fd(number) });
        match (behind, record.error()) {
            // What the log does not know it may find closed.
            (Behind::Nothing | Behind::Foreign, _) => Attempt::Explained,
            (_, Some(Errno::BADF)) => Attempt::Differs(super::numbers::in_words(result)),
            _ => Attempt::Explained,
        }
    }

    fn close_range(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let record = look.record;
        let (Some(first), Some(last)) = (record.number(0), record.number(1)) else {
            return Attempt::Explained;
        };
        if record.value().is_none() {
            return Attempt::Explained;
        }
        let only_mark = record.arg(2).and_then(Value::word).unwrap_or_default().contains("CLOEXEC");
        let numbers: Vec<i32> = self.machine.descriptor_numbers(seat.pid).collect();
        let last = if last < 0 { i64::from(u32::MAX) } else { last };
        for number in
            numbers.into_iter().filter(|number| (first..=last).contains(&i64::from(*number)))
        {
            if only_mark {
                self.set_cloexec(seat, number, true);
            } else {
                let _ = self.call(seat.tid, &mut Call::Close { fd: fd(number) });
                self.closed.entry(seat.pid).or_default().insert(number);
            }
        }
        Attempt::Explained
    }
}
