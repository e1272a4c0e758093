//! The short way of common calls is the general way: two machines, one without shortcuts, are
//! driven through the same random calls, and hold the same down to the last field.

use std::collections::BTreeMap;
use std::time::Duration;

use afunix::control::ControlOut;
use afunix::options::*;
use afunix::{
    Address, Call, NameOut, NameWant, RawName, Readiness, RecvFlags, SOCK_DGRAM, SOCK_SEQPACKET,
    SOCK_STREAM, Segment, SegmentMut, SendFlags, SocketFlags, Tid,
};
use afunix::{PollFd, call::Fcntl};
use afunix_model::{Effect, Resume, Step, Ticket};

use crate::dice::Dice;
use crate::numbers::{control, fd};
use crate::support::{MAIN, Rig};

/// Numbers of the sockets that are spoken to: three pairs, a bound receiver with two senders, a
/// listener. What is received, made or accepted has the numbers after those.
const SOCKETS: std::ops::Range<i32> = 3..13;
const LISTENER: i32 = SOCKETS.end - 1;
/// Calls of a run.
const CALLS: usize = 400;

/// One call: what is called, on which socket, how much, and how.
#[derive(Clone, Copy, Debug)]
struct Act {
    what: u8,
    number: i32,
    len: usize,
    how: u8,
}

impl Act {
    /// `mood` is how many of ten calls on a socket send; the others receive.
    fn any(dice: &mut Dice, mood: usize) -> Act {
        let len = match dice.below(16) {
            0 => 0,
            1..9 => 1 + dice.below(4),
            9..14 => dice.below(300),
            14 => dice.below(5000),
            _ => dice.below(30_000),
        };
        let number = SOCKETS.start + dice.below(SOCKETS.len()) as i32;
        let what = match dice.below(100) {
            0..80 if dice.below(10) < mood => dice.below(40),
            0..80 => 40 + dice.below(40),
            disturbing => disturbing,
        };
        Act { what: what as u8, number, len, how: dice.byte() }
    }
}

/// The same machine twice, the second without shortcuts.
struct Twins {
    rigs: [Rig; 2],
    waiting: BTreeMap<Tid, (Act, Ticket)>,
}

impl Twins {
    fn new() -> Twins {
        let mut rig = Rig::new();
        rig.machine.track(false);
        for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
            rig.pair(MAIN, kind);
        }
        let [receiver, one, two] = [(); 3].map(|()| rig.socket(MAIN, SOCK_DGRAM));
        rig.bind(MAIN, receiver, "/tmp/receiver").expect("a free name");
        for sender in [one, two] {
            rig.connect(MAIN, sender, "/tmp/receiver").expect("it is there");
        }
        let listener = rig.socket(MAIN, SOCK_STREAM);
        rig.bind(MAIN, listener, "/tmp/listener").expect("a free name");
        rig.listen(MAIN, listener, 1).expect("it is bound");
        assert_eq!((listener, two + 1), (LISTENER, LISTENER), "every socket is spoken to");
        rig.machine.start_thread(rig.pid(MAIN), "second");
        rig.drain();
        let mut other = rig.clone();
        other.machine.allow_shortcuts(false);
        Twins { rigs: [rig, other], waiting: BTreeMap::new() }
    }

    fn act(&mut self, tid: Tid, act: Act) {
        match self.waiting.get(&tid).copied() {
            None => self.step(tid, act, Resume::First),
            Some((old, ticket)) if act.how < 32 => {
                self.step(tid, old, Resume::Interrupted(ticket));
            }
            Some((_, ticket)) if act.how < 64 => {
                for rig in &mut self.rigs {
                    rig.machine.cancel(ticket);
                    rig.drain();
                }
                self.waiting.remove(&tid);
            }
            Some(_) => {}
        }
    }

    fn step(&mut self, tid: Tid, act: Act, resume: Resume) {
        let [short, full] = self.rigs.each_mut().map(|rig| perform(rig, tid, act, resume));
        assert_eq!(short, full, "{act:?}");
        self.waiting.remove(&tid);
        if let Step::Blocked { ticket, .. } = short.0 {
            self.waiting.insert(tid, (act, ticket));
        }
        let [effects, others] = self.rigs.each_mut().map(|rig| std::mem::take(&mut rig.effects));
        assert_eq!(effects, others, "{act:?}");
        for effect in effects {
            let Effect::Woken(ticket) = effect else { continue };
            let found = self.waiting.iter().find(|(_, (_, waits))| *waits == ticket);
            if let Some((tid, (act, _))) = found.map(|(tid, waits)| (*tid, *waits)) {
                self.step(tid, act, Resume::Woken(ticket));
            }
        }
    }

    /// Whether the machines are the same in every field.
    fn compare(&mut self) {
        self.rigs[0].machine.allow_shortcuts(false);
        let [short, full] = self.rigs.each_ref().map(|rig| format!("{:?}", rig.machine));
        self.rigs[0].machine.allow_shortcuts(true);
        assert!(short == full, "the machines differ:\n{short}\n{full}");
    }
}

/// One call with its own memory: the step, and what it wrote.
fn perform(rig: &mut Rig, tid: Tid, act: Act, resume: Resume) -> (Step, String) {
    let Act { what, number, len, how } = act;
    let (socket, mut bytes) = (fd(number), vec![how; len]);
    let mut name = NameOut::nothing();
    let step = match what {
        0..12 => {
            let data = Segment::Bytes(&bytes);
            rig.step(tid, &mut Call::Write { fd: socket, data, progress: 0 }, resume)
        }
        12..26 => {
            let flags = [0, 0x40, 0x4000, 0x4040, 0x80, 1][usize::from(how) % 6];
            let flags = SendFlags::from_bits_retain(flags);
            let (data, name) = (Segment::Bytes(&bytes), RawName::Null { len: i32::from(how % 2) });
            let mut call = Call::Sendto { fd: socket, data, flags, name, progress: 0 };
            rig.step(tid, &mut call, resume)
        }
        26..40 => return send_message(rig, tid, act, resume),
        40..52 => {
            let data = SegmentMut::Bytes(&mut bytes);
            rig.step(tid, &mut Call::Read { fd: socket, data, progress: 0 }, resume)
        }
        52..66 => {
            let flags = [0x40, 0x40, 0, 0x42, 0x41, 0x60, 0x140, 0x40][usize::from(how) % 8];
            let flags = RecvFlags::from_bits_retain(flags);
            if how & 0x30 == 0 {
                name = NameOut::with(NameWant::Buffer { len: 40 });
            }
            let data = SegmentMut::Bytes(&mut bytes);
            let mut call = Call::Recvfrom { fd: socket, data, flags, name: &mut name, progress: 0 };
            rig.step(tid, &mut call, resume)
        }
        66..80 => return receive_message(rig, tid, act, resume),
        _ => return disturb(rig, tid, act, resume),
    };
    (step, format!("{bytes:?} {name:?}"))
}

/// sendmsg, of bytes with nothing, with files, with credentials.
fn send_message(rig: &mut Rig, tid: Tid, act: Act, resume: Resume) -> (Step, String) {
    let Act { number, len, how, .. } = act;
    let (bytes, mut said) = (vec![how; len], Vec::new());
    let files: [&[i32]; 5] = [&[0], &[number], &[], &[1, number], &[-1]];
    let files = files[usize::from(how / 8) % files.len()];
    let numbers: Vec<u8> = files.iter().flat_map(|number| number.to_ne_bytes()).collect();
    if !files.is_empty() {
        afunix::control::push_message(&mut said, SOL_SOCKET, 1, &numbers);
    }
    if how > 240 {
        let credentials = afunix::Ucred { pid: 1, uid: 0, gid: 0 };
        afunix::control::push_message(&mut said, SOL_SOCKET, 2, &credentials.to_bytes());
    }
    let halves = [Segment::Bytes(&bytes[..len / 2]), Segment::Bytes(&bytes[len / 2..])];
    let data = if how % 8 == 7 { &halves } else { &[Segment::Bytes(&bytes)][..] };
    let (name, control) = (RawName::NONE, control(&said));
    let flags = [SendFlags::empty(), SendFlags::DONTWAIT, SendFlags::OOB][usize::from(how) % 3];
    let mut call = Call::Sendmsg { fd: fd(number), name, data, control, flags, progress: 0 };
    (rig.step(tid, &mut call, resume), String::new())
}

/// recvmsg, with more or less room for what comes beside the bytes.
fn receive_message(rig: &mut Rig, tid: Tid, act: Act, resume: Resume) -> (Step, String) {
    let Act { number, len, how, .. } = act;
    let (mut bytes, mut space) = (vec![0; len], [0; 64]);
    let room = [64, 24, 20, 12, 0][usize::from(how) % 5];
    let mut control = ControlOut::new(&mut space[..room]);
    let (mut name, mut flags_out) = (NameOut::nothing(), RecvFlags::empty());
    let flags = [0x40, 0x4000_0040, 0x40, 0x42, 0, 0x4000_0000][usize::from(how / 8) % 6];
    let mut call = Call::Recvmsg {
        fd: fd(number),
        name: &mut name,
        data: &mut [SegmentMut::Bytes(&mut bytes)],
        control: &mut control,
        flags: RecvFlags::from_bits_retain(flags),
        flags_out: &mut flags_out,
        progress: 0,
    };
    let step = rig.step(tid, &mut call, resume);
    let written = control.len;
    (step, format!("{bytes:?} {name:?} {flags_out:?} {:?}", &space[..written]))
}

/// A call after which the short way may be closed, or open again.
fn disturb(rig: &mut Rig, tid: Tid, act: Act, resume: Resume) -> (Step, String) {
    let Act { what, number, len, how } = act;
    let socket = fd(number);
    let step = match what {
        // What was received, made or accepted, and once more the last of it.
        80..83 => rig.step(tid, &mut Call::Close { fd: fd(number + SOCKETS.end - 3) }, resume),
        83 => {
            let kind = [1, 1, 1 | 0o4000, 2, 5, 9][usize::from(how) % 6];
            rig.step(tid, &mut Call::Socket { domain: 1, kind, protocol: 0 }, resume)
        }
        84..86 => {
            let name = Address::path("/tmp/listener").expect("a path").to_bytes();
            let (fd, name) = (fd(number + SOCKETS.end - 3), RawName::Bytes(&name));
            rig.step(tid, &mut Call::Connect { fd, name }, resume)
        }
        86..88 => {
            let mut name = NameOut::nothing();
            if how % 4 == 0 {
                name = NameOut::with(NameWant::Buffer { len: 40 });
            }
            let flags = SocketFlags::from_bits_retain([0, 0o4000, 1][usize::from(how) % 3]);
            let fd = fd([LISTENER, LISTENER, LISTENER, number][usize::from(how) % 4]);
            let step = rig.step(tid, &mut Call::Accept4 { fd, name: &mut name, flags }, resume);
            return (step, format!("{name:?}"));
        }
        88..92 => {
            let mut polled = [PollFd::new(socket, Readiness::IN | Readiness::OUT)];
            if how % 2 == 0 {
                polled = [PollFd::new(socket, Readiness::PRI)];
            }
            rig.step(tid, &mut Call::Poll { fds: &mut polled, timeout: None, mask: None }, resume)
        }
        92..95 => {
            let options = [
                (SO_PASSCRED, 0..2),
                (SO_TIMESTAMP, 0..2),
                (SO_RCVLOWAT, 1..40),
                (SO_SNDBUF, 2304..20_000),
                (SO_PEEK_OFF, -1..3),
                (SO_OOBINLINE, 0..2),
                (SO_PASSRIGHTS, 0..2),
            ];
            let (option, range) = options[usize::from(how) % options.len()].clone();
            let value: i32 = range.start + len as i32 % (range.end - range.start);
            let (level, value) = (SOL_SOCKET, &value.to_ne_bytes()[..]);
            rig.step(tid, &mut Call::Setsockopt { fd: socket, level, option, value }, resume)
        }
        95..=98 if how < 64 => {
            let receiver = Address::path("/tmp/receiver").expect("a path").to_bytes();
            let name = [&[0, 0], &[1, 0], &receiver[..], &receiver[..]][usize::from(how) % 4];
            rig.step(tid, &mut Call::Connect { fd: socket, name: RawName::Bytes(name) }, resume)
        }
        95..=98 if how < 80 => rig.step(tid, &mut Call::Shutdown { fd: socket, how: 1 }, resume),
        95..=98 if how < 140 => rig.step(tid, &mut Call::Close { fd: socket }, resume),
        95..=98 if how < 200 => {
            let (kind, mut fds) = ([1, 2, 5][usize::from(how) % 3], [0; 2]);
            let mut call = Call::Socketpair { domain: 1, kind, protocol: 0, fds: &mut fds };
            rig.step(tid, &mut call, resume)
        }
        _ => {
            // O_NONBLOCK, O_ASYNC.
            let command = Fcntl::Setfl([0o4000, 0, 0, 0o20000][usize::from(how) % 4]);
            rig.step(tid, &mut Call::Fcntl { fd: socket, command }, resume)
        }
    };
    (step, String::new())
}

#[test]
fn the_short_way_is_the_general_way() {
    for seed in 1..50 {
        let mut dice = Dice::new(seed);
        let mood = 3 + dice.below(5);
        let mut twins = Twins::new();
        for call in 0..CALLS {
            let tid = Tid(1 + i32::from(dice.below(4) == 0));
            for rig in &mut twins.rigs {
                rig.now += Duration::from_millis(1);
            }
            twins.act(tid, Act::any(&mut dice, mood));
            if call % 16 == 0 {
                twins.compare();
            }
        }
        twins.compare();
    }
}

#[test]
fn a_close_is_the_general_one_whatever_was_done_before() {
    let (second, act) = (Tid(2), |what, number, how| Act { what, number, len: 10, how });
    for (one, other) in [(3, 4), (4, 3), (5, 6), (7, 8), (8, 7)] {
        let before = [
            // Nothing that matters.
            (MAIN, act(99, 3, 0)),
            // Bytes that nobody reads at either end.
            (MAIN, act(0, one, 0)),
            (MAIN, act(0, other, 0)),
            // Calls that wait at either end: a read, a poll.
            (second, act(40, one, 0)),
            (second, act(40, other, 0)),
            (second, act(88, one, 0)),
            (second, act(88, other, 0)),
            // Options, O_ASYNC, the file itself in flight, the other end closed.
            (MAIN, act(92, one, 1)),
            (MAIN, act(92, other, 1)),
            (MAIN, act(99, other, 3)),
            (MAIN, act(26, one, 8)),
            (MAIN, act(97, other, 100)),
        ];
        for (tid, act_before) in before {
            let mut twins = Twins::new();
            twins.step(tid, act_before, Resume::First);
            for number in [one, other] {
                twins.step(MAIN, act(97, number, 100), Resume::First);
                twins.compare();
            }
        }
    }
}
