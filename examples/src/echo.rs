//! `echo`: the three programs of Beej's guide to Unix IPC: an echo server, its client, and a
//! socketpair between parent and child.
//!
//! [`serve`] and [`talk`] know only [`Acceptor`] and [`Connection`]: the tests run the same two
//! functions over std's TCP.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::path::Path;

use afunix::net::{Acceptor, Connection, UnixListener, UnixStream};
use afunix::{Address, Application, Host, ProcessSpec};

use crate::support::uninterrupted;
use crate::support::{Trying, ended_well, inherited, remove_tree, run, scratch, status};

/// The scenario.
pub struct Echo;

impl Application for Echo {
    const NAME: &'static str = "echo";
    const ABOUT: &'static str = "Beej's echo server and client, and his socketpair";

    fn main<H: Host>(host: &H, args: &[String]) -> i32 {
        run(host, Self::NAME, args, || {
            let directory = scratch(host, Self::NAME)?;
            let outcome = server_and_clients(host, &directory.join("echo_socket"));
            remove_tree(host, &directory)?;
            outcome?;
            parent_and_child(host)
        })
    }
}

/// Accepts `clients` connections, one after the other, and sends back whatever comes.
pub fn serve<A: Acceptor>(acceptor: &A, clients: usize) -> io::Result<()> {
    for _ in 0..clients {
        let mut connection = acceptor.accept()?;
        let mut buffer = [0; 100];
        loop {
            let len = uninterrupted(|| connection.read(&mut buffer))?;
            if len == 0 {
                break;
            }
            connection.write_all(&buffer[..len])?;
        }
    }
    Ok(())
}

/// Sends each line and waits for it to come back; returns what came back.
pub fn talk<C: Connection>(mut connection: C, lines: &[&str]) -> io::Result<Vec<String>> {
    let mut incoming = BufReader::new(connection.try_clone()?);
    let mut heard = Vec::new();
    for line in lines {
        connection.write_all(format!("{line}\n").as_bytes())?;
        let mut answer = String::new();
        incoming.read_line(&mut answer)?;
        heard.push(answer.trim_end_matches('\n').to_owned());
    }
    connection.shutdown(Shutdown::Write)?;
    // The server closes when it has seen the end: nothing else may come.
    match incoming.read_to_end(&mut Vec::new())? {
        0 => Ok(heard),
        more => Err(io::Error::other(format!("{more} bytes came that were not sent"))),
    }
}

const LINES: [&str; 3] = ["hello", "", "the last line is longer than the others"];

fn server_and_clients<H: Host>(host: &H, path: &Path) -> Result<(), String> {
    let address = Address::path(path).trying("name the socket")?;
    let listener = UnixListener::bind(host, &address).trying("bind the echo socket")?;
    let server = host
        .process(ProcessSpec::new("server").fd(listener, 3), |host| {
            let listener = inherited(host, 3).map(UnixListener::from);
            let served = listener.and_then(|listener| serve(&listener, 2).trying("serve"));
            status(host, "server", served)
        })
        .trying("start the server")?;
    for name in ["first client", "second client"] {
        let address = address.clone();
        let client = host
            .process(ProcessSpec::new(name), move |host| {
                status(host, name, client(host, name, &address))
            })
            .trying("start a client")?;
        ended_well(client, name)?;
    }
    ended_well(server, "the server")
}

fn client<H: Host>(host: &H, name: &str, address: &Address) -> Result<(), String> {
    let connection = UnixStream::connect(host, address).trying("connect")?;
    let heard = talk(connection, &LINES).trying("talk to the server")?;
    if heard != LINES {
        return Err(format!("sent {LINES:?}, but {heard:?} came back"));
    }
    host.print(&format!("{name}: {} lines came back", heard.len()));
    Ok(())
}

/// Beej's spair.c: the child makes a letter large.
fn parent_and_child<H: Host>(host: &H) -> Result<(), String> {
    let (mut parent, child) = UnixStream::pair(host).trying("make a socketpair")?;
    let child = host
        .process(ProcessSpec::new("child").fd(child, 3), |host| {
            status(host, "child", inherited(host, 3).and_then(|fd| raise(UnixStream::from(fd))))
        })
        .trying("start the child")?;
    parent.write_all(b"b").trying("send the letter")?;
    let mut letter = [0];
    parent.read_exact(&mut letter).trying("read the letter")?;
    ended_well(child, "the child")?;
    host.print(&format!("parent: sent 'b', read '{}'", char::from(letter[0])));
    if letter == *b"B" { Ok(()) } else { Err("the letter should be a large B".into()) }
}

fn raise<C: Connection>(mut connection: C) -> Result<(), String> {
    let mut letter = [0];
    connection.read_exact(&mut letter).trying("read the letter")?;
    connection.write_all(&[letter[0].to_ascii_uppercase()]).trying("send it back")
}
