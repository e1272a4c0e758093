//! `wrong-credentials`: a server that asks the socket who its peer is, and is told who made it.
//!
//! SO_PEERCRED holds the process that called connect(2) or socketpair(2), as it was then; if a
//! child inherits the connection, or gets it passed, the answer stays the parent. Here a server
//! gives out a lease, one per process. Both workers have their connections from the same parent,
//! so the broken server takes the two for one. (SerenityOS/serenity#1186, where the trust between
//! a display server and its clients hung on it.)

use std::io::{self, Read, Write};
use std::marker::PhantomData;

use afunix::net::{AsSocket, UnixStream};
use afunix::{Application, Call, Host, Pid, PollFd, ProcessSpec, Readiness};

use crate::support::{Trying, ended_well, inherited, run, status, uninterrupted};

/// What the variants differ in.
pub trait Variant: 'static {
    /// The scenario's name.
    const NAME: &'static str;
    /// What it shows, in a line.
    const ABOUT: &'static str;

    /// Makes a connection ready for [`sender`](Variant::sender).
    fn prepare<H: Host>(worker: &UnixStream<H>) -> io::Result<()>;

    /// Reads a request of a byte, and tells who sent it; `None` at the end of file.
    fn sender<H: Host>(worker: &mut UnixStream<H>, byte: &mut [u8]) -> io::Result<Option<Pid>>;
}

/// Asks the socket.
pub struct Broken;

impl Variant for Broken {
    const NAME: &'static str = "wrong-credentials";
    const ABOUT: &'static str = "a peer is taken for whoever made its socket (serenity #1186)";

    fn prepare<H: Host>(_: &UnixStream<H>) -> io::Result<()> {
        Ok(())
    }

    fn sender<H: Host>(worker: &mut UnixStream<H>, byte: &mut [u8]) -> io::Result<Option<Pid>> {
        let len = uninterrupted(|| worker.read(byte))?;
        let peer = worker.peer_cred()?;
        Ok((len > 0).then_some(Pid(peer.pid)))
    }
}

/// Has the kernel say it of each message (SO_PASSCRED), from before the first one can be sent.
pub struct Fixed;

impl Variant for Fixed {
    const NAME: &'static str = "wrong-credentials-fixed";
    const ABOUT: &'static str = "the same server asks for the credentials of each message";

    fn prepare<H: Host>(worker: &UnixStream<H>) -> io::Result<()> {
        worker.set_pass_cred(true)
    }

    fn sender<H: Host>(worker: &mut UnixStream<H>, byte: &mut [u8]) -> io::Result<Option<Pid>> {
        let received = uninterrupted(|| worker.recv_message(byte, 0))?;
        let sender = received.credentials.map(|it| Pid(it.pid));
        Ok(sender.filter(|_| received.bytes > 0))
    }
}

/// The scenario, in one of its variants.
pub struct Scenario<V>(PhantomData<V>);

impl<V: Variant> Application for Scenario<V> {
    const NAME: &'static str = V::NAME;
    const ABOUT: &'static str = V::ABOUT;

    fn main<H: Host>(host: &H, args: &[String]) -> i32 {
        run(host, Self::NAME, args, || be_server::<V, H>(host))
    }
}

const CLAIM: u8 = b'c';
const RELEASE: u8 = b'r';

/// The first process starts two workers and serves them.
fn be_server<V: Variant, H: Host>(host: &H) -> Result<(), String> {
    let mut workers = Vec::new();
    let mut children = Vec::new();
    for name in ["one", "two"] {
        let (end, theirs) = UnixStream::pair(host).trying("make a socketpair")?;
        V::prepare(&end).trying("prepare a connection")?;
        let spec = ProcessSpec::new(name).fd(theirs, 3);
        let child = host.process(spec, |host| status(host, "worker", be_worker(host)));
        children.push(child.trying("start a worker")?);
        workers.push(end);
    }
    let mut holders: Vec<Pid> = Vec::new();
    while !workers.is_empty() {
        let mut ready: Vec<PollFd<'_>> =
            workers.iter().map(|end| PollFd::new(end.as_fd(), Readiness::IN)).collect();
        uninterrupted(|| {
            Ok(host.call(&mut Call::Poll { fds: &mut ready, timeout: None, mask: None })?)
        })
        .trying("wait for a worker")?;
        let ready: Vec<bool> = ready.iter().map(|fd| !fd.revents.is_empty()).collect();
        let mut ready = ready.into_iter();
        let mut kept = Vec::new();
        for mut worker in workers {
            if ready.next() == Some(false) || serve::<V, H>(&mut worker, &mut holders)? {
                kept.push(worker);
            }
        }
        workers = kept;
    }
    children.into_iter().try_for_each(|child| ended_well(child, "a worker"))
}

/// Answers a request; `false` at the end of file.
fn serve<V: Variant, H: Host>(
    worker: &mut UnixStream<H>,
    holders: &mut Vec<Pid>,
) -> Result<bool, String> {
    let mut request = [0];
    let Some(sender) = V::sender(worker, &mut request).trying("read a request")? else {
        return Ok(false);
    };
    if request[0] == RELEASE {
        holders.retain(|holder| *holder != sender);
        return Ok(true);
    }
    assert!(!holders.contains(&sender), "{sender} claims a second lease, though no worker does");
    holders.push(sender);
    worker.write_all(b"!").trying("answer")?;
    Ok(true)
}

fn be_worker<H: Host>(host: &H) -> Result<(), String> {
    let mut server = UnixStream::from(inherited(host, 3)?);
    server.write_all(&[CLAIM]).trying("claim a lease")?;
    server.read_exact(&mut [0]).trying("wait for the lease")?;
    server.write_all(&[RELEASE]).trying("give the lease back")
}
