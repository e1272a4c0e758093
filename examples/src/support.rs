//! What several scenarios need: a directory of their own, calls that go on after EINTR, and errors
//! that say what was tried. std's `read_exact`, `write_all` and `BufRead` go on after EINTR by
//! themselves.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use afunix::call::Stat;
use afunix::net::OwnedFd;
use afunix::{Child, Errno, Exit, Host, fs};

/// Makes a call again for as long as a signal interrupts it.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Turns an error into a sentence that says what was tried.
pub(crate) trait Trying<T> {
    /// `what` completes "cannot ...".
    fn trying(self, what: &str) -> Result<T, String>;
}

impl<T, E: Into<io::Error>> Trying<T> for Result<T, E> {
    fn trying(self, what: &str) -> Result<T, String> {
        self.map_err(|error| format!("cannot {what}: {}", explain(&error.into())))
    }
}

/// An error with its symbol (`ENOENT: ...`) where it has one.
pub(crate) fn explain(error: &io::Error) -> String {
    Errno::from_io(error).map_or_else(|| error.to_string(), |errno| errno.to_string())
}

/// The exit status of a process whose body gave `result`; prints what went wrong.
pub(crate) fn status<H: Host>(host: &H, name: &str, result: Result<(), String>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(message) => {
            host.print(&format!("{name}: {message}"));
            1
        }
    }
}

/// Runs a scenario that takes no arguments; 2 if it is given some.
pub(crate) fn run<H: Host>(
    host: &H,
    name: &str,
    args: &[String],
    body: impl FnOnce() -> Result<(), String>,
) -> i32 {
    if let Some(first) = args.first() {
        host.print(&format!("{name}: takes no arguments, but was given {first:?}"));
        return 2;
    }
    status(host, name, body())
}

/// Takes over the descriptor that the process was started with.
pub(crate) fn inherited<H: Host>(host: &H, number: i32) -> Result<OwnedFd<H>, String> {
    host.inherited(number).ok_or_else(|| format!("descriptor {number} was not inherited"))
}

/// Waits for a child that must end with status 0.
pub(crate) fn ended_well<H: Host>(child: Child<H>, name: &str) -> Result<(), String> {
    match child.wait().trying(&format!("wait for {name}"))? {
        Exit::Status(0) => Ok(()),
        exit => Err(format!("{name} ended with {exit}")),
    }
}

/// Makes a directory that nobody else uses: mkdir(2) decides.
pub(crate) fn scratch<H: Host>(host: &H, name: &str) -> Result<PathBuf, String> {
    let pid = host.pid();
    let mut attempt = 0;
    loop {
        let path = PathBuf::from(format!("/tmp/afunix-{name}-{pid}-{attempt}"));
        match fs::create_dir(host, &path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => attempt += 1,
            made => return made.map(|()| path).trying("make a directory in /tmp"),
        }
    }
}

/// Removes a directory and all that is in it.
pub(crate) fn remove_tree<H: Host>(host: &H, directory: &Path) -> Result<(), String> {
    let what = format!("remove {}", directory.display());
    for entry in fs::read_dir(host, directory).trying(&what)? {
        let path = directory.join(name_of(&entry.name));
        match fs::symlink_metadata(host, &path).trying(&what)?.file_type() {
            Stat::IFDIR => remove_tree(host, &path)?,
            _ => fs::remove_file(host, &path).trying(&what)?,
        }
    }
    fs::remove_dir(host, directory).trying(&what)
}

/// A directory entry's name as part of a path.
pub(crate) fn name_of(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}
