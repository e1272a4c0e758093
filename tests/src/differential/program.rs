//! Programs: steps whose descriptors are slots.

mod calls;

use afunix::call::Fcntl;

pub(super) use calls::{Identity, OwnerBy, PathCall, SignalCall};

/// A descriptor as a program names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// What some step put there, by the number it has in the process that uses it; also after it
    /// was closed. A slot that nothing was put into stands for a number that is not open.
    Made(u16),
    /// Descriptor 0 of every process: the console, or /dev/null; no socket.
    Console,
    /// -1.
    Negative,
}

/// The slot of a file that is sent in place of what must not be sent.
pub(super) const CARGO_FILE: u16 = 0;

/// A name as a program hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A null pointer and length 0.
    None,
    /// A null pointer with a length.
    Null(i32),
    /// An unreadable pointer with a length.
    Fault(i32),
    /// A path, with its NUL.
    Path(&'static str),
    /// One of the program's abstract names.
    Abstract(u8),
    /// What a descriptor of the caller's leads to, as a path of /proc/self/fd.
    Handle(Slot),
    /// Any bytes.
    Raw(Vec<u8>),
}

/// A piece of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes.
    pub len: usize,
    /// Whether it cannot be touched.
    pub faults: bool,
}

/// A control message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// SCM_RIGHTS.
    Rights(Vec<Slot>),
    /// SCM_CREDENTIALS of a process of the program (by index), and two ids.
    Credentials {
        /// Index of the process.
        process: usize,
        /// The uid.
        uid: u32,
        /// The gid.
        gid: u32,
    },
    /// Any bytes.
    Raw(Vec<u8>),
}

/// Room for control messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// So many bytes.
    Bytes(usize),
    /// So many bytes that cannot be written.
    Fault(usize),
}

/// A message of sendmmsg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whom for.
    pub name: Name,
    /// The bytes.
    pub data: Vec<Piece>,
    /// Control messages.
    pub control: Vec<Control>,
}

/// Room for a message of recvmmsg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// For the sender's name.
    pub want: Want,
    /// For the bytes.
    pub data: Vec<Piece>,
    /// For control messages.
    pub room: Room,
}

/// Which call sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendBy {
    /// write
    Write,
    /// writev
    Writev,
    /// sendto
    Sendto(Name),
    /// sendmsg
    Sendmsg(Name, Vec<Control>),
}

/// Which call receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveBy {
    /// read
    Read,
    /// readv
    Readv,
    /// recvfrom
    Recvfrom(Want),
    /// recvmsg
    Recvmsg(Want, Room),
}

/// Room for a name: [`afunix::NameWant`].
pub(super) type Want = afunix::NameWant;

/// A call, with slots for descriptors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Socket {
        domain: i32,
        kind: i32,
        protocol: i32,
        into: u16,
    },
    Socketpair {
        domain: i32,
        kind: i32,
        protocol: i32,
        into: [u16; 2],
    },
    Bind {
        fd: Slot,
        name: Name,
    },
    Listen {
        fd: Slot,
        backlog: i32,
    },
    Accept {
        fd: Slot,
        flags: i32,
        want: Want,
        into: u16,
    },
    Connect {
        fd: Slot,
        name: Name,
    },
    Sockname {
        fd: Slot,
        want: Want,
    },
    Peername {
        fd: Slot,
        want: Want,
    },
    Shutdown {
        fd: Slot,
        how: i32,
    },
    /// `into`: where a descriptor goes, if the option brings one.
    Getsockopt {
        fd: Slot,
        level: i32,
        option: i32,
        len: i32,
        into: u16,
    },
    Setsockopt {
        fd: Slot,
        level: i32,
        option: i32,
        value: Vec<u8>,
    },
    Send {
        fd: Slot,
        by: SendBy,
        data: Vec<Piece>,
        flags: i32,
    },
    Receive {
        fd: Slot,
        by: ReceiveBy,
        data: Vec<Piece>,
        flags: i32,
        into: u16,
    },
    SendMany {
        fd: Slot,
        messages: Vec<Message>,
        flags: i32,
    },
    /// `timeout` is in milliseconds.
    ReceiveMany {
        fd: Slot,
        messages: Vec<Place>,
        flags: i32,
        timeout: Option<u64>,
        into: u16,
    },
    Pipe {
        flags: i32,
        into: [u16; 2],
    },
    Eventfd {
        count: u32,
        flags: i32,
        into: u16,
    },
    EpollCreate {
        flags: i32,
        into: u16,
    },
    /// The event's data is the target's number; without `events` the pointer is null.
    EpollCtl {
        fd: Slot,
        op: i32,
        target: Slot,
        events: Option<u32>,
    },
    /// Memory that cannot be written if `room` is negative. `timeout` as that of poll.
    EpollWait {
        fd: Slot,
        room: i32,
        timeout: i32,
    },
    /// Slots to be read from, to be written to, and for what is exceptional.
    Select {
        nfds: i32,
        sets: [Option<Vec<Slot>>; 3],
        timeout: i32,
    },
    Readlink {
        path: &'static str,
        len: usize,
    },
    Identity(Identity),
    /// Lays down capabilities: of what is permitted, all but these are left in effect, and all but
    /// those permitted.
    Capset {
        effective: u64,
        permitted: u64,
    },
    Signal(SignalCall),
    /// SIOCUNIXFILE.
    Unixfile {
        fd: Slot,
        into: u16,
    },
    Fchdir {
        fd: Slot,
    },
    /// What /proc tells of the process's own sockets, and of those that wait to be accepted.
    Listing,
    /// Mounts a tmpfs that nobody else sees: unshare and mount.
    Mount {
        path: &'static str,
        flags: u64,
    },
    Umount {
        path: &'static str,
    },
    /// A network namespace of its own.
    Detach,
    Chroot {
        path: &'static str,
    },
    Close {
        fd: Slot,
    },
    Dup {
        fd: Slot,
        into: u16,
    },
    Dup2 {
        fd: Slot,
        new: Slot,
        into: u16,
    },
    Dup3 {
        fd: Slot,
        new: Slot,
        flags: i32,
        into: u16,
    },
    Fcntl {
        fd: Slot,
        command: Fcntl,
        into: u16,
    },
    Ioctl {
        fd: Slot,
        request: u32,
        value: i32,
    },
    /// `timeout` in milliseconds; negative: without end.
    Poll {
        fds: Vec<(Slot, i16)>,
        timeout: i32,
    },
    Lseek {
        fd: Slot,
        offset: u64,
    },
    Fstat {
        fd: Slot,
    },
    Getdents {
        fd: Slot,
    },
    Chdir {
        path: &'static str,
    },
    Fchmod {
        fd: Slot,
        mode: u32,
    },
    Open {
        path: &'static str,
        flags: i32,
        mode: u32,
        into: u16,
    },
    Path {
        path: &'static str,
        call: PathCall,
    },
    Umask {
        mask: u32,
    },
    Limit {
        descriptors: u32,
    },
    /// For good; only root can.
    Become {
        user: u32,
        group: u32,
        groups: Vec<u32>,
    },
    /// A signal that is caught, for a thread of the process: a call that waits there is
    /// interrupted; `restart`: its handler has SA_RESTART.
    Interrupt {
        thread: usize,
        restart: bool,
    },
    /// The next timeout passes.
    Pass,
}

/// A call of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Index of the process.
    pub process: usize,
    /// Index of the thread in the process; 0 where no call waits.
    pub thread: usize,
    /// The call.
    pub request: Request,
}

/// A list of steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// How many processes there are.
    pub processes: usize,
    /// The first steps, all of process 0, after which the other processes are forked from it.
    pub before_fork: usize,
    /// How many threads each process has after the fork. With one no call waits; with more, calls
    /// wait in them.
    pub threads: usize,
    /// The type of socket that may be sent, and never carries sockets.
    pub cargo: i32,
    /// The steps.
    pub steps: Vec<Step>,
    /// Whether the sizes of all queues are looked at after every step: slow, and tells at which
    /// step a difference arose. Else only those of what the step used, and all after every
    /// [`LOOKED_AROUND_EVERY`]th.
    pub looks_around: bool,
}

/// Steps from one look at everything to the next.
pub(super) const LOOKED_AROUND_EVERY: usize = 8;

impl Program {
    /// How many calls it makes.
    pub fn calls(&self) -> usize {
        self.steps.len()
    }

    /// Whether the sizes of all queues are looked at after the step with this index.
    pub(super) fn looks_around_after(&self, index: usize) -> bool {
        self.looks_around || looks_around_after(index)
    }
}

/// Whether the sizes of all queues are looked at after a step of any program.
pub(super) fn looks_around_after(index: usize) -> bool {
    index % LOOKED_AROUND_EVERY == LOOKED_AROUND_EVERY - 1
}

impl Request {
    /// The system call's name.
    pub fn name(&self) -> &'static str {
        match self {
            Request::Socket { .. } => "socket",
            Request::Socketpair { .. } => "socketpair",
            Request::Bind { .. } => "bind",
            Request::Listen { .. } => "listen",
            Request::Accept { .. } => "accept4",
            Request::Connect { .. } => "connect",
            Request::Sockname { .. } => "getsockname",
            Request::Peername { .. } => "getpeername",
            Request::Shutdown { .. } => "shutdown",
            Request::Getsockopt { .. } => "getsockopt",
            Request::Setsockopt { .. } => "setsockopt",
            Request::Send { by, .. } => match by {
                SendBy::Write => "write",
                SendBy::Writev => "writev",
                SendBy::Sendto(_) => "sendto",
                SendBy::Sendmsg(..) => "sendmsg",
            },
            Request::Receive { by, .. } => match by {
                ReceiveBy::Read => "read",
                ReceiveBy::Readv => "readv",
                ReceiveBy::Recvfrom(_) => "recvfrom",
                ReceiveBy::Recvmsg(..) => "recvmsg",
            },
            Request::SendMany { .. } => "sendmmsg",
            Request::ReceiveMany { .. } => "recvmmsg",
            Request::Pipe { .. } => "pipe2",
            Request::Eventfd { .. } => "eventfd2",
            Request::EpollCreate { .. } => "epoll_create1",
            Request::EpollCtl { .. } => "epoll_ctl",
            Request::EpollWait { .. } => "epoll_pwait2",
            Request::Select { .. } => "pselect6",
            Request::Readlink { .. } => "readlink",
            Request::Identity(identity) => identity.name(),
            Request::Capset { .. } => "capset",
            Request::Signal(call) => call.name(),
            Request::Unixfile { .. } => "ioctl",
            Request::Fchdir { .. } => "fchdir",
            Request::Listing => "(/proc)",
            Request::Mount { .. } => "mount",
            Request::Umount { .. } => "umount2",
            Request::Detach => "unshare",
            Request::Chroot { .. } => "chroot",
            Request::Close { .. } => "close",
            Request::Dup { .. } => "dup",
            Request::Dup2 { .. } => "dup2",
            Request::Dup3 { .. } => "dup3",
            Request::Fcntl { .. } => "fcntl",
            Request::Ioctl { .. } => "ioctl",
            Request::Poll { .. } => "poll",
            Request::Lseek { .. } => "lseek",
            Request::Fstat { .. } => "fstat",
            Request::Getdents { .. } => "getdents",
            Request::Chdir { .. } => "chdir",
            Request::Fchmod { .. } => "fchmod",
            Request::Open { .. } => "open",
            Request::Path { call, .. } => call.name(),
            Request::Umask { .. } => "umask",
            Request::Limit { .. } => "prlimit",
            Request::Become { .. } => "setids",
            Request::Interrupt { .. } => "tgkill",
            Request::Pass => "(time)",
        }
    }
}

impl Request {
    /// The slots that it makes, but those of descriptors that are received.
    pub(super) fn makes(&self) -> Vec<u16> {
        match self {
            Request::Socketpair { into, .. } | Request::Pipe { into, .. } => into.to_vec(),
            Request::Socket { into, .. }
            | Request::Accept { into, .. }
            | Request::Eventfd { into, .. }
            | Request::EpollCreate { into, .. }
            | Request::Unixfile { into, .. }
            | Request::Dup { into, .. }
            | Request::Dup2 { into, .. }
            | Request::Dup3 { into, .. }
            | Request::Fcntl { into, .. }
            | Request::Open { into, .. } => vec![*into],
            _ => Vec::new(),
        }
    }

    /// Hands each slot that the call uses to `each`.
    pub(super) fn each_slot(&mut self, each: &mut dyn FnMut(&mut Slot)) {
        match self {
            Request::Dup2 { fd, new, .. } | Request::Dup3 { fd, new, .. } => {
                each(fd);
                each(new);
            }
            Request::Bind { fd, name } | Request::Connect { fd, name } => {
                each(fd);
                name.each_slot(each);
            }
            Request::Send { fd, by, .. } => {
                each(fd);
                match by {
                    SendBy::Sendto(name) => name.each_slot(each),
                    SendBy::Sendmsg(name, control) => {
                        name.each_slot(each);
                        control.iter_mut().for_each(|message| message.each_slot(each));
                    }
                    SendBy::Write | SendBy::Writev => {}
                }
            }
            Request::SendMany { fd, messages, .. } => {
                each(fd);
                for message in messages {
                    message.name.each_slot(each);
                    message.control.iter_mut().for_each(|control| control.each_slot(each));
                }
            }
            Request::EpollCtl { fd, target, .. } => {
                each(fd);
                each(target);
            }
            Request::Select { sets, .. } => sets.iter_mut().flatten().flatten().for_each(each),
            Request::Poll { fds, .. } => fds.iter_mut().for_each(|(slot, _)| each(slot)),
            Request::Listen { fd, .. }
            | Request::Accept { fd, .. }
            | Request::Sockname { fd, .. }
            | Request::Peername { fd, .. }
            | Request::Shutdown { fd, .. }
            | Request::Getsockopt { fd, .. }
            | Request::Setsockopt { fd, .. }
            | Request::Receive { fd, .. }
            | Request::ReceiveMany { fd, .. }
            | Request::Getdents { fd }
            | Request::EpollWait { fd, .. }
            | Request::Close { fd }
            | Request::Dup { fd, .. }
            | Request::Fcntl { fd, .. }
            | Request::Ioctl { fd, .. }
            | Request::Lseek { fd, .. }
            | Request::Fstat { fd }
            | Request::Unixfile { fd, .. }
            | Request::Fchdir { fd }
            | Request::Fchmod { fd, .. } => each(fd),
            Request::Signal(call) => call.each_slot(each),
            Request::Socket { .. }
            | Request::Socketpair { .. }
            | Request::EpollCreate { .. }
            | Request::Readlink { .. }
            | Request::Identity(_)
            | Request::Capset { .. }
            | Request::Listing
            | Request::Mount { .. }
            | Request::Umount { .. }
            | Request::Detach
            | Request::Chroot { .. }
            | Request::Pipe { .. }
            | Request::Eventfd { .. }
            | Request::Chdir { .. }
            | Request::Open { .. }
            | Request::Path { .. }
            | Request::Umask { .. }
            | Request::Limit { .. }
            | Request::Become { .. }
            | Request::Interrupt { .. }
            | Request::Pass => {}
        }
    }
}

impl Name {
    fn each_slot(&mut self, each: &mut dyn FnMut(&mut Slot)) {
        if let Name::Handle(slot) = self {
            each(slot);
        }
    }
}

impl Control {
    fn each_slot(&mut self, each: &mut dyn FnMut(&mut Slot)) {
        if let Control::Rights(slots) = self {
            slots.iter_mut().for_each(each);
        }
    }
}
