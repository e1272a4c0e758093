//! Calls that send and receive.

use std::sync::OnceLock;
use std::time::Duration;

use afunix::call::{RecvHeader, SendHeader};
use afunix::control::{self, ControlOut, RawControl};
use afunix::{Call, NameOut, RecvFlags, Segment, SegmentMut, SendFlags, Ucred};

use super::{Answer, Result_, Side, Tag, name_bytes, push_name, raw_name};
use crate::differential::program::{Control, Message, Piece, Place, ReceiveBy, Room, SendBy, Slot};
use crate::raw::{control as raw_control, fd};

/// No message of a program is longer.
const LONGEST: usize = 1 << 20;

/// Bytes that tell where they stand. To be asked for once before any worker is forked: a fork while
/// another thread makes them would wait for that thread for ever.
pub(in crate::differential) fn pattern() -> &'static [u8] {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    let byte = |place: usize| (b'a' + (place % 26) as u8) ^ ((place / 26) as u8 & 0x20);
    PATTERN.get_or_init(|| (0..LONGEST).map(byte).collect())
}

/// The pieces as memory that is sent: bytes tell where they came from in the message.
fn segments(pieces: &[Piece]) -> Vec<Segment<'static>> {
    let pattern = pattern();
    let mut start = 0;
    let segment = |piece: &Piece| {
        let bytes = &pattern[start..start + piece.len];
        start += piece.len;
        if piece.faults { Segment::Fault(piece.len) } else { Segment::Bytes(bytes) }
    };
    pieces.iter().map(segment).collect()
}

pub(super) fn send(
    side: &mut dyn Side,
    slot: Slot,
    by: &SendBy,
    data: &[Piece],
    flags: i32,
) -> Result_ {
    let number = side.number(slot);
    let (fd, flags) = (fd(number), SendFlags::from_bits_retain(flags));
    let segments = segments(data);
    let first = segments.first().copied().unwrap_or(Segment::Bytes(&[]));
    match by {
        SendBy::Write => side.call(&mut Call::Write { fd, data: first, progress: 0 }),
        SendBy::Writev => side.call(&mut Call::Writev { fd, data: &segments, progress: 0 }),
        SendBy::Sendto(name) => {
            let bytes = name_bytes(side, name);
            let name = raw_name(name, &bytes);
            side.call(&mut Call::Sendto { fd, data: first, flags, name, progress: 0 })
        }
        SendBy::Sendmsg(name, control) => {
            let bytes = name_bytes(side, name);
            let name = raw_name(name, &bytes);
            let control = control_bytes(side, control, number);
            let control = not_empty(&control);
            let data = &segments[..];
            side.call(&mut Call::Sendmsg { fd, name, data, control, flags, progress: 0 })
        }
    }
}

/// sendmmsg: the lengths sent are pushed.
pub(super) fn send_many(
    side: &mut dyn Side,
    slot: Slot,
    messages: &[Message],
    flags: i32,
    answer: &mut Answer,
) -> Result_ {
    let number = side.number(slot);
    let mut memory = Vec::with_capacity(messages.len());
    for message in messages {
        let name = name_bytes(side, &message.name);
        memory.push((name, control_bytes(side, &message.control, number)));
    }
    let mut headers = Vec::with_capacity(messages.len());
    for (message, (name, control)) in messages.iter().zip(&memory) {
        let name = raw_name(&message.name, name);
        let (data, control) = (segments(&message.data), not_empty(control));
        headers.push(SendHeader { name, data, control, len: 0 });
    }
    let flags = SendFlags::from_bits_retain(flags);
    let call = &mut Call::Sendmmsg { fd: fd(number), messages: &mut headers, flags, progress: 0 };
    let result = side.call(call)?;
    let sent = headers.iter().take(result.unwrap_or(0));
    answer.push(Tag::Lengths, sent.flat_map(|one| (one.len as u64).to_ne_bytes()).collect());
    Some(result)
}

fn not_empty(control: &[u8]) -> RawControl<'_> {
    if control.is_empty() { RawControl::NONE } else { raw_control(control) }
}

fn control_bytes(side: &mut dyn Side, messages: &[Control], carrier: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        match message {
            Control::Rights(slots) => {
                let numbers =
                    slots.iter().flat_map(|slot| side.cargo(*slot, carrier).to_ne_bytes());
                let numbers: Vec<u8> = numbers.collect();
                let kind = control::SCM_RIGHTS;
                control::push_message(&mut bytes, control::SOL_SOCKET, kind, &numbers);
            }
            Control::Credentials { process, uid, gid } => {
                let own = Ucred { pid: side.pid(*process), uid: *uid, gid: *gid }.to_bytes();
                let kind = control::SCM_CREDENTIALS;
                control::push_message(&mut bytes, control::SOL_SOCKET, kind, &own);
            }
            Control::Raw(raw) => bytes.extend_from_slice(raw),
        }
    }
    bytes
}

/// Memory that a message is received into.
struct Buffers {
    data: Vec<Vec<u8>>,
    control: Vec<u8>,
}

impl Buffers {
    fn new(data: &[Piece], room: Room) -> Buffers {
        let memory = |piece: &Piece| vec![0; if piece.faults { 0 } else { piece.len }];
        let control = vec![0; if let Room::Bytes(len) = room { len } else { 0 }];
        Buffers { data: data.iter().map(memory).collect(), control }
    }

    /// The same as a call is handed it.
    fn places(&mut self, data: &[Piece], room: Room) -> (Vec<SegmentMut<'_>>, ControlOut<'_>) {
        let segment = |(piece, buffer): (&Piece, _)| match piece.faults {
            true => SegmentMut::Fault(piece.len),
            false => SegmentMut::Bytes(buffer),
        };
        let buffers = self.data.iter_mut().map(Vec::as_mut_slice);
        let control = match room {
            Room::Bytes(_) => ControlOut::new(&mut self.control),
            Room::Fault(len) => ControlOut::fault(len),
        };
        (data.iter().zip(buffers).map(segment).collect(), control)
    }
}

/// The bytes that were received into memory, if `count` were received.
fn received(segments: &[SegmentMut<'_>], count: usize) -> Vec<u8> {
    let mut written = Vec::new();
    for segment in segments {
        let left = count.saturating_sub(written.len());
        match segment {
            SegmentMut::Bytes(bytes) => written.extend_from_slice(&bytes[..left.min(bytes.len())]),
            SegmentMut::Fault(_) => break,
        }
    }
    written
}

fn push_control(answer: &mut Answer, control: &ControlOut<'_>, flags: RecvFlags) {
    let len = control.len as u32;
    answer.push(Tag::Control, [&len.to_ne_bytes()[..], control.written()].concat());
    answer.push(Tag::Flags, flags.bits().to_ne_bytes().to_vec());
}

pub(super) fn receive(
    side: &mut dyn Side,
    slot: Slot,
    by: ReceiveBy,
    data: &[Piece],
    flags: i32,
    answer: &mut Answer,
) -> Result_ {
    let (fd, flags) = (fd(side.number(slot)), RecvFlags::from_bits_retain(flags));
    let room = if let ReceiveBy::Recvmsg(_, room) = by { room } else { Room::Bytes(0) };
    let mut buffers = Buffers::new(data, room);
    let (mut segments, mut control) = buffers.places(data, room);
    let mut name = match by {
        ReceiveBy::Recvfrom(want) | ReceiveBy::Recvmsg(want, _) => NameOut::with(want),
        ReceiveBy::Read | ReceiveBy::Readv => NameOut::nothing(),
    };
    let result = match by {
        ReceiveBy::Read | ReceiveBy::Recvfrom(_) => {
            let mut first = segments.into_iter().next().unwrap_or(SegmentMut::Fault(0));
            let result = {
                let data = match &mut first {
                    SegmentMut::Bytes(bytes) => SegmentMut::Bytes(bytes),
                    SegmentMut::Fault(len) => SegmentMut::Fault(*len),
                };
                match by {
                    ReceiveBy::Read => side.call(&mut Call::Read { fd, data, progress: 0 })?,
                    _ => {
                        let name = &mut name;
                        side.call(&mut Call::Recvfrom { fd, data, flags, name, progress: 0 })?
                    }
                }
            };
            segments = vec![first];
            result
        }
        ReceiveBy::Readv => side.call(&mut Call::Readv { fd, data: &mut segments, progress: 0 })?,
        ReceiveBy::Recvmsg(..) => {
            let mut flags_out = RecvFlags::empty();
            let result = side.call(&mut Call::Recvmsg {
                fd,
                name: &mut name,
                data: &mut segments,
                control: &mut control,
                flags,
                flags_out: &mut flags_out,
                progress: 0,
            })?;
            if result.is_ok() {
                push_control(answer, &control, flags_out);
            }
            result
        }
    };
    if let Ok(count) = result {
        answer.push(Tag::Data, received(&segments, count));
    }
    if !matches!(by, ReceiveBy::Read | ReceiveBy::Readv) {
        push_name(answer, &name);
    }
    Some(result)
}

/// recvmmsg: all of each message is pushed.
pub(super) fn receive_many(
    side: &mut dyn Side,
    slot: Slot,
    messages: &[Place],
    flags: i32,
    timeout: Option<Duration>,
    answer: &mut Answer,
) -> Result_ {
    let (fd, flags) = (fd(side.number(slot)), RecvFlags::from_bits_retain(flags));
    let buffers = messages.iter().map(|place| Buffers::new(&place.data, place.room));
    let mut buffers: Vec<Buffers> = buffers.collect();
    let mut headers = Vec::with_capacity(messages.len());
    for (place, buffers) in messages.iter().zip(&mut buffers) {
        let (data, control) = buffers.places(&place.data, place.room);
        let (name, flags_out) = (NameOut::with(place.want), RecvFlags::empty());
        headers.push(RecvHeader { name, data, control, flags_out, len: 0 });
    }
    let messages = &mut headers[..];
    let result = side.call(&mut Call::Recvmmsg { fd, messages, flags, timeout, progress: 0 })?;
    for header in headers.iter().take(result.unwrap_or(0)) {
        answer.push(Tag::Lengths, (header.len as u64).to_ne_bytes().to_vec());
        push_control(answer, &header.control, header.flags_out);
        answer.push(Tag::Data, received(&header.data, header.len));
        push_name(answer, &header.name);
    }
    Some(result)
}
