//! epoll: files that are watched until something comes of it.
//!
//! A *watch* is one file under one number (EPOLL 4). It hangs on the open file, and is gone with
//! its last reference (POLL 8). Which watches may have something to report is known by the wakes
//! ([`crate::wait`]); what it is, the file is asked when somebody looks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use afunix::net::Fd;
use afunix::snapshot::WaitReason;
use afunix::{EpollEvent, EpollFlags, Errno, EventsOut, OpenFlags, Readiness};
use slotmap::SecondaryMap;

use super::super::file::{FileId, Kind};
use super::super::process::InCallState;
use super::super::{Access, Cx, Flow, Machine, Object, Settled, Wait, Why};
use crate::check::{Violation, must};
use crate::wait::{EpollKey, On, PRIVATE, WatchKey};

/// epoll_ctl(2): EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD.
const ADD: i32 = 1;
const DEL: i32 = 2;
const MOD: i32 = 3;
/// EP_MAX_EVENTS.
const EVENTS_MAX: usize = i32::MAX as usize / 12;
/// Most epolls between a file and the last that hears of it (EP_MAX_NESTS).
const NESTS_MAX: usize = 4;
/// Of how many ways through 2, 3, .. epolls a file may be watched.
const PATHS_MAX: [u32; NESTS_MAX] = [500, 100, 50, 10];
/// What an exclusive watch may ask for.
const WITH_EXCLUSIVE: EpollFlags = EpollFlags::IN
    .union(EpollFlags::OUT)
    .union(EpollFlags::ERR)
    .union(EpollFlags::HUP)
    .union(EpollFlags::WAKEUP)
    .union(EpollFlags::ET)
    .union(EpollFlags::EXCLUSIVE);
/// Waited for whether asked for or not.
const UNASKED: EpollFlags = EpollFlags::ERR.union(EpollFlags::HUP);

/// Which files are watched by which epolls.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Watches {
    epolls: SecondaryMap<EpollKey, Epoll>,
    watches: SecondaryMap<WatchKey, Watch>,
    by_file: BTreeMap<FileId, BTreeSet<WatchKey>>,
}

#[derive(Clone, Debug)]
struct Epoll {
    /// Its own file.
    file: FileId,
    list: BTreeMap<(FileId, i32), WatchKey>,
}

#[derive(Clone, Copy, Debug)]
struct Watch {
    epoll: EpollKey,
    file: FileId,
    number: i32,
    data: u64,
}

impl Watches {
    /// The epolls that watch a file, by their own files.
    fn watchers(&self, file: FileId) -> impl Iterator<Item = FileId> + '_ {
        let watches = self.by_file.get(&file).into_iter().flatten();
        watches.map(|watch| self.epolls[self.watches[*watch].epoll].file)
    }

    pub(in super::super) fn is_watched(&self, file: FileId) -> bool {
        self.by_file.contains_key(&file)
    }

    /// The files that an epoll watches, and under which numbers.
    pub(in super::super) fn watched(
        &self,
        epoll: EpollKey,
    ) -> impl Iterator<Item = (FileId, i32)> + '_ {
        self.epolls[epoll].list.keys().copied()
    }

    /// How many epolls stand above one at most.
    fn height_above(&self, file: FileId) -> usize {
        self.watchers(file).map(|above| self.height_above(above) + 1).max().unwrap_or(0)
    }

    /// Counts the ways from a file through epolls to those that nobody watches, by length; `false`
    /// if there are too many, or one is too long.
    fn counts_paths(&self, file: FileId, depth: usize, counts: &mut [u32; NESTS_MAX]) -> bool {
        depth <= NESTS_MAX
            && self.watchers(file).all(|above| match depth {
                _ if self.is_watched(above) => self.counts_paths(above, depth + 1, counts),
                0 => true,
                _ => {
                    counts[depth - 1] += 1;
                    counts[depth - 1] <= PATHS_MAX[depth - 1]
                }
            })
    }

    fn insert(&mut self, key: WatchKey, watch: Watch) {
        self.watches.insert(key, watch);
        self.epolls[watch.epoll].list.insert((watch.file, watch.number), key);
        self.by_file.entry(watch.file).or_default().insert(key);
    }

    fn remove(&mut self, key: WatchKey) {
        let Some(watch) = self.watches.remove(key) else { return };
        self.epolls[watch.epoll].list.remove(&(watch.file, watch.number));
        if let Some(of_file) = self.by_file.get_mut(&watch.file) {
            of_file.remove(&key);
            if of_file.is_empty() {
                self.by_file.remove(&watch.file);
            }
        }
    }
}

impl Machine {
    /// epoll_create1(2).
    pub(super) fn epoll_create1(&mut self, cx: Cx, flags: OpenFlags) -> Result<usize, Errno> {
        if !(flags - OpenFlags::CLOEXEC).is_empty() {
            return Err(Errno::INVAL);
        }
        self.room(cx, 1)?;
        let epoll = self.tickets.epolls.open();
        self.touch(Object::Epoll(epoll), Access::Write);
        let file = self.new_file(Kind::Epoll(epoll), OpenFlags::RDWR);
        self.watches.epolls.insert(epoll, Epoll { file, list: BTreeMap::new() });
        let cloexec = flags.contains(OpenFlags::CLOEXEC);
        self.install(cx, file, cloexec).map(|number| number as usize)
    }

    /// epoll_ctl(2). In order: EFAULT, EBADF, EPERM for a file that cannot be polled, EINVAL,
    /// ELOOP, then EEXIST or ENOENT (EPOLL 2, 3).
    pub(super) fn epoll_ctl(
        &mut self,
        cx: Cx,
        fd: Fd<'_>,
        op: i32,
        target: Fd<'_>,
        event: Option<EpollEvent>,
    ) -> Result<usize, Errno> {
        let event = match event {
            None if op != DEL => return Err(Errno::FAULT),
            event => event.unwrap_or_default(),
        };
        let own = self.file_of(cx, fd)?;
        let file = self.file_of(cx, target)?;
        let kind = self.files[file].kind;
        if matches!(kind, Kind::Inode(_) | Kind::Null(_)) {
            return Err(Errno::PERM);
        }
        let Kind::Epoll(epoll) = self.files[own].kind else { return Err(Errno::INVAL) };
        if own == file {
            return Err(Errno::INVAL);
        }
        let nests = matches!(kind, Kind::Epoll(_));
        if op != DEL && event.events.contains(EpollFlags::EXCLUSIVE) {
            let is_plain = (event.events - WITH_EXCLUSIVE).is_empty();
            if op == MOD || op == ADD && (nests || !is_plain) {
                return Err(Errno::INVAL);
            }
        }
        self.touch(Object::Epoll(epoll), Access::Write);
        if op == ADD && nests && self.would_loop(own, file) {
            return Err(Errno::LOOP);
        }
        let found = self.watches.epolls[epoll].list.get(&(file, target.number())).copied();
        match (op, found) {
            (ADD, Some(_)) => return Err(Errno::EXIST),
            (ADD, None) => {
                let watch = Watch { epoll, file, number: target.number(), data: event.data };
                self.add_watch(own, watch, event.events | UNASKED, nests)?;
            }
            (DEL, Some(watch)) => self.drop_watch(watch),
            (MOD, Some(watch)) => self.modify_watch(watch, event)?,
            (DEL | MOD, None) => return Err(Errno::NOENT),
            _ => return Err(Errno::INVAL),
        }
        Ok(0)
    }

    /// EPOLL 3: an epoll would watch itself by way of others, or the tower would be too high.
    fn would_loop(&mut self, own: FileId, file: FileId) -> bool {
        match self.height_below(file, own, 0) {
            None => true,
            Some(below) => below + 1 + self.watches.height_above(own) > NESTS_MAX,
        }
    }

    /// How many epolls stand below one at most; `None` if `sought` is among them.
    fn height_below(&self, file: FileId, sought: FileId, depth: usize) -> Option<usize> {
        if file == sought || depth > NESTS_MAX {
            return None;
        }
        let Kind::Epoll(epoll) = self.files[file].kind else { return Some(0) };
        let mut height = 0;
        for (below, _) in self.watches.watched(epoll) {
            if matches!(self.files[below].kind, Kind::Epoll(_)) {
                height = height.max(self.height_below(below, sought, depth + 1)? + 1);
            }
        }
        Some(height)
    }

    fn add_watch(
        &mut self,
        own: FileId,
        watch: Watch,
        events: EpollFlags,
        nests: bool,
    ) -> Result<(), Errno> {
        let Watch { epoll, file, .. } = watch;
        let key = self.tickets.epolls.add(epoll, events);
        self.watches.insert(key, watch);
        if (nests || self.watches.is_watched(own)) && !self.paths_are_few(file) {
            self.drop_watch(key);
            return Err(Errno::INVAL);
        }
        self.stand_in_queues(key, file, events.contains(EpollFlags::EXCLUSIVE));
        if !self.look(key).is_empty() {
            self.tickets.found_ready(key);
        }
        Ok(())
    }

    /// EPOLL 3: whether the files below are watched by no more ways than the kernel allows.
    fn paths_are_few(&self, file: FileId) -> bool {
        match self.files[file].kind {
            Kind::Epoll(epoll) => {
                self.watches.watched(epoll).all(|(below, _)| self.paths_are_few(below))
            }
            _ => self.watches.counts_paths(file, 0, &mut [0; NESTS_MAX]),
        }
    }

    /// Puts a watch where every wake of its file is heard.
    fn stand_in_queues(&mut self, key: WatchKey, file: FileId, exclusive: bool) {
        match self.files[file].kind {
            Kind::Socket(socket) => self.sockets.watch(&self.tickets, socket, key, exclusive),
            Kind::Pipe(pipe) => self.watch_pipe(file, pipe, key, exclusive),
            Kind::Eventfd(eventfd) => self.watch_eventfd(eventfd, key, exclusive),
            Kind::Process(pid) => self.watch_end(pid, key, exclusive),
            Kind::Epoll(epoll) => self.tickets.watch_epoll(epoll, key),
            Kind::Inode(_) | Kind::Null(_) | Kind::Console(_) | Kind::Path(_) => {}
        }
    }

    /// EPOLL 5: what is there already counts as new.
    fn modify_watch(&mut self, key: WatchKey, event: EpollEvent) -> Result<(), Errno> {
        if self.tickets.epolls.events(key).contains(EpollFlags::EXCLUSIVE) {
            return Err(Errno::INVAL);
        }
        self.tickets.epolls.set_events(key, event.events | UNASKED);
        self.watches.watches[key].data = event.data;
        if !self.look(key).is_empty() {
            self.tickets.found_ready(key);
        }
        Ok(())
    }

    /// What there is of what a watch waits for.
    fn look(&mut self, key: WatchKey) -> Readiness {
        let events = self.tickets.epolls.events(key).readiness();
        let file = self.watches.watches[key].file;
        self.readiness(file, events) & events
    }

    /// epoll_pwait2(2) and its kin: EBADF, EINVAL, EFAULT.
    pub(super) fn epoll_pwait2(
        &mut self,
        cx: Cx,
        fd: Fd<'_>,
        events: &mut EventsOut<'_>,
        timeout: Option<Duration>,
    ) -> Flow {
        let file = match self.file_of(cx, fd) {
            Ok(file) => file,
            Err(errno) => return Flow::Done(Err(errno)),
        };
        let room = events.maxevents();
        let Kind::Epoll(epoll) = self.files[file].kind else {
            return Flow::Done(Err(Errno::INVAL));
        };
        if room == 0 || room > EVENTS_MAX {
            return Flow::Done(Err(Errno::INVAL));
        }
        let deadline = match self.in_call(cx) {
            Some(call) => call.deadline,
            None => timeout.map(|timeout| cx.now.saturating_add(timeout)),
        };
        if cx.why == Why::TimedOut && !cx.woken {
            // EPOLL 9: what is there by now is for whoever was woken for it.
            self.touch(Object::Epoll(epoll), Access::Read);
            return Flow::Done(Ok(0));
        }
        match (self.report(epoll, events), cx.why) {
            (Ok(0), Why::Interrupted) => Flow::Done(Err(Errno::INTR)),
            (Ok(0), Why::TimedOut) => Flow::Done(Ok(0)),
            (Ok(0), _) if deadline.is_some_and(|deadline| deadline <= cx.now) => Flow::Done(Ok(0)),
            (Ok(0), _) => self.wait_for_events(file, epoll, deadline),
            (result, _) => Flow::Done(result),
        }
    }

    /// Takes watches from the ready list and reports what their files have; a level stays in it, at
    /// the end (EPOLL 8).
    fn report(&mut self, epoll: EpollKey, events: &mut EventsOut<'_>) -> Result<usize, Errno> {
        self.touch(Object::Epoll(epoll), Access::Write);
        let end = self.tickets.epolls.end(epoll);
        let mut result = Ok(0);
        while result.is_ok_and(|count| count < events.maxevents())
            && let Some(key) = self.tickets.epolls.first_before(epoll, end)
        {
            let ready = self.look(key);
            if ready.is_empty() {
                self.tickets.epolls.unlist(key);
                continue;
            }
            let count = result.unwrap_or(0);
            let event = EpollEvent { events: ready.into(), data: self.watches.watches[key].data };
            if !events.put(count, event) {
                result = if count == 0 { Err(Errno::FAULT) } else { break };
                continue;
            }
            result = Ok(count + 1);
            self.reported(key);
        }
        self.tickets.wake_next(epoll);
        result
    }

    /// What becomes of a watch that was reported.
    fn reported(&mut self, key: WatchKey) {
        let epolls = &mut self.tickets.epolls;
        epolls.unlist(key);
        let events = epolls.events(key);
        if events.contains(EpollFlags::ONESHOT) {
            epolls.set_events(key, events & PRIVATE);
        } else if !events.contains(EpollFlags::ET) {
            epolls.list(key);
        }
    }

    fn wait_for_events(
        &mut self,
        file: FileId,
        epoll: EpollKey,
        deadline: Option<Duration>,
    ) -> Flow {
        self.touch(Object::Epoll(epoll), Access::Awaits);
        let ticket = self.tickets.issue();
        self.tickets.enrol_at_epoll(epoll, ticket);
        let on = On { reason: WaitReason::Readiness, socket: None };
        let settled = Settled { file: Some(file), polled: Vec::new() };
        Flow::Wait(Wait { on, ticket, deadline, settled, state: InCallState::None })
    }

    /// EPOLL 7: poll(2) of an epoll. What turns out to have nothing to report leaves the list.
    pub(super) fn epoll_readiness(&mut self, epoll: EpollKey) -> Readiness {
        self.touch(Object::Epoll(epoll), Access::Write);
        let mut ready = Readiness::empty();
        while let Some(key) = self.tickets.epolls.first_before(epoll, u64::MAX) {
            if !self.look(key).is_empty() {
                ready = Readiness::IN | Readiness::RDNORM;
                break;
            }
            self.tickets.epolls.unlist(key);
        }
        self.tickets.wake_next(epoll);
        ready
    }

    fn drop_watch(&mut self, key: WatchKey) {
        self.touch(Object::Epoll(self.watches.watches[key].epoll), Access::Write);
        self.watches.remove(key);
        self.tickets.epolls.remove(key);
    }

    /// POLL 8: the last reference of a watched file is gone.
    pub(in super::super) fn forget_watches_of(&mut self, file: FileId) {
        if let Some(watches) = self.watches.by_file.get(&file) {
            for key in watches.clone() {
                self.drop_watch(key);
            }
        }
    }

    /// The last reference of an epoll is gone.
    pub(in super::super) fn release_epoll(&mut self, epoll: EpollKey) {
        let watches: Vec<WatchKey> = self.watches.epolls[epoll].list.values().copied().collect();
        for key in watches {
            self.drop_watch(key);
        }
        self.watches.epolls.remove(epoll);
        self.tickets.epolls.close(epoll);
    }

    /// Epolls and files, watches and their lists name each other, and no tower is too high.
    pub(crate) fn check_epolls(&self) -> Result<(), Violation> {
        let Watches { epolls, watches, by_file } = &self.watches;
        let files = self.files.values().filter(|file| matches!(file.kind, Kind::Epoll(_))).count();
        let known = (epolls.len(), self.tickets.epolls.len());
        must!(known == (files, files), "there are {files} files of epolls, and {known:?} epolls");
        for (key, epoll) in epolls {
            let kind = self.files.get(epoll.file).map(|file| file.kind);
            must!(kind == Some(Kind::Epoll(key)), "an epoll has {kind:?} for its own file");
            let height = self.watches.height_above(epoll.file);
            must!(height <= NESTS_MAX, "{height} epolls stand above another");
            let (ready, end) = self.tickets.epolls.ready(key);
            must!(ready.keys().all(|place| *place < end), "a ready list goes on after its end");
            let is_own = |watch| self.watches.watches.get(watch).is_some_and(|w| w.epoll == key);
            must!(ready.values().all(|watch| is_own(*watch)), "a ready list has a foreign watch");
        }
        let listed: usize = epolls.values().map(|epoll| epoll.list.len()).sum();
        let of_files: usize = by_file.values().map(BTreeSet::len).sum();
        let mut count = 0;
        for (key, epoll, place) in self.tickets.epolls.iter() {
            count += 1;
            let Some(watch) = watches.get(key) else {
                return Err(Violation("a watch has no file".to_owned()));
            };
            let in_list = epolls[epoll].list.get(&(watch.file, watch.number)) == Some(&key);
            let of_file = by_file.get(&watch.file).is_some_and(|watches| watches.contains(&key));
            let is_open = self.files.contains_key(watch.file);
            must!(in_list && of_file && is_open, "a watch is not where its file and epoll are");
            let in_place = |place| self.tickets.epolls.ready(epoll).0.get(&place) == Some(&key);
            must!(place.is_none_or(in_place), "a watch is not at its place in the ready list");
        }
        must!(
            (listed, of_files, watches.len()) == (count, count, count),
            "{count} watches are known, {listed} listed by epolls and {of_files} by files"
        );
        Ok(())
    }
}
