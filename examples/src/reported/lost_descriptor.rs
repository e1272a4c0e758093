//! `lost-descriptor`: a server that does not look at MSG_CTRUNC.
//!
//! If there is no number left for a descriptor that comes with a message, the kernel drops it,
//! delivers the rest, and sets MSG_CTRUNC (RCMSG 5). Here a job's descriptor says where its result
//! goes, and a job without one wants none; so when the table is full the broken server takes a job
//! for one that wants no result. (freeunitorg/freeunit#264; systemd/systemd#15457 went through a
//! whole tree for it.)

use std::io::{Read, Write};
use std::marker::PhantomData;

use afunix::net::{AsSocket, Message, Received, UnixSeqpacket, UnixStream};
use afunix::{Application, Host, Limits, ProcessSpec, RecvFlags, Thread};

use crate::support::{Trying, inherited, run, status, uninterrupted};

/// What the variants differ in.
pub trait Variant: 'static {
    /// The scenario's name.
    const NAME: &'static str;
    /// What it shows, in a line.
    const ABOUT: &'static str;

    /// The next job, while these are at work.
    fn next_job<H: Host>(
        channel: &UnixSeqpacket<H>,
        at_work: &mut Vec<Thread<()>>,
    ) -> Result<Received<H>, String>;
}

/// Takes what comes.
pub struct Broken;

impl Variant for Broken {
    const NAME: &'static str = "lost-descriptor";
    const ABOUT: &'static str = "a full descriptor table swallows a descriptor (freeunit #264)";

    fn next_job<H: Host>(
        channel: &UnixSeqpacket<H>,
        _: &mut Vec<Thread<()>>,
    ) -> Result<Received<H>, String> {
        uninterrupted(|| channel.recv_message(&mut [0], 1)).trying("receive a job")
    }
}

/// Takes a job when it has a number for its descriptor; a lost one is an error.
pub struct Fixed;

impl Variant for Fixed {
    const NAME: &'static str = "lost-descriptor-fixed";
    const ABOUT: &'static str = "the same server takes a job when there is room for it";

    fn next_job<H: Host>(
        channel: &UnixSeqpacket<H>,
        at_work: &mut Vec<Thread<()>>,
    ) -> Result<Received<H>, String> {
        at_work.drain(..).try_for_each(Thread::join).map_err(|panicked| panicked.to_string())?;
        let job = uninterrupted(|| channel.recv_message(&mut [0], 1)).trying("receive a job")?;
        let is_lost = job.flags.contains(RecvFlags::CTRUNC);
        if is_lost { Err("a job came without its descriptor".into()) } else { Ok(job) }
    }
}

/// The scenario, in one of its variants.
pub struct Scenario<V>(PhantomData<V>);

impl<V: Variant> Application for Scenario<V> {
    const NAME: &'static str = V::NAME;
    const ABOUT: &'static str = V::ABOUT;

    fn main<H: Host>(host: &H, args: &[String]) -> i32 {
        run(host, Self::NAME, args, || be_client::<V, H>(host))
    }
}

const JOBS: usize = 2;
/// What a server may have open: the standard three, its channel, and a job's descriptor.
const LIMIT: Limits = Limits { descriptors: 5 };

/// The first process is the client. All results come by one socket.
fn be_client<V: Variant, H: Host>(host: &H) -> Result<(), String> {
    let (jobs, theirs) = UnixSeqpacket::pair(host).trying("make a socketpair")?;
    let (mut results, out) = UnixStream::pair(host).trying("make a socketpair")?;
    let spec = ProcessSpec::new("server").fd(theirs, 3).limits(LIMIT);
    host.process(spec, |host| status(host, "server", be_server::<V, H>(host)))
        .trying("start the server")?;
    for _ in 0..JOBS {
        let (fds, job) = ([out.as_fd()], b"j");
        uninterrupted(|| jobs.send_message(&Message::new(job).fds(&fds))).trying("send a job")?;
    }
    drop(out);
    let mut came = Vec::new();
    results.read_to_end(&mut came).trying("read the results")?;
    match came.len() {
        JOBS => Ok(()),
        count => Err(format!("{JOBS} jobs were taken, and {count} results came")),
    }
}

/// Makes each job in a thread of its own.
fn be_server<V: Variant, H: Host>(host: &H) -> Result<(), String> {
    let channel = UnixSeqpacket::from(inherited(host, 3)?);
    let mut at_work = Vec::new();
    for _ in 0..JOBS {
        let mut job = V::next_job(&channel, &mut at_work)?;
        if let Some(fd) = job.fds.pop() {
            let mut out = UnixStream::from(fd);
            // A client that went away wants no result.
            at_work.push(host.spawn("job", move || drop(out.write_all(b"r"))));
        }
    }
    at_work.into_iter().try_for_each(Thread::join).map_err(|panicked| panicked.to_string())
}
