//! Ids, capabilities, mounts and namespaces.

use afunix::{Backend, Call, Capabilities, SegmentMut};

use super::Answer;
use crate::raw::fd as number;

/// An id argument that leaves the id as it is.
pub const KEEP: u32 = u32::MAX;
/// unshare: CLONE_NEWNS.
pub const NEWNS: i32 = 0x20000;
/// unshare: CLONE_NEWNET.
pub const NEWNET: i32 = 0x4000_0000;
/// mount: MS_RDONLY.
pub const RDONLY: u64 = 1;
/// mount: MS_REMOUNT.
pub const REMOUNT: u64 = 32;
/// umount2: MNT_DETACH.
pub const DETACH: i32 = 2;

/// setresuid(2).
pub fn setresuid(b: &dyn Backend, real: u32, effective: u32, saved: u32) -> Answer {
    b.call(&mut Call::Setresuid { real, effective, saved })
}

/// setresgid(2).
pub fn setresgid(b: &dyn Backend, real: u32, effective: u32, saved: u32) -> Answer {
    b.call(&mut Call::Setresgid { real, effective, saved })
}

/// setgroups(2).
pub fn setgroups(b: &dyn Backend, groups: &[u32]) -> Answer {
    b.call(&mut Call::Setgroups { groups })
}

/// setfsuid(2): the old one.
pub fn setfsuid(b: &dyn Backend, uid: u32) -> u32 {
    b.call(&mut Call::Setfsuid { uid }).expect("setfsuid cannot fail") as u32
}

/// setfsgid(2): the old one.
pub fn setfsgid(b: &dyn Backend, gid: u32) -> u32 {
    b.call(&mut Call::Setfsgid { gid }).expect("setfsgid cannot fail") as u32
}

/// capget(2): effective and permitted.
pub fn capget(b: &dyn Backend) -> (Capabilities, Capabilities) {
    let (mut effective, mut permitted) = Default::default();
    b.call(&mut Call::Capget { effective: &mut effective, permitted: &mut permitted })
        .expect("capget of oneself cannot fail");
    (effective, permitted)
}

/// capset(2).
pub fn capset(b: &dyn Backend, effective: Capabilities, permitted: Capabilities) -> Answer {
    b.call(&mut Call::Capset { effective, permitted })
}

/// Goes on without some capabilities; they may be taken up again.
///
/// # Panics
/// If that fails.
pub fn lay_down(b: &dyn Backend, some: Capabilities) {
    let (effective, permitted) = capget(b);
    assert_eq!(capset(b, effective - some, permitted), Ok(0));
}

/// Goes on with these capabilities, and no others.
///
/// # Panics
/// If that fails.
pub fn keep_only(b: &dyn Backend, some: Capabilities) {
    let (_, permitted) = capget(b);
    assert_eq!(capset(b, some, permitted), Ok(0));
}

/// chroot(2).
pub fn chroot(b: &dyn Backend, path: &str) -> Answer {
    b.call(&mut Call::Chroot { path: path.as_bytes() })
}

/// fchdir(2).
pub fn fchdir(b: &dyn Backend, fd: i32) -> Answer {
    b.call(&mut Call::Fchdir { fd: number(fd) })
}

/// readlink(2) into `len` bytes.
pub fn readlink(b: &dyn Backend, path: &str, len: usize) -> Answer<Vec<u8>> {
    let mut bytes = vec![0; len];
    let data = SegmentMut::Bytes(&mut bytes);
    let got = b.call(&mut Call::Readlink { path: path.as_bytes(), data })?;
    bytes.truncate(got);
    Ok(bytes)
}

/// chown(2).
pub fn chown(b: &dyn Backend, path: &str, uid: u32, gid: u32) -> Answer {
    b.call(&mut Call::Chown { path: path.as_bytes(), uid, gid })
}

/// mount(2) of a tmpfs.
pub fn mount(b: &dyn Backend, target: &str, flags: u64, data: &str) -> Answer {
    b.call(&mut Call::Mount { target: target.as_bytes(), flags, data: data.as_bytes() })
}

/// umount2(2) with MNT_DETACH.
pub fn umount(b: &dyn Backend, target: &str) -> Answer {
    b.call(&mut Call::Umount2 { target: target.as_bytes(), flags: DETACH })
}

/// unshare(2).
pub fn unshare(b: &dyn Backend, flags: i32) -> Answer {
    b.call(&mut Call::Unshare { flags })
}

/// A tmpfs over a new directory, in a mount namespace of one's own.
///
/// # Panics
/// If it cannot be had.
pub fn own_mount(b: &dyn Backend, target: &str, data: &str) {
    assert_eq!(unshare(b, NEWNS), Ok(0));
    assert_eq!(super::mkdir(b, target, 0o755), Ok(0));
    assert_eq!(mount(b, target, 0, data), Ok(0));
}

/// What ioctl(2) returns, where it is that which counts.
pub fn ioctl_returns(b: &dyn Backend, fd: i32, request: u32) -> Answer {
    b.call(&mut Call::Ioctl { fd: number(fd), request, value: &mut 0 })
}

/// Writes a setting of sockets.
pub fn set_queue_length(b: &dyn Backend, text: &str) -> Answer {
    let path = "/proc/sys/net/unix/max_dgram_qlen";
    let fd = super::open(b, path, afunix::OpenFlags::WRONLY)?;
    let written = super::write(b, fd, text.as_bytes());
    super::close(b, fd)?;
    written
}
