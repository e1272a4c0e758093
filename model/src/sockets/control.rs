//! Control messages: what sendmsg says with them (CMSG), and what recvmsg tells (RCMSG).

use std::time::Duration;

use afunix::control::{
    ControlOut, HEADER, RawControl, SCM_CREDENTIALS, SCM_PIDFD, SCM_RIGHTS, SOL_SOCKET, cmsg_space,
    messages,
};
use afunix::options::{
    SO_INQ, SO_TIMESTAMP, SO_TIMESTAMP_NEW, SO_TIMESTAMPING, SO_TIMESTAMPING_NEW, SO_TIMESTAMPNS,
    SO_TIMESTAMPNS_NEW,
};
use afunix::{Capabilities, Errno, RecvFlags, SocketType, Ucred};

use super::call::{Attachment, Caller, Receiving, Sending};
use super::socket::{Flags, Socket, Stamping};
use super::{SocketKey, Sockets};
use crate::profile::Profile;

/// Turns what stands in control data as numbers into what they stand for.
pub trait Resolve {
    /// Takes a reference to the file of a descriptor; EBADF, or EINVAL for one that may not be
    /// sent.
    fn file(&mut self, fd: i32) -> Result<Attachment, Errno>;
    /// Whether a process or thread has this id (CMSG 3).
    fn is_process(&mut self, pid: i32) -> bool;
}

/// Makes descriptors of what a receive brings.
pub trait Install {
    /// A descriptor of a file, or EMFILE. It takes over the attachment's reference; a peeked file's
    /// stays in the queue, so it takes one of its own.
    fn file(&mut self, file: Attachment, cloexec: bool, peeked: bool) -> Result<i32, Errno>;
    /// A pidfd of a process that may be gone, or EMFILE.
    fn pidfd(&mut self, pid: i32) -> Result<i32, Errno>;
}

/// Checks the control data of sendmsg, message by message, and puts what it says into `sending`
/// (CMSG 1 to 3, 7). ENOBUFS if it is too long; EFAULT, EINVAL, EBADF, EPERM, ESRCH. After an error
/// the files taken so far are in `sending`: finish it.
pub fn parse_control(
    profile: &Profile,
    caller: &Caller<'_>,
    control: RawControl<'_>,
    resolve: &mut dyn Resolve,
    sending: &mut Sending,
) -> Result<(), Errno> {
    if control.len() >= profile.optmem_max as usize {
        return Err(Errno::NOBUFS);
    }
    let bytes = control.bytes().map_err(|_| Errno::FAULT)?;
    for message in messages(bytes) {
        let message = message?;
        if message.level != SOL_SOCKET {
            continue;
        }
        match message.kind {
            SCM_RIGHTS => {
                let count = message.data.len() / 4;
                // CMSG 2: checked before any of them is looked at.
                if sending.files.len() + count > profile.scm_max_fd {
                    return Err(Errno::INVAL);
                }
                for number in message.numbers() {
                    sending.files.push(resolve.file(number)?);
                }
            }
            SCM_CREDENTIALS => {
                let said = Ucred::from_bytes(message.data).ok_or(Errno::INVAL)?;
                check_credentials(caller, said, resolve)?;
                sending.credentials = Some(said);
            }
            _ => return Err(Errno::INVAL),
        }
    }
    Ok(())
}

/// CMSG 3: EINVAL before EPERM before ESRCH.
fn check_credentials(
    caller: &Caller<'_>,
    said: Ucred,
    resolve: &mut dyn Resolve,
) -> Result<(), Errno> {
    if said.uid == u32::MAX || said.gid == u32::MAX {
        return Err(Errno::INVAL);
    }
    let may_say = (said.pid == caller.pid || caller.has(Capabilities::SYS_ADMIN))
        && (caller.uid.contains(said.uid) || caller.has(Capabilities::SETUID))
        && (caller.gid.contains(said.gid) || caller.has(Capabilities::SETGID));
    if !may_say {
        return Err(Errno::PERM);
    }
    if said.pid <= 0 || (said.pid != caller.pid && !resolve.is_process(said.pid)) {
        return Err(Errno::SRCH);
    }
    Ok(())
}

/// Writes control messages one behind the other into what room there is.
struct Writer<'a, 'b> {
    out: &'a mut ControlOut<'b>,
    flags: RecvFlags,
}

impl Writer<'_, '_> {
    /// `msg_controllen` less what is written.
    fn room(&self) -> usize {
        let all = match &self.out.buffer {
            Ok(buffer) => buffer.len(),
            Err(len) => *len,
        };
        all - self.out.len
    }

    /// One message; what does not fit is cut off and MSG_CTRUNC said (RCMSG 4).
    fn put(&mut self, kind: i32, data: &[u8]) {
        let room = self.room();
        if room < HEADER {
            self.flags |= RecvFlags::CTRUNC;
            return;
        }
        let len = HEADER + data.len();
        if room < len {
            self.flags |= RecvFlags::CTRUNC;
        }
        let cut = &data[..data.len().min(room - HEADER)];
        // RCMSG 9: memory that cannot be written is no error, and takes no room.
        if let Ok(buffer) = &mut self.out.buffer {
            let to = &mut buffer[self.out.len..];
            to[..8].copy_from_slice(&((HEADER + cut.len()) as u64).to_ne_bytes());
            to[8..12].copy_from_slice(&SOL_SOCKET.to_ne_bytes());
            to[12..16].copy_from_slice(&kind.to_ne_bytes());
            to[HEADER..HEADER + cut.len()].copy_from_slice(cut);
            self.out.len += cmsg_space(data.len()).min(room);
        }
    }

    /// SCM_RIGHTS: as many as fit and can be installed (RCMSG 5). Returns how many.
    fn put_rights(
        &mut self,
        files: &[Attachment],
        install: &mut dyn FnMut(Attachment) -> Result<i32, Errno>,
    ) -> usize {
        let room = self.room();
        let fitting = (room.saturating_sub(HEADER) / 4).min(files.len());
        let mut installed = 0;
        if let Ok(buffer) = &mut self.out.buffer
            && fitting > 0
        {
            let to = &mut buffer[self.out.len..];
            for file in &files[..fitting] {
                let Ok(number) = install(*file) else { break };
                let at = HEADER + 4 * installed;
                to[at..at + 4].copy_from_slice(&number.to_ne_bytes());
                installed += 1;
            }
            if installed > 0 {
                to[..8].copy_from_slice(&((HEADER + 4 * installed) as u64).to_ne_bytes());
                to[8..12].copy_from_slice(&SOL_SOCKET.to_ne_bytes());
                to[12..16].copy_from_slice(&SCM_RIGHTS.to_ne_bytes());
                self.out.len += cmsg_space(4 * installed).min(room);
            }
        }
        if installed < files.len() {
            self.flags |= RecvFlags::CTRUNC;
        }
        installed
    }

    /// The time of a message, of the type that the option has (RCMSG 1): when it was sent, if it
    /// was asked for then, else now.
    fn put_time(&mut self, socket: &Socket, receiving: &Receiving, now: Duration) {
        let stamping = socket.rare.as_ref().map_or(Stamping::default(), |rare| rare.stamping);
        if !stamping.on || !receiving.stamped {
            return;
        }
        let time = receiving.stamp.map_or(now, |stamp| Duration::from_nanos(stamp.get()));
        let (kind, fraction) = match (stamping.nanoseconds, stamping.new) {
            (false, false) => (SO_TIMESTAMP, time.subsec_micros()),
            (false, true) => (SO_TIMESTAMP_NEW, time.subsec_micros()),
            (true, false) => (SO_TIMESTAMPNS, time.subsec_nanos()),
            (true, true) => (SO_TIMESTAMPNS_NEW, time.subsec_nanos()),
        };
        let words = [time.as_secs().to_ne_bytes(), u64::from(fraction).to_ne_bytes()];
        self.put(kind, words.as_flattened());
        if stamping.is_detailed() {
            let kind = if stamping.new { SO_TIMESTAMPING_NEW } else { SO_TIMESTAMPING };
            let nanoseconds = u64::from(time.subsec_nanos()).to_ne_bytes();
            // Of the three times there are the devices' two are none.
            let words = [time.as_secs().to_ne_bytes(), nanoseconds, [0; 8], [0; 8], [0; 8], [0; 8]];
            self.put(kind, words.as_flattened());
        }
    }

    /// SCM_PIDFD of the process that sent what was received (RCMSG 3, 6, 10).
    fn put_pidfd(&mut self, pid: i32, install: &mut dyn Install) {
        if self.room() < HEADER + 4 {
            self.flags |= RecvFlags::CTRUNC;
        } else if pid != 0 && self.out.buffer.is_ok() {
            // RCMSG 10: with a full table the message holds the error.
            let number = install.pidfd(pid).unwrap_or_else(|errno| -errno.raw());
            self.put(SCM_PIDFD, &number.to_ne_bytes());
        }
    }
}

impl Sockets {
    /// Ends a recvmsg that succeeded: writes its control messages (RCMSG) and returns `msg_flags`.
    pub fn deliver(
        &mut self,
        key: SocketKey,
        receiving: Receiving,
        control: &mut ControlOut<'_>,
        flags: RecvFlags,
        now: Duration,
        install: &mut dyn Install,
    ) -> RecvFlags {
        control.len = 0;
        let cloexec = flags.contains(RecvFlags::CMSG_CLOEXEC);
        // RCMSG 7: the flag shows in what comes back.
        let shown = (flags & RecvFlags::CMSG_CLOEXEC) | receiving.flags;
        if receiving.bare {
            return shown;
        }
        let socket = &self.table[key];
        let is_stream = socket.kind == SocketType::Stream;
        let is_null = control.buffer.as_ref().is_ok_and(|buffer| buffer.is_empty());
        let mut writer = Writer { out: control, flags: shown };
        let mut installed = 0;
        writer.put_time(socket, &receiving, now);
        let labels = socket.flags.contains(Flags::PASSSEC);
        if is_null && (socket.identifies() || labels || !receiving.files.is_empty()) {
            // SRECV 8, and the same for all else that was asked for, whether or not it came.
            writer.flags |= RecvFlags::CTRUNC;
        } else if !is_null {
            if socket.flags.contains(Flags::PASSCRED) {
                let credentials = self.end_credentials(&receiving);
                writer.put(SCM_CREDENTIALS, &credentials.to_bytes());
            }
            if !receiving.files.is_empty() {
                let mut file = |file| install.file(file, cloexec, receiving.peeked);
                installed = writer.put_rights(&receiving.files, &mut file);
            }
            if socket.flags.contains(Flags::PASSPIDFD) {
                // SRECV 18: none at the end of a stream.
                let pid = receiving.credentials.map_or(0, |credentials| credentials.pid);
                writer.put_pidfd(pid, install);
            }
        }
        if is_stream && socket.flags.contains(Flags::INQ) {
            writer.put(SO_INQ, &socket.queue.input.to_ne_bytes());
        }
        let flags = writer.flags;
        if !receiving.peeked {
            self.dropped.extend(receiving.files.into_iter().skip(installed).rev());
        }
        flags
    }

    /// Ends any other receive: the files that it took are dropped without a word (SRECV 8).
    #[inline]
    pub fn discard(&mut self, receiving: Receiving) {
        if !receiving.files.is_empty() && !receiving.peeked {
            self.dropped.extend(receiving.files.into_iter().rev());
        }
    }
}
