//! Control data of sendmsg(2) and recvmsg(2): the layout of cmsg(3), built and parsed.
//!
//! Numbers of descriptors stand in control data as plain bytes, so raw control data for sending can
//! only be made by an unsafe function: otherwise safe code could send a descriptor that it does not
//! own.

use crate::net::Fd;
use crate::{Errno, Ucred};

/// `cmsg_level` of everything AF_UNIX knows.
pub const SOL_SOCKET: i32 = 1;
/// `cmsg_type`: descriptors.
pub const SCM_RIGHTS: i32 = 1;
/// `cmsg_type`: `struct ucred`.
pub const SCM_CREDENTIALS: i32 = 2;
/// `cmsg_type`: a pidfd of the sender (RCMSG 3, 6, 10).
pub const SCM_PIDFD: i32 = 4;
/// Most descriptors in one message (CMSG 2).
pub const SCM_MAX_FD: usize = 253;
/// Bytes of `struct cmsghdr`.
pub const HEADER: usize = 16;

/// Bytes of a control message that carries `len` bytes: CMSG_SPACE of cmsg(3).
pub const fn cmsg_space(len: usize) -> usize {
    HEADER + len.next_multiple_of(8)
}

/// Control data on its way into sendmsg.
#[derive(Clone, Copy, Debug)]
pub struct RawControl<'a>(Control<'a>);

#[derive(Clone, Copy, Debug)]
enum Control<'a> {
    Bytes(&'a [u8]),
    Fault(usize),
}

impl<'a> RawControl<'a> {
    /// None: a null pointer and length 0.
    pub const NONE: RawControl<'static> = RawControl(Control::Bytes(&[]));

    /// Memory that cannot be read, `len` bytes long: EFAULT (CMSG 7).
    pub const fn fault(len: usize) -> Self {
        RawControl(Control::Fault(len))
    }

    /// Any bytes.
    ///
    /// # Safety
    /// The numbers in SCM_RIGHTS messages are used as descriptors: on the kernel each must be open
    /// for the length of the call or be no open descriptor at all, and must be one that the caller
    /// may use.
    #[expect(unsafe_code, reason = "declares what the caller must promise; performs nothing")]
    pub const unsafe fn from_bytes(bytes: &'a [u8]) -> Self {
        RawControl(Control::Bytes(bytes))
    }

    /// The bytes; `Err` with the length if they cannot be read.
    pub const fn bytes(&self) -> Result<&'a [u8], usize> {
        match self.0 {
            Control::Bytes(bytes) => Ok(bytes),
            Control::Fault(len) => Err(len),
        }
    }

    /// `msg_controllen`.
    pub const fn len(&self) -> usize {
        match self.0 {
            Control::Bytes(bytes) => bytes.len(),
            Control::Fault(len) => len,
        }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Builds control data for sendmsg. The descriptors are borrowed for as long as the data lives.
#[derive(Debug, Default)]
pub struct ControlBuilder<'fd> {
    bytes: Vec<u8>,
    borrowed: std::marker::PhantomData<Fd<'fd>>,
}

impl<'fd> ControlBuilder<'fd> {
    /// No control data yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds SCM_RIGHTS with these descriptors (CMSG 2: at most 253 in a message).
    pub fn rights(mut self, fds: &[Fd<'fd>]) -> Self {
        let data = push_header(&mut self.bytes, SOL_SOCKET, SCM_RIGHTS, 4 * fds.len());
        for (word, fd) in data.chunks_exact_mut(4).zip(fds) {
            word.copy_from_slice(&fd.number().to_ne_bytes());
        }
        self
    }

    /// Adds SCM_CREDENTIALS (CMSG 3).
    pub fn credentials(mut self, credentials: Ucred) -> Self {
        push_message(&mut self.bytes, SOL_SOCKET, SCM_CREDENTIALS, &credentials.to_bytes());
        self
    }

    /// The control data.
    pub fn as_raw(&self) -> RawControl<'_> {
        RawControl(Control::Bytes(&self.bytes))
    }
}

/// Appends one control message to `bytes`, padded as CMSG_SPACE says.
pub fn push_message(bytes: &mut Vec<u8>, level: i32, kind: i32, data: &[u8]) {
    push_header(bytes, level, kind, data.len()).copy_from_slice(data);
}

/// Appends a control message of `len` zeros, and returns those.
fn push_header(bytes: &mut Vec<u8>, level: i32, kind: i32, len: usize) -> &mut [u8] {
    let start = bytes.len();
    bytes.resize(start + cmsg_space(len), 0);
    let message = &mut bytes[start..start + HEADER + len];
    message[..8].copy_from_slice(&((HEADER + len) as u64).to_ne_bytes());
    message[8..12].copy_from_slice(&level.to_ne_bytes());
    message[12..HEADER].copy_from_slice(&kind.to_ne_bytes());
    &mut message[HEADER..]
}

/// One control message in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlMessage<'a> {
    /// `cmsg_level`.
    pub level: i32,
    /// `cmsg_type`.
    pub kind: i32,
    /// What follows the header.
    pub data: &'a [u8],
}

impl<'a> ControlMessage<'a> {
    /// The descriptor numbers of an SCM_RIGHTS message; a rest of less than 4 bytes is ignored
    /// (CMSG 2).
    pub fn numbers(&self) -> impl Iterator<Item = i32> + use<'a> {
        self.data
            .chunks_exact(4)
            .map(|word| i32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
    }
}

/// Walks over the control messages in `bytes`, as CMSG_NXTHDR does; EINVAL, once, at one whose
/// length is under 16 or runs over the end (CMSG 1). Less than 16 bytes at the end are ignored.
pub fn messages(bytes: &[u8]) -> impl Iterator<Item = Result<ControlMessage<'_>, Errno>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header = rest.first_chunk::<HEADER>()?;
        let word = |at: usize| {
            i32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let mut len = [0; 8];
        len.copy_from_slice(&header[..8]);
        let len = usize::try_from(u64::from_ne_bytes(len)).unwrap_or(usize::MAX);
        if len < HEADER || len > rest.len() {
            rest = &[];
            return Some(Err(Errno::INVAL));
        }
        let message = ControlMessage { level: word(8), kind: word(12), data: &rest[HEADER..len] };
        rest = rest.get(len.next_multiple_of(8)..).unwrap_or(&[]);
        Some(Ok(message))
    })
}

/// Where recvmsg writes control data.
#[derive(Debug)]
pub struct ControlOut<'b> {
    /// The buffer, its length being `msg_controllen`; or memory that cannot be written, of a
    /// length.
    pub buffer: Result<&'b mut [u8], usize>,
    /// Out: `msg_controllen` on return.
    pub len: usize,
}

impl<'b> ControlOut<'b> {
    /// A buffer.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        ControlOut { buffer: Ok(buffer), len: 0 }
    }

    /// No buffer: what arrives is dropped (SRECV 8).
    pub fn nothing() -> Self {
        ControlOut { buffer: Ok(&mut []), len: 0 }
    }

    /// Memory that cannot be written, `len` bytes long (RCMSG 9).
    pub fn fault(len: usize) -> Self {
        ControlOut { buffer: Err(len), len: 0 }
    }

    /// The bytes that were written.
    pub fn written(&self) -> &[u8] {
        match &self.buffer {
            Ok(buffer) => &buffer[..self.len.min(buffer.len())],
            Err(_) => &[],
        }
    }

    /// The control messages that were written.
    pub fn messages(&self) -> impl Iterator<Item = ControlMessage<'_>> {
        messages(self.written()).map_while(Result::ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8]) -> Vec<Result<(i32, i32, usize), Errno>> {
        messages(bytes).map(|m| m.map(|m| (m.level, m.kind, m.data.len()))).collect()
    }

    #[test]
    fn what_is_built_is_parsed() {
        let credentials = Ucred { pid: 7, uid: 8, gid: 9 };
        let builder = ControlBuilder::new()
            .rights(&[Fd::STDIN, Fd::STDOUT, Fd::STDERR])
            .credentials(credentials);
        let bytes = builder.as_raw().bytes().unwrap();
        assert_eq!(bytes.len(), cmsg_space(12) + cmsg_space(12));
        let parsed: Vec<_> = messages(bytes).collect::<Result<_, _>>().unwrap();
        assert_eq!(parsed[0].numbers().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(Ucred::from_bytes(parsed[1].data), Some(credentials));
    }

    #[test]
    fn cmsg_1_a_length_under_the_header_or_over_the_end_is_einval_once() {
        let mut bytes = Vec::new();
        push_message(&mut bytes, SOL_SOCKET, SCM_RIGHTS, &[0; 4]);
        let mut short = bytes.clone();
        short[0] = 15;
        assert_eq!(walk(&short), [Err(Errno::INVAL)]);
        let mut long = bytes.clone();
        long[..8].copy_from_slice(&u64::MAX.to_ne_bytes());
        assert_eq!(walk(&long), [Err(Errno::INVAL)]);
        assert_eq!(walk(&bytes[..15]), []);
    }

    #[test]
    fn any_bytes_are_walked_to_an_end() {
        let mut state = 1u64;
        for len in 0..200 {
            let bytes: Vec<u8> = (0..len)
                .map(|_| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                    (state >> 61) as u8
                })
                .collect();
            assert!(walk(&bytes).len() <= len / HEADER + 1);
        }
    }
}
