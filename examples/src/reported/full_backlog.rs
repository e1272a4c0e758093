//! `full-backlog`: a client that takes EAGAIN of connect(2) for "nobody is there".
//!
//! A non-blocking connect to a full backlog fails with EAGAIN (CONNECT 5). It is neither a refusal
//! nor the EINPROGRESS of TCP: nothing goes on in the background, and no poll will tell when to
//! come again. The broken client gives up on a daemon that was only busy. (chriskohlhoff/asio#1014,
//! curl/curl#18748, tokio-rs/mio#1560, php/php-src#23669.)

use std::io::{self, Read, Write};
use std::marker::PhantomData;

use afunix::net::{AsSocket, UnixListener, UnixStream};
use afunix::{Address, Application, Host, ProcessSpec};

use crate::support::{Trying, inherited, run, status};

/// What the variants differ in.
pub trait Variant: 'static {
    /// The scenario's name.
    const NAME: &'static str;
    /// What it shows, in a line.
    const ABOUT: &'static str;

    /// Connects; an error: there is no daemon.
    fn connect<H: Host>(host: &H, address: &Address) -> io::Result<UnixStream<H>>;
}

/// Asks once.
pub struct Broken;

impl Variant for Broken {
    const NAME: &'static str = "full-backlog";
    const ABOUT: &'static str = "a client takes a full backlog for a dead daemon (asio #1014)";

    fn connect<H: Host>(host: &H, address: &Address) -> io::Result<UnixStream<H>> {
        let stream = UnixStream::connect_nonblocking(host, address)?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    }
}

/// Waits for its turn.
pub struct Fixed;

impl Variant for Fixed {
    const NAME: &'static str = "full-backlog-fixed";
    const ABOUT: &'static str = "the same client waits for room in the backlog";

    fn connect<H: Host>(host: &H, address: &Address) -> io::Result<UnixStream<H>> {
        UnixStream::connect(host, address)
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

const CONNECTIONS: usize = 2;

/// The first process starts the daemon, with a listener whose backlog holds one connection
/// (LISTEN 2), and fills its pool of connections.
fn be_client<V: Variant, H: Host>(host: &H) -> Result<(), String> {
    let name = format!("afunix-{}-{}", V::NAME, host.pid());
    let address = Address::abstract_name(name.as_bytes()).trying("name the socket")?;
    let listener = UnixListener::bind_with_backlog(host, &address, 0).trying("listen")?;
    host.process(ProcessSpec::new("daemon").fd(listener, 3), |host| {
        status(host, "daemon", be_daemon(host))
    })
    .trying("start the daemon")?;
    let mut pool = Vec::new();
    for _ in 0..CONNECTIONS {
        pool.push(V::connect(host, &address).trying("reach the daemon, which runs")?);
    }
    pool.iter_mut().try_for_each(|daemon| daemon.read_exact(&mut [0])).trying("read a greeting")
}

fn be_daemon<H: Host>(host: &H) -> Result<(), String> {
    let listener = UnixListener::from(inherited(host, 3)?);
    for _ in 0..CONNECTIONS {
        let (mut client, _) = listener.accept().trying("accept")?;
        client.write_all(b"!").trying("greet the client")?;
    }
    Ok(())
}
