//! The kernel that runs here, as a profile: what of it is not the profile's is a *deviation*, which
//! is modelled where that can be done, and named.

use afunix::Errno;
use afunix_kernel_backend::Kernel;
use afunix_model::profile::{Bugs, Profile};

use crate::calls::*;

/// What a run has to know of the kernel.
#[derive(Clone, Debug)]
pub(super) struct Here {
    /// The profile, with the kernel's own numbers.
    pub(super) profile: Profile,
    /// Options that the kernel does not know: programs leave them alone.
    pub(super) lacks: Vec<i32>,
    /// Every deviation, in words.
    pub(super) deviations: Vec<String>,
}

impl Here {
    /// Reads the system's settings and tries what versions of Linux differ in.
    pub(super) fn look(profile: Profile) -> Here {
        let mut here = Here { profile, lacks: Vec::new(), deviations: Vec::new() };
        here.read_settings();
        if let Some((stream, peer)) = try_pair() {
            here.try_options(stream);
            here.try_discarded_mark(stream, peer);
            here.try_charge(stream, peer);
            let _ = (close(&Kernel, stream), close(&Kernel, peer));
        }
        here
    }

    fn read_settings(&mut self) {
        let profile = &mut self.profile;
        let settings = [
            ("core/wmem_default", &mut profile.wmem_default),
            ("core/wmem_max", &mut profile.wmem_max),
            ("core/rmem_default", &mut profile.rmem_default),
            ("core/rmem_max", &mut profile.rmem_max),
            ("core/somaxconn", &mut profile.somaxconn),
            ("core/optmem_max", &mut profile.optmem_max),
            ("unix/max_dgram_qlen", &mut profile.max_dgram_qlen),
        ];
        for (name, value) in settings {
            // Another network namespace than the first does not show all of them.
            let text = std::fs::read_to_string(format!("/proc/sys/net/{name}"));
            let Some(found) = text.ok().and_then(|text| text.trim().parse::<u32>().ok()) else {
                continue;
            };
            if found != *value {
                let setting = name.replace('/', ".");
                let text = format!("net.{setting} is {found}, not {value}: modelled");
                self.deviations.push(text);
                *value = found;
            }
        }
    }

    fn try_options(&mut self, stream: i32) {
        for option in [SO_PASSRIGHTS, SO_PASSPIDFD, SO_INQ, SO_RCVPRIORITY] {
            // SO_INQ cannot be read (RCMSG 8), the others can be set to what they are.
            let value = i32::from(option == SO_PASSRIGHTS);
            if set_int(&Kernel, stream, option, value) == Err(Errno::NOPROTOOPT) {
                let name = option_name(option).unwrap_or("an option");
                self.deviations.push(format!("{name} is not known: left alone"));
                self.lacks.push(option);
            }
        }
        let micro = [0i64.to_ne_bytes(), 1i64.to_ne_bytes()].concat();
        let set = setsockopt(&Kernel, stream, SO_RCVTIMEO, &micro);
        let tick = set.and_then(|_| getsockopt(&Kernel, stream, SO_RCVTIMEO, 16));
        let tick = tick.ok().and_then(|bytes| bytes[8..].first_chunk::<8>().copied());
        let Some(micros) = tick.map(u64::from_ne_bytes) else { return };
        let tick = std::time::Duration::from_micros(micros);
        if tick != self.profile.tick {
            let text = format!("a tick is {tick:?}, not {:?}: modelled", self.profile.tick);
            self.deviations.push(text);
            self.profile.tick = tick;
        }
    }

    /// OOB 9: whether a discarded out-of-band byte stays counted.
    fn try_discarded_mark(&mut self, stream: i32, peer: i32) {
        let sent = send(&Kernel, stream, b"x", OOB);
        let lost = recv(&Kernel, peer, 1, DONTWAIT);
        let (Ok(_), Err(Errno::AGAIN), Ok(left)) = (sent, lost, inq(&Kernel, peer)) else {
            self.deviations.push("out-of-band data is not supported: not modelled".into());
            return;
        };
        if self.profile.bugs.contains(Bugs::DISCARDED_OOB_STAYS_COUNTED) != (left == 1) {
            let text = "OOB 9: a discarded out-of-band byte is counted right here: modelled";
            self.deviations.push(text.into());
            self.profile.bugs.toggle(Bugs::DISCARDED_OOB_STAYS_COUNTED);
        }
    }

    /// MEM 2: what a buffer of one byte is charged.
    fn try_charge(&mut self, stream: i32, peer: i32) {
        let _ = send(&Kernel, stream, b"x", DONTWAIT);
        let charged = outq(&Kernel, stream);
        let _ = recv(&Kernel, peer, 1, DONTWAIT);
        let memory = self.profile.memory;
        let expected = (memory.buffer + memory.least) as i32;
        if charged != Ok(expected) {
            let text = format!("a byte is charged {charged:?}, not {expected}: not modelled");
            self.deviations.push(text);
        }
    }
}

fn try_pair() -> Option<(i32, i32)> {
    let mut fds = [-1; 2];
    socketpair(&Kernel, STREAM | NONBLOCK | CLOEXEC, 0, &mut fds).ok()?;
    Some((fds[0], fds[1]))
}
