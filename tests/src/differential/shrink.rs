//! Shrinking a program that diverges, as long as it still shows the same difference.

use std::ops::Range;

use super::program::{
    Control, Message, Name, Piece, Place, Program, ReceiveBy, Request, Room, SendBy, Slot, Step,
};
use super::{Found, Runner};

/// Programs that shrinking may run.
const BUDGET: u64 = 4000;
/// The same where calls wait: each takes longer, most of all one that differs.
const BUDGET_WAITING: u64 = 800;
/// Steps of a program that needs no sends joined to be read.
const SHORT: usize = 6;
/// Steps of a program of which any two are tried without.
const FEW: usize = 16;
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
        failed: Vec::new(),
        progress,
    };
    let mut program = program;
    program.steps.truncate(found.step + 1);
    let mut program = shrinker.wait_for_timeouts(program);
    for any_call in [false, true] {
        shrinker.any_call = any_call;
        shrinker.failed.clear();
        loop {
            let before = program.clone();
            program = shrinker.join_processes(program);
            program = shrinker.drop_steps(program);
            program = shrinker.use_fewer_slots(program);
            program = shrinker.make_pairs(program);
            program = shrinker.lower_backlogs(program);
            program = shrinker.simplify(program);
            program = shrinker.drop_two_steps(program);
            program = shrinker.join_sends(program);
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
    /// Programs that do not show it.
    failed: Vec<Program>,
    progress: &'a mut dyn FnMut(u64),
}

impl Shrinker<'_> {
    /// Whether the program shows the difference, and in its last step, unless calls wait: when they
    /// go on hangs on the time, too.
    fn shows(&mut self, program: &Program) -> bool {
        // A timeout that is over by chance before time passes would not be so the next time.
        let passes = |step: &Step| step.request == Request::Pass;
        let is_timeless = self.needs_time && !program.steps.last().is_some_and(passes);
        if self.runs >= self.budget || is_timeless || self.failed.contains(program) {
            return false;
        }
        self.runs += 1;
        (self.progress)(self.runs);
        let shows = self.run(program);
        if !shows {
            self.failed.push(program.clone());
        }
        shows
    }

    fn run(&mut self, program: &Program) -> bool {
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

    /// Uses what was made before in place of what a step makes: what was copied in place of the
    /// copy, one socket in place of two.
    fn use_fewer_slots(&mut self, mut program: Program) -> Program {
        let mut index = 0;
        while index < program.steps.len() {
            let made = program.steps[index].request.makes();
            let before = program.steps[..index].iter().flat_map(|step| step.request.makes());
            let before: Vec<u16> = before.collect();
            let with = |other: u16| {
                let mut fewer = without(&program, index..index + 1);
                for step in &mut fewer.steps {
                    step.request.each_slot(&mut |slot| {
                        if matches!(slot, Slot::Made(own) if made.contains(own)) {
                            *slot = Slot::Made(other);
                        }
                    });
                }
                fewer
            };
            let all = if made.len() == 1 { before } else { Vec::new() };
            let fewer = all.into_iter().rev().map(with).find(|fewer| self.shows(fewer));
            match fewer {
                Some(fewer) => program = fewer,
                None => index += 1,
            }
        }
        program
    }

    /// A backlog that one connection fewer fills.
    fn lower_backlogs(&mut self, mut program: Program) -> Program {
        let connects = |step: &Step| matches!(step.request, Request::Connect { .. });
        for at in 0..program.steps.len() {
            while let Some(Step { request: Request::Listen { backlog: 1.., .. }, .. }) =
                program.steps.get(at)
            {
                let mut lower = program.clone();
                if let Request::Listen { backlog, .. } = &mut lower.steps[at].request {
                    *backlog -= 1;
                }
                let all = (at + 1..lower.steps.len()).filter(|at| connects(&lower.steps[*at]));
                let mut all = all.map(|at| without(&lower, at..at + 1));
                match all.find(|fewer| self.shows(fewer)) {
                    Some(fewer) => program = fewer,
                    None => break,
                }
            }
        }
        program
    }

    /// One sendmmsg in place of many sends: what fills a queue.
    fn join_sends(&mut self, mut program: Program) -> Program {
        let mut index = 0;
        while program.steps.len() > SHORT && index + 1 < program.steps.len() {
            let [one, next] = [index, index + 1].map(|at| sends(&program.steps[at].request));
            let joined = match (one, next) {
                (Some((fd, flags, mut all)), Some((other, others, more)))
                    if fd == other && flags == others =>
                {
                    all.extend(more);
                    let mut fewer = without(&program, index + 1..index + 2);
                    fewer.steps[index].request = Request::SendMany { fd, messages: all, flags };
                    Some(fewer)
                }
                _ => None,
            };
            match joined.filter(|fewer| self.shows(fewer)) {
                Some(fewer) => program = fewer,
                None => index += 1,
            }
        }
        program
    }

    /// Leaves out two steps that undo each other, or that need each other.
    fn drop_two_steps(&mut self, mut program: Program) -> Program {
        if program.steps.len() > FEW {
            return program;
        }
        let mut second = program.steps.len();
        while second > 1 {
            second = program.steps.len().min(second) - 1;
            let fewer = |first| without(&without(&program, second..second + 1), first..first + 1);
            if let Some(fewer) = (0..second).map(fewer).find(|fewer| self.shows(fewer)) {
                program = fewer;
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
                    paired = without(&paired, accept..accept + 1);
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
                let shorter = without(&program, start..end);
                if self.shows(&shorter) {
                    program = shorter;
                }
                end = start;
            }
            size /= 2;
        }
        program
    }

    /// Makes each step's arguments simpler, as long as that goes.
    fn simplify(&mut self, mut program: Program) -> Program {
        for index in 0..program.steps.len() {
            while let Some(changed) = self.simpler_step(&program, index) {
                program = changed;
            }
        }
        program
    }

    fn simpler_step(&mut self, program: &Program, index: usize) -> Option<Program> {
        let with = |simpler: Step| {
            let mut changed = program.clone();
            changed.steps[index] = simpler;
            changed
        };
        let mut all = simpler(&program.steps[index]).into_iter().map(with);
        all.find(|changed| self.shows(changed))
    }
}

/// The program without some of its steps.
fn without(program: &Program, steps: Range<usize>) -> Program {
    let mut fewer = program.clone();
    fewer.before_fork -= steps.clone().filter(|step| *step < program.before_fork).count();
    fewer.steps.drain(steps);
    fewer
}

/// The messages that a step sends, and where and how.
fn sends(request: &Request) -> Option<(Slot, i32, Vec<Message>)> {
    match request {
        Request::Send { fd, by, data, flags } => {
            let (name, control) = match by {
                SendBy::Sendto(name) => (name.clone(), Vec::new()),
                SendBy::Sendmsg(name, control) => (name.clone(), control.clone()),
                SendBy::Write | SendBy::Writev => return None,
            };
            let message = Message { name, data: data.clone(), control };
            Some((*fd, *flags, vec![message]))
        }
        Request::SendMany { fd, messages, flags } => Some((*fd, *flags, messages.clone())),
        _ => None,
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
        for len in shorter(data[index].len) {
            let mut changed = data.to_vec();
            changed[index].len = len;
            all.push(changed);
        }
    }
    all
}

/// Lengths below this one, the most promising first: the steps up to it halve.
fn shorter(len: usize) -> impl Iterator<Item = usize> {
    let halves = std::iter::successors(Some(len / 2), |step| Some(step / 2));
    let near = halves.take_while(|step| *step > 0).map(move |step| len - step);
    [0, 1].into_iter().filter(move |short| *short < len).chain(near.filter(|near| *near > 1))
}
