//! `interrupted-server`: a server that takes EINTR for a broken connection.
//!
//! A signal with a handler ends a call that waits, unless the handler was set with SA_RESTART. The
//! server is told by SIGUSR1 to open its log again; if that comes while it waits for a request, the
//! broken one closes a connection with which nothing is wrong. (oven-sh/bun#12357: "usockets sees
//! an error, closes the socket".)

use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use afunix::net::UnixStream;
use afunix::{Application, Host, ProcessSpec, SaFlags, Signal};

use crate::support::{Trying, inherited, run, status, uninterrupted};

/// What the variants differ in.
pub trait Variant: 'static {
    /// The scenario's name.
    const NAME: &'static str;
    /// What it shows, in a line.
    const ABOUT: &'static str;

    /// Reads what is there, and waits for it; an error ends the connection.
    fn read<H: Host>(client: &mut UnixStream<H>, request: &mut [u8]) -> io::Result<usize>;
}

/// Hands on every error.
pub struct Broken;

impl Variant for Broken {
    const NAME: &'static str = "interrupted-server";
    const ABOUT: &'static str = "a server closes a connection when a signal comes (bun #12357)";

    fn read<H: Host>(client: &mut UnixStream<H>, request: &mut [u8]) -> io::Result<usize> {
        client.read(request)
    }
}

/// Reads again after EINTR.
pub struct Fixed;

impl Variant for Fixed {
    const NAME: &'static str = "interrupted-server-fixed";
    const ABOUT: &'static str = "the same server reads again after EINTR";

    fn read<H: Host>(client: &mut UnixStream<H>, request: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| client.read(request))
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

/// The first process is the client, and rotates the log.
fn be_client<V: Variant, H: Host>(host: &H) -> Result<(), String> {
    let (mut connection, theirs) = UnixStream::pair(host).trying("make a socketpair")?;
    let spec = ProcessSpec::new("server").fd(theirs, 3);
    let server = host
        .process(spec, |host| status(host, "server", be_server::<V, H>(host)))
        .trying("start the server")?;
    let mut answer = [0];
    connection.read_exact(&mut answer).trying("wait until the server is ready")?;
    server.kill(Signal::Usr1).trying("tell the server to open its log again")?;
    connection.write_all(b"?").trying("ask")?;
    connection.read_exact(&mut answer).trying("read the answer")
}

/// Answers one request. That the log is open is told by a byte, after which SIGUSR1 may come.
fn be_server<V: Variant, H: Host>(host: &H) -> Result<(), String> {
    let mut client = UnixStream::from(inherited(host, 3)?);
    let logs_opened = Arc::new(AtomicU32::new(1));
    let counter = Arc::clone(&logs_opened);
    let open_again = move |_: &H| {
        counter.fetch_add(1, Ordering::Relaxed);
    };
    host.on_signal(Signal::Usr1 as i32, SaFlags::empty(), open_again).trying("handle SIGUSR1")?;
    client.write_all(b"r").trying("say that it is ready")?;
    let mut request = [0];
    V::read(&mut client, &mut request).trying("read a request, so it closes the connection")?;
    client.write_all(&request).trying("answer")
}
