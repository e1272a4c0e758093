//! `hot-restart`: a server replaces itself while its clients go on talking.
//!
//! The old process starts the new one and passes it, in one record, the listener, the log, every
//! open connection (SCM_RIGHTS), and the bytes of requests that it has read only in part. The new
//! one says ready; from then on all is its own, and the old one ends. A request is written to the
//! log before it is acknowledged; at the end the log must hold every request that was acknowledged.
//!
//! The new process may be killed until it has said ready, the old one from when it has heard it.
//! The broken variant does not wait for ready: it ends when the descriptors are sent. If the new
//! one then dies on its way, there is nobody left who holds the listener.

use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::net::Shutdown;
use std::path::Path;
use std::time::Duration;

use afunix::fs::File;
use afunix::net::{AsSocket, Fd, Message, OwnedFd, UnixListener, UnixSeqpacket, UnixStream};
use afunix::{Address, Application, Call, Child, Exit, Host, OpenFlags, PollFd};
use afunix::{ProcessSpec, Readiness};

use crate::support::uninterrupted;
use crate::support::{Trying, ended_well, explain, inherited, remove_tree, run, scratch, status};

const CLIENTS: u8 = 2;
const REQUESTS: u8 = 3;
/// Bytes of a request, which are also its acknowledgement and its entry in the log.
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
        run(host, Self::NAME, args, || {
            let directory = scratch(host, Self::NAME)?;
            let outcome = start_all::<V, H>(host, &directory);
            remove_tree(host, &directory)?;
            outcome
        })
    }
}

const READY: &[u8] = b"ready";

/// All that a server has.
struct Server<H: Host> {
    /// A byte means: restart; the end of file: stop.
    control: UnixStream<H>,
    listener: UnixListener<H>,
    log: File<H>,
    connections: Vec<Connection<H>>,
}

struct Connection<H: Host> {
    stream: UnixStream<H>,
    /// The beginning of a request whose rest has not come yet.
    partial: Vec<u8>,
}

impl<H: Host> Server<H> {
    /// Serves until it is told to stop or is replaced.
    fn serve<V: Variant>(mut self, host: &H) -> Result<(), String> {
        let mut restart = false;
        loop {
            let ready = self.poll(host, restart).trying("wait for work")?;
            if ready[1] {
                let (stream, _) = self.listener.accept().trying("accept")?;
                self.connections.push(Connection { stream, partial: Vec::new() });
            }
            let mut ready_connections = ready[2..].iter();
            let log = &mut self.log;
            self.connections.retain_mut(|connection| {
                // One that was only just accepted has no entry yet.
                let is_ready = ready_connections.next() == Some(&true);
                !is_ready || connection.answer(log).unwrap_or(false)
            });
            if ready[0] {
                let read = uninterrupted(|| self.control.read(&mut [0]));
                if read.trying("read the control socket")? == 0 {
                    return Ok(());
                }
                restart = true;
            }
            if restart && self.hand_over::<V>(host)? {
                host.may_crash(true);
                return Ok(());
            }
        }
    }

    /// Which can be read: the control socket, the listener, each connection.
    fn poll(&self, host: &H, at_once: bool) -> io::Result<Vec<bool>> {
        let fds = [self.control.as_fd(), self.listener.as_fd()].into_iter();
        let fds = fds.chain(self.connections.iter().map(|connection| connection.stream.as_fd()));
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
        let mut fds = vec![self.control.as_fd(), self.listener.as_fd(), self.log.as_fd()];
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
        let mut server = Server {
            control: UnixStream::from(fds.next()?),
            listener: UnixListener::from(fds.next()?),
            log: File::from(fds.next()?),
            connections: Vec::new(),
        };
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
    fn answer(&mut self, log: &mut File<H>) -> io::Result<bool> {
        let mut buffer = [0; 64];
        let len = uninterrupted(|| self.stream.read(&mut buffer))?;
        self.partial.extend_from_slice(&buffer[..len]);
        while let Some(request) = self.partial.first_chunk::<REQUEST>().copied() {
            log.write_all(&request)?;
            self.stream.write_all(&request)?;
            self.partial.drain(..REQUEST);
        }
        Ok(len > 0)
    }
}

/// The old server.
fn start<V: Variant, H: Host>(host: &H) -> Result<(), String> {
    let server = Server {
        control: UnixStream::from(inherited(host, 3)?),
        listener: UnixListener::from(inherited(host, 4)?),
        log: File::from(inherited(host, 5)?),
        connections: Vec::new(),
    };
    server.serve::<V>(host)
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
    server.serve::<V>(host)
}

fn start_all<V: Variant, H: Host>(host: &H, directory: &Path) -> Result<(), String> {
    let address = Address::path(directory.join("socket")).trying("name the socket")?;
    let log = directory.join("log");
    let flags = OpenFlags::WRONLY | OpenFlags::CREAT | OpenFlags::APPEND;
    let log_file = File::open_with(host, &log, flags, 0o600).trying("make the log")?;
    let listener = UnixListener::bind(host, &address).trying("bind the server's socket")?;
    let (mut control, theirs) = UnixStream::pair(host).trying("make a socketpair")?;
    let spec = ProcessSpec::new("old").fd(theirs, 3).fd(listener, 4).fd(log_file, 5);
    let old = host
        .process(spec, |host| status(host, "old", start::<V, H>(host)))
        .trying("start the old server")?;
    let mut clients = Vec::new();
    for number in 1..=CLIENTS {
        let address = address.clone();
        let client = host.process(ProcessSpec::new(format!("client {number}")), move |host| {
            status(host, "client", be_client(host, &address, number))
        });
        clients.push(client.trying("start a client")?);
    }
    control.write_all(&[1]).trying("ask for the restart")?;
    let outcome = wait_for_all(clients, old);
    // Stops the new server; when it has ended, nobody holds the other end.
    control.shutdown(Shutdown::Write).trying("stop the server")?;
    control.read_to_end(&mut Vec::new()).trying("wait for the new server's end")?;
    outcome?;
    check_log(host, &log)?;
    host.print("every acknowledged request is in the log");
    Ok(())
}

fn wait_for_all<H: Host>(clients: Vec<Child<H>>, old: Child<H>) -> Result<(), String> {
    let ended: Vec<_> = clients.into_iter().map(|child| ended_well(child, "a client")).collect();
    match old.wait().trying("wait for the old server")? {
        Exit::Status(0) | Exit::Signal(_) => ended.into_iter().collect(),
        exit => Err(format!("the old server ended with {exit}")),
    }
}

/// A client exits with 0 only if all its requests were acknowledged: all must be in the log.
fn check_log<H: Host>(host: &H, path: &Path) -> Result<(), String> {
    let mut log = Vec::new();
    let read = File::open(host, path).and_then(|mut file| file.read_to_end(&mut log));
    read.trying("read the log")?;
    for client in 1..=CLIENTS {
        for number in 0..REQUESTS {
            if !log.chunks(REQUEST).any(|entry| entry == request(client, number)) {
                return Err(format!("request {number} of client {client} is not in the log"));
            }
        }
    }
    Ok(())
}

fn request(client: u8, number: u8) -> [u8; REQUEST] {
    [b'c', client, b'r', number]
}

/// Sends its requests one by one; connects and asks again when the connection breaks.
fn be_client<H: Host>(host: &H, address: &Address, client: u8) -> Result<(), String> {
    let mut connection = None;
    for number in 0..REQUESTS {
        let give_up = host.now() + Duration::from_secs(30);
        let mut pause = Duration::from_millis(1);
        while let Err(error) = ask(host, &mut connection, address, request(client, number)) {
            if host.now() > give_up {
                let why = explain(&error);
                return Err(format!("request {number} not answered in 30 s; at last: {why}"));
            }
            connection = None;
            host.sleep(pause);
            pause *= 8;
        }
    }
    Ok(())
}

fn ask<H: Host>(
    host: &H,
    connection: &mut Option<UnixStream<H>>,
    address: &Address,
    request: [u8; REQUEST],
) -> io::Result<()> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(UnixStream::connect(host, address)?),
    };
    connection.write_all(&request)?;
    let mut reply = [0; REQUEST];
    connection.read_exact(&mut reply)?;
    let wrong = || io::Error::other(format!("the reply is {}", reply.escape_ascii()));
    if reply == request { Ok(()) } else { Err(wrong()) }
}
