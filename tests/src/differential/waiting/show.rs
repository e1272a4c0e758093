//! A diverging program whose calls wait, to be read.

use std::fmt::Write;

use super::super::answer::Answer;
use super::super::program::{Program, Request};
use super::super::show::{show_difference, show_request, show_result};
use super::lead::Ran;
use super::search::{Ended, Why};

/// The program up to the first difference: each call with its process and thread, whether it
/// waited, and when it ended.
pub(in super::super) fn report(program: &Program, ran: &Ran) -> String {
    let mut text = String::new();
    for (index, (step, moment)) in program.steps.iter().zip(&ran.moments).enumerate() {
        if index == program.before_fork {
            let (processes, threads) = (program.processes - 1, program.threads - 1);
            let _ = writeln!(text, "    -- processes 0 to {processes}, threads 0 to {threads}");
        }
        let (process, thread) = (step.process, step.thread);
        let _ = match &step.request {
            Request::Interrupt { thread, restart } => {
                let with = if *restart { " (SA_RESTART)" } else { "" };
                write!(text, "    {index}. a signal for thread {process}.{thread}{with}")
            }
            Request::Pass => write!(text, "    {index}. time passes"),
            request => write!(text, "    {index}. {process}.{thread}: {}", show_request(request)),
        };
        let own = moment.ended.iter().find(|ended| ended.step == index);
        let is_last = index + 1 == ran.moments.len();
        let _ = match own {
            Some(ended) => writeln!(text, " = {}", show_result(&ended.answer)),
            None if matches!(step.request, Request::Interrupt { .. } | Request::Pass) => {
                writeln!(text)
            }
            None if is_last => writeln!(text),
            None if moment.made => writeln!(text, " waits"),
            None => writeln!(text, " ... not made"),
        };
        for ended in moment.ended.iter().filter(|ended| ended.step != index) {
            let _ = writeln!(text, "        {}", show_end(ended));
        }
    }
    let Some(difference) = &ran.difference else { return text };
    text += &difference.found.shown;
    let about = &program.steps[difference.about];
    let (found, at) = (&difference.found, (about.process, about.thread));
    let _ = writeln!(
        text,
        "    differs in {} of step {} in thread {}.{}: {}",
        found.call, difference.about, at.0, at.1, found.what
    );
    text
}

/// What both sides said, as far as they said anything.
pub(super) fn show(model: Option<&Answer>, kernel: Option<&Answer>) -> String {
    let mut text = String::new();
    match (model, kernel) {
        (Some(model), Some(kernel)) => show_difference(&mut text, model, kernel),
        (Some(model), None) => text = format!("        model  {}\n", show_result(model)),
        (None, Some(kernel)) => text = format!("        kernel {}\n", show_result(kernel)),
        (None, None) => {}
    }
    text
}

fn show_end(ended: &Ended) -> String {
    let (process, thread) = ended.at;
    let why = match ended.why {
        Why::AtOnce => "ends",
        Why::Woken => "goes on",
        Why::TimedOut => "times out",
        Why::Interrupted => "is interrupted",
    };
    let (name, result) = (ended.request.name(), show_result(&ended.answer));
    format!("{process}.{thread}: {name} of step {} {why} = {result}", ended.step)
}
