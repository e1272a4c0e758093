//! One run at a time on a system: an abstract name that the run under way is bound to. The kernel
//! frees it, however the run ends.

use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const NAME: &str = "afunix-diff";
/// How often the name is tried for.
const PAUSE: Duration = Duration::from_millis(50);

/// Held while a run is under way.
pub(super) struct Turn {
    _bound: Option<UnixDatagram>,
}

/// Waits for the turn; in vain, and with none, once `stop` is set.
pub(super) fn take(stop: &AtomicBool) -> io::Result<Turn> {
    while !stop.load(Ordering::Relaxed) {
        match bind() {
            Err(error) if error.kind() == ErrorKind::AddrInUse => std::thread::sleep(PAUSE),
            bound => return Ok(Turn { _bound: Some(bound?) }),
        }
    }
    Ok(Turn { _bound: None })
}

/// Whether another run is under way on this system, for which one that is started would wait.
pub fn is_taken() -> bool {
    bind().is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}

fn bind() -> io::Result<UnixDatagram> {
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(NAME)?)
}
