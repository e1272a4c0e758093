//! Loading a directory, here out of another machine.

use std::cell::RefCell;

use afunix::{Backend, Call, Errno};
use afunix_model::machine::WhyNotLoaded;

use crate::support::{MAIN, Rig};

/// A machine whose calls never wait, as a backend.
struct Source(RefCell<Rig>);

impl Backend for Source {
    fn call(&self, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        self.0.borrow_mut().call(MAIN, call)
    }
}

fn source() -> Source {
    let mut rig = Rig::new();
    for path in ["/srv", "/srv/docs", "/srv/docs/deep", "/srv/docs/deep/er"] {
        rig.mkdir(MAIN, path, 0o750).unwrap();
    }
    rig.make_file(MAIN, "/srv/docs/a", b"first");
    rig.make_file(MAIN, "/srv/docs/deep/er/b", &[7; 200_000]);
    rig.call(MAIN, &mut Call::Chown { path: b"/srv/docs/a", uid: 5, gid: 6 }).unwrap();
    let link = &mut Call::Symlink { target: b"a", path: b"/srv/docs/link" };
    rig.call(MAIN, link).unwrap();
    Source(RefCell::new(rig))
}

#[test]
fn a_tree_is_copied_with_owners_and_modes() {
    let (source, mut rig) = (source(), Rig::new());
    let loaded = rig.machine.load(&source, b"/srv/docs/").unwrap();
    rig.drain();
    assert_eq!((loaded.files, loaded.directories, loaded.skipped), (2, 3, 1));
    assert_eq!(loaded.bytes, 200_005);
    for path in ["/srv", "/srv/docs", "/srv/docs/a", "/srv/docs/deep/er/b"] {
        let (ours, theirs) =
            (rig.stat(MAIN, path).unwrap(), source.0.borrow_mut().stat(MAIN, path));
        let shown = |stat: afunix::call::Stat| (stat.mode, stat.uid, stat.gid, stat.size);
        assert_eq!(Ok(shown(ours)), theirs.map(shown), "{path}");
    }
    let again = rig.machine.load(&source, b"/srv/docs").unwrap_err();
    assert_eq!(again.why, WhyNotLoaded::Target(Errno::EXIST));
}

#[test]
fn what_cannot_be_loaded_is_named() {
    let (source, mut rig) = (source(), Rig::new());
    let mut why = |dir: &[u8]| rig.machine.load(&source, dir).unwrap_err().to_string();
    assert_eq!(why(b"srv"), "\"srv\" is not an absolute path without links, . or ..");
    assert_eq!(why(b"/no"), "lstat \"/no\": ENOENT: No such file or directory");
    assert_eq!(why(b"/srv/docs/a"), "stat \"/srv/docs/a\": ENOTDIR: Not a directory");
}
