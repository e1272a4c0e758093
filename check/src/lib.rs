//! Does the model explain what strace(1) saw?
//!
//! [`check`] reads a *log* of `strace -f -yy`, replays its calls on a [`afunix_model::Machine`] in
//! an order that the log allows, and says where the model would have answered otherwise. The log's
//! calls become *records* (`log`), each is made on the model and compared (`replay`), and where
//! calls overlap their possible orders are tried (`search`).
//!
//! What a log cannot show is not held against it: bytes that it cuts are wild, and what comes from
//! processes outside of it is an *assumption*, which the report counts.

mod journal;
mod log;
mod names;
mod raw;
mod replay;
mod report;
mod search;

use afunix::trace::file::Trace;

pub use log::NotStrace;
pub use report::{Assumption, Divergence, Report};

/// Checks a log.
///
/// # Errors
/// [`NotStrace`] if no line of it is a call as strace prints it.
pub fn check(bytes: &[u8]) -> Result<Report, NotStrace> {
    let log = log::read(bytes)?;
    Ok(search::explain(&log, false).0)
}

/// Checks a log, and tells what happened in it as a trace, up to where it is not explained. Its one
/// snapshot is of the moment when there were the most sockets.
///
/// # Errors
/// As of [`check`].
pub fn trace(bytes: &[u8], subject: &str) -> Result<(Trace, Report), NotStrace> {
    let log = log::read(bytes)?;
    let (report, journal) = search::explain(&log, true);
    let trace = journal.unwrap_or_default().into_trace(subject, &report);
    Ok((trace, report))
}
