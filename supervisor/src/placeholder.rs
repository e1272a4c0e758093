//! What stands in the program for a socket of the model: one end of a real socketpair.
//!
//! The *near* end is the program's: a descriptor like any other, which the kernel duplicates,
//! inherits and closes. The *far* end is kept here: it hangs up when the last near end is closed.
//! The kernel polls the near end by itself, so a placeholder is made to *show* what the model would
//! poll: a *token* in its receive queue is IN, a full send buffer takes OUT away, a byte out of
//! band is PRI, the far end's shutdown is RDHUP and HUP. Whatever comes about through others can be
//! shown from the far end; what only a call on the socket itself brings about needs the near end,
//! which that call has in hand.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use afunix::{Errno, Readiness};

use crate::sys::{file, socket};

/// A placeholder.
#[derive(Debug)]
pub(crate) struct Placeholder {
    far: OwnedFd,
    /// The near end's inode number, by which it is known.
    pub(crate) inode: u64,
    /// Tokens wait at the near end.
    tokens: bool,
    /// A byte out of band waits at the near end.
    urgent: bool,
    /// The near end's send buffer is full.
    full: bool,
    shut: Shut,
    /// The near end was found closed.
    gone: bool,
    /// Bytes that came from the near end and were not put there to fill it.
    strays: usize,
    /// Keeps the inode of the path that the socket is bound to, so that its number is not used
    /// again.
    pub(crate) name: Option<OwnedFd>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Shut {
    No,
    Write,
    Both,
}

impl Placeholder {
    /// A placeholder and its near end.
    pub(crate) fn new(nonblocking: bool) -> Result<(Placeholder, OwnedFd), Errno> {
        let (near, far) = socket::pair(nonblocking)?;
        let inode = file::stat(near.as_fd())?.ino;
        let shut = Shut::No;
        let (tokens, urgent, full, gone) = (false, false, false, false);
        Ok((
            Placeholder { far, inode, tokens, urgent, full, shut, gone, strays: 0, name: None },
            near,
        ))
    }

    pub(crate) fn far(&self) -> BorrowedFd<'_> {
        self.far.as_fd()
    }

    /// Whether it shows no OUT.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Whether the program has closed its last descriptor.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone || socket::is_gone(self.far.as_fd(), self.shut == Shut::Both)
    }

    /// Shows what the model polls. Without the near end it may go on showing IN, OUT or PRI where
    /// there is none: the next call on the socket mends it.
    pub(crate) fn show<'a>(&mut self, ready: Readiness, near: impl Fn() -> Option<BorrowedFd<'a>>) {
        self.show_input(ready.contains(Readiness::IN), &near);
        let far = self.far.as_fd();
        let urgent = ready.contains(Readiness::PRI);
        if urgent && !self.urgent {
            self.urgent = socket::send_urgent(far);
        } else if !urgent
            && self.urgent
            && let Some(near) = near()
        {
            socket::drain_urgent(near);
            self.urgent = false;
        }
        let room = ready.contains(Readiness::OUT);
        if room && self.full {
            self.strays += socket::drain(far).saturating_sub(socket::FILLING);
            self.full = false;
        } else if !room
            && !self.full
            && self.shut < Shut::Both
            && let Some(near) = near()
        {
            self.full = socket::fill(near);
        }
        if ready.contains(Readiness::RDHUP) {
            // At the end of input there is always a token; it was not taken if nobody is there.
            self.gone |= !self.tokens;
            let both = ready.contains(Readiness::HUP);
            let shut = if both { Shut::Both } else { Shut::Write };
            if self.shut < shut && !self.gone {
                socket::shut(far, both);
                self.shut = shut;
            }
        }
    }

    fn show_input<'a>(&mut self, input: bool, near: impl Fn() -> Option<BorrowedFd<'a>>) {
        if input && !self.tokens {
            // At the end of input, too: the token that is left tells the last close (`is_gone`).
            self.tokens = socket::send_token(self.far.as_fd());
        } else if !input
            && self.tokens
            && let Some(near) = near()
        {
            socket::drain(near);
            self.tokens = false;
        }
    }

    /// How many bytes the program has written to the placeholder itself, by a call that nobody
    /// trapped. The end of it: what it shows is drained.
    pub(crate) fn strays(self) -> usize {
        let filling = if self.full { socket::FILLING } else { 0 };
        self.strays + socket::drain(self.far.as_fd()).saturating_sub(filling)
    }

    /// Something more came to be read: a new edge.
    pub(crate) fn show_arrival(&mut self) {
        if self.tokens {
            socket::send_token(self.far.as_fd());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    /// What poll(2) tells of the near end.
    fn polled(near: &OwnedFd) -> Readiness {
        let mut set = Readiness::all() - Readiness::NVAL;
        crate::sys::socket::poll(near.as_raw_fd(), &mut set);
        set & (Readiness::IN | Readiness::OUT | Readiness::PRI | Readiness::RDHUP | Readiness::HUP)
    }

    #[test]
    fn every_state_that_can_be_shown_is_polled() {
        let (mut place, near) = Placeholder::new(false).unwrap();
        let (input, room) = (Readiness::IN, Readiness::OUT);
        let states = [
            room,
            room | input,
            input,
            Readiness::empty(),
            input | Readiness::PRI,
            room,
            input | room | Readiness::RDHUP,
            input | room | Readiness::RDHUP | Readiness::HUP,
        ];
        for state in states {
            place.show(state, || Some(near.as_fd()));
            assert_eq!(polled(&near), state, "{state:?}");
            assert!(!place.is_gone(), "{state:?}");
        }
        drop(near);
        assert!(place.is_gone());
    }

    #[test]
    fn the_last_close_of_several_is_told() {
        let (place, near) = Placeholder::new(true).unwrap();
        let other = near.try_clone().unwrap();
        drop(near);
        assert!(!place.is_gone());
        drop(other);
        assert!(place.is_gone());
    }

    #[test]
    fn what_is_written_to_it_is_a_stray() {
        for written in [0, 1] {
            let (mut place, near) = Placeholder::new(false).unwrap();
            for state in [Readiness::empty(), Readiness::OUT, Readiness::empty()] {
                place.show(state, || Some(near.as_fd()));
            }
            (0..written).for_each(|_| assert!(socket::send_token(near.as_fd())));
            assert_eq!(place.strays(), written);
        }
    }

    #[test]
    fn what_others_bring_about_needs_no_near_end() {
        let (mut place, near) = Placeholder::new(false).unwrap();
        place.show(Readiness::empty(), || Some(near.as_fd()));
        assert_eq!(polled(&near), Readiness::empty());
        let all = Readiness::IN | Readiness::OUT | Readiness::RDHUP;
        place.show(all, || None);
        assert_eq!(polled(&near), all);
    }
}
