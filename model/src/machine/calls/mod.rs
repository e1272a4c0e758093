//! What each call does.

use afunix::{Call, Errno};

use super::{Cx, Flow, Machine};

impl Machine {
    pub(super) fn perform(&mut self, _cx: Cx, _call: &mut Call<'_, '_>) -> Flow {
        Flow::Done(Err(Errno::NOSYS))
    }
}
