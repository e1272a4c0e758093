//! `short-frame`: an agent that takes what one read brings for one request.
//!
//! A request is a length and as many bytes. A stream keeps no boundaries: the client writes both
//! parts one after the other, and whether the agent's read finds one or both is chance. So the
//! agent now and then turns a sound client away. (cuviper/ssh-pageant#12: "recv(0) = 4 (expected
//! 5)" under load.)

use std::io::{self, Read, Write};
use std::marker::PhantomData;

use afunix::net::UnixStream;
use afunix::{Application, Host, ProcessSpec};

use crate::support::{Trying, inherited, run, status, uninterrupted};

/// What the variants differ in.
pub trait Variant: 'static {
    /// The scenario's name.
    const NAME: &'static str;
    /// What it shows, in a line.
    const ABOUT: &'static str;

    /// The next request.
    fn request<H: Host>(client: &mut UnixStream<H>) -> io::Result<Vec<u8>>;
}

/// Reads once.
pub struct Broken;

impl Variant for Broken {
    const NAME: &'static str = "short-frame";
    const ABOUT: &'static str = "an agent takes one read for one request (ssh-pageant #12)";

    fn request<H: Host>(client: &mut UnixStream<H>) -> io::Result<Vec<u8>> {
        let mut frame = [0; 64];
        let len = uninterrupted(|| client.read(&mut frame))?;
        match frame[..len] {
            [size, ref body @ ..] if body.len() == usize::from(size) => Ok(body.to_vec()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Reads until all is there.
pub struct Fixed;

impl Variant for Fixed {
    const NAME: &'static str = "short-frame-fixed";
    const ABOUT: &'static str = "the same agent reads on until the request is whole";

    fn request<H: Host>(client: &mut UnixStream<H>) -> io::Result<Vec<u8>> {
        let mut size = [0];
        client.read_exact(&mut size)?;
        let mut body = vec![0; usize::from(size[0])];
        client.read_exact(&mut body)?;
        Ok(body)
    }
}

/// The scenario, in one of its variants.
pub struct Scenario<V>(PhantomData<V>);

impl<V: Variant> Application for Scenario<V> {
    const NAME: &'static str = V::NAME;
    const ABOUT: &'static str = V::ABOUT;

    fn main<H: Host>(host: &H, args: &[String]) -> i32 {
        run(host, Self::NAME, args, || be_client::<V, H>(host))
    }
}

const REQUEST: &[u8] = b"sign";

/// The first process is the client.
fn be_client<V: Variant, H: Host>(host: &H) -> Result<(), String> {
    let (mut agent, theirs) = UnixStream::pair(host).trying("make a socketpair")?;
    let spec = ProcessSpec::new("agent").fd(theirs, 3);
    host.process(spec, |host| status(host, "agent", be_agent::<V, H>(host)))
        .trying("start the agent")?;
    agent.write_all(&[REQUEST.len() as u8]).trying("write the size")?;
    agent.write_all(REQUEST).trying("write the request")?;
    let mut answer = [0; REQUEST.len()];
    agent.read_exact(&mut answer).trying("read the answer")?;
    if answer == REQUEST { Ok(()) } else { Err("the answer is another one's".into()) }
}

/// The answer to a request is the request.
fn be_agent<V: Variant, H: Host>(host: &H) -> Result<(), String> {
    let mut client = UnixStream::from(inherited(host, 3)?);
    let request = V::request(&mut client).trying("understand the request")?;
    client.write_all(&request).trying("answer")
}
