//! Scenarios: applications that the command line can start by name, on any host.

use afunix::{Application, Host};
use afunix_emulator::Threads;
use afunix_kernel_backend::Kernel;
use afunix_sim::Sim;

use crate::output::Problem;

/// An application, with its `main` for each host.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line: what it shows.
    pub about: &'static str,
    pub(crate) sim: Main<Sim>,
    pub(crate) threads: Main<Threads>,
    pub(crate) kernel: Main<Kernel>,
}

/// `main` on a host.
pub(crate) type Main<H> = fn(&H, &[String]) -> i32;

impl Scenario {
    /// The scenario of an application.
    pub fn of<A: Application>() -> Self {
        Scenario {
            name: A::NAME,
            about: A::ABOUT,
            sim: on::<A, Sim>,
            threads: on::<A, Threads>,
            kernel: on::<A, Kernel>,
        }
    }
}

fn on<A: Application, H: Host>(host: &H, args: &[String]) -> i32 {
    A::main(host, args)
}

/// The scenarios of the examples.
pub fn built_in() -> Vec<Scenario> {
    struct Collect(Vec<Scenario>);
    impl afunix_examples::Visit for Collect {
        fn visit<A: Application + 'static>(&mut self) {
            self.0.push(Scenario::of::<A>());
        }
    }
    let mut collect = Collect(Vec::new());
    afunix_examples::each(&mut collect);
    collect.0
}

/// The scenario of a name; else a problem that names the nearest one.
pub(crate) fn find<'a>(scenarios: &'a [Scenario], name: &str) -> Result<&'a Scenario, Problem> {
    if let Some(scenario) = scenarios.iter().find(|scenario| scenario.name == name) {
        return Ok(scenario);
    }
    let nearest = scenarios.iter().min_by_key(|scenario| distance(scenario.name, name));
    let hint = match nearest {
        Some(near) if distance(near.name, name) <= 1 + name.len() / 3 => {
            format!("did you mean {:?}? ", near.name)
        }
        _ => String::new(),
    };
    Err(Problem::usage(format!(
        "there is no scenario {name:?}; {hint}`afunix list` shows them all"
    )))
}

/// Levenshtein's distance, over bytes.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.bytes().enumerate() {
            let replace = diagonal + usize::from(l != r);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
