//! read(2) and write(2) and their vectors.

use afunix::net::Fd;
use afunix::{Errno, OpenFlags, RecvFlags, Segment, SegmentMut};

use super::super::file::{FileId, Kind, OpenFile};
use super::super::fs::{Content, InodeId};
use super::super::{Access, Cx, Flow, Machine, Object};
use super::message::{Message, Receipt};
use super::{BUFFERS_MAX, WRITE_FLAGS};

/// The largest offset of a file.
const OFFSET_MAX: u64 = i64::MAX as u64;
/// What the console keeps at most, in bytes, until it is taken; the oldest are dropped first.
const CONSOLE_MAX: usize = 1 << 20;

impl Machine {
    /// read(2), readv(2).
    #[inline]
    pub(super) fn read(
        &mut self,
        cx: Cx,
        fd: Fd<'_>,
        data: &mut [SegmentMut<'_>],
        vector: bool,
        progress: &mut usize,
    ) -> Flow {
        let file = match self.file_of(cx, fd) {
            Ok(file) => file,
            Err(errno) => return Flow::Done(Err(errno)),
        };
        if let Kind::Socket(socket) = self.files[file].kind
            && data.len() <= BUFFERS_MAX
        {
            match total(data.iter().map(SegmentMut::len)) {
                // SRECV 10, DRECV 3
                Ok(0) => return Flow::Done(Ok(0)),
                Err(errno) if vector => return Flow::Done(Err(errno)),
                _ => {}
            }
            let receipt = Receipt { name: None, header: None, flags: RecvFlags::empty() };
            return self.receive_on(cx, file, socket, data, receipt, progress);
        }
        match self.files[file].kind {
            Kind::Pipe(pipe) => self.read_pipe(cx, file, pipe, data),
            Kind::Eventfd(eventfd) => self.read_eventfd(cx, file, eventfd, (data, vector)),
            _ => Flow::Done(self.read_file(file, data, vector)),
        }
    }

    fn read_file(
        &mut self,
        file: FileId,
        data: &mut [SegmentMut<'_>],
        vector: bool,
    ) -> Result<usize, Errno> {
        let state = &self.files[file];
        if !state.may_read() {
            return Err(Errno::BADF);
        }
        check_vector(state, data.len(), data.iter().map(SegmentMut::len))?;
        let (kind, offset) = (state.kind, state.offset);
        let inode = match kind {
            Kind::Inode(inode) => inode,
            Kind::Process(_) | Kind::Epoll(_) => return Err(Errno::INVAL),
            _ => return Ok(0),
        };
        if self.tree[inode].is_directory() {
            // readv of nothing ends before the file is asked.
            let nothing = vector && data.iter().all(SegmentMut::is_empty);
            return if nothing { Ok(0) } else { Err(Errno::ISDIR) };
        }
        let setting = match self.tree[inode].content {
            Content::QueueLength { netns } => self.setting_text(netns),
            _ => Vec::new(),
        };
        let bytes = if setting.is_empty() { self.tree.bytes_of(inode) } else { &setting };
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let result = copy_out(&bytes[start..], data);
        if let Ok(count) = result {
            self.files[file].offset += count as u64;
        }
        self.touch(Object::File(file), Access::Write);
        self.touch(Object::Inode(inode), Access::Read);
        result
    }

    /// write(2), writev(2).
    #[inline]
    pub(super) fn write(
        &mut self,
        cx: Cx,
        fd: Fd<'_>,
        data: &[Segment<'_>],
        vector: bool,
        progress: &mut usize,
    ) -> Flow {
        let file = match self.file_of(cx, fd) {
            Ok(file) => file,
            Err(errno) => return Flow::Done(Err(errno)),
        };
        if let Kind::Socket(socket) = self.files[file].kind
            && data.len() <= BUFFERS_MAX
        {
            match total(data.iter().map(Segment::len)) {
                // QSEND 2
                Ok(0) if vector => return Flow::Done(Ok(0)),
                Err(errno) if vector => return Flow::Done(Err(errno)),
                _ => {}
            }
            let message =
                Message { data, name: afunix::RawName::NONE, control: None, flags: WRITE_FLAGS };
            return self.send_on(cx, file, socket, message, progress);
        }
        match self.files[file].kind {
            Kind::Pipe(pipe) => self.write_pipe(cx, file, pipe, data, progress),
            Kind::Eventfd(eventfd) => {
                self.write_eventfd(cx, file, eventfd, (data, vector), progress)
            }
            _ => Flow::Done(self.write_file(cx, file, data)),
        }
    }

    fn write_file(&mut self, cx: Cx, file: FileId, data: &[Segment<'_>]) -> Result<usize, Errno> {
        let state = &self.files[file];
        if !state.may_write() {
            return Err(Errno::BADF);
        }
        check_vector(state, data.len(), data.iter().map(Segment::len))?;
        match state.kind {
            Kind::Null(_) => total(data.iter().map(Segment::len)),
            Kind::Console(_) => self.write_console(data),
            Kind::Inode(inode) => self.write_inode(cx, file, inode, data),
            _ => Err(Errno::INVAL),
        }
    }

    fn write_console(&mut self, data: &[Segment<'_>]) -> Result<usize, Errno> {
        self.touch(Object::Console, Access::Write);
        let console = &mut self.console;
        let result = each_segment(data, |bytes| {
            console.extend_from_slice(bytes);
            Ok(bytes.len())
        });
        let excess = console.len().saturating_sub(CONSOLE_MAX);
        console.drain(..excess);
        result
    }

    fn write_inode(
        &mut self,
        cx: Cx,
        file: FileId,
        inode: InodeId,
        data: &[Segment<'_>],
    ) -> Result<usize, Errno> {
        let state = &mut self.files[file];
        if state.status.contains(OpenFlags::APPEND) && data.iter().any(|part| !part.is_empty()) {
            state.offset = self.tree[inode].size();
        }
        let mut offset = self.files[file].offset;
        if let Content::QueueLength { netns } = self.tree[inode].content {
            return each_segment(data, |text| self.write_setting(netns, text).map(|()| text.len()));
        }
        let tree = &mut self.tree;
        let result = each_segment(data, |bytes| {
            let count = tree.write_at(inode, offset, bytes)?;
            offset += count as u64;
            Ok(count)
        });
        self.files[file].offset = offset;
        if result.is_ok_and(|count| count > 0) {
            let walker = super::path::walker(&self.processes, cx);
            self.tree.drop_powers(&walker, inode);
        }
        self.touch(Object::File(file), Access::Write);
        self.touch(Object::Inode(inode), Access::Write);
        result
    }
}

/// EINVAL for more buffers than a call takes, more bytes than it can count, or an end of the file
/// where no offset reaches.
pub(super) fn check_vector(
    file: &OpenFile,
    buffers: usize,
    lens: impl Iterator<Item = usize>,
) -> Result<(), Errno> {
    if buffers > BUFFERS_MAX {
        return Err(Errno::INVAL);
    }
    let is_seekable = matches!(file.kind, Kind::Inode(_)) && file.offset <= OFFSET_MAX;
    let end = file.offset.saturating_add(total(lens)? as u64);
    if is_seekable && end > OFFSET_MAX { Err(Errno::INVAL) } else { Ok(()) }
}

/// Bytes of all buffers; EINVAL if that is no count that a call can return.
pub(super) fn total(lens: impl Iterator<Item = usize>) -> Result<usize, Errno> {
    let mut sum = 0usize;
    for len in lens {
        sum = sum.checked_add(len).filter(|sum| *sum <= isize::MAX as usize).ok_or(Errno::INVAL)?;
    }
    Ok(sum)
}

/// Hands the readable bytes on, piece by piece: a piece that cannot be read ends it with EFAULT,
/// and so does what `take` says, unless something was taken before.
fn each_segment(
    data: &[Segment<'_>],
    mut take: impl FnMut(&[u8]) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let mut done = 0;
    for part in data {
        let taken = match part {
            Segment::Bytes(bytes) => take(bytes),
            Segment::Fault(0) => Ok(0),
            Segment::Fault(_) => Err(Errno::FAULT),
        };
        match taken {
            Ok(count) => done += count,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
        if taken != Ok(part.len()) {
            break;
        }
    }
    Ok(done)
}

/// Copies bytes into buffers; EFAULT at one that cannot be written, unless something was copied
/// before.
pub(super) fn copy_out(mut bytes: &[u8], data: &mut [SegmentMut<'_>]) -> Result<usize, Errno> {
    let mut done = 0;
    for part in data {
        let count = part.len().min(bytes.len());
        match part {
            _ if count == 0 => continue,
            SegmentMut::Bytes(buffer) => buffer[..count].copy_from_slice(&bytes[..count]),
            SegmentMut::Fault(_) if done == 0 => return Err(Errno::FAULT),
            SegmentMut::Fault(_) => break,
        }
        bytes = &bytes[count..];
        done += count;
    }
    Ok(done)
}
