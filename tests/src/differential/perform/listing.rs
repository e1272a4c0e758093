//! What /proc tells of sockets: /proc/net/unix, and fdinfo of those that are open.

use std::collections::BTreeSet;

use afunix::call::{OptionOut, Stat};
use afunix::options::{SO_TYPE, SOL_SOCKET};
use afunix::{Call, Errno, OpenFlags, SegmentMut};

use super::{Answer, FIRST, LOOKED_AT, Result_, Side, Tag};
use crate::raw::fd;

/// Bytes of a line of /proc/net/unix between the address and the inode.
const FIELDS: usize = 35;
const ROOM: usize = 64 << 10;

/// A line of /proc/net/unix.
struct Row<'a> {
    fields: &'a str,
    inode: u64,
    name: &'a str,
}

impl<'a> Row<'a> {
    fn of(line: &'a str) -> Option<Row<'a>> {
        let (_, rest) = line.split_once(": ")?;
        let (fields, rest) = rest.split_at_checked(FIELDS)?;
        let rest = rest.trim_start();
        let (inode, name) = rest.split_once(' ').unwrap_or((rest, ""));
        Some(Row { fields: fields.trim_end(), inode: inode.parse().ok()?, name })
    }

    /// As a socket address, so that it can be told from one that was drawn.
    fn address(&self) -> Vec<u8> {
        let mut address = vec![1, 0];
        address.extend_from_slice(self.name.as_bytes());
        if address.get(2) == Some(&b'@') {
            address[2] = 0;
        }
        address
    }
}

pub(super) fn perform(side: &mut dyn Side, answer: &mut Answer) -> Result_ {
    // Twice: what a read passes over when somebody else's socket goes meanwhile, the other has.
    let mut text = String::new();
    for _ in 0..2 {
        match read_all(side, b"/proc/net/unix")? {
            Ok(read) => text.push_str(&read),
            Err(errno) => return Some(Err(errno)),
        }
    }
    let lines: BTreeSet<&str> = text.lines().collect();
    let rows: Vec<Row<'_>> = lines.into_iter().filter_map(Row::of).collect();
    let mut found = 0;
    for number in FIRST..LOOKED_AT {
        let Some(inode) = inode_of_socket(side, number)? else { continue };
        let details = format!("/proc/self/fdinfo/{number}");
        let details = read_all(side, details.as_bytes())?.unwrap_or_else(|errno| errno.to_string());
        let in_flight = details.lines().find(|line| line.starts_with("scm_fds")).unwrap_or("");
        for row in rows.iter().filter(|row| row.inode == inode) {
            found += 1;
            let text = format!("{number}: {}, {in_flight}", row.fields);
            answer.push(Tag::Data, text.into_bytes());
            answer.push(Tag::Name, [&number.to_ne_bytes()[..], &row.address()].concat());
        }
    }
    // Those that wait to be accepted have a listener's name alone.
    let own = String::from_utf8_lossy(side.prefix()).into_owned();
    let waiting = rows.iter().filter(|row| row.inode == 0 && row.name.contains(&own));
    let mut waiting: Vec<String> =
        waiting.map(|row| format!("{} {}\n", row.fields, row.name)).collect();
    waiting.sort();
    answer.push(Tag::Data, waiting.concat().into_bytes());
    Some(Ok(found))
}

/// The inode of the socket with this number; not one on which a socket is bound.
fn inode_of_socket(side: &mut dyn Side, number: i32) -> Option<Option<u64>> {
    let (fd, mut buffer, mut stat) = (fd(number), [0; 4], Stat::default());
    let value = &mut OptionOut::new(&mut buffer);
    let (level, option) = (SOL_SOCKET, SO_TYPE);
    let is_socket = side.call(&mut Call::Getsockopt { fd, level, option, value })?.is_ok();
    let known = side.call(&mut Call::Fstat { fd, stat: &mut stat })?.is_ok();
    Some((is_socket && known).then_some(stat.ino))
}

/// All of a file; `None` if a call would wait.
fn read_all(side: &mut dyn Side, path: &[u8]) -> Option<Result<String, Errno>> {
    let flags = OpenFlags::CLOEXEC;
    let number = match side.call(&mut Call::Open { path, flags, mode: 0 })? {
        Ok(number) => number as i32,
        Err(errno) => return Some(Err(errno)),
    };
    let (mut text, mut buffer) = (Vec::new(), vec![0; ROOM]);
    loop {
        let data = SegmentMut::Bytes(&mut buffer);
        match side.call(&mut Call::Read { fd: fd(number), data, progress: 0 })? {
            Ok(0) | Err(_) => break,
            Ok(len) => text.extend_from_slice(&buffer[..len]),
        }
    }
    let closed = side.call(&mut Call::Close { fd: fd(number) })?;
    Some(closed.map(|_| String::from_utf8_lossy(&text).into_owned()))
}
