//! Small applications that several tests use.
#![allow(missing_docs, dead_code, reason = "each test uses some of them")]

use std::io::{Read, Write};

use afunix::net::UnixStream;
use afunix::{Host, ProcessSpec};
use afunix_sim::{App, Faults, RunOptions, Sim, app};

/// Options with these faults.
pub(crate) fn with(faults: Faults) -> RunOptions {
    RunOptions { faults, ..RunOptions::default() }
}

/// Two threads and so many round trips of a byte.
pub(crate) fn ping_pong(rounds: usize) -> App {
    app(move |host| {
        let (mut near, mut far) = UnixStream::pair(host).unwrap();
        let echo = host.spawn("echo", move || {
            let mut byte = [0];
            while far.read_exact(&mut byte).is_ok() {
                far.write_all(&byte).unwrap();
            }
        });
        for round in 0..rounds {
            near.write_all(&[round as u8]).unwrap();
            let mut byte = [0];
            near.read_exact(&mut byte).unwrap();
            assert_eq!(byte[0], round as u8);
        }
        drop(near);
        echo.join().unwrap();
        0
    })
}

/// The same between two processes.
pub(crate) fn ping_pong_processes(host: &Sim) -> i32 {
    let (mut near, far) = UnixStream::pair(host).unwrap();
    let child = host
        .process(ProcessSpec::new("echo").fd(far, 3), |host| {
            let mut far = UnixStream::from(host.inherited(3).unwrap());
            let mut byte = [0];
            while far.read_exact(&mut byte).is_ok() {
                far.write_all(&byte).unwrap();
            }
            7
        })
        .unwrap();
    for round in 0..3 {
        near.write_all(&[round]).unwrap();
        let mut byte = [0];
        near.read_exact(&mut byte).unwrap();
    }
    drop(near);
    i32::from(child.wait().unwrap() != afunix::Exit::Status(7))
}

/// Two that write before they read, with more than the buffers hold.
pub(crate) fn two_writers() -> App {
    app(|host| {
        let (near, far) = UnixStream::pair(host).unwrap();
        let talk = |mut stream: UnixStream<Sim>| {
            move || {
                stream.write_all(&vec![1; 1 << 20]).unwrap();
                let mut heard = vec![0; 1 << 20];
                stream.read_exact(&mut heard).unwrap();
            }
        };
        let left = host.spawn("left", talk(near));
        let right = host.spawn("right", talk(far));
        left.join().unwrap();
        right.join().unwrap();
        0
    })
}
