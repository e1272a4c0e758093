//! epoll, select, and calls about who a process is and what it sees.

use std::time::Duration;

use afunix::{Call, Capabilities, EpollEvent, EpollFlags, EventsOut, OpenFlags, SegmentMut};

use super::{Answer, Result_, Side, Tag};
use crate::differential::program::{Identity, Request, Slot};
use crate::raw::fd;

/// CLONE_NEWNS.
const MOUNTS: i32 = 0x2_0000;
/// CLONE_NEWNET.
const NETWORK: i32 = 0x4000_0000;
/// MNT_DETACH.
const DETACH: i32 = 2;
/// What an entry holds that no event was written to.
const UNTOUCHED: u64 = u64::MAX;

pub(super) fn perform(side: &mut dyn Side, request: &Request, answer: &mut Answer) -> Result_ {
    match request {
        Request::EpollCreate { flags, .. } => {
            side.call(&mut Call::EpollCreate1 { flags: OpenFlags::from_bits_retain(*flags) })
        }
        Request::EpollCtl { fd: slot, op, target, events } => {
            let (epoll, number, op) = (fd(side.number(*slot)), side.number(*target), *op);
            let flags = events.map(EpollFlags::from_bits_retain);
            let event = flags.map(|events| EpollEvent { events, data: number as u32 as u64 });
            side.call(&mut Call::EpollCtl { fd: epoll, op, target: fd(number), event })
        }
        Request::EpollWait { fd: slot, room, timeout } => {
            wait(side, *slot, (*room, time(*timeout)), answer)
        }
        Request::Select { nfds, sets, timeout } => {
            select(side, *nfds, (sets, time(*timeout)), answer)
        }
        Request::Readlink { path, len } => {
            let mut buffer = vec![0; *len];
            let data = SegmentMut::Bytes(&mut buffer);
            let result = side.call(&mut Call::Readlink { path: path.as_bytes(), data })?;
            buffer.truncate(result.unwrap_or(0));
            answer.push(Tag::Data, buffer);
            Some(result)
        }
        Request::Identity(identity) => who(side, identity),
        Request::Capset { effective, permitted } => lay_down(side, *effective, *permitted),
        Request::Mount { path, flags } => {
            let unshared = side.call(&mut Call::Unshare { flags: MOUNTS })?;
            if unshared.is_err() {
                return Some(unshared);
            }
            let (target, flags) = (path.as_bytes(), *flags);
            side.call(&mut Call::Mount { target, flags, data: b"mode=777" })
        }
        Request::Umount { path } => {
            side.call(&mut Call::Umount2 { target: path.as_bytes(), flags: DETACH })
        }
        Request::Detach => side.call(&mut Call::Unshare { flags: NETWORK }),
        Request::Chroot { path } => side.call(&mut Call::Chroot { path: path.as_bytes() }),
        other => unreachable!("{} is performed elsewhere", other.name()),
    }
}

/// Milliseconds; without end if negative.
fn time(timeout: i32) -> Option<Duration> {
    u64::try_from(timeout).ok().map(Duration::from_millis)
}

fn wait(
    side: &mut dyn Side,
    slot: Slot,
    (room, timeout): (i32, Option<Duration>),
    answer: &mut Answer,
) -> Result_ {
    let fd = fd(side.number(slot));
    let none = EpollEvent { events: EpollFlags::empty(), data: UNTOUCHED };
    let mut entries = vec![none; room.max(0) as usize];
    let events = match room {
        0.. => EventsOut::Room(&mut entries),
        _ => EventsOut::Fault(-room),
    };
    let result = side.call(&mut Call::EpollPwait2 { fd, events, timeout, mask: None })?;
    let written = entries.iter().take(result.unwrap_or(0));
    let entry = |event: &EpollEvent| {
        [&event.events.bits().to_ne_bytes()[..], &event.data.to_ne_bytes()].concat()
    };
    answer.push(Tag::Events, written.flat_map(entry).collect());
    Some(result)
}

fn select(
    side: &mut dyn Side,
    nfds: i32,
    (sets, mut timeout): (&[Option<Vec<Slot>>; 3], Option<Duration>),
    answer: &mut Answer,
) -> Result_ {
    let mut words = [[0u64; 16]; 3];
    for (set, words) in sets.iter().zip(&mut words) {
        for slot in set.iter().flatten() {
            let number = side.number(*slot);
            if let Some(word) = words.get_mut(number as usize / 64) {
                *word |= 1 << (number % 64);
            }
        }
    }
    let [readfds, writefds, exceptfds] = &mut words;
    let given = |set: usize| sets[set].is_some();
    let result = side.call(&mut Call::Pselect6 {
        nfds,
        readfds: given(0).then_some(&mut readfds[..]),
        writefds: given(1).then_some(&mut writefds[..]),
        exceptfds: given(2).then_some(&mut exceptfds[..]),
        timeout: timeout.as_mut(),
        mask: None,
    })?;
    answer.push(Tag::Events, words.as_flattened().iter().flat_map(|w| w.to_ne_bytes()).collect());
    Some(result)
}

fn who(side: &mut dyn Side, identity: &Identity) -> Result_ {
    side.call(&mut match identity {
        Identity::Resuid([real, effective, saved]) => {
            Call::Setresuid { real: *real, effective: *effective, saved: *saved }
        }
        Identity::Resgid([real, effective, saved]) => {
            Call::Setresgid { real: *real, effective: *effective, saved: *saved }
        }
        Identity::Fsuid(uid) => Call::Setfsuid { uid: *uid },
        Identity::Fsgid(gid) => Call::Setfsgid { gid: *gid },
        Identity::Groups(groups) => Call::Setgroups { groups },
    })
}

fn lay_down(side: &mut dyn Side, effective: u64, permitted: u64) -> Result_ {
    let (mut before, mut held) = (Capabilities::default(), Capabilities::default());
    let asked = side.call(&mut Call::Capget { effective: &mut before, permitted: &mut held })?;
    if asked.is_err() {
        return Some(asked);
    }
    let but = |set: u64| held & !Capabilities::from_bits_retain(set);
    side.call(&mut Call::Capset { effective: but(effective), permitted: but(permitted) })
}
