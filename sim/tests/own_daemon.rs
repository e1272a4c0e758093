//! The program of docs/testing.md, word for word.

use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::Duration;

use afunix::net::{UnixListener, UnixStream};
use afunix::{Address, Errno, Host, fs};
use afunix_sim::{Check, Crash, Sim, Test};

/// Counts its clients, and tells each its number. A client that sends `q` stops it.
pub fn serve<H: Host>(host: &H, path: &Path) -> std::io::Result<()> {
    let listener = UnixListener::bind(host, &Address::path(path)?)?;
    let mut count = 0u8;
    loop {
        let (mut client, _) = listener.accept()?;
        let mut request = [0];
        client.read_exact(&mut request)?;
        if request == *b"q" {
            return fs::remove_file(host, path);
        }
        count += 1;
        client.write_all(&[count])?;
    }
}

/// A client: connects, sends a byte, and returns the answer.
pub fn ask<H: Host>(host: &H, path: &Path, request: u8) -> std::io::Result<u8> {
    let mut server = UnixStream::connect(host, &Address::path(path)?)?;
    server.write_all(&[request])?;
    let mut answer = [0];
    server.read_exact(&mut answer)?;
    Ok(answer[0])
}

#[afunix_sim::test(runs = 1000)]
#[should_panic(expected = "ENOENT")]
fn a_client_is_counted(sim: &Test) {
    let path = Path::new("/tmp/counter");
    sim.process("server", move |sim| serve(sim, path));
    sim.process("client", move |sim| ask(sim, path, b'c').map(drop));
}

/// Asks again while the server is not there yet.
fn patiently(sim: &Sim, path: &Path, request: u8) -> std::io::Result<u8> {
    loop {
        match ask(sim, path, request) {
            Err(error)
                if [ErrorKind::NotFound, ErrorKind::ConnectionRefused].contains(&error.kind()) =>
            {
                sim.sleep(Duration::from_millis(1));
            }
            answer => return answer,
        }
    }
}

#[afunix_sim::test(runs = 1000)]
fn clients_are_counted(sim: &Test) {
    let path = Path::new("/tmp/counter");
    sim.process("server", move |sim| serve(sim, path)).daemon();
    for _ in 0..2 {
        sim.process("client", move |sim| patiently(sim, path, b'c').map(drop));
    }
    sim.always("a client at a time", |now| now.open_descriptors("server") <= 2);
    sim.sometimes("a client is early", |now| now.saw(Errno::NOENT));
    sim.eventually("all are served", |now| now.started("client") == 2 && now.alive("client") == 0);
}

#[afunix_sim::test(runs = 1000)]
#[should_panic(expected = "server ended with exit status 1")]
fn a_client_may_die(sim: &Test) {
    let path = Path::new("/tmp/counter");
    sim.process("server", move |sim| serve(sim, path));
    sim.process("mortal", move |sim| patiently(sim, path, b'c').map(drop)).crash(Crash::Anywhere);
    sim.process("client", move |sim| {
        sim.sleep(Duration::from_secs(1));
        // It is not answered: the server ends.
        drop(patiently(sim, path, b'q'));
    });
    sim.allow(Check::LostBytes);
}

/// The page shows what is compiled here.
#[test]
fn the_page_is_this_program() {
    let page = include_str!("../../docs/testing.md");
    let here = include_str!("own_daemon.rs");
    let blocks: Vec<&str> = page.split("```rust\n").skip(1).collect();
    assert!(blocks.len() >= 4, "{} blocks", blocks.len());
    for block in blocks {
        let code = block.split("```").next().unwrap_or_default();
        for part in code.split("\n\n") {
            assert!(here.contains(part.trim_end()), "not compiled:\n{part}");
        }
    }
}
