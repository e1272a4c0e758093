//! Reading a log: lines become records.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use afunix::{Errno, Exit};

use super::line::{self, Body, Prefix};
use super::value::{Field, Parser, Value};
use super::{Line, Log, Outcome, Record, What};

/// The id of a thread that the log does not name (yet).
const UNNAMED: i32 = 0;

/// Not one line is a call as strace prints it.
#[derive(Debug)]
pub struct NotStrace;

impl fmt::Display for NotStrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this is no log of strace: no line of it is a call; \
             record one with `strace -f -yy -o LOG PROGRAM`",
        )
    }
}

impl std::error::Error for NotStrace {}

/// Reads a log.
pub(crate) fn read(bytes: &[u8]) -> Result<Log, NotStrace> {
    let mut reader = Reader::default();
    let is_whole = bytes.is_empty() || bytes.ends_with(b"\n");
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    for text in body.split(|byte| *byte == b'\n') {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        reader.log.text.push(text.to_vec());
        reader.line(text);
    }
    let last = reader.log.text.len();
    if !is_whole && reader.log.foreign.last() == Some(&last) {
        reader.log.foreign.pop();
        reader.log.cut = Some(last);
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    log: Log,
    /// The calls that are unfinished, by thread: their record, and the text of their arguments.
    open: BTreeMap<i32, (usize, Vec<u8>)>,
    alive: BTreeSet<i32>,
    /// Threads that a call or a note of strace's told of.
    announced: BTreeSet<i32>,
    /// The number by which the first thread goes once it has one.
    first: Option<i32>,
    /// The beginning of a line that strace's own note broke.
    held: Option<(Prefix, Vec<u8>)>,
    clock: Clock,
}

impl Reader {
    fn line(&mut self, text: &[u8]) {
        let (mut prefix, mut rest) = line::prefix(text);
        let joined;
        if let Some((held, head)) = self.held.take() {
            if line::body(rest) == Body::Foreign {
                joined = [&head[..], text].concat();
                (prefix, rest) = (held, &joined[..]);
            } else {
                self.foreign();
            }
        }
        if let Some((head, thread)) = broken(rest) {
            self.announced.insert(thread);
            self.held = Some((prefix, head.to_vec()));
            return;
        }
        let body = line::body(rest);
        match body {
            Body::Foreign => return self.foreign(),
            Body::Aside => return,
            Body::Attached(thread) => {
                self.announced.insert(thread);
                return;
            }
            _ => {}
        }
        let thread = self.thread(prefix.thread);
        let at = self.clock.at(prefix.time, self.log.text.len());
        self.log.timed |= prefix.time.is_some();
        if let Some(what) = self.what(thread, body) {
            let number = self.log.text.len();
            self.log.lines.push(Line { number, thread, at, what });
        }
    }

    fn foreign(&mut self) {
        self.log.foreign.push(self.log.text.len());
    }

    /// Whose line it is.
    fn thread(&mut self, named: Option<i32>) -> i32 {
        let thread = match named {
            None if self.alive.len() == 1 => *self.alive.first().expect("there is one"),
            None => self.first.unwrap_or(UNNAMED),
            Some(thread) => {
                let is_new = !self.announced.contains(&thread) && !self.alive.contains(&thread);
                if is_new && self.first.is_none() && self.alive.contains(&UNNAMED) {
                    self.first = Some(thread);
                    self.alive.remove(&UNNAMED);
                    if let Some(open) = self.open.remove(&UNNAMED) {
                        self.open.insert(thread, open);
                    }
                }
                thread
            }
        };
        self.alive.insert(thread);
        thread
    }

    fn what(&mut self, thread: i32, body: Body<'_>) -> Option<What> {
        let number = self.log.text.len();
        Some(match body {
            Body::Call(name, text) => {
                let record = Record::parse(thread, name, text, number, &mut self.log);
                What::Whole(self.enter(record)?)
            }
            Body::Unfinished(name, text) => {
                let index = self.enter(Some(Record::begun(thread, name, number)))?;
                self.open.insert(thread, (index, text.to_vec()));
                What::Begin(index)
            }
            Body::Resumed(name, text) => {
                let found = self.open.get(&thread).filter(|(open, _)| {
                    // strace may resume a restarted call by another name.
                    self.log.records[*open].name == name
                });
                if found.is_none() {
                    self.log.headless.push(number);
                    return None;
                }
                let (index, head) = self.open.remove(&thread)?;
                let whole = [&head[..], text].concat();
                let begin = self.log.records[index].begin;
                match Record::parse(thread, name, &whole, begin, &mut self.log) {
                    Some(record) => {
                        self.announce(&record);
                        self.log.records[index] = Record { end: Some(number), ..record };
                        What::End(index)
                    }
                    None => {
                        // Its end is lost: whatever it did may have been done.
                        self.foreign();
                        return None;
                    }
                }
            }
            Body::Signal(name, _) => What::Signal(name.to_owned()),
            Body::Exited(status) => self.gone(thread, Exit::Status(status)),
            Body::Killed(name) => self.gone(thread, Exit::Signal(crate::names::signal(name))),
            Body::Superseded(by) => {
                self.alive.remove(&by);
                if let Some((index, text)) = self.open.remove(&by) {
                    self.log.records[index].thread = thread;
                    self.open.insert(thread, (index, text));
                }
                What::Superseded(by)
            }
            Body::Mode(_, "64 bit") => return None,
            Body::Mode(process, mode) => {
                What::Unknown(format!("process {process} runs in {mode} mode"))
            }
            Body::Attached(_) | Body::Aside | Body::Foreign => return None,
        })
    }

    fn gone(&mut self, thread: i32, exit: Exit) -> What {
        self.alive.remove(&thread);
        self.open.remove(&thread);
        What::Gone(exit)
    }

    fn enter(&mut self, record: Option<Record>) -> Option<usize> {
        let Some(record) = record else {
            self.foreign();
            return None;
        };
        self.announce(&record);
        self.log.records.push(record);
        Some(self.log.records.len() - 1)
    }

    /// A call that starts a thread tells its number.
    fn announce(&mut self, record: &Record) {
        if is_spawn(&record.name)
            && let Some(thread) = record.value()
        {
            self.announced.insert(thread as i32);
        }
    }

    fn finish(mut self) -> Result<Log, NotStrace> {
        if self.log.records.is_empty() {
            return Err(NotStrace);
        }
        if let Some(first) = self.first {
            let unnamed = |thread: &mut i32| {
                if *thread == UNNAMED {
                    *thread = first;
                }
            };
            self.log.lines.iter_mut().for_each(|line| unnamed(&mut line.thread));
            self.log.records.iter_mut().for_each(|record| unnamed(&mut record.thread));
        }
        Ok(self.log)
    }
}

/// The line's beginning, and the thread, where `strace: Process 12 attached` broke a line.
fn broken(rest: &[u8]) -> Option<(&[u8], i32)> {
    const NOTE: &[u8] = b"strace: Process ";
    let before = rest.strip_suffix(b" attached")?;
    let at = before.windows(NOTE.len()).rposition(|window| window == NOTE)?;
    let thread = std::str::from_utf8(&before[at + NOTE.len()..]).ok()?.parse().ok()?;
    (at > 0).then_some((&rest[..at], thread))
}

pub(crate) fn is_spawn(name: &str) -> bool {
    matches!(name, "clone" | "clone3" | "fork" | "vfork")
}

/// The calls that the replay looks at whatever they return.
const FOLLOWED: &[&str] = &[
    "accept",
    "accept4",
    "bind",
    "chdir",
    "chmod",
    "chown",
    "chroot",
    "clone",
    "clone3",
    "close",
    "close_range",
    "connect",
    "dup",
    "dup2",
    "dup3",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchownat",
    "fcntl",
    "fcntl64",
    "fork",
    "getcwd",
    "getegid",
    "geteuid",
    "getgid",
    "getpeername",
    "getsockname",
    "getsockopt",
    "getuid",
    "io_uring_setup",
    "ioctl",
    "link",
    "linkat",
    "listen",
    "mkdir",
    "mkdirat",
    "pipe",
    "pipe2",
    "poll",
    "ppoll",
    "prlimit64",
    "pselect6",
    "read",
    "readv",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "select",
    "send",
    "sendfile",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setgid",
    "setgroups",
    "setns",
    "setregid",
    "setresgid",
    "setresuid",
    "setreuid",
    "setrlimit",
    "setsockopt",
    "setuid",
    "shutdown",
    "socket",
    "socketpair",
    "splice",
    "symlink",
    "symlinkat",
    "umask",
    "unlink",
    "unlinkat",
    "unshare",
    "vfork",
    "write",
    "writev",
];

/// Of those, the ones that matter only if their descriptor may be a socket, or an epoll.
const AT_SOCKETS: &[&str] = &["read", "readv", "write", "writev", "ioctl", "sendfile", "splice"];

impl Record {
    fn begun(thread: i32, name: &str, begin: usize) -> Record {
        Record {
            thread,
            name: name.to_owned(),
            args: Vec::new(),
            outcome: Outcome::Unfinished,
            begin,
            end: None,
            cloexec: false,
            followed: FOLLOWED.binary_search(&name).is_ok(),
            local: false,
        }
    }

    /// Whether nothing in it is a socket, an epoll or a process as far as the log says.
    fn is_local(&self) -> bool {
        let is_foreign = |note: &str| !note.contains("UNIX") && !may_be_ours(note);
        let mut notes = self.args.iter().filter_map(|field| field.value.note());
        match self.name.as_str() {
            "close" => self.note(0).is_some_and(is_foreign),
            "dup2" | "dup3" => {
                self.note(0).is_some_and(is_foreign) && self.note(1).is_some_and(is_foreign)
            }
            "execve" | "execveat" => self.value().is_none(),
            name if AT_SOCKETS.contains(&name) => notes.all(is_foreign) && self.note(0).is_some(),
            "fcntl" | "dup" => self.note(0).is_some_and(is_foreign),
            name => {
                let opens = self.made().is_some_and(|(_, note)| is_foreign(note));
                opens && FOLLOWED.binary_search(&name).is_err() && notes.all(is_foreign)
            }
        }
    }

    /// The record of a call's whole text, from its first argument on.
    fn parse(thread: i32, name: &str, text: &[u8], begin: usize, log: &mut Log) -> Option<Record> {
        let mut parser = Parser::new(text);
        let args = parser.arguments(b')')?;
        parser.skip_space();
        if !parser.take(b"= ") {
            return None;
        }
        let outcome = outcome(&mut parser)?;
        let mut record = Record::begun(thread, name, begin);
        record.end = Some(begin);
        record.outcome = outcome;
        record.cloexec = text.windows(7).any(|window| window == b"CLOEXEC");
        log.annotated |= record.made().is_some();
        let matters = !AT_SOCKETS.contains(&name)
            || [0, 2].iter().any(|index| args.get(*index).is_some_and(may_be_socket));
        record.followed = (record.followed && matters) || record.made().is_some();
        if record.followed {
            args.iter().for_each(|arg| log.used.add(&arg.value));
            record.args = args;
        }
        record.local = record.is_local();
        Some(record)
    }
}

/// Whether a descriptor may be a socket as far as the log says.
fn may_be_socket(field: &Field) -> bool {
    match &field.value {
        Value::Fd { note, .. } => note.contains("UNIX") || note.starts_with("socket:"),
        Value::Number(_) => true,
        _ => false,
    }
}

/// Whether the model may know what a note says.
fn may_be_ours(note: &str) -> bool {
    note.contains("eventpoll") || note.starts_with("socket:")
}

/// What stands behind the equals sign.
fn outcome(parser: &mut Parser<'_>) -> Option<Outcome> {
    if parser.take(b"?") {
        parser.skip_space();
        return Some(if parser.rest().starts_with(b"ERESTART") {
            Outcome::Interrupted
        } else {
            Outcome::None
        });
    }
    let (value, note) = match parser.value(true)? {
        Value::Number(value) => (value, None),
        Value::Fd { number, note } => (number, Some(note)),
        _ => return None,
    };
    parser.skip_space();
    if value == -1 {
        let rest = parser.rest();
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        let name = std::str::from_utf8(&rest[..end]).ok()?;
        return match Errno::from_name(name).filter(|_| name.starts_with('E')) {
            Some(errno) => Some(Outcome::Error(errno)),
            None if name.starts_with('E') => Some(Outcome::Error(Errno::NOSYS)),
            None => Some(Outcome::Value { value, note, extra: Vec::new() }),
        };
    }
    let extra = match parser.take(b"(") {
        true => parser.arguments(b')').unwrap_or_default(),
        false => Vec::new(),
    };
    Some(Outcome::Value { value, note, extra })
}

/// The log's times as time since its beginning.
#[derive(Default)]
struct Clock {
    first: Option<f64>,
    sum: f64,
    now: Duration,
}

impl Clock {
    /// The time of a line. It never goes back; without times a line takes a microsecond.
    fn at(&mut self, time: Option<f64>, number: usize) -> Duration {
        let Some(time) = time else {
            self.now = match self.first {
                Some(_) => self.now,
                None => Duration::from_micros(number as u64),
            };
            return self.now;
        };
        let first = *self.first.get_or_insert(time);
        // With -r each time is since the line before, and the first one is zero.
        let since = if first == 0.0 { self.sum + time } else { time - first };
        self.sum = since.max(0.0);
        // A day at most between two lines: what is more was never a time.
        let since = Duration::try_from_secs_f64(since.max(0.0)).unwrap_or(self.now);
        self.now = since.max(self.now);
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str) -> Log {
        read(text.as_bytes()).expect("a log")
    }

    #[test]
    fn names_are_sorted_for_the_search() {
        assert!(FOLLOWED.is_sorted());
    }

    #[test]
    fn a_call_in_two_lines_is_one_record() {
        let log = log("7 accept4(8<UNIX-STREAM:[1]>,  <unfinished ...>\n\
             8 close(3)          = 0\n\
             7 <... accept4 resumed>{sa_family=AF_UNIX}, [110 => 2], SOCK_CLOEXEC) \
             = 11<UNIX-STREAM:[3->2]>\n");
        assert_eq!(log.records.len(), 2);
        let accept = &log.records[0];
        assert_eq!((accept.begin, accept.end, accept.fd(0)), (1, Some(3), Some(8)));
        assert_eq!(accept.made(), Some((11, "UNIX-STREAM:[3->2]")));
        assert!(accept.cloexec);
        let what: Vec<_> = log.lines.iter().map(|line| line.what.clone()).collect();
        assert_eq!(what, [What::Begin(0), What::Whole(1), What::End(0)]);
    }

    #[test]
    fn threads_without_a_number_get_theirs() {
        let log = log("socket(AF_UNIX, SOCK_STREAM, 0) = 3\n\
             fork(strace: Process 9 attached\n) = 9\n\
             [pid     9] close(3) = 0\n\
             [pid     5] close(3) = 0\n\
             [pid     9] +++ exited with 0 +++\n\
             close(4) = -1 EBADF (Bad file descriptor)\n");
        let threads: Vec<_> = log.lines.iter().map(|line| line.thread).collect();
        assert_eq!(threads, [5, 5, 9, 5, 9, 5]);
        assert_eq!(log.records[4].error(), Some(Errno::BADF));
    }

    #[test]
    fn outcomes_are_told_apart() {
        let of = |text: &str| log(&format!("dup({text}\n")).records[0].outcome.clone();
        assert_eq!(of("3) = ? ERESTARTSYS (To be restarted)"), Outcome::Interrupted);
        assert_eq!(of("3) = ?"), Outcome::None);
        assert_eq!(of("3) = -1 EINVAL (Invalid argument)"), Outcome::Error(Errno::INVAL));
        let value = Outcome::Value { value: 4, note: None, extra: Vec::new() };
        assert_eq!(of("3)              = 4 <0.000012>"), value);
    }

    #[test]
    fn a_cut_line_and_foreign_lines_are_told() {
        let cut = log("close(3) = 0\nhello (world)\nsendto(3, \"abc");
        assert_eq!((cut.cut, cut.foreign), (Some(3), vec![2]));
        assert!(read(b"int main() {\n  return f(3);\n}\n").is_err());
        assert!(read(b"").is_err());
    }

    #[test]
    fn times_begin_at_zero() {
        let at = |text: &str| log(text).lines.last().expect("a line").at;
        assert_eq!(
            at("10:00:00.5 close(1) = 0\n10:00:02.0 close(2) = 0\n"),
            Duration::from_millis(1500)
        );
        assert_eq!(
            at("0.000000 close(1) = 0\n0.25 close(1) = 0\n0.25 close(2) = 0\n"),
            Duration::from_millis(500)
        );
    }
}
