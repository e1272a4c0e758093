//! `afunix run`: an unmodified program with its sockets on the model.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

use afunix::OpenFlags;
use afunix::trace::file::{Header, Source, Writer};
use afunix_supervisor::{Ended, Faults, Options, Outcome, Problem as Stopped};

use crate::args::{Format, ProgramFaults, RunArgs};
use crate::graph::draw;
use crate::output::{Problem, escape, escape_lines, write_file};

/// A trace file under way, and the first error that writing it met.
type Trace = Rc<RefCell<io::Result<Writer<BufWriter<File>>>>>;

/// Ends as the program ends.
pub(crate) fn run(args: &RunArgs) -> ExitCode {
    match supervise(args) {
        Ok(status) => ExitCode::from(status as u8),
        Err(Problem { code, text }) => {
            eprintln!("afunix: {text}");
            ExitCode::from(code)
        }
    }
}

fn supervise(args: &RunArgs) -> Result<i32, Problem> {
    let program = args.program.first().map(|word| word.to_string_lossy().into_owned());
    let program = escape(&program.unwrap_or_default());
    let trace = match &args.trace {
        Some(path) => Some(begin_trace(path, &program)?),
        None => None,
    };
    let options = Options {
        events: trace.clone().map(|trace| -> afunix_supervisor::Sink {
            Box::new(move |event| {
                let mut trace = trace.borrow_mut();
                if let Ok(writer) = &mut *trace
                    && let Err(error) = writer.event(event)
                {
                    *trace = Err(error);
                }
            })
        }),
        picture: trace.is_some() || args.graph.is_some(),
        faults: match args.faults {
            ProgramFaults::None => Faults::None,
            ProgramFaults::Io => Faults::Io,
        },
        seed: args.seed,
        allow: args.allow.clone(),
    };
    let outcome = afunix_supervisor::run(args.program.clone(), options);
    let outcome = outcome.map_err(|stopped| match stopped {
        Stopped::Program(_) | Stopped::Nul => {
            Problem::usage(format!("cannot run {program}: {stopped}"))
        }
        stopped => Problem::environment(stopped),
    })?;
    if let (Some(trace), Some(path)) = (trace, &args.trace) {
        end_trace(trace, path, &outcome)?;
    }
    if let Some(path) = &args.graph {
        let picture = outcome.report.picture.clone().unwrap_or_default();
        write_file(path, draw(&picture, format_of(path)).as_bytes())?;
    }
    if args.summary {
        eprint!("{}", escape_lines(&outcome.report.to_string()));
    }
    if outcome.report.strays > 0 {
        return Ok(1);
    }
    Ok(afunix_supervisor::end_as(outcome.ended))
}

fn format_of(path: &Path) -> Format {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg") => Format::Svg,
        Some("dot") => Format::Dot,
        Some("json") => Format::Json,
        _ => Format::Table,
    }
}

/// Begins a trace file, which only its owner may read: it tells what a program did.
fn begin_trace(path: &Path, program: &str) -> Result<Trace, Problem> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags((OpenFlags::NOFOLLOW | OpenFlags::CLOEXEC).bits())
        .open(path)
        .map_err(|error| trace_problem(path, &error))?;
    let header = Header::new(Source::Emulation, program);
    let writer = Writer::new(BufWriter::new(file), &header);
    Ok(Rc::new(RefCell::new(writer)))
}

fn end_trace(trace: Trace, path: &Path, outcome: &Outcome) -> Result<(), Problem> {
    let written = trace.replace(Err(io::Error::other("it has ended")));
    let end = match outcome.ended {
        Ended::Exited(status) => format!("exit status {status}"),
        Ended::Killed(signal) => format!("killed by signal {signal}"),
    };
    let written = written.and_then(|mut writer| {
        if let Some(picture) = &outcome.report.picture {
            writer.snapshot(picture)?;
        }
        writer.end(&end).map(drop)
    });
    written.map_err(|error| trace_problem(path, &error))
}

fn trace_problem(path: &Path, error: &io::Error) -> Problem {
    Problem::environment(format!("cannot write {path:?}: {error}"))
}
