//! What a call that waits has written so far: its memory is made anew for each attempt.

use afunix::{Call, NameOut, RecvFlags, SegmentMut};

use crate::hostile::progress;

/// What a call has done, which the next attempt is handed.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    progress: usize,
    /// The bytes received, of all messages.
    bytes: Vec<u8>,
    /// Of sendmmsg: how much was sent of each message.
    sent: Vec<usize>,
    /// Of recvmmsg: what else came with each message.
    headers: Vec<Header>,
}

#[derive(Clone, Debug)]
struct Header {
    name: NameOut,
    control: Vec<u8>,
    control_len: usize,
    flags: RecvFlags,
    len: usize,
}

impl Kept {
    pub(super) fn of(call: &mut Call<'_, '_>) -> Kept {
        let progress = progress(call).map_or(0, |progress| *progress);
        let mut kept = Kept { progress, ..Kept::default() };
        for_each_segment(call, |bytes| kept.bytes.extend_from_slice(bytes));
        match call {
            Call::Sendmmsg { messages, .. } => {
                kept.sent = messages.iter().map(|message| message.len).collect();
            }
            Call::Recvmmsg { messages, .. } => {
                let headers = messages.iter_mut().map(|message| Header {
                    name: message.name.clone(),
                    control: message.control.buffer.as_ref().map_or(vec![], |room| room.to_vec()),
                    control_len: message.control.len,
                    flags: message.flags_out,
                    len: message.len,
                });
                kept.headers = headers.collect();
            }
            _ => {}
        }
        kept
    }

    /// The same call, made anew.
    pub(super) fn put_into(&self, call: &mut Call<'_, '_>) {
        if let Some(progress) = progress(call) {
            *progress = self.progress;
        }
        let mut left = &self.bytes[..];
        for_each_segment(call, |bytes| {
            let (now, later) = left.split_at(bytes.len());
            bytes.copy_from_slice(now);
            left = later;
        });
        match call {
            Call::Sendmmsg { messages, .. } => {
                for (message, len) in messages.iter_mut().zip(&self.sent) {
                    message.len = *len;
                }
            }
            Call::Recvmmsg { messages, .. } => {
                for (message, header) in messages.iter_mut().zip(&self.headers) {
                    message.name = header.name.clone();
                    if let Ok(room) = &mut message.control.buffer {
                        room.copy_from_slice(&header.control);
                    }
                    message.control.len = header.control_len;
                    message.flags_out = header.flags;
                    message.len = header.len;
                }
            }
            _ => {}
        }
    }
}

/// The memory that a call receives into.
fn for_each_segment(call: &mut Call<'_, '_>, mut each: impl FnMut(&mut [u8])) {
    let mut each = |segment: &mut SegmentMut<'_>| {
        if let SegmentMut::Bytes(bytes) = segment {
            each(bytes);
        }
    };
    match call {
        Call::Read { data, .. } | Call::Recvfrom { data, .. } => each(data),
        Call::Readv { data, .. } | Call::Recvmsg { data, .. } => data.iter_mut().for_each(each),
        Call::Recvmmsg { messages, .. } => {
            messages.iter_mut().flat_map(|message| &mut message.data).for_each(each);
        }
        _ => {}
    }
}
