//! Calls about signals, and who gets those of a file.

use afunix::call::Fcntl;
use afunix::options::{FIOGETOWN, FIOSETOWN, SIOCGPGRP, SIOCSPGRP};
use afunix::{Call, Pid, SaFlags, SigSet, Sigaction};

use super::{Answer, Result_, Side, Tag};
use crate::differential::program::{OwnerBy, SignalCall};
use crate::raw::fd;

/// The signals that a program's processes handle, if no call of theirs waits: SIGPIPE, SIGURG,
/// SIGIO, and one of which each that is sent is handled. What is handled is compared.
pub(in super::super) const HEARD: [i32; 4] = [13, 23, 29, 40];
/// No process has it.
const NOBODY: i32 = i32::MAX;

pub(super) fn perform(side: &mut dyn Side, call: &SignalCall, answer: &mut Answer) -> Result_ {
    match call {
        SignalCall::Own { fd: slot, by, owner } => {
            let fd = fd(side.number(*slot));
            let mut value = owner.map_or_else(|number| number, |process| side.pid(process));
            let request = match by {
                OwnerBy::Fcntl => {
                    return side.call(&mut Call::Fcntl { fd, command: Fcntl::Setown(value) });
                }
                OwnerBy::File => FIOSETOWN,
                OwnerBy::Socket => SIOCSPGRP,
            };
            side.call(&mut Call::Ioctl { fd, request, value: &mut value })
        }
        SignalCall::Owner { fd: slot, by } => {
            let (fd, mut value) = (fd(side.number(*slot)), 0);
            let request = match by {
                OwnerBy::Fcntl => {
                    let result = side.call(&mut Call::Fcntl { fd, command: Fcntl::Getown })?;
                    let owner = result.map_or(0, |owner| owner as i32);
                    answer.push(Tag::Pid, owner.to_ne_bytes().to_vec());
                    return Some(result.map(|_| 0));
                }
                OwnerBy::File => FIOGETOWN,
                OwnerBy::Socket => SIOCGPGRP,
            };
            let result = side.call(&mut Call::Ioctl { fd, request, value: &mut value })?;
            answer.push(Tag::Pid, value.to_ne_bytes().to_vec());
            Some(result)
        }
        SignalCall::Kill { process, signal } => {
            // 0 would be everybody who runs with us.
            let pid = Pid(Some(side.pid(*process)).filter(|pid| *pid > 0).unwrap_or(NOBODY));
            side.call(&mut Call::Kill { pid, signal: *signal })
        }
        SignalCall::Action { signal, handler, flags } => {
            let (signal, flags) = (*signal, SaFlags::from_bits_retain(*flags));
            let (new, mut old) =
                (handler.map(|handler| Sigaction { handler, flags }), Sigaction::default());
            let result = side.call(&mut Call::Sigaction { signal, new, old: &mut old })?;
            let old = [old.handler as u32, old.flags.bits()];
            answer.push(Tag::Number, old.map(u32::to_ne_bytes).concat());
            Some(result)
        }
        SignalCall::Mask { how, signals } => {
            let (set, mut old) = (Some(SigSet::of(signals)), SigSet::EMPTY);
            let result = side.call(&mut Call::Sigprocmask { how: *how, set, old: &mut old })?;
            answer.push(Tag::Number, old.0.to_ne_bytes().to_vec());
            Some(result)
        }
    }
}
