//! The /proc half: which process holds which socket, under which number.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use afunix::snapshot::{Descriptor, Process, Socket};
use procfs::ProcError;
use procfs::process::FDTarget;

use super::DiagError;

/// What /proc tells about the sockets.
pub(super) struct Holders {
    /// The processes that hold any of them, by pid, without threads.
    pub(super) processes: Vec<Process>,
    /// How many files are in flight in a socket's queue, where any are.
    pub(super) in_flight: BTreeMap<u64, u32>,
    /// What could not be seen.
    pub(super) notes: Vec<String>,
}

/// Reads the descriptor tables of all processes.
pub(super) fn read(sockets: &BTreeMap<u64, Socket>) -> Result<Holders, DiagError> {
    let all =
        procfs::process::all_processes().map_err(|error| DiagError::Proc(error.to_string()))?;
    let mut holders =
        Holders { processes: Vec::new(), in_flight: BTreeMap::new(), notes: Vec::new() };
    let mut hidden = BTreeSet::new();
    for process in all {
        // A process that ended since the directory was read.
        let Ok(process) = process else { continue };
        match descriptors(&process, sockets, &mut holders.in_flight) {
            Ok(found) if found.is_empty() => {}
            Ok(descriptors) => {
                let pid = process.pid.unsigned_abs();
                let name = comm(&format!("/proc/{pid}/comm"));
                let uid = process.uid().unwrap_or_default();
                let threads = Vec::new();
                holders.processes.push(Process { pid, name, uid, threads, descriptors });
            }
            Err(ProcError::PermissionDenied(_)) => {
                hidden.insert(process.pid);
            }
            Err(_) => {}
        }
    }
    holders.processes.sort_by_key(|process| process.pid);
    if !hidden.is_empty() {
        let count = hidden.len();
        holders.notes.push(format!(
            "no permission to see the descriptors of {count} processes: sockets that only they \
             hold stand without a process (run as root to see all)"
        ));
    }
    Ok(holders)
}

fn descriptors(
    process: &procfs::process::Process,
    sockets: &BTreeMap<u64, Socket>,
    in_flight: &mut BTreeMap<u64, u32>,
) -> Result<Vec<Descriptor>, ProcError> {
    let mut found = Vec::new();
    // A descriptor that was closed meanwhile is passed over by `flatten`.
    for info in process.fd()?.flatten() {
        let FDTarget::Socket(inode) = info.target else { continue };
        if !sockets.contains_key(&inode) {
            continue;
        }
        let path = format!("/proc/{}/fdinfo/{}", process.pid, info.fd);
        let details = fs::read_to_string(path).unwrap_or_default();
        let flags = field(&details, "flags:").and_then(|octal| i32::from_str_radix(octal, 8).ok());
        let cloexec = flags.is_some_and(|flags| flags & libc::O_CLOEXEC != 0);
        if let Some(files) = field(&details, "scm_fds:").and_then(|count| count.parse().ok())
            && files > 0
        {
            in_flight.insert(inode, files);
        }
        found.push(Descriptor { fd: info.fd, file: inode, cloexec });
    }
    found.sort_by_key(|descriptor| descriptor.fd);
    Ok(found)
}

fn field<'a>(details: &'a str, name: &str) -> Option<&'a str> {
    details.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// The name in a `comm` file, which any program sets for itself to any bytes; `?` if it is gone.
pub(super) fn comm(path: &str) -> String {
    match fs::read(path) {
        Ok(bytes) => {
            let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            String::from_utf8_lossy(bytes).into_owned()
        }
        Err(_) => "?".into(),
    }
}
