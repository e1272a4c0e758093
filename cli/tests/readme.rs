//! README.md tells the truth: each command in a `console` block is run, and prints what is shown.
//!
//! A line `$ command` is run by a shell in a fresh directory with this build's `afunix` first in
//! the path; what follows is its standard output. A line of only `...` stands for any lines.
//! `UPDATE=1` writes the output of commands whose block shows none.

use std::path::Path;
use std::process::Command;

struct Example {
    line: usize,
    command: String,
    shown: Vec<String>,
}

fn examples(readme: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut inside = false;
    for (index, line) in readme.lines().enumerate() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => match line.strip_prefix("$ ") {
                Some(command) => {
                    let command = command.to_owned();
                    examples.push(Example { line: index + 1, command, shown: Vec::new() });
                }
                None => {
                    let example = examples.last_mut().expect("output follows a command");
                    example.shown.push(line.to_owned());
                }
            },
        }
    }
    examples
}

/// Whether `shown` is `printed`, where a line `...` in `shown` stands for any lines.
fn matches(shown: &[String], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((any, rest)) if any == "..." => {
            (0..=printed.len()).any(|skip| matches(rest, &printed[skip..]))
        }
        Some((line, rest)) => {
            printed.first().is_some_and(|first| line.trim_end() == first.trim_end())
                && matches(rest, &printed[1..])
        }
    }
}

#[test]
fn every_command_prints_what_is_shown() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let readme = std::fs::read_to_string(root.join("README.md")).expect("README.md");
    let examples = examples(&readme);
    assert!(examples.len() >= 5, "the tour has {} commands", examples.len());
    let directory = tempfile::tempdir().unwrap();
    let binaries = Path::new(env!("CARGO_BIN_EXE_afunix")).parent().unwrap();
    let path = std::env::join_paths(
        std::iter::once(binaries.to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )
    .unwrap();
    for example in examples {
        let output = Command::new("sh")
            .args(["-c", &example.command])
            .current_dir(directory.path())
            .env("PATH", &path)
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let printed: Vec<&str> = printed.lines().collect();
        assert!(
            matches(&example.shown, &printed),
            "README.md:{}: `{}` printed\n{}\n(standard error: {})\nbut the page shows\n{}",
            example.line,
            example.command,
            printed.join("\n"),
            String::from_utf8_lossy(&output.stderr),
            example.shown.join("\n"),
        );
    }
}

#[test]
fn the_set_up_is_what_continuous_integration_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let readme = std::fs::read_to_string(root.join("README.md")).expect("README.md");
    let run = std::fs::read_to_string(root.join(".ci/run")).expect(".ci/run");
    assert!(readme.contains("`cargo test --workspace`") && run.contains("cargo test --workspace"));
    for package in ["gcc", "iproute2"] {
        assert!(readme.contains(package) && run.contains(package), "{package}");
    }
    assert!(run.contains("cargo install --path cli --locked"), "the second command is tried");
}
