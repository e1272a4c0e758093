//! Calls with a signal mask of their own: ppoll, pselect and epoll_pwait.

use std::time::Duration;

use afunix::signal::{SIG_BLOCK, SIG_SETMASK};
use afunix::{
    Call, EpollEvent, EpollFlags, EventsOut, Exit, Host, PollFd, Readiness, SaFlags, SigSet,
};

use super::{INTR, Log, SETTLE, USR1, end_of, kill, shortly, sigprocmask};
use crate::calls::*;

/// A call with a signal mask of its own, and a timeout.
type Masked<H> = fn(&H, i32, Option<SigSet>, Duration) -> Answer;

fn ppoll<H: Host>(h: &H, fd: i32, mask: Option<SigSet>, timeout: Duration) -> Answer {
    let mut fds = [PollFd::new(crate::raw::fd(fd), Readiness::IN)];
    h.call(&mut Call::Poll { fds: &mut fds, timeout: Some(timeout), mask })
}

fn pselect<H: Host>(h: &H, fd: i32, mask: Option<SigSet>, mut timeout: Duration) -> Answer {
    let mut set = [1 << fd];
    h.call(&mut Call::Pselect6 {
        nfds: fd + 1,
        readfds: Some(&mut set),
        writefds: None,
        exceptfds: None,
        timeout: Some(&mut timeout),
        mask,
    })
}

fn epoll_pwait<H: Host>(h: &H, fd: i32, mask: Option<SigSet>, timeout: Duration) -> Answer {
    let epoll = epoll(h);
    watch(h, epoll, fd, EpollFlags::IN, 0)?;
    let mut room = [EpollEvent::default()];
    let (events, timeout) = (EventsOut::Room(&mut room), Some(timeout));
    let fd = crate::raw::fd(epoll);
    let answer = h.call(&mut Call::EpollPwait2 { fd, events, timeout, mask });
    close(h, epoll)?;
    answer
}

pub(super) fn masks_of_calls<H: Host>(h: &H) {
    let log = Log::default();
    let (blocked, short) = (SigSet::of(&[USR1]), Duration::from_millis(50));
    let (a, b) = pair(h, STREAM);
    let calls: [Masked<H>; 3] = [ppoll, pselect, epoll_pwait];
    for (which, call) in calls.into_iter().enumerate() {
        log.handle(h, USR1, SaFlags::RESTART);
        sigprocmask(h, SIG_SETMASK, Some(blocked)).unwrap();
        kill(h, getpid(h), USR1).unwrap();
        assert_eq!(call(h, a, None, Duration::ZERO), Ok(0), "blocked");
        assert_eq!(call(h, a, Some(blocked), short), Ok(0), "blocked by both");
        assert_eq!(log.take(), [0; 0]);
        assert_eq!(call(h, a, Some(SigSet::EMPTY), short), INTR, "call {which}");
        assert_eq!(log.take(), [USR1]);
        assert_eq!(sigprocmask(h, SIG_BLOCK, None), Ok(blocked), "the thread's own is back");
        // epoll alone looks at the time first.
        kill(h, getpid(h), USR1).unwrap();
        let is_epoll = which == 2;
        let at_once = call(h, a, Some(SigSet::EMPTY), Duration::ZERO);
        assert_eq!(at_once, if is_epoll { Ok(0) } else { INTR });
        assert_eq!(log.take(), if is_epoll { vec![] } else { vec![USR1] });
        // What is ready counts more: the signal stays.
        kill(h, getpid(h), USR1).unwrap();
        send(h, b, b"x", 0).unwrap();
        assert_eq!(call(h, a, Some(SigSet::EMPTY), short), Ok(1));
        assert_eq!(log.take(), [0; 0]);
        recv(h, a, 1, 0).unwrap();
        sigprocmask(h, SIG_SETMASK, Some(SigSet::EMPTY)).unwrap();
        assert_eq!(log.take(), [USR1]);
        // It keeps a signal out, too, and lets one in that comes while it waits.
        sigprocmask(h, SIG_SETMASK, Some(blocked)).unwrap();
        let killer = shortly(h, |_| {});
        sigprocmask(h, SIG_SETMASK, Some(SigSet::EMPTY)).unwrap();
        assert_eq!(call(h, a, Some(blocked), 4 * SETTLE), Ok(0));
        assert_eq!(log.take(), [USR1], "as the call is over");
        killer.join().unwrap();
        sigprocmask(h, SIG_SETMASK, Some(blocked)).unwrap();
        let killer = shortly(h, |_| {});
        assert_eq!(call(h, a, Some(SigSet::EMPTY), 50 * SETTLE), INTR);
        assert_eq!(log.take(), [USR1]);
        killer.join().unwrap();
    }
    h.ignore_signal(USR1, false).unwrap();
    for ready in [true, false] {
        let end = end_of(h, move |h| {
            let (a, b) = pair(h, STREAM);
            sigprocmask(h, SIG_SETMASK, Some(blocked)).unwrap();
            kill(h, getpid(h), USR1).unwrap();
            if ready {
                send(h, b, b"x", 0).unwrap();
            }
            let _ = ppoll(h, a, Some(SigSet::EMPTY), short);
        });
        assert_eq!(end, if ready { Exit::Status(7) } else { Exit::Signal(USR1) });
    }
}
