//! Files and directories shaped as std's, over any backend.

use std::io;
use std::path::Path;

use crate::call::{DirEntry, Stat};
use crate::net::{Fd, OwnedFd};
use crate::{Backend, Call, OpenFlags, Segment, SegmentMut};

/// The bytes of a path, as a call takes them.
fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

/// An open file.
pub struct File<B: Backend> {
    fd: OwnedFd<B>,
}

impl<B: Backend + Clone> File<B> {
    /// Opens for reading (open(2) with O_RDONLY).
    pub fn open(backend: &B, path: impl AsRef<Path>) -> io::Result<Self> {
        Self::open_with(backend, path, OpenFlags::empty(), 0)
    }

    /// Opens for writing: made if missing (mode 0666 less the umask), emptied if not.
    pub fn create(backend: &B, path: impl AsRef<Path>) -> io::Result<Self> {
        let flags = OpenFlags::WRONLY | OpenFlags::CREAT | OpenFlags::TRUNC;
        Self::open_with(backend, path, flags, 0o666)
    }

    /// open(2). O_CLOEXEC is added.
    pub fn open_with(
        backend: &B,
        path: impl AsRef<Path>,
        flags: OpenFlags,
        mode: u32,
    ) -> io::Result<Self> {
        let flags = flags | OpenFlags::CLOEXEC;
        let number = backend.call(&mut Call::Open { path: bytes(path.as_ref()), flags, mode })?;
        Ok(File { fd: OwnedFd::new(backend.clone(), number as i32) })
    }
}

impl<B: Backend> File<B> {
    /// The descriptor, borrowed.
    pub fn as_fd(&self) -> Fd<'_> {
        self.fd.as_fd()
    }

    /// Size, mode, owner.
    pub fn metadata(&self) -> io::Result<Stat> {
        let mut stat = Stat::default();
        self.fd.backend().call(&mut Call::Fstat { fd: self.as_fd(), stat: &mut stat })?;
        Ok(stat)
    }
}

impl<B: Backend> From<OwnedFd<B>> for File<B> {
    /// Takes the descriptor for a file; a received one, say.
    fn from(fd: OwnedFd<B>) -> Self {
        File { fd }
    }
}

impl<B: Backend> From<File<B>> for OwnedFd<B> {
    fn from(file: File<B>) -> Self {
        file.fd
    }
}

impl<B: Backend> io::Read for File<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let data = SegmentMut::Bytes(buffer);
        Ok(self.fd.backend().call(&mut Call::Read { fd: self.as_fd(), data, progress: 0 })?)
    }
}

impl<B: Backend> io::Write for File<B> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let data = Segment::Bytes(data);
        Ok(self.fd.backend().call(&mut Call::Write { fd: self.as_fd(), data, progress: 0 })?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<B: Backend> std::fmt::Debug for File<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "File({})", self.fd.as_fd().number())
    }
}

/// The entries of a directory but `.` and `..`, sorted by name.
pub fn read_dir<B: Backend + Clone>(
    backend: &B,
    path: impl AsRef<Path>,
) -> io::Result<Vec<DirEntry>> {
    let directory = File::open_with(backend, path, OpenFlags::DIRECTORY, 0)?;
    let mut entries = Vec::new();
    backend.call(&mut Call::Getdents { fd: directory.as_fd(), entries: &mut entries })?;
    // The kernel's order is the file system's own; sorted, every backend gives the same.
    entries.sort();
    Ok(entries)
}

/// unlink(2).
pub fn remove_file<B: Backend>(backend: &B, path: impl AsRef<Path>) -> io::Result<()> {
    backend.call(&mut Call::Unlink { path: bytes(path.as_ref()) })?;
    Ok(())
}

/// rename(2): replaces what `new` is.
pub fn rename<B: Backend>(
    backend: &B,
    old: impl AsRef<Path>,
    new: impl AsRef<Path>,
) -> io::Result<()> {
    backend.call(&mut Call::Rename { old: bytes(old.as_ref()), new: bytes(new.as_ref()) })?;
    Ok(())
}

/// mkdir(2) with mode 0777 less the umask.
pub fn create_dir<B: Backend>(backend: &B, path: impl AsRef<Path>) -> io::Result<()> {
    backend.call(&mut Call::Mkdir { path: bytes(path.as_ref()), mode: 0o777 })?;
    Ok(())
}

/// rmdir(2).
pub fn remove_dir<B: Backend>(backend: &B, path: impl AsRef<Path>) -> io::Result<()> {
    backend.call(&mut Call::Rmdir { path: bytes(path.as_ref()) })?;
    Ok(())
}

/// chmod(2).
pub fn set_mode<B: Backend>(backend: &B, path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
    backend.call(&mut Call::Chmod { path: bytes(path.as_ref()), mode })?;
    Ok(())
}

/// chown(2).
pub fn set_owner<B: Backend>(
    backend: &B,
    path: impl AsRef<Path>,
    uid: u32,
    gid: u32,
) -> io::Result<()> {
    backend.call(&mut Call::Chown { path: bytes(path.as_ref()), uid, gid })?;
    Ok(())
}

/// stat(2): through symbolic links.
pub fn metadata<B: Backend>(backend: &B, path: impl AsRef<Path>) -> io::Result<Stat> {
    let mut stat = Stat::default();
    backend.call(&mut Call::Stat { path: bytes(path.as_ref()), stat: &mut stat })?;
    Ok(stat)
}

/// lstat(2): a symbolic link's own.
pub fn symlink_metadata<B: Backend>(backend: &B, path: impl AsRef<Path>) -> io::Result<Stat> {
    let mut stat = Stat::default();
    backend.call(&mut Call::Lstat { path: bytes(path.as_ref()), stat: &mut stat })?;
    Ok(stat)
}
