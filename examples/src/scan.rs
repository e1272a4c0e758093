//! `scan`: a client opens files and passes them to a scanner, which runs as nobody and could open
//! few of them itself.
//!
//! The *client* walks through DIR and sends up to 64 open files per record over a seqpacket pair
//! (SCM_RIGHTS). The *scanner* looks for byte signatures, in pieces, and returns a *verdict* per
//! file. Rights are checked when a file is opened, not when its descriptor is used (VFS 2): so the
//! scanner needs none, and a flaw in it gives nothing away. To show it, the client makes a file
//! that only it may read, has the scanner open it by its path, and then passes it.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use afunix::call::Stat;
use afunix::fs::{self, File};
use afunix::net::{Fd, Message, UnixSeqpacket};
use afunix::{Application, Child, Credentials, Errno, Host, OpenFlags, ProcessSpec, RecvFlags};

use crate::support::{Trying, ended_well, explain, inherited, name_of, remove_tree, scratch};
use crate::support::{status, uninterrupted};

/// The scenario.
pub struct Scan;

impl Application for Scan {
    const NAME: &'static str = "scan";
    const ABOUT: &'static str = "[DIR]: an unprivileged scanner reads files that are passed to it";

    fn main<H: Host>(host: &H, args: &[String]) -> i32 {
        match args {
            [] => status(host, Self::NAME, scan_own_directory(host)),
            [directory] => match fs::read_dir(host, directory) {
                Ok(_) => {
                    let directory = Path::new(directory);
                    status(host, Self::NAME, scan(host, directory, directory).map(drop))
                }
                Err(error) => {
                    host.print(&format!("scan: {directory}: {}", explain(&error)));
                    2
                }
            },
            _ => {
                host.print("scan: takes one directory at most");
                2
            }
        }
    }
}

/// What is looked for: a name, and the bytes in two halves, so that this file holds none of them.
const SIGNATURES: [(&str, [&str; 2]); 4] = [
    (
        "EICAR test file",
        [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"],
    ),
    (
        "GTUBE test mail",
        ["XJS*C4JDBQADN1.NSBN3*2IDNEZ*", "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"],
    ),
    ("reverse shell", ["bash -i >& ", "/dev/tcp/"]),
    ("private key", ["-----BEGIN RSA ", "PRIVATE KEY-----"]),
];

/// Files per record.
const BATCH: usize = 64;
/// Bytes read at once.
const PIECE: usize = 16 * 1024;
/// Who the scanner is: nobody.
const NOBODY: u32 = 65534;
/// First byte of a record that brings files.
const FILES: u8 = b'f';
/// First byte of a record that names a path to open.
const OPEN: u8 = b'o';

/// What the scanner says of one file.
#[derive(Clone, Copy, Default)]
struct Verdict {
    /// Bytes read.
    bytes: u64,
    /// A bit per signature that was found.
    hits: u32,
    /// What reading or opening it failed with; 0 if it did not.
    errno: u32,
}

const VERDICT: usize = 16;

impl Verdict {
    fn to_bytes(self) -> [u8; VERDICT] {
        let mut bytes = [0; VERDICT];
        bytes[..8].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.hits.to_le_bytes());
        bytes[12..].copy_from_slice(&self.errno.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let word =
            |at: usize| bytes[at..at + 4].iter().rev().fold(0, |n, b| n << 8 | u32::from(*b));
        let long = u64::from(word(4)) << 32 | u64::from(word(0));
        Verdict { bytes: long, hits: word(8), errno: word(12) }
    }

    fn failed(error: &io::Error) -> Self {
        let errno = Errno::from_io(error).unwrap_or(Errno::IO).raw() as u32;
        Verdict { errno, ..Verdict::default() }
    }
}

/// The scanner's process: a verdict per file, a record of them per record received.
fn scanner<H: Host>(host: &H) -> Result<(), String> {
    let client = UnixSeqpacket::from(inherited(host, 3)?);
    let patterns = SIGNATURES.map(|(_, halves)| halves.concat().into_bytes());
    let mut record = [0; 4096];
    loop {
        let received = uninterrupted(|| client.recv_message(&mut record, BATCH));
        let received = received.trying("receive files")?;
        let record = &record[..received.bytes];
        let verdicts: Vec<u8> = match record.split_first() {
            None => return Ok(()),
            Some((&OPEN, path)) => match File::open(host, name_of(path)) {
                Ok(file) => look_through(file, &patterns).to_bytes().to_vec(),
                Err(error) => Verdict::failed(&error).to_bytes().to_vec(),
            },
            Some(_) if received.flags.contains(RecvFlags::CTRUNC) => {
                return Err("some of the files were lost on the way".into());
            }
            Some(_) => received
                .fds
                .into_iter()
                .flat_map(|fd| look_through(File::from(fd), &patterns).to_bytes())
                .collect(),
        };
        uninterrupted(|| client.send(&verdicts)).trying("send verdicts")?;
    }
}

/// Reads a file in pieces. The end of each is kept before the next, so that a signature is found
/// across the border.
fn look_through<H: Host>(mut file: File<H>, patterns: &[Vec<u8>]) -> Verdict {
    let keep = patterns.iter().map(Vec::len).max().unwrap_or(1) - 1;
    let mut window = vec![0; keep + PIECE];
    let mut kept = 0;
    let mut verdict = Verdict::default();
    loop {
        let len = match uninterrupted(|| file.read(&mut window[kept..])) {
            Ok(0) => return verdict,
            Ok(len) => len,
            Err(error) => return Verdict { errno: Verdict::failed(&error).errno, ..verdict },
        };
        verdict.bytes += len as u64;
        let end = kept + len;
        for (number, pattern) in patterns.iter().enumerate() {
            if verdict.hits & 1 << number == 0 && contains(&window[..end], pattern) {
                verdict.hits |= 1 << number;
            }
        }
        kept = keep.min(end);
        window.copy_within(end - kept..end, 0);
    }
}

/// Whether `pattern`, which is not empty, is in `data`.
fn contains(mut data: &[u8], pattern: &[u8]) -> bool {
    while let Some(at) = data.iter().position(|byte| *byte == pattern[0]) {
        data = &data[at..];
        if data.starts_with(pattern) {
            return true;
        }
        data = &data[1..];
    }
    false
}

/// What keeps the scanner from opening files by itself.
#[derive(Clone, Copy)]
enum Confinement {
    /// It is another user.
    Nobody,
    /// It may open nothing by a path: for a caller that cannot become another user.
    Landlock,
    /// Nothing does: where neither is to be had.
    Nothing,
}

/// The client's side of the scanner.
struct Scanner<H: Host> {
    channel: UnixSeqpacket<H>,
    process: Child<H>,
    confinement: Confinement,
}

impl<H: Host> Scanner<H> {
    /// Starts it with the first confinement that is to be had.
    fn start(host: &H) -> Result<Self, String> {
        let mut refused = Errno::PERM;
        for confinement in [Confinement::Nobody, Confinement::Landlock, Confinement::Nothing] {
            let (channel, theirs) = UnixSeqpacket::pair(host).trying("make a socketpair")?;
            let spec = ProcessSpec::new("scanner").fd(theirs, 3);
            let spec = match confinement {
                Confinement::Nobody => spec.user(Credentials::user(NOBODY)),
                Confinement::Landlock => spec.confined(),
                Confinement::Nothing => spec,
            };
            match host.process(spec, |host| status(host, "scanner", scanner(host))) {
                Ok(process) => return Ok(Scanner { channel, process, confinement }),
                Err(errno @ (Errno::PERM | Errno::NOSYS)) => refused = errno,
                Err(errno) => return Err(errno).trying("start the scanner"),
            }
        }
        Err(refused).trying("start the scanner")
    }

    /// Sends one record and returns the verdicts, of which there must be `count`.
    fn ask(&self, record: &[u8], fds: &[Fd<'_>], count: usize) -> Result<Vec<Verdict>, String> {
        let message = Message::new(record).fds(fds);
        uninterrupted(|| self.channel.send_message(&message)).trying("send files")?;
        let mut reply = [0; BATCH * VERDICT];
        let len = uninterrupted(|| self.channel.recv(&mut reply)).trying("receive verdicts")?;
        if len != count * VERDICT {
            return Err(format!("the scanner sent {len} bytes about {count} files"));
        }
        Ok(reply[..len].chunks(VERDICT).map(Verdict::from_bytes).collect())
    }

    fn ask_files(&self, files: &[File<H>]) -> Result<Vec<Verdict>, String> {
        let fds: Vec<Fd<'_>> = files.iter().map(File::as_fd).collect();
        self.ask(&[FILES], &fds, files.len())
    }

    fn stop(self) -> Result<(), String> {
        drop(self.channel);
        ended_well(self.process, "the scanner")
    }
}

/// The client's findings.
#[derive(Default)]
struct Report {
    files: u64,
    bytes: u64,
    hits: Vec<(PathBuf, &'static str)>,
    unreadable: u64,
}

impl Report {
    fn add(&mut self, path: &Path, verdict: Verdict) {
        self.files += 1;
        self.bytes += verdict.bytes;
        self.unreadable += u64::from(verdict.errno != 0);
        for (number, (name, _)) in SIGNATURES.into_iter().enumerate() {
            if verdict.hits & 1 << number != 0 {
                self.hits.push((path.to_owned(), name));
            }
        }
    }

    fn print<H: Host>(&mut self, host: &H) {
        self.hits.sort();
        for (path, name) in &self.hits {
            host.print(&format!("{}: {name}", path.display()));
        }
        host.print(&format!(
            "{} files, {} bytes, {} hits, {} unreadable",
            self.files,
            self.bytes,
            self.hits.len(),
            self.unreadable
        ));
    }
}

/// Scans all below `directory`; the report names the files below `shown`.
fn scan<H: Host>(host: &H, directory: &Path, shown: &Path) -> Result<Report, String> {
    let scanner = Scanner::start(host)?;
    show_refusal(host, &scanner)?;
    let mut report = Report::default();
    let mut batch = Batch { scanner: &scanner, files: Vec::new(), paths: Vec::new() };
    walk(host, directory, shown, &mut batch, &mut report)?;
    batch.send(&mut report)?;
    report.print(host);
    scanner.stop()?;
    Ok(report)
}

/// Files that are open and not sent yet.
struct Batch<'a, H: Host> {
    scanner: &'a Scanner<H>,
    files: Vec<File<H>>,
    paths: Vec<PathBuf>,
}

impl<H: Host> Batch<'_, H> {
    fn send(&mut self, report: &mut Report) -> Result<(), String> {
        if !self.files.is_empty() {
            let verdicts = self.scanner.ask_files(&self.files)?;
            self.files.clear();
            for (path, verdict) in self.paths.drain(..).zip(verdicts) {
                report.add(&path, verdict);
            }
        }
        Ok(())
    }
}

/// Regular files only; symbolic links are not followed.
fn walk<H: Host>(
    host: &H,
    directory: &Path,
    shown: &Path,
    batch: &mut Batch<'_, H>,
    report: &mut Report,
) -> Result<(), String> {
    let Ok(entries) = fs::read_dir(host, directory) else {
        report.unreadable += 1;
        return Ok(());
    };
    for entry in entries {
        let path = directory.join(name_of(&entry.name));
        let shown = shown.join(name_of(&entry.name));
        let file_type = match entry.file_type {
            // Some file systems do not say.
            0 => fs::symlink_metadata(host, &path).map_or(0, |stat| stat.file_type()),
            known => known,
        };
        match file_type {
            Stat::IFDIR => walk(host, &path, &shown, batch, report)?,
            Stat::IFREG => match File::open_with(host, &path, OpenFlags::NOFOLLOW, 0) {
                Ok(file) => {
                    batch.files.push(file);
                    batch.paths.push(shown);
                    if batch.files.len() == BATCH {
                        batch.send(report)?;
                    }
                }
                Err(error) => report.add(&shown, Verdict::failed(&error)),
            },
            _ => {}
        }
    }
    Ok(())
}

/// Makes a file that only the client may read, and shows what the scanner can do with its path and
/// what with its descriptor.
fn show_refusal<H: Host>(host: &H, scanner: &Scanner<H>) -> Result<(), String> {
    let directory = scratch(host, "scan-private")?;
    let shown = show_refusal_in(host, scanner, &directory);
    remove_tree(host, &directory)?;
    shown
}

fn show_refusal_in<H: Host>(host: &H, scanner: &Scanner<H>, at: &Path) -> Result<(), String> {
    // Everybody may pass through the directory: it is the file that refuses.
    fs::set_mode(host, at, 0o755).trying("open the directory to all")?;
    let path = at.join("secret");
    let flags = OpenFlags::WRONLY | OpenFlags::CREAT | OpenFlags::EXCL;
    File::open_with(host, &path, flags, 0o600)
        .and_then(|mut file| file.write_all(b"for the client's eyes"))
        .trying("make a private file")?;
    let file = File::open(host, &path).trying("open the private file")?;
    let passed = scanner.ask_files(&[file])?[0];
    let confinement = match scanner.confinement {
        Confinement::Nobody => format!("as user {NOBODY}"),
        Confinement::Landlock => "confined by Landlock".into(),
        Confinement::Nothing => {
            host.print("the scanner runs as the same user, for only root can start it as another;");
            host.print("to refuse it files would take Landlock, which is not to be had here");
            return Ok(());
        }
    };
    let record = [&[OPEN], path.as_os_str().as_encoded_bytes()].concat();
    let by_path = scanner.ask(&record, &[], 1)?[0];
    let refusal = Errno::from_raw(by_path.errno as i32).and_then(Errno::name).unwrap_or("opened");
    host.print(&format!(
        "the scanner, {confinement}, opens it by path: {refusal}; \
         by the descriptor passed: {} bytes",
        passed.bytes
    ));
    match (by_path.errno as i32 == Errno::ACCES.raw(), passed.errno) {
        (true, 0) => Ok(()),
        _ => Err("the path should be refused, and the descriptor should do".into()),
    }
}

/// Without DIR: scans a directory made for it, where it is known what must be found.
fn scan_own_directory<H: Host>(host: &H) -> Result<(), String> {
    let directory = scratch(host, "scan")?;
    let scanned =
        make_samples(host, &directory).and_then(|()| scan(host, &directory, Path::new("")));
    remove_tree(host, &directory)?;
    let found = scanned?.hits;
    let wanted = [("across.log", "reverse shell"), ("mail/eicar.com", "EICAR test file")];
    if found == wanted.map(|(path, name)| (PathBuf::from(path), name)) {
        return Ok(());
    }
    Err(format!("it should have found {wanted:?}"))
}

fn make_samples<H: Host>(host: &H, directory: &Path) -> Result<(), String> {
    let [eicar, _, shell, _] = SIGNATURES.map(|(_, halves)| halves.concat().into_bytes());
    // Begins some bytes before the end of the first piece that the scanner reads.
    let across = [vec![b' '; PIECE + 60], shell].concat();
    let samples: [(&str, u32, &[u8]); 5] = [
        ("across.log", 0o644, &across),
        ("clean.txt", 0o644, b"nothing to see here\n"),
        ("empty", 0o644, b""),
        ("mail/eicar.com", 0o644, &eicar),
        ("mail/private", 0o600, b"only the client can open this\n"),
    ];
    fs::create_dir(host, directory.join("mail")).trying("make a directory")?;
    for (name, mode, content) in samples {
        let flags = OpenFlags::WRONLY | OpenFlags::CREAT | OpenFlags::EXCL;
        File::open_with(host, directory.join(name), flags, mode)
            .and_then(|mut file| file.write_all(content))
            .trying(&format!("make {name}"))?;
    }
    Ok(())
}
