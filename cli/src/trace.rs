//! `afunix trace`: a trace file drawn; and how trace files are read and written here.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use afunix::trace::file::{Header, Source, Trace, Writer};
use afunix_sim::{Outcome, Report};
use afunix_viz::{LadderOptions, ladder};

use crate::args::{TraceArgs, TraceFormat};
use crate::output::{FINE, Problem, deliver, escape};

pub(crate) fn run(args: &TraceArgs) -> Result<bool, Problem> {
    let trace = read(&args.file)?;
    let picture = draw(&trace, args);
    deliver(args.output.as_deref(), &picture)?;
    if let Some(cut) = &trace.cut {
        eprintln!("note: {}", escape(cut));
    }
    Ok(FINE)
}

fn draw(trace: &Trace, args: &TraceArgs) -> String {
    match args.format {
        TraceFormat::Ladder => {
            ladder(&trace.events, &LadderOptions { width: args.width, flows: args.flows })
        }
        TraceFormat::Json => afunix_viz::json(&trace.events),
    }
}

/// Reads a trace file; `-` is standard input.
pub(crate) fn read(path: &Path) -> Result<Trace, Problem> {
    let shown = escape(&path.display().to_string());
    let read = if path == Path::new("-") {
        Trace::read(io::stdin().lock())
    } else {
        let file = File::open(path).map_err(|error| Problem::usage(format!("{shown}: {error}")))?;
        Trace::read(BufReader::new(file))
    };
    read.map_err(|error| Problem::usage(format!("{shown}: {}", escape(&error.to_string()))))
}

/// A simulated run as the content of a trace file.
pub(crate) fn of_report(subject: &str, report: &Report) -> Vec<u8> {
    let write = || {
        let mut writer = Writer::new(Vec::new(), &Header::new(Source::Simulation, subject))?;
        let mut snapshots = report.snapshots.iter().peekable();
        for (index, event) in report.events.iter().enumerate() {
            while let Some((_, snapshot)) = snapshots.next_if(|(before, _)| *before <= index) {
                writer.snapshot(snapshot)?;
            }
            writer.event(event)?;
        }
        writer.snapshot(&report.snapshot)?;
        writer.end(&outcome(report))
    };
    let written: io::Result<Vec<u8>> = write();
    written.expect("memory takes every write, and plain data serialises")
}

fn outcome(report: &Report) -> String {
    match &report.outcome {
        Outcome::Passed => "passed".to_owned(),
        Outcome::Stopped => "stopped".to_owned(),
        Outcome::Failed(failure) => format!("{}: {}", failure.kind.name(), failure.message),
    }
}
