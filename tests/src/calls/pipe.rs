//! Pipes and event counters.

use afunix::{Backend, Call, OpenFlags, Segment, SegmentMut};

use super::Answer;
use crate::raw::fd as number;

/// pipe2(2): the reading end and the writing end.
pub fn pipe2(b: &dyn Backend, flags: i32) -> Answer<(i32, i32)> {
    let mut fds = [-1; 2];
    b.call(&mut Call::Pipe2 { flags: OpenFlags::from_bits_retain(flags), fds: &mut fds })?;
    Ok((fds[0], fds[1]))
}

/// A pipe whose ends do not wait.
///
/// # Panics
/// If there is none to be had.
pub fn pipe(b: &dyn Backend) -> (i32, i32) {
    pipe2(b, OpenFlags::NONBLOCK.bits()).expect("a pipe")
}

/// eventfd2(2).
pub fn eventfd(b: &dyn Backend, count: u32, flags: i32) -> Answer<i32> {
    b.call(&mut Call::Eventfd2 { count, flags }).map(|fd| fd as i32)
}

/// write(2) of eight bytes to an event counter.
pub fn add(b: &dyn Backend, fd: i32, count: u64) -> Answer {
    super::write(b, fd, &count.to_ne_bytes())
}

/// read(2) of an event counter.
pub fn count(b: &dyn Backend, fd: i32) -> Answer<u64> {
    let bytes = super::read(b, fd, 8)?;
    Ok(u64::from_ne_bytes(bytes.try_into().expect("eight bytes")))
}

/// writev(2) of segments that may fault.
pub fn writev_of(b: &dyn Backend, fd: i32, data: &[Segment<'_>]) -> Answer {
    b.call(&mut Call::Writev { fd: number(fd), data, progress: 0 })
}

/// readv(2) into segments that may fault.
pub fn readv_into(b: &dyn Backend, fd: i32, data: &mut [SegmentMut<'_>]) -> Answer {
    b.call(&mut Call::Readv { fd: number(fd), data, progress: 0 })
}
