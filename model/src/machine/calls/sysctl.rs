//! The one setting of sockets that is a file: net.unix.max_dgram_qlen of the caller's network
//! namespace.

use afunix::{Capabilities, Errno, OpenFlags};

use super::super::fs::{Content, InodeId};
use super::super::{Cx, Machine};

const QUEUE_LENGTH: &[u8] = b"/proc/sys/net/unix/max_dgram_qlen";

impl Machine {
    /// The file of a setting: EEXIST, ENOTDIR, EACCES. `None`: it is another path.
    pub(super) fn open_setting(
        &mut self,
        cx: Cx,
        path: &[u8],
        flags: OpenFlags,
    ) -> Option<Result<InodeId, Errno>> {
        let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
        let (path, process) = (&path[..end], self.process(cx));
        if path != QUEUE_LENGTH || process.root != self.tree.root() {
            return None;
        }
        let writes = flags.bits() & 3 != 0 || flags.contains(OpenFlags::TRUNC);
        let identity = &process.identity;
        let may_write = identity.uid.effective == 0 || identity.has(Capabilities::NET_ADMIN);
        let opened = match () {
            () if flags.contains(OpenFlags::CREAT | OpenFlags::EXCL) => Err(Errno::EXIST),
            () if flags.contains(OpenFlags::DIRECTORY) => Err(Errno::NOTDIR),
            () if writes && !may_write => Err(Errno::ACCES),
            () => self.tree.unnamed(Content::QueueLength { netns: process.netns }, 0o644),
        };
        Some(opened)
    }

    /// The number in decimal and a newline.
    pub(super) fn setting_text(&mut self, netns: u32) -> Vec<u8> {
        format!("{}\n", self.sockets.max_dgram_qlen(netns)).into()
    }

    /// Writes a setting at its beginning: EINVAL for what is no number.
    pub(super) fn write_setting(&mut self, netns: u32, text: &[u8]) -> Result<(), Errno> {
        let text = str::from_utf8(text.trim_ascii()).map_err(|_| Errno::INVAL)?;
        let value: i32 = text.parse().map_err(|_| Errno::INVAL)?;
        self.sockets.set_max_dgram_qlen(netns, value);
        Ok(())
    }
}
