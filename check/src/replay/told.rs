//! What happens is told, for pictures, in the log's numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use afunix::Tid;
use afunix::snapshot::{FileKind, Snapshot};
use afunix::trace::EventKind;

use super::{Attempt, Look, Seat, Stage, State};
use crate::log::value::Value;
use crate::log::{Outcome, Record};

/// Something that happened in a thread of the log.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) process: u32,
    pub(crate) thread: u32,
    pub(crate) kind: EventKind,
}

/// What is kept for telling.
#[derive(Clone, Debug, Default)]
pub(super) struct Telling {
    told: Vec<Told>,
    /// The threads that were told of.
    started: BTreeSet<i32>,
    /// The programs' names, by process.
    pub(super) names: BTreeMap<i32, Arc<str>>,
}

/// Before a call: how much was told and explained, and the socket that it is about.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    told: usize,
    explained: u64,
    socket: Option<u64>,
}

impl State {
    /// What was told since this was asked for.
    pub(crate) fn take_told(&mut self) -> Vec<Told> {
        self.telling.as_mut().map(|telling| std::mem::take(&mut telling.told)).unwrap_or_default()
    }

    fn tell(&mut self, thread: i32, seat: Seat, kind: EventKind) {
        let Some(telling) = &mut self.telling else { return };
        let (process, id) = (seat.leader.unsigned_abs(), thread.unsigned_abs());
        if telling.started.insert(thread) {
            let program = telling.names.get(&seat.leader).map_or("program", |name| name);
            let name = match seat.leader == thread {
                true => program.to_owned(),
                false => format!("{program}/{thread}"),
            };
            let kind = EventKind::Started { name };
            telling.told.push(Told { process, thread: id, kind });
        }
        telling.told.push(Told { process, thread: id, kind });
    }

    /// Takes what the model tells.
    pub(super) fn hear_machine(&mut self) {
        if self.telling.is_none() {
            return;
        }
        while let Some(happened) = self.machine.next_event() {
            let thread = |tid: Tid| self.seats.iter().find(|(_, seat)| seat.tid == tid);
            let kind = match happened.kind {
                EventKind::Woken { by } => {
                    let by = by.and_then(|by| thread(Tid(by as i32)));
                    EventKind::Woken { by: by.map(|(thread, _)| thread.unsigned_abs()) }
                }
                kind => kind,
            };
            // What the end of a process does is the doing of its first thread.
            let doer = thread(happened.thread)
                .or_else(|| self.seats.iter().find(|(_, seat)| seat.pid == happened.process));
            if let Some((thread, seat)) = doer.map(|(thread, seat)| (*thread, *seat)) {
                self.tell(thread, seat, kind);
            }
        }
    }

    /// Where the telling of a call begins.
    pub(super) fn mark(&mut self, record: &Record, seat: Seat) -> Mark {
        let told = self.telling.as_ref().map(|telling| telling.told.len());
        let socket = match told {
            Some(_) => record.fd(0).and_then(|number| self.ours(seat.tid, number)),
            None => None,
        };
        Mark { told: told.unwrap_or(0), explained: self.explained, socket }
    }

    /// Tells of a call that was made, if it was made on the model.
    pub(super) fn tell_call(&mut self, look: Look<'_>, seat: Seat, mark: Mark, attempt: &Attempt) {
        let is_made = self.explained > mark.explained || *attempt == Attempt::Waits;
        if self.telling.is_none() || !is_made {
            return;
        }
        let (record, thread) = (look.record, look.record.thread);
        let socket = mark.socket;
        // What the model told of it comes after its beginning, but not who makes it.
        let told = self.telling.as_mut().map(|telling| telling.told.split_off(mark.told));
        let is_start = |told: &Told| matches!(told.kind, EventKind::Started { .. });
        let (starts, rest): (Vec<_>, Vec<_>) =
            told.unwrap_or_default().into_iter().partition(is_start);
        self.telling.iter_mut().for_each(|telling| telling.told.extend(starts.iter().cloned()));
        self.tell(thread, seat, EventKind::Enter { call: describe(record), socket });
        self.telling.iter_mut().for_each(|telling| telling.told.extend(rest.iter().cloned()));
        match attempt {
            Attempt::Explained => self.tell_exit(record, seat),
            Attempt::Waits => {
                if let Some((_, Stage::Waiting(waiting))) = self.pending.get(&thread) {
                    let on = waiting.on.to_owned();
                    self.tell(thread, seat, EventKind::Blocked { on, socket });
                }
            }
            Attempt::Differs(_) => {}
        }
    }

    pub(super) fn tell_exit(&mut self, record: &Record, seat: Seat) {
        let result = match record.outcome {
            Outcome::Value { value, .. } => value,
            Outcome::Error(errno) => -i64::from(errno.raw()),
            Outcome::Interrupted | Outcome::None | Outcome::Unfinished => return,
        };
        self.tell(record.thread, seat, EventKind::Exit { call: record.name.clone(), result });
    }

    pub(super) fn tell_end(&mut self, thread: i32, seat: Seat, how: String) {
        let was_told =
            self.telling.as_ref().is_some_and(|telling| telling.started.contains(&thread));
        if was_told {
            self.tell(thread, seat, EventKind::Exited { how });
        }
    }

    /// A process runs another program.
    pub(super) fn name_program(&mut self, record: &Record, seat: Seat) {
        let path = record.args.iter().find_map(|field| match &field.value {
            Value::Bytes { bytes, .. } => Some(bytes),
            _ => None,
        });
        if let (Some(telling), Some(path)) = (&mut self.telling, path) {
            let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
            telling.names.insert(seat.leader, String::from_utf8_lossy(last).into());
        }
    }

    /// A child runs its parent's program.
    pub(super) fn name_child(&mut self, parent: i32, child: i32) {
        if let Some(telling) = &mut self.telling
            && let Some(name) = telling.names.get(&parent).cloned()
        {
            telling.names.insert(child, name);
        }
    }

    /// The machine in the log's numbers, without what is foreign.
    pub(crate) fn picture(&self) -> Snapshot {
        let mut picture = self.machine.snapshot(self.now);
        let is_known = |kind: &FileKind| match kind {
            FileKind::Socket(_) => true,
            FileKind::Other(what) => what.starts_with("epoll"),
            FileKind::Regular(_) | FileKind::Directory(_) => false,
        };
        picture.files.retain(|file| is_known(&file.kind) || file.in_flight > 0);
        let files: BTreeSet<u64> = picture.files.iter().map(|file| file.id).collect();
        picture.processes.retain(|process| process.pid != 1);
        for process in &mut picture.processes {
            let seat = self.seats.values().find(|seat| seat.pid.0.unsigned_abs() == process.pid);
            let leader = seat.map_or(0, |seat| seat.leader);
            process.pid = leader.unsigned_abs();
            let names = self.telling.as_ref().map(|telling| &telling.names);
            let name = names.and_then(|names| names.get(&leader));
            process.name = name.map_or("program".to_owned(), |name| name.to_string());
            process.descriptors.retain(|descriptor| files.contains(&descriptor.file));
            for thread in &mut process.threads {
                let is_it = |seat: &Seat| seat.tid.0.unsigned_abs() == thread.tid;
                if let Some((id, _)) = self.seats.iter().find(|(_, seat)| is_it(seat)) {
                    thread.tid = id.unsigned_abs();
                    thread.name = process.name.clone();
                }
            }
        }
        picture.processes.sort_by_key(|process| process.pid);
        picture
    }
}

/// A call in a line, as strace prints it, but shorter.
fn describe(record: &Record) -> String {
    const LONGEST: usize = 60;
    let shown: Vec<String> = record.args.iter().map(|field| show(&field.value)).collect();
    let mut text = format!("{}({})", record.name, shown.join(", "));
    if text.chars().count() > LONGEST {
        text = text.chars().take(LONGEST - 4).collect::<String>() + "...)";
    }
    text
}

fn show(value: &Value) -> String {
    match value {
        Value::Bytes { bytes, .. } if bytes.first() == Some(&0) && bytes.len() > 1 => {
            format!("@\"{}\"", bytes[1..].escape_ascii())
        }
        Value::Bytes { bytes, .. } => {
            format!("\"{}\"", bytes[..bytes.len().min(16)].escape_ascii())
        }
        Value::Number(number) | Value::Fd { number, .. } => number.to_string(),
        Value::Word(word) => word.clone(),
        Value::Struct(_) => match value.field("sun_path") {
            Some(path) => show(path),
            None => "{..}".to_owned(),
        },
        Value::Array(items) => match &items[..] {
            [one @ (Value::Number(_) | Value::Word(_))] => format!("[{}]", show(one)),
            _ => "[..]".to_owned(),
        },
        Value::Change(before, _) => show(before),
    }
}
