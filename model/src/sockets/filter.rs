//! Socket filters: classic BPF, as SO_ATTACH_FILTER takes it (OPT 5, 12; DSEND 1).
//!
//! A *program* is a list of *instructions* of eight bytes (`struct sock_filter`). It sees a message
//! as its bytes, has an accumulator A, an index X and sixteen words of memory, and returns how many
//! bytes of the message to keep; 0 drops it. What an instruction costs of the socket's option
//! memory is what the kernel's own translation of it takes.

use afunix::call::OptionOut;
use afunix::{Errno, Segment};

use super::socket::Socket;
use super::stored;

/// Bytes of an instruction.
const INSTRUCTION: usize = 8;
/// BPF_MAXINSNS.
const INSTRUCTIONS_MAX: usize = 4096;
/// Words of memory (BPF_MEMWORDS).
const CELLS: u32 = 16;
/// What a program costs before its first instruction, in bytes.
const BASE_CHARGE: u32 = 120;
/// What the first load from the message costs further.
const LOAD_CHARGE: u32 = 32;
/// Where ancillary loads begin (SKF_AD_OFF).
const ANCILLARY: u32 = -0x1000_i32 as u32;
/// Where offsets from the network header begin (SKF_NET_OFF), which is the message's beginning.
const NETWORK: i64 = -0x10_0000;
/// Units of eight bytes that each ancillary load costs, in their order: protocol, pkttype, ifindex,
/// nlattr, nlattr_nest, mark, queue, hatype, rxhash, cpu, xor_x, vlan_tag, vlan_present,
/// pay_offset, random, vlan_tpid.
const ANCILLARY_COSTS: [u32; 16] = [2, 2, 4, 4, 4, 1, 1, 4, 1, 4, 1, 1, 3, 4, 4, 2];
/// Beyond these bytes a message lies in pages, where no netlink attribute is looked for.
const LINEAR: usize = 16064;

// Classes: the lowest three bits of a code.
const LD: u16 = 0;
const LDX: u16 = 1;
const ST: u16 = 2;
const STX: u16 = 3;
const ALU: u16 = 4;
const JMP: u16 = 5;
const RET: u16 = 6;
// Modes of loads.
const IMM: u16 = 0x00;
const ABS: u16 = 0x20;
const IND: u16 = 0x40;
const MEM: u16 = 0x60;
const LEN: u16 = 0x80;
/// Byte loads; 0 is a word, 0x08 a half word.
const BYTE: u16 = 0x10;
/// The operand is X, not the constant.
const X: u16 = 0x08;
/// RET: the value is A.
const A: u16 = 0x10;
// Whole codes.
const LDX_MSH: u16 = 0xb1;
const JA: u16 = 0x05;
const TAX: u16 = 0x07;
const TXA: u16 = 0x87;

#[derive(Clone, Copy, Debug)]
struct Instruction {
    code: u16,
    jt: u8,
    jf: u8,
    k: u32,
}

/// A program that was checked.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    program: Box<[Instruction]>,
    /// Bytes of option memory.
    pub(super) charge: u32,
}

/// SO_ATTACH_FILTER; `value` is the program. EINVAL for a bad one, EPERM if filters are locked,
/// ENOMEM if it and the one before it together are over `optmem_max`.
pub(super) fn attach(socket: &mut Socket, optmem_max: u32, value: &[u8]) -> Result<(), Errno> {
    if !value.len().is_multiple_of(INSTRUCTION) {
        return Err(Errno::INVAL);
    }
    if stored::filter_is_locked(socket.rare.as_deref()) {
        return Err(Errno::PERM);
    }
    let filter = Filter::parse(value)?;
    // The one before it is given back afterwards.
    if socket.filter_charge() + filter.charge >= optmem_max {
        return Err(Errno::NOMEM);
    }
    socket.rare_mut().filter = Some(Box::new(filter));
    Ok(())
}

/// SO_DETACH_FILTER: EPERM, ENOENT.
pub(super) fn detach(socket: &mut Socket) -> Result<(), Errno> {
    if stored::filter_is_locked(socket.rare.as_deref()) {
        return Err(Errno::PERM);
    }
    let rare = socket.rare.as_deref_mut().ok_or(Errno::NOENT)?;
    rare.filter.take().map(drop).ok_or(Errno::NOENT)
}

/// SO_GET_FILTER: the program as it was given. Lengths count instructions, in and out; 0 asks for
/// the length alone. EINVAL if there are more.
pub(super) fn get(filter: Option<&Filter>, value: &mut OptionOut<'_>) -> Result<(), Errno> {
    let asked = value.len;
    let program = filter.map_or(&[][..], |filter| &filter.program);
    if asked != 0 && !program.is_empty() {
        if (asked as usize) < program.len() {
            return Err(Errno::INVAL);
        }
        let room = value.buffer.get_mut(..program.len() * INSTRUCTION).ok_or(Errno::FAULT)?;
        for (place, instruction) in room.chunks_exact_mut(INSTRUCTION).zip(program) {
            place[..2].copy_from_slice(&instruction.code.to_ne_bytes());
            (place[2], place[3]) = (instruction.jt, instruction.jf);
            place[4..].copy_from_slice(&instruction.k.to_ne_bytes());
        }
    }
    value.len = program.len() as i32;
    Ok(())
}

impl Socket {
    /// How many bytes of a message its filter keeps, `None` if it drops it. An empty message can be
    /// kept, and no message is cut to nothing.
    pub(super) fn keeps(&self, data: &[Segment<'_>], len: usize) -> Option<usize> {
        let Some(filter) = self.rare.as_ref().and_then(|rare| rare.filter.as_ref()) else {
            return Some(len);
        };
        let mut message = Vec::with_capacity(len);
        for segment in data {
            if let Segment::Bytes(bytes) = segment {
                message.extend_from_slice(bytes);
            }
        }
        match filter.run(&message) {
            0 => None,
            kept => Some(len.min(kept as usize)),
        }
    }

    /// Option memory that its filter takes.
    pub(super) fn filter_charge(&self) -> u32 {
        let filter = self.rare.as_ref().and_then(|rare| rare.filter.as_ref());
        filter.map_or(0, |filter| filter.charge)
    }
}

impl Filter {
    fn parse(bytes: &[u8]) -> Result<Filter, Errno> {
        let program: Box<[Instruction]> =
            bytes.chunks_exact(INSTRUCTION).map(Instruction::of).collect();
        let len = program.len();
        if !(1..=INSTRUCTIONS_MAX).contains(&len) {
            return Err(Errno::INVAL);
        }
        let is_sound = |(at, instruction): (usize, &Instruction)| instruction.is_sound(len - at);
        let ends = program.last().is_some_and(|last| last.class() == RET);
        if !program.iter().enumerate().all(is_sound) || !ends || !reads_what_it_wrote(&program) {
            return Err(Errno::INVAL);
        }
        let loads = program.iter().any(Instruction::is_load);
        let cost: u32 = program.iter().map(|instruction| instruction.cost()).sum();
        let charge = BASE_CHARGE + if loads { LOAD_CHARGE } else { 0 } + 8 * cost;
        Ok(Filter { program, charge })
    }

    /// What it returns for a message. A load beyond the end, and a division by zero, end it with 0.
    fn run(&self, message: &[u8]) -> u32 {
        let (mut a, mut x) = (0u32, 0u32);
        let mut cells = [0; CELLS as usize];
        let mut at = 0;
        loop {
            let instruction = self.program[at];
            let Instruction { code, jt, jf, k } = instruction;
            at += 1;
            let operand = if code & X != 0 { x } else { k };
            let loaded = match (instruction.class(), code & 0xe0) {
                (RET, _) => return if code & A != 0 { a } else { k },
                (LD | LDX, IMM) => Some(k),
                (LD | LDX, MEM) => Some(cells[k as usize]),
                (LD | LDX, LEN) => Some(message.len() as u32),
                (LD, ABS) if k >= ANCILLARY => ancillary(message, (k - ANCILLARY) / 4, a, x),
                (LD, ABS) => load(message, k, code),
                (LD, IND) => load(message, x.wrapping_add(k), code),
                // The length of an IPv4 header.
                (LDX, _) => load(message, k, BYTE).map(|byte| (byte & 0xf) << 2),
                (ST, _) => {
                    cells[k as usize] = a;
                    continue;
                }
                (STX, _) => {
                    cells[k as usize] = x;
                    continue;
                }
                (ALU, _) => compute(code & 0xf0, a, operand),
                (JMP, _) if code == JA => {
                    at += k as usize;
                    continue;
                }
                (JMP, _) => {
                    let is_so = holds(code & 0xf0, a, operand);
                    at += usize::from(if is_so { jt } else { jf });
                    continue;
                }
                _ if code == TAX => {
                    x = a;
                    continue;
                }
                _ => Some(x),
            };
            let Some(value) = loaded else { return 0 };
            *(if instruction.class() == LDX { &mut x } else { &mut a }) = value;
        }
    }
}

impl Instruction {
    fn of(bytes: &[u8]) -> Instruction {
        let half = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        let k = u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        Instruction { code: half(0), jt: bytes[2], jf: bytes[3], k }
    }

    fn class(&self) -> u16 {
        self.code & 7
    }

    fn is_known(&self) -> bool {
        match self.code {
            0x00..=0x03 | 0x60 | 0x61 | 0x80 | 0x81 | LDX_MSH => true,
            0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50 => true,
            JA | 0x15 | 0x1d | 0x25 | 0x2d | 0x35 | 0x3d | 0x45 | 0x4d => true,
            0x06 | 0x16 | TAX | TXA => true,
            // All but a negation of X.
            0x04..=0xac => self.class() == ALU && self.code != 0x8c,
            _ => false,
        }
    }

    /// Whether it may stand with `left` instructions from it to the end.
    fn is_sound(&self, left: usize) -> bool {
        let Instruction { code, jt, jf, k } = *self;
        if !self.is_known() {
            return false;
        }
        match self.class() {
            // Division by a constant zero; shifts of the whole word.
            ALU if matches!(code, 0x34 | 0x94) => k != 0,
            ALU if matches!(code, 0x64 | 0x74) => k < 32,
            ST | STX => k < CELLS,
            LD | LDX if code & 0xe0 == MEM => k < CELLS,
            LD if code & 0xe0 == ABS && k >= ANCILLARY => {
                k.is_multiple_of(4) && k - ANCILLARY < 4 * ANCILLARY_COSTS.len() as u32
            }
            JMP if code == JA => (k as usize) < left - 1,
            JMP => usize::from(jt.max(jf)) < left - 1,
            _ => true,
        }
    }

    /// Whether it reads the message, not what stands beside it.
    fn is_load(&self) -> bool {
        match self.class() {
            LD => (self.code & 0xe0 == ABS && self.k < ANCILLARY) || self.code & 0xe0 == IND,
            _ => self.code == LDX_MSH,
        }
    }

    /// Units of eight bytes.
    fn cost(&self) -> u32 {
        let Instruction { code, jt, jf, k } = *self;
        let offset = u32::from(k != 0);
        match self.class() {
            LD if code & 0xe0 == ABS && k >= ANCILLARY => {
                ANCILLARY_COSTS[((k - ANCILLARY) / 4) as usize]
            }
            LD if code & 0xe0 == ABS => absolute_cost(k, code & BYTE != 0),
            LD if code & 0xe0 == IND => 8 + offset,
            LDX if code == LDX_MSH => absolute_cost(k, true) + 6,
            // Division by X looks at it first.
            ALU if matches!(code, 0x3c | 0x9c) => 5,
            JMP if code != JA => {
                let negative = u32::from(code & X == 0 && (k as i32) < 0);
                let is_turned = jt == 0 && code & 0xf0 != 0x40;
                negative + if jf == 0 || is_turned { 1 } else { 2 }
            }
            RET if code & A == 0 => 2,
            _ => 1,
        }
    }
}

fn absolute_cost(k: u32, is_byte: bool) -> u32 {
    match k as i32 {
        ..0 => 8,
        offset => {
            12 + u32::from(!is_byte)
                + u32::from(offset != 0)
                + if offset > i32::from(i16::MAX) { 2 } else { 0 }
        }
    }
}

/// Whether no cell is read that was not written on every way to it.
fn reads_what_it_wrote(program: &[Instruction]) -> bool {
    let mut at_target = vec![u16::MAX; program.len()];
    let mut written = 0u16;
    for (at, instruction) in program.iter().enumerate() {
        let Instruction { code, jt, jf, k } = *instruction;
        written &= at_target[at];
        match instruction.class() {
            ST | STX => written |= 1 << k,
            LD | LDX if code & 0xe0 == MEM && written & (1 << k) == 0 => return false,
            JMP => {
                let targets = match code {
                    JA => [k as usize; 2],
                    _ => [usize::from(jt), usize::from(jf)],
                };
                for target in targets {
                    at_target[at + 1 + target] &= written;
                }
                written = u16::MAX;
            }
            _ => {}
        }
    }
    true
}

/// Bytes of the message as a number, the first one highest.
fn load(message: &[u8], at: u32, code: u16) -> Option<u32> {
    let len = match code & 0x18 {
        0 => 4,
        BYTE => 1,
        _ => 2,
    };
    let at = match i64::from(at as i32) {
        at @ 0.. => at,
        at @ NETWORK.. => at - NETWORK,
        // There is no link layer.
        _ => return None,
    };
    let at = usize::try_from(at).ok()?;
    let bytes = message.get(at..at + len)?;
    Some(bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
}

/// What stands beside a message: mostly nothing here. CPU and random number are 0, too.
fn ancillary(message: &[u8], which: u32, a: u32, x: u32) -> Option<u32> {
    match which {
        // Of no device: ifindex, hatype.
        2 | 7 => None,
        3 => Some(find_attribute(message, a, x)),
        4 => Some(find_nested(message, a, x)),
        10 => Some(a ^ x),
        _ => Some(0),
    }
}

/// Where the first netlink attribute of type `kind` stands, from `from` on; 0 if there is none.
fn find_attribute(message: &[u8], from: u32, kind: u32) -> u32 {
    let mut at = from as usize;
    while message.len() <= LINEAR
        && let Some((len, found)) = attribute(message, at)
        && len >= 4
        && at + len <= message.len()
    {
        if found == kind {
            return at as u32;
        }
        at += len.next_multiple_of(4);
    }
    0
}

/// As [`find_attribute`], within the attribute at `from`.
fn find_nested(message: &[u8], from: u32, kind: u32) -> u32 {
    match attribute(message, from as usize) {
        Some((len, _)) if message.len() <= LINEAR && from as usize + len <= message.len() => {
            find_attribute(&message[..from as usize + len], from + 4, kind)
        }
        _ => 0,
    }
}

/// Length and type of the attribute at `at`.
fn attribute(message: &[u8], at: usize) -> Option<(usize, u32)> {
    const TYPE_MASK: u16 = 0x3fff;
    let header = message.get(at..at.checked_add(4)?)?;
    let kind = u16::from_ne_bytes([header[2], header[3]]) & TYPE_MASK;
    Some((usize::from(u16::from_ne_bytes([header[0], header[1]])), u32::from(kind)))
}

/// `None` for a division by zero.
fn compute(operation: u16, a: u32, operand: u32) -> Option<u32> {
    Some(match operation {
        0x00 => a.wrapping_add(operand),
        0x10 => a.wrapping_sub(operand),
        0x20 => a.wrapping_mul(operand),
        0x30 => a.checked_div(operand)?,
        0x40 => a | operand,
        0x50 => a & operand,
        // Shifts by X are taken modulo 32.
        0x60 => a.wrapping_shl(operand),
        0x70 => a.wrapping_shr(operand),
        0x80 => a.wrapping_neg(),
        0x90 => a.checked_rem(operand)?,
        _ => a ^ operand,
    })
}

fn holds(comparison: u16, a: u32, operand: u32) -> bool {
    match comparison {
        0x10 => a == operand,
        0x20 => a > operand,
        0x30 => a >= operand,
        _ => a & operand != 0,
    }
}
