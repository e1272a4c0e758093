//! What the command line accepts.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use afunix_sim::Check;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Unix domain sockets on the kernel, on threads over a model, and in a deterministic simulation.
#[derive(Debug, Parser)]
#[command(name = "afunix", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 fine, 1 a finding, 2 wrong use, 3 the environment lacks something."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the scenarios that are built in
    List(ListArgs),
    /// Runs a scenario under many schedules and faults, and reports the first failure, shrunk
    Explore(ExploreArgs),
    /// Runs the tape of a failure again, step for step
    Replay(ReplayArgs),
    /// Runs a scenario once and shows its own output
    Play(PlayArgs),
    /// Runs an unmodified program with its Unix sockets on the model
    Run(RunArgs),
    /// Draws the Unix sockets of the running system, or of a trace: who talks to whom
    Graph(GraphArgs),
    /// Draws what happened in a trace file, which `explore` and `replay` write, or in an strace log
    Trace(TraceArgs),
    /// Replays what strace saw of a program, and says whether the model explains it
    Check(CheckArgs),
    /// Runs random programs of calls on the model and on the kernel in lock-step
    Diff(DiffArgs),
    /// Writes the manual pages, one per command
    Man(ManArgs),
    /// Prints a shell's completions
    Completions(CompletionsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// As JSON: {"scenarios":[{"name":..,"about":..}]}
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExploreArgs {
    /// The scenario; `afunix list` shows them
    pub(crate) scenario: String,
    /// How many runs [default: 10000; of an exhaustive search, as many as there are]
    #[arg(long, conflicts_with = "time")]
    pub(crate) runs: Option<u64>,
    /// How long instead: 500ms, 30s, 5m
    #[arg(long, value_parser = parse_time)]
    pub(crate) time: Option<Duration>,
    /// The seed: the same one gives the same runs
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// How schedules are chosen
    #[arg(long, value_enum, default_value_t = Strategy::Random)]
    pub(crate) strategy: Strategy,
    /// Of pct: how many steps have to come in a certain order for the bug to show
    #[arg(long, default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(crate) depth: u32,
    /// Of exhaustive: only schedules that take the turn from a thread that could go on so often at
    /// most
    #[arg(long)]
    pub(crate) preemptions: Option<u32>,
    /// Which faults may strike; `portfolio` draws one of none to all for each run [default:
    /// portfolio; of an exhaustive search, none]
    #[arg(long, value_enum)]
    pub(crate) faults: Option<Faults>,
    /// What is not looked for, where a scenario means it so: descriptor-leak, lost-in-flight,
    /// stale-path, lost-bytes, replaced-path, idle
    #[arg(long, value_name = "CHECK")]
    pub(crate) allow: Vec<Check>,
    /// How many threads search; the result is the same. (An exhaustive search has one)
    #[arg(long, default_value_t = default_jobs())]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) jobs: u32,
    /// How simulated threads run; the result is the same, `os` is slower
    #[arg(long, value_enum, default_value_t = SimThreads::Coroutines)]
    pub(crate) threads: SimThreads,
    /// Where a failure's tape, ladder and graph are written
    #[arg(long, default_value = "afunix-out")]
    pub(crate) out: PathBuf,
    /// The report as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Arguments of the scenario
    #[arg(last = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SimThreads {
    /// As coroutines on one thread
    Coroutines,
    /// As threads of the system, one at a time: for code that keeps something in thread-locals
    Os,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Strategy {
    /// Each choice at random
    Random,
    /// Random priorities that change at few random points: finds a bug of a small depth with a
    /// stated probability
    Pct,
    /// Every run that differs, once: a proof, if it comes to its end
    Exhaustive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Faults {
    /// Schedules alone
    None,
    /// EINTR, short reads and writes
    Io,
    /// Processes that claim to survive it are killed
    Crash,
    /// All of these at once
    All,
    /// `io`, and what POSIX does not promise: datagrams lost, out of order, without room; on a
    /// machine that lacks what Linux has beyond POSIX
    Posix,
    /// none, io, crash or all, drawn for each run
    Portfolio,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The tape that `explore` wrote
    pub(crate) tape: PathBuf,
    /// How simulated threads run; the result is the same
    #[arg(long, value_enum, default_value_t = SimThreads::Coroutines)]
    pub(crate) threads: SimThreads,
    /// Stops after so many steps and shows the sockets as they are then
    #[arg(long)]
    pub(crate) until: Option<u64>,
    /// The trace file to write; not written without, unless the run fails [default: the tape's name
    /// with .trace.jsonl]
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Arguments of the scenario instead of the tape's. Directories are loaded only if they are
    /// named here
    #[arg(last = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PlayArgs {
    /// The scenario; `afunix list` shows them
    pub(crate) scenario: String,
    /// What it runs on
    #[arg(long, value_enum)]
    pub(crate) backend: BackendName,
    /// The seed of the schedule (backend sim)
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Arguments of the scenario
    #[arg(last = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendName {
    /// The model under the deterministic scheduler
    Sim,
    /// The model under real threads
    Threads,
    /// The real kernel
    Kernel,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Tells at the end, on standard error, what was seen
    #[arg(long)]
    pub(crate) summary: bool,
    /// The trace file to write, for `afunix trace` and `afunix graph --trace`
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Draws the sockets of the moment when there were the most, to a file: .svg, .dot, .json, or
    /// a table
    #[arg(long, value_name = "FILE")]
    pub(crate) graph: Option<PathBuf>,
    /// Which faults may strike the program's calls
    #[arg(long, value_enum, default_value_t = ProgramFaults::None)]
    pub(crate) faults: ProgramFaults,
    /// The seed of the faults: each process that does the same is done the same
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// A real socket that the program may reach, by its path; may be given several times
    #[arg(long, value_name = "PATH")]
    pub(crate) allow: Vec<PathBuf>,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    pub(crate) program: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgramFaults {
    /// None
    None,
    /// Calls that wait are interrupted (EINTR), reads and nonblocking writes on streams are short
    Io,
}

#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    /// The running system (the default)
    #[arg(long)]
    pub(crate) live: bool,
    /// Prints what changes, as it changes, until Ctrl-C
    #[arg(long, conflicts_with_all = ["trace", "format", "output"])]
    pub(crate) follow: bool,
    /// How often to look when following: 500ms, 2s
    #[arg(long, value_parser = parse_time, default_value = "1s", requires = "follow")]
    pub(crate) interval: Duration,
    /// The last snapshot of a trace file, or the busiest moment of an strace log, instead; `-` for
    /// standard input
    #[arg(long, value_name = "FILE", conflicts_with = "live")]
    pub(crate) trace: Option<PathBuf>,
    /// How to draw it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Which sockets: pid=12, program=dbus-daemon, name~bus, type=stream, state=listening, with
    /// and, or, not
    #[arg(long)]
    pub(crate) filter: Option<String>,
    /// The file to write; standard output without
    #[arg(short, long)]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns, as ss has them, with the peers joined
    Table,
    /// For Graphviz
    Dot,
    /// For pages that draw Mermaid
    Mermaid,
    /// A picture
    Svg,
    /// A page of its own; of a trace with its steps
    Html,
    /// The snapshot itself
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// The trace file, or a log of strace; `-` for standard input
    pub(crate) file: PathBuf,
    /// How to draw it
    #[arg(long, value_enum, default_value_t = TraceFormat::Ladder)]
    pub(crate) format: TraceFormat,
    /// Of the page: another run beside it, and the first difference
    #[arg(long, value_name = "FILE")]
    pub(crate) compare: Option<PathBuf>,
    /// Only these events: 5000..6000
    #[arg(long, value_name = "FROM..TO", value_parser = parse_window)]
    pub(crate) window: Option<(usize, usize)>,
    /// Columns of the ladder
    #[arg(long, default_value_t = 110)]
    pub(crate) width: usize,
    /// In the ladder, also each message buffer queued and taken, and each socket freed
    #[arg(long)]
    pub(crate) flows: bool,
    /// The file to write; standard output without
    #[arg(short, long)]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TraceFormat {
    /// A sequence chart in text, a lane per thread
    Ladder,
    /// A page: graph and ladder, step by step
    Html,
    /// For ui.perfetto.dev and chrome://tracing
    Perfetto,
    /// For ShiViz
    Shiviz,
    /// A sequence diagram, for pages that draw Mermaid
    Mermaid,
    /// The events as one array
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// What `strace -f -yy -o LOG PROGRAM` wrote; `-` for standard input
    pub(crate) log: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// How many calls
    #[arg(long, default_value_t = 100_000)]
    pub(crate) steps: u64,
    /// The seed; drawn and printed if it is not given
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How many threads run programs; the result is the same
    #[arg(long, default_value_t = default_jobs())]
    pub(crate) jobs: u32,
    /// Prints what was covered as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Plants a bug in the model first, by name, to see that it is found (`list` names them)
    #[arg(long, value_name = "BUG")]
    pub(crate) planted: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Where the pages are written; `man -l DIRECTORY/afunix.1` shows one
    pub(crate) directory: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

fn default_jobs() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32)
}

/// A range of events: `5000..6000`, without the last.
fn parse_window(text: &str) -> Result<(usize, usize), String> {
    let wrong = || "write it as FROM..TO, such as 5000..6000".to_owned();
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let (from, to) = (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
    if from < to { Ok((from, to)) } else { Err("nothing lies between these".to_owned()) }
}

/// A time as `500ms`, `30s`, `5m`, `1h`; a bare number is seconds.
fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| "write it as 500ms, 30s, 5m or 1h".to_owned())?;
    let time = match &text[digits.len()..] {
        "ms" => Some(Duration::from_millis(number)),
        "" | "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        unit => return Err(format!("unknown unit {unit:?}: write it as 500ms, 30s, 5m or 1h")),
    };
    match time {
        Some(time) if time.is_zero() => Err("no run fits into no time".to_owned()),
        Some(time) if time <= Duration::from_secs(365 * 24 * 3600) => Ok(time),
        _ => Err("longer than a year".to_owned()),
    }
}
