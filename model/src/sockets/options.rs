//! Options of SOL_SOCKET (OPT).

use std::time::Duration;

use afunix::call::OptionOut;
use afunix::options::*;
use afunix::{AF_UNIX, Capabilities, Errno, SocketType, Ucred};

use super::socket::{Flags, State};
use super::{Caller, Part, SocketKey, Sockets, Touch, filter, stored};
use crate::profile::Planted;
use crate::wait::Tickets;

/// Bytes of `struct timeval`.
const TIMEVAL: usize = 16;
/// The most that a buffer can be forced to.
const BUFFER_MAX: u32 = i32::MAX as u32 / 2;

/// What filters can do, as a number.
const BPF_EXTENSIONS: i32 = 64;

/// The switch of an option that is on or off.
fn switch(option: i32) -> Option<Flags> {
    Some(match option {
        SO_PASSCRED => Flags::PASSCRED,
        SO_PASSPIDFD => Flags::PASSPIDFD,
        SO_PASSSEC => Flags::PASSSEC,
        SO_PASSRIGHTS => Flags::PASSRIGHTS,
        SO_OOBINLINE => Flags::OOBINLINE,
        SO_REUSEADDR => Flags::REUSEADDR,
        SO_KEEPALIVE => Flags::KEEPALIVE,
        _ => return None,
    })
}

fn first_word(value: &[u8]) -> Option<i32> {
    value.first_chunk::<4>().map(|bytes| i32::from_ne_bytes(*bytes))
}

/// Writes as much of an option's value as was asked for (OPT 1).
pub(crate) fn put(value: &mut OptionOut<'_>, bytes: &[u8]) -> Result<(), Errno> {
    let asked = usize::try_from(value.len).map_err(|_| Errno::INVAL)?;
    let len = asked.min(bytes.len());
    value.buffer[..len].copy_from_slice(&bytes[..len]);
    value.len = len as i32;
    Ok(())
}

impl Sockets {
    /// The process that SO_PEERPIDFD is about, if SO_PEERCRED knows one.
    pub fn peer_pid(&mut self, key: SocketKey) -> Option<i32> {
        self.watch.touch(Part::State(key), Touch::Read);
        Some(self.own(key).peer_credentials?.pid)
    }

    /// getsockopt(2): EOPNOTSUPP for another level, ENOPROTOOPT, EINVAL for a negative length.
    /// ENODATA, ERANGE for SO_PEERGROUPS. SO_PEERPIDFD makes a descriptor, so it is the caller's.
    pub fn getsockopt(
        &mut self,
        key: SocketKey,
        level: i32,
        option: i32,
        value: &mut OptionOut<'_>,
    ) -> Result<(), Errno> {
        self.watch.touch(Part::State(key), Touch::Read);
        if level != SOL_SOCKET {
            return Err(Errno::OPNOTSUPP);
        }
        if value.len < 0 {
            return Err(Errno::INVAL);
        }
        let keeps_error = self.profile.planted.contains(Planted::SO_ERROR_STAYS);
        let socket = self.own(key);
        if let Some(switch) = switch(option) {
            return put(value, &i32::from(socket.flags.contains(switch)).to_ne_bytes());
        }
        let word = match option {
            SO_TYPE => socket.kind.raw(),
            SO_DOMAIN => AF_UNIX,
            // CREATE 2.
            SO_PROTOCOL => 0,
            SO_ERROR => {
                let error = socket.error.map_or(0, Errno::raw);
                if !keeps_error {
                    socket.error = None;
                }
                self.watch.touch(Part::State(key), Touch::Write);
                error
            }
            SO_SNDBUF => socket.send_buffer as i32,
            SO_RCVBUF => socket.receive_buffer as i32,
            SO_RCVLOWAT => socket.receive_low as i32,
            SO_SNDLOWAT => 1,
            SO_PEEK_OFF => socket.peek_offset,
            SO_ACCEPTCONN => i32::from(socket.state == State::Listening),
            SO_REUSEPORT | SO_BSDCOMPAT | SO_ZEROCOPY | SO_INCOMING_NAPI_ID | SO_RESERVE_MEM => 0,
            SO_BPF_EXTENSIONS => BPF_EXTENSIONS,
            _ => return self.get_long(key, option, value),
        };
        put(value, &word.to_ne_bytes())
    }

    /// Options that are no word.
    fn get_long(
        &mut self,
        key: SocketKey,
        option: i32,
        value: &mut OptionOut<'_>,
    ) -> Result<(), Errno> {
        let socket = &self.table[key];
        match option {
            SO_PEERCRED => {
                let none = Ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
                put(value, &socket.peer_credentials.unwrap_or(none).to_bytes())
            }
            SO_PEERGROUPS => {
                socket.peer_credentials.ok_or(Errno::NODATA)?;
                let groups = socket.rare.as_ref().map_or(&[][..], |rare| &rare.peer_groups);
                // OPT 11: the kernel keeps them sorted.
                let mut groups = groups.to_vec();
                groups.sort_unstable();
                let bytes: Vec<u8> = groups.iter().flat_map(|group| group.to_ne_bytes()).collect();
                if (value.len as usize) < bytes.len() {
                    value.len = bytes.len() as i32;
                    return Err(Errno::RANGE);
                }
                put(value, &bytes)
            }
            SO_LINGER => {
                let (on, seconds) = socket.rare.as_ref().map_or((0, 0), |rare| rare.linger);
                put(value, &[on.to_ne_bytes(), seconds.to_ne_bytes()].concat())
            }
            SO_RCVTIMEO | SO_RCVTIMEO_NEW => put(value, &timeval(socket.receive_timeout())),
            SO_SNDTIMEO | SO_SNDTIMEO_NEW => put(value, &timeval(socket.send_timeout())),
            SO_PEERNAME => {
                let peer = socket.peer.ok_or(Errno::NOTCONN)?;
                let mut name = (AF_UNIX as u16).to_ne_bytes().to_vec();
                name.extend_from_slice(self.path_of(peer).unwrap_or(&[]));
                // OPT 3.
                if value.len as usize > name.len() {
                    return Err(Errno::INVAL);
                }
                put(value, &name)
            }
            SO_COOKIE if value.len < 8 => Err(Errno::INVAL),
            SO_COOKIE => put(value, &socket.id.to_ne_bytes()),
            SO_NETNS_COOKIE if value.len != 8 => Err(Errno::INVAL),
            SO_NETNS_COOKIE => put(value, &u64::from(socket.netns + 1).to_ne_bytes()),
            SO_MEMINFO => {
                // OPT 12: rmem_alloc, rcvbuf, wmem_alloc, sndbuf, and after two of other families
                // what a filter takes.
                let (input, output) = (socket.receive_buffer, socket.send_buffer);
                let filter = socket.filter_charge();
                let counts = [0, input, socket.send_memory, output, 0, 0, filter];
                let mut bytes = [0; 9 * 4];
                for (place, count) in bytes.chunks_exact_mut(4).zip(counts) {
                    place.copy_from_slice(&count.to_ne_bytes());
                }
                put(value, &bytes)
            }
            _ => stored::get(socket.rare.as_deref(), option, value),
        }
    }

    /// setsockopt(2): EOPNOTSUPP for another level and for what no Unix socket has, ENOPROTOOPT,
    /// EINVAL for less than a word, EPERM, EDOM.
    pub fn setsockopt(
        &mut self,
        tickets: &mut Tickets,
        caller: &Caller<'_>,
        key: SocketKey,
        level: i32,
        option: i32,
        value: &[u8],
    ) -> Result<(), Errno> {
        self.watch.touch(Part::State(key), Touch::Write);
        if level != SOL_SOCKET {
            return Err(Errno::OPNOTSUPP);
        }
        let optmem_max = self.profile.optmem_max;
        let socket = self.own(key);
        if option == SO_INQ && socket.kind == SocketType::Stream {
            // RCMSG 8.
            let word = <[u8; 4]>::try_from(value).map_err(|_| Errno::INVAL)?;
            return match i32::from_ne_bytes(word) {
                on @ (0 | 1) => {
                    socket.flags.set(Flags::INQ, on == 1);
                    Ok(())
                }
                _ => Err(Errno::INVAL),
            };
        }
        if option == SO_BINDTODEVICE {
            // The one option that takes less than a word.
            return stored::bind_to_device(socket, caller.capabilities, value);
        }
        if option == SO_ATTACH_FILTER {
            return filter::attach(socket, optmem_max, value);
        }
        let word = first_word(value).ok_or(Errno::INVAL)?;
        if let Some(switch) = switch(option) {
            socket.flags.set(switch, word != 0);
            return Ok(());
        }
        match option {
            SO_RCVLOWAT => {
                // SRECV 19.
                socket.receive_low = match word {
                    0 => 1,
                    negative if negative < 0 => i32::MAX as u32,
                    bytes => bytes as u32,
                };
            }
            SO_PEEK_OFF => socket.peek_offset = word,
            SO_REUSEPORT if word != 0 => return Err(Errno::OPNOTSUPP),
            SO_REUSEPORT => {}
            SO_LINGER => {
                let seconds = value.get(4..).and_then(first_word).ok_or(Errno::INVAL)?;
                let linger = &mut socket.rare_mut().linger;
                *linger = if word == 0 { (0, linger.1) } else { (1, seconds) };
            }
            SO_RCVTIMEO | SO_SNDTIMEO | SO_RCVTIMEO_NEW | SO_SNDTIMEO_NEW => {
                return self.set_timeout(key, option, value);
            }
            SO_SNDBUF | SO_RCVBUF | SO_SNDBUFFORCE | SO_RCVBUFFORCE => {
                return self.set_buffer(tickets, caller, key, option, word);
            }
            _ => return stored::set(socket, caller.capabilities, option, word, value),
        }
        Ok(())
    }

    /// MEM 9.
    fn set_buffer(
        &mut self,
        tickets: &mut Tickets,
        caller: &Caller<'_>,
        key: SocketKey,
        option: i32,
        value: i32,
    ) -> Result<(), Errno> {
        let forced = matches!(option, SO_SNDBUFFORCE | SO_RCVBUFFORCE);
        if forced && !caller.has(Capabilities::NET_ADMIN) {
            return Err(Errno::PERM);
        }
        let sends = matches!(option, SO_SNDBUF | SO_SNDBUFFORCE);
        let profile = &self.profile;
        let (most, least) = match sends {
            true => (profile.wmem_max, profile.sndbuf_min),
            false => (profile.rmem_max, profile.rcvbuf_min),
        };
        let bytes = if forced { value.max(0) as u32 } else { (value as u32).min(most) };
        let bytes = (bytes.min(BUFFER_MAX) * 2).max(least);
        let socket = self.own(key);
        let by_hand = if sends { 1 } else { 2 };
        stored::lock_buffer(socket, by_hand);
        if !sends {
            socket.receive_buffer = bytes;
            return Ok(());
        }
        socket.send_buffer = bytes;
        self.watch.touch(Part::SendMemory(key), Touch::Write);
        if self.own(key).is_writable(Planted::empty()) {
            self.wake_writable(tickets, key);
            self.alert_room(key);
        }
        Ok(())
    }

    /// OPT 10: rounded up to the tick; zero is for ever; negative seconds are at once.
    fn set_timeout(&mut self, key: SocketKey, option: i32, value: &[u8]) -> Result<(), Errno> {
        let words = value.first_chunk::<TIMEVAL>().ok_or(Errno::INVAL)?;
        let word = |at: usize| {
            words[at..].first_chunk::<8>().map_or(0, |bytes| i64::from_ne_bytes(*bytes))
        };
        let (seconds, micros) = (word(0), word(8));
        if !(0..1_000_000).contains(&micros) {
            return Err(Errno::DOM);
        }
        let tick = self.profile.tick;
        // What the kernel counts in is a long of ticks: longer is for ever.
        let longest = (i64::MAX / (1_000_000_000 / tick.as_nanos() as i64) - 1) as u64;
        let timeout = match u64::try_from(seconds) {
            Err(_) => Some(Duration::ZERO),
            Ok(0) if micros == 0 => None,
            Ok(seconds) if seconds >= longest => None,
            Ok(seconds) => {
                let nanos = (micros as u128 * 1000).div_ceil(tick.as_nanos()) * tick.as_nanos();
                Some(Duration::from_secs(seconds) + Duration::from_nanos(nanos as u64))
            }
        };
        self.watch.touch(Part::Timeouts(key), Touch::Write);
        let rare = self.own(key).rare_mut();
        match option {
            SO_RCVTIMEO | SO_RCVTIMEO_NEW => rare.receive_timeout = timeout,
            _ => rare.send_timeout = timeout,
        }
        Ok(())
    }

    /// SO_RCVTIMEO, for a call that may begin to wait.
    pub(super) fn receive_timeout(&mut self, key: SocketKey) -> Option<Duration> {
        self.watch.touch(Part::Timeouts(key), Touch::Read);
        self.own(key).receive_timeout()
    }

    /// SO_SNDTIMEO, for a call that may begin to wait.
    pub(super) fn send_timeout(&mut self, key: SocketKey) -> Option<Duration> {
        self.watch.touch(Part::Timeouts(key), Touch::Read);
        self.own(key).send_timeout()
    }
}

/// `struct timeval`: none and at once both read as zero.
fn timeval(timeout: Option<Duration>) -> [u8; TIMEVAL] {
    let timeout = timeout.unwrap_or_default();
    let mut bytes = [0; TIMEVAL];
    bytes[..8].copy_from_slice(&(timeout.as_secs() as i64).to_ne_bytes());
    bytes[8..].copy_from_slice(&i64::from(timeout.subsec_micros()).to_ne_bytes());
    bytes
}
