//! The echo server and its client over TCP on loopback: the very functions that the scenario runs
//! over Unix sockets.

use std::net::{TcpListener, TcpStream};
use std::thread;

use afunix_examples::echo;

#[test]
fn echo_also_runs_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind to loopback");
    let address = listener.local_addr().expect("the port");
    let server = thread::spawn(move || echo::serve(&listener, 2));
    for _ in 0..2 {
        let connection = TcpStream::connect(address).expect("connect");
        let heard = echo::talk(connection, &["one", "", "three"]).expect("talk");
        assert_eq!(heard, ["one", "", "three"]);
    }
    server.join().expect("the server does not panic").expect("serve");
}
