//! What is sent arrives: bytes in order and each once on a stream, whole messages on the others,
//! however writers and readers take turns, and whatever the sizes.

use std::collections::VecDeque;

use afunix::options::{SO_SNDBUF, SOL_SOCKET};
use afunix::{Call, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM, Segment, SegmentMut, Tid};
use afunix_model::{Effect, Resume, Step, Ticket};
use quickcheck::quickcheck;

use crate::numbers::fd;
use crate::support::{MAIN, Rig};

/// A thread that does one call after the other.
struct Worker {
    tid: Tid,
    waits: Option<Ticket>,
    woken: bool,
}

impl Worker {
    fn new(rig: &mut Rig, name: &str) -> Worker {
        let pid = rig.pid(MAIN);
        Worker { tid: rig.machine.start_thread(pid, name), waits: None, woken: false }
    }

    /// Tries or tries again; `None` if it waits.
    fn go(&mut self, rig: &mut Rig, call: &mut Call<'_, '_>) -> Option<usize> {
        let resume = match self.waits {
            None => Resume::First,
            Some(_) if !self.woken => return None,
            Some(ticket) => Resume::Woken(ticket),
        };
        self.woken = false;
        match rig.step(self.tid, call, resume) {
            Step::Done(result) => {
                self.waits = None;
                Some(result.expect("no end and no error is due"))
            }
            Step::Restart => panic!("nobody sends signals"),
            Step::Blocked { ticket, .. } => {
                self.waits = Some(ticket);
                None
            }
        }
    }

    fn hear(&mut self, effects: &[Effect]) {
        self.woken |= self.waits.is_some_and(|ticket| effects.contains(&Effect::Woken(ticket)));
    }
}

fn set_sndbuf(rig: &mut Rig, number: i32, bytes: i32) {
    let value = bytes.to_ne_bytes();
    let (level, option) = (SOL_SOCKET, SO_SNDBUF);
    rig.call(MAIN, &mut Call::Setsockopt { fd: fd(number), level, option, value: &value })
        .expect("SO_SNDBUF can be set");
}

/// Writes messages of these sizes, reads by those sizes, in these turns. Returns what was to be
/// sent and what was received, per call.
fn transfer(
    kind: i32,
    sndbuf: u16,
    writes: &[u16],
    reads: &[u16],
    turns: &[bool],
) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut rig = Rig::new();
    let [a, b] = rig.pair(MAIN, kind);
    set_sndbuf(&mut rig, a, i32::from(sndbuf));
    let mut next = 0u32;
    let mut messages: VecDeque<Vec<u8>> = VecDeque::new();
    for size in writes {
        // Other types refuse what does not fit the buffer.
        let most = if kind == SOCK_STREAM { 20_000 } else { 4000 };
        let size = usize::from(*size) % most;
        let bytes = (0..size).map(|_| {
            next = next.wrapping_mul(1_103_515_245).wrapping_add(12345);
            (next >> 16) as u8
        });
        messages.push_back(bytes.collect());
    }
    let sent: Vec<Vec<u8>> = messages.iter().cloned().collect();
    let (mut writer, mut reader) = (Worker::new(&mut rig, "w"), Worker::new(&mut rig, "r"));
    let (mut got, mut nth_read) = (Vec::new(), 0);
    let all: usize = sent.iter().map(Vec::len).sum();
    let is_done = |got: &Vec<Vec<u8>>| match kind {
        SOCK_STREAM => got.iter().map(Vec::len).sum::<usize>() == all,
        _ => got.len() == sent.len(),
    };
    let mut turn = turns.iter().copied().chain([true, false].into_iter().cycle());
    let mut idle = 0;
    while !is_done(&got) {
        // Some 500 reads at most, so that a run stays short.
        let (least, before) = (if kind == SOCK_STREAM { all / 500 + 1 } else { 70_000 }, got.len());
        if turn.next() == Some(true) {
            if let Some(message) = messages.front() {
                let data = Segment::Bytes(message);
                let mut call = Call::Write { fd: fd(a), data, progress: 0 };
                if let Some(count) = writer.go(&mut rig, &mut call) {
                    assert_eq!(count, message.len());
                    messages.pop_front();
                    idle = 0;
                }
            }
        } else {
            let size =
                reads.get(nth_read % reads.len().max(1)).map_or(1, |size| usize::from(*size));
            let mut buffer = vec![0; size.max(least)];
            let data = SegmentMut::Bytes(&mut buffer);
            let mut call = Call::Read { fd: fd(b), data, progress: 0 };
            if let Some(count) = reader.go(&mut rig, &mut call) {
                buffer.truncate(count);
                got.push(buffer);
                nth_read += 1;
            }
        }
        let effects = std::mem::take(&mut rig.effects);
        writer.hear(&effects);
        reader.hear(&effects);
        idle = if got.len() > before { 0 } else { idle + 1 };
        assert!(idle < 1000, "both wait: a wake-up was lost");
    }
    (sent, got)
}

quickcheck! {
    fn a_stream_loses_doubles_and_reorders_no_byte(
        sndbuf: u16, writes: Vec<u16>, reads: Vec<u16>, turns: Vec<bool>
    ) -> bool {
        let (sent, got) = transfer(SOCK_STREAM, sndbuf, &writes, &reads, &turns);
        sent.concat() == got.concat()
    }

    fn records_keep_their_boundaries(
        sndbuf: u16, writes: Vec<u16>, turns: Vec<bool>
    ) -> bool {
        let (sent, got) = transfer(SOCK_SEQPACKET, sndbuf, &writes, &[], &turns);
        sent == got
    }

    fn datagrams_keep_their_boundaries(
        sndbuf: u16, writes: Vec<u16>, turns: Vec<bool>
    ) -> bool {
        let (sent, got) = transfer(SOCK_DGRAM, sndbuf, &writes, &[], &turns);
        sent == got
    }
}
