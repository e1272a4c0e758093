//! `pipeline`: three processes joined by socketpairs, as a shell joins them by pipes.
//!
//! `count` writes numbers, `square` squares each line, `digest` counts the lines and sums up the
//! bytes; its report comes back to the parent over a third socketpair. Each stage knows its ends by
//! number (3 reads, 4 writes) and goes on until its input ends. The parent runs the same stages
//! without sockets and compares.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use afunix::net::{OwnedFd, UnixStream};
use afunix::{Application, Host, ProcessSpec};

use crate::support::{Trying, ended_well, inherited, run, status};

/// The scenario.
pub struct Pipeline;

impl Application for Pipeline {
    const NAME: &'static str = "pipeline";
    const ABOUT: &'static str = "three stages joined by socketpairs, inherited by number";

    fn main<H: Host>(host: &H, args: &[String]) -> i32 {
        run(host, Self::NAME, args, || pipeline(host))
    }
}

const LINES: u64 = 200;

/// A stage: from its input to its output.
type Stage = fn(&mut dyn BufRead, &mut dyn Write) -> io::Result<()>;

const STAGES: [(&str, Stage); 3] = [("count", count), ("square", square), ("digest", digest)];

fn count(_: &mut dyn BufRead, output: &mut dyn Write) -> io::Result<()> {
    (1..=LINES).try_for_each(|number| writeln!(output, "{number}"))
}

fn square(input: &mut dyn BufRead, output: &mut dyn Write) -> io::Result<()> {
    for line in input.lines() {
        let number: u64 = line?.parse().map_err(io::Error::other)?;
        writeln!(output, "{}", number * number)?;
    }
    Ok(())
}

/// Lines, and the 64-bit FNV-1a sum of the bytes.
fn digest(input: &mut dyn BufRead, output: &mut dyn Write) -> io::Result<()> {
    let mut lines = 0;
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        lines += 1;
        for byte in line.drain(..) {
            sum = (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    writeln!(output, "{lines} lines, sum {sum:016x}")
}

fn pipeline<H: Host>(host: &H) -> Result<(), String> {
    let pair = || UnixStream::pair(host).trying("make a socketpair");
    // The first stage's input is at its end from the start: nobody holds the other end.
    let (_, mut input) = pair()?;
    let mut stages = Vec::new();
    for (name, stage) in STAGES {
        let (output, next) = pair()?;
        let spec = ProcessSpec::new(name).fd(input, 3).fd(output, 4);
        let child = host
            .process(spec, move |host| status(host, name, run_stage(host, stage)))
            .trying("start a stage")?;
        stages.push((name, child));
        input = next;
    }
    let mut report = String::new();
    input.read_to_string(&mut report).trying("read the report")?;
    for (name, child) in stages {
        ended_well(child, name)?;
    }
    host.print(&format!("pipeline: {}", report.trim_end()));
    let wanted = without_sockets().trying("run the stages without sockets")?;
    if report.as_bytes() == wanted {
        return Ok(());
    }
    Err(format!("without sockets it is {}", String::from_utf8_lossy(&wanted).trim_end()))
}

fn run_stage<H: Host>(host: &H, stage: Stage) -> Result<(), String> {
    let end = |fd: OwnedFd<H>| UnixStream::from(fd);
    let mut input = BufReader::with_capacity(512, inherited(host, 3).map(end)?);
    let mut output = BufWriter::with_capacity(512, inherited(host, 4).map(end)?);
    stage(&mut input, &mut output).and_then(|()| output.flush()).trying("pass the lines on")
}

fn without_sockets() -> io::Result<Vec<u8>> {
    STAGES.into_iter().try_fold(Vec::new(), |input, (_, stage)| {
        let mut output = Vec::new();
        stage(&mut input.as_slice(), &mut output)?;
        Ok(output)
    })
}
