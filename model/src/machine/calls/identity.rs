//! Calls on who the caller is.

use afunix::{Credentials, Errno};

use super::super::identity::Identity;
use super::super::{Cx, Machine};
use crate::sockets::Ids;

impl Machine {
    /// The caller's identity, to be changed.
    pub(super) fn identity_mut(&mut self, cx: Cx) -> &mut Identity {
        self.touch_settings(cx);
        &mut self.process_mut(cx).identity
    }

    /// setgroups(2), setresgid(2), setresuid(2).
    pub(super) fn setids(
        &mut self,
        cx: Cx,
        uid: u32,
        gid: u32,
        groups: &[u32],
    ) -> Result<usize, Errno> {
        let user = Credentials { uid, gid, groups: groups.to_vec() };
        self.identity_mut(cx).become_user(&user).map(|()| 0)
    }

    /// setresuid(2).
    pub(super) fn setresuid(
        &mut self,
        cx: Cx,
        real: u32,
        effective: u32,
        saved: u32,
    ) -> Result<usize, Errno> {
        self.identity_mut(cx).setresuid(Ids { real, effective, saved }).map(|()| 0)
    }

    /// setresgid(2).
    pub(super) fn setresgid(
        &mut self,
        cx: Cx,
        real: u32,
        effective: u32,
        saved: u32,
    ) -> Result<usize, Errno> {
        self.identity_mut(cx).setresgid(Ids { real, effective, saved }).map(|()| 0)
    }
}
