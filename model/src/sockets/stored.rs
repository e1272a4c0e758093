//! Options that AF_UNIX stores like any other family and that change nothing it does, and those
//! for timestamps.

use afunix::Capabilities;
use afunix::Errno;
use afunix::call::OptionOut;
use afunix::options::*;

use super::filter;
use super::options::put;
use super::socket::{Rare, Socket, Stamping};

/// The highest SO_PRIORITY for everybody.
const PRIORITY_MAX: i32 = 6;
/// SO_BUF_LOCK: both bits.
const BUFFER_LOCKS: i32 = 3;
/// Bytes of an interface's name, with its NUL, at most (IFNAMSIZ).
const DEVICE_NAME_MAX: usize = 16;
/// The index of the only interface of the machine, `lo`.
const LOOPBACK: i64 = 1;
/// SO_BUSY_POLL_BUDGET fits 16 bits.
const BUDGET_MAX: i32 = 65535;

/// What a stored option reads before it was ever set; `None` if it is no stored option.
fn default_of(option: i32) -> Option<i64> {
    Some(match option {
        SO_INCOMING_CPU | SO_MAX_PACING_RATE => -1,
        _ if is_boolean(option) => 0,
        SO_PRIORITY | SO_MARK | SO_BUSY_POLL | SO_BINDTOIFINDEX | SO_BUF_LOCK => 0,
        _ => return None,
    })
}

/// Whether it reads back 0 or 1 (OPT 11).
fn is_boolean(option: i32) -> bool {
    matches!(
        option,
        SO_DEBUG
            | SO_DONTROUTE
            | SO_BROADCAST
            | SO_NO_CHECK
            | SO_RXQ_OVFL
            | SO_WIFI_STATUS
            | SO_NOFCS
            | SO_LOCK_FILTER
            | SO_SELECT_ERR_QUEUE
            | SO_PREFER_BUSY_POLL
            | SO_RCVMARK
            | SO_RCVPRIORITY
    )
}

fn read(rare: Option<&Rare>, option: i32) -> Option<i64> {
    let stored = rare.and_then(|rare| rare.stored.get(&option).copied());
    stored.or_else(|| default_of(option))
}

/// Whether a stored option is on.
pub(super) fn is_on(rare: Option<&Rare>, option: i32) -> bool {
    read(rare, option) == Some(1)
}

/// getsockopt(2) of what is not known elsewhere: ENOPROTOOPT, EOPNOTSUPP.
pub(super) fn get(
    rare: Option<&Rare>,
    option: i32,
    value: &mut OptionOut<'_>,
) -> Result<(), Errno> {
    let stamping = rare.map_or(Stamping::default(), |rare| rare.stamping);
    let word = match option {
        SO_TXREHASH => return Err(Errno::OPNOTSUPP),
        SO_ATTACH_FILTER => {
            return filter::get(rare.and_then(|rare| rare.filter.as_deref()), value);
        }
        SO_BINDTODEVICE => {
            return match read(rare, SO_BINDTOIFINDEX) {
                None | Some(0) => put(value, b""),
                Some(_) if (0..DEVICE_NAME_MAX as i32).contains(&value.len) => Err(Errno::INVAL),
                Some(LOOPBACK) => put(value, b"lo\0"),
                Some(_) => Err(Errno::NODEV),
            };
        }
        SO_MAX_PACING_RATE => {
            let rate = read(rare, option).unwrap_or_default() as u64;
            let word = u32::try_from(rate).unwrap_or(u32::MAX);
            let long = value.len >= 8;
            return if long {
                put(value, &rate.to_ne_bytes())
            } else {
                put(value, &word.to_ne_bytes())
            };
        }
        SO_TIMESTAMPING | SO_TIMESTAMPING_NEW => {
            let shown = option == SO_TIMESTAMPING || stamping.new;
            let flags = if shown { stamping.flags } else { 0 };
            return put(value, &u64::from(flags).to_ne_bytes());
        }
        SO_TIMESTAMP => i32::from(stamping.on && !stamping.new && !stamping.nanoseconds),
        SO_TIMESTAMPNS => i32::from(stamping.nanoseconds && !stamping.new),
        // Also with SO_TIMESTAMPNS_NEW.
        SO_TIMESTAMP_NEW => i32::from(stamping.on && stamping.new),
        SO_TIMESTAMPNS_NEW => i32::from(stamping.nanoseconds && stamping.new),
        _ => read(rare, option).ok_or(Errno::NOPROTOOPT)? as i32,
    };
    put(value, &word.to_ne_bytes())
}

/// setsockopt(2) of what is not known elsewhere. `word` is the beginning of `value`. EINVAL, EPERM,
/// EACCES, ENOENT, EOPNOTSUPP, ENOPROTOOPT.
pub(super) fn set(
    socket: &mut Socket,
    capabilities: Capabilities,
    option: i32,
    word: i32,
    value: &[u8],
) -> Result<(), Errno> {
    let mut new = i64::from(word);
    let is_net_admin = capabilities.contains(Capabilities::NET_ADMIN);
    let may_mark = capabilities.intersects(Capabilities::NET_ADMIN | Capabilities::NET_RAW);
    match option {
        SO_TIMESTAMP | SO_TIMESTAMPNS | SO_TIMESTAMP_NEW | SO_TIMESTAMPNS_NEW => {
            stamp(&mut socket.rare_mut().stamping, option, word != 0);
            return Ok(());
        }
        SO_TIMESTAMPING | SO_TIMESTAMPING_NEW => {
            check_stamping(word)?;
            let stamping = &mut socket.rare_mut().stamping;
            stamping.flags = word as u32;
            stamping.new = option == SO_TIMESTAMPING_NEW;
            return Ok(());
        }
        SO_BSDCOMPAT | SO_CNX_ADVICE => return Ok(()),
        SO_BUSY_POLL_BUDGET if !(0..=BUDGET_MAX).contains(&word) => return Err(Errno::INVAL),
        SO_BUSY_POLL_BUDGET if word > 0 && !is_net_admin => return Err(Errno::PERM),
        SO_BUSY_POLL_BUDGET => return Ok(()),
        SO_RESERVE_MEM if word < 0 => return Err(Errno::INVAL),
        SO_ZEROCOPY | SO_TXREHASH | SO_RESERVE_MEM => return Err(Errno::OPNOTSUPP),
        SO_DETACH_FILTER => return filter::detach(socket),
        SO_DEBUG if word != 0 && !is_net_admin => return Err(Errno::ACCES),
        SO_PREFER_BUSY_POLL if word != 0 && !is_net_admin => return Err(Errno::PERM),
        SO_PRIORITY if !(0..=PRIORITY_MAX).contains(&word) && !may_mark => {
            return Err(Errno::PERM);
        }
        SO_MARK if !may_mark => return Err(Errno::PERM),
        SO_LOCK_FILTER if word == 0 && filter_is_locked(socket.rare.as_deref()) => {
            return Err(Errno::PERM);
        }
        SO_BINDTOIFINDEX => return bind_to_interface(socket, capabilities, new),
        SO_BUSY_POLL if word < 0 => return Err(Errno::INVAL),
        SO_BUF_LOCK if word & !BUFFER_LOCKS != 0 => return Err(Errno::INVAL),
        SO_MAX_PACING_RATE => {
            new = match value.first_chunk::<8>() {
                Some(long) => i64::from_ne_bytes(*long),
                _ if word == -1 => -1,
                _ => i64::from(word as u32),
            };
        }
        _ if is_boolean(option) => new = i64::from(word != 0),
        _ => {}
    }
    default_of(option).ok_or(Errno::NOPROTOOPT)?;
    socket.rare_mut().stored.insert(option, new);
    Ok(())
}

/// SO_BINDTODEVICE by name, none for no interface: ENODEV; EPERM.
pub(super) fn bind_to_device(
    socket: &mut Socket,
    capabilities: Capabilities,
    value: &[u8],
) -> Result<(), Errno> {
    let value = &value[..value.len().min(DEVICE_NAME_MAX - 1)];
    let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
    let index = match name {
        b"" => 0,
        b"lo" => LOOPBACK,
        _ => return Err(Errno::NODEV),
    };
    bind_to_interface(socket, capabilities, index)
}

/// Everybody may choose an interface, whether there is one or not; to change it again takes
/// CAP_NET_RAW: EPERM, EINVAL.
fn bind_to_interface(
    socket: &mut Socket,
    capabilities: Capabilities,
    index: i64,
) -> Result<(), Errno> {
    let is_bound = read(socket.rare.as_deref(), SO_BINDTOIFINDEX) != Some(0);
    if is_bound && !capabilities.contains(Capabilities::NET_RAW) {
        return Err(Errno::PERM);
    }
    if index < 0 {
        return Err(Errno::INVAL);
    }
    socket.rare_mut().stored.insert(SO_BINDTOIFINDEX, index);
    Ok(())
}

/// Whether SO_LOCK_FILTER is on (OPT 12).
pub(super) fn filter_is_locked(rare: Option<&Rare>) -> bool {
    read(rare, SO_LOCK_FILTER) == Some(1)
}

/// SO_SNDBUF (1) or SO_RCVBUF (2) was set by hand: SO_BUF_LOCK shows it.
pub(super) fn lock_buffer(socket: &mut Socket, bit: i64) {
    *socket.rare_mut().stored.entry(SO_BUF_LOCK).or_default() |= bit;
}

/// The last one that was switched on counts; switching any off ends it.
fn stamp(stamping: &mut Stamping, option: i32, on: bool) {
    stamping.on = on;
    stamping.nanoseconds = on && matches!(option, SO_TIMESTAMPNS | SO_TIMESTAMPNS_NEW);
    if on {
        stamping.new = matches!(option, SO_TIMESTAMP_NEW | SO_TIMESTAMPNS_NEW);
    }
}

/// Flags of SO_TIMESTAMPING that need others, or a device.
fn check_stamping(flags: i32) -> Result<(), Errno> {
    const OPT_ID: i32 = 1 << 7;
    const OPT_TSONLY: i32 = 1 << 11;
    const OPT_STATS: i32 = 1 << 12;
    const BIND_PHC: i32 = 1 << 15;
    const OPT_ID_TCP: i32 = 1 << 16;
    const ALL: i32 = (1 << 19) - 1;
    let lacks = |flag: i32, needed: i32| flags & flag != 0 && flags & needed == 0;
    if flags & !ALL != 0 || lacks(OPT_ID_TCP, OPT_ID) || lacks(OPT_STATS, OPT_TSONLY) {
        return Err(Errno::INVAL);
    }
    if flags & BIND_PHC != 0 { Err(Errno::OPNOTSUPP) } else { Ok(()) }
}
