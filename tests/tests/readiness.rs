//! Random calls around epolls, on the kernel and on the model: who hears of what, and in which
//! order.
//!
//! One thread and nothing that waits: what differs is a wake that one has and the other has not.

use std::cell::RefCell;
use std::fmt::Debug;
use std::time::Duration;

use afunix::{Backend, Call, EpollFlags, Errno, Readiness, Tid};
use afunix_kernel_backend::Kernel;
use afunix_model::machine::{Resume, Step};
use afunix_model::profile::Profile;
use afunix_model::{Machine, machine};
use afunix_tests::calls::*;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Programs of a test; `AFUNIX_READINESS_PROGRAMS` runs more.
const PROGRAMS: u64 = 200;
/// Calls of a program.
const CALLS: usize = 120;

/// The model, called by its first thread.
struct Model(RefCell<Machine>);

impl Backend for Model {
    fn call(&self, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        let mut machine = self.0.borrow_mut();
        let step = machine.step(machine::Time::ZERO, Tid(1), call, Resume::First);
        while machine.next_effect().is_some() {}
        match step {
            Step::Done(result) => result,
            step => panic!("{} waits: {step:?}", call.name()),
        }
    }
}

/// Both sides of a program, and the numbers that stand for the same file on each.
struct Pair {
    model: Model,
    slots: Vec<[i32; 2]>,
    random: Pcg64Mcg,
    seed: u64,
    /// Names that sockets are bound to.
    names: Vec<Vec<u8>>,
    log: Vec<String>,
}

impl Pair {
    fn new(seed: u64) -> Self {
        Pair {
            model: Model(RefCell::new(Machine::new(Profile::linux_6_18()))),
            slots: Vec::new(),
            random: Pcg64Mcg::seed_from_u64(seed),
            seed,
            names: Vec::new(),
            log: Vec::new(),
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random.next_u32() as usize % limit
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn slot(&mut self) -> [i32; 2] {
        match self.slots.len() {
            0 => [-1; 2],
            len => self.slots[self.random.next_u32() as usize % len],
        }
    }

    /// Does the same on both sides; what comes of it must be the same.
    fn both<T: PartialEq + Debug>(
        &mut self,
        what: &str,
        call: impl Fn(&dyn Backend, usize) -> T,
    ) -> T {
        let (kernel, model) = (call(&Kernel, 0), call(&self.model, 1));
        self.model.0.borrow().check().expect("the invariants");
        self.log.push(format!("{what}: {kernel:?}"));
        if kernel != model {
            let log = self.log.join("\n");
            panic!("seed {}:\n{log}\nbut the model: {model:?}", self.seed);
        }
        kernel
    }

    /// Makes files on both sides.
    fn make(&mut self, what: &str, call: impl Fn(&dyn Backend) -> Answer<Vec<i32>>) {
        let (kernel, model) = (call(&Kernel), call(&self.model));
        let told = kernel.as_ref().map(Vec::len).map_err(|errno| *errno);
        let first = self.slots.len();
        self.log.push(format!("{what}: {told:?} from #{first}"));
        let same = model.as_ref().map(Vec::len).map_err(|errno| *errno);
        if told != same {
            let log = self.log.join("\n");
            panic!("seed {}:\n{log}\nbut the model: {same:?}", self.seed);
        }
        if let (Ok(kernel), Ok(model)) = (kernel, model) {
            self.slots.extend(kernel.into_iter().zip(model).map(|(one, other)| [one, other]));
        }
    }

    fn make_some(&mut self) {
        let kind = self.pick(&TYPES);
        let label = format!("{}-{}", self.seed, self.names.len());
        match self.below(9) {
            0 | 1 => self.make(&format!("pair {kind}"), |b| {
                let (one, other) = pair(b, kind | NONBLOCK);
                Ok(vec![one, other])
            }),
            2 => self.make("eventfd", |b| Ok(vec![eventfd(b, 0, NONBLOCK)?])),
            3 => self.make("pipe", |b| {
                let (r, w) = pipe(b);
                Ok(vec![r, w])
            }),
            4 | 5 => self.make("epoll", |b| Ok(vec![epoll(b)])),
            6 => {
                let name = hidden(&label);
                self.names.push(name.clone());
                self.make(&format!("bound {kind} {label}"), |b| {
                    Ok(vec![bound(b, kind | NONBLOCK, &name)])
                });
            }
            _ => self.make(&format!("socket {kind}"), |b| Ok(vec![socket(b, kind | NONBLOCK)?])),
        }
    }

    fn events(&mut self) -> EpollFlags {
        const EVENTS: [EpollFlags; 8] = [
            EpollFlags::IN,
            EpollFlags::OUT,
            EpollFlags::IN.union(EpollFlags::OUT),
            EpollFlags::IN.union(EpollFlags::RDHUP),
            EpollFlags::PRI,
            EpollFlags::RDNORM.union(EpollFlags::WRBAND),
            EpollFlags::empty(),
            EpollFlags::from_bits_retain(0x3fff),
        ];
        const KINDS: [EpollFlags; 6] = [
            EpollFlags::empty(),
            EpollFlags::ET,
            EpollFlags::ET,
            EpollFlags::ONESHOT,
            EpollFlags::ONESHOT.union(EpollFlags::ET),
            EpollFlags::EXCLUSIVE.union(EpollFlags::ET),
        ];
        self.pick(&EVENTS) | self.pick(&KINDS)
    }

    fn watching(&mut self) {
        let (ep, fd, events) = (self.an_epoll(), self.slot(), self.events());
        let data = u64::from(self.random.next_u32() % 1000);
        let what = format!("({}, {}, {events:?}, {data})", self.show(ep), self.show(fd));
        match self.below(5) {
            0 => self.both(&format!("unwatch{what}"), |b, s| unwatch(b, ep[s], fd[s])),
            1 => self.both(&format!("mod{what}"), |b, s| rewatch(b, ep[s], fd[s], events, data)),
            _ => self.both(&format!("watch{what}"), |b, s| watch(b, ep[s], fd[s], events, data)),
        }
        .ok();
    }

    /// Mostly an epoll, if there is one.
    fn an_epoll(&mut self) -> [i32; 2] {
        for _ in 0..8 {
            let slot = self.slot();
            if reported_any(&self.model, slot[1]) {
                return slot;
            }
        }
        self.slot()
    }

    fn show(&self, slot: [i32; 2]) -> String {
        let index = self.slots.iter().position(|other| *other == slot);
        format!("#{}", index.map_or(-1, |index| index as i32))
    }

    fn looking(&mut self) {
        const NOW: Option<Duration> = Some(Duration::ZERO);
        match self.below(4) {
            0 => {
                let (fd, events) = (self.slot(), self.events());
                let events = events.readiness();
                let what = format!("poll({}, {events:?})", self.show(fd));
                self.both(&what, |b, s| poll_for(b, fd[s], events, NOW)).ok();
            }
            _ => {
                let (ep, count) = (self.an_epoll(), self.pick(&[1, 2, 16, 16]));
                let what = format!("wait({}, {count})", self.show(ep));
                self.both(&what, |b, s| epoll_wait(b, ep[s], count, NOW)).ok();
            }
        }
    }

    fn moving(&mut self) {
        let fd = self.slot();
        let show = self.show(fd);
        let len = self.pick(&[1, 3, 8, 200, 4096, 9000]);
        match self.below(9) {
            0 | 1 => {
                self.both(&format!("send({show}, {len})"), |b, s| send(b, fd[s], &vec![1; len], 0))
            }
            2 => self.both(&format!("write({show}, {len})"), |b, s| write(b, fd[s], &vec![1; len])),
            3 | 4 => self.both(&format!("read({show}, {len})"), |b, s| {
                read(b, fd[s], len).map(|data| data.len())
            }),
            5 => {
                let flags = self.pick(&[0, PEEK, OOB, OOB | PEEK]);
                self.both(&format!("recv({show}, {len}, {flags})"), |b, s| {
                    recv(b, fd[s], len, flags).map(|data| data.len())
                })
            }
            6 => self.both(&format!("send({show}, OOB)"), |b, s| send(b, fd[s], b"o", OOB)),
            7 => self.both(&format!("fill({show}, {len})"), |b, s| {
                let data = vec![1; len];
                Ok((0..300).take_while(|_| send(b, fd[s], &data, 0).is_ok()).count())
            }),
            _ => self.both(&format!("add({show}, 1)"), |b, s| add(b, fd[s], 1)),
        }
        .ok();
    }

    fn changing(&mut self) {
        let (fd, other) = (self.slot(), self.slot());
        let show = self.show(fd);
        match self.below(9) {
            0 => {
                let how = self.pick(&[RD, WR, RDWR]);
                self.both(&format!("shutdown({show}, {how})"), |b, s| shutdown(b, fd[s], how)).ok();
            }
            1 | 2 => {
                let Some(index) = self.slots.iter().position(|slot| *slot == fd) else { return };
                self.both(&format!("close({show})"), |b, s| close(b, fd[s])).ok();
                self.slots[index] = [-1; 2];
            }
            3 | 4 => {
                let bytes = self.pick(&[1, 5000, 100_000]);
                let what = format!("SO_SNDBUF({show}, {bytes})");
                self.both(&what, |b, s| set_int(b, fd[s], SO_SNDBUF, bytes)).ok();
            }
            5 if !self.names.is_empty() => {
                let index = self.below(self.names.len());
                let name = self.names[index].clone();
                let what = format!("connect({show}, {index})");
                self.both(&what, |b, s| connect(b, fd[s], &name)).ok();
            }
            6 => {
                let what = format!("disconnect({show})");
                self.both(&what, |b, s| connect(b, fd[s], &name(0, &[]))).ok();
            }
            7 => {
                self.both(&format!("listen({show})"), |b, s| listen(b, fd[s], 1)).ok();
                self.accepting(fd);
            }
            _ => self.passing(fd, other),
        }
    }

    fn accepting(&mut self, fd: [i32; 2]) {
        let what = format!("accept({})", self.show(fd));
        let accepted = [accept(&Kernel, fd[0], NONBLOCK), accept(&self.model, fd[1], NONBLOCK)];
        self.both(&what, |_, s| accepted[s].map(|_| ())).ok();
        if let [Ok(kernel), Ok(model)] = accepted {
            self.slots.push([kernel, model]);
        }
    }

    /// Sends a file that is no socket, or receives some.
    fn passing(&mut self, fd: [i32; 2], other: [i32; 2]) {
        let (show, passed) = (self.show(fd), self.show(other));
        let is_socket = get_int(&self.model, other[1], SO_TYPE).is_ok();
        if self.below(2) == 0 && !is_socket {
            let what = format!("pass({show}, {passed})");
            self.both(&what, |b, s| sendmsg(b, fd[s], b"f", &rights(&[other[s]]))).ok();
            return;
        }
        let messages = [recvmsg(&Kernel, fd[0], 9, 64, 0), recvmsg(&self.model, fd[1], 9, 64, 0)];
        let files: Vec<Vec<i32>> = messages
            .iter()
            .map(|message| message.as_ref().map(Message::rights).unwrap_or_default())
            .collect();
        let what = format!("recvmsg({show}) into #{}", self.slots.len());
        self.both(&what, |_, s| messages[s].as_ref().map(|m| m.count).map_err(|e| *e)).ok();
        self.both("files", |_, s| files[s].len());
        self.slots.extend(files[0].iter().zip(&files[1]).map(|(one, other)| [*one, *other]));
    }

    fn duplicate(&mut self) {
        let fd = self.slot();
        let numbers = [dup(&Kernel, fd[0]), dup(&self.model, fd[1])];
        let what = format!("dup({}) as #{}", self.show(fd), self.slots.len());
        self.both(&what, |_, s| numbers[s].map(|_| ())).ok();
        if let [Ok(kernel), Ok(model)] = numbers {
            self.slots.push([kernel, model]);
        }
    }

    fn run(mut self) {
        for _ in 0..CALLS {
            match self.below(16) {
                0 | 1 if self.slots.len() < 24 => self.make_some(),
                2..=4 => self.watching(),
                5..=8 => self.looking(),
                9..=12 => self.moving(),
                13 => self.duplicate(),
                _ => self.changing(),
            }
        }
        for slot in &self.slots {
            let _ = close(&Kernel, slot[0]);
        }
    }
}

/// Whether a number stands for an epoll, which a poll of it would change: asked by an error.
fn reported_any(model: &Model, fd: i32) -> bool {
    epoll_wait_fault(model, fd, 0) == Err(Errno::INVAL)
        && get_int(model, fd, SO_TYPE) == Err(Errno::NOTSOCK)
        && inq(model, fd) == Err(Errno::INVAL)
}

#[test]
fn epolls_hear_what_the_kernels_hear() {
    let programs = std::env::var("AFUNIX_READINESS_PROGRAMS").ok();
    let programs = programs.and_then(|count| count.parse().ok()).unwrap_or(PROGRAMS);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let fresh = since.expect("a clock after 1970").as_nanos() as u64 >> 16;
    let seed = std::env::var("AFUNIX_READINESS_SEED").ok().and_then(|seed| seed.parse().ok());
    let first: u64 = seed.unwrap_or(fresh);
    assert_eq!(Readiness::IN.bits(), EpollFlags::IN.bits() as i16);
    for seed in first..first + programs {
        Pair::new(seed).run();
    }
}
