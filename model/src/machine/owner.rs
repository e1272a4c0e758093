//! The owners of files: who gets SIGIO and SIGURG (fcntl(2), POLL 7, OOB 1).

use afunix::options::{FIOASYNC, FIOGETOWN, FIOSETOWN, SIOCGPGRP, SIOCSPGRP};
use afunix::signal::SIGNAL_MAX;
use afunix::{Errno, OpenFlags, Pid, Signal};

use super::file::{FileId, Kind};
use super::{Access, Cx, Machine, Object};
use crate::sockets::Alert;

/// The one group of processes that there is.
const GROUP: i32 = 1;

/// What F_SETOWN and F_SETSIG have set.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Owner {
    /// A process, a group as a negative number, or 0 for nobody.
    who: i32,
    /// The user who said so, real and effective.
    real: u32,
    effective: u32,
    /// The signal, 0 for SIGIO.
    signal: i32,
}

impl Machine {
    /// F_SETOWN: ESRCH, EINVAL.
    pub(super) fn set_owner(&mut self, cx: Cx, file: FileId, who: i32) -> Result<usize, Errno> {
        let group = who.checked_neg().ok_or(Errno::INVAL)?;
        let is_there = match who {
            0 => true,
            1.. => self.processes.get(who).is_some() || self.threads.get(who).is_some(),
            _ => group == GROUP,
        };
        if !is_there {
            return Err(Errno::SRCH);
        }
        self.touch(Object::File(file), Access::Write);
        let uid = self.processes.get(cx.pid.0).map(|process| process.identity.uid);
        let (real, effective) = uid.map_or((0, 0), |uid| (uid.real, uid.effective));
        let owner = self.files[file].owner.get_or_insert_default();
        **owner = Owner { who, real, effective, signal: owner.signal };
        self.tell_socket(file);
        Ok(0)
    }

    /// F_GETOWN: 0 also when the owner is no more.
    pub(super) fn owner(&mut self, file: FileId) -> i32 {
        self.touch(Object::File(file), Access::Read);
        let who = self.files[file].owner.as_ref().map_or(0, |owner| owner.who);
        if who > 0 && self.processes.get(who).is_none() { 0 } else { who }
    }

    /// F_SETSIG: EINVAL.
    pub(super) fn set_owner_signal(&mut self, file: FileId, signal: i32) -> Result<usize, Errno> {
        if !(0..=SIGNAL_MAX).contains(&signal) {
            return Err(Errno::INVAL);
        }
        self.touch(Object::File(file), Access::Write);
        self.files[file].owner.get_or_insert_default().signal = signal;
        Ok(0)
    }

    /// F_GETSIG.
    pub(super) fn owner_signal(&mut self, file: FileId) -> i32 {
        self.touch(Object::File(file), Access::Read);
        self.files[file].owner.as_ref().map_or(0, |owner| owner.signal)
    }

    /// The requests of ioctl(2) on owners; `None` if it is another.
    pub(super) fn ioctl_owner(
        &mut self,
        cx: Cx,
        file: FileId,
        request: u32,
        value: &mut i32,
    ) -> Option<Result<usize, Errno>> {
        let kind = self.files[file].kind;
        let is_socket = matches!(kind, Kind::Socket(_));
        Some(match request {
            FIOASYNC => {
                self.touch(Object::File(file), Access::Write);
                let on = *value != 0;
                let is_on = self.files[file].status.contains(OpenFlags::ASYNC);
                if on != is_on && !is_socket && !matches!(kind, Kind::Pipe(_)) {
                    return Some(Err(Errno::NOTTY));
                }
                self.files[file].status.set(OpenFlags::ASYNC, on);
                self.tell_socket(file);
                Ok(0)
            }
            FIOSETOWN | SIOCSPGRP | FIOGETOWN | SIOCGPGRP if matches!(kind, Kind::Epoll(_)) => {
                Err(Errno::INVAL)
            }
            FIOSETOWN | SIOCSPGRP if is_socket => self.set_owner(cx, file, *value),
            FIOGETOWN | SIOCGPGRP if is_socket => {
                *value = self.owner(file);
                Ok(0)
            }
            _ => return None,
        })
    }

    /// A socket learns whether its file asks for signals.
    pub(super) fn tell_socket(&mut self, file: FileId) {
        let state = &self.files[file];
        let asynchronous = state.status.contains(OpenFlags::ASYNC);
        if let Kind::Socket(socket) = state.kind
            && (asynchronous || state.owner.is_some() || self.sockets.is_asynchronous(socket))
        {
            self.sockets.set_alerts(socket, file.opaque(), asynchronous);
        }
    }

    /// Sends the signals that the sockets' owners get for what was done.
    #[inline]
    pub(super) fn signal_owners(&mut self) {
        while let Some((file, alert)) = self.sockets.next_alert() {
            self.signal_owner_of(FileId::of(file), alert);
        }
    }

    fn signal_owner_of(&mut self, file: FileId, alert: Alert) {
        let Some(state) = self.files.get(file) else { return };
        let asynchronous = state.status.contains(OpenFlags::ASYNC);
        let Some(owner) = state.owner.as_deref().copied() else { return };
        self.touch(Object::File(file), Access::Read);
        match alert {
            Alert::Urgent => {
                self.signal_owner(owner, Signal::Urg as i32);
                if asynchronous && owner.signal != 0 {
                    self.signal_owner(owner, owner.signal);
                }
            }
            Alert::Ready if owner.signal != 0 => self.signal_owner(owner, owner.signal),
            Alert::Ready => self.signal_owner(owner, Signal::Io as i32),
        }
    }

    fn signal_owner(&mut self, owner: Owner, signal: i32) {
        let targets: Vec<Pid> = match owner.who {
            0 => return,
            1.. => vec![Pid(owner.who)],
            _ => self.processes.iter().map(|(pid, _)| Pid(pid)).collect(),
        };
        for target in targets {
            if self.owner_may_signal(owner, target) {
                self.send_signal(target, None, signal);
            }
        }
    }

    /// Looked at when the signal is sent: the user who set the owner is, or acted as, the superuser
    /// or the user that the target is or may become again.
    fn owner_may_signal(&self, owner: Owner, target: Pid) -> bool {
        let Some(process) = self.running(target) else { return false };
        let uid = process.identity.uid;
        let is_of = |id: u32| id == uid.real || id == uid.saved;
        owner.effective == 0 || is_of(owner.effective) || is_of(owner.real)
    }
}
