//! What /proc lists of sockets, as files: /proc/net/unix and the fdinfo of the caller's own
//! descriptors.
//!
//! A listing is made when it is opened: a file without a name that holds the text, which nobody
//! may write.

use std::fmt::Write;

use afunix::snapshot::Snapshot;
use afunix::{Errno, OpenFlags};

use super::super::file::{FileId, Kind};
use super::super::fs::{Content, InodeId};
use super::super::{Access, Cx, Machine, Object};

const NET_UNIX: &[u8] = b"/proc/net/unix";
const OWN_DETAILS: &[u8] = b"/proc/self/fdinfo/";
/// The one file system, as fdinfo numbers it.
const MOUNT: u32 = 1;
/// O_CLOEXEC, which fdinfo shows with the status flags.
const CLOEXEC: i32 = OpenFlags::CLOEXEC.bits();

impl Machine {
    /// The text of a listing; ENOENT for the details of a number that is not open. `None`: it is
    /// another path.
    pub(super) fn listing(&mut self, cx: Cx, path: &[u8]) -> Option<Result<String, Errno>> {
        if self.process(cx).root != self.tree.root() {
            return None;
        }
        let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
        let path = &path[..end];
        if path == NET_UNIX {
            return Some(Ok(self.list_sockets(cx)));
        }
        let number: i32 = str::from_utf8(path.strip_prefix(OWN_DETAILS)?).ok()?.parse().ok()?;
        self.touch(Object::Descriptor(cx.pid, number), Access::Read);
        let found = self.process(cx).descriptors.get(number).map_err(|_| Errno::NOENT);
        Some(found.map(|descriptor| {
            let flags = if descriptor.cloexec { CLOEXEC } else { 0 };
            self.describe(descriptor.file, flags)
        }))
    }

    /// A file that holds a listing: EEXIST, ENOTDIR, EACCES.
    pub(super) fn open_listing(
        &mut self,
        cx: Cx,
        text: String,
        flags: OpenFlags,
    ) -> Result<InodeId, Errno> {
        if flags.contains(OpenFlags::CREAT | OpenFlags::EXCL) {
            return Err(Errno::EXIST);
        }
        if flags.contains(OpenFlags::DIRECTORY) {
            return Err(Errno::NOTDIR);
        }
        if flags.bits() & 3 != 0 || flags.contains(OpenFlags::TRUNC) {
            return Err(Errno::ACCES);
        }
        super::path::walker(&self.processes, cx).may_touch_paths()?;
        let content = Content::Regular(text.into_bytes().into());
        self.tree.unnamed(content, 0o444)
    }

    /// OPT 8, 13.
    fn list_sockets(&mut self, cx: Cx) -> String {
        let netns = super::caller(&self.processes, cx).netns;
        let listed = self.sockets.list(netns);
        let snapshot = Snapshot { sockets: self.sockets.snapshot(), ..Snapshot::default() };
        snapshot.proc_net_unix().only(&listed).to_string()
    }

    /// fdinfo, with the count of files in flight to a socket (OPT 8).
    fn describe(&mut self, file: FileId, more_flags: i32) -> String {
        self.touch(Object::File(file), Access::Read);
        let state = &self.files[file];
        let (flags, offset, kind) = (state.status.bits() | more_flags, state.offset, state.kind);
        let ino = match kind {
            Kind::Socket(socket) => self.sockets.id(socket),
            Kind::Pipe(pipe) => self.pipes[pipe].ino(),
            _ => kind.inode().map_or(0, |inode| self.tree[inode].ino),
        };
        let mut text =
            format!("pos:\t{offset}\nflags:\t0{flags:o}\nmnt_id:\t{MOUNT}\nino:\t{ino}\n");
        if let Kind::Socket(socket) = kind {
            let _ = writeln!(text, "scm_fds: {}", self.sockets.files_in_flight_to(socket));
        }
        text
    }
}
