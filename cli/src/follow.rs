//! `afunix graph --live --follow`: what changes on the running system, as it changes.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use afunix::snapshot::Snapshot;

use crate::output::{FINE, Problem, escape};
use crate::progress::stop_flag;

/// How long Ctrl-C may have to wait.
const NAP: Duration = Duration::from_millis(50);

/// Prints changes every `interval` until Ctrl-C, or until nobody reads them any more. `look` takes
/// a snapshot.
pub(crate) fn follow(
    interval: Duration,
    look: impl Fn() -> Result<Snapshot, Problem>,
) -> Result<bool, Problem> {
    let stop = stop_flag()?;
    let start = Instant::now();
    let mut before = look()?;
    eprintln!("following {} sockets; Ctrl-C ends it", before.sockets.len());
    tell_notes(&before, &[]);
    let mut next = start + interval;
    while !stop.load(Ordering::Relaxed) {
        let left = next.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            std::thread::sleep(left.min(NAP));
            continue;
        }
        next += interval;
        let now = look()?;
        tell_notes(&now, &before.notes);
        let at = start.elapsed().as_secs_f64();
        let lines: String = afunix_viz::changes(&before, &now)
            .into_iter()
            .map(|line| format!("{at:9.3} {line}\n"))
            .collect();
        match io::stdout().write_all(lines.as_bytes()).and_then(|()| io::stdout().flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            Err(error) => {
                let text = format!("cannot write to standard output: {error}");
                return Err(Problem::environment(text));
            }
        }
        before = now;
    }
    Ok(FINE)
}

/// What cannot be seen, when it becomes other.
fn tell_notes(now: &Snapshot, before: &[String]) {
    for note in now.notes.iter().filter(|note| !before.contains(note)) {
        eprintln!("note: {}", escape(note));
    }
}
