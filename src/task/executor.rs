//! [`Executor`]: runs the tasks of one thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::wake::{Waking, Woken};
use crate::net::Fd;
use crate::{Call, Errno, Host, PollFd, Readiness};

/// Tasks that are run before the executor looks at its descriptors, though there are more.
const TURNS: u32 = 64;

/// The task of [`Executor::block_on`].
const MAIN: u64 = 0;

/// Runs tasks on the calling thread. Clones are the same executor.
pub struct Executor<H: Host>(Rc<Inner<H>>);

type Body = Pin<Box<dyn Future<Output = ()>>>;

struct Inner<H: Host> {
    host: H,
    woken: Arc<Woken<H>>,
    /// By number; `None` while it runs.
    tasks: RefCell<BTreeMap<u64, Option<Body>>>,
    /// Waits for readiness, in the order in which they began.
    waits: RefCell<BTreeMap<u64, Wait>>,
    /// By when they end.
    timers: RefCell<BTreeMap<(Duration, u64), Waker>>,
    /// The last number given to a task, a wait or a timer.
    last: Cell<u64>,
    runs: Cell<bool>,
}

struct Wait {
    /// It stays open for as long as the wait is here: [`Ready`] borrows it.
    number: i32,
    events: Readiness,
    /// What there is.
    found: Readiness,
    waker: Waker,
}

impl<H: Host> Clone for Executor<H> {
    fn clone(&self) -> Self {
        Executor(Rc::clone(&self.0))
    }
}

impl<H: Host> Executor<H> {
    /// An executor without tasks. Takes a descriptor: EMFILE, ENFILE.
    pub fn new(host: &H) -> Result<Self, Errno> {
        Ok(Executor(Rc::new(Inner {
            host: host.clone(),
            woken: Arc::new(Woken::new(host)?),
            tasks: RefCell::default(),
            waits: RefCell::default(),
            timers: RefCell::default(),
            last: Cell::new(MAIN),
            runs: Cell::new(false),
        })))
    }

    /// The host that it runs on.
    pub fn host(&self) -> &H {
        &self.0.host
    }

    /// Runs `main`, and beside it the other tasks, until `main` is over. What of the others is not
    /// over then is dropped.
    ///
    /// # Panics
    /// Inside of itself.
    pub fn block_on<T>(&self, main: impl Future<Output = T>) -> T {
        let inner = &*self.0;
        assert!(!inner.runs.replace(true), "an executor cannot be run inside of itself");
        let _over = Over(inner);
        let mut main = pin!(main);
        inner.woken.push(MAIN);
        let mut turns = 0;
        loop {
            let next = inner.woken.take(|count| inner.host.pick(count));
            let Some(task) = next else {
                turns = 0;
                inner.wait(false);
                continue;
            };
            let waking = Waking { woken: Arc::clone(&inner.woken), task };
            let waker = Waker::from(Arc::new(waking));
            let mut context = Context::from_waker(&waker);
            if task != MAIN {
                inner.run(task, &mut context);
            } else if let Poll::Ready(result) = main.as_mut().poll(&mut context) {
                return result;
            }
            turns += 1;
            if turns == TURNS {
                turns = 0;
                inner.wait(true);
            }
        }
    }

    /// Starts a task. It begins when [`block_on`](Executor::block_on) runs, and goes on if what is
    /// returned is dropped.
    pub fn spawn<T: 'static>(&self, body: impl Future<Output = T> + 'static) -> Task<T> {
        let number = self.0.next();
        let end = Rc::new(RefCell::new(End { result: None, is_over: false, waker: None }));
        let unfinished = Unfinished(Rc::clone(&end));
        let whole = async move {
            let result = body.await;
            finish(&unfinished.0, Ok(result));
        };
        self.0.tasks.borrow_mut().insert(number, Some(Box::pin(whole)));
        self.0.woken.push(number);
        let inner = Rc::downgrade(&self.0);
        let cancel = Box::new(move || {
            if let Some(inner) = inner.upgrade() {
                // Dropped outside of the borrow: destructors may start and cancel others.
                let body = inner.tasks.borrow_mut().remove(&number);
                drop(body);
            }
        });
        Task { end, cancel }
    }

    /// Ends after `time`, or later.
    pub async fn sleep(&self, time: Duration) {
        let at = self.0.host.now().saturating_add(time);
        Timer { inner: &self.0, key: (at, self.0.next()), begun: false }.await;
    }

    /// Lets other tasks go on first.
    pub async fn yield_now(&self) {
        let mut yielded = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Ends when poll(2) finds one of `events` (or an error) on `fd`; tells what it found.
    pub async fn ready(&self, fd: Fd<'_>, events: Readiness) -> Readiness {
        Ready { inner: &self.0, fd, events, key: None }.await
    }
}

impl<H: Host> fmt::Debug for Executor<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Executor")
    }
}

/// What is left over when `block_on` ends, or unwinds.
struct Over<'a, H: Host>(&'a Inner<H>);

impl<H: Host> Drop for Over<'_, H> {
    fn drop(&mut self) {
        let tasks = std::mem::take(&mut *self.0.tasks.borrow_mut());
        drop(tasks);
        self.0.runs.set(false);
    }
}

impl<H: Host> Inner<H> {
    fn next(&self) -> u64 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    /// Runs a task until it waits, or is over.
    fn run(&self, number: u64, context: &mut Context<'_>) {
        // It may have ended, or have been cancelled, since it was woken.
        let taken = self.tasks.borrow_mut().get_mut(&number).and_then(Option::take);
        let Some(mut body) = taken else { return };
        let is_over = body.as_mut().poll(context).is_ready();
        let mut tasks = self.tasks.borrow_mut();
        let left = match tasks.get_mut(&number) {
            Some(place) if !is_over => place.replace(body),
            _ => {
                tasks.remove(&number);
                Some(body)
            }
        };
        drop(tasks);
        drop(left);
    }

    /// Waits until a task can go on (`look`: does not wait) and wakes those that can.
    fn wait(&self, look: bool) {
        if !look && !self.woken.may_wait() {
            return;
        }
        let first = self.timers.borrow().first_key_value().map(|((at, _), _)| *at);
        let mut timeout = first.map(|at| at.saturating_sub(self.host.now()));
        if look {
            timeout = Some(Duration::ZERO);
        }
        let (keys, numbers): (Vec<u64>, Vec<(i32, Readiness)>) = {
            let waits = self.waits.borrow();
            waits.iter().map(|(key, wait)| (*key, (wait.number, wait.events))).unzip()
        };
        let counter = PollFd::new(self.woken.counter().as_fd(), Readiness::IN);
        let waits = numbers.iter().map(|(number, events)| PollFd::new(Fd::new(*number), *events));
        let mut fds: Vec<PollFd<'_>> = std::iter::once(counter).chain(waits).collect();
        let polled = self.host.call(&mut Call::Poll { fds: &mut fds, timeout, mask: None });
        self.woken.waited();
        match polled {
            Ok(_) => {}
            // Then nobody is woken, and the executor comes here again.
            Err(Errno::INTR) => fds.iter_mut().for_each(|fd| fd.revents = Readiness::empty()),
            Err(errno) => panic!("poll(2) of {} descriptors: {errno}", fds.len()),
        }
        if !fds[0].revents.is_empty() {
            self.woken.drain();
        }
        for (key, fd) in keys.iter().zip(&fds[1..]).filter(|(_, fd)| !fd.revents.is_empty()) {
            let waker = self.waits.borrow_mut().get_mut(key).map(|wait| {
                wait.found = fd.revents;
                wait.waker.clone()
            });
            waker.into_iter().for_each(Waker::wake);
        }
        if first.is_some() {
            let now = self.host.now();
            let late = {
                let mut timers = self.timers.borrow_mut();
                let later = timers.split_off(&(now, u64::MAX));
                std::mem::replace(&mut *timers, later)
            };
            late.into_values().for_each(Waker::wake);
        }
    }
}

/// See [`Executor::ready`].
struct Ready<'a, H: Host> {
    inner: &'a Inner<H>,
    fd: Fd<'a>,
    events: Readiness,
    key: Option<u64>,
}

impl<H: Host> Future for Ready<'_, H> {
    type Output = Readiness;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Readiness> {
        let inner = self.inner;
        let key = *self.key.get_or_insert_with(|| inner.next());
        let mut waits = inner.waits.borrow_mut();
        let wait = waits.entry(key).or_insert_with(|| Wait {
            number: self.fd.number(),
            events: self.events,
            found: Readiness::empty(),
            waker: context.waker().clone(),
        });
        if !wait.found.is_empty() {
            return Poll::Ready(wait.found);
        }
        wait.waker.clone_from(context.waker());
        Poll::Pending
    }
}

impl<H: Host> Drop for Ready<'_, H> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.inner.waits.borrow_mut().remove(&key);
        }
    }
}

/// See [`Executor::sleep`].
struct Timer<'a, H: Host> {
    inner: &'a Inner<H>,
    key: (Duration, u64),
    begun: bool,
}

impl<H: Host> Future for Timer<'_, H> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut timers = self.inner.timers.borrow_mut();
        if self.begun && !timers.contains_key(&self.key) {
            return Poll::Ready(());
        }
        timers.insert(self.key, context.waker().clone());
        drop(timers);
        self.begun = true;
        Poll::Pending
    }
}

impl<H: Host> Drop for Timer<'_, H> {
    fn drop(&mut self) {
        self.inner.timers.borrow_mut().remove(&self.key);
    }
}

/// A task that was started, as a future of its result. Dropped, it lets the task go on.
pub struct Task<T> {
    end: Rc<RefCell<End<T>>>,
    cancel: Box<dyn Fn()>,
}

/// How a task ended, and who waits for that.
struct End<T> {
    result: Option<Result<T, Cancelled>>,
    is_over: bool,
    waker: Option<Waker>,
}

/// The task was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task was cancelled")
    }
}

impl std::error::Error for Cancelled {}

/// What a task holds for as long as it is there: dropped before its end, it was cancelled.
struct Unfinished<T>(Rc<RefCell<End<T>>>);

impl<T> Drop for Unfinished<T> {
    fn drop(&mut self) {
        finish(&self.0, Err(Cancelled));
    }
}

fn finish<T>(end: &RefCell<End<T>>, result: Result<T, Cancelled>) {
    let waker = {
        let mut end = end.borrow_mut();
        if std::mem::replace(&mut end.is_over, true) {
            return;
        }
        end.result = Some(result);
        end.waker.take()
    };
    waker.into_iter().for_each(Waker::wake);
}

impl<T> Task<T> {
    /// Drops what the task runs, at the place where it waits; not if it is over. (Of the task that
    /// calls this: when it next waits.)
    pub fn cancel(&self) {
        (self.cancel)();
        finish(&self.end, Err(Cancelled));
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Cancelled>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut end = self.end.borrow_mut();
        match end.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                end.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Task")
    }
}
