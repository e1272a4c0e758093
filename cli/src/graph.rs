//! `afunix graph`: sockets drawn, of the running system or of a trace.

use std::path::Path;

use afunix::snapshot::Snapshot;

use crate::args::{Format, GraphArgs};
use crate::follow::follow;
use crate::output::{FINE, Problem, print, write_file};

pub(crate) fn run(args: &GraphArgs) -> Result<bool, Problem> {
    if args.follow {
        return follow(args.interval, || look(args));
    }
    let snapshot = look(args)?;
    let picture = draw(&snapshot, args.format);
    match &args.output {
        Some(path) => {
            write_file(path, picture.as_bytes())?;
            eprintln!("{}", summary(&snapshot, path));
        }
        None => print(&picture)?,
    }
    for note in &snapshot.notes {
        eprintln!("note: {}", crate::output::escape(note));
    }
    Ok(FINE)
}

/// The snapshot to draw, filtered.
fn look(args: &GraphArgs) -> Result<Snapshot, Problem> {
    let snapshot = match &args.trace {
        Some(path) => of_trace(path)?,
        // What `--live` says, too.
        None => afunix_kernel_backend::diag::snapshot().map_err(Problem::environment)?,
    };
    let Some(expression) = &args.filter else { return Ok(snapshot) };
    afunix_viz::filter(&snapshot, expression).map_err(|error| {
        // The lines after the first point at the place; the expression is short enough without.
        let what = error.to_string();
        let what = what.lines().next().unwrap_or_default();
        Problem::usage(format!("--filter {expression:?}: {what}"))
    })
}

/// The last snapshot of a trace file.
fn of_trace(path: &Path) -> Result<Snapshot, Problem> {
    let mut trace = crate::trace::read(path)?;
    let Some((_, mut snapshot)) = trace.snapshots.pop() else {
        let shown = crate::output::escape(&path.display().to_string());
        let subject = "a graph is drawn of a snapshot, and the trace has none; see `afunix trace`";
        return Err(Problem::usage(format!("{shown}: {subject}")));
    };
    snapshot.notes.extend(trace.cut);
    Ok(snapshot)
}

pub(crate) fn draw(snapshot: &Snapshot, format: Format) -> String {
    match format {
        Format::Table => afunix_viz::table(snapshot),
        Format::Dot => afunix_viz::dot(snapshot),
        Format::Mermaid => afunix_viz::mermaid(snapshot),
        Format::Svg => afunix_viz::svg(snapshot),
        Format::Html => afunix_viz::html_graph("sockets", snapshot),
        Format::Json => afunix_viz::json(snapshot),
    }
}

fn summary(snapshot: &Snapshot, path: &Path) -> String {
    let sockets = snapshot.sockets.len();
    let processes = snapshot.processes.len();
    format!("{sockets} sockets of {processes} processes drawn to {}", path.display())
}
