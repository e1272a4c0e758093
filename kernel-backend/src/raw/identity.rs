//! The calls on who a process is, and on what it sees of the machine.

use afunix::{Capabilities, Errno};
use libc::c_int;

use super::file::with_path;
use super::result;

pub(super) fn setresuid(real: u32, effective: u32, saved: u32) -> Result<usize, Errno> {
    // SAFETY: takes numbers alone.
    result(unsafe { libc::setresuid(real, effective, saved) })
}

pub(super) fn setresgid(real: u32, effective: u32, saved: u32) -> Result<usize, Errno> {
    // SAFETY: takes numbers alone.
    result(unsafe { libc::setresgid(real, effective, saved) })
}

pub(super) fn setfsuid(uid: u32) -> usize {
    // SAFETY: takes a number and cannot fail.
    unsafe { libc::setfsuid(uid) as u32 as usize }
}

pub(super) fn setfsgid(gid: u32) -> usize {
    // SAFETY: takes a number and cannot fail.
    unsafe { libc::setfsgid(gid) as u32 as usize }
}

pub(super) fn setgroups(groups: &[u32]) -> Result<usize, Errno> {
    // SAFETY: reads as many numbers as are told, which the slice has.
    result(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })
}

/// `_LINUX_CAPABILITY_VERSION_3`, with two words of 32 bits for each set.
const VERSION: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    pid: c_int,
}

/// `struct __user_cap_data_struct`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

pub(super) fn capset(effective: Capabilities, permitted: Capabilities) -> Result<usize, Errno> {
    let mut header = Header { version: VERSION, pid: 0 };
    let word = |set: Capabilities, at: usize| (set.bits() >> (32 * at)) as u32;
    let data = [0, 1].map(|at| Data {
        effective: word(effective, at),
        permitted: word(permitted, at),
        inheritable: 0,
    });
    // SAFETY: both are laid out as the kernel's; it reads the data and writes only the header.
    result(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) })
}

pub(super) fn capget(
    effective: &mut Capabilities,
    permitted: &mut Capabilities,
) -> Result<usize, Errno> {
    let mut header = Header { version: VERSION, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: both are laid out as the kernel's, with room for what it writes.
    let call = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    result(call)?;
    let join = |low: u32, high: u32| {
        Capabilities::from_bits_retain(u64::from(low) | u64::from(high) << 32)
    };
    *effective = join(data[0].effective, data[1].effective);
    *permitted = join(data[0].permitted, data[1].permitted);
    Ok(0)
}

pub(super) fn chroot(path: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the path ends with a NUL.
    with_path(path, |path| result(unsafe { libc::chroot(path) }))
}

pub(super) fn unshare(flags: i32) -> Result<usize, Errno> {
    if flags & libc::CLONE_NEWNS != 0 && !root_is_of_a_mount()? {
        // It could not be made private below.
        return Err(Errno::INVAL);
    }
    // SAFETY: takes a number.
    let done = result(unsafe { libc::unshare(flags) })?;
    if flags & libc::CLONE_NEWNS != 0 {
        // Without it the first mount would show in the namespace that was left.
        let (kind, root) = (std::ptr::null(), c"/".as_ptr());
        let private = libc::MS_REC | libc::MS_PRIVATE;
        // SAFETY: the path ends with a NUL; null pointers stand for nothing.
        result(unsafe { libc::mount(kind, root, kind, private, std::ptr::null()) })?;
    }
    Ok(done)
}

/// Whether the root directory is the root of a mount: one that chroot chose need not be.
fn root_is_of_a_mount() -> Result<bool, Errno> {
    // SAFETY: numbers alone, for which all zeros are right.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with a NUL, and there is room for what is written.
    let call = unsafe { libc::statx(libc::AT_FDCWD, c"/".as_ptr(), 0, 0, &raw mut found) };
    result(call)?;
    Ok(found.stx_attributes & libc::STATX_ATTR_MOUNT_ROOT as u64 != 0)
}

pub(super) fn mount(target: &[u8], flags: u64, data: &[u8]) -> Result<usize, Errno> {
    let tmpfs = c"tmpfs".as_ptr();
    with_path(target, |target| {
        with_path(data, |data| {
            // SAFETY: all end with a NUL.
            result(unsafe { libc::mount(tmpfs, target, tmpfs, flags, data.cast()) })
        })
    })
}

pub(super) fn umount2(target: &[u8], flags: i32) -> Result<usize, Errno> {
    // SAFETY: the path ends with a NUL.
    with_path(target, |target| result(unsafe { libc::umount2(target, flags) }))
}
