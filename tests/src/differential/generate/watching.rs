//! epoll and select; and who a process is and what it sees.

use super::*;

/// EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLPRI, and how an event is given.
const EVENTS: [u32; 12] =
    [1, 1, 4, 5, 0x2005, 2, 0, 0x8000_0001, 0x8000_0005, 0x8000_2005, 0x4000_0001, 0x1000_0001];

impl Maker<'_> {
    /// Something about epoll: there is one after the first time.
    pub(super) fn watch(&mut self) {
        let fresh = self.one_in(8);
        let epoll = match self.epoll {
            Some(slot) if !fresh => slot,
            _ => {
                let (flags, into) = (self.pick(&[0, CLOEXEC, 1]), self.slot());
                self.add(Request::EpollCreate { flags, into });
                self.epoll = Some(into);
                into
            }
        };
        let odd = self.one_in(20);
        let fd = if odd { self.any() } else { Slot::Made(epoll) };
        if self.one_in(2) {
            let room = self.pick(&[1, 2, 8, 8, 8, 0, -1]);
            self.add(Request::EpollWait { fd, room, timeout: 0 });
            return;
        }
        for _ in 0..1 + self.below(3) {
            let what = self.pick(&[Pick::Connected, Pick::Listening, Pick::Any]);
            let (target, _) = self.find(what);
            // What the console is on the kernel is none of our affair.
            let target = if target == Slot::Console { Slot::Negative } else { target };
            let op = self.pick(&[1, 1, 1, 1, 3, 3, 2, 9]);
            let events = if op == 2 { None } else { Some(self.pick(&EVENTS)) };
            self.add(Request::EpollCtl { fd, op, target, events });
        }
    }

    pub(super) fn select(&mut self) {
        let mut sets = [const { None }; 3];
        for set in &mut sets {
            if !self.one_in(3) {
                let all = (0..self.below(4)).map(|_| self.any());
                *set = Some(all.filter(|slot| *slot != Slot::Negative).collect());
            }
        }
        let nfds = self.pick(&[26, 26, 26, 10, 0, -1]);
        self.add(Request::Select { nfds, sets, timeout: 0 });
    }

    /// Real, effective and saved ids, and those for files. They are those of a thread: left alone
    /// where there are several.
    pub(super) fn identity(&mut self) {
        if self.state.waits.is_some() {
            return;
        }
        let ids = [0, self.stranger, self.stranger + 1, COMMON, u32::MAX, u32::MAX];
        let three = self.three_ids(&ids);
        let one = self.pick(&ids);
        let groups = self.pick(&[vec![], vec![COMMON], vec![9, COMMON, 3]]);
        let identity = match self.below(6) {
            0 | 1 => Identity::Resuid(three),
            2 => Identity::Resgid(three),
            3 => Identity::Fsuid(one),
            4 => Identity::Fsgid(one),
            _ => Identity::Groups(groups),
        };
        self.add(Request::Identity(identity));
    }

    /// A real, an effective and a saved user or group. Who has no privileges any more has a real id
    /// that is the program's own: what others have in flight would count (CMSG 4).
    fn three_ids(&mut self, ids: &[u32]) -> [u32; 3] {
        let mut three = [(); 3].map(|()| self.pick(ids));
        let keeps = three[1] == 0 || three[1] == u32::MAX && three[0] == u32::MAX;
        if !keeps || three[0] == COMMON {
            three[0] = self.stranger;
        }
        three
    }

    /// What the process sees of files and names.
    pub(super) fn view(&mut self) {
        if self.state.waits.is_some() || self.one_in(2) {
            let path = self.pick(&["l0", "l1", "f0", "d", "no/l", "s0"]);
            let len = self.pick(&[1, 2, 100, 0]);
            self.add(Request::Readlink { path, len });
            return;
        }
        match self.below(24) {
            0..=7 => {
                let flags = self.pick(&[0, 1, 1, 1]);
                self.add(Request::Mount { path: "d", flags });
            }
            8..=10 => {
                self.add(Request::Umount { path: "d" });
            }
            11 => {
                self.add(Request::Detach);
            }
            12 if self.one_in(2) => {
                let path = self.pick(&["d", ".", "no", "f0"]);
                self.add(Request::Chroot { path });
            }
            _ => self.change_directory(),
        }
    }
}
