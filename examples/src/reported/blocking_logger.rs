//! `blocking-logger`: a service logs by datagrams, and its logger asks the service something.
//!
//! A datagram socket of AF_UNIX does not drop what it has no room for: the sender waits. So a
//! service that logs waits for its logger, and must never be what the logger waits for. Here the
//! logger asks for a new log file after the first line, by a second socket; the service answers
//! between two requests, but each request is worth two lines. (systemd/systemd#1505, a notify
//! socket that blocked; linux-application-whitelisting/fapolicyd#427, a log that was rotated.)

use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::time::Duration;

use afunix::net::{AsSocket, UnixDatagram, UnixStream};
use afunix::{Application, Host, ProcessSpec, Readiness};

use crate::support::{Trying, inherited, run, status, uninterrupted};

/// What the variants differ in.
pub trait Variant: 'static {
    /// The scenario's name.
    const NAME: &'static str;
    /// What it shows, in a line.
    const ABOUT: &'static str;

    /// Gives a line to the logger.
    fn log<H: Host>(logger: &UnixDatagram<H>, line: &[u8]) -> io::Result<()>;
}

/// Waits for room.
pub struct Broken;

impl Variant for Broken {
    const NAME: &'static str = "blocking-logger";
    const ABOUT: &'static str = "a service waits for the logger that waits for it (systemd #1505)";

    fn log<H: Host>(logger: &UnixDatagram<H>, line: &[u8]) -> io::Result<()> {
        uninterrupted(|| logger.send(line)).map(drop)
    }
}

/// Drops a line for which there is no room.
pub struct Fixed;

impl Variant for Fixed {
    const NAME: &'static str = "blocking-logger-fixed";
    const ABOUT: &'static str = "the same service drops lines for which there is no room";

    fn log<H: Host>(logger: &UnixDatagram<H>, line: &[u8]) -> io::Result<()> {
        logger.set_nonblocking(true)?;
        match uninterrupted(|| logger.send(line)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            sent => sent.map(drop),
        }
    }
}

/// The scenario, in one of its variants.
pub struct Scenario<V>(PhantomData<V>);

impl<V: Variant> Application for Scenario<V> {
    const NAME: &'static str = V::NAME;
    const ABOUT: &'static str = V::ABOUT;

    fn main<H: Host>(host: &H, args: &[String]) -> i32 {
        run(host, Self::NAME, args, || be_service::<V, H>(host))
    }
}

const REQUESTS: usize = 2;

/// A line so long that the smallest send buffer takes one at a time (MEM 6, MEM 9).
const LINE: [u8; 4000] = [b'.'; 4000];

/// The first process is the service. It makes its requests up.
fn be_service<V: Variant, H: Host>(host: &H) -> Result<(), String> {
    let (logger, lines) = UnixDatagram::pair(host).trying("make a socketpair")?;
    let (mut control, theirs) = UnixStream::pair(host).trying("make a socketpair")?;
    let spec = ProcessSpec::new("logger").fd(lines, 3).fd(theirs, 4);
    host.process(spec, |host| status(host, "logger", be_logger(host))).trying("start a logger")?;
    logger.set_send_buffer_size(1).trying("set the send buffer")?;
    for _ in 0..REQUESTS {
        for _ in ["begins", "ends"] {
            V::log(&logger, &LINE).trying("log")?;
        }
        if answer(&mut control, Some(Duration::ZERO))? {
            return Ok(());
        }
    }
    answer(&mut control, None).map(drop)
}

/// Answers the logger's question, if it comes in time.
fn answer<H: Host>(control: &mut UnixStream<H>, wait: Option<Duration>) -> Result<bool, String> {
    let ready = uninterrupted(|| control.poll(Readiness::IN, wait)).trying("look for work")?;
    if ready.is_empty() {
        return Ok(false);
    }
    control.read_exact(&mut [0]).trying("read the question")?;
    control.write_all(b"!").trying("answer the logger")?;
    Ok(true)
}

/// Asks after the first line.
fn be_logger<H: Host>(host: &H) -> Result<(), String> {
    let lines = UnixDatagram::from(inherited(host, 3)?);
    let mut service = UnixStream::from(inherited(host, 4)?);
    uninterrupted(|| lines.recv(&mut [0; 8])).trying("read a line")?;
    service.write_all(b"?").trying("ask for a new file")?;
    service.read_exact(&mut [0]).trying("wait for the new file")
}
