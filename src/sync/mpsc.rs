//! Channels with many senders and one receiver, as [`std::sync::mpsc`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::mpsc as real;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

use super::{Access, Arbiter, Tried};
use crate::Host;
use crate::snapshot::WaitReason;

/// A channel that holds any number of messages, for the threads of the calling process.
pub fn channel<T, H: Host>(host: &H) -> (Sender<T, H>, Receiver<T, H>) {
    match Stepped::new(host, None) {
        Some(channel) => (Sender(Tx::Stepped(channel.sender())), Receiver(Rx::Stepped(channel))),
        None => {
            let (sender, receiver) = real::channel();
            (Sender(Tx::Real(sender)), Receiver(Rx::Real(receiver)))
        }
    }
}

/// A channel that holds up to `bound` messages. Where that is 0, to send waits for the receiver to
/// take the message. (There, in a simulation, [`SyncSender::try_send`] always finds the channel
/// full.)
pub fn sync_channel<T, H: Host>(host: &H, bound: usize) -> (SyncSender<T, H>, Receiver<T, H>) {
    match Stepped::new(host, Some(bound)) {
        Some(channel) => {
            (SyncSender(Tx::Stepped(channel.sender())), Receiver(Rx::Stepped(channel)))
        }
        None => {
            let (sender, receiver) = real::sync_channel(bound);
            (SyncSender(Tx::Real(sender)), Receiver(Rx::Real(receiver)))
        }
    }
}

/// Sends without waiting; clones send to the same channel.
pub struct Sender<T, H: Host>(Tx<T, real::Sender<T>, H>);

/// Sends, and waits while the channel is full; clones send to the same channel.
pub struct SyncSender<T, H: Host>(Tx<T, real::SyncSender<T>, H>);

/// Receives.
pub struct Receiver<T, H: Host>(Rx<T, H>);

/// A way in.
enum Tx<T, S, H: Host> {
    Real(S),
    Stepped(StepSender<T, H>),
}

/// The way out.
enum Rx<T, H: Host> {
    Real(real::Receiver<T>),
    Stepped(Arc<Stepped<T, H>>),
}

impl<T, S: Clone, H: Host> Clone for Tx<T, S, H> {
    fn clone(&self) -> Self {
        match self {
            Tx::Real(sender) => Tx::Real(sender.clone()),
            Tx::Stepped(StepSender(channel)) => Tx::Stepped(channel.sender()),
        }
    }
}

impl<T, H: Host> Sender<T, H> {
    /// Sends; the message comes back if there is no receiver any more.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        match &self.0 {
            Tx::Real(sender) => sender.send(message),
            Tx::Stepped(StepSender(channel)) => channel.send(message),
        }
    }
}

impl<T, H: Host> SyncSender<T, H> {
    /// Waits for room, and sends; the message comes back if there is no receiver any more.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        match &self.0 {
            Tx::Real(sender) => sender.send(message),
            Tx::Stepped(StepSender(channel)) => channel.send(message),
        }
    }

    /// Sends if there is room.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        match &self.0 {
            Tx::Real(sender) => sender.try_send(message),
            Tx::Stepped(StepSender(channel)) => channel.try_send(message),
        }
    }
}

impl<T, H: Host> Receiver<T, H> {
    /// Waits for a message. An error if none is there and there is no sender any more.
    pub fn recv(&self) -> Result<T, RecvError> {
        match &self.0 {
            Rx::Real(receiver) => receiver.recv(),
            Rx::Stepped(channel) => channel.recv("recv", None).unwrap_or(Err(RecvError)),
        }
    }

    /// The next message, if one is there.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        match &self.0 {
            Rx::Real(receiver) => receiver.try_recv(),
            Rx::Stepped(channel) => channel.try_recv(),
        }
    }

    /// Waits for a message for `timeout` at most.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        match &self.0 {
            Rx::Real(receiver) => receiver.recv_timeout(timeout),
            Rx::Stepped(channel) => match channel.recv("recv_timeout", Some(timeout)) {
                Some(received) => received.map_err(|_| RecvTimeoutError::Disconnected),
                None => Err(RecvTimeoutError::Timeout),
            },
        }
    }

    /// The messages that come, until there is no sender any more.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.recv().ok())
    }
}

/// A channel of a simulation. What senders meet at is one thing, what the receiver waits at
/// another: while messages are there, to send and to receive do not touch the same.
struct Stepped<T, H: Host> {
    inlet: H::Arbiter,
    outlet: H::Arbiter,
    bound: Option<usize>,
    state: Mutex<State<T>>,
}

struct State<T> {
    queue: VecDeque<T>,
    senders: usize,
    /// Whether there is a receiver.
    received: bool,
    /// Messages that were ever sent, and that were taken.
    sent: u64,
    taken: u64,
}

impl<T, H: Host> Stepped<T, H> {
    fn new(host: &H, bound: Option<usize>) -> Option<Arc<Self>> {
        let state = State { queue: VecDeque::new(), senders: 0, received: true, sent: 0, taken: 0 };
        let (inlet, outlet) = (host.arbiter()?, host.arbiter()?);
        Some(Arc::new(Stepped { inlet, outlet, bound, state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sender(self: &Arc<Self>) -> StepSender<T, H> {
        self.state().senders += 1;
        StepSender(Arc::clone(self))
    }

    /// Puts a message into the queue.
    fn put(&self, state: &mut State<T>, message: Option<T>) -> u64 {
        if state.queue.is_empty() {
            self.outlet.touch(Access::Write);
        }
        state.queue.extend(message);
        state.sent += 1;
        state.sent
    }

    fn send(&self, message: T) -> Result<(), SendError<T>> {
        let mut message = Some(message);
        let number = self.inlet.step("send", None, || {
            let mut state = self.state();
            if !state.received {
                return Tried::Done(Access::Read, None);
            }
            if self.bound.is_some_and(|bound| state.queue.len() >= bound.max(1)) {
                return Tried::Waits(Access::Read, WaitReason::ChannelRoom);
            }
            Tried::Done(Access::Write, Some(self.put(&mut state, message.take())))
        });
        if let (Some(Some(number)), Some(0)) = (number, self.bound) {
            self.inlet.step("send", None, || {
                let state = self.state();
                match state.taken < number && state.received {
                    true => Tried::Waits(Access::Read, WaitReason::ChannelRoom),
                    false => Tried::Done(Access::Read, ()),
                }
            });
            let mut state = self.state();
            if state.taken < number && !state.received {
                message = state.queue.pop_back();
            }
        }
        message.map_or(Ok(()), |message| Err(SendError(message)))
    }

    fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        let mut message = Some(message);
        let received = self.inlet.step("try_send", None, || {
            let mut state = self.state();
            if state.received && self.bound.is_none_or(|bound| state.queue.len() < bound) {
                self.put(&mut state, message.take());
                return Tried::Done(Access::Write, true);
            }
            Tried::Done(Access::Read, state.received)
        });
        match message {
            None => Ok(()),
            Some(message) if received == Some(true) => Err(TrySendError::Full(message)),
            Some(message) => Err(TrySendError::Disconnected(message)),
        }
    }

    /// Takes the next message, if there is one.
    fn take(&self, state: &mut State<T>) -> Option<T> {
        let full = self.bound.is_some_and(|bound| state.queue.len() >= bound);
        let message = state.queue.pop_front()?;
        state.taken += 1;
        if full {
            self.inlet.touch(Access::Write);
        }
        Some(message)
    }

    /// `None` if it still waits after `timeout`.
    fn recv(&self, what: &'static str, timeout: Option<Duration>) -> Option<Result<T, RecvError>> {
        self.outlet.step(what, timeout, || {
            let mut state = self.state();
            match self.take(&mut state) {
                Some(message) => Tried::Done(Access::Write, Ok(message)),
                None if state.senders == 0 => Tried::Done(Access::Read, Err(RecvError)),
                None => Tried::Waits(Access::Read, WaitReason::Message),
            }
        })
    }

    fn try_recv(&self) -> Result<T, TryRecvError> {
        let received = self.outlet.step("try_recv", None, || {
            let mut state = self.state();
            match self.take(&mut state) {
                Some(message) => Tried::Done(Access::Write, Ok(message)),
                None if state.senders == 0 => {
                    Tried::Done(Access::Read, Err(TryRecvError::Disconnected))
                }
                None => Tried::Done(Access::Read, Err(TryRecvError::Empty)),
            }
        });
        received.unwrap_or(Err(TryRecvError::Empty))
    }
}

/// A sender of a simulation.
struct StepSender<T, H: Host>(Arc<Stepped<T, H>>);

impl<T, H: Host> Drop for StepSender<T, H> {
    fn drop(&mut self) {
        self.0.outlet.release("drop_sender", || {
            let mut state = self.0.state();
            state.senders -= 1;
            if state.senders == 0 { Access::Write } else { Access::Read }
        });
    }
}

impl<T, H: Host> Drop for Receiver<T, H> {
    fn drop(&mut self) {
        let Rx::Stepped(channel) = &self.0 else { return };
        let mut left = VecDeque::new();
        channel.inlet.release("drop_receiver", || {
            let mut state = channel.state();
            state.received = false;
            // Of a rendezvous the sender takes its message back.
            if channel.bound != Some(0) {
                std::mem::swap(&mut left, &mut state.queue);
            }
            Access::Write
        });
    }
}

impl<T, H: Host> Clone for Sender<T, H> {
    fn clone(&self) -> Self {
        Sender(self.0.clone())
    }
}

impl<T, H: Host> Clone for SyncSender<T, H> {
    fn clone(&self) -> Self {
        SyncSender(self.0.clone())
    }
}

impl<T, H: Host> fmt::Debug for Sender<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl<T, H: Host> fmt::Debug for SyncSender<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SyncSender")
    }
}

impl<T, H: Host> fmt::Debug for Receiver<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}
