//! `stale-socket`: a daemon that is killed leaves its socket file behind, and its next start fails
//! with EADDRINUSE (BIND 2, BIND 6). What should it do about a path that exists?
//!
//! The first process is a service manager: it starts the daemon, and again whenever a signal killed
//! it. In some runs (it is drawn) an operator starts the daemon too; the second to come shall see
//! that another one is running, and leave. Each says over its socketpair, the *lifeline*, whether
//! it serves or leaves; when the lifeline closes, it ends. The manager is the client as well: from
//! when all have decided on, exactly one daemon serves.
//!
//! | variant | a path that exists | wrong because |
//! |---|---|---|
//! | `stale-socket` | means that another one is running | a dead one's file stays |
//! | `stale-socket-unlink` | is removed if nobody answers | the other may be about to listen |
//! | `stale-socket-fixed` | is replaced by whoever holds a lock | |

use std::io::{self, ErrorKind, Read, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use afunix::net::{AsSocket, OwnedFd, UnixDatagram, UnixListener, UnixStream};
use afunix::{Address, Application, Call, Child, Exit, Host, PollFd, ProcessSpec, Readiness, fs};

use crate::support::{Trying, explain, inherited, run, status, uninterrupted};

/// A listener, and what has to be held as long as it serves.
pub type Claim<H> = (UnixListener<H>, Option<OwnedFd<H>>);

/// What the variants differ in.
pub trait Variant: 'static {
    /// The scenario's name.
    const NAME: &'static str;
    /// What it shows, in a line.
    const ABOUT: &'static str;

    /// Listens at `path`. EADDRINUSE: another daemon is running.
    fn claim<H: Host>(host: &H, path: &Path) -> io::Result<Claim<H>>;
}

/// Takes every file for a running daemon.
pub struct Broken;

impl Variant for Broken {
    const NAME: &'static str = "stale-socket";
    const ABOUT: &'static str = "a killed daemon leaves its socket file; its next start meets it";

    fn claim<H: Host>(host: &H, path: &Path) -> io::Result<Claim<H>> {
        Ok((UnixListener::bind(host, &Address::path(path)?)?, None))
    }
}

/// Removes the file if nobody answers.
pub struct Unlink;

impl Variant for Unlink {
    const NAME: &'static str = "stale-socket-unlink";
    const ABOUT: &'static str =
        "the daemon removes a socket file that nobody answers; so does another";

    fn claim<H: Host>(host: &H, path: &Path) -> io::Result<Claim<H>> {
        let address = Address::path(path)?;
        match UnixListener::bind(host, &address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                if UnixStream::connect(host, &address).is_ok() {
                    return Err(error);
                }
                // If it is gone, the other one was faster, and bind decides.
                let _ = fs::remove_file(host, path);
                Ok((UnixListener::bind(host, &address)?, None))
            }
            bound => Ok((bound?, None)),
        }
    }
}

/// Lets a lock decide who may replace the file.
///
/// The lock is an abstract name, which the kernel gives to one socket at a time and frees when its
/// holder ends, however it ends (ADDR 5, BIND 4, BIND 6). So at most one daemon is past the bind of
/// the lock, and nobody else touches either path; whatever lies there was left by a dead one.
/// rename(2) puts a socket that listens in its place: a client never meets one that does not.
pub struct Fixed;

impl Variant for Fixed {
    const NAME: &'static str = "stale-socket-fixed";
    const ABOUT: &'static str = "the daemon replaces a socket file while it holds a lock";

    fn claim<H: Host>(host: &H, path: &Path) -> io::Result<Claim<H>> {
        let lock = Address::abstract_name(path.as_os_str().as_encoded_bytes())?;
        let lock = UnixDatagram::bind(host, &lock)?;
        let fresh = path.with_extension("new");
        // Left by one that died before the rename. If it stays, bind will say so.
        let _ = fs::remove_file(host, &fresh);
        let listener = UnixListener::bind(host, &Address::path(&fresh)?)?;
        fs::rename(host, &fresh, path)?;
        Ok((listener, Some(lock.into())))
    }
}

/// The scenario, in one of its variants.
pub struct Scenario<V>(PhantomData<V>);

impl<V: Variant> Application for Scenario<V> {
    const NAME: &'static str = V::NAME;
    const ABOUT: &'static str = V::ABOUT;

    fn main<H: Host>(host: &H, args: &[String]) -> i32 {
        run(host, Self::NAME, args, || manage::<V, H>(host))
    }
}

/// What a daemon says over its lifeline: that it serves.
const SERVES: u8 = b's';
/// That another one is running, and it leaves.
const LEAVES: u8 = b'l';

/// A daemon that was started.
struct Daemon<H: Host> {
    name: &'static str,
    lifeline: UnixStream<H>,
    child: Child<H>,
    serves: bool,
}

impl<H: Host> Daemon<H> {
    fn start<V: Variant>(host: &H, path: &Path, name: &'static str) -> Result<Self, String> {
        let (lifeline, theirs) = UnixStream::pair(host).trying("make a socketpair")?;
        let path = path.to_owned();
        let child = host
            .process(ProcessSpec::new(name).fd(theirs, 3), move |host| {
                status(host, "daemon", be_daemon::<V, H>(host, &path))
            })
            .trying("start the daemon")?;
        Ok(Daemon { name, lifeline, child, serves: false })
    }

    /// Starts it again; it was killed.
    fn restart<V: Variant>(self, host: &H, path: &Path) -> Result<Self, String> {
        match self.child.wait().trying("wait for the daemon")? {
            Exit::Status(status) => Err(format!("the daemon ended with exit status {status}")),
            exit => {
                host.print(&format!("manager: {exit}; starting the daemon again"));
                Daemon::start::<V>(host, path, self.name)
            }
        }
    }

    /// Hears whether it serves or leaves, and starts it again as often as it dies before.
    fn settle<V: Variant>(mut self, host: &H, path: &Path) -> Result<Self, String> {
        let mut said = [0];
        while uninterrupted(|| self.lifeline.read(&mut said)).trying("hear the daemon")? == 0 {
            self = self.restart::<V>(host, path)?;
        }
        self.serves = said[0] == SERVES;
        Ok(self)
    }

    /// Whether it is there, or dies within `patience`.
    fn lives(&self, patience: Duration) -> Result<bool, String> {
        let news = uninterrupted(|| self.lifeline.poll(Readiness::IN, Some(patience)));
        Ok(news.trying("look after the daemon")?.is_empty())
    }

    /// Ends it, if it has not ended.
    fn end(self) -> Result<(), String> {
        drop(self.lifeline);
        match self.child.wait().trying("wait for the daemon")? {
            Exit::Status(0) | Exit::Signal(_) => Ok(()),
            exit => Err(format!("the daemon ended with {exit}")),
        }
    }
}

/// The first process.
fn manage<V: Variant, H: Host>(host: &H) -> Result<(), String> {
    let path = PathBuf::from(format!("/tmp/afunix-{}-{}", V::NAME, host.pid()));
    let started = 1 + host.random(2) as usize;
    let started: Vec<_> = ["daemon", "operator's"][..started]
        .iter()
        .map(|name| Daemon::start::<V>(host, &path, name))
        .collect::<Result<_, _>>()?;
    let settled = started.into_iter().map(|daemon| daemon.settle::<V>(host, &path));
    let mut daemons: Vec<_> = settled.collect::<Result<_, _>>()?;
    revive::<V, H>(host, &path, &mut daemons, Duration::ZERO)?;
    for _ in 0..=host.random(3) {
        while let Err(error) = ask(host, &path) {
            let revived = revive::<V, H>(host, &path, &mut daemons, PATIENCE)?;
            assert!(revived, "a daemon serves, and clients do not reach it: {}", explain(&error));
        }
    }
    daemons.into_iter().try_for_each(Daemon::end)?;
    fs::remove_file(host, &path).trying("remove the socket")?;
    // One that was killed before it renamed it may have left it.
    let _ = fs::remove_file(host, path.with_extension("new"));
    host.print("every request was answered");
    Ok(())
}

/// Between the end of a connection and that of the lifeline, as a daemon dies.
const PATIENCE: Duration = Duration::from_secs(1);

/// Starts every daemon that has died again, until none has; `false` if none had. Then one serves.
fn revive<V: Variant, H: Host>(
    host: &H,
    path: &Path,
    daemons: &mut Vec<Daemon<H>>,
    patience: Duration,
) -> Result<bool, String> {
    let mut revived = false;
    loop {
        let mut all_live = true;
        for daemon in std::mem::take(daemons) {
            let lives = !daemon.serves || daemon.lives(patience)?;
            all_live &= lives;
            daemons.push(match lives {
                true => daemon,
                false => daemon.restart::<V>(host, path)?.settle::<V>(host, path)?,
            });
        }
        if all_live {
            let serving = daemons.iter().filter(|daemon| daemon.serves).count();
            assert!(serving > 0, "no daemon serves: each believes that another one is running");
            assert!(serving < 2, "two daemons serve: clients reach only one");
            return Ok(revived);
        }
        revived = true;
    }
}

/// Answers every connection until the lifeline's other end closes.
fn be_daemon<V: Variant, H: Host>(host: &H, path: &Path) -> Result<(), String> {
    host.may_crash(true);
    let mut lifeline = UnixStream::from(inherited(host, 3)?);
    let (listener, _lock) = match V::claim(host, path) {
        Ok(claim) => claim,
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            host.print(&format!("daemon: {}: another one is running", explain(&error)));
            return lifeline.write_all(&[LEAVES]).trying("say so");
        }
        Err(error) => return Err(format!("cannot listen: {}", explain(&error))),
    };
    lifeline.write_all(&[SERVES]).trying("say that it serves")?;
    loop {
        let mut fds = [
            PollFd::new(lifeline.as_fd(), Readiness::IN),
            PollFd::new(listener.as_fd(), Readiness::IN),
        ];
        let mut poll = Call::Poll { fds: &mut fds, timeout: None, mask: None };
        uninterrupted(|| Ok(host.call(&mut poll)?)).trying("wait for a client")?;
        if !fds[0].revents.is_empty() {
            return Ok(());
        }
        if !fds[1].revents.is_empty() {
            let (connection, _) = listener.accept().trying("accept")?;
            // A client that went away has no need of an answer.
            let _ = answer(connection);
        }
    }
}

/// The answer to a byte is the next one.
fn answer<H: Host>(mut connection: UnixStream<H>) -> io::Result<()> {
    let mut request = [0];
    connection.read_exact(&mut request)?;
    connection.write_all(&[request[0] + 1])
}

fn ask<H: Host>(host: &H, path: &Path) -> io::Result<()> {
    let mut connection = UnixStream::connect(host, &Address::path(path)?)?;
    connection.write_all(&[1])?;
    let mut reply = [0];
    connection.read_exact(&mut reply)?;
    assert_eq!(reply, [2], "the answer to 1");
    Ok(())
}
