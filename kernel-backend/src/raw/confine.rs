//! Landlock (landlock(7)): taking from a process, for good, the right to open anything by a path.

use std::ffi::c_int;

use afunix::Errno;

use super::result;

/// `struct landlock_ruleset_attr`, as the first version of the interface had it.
#[repr(C)]
struct RulesetAttr {
    handled_access_fs: u64,
}

/// What is forbidden: executing, writing, reading a file, reading a directory, making a file. The
/// last because open with O_CREAT would make one before it is refused.
const OPENING: u64 = 1 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 8;

/// Confines the calling thread, and whatever it starts. ENOSYS if the kernel has no Landlock, or
/// does not use it.
pub(super) fn confine() -> Result<(), Errno> {
    let attr = RulesetAttr { handled_access_fs: OPENING };
    let (pointer, size) = (std::ptr::from_ref(&attr), size_of_val(&attr));
    // SAFETY: reads a struct of the size that is told.
    let ruleset =
        result(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, pointer, size, 0) });
    let ruleset = match ruleset {
        Ok(number) => number as c_int,
        Err(Errno::OPNOTSUPP) => return Err(Errno::NOSYS),
        Err(errno) => return Err(errno),
    };
    // Without it only the superuser may confine himself.
    // SAFETY: takes numbers alone.
    result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    // SAFETY: takes numbers alone.
    result(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0) })?;
    // SAFETY: it was made above and nobody else knows it.
    result(unsafe { libc::close(ruleset) }).map(drop)
}
