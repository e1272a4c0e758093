//! The netlink half: asks sock_diag for every AF_UNIX socket and turns each answer into a
//! [`Socket`].

use std::collections::BTreeMap;
use std::io;

use afunix::snapshot::{Queue, Socket, SocketKind, SocketState};
use netlink_packet_core::{
    Emitable, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::unix::nlas::{Nla, UnixDiagName};
use netlink_packet_sock_diag::unix::{ShowFlags, StateFlags, UnixRequest, UnixResponse};
use netlink_packet_sock_diag::{SockDiagMessage, TCP_ESTABLISHED, TCP_LISTEN};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::DiagError;

/// The kernel fills at most 32 KiB of one answer.
const ANSWER_BYTES: usize = 64 * 1024;
/// A header of a netlink message.
const HEADER_BYTES: usize = 16;

/// All sockets, by inode number.
pub(super) fn dump() -> Result<BTreeMap<u64, Socket>, DiagError> {
    let mut netlink = netlink_sys::Socket::new(NETLINK_SOCK_DIAG)
        .map_err(|error| DiagError::Io { tried: "open a netlink socket", error })?;
    netlink.bind_auto().map_err(|error| DiagError::Io { tried: "bind a netlink socket", error })?;
    netlink
        .send_to(&request(), &netlink_sys::SocketAddr::new(0, 0), 0)
        .map_err(|error| DiagError::Io { tried: "ask for the sockets", error })?;
    let mut sockets = BTreeMap::new();
    loop {
        let mut answer = Vec::with_capacity(ANSWER_BYTES);
        match netlink.recv(&mut answer, 0) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(DiagError::Io { tried: "read the answer", error }),
        }
        if absorb(&answer, &mut sockets)? == Progress::Done {
            return Ok(sockets);
        }
    }
}

fn request() -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = UnixRequest {
        // All states: an unconnected socket is in state 7, which the library has no name for.
        state_flags: StateFlags::from_bits_retain(!0),
        inode: 0,
        show_flags: ShowFlags::all(),
        cookie: [0xff; 8],
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::UnixRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Whether the dump is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    More,
    Done,
}

/// Takes in one answer of the kernel, which holds several messages.
fn absorb(answer: &[u8], sockets: &mut BTreeMap<u64, Socket>) -> Result<Progress, DiagError> {
    if answer.is_empty() {
        return Err(DiagError::Incomplete("an empty message before the end of the list".into()));
    }
    let mut rest = answer;
    while !rest.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
            .map_err(|error| DiagError::Malformed(error.to_string()))?;
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::UnixResponse(response)) => {
                if let Some(socket) = socket(&response)? {
                    sockets.insert(socket.id, socket);
                }
            }
            NetlinkPayload::Done(done) if done.code == 0 => return Ok(Progress::Done),
            NetlinkPayload::Done(done) => return Err(refused(done.code)),
            NetlinkPayload::Error(error) => return Err(refused(error.raw_code())),
            NetlinkPayload::Overrun(_) => {
                return Err(DiagError::Incomplete("the kernel lost messages".into()));
            }
            NetlinkPayload::Noop => {}
            other => return Err(DiagError::Malformed(format!("{:?}", other.message_type()))),
        }
        let length = message.header.length as usize;
        if length < HEADER_BYTES {
            return Err(DiagError::Malformed(format!("a message of {length} bytes")));
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Ok(Progress::More)
}

fn refused(negated_errno: i32) -> DiagError {
    DiagError::Refused(io::Error::from_raw_os_error(negated_errno.wrapping_neg()))
}

/// A socket as sock_diag describes it; `None` for one without an inode, which nobody can hold.
fn socket(response: &UnixResponse) -> Result<Option<Socket>, DiagError> {
    let header = &response.header;
    if header.inode == 0 {
        return Ok(None);
    }
    let kind = match i32::from(header.kind) {
        libc::SOCK_STREAM => SocketKind::Stream,
        libc::SOCK_DGRAM => SocketKind::Datagram,
        libc::SOCK_SEQPACKET => SocketKind::Seqpacket,
        other => return Err(DiagError::Malformed(format!("a socket of type {other}"))),
    };
    let mut socket = Socket {
        id: header.inode.into(),
        kind,
        state: SocketState::Unconnected,
        established: header.state == TCP_ESTABLISHED,
        name: None,
        peer: None,
        shut_read: false,
        shut_write: false,
        error: 0,
        receive: Queue::default(),
        input: 0,
        send_memory: 0,
        send_buffer: 0,
        backlog: None,
        pending: Vec::new(),
        in_flight: Vec::new(),
        inode: None,
    };
    let mut had_peer = false;
    for attribute in &response.nlas {
        had_peer |= matches!(attribute, Nla::Peer(_));
        fill_in(&mut socket, attribute, header.state == TCP_LISTEN);
    }
    socket.state = state(header.state, had_peer, &socket);
    Ok(Some(socket))
}

fn fill_in(socket: &mut Socket, attribute: &Nla, listening: bool) {
    match attribute {
        Nla::Name(name) => socket.name = Some(display(name)),
        Nla::Vfs(vfs) => {
            // The library reads the attribute and keeps its fields to itself.
            let mut bytes = [0; 8];
            vfs.emit(&mut bytes);
            socket.inode = Some(inode(bytes));
        }
        Nla::Peer(peer) => socket.peer = (*peer != 0).then_some((*peer).into()),
        Nla::PendingConnections(ids) => {
            socket.pending = ids.iter().filter(|&&id| id != 0).map(|&id| id.into()).collect();
        }
        Nla::ReceiveQueueLength(_, backlog) if listening => socket.backlog = Some(*backlog),
        Nla::ReceiveQueueLength(bytes, memory) => {
            (socket.receive.bytes, socket.input) = ((*bytes).into(), (*bytes).into());
            socket.send_memory = (*memory).into();
        }
        Nla::MemInfo(memory) => socket.send_buffer = memory.max_datagram_size.into(),
        Nla::Shutdown(mask) => {
            socket.shut_read = mask & 1 != 0;
            socket.shut_write = mask & 2 != 0;
        }
        // Newer kernels may tell more.
        _ => {}
    }
}

fn state(number: u8, had_peer: bool, socket: &Socket) -> SocketState {
    // A socket whose peer was closed still names it, though it has no inode any more.
    let peer_is_gone = had_peer && socket.peer.is_none();
    let shut = socket.shut_read && socket.shut_write;
    match (number, socket.kind) {
        (TCP_LISTEN, _) => SocketState::Listening,
        (_, SocketKind::Datagram) if peer_is_gone => SocketState::Disconnected,
        // "Established" is also what a datagram socket becomes when somebody else connects to it.
        (_, SocketKind::Datagram) if socket.peer.is_none() => SocketState::Unconnected,
        // A connection that is not accepted has a peer without inode too, but nothing is shut.
        (TCP_ESTABLISHED, SocketKind::Stream | SocketKind::Seqpacket) if peer_is_gone && shut => {
            SocketState::Disconnected
        }
        (TCP_ESTABLISHED, _) => SocketState::Connected,
        _ if socket.peer.is_some() => SocketState::Connected,
        _ => SocketState::Unconnected,
    }
}

fn display(name: &UnixDiagName) -> String {
    match name {
        UnixDiagName::Pathname(path) => path.to_string_lossy().into_owned(),
        UnixDiagName::Abstract(bytes) => format!("@{}", String::from_utf8_lossy(bytes)),
    }
}

/// `(device, number)` as `stat` gives them. sock_diag gives the kernel's own encoding of a device:
/// twelve bits of major and twenty of minor number.
fn inode(bytes: [u8; 8]) -> (u64, u64) {
    let word =
        |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (number, device) = (word(0), word(4));
    (libc::makedev(device >> 20, device & 0xf_ffff), number.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = HEADER_BYTES + payload.len();
        let mut bytes = Vec::new();
        bytes.extend((length as u32).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(payload);
        bytes.resize(length.next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_refusal_is_told_with_its_errno() {
        let error = absorb(
            &message(2, &[(-libc::EOPNOTSUPP).to_ne_bytes().as_slice(), &[0; 16]].concat()),
            &mut BTreeMap::new(),
        )
        .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("not supported") && text.contains("unix_diag"), "{text}");
    }

    #[test]
    fn every_cut_of_an_answer_is_an_error_or_a_part_of_the_list() {
        // One socket with a name attribute of four bytes.
        let mut payload = vec![1, 1, 7, 0];
        payload.extend(99_u32.to_ne_bytes());
        payload.extend([0; 8]);
        payload.extend([8, 0, 0, 0]);
        payload.extend(b"\0abc");
        let whole = message(20, &payload);
        let mut sockets = BTreeMap::new();
        assert_eq!(absorb(&whole, &mut sockets).unwrap(), Progress::More);
        assert_eq!(sockets[&99].name.as_deref(), Some("@abc"));
        for end in 0..whole.len() {
            let error = absorb(&whole[..end], &mut BTreeMap::new()).unwrap_err().to_string();
            assert!(error.starts_with("sock_diag: "), "{error}");
        }
    }

    #[test]
    fn lengths_that_lie_are_errors() {
        for length in [0_u32, 1, 15, 17, u32::MAX] {
            let mut bytes = message(20, &[1, 1, 7, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            absorb(&bytes, &mut BTreeMap::new()).unwrap_err();
        }
    }
}
