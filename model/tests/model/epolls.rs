//! Epolls: what steps touch, and what a snapshot shows.

use std::time::Duration;

use afunix::snapshot::FileKind;
use afunix::{Call, EpollEvent, EpollFlags, Errno, EventsOut, OpenFlags};
use afunix_model::machine::{Access, Object};
use afunix_model::{Resume, Step};

use crate::numbers::fd;
use crate::support::{MAIN, Rig};

fn epoll(rig: &mut Rig) -> i32 {
    rig.call(MAIN, &mut Call::EpollCreate1 { flags: OpenFlags::empty() }).expect("an epoll") as i32
}

fn watch(rig: &mut Rig, ep: i32, target: i32, events: EpollFlags) -> Result<usize, Errno> {
    let event = Some(EpollEvent { events, data: 7 });
    rig.call(MAIN, &mut Call::EpollCtl { fd: fd(ep), op: 1, target: fd(target), event })
}

/// How the last step touched epolls.
fn touched(rig: &Rig) -> Vec<Access> {
    let footprint = rig.machine.footprint().iter();
    let of_epolls = footprint.filter(|(object, _)| matches!(object, Object::Epoll(_)));
    of_epolls.map(|(_, access)| *access).collect()
}

#[test]
fn a_step_touches_the_epolls_that_hear_of_it() {
    let mut rig = Rig::new();
    let [a, b] = rig.pair(MAIN, afunix::SOCK_STREAM);
    rig.write(MAIN, b, b"x").unwrap();
    assert_eq!(touched(&rig), []);
    let ep = epoll(&mut rig);
    watch(&mut rig, ep, a, EpollFlags::IN).unwrap();
    assert!(touched(&rig).contains(&Access::Write));
    rig.write(MAIN, b, b"x").unwrap();
    assert_eq!(touched(&rig), [Access::Write], "though it is in the list already");
    // What is not asked for is touched all the same: a change of the watch would meet it.
    rig.write(MAIN, a, b"x").unwrap();
    rig.read(MAIN, b).unwrap();
    assert_eq!(touched(&rig), [Access::Write]);
    rig.close(MAIN, a).unwrap();
    assert_eq!(touched(&rig), [Access::Write], "it is gone from the epoll");
    rig.close(MAIN, b).unwrap();
    assert_eq!(touched(&rig), []);
}

#[test]
fn a_call_awaits_the_epoll_that_it_waits_at() {
    let mut rig = Rig::new();
    let ep = epoll(&mut rig);
    let mut room = [EpollEvent::default()];
    let events = EventsOut::Room(&mut room);
    let timeout = Some(Duration::from_secs(1));
    let mut call = Call::EpollPwait2 { fd: fd(ep), events, timeout, mask: None };
    let Step::Blocked { ticket, deadline, .. } = rig.step(MAIN, &mut call, Resume::First) else {
        panic!("there is nothing");
    };
    assert!(touched(&rig).contains(&Access::Awaits));
    assert_eq!(deadline, Some(Duration::from_secs(1)));
    rig.now = Duration::from_secs(1);
    assert_eq!(rig.step(MAIN, &mut call, Resume::TimedOut(ticket)), Step::Done(Ok(0)));
}

#[test]
fn a_snapshot_shows_what_an_epoll_watches() {
    let mut rig = Rig::new();
    let ep = epoll(&mut rig);
    let shown = |rig: &Rig| {
        let files = rig.machine.snapshot(rig.now).files;
        let words = files.into_iter().find_map(|file| match file.kind {
            FileKind::Other(words) if words.starts_with("epoll") => Some(words),
            _ => None,
        });
        words.expect("the epoll")
    };
    assert_eq!(shown(&rig), "epoll");
    let [a, b] = rig.pair(MAIN, afunix::SOCK_STREAM);
    watch(&mut rig, ep, b, EpollFlags::IN).unwrap();
    watch(&mut rig, ep, a, EpollFlags::IN).unwrap();
    assert_eq!(shown(&rig), "epoll of files 3, 4");
    assert_eq!(watch(&mut rig, ep, a, EpollFlags::IN), Err(Errno::EXIST));
}
