//! The backends as columns of the conformance table.

use std::process::ExitCode;

use afunix::{Backend, Call, Exit, Host};
use afunix_emulator::Threads;
use afunix_kernel_backend::Kernel;
use afunix_sim::{Choices, Faults, RunOptions, Sim};
use afunix_tests::conformance::{Case, cases};

/// Runs of each case in the simulator, in orders of its choice.
const SEEDS: u64 = 3;

/// One backend.
pub(crate) struct Column {
    /// `kernel`.
    pub(crate) name: &'static str,
    /// Whether it is the real kernel, where a user's rights are real.
    pub(crate) is_real: bool,
    /// Titles of its cases, and whether they need root.
    pub(crate) titles: fn() -> Vec<(String, bool)>,
    /// Runs the case of a title.
    run: fn(&str),
}

/// All of them.
pub(crate) static BACKENDS: [Column; 3] = [
    Column { name: "kernel", is_real: true, titles: titles::<Kernel>, run: on_kernel },
    Column { name: "threads", is_real: false, titles: titles::<Threads>, run: on_threads },
    Column { name: "sim", is_real: false, titles: titles::<Sim>, run: in_simulation },
];

/// Runs one case, named `kernel: CONNECT 3 lookup`, and is done with this process.
pub(crate) fn run(name: &str) -> ExitCode {
    let (backend, title) = name.split_once(": ").expect("a backend and a title");
    let column = BACKENDS.iter().find(|column| column.name == backend).expect("a known backend");
    (column.run)(title);
    ExitCode::SUCCESS
}

fn titles<H: Host>() -> Vec<(String, bool)> {
    cases::<H>().iter().map(|case| (case.title(), case.root)).collect()
}

fn find<H: Host>(title: &str) -> Case<H> {
    cases::<H>().into_iter().find(|case| case.title() == title).expect("a known case")
}

/// Every case begins with this umask and, on the model, in this directory.
fn begin<H: Host>(host: &H) {
    let _ = host.call(&mut Call::Umask { mask: 0o022 });
}

fn on_kernel(title: &str) {
    // A case counts on a table with 0 to 2, and whoever started this may have left more.
    for number in 3..256 {
        let _ = Kernel.call(&mut Call::Close { fd: afunix_tests::raw::fd(number) });
    }
    begin(&Kernel);
    (find::<Kernel>(title).body)(&Kernel);
}

fn on_threads(title: &str) {
    let case = find::<Threads>(title);
    let report = Threads::run(|host| {
        begin(host);
        assert_eq!(host.call(&mut Call::Chdir { path: b"/tmp" }), Ok(0));
        (case.body)(host);
        0
    });
    assert_eq!(report.exit, Exit::Status(0));
}

/// One run, without faults: what the case is about must hold in any order.
fn in_simulation(title: &str) {
    let body = find::<Sim>(title).body;
    let app = afunix_sim::app(move |host| {
        begin(host);
        assert_eq!(host.call(&mut Call::Chdir { path: b"/tmp" }), Ok(0));
        body(host);
        0
    });
    let options = RunOptions { faults: Faults::None, ..RunOptions::default() };
    for seed in 0..SEEDS {
        let report = afunix_sim::run(&app, &options, Choices::Seed(seed));
        assert!(report.passed(), "seed {seed}: {:?}", report.failure());
    }
}
