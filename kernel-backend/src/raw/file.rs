//! The calls on descriptors, files and paths.

use std::ffi::c_char;

use afunix::call::{DirEntry, Fcntl, Stat};
use afunix::net::Fd;
use afunix::{Errno, OpenFlags, SegmentMut};
use libc::c_int;

use super::{memory, result};

pub(super) fn close(fd: Fd<'_>) -> Result<usize, Errno> {
    // SAFETY: whoever made `fd` promised that the caller may close it.
    result(unsafe { libc::close(fd.number()) })
}

pub(super) fn dup(fd: Fd<'_>) -> Result<usize, Errno> {
    // SAFETY: takes numbers alone.
    result(unsafe { libc::dup(fd.number()) })
}

pub(super) fn dup2(fd: Fd<'_>, new: Fd<'_>) -> Result<usize, Errno> {
    // SAFETY: whoever made `new` promised that the caller may put another file there.
    result(unsafe { libc::dup2(fd.number(), new.number()) })
}

pub(super) fn dup3(fd: Fd<'_>, new: Fd<'_>, flags: i32) -> Result<usize, Errno> {
    // SAFETY: as in `dup2`.
    result(unsafe { libc::dup3(fd.number(), new.number(), flags) })
}

/// Which libc lacks.
const F_SETSIG: libc::c_int = 10;
const F_GETSIG: libc::c_int = 11;

pub(super) fn fcntl(fd: Fd<'_>, command: Fcntl) -> Result<usize, Errno> {
    let (command, argument) = match command {
        Fcntl::Dupfd(least) => (libc::F_DUPFD, least),
        Fcntl::DupfdCloexec(least) => (libc::F_DUPFD_CLOEXEC, least),
        Fcntl::Getfd => (libc::F_GETFD, 0),
        Fcntl::Setfd(flags) => (libc::F_SETFD, flags),
        Fcntl::Getfl => (libc::F_GETFL, 0),
        Fcntl::Setfl(flags) => (libc::F_SETFL, flags),
        Fcntl::Setown(who) => (libc::F_SETOWN, who),
        Fcntl::Getown => (libc::F_GETOWN, 0),
        Fcntl::Setsig(signal) => (F_SETSIG, signal),
        Fcntl::Getsig => (F_GETSIG, 0),
    };
    // SAFETY: these commands take a number.
    result(unsafe { libc::fcntl(fd.number(), command, argument) })
}

pub(super) fn lseek(fd: Fd<'_>, offset: u64) -> Result<usize, Errno> {
    // SAFETY: takes numbers alone.
    result(unsafe { libc::lseek(fd.number(), offset as libc::off_t, libc::SEEK_SET) })
}

pub(super) fn fchmod(fd: Fd<'_>, mode: u32) -> Result<usize, Errno> {
    // SAFETY: takes numbers alone.
    result(unsafe { libc::fchmod(fd.number(), mode as libc::mode_t) })
}

pub(super) fn fstat(fd: Fd<'_>, out: &mut Stat) -> Result<usize, Errno> {
    // SAFETY: `stat_with` gives room for a stat.
    stat_with(out, |raw| unsafe { libc::fstat(fd.number(), raw) })
}

pub(super) fn stat(path: &[u8], out: &mut Stat) -> Result<usize, Errno> {
    // SAFETY: the path ends with a NUL; `stat_with` gives room for a stat.
    with_path(path, |path| stat_with(out, |raw| unsafe { libc::stat(path, raw) }))
}

pub(super) fn lstat(path: &[u8], out: &mut Stat) -> Result<usize, Errno> {
    // SAFETY: the path ends with a NUL; `stat_with` gives room for a stat.
    with_path(path, |path| stat_with(out, |raw| unsafe { libc::lstat(path, raw) }))
}

fn stat_with(out: &mut Stat, call: impl FnOnce(*mut libc::stat) -> c_int) -> Result<usize, Errno> {
    // SAFETY: a stat is numbers alone, for all of which 0 is a value.
    let mut raw: libc::stat = unsafe { std::mem::zeroed() };
    let returned = result(call(&mut raw))?;
    *out = Stat {
        dev: raw.st_dev,
        ino: raw.st_ino,
        mode: raw.st_mode,
        nlink: raw.st_nlink as u64,
        uid: raw.st_uid,
        gid: raw.st_gid,
        size: raw.st_size as u64,
        blksize: raw.st_blksize as u64,
    };
    Ok(returned)
}

/// Offsets in `struct linux_dirent64`: the record's length, the type, the name.
const RECORD_LEN: usize = 16;
const TYPE: usize = 18;
const NAME: usize = 19;

pub(super) fn getdents(fd: Fd<'_>, entries: &mut Vec<DirEntry>) -> Result<usize, Errno> {
    let mut buffer = vec![0u8; 32 * 1024];
    let before = entries.len();
    loop {
        let room = buffer.len();
        // SAFETY: the buffer has the room that is told.
        let filled = result(unsafe {
            libc::syscall(libc::SYS_getdents64, fd.number(), buffer.as_mut_ptr(), room)
        })?;
        if filled == 0 {
            return Ok(entries.len() - before);
        }
        let mut rest = &buffer[..filled.min(room)];
        while rest.len() > NAME {
            let len = usize::from(u16::from_ne_bytes([rest[RECORD_LEN], rest[RECORD_LEN + 1]]));
            let Some((record, behind)) = rest.split_at_checked(len) else { break };
            let Some(name) =
                record.get(NAME..).and_then(|name| name.split(|byte| *byte == 0).next())
            else {
                break;
            };
            if name != b"." && name != b".." {
                // The values of d_type are those of S_IFMT, twelve bits lower.
                let file_type = u32::from(record[TYPE]) << 12;
                entries.push(DirEntry { name: name.to_vec(), file_type });
            }
            rest = behind;
        }
    }
}

pub(super) fn open(path: &[u8], flags: OpenFlags, mode: u32) -> Result<usize, Errno> {
    // SAFETY: the path ends with a NUL.
    with_path(path, |path| result(unsafe { libc::open(path, flags.bits(), mode) }))
}

pub(super) fn mkdir(path: &[u8], mode: u32) -> Result<usize, Errno> {
    // SAFETY: the path ends with a NUL.
    with_path(path, |path| result(unsafe { libc::mkdir(path, mode as libc::mode_t) }))
}

pub(super) fn rmdir(path: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the path ends with a NUL.
    with_path(path, |path| result(unsafe { libc::rmdir(path) }))
}

pub(super) fn unlink(path: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the path ends with a NUL.
    with_path(path, |path| result(unsafe { libc::unlink(path) }))
}

pub(super) fn rename(old: &[u8], new: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the paths end with a NUL.
    with_paths(old, new, |old, new| result(unsafe { libc::rename(old, new) }))
}

pub(super) fn link(old: &[u8], new: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the paths end with a NUL.
    with_paths(old, new, |old, new| result(unsafe { libc::link(old, new) }))
}

pub(super) fn symlink(target: &[u8], path: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the paths end with a NUL.
    with_paths(target, path, |target, path| result(unsafe { libc::symlink(target, path) }))
}

pub(super) fn chmod(path: &[u8], mode: u32) -> Result<usize, Errno> {
    // SAFETY: the path ends with a NUL.
    with_path(path, |path| result(unsafe { libc::chmod(path, mode as libc::mode_t) }))
}

pub(super) fn chown(path: &[u8], uid: u32, gid: u32) -> Result<usize, Errno> {
    // SAFETY: the path ends with a NUL.
    with_path(path, |path| result(unsafe { libc::chown(path, uid, gid) }))
}

pub(super) fn chdir(path: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the path ends with a NUL.
    with_path(path, |path| result(unsafe { libc::chdir(path) }))
}

pub(super) fn fchdir(fd: Fd<'_>) -> Result<usize, Errno> {
    // SAFETY: takes a number.
    result(unsafe { libc::fchdir(fd.number()) })
}

pub(super) fn readlink(path: &[u8], data: &mut SegmentMut<'_>) -> Result<usize, Errno> {
    let data = memory::segment_mut(data);
    with_path(path, |path| {
        // SAFETY: the path ends with a NUL; the segment is borrowed for writing, or faults.
        result(unsafe { libc::readlink(path, data.iov_base.cast(), data.iov_len) } as i64)
    })
}

/// Runs a call with `path` and the NUL behind it; of a path with a NUL inside the kernel sees the
/// beginning.
pub(super) fn with_path<R>(path: &[u8], call: impl FnOnce(*const c_char) -> R) -> R {
    let mut terminated = Vec::with_capacity(path.len() + 1);
    terminated.extend_from_slice(path);
    terminated.push(0);
    call(terminated.as_ptr().cast())
}

fn with_paths<R>(
    first: &[u8],
    second: &[u8],
    call: impl FnOnce(*const c_char, *const c_char) -> R,
) -> R {
    with_path(first, |first| with_path(second, |second| call(first, second)))
}
