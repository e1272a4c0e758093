//! sendmmsg and recvmmsg.

use std::time::Duration;

use afunix::call::{RecvHeader, SendHeader};
use afunix::control::{ControlOut, RawControl};
use afunix::{Backend, Call, NameOut, RawName, RecvFlags, Segment, SegmentMut, SendFlags};

use super::{Answer, Message};
use crate::raw::fd as number;

/// sendmmsg(2) of messages without names: how much was sent of each that was.
pub fn sendmmsg(b: &dyn Backend, fd: i32, data: &[Segment<'_>], flags: i32) -> Answer<Vec<usize>> {
    let mut messages = Vec::new();
    for one in data {
        let (name, control) = (RawName::NONE, RawControl::NONE);
        messages.push(SendHeader { name, data: vec![*one], control, len: 0 });
    }
    let flags = SendFlags::from_bits_retain(flags);
    let messages_in = &mut messages[..];
    let mut call = Call::Sendmmsg { fd: number(fd), messages: messages_in, flags, progress: 0 };
    let count = b.call(&mut call)?;
    Ok(messages.iter().take(count).map(|message| message.len).collect())
}

/// recvmmsg(2) into one buffer of `len` bytes for each of `count` messages; that of number `fault`
/// cannot be written. The messages that came.
pub fn recvmmsg(
    b: &dyn Backend,
    fd: i32,
    (count, len): (usize, usize),
    fault: Option<usize>,
    flags: i32,
    timeout: Option<Duration>,
) -> Answer<Vec<Message>> {
    let (mut data, mut room) = (vec![vec![0; len]; count], vec![[0; 64]; count]);
    let mut messages: Vec<RecvHeader<'_>> = Vec::new();
    for (index, (data, room)) in data.iter_mut().zip(&mut room).enumerate() {
        let data = match fault {
            Some(fault) if fault == index => SegmentMut::Fault(len),
            _ => SegmentMut::Bytes(data),
        };
        messages.push(RecvHeader {
            name: NameOut::new(),
            data: vec![data],
            control: ControlOut::new(room),
            flags_out: RecvFlags::empty(),
            len: 0,
        });
    }
    let flags = RecvFlags::from_bits_retain(flags);
    let list = &mut messages[..];
    let mut call = Call::Recvmmsg { fd: number(fd), messages: list, flags, timeout, progress: 0 };
    let came = b.call(&mut call)?;
    let message = |header: &RecvHeader<'_>| Message {
        count: header.len,
        data: match &header.data[0] {
            SegmentMut::Bytes(bytes) => bytes[..header.len.min(len)].to_vec(),
            SegmentMut::Fault(_) => Vec::new(),
        },
        name: header.name.written().to_vec(),
        flags: header.flags_out.bits(),
        control_len: header.control.len,
        control: header.control.messages().map(|one| (one.kind, one.data.to_vec())).collect(),
    };
    Ok(messages.iter().take(came).map(message).collect())
}
