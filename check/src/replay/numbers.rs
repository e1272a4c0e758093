//! Results and descriptor numbers: what the log says, and what the model made.

use afunix::{Call, Errno, NameOut};

use super::request::Request;
use super::{Behind, Look, Seat, State};
use crate::log::Outcome;
use crate::raw::fd;
use crate::report::Assumed;

/// What the model returned, in words.
pub(super) fn in_words(result: Result<usize, Errno>) -> String {
    match result {
        Ok(value) => format!("returns {value}"),
        Err(errno) => format!("returns {}", errno.name().unwrap_or("an error")),
    }
}

impl State {
    /// Compares a result that is no descriptor.
    pub(super) fn same_result(
        &self,
        look: Look<'_>,
        result: Result<usize, Errno>,
    ) -> Result<(), String> {
        let same = match &look.record.outcome {
            Outcome::Value { value, .. } => result.is_ok_and(|ours| ours as i64 == *value),
            Outcome::Error(errno) => result == Err(*errno),
            Outcome::Interrupted => result == Err(Errno::INTR),
            Outcome::None | Outcome::Unfinished => true,
        };
        if same { Ok(()) } else { Err(in_words(result)) }
    }

    /// Compares a result that is a descriptor, and gives it the log's number.
    pub(super) fn same_descriptor(
        &mut self,
        look: Look<'_>,
        seat: Seat,
        result: Result<usize, Errno>,
    ) -> Result<(), String> {
        match (result, look.record.value()) {
            (Ok(ours), Some(theirs)) => self.renumber(look, seat, ours as i32, theirs),
            _ => self.same_result(look, result),
        }
    }

    /// Gives the descriptor that the model just made the number that it has in the log, if what the
    /// log does not show can account for the difference.
    pub(super) fn renumber(
        &mut self,
        look: Look<'_>,
        seat: Seat,
        ours: i32,
        theirs: i64,
    ) -> Result<(), String> {
        if i64::from(ours) == theirs {
            self.closed.entry(seat.pid).or_default().remove(&ours);
            return Ok(());
        }
        let wrong = format!("returns descriptor {ours}");
        let theirs = i32::try_from(theirs).ok().filter(|theirs| *theirs >= 0).ok_or(&wrong)?;
        if theirs > ours {
            // Numbers that the model finds free are taken in the log: from before it began, or by
            // a call of another thread that fails or ends later.
            let closed = self.closed.entry(seat.pid).or_default();
            let was_closed = (ours..theirs).any(|number| closed.contains(&number));
            let shares = self.seats.values().filter(|other| other.pid == seat.pid).count() > 1;
            if (was_closed && !shares) || theirs - ours > 4096 {
                return Err(wrong);
            }
            self.move_to(seat, ours, theirs)?;
            if !was_closed {
                for number in ours..theirs {
                    if self.behind(seat.tid, number) == Behind::Nothing {
                        self.put_foreign(seat, number, false)?;
                        self.assume(look, Assumed::Numbers);
                    }
                }
            }
            return Ok(());
        }
        if self.behind(seat.tid, theirs) != Behind::Foreign {
            return Err(wrong);
        }
        // It was closed in a way that the log does not show.
        self.move_to(seat, ours, theirs)
    }

    fn move_to(&mut self, seat: Seat, from: i32, to: i32) -> Result<(), String> {
        let flags = if self.is_cloexec(seat.tid, from) { 0o2000000 } else { 0 };
        let call = &mut Call::Dup3 { fd: fd(from), new: fd(to), flags };
        self.call(seat.tid, call)
            .map_err(|errno| format!("cannot give it number {to}: {errno}"))?;
        self.call(seat.tid, &mut Call::Close { fd: fd(from) })
            .map_err(|errno| errno.to_string())?;
        self.closed.entry(seat.pid).or_default().remove(&to);
        Ok(())
    }

    /// Notes which socket of the log the descriptor of a record's result is.
    pub(super) fn learn_made(&mut self, look: Look<'_>, seat: Seat) -> Result<(), String> {
        let Some((number, note)) = look.record.made() else { return Ok(()) };
        self.learn(seat, number, note)
    }

    /// Notes which socket of the log a descriptor is.
    pub(super) fn learn(&mut self, seat: Seat, number: i32, note: &str) -> Result<(), String> {
        if let Some((theirs, _)) = super::facts::sockets_of(note)
            && let Behind::Socket(ours) = self.behind(seat.tid, number)
        {
            let wrong = |other| {
                format!(
                    "descriptor {number} is {other} in the model, and socket {theirs} in the log"
                )
            };
            self.pair(theirs, ours).map_err(wrong)?;
        }
        Ok(())
    }

    /// An accept has ended in the model.
    pub(super) fn accepted(
        &mut self,
        look: Look<'_>,
        seat: Seat,
        request: &Request,
        result: Result<usize, Errno>,
    ) -> Result<(), String> {
        self.same_descriptor(look, seat, result)?;
        if look.record.value().is_some() {
            self.learn_made(look, seat)?;
            self.same_name(look, &request.from, 1)?;
        }
        Ok(())
    }

    /// Compares the name that a call filled, whose buffer and length are arguments `index` and the
    /// next.
    pub(super) fn same_name(
        &mut self,
        look: Look<'_>,
        name: &NameOut,
        index: usize,
    ) -> Result<(), String> {
        let (theirs, len) = (look.record.arg(index), look.record.arg(index + 1));
        let len = len.and_then(|len| len.items()?.first()?.after().number());
        match (theirs, len) {
            (Some(theirs), Some(len)) => self.compare_name(theirs, len, name),
            _ => Ok(()),
        }
    }
}
