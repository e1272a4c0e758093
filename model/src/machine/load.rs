//! Copies a real directory into the file system.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use afunix::call::{DirEntry, Stat};
use afunix::fs::File;
use afunix::{Backend, Call, Errno, OpenFlags, SegmentMut};

use super::Machine;
use super::fs::{BYTES_MAX, Content, InodeId, Tree};

/// What [`Machine::load`] copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Regular files.
    pub files: usize,
    /// Directories, the loaded one too.
    pub directories: usize,
    /// Bytes of the regular files.
    pub bytes: u64,
    /// Entries left out: symbolic links (the calls have no readlink), sockets, pipes, devices.
    pub skipped: usize,
}

/// Why a directory could not be loaded. What was copied until then stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The path at which it ended.
    pub path: Vec<u8>,
    /// What went wrong.
    pub why: WhyNotLoaded,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNotLoaded {
    /// The path does not begin with a slash, or has `.`, `..` or a NUL in it.
    NotAbsolute,
    /// More than so many entries.
    TooMany(usize),
    /// More than so many bytes.
    TooBig(u64),
    /// A call failed where the directory is copied from.
    Source(&'static str, Errno),
    /// A call failed in the model's own file system.
    Target(Errno),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.escape_ascii();
        match self.why {
            WhyNotLoaded::NotAbsolute => {
                write!(f, "\"{path}\" is not an absolute path without links, . or ..")
            }
            WhyNotLoaded::TooMany(most) => {
                write!(
                    f,
                    "more than {most} entries, reached at \"{path}\": load a smaller directory"
                )
            }
            WhyNotLoaded::TooBig(most) => {
                write!(f, "more than {most} bytes, reached at \"{path}\": load a smaller directory")
            }
            WhyNotLoaded::Source(call, errno) => write!(f, "{call} \"{path}\": {errno}"),
            WhyNotLoaded::Target(errno) => {
                write!(f, "\"{path}\" cannot be made in the simulated file system: {errno}")
            }
        }
    }
}

impl std::error::Error for LoadError {}

/// Entries that are loaded at most.
pub const ENTRIES_MAX: usize = 200_000;
/// Bytes of file contents that are loaded at most.
pub const LOADED_BYTES_MAX: u64 = BYTES_MAX / 2;
/// Bytes that are read at once.
const CHUNK: usize = 1 << 16;
/// Directories within one another, at most.
const DEPTH_MAX: usize = 256;

impl Machine {
    /// Copies a real directory tree, through any backend, to the same path in the file system:
    /// regular files and directories with their owners and modes. The directories above it are made
    /// if they are missing, with the owners and modes that they really have. `dir` is absolute,
    /// without links,
    /// `.` or `..` in it.
    ///
    /// # Errors
    /// See [`WhyNotLoaded`]; the tree is bounded by [`ENTRIES_MAX`] and [`LOADED_BYTES_MAX`].
    pub fn load<B: Backend>(&mut self, from: &B, dir: &[u8]) -> Result<Loaded, LoadError> {
        let at = |why| move |path: &[u8]| LoadError { path: path.to_vec(), why };
        let components: Vec<&[u8]> =
            dir.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
        let is_plain = components.iter().all(|name| *name != b"." && *name != b"..");
        if !dir.starts_with(b"/") || dir.contains(&0) || !is_plain {
            return Err(at(WhyNotLoaded::NotAbsolute)(dir));
        }
        let mut loader = Loader { from, tree: &mut self.tree, loaded: Loaded::default() };
        let (mut path, mut target) = (Vec::new(), loader.tree.root());
        for name in components {
            path.push(b'/');
            path.extend_from_slice(name);
            let stat = loader.stat(&path)?;
            if stat.file_type() != Stat::IFDIR {
                return Err(at(WhyNotLoaded::Source("stat", Errno::NOTDIR))(&path));
            }
            target = loader.directory(&path, target, name, &stat)?;
        }
        loader.contents(path, target)?;
        let loaded = loader.loaded;
        self.tree.touched.clear();
        Ok(loaded)
    }
}

/// A copy under way.
struct Loader<'l, B> {
    from: &'l B,
    tree: &'l mut Tree,
    loaded: Loaded,
}

impl<B: Backend> Loader<'_, B> {
    fn call(&self, path: &[u8], call: &mut Call<'_, '_>) -> Result<usize, LoadError> {
        let result = self.from.call(call);
        result.map_err(|errno| LoadError {
            path: path.to_vec(),
            why: WhyNotLoaded::Source(call.name(), errno),
        })
    }

    fn stat(&self, path: &[u8]) -> Result<Stat, LoadError> {
        let mut stat = Stat::default();
        self.call(path, &mut Call::Lstat { path, stat: &mut stat })?;
        Ok(stat)
    }

    /// Copies what is in a directory, and in those in it.
    fn contents(&mut self, path: Vec<u8>, target: InodeId) -> Result<(), LoadError> {
        let mut todo = vec![(path, target, 0)];
        while let Some((path, target, depth)) = todo.pop() {
            self.loaded.directories += 1;
            for entry in self.entries(&path)? {
                let mut inner = path.clone();
                inner.push(b'/');
                inner.extend_from_slice(&entry.name);
                let stat = self.stat(&inner)?;
                self.check_bounds(&inner)?;
                match stat.file_type() {
                    Stat::IFDIR if depth < DEPTH_MAX => {
                        let made = self.directory(&inner, target, &entry.name, &stat)?;
                        todo.push((inner, made, depth + 1));
                    }
                    Stat::IFREG => self.regular(&inner, target, &entry.name, &stat)?,
                    _ => self.loaded.skipped += 1,
                }
            }
        }
        Ok(())
    }

    fn check_bounds(&self, path: &[u8]) -> Result<(), LoadError> {
        let Loaded { files, directories, bytes, skipped } = self.loaded;
        let why = if files + directories + skipped >= ENTRIES_MAX {
            WhyNotLoaded::TooMany(ENTRIES_MAX)
        } else if bytes > LOADED_BYTES_MAX {
            WhyNotLoaded::TooBig(LOADED_BYTES_MAX)
        } else {
            return Ok(());
        };
        Err(LoadError { path: path.to_vec(), why })
    }

    fn entries(&self, path: &[u8]) -> Result<Vec<DirEntry>, LoadError> {
        let flags = OpenFlags::DIRECTORY | OpenFlags::CLOEXEC;
        let mut entries = Vec::new();
        self.with_file(path, flags, |file| {
            self.call(path, &mut Call::Getdents { fd: file.as_fd(), entries: &mut entries })
        })?;
        entries.sort_unstable();
        Ok(entries)
    }

    fn regular(
        &mut self,
        path: &[u8],
        dir: InodeId,
        name: &[u8],
        stat: &Stat,
    ) -> Result<(), LoadError> {
        let mut bytes = Vec::new();
        let room = LOADED_BYTES_MAX.saturating_sub(self.loaded.bytes);
        self.with_file(path, OpenFlags::CLOEXEC | OpenFlags::NOFOLLOW, |file| {
            let mut chunk = vec![0; CHUNK];
            // A file that grows without end, or lies about its size, is bounded as the others are.
            while bytes.len() as u64 <= room {
                let data = SegmentMut::Bytes(&mut chunk);
                let mut call = Call::Read { fd: file.as_fd(), data, progress: 0 };
                match self.call(path, &mut call)? {
                    0 => break,
                    count => bytes.extend_from_slice(&chunk[..count]),
                }
            }
            Ok(0)
        })?;
        self.loaded.bytes += bytes.len() as u64;
        self.check_bounds(path)?;
        let file = self.make(path, dir, name, Content::Regular(Arc::default()), stat)?;
        let written = self.tree.write_at(file, 0, &bytes);
        written.map_err(|errno| target_error(path, errno))?;
        self.loaded.files += 1;
        Ok(())
    }

    /// A directory: the one that is there already, or a new one.
    fn directory(
        &mut self,
        path: &[u8],
        dir: InodeId,
        name: &[u8],
        stat: &Stat,
    ) -> Result<InodeId, LoadError> {
        let there = self.tree.entry(dir, name).map_err(|errno| target_error(path, errno))?;
        match there {
            Some(inode) if self.tree[inode].is_directory() => Ok(inode),
            Some(_) => Err(target_error(path, Errno::EXIST)),
            None => self.make(path, dir, name, Content::directory(dir), stat),
        }
    }

    fn make(
        &mut self,
        path: &[u8],
        dir: InodeId,
        name: &[u8],
        content: Content,
        stat: &Stat,
    ) -> Result<InodeId, LoadError> {
        let walker = self.tree.superuser();
        let exists = self.tree.entry(dir, name).map_err(|errno| target_error(path, errno))?;
        if exists.is_some() {
            return Err(target_error(path, Errno::EXIST));
        }
        let made = self.tree.create(&walker, dir, name, content, 0);
        let made = made.map_err(|errno| target_error(path, errno))?;
        let inode = &mut self.tree[made];
        (inode.mode, inode.uid, inode.gid) = (stat.mode & 0o7777, stat.uid, stat.gid);
        Ok(made)
    }

    /// Opens a file for as long as `body` runs.
    fn with_file(
        &self,
        path: &[u8],
        flags: OpenFlags,
        body: impl FnOnce(&File<&B>) -> Result<usize, LoadError>,
    ) -> Result<(), LoadError> {
        let opened = File::open_with(&self.from, Path::new(OsStr::from_bytes(path)), flags, 0);
        let file = opened.map_err(|error| LoadError {
            path: path.to_vec(),
            why: WhyNotLoaded::Source("open", Errno::from_io(&error).unwrap_or(Errno::IO)),
        })?;
        body(&file).map(drop)
    }
}

fn target_error(path: &[u8], errno: Errno) -> LoadError {
    LoadError { path: path.to_vec(), why: WhyNotLoaded::Target(errno) }
}
