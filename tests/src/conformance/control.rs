//! CMSG: control messages on the way in; RCMSG: on the way out.

use afunix::control::{HEADER, RawControl, push_message};
use afunix::{Errno, Host, OpenFlags, RawName, Segment};

use super::{Case, as_stranger, table};
use crate::calls::*;

pub(super) fn cases<H: Host>() -> Vec<Case<H>> {
    table![
        "CMSG 1" malformed,
        "CMSG 2" bad_rights,
        "CMSG 2" rights_are_merged,
        "CMSG 3" own_credentials,
        root "CMSG 3" privileged_credentials,
        root "CMSG 3" unprivileged_credentials,
        root "CMSG 4" too_many_references,
        "CMSG 5" too_many_segments,
        "CMSG 6" ignored_flags,
        "CMSG 7" bad_pointers,
        "RCMSG 1" order,
        "RCMSG 2" credentials_at_send,
        "RCMSG 4" credentials_are_cut,
        "RCMSG 5" rights_are_cut,
        "RCMSG 5" table_full,
        "RCMSG 7" close_on_exec,
        "RCMSG 8" inq_messages,
        "RCMSG 9" bad_pointer_out,
    ]
}

/// A header that says what it likes.
fn header(len: u64, level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    [&len.to_ne_bytes()[..], &level.to_ne_bytes(), &kind.to_ne_bytes(), data].concat()
}

fn malformed<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    for bytes in [
        header(15, 1, 1, &[]),
        header(0, 1, 1, &[0; 8]),
        header(25, 1, 1, &[0; 8]),
        header(u64::MAX, 1, 1, &[0; 8]),
        header(16, 1, 4, &[]),
        header(20, 1, 99, &[0; 8]),
        [rights(&[]), header(3, 0, 0, &[])].concat(),
    ] {
        assert_eq!(sendmsg(h, a, b"x", &bytes), Err(Errno::INVAL), "{bytes:?}");
    }
    assert_eq!(sendmsg(h, a, b"1", &header(16, 0, 99, &[])), Ok(1), "another level");
    assert_eq!(sendmsg(h, a, b"2", &header(16, 1, 99, &[])[..15]), Ok(1), "too short to look at");
    assert_eq!(recv(h, b, 9, 0), Ok(b"12".to_vec()));
    // Before any check of the socket:
    let fresh = socket(h, STREAM).unwrap();
    assert_eq!(sendmsg(h, fresh, b"x", &header(15, 1, 1, &[])), Err(Errno::INVAL));
}

fn bad_rights<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    assert_eq!(sendmsg(h, a, b"x", &rights(&[99])), Err(Errno::BADF));
    assert_eq!(sendmsg(h, a, b"x", &rights(&[0, -1])), Err(Errno::BADF));
    assert_eq!(sendmsg(h, a, b"x", &rights(&[0; 254])), Err(Errno::INVAL));
    let two = [rights(&[0; 253]), rights(&[0])].concat();
    assert_eq!(sendmsg(h, a, b"x", &two), Err(Errno::INVAL));
    assert_eq!(sendmsg(h, a, b"x", &rights(&[])), Ok(1));
    assert_eq!(recvmsg(h, b, 1, 64, 0).unwrap().control, []);
    // The rest of less than four bytes is ignored.
    let odd = scm(SCM_RIGHTS, &[0, 0, 0, 0, 77, 77]);
    assert_eq!(sendmsg(h, a, b"x", &odd), Ok(1));
    assert_eq!(recvmsg(h, b, 1, 64, 0).unwrap().rights().len(), 1);
    set_limit(h, 1024).unwrap();
    assert_eq!(sendmsg(h, a, b"x", &rights(&[0; 253])), Ok(1));
    assert_eq!(recvmsg(h, b, 1, 2048, 0).unwrap().rights().len(), 253);
}

fn rights_are_merged<H: Host>(h: &H) {
    make_file(h, "f", b"");
    let handle = open(h, "f", OpenFlags::PATH).unwrap();
    let (a, b) = pair(h, DGRAM);
    let bytes = [rights(&[0]), rights(&[handle, 1])].concat();
    assert_eq!(sendmsg(h, a, b"x", &bytes), Ok(1));
    let message = recvmsg(h, b, 1, 64, 0).unwrap();
    assert_eq!((message.control.len(), message.rights()), (1, vec![6, 7, 8]));
    assert_eq!((message.control_len, message.flags), (HEADER + 16, 0));
    assert_eq!(fstat(h, 7), fstat(h, handle));
}

fn own_credentials<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    set_int(h, b, SO_PASSCRED, 1).unwrap();
    let own = peercred(h, a);
    let bytes = credentials(own.pid, own.uid, own.gid);
    assert_eq!(sendmsg(h, a, b"x", &bytes), Ok(1));
    assert_eq!(recvmsg(h, b, 1, 64, 0).unwrap().credentials(), Some(own));
    for len in [0, 8, 11, 13, 16] {
        let bytes = scm(SCM_CREDENTIALS, &own.to_bytes().repeat(2)[..len]);
        assert_eq!(sendmsg(h, a, b"x", &bytes), Err(Errno::INVAL), "{len} bytes");
    }
    assert_eq!(sendmsg(h, a, b"x", &credentials(own.pid, u32::MAX, own.gid)), Err(Errno::INVAL));
    assert_eq!(sendmsg(h, a, b"x", &credentials(own.pid, own.uid, u32::MAX)), Err(Errno::INVAL));
}

fn privileged_credentials<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    set_int(h, b, SO_PASSCRED, 1).unwrap();
    for pid in [0, -1, 0x3fff_fff0] {
        assert_eq!(sendmsg(h, a, b"x", &credentials(pid, 0, 0)), Err(Errno::SRCH), "{pid}");
    }
    let me = getpid(h);
    let two = [credentials(me, 1, 1), credentials(me, 77, 78)].concat();
    assert_eq!(sendmsg(h, a, b"x", &two), Ok(1));
    let last = recvmsg(h, b, 1, 64, 0).unwrap().credentials().unwrap();
    assert_eq!((last.pid, last.uid, last.gid), (me, 77, 78), "the last wins");
}

fn unprivileged_credentials<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    set_int(h, b, SO_PASSCRED, 1).unwrap();
    as_stranger(h, &[a], |h| {
        let (me, id) = (getpid(h), super::STRANGER);
        assert_eq!(sendmsg(h, 3, b"x", &credentials(me, id, id)), Ok(1));
        assert_eq!(sendmsg(h, 3, b"x", &credentials(1, id, id)), Err(Errno::PERM));
        assert_eq!(sendmsg(h, 3, b"x", &credentials(me, 0, id)), Err(Errno::PERM));
        assert_eq!(sendmsg(h, 3, b"x", &credentials(me, id, 0)), Err(Errno::PERM));
        assert_eq!(sendmsg(h, 3, b"x", &credentials(1, u32::MAX, id)), Err(Errno::INVAL));
        assert_eq!(sendmsg(h, 3, b"x", &credentials(0x3fff_fff0, id, id)), Err(Errno::PERM));
    });
    let got = recvmsg(h, b, 1, 64, 0).unwrap().credentials().unwrap();
    assert_eq!((got.uid, got.gid), (super::STRANGER, super::STRANGER));
}

fn too_many_references<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    as_stranger(h, &[a, b], |h| {
        set_limit(h, 20).unwrap();
        for sent in 0..21 {
            assert_eq!(sendmsg(h, 3, b"x", &rights(&[0])), Ok(1), "after {sent}");
        }
        assert_eq!(sendmsg(h, 3, b"x", &rights(&[0])), Err(Errno::TOOMANYREFS));
        assert_eq!(sendmsg(h, 3, b"x", &[]), Ok(1), "without descriptors it passes");
        assert_eq!(recv(h, 4, 1, 0), Ok(b"x".to_vec()));
        assert_eq!(recv(h, 4, 1, 0), Ok(b"x".to_vec()));
        assert_eq!(sendmsg(h, 3, b"x", &rights(&[0; 5])), Ok(1), "19 in flight, 5 more at once");
        assert_eq!(sendmsg(h, 3, b"x", &rights(&[0])), Err(Errno::TOOMANYREFS));
    });
}

fn too_many_segments<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let parts = vec![&b"x"[..]; 1025];
    let segments = vec![Segment::Bytes(b"x"); 1025];
    let none = RawControl::NONE;
    assert_eq!(sendmsg_of(h, a, &segments, none, 0, RawName::NONE), Err(Errno::MSGSIZE));
    assert_eq!(writev(h, a, &parts), Err(Errno::INVAL));
    assert_eq!(sendmsg_of(h, a, &segments[1..], none, 0, RawName::NONE), Ok(1024));
    assert_eq!(writev(h, a, &parts[1..]), Ok(1024));
    assert_eq!(inq(h, b), Ok(2048));
}

fn ignored_flags<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        // MSG_MORE, MSG_EOR, MSG_CONFIRM, MSG_FASTOPEN, MSG_ZEROCOPY and a bit without a name.
        for flags in [0x8000, 0x80, 0x800, 0x2000_0000, 0x400_0000, 0x100_0000] {
            assert_eq!(send(h, a, b"x", flags), Ok(1), "{flags:#x}");
            assert_eq!(recvmsg(h, b, 1, 0, 0).unwrap().flags, 0);
        }
    }
}

fn bad_pointers<H: Host>(h: &H) {
    let (a, _b) = pair(h, DGRAM);
    let data = [Segment::Bytes(b"x")];
    let fault = RawControl::fault(24);
    assert_eq!(sendmsg_of(h, a, &data, fault, 0, RawName::NONE), Err(Errno::FAULT));
    assert_eq!(sendmsg(h, a, b"x", &vec![0; 131_072]), Err(Errno::NOBUFS));
    let server = bound(h, DGRAM, &name(1, &[b'n'; 108]));
    let fd = socket(h, DGRAM).unwrap();
    let long = name(1, &[b'n'; 150]);
    assert_eq!(sendto(h, fd, b"x", 0, RawName::Bytes(&long)), Err(Errno::INVAL));
    let control = RawControl::NONE;
    // Cut to 128, which still is over 110.
    assert_eq!(sendmsg_of(h, fd, &data, control, 0, RawName::Bytes(&long)), Err(Errno::INVAL));
    let name = RawName::Fault { len: 10 };
    assert_eq!(sendmsg_of(h, fd, &data, control, 0, name), Err(Errno::FAULT));
    assert_eq!(recv(h, server, 1, DONTWAIT), Err(Errno::AGAIN));
}

fn order<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    set_int(h, b, SO_PASSCRED, 1).unwrap();
    assert_eq!(sendmsg(h, a, b"x", &rights(&[0])), Ok(1));
    let message = recvmsg(h, b, 1, 128, 0).unwrap();
    let kinds: Vec<i32> = message.control.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [SCM_CREDENTIALS, SCM_RIGHTS]);
    assert_eq!(message.control_len, 32 + 24);
}

fn credentials_at_send<H: Host>(h: &H) {
    for kind in TYPES {
        let (a, b) = pair(h, kind);
        let own = peercred(h, a);
        assert_eq!(send(h, a, b"before", 0), Ok(6));
        set_int(h, b, SO_PASSCRED, 1).unwrap();
        let none = recvmsg(h, b, 9, 64, 0).unwrap().credentials().unwrap();
        assert_eq!((none.pid, none.uid, none.gid), (0, 65534, 65534));
        assert_eq!(send(h, a, b"after", 0), Ok(5));
        assert_eq!(recvmsg(h, b, 9, 64, 0).unwrap().credentials(), Some(own));
        set_int(h, b, SO_PASSCRED, 0).unwrap();
        assert_eq!(sendmsg(h, a, b"x", &credentials(own.pid, own.uid, own.gid)), Ok(1));
        assert_eq!(sendmsg(h, a, b"y", &rights(&[0])), Ok(1));
        set_int(h, b, SO_PASSCRED, 1).unwrap();
        assert_eq!(recvmsg(h, b, 1, 64, 0).unwrap().credentials(), Some(own), "explicit ones");
        assert_eq!(recvmsg(h, b, 1, 64, 0).unwrap().credentials(), Some(none), "rights alone");
    }
    // The receiver is not accepted yet.
    let fd = listener(h, STREAM, &hidden("s"), 4);
    let client = connected(h, STREAM, &hidden("s")).unwrap();
    assert_eq!(send(h, client, b"early", 0), Ok(5));
    let accepted = accept(h, fd, 0).unwrap();
    set_int(h, accepted, SO_PASSCRED, 1).unwrap();
    let got = recvmsg(h, accepted, 9, 64, 0).unwrap().credentials().unwrap();
    assert_eq!(got.pid, getpid(h));
}

fn credentials_are_cut<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    set_int(h, b, SO_PASSCRED, 1).unwrap();
    let whole = peercred(h, a).to_bytes();
    for (room, kept) in [(0, None), (15, None), (16, Some(0)), (20, Some(4)), (27, Some(11))] {
        assert_eq!(send(h, a, b"x", 0), Ok(1));
        let message = recvmsg(h, b, 1, room, 0).unwrap();
        assert_eq!(message.flags, CTRUNC, "room for {room}");
        let data = message.control.first().map(|(_, data)| data.clone());
        assert_eq!(data, kept.map(|kept| whole[..kept].to_vec()), "room for {room}");
        assert_eq!(message.control_len, if kept.is_some() { room } else { 0 });
    }
    assert_eq!(send(h, a, b"x", 0), Ok(1));
    let message = recvmsg(h, b, 1, 28, 0).unwrap();
    assert_eq!((message.flags, message.control_len), (0, 28));
}

fn rights_are_cut<H: Host>(h: &H) {
    let (a, b) = pair(h, DGRAM);
    for (room, kept, len) in [(0, 0, 0), (19, 0, 0), (20, 1, 20), (24, 2, 24), (27, 2, 24)] {
        assert_eq!(sendmsg(h, a, b"x", &rights(&[0, 0, 0])), Ok(1));
        let message = recvmsg(h, b, 1, room, 0).unwrap();
        assert_eq!((message.flags, message.rights().len()), (CTRUNC, kept), "room for {room}");
        assert_eq!(message.control_len, len, "room for {room}");
        for fd in message.rights() {
            assert_eq!(close(h, fd), Ok(0));
        }
    }
    assert_eq!(dup(h, 0), Ok(5), "what did not fit is closed");
}

fn table_full<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    set_limit(h, 6).unwrap();
    assert_eq!(sendmsg(h, a, b"x", &rights(&[0, 0, 0])), Ok(1));
    let message = recvmsg(h, b, 1, 64, 0).unwrap();
    assert_eq!((message.flags, message.rights()), (CTRUNC, vec![5]));
}

fn close_on_exec<H: Host>(h: &H) {
    let (a, b) = pair(h, SEQPACKET);
    assert_eq!(sendmsg(h, a, b"x", &rights(&[0])), Ok(1));
    assert_eq!(sendmsg(h, a, b"x", &rights(&[0])), Ok(1));
    let flag = afunix::RecvFlags::CMSG_CLOEXEC.bits();
    let marked = recvmsg(h, b, 1, 64, flag).unwrap();
    assert_eq!(marked.flags, flag);
    let plain = recvmsg(h, b, 1, 64, 0).unwrap();
    assert_eq!(fcntl(h, marked.rights()[0], afunix::call::Fcntl::Getfd), Ok(1));
    assert_eq!(fcntl(h, plain.rights()[0], afunix::call::Fcntl::Getfd), Ok(0));
}

fn inq_messages<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    for value in [2, -1] {
        assert_eq!(set_int(h, b, SO_INQ, value), Err(Errno::INVAL));
    }
    assert_eq!(setsockopt(h, b, SO_INQ, &[1; 8]), Err(Errno::INVAL));
    assert_eq!(set_int(h, b, SO_INQ, 1), Ok(0));
    assert_eq!(get_int(h, b, SO_INQ), Err(Errno::NOPROTOOPT));
    assert_eq!(send(h, a, b"hello", 0), Ok(5));
    let message = recvmsg(h, b, 2, 64, 0).unwrap();
    assert_eq!(message.control, [(SO_INQ, 3i32.to_ne_bytes().to_vec())]);
    recv(h, b, 9, 0).unwrap();
    close(h, a).unwrap();
    let end = recvmsg(h, b, 2, 64, 0).unwrap();
    assert_eq!(end.control, [(SO_INQ, 0i32.to_ne_bytes().to_vec())]);
    let (c, _) = pair(h, DGRAM);
    assert_eq!(set_int(h, c, SO_INQ, 1), Err(Errno::NOPROTOOPT));
}

fn bad_pointer_out<H: Host>(h: &H) {
    let (a, b) = pair(h, STREAM);
    let mut bytes = Vec::new();
    push_message(&mut bytes, SOL_SOCKET, SCM_RIGHTS, &0i32.to_ne_bytes());
    assert_eq!(sendmsg(h, a, b"x", &bytes), Ok(1));
    let (mut byte, mut name) = ([0], afunix::NameOut::nothing());
    let mut control = afunix::control::ControlOut::fault(64);
    let mut flags_out = afunix::RecvFlags::empty();
    let got = h.call(&mut afunix::Call::Recvmsg {
        fd: crate::raw::fd(b),
        name: &mut name,
        data: &mut [afunix::SegmentMut::Bytes(&mut byte)],
        control: &mut control,
        flags: afunix::RecvFlags::empty(),
        flags_out: &mut flags_out,
        progress: 0,
    });
    assert_eq!((got, control.len), (Ok(1), 0));
    assert_eq!(flags_out, afunix::RecvFlags::CTRUNC);
    assert_eq!(dup(h, 0), Ok(5), "the descriptor is closed");
}
