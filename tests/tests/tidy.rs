//! The house rules that a program can check: layering, lengths, what must not be used, unsafe,
//! docs.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Most lines of a file.
const FILE_LINES: usize = 600;
/// Most columns of a line.
const LINE_COLUMNS: usize = 100;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's directory").to_owned()
}

/// How the pages that are generated are written anew.
const BLESS: &str = "AFUNIX_BLESS=1 cargo test -p afunix-tests --test tidy";

/// The Rust sources below a directory, or all of the workspace's, with their paths in it.
fn sources(below: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut directories = vec![root().join(below)];
    while let Some(directory) = directories.pop() {
        let entries = std::fs::read_dir(&directory).expect("a directory of the workspace");
        for entry in entries {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    directories.push(path);
                }
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                let path = path.strip_prefix(root()).expect("it is inside").to_owned();
                found.push((path.to_string_lossy().into_owned(), text));
            }
        }
    }
    assert!(!found.is_empty(), "{below} has sources");
    found.sort();
    found
}

#[track_caller]
fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// The packages that a package is built with, its own tests aside.
fn built_with(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal", "--prefix", "none", "--package", package])
        .current_dir(root())
        .output()
        .expect("cargo tree");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("names are text");
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).filter(|name| name != package).collect()
}

#[test]
fn arrows_point_one_way() {
    let layers = [
        ("afunix", &[][..]),
        ("afunix-model", &["afunix"]),
        ("afunix-kernel-backend", &["afunix"]),
        ("afunix-viz", &["afunix"]),
        ("afunix-examples", &["afunix"]),
        ("afunix-sim", &["afunix", "afunix-model", "afunix-sim-macros", "afunix-viz"]),
        ("afunix-emulator", &["afunix", "afunix-model"]),
        ("afunix-supervisor", &["afunix", "afunix-model"]),
        ("afunix-check", &["afunix", "afunix-model"]),
    ];
    let mut wrong = Vec::new();
    for (package, allowed) in layers {
        let ours = built_with(package).into_iter().filter(|name| name.starts_with("afunix"));
        for name in ours.filter(|name| !allowed.contains(&name.as_str())) {
            wrong.push(format!("{package} depends on {name}"));
        }
    }
    none("an arrow points the wrong way", &wrong);
}

#[test]
fn the_model_links_no_system() {
    for package in ["afunix", "afunix-model"] {
        let all = built_with(package);
        for system in ["libc", "rustix", "nix"] {
            assert!(!all.contains(system), "{package} links {system}");
        }
    }
}

#[test]
fn production_gets_no_model() {
    let all = built_with("afunix-kernel-backend");
    for unwanted in ["slotmap", "petgraph", "rand_core", "corosensei"] {
        assert!(!all.contains(unwanted), "a production program links {unwanted}");
    }
}

#[test]
fn files_and_lines_are_short() {
    let mut long = Vec::new();
    for (path, text) in sources("") {
        let lines = text.lines().count();
        if lines > FILE_LINES {
            long.push(format!("{path}: {lines} lines"));
        }
        for (number, line) in (1..).zip(text.lines()) {
            let columns = line.chars().count();
            if columns > LINE_COLUMNS {
                long.push(format!("{path}:{number}: {columns} columns"));
            }
        }
    }
    none("too long", &long);
}

/// Where one of the words below may stand, with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    // Words of advice against it.
    ("sim/src/explore/mod.rs", "HashMap"),
];

#[test]
fn model_and_simulator_are_deterministic() {
    let words = ["HashMap", "HashSet", "Instant::now", "SystemTime", "RandomState", "thread_rng"];
    let mut found = Vec::new();
    for (path, text) in [sources("model/src"), sources("sim/src")].concat() {
        for (number, line) in (1..).zip(text.lines()) {
            let is_comment = line.trim_start().starts_with("//");
            let excepted = |word: &&str| EXCEPTIONS.contains(&(path.as_str(), *word));
            let met = words.iter().find(|word| line.contains(**word) && !excepted(word));
            if let Some(word) = met.filter(|_| !is_comment) {
                found.push(format!("{path}:{number}: {word}"));
            }
        }
    }
    none("not deterministic", &found);
}

#[test]
fn nothing_is_left_undone() {
    let words = ["todo!(", "unimplemented!(", "#[ignore", "allow(dead_code)", "dbg!("];
    let mut found = Vec::new();
    for (path, text) in sources("") {
        if path == "tests/tests/tidy.rs" {
            continue;
        }
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                found.push(format!("{path}:{number}: {word}"));
            }
        }
    }
    none("left undone", &found);
}

/// The modules that may be unsafe, by how their paths begin.
const UNSAFE: &[&str] = &[
    // Declare what a caller must promise.
    "src/control.rs",
    "src/net/fd.rs",
    // System calls; processes; shared memory; owners of descriptors.
    "kernel-backend/src/raw/",
    "kernel-backend/src/host.rs",
    "kernel-backend/src/std_io.rs",
    "kernel-backend/src/worker.rs",
    "kernel-backend/src/worker/crew.rs",
    // Numbers become descriptors of the model; coroutines.
    "emulator/src/own.rs",
    // The supervisor's own system calls.
    "supervisor/src/sys/",
    // Numbers of a log become descriptors of the model.
    "check/src/raw.rs",
    "sim/src/coroutine.rs",
    "sim/src/inherited.rs",
    // Tests and benchmarks that name descriptors by number.
    "tests/src/raw.rs",
    "emulator/tests/loom.rs",
    "model/tests/model/numbers.rs",
    "sim/tests/orders/programs.rs",
    "benches/scale.rs",
    "benches/support/",
    "model/benches/machine.rs",
];

#[test]
fn unsafe_code_is_where_it_is_said_to_be() {
    let mut found = Vec::new();
    for (path, text) in sources("") {
        if path == "tests/tests/tidy.rs" || UNSAFE.iter().any(|allowed| path.starts_with(allowed)) {
            continue;
        }
        for (number, line) in (1..).zip(text.lines()) {
            let is_comment = line.trim_start().starts_with("//");
            let words =
                ["unsafe {", "unsafe fn", "unsafe impl", "expect(unsafe_code", "allow(unsafe"];
            if !is_comment && words.iter().any(|word| line.contains(word)) {
                found.push(format!("{path}:{number}"));
            }
        }
    }
    none("unsafe code outside of the modules named for it", &found);
}

/// The variants of `Call`, in order.
fn variants() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("src/call.rs")).expect("the contract");
    let body = text.split_once("pub enum Call<").expect("the enum").1;
    let body = body.split_once("\n}").expect("its end").0;
    let lines = body.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
    let names = lines.filter_map(|line| {
        let name: String = line.trim().chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
        name.starts_with(|c: char| c.is_ascii_uppercase()).then_some(name)
    });
    names.collect()
}

/// What is to be said of a call beside that it is there: on the kernel, in the model.
const NOTES: &[(&str, &str, &str)] = &[
    ("Socketpair", "", "a late failure writes two numbers that are free again (CREATE 5)"),
    ("Getsockopt", "any option", "those of `afunix::options`; any other is ENOPROTOOPT"),
    ("Setsockopt", "any option", "those of `afunix::options`; any other is ENOPROTOOPT"),
    ("Ioctl", "SIOCINQ, SIOCOUTQ, SIOCATMARK, FIONBIO, FIOASYNC, owners, SIOCUNIXFILE", "the same"),
    ("Fcntl", "", "pipes take O_ASYNC and send no SIGIO"),
    ("Open", "", "regular files and directories; of devices and /proc what sockets need"),
    ("Getdents", "in the file system's order", "in the order of names"),
    ("Prlimit", "RLIMIT_NOFILE, soft", "the same"),
    ("Setids", "for good; needs root", "the same"),
    ("Capset", "of the calling thread", "of the process"),
    ("Mount", "a tmpfs", "the same; `size=`, `nr_inodes=`, `mode=`, `ro`"),
    ("Umount2", "", "MNT_DETACH or none; any other flag is EINVAL"),
    (
        "Fchdir",
        "",
        "names below a directory of another mount namespace are looked up by the caller's mounts",
    ),
    (
        "Unshare",
        "of the calling thread; EINVAL for CLONE_NEWNS below a root that is no mount's",
        "the same, of the process; any flag but CLONE_NEWNS and CLONE_NEWNET is EINVAL",
    ),
    ("Kill", "any signal, to one process", "any signal; none stops a process or lets it go on"),
    (
        "Sigaction",
        "a handler notes the signal; what it does comes at the call's end",
        "a handler runs before EINTR, or before the call is made again",
    ),
    ("Waitpid", "children of `Host::process`", "the same"),
    ("Nanosleep", "the clock", "the machine's clock: virtual in the simulator"),
];

fn table() -> String {
    let head = "\
# Calls

Every `Call` of the contract, and how far each backend goes; threads and the simulator are the
model's column. `tests/tests/tidy.rs` holds this table to the enum, and writes it:
`AFUNIX_BLESS=1 cargo test -p afunix-tests --test tidy`.

| call | kernel | model |
|---|---|---|
";
    let mut text = String::from(head);
    for name in variants() {
        let note = NOTES.iter().find(|(of, ..)| *of == name);
        let (kernel, model) = note.map_or(("", ""), |(_, kernel, model)| (*kernel, *model));
        let cell = |note: &str| if note.is_empty() { "yes".into() } else { format!("yes: {note}") };
        let _ = writeln!(text, "| {name} | {} | {} |", cell(kernel), cell(model));
    }
    text
}

#[test]
fn every_call_is_in_the_support_table() {
    let known = variants();
    assert!(known.len() > 40 && known[0] == "Socket", "the enum is read as it is: {known:?}");
    let unknown: Vec<String> = NOTES
        .iter()
        .filter(|(name, ..)| !known.iter().any(|known| known == name))
        .map(|(name, ..)| (*name).to_owned())
        .collect();
    none("notes on calls that there are not", &unknown);
    let path = root().join("docs/calls.md");
    if std::env::var_os("AFUNIX_BLESS").is_some() {
        std::fs::write(&path, table()).expect("docs/calls.md is written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(there, table(), "docs/calls.md is not what the enum says: {BLESS}");
}

#[test]
fn every_call_is_made_hostile() {
    let text = std::fs::read_to_string(root().join("tests/src/hostile/mod.rs")).expect("a source");
    let made = |name: &String| text.contains(&format!("Call::{name}"));
    let missing: Vec<String> = variants().into_iter().filter(|name| !made(name)).collect();
    none("calls that tests/src/hostile does not make", &missing);
}

#[test]
fn the_rule_table_is_in_the_documentation() {
    let table = afunix_tests::table::read().unwrap_or_else(|wrong| panic!("{wrong}"));
    let path = root().join("docs/conformance.md");
    if std::env::var_os("AFUNIX_BLESS").is_some() {
        std::fs::write(&path, table.markdown()).expect("docs/conformance.md is written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(there, table.markdown(), "docs/conformance.md is not what the cases say: {BLESS}");
}
