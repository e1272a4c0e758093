//! Who a process is to the kernel: ids, groups and capabilities, and how they change
//! (credentials(7), capabilities(7)).
//!
//! The *real* id says whose process it is, the *effective* one as whom it acts, the *saved* one
//! what it may become again; files are opened and made under the *file-system* id, which follows
//! the effective one.

use afunix::{Capabilities, Credentials, Errno};

use crate::sockets::Ids;

/// An id argument that leaves the id as it is.
pub(crate) const UNCHANGED: u32 = u32::MAX;
/// Most supplementary groups (NGROUPS_MAX).
const GROUPS_MAX: usize = 65536;

/// Who a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: Ids,
    pub(crate) gid: Ids,
    pub(crate) fsuid: u32,
    pub(crate) fsgid: u32,
    pub(crate) groups: Vec<u32>,
    /// What it may do.
    pub(crate) effective: Capabilities,
    /// What it may allow itself.
    pub(crate) permitted: Capabilities,
}

impl Identity {
    /// The superuser.
    pub(crate) const ROOT: Identity = Identity {
        uid: Ids::all(0),
        gid: Ids::all(0),
        fsuid: 0,
        fsgid: 0,
        groups: Vec::new(),
        effective: Capabilities::ALL,
        permitted: Capabilities::ALL,
    };

    #[inline]
    pub(crate) fn has(&self, capability: Capabilities) -> bool {
        self.effective.intersects(capability)
    }

    /// EPERM unless it has the capability.
    pub(crate) fn needs(&self, capability: Capabilities) -> Result<(), Errno> {
        if self.has(capability) { Ok(()) } else { Err(Errno::PERM) }
    }

    /// Whether files of the group are its own.
    pub(crate) fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }

    /// Becomes a user for good: setgroups, setresgid, setresuid. EPERM unless it acts as the
    /// superuser.
    pub(crate) fn become_user(&mut self, user: &Credentials) -> Result<(), Errno> {
        if self.uid.effective != 0 {
            return Err(Errno::PERM);
        }
        let mut new = self.clone();
        new.setgroups(&user.groups)?;
        new.setresgid(Ids::all(user.gid))?;
        new.setresuid(Ids::all(user.uid))?;
        *self = new;
        Ok(())
    }

    /// setgroups(2): EPERM, EINVAL.
    pub(crate) fn setgroups(&mut self, groups: &[u32]) -> Result<(), Errno> {
        self.needs(Capabilities::SETGID)?;
        if groups.len() > GROUPS_MAX || groups.contains(&UNCHANGED) {
            return Err(Errno::INVAL);
        }
        self.groups = groups.to_vec();
        Ok(())
    }

    /// setresuid(2): any of the three ids that it has, or with CAP_SETUID any at all; else EPERM.
    pub(crate) fn setresuid(&mut self, new: Ids) -> Result<(), Errno> {
        let old = self.uid;
        if changes_nothing(old, new, self.fsuid) {
            return Ok(());
        }
        if !all_in(new, old) {
            self.needs(Capabilities::SETUID)?;
        }
        self.uid = merged(new, old);
        self.fsuid = self.uid.effective;
        self.follow_user(old);
        Ok(())
    }

    /// setresgid(2), with CAP_SETGID.
    pub(crate) fn setresgid(&mut self, new: Ids) -> Result<(), Errno> {
        let old = self.gid;
        if changes_nothing(old, new, self.fsgid) {
            return Ok(());
        }
        if !all_in(new, old) {
            self.needs(Capabilities::SETGID)?;
        }
        self.gid = merged(new, old);
        self.fsgid = self.gid.effective;
        Ok(())
    }

    /// setfsuid(2): returns the old one, and says in no other way whether it was allowed.
    pub(crate) fn setfsuid(&mut self, uid: u32) -> u32 {
        let old = self.fsuid;
        let is_own = self.uid.contains(uid) || uid == old;
        if uid == UNCHANGED || !(is_own || self.has(Capabilities::SETUID)) {
            return old;
        }
        self.fsuid = uid;
        if old == 0 && uid != 0 {
            self.effective -= Capabilities::OF_FILES;
        } else if old != 0 && uid == 0 {
            self.effective |= self.permitted & Capabilities::OF_FILES;
        }
        old
    }

    /// setfsgid(2), as [`Identity::setfsuid`].
    pub(crate) fn setfsgid(&mut self, gid: u32) -> u32 {
        let old = self.fsgid;
        let is_own = self.gid.contains(gid) || gid == old;
        if gid != UNCHANGED && (is_own || self.has(Capabilities::SETGID)) {
            self.fsgid = gid;
        }
        old
    }

    /// capset(2): EPERM for what it has not been permitted. Unknown bits are dropped.
    pub(crate) fn capset(
        &mut self,
        effective: Capabilities,
        permitted: Capabilities,
    ) -> Result<(), Errno> {
        let (effective, permitted) = (effective & Capabilities::ALL, permitted & Capabilities::ALL);
        if !self.permitted.contains(permitted) || !permitted.contains(effective) {
            return Err(Errno::PERM);
        }
        (self.effective, self.permitted) = (effective, permitted);
        Ok(())
    }

    /// What becomes of the capabilities when the user changes (capabilities(7)).
    fn follow_user(&mut self, old: Ids) {
        let new = self.uid;
        if old.contains(0) && !new.contains(0) {
            self.permitted = Capabilities::empty();
            self.effective = Capabilities::empty();
        }
        if old.effective == 0 && new.effective != 0 {
            self.effective = Capabilities::empty();
        } else if old.effective != 0 && new.effective == 0 {
            self.effective = self.permitted;
        }
    }
}

/// Then the file-system id does not follow the effective one either.
fn changes_nothing(old: Ids, new: Ids, of_files: u32) -> bool {
    let keeps = |new: u32, old: u32| new == UNCHANGED || new == old;
    keeps(new.real, old.real)
        && keeps(new.effective, old.effective)
        && (new.effective == UNCHANGED || new.effective == of_files)
        && keeps(new.saved, old.saved)
}

/// Whether each id that is to be set is one of the old ones.
fn all_in(new: Ids, old: Ids) -> bool {
    [new.real, new.effective, new.saved].iter().all(|id| *id == UNCHANGED || old.contains(*id))
}

/// The ids that come of a change.
fn merged(new: Ids, old: Ids) -> Ids {
    let pick = |new: u32, old: u32| if new == UNCHANGED { old } else { new };
    Ids {
        real: pick(new.real, old.real),
        effective: pick(new.effective, old.effective),
        saved: pick(new.saved, old.saved),
    }
}
