//! Who sent what somebody took: each piece of a queue from where it was put in to where it was
//! taken out.

use std::collections::{BTreeMap, VecDeque};

use afunix::trace::{Event, EventKind};

use crate::escape;
use crate::text::errno;

/// Bytes that went from one event to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Index of the [`EventKind::Queued`].
    pub(crate) from: usize,
    /// Index of the [`EventKind::Taken`]; `None` if nobody took them.
    pub(crate) to: Option<usize>,
    pub(crate) bytes: u64,
}

/// The flows of a trace, in the order in which they were taken; those never taken at the end.
///
/// A queue is first in, first out: that is all that is needed to know whose bytes a taking takes.
pub(crate) fn flows(events: &[Event]) -> Vec<Flow> {
    let mut queues: BTreeMap<u64, VecDeque<(usize, u64)>> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, event) in events.iter().enumerate() {
        match event.kind {
            EventKind::Queued { to, bytes, .. } => {
                queues.entry(to).or_default().push_back((index, bytes));
            }
            EventKind::Taken { socket, bytes, .. } => {
                let queue = queues.entry(socket).or_default();
                take(queue, bytes, |from, bytes| {
                    found.push(Flow { from, to: Some(index), bytes });
                });
            }
            EventKind::Freed { socket } => {
                for (from, bytes) in queues.remove(&socket).unwrap_or_default() {
                    found.push(Flow { from, to: None, bytes });
                }
            }
            _ => {}
        }
    }
    for (from, bytes) in queues.into_values().flatten() {
        found.push(Flow { from, to: None, bytes });
    }
    found
}

/// Takes bytes out of a queue: of the first message if it is empty, else as many as there are.
fn take(queue: &mut VecDeque<(usize, u64)>, bytes: u64, mut found: impl FnMut(usize, u64)) {
    let mut left = bytes;
    while let Some((from, of)) = queue.front_mut() {
        let part = left.min(*of);
        // Of a taking of nothing, an empty message is what it took.
        if part == 0 && !(*of == 0 && left == bytes) {
            break;
        }
        found(*from, part);
        left -= part;
        *of -= part;
        if *of > 0 {
            break;
        }
        queue.pop_front();
        if left == 0 {
            break;
        }
    }
}

/// What an event is, in words that are escaped: `recvmsg = -1 EAGAIN`.
pub(crate) fn event_words(kind: &EventKind) -> String {
    match kind {
        EventKind::Started { name } => format!("started {}", escape(name)),
        EventKind::Enter { call, .. } => escape(call),
        EventKind::Exit { call, result } => format!("{} = {}", escape(call), result_words(*result)),
        EventKind::Blocked { on, socket } => match socket {
            Some(socket) => format!("waits: {} (socket {socket})", escape(on)),
            None => format!("waits: {}", escape(on)),
        },
        EventKind::Woken { by: Some(by) } => format!("woken by thread {by}"),
        EventKind::Woken { by: None } => "woken by time or a signal".to_owned(),
        EventKind::Queued { from, to, bytes, files } => {
            format!("socket {from} → {to}: {bytes} bytes{}", files_words(*files))
        }
        EventKind::Taken { socket, bytes, files } => {
            format!("took {bytes} bytes{} of socket {socket}", files_words(*files))
        }
        EventKind::Freed { socket } => format!("socket {socket} freed"),
        EventKind::Fault { what } => format!("fault: {}", escape(what)),
        EventKind::Exited { how } => escape(how),
        EventKind::Printed { line } => format!("printed: {}", escape(line)),
    }
}

pub(crate) fn files_words(files: u32) -> String {
    match files {
        0 => String::new(),
        1 => " and 1 file".to_owned(),
        _ => format!(" and {files} files"),
    }
}

/// `5`, `-1 EAGAIN`.
pub(crate) fn result_words(result: i64) -> String {
    if result < 0 { format!("-1 {}", errno(result.saturating_neg())) } else { result.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(bytes: u64) -> EventKind {
        EventKind::Queued { from: 1, to: 2, bytes, files: 0 }
    }

    fn taken(bytes: u64) -> EventKind {
        EventKind::Taken { socket: 2, bytes, files: 0 }
    }

    fn found(kinds: Vec<EventKind>) -> Vec<(usize, Option<usize>, u64)> {
        let event = |kind| Event { seq: 0, at: 0, process: 1, thread: 1, kind };
        let events: Vec<Event> = kinds.into_iter().map(event).collect();
        flows(&events).into_iter().map(|flow| (flow.from, flow.to, flow.bytes)).collect()
    }

    #[test]
    fn bytes_are_taken_in_the_order_in_which_they_were_sent() {
        let both = found(vec![queued(5), queued(3), taken(6), taken(2)]);
        assert_eq!(both, [(0, Some(2), 5), (1, Some(2), 1), (1, Some(3), 2)]);
        assert_eq!(found(vec![queued(5), taken(2)]), [(0, Some(1), 2), (0, None, 3)]);
        assert_eq!(found(vec![taken(7), queued(1)]), [(1, None, 1)]);
    }

    #[test]
    fn an_empty_message_is_taken_alone() {
        let both = found(vec![queued(0), queued(0), queued(4), taken(0), taken(0), taken(4)]);
        assert_eq!(both, [(0, Some(3), 0), (1, Some(4), 0), (2, Some(5), 4)]);
    }

    #[test]
    fn what_lies_in_a_queue_that_goes_away_is_nobodys() {
        let both = found(vec![queued(4), EventKind::Freed { socket: 2 }, queued(2), taken(2)]);
        assert_eq!(both, [(0, None, 4), (2, Some(3), 2)]);
    }
}
