//! Threads and processes: how they begin and end.

use afunix::{Call, Exit, Pid, Tid};

use super::{Attempt, Facts, Look, Seat, State};
use crate::log::value::Value;
use crate::log::{Log, Record};
use crate::raw::fd;
use crate::report::Assumed;

impl State {
    /// A thread that was there before the log began: it is taken for a process of its own.
    pub(crate) fn find_thread(&mut self, facts: &Facts, thread: i32) {
        let forked = self.machine.fork(Pid(1));
        self.drain();
        let Ok((pid, tid)) = forked else { return };
        let seat = Seat { tid, pid, leader: thread };
        self.seats.insert(thread, seat);
        let directory = facts.directory_of(thread).unwrap_or(b"/unknown");
        self.go_to(seat, directory);
        let (uid, gid) = facts.user_of(thread);
        if (uid, gid) != (0, 0) {
            let _ = self.call(tid, &mut Call::Setids { uid, gid, groups: &[] });
        }
    }

    /// Changes the working directory of a process, which comes to be if the model has none.
    pub(super) fn go_to(&mut self, seat: Seat, directory: &[u8]) {
        self.make_directories(&[directory, b"/"].concat());
        let _ = self.call(seat.tid, &mut Call::Chdir { path: directory });
    }

    /// clone(2) and its like: the thread begins that the log tells of.
    pub(super) fn spawn(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let record = look.record;
        let Some(thread) = record.value().and_then(|value| i32::try_from(value).ok()) else {
            return Attempt::Explained;
        };
        if self.seats.contains_key(&thread) {
            return Attempt::Explained;
        }
        let flags = clone_flags(record);
        let shares_table = flags.contains("CLONE_FILES");
        if !look.facts.has_thread(thread) && !shares_table {
            self.lose_to(look, seat);
            return Attempt::Explained;
        }
        let (pid, tid) = if shares_table {
            let tid = self.machine.start_thread(seat.pid, "");
            (seat.pid, tid)
        } else {
            match self.machine.fork(seat.pid) {
                Ok(ids) => ids,
                Err(errno) => return Attempt::Differs(format!("cannot fork: {errno}")),
            }
        };
        self.drain();
        if let (true, Some(closed)) = (pid != seat.pid, self.closed.get(&seat.pid)) {
            let closed = closed.clone();
            self.closed.insert(pid, closed);
        }
        if pid != seat.pid {
            let watched: Vec<_> = self
                .watched
                .range((seat.pid, 0)..=(seat.pid, u64::MAX))
                .map(|(key, socket)| (key.1, *socket))
                .collect();
            self.watched.extend(watched.into_iter().map(|(data, socket)| ((pid, data), socket)));
        }
        let leader = if flags.contains("CLONE_THREAD") { seat.leader } else { thread };
        self.seats.insert(thread, Seat { tid, pid, leader });
        self.name_child(seat.leader, leader);
        self.pidfd(record, seat)
    }

    /// CLONE_PIDFD: a descriptor that stands in the arguments.
    fn pidfd(&mut self, record: &Record, seat: Seat) -> Attempt {
        let in_struct = record.arg(0).and_then(|arg| arg.after().field("pidfd"));
        let named = record.args.iter().find(|field| field.name == "parent_tid");
        let is_asked = clone_flags(record).contains("CLONE_PIDFD");
        let value = in_struct.or(named.map(|field| &field.value)).filter(|_| is_asked);
        match value.and_then(|value| value.after().items()?.first()?.number()) {
            Some(number) => self.put_foreign(seat, number as i32, true).into(),
            None => Attempt::Explained,
        }
    }

    /// A child that is not in the log can do all that its parent can.
    fn lose_to(&mut self, look: Look<'_>, seat: Seat) {
        let numbers: Vec<i32> = self.machine.descriptor_numbers(seat.pid).collect();
        for number in numbers {
            self.share(look, seat, number);
        }
        self.assume(look, Assumed::Children);
    }

    /// From now on the process does what its log does not show.
    pub(super) fn lose(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let numbers: Vec<i32> = self.machine.descriptor_numbers(seat.pid).collect();
        for number in numbers {
            self.share(look, seat, number);
        }
        self.assume(look, Assumed::Ring);
        match look.record.made() {
            Some((number, _)) => self.put_foreign(seat, number, true).into(),
            None => Attempt::Explained,
        }
    }

    /// A process of which nothing more can be known.
    pub(crate) fn lose_process(&mut self, log: &Log, facts: &Facts, thread: i32) {
        let Some(seat) = self.seats.get(&thread).copied() else { return };
        if let Some(record) = log.records.first() {
            let look = Look { facts, record };
            let numbers: Vec<i32> = self.machine.descriptor_numbers(seat.pid).collect();
            numbers.into_iter().for_each(|number| self.share(look, seat, number));
        }
        self.unknown.insert(seat.pid);
    }

    /// execve(2): what is marked is closed.
    pub(super) fn exec(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        if look.record.value().is_none() {
            return Attempt::Explained;
        }
        let numbers: Vec<i32> = self.machine.descriptor_numbers(seat.pid).collect();
        for number in numbers {
            if self.is_cloexec(seat.tid, number) {
                let _ = self.call(seat.tid, &mut Call::Close { fd: fd(number) });
                self.closed.entry(seat.pid).or_default().insert(number);
            }
        }
        self.unknown.remove(&seat.pid);
        self.name_program(look.record, seat);
        Attempt::Explained
    }

    /// `thread` goes on as what was `by`, which is the last thread of its process.
    pub(crate) fn supersede(&mut self, thread: i32, by: i32) {
        let Some(seat) = self.seats.remove(&by) else { return };
        let pending = self.pending.remove(&by);
        let others: Vec<i32> = self
            .seats
            .iter()
            .filter(|(_, other)| other.pid == seat.pid)
            .map(|(other, _)| *other)
            .collect();
        for other in others {
            self.end_thread(other);
        }
        self.seats.insert(thread, Seat { leader: thread, ..seat });
        if let Some(pending) = pending {
            self.pending.insert(thread, pending);
        }
    }

    /// A thread of the log has ended; with the last one of a process, the process.
    pub(crate) fn end(&mut self, thread: i32, exit: Exit) {
        let Some(seat) = self.seats.get(&thread).copied() else { return };
        let others = self.seats.values().filter(|other| other.pid == seat.pid).count() - 1;
        if others > 0 {
            self.end_thread(thread);
            return;
        }
        self.machine.exit(seat.pid, exit);
        self.drain();
        self.tell_end(thread, seat, exit.to_string());
        self.seats.remove(&thread);
        self.pending.remove(&thread);
        self.closed.remove(&seat.pid);
        self.unknown.remove(&seat.pid);
        self.watched.retain(|(pid, _), _| *pid != seat.pid);
        self.reap(seat.pid);
    }

    /// All threads of a process end at once.
    pub(crate) fn end_group(&mut self, thread: i32, exit: Exit) {
        let Some(seat) = self.seats.get(&thread).copied() else { return };
        let all: Vec<i32> = self
            .seats
            .iter()
            .filter(|(_, other)| other.pid == seat.pid)
            .map(|(other, _)| *other)
            .collect();
        all.into_iter().for_each(|thread| self.end(thread, exit));
    }

    fn end_thread(&mut self, thread: i32) {
        if let Some(seat) = self.seats.remove(&thread) {
            self.pending.remove(&thread);
            self.machine.end_thread(seat.tid);
            self.drain();
        }
    }

    /// Waits for a process that has ended, in the place of its parent, lest it stays for ever.
    fn reap(&mut self, pid: Pid) {
        let busy =
            |thread: &i32| matches!(self.pending.get(thread), Some((_, super::Stage::Waiting(_))));
        let mut free: Vec<Tid> = self
            .seats
            .iter()
            .filter(|(thread, _)| !busy(thread))
            .map(|(_, seat)| seat.tid)
            .collect();
        free.push(Tid(1));
        for tid in free {
            let mut status = None;
            if self.call(tid, &mut Call::Waitpid { pid, status: &mut status }).is_ok() {
                return;
            }
        }
    }
}

fn clone_flags(record: &Record) -> String {
    let in_struct = record.arg(0).and_then(|arg| arg.before().field("flags"));
    let named = record.args.iter().find(|field| field.name == "flags").map(|field| &field.value);
    in_struct.or(named).and_then(Value::word).unwrap_or_default().to_owned()
}
