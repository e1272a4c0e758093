//! `stale-socket`: a daemon that is killed leaves its socket file behind, and its next start fails
//! with EADDRINUSE (BIND 2, BIND 6). What should it do about a path that exists?
//!
//! The *daemon* runs twice, each under a *supervisor* that starts it again when a signal killed it:
//! as if an operator had started it by hand beside the service manager. The second to come shall
//! see that another one is running and leave. The first process is the client; it asks again until
//! it is answered. All hold an end of one socketpair, the *lifeline*: the client's end closes to
//! stop the daemons, and the client sees HUP when no supervisor is left.
//!
//! | variant | a path that exists | wrong because |
//! |---|---|---|
//! | `stale-socket` | means that another one is running | a dead one's file stays |
//! | `stale-socket-unlink` | is removed if nobody answers | the other may be about to listen |
//! | `stale-socket-fixed` | is replaced by whoever holds a lock | |

use std::io::{self, ErrorKind, Read, Write};
use std::marker::PhantomData;
use std::path::Path;
use std::time::Duration;

use afunix::net::{AsSocket, OwnedFd, UnixDatagram, UnixListener, UnixStream};
use afunix::{Address, Application, Call, Child, Exit, Host, PollFd, ProcessSpec, Readiness, fs};

use crate::support::{Trying, explain, inherited, remove_tree, run, scratch, uninterrupted};

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
        run(host, Self::NAME, args, || {
            let directory = scratch(host, Self::NAME)?;
            let outcome = start_all::<V, H>(host, &directory.join("socket"));
            remove_tree(host, &directory)?;
            outcome
        })
    }
}

/// Exit status of a daemon: it served until it was told to stop.
const SERVED: i32 = 0;
/// It could not listen, or not go on.
const FAILED: i32 = 1;
/// Another one was running.
const BUSY: i32 = 3;
/// It was told to stop before it began to serve.
const LATE: i32 = 4;

fn start_all<V: Variant, H: Host>(host: &H, path: &Path) -> Result<(), String> {
    let (lifeline, theirs) = UnixStream::pair(host).trying("make a socketpair")?;
    let mut supervisors: Vec<Child<H>> = Vec::new();
    for name in ["service manager", "operator"] {
        let spec = ProcessSpec::new(name).fd(theirs.try_clone().trying("copy the lifeline")?, 3);
        let path = path.to_owned();
        let supervisor = host.process(spec, move |host| supervise::<V, H>(host, &path));
        supervisors.push(supervisor.trying("start a supervisor")?);
    }
    drop(theirs);
    let answered = (0..3).try_for_each(|_| ask_until_answered(host, path, &lifeline));
    drop(lifeline);
    let mut served = 0;
    for supervisor in supervisors {
        match supervisor.wait().trying("wait for a supervisor")? {
            Exit::Status(SERVED) => served += 1,
            Exit::Status(BUSY | LATE) => {}
            exit => return Err(format!("a supervisor ended with {exit}")),
        }
    }
    answered?;
    if served > 1 {
        return Err("both daemons served to the end: clients could reach only one".into());
    }
    host.print("every request was answered");
    Ok(())
}

/// Starts the daemon, and again whenever a signal killed it; ends as it does.
fn supervise<V: Variant, H: Host>(host: &H, path: &Path) -> i32 {
    let restart = || -> Result<i32, String> {
        let lifeline = inherited(host, 3)?;
        loop {
            let copy = lifeline.try_clone().trying("copy the lifeline")?;
            let path = path.to_owned();
            let daemon = host
                .process(ProcessSpec::new("daemon").fd(copy, 3), move |host| {
                    daemon::<V, H>(host, &path).unwrap_or_else(|message| {
                        host.print(&format!("daemon: {message}"));
                        FAILED
                    })
                })
                .trying("start the daemon")?;
            match daemon.wait().trying("wait for the daemon")? {
                Exit::Status(status) => return Ok(status),
                exit => host.print(&format!("supervisor: {exit}; starting the daemon again")),
            }
        }
    };
    restart().unwrap_or_else(|message| {
        host.print(&format!("supervisor: {message}"));
        FAILED
    })
}

/// Answers every connection until the lifeline's other end closes.
fn daemon<V: Variant, H: Host>(host: &H, path: &Path) -> Result<i32, String> {
    host.may_crash(true);
    let lifeline = UnixStream::from(inherited(host, 3)?);
    let (listener, _lock) = match V::claim(host, path) {
        Ok(claim) => claim,
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            host.print(&format!("daemon: {}: another one is running", explain(&error)));
            return Ok(BUSY);
        }
        Err(error) => return Err(format!("cannot listen: {}", explain(&error))),
    };
    let mut at_stop = LATE;
    let mut timeout = Some(Duration::ZERO);
    loop {
        let mut fds = [
            PollFd::new(lifeline.as_fd(), Readiness::IN),
            PollFd::new(listener.as_fd(), Readiness::IN),
        ];
        uninterrupted(|| Ok(host.call(&mut Call::Poll { fds: &mut fds, timeout, mask: None })?))
            .trying("wait for a client")?;
        if !fds[0].revents.is_empty() {
            return Ok(at_stop);
        }
        if !fds[1].revents.is_empty() {
            let (connection, _) = listener.accept().trying("accept")?;
            // A client that went away asks again or has no need to.
            let _ = answer(connection);
        }
        (at_stop, timeout) = (SERVED, None);
    }
}

/// The answer to a byte is the next one.
fn answer<H: Host>(mut connection: UnixStream<H>) -> io::Result<()> {
    let mut request = [0];
    connection.read_exact(&mut request)?;
    connection.write_all(&[request[0] + 1])
}

fn ask<H: Host>(host: &H, path: &Path) -> io::Result<u8> {
    let mut connection = UnixStream::connect(host, &Address::path(path)?)?;
    connection.write_all(&[1])?;
    let mut reply = [0];
    connection.read_exact(&mut reply)?;
    Ok(reply[0])
}

/// Asks again after every failure that a daemon which is just being started or killed explains.
fn ask_until_answered<H: Host>(
    host: &H,
    path: &Path,
    lifeline: &UnixStream<H>,
) -> Result<(), String> {
    use ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
    let give_up = host.now() + Duration::from_secs(60);
    let mut pause = Duration::from_millis(1);
    loop {
        let error = match ask(host, path) {
            Ok(2) => return Ok(()),
            Ok(other) => return Err(format!("the answer to 1 was {other}")),
            Err(error) => error,
        };
        match error.kind() {
            BrokenPipe | ConnectionRefused | ConnectionReset | NotFound | UnexpectedEof => {}
            _ => return Err(format!("cannot ask: {}", explain(&error))),
        }
        let gone = uninterrupted(|| lifeline.poll(Readiness::IN, Some(pause)));
        if !gone.trying("wait")?.is_empty() {
            return Err(format!("no daemon is left; at last: {}", explain(&error)));
        }
        if host.now() > give_up {
            return Err(format!("not answered in a minute; at last: {}", explain(&error)));
        }
        pause *= 2;
    }
}
