//! Signals: who may send them, and what becomes of the process.

use afunix::{Capabilities, Errno, Exit, Pid, Signal, Tid};

use super::process::{Disposition, ends_by_default};
use super::{Access, Cx, Effect, Machine, Object};

/// Signals are numbered to this one (SIGRTMAX).
const LAST_SIGNAL: i32 = 64;

impl Machine {
    /// Sets what a process does on a signal. A process starts with SIGPIPE ignored, as Rust's
    /// programs do, and the default for all others; its children inherit nothing. Nothing happens
    /// for a process that does not run, nor for SIGKILL.
    pub fn set_disposition(&mut self, pid: Pid, signal: Signal, disposition: Disposition) {
        if let Some(process) = self.processes.get_mut(pid.0) {
            process.dispositions.set(signal, disposition);
        }
    }

    /// kill(2). All processes are of one group.
    pub(super) fn kill(&mut self, cx: Cx, pid: Pid, signal: i32) -> Result<usize, Errno> {
        match pid.0 {
            1.. => {
                let target = self.signal_target(pid).ok_or(Errno::SRCH)?;
                self.kill_one(cx, target, signal)?;
            }
            // The caller's group; -1: everybody but init and the caller.
            0 | -1 => {
                let all: Vec<Pid> = self.processes.iter().map(|(pid, _)| Pid(pid)).collect();
                let spared = |target: &Pid| pid.0 == -1 && (target.0 == 1 || *target == cx.pid);
                let mut result = Err(Errno::SRCH);
                for target in all.into_iter().filter(|target| !spared(target)) {
                    let one = self.kill_one(cx, target, signal);
                    result = if result.is_ok() { result } else { one };
                }
                result?;
            }
            _ => return Err(Errno::SRCH),
        }
        Ok(0)
    }

    /// The process of a number, which may be that of a thread.
    fn signal_target(&self, pid: Pid) -> Option<Pid> {
        match self.processes.get(pid.0) {
            Some(_) => Some(pid),
            None => self.process_of(Tid(pid.0)),
        }
    }

    fn kill_one(&mut self, cx: Cx, target: Pid, signal: i32) -> Result<(), Errno> {
        if !(0..=LAST_SIGNAL).contains(&signal) {
            return Err(Errno::INVAL);
        }
        self.touch(Object::Process(target), Access::Read);
        if !self.may_signal(cx.pid, target) {
            return Err(Errno::PERM);
        }
        self.deliver_signal(target, signal);
        Ok(())
    }

    /// Who acts as, or is, the user that the other is or may become again; or has CAP_KILL.
    fn may_signal(&self, sender: Pid, target: Pid) -> bool {
        let identity = |pid: Pid| self.processes.get(pid.0).map(|process| &process.identity);
        let (Some(sender), Some(target)) = (identity(sender), identity(target)) else {
            return false;
        };
        let is_of = |id: u32| id == target.uid.real || id == target.uid.saved;
        let own = is_of(sender.uid.real) || is_of(sender.uid.effective);
        own || sender.has(Capabilities::KILL)
    }

    /// Does with a process what its disposition of the signal says.
    pub(super) fn deliver_signal(&mut self, target: Pid, number: i32) {
        let Some(process) = self.running(target) else { return };
        match process.dispositions.get(number) {
            Disposition::Ignore => {}
            Disposition::Handle => {
                if let Some(signal) = Signal::from_raw(number) {
                    self.effects.push_back(Effect::Signal { to: target, signal });
                }
            }
            Disposition::Default if ends_by_default(number) => {
                self.end_process(target, Exit::Signal(number));
            }
            Disposition::Default => {}
        }
    }
}
