//! Pointers for what a call names: memory, memory that faults, names, lists of segments.

use std::ffi::c_void;
use std::ptr;
use std::sync::OnceLock;

use afunix::{NameOut, NameWant, RawName, Segment, SegmentMut};
use libc::{iovec, sockaddr, socklen_t};

/// How much address space is set aside to fault. Longer faulting segments fault at their beginning
/// all the same, which is where the kernel touches them first.
const FAULTING_BYTES: usize = 1 << 24;

/// Memory that neither the kernel nor the program can read or write.
pub(super) fn faulting() -> *mut c_void {
    static ADDRESS: OnceLock<usize> = OnceLock::new();
    let address = *ADDRESS.get_or_init(|| {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let map =
            unsafe { libc::mmap(ptr::null_mut(), FAULTING_BYTES, libc::PROT_NONE, flags, -1, 0) };
        // Without address space for it: page 0, which no program has (vm.mmap_min_addr).
        if map == libc::MAP_FAILED { 8 } else { map as usize }
    });
    address as *mut c_void
}

/// Where a segment lies.
pub(super) fn segment(segment: &Segment<'_>) -> iovec {
    match segment {
        Segment::Bytes(bytes) => {
            iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
        }
        Segment::Fault(len) => iovec { iov_base: faulting(), iov_len: *len },
    }
}

/// Where a segment lies that the kernel is to fill.
pub(super) fn segment_mut(segment: &mut SegmentMut<'_>) -> iovec {
    match segment {
        SegmentMut::Bytes(bytes) => {
            iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }
        }
        SegmentMut::Fault(len) => iovec { iov_base: faulting(), iov_len: *len },
    }
}

/// Lists of up to this many segments are built on the stack.
const FEW: usize = 8;

const EMPTY: iovec = iovec { iov_base: ptr::null_mut(), iov_len: 0 };

/// Builds the list of `items` and hands it to `run`; it is valid for that long.
pub(super) fn with_iovecs<R>(
    items: impl ExactSizeIterator<Item = iovec>,
    run: impl FnOnce(&mut [iovec]) -> R,
) -> R {
    let count = items.len();
    if count <= FEW {
        let mut few = [EMPTY; FEW];
        for (place, item) in few.iter_mut().zip(items) {
            *place = item;
        }
        return run(&mut few[..count]);
    }
    run(&mut items.collect::<Vec<_>>())
}

/// The pointer and the length of a name on its way in.
pub(super) fn name(name: RawName<'_>) -> (*const sockaddr, socklen_t) {
    match name {
        RawName::Null { len } => (ptr::null(), len as socklen_t),
        RawName::Bytes(bytes) => (bytes.as_ptr().cast(), bytes.len() as socklen_t),
        RawName::Fault { len } => (faulting().cast_const().cast(), len as socklen_t),
    }
}

/// Where the kernel writes a name, while the call lasts.
pub(super) struct NamePlace {
    /// The buffer: never shorter than what the kernel writes, which is at most a `sockaddr_storage`
    /// (128).
    pub(super) name: *mut sockaddr,
    /// The length on the way in and out.
    pub(super) len: socklen_t,
    /// Whether the length is told at all.
    told: bool,
    before: socklen_t,
}

impl NamePlace {
    pub(super) fn of(out: &mut NameOut) -> Self {
        let bytes: *mut sockaddr = out.bytes.as_mut_ptr().cast();
        let (name, len, told) = match out.want {
            NameWant::Nothing => (ptr::null_mut(), 0, false),
            NameWant::Buffer { len } => (bytes, len, true),
            NameWant::Fault { len } => (faulting().cast(), len, true),
            NameWant::NullLength => (bytes, 0, false),
        };
        NamePlace { name, len: len as socklen_t, told, before: len as socklen_t }
    }

    /// The pointer to the length, for the calls that take one.
    pub(super) fn len_pointer(&mut self) -> *mut socklen_t {
        if self.told { &mut self.len } else { ptr::null_mut() }
    }

    /// What the kernel reported: a call that fails leaves the length alone, for the most part.
    pub(super) fn reported(&self, succeeded: bool) -> Option<i32> {
        let written = self.told && (succeeded || self.len != self.before);
        written.then_some(self.len as i32)
    }
}
