//! rename(2): the call with the most checks.

use afunix::Errno;

use super::{Content, InodeId, Last, Tree, Walker, Want};

impl Tree {
    /// rename(2). An inode that was named `new` loses that name.
    pub(crate) fn rename(
        &mut self,
        walker: &Walker<'_>,
        old: &[u8],
        new: &[u8],
    ) -> Result<(), Errno> {
        let (from, old) = self.resolve_parent(walker, old)?;
        let (to, new) = self.resolve_parent(walker, new)?;
        if self[from].fs != self[to].fs {
            return Err(Errno::XDEV);
        }
        let (
            Last::Name { name: old, trailing: old_slash },
            Last::Name { name: new, trailing: new_slash },
        ) = (old, new)
        else {
            return Err(Errno::BUSY);
        };
        self.may_change(from)?;
        let source = self.look_up(from, &old)?.ok_or(Errno::NOENT)?;
        if self[to].is_dead_directory() {
            return Err(Errno::NOENT);
        }
        let target = self.look_up(to, &new)?;
        let is_directory = self[source].is_directory();
        if !is_directory && (old_slash || new_slash) {
            return Err(Errno::NOTDIR);
        }
        if self.is_within(to, source) {
            return Err(Errno::INVAL);
        }
        if target.is_some_and(|target| from != to && self.is_within(from, target)) {
            return Err(Errno::NOTEMPTY);
        }
        if target == Some(source) {
            return Ok(());
        }
        self.may_delete(walker, from, source, is_directory)?;
        match target {
            None => self.may_create(walker, to)?,
            Some(target) => self.may_delete(walker, to, target, is_directory)?,
        }
        if is_directory && from != to {
            // Its `..` changes.
            walker.may(&self[source], Want::WRITE)?;
        }
        walker.may_touch_paths()?;
        let covered = |inode| self.is_covered(walker, inode);
        if covered(source) || target.is_some_and(covered) {
            return Err(Errno::BUSY);
        }
        if let Some(target) = target {
            if is_directory && !self.entries(target)?.is_empty() {
                return Err(Errno::NOTEMPTY);
            }
            self.remove_entry(to, &new);
        }
        self.move_entry(source, (from, &old), (to, &new));
        Ok(())
    }

    /// Whether `inner` is `outer` or lies somewhere in it.
    fn is_within(&self, inner: InodeId, outer: InodeId) -> bool {
        let mut at = inner;
        loop {
            if at == outer {
                return true;
            }
            let parent = self.parent(at);
            if parent == at {
                return false;
            }
            at = parent;
        }
    }

    fn move_entry(&mut self, inode: InodeId, from: (InodeId, &[u8]), to: (InodeId, &[u8])) {
        self.entries_mut(from.0).remove(from.1);
        self.entries_mut(to.0).insert(to.1.into(), inode);
        if let Content::Directory { parent, .. } = &mut self[inode].content {
            *parent = to.0;
            self[from.0].nlink -= 1;
            self[to.0].nlink += 1;
            self[to.0].holds += 1;
            self.unhold(from.0);
        }
    }
}
