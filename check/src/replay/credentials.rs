//! Who a process is, as its calls change it.

use afunix::Call;

use super::{Attempt, Look, Seat, State};
use crate::log::value::Value;

impl State {
    /// setuid(2) and its like, where they succeeded.
    pub(super) fn set_ids(&mut self, look: Look<'_>, seat: Seat) -> Attempt {
        let record = look.record;
        if record.value().is_none() {
            return Attempt::Explained;
        }
        let of = |index: usize| record.number(index).map_or(u32::MAX, |id| id as u32);
        let mut call = match record.name.as_str() {
            // For the superuser, which most often it is that calls these, all three change.
            "setuid" => Call::Setresuid { real: of(0), effective: of(0), saved: of(0) },
            "setgid" => Call::Setresgid { real: of(0), effective: of(0), saved: of(0) },
            "setreuid" => Call::Setresuid { real: of(0), effective: of(1), saved: u32::MAX },
            "setregid" => Call::Setresgid { real: of(0), effective: of(1), saved: u32::MAX },
            "setresuid" => Call::Setresuid { real: of(0), effective: of(1), saved: of(2) },
            "setresgid" => Call::Setresgid { real: of(0), effective: of(1), saved: of(2) },
            "setgroups" => {
                let items = record.arg(1).and_then(Value::items).unwrap_or(&[]);
                let groups: Vec<u32> =
                    items.iter().filter_map(|item| Some(item.number()? as u32)).collect();
                // The log's word for it is enough.
                let _ = self.call(seat.tid, &mut Call::Setgroups { groups: &groups });
                return Attempt::Explained;
            }
            _ => return Attempt::Explained,
        };
        let _ = self.call(seat.tid, &mut call);
        Attempt::Explained
    }
}
