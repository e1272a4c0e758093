//! Files in flight that nobody can reach (GC 1 to 4): random graphs of sockets that hold each
//! other, on the model and on the kernel, whose descriptors are closed one by one.
//!
//! The programs of the differential run keep such cycles out: the kernel collects when it comes to
//! it, and forgets a request that comes while it collects. Here each close is followed by closes
//! of other sockets until the kernel shows what the model does; then a *canary* is put into a cycle
//! of its own, and once it is collected nothing more may have changed.

mod support;

use std::time::{Duration, Instant};

use afunix::{Backend, OpenFlags, RawName, Readiness, Segment};
use afunix_kernel_backend::Kernel;
use afunix_tests::calls::*;
use afunix_tests::raw::control as raw_control;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64;
use support::Model;

/// Graphs of one run.
const GRAPHS: u64 = 12;
/// The kernel takes milliseconds for each layer of files in flight, and more if it is busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// MSG_DONTWAIT and MSG_NOSIGNAL.
const FLAGS: i32 = 0x4040;

/// A descriptor, by its numbers in the model and on the kernel.
type Both = [i32; 2];

/// Sockets that hold each other in flight, on both sides.
struct Graph {
    random: Pcg64,
    seed: u64,
    sides: [Box<dyn Backend>; 2],
    /// What is open.
    open: Vec<Both>,
    /// What is looked at: the other ends of pairs that went into queues.
    observers: Vec<Both>,
    /// What was done, to be read.
    done: Vec<String>,
}

impl Graph {
    fn new(seed: u64) -> Graph {
        let model = Model::new();
        Graph {
            random: Pcg64::seed_from_u64(seed),
            seed,
            sides: [Box::new(model), Box::new(Kernel)],
            open: Vec::new(),
            observers: Vec::new(),
            done: Vec::new(),
        }
    }

    /// Makes sockets, sends them to each other, and closes all, with some received in between.
    fn run(&mut self) {
        for _ in 0..2 + self.below(3) {
            self.make();
        }
        for _ in 0..4 + self.below(8) {
            match self.below(8) {
                0 => self.make(),
                1 => self.accept(),
                _ => self.send(),
            }
        }
        while !self.open.is_empty() {
            match self.below(8) {
                0 => self.receive(),
                1 if self.open.len() > 3 => self.send(),
                _ => self.close(),
            }
        }
        for side in 0..2 {
            for observer in &self.observers {
                close(&*self.sides[side], observer[side]).expect("an observer is open");
            }
        }
    }

    fn below(&mut self, end: usize) -> usize {
        self.random.next_u32() as usize % end
    }

    fn any(&mut self) -> Option<Both> {
        let end = self.open.len();
        (end > 0).then(|| self.below(end)).map(|index| self.open[index])
    }

    /// Does the same on both sides, which answer the same but for numbers.
    fn both<T>(&mut self, what: String, body: impl Fn(&dyn Backend, usize) -> T) -> [T; 2] {
        self.done.push(what);
        [0, 1].map(|side| body(&*self.sides[side], side))
    }

    fn keep(&mut self, [model, kernel]: [Vec<i32>; 2]) {
        assert_eq!(model.len(), kernel.len(), "{self:?}");
        self.open.extend(model.into_iter().zip(kernel).map(|(model, kernel)| [model, kernel]));
    }

    fn same<T: PartialEq + std::fmt::Debug>(&self, [model, kernel]: [T; 2]) -> T {
        assert_eq!(model, kernel, "{self:?}");
        model
    }

    /// A pair, a listener with clients that are not accepted, or datagram sockets of one receiver.
    fn make(&mut self) {
        let kind = TYPES[self.below(3)];
        let label = format!("gc-{}-{}", self.seed, self.done.len());
        let clients = 1 + self.below(2);
        let made = match self.below(3) {
            0 if kind == DGRAM => self.both(format!("receiver, {clients} senders"), |b, _| {
                let own = bound(b, DGRAM, &hidden(&label));
                let all = (0..clients).map(|_| connected(b, DGRAM, &hidden(&label)).unwrap());
                [own].into_iter().chain(all).collect()
            }),
            0 => self.both(format!("listener of {kind}, {clients} clients"), |b, _| {
                let own = socket(b, kind | NONBLOCK).unwrap();
                bind(b, own, &hidden(&label)).unwrap();
                listen(b, own, 5).unwrap();
                let all = (0..clients).map(|_| connected(b, kind, &hidden(&label)).unwrap());
                [own].into_iter().chain(all).collect()
            }),
            _ => self.both(format!("pair of {kind}"), |b, _| {
                let (left, right) = pair(b, kind);
                vec![left, right]
            }),
        };
        self.keep(made);
    }

    fn accept(&mut self) {
        let Some(fd) = self.any() else { return };
        let got = self.both(format!("accept {fd:?}"), |b, side| accept(b, fd[side], 0));
        let _ = self.same([0, 1].map(|side| got[side].map(|_| ())));
        self.keep(got.map(|fd| fd.into_iter().collect()));
    }

    /// Sends some of what is open, and one end of a new pair, whose other end is an observer.
    fn send(&mut self) {
        let Some(through) = self.any() else { return };
        let files: Vec<Both> = (0..self.below(4)).filter_map(|_| self.any()).collect();
        let pairs =
            self.both(format!("send through {through:?}: {files:?}"), |b, _| pair(b, STREAM));
        let cargo = pairs.map(|(_, cargo)| cargo);
        let sent = [0, 1].map(|side| {
            let b = &*self.sides[side];
            let mut fds: Vec<i32> = files.iter().map(|file| file[side]).collect();
            fds.push(cargo[side]);
            let (data, control) = ([Segment::Bytes(b"x")], rights(&fds));
            let sent =
                sendmsg_of(b, through[side], &data, raw_control(&control), FLAGS, RawName::NONE);
            close(b, cargo[side]).expect("it is open");
            sent
        });
        let _ = self.same(sent);
        self.observers.push(pairs.map(|(observer, _)| observer));
        self.settle();
    }

    fn receive(&mut self) {
        let Some(fd) = self.any() else { return };
        let got =
            self.both(format!("receive from {fd:?}"), |b, side| recvmsg(b, fd[side], 8, 64, FLAGS));
        let shown = |got: &Answer<Message>| match got {
            Ok(got) => Ok((got.data.clone(), got.flags, got.rights().len())),
            Err(errno) => Err(*errno),
        };
        let _ = self.same([0, 1].map(|side| shown(&got[side])));
        self.keep(got.map(|got| got.map_or_else(|_| Vec::new(), |got| got.rights())));
        self.settle();
    }

    fn close(&mut self) {
        let index = self.below(self.open.len());
        let fd = self.open.swap_remove(index);
        let closed = self.both(format!("close {fd:?}"), |b, side| close(b, fd[side]));
        assert_eq!(self.same(closed), Ok(0));
        self.settle();
    }

    /// Waits until both sides have collected: all that is open and all observers look the same, and
    /// still do after a cycle that was made later was collected.
    fn settle(&mut self) {
        poke(&*self.sides[0]);
        let begin = Instant::now();
        while self.looks(0) != self.looks(1) && begin.elapsed() < PATIENCE {
            poke(&*self.sides[1]);
            std::thread::sleep(Duration::from_millis(1));
        }
        for _ in 0..2 {
            self.sides.iter().for_each(|side| canary(&**side));
        }
        self.same([0, 1].map(|side| self.looks(side)));
    }

    /// What all that is open is ready for, and how many files are in flight to it.
    fn looks(&self, side: usize) -> Vec<(Readiness, String)> {
        let b = &*self.sides[side];
        let all = self.open.iter().chain(&self.observers);
        all.map(|fd| (poll(b, fd[side]), files_in_flight(b, fd[side]))).collect()
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "graph of seed {}:", self.seed)?;
        self.done.iter().try_for_each(|what| writeln!(f, "    {what}"))
    }
}

/// How many files are in flight to a socket, as its fdinfo tells (OPT 13).
fn files_in_flight(b: &dyn Backend, fd: i32) -> String {
    let info = open(b, &format!("/proc/self/fdinfo/{fd}"), OpenFlags::empty()).expect("it is open");
    let text = String::from_utf8(read(b, info, 4096).expect("text")).expect("text");
    close(b, info).expect("it is open");
    let field = text.lines().find_map(|line| line.strip_prefix("scm_fds: "));
    field.expect("a socket has the field").to_owned()
}

/// The close of a socket has the collector run.
fn poke(b: &dyn Backend) {
    let fd = socket(b, DGRAM).expect("a socket");
    close(b, fd).expect("it is open");
}

/// Makes a cycle, and waits until it is collected.
fn canary(b: &dyn Backend) {
    let (watch, cargo) = pair(b, STREAM);
    let (own, other) = pair(b, STREAM);
    sendmsg(b, other, b"x", &rights(&[own, cargo])).expect("room");
    for fd in [own, cargo, other] {
        close(b, fd).expect("it is open");
    }
    let begin = Instant::now();
    while !poll(b, watch).contains(Readiness::HUP) {
        assert!(begin.elapsed() < PATIENCE, "the canary is not collected");
        poke(b);
        std::thread::sleep(Duration::from_millis(1));
    }
    close(b, watch).expect("it is open");
}

#[test]
fn random_graphs_are_collected_as_the_kernel_does() {
    let given = std::env::var("AFUNIX_SEED").ok().and_then(|seed| seed.parse().ok());
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = given.unwrap_or(since.expect("a clock after 1970").as_nanos() as u64);
    println!("AFUNIX_SEED={seed}");
    let threads = 6;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for graph in 0..GRAPHS / threads {
                    Graph::new(seed.wrapping_add(thread + graph * threads)).run();
                }
            });
        }
    });
}
