//! Names of sockets: as the log prints them, and as bytes.

use afunix::{ADDRESS_MAX, AF_UNIX, Errno, NameOut, NameWant};

use super::{Look, Seat, State};
use crate::log::value::Value;
use crate::names::number;

/// A name that the kernel chose (autobind): five hexadecimal digits in the abstract name space.
fn is_autobound(path: &[u8]) -> bool {
    path.len() == 6 && path[0] == 0 && path[1..].iter().all(u8::is_ascii_hexdigit)
}

/// What is written where a name's buffer stands.
pub(super) fn want(buffer: Option<&Value>, len: Option<&Value>) -> NameWant {
    let len = len.and_then(|len| len.items()?.first()?.before().number());
    match (buffer, len) {
        (Some(buffer), Some(len)) if !buffer.is_null() => {
            NameWant::Buffer { len: i32::try_from(len).unwrap_or(128).min(128) }
        }
        _ => NameWant::Nothing,
    }
}

impl State {
    /// The bytes of a printed name of the given length. `None` if it is no name that can be known.
    pub(super) fn name_bytes(&self, value: &Value, len: Option<i64>) -> Option<Vec<u8>> {
        let value = value.before();
        let family = number(value.field("sa_family")?)?;
        let mut bytes = u16::try_from(family).ok()?.to_ne_bytes().to_vec();
        match value.field("sun_path") {
            Some(Value::Bytes { bytes: path, .. }) => {
                match self.autobound.get(path) {
                    Some(ours) => bytes.extend_from_slice(ours),
                    None => bytes.extend_from_slice(path),
                }
                if path.first() != Some(&0) {
                    bytes.push(0);
                }
            }
            Some(_) => return None,
            None => {}
        }
        if let Some(len) = len {
            let len = usize::try_from(len).ok()?;
            if len > 4096 {
                return None;
            }
            bytes.resize(len, 0);
        }
        Some(bytes)
    }

    /// Compares a name that the model wrote with the printed one.
    pub(super) fn compare_name(
        &mut self,
        theirs: &Value,
        len: i64,
        ours: &NameOut,
    ) -> Result<(), String> {
        let theirs = theirs.after();
        let written = ours.written().get(2..).unwrap_or(&[]);
        let path = match theirs.field("sun_path") {
            Some(Value::Bytes { bytes, .. }) => &bytes[..],
            _ => &[],
        };
        let shown = match written.first() {
            Some(0) | None => written,
            Some(_) => written.split(|byte| *byte == 0).next().unwrap_or(written),
        };
        let fits = path == shown || self.is_same_autobound(path, shown);
        let same_len = ours.reported.is_none_or(|ours| i64::from(ours) == len);
        if !same_len || (theirs.fields().is_some() && !fits) {
            let reported = ours.reported.unwrap_or(0);
            return Err(format!("gives the name {}, of length {reported}", show(shown)));
        }
        Ok(())
    }

    /// Whether both are names that were chosen for the same socket.
    fn is_same_autobound(&mut self, theirs: &[u8], ours: &[u8]) -> bool {
        if !is_autobound(theirs) || !is_autobound(ours) {
            return false;
        }
        match self.autobound.get(theirs) {
            Some(known) => known == ours,
            None => {
                self.autobound.insert(theirs.to_vec(), ours.to_vec());
                true
            }
        }
    }

    /// Whether nothing in the log has this name by then, and yet somebody has, outside of the log.
    pub(super) fn is_others(&mut self, look: Look<'_>, seat: Seat, name: &[u8]) -> bool {
        let path = name.get(2..).unwrap_or(&[]);
        let path = match path.first() {
            Some(0) | None => path,
            Some(_) => path.split(|byte| *byte == 0).next().unwrap_or(path),
        };
        let is_unix = name.first_chunk().is_some_and(|family| {
            i32::from(u16::from_ne_bytes(*family)) == AF_UNIX && name.len() <= ADDRESS_MAX
        });
        let last = look.record.end.unwrap_or(usize::MAX);
        let is_abstract = path.first() == Some(&0);
        let nobody = match look.record.error() {
            Some(Errno::NOENT) => true,
            Some(Errno::CONNREFUSED) => is_abstract,
            _ => false,
        };
        is_unix
            && !nobody
            && !path.is_empty()
            && !self.autobound.values().any(|ours| ours == path)
            && !look.facts.is_bound_before(path, last)
            && (is_abstract || !self.exists(seat, path))
    }
}

/// A path or an abstract name, for people.
fn show(path: &[u8]) -> String {
    match path.strip_prefix(&[0]) {
        Some(name) => format!("@\"{}\"", name.escape_ascii()),
        None => format!("\"{}\"", path.escape_ascii()),
    }
}
