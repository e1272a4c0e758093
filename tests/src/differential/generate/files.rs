//! Calls by path, and on what they open.

use super::arguments::{FILES, PATHS};
use super::*;

impl Maker<'_> {
    pub(super) fn files(&mut self) {
        let path = if self.one_in(4) { self.pick(&PATHS) } else { self.pick(&FILES) };
        let mode = self.pick(&[0o644, 0o600, 0o666, 0o777, 0o000, 0o755]);
        let call = match self.below(24) {
            0..=2 => PathCall::Mkdir(mode),
            3 => PathCall::Rmdir,
            4..=7 => PathCall::Unlink,
            8..=9 => PathCall::Rename(self.pick(&FILES)),
            10 => PathCall::Link(self.pick(&FILES)),
            11 => PathCall::Symlink(self.pick(&FILES)),
            12..=13 => PathCall::Chmod(mode),
            14 => {
                let ids = [0, self.stranger, self.stranger + 1, COMMON, u32::MAX];
                PathCall::Chown(self.pick(&ids), self.pick(&ids))
            }
            15..=16 => PathCall::Stat,
            17 => PathCall::Lstat,
            18..=19 => return self.open(path, mode),
            20..=21 => {
                let fd = self.any();
                let request = self.pick(&[
                    Request::Fstat { fd },
                    Request::Fchmod { fd, mode },
                    Request::Lseek { fd, offset: 0 },
                    Request::Getdents { fd },
                ]);
                self.add(request);
                return;
            }
            22 => return self.change_directory(),
            _ => {
                let mask = self.pick(&[0o022, 0o022, 0, 0o077, 0o777]);
                self.add(Request::Umask { mask });
                return;
            }
        };
        self.add(Request::Path { path, call });
    }

    fn open(&mut self, path: &'static str, mode: u32) {
        let access = self.pick(&[0, 1, 2, 2]);
        let how = self.pick(&[0o100, 0o100, 0o300, 0, 0o2100, 0o1000, 0o200000, 0o10000000]);
        let into = self.slot();
        self.add(Request::Open { path, flags: access | how, mode, into });
        let (fd, piece) =
            (Slot::Made(into), Piece { len: self.pick(&[1, 10, 5000]), faults: false });
        if self.one_in(2) {
            self.add(Request::Send { fd, by: SendBy::Write, data: vec![piece], flags: 0 });
        }
        if self.one_in(2) {
            self.add(Request::Lseek { fd, offset: 0 });
            let by = ReceiveBy::Read;
            self.add(Request::Receive { fd, by, data: vec![piece], flags: 0, into: UNUSED });
        }
    }

    /// Down into a directory, or up again, never above the program's own.
    pub(super) fn change_directory(&mut self) {
        let up = self.depths[self.process] > 0 && self.one_in(2);
        let path = if up { ".." } else { self.pick(&["d", "d", ".", "d/..", "no", "f0", "s0"]) };
        if self.add(Request::Chdir { path }) {
            let depth = &mut self.depths[self.process];
            *depth = if up { *depth - 1 } else { *depth + usize::from(path == "d") };
        }
    }

    /// A handle on a path, to be connected or sent to whatever becomes of the path (CONNECT 12).
    pub(super) fn handle(&mut self) {
        let named = self.names.iter().filter_map(|(_, name)| match name {
            Name::Path(path) => Some(*path),
            _ => None,
        });
        let named: Vec<&'static str> = named.collect();
        let path = if named.is_empty() { self.pick(&PATHS) } else { self.pick(&named) };
        let into = self.slot();
        let flags = self.pick(&[0o10000000, 0o10000000, 0o12000000, 0]);
        self.add(Request::Open { path, flags, mode: 0, into });
        if self.one_in(2) {
            self.add(Request::Path { path, call: PathCall::Unlink });
        }
        let slot = if self.one_in(6) { self.any() } else { Slot::Made(into) };
        // What the console is on the kernel is none of our affair.
        let slot = if slot == Slot::Console { Slot::Negative } else { slot };
        let (fd, kind) = self.find(Pick::Fresh);
        let name = Name::Handle(slot);
        match self.below(6) {
            0 => self.bind(fd, kind, name),
            1 if kind == 2 => {
                let data = vec![Piece { len: 3, faults: false }];
                let by = SendBy::Sendto(name);
                self.add(Request::Send { fd, by, data, flags: DONTWAIT });
            }
            _ => {
                self.add(Request::Connect { fd, name });
            }
        }
    }
}
