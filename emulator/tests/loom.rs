//! Every interleaving of the waiting, with the real machine in the room: no wake-up is lost. And
//! the checker is shown to find one that was planted.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p afunix-emulator --release --test loom`
#![cfg(loom)]

use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use afunix::net::Fd;
use afunix::{Backend, Call, Errno, Exit, Pid, SOCK_STREAM, Segment, SegmentMut, Tid};
use afunix_emulator::room::{Held, Room};
use afunix_model::{Emulated, Machine, Park, Profile, Resume, Spawn, Ticket, Time};

/// A thread of the machine, and how it goes to sleep.
#[derive(Clone)]
struct Thread {
    room: Arc<Room<Machine>>,
    pid: Pid,
    tid: Tid,
    order: Order,
}

/// How many calls went to sleep, over all interleavings of a test (each test is a thread of its
/// own).
mod slept {
    use std::cell::Cell;

    std::thread_local!(static SLEPT: Cell<usize> = const { Cell::new(0) });

    pub(crate) fn count() -> usize {
        SLEPT.get()
    }

    pub(crate) fn one_more() {
        SLEPT.set(SLEPT.get() + 1);
    }
}

/// Tries every interleaving; some must put a call to sleep and some must not, or nothing was tried.
fn explore(body: fn(Order)) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    loom::model(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        body(Order::Right);
    });
    let (runs, slept) = (runs.load(Ordering::Relaxed), slept::count());
    assert!(runs > 1 && slept > 0 && slept < runs * 2, "{runs} interleavings, {slept} sleeps");
    println!("{runs} interleavings, {slept} sleeps");
}

/// What is under test.
#[derive(Clone, Copy)]
enum Order {
    /// Entered as asleep under the lock of the step that said *blocked*.
    Right,
    /// The planted fault: the lock is released before the ticket is enrolled.
    ReleasedFirst,
}

struct Guard<'a>(Held<'a, Machine>);

impl Deref for Guard<'_> {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.0
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut Machine {
        &mut self.0
    }
}

impl Park for Thread {
    type Guard<'a> = Guard<'a>;

    fn lock(&self) -> Guard<'_> {
        Guard(self.room.lock())
    }

    fn wait(&self, held: Guard<'_>, ticket: Ticket, until: Option<Time>) -> Resume {
        assert_eq!(until, None, "loom has no clock");
        slept::one_more();
        let held = match self.order {
            Order::Right => held,
            Order::ReleasedFirst => {
                drop(held);
                self.lock()
            }
        };
        held.0.wait(ticket, self.pid, || None::<Duration>);
        Resume::Woken(ticket)
    }

    fn wake(&self, held: &mut Guard<'_>, ticket: Ticket) {
        held.0.wake(ticket);
    }

    fn ended(&self, held: &mut Guard<'_>, pid: Pid, _: Exit) {
        held.0.wake_process(pid);
    }

    fn gone(&self, _: &Call<'_, '_>) -> Errno {
        Errno::SRCH
    }

    fn now(&self) -> Time {
        Time::ZERO
    }

    fn current(&self) -> Tid {
        self.tid
    }
}

/// A machine with a stream pair, numbers 3 and 4, and a handle for each of `count` threads of
/// process 1.
fn threads<const COUNT: usize>(order: Order) -> [Emulated<Thread>; COUNT] {
    let pid = Pid(1);
    let room = Arc::new(Room::new(Machine::new(Profile::default())));
    let first = Emulated(Thread { room, pid, tid: Tid(1), order });
    let mut fds = [0; 2];
    let (domain, kind, protocol) = (afunix::AF_UNIX, SOCK_STREAM, 0);
    first.call(&mut Call::Socketpair { domain, kind, protocol, fds: &mut fds }).unwrap();
    assert_eq!(fds, [LEFT.number(), RIGHT.number()]);
    std::array::from_fn(|at| {
        let tid = match at {
            0 => Tid(1),
            _ => first.with(|machine| machine.start_thread(pid, "other")),
        };
        Emulated(Thread { tid, ..first.0.clone() })
    })
}

const LEFT: Fd<'static> = number(3);
const RIGHT: Fd<'static> = number(4);

#[expect(unsafe_code, reason = "the machine's descriptors are numbers here")]
const fn number(number: i32) -> Fd<'static> {
    // SAFETY: no kernel is asked; the model answers a wrong number with EBADF.
    unsafe { Fd::borrow_raw(number) }
}

fn read(backend: &impl Backend, fd: Fd<'_>) -> Result<usize, Errno> {
    let mut byte = [0];
    backend.call(&mut Call::Read { fd, data: SegmentMut::Bytes(&mut byte), progress: 0 })
}

fn write(backend: &impl Backend, fd: Fd<'_>) -> Result<usize, Errno> {
    backend.call(&mut Call::Write { fd, data: Segment::Bytes(b"x"), progress: 0 })
}

/// One thread receives, another sends.
fn receive_and_send(order: Order) {
    let [receiver, sender] = threads(order);
    let receiving = loom::thread::spawn(move || read(&receiver, RIGHT));
    assert_eq!(write(&sender, LEFT), Ok(1));
    assert_eq!(receiving.join().unwrap(), Ok(1));
}

#[test]
fn no_wake_up_is_lost() {
    explore(receive_and_send);
}

#[test]
fn a_ping_pong_ends() {
    explore(|order| {
        let [one, other] = threads(order);
        let echo =
            loom::thread::spawn(move || read(&other, RIGHT).and_then(|_| write(&other, RIGHT)));
        assert_eq!(write(&one, LEFT), Ok(1));
        assert_eq!(read(&one, LEFT), Ok(1));
        assert_eq!(echo.join().unwrap(), Ok(1));
    });
}

#[test]
fn two_receivers_get_a_byte_each() {
    explore(|order| {
        let [one, two, sender] = threads(order);
        let first = loom::thread::spawn(move || read(&one, RIGHT));
        let second = loom::thread::spawn(move || read(&two, RIGHT));
        assert_eq!(write(&sender, LEFT), Ok(1));
        assert_eq!(write(&sender, LEFT), Ok(1));
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (Ok(1), Ok(1)));
    });
}

#[test]
fn the_end_of_a_process_wakes_its_threads() {
    explore(|order| {
        let [receiver, killer] = threads(order);
        let receiving = loom::thread::spawn(move || read(&receiver, RIGHT));
        killer.with(|machine| machine.exit(Pid(1), Exit::Signal(9)));
        assert_eq!(receiving.join().unwrap(), Err(Errno::SRCH));
    });
}

/// One thread waits for a child, another ends it.
fn wait_and_end(order: Order) {
    let [parent, killer] = threads(order);
    let spec = Spawn { name: "child", ..Spawn::default() };
    let (child, _) = parent.with(|machine| machine.spawn(Pid(1), &spec)).unwrap();
    let waiting = loom::thread::spawn(move || {
        let mut status = None;
        parent.call(&mut Call::Waitpid { pid: child, status: &mut status }).map(|_| status)
    });
    killer.with(|machine| machine.exit(child, Exit::Status(7)));
    assert_eq!(waiting.join().unwrap(), Ok(Some(Exit::Status(7))));
}

#[test]
fn the_end_of_a_child_wakes_its_parent() {
    explore(wait_and_end);
}

#[test]
fn a_planted_lost_wake_up_is_found() {
    for body in [receive_and_send as fn(Order), wait_and_end] {
        let run = || loom::model(move || body(Order::ReleasedFirst));
        let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("loom finds the lost wake-up");
        let message = panic.downcast_ref::<String>().map_or("", String::as_str);
        assert!(message.contains("deadlock"), "{message}");
    }
}
