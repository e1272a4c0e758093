//! The file system, as far as names of sockets lie in it.

use afunix::{Call, Errno, Tid};

use super::request::Request;
use super::{Attempt, Look, Seat, State};
use crate::log::value::{CWD, Value};
use crate::raw::fd;
use crate::report::Assumed;

impl State {
    /// Makes the directories that a path leads through, as the superuser. A relative path needs
    /// none: the working directory is there.
    pub(super) fn make_directories(&mut self, path: &[u8]) {
        if path.first() != Some(&b'/') || path.contains(&0) {
            return;
        }
        let slashes = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/');
        for (end, _) in slashes {
            let _ = self.call(Tid(1), &mut Call::Mkdir { path: &path[..end], mode: 0o777 });
        }
    }

    pub(super) fn bind(&mut self, look: Look<'_>, seat: Seat, number: i32) -> Attempt {
        let record = look.record;
        let Some(name) = record.arg(1).and_then(|name| self.name_bytes(name, record.number(2)))
        else {
            return Attempt::Explained;
        };
        let path = name.get(2..).unwrap_or(&[]).split(|byte| *byte == 0).next().unwrap_or(&[]);
        let path = path.to_vec();
        if !path.is_empty() {
            self.make_directories(&path);
            if let Some(attempt) = self.bind_otherwise(look, seat, &path) {
                return attempt;
            }
        }
        let mut call = Call::Bind { fd: fd(number), name: afunix::RawName::Bytes(&name) };
        let result = self.call(seat.tid, &mut call);
        let is_taken = record.error() == Some(Errno::ADDRINUSE) && result == Ok(0);
        if is_taken && path.is_empty() {
            // Somebody outside the log has the abstract name.
            self.assume(look, Assumed::Names);
            self.share(look, seat, number);
            return Attempt::Explained;
        }
        self.told(look, result)
    }

    /// A bind that fails for what was at the path before the log began.
    fn bind_otherwise(&mut self, look: Look<'_>, seat: Seat, path: &[u8]) -> Option<Attempt> {
        let errno = look.record.error()?;
        let of_files = [
            Errno::ACCES,
            Errno::NOENT,
            Errno::NOTDIR,
            Errno::ROFS,
            Errno::PERM,
            Errno::LOOP,
            Errno::NOSPC,
        ];
        let exists = self.exists(seat, path);
        if of_files.contains(&errno) || (errno == Errno::ADDRINUSE && !exists) {
            self.assume(look, Assumed::Files);
            return Some(Attempt::Explained);
        }
        None
    }

    pub(super) fn exists(&mut self, seat: Seat, path: &[u8]) -> bool {
        let stat = &mut afunix::call::Stat::default();
        self.call(seat.tid, &mut Call::Lstat { path, stat }).is_ok()
    }

    /// chdir, umask, unlink and their like: what the log says of them, done to the names that the
    /// model knows.
    pub(super) fn file_call(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let record = look.record;
        if record.name == "umask" {
            if let Some(mask) = record.arg(0).and_then(crate::names::number) {
                let _ = self.call(seat.tid, &mut Call::Umask { mask: mask as u32 & 0o777 });
            }
            return Attempt::Explained;
        }
        if record.value().is_none() {
            return self.file_call_that_fails(look, seat);
        }
        match (record.name.as_str(), record.arg(0)) {
            ("chdir", Some(Value::Bytes { bytes, cut: false })) => {
                let directory = bytes.clone();
                self.go_to(seat, &directory);
            }
            ("fchdir", Some(Value::Fd { note, .. })) => {
                let directory = note.clone().into_bytes();
                self.go_to(seat, &directory);
            }
            ("unlink" | "unlinkat" | "rmdir", _) => {
                if let Some(path) = path_at(look, 0) {
                    let removed = self.call(seat.tid, &mut Call::Unlink { path: &path });
                    if removed.is_err() {
                        let _ = self.call(seat.tid, &mut Call::Rmdir { path: &path });
                    }
                }
            }
            ("rename" | "renameat" | "renameat2", _) => self.rename(look, seat),
            ("link" | "linkat", _) => {
                if let (Some(old), Some(new)) = two_paths(look) {
                    self.make_directories(&new);
                    let _ = self.call(seat.tid, &mut Call::Link { old: &old, new: &new });
                }
            }
            ("symlink" | "symlinkat", Some(Value::Bytes { bytes: target, cut: false })) => {
                if let Some(path) = path_at(look, 1) {
                    self.make_directories(&path);
                    let _ = self.call(seat.tid, &mut Call::Symlink { target, path: &path });
                }
            }
            _ => {}
        }
        Attempt::Explained
    }

    fn rename(&mut self, look: Look<'_>, seat: Seat) {
        let (Some(old), Some(new)) = two_paths(look) else { return };
        self.make_directories(&new);
        match self.exists(seat, &old) {
            true => {
                let _ = self.call(seat.tid, &mut Call::Rename { old: &old, new: &new });
            }
            // A file that the model does not know takes the place of one that it may know.
            false => {
                let _ = self.call(seat.tid, &mut Call::Unlink { path: &new });
            }
        }
    }

    /// A path that the model knows is there.
    fn file_call_that_fails(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let record = look.record;
        let is_unlink = matches!(record.name.as_str(), "unlink" | "unlinkat");
        if is_unlink
            && record.error() == Some(Errno::NOENT)
            && let Some(path) = path_at(look, 0)
            && self.exists(seat, &path)
        {
            return Attempt::Differs("finds the file".into());
        }
        Attempt::Explained
    }

    /// Whether a connect or a send to a path ended by what is at the path, of which the model
    /// knows nothing.
    pub(super) fn ends_by_files(&mut self, look: Look<'_>, seat: Seat, request: &Request) -> bool {
        let of_files = [Errno::ACCES, Errno::NOTDIR, Errno::LOOP, Errno::CONNREFUSED];
        let Some(name) = &request.to else { return false };
        let path = name.get(2..).unwrap_or(&[]).split(|byte| *byte == 0).next().unwrap_or(&[]);
        let errno = look.record.error();
        errno.is_some_and(|errno| of_files.contains(&errno))
            && !path.is_empty()
            && !self.exists(seat, path)
    }
}

/// The path of a call, whose first argument is at `index`, with its directory if it has one.
fn path_at(look: Look<'_>, index: usize) -> Option<Vec<u8>> {
    let record = look.record;
    let (directory, path) = match record.arg(index)? {
        Value::Fd { number, note } if *number != CWD => {
            (note.as_bytes().to_vec(), record.arg(index + 1)?)
        }
        Value::Fd { .. } => (Vec::new(), record.arg(index + 1)?),
        Value::Bytes { .. } => (Vec::new(), record.arg(index)?),
        _ => (Vec::new(), record.arg(index + 1)?),
    };
    let Value::Bytes { bytes, cut: false } = path else { return None };
    Some(match directory.is_empty() || bytes.first() == Some(&b'/') {
        true => bytes.clone(),
        false => [&directory[..], b"/", &bytes[..]].concat(),
    })
}

/// The two paths of a call: each with its directory where the call's name ends in `at`.
fn two_paths(look: Look<'_>) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let second = if look.record.name.contains("at") { 2 } else { 1 };
    (path_at(look, 0), path_at(look, second))
}
