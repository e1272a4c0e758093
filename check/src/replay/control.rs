//! Control data: descriptors and credentials that travel with messages.

use afunix::Ucred;
use afunix::control::{SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET, messages, push_message};
use afunix::{Call, call::Fcntl};

use super::{Behind, Look, Seat, State};
use crate::log::value::Value;
use crate::names::number;
use crate::raw::fd;
use crate::report::Assumed;

/// One printed message of control data.
pub(super) struct Printed<'a> {
    kind: i64,
    data: &'a Value,
}

/// The messages that are printed as `msg_control`. `None` if there is one that cannot be read.
pub(super) fn printed(control: Option<&Value>) -> Option<Vec<Printed<'_>>> {
    let Some(control) = control else { return Some(Vec::new()) };
    let Some(items) = control.after().items() else { return Some(Vec::new()) };
    let one = |item: &'_ Value| -> Option<(i64, i64)> {
        Some((number(item.field("cmsg_level")?)?, number(item.field("cmsg_type")?)?))
    };
    let mut found = Vec::new();
    for item in items {
        let (level, kind) = one(item)?;
        if level != i64::from(SOL_SOCKET) {
            return None;
        }
        found.push(Printed { kind, data: item.field("cmsg_data")? });
    }
    Some(found)
}

/// The numbers, each with what stands behind it, of a message with descriptors.
fn descriptors(data: &Value) -> Option<Vec<(i32, Option<&str>)>> {
    let one = |item: &'_ Value| -> Option<i32> { i32::try_from(item.number()?).ok() };
    data.items()?.iter().map(|item| Some((one(item)?, item.note()))).collect()
}

/// Credentials as printed.
pub(super) fn credentials(data: &Value) -> Option<Ucred> {
    let of = |name| data.field(name)?.number();
    let (uid, gid) = (of("uid")? as u32, of("gid")? as u32);
    Some(Ucred { pid: i32::try_from(of("pid")?).ok()?, uid, gid })
}

impl State {
    /// The bytes of printed control data that is sent. `None` if it cannot be known.
    pub(super) fn control_bytes(&self, control: Option<&Value>) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for message in printed(control)? {
            let data: Vec<u8> = match i32::try_from(message.kind).ok()? {
                SCM_RIGHTS => {
                    let all = descriptors(message.data)?;
                    all.iter().flat_map(|(number, _)| number.to_ne_bytes()).collect()
                }
                SCM_CREDENTIALS => {
                    let mut theirs = credentials(message.data)?;
                    theirs.pid = self.pid_of(theirs.pid)?;
                    theirs.to_bytes().to_vec()
                }
                _ => return None,
            };
            push_message(&mut bytes, SOL_SOCKET, message.kind as i32, &data);
        }
        Some(bytes)
    }

    /// The model's number of a process of the log.
    pub(super) fn pid_of(&self, theirs: i32) -> Option<i32> {
        match theirs {
            0 => Some(0),
            _ => self.seats.values().find(|seat| seat.leader == theirs).map(|seat| seat.pid.0),
        }
    }

    /// Compares received control data with the printed one, and gives the descriptors in it the
    /// log's numbers.
    pub(super) fn same_control(
        &mut self,
        look: Look<'_>,
        seat: Seat,
        theirs: Option<&Value>,
        ours: &[u8],
    ) -> Result<(), String> {
        let Some(theirs) = printed(theirs) else { return Ok(()) };
        let ours: Vec<_> = messages(ours).map_while(Result::ok).collect();
        let known = |kind: i64| kind == i64::from(SCM_RIGHTS) || kind == i64::from(SCM_CREDENTIALS);
        let theirs: Vec<_> = theirs.into_iter().filter(|message| known(message.kind)).collect();
        let ours: Vec<_> = ours.into_iter().filter(|message| known(message.kind.into())).collect();
        let kinds = |all: &[i64]| format!("gives {} messages of control data", all.len());
        let (expected, given): (Vec<i64>, Vec<i64>) = (
            theirs.iter().map(|message| message.kind).collect(),
            ours.iter().map(|message| message.kind.into()).collect(),
        );
        if expected != given {
            return Err(kinds(&given));
        }
        for (theirs, ours) in theirs.iter().zip(&ours) {
            if ours.kind == SCM_CREDENTIALS {
                self.same_credentials(look, theirs.data, Ucred::from_bytes(ours.data))?;
                continue;
            }
            let numbers: Vec<i32> = ours.numbers().collect();
            let Some(expected) = descriptors(theirs.data) else { continue };
            if numbers.len() != expected.len() {
                return Err(format!("gives {} descriptors", numbers.len()));
            }
            self.renumber_all(look, seat, &numbers, &expected)?;
        }
        Ok(())
    }

    /// Gives descriptors that came together the log's numbers.
    fn renumber_all(
        &mut self,
        look: Look<'_>,
        seat: Seat,
        ours: &[i32],
        theirs: &[(i32, Option<&str>)],
    ) -> Result<(), String> {
        // From the last one on: numbers are given upwards.
        for (ours, (theirs, _)) in ours.iter().zip(theirs).rev() {
            self.renumber(look, seat, *ours, i64::from(*theirs))?;
        }
        for (number, note) in theirs {
            let Some(note) = note else { continue };
            let is_socket = super::facts::sockets_of(note).is_some();
            match self.behind(seat.tid, *number) {
                Behind::Socket(_) if is_socket => self.learn(seat, *number, note)?,
                Behind::Socket(_) => return Err(format!("passes a socket as descriptor {number}")),
                _ => {}
            }
        }
        Ok(())
    }

    /// Compares credentials; those of processes outside the log cannot be known.
    pub(super) fn same_credentials(
        &mut self,
        look: Look<'_>,
        theirs: &Value,
        ours: Option<Ucred>,
    ) -> Result<(), String> {
        let (Some(theirs), Some(ours)) = (credentials(theirs), ours) else { return Ok(()) };
        let Some(pid) = self.pid_of(theirs.pid) else {
            let gone = !look.facts.has_thread(theirs.pid);
            if gone && self.seats.values().all(|seat| seat.pid.0 != ours.pid) {
                return Ok(());
            }
            return match look.facts.has_thread(theirs.pid) {
                true => Ok(()),
                false => Err(self.show_credentials(ours)),
            };
        };
        if (pid, theirs.uid, theirs.gid) == (ours.pid, ours.uid, ours.gid) {
            Ok(())
        } else {
            Err(self.show_credentials(ours))
        }
    }

    fn show_credentials(&self, ours: Ucred) -> String {
        let process = self.seats.values().find(|seat| seat.pid.0 == ours.pid);
        let pid =
            process.map_or("another process".into(), |seat| format!("process {}", seat.leader));
        format!("gives the credentials of {pid}, uid {}, gid {}", ours.uid, ours.gid)
    }

    /// What a socket sends that others can reach: they can reach the sockets in it, too.
    pub(super) fn share_sent(&mut self, look: Look<'_>, seat: Seat, control: Option<&Value>) {
        let Some(all) = printed(control) else { return };
        let numbers = all.iter().filter_map(|message| descriptors(message.data)).flatten();
        let numbers: Vec<i32> = numbers.map(|(number, _)| number).collect();
        for number in numbers {
            self.share(look, seat, number);
        }
    }

    /// Others can reach the socket behind a number from now on.
    pub(super) fn share(&mut self, look: Look<'_>, seat: Seat, number: i32) {
        if let Some(ours) = self.ours(seat.tid, number) {
            let sockets = self.machine.snapshot(self.now).sockets;
            let peer =
                sockets.iter().find(|socket| socket.id == ours).and_then(|socket| socket.peer);
            self.outside.insert(ours);
            self.outside.extend(peer);
            self.assume(look, Assumed::Shared);
        }
    }

    /// Takes the descriptors that came from outside.
    pub(super) fn take_foreign(
        &mut self,
        seat: Seat,
        control: Option<&Value>,
        cloexec: bool,
    ) -> Result<(), String> {
        let Some(all) = printed(control) else { return Ok(()) };
        for message in all.iter().filter(|message| message.kind == i64::from(SCM_RIGHTS)) {
            for (number, _) in descriptors(message.data).unwrap_or_default() {
                self.put_foreign(seat, number, cloexec)?;
            }
        }
        Ok(())
    }

    /// Sets or clears close-on-exec.
    pub(super) fn set_cloexec(&mut self, seat: Seat, number: i32, on: bool) {
        let command = Fcntl::Setfd(i32::from(on));
        // A number that the model does not know needs no flag.
        let _ = self.call(seat.tid, &mut Call::Fcntl { fd: fd(number), command });
    }
}
