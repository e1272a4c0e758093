//! epoll and select.

use std::time::Duration;

use afunix::{Backend, Call, EpollEvent, EpollFlags, EventsOut, OpenFlags};

use super::Answer;
use crate::raw::fd as number;

/// EPOLL_CTL_ADD.
pub const CTL_ADD: i32 = 1;
/// EPOLL_CTL_DEL.
pub const CTL_DEL: i32 = 2;
/// EPOLL_CTL_MOD.
pub const CTL_MOD: i32 = 3;

/// epoll_create1(2).
pub fn epoll_create1(b: &dyn Backend, flags: i32) -> Answer<i32> {
    let flags = OpenFlags::from_bits_retain(flags);
    b.call(&mut Call::EpollCreate1 { flags }).map(|fd| fd as i32)
}

/// A new epoll.
///
/// # Panics
/// If there is none to be had.
pub fn epoll(b: &dyn Backend) -> i32 {
    epoll_create1(b, 0).expect("an epoll")
}

/// epoll_ctl(2) of any kind.
pub fn epoll_ctl(
    b: &dyn Backend,
    fd: i32,
    op: i32,
    target: i32,
    event: Option<(EpollFlags, u64)>,
) -> Answer {
    let event = event.map(|(events, data)| EpollEvent { events, data });
    b.call(&mut Call::EpollCtl { fd: number(fd), op, target: number(target), event })
}

/// EPOLL_CTL_ADD.
pub fn watch(b: &dyn Backend, ep: i32, fd: i32, events: EpollFlags, data: u64) -> Answer {
    epoll_ctl(b, ep, CTL_ADD, fd, Some((events, data)))
}

/// EPOLL_CTL_MOD.
pub fn rewatch(b: &dyn Backend, ep: i32, fd: i32, events: EpollFlags, data: u64) -> Answer {
    epoll_ctl(b, ep, CTL_MOD, fd, Some((events, data)))
}

/// EPOLL_CTL_DEL.
pub fn unwatch(b: &dyn Backend, ep: i32, fd: i32) -> Answer {
    epoll_ctl(b, ep, CTL_DEL, fd, None)
}

/// epoll_pwait2(2): the data and the events of each.
pub fn epoll_wait(
    b: &dyn Backend,
    fd: i32,
    maxevents: usize,
    timeout: Option<Duration>,
) -> Answer<Vec<(u64, EpollFlags)>> {
    let mut room = vec![EpollEvent::default(); maxevents];
    let events = EventsOut::Room(&mut room);
    let count = b.call(&mut Call::EpollPwait2 { fd: number(fd), events, timeout, mask: None })?;
    Ok(room.iter().take(count).map(|event| (event.data, event.events)).collect())
}

/// epoll_pwait2(2) for `maxevents` in memory that cannot be written, without waiting.
pub fn epoll_wait_fault(b: &dyn Backend, fd: i32, maxevents: i32) -> Answer {
    let (events, timeout) = (EventsOut::Fault(maxevents), Some(Duration::ZERO));
    b.call(&mut Call::EpollPwait2 { fd: number(fd), events, timeout, mask: None })
}

/// What an epoll has to report now, sixteen at most.
///
/// # Panics
/// If it cannot be asked.
pub fn reported(b: &dyn Backend, fd: i32) -> Vec<(u64, EpollFlags)> {
    epoll_wait(b, fd, 16, Some(Duration::ZERO)).expect("epoll_wait")
}

/// The data of what an epoll has to report now, in order.
pub fn reporting(b: &dyn Backend, fd: i32) -> Vec<u64> {
    reported(b, fd).into_iter().map(|(data, _)| data).collect()
}

/// pselect6(2) with sets of one word; the timeout comes back as what is left of it.
pub fn select(
    b: &dyn Backend,
    nfds: i32,
    sets: &mut [u64; 3],
    timeout: &mut Option<Duration>,
) -> Answer {
    let [read, write, except] = sets;
    b.call(&mut Call::Pselect6 {
        nfds,
        readfds: Some(std::slice::from_mut(read)),
        writefds: Some(std::slice::from_mut(write)),
        exceptfds: Some(std::slice::from_mut(except)),
        timeout: timeout.as_mut(),
        mask: None,
    })
}
