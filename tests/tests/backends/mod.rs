//! The backends as columns of the conformance table.

use std::process::ExitCode;

use afunix::{Backend, Call, Host};
use afunix_kernel_backend::Kernel;
use afunix_tests::conformance::{Case, cases};

/// One backend.
pub struct Column {
    /// `kernel`.
    pub name: &'static str,
    /// Whether it is the real kernel, where a user's rights are real.
    pub is_real: bool,
    /// Titles of its cases, and whether they need root.
    pub titles: fn() -> Vec<(String, bool)>,
    /// Runs the case of a title.
    run: fn(&str),
}

/// All of them.
pub static BACKENDS: [Column; 1] =
    [Column { name: "kernel", is_real: true, titles: titles::<Kernel>, run: on_kernel }];

/// Runs one case, named `kernel: CONNECT 3 lookup`, and is done with this process.
pub fn run(name: &str) -> ExitCode {
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

fn on_kernel(title: &str) {
    // A case counts on a table with 0 to 2, and whoever started this may have left more.
    for number in 3..256 {
        let _ = Kernel.call(&mut Call::Close { fd: afunix_tests::raw::fd(number) });
    }
    let _ = Kernel.call(&mut Call::Umask { mask: 0o022 });
    (find::<Kernel>(title).body)(&Kernel);
}
