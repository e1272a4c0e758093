//! Where the choices come from, and what arguments are made of.

use std::time::Duration;

use afunix::control::{ControlOut, RawControl, SOL_SOCKET, push_message};
use afunix::net::Fd;
use afunix::{
    NameOut, NameWant, OpenFlags, RawName, RecvFlags, Segment, SegmentMut, SendFlags, SigSet,
};

use crate::raw;

/// Numbers: those of a few bytes, then those of a seed (xorshift).
#[derive(Clone, Copy, Debug)]
pub struct Dice {
    state: u64,
    bytes: [u8; Dice::BYTES],
    left: u8,
}

impl Dice {
    /// Bytes that dice may have.
    pub const BYTES: usize = 24;

    /// The numbers of a seed.
    pub const fn new(seed: u64) -> Self {
        let state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        Dice { state, bytes: [0; Dice::BYTES], left: 0 }
    }

    /// The numbers that bytes give, one after the other, as far as they go: so that a fuzzer that
    /// changes one of them changes one argument. At most [`Dice::BYTES`] are looked at.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut dice = Dice::new(bytes.len() as u64);
        let len = bytes.len().min(Dice::BYTES);
        // The last is taken first.
        for (to, from) in dice.bytes[..len].iter_mut().rev().zip(bytes) {
            *to = *from;
        }
        dice.left = len as u8;
        dice
    }

    const fn byte(&mut self) -> Option<u8> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        Some(self.bytes[self.left as usize])
    }

    /// Any number.
    pub const fn roll(&mut self) -> u64 {
        if let Some(byte) = self.byte() {
            self.state ^= (byte as u64) << 32;
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `n`, which is not 0.
    pub const fn below(&mut self, n: u64) -> u64 {
        if n <= 256
            && let Some(byte) = self.byte()
        {
            return byte as u64 % n;
        }
        (self.roll() >> 16) % n
    }

    /// Yes once in `n`.
    pub const fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(super) fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// A number as arguments have them: mostly small, else at an edge or anything.
    pub(super) fn int(&mut self) -> i32 {
        match self.below(8) {
            0 => {
                self.of(&[i32::MAX, i32::MIN, -1, i32::MAX - 1, 1 << 30, 0x7fff, 0xffff, 128, 129])
            }
            1 => self.roll() as i32,
            2 => -(self.below(200) as i32),
            _ => self.below(12) as i32,
        }
    }

    /// A length.
    pub(super) fn size(&mut self) -> usize {
        match self.below(6) {
            0 => self.of(&[usize::MAX, usize::MAX - 1, 1 << 63, (1 << 63) - 1, 1 << 40, 1 << 31]),
            1 => self.of(&[0x7fff_f000, 0x7fff_f001, 131_071, 131_072, 4096, 212_992, 1 << 22]),
            2 => self.below(1 << 17) as usize,
            _ => self.below(40) as usize,
        }
    }

    /// The number of a descriptor: mostly one that is likely to be open.
    pub(super) fn number(&mut self) -> i32 {
        if self.one_in(12) { self.int() } else { self.below(24) as i32 }
    }

    pub(super) fn fd(&mut self) -> Fd<'static> {
        raw::fd(self.number())
    }

    pub(super) fn time(&mut self) -> Duration {
        match self.below(6) {
            0 => self.of(&[Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_nanos(1)]),
            1 => Duration::from_secs(1 << self.below(64)),
            _ => Duration::from_millis(self.below(20)),
        }
    }

    pub(super) fn timeout(&mut self) -> Option<Duration> {
        if self.one_in(4) { None } else { Some(self.time()) }
    }

    /// How far a call is said to have come, which callers should leave at 0.
    pub(super) fn claim(&mut self) -> usize {
        if self.one_in(20) { self.size() } else { 0 }
    }

    /// Flags of open: any, or those that are used.
    pub(super) fn opening(&mut self) -> OpenFlags {
        let known =
            [0, 1, 2, 3, 0o101, 0o102, 0o302, 0o1001, 0o2002, 0o200000, 0o400000, 0o10000000];
        let bits = if self.one_in(8) { self.roll() as i32 } else { self.of(&known) };
        OpenFlags::from_bits_retain(bits)
    }

    pub(super) fn bytes(&mut self, most: u64) -> Vec<u8> {
        let len = self.below(most);
        (0..len).map(|_| self.roll() as u8).collect()
    }

    /// A path: one of a few, so that they are met again, or anything.
    pub(super) fn path(&mut self) -> Vec<u8> {
        const PATHS: [&[u8]; 22] = [
            b"/tmp/a",
            b"/tmp/b",
            b"/tmp/d",
            b"/tmp/d/e",
            b"/tmp/l",
            b"/tmp/d/../b",
            b"/tmp/a/",
            b"",
            b"/",
            b".",
            b"..",
            b"d",
            b"a\0b",
            b"//tmp//d/./",
            b"/tmp/l/e",
            b"/dev/null",
            b"/dev/console",
            b"/proc/net/unix",
            b"/proc/self/fd/3",
            b"/proc/self/fdinfo/4",
            b"/proc/self/fdinfo/99999999999999999999",
            b"/proc/self/fd/-1",
        ];
        match self.below(12) {
            0 => self.bytes(300),
            1 => [&b"/tmp/"[..], &vec![b'x'; self.below(300) as usize]].concat(),
            2 => b"/tmp/d/".repeat(self.below(700) as usize),
            _ => self.of(&PATHS).to_vec(),
        }
    }

    /// An address's bytes.
    pub(super) fn address(&mut self) -> Vec<u8> {
        let family = if self.one_in(10) { self.roll() as u16 } else { 1 };
        let rest = match self.below(8) {
            0 => self.bytes(140),
            1..4 => [&b"\0"[..], &[b'a' + self.below(4) as u8]].concat(),
            4 => Vec::new(),
            _ => self.path(),
        };
        let mut bytes = [&family.to_ne_bytes()[..], &rest].concat();
        if self.one_in(12) {
            bytes.truncate(self.below(4) as usize);
        }
        bytes
    }

    pub(super) fn name<'a>(&mut self, bytes: &'a [u8]) -> RawName<'a> {
        match self.below(10) {
            0 => RawName::Fault { len: self.int() },
            1 => RawName::Null { len: self.int() },
            2 | 3 => RawName::NONE,
            _ => RawName::Bytes(bytes),
        }
    }

    pub(super) fn name_out(&mut self) -> NameOut {
        NameOut::with(match self.below(6) {
            0 => NameWant::Nothing,
            1 => NameWant::Fault { len: self.int() },
            2 => NameWant::NullLength,
            _ => NameWant::Buffer { len: self.int() },
        })
    }

    /// Control data: messages well formed or not, or anything.
    pub(super) fn control(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..self.below(4) {
            let data = match self.below(6) {
                0 => self.bytes(64),
                1 => [self.int(), self.int(), self.int()].map(i32::to_ne_bytes).concat(),
                2 => vec![0; self.of(&[1012, 1016, 2000])],
                _ => (0..self.below(5)).flat_map(|_| self.number().to_ne_bytes()).collect(),
            };
            let level = if self.one_in(8) { self.int() } else { SOL_SOCKET };
            let kind = if self.one_in(8) { self.int() } else { 1 + self.below(3) as i32 };
            push_message(&mut bytes, level, kind, &data);
        }
        if self.one_in(6) && !bytes.is_empty() {
            let at = self.below(bytes.len() as u64) as usize;
            bytes[at] = self.roll() as u8;
        }
        if self.one_in(8) {
            bytes.truncate(self.below(40) as usize);
        }
        if self.one_in(60) { vec![0; 131_072] } else { bytes }
    }

    pub(super) fn raw_control<'a>(&mut self, bytes: &'a [u8]) -> RawControl<'a> {
        if self.one_in(16) { RawControl::fault(self.size()) } else { raw::control(bytes) }
    }

    pub(super) fn control_out<'b>(&mut self, bytes: &'b mut [u8]) -> ControlOut<'b> {
        match self.below(6) {
            0 => ControlOut::fault(self.size()),
            1 => ControlOut::nothing(),
            _ => {
                let room = self.below(bytes.len() as u64 + 1) as usize;
                let len = if self.one_in(8) { self.size() } else { 0 };
                ControlOut { buffer: Ok(&mut bytes[..room]), len }
            }
        }
    }

    pub(super) fn segment<'b>(&mut self, bytes: &'b [u8]) -> Segment<'b> {
        match self.below(10) {
            0 => Segment::Fault(self.size()),
            1 => Segment::Bytes(bytes),
            _ => Segment::Bytes(&bytes[..bytes.len().min(self.size())]),
        }
    }

    pub(super) fn segments<'b>(&mut self, bytes: &'b [u8]) -> Vec<Segment<'b>> {
        let count = if self.one_in(40) { 1020 + self.below(8) } else { self.below(5) };
        (0..count).map(|_| self.segment(bytes)).collect()
    }

    pub(super) fn segment_mut<'b>(&mut self, bytes: &'b mut [u8]) -> SegmentMut<'b> {
        match self.below(10) {
            0 => SegmentMut::Fault(self.size()),
            _ => {
                let len = bytes.len().min(self.size());
                SegmentMut::Bytes(&mut bytes[..len])
            }
        }
    }

    pub(super) fn segments_mut<'b>(&mut self, bytes: &'b mut [u8]) -> Vec<SegmentMut<'b>> {
        let count = if self.one_in(40) { 1020 + self.below(8) } else { 1 + self.below(4) };
        let piece = (bytes.len() / count as usize).max(1);
        bytes.chunks_mut(piece).map(|piece| self.segment_mut(piece)).collect()
    }

    /// The signal mask of a call, which few have.
    pub(super) fn mask(&mut self) -> Option<SigSet> {
        self.one_in(4).then(|| SigSet(self.roll()))
    }

    pub(super) fn send_flags(&mut self) -> SendFlags {
        let known = [0, 0, 0x40, 0x40, 1, 0x4000, 0x8040];
        let bits = if self.one_in(8) { self.roll() as i32 } else { self.of(&known) };
        SendFlags::from_bits_retain(bits)
    }

    pub(super) fn recv_flags(&mut self) -> RecvFlags {
        let known = [0, 0, 0x40, 0x42, 1, 0x100, 0x20, 2, 0x1_0000, 0x4000_0000];
        let bits = if self.one_in(8) { self.roll() as i32 } else { self.of(&known) };
        RecvFlags::from_bits_retain(bits)
    }
}
