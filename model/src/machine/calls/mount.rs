//! Calls on what a process sees of the machine: mounts and namespaces.

use afunix::{Capabilities, Errno};

use super::super::file::Kind;
use super::super::fs::{MountOptions, PAGE};
use super::super::{Access, Cx, Machine, Object};
use super::path::walker;

/// MS_RDONLY.
const READ_ONLY: u64 = 1;
/// MS_REMOUNT.
const REMOUNT: u64 = 32;
/// MNT_DETACH.
const DETACH: i32 = 2;
/// CLONE_NEWNS.
const NEW_MOUNTS: i32 = 0x20000;
/// CLONE_NEWNET.
const NEW_NETWORK: i32 = 0x4000_0000;

impl Machine {
    /// mount(2) of a tmpfs. In order: what the path says, EPERM, EINVAL, ENOTDIR.
    pub(super) fn mount(
        &mut self,
        cx: Cx,
        target: &[u8],
        flags: u64,
        data: &[u8],
    ) -> Result<usize, Errno> {
        let caller = walker(&self.processes, cx);
        let inode = self.tree.resolve(&caller, target, true)?;
        caller.who.needs(Capabilities::SYS_ADMIN)?;
        if flags & !(READ_ONLY | REMOUNT) != 0 {
            return Err(Errno::INVAL);
        }
        let mut options = parse(data)?;
        options.read_only |= flags & READ_ONLY != 0;
        if flags & REMOUNT != 0 {
            self.tree.mounted_root(&caller, inode)?;
            if options.read_only && self.is_being_changed(self.tree[inode].fs) {
                return Err(Errno::BUSY);
            }
            return self.tree.remount(&caller, inode, options).map(|()| 0);
        }
        if !self.tree[inode].is_directory() {
            return Err(Errno::NOTDIR);
        }
        self.tree.mount(&caller, inode, options);
        Ok(0)
    }

    /// Whether a file of the file system is open for writing, or an inode waits for its last hold
    /// to end, which will take it away.
    fn is_being_changed(&self, fs: u32) -> bool {
        let is_written = self.files.values().any(|file| match file.kind {
            Kind::Inode(inode) => file.may_write() && self.tree[inode].fs == fs,
            _ => false,
        });
        is_written || self.tree.inodes().any(|(_, inode)| inode.fs == fs && inode.nlink == 0)
    }

    /// umount2(2). In order: EINVAL for a flag that is not known here, what the path says, EPERM,
    /// EINVAL; without MNT_DETACH, EBUSY.
    pub(super) fn umount2(&mut self, cx: Cx, target: &[u8], flags: i32) -> Result<usize, Errno> {
        if flags & !DETACH != 0 {
            return Err(Errno::INVAL);
        }
        let caller = walker(&self.processes, cx);
        let inode = self.tree.resolve(&caller, target, true)?;
        caller.who.needs(Capabilities::SYS_ADMIN)?;
        self.tree.umount(&caller, inode, flags & DETACH != 0).map(|()| 0)
    }

    /// unshare(2). EINVAL for what it does not know, and for mounts if the root directory is not
    /// that of one; EPERM without CAP_SYS_ADMIN.
    pub(super) fn unshare(&mut self, cx: Cx, flags: i32) -> Result<usize, Errno> {
        if flags & !(NEW_MOUNTS | NEW_NETWORK) != 0 {
            return Err(Errno::INVAL);
        }
        if flags == 0 {
            return Ok(0);
        }
        if flags & NEW_MOUNTS != 0 {
            self.touch(Object::Mounts, Access::Write);
            if !self.tree.root_is_of_a_mount(&walker(&self.processes, cx)) {
                return Err(Errno::INVAL);
            }
        }
        self.process(cx).identity.needs(Capabilities::SYS_ADMIN)?;
        self.touch_settings(cx);
        if flags & NEW_MOUNTS != 0 {
            let old = self.process(cx).mounts;
            let new = self.tree.copy_namespace(old);
            self.tree.join_namespace(new);
            self.process_mut(cx).mounts = new;
            self.tree.leave_namespace(old);
        }
        if flags & NEW_NETWORK != 0 {
            let new = self.next_netns;
            self.next_netns += 1;
            self.process_mut(cx).netns = new;
        }
        Ok(0)
    }
}

/// The options of a tmpfs: EINVAL for one that is not known here.
fn parse(data: &[u8]) -> Result<MountOptions, Errno> {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let text = str::from_utf8(&data[..end]).map_err(|_| Errno::INVAL)?;
    let mut options = MountOptions { mode: 0o1777, ..MountOptions::default() };
    for option in text.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            None if option == "ro" => options.read_only = true,
            None if option == "rw" => options.read_only = false,
            Some(("size", size)) => {
                options.pages_max = limit(size)?.map(|bytes| bytes.div_ceil(PAGE));
            }
            Some(("nr_inodes", count)) => options.inodes_max = limit(count)?,
            Some(("mode", mode)) => {
                let mode = u32::from_str_radix(mode, 8).map_err(|_| Errno::INVAL)?;
                options.mode = mode & 0o7777;
            }
            _ => return Err(Errno::INVAL),
        }
    }
    Ok(options)
}

/// A number with `k`, `m` or `g` behind it; 0 is no limit.
fn limit(text: &str) -> Result<Option<u64>, Errno> {
    let (digits, shift) = match text.as_bytes().last().map(u8::to_ascii_lowercase) {
        Some(b'k') => (&text[..text.len() - 1], 10),
        Some(b'm') => (&text[..text.len() - 1], 20),
        Some(b'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u32 = digits.parse().map_err(|_| Errno::INVAL)?;
    let number = u64::from(number) << shift;
    Ok((number > 0).then_some(number))
}
