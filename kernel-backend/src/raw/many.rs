//! The calls that move many messages at once.

use std::time::Duration;

use afunix::call::{RecvHeader, SendHeader};
use afunix::net::Fd;
use afunix::{Errno, RecvFlags, SendFlags};
use libc::{iovec, mmsghdr};

use super::data::{header, timespec};
use super::memory::{self, NamePlace};
use super::result;

pub(super) fn sendmmsg(
    fd: Fd<'_>,
    messages: &mut [SendHeader<'_>],
    flags: SendFlags,
) -> Result<usize, Errno> {
    let mut lists: Vec<Vec<iovec>> =
        messages.iter().map(|one| one.data.iter().map(memory::segment).collect()).collect();
    let mut headers: Vec<mmsghdr> = Vec::with_capacity(messages.len());
    for (one, list) in messages.iter().zip(&mut lists) {
        let mut message = header();
        let (name, name_len) = memory::name(one.name);
        message.msg_name = name.cast_mut().cast();
        message.msg_namelen = name_len;
        match one.control.bytes() {
            Ok([]) => {}
            Ok(bytes) => {
                message.msg_control = bytes.as_ptr().cast_mut().cast();
                message.msg_controllen = bytes.len() as _;
            }
            Err(len) => {
                message.msg_control = memory::faulting();
                message.msg_controllen = len as _;
            }
        }
        message.msg_iov = list.as_mut_ptr();
        message.msg_iovlen = list.len() as _;
        headers.push(mmsghdr { msg_hdr: message, msg_len: 0 });
    }
    // SAFETY: as in `sendmsg`, for each of as many headers as are told.
    let returned = result(unsafe {
        libc::sendmmsg(fd.number(), headers.as_mut_ptr(), headers.len() as _, flags.bits() as _)
    });
    for (one, header) in messages.iter_mut().zip(&headers).take(returned.unwrap_or(0)) {
        one.len = header.msg_len as usize;
    }
    returned
}

pub(super) fn recvmmsg(
    fd: Fd<'_>,
    messages: &mut [RecvHeader<'_>],
    flags: RecvFlags,
    timeout: Option<Duration>,
) -> Result<usize, Errno> {
    let mut lists: Vec<Vec<iovec>> = messages
        .iter_mut()
        .map(|one| one.data.iter_mut().map(memory::segment_mut).collect())
        .collect();
    let mut places: Vec<NamePlace> =
        messages.iter_mut().map(|one| NamePlace::of(&mut one.name)).collect();
    let mut headers: Vec<mmsghdr> = Vec::with_capacity(messages.len());
    for ((one, list), place) in messages.iter_mut().zip(&mut lists).zip(&mut places) {
        let mut message = header();
        if !place.len_pointer().is_null() {
            message.msg_name = place.name.cast();
            message.msg_namelen = place.len;
        }
        match &mut one.control.buffer {
            Ok([]) => {}
            Ok(buffer) => {
                message.msg_control = buffer.as_mut_ptr().cast();
                message.msg_controllen = buffer.len() as _;
            }
            Err(len) => {
                message.msg_control = memory::faulting();
                message.msg_controllen = *len as _;
            }
        }
        message.msg_iov = list.as_mut_ptr();
        message.msg_iovlen = list.len() as _;
        headers.push(mmsghdr { msg_hdr: message, msg_len: 0 });
    }
    let mut timeout = timeout.map(timespec);
    let timeout = timeout.as_mut().map_or(std::ptr::null_mut(), std::ptr::from_mut);
    let (list, count) = (headers.as_mut_ptr(), headers.len() as _);
    // SAFETY: as in `recvmsg`, for each of as many headers as are told; the timeout is null or is
    // on the stack.
    let returned =
        result(unsafe { libc::recvmmsg(fd.number(), list, count, flags.bits() as _, timeout) });
    let done = messages.iter_mut().zip(&headers).zip(&mut places);
    for ((one, header), place) in done.take(returned.unwrap_or(0)) {
        place.len = header.msg_hdr.msg_namelen;
        one.name.reported = place.reported(true);
        one.control.len = header.msg_hdr.msg_controllen as _;
        one.flags_out = RecvFlags::from_bits_retain(header.msg_hdr.msg_flags);
        one.len = header.msg_len as usize;
    }
    returned
}
