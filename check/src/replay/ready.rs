//! poll, select and epoll: what is ready is looked at when the call ends.
//!
//! Foreign descriptors may be ready whenever the log says so; it is ours that are compared. A call
//! need not wait in the model for that: at some moment between its beginning and its end, what it
//! reported was so.

use std::time::Duration;

use afunix::{Call, EpollEvent, EpollFlags, Errno, EventsOut, OpenFlags, PollFd, Readiness};

use super::{Attempt, Behind, Look, Seat, State};
use crate::log::value::{Field, Parser, Value};
use crate::names::number;
use crate::raw::fd;
use crate::report::Assumed;

impl State {
    pub(super) fn poll(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let record = look.record;
        let items = record.arg(0).and_then(|fds| fds.before().items()).unwrap_or(&[]);
        let mut fds = Vec::new();
        let mut all_ours = true;
        for item in items {
            let (Some(number), Some(events)) = (item.field("fd"), item.field("events")) else {
                continue;
            };
            let note = number.note();
            let (Some(number), Some(events)) = (number.number(), crate::names::number(events))
            else {
                continue;
            };
            let number = number as i32;
            if self.ours(seat.tid, number).is_none() {
                all_ours = false;
                continue;
            }
            if let Some(note) = note
                && let Err(what) = self.identify_one(look, seat, number, note)
            {
                return Attempt::Differs(what);
            }
            fds.push(PollFd::new(fd(number), Readiness::from_bits_retain(events as i16)));
        }
        if fds.is_empty() {
            return Attempt::Explained;
        }
        let all_ours = all_ours && fds.len() == items.len();
        if record.value().is_none() && !all_ours {
            return Attempt::Explained;
        }
        let theirs = polled(record_extra(look));
        let timeout = Some(Duration::ZERO);
        let result = self.call(seat.tid, &mut Call::Poll { fds: &mut fds, timeout, mask: None });
        if let Err(errno) = result {
            return Attempt::Differs(format!("returns {errno}"));
        }
        for one in &fds {
            let number = one.fd.map_or(-1, afunix::net::Fd::number);
            let found = theirs.iter().find(|(theirs, _)| *theirs == i64::from(number));
            let expected = found.map_or(0, |(_, revents)| *revents);
            if let Err(what) = self.same_readiness(look, seat, number, expected, one.revents) {
                return Attempt::Differs(what);
            }
        }
        if all_ours
            && !self.hears_others(look, seat, &fds)
            && let Err(what) = self.same_result(look, result)
        {
            return Attempt::Differs(what);
        }
        self.explained += 1;
        Attempt::Explained
    }

    /// Compares what is ready. A socket that others can send to may be readable for that.
    fn same_readiness(
        &mut self,
        look: Look<'_>,
        seat: Seat,
        number: i32,
        theirs: i64,
        ours: Readiness,
    ) -> Result<(), String> {
        let theirs = Readiness::from_bits_retain(theirs as i16);
        if theirs == ours {
            return Ok(());
        }
        let readable = Readiness::IN | Readiness::RDNORM;
        if (theirs ^ ours).difference(readable).is_empty()
            && theirs.intersects(readable)
            && self.may_hear_others(look, seat, number)
        {
            self.assume(look, Assumed::Clients);
            return Ok(());
        }
        Err(format!("has descriptor {number} ready for {}", show(ours)))
    }

    fn hears_others(&mut self, look: Look<'_>, seat: Seat, fds: &[PollFd<'_>]) -> bool {
        let numbers = fds.iter().filter_map(|one| one.fd).map(afunix::net::Fd::number);
        numbers.into_iter().any(|number| self.may_hear_others(look, seat, number))
    }

    /// Whether processes outside the log may be the reason that a socket is readable.
    fn may_hear_others(&mut self, look: Look<'_>, seat: Seat, number: i32) -> bool {
        let Some(ours) = self.ours(seat.tid, number) else { return true };
        let known = self.sockets.iter().find(|(_, known)| **known == ours);
        match known {
            Some((theirs, _)) => look.facts.is_visited(*theirs),
            None => false,
        }
    }

    pub(super) fn select(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let record = look.record;
        if record.value().is_none() {
            return Attempt::Explained;
        }
        let mut given: [Vec<u64>; 3] = Default::default();
        let mut highest = 0;
        for (set, index) in given.iter_mut().zip(1..) {
            let all = record.arg(index).and_then(|set| set.before().items()).unwrap_or(&[]);
            for number in all.iter().filter_map(Value::number) {
                if (0..65536).contains(&number) && self.ours(seat.tid, number as i32).is_some() {
                    put(set, number as usize);
                    highest = highest.max(number as usize + 1);
                }
            }
        }
        if highest == 0 {
            return Attempt::Explained;
        }
        let words = highest.div_ceil(64);
        given.iter_mut().for_each(|set| set.resize(words, 0));
        let expected = selected(record_extra(look));
        let mut sets = given.clone();
        let [read, write, except] = &mut sets;
        let mut timeout = Duration::ZERO;
        let mut call = Call::Pselect6 {
            nfds: highest as i32,
            readfds: Some(read),
            writefds: Some(write),
            exceptfds: Some(except),
            timeout: Some(&mut timeout),
            mask: None,
        };
        if let Err(errno) = self.call(seat.tid, &mut call) {
            return Attempt::Differs(format!("returns {errno}"));
        }
        for ((given, ours), theirs) in given.iter().zip(&sets).zip(&expected) {
            for number in (0..highest).filter(|number| has(given, *number)) {
                let (ours, theirs) = (has(ours, number), theirs.contains(&(number as i64)));
                let others = theirs && self.may_hear_others(look, seat, number as i32);
                if ours != theirs && !others {
                    let not = if ours { "" } else { "not " };
                    return Attempt::Differs(format!("has descriptor {number} {not}ready"));
                }
            }
        }
        self.explained += 1;
        Attempt::Explained
    }

    pub(super) fn epoll_create(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let record = look.record;
        let Some(theirs) = record.value() else { return Attempt::Explained };
        let flags = if record.cloexec { OpenFlags::CLOEXEC } else { OpenFlags::empty() };
        let result = self.call(seat.tid, &mut Call::EpollCreate1 { flags });
        match result {
            Ok(ours) => self.renumber(look, seat, ours as i32, theirs).into(),
            Err(errno) => Attempt::Differs(format!("returns {errno}")),
        }
    }

    pub(super) fn epoll_ctl(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let record = look.record;
        let (Some(epoll), Some(target)) = (record.fd(0), record.fd(2)) else {
            return Attempt::Explained;
        };
        let Some(op) = record.arg(1).and_then(number) else { return Attempt::Explained };
        if self.behind(seat.tid, epoll) != Behind::Epoll {
            return Attempt::Explained;
        }
        let event = record.arg(3).and_then(event_of);
        let Some(socket) = self.ours(seat.tid, target) else {
            if let Some(event) = event {
                self.watched.remove(&(seat.pid, event.data));
            }
            return Attempt::Explained;
        };
        let (op, target) = (op as i32, fd(target));
        let result = self.call(seat.tid, &mut Call::EpollCtl { fd: fd(epoll), op, target, event });
        if let (Ok(_), Some(event)) = (result, event) {
            self.watched.insert((seat.pid, event.data), socket);
        }
        self.told(look, result)
    }

    pub(super) fn epoll_wait(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let record = look.record;
        let (Some(epoll), Some(count)) = (record.fd(0), record.value()) else {
            return Attempt::Explained;
        };
        if self.behind(seat.tid, epoll) != Behind::Epoll {
            return Attempt::Explained;
        }
        let shown = record.arg(1).and_then(|events| events.after().items()).unwrap_or(&[]);
        let theirs: Vec<EpollEvent> = shown.iter().filter_map(event_of).collect();
        if theirs.len() as i64 != count {
            // strace shows so many at most.
            return Attempt::Explained;
        }
        let is_full = record.number(2) == Some(count);
        let is_ours = |state: &State, event: &EpollEvent| {
            let socket = state.watched.get(&(seat.pid, event.data));
            socket.is_some_and(|socket| !state.outside.contains(socket))
        };
        let expected: Vec<EpollEvent> =
            theirs.iter().filter(|event| is_ours(self, event)).copied().collect();
        let room = if is_full { expected.len() } else { 1024 };
        let mut found = vec![EpollEvent::default(); room];
        let mut given = 0;
        if room > 0 {
            let (events, timeout) = (EventsOut::Room(&mut found), Some(Duration::ZERO));
            let mut call = Call::EpollPwait2 { fd: fd(epoll), events, timeout, mask: None };
            match self.call(seat.tid, &mut call) {
                Ok(count) => given = count,
                Err(Errno::AGAIN) => {}
                Err(errno) => return Attempt::Differs(format!("returns {errno}")),
            }
        }
        found.truncate(given);
        found.retain(|event| is_ours(self, event));
        if let Err(what) = self.same_events(look, seat, &expected, &found) {
            return Attempt::Differs(what);
        }
        self.explained += u64::from(!expected.is_empty());
        Attempt::Explained
    }

    fn same_events(
        &mut self,
        look: Look<'_>,
        seat: Seat,
        theirs: &[EpollEvent],
        ours: &[EpollEvent],
    ) -> Result<(), String> {
        for event in theirs {
            let found = ours.iter().find(|ours| ours.data == event.data);
            let events = found.map_or(EpollFlags::empty(), |ours| ours.events);
            if events == event.events {
                continue;
            }
            let socket = self.watched.get(&(seat.pid, event.data)).copied();
            let known = self.sockets.iter().find(|(_, ours)| Some(**ours) == socket);
            let readable = EpollFlags::IN | EpollFlags::RDNORM;
            let by_others = known.is_some_and(|(theirs, _)| look.facts.is_visited(*theirs));
            if by_others && (events ^ event.events).difference(readable).is_empty() {
                self.assume(look, Assumed::Clients);
                continue;
            }
            return Err(format!(
                "has the event {:#x} ready for {}",
                event.data,
                show(events.readiness())
            ));
        }
        match ours.iter().find(|event| !theirs.iter().any(|theirs| theirs.data == event.data)) {
            Some(more) => Err(format!(
                "has the event {:#x} ready for {}",
                more.data,
                show(more.events.readiness())
            )),
            None => Ok(()),
        }
    }
}

fn record_extra<'a>(look: Look<'a>) -> &'a [Field] {
    match &look.record.outcome {
        crate::log::Outcome::Value { extra, .. } => extra,
        _ => &[],
    }
}

/// `([{fd=3, revents=POLLOUT}])`.
fn polled(extra: &[Field]) -> Vec<(i64, i64)> {
    let items = extra.first().and_then(|field| field.value.items()).unwrap_or(&[]);
    let one = |item: &Value| Some((item.field("fd")?.number()?, number(item.field("revents")?)?));
    items.iter().filter_map(one).collect()
}

/// `(in [3 4], out [5], left {..})`.
fn selected(extra: &[Field]) -> [Vec<i64>; 3] {
    let mut sets: [Vec<i64>; 3] = Default::default();
    for word in extra.iter().filter_map(|field| field.value.word()) {
        let Some((name, rest)) = word.split_once(' ') else { continue };
        let Some(index) = ["in", "out", "exc"].iter().position(|known| *known == name) else {
            continue;
        };
        let value = Parser::new(rest.as_bytes()).value(false);
        let items = value.as_ref().and_then(Value::items).unwrap_or(&[]);
        sets[index] = items.iter().filter_map(Value::number).collect();
    }
    sets
}

fn event_of(value: &Value) -> Option<EpollEvent> {
    let events = EpollFlags::from_bits_retain(number(value.field("events")?)? as u32);
    let data = value.field("data")?;
    let data = data.field("u64").or_else(|| data.field("u32"))?.number()? as u64;
    Some(EpollEvent { events, data })
}

fn put(set: &mut Vec<u64>, number: usize) {
    if set.len() <= number / 64 {
        set.resize(number / 64 + 1, 0);
    }
    set[number / 64] |= 1 << (number % 64);
}

fn has(set: &[u64], number: usize) -> bool {
    set.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
}

/// Readiness as poll(2) names it.
fn show(ready: Readiness) -> String {
    if ready.is_empty() {
        return "nothing".to_owned();
    }
    let names: Vec<String> = ready.iter_names().map(|(name, _)| format!("POLL{name}")).collect();
    names.join("|")
}
