//! `start-race`: commands start their daemon when there is none, and two do so at once.
//!
//! Each asks whether a daemon answers; if none does, it removes what lies at the path and binds.
//! When both have asked before either has bound, the second removes the file of the first: both
//! believe that they are the daemon, and clients reach only one. (tiian/flom#6; the same in
//! mpiton/tauri-pilot#195.)

use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use afunix::net::{UnixDatagram, UnixStream};
use afunix::{Address, Application, Host, ProcessSpec, fs};

use crate::support::{Trying, inherited, run, status, uninterrupted};

/// What the variants differ in.
pub trait Variant: 'static {
    /// The scenario's name.
    const NAME: &'static str;
    /// What it shows, in a line.
    const ABOUT: &'static str;

    /// What has to be held by whoever asks and binds. EADDRINUSE: another one holds it.
    fn lock<H: Host>(host: &H, path: &Path) -> io::Result<Option<UnixDatagram<H>>>;
}

/// Holds nothing.
pub struct Broken;

impl Variant for Broken {
    const NAME: &'static str = "start-race";
    const ABOUT: &'static str = "two daemons start at once; one removes the other's path (flom #6)";

    fn lock<H: Host>(_: &H, _: &Path) -> io::Result<Option<UnixDatagram<H>>> {
        Ok(None)
    }
}

/// Holds an abstract name, which the kernel gives to one at a time, and takes back whatever becomes
/// of its holder (BIND 4).
pub struct Fixed;

impl Variant for Fixed {
    const NAME: &'static str = "start-race-fixed";
    const ABOUT: &'static str = "the same two daemons, of which one holds a lock";

    fn lock<H: Host>(host: &H, path: &Path) -> io::Result<Option<UnixDatagram<H>>> {
        let name = Address::abstract_name(path.as_os_str().as_encoded_bytes())?;
        UnixDatagram::bind(host, &name).map(Some)
    }
}

/// The scenario, in one of its variants.
pub struct Scenario<V>(PhantomData<V>);

impl<V: Variant> Application for Scenario<V> {
    const NAME: &'static str = V::NAME;
    const ABOUT: &'static str = V::ABOUT;

    fn main<H: Host>(host: &H, args: &[String]) -> i32 {
        run(host, Self::NAME, args, || start_both::<V, H>(host))
    }
}

/// The first process is one of the two commands; the other tells it what it has become.
fn start_both<V: Variant, H: Host>(host: &H) -> Result<(), String> {
    let path = PathBuf::from(format!("/tmp/afunix-{}-{}", V::NAME, host.pid()));
    let (mut other, theirs) = UnixStream::pair(host).trying("make a socketpair")?;
    let theirs_too = path.clone();
    host.process(ProcessSpec::new("other").fd(theirs, 3), move |host| {
        status(host, "other", be_other::<V, H>(host, &theirs_too))
    })
    .trying("start the other command")?;
    let daemon = become_daemon::<V, H>(host, &path)?;
    let mut is_daemon = [0];
    other.read_exact(&mut is_daemon).trying("ask the other one")?;
    let daemons = usize::from(daemon.is_some()) + usize::from(is_daemon[0]);
    if daemons != 1 {
        return Err(format!("{daemons} daemons run: clients reach only the last that bound"));
    }
    fs::remove_file(host, &path).trying("remove the socket")
}

fn be_other<V: Variant, H: Host>(host: &H, path: &Path) -> Result<(), String> {
    let mut first = UnixStream::from(inherited(host, 3)?);
    let daemon = become_daemon::<V, H>(host, path)?;
    first.write_all(&[u8::from(daemon.is_some())]).trying("tell the first command")?;
    uninterrupted(|| first.read(&mut [0])).map(drop).trying("serve until the end")
}

/// The daemon's socket, and its lock.
type Daemon<H> = (UnixDatagram<H>, Option<UnixDatagram<H>>);

/// Becomes the daemon, if there is none.
fn become_daemon<V: Variant, H: Host>(host: &H, path: &Path) -> Result<Option<Daemon<H>>, String> {
    let claim = || -> io::Result<Daemon<H>> {
        let lock = V::lock(host, path)?;
        let address = Address::path(path)?;
        let socket = UnixDatagram::unbound(host)?;
        if socket.connect(&address).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        // Left by one that was killed, or not there.
        let _ = fs::remove_file(host, path);
        socket.bind_to(&address)?;
        Ok((socket, lock))
    };
    match claim() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        claimed => claimed.map(Some).trying("become the daemon"),
    }
}
