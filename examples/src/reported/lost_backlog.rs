//! `lost-backlog`: a server that is replaced binds its path anew, instead of taking over the
//! listener.
//!
//! Who has connected and was not accepted yet waits in the listener's queue, and with the last
//! descriptor of the listener all of them are reset (SHUT 4). A successor that is given the
//! listener inherits those who wait; one that closes it and binds afresh loses them, though the
//! path was without a listener for a moment only. (envoyproxy/envoy#2697; boazsegev/iodine#97
//! closed the listener on a hot restart.)

use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use afunix::net::{UnixListener, UnixStream};
use afunix::{Address, Application, Host, ProcessSpec, fs};

use crate::support::{Trying, inherited, run, status};

/// What the variants differ in.
pub trait Variant: 'static {
    /// The scenario's name.
    const NAME: &'static str;
    /// What it shows, in a line.
    const ABOUT: &'static str;

    /// The listener that the new server uses, which was given the old one's.
    fn listen<H: Host>(host: &H, old: UnixListener<H>, path: &Path) -> io::Result<UnixListener<H>>;
}

/// Binds anew.
pub struct Broken;

impl Variant for Broken {
    const NAME: &'static str = "lost-backlog";
    const ABOUT: &'static str = "a restarted server binds anew; who waits is reset (envoy #2697)";

    fn listen<H: Host>(host: &H, old: UnixListener<H>, path: &Path) -> io::Result<UnixListener<H>> {
        drop(old);
        fs::remove_file(host, path)?;
        UnixListener::bind(host, &Address::path(path)?)
    }
}

/// Goes on with what it was given.
pub struct Fixed;

impl Variant for Fixed {
    const NAME: &'static str = "lost-backlog-fixed";
    const ABOUT: &'static str = "the same server goes on with the listener that it is given";

    fn listen<H: Host>(_: &H, old: UnixListener<H>, _: &Path) -> io::Result<UnixListener<H>> {
        Ok(old)
    }
}

/// The scenario, in one of its variants.
pub struct Scenario<V>(PhantomData<V>);

impl<V: Variant> Application for Scenario<V> {
    const NAME: &'static str = V::NAME;
    const ABOUT: &'static str = V::ABOUT;

    fn main<H: Host>(host: &H, args: &[String]) -> i32 {
        run(host, Self::NAME, args, || restart::<V, H>(host))
    }
}

/// The first process is the old server; when it has started the new one it looks whether that
/// answers.
fn restart<V: Variant, H: Host>(host: &H) -> Result<(), String> {
    let path = PathBuf::from(format!("/tmp/afunix-{}-{}", V::NAME, host.pid()));
    let address = Address::path(&path).trying("name the socket")?;
    let listener = UnixListener::bind(host, &address).trying("listen")?;
    let theirs = path.clone();
    host.process(ProcessSpec::new("new").fd(listener, 3), move |host| {
        status(host, "new", be_new::<V, H>(host, &theirs))
    })
    .trying("start the new server")?;
    let mut server = UnixStream::connect(host, &address).trying("connect to the new server")?;
    server.read_exact(&mut [0]).trying("read the new server's greeting")?;
    fs::remove_file(host, &path).trying("remove the socket")
}

fn be_new<V: Variant, H: Host>(host: &H, path: &Path) -> Result<(), String> {
    let old = UnixListener::from(inherited(host, 3)?);
    let listener = V::listen(host, old, path).trying("listen anew")?;
    let (mut client, _) = listener.accept().trying("accept")?;
    client.write_all(b"!").trying("greet the client")
}
