//! What POSIX leaves open of datagrams, as faults.

use afunix::trace::EventKind;
use afunix::{Call, SOCK_DGRAM};

use super::World;
use super::attempt::sends;
use crate::choice::Label;

impl World {
    /// The datagram that was just sent, if it was one, may be lost, or overtake others. Nobody has
    /// been told of it yet.
    pub(super) fn trouble(&mut self, slot: u32) {
        let Some((receiver, messages)) = self.machine.sent_to() else { return };
        if self.chooser.chance(self.odds.lost, Label::Fault) {
            self.counts.faults.lost += 1;
            self.machine.lose_datagram(receiver);
            self.note(slot, || EventKind::Fault { what: "the datagram is lost".to_owned() });
        } else if messages > 1 && self.chooser.chance(self.odds.overtaken, Label::Fault) {
            self.counts.faults.overtaken += 1;
            let others = 1 + self.chooser.choose(messages as u32 - 1, Label::Amount);
            self.machine.overtake_datagrams(receiver, others as usize);
            let what = format!("the datagram overtakes {others}");
            self.note(slot, || EventKind::Fault { what });
        }
        self.drain();
    }

    /// Whether a datagram finds no room on its way.
    pub(super) fn finds_no_room(&mut self, slot: u32, call: &Call<'_, '_>) -> bool {
        if !sends(call)
            || !self.chooser.chance(self.odds.no_buffers, Label::Fault)
            || self.socket_type(slot, call) != Some(SOCK_DGRAM)
        {
            return false;
        }
        self.counts.faults.no_buffers += 1;
        self.note(slot, || EventKind::Fault { what: "no room for the datagram".to_owned() });
        true
    }
}
