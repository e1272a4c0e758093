//! Footprints: two steps that touch nothing in common, but for what both only read, can be swapped:
//! the same answers, the same state.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use afunix::call::{OptionOut, Stat};
use afunix::{Call, Errno, NameOut, PollFd, Readiness, RecvFlags, SegmentMut, Tid};
use afunix_model::sockets::Part;
use afunix_model::{Access, Effect, Object, Resume, Step};

use crate::dice::Dice;
use crate::numbers::fd;
use crate::random::{Act, PATHS, World, any, perform};
use crate::support::Rig;

/// Options whose value is state: SO_SNDBUF, SO_RCVBUF, SO_ERROR, SO_PASSCRED, SO_PEERCRED,
/// SO_RCVLOWAT, SO_RCVTIMEO, SO_ACCEPTCONN, SO_PASSSEC, SO_PEEK_OFF, SO_PEERGROUPS, SO_PASSRIGHTS.
const OPTIONS: [i32; 12] = [7, 8, 4, 16, 17, 18, 20, 30, 34, 42, 59, 83];

/// What a step touched, each once.
type Touched = BTreeSet<(Object, Access)>;

/// Whether the order of the two may make a difference, as their footprints have it.
fn conflict(one: &Touched, other: &Touched) -> bool {
    let shared = |object: &Object| !matches!(object, Object::Socket(Part::Ids));
    one.iter().filter(|(object, _)| shared(object)).any(|(object, access)| {
        let writes = *access == Access::Write;
        other.iter().any(|(also, how)| also == object && (writes || *how == Access::Write))
    })
}

/// Makes two steps; what they answered, and what they touched.
fn both(rig: &mut Rig, acts: [(Tid, Act); 2]) -> [(String, Touched); 2] {
    acts.map(|(tid, act)| {
        let answer = match perform(rig, tid, act, Resume::First) {
            step @ (Step::Done(_) | Step::Restart) => format!("{step:?}"),
            Step::Blocked { on, deadline, .. } => format!("waits: {:?} {deadline:?}", on.reason),
        };
        (answer, rig.machine.footprint().iter().copied().collect())
    })
}

/// What one question answered. Some hundred are asked after each pair: they are put into words
/// only where two differ.
#[derive(Debug, PartialEq)]
struct Seen {
    tid: Tid,
    number: i32,
    asked: &'static str,
    /// Which option, request or path it was about.
    which: i64,
    answer: Result<usize, Errno>,
    value: i64,
    bytes: Vec<u8>,
}

/// All that can be seen of a machine, by its programs: who was woken, and what their questions
/// answer.
fn seen(rig: &mut Rig, threads: &[Tid]) -> (Vec<String>, Vec<Seen>) {
    let mut woken: Vec<String> = rig.effects.drain(..).map(text).collect();
    woken.sort();
    let (mut seen, mut asked) = (Vec::new(), BTreeSet::new());
    for tid in threads.iter().copied() {
        let Some(pid) = rig.machine.process_of(tid) else {
            woken.push(format!("{tid} is gone"));
            continue;
        };
        if !asked.insert(pid) {
            continue;
        }
        // The thread itself may wait.
        let tid = rig.machine.start_thread(pid, "looks");
        while rig.machine.next_effect().is_some() {}
        for (which, path) in PATHS.iter().enumerate() {
            let mut stat = Stat::default();
            let answer = ask(rig, tid, &mut Call::Stat { path, stat: &mut stat });
            let bytes = [u64::from(stat.mode), u64::from(stat.uid)].map(u64::to_ne_bytes).concat();
            let (which, value) = (which as i64, stat.size as i64);
            seen.push(Seen { tid, number: -1, asked: "stat", which, answer, value, bytes });
        }
        for number in -1..20 {
            look(rig, tid, number, &mut seen);
        }
    }
    (woken, seen)
}

fn text(effect: Effect) -> String {
    format!("{effect:?}")
}

fn look(rig: &mut Rig, tid: Tid, number: i32, seen: &mut Vec<Seen>) {
    let mut note = |asked, which, answer, value: i64, bytes: &[u8]| {
        seen.push(Seen { tid, number, asked, which, answer, value, bytes: bytes.to_vec() });
    };
    let all = Readiness::IN | Readiness::OUT | Readiness::PRI | Readiness::RDHUP;
    let mut fds = [PollFd::new(fd(number), all)];
    let zero = Some(Duration::ZERO);
    let answer = ask(rig, tid, &mut Call::Poll { fds: &mut fds, timeout: zero, mask: None });
    note("poll", 0, answer, fds[0].revents.bits().into(), &[]);
    let (mut own, mut peer) = (NameOut::new(), NameOut::new());
    let answer = ask(rig, tid, &mut Call::Getsockname { fd: fd(number), name: &mut own });
    note("getsockname", 0, answer, told(&own), &own.bytes);
    let answer = ask(rig, tid, &mut Call::Getpeername { fd: fd(number), name: &mut peer });
    note("getpeername", 0, answer, told(&peer), &peer.bytes);
    if fds[0].revents == Readiness::NVAL {
        return;
    }
    for option in OPTIONS {
        let mut bytes = [0; 64];
        let mut value = OptionOut::new(&mut bytes);
        let mut call = Call::Getsockopt { fd: fd(number), level: 1, option, value: &mut value };
        let answer = ask(rig, tid, &mut call);
        note("getsockopt", option.into(), answer, 0, &bytes);
    }
    for request in [0x541B, 0x5411, 0x8905] {
        let mut value = 0;
        let mut call = Call::Ioctl { fd: fd(number), request, value: &mut value };
        let answer = ask(rig, tid, &mut call);
        note("ioctl", i64::from(request), answer, value.into(), &[]);
    }
    for _ in 0..20 {
        let (mut bytes, mut name) = ([0; 64], NameOut::new());
        let mut call = Call::Recvfrom {
            fd: fd(number),
            data: SegmentMut::Bytes(&mut bytes),
            flags: RecvFlags::DONTWAIT,
            name: &mut name,
            progress: 0,
        };
        let answer = ask(rig, tid, &mut call);
        note("recvfrom", 0, answer, told(&name), &[&bytes[..], &name.bytes].concat());
        if matches!(answer, Err(_) | Ok(0)) {
            return;
        }
    }
}

/// The length that a call reported for a name; -1 if it reported none.
fn told(name: &NameOut) -> i64 {
    name.reported.map_or(-1, i64::from)
}

/// A call that does not wait.
fn ask(rig: &mut Rig, tid: Tid, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
    let step = rig.machine.step(rig.now, tid, call, Resume::First);
    while rig.machine.next_effect().is_some() {}
    match step {
        Step::Done(result) => result,
        step @ (Step::Restart | Step::Blocked { .. }) => panic!("{}: {step:?}", call.name()),
    }
}

/// A step of a thread: none comes or goes.
fn step(dice: &mut Dice) -> Act {
    let (who, what, arguments) = any(dice);
    (who, what % 250, arguments)
}

/// How long to look, and for how many pairs.
#[derive(Clone, Copy)]
enum Effort {
    Pairs(u64),
    Time(Duration),
}

/// Looks for pairs of steps in random states that are independent, and makes them in both orders.
fn check(seed: u64, effort: Effort) {
    let began = Instant::now();
    let (mut dice, mut counts) = (Dice::new(seed), Counts::default());
    let is_over = |counts: &Counts| match effort {
        Effort::Pairs(pairs) => counts.independent >= pairs,
        Effort::Time(time) => began.elapsed() >= time,
    };
    while !is_over(&counts) {
        let mut world = World::new();
        for _ in 0..20 + usize::from(dice.byte()) {
            world.act(step(&mut dice));
        }
        world.rig.effects.clear();
        world.rig.machine.observe(false);
        for _ in 0..50 {
            counts.tried += 1;
            let acts = [step(&mut dice), step(&mut dice)];
            counts.independent += u64::from(commute(&world, acts, (seed, counts.tried)));
            if is_over(&counts) {
                break;
            }
        }
    }
    let Counts { tried, independent } = counts;
    println!("{independent} independent pairs of {tried} commute, seed {seed}");
    assert!(independent > 0, "none of {tried} pairs was independent");
}

#[derive(Default)]
struct Counts {
    tried: u64,
    independent: u64,
}

/// Whether two steps are independent; if so, they commute.
fn commute(world: &World, [one, other]: [Act; 2], (seed, pair): (u64, u64)) -> bool {
    let free = world.free_threads();
    let thread = |act: Act| free.get(usize::from(act.0) % free.len().max(1)).copied();
    let (Some(first), Some(second)) = (thread(one), thread(other)) else { return false };
    if first == second {
        return false;
    }
    let [mut here, mut there] = [world.rig.clone(), world.rig.clone()];
    let [a, b] = both(&mut here, [(first, one), (second, other)]);
    let [d, c] = both(&mut there, [(second, other), (first, one)]);
    // A thread of a process that the other step has ended makes none.
    let lives = |rig: &Rig, tid| rig.machine.process_of(tid).is_some();
    if [first, second].into_iter().any(|tid| !lives(&here, tid) || !lives(&there, tid)) {
        return false;
    }
    if conflict(&a.1, &b.1) || conflict(&c.1, &d.1) {
        return false;
    }
    let what = || {
        format!(
            "seed {seed}, pair {pair}: {first} {one:?} {:?} and {second} {other:?} {:?}; the other \
         way round {:?} and {:?}",
            a.1, b.1, c.1, d.1
        )
    };
    assert_eq!((&a.0, &b.0), (&c.0, &d.0), "answers of {}", what());
    let (here, there) = (seen(&mut here, &free), seen(&mut there, &free));
    assert_eq!(here.0, there.0, "woken after {}", what());
    let differs = here.1.iter().zip(&there.1).find(|(here, there)| here != there);
    assert_eq!(differs, None, "after {}", what());
    true
}

/// Two seconds, or as many pairs as AFUNIX_PAIRS says (CONTRIBUTING.md).
#[test]
fn steps_that_touch_nothing_in_common_commute() {
    let number = |name| Some(std::env::var(name).ok()?.parse().expect("a number"));
    let effort = number("AFUNIX_PAIRS").map_or(Effort::Time(Duration::from_secs(2)), Effort::Pairs);
    check(number("AFUNIX_SEED").unwrap_or(1), effort);
}
