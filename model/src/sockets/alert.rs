//! Whom a socket tells by signals of what happens to it (POLL 7, OOB 1): its file, if O_ASYNC or an
//! owner was set. Who the owner is, and which signal it gets, the caller knows.

use super::{File, Part, SocketKey, Sockets, Touch};
use afunix::SocketType;

/// What a file's owner is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert {
    /// An out-of-band byte came: SIGURG, with O_ASYNC or without.
    Urgent,
    /// Something came, or there is room again: SIGIO. Only with O_ASYNC.
    Ready,
}

/// What a socket knows of its file's signals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alerts {
    file: File,
    /// O_ASYNC.
    asynchronous: bool,
    /// A writer, or a poll on datagram and seqpacket, found no room: the next room is told of.
    no_room: bool,
    /// A stream's reader waits: what comes is not told of.
    reader_waits: bool,
}

impl Sockets {
    /// The socket's `file` has an owner or O_ASYNC from now on, or no longer O_ASYNC.
    pub fn set_alerts(&mut self, key: SocketKey, file: File, asynchronous: bool) {
        self.watch.touch(Part::State(key), Touch::Write);
        let alerts = &mut self.own(key).rare_mut().alerts;
        let new = Alerts { file, asynchronous, no_room: false, reader_waits: false };
        let alerts = alerts.get_or_insert(new);
        alerts.asynchronous = asynchronous;
    }

    /// Whether the socket tells its file's owner of what comes.
    pub(crate) fn is_asynchronous(&self, key: SocketKey) -> bool {
        self.living(key).is_some_and(|socket| socket.alerts().is_some_and(|it| it.asynchronous))
    }

    /// The next signal for a file's owner. Drain after every call.
    #[inline]
    pub fn next_alert(&mut self) -> Option<(File, Alert)> {
        self.alerts.pop_front()
    }

    /// A message buffer or a connection came, or the peer said that nothing more will.
    #[inline]
    pub(super) fn alert_arrival(&mut self, key: SocketKey) {
        self.alert_if(key, Alert::Ready, |alerts| alerts.asynchronous && !alerts.reader_waits);
    }

    /// An out-of-band byte came.
    pub(super) fn alert_urgent(&mut self, key: SocketKey) {
        self.alert_if(key, Alert::Urgent, |_| true);
    }

    /// An error is pending.
    pub(super) fn alert_error(&mut self, key: SocketKey) {
        self.alert_if(key, Alert::Ready, |alerts| alerts.asynchronous);
    }

    /// There is room to write: told once, and only to those who found none.
    #[inline]
    pub(super) fn alert_room(&mut self, key: SocketKey) {
        let is_told =
            |alerts: &mut Alerts| alerts.asynchronous && std::mem::take(&mut alerts.no_room);
        self.alert_if(key, Alert::Ready, is_told);
    }

    #[inline]
    fn alert_if(&mut self, key: SocketKey, alert: Alert, is_told: impl Fn(&mut Alerts) -> bool) {
        let Some(rare) = self.table.get_mut(key).and_then(|socket| socket.rare.as_mut()) else {
            return;
        };
        if let Some(alerts) = &mut rare.alerts
            && is_told(alerts)
        {
            self.alerts.push_back((alerts.file, alert));
        }
    }

    /// Somebody found no room to write.
    #[inline]
    pub(super) fn found_no_room(&mut self, key: SocketKey) {
        let alerts = self.own(key).rare.as_mut().and_then(|rare| rare.alerts.as_mut());
        if let Some(alerts) = alerts.filter(|alerts| alerts.asynchronous) {
            alerts.no_room = true;
        }
    }

    /// A reader begins to wait, or no longer does.
    #[inline]
    pub(super) fn reader_waits(&mut self, key: SocketKey, waits: bool) {
        let socket = self.own(key);
        if socket.kind != SocketType::Stream {
            return;
        }
        if let Some(alerts) = socket.rare.as_mut().and_then(|rare| rare.alerts.as_mut()) {
            alerts.reader_waits = waits && alerts.asynchronous;
        }
    }
}
