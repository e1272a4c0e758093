//! Snapshots as text: the kernel's own /proc/net/unix and `ss -xap`, the snapshot of the running
//! system and the model's snapshot say the same of the same sockets (OPT 8, 13).

mod support;

use std::collections::BTreeMap;
use std::process::Command;

use afunix::Backend;
use afunix::snapshot::Snapshot;
use afunix_kernel_backend::Kernel;
use afunix_model::Time;
use afunix_tests::calls::*;
use support::Model;

/// Sockets in many states; their numbers, by what they are.
fn make(b: &dyn Backend, directory: &str) -> BTreeMap<&'static str, i32> {
    let mut made = BTreeMap::new();
    let mut keep = |name, fd| {
        made.insert(name, fd);
    };
    let at = |label: &str| path(&format!("{directory}/{label}"));
    let server = listener(b, STREAM, &at("server"), 3);
    keep("listener", server);
    keep("client", connected(b, STREAM, &at("server")).unwrap());
    keep("accepted", accept(b, server, 0).unwrap());
    let records = listener(b, SEQPACKET, &hidden("re\0cords"), 7);
    keep("record listener", records);
    let waiting = connected(b, SEQPACKET, &hidden("re\0cords")).unwrap();
    assert_eq!(send(b, waiting, b"hello", 0), Ok(5));
    keep("waits to be accepted", waiting);
    let receiver = bound(b, DGRAM, &at("receiver"));
    keep("receiver", receiver);
    let sender = bound(b, DGRAM, &at("with a blank"));
    connect(b, sender, &at("receiver")).unwrap();
    for _ in 0..3 {
        assert_eq!(send(b, sender, b"1234567", 0), Ok(7));
    }
    keep("sender", sender);
    let (left, right) = pair(b, STREAM);
    assert_eq!(send(b, left, &[7; 5000], 0), Ok(5000));
    assert_eq!(recv(b, right, 10, 0), Ok(vec![7; 10]));
    assert_eq!(send(b, left, b"u", OOB), Ok(1));
    shutdown(b, left, 1).unwrap();
    keep("left", left);
    keep("right", right);
    keep("right, again", dup(b, right).unwrap());
    let (records, peer) = pair(b, SEQPACKET);
    for text in [&b"one"[..], b"", b"three"] {
        assert_eq!(send(b, peer, text, 0), Ok(text.len()));
    }
    keep("records", records);
    keep("its peer", peer);
    let (lonely, gone) = pair(b, DGRAM);
    close(b, gone).unwrap();
    keep("lonely", lonely);
    keep("fresh", socket(b, STREAM).unwrap());
    keep("fresh datagram", socket(b, DGRAM).unwrap());
    made
}

/// The inode of each, and back.
fn inodes(b: &dyn Backend, made: &BTreeMap<&'static str, i32>) -> BTreeMap<u64, &'static str> {
    // One of two descriptors of a socket gives it the name.
    made.iter().rev().map(|(name, fd)| (fstat(b, *fd).unwrap().ino, *name)).collect()
}

/// The lines of /proc/net/unix about these sockets or with this in their name, inodes by name and
/// without the number in front; sorted.
fn of_proc(text: &str, names: &BTreeMap<u64, &'static str>, ours: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines().skip(1) {
        let Some((_, rest)) = line.split_once(": ") else { continue };
        let (fields, rest) = rest.split_at(35);
        let rest = rest.trim_start();
        let (inode, name) = rest.split_once(' ').unwrap_or((rest, ""));
        let shown = names.get(&inode.parse().unwrap());
        if shown.is_some() || (inode == "0" && name.contains(ours)) {
            lines.push(format!("{fields} {} {name}", shown.unwrap_or(&"none")));
        }
    }
    lines.sort();
    lines
}

/// The lines of `ss -xap` about these sockets, inodes by name, words by one blank, the users in
/// order and only this process's; sorted.
fn of_ss(text: &str, names: &BTreeMap<u64, &'static str>, pid: u32) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines().skip(1) {
        let (front, users) = line.split_once("users:(").unwrap_or((line, ""));
        let words: Vec<&str> = front.split_whitespace().collect();
        let [before @ .., inode, star, peer] = &words[..] else { continue };
        let Some(shown) = inode.parse().ok().and_then(|inode: u64| names.get(&inode)) else {
            continue;
        };
        let peer = peer.parse().ok().and_then(|peer: u64| names.get(&peer)).unwrap_or(&"none");
        let own = format!("pid={pid},");
        let users = users.split("),(").filter(|user| user.contains(&own));
        let mut users: Vec<i32> = users
            .filter_map(|user| user.split_once("fd=")?.1.trim_end_matches([')', ' ']).parse().ok())
            .collect();
        users.sort_unstable();
        lines.push(format!("{} {shown} {star} {peer} {users:?}", before.join(" ")));
    }
    lines.sort();
    lines
}

#[test]
fn listings_of_kernel_and_model_say_the_same() {
    let directory = std::env::temp_dir().join(format!("afunix-listing-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let directory_name = directory.to_str().unwrap().to_owned();
    let made = make(&Kernel, &directory_name);
    let names = inodes(&Kernel, &made);
    let ours = format!("afunix-{}-", std::process::id());
    let pid = std::process::id();

    let real = of_proc(&std::fs::read_to_string("/proc/net/unix").unwrap(), &names, &ours);
    let seen: Snapshot = afunix_kernel_backend::diag::snapshot().unwrap();
    let of_snapshot = of_proc(&seen.proc_net_unix().to_string(), &names, &ours);
    assert_eq!(of_snapshot, real, "/proc/net/unix: left the snapshot of the running system");
    assert_eq!(real.len(), names.len() + 1, "one of them is not accepted: {real:#?}");

    let model = Model::new();
    mkdir_all(&model, &directory_name);
    let made_there = make(&model, &directory_name);
    let names_there = inodes(&model, &made_there);
    let snapshot = model.0.lock().unwrap().snapshot(Time::ZERO);
    let modelled = of_proc(&snapshot.proc_net_unix().to_string(), &names_there, &ours);
    assert_eq!(modelled, real, "/proc/net/unix: left the model");

    // Numbers differ between this process and the model's.
    let number_of = |line: &String| line.rsplit_once(" [").unwrap().0.to_owned();
    let numbers = |lines: &[String]| lines.iter().map(number_of).collect::<Vec<_>>();
    let modelled = of_ss(&snapshot.ss(true).to_string(), &names_there, 1);
    let of_snapshot = of_ss(&seen.ss(true).to_string(), &names, pid);
    assert_eq!(numbers(&modelled), numbers(&of_snapshot), "ss: left the model");
    assert_eq!(of_ss(&seen.ss(false).to_string(), &names, pid).len(), of_snapshot.len());
    match Command::new("ss").arg("-xap").output() {
        Ok(output) => {
            let real = of_ss(&String::from_utf8_lossy(&output.stdout), &names, pid);
            assert_eq!(of_snapshot, real, "ss: left the snapshot of the running system");
        }
        Err(error) if std::env::var_os("CI").is_none() => println!("not compared: ss: {error}"),
        Err(error) => panic!("not to be skipped under CI: ss: {error}"),
    }
    for fd in made.values() {
        close(&Kernel, *fd).unwrap();
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

fn mkdir_all(b: &dyn Backend, path: &str) {
    for (at, _) in path.match_indices('/').skip(1) {
        // It may be there.
        let _ = mkdir(b, &path[..at], 0o755);
    }
    mkdir(b, path, 0o755).unwrap();
}
