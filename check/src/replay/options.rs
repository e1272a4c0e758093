//! getsockopt and setsockopt.

use afunix::call::OptionOut;
use afunix::options::*;
use afunix::{Call, Errno, Ucred};

use super::{Attempt, Look, Seat, State};
use crate::log::value::Value;
use crate::names::number;
use crate::raw::fd;
use crate::report::Assumed;

impl State {
    pub(super) fn get_option(&mut self, look: Look<'_>, seat: Seat, fd_number: i32) -> Attempt {
        let record = look.record;
        let of = |index: usize| record.arg(index).and_then(number).map(|number| number as i32);
        let (Some(level), Some(option)) = (of(1), of(2)) else { return Attempt::Explained };
        if makes_pidfd(option) {
            return self.foreign_result(look, seat);
        }
        let len = record.arg(4).and_then(|len| len.items()?.first()?.before().number());
        let mut buffer = vec![0; len.unwrap_or(64).clamp(0, 4096) as usize];
        let mut value = OptionOut::new(&mut buffer);
        let mut call = Call::Getsockopt { fd: fd(fd_number), level, option, value: &mut value };
        let result = self.call(seat.tid, &mut call);
        let written = usize::try_from(value.len).unwrap_or(0).min(buffer.len());
        if is_of_modules(option) {
            return Attempt::Explained;
        }
        if let Err(what) = self.same_result(look, result) {
            return Attempt::Differs(what);
        }
        if result.is_ok()
            && let Some(theirs) = record.arg(3)
            && let Err(what) = self.same_option(look, option, theirs.after(), &buffer[..written])
        {
            return Attempt::Differs(what);
        }
        self.explained += 1;
        Attempt::Explained
    }

    fn same_option(
        &mut self,
        look: Look<'_>,
        option: i32,
        theirs: &Value,
        ours: &[u8],
    ) -> Result<(), String> {
        if option == SO_PEERCRED {
            return self.same_credentials(look, theirs, Ucred::from_bytes(ours));
        }
        if let Some(bytes) = option_bytes(theirs)
            && let (Some(theirs), Some(ours)) = (word(&bytes), word(ours))
            && theirs != ours
            && !depends_on_machine(option)
        {
            return Err(format!("gives {ours}"));
        }
        Ok(())
    }

    pub(super) fn set_option(&mut self, look: Look<'_>, seat: Seat, fd_number: i32) -> Attempt {
        let record = look.record;
        let of = |index: usize| record.arg(index).and_then(number).map(|number| number as i32);
        let (Some(level), Some(option)) = (of(1), of(2)) else { return Attempt::Explained };
        let Some(mut value) = record.arg(3).and_then(option_bytes) else {
            return Attempt::Explained;
        };
        let Some(len) = record.number(4).and_then(|len| usize::try_from(len).ok()) else {
            return Attempt::Explained;
        };
        value.resize(len.min(4096), 0);
        let mut call = Call::Setsockopt { fd: fd(fd_number), level, option, value: &value };
        let result = self.call(seat.tid, &mut call);
        if (record.error(), result) == (Some(Errno::PERM), Ok(0)) {
            // The superuser of a container may lack a capability.
            self.assume(look, Assumed::Limits);
            return Attempt::Explained;
        }
        self.told(look, result)
    }

    /// A call whose descriptor stands in its arguments, and is no socket.
    fn foreign_result(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let made = look.record.arg(3).and_then(|value| value.items()?.first()?.after().number());
        match made.filter(|_| look.record.value().is_some()) {
            Some(made) => self.put_foreign(seat, made as i32, true).into(),
            None => Attempt::Explained,
        }
    }
}

fn makes_pidfd(option: i32) -> bool {
    option == SO_PEERPIDFD
}

/// SO_PEERSEC: what the security module of the machine says.
fn is_of_modules(option: i32) -> bool {
    option == 31 || option == SO_PEERPIDFD
}

/// Values that the machine's settings decide, or that no two sockets share.
fn depends_on_machine(option: i32) -> bool {
    matches!(option, SO_COOKIE | SO_INCOMING_CPU | SO_NETNS_COOKIE | SO_MEMINFO)
}

/// A printed option as bytes: `[1]`, `{tv_sec=1, tv_usec=0}`, `{onoff=1, linger=2}`, a string.
fn option_bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Array(items) => {
            let words = items.iter().map(|item| Some((number(item)? as i32).to_ne_bytes()));
            Some(words.collect::<Option<Vec<_>>>()?.concat())
        }
        Value::Struct(fields) if fields.iter().any(|field| field.name == "tv_sec") => {
            let part = |name| value.field(name).and_then(number);
            let small = part("tv_usec").or_else(|| part("tv_nsec"))?;
            Some([part("tv_sec")?.to_ne_bytes(), small.to_ne_bytes()].concat())
        }
        Value::Struct(_) => {
            let part = |name| value.field(name).and_then(number).map(|part| part as i32);
            let (on, time) =
                (part("l_onoff").or(part("onoff"))?, part("l_linger").or(part("linger"))?);
            Some([on.to_ne_bytes(), time.to_ne_bytes()].concat())
        }
        Value::Bytes { bytes, cut: false } => Some(bytes.clone()),
        _ => None,
    }
}

fn word(bytes: &[u8]) -> Option<i32> {
    bytes.first_chunk().map(|word| i32::from_ne_bytes(*word))
}
