//! Progress of long work: a bar on a terminal, a line now and then elsewhere; and Ctrl-C.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Problem;

/// How often a line is written where there is no terminal.
const PERIOD: Duration = Duration::from_secs(10);

/// Shows on standard error how far the work has come.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    whole: Option<u64>,
    last: Instant,
}

impl Progress {
    /// Progress of `whole` pieces of work, or of work until a time is over.
    pub(crate) fn new(what: &'static str, whole: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = match whole {
                Some(whole) => ProgressBar::new(whole),
                None => ProgressBar::new_spinner(),
            };
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(8));
            let style = match whole {
                Some(_) => {
                    "{bar:30} {human_pos}/{human_len} {prefix} {elapsed} (left: {eta}) {msg}"
                }
                None => "{spinner} {human_pos} {prefix} {elapsed} {msg}",
            };
            bar.set_style(ProgressStyle::with_template(style).expect("a template of ours"));
            bar.with_prefix(what)
        });
        Progress { bar, what, whole, last: Instant::now() }
    }

    /// So much is done.
    pub(crate) fn set(&mut self, done: u64, message: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                if bar.message() != message {
                    bar.set_message(message.to_owned());
                }
            }
            None if self.last.elapsed() >= PERIOD => {
                self.last = Instant::now();
                match self.whole {
                    Some(whole) => eprintln!("{done} of {whole} {} {message}", self.what),
                    None => eprintln!("{done} {} {message}", self.what),
                }
            }
            None => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A flag that Ctrl-C sets; the second Ctrl-C ends the program as usual.
pub(crate) fn stop_flag() -> Result<Arc<AtomicBool>, Problem> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let on_signal = move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nstopping with what there is; Ctrl-C again to stop at once");
    };
    ctrlc::set_handler(on_signal)
        .map_err(|error| Problem::environment(format!("cannot handle Ctrl-C: {error}")))?;
    Ok(stop)
}
