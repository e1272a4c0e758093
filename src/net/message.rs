//! Messages with descriptors and credentials: sendmsg(2) and recvmsg(2) made safe.

use std::io;

use crate::control::{
    ControlBuilder, ControlOut, RawControl, SCM_CREDENTIALS, SCM_MAX_FD, SCM_RIGHTS, SOL_SOCKET,
    cmsg_space,
};
use crate::net::{Fd, OwnedFd};
use crate::{
    Address, Backend, Call, Errno, NameOut, RawName, RecvFlags, Segment, SegmentMut, SendFlags,
    Ucred,
};

/// What is sent beside the bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message<'a> {
    /// The bytes.
    pub data: &'a [u8],
    /// Descriptors whose files the receiver gets (at most 253). The sender keeps its own.
    pub fds: &'a [Fd<'a>],
    /// Explicit credentials (CMSG 3).
    pub credentials: Option<Ucred>,
    /// Where to; `None` for a connected socket.
    pub to: Option<&'a Address>,
    /// Flags. SIGPIPE is never asked for: NOSIGNAL is added.
    pub flags: SendFlags,
}

impl<'a> Message<'a> {
    /// Bytes alone.
    pub fn new(data: &'a [u8]) -> Self {
        Message { data, ..Self::default() }
    }

    /// Adds descriptors.
    pub fn fds(self, fds: &'a [Fd<'a>]) -> Self {
        Message { fds, ..self }
    }

    /// Adds explicit credentials.
    pub fn credentials(self, credentials: Ucred) -> Self {
        Message { credentials: Some(credentials), ..self }
    }
}

/// What was received beside the bytes.
#[derive(Debug)]
pub struct Received<B: Backend> {
    /// How many bytes.
    pub bytes: usize,
    /// The files that came with them, each under a new descriptor.
    pub fds: Vec<OwnedFd<B>>,
    /// The sender's credentials, if they came.
    pub credentials: Option<Ucred>,
    /// The sender's name; unnamed for a stream or an unbound sender.
    pub from: Address,
    /// Flags: TRUNC if the message was cut, CTRUNC if descriptors were lost.
    pub flags: RecvFlags,
}

/// Sends one message. Returns how many bytes were taken.
pub(super) fn send<B: Backend>(fd: &OwnedFd<B>, message: &Message<'_>) -> io::Result<usize> {
    let mut builder = ControlBuilder::new();
    if !message.fds.is_empty() {
        builder = builder.rights(message.fds);
    }
    if let Some(credentials) = message.credentials {
        builder = builder.credentials(credentials);
    }
    let name = message.to.map(Address::to_bytes);
    let name = name.as_deref().map_or(RawName::NONE, RawName::Bytes);
    let flags = message.flags | SendFlags::NOSIGNAL;
    let bytes = Segment::Bytes(message.data);
    if message.fds.is_empty() && message.credentials.is_none() {
        let mut call = Call::Sendto { fd: fd.as_fd(), data: bytes, flags, name, progress: 0 };
        return Ok(fd.backend().call(&mut call)?);
    }
    let control: RawControl<'_> = builder.as_raw();
    let data = &[bytes];
    let mut call = Call::Sendmsg { fd: fd.as_fd(), name, data, control, flags, progress: 0 };
    Ok(fd.backend().call(&mut call)?)
}

/// Receives one message into `buffer`, with room for `max_fds` descriptors (at most 253; more are
/// closed and CTRUNC is set).
pub(super) fn receive<B: Backend + Clone>(
    fd: &OwnedFd<B>,
    buffer: &mut [u8],
    max_fds: usize,
    flags: RecvFlags,
) -> io::Result<Received<B>> {
    let room = cmsg_space(12) + cmsg_space(4 * max_fds.min(SCM_MAX_FD));
    let mut control_bytes = vec![0; room];
    let mut control = ControlOut::new(&mut control_bytes);
    let mut name = NameOut::new();
    let mut flags_out = RecvFlags::empty();
    let bytes = fd.backend().call(&mut Call::Recvmsg {
        fd: fd.as_fd(),
        name: &mut name,
        data: &mut [SegmentMut::Bytes(buffer)],
        control: &mut control,
        flags: flags | RecvFlags::CMSG_CLOEXEC,
        flags_out: &mut flags_out,
        progress: 0,
    })?;
    let mut fds = Vec::new();
    let mut credentials = None;
    for message in control.messages() {
        match (message.level, message.kind) {
            (SOL_SOCKET, SCM_RIGHTS) => {
                fds.extend(message.numbers().map(|n| OwnedFd::new(fd.backend().clone(), n)));
            }
            (SOL_SOCKET, SCM_CREDENTIALS) => credentials = Ucred::from_bytes(message.data),
            _ => {}
        }
    }
    let from = name.address().unwrap_or_default();
    Ok(Received { bytes, fds, credentials, from, flags: flags_out })
}

/// recv(2).
pub(super) fn recv<B: Backend>(
    fd: &OwnedFd<B>,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<usize, Errno> {
    let name = &mut NameOut::nothing();
    let data = SegmentMut::Bytes(buffer);
    fd.backend().call(&mut Call::Recvfrom { fd: fd.as_fd(), data, flags, name, progress: 0 })
}
