//! The memory of the program (process_vm_readv(2)).

use afunix::Errno;
use afunix::control::RawControl;

use super::check;

/// A piece of the program's memory: address and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) address: u64,
    pub(crate) len: usize,
}

/// Most pieces of one call.
const SPANS_MAX: usize = 1024;

/// Copies out of the program as far as its memory can be read, and `into` has room. Returns how
/// many bytes.
pub(crate) fn read(tid: i32, spans: &[Span], into: &mut [u8]) -> usize {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: `into` is room for as many bytes as are said; the other side is another process's.
    transfer(spans, into.len(), |remote| unsafe {
        libc::process_vm_readv(tid, &local, 1, remote.as_ptr(), remote.len() as u64, 0)
    })
}

/// Copies `bytes` into the program as far as its memory can be written. Returns how many bytes.
pub(crate) fn write(tid: i32, spans: &[Span], bytes: &[u8]) -> usize {
    let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: `bytes` are only read; the other side is another process's.
    transfer(spans, bytes.len(), |remote| unsafe {
        libc::process_vm_writev(tid, &local, 1, remote.as_ptr(), remote.len() as u64, 0)
    })
}

fn transfer(spans: &[Span], len: usize, call: impl Fn(&[libc::iovec]) -> isize) -> usize {
    if len == 0 {
        return 0;
    }
    let mut left = len;
    let mut remote = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; 8];
    let mut many = Vec::new();
    let remote = if spans.len() <= remote.len() {
        &mut remote[..spans.len()]
    } else {
        many.resize(spans.len().min(SPANS_MAX), remote[0]);
        &mut many[..]
    };
    for (to, span) in remote.iter_mut().zip(spans) {
        let len = span.len.min(left);
        left -= len;
        *to = libc::iovec { iov_base: span.address as *mut libc::c_void, iov_len: len };
    }
    check(call(remote) as i64).unwrap_or(0) as usize
}

/// All of a piece; EFAULT.
pub(crate) fn read_bytes(tid: i32, address: u64, into: &mut [u8]) -> Result<(), Errno> {
    let all = Span { address, len: into.len() };
    if read(tid, &[all], into) == into.len() { Ok(()) } else { Err(Errno::FAULT) }
}

/// All of a piece; EFAULT.
pub(crate) fn write_bytes(tid: i32, address: u64, bytes: &[u8]) -> Result<(), Errno> {
    let all = Span { address, len: bytes.len() };
    if write(tid, &[all], bytes) == bytes.len() { Ok(()) } else { Err(Errno::FAULT) }
}

/// Whether a byte can be written: what is there is written again.
pub(crate) fn is_writable(tid: i32, address: u64) -> bool {
    let mut byte = [0];
    read_bytes(tid, address, &mut byte).is_ok() && write_bytes(tid, address, &byte).is_ok()
}

/// Control data of the program. Its numbers are looked up in the program's table.
pub(crate) fn control(bytes: &[u8]) -> RawControl<'_> {
    // SAFETY: nobody uses the numbers as the supervisor's own descriptors.
    unsafe { RawControl::from_bytes(bytes) }
}

/// An `int`; EFAULT.
pub(crate) fn read_int(tid: i32, address: u64) -> Result<i32, Errno> {
    let mut bytes = [0; 4];
    read_bytes(tid, address, &mut bytes)?;
    Ok(i32::from_ne_bytes(bytes))
}
