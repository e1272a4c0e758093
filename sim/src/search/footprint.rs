//! What a step touched, under names that mean the same in every run.
//!
//! The keys of sockets, files and processes, and the numbers of descriptors, hang on the order in
//! which threads make them. So a thing that a run makes is *named* by its maker: which thread, in
//! which of its steps, as the how-manieth. What was there before the run keeps its key.

use std::collections::BTreeMap;
use std::sync::Arc;

use afunix::{Pid, Tid};
use afunix_model::machine::file::FileId;
use afunix_model::machine::fs::InodeId;
use afunix_model::sockets::{NameKey, Part, SocketKey};
use afunix_model::{Access, Machine, Object};
use slotmap::Key;

/// An object under its name; the same in every run of a search.
pub(super) type Name = u32;

/// What a step read and wrote.
#[derive(Clone, Debug, Default)]
pub(super) struct Footprint {
    /// In order, each once; what is also written is not here.
    reads: Vec<Name>,
    /// In order, each once.
    writes: Vec<Name>,
    /// A bit for each object, to tell quickly that there is nothing in common.
    read_bits: u64,
    write_bits: u64,
    /// It may be anything.
    unknown: bool,
}

impl Footprint {
    /// Of a step that was not made yet: it may touch anything.
    pub(super) fn unknown() -> Footprint {
        Footprint { unknown: true, ..Footprint::default() }
    }

    pub(super) fn of(touched: impl Iterator<Item = (Name, Access)>) -> Footprint {
        let mut footprint = Footprint::default();
        for (name, access) in touched {
            let writes = access == Access::Write;
            let list = if writes { &mut footprint.writes } else { &mut footprint.reads };
            list.push(name);
        }
        let Footprint { reads, writes, .. } = &mut footprint;
        writes.sort_unstable();
        writes.dedup();
        reads.sort_unstable();
        reads.dedup();
        reads.retain(|name| writes.binary_search(name).is_err());
        footprint.read_bits = bits(&footprint.reads);
        footprint.write_bits = bits(&footprint.writes);
        footprint
    }

    /// Whether the order of two steps may matter: one writes what the other touches.
    pub(super) fn conflicts(&self, other: &Footprint) -> bool {
        if self.unknown || other.unknown {
            return true;
        }
        let possible = self.write_bits & (other.write_bits | other.read_bits)
            | self.read_bits & other.write_bits;
        possible != 0
            && (meet(&self.writes, &other.writes)
                || meet(&self.writes, &other.reads)
                || meet(&self.reads, &other.writes))
    }

    /// What either touches.
    fn or(&self, other: &Footprint) -> Footprint {
        let all = |footprint: &Footprint| {
            let writes = footprint.writes.iter().map(|name| (*name, Access::Write));
            let reads = footprint.reads.iter().map(|name| (*name, Access::Read));
            writes.chain(reads).collect::<Vec<_>>()
        };
        let mut both = Footprint::of(all(self).into_iter().chain(all(other)));
        both.unknown = self.unknown || other.unknown;
        both
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// Whether it writes one of these.
    pub(super) fn writes_any(&self, names: &[Name]) -> bool {
        self.unknown || names.iter().any(|name| self.writes.binary_search(name).is_ok())
    }
}

/// What a step touched, as those see it that came before and those that come after.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    /// All that it touched: what came before may have made it what it is.
    pub(super) all: Arc<Footprint>,
    /// What it left behind: what comes after may have been made what it is. Less than all, where a
    /// call only began to wait.
    pub(super) left: Arc<Footprint>,
}

impl Trace {
    pub(super) fn new(all: Footprint) -> Trace {
        let all = Arc::new(all);
        Trace { left: Arc::clone(&all), all }
    }

    /// What either touched.
    pub(super) fn or(&self, other: &Trace) -> Trace {
        let all = Arc::new(self.all.or(&other.all));
        Trace { all, left: Arc::new(self.left.or(&other.left)) }
    }

    /// Whether the order of two neighbouring steps makes no difference. One that only began to wait
    /// is told apart from one that did not have to wait at all only if it came too late.
    pub(super) fn commutes_with(&self, other: &Trace) -> bool {
        !self.left.conflicts(&other.all) || !other.left.conflicts(&self.all)
    }
}

fn bits(names: &[Name]) -> u64 {
    names.iter().fold(0, |bits, name| bits | 1 << (name % 64))
}

/// Whether two lists in order have something in common.
fn meet(one: &[Name], other: &[Name]) -> bool {
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    short.iter().any(|name| long.binary_search(name).is_ok())
}

/// Something that a run makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Made {
    Socket(SocketKey),
    File(FileId),
    Inode(InodeId),
    Bound(NameKey),
    Process(Pid),
    Thread(Tid),
    /// A pipe or an event counter, by its key.
    Other(u8, u64),
}

/// What a name stands for, whatever the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Meaning {
    /// It was there before the run.
    Original(u8, u64),
    /// (thread, its step, how-manieth).
    Made(u32, u32, u32),
    /// A part of something.
    Part(u8, Name),
    /// A number that a process was given when it began.
    Given(Name, i32),
    /// That a number is free.
    Free(Name, i32),
    /// The only one of its kind.
    Single(u8, u64),
}

/// Finds the names of objects.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// Of all runs.
    meanings: BTreeMap<Meaning, Name>,
    /// Of this run.
    made: BTreeMap<Made, Name>,
    /// What the numbers of this run stand for.
    numbers: BTreeMap<(Pid, i32), (FileId, Name)>,
    /// (thread, its step) under way, and how much it has made.
    maker: (u32, u32, u32),
    /// Whether the number of a descriptor matters.
    pub(super) strict: bool,
}

impl Names {
    /// Forgets the run.
    pub(super) fn begin_run(&mut self) {
        self.made.clear();
        self.numbers.clear();
        self.maker = (0, 0, 0);
    }

    /// A step of a thread begins.
    pub(super) fn begin_step(&mut self, thread: u32, step: u32) {
        self.maker = (thread, step, 0);
    }

    /// The names of what an object means, appended to `touched`.
    pub(super) fn add(
        &mut self,
        (object, access): (Object, Access),
        first: &Machine,
        now: &Machine,
        touched: &mut Vec<(Object, Name, Access)>,
    ) {
        if let Object::Descriptor(pid, number) = object {
            return self.add_descriptor((pid, number), access, (first, now), touched);
        }
        if let Some(name) = self.name(object, first) {
            touched.push((object, name, access));
        }
    }

    /// That a process runs.
    pub(super) fn life(&mut self, pid: Pid, first: &Machine) -> Name {
        let process = self.part(0, Made::Process(pid), &Object::Process(pid), first);
        self.mean(Meaning::Part(11, process))
    }

    /// `None`: it makes no step depend on another.
    fn name(&mut self, object: Object, first: &Machine) -> Option<Name> {
        let process = |pid| Made::Process(pid);
        Some(match object {
            Object::Process(pid) => self.part(0, process(pid), &object, first),
            Object::Children(pid) => self.part(28, process(pid), &Object::Process(pid), first),
            Object::Settings(pid) => self.part(25, process(pid), &object, first),
            Object::Thread(tid) => self.part(1, Made::Thread(tid), &object, first),
            Object::Numbers(_) if !self.strict => return None,
            Object::Numbers(pid) => self.part(2, process(pid), &Object::Process(pid), first),
            Object::Descriptor(..) => unreachable!("named apart"),
            Object::File(file) => self.part(3, Made::File(file), &object, first),
            Object::References(file) => self.part(4, Made::File(file), &Object::File(file), first),
            Object::Inode(inode) => self.part(5, Made::Inode(inode), &object, first),
            Object::Entries(inode) => {
                self.part(6, Made::Inode(inode), &Object::Inode(inode), first)
            }
            Object::Pipe(key) => self.part(7, Made::Other(7, key.data().as_ffi()), &object, first),
            Object::Eventfd(key) => {
                self.part(8, Made::Other(8, key.data().as_ffi()), &object, first)
            }
            Object::Epoll(key) => {
                self.part(12, Made::Other(12, key.data().as_ffi()), &object, first)
            }
            Object::Mounts => self.mean(Meaning::Single(13, 0)),
            Object::Space(system) => self.mean(Meaning::Single(14, u64::from(system))),
            Object::Console => self.mean(Meaning::Single(9, 0)),
            Object::Clock => self.mean(Meaning::Single(10, 0)),
            Object::Memory(number) => {
                self.part(15, Made::Other(15, u64::from(number)), &object, first)
            }
            Object::Socket(part) => return self.socket_part(part, first),
        })
    }

    fn socket_part(&mut self, part: Part, first: &Machine) -> Option<Name> {
        let (kind, key) = match part {
            Part::Receive(key) => (16, key),
            Part::SendMemory(key) => (17, key),
            Part::Backlog(key) => (18, key),
            Part::State(key) => (19, key),
            Part::Waiters(key) => (20, key),
            Part::Timeouts(key) => (26, key),
            Part::Abstract(hash) => return Some(self.mean(Meaning::Single(21, hash))),
            Part::Inode(name) => {
                let object = Object::Socket(part);
                return Some(self.part(22, Made::Bound(name), &object, first));
            }
            Part::InFlight => return Some(self.mean(Meaning::Single(23, 0))),
            Part::Cycles => return Some(self.mean(Meaning::Single(27, 0))),
            Part::Autobind => return Some(self.mean(Meaning::Single(24, 0))),
            // Ids are shown to nobody but people.
            Part::Ids => return None,
        };
        let state = Object::Socket(Part::State(key));
        Some(self.part(kind, Made::Socket(key), &state, first))
    }

    /// A part of a thing; `object` is by what the first machine knows the thing.
    fn part(&mut self, kind: u8, made: Made, object: &Object, first: &Machine) -> Name {
        let whole = match self.made.get(&made) {
            Some(name) => *name,
            None => {
                let meaning = match first.has(object) {
                    true => original(made),
                    false => self.next_made(),
                };
                let name = self.mean(meaning);
                self.made.insert(made, name);
                name
            }
        };
        self.mean(Meaning::Part(kind, whole))
    }

    fn next_made(&mut self) -> Meaning {
        let (thread, step, count) = self.maker;
        self.maker.2 += 1;
        Meaning::Made(thread, step, count)
    }

    fn mean(&mut self, meaning: Meaning) -> Name {
        let next = self.meanings.len() as Name;
        *self.meanings.entry(meaning).or_insert(next)
    }

    /// A number stands for another thing each time that it is given out.
    fn add_descriptor(
        &mut self,
        (pid, number): (Pid, i32),
        access: Access,
        (first, now): (&Machine, &Machine),
        touched: &mut Vec<(Object, Name, Access)>,
    ) {
        let object = Object::Descriptor(pid, number);
        let process = self.part(0, Made::Process(pid), &Object::Process(pid), first);
        let free = self.mean(Meaning::Free(process, number));
        let file = now.file_at(pid, number);
        let known = self.numbers.get(&(pid, number)).copied();
        if let Some((of, name)) = known
            && (access != Access::Write || Some(of) == file)
        {
            touched.push((object, name, access));
            return;
        }
        if access != Access::Write {
            // One that the process began with; else it is free, and whoever takes it is in the way.
            match file {
                Some(file) => {
                    let name = self.mean(Meaning::Given(process, number));
                    self.numbers.insert((pid, number), (file, name));
                    touched.push((object, name, access));
                }
                None => touched.push((object, free, Access::Write)),
            }
            return;
        }
        touched.push((object, free, Access::Read));
        match known {
            Some((_, name)) => touched.push((object, name, Access::Write)),
            // It is given out, or one that the process began with is closed.
            None => {
                let name = self.mean(Meaning::Given(process, number));
                touched.push((object, name, Access::Read));
            }
        }
        self.numbers.remove(&(pid, number));
        if let Some(file) = file {
            let made = self.next_made();
            let name = self.mean(made);
            self.numbers.insert((pid, number), (file, name));
            touched.push((object, name, Access::Write));
        }
    }
}

fn original(made: Made) -> Meaning {
    match made {
        Made::Socket(key) => Meaning::Original(0, key.data().as_ffi()),
        Made::File(file) => Meaning::Original(1, file.data().as_ffi()),
        Made::Inode(inode) => Meaning::Original(2, inode.data().as_ffi()),
        Made::Bound(name) => Meaning::Original(3, name.ino),
        Made::Process(pid) => Meaning::Original(4, u64::from(pid.0.unsigned_abs())),
        Made::Thread(tid) => Meaning::Original(5, u64::from(tid.0.unsigned_abs())),
        Made::Other(kind, key) => Meaning::Original(kind, key),
    }
}
