//! What the log as a whole tells, beside its calls one by one.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::value::{Field, Value};
use crate::log::{Log, What, is_spawn};

/// What can be known only by reading the whole log first.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Inode numbers of the sockets that were made in the log.
    made: BTreeSet<u64>,
    /// The names that are bound in the log: its last part for a path, and the line where the first
    /// such bind begins.
    bound: BTreeMap<Vec<u8>, usize>,
    /// Inode numbers of listeners to which others connect.
    visited: BTreeSet<u64>,
    /// The threads that have lines in the log.
    threads: BTreeSet<i32>,
    /// The user and the group of a process when it begins, as far as anything tells.
    users: BTreeMap<i32, (u32, u32)>,
    /// The working directory of a thread when its lines begin.
    directories: BTreeMap<i32, Vec<u8>>,
    /// A byte that stands for those which the log does not show.
    pub(crate) wild: u8,
}

impl Facts {
    pub(crate) fn of(log: &Log) -> Facts {
        let mut facts = Facts { wild: log.used.unused(), ..Facts::default() };
        facts.threads = log.lines.iter().map(|line| line.thread).collect();
        for record in &log.records {
            if record.name == "bind"
                && let Some(Value::Bytes { bytes, .. }) = record.arg(1).and_then(sun_path)
            {
                facts.bound.entry(last_part(bytes)).or_insert(record.begin);
            }
            if matches!(record.name.as_str(), "socket" | "accept" | "accept4")
                && let Some((_, note)) = record.made()
                && let Some((socket, _)) = sockets_of(note)
            {
                facts.made.insert(socket);
            }
            if record.name == "socketpair" {
                facts
                    .made
                    .extend(noted(record.arg(3)).filter_map(|note| Some(sockets_of(note)?.0)));
            }
            facts.learn_user(record);
            if let Some(directory) = directory_of(record) {
                facts.directories.entry(record.thread).or_insert(directory);
            }
        }
        for record in log.records.iter().filter(|record| record.name.starts_with("accept")) {
            if let (Some(listener), Some((_, made))) = (record.note(0), record.made())
                && let (Some((listener, _)), Some((_, Some(peer)))) =
                    (sockets_of(listener), sockets_of(made))
                && !facts.made.contains(&peer)
            {
                facts.visited.insert(listener);
            }
        }
        facts
    }

    fn learn_user(&mut self, record: &crate::log::Record) {
        let id = record.value().and_then(|value| u32::try_from(value).ok());
        match (record.name.as_str(), id) {
            ("getuid" | "geteuid", Some(id)) => self.user(record.thread, Some(id), None),
            ("getgid" | "getegid", Some(id)) => self.user(record.thread, None, Some(id)),
            _ => {}
        }
        for field in &record.args {
            self.learn_credentials(&field.value);
        }
    }

    /// `{pid=12, uid=0, gid=0}`, wherever it stands.
    fn learn_credentials(&mut self, value: &Value) {
        match value {
            Value::Struct(fields) => {
                let of = |name| value.field(name).and_then(Value::number);
                if let (Some(pid), Some(uid), Some(gid)) = (of("pid"), of("uid"), of("gid")) {
                    self.user(pid as i32, u32::try_from(uid).ok(), u32::try_from(gid).ok());
                }
                fields.iter().for_each(|field: &Field| self.learn_credentials(&field.value));
            }
            Value::Array(items) => items.iter().for_each(|item| self.learn_credentials(item)),
            Value::Change(before, after) => {
                self.learn_credentials(before);
                self.learn_credentials(after);
            }
            _ => {}
        }
    }

    fn user(&mut self, process: i32, uid: Option<u32>, gid: Option<u32>) {
        let known = self.users.entry(process).or_insert((u32::MAX, u32::MAX));
        let first = |known: u32, new: Option<u32>| {
            if known == u32::MAX { new.unwrap_or(known) } else { known }
        };
        *known = (first(known.0, uid), first(known.1, gid));
    }

    /// The user and the group of a process that was there before the log; the superuser's if
    /// nothing tells.
    pub(crate) fn user_of(&self, process: i32) -> (u32, u32) {
        let (uid, gid) = self.users.get(&process).copied().unwrap_or_default();
        let known = |id: u32| if id == u32::MAX { 0 } else { id };
        (known(uid), known(gid))
    }

    pub(crate) fn directory_of(&self, thread: i32) -> Option<&[u8]> {
        self.directories.get(&thread).map(Vec::as_slice)
    }

    /// Whether a socket was made in the log.
    pub(crate) fn is_made(&self, socket: u64) -> bool {
        self.made.contains(&socket)
    }

    /// Whether processes outside of the log connect to a listener.
    pub(crate) fn is_visited(&self, listener: u64) -> bool {
        self.visited.contains(&listener)
    }

    /// Whether a name is bound by a call of the log that begins before a line.
    pub(crate) fn is_bound_before(&self, name: &[u8], line: usize) -> bool {
        self.bound.get(&last_part(name)).is_some_and(|begin| *begin <= line)
    }

    /// Whether a thread has lines in the log.
    pub(crate) fn has_thread(&self, thread: i32) -> bool {
        self.threads.contains(&thread)
    }

    /// For each line, whether it is the last one of its thread, and how that thread ends if a
    /// signal ends it: the end may have come at any time since.
    pub(crate) fn ends(log: &Log) -> BTreeMap<usize, (i32, usize)> {
        let mut last: BTreeMap<i32, usize> = BTreeMap::new();
        let mut ends = BTreeMap::new();
        for (index, line) in log.lines.iter().enumerate() {
            if matches!(line.what, What::Gone(_)) {
                let since = last.get(&line.thread).copied().unwrap_or(index);
                ends.insert(since, (line.thread, index));
            }
            last.insert(line.thread, index);
        }
        ends
    }

    /// The threads that a call of the log starts.
    pub(crate) fn starts(log: &Log) -> BTreeMap<i32, usize> {
        let spawns = log.records.iter().enumerate().filter(|(_, record)| is_spawn(&record.name));
        spawns.filter_map(|(index, record)| Some((record.value()? as i32, index))).collect()
    }
}

/// The inode numbers of the socket that a descriptor stands for, and of its peer.
pub(crate) fn sockets_of(note: &str) -> Option<(u64, Option<u64>)> {
    let inner = match note.strip_prefix("socket:[") {
        Some(inner) => inner,
        None => note.strip_prefix("UNIX")?.split_once(":[")?.1,
    };
    let digits = |text: &str| {
        let end = text.find(|byte: char| !byte.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse::<u64>().ok()
    };
    let peer =
        inner.split_once("->").filter(|(own, _)| own.bytes().all(|byte| byte.is_ascii_digit()));
    Some((digits(inner)?, peer.and_then(|(_, peer)| digits(peer))))
}

/// The path or abstract name of a printed `struct sockaddr_un`.
pub(crate) fn sun_path(name: &Value) -> Option<&Value> {
    name.after().field("sun_path")
}

/// What stands behind the descriptors in an array.
fn noted(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let items = value.and_then(Value::items).unwrap_or(&[]);
    items.iter().filter_map(Value::note)
}

fn last_part(name: &[u8]) -> Vec<u8> {
    match name.first() {
        Some(0) | None => name.to_vec(),
        Some(_) => name.rsplit(|byte| *byte == b'/').next().unwrap_or(name).to_vec(),
    }
}

/// The working directory, where a call tells it.
fn directory_of(record: &crate::log::Record) -> Option<Vec<u8>> {
    let cwd = record.args.iter().find_map(|field| match &field.value {
        Value::Fd { number: crate::log::value::CWD, note } => Some(note.as_bytes().to_vec()),
        _ => None,
    });
    cwd.or_else(|| match (record.name.as_str(), record.arg(0)) {
        ("getcwd", Some(Value::Bytes { bytes, cut: false })) => Some(bytes.clone()),
        _ => None,
    })
}
