//! The constants of one kernel version, and switches for what is wrong in it or planted in the
//! model.
//!
//! Everything that hangs on page size, structure sizes, kernel configuration or sysctl stands here
//! (MEM 10), so that another kernel is another value of [`Profile`].

use std::time::Duration;

use bitflags::bitflags;

/// What the model is a model of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// For reports: `linux-6.18`.
    pub name: &'static str,
    /// Whether what Linux has beyond POSIX.1-2024 is refused (docs/posix.md).
    pub portable: bool,
    /// Bytes of a page.
    pub page_size: u32,
    /// net.core.wmem_default: SO_SNDBUF of a new socket.
    pub wmem_default: u32,
    /// net.core.wmem_max: the most that SO_SNDBUF takes, before it is doubled.
    pub wmem_max: u32,
    /// net.core.rmem_default: SO_RCVBUF of a new socket.
    pub rmem_default: u32,
    /// net.core.rmem_max: the most that SO_RCVBUF takes, before it is doubled.
    pub rmem_max: u32,
    /// Least SO_SNDBUF (MEM 9).
    pub sndbuf_min: u32,
    /// Least SO_RCVBUF (MEM 9).
    pub rcvbuf_min: u32,
    /// net.unix.max_dgram_qlen: a receive queue longer than this is full (DSEND 4).
    pub max_dgram_qlen: u32,
    /// net.core.somaxconn: the largest backlog (LISTEN 2).
    pub somaxconn: u32,
    /// Most sockets at a time: 2 x fs.file-max (CREATE 4). Closed ones count as long as a peer or a
    /// message refers to them; a connection that waits for room in a backlog does not.
    pub sockets_max: usize,
    /// net.core.optmem_max: control data must be shorter (CMSG 7).
    pub optmem_max: u32,
    /// Most descriptors in one message (CMSG 2).
    pub scm_max_fd: usize,
    /// How timeouts are rounded up: the length of a tick (OPT 10).
    pub tick: Duration,
    /// How message buffers are charged.
    pub memory: Memory,
    /// Bugs of that kernel that the model has too.
    pub bugs: Bugs,
    /// Bugs that only the model has, for tests of the tests.
    pub planted: Planted,
}

/// Sizes that the charge of a message buffer is made of (MEM 2 to 5), in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Charged for the buffer's descriptor, whatever it holds.
    pub buffer: u32,
    /// Lies behind the data in the same allocation.
    pub tail: u32,
    /// Data is aligned to this before the tail is added.
    pub align: u32,
    /// Least allocation; larger ones are powers of two.
    pub least: u32,
    /// A datagram's first bytes, up to this many, lie in one allocation.
    pub datagram_head: u32,
    /// A datagram's further bytes lie in pages, up to this many.
    pub datagram_pages: u32,
    /// A stream buffer's bytes beyond those in pages, at most.
    pub stream_head: u32,
    /// Bytes that a stream buffer takes at most (also: half of SO_SNDBUF less 64).
    pub stream_most: u32,
}

bitflags! {
    /// Bugs of the modelled kernel.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Bugs: u32 {
        /// OOB 9: discarding an unread out-of-band byte never lowers the input count.
        const DISCARDED_OOB_STAYS_COUNTED = 1;
    }

    /// Bugs planted in the model, by name: the differential test must find each.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Planted: u32 {
        /// Against MEM 7: a partial stream read frees as much memory as it read bytes.
        const PARTIAL_READ_FREES_MEMORY = 1;
        /// Against LISTEN 2: a backlog takes one connection less.
        const BACKLOG_OFF_BY_ONE = 1 << 1;
        /// Against SRECV 6: a stream read goes on past a buffer whose descriptors it took.
        const READ_MERGES_PAST_RIGHTS = 1 << 2;
        /// Against SHUT 4: closing with unread data does not reset the peer.
        const CLOSE_NEVER_RESETS = 1 << 3;
        /// Against SHUT 2: shutting down writing does not reach the peer.
        const SHUTDOWN_STAYS_LOCAL = 1 << 4;
        /// Against DGCONN 3: a new peer leaves the receive queue as it was.
        const RECONNECT_KEEPS_QUEUE = 1 << 5;
        /// Against SSEND 9: a stream send that faults keeps the bytes before the fault.
        const FAULT_SENDS_PARTIAL_BUFFER = 1 << 6;
        /// Against DRECV 3: a short read of a datagram leaves the rest in the queue.
        const SHORT_READ_KEEPS_REST = 1 << 7;
        /// Against MEM 8: a socket polls writable while any memory is left.
        const WRITABLE_UNTIL_FULL = 1 << 8;
        /// Against SHUT 7: reading SO_ERROR does not clear it.
        const SO_ERROR_STAYS = 1 << 9;
        /// Against ADDR 5: abstract names are shared by all socket types.
        const ONE_NAMESPACE_FOR_ALL_TYPES = 1 << 10;
        /// A wake-up is lost: whoever waits for memory is never woken.
        const LOSES_MEMORY_WAKES = 1 << 11;
        /// Against SHUT 4: whoever waits at a socket is not woken by its peer's close.
        const LOSES_CLOSE_WAKES = 1 << 12;
        /// Against SRECV 19, LISTEN 10 and CONNECT 11: of those who wait in order the last is
        /// woken first.
        const WAKES_THE_LAST_FIRST = 1 << 13;
        /// Against OPT 10: SO_RCVTIMEO and SO_SNDTIMEO are stored and do nothing.
        const IGNORES_TIMEOUTS = 1 << 14;
    }
}

impl Profile {
    /// Linux 6.18 on x86_64: 4 KiB pages, HZ 250, default sysctls.
    pub const fn linux_6_18() -> Profile {
        Profile {
            name: "linux-6.18",
            portable: false,
            page_size: 4096,
            wmem_default: 212_992,
            wmem_max: 4_194_304,
            rmem_default: 212_992,
            rmem_max: 4_194_304,
            sndbuf_min: 4608,
            rcvbuf_min: 2304,
            max_dgram_qlen: 10,
            somaxconn: 4096,
            // The kernel's hangs on the machine's memory: no limit here.
            sockets_max: usize::MAX,
            optmem_max: 131_072,
            scm_max_fd: afunix::control::SCM_MAX_FD,
            tick: Duration::from_millis(4),
            memory: Memory {
                buffer: 256,
                tail: 320,
                align: 64,
                least: 512,
                datagram_head: 16_064,
                datagram_pages: 69_632,
                stream_head: 3776,
                stream_most: 36_544,
            },
            bugs: Bugs::DISCARDED_OOB_STAYS_COUNTED,
            planted: Planted::empty(),
        }
    }
}

impl Profile {
    /// A system that has of AF_UNIX what POSIX.1-2024 has, and is like Linux in what that leaves
    /// open. What it does not promise of datagrams (that they come, and in order) a simulator's
    /// faults take away.
    pub const fn posix() -> Profile {
        Profile { name: "posix", portable: true, ..Profile::linux_6_18() }
    }
}

impl Default for Profile {
    fn default() -> Self {
        Profile::linux_6_18()
    }
}
