//! Shrinking a program that diverges, as long as it still shows the same difference.

use super::program::{
    Control, Message, Name, Piece, Place, Program, ReceiveBy, Request, Room, SendBy, Slot, Step,
};
use super::{Found, Runner};

/// Programs that shrinking may run.
const BUDGET: u64 = 4000;
/// The same where calls wait: each takes longer, most of all one that differs.
const BUDGET_WAITING: u64 = 800;
/// What a program that hangs counts as.
const COST_OF_HANGING: u64 = 250;

/// A small program with the same kind of difference as `program`.
///
/// First the difference has to stay in the same call; then it may show in any, if only it is of the
/// same kind: what a fault did is often seen earlier by a simpler call.
pub(super) fn shrink(
    runner: &mut Runner,
    program: Program,
    found: &Found,
    progress: &mut dyn FnMut(u64),
) -> Program {
    let budget = if program.threads > 1 { BUDGET_WAITING } else { BUDGET };
    let mut shrinker = Shrinker {
        runner,
        found: found.clone(),
        any_call: false,
        budget,
        needs_time: false,
        runs: 0,
        progress,
    };
    let mut program = program;
    program.steps.truncate(found.step + 1);
    let mut program = shrinker.wait_for_timeouts(program);
    for any_call in [false, true] {
        shrinker.any_call = any_call;
        loop {
            let before = program.clone();
            program = shrinker.join_processes(program);
            program = shrinker.drop_steps(program);
            program = shrinker.follow_copies(program);
            program = shrinker.make_pairs(program);
            program = shrinker.simplify(program);
            if program == before || shrinker.runs >= shrinker.budget {
                break;
            }
        }
    }
    program
}

struct Shrinker<'a> {
    runner: &'a mut Runner,
    found: Found,
    /// Whether the difference may be in another call.
    any_call: bool,
    budget: u64,
    /// Whether time has to pass at the end.
    needs_time: bool,
    runs: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl Shrinker<'_> {
    /// Whether the program shows the difference, and in its last step, unless calls wait: when they
    /// go on hangs on the time, too.
    fn shows(&mut self, program: &Program) -> bool {
        // A timeout that is over by chance before time passes would not be so the next time.
        let passes = |step: &Step| step.request == Request::Pass;
        let is_timeless = self.needs_time && !program.steps.last().is_some_and(passes);
        if self.runs >= self.budget || is_timeless {
            return false;
        }
        self.runs += 1;
        (self.progress)(self.runs);
        match self.runner.run(program) {
            Ok(Some(found)) => {
                // Seconds, where others take a millisecond.
                let has_hung = found.what.contains("Hung");
                self.runs += if has_hung { COST_OF_HANGING } else { 0 };
                found.what == self.found.what
                    && (self.any_call || found.call == self.found.call)
                    && (program.threads > 1 || found.step + 1 == program.steps.len())
            }
            // A side that cannot run shows nothing.
            Ok(None) | Err(_) => false,
        }
    }

    /// Where calls wait a timeout may be what differs: it shows sooner or later by itself, and
    /// surely if time passes at the end.
    fn wait_for_timeouts(&mut self, program: Program) -> Program {
        if program.threads == 1 || !self.found.what.starts_with("waits in the model") {
            return program;
        }
        let mut longer = program.clone();
        longer.steps.push(Step { process: 0, thread: 0, request: Request::Pass });
        self.needs_time = self.shows(&longer);
        if self.needs_time { longer } else { program }
    }

    /// Uses what was copied instead of the copy.
    fn follow_copies(&mut self, mut program: Program) -> Program {
        let mut index = 0;
        while index < program.steps.len() {
            let (from, copy) = match &program.steps[index].request {
                Request::Dup { fd, into }
                | Request::Dup2 { fd, into, .. }
                | Request::Dup3 { fd, into, .. }
                | Request::Fcntl { fd, into, .. } => (*fd, *into),
                _ => {
                    index += 1;
                    continue;
                }
            };
            let mut shorter = program.clone();
            shorter.steps.remove(index);
            shorter.before_fork -= usize::from(index < program.before_fork);
            for step in &mut shorter.steps {
                step.request.each_slot(&mut |slot| {
                    if *slot == Slot::Made(copy) {
                        *slot = from;
                    }
                });
            }
            match self.shows(&shorter) {
                true => program = shorter,
                false => index += 1,
            }
        }
        program
    }

    /// A socketpair in place of a connection that was accepted.
    fn make_pairs(&mut self, mut program: Program) -> Program {
        let connects = |step: &Step| match step.request {
            Request::Connect { fd: Slot::Made(client), .. } => Some(client),
            _ => None,
        };
        let accepts = |step: &Step| match step.request {
            Request::Accept { into, .. } => Some(into),
            _ => None,
        };
        for at in 0..program.steps.len() {
            let Some(client) = program.steps.get(at).and_then(connects) else { continue };
            for kind in [1, 5] {
                let mut paired = program.clone();
                let accept = paired.steps.iter().position(|step| accepts(step).is_some());
                let server = accept.and_then(|accept| accepts(&paired.steps[accept]));
                // Without an accept the other end has a name of its own.
                let into = [client, server.unwrap_or(u16::MAX - 1)];
                let request = Request::Socketpair { domain: 1, kind, protocol: 0, into };
                paired.steps[at].request = request;
                if let Some(accept) = accept {
                    paired.steps.remove(accept);
                    paired.before_fork -= usize::from(accept < program.before_fork);
                }
                if self.shows(&paired) {
                    program = paired;
                    break;
                }
                // The difference may show in an earlier step now.
                paired.steps.truncate(at + 2);
                paired.before_fork = paired.before_fork.min(paired.steps.len());
                if self.shows(&paired) {
                    program = paired;
                    break;
                }
            }
        }
        program
    }

    /// All steps in process 0, or fewer processes.
    fn join_processes(&mut self, program: Program) -> Program {
        if program.processes == 1 {
            return program;
        }
        let mut alone = program.clone();
        (alone.processes, alone.before_fork) = (1, 0);
        for step in &mut alone.steps {
            step.process = 0;
        }
        if self.shows(&alone) {
            return alone;
        }
        for (from, to) in [(2, 1), (2, 0), (1, 0)] {
            let mut fewer = program.clone();
            for step in fewer.steps.iter_mut().filter(|step| step.process == from) {
                step.process = to;
            }
            if fewer != program && self.shows(&fewer) {
                let last = fewer.steps.iter().map(|step| step.process).max().unwrap_or(0);
                fewer.processes = last + 1;
                return fewer;
            }
        }
        program
    }

    /// Leaves out ever smaller runs of steps.
    fn drop_steps(&mut self, mut program: Program) -> Program {
        let mut size = program.steps.len().div_ceil(2);
        while size > 0 {
            let mut end = program.steps.len();
            while end > 0 {
                let start = end.saturating_sub(size);
                let mut shorter = program.clone();
                shorter.steps.drain(start..end);
                let lost = end.min(program.before_fork) - start.min(program.before_fork);
                shorter.before_fork -= lost;
                if self.shows(&shorter) {
                    program = shorter;
                }
                end = start;
            }
            size /= 2;
        }
        program
    }

    /// Makes each step's arguments simpler.
    fn simplify(&mut self, mut program: Program) -> Program {
        for index in 0..program.steps.len() {
            for simpler in simpler(&program.steps[index]) {
                let mut changed = program.clone();
                changed.steps[index] = simpler;
                if self.shows(&changed) {
                    program = changed;
                }
            }
        }
        program
    }
}

/// Simpler forms of a step, each with one argument changed.
fn simpler(step: &Step) -> Vec<Step> {
    let mut all = Vec::new();
    let mut offer = |request: Request| {
        if request != step.request {
            all.push(Step { process: step.process, thread: step.thread, request });
        }
    };
    match &step.request {
        Request::Send { fd, by, data, flags } => {
            let (fd, flags) = (*fd, *flags);
            for by in simpler_send(by) {
                offer(Request::Send { fd, by, data: data.clone(), flags });
            }
            for data in simpler_data(data) {
                offer(Request::Send { fd, by: by.clone(), data, flags });
            }
            let data = data.clone();
            offer(Request::Send { fd, by: by.clone(), data, flags: 0x40 });
        }
        Request::Receive { fd, by, data, flags, into } => {
            let (fd, by, flags, into) = (*fd, *by, *flags, *into);
            if let ReceiveBy::Recvmsg(want, _) = by {
                let by = ReceiveBy::Recvmsg(super::perform::WHOLE, Room::Bytes(64));
                offer(Request::Receive { fd, by, data: data.clone(), flags, into });
                let by = ReceiveBy::Recvfrom(want);
                offer(Request::Receive { fd, by, data: data.clone(), flags, into });
            }
            for data in simpler_data(data) {
                offer(Request::Receive { fd, by, data, flags, into });
            }
            offer(Request::Receive { fd, by, data: data.clone(), flags: 0x40, into });
        }
        Request::Socketpair { kind, into, .. } => {
            let (kind, into) = (*kind & 0xf, *into);
            offer(Request::Socketpair { domain: 1, kind, protocol: 0, into });
        }
        Request::SendMany { fd, messages, flags } => {
            let (fd, flags) = (*fd, *flags);
            if let [Message { name, data, control }] = &messages[..] {
                let (by, data) = (SendBy::Sendmsg(name.clone(), control.clone()), data.clone());
                offer(Request::Send { fd, by, data, flags });
            }
            for messages in without_each(messages) {
                offer(Request::SendMany { fd, messages, flags });
            }
        }
        Request::ReceiveMany { fd, messages, flags, timeout, into } => {
            let (fd, flags, timeout, into) = (*fd, *flags, *timeout, *into);
            if let [Place { want, data, room }] = &messages[..] {
                let (by, data) = (ReceiveBy::Recvmsg(*want, *room), data.clone());
                offer(Request::Receive { fd, by, data, flags, into });
            }
            for messages in without_each(messages) {
                offer(Request::ReceiveMany { fd, messages, flags, timeout, into });
            }
        }
        Request::Listen { fd, .. } => offer(Request::Listen { fd: *fd, backlog: 0 }),
        Request::Bind { fd, .. } => offer(Request::Bind { fd: *fd, name: Name::Abstract(0) }),
        Request::Connect { fd, .. } => offer(Request::Connect { fd: *fd, name: Name::Abstract(0) }),
        Request::Poll { fds, timeout } => {
            for fds in without_each(fds) {
                offer(Request::Poll { fds, timeout: *timeout });
            }
        }
        _ => {}
    }
    all
}

/// The list without each of its items in turn.
fn without_each<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    let without = |index: usize| [&items[..index], &items[index + 1..]].concat();
    (0..items.len()).map(without).collect()
}

fn simpler_send(by: &SendBy) -> Vec<SendBy> {
    let mut all = Vec::new();
    match by {
        SendBy::Sendmsg(name, control) => {
            all.push(SendBy::Sendto(name.clone()));
            for fewer in without_each(control) {
                all.push(SendBy::Sendmsg(name.clone(), fewer));
            }
            for (index, message) in control.iter().enumerate() {
                if let Control::Rights(slots) = message
                    && slots.len() > 1
                {
                    let mut shorter = control.clone();
                    shorter[index] = Control::Rights(slots[..1].to_vec());
                    all.push(SendBy::Sendmsg(name.clone(), shorter));
                }
            }
            all.push(SendBy::Sendmsg(Name::None, control.clone()));
        }
        SendBy::Sendto(_) => all.push(SendBy::Sendto(Name::None)),
        SendBy::Write | SendBy::Writev => {}
    }
    all
}

fn simpler_data(data: &[Piece]) -> Vec<Vec<Piece>> {
    let mut all = Vec::new();
    for index in 0..data.len() {
        if data.len() > 1 {
            let mut fewer = data.to_vec();
            fewer.remove(index);
            all.push(fewer);
        }
        let len = data[index].len;
        for shorter in [0, 1, len / 2, len.saturating_sub(1)] {
            if shorter < len {
                let mut changed = data.to_vec();
                changed[index].len = shorter;
                all.push(changed);
            }
        }
    }
    all
}
