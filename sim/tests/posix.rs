//! The fault profile `posix`: what relies on more than POSIX promises fails under it, and only
//! there.

use std::io::{Read, Write};
use std::time::Duration;

use afunix::call::OptionOut;
use afunix::net::{AsSocket, UnixDatagram, UnixStream};
use afunix::options::{SO_PASSCRED, SO_PEERCRED, SO_TYPE, SOL_SOCKET};
use afunix::{Address, Backend, Call, Errno, Host, RawName};
use afunix_sim::{App, Choices, FaultCounts, Faults, RunOptions, app, run};

const RUNS: u64 = 200;

/// Numbers by datagram, which the receiver expects one after the other, or in any order and number.
fn numbers(in_order: bool) -> App {
    app(move |host| {
        let address = Address::path("/tmp/receiver").unwrap();
        let receiver = UnixDatagram::bind(host, &address).unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let of_thread = *host;
        let sender = host.spawn("sender", move || {
            let sender = UnixDatagram::unbound(&of_thread).unwrap();
            let to = Address::path("/tmp/receiver").unwrap();
            for number in 0..5 {
                let sent = sender.send_to(&[number], &to);
                assert!(!in_order || sent.is_ok(), "{sent:?}");
            }
        });
        let mut byte = [0];
        for expected in 0..5 {
            match receiver.recv(&mut byte) {
                Ok(_) => assert!(!in_order || byte[0] == expected, "in order"),
                Err(error) => assert!(!in_order, "{error}"),
            }
        }
        sender.join().unwrap();
        0
    })
}

/// How many of the runs fail, and what their faults were.
fn failures(app: &App, faults: Faults) -> (u64, FaultCounts) {
    let options = RunOptions { faults, ..RunOptions::default() };
    let (mut failed, mut all) = (0, FaultCounts::default());
    for seed in 0..RUNS {
        let report = run(app, &options, Choices::Seed(seed));
        failed += u64::from(!report.passed());
        all.lost += report.faults.lost;
        all.overtaken += report.faults.overtaken;
        all.no_buffers += report.faults.no_buffers;
    }
    (failed, all)
}

#[test]
fn order_and_arrival_are_relied_on_in_vain() {
    let (failed, counts) = failures(&numbers(true), Faults::None);
    assert_eq!((failed, counts.lost), (0, 0), "Linux keeps what it is sent, in order");
    assert!(failures(&numbers(true), Faults::Posix).0 > RUNS / 10);
}

#[test]
fn who_relies_on_nothing_holds() {
    let (failed, counts) = failures(&numbers(false), Faults::Posix);
    assert_eq!(failed, 0);
    assert!(counts.lost > 0 && counts.overtaken > 0 && counts.no_buffers > 0, "{counts:?}");
}

#[test]
fn streams_stay_whole() {
    let app = app(|host| {
        let (mut near, mut far) = UnixStream::pair(host).unwrap();
        let writer = host.spawn("writer", move || near.write_all(&[7; 3000]).unwrap());
        let mut all = Vec::new();
        far.read_to_end(&mut all).unwrap();
        assert_eq!(all, [7; 3000]);
        writer.join().unwrap();
        0
    });
    assert_eq!(failures(&app, Faults::Posix).0, 0);
}

#[test]
fn what_only_linux_has_is_refused() {
    let app = app(|host| {
        let (socket, _peer) = UnixStream::pair(host).unwrap();
        let fd = socket.as_fd();
        let hidden = RawName::Bytes(b"\x01\0\0name");
        assert_eq!(host.call(&mut Call::Bind { fd, name: hidden }), Err(Errno::NOENT));
        assert_eq!(host.call(&mut Call::Connect { fd, name: hidden }), Err(Errno::NOENT));
        let nothing = RawName::Bytes(b"\x01\0");
        assert_eq!(host.call(&mut Call::Bind { fd, name: nothing }), Err(Errno::INVAL));
        let refused = Err(Errno::NOPROTOOPT);
        for (option, expected) in [(SO_PASSCRED, refused), (SO_PEERCRED, refused), (SO_TYPE, Ok(0))]
        {
            let mut buffer = [0; 16];
            let value = &mut OptionOut::new(&mut buffer);
            let mut ask = Call::Getsockopt { fd, level: SOL_SOCKET, option, value };
            assert_eq!(host.call(&mut ask), expected, "option {option}");
        }
        assert_eq!(host.call(&mut Call::Eventfd2 { count: 0, flags: 0 }), Err(Errno::NOSYS));
        0
    });
    let options = RunOptions { faults: Faults::Posix, ..RunOptions::default() };
    let report = run(&app, &options, Choices::Seed(0));
    assert!(report.passed(), "{:?}", report.failure());
}
