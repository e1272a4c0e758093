//! Answers: what came of a step, as fields of bytes that travel between processes.

use afunix::Errno;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Tag {
    /// The return value or the negated errno, 8 bytes.
    Result = 1,
    /// Bytes received.
    Data,
    /// The reported length of a name in 4 bytes (-1: untouched), and the bytes written.
    Name,
    /// `msg_controllen` in 4 bytes, and the bytes.
    Control,
    /// `msg_flags`.
    Flags,
    /// Both numbers of a socketpair.
    Pair,
    /// An option's value.
    Value,
    /// A number filled by ioctl.
    Number,
    /// The length of each message of many, 8 bytes each.
    Lengths,
    /// The names in a directory, sorted, each with its type in 4 bytes and a NUL.
    Entries,
    /// Mode, links, owner, group, size.
    Stat,
    /// Masks of poll.
    Events,
    /// A process id.
    Pid,
    /// Signals that the process has handled, one byte each, sorted.
    Signals,
    /// Of every open descriptor after the step: number, readiness, SIOCINQ, SIOCOUTQ.
    After,
}

const TAGS: [Tag; 15] = [
    Tag::Result,
    Tag::Data,
    Tag::Name,
    Tag::Control,
    Tag::Flags,
    Tag::Pair,
    Tag::Value,
    Tag::Number,
    Tag::Lengths,
    Tag::Entries,
    Tag::Stat,
    Tag::Events,
    Tag::Pid,
    Tag::Signals,
    Tag::After,
];

/// Everything that came of a step, in order; the result stands first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) fields: Vec<(Tag, Vec<u8>)>,
}

impl Answer {
    pub(super) fn push(&mut self, tag: Tag, bytes: Vec<u8>) {
        self.fields.push((tag, bytes));
    }

    /// Adds the signals that the process has handled, if there are any.
    pub(super) fn push_signals(&mut self, mut signals: Vec<i32>) {
        signals.sort_unstable();
        if !signals.is_empty() {
            self.push(Tag::Signals, signals.into_iter().map(|signal| signal as u8).collect());
        }
    }

    pub(super) fn set_result(&mut self, result: Result<usize, Errno>) {
        let number = match result {
            Ok(value) => value as i64,
            Err(errno) => -i64::from(errno.raw()),
        };
        self.fields.insert(0, (Tag::Result, number.to_ne_bytes().to_vec()));
    }

    /// The call's return value.
    pub(super) fn result(&self) -> Result<usize, Errno> {
        let bytes = self.field(Tag::Result).expect("every answer has a result");
        let number = i64::from_ne_bytes(bytes.try_into().expect("a result has 8 bytes"));
        match Errno::from_raw(-number.max(-4096) as i32) {
            Some(errno) if number < 0 => Err(errno),
            _ => Ok(number as usize),
        }
    }

    pub(super) fn field(&self, tag: Tag) -> Option<&[u8]> {
        let found = self.fields.iter().find(|(of, _)| *of == tag)?;
        Some(&found.1)
    }

    /// All fields with this tag.
    pub(super) fn all(&self, tag: Tag) -> impl Iterator<Item = &[u8]> {
        let found = self.fields.iter().filter(move |(of, _)| *of == tag);
        found.map(|(_, bytes)| &bytes[..])
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        for (tag, field) in &self.fields {
            bytes.push(*tag as u8);
            bytes.extend_from_slice(&(field.len() as u32).to_ne_bytes());
            bytes.extend_from_slice(field);
        }
    }

    /// # Panics
    /// If the bytes are not of `encode`.
    pub(super) fn decode(bytes: &[u8]) -> Answer {
        let (mut answer, mut rest) = (Answer::default(), bytes);
        while let Some((tag, after)) = rest.split_first() {
            let tag = TAGS[usize::from(*tag) - 1];
            let (len, after) = after.split_first_chunk::<4>().expect("a length");
            let (field, after) = after.split_at(u32::from_ne_bytes(*len) as usize);
            answer.push(tag, field.to_vec());
            rest = after;
        }
        answer
    }
}
