//! Socket files of the file system: what is found beside the paths that sockets are bound to.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use afunix::snapshot::{Socket, SocketFile};

/// Entries of a directory that are looked at: one with more is no place for sockets.
const MOST_ENTRIES: usize = 10_000;

/// The socket files in the directories of bound sockets, by path. Directories that may not be read
/// are passed over. A path that is relative, or seen from another root directory, cannot be found.
pub(super) fn beside(sockets: &[Socket]) -> Vec<SocketFile> {
    let names = sockets.iter().filter_map(|socket| socket.name.as_deref());
    let directories: BTreeSet<&Path> = names
        .filter(|name| name.starts_with('/'))
        .filter_map(|name| Path::new(name).parent())
        .collect();
    let mut found = Vec::new();
    for directory in directories {
        let Ok(entries) = fs::read_dir(directory) else { continue };
        for entry in entries.flatten().take(MOST_ENTRIES) {
            let is_socket = entry.file_type().is_ok_and(|kind| kind.is_socket());
            // It may go away between the two.
            let Some(metadata) = is_socket.then(|| entry.metadata().ok()).flatten() else {
                continue;
            };
            let path = entry.path().to_string_lossy().into_owned();
            found.push(SocketFile { path, inode: (metadata.dev(), metadata.ino()) });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}
