//! The rule table: which cases show a rule, and why a rule has none.
//!
//! A *rule* is a line of `rules.txt`. A rule without a case needs a line in `unreachable.txt` with
//! the reason; a rule whose page was wrong has one in `corrected.txt`, with the case that shows
//! what the kernel does. [`read`] holds the three to each other, and `docs/conformance.md` is
//! [`Table::markdown`].

use std::collections::BTreeMap;
use std::fmt::Write;

use afunix_kernel_backend::Kernel;

use crate::conformance::{RULES, cases};

const UNREACHABLE: &str = include_str!("../unreachable.txt");
const CORRECTED: &str = include_str!("../corrected.txt");

const HEAD: &str = "\
# Conformance

Every rule of Linux's AF_UNIX that the model keeps, and the cases that show it: each runs on the
kernel, on threads over the model, and in the simulator. `cargo test -p afunix-tests --test tidy`
holds this page to the cases, and writes it if `AFUNIX_BLESS` is set.

| rule | cases |
|---|---|
";

/// Every rule with what is known of it.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<(&'static str, Vec<&'static str>)>,
    unreachable: Vec<Vec<&'static str>>,
    corrected: Vec<Vec<&'static str>>,
}

/// Reads the rules, the cases and what is said of them.
///
/// # Errors
/// Every rule that has neither case nor reason, every case or note of a rule that there is not, in
/// a line each.
pub fn read() -> Result<Table, String> {
    let mut shown: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for case in cases::<Kernel>() {
        shown.entry(case.rule).or_default().push(case.name);
    }
    let rules: Vec<&str> = RULES.lines().collect();
    let (unreachable, corrected) = (notes(UNREACHABLE), notes(CORRECTED));
    let mut wrong = Vec::new();
    let noted = unreachable.iter().chain(&corrected).map(|note| note[0]);
    for rule in noted.chain(shown.keys().copied()).filter(|rule| !rules.contains(rule)) {
        wrong.push(format!("{rule} is not in tests/rules.txt"));
    }
    for note in unreachable.iter().filter(|note| !matches!(note.len(), 2 | 3)) {
        wrong.push(format!("tests/unreachable.txt: RULE | reason, not {note:?}"));
    }
    for note in &corrected {
        if note.len() != 3 || !shown.get(note[0]).is_some_and(|names| names.contains(&note[2])) {
            wrong.push(format!("tests/corrected.txt: RULE | what | its case, not {note:?}"));
        }
    }
    for rule in rules.iter().filter(|rule| !shown.contains_key(*rule)) {
        // A note on a clause alone excuses no rule.
        if !unreachable.iter().any(|note| note.len() == 2 && note[0] == *rule) {
            wrong.push(format!("{rule} has no case, and tests/unreachable.txt says no reason"));
        }
    }
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    let row = |rule| (rule, shown.remove(rule).unwrap_or_default());
    Ok(Table { rows: rules.into_iter().map(row).collect(), unreachable, corrected })
}

/// The lines of a file of notes, cut at their bars.
fn notes(text: &'static str) -> Vec<Vec<&'static str>> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split('|').map(str::trim).collect()).collect()
}

impl Table {
    /// `rule -> cases`, a line each, and how many.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (rule, names) in &self.rows {
            let _ = writeln!(text, "{rule} -> {}", self.cell(rule, names));
        }
        text + &self.summary()
    }

    /// `docs/conformance.md`.
    pub fn markdown(&self) -> String {
        let mut text = String::from(HEAD);
        for (rule, names) in &self.rows {
            let _ = writeln!(text, "| {rule} | {} |", self.cell(rule, names));
        }
        text.push_str(
            "\n## What no test can reach\n\nRules, or clauses of rules whose rest has cases.\n\n",
        );
        for note in &self.unreachable {
            let (last, first) = note.split_last().expect("a note has parts");
            let _ = writeln!(text, "- {}: {last}.", first.join(", "));
        }
        text.push_str(
            "\n## Rules that proved wrong\n\nThe specification said otherwise; the kernel is the \
             judge.\n\n",
        );
        for note in &self.corrected {
            let _ = writeln!(text, "- {}: {} (`{}`).", note[0], note[1], note[2]);
        }
        text
    }

    fn cell(&self, rule: &str, names: &[&str]) -> String {
        match self.unreachable.iter().find(|note| note.len() == 2 && note[0] == rule) {
            Some(note) if names.is_empty() => format!("none: {}", note[1]),
            _ => names.join(", "),
        }
    }

    fn summary(&self) -> String {
        let cases: usize = self.rows.iter().map(|(_, names)| names.len()).sum();
        let shown = self.rows.iter().filter(|(_, names)| !names.is_empty()).count();
        format!("{cases} cases show {shown} of {} rules.\n", self.rows.len())
    }
}
