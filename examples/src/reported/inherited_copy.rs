//! `inherited-copy`: a child that inherits a descriptor by accident keeps the end of file away.
//!
//! A master has two workers, each at the other end of a socketpair, and stops the one that is ready
//! first: it closes its end and waits for the worker to end, which reads until the end of file.
//! But the second worker was started when the first one's end was open already and without
//! close-on-exec, so it holds a copy. The end of file comes when *all* copies are closed: if the
//! first worker is ready first, master and worker wait for ever. (hegeldev/hegel-cpp#35; the same
//! in dotnet/corefx#16180.)
//!
//! A process here gets the descriptors that it is given, and no others; so the accident is written
//! out.

use std::io::{Read, Write};
use std::marker::PhantomData;

use afunix::net::{AsSocket, UnixStream};
use afunix::{Application, Call, Child, Host, PollFd, ProcessSpec, Readiness};

use crate::support::{Trying, ended_well, inherited, run, status, uninterrupted};

/// What the variants differ in.
pub trait Variant: 'static {
    /// The scenario's name.
    const NAME: &'static str;
    /// What it shows, in a line.
    const ABOUT: &'static str;
    /// Whether descriptors are closed when a child is started.
    const CLOSE_ON_EXEC: bool;
}

/// Lets children inherit.
pub struct Broken;

impl Variant for Broken {
    const NAME: &'static str = "inherited-copy";
    const ABOUT: &'static str = "a child's stray copy keeps the end of file away (hegel-cpp #35)";
    const CLOSE_ON_EXEC: bool = false;
}

/// Gives a child what is its own.
pub struct Fixed;

impl Variant for Fixed {
    const NAME: &'static str = "inherited-copy-fixed";
    const ABOUT: &'static str = "the same children get their own descriptors only";
    const CLOSE_ON_EXEC: bool = true;
}

/// The scenario, in one of its variants.
pub struct Scenario<V>(PhantomData<V>);

impl<V: Variant> Application for Scenario<V> {
    const NAME: &'static str = V::NAME;
    const ABOUT: &'static str = V::ABOUT;

    fn main<H: Host>(host: &H, args: &[String]) -> i32 {
        run(host, Self::NAME, args, || be_master::<V, H>(host))
    }
}

/// A worker, and the master's end of what joins them.
type Worker<H> = (UnixStream<H>, Child<H>);

fn be_master<V: Variant, H: Host>(host: &H) -> Result<(), String> {
    let first = start_worker(host, ProcessSpec::new("first"))?;
    let mut spec = ProcessSpec::new("second");
    if !V::CLOSE_ON_EXEC {
        spec = spec.fd(first.0.try_clone().trying("copy a descriptor")?, 4);
    }
    let second = start_worker(host, spec)?;
    let mut ready = [&first, &second].map(|(end, _)| PollFd::new(end.as_fd(), Readiness::IN));
    uninterrupted(|| {
        Ok(host.call(&mut Call::Poll { fds: &mut ready, timeout: None, mask: None })?)
    })
    .trying("wait for a worker")?;
    let is_first = !ready[0].revents.is_empty();
    let order = if is_first { [first, second] } else { [second, first] };
    order.into_iter().try_for_each(stop)
}

fn start_worker<H: Host>(host: &H, spec: ProcessSpec<H>) -> Result<Worker<H>, String> {
    let (end, theirs) = UnixStream::pair(host).trying("make a socketpair")?;
    let worker = host
        .process(spec.fd(theirs, 3), |host| status(host, "worker", be_worker(host)))
        .trying("start a worker")?;
    Ok((end, worker))
}

/// Hears that the worker is ready, closes the master's end, and waits.
fn stop<H: Host>((mut end, worker): Worker<H>) -> Result<(), String> {
    end.read_exact(&mut [0]).trying("hear of a worker")?;
    drop(end);
    ended_well(worker, "a worker")
}

/// Says that it is ready, and ends at the end of file.
fn be_worker<H: Host>(host: &H) -> Result<(), String> {
    let mut master = UnixStream::from(inherited(host, 3)?);
    // What it inherited by accident it knows nothing of. It stays open.
    master.write_all(b"r").trying("tell the master")?;
    uninterrupted(|| master.read(&mut [0])).map(drop).trying("wait for the end of file")
}
