//! `hot-restart`: a server replaces itself while its clients go on talking.
//!
//! The old process starts the new one and passes it, in one record, the listener and every open
//! connection (SCM_RIGHTS), and the bytes of requests that it has read only in part. The new one
//! says ready; from then on all is its own, and the old one ends. When it comes to that is drawn,
//! and so are the clients and their requests. The clients notice nothing: the listener is never
//! closed, no connection breaks, and each request is acknowledged once.
//!
//! The new process may be killed until it has said ready, the old one from when it has heard it.
//! The broken variant does not wait for ready: it ends when the descriptors are sent. If the new
//! one then dies on its way, there is nobody left who holds the listener.

use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::net::Shutdown;
use std::path::PathBuf;
use std::time::Duration;

use afunix::net::{AsSocket, Fd, Message, OwnedFd, UnixListener, UnixSeqpacket, UnixStream};
use afunix::{Address, Application, Call, Exit, Host, PollFd, ProcessSpec, Readiness, fs};

use crate::support::{Trying, explain, inherited, run, status, uninterrupted};

/// Clients, at most.
const CLIENTS: u64 = 2;
/// Requests of each, at most.
const REQUESTS: u64 = 3;
/// Times that the old server waits for work before it is replaced, less than this many.
const ROUNDS: u64 = 4;
/// Bytes of a request, which are also its acknowledgement.
const REQUEST: usize = 4;

/// What the variants differ in.
pub trait Variant: 'static {
    /// The scenario's name.
    const NAME: &'static str;
    /// What it shows, in a line.
    const ABOUT: &'static str;

    /// Whether the new process, to which all was just sent, has taken over.
    fn has_taken_over<H: Host>(channel: &UnixSeqpacket<H>) -> bool;
}

/// Takes it for granted.
pub struct Broken;

impl Variant for Broken {
    const NAME: &'static str = "hot-restart";
    const ABOUT: &'static str = "a server passes its connections to its successor and ends at once";

    fn has_taken_over<H: Host>(_: &UnixSeqpacket<H>) -> bool {
        true
    }
}

/// Waits to be told.
pub struct Fixed;

impl Variant for Fixed {
    const NAME: &'static str = "hot-restart-fixed";
    const ABOUT: &'static str = "the server ends when its successor has said that it is ready";

    /// If the new one died, the end of file comes, or ECONNRESET if it had not read the record
    /// (SHUT 4).
    fn has_taken_over<H: Host>(channel: &UnixSeqpacket<H>) -> bool {
        let mut said = [0; READY.len()];
        uninterrupted(|| channel.recv(&mut said)).is_ok_and(|len| said[..len] == *READY)
    }
}

/// The scenario, in one of its variants.
pub struct Scenario<V>(PhantomData<V>);

impl<V: Variant> Application for Scenario<V> {
    const NAME: &'static str = V::NAME;
    const ABOUT: &'static str = V::ABOUT;

    fn main<H: Host>(host: &H, args: &[String]) -> i32 {
        run(host, Self::NAME, args, || be_clients::<V, H>(host))
    }
}

const READY: &[u8] = b"ready";

/// All that a server has.
struct Server<H: Host> {
    listener: UnixListener<H>,
    connections: Vec<Connection<H>>,
}

struct Connection<H: Host> {
    stream: UnixStream<H>,
    /// The beginning of a request whose rest has not come yet.
    partial: Vec<u8>,
}

impl<H: Host> Server<H> {
    /// Serves until the last client has gone, or, after `rounds`, until it is replaced.
    fn serve<V: Variant>(mut self, host: &H, mut rounds: Option<u64>) -> Result<(), String> {
        loop {
            if rounds == Some(0) && self.hand_over::<V>(host)? {
                host.may_crash(true);
                return Ok(());
            }
            let ready = self.poll(host, rounds == Some(0)).trying("wait for work")?;
            rounds = rounds.map(|left| left.saturating_sub(1));
            if ready[0] {
                let (stream, _) = self.listener.accept().trying("accept")?;
                self.connections.push(Connection { stream, partial: Vec::new() });
            }
            let mut ready_connections = ready[1..].iter();
            let had_clients = !self.connections.is_empty();
            self.connections.retain_mut(|connection| {
                // One that was only just accepted has no entry yet.
                let is_ready = ready_connections.next() == Some(&true);
                !is_ready || connection.answer().unwrap_or(false)
            });
            if had_clients && self.connections.is_empty() {
                return Ok(());
            }
        }
    }

    /// Which can be read: the listener, each connection.
    fn poll(&self, host: &H, at_once: bool) -> io::Result<Vec<bool>> {
        let connections = self.connections.iter().map(|connection| connection.stream.as_fd());
        let fds = std::iter::once(self.listener.as_fd()).chain(connections);
        let mut fds: Vec<PollFd<'_>> = fds.map(|fd| PollFd::new(fd, Readiness::IN)).collect();
        let timeout = at_once.then_some(Duration::ZERO);
        uninterrupted(|| Ok(host.call(&mut Call::Poll { fds: &mut fds, timeout, mask: None })?))?;
        Ok(fds.iter().map(|fd| !fd.revents.is_empty()).collect())
    }

    /// Starts a successor and gives it all; `false` if it was killed: then all is still ours.
    fn hand_over<V: Variant>(&self, host: &H) -> Result<bool, String> {
        let (channel, theirs) = UnixSeqpacket::pair(host).trying("make a socketpair")?;
        let successor = host
            .process(ProcessSpec::new("new").fd(theirs, 3), |host| {
                status(host, "new", succeed::<V, H>(host))
            })
            .trying("start the new server")?;
        let (record, fds) = self.to_record();
        let sent = uninterrupted(|| channel.send_message(&Message::new(&record).fds(&fds)));
        if sent.is_ok() && V::has_taken_over(&channel) {
            return Ok(true);
        }
        drop(channel);
        match successor.wait().trying("wait for the new server")? {
            Exit::Signal(_) => Ok(false),
            exit => Err(format!("the new server ended with {exit}")),
        }
    }

    /// The descriptors, and per connection what it has of a request: its length and its bytes.
    fn to_record(&self) -> (Vec<u8>, Vec<Fd<'_>>) {
        let mut fds = vec![self.listener.as_fd()];
        // The first byte only says that this is a record: one of no bytes would look like the end
        // of file.
        let mut record = vec![self.connections.len() as u8];
        for connection in &self.connections {
            fds.push(connection.stream.as_fd());
            record.push(connection.partial.len() as u8);
            record.extend_from_slice(&connection.partial);
        }
        (record, fds)
    }

    /// The server in a record; `None` if it is cut off or does not match its descriptors.
    fn from_record(record: &[u8], fds: Vec<OwnedFd<H>>) -> Option<Self> {
        let mut fds = fds.into_iter();
        let mut rest = record.get(1..)?;
        let mut server =
            Server { listener: UnixListener::from(fds.next()?), connections: Vec::new() };
        for fd in fds {
            let (len, after) = rest.split_first()?;
            let (partial, after) = after.split_at_checked(usize::from(*len))?;
            rest = after;
            let stream = UnixStream::from(fd);
            server.connections.push(Connection { stream, partial: partial.to_vec() });
        }
        rest.is_empty().then_some(server)
    }
}

impl<H: Host> Connection<H> {
    /// Reads what is there and acknowledges what is whole; `false` if the client has closed.
    fn answer(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 64];
        let len = uninterrupted(|| self.stream.read(&mut buffer))?;
        self.partial.extend_from_slice(&buffer[..len]);
        while let Some(request) = self.partial.first_chunk::<REQUEST>().copied() {
            self.stream.write_all(&request)?;
            self.partial.drain(..REQUEST);
        }
        Ok(len > 0)
    }
}

/// The old server.
fn start<V: Variant, H: Host>(host: &H) -> Result<(), String> {
    let listener = UnixListener::from(inherited(host, 3)?);
    let server = Server { listener, connections: Vec::new() };
    server.serve::<V>(host, Some(host.random(ROUNDS)))
}

/// The new server.
fn succeed<V: Variant, H: Host>(host: &H) -> Result<(), String> {
    host.may_crash(true);
    let channel = UnixSeqpacket::from(inherited(host, 3)?);
    let mut record = [0; 1024];
    let received = uninterrupted(|| channel.recv_message(&mut record, 200));
    let received = received.trying("receive the old server's state")?;
    let server = Server::from_record(&record[..received.bytes], received.fds);
    let server = server.ok_or("the old server's state does not make sense")?;
    host.may_crash(false);
    // If the old one does not hear it, it has ended: then all is ours just as well.
    let _ = uninterrupted(|| channel.send(READY));
    drop(channel);
    server.serve::<V>(host, None)
}

/// The first process starts the old server, and is its clients.
fn be_clients<V: Variant, H: Host>(host: &H) -> Result<(), String> {
    let path = PathBuf::from(format!("/tmp/afunix-{}-{}", V::NAME, host.pid()));
    let address = Address::path(&path).trying("name the socket")?;
    let listener = UnixListener::bind(host, &address).trying("bind the server's socket")?;
    let old = host
        .process(ProcessSpec::new("old").fd(listener, 3), |host| {
            status(host, "old", start::<V, H>(host))
        })
        .trying("start the old server")?;
    talk(host, &address);
    fs::remove_file(host, &path).trying("remove the socket")?;
    match old.wait().trying("wait for the old server")? {
        Exit::Status(0) | Exit::Signal(_) => {}
        exit => return Err(format!("the old server ended with {exit}")),
    }
    host.print("every request was acknowledged");
    Ok(())
}

/// What a client's call gave: no restart may be the reason that it fails.
fn unnoticed<T>(result: io::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("a client noticed the restart: {}", explain(&error)))
}

/// All clients send, then each hears; and so on. At last the server ends, when all have gone.
fn talk<H: Host>(host: &H, address: &Address) {
    let mut clients = Vec::new();
    for _ in 0..=host.random(CLIENTS) {
        clients.push(unnoticed(UnixStream::connect(host, address)));
    }
    for number in 0..=host.random(REQUESTS) as u8 {
        for (client, stream) in (0..).zip(&mut clients) {
            unnoticed(stream.write_all(&[b'c', client, b'r', number]));
        }
        for (client, stream) in (0..).zip(&mut clients) {
            let mut reply = [0; REQUEST];
            unnoticed(stream.read_exact(&mut reply));
            assert_eq!(reply, [b'c', client, b'r', number], "the acknowledgement");
        }
    }
    for mut stream in clients {
        unnoticed(stream.shutdown(Shutdown::Write));
        let mut rest = Vec::new();
        unnoticed(stream.read_to_end(&mut rest));
        assert!(rest.is_empty(), "acknowledged twice: {}", rest.escape_ascii());
    }
}
