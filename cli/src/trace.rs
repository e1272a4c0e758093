//! `afunix trace`: a trace file drawn; and how trace files are read and written here.

use std::io;
use std::path::Path;

use afunix::trace::file::{End, Header, Source, Trace, Writer};
use afunix_sim::{Outcome, Report};
use afunix_viz::{HtmlOptions, LadderOptions, html, ladder, mermaid_sequence, perfetto, shiviz};

use crate::args::{TraceArgs, TraceFormat};
use crate::output::{FINE, Problem, deliver, escape};

pub(crate) fn run(args: &TraceArgs) -> Result<bool, Problem> {
    let trace = read(&args.file)?;
    let other = args.compare.as_deref().map(read).transpose()?;
    if other.is_some() && args.format != TraceFormat::Html {
        return Err(Problem::usage("--compare is of --format html only"));
    }
    let picture = draw(&trace, other.as_ref(), args);
    deliver(args.output.as_deref(), &picture)?;
    for cut in
        [Some(&trace), other.as_ref()].into_iter().flatten().filter_map(|one| one.cut.as_ref())
    {
        eprintln!("note: {}", escape(cut));
    }
    Ok(FINE)
}

fn draw(trace: &Trace, other: Option<&Trace>, args: &TraceArgs) -> String {
    let events = match args.window {
        Some((from, to)) => {
            let to = to.min(trace.events.len());
            &trace.events[from.min(to)..to]
        }
        None => &trace.events[..],
    };
    match args.format {
        TraceFormat::Ladder => {
            ladder(events, &LadderOptions { width: args.width, flows: args.flows })
        }
        TraceFormat::Html => {
            let options = HtmlOptions { window: args.window };
            match (other, &args.compare) {
                (Some(other), Some(path)) => {
                    let names = [&args.file, path].map(|path| path.display().to_string());
                    html(&[(&names[0], trace), (&names[1], other)], &options)
                }
                _ => html(&[("", trace)], &options),
            }
        }
        TraceFormat::Perfetto => perfetto(events),
        TraceFormat::Shiviz => shiviz(events),
        TraceFormat::Mermaid => mermaid_sequence(events),
        TraceFormat::Json => afunix_viz::json(events),
    }
}

/// Reads a trace file, or what strace wrote; `-` is standard input.
pub(crate) fn read(path: &Path) -> Result<Trace, Problem> {
    let bytes = crate::check::read(path)?;
    let shown = escape(&path.display().to_string());
    if !bytes.trim_ascii_start().starts_with(b"{")
        && let Ok((trace, _)) = afunix_check::trace(&bytes, &shown)
    {
        return Ok(trace);
    }
    let read = Trace::read(&bytes[..]);
    read.map_err(|error| Problem::usage(format!("{shown}: {}", escape(&error.to_string()))))
}

/// A simulated run as the content of a trace file.
pub(crate) fn of_report(subject: &str, report: &Report) -> Vec<u8> {
    let trace = trace_of(subject, report);
    let write = || {
        let mut writer = Writer::new(Vec::new(), &trace.header)?;
        let mut snapshots = trace.snapshots.iter().peekable();
        for (index, event) in trace.events.iter().enumerate() {
            while let Some((_, snapshot)) = snapshots.next_if(|(before, _)| *before <= index) {
                writer.snapshot(snapshot)?;
            }
            writer.event(event)?;
        }
        snapshots.try_for_each(|(_, snapshot)| writer.snapshot(snapshot))?;
        writer.end(&outcome(report))
    };
    let written: io::Result<Vec<u8>> = write();
    written.expect("memory takes every write, and plain data serialises")
}

/// The page of a failure, with a run that passes beside it if there is one.
pub(crate) fn page_of_failure(subject: &str, failed: &Report, passed: Option<&Report>) -> String {
    let failed = trace_of(subject, failed);
    let options = HtmlOptions::default();
    match passed {
        Some(passed) => {
            let passed = trace_of(subject, passed);
            html(&[("fails", &failed), ("passes", &passed)], &options)
        }
        None => html(&[("", &failed)], &options),
    }
}

/// A simulated run as a trace.
fn trace_of(subject: &str, report: &Report) -> Trace {
    let events = report.events.clone();
    let mut snapshots = report.snapshots.clone();
    snapshots.push((events.len(), report.snapshot.clone()));
    let end = End { events: events.len() as u64, outcome: outcome(report) };
    let header = Header::new(Source::Simulation, subject);
    Trace { header, events, snapshots, end: Some(end), cut: None }
}

fn outcome(report: &Report) -> String {
    match &report.outcome {
        Outcome::Passed => "passed".to_owned(),
        Outcome::Stopped => "stopped".to_owned(),
        Outcome::Failed(failure) => format!("{}: {}", failure.kind.name(), failure.message),
    }
}
