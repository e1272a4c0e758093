//! Shrinking a program that diverges, as long as it still shows the same difference.

use super::program::{Control, Name, Piece, Program, ReceiveBy, Request, Room, SendBy, Step};
use super::{Found, Runner, Summary};

/// Programs that shrinking may run.
const BUDGET: u64 = 4000;

/// A small program with the same kind of difference as `program`.
pub(super) fn shrink(
    runner: &mut Runner,
    program: Program,
    found: &Found,
    progress: &mut dyn FnMut(u64),
) -> Program {
    let mut shrinker = Shrinker { runner, found: found.clone(), runs: 0, progress };
    let mut program = program;
    program.steps.truncate(found.step + 1);
    loop {
        let before = program.clone();
        program = shrinker.join_processes(program);
        program = shrinker.drop_steps(program);
        program = shrinker.simplify(program);
        if program == before || shrinker.runs >= BUDGET {
            return program;
        }
    }
}

struct Shrinker<'a> {
    runner: &'a mut Runner,
    found: Found,
    runs: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl Shrinker<'_> {
    /// Whether the program shows the difference: in the same call, of the same kind.
    fn shows(&mut self, program: &Program) -> bool {
        if self.runs >= BUDGET {
            return false;
        }
        self.runs += 1;
        (self.progress)(self.runs);
        match self.runner.run(program, &mut Summary::default()) {
            Ok(Some(found)) => found.call == self.found.call && found.what == self.found.what,
            // A side that cannot run shows nothing.
            Ok(None) | Err(_) => false,
        }
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
            all.push(Step { process: step.process, request });
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
        Request::Bind { fd, .. } => offer(Request::Bind { fd: *fd, name: Name::Abstract(0) }),
        Request::Connect { fd, .. } => offer(Request::Connect { fd: *fd, name: Name::Abstract(0) }),
        Request::Poll { fds } => {
            for index in 0..fds.len() {
                let mut fewer = fds.clone();
                fewer.remove(index);
                offer(Request::Poll { fds: fewer });
            }
        }
        _ => {}
    }
    all
}

fn simpler_send(by: &SendBy) -> Vec<SendBy> {
    let mut all = Vec::new();
    match by {
        SendBy::Sendmsg(name, control) => {
            all.push(SendBy::Sendto(name.clone()));
            for index in 0..control.len() {
                let mut fewer = control.clone();
                fewer.remove(index);
                all.push(SendBy::Sendmsg(name.clone(), fewer));
            }
            for (index, message) in control.iter().enumerate() {
                if let Control::Rights(slots) = message {
                    if slots.len() > 1 {
                        let mut shorter = control.clone();
                        shorter[index] = Control::Rights(slots[..1].to_vec());
                        all.push(SendBy::Sendmsg(name.clone(), shorter));
                    }
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
