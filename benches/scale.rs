//! What calls cost beside what they cannot do without, and with very many sockets.
//!
//! `cargo bench --bench scale` prints the other tables of docs/benchmarks.md: the backends beside
//! what they are made of, a million socket pairs, a million files in flight.
//! `cargo bench --bench scale -- NAME` measures only the tables and rows whose name contains NAME.

#[allow(dead_code, reason = "shared with another benchmark")]
mod support;

use std::hint::black_box;

use afunix::control::ControlBuilder;
use afunix::{
    AF_UNIX, Backend, Call, Limits, NameOut, Pid, RawName, SOCK_DGRAM, SOCK_STREAM, Segment,
    SendFlags, Tid,
};
use afunix_kernel_backend::Kernel;
use afunix_model::{Machine, Spawn};
use support::{
    Stepped, close, compare, fd, machine, pair, receive, receiving, send, sending, spent, step,
};

/// Pairs in the model: of as many processes as it takes.
const PAIRS: usize = 1_000_000;
/// Pairs of one process of the model: it has fewer than 2^20 descriptors (fs.nr_open).
const PAIRS_OF_ONE: usize = 500_000;
/// Pairs of one process of the kernel, if it is allowed so many.
const PAIRS_OF_KERNEL: usize = 500_000;
/// Bytes that a kernel's pair takes, more or less: not to take all memory.
const KERNEL_PAIR_BYTES: usize = 6000;
/// Files in flight.
const IN_FLIGHT: usize = 1_000_000;

fn main() {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    beside(&filter);
    if "socket pairs".contains(&filter) {
        pairs();
    }
    if "files in flight".contains(&filter) {
        in_flight();
    }
}

/// Two sides of a row; the ratio is first / second.
type Sides = (Box<dyn FnMut()>, Box<dyn FnMut()>);
/// What is measured, beside what, and how.
type Beside = (&'static str, &'static str, fn() -> Sides);

fn beside(filter: &str) {
    println!("| what | beside | ns | beside, ns | ratio |");
    println!("|---|---|---:|---:|---:|");
    let rows: [Beside; 4] = [
        ("1 byte through `Backend::call`", "`Machine::step`", seam),
        ("64 KiB through the model", "two copies of 64 KiB", copies),
        ("1 byte, kernel backend", "the calls of libc", || libc_row(SOCK_STREAM, 1)),
        ("64 bytes as datagram, kernel backend", "the calls of libc", || libc_row(SOCK_DGRAM, 64)),
    ];
    for (name, other, sides) in rows {
        if name.contains(filter) {
            let (mut ours, mut theirs) = sides();
            let (base, time, ratio) = compare(&mut *theirs, &mut *ours);
            println!("| {name} | {other} | {time:.0} | {base:.0} | {ratio:.2} x |");
        }
    }
}

fn seam() -> Sides {
    let backend: Box<dyn Backend> = Box::new(Stepped::new());
    let [left, right] = pair(&*backend, SOCK_STREAM);
    let mut byte = [0];
    let ours = move || {
        send(&*backend, left, &[7]);
        receive(&*backend, right, &mut byte);
    };
    let mut machine = machine();
    let fds = pair_of(&mut machine, Tid(1));
    (Box::new(ours), Box::new(move || one_byte(&mut machine, Tid(1), fds)))
}

fn copies() -> Sides {
    const LEN: usize = 64 * 1024;
    let backend = Stepped::new();
    let [left, right] = pair(&backend, SOCK_STREAM);
    let (data, mut buffer) = (vec![7; LEN], vec![0; LEN]);
    let ours = move || {
        send(&backend, left, &data);
        receive(&backend, right, &mut buffer);
        black_box(&buffer);
    };
    // Not one behind the other in memory: copies between addresses that are a multiple of 4 KiB
    // and a few bytes apart are several times slower.
    let mut memory = vec![7u8; 3 * LEN + 2048];
    let theirs = move || {
        let (from, rest) = black_box(&mut memory[..]).split_at_mut(LEN + 1024);
        let (through, to) = rest.split_at_mut(LEN + 1024);
        black_box(&mut through[..LEN]).copy_from_slice(&from[..LEN]);
        black_box(&mut to[..LEN]).copy_from_slice(&through[..LEN]);
    };
    (Box::new(ours), Box::new(theirs))
}

#[expect(unsafe_code, reason = "what the backend is compared with")]
fn libc_row(kind: i32, len: usize) -> Sides {
    let sides = [(); 2].map(|()| (pair(&Kernel, kind), vec![7u8; len], vec![0u8; len]));
    let [([left, right], data, mut buffer), ([one, other], bytes, mut room)] = sides;
    let backend: Box<dyn Backend> = Box::new(Kernel);
    let ours = move || {
        send(&*backend, left, &data);
        receive(&*backend, right, &mut buffer);
    };
    let theirs = move || {
        // SAFETY: the numbers are this row's, and the memory is as long as is said.
        let sent = unsafe { libc::sendto(one, bytes.as_ptr().cast(), len, 0, std::ptr::null(), 0) };
        assert_eq!(sent, len as isize);
        let (name, name_len) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: as above.
        let received =
            unsafe { libc::recvfrom(other, room.as_mut_ptr().cast(), len, 0, name, name_len) };
        assert_eq!(received, len as isize);
    };
    (Box::new(ours), Box::new(theirs))
}

fn pair_of(machine: &mut Machine, tid: Tid) -> [i32; 2] {
    let mut fds = [-1; 2];
    let (domain, kind, protocol) = (AF_UNIX, SOCK_STREAM, 0);
    let mut call = Call::Socketpair { domain, kind, protocol, fds: &mut fds };
    step(machine, tid, &mut call).expect("a pair");
    fds
}

fn one_byte(machine: &mut Machine, tid: Tid, [left, right]: [i32; 2]) {
    assert_eq!(step(machine, tid, &mut sending(left, &[7])), Ok(1));
    let (mut byte, mut name) = ([0], NameOut::nothing());
    assert_eq!(step(machine, tid, &mut receiving(right, &mut byte, &mut name)), Ok(1));
    black_box(&byte);
}

/// A million pairs in the model, and as many as one process may have in the kernel and in the
/// model: what one takes, and what a byte there costs with one pair, with all in turn, in random
/// order.
fn pairs() {
    println!("\n| socket pairs | pairs | bytes a pair | alone, ns | in turn | in random order |");
    println!("|---|---:|---:|---:|---:|---:|");
    let count = kernel_pairs();
    let mut machine = machine();
    let before = resident();
    let limits = Some(Limits { descriptors: 1 << 20 });
    let mut fds: Vec<(Tid, [i32; 2])> = (0..PAIRS.div_ceil(PAIRS_OF_ONE))
        .flat_map(|_| {
            let spec = Spawn { limits, ..Spawn::default() };
            let (_, tid) = machine.spawn(Pid(1), &spec).expect("a process");
            let fds = (0..PAIRS_OF_ONE).map(|_| (tid, pair_of(&mut machine, tid)));
            fds.collect::<Vec<_>>()
        })
        .collect();
    // Each has been used in both directions before its memory is looked at.
    for (tid, [left, right]) in &fds {
        one_byte(&mut machine, *tid, [*left, *right]);
        one_byte(&mut machine, *tid, [*right, *left]);
    }
    let bytes = (resident() - before) / fds.len() - size_of_val(&fds[0]);
    spread("model", bytes, fds.clone(), |(tid, fds)| one_byte(&mut machine, tid, fds));
    fds.truncate(count);
    spread("model, some of them", bytes, fds, |(tid, fds)| one_byte(&mut machine, tid, fds));
}

/// The kernel's row. Returns how many pairs it let this process have.
fn kernel_pairs() -> usize {
    raise_limit();
    let mut fds = Vec::new();
    let most = PAIRS_OF_KERNEL.min(available() / 2 / KERNEL_PAIR_BYTES);
    let before = available();
    while fds.len() < most {
        let mut numbers = [-1; 2];
        let (domain, kind, protocol) = (AF_UNIX, SOCK_STREAM, 0);
        let mut call = Call::Socketpair { domain, kind, protocol, fds: &mut numbers };
        match Kernel.call(&mut call) {
            Ok(_) => fds.push(numbers),
            Err(_) => break,
        }
    }
    let (count, bytes) = (fds.len(), before.saturating_sub(available()) / fds.len());
    spread("kernel", bytes, fds.clone(), |[left, right]| {
        send(&Kernel, left, &[7]);
        receive(&Kernel, right, &mut [0]);
    });
    fds.into_iter().flatten().for_each(|number| close(&Kernel, number));
    count
}

/// Prints a row: the time of `work` with the first of `fds` alone, with all in turn, and shuffled.
fn spread<T: Copy>(name: &str, bytes: usize, mut fds: Vec<T>, mut work: impl FnMut(T)) {
    let mut time = |fds: &mut dyn Iterator<Item = T>| {
        let start = spent();
        let mut count = 0;
        for fds in fds {
            work(fds);
            count += 1;
        }
        (spent() - start).as_nanos() as f64 / f64::from(count)
    };
    let first = fds[0];
    // The first pass warms up.
    time(&mut fds.iter().copied());
    let (mut alone, mut in_turn) = (f64::MAX, f64::MAX);
    for _ in 0..3 {
        alone = alone.min(time(&mut std::iter::repeat_n(first, fds.len())));
        in_turn = in_turn.min(time(&mut fds.iter().copied()));
    }
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    for index in (1..fds.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        fds.swap(index, (state >> 11) as usize % (index + 1));
    }
    let random = (0..3).map(|_| time(&mut fds.iter().copied())).fold(f64::MAX, f64::min);
    let (count, slower, slowest) = (fds.len(), in_turn / alone, random / alone);
    print!("| {name} | {count} | {bytes} | {alone:.0} | {in_turn:.0} ns, {slower:.1} x ");
    println!("| {random:.0} ns, {slowest:.1} x |");
}

/// Sockets that hold each other in their queues and nothing else: one close finds them all.
fn in_flight() {
    println!("\n| files in flight, all unreachable | until collected | ns a file |");
    println!("|---:|---:|---:|");
    for count in [IN_FLIGHT / 2, IN_FLIGHT, 2 * IN_FLIGHT] {
        let mut machine = machine();
        for _ in 0..count / 2 {
            let [left, right] = pair_of(&mut machine, Tid(1));
            let control = ControlBuilder::new().rights(&[fd(left), fd(right)]);
            let mut call = Call::Sendmsg {
                fd: fd(right),
                name: RawName::NONE,
                data: &[Segment::Bytes(b"x")],
                control: control.as_raw(),
                flags: SendFlags::empty(),
                progress: 0,
            };
            step(&mut machine, Tid(1), &mut call).expect("sent");
            for number in [left, right] {
                step(&mut machine, Tid(1), &mut Call::Close { fd: fd(number) }).expect("closed");
            }
        }
        let mut call = Call::Socket { domain: AF_UNIX, kind: SOCK_STREAM, protocol: 0 };
        let last = step(&mut machine, Tid(1), &mut call).expect("a socket") as i32;
        let start = spent();
        step(&mut machine, Tid(1), &mut Call::Close { fd: fd(last) }).expect("closed");
        let time = spent() - start;
        let left = machine.snapshot(std::time::Duration::ZERO).sockets.len();
        assert_eq!(left, 0, "every socket was collected");
        println!("| {count} | {time:.2?} | {:.0} |", time.as_nanos() as f64 / count as f64);
    }
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("proc is mounted");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("the second number is the resident pages") * 4096
}

/// Bytes of memory that programs could have.
fn available() -> usize {
    let meminfo = std::fs::read_to_string("/proc/meminfo").expect("proc is mounted");
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let number = line.and_then(|line| line.trim().split(' ').next()?.parse::<usize>().ok());
    number.expect("a number of KiB") * 1024
}

/// Lets this process have as many descriptors as it may.
#[expect(unsafe_code, reason = "setrlimit takes a pointer")]
fn raise_limit() {
    let wanted = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
    let mut allowed = wanted;
    // SAFETY: the pointers are to a whole rlimit each.
    unsafe {
        if libc::setrlimit(libc::RLIMIT_NOFILE, &wanted) != 0
            && libc::getrlimit(libc::RLIMIT_NOFILE, &mut allowed) == 0
        {
            allowed.rlim_cur = allowed.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &allowed);
        }
    }
}
