//! `flush-deadlock`: two peers keep copies of each other's journal. Each sends its own and then
//! reads the other's; a journal is longer than the buffers hold.
//!
//! A blocking write returns when the kernel has taken all of it. When both peers write first, both
//! queues fill, nobody reads, and neither write ever returns. The repaired variant writes in a
//! thread of its own, so that reading never waits for writing.

use std::io::{self, Read, Write};
use std::marker::PhantomData;

use afunix::net::{AsSocket, UnixStream};
use afunix::{Application, Host, ProcessSpec};

use crate::support::{Trying, ended_well, inherited, run, status};

/// Bytes of a journal: three times what a direction takes with the smallest send buffer before its
/// writer waits (MEM 6: 4480).
const JOURNAL: usize = 3 * 4480;

/// What the variants differ in.
pub trait Variant: 'static {
    /// The scenario's name.
    const NAME: &'static str;
    /// What it shows, in a line.
    const ABOUT: &'static str;

    /// Sends `journal` to the peer and returns the peer's, which is as long.
    fn exchange<H: Host>(host: &H, peer: UnixStream<H>, journal: Vec<u8>) -> io::Result<Vec<u8>>;
}

/// Writes, then reads.
pub struct Broken;

impl Variant for Broken {
    const NAME: &'static str = "flush-deadlock";
    const ABOUT: &'static str = "two peers write before they read, more than the buffers hold";

    fn exchange<H: Host>(_: &H, mut peer: UnixStream<H>, journal: Vec<u8>) -> io::Result<Vec<u8>> {
        peer.write_all(&journal)?;
        let mut theirs = vec![0; JOURNAL];
        peer.read_exact(&mut theirs)?;
        Ok(theirs)
    }
}

/// Writes while it reads.
pub struct Fixed;

impl Variant for Fixed {
    const NAME: &'static str = "flush-deadlock-fixed";
    const ABOUT: &'static str = "the same two peers, each with a thread that writes";

    fn exchange<H: Host>(
        host: &H,
        mut peer: UnixStream<H>,
        journal: Vec<u8>,
    ) -> io::Result<Vec<u8>> {
        let mut out = peer.try_clone()?;
        let writer = host.spawn("writer", move || out.write_all(&journal));
        let mut theirs = vec![0; JOURNAL];
        peer.read_exact(&mut theirs)?;
        writer.join().map_err(io::Error::other)??;
        Ok(theirs)
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

/// Both peers, with the byte that fills their journals.
const PEERS: [(&str, u8); 2] = [("left", b'l'), ("right", b'r')];

fn start_both<V: Variant, H: Host>(host: &H) -> Result<(), String> {
    let (left, right) = UnixStream::pair(host).trying("make a socketpair")?;
    let mut children = Vec::new();
    for (end, number) in [left, right].into_iter().zip(0..) {
        let (name, _) = PEERS[number];
        let child = host
            .process(ProcessSpec::new(name).fd(end, 3), move |host| {
                status(host, name, be_peer::<V, H>(host, number))
            })
            .trying("start a peer")?;
        children.push((name, child));
    }
    for (name, child) in children {
        ended_well(child, name)?;
    }
    host.print("both peers have the other's journal");
    Ok(())
}

fn be_peer<V: Variant, H: Host>(host: &H, number: usize) -> Result<(), String> {
    let peer = UnixStream::from(inherited(host, 3)?);
    // The least that there is: what is set is raised to it (MEM 9).
    peer.set_send_buffer_size(1).trying("set the send buffer")?;
    let [mine, other] = [PEERS[number], PEERS[1 - number]].map(|(_, fill)| vec![fill; JOURNAL]);
    let theirs = V::exchange(host, peer, mine).trying("exchange journals")?;
    if theirs == other { Ok(()) } else { Err("the peer's journal came damaged".into()) }
}
